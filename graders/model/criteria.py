"""Criteria: what a rubric checks an answer for, and the arithmetic of their points. Asks nobody."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidationError, field_validator

from graders.model.messages import LIST, TEXT
from graders.options import Number, Options
from graders.reference import invalid
from graders.sample import Item, Sample
from graders.template import Template, Variable, parse, resolve, short

Text = Annotated[str, Field(min_length=1)]


class Criterion(Options):
    """Something an answer does or is, good or bad, and the points it brings; fewer than 0 are taken off."""

    criterion: Text
    points: Number
    name: Text | None = None
    tags: Annotated[tuple[Text, ...], BeforeValidator(lambda given: given or ())] = ()
    choices: tuple[Text, ...] | None = None  # in place of met or not met, from the worst to the best

    @field_validator("criterion")
    @classmethod
    def _says_something(cls, given: str) -> str:
        if not given.strip():
            raise ValueError("a criterion is blank; say what the answer must do")
        return given

    @field_validator("points")
    @classmethod
    def _some(cls, given: float) -> float:
        if not given:
            raise ValueError("0 points change nothing; give some, or leave the criterion out")
        return given

    @field_validator("choices")
    @classmethod
    def _several(cls, given: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if given is not None and len(set(given)) < max(2, len(given)):
            raise ValueError(f"two choices or more are needed, each once, not {short(list(given))}")
        return given

    def share_of(self, verdict: bool | str) -> float:
        """How much of the points count, 0 to 1. The first choice is the lowest score and the last the highest."""
        if self.choices is None:
            return float(verdict)
        rise = self.choices.index(str(verdict)) / (len(self.choices) - 1)
        return rise if self.points > 0 else 1 - rise


class TemplateCriterion(Criterion):
    """A criterion of a definition: its text may hold variables. Those of an item are put in as they are."""

    criterion: Template


def _shape(given: Any) -> str:
    return TEXT if isinstance(given, str) else LIST


def _list_or_variable(given: Any) -> Any:
    if isinstance(given, str):
        pieces = parse(given)
        if len(pieces) != 1 or not isinstance(pieces[0], Variable) or pieces[0].namespace != "item":
            raise ValueError("criteria are a list, or one variable of the item that holds it, as in '{{item.rubrics}}'")
        return given
    if not isinstance(given, list | tuple):
        raise ValueError(f'a list of {{"criterion": ..., "points": ...}} is expected, not {short(given)}')
    return given


Criteria = Annotated[
    Annotated[Template, Tag(TEXT)] | Annotated[list[TemplateCriterion], Tag(LIST)],
    Discriminator(_shape),
    BeforeValidator(_list_or_variable),
]
"""The field `criteria`: a list, or the variable of the item that holds one."""


class Tally(NamedTuple):
    """The points of some criteria."""

    reached: float
    possible: float  # the sum of the positive ones, above 0

    @property
    def score(self) -> float:
        return self.reached / self.possible


def tally(criteria: Sequence[Criterion], shares: Sequence[float]) -> Tally | None:
    """What was reached of what could be; None where no criterion has positive points.

    `math.fsum` and the division round upwards with their arguments, so no score lies outside `bounds`.
    """
    possible = math.fsum(one.points for one in criteria if one.points > 0)
    if not possible:
        return None
    reached = math.fsum(one.points * share for one, share in zip(criteria, shares, strict=True))
    return Tally(reached + 0.0, possible)  # -0.0 is 0


def bounds(criteria: Sequence[Criterion]) -> tuple[float, float]:
    """The lowest and the highest score of checked criteria."""
    worst = tally(criteria, [float(one.points < 0) for one in criteria])
    assert worst is not None
    return worst.score, 1.0


def names_of(criteria: Sequence[Criterion]) -> list[str]:
    """The authors' names, else criterion_1, criterion_2, ... by place."""
    return [one.name or f"criterion_{number}" for number, one in enumerate(criteria, start=1)]


def check_criteria(criteria: Sequence[Criterion]) -> None:
    """Raise ValueError for criteria that together make no rubric."""
    if not criteria:
        raise ValueError("no criteria, so there is nothing to check; give at least one")
    names = names_of(criteria)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two criteria are called {short(twice)}; give each its own name")
    if not any(one.points > 0 for one in criteria):
        raise ValueError("no criterion has positive points, so there is nothing that could be reached; give one some")
    try:
        sizes = math.fsum(abs(one.points) for one in criteria)
        low, _ = bounds(criteria)
    except OverflowError:
        sizes = low = math.inf
    if not (math.isfinite(sizes) and math.isfinite(low)):
        raise ValueError("the points are too large or too far apart to be added up; use smaller ones")


def criteria_in(variable: str, item: Item) -> list[Criterion]:
    """The criteria that an item holds.

    Raises GradingError: `invalid_variable_error` where it holds none, `invalid_reference` where they cannot be used.
    """
    given = resolve(variable, Sample(), item)
    if not isinstance(given, list | tuple):
        raise invalid(given, 'a list of {"criterion": ..., "points": ...} is expected')
    try:
        criteria = [Criterion.model_validate(one) for one in given]
        check_criteria(criteria)
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise invalid(given, f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
    except ValueError as problem:
        raise invalid(given, str(problem)) from None
    return criteria
