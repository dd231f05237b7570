"""Equality of expressions: tables of claims, properties, threads, bombs, and both libraries of enclosures."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders.math.policy import Policy
from graders.math.reading.units import Unit
from graders.math.tree import Node, Numeral
from graders.math.values import balls
from graders.math.values.balls import Library, MissingLibrary, use
from graders.math.values.values import compare_real, exact, is_constant, proportional, same_value


@dataclass(frozen=True)
class E:
    """A tree that is written with Python's operators."""

    node: Node

    def __add__(self, other: Any) -> E:
        return made("add", self, other)

    def __radd__(self, other: Any) -> E:
        return made("add", other, self)

    def __sub__(self, other: Any) -> E:
        return made("add", self, made("neg", other))

    def __rsub__(self, other: Any) -> E:
        return made("add", other, made("neg", self))

    def __mul__(self, other: Any) -> E:
        return made("mul", self, other)

    def __rmul__(self, other: Any) -> E:
        return made("mul", other, self)

    def __truediv__(self, other: Any) -> E:
        return made("div", self, other)

    def __rtruediv__(self, other: Any) -> E:
        return made("div", other, self)

    def __pow__(self, other: Any) -> E:
        return made("pow", self, other)

    def __rpow__(self, other: Any) -> E:
        return made("pow", other, self)

    def __neg__(self) -> E:
        return made("neg", self)


def tree(value: Any) -> Node:
    if isinstance(value, E):
        return value.node
    if isinstance(value, str):
        return decimal(value).node
    return Node("number", (), Numeral(Fraction(value)))


def made(head: str, *args: Any, value: Any = None) -> E:
    return E(Node(head, tuple(map(tree, args)), value))


def decimal(text: str) -> E:
    digits = text.lstrip("-").replace(".", "").lstrip("0")
    return E(Node("number", (), Numeral(Fraction(text), len(text.partition(".")[2]), len(digits))))


def sym(name: str) -> E:
    return E(Node("symbol", (), name))


def fn(name: str, *args: Any) -> E:
    return made("call", *args, value=name)


def f(*args: Any) -> E:
    return made("apply", *args, value="f")


def root(x: Any, n: int = 2) -> E:
    return made("root", x, n)


def deg(x: Any) -> E:
    return made("quantity", x, value=Unit("deg", (("angle", 1),), Fraction(1)))


def total(body: Any, over: E, low: Any, high: Any) -> E:
    return made("sum", body, over, low, high)


def product(body: Any, over: E, low: Any, high: Any) -> E:
    return made("product", body, over, low, high)


def percent(x: Any) -> E:
    return made("percent", x)


def based(digits: str, base: int) -> E:
    return E(Node("based", (), (digits, base)))


LIBRARIES: tuple[Library, ...] = ("flint", "mpmath")
a, b, c, k, m, n, t, u, v, w, x, y, z, A, B, C, L, M, P, T = map(sym, "abckmntuvwxyzABCLMPT")
pi, e, i, inf = (E(Node("constant", (), name)) for name in ("pi", "e", "i", "inf"))
sin, cos, tan, ln, log = (partial(fn, name) for name in ("sin", "cos", "tan", "ln", "log"))
sqrt = root
half = E(tree(Fraction(1, 2)))


def fact(x: Any) -> E:
    return fn("factorial", x)


def integral(body: Any, over: E, *bounds: Any) -> E:
    return made("integral", body, over, *bounds)


def limit(body: Any, over: E, point: Any) -> E:
    return made("limit", body, over, point, value="")


def derivative(body: Any, over: E, order: int = 1) -> E:
    return made("derivative", body, over, value=order)


def number(value: Any) -> E:
    return E(tree(value))


TEN = number(10)

