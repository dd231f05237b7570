"""Rows: JSON Lines in, with the file and line in every complaint; and what a row to grade looks like."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from graders.sample import SAMPLE_FIELDS, Item, Sample, read_json
from graders.template import nearest, short

MAX_ROW_BYTES = 16 * 2**20
"""The longest line that is read, unless a caller says otherwise: what a slip of a file costs in memory."""

OUTPUT = "output_text"
"""The column that holds the output, unless a caller names another."""


class GradingRow(NamedTuple):
    """A row to grade: an id, the item, and the stored sample."""

    id: str
    item: Item
    sample: Sample
    place: str = ""  # file:line


def read_rows(path: str | Path, max_bytes: int = MAX_ROW_BYTES) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON object of a JSON Lines file with its place, `file:line`. Blank lines are skipped.

    Raises ValueError naming the place for a line that is not a JSON object or is longer than `max_bytes`,
    FileNotFoundError for a missing file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no data file {str(path)!r}")
    with path.open("rb") as file:
        for number, line in read_lines(file, path, max_bytes):
            if not line.isspace():
                place = f"{path}:{number}"
                yield place, read_row(place, line)


def read_lines(file: IO[bytes], name: str | Path, max_bytes: int = MAX_ROW_BYTES) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, from 1; without a byte order mark. One that is too long is never held."""
    number = 0
    while line := file.readline(max_bytes + 1):
        number += 1
        if len(line) > max_bytes and line[-1:] != b"\n":
            size = len(line)
            while line[-1:] != b"\n" and (line := file.readline(2**20)):
                size += len(line)
            raise ValueError(too_long(f"{name}:{number}", size, max_bytes))
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        yield number, line


def too_long(place: str, size: int, max_bytes: int) -> str:
    """The complaint about a row of `size` bytes."""
    return (
        f"{place}: a row of {size:,} bytes is longer than the limit of {max_bytes:,} (--max-row-mb "
        f"{max_bytes / 2**20:g}); give one row a line, or raise the limit"
    )


def read_row(place: str, line: bytes) -> dict[str, Any]:
    """The JSON object of one line; ValueError with its place for anything else."""
    try:
        row = read_json(line.decode("utf-8"))
    except UnicodeDecodeError as problem:
        raise ValueError(
            f"{place}: not UTF-8 (byte {line[problem.start]:#04x} at {problem.start + 1}); save the file as UTF-8"
        ) from None
    except ValueError as problem:
        raise ValueError(f"{place}: not JSON ({json_trouble(problem)}); one JSON object a line is expected") from None
    if not isinstance(row, dict):
        shown = line.strip()[:80].decode("utf-8", "replace")
        raise ValueError(f"{place}: a JSON object is expected, not {type(row).__name__}: {shown}")
    return row


def json_trouble(problem: ValueError) -> str:
    """What is wrong with a JSON text, without remedies that are Python's own."""
    said = str(problem)
    return "a whole number of more than 4,300 digits; write it as text" if "int_max_str_digits" in said else said


def is_flat(row: Mapping[str, Any]) -> bool:
    """Whether the row has no item of its own: what stands beside the output is the item then."""
    return "item" not in row and not isinstance(row.get("sample"), Mapping)


def grading_row(
    place: str, number: int, row: Mapping[str, Any], output: str = OUTPUT, flat: bool | None = None
) -> GradingRow:
    """The row as it is graded; ValueError with its place for one that lacks an item or an output.

    `flat` says what the first row of the data is: a row of another shape is refused.
    """
    shape = is_flat(row)
    if flat is not None and shape != flat:
        raise ValueError(_other_shape(place, row, output, flat))
    if not shape:
        item = row.get("item")
        if not isinstance(item, Mapping):
            raise ValueError(
                f"{place}: 'item' must be an object holding what the grader compares with, not {short(item)}"
            )
        given = row.get("sample") if output == OUTPUT else None
        if given is None:
            given = row.get(output)
        elif (other := row.get(output)) is not None and other != _text_of(given):
            raise ValueError(f"{place}: 'sample' and {output!r} hold different outputs; leave one of them out")
    else:
        given = row.get(output)
        item = {key: value for key, value in row.items() if key != output}
    if not isinstance(given, Mapping | str):
        raise ValueError(_no_output(place, row, output, given))
    try:
        name = row_id(number, row)
    except ValueError as problem:
        raise ValueError(f"{place}: {problem}") from None
    return GradingRow(name, item, _sample(place, given), place)


def row_id(number: int, row: Mapping[str, Any]) -> str:
    """A row's own id, else its number; ValueError for an id that is a list or an object."""
    given = row.get("id")
    if isinstance(given, str):
        return given
    if isinstance(given, Mapping | list | tuple):
        raise ValueError(f"an id is a text or a number, not {short(given)}")
    return str(number if given is None else given)


def _text_of(sample: Any) -> Any:
    return sample.get(OUTPUT) if isinstance(sample, Mapping) else sample


def _other_shape(place: str, row: Mapping[str, Any], output: str, flat: bool) -> str:
    items = '{"item": {...}, "sample": {...}}'
    one = f'flat: {{"{output}": ..., and the keys of the item}}'
    if flat:
        return f"{place}: a row like {items}, but the first row is {one}; give all rows one shape"
    known = ", ".join(list(row)[:20])
    return (
        f"{place}: no 'item' (it has: {known}), but the first row is like {items}, not {one}; give all rows one shape"
    )


def _no_output(place: str, row: Mapping[str, Any], output: str, given: Any) -> str:
    but = "" if given is None else f", not {short(given)}"
    if "item" in row:
        known = "" if output == OUTPUT else f"; {nearest(output, row)}"
        return f'{place}: no sample; expected "sample": {{"output_text": "..."}} or "{output}": "..."{but}{known}'
    name, value = next(iter(row.items()), ("", None))
    if len(row) == 1 and isinstance(value, list) and value and isinstance(value[0], Mapping):
        return f"{place}: no row but a list of rows under {name!r}; save that list alone"
    return (
        f"{place}: no sample; expected text in the column {output!r}{but} (--output names another column); "
        f"{nearest(output, row)}"
    )


def _sample(place: str, given: Mapping[str, Any] | str) -> Sample:
    if isinstance(given, str):
        return Sample(given)
    try:
        sample = Sample.of(given)
    except (ValueError, TypeError) as problem:
        raise ValueError(f"{place}: {problem}") from None
    if all(value is None for value in given.values()):
        raise ValueError(
            f"{place}: the sample holds no output; give one of {', '.join(SAMPLE_FIELDS)} "
            '("output_text": "" when the model wrote nothing), or leave the row out'
        )
    return sample
