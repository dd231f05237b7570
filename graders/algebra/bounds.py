"""Bounds: between which values a formula lies, and whether it rises or falls with each of its names.

Interval arithmetic (Moore, Kearfott and Cloud, Introduction to Interval Analysis, 2009) over a formula's program.
Rounding to nearest is monotone, so the ends that the same floating-point steps give are sound as they are; only
`exp`, `log` and `^`, which libraries do not round exactly, are widened by two units in the last place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from graders.algebra.formula import Formula, FormulaError, Step, formula_error

Range: TypeAlias = tuple[float, float]
Trend: TypeAlias = int | None
"""1: never falls as a name rises; -1: never rises; 0: does not depend on it; None: not known."""


class Moves(NamedTuple):
    """The names with which a value may rise, and those with which it may fall."""

    up: frozenset[str] = frozenset()
    down: frozenset[str] = frozenset()

    def signed(self, sign: Trend) -> Moves:
        """Those of the value times something of this sign."""
        if sign is None:
            either = self.up | self.down
            return Moves(either, either)
        return self if sign > 0 else Moves(self.down, self.up) if sign < 0 else STILL


STILL = Moves()


class Bound(NamedTuple):
    """The values of a part of a formula: from `low` to `high`, ends included, infinite where there is no limit."""

    low: float
    high: float
    moves: Moves = STILL

    def trend(self, name: str) -> Trend:
        """How the value moves as the name rises, which has to be one of those that were followed."""
        up, down = name in self.moves.up, name in self.moves.down
        return None if up and down else up - down


def bound(
    formula: Formula, ranges: Mapping[str, Range], follow: Collection[str] = (), doubts: list[str] | None = None
) -> Bound:
    """What the formula can give for values in `ranges`, and how that moves with the names to `follow`.

    Values for which a step is undefined are left out, and told in `doubts`. Raises FormulaError where no value
    is left. A name that stands more than once counts each time as if it were free: the bounds are never too
    narrow, but may be wider than the values.

    >>> from graders.algebra.formula import parse
    >>> found = bound(parse("1 - 0.5*a"), {"a": (0.0, 1.0)}, ["a"])
    >>> found.low, found.high, found.trend("a")
    (0.5, 1.0, -1)
    """
    return _Bounds(ranges, frozenset(follow), doubts if doubts is not None else []).run(formula.steps)


class _Bounds:
    def __init__(self, ranges: Mapping[str, Range], follow: frozenset[str], doubts: list[str]) -> None:
        self.ranges, self.follow, self.doubts = ranges, follow, doubts

    def run(self, steps: Sequence[Step]) -> Bound:
        stack: list[Bound] = []
        for step in steps:
            if step.kind == "number":
                stack.append(Bound(step.payload, step.payload))
            elif step.kind == "name":
                moves = Moves(up=frozenset((step.text,))) if step.text in self.follow else STILL
                stack.append(Bound(*self.ranges[step.text], moves))
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
            low, high, moves = RULES[step.text](*operands)
        except ArithmeticError as problem:
            raise formula_error(f"{step.text} {problem}, whatever the scores,", step.position) from None
        if low == math.inf or high == -math.inf:
            raise formula_error(f"{step.text} is too large, whatever the scores,", step.position)
        return Bound(low + 0.0, high + 0.0, STILL if low == high else moves)

    def branched(self, condition: Bound, branches: tuple[Sequence[Step], Sequence[Step]]) -> Bound:
        if condition.low > 0 or condition.high < 0:
            return self.run(branches[0])
        if condition.low == condition.high == 0:
            return self.run(branches[1])
        # A branch is entered only where the condition lets it, so what is undefined in it is no doubt.
        inside = _Bounds(self.ranges, self.follow, [])
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
            return either._replace(moves=_join(either.moves, condition.moves.signed(None)))
        higher: Trend = None  # which branch is the higher one
        if condition.low >= 0:
            higher = 1 if then.low >= otherwise.high else -1 if then.high <= otherwise.low else None
        moves = _join(then.moves, otherwise.moves, condition.moves.signed(higher))
        return Bound(min(then.low, otherwise.low), max(then.high, otherwise.high), moves)


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


def _join(*parts: Moves) -> Moves:
    """The moves of something that rises with each of its parts."""
    moving = [part for part in parts if part != STILL]
    if len(moving) < 2:
        return moving[0] if moving else STILL
    up, down = zip(*moving, strict=True)
    return Moves(up[0].union(*up[1:]), down[0].union(*down[1:]))


def _sign(value: Bound) -> Trend:
    if value.low == value.high == 0:
        return 0
    return 1 if value.low >= 0 else -1 if value.high <= 0 else None


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b  # an infinite end stands for finite values only


def _add(a: Bound, b: Bound) -> Bound:
    return Bound(a.low + b.low, a.high + b.high, _join(a.moves, b.moves))


def _negated(a: Bound) -> Bound:
    return Bound(-a.high, -a.low, a.moves.signed(-1))


def _subtract(a: Bound, b: Bound) -> Bound:
    return _add(a, _negated(b))


def _multiply(a: Bound, b: Bound) -> Bound:
    corners = [_times(x, y) for x in a[:2] for y in b[:2]]
    return Bound(min(corners), max(corners), _join(a.moves.signed(_sign(b)), b.moves.signed(_sign(a))))


def _divide(a: Bound, b: Bound) -> Bound:
    if b.low == b.high == 0:
        raise ArithmeticError("divides by zero")
    if b.low < 0 < b.high:
        zero = a.low == a.high == 0
        return Bound(0, 0) if zero else Bound(-math.inf, math.inf, _join(a.moves, b.moves).signed(None))
    if b.high <= 0:
        return _divide(_negated(a), _negated(b))
    corners = [_quotient(x, y) for x in a[:2] for y in b[:2]]
    return Bound(min(corners), max(corners), _join(a.moves, b.moves.signed(-1).signed(_sign(a))))


def _quotient(a: float, b: float) -> float:
    """a / b for b >= 0, where 0 stands for the smallest numbers and infinity for the largest."""
    if a == 0 or math.isinf(b):
        return 0.0
    return math.copysign(math.inf, a) if b == 0 else a / b


def _power(base: Bound, exponent: Bound) -> Bound:
    if base.low >= 0:
        corners = [_pow(x, y) for x in base[:2] for y in exponent[:2]]
        by_exponent: Trend = 1 if base.low >= 1 else -1 if base.high <= 1 else None
        moves = _join(base.moves.signed(_sign(exponent)), exponent.moves.signed(by_exponent))
        return _loose(Bound(min(corners), max(corners), moves))
    whole = exponent.low == exponent.high and exponent.low == math.floor(exponent.low)
    size = _absolute(base)
    if whole and exponent.low < 0:
        return _loose(_divide(Bound(1, 1), _power(base, _negated(exponent))))
    if whole and exponent.low % 2 == 0:
        return _power(size, exponent)
    if whole:
        signed = [math.copysign(_pow(abs(end), exponent.low), end) for end in base[:2]]
        return _loose(Bound(signed[0], signed[1], base.moves))
    most = _power(size, exponent).high
    return Bound(-most, most, _join(base.moves, exponent.moves).signed(None))


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
    return Bound(low, high, exact.moves)


def _absolute(a: Bound) -> Bound:
    if a.low >= 0:
        return a
    return _negated(a) if a.high <= 0 else Bound(0, max(-a.low, a.high), a.moves.signed(None))


def _rounded(rule: Callable[[float], float]) -> Callable[[Bound], Bound]:
    def rounded(a: Bound) -> Bound:
        low, high = (float(rule(end)) if math.isfinite(end) else end for end in a[:2])
        return Bound(low, high, a.moves)

    return rounded


def _exponential(a: Bound) -> Bound:
    def exp(value: float) -> float:
        try:
            return math.exp(value)
        except OverflowError:
            return math.inf

    return _loose(Bound(exp(a.low), exp(a.high), a.moves))


def _root(a: Bound) -> Bound:
    if a.high < 0:
        raise ArithmeticError("is not a real number")
    return Bound(math.sqrt(max(a.low, 0.0)), math.sqrt(a.high), a.moves)


def _logarithm(a: Bound) -> Bound:
    if a.high <= 0:
        raise ArithmeticError("is not a real number")
    return _loose(Bound(math.log(a.low) if a.low > 0 else -math.inf, math.log(a.high), a.moves))


def _least(*parts: Bound) -> Bound:
    """A part whose lowest is never below another's highest does not matter."""
    cap = min(range(len(parts)), key=lambda index: parts[index].high)
    matter = [part for index, part in enumerate(parts) if index == cap or part.low < parts[cap].high]
    return Bound(min(part.low for part in parts), parts[cap].high, _join(*(part.moves for part in matter)))


