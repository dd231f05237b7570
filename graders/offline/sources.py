"""Sources: where rows come from. Each gives them one at a time, in order, in memory that does not grow."""

from __future__ import annotations

import codecs
import csv
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sized
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, NamedTuple

from graders.rows import MAX_ROW_BYTES, is_flat, json_trouble, read_lines, read_row, too_long
from graders.sample import parse_json, scan_json
from graders.template import short

BATCH = 64  # rows taken from a frame or a Parquet file at once


class Raw(NamedTuple):
    """A row as it was found: its number in the data, from 1, where it stands, and its line or its columns."""

    number: int
    position: int
    content: bytes | dict[str, Any]


class Source(ABC):
    """Rows that can be read; `place` says in messages where one stands."""

    name: str
    between: str = " row "  # what stands between the name and the position in a place
    again: bool = True  # whether they can be read more than once
    share: float | None = None  # of the rows, read so far; None when it cannot be told
    size: int | None = None  # bytes of a file
    flat: bool | None = None  # whether the first row has no item of its own; known once it was read

    def raws(self) -> Iterator[Raw]:
        """Every row, in order."""
        found = self.found()
        for first in found:
            if self.flat is None:
                self.flat = is_flat(self.row(first))
            yield first
            yield from found

    @abstractmethod
    def found(self) -> Iterator[Raw]:
        """Every row, as it is read."""

    def place(self, raw: Raw) -> str:
        return f"{self.name}{self.between}{raw.position}"

    def row(self, raw: Raw) -> Mapping[str, Any]:
        """The row's columns; ValueError with its place where it is none."""
        return raw.content if isinstance(raw.content, dict) else read_row(self.place(raw), raw.content)


class _File(Source):
    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self.name, self.max_bytes = path, str(path), max_bytes
        self.size = path.stat().st_size

    def found(self) -> Iterator[Raw]:
        with self.path.open("rb") as file:
            for raw in self.read(file):
                if raw.number % BATCH == 0:
                    self.share = file.tell() / max(1, self.size or 0)
                yield raw

    def read(self, file: IO[bytes]) -> Iterator[Raw]:
        raise NotImplementedError


class JsonLines(_File):
    """One JSON object a line."""

    between = ":"

    def read(self, file: IO[bytes]) -> Iterator[Raw]:
        number = 0
        for position, line in read_lines(file, self.path, self.max_bytes):
            if not line.isspace():
                number += 1
                yield Raw(number, position, line)


class JsonArray(_File):
    """One JSON array of objects, read element by element."""

    piece = 2**20  # bytes read at once

    def read(self, file: IO[bytes]) -> Iterator[Raw]:
        text = _Text(file, self.name, self.piece)
        text.skip_space()
        if text.take() != "[":
            raise ValueError(f"{self.name}: a JSON array of objects is expected")
        number = 0
        text.skip_space()
        if text.peek() == "]":
            text.take()
        else:
            while True:
                number += 1
                yield Raw(number, number, text.object(f"{self.name} row {number}", self.max_bytes))
                text.skip_space()
                after = text.take()
                if after == "]":
                    break
                if after != ",":
                    raise ValueError(f"{self.name} row {number}: not JSON: ',' or ']' is expected after it")
                text.skip_space()
        text.skip_space()
        if text.peek():
            raise ValueError(f"{self.name}: more text after the end of the array; one array of objects is expected")


class _Text:
    """The text of a file, of which no more is held than the element being read."""

    def __init__(self, file: IO[bytes], name: str, piece: int) -> None:
        self.file, self.name, self.piece = file, name, piece
        self.decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self.text, self.at = "", 0

    def more(self) -> bool:
        piece = self.file.read(self.piece)
        try:
            self.text, self.at = self.text[self.at :] + self.decode(piece, not piece), 0
        except UnicodeDecodeError as problem:
            place = self.file.tell() - len(problem.object) + problem.start + 1
            raise ValueError(f"{self.name}: not UTF-8 (at byte {place:,}); save the file as UTF-8") from None
        return bool(piece)

    def peek(self) -> str:
        while self.at == len(self.text):
            if not self.more():
                return ""
        return self.text[self.at]

    def take(self) -> str:
        found = self.peek()
        self.at += len(found)
        return found

    def skip_space(self) -> None:
        while self.peek() in (" ", "\t", "\r", "\n"):
            self.at += 1

    def object(self, place: str, max_bytes: int) -> dict[str, Any]:
        if (start := self.peek()) != "{":
            raise ValueError(f"{place}: a JSON object is expected, not {start or 'the end of the file'!r}")
        while True:
            try:
                value, self.at = scan_json(self.text, self.at)
            except json.JSONDecodeError as problem:
                cut, known, told = self._cut(problem), len(self.text) - self.at, self._told(problem)
                if cut and known > max_bytes:
                    raise ValueError(too_long(place, known, max_bytes)) from None
                if not (cut and self.more()):
                    raise ValueError(f"{place}: not JSON ({told})") from None
            except ValueError as problem:
                raise ValueError(f"{place}: not JSON ({json_trouble(problem)})") from None
            else:
                assert isinstance(value, dict)
                return value

    def _cut(self, problem: json.JSONDecodeError) -> bool:
        """Whether it may be for want of text that the element does not parse."""
        return problem.msg.startswith("Unterminated") or problem.pos > len(self.text) - len("Infinity")

    def _told(self, problem: json.JSONDecodeError) -> str:
        if problem.msg.startswith("Unterminated") or problem.pos >= len(self.text):
            return "the file ends inside it"
        return f"{problem.msg} at character {problem.pos - self.at + 1} of the row"


