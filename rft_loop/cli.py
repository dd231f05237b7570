"""The command line of `assay`. Each command is a file in `rft_loop/commands`."""

from __future__ import annotations

import errno
import os
import sys

import typer

from rft_loop.commands.calibrate import calibrate
from rft_loop.commands.check import check
from rft_loop.commands.compare import compare
from rft_loop.commands.convert import convert
from rft_loop.commands.doctor import doctor
from rft_loop.commands.evaluate import evaluate
from rft_loop.commands.export import export
from rft_loop.commands.grade import grade
from rft_loop.commands.graders import graders
from rft_loop.commands.options import STOPPED, tell_launcher
from rft_loop.commands.pause import pause
from rft_loop.commands.report import report
from rft_loop.commands.train import train

TRAIN_EXTRA = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "gguf", "pyarrow")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Write a grader once; use it as a test, as a metric, and as the reward that trains a model.",
)
app.command()(grade)
app.command()(compare)
app.command()(check)
app.command()(calibrate)
app.command()(graders)
app.command()(train)
app.command()(pause)
app.command("eval")(evaluate)
app.command()(report)
app.command()(export)
app.command()(convert)
app.command()(doctor)


def main() -> None:
    """The console script. What a user can mend ends in one line on stderr and exit code 2, not in a traceback."""
    from graders.grade import GradingStopped

    try:
        app()
    except GradingStopped as problem:
        _fail(str(problem), STOPPED)
    except (ValueError, FileExistsError, FileNotFoundError, IsADirectoryError, PermissionError) as problem:
        if os.environ.get("ASSAY_DEBUG"):
            raise
        _fail(str(problem))
    except LookupError as problem:
        if type(problem) is not LookupError:  # a KeyError or IndexError is ours to mend
            raise
        _fail(str(problem))
    except ModuleNotFoundError as problem:
        if problem.name not in TRAIN_EXTRA:
            raise
        _fail(f"{problem.name} is not installed; pip install 'assay[train]' brings what training needs")
    except OSError as problem:
        if problem.errno != errno.ENOSPC:
            raise
        where = f" while writing {problem.filename}" if problem.filename else ""
        _fail(
            f"the disk is full{where}. What was recorded is kept: free some space, then start the same command again "
            "(assay train: with --resume and the run's folder)"
        )


def _fail(message: str, code: int = 2) -> None:
    typer.echo(f"assay: {message}", err=True)
    tell_launcher(message)
    sys.exit(code)


if __name__ == "__main__":  # as torchrun starts it: -m rft_loop.cli
    main()
