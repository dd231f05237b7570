"""Grading: what a run does with its grader, each rollout once, whatever breaks in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from graders.composite import usage_of
from graders.grade import Grade
from graders.grader import Grader
from graders.groups import grade_groups
from graders.sample import Item, Sample
from graders.score import grade_many
from rft_loop.reading import misformed
from rft_loop.sampling.rollout import Rollout
from rft_loop.training import BUDGET_WINDOW, StoppedError, Training
from rft_loop.watching.measures import errors_by_kind
from rft_loop.watching.record import Run, Split


def grade_rollouts(
    training: Training, split: Split, step: int, indices: Sequence[int], rollouts: Sequence[Rollout], start: int = 0
) -> list[Grade]:
    """Grade rollouts against their items; what was decided of them before a break is taken over, not made again.

    `start` is how many rollouts of the step come before them.
    """
    recorded = training.run.recorded_grades(split, step, training.grader.identity, indices, rollouts, start)
    rows = (training.items if split == "train" else training.held_out).rows
    if training.grader.judges_groups:
        return grade_together(training, split, [rows[index] for index in indices], rollouts, recorded)
    new = [i for i, grade in enumerate(recorded) if grade is None]
    asked = [(Sample(rollouts[i].text), rows[indices[i]], rollouts[i].flaw) for i in new]
    made = iter(grade_each(training.grader, asked, training.recipe.grader_concurrency))
    return [grade if grade is not None else next(made) for grade in recorded]


def grade_each(grader: Grader, asked: Sequence[tuple[Sample, Item, str | None]], concurrency: int) -> list[Grade]:
    """The grade of each sample; one with a flaw, not being of the recipe's `response_format`, is not asked about."""
    made = iter(grade_many(grader, [(sample, item) for sample, item, flaw in asked if not flaw], concurrency))
    return [misformed(grader, flaw) if flaw else next(made) for _, _, flaw in asked]


def grade_watched(
    training: Training, split: Split, indices: Sequence[int], rollouts: Sequence[Rollout]
) -> dict[str, list[Grade]]:
    """What the graders say that are only watched, by name. It moves no weight."""
    rows = (training.items if split == "train" else training.held_out).rows
    asked = [(Sample(told.text), rows[index], told.flaw) for told, index in zip(rollouts, indices, strict=True)]
    return {
        name: grade_each(grader, asked, training.recipe.grader_concurrency) for name, grader in training.watched.items()
    }


def grade_together(
    training: Training,
    split: Split,
    items: Sequence[Item],
    rollouts: Sequence[Rollout],
    recorded: Sequence[Grade | None],
) -> list[Grade]:
    """Grade the rollouts of each item as one group, for a grader that compares them.

    Validation has one answer for each item: it is compared with the one that step 0 gave, so that 0.5 is as good as
    at the start. A group of which something could not be decided before a break is judged anew. An answer that is not
    of the recipe's `response_format` gets the lowest grade, however it compares; a group of such alone is not asked.
    """
    size = training.recipe.group_size if split == "train" else 1
    before = first_answers(training.run) if split == "validation" else []
    groups = [range(start, start + size) for start in range(0, len(rollouts), size)]
    flaws = {i: misformed(training.grader, flaw) for i, rollout in enumerate(rollouts) if (flaw := rollout.flaw)}
    new = [group for group in groups if any(recorded[i] is None for i in group) and not flaws.keys() >= set(group)]
    samples = [[Sample(rollouts[i].text) for i in group] + before[group.start : group.stop] for group in new]
    asked = zip(samples, [items[group.start] for group in new], strict=True)
    found = flaws | {i: grade for i, grade in enumerate(recorded) if grade is not None}
    made = grade_groups(training.grader, asked, training.recipe.grader_concurrency)
    for group, grades in zip(new, made, strict=True):
        beside = usage_of(grades[size - 1 :])  # what was spent on the answer of step 0 is spent on this one
        grades[size - 1] = replace(grades[size - 1], usage=beside)
        found |= zip(group, grades[:size], strict=True)
        found |= {i: replace(flaws[i], usage=found[i].usage) for i in group if i in flaws}
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
            f"{by_kind(errors)} of {len(grades)} grades of step {step} could not be decided: {example}",
        )


def stop(training: Training, reason: str) -> None:
    training.tell("stop", step=training.progress.step, reason=reason)
    raise StoppedError(
        f"stopped after step {training.progress.step}: {reason}. That is more than max_error_rate="
        f"{training.recipe.max_error_rate} allows. If a service was down, go on with --resume {training.run.folder}; "
        f"if the grader must change, start a new run from a checkpoint with -s model={training.run.checkpoints}/step-N"
    )


def by_kind(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in errors.items())
