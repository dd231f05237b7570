"""`assay train`: reinforcement fine-tuning from a recipe, and the comparison with supervised fine-tuning."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rft_loop.commands.options import ends_told, tell_launcher
from rft_loop.pause import GRACE, SIGNALS, Pause

if TYPE_CHECKING:
    from rft_loop.model.checkpoint import Progress
    from rft_loop.recipe import Recipe
    from rft_loop.watching.record import Run


@dataclass
class Asked:
    """What was asked for on the command line, and how far it has come."""

    recipe: str | None
    settings: list[str]
    resume: Path | None
    against: str | None
    data: Path | None
    pause: Pause
    run: Run | None = None
    budget: bool = False
    among_ranks: bool = False  # the others end with this process, and a launcher takes any code but 0 for a failure

    @property
    def go_on(self) -> str:
        further = "" if self.against is None else f" --against {self.against}"
        further += f" --data {self.data}" if self.data else ""
        return f"assay train --resume {self.resume if self.run is None else self.run.folder}{further}"

    def kept(self) -> str:
        """How to go on, as the end of a line."""
        if self.resume is None and (self.run is None or not self.run.events_file.is_file()):
            return "Nothing was begun: start it anew"
        return f"Go on with: {self.go_on}" + ("; -s budget=... gives it another budget" if self.budget else "")

    def paused(self, said: str) -> typer.Exit:
        typer.echo(f"assay: {said}. {self.kept()}", err=True)
        return typer.Exit(0 if self.among_ranks else self.pause.exit_code)

    def stopped_at_once(self) -> typer.Exit:
        ended = self.paused(f"stopped at once ({self.pause.reason})")
        if self.resume is None and self.run is not None:
            self.run.discard_if_unused()
        return ended

    def leave(self) -> None:
        """End the process where it stands."""
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[?25h\n")  # the cursor, which a live view hides
        sys.stdout.flush()
        os._exit(self.stopped_at_once().exit_code)


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
        Path | None,
        typer.Option(help="With --against: the items to compare on; by default the validation split. A run keeps it."),
    ] = None,
    grace: Annotated[
        float, typer.Option(help="Seconds that the step under way may go on after SIGTERM.", min=0.0)
    ] = GRACE,
) -> None:
    """Train a model on a data set with a grader as its reward."""
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    if several and os.environ.get("RANK", "0") != "0":
        _follow()
        return
    asked = Asked(recipe, settings or [], resume, against, data, Pause(None, grace))
    asked.pause.leave = asked.leave
    with asked.pause.signals(), _stopped_at_once(asked):
        if not several:
            _train(asked)
            return
        from rft_loop.parallel.crew import dismiss
        from rft_loop.parallel.ranks import joined_ranks

        with joined_ranks() as ranks:
            asked.among_ranks = ranks.world > 1
            _train(asked)
            dismiss(ranks)


def _follow() -> None:
    """What all ranks do but the first; until one has its first order it holds nothing that a signal could lose."""
    for number in SIGNALS:
        signal.signal(number, lambda *_: os._exit(0))
    from rft_loop.parallel.crew import follow
    from rft_loop.parallel.ranks import joined_ranks

    with joined_ranks() as ranks:
        follow(ranks)


@contextmanager
def _stopped_at_once(asked: Asked) -> Iterator[None]:
    """A signal that comes where no step has begun: one line, and the new run's folder is taken back."""
    try:
        yield
    except (KeyboardInterrupt, ImportError, SystemError, SystemExit):  # as whatever it broke off passes it on
        if asked.pause.reason is None:
            raise
        raise asked.stopped_at_once() from None


def _train(asked: Asked) -> None:
    from rft_loop.checks import check_recipe
    from rft_loop.recipe import load_recipe, resolved
    from rft_loop.watching.record import create_run, write_beside

    stored = None
    if asked.resume is not None:
        stored, wanted = _continued(asked, asked.resume)
    elif asked.recipe is not None:
        wanted = load_recipe(asked.recipe, asked.settings, to_begin=True)
    else:
        raise ValueError("give a recipe, or --resume with the folder of a run")
    check_recipe(wanted)
    items = _items_to_compare(asked, wanted)
    if asked.resume is None:
        with asked.pause.held():
            asked.run = create_run(wanted)
    run, asked.budget = asked.run, wanted.budget is not None
    assert run is not None
    with run.only_writer():
        try:
            if stored is not None and wanted != stored:
                write_beside(run.folder / "recipe.json", json.dumps(resolved(wanted), indent=2, ensure_ascii=False))
            if items is not None:
                from rft_loop.against import remember

                remember(run, items)
            _train_one(wanted, run, asked)
        finally:
            if asked.resume is None:
                run.discard_if_unused()
    if items is not None:
        _compare(wanted, run, items, asked)


