"""Blocks: things cut into pieces of about a tenth of a second of work, so that little waits and little is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

BLOCK_BYTES = 2**18
BLOCK_ROWS = 1024
BLOCK_SECONDS = 0.1  # blocks grow until one takes about this long: so much is lost at a kill

Thing = TypeVar("Thing")


class Blocks(Generic[Thing]):
    """Things in blocks of about `BLOCK_SECONDS` of work, and of no more than that of reading.

    `took` says how long a block's work was. `content` gives what a thing holds, for its size.
    """

    def __init__(self, things: Iterator[Thing], content: Callable[[Thing], Any], rows: int = 8) -> None:
        self.things = things
        self.content = content
        self.rows = rows
        self.end: Exception | None = None

    def took(self, seconds: float) -> None:
        if seconds < BLOCK_SECONDS / 2:
            self.rows = min(BLOCK_ROWS, 2 * self.rows)
        elif seconds > 2 * BLOCK_SECONDS:
            self.rows = max(1, self.rows // 2)

    def next(self) -> list[Thing]:
        """The next things; none at the end, which `end` then explains."""
        block: list[Thing] = []
        size, began = 0, time.monotonic()
        try:
            while self.end is None and len(block) < self.rows and size < BLOCK_BYTES:
                block.append(next(self.things))
                size += _size(self.content(block[-1]))
                if time.monotonic() - began > BLOCK_SECONDS:
                    break
        except Exception as problem:
            self.end = problem
        return block

    def check(self) -> None:
        """Raise what ended the reading, where it was not the end."""
        if self.end is not None and not isinstance(self.end, StopIteration):
            raise self.end


def _size(content: Any) -> int:
    """About how many bytes of memory a row's line or columns take."""
    if isinstance(content, str | bytes):
        return len(content)
    if isinstance(content, dict | list):
        return 64 + sum(map(_size, content.values() if isinstance(content, dict) else content))
    return 32
