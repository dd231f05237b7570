"""Graders that choose which other to ask: gate, when, cascade."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, PlainSerializer

from graders.algebra.arithmetic import Arithmetic, spoiled, unique, written
from graders.algebra.formula import Formula, parse
from graders.algebra.shape import reached
from graders.composite import Call, Composite, Doubt, Part, Steps, keyed, load_part, usage_of
from graders.grade import Grade, GradeError
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.template import short

HOLDS = 0.5  # the score from which the condition of a `when` holds


class Gate(Arithmetic):
    """The grader's score times the condition's; where the condition is 0 the grader is not asked.

    >>> said = {"type": "string_check", "operation": "like", "input": "{{sample.output_text}}"}
    >>> grader = Gate(condition={**said, "reference": "{"}, grader={**said, "reference": "FBN1"})
    >>> grader("FBN1").formula
    'condition * grader = 0 * grader = 0'
    """

    type: Literal["gate"] = "gate"
    condition: Part
    grader: Part

    def check(self) -> None:
        low, high = self.condition.range
        if low == high:
            raise ValueError(f"the condition {self.condition.label!r} always scores {low:g}, so the gate does nothing")
        if self.grader.range == (0, 0):
            raise ValueError(f"{self.grader.label!r} always scores 0, so the gate has nothing to let through")

    def doubts(self) -> Iterable[Doubt]:
        low, high = self.condition.range
        if low > 0:
            yield Doubt("condition", f"scores from {low:g} to {high:g}, never 0, so the gate never shuts")
        if low < 0:
            yield Doubt("condition", "can be below 0, where the gate turns the score over; clip it")
        if self.grader.range[0] < 0:
            yield Doubt("grader", "can be below 0, where a shut gate pays more than an open one; clip it")
        low, high = self.grader.range
        if low == high:
            yield Doubt("grader", f"always scores {low:g}, so only the condition matters")

    @property
    def members(self) -> Mapping[str, Grader]:
        return {"condition": self.condition, "grader": self.grader}

    def _text(self) -> str:
        return "condition * grader"

    def steps(self, sample: Sample, item: Item) -> Steps:
        (condition,) = yield [Call(self.condition, sample, item)]
        parts = {"condition": condition}
        shut = condition.score == 0 and (self.range[0] == 0 or not spoiled(condition))
        if condition.score is None or shut:
            return self.combined(parts)
        (parts["grader"],) = yield [Call(self.grader, sample, item)]
        return self.combined(parts)

    def value(self, scores: Mapping[str, float]) -> float:
        return super().value(scores) if "grader" in scores else 0.0


def _branch(given: Any) -> float | Grader:
    if isinstance(given, int | float) and not isinstance(given, bool):
        if not abs(given) <= sys.float_info.max:  # also of a whole number that no float can hold
            raise ValueError(f"{short(given)} is no score; give a finite number or a grader")
        return float(given)
    return load_part(given)


Branch: TypeAlias = Annotated[
    Grader | float,
    BeforeValidator(_branch),
    PlainSerializer(lambda branch: branch.to_wire() if isinstance(branch, Grader) else branch, return_type=Any),
]
"""A field that holds another grader, or the number it would always give."""


class When(Arithmetic):
    """The grader `then` where the condition scores 0.5 or more, else `otherwise`; only the chosen one is asked.

    Either may be a number. Where the candidate spoiled the condition, the lower of the two counts.

    >>> said = {"type": "string_check", "operation": "like", "input": "{{sample.output_text}}"}
    >>> rank = {"type": "rank", "reference": "FBN1"}
    >>> When(condition={**said, "reference": "unknown"}, then=0.1, otherwise=rank)("TGFBR2, FBN1").formula
    'if(condition >= 0.5, 0.1, otherwise) = if(0 >= 0.5, 0.1, 0.5) = 0.5'
    """

    type: Literal["when"] = "when"
    condition: Part
    then: Branch
    otherwise: Branch = 0.0

    def check(self) -> None:
        low, high = self.condition.range
        if low >= HOLDS or high < HOLDS:
            never = "otherwise" if low >= HOLDS else "then"
            reach = f"the condition {self.condition.label!r} scores from {low:g} to {high:g}"
            raise ValueError(f"{reach}, so {never!r} is never asked; it holds from {HOLDS:g}")
        if self.then == self.otherwise:
            raise ValueError("'then' and 'otherwise' are the same, so the condition does nothing")

    @property
    def members(self) -> Mapping[str, Grader]:
        return {"condition": self.condition, **self._branches}

    @cached_property
    def _branches(self) -> Mapping[str, Grader]:
        named = {"then": self.then, "otherwise": self.otherwise}
        return {key: branch for key, branch in named.items() if isinstance(branch, Grader)}

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        named = {"then": self.then, "otherwise": self.otherwise}
        return {key: key if isinstance(branch, Grader) else written(branch) for key, branch in named.items()}

    def _text(self) -> str:
        return f"if(condition >= {HOLDS:g}, {self._texts['then']}, {self._texts['otherwise']})"

    def steps(self, sample: Sample, item: Item) -> Steps:
        (condition,) = yield [Call(self.condition, sample, item)]
        parts = {"condition": condition}
        if condition.score is None:
            return self.combined(parts)
        chosen = ["then" if condition.score >= HOLDS else "otherwise"]
        if spoiled(condition):
            chosen = ["then", "otherwise"]  # spoiling the condition must not choose the better branch
        asked = {key: self._branches[key] for key in chosen if key in self._branches}
        grades = yield [Call(part, sample, item) for part in asked.values()]
        return self.combined(parts | dict(zip(asked, grades, strict=True)))

    def exported(self) -> Formula:
        holds = reached("condition", self.condition, HOLDS)
        return parse(f"{holds} * {self._texts['then']} + (1 - {holds}) * {self._texts['otherwise']}")


def _in_order(given: Any) -> Any:
    """A list; also an object from name to grader."""
    if isinstance(given, Mapping) and not isinstance(given.get("type"), str):
        return list(keyed(given).values())
    if not isinstance(given, list | tuple):
        raise ValueError(f"a list of graders is expected, in the order in which they are asked, not {short(given)}")
    return list(given)


class Cascade(Composite):
    """The grade of the first grader that could decide; the next is asked only where those before it could not.

    A fault of the candidate is decided: it ends the cascade. Where none could decide, nor could the whole.

    >>> given = {"type": "string_check", "operation": "eq", "input": "{{sample.output_text}}"}
    >>> grader = Cascade(graders=[{**given, "name": "expert", "reference": "{{item.expert}}"},
    ...                           {**given, "name": "model", "reference": "{{item.model}}"}])
    >>> grader("FBN1", {"model": "FBN1"}).why.partition(";")[0]
    "'model' decided: 'FBN1' equals 'FBN1'"
    """

    type: Literal["cascade"] = "cascade"
    graders: Annotated[list[Part], BeforeValidator(_in_order)]

    def check(self) -> None:
        if len(self.graders) < 2:
            raise ValueError("a cascade needs a grader to fall back on; give two or more, or that grader itself")

    @property
    def members(self) -> Mapping[str, Grader]:
        return self._members

    @cached_property
    def _members(self) -> Mapping[str, Grader]:
        """By their labels, made unique."""
        named: dict[str, Grader] = {}
        for part in self.graders:
            named[unique(part.label, named)] = part
        return named

    @property
    def range(self) -> tuple[float, float]:
        return self._range

    @cached_property
    def _range(self) -> tuple[float, float]:
        lows, highs = zip(*(part.range for part in self.graders), strict=True)
        return min(lows), max(highs)

    def steps(self, sample: Sample, item: Item) -> Steps:
        parts: dict[str, Grade] = {}
        for key, part in self.members.items():
            (parts[key],) = yield [Call(part, sample, item)]
            if parts[key].score is not None:
                break
        return self._first_decided(parts)

    def _first_decided(self, parts: Mapping[str, Grade]) -> Grade:
        *before, (key, last) = parts.items()
        usage = usage_of(parts.values())
        failed = [f"{name!r} could not decide: {grade.why}" for name, grade in before]
        error = last.error and GradeError(last.error.kind, last.error.fault, f"part {key!r}: {last.error.detail}")
        if last.score is None:
            return Grade(None, "; ".join([*failed, f"{key!r} could not decide: {last.why}"]), error, parts, usage=usage)
        why = "; ".join([f"{key!r} decided: {last.why}", *failed])
        return Grade(last.score, why, error, parts, extracted=last.extracted, usage=usage)
