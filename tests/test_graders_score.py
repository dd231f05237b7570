from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from graders import Grader, Item, Sample, grade_many, load
from graders.offline.choose import chosen
from graders.offline.sources import open_source
from graders.offline.workers import WorkerDiedError
from graders.score import grade_file, grade_file_with_all

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
    grade_file(
        load(EXACT),
        rows_file(tmp_path, *numbered(500)),
        tmp_path / "out.jsonl",
        progress=lambda progress: told.append(progress.rows),
    )
    assert told[-1] == 500
    assert len(told) < 100


# Several processes


def slow_judge(folder: Path, body: str) -> Path:
    file = folder / "judge.py"
    file.write_text(f"import os, time\ndef judge(sample, item):\n    {body}\n    return 1.0\n")
    return file


@pytest.mark.parametrize("workers", [2, 3])
def test_several_workers_killed_together_lose_no_row_and_grade_none_twice(tmp_path: Path, workers: int) -> None:
    judge = slow_judge(tmp_path, "time.sleep(0.002)")
    data, out = rows_file(tmp_path, *numbered(900)), tmp_path / "out.jsonl"
    partial = tmp_path / "out.jsonl.partial"
    script = (
        "import sys; from pathlib import Path; from graders import load; from graders.score import grade_file; "
        "grade_file(load(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), workers=int(sys.argv[4]))"
    )
    command = [sys.executable, "-c", script, f"{judge}:judge", str(data), str(out), str(workers)]
    recorded = b""
    for enough in (100, 400):
        process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
        while not partial.exists() or partial.read_bytes().count(b"\n") < enough:
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        before, recorded = recorded, partial.read_bytes()
        assert recorded.startswith(before[: before.rfind(b"\n") + 1])
    assert not out.exists()
    assert grade_file(load(f"{judge}:judge"), data, out, workers=workers).n == 900
    assert out.read_bytes().startswith(recorded[: recorded.rfind(b"\n") + 1])
    assert [row["id"] for row in read_lines(out)] == [f"r{n}" for n in range(900)]


