"""Wire: one HTTP request sent, one response read. How often, and what it means, is for others to say.

The address, the key and the organisation are those of the `openai` client, which reads its own variables. Two ways
to send: aiohttp, made for a thousand calls at once, and the client itself, for its own kinds of login.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from graders.service.redact import remember
from graders.service.settings import Service

MOST_BYTES = 16 * 2**20  # of one answer
PATH = "/chat/completions"


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]  # keys in lower case
    body: bytes


class WireError(Exception):
    """No response came: the connection was refused, reset, or closed in the middle of an answer."""


class Wire(Protocol):
    async def post(self, body: bytes, timeout: float) -> Response:
        """Send a request's JSON. Raises WireError, or TimeoutError after `timeout` seconds."""

    async def close(self) -> None: ...


def openai_client(service: Service, **more: Any) -> Any:
    """An asynchronous `openai` client for a service; it retries nothing, since that is done here."""
    import openai

    key = service.key
    remember(key)
    return openai.AsyncOpenAI(api_key=key or "none", base_url=service.address, max_retries=0, **more)


def open_wire(service: Service) -> Wire:
    """What sends to a service, in the running event loop."""
    return ClientWire(openai_client(service)) if service.client == "openai" else AiohttpWire(service)


def _proxy_for(address: str) -> str | None:
    """The proxy that the environment names for an address: HTTPS_PROXY, HTTP_PROXY, NO_PROXY."""
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(address)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


class AiohttpWire:
    """Sends with aiohttp; about a tenth of the work that the client's own stack takes for a call."""

    def __init__(self, service: Service) -> None:
        import aiohttp

        self._aiohttp = aiohttp
        client = openai_client(service)
        headers = {name: value for name, value in client.default_headers.items() if isinstance(value, str)}
        if not service.key:
            headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
        self._url = f"{service.address}{PATH}"
        connector = aiohttp.TCPConnector(limit=0)  # how many are under way is the caller's to say
        self._proxy = _proxy_for(service.address)
        self._session = aiohttp.ClientSession(connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar())

    async def post(self, body: bytes, timeout: float) -> Response:
        limit = self._aiohttp.ClientTimeout(total=timeout)
        try:
            async with self._session.post(
                self._url,
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=limit,
                proxy=self._proxy,
                allow_redirects=False,
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Response(response.status, headers, await self._read(response))
        except TimeoutError:
            raise
        except (self._aiohttp.ClientError, OSError) as problem:
            raise WireError(f"{type(problem).__name__}: {problem}") from None

    async def _read(self, response: Any) -> bytes:
        if (response.content_length or MOST_BYTES) < MOST_BYTES:
            return await response.read()  # type: ignore[no-any-return]
        raw = b""
        async for chunk in response.content.iter_any():
            raw += chunk
            if len(raw) > MOST_BYTES:
                raise WireError(f"the answer is longer than {MOST_BYTES:,} bytes")
        return raw

    async def close(self) -> None:
        await self._session.close()


class ClientWire:
    """Sends with an asynchronous `openai` client, such as one of Azure's."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def post(self, body: bytes, timeout: float) -> Response:
        import openai

        try:
            answer = await self._client.chat.completions.with_raw_response.create(**json.loads(body), timeout=timeout)
            response = answer.http_response
        except openai.APITimeoutError:
            raise TimeoutError from None
        except openai.APIStatusError as problem:
            response = problem.response
        except openai.APIConnectionError as problem:
            raise WireError(f"{type(problem).__name__}: {problem.__cause__ or problem}") from None
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status_code, headers, response.content)

    async def close(self) -> None:
        await self._client.close()
