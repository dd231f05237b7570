"""Losses: pure functions on tensors, (rollouts, tokens) unless said otherwise. Formulas and sources in each.

Throughout, `logprobs` are those of the weights that are trained, `old` those of the weights that sampled,
w = exp(logprobs - old), and `advantages` is (rollouts,). Each returns the loss of each token, to be minimised.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Loss = Literal["clip", "reinforce", "gspo", "cispo"]
Divergence = Literal["k1", "k2", "k3"]
Aggregation = Literal["token", "sequence", "constant", "prompt"]


def policy_loss(
    kind: Loss, logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """The loss of this kind; `mask` marks the tokens of the answers."""
    match kind:
        case "clip":
            return clipped_policy_loss(logprobs, old, advantages, clip_low, clip_high)
        case "reinforce":
            return reinforce_loss(logprobs, advantages)
        case "gspo":
            return gspo_loss(logprobs, old, advantages, mask, clip_low, clip_high)
        case "cispo":
            return cispo_loss(logprobs, old, advantages, clip_high)


def reinforce_loss(logprobs: Tensor, advantages: Tensor) -> Tensor:
    """-A log p (Williams 1992): right where the tokens were sampled with the weights that are trained."""
    return -advantages[:, None] * logprobs


def clipped_policy_loss(logprobs: Tensor, old: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """PPO's clipped surrogate (Schulman et al. 2017, eq. 7).

    -min(w A, clip(w, 1 - clip_low, 1 + clip_high) A). Separate bounds: DAPO (Yu et al. 2025, section 3.1).
    """
    ratio = torch.exp(logprobs - old)
    per_rollout = advantages[:, None]
    return -torch.minimum(ratio * per_rollout, ratio.clamp(1 - clip_low, 1 + clip_high) * per_rollout)


def gspo_loss(
    logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """The clipped surrogate with one ratio for a whole answer: w = exp(mean over its tokens of logprobs - old).

    GSPO (Zheng et al. 2025, eq. 5 to 7); its bounds are some thousand times narrower than those of single tokens.
    """
    mean = ((logprobs - old) * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    ratio = torch.exp(mean)
    per_rollout = advantages[:, None]
    loss = -torch.minimum(ratio * per_rollout, ratio.clamp(1 - clip_low, 1 + clip_high) * per_rollout)
    return loss.expand_as(logprobs)


def cispo_loss(logprobs: Tensor, old: Tensor, advantages: Tensor, clip_high: float) -> Tensor:
    """-sg(min(w, 1 + clip_high)) A log p: the weight is clipped, the gradient is not (MiniMax-M1, 2025)."""
    weight = torch.exp(logprobs - old).clamp(max=1 + clip_high).detach()
    return -weight * advantages[:, None] * logprobs


def clipped_count(
    kind: Loss, logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """Number of tokens that a bound holds back, a scalar: whose gradient is taken away, or whose weight is capped.

    Of an answer past its bound, with `gspo`, all tokens; with `reinforce`, none.
    """
    apart, up = logprobs - old, advantages[:, None] > 0
    if kind == "gspo":
        apart = ((apart * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)).expand_as(apart)
    ratio = torch.exp(apart)
    match kind:
        case "reinforce":
            return torch.zeros((), dtype=torch.long, device=mask.device)
        case "cispo":
            held = ratio > 1 + clip_high
        case _:
            held = ((ratio < 1 - clip_low) & (advantages[:, None] < 0)) | ((ratio > 1 + clip_high) & up)
    return (held & mask).sum()


def divergence(kind: Divergence, logprobs: Tensor, reference: Tensor) -> Tensor:
    """Estimate, token by token, of KL(policy || reference) from tokens of the policy (Schulman 2020).

    d = logprobs - reference. k1 = d: unbiased; as a loss its gradient is 0 on average, so it belongs into the reward.
    k2 = d^2 / 2: its gradient is that of the divergence. k3 = exp(-d) - 1 + d: unbiased, never negative, and its
    gradient is that of KL(reference || policy).
    """
    difference = logprobs - reference
    match kind:
        case "k1":
            return difference
        case "k2":
            return 0.5 * difference**2
        case "k3":
            return torch.exp(-difference) - 1 + difference


def correction(
    trainer: Tensor, sampler: Tensor, mask: Tensor, level: Literal["token", "sequence"], cap: float
) -> Tensor:
    """Truncated importance weight for a sampler whose log-probs differ from the trainer's for the same weights.

    `token`: min(exp(trainer - sampler), cap) for each token; `sequence`: the same of the sum over an answer, for all
    of its tokens (truncated importance sampling, Yao et al. 2025). No gradient goes through it.
    """
    difference = (trainer - sampler).detach() * mask
    if level == "sequence":
        difference = difference.sum(-1, keepdim=True).expand_as(difference)
    return torch.exp(difference).clamp(max=cap)


def token_weights(lengths: Tensor, width: int, how: Aggregation, longest: int, group_size: int = 1) -> Tensor:
    """Weight of each token so that the batch's loss is the plain sum of weight times token loss; (rollouts, width).

    `token`: 1 / all tokens (DAPO, section 3.3). `sequence`: 1 / (rollouts x own length) (GRPO, eq. 3).
    `constant`: 1 / (rollouts x `longest`), `longest` the most new tokens allowed (Dr. GRPO, section 3.1).
    `prompt`: 1 / (groups x tokens of its group), groups being `group_size` neighbours.
    `lengths` is (rollouts,), of the whole batch: made before it is split, the gradient does not depend on the split.
    A rollout of length 0 takes no part: it is none of the rollouts that are divided by.
    """
    mask = (torch.arange(width, device=lengths.device) < lengths[:, None]).float()
    rollouts = (lengths > 0).sum().clamp(min=1)
    match how:
        case "token":
            return mask / lengths.sum().clamp(min=1)
        case "sequence":
            return mask / (rollouts * lengths[:, None].clamp(min=1))
        case "constant":
            return mask / (rollouts * longest)
        case "prompt":
            tokens = lengths.view(-1, group_size).sum(-1)
            groups = (tokens > 0).sum().clamp(min=1)
            return mask / (groups * tokens.clamp(min=1).repeat_interleave(group_size)[:, None])


def token_entropy(logprobs: Tensor) -> Tensor:
    """Entropy in nats of next-token distributions given as normalised log-probs: -sum p log p over the last axis."""
    return -(logprobs.exp() * logprobs).sum(dim=-1)
