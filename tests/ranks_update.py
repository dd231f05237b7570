"""Run on every rank: many updates, each once alone and once split over the ranks, every second one sharded.

Prints the largest distance between the two gradients, and between the weights after a step, relative to their length.
A second pass counts by its weights alone: its gradient is taken at weights that are apart in their last bits already.
"""

from __future__ import annotations

import random
import sys

import torch

from rft_loop.learning.optimizer import make_optimizer
from rft_loop.learning.update import UpdateStats, divergences, update
from rft_loop.model.policy import Policy
from rft_loop.parallel.ranks import ALONE, Ranks, joined_ranks
from rft_loop.parallel.sharding import ShardedPolicy, full, shard
from rft_loop.recipe import Recipe, recipe_from
from rft_loop.sampling.rollout import Rollout
from rft_loop.supervised import Learned, learn

GROUP = 3


def batch(chance: random.Random) -> list[Rollout]:
    """Groups of three answers, of any lengths, to prompts of any lengths."""
    rollouts = []
    for _ in range(chance.randint(1, 4)):
        prompt = tuple(chance.choices(range(7, 24), k=chance.randint(1, 12)))
        for _ in range(GROUP):
            length = chance.randint(1, 9)
            logprobs = tuple(chance.uniform(-4, -0.1) for _ in range(length))
            tokens = tuple(chance.choices(range(7, 24), k=length))
            rollouts.append(Rollout(prompt, tokens, logprobs, "stop", ""))
    return rollouts


def settings(chance: random.Random) -> Recipe:
    data = {
        "model": "unused",
        "train": "unused",
        "validation": "held out",
        "grader": "unused",
        "group_size": GROUP,
        "max_new_tokens": 9,
        "loss": chance.choice(["clip", "reinforce", "gspo", "cispo"]),
        "aggregation": chance.choice(["token", "sequence", "constant", "prompt"]),
        "kl": {"weight": chance.choice([0.0, 0.2])},
        "entropy_bonus": chance.choice([0.0, 0.1]),
        "updates_per_step": chance.choice([1, 1, 2]),
        "max_grad_norm": chance.choice([0.5, 1e9]),
        "micro_batch_rows": chance.choice([1, 2, 256]),
        "micro_batch_tokens": chance.choice([None, 30]),
    }
    return recipe_from(data, "test")


def updated(
    policy: Policy, rollouts: list[Rollout], recipe: Recipe, seed: int, ranks: Ranks
) -> tuple[torch.Tensor, torch.Tensor, UpdateStats, list[float]]:
    chance = random.Random(seed)
    advantages = [chance.choice([0.0, chance.uniform(-2, 2)]) for _ in rollouts]
    trained = [chance.random() < 0.8 for _ in rollouts]
    from tests.conftest import make_tiny_policy

    reference = make_tiny_policy(seed=5)
    if isinstance(policy, ShardedPolicy):
        reference = shard(reference)
    apart = divergences(reference, rollouts, recipe, ranks)
    charged = reference if recipe.kl.weight else None
    optimizer = make_optimizer(policy, recipe)
    stats = update(policy, optimizer, rollouts, advantages, recipe, 1e-4, trained, charged, ranks)
    weights = list(policy.model.parameters())
    gradients = [torch.zeros(weight.shape) if weight.grad is None else full(weight.grad) for weight in weights]
    flat = [torch.cat([full(part.detach()).flatten() for part in parts]).double() for parts in (gradients, weights)]
    return flat[0], flat[1], stats, apart


def taught(
    policy: Policy, rollouts: list[Rollout], recipe: Recipe, ranks: Ranks
) -> tuple[torch.Tensor, torch.Tensor, Learned]:
    """The same of a supervised step that learns the rollouts as if people had written them."""
    pairs = [(list(rollout.prompt), list(rollout.tokens)) for rollout in rollouts]
    figures = learn(policy, make_optimizer(policy, recipe), pairs, 1e-4, recipe, ranks)
    weights = list(policy.model.parameters())
    gradients = [torch.zeros(weight.shape) if weight.grad is None else full(weight.grad) for weight in weights]
    flat = [torch.cat([full(part.detach()).flatten() for part in parts]).double() for parts in (gradients, weights)]
    return flat[0], flat[1], figures


def difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm().clamp(min=1e-12))


def main() -> None:
    from tests.conftest import make_tiny_policy

    torch.set_num_threads(1)
    worst = {"gradient": 0.0, "weights": 0.0, "stats": 0.0}
    with joined_ranks() as ranks:
        for seed in range(int(sys.argv[1])):
            chance = random.Random(seed)
            rollouts, recipe, tied = batch(chance), settings(chance), chance.random() < 0.5
            policies = [make_tiny_policy(tie_word_embeddings=tied) for _ in range(2)]
            if seed % 2:
                policies[1] = shard(policies[1])
            wanted = updated(policies[0], rollouts, recipe, seed, ALONE)
            found = updated(policies[1], rollouts, recipe, seed, ranks)
            if recipe.updates_per_step == 1:
                worst["gradient"] = max(worst["gradient"], difference(found[0], wanted[0]))
            worst["weights"] = max(worst["weights"], difference(found[1], wanted[1]))
            for one, other in zip(found[3], wanted[3], strict=True):
                assert abs(one - other) < 1e-3
            for name in UpdateStats.__slots__:
                one, other = getattr(found[2], name), getattr(wanted[2], name)
                if other == other and other is not None:
                    worst["stats"] = max(worst["stats"], abs(one - other) / max(1.0, abs(other)))
            policies = [make_tiny_policy(tie_word_embeddings=tied) for _ in range(2)]
            if seed % 2:
                policies[1] = shard(policies[1])
            supervised = [
                taught(policy, rollouts, recipe, who) for policy, who in zip(policies, (ALONE, ranks), strict=True)
            ]
            worst["gradient"] = max(worst["gradient"], difference(supervised[1][0], supervised[0][0]))
            worst["weights"] = max(worst["weights"], difference(supervised[1][1], supervised[0][1]))
            for one, other in zip(supervised[1][2], supervised[0][2], strict=True):
                worst["stats"] = max(worst["stats"], abs(one - other) / max(1.0, abs(other)))
        worst = {name: ranks.largest(value) for name, value in worst.items()}
        if ranks.is_first:
            print(*worst.values())


if __name__ == "__main__":
    main()
