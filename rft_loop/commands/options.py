"""What several commands share: their options, the progress line, and how a summary is told."""

from __future__ import annotations

import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from graders.grader import Grader
    from graders.score import Progress as Told
    from graders.service.services import Services
    from graders.service.settings import Price
    from graders.statistics import Summary

STOPPED = 4  # exit code of a run that judges stopped: a budget, an outage, a refused key, a canary


def tell_launcher(message: str) -> None:
    """Put a process's last words into the table that torchrun ends with, in place of a hint to its documentation."""
    if (file := os.environ.get("TORCHELASTIC_ERROR_FILE")) is not None:
        Path(file).write_text(json.dumps({"message": f"assay: {message}", "timestamp": int(time.time())}))


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number")
    return value


def _dollars(value: float | None) -> float | None:
    if value is not None and not 0 < value < math.inf:
        raise ValueError(f"--budget {value:g}: a budget is a number of dollars above 0, as in --budget 5")
    return value


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
Workers = Annotated[
    int | None,
    typer.Option(help="Processes that grade; by default one a core for large files.", min=1, show_default=False),
]
CacheFolder = Annotated[
    Path | None, typer.Option("--cache", help="Folder of grades, and of judges' answers, kept for later runs.")
]
JudgesFile = Annotated[
    Path | None,
    typer.Option(
        "--judges", help="File of judges: services, models, prices. By default the one that ASSAY_JUDGES names."
    ),
]
Budget = Annotated[
    float | None,
    typer.Option("--budget", help="Most dollars that judges may cost; the next call that could pass it is not sent."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Ask and write nothing; tell how many calls it takes and their price.")
]
Output = Annotated[str, typer.Option(help="Column with the output, where rows have no 'sample'.")]
Threshold = Annotated[float, typer.Option(help="Score from which a row passes.", callback=_finite)]
MaxRowMb = Annotated[
    float, typer.Option(help="Longest row that is read, in MB of 1,048,576 bytes.", min=0.001, callback=_finite)
]


def check_targets(
    read: Iterable[str | Path | None], written: Iterable[Path | None], grades: Path | None = None
) -> None:
    """Refuse files that could not be written at the end, or that would replace what is read or written besides.

    `read` may name files as graders and grades do: `file.py:name`, `NAME=file.json`. `grades` is a file that is
    written by way of its journal.
    """
    targets = [target for target in written if target is not None]
    for target in targets:
        if target.is_dir():
            raise ValueError(f"{target} is a folder; name a file to write")
        if not target.parent.is_dir():
            raise FileNotFoundError(f"no folder {str(target.parent)!r} to write {target.name} in; make it first")
    if grades is not None:
        endings = ("", ".partial", ".partial.spent", ".partial.spent.writing", ".writing")
        targets += [grades.with_name(grades.name + ending) for ending in endings]
    sources = {place for text in read if text is not None for place in _places(str(text))}
    taken: dict[Path, Path] = {}
    for target in targets:
        if target.exists() and not target.is_file():
            continue  # a terminal, a pipe: nothing is lost there
        if any(source.samefile(target) if target.exists() else source == target.resolve() for source in sources):
            raise ValueError(f"{target} is read by this command, and writing it would destroy it; name another file")
        if taken.setdefault(target.resolve(), target) is not target:
            raise ValueError(f"{target} would be written twice; name two files")


def _places(text: str) -> set[Path]:
    """The files that the name of what is read may mean."""
    named = text.partition("=")[2]
    texts = {text, named, text.rpartition(":")[0], named.rpartition(":")[0]}
    return {Path(place).resolve() for place in texts if place and Path(place).is_file()}


def load_named(given: Sequence[str]) -> dict[str, Grader]:
    """Graders by name: the NAME of NAME=file.json, else the grader's own label."""
    from graders.registry import load

    named: dict[str, Grader] = {}
    for text in given:
        name, equals, source = text.partition("=")
        if not (equals and name.isidentifier()) or Path(text).exists():
            name, source = "", text
        grader = load(source)
        name = name or grader.label
        if name in named:
            raise ValueError(f"two graders are called {name!r}; name one of them: OTHER={source}")
        named[name] = grader
    return named


@contextmanager
def judges(
    file: Path | None, budget: float | None = None, cache: Path | None = None, dry: bool = False
) -> Iterator[Services]:
    """Let graders ask the services of a file of judges, by default those they would ask anyway."""
    from graders.service.services import Services, current, use
    from graders.service.settings import read_settings

    budget = _dollars(budget)
    settings = current().settings if file is None else read_settings(file)
    with use(Services(settings, cache=cache, budget=budget, dry=dry)) as services:
        yield services


@contextmanager
def ends_told(kept: Callable[[], str]) -> Iterator[None]:
    """Where judges stop the run (exit code 4) or Ctrl-C does (130): one line, with what is `kept` and how to go on."""
    from graders.grade import GradingStopped

    try:
        yield
    except GradingStopped as problem:
        typer.echo(f"assay: {' '.join(str(problem).split())}. {kept()}".rstrip(), err=True)
        raise typer.Exit(STOPPED) from None
    except KeyboardInterrupt:
        typer.echo(f"assay: interrupted. {kept()}".rstrip(), err=True)
        raise typer.Exit(130) from None


@contextmanager
def warnings_told() -> Iterator[None]:
    """What graders warn of is a line on stderr."""
    from graders.composite import GraderWarning

    with warnings.catch_warnings():
        show = warnings.showwarning

        def tell(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, GraderWarning):
                typer.echo(f"assay: {message}", err=True)
            else:
                show(message, category, *place, **more)

        warnings.simplefilter("always", GraderWarning)
        setattr(warnings, "showwarning", tell)  # noqa: B010 - whatever Python hands on
        yield


def close(summary: Summary, identity: str, max_error_rate: float, summary_file: Path | None) -> None:
    """Print the summary; exit with 3 when too much could not be decided."""
    close_all({"": (identity, summary)}, max_error_rate, summary_file)


def close_all(summaries: Mapping[str, tuple[str, Summary]], max_error_rate: float, summary_file: Path | None) -> None:
    """Print the summary of each grader, given by name with its identity; exit with 3 when one is too undecided."""
    from graders.service.cost import usage_lines
    from graders.service.services import current

    asked = any(summary.usage for _, summary in summaries.values())
    prices = current().settings.prices if asked else {}
    for name, (identity, summary) in summaries.items():
        named = "" if name == identity.rpartition("@")[0] or not name else f"{name}: "
        typer.echo(f"{named}{identity}  {summary}")
        for line in [*usage_lines(summary.usage or {}, prices), *summary.details()]:
            typer.echo(f"  {line}")
    if summary_file is not None:
        wires: dict[str, Any] = {
            name: {"grader": identity} | summary.to_wire() | _priced(summary, prices)
            for name, (identity, summary) in summaries.items()
        }
        wire = {"graders": wires} if len(wires) > 1 else next(iter(wires.values()))
        summary_file.write_text(json.dumps(wire, indent=2) + "\n")
    worst = max(summary.error_rate for _, summary in summaries.values())
    if worst > max_error_rate:
        typer.echo(
            f"assay: {worst:.1%} of the grades could not be decided, more than --max-error-rate {max_error_rate:.1%}",
            err=True,
        )
        raise typer.Exit(3)


def _priced(summary: Summary, prices: Mapping[str, Price]) -> dict[str, Any]:
    from graders.service.cost import cost_of, usage_wire

    if summary.usage is None:
        return {}
    return {"usage": usage_wire(summary.usage, prices), "dollars": cost_of(summary.usage, prices)}


class Progress:
    """A line with rate and time left on a terminal, nothing elsewhere; it remembers what it was told last."""

    def __init__(self) -> None:
        self.rows = self.cached = 0
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich import progress as rich
            from rich.console import Console

            self.bar = rich.Progress(
                rich.BarColumn(),
                rich.TextColumn("{task.fields[rows]:,} rows"),
                rich.TextColumn("{task.fields[rate]:,.0f}/s"),
                rich.TimeElapsedColumn(),
                rich.TextColumn("left"),
                rich.TimeRemainingColumn(),
                console=Console(stderr=True),
                auto_refresh=False,  # a thread of its own would not survive the start of workers
            )
            self.task = self.bar.add_task("", total=None, rows=0, rate=0.0)
            self.bar.start()
        return self

    def show(self, told: Told) -> None:
        """Draw how far the grading has come."""
        self.rows, self.cached = told.rows, told.cached
        if self.bar is not None:
            elapsed = self.bar.tasks[0].elapsed or 1.0
            total = None if told.share is None else 1.0
            self.bar.update(
                self.task, total=total, completed=told.share or 0, rows=told.rows, rate=told.rows / max(elapsed, 1e-3)
            )
            self.bar.refresh()

    def __exit__(self, *problem: object) -> None:
        if self.bar is not None:
            self.bar.stop()
