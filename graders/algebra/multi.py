"""multi: several graders and the formula that makes one score of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from graders.algebra.arithmetic import Arithmetic
from graders.algebra.formula import Formula, FormulaError, parse
from graders.composite import Doubt, Parts
from graders.grader import Grader
from graders.options import Number
from graders.template import nearest, short


class Multi(Arithmetic):
    """A score computed from the scores of other graders (OpenAI's `multi`).

    `calculate_output` is arithmetic over the keys of `graders`: `+ - * / ^`, parentheses, numbers and `min
    max abs floor ceil exp sqrt log`; ours are comparisons and `if`, `clip` and `mean`. The result is not clamped;
    its range follows from the formula and the ranges of the parts. When a part could not decide, nor could the
    whole, whether or not the formula uses that part, unless it is named in `optional` (ours), with the number
    that then stands in for it. When a part bears a fault of the candidate, so does the whole, and the part counts
    as whatever it can give that is worst for the whole, so that spoiling it never pays.

    >>> exact = {"type": "string_check", "reference": "FBN1", "input": "{{sample.output_text}}"}
    >>> grader = Multi(
    ...     graders={"same": {**exact, "operation": "eq"}, "held": {**exact, "operation": "like"}},
    ...     calculate_output="0.75*same + 0.25*held",
    ... )
    >>> grade = grader("FBN1!")
    >>> grade.score, grade.formula, grader.range
    (0.25, '0.75*same + 0.25*held = 0.75*0 + 0.25*1 = 0.25', (0.0, 1.0))
    """

    in_openai: ClassVar[bool] = True

    type: Literal["multi"] = "multi"
    graders: Parts
    calculate_output: str
    optional: dict[str, Number] = Field({})

    def check(self) -> None:
        super().check()
        if unknown := [key for key in self.optional if key not in self.graders]:
            raise ValueError(f"optional: no grader {unknown[0]!r}; {nearest(unknown[0], self.graders)}")
        try:
            parse(self.calculate_output).check_names(self.graders)
            self.bound(self.ranges)
        except FormulaError as problem:
            raise ValueError(f"calculate_output {short(self.calculate_output)}: {problem}") from None

    @property
    def members(self) -> Mapping[str, Grader]:
        return self.graders

    @property
    def stand_ins(self) -> Mapping[str, float]:
        return self.optional

    def _text(self) -> str:
        return self.calculate_output

    def doubts(self) -> Iterable[Doubt]:
        found: list[str] = []
        whole = self.bound(self.ranges, self.members, found)
        yield from (Doubt("", f"{reason}: such a sample is undecided") for reason in dict.fromkeys(found))
        names = self.formula.names
        for key in self.members:
            if key not in names:
                yield Doubt(key, "the formula does not use it; it matters only where it cannot decide")
            elif whole.trend(key) == 0 and self.ranges[key][0] < self.ranges[key][1]:
                yield Doubt(key, "can never matter: the formula gives the same whatever its score")

    def exported(self) -> Formula:
        if self.optional:
            raise ValueError(f"{self.label!r}: 'optional' is Assay's own; OpenAI decides none without all its parts")
        if self.formula.extensions:
            what = self.formula.extensions[0]
            raise ValueError(f"{self.label!r}: {what} in calculate_output is Assay's own; OpenAI's formulas lack it")
        return self.formula
