"""A checkpoint comes back bit for bit, or is refused by name: never half, never something else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rft_loop.learning.optimizer import make_optimizer
from rft_loop.model.checkpoint import (
    Progress,
    all_checkpoints,
    checkpoint_name,
    load_checkpoint,
    load_optimizer,
    prune,
    read_progress,
    save_checkpoint,
    settle,
)
from rft_loop.model.policy import Policy
from rft_loop.recipe import recipe_from

MakePolicy = Callable[..., Policy]
CPU = torch.device("cpu")
UNUSED = dict.fromkeys(("model", "train", "validation", "grader"), "unused") | {"validation": "held out"}
PROGRESS = Progress("step", 7, "mine@1", best_step=5, best_reward=0.1 + 0.2, validation={"reward": 0.25, "n": 3})


def take_a_step(policy: Policy, optimizer: torch.optim.Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for weight in policy.model.parameters():
        weight.grad = torch.randn(weight.shape, generator=generator).to(weight.dtype)
    optimizer.step()


def trained(policy: Policy, steps: int = 3) -> torch.optim.Optimizer:
    optimizer = make_optimizer(policy, recipe_from({**UNUSED, "learning_rate": 1e-2}, "test"))
    for step in range(steps):
        take_a_step(policy, optimizer, step)
    return optimizer


def tensors(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Every tensor of a state dictionary, however deep, by its path."""
    found = {}
    for key, value in state.items():
        if isinstance(value, torch.Tensor):
            found[str(key)] = value
        elif isinstance(value, dict):
            found |= {f"{key}.{inner}": tensor for inner, tensor in tensors(value).items()}
    return found


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = tensors(one), tensors(other)
    assert first.keys() == second.keys()
    assert first
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype
        assert torch.equal(tensor, second[name]), name


def fresh(policy: Policy) -> torch.optim.Optimizer:
    return make_optimizer(policy, recipe_from({**UNUSED, "learning_rate": 1e-2}, "test"))


def folders(folder: Path) -> list[str]:
    return [path.name for path in all_checkpoints(folder)]


@pytest.fixture
def saved(tmp_path: Path, tiny_policy: MakePolicy) -> Path:
    policy = tiny_policy()
    return save_checkpoint(tmp_path, policy, trained(policy), PROGRESS)


# Round trip


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
def test_weights_optimiser_and_progress_come_back_bit_for_bit(
    tmp_path: Path, tiny_policy: MakePolicy, family: str, tied: bool
) -> None:
    policy = tiny_policy(family, tie_word_embeddings=tied)
    optimizer = trained(policy)
    folder = save_checkpoint(tmp_path, policy, optimizer, PROGRESS)
    assert folder == tmp_path / "step-7"
    loaded, progress = load_checkpoint(folder, CPU)
    assert progress == PROGRESS
    assert_same(policy.model.state_dict(), loaded.model.state_dict())
    assert loaded.end_ids == policy.end_ids
    state = fresh(loaded)
    load_optimizer(folder, state)
    assert_same(optimizer.state_dict()["state"], state.state_dict()["state"])


def test_the_next_step_from_a_checkpoint_is_the_step_that_would_have_been(saved: Path, tiny_policy: MakePolicy) -> None:
    unbroken = tiny_policy()
    optimizer = trained(unbroken)
    loaded, _ = load_checkpoint(saved, CPU)
    state = fresh(loaded)
    load_optimizer(saved, state)
    take_a_step(unbroken, optimizer, seed=99)
    take_a_step(loaded, state, seed=99)
    assert_same(unbroken.model.state_dict(), loaded.model.state_dict())


def test_transformers_itself_loads_a_checkpoint(saved: Path, tiny_policy: MakePolicy) -> None:
    policy, _ = load_checkpoint(saved, CPU)
    model = AutoModelForCausalLM.from_pretrained(saved)
    tokenizer = AutoTokenizer.from_pretrained(saved)
    assert_same(policy.model.state_dict(), model.state_dict())
    ids = torch.tensor([policy.prompt_ids([{"role": "user", "content": "abc"}])])
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, policy.model(input_ids=ids).logits)
    assert tokenizer.chat_template == policy.tokenizer.chat_template
    assert tokenizer("abc").input_ids == policy.tokenizer("abc").input_ids