class Csv(_File):
    """Comma-separated values under a header; every value is a string. Objects in `item` and `sample` are read."""

    between = ":"

    def read(self, file: IO[bytes]) -> Iterator[Raw]:
        csv.field_size_limit(max(csv.field_size_limit(), self.max_bytes))
        reader = csv.reader(self._texts(file), strict=True)
        columns: list[str] | None = None
        number = 0
        while True:
            position = reader.line_num + 1
            try:
                fields = next(reader, None)
            except csv.Error as problem:
                raise ValueError(f"{self.name}:{position}: not CSV ({self._told(problem)})") from None
            if fields is None:
                break
            if columns is None:
                columns = self._header(fields)
            elif fields:
                number += 1
                yield Raw(number, position, self._columns(position, columns, fields))

    def _told(self, problem: csv.Error) -> str:
        said = str(problem)
        if "field limit" in said:
            return f"a value of more than {csv.field_size_limit():,} characters; is a quote not closed?"
        if "unexpected end of data" in said:
            return "the file ends inside a quoted value; close the quote"
        if "new-line character" in said:
            return "a carriage return inside a value that is not quoted; save the file with line ends \\n or \\r\\n"
        return said

    def _texts(self, file: IO[bytes]) -> Iterator[str]:
        for number, line in read_lines(file, self.path, self.max_bytes):
            try:
                yield line.decode("utf-8")
            except UnicodeDecodeError as problem:
                byte = line[problem.start]
                raise ValueError(
                    f"{self.name}:{number}: not UTF-8 (byte {byte:#04x}); save the file as UTF-8"
                ) from None

    def _header(self, fields: list[str]) -> list[str]:
        twice = [name for position, name in enumerate(fields) if name in fields[:position]]
        if twice:
            raise ValueError(f"{self.name}:1: two columns are called {twice[0]!r}; give each its own name")
        return fields

    def _columns(self, position: int, columns: list[str], fields: list[str]) -> dict[str, Any]:
        if len(fields) != len(columns):
            raise ValueError(
                f"{self.name}:{position}: {len(fields)} values under {len(columns)} columns; "
                "quote values that hold commas or line breaks"
            )
        row: dict[str, Any] = dict(zip(columns, fields, strict=True))
        for key in ("item", "sample"):
            if key in row and isinstance(value := parse_json(row[key]), dict):
                row[key] = value
        return row


class Parquet(_File):
    """Rows of a Parquet file, a batch at a time."""

    def found(self) -> Iterator[Raw]:
        file = open_parquet(self.path)
        for raw in _plain_rows(self, parquet_rows(self.path, file)):
            self.share = raw.number / file.metadata.num_rows
            yield raw


class Rows(Source):
    """Rows of a pandas or polars frame, of a Hugging Face data set, or of any iterable of dicts."""

    name = "the data,"

    def __init__(self, data: Iterable[Any]) -> None:
        self.data = data
        self.again = not isinstance(data, Iterator)
        self.rows = len(data) if isinstance(data, Sized) else None

    def found(self) -> Iterator[Raw]:
        for raw in _plain_rows(self, _dicts(self.data)):
            self.share = raw.number / self.rows if self.rows else None
            yield raw


def open_source(data: Any, max_bytes: int = MAX_ROW_BYTES) -> Source:
    """The rows of a file (by its ending; JSON Lines where it says nothing), a frame, or an iterable of dicts.

    Raises FileNotFoundError for a missing file, TypeError for what holds no rows.
    """
    if isinstance(data, str | Path):
        path = Path(data)
        if not path.is_file():
            raise FileNotFoundError(f"no data file {str(path)!r}")
        return _file_kind(path)(path, max_bytes)
    if isinstance(data, Mapping) or not isinstance(data, Iterable):
        hint = "; collect() it first" if hasattr(data, "collect") else ""
        raise TypeError(f"rows are a file, a frame or an iterable of dicts, not {type(data).__name__}{hint}")
    return Rows(data)


def open_parquet(path: Path) -> Any:
    """A pyarrow ParquetFile; ValueError where pyarrow is missing or the file is none."""
    parquet = import_parquet(path)
    try:
        return parquet.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
    except (OSError, ValueError) as problem:
        raise ValueError(f"{path}: not Parquet ({problem})") from None


