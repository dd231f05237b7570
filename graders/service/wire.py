"""Wire: one HTTP request sent, one response read. How often, and what it means, is for others to say.

Three ways to send: `plain`, asyncio alone, for many calls at once; aiohttp, which knows proxies; and the `openai`
client, for those who want what it does and no other. All send the same request and give the same response.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from graders.service.redact import remember
from graders.service.settings import Service, service_address

MOST_BYTES = 16 * 2**20  # of one answer
PATH = "/chat/completions"


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]  # keys in lower case
    body: bytes


class WireError(Exception):
    """No response came: the connection was refused, reset, or closed in the middle of an answer."""


class RefusedError(WireError):
    """Nothing listens at the address, or there is no such host."""


class NotInstalledError(ValueError):
    """What is to send is not installed."""


class Wire(Protocol):
    async def post(self, body: bytes, timeout: float) -> Response:
        """Send a request's JSON. Raises WireError, or TimeoutError after `timeout` seconds."""

    async def close(self) -> None: ...


def client_of(service: Service) -> str:
    """The name of what sends: as the service says, else `plain`, and aiohttp where there is a proxy on the way."""
    return service.client or ("plain" if proxy_for(service.address) is None else "aiohttp")


def check_installed(service: Service) -> None:
    """Raise NotInstalledError where what sends is not."""
    client = client_of(service)
    if client != "plain" and find_spec(client) is None:
        why = "" if service.client else " (for the proxy that the environment names)"
        raise NotInstalledError(
            f"{service.address} is asked with {client}{why}, which is not installed; pip install 'assay[judge]'"
        )


def open_wire(service: Service) -> Wire:
    """What sends to a service, in the running event loop. Raises ValueError where there is no key or no such client."""
    from graders.service.plain import PlainWire

    service_address(service.address)
    remember(service.key)
    check_installed(service)
    client = client_of(service)
    if client == "openai":
        return ClientWire(service)
    send = AiohttpWire if client == "aiohttp" else PlainWire
    return send(f"{service.address}{PATH}", headers_of(service))


def proxy_for(address: str) -> str | None:
    """The proxy that the environment names for an address: HTTPS_PROXY, HTTP_PROXY, NO_PROXY."""
    parts = urlsplit(address)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def headers_of(service: Service) -> dict[str, str]:
    """The key, and the organisation and project that the environment names, as the `openai` client sends them."""
    told = {
        "OpenAI-Organization": os.environ.get("OPENAI_ORG_ID"),
        "OpenAI-Project": os.environ.get("OPENAI_PROJECT_ID"),
    }
    headers = {"Accept": "application/json", "User-Agent": "assay"}
    headers |= {name: value.strip() for name, value in told.items() if value and value.strip().isprintable()}
    if key := service.key:
        headers["Authorization"] = f"Bearer {key}"
    return headers


class AiohttpWire:
    """Sends with aiohttp, through the proxy that the environment names."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        import aiohttp

        self._aiohttp = aiohttp
        self._url = url
        self._proxy = proxy_for(url)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # how many are under way is the caller's to say
            headers={"Content-Type": "application/json", **headers},
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(self, body: bytes, timeout: float) -> Response:
        limit = self._aiohttp.ClientTimeout(total=timeout)
        try:
            async with self._session.post(
                self._url, data=body, timeout=limit, proxy=self._proxy, allow_redirects=False
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Response(response.status, headers, await self._read(response))
        except TimeoutError:
            raise
        except self._aiohttp.ClientConnectorError as problem:
            raise RefusedError(f"{type(problem).__name__}: {problem}") from None
        except (self._aiohttp.ClientError, OSError) as problem:
            raise WireError(f"{type(problem).__name__}: {problem}") from None

    async def _read(self, response: Any) -> bytes:
        raw = bytearray()
        async for chunk in response.content.iter_any():
            raw += chunk
            if len(raw) > MOST_BYTES:
                raise WireError(f"the answer is longer than {MOST_BYTES:,} bytes")
        return bytes(raw)

    async def close(self) -> None:
        await self._session.close()


def _response(answer: Any, body: bytes) -> Response:
    return Response(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, body)


class ClientWire:
    """Sends with an asynchronous `openai` client, which retries nothing, since that is done here."""

    def __init__(self, service: Service) -> None:
        import openai

        self._client = openai.AsyncOpenAI(
            api_key=service.key or "none",
            base_url=service.address,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        )
        self._headers: Any = None if service.key else {"Authorization": openai.Omit()}

    async def post(self, body: bytes, timeout: float) -> Response:
        import openai

        try:
            async with asyncio.timeout(timeout):  # the client's own bounds a pause, not the whole
                return await self._sent(body, timeout)
        except openai.APITimeoutError:
            raise TimeoutError from None
        except openai.APIStatusError as problem:
            return _response(problem.response, problem.response.content)
        except openai.APIConnectionError as problem:
            kind = RefusedError if type(problem.__cause__).__name__ == "ConnectError" else WireError
            raise kind(f"{type(problem).__name__}: {problem.__cause__ or problem}") from None
        except (TimeoutError, WireError):
            raise
        except Exception as problem:
            if not type(problem).__module__.startswith("httpx"):  # below the client, in the middle of an answer
                raise
            raise WireError(f"{type(problem).__name__}: {problem}") from None

    async def _sent(self, body: bytes, timeout: float) -> Response:
        create = self._client.chat.completions.with_streaming_response.create
        raw = bytearray()
        async with create(**json.loads(body), timeout=timeout, extra_headers=self._headers) as answer:
            async for chunk in answer.iter_bytes():
                raw += chunk
                if len(raw) > MOST_BYTES:
                    raise WireError(f"the answer is longer than {MOST_BYTES:,} bytes")
            return _response(answer, bytes(raw))

    async def close(self) -> None:
        await self._client.close()
