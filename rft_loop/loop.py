"""The loop: sample, grade, reward, compare within the group, update, validate. `steps` is the story in one screen.

How it differs from textbook GRPO: one optimiser step per batch by default, so the clip only acts with
`updates_per_step` above 1; the old log-probs are the sampler's own, recorded as the tokens were drawn; an undecided
grade gives no advantage instead of a zero reward; no reference model.
"""

from __future__ import annotations

import json
import resource
import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from graders.algebra.combine import WeightedSum
from graders.composite import usage_of
from graders.grade import Grade, GradingStopped
from graders.grader import Grader
from graders.groups import grade_groups
from graders.registry import load
from graders.sample import Item, Sample
from graders.score import grade_many
from graders.statistics import summarise
from rewards.reward import minus_divergence, rewards_of
from rft_loop.advantage import gdpo, group_advantages
from rft_loop.checkpoint import (
    Progress,
    all_checkpoints,
    load_checkpoint,
    load_optimizer,
    prune,
    read_progress,
    save_checkpoint,
    sha256,
)
from rft_loop.decode import sample
from rft_loop.items import Rows, check_gradable, check_group_size, draw, prompts_of, read_items
from rft_loop.judges import Spending, judges_of
from rft_loop.measures import Clock, errors_by_kind, measures
from rft_loop.policy import Policy, choose_device, load_policy
from rft_loop.recipe import Recipe
from rft_loop.record import Run, Split, mend_torn_line, read_events, working_seconds, write_beside
from rft_loop.rollout import Rollout
from rft_loop.supervised import warm_start
from rft_loop.update import divergences, learning_rate, make_optimizer, update

View = Callable[[dict[str, Any]], None]
BUDGET_WINDOW = 10  # steps over which the share of undecided grades is judged


class StoppedError(RuntimeError):
    """The run stopped itself: too many grades could not be decided."""


@dataclass
class Training:
    """What a run holds while it goes: made by `prepare`, moved on by `train`."""

    recipe: Recipe
    run: Run
    view: View
    grader: Grader
    items: Rows
    held_out: Rows
    policy: Policy
    optimizer: torch.optim.Optimizer
    progress: Progress
    prompts: list[list[int]]
    held_out_prompts: list[list[int]]
    undecided: deque[int]
    spending: Spending
    reference: Policy | None = None  # the weights of step 0, where the recipe measures how far the policy has gone

    def tell(self, kind: str, **fields: Any) -> None:
        self.view(self.run.event(kind, **fields))


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
        chosen = draw(len(training.items), recipe.items_per_step, step, recipe.seed)
        rollouts = sample(
            training.policy,
            [training.prompts[index] for index in chosen],
            per_prompt=recipe.group_size,
            max_new_tokens=recipe.max_new_tokens,
            temperature=recipe.temperature,
            seed=seed_of(recipe.seed, step),
            decode_rows=recipe.decode_rows,
        )
        clock.lap("sample")
        indices = [index for index in chosen for _ in range(recipe.group_size)]
        grades = grade_rollouts(training, "train", step, indices, rollouts)
        clock.lap("grade")
        lengths = [len(rollout.tokens) for rollout in rollouts]
        rewards = rewards_of(grades, lengths, recipe.reward, seed_of(recipe.seed, step))
        rewards = charged_for_divergence(training, rollouts, rewards)
        advantages = advantages_of(training, grades, rewards, lengths)
        write_rollouts(training, "train", step, indices, rollouts, grades, rewards, advantages)
        stay_within_budget(training, step, grades)
        rate = learning_rate(recipe.learning_rate, step, recipe.warmup_steps, recipe.steps, recipe.schedule)
        trained = [
            reward is not None and (recipe.overlong == "keep" or rollout.finish == "stop")
            for reward, rollout in zip(rewards, rollouts, strict=True)
        ]
        stats = update(
            training.policy, training.optimizer, rollouts, advantages, recipe, rate, trained,
            training.reference if recipe.kl.place == "loss" else None,
        )  # fmt: skip
        clock.lap("update")
        training.tell(
            "step", step=step, of=recipe.steps, learning_rate=rate,
            **measures(rollouts, grades, rewards, stats, recipe.group_size), **training.spending.lap(grades),
            **clock.laps(),
        )  # fmt: skip
        training.progress = replace(training.progress, step=step, validation={})
        if step % recipe.eval_every == 0 or step == recipe.steps:
            validate(training)
        if step % recipe.save_every == 0 or step == recipe.steps or training.progress.best_step == step:
            save(training)
    finish(training)
    return training.progress