def _greatest(*parts: Bound) -> Bound:
    return _negated(_least(*map(_negated, parts)))


def _average(*parts: Bound) -> Bound:
    ends = (math.fsum(end) if all(map(math.isfinite, end)) else sum(end) for end in list(zip(*parts, strict=True))[:2])
    low, high = (end / len(parts) for end in ends)
    return Bound(low, high, _join(*(part.moves for part in parts)))


def _clipped(value: Bound, low: Bound, high: Bound) -> Bound:
    if low.low > high.high:
        raise ArithmeticError("has its low end above its high end")
    return _least(_greatest(value, low), high)


def _less(a: Bound, b: Bound) -> Bound:
    return _not(_less_or_equal(b, a))


def _less_or_equal(a: Bound, b: Bound) -> Bound:
    low, high = float(a.high <= b.low), float(a.low <= b.high)
    return Bound(low, high, STILL if low == high else _join(a.moves.signed(-1), b.moves))


def _equal(a: Bound, b: Bound) -> Bound:
    low, high = float(a.low == a.high == b.low == b.high), float(a.low <= b.high and b.low <= a.high)
    return Bound(low, high, STILL if low == high else _join(a.moves, b.moves).signed(None))


def _not(a: Bound) -> Bound:
    return Bound(1 - a.high, 1 - a.low, a.moves.signed(-1))


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
"""How each operator and function moves ends and names. A rule that raises ArithmeticError has no value at all."""
