"""Templates: `{{ item.a.b[0] }}` and `{{ sample.output_text }}` in grader definitions.

One pass; what was put in is never rendered again. Strings go in as they are, every other value as compact
JSON.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, TypeAlias

from pydantic import AfterValidator

from graders.grade import GradingError
from graders.sample import SAMPLE_FIELDS, Item, Sample

PATH = re.compile(r"(\w+)((?:\.[\w-]+|\[-?\d+\])+)")
STEP = re.compile(r"\.([\w-]+)|\[(-?\d+)\]")


class Variable(NamedTuple):
    """One `{{ ... }}`: its text, the namespace, and the keys and indices that lead to the value."""

    text: str
    namespace: str
    path: tuple[str | int, ...]


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for an error message: the known name closest to `name`, then all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(name[:100], names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(names) or 'none'}"


def _parse_variable(text: str) -> Variable:
    match = PATH.fullmatch(text)
    if match is None:
        raise ValueError(
            f"template variable {short(text)} is not a path; write {{{{ item.key }}}} or "
            "{{ sample.output_text }}, with .key and [0] to go deeper"
        )
    namespace, steps = match.groups()
    if namespace not in ("item", "sample"):
        raise ValueError(
            f"template variable {short(text)}: the namespace must be 'item' or 'sample', not {short(namespace)}"
        )
    path = tuple(name or int(index) for name, index in STEP.findall(steps))
    if namespace == "sample" and path[0] not in SAMPLE_FIELDS:
        raise ValueError(
            f"template variable {short(text)}: a sample has no {path[0]!r}; {nearest(str(path[0]), SAMPLE_FIELDS)}"
        )
    return Variable(text, namespace, path)


@lru_cache(maxsize=4096)
def parse(template: str) -> tuple[str | Variable, ...]:
    """The template as texts and variables, in order. Raises ValueError where a variable is malformed."""
    pieces: list[str | Variable] = []
    end = 0
    while (start := template.find("{{", end)) >= 0 and (close := template.find("}}", start + 2)) >= 0:
        if start > end:
            pieces.append(template[end:start])
        pieces.append(_parse_variable(template[start + 2 : close].strip()))
        end = close + 2
    if end < len(template):
        pieces.append(template[end:])
    _check_braces([piece for piece in pieces if isinstance(piece, str)])
    return tuple(pieces)


def _check_braces(texts: Sequence[str]) -> None:
    """Refuse what is left of a mistyped variable. `}}` may stay where it closes braces, as in JSON."""
    for text in texts:
        if "{{" in text:
            raise ValueError(
                f"template text {short(text)} opens a variable with '{{{{' and never closes it; "
                "write {{ item.key }}, or '{ {' where braces are meant"
            )
    doubled = [text for text in texts if "}}" in text]
    depth = 0
    for brace in re.findall(r"[{}]", "".join(texts)) if doubled else ():
        depth += 1 if brace == "{" else -1
        if depth < 0:
            text = doubled[0]
            raise ValueError(
                f"template text {short(text)} closes a variable with '}}}}' that was never opened; "
                "write {{ item.key }}, or '} }' where braces are meant"
            )


def _checked(template: str) -> str:
    parse(template)
    return template


Template = Annotated[str, AfterValidator(_checked)]
"""A string field of a grader that may hold `{{ ... }}`; a malformed one is refused when the grader loads."""


def follow(value: Any, step: str | int) -> Any:
    """One step of a path: the key of an object or the index of a list; LookupError where there is none."""
    if type(value) is (dict if type(step) is str else list):  # nearly always, and quicker to find out
        return value[step]  # type: ignore[index]
    holds_steps = isinstance(value, Mapping if isinstance(step, str) else Sequence)
    if isinstance(value, str) or not holds_steps:
        raise LookupError(step)
    return value[step]


def _lookup(variable: Variable, sample: Sample, item: Item) -> Any:
    value: Any = item if variable.namespace == "item" else sample
    for depth, step in enumerate(variable.path):
        if isinstance(value, Sample):
            value = choices_of(value) if step == "choices" else getattr(value, str(step))
            continue
        try:
            value = follow(value, step)
        except LookupError:
            raise missing(variable, depth, value) from None
    if value is None:
        raise missing(variable, len(variable.path), value)
    return value


def choices_of(sample: Sample) -> Sequence[Mapping[str, Any]]:
    """The sample's `choices`; of one given by its text alone, the one choice that holds its text and tool calls."""
    if sample.choices:
        return sample.choices
    message = {"role": "assistant", "content": sample.output_text, "tool_calls": list(sample.output_tools) or None}
    return [{"index": 0, "message": message, "finish_reason": "tool_calls" if sample.output_tools else "stop"}]


NOT_WRITTEN = ("output_audio", "output_reasoning_summary")
"""What a sample has only where whoever stored it put it there: its absence is not the candidate's fault."""


