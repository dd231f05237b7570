"""Plain data over a frame: Python's own values with their types, and nothing else.

A JSON value stands for itself, but an object names a type: `{"tuple": [1, 2]}`, `{"dict": [["a", 1]]}`,
`{"float": "nan"}`. So a tuple stays a tuple and 1.0 a float, and nothing that arrives can have methods of its own.
"""

from __future__ import annotations

import math
from typing import Any

DEEPEST = 100
SMALL = 2**63


class NotPlainError(ValueError):
    """A value that is none of Python's own plain types."""


class TooDeepError(NotPlainError):
    """A value nested too deeply to be sent."""


def encoded(value: Any, depth: int = 0) -> Any:
    """The JSON-ready form of a value. A subclass of a plain type counts as the plain value that it holds.

    Raises NotPlainError naming the type of what is not plain, or nested deeper than 100.
    """
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return value if value.isascii() else _text(value)
    if depth > DEEPEST:
        raise TooDeepError(f"a value nested more than {DEEPEST} deep, or one that contains itself")
    if kind is int:
        return value if -SMALL < value < SMALL else {"int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind is list:
        return [encoded(entry, depth + 1) for entry in value]
    if kind is dict:
        return {"dict": [[encoded(key, depth + 1), encoded(entry, depth + 1)] for key, entry in value.items()]}
    if kind is tuple or kind is set or kind is frozenset:
        return {kind.__name__: [encoded(entry, depth + 1) for entry in value]}
    if kind is bytes or kind is bytearray:
        return {kind.__name__: value.hex()}
    if kind is complex:
        return {"complex": [repr(value.real), repr(value.imag)]}
    return encoded(_held(value, kind), depth)


def _text(value: str) -> Any:
    """A text as itself; by its bytes where it holds half a surrogate pair, which no frame may."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return {"str": value.encode("utf-8", "surrogatepass").hex()}
    return value


def _held(value: Any, kind: type) -> Any:
    """The plain value that an instance of a subclass holds, whatever its own methods say."""
    for base in (int, float, complex):
        if issubclass(kind, base):
            return base.__pos__(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, dict):
        return dict(dict.items(value))
    if issubclass(kind, (list, tuple, set, frozenset)):
        bare: Any = next(base for base in (list, tuple, set, frozenset) if issubclass(kind, base))
        return bare(bare.__iter__(value))
    if issubclass(kind, (bytes, bytearray)):
        return (bytes if issubclass(kind, bytes) else bytearray)(memoryview(value))
    raise NotPlainError(f"a value of the type {_name(kind)}{_advice(kind)}")


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _advice(kind: type) -> str:
    """What its author could do."""
    if kind.__module__.partition(".")[0] == "numpy":
        return "; make it Python's own with .tolist()"
    if kind.__name__ == "coroutine":
        return "; the function is async, and nothing awaits it"
    listed = ("range", "dict_keys", "dict_values", "dict_items", "deque")
    return "; make it a list" if hasattr(kind, "__next__") or kind.__name__ in listed else ""


def decoded(data: Any, depth: int = 0) -> Any:
    """The value whose form this is. Raises ValueError for any other data."""
    kind = type(data)
    if data is None or kind is bool or kind is str or kind is int:
        return data
    if depth > DEEPEST + 1:
        raise ValueError("nested too deeply")
    if kind is float:
        if not math.isfinite(data):
            raise ValueError("a number too large for a float")
        return data
    if kind is list:
        return [decoded(entry, depth + 1) for entry in data]
    if kind is not dict or len(data) != 1:
        raise ValueError("an object that names no type")
    ((name, held),) = data.items()
    if name == "dict":
        return _dictionary(held, depth)
    if name in ("tuple", "set", "frozenset") and type(held) is list:
        entries = [decoded(entry, depth + 1) for entry in held]
        try:
            return {"tuple": tuple, "set": set, "frozenset": frozenset}[name](entries)
        except TypeError as problem:
            raise ValueError(str(problem)) from None
    if name == "complex" and type(held) is list and len(held) == 2 and all(type(part) is str for part in held):
        return complex(float(held[0]), float(held[1]))
    if type(held) is not str:
        raise ValueError(f"no value of the type {name!r:.50}")
    if name == "str":
        return bytes.fromhex(held).decode("utf-8", "surrogatepass")
    if name == "int":
        return int(held, 16)
    if name == "float" and held in ("nan", "inf", "-inf"):
        return float(held)
    if name in ("bytes", "bytearray"):
        found = bytes.fromhex(held)
        return found if name == "bytes" else bytearray(found)
    raise ValueError(f"no value of the type {name!r:.50}")


def _dictionary(pairs: Any, depth: int) -> dict[Any, Any]:
    if type(pairs) is not list or not all(type(pair) is list and len(pair) == 2 for pair in pairs):
        raise ValueError("a dictionary is a list of pairs")
    try:
        found = {decoded(key, depth + 1): decoded(entry, depth + 1) for key, entry in pairs}
    except TypeError as problem:
        raise ValueError(str(problem)) from None
    if len(found) != len(pairs):
        raise ValueError("a key twice in one dictionary")
    return found