def test_without_an_optimiser_none_is_written_and_a_fresh_one_stays_fresh(
    tmp_path: Path, tiny_policy: MakePolicy
) -> None:
    policy = tiny_policy()
    folder = save_checkpoint(tmp_path, policy, None, Progress("step", 0))
    assert not (folder / "optimizer.safetensors").exists()
    optimizer = fresh(policy)
    load_optimizer(folder, optimizer)
    assert optimizer.state_dict()["state"] == {}


def test_everything_in_a_checkpoint_is_safetensors_or_text(saved: Path) -> None:
    assert {file.suffix for file in saved.iterdir()} <= {".safetensors", ".json", ".jinja"}
    assert set(json.loads((saved / "manifest.json").read_text())["files"]) == {
        file.name for file in saved.iterdir() if file.name != "manifest.json"
    }


def test_the_same_step_saved_again_replaces_the_first(saved: Path, tiny_policy: MakePolicy) -> None:
    policy = tiny_policy(seed=5)
    save_checkpoint(saved.parent, policy, None, PROGRESS)
    loaded, _ = load_checkpoint(saved, CPU)
    assert_same(policy.model.state_dict(), loaded.model.state_dict())
    assert folders(saved.parent) == ["step-7"]


# Damage


def remove(file: Path) -> None:
    file.unlink()


def flip_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def empty(file: Path) -> None:
    file.write_bytes(b"")


HASHED = ["model.safetensors", "optimizer.safetensors", "config.json", "tokenizer.json"]


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *((name, damage) for name in HASHED for damage in (remove, flip_a_byte, cut_short, empty)),
        *(("manifest.json", damage) for damage in (remove, cut_short, empty)),
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(saved: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(saved / name)
    with pytest.raises(ValueError, match="broken checkpoint") as refusal:
        load_checkpoint(saved, CPU)
    message = str(refusal.value)
    assert str(saved) in message
    assert name in message
    assert "delete that folder to go on from the one before it" in message


@pytest.mark.parametrize(
    "manifest",
    [
        [],
        {},
        {"files": {}},
        {"progress": {"phase": "step", "step": 7}},
        {"files": ["model.safetensors"], "progress": {"phase": "step", "step": 7}},
        {"files": None, "progress": {"phase": "step", "step": 7}},
        {"files": {}, "progress": {"phase": "step"}},
        {"files": {}, "progress": {"phase": "step", "step": 7, "luck": 1}},
        {"files": {"model.safetensors": "0" * 64}, "progress": {"phase": "step", "step": 7}},
    ],
    ids=str,
)
def test_a_manifest_that_says_nothing_useful_is_refused(saved: Path, manifest: Any) -> None:
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="broken checkpoint"):
        load_checkpoint(saved, CPU)


def test_damaged_optimiser_state_is_named_even_where_nobody_checked_the_hash(
    saved: Path, tiny_policy: MakePolicy
) -> None:
    cut_short(saved / "optimizer.safetensors")
    with pytest.raises(ValueError, match=r"broken checkpoint .*optimizer\.safetensors"):
        load_optimizer(saved, fresh(tiny_policy()))


# Which there are, and which are kept


def place(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)


def test_checkpoints_are_listed_in_the_order_they_were_made(tmp_path: Path) -> None:
    place(tmp_path, "step-10", "step-9", "step-0", "warm-start-40", "warm-start-100", "step-100")
    assert folders(tmp_path) == ["warm-start-40", "warm-start-100", "step-0", "step-9", "step-10", "step-100"]
    assert folders(tmp_path / "nothing") == []


