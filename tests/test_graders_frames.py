"""Rows from every place they may come from: files of four kinds, frames, data sets, iterables."""

from __future__ import annotations

import csv
import datetime
import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders.offline import ids as ids_module
from graders.offline.ids import Ids
from graders.offline.read import read_grading_rows
from graders.offline.sources import JsonArray, open_source, plain
from graders.rows import GradingRow

ROOT = Path(__file__).parent.parent
FLAT: list[dict[str, Any]] = [
    {"id": "a", "gene": "FBN1", "note": "one, two\nthree", "output_text": "FBN1"},
    {"id": "b", "gene": "SKI", "note": "", "output_text": 'say "LOX"'},
]


def as_jsonl(folder: Path) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in FLAT))
    return path


def as_json(folder: Path) -> Path:
    path = folder / "data.json"
    path.write_text(json.dumps(FLAT, indent=2))
    return path


def as_csv(folder: Path) -> Path:
    path = folder / "data.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(FLAT[0]))
        writer.writeheader()
        writer.writerows(FLAT)
    return path


def as_parquet(folder: Path) -> Path:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(FLAT), folder / "data.parquet")
    return folder / "data.parquet"


def as_pandas(folder: Path) -> Any:
    return pytest.importorskip("pandas").DataFrame(FLAT)


def as_polars(folder: Path) -> Any:
    return pytest.importorskip("polars").DataFrame(FLAT)


def as_data_set(folder: Path) -> Any:
    """Hugging Face's, in a process of its own: a folder of that name stands in this repository."""
    program = (
        "import sys; sys.path = [p for p in sys.path if p not in ('', sys.argv[1])]\n"
        "import json, datasets; rows = datasets.Dataset.from_list(json.loads(sys.argv[2]))\n"
        "sys.path.append(sys.argv[1]); from graders.offline.read import read_grading_rows\n"
        "print(json.dumps([[row.id, row.item, row.sample.output_text] for row in read_grading_rows(rows)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, ROOT, json.dumps(FLAT)], capture_output=True, text=True, check=False, cwd=folder
    )
    if "No module named 'datasets'" in done.stderr:
        pytest.skip("datasets is not installed")
    assert done.returncode == 0, done.stderr
    return [{"id": name, "item": item, "output_text": text} for name, item, text in json.loads(done.stdout)]


MAKERS: list[Callable[[Path], Any]] = [
    as_jsonl,
    as_json,
    as_csv,
    as_parquet,
    as_pandas,
    as_polars,
    as_data_set,
    lambda folder: iter(FLAT),
]


