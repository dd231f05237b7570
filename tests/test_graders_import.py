from __future__ import annotations

import subprocess
import sys

HEAVY = [
    "torch",
    "sympy",
    "openai",
    "transformers",
    "numpy",
    "rapidfuzz",
    "yaml",
    "jsonschema",
    "rich",
    "typer",
]


def test_importing_and_loading_graders_pulls_in_nothing_heavy() -> None:
    program = (
        "import sys, graders\n"
        "graders.load({'type': 'rank', 'reference': 'x'})('x')\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
