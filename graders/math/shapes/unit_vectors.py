"""Vectors written as sums of multiples of the unit vectors i, j and k."""

from __future__ import annotations

from typing import Final

from graders.math.tree import Node, number, walk

_UNIT_VECTORS: Final = ("i", "j", "k")


def components(node: Node, size: int) -> tuple[Node, ...] | None:
    """The entries of a i + b j + c k, a sum of multiples of the unit vectors, for a plane or space vector of that size.

    None where it is no such sum, or holds neither j nor k: 3 i is a complex number.
    """
    if size not in (2, 3):
        return None
    found: list[list[Node]] = [[] for _ in range(size)]
    for term in node.args if node.head == "add" else (node,):
        split = _along(term)
        if split is None or split[0] >= size:
            return None
        found[split[0]].append(split[1])
    if not any(found[1:]):
        return None
    zero = number(0)
    return tuple([Node("add", tuple(parts)) if len(parts) > 1 else parts[0] if parts else zero for parts in found])


def _along(term: Node) -> tuple[int, Node] | None:
    """The unit vector that a term is a multiple of, 0 for i, and how long it is."""
    head, args, value = term
    if value in _UNIT_VECTORS and head in ("symbol", "constant"):
        return _UNIT_VECTORS.index(value), number(1)
    if head not in ("neg", "mul", "div"):
        return None
    moving = [arg for arg in args if any(part.value in _UNIT_VECTORS for part in walk(arg) if not part.args)]
    if len(moving) != 1 or (head == "div" and moving[0] is args[1]):
        return None
    split = _along(moving[0])
    if split is None:
        return None
    return split[0], Node(head, tuple([split[1] if arg is moving[0] else arg for arg in args]))
