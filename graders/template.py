"""Templates: `{{ item.a.b[0] }}` and `{{ sample.output_text }}` in grader definitions.

One pass; what was put in is never rendered again. Strings go in as they are, every other value as compact
JSON. `missing_variables` says before any grading which variables a data set or a schema does not have.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel

from graders.grade import GradingError
from graders.sample import SAMPLE_FIELDS, Item, Sample

PLACEHOLDER = re.compile(r"\{\{\s*(.*?)\s*\}\}", re.DOTALL)
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
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}known: {', '.join(names) or 'none'}"


def _parse_variable(text: str) -> Variable:
    match = PATH.fullmatch(text)
    if match is None:
        raise ValueError(
            f"template variable {text!r} is not a path; write {{{{ item.key }}}} or "
            "{{ sample.output_text }}, with .key and [0] to go deeper"
        )
    namespace, steps = match.groups()
    if namespace not in ("item", "sample"):
        raise ValueError(f"template variable {text!r}: the namespace must be 'item' or 'sample', not {namespace!r}")
    path = tuple(name or int(index) for name, index in STEP.findall(steps))
    if namespace == "sample" and path[0] not in SAMPLE_FIELDS:
        raise ValueError(
            f"template variable {text!r}: a sample has no {path[0]!r}; {nearest(str(path[0]), SAMPLE_FIELDS)}"
        )
    return Variable(text, namespace, path)


@lru_cache(maxsize=4096)
def parse(template: str) -> tuple[str | Variable, ...]:
    """The template as texts and variables, in order. Raises ValueError where a variable is malformed."""
    pieces: list[str | Variable] = []
    end = 0
    for match in PLACEHOLDER.finditer(template):
        if match.start() > end:
            pieces.append(template[end : match.start()])
        pieces.append(_parse_variable(match[1]))
        end = match.end()
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
            raise _missing(variable, depth, value) from None
    if value is None:
        raise _missing(variable, len(variable.path), value)
    return value


def choices_of(sample: Sample) -> Sequence[Mapping[str, Any]]:
    """The sample's `choices`; of one given by its text alone, the one choice that holds its text and tool calls."""
    if sample.choices:
        return sample.choices
    message = {"role": "assistant", "content": sample.output_text, "tool_calls": list(sample.output_tools) or None}
    return [{"index": 0, "message": message, "finish_reason": "tool_calls" if sample.output_tools else "stop"}]


NOT_WRITTEN = ("output_audio", "output_reasoning_summary")
"""What a sample has only where whoever stored it put it there: its absence is not the candidate's fault."""


def _missing(variable: Variable, depth: int, value: Any) -> GradingError:
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


def render_all(templates: Sequence[str], sample: Sample, item: Item) -> list[str]:
    """Several templates as `render` does each; what the item lacks in any of them is reported first."""
    try:
        return [_rendered(template, sample, item) for template in templates]
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


# Before any grading: which variables are there to be filled?


class Placed(NamedTuple):
    """A template of a grader's definition, and where it stands."""

    place: str  # as in "input.0.content"
    template: str
    given: frozenset[str] = frozenset()  # keys of the item that a grader around it fills for its parts


class Missing(NamedTuple):
    """A variable that no item has, where it stands, and what there is instead."""

    place: str
    variable: str
    hint: str

    def __str__(self) -> str:
        return f"{self.place}: {{{{ {self.variable} }}}} is in no item: {self.hint}"


NO_TEMPLATES = ("source", "pattern", "schema", "type", "name", "url", "headers")
"""Fields in which braces mean something else: code, expressions, names, addresses."""


def templates_of(definition: BaseModel, place: str = "", given: frozenset[str] = frozenset()) -> Iterator[Placed]:
    """Every text with variables in a grader's fields, those of its parts and its messages included.

    A class whose parts see a key that it puts into the item names it in `gives_parts`.
    """
    given = given | frozenset(getattr(definition, "gives_parts", ()))
    for name, field in type(definition).model_fields.items():
        value = getattr(definition, name)
        if name not in NO_TEMPLATES or (name == "schema" and isinstance(value, str)):  # a schema of the item's own
            yield from _templates_in(value, f"{place}{field.alias or name}", given)


