"""Products of matrices named by capitals, whose order matters: A^{-1} B is not B A^{-1}.

Capitals stand for matrices where an inverse, a transpose, a determinant or a trace of one is written, or where one
side holds a product in two orders. Both sides are then computed with random square matrices, of two sizes, over the
integers modulo a prime: exact, in bounded work. Small letters are numbers; transposed ones are columns.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import reduce
from typing import TypeAlias

from graders.math.tree import Node, Verdict, symbols, walk
from graders.math.values.arithmetic import draw

PRIME = 2**61 - 1
SIZES = (2, 3)
MOST_POWER = 10**6
WORK = 1000  # products of two matrices, roughly, for one side
DIMENSIONS = frozenset("MLTIKQN")  # M L T^{-1} is a product of physical dimensions
OF_MATRICES = frozenset(["transpose", "det", "tr"])

Matrix: TypeAlias = "list[list[int]]"
Value: TypeAlias = "int | Matrix"


class _Unknown(Exception):  # noqa: N818 (an outcome, not a failure)
    """The expression has no value in matrices."""


def is_matrix(name: str) -> bool:
    """Whether a letter is a capital, whatever stands on it or below it."""
    return name.rsplit(" ", 1)[-1][:1].isupper()


def is_ordered(a: Node, b: Node) -> bool:
    """Whether the capitals of these trees are matrices that need not commute."""
    names = symbols(a) | symbols(b)
    capitals = sum(map(is_matrix, names))
    columns = _columns((a, b))
    if not capitals or (capitals == 1 and not columns and not _has_transpose((a, b))):
        return False
    parts = [*walk(a), *walk(b)]
    if any(part.head == "div" and _divides_by_matrix(part) for part in parts):
        return False
    if names <= DIMENSIONS and _is_monomial(a) and _is_monomial(b):
        return False
    return any(map(_shows_matrix, parts)) or any(map(_holds_two_orders, (a, b)))


def same_matrix(a: Node, b: Node) -> Verdict:
    """Whether two expressions in matrices are equal: at random matrices of each size, all entries."""
    columns = _columns((a, b))
    outcomes = set[bool]()
    for size in SIZES:
        try:
            one, other = (_Algebra(size, columns).value(side) for side in (a, b))
            outcomes.add(_is_same(a, one, b, other))
        except (_Unknown, ZeroDivisionError):
            return Verdict("undecided", "products of matrices that are not computed", "points")
    if len(outcomes) > 1:
        return Verdict("undecided", "the size of the matrices would decide", "points")
    if outcomes.pop():
        return Verdict("equal", "the same value at random matrices", "points")
    return Verdict("different", "matrices do not commute", "points")


def _is_same(a: Node, one: Value, b: Node, other: Value) -> bool:
    """A number equals a matrix where it is written in digits and the matrix is that multiple of the identity."""
    for side, value, matrix in ((a, one, other), (b, other, one)):
        if isinstance(value, int) and not isinstance(matrix, int):
            return not symbols(side) and (matrix == _scalar(value, len(matrix)) or not (value or any(map(any, matrix))))
    return one == other


def _shows_matrix(node: Node) -> bool:
    if node.head == "pow":
        base, exponent = node.args
        is_named = _has_matrix(base)
        return is_named and (_is_minus_one(exponent) or (_is_transpose(node) and base.head == "mul"))
    return node.head == "call" and node.value in OF_MATRICES and _has_matrix(node)


def _has_matrix(node: Node) -> bool:
    return any(map(is_matrix, symbols(node)))


def _is_minus_one(node: Node) -> bool:
    sign = -1 if node.head == "neg" else 1
    inner = node.args[0] if node.head == "neg" else node
    return inner.head == "number" and bool(inner.value.value * sign == -1)


def _is_transpose(node: Node) -> bool:
    return (node.head == "call" and node.value == "transpose") or (
        node.head == "pow" and node.args[1].head == "symbol" and node.args[1].value == "T"
    )


def _has_transpose(sides: tuple[Node, ...]) -> bool:
    return any(part.head == "call" and part.value == "transpose" for side in sides for part in walk(side))


def _columns(sides: tuple[Node, ...]) -> frozenset[str]:
    """The letters that are vectors, and the small ones that are transposed somewhere."""
    arrows = (name for side in sides for name in symbols(side) if name.startswith("vec "))
    return frozenset(arrows) | frozenset(
        part.args[0].value
        for side in sides
        for part in walk(side)
        if _is_transpose(part) and part.args[0].head == "symbol" and not is_matrix(part.args[0].value)
    )


def _divides_by_matrix(node: Node) -> bool:
    """Whether a fraction has a capital below another one: matrices are not written so."""
    under = node.args[1]
    return any(map(is_matrix, symbols(under))) and not any(
        part.head == "call" and part.value in ("det", "tr", "norm", "abs") for part in walk(under)
    )


def _is_monomial(node: Node) -> bool:
    """Whether it is a product of powers of letters, each once."""
    bases = list[Node]()
    stack = [node]
    while stack:
        part = stack.pop()
        if part.head == "mul":
            stack += part.args
        else:
            bases.append(part.args[0] if part.head == "pow" else part)
    return all(base.head == "symbol" for base in bases) and len(set(bases)) == len(bases)


def _holds_two_orders(node: Node) -> bool:
    """Whether the same capitals stand in it as a product in two orders."""
    orders = dict[tuple[str, ...], tuple[str, ...]]()
    for part in walk(node):
        if part.head == "mul":
            order = tuple(arg.value for arg in part.args if arg.head == "symbol" and is_matrix(arg.value))
            if len(order) > 1 and orders.setdefault(tuple(sorted(order)), order) != order:
                return True
    return False


class _Algebra:
    """Values of trees in matrices of one size, modulo PRIME."""

    def __init__(self, size: int, columns: frozenset[str]) -> None:
        self.size, self.columns, self.left = size, columns, WORK

    def value(self, node: Node) -> Value:
        rule = _RULES.get(node.head)
        self.spend(1)
        if rule is None:
            raise _Unknown
        return rule(self, node)

    def spend(self, products: int) -> None:
        self.left -= products
        if self.left < 0:
            raise _Unknown

    def symbol(self, node: Node) -> Value:
        name = node.value
        if name == "I":
            return _scalar(1, self.size)
        seed = draw(zlib.crc32(name.encode()) ^ self.size << 40)
        if name in self.columns:
            return [[draw(seed + row) % PRIME] for row in range(self.size)]
        if is_matrix(name):
            return [[draw(seed + row * 8 + column) % PRIME for column in range(self.size)] for row in range(self.size)]
        return seed % PRIME

    def number(self, node: Node) -> Value:
        value = node.value.value
        return int(value.numerator * pow(value.denominator, -1, PRIME) % PRIME)

    def sum(self, node: Node) -> Value:
        return reduce(_add, map(self.value, node.args))

    def negative(self, node: Node) -> Value:
        return _times(PRIME - 1, self.value(node.args[0]))

    def product(self, node: Node) -> Value:
        return reduce(_times, map(self.value, node.args))

    def quotient(self, node: Node) -> Value:
        over, under = map(self.value, node.args)
        return _times(over, _inverse(under))

    def power(self, node: Node) -> Value:
        base, exponent = node.args
        if _is_transpose(node):
            return _transposed(self.value(base))
        if exponent.head == "neg" and exponent.args[0].head == "symbol" and exponent.args[0].value == "T":
            return _transposed(_inverse(self.value(base)))
        sign, inner = (-1, exponent.args[0]) if exponent.head == "neg" else (1, exponent)
        if inner.head != "number" or inner.value.value.denominator != 1 or abs(inner.value.value) > MOST_POWER:
            raise _Unknown
        times = sign * int(inner.value.value)
        self.spend(2 * times.bit_length() + 4)
        return _power(_inverse(self.value(base)) if times < 0 else self.value(base), abs(times))

    def call(self, node: Node) -> Value:
        rule = _CALLS.get(node.value)
        if rule is None or len(node.args) != 1:
            raise _Unknown
        return rule(self.value(node.args[0]))


def _scalar(value: int, size: int) -> Matrix:
    return [[value if row == column else 0 for column in range(size)] for row in range(size)]


def _add(one: Value, other: Value) -> Value:
    if isinstance(one, int) and isinstance(other, int):
        return (one + other) % PRIME
    if isinstance(one, int):
        one, other = other, one
    assert not isinstance(one, int)
    if isinstance(other, int):
        if len(one) != len(one[0]):
            raise _Unknown
        other = _scalar(other, len(one))
    if len(one[0]) != len(other[0]) or len(one) != len(other):
        raise _Unknown
    return [[(x + y) % PRIME for x, y in zip(row, more, strict=True)] for row, more in zip(one, other, strict=True)]


def _times(one: Value, other: Value) -> Value:
    if isinstance(one, int) and isinstance(other, int):
        return one * other % PRIME
    if isinstance(one, int):
        assert not isinstance(other, int)
        return [[one * entry % PRIME for entry in row] for row in other]
    if isinstance(other, int):
        return _times(other, one)
    if len(one[0]) != len(other):
        raise _Unknown
    columns = list(zip(*other, strict=True))
    product = [[sum(x * y for x, y in zip(row, column, strict=True)) % PRIME for column in columns] for row in one]
    return product[0][0] if len(product) == len(product[0]) == 1 else product


def _power(base: Value, times: int) -> Value:
    if isinstance(base, int):
        return pow(base, times, PRIME)
    if len(base) != len(base[0]):
        raise _Unknown
    result: Value = _scalar(1, len(base))
    square: Value = base
    while times:
        if times & 1:
            result = _times(result, square)
        times >>= 1
        square = _times(square, square)
    return result


def _transposed(value: Value) -> Value:
    return value if isinstance(value, int) else [list(row) for row in zip(*value, strict=True)]


def _inverse(value: Value) -> Value:
    """Raises ZeroDivisionError where there is none."""
    if isinstance(value, int):
        if not value:
            raise ZeroDivisionError
        return int(pow(value, -1, PRIME))
    over = _inverse(_determinant(value))
    size = range(len(value))
    adjugate = [
        [(-1) ** (row + column) * _determinant(_minor(value, column, row)) % PRIME for column in size] for row in size
    ]
    return _times(over, adjugate)


def _minor(matrix: Matrix, row: int, column: int) -> Matrix:
    return [line[:column] + line[column + 1 :] for line in matrix[:row] + matrix[row + 1 :]]


def _determinant(value: Value) -> int:
    if isinstance(value, int):
        raise _Unknown
    if not value:
        return 1
    if len(value) != len(value[0]):
        raise _Unknown
    total = 0
    for at, entry in enumerate(value[0]):
        part = entry * _determinant(_minor(value, 0, at))
        total += -part if at % 2 else part
    return total % PRIME


def _trace(value: Value) -> int:
    if isinstance(value, int) or len(value) != len(value[0]):
        raise _Unknown
    return sum(row[at] for at, row in enumerate(value)) % PRIME


_CALLS: dict[str, Callable[[Value], Value]] = {"transpose": _transposed, "det": _determinant, "tr": _trace}
_RULES: dict[str, Callable[[_Algebra, Node], Value]] = {
    "symbol": _Algebra.symbol,
    "number": _Algebra.number,
    "add": _Algebra.sum,
    "neg": _Algebra.negative,
    "mul": _Algebra.product,
    "div": _Algebra.quotient,
    "pow": _Algebra.power,
    "call": _Algebra.call,
}
