"""bfloat16: arithmetic is rounded, what is learned is not. Gradient checkpointing: less is kept, nothing is changed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.profiler import ProfilerActivity, profile
from typer.testing import CliRunner

from rft_loop.cli import app
from rft_loop.learning.optimizer import make_optimizer
from rft_loop.learning.update import score, update
from rft_loop.loop import train
from rft_loop.model.adapter import add_adapter
from rft_loop.model.base import Base
from rft_loop.model.policy import Policy, load_policy
from rft_loop.model.recompute import recompute_layers
from rft_loop.recipe import Lora, Recipe, load_recipe, recipe_from
from rft_loop.sampling.decode import sample
from rft_loop.sampling.rollout import Rollout
from rft_loop.supervised import answer_loss
from rft_loop.watching.record import create_run

MakePolicy = Callable[..., Policy]
LETTERS = Path(__file__).parent.parent / "examples" / "letters"
SMALL = ("steps=4", "items_per_step=4", "group_size=4", "eval_every=2", "save_every=2")
PROMPTS = [[5, 9, 10, 11, 12, 13, 14, 6], [5, 9, 6], [5, 20, 21, 6]]
PAIRS = [([5, 9, 6], [10, 11, 1]), ([5, 12, 13, 6], [7, 1]), ([5, 6], [8, 9, 10, 1])]
UNUSED = dict.fromkeys(("model", "train", "validation", "grader"), "unused") | {"validation": "held out"}


def recipe(**options: Any) -> Recipe:
    return recipe_from(UNUSED | options, "test")


def draw(policy: Policy, tokens: int = 10) -> list[Rollout]:
    return sample(policy, PROMPTS, per_prompt=4, max_new_tokens=tokens, temperature=1.0, seed=3)


def gradient(policy: Policy) -> torch.Tensor:
    parts = [p.grad.flatten() for p in policy.model.parameters() if p.grad is not None]
    return torch.cat(parts).double()


def of_rollouts(policy: Policy, rollouts: list[Rollout]) -> torch.Tensor:
    scored = score(policy, rollouts, 1.0)
    return -(scored.logprobs * scored.mask).sum() / scored.mask.sum()


def of_answers(policy: Policy, rollouts: list[Rollout]) -> torch.Tensor:
    return answer_loss(policy, PAIRS)


losses = pytest.mark.parametrize("loss_of", [of_rollouts, of_answers])


# bfloat16


@losses
@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3_text"])
def test_loss_and_gradient_in_bfloat16_are_near_those_in_float32(
    tiny_policy: MakePolicy, family: str, loss_of: Callable[[Policy, list[Rollout]], torch.Tensor]
) -> None:
    exact = tiny_policy(family, num_key_value_heads=2, head_dim=8)
    for weight in exact.model.parameters():  # gentler than the fixture's: its logits lie far apart
        if weight.ndim > 1:
            weight.data /= 3
    rollouts = draw(exact)
    rounded = replace(exact, precision="bfloat16")
    found, gradients = [], []
    for policy in (exact, rounded):
        policy.model.zero_grad(set_to_none=True)
        loss = loss_of(policy, rollouts)
        loss.backward()  # type: ignore[no-untyped-call]
        found.append(loss)
        gradients.append(gradient(policy))
    assert found[1].dtype == torch.float32
    assert float(found[0].detach()) != float(found[1].detach())
    assert float(found[1].detach()) == pytest.approx(float(found[0].detach()), rel=0.01)
    assert float((gradients[1] - gradients[0]).norm() / gradients[0].norm()) < 0.05
    assert all(weight.dtype == torch.float32 for weight in exact.model.parameters())


def test_an_update_too_small_for_bfloat16_is_kept(tiny_policy: MakePolicy) -> None:
    policy = replace(tiny_policy(), precision="bfloat16")
    rollouts = draw(policy)
    spec = recipe(precision="bfloat16", learning_rate=1e-6)
    before = [weight.detach().clone() for weight in policy.model.parameters()]
    update(policy, make_optimizer(policy, spec), rollouts, [1.0, -1.0, 0.5, -0.5] * 3, spec, 1e-6)
    pairs = list(zip(before, policy.model.parameters(), strict=True))
    moved = sum(int((old != new).sum()) for old, new in pairs)
    rounded_away = sum(int((old.bfloat16() == new.bfloat16()).sum()) for old, new in pairs)
    total = sum(old.numel() for old, _ in pairs)
    assert moved > 0.9 * total
    assert rounded_away > 0.9 * total


def test_sampler_and_trainer_in_bfloat16_are_near_each_other(tiny_policy: MakePolicy) -> None:
    policy = replace(tiny_policy(), precision="bfloat16")
    for weight in policy.model.parameters():
        if weight.ndim > 1:
            weight.data /= 3
    rollouts = draw(policy)
    with torch.no_grad():
        found = score(policy, rollouts, 1.0)
    apart = [
        float((found.logprobs[row, : len(rollout.tokens)] - torch.tensor(rollout.logprobs)).abs().max())
        for row, rollout in enumerate(rollouts)
    ]
    assert max(apart) < 0.1


@pytest.mark.parametrize(
    ("options", "correction"),
    [
        ({}, "none"),
        ({"precision": "bfloat16"}, "token"),
        ({"precision": "bfloat16", "importance_correction": "none"}, "none"),
        ({"precision": "bfloat16", "importance_correction": "sequence"}, "sequence"),
    ],
)
def test_what_rounding_sets_apart_is_corrected_unless_the_recipe_says_otherwise(
    options: dict[str, Any], correction: str
) -> None:
    assert recipe(**options).importance_correction == correction


def test_an_adapter_in_bfloat16_is_float32_on_a_base_of_bfloat16(tmp_path: Path, tiny_policy: MakePolicy) -> None:
    plain = tiny_policy()
    plain.model.save_pretrained(tmp_path)
    plain.tokenizer.save_pretrained(tmp_path)
    spec = recipe(model=str(tmp_path), lora={"rank": 4}, precision="bfloat16", learning_rate=1e-3)
    policy = load_policy(spec)
    kinds = {(weight.requires_grad, weight.dtype) for weight in policy.model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    rollouts = draw(policy)
    stats = update(policy, make_optimizer(policy, spec), rollouts, [1.0, -1.0, 0.5, -0.5] * 3, spec, 1e-3)
    assert stats.grad_norm > 0
    assert stats.logprob_gap < 0.5


# Gradient checkpointing


def wide(tiny_policy: MakePolicy, family: str) -> Policy:
    return tiny_policy(family, num_hidden_layers=6, num_key_value_heads=2, head_dim=8)


@losses
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "gemma3_text"])
def test_activations_that_are_made_again_give_the_same_gradient(
    tiny_policy: MakePolicy,
    family: str,
    lora: bool,
    precision: str,
    loss_of: Callable[[Policy, list[Rollout]], torch.Tensor],
) -> None:
    policy = replace(wide(tiny_policy, family), precision=precision)
    if lora:
        add_adapter(policy.model, Lora(rank=2), Base("unused"), seed=0)
    rollouts = draw(policy)
    gradients = []
    for recomputed in (False, True):
        if recomputed:
            recompute_layers(policy)
        policy.model.zero_grad(set_to_none=True)
        loss_of(policy, rollouts).backward()  # type: ignore[no-untyped-call]
        gradients.append(gradient(policy))
    assert float(gradients[0].norm()) > 0
    assert float((gradients[1] - gradients[0]).norm() / gradients[0].norm()) <= 1e-6


def kept_bytes(policy: Policy, rollouts: list[Rollout]) -> int:
    """What a forward pass has taken and not given back while its gradient is still to come."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as events:
        scored = score(policy, rollouts, 1.0)
    found = sum(event.self_cpu_memory_usage for event in events.key_averages())
    del scored
    return int(found)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3_text"])
