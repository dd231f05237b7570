"""The optimiser's variants: where its state lies changes no weight, and every state comes back from a checkpoint."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rft_loop.learning.optimizer import OffloadedAdamW, clipped_step, make_optimizer
from rft_loop.model.checkpoint import Progress, load_checkpoint, load_optimizer, save_checkpoint
from rft_loop.model.policy import Policy
from rft_loop.recipe import Recipe, recipe_from

MakePolicy = Callable[..., Policy]
CPU = torch.device("cpu")
UNUSED = dict.fromkeys(("model", "train", "validation", "grader"), "unused") | {"validation": "held out"}
HAS_8BIT = importlib.util.find_spec("bitsandbytes") is not None
VARIANTS = [
    {},
    {"offload_optimizer": True},
    pytest.param({"optimizer": "adamw_8bit"}, marks=pytest.mark.skipif(not HAS_8BIT, reason="needs bitsandbytes")),
]


def recipe(**options: Any) -> Recipe:
    return recipe_from(UNUSED | {"learning_rate": 1e-2, "weight_decay": 0.1} | options, "test")


def take_steps(policy: Policy, optimizer: torch.optim.Optimizer, seeds: range, rate: float = 1e-2) -> None:
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        for group in optimizer.param_groups:
            group["lr"] = rate * (seed + 1)
        optimizer.zero_grad(set_to_none=True)
        for weight in policy.model.parameters():
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimizer.step()


def weights(policy: Policy) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in policy.model.parameters()]).clone()


def large(tiny_policy: MakePolicy) -> Policy:
    """bitsandbytes keeps a weight's state in 32 bits below 4,096 numbers."""
    return tiny_policy(hidden_size=64, intermediate_size=96)


def test_a_state_in_main_memory_gives_the_weights_of_one_on_the_device(tiny_policy: MakePolicy) -> None:
    one, other = tiny_policy(), tiny_policy()
    optimizer = make_optimizer(other, recipe(offload_optimizer=True))
    take_steps(one, make_optimizer(one, recipe()), range(5))
    take_steps(other, optimizer, range(5))
    assert isinstance(optimizer, OffloadedAdamW)
    assert torch.equal(weights(one), weights(other))
    assert all(tensor.device == CPU for state in optimizer.state.values() for tensor in state.values())
    optimizer.zero_grad()
    assert all(weight.grad is None for weight in other.model.parameters())


def test_a_weight_that_is_set_from_elsewhere_is_the_one_that_is_moved_on(tiny_policy: MakePolicy) -> None:
    one, other = tiny_policy(), tiny_policy()
    pairs = [(one, make_optimizer(one, recipe())), (other, make_optimizer(other, recipe(offload_optimizer=True)))]
    for policy, optimizer in pairs:
        take_steps(policy, optimizer, range(2))
        policy.model.load_state_dict(tiny_policy(seed=9).model.state_dict())
        take_steps(policy, optimizer, range(2, 4))
    assert torch.equal(weights(one), weights(other))


@pytest.mark.parametrize("options", VARIANTS)
def test_a_resumed_state_makes_the_steps_that_would_have_been(
    tmp_path: Path, tiny_policy: MakePolicy, options: dict[str, Any]
) -> None:
    policy = large(tiny_policy)
    optimizer = make_optimizer(policy, recipe(**options))
    take_steps(policy, optimizer, range(3))
    folder = save_checkpoint(tmp_path, policy, optimizer, Progress("step", 3))
    loaded, _ = load_checkpoint(folder, CPU)
    state = make_optimizer(loaded, recipe(**options))
    load_optimizer(folder, state)
    take_steps(policy, optimizer, range(3, 6))
    take_steps(loaded, state, range(3, 6))
    assert torch.equal(weights(policy), weights(loaded))


@pytest.mark.skipif(not HAS_8BIT, reason="needs bitsandbytes")
def test_a_state_of_8_bits_is_near_one_of_32_and_smaller(tmp_path: Path, tiny_policy: MakePolicy) -> None:
    one, other = large(tiny_policy), large(tiny_policy)
    start = weights(one)
    sizes: list[int] = []
    for policy, options in ((one, {}), (other, {"optimizer": "adamw_8bit"})):
        optimizer = make_optimizer(policy, recipe(**options))
        take_steps(policy, optimizer, range(5))
        folder = save_checkpoint(tmp_path / str(len(sizes)), policy, optimizer, Progress("step", 5))
        sizes.append((folder / "optimizer.safetensors").stat().st_size)
    apart = (weights(one) - weights(other)).norm() / (weights(one) - start).norm()
    assert apart < 0.1
    assert sizes[1] < 0.75 * sizes[0]  # tiny: each weight has tables of its own besides


@pytest.mark.skipif(HAS_8BIT, reason="bitsandbytes is installed")
def test_a_variant_whose_package_is_missing_names_it(tiny_policy: MakePolicy) -> None:
    with pytest.raises(ValueError, match=r"optimizer=adamw_8bit needs the package bitsandbytes.*use optimizer=adamw"):
        make_optimizer(tiny_policy(), recipe(optimizer="adamw_8bit"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": "sgd"}, "optimizer"),
        ({"optimizer": "adamw_8bit", "offload_optimizer": True}, "goes with optimizer=adamw, not adamw_8bit"),
    ],
)
def test_a_wrong_optimiser_in_a_recipe_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        recipe(**settings)


@pytest.mark.parametrize("most", [1e-3, 0.5, 1e9])
def test_a_gradient_is_scaled_down_to_the_norm_and_never_up(tiny_policy: Any, most: float) -> None:
    found, norms = [], []
    for clip in (lambda weights: None, lambda weights: torch.nn.utils.clip_grad_norm_(weights, most)):
        policy = tiny_policy()
        policy.hidden(input_ids=torch.tensor([[7, 8, 9]])).square().sum().backward()
        clip(policy.trained)
        optimizer = torch.optim.SGD(policy.trained, lr=1e-2)
        norms.append(clipped_step(optimizer, policy.trained, most))
        found.append(torch.cat([weight.detach().flatten() for weight in policy.trained]))
    assert (found[0] - found[1]).abs().max() <= 1e-7
    assert norms[0] == pytest.approx(norms[1], rel=1e-4) if most == 1e9 else norms[0] > most


def test_a_gradient_that_is_no_number_reaches_every_weight(tiny_policy: Any) -> None:
    policy = tiny_policy()
    for weight in policy.trained:
        weight.grad = torch.ones_like(weight)
    policy.trained[0].grad[0] = torch.nan
    clipped_step(make_optimizer(policy, recipe()), policy.trained, 1.0)
    assert all(bool(weight.isnan().all()) for weight in policy.trained)
