"""Rewards are made from grades by a specification that is data; None stays None whatever is asked."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from graders import Grade
from rewards import LengthCharge, RewardSpec, SoftLimit, rewards_of
from rewards.reward import minus_length, minus_overlong, shuffled

SCORES = st.lists(st.none() | st.floats(-10, 10), min_size=1, max_size=30)
SPECS = st.builds(
    RewardSpec,
    length=st.none() | st.builds(LengthCharge, free=st.integers(0, 50), per_token=st.floats(0.001, 1)),
    soft_limit=st.none() | st.builds(SoftLimit, buffer=st.integers(1, 50), charge=st.floats(0.01, 2)),
    clip=st.none() | st.tuples(st.floats(-5, -0.1), st.floats(0.1, 5)),
    control=st.sampled_from(["none", "shuffled"]),
)


def grade(score: float | None) -> Grade:
    return Grade.undecided("timeout", "slow", "infra") if score is None else Grade(score, "given")


@pytest.mark.parametrize(
    ("score", "length", "reward"),
    [
        (1.0, 0, 1.0),
        (1.0, 10, 1.0),  # the last free token
        (1.0, 11, 0.75),  # the first that is charged
        (1.0, 14, 0.0),
        (1.0, 18, -1.0),  # nothing holds it at zero but a clip
        (0.0, 12, -0.5),
        (None, 99, None),
    ],
)
def test_each_token_past_the_free_ones_is_charged(score: float | None, length: int, reward: float | None) -> None:
    assert minus_length([score], [length], free=10, per_token=0.25) == [reward]


@pytest.mark.parametrize(
    ("length", "punishment"),
    [(0, 0.0), (80, 0.0), (81, -0.05), (90, -0.5), (99, -0.95), (100, -1.0), (130, -1.0)],
)
def test_answers_near_the_longest_allowed_are_charged_as_in_dapo(length: int, punishment: float) -> None:
    """Yu et al. 2025, eq. 13: 0 up to L_max - L_cache, then ((L_max - L_cache) - L) / L_cache, and -1 past L_max."""
    assert minus_overlong([0.0, None], [length, length], 100, 20, 1.0) == [pytest.approx(punishment), None]
    spec = RewardSpec(soft_limit=SoftLimit(buffer=20, charge=0.5))
    assert rewards_of([grade(1.0)], [length], spec, longest=100) == [pytest.approx(1 + 0.5 * punishment)]


@given(st.integers(1, 400), st.integers(1, 400), st.floats(0.01, 5))
def test_the_soft_limit_charges_more_for_more_and_never_more_than_its_charge(
    longest: int, buffer: int, charge: float
) -> None:
    lengths = list(range(longest + 20))
    rewards = [
        reward
        for reward in minus_overlong([0.0] * len(lengths), lengths, longest, buffer, charge)
        if reward is not None
    ]
    assert rewards == sorted(rewards, reverse=True)
    assert rewards[longest] == -charge == min(rewards)


def test_a_soft_limit_without_the_longest_answer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"reward\.soft_limit .* give its tokens as `longest`"):
        rewards_of([grade(1.0)], [5], RewardSpec(soft_limit=SoftLimit(buffer=4)))


def test_with_nothing_set_the_reward_is_the_score() -> None:
    assert rewards_of([grade(0.3), grade(None), grade(-2.0)], [5, 500, 5], RewardSpec()) == [0.3, None, -2.0]


def test_the_clip_comes_after_the_length_charge() -> None:
    spec = RewardSpec(length=LengthCharge(free=0, per_token=1.0), clip=(-0.5, 1.0))
    # Clipped first, a score of 3 would be 1 and its charge would take it to 0.
    assert rewards_of([grade(3.0), grade(0.0), grade(3.0)], [1, 1, 0], spec) == [1.0, -0.5, 1.0]


@given(SCORES, SPECS, st.integers(0, 1000))
def test_undecided_grades_stay_none_in_their_places(scores: list[float | None], spec: RewardSpec, seed: int) -> None:
    lengths = [7 * i for i in range(len(scores))]
    rewards = rewards_of([grade(score) for score in scores], lengths, spec, seed, 100)
    assert [reward is None for reward in rewards] == [score is None for score in scores]


@given(SCORES, SPECS, st.integers(0, 1000))
def test_no_reward_leaves_the_clip(scores: list[float | None], spec: RewardSpec, seed: int) -> None:
    low, high = spec.clip or (-float("inf"), float("inf"))
    lengths = [7 * i for i in range(len(scores))]
    rewards = rewards_of([grade(score) for score in scores], lengths, spec, seed, 100)
    assert all(reward is None or low <= reward <= high for reward in rewards)


@given(SCORES, st.integers(0, 1000))
def test_the_shuffled_control_deals_out_the_same_rewards(scores: list[float | None], seed: int) -> None:
    dealt = shuffled(scores, seed)
    assert Counter(dealt) == Counter(scores)
    assert dealt == shuffled(scores, seed)  # the same seed, the same deal


def test_the_shuffled_control_moves_rewards_and_each_seed_moves_them_otherwise() -> None:
    scores: list[float | None] = [float(i) for i in range(20)]
    deals = {tuple(shuffled(scores, seed)) for seed in range(10)}
    assert len(deals) == 10
    assert tuple(scores) not in deals


def test_the_shuffled_control_keeps_no_trace_of_what_the_reward_was_for() -> None:
    scores = [1.0] * 10 + [0.0] * 10
    first_half = [sum(filter(None, shuffled(scores, seed)[:10])) / 10 for seed in range(400)]
    assert sum(first_half) / len(first_half) == pytest.approx(0.5, abs=0.02)


def test_the_shuffled_control_deals_what_the_length_charge_made() -> None:
    spec = RewardSpec(length=LengthCharge(free=0, per_token=0.5), control="shuffled")
    rewards = rewards_of([grade(1.0), grade(1.0), grade(None), grade(0.0)], [0, 1, 9, 2], spec, seed=3)
    assert Counter(rewards) == Counter([1.0, 0.5, None, -1.0])
    assert rewards[2] is None


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"clip": [1, 0]}, "the first number must be below the second"),
        ({"clip": [0.5, 0.5]}, "the first number must be below the second"),
        ({"clip": [0]}, "clip"),
        ({"length": {"free": -1, "per_token": 0.1}}, "length.free"),
        ({"length": {"free": 1, "per_token": 0}}, "length.per_token"),
        ({"length": {"free": 1}}, "length.per_token"),
        ({"soft_limit": {"buffer": 0}}, "soft_limit.buffer"),
        ({"soft_limit": {"buffer": 9, "charge": -1}}, "soft_limit.charge"),
        ({"control": "swapped"}, "control"),
        ({"cilp": [0, 1]}, "cilp"),
    ],
)
def test_a_bad_specification_is_refused(given: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        RewardSpec.model_validate(given)
    assert complaint in str(refusal.value)


def test_grades_and_lengths_must_pair_up() -> None:
    with pytest.raises(ValueError, match="zip"):
        rewards_of([grade(1.0)], [1, 2], RewardSpec(length=LengthCharge(free=0, per_token=1.0)))
