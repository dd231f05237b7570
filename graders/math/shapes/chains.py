"""Chains: what `a = b = c ≈ d` says, which names it gives a value to, and whether its constants agree.

The last exact member counts. What stands behind ≈ is a remark, which has to be a rounding of what it follows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from graders.math.reading.units import MONEY
from graders.math.shapes import matrices
from graders.math.shapes.relations import is_applied, is_name
from graders.math.tree import Node, Verdict, number, symbols, walk
from graders.math.values.values import compare_real, exact, is_constant
from graders.math.written import written

NEAR = 0.05
"""How far a remark may be from a value that is no whole number, however few digits it has."""

NAMES = 8
"""Names that one chain gives a value to: further ones are not looked at."""

REMARKS = 32
"""Different remarks behind one value that are checked."""

Same = Callable[[Node, Node, float], Verdict]
_SIGNED = frozenset(("quantity", "percent", "labelled"))


def counted(args: tuple[Node, ...], signs: tuple[str, ...]) -> int:
    """How many members count: what stands behind ≈ is a remark where something exact stands before it."""
    at = signs.index("~")
    if at > 0 or (not is_name(args[0]) and is_constant(args[0])):
        return at + 1
    return at + 2


def split(args: tuple[Node, ...]) -> tuple[list[Node], tuple[Node, ...]]:
    """The names that a chain gives a value to, and its values; no names: all are."""
    first, last = args[0], args[-1]
    if _names(first, args[1:]):
        at = 1
        while at < min(len(args) - 1, NAMES) and is_name(args[at]) and _names(args[at], args[at + 1 :]):
            at += 1
        return list(args[:at]), args[at:]
    if len(args) == 2 and last.head == "symbol" and is_constant(first):
        return [last], args[:1]
    return [], args


def _names(name: Node, values: tuple[Node, ...]) -> bool:
    if not (is_name(name) or is_applied(name, values[-1])):
        return name.head == "constant" and name.value in ("e", "i") and len(values) == 1 and values[0].head == "number"
    if name.head in ("symbol", "tuple"):
        return all(symbols(name).isdisjoint(symbols(value)) for value in values)
    return all(name not in walk(value) for value in values) if name.head != "text" else True


def settled(parts: Sequence[Node]) -> Node:
    """The member that counts: of constants the last that is no decimal and, if any has a unit, has one; else the
    last."""
    if not is_constant(parts[-1]):
        return parts[-1]
    exact_ones = [part for part in parts if is_constant(part) and not _holds_decimal(part)] or parts[-1:]
    measured = [part for part in parts if part.head == "quantity" and is_constant(part)]
    last = exact_ones[-1]
    if not measured or last.head in _SIGNED:
        return last
    kept = next((part for part in reversed(exact_ones) if part.head == "quantity"), measured[-1])
    return kept if _alike(kept.args[0], last) else last


def _alike(a: Node, b: Node) -> bool:
    return a == b or compare_real(a, b) == 0


def _holds_decimal(node: Node) -> bool:
    return any(leaf.head == "number" and leaf.value.digits is not None for leaf in walk(node))


def untrue(parts: Sequence[Node], same: Same) -> Node | None:
    """The first two constants of a chain that are proved different."""
    before = None
    for part in parts:
        if part.head == "false":
            return part
        if part.head == "text" or not is_constant(part):
            continue
        if before is not None and not _agree(before, part, same):
            return _false(before, part, "=")
        before = part
    return None


def _agree(a: Node, b: Node, same: Same) -> bool:
    """Whether two constants are not proved different; where only one has a unit, its bare value counts, of money and
    percentages also the hundredth."""
    if (a.head == "quantity") == (b.head == "quantity"):
        return _possible(a, b, same)
    measured, other = (a, b) if a.head == "quantity" else (b, a)
    if _possible(measured, other, same):
        return True
    if other.head != "percent" and not _is_money(measured):
        return False
    value, other = measured.args[0], other.args[0] if other.head == "percent" else other
    return _possible(_hundredfold(value), other, same) or _possible(value, _hundredfold(other), same)


def _hundredfold(node: Node) -> Node:
    return Node("mul", (node, number(100)))


def _possible(a: Node, b: Node, same: Same) -> bool:
    return same(a, b, 0.0).outcome != "different"


def _is_money(node: Node) -> bool:
    return len(node.value.dims) == 1 and node.value.dims[0][0] in MONEY


def misrounded(value: Node, remarks: Sequence[Node], same: Same) -> Node | None:
    """The first remark behind ≈ that is no rounding of the value."""
    for remark in list(dict.fromkeys(remarks))[:REMARKS]:
        if remark.head == "false":
            return remark
        if remark.head == "text" or not (is_constant(value) and is_constant(remark)):
            continue
        if not _is_rounding(value, remark, same):
            return _false(value, remark, "≈")
    return None


def _is_rounding(value: Node, remark: Node, same: Same) -> bool:
    if value.head == remark.head == "quantity" and value.value != remark.value:
        return same(value, remark, NEAR).outcome != "different"
    plain, rounded = _bare(value), _bare(remark)
    size = exact(rounded)
    places = _places(rounded)
    if size is not None and places is not None:
        half = Fraction(10) ** -places / 2
        low, high = compare_real(plain, number(size - half)), compare_real(plain, number(size + half))
        if low is not None and high is not None and low >= 0 >= high:
            return True
        whole = exact(plain)
        if whole is not None and whole.denominator == 1 and places <= 0 and value.head == remark.head:
            return False
    return same(value, remark, NEAR).outcome != "different"


def _bare(node: Node) -> Node:
    while node.head in ("quantity", "labelled"):
        node = node.args[0]
    return node


def _places(node: Node) -> int | None:
    """The decimal places of a numeral, less than 0 for a whole number that ends in zeros; None for what is none."""
    node = node.args[0] if node.head == "neg" else node
    if node.head != "number":
        return None
    value, places = node.value.value, node.value.places
    if places or value.denominator != 1 or not value:
        return places or 0 if value.denominator == 1 or places else None
    digits = str(value.numerator) if value.numerator.bit_length() < 4000 else ""
    return len(digits.rstrip("0")) - len(digits)


def _false(a: Node, b: Node, sign: str) -> Node:
    return Node("false", (), f"says {written(a)} {sign} {written(b)}, which is false")


def given(name: Node, body: Node, others: tuple[Node, ...] = ()) -> Node:
    """The body under its name, and the other names that the chain gives the same value to."""
    if name.head == "tuple" and not (body.head == "list" and not body.args):
        if body.head == "list" and all(arg.head == "tuple" for arg in body.args):
            return Node("list", tuple([given(name, arg) for arg in body.args]), body.value)
        entries = matrices.vector(body) or (body.args if body.head in ("tuple", "bracket", "list") else ())
        if len(entries) == len(name.args) > 1:
            return Node("record", tuple(entries), name.args)
    return Node("named", (name, body), others or None)
