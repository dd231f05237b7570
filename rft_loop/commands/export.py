"""`assay export`: a run's model for everybody else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="A new folder for the model.")],
    step: Annotated[int | None, typer.Option(help="The checkpoint of this step; default: the best one.")] = None,
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Of a run with lora: the adapter alone, as peft writes it.")
    ] = False,
) -> None:
    """Write a run's best weights as a folder that transformers loads, with a model card; an adapter is merged."""
    from rft_loop.watching.record import open_run

    if adapter and open_run(run)[1].lora is None:
        raise ValueError(f"{run} trained all weights (its recipe has no lora); export it without --adapter")
    if out.exists():
        raise FileExistsError(f"{out} is there already; give a folder that is not")
    from rft_loop.model.export import export as write
    from rft_loop.model.export import said_of

    write(run, out, step, adapter)
    for line in said_of(run, out, step, adapter):
        typer.echo(line)
