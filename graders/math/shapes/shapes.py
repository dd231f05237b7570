"""Shapes: whether two trees of any shape mean the same, such as lists, tuples, sets, intervals, relations, matrices.

The policy of docs/graders/math.md, in one place; expressions go on to `values`. Symmetric, deterministic, in bounded
work: what takes more comparisons than `VALUES` is undecided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from graders.math.policy import Policy
from graders.math.shapes import intervals, matrices, quantities, regions, words
from graders.math.shapes.entries import counts, covered, different, in_order, matched, placed
from graders.math.shapes.normal import EXPRESSIONS, WRAPPERS, Normaliser, bare
from graders.math.shapes.ratios import same_ratio, same_residue
from graders.math.shapes.relations import (
    agreement,
    equation,
    family,
    free_to_rename,
    pairs,
    renamed,
    same_pair,
)
from graders.math.tree import Node, Verdict
from graders.math.values.values import compare_real, same_value
from graders.math.written import kind, written

VALUES = 2_500
"""Comparisons of two expressions that one verdict may take."""
PARTS = 20_000
"""Comparisons of two parts of any shape that one verdict may take."""
RELATIONS = 16
"""Relations of two systems that are matched pair by pair, once those that are the same tree are set aside."""
DEEPEST = 60

_COLLECTIONS = frozenset(("list", "tuple", "bracket", "set", "record", "matrix"))
_PLAIN = EXPRESSIONS - WRAPPERS
_SAME = Verdict("equal", "the same tree", "tree")


def same(gold: Node, answer: Node, policy: Policy = Policy()) -> Verdict:  # noqa: B008
    """Whether two trees mean the same by the policy.

    `why` is a clause about the two: "6 is not 5" where the answer is 6, "the reference has 3 entries and the answer 2".
    Raises what `values.same_value` raises where no library for enclosures is installed.
    """
    if gold == answer and (policy.text or gold.head != "text"):
        return _SAME
    if _plain(gold) and _plain(answer):
        return same_value(gold, answer, policy)
    return _Comparison(policy).whole(gold, answer)


def _plain(node: Node) -> bool:
    """Whether it is an expression throughout."""
    stack = [node]
    while stack:
        node = stack.pop()
        if node.head not in _PLAIN:
            return False
        stack.extend(node.args)
    return True


class _Comparison:
    """One comparison of two trees: its policy, and the work it has done."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.calls = 0
        self.work = 0
        self.normal = Normaliser(self._true)

    def whole(self, gold: Node, answer: Node) -> Verdict:
        return self.forms(self.normal.of(gold), self.normal.of(answer))

    def _true(self, a: Node, b: Node) -> Verdict:
        """Whether two members of a chain agree; there a decimal may be rounded to any length."""
        lenient = _Comparison(replace(self.policy, digits=1, units="optional", percent="either"))
        lenient.calls, lenient.work = self.calls, self.work
        verdict = lenient.forms(a, b)
        self.calls, self.work = lenient.calls, lenient.work
        return verdict

    # Any two normal forms.

    def forms(self, a: Node, b: Node, depth: int = 0) -> Verdict:
        self.work += 1
        if depth > DEEPEST or self.work > PARTS:
            why = "it is nested too deeply" if depth > DEEPEST else f"it takes more than {PARTS} comparisons of parts"
            return Verdict("undecided", why, "work")
        if a == b and a.head != "false" and (self.policy.text or a.head != "text"):
            return _SAME
        if "readings" in (a.head, b.head):
            return self._readings(a, b, depth)
        if "false" in (a.head, b.head):
            return different(f"the answer {b.value}" if b.head == "false" else f"the reference {a.value}", "chain")
        if a.head in EXPRESSIONS and b.head in EXPRESSIONS:
            return self._values(a, b, depth)
        if regions.is_region(a) or regions.is_region(b):
            found = self._regions(a, b)
            if found is not None:
                return found
        if "named" in (a.head, b.head):
            return self._named(a, b, depth)
        if "relation" in (a.head, b.head):
            return self._relations(a, b, depth)
        if "text" in (a.head, b.head):
            return self._text(a, b)
        if a.head in _COLLECTIONS or b.head in _COLLECTIONS:
            return self._collections(a, b, depth)
        if "ratio" in (a.head, b.head):
            return same_ratio(a, b, partial(self.forms, depth=depth + 1))
        if "congruent" in (a.head, b.head):
            return same_residue(a, b, partial(self.forms, depth=depth + 1))
        return self._parts(a, b, depth)

    def _readings(self, a: Node, b: Node, depth: int) -> Verdict:
        verdicts: list[Verdict] = []
        for mine in a.args if a.head == "readings" else (a,):
            for other in b.args if b.head == "readings" else (b,):
                verdicts.append(self.forms(mine, other, depth + 1))
                if verdicts[-1].equal:
                    return verdicts[-1]
        return next((verdict for verdict in verdicts if verdict.outcome == "undecided"), verdicts[-1])

    # Expressions.

    def value(self, a: Node, b: Node) -> Verdict:
        """Whether two expressions have the same value, while the work allows it."""
        self.calls += 1
        if self.calls > VALUES:
            return Verdict("undecided", f"it takes more than {VALUES} comparisons", "work")
        return same_value(a, b, self.policy)

    def _values(self, a: Node, b: Node, depth: int) -> Verdict:
        heads = self.normal.heads(a) | self.normal.heads(b)
        if not heads <= EXPRESSIONS:
            found = self._parts(a, b, depth)
            return found if found.equal else Verdict("undecided", "its arithmetic is not carried out", "shape")
        if heads <= _PLAIN:
            return self.value(a, b)
        return quantities.same_quantity(a, b, self.policy, self.value)

    # Names.

    def _named(self, a: Node, b: Node, depth: int) -> Verdict:
        if a.head != b.head:
            mine, other = (a, b) if a.head == "named" else (b, a)
            if other.head == "relation":
                return self._relations(a, b, depth)
            if other.head == "record" and len(other.args) > 1:
                return different(f"{kind(b)} is not {kind(a)}")
            body = mine.args[1]
            return self.forms(body, b, depth + 1) if mine is a else self.forms(a, body, depth + 1)
        renaming = agreement(a.args[0], b.args[0])
        if renaming is not None and free_to_rename(renaming, a.args[1], b.args[1]):
            return self.forms(a.args[1], renamed(b.args[1], renaming), depth + 1)
        if a.args[1].head in EXPRESSIONS and b.args[1].head in EXPRESSIONS:
            found = self._systems([equation(*a.args)], [equation(*b.args)], depth)
            if found.equal:
                return found
        return different(f"{written(b.args[0])} is not {written(a.args[0])}", "name")

    # Relations.

    def _relations(self, a: Node, b: Node, depth: int) -> Verdict:
        mine, other = _as_relations(a), _as_relations(b)
        if mine is None or other is None:
            return different(f"{kind(b)} is not {kind(a)}")
        return self._systems(mine, other, depth)

    def _systems(self, mine: Sequence[Node], other: Sequence[Node], depth: int) -> Verdict:
        test = partial(self.forms, depth=depth + 1)
        all_pairs = [[pair for node in nodes for pair in pairs(node)] for nodes in (mine, other)]

        def same_relation(x: Node, y: Node) -> Verdict:
            self.calls += 1
            (first,), (second,) = pairs(x), pairs(y)
            return same_pair(first, second, self.policy, test, self._is_value)

        nodes = [[Node("relation", (p.left, p.right), (p.sign,)) for p in found] for found in all_pairs]
        return matched(nodes[0], nodes[1], same_relation, "relation", RELATIONS)

    def _is_value(self, node: Node) -> bool:
        return self.normal.heads(node) <= _PLAIN

    def _regions(self, a: Node, b: Node) -> Verdict | None:
        mine, other = (regions.region(self._unwrapped(node)) for node in (a, b))
        if mine is None or other is None:
            return None
        if mine.unknown and other.unknown and agreement(mine.unknown, other.unknown) is None:
            return different(f"{written(other.unknown)} is not {written(mine.unknown)}", "name")
        step = "intervals"
        if len(mine.parts) != len(other.parts):
            return different(f"{kind(a)} and {kind(b)} are different sets of real numbers", step)
        for x, y in zip(mine.parts, other.parts, strict=True):
            for side, one, two in (("low", x.low, y.low), ("high", x.high, y.high)):
                verdict = self._end(one, two)
                if not verdict.equal:
                    why = f"the {side} end {written(two)} is not {written(one)}"
                    return verdict if verdict.outcome == "undecided" else different(why, step)
            for end, first, second in ((x.low, x.low_in, y.low_in), (x.high, x.high_in, y.high_in)):
                if first != second:
                    return different(f"{written(end)} belongs to only one of them", step)
        return Verdict("equal", "the same set of real numbers", step)

    def _end(self, a: Node, b: Node) -> Verdict:
        if intervals.infinite(a) or intervals.infinite(b):
            return _SAME if intervals.infinite(a) == intervals.infinite(b) else different("not the same infinity")
        return _SAME if a == b else self.value(a, b)

    def _unwrapped(self, node: Node) -> Node:
        return node if WRAPPERS.isdisjoint(self.normal.heads(node)) else bare(node)

    # Words.

    def _text(self, a: Node, b: Node) -> Verdict:
        if not self.policy.text:
            return different("answers in words are not compared", "text")
        said = [words.plain(node.value) if node.head == "text" else words.spelled(node) for node in (a, b)]
        if None in said:
            return different(f"{kind(b)} is not {kind(a)}", "text")
        first, second = (words.plain(text or "") for text in said)
        if first == second:
            return Verdict("equal", "the same words", "text")
        return different(f'"{second[:40]}" is not "{first[:40]}"', "text")

    # Collections.

    def _collections(self, a: Node, b: Node, depth: int) -> Verdict:
        for mine, other in ((a, b), (b, a)):
            if mine.head in _COLLECTIONS and other.head not in _COLLECTIONS:
                return self._one(a, b, depth)
        first, second = _only(a), _only(b)
        if (first is a) != (second is b) and first.head in _COLLECTIONS and second.head in _COLLECTIONS:
            return self.forms(first, second, depth + 1)
        if "matrix" in (a.head, b.head):
            found = self._matrices(a, b, depth)
            if found is not None:
                return found
            a, b = (
                Node("tuple", matrices.vector(node) or node.args) if node.head == "matrix" else node for node in (a, b)
            )
        heads = {a.head, b.head}
        if self.policy.shape != "loose":
            if "set" in heads and (heads & {"tuple", "bracket"}) and not self._both_lists(a, b):
                return different(f"{kind(b)} is not {kind(a)}", "shape")
            if heads == {"tuple", "bracket"} and self._is_interval(a) and self._is_interval(b):
                return different(f"{written(b)} and {written(a)} differ in whether the ends belong to them", "shape")
        if a.head == b.head == "record":
            return self._records(a, b, depth)
        test = partial(self.forms, depth=depth + 1)
        if "set" in heads:
            return covered(a.args, b.args, test)
        if self._ordered(a, b):
            return in_order(a.args, b.args, test)
        return matched(a.args, b.args, test, "entry")

    def _both_lists(self, a: Node, b: Node) -> bool:
        """A set against brackets that can be no interval: both are lists."""
        mine = next((node for node in (a, b) if node.head != "set"), a)
        return mine.head == "bracket" and not self._is_interval(mine)

    def _is_interval(self, node: Node) -> bool:
        return len(node.args) == 2 and compare_real(*map(self._unwrapped, node.args)) == -1

    def _ordered(self, a: Node, b: Node) -> bool:
        if self.policy.order != "written":
            return self.policy.order == "strict"
        for mine, other in ((a, b), (b, a)):
            if mine.head in ("tuple", "bracket"):
                return True
            if mine.head == "record":
                families = {family(name) for name in mine.value}
                return other.head != "list" or len(families) > 1 or None in families
        return False

    def _one(self, a: Node, b: Node, depth: int) -> Verdict:
        """A collection against something else: of one entry it is that entry."""
        mine, other = _only(a), _only(b)
        if mine is not a or other is not b:
            return self.forms(mine, other, depth + 1)
        if any(node.head in EXPRESSIONS and not self.normal.heads(node) <= EXPRESSIONS for node in (a, b)):
            return Verdict("undecided", "its arithmetic is not carried out", "shape")
        return different(f"{kind(b)} is not {kind(a)}", "shape")

    def _records(self, a: Node, b: Node, depth: int) -> Verdict:
        if len(a.args) != len(b.args):
            return different(counts(len(a.args), len(b.args), "value"), "name")
        waiting = dict(zip(b.value, b.args, strict=True))
        for name, body in zip(a.value, a.args, strict=True):
            found = (
                name if name in waiting else next((key for key in waiting if agreement(name, key) is not None), None)
            )
            if found is None:
                return different(f"only the reference says what {written(name)} is", "name")
            verdict = self.forms(Node("named", (name, body)), Node("named", (found, waiting.pop(found))), depth + 1)
            if not verdict.equal:
                return placed(f"{written(name)}: ", verdict)
        return Verdict("equal", "the same values for the same names", "name")

    def _matrices(self, a: Node, b: Node, depth: int) -> Verdict | None:
        """Two matrices; None where one is a vector against entries in brackets or none."""
        mine, other = matrices.as_matrix(a), matrices.as_matrix(b)
        if mine is None or other is None:
            known = next(node for node in (a, b) if node.head == "matrix")
            bad = "set" in (a.head, b.head) and self.policy.shape != "loose"
            if bad or matrices.vector(known) is None:
                return different(f"{kind(b)} is not {kind(a)}", "shape")
            return None
        rows, others = matrices.rows_of(mine), matrices.rows_of(other)
        if rows is None or others is None or (len(rows), len(rows[0])) != (len(others), len(others[0])):
            return different(f"{kind(other)} is not {kind(mine)}", "shape")
        undecided = None
        for r, (row, second) in enumerate(zip(rows, others, strict=True), 1):
            verdict = in_order(row, second, partial(self.forms, depth=depth + 1))
            if verdict.outcome == "different":
                return placed(f"row {r}, ", verdict)
            undecided = undecided if verdict.equal else verdict
        return undecided or Verdict("equal", "all entries are equal", "entries")

    # What is left.

    def _parts(self, a: Node, b: Node, depth: int) -> Verdict:
        """Two trees of the same make, part by part; two of different make differ."""
        if a.head != b.head or a.value != b.value or not a.args or not b.args:
            return different(f"{kind(b)} is not {kind(a)}", "shape")
        test = partial(self.forms, depth=depth + 1)
        if a.head in ("union", "intersection", "piecewise"):
            return matched(a.args, b.args, test, "part")
        return in_order(a.args, b.args, lambda x, y: test(self.normal.of(x), self.normal.of(y)))


def _only(node: Node) -> Node:
    """The one entry of a collection; else the node itself."""
    if node.head not in _COLLECTIONS or node.head == "record" or len(node.args) != 1:
        return node
    only = node.args[0]
    if node.head != "matrix":
        return only
    return only.args[0] if len(only.args) == 1 else node


def _as_relations(node: Node) -> list[Node] | None:
    if node.head == "relation":
        return [node]
    if node.head == "named":
        return [equation(*node.args)]
    if node.head == "list" and all(arg.head == "relation" for arg in node.args):
        return list(node.args)
    if node.head == "record":
        return [equation(*given) for given in zip(node.value, node.args, strict=True)]
    return None
