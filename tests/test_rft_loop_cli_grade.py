"""`assay grade` and `assay compare` as their users type them."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ASSAY = str(Path(sys.executable).with_name("assay"))
Command = Callable[..., subprocess.CompletedProcess[str]]
CHECK = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.gene}}"}
ROWS = [
    {"id": f"p{n}", "item": {"gene": "x", "source": n // 4, "year": 2000 + n}, "output_text": "x" if n % 3 else "x!"}
    for n in range(40)
]


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, operation in (("exact", "eq"), ("held", "like")):
        (tmp_path / f"{name}.json").write_text(json.dumps({**CHECK, "name": name, "operation": operation}))
    (tmp_path / "unnamed.json").write_text(json.dumps({**CHECK, "operation": "ilike"}))
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    flat = [{"id": row["id"], **row["item"], "answer": row["output_text"]} for row in ROWS]  # type: ignore[dict-item]
    (tmp_path / "flat.json").write_text(json.dumps(flat))
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        ("exact.json", "held.json", "data.jsonl"),
        ("-g", "exact.json", "-g", "held.json", "data.jsonl"),
        ("exact.json", "-g", "held.json", "data.jsonl"),
    ],
)
def test_several_graders_in_every_spelling(assay: Command, folder: Path, arguments: tuple[str, ...]) -> None:
    done = assay("grade", *arguments, "-o", "out.jsonl", "--summary", "summary.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert [line.partition("@")[0] for line in done.stdout.splitlines()] == ["exact", "held"]
    assert list(read_lines(folder / "out.jsonl")[0]["grades"]) == ["exact", "held"]
    summary = json.loads((folder / "summary.json").read_text())
    assert {name: wire["mean"] for name, wire in summary["graders"].items()} == {"exact": 0.65, "held": 1.0}


def test_graders_of_one_name_are_told_apart_by_a_name_before_the_file(assay: Command, folder: Path) -> None:
    done = assay("grade", "unnamed.json", "unnamed.json", "data.jsonl", "-o", "out.jsonl", cwd=folder)
    assert done.returncode == 2
    assert "two graders are called 'string_check'; name one of them: OTHER=unnamed.json" in done.stderr
    done = assay("grade", "unnamed.json", "old=unnamed.json", "data.jsonl", "-o", "out.jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert [line.split()[0].partition("@")[0] for line in done.stdout.splitlines()] == ["string_check", "old:"]


def test_rows_are_chosen_and_pass_at_k_is_told(assay: Command, folder: Path) -> None:
    where = ("--where", "item.year >= 2008 and id != 'p9'", "--limit", "20", "--sample", "12", "--seed", "3")
    options = ("--output", "answer", "--pass-at-k", "2", "--group", "source", "--cluster", "source")
    done = assay("grade", "exact.json", "flat.json", "-o", "out.jsonl", *where, *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    ids = [int(row["id"][1:]) for row in read_lines(folder / "out.jsonl")]
    assert len(ids) == 12
    assert set(ids) <= set(range(8, 29)) - {9}
    assert "n 12  mean" in done.stdout
    assert "pass@2 " in done.stdout


def test_the_cache_is_told_of_and_grades_go_to_parquet(assay: Command, folder: Path) -> None:
    pytest.importorskip("pyarrow")
    for found in (0, 80):
        command = ("exact.json", "held.json", "data.jsonl", "-o", "out.parquet", "--cache", "cache", "--workers", "2")
        done = assay("grade", *command, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert f"{found} of 80 grades were in the cache" in done.stdout
    done = assay("compare", "out.parquet:exact", "out.parquet:held", "--json", "found.json", "--top", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "B - A  +0.3500" in done.stdout
    found = json.loads((folder / "found.json").read_text())
    assert found["flips"] == {"pass_pass": 26, "pass_fail": 0, "fail_pass": 14, "fail_fail": 0}
    assert [change["id"] for change in found["most_changed"]] == ["p0"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("grade", "data.jsonl", "-o", "out.jsonl"), "data.jsonl: no grader; write assay grade GRADER DATA -o OUT"),
        (("grade", "exact.json", "data.jsonl", "-o", "o", "--where", "item.x ="), "where 'item.x =': invalid syntax"),
        (("grade", "exact.json", "data.jsonl", "-o", "o", "--where", "item.yeer > 1"), "did you mean 'year'"),
        (("grade", "exact.json", "flat.json", "-o", "o"), "flat.json row 1: no sample; expected text in the column"),
        (("grade", "exact.json", "data.jsonl", "-o", "o", "--pass-at-k", "2"), "pass@k needs both"),
        (("grade", "exact.json", "data.jsonl", "-o", "o", "--group", "source"), "pass@k needs both"),
        (("grade", "exact.json", "nowhere.jsonl", "-o", "o"), "no data file 'nowhere.jsonl'"),
        (("compare", "exact.json", "held.json"), "are graders; name the rows they grade with --data"),
        (("compare", "exact.json", "data.jsonl"), "exact.json is a grader and data.jsonl is not"),
        (("compare", "data.jsonl", "data.jsonl"), "data.jsonl:1: no grade"),
        (("compare", "a.jsonl", "b.jsonl"), "no file of grades 'a.jsonl'"),
        (("compare", "data.jsonl", "data.jsonl", "-o", "x"), "--out is for the grades of two graders"),
        (("compare", "a.jsonl", "b.jsonl", "--json", "b.jsonl"), "no file of grades 'a.jsonl'"),
    ],
)
def test_what_a_user_can_mend_is_said_in_one_line(
    assay: Command, folder: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    done = assay(*arguments, cwd=folder)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_two_graders_are_compared_on_the_same_rows(assay: Command, folder: Path) -> None:
    done = assay("compare", "exact.json", "held.json", "--data", "data.jsonl", "--cluster", "source", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "A  exact.json  exact@" in done.stdout
    assert "over 40 pairs in 10 clusters" in done.stdout
    assert "sign-flip permutation test: p = " in done.stdout
    assert not list(folder.glob("*grades*"))
    done = assay("compare", "exact.json", "exact.json", "--data", "data.jsonl", "-o", "kept.jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "McNemar's exact test: p = 1" in done.stdout
    assert list(read_lines(folder / "kept.jsonl")[0]["grades"]) == ["A", "B"]


def test_progress_is_drawn_on_a_terminal_and_nowhere_else(assay: Command, folder: Path) -> None:
    assert assay("grade", "exact.json", "data.jsonl", "-o", "out.jsonl", cwd=folder).stderr == ""
    parent, child = pty.openpty()
    command = [ASSAY, "grade", "exact.json", "data.jsonl", "-o", "o.jsonl"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        [*command, "--workers", "2"], stdout=subprocess.PIPE, stderr=child, check=False, cwd=folder, env=environment
    )
    os.close(child)
    shown = os.read(parent, 100_000).decode()
    os.close(parent)
    assert done.returncode == 0
    assert "40 rows" in shown
    assert "/s" in shown
    assert "left" in shown


# What is read is not written, and nothing twice


@pytest.mark.parametrize(
    "line",
    [
        "grade exact.json data.jsonl -o exact.json",
        "grade exact.json data.jsonl -o data.jsonl",
        "grade exact.json data.jsonl -o link.json",
        "grade exact.json data.jsonl -o o.jsonl --summary o.jsonl",
        "grade exact.json data.jsonl -o o.jsonl --summary ./o.jsonl.partial",
        "grade exact.json data.jsonl -o o.jsonl --summary exact.json",
        "grade exact.json data.jsonl -o o.jsonl --summary data.jsonl",
        "grade old=exact.json data.jsonl -o exact.json",
        "grade data.jsonl -g held.json -o held.json",
        "grade judge.py:judge data.jsonl -o o.jsonl --summary judge.py",
        "grade mine=judge.py:judge data.jsonl -o judge.py",
        "grade exact.json data.jsonl -o o.jsonl --summary .",
        "grade exact.json data.jsonl -o o.jsonl --summary nowhere/s.json",
        "compare both.jsonl:a both.jsonl:b --json both.jsonl",
        "compare both.jsonl:a both.jsonl:b --json .",
        "compare exact.json held.json --data data.jsonl -o o.jsonl --json o.jsonl",
        "compare exact.json held.json --data data.jsonl -o held.json",
        "compare exact.json held.json --data data.jsonl --json data.jsonl",
    ],
)
def test_no_command_overwrites_what_it_reads_or_writes(assay: Command, folder: Path, line: str) -> None:
    (folder / "judge.py").write_text("def judge(sample, item):\n    return 1.0\n")
    (folder / "link.json").hardlink_to(folder / "exact.json")
    done = assay("grade", "a=exact.json", "b=held.json", "data.jsonl", "-o", "both.jsonl", cwd=folder)
    assert done.returncode == 0, done.stderr
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    done = assay(*line.split(), cwd=folder)
    assert done.returncode == 2
    assert any(said in done.stderr for said in ("read by this command", "written twice", "is a folder", "no folder"))
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_summary_may_go_to_a_device(folder: Path) -> None:
    command = [ASSAY, "grade", "exact.json", "data.jsonl", "-o", "o.jsonl", "--summary", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert '"mean": 0.65' in done.stdout


def test_a_file_of_grades_may_be_called_json(assay: Command, folder: Path) -> None:
    done = assay("grade", "exact.json", "data.jsonl", "-o", "grades.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    done = assay("compare", "grades.json", "grades.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "over 40 pairs" in done.stdout
    done = assay("compare", "grades.json", "held.json", "--data", "data.jsonl", cwd=folder)
    assert "held.json is a grader and grades.json is not" in done.stderr


@pytest.mark.parametrize("option", ["--max-row-mb inf", "--threshold nan", "--threshold inf"])
def test_options_are_finite_numbers(assay: Command, folder: Path, option: str) -> None:
    done = assay("grade", "exact.json", "data.jsonl", "-o", "o.jsonl", *option.split(), cwd=folder)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert any(said in done.stderr for said in ("is not a finite number", "is not in the range"))
