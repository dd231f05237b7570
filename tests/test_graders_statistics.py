from __future__ import annotations

import math
import random
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders import Grade, bootstrap, summarise
from graders.statistics import LARGE, Tally, _bootstrap_interval, mcnemar, pass_at_k, sign_flip

RNG = random.Random(7)
SCORES = [RNG.random() for _ in range(40)]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_the_interval_holds_the_mean_and_lies_among_the_values(values: list[float]) -> None:
    interval = bootstrap(values)
    assert interval.n == len(values)
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9
    assert interval.mean == pytest.approx(sum(values) / len(values))


def test_the_same_values_give_the_same_interval_and_another_seed_nearly_the_same() -> None:
    assert bootstrap(SCORES) == bootstrap(SCORES)
    assert bootstrap(SCORES, seed=1) != bootstrap(SCORES)
    assert bootstrap(SCORES, seed=1).low == pytest.approx(bootstrap(SCORES).low, abs=0.01)


def test_equal_values_leave_no_doubt() -> None:
    interval = bootstrap([0.5] * 10)
    assert (interval.mean, interval.low, interval.high) == (0.5, 0.5, 0.5)


def test_no_values_have_no_mean() -> None:
    with pytest.raises(ValueError, match="no values"):
        bootstrap([])


def test_more_values_narrow_the_interval_by_the_square_root() -> None:
    rng = random.Random(0)
    few, many = [[rng.random() for _ in range(n)] for n in (100, 1600)]
    ratio = (bootstrap(few).high - bootstrap(few).low) / (bootstrap(many).high - bootstrap(many).low)
    assert 3 < ratio < 5


def test_nineteen_intervals_in_twenty_hold_the_true_mean() -> None:
    rng = random.Random(3)
    trials = 200
    intervals = [bootstrap([float(rng.random() < 0.3) for _ in range(80)], seed=trial) for trial in range(trials)]
    assert 0.88 <= sum(interval.low <= 0.3 <= interval.high for interval in intervals) / trials <= 0.99


def test_repeating_every_value_gains_nothing_when_the_repeats_are_one_cluster() -> None:
    copies = [value for value in SCORES for _ in range(5)]
    clusters = [position for position in range(len(SCORES)) for _ in range(5)]
    single, naive, clustered = bootstrap(SCORES), bootstrap(copies), bootstrap(copies, clusters)
    assert clustered.high - clustered.low == pytest.approx(single.high - single.low, rel=1e-6)
    assert naive.high - naive.low < 0.6 * (clustered.high - clustered.low)


def test_undecided_grades_are_counted_by_kind_and_enter_no_mean() -> None:
    undecided = [
        Grade.undecided("timeout", "slow"),
        Grade.undecided("timeout", "slow"),
        Grade.undecided("other_error", "?"),
    ]
    summary = summarise([Grade(1.0, ""), *undecided, Grade(0.0, ""), Grade.failed("sample_parse_error", "no JSON")])
    assert summary.n == 6
    assert summary.scored is not None
    assert summary.scored.mean == pytest.approx(1 / 3)  # a candidate's fault counts as 0
    assert summary.scored.n == 3
    assert summary.errors == {"timeout": 2, "other_error": 1}
    assert summary.error_rate == 0.5
    assert str(summary).startswith("n 6  mean 0.3333  95% CI [")
    assert str(summary).endswith("failed: sample_parse_error 1  errors: timeout 2, other_error 1")
    assert summary.failed == summary.to_wire()["failed"] == {"sample_parse_error": 1}


