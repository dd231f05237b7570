"""Graders that reshape the score of one other: negate, threshold, piecewise-linear map, clip."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field

from graders.algebra.arithmetic import SLACK, Arithmetic, written
from graders.algebra.bounds import STILL, Bound, Moves, Range
from graders.algebra.formula import Formula, parse
from graders.composite import Composite, Doubt, Part
from graders.grade import Grade
from graders.grader import Grader
from graders.options import Number


class Shape(Arithmetic):
    """Base of those with one part, called `grader`."""

    grader: Part

    @property
    def members(self) -> Mapping[str, Grader]:
        return {"grader": self.grader}

    @property
    def given(self) -> Range:
        """Between what the part scores."""
        return self.ranges["grader"]


class Negate(Shape):
    """The score turned over within the part's range: its highest becomes its lowest (`1 - x` from 0 to 1).

    >>> said = {"type": "string_check", "operation": "like", "input": "{{sample.output_text}}", "reference": "sorry"}
    >>> Negate(grader=said)("sorry").formula
    '1 - grader = 1 - 1 = 0'
    """

    type: Literal["negate"] = "negate"

    def check(self) -> None:
        low, high = self.given
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(
                f"{self.grader.label!r} scores from {low:g} to {high:g}, which has no middle; clip it first"
            )

    def _text(self) -> str:
        return f"{written(sum(self.given)).strip('()')} - grader"


class Threshold(Shape):
    """1 where the part scores `at` or more, else 0.

    >>> from graders import load
    >>> rank = {"type": "rank", "reference": "FBN1"}
    >>> Threshold(grader=rank, at=0.5)("TGFBR2, FBN1").formula
    '(grader >= 0.5) = (0.5 >= 0.5) = 1'
    """

    type: Literal["threshold"] = "threshold"
    at: Number

    def check(self) -> None:
        low, high = self.given
        if self.at <= low or self.at > high:
            always = "1" if self.at <= low else "0"
            reach = f"{self.grader.label!r} scores from {low:g} to {high:g}"
            raise ValueError(f"at {self.at:g}: {reach}, so this is always {always}; put it above {low:g}, to {high:g}")

    def _text(self) -> str:
        return f"grader >= {written(self.at)}"

    def exported(self) -> Formula:
        return parse(reached("grader", self.grader, self.at))


class Clip(Shape):
    """The score, held between `low` and `high`.

    >>> from graders import as_grader
    >>> Clip(grader=as_grader(lambda sample, item: 3.5), low=0, high=1)("x").score
    1.0
    """

    type: Literal["clip"] = "clip"
    low: Number = 0.0
    high: Number = 1.0

    def check(self) -> None:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}, so every score would be the same")
        low, high = self.given
        if high <= self.low or low >= self.high:
            reach = f"{self.grader.label!r} scores from {low:g} to {high:g}"
            raise ValueError(f"{reach}, so between {self.low:g} and {self.high:g} every score is the same; move them")

    def doubts(self) -> Iterable[Doubt]:
        low, high = self.given
        if self.low <= low and high <= self.high:
            reach = f"from {low:g} to {high:g}"
            yield Doubt("grader", f"scores {reach}, so clipping it to {self.low:g} and {self.high:g} changes nothing")

    def _text(self) -> str:
        return f"clip(grader, {written(self.low)}, {written(self.high)})"

    def exported(self) -> Formula:
        return parse(f"min(max(grader, {written(self.low)}), {written(self.high)})")


class Piecewise(Shape):
    """The score mapped by straight lines between `points` [x, y]; before the first and after the last it stays level.

    >>> from graders import as_grader
    >>> half = as_grader(lambda sample, item: 0.3)
    >>> Piecewise(grader=half, points=[[0, 0], [0.2, 0.5], [0.4, 1]])("x").score
    0.75
    """

    type: Literal["piecewise"] = "piecewise"
    points: Annotated[list[tuple[Number, Number]], Field(min_length=2)]

    def check(self) -> None:
        for (before, _), (after, _) in pairwise(self.points):
            if before >= after:
                raise ValueError(f"points: {after:g} comes after {before:g}; sort them by x, each x once")
        low, high = self._range
        if low == high:
            span = f"from {self.given[0]:g} to {self.given[1]:g}, where {self.grader.label!r} scores"
            raise ValueError(f"points: {span}, every score becomes {low:g}; move them or give them different heights")

    def doubts(self) -> Iterable[Doubt]:
        low, high = self.given
        beyond = [x for x, _ in self.points if not low <= x <= high]
        if beyond:
            yield Doubt("grader", f"scores from {low:g} to {high:g}, so it never reaches the point at {beyond[0]:g}")

    def _text(self) -> str:
        """The first height, and for each line what it climbs: its slope by how far the score has gone along it."""
        (_, first), terms = self.points[0], []
        for (x0, y0), (x1, y1) in pairwise(self.points):
            if y0 != y1:
                gone = f"(min(max(grader, {written(x0)}), {written(x1)}) - {written(x0)})"
                terms.append(f"{written(y1 - y0)} * {gone} / {written(x1 - x0)}")
        return " + ".join([written(first), *terms])

    def shown(self, scores: Mapping[str, float]) -> str:
        return f"piecewise(grader) = piecewise({scores['grader']:.6g})" if scores else "piecewise(grader)"

    def reasons(self, parts: Mapping[str, Grade], scores: Mapping[str, float]) -> str:
        reasons = super().reasons(parts, scores)
        return f"{self._place(scores['grader'])}; {reasons}" if scores else reasons

    def _place(self, x: float) -> str:
        """Where a score lies among the points, in words."""
        (first, low), (last, high) = self.points[0], self.points[-1]
        if x <= first or x >= last:
            return f"{low:g} up to {first:g}" if x <= first else f"{high:g} from {last:g}"
        (x0, y0), (x1, y1) = next(line for line in pairwise(self.points) if x <= line[1][0])
        return f"from {y0:g} at {x0:g} to {y1:g} at {x1:g}"

    def value(self, scores: Mapping[str, float]) -> float:
        return self._at(scores["grader"])

    def _at(self, x: float) -> float:
        if x <= self.points[0][0]:
            return self.points[0][1]
        for (x0, y0), (x1, y1) in pairwise(self.points):
            if x <= x1:
                share = (x - x0) / (x1 - x0)
                height = y1 if share == 1 else y0 + share * (y1 - y0)
                return min(max(height, min(y0, y1)), max(y0, y1)) + 0.0  # rounding never leaves the line's ends
        return self.points[-1][1]

    def bound(
        self, ranges: Mapping[str, Range], follow: Collection[str] = (), doubts: list[str] | None = None
    ) -> Bound:
        low, high = ranges["grader"]
        reached = [self._at(low), *(y for x, y in self.points if low < x < high), self._at(high)]
        name = frozenset(follow)
        rises, falls = (any(sign * (after - before) > 0 for before, after in pairwise(reached)) for sign in (1, -1))
        moves = Moves(name if rises else STILL.up, name if falls else STILL.down)
        return Bound(min(reached) + 0.0, max(reached) + 0.0, moves)


def reached(name: str, part: Grader, at: float) -> str:
    """OpenAI's words for `name >= at`: 1 where it holds, else 0.

    A difference of floats is negative exactly where the first is smaller, so this is exact for a score as a grader
    gave it. What is computed anew may come out a little lower, and has the slack for it.
    """
    slack = f" + {SLACK}" if isinstance(part, Composite) else ""
    return f"max(0, min(1, 1 + floor({name} - {written(at)}{slack})))"
