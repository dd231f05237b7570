from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from graders import Grader, Item, Sample, grade_many, load
from graders.score import grade_file

ROOT = Path(__file__).parent.parent
EXACT: dict[str, Any] = {
    "type": "string_check",
    "input": "{{sample.output_text}}",
    "reference": "{{item.gene}}",
    "operation": "eq",
}


def rows_file(folder: Path, *rows: Any) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def numbered(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"id": f"r{n}", "item": {"gene": "x", **more}, "output_text": str(n)} for n in range(count)]


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def counting_judge(folder: Path, waits: bool, wait: float = 0.0) -> tuple[str, Path]:
    """A grader that notes each output it is asked about, one a line."""
    calls = folder / "calls"
    file = folder / "judge.py"
    pause = f"await asyncio.sleep({wait})" if waits else f"time.sleep({wait})"
    file.write_text(
        "import asyncio, time\n"
        f"{'async ' * waits}def judge(sample, item):\n"
        f"    with open({str(calls)!r}, 'a') as file:\n"
        "        file.write(sample.output_text + '\\n')\n"
        f"    {pause}\n"
        "    return 1.0\n"
    )
    return f"{file}:judge", calls


# What is recorded


@pytest.mark.parametrize("waits", [False, True])
def test_a_killed_run_goes_on_where_it_was_killed(tmp_path: Path, waits: bool) -> None:
    judge, calls = counting_judge(tmp_path, waits, wait=0.01)
    data, out = rows_file(tmp_path, *numbered(150)), tmp_path / "out.jsonl"
    partial = tmp_path / "out.jsonl.partial"
    script = (
        "import sys; from pathlib import Path; from graders import load; from graders.score import grade_file; "
        "grade_file(load(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), concurrency=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, judge, data, out], cwd=ROOT)
    while not partial.exists() or partial.read_bytes().count(b"\n") < 20:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    recorded, asked = partial.read_bytes(), len(calls.read_text().splitlines())
    assert asked - recorded.count(b"\n") <= (8 if waits else 1), "nothing but the calls under way is lost"
    assert not out.exists()
    assert grade_file(load(judge), data, out, concurrency=2).n == 150
    assert out.read_bytes().startswith(recorded[: recorded.rindex(b"\n") + 1])
    assert [row["id"] for row in read_lines(out)] == [f"r{n}" for n in range(150)]
    assert len(calls.read_text().splitlines()) == asked + 150 - recorded.count(b"\n")
    assert not partial.exists()


@pytest.mark.parametrize(
    "rest", ['{"id": "r2", "score": 1.0', "not JSON\n", "[]\n", "{}\n", '{"score": NaN}\n', "\0\0\0\n"]
)
def test_a_journal_with_a_broken_end_is_used_up_to_there(tmp_path: Path, rest: str) -> None:
    judge, calls = counting_judge(tmp_path, waits=False)
    out, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    with pytest.raises(ValueError, match="not JSON"):
        grade_file(load(judge), rows_file(tmp_path, *numbered(2), "{broken"), out)
    with partial.open("a") as file:
        file.write(rest)
    grade_file(load(judge), rows_file(tmp_path, *numbered(4)), out)
    assert calls.read_text().split() == ["0", "1", "2", "3"]
    assert [row["id"] for row in read_lines(out)] == ["r0", "r1", "r2", "r3"]


@pytest.mark.parametrize("change", ["item", "sample", "id", "grader"])
def test_a_row_whose_grader_or_content_changed_is_graded_again(tmp_path: Path, change: str) -> None:
    judge, calls = counting_judge(tmp_path, waits=False)
    rows, out = numbered(2), tmp_path / "out.jsonl"
    with pytest.raises(ValueError, match="not JSON"):
        grade_file(load(judge), rows_file(tmp_path, *rows, "{broken"), out)
    grader = load({"type": "function", "source": judge, "name": "other" if change == "grader" else "judge"})
    changes: dict[str, dict[str, Any]] = {
        "item": {"item": {}},
        "sample": {"output_text": "0 "},
        "id": {"id": "r9"},
        "grader": {},
    }
    rows[0] |= changes[change]
    grade_file(grader, rows_file(tmp_path, *rows), out)
    assert len(calls.read_text().splitlines()) == 4
    assert {row["grader"] for row in read_lines(out)} == {grader.identity}


@pytest.mark.parametrize("waits", [False, True])
def test_what_came_before_a_row_without_its_cluster_is_recorded(tmp_path: Path, waits: bool) -> None:
    judge, _ = counting_judge(tmp_path, waits)
    data = rows_file(tmp_path, *numbered(5, source="a"), {"item": {"sauce": 1}, "output_text": ""})
    with pytest.raises(ValueError, match=r"data\.jsonl:6: the item has no key 'source' .*did you mean 'sauce'"):
        grade_file(load(judge), data, tmp_path / "out.jsonl", cluster="source")
    assert len(read_lines(tmp_path / "out.jsonl.partial")) == 5


def test_the_summary_of_a_resumed_run_is_that_of_an_unbroken_one(tmp_path: Path) -> None:
    rows = [{"item": {"gene": "1", "source": n // 3}, "output_text": str(n % 2)} for n in range(30)]
    rows[7]["item"] = {"source": 2}
    data = rows_file(tmp_path, *rows)
    unbroken = grade_file(load(EXACT), data, tmp_path / "out.jsonl", cluster="source")
    rows_file(tmp_path, *rows[:20], "{broken")
    with pytest.raises(ValueError, match="not JSON"):
        grade_file(load(EXACT), data, tmp_path / "other.jsonl", cluster="source")
    rows_file(tmp_path, *rows)
    assert grade_file(load(EXACT), data, tmp_path / "other.jsonl", cluster="source") == unbroken
    assert unbroken.errors == {"invalid_variable_error": 1}


def test_progress_is_told_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    told: list[int] = []
    grade_file(load(EXACT), rows_file(tmp_path, *numbered(500)), tmp_path / "out.jsonl", after_rows=told.append)
    assert told[-1] == 500
    assert len(told) < 100


# Where it is written


def test_a_file_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    data, out = rows_file(tmp_path, *numbered(3)), tmp_path / "out.jsonl"
    partial = tmp_path / "out.jsonl.partial"
    with partial.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"theirs\n")
        file.flush()
        with pytest.raises(ValueError, match=r"out\.jsonl: another process is writing it; wait for its end, or"):
            grade_file(load(EXACT), data, out)
    assert partial.read_bytes() == b"theirs\n"
    assert grade_file(load(EXACT), data, out).n == 3


@pytest.mark.parametrize("name", ["data.jsonl", "link.jsonl", "../{folder}/data.jsonl"])
def test_the_rows_are_never_overwritten_by_their_grades(tmp_path: Path, name: str) -> None:
    data = rows_file(tmp_path, *numbered(3))
    before = data.read_bytes()
    (tmp_path / "link.jsonl").symlink_to(data)
    with pytest.raises(ValueError, match="holds the rows to grade"):
        grade_file(load(EXACT), data, tmp_path / name.format(folder=tmp_path.name))
    os.rename(data, tmp_path / "out.jsonl.partial")
    with pytest.raises(ValueError, match="holds the rows to grade"):
        grade_file(load(EXACT), tmp_path / "out.jsonl.partial", tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl.partial").read_bytes() == before


def test_a_place_that_cannot_take_the_grades_is_refused_before_anything_is_graded(tmp_path: Path) -> None:
    judge, calls = counting_judge(tmp_path, waits=False)
    data = rows_file(tmp_path, *numbered(3))
    with pytest.raises(ValueError, match=r"no folder '.*nowhere'; make it first"):
        grade_file(load(judge), data, tmp_path / "nowhere" / "out.jsonl")
    with pytest.raises(ValueError, match="is not a regular file"):
        grade_file(load(judge), data, tmp_path)
    assert not calls.exists()


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_data_without_rows_is_refused_and_an_earlier_journal_is_kept(tmp_path: Path, content: str) -> None:
    data, out = tmp_path / "data.jsonl", tmp_path / "out.jsonl"
    data.write_text(content)
    with pytest.raises(ValueError, match=r"data\.jsonl: no rows"):
        grade_file(load(EXACT), data, out)
    assert list(tmp_path.iterdir()) == [data]
    (tmp_path / "out.jsonl.partial").write_text("earlier\n")
    with pytest.raises(ValueError, match="no rows"):
        grade_file(load(EXACT), data, out)
    assert (tmp_path / "out.jsonl.partial").read_text() == "earlier\n"


def test_a_run_that_graded_nothing_leaves_nothing_behind(tmp_path: Path) -> None:
    judge = tmp_path / "judge.py"
    judge.write_text("def judge(sample, item):\n    raise KeyboardInterrupt\n")
    data = rows_file(tmp_path, *numbered(3))
    with pytest.raises(KeyboardInterrupt):
        grade_file(load(f"{judge}:judge"), data, tmp_path / "out.jsonl")
    assert not list(tmp_path.glob("out*"))


# Graders that wait


class Waits(Grader):
    type: str = "waits"

    under_way: ClassVar[int] = 0
    most: ClassVar[int] = 0

    async def grade_async(self, sample: Sample, item: Item) -> float:
        Waits.under_way += 1
        Waits.most = max(Waits.most, Waits.under_way)
        await asyncio.sleep(float(item["seconds"]))
        Waits.under_way -= 1
        return float(sample.output_text)


def test_a_grade_comes_as_soon_as_all_before_it_are_there() -> None:
    pairs: list[tuple[Sample | str, Item]] = [("0", {"seconds": 0.01}), ("0.5", {"seconds": 30})]
    grades = grade_many(Waits(), pairs, concurrency=2)
    start = time.monotonic()
    assert next(grades).score == 0.0
    grades.close()  # type: ignore[attr-defined]  # cancels what is under way
    assert time.monotonic() - start < 5


def test_a_slow_call_does_not_hold_up_those_behind_it_nor_are_too_many_under_way() -> None:
    Waits.under_way = Waits.most = 0
    waits = [0.3, *[0.01] * 30]
    start = time.monotonic()
    grades = list(grade_many(Waits(), [(str(n / 31), {"seconds": s}) for n, s in enumerate(waits)], concurrency=8))
    assert time.monotonic() - start < 0.6
    assert [grade.score for grade in grades] == [n / 31 for n in range(31)]
    assert Waits.most == 8


@pytest.mark.parametrize("grader", [Waits(), load({**EXACT, "reference": "0"})])
def test_what_the_pairs_raise_comes_after_the_grades_before_it(grader: Grader) -> None:
    def pairs() -> Iterator[tuple[Sample | str, Item]]:
        yield "0", {"seconds": 0.01}
        yield "1", {"seconds": 0}
        raise ValueError("line 3")

    grades = grade_many(grader, pairs())
    assert len([next(grades), next(grades)]) == 2
    with pytest.raises(ValueError, match="line 3"):
        next(grades)


@pytest.mark.parametrize("concurrency", [0, -1])
def test_no_call_under_way_is_refused(concurrency: int) -> None:
    with pytest.raises(ValueError, match=f"concurrency={concurrency}: "):
        list(grade_many(Waits(), [("0", {"seconds": 0})], concurrency))