@pytest.mark.parametrize("make", MAKERS)
def test_flat_rows_are_the_same_wherever_they_come_from(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    rows = list(read_grading_rows(make(tmp_path)))
    assert [row.id for row in rows] == ["a", "b"]
    assert [row.sample.output_text for row in rows] == ["FBN1", 'say "LOX"']
    assert [dict(row.item) for row in rows] == [
        {key: value for key, value in row.items() if key != "output_text"} for row in FLAT
    ]


@pytest.mark.parametrize("make", MAKERS)
def test_the_column_of_the_output_may_have_any_name(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    if make is as_data_set:
        pytest.skip("its rows come back with an item")
    rows = list(read_grading_rows(make(tmp_path), output="gene"))
    assert [row.sample.output_text for row in rows] == ["FBN1", "SKI"]
    assert rows[0].item["output_text"] == "FBN1"
    with pytest.raises(ValueError, match=r"no sample; expected text in the column 'gen' .*did you mean 'gene'"):
        list(read_grading_rows(make(tmp_path), output="gen"))


def test_beside_an_item_the_named_column_is_the_output(tmp_path: Path) -> None:
    row = {"item": {"x": 1}, "answer": "yes", "sample": {"output_text": "no"}}
    assert next(read_grading_rows([row], output="answer")).sample.output_text == "yes"
    with pytest.raises(ValueError, match=r'or "anser": .*did you mean .answer'):
        list(read_grading_rows([row], output="anser"))


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([{"output_text": "x"}, 5], "the data, row 2: a dict of columns is expected, not 5"),
        ([{1: "x"}], "the data, row 1: a column is called by a string, not 1"),
        ([{"output_text": "x", "at": object()}], "row 1: <object .* is a object, which JSON cannot hold"),
        ([{"output_text": "x", "at": float("inf")}], "row 1: inf is no JSON number"),
        ([{"output_text": None, "x": 1}], "row 1: no sample; expected text in the column 'output_text'"),
        ([{"output_text": 5, "x": 1}], "row 1: no sample; expected text in the column 'output_text', not 5"),
        ([{"sample": {"output_text": "x"}}], "row 1: 'item' must be an object"),
        ([{"output_text": "", "id": "x"}, {"output_text": "", "id": "x"}], "row 2: id 'x' is that of the data, row 1"),
    ],
)
def test_a_row_of_python_that_is_none_is_refused_with_its_number(rows: list[Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        list(read_grading_rows(rows))


def test_an_id_that_came_before_is_refused_where_rows_can_be_read_only_once() -> None:
    with pytest.raises(ValueError, match="row 2: id 'x' is that of a row before it"):
        list(read_grading_rows(iter([{"output_text": "", "id": "x"}] * 2)))


@pytest.mark.parametrize("data", [5, None, {"output_text": "x"}])
def test_what_holds_no_rows_is_refused(data: Any) -> None:
    with pytest.raises(TypeError, match="rows are a file, a frame or an iterable of dicts, not"):
        open_source(data)


def test_a_lazy_frame_is_to_be_collected_first() -> None:
    polars = pytest.importorskip("polars")
    with pytest.raises(TypeError, match=r"not LazyFrame; collect\(\) it first"):
        open_source(polars.DataFrame(FLAT).lazy())


def nested() -> Any:
    value: Any = 0
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None),
        (np.float32("nan"), None),
        (np.int64(3), 3),
        (np.array([1.5, float("nan")]), [1.5, None]),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (datetime.datetime(2026, 1, 2, 3, 4), "2026-01-02T03:04:00"),
        (np.datetime64("2020-01-01T00:00:00", "ns"), "2020-01-01T00:00:00"),
        (np.datetime64("2020-01-01T00:00:00.000000001", "ns"), "2020-01-01T00:00:00.000000001"),
        (np.datetime64("2020-01-01T00:00:00.5", "ms"), "2020-01-01T00:00:00.500000"),
        (np.datetime64("2020-01-01", "D"), "2020-01-01"),
        (np.datetime64("NaT"), None),
        (np.array(["2020-01-01", "NaT"], "datetime64[ns]"), ["2020-01-01T00:00:00", None]),
        (Decimal("1.5"), 1.5),
        (Decimal("3.00"), 3),
        (Decimal("NaN"), None),
        (Decimal("0.1"), 0.1),
        (Decimal("12345678901234567890"), 12345678901234567890),
        (Decimal("12345678901234567890.12"), "12345678901234567890.12"),
        (Decimal("1e-400"), "1E-400"),
        (Decimal("1e999999"), "1E+999999"),
        ({"a": (1, np.bool_(True))}, {"a": [1, True]}),
    ],
)
def test_what_a_frame_holds_becomes_json(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)


def test_missing_values_of_pandas_are_null() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "output_text": ["x"],
            "a": [None],
            "b": [pandas.NaT],
            "c": [pandas.NA],
            "d": pandas.to_datetime(["2026-01-02"]),
        }
    )
    (row,) = read_grading_rows(frame)
    assert dict(row.item) == {"a": None, "b": None, "c": None, "d": "2026-01-02T00:00:00"}


