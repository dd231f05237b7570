"""Validation: the held-out split answered greedily and graded."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

from graders.statistics import summarise
from rft_loop.decode import sample
from rft_loop.grading import by_kind, grade_rollouts, grade_watched, stop, write_rollouts
from rft_loop.measures import by_grader
from rft_loop.policy import Policy
from rft_loop.rollout import Rollout
from rft_loop.training import Training


def validate(training: Training) -> None:
    """Answer the whole validation split greedily, grade it, and remember whether it is the best so far."""
    recipe, step = training.recipe, training.progress.step
    rollouts = answer(training.policy, training.held_out_prompts, recipe.max_new_tokens, recipe.decode_rows)
    indices = range(len(rollouts))
    grades = grade_rollouts(training, "validation", step, indices, rollouts)
    write_rollouts(training, "validation", step, indices, rollouts, grades)
    summary = summarise(grades, bounds=training.grader.range)
    if summary.scored is None or summary.error_rate > recipe.max_error_rate:
        example = next(grade.why for grade in grades if grade.score is None)
        stop(training, f"{by_kind(summary.errors)} of {summary.n} validation grades could not be decided: {example}")
    assert summary.scored is not None
    reward = summary.scored.mean
    best = training.progress.best_reward is None or reward > training.progress.best_reward
    watched = grade_watched(training, "validation", indices, rollouts)
    found = {"reward": reward, "low": summary.scored.low, "high": summary.scored.high, "n": summary.n}
    length = statistics.fmean(len(rollout.tokens) for rollout in rollouts)
    training.tell(
        "validation", step=step, **found, errors=dict(summary.errors), mean_length=length, best=best,
        **by_grader(grades, watched), **training.spending.lap(grades),
    )  # fmt: skip
    training.progress = replace(training.progress, validation=found)
    if best:
        training.progress = replace(training.progress, best_step=step, best_reward=reward)


def answer(policy: Policy, prompts: Sequence[Sequence[int]], max_new_tokens: int, decode_rows: int) -> list[Rollout]:
    """One greedy answer per prompt: what validation and `assay eval` judge."""
    return sample(
        policy,
        prompts,
        per_prompt=1,
        max_new_tokens=max_new_tokens,
        temperature=0.0,
        seed=0,
        decode_rows=decode_rows,
    )