EQUAL = [
    # rational numbers
    (number(1) / 2, "0.5"),
    ("0.50", "0.5"),
    (number(4) / -6, -(number(2) / 3)),
    (number(2) ** 10, 1024),
    (number(2) ** -2, "0.25"),
    (fact(5), 120),
    (fn("binom", 5, 2), 10),
    (sqrt(16), 4),
    (number(Fraction(9, 4)) ** half, Fraction(3, 2)),
    (number(1) + number(1) / 3, Fraction(4, 3)),
    (number(8) ** (number(2) / 3), 4),
    (root(-8, 3), -2),
    (number(-8) ** (number(1) / 3), -2),
    ((-number(8)) ** (number(2) / 3), 4),
    (fn("abs", -number(3)), 3),
    (fn("gcd", 12, 18), 6),
    (fn("lcm", 4, 6), 12),
    (fn("mod", 17, 5), 2),
    (fn("mod", -number(1), 5), 4),
    (fn("floor", number(-7) / 2), -4),
    (fn("ceil", number(-7) / 2), -3),
    (fn("max", 1, 5, 3), 5),
    (fn("min", 1, 5, 3), 1),
    (fn("double_factorial", 7), 105),
    (fn("log", 8, 2), 3),
    (fn("log", number(1) / 9, 3), -2),
    (fact(2004) / fact(2006), 1 / (number(2005) * 2006)),
    # constants
    (cos(pi / 7) - cos(2 * pi / 7) + cos(3 * pi / 7), half),
    (root(2 + sqrt(5), 3) + root(2 - sqrt(5), 3), 1),
    (e ** (i * pi), -1),
    (sqrt(3 + 2 * sqrt(2)), 1 + sqrt(2)),
    (sqrt(12), 2 * sqrt(3)),
    (1 / sqrt(2), sqrt(2) / 2),
    (number(2) ** half, sqrt(2)),
    (number(2) ** decimal("0.5"), sqrt(2)),
    (root(16, 4), 2),
    (sqrt(-4), 2 * i),
    ((1 + i) ** 2, 2 * i),
    (i**117, i),
    (1 / (1 + i), (1 - i) / 2),
    (fn("abs", 3 + 4 * i), 5),
    (fn("re", 3 + 4 * i), 3),
    (fn("conj", 3 + 4 * i), 3 - 4 * i),
    (fn("arg", i), pi / 2),
    (sin(pi / 6), half),
    (sin(deg(30)), half),
    (cos(deg(60)), "0.5"),
    (tan(deg(15)), 2 - sqrt(3)),
    (cos(deg(36)), (1 + sqrt(5)) / 4),
    (fn("arcsin", 1), pi / 2),
    (fn("arctan", 1) * 4, pi),
    (fn("arcsec", 2), pi / 3),
    (fn("arccot", -number(1)), 3 * pi / 4),
    (fn("sec", pi / 3), 2),
    (ln(e**5), 5),
    (ln(8) / ln(2), 3),
    (fn("log", 12, 6) + fn("log", 3, 6), 2),
    (log(100), 2),
    (log(2) + log(5), 1),
    (log(2), ln(2)),
    (log(2), fn("log", 2, 10)),
    (fn("exp", 1), e),
    (fn("gamma", half), sqrt(pi)),
    (fact(half), sqrt(pi) / 2),
    (fn("sinh", ln(2)), Fraction(3, 4)),
    (fn("artanh", half), ln(3) / 2),
    (fn("floor", pi), 3),
    (number(99999999) * fact(99999998) / fact(99999998), 99999999),
    (number(2) * fact(30), fact(30) + fact(30)),
    (sqrt(sqrt(2) - sqrt(2)), 0),
    (sin(1) ** 2 + cos(1) ** 2, 1),
    (number(3) ** 1000 * number(3) ** 1000, number(9) ** 1000),
    (total(k**2, k, 1, 10), 385),
    (product(k, k, 1, 6), 720),
    (total(1 / k, k, 1, 4), Fraction(25, 12)),
    (based("204", 5), based("204", 5)),
    (pi / 4 * deg(180) / pi, pi / 4),
    (inf, inf),
    (-inf, -inf),
    # decimals
    ("0.33333", number(1) / 3),
    ("2.6667", number(8) / 3),
    ("3.1416", pi),
    ("-3.1416", -pi),
    (-decimal("3.1416"), -pi),
    ("1.41421356", sqrt(2)),
    ("3.14159", "3.1415926"),
    ("0.3333333333333", number(1) / 3),
    ("0.30000000000000004", "0.3"),
    ("5.000000000000001", 5),
    ("1.4142135623731", sqrt(2)),
    (decimal("3.1416") * TEN**2, 100 * pi),
    ("5.0000", 5),
    (percent("33.333"), number(1) / 3),
    (percent(28), 28),
    (percent(28), "0.28"),
    (percent(28), number(7) / 25),
    (-percent(28), "-0.28"),
    (percent(50) * 8, 4),
    # letters
    (x**2 + 2 * x + 1, (x + 1) ** 2),
    ((x**2 - 1) / (x - 1), x + 1),
    ((a + b) ** 3, a**3 + 3 * a**2 * b + 3 * a * b**2 + b**3),
    (sqrt(1 / n), 1 / sqrt(n)),
    (ln(x**2), 2 * ln(x)),
    (ln(a * b), ln(a) + ln(b)),
    (sqrt(x**2), fn("abs", x)),
    (x ** (number(1) / 3), root(x, 3)),
    (root(x**3, 3), x),
    (sqrt(x) ** 2, x),
    (sqrt(x - 100) ** 2, x - 100),
    (sin(2 * x), 2 * sin(x) * cos(x)),
    (tan(x), sin(x) / cos(x)),
    (e ** (i * x), cos(x) + i * sin(x)),
    (fn("cosh", x), (e**x + e ** (-x)) / 2),
    (2**x * 2**y, number(2) ** (x + y)),
    (e ** (2 * x), (e**x) ** 2),
    (sqrt(-x - 1) * sqrt(-x - 1), -x - 1),
    (sqrt(-(x**2) - 1), i * sqrt(x**2 + 1)),
    ((-number(1)) ** n, cos(n * pi)),
    ((-number(1)) ** (2 * n), 1),
    (fact(n) / fact(n - 1), n),
    (fn("binom", n, 2), n * (n - 1) / 2),
    (fn("binom", n, k), fact(n) / (fact(k) * fact(n - k))),
    (fn("floor", n / 2) + fn("floor", (n + 1) / 2), n),
    (sin(n * pi), 0),
    (fn("gcd", m, n) * fn("lcm", m, n), m * n),
    ((x + 1) ** 1000, (1 + x) ** 1000),
    (x**y, e ** (y * ln(x))),
    (C + x, x + C),
    (decimal("0.5") * x, x / 2),
    (decimal("0.5") * pi, pi / 2),
    (fn("max", x, y), (x + y + fn("abs", x - y)) / 2),
    (fn("abs", x - 5) ** 2, (x - 5) ** 2),
    # unknown functions
    (f(x) + f(x), 2 * f(x)),
    (f(2 * x), f(x + x)),
    (f(x, y) - f(x, y + 0), 0),
    (f(sqrt(3 + 2 * sqrt(2))), f(1 + sqrt(2))),
    (fn("det", A) * 2, fn("det", A) + fn("det", A)),
    # sums, integrals and the like
    (total(k, k, 1, n), n * (n + 1) / 2),
    (total(x**k, k, 0, n), (x ** (n + 1) - 1) / (x - 1)),
    (product(k, k, 1, n), fact(n)),
    (total(x**k, k, 0, inf), total(x**m, m, 0, inf)),
    (2 * integral(sin(x), x), integral(2 * sin(x), x)),
    (integral(t**2, t, 0, 1), integral(u**2, u, 0, 1)),
    (derivative(f(x) + x, x), derivative(f(x), x) + derivative(x, x)),
    (limit(sin(x) / x, x, 0), limit(sin(t) / t, t, 0)),
]

