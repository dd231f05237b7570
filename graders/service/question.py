"""Question and answer: what a judge model is asked over OpenAI's chat-completions wire, and what it said."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from graders.grade import GradingError, Usage
from graders.sample import read_json
from graders.service.redact import redacted, without_secrets
from graders.service.settings import Route
from graders.template import short


@dataclass(frozen=True)
class Form:
    """The JSON object a judge must answer with: its name, and its JSON schema."""

    name: str
    schema: Mapping[str, Any]

    @cached_property
    def as_response_format(self) -> str:
        form = {"name": self.name, "strict": True, "schema": self.schema}
        return _COMPACT.encode({"type": "json_schema", "json_schema": form})


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `messages` are as `graders.model.messages.rendered` makes them."""

    model: str  # as the grader names it
    messages: Sequence[Mapping[str, Any]]
    form: Form
    params: Mapping[str, Any] = field(default_factory=dict)  # sampling parameters, by OpenAI's names
    asker: str = ""  # identity of the grader
    top_logprobs: int = 0  # alternatives of each token to bring, with their log-probabilities
    keep: bool = True  # whether the answer may come from the cache and go there


@dataclass(frozen=True, slots=True)
class Answer:
    """What a judge model said."""

    text: str
    usage: Usage  # of this answer; of one that was in the cache, only that it was
    model: str = ""  # the name the service gives
    logprobs: Sequence[Mapping[str, Any]] | None = None  # token by token, as the service tells them
    elsewhere: str = ""  # of an empty one: the field in which the service put what the judge said


REASONING = ("reasoning_content", "reasoning")
"""Fields in which services put a judge's thoughts, beside its `content`."""

_COMPACT = json.JSONEncoder(separators=(",", ":"))


def body_of(question: Question, route: Route) -> bytes:
    """The request's JSON."""
    service = route.service
    body: dict[str, Any] = {"model": route.model, "messages": chat_messages(question, service.structured_output)}
    if service.structured_output == "json_object":
        body["response_format"] = {"type": "json_object"}
    for name, value in question.params.items():
        body[service.max_tokens_key if name == "max_completions_tokens" else name] = value
    if service.max_completion_tokens is not None:
        body.setdefault(service.max_tokens_key, service.max_completion_tokens)
    if question.top_logprobs:
        body |= {"logprobs": True, "top_logprobs": question.top_logprobs}
    text = _COMPACT.encode(body)
    if service.structured_output == "json_schema":
        text = f'{text[:-1]},"response_format":{question.form.as_response_format}}}'
    return text.encode()


def chat_messages(question: Question, structured_output: str) -> list[dict[str, Any]]:
    """The messages in the shape of chat completions; where no schema is enforced, the last one asks for it in words."""
    messages = [
        {"role": _role(message["role"]), "content": _content(message["content"])} for message in question.messages
    ]
    if structured_output != "json_schema":
        wish = f"Answer with one JSON object and nothing else. Its JSON schema: {json.dumps(question.form.schema)}"
        last = messages[-1]
        if last["role"] == "user":
            last["content"] = (
                f"{last['content']}\n\n{wish}"
                if isinstance(last["content"], str)
                else [*last["content"], {"type": "text", "text": wish}]
            )
        else:
            messages.append({"role": "user", "content": wish})
    return messages


_SURROGATE = re.compile("[\ud800-\udfff]")


def sendable(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which no server takes."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


def _role(role: str) -> str:
    return "system" if role == "developer" else role  # which every server knows, and OpenAI's takes for the same


def _content(content: Any) -> Any:
    """A text where there is only text, since many servers take nothing else; else the parts."""
    if isinstance(content, str):
        return sendable(content)
    if all("text" in part for part in content):
        return sendable("\n".join(part["text"] for part in content))
    return [_part(part) for part in content]


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part["type"] == "input_image":
        return {"type": "image_url", "image_url": {"url": part["image_url"], "detail": part["detail"]}}
    if part["type"] == "input_audio":
        return dict(part)
    return {"type": "text", "text": sendable(part["text"])}


class BrokenAnswerError(ValueError):
    """A 200 whose body is no completion: cut off, or not JSON. Another try may bring one."""


def answer_of(raw: bytes, model: str) -> Answer:
    """The answer in a response body.

    A completion without content is the empty answer. Raises BrokenAnswerError for a body that is no completion;
    GradingError (`model_grader_refusal_error`) where the judge refused.
    """
    try:
        wire = read_json(raw.decode("utf-8"))
        choice = wire["choices"][0]
        message = choice["message"]
        usage = {model: counts_of(wire.get("usage"))}
        text, refusal = message.get("content"), message.get("refusal")
        elsewhere = next((name for name in REASONING if message.get(name)), "")
        logprobs = (choice.get("logprobs") or {}).get("content")
        served = wire.get("model")
        finish = choice.get("finish_reason")
    except (ValueError, LookupError, TypeError, AttributeError) as problem:
        reason = f"{type(problem).__name__}: {problem}"
        raise BrokenAnswerError(f"the answer is no chat completion ({short(redacted(reason))}): {_seen(raw)}") from None
    if refusal or finish == "content_filter":
        said = short(redacted(refusal)) if isinstance(refusal, str) else "its service's content filter stopped it"
        raise GradingError("model_grader_refusal_error", f"the judge {model} refused: {said}", "grader", usage)
    if finish == "length":
        detail = (
            f"the judge {model} was cut off after {usage[model].get('completion_tokens', '?')} tokens; raise "
            "max_completions_tokens in its sampling_params"
        )
        raise GradingError("model_grader_parse_error", detail, "grader", usage)
    if isinstance(text, list):  # some servers answer in parts
        text = "".join(part.get("text", "") for part in text if isinstance(part, Mapping))
    if text is None:  # a judge that only thought, or called a tool: it answered nothing
        text = ""
    if not isinstance(text, str):
        raise BrokenAnswerError(f"the answer holds no text: {_seen(raw)}")
    named = without_secrets(served) if isinstance(served, str) else model
    text = without_secrets(text)  # which a server may say again
    return Answer(text, usage, named, _without_secrets(logprobs), "" if text.strip() else elsewhere)


def _without_secrets(logprobs: Any) -> Any:
    """The tokens of an answer; None where they, or one of their alternatives, tell a secret."""
    if not isinstance(logprobs, list):
        return None
    texts = [
        entry.get("token") if isinstance(entry, Mapping) else None
        for one in logprobs
        for entry in (one, *_alternatives(one))
    ]
    spelt = "".join(str(one.get("token")) for one in logprobs if isinstance(one, Mapping))
    told = "\n".join([spelt, *map(str, texts)])
    return logprobs if without_secrets(told) == told else None


def _alternatives(token: Any) -> list[Any]:
    listed = token.get("top_logprobs") if isinstance(token, Mapping) else None
    return listed if isinstance(listed, list) else []


def _seen(raw: bytes) -> str:
    """The beginning of a body, as a message shows it."""
    return short(redacted(raw[:2000].decode("utf-8", "replace")), 120)


def counts_of(usage: Any) -> dict[str, int]:
    """A call's tokens as `graders.grade.Usage` counts them."""
    counts = {"calls": 1}
    if isinstance(usage, Mapping):
        details = usage.get("prompt_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, Mapping) else None
        told = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")} | {"cached_tokens": cached}
        counts |= {name: n for name, n in told.items() if isinstance(n, int) and not isinstance(n, bool) and n >= 0}
    return counts