def missing(variable: Variable, depth: int, value: Any) -> GradingError:
    """What the model wrote is the candidate's to get right; what the item lacks is not its fault."""
    so_far = variable.namespace + "".join(f".{s}" if isinstance(s, str) else f"[{s}]" for s in variable.path[:depth])
    if variable.namespace == "sample" and variable.path[0] in NOT_WRITTEN and depth == 1 and value is None:
        detail = f"{{{{ {variable.text} }}}}: the sample was stored without {so_far.removeprefix('sample.')}"
        return GradingError("invalid_variable_error", detail)
    if variable.namespace == "sample":
        if variable.path[0] == "output_json" and depth == 1 and value is None:
            detail = f"{{{{ {variable.text} }}}}: the output is not valid JSON"
        else:
            detail = f"{{{{ {variable.text} }}}}: nothing there; {so_far} is {short(value)}"
        return GradingError("sample_parse_error", detail, "candidate")
    if depth == len(variable.path):
        hint = f"{so_far} is null"
    elif isinstance(value, Mapping):
        step = variable.path[depth]
        hint = f"{so_far} has no {step!r}; {nearest(str(step), map(str, value))}"
    else:
        hint = f"{so_far} is {short(value)}, which has no {variable.path[depth]!r}"
    return GradingError(
        "invalid_variable_error",
        f"{{{{ {variable.text} }}}} was found neither in the item nor in the sample: {hint}",
    )


def short(value: Any, limit: int = 80) -> str:
    """The value as a message shows it: its repr, cut to `limit` characters."""
    try:
        text = repr(value[:limit] if isinstance(value, str) else value)
    except RecursionError:
        return f"a deeply nested {type(value).__name__}"
    except ValueError:  # a whole number of more digits than Python writes
        return f"a {type(value).__name__} with a huge whole number" if not isinstance(value, int) else "a huge number"
    whole = len(text) <= limit and not (isinstance(value, str) and len(value) > limit)
    return text if whole else text[: limit - 3] + "..."


def resolve(template: str, sample: Sample, item: Item) -> Any:
    """The value itself where the template is one variable (a list stays a list), else the rendered text."""
    pieces = parse(template)
    if len(pieces) == 1 and isinstance(pieces[0], Variable):
        return _lookup(pieces[0], sample, item)
    return render(template, sample, item)


def render(template: str, sample: Sample, item: Item) -> str:
    """The template with every variable put in.

    Raises GradingError where a variable has no value: what the item lacks is reported before what the output
    lacks, so that a broken row is never blamed on the candidate.

    >>> render("{{item.gene}} or {{ item.others[0] }}", Sample(), {"gene": "FBN1", "others": ["TGFBR2"]})
    'FBN1 or TGFBR2'
    """
    return render_all([template], sample, item)[0]


Wrap: TypeAlias = Callable[[Variable, str], str]
"""What is put in for a variable, given the text of its value."""


def render_all(
    templates: Sequence[str], sample: Sample, item: Item, wraps: Sequence[Wrap | None] | None = None
) -> list[str]:
    """Several templates as `render` does each; what the item lacks in any of them is reported first.

    `wraps` has one for each template whose values are not put in as they are.
    """
    try:
        if wraps is None:
            return [_rendered(template, sample, item) for template in templates]
        return [
            "".join([_wrapped(piece, sample, item, wrap) for piece in parse(template)])
            for template, wrap in zip(templates, wraps, strict=True)
        ]
    except GradingError as problem:
        if problem.error.fault == "candidate":
            for piece in (piece for template in templates for piece in parse(template)):
                if isinstance(piece, Variable) and piece.namespace == "item":
                    _put_in(piece, sample, item)
        raise


def _rendered(template: str, sample: Sample, item: Item) -> str:
    pieces = parse(template)
    if len(pieces) == 1:
        return _put_in(pieces[0], sample, item)
    return "".join([_put_in(piece, sample, item) for piece in pieces])


def _put_in(piece: str | Variable, sample: Sample, item: Item) -> str:
    return piece if isinstance(piece, str) else _text(piece, _lookup(piece, sample, item))


def _wrapped(piece: str | Variable, sample: Sample, item: Item, wrap: Wrap | None) -> str:
    text = _put_in(piece, sample, item)
    return text if wrap is None or isinstance(piece, str) else wrap(piece, text)


def _text(variable: Variable, value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as problem:  # NaN, a date of a frame, a key that is no text
        detail = f"{{{{ {variable.text} }}}} is no JSON, so it cannot be put into a text: {problem}"
        raise GradingError("other_error", detail) from None
    except RecursionError:
        detail = f"{{{{ {variable.text} }}}} is nested too deeply to be written as text"
        if variable.namespace == "sample":
            raise GradingError("sample_parse_error", detail, "candidate") from None
        raise GradingError("other_error", detail) from None
