"""Advantages: how much better a rollout did than the other rollouts of its item. Pure functions on lists.

Everywhere an undecided reward (None) takes part in nothing and gets 0. A group whose decided rewards are all equal
(exactly, not by a threshold) or fewer than two is 0 within. `n` is the number of decided rewards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

EPSILON = 1e-4

Rewards: TypeAlias = Sequence[float | None]
Estimator = Literal["grpo", "mean", "rloo", "batch", "reinforce++", "maxrl"]


def group_advantages(
    rewards: Rewards, group_size: int, estimator: Estimator = "grpo", lengths: Sequence[int] = ()
) -> list[float]:
    """Advantage of each rollout, compared with its group of `group_size` neighbours.

    `lengths` are the rollouts' numbers of tokens, which "reinforce++" needs. Raises ValueError where the rewards do not
    fill the groups.

    >>> group_advantages([1.0, 0.0, None, 0.5, 0.5, 0.5], group_size=3, estimator="mean")
    [0.5, -0.5, 0.0, 0.0, 0.0, 0.0]
    """
    match estimator:
        case "grpo":
            return _by_group(rewards, group_size, grpo)
        case "mean":
            return _by_group(rewards, group_size, minus_mean)
        case "rloo":
            return _by_group(rewards, group_size, rloo)
        case "maxrl":
            return _by_group(rewards, group_size, maxrl)
        case "batch":
            return over_batch_std(_by_group(rewards, group_size, minus_mean), rewards)
        case "reinforce++":
            return whitened(_by_group(rewards, group_size, minus_mean), rewards, lengths)


def minus_mean(group: Sequence[float]) -> list[float]:
    """A_i = r_i - mean (Dr. GRPO, Liu et al. 2025, section 3.2)."""
    mean = math.fsum(group) / len(group)
    return [reward - mean for reward in group]


def grpo(group: Sequence[float]) -> list[float]:
    """A_i = (r_i - mean) / (std + 1e-4), std with n - 1 (DeepSeekMath, Shao et al. 2024, section 4.1)."""
    return [gain / (std(group) + EPSILON) for gain in minus_mean(group)]


def rloo(group: Sequence[float]) -> list[float]:
    """A_i = r_i - mean of the others = n / (n - 1) (r_i - mean) (Ahmadian et al. 2024)."""
    return [gain * len(group) / (len(group) - 1) for gain in minus_mean(group)]


def maxrl(group: Sequence[float]) -> list[float]:
    """A_i = (r_i - mean) / mean, and 0 where the mean is not above 0 (MaxRL, Tajwar et al. 2026): for rewards from 0.

    The rarer success is, the more it weighs: the gradient of log of the pass rate, not of the pass rate.
    """
    mean = math.fsum(group) / len(group)
    return [gain / mean for gain in minus_mean(group)] if mean > 0 else [0.0] * len(group)


def over_batch_std(gains: Sequence[float], rewards: Rewards) -> list[float]:
    """A_i = (r_i - group's mean) / (std of all decided rewards + 1e-4) (Lite PPO, Liu et al. 2025)."""
    divisor = std([reward for reward in rewards if reward is not None]) + EPSILON
    return [gain / divisor for gain in gains]


def whitened(gains: Sequence[float], rewards: Rewards, lengths: Sequence[int]) -> list[float]:
    """A_i = (g_i - mean) / sqrt(variance + 1e-8) over all tokens of the decided rollouts, g_i = r_i - group's mean.

    REINFORCE++ with the group's mean as baseline (Hu et al. 2025). A rollout counts once for each of its
    tokens; the variance is that of the tokens, with n - 1.
    """
    counted = [
        (gain, length)
        for gain, reward, length in zip(gains, rewards, lengths, strict=True)
        if reward is not None and length > 0
    ]
    tokens = sum(length for _, length in counted)
    if tokens < 2 or not any(gains):
        return [0.0] * len(gains)
    mean = math.fsum(gain * length for gain, length in counted) / tokens
    variance = math.fsum(length * (gain - mean) ** 2 for gain, length in counted) / (tokens - 1)
    scale = math.sqrt(variance + 1e-8)
    return [0.0 if reward is None else (gain - mean) / scale for gain, reward in zip(gains, rewards, strict=True)]


def gdpo(parts: Mapping[str, Rewards], weights: Mapping[str, float], group_size: int) -> list[float]:
    """Advantages from several rewards, each compared within its group before they are summed.

    S_i = sum over k of w_k (r_ik - mean_k) / (std_k + 1e-4); A_i = (S_i - mean) / (std + 1e-4) over the batch (GDPO,
    Liu et al. 2026). So a reward with little spread weighs as much as one with a lot. A rollout of which one part is
    undecided gets 0. Raises ValueError where parts and weights differ in their names.
    """
    if parts.keys() != weights.keys():
        raise ValueError(f"rewards for {sorted(parts)} and weights for {sorted(weights)}: they must be the same")
    normed = {name: _by_group(rewards, group_size, grpo) for name, rewards in parts.items()}
    decided = [None not in values for values in zip(*parts.values(), strict=True)]
    sums = [
        math.fsum(weights[name] * normed[name][place] for name in parts) if whole else None
        for place, whole in enumerate(decided)
    ]
    found = [value for value in sums if value is not None]
    if not any(found):
        return [0.0] * len(sums)
    mean = math.fsum(found) / len(found)
    return [0.0 if value is None else (value - mean) / (std(found) + EPSILON) for value in sums]


def std(values: Sequence[float]) -> float:
    """Standard deviation with n - 1; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _by_group(rewards: Rewards, group_size: int, compare: Callable[[Sequence[float]], list[float]]) -> list[float]:
    """`compare` applied to the decided rewards of each group that has anything to compare."""
    if len(rewards) % group_size:
        raise ValueError(f"{len(rewards)} rewards do not fill groups of {group_size}")
    advantages: list[float] = []
    for start in range(0, len(rewards), group_size):
        group = rewards[start : start + group_size]
        gains = iter(compare([reward for reward in group if reward is not None]) if has_spread(group) else ())
        advantages += [0.0 if reward is None else next(gains, 0.0) for reward in group]
    return advantages


def has_spread(group: Rewards) -> bool:
    """Whether a group has anything to compare: two decided rewards that differ."""
    decided = [reward for reward in group if reward is not None]
    return len(decided) > 1 and max(decided) != min(decided)


def zero_spread_share(rewards: Rewards, group_size: int) -> float:
    """Share of groups that teach nothing because their rewards do not differ (TRL's `frac_reward_zero_std`)."""
    groups = [rewards[start : start + group_size] for start in range(0, len(rewards), group_size)]
    return sum(not has_spread(group) for group in groups) / len(groups)
