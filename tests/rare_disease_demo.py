"""The demo of examples/rare_disease, whose `assay train` and `assay eval` are forked from this process.

Each of them is the command that the demo prints, without the seconds that importing torch takes. Takes its arguments.
Of the data that the demo makes every fifth row is kept, so that the test is short; the manifest stays as it was.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

from rft_loop.cli import main

DEMO = Path(__file__).parent.parent / "examples" / "rare_disease" / "demo.py"
start = subprocess.run


def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    if Path(words[0]).name != "assay" or words[1] not in ("train", "eval"):
        done = start(words, **options)
        if "--out" in words and Path(words[1]).name == "make_rare_disease.py":
            thin(Path(words[words.index("--out") + 1]))
        return done
    sys.stdout.flush()
    child = os.fork()
    if not child:
        become(words)
    return subprocess.CompletedProcess(words, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def thin(data: Path) -> None:
    for file in data.glob("*.jsonl"):
        file.write_text("".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[::5]), encoding="utf-8")


def become(words: list[str]) -> None:
    sys.argv = words
    code: Any = 1
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    subprocess.run = run  # type: ignore[assignment]
    runpy.run_path(str(DEMO), run_name="__main__")
