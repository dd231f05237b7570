"""endpoint: a web service of yours gives the score."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from pydantic import AfterValidator, Field

from graders.code.python import plain_json, sample_payload
from graders.grade import Grade, GradingError, GradingStopped
from graders.grader import Grader
from graders.model.verdict import number_of
from graders.options import Number
from graders.sample import Item, Sample, read_json
from graders.service.pace import Allowance
from graders.service.plain import PlainWire
from graders.service.redact import redacted, remember
from graders.service.services import current, retry_after, wait_before, words_of
from graders.service.settings import Positive, web_address
from graders.service.wire import AiohttpWire, RefusedError, Response, Wire, WireError, proxy_for
from graders.template import short

MOST_BYTES = 1_000_000  # of a request
TRIES = 4  # the first, and three retries
RETRIED = (408, 429)
ABOUT_THE_KEY = (401, 402)  # and so the same for every row, whatever was scored before
ABOUT_THE_PLACE = (403, 404)  # the same, unless a row was scored there before
MOST_TURNED_DOWN = 3  # calls in a row, at an address that has never scored one
MOST_UNDER_WAY = 100  # calls to one address in an event loop
SHORTEST_KEY = 8  # characters; what is shorter than a key would take other texts apart

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_NO_KEYS = frozenset(
    {
        "accept", "accept-charset", "accept-language", "cache-control", "content-language", "content-type", "from",
        "host", "origin", "pragma", "prefer", "referer", "user-agent",
    }
)  # fmt: skip
_SENDERS_OWN = frozenset({"accept-encoding", "connection", "content-length", "transfer-encoding"})
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _address(url: str) -> str:
    if "${" in url:
        raise ValueError(
            "'${' stands for no variable in an address; send a key in a header, as in {'Authorization': 'Bearer "
            "${GRADER_KEY}'}, and write the rest of the address out"
        )
    if "@" in urlsplit(web_address(url)).netloc:
        raise ValueError(
            "a name or password in the address would be recorded with the definition; send it in a header whose value "
            "names an environment variable, as in {'Authorization': 'Basic ${GRADER_LOGIN}'}"
        )
    return url


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not name or not set(name) <= _TOKEN:
            raise ValueError(f"{short(name)} is no name of a header (RFC 9110, section 5.1)")
        if name.lower() in _SENDERS_OWN:
            raise ValueError(f"{name!r} is written by what sends the request; leave it out")
        if sum(name.lower() == other.lower() for other in headers) > 1:
            raise ValueError(f"the header {name!r} stands twice; the case of its letters makes no difference")
        _check_value(value, f"the value of header {name!r}")
        if "${" in _VARIABLE.sub("", value):
            raise ValueError(f"the value of header {name!r} holds '${{' that begins no ${{NAME}} of a variable")
    return headers


def _check_value(value: str, called: str) -> None:
    if any(character in "\r\n\0" for character in value):
        raise ValueError(f"{called} holds a line break")
    if any(character > "\xff" for character in value):
        raise ValueError(f"{called} holds characters that no header can (Latin-1 alone)")


class Endpoint(Grader):
    """The score that a web service answers (OpenAI's `endpoint`, of Agent RFT and Azure's preview).

    The service is sent `{"sample", "item", "trace_id"}` by POST and answers `{"score": <number>}`. What fails
    (no connection, 408, 429, 5xx, no answer in time) is tried three times more. A header's value may hold the names of
    environment variables as `${NAME}`; what they stand for is put in when a request is sent, and is recorded nowhere.
    OpenAI clamps nothing, so the range is all finite numbers.

    >>> from graders.service.services import Services, use
    >>> from graders.service.settings import Settings
    >>> grader = Endpoint(url="https://grader.example.com/grade")
    >>> sorted(grader.payload(Sample("FBN1"), {"gene": "FBN1"}))
    ['item', 'sample', 'trace_id']
    >>> with use(Services(Settings(), dry=True)):
    ...     grader("FBN1").error.kind
    'not_asked'
    """

    in_openai: ClassVar[bool] = True

    type: Literal["endpoint"] = "endpoint"
    url: Annotated[str, AfterValidator(_address)]
    headers: Annotated[dict[str, str], AfterValidator(_sendable)] | None = None
    rate_limit: Annotated[int, Field(strict=True, ge=1)] | None = None  # requests a second
    pass_threshold: Number | None = None
    timeout: Positive = 600.0  # seconds that one try may take

    @property
    def range(self) -> tuple[float, float]:
        return -math.inf, math.inf

    def to_openai(self) -> dict[str, Any]:
        if self.timeout != type(self).model_fields["timeout"].default:
            raise ValueError(f"{self.label!r}: 'timeout' is Assay's own; OpenAI waits ten minutes")
        return super().to_openai()

    def check_ready(self) -> None:
        self.sent_headers()
        if proxy_for(self.url) is not None and find_spec("aiohttp") is None:
            raise ValueError(
                f"{self.url} is asked through a proxy that the environment names, with aiohttp, which is not "
                "installed; pip install 'assay[judge]' brings it"
            )

    def payload(self, sample: Sample, item: Item) -> dict[str, Any]:
        """What the service is sent, as plain JSON, under a new `trace_id`."""
        return {
            "sample": sample_payload(sample),
            "item": plain_json(dict(item), "the item"),
            "trace_id": f"trace_{uuid.uuid4()}",
        }

    def sent_headers(self) -> dict[str, str]:
        """The headers with the environment's values. ValueError where a variable is not set or cannot be sent."""
        return {name.title(): _expanded(name, value) for name, value in (self.headers or {}).items()}

    async def grade_async(self, sample: Sample, item: Item) -> Grade:
        body = _encoded(self.payload(sample, item))
        if current().dry:
            raise GradingError("not_asked", "a dry run: the service was not asked", "infra")
        here = await _here()
        try:
            wire = here.wire(_ascii(self.url), self.sent_headers())
        except ValueError as problem:
            raise GradingError("other_error", str(problem), "infra") from None
        async with here.turn(self.url):
            response = await self._answer(wire, body)
        try:
            score = score_in(response.body)
        except ValueError as problem:
            detail = redacted(f"the service's answer holds no score that can be read: {problem}")
            raise GradingError("endpoint_parse_error", detail) from None
        return Grade(score, f"the service answered {score:g}")

    async def _answer(self, wire: Wire, body: bytes) -> Response:
        """The service's answer, of status 2xx. The same body, and so the same `trace_id`, is sent at every try."""
        kind = said = ""
        known = _addresses.setdefault(self.url, _Known())
        refused = 0
        for number in range(1, TRIES + 1):
            if (left := self._pace()) > 0:
                await asyncio.sleep(left)
            asked_to_wait = None
            try:
                response = await wire.post(body, self.timeout)
                known.answered = True
                if 200 <= response.status < 300:
                    known.scored = True
                    return response
                kind, said = self._turned_down(response, known)
                asked_to_wait = retry_after(response)
            except TimeoutError:
                kind, said = "timeout", f"no answer within {self.timeout:g} s"
            except WireError as problem:
                kind, said = "endpoint_server_error", redacted(str(problem))
                refused += isinstance(problem, RefusedError)
            if number < TRIES:
                await asyncio.sleep(wait_before(number, asked_to_wait))
        if refused == TRIES and not known.answered:
            raise GradingStopped(f"{self.label}: nothing answers at {self._place} ({said}); start it, or mend the url")
        known.turned_down = 0
        raise GradingError(kind, redacted(f"{self._place}, asked {TRIES} times: {said}"), "infra")

    def _turned_down(self, response: Response, known: _Known) -> tuple[str, str]:
        """The kind and words of a refusal that another try may mend; raises what it would not."""
        words, _ = words_of(response)
        said = f"HTTP {response.status}: {words}"
        if response.status in RETRIED or response.status >= 500:
            return ("overloaded" if response.status == 429 else "endpoint_server_error"), said
        if response.status in ABOUT_THE_KEY or (response.status in ABOUT_THE_PLACE and not known.scored):
            raise GradingStopped(f"{self.label}: {self._place} refuses to grade: {said}")
        if response.status < 400:
            where = short(redacted(response.headers.get("location", "")))
            said = f"HTTP {response.status}: it redirects to {where}, which is not followed; write that as the url"
        known.turned_down += 1
        if known.turned_down >= MOST_TURNED_DOWN and not known.scored:
            calls = f"{known.turned_down} calls in a row and has never given a score"
            raise GradingStopped(f"{self.label}: {self._place} has turned down {calls}; the last: {said}")
        raise GradingError("endpoint_server_error", f"{self._place}: {said}")

    def _pace(self) -> float:
        """Seconds to wait before a request may be sent."""
        return 0.0 if self._allowance is None else self._allowance.take(1, time.monotonic())

    @cached_property
    def _allowance(self) -> Allowance | None:
        return None if self.rate_limit is None else Allowance(60.0 * self.rate_limit, burst=0.0)

    @cached_property
    def _place(self) -> str:
        """The address without its query, which may hold a key."""
        return urlunsplit(urlsplit(self.url)._replace(query="", fragment=""))


