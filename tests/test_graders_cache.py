"""The cache of grades: found again whatever file they come from, shared by processes, never of an undecided grade."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grade, Sample, load
from graders.grade import GradeError
from graders.offline.cache import Cache, cache_key
from graders.offline.encode import encode, hashes
from graders.offline.read import read_grading_rows
from graders.rows import GradingRow
from graders.score import Progress, grade_file, grade_file_with_all

ROOT = Path(__file__).parent.parent
ROWS: list[dict[str, Any]] = [{"id": f"r{n}", "item": {"gene": "x"}, "output_text": str(n)} for n in range(50)]


def judge_of(folder: Path, waits: bool = False, answer: str = "1.0") -> tuple[str, Path]:
    """A grader that notes each output it is asked about, one a line."""
    calls, file = folder / "calls", folder / "judge.py"
    file.write_text(
        f"{'async ' * waits}def judge(sample, item):\n"
        f"    with open({str(calls)!r}, 'a') as file:\n"
        "        file.write(sample.output_text + '\\n')\n"
        f"    return {answer}\n"
    )
    calls.touch()
    return f"{file}:judge", calls


def asked(calls: Path) -> int:
    return len(calls.read_text().splitlines())


@pytest.mark.parametrize(("waits", "workers"), [(False, 1), (False, 2), (True, 1)])
def test_what_was_graded_is_not_graded_again_whatever_its_id(tmp_path: Path, waits: bool, workers: int) -> None:
    judge, calls = judge_of(tmp_path, waits)
    told: list[Progress] = []
    options: dict[str, Any] = {"cache": tmp_path / "cache", "workers": workers, "progress": told.append}
    grade_file(load(judge), ROWS, tmp_path / "a.jsonl", **options)
    assert (asked(calls), told[-1].cached) == (50, 0)
    others = [{**row, "id": f"new {row['id']}"} for row in ROWS]
    more = [{"item": {"gene": "x"}, "output_text": "new"}]
    summary = grade_file(load(judge), [*others, *more], tmp_path / "b.jsonl", **options)
    assert (asked(calls), told[-1].cached) == (51, 50)
    assert summary.n == 51
    first, second = (json.loads((tmp_path / name).read_text().splitlines()[7]) for name in ("a.jsonl", "b.jsonl"))
    assert first | {"id": 0, "row": 0} == second | {"id": 0, "row": 0}


@pytest.mark.parametrize("change", ["grader", "item", "sample"])
def test_another_grader_item_or_sample_is_graded(tmp_path: Path, change: str) -> None:
    judge, calls = judge_of(tmp_path)
    grade_file(load(judge), ROWS[:1], tmp_path / "a.jsonl", cache=tmp_path / "cache")
    changes: dict[str, dict[str, Any]] = {
        "item": {"item": {"gene": "y"}},
        "sample": {"output_text": "0 "},
        "grader": {},
    }
    grader = load({"type": "function", "source": judge, "name": "other"}) if change == "grader" else load(judge)
    grade_file(grader, [{**ROWS[0], **changes[change]}], tmp_path / "b.jsonl", cache=tmp_path / "cache")
    assert asked(calls) == 2


@pytest.mark.parametrize("waits", [False, True])
def test_what_could_not_be_decided_is_asked_again_and_faults_of_candidates_are_not(tmp_path: Path, waits: bool) -> None:
    answer = (
        "__import__('graders').Grade.undecided('timeout', 'slow', 'infra') if sample.output_text < '2' else "
        "__import__('graders').Grade.failed('sample_parse_error', 'no JSON')"
    )
    judge, calls = judge_of(tmp_path, waits, answer)
    for number in range(2):
        grade_file(load(judge), ROWS[:4], tmp_path / f"{number}.jsonl", cache=tmp_path / "cache")
    assert sorted(calls.read_text().split()) == ["0", "0", "1", "1", "2", "3"]
    assert json.loads((tmp_path / "1.jsonl").read_text().splitlines()[3])["error"]["kind"] == "sample_parse_error"


def test_of_several_graders_only_the_new_one_is_asked(tmp_path: Path) -> None:
    judge, calls = judge_of(tmp_path)
    grade_file(load(judge), ROWS, tmp_path / "a.jsonl", cache=tmp_path / "cache")
    new = load({"type": "function", "source": judge, "name": "new"})
    graders = {"old": load(judge), "new": new}
    grade_file_with_all(graders, ROWS, tmp_path / "b.jsonl", cache=tmp_path / "cache")
    assert asked(calls) == 100
    row = json.loads((tmp_path / "b.jsonl").read_text().splitlines()[0])
    assert {name: grade["grader"] for name, grade in row["grades"].items()} == {
        name: grader.identity for name, grader in graders.items()
    }


def test_several_commands_may_use_one_cache_at_once(tmp_path: Path) -> None:
    judge, _ = judge_of(tmp_path)
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    script = (
        "import sys; from pathlib import Path; from graders import load; from graders.score import grade_file; "
        "grade_file(load(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), workers=2, cache=sys.argv[4])"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, judge, str(data), str(tmp_path / f"{n}.jsonl"), str(tmp_path / "cache")],
            cwd=ROOT,
        )
        for n in range(3)
    ]
    assert [process.wait() for process in running] == [0, 0, 0]
    with sqlite3.connect(tmp_path / "cache" / "grades.sqlite") as store:
        assert store.execute("SELECT count(*) FROM grades").fetchone() == (50,)
    store.close()


@pytest.mark.parametrize("content", ["file", "garbage", "grade"])
def test_a_cache_that_cannot_be_used_is_refused_before_anything_is_written(tmp_path: Path, content: str) -> None:
    grader = load(judge_of(tmp_path)[0])
    folder = tmp_path / "cache"
    if content == "file":
        folder.write_text("")
    else:
        folder.mkdir()
        (folder / "grades.sqlite").write_bytes(b"no database" * 1000)
    if content == "grade":
        (folder / "grades.sqlite").unlink()
        cache = Cache(folder)
        row = GradingRow("", ROWS[0]["item"], Sample("0"))
        cache.keep([(cache_key(grader.identity, hashes(row).given), Grade(1.0, ""), '{"score": "high"}')])
        cache.close()
    with pytest.raises(ValueError, match=r"the cache .*grades\.sqlite cannot be used .*delete it, name another folder"):
        grade_file(grader, ROWS, tmp_path / "out.jsonl", cache=folder)
    assert not list(tmp_path.glob("out*"))


# What identifies a row, and how a grade is written


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Sample("x"), Sample("x", output_json=None, output_tools=()), True),
        (Sample('{"a": 1}'), Sample('{"a": 1}', output_json={"a": 1}), True),
        (Sample("x"), Sample("x", output_tools=[]), False),
        (Sample("x"), Sample("x", output_json=[]), False),
        (Sample("x"), Sample("x", output_json=""), False),
        (Sample("x"), Sample("x", output_reasoning_summary=""), False),
        (Sample("", output_json={"a": 1, "b": 2}), Sample("", output_json={"b": 2, "a": 1}), False),
        (Sample("x"), Sample("x "), False),
        (Sample("1"), Sample("", output_json=1), False),
        (Sample("", output_json=0), Sample(""), False),
        (Sample("x"), Sample("x", output_tools=[{}]), False),
    ],
)
def test_samples_that_hold_the_same_have_the_same_hash(one: Sample, other: Sample, same: bool) -> None:
    first, second = (hashes(GradingRow("1", {"a": 1, "b": 2}, sample)) for sample in (one, other))
    assert (first == second) == same
    assert hashes(GradingRow("1", {"b": 2, "a": 1}, one)).given != first.given, "templates render keys in their order"
    assert hashes(GradingRow("2", {"a": 1, "b": 2}, one)).given == first.given
    assert hashes(GradingRow("2", {"a": 1, "b": 2}, one)).row != first.row


def test_the_hash_of_a_row_stays_what_it_is() -> None:
    assert hashes(GradingRow("p1", {"gene": "FBN1"}, Sample("TGFBR2\nFBN1"))).row == "bbd70c683388f2b8"
    sample = Sample("x", output_json=[], output_tools=[{"b": 1, "a": 2}])
    assert hashes(GradingRow("p1", {"gene": "FBN1", "at": 1.0}, sample)).row == "d262bd0d80cc301d"


# Each of these rows is another one to its grader, though it holds the same keys, or as little.
ALIKE: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "order of keys": (
        {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.o}}", "operation": "eq"},
        [{"item": {"o": o}, "output_text": '{"a":1,"b":2}'} for o in ({"a": 1, "b": 2}, {"b": 2, "a": 1})],
    ),
    "empty and absent": (
        {"type": "string_check", "input": "{{sample.output_json}}", "reference": "[]", "operation": "eq"},
        [{"item": {}, "sample": sample} for sample in ({"output_text": "x", "output_json": []}, {"output_text": "x"})],
    ),
}


@pytest.mark.parametrize("alike", ALIKE)
@pytest.mark.parametrize("turned", [False, True])
def test_rows_that_are_graded_apart_are_kept_apart(tmp_path: Path, alike: str, turned: bool) -> None:
    definition, rows = ALIKE[alike]
    grader, rows = load(definition), rows[::-1] if turned else rows
    direct = [grader(*pair).score for pair in ((row.sample, row.item) for row in read_grading_rows(rows))]
    assert sorted(direct, key=bool) == [0.0, 1.0]
    for number in range(2):
        out = tmp_path / f"{number}.jsonl"
        grade_file(grader, rows, out, cache=tmp_path / "cache")
        assert [json.loads(line)["score"] for line in out.read_text().splitlines()] == direct


@pytest.mark.parametrize("alike", ALIKE)
def test_a_recorded_grade_of_a_row_that_is_another_now_is_not_kept(tmp_path: Path, alike: str) -> None:
    definition, (one, other) = ALIKE[alike]
    grader, out = load(definition), tmp_path / "out.jsonl"
    grade_file(grader, [one], out)
    out.rename(tmp_path / "out.jsonl.partial")
    grade_file(grader, [other], out)
    assert json.loads(out.read_text())["score"] == 0.0


def test_of_a_flat_row_the_id_is_part_of_the_item_and_so_of_what_was_graded(tmp_path: Path) -> None:
    judge, calls = judge_of(tmp_path)
    for number, name in enumerate(("a", "b", "b")):
        grade_file(load(judge), [{"id": name, "output_text": "x"}], tmp_path / f"{number}", cache=tmp_path / "cache")
    assert asked(calls) == 2


TEXTS = st.text() | st.sampled_from(["\ud800", '"\\\n', "é"])
ERRORS = st.none() | st.builds(GradeError, TEXTS, st.just("candidate"), TEXTS)


@given(
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5),
    TEXTS,
    ERRORS,
    TEXTS | st.none(),
    st.none() | st.lists(TEXTS | st.integers() | st.none()) | st.dictionaries(TEXTS, st.booleans()),
    st.none() | st.dictionaries(TEXTS, st.integers()),
    st.floats(0, 1e6),
)
def test_a_grade_is_written_as_its_wire_form_is(
    score: float, why: str, error: Any, formula: Any, extracted: Any, usage: Any, seconds: float
) -> None:
    part = Grade(score, why, error, {}, formula, extracted, usage, seconds, "part@1")
    for grade in (
        part,
        Grade(score, why, error, {why: part, "other": part}, grader="whole@2"),
        Grade.undecided("timeout", why, parts={"x": part}),
    ):
        assert json.loads(encode(grade)) == grade.to_wire()
