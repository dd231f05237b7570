"""Agreement: published examples, the figures of scipy and scikit-learn, and what must hold for any ratings."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]
from sklearn.metrics import cohen_kappa_score

from graders.agreement import (
    ALL_ALIKE,
    Figure,
    Level,
    accuracy,
    beside_people,
    cohen_kappa,
    kappa_gap,
    krippendorff_alpha,
    mean_difference,
    partial_spearman,
    spearman,
    spearman_gap,
)

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section C: four observers, twelve units.
FOUR_OBSERVERS = list(
    zip(
        (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
        (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
        (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
        (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
        strict=True,
    )
)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_four_observers_is_the_published_one(level: Level, published: float) -> None:
    assert krippendorff_alpha(FOUR_OBSERVERS, level).value == pytest.approx(published, abs=5e-4)


def test_alpha_of_two_observers_and_binary_data_is_the_published_one() -> None:
    """The same paper, sections A and B: 0.095 of ten units, 0.692 of nominal data of twelve."""
    meg = (0, 1, 0, 0, 0, 0, 0, 0, 1, 0)
    owen = (1, 1, 1, 0, 0, 1, 0, 0, 0, 0)
    assert krippendorff_alpha(list(zip(meg, owen, strict=True))).value == pytest.approx(0.095, abs=5e-4)
    twelve = list(zip("aabbdcccedda", "babbbccceddd", strict=True))
    assert krippendorff_alpha(twelve).value == pytest.approx(0.692, abs=5e-4)


def test_kappa_is_that_of_the_worked_example() -> None:
    """Two readers of 50 applications: 20 both yes, 15 both no, 5 and 10 apart; kappa 0.4."""
    a = ["y"] * 25 + ["n"] * 25
    b = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert cohen_kappa(a, b).value == pytest.approx(0.4)


SCALE = st.integers(0, 4)
PAIRS = st.lists(st.tuples(SCALE, SCALE), min_size=2, max_size=30)


def two(pairs: Sequence[tuple[Any, Any]]) -> tuple[list[Any], list[Any]]:
    return [one for one, _ in pairs], [other for _, other in pairs]


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.sampled_from([None, "linear", "quadratic"]))
def test_kappa_is_scikit_learns(pairs: list[tuple[int, int]], weights: Any) -> None:
    a, b = two(pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = float(cohen_kappa_score(a, b, labels=[0, 1, 2, 3, 4], weights=weights))
    ours = cohen_kappa(a, b, weights).value
    assert ours == pytest.approx(theirs, abs=1e-9) if theirs == theirs else ours is None


@settings(max_examples=60, deadline=None)
@given(PAIRS)
def test_spearman_is_scipys(pairs: list[tuple[int, int]]) -> None:
    a, b = two(pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = float(stats.spearmanr(a, b).statistic)
    ours = spearman(a, b).value
    assert ours == pytest.approx(theirs, abs=1e-9) if theirs == theirs else ours is None


def slow_alpha(units: Sequence[Sequence[Any]], level: Level) -> float | None:
    """Alpha straight from the definition: all pairs of values, within units and over all."""
    units = [[value for value in unit if value is not None] for unit in units]
    units = [unit for unit in units if len(unit) > 1]
    everything = sorted(value for unit in units for value in unit)
    n = len(everything)

    def apart(one: Any, other: Any) -> float:
        if level == "nominal":
            return float(one != other)
        if level == "interval":
            return float(one - other) ** 2
        low, high = sorted((one, other))
        between = sum(low <= value <= high for value in everything)
        return float(between - (everything.count(low) + everything.count(high)) / 2) ** 2

    observed = sum(sum(apart(one, other) for one in unit for other in unit) / (len(unit) - 1) for unit in units) / n
    expected = sum(apart(one, other) for one in everything for other in everything) / (n * (n - 1))
    return None if expected == 0 else 1 - observed / expected


RATINGS = st.lists(st.lists(st.none() | SCALE, min_size=2, max_size=4), min_size=2, max_size=15)


@settings(max_examples=60, deadline=None)
@given(RATINGS, st.sampled_from(["nominal", "ordinal", "interval"]))
def test_alpha_is_that_of_its_definition(units: list[list[int | None]], level: Level) -> None:
    if sum(sum(value is not None for value in unit) > 1 for unit in units) < 2:
        assert krippendorff_alpha(units, level).value is None
        return
    ours, slow = krippendorff_alpha(units, level).value, slow_alpha(units, level)
    assert ours == (None if slow is None else pytest.approx(slow, abs=1e-9))


@settings(max_examples=40, deadline=None)
@given(PAIRS)
def test_two_raters_can_change_places(pairs: list[tuple[int, int]]) -> None:
    a, b = two(pairs)
    for statistic in (accuracy, cohen_kappa, spearman):
        one, other = statistic(a, b).value, statistic(b, a).value
        assert one == (None if other is None else pytest.approx(other, abs=1e-12))


@settings(max_examples=40, deadline=None)
@given(PAIRS, st.permutations(range(5)))
def test_names_of_categories_do_not_matter(pairs: list[tuple[int, int]], names: list[int]) -> None:
    a, b = two(pairs)
    renamed = [[f"name {names[value]}" for value in side] for side in (a, b)]
    one, other = cohen_kappa(a, b).value, cohen_kappa(renamed[0], renamed[1]).value
    assert one == (None if other is None else pytest.approx(other, abs=1e-12))
    alphas = krippendorff_alpha(list(zip(a, b, strict=True))), krippendorff_alpha(list(zip(*renamed, strict=True)))
    assert alphas[0].value == (None if alphas[1].value is None else pytest.approx(alphas[1].value, abs=1e-12))


@settings(max_examples=40, deadline=None)
@given(RATINGS, st.sampled_from(["nominal", "ordinal", "interval"]))
def test_figures_stay_in_their_bounds_and_in_their_intervals_order(units: list[list[int | None]], level: Level) -> None:
    figure = krippendorff_alpha(units, level)
    if figure.value is None:
        assert figure.reason
        return
    assert figure.value <= 1 + 1e-12
    if figure.low is not None and figure.high is not None:
        assert figure.low < figure.high <= 1 + 1e-12


@settings(max_examples=40, deadline=None)
@given(st.lists(SCALE, min_size=2, max_size=20).filter(lambda values: len(set(values)) > 1))
def test_perfect_agreement_is_one(values: list[int]) -> None:
    units = [[value, value, value] for value in values]
    assert accuracy(values, values).value == 1
    levels: list[Level] = ["nominal", "ordinal", "interval"]
    for level in levels:
        assert krippendorff_alpha(units, level).value == pytest.approx(1)
    for weights in (None, "linear", "quadratic"):
        assert cohen_kappa(values, values, weights).value == pytest.approx(1)
    assert spearman(values, values).value == pytest.approx(1)


BOTH: list[Callable[[Any, Any], Figure]] = [
    cohen_kappa,
    lambda a, b: cohen_kappa(a, b, "linear"),
    lambda a, b: cohen_kappa(a, b, "quadratic"),
    spearman,
    lambda a, b: krippendorff_alpha(list(zip(a, b, strict=True)), "nominal"),
    lambda a, b: krippendorff_alpha(list(zip(a, b, strict=True)), "ordinal"),
    lambda a, b: krippendorff_alpha(list(zip(a, b, strict=True)), "interval"),
    lambda a, b: partial_spearman(a, b, a),
    lambda a, b: spearman_gap(a, a, b),
]


@pytest.mark.parametrize("statistic", BOTH)
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([], []),
        ([1.5], [1.5]),
        ([1, None], [None, 2]),
        ([0.1] * 9, [0.1] * 9),
        ([None] * 4, [None] * 4),
    ],
)
def test_what_cannot_be_told_is_none_with_a_reason(
    statistic: Callable[[Any, Any], Figure], a: list[Any], b: list[Any]
) -> None:
    figure = statistic(a, b)
    assert (figure.value, figure.low, figure.high) == (None, None, None)
    assert figure.reason


def test_perfect_agreement_has_a_value_and_no_interval_of_no_width() -> None:
    figure = cohen_kappa([1, 2] * 30, [1, 2] * 30)
    assert (figure.value, figure.low, figure.high) == (1, None, None)
    assert "every draw" in figure.reason
    assert accuracy([1, 2] * 30, [1, 2] * 30).low == pytest.approx(0.94, abs=0.01)  # Wilson's has one


@pytest.mark.parametrize("statistic", BOTH[1:4])
def test_a_number_is_not_taken_from_a_text(statistic: Callable[[Any, Any], Figure]) -> None:
    with pytest.raises(ValueError, match="no finite number"):
        statistic(["a", "b", "a"], [1, 2, 3])


def test_lists_of_unlike_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 values beside 3"):
        accuracy([1, 2], [1, 2, 3])


def noisy(n: int, seed: int) -> tuple[list[float], list[float]]:
    draw = random.Random(seed)
    a = [draw.gauss(0, 1) for _ in range(n)]
    return a, [value + draw.gauss(0, 1) for value in a]


def tenth_wrong(n: int, seed: int) -> tuple[list[bool], list[bool]]:
    """Two raters of a balanced question, one of whom errs in a tenth of the items: kappa and alpha are 0.8."""
    draw = random.Random(seed)
    a = [draw.random() < 0.5 for _ in range(n)]
    return a, [value != (draw.random() < 0.1) for value in a]


@pytest.mark.parametrize(
    ("statistic", "sides", "truth"),
    [
        (spearman, noisy, 0.690),  # of normal variables of Pearson's r = 1/sqrt(2): 6/pi asin(r/2)
        (cohen_kappa, tenth_wrong, 0.8),
        (BOTH[4], tenth_wrong, 0.8),
    ],
)
def test_the_interval_holds_the_truth_about_as_often_as_it_says(
    statistic: Callable[[Any, Any], Figure], sides: Callable[[int, int], Any], truth: float
) -> None:
    found = [statistic(*sides(60, seed)) for seed in range(100)]
    held = sum(figure.low <= truth <= figure.high for figure in found if figure.low and figure.high)
    assert 88 <= held <= 99


def test_clusters_that_repeat_their_rows_widen_the_interval() -> None:
    a, b = noisy(40, seed=1)
    plain, repeated = spearman(a, b), spearman(a * 5, b * 5, clusters=list(range(40)) * 5)
    assert repeated.value == pytest.approx(plain.value)
    assert (repeated.low, repeated.high) == pytest.approx((plain.low, plain.high), abs=0.03)
    careless = spearman(a * 5, b * 5)
    assert careless.high - careless.low < 0.6 * (plain.high - plain.low)  # type: ignore[operator]


def test_the_same_values_have_the_same_interval() -> None:
    a, b = noisy(50, seed=2)
    assert spearman(a, b) == spearman(a, b)
    assert spearman(a, b, seed=1) != spearman(a, b)


def test_partial_correlation_takes_out_what_both_follow() -> None:
    draw = random.Random(3)
    cause = [draw.gauss(0, 1) for _ in range(400)]
    a, b = ([value + draw.gauss(0, 0.5) for value in cause] for _ in range(2))
    plain, partial = spearman(a, b), partial_spearman(a, b, cause)
    assert plain.value is not None
    assert plain.value > 0.7
    assert partial.low is not None
    assert partial.high is not None
    assert partial.low < 0 < partial.high
    gap = spearman_gap(a, [draw.gauss(0, 1) for _ in a], cause)
    assert gap.low is not None
    assert gap.low > 0.6


def test_the_mean_difference_is_signed() -> None:
    figure = mean_difference([1.0, 2.0, None, 4.0], [0.0, 2.0, 9.0, 2.0])
    assert (figure.value, figure.n) == (1.0, 3)
    assert mean_difference([1.0], [0.5]).low is None


DIFFERENCES = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None)
@given(DIFFERENCES | PAIRS)
def test_the_mean_difference_turns_round_with_its_sides(pairs: list[tuple[float, float]]) -> None:
    a, b = two(pairs)
    one, other = mean_difference(a, b), mean_difference(b, a)
    assert one.value is not None
    assert other.value is not None
    assert (one.value, one.reason) == (-other.value, other.reason)
    assert (one.low is None) == (other.low is None)
    if one.low is not None and other.high is not None:
        assert (one.low, one.high) == (-other.high, -(other.low or 0.0))


def test_a_difference_is_no_share_though_its_values_are_0_and_1() -> None:
    figure = mean_difference([1.0] * 33, [1.0] * 30 + [0.0] * 3)
    assert figure.value == pytest.approx(1 / 11)
    assert figure.low is not None
    assert figure.low == pytest.approx(0.0, abs=0.035)  # Wilson's is 0.031 to 0.236, and cut at 0
    mirrored = mean_difference([1.0] * 30 + [0.0] * 3, [1.0] * 33)
    assert (mirrored.high, mirrored.low) == (-figure.low, -(figure.high or 0.0))


def test_what_rounding_leaves_is_no_difference() -> None:
    figure = mean_difference([0.1 + 0.2, 0.7 + 0.1, 0.3] * 20, [0.3, 0.8, 0.3] * 20)
    assert (figure.value, figure.low, figure.reason) == (0.0, None, ALL_ALIKE)
    offset = mean_difference([q / 10 + 0.1 for q in range(9)], [q / 10 for q in range(9)])
    assert offset.value == pytest.approx(0.1)
    assert (offset.low, offset.reason) == (None, ALL_ALIKE)


CLUSTERED: list[Callable[[Any, Any, Any], Figure]] = [
    lambda a, b, c: accuracy([x > 0 for x in a], [x > 0 for x in b], c),
    lambda a, b, c: mean_difference(a, b, c),
    lambda a, b, c: spearman(a, b, c),
    lambda a, b, c: cohen_kappa([x > 0 for x in a], [x > 0 for x in b], None, c),
    lambda a, b, c: krippendorff_alpha(list(zip(a, b, strict=True)), "interval", c),
    lambda a, b, c: partial_spearman(a, b, [x * x for x in a], c),
]


@pytest.mark.parametrize("statistic", CLUSTERED)
def test_one_cluster_gives_no_interval(statistic: Callable[[Any, Any, Any], Figure]) -> None:
    a, b = noisy(60, seed=4)
    figure = statistic(a, b, ["one"] * 60)
    assert figure.value is not None
    assert (figure.low, figure.high) == (None, None)
    assert "one cluster only" in figure.reason


@pytest.mark.parametrize("statistic", CLUSTERED[2:])
def test_an_interval_of_few_clusters_says_that_it_is_too_narrow(statistic: Callable[[Any, Any, Any], Figure]) -> None:
    a, b = noisy(60, seed=4)
    few = statistic(a, b, [n % 9 for n in range(60)])
    assert few.low is not None
    assert "9 clusters only: too narrow" in few.reason
    assert few.to_wire()["reason"] == few.reason
    assert statistic(a, b, [n % 10 for n in range(60)]).reason == ""


@pytest.mark.parametrize("statistic", [accuracy, mean_difference, *BOTH])
def test_nan_is_refused(statistic: Callable[[Any, Any], Figure]) -> None:
    with pytest.raises(ValueError, match="nan"):
        statistic([1.0, math.nan, 2.0, 3.0], [1.0, math.nan, 2.0, 2.0])


def test_the_gap_of_two_kappas_is_their_difference() -> None:
    truth, good = tenth_wrong(200, seed=1)
    draw = random.Random(2)
    bad = [draw.random() < 0.5 for _ in truth]
    gap = kappa_gap(good, bad, truth)
    kappas = [cohen_kappa(side, truth).value or 0.0 for side in (good, bad)]
    assert gap.value == pytest.approx(kappas[0] - kappas[1])
    assert gap.low is not None
    assert gap.low > 0.5
    assert kappa_gap(good, good, truth).value == 0


@pytest.mark.parametrize("level", ["nominal", "interval"])
def test_one_rater_is_compared_with_each_of_the_others_on_their_rows(level: Level) -> None:
    draw = random.Random(6)
    worth = [draw.randint(1, 5) for _ in range(80)]
    people = [[value + draw.choice((-1, 0, 0, 1)) for _ in range(3)] for value in worth]
    alone, one, gap = beside_people(worth, people, level)
    assert alone == krippendorff_alpha(people, level)
    pairs = [(value, said) for value, ratings in zip(worth, people, strict=True) for said in ratings]
    assert one.value == pytest.approx(krippendorff_alpha(pairs, level).value)
    assert (alone.n, one.n, gap.n) == (80, 80, 80)
    assert gap.value is not None
    assert gap.value == pytest.approx((one.value or 0) - (alone.value or 0))
    assert gap.value > 0  # the truth is nearer to each of them than they are to each other
    fewer = beside_people([*worth[:40], *[None] * 40], [*people[:30], *[[1]] * 10, *people[40:]], level)
    assert [figure.n for figure in fewer] == [30, 30, 30]
