"""Export: what a run has learned leaves it whole, with its origin written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from rft_loop.cli import app
from rft_loop.loop import train
from rft_loop.model.checkpoint import load_checkpoint
from rft_loop.model.export import export, said_of
from rft_loop.recipe import load_recipe
from rft_loop.watching.record import create_run

LETTERS = Path(__file__).parent.parent / "examples" / "letters"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    small = ["steps=4", "items_per_step=4", "group_size=4", "eval_every=2", "save_every=2"]
    recipe = load_recipe(LETTERS / "recipe.yaml", [f"runs={folder}", *small])
    made = create_run(recipe)
    train(recipe, made)
    return made.folder


def test_transformers_loads_the_very_weights_of_the_best_checkpoint(run: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = export(run, tmp_path / "model")
    best = json.loads((run / "summary.json").read_text())["best_checkpoint"]
    policy, _ = load_checkpoint(run / best, torch.device("cpu"))
    model = AutoModelForCausalLM.from_pretrained(out)
    for (name, found), wanted in zip(model.state_dict().items(), policy.model.state_dict().values(), strict=True):
        assert torch.equal(found, wanted), name
    assert AutoTokenizer.from_pretrained(out).eos_token_id in policy.end_ids
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    assert not (out / "optimizer.safetensors").exists()


def test_the_card_names_grader_data_results_and_recipe(run: Path, tmp_path: Path) -> None:
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    card = (export(run, tmp_path / "model", step=4) / "README.md").read_text()
    start, *_ = (event for event in events if event["event"] == "start")
    last = [event for event in events if event["event"] == "validation"][-1]
    assert start["grader"] in card
    assert all(digest in card for digest in start["data"].values())
    assert f"{last['reward']:.3f} [{last['low']:.3f}, {last['high']:.3f}]" in card
    assert '"group_size": 4' in card


def test_a_folder_that_is_there_and_a_step_that_is_not_are_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match="is there already"):
        export(run, tmp_path / "there")
    with pytest.raises(FileNotFoundError, match="no checkpoint of step 3; it has 0"):
        export(run, tmp_path / "new", step=3)


def test_the_command_prints_where_the_model_is(run: Path, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["export", str(run), "-o", str(tmp_path / "model")])
    assert found.exit_code == 0
    assert found.output.startswith(f"{tmp_path / 'model'}: step ")
    assert found.output.endswith(", best by reward; a transformers folder\n")


# Adapters


@pytest.fixture(scope="module")
def adapter_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    small = ["steps=4", "items_per_step=4", "group_size=4", "eval_every=2", "save_every=2"]
    adapted = ["lora.rank=4", "learning_rate=1e-2", "precision=bfloat16"]
    recipe = load_recipe(LETTERS / "recipe.yaml", [f"runs={folder}", *small, *adapted])
    made = create_run(recipe)
    train(recipe, made)
    return made.folder


def test_an_adapter_leaves_merged_or_by_itself(adapter_run: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    merged, alone = (
        export(adapter_run, tmp_path / "merged", 4),
        export(adapter_run, tmp_path / "alone", 4, adapter=True),
    )
    ids = torch.tensor([[5, 3, 4, 6]])
    with torch.no_grad():
        one, other = (AutoModelForCausalLM.from_pretrained(folder)(input_ids=ids).logits for folder in (merged, alone))
        base = AutoModelForCausalLM.from_pretrained(adapter_run / "checkpoints" / "base")(input_ids=ids).logits
    torch.testing.assert_close(one, other)
    assert not torch.allclose(one, base)
    assert not (merged / "adapter_config.json").exists()
    assert not {"base.json", "manifest.json", "model.safetensors"} & {file.name for file in alone.iterdir()}
    assert AutoTokenizer.from_pretrained(alone)("a").input_ids == AutoTokenizer.from_pretrained(merged)("a").input_ids
    for folder, held in ((merged, "merged into the weights here"), (alone, "This folder holds it alone")):
        card = (folder / "README.md").read_text()
        assert "LoRA of rank 4, alpha 32" in card
        assert "arithmetic in bfloat16" in card
        assert held in card
    said = said_of(adapter_run, tmp_path / "alone", 4, adapter=True)
    assert said[0] == f"{tmp_path / 'alone'}: step 4; the adapter alone, a peft folder"
    assert f"only where its base model lies in {adapter_run / 'checkpoints' / 'base'}" in said[1]
    assert said_of(adapter_run, tmp_path / "merged", 4) == [
        f"{tmp_path / 'merged'}: step 4; merged; a transformers folder"
    ]


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # that peft reads
def test_the_card_says_how_to_load_what_it_lies_beside(adapter_run: Path, tmp_path: Path) -> None:
    for name, adapter in (("merged", False), ("alone", True)):
        out = export(adapter_run, tmp_path / name, 4, adapter)
        code = (out / "README.md").read_text().split("```python\n")[1].split("```")[0]
        assert len(code.splitlines()) == 2
        loaded: dict[str, Any] = {}
        exec(code.replace("FOLDER", str(out)), loaded)
        assert loaded["model"].config.model_type == "llama"


def test_an_adapter_of_a_run_that_has_none_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its recipe has no lora"):
        export(run, tmp_path / "model", adapter=True)
