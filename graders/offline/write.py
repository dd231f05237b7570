"""Write: the finished journal becomes the file of grades, as it is or as Parquet, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from graders.offline.sources import import_parquet

ROWS = 2000  # of a batch of Parquet
AS_JSON = ("parts", "extracted", "usage")  # columns whose values are JSON text
COLUMNS = (
    *("score", "status", "why", "error_kind", "error_fault", "error_detail", "grader", "seconds", "formula", "sandbox"),
)


def finish(partial: Path, out: Path) -> None:
    """Put the finished journal in its place; as Parquet where `out` ends so."""
    if out.suffix.lower() != ".parquet":
        os.replace(partial, out)
        return
    beside = out.with_name(out.name + ".writing")
    _to_parquet(partial, beside)
    os.replace(beside, out)
    partial.unlink()


def _to_parquet(journal: Path, out: Path) -> None:
    parquet = import_parquet(out)
    import pyarrow as pa

    with journal.open("rb") as lines:
        rows = (_flat(json.loads(line)) for line in lines)
        first = next(rows)
        schema = pa.schema([(name, _type(name, pa)) for name in first])
        with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
            batch = [first, *islice(rows, ROWS - 1)]
            while batch:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                batch = list(islice(rows, ROWS))


def _flat(wire: Mapping[str, Any]) -> dict[str, Any]:
    """A line as columns; those of several graders are called `<name>.<column>`."""
    grades = wire.get("grades")
    if grades is None:
        columns = dict(_columns(wire))
    else:
        columns = {f"{name}.{key}": value for name, grade in grades.items() for key, value in _columns(grade)}
    return {"id": _text(wire["id"]), **columns, "row": wire["row"]}


def _columns(grade: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    error = grade["error"] or {}
    for name in COLUMNS:
        value = error.get(name.removeprefix("error_")) if name.startswith("error_") else grade.get(name)
        yield name, _text(value) if isinstance(value, str) else value
    for name in AS_JSON:
        yield name, json.dumps(grade[name]) if name in grade else None


def _text(value: str) -> str:
    """The text as UTF-8 can hold it: half of a surrogate pair becomes its escape."""
    return value.encode("utf-8", "backslashreplace").decode()


def _type(column: str, pa: Any) -> Any:
    return pa.float64() if column.rpartition(".")[2] in ("score", "seconds") else pa.string()