def score_in(body: bytes) -> float:
    """The finite number under `score` in a JSON object. ValueError says why there is none."""
    answer = read_json(body.decode("utf-8"))
    if not isinstance(answer, dict):
        raise ValueError(f"a JSON object is expected, not {short(answer)}")
    return number_of(answer, "score")


def _encoded(payload: Mapping[str, Any]) -> bytes:
    """A request's JSON. GradingError where it is longer than a service takes: the fault of what is longest in it."""
    body = json.dumps(payload, separators=(",", ":")).encode()
    if len(body) <= MOST_BYTES:
        return body
    sizes = {name: len(json.dumps(payload[name], separators=(",", ":"))) for name in ("sample", "item")}
    detail = (
        f"the request would have {len(body):,} bytes (sample {sizes['sample']:,}, item {sizes['item']:,}); an endpoint "
        f"takes {MOST_BYTES:,} at most"
    )
    if sizes["sample"] > sizes["item"]:
        raise GradingError("sample_parse_error", detail, "candidate")
    raise GradingError("other_error", detail)


def _expanded(name: str, value: str) -> str:
    def put_in(found: re.Match[str]) -> str:
        secret = os.environ.get(found[1], "").strip()
        if not secret:
            raise ValueError(f"header {name!r} needs the environment variable {found[1]}, which is not set; set it")
        _check_value(secret, f"the environment variable {found[1]}, for header {name!r},")
        remember(secret)
        return secret

    return _VARIABLE.sub(put_in, value)


