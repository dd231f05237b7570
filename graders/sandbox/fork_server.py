"""ForkServer: the trusted end of a fork server, and of each jailed process that it forks."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from graders.sandbox.jail.frames import FrameError, Frames, packed
from graders.sandbox.jail.limits import Limits
from graders.sandbox.level import Standing, standing

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
    **{"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
    # a jailed process starts no threads: libraries that would must not try
    **{"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
}
START_SECONDS = 60.0
ANSWER_SECONDS = 10.0
EXIT_SECONDS = 0.1
CHUNK = 2**18
SIGNALS: dict[int, str] = {
    signal.SIGSYS: "made a system call that the sandbox forbids",
    signal.SIGXCPU: "used more processor time than it may",
    signal.SIGSEGV: "crashed (segmentation fault)",
    signal.SIGXFSZ: "wrote more than it may",
}


class Profile(NamedTuple):
    """What a fork server imports before it closes its jail, and what may be read from within."""

    imports: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()  # folders of installed packages to import from
    readable: tuple[str, ...] = ()  # files and folders beside the standard library


PLAIN = Profile()


class ServerFailedError(Exception):
    """The fork server ended or does not answer; another one may."""


class TimeUpError(Exception):
    """The deadline passed."""


class EndedError(Exception):
    """A jailed process ended, or closed its stream, before it answered."""


class KilledError(Exception):
    """Someone outside killed a jailed process, or its fork server: what it did may be done again."""


class ForkServer:
    """A child process that forks jailed processes. Raises ServerFailedError where it cannot be started.

    `without` switches layers off, as a machine that lacks them would.
    """

    def __init__(self, profile: Profile = PLAIN, without: Sequence[str] = ()) -> None:
        self.profile = profile
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                self.process = subprocess.Popen(
                    [sys.executable, "-P", "-s", "-S", "-c", START, str(HERE), str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    env=ENVIRONMENT,
                    start_new_session=True,
                )
            setup = profile._asdict() | {"without": list(without)}
            self._control.sendall(json.dumps(setup).encode())
            hello, _ = self._answer(START_SECONDS)
        except (OSError, ServerFailedError) as problem:
            self.close()
            raise ServerFailedError(f"no fork server could be started: {problem}") from None
        self.failed_imports: dict[str, str] = hello["failed"]
        self.standing = self._standing(hello["on"], hello["missing"])

    def _standing(self, on: Sequence[str], missing: dict[str, str]) -> Standing:
        process = self.spawn(Limits())
        try:
            process.send({"id": 0, "escape": True})
            tried = process.receive(time.monotonic() + ANSWER_SECONDS)["tried"]
        except (TimeUpError, EndedError, FrameError, KeyError):
            tried = {"answer": "failed"}
        finally:
            process.end()
        return standing(on, missing, tried)

    def spawn(self, limits: Limits, files: Sequence[int] = ()) -> JailedProcess:
        """A new jailed process; `files`: descriptors of its standard input and output.

        Raises ServerFailedError, or OSError where the system has no process left.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                answer, handle = self._ask({"spawn": limits._asdict()}, [theirs.fileno(), *files])
            if "failed" in answer or handle is None:
                raise OSError(answer.get("failed", "the fork server gave no handle"))
        except BaseException:
            ours.close()
            raise
        return JailedProcess(self, answer["child"], handle, ours, limits.output)

    def reap(self, child: int) -> int:
        """How a jailed process ended, as `os.waitpid` has it. It is killed if it has not."""
        return int(self._ask({"end": child})[0].get("status", 0))

    def _ask(self, order: dict[str, Any], descriptors: Sequence[int] = ()) -> tuple[dict[str, Any], int | None]:
        with self._lock:
            try:
                socket.send_fds(self._control, [json.dumps(order).encode()], list(descriptors))
            except OSError as problem:
                raise ServerFailedError(f"the fork server has ended: {problem}") from None
            return self._answer(ANSWER_SECONDS)

    def _answer(self, seconds: float) -> tuple[dict[str, Any], int | None]:
        self._control.settimeout(seconds)
        try:
            content, handles, _, _ = socket.recv_fds(self._control, 2**16, 1)
        except TimeoutError:
            self.kill()
            raise ServerFailedError(f"the fork server has not answered within {seconds:g} s") from None
        except OSError as problem:
            raise ServerFailedError(f"the fork server has ended: {problem}") from None
        if not content:
            raise ServerFailedError("the fork server has ended")
        return json.loads(content), handles[0] if handles else None

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        """End it and all it forked, at once."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        if hasattr(self, "process"):
            self.process.kill()

    def close(self) -> None:
        """End it and all it forked, and wait for it."""
        self.kill()
        self._control.close()
        if hasattr(self, "process"):
            self.process.wait()

    def forget(self) -> None:
        """Let go of it in a forked copy of this process, to whom it does not belong."""
        self._control.close()
        self.process.returncode = 0  # else its Popen would warn, and wait for another's child


class JailedProcess:
    """One process in the jail: messages to it, messages from it, and its end."""

    def __init__(self, server: ForkServer, child: int, handle: int, channel: socket.socket, longest: int) -> None:
        self.server, self.child = server, child
        self._handle, self._channel = handle, channel
        self._frames = Frames(longest)
        self._out = bytearray()
        channel.setblocking(False)
        self.status: int | None = None  # once it has ended, as os.waitpid has it

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; it goes out while answers are waited for."""
        self.send_packed(packed(message))

    def send_packed(self, frame: bytes) -> None:
        """As `send`, for a message that is a frame already."""
        self._out += frame

    def receive(self, deadline: float) -> dict[str, Any]:
        """The next message, by a deadline on the monotonic clock.

        Raises TimeUpError past it, EndedError where there will be none, FrameError for bytes that are no message.
        """
        while True:
            message: dict[str, Any] | None = self._frames.take()
            if message is not None:
                return message
            self._pump(deadline)

    @property
    def quiet(self) -> bool:
        """Whether nothing is under way in either direction: it may be used for another call."""
        return not self._out and not self._frames.rest and self.status is None

    def _pump(self, deadline: float) -> None:
        if self._out:
            try:
                sent = self._channel.send(memoryview(self._out)[:CHUNK])
            except BlockingIOError:
                sent = 0
            except OSError:
                raise EndedError from None
            del self._out[:sent]
        try:
            received = self._channel.recv(CHUNK)
        except BlockingIOError:
            self._wait(deadline)
            return
        except OSError:
            raise EndedError from None
        if not received:
            raise EndedError
        self._frames.add(received)

    def _wait(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeUpError
        waiting = select.poll()
        waiting.register(self._channel, select.POLLIN | (select.POLLOUT if self._out else 0))
        waiting.poll(min(left, 3600) * 1000 + 1)

    def end(self) -> int:
        """Kill it, if it has not ended, and let nothing of it remain; how it ended, as os.waitpid has it.

        A process that has ended of itself keeps its status. Raises nothing: where the fork server has ended, so has
        all that it forked.
        """
        if self.status is None:
            with suppress(OSError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            os.close(self._handle)
            self._channel.close()
            try:
                self.status = self.server.reap(self.child)
            except ServerFailedError:
                self.status = signal.SIGKILL
        return self.status

    def ending(self, problem: Exception) -> str:
        """What ended the talk with it, as a clause, where `receive` has raised; the process is ended.

        Raises KilledError where it was killed from outside.
        """
        gone = self._gone() if isinstance(problem, EndedError) else False
        status = self.end()
        if isinstance(problem, TimeUpError):
            return "took too long"
        if isinstance(problem, FrameError):
            return f"sent bytes that are no answer ({problem})"
        if not gone:
            return "closed the stream it should answer on"
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGKILL:
                raise KilledError("a jailed process was killed from outside")
            return SIGNALS.get(number, f"was ended by {signal.Signals(number).name}")
        return f"ended its process without an answer (exit code {os.waitstatus_to_exitcode(status)})"

    def _gone(self) -> bool:
        """Whether it has ended; asked when its stream has, which a process may also close and live on."""
        waiting = select.poll()
        waiting.register(self._handle, select.POLLIN)
        return bool(waiting.poll(EXIT_SECONDS * 1000))

    def forget(self) -> None:
        """Let go of it in a forked copy of this process, to whom it does not belong."""
        self._channel.close()
        os.close(self._handle)
        self.status = 0
