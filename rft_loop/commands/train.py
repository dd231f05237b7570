"""`assay train`: reinforcement fine-tuning from a recipe, and the comparison with supervised fine-tuning."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rft_loop.commands.options import ends_told

if TYPE_CHECKING:
    from rft_loop.model.checkpoint import Progress
    from rft_loop.pause import Pause
    from rft_loop.recipe import Recipe
    from rft_loop.watching.record import Run


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
    against: Annotated[
        str | None,
        typer.Option(metavar="supervised", help="Then train the same by supervised fine-tuning, and compare the two."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="With --against: the items to compare on; by default the validation split.")
    ] = None,
    grace: Annotated[
        float, typer.Option(help="Seconds that the step under way may go on after SIGTERM.", min=0.0)
    ] = 20.0,
) -> None:
    """Train a model on a data set with a grader as its reward."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        _train(recipe, settings or [], resume, against, data, grace)
        return
    from rft_loop.parallel.crew import dismiss, follow
    from rft_loop.parallel.ranks import joined_ranks

    with joined_ranks() as ranks:
        if not ranks.is_first:
            follow(ranks)
            return
        _train(recipe, settings or [], resume, against, data, grace)
        dismiss(ranks)


def _train(
    recipe: str | None, settings: list[str], resume: Path | None, against: str | None, data: Path | None, grace: float
) -> None:
    from rft_loop.recipe import load_recipe, resolved
    from rft_loop.watching.record import create_run, open_run, write_beside

    if recipe is None and resume is None:
        raise ValueError("give a recipe, or --resume with the folder of a run")
    if resume is not None:
        run, stored = open_run(resume)
        wanted = _continued(stored, recipe, settings, resume) if recipe is not None or settings else stored
    else:
        assert recipe is not None
        wanted = load_recipe(recipe, settings)
    _check_against(against, data, wanted)
    if resume is None:
        run = create_run(wanted)
    further = "" if against is None else f" --against {against}" + (f" --data {data}" if data else "")
    go_on = f"assay train --resume {run.folder}{further}"
    with run.only_writer():
        if resume is not None and wanted != stored:
            write_beside(run.folder / "recipe.json", json.dumps(resolved(wanted), indent=2, ensure_ascii=False))
        _train_one(wanted, run, go_on, grace)
    if against is not None:
        _compare(wanted, run, data, go_on, grace)


def _train_one(wanted: Recipe, run: Run, go_on: str, grace: float) -> None:
    """Train a run to its end, and say where the result lies; on whatever ends it before, how to go on."""
    from graders.grade import GradingStopped
    from rft_loop.display.report import write_report
    from rft_loop.pause import Pause, PausedError
    from rft_loop.training import StoppedError

    pause = Pause(run.pause_file, grace)
    budget = "" if wanted.budget is None else "; -s budget=... gives it another budget"

    def kept() -> str:
        return f"Go on with: {go_on}{budget}" if run.events_file.is_file() else "Nothing was begun: start it anew"

    with ends_told(kept):
        try:
            progress = _watched(wanted, run, pause)
        except (StoppedError, PausedError) as problem:
            write_report(run.folder)
            paused = isinstance(problem, PausedError)
            typer.echo(f"assay: {problem}" + (f". {kept()}" if paused else ""), err=True)
            raise typer.Exit(pause.exit_code if paused else 3) from None
        except GradingStopped:
            write_report(run.folder)
            raise
        except KeyboardInterrupt:
            if pause.reason is None:
                raise
            typer.echo(f"assay: stopped at once ({pause.reason}). {kept()}", err=True)
            raise typer.Exit(pause.exit_code) from None
        finally:
            run.discard_if_unused()
    report = write_report(run.folder)
    for line in _spent(run.folder):
        typer.echo(line)
    by = "" if wanted.best_by == "reward" else f" (by {wanted.best_by})"
    typer.echo(f"best checkpoint{by}: {run.checkpoints / f'step-{progress.best_step}'}")
    typer.echo(f"report: {report}")


def _watched(wanted: Recipe, run: Run, pause: Pause) -> Progress:
    """Train with a view on the terminal and in the recipe's tracker."""
    from rft_loop.display.console import live_view
    from rft_loop.loop import train as run_training
    from rft_loop.watching.trackers import tracker

    with pause.signals(), live_view(wanted.steps, wanted.name) as view, tracker(wanted, run.folder) as track:

        def both(event: dict[str, Any]) -> None:
            view(event)
            track(event)

        return run_training(wanted, run, both, pause)


def _check_against(against: str | None, data: Path | None, recipe: Recipe) -> None:
    """Refuse before hours of training what could not be compared after them."""
    if against is None and data is not None:
        raise ValueError("--data names the items of a comparison: give --against supervised too, or use assay eval")
    if against not in (None, "supervised"):
        raise ValueError(f"--against {against}: the methods to compare with are: supervised")
    if against is not None:
        from rft_loop.against import check_comparable

        check_comparable(recipe, data)


def _compare(wanted: Recipe, run: Run, data: Path | None, go_on: str, grace: float) -> None:
    from rft_loop.against import compare_methods, open_twin

    twin, other = open_twin(wanted, run)
    with other.only_writer():
        _train_one(twin, other, go_on, grace)
    with run.only_writer(), ends_told(lambda: f"Go on with: {go_on}"):
        for line in compare_methods(wanted, run, other, data):
            typer.echo(line)


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
