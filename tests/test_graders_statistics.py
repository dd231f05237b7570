from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grade, bootstrap, summarise
from graders.statistics import LARGE, _bootstrap_interval

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
    assert str(summary).endswith("errors: timeout 2, other_error 1")


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
