"""Tool calls as a model's output and a data row hold them: read into one form. Scores nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from graders.grade import GradingError
from graders.reference import invalid
from graders.sample import Item, Sample, read_json
from graders.structured.values import check, read_output, read_reference
from graders.template import resolve, short

OUTPUT_TOOLS = "{{sample.output_tools}}"
NO_CALLS = ("reasoning", "message", "text", "output_text", "refusal", "thinking", "redacted_thinking")
RESULT = "_output"  # how the types end of what came back from a call
STRAY = ("parameters", "input", "args", "kwargs", "params")  # where arguments are written by mistake


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call: the function's name and its arguments; `problem` says why a call cannot be read."""

    name: str
    arguments: Any
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.name}({short(self.arguments, 60)})"

    def to_wire(self) -> dict[str, Any]:
        return {"name": self.name, "arguments": self.arguments}


def read_output_calls(template: str, sample: Sample, item: Item) -> list[ToolCall]:
    """The calls of an output. A call that cannot be read bears its problem; GradingError where there is no list."""
    if template.replace(" ", "") != OUTPUT_TOOLS:
        given = read_output(template, sample, item)
    else:
        given = sample.output_tools or _calls_of_choice(sample)
    if isinstance(given, dict):
        given = [given]
    if not isinstance(given, list | tuple):
        detail = f"a list of tool calls was expected, not {short(given)}"
        raise GradingError("sample_parse_error", detail, "candidate")
    return [_read(call) for call in given if not _is_no_call(call)]


def wrote_no_call(template: str, sample: Sample, item: Item) -> bool:
    """Whether a text that calls are read from is blank or prose: it is no JSON and has no `"name"` in it."""
    text = resolve(template, sample, item)
    return isinstance(text, str) and not text.lstrip().startswith(("{", "[")) and '"name"' not in text


def _is_no_call(entry: Any) -> bool:
    """Whether an entry of the Responses API's output is something else that stands between the calls."""
    kind = entry.get("type") if isinstance(entry, dict) else None
    return isinstance(kind, str) and (kind in NO_CALLS or kind.endswith(RESULT))


def _calls_of_choice(sample: Sample) -> Any:
    choice: Any = sample.choices[0] if sample.choices else {}
    message = choice.get("message") if isinstance(choice, dict) else None
    return (message.get("tool_calls") if isinstance(message, dict) else None) or ()


def read_reference_calls(template: str, sample: Sample, item: Item) -> list[ToolCall]:
    """The calls an item expects, perhaps none; GradingError where they are missing or cannot be read."""
    wanted = read_reference(template, sample, item)
    if isinstance(wanted, dict):
        wanted = [wanted]
    if not isinstance(wanted, list | tuple):
        raise invalid(wanted, "a list of tool calls is expected")
    calls = []
    for number, entry in enumerate(wanted, start=1):
        if not _is_no_call(entry):
            calls.append(call := _read(entry))
            if call.problem:
                raise invalid(entry, f"call {number}: {call.problem}")
    return calls


def _read(call: Any) -> ToolCall:
    """A call in the shape of chat completions, of the Responses API, or as `{"name", "arguments"}`."""
    body = call
    if isinstance(call, dict) and isinstance(function := call.get("function"), dict):
        body = function
    elif isinstance(call, dict) and isinstance(custom := call.get("custom"), dict):
        body = {"name": custom.get("name"), "arguments": {"input": custom.get("input")}}
    elif isinstance(call, dict) and call.get("type") == "custom_tool_call":
        body = {"name": call.get("name"), "arguments": {"input": call.get("input")}}
    name = body.get("name") if isinstance(body, dict) else None
    if not isinstance(name, str) or not name:
        return ToolCall("?", None, f"it has no name: {short(call)}")
    if "arguments" not in body and (stray := [key for key in STRAY if key in body]):
        return ToolCall(name, None, f"{name} has {stray[0]!r} where 'arguments' is expected")
    arguments = body.get("arguments")
    try:
        if isinstance(arguments, str):
            arguments = read_json(arguments) if arguments.strip() else {}
        check(arguments)
    except ValueError as problem:
        return ToolCall(name, short(arguments), f"the arguments of {name} are not JSON ({problem}): {short(arguments)}")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        return ToolCall(name, arguments, f"the arguments of {name} are no object: {short(arguments)}")
    return ToolCall(name, arguments)


def of_one_name(calls: Sequence[ToolCall], others: Sequence[ToolCall]) -> Iterator[tuple[int, int]]:
    """The pairs of calls that have the same name and can be read."""
    by_name: dict[str, list[int]] = {}
    for number, other in enumerate(others):
        if not other.problem:
            by_name.setdefault(other.name, []).append(number)
    for first, call in enumerate(calls):
        for second in by_name.get(call.name, ()):
            yield first, second
