"""The ordering check: answers known to be good > fair > poor must be scored in that order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from graders.agreement import Figure, mean_figure
from graders.rows import GradingRow
from graders.template import short

WORTH = {"good": 2.0, "fair": 1.0, "poor": 0.0}


@dataclass(frozen=True, slots=True)
class Violation:
    """Two answers of one group that came out the wrong way round, by the ids of their rows."""

    group: str
    better: str
    worse: str
    scores: tuple[float, float]

    def __str__(self) -> str:
        return f"{self.group}: {self.better} got {self.scores[0]:g}, the worse {self.worse} {self.scores[1]:g}"


@dataclass(frozen=True, slots=True)
class Ordering:
    """How the pairs of known order came out."""

    right: Figure  # share of decided pairs; the interval draws groups
    pairs: int
    ties: int
    wrong: int
    undecided: int
    groups: int
    violations: Sequence[Violation]  # the widest first

    def to_wire(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in ("pairs", "ties", "wrong", "undecided", "groups")}
        worst = [
            {"group": one.group, "better": one.better, "worse": one.worse, "scores": list(one.scores)}
            for one in self.violations
        ]
        return {"right": self.right.to_wire(), **counts, "violations": worst}


def worth_of(row: GradingRow, key: str) -> float | None:
    """How good an answer is known to be, more is better: good, fair or poor, or a rank, of which 1 is the best.

    Raises ValueError for anything else.
    """
    given = row.item.get(key)
    if given is None or given == "":
        return None
    if isinstance(given, str) and given.strip().lower() in WORTH:
        return WORTH[given.strip().lower()]
    try:
        rank = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        rank = math.nan
    if not math.isfinite(rank):
        raise ValueError(
            f"{row.place}: {key!r} must be good, fair or poor, or a rank (1 is the best), not {short(given)}"
        )
    return -rank


@dataclass(frozen=True, slots=True)
class KnownOrder:
    """How good each answer is known to be, by its place, and the places of the answers of each group."""

    worth: Sequence[float | None]
    groups: Mapping[str, Sequence[int]]


def read_order(rows: Sequence[GradingRow], order_by: str, group: str) -> KnownOrder:
    """What is known of the answers. Raises ValueError, naming the row, where it cannot be read."""
    worth = [worth_of(row, order_by) for row in rows]
    known = [row for row, one in zip(rows, worth, strict=True) if one is not None]
    if not known:
        raise ValueError(f"no item has {order_by!r}, how good its answer is known to be (--order-by)")
    if len({_is_word(row.item[order_by]) for row in known}) > 1:
        raise ValueError(f"{order_by!r} is a word in some rows and a rank in others; use one of them")
    groups: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if worth[place] is not None:
            if row.item.get(group) is None:
                raise ValueError(f"{row.place}: no {group!r} to tell which answers are of one item (--group)")
            groups.setdefault(str(row.item[group]), []).append(place)
    return KnownOrder(worth, groups)


def _is_word(given: Any) -> bool:
    return isinstance(given, str) and given.strip().lower() in WORTH


def check_order(known: KnownOrder, rows: Sequence[GradingRow], scores: Sequence[float | None]) -> Ordering:
    """How often the better of two answers of a group got the higher score."""
    hits: list[float] = []
    owners: list[str] = []
    ties = undecided = 0
    violations = []
    for name, better, worse in _pairs(known):
        high, low = scores[better], scores[worse]
        if high is None or low is None:
            undecided += 1
            continue
        hits.append(float(high > low))
        owners.append(name)
        ties += high == low
        if high < low:
            violations.append(Violation(name, rows[better].id, rows[worse].id, (high, low)))
    violations.sort(key=lambda one: one.scores[0] - one.scores[1])
    groups = len(set(owners))
    if not hits:
        nothing = Figure(None, 0, reason="no two decided answers of a group are known to differ")
        return Ordering(nothing, 0, 0, 0, undecided, 0, ())
    return Ordering(mean_figure(hits, owners, (0, 1)), len(hits), ties, len(violations), undecided, groups, violations)


def _pairs(known: KnownOrder) -> Iterator[tuple[str, int, int]]:
    """The places of two answers of a group, the better first."""
    for name, places in known.groups.items():
        for one, other in combinations(places, 2):
            worth = known.worth[one], known.worth[other]
            if worth[0] is not None and worth[1] is not None and worth[0] != worth[1]:
                yield (name, one, other) if worth[0] > worth[1] else (name, other, one)