def test_whole_numbers_of_pandas_stay_whole_where_a_row_lacks_one() -> None:
    pandas = pytest.importorskip("pandas")
    count = 200  # of several batches, most without a gap
    frame = pandas.DataFrame(
        {
            "output_text": ["x"] * count,
            "id": [*range(1, count), None],
            "year": [2020, None, *[2021] * (count - 2)],
            "share": [0.5, None, *[1.0] * (count - 2)],
            "float": [1.0] * count,
            "none": [float("nan")] * count,
            "large": [2.0**60, None, *[1.0] * (count - 2)],
        }
    )
    rows = list(read_grading_rows(frame))
    assert [row.id for row in rows] == [str(n) for n in range(1, count + 1)]
    values = [[repr(row.item[name]) for row in rows[:3]] for name in ("year", "share", "float", "none", "large")]
    assert values == [
        ["2020", "None", "2021"],
        ["0.5", "None", "1.0"],
        ["1.0", "1.0", "1.0"],
        ["None", "None", "None"],
        [repr(2.0**60), "None", "1.0"],
    ]
    assert "Int64" not in {str(dtype) for dtype in frame.dtypes}, "the frame itself is left as it was"


def test_a_span_of_time_is_refused() -> None:
    for value in (np.timedelta64(1, "ns"), datetime.timedelta(1)):
        with pytest.raises(ValueError, match=r"row 1: .* is a timedelta(64)?, which JSON cannot hold"):
            list(read_grading_rows([{"output_text": "x", "took": value}]))


def test_values_nested_too_deeply_are_refused() -> None:
    deep = nested()
    with pytest.raises(ValueError, match="row 1: values are nested too deeply"):
        list(read_grading_rows([{"output_text": "x", "deep": deep}]))
    while deep:  # taken apart one by one: all at once is more than the interpreter can bear
        deep = deep[0]


# JSON arrays


@given(
    st.lists(st.dictionaries(st.text(), st.none() | st.text() | st.integers(), max_size=3), max_size=20),
    st.sampled_from([None, 1]),
    st.integers(1, 50),
)
def test_an_array_is_read_in_pieces_of_any_size(rows: list[dict[str, Any]], indent: int | None, piece: int) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if b"\xed" in text:
        text = json.dumps(rows, indent=indent).encode()
    assert array_of(text, piece) == rows


