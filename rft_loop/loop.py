"""The loop: sample, grade, reward, compare within the group, update, validate. `steps` is the story in one screen.

How it differs from textbook GRPO: one optimiser step per batch by default, so the clip only acts with
`updates_per_step` above 1; the old log-probs are the sampler's own, recorded as the tokens were drawn; an undecided
grade gives no advantage instead of a zero reward; a reference model only where the recipe charges for divergence.
"""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from typing import NoReturn

from graders.grade import GradingStopped
from rewards.reward import rewards_of
from rft_loop.collect import collect, seed_of, trained_on
from rft_loop.credit import advantages_of, charged_for_divergence
from rft_loop.grading import grade_watched, stay_within_budget, write_rollouts
from rft_loop.inputs import check_files
from rft_loop.items import read_items
from rft_loop.judges import judges_of
from rft_loop.learning.optimizer import learning_rate
from rft_loop.model.checkpoint import Progress, all_checkpoints, prune, read_progress
from rft_loop.parallel.crew import together
from rft_loop.parallel.orders import begin_anew, store, updated
from rft_loop.parallel.ranks import joined
from rft_loop.parallel.sharding import ShardedPolicy
from rft_loop.pause import AtOnce, Pause, PausedError
from rft_loop.recipe import Recipe
from rft_loop.supervised import supervised_step, warm_start
from rft_loop.training import Training, View, prepare, reference_of
from rft_loop.validation import validate
from rft_loop.watching.advice import advice_due, advise
from rft_loop.watching.measures import Clock, by_grader, measures
from rft_loop.watching.record import Run, read_events, working_seconds, write_beside
from rft_loop.watching.speed import speed


def train(recipe: Recipe, run: Run, view: View = lambda event: None, pause: Pause | None = None) -> Progress:
    """Run a recipe to its end, from its last checkpoint where it has one.

    Raises StoppedError past the error budget, GradingStopped where no judge can or should be asked any more (past the
    recipe's `budget`, in an outage, after a canary) and PausedError where it was asked to pause. What was recorded is
    kept, and the run can go on.
    """
    if (done := finished(recipe, run)) is not None:
        return done
    check_files(recipe)
    with judges_of(recipe, run) as spending:
        training = prepare(recipe, run, view, spending, pause or Pause(run.pause_file), joined())
        try:
            with training.pause.training():
                return steps(training)
        except AtOnce:
            # Ranks that share weights are not where they could put their parts together.
            stop_here(training, training.pause.asked(), saves=not isinstance(training.policy, ShardedPolicy))
        except GradingStopped as problem:
            training.tell("stop", step=training.progress.step, reason=str(problem), **spending.lap())
            raise


def steps(training: Training) -> Progress:
    """The warm start, the steps that are left, and the end."""
    recipe, take_step = training.recipe, STEPS[training.recipe.method]
    if training.progress.phase == "warm_start":
        warm_up(training)
    catch_up(training)
    training.reference = reference_of(training)
    for step in range(training.progress.step + 1, recipe.steps + 1):
        pause_if_asked(training)
        take_step(training, step)
        if advice_due(step, recipe):
            give_advice(training)
        if validation_due(training):
            validate(training)
        if step % recipe.save_every == 0 or step == recipe.steps or training.progress.best_step == step:
            save(training)
    finish(training)
    return training.progress


def reinforced_step(training: Training, step: int) -> None:
    """Sample, grade, reward, compare within the group, update."""
    recipe, clock = training.recipe, Clock()
    indices, rollouts, grades = collect(training, step, clock)
    watched = grade_watched(training, "train", indices, rollouts)
    clock.lap("grade")
    lengths = [len(rollout.tokens) for rollout in rollouts]
    rewards = rewards_of(grades, lengths, recipe.reward, seed_of(recipe.seed, step), recipe.max_new_tokens)
    rewards = charged_for_divergence(training, rollouts, rewards)
    advantages = advantages_of(training, grades, rewards, lengths)
    write_rollouts(training, "train", step, indices, rollouts, grades, rewards, advantages)
    stay_within_budget(training, step, grades)
    rate = learning_rate(recipe.learning_rate, step, recipe.warmup_steps, recipe.steps, recipe.schedule)
    with training.pause.held():
        stats = together(training, updated, rollouts, advantages, rate, trained_on(rollouts, grades, recipe))
        clock.lap("update")
        training.tell(
            "step", step=step, of=recipe.steps, learning_rate=rate,
            **measures(rollouts, grades, rewards, stats, recipe.group_size), **by_grader(grades, watched),
            **speed(training.policy, clock, sampled=sum(lengths), trained=stats.tokens, devices=training.ranks.world),
            **training.size_of_weights(step), **training.spending.lap(grades), **clock.laps(),
        )  # fmt: skip
        training.progress = replace(training.progress, step=step, validation={})


