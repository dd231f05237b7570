"""Advantages, against numbers worked by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rft_loop.learning.advantage import EPSILON, Estimator, gdpo, group_advantages, has_spread, std, zero_spread_share

SIZE = 4
REWARD = st.floats(-100, 100, allow_subnormal=False)
REWARDS = st.integers(1, 5).flatmap(
    lambda groups: st.lists(st.none() | REWARD, min_size=groups * SIZE, max_size=groups * SIZE)
)
# Steps of 1/4 add up exactly, so that a shift cannot make equal rewards differ or different ones equal.
EXACT = st.lists(st.none() | st.integers(-40, 40).map(lambda n: n / 4), min_size=2 * SIZE, max_size=2 * SIZE)


@pytest.mark.parametrize(
    ("rewards", "mean", "grpo"),
    [
        # mean 0.5, variance (0.25 + 0.25) / 1, std sqrt(0.5)
        ([1.0, 0.0], [0.5, -0.5], [0.5 / (math.sqrt(0.5) + 1e-4), -0.5 / (math.sqrt(0.5) + 1e-4)]),
        # mean 2, variance (1 + 0 + 1) / 2 = 1
        ([1.0, 2.0, 3.0], [-1.0, 0.0, 1.0], [-1 / 1.0001, 0.0, 1 / 1.0001]),
        # mean 1/4, variance (9/16 + 3/16) / 3 = 1/4
        ([1.0, 0.0, 0.0, 0.0], [0.75, -0.25, -0.25, -0.25], [0.75 / 0.5001, *[-0.25 / 0.5001] * 3]),
        # the undecided one takes part in nothing: mean 1, variance (1 + 1) / 1
        ([2.0, None, 0.0], [1.0, 0.0, -1.0], [1 / (math.sqrt(2) + 1e-4), 0.0, -1 / (math.sqrt(2) + 1e-4)]),
        ([0.5, 0.5, 0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([0.1, None, 0.1], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        ([7.0, None, None], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),  # one alone has no one to be compared with
        ([None, None], [0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_one_group_by_hand(rewards: list[float | None], mean: list[float], grpo: list[float]) -> None:
    assert group_advantages(rewards, len(rewards), "mean") == pytest.approx(mean, abs=1e-15)
    assert group_advantages(rewards, len(rewards), "grpo") == pytest.approx(grpo, rel=1e-12)
    assert EPSILON == 1e-4


@pytest.mark.parametrize(
    ("estimator", "rewards", "advantages"),
    [
        ("rloo", [1.0, 0.0, 0.5], [0.75, -0.75, 0.0]),  # each less the mean of the two others
        ("rloo", [1.0, None, 0.0], [1.0, 0.0, -1.0]),
        ("maxrl", [1.0, 0.0, 0.0, 0.0], [3.0, -1.0, -1.0, -1.0]),  # mean 1/4: rare success weighs four times
        ("maxrl", [1.0, 1.0, 1.0, 0.0], [1 / 3, 1 / 3, 1 / 3, -1.0]),
        ("maxrl", [-1.0, 0.0, -2.0], [0.0, 0.0, 0.0]),  # no mean above 0 to divide by
        ("batch", [3.0, 1.0], [1 / (math.sqrt(2) + 1e-4), -1 / (math.sqrt(2) + 1e-4)]),
        ("rloo", [0.5, 0.5], [0.0, 0.0]),
        ("maxrl", [None, 1.0], [0.0, 0.0]),
    ],
)
def test_other_estimators_by_hand(estimator: Estimator, rewards: list[float | None], advantages: list[float]) -> None:
    assert group_advantages(rewards, len(rewards), estimator) == pytest.approx(advantages, abs=1e-12)


def test_batch_scaling_divides_by_the_spread_of_all_rewards() -> None:
    found = group_advantages([0.0, 1.0, 10.0, 10.0, None, 0.0], 2, "batch")
    spread = std([0.0, 1.0, 10.0, 10.0, 0.0]) + EPSILON
    assert found == pytest.approx([-0.5 / spread, 0.5 / spread, 0.0, 0.0, 0.0, 0.0])


@given(REWARDS, st.data())
def test_whitening_counts_tokens_so_that_their_mean_is_0_and_their_variance_1(
    rewards: list[float | None], data: st.DataObject
) -> None:
    lengths = data.draw(st.lists(st.integers(1, 20), min_size=len(rewards), max_size=len(rewards)))
    gains = [gain for gain in group_advantages(rewards, SIZE, "mean") if gain]
    assume(len(gains) > 1 and max(map(abs, gains)) > 1e-2)
    found = group_advantages(rewards, SIZE, "reinforce++", lengths)
    tokens = [
        advantage
        for advantage, reward, length in zip(found, rewards, lengths, strict=True)
        if reward is not None
        for _ in range(length)
    ]
    assert math.fsum(tokens) / len(tokens) == pytest.approx(0.0, abs=1e-6)
    assert std(tokens) == pytest.approx(1.0, rel=1e-2)
    assert all(advantage == 0.0 for advantage, reward in zip(found, rewards, strict=True) if reward is None)


@given(REWARDS)
def test_leaving_one_out_is_the_mean_alone_times_n_over_n_minus_1(rewards: list[float | None]) -> None:
    for start in range(0, len(rewards), SIZE):
        group = rewards[start : start + SIZE]
        n = sum(reward is not None for reward in group)
        mean, others = group_advantages(group, SIZE, "mean"), group_advantages(group, SIZE, "rloo")
        assert others == pytest.approx([gain * n / max(n - 1, 1) for gain in mean])


def test_several_rewards_weigh_alike_whatever_their_spread() -> None:
    correct, brief = [1.0, 0.0, 1.0, 0.0], [0.001, 0.002, 0.002, 0.001]
    found = gdpo({"correct": correct, "brief": brief}, {"correct": 1.0, "brief": 1.0}, 4)
    assert found[2] == max(found)
    assert found[3] == min(found)
    assert found[0] == pytest.approx(0.0, abs=0.2)  # right and long: one good mark, one bad
    assert found[1] == pytest.approx(0.0, abs=0.2)


def test_a_rollout_with_one_undecided_reward_of_several_gets_nothing() -> None:
    found = gdpo({"a": [1.0, 0.0, 0.5, 0.2], "b": [None, 0.0, 0.5, 1.0]}, {"a": 1.0, "b": 2.0}, 4)
    assert found[0] == 0.0
    assert all(advantage != 0.0 for advantage in found[1:])


def test_rewards_and_weights_of_other_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\['a'\] and weights for \['b'\]"):
        gdpo({"a": [1.0, 0.0]}, {"b": 1.0}, 2)


def test_groups_are_neighbours_and_know_nothing_of_each_other() -> None:
    assert group_advantages([1.0, 0.0, 100.0, 300.0], 2, "mean") == [0.5, -0.5, -100.0, 100.0]


def test_equal_rewards_that_binary_fractions_cannot_hold_give_exactly_zero() -> None:
    # Their mean is not 0.1 in floating point when summed naively: a threshold would be a guess, equality is not.
    assert group_advantages([0.1] * 10, 10) == [0.0] * 10


def test_a_spread_of_one_rounding_step_is_a_spread() -> None:
    group = [0.1, math.nextafter(0.1, 1)]
    assert has_spread(group)
    low, high = group_advantages(group, 2)
    assert low < high


@given(EXACT, st.integers(-400, 400).map(lambda n: n / 4), st.sampled_from(["grpo", "mean"]))
def test_adding_a_constant_to_all_rewards_changes_nothing(
    rewards: list[float | None], shift: float, scale: str
) -> None:
    shifted = [None if reward is None else reward + shift for reward in rewards]
    assert group_advantages(shifted, SIZE, scale) == pytest.approx(  # type: ignore[arg-type]
        group_advantages(rewards, SIZE, scale),  # type: ignore[arg-type]
        abs=1e-9,
    )


@given(REWARDS)
def test_advantages_of_a_group_sum_to_zero(rewards: list[float | None]) -> None:
    advantages = group_advantages(rewards, SIZE, "mean")
    for start in range(0, len(advantages), SIZE):
        assert sum(advantages[start : start + SIZE]) == pytest.approx(0.0, abs=1e-9)


@given(REWARDS, st.sampled_from(["grpo", "mean"]))
def test_a_grader_error_moves_no_one(rewards: list[float | None], scale: str) -> None:
    """The undecided rollout gets 0, and the others get what they would get had it never been sampled."""
    advantages = group_advantages(rewards, SIZE, scale)  # type: ignore[arg-type]
    for start in range(0, len(rewards), SIZE):
        group, found = rewards[start : start + SIZE], advantages[start : start + SIZE]
        decided = [reward for reward in group if reward is not None]
        assert all(a == 0.0 for a, reward in zip(found, group, strict=True) if reward is None)
        if decided:
            kept = [a for a, reward in zip(found, group, strict=True) if reward is not None]
            assert kept == group_advantages(decided, len(decided), scale)  # type: ignore[arg-type]


@given(REWARDS)
def test_a_better_reward_never_gets_a_lower_advantage(rewards: list[float | None]) -> None:
    for scale in ("grpo", "mean"):
        advantages = group_advantages(rewards, SIZE, scale)
        for start in range(0, len(rewards), SIZE):
            pairs = [
                (reward, advantage)
                for reward, advantage in zip(rewards[start : start + SIZE], advantages[start:], strict=False)
                if reward is not None
            ]
            ordered = [advantage for _, advantage in sorted(pairs)]
            assert ordered == sorted(ordered)


@given(st.lists(REWARD, min_size=SIZE, max_size=SIZE), st.floats(0.5, 20))
def test_grpo_forgets_the_scale_of_the_rewards(rewards: list[float], factor: float) -> None:
    spread = max(rewards) - min(rewards)
    assume(spread > 10)  # far above epsilon
    scaled = group_advantages([factor * reward for reward in rewards], SIZE)
    assert scaled == pytest.approx(group_advantages(rewards, SIZE), abs=1e-3)


@pytest.mark.parametrize(("count", "size"), [(5, 2), (1, 2), (7, 8), (9, 8)])
def test_rewards_that_do_not_fill_the_groups_are_refused(count: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"{count} rewards do not fill groups of {size}"):
        group_advantages([0.0] * count, size)


@pytest.mark.parametrize(
    ("rewards", "share"),
    [
        ([1.0, 0.0, 1.0, 1.0], 0.5),
        ([1.0, 1.0, 0.0, 0.0], 1.0),
        ([1.0, 0.0, 0.0, 1.0], 0.0),
        ([1.0, None, 0.0, 1.0], 0.5),  # one decided reward: nothing to compare
        ([None, None, None, None], 1.0),
    ],
)
def test_groups_without_spread_are_counted(rewards: list[float | None], share: float) -> None:
    assert zero_spread_share(rewards, 2) == share
