"""Two expressions compared by proved enclosures at points.

"different" is a proof: two enclosures that do not meet. "equal" is one for constants made of rational numbers by
arithmetic and roots (`separation`, where that needs few bits). Else it means that the values are the same rational
number, or the enclosures meet, at every point tried, and at one of them with so many bits that a difference of the
order of any number that the expressions are made of would have shown (`Comparison.confirm`). Expressions are compared
where both are real; where that is nowhere, at whole values of letters such as the n of (-1)^n, then at complex values.
Letters of which a conjugate or a real part is taken are complex from the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import islice
from typing import Any, Literal, NamedTuple

from graders.math.policy import Policy
from graders.math.tree import Node, Verdict
from graders.math.values.arithmetic import Budget, draw
from graders.math.values.balls import Ball, Balls, TooLarge, Undefined, Unevaluable, Vague, at, disturbed
from graders.math.values.evaluate import Evaluator
from graders.math.values.points import (
    Facts,
    Point,
    complex_points,
    divisible_points,
    real_points,
    seed,
    shown,
    whole_points,
    written_points,
)
from graders.math.values.separation import separation

FIRST, SECOND = 128, 512  # bits
CONSTANT = 1536  # bits for two constants, which no further point can tell apart
MOST = 32_768  # bits
WORK = 25_000  # microseconds, roughly, for one comparison
USABLE = 3  # points at which both sides must have a value
SMOOTH, KINKED = 4, 8  # points wanted: where there are no branches, where there may be
DEFAULT = Policy()


def order_of(difference: Fraction | int) -> Literal[-1, 0, 1]:
    return 1 if difference > 0 else -1 if difference else 0


class Met(NamedTuple):
    """What became of two enclosures: "apart", "together", or "" with the problem."""

    outcome: Literal["apart", "together", ""]
    problem: Unevaluable | None = None
    texts: tuple[str, str] = ("", "")
    order: Literal[-1, 0, 1] | None = None
    opaque: bool = False
    settled: bool = False  # no more bits are needed: equal rational numbers, or within the tolerance
    lopsided: bool = False  # one side is undefined where the other has a value


@dataclass
class Survey:
    """What comparing at several points came to."""

    usable: int = 0
    first: Point | None = None  # where they met as enclosures, not as rational numbers
    apart: tuple[Point, Met] | None = None
    opaque: bool = False
    lopsided: int = 0
    problem: Unevaluable | None = None
    negative: set[str] = field(default_factory=set)


class Comparison:
    """Two trees, compared at points. The order of evaluation is that of their hashes, so that it is symmetric."""

    def __init__(self, a: Node, b: Node, policy: Policy = DEFAULT, log_base: int | None = None) -> None:
        one, other = seed(a), seed(b)
        self.swapped = other < one
        self.trees = (b, a) if self.swapped else (a, b)
        self.start = draw(min(one, other) ^ draw(max(one, other)))
        self.policy, self.log_base = policy, log_base
        self.budget = Budget(WORK)
        self.met: tuple[Balls, Ball, Ball] | None = None  # the first enclosures that met

    def verdict(self, names: list[str], known: Facts) -> Verdict:
        try:
            return self._of_functions(names, known) if names else self._of_constants()
        except TooLarge as problem:
            return Verdict("undecided", str(problem), "points")

    def _of_constants(self) -> Verdict:
        survey = Survey()
        for loose in (False, True):
            survey = self.survey([{}], 1, loose)
            if survey.usable or survey.apart or survey.lopsided:
                break
        return self._read(survey, 1, loose) or self._problem(survey)

    def _of_functions(self, names: list[str], known: Facts) -> Verdict:
        if known.complex:
            spread = complex_points(names, known.complex, self.start, known.largest)
            survey = self.survey(spread, KINKED, True)
            return self._read(survey, USABLE, True) or self._problem(survey)
        letters = frozenset(names) & known.whole
        points = partial(real_points, names, self.start, known.largest)
        real = self.survey(points(), KINKED if known.kinked else SMOOTH, False)
        if not (real.apart and letters):
            verdict = self._read(real, USABLE, False)
            if verdict and verdict.equal and known.steps:
                return self._at_steps(names, letters, known) or verdict
            if verdict and verdict.outcome != "undecided":
                return verdict
        if letters:
            whole = self.survey(whole_points(names, letters, self.start, 48 if known.series else 1200), 12, False)
            verdict = self._read(whole, USABLE, False, f" at whole {', '.join(sorted(letters))}")
            if verdict and verdict.equal and known.steps:
                return self._at_steps(names, letters, known) or verdict
            if verdict and verdict.outcome != "undecided":
                return verdict
        if real.apart:
            return self._read(real, USABLE, False) or self._problem(real)
        complex_ = self.survey(islice(points(), 8), SMOOTH, True)
        return self._read(complex_, USABLE, True) or self._problem(complex_)

    def _at_steps(self, names: list[str], letters: frozenset[str], known: Facts) -> Verdict | None:
        """What two that are equal elsewhere are where steps and spikes lie: None where they are equal there too."""
        if letters:
            highest = 48 if known.series else 10**10
            points = divisible_points(names, letters, self.start, known.written, highest)
        else:
            points = written_points(names, self.start, known.written)
        survey = self.survey(points, 1000, False)
        return self._read(survey, 1, False) if survey.apart else None

    def survey(self, points: Iterable[Point], wanted: int, loose: bool) -> Survey:
        """Compares at these points until they are apart, or met at `wanted` of them; where that is more than a few,
        each letter negative at one of them."""
        survey = Survey()
        with at(FIRST) as balls:
            for point in points:
                met = self._meet(balls, point, loose)
                if isinstance(met.problem, Vague):
                    met = self.meet(point, SECOND, loose)
                survey.opaque |= met.opaque
                if met.outcome == "apart":
                    survey.apart = (point, met)
                    return survey
                if met.outcome == "together":
                    survey.usable += 1
                    if not met.settled:
                        survey.first = survey.first or point
                    if wanted == KINKED:
                        survey.negative.update(name for name, value in point.items() if value[0] < 0)
                    if survey.usable >= wanted and (wanted != KINKED or len(survey.negative) == len(point)):
                        break
                else:
                    survey.problem = met.problem
                    survey.lopsided += met.lopsided
        return survey

    def meet(self, point: Point, precision: int, loose: bool = False) -> Met:
        """Compares the enclosures of both at one point."""
        with at(precision) as balls:
            return self._meet(balls, point, loose)

    def _meet(self, balls: Balls, point: Point, loose: bool) -> Met:
        evaluator = self._evaluator(balls, point, loose)
        values: list[Any] = []
        problems: list[Unevaluable] = []
        for tree in self.trees:
            try:
                values.append(evaluator.value(tree))
            except Unevaluable as problem:
                problems.append(problem)
                if not isinstance(problem, Undefined):
                    return Met("", problem, opaque=evaluator.opaque)
        if problems:
            return Met("", problems[0], opaque=evaluator.opaque, lopsided=len(problems) == 1)
        return self._compared(balls, values, evaluator.opaque)

    def _evaluator(self, balls: Balls, point: Point, loose: bool) -> Evaluator:
        exact_point = {name: _number(balls, value) for name, value in point.items()}
        return Evaluator(balls, exact_point, self.budget, loose=loose, log_base=self.log_base)

    def _compared(self, balls: Balls, values: list[Any], opaque: bool) -> Met:
        one, other = values
        both_exact = type(one) is balls.exact and type(other) is balls.exact
        if both_exact and one == other:
            return Met("together", opaque=opaque, settled=True)
        one, other = balls.ball(one), balls.ball(other)
        if not both_exact and balls.overlap(one, other):
            self.met = self.met or (balls, one, other)
            return Met("together", opaque=opaque)
        if self.policy.rel_tol and self._within(balls, one, other):
            return Met("together", opaque=opaque, settled=True)
        order = _order(balls, one, other)
        texts = balls.text(one), balls.text(other)
        if self.swapped:
            return Met("apart", None, (texts[1], texts[0]), None if order is None else order_of(-order), opaque)
        return Met("apart", None, texts, order, opaque)

    def _within(self, balls: Balls, one: Any, other: Any) -> bool:
        tolerance = Fraction(self.policy.rel_tol)
        limit = balls.rational(tolerance.numerator, tolerance.denominator)
        gap = balls.call("abs", one - other)
        return any((balls.sign(limit * balls.call("abs", side) - gap) or -1) > 0 for side in (one, other))

    def confirm(self, point: Point, loose: bool = False, constant: bool = True) -> Literal["apart", "together", ""]:
        """Compares once more, with so many bits that nothing written can have been lost.

        For numbers made by arithmetic and roots that is proved (`separation`). Otherwise it is twice the bits by which
        addends differ in size (or, near zero, by which any number is off 1) and some.
        "" where that is more than MOST bits, or where the enclosures remain wide.
        """
        bits = None if loose else separation(*self.trees, point)
        if bits is not None and bits <= SECOND and (proved := self._proved(point, bits)):
            return proved
        extra = CONSTANT if constant else SECOND
        precision, near_zero = extra, False
        for _ in range(6):
            with at(precision) as balls:
                evaluator = self._evaluator(balls, point, loose)
                evaluator.measures_spread, evaluator.measures_magnitude = True, near_zero
                one, other = (balls.ball(evaluator.value(tree)) for tree in self.trees)
                if not balls.overlap(one, other):
                    return "apart"
                sizes = balls.exponent(one), balls.exponent(other)
                if None in sizes and not near_zero:
                    near_zero = True
                    continue
                lost = evaluator.magnitude if near_zero else evaluator.spread
                floor = max(size or 0 for size in sizes) - lost - 64
                is_enough = extra + 2 * lost <= precision and not disturbed(balls)
                if is_enough and balls.narrow(one, -floor) and balls.narrow(other, -floor):
                    return "together"
            if extra + 2 * lost > MOST:
                return ""
            precision = max(precision, extra + 2 * lost)
        return ""

    def _proved(self, point: Point, bits: int) -> Literal["apart", "together", ""]:
        """Compares with so many bits that two numbers which differ by 2^-bits or not at all are told apart."""
        if self.met and not point and all(self.met[0].narrow(ball, bits + 2) for ball in self.met[1:]):
            return "together"
        for precision in (bits + 64, bits + SECOND):
            with at(max(precision, FIRST)) as balls:
                evaluator = self._evaluator(balls, point, False)
                one, other = (balls.ball(evaluator.value(tree)) for tree in self.trees)
                if not balls.overlap(one, other):
                    return "apart"
                if balls.narrow(one, bits + 2) and balls.narrow(other, bits + 2):
                    return "together"
        return ""

    def _read(self, survey: Survey, needed: int, loose: bool, where: str = "") -> Verdict | None:
        """The verdict of a survey, or None where it has none."""
        if survey.apart:
            if survey.opaque:
                return Verdict("undecided", "only calculus could tell", "calculus")
            return Verdict("different", _apart(*survey.apart), "points")
        if survey.usable < needed:
            if survey.lopsided and not survey.usable:
                return Verdict("different", "one of them is undefined", "points")
            return None
        if survey.first is not None:
            point = survey.first
            try:
                found = self.confirm(point, loose, not point)
            except Unevaluable:
                found = ""
            if found == "apart":
                if survey.opaque:
                    return Verdict("undecided", "only calculus could tell", "calculus")
                return Verdict("different", f"they differ by very little{_where(point)}", "points")
            if not found:
                return Verdict("undecided", "too close to be told apart, too large to be called equal", "points")
        why = f"equal at {survey.usable} points{where}" if needed > 1 else "the same value"
        return Verdict("equal", why, "points")

    def _problem(self, survey: Survey) -> Verdict:
        if isinstance(survey.problem, Undefined):
            return Verdict("different", "neither has a value", "points")
        step = "calculus" if survey.opaque else "points"
        return Verdict("undecided", f"no values to compare: {survey.problem or 'too few points'}", step)


def _order(balls: Balls, one: Ball, other: Ball) -> Literal[-1, 0, 1] | None:
    """The order of two balls that may be real; None where one is not, or where they meet."""
    reals = []
    for ball in (one, other):
        if not balls.is_real(ball):
            ball, imaginary = balls.split(ball)
            if balls.sign(imaginary):
                return None
        reals.append(ball)
    return balls.sign(reals[0] - reals[1])


def _number(balls: Balls, parts: tuple[int, ...]) -> Any:
    if len(parts) == 2:
        return balls.rational(*parts)
    return balls.complex(balls.ball(balls.rational(*parts[:2])), balls.ball(balls.rational(*parts[2:])))


def _where(point: Point) -> str:
    return f" at {shown(point)}" if point else ""


def _apart(point: Point, met: Met) -> str:
    reference, answer = met.texts
    if not point:
        return f"{answer} is not {reference}" if answer != reference else f"they differ beyond {answer}"
    return f"at {shown(point)} it is {answer} and the reference {reference}"
