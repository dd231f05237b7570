"""The output of an output item: the text and tool calls of messages, of chat completions and of responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graders.sample import SAMPLE_FIELDS

_EMPTY: tuple[Any, ...] = (None, "", [], {})


@dataclass(slots=True)
class Output:
    """What of a stored sample a row can hold, what it cannot, and what was decided on the way."""

    fields: dict[str, Any] = field(default_factory=dict)  # of a Sample
    calls: list[Mapping[str, Any]] = field(default_factory=list)  # of tools, by messages
    lost: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def says_something(self) -> bool:
        return any(value not in _EMPTY for value in self.fields.values())


def read_output(sample: Mapping[str, Any]) -> Output:
    """The output of a sample: the fields that graders know, else what its messages say.

    The last message of the assistant with a text is the output, as a run asks for one; a refusal is its text.
    """
    output = Output({key: sample[key] for key in SAMPLE_FIELDS if sample.get(key) not in (None, [], {})})
    messages = list(_messages(sample.get("output")))
    if not messages and "output_text" not in output.fields:
        messages = [choice.get("message") for choice in _objects(sample.get("choices"))][:1]
    said = [_read(message, output) for message in messages if isinstance(message, Mapping)]
    texts = [text for text in said if text is not None]
    if texts:
        output.fields.setdefault("output_text", texts[-1])
    if len(texts) > 1:
        output.remarks.append(f"the last of {len(texts)} messages of the assistant")
    if output.calls:
        output.fields.setdefault("output_tools", output.calls)
    if messages or output.fields:
        output.fields.setdefault("output_text", "")
    return output


def _messages(value: Any) -> Iterator[Any]:
    if isinstance(value, str):
        yield {"content": value}
    elif isinstance(value, Mapping):
        yield value
    elif isinstance(value, list):
        yield from ({"content": part} if isinstance(part, str) else part for part in value)


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [part for part in value if isinstance(part, Mapping)] if isinstance(value, list) else []


def _read(message: Mapping[str, Any], output: Output) -> str | None:
    """The text of one message; its tool calls go to the output, and what is neither is lost."""
    kind, role = message.get("type") or "message", message.get("role") or "assistant"
    if kind == "function_call":
        function = {key: message.get(key) for key in ("name", "arguments")}
        call = {"id": message.get("call_id"), "type": "function", "function": function}
        output.calls.append(call)
        return None
    if kind != "message" or role != "assistant":
        output.lost.append(str(kind) if kind != "message" else f"a message of the role {role!r}")
        return None
    output.calls += _objects(message.get("tool_calls"))
    if message.get("audio") is not None:
        output.lost.append("audio")
    text, refusal = _content(message.get("content"), output), message.get("refusal")
    if not text and isinstance(refusal, str) and refusal:
        output.remarks.append("a refusal stands as the text")
        return refusal
    return text


def _content(content: Any, output: Output) -> str | None:
    if content is None or isinstance(content, str):
        return content
    texts = []
    for part in content if isinstance(content, list) else [content]:
        text = part.get("text") if isinstance(part, Mapping) else part
        if isinstance(part, Mapping) and isinstance(part.get("refusal"), str):
            output.remarks.append("a refusal stands as the text")
            text = part["refusal"]
        if isinstance(text, str):
            texts.append(text)
        else:
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            output.lost.append(f"a part of type {kind!r}")
    return "".join(texts) if texts else None
