"""JSON values as graders of structure read them: from the output, from the item, and what makes two the same."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable
from typing import Any

from graders.grade import GradingError
from graders.reference import invalid, resolved
from graders.sample import Item, Sample, parse_json, read_json
from graders.template import Variable, parse, resolve, short

MAX_DEPTH = 64  # objects and lists inside one another; what a validator written in Python can follow
MAX_BITS = 14_284  # just under the 4,300 decimal digits that Python reads and writes


def check(value: Any) -> None:
    """Raise ValueError, with the reason, for what is not JSON or is more than a grader can follow.

    Refused are NaN and infinite numbers (`1e400` reads as one), values nested more than 64 deep, whole numbers of
    4,300 digits or more, keys that are no strings, and Python objects JSON does not know.
    """
    level, depth = [value], 0
    while level:
        below: list[Any] = []
        for each in level:
            if each is None or isinstance(each, str | bool):
                continue
            if isinstance(each, float):
                if not math.isfinite(each):
                    raise ValueError(f"{each} is not a JSON number" if each != each else "a number is too large")
            elif isinstance(each, int):
                if each.bit_length() > MAX_BITS:
                    raise ValueError("a whole number has 4,300 digits or more")
            elif isinstance(each, list | tuple):
                below.extend(each)
            elif isinstance(each, dict):
                for key in each:
                    if not isinstance(key, str):
                        raise ValueError("an object has a key that is not a string")
                below.extend(each.values())
            else:
                raise ValueError(f"a {type(each).__name__} is not JSON")
        if below and depth == MAX_DEPTH:
            raise ValueError(f"values are nested more than {MAX_DEPTH} deep")
        level, depth = below, depth + 1


def is_value(template: str) -> bool:
    """Whether a template leads into `sample.output_json`: then a string it gives is a value, not JSON text."""
    pieces = parse(template)
    first = pieces[0] if len(pieces) == 1 else ""
    return isinstance(first, Variable) and first.namespace == "sample" and first.path[0] == "output_json"


def read_output(template: str, sample: Sample, item: Item) -> Any:
    """The JSON value that is judged; GradingError, a fault of the candidate, where the output holds none."""
    value = resolve(template, sample, item)
    try:
        if isinstance(value, str) and not is_value(template):
            value = _parsed(value, "the output")
        check(value)
    except ValueError as problem:
        raise GradingError("sample_parse_error", f"the output cannot be graded: {problem}", "candidate") from None
    return value


def read_reference(template: str, sample: Sample, item: Item, *, strings: bool = False) -> Any:
    """The JSON value of the item's reference, of which a text is JSON text.

    With `strings`, a text that one variable gives is the string itself unless it is that of an object or a list.

    Raises GradingError `invalid_variable_error` for one that is missing or null, `invalid_reference` for one that
    cannot be used.
    """
    value = given = resolved(template, sample, item)
    try:
        if isinstance(given, str):
            own = strings and isinstance(parse(template)[0], Variable) and len(parse(template)) == 1
            value = _object_or_string(given) if own else _parsed(given, "it")
        check(value)
    except ValueError as problem:
        raise _unusable(given, str(problem)) from None
    return value


def _unusable(given: Any, reason: str) -> GradingError:
    try:
        return invalid(given, reason)
    except ValueError:  # a whole number of more digits than Python writes
        return invalid(type(given).__name__, reason)


def _object_or_string(text: str) -> Any:
    if not text.strip():
        raise ValueError("it is blank")
    value = parse_json(text)
    return text if is_scalar(value) else value


def _parsed(text: str, whose: str) -> Any:
    if not text.strip():
        raise ValueError(f"{whose} is blank")
    try:
        return read_json(text)
    except ValueError as problem:
        shown = f": {short(text)}" if whose == "the output" else "; where a string is meant, write it in quotes"
        raise ValueError(f"{whose} is not JSON ({problem}){shown}") from None


def is_scalar(value: Any) -> bool:
    """Whether a JSON value is neither an object nor a list."""
    return not isinstance(value, dict | list | tuple)


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values without parts are the same: numbers by value, true is not 1, "1" is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float):
        return isinstance(other, int | float) and one == other
    return type(one) is type(other) and bool(one == other)


def fingerprint(value: Any) -> Hashable:
    """What two JSON values have in common exactly when they are the same, whatever the order of their keys."""
    if value is None or isinstance(value, bool):
        return ("constant", str(value))
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        # As text: whole numbers can be chosen to have one hash, and would be compared each with each.
        return ("number", str(int(value)) if value == int(value) else repr(value))
    if isinstance(value, dict):
        return frozenset((key, fingerprint(each)) for key, each in value.items())
    return tuple(fingerprint(each) for each in value)


def as_text(value: Any) -> str:
    """A string as it is, any other JSON value as compact JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def size(value: Any) -> int:
    """How many values a JSON value holds, itself and those inside."""
    count, level = 0, [value]
    while level:
        count += len(level)
        parts = [each.values() if isinstance(each, dict) else each for each in level if not is_scalar(each)]
        level = [part for each in parts for part in each]
    return count
