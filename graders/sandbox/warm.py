"""Warm processes: jailed processes that live on between calls, with what was loaded into them."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from graders.sandbox.process import JailedProcess

MOST_IDLE = 32  # processes that wait, or as many as may be at work where that is more
MOST_CALLS, MOST_SECONDS = 10_000, 60.0  # of one process


class Warm:
    """A jailed process that lives on, with what was loaded into it."""

    def __init__(self, process: JailedProcess) -> None:
        self.process = process
        self.calls = 0
        self.born = time.monotonic()

    @property
    def fit(self) -> bool:
        """Whether it may be used again: it lives, it is neither worn nor old, and nothing is under way in it."""
        young = self.calls < MOST_CALLS and time.monotonic() - self.born < MOST_SECONDS
        return young and self.process.server.alive and self.process.quiet


class Idle:
    """Warm processes that wait for their next use, by key."""

    def __init__(self, at_work: int) -> None:
        self._most = max(MOST_IDLE, at_work)
        self._closed = False
        self._lock = threading.RLock()
        self._by_key: OrderedDict[object, list[Warm]] = OrderedDict()  # the least recently used first

    def take(self, key: object) -> Warm | None:
        """One that may be used, which is then no longer here. Where there is none, those that may not be are ended."""
        unfit: list[Warm] = []
        with self._lock:
            waiting = self._by_key.get(key, [])
            while waiting and not waiting[-1].fit:
                unfit.append(waiting.pop())
            found = waiting.pop() if waiting else None
            if found is None:
                unfit += self._all_unfit()
        _end(unfit)
        return found

    def keep(self, key: object, used: Warm) -> None:
        """Put one back after its use; it is ended where it may not be used again."""
        dropped = [used]
        with self._lock:
            if not self._closed and used.fit:
                self._by_key.setdefault(key, []).append(used)
                self._by_key.move_to_end(key)
                dropped = self._surplus()
        _end(dropped)

    def close(self) -> None:
        """End them all, and those that come back later."""
        with self._lock:
            self._closed = True
            waiting = [each for idle in self._by_key.values() for each in idle]
            self._by_key.clear()
        _end(waiting)

    def _all_unfit(self) -> list[Warm]:
        unfit: list[Warm] = []
        for key, idle in list(self._by_key.items()):
            fit = [each for each in idle if each.fit]
            unfit += [each for each in idle if each not in fit]
            self._by_key[key] = fit
            if not fit:
                del self._by_key[key]
        return unfit

    def _surplus(self) -> list[Warm]:
        dropped: list[Warm] = []
        count = sum(map(len, self._by_key.values())) - self._most
        while len(dropped) < count:
            oldest = next(iter(self._by_key))
            if self._by_key[oldest]:
                dropped.append(self._by_key[oldest].pop(0))
            else:
                del self._by_key[oldest]
        return dropped


def _end(processes: list[Warm]) -> None:
    for each in processes:
        each.process.end()
