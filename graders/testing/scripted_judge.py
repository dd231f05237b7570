"""A judge for tests: a real HTTP server on loopback that speaks OpenAI's wire and answers as it is told.

    with ScriptedJudge(lambda request: said('{"steps": [], "result": 1}')) as judge:
        os.environ["OPENAI_BASE_URL"] = judge.url

It can be slow, turn requests away, break connections, send half a body, refuse, or say nonsense. `Chaos` does some of
that to a share of requests, the same for the same requests.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, Self, TypeAlias


@dataclass(frozen=True)
class Reaction:
    """What the server does with one request."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0  # before it answers
    sent: float = 1.0  # share of the body that is sent before the connection closes
    reset: bool = False  # close without a word

    @cached_property
    def response(self) -> bytes:
        """What goes over the wire, as far as it is sent."""
        headers = {"Content-Type": "application/json", **self.headers, "Content-Length": str(len(self.body))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {self.status} Scripted\r\n{lines}\r\n".encode("latin-1")
        return head + self.body[: int(len(self.body) * self.sent)]


@dataclass(frozen=True)
class Request:
    """What the server was sent."""

    path: str
    headers: Mapping[str, str]  # keys in lower case
    raw: bytes  # its body
    time: int = 1  # how often the same body has come, this time included

    @cached_property
    def body(self) -> Any:
        """The JSON value of its body; None of an empty one."""
        return json.loads(self.raw) if self.raw else None

    @property
    def last(self) -> str:
        """The text of the last message."""
        content = self.body["messages"][-1]["content"]
        return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


Script: TypeAlias = Callable[[Request], Reaction]
"""Says what the server does with a request. Called in the server's thread, one request at a time."""


def in_order(*reactions: Reaction) -> Script:
    """A script that reacts so, one request after the other; all further requests get the last reaction.

    >>> script = in_order(error(500, "out for a moment"), verdict(4))
    >>> request = Request("/v1/chat/completions", {}, b"")
    >>> [script(request).status for _ in range(3)]
    [500, 200, 200]
    """
    if not reactions:
        raise ValueError("no reactions; give one at least")
    left = iter(reactions)
    return lambda request: next(left, reactions[-1])


def said(
    text: str | None,
    *,
    model: str = "scripted",
    prompt_tokens: int = 100,
    completion_tokens: int = 20,
    refusal: str | None = None,
    finish_reason: str = "stop",
    logprobs: Sequence[Mapping[str, Any]] | None = None,
    **more: Any,
) -> Reaction:
    """A chat completion with this text; `more` are fields of the Reaction."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "finish_reason": finish_reason, "message": message, "logprobs": None}
    if logprobs is not None:
        choice["logprobs"] = {"content": list(logprobs)}
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    wire = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]}
    return Reaction(json.dumps(wire | {"usage": usage}).encode(), **more)


def verdict(result: Any, conclusion: str = "as scripted", **more: Any) -> Reaction:
    """A completion in the form that `score_model` and `label_model` ask for."""
    steps = [{"description": "looked at it", "conclusion": conclusion}]
    return said(json.dumps({"steps": steps, "result": result}), **more)


def error(status: int, message: str, code: str | None = None, **headers: str) -> Reaction:
    """An error in OpenAI's shape; headers with _ for -."""
    wire = {"error": {"message": message, "type": "scripted", "param": None, "code": code}}
    return Reaction(
        json.dumps(wire).encode(), status, {name.replace("_", "-"): value for name, value in headers.items()}
    )


FAULTS: Mapping[str, Callable[[Reaction], Reaction]] = {
    "429": lambda _: error(429, "too many requests", "rate_limit_exceeded", Retry_After="0.05"),
    "500": lambda _: error(500, "scripted outage"),
    "reset": lambda reaction: replace(reaction, reset=True),
    "half": lambda reaction: replace(reaction, sent=0.5),
    "garbage": lambda _: Reaction(b"<html>not a completion</html>"),
    "nonsense": lambda _: said("I would say about 7 out of 10."),
    "slow": lambda reaction: replace(reaction, seconds=reaction.seconds + 0.2),
}
"""What can go wrong with an answer, by name."""


@dataclass(frozen=True)
class Chaos:
    """A script to which something happens in a share of requests: the same at the same try of the same request."""

    script: Script
    share: float = 0.3
    faults: Sequence[str] = tuple(FAULTS)
    seed: int = 0

    def __call__(self, request: Request) -> Reaction:
        digest = blake2b(f"{self.seed} {request.time} ".encode() + request.raw, digest_size=8).digest()
        drawn = int.from_bytes(digest, "big")
        reaction = self.script(request)
        if drawn % 10_000 >= self.share * 10_000:
            return reaction
        return FAULTS[self.faults[drawn // 10_000 % len(self.faults)]](reaction)


class ScriptedJudge:
    """The server, in a thread of its own while the `with` block runs.

    `requests` are what it was sent, in order (none with `remember=False`), `url` what a judge's `base_url` must be.
    `port` is 0 for any that is free.
    """

    def __init__(self, script: Script, port: int = 0, remember: bool = True) -> None:
        self.script = script
        self.port = port
        self.requests: list[Request] = []
        self.remember = remember
        self.times: Counter[bytes] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._connections: set[_Connection] = set()
        self._server = self._loop.run_until_complete(self._serve())
        self.port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *problem: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port, backlog=4096)

    def _stop(self) -> None:
        self._server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        self._loop.call_soon(self._loop.stop)

    def react(self, request: Request) -> Reaction:
        self.times[request.raw] += 1
        request = replace(request, time=self.times[request.raw])
        if self.remember:
            self.requests.append(request)
        return self.script(request)


class _Connection(asyncio.Protocol):
    """One kept-alive connection of HTTP/1.1 (RFC 9112), as far as a client of chat completions uses it."""

    def __init__(self, server: ScriptedJudge) -> None:
        self.server = server
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server._connections.add(self)

    def connection_lost(self, problem: Exception | None) -> None:
        self.server._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in lines)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            size = int(headers.get("content-length", "0"))
            if len(self.buffer) < end + 4 + size:
                return
            raw, self.buffer = self.buffer[end + 4 : end + 4 + size], self.buffer[end + 4 + size :]
            request = Request(first.split(" ")[1], headers, raw)
            reaction = self.server.react(request)
            if reaction.seconds:
                asyncio.get_running_loop().call_later(reaction.seconds, self._answer, reaction)
            else:
                self._answer(reaction)

    def _answer(self, reaction: Reaction) -> None:
        if self.transport.is_closing():
            return
        if reaction.reset:
            self.transport.abort()
            return
        self.transport.write(reaction.response)
        if reaction.sent < 1:
            self.transport.close()
