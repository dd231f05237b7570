"""Statistics of scores: means with their intervals, errors counted apart."""

from __future__ import annotations

import math
import sys
from array import array
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from graders.grade import Grade, Usage

if TYPE_CHECKING:
    import numpy as np

    Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

RESAMPLES = 10_000
MOST_CLUSTERS = 2**20
LARGE = 20_000  # values or clusters above which the normal approximation is as good, and a thousand times as fast
FEW = 20  # values or clusters below which the bootstrap's interval is too narrow, and Student's is taken

_NORMAL = NormalDist().inv_cdf(0.975)
# The 0.975 quantiles of Student's t of 1 to FEW - 2 degrees of freedom
_STUDENT = (
    *(12.70620473617, 4.302652729749, 3.182446305284, 2.776445105198, 2.570581835636, 2.446911851145),
    *(2.364624251593, 2.306004135204, 2.262157162798, 2.228138851986, 2.200985160091, 2.178812829667),
    *(2.160368656463, 2.144786687918, 2.131449545559, 2.119905299221, 2.109815577833, 2.100922040241),
)
_HEADROOM = 64  # sums kept in units of 2**64 stay finite, and powers of 2 round nothing


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % confidence interval, with the number of values behind it.

    `independent` counts what was drawn: the clusters, or the values when there are none. Of a single one no
    interval can be told, and `low` and `high` are the mean.
    """

    mean: float
    low: float
    high: float
    n: int
    independent: int


def bootstrap(values: Sequence[float], clusters: Sequence[Hashable] | None = None, seed: int = 0) -> Interval:
    """Mean with its 95 % percentile bootstrap interval (Efron & Tibshirani 1993, ch. 13).

    With `clusters` (one label a value, such as the publication a patient comes from), whole clusters are
    drawn, so that values which resemble each other are not counted as independent. Same input, same interval.
    Above 20,000 values (or clusters) it is the mean +- 1.96 standard errors, of a ratio of sums where there are
    clusters (Cochran 1977, ch. 6); there the two differ by about a hundredth of the interval's width.

    >>> bootstrap([0.0, 1.0, 1.0, 1.0]).mean
    0.75
    """
    if not values:
        raise ValueError("no values to average")
    mean, unit = mean_of(values), _unit(values)
    sums, sizes = _by_cluster(values, clusters, unit)
    return _interval(mean, _limits(mean / unit, sums, sizes, seed), unit, len(values), len(sums))


def mean_interval(
    values: Iterable[float],
    clusters: Sequence[Hashable] | None = None,
    bounds: tuple[float, float] | None = None,
) -> Interval:
    """Mean with the 95 % interval that suits its values; `bounds` are the least and the most that a value could be.

    - All 0 or 1 (of `bounds` 0 and 1, or none given): the score interval of Wilson (1927, "Probable inference, the
      law of succession, and statistical inference", JASA 22), which has a width also where all are alike. In
      clusters it is taken only where all are alike, with each cluster counted once.
    - Else, of fewer than 20 values or clusters: the mean +- Student's t (1908) times the standard error, of a ratio
      of sums where there are clusters (Cochran 1977, ch. 6), cut at `bounds`.
    - Else what `bootstrap` says.

    Values that are all alike, and not 0 or 1, give an interval of no width: how much they vary is not known.

    >>> found = mean_interval([1.0, 1.0, 1.0])
    >>> round(found.low, 3), found.high
    (0.439, 1.0)
    """
    tally = Tally(clusters is not None, bounds=bounds)
    for position, value in enumerate(values):
        tally.add_note((value, None, None), None if clusters is None else clusters[position])
    scored = tally.summary().scored
    if scored is None:
        raise ValueError("no values to average")
    return scored


def mean_of(values: Sequence[float]) -> float:
    """The mean, correctly rounded, also of values whose sum is beyond the largest float.

    >>> mean_of([1e308, 1e308, 1e308])
    1e+308
    """
    unit = _unit(values)
    return math.fsum(value / unit for value in values) / len(values) * unit


def _unit(values: Sequence[float] | Numbers, held_in: int = 0) -> float:
    """A power of 2 near the largest value, at least 1: sums and squares of values in this unit do not overflow.

    The values given are in units of 2 ** `held_in`.
    """
    import numpy as np

    largest = float(np.abs(np.asarray(values, dtype=float)).max())
    exponent = math.frexp(largest)[1] - 1 + held_in
    return math.ldexp(1.0, min(max(0, exponent), sys.float_info.max_exp - 1))


def _by_cluster(values: Sequence[float], clusters: Sequence[Hashable] | None, unit: float) -> tuple[Numbers, Numbers]:
    """The sum of the values of each cluster, in `unit`, and their number; each value by itself without clusters."""
    import numpy as np

    scaled = np.asarray(values, dtype=float) / unit
    if clusters is None:
        return scaled, np.ones(len(values))
    index = {label: position for position, label in enumerate(dict.fromkeys(clusters))}
    of_value = np.array([index[label] for label in clusters])
    sums: Any = np.bincount(of_value, weights=scaled)
    sizes: Numbers = np.bincount(of_value).astype(float)
    return sums, sizes


def _interval(mean: float, limits: tuple[float, float], unit: float, n: int, independent: int) -> Interval:
    """The interval from its limits in `unit`; those beyond the largest float are the largest."""
    most = sys.float_info.max
    low, high = (max(-most, min(most, limit * unit)) for limit in limits)
    return Interval(mean, low, high, n, independent)


def _limits(mean: float, sums: Numbers, sizes: Numbers, seed: int = 0) -> tuple[float, float]:
    if len(sums) > LARGE:
        return _around(mean, sums, sizes, _NORMAL)
    return _bootstrap_interval(sums, sizes, seed)


def _bootstrap_interval(sums: Numbers, sizes: Numbers, seed: int) -> tuple[float, float]:
    import numpy as np

    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for block in np.array_split(np.arange(RESAMPLES), max(1, RESAMPLES * len(sums) // 5_000_000)):
        drawn = rng.integers(0, len(sums), size=(len(block), len(sums)))
        means[block] = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _around(mean: float, sums: Numbers, sizes: Numbers, quantile: float) -> tuple[float, float]:
    residuals = sums - mean * sizes
    variance = float((residuals**2).sum()) * len(sums) / (len(sums) - 1) / float(sizes.sum()) ** 2
    margin = quantile * math.sqrt(variance)
    return mean - margin, mean + margin


def _wilson(share: float, n: int) -> tuple[float, float]:
    weight = _NORMAL**2 / n
    middle = (share + weight / 2) / (1 + weight)
    margin = _NORMAL / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    return (middle - margin if share > 0 else 0.0), (middle + margin if share < 1 else 1.0)


def pass_at_k(n: int, c: int, k: int) -> float:
    """The chance that at least one of `k` samples passes, estimated from `c` that did of `n` (Chen et al. 2021).

    The unbiased estimator of "Evaluating Large Language Models Trained on Code", section 2.1: 1 - C(n-c, k) /
    C(n, k), as a product, which does not overflow. Raises ValueError for more than `n` at a time.

    >>> round(pass_at_k(n=5, c=2, k=2), 12)
    0.7
    """
    if not 1 <= k <= n or not 0 <= c <= n:
        raise ValueError(f"pass@{k} of {c} passes in {n} samples cannot be told; 1 <= k <= n and 0 <= c <= n must hold")
    return 1.0 - math.prod((n - c - drawn) / (n - drawn) for drawn in range(k))


def mcnemar(gained: int, lost: int) -> float:
    """Two-sided p-value of McNemar's exact test (1947), for pairs of passes: under the null hypothesis, a pair
    that flips does so either way with probability 1/2 (the binomial test on the discordant pairs).

    >>> mcnemar(gained=6, lost=1)
    0.125
    """
    few, flips = min(gained, lost), gained + lost
    if flips == 0:
        return 1.0
    if flips <= 1000:
        ways: int = sum(math.comb(flips, count) for count in range(few + 1))
        return min(1.0, float(2 * ways / 2**flips))
    log_choices = math.lgamma(flips + 1) - math.lgamma(few + 1) - math.lgamma(flips - few + 1)
    term = math.exp(log_choices - flips * math.log(2))
    total = 0.0
    for count in range(few, -1, -1):  # from the largest term down, until the rest is nothing
        total += term
        term *= count / (flips - count + 1)
        if term < total * 1e-18:
            break
    return min(1.0, 2 * total)


def sign_flip(differences: Sequence[float], clusters: Sequence[Hashable] | None = None, seed: int = 0) -> float:
    """Two-sided p-value of the paired permutation test (Fisher 1935, sec. 21): were the two sides alike, each
    difference would be as likely with the other sign. Whole clusters change sign together.

    Every assignment of signs is tried where there are at most 12 differences that are not 0, else 10,000 are drawn
    (p = (hits + 1) / (draws + 1), Phipson & Smyth 2010). Above 20,000 it is the normal approximation of the same test.

    >>> sign_flip([0.5, 0.5, 1.0, 0.25])
    0.125
    """
    import numpy as np

    if not differences:
        raise ValueError("no differences to test")
    sums, _ = _by_cluster(differences, clusters, _unit(differences))
    sums = sums[sums != 0]
    if len(sums) == 0:
        return 1.0
    observed = abs(float(sums.sum()))
    slack = 1e-12 * float(np.abs(sums).sum())  # sums that are equal but for rounding are equal
    if len(sums) > LARGE:
        return math.erfc(observed / math.sqrt(2 * float((sums**2).sum())))
    if len(sums) <= 12:
        signs = 1.0 - 2.0 * ((np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1)
        return float(np.mean(np.abs(signs @ sums) >= observed - slack))
    rng = np.random.default_rng(seed)
    hits = 0
    for block in np.array_split(np.arange(RESAMPLES), max(1, RESAMPLES * len(sums) // 5_000_000)):
        signs = 1.0 - 2.0 * rng.integers(0, 2, size=(len(block), len(sums)))
        hits += int(np.count_nonzero(np.abs(signs @ sums) >= observed - slack))
    return (hits + 1) / (RESAMPLES + 1)


@dataclass(frozen=True, slots=True)
class PassAtK:
    """pass@k over groups of rows, with the interval over groups; `left_out` groups had fewer than k decided rows."""

    k: int
    threshold: float
    scored: Interval | None  # None when no group was large enough
    left_out: int

    def to_wire(self) -> dict[str, Any]:
        return {"k": self.k, "threshold": self.threshold, "groups": self.scored.n if self.scored else 0} | {
            "left_out": self.left_out,
            **_wire_of(self.scored),
        }

    def __str__(self) -> str:
        groups = self.scored.n if self.scored else 0
        left = f" ({self.left_out} left out: fewer than {self.k} decided rows)" if self.left_out else ""
        return f"pass@{self.k} {_shown(self.scored)}  of {groups} groups{left}, pass at {self.threshold:g}"


def _wire_of(scored: Interval | None) -> dict[str, Any]:
    known = scored if scored is not None and _has_width(scored) else None
    return {
        "mean": scored and scored.mean,
        "ci_low": known and known.low,
        "ci_high": known and known.high,
    }


def _has_width(scored: Interval) -> bool:
    """Whether an interval can be told; limits that differ by rounding do not."""
    return scored.high / 2 - scored.low / 2 > 1e-14 * max(abs(scored.low), abs(scored.high))


def _shown(scored: Interval | None) -> str:
    if scored is None:
        return "-"
    interval = f"[{_number(scored.low)}, {_number(scored.high)}]" if _has_width(scored) else "-"
    clusters = (
        "" if scored.independent == scored.n else f" in {scored.independent} cluster{'s' * (scored.independent != 1)}"
    )
    return f"{_number(scored.mean)}  95% CI {interval}{clusters}"


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1e15 else f"{value:.4e}"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a set of grades says: the mean over decided grades, and how many were not decided, by kind."""

    n: int
    scored: Interval | None  # None when nothing was decided
    errors: Mapping[str, int]  # undecided grades by error kind
    failed: Mapping[str, int] = field(default_factory=dict)  # decided by a fault of the candidate, by kind
    pass_at_k: PassAtK | None = None
    usage: Usage | None = None  # of judge models, over all rows
    score_and_length: Correlation | None = None  # of graders that ask a judge model
    settled: Mapping[str, int] = field(default_factory=dict)  # rows that each part of a cascade decided, in its order

    @property
    def error_rate(self) -> float:
        return sum(self.errors.values()) / self.n if self.n else 0.0

    def to_wire(self) -> dict[str, Any]:
        """The summary as JSON-ready data; what cannot be told (the interval of one value, or of equal ones) is null."""
        wire = {"n": self.n, **_wire_of(self.scored), "failed": dict(self.failed), "errors": dict(self.errors)}
        if self.pass_at_k is not None:
            wire["pass_at_k"] = self.pass_at_k.to_wire()
        if self.usage is not None:
            wire["usage"] = {model: dict(counts) for model, counts in self.usage.items()}
        if self.score_and_length is not None:
            wire["score_and_length"] = self.score_and_length.to_wire()
        if self.settled:
            wire["settled"] = dict(self.settled)
            wire["last_part_spared"] = self.spared
        return wire

    @property
    def spared(self) -> float:
        """The share of rows for which the last part of a cascade was not asked."""
        return sum(list(self.settled.values())[:-1]) / self.n if self.n else 0.0

    def details(self) -> list[str]:
        """What is told besides of a grader that asks a judge model, a line each."""
        lines = [] if self.score_and_length is None else [str(self.score_and_length)]
        if self.settled:
            counts = ", ".join(f"{name!r} {count:,}" for name, count in self.settled.items())
            last = list(self.settled)[-1]
            lines.append(f"settled by {counts}; {last!r} was not asked in {self.spared:.1%} of the rows")
        return lines

    def __str__(self) -> str:
        failed = f"  failed: {_counted(self.failed)}" if self.failed else ""
        passes = f"  {self.pass_at_k}" if self.pass_at_k else ""
        return f"n {self.n}  mean {_shown(self.scored)}{passes}{failed}  errors: {_counted(self.errors)}"


def _counted(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in kinds.items()) or "none"


@dataclass(frozen=True, slots=True)
class Correlation:
    """Pearson's r of the scores and the lengths of the outputs, with its 95 % interval by Fisher's z (1921)."""

    r: float
    low: float
    high: float
    n: int

    def to_wire(self) -> dict[str, Any]:
        return {"r": self.r, "ci_low": self.low, "ci_high": self.high, "n": self.n}

    def __str__(self) -> str:
        return f"score and length r = {self.r:.2f} [{self.low:.2f}, {self.high:.2f}]"


class _Together:
    """Moments of two values given one pair at a time (Welford 1962), for their correlation."""

    def __init__(self) -> None:
        self.n = 0
        self.mean_x = self.mean_y = self.xx = self.yy = self.xy = 0.0

    def add(self, x: float, y: float) -> None:
        self.n += 1
        from_x, from_y = x - self.mean_x, y - self.mean_y
        self.mean_x += from_x / self.n
        self.mean_y += from_y / self.n
        self.xx += from_x * (x - self.mean_x)
        self.yy += from_y * (y - self.mean_y)
        self.xy += from_x * (y - self.mean_y)

    def correlation(self) -> Correlation | None:
        """None where it cannot be told: of fewer than four pairs, or where one of the two never varies."""
        spread = math.sqrt(max(0.0, self.xx)) * math.sqrt(max(0.0, self.yy))
        if self.n < 4 or not 0 < spread < math.inf:
            return None
        r = max(-1.0, min(1.0, self.xy / spread))
        if abs(r) == 1:
            return Correlation(r, r, r, self.n)
        margin = _NORMAL / math.sqrt(self.n - 3)
        return Correlation(r, math.tanh(math.atanh(r) - margin), math.tanh(math.atanh(r) + margin), self.n)


class Asked(NamedTuple):
    """What a summary tells besides of a grade that a judge model may have had a part in."""

    usage: Usage | None
    length: int  # characters of the output
    settled: str | None = None  # the part of a cascade that decided


Note: TypeAlias = tuple[float | None, str | None, Asked | None]
"""What a summary needs to know of a grade: its score, the kind of its error, and what belongs to judge models."""


def note_of(grade: Grade, asked: Asked | None = None) -> Note:
    return grade.score, None if grade.error is None else grade.error.kind, asked


class Tally:
    """Grades counted one at a time, in memory that does not grow with their number.

    `clustered` when each has a cluster; `k` for pass@k, when each has a group, and a score of at least `threshold`
    is a pass. `bounds` are the grader's `range`, `parts` the names of a cascade's. The interval is chosen as in
    `mean_interval`.
    """

    def __init__(
        self,
        clustered: bool = False,
        k: int | None = None,
        threshold: float = 0.5,
        bounds: tuple[float, float] | None = None,
        parts: Iterable[str] = (),
    ) -> None:
        self.errors: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._mean = _RunningMean()
        self._zeros = self._ones = 0
        self._clusters = _Clusters() if clustered else None
        self._k, self._threshold, self._bounds = k, threshold, bounds
        self._groups: dict[Hashable, tuple[int, int]] = {}  # decided, passed
        self._usage: dict[str, Counter[str]] = {}
        self._together = _Together()
        self._settled = dict.fromkeys(parts, 0)

    def add(self, grade: Grade, cluster: Hashable = None, group: Hashable = None) -> None:
        self.add_note(note_of(grade), cluster, group)

    def _add_asked(self, score: float | None, asked: Asked) -> None:
        for model, counts in (asked.usage or {}).items():
            self._usage.setdefault(model, Counter()).update(counts)
        if score is None:
            return
        self._together.add(asked.length, score)
        if asked.settled in self._settled:
            self._settled[asked.settled] += 1

    def add_note(self, note: Note, cluster: Hashable = None, group: Hashable = None) -> None:
        score, kind, asked = note
        if asked is not None:
            self._add_asked(score, asked)
        if score is None:
            assert kind is not None
            self.errors[kind] += 1
            if self._k is not None:
                self._groups.setdefault(group, (0, 0))
            return
        if kind is not None:
            self.failed[kind] += 1
        self._mean.add(score)
        self._zeros += score == 0
        self._ones += score == 1
        if self._clusters is not None:
            self._clusters.add(score, cluster)
        if self._k is not None:
            decided, passed = self._groups.get(group, (0, 0))
            self._groups[group] = decided + 1, passed + (score >= self._threshold)

    @property
    def n(self) -> int:
        return self._mean.n + self.errors.total()

    @property
    def usage(self) -> Usage:
        return self._usage

    def summary(self) -> Summary:
        scored = self._scored() if self._mean.n else None
        errors, failed = (dict(counts.most_common()) for counts in (self.errors, self.failed))
        usage = {model: dict(counts) for model, counts in self._usage.items()} or None
        judged = (usage, self._together.correlation(), self._settled)
        return Summary(self.n, scored, errors, failed, self._passes(), *judged)

    def _scored(self) -> Interval:
        n, mean = self._mean.n, self._mean.mean
        independent = n if self._clusters is None else len(self._clusters.sums)
        if independent == 1:
            return Interval(mean, mean, mean, n, independent)
        binary = self._zeros + self._ones == n and self._bounds in (None, (0, 1))
        if binary and (self._clusters is None or mean in (0, 1)):
            return Interval(mean, *_wilson(mean, independent), n, independent)
        if independent < FEW:
            return self._student(mean)
        return self._mean.interval() if self._clusters is None else self._clusters.interval(mean)

    def _student(self, mean: float) -> Interval:
        unit, sums, sizes = self._mean.by_value() if self._clusters is None else self._clusters.by_cluster()
        limits = _around(mean / unit, sums, sizes, _STUDENT[len(sums) - 2])
        found = _interval(mean, limits, unit, self._mean.n, len(sums))
        least, most = self._bounds or (-math.inf, math.inf)
        return replace(found, low=min(mean, max(least, found.low)), high=max(mean, min(most, found.high)))

    def _passes(self) -> PassAtK | None:
        if self._k is None:
            return None
        chances = [pass_at_k(n, c, self._k) for n, c in self._groups.values() if n >= self._k]
        scored = mean_interval(chances, bounds=(0, 1)) if chances else None
        return PassAtK(self._k, self._threshold, scored, len(self._groups) - len(chances))


class _RunningMean:
    """Mean and interval of values given one at a time; of more than LARGE only moments are kept."""

    def __init__(self) -> None:
        self.values = array("d")
        self.folded = 0  # values of which only these are left, in `unit`:
        self.unit = 1.0
        self.sum = 0.0
        self.squares = 0.0  # of deviations from their mean

    @property
    def n(self) -> int:
        return self.folded + len(self.values)

    @property
    def mean(self) -> float:
        if not self.folded:
            return mean_of(self.values)
        self._fold()
        return self.sum / self.n * self.unit

    def add(self, value: float) -> None:
        self.values.append(value)
        if len(self.values) > LARGE:
            self._fold()

    def by_value(self) -> tuple[float, Numbers, Numbers]:
        """A unit, the values in it, and their sizes (1)."""
        unit = _unit(self.values)
        return unit, *_by_cluster(self.values, None, unit)

    def _fold(self) -> None:
        """Take the values into the moments (Chan, Golub & LeVeque 1983)."""
        if not self.values:
            return
        self._rescale(max(self.unit, _unit(self.values)))
        values, _ = _by_cluster(self.values, None, self.unit)
        sum_, n = math.fsum(values), len(values)
        self.squares += float(((values - sum_ / n) ** 2).sum())
        if self.folded:
            shift = sum_ / n - self.sum / self.folded
            self.squares += shift**2 * n * self.folded / (n + self.folded)
        self.folded, self.sum, self.values = self.folded + n, math.fsum([self.sum, sum_]), array("d")

    def _rescale(self, unit: float) -> None:
        ratio = self.unit / unit
        self.unit, self.sum, self.squares = unit, self.sum * ratio, self.squares * ratio**2

    def interval(self) -> Interval:
        if not self.folded:
            return bootstrap(self.values)
        mean = self.mean
        margin = _NORMAL * math.sqrt(self.squares / (self.n - 1) / self.n)
        middle = mean / self.unit
        return _interval(mean, (middle - margin, middle + margin), self.unit, self.n, self.n)


class _Clusters:
    """Sums of values by cluster. Past a million clusters, new ones share places: still independent of each other."""

    def __init__(self) -> None:
        self.places: dict[Hashable, int] = {}
        self.sums, self.sizes = array("d"), array("d")

    def add(self, value: float, cluster: Hashable) -> None:
        key = hash(cluster) if isinstance(cluster, str) else cluster
        place = self.places.get(key)
        if place is None:
            if len(self.places) < MOST_CLUSTERS:
                place = self.places[key] = len(self.places)
                self.sums.append(0.0)
                self.sizes.append(0.0)
            else:
                place = hash(key) % MOST_CLUSTERS
        self.sums[place] += value / 2.0**_HEADROOM
        self.sizes[place] += 1.0

    def by_cluster(self) -> tuple[float, Numbers, Numbers]:
        """A unit, the sums of the clusters in it, and their sizes."""
        import numpy as np

        sums, sizes = np.array(self.sums), np.array(self.sizes)
        unit = _unit(sums, held_in=_HEADROOM)
        return unit, sums * (2.0**_HEADROOM / unit), sizes

    def interval(self, mean: float) -> Interval:
        unit, sums, sizes = self.by_cluster()
        return _interval(mean, _limits(mean / unit, sums, sizes), unit, int(sizes.sum()), len(sums))


def summarise(
    grades: Iterable[Grade],
    clusters: Sequence[Hashable] | None = None,
    bounds: tuple[float, float] | None = None,
    lengths: Sequence[int] | None = None,
) -> Summary:
    """Count and average grades. Undecided ones are counted under their error kind and enter no average.

    `bounds` are the grader's `range`; the interval is chosen as in `mean_interval`. With `lengths`, the characters of
    each output, the usage of judge models and the correlation of score and length are told too.
    """
    tally = Tally(clusters is not None, bounds=bounds)
    for position, grade in enumerate(grades):
        asked = None if lengths is None else Asked(grade.usage, lengths[position])
        tally.add_note(note_of(grade, asked), None if clusters is None else clusters[position])
    return tally.summary()
