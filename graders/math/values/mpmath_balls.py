"""Balls of mpmath: its interval functions, on pairs of binary floats, with the precision kept in the number."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal

from mpmath import libmp  # type: ignore[import-untyped, unused-ignore]
from mpmath.libmp import libmpi  # type: ignore[import-untyped, unused-ignore]

from graders.math.values.balls import LARGEST, Ball, Balls, TooLarge, Unsupported, Vague

context = None  # no precision is shared
ZERO: Any = (libmp.fzero, libmp.fzero)
ONE: Any = (libmp.fone, libmp.fone)
INFINITE = (libmp.finf, libmp.fninf, libmp.fnan)

# Bits of an argument beyond which mpmath takes long, since it reduces it or multiplies it out.
LIMITS = {"gamma": 14, "rgamma": 14, "exp": 20, "sinh": 20, "cosh": 20, "sin": 20, "cos": 20}


class Interval:
    """A real interval, or a complex box where `imaginary` is not None; ends are tuples of libmp."""

    __slots__ = ("imaginary", "precision", "real")

    def __init__(self, real: Any, imaginary: Any, precision: int) -> None:
        self.real, self.imaginary, self.precision = real, imaginary, precision

    @property
    def box(self) -> Any:
        return self.real, self.imaginary or ZERO

    def _with(self, other: Any) -> Interval:
        return other if isinstance(other, Interval) else exactly(Fraction(other), self.precision)

    def _joined(self, other: Any, of_reals: Callable[..., Any], of_boxes: Callable[..., Any]) -> Interval:
        other = self._with(other)
        if self.imaginary is None and other.imaginary is None:
            return Interval(of_reals(self.real, other.real, self.precision), None, self.precision)
        return _boxed(of_boxes(self.box, other.box, self.precision), self.precision)

    def __add__(self, other: Any) -> Interval:
        return self._joined(other, libmpi.mpi_add, libmpi.mpci_add)

    def __sub__(self, other: Any) -> Interval:
        return self._joined(other, libmpi.mpi_sub, libmpi.mpci_sub)

    def __mul__(self, other: Any) -> Interval:
        return self._joined(other, libmpi.mpi_mul, libmpi.mpci_mul)

    def __truediv__(self, other: Any) -> Interval:
        return self._joined(other, libmpi.mpi_div, libmpi.mpci_div)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Interval:
        return self._with(other) - self

    def __rtruediv__(self, other: Any) -> Interval:
        return self._with(other) / self

    def __neg__(self) -> Interval:
        imaginary = self.imaginary and libmpi.mpi_neg(self.imaginary)
        return Interval(libmpi.mpi_neg(self.real), imaginary, self.precision)


def _boxed(box: Any, precision: int) -> Interval:
    return Interval(box[0], box[1], precision)


def exactly(number: Fraction, precision: int) -> Interval:
    over, under = number.numerator, number.denominator
    low, high = (libmp.from_rational(over, under, precision, rounding) for rounding in "fc")
    return Interval((low, high), None, precision)


def _rising(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda interval, precision: tuple(
        function(end, precision, rounding) for end, rounding in zip(interval, "fc", strict=True)
    )


def _falling(function: Callable[..., Any]) -> Callable[..., Any]:
    rising = _rising(function)
    return lambda interval, precision: rising((interval[1], interval[0]), precision)


# The functions of libmp that take a rounding are rounded that way, which is what makes an enclosure of both ends.
REAL: dict[str, Callable[..., Any]] = {
    "abs": libmpi.mpi_abs,
    "sqrt": libmpi.mpi_sqrt,
    "exp": libmpi.mpi_exp,
    "log": libmpi.mpi_log,
    "sin": libmpi.mpi_sin,
    "cos": libmpi.mpi_cos,
    "atan": libmpi.mpi_atan,
    "gamma": libmpi.mpi_gamma,
    "rgamma": libmpi.mpi_rgamma,
    "asin": _rising(libmp.mpf_asin),
    "acos": _falling(libmp.mpf_acos),
    "sinh": _rising(libmp.mpf_sinh),
    "cosh": lambda interval, precision: libmpi.mpi_cosh_sinh(interval, precision)[0],
    "asinh": _rising(libmp.mpf_asinh),
    "acosh": _rising(libmp.mpf_acosh),
    "atanh": _rising(libmp.mpf_atanh),
}
COMPLEX: dict[str, Callable[..., Any]] = {
    "abs": lambda box, precision: (libmpi.mpci_abs(box, precision), None),
    "arg": lambda box, precision: (libmpi.mpci_arg(box, precision), None),
    "exp": libmpi.mpci_exp,
    "log": libmpi.mpci_log,
    "sin": libmpi.mpci_sin,
    "cos": libmpi.mpci_cos,
    "sqrt": lambda box, precision: libmpi.mpci_pow(box, (_half(precision), ZERO), precision),
}


def _half(precision: int) -> Any:
    return exactly(Fraction(1, 2), precision).real


class MpmathBalls(Balls):
    name = "mpmath"
    slowness = 8

    def ball(self, number: Any) -> Ball:
        return exactly(number, self.precision) if type(number) is Fraction else number

    def complex(self, real: Any, imaginary: Any) -> Ball:
        parts = [part.real if isinstance(part, Interval) else self._enclosed(part).real for part in (real, imaginary)]
        return Interval(parts[0], parts[1], self.precision)

    def _enclosed(self, number: Fraction | int) -> Interval:
        return exactly(Fraction(number), self.precision)

    def is_real(self, ball: Ball) -> bool:
        return ball.imaginary is None

    def split(self, ball: Ball) -> tuple[Ball, Ball]:
        return Interval(ball.real, None, self.precision), Interval(ball.imaginary or ZERO, None, self.precision)

    def constant(self, name: str) -> Ball:
        of = libmp.mpf_pi if name == "pi" else libmp.mpf_e
        return Interval((of(self.precision, "f"), of(self.precision, "c")), None, self.precision)

    def call(self, name: str, ball: Ball) -> Ball:
        if self._size(ball) > (most := LIMITS.get(name, 1 << 20)):
            raise TooLarge(f"{name} of a number beyond 2^{most}")
        try:
            if ball.imaginary is None:
                return self._finite(Interval(REAL[name](ball.real, self.precision), None, self.precision))
            return self._finite(_boxed(COMPLEX[name](ball.box, self.precision), self.precision))
        except KeyError:
            raise Unsupported(f"no {name} of such a number in mpmath's interval arithmetic") from None
        except (libmp.ComplexResult, ValueError, ZeroDivisionError, NotImplementedError, OverflowError):
            raise Vague(f"no enclosure of {name}") from None

    def power(self, ball: Ball, exponent: int) -> Ball:
        if self._size(ball) * abs(exponent).bit_length() > 1 << 20 or abs(exponent).bit_length() > LARGEST:
            raise TooLarge("a power too large")
        if ball.imaginary is None:
            return self._finite(Interval(libmpi.mpi_pow_int(ball.real, exponent, self.precision), None, self.precision))
        return self._finite(_boxed(libmpi.mpci_pow_int(ball.box, exponent, self.precision), self.precision))

    def sign(self, ball: Ball) -> Literal[-1, 0, 1] | None:
        low, high = map(libmp.mpf_sign, ball.real)
        return 1 if low > 0 else -1 if high < 0 else 0 if low == high == 0 else None

    def floor(self, ball: Ball) -> int | None:
        if self._size(ball) > LARGEST:
            return None
        low, high = (libmp.to_int(libmp.mpf_floor(end)) for end in ball.real)
        return int(low) if low == high else None

    def overlap(self, one: Ball, other: Ball) -> bool:
        return all(libmpi.mpi_overlap(a, b) for a, b in zip(one.box, other.box, strict=True))

    def narrow(self, ball: Ball, bits: int) -> bool:
        widths = (libmpi.mpi_delta(part, 53) for part in ball.box)
        return all(libmp.mpf_lt(width, (0, libmp.MPZ(1), -bits, 1)) for width in widths)

    def exponent(self, ball: Ball) -> int | None:
        return max((int(part[0][2] + part[0][3]) for part in ball.box if not _holds_zero(part)), default=None)

    def text(self, ball: Ball) -> str:
        real: str = libmp.to_str(libmpi.mpi_mid(ball.real, 53), 6).removesuffix(".0")
        if ball.imaginary is None:
            return real
        middle = libmpi.mpi_mid(ball.imaginary, 53)
        joint = "-" if libmp.mpf_sign(middle) < 0 else "+"
        return f"{real} {joint} {libmp.to_str(libmp.mpf_abs(middle), 6).removesuffix('.0')}i"

    def price(self, name: str) -> int:
        return (16 if name in ("gamma", "rgamma") else 4) * super().price(name)

    def _size(self, ball: Ball) -> int:
        """Bits of the largest number in it."""
        return max(int(end[2] + end[3]) for part in ball.box for end in part)

    def _finite(self, ball: Interval) -> Interval:
        if any(end in INFINITE for part in ball.box for end in part):
            raise Vague("the enclosure is unbounded")
        return ball


def _holds_zero(interval: Any) -> bool:
    return bool(libmp.mpf_sign(interval[0]) <= 0 <= libmp.mpf_sign(interval[1]))


def make(precision: int) -> MpmathBalls:
    return MpmathBalls(precision)
