"""Plain: the part of HTTP/1.1 (RFC 9112) that asking a judge takes, over asyncio alone.

A call costs a quarter of what it does with a general client, which is what a thousand under way on one core need.
Connections are kept for the next call; answers are framed by their length, in chunks, or by the end of the connection.
No proxies, no redirects, no compression, no cookies.
"""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from collections.abc import Generator, Mapping
from urllib.parse import urlsplit

from graders.service.wire import MOST_BYTES, RefusedError, Response, WireError

MOST_HEAD = 64 * 2**10  # bytes of a status line and headers, or of the line before a chunk
LOOK_AGAIN = 0.02  # seconds between looks at calls that may have taken too long
LONGEST_IDLE = 4.0  # seconds; servers close connections that are idle for 5 (uvicorn) or longer

Reading = Generator[None, bytes, tuple[Response, bool]]
"""Is sent what comes, b"" at its end; returns the response, and whether another may follow on the connection."""


class PlainWire:
    """Sends `POST` requests to one address."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._secure = parts.scheme == "https"
        self._place = (parts.hostname, parts.port or (443 if self._secure else 80))
        self._tls: ssl.SSLContext | None = None
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        host = parts.netloc.rpartition("@")[2]
        sent = {"Host": host, "Content-Type": "application/json", "Accept-Encoding": "identity", **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        self._head = f"POST {path} HTTP/1.1\r\n{lines}Content-Length: ".encode("latin-1")
        self._idle: list[tuple[_Connection, float]] = []
        self._open: set[_Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def post(self, body: bytes, timeout: float) -> Response:
        """Send a request's JSON. Raises WireError, or TimeoutError after `timeout` seconds."""
        request = b"%b%d\r\n\r\n%b" % (self._head, len(body), body)
        end = time.monotonic() + timeout
        while True:
            connection = self._waiting()
            if reused := connection is not None:
                assert connection is not None
            else:
                connection = await self._connected(timeout)
            try:
                response = await connection.ask(request, end - time.monotonic())
            except WireError:
                if reused and connection.silent:  # the server had closed it, as it may when it is idle
                    continue
                raise
            if connection.usable:
                self._idle.append((connection, time.monotonic()))
            return response

    def _waiting(self) -> _Connection | None:
        """An open connection that no call uses; those that may be closed at the other end are closed here."""
        while self._idle:
            connection, since = self._idle.pop()
            if connection.usable and time.monotonic() - since < LONGEST_IDLE:
                return connection
            connection.close()
        return None

    async def _connected(self, timeout: float) -> _Connection:
        if self._timer is None:
            self._look()
        if self._secure and self._tls is None:
            self._tls = ssl.create_default_context()
        connect = asyncio.get_running_loop().create_connection(
            lambda: _Connection(self._open), *self._place, ssl=self._tls, happy_eyeballs_delay=0.25
        )
        try:
            async with asyncio.timeout(timeout):
                return (await connect)[1]
        except TimeoutError:
            raise
        except (OSError, ValueError) as problem:  # ValueError of a name that cannot be one
            raise RefusedError(f"{type(problem).__name__}: {problem}") from None

    def _look(self) -> None:
        """Fail the calls that have taken too long: one timer for all of them costs less than one each."""
        now = time.monotonic()
        for connection in list(self._open):
            if connection.end < now:
                connection.fail(TimeoutError())
        self._timer = asyncio.get_running_loop().call_later(LOOK_AGAIN, self._look)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._open):
            connection.close()
        while self._open:
            await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    """One connection, on which one call is under way at most."""

    def __init__(self, open_ones: set[_Connection]) -> None:
        self._open = open_ones
        self._answer: asyncio.Future[Response] | None = None
        self._reading: Reading | None = None
        self._lasting = True
        self.end = math.inf  # when the present call has taken too long
        self.silent = True  # nothing has come for the present call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open.add(self)

    @property
    def usable(self) -> bool:
        return self._lasting and not self._transport.is_closing()

    async def ask(self, request: bytes, timeout: float) -> Response:
        self._answer, self._reading, self.silent = asyncio.get_running_loop().create_future(), reading(), True
        next(self._reading)
        self.end = time.monotonic() + timeout
        try:
            self._transport.write(request)
            return await self._answer
        except BaseException:
            self.close()
            raise
        finally:
            self.end = math.inf
            self._answer = self._reading = None

    def data_received(self, data: bytes) -> None:
        if self._reading is None or self._answer is None or self._answer.done():
            self.close()  # nothing was asked
            return
        self.silent = False
        try:
            self._reading.send(data)
        except StopIteration as end:
            response, self._lasting = end.value
            if not self._lasting:
                self._transport.abort()
            self._answer.set_result(response)
        except WireError as problem:
            self.fail(problem)

    def connection_lost(self, problem: Exception | None) -> None:
        self._lasting = False
        self._open.discard(self)
        if self._reading is not None and self._answer is not None and not self._answer.done():
            try:
                self._reading.send(b"")
            except StopIteration as end:
                self._answer.set_result(end.value[0])
            except WireError as broken:
                self.fail(WireError(f"{type(problem).__name__}: {problem}") if problem else broken)

    def fail(self, problem: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(problem)

    def close(self) -> None:
        self._lasting = False
        self._transport.abort()


def reading() -> Reading:
    """Reads one response. Raises WireError where it is none, is too long, or is not whole."""
    raw = bytearray()
    status = 0
    while status < 200:  # 100 and 103 announce the response
        head = yield from _up_to(b"\r\n\r\n", raw)
        status, headers, lasting = _head(head)
    coding = headers.get("content-encoding", "identity").lower()
    if coding != "identity":
        raise WireError(f"the answer is compressed ({coding}), which was not asked for")
    if headers.get("transfer-encoding", "").lower().endswith("chunked"):
        body = yield from _chunks(raw)
    elif status in (204, 304):
        body = b""
    elif (length := headers.get("content-length")) is not None:
        body = yield from _taken(_size(length, 10), raw)
    else:
        body, lasting = (yield from _rest(raw)), False
    return Response(status, headers, body), lasting and not raw


def _head(head: bytes) -> tuple[int, dict[str, str], bool]:
    """Status, headers by their names in lower case, and whether the connection stays open."""
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    code = rest[:3]
    if version not in ("HTTP/1.1", "HTTP/1.0") or not (code.isdecimal() and code.isascii() and len(code) == 3):
        raise WireError(f"what answers speaks no HTTP/1.1: {first[:80]!r}")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    wish = headers.get("connection", "").lower()
    return int(code), headers, "keep-alive" in wish if version == "HTTP/1.0" else "close" not in wish


def _chunks(raw: bytearray) -> Generator[None, bytes, bytes]:
    body = bytearray()
    while True:
        line = yield from _up_to(b"\r\n", raw)
        size = _size(line.partition(b";")[0].strip().decode("latin-1"), 16)
        if not size:
            break
        if len(body) + size > MOST_BYTES:
            raise _too_long()
        body += yield from _taken(size, raw)
        if (yield from _taken(2, raw)) != b"\r\n":
            raise WireError("a chunk of the answer is longer than it says")
    while (yield from _up_to(b"\r\n", raw)):  # trailers
        pass
    return bytes(body)


def _up_to(mark: bytes, raw: bytearray) -> Generator[None, bytes, bytes]:
    """What stands before a mark; both are taken out of what came."""
    while (end := raw.find(mark)) < 0:
        if len(raw) > MOST_HEAD:
            raise WireError(f"the headers of the answer are longer than {MOST_HEAD:,} bytes")
        raw += yield from _more()
    taken = bytes(raw[:end])
    del raw[: end + len(mark)]
    return taken


def _taken(size: int, raw: bytearray) -> Generator[None, bytes, bytes]:
    if size > MOST_BYTES:
        raise _too_long()
    while len(raw) < size:
        raw += yield from _more()
    taken = bytes(raw[:size])
    del raw[:size]
    return taken


def _rest(raw: bytearray) -> Generator[None, bytes, bytes]:
    while data := (yield):
        raw += data
        if len(raw) > MOST_BYTES:
            raise _too_long()
    rest = bytes(raw)
    raw.clear()
    return rest


def _more() -> Generator[None, bytes, bytes]:
    data = yield
    if not data:
        raise WireError("the connection was closed before the whole answer had come")
    return data


def _size(text: str, base: int) -> int:
    digits = "0123456789abcdefABCDEF" if base == 16 else "0123456789"
    if not text or len(text) > 12 or text.strip(digits):
        raise WireError(f"the answer has no length that can be read: {text[:40]!r}")
    return int(text, base)


def _too_long() -> WireError:
    return WireError(f"the answer is longer than {MOST_BYTES:,} bytes")
