"""Matrix arithmetic on explicit matrices: sums, products, scalars, powers, transpose, determinant, trace.

Entries stay trees; where they are rational they are added and multiplied as such. What is too large to carry out, or no
matrix, stays as it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import TypeAlias

from graders.math.tree import Node, Numeral, walk

Rows: TypeAlias = tuple[tuple[Node, ...], ...]

LIMIT = 12
"""Products, powers and determinants are carried out for matrices of at most this many rows and columns."""
ENTRIES = 400
POWER = 64
BITS = 4000
NODES = 400
"""Entries that are no rational numbers may grow to this many nodes."""


class TooLargeError(ValueError):
    """The arithmetic is not carried out."""


def rows_of(node: Node) -> Rows | None:
    """The entries of a matrix, row by row; None if it is no matrix or its rows differ in length."""
    if node.head != "matrix" or not node.args:
        return None
    rows = tuple([row.args for row in node.args])
    return rows if len({len(row) for row in rows}) == 1 else None


def matrix(rows: Rows) -> Node:
    return Node("matrix", tuple([Node("row", row) for row in rows]))


def vector(node: Node) -> tuple[Node, ...] | None:
    """The entries of a matrix with one row or one column; None for all else."""
    rows = rows_of(node)
    if rows is None:
        return None
    if len(rows) == 1:
        return rows[0]
    return tuple([row[0] for row in rows]) if len(rows[0]) == 1 else None


def as_matrix(node: Node) -> Node | None:
    """Rows of equal length in brackets as the matrix they may stand for; tuples side by side are points."""
    if node.head == "matrix":
        return node
    if node.head not in ("bracket", "tuple", "list") or not node.args:
        return None
    if any(row.head != "bracket" and (row.head != "tuple" or node.head == "list") for row in node.args):
        return None
    return matrix(tuple([row.args for row in node.args])) if len({len(row.args) for row in node.args}) == 1 else None


def carried_out(node: Node) -> Node:
    """The matrix or the number that an expression with explicit matrices comes to; the node itself where none does.

    A tuple that is transposed, `(1, 2)^T`, is a column, as is its multiple, or a sum of such.
    """
    try:
        return _value(_upright(node))
    except TooLargeError:
        return node


def _upright(node: Node) -> Node:
    head, args, _ = node
    if (head == "pow" and _is_transpose(args[1])) or (head == "call" and node.value == "transpose"):
        flat = args[0].head in ("tuple", "bracket") and as_matrix(args[0]) is None
        return args[0] if flat else node
    if head in ("add", "neg", "div") or (head == "mul" and sum(map(_holds_brackets, args)) == 1):
        return Node(head, tuple(map(_upright, args)), node.value)
    return node


def _holds_brackets(node: Node) -> bool:
    return any(part.head in ("matrix", "tuple", "bracket") for part in walk(node))


def _is_transpose(exponent: Node) -> bool:
    return exponent.head == "symbol" and exponent.value in ("T", "t", "top")


def _value(node: Node) -> Node:
    head, args, _ = node
    if head in ("matrix", "tuple", "bracket", "number", "symbol", "constant"):
        return node
    args = tuple(map(_value, args))
    node = Node(head, args, node.value)
    if not any(arg.head in ("matrix", "tuple", "bracket") for arg in args):
        return node
    done = _CARRY[head](node, tuple(map(_column, args))) if head in _CARRY else None
    if done is None:
        raise TooLargeError("no arithmetic of matrices")
    return done


def _column(node: Node) -> Node:
    if node.head in ("tuple", "bracket"):
        nested = as_matrix(node)
        return nested if nested is not None else matrix(tuple([(entry,) for entry in node.args]))
    return node


def _entry(head: str, args: tuple[Node, ...]) -> Node:
    """One entry: exact where all parts are rational numbers."""
    if all(arg.head == "number" and arg.value.digits is None for arg in args):
        values = [arg.value.value for arg in args]
        found = values[0]
        for value in values[1:]:
            found = found + value if head == "add" else found * value
        if max(found.numerator.bit_length(), found.denominator.bit_length()) > BITS:
            raise TooLargeError("numbers too long")
        return Node("number", (), Numeral(found))
    if head == "mul":
        if any(_is(arg, 0) for arg in args):
            return Node("number", (), Numeral(Fraction(0)))
        args = tuple([arg for arg in args if not _is(arg, 1)])
    else:
        args = tuple([arg for arg in args if not _is(arg, 0)]) or args[:1]
    return args[0] if len(args) == 1 else Node(head, args)


def _is(node: Node, value: int) -> bool:
    return node.head == "number" and node.value.digits is None and node.value.value == value


def _bounded(node: Node) -> Node:
    if len(node.args) * len(node.args[0].args) > ENTRIES:
        raise TooLargeError("matrices too large")
    for row in node.args:
        for entry in row.args:
            stack, count = [entry], 0
            while stack:
                count += 1
                if count > NODES:
                    raise TooLargeError("entries too long")
                stack.extend(stack.pop().args)
    return node


def _add(node: Node, args: tuple[Node, ...]) -> Node | None:
    parts = [rows_of(arg) for arg in args]
    rows = [part for part in parts if part is not None]
    if len(rows) != len(parts) or len({(len(part), len(part[0])) for part in rows}) != 1:
        return None
    if len(rows[0]) * len(rows[0][0]) > ENTRIES:
        raise TooLargeError("matrices too large")
    across = range(len(rows[0][0]))
    total = [tuple([_entry("add", tuple([part[r][c] for part in rows])) for c in across]) for r in range(len(rows[0]))]
    return _bounded(matrix(tuple(total)))


def _mul(node: Node, args: tuple[Node, ...]) -> Node | None:
    scalars = tuple([arg for arg in args if arg.head != "matrix"])
    found: Node | None = None
    for arg in args:
        if arg.head == "matrix":
            found = arg if found is None else _times(found, arg)
            if found is None:
                return None
    if found is None or not scalars:
        return found
    scalar = scalars[0] if len(scalars) == 1 else _entry("mul", scalars)
    return _each(found, lambda entry: _entry("mul", (scalar, entry)))


def _each(node: Node, change: Callable[[Node], Node]) -> Node | None:
    rows = rows_of(node)
    return None if rows is None else _bounded(matrix(tuple([tuple(map(change, row)) for row in rows])))


def _times(a: Node, b: Node) -> Node | None:
    left, right = rows_of(a), rows_of(b)
    if left is None or right is None or len(left[0]) != len(right):
        return None
    if max(len(left), len(right), len(right[0])) > LIMIT:
        raise TooLargeError("matrices too large")
    columns = list(zip(*right, strict=True))

    def entry(row: tuple[Node, ...], column: tuple[Node, ...]) -> Node:
        return _entry("add", tuple([_entry("mul", pair) for pair in zip(row, column, strict=True)]))

    return _bounded(matrix(tuple([tuple([entry(row, column) for column in columns]) for row in left])))


def _neg(node: Node, args: tuple[Node, ...]) -> Node | None:
    minus = Node("number", (), Numeral(Fraction(-1)))
    return _each(args[0], lambda entry: _entry("mul", (minus, entry)))


def _div(node: Node, args: tuple[Node, ...]) -> Node | None:
    above, below = args
    if below.head == "matrix":
        return None
    if below.head == "number" and below.value.digits is None and below.value.value:
        inverse = Node("number", (), Numeral(1 / below.value.value))
        return _each(above, lambda entry: _entry("mul", (inverse, entry)))
    return _each(above, lambda entry: Node("div", (entry, below)))


def _pow(node: Node, args: tuple[Node, ...]) -> Node | None:
    base, exponent = args
    if _is_transpose(exponent):
        return _transpose(node, (base,))
    exponent = _neg_number(exponent)
    if exponent.head != "number" or exponent.value.value.denominator != 1 or base.head != "matrix":
        return None
    n = int(exponent.value.value)
    if n < 0:
        base, n = _inverse(base), -n
    if not 1 <= n <= POWER:
        return None
    found: Node | None = None
    square: Node | None = base
    while n and square is not None:
        if n & 1:
            found = square if found is None else _times(found, square)
            if found is None:
                return None
        n >>= 1
        square = _times(square, square) if n else square
    return found if square is not None else None


def _neg_number(node: Node) -> Node:
    if node.head == "neg" and node.args[0].head == "number":
        return Node("number", (), Numeral(-node.args[0].value.value))
    return node


def _rational(node: Node) -> Fraction:
    node = _neg_number(node)
    if node.head == "div":
        above, below = map(_rational, node.args)
        if not below:
            raise TooLargeError("a division by zero")
        return above / below
    if node.head != "number" or node.value.digits is not None:
        raise TooLargeError("an entry is no rational number")
    value: Fraction = node.value.value
    return value


def _square(node: Node) -> list[list[Fraction]]:
    rows = rows_of(node)
    if rows is None or len(rows) != len(rows[0]) or len(rows) > LIMIT:
        raise TooLargeError("no small square matrix")
    return [list(map(_rational, row)) for row in rows]


def _reduce(rows: list[list[Fraction]], size: int) -> Fraction:
    """Gauss-Jordan in place on the first `size` columns; the determinant, 0 where it stops."""
    determinant = Fraction(1)
    for column in range(size):
        pivot = next((r for r in range(column, size) if rows[r][column]), None)
        if pivot is None:
            return Fraction(0)
        if pivot != column:
            rows[column], rows[pivot] = rows[pivot], rows[column]
            determinant = -determinant
        head = rows[column][column]
        determinant *= head
        rows[column] = [entry / head for entry in rows[column]]
        for r in range(size):
            factor = rows[r][column]
            if r != column and factor:
                rows[r] = [entry - factor * other for entry, other in zip(rows[r], rows[column], strict=True)]
        if determinant.numerator.bit_length() > BITS:
            raise TooLargeError("numbers too long")
    return determinant


def _inverse(node: Node) -> Node:
    rows = _square(node)
    size = len(rows)
    wide = [row + [Fraction(int(r == c)) for c in range(size)] for r, row in enumerate(rows)]
    if not _reduce(wide, size):
        raise TooLargeError("the matrix has no inverse")
    return matrix(tuple([tuple([Node("number", (), Numeral(entry)) for entry in row[size:]]) for row in wide]))


def _transpose(node: Node, args: tuple[Node, ...]) -> Node | None:
    rows = rows_of(args[0])
    return None if rows is None else matrix(tuple(zip(*rows, strict=True)))


def _call(node: Node, args: tuple[Node, ...]) -> Node | None:
    if node.value == "transpose":
        return _transpose(node, args)
    if node.value in ("det", "abs") and args[0].head == "matrix" and node.args[0].head == "matrix":
        return _determinant(args[0])
    rows = rows_of(args[0])
    if node.value == "tr" and rows is not None and len(rows) == len(rows[0]):
        return _entry("add", tuple([row[r] for r, row in enumerate(rows)]))
    return None


def _determinant(node: Node) -> Node | None:
    rows = rows_of(node)
    if rows is None or len(rows) != len(rows[0]):
        return None
    try:
        return Node("number", (), Numeral(_reduce(_square(node), len(rows))))
    except TooLargeError:
        if len(rows) > 3:
            raise
    return _minors(rows)


def _minors(rows: Rows) -> Node:
    """The determinant of a matrix of at most three rows by the first row's minors."""
    if len(rows) == 1:
        return rows[0][0]
    terms = []
    for c, entry in enumerate(rows[0]):
        minor = _minors(tuple([row[:c] + row[c + 1 :] for row in rows[1:]]))
        terms.append(_entry("mul", (Node("number", (), Numeral(Fraction((-1) ** c))), entry, minor)))
    return _entry("add", tuple(terms))


_CARRY: dict[str, Callable[[Node, tuple[Node, ...]], Node | None]] = {
    "add": _add,
    "mul": _mul,
    "neg": _neg,
    "div": _div,
    "pow": _pow,
    "call": _call,
}
