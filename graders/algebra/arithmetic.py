"""Arithmetic: the base of graders whose score is computed from other graders' scores by a formula.

One place holds what they share: the range that follows from the parts, the arithmetic in `why`, what a spoiled
part counts as, and the export to OpenAI's `multi`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import product
from typing import Annotated, Any

from pydantic import Field

from graders.algebra.bounds import Bound, Range, Trend, bound
from graders.algebra.formula import COMPARISONS, FUNCTIONS, Formula, FormulaError, parse
from graders.composite import Call, Composite, Steps, could_not_decide, usage_of
from graders.grade import Grade, GradeError
from graders.grader import Grader
from graders.sample import Item, Sample

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
"""A finite number; a text or a truth value is not taken for one."""

MAX_EXPORT = 20_000  # characters of an exported formula
TRIED = 32  # intervals between the scores tried where a formula neither rises nor falls with a spoiled part


class Arithmetic(Composite):
    """Base of graders that compute. Subclasses say `members` and `formula` (over their keys)."""

    @property
    @abstractmethod
    def formula(self) -> Formula:
        """The arithmetic over the members' keys, as it is shown."""

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

    def bound(self, name: str = "", doubts: list[str] | None = None) -> Bound:
        """Between what the score lies, and how it moves with the part `name`."""
        return bound(self.formula, self.ranges, name, doubts)

    def turns(self) -> Iterable[float]:
        """Scores of a part at which the arithmetic may turn from falling to rising."""
        return self.formula.numbers

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
        return self.bound()[:2]

    @cached_property
    def _trends(self) -> Mapping[str, Trend]:
        return {key: self.bound(key).trend for key in self.members}

    def steps(self, sample: Sample, item: Item) -> Steps:
        grades = yield [Call(part, sample, item) for part in self.members.values()]
        return self.combined(dict(zip(self.members, grades, strict=True)))

    def combined(self, parts: Mapping[str, Grade]) -> Grade:
        """The grade that these grades of the members make."""
        usage = usage_of(parts.values())
        scores: dict[str, float] = {}
        for key, part in parts.items():
            if part.score is not None:
                scores[key] = part.score
            elif key in self.stand_ins:
                scores[key] = self.stand_ins[key]
        if len(scores) < len(parts):
            needed = {key: part for key, part in parts.items() if key not in scores}
            undecided = could_not_decide(needed, usage=usage)
            assert undecided is not None
            return Grade(None, undecided.why, undecided.error, parts, usage=usage)
        error = None
        if faults := {key: part.error for key, part in parts.items() if part.error is not None and spoiled(part)}:
            key, fault = next(iter(faults.items()))
            error = GradeError(fault.kind, fault.fault, f"part {key!r}: {fault.detail}")
            scores = self.worst(scores, list(faults))
        step = self.shown(scores)
        try:
            score = self.value(scores)
        except FormulaError as problem:
            detail = f"{step}: {problem}"
            return Grade.undecided("formula_parse_error", detail, parts=parts, formula=step, usage=usage)
        step = f"{step} = {score:.6g}"
        return Grade(score, f"{step} ({self.reasons(parts, scores)})", error, parts, step, usage=usage)

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
            elif part.score != scores[key]:
                reasons.append(f"{key}: {part.why}, so it counts as {scores[key]:.6g}, the worse for the whole")
            else:
                reasons.append(f"{key}: {part.why}")
        return "; ".join(reasons)

    # What a spoiled part counts as.

    def worst(self, scores: Mapping[str, float], faults: Sequence[str]) -> dict[str, float]:
        """The scores, with each part that the candidate spoiled at what is worst for the whole.

        Spoiling a part must never pay, so it may not count as its lowest where the whole falls as it rises. Where
        the whole neither only rises nor only falls, the scores that the part can give are tried.
        """
        counted = dict(scores)
        unclear = []
        for key in faults:
            trend = self._trends[key]
            if trend is None:
                unclear.append(key)
            elif trend < 0:
                counted[key] = _highest(self.members[key], scores[key])
        if not unclear:
            with suppress(FormulaError):
                self.value(counted)
                return counted
        return self._searched(counted, unclear or faults)

    def _searched(self, counted: dict[str, float], unclear: Sequence[str]) -> dict[str, float]:
        """The worst of many: from each corner (of four parts at most), one part after the other at its worst."""
        tries = {key: self._tries(key, counted[key]) for key in unclear}
        ends = [(tries[key][0], tries[key][-1]) for key in unclear[:4]]
        corners = product(*ends) if len(unclear) > 1 else [()]
        best, lowest = counted, math.inf
        for corner in corners:
            trial = counted | dict(zip(unclear, corner, strict=False))
            for key in unclear:
                trial = min((trial | {key: value} for value in tries[key]), key=self._value_or_infinite)
            if (value := self._value_or_infinite(trial)) < lowest:
                best, lowest = trial, value
        return best

    def _tries(self, key: str, low: float) -> list[float]:
        """The scores a part might have got, from what it got to its highest: evenly, and at each turn."""
        high = _highest(self.members[key], low)
        evenly = (low + (high - low) * step / TRIED for step in range(1, TRIED))
        turns = [turn for turn in sorted(self.turns()) if low < turn < high][:TRIED]
        return sorted({low, *evenly, *turns, high})

    def _value_or_infinite(self, scores: Mapping[str, float]) -> float:
        """The value; infinite where there is none, so that what can be decided is."""
        try:
            return self.value(scores)
        except FormulaError:
            return math.inf

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


def _highest(part: Grader, score: float) -> float:
    """The best a part could have given; of a part without limits, one more than it gave."""
    highest = part.range[1]
    return highest if math.isfinite(highest) else score + 1