def test_when_only_the_parent_is_killed_the_next_run_need_not_wait_for_its_workers(tmp_path: Path) -> None:
    judge = slow_judge(tmp_path, "time.sleep(0.5 if item['gene'] == 'slow' else 0)")
    rows = [*numbered(100), *({"id": f"s{n}", "item": {"gene": "slow"}, "output_text": ""} for n in range(4))]
    data, out = rows_file(tmp_path, *rows), tmp_path / "out.jsonl"
    partial = tmp_path / "out.jsonl.partial"
    script = (
        "import sys; from pathlib import Path; from graders import load; from graders.score import grade_file; "
        "grade_file(load(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), workers=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, f"{judge}:judge", data, out], cwd=ROOT)
    while not partial.exists() or partial.read_bytes().count(b"\n") < 40:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    rows_file(tmp_path, *rows[:100])
    assert grade_file(load(f"{judge}:judge"), data, out).n == 100  # the journal is free at once


@pytest.mark.parametrize(
    ("end", "complaint"),
    [
        ("os._exit(9)", "a worker ended with exit code 9 while it graded rows "),
        ("os.kill(os.getpid(), 9)", r"a worker was killed by signal 9 \(out of memory\?\) while it graded rows "),
        (
            "raise KeyboardInterrupt",
            r"judge\.py:3: KeyboardInterrupt \(\) ended the grading of rows \d+ to \d+; the rows before",
        ),
    ],
)
def test_a_worker_that_dies_is_named_and_nothing_is_written_twice(tmp_path: Path, end: str, complaint: str) -> None:
    judge = slow_judge(tmp_path, f"if sample.output_text == '150' and not os.path.exists('mended'): {end}")
    data, out = rows_file(tmp_path, *numbered(300)), tmp_path / "out.jsonl"
    with pytest.raises(WorkerDiedError, match=complaint):
        grade_file(load(f"{judge}:judge"), data, out, workers=2)
    assert not out.exists()
    recorded = (tmp_path / "out.jsonl.partial").read_bytes()
    assert 0 < recorded.count(b"\n") <= 150
    judge.write_text("def judge(sample, item):\n    return 1.0\n")
    rest = load({**EXACT, "reference": "{{sample.output_text}}"})
    assert grade_file(rest, data, out, workers=2).n == 300
    assert [row["id"] for row in read_lines(out)] == [f"r{n}" for n in range(300)]


def test_workers_write_what_one_process_writes(tmp_path: Path) -> None:
    rows: list[Any] = [{"item": {"gene": str(n % 3), "source": n // 4}, "output_text": str(n % 5)} for n in range(500)]
    rows[17]["item"] = {"source": 4}
    data = rows_file(tmp_path, *rows)
    summaries = [
        grade_file(
            load(EXACT), data, tmp_path / f"{workers}.jsonl", workers=workers, cluster="source", group="source", k=2
        )
        for workers in (1, 2, 4)
    ]
    assert summaries[0] == summaries[1] == summaries[2]
    assert summaries[0].errors == {"invalid_variable_error": 1}
    written = [[{**row, "seconds": 0} for row in read_lines(tmp_path / f"{workers}.jsonl")] for workers in (1, 2, 4)]
    assert written[0] == written[1] == written[2]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("rest", ["{broken", {"item": {}}, {"id": "r3", "item": {}, "output_text": ""}])
def test_what_came_before_a_malformed_row_is_recorded(tmp_path: Path, workers: int, rest: Any) -> None:
    data = rows_file(tmp_path, *numbered(200), rest, *numbered(3))
    with pytest.raises(ValueError, match=r"data\.jsonl:201: "):
        grade_file(load(EXACT), data, tmp_path / "out.jsonl", workers=workers)
    assert [row["id"] for row in read_lines(tmp_path / "out.jsonl.partial")] == [f"r{n}" for n in range(200)]


def test_no_process_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers=0: at least one process must grade"):
        grade_file(load(EXACT), rows_file(tmp_path, *numbered(1)), tmp_path / "out.jsonl", workers=0)


# Several graders, and which rows


def test_several_graders_write_a_line_a_row_with_the_grades_of_all_and_go_on_when_killed(tmp_path: Path) -> None:
    graders = {"same": load(EXACT), "held": load({**EXACT, "operation": "like"})}
    rows = [{"id": "a", "item": {"gene": "x"}, "output_text": "x!"}, {"item": {"gen": 1}, "output_text": "x"}]
    out = tmp_path / "out.jsonl"
    with pytest.raises(ValueError, match="not JSON"):
        grade_file_with_all(graders, rows_file(tmp_path, *rows, "{broken"), out)
    recorded = (tmp_path / "out.jsonl.partial").read_bytes()
    summaries = grade_file_with_all(graders, rows_file(tmp_path, *rows, rows[0] | {"id": "c"}), out)
    assert out.read_bytes().startswith(recorded)
    first, second, _ = read_lines(out)
    assert set(first) == {"id", "grades", "row"}
    assert {name: grade["score"] for name, grade in first["grades"].items()} == {"same": 0.0, "held": 1.0}
    assert second["grades"]["held"]["error"]["kind"] == "invalid_variable_error"
    assert {name: summary.n for name, summary in summaries.items()} == {"same": 3, "held": 3}
    assert summaries["held"].errors == {"invalid_variable_error": 1}


@pytest.mark.parametrize("change", [{"held": {**EXACT, "operation": "ilike"}}, {"more": EXACT}])
def test_several_graders_of_which_one_changed_grade_all_again(tmp_path: Path, change: dict[str, Any]) -> None:
    graders = {"same": load(EXACT), "held": load({**EXACT, "operation": "like"})}
    out = tmp_path / "out.jsonl"
    with pytest.raises(ValueError, match="not JSON"):
        grade_file_with_all(graders, rows_file(tmp_path, *numbered(3), "{broken"), out)
    graders |= {name: load(definition) for name, definition in change.items()}
    grade_file_with_all(graders, rows_file(tmp_path, *numbered(3)), out)
    for row in read_lines(out):
        assert {name: grade["grader"] for name, grade in row["grades"].items()} == {
            name: grader.identity for name, grader in graders.items()
        }


@pytest.mark.parametrize("again", [True, False])
def test_a_sample_is_drawn_with_a_seed_and_keeps_the_order(tmp_path: Path, again: bool) -> None:
    rows = numbered(200)

    def ids(**options: Any) -> list[str]:
        data: Any = rows if again else iter(rows)
        grade_file(load(EXACT), data, tmp_path / "out.jsonl", **options)
        return [row["id"] for row in read_lines(tmp_path / "out.jsonl")]

    drawn = ids(sample=20)
    assert len(drawn) == 20
    assert drawn == sorted(drawn, key=lambda name: int(name[1:]))
    assert ids(sample=20) == drawn
    assert ids(sample=20, seed=1) != drawn
    assert ids(sample=500) == [f"r{n}" for n in range(200)]
    assert ids(limit=3) == ["r0", "r1", "r2"]
    assert set(ids(limit=30, sample=20)) <= {f"r{n}" for n in range(30)}
    assert ids(where="id in ('r7', 'r9', 'r150')", limit=2) == ["r7", "r9"]


def test_every_row_is_as_likely_to_be_drawn() -> None:
    source = open_source([{"output_text": ""}] * 20)
    counts = Counter(
        raw.number
        for seed in range(400)
        for raw in chosen(source, lambda raw: None, sample=5, seed=seed)  # type: ignore[arg-type, return-value]
    )
    assert set(counts) == set(range(1, 21))
    assert max(counts.values()) < 2 * min(counts.values())


@pytest.mark.parametrize(("name", "value"), [("limit", 0), ("sample", -1)])
def test_no_row_to_choose_is_refused(tmp_path: Path, name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name}={value}: at least one row must be left"):
        grade_file(load(EXACT), rows_file(tmp_path, *numbered(3)), tmp_path / "out.jsonl", **{name: value})


def test_pass_at_k_needs_to_know_which_rows_are_of_one_item(tmp_path: Path) -> None:
    data = rows_file(tmp_path, *numbered(4, source=1))
    with pytest.raises(ValueError, match=r"pass@k needs both: k, and the item key"):
        grade_file(load(EXACT), data, tmp_path / "out.jsonl", k=2)
    with pytest.raises(ValueError, match="k=0: pass@k is of one sample or more"):
        grade_file(load(EXACT), data, tmp_path / "out.jsonl", k=0, group="source")


# As Parquet


@pytest.mark.parametrize("several", [False, True])
def test_grades_are_written_as_parquet_by_the_ending_and_a_broken_run_goes_on(tmp_path: Path, several: bool) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    graders = {"same": load(EXACT)} | ({"held": load({**EXACT, "operation": "like"})} if several else {})
    rows = [*numbered(3), {"id": "\ud800", "item": {}, "output_text": "x"}]
    out = tmp_path / "out.parquet"
    with pytest.raises(ValueError, match="not JSON"):
        grade_file_with_all(graders, rows_file(tmp_path, *rows, "{broken"), out, single=not several)
    assert [path.name for path in tmp_path.glob("out*")] == ["out.parquet.partial"]
    grade_file_with_all(graders, rows_file(tmp_path, *rows), out, single=not several)
    assert [path.name for path in tmp_path.glob("out*")] == ["out.parquet"]
    table = parquet.read_table(out).to_pylist()
    assert [row["id"] for row in table] == ["r0", "r1", "r2", "\\ud800"]
    before = "same." if several else ""
    assert [row[f"{before}score"] for row in table] == [0.0, 0.0, 0.0, None]
    assert table[3][f"{before}error_kind"] == "invalid_variable_error"
    assert ("held.score" in table[0]) == several


# Bad input, and the message for it


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"item": {}, "item": {}, "output_text": ""}', "the key 'item' stands twice in one object"),
        (b'{"item": {"x": NaN}, "output_text": ""}', "NaN is not JSON"),
        (b'{"item": {"x": ' + b"[" * 10_000 + b"]" * 10_000 + b'}, "output_text": ""}', "nested too deeply"),
        (b'{"item": {"x": ' + b"9" * 10_000 + b'}, "output_text": ""}', r"more than 4,300 digits; write it as text"),
        (b'{"item": {"x": "\xff"}, "output_text": ""}', r"not UTF-8 \(byte 0xff at 17\); save the file as UTF-8"),
        (
            b'{"item": {}, "output_text": "' + b"x" * 3000 + b'"}',
            r"a row of 3,03\d bytes is longer than the limit of 2,048",
        ),
        (b"[1]", "a JSON object is expected, not list"),
        (b"\0\0", "not JSON"),
    ],
)
def test_a_hostile_line_is_refused_with_its_place(tmp_path: Path, workers: int, line: bytes, complaint: str) -> None:
    data, out = tmp_path / "data.jsonl", tmp_path / "out.jsonl"
    data.write_bytes(b'{"item": {"gene": "x"}, "output_text": "x"}\n' + line + b"\n")
    limit = 2048 if b"xxx" in line else 2**20
    with pytest.raises(ValueError, match=complaint) as problem:
        grade_file(load(EXACT), data, out, workers=workers, max_row_bytes=limit)
    assert str(problem.value).startswith(f"{data}:2: ")
    assert len(read_lines(tmp_path / "out.jsonl.partial")) == 1


def test_a_hundred_megabyte_line_is_refused_without_being_held(tmp_path: Path) -> None:
    data, out = tmp_path / "data.jsonl", tmp_path / "out.jsonl"
    with data.open("wb") as file:
        file.write(b'{"item": {"gene": "x"}, "output_text": "x"}\n{"item": {}, "output_text": "')
        for _ in range(100):
            file.write(b"x" * 10**6)
        file.write(b'"}\n')
    tracemalloc.start()
    with pytest.raises(
        ValueError, match=r":2: a row of 100,000,032 bytes is longer than the limit .*--max-row-mb 16\)"
    ):
        grade_file(load(EXACT), data, out)
    assert tracemalloc.get_traced_memory()[1] < 60e6
    tracemalloc.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_half_a_surrogate_pair_a_byte_order_mark_and_dos_line_ends_do_no_harm(tmp_path: Path, workers: int) -> None:
    data, out = tmp_path / "data.jsonl", tmp_path / "out.jsonl"
    line = rb'{"id": "%d", "item": {"gene": "\ud800"}, "output_text": "\ud800"}'
    data.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(line % n for n in range(3)) + b"\r\n\r\n")
    assert grade_file(load(EXACT), data, out, workers=workers).scored.mean == 1.0  # type: ignore[union-attr]
    assert [row["id"] for row in read_lines(out)] == ["0", "1", "2"]


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
    assert next(grades).score == 0.0
    grades.close()  # type: ignore[attr-defined]  # cancels what is under way


