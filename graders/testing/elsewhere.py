"""The same grader elsewhere: loaded anew, and in processes whose sets and hashes have another order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any, Self

from graders.grader import Grader
from graders.registry import load
from graders.sample import Item, Sample
from graders.template import short
from graders.testing.golden import score_text

SEEDS = ("1", "2")
_ELSEWHERE = """
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # what a grader prints is no answer
for line in sys.stdin:
    task = json.loads(line)
    sys.path[:] = task["path"]
    os.chdir(task["folder"])
    try:
        from graders import load
        grader = load(task["grader"])
        said = [[grade.score, grade.why] for grade in (grader(*pair) for pair in task["pairs"])]
    except Exception as problem:
        said = f"{type(problem).__name__}: {problem}"
    print(json.dumps(said), file=answers, flush=True)
"""


class Elsewhere:
    """Two processes that grade what they are given, until closed. Each starts when it is first needed."""

    def __init__(self) -> None:
        self._started: dict[str, tuple[subprocess.Popen[str], IO[str]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End both processes."""
        for seed in tuple(self._started):
            self._end(seed)

    def grades(self, task: Mapping[str, Any]) -> list[Any]:
        """From each process the score and the reason of every pair, or a text: why it has none."""
        where = {"path": [os.path.abspath(folder) for folder in sys.path], "folder": os.getcwd()}
        line = json.dumps({**task, **where})
        asked = [self._ask(seed, line) for seed in SEEDS]
        return [self._answer(seed, process) for seed, process in zip(SEEDS, asked, strict=True)]

    def _ask(self, seed: str, line: str) -> subprocess.Popen[str]:
        process, _ = self._started.get(seed) or self._start(seed)
        assert process.stdin is not None
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and what it complained of is its answer
        return process

    def _answer(self, seed: str, process: subprocess.Popen[str]) -> Any:
        assert process.stdout is not None
        if answer := process.stdout.readline():
            return json.loads(answer)
        _, complaints = self._started[seed]
        process.wait()
        complaints.seek(0)
        said = complaints.read().strip().splitlines() or [f"it ended with code {process.returncode}"]
        self._end(seed)
        return said[-1]

    def _start(self, seed: str) -> tuple[subprocess.Popen[str], IO[str]]:
        complaints = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - a pipe could fill up unread
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _ELSEWHERE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, "PYTHONHASHSEED": seed},
            text=True,
        )
        self._started[seed] = process, complaints
        return self._started[seed]

    def _end(self, seed: str) -> None:
        process, complaints = self._started.pop(seed)
        process.kill()
        process.communicate()
        complaints.close()


def loaded_again(grader: Grader) -> Grader | None:
    """The grader from its own definition; None for one typed into a session, which no file holds."""
    try:
        return load(grader.to_wire())
    except (ValueError, LookupError, FileNotFoundError):
        return None


def differs_elsewhere(
    grader: Grader, samples: list[Sample], items: list[Item], elsewhere: Elsewhere, most: int = 50
) -> str:
    """Grade in two processes whose sets and hashes have another order; what came out otherwise, else ""."""
    if grader.waits:
        return ""
    pairs = [(sample, items[number % len(items)]) for number, sample in enumerate(samples[:most])]
    pairs += [(sample, item) for sample in samples[:5] for item in items[:5]]
    here: list[Any] = [[grade.score, grade.why] for grade in (grader(*pair) for pair in pairs)]
    task = {"grader": grader.to_wire(), "pairs": [(asdict(sample), item) for sample, item in pairs]}
    for grades in elsewhere.grades(task):
        if isinstance(grades, str):
            return f"in another process it does not load: {grades}"
        for (sample, _), mine, there in zip(pairs, here, grades, strict=True):
            if mine != there:
                shown = [f"{score_text(score)} ({short(why, 160)[1:-1]})" for score, why in (mine, there)]
                return f"the output {short(sample.output_text, 200)} is {shown[0]}; in another process {shown[1]}"
    return ""
