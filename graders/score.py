"""Grade many samples: the only loop over samples. Order is kept, failures stay with their sample."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from graders.grade import Grade
from graders.grader import Grader
from graders.rows import GradingRow, read_grading_rows
from graders.sample import Item, Sample
from graders.statistics import Summary, summarise


def grade_many(grader: Grader, pairs: Iterable[tuple[Sample | str, Item]], concurrency: int = 16) -> Iterator[Grade]:
    """The grade of each `(sample, item)`, in order, as they come.

    Pure graders run one after the other; graders that wait on a network have up to `concurrency` calls under way.
    """
    if not grader.waits:
        for sample, item in pairs:
            yield grader(sample, item)
        return

    async def window(batch: list[tuple[Sample | str, Item]]) -> list[Grade]:
        return list(await asyncio.gather(*(grader.call_async(sample, item) for sample, item in batch)))

    remaining = iter(pairs)
    with asyncio.Runner() as runner:
        while batch := list(islice(remaining, concurrency)):
            yield from runner.run(window(batch))


def grade_file(
    grader: Grader,
    data: Path,
    out: Path,
    *,
    concurrency: int = 16,
    cluster: str | None = None,
    after_rows: Callable[[int], None] = lambda done: None,
) -> Summary:
    """Grade a file of stored outputs into a file of grades, one line each, in order; gives the summary.

    Lines gather in `<out>.partial`, and what each was made from in `<out>.partial.keys`. A broken run goes on after
    the last row whose grader, item and sample have not changed. `cluster` names an item key whose values group rows
    for the interval.
    """
    partial, keys = out.with_name(out.name + ".partial"), out.with_name(out.name + ".partial.keys")
    grades: list[Grade] = []  # score and error alone, for the summary
    clusters: list[Hashable] = []

    def noted(row: GradingRow, grade: Grade) -> None:
        grades.append(Grade(grade.score, "", grade.error))
        if cluster is not None:
            if cluster not in row.item:
                raise ValueError(f"{data}: row {row.id!r} has no item key {cluster!r} to group rows by")
            clusters.append(json.dumps(row.item[cluster], sort_keys=True))

    kept_lines = kept_keys = 0  # bytes
    rows = read_grading_rows(data)
    waiting: list[GradingRow] = []
    for line, key in _recorded(partial, keys):
        row = next(rows, None)
        if row is None or key != _key(grader, row):
            waiting = [row] if row is not None else []
            break
        noted(row, Grade.from_wire(json.loads(line)))
        kept_lines, kept_keys = kept_lines + len(line), kept_keys + len(key) + 1
    with partial.open("ab") as line_file, keys.open("ab") as key_file:
        line_file.truncate(kept_lines)
        key_file.truncate(kept_keys)
        rest = chain(waiting, rows)
        while window := _window(rest, concurrency if grader.waits else 256):
            fresh = grade_many(grader, [(row.sample, row.item) for row in window.rows], concurrency)
            for row, grade in zip(window.rows, fresh, strict=True):
                noted(row, grade)
                line_file.write(json.dumps({"id": row.id} | grade.to_wire()).encode() + b"\n")
                key_file.write(_key(grader, row) + b"\n")
            line_file.flush()
            key_file.flush()
            after_rows(len(grades))
            if window.problem is not None:
                raise window.problem
    os.replace(partial, out)
    keys.unlink()
    return summarise(grades, clusters or None)


class _Window(NamedTuple):
    rows: list[GradingRow]
    problem: ValueError | None  # a malformed line behind them: raised once they are graded and recorded

    def __bool__(self) -> bool:
        return bool(self.rows) or self.problem is not None


def _window(rows: Iterator[GradingRow], size: int) -> _Window:
    window: list[GradingRow] = []
    try:
        for row in islice(rows, size):
            window.append(row)  # noqa: PERF402  (what was read before a malformed line is kept)
    except ValueError as problem:
        return _Window(window, problem)
    return _Window(window, None)


def _recorded(partial: Path, keys: Path) -> Iterator[tuple[bytes, bytes]]:
    """Lines recorded before a break with their keys; a torn last one is left out."""
    if partial.is_file() and keys.is_file():
        with partial.open("rb") as lines, keys.open("rb") as key_lines:
            for line, key in zip(lines, key_lines, strict=False):
                if not (line.endswith(b"\n") and key.endswith(b"\n")):
                    return
                yield line, key[:-1]


def _key(grader: Grader, row: GradingRow) -> bytes:
    """What a grade depends on, as a hash: the grader, the item and the sample."""
    made_of = [grader.identity, row.id, row.item, asdict(row.sample)]
    text = json.dumps(made_of, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest().encode()
