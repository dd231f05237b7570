"""Run by `Forked` of conftest.py in a process forked from one that has imported torch: becomes a command of ours.

Given as globals: `argv`, the name `assay` or a script's path with its arguments; `environment`; `folder`; `told`, the
files of the two outputs.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any


def become(argv: list[str], environment: dict[str, str], folder: str, told: list[str]) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(told, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = list(argv)
    if argv[0] == "assay":
        from rft_loop.cli import main

        main()
    else:
        sys.path.insert(0, str(Path(argv[0]).parent))
        runpy.run_path(argv[0], run_name="__main__")


if "argv" in globals():
    given: dict[str, Any] = globals()
    become(given["argv"], given["environment"], given["folder"], given["told"])
