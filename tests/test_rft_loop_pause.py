"""Pausing: a real process, really asked to stop, goes on as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from pyarrow import parquet

from rft_loop.commands.pause import pause as pause_command
from rft_loop.loop import train
from rft_loop.pause import AtOnce, Pause
from rft_loop.recipe import load_recipe
from rft_loop.watching.record import Run, create_run, read_events

ROOT = Path(__file__).parent.parent
LETTERS = ROOT / "examples" / "letters"
SETTINGS = (
    "warm_start.steps=60", "warm_start.batch_size=8", "steps=12", "items_per_step=4", "group_size=4", "eval_every=3",
    "save_every=100", "keep_checkpoints=1", "grader_concurrency=1",
)  # fmt: skip

# While the gate's file names the split of an item, its grading waits there.
JUDGE = """
import os, time
GATE = os.environ["ASSAY_TEST_GATE"]
def judge(sample, item):
    split = "validation" if item.get("held_out") else "train"
    while sample.output_text and os.path.exists(GATE) and open(GATE).read() == split:
        open(GATE + ".reached", "w").close()
        time.sleep(0.01)
    return float(sample.output_text[:1] == item["last"])
"""


class Runs:
    """Runs of one recipe in a folder, with a gate at which their grading can be held."""

    def __init__(self, folder: Path, forked: Any) -> None:
        self.folder, self.gate, self.forked = folder, folder / "gate", forked
        self.started: list[Any] = []
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "ASSAY_TEST_GATE": str(self.gate)}
        (folder / "judge.py").write_text(JUDGE)
        rows = [json.loads(line) for line in (LETTERS / "train.jsonl").read_text().splitlines()]
        held_out = [json.loads(line) for line in (LETTERS / "validation.jsonl").read_text().splitlines()[:12]]
        answered = [
            {**row, "messages": [*row["messages"], {"role": "assistant", "content": row["last"]}]} for row in rows[:20]
        ]
        self.write("train", rows)
        self.write("validation", [{**row, "held_out": True} for row in held_out])
        self.write("warm", answered)

    def write(self, name: str, rows: list[dict[str, Any]]) -> None:
        (self.folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def settings(self, name: str) -> list[str]:
        files = {"train": "train", "validation": "validation", "warm_start.data": "warm"}
        settings = [*SETTINGS, f"runs={self.folder}", f"name={name}", f"grader={self.folder / 'judge.py'}:judge"]
        return [*settings, *(f"{key}={self.folder / file}.jsonl" for key, file in files.items())]

    def begin(self, name: str) -> list[str]:
        settings = self.settings(name)
        return ["train", str(LETTERS / "recipe.yaml"), *(word for setting in settings for word in ("-s", setting))]

    def go_on(self, name: str, *more: str) -> list[str]:
        return ["train", "--resume", str(self.folder / name), *more]

    def start(self, arguments: list[str]) -> Any:
        process = self.forked("assay", *arguments, env=self.environment)
        self.started.append(process)
        return process

    def wait(self, process: Any, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 300
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"ended before it was asked to: {process.communicate()}")
            time.sleep(0.002)

    def hold(self, process: Any, split: str) -> None:
        """Wait until grades of the split are held at the gate."""
        self.wait(process, (self.folder / "gate.reached").exists)
        assert self.gate.read_text() == split

    def close(self, split: str) -> None:
        (self.folder / "gate.reached").unlink(missing_ok=True)
        self.gate.write_text(split)

    def open(self) -> None:
        self.gate.unlink()


@pytest.fixture
def runs(tmp_path: Path, forked: Any) -> Iterator[Runs]:
    made = Runs(tmp_path, forked)
    yield made
    for process in made.started:
        process.kill()
        process.communicate()


def ended(process: Any, code: int) -> str:
    done: subprocess.CompletedProcess[str] = process.done()
    assert done.returncode == code, done
    return done.stderr


def test_a_run_paused_in_every_phase_and_killed_between_equals_an_unbroken_one(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, broken = runs.folder / "whole", runs.folder / "broken"
    monkeypatch.setenv("ASSAY_TEST_GATE", str(runs.gate))
    recipe = load_recipe(LETTERS / "recipe.yaml", runs.settings("whole"))
    train(recipe, create_run(recipe))

    def last(kind: str) -> dict[str, Any]:
        return next(event for event in reversed(read_events(broken)) if event["event"] == kind)

    # SIGUSR1 in the warm start: the step ends, and is saved.
    process = runs.start(runs.begin("broken"))
    runs.wait(process, lambda: any(event["event"] == "warm_start" for event in read_events(broken)))
    process.send_signal(signal.SIGUSR1)
    complaint = ended(process, 5)
    assert f"assay train --resume {broken}" in complaint
    assert last("pause")["phase"] == "warm_start"
    assert last("checkpoint")["step"] == last("pause")["step"] == last("warm_start")["step"]

    # SIGTERM in the first validation, which does not end within the grace: at once, after the warm start.
    runs.close("validation")
    process = runs.start(runs.go_on("broken", "--grace", "0.2"))
    runs.hold(process, "validation")
    process.send_signal(signal.SIGTERM)
    ended(process, 5)
    assert (last("pause")["phase"], last("pause")["step"]) == ("step", 0)
    assert not any(event["event"] == "validation" for event in read_events(broken))
    runs.open()

    # SIGTERM in the middle of a step: it ends, and is saved between two of save_every.
    runs.close("train")
    process = runs.start(runs.go_on("broken"))
    runs.hold(process, "train")
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    runs.open()
    ended(process, 5)
    assert last("pause")["step"] == last("checkpoint")["step"] == 1

    # kill -9 in a step, then Ctrl-C twice in the same one: nothing of it stays, and what came before it does.
    runs.close("train")
    process = runs.start(runs.go_on("broken"))
    runs.hold(process, "train")
    process.kill()
    process.communicate()
    runs.close("train")
    process = runs.start(runs.go_on("broken"))
    runs.hold(process, "train")
    process.send_signal(signal.SIGINT)
    time.sleep(1.2)
    process.send_signal(signal.SIGINT)
    ended(process, 130)
    assert last("pause")["step"] == 1
    runs.open()

    # assay pause, asked in the validation of step 3, from elsewhere.
    runs.close("train")
    process = runs.start(runs.go_on("broken"))
    runs.hold(process, "train")
    runs.close("validation")
    runs.hold(process, "validation")
    asking = Thread(target=pause_command, args=(broken, True))
    asking.start()
    runs.wait(process, (broken / "pause").exists)
    runs.open()
    ended(process, 5)
    asking.join(300)
    assert last("pause")["step"] == 3
    assert f"paused at 3. Go on with: assay train --resume {broken}" in capsys.readouterr().out

    ended(runs.start(runs.go_on("broken")), 0)
    assert_same(whole, broken)


def assert_same(one: Path, other: Path) -> None:
    for name in ("model.safetensors", "optimizer.safetensors"):
        first, second = (folder / "checkpoints" / "step-12" / name for folder in (one, other))
        assert first.read_bytes() == second.read_bytes(), name
    assert record(one) == record(other)
    assert {path.name for path in (one / "checkpoints").iterdir()} == {
        path.name for path in (other / "checkpoints").iterdir()
    }
    for part in sorted((one / "samples").glob("*.parquet")):
        first, second = (parquet.read_table(folder / "samples" / part.name) for folder in (one, other))
        assert first.drop_columns("grade").equals(second.drop_columns("grade")), part.name


def record(folder: Path) -> list[dict[str, Any]]:
    """What happened, without what tells when or how fast."""
    timed = ("time", "timing_s", "step_time", "tokens_per_second")
    kinds = ("warm_start", "step", "validation", "advice")
    return [
        {key: value for key, value in event.items() if not key.startswith(timed)}
        for event in read_events(folder)
        if event["event"] in kinds
    ]


def test_a_run_that_nobody_trains_cannot_be_paused(tmp_path: Path, forked: Any) -> None:
    (tmp_path / "recipe.json").write_text(
        json.dumps({"model": "m", "train": "a", "validation": "b", "grader": "g", "name": "n"})
    )
    done = forked("assay", "pause", tmp_path).done()
    assert done.returncode == 2
    assert "nothing to pause" in done.stderr


def test_a_request_that_came_too_late_does_not_pause_the_next_process(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.pause_file.touch()
    assert Pause(run.pause_file).asked() == "assay pause"
    with run.only_writer():
        assert Pause(run.pause_file).asked() is None
        assert run.is_written()
    assert not run.is_written()


def test_a_first_signal_before_training_has_nothing_to_wait_for(tmp_path: Path) -> None:
    pause = Pause(tmp_path / "pause")
    with pause.signals(), pytest.raises(AtOnce):
        signal.raise_signal(signal.SIGTERM)
    assert (pause.reason, pause.exit_code) == ("SIGTERM", 5)


def test_what_is_held_is_done_whole_before_it_ends_at_once(tmp_path: Path) -> None:
    pause, done = Pause(tmp_path / "pause", grace=0.05), []

    def step() -> None:
        signal.raise_signal(signal.SIGTERM)
        with pause.held(), pause.held():
            deadline = time.monotonic() + 30
            while not pause.due and time.monotonic() < deadline:
                time.sleep(0.01)
            done.append("whole")
        done.append("never")

    with pause.signals(), pause.training(), pytest.raises(AtOnce):
        step()
    assert done == ["whole"]


def test_two_signals_of_one_moment_are_one(tmp_path: Path) -> None:
    pause = Pause(tmp_path / "pause")
    with pause.signals(), pause.training():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)
    assert (pause.reason, pause.exit_code) == ("Ctrl-C", 130)


FORK = """
import os, signal, time
from pathlib import Path
from rft_loop.pause import Pause
before = signal.getsignal(signal.SIGTERM)
with Pause(Path("pause")).signals():
    child = os.fork()
    while not child:
        time.sleep(1)
    time.sleep(0.1)
    os.kill(child, signal.SIGTERM)
    _, status = os.waitpid(child, 0)
print(os.WTERMSIG(status) == signal.SIGTERM, signal.getsignal(signal.SIGTERM) is before)
"""


def test_handlers_are_given_back_and_a_forked_child_can_be_ended() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True"]
