"""Bounds: between which values a formula lies, and whether it rises or falls with one of its names.

Interval arithmetic (Moore, Kearfott and Cloud, Introduction to Interval Analysis, 2009) over a formula's program.
Rounding to nearest is monotone, so the ends that the same floating-point steps give are sound as they are; only
`exp`, `log` and `^`, which libraries do not round exactly, are widened by two units in the last place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from graders.algebra.formula import Formula, FormulaError, Step, formula_error

Range: TypeAlias = tuple[float, float]
Trend: TypeAlias = int | None
"""1: never falls as the name rises; -1: never rises; 0: does not depend on it; None: not known."""


class Bound(NamedTuple):
    """The values of a part of a formula: from `low` to `high`, ends included, infinite where there is no limit."""

    low: float
    high: float
    trend: Trend = 0


def bound(formula: Formula, ranges: Mapping[str, Range], name: str = "", doubts: list[str] | None = None) -> Bound:
    """What the formula can give for values in `ranges`, and how that moves with `name`.

    Values for which a step is undefined are left out, and told in `doubts`. Raises FormulaError where no value
    is left. A name that stands more than once counts each time as if it were free: the bounds are never too
    narrow, but may be wider than the values.

    >>> from graders.algebra.formula import parse
    >>> bound(parse("1 - 0.5*a"), {"a": (0.0, 1.0)}, "a")
    Bound(low=0.5, high=1.0, trend=-1)
    """
    return _Bounds(ranges, name, doubts if doubts is not None else []).run(formula.steps)


class _Bounds:
    def __init__(self, ranges: Mapping[str, Range], name: str, doubts: list[str]) -> None:
        self.ranges, self.name, self.doubts = ranges, name, doubts

    def run(self, steps: Sequence[Step]) -> Bound:
        stack: list[Bound] = []
        for step in steps:
            if step.kind == "number":
                stack.append(Bound(step.payload, step.payload))
            elif step.kind == "name":
                stack.append(Bound(*self.ranges[step.text], int(step.text == self.name)))
            elif step.kind == "if":
                stack.append(self.branched(stack.pop(), step.payload))
            else:
                operands = stack[-step.operands :]
                del stack[-step.operands :]
                stack.append(self.applied(step, operands))
        return stack[0]

    def applied(self, step: Step, operands: list[Bound]) -> Bound:
        if doubt := _doubt(step.text, operands):
            self.doubts.append(f"{doubt} at character {step.position + 1}")
        try:
            low, high, trend = RULES[step.text](*operands)
        except ArithmeticError as problem:
            raise formula_error(f"{step.text} {problem}, whatever the scores,", step.position) from None
        if low == math.inf or high == -math.inf:
            raise formula_error(f"{step.text} is too large, whatever the scores,", step.position)
        return Bound(low + 0.0, high + 0.0, 0 if low == high else trend)

    def branched(self, condition: Bound, branches: tuple[Sequence[Step], Sequence[Step]]) -> Bound:
        if condition.low > 0 or condition.high < 0:
            return self.run(branches[0])
        if condition.low == condition.high == 0:
            return self.run(branches[1])
        # A branch is entered only where the condition lets it, so what is undefined in it is no doubt.
        inside = _Bounds(self.ranges, self.name, [])
        found: list[Bound | None] = []
        problem = None
        for branch in branches:
            try:
                found.append(inside.run(branch))
            except FormulaError as caught:
                problem = caught
                found.append(None)
        then, otherwise = found
        if then is None or otherwise is None:
            if problem is not None and then is otherwise:
                raise problem
            either = then or otherwise
            assert either is not None
            return either._replace(trend=None if condition.trend != 0 else either.trend)
        trend: Trend = None
        if condition.trend == 0 or condition.low < 0:
            by_condition: Trend = 0 if condition.trend == 0 else None
        elif then.low >= otherwise.high:
            by_condition = condition.trend
        else:
            by_condition = _times_sign(condition.trend, -1) if then.high <= otherwise.low else None
        trend = _join(then.trend, otherwise.trend, by_condition)
        return Bound(min(then.low, otherwise.low), max(then.high, otherwise.high), trend)


def _doubt(name: str, operands: list[Bound]) -> str:
    """What may be undefined about a step, in words; "" when nothing is."""
    last = operands[-1]
    if name == "/" and last.low <= 0 <= last.high:
        return "a division by zero is possible"
    if name == "log" and last.low <= 0:
        return "a logarithm of 0 or less is possible"
    if name == "sqrt" and last.low < 0:
        return "the root of a negative number is possible"
    if name == "^" and operands[0].low <= 0:
        whole = last.low == last.high and last.low == math.floor(last.low) and last.low >= 0
        if not whole and (operands[0].low < 0 or last.low < 0):
            return "a power that is not a real number is possible"
    if name == "clip" and operands[1].high > last.low:
        return "a clip with its low end above its high end is possible"
    return ""


def _join(*trends: Trend) -> Trend:
    """The trend of something that rises with each of its parts, which have these trends."""
    moving = set(trends) - {0}
    return 0 if not moving else moving.pop() if len(moving) == 1 else None


def _times_sign(trend: Trend, sign: Trend) -> Trend:
    if trend == 0 or sign == 0:
        return 0
    return None if trend is None or sign is None else trend * sign


def _sign(value: Bound) -> Trend:
    if value.low == value.high == 0:
        return 0
    return 1 if value.low >= 0 else -1 if value.high <= 0 else None


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b  # an infinite end stands for finite values only


def _add(a: Bound, b: Bound) -> Bound:
    return Bound(a.low + b.low, a.high + b.high, _join(a.trend, b.trend))


def _negated(a: Bound) -> Bound:
    return Bound(-a.high, -a.low, _times_sign(a.trend, -1))


def _subtract(a: Bound, b: Bound) -> Bound:
    return _add(a, _negated(b))


def _multiply(a: Bound, b: Bound) -> Bound:
    corners = [_times(x, y) for x in a[:2] for y in b[:2]]
    trend = _join(_times_sign(a.trend, _sign(b)), _times_sign(b.trend, _sign(a)))
    return Bound(min(corners), max(corners), trend)


def _divide(a: Bound, b: Bound) -> Bound:
    if b.low == b.high == 0:
        raise ArithmeticError("divides by zero")
    if b.low < 0 < b.high:
        trend: Trend = None if a.trend != 0 or b.trend != 0 else 0
        zero = a.low == a.high == 0
        return Bound(0, 0) if zero else Bound(-math.inf, math.inf, trend)
    if b.high <= 0:
        return _divide(_negated(a), _negated(b))
    corners = [_quotient(x, y) for x in a[:2] for y in b[:2]]
    trend = _join(a.trend, _times_sign(_times_sign(b.trend, -1), _sign(a)))
    return Bound(min(corners), max(corners), trend)


def _quotient(a: float, b: float) -> float:
    """a / b for b >= 0, where 0 stands for the smallest numbers and infinity for the largest."""
    if a == 0 or math.isinf(b):
        return 0.0
    return math.copysign(math.inf, a) if b == 0 else a / b


def _power(base: Bound, exponent: Bound) -> Bound:
    if base.low >= 0:
        corners = [_pow(x, y) for x in base[:2] for y in exponent[:2]]
        by_exponent: Trend = 1 if base.low >= 1 else -1 if base.high <= 1 else None
        trend = _join(_times_sign(base.trend, _sign(exponent)), _times_sign(exponent.trend, by_exponent))
        return _loose(Bound(min(corners), max(corners), trend))
    whole = exponent.low == exponent.high and exponent.low == math.floor(exponent.low)
    size = _absolute(base)
    if whole and exponent.low < 0:
        return _loose(_divide(Bound(1, 1), _power(base, _negated(exponent))))
    if whole and exponent.low % 2 == 0:
        return _power(size, exponent)
    if whole:
        signed = [math.copysign(_pow(abs(end), exponent.low), end) for end in base[:2]]
        return _loose(Bound(signed[0], signed[1], base.trend))
    most = _power(size._replace(trend=0), exponent._replace(trend=0)).high
    still = base.trend == 0 and exponent.trend == 0
    return Bound(-most, most, 0 if still else None)


def _pow(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except (ValueError, OverflowError):  # 0 to a negative power, or too large
        return math.inf


def _loose(exact: Bound) -> Bound:
    """Widened for rounding; 0, 1 and infinity are given exactly."""
    low, high = exact.low, exact.high
    for _ in range(2):
        low = low if low in (0, 1, math.inf) else math.nextafter(low, -math.inf)
        high = high if high in (0, 1, -math.inf) else math.nextafter(high, math.inf)
    return Bound(low, high, exact.trend)


def _absolute(a: Bound) -> Bound:
    if a.low >= 0:
        return a
    return _negated(a) if a.high <= 0 else Bound(0, max(-a.low, a.high), None if a.trend != 0 else 0)


def _rounded(rule: Callable[[float], float]) -> Callable[[Bound], Bound]:
    def rounded(a: Bound) -> Bound:
        low, high = (float(rule(end)) if math.isfinite(end) else end for end in a[:2])
        return Bound(low, high, a.trend)

    return rounded


def _exponential(a: Bound) -> Bound:
    def exp(value: float) -> float:
        try:
            return math.exp(value)
        except OverflowError:
            return math.inf

    return _loose(Bound(exp(a.low), exp(a.high), a.trend))


def _root(a: Bound) -> Bound:
    if a.high < 0:
        raise ArithmeticError("is not a real number")
    return Bound(math.sqrt(max(a.low, 0.0)), math.sqrt(a.high), a.trend)


def _logarithm(a: Bound) -> Bound:
    if a.high <= 0:
        raise ArithmeticError("is not a real number")
    return _loose(Bound(math.log(a.low) if a.low > 0 else -math.inf, math.log(a.high), a.trend))


def _least(*parts: Bound) -> Bound:
    """A part whose lowest is never below another's highest does not matter."""
    cap = min(range(len(parts)), key=lambda index: parts[index].high)
    matter = [part for index, part in enumerate(parts) if index == cap or part.low < parts[cap].high]
    return Bound(min(part.low for part in parts), parts[cap].high, _join(*(part.trend for part in matter)))


