"""Entries of two collections: compared in order, as sets, or in pairs that leave none over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from graders.math.tree import Node, Verdict, walk
from graders.math.values.values import exact
from graders.math.written import written

ENTRIES = 40
"""Entries of two unordered lists that are matched pair by pair, once those that are the same tree are set aside."""

DISTINCT = 16
"""Entries of a set in which equal ones are looked for that are written in different ways."""

LONGEST = 160
"""Characters of a reason that still takes a place before it."""

COLLECTIONS = frozenset(("list", "tuple", "bracket", "set", "record", "matrix"))
RESTATED = 4
"""Members of a list that may be one value said several times."""

Test: TypeAlias = Callable[[Node, Node], Verdict]


def different(why: str, step: str = "shape") -> Verdict:
    return Verdict("different", why, step)


def counts(mine: int, other: int, noun: str = "entry") -> str:
    return f"the reference has {mine} {noun if mine == 1 else _plural(noun)} and the answer {other}"


def _plural(noun: str) -> str:
    return f"{noun[:-1]}ies" if noun.endswith("entry") else f"{noun}s"


def placed(where: str, verdict: Verdict) -> Verdict:
    """The verdict with the place it speaks of, as long as its reason stays short."""
    return verdict if len(verdict.why) > LONGEST else verdict._replace(why=where + verdict.why)


def in_order(xs: Sequence[Node], ys: Sequence[Node], test: Test) -> Verdict:
    if len(xs) != len(ys):
        return different(counts(len(xs), len(ys)), "entries")
    undecided = None
    for at, (x, y) in enumerate(zip(xs, ys, strict=True), 1):
        verdict = test(x, y)
        if verdict.outcome == "different":
            return placed(f"entry {at}: ", verdict)
        undecided = undecided if verdict.equal else verdict
    twice = _read_twice(zip(xs, ys, strict=True), test) or _read_twice(zip(ys, xs, strict=True), test)
    return twice or undecided or Verdict("equal", "all entries are equal", "entries")


def _read_twice(pairs: Iterable[tuple[Node, Node]], test: Test) -> Verdict | None:
    """The same entry against two that differ: 100%, 100% is not 1, 100 though 100% is either."""
    known: dict[Node, Node] = {}
    for x, y in pairs:
        if is_exact(x):
            continue
        first = known.setdefault(x, y)
        if first != y and test(first, y).outcome == "different":
            return different(f"{written(x)} is not both {written(first)} and {written(y)}", "entries")
    return None


def covered(xs: Sequence[Node], ys: Sequence[Node], test: Test) -> Verdict:
    """Two sets: without what stands in them twice, their entries are equal in pairs."""
    first, second = _once(xs), _once(ys)
    if set(first) == set(second):
        return Verdict("equal", "the same entries", "entries")
    if len(first) == len(second) == 1:
        return test(first[0], second[0])
    if all(map(is_exact, (*first, *second))):
        only, side = _only(first, second)
        return different(f"{written(only)} is only in the {side}", "entries")
    if max(len(first), len(second)) <= DISTINCT:
        first, second = (
            _distinct(side, test) if len(side) != len(other) else side
            for side, other in ((first, second), (second, first))
        )
    verdict = matched(first, second, test, "different entry")
    if verdict.outcome != "different" or len(first) == len(second):
        return verdict
    return different(counts(len(first), len(second), "different entry"), "entries")


def _only(xs: Sequence[Node], ys: Sequence[Node]) -> tuple[Node, str]:
    for mine, other, side in ((xs, ys, "reference"), (ys, xs, "answer")):
        there = set(other)
        for entry in mine:
            if entry not in there:
                return entry, side
    raise AssertionError("the two hold the same entries")


def _once(entries: Sequence[Node]) -> list[Node]:
    """The entries without those that are the same tree, or the same rational number, as one before."""
    kept: dict[object, Node] = {}
    for entry in entries:
        value = exact(entry) if entry.head in ("number", "div", "neg") else None
        kept.setdefault(entry if value is None else value, entry)
    return list(kept.values())


def _distinct(entries: Sequence[Node], test: Test) -> list[Node]:
    """The entries without those that are proved equal to one before; decimals and percent signs leave that open."""
    kept: list[Node] = []
    for entry in entries:
        if _is_loose(entry) or not any(test(entry, other).equal for other in kept if not _is_loose(other)):
            kept.append(entry)
    return kept


def _is_loose(node: Node) -> bool:
    return any(part.head == "percent" or (part.head == "number" and part.value.digits) for part in walk(node))


def matched(xs: Sequence[Node], ys: Sequence[Node], test: Test, noun: str, most: int = ENTRIES) -> Verdict:
    """Two unordered lists: pairs of equal entries that leave none over."""
    if len(xs) != len(ys):
        return different(counts(len(xs), len(ys), noun), "entries")
    rest = list((Counter(xs) - Counter(ys)).elements()), list((Counter(ys) - Counter(xs)).elements())
    if not rest[0]:
        return Verdict("equal", "the same entries", "entries")
    if len(rest[0]) == 1:
        return test(rest[0][0], rest[1][0])
    over = next((x for x in rest[0] if is_exact(x)), None)
    if over is not None and all(map(is_exact, rest[1])) and over not in rest[1]:
        return different(f"{written(over)} is only in the reference", "entries")
    if len(rest[0]) > most:
        ordered = [_by_value(side) for side in rest]
        if ordered[0] is not None and ordered[1] is not None:
            return in_order(ordered[0], ordered[1], test)
        return Verdict("undecided", f"more than {most} {_plural(noun)} are not matched pair by pair", "work")
    return _matching(*rest, test)


def _matching(xs: list[Node], ys: list[Node], test: Test) -> Verdict:
    """A perfect matching by augmenting paths over equal pairs; with undecided ones as well where there is none."""
    table: dict[tuple[int, int], str] = {}

    def outcome(i: int, j: int) -> str:
        if (i, j) not in table:
            table[i, j] = test(xs[i], ys[j]).outcome
        return table[i, j]

    for mine, other, turned in ((xs, ys, False), (ys, xs, True)):
        for entry in (entry for entry, times in Counter(mine).items() if times > 1):
            i = mine.index(entry)
            equal = [y for j, y in enumerate(other) if (outcome(j, i) if turned else outcome(i, j)) == "equal"]
            if twice := _read_twice([(entry, y) for y in equal], test):
                return twice
    lonely = _unmatched(len(xs), lambda i, j: outcome(i, j) == "equal")
    if lonely is None:
        return Verdict("equal", "the entries are equal in pairs", "entries")
    lonely = _unmatched(len(xs), lambda i, j: outcome(i, j) != "different")
    if lonely is None:
        return Verdict("undecided", "some entries can be neither told apart nor shown equal", "entries")
    return different(f"nothing in the answer equals {written(xs[lonely])}", "entries")


def _unmatched(size: int, fits: Callable[[int, int], bool]) -> int | None:
    """The first entry that no augmenting path finds a partner for; None if all have one."""
    partner: dict[int, int] = {}

    for start in range(size):
        came: dict[int, int] = {}
        queue, end = [start], None
        while queue and end is None:
            i = queue.pop(0)
            for j in range(size):
                if j not in came and fits(i, j):
                    came[j] = i
                    if j not in partner:
                        end = j
                        break
                    queue.append(partner[j])
        if end is None:
            return start
        back = {i: j for j, i in partner.items()}
        while end is not None:
            i = came[end]
            previous = back.get(i)
            partner[end] = i
            end = previous if i != start else None
    return None


def _by_value(nodes: list[Node]) -> list[Node] | None:
    """Rational numbers in their order; None if one is no such number."""
    keys = [exact(node) for node in nodes]
    if any(key is None for key in keys):
        return None
    return [
        node for _, _, node in sorted((key, at, node) for at, (key, node) in enumerate(zip(keys, nodes, strict=True)))
    ]


def is_exact(node: Node) -> bool:
    return node.head == "number" and node.value.digits is None


def unwrapped(node: Node, against: Node) -> Node:
    """The one entry of a collection; else the node itself. Against a set, a set is no entry; nor is it in one."""
    if node.head not in COLLECTIONS or node.head == "record" or len(node.args) != 1:
        return node
    only = node.args[0]
    if node.head == "set" and (against.head == "set" or only.head in ("set", "domain")):
        return node
    if node.head != "matrix":
        return only
    return only.args[0] if len(only.args) == 1 else node


def continues(node: Node) -> bool:
    """Whether it goes on as its entries do: 1, 3, 5, ..."""
    return any(entry.head == "symbol" and entry.value == "..." for entry in node.args)


def is_restated(node: Node) -> bool:
    """Whether it may be one value said several times: by "or", or by a comma between different ways to write it."""
    if node.head != "list" or not 1 < len(node.args) <= RESTATED:
        return False
    return node.value == "or" or len(set(node.args)) == len(node.args)