def array_of(text: bytes, piece: int = 7, max_bytes: int = 1000) -> list[Any]:
    with NamedTemporaryFile(suffix=".json") as file:
        file.write(text)
        file.flush()
        source = JsonArray(Path(file.name), max_bytes)
        source.piece, source.name = piece, "data.json"
        return [raw.content for raw in source.raws()]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[{"a": 1}, {"a": }]', r"data\.json row 2: not JSON \(Expecting value at character 7 of the row\)"),
        ('[{"a": 1}, {"a": 1, "a": 2}]', "row 2: not JSON .the key 'a' stands twice"),
        ('[{"a": NaN}]', "row 1: not JSON .NaN is not JSON"),
        ('[{"a": 1}, 5]', "row 2: a JSON object is expected, not '5'"),
        ('[{"a": 1}, ', "row 2: a JSON object is expected, not 'the end of the file'"),
        ('[{"a": 1}', "row 1: not JSON: ',' or ']' is expected after it"),
        ('[{"a": 1} {"a": 2}]', "row 1: not JSON: ',' or ']' is expected after it"),
        ('[{"a": "', r"row 1: not JSON \(the file ends inside it\)"),
        ('[{"a": 1}] x', "more text after the end of the array"),
        ('[{"a": "' + "x" * 2000 + '"}]', r"row 1: a row of 1,0\d\d bytes is longer than the limit of 1,000"),
        ('[{"a": ' + "[" * 999 + "]" * 999, "row 1: not JSON .values are nested too deeply|longer than the limit"),
        (
            '[{"a": ' + "9" * 5000 + "}]",
            "row 1: (not JSON .a whole number of more than 4,300 digits; write it as text|a row of .* bytes is longer)",
        ),
    ],
)
def test_a_malformed_array_is_refused_with_the_row(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        array_of(text.encode())


def test_an_array_that_is_not_utf_8_is_refused_with_the_byte() -> None:
    with pytest.raises(ValueError, match=r"data\.json: not UTF-8 \(at byte 14\)"):
        array_of(b'[{"a": "abcde\xff"}]')


@pytest.mark.parametrize(
    "text", ['{"output_text": "x"}\n{"output_text": "y"}\n', ' \n[{"output_text": "x"},{"output_text": "y"}]']
)
def test_a_json_file_may_hold_an_array_or_lines(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.json").write_text("\ufeff" + text)
    assert [row.sample.output_text for row in read_grading_rows(tmp_path / "data.json")] == ["x", "y"]


# CSV


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("output_text,a\nx\n", r":2: 1 values under 2 columns; quote values that hold commas"),
        ("output_text,a\nx,1,2\n", r":2: 3 values under 2 columns"),
        ("output_text,output_text\nx,y\n", r":1: two columns are called 'output_text'"),
        ('output_text,a\n"x" y,1\n', r":2: not CSV"),
        ('output_text,a\n"x,1\n', r":2: not CSV \(the file ends inside a quoted value; close the quote"),
        (
            'output_text,a\n"x,1\n' + "y,1\n" * 40_000,
            r":2: not CSV \(a value of more than [\d,]+ characters; is a quote",
        ),
        ("output_text,a\rx,1\ry,1\r", r":1: not CSV \(a carriage return inside a value that is not quoted; save"),
        ("output_text,a\n\xff,1\n", r":2: not UTF-8 \(byte 0xff\)"),
        ("a,b\n1,2\n", r":2: no sample; expected text in the column 'output_text' .*known: a, b"),
    ],
)
def test_malformed_csv_is_refused_with_the_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "data.csv").write_bytes(text.encode("latin-1"))
    before = csv.field_size_limit(131_072)
    with pytest.raises(ValueError, match=complaint):
        list(read_grading_rows(tmp_path / "data.csv", max_bytes=1000))
    csv.field_size_limit(before)


@pytest.mark.parametrize("ending", ["CSV", "Csv"])
def test_the_ending_of_a_file_may_be_in_capitals(tmp_path: Path, ending: str) -> None:
    as_csv(tmp_path).rename(tmp_path / f"data.{ending}")
    assert [row.id for row in read_grading_rows(tmp_path / f"data.{ending}")] == ["a", "b"]


@pytest.mark.parametrize(("pack", "said"), [("gzip", "gzip; unpack it first: gunzip"), ("bz2", "bzip2; unpack it")])
def test_a_compressed_file_is_refused_by_its_name(tmp_path: Path, pack: str, said: str) -> None:
    packed = importlib.import_module(pack).compress(as_jsonl(tmp_path).read_bytes())
    (tmp_path / "data.jsonl.packed").write_bytes(packed)
    with pytest.raises(ValueError, match=rf"data\.jsonl\.packed is compressed with {said}"):
        list(read_grading_rows(tmp_path / "data.jsonl.packed"))


@pytest.mark.parametrize("value", [FLAT[0], {"rows": FLAT}])
def test_a_json_file_that_is_one_object_over_several_lines_is_told_so(tmp_path: Path, value: Any) -> None:
    (tmp_path / "data.json").write_text(json.dumps(value, indent=1))
    with pytest.raises(ValueError, match=r"data\.json: one JSON object over several lines; an array of rows"):
        list(read_grading_rows(tmp_path / "data.json"))


