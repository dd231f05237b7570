"""Variables: what a grader's templates read, found out before anything is graded.

`missing_variables` says which of them a data set or the schema of its items does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from pydantic import BaseModel

from graders.sample import Item
from graders.template import Variable, follow, missing, nearest, parse


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


def item_variables(definition: BaseModel) -> list[str]:
    """The variables of the item that a grader's templates name, `item.gene`, each once, in order."""
    return list(dict.fromkeys(one.text for _, one in variables_of(definition) if one.namespace == "item"))


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
    found: dict[tuple[str, str], Missing] = {}
    for place, variable in variables_of(definition):
        if variable.namespace != "item" or not (first or schema is not None):
            continue
        hint = _not_in_schema(variable.path, schema, schema) if schema is not None else None
        if first and (schema is None or hint is not None):
            hint = _in_no_item(variable, first)
        if hint is not None:
            found.setdefault((place, variable.text), Missing(place, variable.text, hint))
    return list(found.values())


def check_templates(definition: BaseModel, items: Iterable[Item] = (), schema: Mapping[str, Any] | None = None) -> None:
    """Refuse a grader with a variable that is in no item: ValueError names each of them."""
    if lacking := missing_variables(definition, items, schema):
        raise ValueError("; ".join(map(str, lacking)))


def _in_no_item(variable: Variable, items: Sequence[Item]) -> str | None:
    """What the first item has in place of a variable; None where any item has it, be it null."""
    hint = None
    for item in items:
        value: Any = item
        for depth, step in enumerate(variable.path):
            try:
                value = follow(value, step)
            except LookupError:
                hint = hint or missing(variable, depth, value).error.detail.partition(": ")[2]
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
