"""Proved enclosures of numbers: python-flint's balls (Arb), or mpmath's interval arithmetic where that is missing.

A number is exact (a rational) or a ball: a midpoint and a radius, or an interval, that the true number is proved to
lie in. `Balls` is what both libraries are made to look like. flint's precision belongs to the whole process, so `at`
holds a lock while it is set; the intervals of mpmath carry their own. Nothing here can be interrupted, so callers
bound sizes before they call (`Balls.price`, LARGEST).

Source: F. Johansson, "Arb: efficient arbitrary-precision midpoint-radius interval arithmetic", 2017.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal, TypeAlias

Ball: TypeAlias = Any  # arb, acb or Interval
Library: TypeAlias = Literal["flint", "mpmath"]

LARGEST = 100  # bits of the logarithm of a number; beyond, it is too large for an enclosure


class Unevaluable(Exception):  # noqa: N818 (an outcome, not a failure)
    """An expression has no enclosure here; the subclass says why."""


class NotReal(Unevaluable):
    """A real function outside its domain, where only real numbers are wanted."""


class Undefined(Unevaluable):
    """No number at all: a division by zero, the logarithm of zero."""


class Vague(Unevaluable):
    """The enclosure is too wide at this precision to tell whether there is a value."""


class TooLarge(Unevaluable):
    """More work, or a larger number, than is allowed."""


class Unsupported(Unevaluable):
    """Neither a number nor made of numbers, or a function that this library lacks."""


class MissingLibrary(RuntimeError):  # noqa: N818
    """Neither python-flint nor mpmath is installed."""

    def __init__(self) -> None:
        super().__init__("comparing expressions needs python-flint or mpmath; run: pip install 'assay[math]'")


class Balls:
    """One library's numbers at one precision; this class itself knows exact numbers alone.

    Balls have `+ - * /` among themselves and with exact numbers and int. What a library lacks raises Unsupported.
    """

    name: str = "none"
    exact: Any = Fraction
    slowness: int = 1  # of an arithmetic operation, in microseconds

    def __init__(self, precision: int) -> None:
        self.precision = precision
        self.step = self.slowness * (1 + precision // 1000)

    def rational(self, numerator: int, denominator: int) -> Any:
        return Fraction(numerator, denominator)

    def exactly(self, number: Fraction) -> Any:
        return number

    def parts(self, number: Any) -> tuple[int, int]:
        """Numerator and denominator of an exact number."""
        return number.numerator, number.denominator

    def bits(self, number: Any) -> int:
        """Bits of the larger of numerator and denominator of an exact number."""
        numerator, denominator = self.parts(number)
        return max(numerator.bit_length(), denominator.bit_length())

    def ball(self, number: Any) -> Ball:
        """An exact number, or a ball as it is."""
        raise Unsupported("no rational number")

    def complex(self, real: Any, imaginary: Any) -> Ball:
        raise Unsupported("no rational number")

    def is_real(self, ball: Ball) -> bool:
        raise NotImplementedError

    def split(self, ball: Ball) -> tuple[Ball, Ball]:
        """Real and imaginary part of a complex ball."""
        raise NotImplementedError

    def constant(self, name: str) -> Ball:
        """pi or e."""
        raise Unsupported("no rational number")

    def call(self, name: str, ball: Ball) -> Ball:
        """sqrt, exp, log, sin, cos, asin, acos, atan, sinh, cosh, asinh, acosh, atanh, gamma, rgamma, erf, abs, arg;
        real of real (inside the domain), else complex."""
        raise NotImplementedError

    def power(self, ball: Ball, exponent: int) -> Ball:
        raise NotImplementedError

    def sign(self, ball: Ball) -> Literal[-1, 0, 1] | None:
        """Of a real ball; None where it holds both zero and other numbers."""
        raise NotImplementedError

    def floor(self, ball: Ball) -> int | None:
        """The floor of all numbers of a real ball; None where it is not one."""
        raise NotImplementedError

    def overlap(self, one: Ball, other: Ball) -> bool:
        raise NotImplementedError

    def narrow(self, ball: Ball, bits: int) -> bool:
        """Whether it is narrower than 2^-bits."""
        raise NotImplementedError

    def exponent(self, ball: Ball) -> int | None:
        """About the binary logarithm of the larger part; None where it may be zero."""
        raise NotImplementedError

    def text(self, ball: Ball) -> str:
        """About six digits."""
        raise NotImplementedError

    def price(self, name: str) -> int:
        """Microseconds of a call, roughly."""
        scale = self.precision / (160 if name in ("gamma", "rgamma", "erf") else 300)
        return int(self.slowness * 2 * scale ** (2 if name in ("gamma", "rgamma", "erf") else 1.5))


_forced: ContextVar[Library | None] = ContextVar("balls", default=None)


@contextmanager
def use(library: Library) -> Iterator[None]:
    """Within it, this library is used, whichever are installed: for tests and benchmarks."""
    token = _forced.set(library)
    try:
        yield
    finally:
        _forced.reset(token)


def library() -> Library:
    """The library in use: flint where it is installed, else mpmath. Raises MissingLibrary."""
    return _forced.get() or _installed()


@lru_cache(1)
def _installed() -> Library:
    try:
        import flint  # noqa: F401
    except ImportError:
        try:
            import mpmath  # type: ignore[import-untyped, unused-ignore]  # noqa: F401
        except ImportError:
            raise MissingLibrary from None
        return "mpmath"
    return "flint"


@lru_cache(None)
def _module(name: Library) -> Any:
    if name == "flint":
        from graders.math.values import flint_balls as module
    else:
        from graders.math.values import mpmath_balls as module  # type: ignore[no-redef]
    return module


@lru_cache(256)
def _balls(name: Library, precision: int) -> Balls:
    made: Balls = _module(name).make(precision)
    return made


_lock = threading.RLock()


class at:  # noqa: N801 (read as a word: `with at(128) as balls`)
    """Balls at this precision, in bits, which holds while inside.

    Another thread that sets flint's precision meanwhile can only widen balls: they remain enclosures, and what rests
    on their width is asked again (`disturbed`).
    """

    __slots__ = ("balls", "before", "context")

    def __init__(self, precision: int) -> None:
        name = library()
        self.balls = _balls(name, precision)
        self.context = _module(name).context

    def __enter__(self) -> Balls:
        if self.context is not None:
            _lock.acquire()
            self.before = self.context.prec
            self.context.prec = self.balls.precision
        return self.balls

    def __exit__(self, *problem: object) -> None:
        if self.context is not None:
            self.context.prec = self.before
            _lock.release()


def disturbed(balls: Balls) -> bool:
    """Whether flint's precision is no longer that of these balls: some other thread has set it."""
    return balls.name == "flint" and bool(_module("flint").context.prec != balls.precision)


def fraction(balls: Balls, number: Any) -> Fraction:
    return Fraction(*balls.parts(number))
