"""The command line: `assay grade`, `train`, `eval`, `report`. Heavy imports wait for their command."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from graders.statistics import Summary
    from rft_loop.recipe import Recipe

TRAIN_EXTRA = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "gguf", "pyarrow")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Write a grader once; use it as a test, as a metric, and as the reward that trains a model.",
)

GraderArgument = Annotated[str, typer.Argument(help="A grader: file.json or file.py:name.", show_default=False)]
Cluster = Annotated[
    str | None,
    typer.Option(help="Item key whose values group rows that are not independent, for the interval."),
]
MaxErrorRate = Annotated[
    float, typer.Option(help="Share of undecided grades past which the exit code is 3.", min=0.0, max=1.0)
]
SummaryFile = Annotated[Path | None, typer.Option("--summary", help="Also write the summary as JSON to this file.")]
Concurrency = Annotated[int, typer.Option(help="Calls under way at once, for graders that wait on a network.", min=1)]


@app.command()
def grade(
    grader: GraderArgument,
    data: Annotated[
        Path,
        typer.Argument(help='Stored outputs, a JSON line each: {"item": {...}, "sample": {"output_text": ...}}.'),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where the grades go, one JSON line each.")],
    max_error_rate: MaxErrorRate = 0.05,
    cluster: Cluster = None,
    summary_file: SummaryFile = None,
    concurrency: Concurrency = 16,
) -> None:
    """Grade stored outputs. A broken run, started again, goes on where it stopped."""
    from graders.registry import load
    from graders.score import grade_file

    _check_target(summary_file, data)
    judge = load(grader)
    with _Progress("rows graded") as after_rows:
        summary = grade_file(
            judge, data, out, concurrency=concurrency, cluster=cluster, after_rows=after_rows
        )  # fmt: skip
    _close(summary, judge.identity, max_error_rate, summary_file)


@app.command()
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


@app.command("eval")
def evaluate(
    model: Annotated[
        str, typer.Argument(help="A run (its best checkpoint), a checkpoint or model folder, or a hub id.")
    ],
    data: Annotated[Path, typer.Option(help="Items to answer, a JSON line each; the last message is the user's.")],
    grader: Annotated[str | None, typer.Option(help="A grader; by default the run's own.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Store the outputs with their grades; `assay grade` reads them."),
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(help="By default the run's, else 256.", min=1)] = None,
    max_error_rate: MaxErrorRate = 0.05,
    cluster: Cluster = None,
    summary_file: SummaryFile = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Answer every item of a data set greedily, and grade the answers."""
    from graders.registry import load
    from rft_loop.checkpoint import read_progress
    from rft_loop.evaluate import best_checkpoint, grade_outputs, outputs_of, write_outputs
    from rft_loop.items import check_gradable, read_items
    from rft_loop.policy import choose_device, load_pretrained
    from rft_loop.record import open_run

    for target in (out, summary_file):
        _check_target(target, data)
    source, decode_rows = Path(model), 512
    if (source / "recipe.json").is_file():
        run, recipe = open_run(source)
        source, decode_rows = best_checkpoint(source), recipe.decode_rows
        max_new_tokens = max_new_tokens or recipe.max_new_tokens
        judge = load(grader if grader is not None else recipe.grader)
        trained_with = read_progress(source).grader
        if judge.identity != trained_with:
            typer.echo(
                f"assay: {run.folder} was trained with {trained_with}; graded here by {judge.identity}", err=True
            )
    elif grader is None:
        raise ValueError(f"{model!r} is no run, so its grader is not known: name one with --grader")
    else:
        judge = load(grader)
    if (source / "manifest.json").is_file():
        read_progress(source)  # a checkpoint is what was written, or is refused
    items = read_items(data)
    check_gradable(judge, items)
    policy = load_pretrained(str(source) if source.exists() else model, choose_device(device))
    outputs = outputs_of(policy, items, max_new_tokens or 256, decode_rows)
    if out is not None:
        write_outputs(out, outputs)  # before they are graded: what was decoded is not lost to a broken grader
    graded, summary = grade_outputs(outputs, judge, cluster)
    if out is not None:
        write_outputs(out, graded)
    _close(summary, judge.identity, max_error_rate, summary_file)


@app.command()
def report(run: Annotated[Path, typer.Argument(help="The folder of a run.")]) -> None:
    """Write a run's report.html: one file, no network."""
    from rft_loop.report import write_report

    typer.echo(write_report(run))


def main() -> None:
    """The console script. What a user can mend ends in one line on stderr and exit code 2, not in a traceback."""
    try:
        app()
    except (ValueError, FileNotFoundError, IsADirectoryError, PermissionError) as problem:
        if os.environ.get("ASSAY_DEBUG"):
            raise
        _fail(str(problem))
    except LookupError as problem:
        if type(problem) is not LookupError:  # a KeyError or IndexError is ours to mend
            raise
        _fail(str(problem))
    except ModuleNotFoundError as problem:
        if problem.name not in TRAIN_EXTRA:
            raise
        _fail(f"{problem.name} is not installed; pip install 'assay[train]' brings what training needs")
    except OSError as problem:
        if problem.errno != errno.ENOSPC:
            raise
        where = f" while writing {problem.filename}" if problem.filename else ""
        _fail(
            f"the disk is full{where}. What was recorded is kept: free some space, then start the same command again "
            "(assay train: with --resume and the run's folder)"
        )


def _check_target(target: Path | None, data: Path) -> None:
    """Refuse a file that could not be written at the end, or that would replace what is read."""
    if target is None:
        return
    if target.resolve() == data.resolve():
        raise ValueError(f"{target} is the data itself; name another file to write")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"no folder {str(target.parent)!r} to write {target.name} in; make it first")


def _fail(message: str) -> None:
    typer.echo(f"assay: {message}", err=True)
    sys.exit(2)


def _close(summary: Summary, identity: str, max_error_rate: float, summary_file: Path | None) -> None:
    """Print the summary; exit with 3 when too much could not be decided."""
    import json

    typer.echo(f"{identity}  {summary}")
    if summary_file is not None:
        summary_file.write_text(json.dumps({"grader": identity} | summary.to_wire(), indent=2) + "\n")
    if summary.error_rate > max_error_rate:
        typer.echo(
            f"assay: {summary.error_rate:.1%} of the grades could not be decided, more than "
            f"--max-error-rate {max_error_rate:.1%}",
            err=True,
        )
        raise typer.Exit(3)


def _same_recipe(stored: Recipe, recipe: str | None, settings: list[str], folder: Path) -> None:
    """A run goes on as it began: refuse a recipe that differs, naming where."""
    from rft_loop.recipe import differing_key, load_recipe

    given = load_recipe(recipe if recipe is not None else folder / "recipe.json", settings)
    if (key := differing_key(stored, given)) is not None:
        raise ValueError(
            f"--resume {folder}: {key} was {getattr(stored, key)!r} and is now {getattr(given, key)!r}; "
            "a run goes on as it began. Start a new run with -s name=..."
        )


class _Progress:
    """A counter on a terminal, nothing elsewhere."""

    def __init__(self, noun: str) -> None:
        self.noun = noun

    def __enter__(self) -> Callable[[int], None]:
        return self.show if sys.stderr.isatty() else lambda done: None

    def show(self, done: int) -> None:
        sys.stderr.write(f"\r{done:,} {self.noun}")
        sys.stderr.flush()

    def __exit__(self, *problem: object) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\n")