EQUAL += [
    (fn("tanh", x), fn("sinh", x) / fn("cosh", x)),
    (fn("floor", x + 1), fn("floor", x) + 1),
    (fn("ceil", x), -fn("floor", -x)),
    (fn("mod", n, 4), n - 4 * fn("floor", n / 4)),
    (fn("abs", x) / x, fn("sgn", x)),
    (z * fn("conj", z), fn("abs", z) ** 2),
    (z * sym("bar z"), fn("abs", z) ** 2),
    (fn("re", z), (z + sym("bar z")) / 2),
    (fn("conj", z + w), fn("conj", z) + sym("bar w")),
    (fn("re", x + i * y), x),
    (fn("re", e ** (i * t)), cos(t)),
    (sym("bar x") * x, x * sym("bar x")),
    ((A * B) ** -1, B**-1 * A**-1),
    (fn("transpose", A * B), fn("transpose", B) * fn("transpose", A)),
    ((A * B) ** T, fn("transpose", B) * fn("transpose", A)),
    (fn("det", A * B), fn("det", A) * fn("det", B)),
    (fn("tr", A**-1 * B), fn("tr", B * A**-1)),
    (P**-1 * A**2 * P, (P**-1 * A * P) ** 2),
    (A**-1 * A * B, B),
    (A**-1 * A, sym("I")),
    (M * L**-1 * T**-2, M * T**-2 * L**-1),
    (P * C * T**-1, P * C / T),
    (root(2) + root(3), root(5 + 2 * root(6))),
    ("0.30103", log(2)),
    ("0.69315", log(2)),
]

