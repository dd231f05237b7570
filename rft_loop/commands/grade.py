"""`assay grade`: score stored outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rft_loop.commands.options import (
    Cluster,
    Concurrency,
    GraderArgument,
    MaxErrorRate,
    Progress,
    SummaryFile,
    check_target,
    close,
)


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

    check_target(summary_file, data)
    judge = load(grader)
    with Progress("rows graded") as after_rows:
        summary = grade_file(judge, data, out, concurrency=concurrency, cluster=cluster, after_rows=after_rows)
    close(summary, judge.identity, max_error_rate, summary_file)