def prepare(recipe: Recipe, run: Run, view: View, spending: Spending) -> Training:
    """Everything checked and loaded before anything is spent; a run with checkpoints goes on from its newest."""
    torch.manual_seed(recipe.seed)
    grader = load(recipe.grader)
    grader.check_ready()
    check_group_size(grader, recipe.group_size)
    if recipe.advantage == "gdpo" and not isinstance(grader, WeightedSum):
        need = "advantage=gdpo needs a grader of the type weighted_sum, with a weight for each part"
        raise ValueError(f"{need}; {grader.label!r} is of the type {grader.type}")
    items, held_out = read_items(recipe.train), read_items(recipe.validation)
    check_gradable(grader, items)
    check_gradable(grader, held_out)
    data = {key: sha256(path) for key, path in files_of(recipe).items()}
    saved = all_checkpoints(run.checkpoints)
    undecided: deque[int] = deque(maxlen=BUDGET_WINDOW)
    if saved:
        policy, progress = load_checkpoint(saved[-1], choose_device(recipe.device))
        if progress.grader != grader.identity:
            raise ValueError(
                f"{run.folder} was graded by {progress.grader}, and the grader is now {grader.identity}: "
                "its definition or code has changed; start a new run, or restore the grader"
            )
        mend_torn_line(run)
        if progress.data != data:
            changed = next(key for key, digest in data.items() if progress.data.get(key) != digest)
            raise ValueError(
                f"{run.folder} was begun with other data: the file of {changed} has changed since. "
                "Restore it, or start a new run with -s name=..."
            )
        best = {"best_step": progress.best_step, "best_reward": progress.best_reward}
        view(run.event("resume", phase=progress.phase, step=progress.step, **best))
        undecided.extend(event["undecided"] for event in read_events(run.folder) if event["event"] == "step")
    else:
        learned = read_items(recipe.warm_start.data, "assistant").rows if recipe.warm_start else []
        policy = load_policy(recipe, [*items.rows, *learned])
        progress = Progress("warm_start", 0, grader.identity, data)
        mend_torn_line(run)
    optimizer = make_optimizer(policy, recipe)
    if saved:
        load_optimizer(saved[-1], optimizer)
    training = Training(
        recipe, run, view, grader, items, held_out, policy, optimizer, progress,
        prompts_of(policy, items, recipe.max_new_tokens, recipe.max_prompt_tokens),
        prompts_of(policy, held_out, recipe.max_new_tokens, recipe.max_prompt_tokens),
        undecided, spending,
    )  # fmt: skip
    if not saved:
        counts = {"train": len(items), "validation": len(held_out)}
        training.tell(
            "start", name=recipe.name, grader=grader.identity, definition=grader.to_wire(),
            models=list(grader.models()), items=counts, data=data,
            parameters=policy.parameters, device=str(policy.device),
        )  # fmt: skip
    return training


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


def reference_of(training: Training) -> Policy | None:
    """The policy as it was before step 1, to measure a KL divergence from; None where the recipe charges nothing."""
    if training.recipe.kl.weight == 0:
        return None
    reference, _ = load_checkpoint(training.run.checkpoints / "step-0", training.policy.device)
    reference.model.requires_grad_(False)
    return reference


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
        stop(training, f"{_by_kind(summary.errors)} of {summary.n} validation grades could not be decided: {example}")
    assert summary.scored is not None
    reward = summary.scored.mean
    best = training.progress.best_reward is None or reward > training.progress.best_reward
    found = {"reward": reward, "low": summary.scored.low, "high": summary.scored.high, "n": summary.n}
    length = statistics.fmean(len(rollout.tokens) for rollout in rollouts)
    training.tell(
        "validation", step=step, **found, errors=dict(summary.errors), mean_length=length, best=best,
        **training.spending.lap(grades),
    )  # fmt: skip
    training.progress = replace(training.progress, validation=found)
    if best:
        training.progress = replace(training.progress, best_step=step, best_reward=reward)


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


