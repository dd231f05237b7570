"""Turns: so many callers at a time, so many that wait, and one more is told so."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue


class OverloadedError(Exception):
    """As many callers wait as may."""

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting:,} calls wait for the sandbox already")


class _Turn:
    """Leave to be at work. It goes back when it is released, or when its holder is lost, interrupted anywhere."""

    def __init__(self, free: weakref.ref[SimpleQueue[_Turn]]) -> None:
        self._free: weakref.ref[SimpleQueue[_Turn]] | None = free

    @property
    def held(self) -> bool:
        return self._free is not None

    def release(self) -> None:
        free, self._free = self._free, None
        if free is not None and (turns := free()) is not None:
            turns.put(_Turn(free))

    __del__ = release


class _Here(threading.local):
    """The turn that this thread has already."""

    turn: weakref.ref[_Turn] | None = None


class Turns:
    """`count` turns, for which up to `queue` callers wait. Who has one may take it again, in the same thread."""

    def __init__(self, count: int, queue: int) -> None:
        self.queue, self.waiting = queue, 0
        self._lock = threading.RLock()
        self._here = _Here()
        self._free: SimpleQueue[_Turn] = SimpleQueue()
        for _ in range(count):
            self._free.put(_Turn(weakref.ref(self._free)))

    @property
    def free(self) -> int:
        return self._free.qsize()

    @contextmanager
    def one(self) -> Iterator[None]:
        """A turn, as long as the context lasts. Raises OverloadedError."""
        before = self._here.turn() if self._here.turn is not None else None
        if before is not None and before.held:
            yield
            return
        turn = self._next()
        try:
            self._here.turn = weakref.ref(turn)
            yield
        finally:
            turn.release()

    def _next(self) -> _Turn:
        try:
            return self._free.get_nowait()
        except Empty:
            pass
        with self._lock:
            if self.waiting >= self.queue:
                raise OverloadedError(self.waiting)
            self.waiting += 1
        try:
            return self._free.get()
        finally:
            with self._lock:
                self.waiting -= 1
