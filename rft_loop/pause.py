"""Pause: a run that is asked to stop saves where it stands and ends, to go on later as if nothing had been.

It is asked by a signal (SIGTERM, SIGUSR1, Ctrl-C) or by `assay pause`, which leaves a file in the run's folder. The
step under way then ends first. A second signal, or `grace` seconds after SIGTERM, ends it at once: what it had sampled
is drawn again after the resume, and no finished step is lost.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from types import FrameType

SIGNALS = {signal.SIGTERM: "SIGTERM", signal.SIGUSR1: "SIGUSR1", signal.SIGINT: "Ctrl-C"}
COMMAND = "assay pause"
GRACE = 20.0  # seconds; Slurm and Kubernetes kill 30 seconds after SIGTERM
TOGETHER = 1.0  # seconds within which two signals are one: a launcher passes on what its whole process group was sent
PAUSED, INTERRUPTED = 5, 130  # exit codes


class PausedError(RuntimeError):
    """The run has stopped because it was asked to; what it has done is saved."""


class AtOnce(KeyboardInterrupt):
    """Raised where the main thread stands: stop in the middle of a step."""


class Pause:
    """Whether a run was asked to pause, and by what. `file` is what `assay pause` leaves, once there is a run."""

    def __init__(self, file: Path | None, grace: float = GRACE) -> None:
        self.file, self.grace = file, grace
        self.reason: str | None = None
        self._asked_at = 0.0
        self._training = False
        self._held = self.due = False
        self.leave: Callable[[], None] | None = None  # ends the process, as long as imports may swallow what is raised
        self._timer: threading.Timer | None = None

    def asked(self) -> str | None:
        """What has asked the run to pause; None where nothing has."""
        if self.reason is None and self.file is not None and self.file.exists():
            self.reason = COMMAND
        return self.reason

    @property
    def exit_code(self) -> int:
        return INTERRUPTED if self.reason == SIGNALS[signal.SIGINT] else PAUSED

    @contextmanager
    def signals(self) -> Iterator[Pause]:
        """Take the signals of this process, in its main thread, and give them back at the end."""
        process = os.getpid()

        def take(number: int, frame: FrameType | None) -> None:
            if os.getpid() != process:  # a child that was forked meanwhile is not to outlive what ends it
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            self._take(signal.Signals(number))

        before = {number: signal.signal(number, take) for number in SIGNALS}
        try:
            yield self
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def training(self) -> Iterator[None]:
        """Within it the first signal lets the step under way end; outside of it there is nothing to wait for."""
        self.leave = None
        if self.asked() is not None:
            raise AtOnce
        self._training = True
        try:
            yield
        finally:
            self._training = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """What stands within it happens whole or not at all: weights and progress, a checkpoint and its event."""
        if self._held:
            yield
            return
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self.due:
            self.due = False
            raise AtOnce

    def _take(self, number: signal.Signals) -> None:
        now = time.monotonic()
        first = self.reason is None
        if not first and now - self._asked_at < TOGETHER:
            return
        self.reason, self._asked_at = self.reason or SIGNALS[number], now
        if first and self._training:
            self._wait(number)
        elif self._held:
            self.due = True
        else:
            if self.leave is not None:
                self.leave()
            raise AtOnce

    def _wait(self, number: signal.Signals) -> None:
        os.write(2, b"\nassay: the step under way ends first, then the run is saved; once more stops it at once\n")
        if number == signal.SIGTERM:
            self._timer = threading.Timer(self.grace, self._grace_is_over)
            self._timer.daemon = True
            self._timer.start()

    def _grace_is_over(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        self._asked_at = -inf  # the next signal is one of its own, however soon it comes
        signal.pthread_kill(main, signal.SIGTERM)
