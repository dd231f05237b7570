"""Collect: one step's rollouts with their grades, and which of them the update learns from."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from graders.grade import Grade
from rft_loop.drawing import draw, draw_by_difficulty
from rft_loop.grading import grade_rollouts
from rft_loop.learning.advantage import has_spread
from rft_loop.reading import read
from rft_loop.recipe import Recipe
from rft_loop.sampling.rollout import Rollout
from rft_loop.training import Training
from rft_loop.watching.measures import Clock


def collect(training: Training, step: int, clock: Clock) -> tuple[list[int], list[Rollout], list[Grade]]:
    """One step's rollouts with their item numbers and grades: groups of `recipe.group_size` neighbours.

    Where the recipe refills, more items are drawn for the groups that have no spread, `recipe.refill` times at most.
    """
    recipe, size = training.recipe, training.recipe.group_size
    training.sampler.follow(step - 1)
    indices: list[int] = []
    rollouts: list[Rollout] = []
    grades: list[Grade] = []
    lacking = recipe.items_per_step
    for fill in range(1 + recipe.refill):
        chosen = drawn(training, lacking, step, fill, set(indices))
        if not chosen:
            break
        new = training.sampler.sample(
            [training.prompts[index] for index in chosen],
            per_prompt=size,
            max_new_tokens=recipe.max_new_tokens,
            temperature=recipe.temperature,
            seed=seed_of(recipe.seed, step, fill),
        )
        new = read(training.policy.tokenizer, new, recipe.thinking, recipe.response_format)
        clock.lap("sample")
        items = [index for index in chosen for _ in range(size)]
        grades += grade_rollouts(training, "train", step, items, new, len(rollouts))
        indices += items
        rollouts += new
        clock.lap("grade")
        lacking = recipe.items_per_step - sum(spreads(grades, size))
        if lacking <= 0:
            break
    return indices, rollouts, grades


def drawn(training: Training, lacking: int, step: int, fill: int, without: Collection[int]) -> Sequence[int]:
    """The items that the step, or a fill of it, uses, in the recipe's way of drawing."""
    recipe, count = training.recipe, len(training.items)
    if recipe.drawing == "shuffled":
        return draw(count, lacking, step, recipe.seed, fill, without)
    training.visits.catch_up(training.run, step - 1, recipe.group_size)
    return draw_by_difficulty(training.visits, count, lacking, step, recipe.seed, fill, without)


def trained_on(rollouts: Sequence[Rollout], grades: Sequence[Grade], recipe: Recipe) -> list[bool]:
    """Which rollouts take part in the update: the decided ones, cut ones only where the recipe keeps them.

    Where it refills, a group whose scores are all equal takes no part either: others were drawn in its place.
    """
    spread = spreads(grades, recipe.group_size)
    return [
        grade.score is not None
        and (recipe.overlong == "keep" or rollout.finish == "stop")
        and (recipe.refill == 0 or spread[place // recipe.group_size])
        for place, (rollout, grade) in enumerate(zip(rollouts, grades, strict=True))
    ]


def spreads(grades: Sequence[Grade], group_size: int) -> list[bool]:
    """Of each group, whether its scores differ."""
    scores = [grade.score for grade in grades]
    return [has_spread(scores[start : start + group_size]) for start in range(0, len(scores), group_size)]


def seed_of(seed: int, step: int, fill: int = 0) -> int:
    """The sampler's seed of one step, and of each time it is filled up: made anew, so that nothing need be saved."""
    return (seed * 1_000_003 + step + fill * 2**40) % (2**63)
