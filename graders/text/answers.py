"""Right answers of one item, as texts, and the part of an output that answers. Scores nothing."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from graders.grade import GradingError
from graders.sample import Item, Sample
from graders.template import parse, resolve, short

THOUGHT_END = re.compile(r"</think(?:ing)?>")
THOUGHT_START = re.compile(r"<think(?:ing)?>")


def without_thinking(text: str) -> str:
    """The text without its thinking part: what follows the last `</think>`, up to a `<think>` that stays open.

    `<thinking>` is read in the same way. The opening tag may be missing, as where a chat template holds it.

    >>> without_thinking("<think>A or B?</think>B")
    'B'
    """
    if "think" not in text:
        return text
    start = 0
    for end in THOUGHT_END.finditer(text):
        start = end.end()
    unclosed = THOUGHT_START.search(text, start)
    return text[start : unclosed.start()] if unclosed else text[start:]


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

    A template that gives a list gives several; numbers become their JSON text. Raises GradingError
    `invalid_reference` for anything else.
    """
    if isinstance(reference, str):
        value = resolve(reference, sample, item)
        return [as_text(element, value) for element in value] if isinstance(value, list) else [as_text(value, value)]
    return [as_text(resolve(template, sample, item), template) for template in reference]


def as_text(value: Any, given: Any) -> str:
    """A reference as text; GradingError `invalid_reference` for what is neither a text nor a number."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(given, "a text or a list of texts is expected")
    return json.dumps(value)


def invalid(given: Any, reason: str) -> GradingError:
    """The error of an item whose reference cannot be used."""
    return GradingError("invalid_reference", f"reference {short(given)}: {reason}")
