"""Right answers of one item, as texts. Scores nothing."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from graders.reference import as_text, invalid, resolved
from graders.sample import Item, Sample
from graders.template import parse, short


def _checked(reference: Any) -> Any:
    given = reference if isinstance(reference, list | tuple) else [reference]
    if not given or not all(isinstance(text, str) for text in given):
        raise ValueError(f"{short(reference)} is no reference; give a template or a list of templates")
    for text in given:
        parse(text)
    return reference


Answers = Annotated[str | list[str], BeforeValidator(_checked)]
"""A field for right answers: a template that gives one or a list of them, or a list of templates."""


def read_answers(reference: str | list[str], sample: Sample, item: Item) -> list[str]:
    """The right answers of one item as texts, in order; a list may be empty.

    A template that gives a list gives several; numbers, true and false become texts as `as_text` says. Raises
    GradingError `invalid_variable_error` where there is none, `invalid_reference` where it is anything else.
    """
    given = resolved(reference, sample, item)
    return [_text(value, given) for value in (given if isinstance(given, list) else [given])]


def _text(value: Any, given: Any) -> str:
    try:
        return as_text(value)
    except ValueError:
        raise invalid(given, "a text or a list of texts is expected") from None
