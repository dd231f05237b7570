"""Training over several ranks: real processes that meet on the loopback.

Where the launcher matters it is torchrun, as a user starts it. Elsewhere processes are forked with what torchrun tells
them in their environment, which saves each of them the imports.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from safetensors.torch import load_file

from rft_loop.learning.micro_batches import shares
from rft_loop.parallel.ranks import ALONE, Ranks
from rft_loop.sampling.rollout import Rollout
from rft_loop.watching.record import read_events

ROOT = Path(__file__).parent.parent
LETTERS = ROOT / "examples" / "letters"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SMALL = ("steps=6", "items_per_step=5", "group_size=4", "eval_every=2", "save_every=2", "refill=1")
ASSAY = str(Path(sys.executable).with_name("assay"))
Ended = subprocess.CompletedProcess[str]


def torchrun(*arguments: str) -> subprocess.Popen[str]:
    """Two ranks of `assay train`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", ASSAY, "train"]
    return subprocess.Popen(
        [*command, *arguments], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def on_ranks(forked: Any) -> Callable[..., list[Ended]]:
    """Run a command on so many ranks; how each of them ended."""

    def run(count: int, *command: str) -> list[Ended]:
        processes = [forked(*command, env=ENVIRONMENT | place) for place in places(count)]
        return [process.done() for process in processes]

    return run


def places(count: int) -> list[dict[str, str]]:
    """What torchrun tells each process of its place; nothing where there is but one."""
    if count == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    return [{**world, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def assert_well(ended: Sequence[Ended]) -> None:
    assert all(done.returncode == 0 for done in ended), ended


def settings(folder: Path, name: str, *others: str) -> list[str]:
    given = (f"runs={folder}", f"name={name}", *SMALL, *others)
    return [str(LETTERS / "recipe.yaml"), *(word for setting in given for word in ("-s", setting))]


def assert_same_run(one: Path, other: Path, step: int = 6) -> None:
    """The same texts and rewards, and weights and optimiser's state that differ by rounding alone.

    AdamW divides a gradient by its size, so that the rounding of one near 0 moves its weight.
    """
    for file in ("model", "optimizer"):
        found, wanted = (load_file(each / f"checkpoints/step-{step}/{file}.safetensors") for each in (one, other))
        assert found.keys() == wanted.keys()
        assert max(float((found[name] - wanted[name]).abs().max()) for name in found) < 1e-4
    parts = sorted(path.name for path in (one / "samples").iterdir())
    assert parts == sorted(path.name for path in (other / "samples").iterdir())
    for part in parts:
        tables = [parquet.read_table(each / "samples" / part) for each in (one, other)]
        for column in ("item", "token_ids", "output_text", "score", "reward"):
            assert tables[0].column(column).equals(tables[1].column(column)), (part, column)


def until(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"ended too early: {process.communicate()[1]}")
        time.sleep(0.01)


def steps_done(folder: Path) -> int:
    return max((event["step"] for event in read_events(folder) if event["event"] == "step"), default=0)


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A warm start whose batches do not divide by the number of ranks, and a divergence in the loss."""
    file = tmp_path_factory.mktemp("warm") / "warm.jsonl"
    rows = [json.loads(line) for line in (LETTERS / "train.jsonl").read_text().splitlines()[:40]]
    for row in rows:
        row["messages"].append({"role": "assistant", "content": row["last"]})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    spec = (f"warm_start.data={file}", "warm_start.steps=3", "warm_start.batch_size=7")
    return (*spec, "kl.weight=0.1", "advantage=batch")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, warm: tuple[str, ...], on_ranks: Any) -> Path:
    """The run of one process that others are held against."""
    folder = tmp_path_factory.mktemp("alone")
    assert_well(on_ranks(1, "assay", "train", *settings(folder, "run", *warm)))
    return folder / "run"


# The update


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_gradient_of_any_batch_does_not_depend_on_the_number_of_ranks_or_on_sharding(
    ranks: int, on_ranks: Any
) -> None:
    ended = on_ranks(ranks, str(ROOT / "tests" / "ranks_update.py"), "8")
    assert_well(ended)
    gradient, weights, stats = map(float, ended[0].stdout.split())
    assert gradient <= 1e-6
    assert weights <= 1e-6
    assert stats <= 1e-5


ROLLOUTS = st.lists(
    st.builds(
        lambda prompt, answer: Rollout((1,) * prompt, (1,) * answer, (-1.0,) * answer, "stop", ""),
        st.integers(1, 30),
        st.integers(1, 40),
    ),
    max_size=40,
)


@given(ROLLOUTS, st.integers(1, 8))
def test_shares_are_neighbours_that_hold_each_rollout_once_and_none_is_larger_than_its_due(
    rollouts: list[Rollout], count: int
) -> None:
    parts = shares(rollouts, range(len(rollouts)), count)
    assert [place for part in parts for place in part] == list(range(len(rollouts)))
    assert len(parts) == count
    costs = [len(rollout.prompt) + len(rollout.tokens) for rollout in rollouts]
    for part in parts:
        assert sum(costs[place] for place in part[1:-1]) <= sum(costs) / count + max(costs, default=0)


@given(st.lists(st.integers()), st.integers(1, 5))
def test_what_is_dealt_comes_back_in_its_order(cards: list[int], world: int) -> None:
    hands = [Ranks(rank, world).share(cards) for rank in range(world)]
    assert sorted(card for hand in hands for card in hand) == sorted(cards)
    assert [hands[place % world][place // world] for place in range(len(cards))] == cards
    assert ALONE.gather(ALONE.share(cards)) == cards


# Whole runs


def test_a_run_that_torchrun_starts_on_two_ranks_is_the_run_of_one(
    tmp_path: Path, alone: Path, warm: tuple[str, ...]
) -> None:
    process = torchrun(*settings(tmp_path, "run", *warm, "shard=false"))
    said, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    assert_same_run(tmp_path / "run", alone)
    assert said.count("report:") == 1, "one rank speaks"


def test_a_sharded_run_of_two_ranks_is_the_run_of_one(
    tmp_path: Path, alone: Path, warm: tuple[str, ...], on_ranks: Any
) -> None:
    how = ("shard=true", "gradient_checkpointing=true")
    answers = ("-s", 'supervised.answers="{{item.last}}"', "--against", "supervised")
    ended = on_ranks(2, "assay", "train", *settings(tmp_path, "run", *warm, *how), *answers)
    assert_well(ended)
    assert_same_run(tmp_path / "run", alone)
    assert sum(done.stdout.count("report:") for done in ended) == 2, "one rank speaks, of both runs"
    taught = [event for event in read_events(tmp_path / "run-supervised") if event["event"] == "step"]
    assert [event["step"] for event in taught] == [1, 2, 3, 4, 5, 6]
    for events in (taught, read_events(alone)):
        weighed = [event["step"] for event in events if event.get("weight_rms", 0) > 0]
        assert weighed == [1, 2, 3, 4, 6], "in the first three, and with each validation"


def test_a_paused_run_goes_on_with_another_number_of_ranks(
    tmp_path: Path, alone: Path, warm: tuple[str, ...], on_ranks: Any
) -> None:
    folder = tmp_path / "run"
    process = torchrun(*settings(tmp_path, "run", *warm, "shard=true"))
    wanted = random.randint(1, 3)
    until(process, lambda: steps_done(folder) >= wanted)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=120)[1]
    assert "Go on with: assay train --resume" in told, told
    assert_well(on_ranks(1, "assay", "train", "--resume", str(folder), "-s", "shard=false"))
    assert_same_run(folder, alone)


# What goes wrong


def test_a_mistake_in_the_recipe_is_told_once_and_ends_all_ranks(tmp_path: Path, on_ranks: Any) -> None:
    ended = on_ranks(2, "assay", "train", *settings(tmp_path, "run", "lerning_rate=1"))
    assert any(done.returncode != 0 for done in ended)
    assert "".join(done.stderr for done in ended).count("unknown key 'lerning_rate'") == 1
    assert not (tmp_path / "run").exists()


def test_a_rank_that_is_killed_ends_the_run_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = torchrun(*settings(tmp_path, "run", "steps=100000", "eval_every=100000"))
    until(process, lambda: steps_done(folder) >= 2)
    os.kill(second_rank(process.pid), signal.SIGKILL)
    process.communicate(timeout=120)
    assert process.returncode != 0
    assert (folder / "checkpoints" / "step-2" / "manifest.json").is_file()


def second_rank(launcher: int) -> int:
    """The process of rank 1 among the launcher's children."""
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    wanted = (pid for pid in children if b"\0RANK=1\0" in b"\0" + Path(f"/proc/{pid}/environ").read_bytes())
    return int(next(wanted))


# Graders elsewhere


def other_trainers() -> dict[str, Callable[..., Any]]:
    """The functions of docs/many-gpus.md by their names."""
    found: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "many-gpus.md").read_text(), re.DOTALL):
        exec(code, found)
    return found


def test_the_functions_for_other_trainers_give_the_graders_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(LETTERS)
    functions = other_trainers()
    for text, score in (("b", 1.0), ("a", 0.0)):
        assert functions["compute_score"]("letters", text, "b", {"last": "b"}) == score
        made = functions["reward_func"]([f"prompt{text}"], ["prompt"], ['{"last": "b"}'])
        assert made["rewards"].tolist() == made["scores"].tolist() == [score]
        chat = [{"role": "assistant", "content": text}]
        assert functions["reward"](["p", "p"], [text, chat], last=["b", "b"], trainer_state=None) == [score, score]


def test_what_could_not_be_decided_is_no_0_in_other_trainers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(LETTERS)
    functions = other_trainers()
    with pytest.raises(RuntimeError):
        functions["compute_score"]("letters", "b", "b", {})
    with pytest.raises(RuntimeError):
        functions["reward_func"](["pb"], ["p"], ["{}"])
    assert functions["reward"](["p"], ["b"], trainer_state=None) == [None]
