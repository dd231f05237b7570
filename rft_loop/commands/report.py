"""`assay report`: a run's page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(help="The folder of a run.")]) -> None:
    """Write a run's report.html: one file, no network."""
    from rft_loop.display.report import write_report

    typer.echo(write_report(run))