def grade_rollouts(
    training: Training, split: Split, step: int, indices: Sequence[int], rollouts: Sequence[Rollout]
) -> list[Grade]:
    """Grade rollouts against their items; what was decided of them before a break is taken over, not made again."""
    recorded = training.run.recorded_grades(split, step, training.grader.identity, indices, rollouts)
    rows = (training.items if split == "train" else training.held_out).rows
    if training.grader.judges_groups:
        return grade_together(training, split, [rows[index] for index in indices], rollouts, recorded)
    new = [i for i, grade in enumerate(recorded) if grade is None]
    pairs = [(Sample(rollouts[i].text), rows[indices[i]]) for i in new]
    made = iter(grade_many(training.grader, pairs, training.recipe.grader_concurrency))
    return [grade if grade is not None else next(made) for grade in recorded]


def grade_together(
    training: Training,
    split: Split,
    items: Sequence[Item],
    rollouts: Sequence[Rollout],
    recorded: Sequence[Grade | None],
) -> list[Grade]:
    """Grade the rollouts of each item as one group, for a grader that compares them.

    Validation has one answer for each item: it is compared with the one that step 0 gave, so that 0.5 is as good as
    at the start. A group of which something could not be decided before a break is judged anew.
    """
    size = training.recipe.group_size if split == "train" else 1
    before = first_answers(training.run) if split == "validation" else []
    groups = [range(start, start + size) for start in range(0, len(rollouts), size)]
    new = [group for group in groups if any(recorded[i] is None for i in group)]
    samples = [[Sample(rollouts[i].text) for i in group] + before[group.start : group.stop] for group in new]
    asked = zip(samples, [items[group.start] for group in new], strict=True)
    found = {i: grade for i, grade in enumerate(recorded) if grade is not None}
    made = grade_groups(training.grader, asked, training.recipe.grader_concurrency)
    for group, grades in zip(new, made, strict=True):
        beside = usage_of(grades[size - 1 :])  # what was spent on the answer of step 0 is spent on this one
        grades[size - 1] = replace(grades[size - 1], usage=beside)
        found |= zip(group, grades[:size], strict=True)
    return [found[i] for i in range(len(rollouts))]


def first_answers(run: Run) -> list[Sample]:
    """What the validation of step 0 recorded; nothing before that."""
    from pyarrow import parquet

    file = run.samples_file("validation", 0)
    return [Sample(text) for text in parquet.read_table(file)["output_text"].to_pylist()] if file.is_file() else []


def write_rollouts(
    training: Training,
    split: Split,
    step: int,
    indices: Sequence[int],
    rollouts: Sequence[Rollout],
    grades: Sequence[Grade],
    rewards: Sequence[float | None] | None = None,
    advantages: Sequence[float] | None = None,
) -> None:
    """Record rollouts with their grades, whatever comes of them later."""
    items = training.items if split == "train" else training.held_out
    prompts = [items.rows[index]["messages"][-1]["content"] for index in indices]
    group_size = training.recipe.group_size if split == "train" else 1
    training.run.write_rollouts(split, step, indices, prompts, rollouts, grades, rewards, advantages, group_size)


def stay_within_budget(training: Training, step: int, grades: Sequence[Grade]) -> None:
    """Stop when a whole step, or too large a share of the last ten steps' grades, could not be decided."""
    errors = errors_by_kind(grades)
    training.undecided.append(sum(errors.values()))
    budget = training.recipe.max_error_rate * BUDGET_WINDOW * len(grades)
    if sum(training.undecided) > budget or (errors and training.undecided[-1] == len(grades)):
        example = next(grade.why for grade in grades if grade.score is None)
        stop(
            training,
            f"{_by_kind(errors)} of {len(grades)} grades of step {step} could not be decided: {example}",
        )


def stop(training: Training, reason: str) -> None:
    training.tell("stop", step=training.progress.step, reason=reason)
    raise StoppedError(
        f"stopped after step {training.progress.step}: {reason}. That is more than max_error_rate="
        f"{training.recipe.max_error_rate} allows. If a service was down, go on with --resume {training.run.folder}; "
        f"if the grader must change, start a new run from a checkpoint with -s model={training.run.checkpoints}/step-N"
    )


def files_of(recipe: Recipe) -> dict[str, Path]:
    """The data files of a recipe by its keys."""
    files = {"train": recipe.train, "validation": recipe.validation}
    return files | ({"warm_start.data": recipe.warm_start.data} if recipe.warm_start else {})


def seed_of(seed: int, step: int) -> int:
    """The sampler's seed of one step: made anew each step, so that nothing random needs saving."""
    return (seed * 1_000_003 + step) % (2**63)


def _by_kind(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in errors.items())
