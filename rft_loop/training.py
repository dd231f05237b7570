"""Training: what a run holds while it goes, checked and loaded before anything is spent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from graders.algebra.combine import WeightedSum
from graders.grader import Grader
from graders.registry import load
from rft_loop.checkpoint import Progress, all_checkpoints, load_checkpoint, load_optimizer, sha256
from rft_loop.items import Rows, check_gradable, check_group_size, prompts_of, read_items
from rft_loop.judges import Spending
from rft_loop.policy import Policy, choose_device, load_policy
from rft_loop.recipe import Recipe
from rft_loop.record import Run, mend_torn_line, read_events
from rft_loop.update import make_optimizer

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
    watched: dict[str, Grader]
    advised: set[str] = field(default_factory=set)  # causes that have been named and have not gone
    reference: Policy | None = None  # the weights of step 0, where the recipe measures how far the policy has gone

    def tell(self, kind: str, **fields: Any) -> None:
        self.view(self.run.event(kind, **fields))


def prepare(recipe: Recipe, run: Run, view: View, spending: Spending) -> Training:
    """Everything checked and loaded before anything is spent; a run with checkpoints goes on from its newest."""
    torch.manual_seed(recipe.seed)
    grader = load(recipe.grader)
    check_group_size(grader, recipe.group_size)
    if recipe.advantage == "gdpo" and not isinstance(grader, WeightedSum):
        need = "advantage=gdpo needs a grader of the type weighted_sum, with a weight for each part"
        raise ValueError(f"{need}; {grader.label!r} is of the type {grader.type}")
    watched = {name: load(definition) for name, definition in recipe.watch.items()}
    items, held_out = read_items(recipe.train), read_items(recipe.validation)
    for judge in (grader, *watched.values()):
        judge.check_ready()
        check_gradable(judge, items)
        check_gradable(judge, held_out)
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
        undecided, spending, watched,
    )  # fmt: skip
    if not saved:
        counts = {"train": len(items), "validation": len(held_out)}
        training.tell(
            "start", name=recipe.name, grader=grader.identity, definition=grader.to_wire(),
            models=list(grader.models()), items=counts, data=data,
            parameters=policy.parameters, device=str(policy.device),
        )  # fmt: skip
    return training


def reference_of(training: Training) -> Policy | None:
    """The policy as it was before step 1, to measure a KL divergence from; None where the recipe charges nothing."""
    if training.recipe.kl.weight == 0:
        return None
    reference, _ = load_checkpoint(training.run.checkpoints / "step-0", training.policy.device)
    reference.model.requires_grad_(False)
    return reference


def files_of(recipe: Recipe) -> dict[str, Path]:
    """The data files of a recipe by its keys."""
    files = {"train": recipe.train, "validation": recipe.validation}
    return files | ({"warm_start.data": recipe.warm_start.data} if recipe.warm_start else {})