class SlowestWaitsForAll(Grader):
    """The first call ends only when the thirty behind it have; it would wait for ever, did it hold them up."""

    type: str = "slowest_waits_for_all"
    ended: ClassVar[int] = 0

    async def grade_async(self, sample: Sample, item: Item) -> float:
        while sample.output_text == "0" and SlowestWaitsForAll.ended < 30:
            await asyncio.sleep(0.001)
        SlowestWaitsForAll.ended += 1
        return 1.0


def test_a_slow_call_does_not_hold_up_those_behind_it() -> None:
    SlowestWaitsForAll.ended = 0
    grades = list(grade_many(SlowestWaitsForAll(), [(str(number), {}) for number in range(31)], concurrency=8))
    assert [grade.score for grade in grades] == [1.0] * 31


def test_no_more_calls_are_under_way_than_may_be() -> None:
    Waits.under_way = Waits.most = 0
    grades = list(grade_many(Waits(), [(str(n / 31), {"seconds": 0.01}) for n in range(31)], concurrency=8))
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


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("where", [None, "id != 'r7'"])
def test_the_first_row_of_the_data_tells_the_shape_of_all(tmp_path: Path, workers: int, where: str | None) -> None:
    rows = [*numbered(3000), {"id": "last", "output_text": "x"}]
    data, out = rows_file(tmp_path, *rows), tmp_path / "out.jsonl"
    grader = load({**EXACT, "reference": "{{sample.output_text}}"})
    for _ in range(2):  # and again, from where the first run stopped
        with pytest.raises(ValueError, match=r"data\.jsonl:3001: no 'item' .* but the first row is like"):
            grade_file(grader, data, out, workers=workers, where=where)
        assert len(read_lines(tmp_path / "out.jsonl.partial")) == 3000 - (where is not None)


