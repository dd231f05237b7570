"""How a run begins, is begun again, and what is refused before it: signals, resumes, files that are there already."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LETTERS = Path(__file__).parent.parent / "examples" / "letters"
SMALL = ("steps=4", "items_per_step=4", "group_size=4", "eval_every=2", "save_every=2", "warmup_steps=0")
ANSWERS = 'supervised.answers="{{item.last}}"'
Command = Callable[..., subprocess.CompletedProcess[str]]


def settings(folder: Path, name: str, *more: str) -> list[str]:
    given = (f"runs={folder}", f"name={name}", *SMALL, *more)
    return [str(LETTERS / "recipe.yaml"), *(word for setting in given for word in ("-s", setting))]


@pytest.fixture(scope="module")
def run(assay: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    done = assay("train", *settings(folder, "run", "lora.rank=4", "learning_rate=1e-2", ANSWERS))
    assert done.returncode == 0, done.stderr
    assert "parameters trained (LoRA rank 4, alpha 32)" in done.stdout
    return folder / "run"


# Signals


def signalled(number: int, folder: Path, *arguments: str, within: float = 0.5) -> subprocess.CompletedProcess[str]:
    """Start the command from nothing, and send a signal so soon after it took the folder: in the imports of torch."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rft_loop.cli", "train", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (folder / "lock").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(random.random() * within)
    process.send_signal(number)
    out, told = process.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, process.returncode, out, told)


@pytest.mark.parametrize(("number", "name", "code"), [("SIGTERM", "SIGTERM", 5), ("SIGINT", "Ctrl-C", 130)])
def test_a_signal_while_a_run_starts_is_a_pause_that_leaves_nothing(
    tmp_path: Path, number: str, name: str, code: int
) -> None:
    done = signalled(signal.Signals[number], tmp_path / "run", *settings(tmp_path, "run"))
    assert done.stderr == f"assay: stopped at once ({name}). Nothing was begun: start it anew\n"
    assert (done.returncode, done.stdout) == (code, "")
    assert not (tmp_path / "run").exists()


def test_a_signal_while_a_resumed_run_starts_leaves_it_as_it_was(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "summary.json").unlink()
    (copy / "lock").unlink()
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    done = signalled(signal.SIGUSR1, copy, "--resume", str(copy), within=0.1)  # it has little left to do
    assert done.stderr == f"assay: stopped at once (SIGUSR1). Go on with: assay train --resume {copy}\n"
    assert done.returncode == 5
    after = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.name != "lock"}
    assert after == before