DIFFERENT = [
    (fn("tanh", 1000), 1),
    (fn("erf", 50), 1),
    (x * fn("tanh", 200), x),
    (ln(fn("tanh", 1000)), 0),
    (fn("arctan", fn("tanh", 1000)), pi / 4),
    (fn("gcd", n, 12), fn("gcd", n, 24)),
    (fn("gcd", a, b), fn("gcd", a, b, 12)),
    (fn("floor", x), fn("ceil", x) - 1),
    (n + fn("floor", n / 1300), n),
    (fn("max", 0, 1 - 1000 * fn("abs", x - number(5) / 2)), 0),
    (fn("sgn", x) ** 2, 1),
    (A**-1 * B, B * A**-1),
    (A * B - B * A, 0),
    (P**-1 * A * P, A),
    ((A * B) ** -1, A**-1 * B**-1),
    (fn("transpose", A) * A, A * fn("transpose", A)),
    (fn("tr", A**-1 * B * C), fn("tr", A**-1 * C * B)),
    (log(x) + ln(x), 2 * ln(x)),
    (log(x) + ln(x), 2 * log(x)),
    (log(x) - ln(x), 0),
    (fn("conj", z), z),
    (fn("re", z), z),
    (fn("im", z), 0),
    (fn("arg", z), 0),
    (root(2 + 1 / TEN**60, 3), root(2, 3)),
    (2, 3),
    (5, "5.001"),
    ("3.14", pi),
    ("0.3333", number(1) / 3),
    ("0.333", number(1) / 3),
    ("0.33334", number(1) / 3),
    ("3.1415", pi),
    ("3.14158", "3.1415926"),
    ("3.14", "3.1415926"),
    ("1.41422", sqrt(2)),
    (12346, "12345.6"),
    (12345, "12345.4"),
    (1000000000, "1000000000.1"),
    (number(16) / TEN**20, number(91) / TEN**32),
    ("0.0000001", "0.0000002"),
    (1 / TEN**19, 1 / TEN**31),
    (sqrt(TEN**40 + 1), TEN**20),
    (x**2 + 1 / TEN**20, x**2),
    (x**2 + 1 / TEN**300, x**2),
    (sqrt(2) / TEN**20, sqrt(3) / TEN**20),
    (1 + e ** (-(TEN**3)), 1),
    (1 + e ** (-(number(5) ** 5)), 1),
    (e ** (pi * sqrt(163)), 262537412640768744),
    (1 / fact(2004), 1 / fact(2006)),
    (fact(99999999), fact(99999998)),
    (TEN ** (TEN**8), TEN ** (TEN**8 + 1)),
    (1 - 1 / e, 1 + 1 / e),
    (sqrt(2), sqrt(3)),
    (sqrt(-4), 2),
    (sqrt(-4), -2 * i),
    ((1 + i) ** 2, 2),
    (i, x),
    (sin(30), half),
    (log(3), 2),
    (log(100), 3),
    (inf, -inf),
    (inf, 5),
    (1 / (number(2) - 2), 1),
    (tan(pi / 2), 1),
    (tan(deg(90)), 0),
    (ln(0), 1),
    (1 / sin(pi), 2),
    (1 / (sqrt(2) * sqrt(3) - sqrt(6)), 2),
    (1 / (x - x), x),
    (1 / number(0), 2 / number(0)),
    (percent(28), 29),
    (percent(28), percent("0.28")),
    (28, "0.28"),
    (based("204", 5), based("204", 6)),
    (based("204", 5), 54),
    (based("1011", 2), based("1011", 3)),
    (A + a, 2 * a),
    (sym("X") - x, 0),
    (C, c),
    (x, y),
    (x, 5),
    (x + 1, x + 2),
    (sqrt(x**2), x),
    (sqrt((x - 5) ** 2), x - 5),
    (sqrt((x - 5) ** 2), 5 - x),
    (fn("abs", x - 300), 300 - x),
    (sqrt(x**2) * sqrt(y), x * sqrt(y)),
    (sin(2 * pi * x), 0),
    (a * b * e ** (ln(c**2) / 2), a * b * c),
    (fn("arcosh", fn("cosh", z)) * x * y, x * y * z),
    (sqrt(x * y * z), sqrt(x) * sqrt(y * z) + 1),
    (sqrt(x - 1000) ** 2, x - 1001),
    (i * x, x),
    (e ** (i * x), cos(x) - i * sin(x)),
    (sin(2 * pi * t), sin(3 * pi * t)),
    (fn("floor", x), x),
    (fn("floor", m / 2), fn("floor", m / 3)),
    ((-number(1)) ** n, 1),
    ((-number(1)) ** n, (-number(1)) ** (n + 1)),
    (fact(n), n),
    (fn("binom", n, 2), n * (n + 1) / 2),
    (fn("mod", n, 2), fn("mod", n, 4)),
    (x**1000, x**1001),
    (e**x, 2**x),
    (sin(50 * t), sin(51 * t)),
    (x ** (number(1) / 3), x ** (number(1) / 5)),
    (f(x), f(y)),
    (f(x), made("apply", x, value="g")),
    (f(x) + 1, f(x) + 2),
    (f(x), x),
    (total(k, k, 1, n), n * (n + 1)),
    (total(k**2, k, 1, 10), 386),
    (decimal("0.3333") * x, x / 3),
    (decimal("0.33333") + 0, number(1) / 3),
    (number(Fraction(1, 3)) + TEN**-5, number(1) / 3),
]

