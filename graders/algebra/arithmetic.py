"""Arithmetic: the base of graders whose score is computed from other graders' scores by a formula.

One place holds what they share: the range that follows from the parts, the arithmetic in `why`, what a spoiled
part counts as, and the export to OpenAI's `multi`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple

from graders.algebra.bounds import Bound, Range, bound
from graders.algebra.formula import COMPARISONS, FUNCTIONS, Formula, FormulaError, parse
from graders.composite import Call, Composite, Steps, could_not_decide, usage_of
from graders.grade import Grade, GradeError
from graders.grader import Grader
from graders.sample import Item, Sample

MAX_EXPORT = 20_000  # characters of an exported formula
MAX_SHOWN = 10_000  # characters of the arithmetic, and of the reasons, in a grade; `parts` has them all
SLACK = "0.000000001"  # by how much an exported sum may miss a threshold, for it is rounded at other steps


class Counted(NamedTuple):
    """The scores that count, and what they make of the whole.

    A spoiled part has none where no score of it is known to be the worst: then the value is a bound.
    """

    scores: Mapping[str, float]
    value: float


class Arithmetic(Composite):
    """Base of graders that compute. Subclasses say `members` and, as `_text`, the formula over their keys."""

    @abstractmethod
    def _text(self) -> str:
        """The formula over the members' keys."""

    @property
    def formula(self) -> Formula:
        """The arithmetic over the members' keys, as it is shown."""
        return self._formula

    @cached_property
    def _formula(self) -> Formula:
        return parse(self._text())

    @property
    def stand_ins(self) -> Mapping[str, float]:
        """What counts in place of a part that could not decide; a part that is not named leaves the whole undecided."""
        return {}

    def check(self) -> None:
        for key in self.members:
            if key in FUNCTIONS:
                raise ValueError(f"{key!r} is a function of the formulas; give the grader another key")

    def value(self, scores: Mapping[str, float]) -> float:
        """The score that these scores make. Raises FormulaError where there is none."""
        return self.formula.evaluate(scores)

    def bound(
        self, ranges: Mapping[str, Range], follow: Collection[str] = (), doubts: list[str] | None = None
    ) -> Bound:
        """Between what the score lies where the parts lie in `ranges`, and how it moves with those to `follow`."""
        return bound(self.formula, ranges, follow, doubts)

    def exported(self) -> Formula:
        """The arithmetic in OpenAI's words. Raises ValueError naming what it has none for."""
        return self.formula

    @cached_property
    def ranges(self) -> Mapping[str, Range]:
        """What each part can count as."""
        ranges = {key: part.range for key, part in self.members.items()}
        for key, number in self.stand_ins.items():
            low, high = ranges[key]
            ranges[key] = min(low, number), max(high, number)
        return ranges

    @property
    def range(self) -> Range:
        return self._range

    @cached_property
    def _range(self) -> Range:
        return self.bound(self.ranges)[:2]

    def steps(self, sample: Sample, item: Item) -> Steps:
        grades = yield [Call(part, sample, item) for part in self.members.values()]
        return self.combined(dict(zip(self.members, grades, strict=True)))

    def combined(self, parts: Mapping[str, Grade]) -> Grade:
        """The grade that these grades of the members make."""
        usage = usage_of(parts.values())
        given: dict[str, float] = {}
        for key, part in parts.items():
            if part.score is not None:
                given[key] = part.score
            elif key in self.stand_ins:
                given[key] = self.stand_ins[key]
        if len(given) < len(parts):
            needed = {key: part for key, part in parts.items() if key not in given}
            undecided = could_not_decide(needed, usage=usage)
            assert undecided is not None
            return Grade(None, undecided.why, undecided.error, parts, usage=usage)
        faults = {key: part.error for key, part in parts.items() if part.error is not None and spoiled(part)}
        error = None
        if faults:
            key, fault = next(iter(faults.items()))
            error = GradeError(fault.kind, fault.fault, f"part {key!r}: {fault.detail}")
        try:
            scores, score = self.worst(parts, given, faults) if faults else Counted(given, self.value(given))
        except FormulaError as problem:
            step = _cut(self.shown(given))
            detail = f"{step}: {problem}"
            return Grade.undecided("formula_parse_error", detail, parts=parts, formula=step, usage=usage)
        step = f"{_cut(self.shown(scores))} = {score:.6g}"
        return Grade(score, f"{step} ({_cut(self.reasons(parts, scores))})", error, parts, step, usage=usage)

    def shown(self, scores: Mapping[str, float]) -> str:
        """The arithmetic and the same with the scores put in; a comparison in parentheses, to part it from ` = `."""
        formula = self.formula
        if formula.steps[-1].text in COMPARISONS:
            return f"({formula.text}) = ({formula.show(scores)})"
        return f"{formula.text} = {formula.show(scores)}"

    def reasons(self, parts: Mapping[str, Grade], scores: Mapping[str, float]) -> str:
        """Why each part counts as it does."""
        reasons = []
        for key, part in parts.items():
            if part.score is None:
                reasons.append(f"{key}: could not decide ({part.why}), so {scores[key]:.6g} stands in for it")
            elif key not in scores:
                reasons.append(f"{key}: {part.why}, so the whole counts as the least it could be")
            elif part.score != scores[key]:
                reasons.append(f"{key}: {part.why}, so it counts as {scores[key]:.6g}, the worse for the whole")
            else:
                reasons.append(f"{key}: {part.why}")
        return "; ".join(reasons)

    # What a spoiled part counts as.

    def worst(self, parts: Mapping[str, Grade], scores: Mapping[str, float], faults: Collection[str]) -> Counted:
        """The least that the whole could be, whatever the parts that the candidate spoiled might have scored.

        Spoiling a part must never pay, so it may not count as its lowest where the whole falls as it rises. Where
        the whole neither only rises nor only falls, its lower bound counts. A whole without one gets 0 at most.
        Raises FormulaError where the whole has no value.
        """
        reach = self.reach(parts)
        found = self.bound(reach, faults)
        ends = {}
        for key in faults:
            if (trend := found.trend(key)) is not None:
                ends[key] = reach[key][trend < 0] if trend else scores[key]
        if len(ends) == len(faults) and all(map(math.isfinite, ends.values())):
            with suppress(FormulaError):
                counted = {**scores, **ends}
                return Counted(counted, self.value(counted))
        rest = {key: score for key, score in scores.items() if key not in faults}
        if math.isfinite(found.low):
            return Counted(rest, found.low)
        with suppress(FormulaError):
            return Counted(rest, min(0.0, self.value(scores)))
        return Counted(rest, 0.0)

    def reach(self, parts: Mapping[str, Grade]) -> dict[str, Range]:
        """Between what each part lies: its score, or for one that was spoiled what it might have been."""
        reach = dict(self.ranges)
        for key, grade in parts.items():
            if grade.score is not None:
                reach[key] = self._might_have_been(self.members[key], grade)
            elif key in self.stand_ins:
                reach[key] = self.stand_ins[key], self.stand_ins[key]
        return reach

    @staticmethod
    def _might_have_been(part: Grader, grade: Grade) -> Range:
        assert grade.score is not None
        if not spoiled(grade):
            return grade.score, grade.score
        low, high = part.range
        if isinstance(part, Arithmetic) and grade.parts:
            low, high = part.bound(part.reach(grade.parts))[:2]
        return grade.score if math.isfinite(low) else low, high

    # The export to OpenAI.

    def to_openai(self) -> dict[str, Any]:
        """One `multi` whose graders are the leaves and whose formula is the whole arithmetic.

        It gives the same score as this grader where every leaf gives a score of its own; raises ValueError naming
        the feature for which OpenAI has no word.
        """
        leaves: dict[str, Grader] = {}
        text = self.flattened(leaves)
        try:
            parse(text)
        except FormulaError as problem:
            raise ValueError(f"{self.label!r}: as one formula for OpenAI this is {problem}") from None
        graders = {key: leaf.to_openai() for key, leaf in leaves.items()}
        return {"type": "multi", "name": self.label, "graders": graders, "calculate_output": text}

    def flattened(self, leaves: dict[str, Grader], prefix: str = "") -> str:
        """The formula over leaves, which are added to `leaves` under keys of their own."""
        if self.extract is not None:
            raise ValueError(f"{self.label!r}: 'extract' is Assay's own; OpenAI's graders judge the whole output")
        texts = {}
        for key, part in self.members.items():
            if isinstance(part, Arithmetic):
                texts[key] = f"({part.flattened(leaves, f'{prefix}{key}_')})"
            else:
                texts[key] = unique(prefix + key, leaves)
                leaves[texts[key]] = part
        text = self.exported().written(texts)
        if len(text) > MAX_EXPORT:
            raise ValueError(f"{self.label!r}: as one formula this has more than {MAX_EXPORT:,} characters")
        return text


def unique(key: str, taken: Mapping[str, Any]) -> str:
    """The key, or the first of key_2, key_3, ... that is not taken."""
    number, free = 2, key
    while free in taken:
        free, number = f"{key}_{number}", number + 1
    return free


def written(number: float) -> str:
    """A number as formulas have it; it reads back as the same one."""
    text = repr(float(number)).removesuffix(".0")
    return f"({text})" if text[0] == "-" else text


def spoiled(grade: Grade) -> bool:
    """Whether the candidate is at fault: the grade is decided, and lower than an honest output might have got."""
    return grade.score is not None and grade.error is not None and grade.error.fault == "candidate"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
