"""The reference of one item: its value, and the error of an item whose reference cannot be used. Scores nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from graders.grade import GradingError
from graders.sample import Item, Sample
from graders.template import resolve, short

EXACT = 2**53  # up to here a float holds every whole number


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


def as_text(value: Any) -> str:
    """A text, number, or true or false as the text it is compared as; ValueError for anything else.

    A number is its JSON text, and a whole one has no point: 1.0, which a column with gaps makes of 1, is "1".

    >>> as_text("FBN1"), as_text(1.0), as_text(0.5), as_text(True)
    ('FBN1', '1', '0.5', 'true')
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("a text or a number is expected")
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        value = int(value)
    return json.dumps(value)
