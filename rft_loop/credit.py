"""Credit: what each rollout's reward comes to once it is compared with its group's."""

from __future__ import annotations

from collections.abc import Sequence

from graders.algebra.combine import WeightedSum
from graders.grade import Grade
from rewards.reward import minus_divergence
from rft_loop.learning.advantage import gdpo, group_advantages
from rft_loop.parallel.crew import together
from rft_loop.parallel.orders import apart
from rft_loop.sampling.rollout import Rollout
from rft_loop.training import Training


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
    return minus_divergence(rewards, together(training, apart, rollouts), recipe.kl.weight)
