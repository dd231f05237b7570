"""Agreement: how far raters of the same items say the same, with intervals. Numbers about people, judges and graders.

None stands for a missing value. What cannot be told (nobody rated the same item, all values alike) is None with the
reason, never NaN and never 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from graders.statistics import mean_interval

if TYPE_CHECKING:
    import numpy as np

    Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

Level = Literal["nominal", "ordinal", "interval"]
Value: TypeAlias = bool | float | str
Ratings: TypeAlias = Sequence[Value | None]

RESAMPLES = 2_000
DEFINED = 0.95  # share of the draws in which a statistic must exist for its interval to be told
_BLOCK = 2_000_000  # weights held at once
_NONE = 1e-12  # what is left of a difference of equal numbers after rounding

EQUAL = 1e-9  # two numbers nearer than this part of the larger are told apart by rounding only
FEW_CLUSTERS = 10  # below it the bootstrap's intervals are too narrow

SAME_EACH_DRAW = "no interval: every draw of the rows gives the same"
"""The reason of a figure that has a value and no interval, because the rows leave no doubt of it."""

ALL_ALIKE = "no interval: every row gives the same"
"""The reason of a mean of several values that are all alike."""

ONE_CLUSTER = "no interval: one cluster only"

Statistic: TypeAlias = "Callable[[Numbers], Numbers]"
"""From how often each item counts (draws x items) to the statistic of each draw; NaN where a draw has none."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One statistic over `n` items, with its 95 % interval. What is None has its `reason`, and so has an interval
    that is too narrow."""

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None
    reason: str = ""

    def to_wire(self) -> dict[str, Any]:
        wire = {"value": self.value, "low": self.low, "high": self.high, "n": self.n}
        return wire | ({"reason": self.reason} if self.reason else {})

    def __str__(self) -> str:
        if self.value is None:
            return f"-  ({self.reason})"
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def accuracy(a: Ratings, b: Ratings, clusters: Sequence[Hashable] | None = None) -> Figure:
    """The share of items of which both say the same; the interval is that of `mean_interval` (Wilson 1927).

    >>> str(accuracy([True, True, False, False], [True, True, False, True]))
    '0.750 [0.301, 0.954]'
    """
    kept = _both(a, b)
    if not kept:
        return Figure(None, 0, reason="no item has both values")
    return mean_figure([float(a[place] == b[place]) for place in kept], _of(clusters, kept), (0, 1))


def mean_difference(
    a: Sequence[float | None],
    b: Sequence[float | None],
    clusters: Sequence[Hashable] | None = None,
) -> Figure:
    """The mean of a - b over items that have both, with the interval of `mean_interval`; 0 where only rounding differs.

    >>> str(mean_difference([0.3, 0.8, 0.9], [0.2, 0.4, 0.9]))
    '0.167 [-0.350, 0.684]'
    """
    kept = _both(a, b)
    if not kept:
        return Figure(None, 0, reason="no item has both values")
    apart = differences([a[place] for place in kept], [b[place] for place in kept])
    values = [value for value in apart if value is not None]
    turned = [-value for value in values]
    if turned > values:  # one of the two is drawn, so that the sides can change places
        found = mean_figure(turned, _of(clusters, kept), (-math.inf, math.inf))
        low, high = (None if end is None else -end for end in (found.high, found.low))
        return Figure(-(found.value or 0.0), found.n, low, high, found.reason)
    return mean_figure(values, _of(clusters, kept), (-math.inf, math.inf))


def differences(a: Sequence[float | None], b: Sequence[float | None]) -> list[float | None]:
    """a - b of each item, 0 where only rounding tells them apart; None where one is missing."""
    found: list[float | None] = [None] * len(a)
    for place in _both(a, b):
        one, other = _number(a[place]), _number(b[place])
        near = abs(one - other) <= EQUAL * max(abs(one), abs(other))
        found[place] = 0.0 if near else one - other
    return found


def mean_figure(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    bounds: tuple[float, float] | None = None,
) -> Figure:
    """A mean as a figure, with the interval of `mean_interval`; none of one value or cluster, or of equal values that
    are no share."""
    found = mean_interval(values, clusters, bounds)
    if len(values) == 1:
        return Figure(found.mean, 1, reason="no interval: one value only")
    if bounds != (0, 1) and max(values) - min(values) <= EQUAL * max(map(abs, values)):
        return Figure(found.mean, found.n, reason=ALL_ALIKE)
    if clusters is not None and len(set(clusters)) == 1:
        return Figure(found.mean, found.n, reason=ONE_CLUSTER)
    if found.low < found.high:
        return Figure(found.mean, found.n, found.low, found.high)
    return Figure(found.mean, found.n, reason=ALL_ALIKE)


def cohen_kappa(
    a: Ratings,
    b: Ratings,
    weights: Literal["linear", "quadratic"] | None = None,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Figure:
    """Agreement of two raters beyond chance (Cohen 1960); with `weights` by how far apart they are (Cohen 1968).

    Weighted kappa is of numbers, whose difference (linear) or its square (quadratic) is the disagreement. The interval
    is the percentile bootstrap over items, or over `clusters` of items.

    >>> round(cohen_kappa("aabbab", "aabbba").value, 3)
    0.333
    """
    kept = _both(a, b)
    ours, theirs = [a[place] for place in kept], [b[place] for place in kept]
    if reason := _too_few(kept):
        return Figure(None, len(kept), reason=reason)
    statistic = _kappa(ours, theirs) if weights is None else _weighted_kappa(ours, theirs, weights)
    return _figure(statistic, len(kept), _of(clusters, kept), seed, f"both say only {ours[0]!r}")


def kappa_gap(
    a: Ratings,
    b: Ratings,
    with_whom: Ratings,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Figure:
    """By how much `a` agrees better with `with_whom` than `b` does: the difference of two kappas."""
    kept = [place for place in _both(a, b) if with_whom[place] is not None]
    if reason := _too_few(kept):
        return Figure(None, len(kept), reason=reason)
    x, y, z = ([side[place] for place in kept] for side in (a, b, with_whom))
    _refuse_nan(z)
    better, worse = _kappa(x, z), _kappa(y, z)
    return _figure(lambda w: better(w) - worse(w), len(kept), _of(clusters, kept), seed, f"all say only {z[0]!r}")


def krippendorff_alpha(
    ratings: Sequence[Ratings],
    level: Level = "nominal",
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Figure:
    """Agreement of any number of raters beyond chance; one list of values an item, None where a rater gave none.

    Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability". 1 is perfect agreement, 0 what chance gives.
    Ordinal and interval values are numbers. The interval is the percentile bootstrap over items, or over `clusters` of
    items; it is not Krippendorff's own, which draws disagreements.

    >>> round(krippendorff_alpha([[1, 1], [2, 2], [3, 2], [None, 4]], "interval").value, 3)
    0.706
    """
    given = [[value for value in values if value is not None] for values in ratings]
    _refuse_nan(value for values in given for value in values)
    kept = [place for place, values in enumerate(given) if len(values) > 1]
    units = [given[place] for place in kept]
    if reason := _too_few(kept, "two values"):
        return Figure(None, len(kept), reason=reason)
    return _figure(_alpha(units, level), len(kept), _of(clusters, kept), seed, f"every value is {units[0][0]!r}")


def beside_people(
    ours: Ratings,
    people: Sequence[Ratings],
    level: Level = "nominal",
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> tuple[Figure, Figure, Figure]:
    """Alpha of people among themselves, of one rater (`ours`) with each of them, and how much the second is higher.

    All three are of the items that `ours` and two people rated, which are drawn together; `people` has one list of
    values an item.
    """
    given = [[value for value in values if value is not None] for values in people]
    kept = [place for place, values in enumerate(given) if len(values) > 1 and ours[place] is not None]
    units, owners = [given[place] for place in kept], _of(clusters, kept)
    alone = krippendorff_alpha(units, level, owners, seed)
    if reason := _too_few(kept, "two people's values and the other rater's"):
        nothing = Figure(None, len(kept), reason=reason)
        return alone, nothing, nothing
    _refuse_nan(ours[place] for place in kept)
    pairs = [(ours[place], value) for place, values in zip(kept, units, strict=True) for value in values]
    of_pair = [number for number, values in enumerate(units) for _ in values]
    of_people, of_pairs = _alpha(units, level), _alpha(pairs, level)

    def one(weights: Numbers) -> Numbers:
        return of_pairs(weights[:, of_pair])

    alike = f"every value is {units[0][0]!r}"
    beside = _figure(one, len(kept), owners, seed, alike)
    return alone, beside, _figure(lambda w: one(w) - of_people(w), len(kept), owners, seed, alike)


def _alpha(units: Sequence[Sequence[Any]], level: Level) -> Statistic:
    return _nominal_alpha(units) if level == "nominal" else _distance_alpha(units, level)


def spearman(
    a: Sequence[float | None],
    b: Sequence[float | None],
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Figure:
    """Spearman's rank correlation (1904): Pearson's of the ranks, ties at their mean rank; percentile bootstrap.

    >>> spearman([1, 2, 3, 4], [10, 20, 20, 80]).value > 0.9
    True
    """
    kept = _both(a, b)
    if reason := _too_few(kept):
        return Figure(None, len(kept), reason=reason)
    x, y = (_Ranked([_number(side[place]) for place in kept]) for side in (a, b))
    return _figure(lambda w: _correlation(x.of(w), y.of(w), w), len(kept), _of(clusters, kept), seed, _flat(x, y))


def spearman_gap(
    a: Sequence[float | None],
    b: Sequence[float | None],
    with_what: Sequence[float | None],
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Figure:
    """By how much `a` follows `with_what` more than `b` does: the difference of two rank correlations."""
    kept = [place for place in _both(a, b) if with_what[place] is not None]
    if reason := _too_few(kept):
        return Figure(None, len(kept), reason=reason)
    x, y, z = (_Ranked([_number(side[place]) for place in kept]) for side in (a, b, with_what))

    def gap(w: Numbers) -> Numbers:
        ranks = z.of(w)
        return _correlation(x.of(w), ranks, w) - _correlation(y.of(w), ranks, w)

    return _figure(gap, len(kept), _of(clusters, kept), seed, _flat(x, y, z))


def partial_spearman(
    a: Sequence[float | None],
    b: Sequence[float | None],
    given: Sequence[float | None],
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Figure:
    """The rank correlation of `a` and `b` that `given` leaves unexplained (the first-order partial correlation of
    Yule 1907, of ranks)."""
    kept = [place for place in _both(a, b) if given[place] is not None]
    if reason := _too_few(kept):
        return Figure(None, len(kept), reason=reason)
    x, y, z = (_Ranked([_number(side[place]) for place in kept]) for side in (a, b, given))

    def partial(w: Numbers) -> Numbers:
        import numpy as np

        ranks = [side.of(w) for side in (x, y, z)]
        xy, xz, yz = (_correlation(ranks[i], ranks[j], w) for i, j in ((0, 1), (0, 2), (1, 2)))
        left = (1 - xz**2) * (1 - yz**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.where(left > _NONE, (xy - xz * yz) / np.sqrt(np.maximum(left, _NONE)), np.nan)
        return np.clip(found, -1, 1)

    reason = _flat(x, y, z) if any(side.constant for side in (x, y, z)) else "one of them follows `given` exactly"
    return _figure(partial, len(kept), _of(clusters, kept), seed, reason)


# Pieces


def _both(a: Sequence[Any], b: Sequence[Any]) -> list[int]:
    if len(a) != len(b):
        raise ValueError(f"{len(a)} values beside {len(b)}; give one of each an item, None where it is missing")
    kept = [place for place, (one, other) in enumerate(zip(a, b, strict=True)) if one is not None and other is not None]
    _refuse_nan(side[place] for side in (a, b) for place in kept)
    return kept


def _refuse_nan(values: Iterable[Any]) -> None:
    if any(value != value for value in values):
        raise ValueError("nan is no value; give None where a value is missing")


def _of(clusters: Sequence[Hashable] | None, kept: Sequence[int]) -> list[Hashable] | None:
    return None if clusters is None else [clusters[place] for place in kept]


def _too_few(kept: Sequence[int], what: str = "both values") -> str:
    if not kept:
        return f"no item has {what}"
    return f"only one item has {what}" if len(kept) == 1 else ""


def _number(value: Any) -> float:
    if isinstance(value, str) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no finite number, and this statistic is of numbers")
    return float(value)


def _flat(*sides: _Ranked) -> str:
    return "every value is alike on one side" if any(side.constant for side in sides) else "it is not defined"


def _figure(statistic: Statistic, n: int, clusters: Sequence[Hashable] | None, seed: int, undefined: str) -> Figure:
    import numpy as np

    value = float(statistic(np.ones((1, n)))[0])
    if not math.isfinite(value):
        return Figure(None, n, reason=undefined)
    groups = n if clusters is None else len(set(clusters))
    if clusters is not None and groups == 1:
        return Figure(value, n, reason=ONE_CLUSTER)
    draws = np.concatenate([statistic(weights) for weights in _draws(n, clusters, seed)])
    found = draws[np.isfinite(draws)]
    if len(found) < DEFINED * len(draws):
        return Figure(value, n, reason="too few rows for an interval: many draws of them leave nothing to compare")
    low, high = (float(limit) for limit in np.quantile(found, [0.025, 0.975]))
    if high - low < _NONE:
        return Figure(value, n, reason=SAME_EACH_DRAW)
    few = clusters is not None and groups < FEW_CLUSTERS
    return Figure(value, n, low, high, f"the interval is of {groups} clusters only: too narrow" if few else "")


def _draws(n: int, clusters: Sequence[Hashable] | None, seed: int) -> Any:
    """How often each item counts in each draw with replacement of items or clusters, in blocks of draws."""
    import numpy as np

    index = {label: place for place, label in enumerate(dict.fromkeys(clusters if clusters is not None else range(n)))}
    units = len(index)
    of_item = np.arange(n) if clusters is None else np.array([index[label] for label in clusters])
    rng = np.random.default_rng(seed)
    for block in np.array_split(np.arange(RESAMPLES), max(1, RESAMPLES * max(n, units) // _BLOCK)):
        drawn = rng.integers(0, units, size=(len(block), units)) + units * np.arange(len(block))[:, None]
        counts = np.bincount(drawn.ravel(), minlength=units * len(block)).reshape(len(block), units)
        yield counts[:, of_item].astype(float)


class _Groups(NamedTuple):
    """Items sorted by value: their order, where each distinct value begins, and which one each item has."""

    order: Any
    starts: Any
    of_item: Any
    values: list[Any]

    def counts(self, weights: Numbers) -> Numbers:
        """How often each distinct value occurs, in each draw."""
        import numpy as np

        return np.asarray(np.add.reduceat(weights[:, self.order], self.starts, axis=1))


def _grouped(values: Sequence[Any]) -> _Groups:
    import numpy as np

    distinct = list(dict.fromkeys(values))
    if not any(isinstance(value, str) for value in distinct):
        distinct.sort()
    place = {value: number for number, value in enumerate(distinct)}
    codes = np.array([place[value] for value in values])
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(len(distinct)))
    return _Groups(order, starts, codes, distinct)


class _Ranked:
    """Numbers whose ranks are wanted, in any draw of them."""

    def __init__(self, values: Sequence[float]) -> None:
        self.groups = _grouped(values)
        self.constant = len(self.groups.values) == 1

    def of(self, weights: Numbers) -> Numbers:
        """Each item's mid-rank, less half the number of items."""
        import numpy as np

        counts = self.groups.counts(weights)
        ranks = np.cumsum(counts, axis=1) - counts / 2 - weights.sum(axis=1, keepdims=True) / 2
        return np.asarray(ranks[:, self.groups.of_item])


