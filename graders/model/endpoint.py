"""endpoint: a web service of yours gives the score."""

from __future__ import annotations

import math
import uuid
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from graders.code.python import plain_json, sample_payload
from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.options import Number
from graders.sample import Item, Sample
from graders.template import short

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def _web_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as problem:
        raise ValueError(f"not a web address: {problem}") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"the address must begin with https:// or http://, not {parts.scheme or 'nothing'}")
    if not host or any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("not a web address: it needs a host and no spaces, as in https://grader.example.com/grade")
    return url


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if not name or not set(name) <= _TOKEN:
            raise ValueError(f"{short(name)} is no name of a header (RFC 9110, section 5.1)")
        if any(character in "\r\n\0" for character in value):
            raise ValueError(f"the value of header {name!r} holds a line break")
    return headers


class Endpoint(Grader):
    """The score that a web service answers (OpenAI's `endpoint`, of Agent RFT and Azure's preview).

    The service is sent `{"sample", "item", "trace_id"}` and answers `{"score": <number>}`. Sending needs a
    client, which is not installed: the grade is undecided, of the kind `not_installed`.

    >>> grader = Endpoint(url="https://grader.example.com/grade")
    >>> sorted(grader.payload(Sample("FBN1"), {"gene": "FBN1"}, "trace_1"))
    ['item', 'sample', 'trace_id']
    >>> grader("FBN1").error.kind
    'not_installed'
    """

    in_openai: ClassVar[bool] = True

    type: Literal["endpoint"] = "endpoint"
    url: Annotated[str, AfterValidator(_web_address)]
    headers: Annotated[dict[str, str], AfterValidator(_sendable)] | None = None
    rate_limit: Annotated[int, Field(strict=True, ge=1)] | None = None
    pass_threshold: Number | None = None

    @property
    def range(self) -> tuple[float, float]:
        return -math.inf, math.inf

    def payload(self, sample: Sample, item: Item, trace_id: str = "") -> dict[str, Any]:
        """What the service is sent, as plain JSON; `trace_id` is the rollout's, by default a new one."""
        return {
            "sample": sample_payload(sample),
            "item": plain_json(dict(item), "the item"),
            "trace_id": trace_id or f"trace_{uuid.uuid4()}",
        }

    def grade(self, sample: Sample, item: Item) -> Grade:
        self.payload(sample, item)
        raise GradingError(
            "not_installed",
            f"{self.label} asks {self.url}, and no client for endpoints is installed; nothing was sent",
            "infra",
        )
