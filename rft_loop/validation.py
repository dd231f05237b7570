"""Validation: the held-out split answered greedily and graded."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from graders.grade import Grade
from graders.statistics import Interval, summarise
from rft_loop.grading import by_kind, grade_rollouts, grade_watched, stop, write_rollouts
from rft_loop.reading import read
from rft_loop.recipe import REWARD
from rft_loop.sampling.rollout import Rollout
from rft_loop.sampling.sampler import Sampler
from rft_loop.training import Training
from rft_loop.watching.measures import by_grader, errors_by_kind, of_form


def validate(training: Training) -> None:
    """Answer the whole validation split greedily, grade it, and remember whether it is the best so far."""
    recipe, step = training.recipe, training.progress.step
    training.sampler.follow(step, now=True)
    rollouts = answer(training.sampler, training.held_out_prompts, recipe.max_new_tokens)
    rollouts = read(training.policy.tokenizer, rollouts, recipe.thinking, recipe.response_format)
    indices = range(len(rollouts))
    grades = grade_rollouts(training, "validation", step, indices, rollouts)
    write_rollouts(training, "validation", step, indices, rollouts, grades)
    watched = grade_watched(training, "validation", indices, rollouts)
    scored = mean_of(training, grades, training.grader.range)
    found: dict[str, Any] = {"reward": scored.mean, "low": scored.low, "high": scored.high, "n": len(grades)}
    value = scored.mean
    if recipe.best_by != REWARD:
        value = mean_of(training, named(recipe.best_by, grades, watched)).mean
        found |= {"best_by": recipe.best_by, "best_value": value}
    best = training.progress.best_value is None or value > training.progress.best_value
    length = statistics.fmean(len(rollout.tokens) for rollout in rollouts)
    with training.pause.held():
        training.tell(
            "validation", step=step, **found, errors=errors_by_kind(grades), mean_length=length, best=best,
            **of_form(rollouts), **by_grader(grades, watched), **training.spending.lap(grades),
        )  # fmt: skip
        training.progress = replace(training.progress, validation=found)
        if best:
            training.progress = replace(training.progress, best_step=step, best_reward=scored.mean, best_value=value)


def mean_of(training: Training, grades: Sequence[Grade], bounds: tuple[float, float] | None = None) -> Interval:
    """Their mean with its interval. Where too many could not be decided the run stops: StoppedError."""
    summary = summarise(grades, bounds=bounds)
    if summary.scored is None or summary.error_rate > training.recipe.max_error_rate:
        example = next(grade.why for grade in grades if grade.score is None)
        stop(training, f"{by_kind(summary.errors)} of {summary.n} validation grades could not be decided: {example}")
    assert summary.scored is not None
    return summary.scored


def named(name: str, grades: Sequence[Grade], watched: Mapping[str, Sequence[Grade]]) -> Sequence[Grade]:
    """The grades of a watched grader, or of a part of the run's; a part that was not asked has not decided."""
    missing = Grade.undecided("other_error", f"{name!r} was not asked")
    return watched[name] if name in watched else [grade.parts.get(name, missing) for grade in grades]


def answer(sampler: Sampler, prompts: Sequence[Sequence[int]], max_new_tokens: int) -> list[Rollout]:
    """One greedy answer per prompt: what validation and `assay eval` judge."""
    return sampler.sample(prompts, per_prompt=1, max_new_tokens=max_new_tokens, temperature=0.0, seed=0)
