"""Advantages: how much better a rollout did than the other rollouts of its item. Pure functions on lists."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

EPSILON = 1e-4


def group_advantages(
    rewards: Sequence[float | None], group_size: int, scale: Literal["grpo", "mean"] = "grpo"
) -> list[float]:
    """Advantage of each rollout within its group of `group_size` neighbours.

    `grpo`: A_i = (r_i - mean) / (std + 1e-4), std with n - 1 (DeepSeekMath, Shao et al. 2024, section 4.1).
    `mean`: A_i = r_i - mean (Dr. GRPO, Liu et al. 2025, section 3.2).
    Mean and std run over the decided rewards. An undecided rollout, a group whose decided rewards are all equal
    (tested exactly, not against a threshold) and a group with fewer than two of them get 0.

    >>> group_advantages([1.0, 0.0, None, 0.5, 0.5, 0.5], group_size=3, scale="mean")
    [0.5, -0.5, 0.0, 0.0, 0.0, 0.0]
    """
    if len(rewards) % group_size:
        raise ValueError(f"{len(rewards)} rewards do not fill groups of {group_size}")
    advantages: list[float] = []
    for start in range(0, len(rewards), group_size):
        group = rewards[start : start + group_size]
        if not has_spread(group):
            advantages += [0.0] * group_size
            continue
        decided = [reward for reward in group if reward is not None]
        mean = math.fsum(decided) / len(decided)
        divisor = 1.0
        if scale == "grpo":
            variance = math.fsum((reward - mean) ** 2 for reward in decided) / (len(decided) - 1)
            divisor = math.sqrt(variance) + EPSILON
        advantages += [0.0 if reward is None else (reward - mean) / divisor for reward in group]
    return advantages


def has_spread(group: Sequence[float | None]) -> bool:
    """Whether a group has anything to compare: two decided rewards that differ."""
    decided = [reward for reward in group if reward is not None]
    return len(decided) > 1 and max(decided) != min(decided)


def zero_spread_share(rewards: Sequence[float | None], group_size: int) -> float:
    """Share of groups that teach nothing because their rewards do not differ (TRL's `frac_reward_zero_std`)."""
    groups = [rewards[start : start + group_size] for start in range(0, len(rewards), group_size)]
    return sum(not has_spread(group) for group in groups) / len(groups)