@pytest.mark.skipif(sys.platform != "linux", reason="ranks are forked with their places")
def test_a_pause_of_two_ranks_ends_both_with_0(forked: Any, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    words = settings(tmp_path, "run", "steps=100000", "eval_every=100000")
    ranks = [forked("assay", "train", *words, env={**world, "RANK": str(rank)}) for rank in range(2)]
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "checkpoints" / "step-2").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    (tmp_path / "run" / "pause").touch()
    ended = [rank.done() for rank in ranks]
    assert [done.returncode for done in ended] == [0, 0], ended
    last = json.loads((tmp_path / "run" / "events.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "pause"
    assert not (tmp_path / "run" / "summary.json").exists()


def test_a_launcher_is_told_what_went_wrong(forked: Any, tmp_path: Path) -> None:
    told = tmp_path / "error.json"
    done = forked("assay", "train", "nowhere.yaml", env={**os.environ, "TORCHELASTIC_ERROR_FILE": str(told)}).done()
    assert done.returncode == 2
    assert json.loads(told.read_text())["message"] == "assay: no recipe 'nowhere.yaml'"


# Resumes


def test_steps_without_a_checkpoint_are_not_begun_again_without_a_word(
    assay: Command, run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    shutil.rmtree(copy / "checkpoints")
    done = assay("train", "--resume", copy)
    assert done.returncode == 2
    assert f"{copy} has 4 recorded steps and no checkpoint; start a new run with -s name=..." in done.stderr
    start = (copy / "events.jsonl").read_text().splitlines()[0]
    (copy / "events.jsonl").write_text(start + "\n")
    (copy / "summary.json").unlink()
    done = assay("train", "--resume", copy)
    assert done.returncode == 0, done.stderr
    assert "broken off before its first checkpoint, so it begins again" in done.stderr


def test_a_finished_run_says_so_and_other_steps_are_another_run(assay: Command, run: Path) -> None:
    done = assay("train", "--resume", run)
    assert done.returncode == 0
    assert f"{run} is finished (4 of 4 steps); nothing to do\n" in done.stdout
    done = assay("train", "--resume", run, "-s", "steps=9")
    assert done.returncode == 2
    assert f"or begin from its weights with -s model={run}/checkpoints/step-4" in done.stderr


def test_a_comparison_that_goes_on_is_on_the_items_it_began_with(assay: Command, run: Path, tmp_path: Path) -> None:
    copy, data, same = tmp_path / "run", tmp_path / "test.jsonl", tmp_path / "same.jsonl"
    shutil.copytree(run, copy)
    shutil.copy(LETTERS / "validation.jsonl", same)
    data.write_text("".join((LETTERS / "train.jsonl").read_text().splitlines(keepends=True)[:8]))
    stored = json.loads((copy / "recipe.json").read_text()) | {"runs": str(tmp_path)}
    (copy / "recipe.json").write_text(json.dumps(stored))

    def compared(*more: object) -> tuple[int, str]:
        done = assay("train", "--resume", copy, "--against", "supervised", *more)
        assert done.returncode == 0, done.stderr
        return len((copy / "against" / "supervised.jsonl").read_text().splitlines()), done.stdout

    count, said = compared("--data", data)
    assert (count, "both checkpoints were chosen by" in said) == (8, False)
    assert compared()[0] == 8
    data.write_text("")
    changed = assay("train", "--resume", copy, "--against", "supervised")
    assert changed.returncode == 2
    assert f"was to be compared on {data}, which has changed or gone" in changed.stderr
    assert "both checkpoints were chosen by" in compared("--data", same)[1]


# What is refused first


PART = {"type": "string_check", "name": "a", "input": "{{sample.output_text}}", "reference": "b", "operation": "eq"}
BELOW_0 = {"type": "multi", "name": "low", "graders": {"a": PART}, "calculate_output": "a - 1"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("export", "RUN", "-o", "there"), "there is there already"),
        (("eval", "RUN", "--data", LETTERS / "train.jsonl", "-o", "no/where.jsonl"), "no folder 'no'"),
        (("eval", "RUN", "--data", LETTERS / "train.jsonl", "-o", "kept.jsonl"), "or give --overwrite"),
        (("train", LETTERS / "recipe.yaml", "--against", "supervised"), "needs the answers to learn"),
        (("train", LETTERS / "recipe.yaml", "-s", "best_by=styel"), "best_by=styel: no figure"),
        (
            ("train", LETTERS / "recipe.yaml", "-s", "advantage=maxrl", "-s", "grader=low.json"),
            "its scores begin at -1",
        ),
    ],
)
def test_a_mistake_is_told_before_torch_is_imported(
    run: Path, tmp_path: Path, arguments: tuple[object, ...], complaint: str
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "kept.jsonl").write_text("kept")
    (tmp_path / "low.json").write_text(json.dumps(BELOW_0))
    words = [str(run) if word == "RUN" else str(word) for word in arguments]
    told = (
        f"import sys; sys.argv = ['assay', *{words!r}]\nfrom rft_loop.cli import main\n"
        "try:\n    main()\nfinally:\n    print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2, done.stderr
    assert complaint in done.stderr
    assert done.stdout == "False\n"
    assert (tmp_path / "kept.jsonl").read_text() == "kept"
    assert not (tmp_path / "runs").exists()


def test_eval_overwrites_where_it_is_told_to(assay: Command, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "kept.jsonl"
    out.write_text("kept")
    done = assay("eval", run, "--data", LETTERS / "validation.jsonl", "-o", out, "--overwrite")
    assert done.returncode == 0, done.stderr
    assert len(out.read_text().splitlines()) == 56