def _templates_in(value: Any, place: str, given: frozenset[str]) -> Iterator[Placed]:
    if isinstance(value, BaseModel):
        yield from templates_of(value, f"{place}.", given)
    elif isinstance(value, str):
        if "{{" in value and _is_template(value):
            yield Placed(place, value, given)
    elif isinstance(value, Mapping):
        for key, element in value.items():
            yield from _templates_in(element, f"{place}.{key}", given)
    elif isinstance(value, Sequence):
        for index, element in enumerate(value):
            yield from _templates_in(element, f"{place}.{index}", given)


def _is_template(text: str) -> bool:
    try:
        parse(text)
    except ValueError:  # a text in which two braces are just that
        return False
    return True


def variables_of(definition: BaseModel) -> Iterator[tuple[str, Variable]]:
    """Every variable that a grader's templates take from the item or the sample, with the place of its template."""
    for place, template, given in templates_of(definition):
        for piece in parse(template):
            if isinstance(piece, Variable) and not (piece.namespace == "item" and piece.path[0] in given):
                yield place, piece


def missing_variables(
    definition: BaseModel, items: Iterable[Item] = (), schema: Mapping[str, Any] | None = None, rows: int = 100
) -> list[Missing]:
    """The variables of a grader that are in none of the first `rows` items, and that the items' schema does not name.

    Give what is at hand: items, the JSON schema of an item (`item_schema` of an OpenAI eval), or both; then a
    variable found in either is there. What only some rows lack is theirs, and is said when they are graded.

    >>> from graders import load
    >>> exact = load({"type": "string_check", "input": "a", "reference": "{{item.gen}}", "operation": "eq"})
    >>> print(missing_variables(exact, items=[{"gene": "FBN1"}])[0])
    reference: {{ item.gen }} is in no item: item has no 'gen'; did you mean 'gene'? known: gene
    """
    first = list(islice(items, rows))
    missing: dict[tuple[str, str], Missing] = {}
    for place, variable in variables_of(definition):
        if variable.namespace != "item" or not (first or schema is not None):
            continue
        hint = _not_in_schema(variable.path, schema, schema) if schema is not None else None
        if first and (schema is None or hint is not None):
            hint = _in_no_item(variable, first)
        if hint is not None:
            missing.setdefault((place, variable.text), Missing(place, variable.text, hint))
    return list(missing.values())


def check_templates(definition: BaseModel, items: Iterable[Item] = (), schema: Mapping[str, Any] | None = None) -> None:
    """Refuse a grader with a variable that is in no item: ValueError names each of them."""
    if missing := missing_variables(definition, items, schema):
        raise ValueError("; ".join(map(str, missing)))


def _in_no_item(variable: Variable, items: Sequence[Item]) -> str | None:
    """What the first item has in place of a variable; None where any item has it, be it null."""
    hint = None
    for item in items:
        value: Any = item
        for depth, step in enumerate(variable.path):
            try:
                value = follow(value, step)
            except LookupError:
                hint = hint or _missing(variable, depth, value).error.detail.partition(": ")[2]
                break
        else:
            return None
    return hint


def _not_in_schema(path: Sequence[str | int], schema: Any, root: Any, so_far: str = "item") -> str | None:
    """Why a JSON schema has no place for a path; None where it has one, or does not say."""
    for _ in range(100):  # a reference may lead to itself
        if not (isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str)):
            break
        schema = _referred(schema["$ref"], root)
    if not path or not isinstance(schema, Mapping):
        return None
    for several in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(several), list):
            hints = [_not_in_schema(path, one, root, so_far) for one in schema[several]]
            if None in hints or "properties" not in schema:
                return None if None in hints else hints[0]
    step, *rest = path
    if isinstance(step, int):
        return _not_in_schema(rest, schema.get("items"), root, f"{so_far}[{step}]")
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return None
    if step in properties:
        return _not_in_schema(rest, properties[step], root, f"{so_far}.{step}")
    if schema.get("additionalProperties") or schema.get("patternProperties"):
        return None
    return f"the schema of {so_far} has no {step!r}; {nearest(step, map(str, properties))}"


def _referred(reference: str, root: Any) -> Any:
    """What `#/$defs/name` points at; None, which says nothing, for any other reference."""
    value = root
    for key in reference.removeprefix("#/").split("/") if reference.startswith("#/") else [reference]:
        value = value.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(value, Mapping) else None
    return value
