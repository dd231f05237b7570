"""Losses: pure functions on tensors, (rollouts, tokens) unless said otherwise. Formulas and sources in each."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def clipped_policy_loss(logprobs: Tensor, old: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> Tensor:
    """PPO's clipped surrogate per token (Schulman et al. 2017, eq. 7), to be minimised; shape (rollouts, tokens).

    -min(w A, clip(w, 1 - clip_low, 1 + clip_high) A) with w = exp(logprobs - old). `old` are the log-probs the
    tokens were sampled with; `advantages` is (rollouts,). Separate bounds: DAPO (Yu et al. 2025, section 3.1).
    """
    ratio = torch.exp(logprobs - old)
    per_rollout = advantages[:, None]
    return -torch.minimum(ratio * per_rollout, ratio.clamp(1 - clip_low, 1 + clip_high) * per_rollout)


def clipped_count(
    logprobs: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """Number of tokens whose gradient the clip takes away (w A past the bound that holds it back); a scalar."""
    ratio = torch.exp(logprobs - old)
    per_rollout = advantages[:, None]
    held = ((ratio < 1 - clip_low) & (per_rollout < 0)) | ((ratio > 1 + clip_high) & (per_rollout > 0))
    return (held & mask).sum()


def token_weights(lengths: Tensor, width: int, how: Literal["token", "sequence", "constant"], longest: int) -> Tensor:
    """Weight of each token so that the batch's loss is the plain sum of weight times token loss; (rollouts, width).

    `token`: 1 / all tokens (DAPO, section 3.3). `sequence`: 1 / (rollouts x own length) (GRPO, eq. 3).
    `constant`: 1 / (rollouts x `longest`), `longest` the most new tokens allowed (Dr. GRPO, section 3.1).
    `lengths` is (rollouts,), of the whole batch: made before it is split, the gradient does not depend on the split.
    """
    mask = (torch.arange(width, device=lengths.device) < lengths[:, None]).float()
    match how:
        case "token":
            return mask / lengths.sum()
        case "sequence":
            return mask / (len(lengths) * lengths[:, None])
        case "constant":
            return mask / (len(lengths) * longest)


def token_entropy(logprobs: Tensor) -> Tensor:
    """Entropy in nats of next-token distributions given as normalised log-probs: -sum p log p over the last axis."""
    return -(logprobs.exp() * logprobs).sum(dim=-1)