def test_a_half_written_checkpoint_does_not_count(tmp_path: Path, saved: Path, tiny_policy: MakePolicy) -> None:
    place(tmp_path, ".step-9.partial", "step-9.old", "step-x", "my-step-3")
    (tmp_path / ".step-9.partial" / "model.safetensors").write_bytes(b"half")
    assert folders(tmp_path) == ["step-7"]
    save_checkpoint(tmp_path, tiny_policy(), None, Progress("step", 9))  # and is no obstacle
    assert folders(tmp_path) == ["step-7", "step-9"]
    assert read_progress(tmp_path / "step-9").step == 9
    assert not (tmp_path / ".step-9.partial").exists()


@pytest.mark.parametrize(
    ("there", "keep", "best", "left"),
    [
        ("0 1 2 3 4", 2, None, "0 3 4"),
        ("0 1 2 3 4", 2, 1, "0 1 3 4"),
        ("0 1 2 3 4", 1, 4, "0 4"),
        ("0 1 2 3 4", 1, 0, "0 4"),
        ("0 1", 5, 1, "0 1"),
        ("8 9 10 11", 2, 9, "9 10 11"),  # newest by number, not by spelling
        ("w20 w40 w60", 2, None, "w40 w60"),
        ("w20 w40 0 5", 1, 0, "0 5"),
    ],
)
def test_step_zero_the_best_and_the_newest_are_kept(
    tmp_path: Path, there: str, keep: int, best: int | None, left: str
) -> None:
    def full(short: str) -> str:
        return f"warm-start-{short[1:]}" if short.startswith("w") else f"step-{short}"

    place(tmp_path, *map(full, there.split()), ".step-99.partial")
    (tmp_path / "notes.txt").touch()
    prune(tmp_path, keep, best)
    assert folders(tmp_path) == [full(short) for short in left.split()]
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("kill", range(1, 4))
def test_a_kill_while_a_step_is_saved_again_leaves_the_old_checkpoint_or_the_new_one(
    saved: Path, tiny_policy: MakePolicy, monkeypatch: pytest.MonkeyPatch, kill: int
) -> None:
    class Killed(BaseException):
        pass

    calls: list[str] = []

    def until_killed(name: str, plain: Callable[..., None]) -> Callable[..., None]:
        def call(*given: Any, **named: Any) -> None:
            calls.append(name)
            if len(calls) >= kill:
                raise Killed
            plain(*given, **named)

        return call

    again = replace(PROGRESS, best_reward=0.5)
    policy = tiny_policy()
    with monkeypatch.context() as patch:
        patch.setattr("os.rename", until_killed("rename", os.rename))
        patch.setattr("rft_loop.model.checkpoint._discard", until_killed("discard", shutil.rmtree))
        with pytest.raises(Killed):
            save_checkpoint(saved.parent, policy, None, again)
    assert calls == ["rename", "rename", "discard"][:kill]
    settle(saved.parent)
    assert folders(saved.parent) == ["step-7"]
    assert load_checkpoint(saved, CPU)[1] == (again if kill == 3 else PROGRESS)
    save_checkpoint(saved.parent, policy, None, Progress("step", 8))
    assert sorted(path.name for path in saved.parent.iterdir()) == ["step-7", "step-8"], "nothing is left beside them"


def test_what_kills_left_is_cleaned_up_and_nothing_else_is(tmp_path: Path, tiny_policy: MakePolicy) -> None:
    place(tmp_path, ".warm-start-5.partial", ".step-3.partial", ".base-17.partial", "step-9.old", ".step-x.old", "base")
    save_checkpoint(tmp_path, tiny_policy(), None, Progress("step", 4))
    left = {".base-17.partial", ".step-x.old", "base", "step-4", "step-9.old"}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_names_say_the_phase_and_the_step() -> None:
    assert checkpoint_name(Progress("warm_start", 40)) == "warm-start-40"
    assert checkpoint_name(Progress("step", 0)) == "step-0"


def test_a_checkpoint_may_be_moved(saved: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere" / "mine"
    shutil.copytree(saved, moved)
    assert load_checkpoint(moved, CPU)[1] == PROGRESS
