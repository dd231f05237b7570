"""Measures: one step's figures, under the names that TRL's dashboards use, and where its time went."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from graders.grade import Grade
from rft_loop.advantage import zero_spread_share
from rft_loop.rollout import Rollout
from rft_loop.update import UpdateStats


def measures(
    rollouts: Sequence[Rollout],
    grades: Sequence[Grade],
    rewards: Sequence[float | None],
    stats: UpdateStats,
    group_size: int,
) -> dict[str, Any]:
    """A step's figures: rewards over the decided rollouts, lengths in tokens, entropy in nats."""
    decided = [reward for reward in rewards if reward is not None]
    lengths = [len(rollout.tokens) for rollout in rollouts]
    errors = errors_by_kind(grades)
    return {
        "reward": statistics.fmean(decided) if decided else None,
        "reward_std": statistics.stdev(decided) if len(decided) > 1 else 0.0,
        "frac_reward_zero_std": zero_spread_share(rewards, group_size),
        "undecided": sum(errors.values()),
        "errors": errors,
        "completions/mean_length": statistics.fmean(lengths),
        "completions/max_length": max(lengths),
        "completions/clipped_ratio": statistics.fmean(rollout.finish == "length" for rollout in rollouts),
        "loss": stats.loss,
        "grad_norm": stats.grad_norm,
        "entropy": stats.entropy,
        "clip_ratio/region_mean": stats.clipped,
        "kl": stats.kl,
        "sampling/sampling_logp_difference/max": stats.logprob_gap,
    }


def errors_by_kind(grades: Sequence[Grade]) -> dict[str, int]:
    """How many grades could not be decided, by error kind; most frequent first."""
    undecided = (grade.error.kind for grade in grades if grade.score is None and grade.error is not None)
    return dict(Counter(undecided).most_common())


class Clock:
    """Seconds between laps, as `timing_s/<lap>`, and of the whole step."""

    def __init__(self) -> None:
        self._last = self._start = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[f"timing_s/{name}"] = round(now - self._last, 4)
        self._last = now

    def laps(self) -> dict[str, float]:
        return self._laps | {"step_time": round(time.perf_counter() - self._start, 4)}
