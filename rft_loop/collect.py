"""Collect: one step's rollouts with their grades, and which of them the update learns from."""

from __future__ import annotations

from collections.abc import Sequence

from graders.grade import Grade
from rft_loop.advantage import has_spread
from rft_loop.decode import sample
from rft_loop.grading import grade_rollouts
from rft_loop.items import draw
from rft_loop.measures import Clock
from rft_loop.recipe import Recipe
from rft_loop.rollout import Rollout
from rft_loop.training import Training


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


def seed_of(seed: int, step: int, fill: int = 0) -> int:
    """The sampler's seed of one step, and of each time it is filled up: made anew, so that nothing need be saved."""
    return (seed * 1_000_003 + step + fill * 2**40) % (2**63)
