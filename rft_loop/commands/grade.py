"""`assay grade`: score stored outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rft_loop.commands.options import (
    Budget,
    CacheFolder,
    Cluster,
    Concurrency,
    DryRun,
    JudgesFile,
    MaxErrorRate,
    MaxRowMb,
    Output,
    Progress,
    SummaryFile,
    Threshold,
    Workers,
    check_targets,
    close_all,
    ends_told,
    judges,
    load_named,
    warnings_told,
)

if TYPE_CHECKING:
    from graders.grader import Grader
    from graders.offline.estimate import Estimate
    from graders.statistics import Summary


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
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Where the grades go: one JSON line each, or Parquet by its ending. Needed but for --dry-run.",
            show_default=False,
        ),
    ] = None,
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
    judges_file: JudgesFile = None,
    budget: Budget = None,
    dry_run: DryRun = False,
    max_error_rate: MaxErrorRate = 0.05,
    cluster: Cluster = None,
    pass_at_k: Annotated[int | None, typer.Option(help="Also tell pass@K; needs --group.", min=1)] = None,
    group: Annotated[
        str | None,
        typer.Option(help="Item key that tells which rows are of one item: for pass@K, and for graders that compare."),
    ] = None,
    threshold: Threshold = 0.5,
    summary_file: SummaryFile = None,
    max_row_mb: MaxRowMb = 16.0,
) -> None:
    """Grade stored outputs. A broken run, started again, goes on where it stopped."""
    from graders.offline.cache import FILE
    from graders.service import answers

    *positional, data = arguments
    given = [*positional, *(grader or ())]
    if not given:
        raise ValueError(f"{data}: no grader; write assay grade GRADER DATA -o OUT")
    if out is None and not dry_run:
        raise ValueError("no place for the grades; name it with -o OUT, or tell only the price with --dry-run")
    stored = [] if cache is None else [cache / FILE, cache / answers.FILE]
    check_targets([*given, data, judges_file, *stored], [summary_file], grades=out)
    named = load_named(given)
    rows: dict[str, Any] = {
        "output": output,
        "where": where,
        "limit": limit,
        "sample": sample,
        "seed": seed,
        "concurrency": concurrency,
        "cache": cache,
        "group": group,
        "max_row_bytes": int(max_row_mb * 2**20),
    }
    if dry_run:
        _price(named, Path(data), out, rows, judges_file, budget, summary_file)
        return
    assert out is not None
    rows |= {"workers": workers, "cluster": cluster, "k": pass_at_k, "threshold": threshold}
    asks = any(one.waits for one in named.values())
    with judges(judges_file, budget, cache if asks else None), ends_told(lambda: _kept(out)):
        told = _graded(named, Path(data), out, rows)
        close_all(told, max_error_rate, summary_file)


def _graded(
    named: Mapping[str, Grader], data: Path, out: Path, options: dict[str, Any]
) -> dict[str, tuple[str, Summary]]:
    """Grade the rows; each grader's identity with its summary, by its name."""
    from graders.offline.workers import calm_collector
    from graders.score import grade_file_with_all

    calm_collector()
    with Progress() as progress, warnings_told():
        summaries = grade_file_with_all(
            named, data, out, single=len(named) == 1, progress=progress.show, **options
        )  # fmt: skip
    if options["cache"] is not None:
        typer.echo(f"{progress.cached:,} of {progress.rows * len(named):,} grades were in the cache")
    return {name: (named[name].identity, summary) for name, summary in summaries.items()}


def _price(
    named: Mapping[str, Grader],
    data: Path,
    out: Path | None,
    rows: dict[str, Any],
    judges_file: Path | None,
    budget: float | None,
    summary_file: Path | None,
) -> None:
    """Tell what it would cost, and grade nothing."""
    from graders.score import price_file

    with judges(judges_file, budget), Progress() as progress:
        if budget is not None:  # which needs prices and bounds
            for one in named.values():
                one.check_ready()
        estimate = price_file(named, data, out, **rows, progress=progress.show)
    _tell_price(estimate, budget, summary_file)


def _kept(out: Path) -> str:
    from graders.offline.journal import partial_of

    partial = partial_of(out)
    if not partial.is_file():
        return "Nothing was graded"
    return f"What was graded is kept in {partial}; the same command goes on from there"


def _tell_price(estimate: Estimate, budget: float | None, summary_file: Path | None) -> None:
    import json

    typer.echo(str(estimate))
    if budget is not None and estimate.cost is not None and estimate.cost > budget:
        typer.echo(f"more than --budget {budget:g} allows; grading would stop before it is passed")
    if summary_file is not None:
        summary_file.write_text(json.dumps(estimate.to_wire(), indent=2) + "\n")
