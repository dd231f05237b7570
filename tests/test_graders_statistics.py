from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders import Grade, bootstrap, summarise
from graders.statistics import (
    _STUDENT,
    FEW,
    LARGE,
    Asked,
    Interval,
    Tally,
    _bootstrap_interval,
    mcnemar,
    mean_interval,
    mean_of,
    note_of,
    pass_at_k,
    sign_flip,
)

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
    clusters = ["dropped", *(position // 2 for position in range(len(SCORES)))]
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
def test_the_interval_of_very_many_values_is_nearly_the_bootstraps_without_one(
    cluster_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graders.statistics.LARGE", 4000)
    rng = random.Random(5)
    values, clusters = [], []
    for cluster in range(4001):
        base = rng.random()
        for _ in range(rng.randint(1, cluster_size)):
            values.append(base + 0.2 * rng.random())
            clusters.append(cluster)
    with monkeypatch.context() as context:
        context.setattr("graders.statistics._bootstrap_interval", lambda *_: pytest.fail("drew samples"))
        quick = bootstrap(values, clusters if cluster_size > 1 else None)
    sums: Any
    sums, sizes = np.bincount(clusters, values), np.bincount(clusters).astype(np.float64)
    low, high = _bootstrap_interval(sums, sizes, 0)
    width = high - low
    assert quick.low == pytest.approx(low, abs=0.03 * width)
    assert quick.high == pytest.approx(high, abs=0.03 * width)
    assert quick.independent == 4001


@pytest.mark.parametrize(("scores", "clusters"), [([0.5], None), ([0.25, 0.75], ["same", "same"]), ([0.5] * 30, None)])
def test_one_value_or_one_cluster_or_equal_values_have_no_interval(
    scores: list[float], clusters: list[str] | None
) -> None:
    summary = summarise([Grade(score, "") for score in scores], clusters)
    assert f"mean 0.5000  95% CI -{' in 1 cluster' if clusters else ''}  errors: none" in str(summary)
    wire = summary.to_wire()
    assert (wire["mean"], wire["ci_low"], wire["ci_high"]) == (0.5, None, None)


# The interval that suits the values


def limits(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.low, interval.high


@settings(deadline=None)  # scipy is imported in it
@given(st.integers(2, 400), st.data())
def test_the_interval_of_passes_is_wilsons(n: int, data: st.DataObject) -> None:
    """Wilson 1927, as in scipy: `binomtest(...).proportion_ci(method="wilson")`."""
    stats = pytest.importorskip("scipy.stats")
    passes = data.draw(st.integers(0, n))
    found = mean_interval([1.0] * passes + [0.0] * (n - passes))
    expected = stats.binomtest(passes, n).proportion_ci(method="wilson")
    assert limits(found) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    assert found.n == found.independent == n


@pytest.mark.parametrize(
    ("score", "shown"), [(1.0, "1.0000  95% CI [0.4385, 1.0000]"), (0.0, "0.0000  95% CI [0.0000, 0.5615]")]
)
def test_three_rows_alike_claim_no_certainty(score: float, shown: str) -> None:
    assert f"n 3  mean {shown}  errors: none" in str(summarise([Grade(score, "")] * 3))


def test_rows_alike_in_clusters_count_once_a_cluster() -> None:
    clusters = [position // 10 for position in range(40)]
    found = summarise([Grade(1.0, "")] * 40, clusters)
    assert limits(found.scored) == limits(mean_interval([1.0] * 4))
    assert "n 40  mean 1.0000  95% CI [0.5101, 1.0000] in 4 clusters  errors: none" in str(found)
    apart = summarise([Grade(1.0, "")] * 40, range(40))
    assert "clusters" not in str(apart)


def test_very_many_passes_have_wilsons_interval_too() -> None:
    tally = Tally()
    for position in range(2 * LARGE):
        tally.add(Grade(float(position % 4 > 0), ""))
    found = tally.summary().scored
    assert found == mean_interval([0.0, 1.0, 1.0, 1.0] * (LARGE // 2))
    assert found is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(0.75 * 0.25 / (2 * LARGE)), rel=1e-3)


def test_scores_of_another_range_are_no_passes() -> None:
    assert limits(mean_interval([1.0, 1.0, 1.0], bounds=(0, 7))) == (1.0, 1.0)
    assert "95% CI -" in str(summarise([Grade(1.0, "")] * 3, bounds=(0, 7)))
    values = [0.0, 1.0] * FEW
    assert mean_interval(values, bounds=(0, 7)) == bootstrap(values)


def test_the_quantiles_of_student_are_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    assert len(_STUDENT) == FEW - 2
    assert list(_STUDENT) == pytest.approx([stats.t.ppf(0.975, freedom) for freedom in range(1, FEW - 1)], rel=1e-11)


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=FEW - 1).filter(lambda values: not set(values) <= {0.0, 1.0}))
def test_the_interval_of_few_values_is_students(values: list[float]) -> None:
    """Student 1908, as in scipy: `ttest_1samp(...).confidence_interval()`."""
    stats = pytest.importorskip("scipy.stats")
    margin = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    mean = float(np.mean(values))
    assert limits(mean_interval(values)) == pytest.approx((mean - margin, mean + margin), abs=1e-9)
    cut = mean_interval(values, bounds=(-5, 5))
    assert limits(cut) == pytest.approx((max(-5, mean - margin), min(5, mean + margin)), abs=1e-9)


@pytest.mark.parametrize("n", [FEW, 40])
def test_from_twenty_values_on_it_is_the_bootstraps(n: int) -> None:
    assert mean_interval(SCORES[:n]) == bootstrap(SCORES[:n])
    assert mean_interval(SCORES[: FEW - 1]) != bootstrap(SCORES[: FEW - 1])


def test_few_clusters_of_equal_size_have_the_interval_of_their_means() -> None:
    clusters = [position // 4 for position in range(len(SCORES))]
    means = [math.fsum(SCORES[start : start + 4]) / 4 for start in range(0, len(SCORES), 4)]
    found = mean_interval(SCORES, clusters)
    assert limits(found) == pytest.approx(limits(mean_interval(means)))
    assert (found.n, found.independent) == (40, 10)
    assert "in 10 clusters" in str(summarise([Grade(score, "") for score in SCORES], clusters))


@pytest.mark.parametrize("n", [4, 8, 15])
@pytest.mark.parametrize("clustered", [False, True])
def test_nineteen_intervals_of_few_in_twenty_hold_the_true_mean(n: int, clustered: bool) -> None:
    rng = random.Random(n)
    held = 0
    for _ in range(500):
        values, clusters = [], []
        for cluster in range(n):
            base = rng.random()
            for _ in range(3 if clustered else 1):
                values.append(0.7 * base + 0.3 * rng.random())
                clusters.append(cluster)
        found = mean_interval(values, clusters if clustered else None)
        held += found.low <= 0.5 <= found.high
    assert 0.92 <= held / 500 <= 0.98


# Values near the end of the floats


HUGE = 1e308


@pytest.mark.parametrize("clusters", [None, ["a", "a", "b"], ["a", "b", "c"]])
def test_huge_values_have_a_mean(clusters: list[str] | None) -> None:
    values = [HUGE] * 3
    assert mean_of(values) == HUGE
    assert limits(bootstrap(values, clusters)) == (HUGE, HUGE)
    summary = summarise([Grade(value, "") for value in values], clusters)
    assert summary.scored is not None
    assert summary.scored.mean == HUGE
    assert "mean 1.0000e+308  95% CI -" in str(summary)


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("count", [4, 60, 1005, 2005])
@pytest.mark.parametrize("size", [1e200, 1e308])
def test_the_interval_of_huge_values_is_that_of_small_ones_in_another_unit(
    size: float, count: int, clustered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graders.statistics.LARGE", 1000)
    scale = 2.0 ** (math.frexp(size)[1] - 1)
    rng = random.Random(count)
    small = [rng.choice([0.0, 0.25, 1.0]) for _ in range(count - 1)] + [0.25]
    clusters = [position // 2 for position in range(count)] if clustered else None
    expected, found = mean_interval(small, clusters), mean_interval([value * scale for value in small], clusters)
    assert found.mean / scale == pytest.approx(expected.mean, rel=1e-12)
    cut = [max(-2.0, min(2.0, limit)) for limit in limits(expected)] if size == HUGE else limits(expected)
    assert [limit / scale for limit in limits(found)] == pytest.approx(list(cut), rel=1e-12)
    assert all(math.isfinite(limit) for limit in limits(found))
    assert bootstrap([value * scale for value in small], clusters).low / scale == pytest.approx(
        bootstrap(small, clusters).low, rel=1e-12
    )


def test_the_sign_flip_test_of_huge_differences_is_that_of_small_ones() -> None:
    differences = [0.5, 0.5, 1.0, 0.25]
    assert sign_flip([value * 2.0**1023 for value in differences]) == sign_flip(differences)
    many = [0.25, -0.25, 0.5] * LARGE
    assert sign_flip([value * 2.0**1000 for value in many]) == sign_flip(many)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_the_mean_of_any_finite_values_lies_among_them(values: list[float]) -> None:
    mean = mean_of(values)
    slack = 1e-15 * max(abs(value) for value in values)
    assert min(values) - slack <= mean <= max(values) + slack


# A tally of more than can be held


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("count", [1000, 1001, 3007])
def test_a_tally_says_what_all_the_values_together_say(
    count: int, clustered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graders.statistics.LARGE", 1000)
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
    assert passes.scored == mean_interval([1.0, 0.0])
    assert passes.left_out == 2
    wire = passes.to_wire()
    assert (wire["k"], wire["threshold"], wire["groups"], wire["left_out"], wire["mean"]) == (2, 0.7, 2, 2, 0.5)
    told = "of 2 groups (2 left out: fewer than 2 decided rows), pass at 0.7"
    assert f"pass@2 0.5000  95% CI [0.0945, 0.9055]  {told}" in str(tally.summary())


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


def test_a_cascade_tells_who_settled_and_whom_it_spared() -> None:
    tally = Tally(parts=["cheap", "judge"])
    for score, settled in ((1.0, "cheap"), (0.0, "cheap"), (0.5, "judge")):
        tally.add_note(note_of(Grade(score, ""), Asked(None, 3, settled)))
    tally.add_note(note_of(Grade.undecided("timeout", "slow"), Asked(None, 3, None)))
    summary = tally.summary()
    assert summary.settled == {"cheap": 2, "judge": 1}
    assert summary.spared == 0.5
    assert summary.details() == ["settled by 'cheap' 2, 'judge' 1; 'judge' was not asked in 50.0% of the rows"]
    assert summary.to_wire()["last_part_spared"] == 0.5


def test_usage_is_summed_by_model_over_all_grades_decided_or_not() -> None:
    used = {"a": {"calls": 1, "prompt_tokens": 10}, "b": {"kept": 1}}
    grades = [Grade(1.0, "", usage=used), Grade(0.0, ""), Grade.undecided("timeout", "slow", usage=used)]
    assert summarise(grades, lengths=[1, 2, 3]).usage == {"a": {"calls": 2, "prompt_tokens": 20}, "b": {"kept": 2}}
    assert summarise(grades).usage is None, "not asked for"
