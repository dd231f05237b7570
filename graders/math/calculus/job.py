"""What sympy's process is sent: two trees as nested lists of numbers and known words, of bounded size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from graders.math.policy import Policy
from graders.math.tree import Node, Numeral, walk

MOST_NODES = 400
MOST_DEPTH = 60
MOST_BITS = 700  # of a numerator or denominator: 210 digits
MOST_PLACES = 200
MOST_ORDER = 10  # of a derivative
ARITY: Mapping[str, tuple[int, ...]] = {
    "neg": (1,), "div": (2,), "pow": (2,), "root": (2,), "derivative": (2,),
    "sum": (4,), "product": (4,), "integral": (2, 4), "limit": (3,),
}  # fmt: skip
VALUELESS = frozenset({"add", "mul", "neg", "div", "pow", "root", "sum", "product", "integral"})
NEEDS_IT = frozenset({"sum", "product", "integral", "limit", "derivative"})


class RefusedError(ValueError):
    """A tree that is not handed to sympy, and why."""


def needs_calculus(node: Node) -> bool:
    """Whether it holds a sum, product, integral, limit or derivative."""
    return any(part.head in NEEDS_IT for part in walk(node))


def as_job(a: Node, b: Node, policy: Policy = Policy()) -> dict[str, Any]:  # noqa: B008
    """What the child is sent: both trees as nested lists, names as numbers. RefusedError says what is not sent."""
    parts = [*_parts(a), *_parts(b)]
    names = {name: at for at, name in enumerate(sorted({_name(part) for part in parts if _is_name(part)}))}
    wires = [_Wire(names).of(side, frozenset(), MOST_DEPTH) for side in (a, b)]
    wires.sort(key=json.dumps)
    halves = [_half_unit(side, policy) for side in (a, b)]
    rounded = sum(part.head == "number" and _is_rounded(part, policy) for part in parts)
    return {
        "a": wires[0],
        "b": wires[1],
        "half": _text(max(halves)),
        "rel_tol": _text(Fraction(policy.rel_tol)),
        "rounded": rounded > sum(map(bool, halves)),
    }


def _parts(node: Node) -> list[Node]:
    """All nodes; RefusedError before there are too many, which a small tree of shared parts can have."""
    found = []
    for part in walk(node):
        found.append(part)
        if len(found) > MOST_NODES:
            raise RefusedError(f"more than {MOST_NODES} parts are not handed to sympy")
    return found


def _is_name(node: Node) -> bool:
    return node.head in ("symbol", "apply") or (node.head == "constant" and node.value in ("e", "i"))


def _name(node: Node) -> str:
    return f"{node.head} {node.value}"


class _Wire:
    """Writes trees as nested lists [head, value, [arguments]]."""

    def __init__(self, names: Mapping[str, int]) -> None:
        self.names = names

    def of(self, node: Node, bound: frozenset[Any], depth: int) -> list[Any]:
        """The tree's list. `bound` are the constants that stand for a bound letter: the i in sum_{i=1}^n i."""
        if not depth:
            raise RefusedError(f"more than {MOST_DEPTH} levels are not handed to sympy")
        head, args, value = node
        if head in ARITY and len(args) not in ARITY[head]:
            raise RefusedError(f"{head} of {len(args)} is not handed to sympy")
        if head == "quantity" and getattr(value, "name", "") == "deg":
            return ["mul", None, [self.of(args[0], bound, depth - 1), *_DEGREE]]
        if head == "constant" and value in bound:
            return ["symbol", self.names[_name(node)], []]
        if head in ("sum", "product", "integral", "limit", "derivative") and args[1].head == "constant":
            inner = [self.of(part, bound | {args[1].value}, depth - 1) for part in args[:2]]
            return [head, value, inner + [self.of(part, bound, depth - 1) for part in args[2:]]]
        return [head, self.value(node), [self.of(part, bound, depth - 1) for part in args]]

    def value(self, node: Node) -> Any:
        head, _, value = node
        if head in ("symbol", "apply"):
            return self.names[_name(node)]
        if head == "number":
            if (value.places or 0) > MOST_PLACES:
                raise RefusedError("a decimal of so many places is not handed to sympy")
            return _text(value.value)
        if head == "constant" and value in ("pi", "e", "i", "inf"):
            return value
        if head == "call" and isinstance(value, str):
            return value
        if head == "limit" and value in ("+", "-", ""):
            return value
        if head == "derivative" and isinstance(value, int) and 0 < value <= MOST_ORDER:
            return value
        if head in VALUELESS:
            return None
        raise RefusedError(f"{head} {value if isinstance(value, str) else ''}".strip() + " is not handed to sympy")


def _text(number: Fraction) -> str:
    if max(number.numerator.bit_length(), number.denominator.bit_length()) > MOST_BITS:
        raise RefusedError("a number of so many digits is not handed to sympy")
    return f"{number.numerator}/{number.denominator}"


_DEGREE = [["constant", "pi", []], ["number", "1/180", []]]


def _is_rounded(node: Node, policy: Policy) -> bool:
    numeral: Numeral = node.value
    return numeral.places is not None and (numeral.digits or 0) >= policy.digits


def _half_unit(node: Node, policy: Policy) -> Fraction:
    """Half a unit in the last place of a tree that is one rounded decimal, or 1e-9 of it where it has ten digits."""
    if node.head == "neg":
        node = node.args[0]
    if node.head != "number" or not _is_rounded(node, policy):
        return Fraction(0)
    numeral: Numeral = node.value
    half = Fraction(1, 2 * 10 ** (numeral.places or 0))
    near = abs(numeral.value) / 10**9 if (numeral.digits or 0) >= 10 else half
    return max(half, near)
