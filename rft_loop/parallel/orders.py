"""Orders: what all ranks of a run do together, each on what it holds. In a run of one process, plain calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rft_loop.learning.optimizer import make_optimizer, optimizer_tensors, weight_rms
from rft_loop.learning.update import UpdateStats, divergences, update
from rft_loop.model.checkpoint import Progress, load_checkpoint, load_optimizer, save_checkpoint
from rft_loop.model.policy import choose_device, load_policy
from rft_loop.model.recompute import recompute_layers
from rft_loop.parallel.crew import Holds, together
from rft_loop.parallel.sharding import ShardedPolicy, full_weights, shard, whole
from rft_loop.recipe import Recipe
from rft_loop.sampling.decode import sample
from rft_loop.sampling.rollout import Rollout


def take_up(
    held: Holds, recipe: Recipe, rows: Sequence[dict[str, Any]], checkpoints: Path, checkpoint: Path | None
) -> None:
    """Load what the first rank has loaded. Its files of an adapter's base are taken as they are."""
    if held.ranks.is_first:
        return
    base = checkpoints / "base"
    if recipe.lora is not None and base.is_dir():
        recipe = recipe.model_copy(update={"model": str(base)})
    if checkpoint is not None:
        policy, _ = load_checkpoint(checkpoint, choose_device(recipe.device), recipe.precision)
    else:
        policy = load_policy(recipe, rows)
    held.recipe, held.policy, held.reference = recipe, policy, None


def make_ready(held: Holds, checkpoint: Path | None) -> None:
    """Before the first step: layers recomputed and weights sharded where the recipe says so, and an optimiser."""
    recipe = held.recipe
    sharded = recipe.shard and held.ranks.world > 1
    if recipe.gradient_checkpointing:
        recompute_layers(held.policy, sharded)
    if sharded:
        held.policy = shard(held.policy)
    held.optimizer = make_optimizer(held.policy, recipe)
    if checkpoint is not None:
        load_optimizer(checkpoint, held.optimizer)


def begin_anew(held: Holds) -> None:
    """An optimiser that knows nothing of the steps before."""
    held.optimizer = make_optimizer(held.policy, held.recipe)


def take_reference(held: Holds, start: Path) -> None:
    """The weights of step 0, to measure a divergence from; an adapter without a warm start is switched off instead."""
    recipe = held.recipe
    if recipe.lora is not None and recipe.warm_start is None:
        held.reference = held.policy.without_adapter()
        return
    reference, _ = load_checkpoint(start, held.policy.device, recipe.precision)
    reference.model.requires_grad_(False)
    held.reference = shard(reference) if recipe.shard and held.ranks.world > 1 else reference


def sampled(held: Holds, /, prompts: Sequence[Sequence[int]], per_prompt: int, **options: Any) -> list[Rollout]:
    """Rollouts of the prompts, each rank's share decoded there: those that one rank alone would draw."""
    mine = held.ranks.share(range(len(prompts)))
    with whole(held.policy):
        drawn = sample(held.policy, [prompts[i] for i in mine], per_prompt=per_prompt, numbers=mine, **options)
    groups = [drawn[start : start + per_prompt] for start in range(0, len(drawn), per_prompt)]
    return [rollout for group in held.ranks.gather(groups) for rollout in group]


def updated(
    held: Holds, rollouts: Sequence[Rollout], advantages: Sequence[float], rate: float, trained: Sequence[bool]
) -> UpdateStats:
    """One step's update."""
    reference = held.reference if held.recipe.kl.place == "loss" else None
    return update(
        held.policy, held.optimizer, rollouts, advantages, held.recipe, rate, trained, reference, held.ranks
    )  # fmt: skip


def weighed(held: Holds) -> float:
    """How large the weights are that are trained: their root mean square."""
    return weight_rms(held.policy.trained)


def apart(held: Holds, rollouts: Sequence[Rollout]) -> list[float]:
    """How far each answer is from the reference."""
    assert held.reference is not None
    return divergences(held.reference, rollouts, held.recipe, held.ranks)


def store(held: Holds, checkpoints: Path, progress: Progress, with_optimizer: bool) -> Path:
    """Write a checkpoint. The first rank needs the others only where weights are sharded."""
    if isinstance(held.policy, ShardedPolicy):
        return together(held, stored, checkpoints, progress, with_optimizer)
    return stored(held, checkpoints, progress, with_optimizer)


def stored(held: Holds, checkpoints: Path, progress: Progress, with_optimizer: bool) -> Path:
    """A checkpoint, written by the first rank; the others send it their parts."""
    optimizer = held.optimizer if with_optimizer else None
    if held.ranks.is_first:
        return save_checkpoint(checkpoints, held.policy, optimizer, progress)
    full_weights(held.policy)
    if optimizer is not None:
        optimizer_tensors(optimizer)
    return checkpoints
