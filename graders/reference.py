"""The reference of one item: its value, and the error of an item whose reference cannot be used. Scores nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graders.grade import GradingError
from graders.sample import Item, Sample
from graders.template import resolve, short


def resolved(reference: str | Sequence[str], sample: Sample, item: Item) -> Any:
    """The value that a template gives for one item, a tuple as a list; of several templates the list of their values.

    Raises GradingError `invalid_variable_error` where the item lacks the value or it is null; what is there and
    cannot be used is for the caller to refuse, with `invalid`.
    """
    if not isinstance(reference, str):
        return [resolve(template, sample, item) for template in reference]
    value = resolve(reference, sample, item)
    return list(value) if isinstance(value, tuple) else value


def invalid(given: Any, reason: str) -> GradingError:
    """The error `invalid_reference` of an item whose reference is there and cannot be used."""
    return GradingError("invalid_reference", f"reference {short(given)}: {reason}")