def parquet_rows(path: Path, file: Any, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of an open Parquet file; ValueError where they are damaged."""
    batches = file.iter_batches(BATCH, columns=columns, use_threads=False)
    while True:
        try:
            batch = next(batches, None)
            rows = [] if batch is None else batch.to_pylist()
        except (OSError, ValueError) as problem:
            raise ValueError(f"{path}: damaged Parquet ({problem})") from None
        if batch is None:
            return
        yield from rows


def import_parquet(path: Path) -> Any:
    """pyarrow's module for Parquet; ValueError naming the extra where it is not installed."""
    try:
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise ValueError(f"{path}: Parquet needs pyarrow, which is not installed: pip install 'assay[scale]'") from None
    return parquet


def _file_kind(path: Path) -> type[_File]:
    with path.open("rb") as file:
        start = file.read(4096)
    for mark, (name, command) in _COMPRESSED.items():
        if start.startswith(mark):
            raise ValueError(f"{path} is compressed with {name}; unpack it first: {command} {path.name}")
    ending = path.suffix.lower()
    if ending == ".json":
        text = start.removeprefix(codecs.BOM_UTF8).lstrip()
        if text.startswith(b"["):
            return JsonArray
        first = text.partition(b"\n")[0].rstrip()
        if first == b"{" or (first.startswith(b"{") and first.endswith((b",", b"[", b"{"))):
            raise ValueError(
                f"{path}: one JSON object over several lines; an array of rows, [{{...}}, {{...}}], or one row a line "
                "is expected"
            )
    kinds: dict[str, type[_File]] = {".csv": Csv, ".parquet": Parquet}
    return kinds.get(ending, JsonLines)


_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"PK\x03\x04": ("zip", "unzip"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
    b"\xfd7zXZ\0": ("xz", "unxz"),
    b"BZh": ("bzip2", "bunzip2"),
}


def _dicts(data: Any) -> Iterator[Any]:
    """The rows of a frame as dicts, a batch at a time; whatever else is iterated."""
    if hasattr(data, "iter_slices"):  # polars
        for part in data.iter_slices(BATCH):
            yield from part.to_dicts()
    elif hasattr(data, "iloc"):  # pandas
        whole = _whole_columns(data)
        for start in range(0, len(data), BATCH):
            part = data.iloc[start : start + BATCH]
            yield from (part.astype(whole) if whole else part).to_dict("records")
    else:
        yield from data


def _whole_columns(frame: Any) -> dict[Any, str]:
    """Columns of a pandas frame that hold whole numbers and gaps, which pandas stores as floats."""
    found: dict[Any, str] = {}
    if not frame.columns.is_unique:
        return found
    for name, dtype in frame.dtypes.items():
        if getattr(dtype, "kind", "") == "f" and (gaps := frame[name].isna()).any() and not gaps.all():
            held = frame[name][~gaps]
            if (held % 1 == 0).all() and (held.abs() < 2**53).all():
                found[name] = "Int64"
    return found


def _plain_rows(source: Source, rows: Iterable[Any]) -> Iterator[Raw]:
    for number, row in enumerate(rows, start=1):
        raw = Raw(number, number, {})
        if not isinstance(row, Mapping):
            raise ValueError(f"{source.place(raw)}: a dict of columns is expected, not {short(row)}")
        try:
            yield raw._replace(content={_name(key): plain(value) for key, value in row.items()})
        except (ValueError, TypeError) as problem:
            raise ValueError(f"{source.place(raw)}: {problem}") from None
        except RecursionError:
            raise ValueError(f"{source.place(raw)}: values are nested too deeply to be read") from None


def _name(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a column is called by a string, not {short(key)}; rename it")
    return key


def plain(value: Any) -> Any:
    """A value as JSON has it: dates as ISO 8601 text, arrays as lists, NaN and NaT as null.

    A Decimal is a number where one has its very value, else text.

    Raises ValueError for an infinite number, TypeError for what JSON cannot hold.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError(f"{value} is no JSON number; leave the value out")
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {_name(key): plain(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [plain(element) for element in value]
    if type(value).__name__ in ("NAType", "NaTType"):  # of pandas, which need not be installed
        return None
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _exact(value)
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        kind = getattr(getattr(value, "dtype", None), "kind", "")
        if kind == "M":  # whose tolist() gives whole numbers for nanoseconds
            return [plain(element) for element in value] if value.shape else _iso(str(value))
        if kind != "m":
            return plain(value.tolist())
    raise TypeError(f"{short(value)} is a {type(value).__name__}, which JSON cannot hold; make it a string")


def _exact(value: Decimal) -> int | float | str | None:
    if not value.is_finite():
        return None if value.is_nan() else plain(float(value))
    if value.adjusted() > 300:
        return str(value)
    if value == value.to_integral_value():
        return int(value)
    near = float(value)
    return near if Decimal(repr(near)) == value else str(value)


def _iso(text: str) -> str | None:
    """A datetime64 as the isoformat of a datetime has it; null for NaT."""
    if text == "NaT":
        return None
    whole, _, fraction = text.partition(".")
    fraction = fraction.ljust(6, "0")
    if len(fraction) == 9 and fraction.endswith("000"):
        fraction = fraction[:6]
    return whole if not fraction.strip("0") else f"{whole}.{fraction}"