def _train_one(wanted: Recipe, run: Run, asked: Asked) -> None:
    """Train a run to its end, and say where the result lies; on whatever ends it before, how to go on."""
    from graders.grade import GradingStopped
    from rft_loop.display.report import write_report
    from rft_loop.loop import finished
    from rft_loop.pause import PausedError
    from rft_loop.training import StoppedError

    asked.pause.file, asked.pause.leave = run.pause_file, asked.leave
    with ends_told(asked.kept), _stopped_at_once(asked):
        try:
            if (progress := finished(wanted, run)) is None:
                progress = _watched(wanted, run, asked.pause)
            else:
                nothing = "; nothing to do" if asked.against is None else ""
                typer.echo(f"{run.folder} is finished ({wanted.steps} of {wanted.steps} steps){nothing}")
        except PausedError as problem:
            write_report(run.folder)
            raise asked.paused(str(problem)) from None
        except StoppedError as problem:
            write_report(run.folder)
            typer.echo(f"assay: {problem}", err=True)
            tell_launcher(str(problem))
            raise typer.Exit(3) from None
        except GradingStopped as problem:
            write_report(run.folder)
            tell_launcher(str(problem))
            raise
    asked.pause.leave = None
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

    with live_view(wanted.steps, wanted.name) as view, tracker(wanted, run.folder) as track:

        def both(event: dict[str, Any]) -> None:
            view(event)
            track(event)

        return run_training(wanted, run, both, pause)


def _items_to_compare(asked: Asked, recipe: Recipe) -> Path | None:
    """The file that `--against` compares on, if asked for; refuses before hours of training what could not be."""
    from rft_loop.checks import check_answers

    if asked.against is None:
        if asked.data is not None:
            raise ValueError("--data names the items of a comparison: give --against supervised too, or use assay eval")
        return None
    if asked.against != "supervised":
        raise ValueError(f"--against {asked.against}: the methods to compare with are: supervised")
    check_answers(recipe)
    from rft_loop.against import check_comparable, remembered

    items = asked.data or (None if asked.run is None else remembered(asked.run)) or recipe.validation
    check_comparable(recipe, items)
    return items


def _compare(wanted: Recipe, run: Run, items: Path, asked: Asked) -> None:
    from rft_loop.against import compare_methods, open_twin

    twin, other = open_twin(wanted, run)
    with other.only_writer():
        try:
            _train_one(twin, other, asked)
        finally:
            other.discard_if_unused()
    with run.only_writer(), ends_told(asked.kept), _stopped_at_once(asked):
        for line in compare_methods(wanted, run, other, items):
            typer.echo(line)


def _spent(folder: Path) -> list[str]:
    """What the run's judges were asked and cost, as its summary says."""
    from graders.service.cost import spent_lines

    return spent_lines(json.loads((folder / "summary.json").read_text(encoding="utf-8")))


def _continued(asked: Asked, folder: Path) -> tuple[Recipe, Recipe]:
    """The recipe that a run was stored with, and the one to go on with: as it began, but for what may change."""
    from rft_loop.recipe import MAY_CHANGE, differing_key, load_recipe
    from rft_loop.watching.record import open_run

    asked.run, stored = open_run(folder)
    newest = _newest_checkpoint(asked.run)
    if asked.recipe is None and not asked.settings:
        return stored, stored
    given = load_recipe(asked.recipe if asked.recipe is not None else folder / "recipe.json", asked.settings)
    if (key := differing_key(stored, given)) is not None:
        weights = f", or begin from its weights with -s model={newest}" if key == "steps" and newest else ""
        raise ValueError(
            f"--resume {folder}: {key} was {getattr(stored, key)!r} and is now {getattr(given, key)!r}; "
            f"a run goes on as it began. Start a new run with -s name=...{weights}"
        )
    said = given.model_fields_set.intersection(MAY_CHANGE)  # what a file does not say stays as `-s` once set it
    return stored, stored.model_copy(update={key: getattr(given, key) for key in said})


def _newest_checkpoint(run: Run) -> Path | None:
    """Where a run goes on from; None where it begins again. Refuses one whose checkpoints have gone."""
    from rft_loop.model.checkpoint import all_checkpoints
    from rft_loop.watching.record import read_events

    found = all_checkpoints(run.checkpoints)
    if not found and (events := read_events(run.folder)):
        if steps := sum(event["event"] == "step" for event in events):
            raise ValueError(
                f"{run.folder} has {steps} recorded steps and no checkpoint; start a new run with -s name=..."
            )
        typer.echo(f"assay: {run.folder} was broken off before its first checkpoint, so it begins again", err=True)
    return found[-1] if found else None