def test_clusters_stay_with_their_grades_when_some_are_undecided() -> None:
    grades = [Grade.undecided("timeout", "slow"), *(Grade(score, "") for score in SCORES)]
    clusters = ["dropped", *(position // 4 for position in range(len(SCORES)))]
    assert summarise(grades, clusters).scored == bootstrap(SCORES, clusters[1:])


@pytest.mark.parametrize("grades", [[], [Grade.undecided("timeout", "slow")]])
def test_a_summary_of_nothing_decided_has_no_mean(grades: list[Grade]) -> None:
    summary = summarise(grades)
    assert summary.scored is None
    assert "mean -" in str(summary)
    assert summary.error_rate == float(len(grades) > 0)


def test_the_interval_of_published_sizes_is_bit_for_bit_what_was_published() -> None:
    found = bootstrap(SCORES)
    assert (found.low, found.high) == (0.3091463241904009, 0.4781367277104771)
    assert bootstrap(SCORES[:2]).low == min(SCORES[:2])
    clustered = bootstrap(SCORES, [position // 4 for position in range(len(SCORES))])
    assert (clustered.low, clustered.high) == (0.3067725069063232, 0.47668868042076395)


@pytest.mark.parametrize("cluster_size", [1, 3])
def test_the_interval_of_very_many_values_is_quick_and_nearly_the_bootstraps(cluster_size: int) -> None:
    rng = random.Random(5)
    values, clusters = [], []
    for cluster in range(LARGE + 1):
        base = rng.random()
        for _ in range(rng.randint(1, cluster_size)):
            values.append(base + 0.2 * rng.random())
            clusters.append(cluster)
    start = time.process_time()
    quick = bootstrap(values, clusters if cluster_size > 1 else None)
    assert time.process_time() - start < 0.5
    sums: Any
    sums, sizes = np.bincount(clusters, values), np.bincount(clusters).astype(np.float64)
    low, high = _bootstrap_interval(sums, sizes, 0)
    width = high - low
    assert quick.low == pytest.approx(low, abs=0.03 * width)
    assert quick.high == pytest.approx(high, abs=0.03 * width)
    assert quick.independent == LARGE + 1


@pytest.mark.parametrize(("scores", "clusters"), [([0.5], None), ([0.25, 0.75], ["same", "same"])])
def test_one_value_or_one_cluster_has_no_interval(scores: list[float], clusters: list[str] | None) -> None:
    summary = summarise([Grade(score, "") for score in scores], clusters)
    assert "mean 0.5000  95% CI -  errors: none" in str(summary)
    wire = summary.to_wire()
    assert (wire["mean"], wire["ci_low"], wire["ci_high"]) == (0.5, None, None)


# A tally of more than can be held


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("count", [LARGE, LARGE + 1, 3 * LARGE + 7])
def test_a_tally_says_what_all_the_values_together_say(count: int, clustered: bool) -> None:
    rng = random.Random(count)
    scores = [rng.random() for _ in range(count)]
    clusters = [f"c{rng.randrange(count // 3)}" for _ in range(count)] if clustered else None
    tally = Tally(clustered)
    for position, score in enumerate(scores):
        tally.add(Grade(score, ""), clusters[position] if clusters else None)
    found, expected = tally.summary().scored, bootstrap(scores, clusters)
    assert found is not None
    assert (found.n, found.independent) == (expected.n, expected.independent)
    assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high), rel=1e-12)


def test_clusters_past_what_is_held_share_places(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(1)
    scores = [rng.random() for _ in range(4000)]
    clusters = [f"c{position // 2}" for position in range(4000)]
    expected = bootstrap(scores, clusters)
    monkeypatch.setattr("graders.statistics.MOST_CLUSTERS", 500)
    tally = Tally(clustered=True)
    for score, cluster in zip(scores, clusters, strict=True):
        tally.add(Grade(score, ""), cluster)
    found = tally.summary().scored
    assert found is not None
    assert found.independent == 500
    assert found.mean == pytest.approx(expected.mean)
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.15)


# pass@k


@pytest.mark.parametrize(
    ("n", "c", "k", "chance"),
    [
        (1, 1, 1, 1.0),
        (1, 0, 1, 0.0),
        (5, 2, 1, 0.4),
        (5, 2, 5, 1.0),
        (5, 0, 5, 0.0),
        (5, 4, 2, 1.0),
        (200, 10, 10, 0.0),
    ],
)
def test_pass_at_k_is_the_chance_that_one_of_k_drawn_passes(n: int, c: int, k: int, chance: float) -> None:
    expected = 1 - math.comb(n - c, k) / math.comb(n, k)
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-14)
    if n < 200:
        assert expected == pytest.approx(chance)


@pytest.mark.parametrize(("n", "c", "k"), [(2, 1, 3), (2, 3, 1), (2, -1, 1), (2, 1, 0)])
def test_a_pass_at_k_that_cannot_be_told_is_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="cannot be told"):
        pass_at_k(n, c, k)


