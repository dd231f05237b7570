"""Frames: JSON behind its length in four bytes, over a stream. A frame that breaks a rule breaks the connection."""

from __future__ import annotations

import json
from typing import Any, NoReturn

HEADER = 4
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
        content = bytes(self._bytes[HEADER:end])
        del self._bytes[:end]
        return parsed(content)

    @property
    def rest(self) -> int:
        """Bytes that are there and not taken."""
        return len(self._bytes)


def parsed(content: bytes) -> dict[str, Any]:
    """The object that a frame holds. Raises FrameError for anything else, whatever it is."""
    try:
        message = json.loads(content, parse_constant=_refused, object_pairs_hook=_object)
    except RecursionError:
        raise FrameError("a frame nested too deeply") from None
    except ValueError as problem:
        raise FrameError(f"a frame that is not JSON: {problem}") from None
    if type(message) is not dict:
        raise FrameError("a frame that holds no object")
    return message


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice in one object")
    return found
