"""Micro-batches: every rollout once, within both bounds, at the smaller cost of two orders."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from rft_loop.learning.micro_batches import micro_batches, padded_tokens
from rft_loop.sampling.rollout import Rollout


def rollout(prompt: int, answer: int, name: int = 0) -> Rollout:
    return Rollout((name, *range(prompt)), (1,) * answer, (-1.0,) * answer, "stop", "")


ROLLOUTS = st.lists(
    st.builds(rollout, st.integers(0, 30), st.integers(1, 40), st.integers(0, 3)), min_size=1, max_size=30
)


@given(ROLLOUTS, st.integers(1, 12), st.none() | st.integers(1, 400))
def test_every_rollout_is_in_one_part_and_no_part_is_too_large(
    rollouts: list[Rollout], rows: int, tokens: int | None
) -> None:
    parts = micro_batches(rollouts, range(len(rollouts)), rows, tokens)
    assert sorted(place for part in parts for place in part) == list(range(len(rollouts)))
    for part in parts:
        assert len(part) <= rows
        assert len(part) == 1 or padded_tokens([rollouts[i] for i in part]) <= (tokens or math.inf)


@given(ROLLOUTS, st.integers(1, 12))
def test_no_order_costs_more_than_the_one_they_came_in(rollouts: list[Rollout], rows: int) -> None:
    places = range(len(rollouts))
    as_they_come = [places[start : start + rows] for start in range(0, len(places), rows)]

    def cost(parts: Iterable[Sequence[int]]) -> int:
        return sum(padded_tokens([rollouts[i] for i in part]) for part in parts)

    assert cost(micro_batches(rollouts, places, rows)) <= cost(as_they_come)


def test_long_answers_to_short_prompts_are_sorted_and_long_prompts_are_kept_together() -> None:
    short_prompts = [rollout(2, 100 if i % 2 else 4, i) for i in range(4)]
    assert micro_batches(short_prompts, range(4), 2) == [[0, 2], [1, 3]]
    long_prompts = [rollout(200, 4 + i % 2, i // 2) for i in range(4)]
    assert micro_batches(long_prompts, range(4), 2) == [[0, 1], [2, 3]]


def test_groups_are_kept_together_where_padding_costs_nothing() -> None:
    groups = [rollout(20, 100 if i % 2 else 4, i // 2) for i in range(4)]
    assert micro_batches(groups, range(4), 2) == [[0, 2], [1, 3]]
    assert micro_batches(groups, range(4), 2, packed=True) == [[0, 1], [2, 3]]