STEPS = {"reinforcement": reinforced_step, "supervised": supervised_step}


def warm_up(training: Training) -> None:
    """The supervised warm start, if the recipe has one; the optimiser begins anew after it."""
    recipe, spec = training.recipe, training.recipe.warm_start
    if spec is not None:
        rows = read_items(spec.data, "assistant")

        def after_step(step: int) -> None:
            if step % recipe.save_every == 0:
                save(training)
            pause_if_asked(training)

        warm_start(training, rows, spec, after_step)
    with training.pause.held():
        together(training, begin_anew)
        training.progress = replace(training.progress, phase="step", step=0)


def validation_due(training: Training) -> bool:
    step, recipe = training.progress.step, training.recipe
    return step % recipe.eval_every == 0 or step == recipe.steps


def catch_up(training: Training) -> None:
    """The first validation and checkpoint step-0; after a break, the advice and the validation that it came before."""
    if advice_due(training.progress.step, training.recipe):
        give_advice(training)
    if validation_due(training) and not training.progress.validation:
        validate(training)
        save(training)


def pause_if_asked(training: Training) -> None:
    """End here where the run was asked to pause: between two steps, and all ranks at the same one."""
    if (reason := training.pause.asked()) is not None:
        stop_here(training, reason)


def stop_here(training: Training, reason: str | None, saves: bool = True) -> NoReturn:
    """Save what has been done since the newest checkpoint, and end. Raises PausedError."""
    progress = training.progress
    said = f"paused after {progress.phase.replace('_', ' ')} {progress.step}" + (f" ({reason})" if reason else "")
    with training.pause.held():
        if saves and progress != training.saved:
            save(training)
        newest = [path.name for path in all_checkpoints(training.run.checkpoints)][-1:]
        kept = {"checkpoint": newest[0] if newest else None}
        training.tell("pause", phase=progress.phase, step=progress.step, reason=reason, **kept)
        if progress != training.saved:
            said += f"; what came after the checkpoint {newest[0]} is done again" if newest else "; nothing is saved"
        raise PausedError(said)  # within, where a further signal changes nothing


def give_advice(training: Training) -> None:
    """Name what keeps the run from learning what is meant, once for each cause, until it has gone."""
    found = advise([event for event in read_events(training.run.folder) if event["event"] == "step"], training.recipe)
    for advice in found:
        if advice.name not in training.advised:
            training.tell("advice", step=training.progress.step, **advice._asdict())
    training.advised = {advice.name for advice in found}


def save(training: Training) -> None:
    """Write a checkpoint, and delete those that are no longer needed."""
    run, progress = training.run, training.progress
    begun = progress != replace(progress, phase="step", step=0)
    with training.pause.held():
        path = store(training, run.checkpoints, progress, begun)
        training.saved = progress
        training.tell("checkpoint", phase=progress.phase, step=progress.step, path=path.name)
        prune(run.checkpoints, training.recipe.keep_checkpoints, progress.best_step)


def finished(recipe: Recipe, run: Run) -> Progress | None:
    """The progress of a run that has nothing left to do."""
    last = run.checkpoints / f"step-{recipe.steps}"
    return read_progress(last) if last.is_dir() and (run.folder / "summary.json").is_file() else None


def finish(training: Training) -> None:
    """Close the record: the `end` event and summary.json."""
    progress, run, recipe = training.progress, training.run, training.recipe
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = next(e for e in read_events(run.folder) if e["event"] == "validation")
    summary = {
        "grader": training.grader.identity,
        "models": list(training.grader.models()),
        **training.spending.whole(),
        "best_checkpoint": f"checkpoints/step-{progress.best_step}",
        "best_step": progress.best_step,
        "best_by": recipe.best_by,
        "best_value": progress.best_value,
        "validation_start": start["reward"],
        "validation_best": progress.best_reward,
        "seconds": round(working_seconds(run.folder), 1),
        "peak_rss_mb": round(peak),
    }
    training.tell("end", **summary)
    write_beside(run.folder / "summary.json", json.dumps(summary, indent=2))
