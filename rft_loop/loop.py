"""The loop: sample, grade, reward, compare within the group, update, validate. `steps` is the story in one screen.

How it differs from textbook GRPO: one optimiser step per batch by default, so the clip only acts with
`updates_per_step` above 1; the old log-probs are the sampler's own, recorded as the tokens were drawn; an undecided
grade gives no advantage instead of a zero reward; a reference model only where the recipe charges for divergence.
"""

from __future__ import annotations

import json
import resource
import statistics
from collections.abc import Sequence
from dataclasses import replace

from graders.algebra.combine import WeightedSum
from graders.grade import Grade, GradingStopped
from graders.statistics import summarise
from rewards.reward import minus_divergence, rewards_of
from rft_loop.advantage import gdpo, group_advantages, has_spread
from rft_loop.advice import FIRST, advise
from rft_loop.checkpoint import Progress, prune, read_progress, save_checkpoint
from rft_loop.decode import sample
from rft_loop.grading import by_kind, grade_rollouts, grade_watched, stay_within_budget, stop, write_rollouts
from rft_loop.items import draw, read_items
from rft_loop.judges import judges_of
from rft_loop.measures import Clock, by_grader, measures
from rft_loop.policy import Policy
from rft_loop.recipe import Recipe
from rft_loop.record import Run, read_events, working_seconds, write_beside
from rft_loop.rollout import Rollout
from rft_loop.supervised import warm_start
from rft_loop.training import Training, View, prepare, reference_of
from rft_loop.update import divergences, learning_rate, make_optimizer, update


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


def collect(training: Training, step: int, clock: Clock) -> tuple[list[int], list[Rollout], list[Grade]]:
    """One step's rollouts with their item numbers and grades: groups of `recipe.group_size` neighbours.

    Where the recipe refills, more items are drawn for the groups that have no spread, `recipe.refill` times at most.
    """
    recipe, size = training.recipe, training.recipe.group_size
    indices: list[int] = []
    rollouts: list[Rollout] = []
    grades: list[Grade] = []
    lacking = recipe.items_per_step
    for fill in range(1 + recipe.refill):
        chosen = draw(len(training.items), lacking, step, recipe.seed, fill, set(indices))
        if not chosen:
            break
        new = sample(
            training.policy,
            [training.prompts[index] for index in chosen],
            per_prompt=size,
            max_new_tokens=recipe.max_new_tokens,
            temperature=recipe.temperature,
            seed=seed_of(recipe.seed, step, fill),
            decode_rows=recipe.decode_rows,
        )
        clock.lap("sample")
        items = [index for index in chosen for _ in range(size)]
        grades += grade_rollouts(training, "train", step, items, new, len(rollouts))
        indices += items
        rollouts += new
        clock.lap("grade")
        scores = [grade.score for grade in grades]
        groups = [scores[start : start + size] for start in range(0, len(scores), size)]
        lacking = recipe.items_per_step - sum(map(has_spread, groups))
        if lacking <= 0:
            break
    return indices, rollouts, grades


def trained_on(rollouts: Sequence[Rollout], rewards: Sequence[float | None], recipe: Recipe) -> list[bool]:
    """Which rollouts take part in the update: the decided ones, cut ones only where the recipe keeps them.

    Where it refills, a group without spread takes no part either: others were drawn in its place.
    """
    size = recipe.group_size
    spread = [has_spread(rewards[start : start + size]) for start in range(0, len(rewards), size)]
    return [
        reward is not None
        and (recipe.overlong == "keep" or rollout.finish == "stop")
        and (recipe.refill == 0 or spread[place // size])
        for place, (rollout, reward) in enumerate(zip(rollouts, rewards, strict=True))
    ]


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


def advantages_of(
    training: Training, grades: Sequence[Grade], rewards: Sequence[float | None], lengths: Sequence[int]
) -> list[float]:
    """Each rollout's advantage: from its reward, or with `gdpo` from the scores of the grader's parts."""
    recipe, grader = training.recipe, training.grader
    if recipe.advantage != "gdpo":
        return group_advantages(rewards, recipe.group_size, recipe.advantage, lengths)
    assert isinstance(grader, WeightedSum)
    weights = grader.weights or dict.fromkeys(grader.graders, 1.0)
    parts = {
        name: [part.score if (part := grade.parts.get(name)) and grade.score is not None else None for grade in grades]
        for name in weights
    }
    return gdpo(parts, weights, recipe.group_size)


def charged_for_divergence(
    training: Training, rollouts: Sequence[Rollout], rewards: Sequence[float | None]
) -> list[float | None]:
    """Rewards less the recipe's charge for each answer's KL divergence (k1, summed over its tokens)."""
    recipe, reference = training.recipe, training.reference
    if reference is None or recipe.kl.place == "loss":
        return list(rewards)
    apart = divergences(reference, rollouts, recipe)
    return minus_divergence(rewards, apart, recipe.kl.weight)


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


def seed_of(seed: int, step: int, fill: int = 0) -> int:
    """The sampler's seed of one step, and of each time it is filled up: made anew, so that nothing need be saved."""
    return (seed * 1_000_003 + step + fill * 2**40) % (2**63)
