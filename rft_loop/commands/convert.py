"""`assay convert`: graders out of OpenAI's jobs and evals and Promptfoo's configs, rows and grades of eval runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PACKAGES = ("graders", "rewards", "rft_loop")
SHOWN = 50  # remarks of a kind; all are in not-carried.json


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help="An OpenAI fine-tuning job, eval or request to run a grader (.json), the output items of an eval "
            "run (.json, .jsonl), or a Promptfoo config (.yaml, .json)."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the graders, rows and not-carried.json.")],
    judge: Annotated[str, typer.Option(help="Model of graders for which the source names none.")] = "",
) -> None:
    """Turn OpenAI's jobs, evals and eval runs, or a Promptfoo config, into graders and rows; what is lost is listed."""
    from graders.convert import convert as read

    if out.name in PACKAGES:
        raise ValueError(
            f"a folder called {out.name!r} would hide ours from scripts beside it; choose another name for --out"
        )
    converted = read(source, judge)
    written = converted.write(out)
    typer.echo(f"{source} is {converted.source}")
    for path in written:
        typer.echo(f"wrote {path}")
    for title, remarks in (("not carried", converted.not_carried), ("differs", converted.differs)):
        for remark in remarks[:SHOWN]:
            typer.echo(f"{title}: {remark}")
        if len(remarks) > SHOWN:
            typer.echo(f"{title}: {len(remarks) - SHOWN:,} more, listed in {written[-1]}")
    rows, graders, lost = len(converted.rows.get("rows", ())), len(converted.graders), len(converted.not_carried)
    found = f"{graders} grader{'s' * (graders != 1)}" if graders or not rows else f"{rows:,} row{'s' * (rows != 1)}"
    typer.echo(f"{found}; {lost} thing{'s' * (lost != 1)} not carried")
