"""Sample and Item: what is judged, and the data row it is judged against."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Item: TypeAlias = Mapping[str, Any]
"""One row of a data set: `messages`, and any further keys that graders reach as `item.<key>`."""


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} stands twice in one object")
    return unique


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


_STRICT = json.JSONDecoder(parse_float=_finite, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)


def read_json(text: str) -> Any:
    """The value of a strict JSON text: no NaN, Infinity or 1e999, no key twice in an object (RFC 7493, I-JSON).

    Raises ValueError with the reason, also where values are nested too deeply to be read or a whole number has
    more digits than Python reads (4,300).
    """
    try:
        return _STRICT.decode(text)
    except RecursionError:
        raise ValueError("values are nested too deeply to be read") from None


def scan_json(text: str, start: int) -> tuple[Any, int]:
    """The value of the strict JSON text that begins at `start`, and where it ends; errors as of `read_json`."""
    try:
        return _STRICT.raw_decode(text, start)
    except RecursionError:
        raise ValueError("values are nested too deeply to be read") from None


def parse_json(text: str) -> Any:
    """The value of a strict JSON text as `read_json` has it, else None."""
    if text[:1] not in _JSON_STARTS and text.lstrip()[:1] not in _JSON_STARTS:
        return None  # most outputs: no need to have an exception made
    try:
        return read_json(text)
    except ValueError:
        return None


_JSON_STARTS = frozenset('{["-0123456789tfn')


@dataclass(frozen=True, slots=True)
class Sample:
    """One output of a model, under OpenAI's names.

    `output_json` is filled from `output_text` when that is valid JSON and nothing was given.

    >>> Sample('{"gene": "FBN1"}').output_json
    {'gene': 'FBN1'}
    """

    output_text: str = ""
    output_json: Any = None
    output_tools: Sequence[Mapping[str, Any]] = ()
    choices: Sequence[Mapping[str, Any]] = ()
    output_audio: Mapping[str, Any] | None = None
    output_reasoning_summary: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.output_text, str):
            raise TypeError(
                f"output_text must be a string, not {type(self.output_text).__name__}: {self.output_text!r}"
            )
        if self.output_json is None and self.output_text:
            object.__setattr__(self, "output_json", parse_json(self.output_text))

    @classmethod
    def of(cls, value: Sample | str | Mapping[str, Any]) -> Sample:
        """A sample from a text, from a mapping with OpenAI's keys, or as it is."""
        if isinstance(value, Sample):
            return value
        if isinstance(value, str):
            return cls(value)
        unknown = sorted(set(value) - set(SAMPLE_FIELDS))
        if unknown:
            raise ValueError(f"unknown sample key {unknown[0]!r}; a sample has: {', '.join(SAMPLE_FIELDS)}")
        given = {key: field for key, field in value.items() if field is not None}
        for key, (kind, words) in _SHAPES.items():
            if key in given and not isinstance(given[key], kind):
                raise TypeError(f"{key} must be {words}, not {type(given[key]).__name__}: {repr(given[key])[:80]}")
        return cls(**given)


_SHAPES: Mapping[str, tuple[Any, str]] = {
    "output_tools": ((list, tuple), "a list"),
    "choices": ((list, tuple), "a list"),
    "output_audio": (Mapping, "an object"),
    "output_reasoning_summary": (str, "a string"),
}


SAMPLE_FIELDS: tuple[str, ...] = tuple(Sample.__dataclass_fields__)
