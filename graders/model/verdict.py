"""Verdict: the strict reading of the fields in which a judge answers. Never a number found in prose."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from graders.sample import read_json, scan_json
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

_THOUGHTS = re.compile(r".*(?:</think>|\[/THINK\])", re.DOTALL)
_BEGINS = re.compile(r"\ufeff?\s*(?:\{|```)")
_FENCED = re.compile(r"\s*```(?i:json)?[ \t]*\n(.*)\n[ \t]*```\s*", re.DOTALL)
_SPACE = re.compile(r"[ \t\n\r]*")


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

    Thoughts before it, up to the last </think> or [/THINK], are not part of an answer, nor is a byte-order mark, nor
    one code fence around all of it. An answer that begins with the object or its code fence has no thoughts before it.
    """
    text, _ = _bare(answer.text)
    try:
        value = read_json(text)
    except ValueError as problem:
        raise ValueError(f"not one JSON object ({problem}): {short(answer.text, 120)}") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is expected, not {type(value).__name__}: {short(answer.text, 120)}")
    return value


def _bare(text: str) -> tuple[str, int]:
    """An answer without leading thoughts and without the code fence around the rest, and where in it that begins."""
    start = int(text.startswith("\ufeff"))
    if not _BEGINS.match(text) and (thoughts := _THOUGHTS.match(text)):
        start = thoughts.end()
    if fenced := _FENCED.fullmatch(text, start):
        return fenced[1], fenced.start(1)
    return text[start:], start


def span_of(text: str, name: str) -> tuple[int, int]:
    """Where the value of a field begins and ends in an answer that `object_in` has read; of the object itself only.

    >>> text = '{"steps": [{"result": 1}], "result": 4}'
    >>> text[slice(*span_of(text, "result"))]
    '4'
    """
    bare, begin = _bare(text)
    place = bare.index("{")
    while bare[place] != "}":
        key, place = scan_json(bare, _past_space(bare, place + 1))
        start = _past_space(bare, _past_space(bare, place) + 1)  # the colon stands between
        _, end = scan_json(bare, start)
        if key == name:
            return begin + start, begin + end
        place = _past_space(bare, end)
    raise ValueError(f"the field {name!r} is missing")


def _past_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    assert found is not None
    return found.end()


def check_keys(wire: Any, keys: Sequence[str], where: str) -> None:
    """Raise ValueError unless this is an object with these keys and no others."""
    if not isinstance(wire, Mapping):
        raise ValueError(f"{where} must be an object, not {short(wire)}")
    for words, names in (("lacks", set(keys) - wire.keys()), ("has the unknown key", wire.keys() - set(keys))):
        if names:
            raise ValueError(f"{where} {words} {', '.join(map(repr, sorted(names)[:5]))}")


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


def truth_of(wire: Mapping[str, Any], name: str) -> bool:
    """The true or false in a field; neither a number nor a text is one."""
    value = field_of(wire, name)
    if not isinstance(value, bool):
        raise ValueError(f"{name!r} must be true or false, not {short(value)}")
    return value


def text_of(wire: Mapping[str, Any], name: str) -> str:
    """The text in a field."""
    value = field_of(wire, name)
    if not isinstance(value, str):
        raise ValueError(f"{name!r} must be a text, not {short(value)}")
    return value


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
