"""Frames: JSON behind its length in four bytes, over a stream. A frame that breaks a rule breaks the connection."""

from __future__ import annotations

import json
import math
import re
from itertools import accumulate
from typing import Any, NoReturn

HEADER = 4
DEEPEST = 500  # levels of lists and objects; far below what a parser written in C can stand
_ENCODE = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


class FrameError(ValueError):
    """Bytes that are no frame."""


def packed(message: Any) -> bytes:
    """The frame of a message. Raises ValueError for NaN and infinities, TypeError for what is not JSON."""
    content = _ENCODE(message).encode()
    return len(content).to_bytes(HEADER, "big") + content


class Frames:
    """The messages in bytes as they arrive: `add` bytes, then `take` messages."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self._bytes = bytearray()

    def add(self, received: bytes) -> None:
        self._bytes += received

    def take(self) -> Any:
        """The next message; None while it is not there whole, so null is no message. Raises FrameError."""
        if len(self._bytes) < HEADER:
            return None
        size = int.from_bytes(self._bytes[:HEADER], "big")
        if size > self.longest:
            raise FrameError(f"a frame of {size:,} bytes; it may have {self.longest:,}")
        end = HEADER + size
        if len(self._bytes) < end:
            return None
        content = bytes(memoryview(self._bytes)[HEADER:end])
        del self._bytes[:end]
        return checked(content)

    @property
    def rest(self) -> int:
        """Bytes that are there and not taken."""
        return len(self._bytes)


def parsed(content: bytes) -> dict[str, Any]:
    """The object that a frame holds. Raises FrameError for anything else, whatever it is."""
    try:
        message = _DECODE(content.decode())
    except RecursionError:
        raise FrameError("a frame nested too deeply") from None
    except ValueError as problem:
        raise FrameError(f"a frame that is not JSON: {problem}") from None
    if type(message) is not dict:
        raise FrameError("a frame that holds no object")
    return message


def checked(content: bytes) -> dict[str, Any]:
    """As `parsed`, for what comes from a process that nobody trusts: no deeper than 500, and no half characters."""
    if content.count(b"[") + content.count(b"{") > DEEPEST and _depth(content) > DEEPEST:
        raise FrameError(f"a frame nested more than {DEEPEST} deep")
    message = parsed(content)
    if b"\\u" in content:
        try:
            json.dumps(message, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise FrameError("a frame with half a surrogate pair, which is no text") from None
    return message


_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def _depth(content: bytes) -> int:
    """How deep lists and objects are nested."""
    brackets = _STRING.sub(b"", content).translate(None, _OTHERS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0)


def _finite(number: str) -> float:
    found = float(number)
    if not math.isfinite(found):
        raise ValueError(f"{number:.20} is too large for a float")
    return found


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice in one object")
    return found


_DECODE = json.JSONDecoder(parse_constant=_refused, parse_float=_finite, object_pairs_hook=_object).decode
