"""Bias: what must not matter to a judge and may: how long an output is, and in which order two are shown."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graders.agreement import Figure, differences, mean_figure, partial_spearman, spearman, spearman_gap
from graders.grade import Grade


@dataclass(frozen=True, slots=True)
class LengthBias:
    """How scores follow the length of the output in characters, beside how people's labels do (rank correlations)."""

    grader: Figure
    people: Figure
    gap: Figure  # grader - people
    left: Figure  # of score and length, with people's label held fixed
    over: Figure | None  # of score - label and length; None where labels are no numbers

    def to_wire(self) -> dict[str, Any]:
        found = {name: getattr(self, name).to_wire() for name in ("grader", "people", "gap", "left")}
        return found | ({} if self.over is None else {"over": self.over.to_wire()})


def length_bias(
    scores: Sequence[float | None],
    numbers: Sequence[float | None],
    lengths: Sequence[int],
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
    one_scale: bool = False,
) -> LengthBias:
    """How far scores follow length where people's labels (`numbers`) do not, on rows that have both; without any
    label, how far scores do. `one_scale` says that labels are numbers of the grader's scale."""
    sized: list[float | None] = [float(length) for length in lengths]
    of_both: list[float | None] = [
        length if number is not None and score is not None else None
        for length, number, score in zip(sized, numbers, scores, strict=True)
    ]
    unlabelled = all(number is None for number in numbers)
    return LengthBias(
        spearman(scores, sized if unlabelled else of_both, clusters, seed),
        spearman(numbers, of_both, clusters, seed),
        spearman_gap(scores, numbers, sized, clusters, seed),
        partial_spearman(scores, sized, numbers, clusters, seed),
        spearman(differences(scores, numbers), sized, clusters, seed) if one_scale else None,
    )


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Verdicts on the same two answers, shown in both orders."""

    depends: Figure  # share of the pairs whose verdict depends on the order
    first: int  # of these, how many lean to the answer shown first
    second: int

    def to_wire(self) -> dict[str, Any]:
        return {"depends": self.depends.to_wire(), "first": self.first, "second": self.second}


def position_bias(grades: Sequence[Grade], clusters: Sequence[Hashable] | None = None) -> PositionBias | str:
    """How often the order decided, or why that cannot be told."""
    depends: list[float] = []
    owners: list[Hashable] = []
    first = second = one_order = 0
    for place, grade in enumerate(grades):
        for verdicts in _orders(grade):
            if len(verdicts) != 2 or verdicts[0]["output"] == verdicts[1]["output"]:
                one_order += 1
                continue
            shares = [_won(verdict) for verdict in verdicts]
            depends.append(float(shares[0] != shares[1]))
            owners.append(place if clusters is None else clusters[place])
            lean = sum({"A": 1, "B": -1}.get(verdict["verdict"], 0) for verdict in verdicts)
            if shares[0] != shares[1]:
                first, second = first + (lean > 0), second + (lean < 0)
    if not depends:
        return "each pair is shown in one order only" if one_order else "it compares no pairs of answers"
    return PositionBias(mean_figure(depends, owners, (0, 1)), first, second)


def _won(verdict: Mapping[str, str]) -> float:
    if verdict["verdict"] not in ("A", "B"):
        return 0.5
    return float(verdict["verdict"] == verdict["output"])


def _orders(grade: Grade) -> Iterator[Sequence[Mapping[str, str]]]:
    """The verdicts on pairs that a grade, or a part of it, read from a judge: `{"output": "A", "verdict": "B"}`, ..."""
    found = grade.extracted
    if (
        isinstance(found, list | tuple)
        and found
        and all(isinstance(one, Mapping) and {"output", "verdict"} <= one.keys() for one in found)
    ):
        yield found
        return
    for part in grade.parts.values():
        yield from _orders(part)
