"""Losses, against numbers worked by hand."""

from __future__ import annotations

import math
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rft_loop.learning.loss import (
    Aggregation,
    cispo_loss,
    clipped_count,
    clipped_policy_loss,
    correction,
    divergence,
    gspo_loss,
    reinforce_loss,
    token_entropy,
    token_weights,
)

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
    assert int(clipped_count("clip", logprobs.detach(), old, gains, mask, LOW, HIGH)) == int(held)


def test_on_policy_the_gradient_is_that_of_reinforce() -> None:
    logprobs = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).sub(3).requires_grad_()
    gains = torch.tensor([1.5, -0.5, 0.0])
    clipped_policy_loss(logprobs, logprobs.detach(), gains, LOW, HIGH).sum().backward()  # type: ignore[no-untyped-call]
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, -gains[:, None].expand(3, 5))


def test_one_ratio_for_a_whole_answer_is_the_geometric_mean_over_its_own_tokens() -> None:
    old = torch.zeros(2, 3)
    logprobs = torch.log(torch.tensor([[1.1, 1.1, 9.0], [2.0, 0.5, 1.0]])).requires_grad_()
    mask = torch.tensor([[True, True, False], [True, True, True]])
    loss = gspo_loss(logprobs, old, torch.tensor([1.0, -1.0]), mask, LOW, HIGH)
    torch.testing.assert_close(loss.detach(), torch.tensor([[-1.1] * 3, [1.0] * 3]))
    (loss * mask).sum().backward()  # type: ignore[no-untyped-call]
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, torch.tensor([[-1.1, -1.1, 0.0], [1.0, 1.0, 1.0]]))


def test_the_weight_is_clipped_and_the_gradient_is_not() -> None:
    logprobs = torch.log(torch.tensor([[0.5, 3.0, 1.0]])).requires_grad_()
    cispo_loss(logprobs, torch.zeros(1, 3), torch.tensor([2.0]), HIGH).sum().backward()  # type: ignore[no-untyped-call]
    assert logprobs.grad is not None
    torch.testing.assert_close(logprobs.grad, -2.0 * torch.tensor([[0.5, 1.3, 1.0]]))


def test_reinforce_pushes_every_token_by_the_advantage() -> None:
    logprobs = torch.tensor([[-3.0, -0.1]], requires_grad=True)
    reinforce_loss(logprobs, torch.tensor([-1.5])).sum().backward()  # type: ignore[no-untyped-call]
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[1.5, 1.5]]


def test_estimates_of_the_divergence_are_exact_on_average() -> None:
    """Over every token of two distributions, weighted by the policy's probabilities: no sampling."""
    logits = torch.tensor([0.3, -1.0, 2.0, 0.1], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.5, 0.2, 1.0, -0.4], dtype=torch.float64).log_softmax(-1)
    logprobs = logits.log_softmax(-1)
    p = logprobs.exp().detach()
    exact = (logprobs.exp() * (logprobs - reference)).sum()
    (wanted,) = torch.autograd.grad(exact, logits, retain_graph=True)
    gradients = {}
    for kind in ("k1", "k2", "k3"):
        value = (p * divergence(kind, logprobs, reference)).sum()
        if kind != "k2":
            assert float(value.detach()) == pytest.approx(float(exact.detach()))
        (gradients[kind],) = torch.autograd.grad(value, logits, retain_graph=True)
    torch.testing.assert_close(gradients["k1"], torch.zeros_like(wanted))
    torch.testing.assert_close(gradients["k2"], wanted)
    forward = -(reference.exp() * logprobs).sum()  # KL(reference || policy), less what does not depend on the policy
    torch.testing.assert_close(gradients["k3"], torch.autograd.grad(forward, logits)[0])


def test_the_correction_is_capped_and_1_where_sampler_and_trainer_agree() -> None:
    trainer, sampler = torch.zeros(1, 3), torch.log(torch.tensor([[1.0, 0.25, 2.0]]))
    mask = torch.tensor([[True, True, False]])
    assert correction(trainer, sampler, mask, "token", 3.0).tolist() == [[1.0, 3.0, 1.0]]
    assert correction(trainer, sampler, mask, "sequence", 5.0).tolist() == [[4.0, 4.0, 4.0]]


def test_by_prompt_each_group_weighs_the_same_and_each_token_in_it() -> None:
    found = token_weights(torch.tensor([1, 3, 2, 2, 0, 0]), 3, "prompt", longest=10, group_size=2)
    assert found.sum().item() == pytest.approx(1.0)  # the group without tokens is none of the groups
    torch.testing.assert_close(found[:2], torch.tensor([[1 / 8, 0, 0], [1 / 8, 1 / 8, 1 / 8]]))
    torch.testing.assert_close(found[2:4], torch.tensor([[1 / 8, 1 / 8, 0], [1 / 8, 1 / 8, 0]]))


@pytest.mark.parametrize("how", ["token", "sequence", "constant", "prompt"])
def test_a_rollout_of_length_0_is_as_if_it_were_not_there(how: Aggregation) -> None:
    with_it = token_weights(torch.tensor([2, 0, 3]), 3, how, longest=5)
    torch.testing.assert_close(with_it[[0, 2]], token_weights(torch.tensor([2, 3]), 3, how, longest=5))
    assert with_it[1].tolist() == [0.0, 0.0, 0.0]


def test_each_rollout_has_its_own_advantage_at_all_its_tokens() -> None:
    zeros = torch.zeros(2, 3)
    loss = clipped_policy_loss(zeros, zeros, torch.tensor([1.0, -2.0]), LOW, HIGH)
    assert loss.tolist() == [[-1.0] * 3, [2.0] * 3]


def test_tokens_past_the_end_do_not_count_as_clipped() -> None:
    logprobs, old = torch.zeros(1, 3), torch.full((1, 3), -5.0)
    mask = torch.tensor([[True, False, False]])
    assert int(clipped_count("clip", logprobs, old, torch.tensor([1.0]), mask, LOW, HIGH)) == 1


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
    ratios: dict[Aggregation, float] = {"token": 1.0, "sequence": 4.0, "constant": 1.0}
    for how, ratio in ratios.items():
        weights = token_weights(lengths, 8, how, longest=8)
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


@pytest.mark.parametrize(
    ("kind", "advantage", "held"),
    [
        ("clip", 1.0, [True, False, False]),
        ("clip", -1.0, [False, True, False]),
        ("cispo", 1.0, [True, False, False]),
        ("cispo", -1.0, [True, False, False]),
        ("gspo", 1.0, [False, False, False]),  # 1.5 x 0.7 x 1.0, of which the geometric mean is 1.016
        ("reinforce", 1.0, [False, False, False]),
    ],
)
def test_what_counts_as_held_back_is_what_the_loss_holds_back(kind: Any, advantage: float, held: list[bool]) -> None:
    logprobs = torch.tensor([[1.5, 0.7, 1.0]]).log()
    mask = torch.ones(1, 3, dtype=torch.bool)
    old = torch.zeros(1, 3)
    found = clipped_count(kind, logprobs, old, torch.tensor([advantage]), mask, 0.2, 0.2)
    assert int(found) == sum(held)


def test_an_answer_past_its_bound_is_held_back_whole() -> None:
    logprobs = torch.tensor([[1.5, 0.7, 1.0]]).log()
    mask = torch.tensor([[True, False, True]])
    assert int(clipped_count("gspo", logprobs, torch.zeros(1, 3), torch.tensor([1.0]), mask, 0.2, 0.2)) == 2
