"""How near two different numbers can be that are made of rational numbers by arithmetic and roots.

The bound of C. Burnikel, S. Funke, K. Mehlhorn, S. Schirra and S. Schmitt, "A separation bound for real algebraic
expressions", 2001: such an expression E is zero or |E| >= 1 / (l u^(D - 1)), where D is the product of the degrees of
its roots, and u and l follow from its parts. Logarithms of u and l are to base 2, and rounded up at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import log2

from graders.math.tree import Node

MOST_DEGREE = 4096
Sizes = tuple[float, float]  # the binary logarithms of u and l


class NotAlgebraic(Exception):  # noqa: N818 (an outcome, not a failure)
    """The expression is made of more than rational numbers, arithmetic and roots."""


def separation(one: Node, other: Node, point: Mapping[str, tuple[int, ...]]) -> int | None:
    """Bits such that the two are equal or differ by more than 2^-bits; None where no bound is known."""
    reader = _Reader(point)
    try:
        above, below = _sum(reader.sizes(one), reader.sizes(other))
    except NotAlgebraic:
        return None
    return int(below + above * (reader.degree - 1)) + 4


class _Reader:
    def __init__(self, point: Mapping[str, tuple[int, ...]]) -> None:
        self.point = point
        self.degree = 1
        self._roots = set[tuple[Node, int]]()

    def sizes(self, node: Node) -> Sizes:
        head, args = node.head, node.args
        if head == "number":
            return _of_fraction(node.value.value)
        if head == "symbol" and node.value in self.point:
            return _of_fraction(Fraction(*self.point[node.value]))
        if head == "neg":
            return self.sizes(args[0])
        if head == "add":
            total = self.sizes(args[0])
            for arg in args[1:]:
                total = _sum(total, self.sizes(arg))
            return total
        if head in ("mul", "div"):
            above, below = self.sizes(args[0])
            for arg in args[1:]:
                over, under = self.sizes(arg)
                above, below = (above + over, below + under) if head == "mul" else (above + under, below + over)
            return above, below
        if head in ("root", "pow"):
            return self._power(node)
        raise NotAlgebraic

    def _power(self, node: Node) -> Sizes:
        base, exponent = node.args
        power = _literal(exponent)
        if node.head == "root":
            if not power:
                raise NotAlgebraic
            power = 1 / power
        above, below = self.sizes(base)
        degree, times = power.denominator, abs(power.numerator)
        if degree > 1:
            self._count(base, degree)
            if above >= below:
                above = (above + (degree - 1) * below) / degree
            else:
                below = ((degree - 1) * above + below) / degree
        return (below * times, above * times) if power < 0 else (above * times, below * times)

    def _count(self, base: Node, degree: int) -> None:
        if (base, degree) not in self._roots:
            self._roots.add((base, degree))
            self.degree *= degree
            if self.degree > MOST_DEGREE:
                raise NotAlgebraic


def _of_fraction(value: Fraction) -> Sizes:
    return log2(abs(value.numerator) or 1), log2(value.denominator)


def _sum(one: Sizes, other: Sizes) -> Sizes:
    low, high = sorted((one[0] + other[1], other[0] + one[1]))
    return high + log2(1 + 2 ** max(low - high, -64)), one[1] + other[1]


def _literal(node: Node) -> Fraction:
    if node.head == "number":
        value: Fraction = node.value.value
        return value
    if node.head == "neg":
        return -_literal(node.args[0])
    if node.head == "div":
        under = _literal(node.args[1])
        if under:
            return _literal(node.args[0]) / under
    raise NotAlgebraic
