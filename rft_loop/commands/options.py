"""What several commands share: their options, the progress line, and how a summary is told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from graders.statistics import Summary

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


def check_target(target: Path | None, data: Path) -> None:
    """Refuse a file that could not be written at the end, or that would replace what is read."""
    if target is None:
        return
    if target.resolve() == data.resolve():
        raise ValueError(f"{target} is the data itself; name another file to write")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"no folder {str(target.parent)!r} to write {target.name} in; make it first")


def close(summary: Summary, identity: str, max_error_rate: float, summary_file: Path | None) -> None:
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


class Progress:
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