UNDECIDED = [
    (fn("coth", TEN**9), 1),
    (fn("det", 2 * A) * fn("det", B), 8 * fn("det", A * B)),
    (A**-1 * sym("vec b"), sym("vec b") * A**-1),
    (TEN ** (TEN**10) + 1, TEN ** (TEN**10)),
    (number(9) ** (number(9) ** (number(9) ** 9)), number(7) ** (number(9) ** (number(9) ** 9))),
    (derivative(x**2, x), 2 * x),
    (integral(2 * x, x, 0, 1), 1),
    (limit(sin(x) / x, x, 0), 1),
    (total(1 / 2**k, k, 0, inf), 2),
    (total(k, k, 1, TEN**6), 500000500000),
    (product(2 * k, k, 1, inf), 2 * product(k, k, 1, inf)),
    (made("pm", 1, 2), 3),
    (made("tuple", 1, 2), 3),
]

CLAIMS = [
    (tree(left), tree(right), outcome)
    for outcome, rows in (("equal", EQUAL), ("different", DIFFERENT), ("undecided", UNDECIDED))
    for left, right in rows
]


@pytest.mark.parametrize(("left", "right", "outcome"), CLAIMS)
def test_expressions_are_equal_or_different_or_undecided_either_way_round(
    left: Node, right: Node, outcome: str
) -> None:
    verdict = same_value(left, right)
    assert verdict.outcome == outcome, verdict
    assert same_value(right, left).outcome == outcome


@pytest.mark.parametrize(("left", "right", "outcome"), CLAIMS)
def test_mpmath_never_says_the_opposite(left: Node, right: Node, outcome: str) -> None:
    with use("mpmath"):
        verdict = same_value(left, right)
    assert verdict.outcome in (outcome, "undecided"), verdict


