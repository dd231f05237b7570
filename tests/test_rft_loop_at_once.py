"""Stopped at once by a second signal: the run says where it stands, and nothing that was finished is lost."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from rft_loop.loop import train
from rft_loop.model.checkpoint import all_checkpoints, sha256
from rft_loop.pause import AtOnce, Pause, PausedError
from rft_loop.recipe import Recipe, recipe_from
from rft_loop.training import last_advised
from rft_loop.watching.record import Run, read_events

LETTERS = Path(__file__).parent.parent / "examples" / "letters"
SMALL = ("steps=4", "items_per_step=4", "group_size=4", "eval_every=4", "save_every=100", "keep_checkpoints=1")
Start = Callable[..., tuple[Recipe, Run]]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def start(start: Start) -> Start:
    return partial(start, *SMALL)


def of_kind(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(run.folder) if event["event"] == kind]


@contextmanager
def stopped_in_update(run: Run, step: int) -> Iterator[tuple[Pause, Callable[[dict[str, Any]], None]]]:
    """A pause whose second signal comes while the step's update is held, and the view that sees to it."""
    pause = Pause(run.pause_file, grace=0.0)

    def view(event: dict[str, Any]) -> None:
        if (event["event"], event.get("step")) == ("step", step):
            signal.raise_signal(signal.SIGTERM)
            deadline = time.monotonic() + 30
            while not pause.due and time.monotonic() < deadline:
                time.sleep(0.001)

    with pause.signals():
        yield pause, view


@pytest.mark.parametrize("shard", ["false", "true"])
def test_a_second_signal_in_an_update_pauses_after_it_and_keeps_its_step(start: Start, shard: str) -> None:
    recipe, whole = start(f"shard={shard}", name="whole")
    train(recipe, whole)
    recipe, run = start(f"shard={shard}")
    with stopped_in_update(run, 2) as (pause, view), pytest.raises(PausedError) as told:
        train(recipe, run, view, pause)
    assert str(told.value) == "paused after step 2 (SIGTERM)"
    assert all_checkpoints(run.checkpoints)[-1].name == "step-2"
    (event,) = of_kind(run, "pause")
    assert (event["phase"], event["step"], event["checkpoint"]) == ("step", 2, "step-2")
    train(recipe, run)
    weights = "step-4/model.safetensors"
    assert sha256(run.checkpoints / weights) == sha256(whole.checkpoints / weights)


def test_a_second_signal_while_the_run_saves_itself_changes_nothing(start: Start) -> None:
    recipe, run = start()
    pause = Pause(run.pause_file, grace=0.0)

    def view(event: dict[str, Any]) -> None:
        if event["event"] == "step":
            run.pause_file.touch()
        if event["event"] == "checkpoint" and event["step"] == 1:
            for _ in range(2):
                signal.raise_signal(signal.SIGTERM)
            assert pause.due

    with pause.signals(), pytest.raises(PausedError, match="after step 1"):
        train(recipe, run, view, pause)
    assert len(of_kind(run, "pause")) == 1


def test_what_was_due_has_been_done_once_it_was_raised(tmp_path: Path) -> None:
    pause = Pause(tmp_path / "pause")
    with pytest.raises(AtOnce), pause.held():
        pause.due = True
    with pause.held():
        pass


def test_a_pause_without_a_reason_has_no_bracket(start: Start) -> None:
    recipe, run = start()

    def view(event: dict[str, Any]) -> None:
        if event["event"] == "validation":
            raise AtOnce

    with pytest.raises(PausedError) as told:
        train(recipe, run, view)
    assert str(told.value) == "paused after step 0"


def test_advice_that_a_stop_came_before_is_given_after_the_resume(start: Start) -> None:
    recipe, whole = start("max_new_tokens=1", name="whole")
    train(recipe, whole)
    wanted = [(event["step"], event["name"]) for event in of_kind(whole, "advice")]
    assert any(step == 1 for step, _ in wanted)
    recipe, run = start("max_new_tokens=1")
    with stopped_in_update(run, 1) as (pause, view), pytest.raises(PausedError):
        train(recipe, run, view, pause)
    assert not any(event["step"] == 1 for event in of_kind(run, "advice"))
    train(recipe, run)
    assert [(event["step"], event["name"]) for event in of_kind(run, "advice")] == wanted


def test_the_causes_that_stand_named_are_those_of_the_record_that_have_not_gone() -> None:
    recipe = recipe_from({"model": "m", "train": "t", "validation": "v", "grader": "g", "eval_every": 10}, "test")
    told = [{"event": "advice", "step": 1, "name": "never_ends"}]

    def steps(*clipped: float) -> list[dict[str, Any]]:
        return [
            {"event": "step", "step": n, "completions/clipped_ratio": share} for n, share in enumerate(clipped, start=1)
        ]

    assert last_advised([*steps(1.0), *told], recipe) == {"never_ends"}
    assert last_advised(steps(1.0), recipe) == set(), "the run was stopped before it could say so"
    gone = steps(*[1.0] * 3, *[0.0] * 10)
    assert last_advised([*gone[:9], *told, *gone[9:]], recipe) == set()
    again = steps(*[1.0] * 3, *[0.0] * 7, *[1.0] * 10)
    assert last_advised([*again, *told], recipe) == set(), "it went at step 10, came again, and was not named then"
    assert last_advised([*again, *told, {"event": "advice", "step": 20, "name": "never_ends"}], recipe) == {
        "never_ends"
    }


JUDGE = """
import os, time
GATE = {gate!r}
def judge(sample, item):
    while os.path.exists(GATE):
        open(GATE + ".reached", "w").close()
        time.sleep(0.01)
    return float(sample.output_text[:1] == item["last"])
"""


def test_ranks_that_share_weights_say_which_step_is_saved_when_they_are_stopped_at_once(
    tmp_path: Path, forked: Any
) -> None:
    gate, judge = tmp_path / "gate", tmp_path / "judge.py"
    judge.write_text(JUDGE.format(gate=str(gate)))
    settings = [*SMALL, f"runs={tmp_path}", "name=run", "shard=true", f"grader={judge}:judge", "grader_concurrency=1"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    words = [word for setting in settings for word in ("-s", setting)]
    command = ["assay", "train", LETTERS / "recipe.yaml", *words, "--grace", "0"]
    ranks = [forked(*command, env=world | {"RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in (0, 1)]
    folder = tmp_path / "run"
    try:
        wait(ranks[0], lambda: any(event["event"] == "step" for event in read_events(folder)))
        gate.touch()
        wait(ranks[0], Path(f"{gate}.reached").exists)
        step = max(event["step"] for event in read_events(folder) if event["event"] == "step")
        ranks[0].send_signal(signal.SIGTERM)
        done = ranks[0].done(60)
    finally:
        for rank in ranks:
            rank.kill()
    assert done.returncode == 0, done.stderr  # a launcher takes any other for a failure
    said = f"paused after step {step} (SIGTERM); what came after the checkpoint step-0 is done again"
    assert said in done.stderr
    (pause,) = (event for event in read_events(folder) if event["event"] == "pause")
    assert (pause["step"], pause["checkpoint"]) == (step, "step-0")


def wait(process: Any, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"ended too early: {process.communicate()}")
        time.sleep(0.001)
