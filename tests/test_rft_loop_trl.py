"""The gradient of one batch, ours beside TRL's, for each variant that both have. Needs trl, as nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from rft_loop.learning.advantage import gdpo, group_advantages
from rft_loop.learning.optimizer import make_optimizer
from rft_loop.learning.update import score, update
from rft_loop.model.policy import Policy
from rft_loop.recipe import recipe_from
from rft_loop.sampling.decode import sample
from rft_loop.sampling.rollout import Rollout

pytestmark = [
    pytest.mark.skipif(find_spec("trl") is None, reason="trl is not installed"),
    pytest.mark.filterwarnings("ignore"),
]
PROMPTS = [[5, 9, 10, 11, 12, 13, 14, 6], [5, 9, 6]]
ADVANTAGES = [1.1, -0.3, 0.7, -0.5, 0.4, 0.25, -1.3, 1.6]
LONGEST = 10
BASE: dict[str, Any] = {
    **{"model": "m", "train": "t", "validation": "v", "grader": "g"},
    **{"max_grad_norm": 1e9, "max_new_tokens": LONGEST},
}

VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dapo": ({"aggregation": "token"}, {"loss_type": "dapo"}),
    "grpo": ({"aggregation": "sequence"}, {"loss_type": "grpo"}),
    "dr_grpo": ({"aggregation": "constant"}, {"loss_type": "dr_grpo"}),
    "separate bounds": ({"clip_high": 0.28}, {"loss_type": "dapo", "epsilon_high": 0.28}),
    "gspo": (
        {"loss": "gspo", "aggregation": "sequence", "clip_low": 0.03, "clip_high": 0.04},
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.03, "epsilon_high": 0.04},
    ),
    "cispo": ({"loss": "cispo", "clip_high": 0.1}, {"loss_type": "cispo", "epsilon_high": 1.1}),
    "k3": ({"kl": {"weight": 0.3}}, {"loss_type": "dapo", "beta": 0.3, "use_bias_correction_kl": False}),
}


def gradient(model: torch.nn.Module) -> torch.Tensor:
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return torch.cat([part.flatten() for part in found]).double()


def trainer(policy: Policy, folder: Path, beta: float = 0.0, **options: Any) -> Any:
    from trl import GRPOConfig, GRPOTrainer  # type: ignore[import-not-found,unused-ignore]

    from datasets import Dataset  # type: ignore[import-not-found,import-untyped,unused-ignore]

    config = GRPOConfig(
        output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, num_generations=4,
        per_device_train_batch_size=8, max_completion_length=LONGEST, temperature=1.0, **options,
    )  # fmt: skip
    policy.tokenizer.padding_side = "left"
    data = Dataset.from_list([{"prompt": "a"}] * 8)
    made = GRPOTrainer(
        model=policy.model, reward_funcs=lambda completions, **_: [0.0] * len(completions), args=config,
        train_dataset=data, processing_class=policy.tokenizer,
    )  # fmt: skip
    made.beta = beta  # set here: a beta in the options would load a reference model by the policy's name
    made.current_gradient_accumulation_steps = 1
    made.args.steps_per_generation = 1
    return made


def inputs(rollouts: list[Rollout], reference: torch.Tensor | None) -> dict[str, torch.Tensor]:
    """The batch as TRL has it: prompts padded on the left, answers on the right."""
    before = max(len(rollout.prompt) for rollout in rollouts)
    width = max(len(rollout.tokens) for rollout in rollouts)
    found = {
        "prompt_ids": torch.zeros(len(rollouts), before, dtype=torch.long),
        "prompt_mask": torch.zeros(len(rollouts), before, dtype=torch.long),
        "completion_ids": torch.zeros(len(rollouts), width, dtype=torch.long),
        "completion_mask": torch.zeros(len(rollouts), width, dtype=torch.long),
        "old_per_token_logps": torch.zeros(len(rollouts), width),
        "advantages": torch.tensor(ADVANTAGES),
        "num_items_in_batch": torch.tensor(float(sum(len(rollout.tokens) for rollout in rollouts))),
    }
    for row, rollout in enumerate(rollouts):
        found["prompt_ids"][row, before - len(rollout.prompt) :] = torch.tensor(rollout.prompt)
        found["prompt_mask"][row, before - len(rollout.prompt) :] = 1
        found["completion_ids"][row, : len(rollout.tokens)] = torch.tensor(rollout.tokens)
        found["completion_mask"][row, : len(rollout.tokens)] = 1
        found["old_per_token_logps"][row, : len(rollout.tokens)] = torch.tensor(rollout.logprobs)
    return found if reference is None else found | {"ref_per_token_logps": reference}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_gradient_of_one_batch_is_that_of_trl(
    name: str, tiny_policy: Callable[..., Policy], tmp_path: Path
) -> None:
    ours, theirs = VARIANTS[name]
    recipe = recipe_from(BASE | {"group_size": 4} | ours, "test")
    policy, before = tiny_policy(), tiny_policy()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in policy.model.parameters():  # so that ratios reach past both bounds
            weight += 0.05 * weight.std() * torch.randn(weight.shape, generator=generator)
    rollouts = sample(before, PROMPTS, per_prompt=4, max_new_tokens=LONGEST, temperature=1.0, seed=3)
    reference = before if recipe.kl.weight else None
    apart = score(before, rollouts, 1.0).logprobs.detach() if reference else None

    update(policy, make_optimizer(policy, recipe), rollouts, ADVANTAGES, recipe, 0.0, None, reference)
    found = gradient(policy.model)
    policy.model.zero_grad()
    judge = trainer(policy, tmp_path, **theirs)
    judge._compute_loss(judge.model.train(), inputs(rollouts, apart)).backward()
    wanted = gradient(policy.model)
    assert float((found - wanted).norm() / wanted.norm()) < 1e-5
    assert float(wanted.norm()) > 1e-3


def test_advantages_of_several_rewards_are_those_of_trls_formula() -> None:
    pairs = [(1.0, 0.2), (0.0, 0.4), (1.0, 0.1), (0.0, 0.9), (0.5, 0.5), (0.5, 0.7), (0.0, 0.2), (1.0, 0.0)]
    rewards = torch.tensor(pairs)
    weights = torch.tensor([1.0, 0.5])
    grouped = rewards.view(2, 4, 2)
    normed = ((grouped - grouped.mean(1, keepdim=True)) / (grouped.std(1, keepdim=True) + 1e-4)).view(8, 2)
    sums = (normed * weights).sum(1)
    wanted = (sums - sums.mean()) / (sums.std() + 1e-4)
    parts = {"a": rewards[:, 0].tolist(), "b": rewards[:, 1].tolist()}
    assert gdpo(parts, {"a": 1.0, "b": 0.5}, 4) == pytest.approx(wanted.tolist(), rel=1e-5)


def test_batch_scaling_is_that_of_trls_formula() -> None:
    rewards = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.5, 0.5, 0.0, 1.0])
    wanted = (rewards - rewards.view(2, 4).mean(1).repeat_interleave(4)) / (rewards.std() + 1e-4)
    assert group_advantages(rewards.tolist(), 4, "batch") == pytest.approx(wanted.tolist(), rel=1e-5)
