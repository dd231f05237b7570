"""Export: a run's best weights as a folder that transformers loads, with a card that says where they come from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from rft_loop.evaluate import best_checkpoint
from rft_loop.model.adapter import is_adapter
from rft_loop.model.checkpoint import read_progress
from rft_loop.model.policy import load_pretrained
from rft_loop.recipe import REWARD, Recipe, ScratchModel, resolved
from rft_loop.watching.record import open_run, read_events

OURS = ("manifest.json", "optimizer.safetensors", "base.json")  # of a checkpoint, no part of a model


def export(folder: Path, out: Path, step: int | None = None, adapter: bool = False) -> Path:
    """Write a run's best checkpoint, or that of `step`, to the new folder `out`; its path.

    `AutoModelForCausalLM.from_pretrained(out)` loads it. An adapter is merged into its base, or with `adapter` written
    alone, as peft does. Raises FileExistsError where `out` is there already, FileNotFoundError for a step without a
    checkpoint, ValueError for a broken one and for `adapter` of a run that trained all weights.
    """
    run, recipe = open_run(folder)
    source = best_checkpoint(folder) if step is None else run.checkpoints / f"step-{step}"
    if not source.is_dir():
        there = sorted(int(path.name.removeprefix("step-")) for path in run.checkpoints.glob("step-*"))
        raise FileNotFoundError(f"{folder} keeps no checkpoint of step {step}; it has {', '.join(map(str, there))}")
    if out.exists():
        raise FileExistsError(f"{out} is there already; give a folder that is not")
    progress = read_progress(source)
    if adapter and not is_adapter(source):
        raise ValueError(f"{folder} trained all weights (its recipe has no lora); export it without --adapter")
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    partial.mkdir(parents=True)
    try:
        if is_adapter(source) and not adapter:
            merged = load_pretrained(str(source), torch.device("cpu"))
            merged.model.save_pretrained(partial)
            merged.tokenizer.save_pretrained(partial)
        else:
            for file in source.iterdir():
                if file.name not in OURS:
                    shutil.copy2(file, partial)
        card = model_card(recipe, progress.step, progress.data, read_events(folder), adapter)
        (partial / "README.md").write_text(card, encoding="utf-8")
        os.replace(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return out


def said_of(folder: Path, out: Path, step: int | None = None, adapter: bool = False) -> list[str]:
    """What has been exported, a line each: which weights, in which form, and what they still need."""
    run, recipe = open_run(folder)
    source = best_checkpoint(folder) if step is None else run.checkpoints / f"step-{step}"
    chosen = f", best by {recipe.best_by}" if step is None else ""
    form = "a transformers folder"
    if is_adapter(source):
        form = "the adapter alone, a peft folder" if adapter else f"merged; {form}"
    lines = [f"{out}: {source.name.replace('-', ' ')}{chosen}; {form}"]
    if adapter:
        base = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
        if Path(base).is_dir():
            lines.append(f"it loads only where its base model lies in {base}; without --adapter it is whole")
    return lines


def model_card(
    recipe: Recipe, step: int, data: Mapping[str, str], events: list[dict[str, Any]], adapter: bool = False
) -> str:
    """The card of a run's weights after `step`: model, grader and its hash, data and their hashes, results, recipe."""
    start = next(event for event in events if event["event"] == "start")
    validations = {event["step"]: event for event in events if event["event"] == "validation"}
    base = recipe.model if isinstance(recipe.model, str) else "random weights (scratch)"
    chosen_by = "its reward" if recipe.best_by == REWARD else f"the mean of {recipe.best_by}"
    rows = [_result("before training", validations.get(0)), _result(f"step {step}", validations.get(step))]
    files = "\n".join(f"| {name} | {_rows(start, name)} | `{digest}` |" for name, digest in data.items())
    library = "transformers"
    if adapter:
        library = "peft" if isinstance(recipe.model, ScratchModel) else f"peft\nbase_model: {recipe.model}"
    return f"""---
library_name: {library}
pipeline_tag: text-generation
tags: [{recipe.method}-fine-tuning, assay]
---

# {recipe.name}

{base}, trained by {recipe.method} fine-tuning with Assay: {step} steps of {recipe.items_per_step} {_each(recipe)}.
{_trained(recipe, adapter)}

## How to load

```python
{_loading(adapter)}
```

## Results

Reward on the validation split, one greedy answer an item; 95 % intervals. The checkpoint was chosen by this split
({chosen_by}), so the figure of a test split that was not looked at before is the one to report.

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


def _loading(adapter: bool) -> str:
    """Lines that load the folder the card lies in."""
    package, name = ("peft", "AutoPeftModelForCausalLM") if adapter else ("transformers", "AutoModelForCausalLM")
    return f'from {package} import {name}\nmodel = {name}.from_pretrained("FOLDER")  # the one that holds this card'


def _trained(recipe: Recipe, adapter: bool) -> str:
    """What was trained, and in which arithmetic."""
    if recipe.lora is None:
        return f"All weights were trained; arithmetic in {recipe.precision}."
    held = "This folder holds it alone" if adapter else "It is merged into the weights here"
    rank = f"LoRA of rank {recipe.lora.rank}, alpha {recipe.lora.alpha}"
    return f"An adapter was trained ({rank}); arithmetic in {recipe.precision}. {held}."


def _result(name: str, event: Mapping[str, Any] | None) -> str:
    if event is None:
        return ""
    by = f"; {event['best_by']} {event['best_value']:.3f}" if "best_by" in event else ""
    return f"| {name} | {event['reward']:.3f} [{event['low']:.3f}, {event['high']:.3f}]{by} | {event['n']:,} |"


def _each(recipe: Recipe) -> str:
    return "written answers" if recipe.method == "supervised" else f"items with {recipe.group_size} rollouts each"


def _rows(start: Mapping[str, Any], name: str) -> str:
    count = (start.get("items") or {}).get(name)
    return "" if count is None else f"{count:,}"
