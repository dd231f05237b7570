"""Pool: jailed processes for whoever has code to run, from any thread; so many at a time, and no orphan left."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

from graders.sandbox.fork_server import (
    PLAIN,
    ForkServer,
    JailedProcess,
    KilledError,
    Profile,
    ServerFailedError,
)
from graders.sandbox.jail.limits import Limits
from graders.sandbox.level import LEVELS, NOWHERE, Standing, lacking
from graders.sandbox.settings import ACCEPT, SandboxSettings

MOST_SERVERS = 8  # fork servers, each with the imports of one profile
MOST_WARM = 32  # idle processes that keep a grader loaded
MOST_CALLS, MOST_SECONDS = 10_000, 60.0  # of one warm process
BATCH = 64  # calls that go out together
TRIES = 5  # of what was killed from outside

Answer = TypeVar("Answer")


class RefusedError(Exception):
    """The sandbox is weaker here than the settings accept."""


class OverloadedError(Exception):
    """As many callers wait as may."""


class Warm:
    """A jailed process that lives on, with what was loaded into it."""

    def __init__(self, process: JailedProcess) -> None:
        self.process = process
        self.calls = 0
        self.born = time.monotonic()

    @property
    def fit(self) -> bool:
        return self.process.quiet and self.calls < MOST_CALLS and time.monotonic() - self.born < MOST_SECONDS


class Pool:
    """Fork servers by profile, and the jailed processes they fork, `settings.processes` at a time.

    Callers wait their turn; there is no queue that grows. `without` switches layers off, as a machine that lacks them.
    """

    def __init__(self, settings: SandboxSettings | None = None, without: Sequence[str] = ()) -> None:
        self.settings = settings or SandboxSettings.from_environment()
        self.without = tuple(without)
        self._turns = threading.BoundedSemaphore(self.settings.processes)
        self._lock = threading.Lock()
        self._waiting = 0
        self._servers: OrderedDict[Profile, ForkServer] = OrderedDict()
        self._starting: dict[Profile, threading.Lock] = {}
        self._warm: OrderedDict[object, list[Warm]] = OrderedDict()
        self._threads: ThreadPoolExecutor | None = None

    def standing(self, profile: Profile = PLAIN) -> Standing:
        """What protects this machine from code that is run here. Raises ServerFailedError."""
        return self._server(profile).standing if hasattr(os, "pidfd_open") else NOWHERE

    def check(self, profile: Profile = PLAIN) -> Standing:
        """The standing, where it is what the settings accept. Raises RefusedError naming what is missing."""
        found, accepted = self.standing(profile), self.settings.accept
        if found is NOWHERE or LEVELS.index(found.level) < LEVELS.index(accepted):
            override = "" if found is NOWHERE else f". Or accept it: {ACCEPT}={found.level}, recorded in every grade"
            need = f"the sandbox is at level {found.level} here, and {accepted} is needed"
            raise RefusedError(f"{need}: {lacking(found, accepted)}{override}")
        return found

    @contextmanager
    def fresh(self, profile: Profile, limits: Limits, files: Sequence[int] = ()) -> Iterator[JailedProcess]:
        """A jailed process for one use; it has ended when this has."""
        self.check(profile)
        with self._turn():
            process = self._server(profile).spawn(limits, files)
            try:
                yield process
            finally:
                process.end()

    @contextmanager
    def warm(self, key: object, profile: Profile, limits: Limits) -> Iterator[Warm]:
        """A jailed process that lives on for the next use under this key. A new one has made no `calls`.

        It ends after 10,000 calls or 60 seconds, and whenever something is raised here or is still under way.
        """
        self.check(profile)
        with self._turn():
            found = self._idle(key)
            if found is None:
                found = Warm(self._server(profile).spawn(limits))
            try:
                yield found
            except BaseException:
                found.process.end()
                raise
            self._keep(key, found)

    def insist(self, attempt: Callable[[], Answer]) -> Answer:
        """What `attempt` returns, tried again where the process under it was killed from outside.

        Raises ServerFailedError where that goes on happening.
        """
        for _ in range(TRIES):
            try:
                return attempt()
            except (KilledError, ServerFailedError) as found:
                problem = found
        raise ServerFailedError(f"{problem}, {TRIES} times in a row")

    async def in_thread(self, act: Callable[[], Answer]) -> Answer:
        """What `act` returns, waited for outside the event loop's thread."""
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.settings.processes + 1, "sandbox")
        return await asyncio.get_running_loop().run_in_executor(self._threads, act)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(blocking=False):
            with self._lock:
                if self._waiting >= self.settings.queue:
                    raise OverloadedError(f"{self._waiting:,} calls wait for the sandbox already")
                self._waiting += 1
            try:
                self._turns.acquire()
            finally:
                with self._lock:
                    self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    def _server(self, profile: Profile) -> ForkServer:
        with self._lock:
            server = self._servers.get(profile)
            if server is not None and server.alive:
                self._servers.move_to_end(profile)
                return server
            starting = self._starting.setdefault(profile, threading.Lock())
        with starting:
            with self._lock:
                server = self._servers.get(profile)
            if server is not None and server.alive:
                return server
            if server is not None:
                server.close()
            fresh = ForkServer(profile, self.without)
            with self._lock:
                self._servers[profile] = fresh
                spare = list(self._servers)[: max(0, len(self._servers) - MOST_SERVERS)]
                dropped = [self._servers.pop(other) for other in spare]
        for other in dropped:
            other.close()  # calls under way there are answered by another: `insist`
        return fresh

    def _idle(self, key: object) -> Warm | None:
        while True:
            with self._lock:
                idle = self._warm.get(key)
                if not idle:
                    return None
                found = idle.pop()
            if found.fit and found.process.server.alive:
                return found
            found.process.end()

    def _keep(self, key: object, found: Warm) -> None:
        if not found.fit:
            found.process.end()
            return
        dropped = []
        with self._lock:
            self._warm.setdefault(key, []).append(found)
            self._warm.move_to_end(key)
            while sum(map(len, self._warm.values())) > MOST_WARM:
                oldest = next(iter(self._warm))
                dropped += self._warm.pop(oldest)
        for other in dropped:
            other.process.end()

    def close(self) -> None:
        """End every process of the pool and wait for it. It may be used again."""
        with self._lock:
            servers, self._servers = list(self._servers.values()), OrderedDict()
            warm, self._warm = [each for idle in self._warm.values() for each in idle], OrderedDict()
            threads, self._threads = self._threads, None
        for each in warm:
            each.process.end()
        for server in servers:
            server.close()
        if threads is not None:
            threads.shutdown(wait=False)

    def _forget(self) -> None:
        """In a forked copy of this process: let go of what belongs to the first."""
        for server in self._servers.values():
            with suppress(OSError):
                server.forget()
        for idle in self._warm.values():
            for each in idle:
                each.process.forget()


_shared: Pool | None = None
_lock = threading.Lock()


def pool() -> Pool:
    """The pool of this process, started when it is first asked for. Raises ValueError for settings that are none."""
    global _shared
    with _lock:
        if _shared is None:
            _shared = Pool()
        return _shared


@contextmanager
def use(other: Pool) -> Iterator[Pool]:
    """Let graders run code in this pool, as long as the context lasts; it is closed then."""
    global _shared
    before, _shared = _shared, other
    try:
        yield other
    finally:
        _shared = before
        other.close()


def _close() -> None:
    if _shared is not None:
        _shared.close()


def _forget() -> None:
    global _shared, _lock
    _lock = threading.Lock()
    if _shared is not None:
        _shared._forget()
        _shared = None


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
