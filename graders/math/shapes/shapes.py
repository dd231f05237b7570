"""Shapes: whether two trees of any shape mean the same, such as lists, tuples, sets, intervals, relations, matrices.

The policy of docs/graders/math.md, in one place; expressions go on to `values`. Symmetric, deterministic, in bounded
work: what takes more comparisons than `VALUES` is undecided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product

from graders.math.policy import Policy
from graders.math.shapes import grids, labels, matrices, quantities, regions, systems, words
from graders.math.shapes.clauses import same_choice, same_given
from graders.math.shapes.entries import (
    COLLECTIONS,
    Test,
    continues,
    covered,
    different,
    in_order,
    is_restated,
    matched,
    unwrapped,
)
from graders.math.shapes.normal import EXPRESSIONS, WRAPPERS, Normaliser, bare
from graders.math.shapes.ratios import same_ratio, same_residue
from graders.math.shapes.relations import (
    agreement,
    equation,
    free_to_rename,
    pairs,
    renamed,
    same_pair,
)
from graders.math.shapes.unit_vectors import components
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

_PLAIN = EXPRESSIONS - WRAPPERS
_NO_ELEMENT = different("a set and its element differ")
_SAME = Verdict("equal", "the same tree", "tree")


def same(gold: Node, answer: Node, policy: Policy = Policy()) -> Verdict:  # noqa: B008
    """Whether two trees mean the same by the policy.

    `why` is a clause about the two: "6 is not 5" where the answer is 6, "the reference has 3 entries and the answer 2".
    Raises what `values.same_value` raises where no library for enclosures is installed.
    """
    if gold == answer and (policy.text or gold.head != "text"):
        return _SAME
    plain, runs = _scan(gold)
    other_plain, others = _scan(answer)
    if runs and others and (apart := words.clashing(runs, others)):
        gold, answer = words.as_words(gold, apart), words.as_words(answer, apart)
    try:
        if plain and other_plain:
            return same_value(gold, answer, policy)
        return _Comparison(policy).whole(gold, answer)
    except RecursionError:
        return Verdict("undecided", "it is nested too deeply to be compared", "work")


def _scan(node: Node) -> tuple[bool, list[str]]:
    """Whether it is an expression throughout, and its runs of three or more capitals."""
    plain, runs, stack = True, list[str](), [node]
    while stack:
        node = stack.pop()
        if node.head not in _PLAIN:
            plain = False
        elif node.value is not None and node.head == "mul" and len(node.value) > 2 and node.value.isupper():
            runs.append(node.value)
        stack.extend(node.args)
    return plain, runs


class _Comparison:
    """One comparison of two trees: its policy, and the work it has done."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.calls = 0
        self.work = 0
        self.normal = Normaliser(self._true)

    def whole(self, gold: Node, answer: Node) -> Verdict:
        a, b = self.normal.of(gold), self.normal.of(answer)
        return self.forms(systems.worth(a, b), systems.worth(b, a))

    def _true(self, a: Node, b: Node, tolerance: float) -> Verdict:
        """Whether two members of a chain agree; there a decimal may be rounded to any length."""
        near = max(tolerance, self.policy.rel_tol)
        lenient = _Comparison(replace(self.policy, digits=1, units="optional", percent="either", rel_tol=near))
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
        if "given" in (a.head, b.head):
            return same_given(a, b, self._test(depth), self.normal.of)
        if "choice" in (a.head, b.head):
            return same_choice(a, b, self._test(depth))
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
        if a.head in COLLECTIONS or b.head in COLLECTIONS:
            return self._collections(a, b, depth)
        if "ratio" in (a.head, b.head):
            return same_ratio(a, b, self._test(depth))
        if "congruent" in (a.head, b.head):
            return same_residue(a, b, self._test(depth))
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
                given = systems.expanded(mine)
                if given is mine:
                    return different(f"{kind(b)} is not {kind(a)}")
                return systems.same_records(*((given, b) if mine is a else (a, given)), self._test(depth))
            body = mine.args[1]
            if other.head == "list" and body.head == "list" and any(arg.head == "named" for arg in other.args):
                body = Node("list", tuple([Node("named", (mine.args[0], arg)) for arg in body.args]), body.value)
            return self.forms(body, b, depth + 1) if mine is a else self.forms(a, body, depth + 1)
        if {a.args[1].head, b.args[1].head} == {"tuple", "interval"}:
            return different("a point is no interval", "shape")
        found = None
        for name, second in product((a.args[0], *(a.value or ())), (b.args[0], *(b.value or ()))):
            renaming = agreement(name, second)
            if renaming is not None and free_to_rename(renaming, a.args[1], b.args[1]):
                found = self.forms(a.args[1], renamed(b.args[1], renaming), depth + 1)
                if found.equal:
                    return found
        if found is not None:
            return found
        if a.args[1].head in EXPRESSIONS and b.args[1].head in EXPRESSIONS:
            found = self._systems([equation(*a.args)], [equation(*b.args)], depth)
            if found.equal:
                return found
        return different(f"{written(b.args[0])} is not {written(a.args[0])}", "name")

    def _test(self, depth: int) -> Test:
        return partial(self.forms, depth=depth + 1)

    # Relations.

    def _relations(self, a: Node, b: Node, depth: int) -> Verdict:
        mine, other = systems.as_relations(a), systems.as_relations(b)
        if mine is not None and other is not None:
            return self._systems(mine, other, depth)
        if a.head == b.head == "list" or a.head in COLLECTIONS or b.head in COLLECTIONS:
            return self._collections(a, b, depth)
        return different(f"{kind(b)} is not {kind(a)}")

    def _systems(self, mine: Sequence[Node], other: Sequence[Node], depth: int) -> Verdict:
        test = self._test(depth)
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
        return grids.same_parts(a, b, mine, other, self.value)

    def _unwrapped(self, node: Node) -> Node:
        return node if WRAPPERS.isdisjoint(self.normal.heads(node)) else bare(node)

    # Words.

    def _text(self, a: Node, b: Node) -> Verdict:
        if not self.policy.text:
            return different("answers in words are not compared", "text")
        first, second = (node.value if node.head == "text" else words.spelled(node) for node in (a, b))
        if first is None or second is None:
            return different(f"{kind(b)} is not {kind(a)}", "text")
        if words.agree(first, second):
            return Verdict("equal", "the same words", "text")
        return different(f'"{words.plain(second)[:40]}" is not "{words.plain(first)[:40]}"', "text")

    # Collections.

    def _collections(self, a: Node, b: Node, depth: int) -> Verdict:
        for mine, other in ((a, b), (b, a)):
            if mine.head in COLLECTIONS and other.head not in COLLECTIONS:
                return self._one(a, b, depth)
        first, second = unwrapped(a, b), unwrapped(b, a)
        if (first is a) != (second is b) and first.head in COLLECTIONS and second.head in COLLECTIONS:
            return self.forms(first, second, depth + 1)
        if not systems.joined_alike(a, b):
            return different('alternatives, joined by "or", are not relations that hold together', "relation")
        if "matrix" in (a.head, b.head):
            found = grids.same_matrices(a, b, self._test(depth), self.policy.shape == "loose")
            if found is not None:
                return found
            a, b = (
                Node("tuple", matrices.vector(node) or node.args) if node.head == "matrix" else node for node in (a, b)
            )
        heads = {a.head, b.head}
        if self.policy.shape != "loose":
            if systems.is_other_shape(a, b):
                return different(f"{kind(b)} is not {kind(a)}", "shape")
            if "set" in heads and (heads & {"tuple", "bracket"}) and not self._both_lists(a, b):
                return different(f"{kind(b)} is not {kind(a)}", "shape")
            if heads == {"tuple", "bracket"} and self._is_interval(a) and self._is_interval(b):
                return different(f"{written(b)} and {written(a)} differ in whether the ends belong to them", "shape")
        test = self._test(depth)
        if a.head == b.head == "record":
            return systems.same_records(a, b, test)
        if continues(a) or continues(b):
            return in_order(a.args, b.args, test)
        if "set" in heads:
            return covered(
                a.args, b.args, lambda x, y: _NO_ELEMENT if (x.head == "set") != (y.head == "set") else test(x, y)
            )
        if self._ordered(a, b):
            return in_order(a.args, b.args, test)
        if pairs_by_label := labels.by_label(a.args, b.args):
            return in_order(*pairs_by_label, test)
        return matched(a.args, b.args, test, "entry")

    def _both_lists(self, a: Node, b: Node) -> bool:
        """A set against brackets that can be no interval: both are lists."""
        mine = next((node for node in (a, b) if node.head != "set"), a)
        return mine.head == "bracket" and not self._is_interval(mine)

    def _is_interval(self, node: Node) -> bool:
        return len(node.args) == 2 and compare_real(self._unwrapped(node.args[0]), self._unwrapped(node.args[1])) == -1

    def _ordered(self, a: Node, b: Node) -> bool:
        if self.policy.order != "written":
            return self.policy.order == "strict"
        for mine, other in ((a, b), (b, a)):
            if mine.head in ("tuple", "bracket"):
                return True
            if mine.head == "record":
                return other.head != "list" or systems.family_of(mine) is None
        return False

    def _one(self, a: Node, b: Node, depth: int) -> Verdict:
        """A collection against something else: of one entry it is that entry."""
        for vector, term in ((a, b), (b, a)):
            if vector.head in ("tuple", "bracket", "matrix"):
                size = len(matrices.vector(vector) or vector.args)
                entries = components(term, size)
                if entries is not None:
                    first, second = (Node("tuple", entries) if node is term else node for node in (a, b))
                    return self.forms(first, second, depth + 1)
        mine, other = unwrapped(a, b), unwrapped(b, a)
        if mine is not a or other is not b:
            return self.forms(mine, other, depth + 1)
        for several, one in ((a, b), (b, a)):
            if is_restated(several) and self._says_once(several.args, one, depth):
                return Verdict("equal", "the same value in several ways", "entries")
        if any(node.head in EXPRESSIONS and not self.normal.heads(node) <= EXPRESSIONS for node in (a, b)):
            return Verdict("undecided", "its arithmetic is not carried out", "shape")
        return different(f"{kind(b)} is not {kind(a)}", "shape")

    def _says_once(self, entries: Sequence[Node], value: Node, depth: int) -> bool:
        """Whether all entries are one value, and it is this one."""
        test = self._test(depth)
        return all(test(entry, value).equal for entry in entries) and all(
            test(x, y).equal for at, x in enumerate(entries) for y in entries[:at]
        )

    # What is left.

    def _parts(self, a: Node, b: Node, depth: int) -> Verdict:
        """Two trees of the same make, part by part; two of different make differ."""
        if a.head != b.head or a.value != b.value or not a.args or not b.args:
            return different(f"{kind(b)} is not {kind(a)}", "shape")
        test = self._test(depth)
        if a.head in ("union", "intersection", "piecewise"):
            return matched(a.args, b.args, test, "part")
        return in_order(a.args, b.args, lambda x, y: test(self.normal.of(x), self.normal.of(y)))
