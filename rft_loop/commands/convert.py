"""`assay convert`: graders out of OpenAI's jobs and evals, and out of Promptfoo's configs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PACKAGES = ("graders", "rewards", "rft_loop")


def convert(
    source: Annotated[
        Path,
        typer.Argument(help="An OpenAI fine-tuning job or eval (.json), or a Promptfoo config (.yaml, .json)."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the graders, rows and not-carried.json.")],
    judge: Annotated[str, typer.Option(help="Model of graders for which the source names none.")] = "",
) -> None:
    """Turn OpenAI's jobs and evals, or a Promptfoo config, into graders; what cannot be carried is listed."""
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
        for remark in remarks:
            typer.echo(f"{title}: {remark}")
    graders, lost = len(converted.graders), len(converted.not_carried)
    typer.echo(f"{graders} grader{'s' * (graders != 1)}; {lost} thing{'s' * (lost != 1)} not carried")
