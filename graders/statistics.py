"""Statistics of scores: means with bootstrap intervals, errors counted apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graders.grade import Grade

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % confidence interval, with the number of values behind it."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap(values: Sequence[float], clusters: Sequence[Hashable] | None = None, seed: int = 0) -> Interval:
    """Mean with its 95 % percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13).

    With `clusters` (one label a value, such as the publication a patient comes from), whole clusters are
    drawn, so that values which resemble each other are not counted as independent. Same input, same interval.

    >>> bootstrap([0.0, 1.0, 1.0, 1.0]).mean
    0.75
    """
    import numpy as np

    if not values:
        raise ValueError("no values to average")
    if clusters is None:
        sums = np.asarray(values, dtype=float)
        sizes = np.ones(len(values))
    else:
        index = {label: position for position, label in enumerate(dict.fromkeys(clusters))}
        of_value = np.array([index[label] for label in clusters])
        sums = np.bincount(of_value, weights=np.asarray(values, dtype=float))
        sizes = np.bincount(of_value).astype(float)
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for block in np.array_split(np.arange(RESAMPLES), max(1, RESAMPLES * len(sums) // 5_000_000)):
        drawn = rng.integers(0, len(sums), size=(len(block), len(sums)))
        means[block] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(math.fsum(values) / len(values), float(low), float(high), len(values))


@dataclass(frozen=True, slots=True)
class Summary:
    """What a set of grades says: the mean over decided grades, and how many were not decided, by kind."""

    n: int
    scored: Interval | None  # None when nothing was decided
    errors: Mapping[str, int]  # undecided grades by error kind

    @property
    def error_rate(self) -> float:
        return sum(self.errors.values()) / self.n if self.n else 0.0

    def to_wire(self) -> dict[str, Any]:
        """The summary as JSON-ready data; the mean and its interval are null where nothing was decided."""
        scored = self.scored
        return {
            "n": self.n,
            "mean": scored and scored.mean,
            "ci_low": scored and scored.low,
            "ci_high": scored and scored.high,
            "errors": dict(self.errors),
        }

    def __str__(self) -> str:
        if self.scored is None:
            mean = "mean -"
        else:
            mean = f"mean {self.scored.mean:.4f}  95% CI [{self.scored.low:.4f}, {self.scored.high:.4f}]"
        errors = ", ".join(f"{kind} {count}" for kind, count in self.errors.items()) or "none"
        return f"n {self.n}  {mean}  errors: {errors}"


def summarise(grades: Iterable[Grade], clusters: Sequence[Hashable] | None = None) -> Summary:
    """Count and average grades. Undecided ones are counted under their error kind and enter no average."""
    seen = list(grades)
    decided = [position for position, grade in enumerate(seen) if grade.score is not None]
    scores = [score for grade in seen if (score := grade.score) is not None]
    kept = None if clusters is None else [clusters[position] for position in decided]
    errors = Counter(grade.error.kind for grade in seen if grade.score is None and grade.error is not None)
    return Summary(len(seen), bootstrap(scores, kept) if scores else None, dict(errors.most_common()))
