"""Entries of two collections: compared in order, as sets, or in pairs that leave none over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from graders.math.tree import Node, Verdict
from graders.math.values.values import exact
from graders.math.written import written

ENTRIES = 40
"""Entries of two unordered lists that are matched pair by pair, once those that are the same tree are set aside."""

LONGEST = 160
"""Characters of a reason that still takes a place before it."""

Test: TypeAlias = Callable[[Node, Node], Verdict]


def different(why: str, step: str = "shape") -> Verdict:
    return Verdict("different", why, step)


def counts(mine: int, other: int, noun: str = "entry") -> str:
    return f"the reference has {mine} {noun if mine == 1 else _plural(noun)} and the answer {other}"


def _plural(noun: str) -> str:
    return {"entry": "entries"}.get(noun, f"{noun}s")


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
    return undecided or Verdict("equal", "all entries are equal", "entries")


def covered(xs: Sequence[Node], ys: Sequence[Node], test: Test) -> Verdict:
    """Two sets: each entry has an equal one on the other side."""
    first, second = set(xs), set(ys)
    if first == second:
        return Verdict("equal", "the same entries", "entries")
    if all(map(is_exact, first | second)):
        only = next(entry for entry in (*xs, *ys) if (entry in first) != (entry in second))
        return different(f"{written(only)} is only in the {'reference' if only in first else 'answer'}", "entries")
    if len(xs) * len(ys) > ENTRIES**2:
        return Verdict("undecided", f"more than {ENTRIES} entries are not matched pair by pair", "work")
    known: dict[tuple[int, int], Verdict] = {}

    def verdict(i: int, j: int) -> Verdict:
        if (i, j) not in known:
            known[i, j] = test(xs[i], ys[j])
        return known[i, j]

    undecided = None
    for mine, others, side in ((xs, second, "reference"), (ys, first, "answer")):
        for at, entry in enumerate(mine):
            if entry in others:
                continue
            pairs = [(at, j) for j in range(len(ys))] if side == "reference" else [(i, at) for i in range(len(xs))]
            found = _best(verdict(i, j) for i, j in pairs)
            if found is None or found.outcome == "different":
                one = found is not None and len(xs) == len(ys) == 1
                return found if one and found else different(f"{written(entry)} is only in the {side}", "entries")
            undecided = undecided if found.equal else found
    return undecided or Verdict("equal", "the same entries", "entries")


def _best(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The first that is equal, else one that is undecided, else any."""
    best = None
    for verdict in verdicts:
        if verdict.equal:
            return verdict
        if best is None or verdict.outcome == "undecided":
            best = verdict
    return best


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
