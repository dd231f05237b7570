"""Export: a run's best weights as a folder that transformers loads, with a card that says where they come from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rft_loop.checkpoint import read_progress
from rft_loop.evaluate import best_checkpoint
from rft_loop.recipe import Recipe, resolved
from rft_loop.record import open_run, read_events

OURS = ("manifest.json", "optimizer.safetensors")  # of a checkpoint, no part of a model


def export(folder: Path, out: Path, step: int | None = None) -> Path:
    """Write a run's best checkpoint, or that of `step`, to the new folder `out`; its path.

    `AutoModelForCausalLM.from_pretrained(out)` loads it. Raises FileExistsError where `out` is there already,
    FileNotFoundError for a step without a checkpoint, ValueError for a broken one.
    """
    run, recipe = open_run(folder)
    source = best_checkpoint(folder) if step is None else run.checkpoints / f"step-{step}"
    if not source.is_dir():
        there = sorted(int(path.name.removeprefix("step-")) for path in run.checkpoints.glob("step-*"))
        raise FileNotFoundError(f"{folder} keeps no checkpoint of step {step}; it has {', '.join(map(str, there))}")
    if out.exists():
        raise FileExistsError(f"{out} is there already; give a folder that is not")
    progress = read_progress(source)
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        for file in source.iterdir():
            if file.name not in OURS:
                shutil.copy2(file, partial)
        card = model_card(recipe, progress.step, progress.data, read_events(folder))
        (partial / "README.md").write_text(card, encoding="utf-8")
        os.replace(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return out


def model_card(recipe: Recipe, step: int, data: Mapping[str, str], events: list[dict[str, Any]]) -> str:
    """The card of a run's weights after `step`: model, grader and its hash, data and their hashes, results, recipe."""
    start = next(event for event in events if event["event"] == "start")
    validations = {event["step"]: event for event in events if event["event"] == "validation"}
    base = recipe.model if isinstance(recipe.model, str) else "random weights (scratch)"
    rows = [_result("before training", validations.get(0)), _result(f"step {step}", validations.get(step))]
    files = "\n".join(f"| {name} | {_rows(start, name)} | `{digest}` |" for name, digest in data.items())
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [reinforcement-fine-tuning, assay]
---

# {recipe.name}

{base}, trained by reinforcement fine-tuning with Assay: {step} steps of {recipe.items_per_step} items with
{recipe.group_size} rollouts each.

## Results

Reward on the validation split, one greedy answer an item; 95 % intervals. The checkpoint was chosen by this split, so
the figure of a test split that was not looked at before is the one to report.

| | reward | items |
| --- | --- | --- |
{chr(10).join(filter(None, rows))}

## Grader

`{start["grader"]}`: the hash covers its definition, its code and the models it asks.

```json
{json.dumps(start.get("definition"), indent=2, ensure_ascii=False)}
```

## Data

| split | rows | SHA-256 |
| --- | --- | --- |
{files}

## Recipe

```json
{json.dumps(resolved(recipe), indent=2, ensure_ascii=False)}
```
"""


def _result(name: str, event: Mapping[str, Any] | None) -> str:
    if event is None:
        return ""
    return f"| {name} | {event['reward']:.3f} [{event['low']:.3f}, {event['high']:.3f}] | {event['n']:,} |"


def _rows(start: Mapping[str, Any], name: str) -> str:
    count = (start.get("items") or {}).get(name)
    return "" if count is None else f"{count:,}"
