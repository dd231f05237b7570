"""Graders that choose which other to ask: gate, when, cascade."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PlainSerializer

from graders.algebra.arithmetic import Arithmetic, spoiled, unique, written
from graders.algebra.formula import Formula, parse
from graders.algebra.shape import reached
from graders.composite import Call, Composite, Doubt, Part, Steps, keyed, load_part, usage_of
from graders.grade import Grade, GradeError
from graders.grader import Grader
from graders.options import Number
from graders.sample import Item, Sample
from graders.template import nearest, short

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


def in_order(given: Any) -> Any:
    """A list; also an object from name to grader."""
    if isinstance(given, Mapping) and not isinstance(given.get("type"), str):
        return list(keyed(given).values())
    if not isinstance(given, list | tuple):
        raise ValueError(f"a list of graders is expected, in the order in which they are asked, not {short(given)}")
    return list(given)


def _sure_of(given: Any) -> Any:
    if not isinstance(given, Mapping) or not given:
        raise ValueError(f'which scores settle it is said by {{"from": x}}, {{"to": y}} or both, not {short(given)}')
    for key in given:
        if key not in ("from", "to"):
            raise ValueError(f"unknown key {short(key)}; {nearest(str(key), ('from', 'to'))}")
    return given


Sure: TypeAlias = Annotated[dict[Literal["from", "to"], Number], BeforeValidator(_sure_of)]
"""Which scores of a part settle a cascade: those not below `from`, and those not above `to`."""


class Cascade(Composite):
    """The grade of the first grader that settles it; the next is asked only where none before it did.

    A grader that could decide settles it; one named in `sure` does so only by a score of at least its `from` or at
    most its `to`. A fault of the candidate settles it too. Where none settles it, nobody could decide.

    >>> given = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "FBN1"}
    >>> grader = Cascade(graders=[{**given, "name": "exact", "operation": "eq"},
    ...                           {**given, "name": "inside", "operation": "like"}], sure={"exact": {"from": 1}})
    >>> grader("the gene FBN1").why
    "'inside' decided: 'the gene FBN1' contains 'FBN1'; 'exact' scored 0, which does not settle it"
    """

    type: Literal["cascade"] = "cascade"
    graders: Annotated[list[Part], BeforeValidator(in_order)]
    sure: dict[str, Sure] = Field(default_factory=dict)

    def check(self) -> None:
        if len(self.graders) < 2:
            raise ValueError("a cascade needs a grader to fall back on; give two or more, or that grader itself")
        *earlier, last = self._members
        for key, sure in self.sure.items():
            if key not in self._members:
                raise ValueError(f"sure: no grader {key!r}; {nearest(key, earlier)}")
            if key == last:
                raise ValueError(f"sure: {key!r} is the last, and after it there is none to ask; leave it out")
            self._check_sure(key, sure)

    def _check_sure(self, key: str, sure: Mapping[Any, float]) -> None:
        low, high = self._members[key].range
        reach = f"sure: {key!r} scores from {low:g} to {high:g}"
        above, below = sure.get("from"), sure.get("to")
        if above is not None and not low < above <= high:
            never = "every score would settle it" if above <= low else "none would settle it"
            raise ValueError(f"{reach}, so from {above:g} {never}; put it above {low:g}, to {high:g}")
        if below is not None and not low <= below < high:
            never = "every score would settle it" if below >= high else "none would settle it"
            raise ValueError(f"{reach}, so to {below:g} {never}; put it from {low:g} to below {high:g}")
        if above is not None and below is not None and above <= below:
            raise ValueError(f"sure: {key!r} from {above:g} and to {below:g} is every score; leave a gap to ask about")

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
        lows, highs = zip(*map(self._settling, self._members), strict=True)
        return min(lows), max(highs)

    def _settling(self, key: str) -> tuple[float, float]:
        """The lowest and the highest score by which a part settles it."""
        low, high = self._members[key].range
        sure = self.sure.get(key)
        if sure is None:
            return low, high
        return (low if "to" in sure else sure["from"]), (high if "from" in sure else sure["to"])

    def steps(self, sample: Sample, item: Item) -> Steps:
        parts: dict[str, Grade] = {}
        for key, part in self.members.items():
            (parts[key],) = yield [Call(part, sample, item)]
            if self._settles(key, parts[key]):
                break
        return self._first_settled(parts)

    def _settles(self, key: str, grade: Grade) -> bool:
        sure = self.sure.get(key)
        if grade.score is None or sure is None:
            return grade.score is not None
        high_enough = "from" in sure and grade.score >= sure["from"]
        return high_enough or ("to" in sure and grade.score <= sure["to"]) or spoiled(grade)

    def _first_settled(self, parts: Mapping[str, Grade]) -> Grade:
        *before, (key, last) = parts.items()
        usage = usage_of(parts.values())
        passed = [
            f"{name!r} could not decide: {grade.why}"
            if grade.score is None
            else f"{name!r} scored {grade.score:.6g}, which does not settle it"
            for name, grade in before
        ]
        error = last.error and GradeError(last.error.kind, last.error.fault, f"part {key!r}: {last.error.detail}")
        if last.score is None:
            return Grade(None, "; ".join([*passed, f"{key!r} could not decide: {last.why}"]), error, parts, usage=usage)
        score, decided = last.score, f"{key!r} decided: {last.why}"
        if key in self.sure and spoiled(last) and (score := self._least_from(key, last.score)) != last.score:
            decided = f"{decided}, so it counts as {score:.6g}, the least that could have come of it"
        return Grade(score, "; ".join([decided, *passed]), error, parts, extracted=last.extracted, usage=usage)

    def _least_from(self, key: str, score: float) -> float:
        """The least an output that this part can read might get, from it or from those after it."""
        keys = list(self._members)
        least = min(self._settling(name)[0] for name in keys[keys.index(key) :])
        return least if math.isfinite(least) else min(score, 0.0)


def settled_by(grade: Grade) -> str | None:
    """The name of the part that settled a cascade's grade, which is the last of its `parts`; None where none did."""
    return next(reversed(list(grade.parts)), None) if grade.score is not None else None
