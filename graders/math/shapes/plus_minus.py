"""Plus-minus: the values that a tree with ± and ∓ stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from graders.math.tree import Node, walk

SIGNS = 4
"""Plus-minus signs inside one another stand for all choices of signs up to this many."""

PLUS_MINUS = frozenset(("pm", "mp"))


def variants(node: Node, free: bool = True) -> Iterator[Node]:
    """The values that plus-minus signs stand for. All signs go together; inside one another each is `free`."""
    count, nested = _signs(node)
    if not count:
        yield node
    elif free and nested and count <= SIGNS:
        for choice in range(2**count):
            bits = iter([bool(choice >> place & 1) for place in range(count)])
            yield _chosen(node, lambda bits=bits: next(bits))  # type: ignore[misc]
    else:
        yield _chosen(node, lambda: False)
        yield _chosen(node, lambda: True)


def _signs(node: Node) -> tuple[int, bool]:
    """How many plus-minus signs it has, and whether one stands inside another (and no ∓ ties them)."""
    found = [part for part in walk(node) if part.head in PLUS_MINUS]
    if len(found) < 2:
        return len(found), False
    tied = any(part.head == "mp" for part in found)
    return len(found), not tied and any(
        inner.head == "pm" for part in found for arg in part.args for inner in walk(arg)
    )


def _chosen(node: Node, minus: Callable[[], bool]) -> Node:
    head = node.head
    if not node.args:
        return node
    negative = minus() != (head == "mp") if head in PLUS_MINUS else False
    args = tuple([_chosen(arg, minus) for arg in node.args])
    if head not in PLUS_MINUS:
        return Node(head, args, node.value)
    last = Node("neg", args[-1:]) if negative else args[-1]
    return last if len(args) == 1 else Node("add", (args[0], last))
