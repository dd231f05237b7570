"""Read rows to grade, wherever they are stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graders.offline.ids import Ids
from graders.offline.sources import open_source
from graders.rows import MAX_ROW_BYTES, OUTPUT, GradingRow, grading_row


def read_grading_rows(data: Any, output: str = OUTPUT, max_bytes: int = MAX_ROW_BYTES) -> Iterator[GradingRow]:
    """Stored outputs to grade, from a file (JSON Lines, JSON, CSV, Parquet), a frame, or any iterable of dicts.

    A row is `{"id"?, "item": {...}, "sample": {"output_text": "..."}}`, or flat: the column `output` is the
    sample and all others are the item. A row without an id takes its number, counted from 1. Raises ValueError
    naming the place of a row without an output, and of an id that came before.
    """
    source = open_source(data, max_bytes)
    ids = Ids(source)
    for raw in source.raws():
        row = grading_row(source.place(raw), raw.number, source.row(raw), output, source.flat)
        ids.add(row.id, row.place)
        yield row
    ids.check()