@pytest.mark.parametrize(
    ("left", "right", "policy", "outcome"),
    [
        (percent(28), number(28), Policy(percent="value"), "different"),
        (percent(28), decimal("0.28"), Policy(percent="value"), "equal"),
        (percent(28), number(28), Policy(percent="sign"), "equal"),
        (percent(28), decimal("0.28"), Policy(percent="sign"), "different"),
        (based("204", 5), number(54), Policy(bases="value"), "equal"),
        (based("204", 5), based("54", 10), Policy(bases="value"), "equal"),
        (based("204", 5), number(204), Policy(bases="value"), "different"),
        (based("204", 5), number(204), Policy(bases="optional"), "equal"),
        (-based("204", 5), number(-204), Policy(bases="optional"), "equal"),
        (decimal("3.14"), pi, Policy(digits=3), "equal"),
        (decimal("3.13"), pi, Policy(digits=3), "different"),
        (decimal("3.14"), pi, Policy(rel_tol=0.01), "equal"),
        (number(99), number(100), Policy(rel_tol=0.01), "equal"),
        (number(98), number(100), Policy(rel_tol=0.01), "different"),
        (decimal("0.33") * x, x / 3, Policy(rel_tol=0.02), "equal"),
        (decimal("0.33") * x, x / 3, Policy(rel_tol=0.001), "different"),
        (number(0), 1 / TEN**9, Policy(rel_tol=0.01), "different"),
    ],
)
def test_the_policy_decides_where_mathematics_does_not(left: E, right: E, policy: Policy, outcome: str) -> None:
    assert same_value(left.node, right.node, policy).outcome == outcome
    assert same_value(right.node, left.node, policy).outcome == outcome


def test_a_difference_is_shown_at_a_point_with_both_values() -> None:
    assert same_value(number(4).node, (number(1) / 3).node).why == "1/3 is not 4"
    assert same_value(sqrt(2).node, sqrt(3).node).why == "1.73205 is not 1.41421"
    why = same_value(x.node, (x + 1).node).why
    assert why.startswith("at x = ")
    assert " and the reference " in why


def test_the_step_says_what_found_out() -> None:
    pairs = {
        "tree": (x, x),
        "rational": (number(1) / 2, number(2) / 4),
        "decimal": (decimal("3.1416"), pi),
        "points": (sqrt(x**2), fn("abs", x)),
        "calculus": (derivative(x**2, x), 2 * x),
    }
    for step, (left, right) in pairs.items():
        assert same_value(left.node, right.node).step == step


def test_an_equality_that_needs_whole_letters_says_so() -> None:
    assert "at whole n" in same_value(total(k, k, 1, n).node, (n * (n + 1) / 2).node).why


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (number(3) / 4, Fraction(3, 4)),
        (sqrt(4), Fraction(2)),
        (decimal("0.25"), Fraction(1, 4)),
        (fact(5), Fraction(120)),
        (sqrt(2), None),
        (pi, None),
        (x - x, None),
        (f(2), None),
        (inf, None),
        (TEN ** (TEN**8), None),
        (fact(99999999), None),
        (1 / number(0), None),
        (integral(1, x, 0, 1), None),
        (made("tuple", 1, 2), None),
    ],
)
def test_exact_gives_rational_values_alone(value: E, expected: Fraction | None) -> None:
    assert exact(value.node) == expected


def test_constants_have_no_free_letter_and_no_unknown_function() -> None:
    assert all(is_constant(value.node) for value in (pi, sqrt(2), total(k, k, 1, 9), inf))
    assert not any(is_constant(value.node) for value in (x, f(2), total(k, k, 1, n), derivative(x, x)))


@pytest.mark.parametrize(
    ("left", "right", "order"),
    [
        (number(1), number(2), -1),
        (sqrt(2), decimal("1.41"), 1),
        (sqrt(12), 2 * sqrt(3), 0),
        (-inf, number(5), -1),
        (inf, pi, 1),
        (inf, inf, 0),
        (pi, number(22) / 7, -1),
        (TEN ** (TEN**8), number(1), 1),
        (TEN ** (TEN**10) + 1, TEN ** (TEN**10), None),
        (x, number(1), None),
        (inf, x, None),
        (i, number(1), None),
        (1 / number(0), number(1), None),
        (integral(x, x, 0, 1), number(5), None),
        (f(1), f(4), None),
        (fn("rank", 3), number(1), None),
        (root(1 + i, 1) + root(1 - i, 1), sqrt(3), 1),
        (sqrt(-2) * sqrt(-3), number(-2), -1),
    ],
)
def test_real_constants_are_ordered(left: E, right: E, order: int | None) -> None:
    for library in LIBRARIES:
        with use(library):
            assert compare_real(left.node, right.node) == order
            assert compare_real(right.node, left.node) == (order and -order)


