"""What a message shows of values and texts that nobody vouches for: cut short, and nothing that a log obeys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graders.sandbox.jail.plain import DEEPEST


def printable(text: str, keep: str = "") -> str:
    """The text with nothing in it that a terminal or a log obeys, but for the signs to `keep`.

    >>> printable("a\\n\\x1b[2J")
    'a\\\\n\\\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in keep else sign.encode("unicode_escape").decode() for sign in text
    )


def short_text(text: str, limit: int = 120) -> str:
    """A text in quotes, cut to about `limit` characters; nothing in it can break a log."""
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}…"


def shown(data: Any, limit: int = 120) -> str:
    """Encoded data as Python would write the value, cut to about `limit` characters.

    >>> shown({"tuple": [1, {"set": ["a"]}, {"dict": [[2, {"float": "inf"}]]}]})
    "(1, {'a'}, {2: inf})"
    """
    pieces, length = [], 0
    for piece in _pieces(data, limit, 0):
        pieces.append(piece)
        length += len(piece)
        if length > limit:
            return "".join(pieces)[:limit] + "…"
    return "".join(pieces)


BRACKETS = {"tuple": ("(", ")"), "set": ("{", "}"), "frozenset": ("frozenset({", "})")}
EMPTY = {"tuple": "()", "set": "set()", "frozenset": "frozenset()"}


def _pieces(data: Any, limit: int, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        yield "…"
    elif type(data) is list:
        yield from _listed("[", data, "]", limit, depth)
    elif type(data) is str:
        yield short_text(data, limit)
    elif type(data) is not dict or len(data) != 1:
        yield repr(data)[:limit]
    else:
        ((name, held),) = data.items()
        if name in BRACKETS and type(held) is list:
            opening, closing = BRACKETS[name]
            closing = ",)" if name == "tuple" and len(held) == 1 else closing
            yield from _listed(opening, held, closing, limit, depth) if held else (EMPTY[name],)
        elif name == "dict" and type(held) is list:
            yield "{"
            for number, pair in enumerate(held):
                if type(pair) is list and len(pair) == 2:
                    yield ", " * bool(number)
                    yield from _pieces(pair[0], limit, depth + 1)
                    yield ": "
                    yield from _pieces(pair[1], limit, depth + 1)
            yield "}"
        else:
            yield _scalar_shown(name, held, limit)


def _listed(opening: str, held: list[Any], closing: str, limit: int, depth: int) -> Iterator[str]:
    yield opening
    for number, entry in enumerate(held):
        yield ", " * bool(number)
        yield from _pieces(entry, limit, depth + 1)
    yield closing


def _scalar_shown(name: str, held: Any, limit: int) -> str:
    try:
        if name == "str":
            return short_text(bytes.fromhex(held).decode("utf-8", "surrogatepass"), limit)
        if name == "bytes":
            return repr(bytes.fromhex(held[: 2 * limit]))
        if name == "bytearray":
            return repr(bytearray.fromhex(held[: 2 * limit]))
        if name == "complex":
            return repr(complex(float(held[0]), float(held[1])))
        if name == "int":
            return str(int(held, 16)) if len(held) < 60 else f"{held[:limit]!r}…"
    except (ValueError, TypeError, LookupError):
        pass
    text = str(held)[:limit]
    return text if text.isprintable() else repr(text)  # a claim that encodes nothing may hold any text
