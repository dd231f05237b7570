"""LoRA: the adapter alone is trained and saved, its base is referred to, and what leaves is a plain model again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from rft_loop.cli import app
from rft_loop.learning.optimizer import make_optimizer
from rft_loop.learning.update import divergences, score, update
from rft_loop.loop import train
from rft_loop.model.adapter import add_adapter, is_adapter, linear_names, merged_weight, save_whole, switched_off
from rft_loop.model.base import Base
from rft_loop.model.checkpoint import Progress, load_checkpoint, save_checkpoint
from rft_loop.model.policy import Policy, load_policy, load_pretrained
from rft_loop.recipe import Lora, Recipe, load_recipe, recipe_from
from rft_loop.sampling.decode import sample
from rft_loop.watching.record import Run, create_run, read_events

MakePolicy = Callable[..., Policy]
CPU = torch.device("cpu")
LETTERS = Path(__file__).parent.parent / "examples" / "letters"
SMALL = ("steps=4", "items_per_step=4", "group_size=4", "eval_every=2", "save_every=2", "lora.rank=4")
IDS = torch.tensor([[5, 3, 4, 6, 11, 9]])
UNUSED = dict.fromkeys(("model", "train", "validation", "grader"), "unused") | {"validation": "held out"}


def recipe(**options: Any) -> Recipe:
    return recipe_from(UNUSED | {"lora": {"rank": 4}} | options, "test")


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS).logits
    return found


def saved_base(folder: Path, policy: Policy) -> str:
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return str(folder)


def moved(policy: Policy) -> Policy:
    """Its adapter as if it had been trained: both matrices are drawn."""
    generator = torch.Generator().manual_seed(7)
    for name, weight in policy.model.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn(weight.shape, generator=generator) * 0.05
    return policy


@pytest.fixture
def adapted(tmp_path: Path, tiny_policy: MakePolicy) -> Policy:
    return load_policy(recipe(model=saved_base(tmp_path / "base", tiny_policy())))


# The adapter


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "gemma3_text"])
def test_a_new_adapter_changes_nothing_and_a_moved_one_does(
    tmp_path: Path, tiny_policy: MakePolicy, family: str
) -> None:
    base = saved_base(tmp_path, tiny_policy(family, num_key_value_heads=2))
    plain, policy = load_pretrained(base, CPU), load_policy(recipe(model=base))
    assert torch.equal(logits(plain.model), logits(policy.model))
    with switched_off(moved(policy).model):
        assert torch.equal(logits(plain.model), logits(policy.model))
    assert not torch.allclose(logits(plain.model), logits(policy.model), atol=1e-3)
    trained = [name for name, weight in policy.model.named_parameters() if weight.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_merged_weight_is_what_the_layer_multiplies_by(tiny_policy: MakePolicy, family: str) -> None:
    policy = tiny_policy(family)
    names = linear_names(policy.model)
    plain = {name: merged_weight(module) for name, module in policy.model.named_modules() if name.endswith(names[0])}
    add_adapter(policy.model, Lora(rank=3, targets=(names[0],)), Base("unused"), seed=0)
    moved(policy)
    generator = torch.Generator().manual_seed(1)
    for name, kept in plain.items():
        layer = policy.model.get_submodule(name)
        x = torch.randn(5, kept.shape[1], generator=generator)
        bias = next((value for key, value in layer.named_parameters() if key.endswith("bias")), torch.zeros(()))
        torch.testing.assert_close(layer(x), x @ merged_weight(layer).T + bias)
        assert not torch.equal(merged_weight(layer), kept)
        with switched_off(policy.model):
            assert torch.equal(merged_weight(layer), kept)
    linear = nn.Linear(3, 2)
    assert torch.equal(merged_weight(linear), linear.weight)


def test_the_sampler_draws_by_the_adapter_and_the_trainer_scores_by_it(adapted: Policy) -> None:
    prompts = [[5, 9, 10, 6], [5, 11, 6]]
    assert adapted.decoder is not None  # made before the adapter has moved
    moved(adapted)
    rollouts = sample(adapted, prompts, per_prompt=3, max_new_tokens=8, temperature=1.0, seed=0)
    found = score(adapted, rollouts, 1.0)
    for row, rollout in enumerate(rollouts):
        wanted = torch.tensor(rollout.logprobs)
        torch.testing.assert_close(found.logprobs[row, : len(wanted)].detach(), wanted, atol=1e-5, rtol=0)


def test_an_update_moves_the_adapter_and_leaves_the_base_as_it_was(adapted: Policy) -> None:
    before = {name: weight.detach().clone() for name, weight in adapted.model.named_parameters()}
    rollouts = sample(adapted, [[5, 9, 10, 6]], per_prompt=4, max_new_tokens=6, temperature=1.0, seed=0)
    spec = recipe(kl={"weight": 0.1}, learning_rate=1e-2)
    advantages, reference = [1.0, -1.0, 0.5, -0.5], adapted.without_adapter()
    optimizer = make_optimizer(adapted, spec)
    assert update(adapted, optimizer, rollouts, advantages, spec, 1e-2, None, reference).kl == 0.0
    assert update(adapted, optimizer, rollouts, advantages, spec, 1e-2, None, reference).kl > 0.0
    for name, weight in adapted.model.named_parameters():
        assert torch.equal(weight, before[name]) != ("lora_B" in name or "lora_A" in name), name


def test_the_reference_is_the_same_model_with_its_adapter_off(tmp_path: Path, adapted: Policy) -> None:
    moved(adapted)
    rollouts = sample(adapted, [[5, 9, 10, 6]], per_prompt=4, max_new_tokens=6, temperature=1.0, seed=0)
    base = load_pretrained(str(tmp_path / "base"), CPU)
    wanted = pytest.approx(divergences(base, rollouts, recipe()), abs=1e-5)
    assert divergences(adapted.without_adapter(), rollouts, recipe()) == wanted
    assert adapted.without_adapter().model is adapted.model
    assert all(weight.requires_grad for name, weight in adapted.model.named_parameters() if "lora_" in name)


# Checkpoints


def test_a_checkpoint_holds_the_adapter_and_refers_to_its_base(tmp_path: Path, adapted: Policy) -> None:
    folder = save_checkpoint(tmp_path / "run", moved(adapted), None, Progress("step", 0))
    assert is_adapter(folder)
    weights = [file.name for file in folder.glob("*.safetensors")]
    assert weights == ["adapter_model.safetensors"]
    assert json.loads((folder / "base.json").read_text())["source"] == str(tmp_path / "base")
    loaded, _ = load_checkpoint(folder, CPU)
    first, second = adapted.model.state_dict(), loaded.model.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [name for name, weight in loaded.model.named_parameters() if weight.requires_grad] == [
        name for name, weight in adapted.model.named_parameters() if weight.requires_grad
    ]


def test_what_peft_and_transformers_make_of_a_checkpoint_is_the_model_that_was_trained(
    tmp_path: Path, adapted: Policy
) -> None:
    folder = save_checkpoint(tmp_path / "run", moved(adapted), None, Progress("step", 0))
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    torch.testing.assert_close(logits(theirs), logits(adapted.model))
    merged = load_pretrained(str(folder), CPU)
    torch.testing.assert_close(logits(merged.model), logits(adapted.model))
    save_whole(adapted.model, tmp_path / "whole")
    torch.testing.assert_close(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "whole")), logits(adapted.model))
    assert merged.model.state_dict().keys() == load_pretrained(str(tmp_path / "base"), CPU).model.state_dict().keys()


def gone(base: Path) -> None:
    shutil.rmtree(base)


def changed(base: Path) -> None:
    data = bytearray((base / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (base / "model.safetensors").write_bytes(data)


@pytest.mark.parametrize(("harm", "said"), [(gone, "now gone; restore it"), (changed, "whose files have changed")])
def test_a_base_that_is_gone_or_changed_is_named(
    tmp_path: Path, adapted: Policy, harm: Callable[[Path], None], said: str
) -> None:
    folder = save_checkpoint(tmp_path / "run", adapted, None, Progress("step", 0))
    harm(tmp_path / "base")
    with pytest.raises((ValueError, FileNotFoundError), match=said) as refusal:
        load_checkpoint(folder, CPU)
    assert str(tmp_path / "base") in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"peft_type": "LOHA"}, "only plain LoRA is known"),
        ({"modules_to_save": ["lm_head"]}, "only plain LoRA is known"),
        ({"use_dora": True}, "only plain LoRA is known"),
        ({"r": 5}, "size mismatch|Error"),
        ({"target_modules": ["q_proj"]}, "do not fit"),
        ({"base_model_name_or_path": None}, "names no base model"),
    ],
)
def test_an_adapter_that_cannot_be_merged_is_refused_in_one_line(
    tmp_path: Path, adapted: Policy, edit: dict[str, Any], said: str
) -> None:
    folder = save_checkpoint(tmp_path / "run", adapted, None, Progress("step", 0))
    (folder / "base.json").unlink()  # as an adapter from elsewhere
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | edit))
    with pytest.raises(ValueError, match=said) as refusal:
        load_pretrained(str(folder), CPU)
    assert repr(str(folder)) in str(refusal.value)
    assert "\n" not in str(refusal.value)


# Wrong recipes


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rank": 0}, "lora.rank"),
        ({"alpha": 0}, "lora.alpha"),
        ({"targets": "all"}, r"lora\.targets=all: expected all-linear, or a list of names"),
        ({"targets": []}, r"lora\.targets=\[\]: expected all-linear"),
        ({"dropout": 0.1}, "unknown key 'lora.dropout'"),
    ],
)
def test_a_wrong_adapter_in_a_recipe_is_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        recipe(lora=settings)


@pytest.mark.parametrize("target", ["q_prj", "lm_head", "embed_tokens", "q_proj.weight"])
def test_a_target_that_is_no_linear_layer_is_refused_with_those_there_are(
    tmp_path: Path, tiny_policy: MakePolicy, target: str
) -> None:
    base = saved_base(tmp_path, tiny_policy())
    with pytest.raises(ValueError, match=rf"lora\.targets: '{target}' is no linear layer.* it has down_proj, .*q_proj"):
        load_policy(recipe(model=base, lora={"targets": ["v_proj", target]}))


def test_a_run_that_could_not_begin_leaves_no_folder(tmp_path: Path) -> None:
    settings = [f"runs={tmp_path}", "lora.targets=[q_prj]"]
    found = CliRunner().invoke(app, ["train", str(LETTERS / "recipe.yaml"), *(f"-s{each}" for each in settings)])
    assert found.exit_code != 0
    assert "q_prj" in str(found.exception) + found.output
    assert list(tmp_path.iterdir()) == []


# Runs


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., tuple[Recipe, Run]]:
    def make(*settings: str, name: str = "letters") -> tuple[Recipe, Run]:
        made = load_recipe(LETTERS / "recipe.yaml", [f"runs={tmp_path}", f"name={name}", *SMALL, *settings])
        return made, create_run(made)

    return make


def test_a_run_that_went_on_has_the_adapter_of_the_unbroken_one(start: Any) -> None:
    settings = ("learning_rate=1e-2", "kl.weight=0.05")
    spec, whole = start(*settings, name="whole")
    train(spec, whole)
    spec, broken = start(*settings, name="broken")
    train(spec, broken)
    shutil.rmtree(broken.checkpoints / "step-4")
    (broken.folder / "summary.json").unlink()
    train(spec, broken)
    files = ("adapter_model.safetensors", "optimizer.safetensors")
    for name in files:
        one, other = (load_file(run.checkpoints / "step-4" / name) for run in (whole, broken))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_model_that_lies_nowhere_else_is_kept_once_beside_the_checkpoints_and_moves_with_them(
    start: Any, tmp_path: Path
) -> None:
    spec, run = start()
    train(spec, run)
    assert [file.parent.name for file in run.folder.rglob("model.safetensors")] == ["base"]
    elsewhere = tmp_path / "moved"
    shutil.move(run.folder, elsewhere)
    assert load_pretrained(str(elsewhere / "checkpoints" / "step-4"), CPU).base is None


def test_a_run_can_begin_from_the_adapter_of_another(start: Any) -> None:
    spec, first = start("learning_rate=1e-2", name="first")
    train(spec, first)
    spec, second = start(f"model={first.checkpoints / 'step-4'}", name="second")
    train(spec, second)
    merged = load_pretrained(str(first.checkpoints / "step-4"), CPU)
    torch.testing.assert_close(
        logits(load_checkpoint(second.checkpoints / "step-0", CPU)[0].model), logits(merged.model)
    )


def test_after_a_warm_start_the_reference_is_the_adapter_of_step_zero(start: Any, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (LETTERS / "train.jsonl").read_text().splitlines()][:8]
    written = [row | {"messages": [*row["messages"], {"role": "assistant", "content": row["last"]}]} for row in rows]
    (tmp_path / "written.jsonl").write_text("\n".join(map(json.dumps, written)))
    warm = f"warm_start={{data: {tmp_path / 'written.jsonl'}, steps: 3, batch_size: 4}}"
    spec, run = start(warm, "kl.weight=0.05", "learning_rate=1e-2")
    train(spec, run)
    charged = [event["kl"] for event in read_events(run.folder) if event["event"] == "step"]
    assert charged[0] == pytest.approx(0.0, abs=1e-9)
    assert charged[-1] > 0


def test_a_base_that_another_rank_or_a_broken_start_has_written_is_taken(tmp_path: Path, start: Any) -> None:
    spec, run = start()
    rows = [json.loads(line) for line in (LETTERS / "train.jsonl").read_text().splitlines()]
    first, second = (load_policy(spec, rows, run.checkpoints) for _ in range(2))
    assert first.base == second.base
    assert [path.name for path in run.checkpoints.iterdir()] == ["base"]
    assert all(
        torch.equal(one, other) for one, other in zip(first.model.parameters(), second.model.parameters(), strict=True)
    )
