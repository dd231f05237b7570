"""`assay calibrate`: how far does a grader agree with people, and can it be trusted with a reward?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rft_loop.commands.options import (
    Budget,
    CacheFolder,
    Cluster,
    Concurrency,
    GraderArgument,
    JudgesFile,
    MaxErrorRate,
    MaxRowMb,
    Output,
    Progress,
    check_targets,
    ends_told,
    judges,
)

if TYPE_CHECKING:
    from graders.calibration.calibrate import Calibration


def calibrate(
    grader: GraderArgument,
    labelled: Annotated[
        Path,
        typer.Argument(help="Labelled outputs (.jsonl, .json, .csv, .parquet).", show_default=False),
    ],
    label: Annotated[
        str | None, typer.Option(help="Item key of what people said; by default label, human or score.")
    ] = None,
    passing: Annotated[list[str] | None, typer.Option(help="A text label that passes; may be repeated.")] = None,
    label_range: Annotated[
        str | None, typer.Option(help="Scale of the labels, LOW,HIGH; by default the grader's, or what is found.")
    ] = None,
    label_threshold: Annotated[
        float | None, typer.Option(help="Label from which a row passes; by default where the score's threshold lies.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Score from which a row passes; by default the grader's, else the middle.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Ask judges so often about each row: are they steady?", min=1)] = 1,
    order_by: Annotated[
        str | None, typer.Option(help="Item key of the known order: good, fair, poor, or a rank (1 is the best).")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Item key that tells which rows are answers to one item.")] = None,
    cluster: Cluster = None,
    output: Output = "output_text",
    limit: Annotated[int | None, typer.Option(help="Only the first N rows.", min=1)] = None,
    concurrency: Concurrency = 16,
    judges_file: JudgesFile = None,
    budget: Budget = None,
    cache: CacheFolder = None,
    min_alpha: Annotated[
        float | None, typer.Option(help="Exit code 1 where alpha is lower, or cannot be told.")
    ] = None,
    min_order: Annotated[
        float | None, typer.Option(help="Exit code 1 where a smaller share of pairs is in order.")
    ] = None,
    max_error_rate: MaxErrorRate = 0.05,
    as_json: Annotated[bool, typer.Option("--json", help="Tell it as JSON.")] = False,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Also draw it: one HTML page.")] = None,
    max_row_mb: MaxRowMb = 16.0,
) -> None:
    """Compare a grader with people's labels: agreement, steadiness, bias, order, cost, each with its interval."""
    import json

    from graders.calibration.calibrate import calibrate as calibrated
    from graders.registry import load
    from graders.service import answers

    _check(out, order_by, {"--min-alpha": min_alpha, "--min-order": min_order, "--max-error-rate": max_error_rate})
    scale = None if label_range is None else _scale(label_range)
    check_targets([grader, labelled, judges_file, cache and cache / answers.FILE], [out])
    judge = load(grader)
    kept = "" if cache is None else "Judges' answers so far are in the cache; the same command goes on from there"
    with judges(judges_file, budget, cache if judge.waits else None), ends_told(lambda: kept), Progress() as progress:
        found = calibrated(
            judge,
            labelled,
            label=label,
            passing=passing or (),
            label_range=scale,
            label_threshold=label_threshold,
            threshold=threshold,
            samples=samples,
            order_by=order_by,
            group=group,
            cluster=cluster,
            output=output,
            limit=limit,
            concurrency=concurrency,
            max_row_bytes=int(max_row_mb * 2**20),
            progress=progress.show,
        )
    typer.echo(json.dumps(found.to_wire(), indent=2) if as_json else str(found))
    if out is not None:
        from rft_loop.display.calibration_chart import write_page

        write_page(found, out)
    _close(found, min_alpha, min_order, max_error_rate)


def _check(out: Path | None, order_by: str | None, gates: Mapping[str, float | None]) -> None:
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"-o {out}: the picture is a page; name it .html (--json tells the figures as data)")
    if gates["--min-order"] is not None and order_by is None:
        raise ValueError("--min-order needs the known order: --order-by and --group")
    for option, limit in gates.items():
        if limit is not None and not math.isfinite(limit):
            raise ValueError(f"{option} {limit}: it must be finite")


def _close(found: Calibration, min_alpha: float | None, min_order: float | None, max_error_rate: float) -> None:
    """Say what was not reached, and exit with its code."""
    missed = _misses(found, min_alpha, min_order)
    if found.cost.error_rate > max_error_rate:
        typer.echo(
            f"assay: {found.cost.error_rate:.1%} of the grades could not be decided, more than --max-error-rate "
            f"{max_error_rate:.1%}",
            err=True,
        )
        raise typer.Exit(3)
    if missed:
        raise typer.Exit(1)


def _scale(text: str) -> tuple[float, float]:
    try:
        low, high = (float(limit) for limit in text.split(","))
    except ValueError:
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"--label-range {text}: two numbers, the lowest label and the highest, as in 1,5")
    return low, high


def _misses(found: Calibration, min_alpha: float | None, min_order: float | None) -> bool:
    """Whether a figure misses what was asked of it; says so, and where a figure that does not has no interval."""
    alpha = None if isinstance(found.agreement, str) else found.agreement["alpha"]
    order = None if isinstance(found.order, str) else found.order.right
    missed = False
    for name, figure, least in (("alpha", alpha, min_alpha), ("order", order, min_order)):
        if least is None:
            continue
        value = None if figure is None else figure.value
        if value is None or value < least:
            shown = "cannot be told" if value is None else f"is {value:.3f}"
            typer.echo(f"assay: {name} {shown}, and --min-{name} asks for {least:g}", err=True)
            missed = True
        elif figure is not None and figure.low is None:
            typer.echo(
                f"assay: {name} is {value:.3f} without an interval: it reaches --min-{name} {least:g}, and these rows "
                "do not show how surely",
                err=True,
            )
    return missed
