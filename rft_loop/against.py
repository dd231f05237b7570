"""Against: the same recipe by rewards and by written answers, from the same start, compared on the same items."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graders.grader import Grader
from graders.offline.compare import Comparison, compare_grades
from graders.registry import load
from graders.statistics import Summary
from rft_loop.checks import check_answers
from rft_loop.display.report import write_report
from rft_loop.evaluate import best_checkpoint, grade_outputs, outputs_of, write_outputs
from rft_loop.items import check_gradable, read_items
from rft_loop.judges import judges_of
from rft_loop.model.checkpoint import sha256
from rft_loop.model.policy import choose_device, load_pretrained
from rft_loop.recipe import Recipe, differing_key
from rft_loop.supervised import written_answers
from rft_loop.watching.record import Run, create_run, open_run, write_beside


def twin_of(recipe: Recipe) -> Recipe:
    """The recipe of supervised fine-tuning from checkpoint step-0 of the recipe's run: after its warm start, if any."""
    start = recipe.runs / recipe.name / "checkpoints" / "step-0"
    changes = {"name": f"{recipe.name}-supervised", "method": "supervised", "warm_start": None}
    return recipe.model_copy(update={**changes, "model": str(start.resolve())})


def remember(run: Run, items: Path) -> None:
    """Keep with a run which items it is compared on."""
    stored = {"data": str(items.resolve()), "sha256": sha256(items)}
    write_beside(run.folder / "against.json", json.dumps(stored, indent=2))


def remembered(run: Run) -> Path | None:
    """The items that a run was to be compared on, if it was. Raises ValueError where they are not what they were."""
    file = run.folder / "against.json"
    if not file.is_file():
        return None
    stored = json.loads(file.read_text(encoding="utf-8"))
    items = Path(stored["data"])
    if not items.is_file() or sha256(items) != stored["sha256"]:
        raise ValueError(f"{run.folder} was to be compared on {items}, which has changed or gone; name one with --data")
    return items


def check_comparable(recipe: Recipe, data: Path | None) -> None:
    """Refuse what could not be compared: ValueError with the remedy."""
    check_answers(recipe)
    grader = load(recipe.grader)
    if grader.judges_groups:
        raise ValueError(f"--against: {grader.label!r} compares the outputs of one item, and here each item has one")
    twin = twin_of(recipe)
    written_answers(twin, read_items(recipe.train))
    check_gradable(grader, read_items(data or recipe.validation))
    folder = twin.runs / twin.name
    if (folder / "recipe.json").is_file() and (key := differing_key(open_run(folder)[1], twin)) is not None:
        raise ValueError(f"{folder} was trained with another {key}: delete it, or start anew with -s name=...")


def open_twin(recipe: Recipe, run: Run) -> tuple[Recipe, Run]:
    """The supervised run beside a finished one: begun, or the one that was begun before."""
    twin = twin_of(recipe)
    began = twin.runs / twin.name / "recipe.json"
    if not began.is_file():
        return twin, create_run(twin)
    if (run.checkpoints / "step-0" / "manifest.json").stat().st_mtime > began.stat().st_mtime:
        raise ValueError(f"{began.parent} was trained from an earlier start than {run.folder} has now: delete it")
    return twin, Run(began.parent)


def compare_methods(recipe: Recipe, run: Run, other: Run, items_file: Path) -> Iterator[str]:
    """Answer and grade the items with the start and both runs' best checkpoints; the result, a line each.

    Outputs with their grades go to RUN/against, the figures to RUN/summary.json and its report.
    """
    places = {"start": run.checkpoints / "step-0", "supervised": best_checkpoint(other.folder)}
    places["reinforcement"] = best_checkpoint(run.folder)
    files = {name: run.folder / "against" / f"{name}.jsonl" for name in places}
    with judges_of(recipe, run) as spending:
        grader = load(recipe.grader)
        found = {name: _graded(recipe, grader, place, items_file, files[name]) for name, place in places.items()}
        spending.lap()
    difference = compare_grades(
        files["supervised"], files["reinforcement"], names=("supervised", "reinforcement"), most=0
    )
    _store(run, items_file, found, difference)
    write_report(run.folder)
    for name, summary in found.items():
        yield f"{name:<14} {places[name].name:<10} {summary}"
    yield from _told(difference)
    if sha256(items_file) == sha256(recipe.validation):
        yield "these are the items that both checkpoints were chosen by; --data names items that nothing has seen"
    yield f"row by row: assay compare {files['supervised']} {files['reinforcement']}"


def _graded(recipe: Recipe, grader: Grader, place: Path, data: Path, out: Path) -> Summary:
    policy = load_pretrained(str(place), choose_device(recipe.device), recipe.precision)
    outputs = outputs_of(
        policy, read_items(data), recipe.max_new_tokens, recipe.decode_rows, recipe.thinking, recipe.response_format
    )
    graded, summary = grade_outputs(outputs, grader, None, recipe.grader_concurrency)
    out.parent.mkdir(exist_ok=True)
    write_outputs(out, graded)
    return summary


def _told(found: Comparison) -> Iterator[str]:
    difference = found.difference
    if difference is None:
        yield "no item was decided for both"
        return
    yield (
        f"reinforcement - supervised: {difference.mean:+.4f} (95 % interval of the paired difference "
        f"{difference.low:+.4f} to {difference.high:+.4f}, {difference.n} items; {found.test}: p = {found.p:.3g})"
    )


def _store(run: Run, data: Path, found: dict[str, Summary], difference: Comparison) -> None:
    """Put the comparison into the run's summary, as the table that its report shows."""
    rows: list[dict[str, Any]] = []
    for name, summary in found.items():
        if (scored := summary.scored) is not None:
            figures = {"reward": scored.mean, "ci_low": scored.low, "ci_high": scored.high}
            rows.append({"name": name, "split": data.stem, **figures})
    file = run.folder / "summary.json"
    stored = json.loads(file.read_text(encoding="utf-8"))
    stored |= {"rows": rows, "against_supervised": difference.to_wire()["difference"]}
    write_beside(file, json.dumps(stored, indent=2))
