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
from functools import cached_property
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import quote, urlsplit, urlunsplit

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
from graders.service.services import _retry_after, _wait, _words, current
from graders.service.settings import Positive, web_address
from graders.service.wire import AiohttpWire, Response, Wire, WireError, proxy_for
from graders.template import short

MOST_BYTES = 1_000_000  # of a request
TRIES = 4  # the first, and three retries
RETRIED = (408, 429)

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_SENDERS_OWN = frozenset({"accept-encoding", "connection", "content-length", "transfer-encoding"})
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def _address(url: str) -> str:
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
    >>> sorted(grader.payload(Sample("FBN1"), {"gene": "FBN1"}, "trace_1"))
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

    def payload(self, sample: Sample, item: Item, trace_id: str = "") -> dict[str, Any]:
        """What the service is sent, as plain JSON; `trace_id` is the rollout's, by default a new one."""
        return {
            "sample": sample_payload(sample),
            "item": plain_json(dict(item), "the item"),
            "trace_id": trace_id or f"trace_{uuid.uuid4()}",
        }

    def sent_headers(self) -> dict[str, str]:
        """The headers with the environment's values. ValueError where a variable is not set or cannot be sent."""
        return {name.title(): _expanded(name, value) for name, value in (self.headers or {}).items()}

    async def grade_async(self, sample: Sample, item: Item) -> Grade:
        body = _encoded(self.payload(sample, item))
        if current().dry:
            raise GradingError("not_asked", "a dry run: the service was not asked", "infra")
        try:
            wire = await _wire(_ascii(self.url), self.sent_headers())
        except ValueError as problem:
            raise GradingError("other_error", str(problem), "infra") from None
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
        for number in range(1, TRIES + 1):
            if (left := self._pace()) > 0:
                await asyncio.sleep(left)
            asked_to_wait = None
            try:
                response = await wire.post(body, self.timeout)
                if 200 <= response.status < 300:
                    return response
                kind, said = self._turned_down(response)
                asked_to_wait = _retry_after(response)
            except TimeoutError:
                kind, said = "timeout", f"no answer within {self.timeout:g} s"
            except WireError as problem:
                kind, said = "endpoint_server_error", str(problem)
            if number < TRIES:
                await asyncio.sleep(_wait(number, asked_to_wait))
        raise GradingError(kind, redacted(f"{self._place}, asked {TRIES} times: {said}"), "infra")

    def _turned_down(self, response: Response) -> tuple[str, str]:
        """The kind and words of a refusal that another try may mend; raises what it would not."""
        words, _ = _words(response)
        said = f"HTTP {response.status}: {words}"
        if response.status in RETRIED or response.status >= 500:
            return ("overloaded" if response.status == 429 else "endpoint_server_error"), said
        if response.status in (401, 403, 404):
            raise GradingStopped(f"{self.label}: {self._place} refuses to grade: {said}")
        if response.status < 400:
            where = short(redacted(response.headers.get("location", "")))
            said = f"HTTP {response.status}: it redirects to {where}, which is not followed; write that as the url"
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


_wires: dict[asyncio.AbstractEventLoop, dict[tuple[Any, ...], Wire]] = {}
_closing: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}


async def _wire(url: str, headers: Mapping[str, str]) -> Wire:
    """What sends to an address in the running event loop; its connections are kept for the next call."""
    loop = asyncio.get_running_loop()
    if loop not in _wires:
        _wires[loop], _closing[loop] = {}, _until_the_loop_ends(loop)
        await anext(_closing[loop])
    key = (url, *headers.items())
    if key not in _wires[loop]:
        _wires[loop][key] = PlainWire(url, headers) if proxy_for(url) is None else AiohttpWire(url, headers)
    return _wires[loop][key]


async def _until_the_loop_ends(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
    """Closes the loop's connections: an event loop that ends closes the generators it left half way."""
    try:
        yield
    finally:
        del _closing[loop]
        for wire in _wires.pop(loop).values():
            await wire.close()
