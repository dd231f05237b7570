"""Verdict: the strict reading of the one field in which a judge answers. Never a number found in prose."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from graders.sample import read_json
from graders.service.question import Answer
from graders.template import short

STEPS: Mapping[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"description": {"type": "string"}, "conclusion": {"type": "string"}},
        "required": ["description", "conclusion"],
        "additionalProperties": False,
    },
}
"""The judge's reasoning, in OpenAI's shape."""

_THOUGHTS = re.compile(r"\s*<think>.*?</think>", re.DOTALL)
_FENCED = re.compile(r"\s*```(?:json)?[ \t]*\n(.*)\n[ \t]*```\s*", re.DOTALL)


def form_of(**properties: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object with these keys, all required and no others, in this order."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def object_in(answer: Answer) -> dict[str, Any]:
    """The JSON object that is the whole answer. ValueError says why there is none.

    Leading thoughts between <think> and </think> are not part of an answer, nor is one code fence around all of it.
    """
    text = _THOUGHTS.sub("", answer.text, count=1) if answer.text.lstrip().startswith("<think>") else answer.text
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1]
    try:
        value = read_json(text)
    except ValueError as problem:
        raise ValueError(f"not one JSON object ({problem}): {short(answer.text, 120)}") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is expected, not {type(value).__name__}: {short(answer.text, 120)}")
    return value


def field_of(wire: Mapping[str, Any], name: str) -> Any:
    """The value of a field that must be there."""
    if name not in wire:
        raise ValueError(f"the field {name!r} is missing; it holds {', '.join(map(repr, wire)) or 'nothing'}")
    return wire[name]


def number_of(wire: Mapping[str, Any], name: str) -> float:
    """The finite number in a field; neither a text nor a truth value is one."""
    value = field_of(wire, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name!r} must be a number, not {short(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name!r} is too large a number") from None


def choice_of(wire: Mapping[str, Any], name: str, choices: Sequence[str]) -> str:
    """The text in a field, one of several."""
    value = field_of(wire, name)
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name!r} must be one of {', '.join(map(repr, choices))}, not {short(value)}")
    return value


def conclusion_of(wire: Mapping[str, Any]) -> str:
    """What the judge concluded last; "" where it gave no steps."""
    steps = wire.get("steps")
    last = steps[-1] if isinstance(steps, list) and steps else None
    said = last.get("conclusion") or last.get("description") if isinstance(last, Mapping) else None
    return said if isinstance(said, str) else ""
