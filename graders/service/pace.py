"""Pace: how fast one service may be asked, and when it is left alone for a while.

Shared by all event loops of the process; a caller is told how long to wait, and waits itself.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from graders.service.settings import Service

FAILURES = 10  # in a row, after which a service is left alone
PAUSE = 30.0  # seconds that it is left alone
LOOK_AGAIN = 0.1  # seconds between looks at the one call that tries
BURST = 1.0  # seconds of allowance that may be used at once


class Allowance:
    """So much a minute, spread evenly (the generic cell rate algorithm, ITU-T I.371, annex A)."""

    def __init__(self, per_minute: float, burst: float = BURST) -> None:
        self.seconds_each = 60.0 / per_minute
        self.burst = burst
        self.due = 0.0  # when what was taken so far is earned

    def take(self, amount: float, now: float) -> float:
        """Take an amount; gives the seconds to wait until it may be used."""
        start = max(self.due, now - self.burst)
        self.due = start + amount * self.seconds_each
        return max(0.0, start - now)

    def correct(self, amount: float) -> None:
        """Take so much more, or give back where it is negative, of what was taken by an estimate."""
        self.due += amount * self.seconds_each


class Pace:
    """The limits of a service, its wishes to be left alone, and its circuit breaker.

    After ten failures in a row the circuit opens: nobody asks for `PAUSE` seconds, then one call tries; the others
    follow when it succeeds. Of calls sent before the last success came no failure counts: many that were under way
    together may fail together, and the service be well. `clock` gives seconds that only rise.
    """

    def __init__(self, service: Service, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._requests = Allowance(service.requests_per_minute) if service.requests_per_minute else None
        self._tokens = Allowance(service.tokens_per_minute) if service.tokens_per_minute else None
        self._longest = service.timeout
        self._lock = threading.Lock()
        self._quiet_until = 0.0
        self._failures = 0
        self._failing_since = 0.0
        self._well_at = -math.inf  # when it last answered
        self._trial_ends = 0.0  # when the one call that tries is over, however it ends
        self._turned_away_since: float | None = None  # and has done nothing else
        self._turned_away_at = -math.inf
        self.reached = False  # whether anything has come from it, if only an error

    def closed(self) -> float:
        """Seconds after which to ask again whether it may be asked; at 0 the caller has its turn."""
        with self._lock:
            now = self.clock()
            if (left := self._quiet_until - now) > 0:
                return left
            if self._failures >= FAILURES:
                if self._trial_ends > now:
                    return LOOK_AGAIN
                self._trial_ends = now + self._longest
            return 0.0

    def take(self, tokens: int) -> float:
        """Take one request and so many tokens; gives the seconds to wait before it may be sent."""
        if self._requests is None and self._tokens is None:
            return 0.0
        with self._lock:
            now = self.clock()
            return max(
                0.0 if self._requests is None else self._requests.take(1, now),
                0.0 if self._tokens is None else self._tokens.take(tokens, now),
            )

    def used(self, tokens: int, estimated: int) -> None:
        """Tell what a call really took."""
        if self._tokens is not None:
            with self._lock:
                self._tokens.correct(tokens - estimated)

    def hold(self, seconds: float) -> None:
        """Leave the service alone for so long."""
        self._quiet_until = max(self._quiet_until, self.clock() + seconds)

    def succeeded(self) -> None:
        """It answered, if only that it will not answer this question."""
        self._turned_away_since = None
        self._is_there(self.clock())

    def turned_away(self) -> float:
        """It answered that it will not now: no sign of an outage. Gives the seconds for which it has only done so.

        Time in which nobody asked is none of it, unless the service asked to be left alone.
        """
        now = self.clock()
        asked_until = max(self._turned_away_at, self._quiet_until) + PAUSE + self._longest
        if self._turned_away_since is None or now > asked_until:
            self._turned_away_since = now
        self._turned_away_at = now
        self._is_there(now)
        return now - self._turned_away_since

    def turned_away_for(self) -> float:
        """The seconds for which it has only turned calls away, up to now."""
        return 0.0 if self._turned_away_since is None else self.clock() - self._turned_away_since

    def _is_there(self, now: float) -> None:
        self.reached, self._failures, self._trial_ends, self._well_at = True, 0, 0.0, now

    def failed(self, sent: float) -> float:
        """Count the failure of a call sent then; gives the seconds for which nothing else has come.

        0 while it is no outage.
        """
        with self._lock:
            now = self.clock()
            if sent < self._well_at:
                return 0.0
            if not self._failures:
                self._failing_since = now
            self._failures += 1
            self._trial_ends = 0.0
            if self._failures < FAILURES:
                return 0.0
            self.hold(PAUSE)
            return now - self._failing_since
