"""Balls of python-flint: arb for real numbers, acb for complex ones, fmpq for exact ones."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

from flint import acb, arb, ctx, fmpq  # type: ignore[import-untyped, unused-ignore]

from graders.math.values.balls import LARGEST, Ball, Balls, TooLarge, Unsupported, Vague

context: Any = ctx
_HUGE = arb(2) ** LARGEST


class FlintBalls(Balls):
    name = "flint"
    exact = fmpq
    slowness = 1

    def rational(self, numerator: int, denominator: int) -> Any:
        return fmpq(numerator, denominator)

    def exactly(self, number: Fraction) -> Any:
        return fmpq(number.numerator, number.denominator)

    def parts(self, number: Any) -> tuple[int, int]:
        return int(number.p), int(number.q)

    def bits(self, number: Any) -> int:
        return int(number.height_bits())

    def ball(self, number: Any) -> Ball:
        return arb(number) if type(number) is fmpq else number

    def complex(self, real: Any, imaginary: Any) -> Ball:
        return acb(real, imaginary)

    def is_real(self, ball: Ball) -> bool:
        return type(ball) is arb

    def split(self, ball: Ball) -> tuple[Ball, Ball]:
        return ball.real, ball.imag

    def constant(self, name: str) -> Ball:
        return arb.pi() if name == "pi" else arb.const_e()

    def call(self, name: str, ball: Ball) -> Ball:
        if name == "abs":
            return abs(ball)
        if name in ("exp", "sinh", "cosh") and not abs(ball.real if type(ball) is acb else ball) < _HUGE:
            raise TooLarge(f"{name} of a number beyond 2^{LARGEST}")
        try:
            result = getattr(ball, name)()
        except AttributeError:
            raise Unsupported(f"no {name} of a complex number") from None
        return self._finite(result)

    def power(self, ball: Ball, exponent: int) -> Ball:
        return self._finite(ball**exponent)

    def sign(self, ball: Ball) -> Literal[-1, 0, 1] | None:
        return 1 if ball > 0 else -1 if ball < 0 else 0 if ball.is_zero() else None

    def floor(self, ball: Ball) -> int | None:
        if not abs(ball) < _HUGE:
            return None
        whole = ball.floor().unique_fmpz()
        return None if whole is None else int(whole)

    def overlap(self, one: Ball, other: Ball) -> bool:
        if type(one) is arb and type(other) is arb:
            return bool(one.overlaps(other))
        return bool(acb(one).overlaps(acb(other)))

    def narrow(self, ball: Ball, bits: int) -> bool:
        if type(ball) is acb:
            return self.narrow(ball.real, bits) and self.narrow(ball.imag, bits)
        return bool(ball.rad() < arb(2) ** -bits)

    def exponent(self, ball: Ball) -> int | None:
        if type(ball) is acb:
            return max((size for part in self.split(ball) if (size := self.exponent(part)) is not None), default=None)
        if ball.contains(0):
            return None
        mantissa, exponent = ball.mid().man_exp()
        return int(exponent) + int(mantissa.bit_length())

    def text(self, ball: Ball) -> str:
        if type(ball) is acb:
            real, imaginary = ball.real, ball.imag
            joint = "-" if imaginary < 0 else "+"
            return f"{self.text(real)} {joint} {self.text(abs(imaginary))}i"
        size = abs(ball)
        return f"{float(ball):.6g}" if 1e-300 < size < 1e300 else str(ball.str(6, radius=False))

    def _finite(self, ball: Ball) -> Ball:
        if not ball.is_finite():
            raise Vague("the enclosure is unbounded")
        return ball


def make(precision: int) -> FlintBalls:
    return FlintBalls(precision)