@pytest.mark.parametrize(
    ("one", "other", "outcome", "sign"),
    [
        (x - 1, 2 * x - 2, "equal", 1),
        (x - 1, 1 - x, "equal", -1),
        (x + y - 3, -(2 * x) - 2 * y + 6, "equal", -1),
        (sqrt(2) * x - 2, x - sqrt(2), "equal", 1),
        (sqrt(x) - 1, 3 * sqrt(x) - 3, "equal", 1),
        (i * x, x, "equal", 0),
        (x - 1, x - 2, "different", 0),
        (x, x**2, "different", 0),
        (x - x, x - 1, "different", 0),
        (x + 1 - x, number(2) + x - x, "different", 0),
        (number(3), x, "different", 0),
        (total(k, k, 1, n) - x, 2 * x - n * (n + 1), "equal", -1),
    ],
)
def test_proportional_gives_the_sign_of_the_constant(one: E, other: E, outcome: str, sign: int) -> None:
    for left, right in ((one, other), (other, one)):
        found = proportional(left.node, right.node)
        assert (found.outcome, found.sign) == (outcome, sign)


# Random rational functions.

LEAVES = st.one_of(st.sampled_from([x, y, z]), st.integers(-9, 9).map(number))
RATIONAL = st.recursive(
    LEAVES,
    lambda below: st.one_of(
        st.builds(lambda p, q: p + q, below, below),
        st.builds(lambda p, q: p * q, below, below),
        st.builds(lambda p, q: p - q, below, below),
        st.builds(lambda p, q: p / (q * q + 1), below, below),
        st.builds(lambda p, q: p**q, below, st.integers(1, 3)),
    ),
    max_leaves=8,
)


def rewritten(node: Node, draw: Callable[[int], int]) -> Node:
    """The same function otherwise written: shuffled, distributed, with signs, quotients and powers unfolded."""
    args = tuple(rewritten(arg, draw) for arg in node.args)
    choice = draw(3)
    if node.head in ("add", "mul") and choice == 0:
        return node._replace(args=args[::-1])
    if node.head == "mul" and choice == 1 and args[0].head == "add":
        return Node("add", tuple(Node("mul", (term, *args[1:])) for term in args[0].args))
    if node.head == "div":
        return Node("mul", (Node("pow", (args[1], tree(-1))), args[0]))
    if node.head == "neg":
        return Node("mul", (tree(-1), *args))
    if node.head == "pow" and choice:
        return Node("mul", (args[0],) * int(args[1].value.value))
    return node._replace(args=args)


@settings(max_examples=60, deadline=None)
@given(RATIONAL, st.data(), st.integers(1, 20), st.sampled_from(LIBRARIES))
def test_rational_functions_equal_what_they_are_rewritten_to_and_nothing_else(
    function: E, data: st.DataObject, by: int, library: Library
) -> None:
    other = rewritten(function.node, lambda below: data.draw(st.integers(0, below - 1)))
    changed = Node("add", (other, Node("div", (x.node, tree(10**by)))))
    with use(library):
        assert same_value(function.node, other).outcome == "equal"
        assert same_value(function.node, changed).outcome == "different"


@settings(max_examples=60, deadline=None)
@given(RATIONAL, RATIONAL)
def test_equality_is_symmetric_and_the_libraries_agree(one: E, other: E) -> None:
    there = same_value(sqrt(one).node, sqrt(other).node).outcome
    assert same_value(sqrt(other).node, sqrt(one).node).outcome == there
    with use("mpmath"):
        again = same_value(sqrt(one).node, sqrt(other).node).outcome
    assert there == again or "undecided" in (there, again)


@settings(max_examples=100, deadline=None)
@given(st.integers(-(10**6), 10**6), st.integers(1, 10**6), st.integers(5, 12))
def test_a_decimal_of_enough_digits_equals_what_it_rounds(over: int, under: int, places: int) -> None:
    value = Fraction(over, under)
    rounded = Fraction(round(value * 10**places), 10**places)
    shown = E(Node("number", (), Numeral(rounded, places, len(str(abs(rounded.numerator * 10**places))))))
    enough = Policy(digits=1)
    is_near = same_value(shown.node, tree(value), enough).equal
    assert is_near == (value.denominator > 1 or rounded == value)
    off = Node("number", (), Numeral(rounded + Fraction(2, 10**places), places, 5))
    assert not same_value(off, tree(value), enough).equal


