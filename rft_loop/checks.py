"""Checks: what a recipe asks that cannot be, told before anything slow is imported or loaded."""

from __future__ import annotations

from graders.composite import Composite
from graders.grader import Grader
from graders.registry import load
from graders.template import nearest
from rft_loop.recipe import REWARD, Recipe
from rft_loop.watching.trackers import check_tracker


def check_recipe(recipe: Recipe) -> None:
    """What the recipe asks of its tracker and of its grader."""
    check_tracker(recipe)
    if recipe.advantage == "maxrl" or recipe.best_by not in (REWARD, *recipe.watch):
        grader = load(recipe.grader)
        check_metric(recipe, grader)
        check_advantage(recipe, grader)


def check_metric(recipe: Recipe, grader: Grader) -> None:
    """Refuse a `best_by` that no validation will have a figure of."""
    parts = grader.members if isinstance(grader, Composite) else {}
    known = [REWARD, *recipe.watch, *parts]
    if recipe.best_by not in known:
        raise ValueError(f"best_by={recipe.best_by}: no figure of a validation; {nearest(recipe.best_by, known)}")


def check_advantage(recipe: Recipe, grader: Grader) -> None:
    """Refuse an `advantage` that is 0 for the rewards this grader can give."""
    low, clip = grader.range[0], recipe.reward.clip
    if recipe.advantage == "maxrl" and low < 0 and clip is None:
        raise ValueError(
            f"advantage=maxrl divides by the mean reward, which {grader.label!r} can take below 0 (its scores begin at "
            f"{low:g}); take advantage=grpo, or reward.clip with 0 as its lowest"
        )


def check_answers(recipe: Recipe) -> None:
    """Refuse a comparison with supervised fine-tuning that has nothing to learn: ValueError with the remedy."""
    if recipe.method == "supervised":
        raise ValueError("--against supervised compares with method: reinforcement, and the recipe's is supervised")
    if recipe.supervised is None:
        raise ValueError(
            "--against supervised needs the answers to learn: supervised.answers, a file of rows whose last message is "
            "the assistant's, or a template such as '{{item.answer}}'"
        )
