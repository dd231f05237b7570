"""JailedProcess: the trusted end of one process in the jail."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from graders.sandbox.jail.frames import FrameError, Frames, packed

if TYPE_CHECKING:
    from graders.sandbox.fork_server import ForkServer

ANSWER_SECONDS = 10.0  # for whatever a fork server is asked
EXIT_SECONDS = 0.25  # between the end of a process's stream and its own, on a busy machine
CHUNK = 2**18
SIGNALS = {
    "SIGSYS": "made a system call that the sandbox forbids",
    "SIGSEGV": "crashed (segmentation fault)",
    "SIGXFSZ": "wrote more than it may",
}


class ServerFailedError(Exception):
    """The fork server ended or does not answer; another one may."""


class NoServerError(ServerFailedError):
    """No fork server can be had, and another try would change nothing."""


class TimeUpError(Exception):
    """The deadline passed."""


class EndedError(Exception):
    """A jailed process ended, or closed its stream, before it answered."""


class KilledError(Exception):
    """Someone outside killed a jailed process, or its fork server: what it did may be done again."""


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the nameless ones
        return f"signal {number}"


class JailedProcess:
    """One process in the jail: messages to it, messages from it, and its end. For one thread at a time."""

    status: int | None = None  # once it has ended, as os.waitpid has it

    def __init__(self, server: ForkServer, child: int, handle: int, channel: socket.socket, longest: int) -> None:
        self.server, self.child = server, child
        self._handle, self._channel = handle, channel
        self._handling = threading.Lock()  # a descriptor that is closed is soon someone else's
        self._frames = Frames(longest)
        self._out = bytearray()
        channel.setblocking(False)

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; it goes out while answers are waited for."""
        self.send_packed(packed(message))

    def send_packed(self, frame: bytes) -> None:
        """As `send`, for a message that is a frame already."""
        self._out += frame

    def receive(self, deadline: float) -> dict[str, Any]:
        """The next message, by a deadline on the monotonic clock. What has arrived by then counts.

        Raises TimeUpError past it, EndedError where there will be none, FrameError for bytes that are no message.
        """
        message: dict[str, Any] | None = self._frames.take()
        while message is None:
            late = time.monotonic() >= deadline
            arrived = self._pump()
            message = self._frames.take() if arrived else None
            if message is None and late:
                raise TimeUpError
            if not arrived:
                self._wait(deadline)
        return message

    @property
    def quiet(self) -> bool:
        """Whether it lives and nothing is under way in either direction: it may be used for another call."""
        if self._out or self._frames.rest or self.status is not None:
            return False
        try:
            self._channel.recv(1, socket.MSG_PEEK)  # bytes that nobody asked for, or the end of the stream
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _pump(self) -> bool:
        """Send what the stream takes and receive what is there; whether anything was."""
        if self._out:
            try:
                sent = self._channel.send(memoryview(self._out)[:CHUNK], socket.MSG_NOSIGNAL)
            except BlockingIOError:
                sent = 0
            except OSError:
                sent = len(self._out)  # it has gone; what it answered before counts all the same
            del self._out[:sent]
        try:
            received = self._channel.recv(CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            raise EndedError from None
        if not received:
            raise EndedError
        self._frames.add(received)
        return True

    def _wait(self, deadline: float) -> None:
        left = max(0, deadline - time.monotonic())
        waiting = select.poll()
        waiting.register(self._channel, select.POLLIN | (select.POLLOUT if self._out else 0))
        waiting.poll(min(left, 3600) * 1000 + 1)

    def kill(self) -> None:
        """End it at once; for any thread. Whoever waits for its answer hears that it has ended."""
        if not self._ours:
            return
        with self._handling:
            if self._handle >= 0:
                with suppress(OSError):
                    signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    @property
    def _ours(self) -> bool:
        """Whether this is the process that started it, and no forked copy of that."""
        return self.server.owner == os.getpid()

    def end(self) -> int:
        """Kill it, if it has not ended, and let nothing of it remain; how it ended, as os.waitpid has it.

        A process that has ended of itself keeps its status. Raises nothing: where the fork server has ended, so has
        all that it forked.
        """
        if self.status is None and not self._ours:
            self.status = signal.SIGKILL
        if self.status is None:
            self.kill()
            self._gone(ANSWER_SECONDS)  # the fork server serves others while this one is torn down
            self._close()
            try:
                self.status = self.server.reap(self.child)
            except ServerFailedError:
                self.status = signal.SIGKILL
        return self.status

    def _close(self) -> None:
        with self._handling:
            handle, self._handle = self._handle, -1
            if handle >= 0:
                os.close(handle)
        self._channel.close()

    def __del__(self) -> None:
        if self.status is None and self._handle >= 0 and self._ours:  # whoever held it was interrupted
            self.kill()
            self._close()
            self.server.abandoned.append(self.child)

    def ending(self, problem: Exception) -> str:
        """What ended the talk with it, as a clause, where `receive` has raised; the process is ended.

        Raises KilledError where it was killed from outside.
        """
        gone = self._gone(EXIT_SECONDS) if isinstance(problem, EndedError) else False
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
            name = _name(number)
            return SIGNALS.get(name, f"was ended by {name}")
        return f"ended its process without an answer (exit code {os.waitstatus_to_exitcode(status)})"

    def _gone(self, seconds: float) -> bool:
        """Whether it has ended by then; asked when its stream has, which a process may also close and live on."""
        if self._handle < 0:
            return self.status is not None
        waiting = select.poll()
        waiting.register(self._handle, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))