def _correlation(x: Numbers, y: Numbers, weights: Numbers) -> Numbers:
    """Pearson's, of values whose weighted means are 0."""
    import numpy as np

    spread = (weights * x * x).sum(axis=1) * (weights * y * y).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(spread > 0, (weights * x * y).sum(axis=1) / np.sqrt(spread), np.nan)
    return np.clip(found, -1, 1)


def _beyond_chance(observed: Numbers, expected: Numbers, least: Numbers | float = 0.0) -> Numbers:
    """1 - observed / expected disagreement; NaN where chance leaves none."""
    import numpy as np

    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > least, 1 - observed / expected, np.nan)


def _margins(a: Sequence[Any], b: Sequence[Any]) -> tuple[list[Any], Callable[[Numbers], tuple[Numbers, Numbers]]]:
    """The distinct values of both sides together, and how often each side has them in a draw."""
    import numpy as np

    groups = _grouped([*a, *b])

    def counted(weights: Numbers) -> tuple[Numbers, Numbers]:
        nothing = np.zeros_like(weights)
        return groups.counts(np.hstack([weights, nothing])), groups.counts(np.hstack([nothing, weights]))

    return groups.values, counted


def _kappa(a: Sequence[Any], b: Sequence[Any]) -> Statistic:
    import numpy as np

    differ = np.array([one != other for one, other in zip(a, b, strict=True)], dtype=float)
    _, margins = _margins(a, b)

    def kappa(weights: Numbers) -> Numbers:
        ours, theirs = margins(weights)
        n = weights.sum(axis=1)
        return _beyond_chance(weights @ differ * n, n * n - (ours * theirs).sum(axis=1))

    return kappa


