"""Settings: which service answers for which model, with which key, within which limits, at what price.

One file for all graders, so that a definition can stay as it is while another model, or a local one, answers.
Without a file there is OpenAI's own service, or the one that OPENAI_BASE_URL names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from graders.options import Number, Options
from graders.service.redact import redacted
from graders.template import nearest, short

OPENAI = "openai"
OPENAI_URL = "https://api.openai.com/v1"
ANY = "*"

Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Count = Annotated[int, Field(strict=True, ge=1)]


def web_address(url: str) -> str:
    """The address, where it is one that can be asked. Raises ValueError for any other."""
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


def service_address(url: str) -> str:
    """The address of a service, where it is one to which a path can be added. Raises ValueError for any other."""
    parts = urlsplit(web_address(url))
    if "@" in parts.netloc:
        raise ValueError("a key does not belong into the address; name the variable that holds it in api_key_env")
    if parts.query or parts.fragment:
        raise ValueError("the address must end with its path, as in https://judge.example.com/v1, without ? and #")
    if not url.isascii():
        raise ValueError("the address must be written in ASCII: the host in Punycode, the rest percent-encoded")
    return url


def variable_name(name: str) -> str:
    """The name of a variable. Raises ValueError, without it, for any other text: it may be the key itself."""
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) or redacted(name) != name:
        raise ValueError("it names the environment variable that holds the key; this is not such a name")
    return name


class Price(Options):
    """Dollars per million tokens."""

    input: NotNegative
    output: NotNegative
    cached_input: NotNegative | None = None  # of prompt tokens that the service had in its own cache; None: as `input`

    def of(self, counts: Mapping[str, int]) -> float:
        """Dollars for some tokens, counted as `graders.grade.Usage` does for one model."""
        cached = counts.get("cached_tokens", 0)
        cheap = self.input if self.cached_input is None else self.cached_input
        prompt = counts.get("prompt_tokens", 0) - cached
        return (prompt * self.input + cached * cheap + counts.get("completion_tokens", 0) * self.output) / 1e6


class Service(Options):
    """A server that speaks OpenAI's `POST /chat/completions`."""

    model_config = ConfigDict(hide_input_in_errors=True)  # someone may write a key where none belongs

    base_url: Annotated[str, AfterValidator(service_address)] | None = (
        None  # with its /v1; None: OPENAI_BASE_URL or OpenAI
    )
    api_key_env: Annotated[str, AfterValidator(variable_name)] | None = (
        None  # the variable that holds the key, never the key
    )
    structured_output: Literal["json_schema", "json_object", "none"] = "json_schema"
    max_tokens_key: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    max_completion_tokens: Count | None = None  # of graders that set none
    concurrency: Count = 100  # calls under way
    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    timeout: Positive = 60.0  # seconds that one try may take
    deadline: Positive = 300.0  # seconds that a call may take, with all its tries and waits
    retries: Annotated[int, Field(strict=True, ge=0)] = 5  # after the first try; one turned away by 429 is none
    give_up_after: Positive = 180.0  # seconds of nothing but failures (ten at least) or of nothing but 429: a run ends
    client: Literal["plain", "aiohttp", "openai"] | None = None  # what sends; None: plain, or aiohttp through a proxy

    @property
    def address(self) -> str:
        """The base URL in use, without a slash at its end."""
        return (self.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).rstrip("/")

    @property
    def key(self) -> str:
        """The key in use; "" where none is needed. Raises ValueError where one is needed and not set."""
        if self.api_key_env is None:
            return ""
        if key := os.environ.get(self.api_key_env, "").strip():
            if not (key.isascii() and key.isprintable()):
                raise ValueError(f"the key in {self.api_key_env} holds characters that no request can; copy it anew")
            return key
        if self.address != OPENAI_URL and self.base_url is None:
            return ""  # a server of one's own, named by OPENAI_BASE_URL, may do without
        raise ValueError(
            f"no key for {self.address}: the environment variable {self.api_key_env} is not set; set it, or name a "
            "service that needs none in a file of judges"
        )


class Model(Options):
    """Which service answers for a model that graders name, and under which name the service knows it."""

    service: str = OPENAI
    model: Annotated[str, Field(min_length=1)] | None = None  # None: as graders name it


class Route(NamedTuple):
    """Where a model's questions go: the name of the service, the service, and its name for the model."""

    name: str
    service: Service
    model: str


class Settings(Options):
    """What a file of judges holds.

    >>> settings = Settings(
    ...     services={"local": {"base_url": "http://127.0.0.1:8080/v1"}},
    ...     models={"gpt-4o-2024-08-06": {"service": "local", "model": "qwen3-8b"}},
    ... )
    >>> settings.route("gpt-4o-2024-08-06").model
    'qwen3-8b'
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    services: dict[str, Service] = Field(default_factory=dict)
    models: dict[str, Model] = Field(default_factory=dict)  # "*" stands for every other model
    prices: dict[str, Price] = Field(default_factory=dict)  # by the service's name for the model

    @model_validator(mode="after")
    def _services_are_there(self) -> Settings:
        for name, model in self.models.items():
            if model.service not in self.known:
                raise ValueError(f"models.{name}: no service {model.service!r}; {nearest(model.service, self.known)}")
        return self

    @cached_property
    def known(self) -> dict[str, Service]:
        return {OPENAI: Service(api_key_env="OPENAI_API_KEY"), **self.services}

    @cached_property
    def _routes(self) -> dict[str, Route]:
        return {}

    def route(self, model: str) -> Route:
        """Where this model's questions go."""
        if model not in self._routes:
            self._routes[model] = self._found(model)
        return self._routes[model]

    def _found(self, model: str) -> Route:
        entry = self.models.get(model) or self.models.get(ANY) or Model()
        return Route(entry.service, self.known[entry.service], entry.model or model)

    def check_ready(self, model: str) -> None:
        """Raise ValueError where this model cannot be asked: no key, an address that is none."""
        route = self.route(model)
        try:
            service_address(route.service.address)
            _ = route.service.key
        except ValueError as problem:
            raise ValueError(f"model {model!r}: {problem}") from None


def read_settings(path: str | Path) -> Settings:
    """The settings in a YAML or JSON file; an empty one is that of none.

    Raises ValueError with the place of what is wrong, FileNotFoundError.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file of judges {short(str(path), 300)}")
    try:
        wire: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=_NoAliases)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as problem:
        raise ValueError(f"{path}: not YAML ({' '.join(str(problem).split())[:200]})") from None
    if wire is None:
        return Settings()
    if not isinstance(wire, Mapping):
        raise ValueError(f"{path}: a file of judges is an object with services, models and prices, not {short(wire)}")
    try:
        return Settings.model_validate(wire)
    except ValidationError as problem:
        lines = [
            ".".join(map(str, finding["loc"]))
            + ": " * bool(finding["loc"])
            + finding["msg"].removeprefix("Value error, ")
            for finding in problem.errors()
        ]
        raise ValueError(f"{path}: {'; '.join(lines)}") from None


class _NoAliases(yaml.SafeLoader):
    """YAML without aliases, which a few lines of can blow up to gigabytes, and without keys that stand twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for written, _ in node.value:
            if not isinstance(written, yaml.ScalarNode):
                continue
            key = self.construct_object(written)
            if key in seen:
                line = written.start_mark.line + 1
                raise yaml.YAMLError(f"the key {short(key)} is written twice, the second time in line {line}")
            seen.add(key)
        return super().construct_mapping(node, deep)
