"""`assay grade`: score stored outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rft_loop.commands.options import (
    CacheFolder,
    Cluster,
    Concurrency,
    MaxErrorRate,
    MaxRowMb,
    Output,
    Progress,
    SummaryFile,
    Threshold,
    Workers,
    check_targets,
    close_all,
    load_named,
)


def grade(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="GRADER... DATA",
            help="Graders (file.json or file.py:name; NAME=file.json names one) and the stored outputs "
            "(.jsonl, .json, .csv, .parquet).",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Where the grades go: one JSON line each, or Parquet by its ending.")
    ],
    grader: Annotated[
        list[str] | None, typer.Option("-g", "--grader", help="One more grader; may be repeated.")
    ] = None,
    output: Output = "output_text",
    where: Annotated[str | None, typer.Option(help="Only rows that meet this, as 'item.year > 2020'.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N of these rows.", min=1)] = None,
    sample: Annotated[int | None, typer.Option(help="N rows drawn from these at random.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of --sample.")] = 0,
    workers: Workers = None,
    concurrency: Concurrency = 16,
    cache: CacheFolder = None,
    max_error_rate: MaxErrorRate = 0.05,
    cluster: Cluster = None,
    pass_at_k: Annotated[int | None, typer.Option(help="Also tell pass@K; needs --group.", min=1)] = None,
    group: Annotated[str | None, typer.Option(help="Item key that tells which rows are of one item.")] = None,
    threshold: Threshold = 0.5,
    summary_file: SummaryFile = None,
    max_row_mb: MaxRowMb = 16.0,
) -> None:
    """Grade stored outputs. A broken run, started again, goes on where it stopped."""
    from graders.offline.cache import FILE
    from graders.score import grade_file_with_all

    *positional, data = arguments
    given = [*positional, *(grader or ())]
    if not given:
        raise ValueError(f"{data}: no grader; write assay grade GRADER DATA -o OUT")
    check_targets([*given, data, cache and cache / FILE], [summary_file], grades=out)
    named = load_named(given)
    with Progress() as progress:
        summaries = grade_file_with_all(
            named,
            Path(data),
            out,
            single=len(named) == 1,
            output=output,
            where=where,
            limit=limit,
            sample=sample,
            seed=seed,
            workers=workers,
            concurrency=concurrency,
            cache=cache,
            cluster=cluster,
            group=group,
            k=pass_at_k,
            threshold=threshold,
            max_row_bytes=int(max_row_mb * 2**20),
            progress=progress.show,
        )
    if cache is not None:
        typer.echo(f"{progress.cached:,} of {progress.rows * len(named):,} grades were in the cache")
    told = {name: (named[name].identity, summary) for name, summary in summaries.items()}
    close_all(told, max_error_rate, summary_file)
