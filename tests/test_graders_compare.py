"""Two sets of grades of the same rows: matched by id, undecided apart, with a difference, a test and what changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graders import load
from graders.offline.compare import compare_grades
from graders.score import grade_file, grade_file_with_all
from graders.statistics import mcnemar, mean_interval, sign_flip

CHECK = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.gene}}"}
EQUAL, HELD = ({**CHECK, "operation": operation} for operation in ("eq", "like"))


def grades(folder: Path, name: str, *scores: float | None, first: int = 0, **more: Any) -> Path:
    path = folder / name
    rows = [
        {"id": f"r{number}", "score": score, "why": f"{name} {number}", "grader": "exact@1", "row": "x", **more}
        | ({"error": {"kind": "timeout", "fault": "infra", "detail": "slow"}} if score is None else {})
        for number, score in enumerate(scores, start=first)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_difference_its_test_the_flips_and_what_changed_most(tmp_path: Path) -> None:
    a = grades(tmp_path, "a", 1, 0, 0, 0, 1, 1)
    b = grades(tmp_path, "b", 1, 1, 1, 0, 0, 1)
    found = compare_grades(a, b, most=2)
    assert [found.a.mean, found.b.mean] == pytest.approx([0.5, 4 / 6])
    assert found.difference == mean_interval([0.0, 1.0, 1.0, 0.0, -1.0, 0.0], bounds=(-1, 1))
    assert (found.test, found.p) == ("McNemar's exact test", mcnemar(2, 1))
    assert found.flips == {"pass_pass": 2, "pass_fail": 1, "fail_pass": 2, "fail_fail": 1}
    assert found.changed == 3
    assert [(change.id, change.a, change.b) for change in found.most_changed] == [("r1", 0, 1), ("r2", 0, 1)]
    assert (found.most_changed[0].why_a, found.most_changed[0].why_b) == ("a 1", "b 1")
    assert found.warnings == ()
    told = str(found)
    assert "B - A  +0.1667  95% CI [" in told
    assert "over 6 pairs" in told
    assert "A passes          2          1" in told
    assert "A fails           2          1" in told
    assert json.loads(json.dumps(found.to_wire()))["difference"]["mean"] == pytest.approx(1 / 6)


def test_graded_scores_are_tested_by_flipping_signs_and_pass_from_the_threshold(tmp_path: Path) -> None:
    a, b = grades(tmp_path, "a", 0.2, 0.5, 0.9, 0.7), grades(tmp_path, "b", 0.3, 0.7, 0.9, 0.6)
    found = compare_grades(a, b, threshold=0.7)
    assert found.test == "sign-flip permutation test"
    assert found.p == sign_flip([0.3 - 0.2, 0.7 - 0.5, 0.0, 0.6 - 0.7])
    assert found.flips == {"pass_pass": 1, "pass_fail": 1, "fail_pass": 1, "fail_fail": 1}
    assert [change.id for change in found.most_changed] == ["r1", "r0", "r3"]


def test_the_largest_changes_are_kept_and_of_equal_ones_the_first(tmp_path: Path) -> None:
    a, b = grades(tmp_path, "a", *[0.0] * 30), grades(tmp_path, "b", *[n % 10 / 10 for n in range(30)])
    found = compare_grades(a, b, most=4)
    assert [change.id for change in found.most_changed] == ["r9", "r19", "r29", "r8"]
    none = compare_grades(a, b, most=0)
    assert (none.most_changed, none.changed) == ((), 27)


def test_the_undecided_of_either_side_are_counted_apart_and_enter_nothing(tmp_path: Path) -> None:
    a, b = grades(tmp_path, "a", 1, None, 0, None), grades(tmp_path, "b", 0, 1, None, None)
    found = compare_grades(a, b)
    assert (dict(found.a.undecided), dict(found.b.undecided)) == ({"timeout": 2}, {"timeout": 2})
    assert found.difference is not None
    assert (found.difference.n, found.difference.mean) == (1, -1.0)
    assert found.to_wire()["difference"]["low"] is None, "of one pair no interval can be told"
    assert "undecided: timeout 2" in str(found)


def test_where_no_pair_is_decided_nothing_is_claimed(tmp_path: Path) -> None:
    found = compare_grades(grades(tmp_path, "a", 1, None), grades(tmp_path, "b", None, 1))
    assert (found.difference, found.p, found.a.mean) == (None, None, None)
    assert "no row was decided on both sides" in str(found)


def test_ids_that_one_side_lacks_are_told_and_left_out(tmp_path: Path) -> None:
    a, b = grades(tmp_path, "a", 1, 1, 1, 1, 1), grades(tmp_path, "b", 0, 0, first=4)
    found = compare_grades(a, b)
    assert found.difference is not None
    assert found.difference.n == 1
    assert (found.a.alone, found.a.alone_examples) == (4, ("r0", "r1", "r2"))
    assert (found.b.alone, found.b.alone_examples) == (1, ("r5",))
    assert "4 rows only here: r0, r1, r2, ..." in str(found)
    assert found.warnings == ("left out, as they are on one side only: 5 rows",)
    with pytest.raises(ValueError, match=r"no id of .*a is in .*c; compare grades of the same rows"):
        compare_grades(a, grades(tmp_path, "c", 1, first=90))


def test_a_comparison_in_which_both_graders_and_rows_differ_is_warned_of(tmp_path: Path) -> None:
    a = grades(tmp_path, "a", 1, 0)
    rows, both = grades(tmp_path, "b", 1, 0, row="y"), grades(tmp_path, "c", 1, 0, row="y", grader="exact@2")
    assert compare_grades(a, rows).warnings == ()
    assert compare_grades(a, grades(tmp_path, "d", 1, 0, grader="exact@2")).warnings == ()
    (warning,) = compare_grades(a, both).warnings
    assert warning.startswith("both the graders and the graded rows differ (of 2 rows)")


@pytest.mark.parametrize("twice", ["a", "b"])
def test_an_id_that_comes_twice_is_refused(tmp_path: Path, twice: str) -> None:
    a, b = grades(tmp_path, "a", 1, 1), grades(tmp_path, "b", 1, 1)
    path = {"a": a, "b": b}[twice]
    path.write_text(path.read_text() * 2)
    with pytest.raises(ValueError, match=rf"{twice}: two rows have the id 'r0'"):
        compare_grades(a, b)


@pytest.mark.parametrize(
    "row",
    [
        {"id": "a"},
        {"score": 1},
        {"id": "a", "score": "1"},
        {"id": "a", "score": True},
        {"item": {}, "output_text": "x"},
        {"id": "a", "grades": 5},
    ],
)
def test_a_line_that_is_no_grade_is_refused_with_its_place(tmp_path: Path, row: dict[str, Any]) -> None:
    bad = tmp_path / "bad"
    bad.write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match=r"bad:1: (no grade .*give a file that 'assay grade'|'grades' must be an obj)"):
        compare_grades(bad, bad)


# Files as `assay grade` writes them


def data_of(folder: Path) -> Path:
    rows = [
        {"id": f"p{n}", "item": {"gene": "x", "source": n // 4}, "output_text": "x" if n % 3 else "x!"}
        for n in range(40)
    ]
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_two_graders_of_one_file_are_compared_by_their_names(tmp_path: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    data, out = data_of(tmp_path), tmp_path / f"grades.{ending}"
    grade_file_with_all({"equal": load(EQUAL), "held": load(HELD)}, data, out)
    found = compare_grades(f"{out}:equal", f"{out}:held")
    assert found.flips == {"pass_pass": 26, "pass_fail": 0, "fail_pass": 14, "fail_fail": 0}
    assert found.most_changed[0].why_a == "'x!' differs from 'x'"
    assert found.warnings == ()
    with pytest.raises(ValueError, match="file:name with one of equal, held"):
        compare_grades(out, f"{out}:held")
    with pytest.raises(ValueError, match=r"(no grader|no grades of) 'hold'"):
        compare_grades(f"{out}:equal", f"{out}:hold")


def test_clusters_are_looked_up_in_the_rows_or_in_the_grades_of_eval(tmp_path: Path) -> None:
    data = data_of(tmp_path)
    a, b = tmp_path / "a.jsonl", tmp_path / "b.parquet"
    grade_file(load(EQUAL), data, a)
    pytest.importorskip("pyarrow")
    grade_file(load(HELD), data, b)
    found = compare_grades(a, b, cluster="source", data=data)
    differences = [0.0 if n % 3 else 1.0 for n in range(40)]
    clusters = [n // 4 for n in range(40)]
    assert found.difference == mean_interval(differences, clusters, bounds=(-1, 1))
    assert (found.test, found.p) == ("sign-flip permutation test", sign_flip(differences, clusters))
    assert "over 40 pairs in 10 clusters" in str(found)
    with pytest.raises(ValueError, match="hold no item with the key 'source'; name the rows graded with --data"):
        compare_grades(a, b, cluster="source")
    with pytest.raises(ValueError, match=r"data\.jsonl:1: the item has no key 'sauce' .*did you mean 'source'"):
        compare_grades(a, b, cluster="sauce", data=data)
    with_items = tmp_path / "eval.jsonl"
    pairs = zip(data.read_text().splitlines(), a.read_text().splitlines(), strict=True)
    with_items.write_text("".join(json.dumps(json.loads(row) | json.loads(grade)) + "\n" for row, grade in pairs))
    assert compare_grades(with_items, b, cluster="source").difference == found.difference


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file of grades '.*nowhere\.jsonl'"):
        compare_grades(tmp_path / "nowhere.jsonl", tmp_path / "nowhere.jsonl")
    a = grades(tmp_path, "a", 1)
    with pytest.raises(ValueError, match="the grades of one grader, which has no name here"):
        compare_grades(a, f"{a}:exact")


def test_half_a_surrogate_pair_can_be_told(tmp_path: Path) -> None:
    a, b = grades(tmp_path, "a", 1, why="\ud800"), grades(tmp_path, "b", 0)
    assert "\\ud800" in str(compare_grades(a, b)).encode().decode()


# Parquet that is something else


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([{"id": "a", "score": "high"}], r"a\.parquet row 1: no grade .*give a file that 'assay grade'"),
        ([{"id": "a", "score": 1.0}, {"id": "b", "score": float("nan")}], r"a\.parquet row 2: no grade"),
        ([{"score": 1.0}], r"a\.parquet row 1: no grade"),
        ([{"id": None, "score": 1.0}], r"a\.parquet row 1: no grade"),
        ([{"id": ["a"], "score": 1.0}], r"a\.parquet row 1: no grade"),
        ([{"id": "a", "points": 1.0}], r"a\.parquet: no column 'score'; give one that 'assay grade' wrote"),
    ],
)
def test_parquet_without_grades_is_refused(tmp_path: Path, rows: list[dict[str, Any]], complaint: str) -> None:
    path = parquet_of(tmp_path, rows)
    with pytest.raises(ValueError, match=complaint):
        compare_grades(path, path)


def parquet_of(folder: Path, rows: list[dict[str, Any]]) -> Path:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    return folder / "a.parquet"


def test_parquet_needs_no_more_than_ids_and_scores_as_json_lines_do(tmp_path: Path) -> None:
    path = parquet_of(tmp_path, [{"id": 7, "score": 1.0}, {"id": 8, "score": 0.0}])
    other = tmp_path / "b.jsonl"
    other.write_text('{"id": "7", "score": 0}\n{"id": "8", "score": 0}\n')
    for one, two in ((path, other), (other, path)):
        found = compare_grades(one, two)
        assert [change.id for change in found.most_changed] == ["7"]
    with pytest.raises(
        ValueError, match=r"a\.parquet: the grades of one grader, which has no name here; leave ':zzz' out"
    ):
        compare_grades(f"{path}:zzz", path)


def test_a_threshold_is_a_number(tmp_path: Path) -> None:
    a = grades(tmp_path, "a", 1)
    with pytest.raises(ValueError, match="threshold=nan: a row passes from a finite score"):
        compare_grades(a, a, threshold=float("nan"))