def _greatest(*parts: Bound) -> Bound:
    return _negated(_least(*map(_negated, parts)))


def _average(*parts: Bound) -> Bound:
    ends = (math.fsum(end) if all(map(math.isfinite, end)) else sum(end) for end in list(zip(*parts, strict=True))[:2])
    low, high = (end / len(parts) for end in ends)
    return Bound(low, high, _join(*(part.trend for part in parts)))


def _clipped(value: Bound, low: Bound, high: Bound) -> Bound:
    if low.low > high.high:
        raise ArithmeticError("has its low end above its high end")
    return _least(_greatest(value, low), high)


def _less(a: Bound, b: Bound) -> Bound:
    return _not(_less_or_equal(b, a))


def _less_or_equal(a: Bound, b: Bound) -> Bound:
    low, high = float(a.high <= b.low), float(a.low <= b.high)
    return Bound(low, high, 0 if low == high else _join(_times_sign(a.trend, -1), b.trend))


def _equal(a: Bound, b: Bound) -> Bound:
    low, high = float(a.low == a.high == b.low == b.high), float(a.low <= b.high and b.low <= a.high)
    return Bound(low, high, 0 if low == high or (a.trend == 0 and b.trend == 0) else None)


def _not(a: Bound) -> Bound:
    return Bound(1 - a.high, 1 - a.low, _times_sign(a.trend, -1))


RULES: Mapping[str, Callable[..., Bound]] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "^": _power,
    "neg": _negated,
    "min": _least,
    "max": _greatest,
    "abs": _absolute,
    "floor": _rounded(math.floor),
    "ceil": _rounded(math.ceil),
    "exp": _exponential,
    "sqrt": _root,
    "log": _logarithm,
    "mean": _average,
    "clip": _clipped,
    "<": _less,
    "<=": _less_or_equal,
    ">": lambda a, b: _less(b, a),
    ">=": lambda a, b: _less_or_equal(b, a),
    "==": _equal,
    "!=": lambda a, b: _not(_equal(a, b)),
}
"""How each operator and function moves ends and trends. A rule that raises ArithmeticError has no value at all."""
