"""Whether arithmetic on plain numbers is left to do in an answer, for policies that ask for a value worked out."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from graders.math.tree import Node
from graders.math.values.values import is_constant
from graders.math.written import written

_CARRIED_OUT = frozenset(
    ("factorial", "double_factorial", "binom", "gcd", "lcm", "mod", "floor", "ceil", "abs", "sgn", "min", "max")
)
BITS = 4000
"""Roots of longer numbers are not looked into."""


def unevaluated(node: Node) -> str | None:
    """The first piece of arithmetic on plain numbers that is not carried out, such as `9 + 1`; None where all is.

    Left to do are sums and products of numbers, powers with a whole exponent, roots that come out (`sqrt 4`), fractions
    of whole numbers that are one (`6/3`), factorials, binomials, gcd, lcm, mod, floor, ceiling, absolute values, minima
    and maxima of numbers. Not so: fractions (`6/8` too), mixed numbers, powers of ten and their multiples, roots such
    as `sqrt 8`, and functions such as logarithms and sines. Of a chain, the last member counts.
    """
    if node.head == "relation" and set(node.value) <= {"=", "~"}:
        node = node.args[-1]
    stack = [node]
    while stack:
        node = stack.pop()
        if _left(node):
            return written(node)
        if not _is_scientific(node):
            stack.extend(reversed(node.args))
    return None


def _left(node: Node) -> bool:
    head, args, value = node
    if head == "add":
        return sum(map(_is_number, args)) > 1 and not _is_mixed(node)
    if head == "mul":
        return sum(map(_is_number, args)) > 1 and not _is_scientific(node)
    if head == "pow":
        return _is_number(args[0]) and _whole(args[1]) is not None and not _is_scientific(node)
    if head == "root":
        return _comes_out(args)
    if head == "div":
        over, under = map(_whole, args)
        return over is not None and under not in (None, 0) and over % (under or 1) == 0
    return head == "call" and value in _CARRIED_OUT and is_constant(node) and all(map(_is_number, args))


def _is_number(node: Node) -> bool:
    """A numeral or a fraction of two, perhaps with a sign."""
    if node.head == "neg":
        return _is_number(node.args[0])
    return node.head == "number" or (node.head == "div" and all(map(_is_number, node.args)))


def _whole(node: Node) -> int | None:
    if node.head == "neg":
        inner = _whole(node.args[0])
        return None if inner is None else -inner
    if node.head != "number" or node.value.value.denominator != 1:
        return None
    return int(node.value.value)


def _is_mixed(node: Node) -> bool:
    """A whole number and a proper fraction, as in 5 1/4."""
    if len(node.args) != 2 or node.args[1].head != "div" or _whole(node.args[0]) is None:
        return False
    over, under = map(_whole, node.args[1].args)
    return over is not None and under is not None and 0 < over < under


def _is_scientific(node: Node) -> bool:
    """A power of ten, or a decimal times one."""
    if node.head == "pow":
        return _whole(node.args[0]) == 10 and _whole(node.args[1]) is not None
    if node.head != "mul" or len(node.args) != 2:
        return False
    return _is_number(node.args[0]) and node.args[1].head == "pow" and _is_scientific(node.args[1])


def _comes_out(args: tuple[Node, ...]) -> bool:
    degree = _whole(args[1]) if len(args) > 1 else 2
    value = args[0].value.value if args[0].head == "number" else None
    if args[0].head == "div" and None not in (parts := [_whole(part) for part in args[0].args]) and parts[1]:
        value = Fraction(parts[0] or 0, parts[1])
    if value is None or value < 0 or degree not in (2, 3, 4):
        return False
    return all(_is_power(part, degree) for part in (value.numerator, value.denominator))


def _is_power(n: int, degree: int) -> bool:
    if n.bit_length() > BITS:
        return False
    if degree == 3:
        root = round(n ** (1 / 3)) if n.bit_length() < 150 else 0
        return int(root**3) == n
    root = isqrt(n) if degree == 2 else isqrt(isqrt(n))
    return int(root**degree) == n
