"""A training process, really killed, goes on from what it had saved."""

from __future__ import annotations

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from rft_loop.watching.record import read_events

LETTERS = Path(__file__).parent.parent / "examples" / "letters"
KILLED = ("steps=12", "items_per_step=4", "group_size=4", "eval_every=3", "save_every=3")


def train_command(runs: Path, name: str, warm: Path) -> list[object]:
    settings = [f"runs={runs}", f"name={name}", f"warm_start.data={warm}", "warm_start.steps=9", *KILLED]
    return ["assay", "train", LETTERS / "recipe.yaml", *(word for setting in settings for word in ("-s", setting))]


def kill_when(process: Any, run: Path, ready: Callable[[list[dict[str, Any]]], bool]) -> None:
    deadline = time.monotonic() + 120
    while not ready(read_events(run)):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"ended before it could be killed: {process.communicate()}")
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_run_killed_with_9_again_and_again_ends_with_the_weights_of_an_unbroken_one(
    tmp_path: Path, forked: Any
) -> None:
    warm = tmp_path / "warm.jsonl"
    with warm.open("w") as file:
        for line in (LETTERS / "train.jsonl").read_text().splitlines()[:40]:
            row = json.loads(line)
            row["messages"].append({"role": "assistant", "content": row["last"]})
            file.write(json.dumps(row) + "\n")
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    done = forked(*train_command(tmp_path, "unbroken", warm)).done()
    assert done.returncode == 0, done.stderr

    def reached(kind: str, step: int) -> Callable[[list[dict[str, Any]]], bool]:
        return lambda events: any(event["event"] == kind and event["step"] >= step for event in events)

    def resumed() -> Any:
        return forked("assay", "train", "--resume", broken)

    kill_when(forked(*train_command(tmp_path, "broken", warm)), broken, reached("warm_start", 5))
    kill_when(resumed(), broken, reached("step", random.randint(1, 5)))
    kill_when(
        resumed(), broken, lambda events: any((broken / "checkpoints").glob(".*.partial")) or reached("step", 8)(events)
    )
    kill_when(resumed(), broken, reached("checkpoint", 9))
    done = resumed().done()
    assert done.returncode == 0, done.stderr

    weights = "checkpoints/step-12/model.safetensors"
    assert (broken / weights).read_bytes() == (unbroken / weights).read_bytes()
    optimiser = "checkpoints/step-12/optimizer.safetensors"
    assert (broken / optimiser).read_bytes() == (unbroken / optimiser).read_bytes()
    for folder in (unbroken, broken):
        steps = Counter(event["step"] for event in read_events(folder) if event["event"] == "step")
        assert steps == dict.fromkeys(range(1, 13), 1), "each step stands once in the record"
    for part in sorted((unbroken / "samples").iterdir()):
        one, other = (
            parquet.read_table(part.parent.parent.parent / name / "samples" / part.name)
            for name in ("unbroken", "broken")
        )
        for column in ("output_text", "score", "reward", "advantage", "token_ids", "logprobs"):
            assert one.column(column).equals(other.column(column)), (part.name, column)
    assert sorted(p.name for p in (unbroken / "samples").iterdir()) == sorted(
        p.name for p in (broken / "samples").iterdir()
    )
