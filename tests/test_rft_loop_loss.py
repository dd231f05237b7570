"""Losses, against numbers worked by hand."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rft_loop.loss import clipped_count, clipped_policy_loss, token_entropy, token_weights

LOW, HIGH = 0.2, 0.3
LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=8)
HOW = st.sampled_from(["token", "sequence", "constant"])


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "held"),
    [
        (1.0, 2.0, -2.0, False),
        (1.0, -2.0, 2.0, False),
        (1.2, 2.0, -2.4, False),  # inside
        (1.5, 2.0, -2.6, True),  # too likely already: held at 1.3 x 2
        (0.5, 2.0, -1.0, False),  # fell although good: pulled back in full
        (0.5, -2.0, 1.6, True),  # unlikely enough: held at 0.8 x -2
        (0.9, -2.0, 1.8, False),  # inside
        (1.5, -2.0, 3.0, False),  # rose although bad: pushed down in full
        (1.5, 0.0, 0.0, False),
        (0.5, 0.0, 0.0, False),
    ],
)
def test_the_clip_on_both_sides_for_both_signs(ratio: float, advantage: float, loss: float, held: bool) -> None:
    logprobs = torch.tensor([[math.log(0.25)]], dtype=torch.float64, requires_grad=True)
    old = (logprobs - math.log(ratio)).detach()
    gains = torch.tensor([advantage], dtype=torch.float64)
    found = clipped_policy_loss(logprobs, old, gains, LOW, HIGH)
    assert found.item() == pytest.approx(loss)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert logprobs.grad is not None
    # d/d logprob of -w A is -w A where the clip does not act, and exactly 0 where it does.
    assert logprobs.grad.item() == pytest.approx(0.0 if held else -ratio * advantage, abs=0.0 if held else 1e-9)
    mask = torch.ones(1, 1, dtype=torch.bool)
    assert int(clipped_count(logprobs.detach(), old, gains, mask, LOW, HIGH)) == int(held)


def test_on_policy_the_gradient_is_that_of_reinforce() -> None:
    logprobs = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).sub(3).requires_grad_()
    gains = torch.tensor([1.5, -0.5, 0.0])
    clipped_policy_loss(logprobs, logprobs.detach(), gains, LOW, HIGH).sum().backward()  # type: ignore[no-untyped-call]
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, -gains[:, None].expand(3, 5))


def test_each_rollout_has_its_own_advantage_at_all_its_tokens() -> None:
    zeros = torch.zeros(2, 3)
    loss = clipped_policy_loss(zeros, zeros, torch.tensor([1.0, -2.0]), LOW, HIGH)
    assert loss.tolist() == [[-1.0] * 3, [2.0] * 3]


def test_tokens_past_the_end_do_not_count_as_clipped() -> None:
    logprobs, old = torch.zeros(1, 3), torch.full((1, 3), -5.0)
    mask = torch.tensor([[True, False, False]])
    assert int(clipped_count(logprobs, old, torch.tensor([1.0]), mask, LOW, HIGH)) == 1


@pytest.mark.parametrize(
    ("how", "weights"),
    [
        ("token", [[1 / 4, 0, 0], [1 / 4, 1 / 4, 1 / 4]]),  # four tokens in all
        ("sequence", [[1 / 2, 0, 0], [1 / 6, 1 / 6, 1 / 6]]),  # half for each rollout, shared by its tokens
        ("constant", [[1 / 20, 0, 0], [1 / 20, 1 / 20, 1 / 20]]),  # two rollouts of at most ten
    ],
)
def test_weights_of_a_rollout_of_one_token_and_one_of_three(
    how: Literal["token", "sequence", "constant"], weights: list[list[float]]
) -> None:
    torch.testing.assert_close(token_weights(torch.tensor([1, 3]), 3, how, longest=10), torch.tensor(weights))


@given(LENGTHS, HOW, st.integers(0, 3))
def test_weights_sum_as_their_definition_says(
    lengths: list[int], how: Literal["token", "sequence", "constant"], spare: int
) -> None:
    weights = token_weights(torch.tensor(lengths), max(lengths) + spare, how, longest=20)
    total = sum(lengths) / (len(lengths) * 20) if how == "constant" else 1.0
    assert weights.sum().item() == pytest.approx(total, rel=1e-5)
    assert (weights > 0).sum(dim=1).tolist() == lengths  # tokens past a rollout's own length weigh nothing
    if how == "sequence":
        assert weights.sum(dim=1).tolist() == pytest.approx([1 / len(lengths)] * len(lengths), rel=1e-5)


def test_a_long_answer_dilutes_its_tokens_only_under_sequence() -> None:
    lengths = torch.tensor([2, 8])
    for how, ratio in (("token", 1.0), ("sequence", 4.0), ("constant", 1.0)):
        weights = token_weights(lengths, 8, how, longest=8)  # type: ignore[arg-type]
        assert (weights[0, 0] / weights[1, 0]).item() == pytest.approx(ratio)


@pytest.mark.parametrize("choices", [1, 2, 7, 50_000])
def test_entropy_of_equal_chances_is_log_n(choices: int) -> None:
    uniform = torch.log_softmax(torch.zeros(2, 3, choices, dtype=torch.float64), dim=-1)
    assert token_entropy(uniform).shape == (2, 3)
    torch.testing.assert_close(token_entropy(uniform), torch.full((2, 3), math.log(choices), dtype=torch.float64))


def test_entropy_by_hand_and_of_a_certainty() -> None:
    chances = torch.tensor([0.5, 0.25, 0.25]).log()
    assert token_entropy(chances).item() == pytest.approx(1.5 * math.log(2))
    certain = torch.log_softmax(torch.tensor([200.0, 0.0, 0.0]), dim=-1)
    assert token_entropy(certain).item() == pytest.approx(0.0, abs=1e-30)
