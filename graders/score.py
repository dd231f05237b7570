"""Grade many samples: the only loop over samples. Order is kept, failures stay with their sample."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import IO

from graders.grade import Grade
from graders.grader import Grader
from graders.rows import GradingRow, read_grading_rows
from graders.sample import Item, Sample
from graders.statistics import Summary, Tally
from graders.template import nearest

AHEAD = 4  # times `concurrency`: how far the reading may run ahead of the slowest call under way


def grade_many(grader: Grader, pairs: Iterable[tuple[Sample | str, Item]], concurrency: int = 16) -> Iterator[Grade]:
    """The grade of each `(sample, item)`, in order, each as soon as it and all before it are there.

    Pure graders run one after the other; graders that wait on a network have up to `concurrency` calls under way.
    What `pairs` raises comes after the grades of the pairs before it.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency={concurrency}: at least one call must be under way; use 1 or more")
    if grader.waits:
        yield from _grade_waiting(grader, iter(pairs), concurrency)
        return
    for sample, item in pairs:
        yield grader(sample, item)


def _grade_waiting(grader: Grader, pairs: Iterator[tuple[Sample | str, Item]], concurrency: int) -> Iterator[Grade]:
    places = asyncio.Semaphore(concurrency)

    async def call(sample: Sample | str, item: Item) -> Grade:
        async with places:
            return await grader.call_async(sample, item)

    async def end_of(task: asyncio.Task[Grade]) -> Grade:
        return await task

    tasks: deque[asyncio.Task[Grade]] = deque()
    end: Exception | None = None
    with asyncio.Runner() as runner:
        while True:
            while end is None and len(tasks) < AHEAD * concurrency:
                try:
                    sample, item = next(pairs)
                except Exception as problem:
                    end = problem
                else:
                    tasks.append(runner.get_loop().create_task(call(sample, item)))
            if not tasks:
                break
            yield runner.run(end_of(tasks.popleft()))
    if not isinstance(end, StopIteration):
        assert end is not None
        raise end


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

    Each grade is written to `<out>.partial` as soon as it is there, with a hash of its row, and the file is renamed
    at the end. A broken run goes on after the last line whose grader and row have not changed. `cluster` names an
    item key whose values group rows for the interval. `after_rows` is told now and then how many rows are done.

    Raises ValueError where nothing can be graded or written, before anything is; and for a malformed row, once
    the rows before it are recorded.
    """
    partial = out.with_name(out.name + ".partial")
    _check_places(data, out, partial)
    rows = _checked(read_grading_rows(data), cluster)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{data}: no rows; one JSON object a line is expected")
    rows = chain([first], rows)
    tally = Tally(clustered=cluster is not None)
    graded: deque[GradingRow] = deque()

    def pairs() -> Iterator[tuple[Sample, Item]]:
        for row in rows:
            graded.append(row)
            yield row.sample, row.item

    with _journal(partial, out) as journal:
        kept = 0
        for line, grade, made_from in _recorded(partial):
            row = next(rows, None)
            if row is None or (grade.grader, made_from) != (grader.identity, _fingerprint(row)):
                rows = chain([row] if row is not None else [], rows)
                break
            tally.add(grade, _label(row, cluster))
            kept += len(line)
        journal.truncate(kept)
        told = 0.0
        for grade in grade_many(grader, pairs(), concurrency):
            row = graded.popleft()
            wire = {"id": row.id} | grade.to_wire() | {"row": _fingerprint(row)}
            journal.write(json.dumps(wire).encode() + b"\n")
            journal.flush()  # one system call a row: a kill loses nothing that was graded
            tally.add(grade, _label(row, cluster))
            if time.monotonic() - told > 0.1:
                told = time.monotonic()
                after_rows(tally.n)
        os.replace(partial, out)
    after_rows(tally.n)
    return tally.summary()


def _check_places(data: Path, out: Path, partial: Path) -> None:
    """Refuse a place that cannot take the grades, or whose content would be lost."""
    if not out.parent.is_dir():
        raise ValueError(f"{out}: no folder {str(out.parent)!r}; make it first, or write the grades elsewhere")
    if out.exists() and not out.is_file():
        raise ValueError(f"{out} is not a regular file, so no grades can take its place; name a file to write")
    for path in (out, partial):
        if path.exists() and data.exists() and path.samefile(data):
            raise ValueError(f"{path} holds the rows to grade, and writing {out} would destroy them; name another file")


@contextmanager
def _journal(partial: Path, out: Path) -> Iterator[IO[bytes]]:
    """The journal, open to append and held by this process alone; left behind only when something is in it."""
    import fcntl

    with partial.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(file.fileno()), partial.stat())  # else renamed since it was opened
        except (BlockingIOError, FileNotFoundError):
            held = False
        if not held:
            raise ValueError(f"{out}: another process is writing it; wait for its end, or write the grades elsewhere")
        try:
            yield file
        except BaseException:
            if os.fstat(file.fileno()).st_size == 0:
                partial.unlink()
            raise


def _recorded(partial: Path) -> Iterator[tuple[bytes, Grade, str]]:
    """Lines recorded before a break, each with its grade and the hash of its row, up to the first that is broken."""
    with partial.open("rb") as lines:
        for line in lines:
            try:
                wire = json.loads(line)
                grade, row = Grade.from_wire(wire), wire["row"]
            except (ValueError, LookupError, TypeError, AttributeError):
                return
            if not line.endswith(b"\n"):
                return
            yield line, grade, row


def _checked(rows: Iterator[GradingRow], cluster: str | None) -> Iterator[GradingRow]:
    for row in rows:
        if cluster is not None and cluster not in row.item:
            raise ValueError(
                f"{row.place}: the item has no key {cluster!r} to group rows by; {nearest(cluster, row.item)}"
            )
        yield row


def _label(row: GradingRow, cluster: str | None) -> str | None:
    return None if cluster is None else sys.intern(json.dumps(row.item[cluster], sort_keys=True))


def _fingerprint(row: GradingRow) -> str:
    """A hash of what the grader was given: id, item and sample."""
    text = json.dumps([row.id, row.item, asdict(row.sample)], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
