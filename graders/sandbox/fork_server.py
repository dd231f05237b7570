"""ForkServer: the trusted end of a process that forks jailed processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakSet

from graders.sandbox.jail.frames import FrameError
from graders.sandbox.jail.limits import Limits
from graders.sandbox.level import Standing, standing
from graders.sandbox.process import (
    ANSWER_SECONDS,
    EndedError,
    JailedProcess,
    KilledError,
    NoServerError,
    ServerFailedError,
    TimeUpError,
)

HERE = Path(__file__).parent
START = """
import sys
sys.path.insert(0, sys.argv[1])
from jail.server import main
del sys.path[0]
main(int(sys.argv[2]))
"""
ENVIRONMENT = {
    # one hash seed: the order of a set is the same in every process
    **{"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
    # a jailed process starts no threads: libraries that would must not try
    **{"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
}
PASSED_ON = ("LD_LIBRARY_PATH",)  # without which some interpreters do not start
START_SECONDS = 60.0
CLOSE_SECONDS = 2.0  # a server that is asked to end is killed when it has not by then
LARGEST_ORDER, LARGEST_ANSWER = 2**16, 2**18


class Profile(NamedTuple):
    """What a fork server imports before it closes its jail, and what may be read from within."""

    imports: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()  # folders of installed packages to import from
    readable: tuple[str, ...] = ()  # files and folders beside the standard library


PLAIN = Profile()

_sockets: WeakSet[socket.socket] = WeakSet()
_servers: WeakSet[ForkServer] = WeakSet()


def _pair(kind: socket.SocketKind) -> tuple[socket.socket, socket.socket]:
    pair = socket.socketpair(socket.AF_UNIX, kind)
    _sockets.update(pair)
    return pair


def _forget() -> None:
    """In a forked copy of this process: let go of what belongs to the first, which must see each stream end."""
    for each in list(_sockets):
        each.close()
    for server in list(_servers):
        server.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class ForkServer:
    """A child process that forks jailed processes, for any number of threads.

    `without` switches layers off, as a machine that lacks them would. Raises ServerFailedError where it cannot be
    started, NoServerError where trying again would not help.
    """

    def __init__(self, profile: Profile = PLAIN, without: Sequence[str] = ()) -> None:
        self.profile = profile
        self.owner = os.getpid()
        self.users = 0  # callers at work in it, as its pool counts them
        self.abandoned: list[int] = []  # processes that were killed and are still to be waited for
        self._lock = threading.Lock()
        self._broken = False
        self.process: subprocess.Popen[bytes] | None = None
        setup = json.dumps(profile._asdict() | {"without": list(without)}).encode()
        if len(setup) > LARGEST_ORDER:
            raise NoServerError(f"a profile of {len(setup):,} bytes; it may have {LARGEST_ORDER:,}")
        try:
            self._control, theirs = _pair(socket.SOCK_SEQPACKET)
        except OSError as problem:
            raise NoServerError(f"no fork server could be started: {problem}") from None
        _servers.add(self)
        try:
            with theirs:
                hello = self._started(theirs, setup)
            self.failed_imports: dict[str, str] = hello["failed"]
            self.standing = self._standing(hello["on"], hello["missing"])
        except BaseException:
            self.close()
            raise

    def _started(self, theirs: socket.socket, setup: bytes) -> dict[str, Any]:
        told = -1
        try:
            if not sys.executable:
                raise NoServerError("no fork server could be started: sys.executable names no interpreter")
            told = os.memfd_create("stderr")
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-S", "-c", START, str(HERE), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=told,
                cwd="/",
                env=ENVIRONMENT | {name: os.environ[name] for name in PASSED_ON if name in os.environ},
                start_new_session=True,
            )
            theirs.close()  # so that its end is seen
            self._control.sendmsg([setup], [], socket.MSG_NOSIGNAL)
            return self._answer(START_SECONDS)[0]
        except TimeoutError:
            raise NoServerError(f"no fork server could be started within {START_SECONDS:g} s") from None
        except ServerFailedError as problem:
            raise type(problem)(f"{problem}{_last_line(told)}") from None
        except OSError as problem:
            ended = isinstance(problem, ConnectionError)
            error = ServerFailedError if ended else NoServerError
            raise error(f"no fork server could be started: {problem}{_last_line(told)}") from None
        finally:
            if told >= 0:
                os.close(told)

    def _standing(self, on: Sequence[str], missing: dict[str, str]) -> Standing:
        process = self.spawn(Limits())
        try:
            process.send({"id": 0, "escape": True})
            tried = process.receive(time.monotonic() + ANSWER_SECONDS)["tried"]
        except (TimeUpError, EndedError, FrameError, KeyError) as problem:
            tried = {"answer": "failed"}
            if isinstance(problem, EndedError):
                process.ending(problem)  # raises where it was killed from outside: that says nothing of the sandbox
        except KilledError as problem:
            raise ServerFailedError(str(problem)) from None
        finally:
            process.end()
        return standing(on, missing, tried)

    def spawn(self, limits: Limits, files: Sequence[int] = ()) -> JailedProcess:
        """A new jailed process; `files`: descriptors of its standard input and output.

        Raises ServerFailedError, also where the system has no process or no descriptor left.
        """
        while self.abandoned:
            self.reap(self.abandoned.pop())
        try:
            ours, theirs = _pair(socket.SOCK_STREAM)
        except OSError as problem:
            raise ServerFailedError(f"no process could be started: {problem}") from None
        try:
            with theirs:
                answer, handle = self._ask({"spawn": limits._asdict()}, [theirs.fileno(), *files])
            if handle is None:
                if "child" in answer:
                    self.reap(answer["child"])
                problem_ = answer.get("failed", "no descriptor is left for it")
                raise ServerFailedError(f"no process could be started: {problem_}")
            return JailedProcess(self, answer["child"], handle, ours, limits.output)
        except BaseException as problem:
            ours.close()
            if not isinstance(problem, ServerFailedError):
                self.kill()  # interrupted: nobody knows what it has begun
            raise

    def reap(self, child: int) -> int:
        """How a jailed process ended, as `os.waitpid` has it. It is killed if it has not. Raises ServerFailedError."""
        return int(self._ask({"end": child})[0].get("status", signal.SIGKILL))

    def _ask(self, order: dict[str, Any], descriptors: Sequence[int] = ()) -> tuple[dict[str, Any], int | None]:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        with self._lock:
            try:
                self._control.sendmsg([json.dumps(order).encode()], rights, socket.MSG_NOSIGNAL)
                return self._answer(ANSWER_SECONDS)
            except BaseException as problem:
                if not self._broken:
                    self.kill()  # a late answer would be taken for the answer to the next order
                if isinstance(problem, TimeoutError):
                    raise ServerFailedError(f"the fork server has not answered within {ANSWER_SECONDS:g} s") from None
                if isinstance(problem, OSError):
                    raise ServerFailedError(f"the fork server has ended: {problem}") from None
                raise

    def _answer(self, seconds: float) -> tuple[dict[str, Any], int | None]:
        self._control.settimeout(seconds)
        content, handles, _, _ = socket.recv_fds(self._control, LARGEST_ANSWER, 1, socket.MSG_CMSG_CLOEXEC)
        try:
            if not content:
                raise ServerFailedError("the fork server has ended")
            return json.loads(content), handles.pop() if handles else None
        except ValueError as problem:
            raise ServerFailedError(f"the fork server does not answer as it should: {problem}") from None
        finally:
            for handle in handles:
                os.close(handle)

    @property
    def alive(self) -> bool:
        return not self._broken and self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """End it and all it forked, at once."""
        self._broken = True
        if self.owner == os.getpid():
            with suppress(OSError):
                self._control.shutdown(socket.SHUT_RDWR)
            if self.process is not None:
                self.process.kill()

    def close(self) -> None:
        """End it and all it forked, and wait for it."""
        self._broken = True
        if self.owner != os.getpid():
            return
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # it ends by itself then, after all that it forked
        waited = self._lock.acquire(timeout=CLOSE_SECONDS)  # whoever waits for an answer hears of it
        self._control.close()
        if waited:
            self._lock.release()
        if self.process is not None:
            try:
                self.process.wait(CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def forget(self) -> None:
        """Let go of it in a forked copy of this process, to whom it does not belong."""
        self._broken = True
        if self.process is not None:
            self.process.returncode = 0  # else its Popen would warn, and wait for another's child


def _last_line(told: int) -> str:
    """The last thing that a process wrote to this descriptor, as ": it"; "" where it wrote nothing."""
    if told < 0:
        return ""
    lines = os.pread(told, 4096, max(0, os.fstat(told).st_size - 4096)).decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {last}" if last else ""
