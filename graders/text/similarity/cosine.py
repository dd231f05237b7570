"""cosine: the cosine of two texts' embeddings, which an endpoint gives or a model on this machine.

Source: OpenAI's guide ("cosine similarity of text-embedding-3-large embeddings", for evals).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from graders.grade import GradingError
from graders.options import Options
from graders.template import short

AT_ONCE = 64  # requests under way; a caller that asks for more waits


class Endpoint(Options):
    """A server that speaks OpenAI's `POST /v1/embeddings`; by default OpenAI's own."""

    model: str = Field("text-embedding-3-large", min_length=1)
    base_url: str | None = None  # with its /v1; None: the variable OPENAI_BASE_URL, else OpenAI's
    api_key_env: str = "OPENAI_API_KEY"  # the environment variable that holds the key, never the key
    timeout: float = Field(60.0, gt=0, le=3600)  # seconds of silence, for each of up to three attempts


class Local(Options):
    """A sentence-transformers model on this machine."""

    local: str = Field(min_length=1)  # its folder, or its name on the Hugging Face hub


def _kind(given: Any) -> str:
    return "local" if isinstance(given, Local) or (isinstance(given, Mapping) and "local" in given) else "endpoint"


Embeddings = Annotated[
    Annotated[Endpoint, Tag("endpoint")] | Annotated[Local, Tag("local")],
    Discriminator(_kind),
]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of the angle between two vectors, from -1 to 1; ValueError where there is none.

    >>> round(cosine([1, 0], [1, 1]), 4)
    0.7071
    """
    import numpy as np

    a, b = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or not a.size:
        raise ValueError(f"their shapes are {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("one holds a number that is not finite")
    largest = float(np.abs(a).max()), float(np.abs(b).max())
    if 0.0 in largest:
        raise ValueError("one has no direction: it is zero")
    a, b = a / largest[0], b / largest[1]  # so that no square overflows or vanishes
    return max(-1.0, min(1.0, float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))))


def embedded_by_server(endpoint: Endpoint, output: str, reference: str) -> tuple[list[list[float]], dict[str, int]]:
    """The embeddings of both texts and the tokens they used; GradingError where the server gives none.

    A server that takes the reference alone, but not both, is refused by the output: that is the candidate's fault.
    """
    try:
        import openai
    except ImportError:
        raise GradingError(
            "not_installed", "metric 'cosine' needs the openai client: pip install 'assay[judge]'", "infra"
        ) from None
    try:
        return _ask(endpoint, [output, reference])
    except (openai.BadRequestError, openai.UnprocessableEntityError) as problem:
        refused: openai.APIStatusError = problem
    except openai.APIStatusError as problem:
        if problem.status_code != 413:
            raise _error(endpoint, problem) from None
        refused = problem
    except (openai.OpenAIError, ValueError) as problem:
        raise _error(endpoint, problem) from None
    try:
        _ask(endpoint, [reference])
    except (openai.OpenAIError, ValueError):
        raise _error(endpoint, refused) from None
    detail = f"the output cannot be embedded: {_words(endpoint, refused)}"
    raise GradingError("sample_parse_error", detail, "candidate")


def _ask(endpoint: Endpoint, texts: Sequence[str]) -> tuple[list[list[float]], dict[str, int]]:
    """One request; ValueError where the answer is not what was asked for."""
    client = _client(endpoint.base_url, _key(endpoint), endpoint.timeout)
    # Lone surrogates have no place in UTF-8, and so in no request.
    plain = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
    try:
        answer = client.embeddings.create(model=endpoint.model, input=plain, encoding_format="float")
        vectors = [entry.embedding for entry in sorted(answer.data, key=lambda entry: entry.index)]
        usage = answer.usage
    except (AttributeError, TypeError) as problem:
        raise ValueError(f"the answer is not a list of embeddings ({problem})") from None
    if len(vectors) != len(texts):
        raise ValueError(f"{len(texts)} texts were sent and {len(vectors)} embeddings came back")
    counts = {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.total_tokens} if usage else {}
    return vectors, {name: count for name, count in counts.items() if isinstance(count, int)}


@lru_cache(maxsize=8)
def _client(base_url: str | None, key: str, timeout: float) -> Any:
    """One client for all threads, so that connections are used again."""
    import openai

    return openai.OpenAI(base_url=base_url, api_key=key, timeout=timeout)


def _key(endpoint: Endpoint) -> str:
    """The key; a server of one's own may do without."""
    own = endpoint.base_url is not None or bool(os.environ.get("OPENAI_BASE_URL"))
    if key := os.environ.get(endpoint.api_key_env) or ("none" if own else ""):
        return key
    detail = f"metric 'cosine' asks {endpoint.model!r} of OpenAI, and the variable {endpoint.api_key_env} holds no key"
    raise GradingError("model_grader_server_error", detail, "infra")


def _error(endpoint: Endpoint, problem: Exception) -> GradingError:
    import openai

    words = _words(endpoint, problem)
    if isinstance(problem, openai.APITimeoutError):
        detail = f"the embedding server was silent for {endpoint.timeout:g} s: {words}"
        return GradingError("timeout", detail, "infra")
    if isinstance(problem, openai.RateLimitError):
        return GradingError("overloaded", f"the embedding server turned the request away: {words}", "infra")
    if isinstance(problem, ValueError):
        return GradingError("model_grader_parse_error", f"the embedding server's answer: {words}", "infra")
    return GradingError("model_grader_server_error", f"the embedding server: {words}", "infra")


def _words(endpoint: Endpoint, problem: Exception) -> str:
    """What the server or the network said, without the key."""
    said = f"{problem} ({problem.__cause__})" if problem.__cause__ else str(problem)
    key = os.environ.get(endpoint.api_key_env)
    said = said.replace(key, "<key>") if key else said
    return said if len(said) <= 500 else said[:497] + "..."


@cache
def threads() -> ThreadPoolExecutor:
    """Where requests wait: the client is shared by threads, and outlives the event loop of a single call."""
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="embeddings")


def embedded_locally(model: Local, output: str, reference: str) -> list[Any]:
    """The embeddings of both texts by a sentence-transformers model."""
    return list(_local_model(model.local).encode([output, reference]))


@lru_cache(maxsize=2)
def _local_model(name: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        detail = "metric 'cosine' with a local model needs sentence-transformers: pip install sentence-transformers"
        raise GradingError("not_installed", detail, "infra") from None
    try:
        return SentenceTransformer(name)
    except (OSError, ValueError) as problem:
        detail = f"the embedding model {name!r} could not be loaded: {short(str(problem), 300)}"
        raise GradingError("not_installed", detail, "infra") from None
