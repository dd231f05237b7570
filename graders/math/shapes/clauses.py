"""Clauses about an answer: the letter of a choice, `(C) 12`, and a condition behind it, `2k for all k`."""

from __future__ import annotations

from collections.abc import Callable

from graders.math.shapes import words
from graders.math.shapes.entries import Test, different
from graders.math.tree import Node, Verdict, symbols
from graders.math.written import written


def same_choice(a: Node, b: Node, test: Test) -> Verdict:
    """A choice against its letter, against what it says, or against another choice. `test` compares what they say."""
    if a.head == b.head:
        if a.value != b.value:
            return different(f"choice {b.value} is not choice {a.value}", "choice")
        return test(a.args[0], b.args[0]) if a.args and b.args else Verdict("equal", "the same choice", "choice")
    mine, other = (a, b) if a.head == "choice" else (b, a)
    if other.head == "symbol" and other.value == mine.value:
        return Verdict("equal", "the same choice", "choice")
    if not mine.args:
        return different(f"{written(b)} is not {written(a)}", "choice")
    return test(mine.args[0], b) if mine is a else test(a, mine.args[0])


def same_given(a: Node, b: Node, test: Test, normal: Callable[[Node], Node]) -> Verdict:
    """Two answers of which one or both have a condition; where only one has, it is ignored.

    Conditions in words count only where they say opposite things. A body and its condition are also what the list of
    the two is; `normal` is the normal form of it.
    """
    if a.head != b.head:
        body = test(*(node.args[0] if node.head == "given" else node for node in (a, b)))
        if body.equal:
            return body
        listed = test(_listed(a, normal), _listed(b, normal))
        return listed if listed.equal else body
    mine, other = a.args[1], b.args[1]
    if "text" in (mine.head, other.head):
        if mine.head == other.head and words.opposite(mine.value, other.value):
            return different(f'"{other.value[:40]}" is not "{mine.value[:40]}"', "condition")
        return test(a.args[0], b.args[0])
    listed = test(_listed(a, normal), _listed(b, normal))
    if listed.equal:
        return listed
    body = test(a.args[0], b.args[0])
    if not body.equal or _is_renamed(a, b) or test(mine, other).equal:
        return body
    return different(f"{written(other)} is not {written(mine)}", "condition")


def _listed(node: Node, normal: Callable[[Node], Node]) -> Node:
    if node.head != "given" or node.args[1].head == "text":
        return node.args[0] if node.head == "given" else node
    return normal(Node("list", node.args, ","))


def _is_renamed(a: Node, b: Node) -> bool:
    """Whether both conditions are that a letter of their own is in the same set, as in f(n) = n and f(k) = k."""
    (body, mine), (second, other) = a.args, b.args
    if not mine.head == other.head == "named" or mine.args[1] != other.args[1]:
        return False
    letters = [name.value for name in (mine.args[0], other.args[0]) if name.head == "symbol"]
    if len(letters) != 2:
        return False
    return letters[0] in symbols(body) - symbols(second) and letters[1] in symbols(second) - symbols(body)
