"""`assay train`: reinforcement fine-tuning from a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rft_loop.commands.options import ends_told

if TYPE_CHECKING:
    from rft_loop.recipe import Recipe


def train(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe: .yaml, .toml or .json. May be left out with --resume.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("-s", "--set", help="Override a key of the recipe: -s learning_rate=1e-4."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="The folder of a run to continue from its last checkpoint.")
    ] = None,
) -> None:
    """Train a model on a data set with a grader as its reward."""
    from graders.grade import GradingStopped
    from rft_loop.recipe import load_recipe, resolved
    from rft_loop.record import create_run, open_run, write_beside

    if recipe is None and resume is None:
        raise ValueError("give a recipe, or --resume with the folder of a run")
    if resume is not None:
        run, stored = open_run(resume)
        wanted = _continued(stored, recipe, settings or [], resume) if recipe is not None or settings else stored
    else:
        assert recipe is not None
        wanted = load_recipe(recipe, settings or [])
    from rft_loop.console import live_view
    from rft_loop.loop import train as run_training
    from rft_loop.report import write_report
    from rft_loop.trackers import tracker
    from rft_loop.training import StoppedError

    if resume is None:
        run = create_run(wanted)
    budget = "" if wanted.budget is None else "; -s budget=... gives it another budget"
    with run.only_writer(), ends_told(lambda: f"Go on with: assay train --resume {run.folder}{budget}"):
        if resume is not None and wanted != stored:
            write_beside(run.folder / "recipe.json", json.dumps(resolved(wanted), indent=2, ensure_ascii=False))
        try:
            with live_view(wanted.steps, wanted.name) as view, tracker(wanted, run.folder) as track:

                def both(event: dict[str, Any]) -> None:
                    view(event)
                    track(event)

                progress = run_training(wanted, run, both)
        except StoppedError as problem:
            write_report(run.folder)
            typer.echo(f"assay: {problem}", err=True)
            raise typer.Exit(3) from None
        except GradingStopped:
            write_report(run.folder)
            raise
        finally:
            run.discard_if_unused()
    report = write_report(run.folder)
    for line in _spent(run.folder):
        typer.echo(line)
    typer.echo(f"best checkpoint: {run.checkpoints / f'step-{progress.best_step}'}")
    typer.echo(f"report: {report}")


def _spent(folder: Path) -> list[str]:
    """What the run's judges were asked and cost, as its summary says."""
    from graders.service.cost import spent_lines

    return spent_lines(json.loads((folder / "summary.json").read_text(encoding="utf-8")))


def _continued(stored: Recipe, recipe: str | None, settings: list[str], folder: Path) -> Recipe:
    """The recipe to go on with: as the run began, but for what judges may cost. One that differs is refused."""
    from rft_loop.recipe import MAY_CHANGE, differing_key, load_recipe

    given = load_recipe(recipe if recipe is not None else folder / "recipe.json", settings)
    if (key := differing_key(stored, given)) is not None:
        raise ValueError(
            f"--resume {folder}: {key} was {getattr(stored, key)!r} and is now {getattr(given, key)!r}; "
            "a run goes on as it began. Start a new run with -s name=..."
        )
    said = given.model_fields_set.intersection(MAY_CHANGE)  # what a file does not say stays as `-s` once set it
    return stored.model_copy(update={key: getattr(given, key) for key in said})
