"""What one validation may cost: a number of steps, so that the same output always has the same outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

from graders.grade import GradingError
from graders.pattern import MAX_WORK, compiled
from graders.structured.values import size

MAX_STEPS = 250_000  # at most about a second
WORK = MAX_WORK // MAX_STEPS  # of a pattern, for one step: the largest search allowed takes them all
CHOICES = 16  # of `enum`, compared for one step
MESSAGE = 100  # characters of an error's message, which quotes the value whole, for one step
EACH = (
    "items",
    "additionalItems",
    "contains",
    "propertyNames",
    "additionalProperties",
    "patternProperties",
)
"""Keywords that look at each element or field themselves."""
UNEVALUATED = ("unevaluatedItems", "unevaluatedProperties")
PAIRS = 200  # of elements or fields, which those two look for in a list of those evaluated, for one step

Keyword: TypeAlias = Callable[[Any, Any, Any, Any], Any]  # of jsonschema: (validator, rule, instance, schema)


class Budget:
    """The steps left to one grading, and what it knows already."""

    __slots__ = ("found", "known", "steps_left")

    def __init__(self) -> None:
        self.steps_left = MAX_STEPS
        self.known: dict[tuple[str, int], str] = {}  # (a `$ref`, a value's id) -> what is wrong, "" where it is valid
        self.found: dict[tuple[str, str], bool] = {}  # (pattern, name of a field) -> whether it matches

    def spend(self, steps: int) -> None:
        self.steps_left -= steps
        if self.steps_left < 0:
            detail = f"the output holds too much to be checked: more than {MAX_STEPS:,} steps under this schema"
            raise GradingError("timeout", detail, "candidate")


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextmanager
def budgeted() -> Iterator[None]:
    """Inside, validation ends with GradingError `timeout`, the candidate's fault, after `MAX_STEPS` steps."""
    token = _budget.set(Budget())
    try:
        yield
    finally:
        _budget.reset(token)


def spend(steps: int) -> None:
    """Count steps of the grading that is under way."""
    if budget := _budget.get():
        budget.spend(steps)


def known() -> dict[tuple[str, int], str]:
    """What this grading knows of values against what a `$ref` names."""
    budget = _budget.get()
    return {} if budget is None else budget.known


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text."""
    made = compiled(pattern)
    spend(1 + made.size * len(text) // WORK)
    return made.search(text) is not None


def name_matches(pattern: str, name: str) -> bool:
    """The same of a field's name, which is asked about again and again."""
    budget = _budget.get()
    if budget is None:
        return matches(pattern, name)
    found = budget.found.get((pattern, name))
    if found is None:
        found = budget.found[pattern, name] = matches(pattern, name)
    return found


def counted(keyword: str, follow: Keyword) -> Keyword:
    """A keyword of jsonschema whose steps are counted: one, and one for each part of the rule and of the value."""

    def followed(validator: Any, rule: Any, instance: Any, schema: Any) -> Iterator[Any]:
        budget = _budget.get() or Budget()
        budget.spend(_steps(keyword, rule, instance))
        for error in follow(validator, rule, instance, schema) or ():
            budget.spend(1 if error.schema_path else 1 + len(error.message) // MESSAGE)
            yield error

    return followed


def _steps(keyword: str, rule: Any, instance: Any) -> int:
    if keyword == "enum":
        return 1 + len(rule) // CHOICES
    steps = 4 if keyword == "$ref" else 1
    if isinstance(rule, list | dict):
        steps += len(rule)
    if isinstance(instance, list | dict):
        if keyword in EACH:
            steps += len(instance)
        elif keyword == "uniqueItems":
            steps += size(instance)
        elif keyword in UNEVALUATED:
            steps += 4 * len(instance) + len(instance) ** 2 // PAIRS
    return steps
