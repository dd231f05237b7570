"""Update: move the weights so that rollouts with positive advantage become likelier. One optimiser step a pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rft_loop.learning.logprobs import token_logprobs
from rft_loop.learning.loss import clipped_count, correction, divergence, policy_loss, token_weights
from rft_loop.learning.micro_batches import micro_batches, shares
from rft_loop.learning.optimizer import clipped_step
from rft_loop.learning.packed import packed_states, there
from rft_loop.learning.prefill import answer_states
from rft_loop.model.policy import Policy
from rft_loop.parallel.ranks import ALONE, Ranks
from rft_loop.parallel.sharding import ShardedPolicy, whole
from rft_loop.recipe import Recipe
from rft_loop.sampling.rollout import Rollout


class Scored(NamedTuple):
    """Log-probs of a batch's tokens under the current weights, and their entropies; both (rollouts, tokens)."""

    logprobs: Tensor
    entropy: Tensor
    tokens: Tensor
    mask: Tensor


@dataclass(frozen=True, slots=True)
class UpdateStats:
    """What one update did; means over the tokens that were trained on."""

    loss: float
    grad_norm: float
    entropy: float
    clipped: float  # share of tokens whose gradient the clip took away
    logprob_gap: float  # largest difference between the sampler's log-probs and the trainer's, before the update
    kl: float = 0.0  # mean divergence from the reference, where it is part of the loss
    tokens: float = 0.0  # of answers, that were run forward and backward, over all passes


def score(
    policy: Policy,
    rollouts: Sequence[Rollout],
    temperature: float,
    learn_entropy: bool = False,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> Scored:
    """Log-prob of every answer token under the current weights, at the sampling temperature; differentiable.

    Each distinct prompt runs once; the answers of one prompt share it. The entropy carries a gradient only when it
    is to be learned from.
    """
    prompts = list(dict.fromkeys(rollout.prompt for rollout in rollouts))
    position = {prompt: index for index, prompt in enumerate(prompts)}
    owner = [position[rollout.prompt] for rollout in rollouts]
    mask = present(rollouts)
    chosen = torch.tensor([token for rollout in rollouts for token in rollout.tokens])
    tokens = torch.zeros(mask.shape, dtype=torch.long).masked_scatter(mask, chosen)

    with policy.computing():
        if (network := policy.scorer) is not None:
            hidden = packed_states(network, prompts, owner, [rollout.tokens for rollout in rollouts])
        else:
            hidden = answer_states(policy, prompts, torch.tensor(owner), tokens)[mask.to(policy.device)]
        tokens, mask, chosen = (part.to(policy.device) for part in (tokens, mask, chosen))
        found = token_logprobs(policy.head, hidden, chosen, temperature, learn_entropy, top_k, top_p)
    logprobs, entropy = (torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, value) for value in found)
    return Scored(logprobs, entropy, tokens, mask)


def present(rollouts: Sequence[Rollout]) -> Tensor:
    """Where each rollout has a token, (rollouts, tokens)."""
    return there([len(rollout.tokens) for rollout in rollouts])


def divergences(reference: Policy, rollouts: Sequence[Rollout], recipe: Recipe, ranks: Ranks = ALONE) -> list[float]:
    """Of each answer, log p(answer) - log reference(answer) in nats, p being the policy that sampled it."""
    rows = recipe.micro_batch_rows
    parts = [rollouts[start : start + rows] for start in range(0, len(rollouts), rows)]
    with whole(reference):
        mine = [_divergences(reference, part, recipe) for part in ranks.share(parts)]
    return [apart for part in ranks.gather(mine) for apart in part]


@torch.no_grad()
def _divergences(reference: Policy, rollouts: Sequence[Rollout], recipe: Recipe) -> list[float]:
    scored = score(reference, rollouts, recipe.temperature, top_k=recipe.top_k, top_p=recipe.top_p)
    sums = (scored.logprobs * scored.mask).sum(-1).tolist()
    return [math.fsum(rollout.logprobs) - other for rollout, other in zip(rollouts, sums, strict=True)]


