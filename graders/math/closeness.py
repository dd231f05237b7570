"""Closeness: how near an answer that is not equal comes, from 0 to 1. Apart from equality, which it never decides."""

from __future__ import annotations

import math

from graders.math.policy import Policy
from graders.math.reading.units import Unit, compatible
from graders.math.shapes.shapes import same
from graders.math.tree import Node, walk
from graders.math.values.arithmetic import Budget
from graders.math.values.balls import Unevaluable, at
from graders.math.values.evaluate import Evaluator
from graders.math.values.values import exact, is_constant

ENTRIES = 50  # of a list: longer ones earn nothing
BITS = 128
WORK = 10_000  # microseconds, roughly, for one value

_ORDERED = frozenset(("tuple", "bracket", "matrix", "row", "ratio"))
_WRAPPERS = frozenset(("quantity", "labelled", "percent"))
_LISTS = _ORDERED | {"list", "set", "record"}


def closeness(gold: Node, answer: Node, policy: Policy) -> tuple[float, str]:
    """The share that an answer earns, and the clause that says for what; 0 and "" where it earns nothing.

    Two real numbers a and b: 1 - |a - b| / max(|a|, |b|), so 0 where one is zero or their signs differ. Lists, sets,
    tuples and matrices: twice the entries that are right over the entries of both (Dice 1945), in place where order
    counts. Nothing where the numbers are the same, as then it is not the number that is wrong, nor where the two have
    units of different dimensions.
    """
    if gold.head in _LISTS and answer.head in _LISTS:
        return _entries(gold, answer, policy)
    one, other = approximate(gold), approximate(answer)
    if one is None or other is None or one * other <= 0 or one == other or not _comparable(gold, answer):
        return 0.0, ""
    gap = abs(one - other) / max(abs(one), abs(other))
    return 1 - gap, f"it is off by {gap:.3g} of the larger"


def _comparable(gold: Node, answer: Node) -> bool:
    mine, other = _unit(gold), _unit(answer)
    return mine is None or other is None or compatible(mine, other)


def _unit(node: Node) -> Unit | None:
    return next((part.value for part in walk(node) if part.head == "quantity"), None)


def _entries(gold: Node, answer: Node, policy: Policy) -> tuple[float, str]:
    right, given = list(_flat(gold)), list(_flat(answer))
    if not right or not given or len(right) > ENTRIES or len(given) > ENTRIES:
        return 0.0, ""
    if gold.head in _ORDERED or answer.head in _ORDERED:
        found = sum(same(one, other, policy).equal for one, other in zip(right, given, strict=False))
    else:
        left = list(right)
        for entry in given:
            match = next((one for one in left if same(one, entry, policy).equal), None)
            if match is not None:
                left.remove(match)
        found = len(right) - len(left)
    share = 2 * found / (len(right) + len(given))
    return share, f"{found} of {len(right)} entries are right, of {len(given)} given" if found else ""


def _flat(node: Node) -> tuple[Node, ...]:
    if node.head == "matrix":
        return tuple(entry for row in node.args for entry in row.args)
    return node.args


def approximate(node: Node) -> float | None:
    """About the value of a real constant, to six digits where it is irrational; None where it is none or unknown.

    Of a chain of equations the last member counts; units, labels and percent signs are left out.
    """
    while node.head in _WRAPPERS or (node.head == "relation" and set(node.value) == {"="}):
        node = node.args[-1]
    if not is_constant(node):
        return None
    value = exact(node)
    try:
        found = float(value) if value is not None else _enclosed(node)
    except (Unevaluable, ValueError, OverflowError, RecursionError):
        return None
    return found if math.isfinite(found) else None


def _enclosed(node: Node) -> float:
    with at(BITS) as balls:
        ball = Evaluator(balls, {}, Budget(WORK)).value(node)
        return float(balls.text(ball)) if balls.is_real(ball) else math.nan