# Threads, bombs, the libraries.


def test_threads_agree_while_another_keeps_setting_the_precision_of_flint() -> None:
    flint = pytest.importorskip("flint")
    alone = [same_value(left, right) for left, right, _ in CLAIMS]
    stop = threading.Event()

    def disturb() -> None:
        while not stop.wait(0.0005):
            flint.ctx.prec = 53

    before = flint.ctx.prec
    noise = threading.Thread(target=disturb)
    noise.start()
    try:
        with ThreadPoolExecutor(16) as pool:
            runs = list(pool.map(lambda _: [same_value(left, right) for left, right, _ in CLAIMS], range(16)))
    finally:
        stop.set()
        noise.join()
        flint.ctx.prec = before
    for run in runs:
        assert [verdict.outcome for verdict in run] == [verdict.outcome for verdict in alone]


def test_the_precision_of_flint_is_left_as_it_was() -> None:
    flint = pytest.importorskip("flint")
    flint.ctx.prec = 77
    try:
        assert same_value(sqrt(12).node, (2 * sqrt(3)).node).equal
        assert flint.ctx.prec == 77
    finally:
        flint.ctx.prec = 53


def nest(name: str, value: E, times: int) -> E:
    for _ in range(times):
        value = fn(name, value)
    return value


def tower(base: E, times: int) -> E:
    value = base
    for _ in range(times):
        value = base**value
    return value


BOMBS = [
    tower(number(9), 4),
    tower(number(9), 150),
    tower(e, 6),
    tower(x, 8),
    TEN ** (TEN**8),
    TEN ** -(TEN**8),
    number(7) ** (TEN**18),
    fn("mod", number(7) ** (TEN**18), 1000),
    (sqrt(2) + sqrt(3) + sqrt(5)) ** 200,
    (a + b + c + x + y + z) ** 40,
    (x + 1) ** (TEN**9),
    (x + i) ** (TEN**9),
    fact(TEN**7),
    fact(99999999),
    nest("factorial", number(9), 3),
    nest("factorial", x, 40),
    nest("exp", x, 100),
    nest("sin", x, 180),
    nest("sin", pi * x, 90),
    nest("gamma", number(Fraction(1, 3)), 60),
    fn("gamma", fn("gamma", x + i * y)),
    fn("binom", TEN**8, 5 * TEN**7),
    fn("double_factorial", TEN**9),
    total(1 / k, k, 1, TEN**9),
    total(total(total(k * m * n, k, 1, 900), m, 1, 900), n, 1, 900),
    integral(integral(integral(integral(integral(e**x, x), x), x), x), x),
    made("add", *[sqrt(number(p)) for p in range(2, 6000)]),
    made("mul", *[x + p for p in range(6000)]),
    made("add", *[1 / (number(p) + 1) for p in range(5000)]),
    made("add", *[number(Fraction(10**3999 + p, 10**3999 - p)) for p in range(200)]),
    number(10**4000) ** number(10**4000),
    sin(number(10**4000)),
    e ** number(10**4000),
    ln(number(10**4000)) ** 4000,
    root(2, 10**4000),
    fn("gcd", *[number(10**3999 + p) for p in range(400)]),
    fn("floor", number(10**30) * pi),
    fn("log", number(10**4000), number(10**3999)),
    1 / made("add", *[sin(number(p)) ** 2 for p in range(1500)]),
]


@pytest.mark.parametrize("library", ["flint", "mpmath"])
@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_are_given_up_on(bomb: E, library: Library) -> None:
    begun = time.process_time()
    with use(library):
        for other in (number(3), bomb + 1, bomb * x):
            assert same_value(bomb.node, other.node).outcome != "equal"
            assert same_value(bomb.node, (bomb + 0).node).outcome != "different"
    assert time.process_time() - begun < 20, "a hang"


def test_without_a_library_rational_numbers_are_compared_and_the_rest_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "flint", None)
    monkeypatch.setitem(sys.modules, "mpmath", None)
    balls._installed.cache_clear()
    try:
        assert same_value((number(1) / 2).node, decimal("0.5").node).equal
        with pytest.raises(MissingLibrary, match=r"pip install 'assay\[math\]'"):
            same_value(sqrt(2).node, number(1).node)
    finally:
        balls._installed.cache_clear()
