"""Arithmetic on numbers that are exact while they are small and proved enclosures otherwise.

Real functions are real: the square root of -1 is refused (NotReal) unless `loose`, and then has its principal value.
Odd roots of negative numbers are real throughout.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from graders.math.values.balls import LARGEST, Balls, NotReal, TooLarge, Undefined, Vague

MASK = (1 << 64) - 1
CERTAIN = 512  # bits from which a divisor that shrinks with the precision counts as zero


def draw(seed: int) -> int:
    """64 bits drawn from a seed (splitmix64: Steele, Lea and Flood, 2014)."""
    seed = (seed + 0x9E3779B97F4A7C15) & MASK
    seed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    seed = ((seed ^ (seed >> 27)) * 0x94D049BB133111EB) & MASK
    return seed ^ (seed >> 31)


class Budget:
    """Microseconds of work left, roughly, shared by all evaluations of one comparison."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise TooLarge("too much to compute")


class Arithmetic:
    """Operations on exact numbers and balls. Raises a subclass of Unevaluable where one has no value."""

    def __init__(self, balls: Balls, budget: Budget, loose: bool, exact_bits: int) -> None:
        self.balls, self.budget, self.loose, self.exact_bits = balls, budget, loose, exact_bits
        self.is_exact: Any = balls.exact
        self.measures_spread = self.measures_magnitude = False
        self.spread = 0  # bits by which one addend met is larger than another
        self.magnitude = 0  # bits by which the largest or smallest number met is off 1

    def exponent(self, value: Any) -> int | None:
        """About the binary logarithm of a value; None where it may be zero."""
        if type(value) is not self.is_exact:
            return self.balls.exponent(value)
        over, under = self.balls.parts(value)
        return over.bit_length() - under.bit_length() if over else None

    def measure(self, addends: list[Any]) -> None:
        sizes = [size for addend in addends if (size := self.exponent(addend)) is not None]
        if sizes:
            self.spread = max(self.spread, max(sizes) - min(sizes))

    def lose(self, bits: int) -> None:
        """Counts that a result shows only beyond so many bits."""
        self.spread, self.magnitude = max(self.spread, bits), max(self.magnitude, bits)

    def kept(self, result: Any) -> Any:
        """An exact result as it is while it is small, else its enclosure."""
        if type(result) is self.is_exact and (bits := self.balls.bits(result)) > 512:
            self.budget.spend(bits >> 6)
            if bits > self.exact_bits:
                return self.balls.ball(result)
        return result

    def rational(self, number: int | Fraction) -> Any:
        return self.balls.exactly(Fraction(number))

    def is_real(self, value: Any) -> bool:
        return type(value) is self.is_exact or self.balls.is_real(value)

    def sign(self, value: Any) -> int | None:
        if type(value) is self.is_exact:
            return 1 if value > 0 else -1 if value else 0
        return self.balls.sign(value)

    def divide(self, over: Any, under: Any) -> Any:
        self.nonzero(under)
        return self.kept(over / under)

    def nonzero(self, value: Any) -> None:
        """Raises Undefined where it is zero, Vague where it may be."""
        if type(value) is self.is_exact:
            if not value:
                raise Undefined("a division by zero")
            return
        balls = self.balls
        parts = (value,) if balls.is_real(value) else balls.split(value)
        signs = [balls.sign(part) for part in parts]
        if any(signs):
            return
        if None not in signs or (balls.precision >= CERTAIN and balls.narrow(value, balls.precision // 2)):
            raise Undefined("a division by zero")
        raise Vague("a divisor that may be zero")

    def whole(self, value: Any) -> int:
        """An exact whole number; NotReal where it is none."""
        if type(value) is self.is_exact:
            over, under = self.balls.parts(value)
            if under == 1:
                return over
        raise NotReal("a function of whole numbers elsewhere")

    def call(self, name: str, value: Any) -> Any:
        """A function of one number that the library knows, inside its real domain unless `loose`."""
        balls = self.balls
        ball = balls.ball(value)
        self.budget.spend(balls.price(name))
        if self.measures_spread:
            self.spread = max(self.spread, 2 * abs(balls.exponent(ball) or 0))
        if not balls.is_real(ball):
            return balls.call(name, ball)
        domain = DOMAINS.get(name)
        if domain is None:
            return balls.call(name, ball)
        inside = balls.sign(domain(ball))
        if inside == 0 and name in ("log", "atanh"):
            raise Undefined(f"{name} at the edge of its domain")
        if inside is not None and inside >= 0:
            return balls.call(name, ball)
        if not self.loose:
            raise (NotReal if inside else Vague)(f"{name} outside its domain")
        return balls.call(name, balls.complex(ball, 0))

    def power(self, base: Any, exponent: Any, literal: bool) -> Any:
        """base ^ exponent; `literal`: the exponent is written as a number, so that odd roots are real."""
        if type(exponent) is self.is_exact:
            over, under = self.balls.parts(exponent)
            if under == 1:
                return self.whole_power(base, over)
            return self._fractional_power(base, over, under, literal)
        if type(base) is self.is_exact and not base:
            if self.is_real(exponent) and self.sign(exponent) == 1:
                return base
            raise Undefined("a power of zero")
        return self.call("exp", exponent * self.call("log", base))

    def whole_power(self, base: Any, exponent: int) -> Any:
        balls = self.balls
        if type(base) is self.is_exact:
            if not base and exponent <= 0:
                raise Undefined("zero to the power of zero or less")
            if base in (0, 1):
                return base
            if base == -1:
                return base if exponent % 2 else -base
            if balls.bits(base) * abs(exponent) <= self.exact_bits:
                return self.kept(base**exponent)
        elif exponent < 0:
            self.nonzero(base)
        if exponent.bit_length() > LARGEST:
            raise TooLarge("a power too large to enclose")
        self.budget.spend(exponent.bit_length() * balls.step)
        return balls.power(balls.ball(base), exponent) if exponent else self.rational(1)

    def _fractional_power(self, base: Any, over: int, under: int, literal: bool) -> Any:
        sign = self.sign(base) if self.is_real(base) else 2
        if sign == 0:
            if over > 0:
                return self.rational(0)
            raise Undefined("zero to a negative power")
        if sign == -1 and under % 2 and literal:
            root = self._fractional_power(-base, over, under, literal)
            return -root if over % 2 else root
        if under == 2:
            return self.whole_power(self.square_root(base), over)
        if sign == 1 and type(base) is self.is_exact and under <= 64:
            root = exact_root(self.balls.parts(base), under)
            if root:
                return self.whole_power(self.balls.rational(*root), over)
        if sign is None:
            raise Vague("a root of what may be zero")
        return self.call("exp", self.call("log", base) * self.balls.rational(over, under))

    def square_root(self, value: Any) -> Any:
        if type(value) is self.is_exact and value >= 0:
            over, under = exact_root(self.balls.parts(value), 2) or (0, 0)
            if under:
                return self.balls.rational(over, under)
        return self.call("sqrt", value)


def exact_root(parts: tuple[int, int], degree: int) -> tuple[int, int] | None:
    """The root of a positive rational number where it is rational and small."""
    roots = []
    for number in parts:
        if number.bit_length() > 4096:
            return None
        root = math.isqrt(number) if degree == 2 else _whole_root(number, degree)
        if root**degree != number:
            return None
        roots.append(root)
    return roots[0], roots[1]


def _whole_root(number: int, degree: int) -> int:
    guess = 1 << -(-number.bit_length() // degree)
    while True:
        better = ((degree - 1) * guess + number // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess
        guess = better


DOMAINS: dict[str, Callable[[Any], Any]] = {
    "sqrt": lambda x: x,
    "log": lambda x: x,
    "asin": lambda x: 1 - x * x,
    "acos": lambda x: 1 - x * x,
    "acosh": lambda x: x - 1,
    "atanh": lambda x: 1 - x * x,
}