def test_csv_with_a_mark_dos_line_ends_and_objects_in_item_and_sample(tmp_path: Path) -> None:
    text = '\ufeffid,item,sample\r\na,"{""gene"": ""x""}","{""output_text"": ""y""}"\r\n\r\n'
    (tmp_path / "data.csv").write_bytes(text.encode())
    (row,) = read_grading_rows(tmp_path / "data.csv")
    assert (row.id, row.item, row.sample.output_text) == ("a", {"gene": "x"}, "y")
    assert row.place.endswith("data.csv:2")


def test_a_csv_field_may_be_long(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("output_text\n" + "x" * 200_000 + "\n")
    (row,) = read_grading_rows(tmp_path / "data.csv")
    assert len(row.sample.output_text) == 200_000


# Parquet


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "data.parquet").write_text("no")
    with pytest.raises(ValueError, match=r"data\.parquet: not Parquet"):
        list(read_grading_rows(tmp_path / "data.parquet"))


def test_without_pyarrow_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_text("")
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from graders.offline.read import read_grading_rows\n"
        "list(read_grading_rows(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "data.parquet"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert "Parquet needs pyarrow, which is not installed: pip install 'assay[scale]'" in done.stderr


def test_a_damaged_parquet_is_refused_or_read(tmp_path: Path) -> None:
    path = as_parquet(tmp_path)
    content = path.read_bytes()
    for place in range(4, len(content) - 8, 7):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        assert refused_or_read(path)


# Any bytes


def refused_or_read(path: Path) -> bool:
    try:
        return all(isinstance(row, GradingRow) for row in read_grading_rows(path, max_bytes=100))
    except ValueError:
        return True


PIECES = st.sampled_from(
    [
        *(b'{"item": {"a": 1}, "output_text": "x"}', b"output_text,id", b'"id": 1', b"1e999", b"NaN"),
        *(
            b"[",
            b"]",
            b",",
            b"\n",
            b"{",
            b"}",
            b'"',
            b"\\",
            b"\xff",
            b"\xef\xbb\xbf",
            b"\r",
            b"\0",
            b"9" * 60,
            b"[" * 60,
        ),
    ]
)


@settings(deadline=None)
@given(st.lists(PIECES | st.binary(max_size=5), max_size=12).map(b"".join), st.sampled_from(["json", "jsonl", "csv"]))
def test_a_file_of_any_bytes_is_read_or_refused_in_one_way(content: bytes, ending: str) -> None:
    with NamedTemporaryFile(suffix=f".{ending}") as file:
        file.write(content)
        file.flush()
        assert refused_or_read(Path(file.name))


# Ids, many


def row_named(name: str) -> dict[str, Any]:
    return {"id": name, "output_text": ""}


@pytest.mark.parametrize(("first", "second"), [(0, 1), (0, 99), (40, 41), (3, 70), (98, 99)])
def test_an_id_that_comes_again_is_found_however_many_lie_between(
    monkeypatch: pytest.MonkeyPatch, first: int, second: int
) -> None:
    monkeypatch.setattr(ids_module, "RECENT", 8)
    monkeypatch.setattr(ids_module, "PACKED", 32)
    names = [f"r{n}" for n in range(100)]
    assert len(list(read_grading_rows([row_named(name) for name in names]))) == 100
    names[second] = names[first]
    with pytest.raises(ValueError, match=f"row {second + 1}: id 'r{first}' is that of the data, row {first + 1}"):
        list(read_grading_rows([row_named(name) for name in names]))
    with pytest.raises(ValueError, match=r"id 'r\d+' is that of a row before it|two rows have the same id"):
        list(read_grading_rows(iter([row_named(name) for name in names])))


def test_ids_whose_hashes_are_equal_by_chance_are_not_called_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids_module, "hash", lambda name: 7, raising=False)
    rows = [row_named("x"), row_named("y")]
    assert [row.id for row in read_grading_rows(rows)] == ["x", "y"]
    ids = Ids(open_source(rows))
    ids.add("x", "the data, row 1")
    assert isinstance(next(read_grading_rows(rows)), GradingRow)
