"""The recipe for code: two steps with a scratch model, its answers run in the real sandbox."""

from __future__ import annotations

import importlib.util
import json
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from pyarrow import parquet

from graders.sandbox.pool import pool
from rft_loop.loop import train
from rft_loop.recipe import load_recipe
from rft_loop.watching.record import create_run, read_events

EXAMPLE = Path(__file__).parent.parent / "examples" / "human_eval"
SCRATCH = "model={scratch: {tokens: words, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1}}"


def script() -> ModuleType:
    found = importlib.util.spec_from_file_location("human_eval_split", EXAMPLE / "split.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def task(number: int) -> dict[str, Any]:
    name = f"add_{number}"
    prompt = f'def {name}(value: int) -> int:\n    """Add {number} to a value."""\n'
    cases = [{"args": [value], "expected": value + number, "visible": True} for value in (0, 5)]
    asked = f"Complete this Python function. Answer with the whole function.\n{prompt}"
    return {
        "id": f"Made/{number}",
        "task_id": f"Made/{number}",
        "messages": [{"role": "user", "content": asked}],
        "prompt": prompt,
        "entry_point": name,
        "cases": cases,
        "tests": "",
        "solution": f"    return value + {number}\n",
    }


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    source = tmp_path / "tasks.jsonl"
    source.write_text("".join(f"{json.dumps(task(number))}\n" for number in range(40)))
    script().split(source, tmp_path)
    return tmp_path


def test_every_task_is_in_one_part_and_stays_there_whatever_the_others_are(parts: Path) -> None:
    split = script()
    found = {
        name: [json.loads(line)["task_id"] for line in (parts / f"{name}.jsonl").read_text().splitlines()]
        for name in ("train", "validation", "test")
    }
    assert sorted(chain.from_iterable(found.values())) == sorted(f"Made/{number}" for number in range(40))
    assert all(split.part_of(name) == part for part, names in found.items() for name in names)
    assert len(found["train"]) > len(found["test"]) > 0


def test_the_parts_of_the_164_tasks_are_of_useful_sizes() -> None:
    parts = [script().part_of(f"HumanEval/{number}") for number in range(164)]
    counts = {name: parts.count(name) for name in ("train", "validation", "test")}
    assert counts == {"train": 74, "validation": 48, "test": 42}


@pytest.mark.skipif(pool().standing().level < "S2", reason="the sandbox is weaker than S2 here")
def test_two_steps_are_trained_on_answers_that_the_sandbox_has_run(parts: Path) -> None:
    torch.set_num_threads(1)
    settings = [f"runs={parts}", f"train={parts / 'train.jsonl'}", f"validation={parts / 'validation.jsonl'}", SCRATCH]
    small = ["steps=2", "items_per_step=2", "group_size=2", "max_new_tokens=8", "refill=0", "device=cpu"]
    recipe = load_recipe(EXAMPLE / "recipe.yaml", [*settings, *small])
    run = create_run(recipe)
    assert train(recipe, run).step == 2
    (_, after) = [event for event in read_events(run.folder) if event["event"] == "step"]
    assert after["undecided"] == 0
    for row in parquet.read_table(run.samples_file("train", 2)).to_pylist():
        assert row["reward"] is not None
        assert row["why"]
