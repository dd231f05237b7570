"""Regions: unions of real intervals, read from interval notation, set operations and inequalities in one unknown.

Endpoints stay trees. An inequality is solved only where it is linear in its unknown,
or in the absolute value of something linear. What is no such region is None.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from graders.math.shapes.intervals import (
    ALL,
    INFINITY,
    LIMIT,
    MINUS_INFINITY,
    NoRegionError,
    Part,
    Region,
    common,
    infinite,
    order,
    outside,
    union,
)
from graders.math.shapes.relations import agreement, difference, is_name, pairs
from graders.math.tree import Node, Numeral, symbols, walk
from graders.math.values.values import compare_real

_ZERO: Final = Node("number", (), Numeral(Fraction(0)))
RELATIONS = 16
"""Lists of more inequalities are not looked at as regions."""
_VALUES = frozenset(("number", "symbol", "constant", "add", "mul", "neg", "div", "pow", "root", "call"))
_INTERVALS = frozenset(("interval", "tuple", "bracket"))
_STRONG = frozenset(("interval", "union", "intersection", "minus", "builder"))
_ORDERS = frozenset(("<", "<=", ">", ">="))


def is_region(node: Node) -> bool:
    """Whether it can only be meant as a region, unlike (a, b), [a, b] or a set, which may be other things."""
    head = node.head
    if head in _STRONG:
        return True
    if head == "domain":
        return node.value in ("R", "empty")
    if head == "relation":
        return _is_inequality(node)
    if head == "named":
        return is_region(node.args[1])
    if head in ("tuple", "bracket"):
        return len(node.args) == 2 and any(map(infinite, node.args))
    return head == "list" and bool(node.args) and all(map(is_region, node.args))


def _is_inequality(node: Node) -> bool:
    return all(sign in _ORDERS for sign in node.value) or tuple(node.value) in (("!=",), ("notin",))


def region(node: Node) -> Region | None:
    """What the tree means as a region; None if it means none, or its endpoints cannot be put in order."""
    try:
        return _region(node, 0)
    except NoRegionError:
        return None


def _is_value(node: Node) -> bool:
    return all(part.head in _VALUES for part in walk(node))


def _region(node: Node, depth: int) -> Region:
    if depth > 20:
        raise NoRegionError
    head, args, value = node
    if head in _INTERVALS:
        return Region(None, _interval(node))
    if head == "symbol" and value == "R":
        return Region(None, ALL)
    if head == "set":
        if not all(map(_is_value, args)):
            raise NoRegionError
        return Region(None, union([Part(arg, arg, True, True) for arg in args]))
    if head == "domain" and value in ("R", "empty"):
        return Region(None, ALL if value == "R" else ())
    if head == "relation":
        return _relation(node, depth)
    if head == "named" and is_name(args[0]):
        return Region(args[0], _region(args[1], depth + 1).parts)
    if head == "builder":
        return _builder(node, depth)
    if head == "union" or (head == "list" and all(arg.head in _INTERVALS or is_region(arg) for arg in args)):
        return _several(node, depth)
    if head in ("intersection", "minus"):
        first, *others = [_region(arg, depth + 1) for arg in args]
        parts = first.parts
        for other in others:
            parts = common(parts, other.parts if head == "intersection" else outside(other.parts))
        return Region(first.unknown, parts)
    raise NoRegionError


def _interval(node: Node) -> tuple[Part, ...]:
    if len(node.args) != 2:
        raise NoRegionError
    low, high = node.args
    if not (_is_value(low) and _is_value(high)):
        raise NoRegionError
    ends = {"tuple": "()", "bracket": "[]"}.get(node.head) or node.value
    part = Part(low, high, ends[0] == "[" and not infinite(low), ends[1] == "]" and not infinite(high))
    side = compare_real(low, high)
    if node.head != "interval" and side != -1 and (side is not None or not symbols(node)):
        raise NoRegionError
    if side is None:
        return (part,)
    return () if side > 0 or (side == 0 and not (part.low_in and part.high_in)) else (part,)


def _common(unknowns: list[Node | None]) -> Node | None:
    given = [unknown for unknown in unknowns if unknown is not None]
    if any(agreement(given[0], other) is None for other in given[1:]):
        raise NoRegionError
    return given[0] if given else None


def _several(node: Node, depth: int) -> Region:
    """A union, or a list: "and" and commas between inequalities mean both, or either where both cannot be."""
    if len(node.args) > (LIMIT if node.head == "union" else RELATIONS):
        raise NoRegionError
    found = [_region(arg, depth + 1) for arg in node.args]
    unknown = _common([part.unknown for part in found])
    if node.head == "list" and node.value != "or" and all(arg.head in ("relation", "named") for arg in node.args):
        parts = ALL
        for other in found:
            parts = common(parts, other.parts)
        if parts or len(found) < 2:
            return Region(unknown, parts)
    return Region(unknown, union([part for other in found for part in other.parts]))


def _builder(node: Node, depth: int) -> Region:
    element, condition = node.args
    within = ALL
    if (element.head == "relation" and tuple(element.value) == ("in",)) or element.head == "named":
        within, element = _region(element.args[1], depth + 1).parts, element.args[0]
    found = _region(condition, depth + 1)
    if not is_name(element) or (found.unknown is not None and agreement(found.unknown, element) is None):
        raise NoRegionError
    return Region(None, found.parts if within == ALL else common(within, found.parts))


def _relation(node: Node, depth: int) -> Region:
    if not _is_inequality(node):
        raise NoRegionError
    if node.value[0] == "notin":
        return Region(node.args[0], outside(_region(node.args[1], depth + 1).parts))
    between = _between(node)
    if between is not None:
        return between
    found = [_pair(pair.sign, pair.left, pair.right) for pair in pairs(node)]
    unknown = _common([part.unknown for part in found])
    parts = found[0].parts
    for other in found[1:]:
        parts = common(parts, other.parts)
    return Region(unknown, parts)


def _between(node: Node) -> Region | None:
    """low < name < high, where the ends may hold other symbols."""
    if len(node.args) != 3 or len({sign[0] for sign in node.value}) != 1:
        return None
    low, name, high = node.args
    if not is_name(name) or name.head == "call" or not (symbols(low) | symbols(high)).isdisjoint(symbols(name)):
        return None
    ins = ["=" in sign for sign in node.value]
    if node.value[0][0] == ">":
        low, high, ins = high, low, ins[::-1]
    return Region(name, _interval(Node("interval", (low, high), "(["[ins[0]] + ")]"[ins[1]])))


def _pair(sign: str, left: Node, right: Node) -> Region:
    """left < right, left <= right or left != right for one unknown."""
    for name, other, below in ((left, right, True), (right, left, False)):
        if name.head != "call" and is_name(name) and symbols(name).isdisjoint(symbols(other)):
            if is_name(other) and not (name.head == "apply" or other.head == "text"):
                raise NoRegionError
            return Region(name, _side(sign, other, below))
    unknowns = symbols(left) | symbols(right)
    if len(unknowns) != 1:
        raise NoRegionError
    name = Node("symbol", (), next(iter(unknowns)))
    return Region(name, _solved(sign, difference(left, right), name))


def _side(sign: str, end: Node, below: bool) -> tuple[Part, ...]:
    """The reals below the end, or above it, or but for it."""
    if not _is_value(end):
        raise NoRegionError
    if infinite(end):
        if sign == "!=" or (infinite(end) == 1) == below:
            return ALL
        return ()
    if sign == "!=":
        return (Part(MINUS_INFINITY, end, False, False), Part(end, INFINITY, False, False))
    closed = sign == "<="
    return (Part(MINUS_INFINITY, end, False, closed) if below else Part(end, INFINITY, closed, False),)


def _solved(sign: str, form: Node, name: Node) -> tuple[Part, ...]:
    """Where form < 0, form <= 0 or form != 0; the form is linear in the name or in one absolute value."""
    sizes = _absolutes(form)
    if not sizes:
        slope, rest = _linear(form, name, 0)
        side = order(slope, _ZERO)
        if side == 0:
            raise NoRegionError
        return _side(sign, _quotient(Node("neg", (rest,)), slope), side > 0)
    if len(sizes) > 1:
        raise NoRegionError
    slope, rest = _linear(form, sizes[0], 0)
    side = order(slope, _ZERO)
    if side == 0:
        raise NoRegionError
    end, inner = _quotient(Node("neg", (rest,)), slope), sizes[0].args[0]
    if symbols(end):
        raise NoRegionError
    return _around(sign, inner, end, side > 0, name)


def _around(sign: str, inner: Node, end: Node, below: bool, name: Node) -> tuple[Part, ...]:
    """Where |inner| is below or above the end."""
    if _absolutes(inner):
        raise NoRegionError
    negative = order(end, _ZERO)
    if sign == "!=":
        if negative < 0:
            return ALL
        apart = [_solved("!=", difference(inner, side), name) for side in (end, Node("neg", (end,)))]
        return common(*apart)
    strict = sign == "<"
    if below:
        if negative < 0 or (negative == 0 and strict):
            return ()
        low = _solved(sign, difference(Node("neg", (inner,)), end), name)
        return common(low, _solved(sign, difference(inner, end), name))
    if negative < 0 or (negative == 0 and not strict):
        return ALL
    low = _solved(sign, difference(inner, Node("neg", (end,))), name)
    return union([*low, *_solved(sign, difference(end, inner), name)])


def _absolutes(node: Node) -> list[Node]:
    if node.head == "call" and node.value == "abs" and symbols(node):
        return [node]
    found: list[Node] = []
    for arg in node.args:
        found += [size for size in _absolutes(arg) if size not in found]
    return found


def _quotient(a: Node, b: Node) -> Node:
    if a.head == "neg" and _plain(a.args[0], b) and b.value.value:
        return Node("number", (), Numeral(-a.args[0].value.value / b.value.value))
    return Node("div", (a, b))


def _linear(node: Node, name: Node, depth: int) -> tuple[Node, Node]:
    """Slope and rest of a form that is linear in the name."""
    if node == name:
        return Node("number", (), Numeral(Fraction(1))), _ZERO
    if name.head == "symbol":
        if name.value not in symbols(node):
            return _ZERO, node
    elif not _absolutes(node) and not symbols(node):
        return _ZERO, node
    if depth > 50:
        raise NoRegionError
    head, args, _ = node
    if head == "add":
        found = [_linear(arg, name, depth + 1) for arg in args]
        return _sum([slope for slope, _ in found]), _sum([rest for _, rest in found])
    if head == "neg":
        slope, rest = _linear(args[0], name, depth + 1)
        return _times(_MINUS_ONE, slope), _times(_MINUS_ONE, rest)
    if head == "mul":
        return _scaled(args, name, depth)
    if head == "div" and not symbols(args[1]):
        slope, rest = _linear(args[0], name, depth + 1)
        return _over(slope, args[1]), _over(rest, args[1])
    raise NoRegionError


_MINUS_ONE: Final = Node("number", (), Numeral(Fraction(-1)))


def _scaled(args: tuple[Node, ...], name: Node, depth: int) -> tuple[Node, Node]:
    moving = [arg for arg in args if symbols(arg)]
    if len(moving) != 1:
        raise NoRegionError
    slope, rest = _linear(moving[0], name, depth + 1)
    for arg in args:
        if arg is not moving[0]:
            slope, rest = _times(arg, slope), _times(arg, rest)
    return slope, rest


def _plain(*nodes: Node) -> bool:
    return all(node.head == "number" and node.value.digits is None for node in nodes)


def _sum(nodes: list[Node]) -> Node:
    if _plain(*nodes):
        return Node("number", (), Numeral(sum((node.value.value for node in nodes), Fraction(0))))
    kept = tuple([node for node in nodes if node != _ZERO])
    return kept[0] if len(kept) == 1 else Node("add", kept)


def _times(a: Node, b: Node) -> Node:
    if _plain(a, b):
        return Node("number", (), Numeral(a.value.value * b.value.value))
    return _ZERO if _ZERO in (a, b) else Node("mul", (a, b))


def _over(a: Node, b: Node) -> Node:
    if _plain(a, b) and b.value.value:
        return Node("number", (), Numeral(a.value.value / b.value.value))
    return _ZERO if a == _ZERO else Node("div", (a, b))
