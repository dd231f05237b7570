"""Linear forms: slope and rest of an expression that is linear in its unknown, with trees for coefficients."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from graders.math.shapes.intervals import NoRegionError
from graders.math.tree import Node, Numeral, symbols

ZERO: Final = Node("number", (), Numeral(Fraction(0)))
_MINUS_ONE: Final = Node("number", (), Numeral(Fraction(-1)))


def absolutes(node: Node) -> list[Node]:
    """The outermost absolute values of what holds a symbol, each once."""
    if node.head == "call" and node.value == "abs" and symbols(node):
        return [node]
    found: list[Node] = []
    for arg in node.args:
        found += [size for size in absolutes(arg) if size not in found]
    return found


def quotient(a: Node, b: Node) -> Node:
    """a / b, worked out where `a` is the negative of a plain number and `b` one."""
    if a.head == "neg" and _plain(a.args[0], b) and b.value.value:
        return Node("number", (), Numeral(-a.args[0].value.value / b.value.value))
    return Node("div", (a, b))


def linear(node: Node, name: Node, depth: int = 0) -> tuple[Node, Node]:
    """Slope and rest of a form that is linear in the name or in one absolute value; NoRegionError where it is not."""
    if node == name:
        return Node("number", (), Numeral(Fraction(1))), ZERO
    if name.head == "symbol":
        if name.value not in symbols(node):
            return ZERO, node
    elif not absolutes(node) and not symbols(node):
        return ZERO, node
    if depth > 50:
        raise NoRegionError
    head, args, _ = node
    if head == "add":
        found = [linear(arg, name, depth + 1) for arg in args]
        return _sum([slope for slope, _ in found]), _sum([rest for _, rest in found])
    if head == "neg":
        slope, rest = linear(args[0], name, depth + 1)
        return _times(_MINUS_ONE, slope), _times(_MINUS_ONE, rest)
    if head == "mul":
        return _scaled(args, name, depth)
    if head == "div" and not symbols(args[1]):
        slope, rest = linear(args[0], name, depth + 1)
        return _over(slope, args[1]), _over(rest, args[1])
    raise NoRegionError


def _scaled(args: tuple[Node, ...], name: Node, depth: int) -> tuple[Node, Node]:
    moving = [arg for arg in args if symbols(arg)]
    if len(moving) != 1:
        raise NoRegionError
    slope, rest = linear(moving[0], name, depth + 1)
    for arg in args:
        if arg is not moving[0]:
            slope, rest = _times(arg, slope), _times(arg, rest)
    return slope, rest


def _plain(*nodes: Node) -> bool:
    return all(node.head == "number" and node.value.digits is None for node in nodes)


def _sum(nodes: list[Node]) -> Node:
    if _plain(*nodes):
        return Node("number", (), Numeral(sum((node.value.value for node in nodes), Fraction(0))))
    kept = tuple([node for node in nodes if node != ZERO])
    return kept[0] if len(kept) == 1 else Node("add", kept)


def _times(a: Node, b: Node) -> Node:
    if _plain(a, b):
        return Node("number", (), Numeral(a.value.value * b.value.value))
    return ZERO if ZERO in (a, b) else Node("mul", (a, b))


def _over(a: Node, b: Node) -> Node:
    if _plain(a, b) and b.value.value:
        return Node("number", (), Numeral(a.value.value / b.value.value))
    return ZERO if a == ZERO else Node("div", (a, b))
