"""`assay pause`: let a run that another terminal started save itself and end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer


def pause(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run that is being trained.")],
    wait: Annotated[bool, typer.Option(help="Wait until the run has ended.")] = True,
) -> None:
    """Ask a run to end after the step under way and to save itself; `assay train --resume RUN` goes on."""
    from rft_loop.watching.record import open_run, read_events

    run, _ = open_run(folder)
    if not run.is_written():
        raise ValueError(f"{folder}: no process is writing to this run, so there is nothing to pause")
    run.pause_file.touch()
    typer.echo("asked; the run ends after the step under way")
    while wait and run.is_written():
        time.sleep(0.2)
    if wait:
        last = next((event for event in reversed(read_events(folder)) if event["event"] in ENDS), {"event": ""})
        typer.echo(ENDS.get(last["event"], "the run has ended").format(**last, folder=folder))


ENDS = {
    "pause": "paused at {step}. Go on with: assay train --resume {folder}",
    "stop": "the run had stopped itself at step {step}: {reason}",
    "end": "the run was at its end",
}
