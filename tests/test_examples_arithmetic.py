"""Sums from reasoning-gym: the files, the grader beside the package's own scoring, and a run."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from graders.registry import load
from graders.sample import Sample
from rft_loop.loop import train
from rft_loop.recipe import load_recipe
from rft_loop.watching.record import create_run, read_events

EXAMPLE = Path(__file__).parent.parent / "examples" / "arithmetic"
HERE = importlib.util.find_spec("reasoning_gym") is not None
needs_reasoning_gym = pytest.mark.skipif(not HERE, reason="pip install reasoning-gym==0.1.25")


def made(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE / "make_arithmetic.py"), "--out", str(folder), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sums")
    done = made(folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.skipif(HERE, reason="reasoning-gym is installed")
def test_without_the_package_one_line_says_what_to_install(tmp_path: Path) -> None:
    done = made(tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == "reasoning_gym is not installed; pip install reasoning-gym==0.1.25"


@needs_reasoning_gym
def test_the_same_seed_gives_the_same_bytes_and_no_question_is_in_two_files(data: Path, tmp_path: Path) -> None:
    made(tmp_path)
    names = ("train", "validation", "test", "warm_start")
    questions = [row["messages"][0]["content"] for name in names for row in rows(data / f"{name}.jsonl")]
    assert len(questions) == len(set(questions)) == 3700
    for name in names:
        assert (data / f"{name}.jsonl").read_bytes() == (tmp_path / f"{name}.jsonl").read_bytes()


@needs_reasoning_gym
def test_the_grader_agrees_with_the_packages_own_scoring(data: Path) -> None:
    theirs = importlib.import_module("reasoning_gym").create_dataset("chain_sum", seed=1, size=1)
    grader = load(str(EXAMPLE / "grader.json"))
    for row in rows(data / "validation.jsonl")[:50]:
        answer = row["answer"]
        for text in (
            f"{answer}",
            f"{answer}.0",
            f" {answer}",
            f"{answer:+d}",
            f"{answer + 1}",
            f"{answer}7",
            "",
            "seven",
        ):
            ours = grader(Sample(text), row).score
            assert (ours == 1.0) == (theirs.score_answer(text, {"answer": str(answer)}) == 1.0), (text, answer)


@needs_reasoning_gym
def test_the_recipe_runs_on_the_files(data: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    files = [f"{key}={data / name}.jsonl" for key, name in (("train", "train"), ("warm_start.data", "warm_start"))]
    (tmp_path / "validation.jsonl").write_text("\n".join((data / "validation.jsonl").read_text().splitlines()[:10]))
    small = ["steps=2", "warm_start.steps=2", "warm_start.batch_size=4", "items_per_step=2", "group_size=2"]
    given = [f"runs={tmp_path}", f"validation={tmp_path / 'validation.jsonl'}", *files, *small]
    recipe = load_recipe(EXAMPLE / "recipe.yaml", given)
    run = create_run(recipe)
    assert train(recipe, run).step == 2
    assert all(event["undecided"] == 0 for event in read_events(run.folder) if event["event"] == "step")


@needs_reasoning_gym
def test_a_model_that_reads_is_asked_the_packages_whole_question(tmp_path: Path) -> None:
    made(tmp_path, "--whole-question")
    assert rows(tmp_path / "train.jsonl")[0]["messages"][0]["content"].startswith("State the final answer")


@pytest.mark.parametrize(
    ("text", "score"), [("12 + 7 = 19", 1.0), ("19.", 1.0), ("19 or 20", 0.0), ("-19", 0.0), ("nineteen", 0.0)]
)
def test_the_last_number_of_a_sentence_is_graded(text: str, score: float) -> None:
    assert load(str(EXAMPLE / "last_number.json"))(Sample(text), {"answer": 19}).score == score
