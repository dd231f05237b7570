"""The update, against a loss written out by hand over each rollout alone; and supervised training likewise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy

from rft_loop.learning import logprobs
from rft_loop.learning.optimizer import learning_rate, make_optimizer
from rft_loop.learning.update import UpdateStats, divergences, score, update
from rft_loop.model.policy import Policy
from rft_loop.recipe import Recipe, recipe_from
from rft_loop.sampling.decode import sample
from rft_loop.sampling.rollout import Rollout
from rft_loop.supervised import answer_loss

MakePolicy = Callable[..., Policy]
PROMPTS = [[5, 9, 10, 11, 12, 13, 14, 6], [5, 9, 6], [5, 20, 21, 6]]
TEMPERATURE = 0.8
ADVANTAGES = [1.1, -0.3, 0.0, -0.5, 0.0, 0.0, 0.0, 0.0, 0.25, 0.0, -1.3, 1.6]  # the second group has no spread
aggregations = pytest.mark.parametrize("aggregation", ["token", "sequence", "constant"])


def recipe(**options: Any) -> Recipe:
    base = {
        "model": "unused",
        "train": "unused",
        "validation": "held out",
        "grader": "unused",
        "temperature": TEMPERATURE,
        "max_new_tokens": 10,
        "max_grad_norm": 1e9,
    }
    return recipe_from(base | options, "test")


def draw(policy: Policy, temperature: float = TEMPERATURE) -> list[Rollout]:
    return sample(policy, PROMPTS, per_prompt=4, max_new_tokens=10, temperature=temperature, seed=3)


def do_update(
    policy: Policy, rollouts: Sequence[Rollout], advantages: Sequence[float], rate: float = 0.0, **options: Any
) -> UpdateStats:
    spec = recipe(**options)
    return update(policy, make_optimizer(policy, spec), rollouts, advantages, spec, rate)


def gradient(policy: Policy) -> torch.Tensor:
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in policy.model.parameters()]
    return torch.cat([part.flatten() for part in parts]).double()


def weights(policy: Policy) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in policy.model.parameters()]).clone()


def log_probs(policy: Policy, rollout: Rollout, temperature: float = TEMPERATURE) -> torch.Tensor:
    """By one forward pass over this rollout alone: no padding, no cache."""
    ids = torch.tensor([[*rollout.prompt, *rollout.tokens]])
    logits = policy.model(input_ids=ids, use_cache=False).logits[0, len(rollout.prompt) - 1 : -1]
    everything = torch.log_softmax(logits / temperature, dim=-1)
    return everything.gather(-1, torch.tensor(rollout.tokens)[:, None])[:, 0]


def relative_gap(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@aggregations
def test_the_gradient_does_not_depend_on_how_the_batch_is_split(tiny_policy: MakePolicy, aggregation: str) -> None:
    found, stats = [], []
    for micro_batch_rows in (256, 4, 2, 1, 5):
        policy = tiny_policy()
        rollouts = draw(policy)
        stats.append(
            do_update(policy, rollouts, ADVANTAGES, micro_batch_rows=micro_batch_rows, aggregation=aggregation)
        )
        found.append(gradient(policy))
    for other, other_stats in zip(found[1:], stats[1:], strict=True):
        assert relative_gap(other, found[0]) <= 1e-6
        # What is reported is the batch's, not the last part's.
        assert other_stats.loss == pytest.approx(stats[0].loss, rel=1e-5)
        assert other_stats.entropy == pytest.approx(stats[0].entropy, rel=1e-5)
        assert other_stats.grad_norm == pytest.approx(stats[0].grad_norm, rel=1e-5)


@pytest.mark.parametrize("loss", ["clip", "reinforce", "gspo", "cispo"])
@pytest.mark.parametrize("aggregation", ["token", "sequence", "constant", "prompt"])
def test_no_loss_and_no_aggregation_depends_on_the_split(tiny_policy: MakePolicy, aggregation: str, loss: str) -> None:
    options = {"aggregation": aggregation, "loss": loss, "group_size": 4, "kl": {"weight": 0.2}, "overlong": "mask"}
    found = []
    for rows in (256, 3, 1):
        policy, reference = tiny_policy(), tiny_policy(seed=5)
        rollouts = draw(policy)
        spec = recipe(micro_batch_rows=rows, **options)
        trained = [i % 5 != 2 for i in range(len(rollouts))]
        update(policy, make_optimizer(policy, spec), rollouts, ADVANTAGES, spec, 0.0, trained, reference)
        found.append(gradient(policy))
    assert relative_gap(found[1], found[0]) <= 1e-6
    assert relative_gap(found[2], found[0]) <= 1e-6


def test_rollouts_that_are_not_trained_on_are_as_if_they_were_not_there(tiny_policy: MakePolicy) -> None:
    one, other = tiny_policy(), tiny_policy()
    rollouts = draw(one)
    spec = recipe(aggregation="sequence")
    kept = [0, 3, 8, 11]
    update(one, make_optimizer(one, spec), rollouts, ADVANTAGES, spec, 0.0, [i in kept for i in range(12)])
    left, gains = [rollouts[i] for i in kept], [ADVANTAGES[i] for i in kept]
    update(other, make_optimizer(other, spec), left, gains, spec, 0.0)
    assert relative_gap(gradient(one), gradient(other)) <= 1e-6


def test_a_correction_undoes_what_a_sampler_of_other_weights_would_bias(tiny_policy: MakePolicy) -> None:
    """Ratio to the trainer times weight of the sampler has the gradient of the plain ratio to the sampler."""
    sampler, plain, corrected = tiny_policy(seed=5), tiny_policy(), tiny_policy()
    rollouts = draw(sampler)
    do_update(plain, rollouts, ADVANTAGES, clip_low=0.999, clip_high=1e6)
    do_update(corrected, rollouts, ADVANTAGES, importance_correction="token", importance_cap=1e6)
    assert relative_gap(gradient(corrected), gradient(plain)) <= 1e-4


def test_divergences_are_0_from_oneself_and_positive_from_others_on_average(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    rollouts = draw(policy)
    spec = recipe()
    assert divergences(policy, rollouts, spec) == pytest.approx([0.0] * len(rollouts), abs=1e-4)
    assert sum(divergences(tiny_policy(seed=5), rollouts, spec)) > 0


@pytest.mark.parametrize("family", ["llama", "gemma2", "granite"])
def test_log_probs_in_chunks_are_those_of_the_whole_and_so_is_the_gradient(
    tiny_policy: MakePolicy, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = tiny_policy(family), tiny_policy(family)
    rollouts = draw(whole)
    one = do_update(whole, rollouts, ADVANTAGES, entropy_bonus=0.1)
    monkeypatch.setattr(logprobs, "MOST_LOGITS", 25 * 7)  # seven tokens at a time
    other = do_update(parts, rollouts, ADVANTAGES, entropy_bonus=0.1)
    assert relative_gap(gradient(parts), gradient(whole)) <= 1e-6
    assert other.entropy == pytest.approx(one.entropy, rel=1e-6)
    assert other.loss == pytest.approx(one.loss, rel=1e-5)


@pytest.mark.parametrize(
    ("family", "plain"), [("llama", True), ("qwen3", True), ("gemma2", True), ("gpt2", True), ("granite", False)]
)
def test_whether_logits_are_one_projection_is_tried_and_not_guessed(
    tiny_policy: MakePolicy, family: str, plain: bool
) -> None:
    options: dict[str, Any] = {"logits_scaling": 2.0} if family == "granite" else {}
    if family != "gpt2":
        options["num_key_value_heads"] = 2
    assert tiny_policy(family, **options).has_plain_head == plain


@aggregations
def test_the_gradient_is_that_of_the_loss_written_out_over_all_rollouts(
    tiny_policy: MakePolicy, aggregation: str
) -> None:
    """Those whose advantage is 0 are run here and left out there; the denominators count them all."""
    policy = tiny_policy()
    rollouts = draw(policy)
    tokens = sum(len(rollout.tokens) for rollout in rollouts)
    loss = torch.zeros(())
    for rollout, advantage in zip(rollouts, ADVANTAGES, strict=True):
        ratio = torch.exp(log_probs(policy, rollout) - torch.tensor(rollout.logprobs))
        own = len(rollout.tokens)
        divisor = {"token": tokens, "sequence": own * len(rollouts), "constant": 10 * len(rollouts)}[aggregation]
        loss = loss - (ratio * advantage).sum() / divisor
    loss.backward()  # type: ignore[no-untyped-call]
    wanted = gradient(policy)
    stats = do_update(policy, rollouts, ADVANTAGES, aggregation=aggregation)
    assert relative_gap(gradient(policy), wanted) < 1e-5
    assert stats.grad_norm == pytest.approx(float(wanted.norm()), rel=1e-5)
    assert stats.loss == pytest.approx(loss.item(), abs=1e-6)


def test_the_entropy_bonus_adds_the_gradient_of_every_rollouts_entropy(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    rollouts = draw(policy)
    tokens = sum(len(rollout.tokens) for rollout in rollouts)
    loss = torch.zeros(())
    for rollout, advantage in zip(rollouts, ADVANTAGES, strict=True):
        scored = score(policy, [rollout], TEMPERATURE, learn_entropy=True)
        ratio = torch.exp(scored.logprobs[0] - torch.tensor(rollout.logprobs))
        loss = loss - ((ratio * advantage).sum() + 0.1 * scored.entropy.sum()) / tokens
    loss.backward()  # type: ignore[no-untyped-call]
    wanted = gradient(policy)
    do_update(policy, rollouts, ADVANTAGES, entropy_bonus=0.1)
    assert relative_gap(gradient(policy), wanted) < 1e-5


def test_an_entropy_bonus_alone_makes_the_policy_less_sure(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    rollouts = draw(policy)
    before = do_update(policy, rollouts, [0.0] * 12, rate=1e-3, entropy_bonus=1.0).entropy
    after = do_update(policy, rollouts, [0.0] * 12, entropy_bonus=1.0).entropy
    assert after > before


@pytest.mark.parametrize("advantage", [1.0, -1.0])
@pytest.mark.parametrize("chosen", range(4))
def test_a_rollout_becomes_likelier_or_less_likely_as_its_advantage_says(
    tiny_policy: MakePolicy, advantage: float, chosen: int
) -> None:
    policy = tiny_policy()
    rollouts = draw(policy)
    advantages = [0.0] * len(rollouts)
    advantages[chosen] = advantage
    do_update(policy, rollouts, advantages, rate=1e-4)
    with torch.no_grad():
        change = log_probs(policy, rollouts[chosen]).sum() - sum(rollouts[chosen].logprobs)
    assert change * advantage > 0


@pytest.mark.parametrize("advantage", [1.0, -1.0])
def test_the_end_of_an_answer_is_learned_as_its_other_tokens_are(tiny_policy: MakePolicy, advantage: float) -> None:
    policy = tiny_policy()
    rollouts = draw(policy)
    chosen = next(i for i, rollout in enumerate(rollouts) if rollout.finish == "stop" and len(rollout.tokens) > 1)
    advantages = [advantage if i == chosen else 0.0 for i in range(len(rollouts))]
    do_update(policy, rollouts, advantages, rate=1e-4)
    with torch.no_grad():
        change = log_probs(policy, rollouts[chosen])[-1] - rollouts[chosen].logprobs[-1]
    assert change * advantage > 0


def test_no_advantage_leaves_the_weights_bit_for_bit(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    rollouts = draw(policy)
    spec = recipe(weight_decay=0.1)
    optimizer = make_optimizer(policy, spec)
    update(policy, optimizer, rollouts, ADVANTAGES, spec, 1e-3)  # the optimiser has momentum now
    before = weights(policy)
    stats = update(policy, optimizer, rollouts, [0.0] * 12, spec, 1e-3)
    assert torch.equal(weights(policy), before)
    assert (stats.loss, stats.grad_norm) == (0.0, 0.0)


def test_a_second_pass_is_held_back_by_the_clip_and_the_first_is_not(tiny_policy: MakePolicy) -> None:
    once, often = tiny_policy(), tiny_policy()
    rollouts = draw(once)
    bounds = {"clip_low": 0.01, "clip_high": 0.01, "rate": 1e-3}
    assert do_update(once, rollouts, ADVANTAGES, **bounds).clipped == 0.0
    assert do_update(often, rollouts, ADVANTAGES, updates_per_step=4, **bounds).clipped > 0.1
    assert not torch.equal(weights(once), weights(often))


def test_the_gap_between_sampler_and_trainer_is_measured_before_the_update(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    rollouts = draw(policy)
    assert do_update(policy, rollouts, ADVANTAGES, rate=1e-2, updates_per_step=2).logprob_gap < 1e-5
    assert do_update(policy, rollouts, ADVANTAGES).logprob_gap > 1e-3  # drawn by what are now other weights


def test_scoring_at_another_temperature_than_the_sampler_would_show_as_a_gap(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    assert do_update(policy, draw(policy, temperature=1.0), ADVANTAGES).logprob_gap > 1e-3


def test_dropout_does_not_come_between_sampler_and_trainer(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy("gpt2", resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5)
    rollouts = draw(policy)
    assert do_update(policy, rollouts, ADVANTAGES).logprob_gap < 1e-5


def test_the_gradient_is_cut_to_its_largest_norm_and_reported_as_it_was(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    rollouts = draw(policy)
    free = do_update(policy, rollouts, ADVANTAGES).grad_norm
    assert free > 0.01
    assert do_update(policy, rollouts, ADVANTAGES, max_grad_norm=0.01).grad_norm == pytest.approx(free, rel=1e-5)
    assert float(gradient(policy).norm()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("schedule", "warmup", "rates"),
    [
        ("constant", 0, [1.0, 1.0, 1.0, 1.0, 1.0]),
        ("constant", 2, [0.5, 1.0, 1.0, 1.0, 1.0]),
        ("linear", 0, [1.0, 0.8, 0.6, 0.4, 0.2]),  # would be 0 at a sixth step
        ("linear", 2, [0.5, 1.0, 1.0, 2 / 3, 1 / 3]),
        ("linear", 5, [0.2, 0.4, 0.6, 0.8, 1.0]),
        ("linear", 10, [0.1, 0.2, 0.3, 0.4, 0.5]),  # a warmup longer than the run
    ],
)
def test_the_learning_rate_of_each_of_five_steps(schedule: str, warmup: int, rates: list[float]) -> None:
    assert [learning_rate(1.0, step, warmup, 5, schedule) for step in range(1, 6)] == pytest.approx(rates)


# Supervised training


def pairs_of(policy: Policy, *conversations: tuple[str, str]) -> list[tuple[list[int], list[int]]]:
    return [
        policy.answer_ids([{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}])
        for prompt, answer in conversations
    ]


CONVERSATIONS = [("abc", "dd"), ("a", "aaaa aaaa"), ("abcdefghijklmnop", "k"), ("a b c", "")]


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_answer_loss_is_the_mean_over_answer_tokens_each_row_alone(tiny_policy: MakePolicy, family: str) -> None:
    policy = tiny_policy(family)
    pairs = pairs_of(policy, *CONVERSATIONS)
    total = torch.zeros(())
    with torch.no_grad():
        for prompt, answer in pairs:
            logits = policy.model(input_ids=torch.tensor([prompt + answer]), use_cache=False).logits[0]
            total += cross_entropy(logits[len(prompt) - 1 : -1], torch.tensor(answer), reduction="sum")
        loss = answer_loss(policy, pairs)
    assert loss.item() == pytest.approx(total.item() / sum(len(answer) for _, answer in pairs), rel=1e-5)


def test_answer_loss_does_not_depend_on_the_company_of_a_row(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    pairs = pairs_of(policy, *CONVERSATIONS)
    with torch.no_grad():
        alone = [answer_loss(policy, [pair]).item() * len(pair[1]) for pair in pairs]
        together = answer_loss(policy, pairs).item() * sum(len(answer) for _, answer in pairs)
    assert together == pytest.approx(sum(alone), rel=1e-5)


def test_answer_loss_never_counts_prompt_tokens(tiny_policy: MakePolicy) -> None:
    """With a model that gives every token the same chance, the loss is log n however long the prompts are."""
    policy = tiny_policy()
    with torch.no_grad():
        policy.model.get_output_embeddings().weight.zero_()
    pairs = pairs_of(policy, *CONVERSATIONS)
    assert answer_loss(policy, pairs).item() == pytest.approx(math.log(25), rel=1e-5)
    # And a model that is sure of one token pays for it where answers lack that token, not where prompts do.
    with torch.no_grad():
        policy.model.get_output_embeddings().weight.zero_()
        everywhere = [([5, 20, 20, 20, 6], [9, 9]), ([5, 6], [9])]
        policy.model.model.norm.weight.zero_()
        policy.model.lm_head.bias = torch.nn.Parameter(torch.zeros(25))
        policy.model.lm_head.bias[9] = 100.0
    assert answer_loss(policy, everywhere).item() == pytest.approx(0.0, abs=1e-6)


def test_the_end_token_is_part_of_what_is_learned(tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    pairs = pairs_of(policy, *CONVERSATIONS)
    assert all(answer[-1] in policy.end_ids for _, answer in pairs)
    optimizer = make_optimizer(policy, recipe(learning_rate=3e-3))
    for _ in range(60):
        optimizer.zero_grad()
        answer_loss(policy, pairs).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = sample(policy, [prompt for prompt, _ in pairs], per_prompt=1, max_new_tokens=20, temperature=0, seed=0)
    assert [(rollout.finish, rollout.text) for rollout in found] == [("stop", text) for _, text in CONVERSATIONS]
