"""Measures: one step's figures, under the names that TRL's dashboards use, and where its time went."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from graders.grade import Grade
from rft_loop.learning.advantage import zero_spread_share
from rft_loop.learning.update import UpdateStats
from rft_loop.sampling.rollout import Rollout


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
        "completions/duplicate_ratio": duplicate_share(rollouts, group_size),
        **of_form(rollouts),
        "loss": stats.loss,
        "grad_norm": stats.grad_norm,
        "entropy": stats.entropy,
        "clip_ratio/region_mean": stats.clipped,
        "kl": stats.kl,
        "sampling/sampling_logp_difference/max": stats.logprob_gap,
    }


def by_grader(grades: Sequence[Grade], watched: Mapping[str, Sequence[Grade]]) -> dict[str, float]:
    """Mean and spread of each part of the grader, and of each grader that is only watched, as `rewards/<name>/mean`."""
    named: dict[str, list[Grade]] = {}
    for grade in grades:
        for name, part in grade.parts.items():
            named.setdefault(name, []).append(part)
    figures = {}
    for name, found in {**named, **watched}.items():
        scores = [grade.score for grade in found if grade.score is not None]
        if scores:
            figures[f"rewards/{name}/mean"] = statistics.fmean(scores)
            figures[f"rewards/{name}/std"] = statistics.stdev(scores) if len(scores) > 1 else 0.0
    return figures


def duplicate_share(rollouts: Sequence[Rollout], group_size: int) -> float:
    """Share of the answers that repeat another one of their group."""
    groups = [rollouts[start : start + group_size] for start in range(0, len(rollouts), group_size)]
    return statistics.fmean(
        1 - len({(rollout.thinking, rollout.text) for rollout in group}) / len(group) for group in groups
    )


def of_form(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Share of the answers that are nothing but thinking, and of those that are of the recipe's `response_format`."""
    thought = statistics.fmean(bool(rollout.thinking) and not rollout.text for rollout in rollouts)
    flaws = [rollout.flaw for rollout in rollouts if rollout.flaw is not None]
    form = {"completions/schema_ratio": statistics.fmean(flaw == "" for flaw in flaws)} if flaws else {}
    return {"completions/thinking_only_ratio": thought, **form}


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
        self._laps[name] = self.seconds(name) + now - self._last
        self._last = now

    def seconds(self, name: str) -> float:
        return self._laps.get(name, 0.0)

    def laps(self) -> dict[str, float]:
        timed = {f"timing_s/{name}": round(seconds, 4) for name, seconds in self._laps.items()}
        return timed | {"step_time": round(time.perf_counter() - self._start, 4)}
