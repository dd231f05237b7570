"""A short run of benchmarks/fuzz.py: nothing thrown at graders and parsers crashes them or comes out non-finite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_random_input_always_has_a_typed_outcome() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "fuzz.py"), "--inputs", "4000", "--slow", "60"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].endswith(" inputs, 0 broken")
