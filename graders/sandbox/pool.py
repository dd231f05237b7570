"""Pool: jailed processes for whoever has code to run, from any thread; so many at a time, and no orphan left."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from graders.sandbox.fork_server import PLAIN, ForkServer, Profile
from graders.sandbox.jail.limits import Limits
from graders.sandbox.level import LEVELS, NOWHERE, Standing, lacking
from graders.sandbox.process import JailedProcess, KilledError, NoServerError, ServerFailedError
from graders.sandbox.settings import ACCEPT, SandboxSettings
from graders.sandbox.turns import OverloadedError, Turns
from graders.sandbox.warm import Idle, Warm

MOST_SERVERS = 8  # fork servers, each with the imports of one profile; more only while all of them are at work
TRIES = 10  # of what was killed from outside
PAUSE = 0.01  # seconds before the second try, and so much more before each later one

Answer = TypeVar("Answer")


class RefusedError(Exception):
    """The sandbox is weaker here than the settings accept."""


class _Asked:
    """What a caller in an event loop waits for: when it gives up, the processes at work for it end."""

    def __init__(self) -> None:
        self.given_up = False
        self.at_work: set[JailedProcess] = set()

    def give_up(self) -> None:
        self.given_up = True
        for process in list(self.at_work):
            process.kill()


class _Here(threading.local):
    """Whose question this thread answers."""

    asked: _Asked | None = None


class Pool:
    """Fork servers by profile, and the jailed processes they fork, `settings.processes` at a time.

    Callers wait their turn; no queue grows beyond `settings.queue`. A caller with a turn may start further processes on
    it. In a forked copy of this process the pool starts anew, with processes of its own. `without` switches layers off,
    as a machine that lacks them.
    """

    def __init__(self, settings: SandboxSettings | None = None, without: Sequence[str] = ()) -> None:
        self.settings = settings or SandboxSettings.from_environment()
        self.without = tuple(without)
        self.closed = False
        self._start_anew()
        _pools.add(self)

    def _start_anew(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may close the pool
        self._here = _Here()
        self._turns = Turns(self.settings.processes, self.settings.queue)
        self._asked = 0
        self._servers: OrderedDict[Profile, ForkServer] = OrderedDict()
        self._starting: dict[Profile, threading.Lock] = {}
        self._idle = Idle(self.settings.processes)
        self._threads: ThreadPoolExecutor | None = None

    def standing(self, profile: Profile = PLAIN) -> Standing:
        """What protects this machine from code that is run here. Raises ServerFailedError."""
        if not hasattr(os, "pidfd_open"):
            return NOWHERE
        return self.insist(lambda: self._server(profile).standing)

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
        with self._turns.one(), self._used(profile) as server:
            process = server.spawn(limits, files)
            try:
                with self._at_work(process):
                    yield process
            finally:
                process.end()

    @contextmanager
    def warm(self, key: object, profile: Profile, limits: Limits) -> Iterator[Warm]:
        """A jailed process that lives on for the next use under this key. A new one has made no `calls`.

        After 10,000 calls or 60 seconds it is not used again, nor when something is raised here or still under way.
        """
        self.check(profile)
        with self._turns.one(), self._used(profile) as server:
            found = self._idle.take(key)
            if found is None:
                found = Warm(server.spawn(limits))
            try:
                with self._at_work(found.process):
                    yield found
            except BaseException:
                found.process.end()
                raise
            self._idle.keep(key, found)

    def insist(self, attempt: Callable[[], Answer]) -> Answer:
        """What `attempt` returns, tried again where the process under it was killed from outside.

        Raises ServerFailedError where that goes on happening, NoServerError where it would.
        """
        for number in range(1, TRIES + 1):
            try:
                return attempt()
            except NoServerError:
                raise
            except (KilledError, ServerFailedError) as found:
                problem = found
            if self._here.asked is not None and self._here.asked.given_up:
                raise NoServerError("nobody waits for the answer any more")
            time.sleep(PAUSE * number)
        raise ServerFailedError(f"{problem}, {TRIES} times in a row")

    async def in_thread(self, act: Callable[[], Answer]) -> Answer:
        """What `act` returns, waited for outside the event loop's thread. When this is cancelled, its processes end.

        Raises OverloadedError where as many callers wait as may.
        """
        asked = _Asked()
        future = self._submitted(lambda: self._answered(act, asked))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            asked.give_up()
            raise

    def _submitted(self, act: Callable[[], Answer]) -> Future[Answer]:
        with self._lock:
            if self.closed:
                raise NoServerError("the pool is closed")
            if self._asked >= self.settings.processes + self.settings.queue:
                raise OverloadedError(self.settings.queue)
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self.settings.processes + 1, "sandbox")
            future = self._threads.submit(act)
            self._asked += 1
        future.add_done_callback(self._was_answered)
        return future

    def _was_answered(self, _: Future[Answer]) -> None:
        with self._lock:
            self._asked -= 1

    def _answered(self, act: Callable[[], Answer], asked: _Asked) -> Answer:
        self._here.asked = asked
        try:
            return act()
        finally:
            self._here.asked = None

    @contextmanager
    def _at_work(self, process: JailedProcess) -> Iterator[None]:
        asked = self._here.asked
        if asked is None:
            yield
            return
        asked.at_work.add(process)
        if asked.given_up:
            process.kill()
        try:
            yield
        finally:
            asked.at_work.discard(process)

    @contextmanager
    def _used(self, profile: Profile) -> Iterator[ForkServer]:
        """A fork server that stays as long as this lasts, unless someone outside ends it."""
        server = self._server(profile, users=1)
        try:
            yield server
        finally:
            with self._lock:
                server.users -= 1

    def _server(self, profile: Profile, users: int = 0) -> ForkServer:
        with self._lock:
            found = self._living(profile, users)
            if found is not None:
                return found
            starting = self._starting.setdefault(profile, threading.Lock())
        with starting:
            with self._lock:
                found = self._living(profile, users)
            if found is not None:
                return found
            return self._started(profile, users)

    def _living(self, profile: Profile, users: int) -> ForkServer | None:
        if self.closed:
            raise NoServerError("the pool is closed")
        server = self._servers.get(profile)
        if server is None or not server.alive:
            return None
        self._servers.move_to_end(profile)
        server.users += users
        return server

    def _started(self, profile: Profile, users: int) -> ForkServer:
        server = ForkServer(profile, self.without)
        with self._lock:
            dropped = [self._servers.pop(profile)] if profile in self._servers else []
            if self.closed:
                dropped.append(server)
            else:
                server.users += users
                self._servers[profile] = server
                dropped += self._surplus()
        for other in dropped:
            other.close()
        if self.closed:
            raise NoServerError("the pool is closed")
        return server

    def _surplus(self) -> list[ForkServer]:
        """Fork servers beyond as many as may be, the least recently used first; none that are at work."""
        count = len(self._servers) - MOST_SERVERS
        idle = [profile for profile, server in self._servers.items() if server.users == 0]
        dropped = idle[: max(0, count)]
        for profile in dropped:
            self._starting.pop(profile, None)
        return [self._servers.pop(profile) for profile in dropped]

    def close(self) -> None:
        """End every process of the pool and wait for it, for good. Calls under way hear NoServerError."""
        with self._lock:
            self.closed = True
            servers, self._servers = list(self._servers.values()), OrderedDict()
            threads, self._threads = self._threads, None
        self._idle.close()
        for server in servers:
            server.close()
        if threads is not None:
            threads.shutdown(wait=False, cancel_futures=True)


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()
_shared: Pool | None = None
_lock = threading.Lock()


def pool() -> Pool:
    """The pool of this process, started when it is first asked for. Raises ValueError for settings that are none."""
    global _shared
    with _lock:
        if _shared is None or _shared.closed:
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
    for each in list(_pools):
        each.close()


def _start_anew() -> None:
    """In a forked copy of this process: what was started belongs to the first."""
    global _lock
    _lock = threading.Lock()
    for each in list(_pools):
        each._start_anew()


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