def _ascii(url: str) -> str:
    """The address as it is sent: names of hosts in Punycode, other characters percent-encoded (RFC 3987)."""
    if url.isascii():
        return url
    parts = urlsplit(url)
    host = parts.netloc.encode("idna").decode()
    path, query = (quote(part, safe="%/:=&?~#+!$,;'@()*[]") for part in (parts.path, parts.query))
    return urlunsplit((parts.scheme, host, path, query, ""))


@dataclass(slots=True)
class _Known:
    """What this process has seen of an address."""

    answered: bool = False  # something is there
    scored: bool = False  # it has answered with a status of 2xx
    turned_down: int = 0  # calls in a row


_addresses: dict[str, _Known] = {}


@dataclass
class _Here:
    """What belongs to one event loop."""

    wires: dict[tuple[Any, ...], Wire] = field(default_factory=dict)
    turns: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    closing: AsyncGenerator[None, None] | None = None

    def wire(self, url: str, headers: Mapping[str, str]) -> Wire:
        """What sends to an address; its connections are kept for the next call."""
        key = (url, *headers.items())
        if key not in self.wires:
            _remember_keys(url, headers)
            self.wires[key] = PlainWire(url, headers) if proxy_for(url) is None else AiohttpWire(url, headers)
        return self.wires[key]

    def turn(self, url: str) -> asyncio.Semaphore:
        """Lets so many calls to an address be under way, whatever holds the grader."""
        if url not in self.turns:
            self.turns[url] = asyncio.Semaphore(MOST_UNDER_WAY)
        return self.turns[url]


_loops: dict[asyncio.AbstractEventLoop, _Here] = {}


async def _here() -> _Here:
    loop = asyncio.get_running_loop()
    if loop not in _loops:
        here = _loops[loop] = _Here(closing=_until_the_loop_ends(loop))
        assert here.closing is not None
        await anext(here.closing)
    return _loops[loop]


async def _until_the_loop_ends(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
    """Closes the loop's connections: an event loop that ends closes the generators it left half way."""
    try:
        yield
    finally:
        for wire in _loops.pop(loop).wires.values():
            await wire.close()


def _remember_keys(url: str, headers: Mapping[str, str]) -> None:
    """Let nothing show what may be a key: the values of the address's query, and of headers that are not of HTTP."""
    query = urlsplit(url).query
    values = [pair.partition("=")[2] for pair in query.split("&")]  # as it is sent
    values += [value for _, value in parse_qsl(query)]
    for name, value in headers.items():
        if name.lower() not in _NO_KEYS:
            values += [value, value.partition(" ")[2].strip()]  # whole, and without a scheme such as Basic
    for value in values:
        if len(value) >= SHORTEST_KEY:
            remember(value)
