"""`assay train`: reinforcement fine-tuning from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    from rft_loop.recipe import load_recipe
    from rft_loop.record import create_run, open_run

    if recipe is None and resume is None:
        raise ValueError("give a recipe, or --resume with the folder of a run")
    if resume is not None:
        run, wanted = open_run(resume)
        if recipe is not None or settings:
            _same_recipe(wanted, recipe, settings or [], resume)
    else:
        assert recipe is not None
        wanted = load_recipe(recipe, settings or [])
    from rft_loop.console import live_view
    from rft_loop.loop import StoppedError
    from rft_loop.loop import train as run_training
    from rft_loop.report import write_report

    if resume is None:
        run = create_run(wanted)
    with run.only_writer():
        try:
            with live_view(wanted.steps, wanted.name) as view:
                progress = run_training(wanted, run, view)
        except StoppedError as problem:
            write_report(run.folder)
            typer.echo(f"assay: {problem}", err=True)
            raise typer.Exit(3) from None
        except KeyboardInterrupt:
            typer.echo(f"assay: interrupted; go on with: assay train --resume {run.folder}", err=True)
            raise typer.Exit(130) from None
        finally:
            run.discard_if_unused()
    report = write_report(run.folder)
    typer.echo(f"best checkpoint: {run.checkpoints / f'step-{progress.best_step}'}")
    typer.echo(f"report: {report}")


def _same_recipe(stored: Recipe, recipe: str | None, settings: list[str], folder: Path) -> None:
    """A run goes on as it began: refuse a recipe that differs, naming where."""
    from rft_loop.recipe import differing_key, load_recipe

    given = load_recipe(recipe if recipe is not None else folder / "recipe.json", settings)
    if (key := differing_key(stored, given)) is not None:
        raise ValueError(
            f"--resume {folder}: {key} was {getattr(stored, key)!r} and is now {getattr(given, key)!r}; "
            "a run goes on as it began. Start a new run with -s name=..."
        )
