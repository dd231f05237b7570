"""JSON Schemas made safe to use on what a model wrote: checked whole at load, offline, with linear-time patterns.

Validation is jsonschema's. What differs: `pattern` and `patternProperties` are RE2's (graders/pattern.py), not
Python's `re`; the steps of a grading are limited (graders/structured/budget.py); `uniqueItems` takes linear time;
`multipleOf` counts in decimals, so that 0.3 is a multiple of 0.1; a `$ref` out of the schema is refused, never
fetched. `format` is a remark, as the specification has it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from graders.grade import GradingError
from graders.pattern import compiled
from graders.sample import read_json
from graders.structured.budget import counted, known, matches, name_matches
from graders.structured.values import check, fingerprint
from graders.template import nearest, short

DIALECTS = {
    "https://json-schema.org/draft/2020-12/schema": "Draft202012Validator",
    "https://json-schema.org/draft/2019-09/schema": "Draft201909Validator",
    "http://json-schema.org/draft-07/schema": "Draft7Validator",
    "http://json-schema.org/draft-06/schema": "Draft6Validator",
    "http://json-schema.org/draft-04/schema": "Draft4Validator",
}
IGNORE_BESIDE_REF = ("Draft7Validator", "Draft6Validator", "Draft4Validator")
ONE_BELOW = [
    "additionalProperties",
    "unevaluatedProperties",
    "additionalItems",
    "unevaluatedItems",
    "items",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
]
LIST_BELOW = ["allOf", "anyOf", "oneOf", "prefixItems", "items"]
MAP_BELOW = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"]
IN_PLACE = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"]
DYNAMIC = ("$dynamicRef", "$recursiveRef")
REMARKS = [
    "title",
    "description",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "$comment",
    "$anchor",
    "$dynamicAnchor",
    "$recursiveAnchor",
    "$vocabulary",
    "$schema",
    "$id",
    "id",
    "contentEncoding",
    "contentMediaType",
    "minContains",
    "maxContains",
    "nullable",
]


def unwrapped(given: Any) -> Any:
    """The schema itself, also where it comes as OpenAI's `response_format`, nested or flat."""
    if isinstance(given, Mapping) and given.get("type") == "json_schema":
        inner = given.get("json_schema", given)
        if isinstance(inner, Mapping) and isinstance(inner.get("schema"), Mapping):
            return inner["schema"]
        raise ValueError('this response_format has no "schema"; put the schema in it')
    return given


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema found fit for use, with its validator (jsonschema's)."""

    root: dict[str, Any]
    validator: Any
    resolver: Any
    ignores_beside_ref: bool  # as drafts before 2019-09 do

    def errors(self, value: Any, part: Any = None) -> Iterator[Any]:
        """jsonschema's errors of a value under the schema or a part of it."""
        validator = self.validator if part is None else self.validator.evolve(schema=part)
        return validator.iter_errors(value)  # type: ignore[no-any-return]

    def holds(self, value: Any, part: Any) -> bool:
        """Whether a value is valid under a part of the schema."""
        return part is True or next(self.errors(value, part), None) is None

    def target(self, reference: str) -> Any:
        """The part that a `$ref` names."""
        return self.resolver.lookup(reference).contents


def compile_schema(given: Any) -> Schema:
    """The schema, fit for use. Raises ValueError with the place and the reason for one that cannot be used."""
    import jsonschema
    from referencing import Registry
    from referencing.jsonschema import specification_with

    if not isinstance(given, Mapping):
        raise ValueError(f"a schema is an object, not {short(given)}")
    root = dict(given)
    try:
        check(root)
    except ValueError as problem:
        raise ValueError(f"the schema cannot be used: {problem}") from None
    dialect = str(root.pop("$schema", next(iter(DIALECTS)))).removesuffix("#")
    if dialect not in DIALECTS:
        raise ValueError(f"$schema {dialect!r} is not supported; {nearest(dialect, DIALECTS)}")
    stock = getattr(jsonschema, DIALECTS[dialect])
    if not any(keyword in stock.VALIDATORS and keyword != "format" for keyword in root):
        raise ValueError(f"{short(root)} accepts every JSON value, so every one would score 1; say what is expected")
    _check_form(stock, root)
    specification = specification_with(dialect)
    resolver = Registry().resolver_with_root(specification.create_resource(root))
    schema = Schema(root, _safe(stock)(root, registry=Registry()), resolver, DIALECTS[dialect] in IGNORE_BESIDE_REF)
    _Inspection(schema, frozenset(stock.VALIDATORS)).run()
    return schema


@lru_cache(maxsize=256)
def compile_text(text: str) -> Schema:
    """The schema of a JSON text; the last 256 are kept."""
    return compile_schema(unwrapped(read_json(text)))


def compile_value(value: Any) -> Schema:
    """The schema that an item holds, as an object or as JSON text."""
    try:
        text = value if isinstance(value, str) else json.dumps(value)
        return compile_text(text)
    except (ValueError, TypeError, RecursionError) as problem:
        raise GradingError("invalid_reference", f"the item's schema cannot be used: {problem}") from None


def _check_form(stock: Any, root: dict[str, Any]) -> None:
    from jsonschema.exceptions import best_match

    try:
        wrong: Any = best_match(stock(stock.META_SCHEMA).iter_errors(root))
    except RecursionError:
        raise ValueError("the schema is nested too deeply to be checked") from None
    if wrong is not None:
        place = "/".join(["#", *map(str, wrong.absolute_path)])
        raise ValueError(f"the schema is itself invalid at {place}: {_message(wrong)}")


class _Inspection:
    """One walk over a schema: every part that can come to be used, by whatever way."""

    def __init__(self, schema: Schema, keywords: frozenset[str]) -> None:
        self.schema = schema
        self.keywords = keywords
        self.known = sorted({*keywords, *ONE_BELOW, *LIST_BELOW, *MAP_BELOW, *DYNAMIC, *REMARKS})
        self.seen: dict[int, str] = {}
        self.waiting: list[tuple[Any, str]] = []
        self.in_place: dict[int, set[int]] = {}
        self.used: set[str] = set()

    def run(self) -> None:
        self._enter(self.schema.root, "#")
        while self.waiting:
            part, place = self.waiting.pop()
            self._look(part, place)
        if {"unevaluatedProperties", "patternProperties"} <= self.used:
            raise ValueError(
                "patternProperties and unevaluatedProperties together are not supported; use additionalProperties"
            )
        try:
            TopologicalSorter(self.in_place).prepare()
        except CycleError as problem:
            places = " -> ".join(self.seen[node] for node in reversed(problem.args[1]))
            raise ValueError(f"the schema refers to itself without going deeper: {places}") from None

    def _enter(self, part: Any, place: str) -> int:
        if id(part) not in self.seen:
            self.seen[id(part)] = place
            self.waiting.append((part, place))
        return id(part)

    def _look(self, part: Any, place: str) -> None:
        if isinstance(part, bool):
            return
        if not isinstance(part, dict):
            raise ValueError(f"{place} is no schema: {short(part)}")
        self._check_keywords(part, place)
        edges = self.in_place.setdefault(id(part), set())
        for keyword, below, where in _parts(part, place):
            node = self._enter(below, where)
            if keyword in IN_PLACE:
                edges.add(node)
        if isinstance(reference := part.get("$ref"), str):
            edges.add(self._enter(self._resolved(reference, f"{place}/$ref"), reference))
        try:
            for pattern in [*filter(None, [part.get("pattern")]), *part.get("patternProperties", ())]:
                compiled(pattern)
        except ValueError as problem:
            raise ValueError(f"{place}: {problem}") from None

    def _check_keywords(self, part: dict[str, Any], place: str) -> None:
        self.used |= part.keys()
        inner = [key for key in ("$schema", "$id", "id") if isinstance(part.get(key), str)]
        if inner and place != "#":
            raise ValueError(f"{place} has a {inner[0]!r} of its own; schemas inside a schema go under $defs without")
        for keyword in part:
            if keyword in DYNAMIC:
                raise ValueError(f"{place}: {keyword} is not supported; use $ref")
            close = difflib.get_close_matches(keyword, self.known, n=1, cutoff=0.8)
            if close and close[0] != keyword:
                raise ValueError(f"{place} has an unknown keyword {keyword!r}; did you mean {close[0]!r}?")

    def _resolved(self, reference: str, place: str) -> Any:
        from referencing.exceptions import Unresolvable

        try:
            return self.schema.target(reference)
        except (Unresolvable, ValueError, LookupError, TypeError):
            if reference.startswith("#"):
                raise ValueError(f"{place}: nothing is at {reference!r} in the schema") from None
            raise ValueError(
                f"{place} {reference!r} leads out of the schema, and nothing is fetched; copy what it names under $defs"
            ) from None


def _parts(part: dict[str, Any], place: str) -> Iterator[tuple[str, Any, str]]:
    """The schemas right below one, each with its keyword and place."""
    for keyword, value in part.items():
        if keyword in ONE_BELOW and isinstance(value, dict | bool):
            yield keyword, value, f"{place}/{keyword}"
        elif keyword in LIST_BELOW and isinstance(value, list):
            for number, below in enumerate(value):
                yield keyword, below, f"{place}/{keyword}/{number}"
        elif keyword in MAP_BELOW and isinstance(value, dict):
            for name, below in value.items():
                if not isinstance(below, list):  # `dependencies` may list names
                    yield keyword, below, f"{place}/{keyword}/{name}"


# Validation


@lru_cache(maxsize=8)
def _safe(stock: Any) -> Any:
    """A validator class of jsonschema with its keywords replaced where an output could make them hang."""
    from jsonschema.validators import extend

    ours: dict[str, Any] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique_items,
        "multipleOf": _multiple_of,
    }
    ours = {**stock.VALIDATORS, **ours, "$ref": _once(stock.VALIDATORS["$ref"])}
    limited = {keyword: counted(keyword, follow) for keyword, follow in ours.items()}
    return extend(stock, limited)  # type: ignore[no-untyped-call]


