"""The loop: sample, grade, reward, compare within the group, update, validate. `steps` is the story in one screen.

How it differs from textbook GRPO: one optimiser step per batch by default, so the clip only acts with
`updates_per_step` above 1; the old log-probs are the sampler's own, recorded as the tokens were drawn; an undecided
grade gives no advantage instead of a zero reward; a reference model only where the recipe charges for divergence.
"""

from __future__ import annotations

import json
import resource
from dataclasses import replace

from graders.grade import GradingStopped
from rewards.reward import rewards_of
from rft_loop.advice import FIRST, advise
from rft_loop.checkpoint import Progress, prune, read_progress, save_checkpoint
from rft_loop.collect import collect, seed_of, trained_on
from rft_loop.credit import advantages_of, charged_for_divergence
from rft_loop.grading import grade_watched, stay_within_budget, write_rollouts
from rft_loop.items import read_items
from rft_loop.judges import judges_of
from rft_loop.measures import Clock, by_grader, measures
from rft_loop.recipe import Recipe
from rft_loop.record import Run, read_events, working_seconds, write_beside
from rft_loop.supervised import warm_start
from rft_loop.training import Training, View, prepare, reference_of
from rft_loop.update import learning_rate, make_optimizer, update
from rft_loop.validation import validate


def train(recipe: Recipe, run: Run, view: View = lambda event: None) -> Progress:
    """Run a recipe to its end, from its last checkpoint where it has one.

    Raises StoppedError past the error budget, and GradingStopped where no judge can or should be asked any more: past
    the recipe's `budget`, in an outage, after a canary. What was recorded is kept, and the run can go on.
    """
    if (done := finished(recipe, run)) is not None:
        return done
    with judges_of(recipe, run) as spending:
        training = prepare(recipe, run, view, spending)
        try:
            return steps(training)
        except GradingStopped as problem:
            training.tell("stop", step=training.progress.step, reason=str(problem), **spending.lap())
            raise


def steps(training: Training) -> Progress:
    """The warm start, the steps that are left, and the end."""
    recipe = training.recipe
    if training.progress.phase == "warm_start":
        warm_up(training)
    training.reference = reference_of(training)
    for step in range(training.progress.step + 1, recipe.steps + 1):
        clock = Clock()
        indices, rollouts, grades = collect(training, step, clock)
        watched = grade_watched(training, "train", indices, rollouts)
        clock.lap("grade")
        lengths = [len(rollout.tokens) for rollout in rollouts]
        rewards = rewards_of(grades, lengths, recipe.reward, seed_of(recipe.seed, step))
        rewards = charged_for_divergence(training, rollouts, rewards)
        advantages = advantages_of(training, grades, rewards, lengths)
        write_rollouts(training, "train", step, indices, rollouts, grades, rewards, advantages)
        stay_within_budget(training, step, grades)
        rate = learning_rate(recipe.learning_rate, step, recipe.warmup_steps, recipe.steps, recipe.schedule)
        stats = update(
            training.policy, training.optimizer, rollouts, advantages, recipe, rate,
            trained_on(rollouts, rewards, recipe), training.reference if recipe.kl.place == "loss" else None,
        )  # fmt: skip
        clock.lap("update")
        training.tell(
            "step", step=step, of=recipe.steps, learning_rate=rate,
            **measures(rollouts, grades, rewards, stats, recipe.group_size), **by_grader(grades, watched),
            **training.spending.lap(grades), **clock.laps(),
        )  # fmt: skip
        training.progress = replace(training.progress, step=step, validation={})
        if step <= FIRST or step % recipe.eval_every == 0:
            give_advice(training)
        if step % recipe.eval_every == 0 or step == recipe.steps:
            validate(training)
        if step % recipe.save_every == 0 or step == recipe.steps or training.progress.best_step == step:
            save(training)
    finish(training)
    return training.progress


def warm_up(training: Training) -> None:
    """The supervised warm start, if the recipe has one, then the first validation and checkpoint step-0."""
    recipe, spec = training.recipe, training.recipe.warm_start
    if spec is not None:

        def after_step(step: int, loss: float, rate: float) -> None:
            training.tell("warm_start", step=step, of=spec.steps, loss=loss, learning_rate=rate)
            training.progress = replace(training.progress, step=step)
            if step % recipe.save_every == 0:
                save(training)

        rows = read_items(spec.data, "assistant")
        warm_start(training.policy, training.optimizer, rows, spec, recipe, after_step, training.progress.step)
    training.optimizer = make_optimizer(training.policy, recipe)
    training.progress = replace(training.progress, phase="step", step=0)
    validate(training)
    save(training)


def give_advice(training: Training) -> None:
    """Name what keeps the run from learning what is meant, once for each cause, until it has gone."""
    found = advise([event for event in read_events(training.run.folder) if event["event"] == "step"], training.recipe)
    for advice in found:
        if advice.name not in training.advised:
            training.tell("advice", step=training.progress.step, **advice._asdict())
    training.advised = {advice.name for advice in found}


def save(training: Training) -> None:
    optimizer = None if training.progress == replace(training.progress, phase="step", step=0) else training.optimizer
    path = save_checkpoint(training.run.checkpoints, training.policy, optimizer, training.progress)
    training.tell("checkpoint", phase=training.progress.phase, step=training.progress.step, path=path.name)
    prune(training.run.checkpoints, training.recipe.keep_checkpoints, training.progress.best_step)


def finished(recipe: Recipe, run: Run) -> Progress | None:
    """The progress of a run that has nothing left to do."""
    last = run.checkpoints / f"step-{recipe.steps}"
    return read_progress(last) if last.is_dir() and (run.folder / "summary.json").is_file() else None


def finish(training: Training) -> None:
    """Close the record: the `end` event and summary.json."""
    progress, run = training.progress, training.run
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = next(e for e in read_events(run.folder) if e["event"] == "validation")
    summary = {
        "grader": training.grader.identity,
        "models": list(training.grader.models()),
        **training.spending.whole(),
        "best_checkpoint": f"checkpoints/step-{progress.best_step}",
        "best_step": progress.best_step,
        "validation_start": start["reward"],
        "validation_best": progress.best_reward,
        "seconds": round(working_seconds(run.folder), 1),
        "peak_rss_mb": round(peak),
    }
    training.tell("end", **summary)
    write_beside(run.folder / "summary.json", json.dumps(summary, indent=2))
