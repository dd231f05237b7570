from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from graders.offline.read import read_grading_rows

GOOD: dict[str, Any] = {"item": {"gene": "x"}, "output_text": "x"}


def rows_file(folder: Path, *rows: Any) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("sample", "output"),
    [
        ({"sample": {"output_text": "x"}}, "x"),
        ({"output_text": "x"}, "x"),
        ({"output_text": ""}, ""),  # an empty output is an output
        ({"sample": {"output_text": ""}}, ""),
        ({"sample": "x"}, "x"),
        ({"sample": None, "output_text": "x"}, "x"),
        ({"sample": {"output_json": {"gene": "x"}}}, ""),
        ({"sample": {"output_text": None, "output_tools": [{}]}}, ""),
    ],
)
def test_an_output_is_read_in_every_form(tmp_path: Path, sample: dict[str, Any], output: str) -> None:
    (row,) = read_grading_rows(rows_file(tmp_path, {"item": {}, **sample}))
    assert row.sample.output_text == output


@pytest.mark.parametrize(
    "sample",
    [
        {},
        {"output_text": None},
        {"sample": None},
        {"sample": {}},
        {"sample": {"output_text": None}},
        {"sample": {"output_text": None, "output_json": None}},
        {"sample": 5},
        {"sample": []},
    ],
)
def test_an_absent_output_is_not_an_empty_one(tmp_path: Path, sample: dict[str, Any]) -> None:
    data = rows_file(tmp_path, GOOD, {"item": {}, **sample})
    with pytest.raises(ValueError, match=r"data\.jsonl:2: (no sample|the sample holds no output); (expected|give one)"):
        list(read_grading_rows(data))


def test_a_row_without_an_id_or_with_none_takes_its_number(tmp_path: Path) -> None:
    data = rows_file(tmp_path, GOOD, {"id": None, **GOOD}, {"id": "", **GOOD}, {"id": 0, **GOOD})
    assert [row.id for row in read_grading_rows(data)] == ["1", "2", "", "0"]


@pytest.mark.parametrize("again", ["a", 3])
def test_an_id_that_came_before_is_refused_with_both_places(tmp_path: Path, again: Any) -> None:
    data = rows_file(tmp_path, {"id": "b", **GOOD}, {"id": again, **GOOD}, {"id": str(again), **GOOD})
    with pytest.raises(ValueError, match=rf"data\.jsonl:3: id '{again}' is that of .*data\.jsonl:2 already; give"):
        list(read_grading_rows(data))


def test_an_id_may_not_be_the_number_of_another_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.jsonl:2: id '2' is that of .*data\.jsonl:1 already"):
        list(read_grading_rows(rows_file(tmp_path, {"id": 2, **GOOD}, GOOD)))


@pytest.mark.parametrize("given", [["a"], {"a": 1}, []])
def test_an_id_that_is_a_list_or_an_object_is_refused(tmp_path: Path, given: Any) -> None:
    with pytest.raises(ValueError, match=r"data\.jsonl:1: an id is a text or a number, not (\[|\{)"):
        list(read_grading_rows(rows_file(tmp_path, {"id": given, **GOOD})))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"id": "3", "output_text": "X"}, r"no 'item' \(it has: id, output_text\), but the first row is like"),
        ({"itme": {"gene": "x"}, "output_text": "x"}, r"no 'item' \(it has: itme, output_text\)"),
    ],
)
def test_a_row_without_an_item_among_rows_with_one_is_refused(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.jsonl:3: {told}.*not flat: .*; give all rows one shape"):
        list(read_grading_rows(rows_file(tmp_path, GOOD, GOOD, row)))


@pytest.mark.parametrize("row", [GOOD, {"sample": {"output_text": "x"}}])
def test_a_row_with_an_item_among_flat_rows_is_refused(tmp_path: Path, row: dict[str, Any]) -> None:
    data = rows_file(tmp_path, {"gene": "x", "output_text": "x"}, row)
    with pytest.raises(
        ValueError, match=r'data\.jsonl:2: a row like .*, but the first row is flat: {"output_text": ...'
    ):
        list(read_grading_rows(data))


@pytest.mark.parametrize("sample", ["y", {"output_text": "y"}, {"output_json": 1}])
def test_a_row_with_two_outputs_is_refused_unless_they_are_the_same(tmp_path: Path, sample: Any) -> None:
    with pytest.raises(ValueError, match=r"data\.jsonl:1: 'sample' and 'output_text' hold different outputs"):
        list(read_grading_rows(rows_file(tmp_path, {**GOOD, "sample": sample})))
    for same in ("x", {"output_text": "x"}, {"output_text": "x", "output_json": 1}):
        (row,) = read_grading_rows(rows_file(tmp_path, {**GOOD, "sample": same}))
        assert row.sample.output_text == "x"


def test_a_list_of_rows_under_a_name_is_no_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no row but a list of rows under 'rows'; save that list alone"):
        list(read_grading_rows(rows_file(tmp_path, {"rows": [GOOD]})))
