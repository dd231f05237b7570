"""Unions of real intervals: put in order, joined where they touch, intersected, complemented.

Endpoints are trees of constants, ordered by `compare_real`.
"""

from __future__ import annotations

from functools import cmp_to_key
from typing import Final, NamedTuple

from graders.math.tree import Node
from graders.math.values.values import compare_real

LIMIT = 64
"""Regions of more parts are not looked at as regions."""

INFINITY: Final = Node("constant", (), "inf")
MINUS_INFINITY: Final = Node("neg", (INFINITY,))


class Part(NamedTuple):
    """An interval with its endpoints and whether they belong to it; a point has two equal ones."""

    low: Node
    high: Node
    low_in: bool
    high_in: bool


class Region(NamedTuple):
    """Intervals in order that neither meet nor touch, and the unknown that lies in them if one is named."""

    unknown: Node | None
    parts: tuple[Part, ...]


ALL: Final[tuple[Part, ...]] = (Part(MINUS_INFINITY, INFINITY, False, False),)


class NoRegionError(ValueError):
    """It is no union of real intervals, or not known to be one."""


def infinite(node: Node) -> int:
    """1 for infinity, -1 for its negative, else 0."""
    if node.head == "constant" and node.value == "inf":
        return 1
    if node.head == "neg":
        return -infinite(node.args[0])
    return 0


def order(a: Node, b: Node) -> int:
    """-1, 0 or 1; NoRegionError where it is not known."""
    if a == b:
        return 0
    found = compare_real(a, b)
    if found is None:
        raise NoRegionError
    return found


def union(parts: list[Part]) -> tuple[Part, ...]:
    """In order, with those that meet or touch made one."""
    if len(parts) < 2:
        return tuple(parts)
    if len(parts) > LIMIT:
        raise NoRegionError

    def before(a: Part, b: Part) -> int:
        return order(a.low, b.low) or (b.low_in - a.low_in)

    found: list[Part] = []
    for part in sorted(parts, key=cmp_to_key(before)):
        if found:
            last = found[-1]
            gap = order(last.high, part.low)
            if gap > 0 or (gap == 0 and (last.high_in or part.low_in)):
                side = order(last.high, part.high)
                high_in = (last.high_in or part.high_in) if side == 0 else (last if side > 0 else part).high_in
                found[-1] = Part(last.low, last.high if side >= 0 else part.high, last.low_in, high_in)
                continue
        found.append(part)
    return tuple(found)


def common(a: tuple[Part, ...], b: tuple[Part, ...]) -> tuple[Part, ...]:
    """What two regions have in common."""
    if len(a) * len(b) > 10 * LIMIT:
        raise NoRegionError
    found = []
    for x in a:
        for y in b:
            low, high = order(x.low, y.low), order(x.high, y.high)
            low_in = (x.low_in and y.low_in) if low == 0 else (x if low > 0 else y).low_in
            high_in = (x.high_in and y.high_in) if high == 0 else (x if high < 0 else y).high_in
            part = Part(x.low if low >= 0 else y.low, x.high if high <= 0 else y.high, low_in, high_in)
            side = order(part.low, part.high)
            if side < 0 or (side == 0 and low_in and high_in):
                found.append(part)
    return union(found)


def outside(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """All reals outside."""
    found: list[Part] = []
    low, low_in = MINUS_INFINITY, False
    for part in parts:
        if order(low, part.low) < 0 or (order(low, part.low) == 0 and low_in and not part.low_in):
            found.append(Part(low, part.low, low_in, not part.low_in and not infinite(part.low)))
        low, low_in = part.high, not part.high_in
    if infinite(low) < 1:
        found.append(Part(low, INFINITY, low_in, False))
    return tuple(found)