def test_pass_at_k_is_over_groups_of_decided_rows_and_says_which_are_too_small() -> None:
    tally = Tally(k=2, threshold=0.7)
    groups: dict[str, list[float | None]] = {
        "a": [1.0, 0.0, 0.7],
        "b": [0.0, 0.69, None],
        "c": [1.0, None],
        "d": [None],
    }
    for group, scores in groups.items():
        for score in scores:
            tally.add(Grade.undecided("timeout", "") if score is None else Grade(score, ""), group=group)
    passes = tally.summary().pass_at_k
    assert passes is not None
    assert passes.scored == bootstrap([1.0, 0.0])
    assert passes.left_out == 2
    wire = passes.to_wire()
    assert (wire["k"], wire["threshold"], wire["groups"], wire["left_out"], wire["mean"]) == (2, 0.7, 2, 2, 0.5)
    told = "of 2 groups (2 left out: fewer than 2 decided rows), pass at 0.7"
    assert f"pass@2 0.5000  95% CI [0.0000, 1.0000]  {told}" in str(tally.summary())


# Tests of pairs


@settings(deadline=None)  # scipy is imported in it
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_binomial_test_on_the_pairs_that_flip(gained: int, lost: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(gained, lost) == mcnemar(lost, gained)


@pytest.mark.parametrize(
    ("gained", "lost"), [(600, 500), (5000, 4700), (500_000, 501_000), (10**6, 0), (0, 0), (700, 700)]
)
def test_mcnemar_of_many_flips_is_as_exact(gained: int, lost: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.binomtest(gained, gained + lost, 0.5).pvalue if gained + lost else 1.0
    assert mcnemar(gained, lost) == pytest.approx(expected, rel=1e-6, abs=1e-300)


def test_mcnemar_gives_the_value_of_statsmodels() -> None:
    tables = pytest.importorskip("statsmodels.stats.contingency_tables")
    assert mcnemar(12, 3) == pytest.approx(tables.mcnemar([[30, 12], [3, 40]], exact=True).pvalue)


@settings(deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=2, max_size=11))
def test_sign_flip_of_few_differences_is_exact(differences: list[float]) -> None:
    stats = pytest.importorskip("scipy.stats")
    if any(differences):
        expected = stats.permutation_test(
            (differences,), lambda values, axis: values.sum(axis=axis), permutation_type="samples",
            n_resamples=np.inf, vectorized=True,
        ).pvalue  # fmt: skip
        assert sign_flip(differences) == pytest.approx(min(1.0, expected))
    else:
        assert sign_flip(differences) == 1.0


def test_sign_flip_of_more_differences_is_drawn_and_near_its_normal_form() -> None:
    rng = random.Random(2)
    differences = [rng.gauss(0.15, 1.0) for _ in range(200)]
    assert sign_flip(differences) == sign_flip(differences)
    z = abs(sum(differences)) / math.sqrt(sum(value**2 for value in differences))
    assert sign_flip(differences) == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.25)
    many = [rng.gauss(0.02, 1.0) for _ in range(LARGE + 1)]
    z = abs(sum(many)) / math.sqrt(sum(value**2 for value in many))
    assert sign_flip(many) == pytest.approx(math.erfc(z / math.sqrt(2)))


def test_sign_flip_turns_whole_clusters() -> None:
    copies = [value for value in [0.5, 0.5, 1.0, 0.25] for _ in range(10)]
    clusters = [position // 10 for position in range(40)]
    assert sign_flip(copies, clusters) == 0.125
    assert sign_flip(copies) < 0.001
    assert sign_flip([0.5, -0.5], ["same", "same"]) == 1.0
    with pytest.raises(ValueError, match="no differences"):
        sign_flip([])


@pytest.mark.parametrize("clustered", [False, True])
def test_one_in_twenty_tests_of_no_difference_comes_out_below_five_percent(clustered: bool) -> None:
    rng = random.Random(4)
    found = []
    for _ in range(300):
        shared = [rng.choice([-1, 1]) * rng.random() for _ in range(12)]
        differences = [value for value in shared for _ in range(3)]
        found.append(sign_flip(differences, [n // 3 for n in range(36)]) if clustered else sign_flip(shared))
    assert 0.02 <= sum(p <= 0.05 for p in found) / len(found) <= 0.09