@pytest.mark.parametrize("workers", [1, 2])
def test_data_that_can_be_read_once_are_of_one_shape_too(tmp_path: Path, workers: int) -> None:
    rows = ({"output_text": "x", **({"item": {}} if n == 2500 else {"gene": "x"})} for n in range(3000))
    with pytest.raises(ValueError, match=r"the data, row 2501: a row like .*, but the first row is flat"):
        grade_file(load({**EXACT, "reference": "x"}), rows, tmp_path / "out.jsonl", workers=workers)
    assert len(read_lines(tmp_path / "out.jsonl.partial")) == 2500


def test_of_an_id_that_comes_twice_the_first_row_named_is_one_that_was_chosen(tmp_path: Path) -> None:
    rows = [{"id": "a", "item": {"n": n}, "output_text": "x"} for n in range(3)]
    data, grader = rows_file(tmp_path, *rows), load({**EXACT, "reference": "x"})
    with pytest.raises(ValueError, match=r"data\.jsonl:3: id 'a' is that of .*data\.jsonl:2 already"):
        grade_file(grader, data, tmp_path / "out.jsonl", where="item.n > 0")
    assert grade_file(grader, data, tmp_path / "other.jsonl", where="item.n > 1").n == 1


def test_a_threshold_that_is_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="threshold=nan: a row passes from a finite score"):
        grade_file(load(EXACT), numbered(1), tmp_path / "out.jsonl", threshold=float("nan"))
