"""Notices: settings of a recipe that do nothing, or not what their name says, told once at the start."""

from __future__ import annotations

from collections.abc import Iterator

from rft_loop.recipe import Recipe
from rft_loop.watching.advice import Advice


def idle_settings(recipe: Recipe, items: int, processes: int = 1) -> Iterator[Advice]:
    """What is worth a second look in a recipe for `items` training items and so many processes."""
    if recipe.warmup_steps >= recipe.steps > 0:
        yield Advice(
            "only_warms_up",
            f"warmup_steps={recipe.warmup_steps} of steps={recipe.steps}: the learning rate reaches its full "
            f"{recipe.learning_rate:g} in the last step or never",
            "lower warmup_steps",
        )
    if recipe.items_per_step > items:
        yield Advice(
            "items_come_twice",
            f"items_per_step={recipe.items_per_step} and {items} items: a step has the same item more than once",
            "lower items_per_step; a larger group_size draws more answers to each",
        )
    if recipe.method == "reinforcement" and recipe.loss == "reinforce" and recipe.updates_per_step > 1:
        yield Advice(
            "stale_passes",
            f"loss=reinforce with updates_per_step={recipe.updates_per_step}: from the second pass on the answers are "
            "those of older weights, and nothing corrects it",
            "loss=clip or cispo, or updates_per_step=1",
        )
    if recipe.shard and processes == 1:
        yield Advice(
            "nothing_to_shard",
            "shard=true in one process: there is nothing to split over",
            "start it with torchrun --nproc-per-node N, or leave shard out",
        )
