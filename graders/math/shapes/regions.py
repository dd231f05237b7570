"""Regions: unions of real intervals, read from interval notation, set operations and inequalities in one unknown.

Endpoints stay trees. An inequality is solved only where it is linear in its unknown,
or in the absolute value of something linear. What is no such region is None.

Between inequalities "and" means both, even where both cannot be, and "or" either; a mere comma means both, or either
where both cannot be. `x = (1, 2)` is a point, as `x in (1, 2)` is none. An end of infinity that is said to belong to an
interval stays so: `(1, inf]` is no `(1, inf)`.
"""

from __future__ import annotations

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
from graders.math.shapes.linear import ZERO, absolutes, linear, quotient
from graders.math.shapes.relations import agreement, difference, is_name, pairs
from graders.math.tree import Node, symbols, walk
from graders.math.values.values import compare_real

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
        return Region(args[0], _given(args[1], depth))
    if head == "builder":
        return _builder(node, depth)
    if head == "union" or (head == "list" and _are_regions(args)):
        return _several(node, depth)
    if head in ("intersection", "minus"):
        first, *others = [_region(arg, depth + 1) for arg in args]
        parts = first.parts
        for other in others:
            parts = common(parts, other.parts if head == "intersection" else outside(other.parts))
        return Region(first.unknown, parts)
    raise NoRegionError


def _given(body: Node, depth: int) -> tuple[Part, ...]:
    """Where a name lies that is in a region or has a value. A name that is (1, 2) is a point of the plane."""
    if body.head == "tuple" and not is_region(body):
        raise NoRegionError
    return _point(body) if _is_value(body) and body.head != "symbol" else _region(body, depth + 1).parts


def _point(value: Node) -> tuple[Part, ...]:
    return (Part(value, value, True, True),)


def _are_regions(items: tuple[Node, ...]) -> bool:
    """Whether all items of a list are regions, or values of the name that others say lies in one: x < 1 or x = 3."""
    shapes = [item.head in _INTERVALS or is_region(item) for item in items]
    return all(shapes) or (
        any(shapes) and all(shape or item.head == "named" for shape, item in zip(shapes, items, strict=True))
    )


def _interval(node: Node) -> tuple[Part, ...]:
    if len(node.args) != 2:
        raise NoRegionError
    low, high = node.args
    if not (_is_value(low) and _is_value(high)):
        raise NoRegionError
    ends = {"tuple": "()", "bracket": "[]"}.get(node.head) or node.value
    part = Part(low, high, ends[0] == "[", ends[1] == "]")
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
    """A union, or a list: "and" between inequalities means both, commas do, or either where both cannot be."""
    if len(node.args) > (LIMIT if node.head == "union" else RELATIONS):
        raise NoRegionError
    found = [_region(arg, depth + 1) for arg in node.args]
    unknown = _common([part.unknown for part in found])
    if node.head == "list" and node.value != "or" and all(arg.head in ("relation", "named") for arg in node.args):
        parts = ALL
        for other in found:
            parts = common(parts, other.parts)
        if parts or len(found) < 2 or (node.value == "and" and all(arg.head == "relation" for arg in node.args)):
            return Region(unknown, parts)
    return Region(unknown, union([part for other in found for part in other.parts]))


def _builder(node: Node, depth: int) -> Region:
    element, condition = node.args
    within = ALL
    if (element.head == "relation" and tuple(element.value) == ("in",)) or element.head == "named":
        within, element = _region(element.args[1], depth + 1).parts, element.args[0]
    found = _region(_condition(condition), depth + 1)
    if not is_name(element) or (found.unknown is not None and agreement(found.unknown, element) is None):
        raise NoRegionError
    return Region(None, found.parts if within == ALL else common(within, found.parts))


def _condition(node: Node) -> Node:
    """What stands behind the bar, with x in and x = as names, and the name that != is said of passed on."""
    if node.head == "relation" and tuple(node.value) in (("in",), ("=",)):
        name, body = node.args
        if node.value[0] == "in" and body.head in ("tuple", "bracket"):
            body = Node("interval", body.args, "()" if body.head == "tuple" else "[]")
        return Node("named", (name, body))
    if node.head != "list":
        return node
    items: list[Node] = []
    for item in node.args:
        before = items[-1] if items else None
        if before is not None and before.head == "relation" and tuple(before.value) == ("!=",) and _is_value(item):
            item = Node("relation", (before.args[0], item), ("!=",))
        items.append(_condition(item))
    return Node("list", tuple(items), node.value)


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
    ins = ["=" in sign and not infinite(end) for sign, end in zip(node.value, (low, high), strict=True)]
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
    sizes = absolutes(form)
    if not sizes:
        slope, rest = linear(form, name)
        side = order(slope, ZERO)
        if side == 0:
            raise NoRegionError
        return _side(sign, quotient(Node("neg", (rest,)), slope), side > 0)
    if len(sizes) > 1:
        raise NoRegionError
    slope, rest = linear(form, sizes[0])
    side = order(slope, ZERO)
    if side == 0:
        raise NoRegionError
    end, inner = quotient(Node("neg", (rest,)), slope), sizes[0].args[0]
    if symbols(end):
        raise NoRegionError
    return _around(sign, inner, end, side > 0, name)


def _around(sign: str, inner: Node, end: Node, below: bool, name: Node) -> tuple[Part, ...]:
    """Where |inner| is below or above the end."""
    if absolutes(inner):
        raise NoRegionError
    negative = order(end, ZERO)
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