def _weighted_kappa(a: Sequence[Any], b: Sequence[Any], by: str) -> Statistic:
    import numpy as np

    x, y = (np.array([_number(value) for value in side]) for side in (a, b))
    apart = np.abs(x - y) if by == "linear" else (x - y) ** 2
    values, margins = _margins(x.tolist(), y.tolist())
    steps = np.diff(np.array(values))
    x, y = x - values[0], y - values[0]

    def kappa(weights: Numbers) -> Numbers:
        n = weights.sum(axis=1)
        if by == "linear":  # E|X - Y| is the integral of F(1 - G) + G(1 - F)
            f, g = (np.cumsum(side, axis=1)[:, :-1] for side in margins(weights))
            total = n[:, None]
            expected = ((f * (total - g) + g * (total - f)) * steps).sum(axis=1)
            return _beyond_chance(weights @ apart * n, expected)
        squares = n * (weights @ x**2 + weights @ y**2)
        return _beyond_chance(weights @ apart * n, squares - 2 * (weights @ x) * (weights @ y), _NONE * squares)

    return kappa


def _nominal_alpha(units: Sequence[Sequence[Any]]) -> Statistic:
    import numpy as np

    groups = _grouped([value for unit in units for value in unit])
    sizes = np.array([len(unit) for unit in units], dtype=float)
    of_entry = np.repeat(np.arange(len(units)), sizes.astype(int))
    unlike = np.array([sum(value != other for value in unit for other in unit) / (len(unit) - 1) for unit in units])

    def alpha(weights: Numbers) -> Numbers:
        n = weights @ sizes
        counts = groups.counts(weights[:, of_entry])
        return _beyond_chance(weights @ unlike * (n - 1), n * n - (counts**2).sum(axis=1))

    return alpha


def _distance_alpha(units: Sequence[Sequence[Any]], level: Level) -> Statistic:
    """Alpha of squared distances: of the numbers, or (ordinal) of their mid-ranks among all values of the draw."""
    import numpy as np

    numbers = [_number(value) for unit in units for value in unit]
    ranked = _Ranked(numbers)
    values = (np.array(numbers) - numbers[0])[None, :]
    scale = float(np.abs(values).max()) or 1.0
    sizes = np.array([len(unit) for unit in units], dtype=float)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int)
    of_entry = np.repeat(np.arange(len(units)), sizes.astype(int))

    def alpha(weights: Numbers) -> Numbers:
        n, by_entry = weights @ sizes, weights[:, of_entry]
        x = ranked.of(by_entry) if level == "ordinal" else values / scale
        sums, squares = (np.add.reduceat(terms, starts, axis=1) for terms in (x, x * x))
        unlike = (weights * (sizes * squares - sums**2) / (sizes - 1)).sum(axis=1)
        all_squares = n * (weights * squares).sum(axis=1)
        expected = all_squares - (weights * sums).sum(axis=1) ** 2
        return _beyond_chance(unlike * (n - 1), expected, _NONE * all_squares)

    return alpha