def _once(follow: Any) -> Any:
    """A value is checked once against what a `$ref` names: `anyOf` in a recursive schema would double it."""

    def followed(validator: Any, reference: str, instance: Any, schema: Any) -> Iterator[Any]:
        verdicts, key = known(), (reference, id(instance))
        wrong = verdicts.get(key)
        if wrong is not None:
            if wrong:
                yield _error(wrong)
            return
        for error in follow(validator, reference, instance, schema):
            verdicts.setdefault(key, error.message)
            yield error
        verdicts.setdefault(key, "")

    return followed


def _error(message: str) -> Any:
    from jsonschema.exceptions import ValidationError

    return ValidationError(message)


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and not matches(pattern, instance):
        yield _error(f"{short(instance)} does not match {pattern!r}")


def _pattern_properties(validator: Any, patterns: Mapping[str, Any], instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, dict):
        for pattern, below in patterns.items():
            for name, value in instance.items():
                if name_matches(pattern, name):
                    yield from validator.descend(value, below, path=name, schema_path=pattern)


def unnamed(instance: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    """The properties that neither `properties` nor `patternProperties` of a schema names."""
    named, patterns = schema.get("properties", {}), schema.get("patternProperties", ())
    return [name for name in instance if name not in named and not any(name_matches(each, name) for each in patterns)]


def _additional_properties(validator: Any, allowed: Any, instance: Any, schema: Any) -> Iterator[Any]:
    if not isinstance(instance, dict) or allowed is True:
        return
    extras = unnamed(instance, schema)
    if allowed is False:
        if extras:
            names = short(", ".join(extras))
            yield _error(f"{names} {'is' if len(extras) == 1 else 'are'} not among the properties allowed")
    else:
        for name in extras:
            yield from validator.descend(instance[name], allowed, path=name)


def _unique_items(validator: Any, unique: bool, instance: Any, schema: Any) -> Iterator[Any]:
    if unique and isinstance(instance, list) and len({fingerprint(each) for each in instance}) < len(instance):
        yield _error(f"{short(instance)} has elements that are the same")


def _multiple_of(validator: Any, divisor: float, instance: Any, schema: Any) -> Iterator[Any]:
    if isinstance(instance, bool) or not isinstance(instance, int | float):
        return
    if (Fraction(str(instance)) / Fraction(str(divisor))).denominator != 1:
        yield _error(f"{short(instance)} is not a multiple of {divisor}")


def described(error: Any) -> str:
    """An error of jsonschema in words: the place in the output and what is wrong there; of branches, the best."""
    from jsonschema.exceptions import best_match

    deepest = best_match([error]) or error
    place = "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in deepest.absolute_path)
    if len(place) > 80:
        place = f"{place[:40]}...{place[-36:]}"
    return f"{place}: {_message(deepest)}"


def _message(error: Any) -> str:
    if len(error.message) <= 160:
        return str(error.message)
    return f"{short(error.instance, 60)} breaks {error.validator!r} {short(error.validator_value, 60)}"