def test_a_fifth_of_the_memory_is_enough_where_activations_are_made_again(tiny_policy: MakePolicy, family: str) -> None:
    plain, recomputed = wide(tiny_policy, family), wide(tiny_policy, family)
    recompute_layers(recomputed)
    rollouts = [replace(rollout, tokens=(7,) * 60, logprobs=(0.0,) * 60) for rollout in draw(plain)]
    assert kept_bytes(recomputed, rollouts) < 0.2 * kept_bytes(plain, rollouts)


def test_a_model_whose_layers_cannot_run_by_themselves_is_refused_and_left_as_it_was(
    tiny_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tiny_policy()
    rollouts = draw(policy)
    wanted = score(policy, rollouts, 1.0).logprobs.detach()
    layer = policy.model.base_model.layers[1]
    monkeypatch.setattr(layer.self_attn, "layer_idx", 0)  # reads another layer's cache
    monkeypatch.setattr(layer, "layer_idx", 1, raising=False)
    with pytest.raises(ValueError, match="gradient_checkpointing=true: layers of the model type 'llama'"):
        recompute_layers(policy)
    monkeypatch.undo()
    assert torch.equal(score(policy, rollouts, 1.0).logprobs.detach(), wanted)


# Runs


@pytest.mark.parametrize(
    "settings",
    [
        ["precision=bfloat16"],
        ["precision=bfloat16", "lora.rank=4", "gradient_checkpointing=true", "kl.weight=0.05"],
        ["gradient_checkpointing=true", "offload_optimizer=true"],
    ],
)
def test_a_run_that_went_on_ends_with_the_weights_of_the_unbroken_one(tmp_path: Path, settings: list[str]) -> None:
    def made(name: str) -> Path:
        spec = load_recipe(LETTERS / "recipe.yaml", [f"runs={tmp_path}", f"name={name}", *SMALL, *settings])
        run = create_run(spec)
        train(spec, run)
        if name == "broken":
            shutil.rmtree(run.checkpoints / "step-4")
            (run.folder / "summary.json").unlink()
            train(spec, run)
        return run.checkpoints / "step-4"

    whole, broken = made("whole"), made("broken")
    for file in whole.glob("*.safetensors"):
        one, other = load_file(file), load_file(broken / file.name)
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_run_does_not_change_its_precision(tmp_path: Path) -> None:
    spec = load_recipe(LETTERS / "recipe.yaml", [f"runs={tmp_path}", *SMALL])
    run = create_run(spec)
    train(spec, run)
    found = CliRunner().invoke(app, ["train", "--resume", str(run.folder), "-s", "precision=bfloat16"])
    assert found.exit_code != 0
    said = found.output + str(found.exception)
    assert "precision was 'float32' and is now 'bfloat16'; a run goes on as it began" in said
