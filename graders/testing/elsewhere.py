"""The same grader elsewhere: loaded anew, and in processes whose sets and hashes have another order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from graders.grader import Grader
from graders.registry import load
from graders.sample import Item, Sample
from graders.template import short
from graders.testing.golden import score_text

_ELSEWHERE = """
import json, sys
task = json.load(sys.stdin)
sys.path[:] = task["path"]
from graders import load
grader = load(task["grader"])
print()
print(json.dumps([[grade.score, grade.why] for grade in (grader(*pair) for pair in task["pairs"])]))
"""


def loaded_again(grader: Grader) -> Grader | None:
    """The grader from its own definition; None for one typed into a session, which no file holds."""
    try:
        return load(grader.to_wire())
    except (ValueError, LookupError, FileNotFoundError):
        return None


def differs_elsewhere(grader: Grader, samples: list[Sample], items: list[Item], most: int = 50) -> str:
    """Grade in two processes whose sets and hashes have another order; what came out otherwise, else ""."""
    if grader.waits:
        return ""
    pairs = [(sample, items[number % len(items)]) for number, sample in enumerate(samples[:most])]
    pairs += [(sample, item) for sample in samples[:5] for item in items[:5]]
    task = {
        "path": [os.path.abspath(folder) for folder in sys.path],
        "grader": grader.to_wire(),
        "pairs": [(asdict(sample), item) for sample, item in pairs],
    }
    here: list[Any] = [[grade.score, grade.why] for grade in (grader(*pair) for pair in pairs)]
    processes = [_started(task, seed) for seed in ("1", "2")]
    for process, (said, complaint) in [(process, process.communicate()) for process in processes]:
        if process.returncode:
            return f"in another process it does not load: {(complaint.strip().splitlines() or ['no reason'])[-1]}"
        for (sample, _), mine, there in zip(pairs, here, json.loads(said.splitlines()[-1]), strict=True):
            if mine != there:
                shown = [f"{score_text(score)} ({short(why, 160)[1:-1]})" for score, why in (mine, there)]
                return f"the output {short(sample.output_text, 200)} is {shown[0]}; in another process {shown[1]}"
    return ""


def _started(task: Mapping[str, Any], seed: str) -> subprocess.Popen[str]:
    with tempfile.TemporaryFile("w+") as given:  # a pipe would keep the other process waiting
        json.dump(task, given)
        given.seek(0)
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _ELSEWHERE],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": seed},
            text=True,
        )
