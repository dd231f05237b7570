"""Partial credit under a JSON Schema: the share of what it asks for that a value fulfils. Scores nothing by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from graders.structured.budget import name_matches, spend
from graders.structured.schema import Schema, unnamed

WHOLE = ("type", "const", "enum")  # a value that breaks one of these is worth nothing
BY_FIELD = ["properties", "required", "additionalProperties", "patternProperties"]
BY_ELEMENT = ["items", "prefixItems", "additionalItems"]
BRANCHES = ("anyOf", "oneOf")
UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
SCORED = frozenset([*WHOLE, *BY_FIELD, *BY_ELEMENT, *BRANCHES, *UNEVALUATED, "$ref", "allOf"])


class Credit:
    """What values are worth under a schema, from 0 to 1; 1 exactly when they are valid. For one grading.

    - An object: the sum over its required fields of what each is worth, 0 where it is missing, divided by their
      number plus the charges. What an optional field lacks of 1 is charged, 1 for a field that is not allowed and for
      each schema whose other rules (`minProperties`, `if`, `not`, ...) are broken. Without required fields: 1 / (1 +
      charges), 0 where another rule is broken.
    - A list: what its worst element is worth; 0 where another rule (`minItems`, `uniqueItems`, ...) is broken.
    - `$ref` and `allOf` count as if written in place; of `anyOf` and `oneOf` the best branch, where that is less.
    - Anything else, and a value that breaks `type`, `const` or `enum`: 0.

    The number of required fields is the schema's, so a charge goes only when a fault does: mending a field never
    lowers the score unless it breaks another rule, and adding a field that is not required never raises it.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.known: dict[tuple[int, int], float] = {}  # by value and part, each by id

    def of(self, value: Any, part: Any) -> float:
        """What a value is worth under a part of the schema."""
        key = id(value), id(part)
        if key not in self.known:
            self.known[key] = self._of(value, part)
        return self.known[key]

    def _of(self, value: Any, part: Any) -> float:
        if self.schema.holds(value, part):
            return 1.0
        if not isinstance(value, dict | list) or isinstance(part, bool):
            return 0.0
        conjuncts = list(self._in_place(part))
        spend(len(conjuncts) * (1 + len(value)))
        if False in conjuncts or not all(self.schema.holds(value, _only(each, WHOLE)) for each in conjuncts):
            return 0.0
        broken = sum(self._breaks_a_rule(value, each) for each in conjuncts)
        best = 1.0
        for each in conjuncts:
            for keyword in BRANCHES:
                if keyword in each and not self.schema.holds(value, {keyword: each[keyword]}):
                    branch = max(self.of(value, branch) for branch in each[keyword])
                    broken += branch == 1  # several branches of oneOf hold
                    best = min(best, branch)
        if isinstance(value, dict):
            return min(best, self._object(value, conjuncts, broken))
        return 0.0 if broken else min(best, self._list(value, conjuncts))

    def _in_place(self, part: Any) -> Iterator[Any]:
        """The schemas that all apply to the same value: the part, what it refers to, and its `allOf`."""
        if isinstance(part, bool):
            if part is False:
                yield part
            return
        reference = part.get("$ref")
        if reference is None or not self.schema.ignores_beside_ref:
            yield part
            for each in part.get("allOf", ()):
                yield from self._in_place(each)
        if reference is not None:
            yield from self._in_place(self.schema.target(reference))

    def _breaks_a_rule(self, value: Any, part: dict[str, Any]) -> bool:
        """Whether a value breaks what a schema says besides its fields, elements and branches."""
        if any(keyword in part for keyword in UNEVALUATED) and any(
            error.validator in UNEVALUATED and not error.path for error in self.schema.errors(value, part)
        ):
            return True
        return not self.schema.holds(value, {keyword: rule for keyword, rule in part.items() if keyword not in SCORED})

    def _object(self, value: dict[str, Any], conjuncts: Sequence[dict[str, Any]], broken: int) -> float:
        required = {name for each in conjuncts for name in each.get("required", ())}
        worth = {
            name: min((self.of(field, each) for each in _of_field(name, conjuncts)), default=1.0)
            for name, field in value.items()
        }
        charges = broken + sum(1 - share for name, share in worth.items() if name not in required)
        if not required:
            return 0.0 if broken else 1 / (1 + charges)
        return sum(worth.get(name, 0.0) for name in sorted(required)) / (len(required) + charges)

    def _list(self, value: list[Any], conjuncts: Sequence[dict[str, Any]]) -> float:
        worst = 1.0
        for each in conjuncts:
            items = each.get("items", True)
            first = items if isinstance(items, list) else each.get("prefixItems", [])
            rest = each.get("additionalItems", True) if isinstance(items, list) else items
            for number, element in enumerate(value):
                worst = min(worst, self.of(element, first[number] if number < len(first) else rest))
                if not worst:
                    return worst
        return worst


def _only(part: dict[str, Any], keywords: Sequence[str]) -> dict[str, Any]:
    return {keyword: part[keyword] for keyword in keywords if keyword in part}


def _of_field(name: str, conjuncts: Sequence[dict[str, Any]]) -> Iterator[Any]:
    """The schemas that apply to one field of an object."""
    for each in conjuncts:
        if name in each.get("properties", {}):
            yield each["properties"][name]
        for pattern, below in each.get("patternProperties", {}).items():
            if name_matches(pattern, name):
                yield below
        if "additionalProperties" in each and unnamed({name: None}, each):
            yield each["additionalProperties"]
