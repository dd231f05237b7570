"""Rows: JSON Lines in and out, with the file and line in every complaint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from graders.sample import SAMPLE_FIELDS, Item, Sample, read_json


class GradingRow(NamedTuple):
    """One line of `assay grade`'s input: an id, the item, and the stored sample."""

    id: str
    item: Item
    sample: Sample
    place: str = ""  # file:line


def read_rows(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON object of a JSON Lines file with its place, `file:line`. Blank lines are skipped.

    Raises ValueError naming the place for a line that is not a JSON object, FileNotFoundError for a missing
    file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no data file {str(path)!r}")
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            place = f"{path}:{number}"
            try:
                row = read_json(line.decode("utf-8"))
            except ValueError as problem:
                raise ValueError(f"{place}: not JSON ({problem}); one JSON object a line is expected") from None
            if not isinstance(row, dict):
                raise ValueError(
                    f"{place}: a JSON object is expected, not {type(row).__name__}: {line.strip()[:80].decode()}"
                )
            yield place, row


def read_grading_rows(path: str | Path) -> Iterator[GradingRow]:
    """Stored outputs to grade: `{"id"?, "item": {...}, "sample": {"output_text": "..."}}`.

    A bare `output_text` beside `item` is accepted; a row without an id takes its number, counted from 1. Raises
    ValueError naming `file:line` for a row without an item or an output, and for an id that came before.
    """
    seen: set[int] = set()  # hashes: a million long ids would not be small
    for number, (place, row) in enumerate(read_rows(path), start=1):
        item = row.get("item")
        if not isinstance(item, dict):
            raise ValueError(f"{place}: 'item' must be an object holding what the grader compares with, not {item!r}")
        name = _id(number, row)
        if hash(name) in seen and (first := _first_place(path, name)) != place:
            raise ValueError(f"{place}: id {name!r} is that of {first} already; give each row an id of its own")
        seen.add(hash(name))
        yield GradingRow(name, item, _sample(place, row), place)


def _sample(place: str, row: dict[str, Any]) -> Sample:
    given = row.get("sample")
    if given is None:
        given = row.get("output_text")
    if not isinstance(given, dict | str):
        raise ValueError(f'{place}: no sample; expected "sample": {{"output_text": "..."}} or "output_text": "..."')
    try:
        sample = Sample.of(given)
    except (ValueError, TypeError) as problem:
        raise ValueError(f"{place}: {problem}") from None
    if isinstance(given, dict) and all(value is None for value in given.values()):
        raise ValueError(
            f"{place}: the sample holds no output; give one of {', '.join(SAMPLE_FIELDS)} "
            '("output_text": "" when the model wrote nothing), or leave the row out'
        )
    return sample


def _id(number: int, row: dict[str, Any]) -> str:
    return str(number if row.get("id") is None else row["id"])


def _first_place(path: str | Path, name: str) -> str:
    return next(place for number, (place, row) in enumerate(read_rows(path), start=1) if _id(number, row) == name)
