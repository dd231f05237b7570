"""Update: move the weights so that rollouts with positive advantage become likelier. One optimiser step a pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from rft_loop.decode import Prefill, extend
from rft_loop.loss import clipped_count, clipped_policy_loss, token_entropy, token_weights
from rft_loop.policy import Policy
from rft_loop.recipe import Recipe
from rft_loop.rollout import Rollout


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


def make_optimizer(policy: Policy, recipe: Recipe) -> torch.optim.AdamW:
    return torch.optim.AdamW(
        policy.model.parameters(),
        lr=recipe.learning_rate,
        betas=(0.9, 0.99),
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def learning_rate(peak: float, step: int, warmup_steps: int, steps: int, schedule: str) -> float:
    """The rate of one step, counted from 1: a linear rise, then constant, or falling to 0 past the last step."""
    if step <= warmup_steps:
        return peak * step / warmup_steps
    if schedule == "linear":
        return peak * (steps - step + 1) / (steps - warmup_steps)
    return peak


def score(policy: Policy, rollouts: Sequence[Rollout], temperature: float, learn_entropy: bool = False) -> Scored:
    """Log-prob of every answer token under the current weights, at the sampling temperature; differentiable.

    Each distinct prompt runs once; the answers of one prompt share it. The entropy carries a gradient only when it
    is to be learned from.
    """
    prompts = list(dict.fromkeys(rollout.prompt for rollout in rollouts))
    position = {prompt: index for index, prompt in enumerate(prompts)}
    owner = torch.tensor([position[rollout.prompt] for rollout in rollouts], device=policy.device)
    width = max(len(rollout.tokens) for rollout in rollouts)
    tokens = torch.zeros(len(rollouts), width, dtype=torch.long)
    for row, rollout in enumerate(rollouts):
        tokens[row, : len(rollout.tokens)] = torch.tensor(rollout.tokens)
    tokens = tokens.to(policy.device)
    lengths = torch.tensor([len(rollout.tokens) for rollout in rollouts], device=policy.device)
    mask = torch.arange(width, device=policy.device) < lengths[:, None]

    prefill = Prefill(policy, prompts)
    prefill.select(owner)
    logits = prefill.logits[:, None]
    if width > 1:
        logits = torch.cat([logits, extend(policy, prefill, tokens[:, :-1])], dim=1)
    everything = torch.log_softmax(logits.float() / temperature, dim=-1)  # (rollouts, tokens, vocabulary)
    with torch.set_grad_enabled(learn_entropy and torch.is_grad_enabled()):
        entropy = token_entropy(everything)
    return Scored(everything.gather(-1, tokens[..., None])[..., 0], entropy, tokens, mask)


def update(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    rollouts: Sequence[Rollout],
    advantages: Sequence[float],
    recipe: Recipe,
    rate: float,
) -> UpdateStats:
    """One step's update. Rollouts whose advantage is 0 are left out: they add nothing to the gradient,
    but stay in the denominator, so that leaving them out changes nothing. With an entropy bonus all are kept.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate
    everyone = range(len(rollouts))
    kept = [i for i in everyone if advantages[i] != 0.0 or recipe.entropy_bonus > 0]
    if not kept:
        return UpdateStats(0.0, 0.0, math.nan, 0.0, 0.0)
    # Neighbours share a prompt, so parts cut from this order rarely run a prompt twice.
    parts = [kept[start : start + recipe.micro_batch_rows] for start in range(0, len(kept), recipe.micro_batch_rows)]
    lengths = torch.tensor([len(rollout.tokens) for rollout in rollouts])
    weights = token_weights(lengths, int(lengths.max()), recipe.aggregation, recipe.max_new_tokens)

    totals = dict.fromkeys(("loss", "entropy", "clipped", "tokens"), 0.0)
    gap = norm = 0.0
    for update_pass in range(recipe.updates_per_step):
        optimizer.zero_grad(set_to_none=True)
        for part in parts:
            scored = score(policy, [rollouts[i] for i in part], recipe.temperature, recipe.entropy_bonus > 0)
            width = scored.tokens.shape[1]
            old = torch.zeros_like(scored.logprobs)
            for row, i in enumerate(part):
                old[row, : len(rollouts[i].logprobs)] = torch.tensor(rollouts[i].logprobs)
            gains = torch.tensor([advantages[i] for i in part], device=policy.device)
            losses = clipped_policy_loss(scored.logprobs, old, gains, recipe.clip_low, recipe.clip_high)
            if recipe.entropy_bonus > 0:
                losses = losses - recipe.entropy_bonus * scored.entropy
            loss = (losses * weights[part, :width].to(policy.device)).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                mask = scored.mask
                totals["loss"] += float(loss)
                totals["entropy"] += float(scored.entropy[mask].sum())
                totals["clipped"] += float(
                    clipped_count(scored.logprobs, old, gains, mask, recipe.clip_low, recipe.clip_high)
                )
                totals["tokens"] += int(mask.sum())
                if update_pass == 0:
                    gap = max(gap, float((scored.logprobs - old)[mask].abs().max()))
        norm = float(clip_grad_norm_(policy.model.parameters(), recipe.max_grad_norm))
        optimizer.step()
    tokens = totals["tokens"]
    return UpdateStats(
        totals["loss"] / recipe.updates_per_step,
        norm,
        totals["entropy"] / tokens,
        totals["clipped"] / tokens,
        gap,
    )