def update(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    rollouts: Sequence[Rollout],
    advantages: Sequence[float],
    recipe: Recipe,
    rate: float,
    trained: Sequence[bool] | None = None,
    reference: Policy | None = None,
    ranks: Ranks = ALONE,
) -> UpdateStats:
    """One step's update: `recipe.updates_per_step` passes over the rollouts, one optimiser step each.

    `trained` marks those that take part (all, where it is None); `reference` is what a KL divergence in the loss is
    measured from. Rollouts whose advantage is 0 are not run where that changes nothing: they stay in the denominators.
    Every rank is given the whole batch, runs its share of it, and takes the step of the summed gradient.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    chosen = list(trained) if trained is not None else [True] * len(rollouts)
    everywhere = recipe.entropy_bonus > 0 or (recipe.kl.weight > 0 and recipe.kl.place == "loss")
    kept = [i for i, part in enumerate(chosen) if part and (advantages[i] != 0.0 or everywhere)]
    if not kept:
        return UpdateStats(0.0, 0.0, math.nan, 0.0, 0.0)
    lengths = torch.tensor([len(rollout.tokens) * part for rollout, part in zip(rollouts, chosen, strict=True)])
    weights = token_weights(lengths, int(lengths.max()), recipe.aggregation, recipe.max_new_tokens, recipe.group_size)
    mine = shares(rollouts, kept, ranks.world)[ranks.rank]
    packed = policy.scorer is not None
    batches = micro_batches(rollouts, mine, recipe.micro_batch_rows, recipe.micro_batch_tokens, packed)
    # Sharded weights are run equally often by all ranks: one with fewer parts runs some of weight 0.
    missing = int(ranks.largest(len(batches))) - len(batches) if isinstance(policy, ShardedPolicy) else 0
    parts = [
        _Part(policy, [rollouts[i] for i in rows], [advantages[i] for i in rows], weights[rows], recipe, reference)
        for rows in batches
    ]
    idle = [
        _Part(policy, [rollouts[i]], [0.0], torch.zeros_like(weights[[i]]), recipe, reference)
        for i in kept[:1] * missing
    ]
    totals = dict.fromkeys(("loss", "entropy", "clipped", "tokens", "kl"), 0.0)
    norm = 0.0
    for _ in range(recipe.updates_per_step):
        optimizer.zero_grad(set_to_none=True)
        for part in parts:
            for name, value in part.backward().items():
                totals[name] += value
        for part in idle:
            part.backward()
        ranks.add_up_gradients(policy.trained)
        norm = clipped_step(optimizer, policy.trained, recipe.max_grad_norm)
    totals = dict(zip(totals, ranks.add_up(*totals.values()), strict=True))
    tokens = totals["tokens"]
    return UpdateStats(
        totals["loss"] / recipe.updates_per_step,
        norm,
        totals["entropy"] / tokens,
        totals["clipped"] / tokens,
        ranks.largest(max((part.gap for part in parts), default=0.0)),
        totals["kl"] / tokens,
        tokens,
    )


class _Part:
    """As many rollouts as go through the model together, with what stays the same over the passes."""

    def __init__(
        self,
        policy: Policy,
        rollouts: Sequence[Rollout],
        advantages: Sequence[float],
        weights: Tensor,
        recipe: Recipe,
        reference: Policy | None,
    ) -> None:
        self.policy, self.rollouts, self.recipe = policy, rollouts, recipe
        self.advantages = torch.tensor(advantages, device=policy.device)
        there = present(rollouts)
        drawn = torch.tensor([logprob for rollout in rollouts for logprob in rollout.logprobs])
        self.weights = weights[:, : there.shape[1]].to(policy.device)
        self.sampled = torch.zeros(there.shape).masked_scatter(there, drawn).to(policy.device)
        self.reference: Tensor | None = None
        if reference is not None:
            with torch.no_grad(), whole(reference):
                self.reference = score(
                    reference, rollouts, recipe.temperature, False, recipe.top_k, recipe.top_p
                ).logprobs
        self.old: Tensor | None = None  # the trainer's log-probs before the first pass
        self.gap = 0.0

    def backward(self) -> dict[str, float]:
        """Add this part's gradient; its share of what an update reports, as sums over tokens."""
        recipe = self.recipe
        scored = score(
            self.policy, self.rollouts, recipe.temperature, recipe.entropy_bonus > 0, recipe.top_k, recipe.top_p
        )
        logprobs, mask = scored.logprobs, scored.mask
        if self.old is None:
            self.old = logprobs.detach()
            self.gap = float((self.old - self.sampled)[mask].abs().max())
        old = self.sampled if recipe.importance_correction == "none" else self.old
        bounds = (recipe.clip_low, recipe.clip_high)
        losses = policy_loss(recipe.loss, logprobs, old, self.advantages, mask, *bounds)
        if recipe.importance_correction != "none":
            cap = recipe.importance_cap
            losses = losses * correction(self.old, self.sampled, mask, recipe.importance_correction, cap)
        if recipe.entropy_bonus > 0:
            losses = losses - recipe.entropy_bonus * scored.entropy
        kl = torch.zeros(())
        if self.reference is not None:
            apart = divergence(recipe.kl.estimator, logprobs, self.reference)
            losses = losses + recipe.kl.weight * apart
            kl = (apart.detach() * mask).sum()
        loss = (losses * self.weights).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            return {
                "loss": float(loss),
                "entropy": float(scored.entropy[mask].sum()),
                "clipped": float(clipped_count(recipe.loss, logprobs, old, self.advantages, mask, *bounds)),
                "tokens": float(mask.sum()),
                "kl": float(kl),
            }
