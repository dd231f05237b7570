"""Grade many samples: the only loop over samples. Order is kept, failures stay with their sample."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

from graders.grade import Grade
from graders.grader import Grader
from graders.rows import MAX_ROW_BYTES, OUTPUT
from graders.sample import Item, Sample
from graders.statistics import Summary, Tally

if TYPE_CHECKING:
    from graders.offline.job import Job, Line
    from graders.offline.sources import Raw, Source

AHEAD = 4  # times `concurrency`: how far the reading may run ahead of the slowest call under way
LARGE_FILE = 8 * 2**20  # bytes from which several processes are worth their start
LARGE_DATA = 20_000  # the same in rows

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")


def grade_many(grader: Grader, pairs: Iterable[tuple[Sample | str, Item]], concurrency: int = 16) -> Iterator[Grade]:
    """The grade of each `(sample, item)`, in order, each as soon as it and all before it are there.

    Pure graders run one after the other; graders that wait on a network have up to `concurrency` calls under way.
    What `pairs` raises comes after the grades of the pairs before it.
    """
    _check_concurrency(concurrency)
    if grader.waits:
        yield from _window(lambda pair: grader.call_async(*pair), iter(pairs), concurrency)
        return
    for sample, item in pairs:
        yield grader(sample, item)


def _check_concurrency(concurrency: int) -> None:
    if concurrency < 1:
        raise ValueError(f"concurrency={concurrency}: at least one call must be under way; use 1 or more")


def _window(call: Callable[[Thing], Awaitable[Answer]], things: Iterator[Thing], concurrency: int) -> Iterator[Answer]:
    """The answers of calls that wait, in order, with up to `concurrency` under way."""
    places = asyncio.Semaphore(concurrency)

    async def placed(thing: Thing) -> Answer:
        async with places:
            return await call(thing)

    async def end_of(task: asyncio.Task[Answer]) -> None:
        await asyncio.wait([task])

    tasks: deque[asyncio.Task[Answer]] = deque()
    end: Exception | None = None
    with asyncio.Runner() as runner, closing(_Unseen(tasks)):
        while True:
            while end is None and len(tasks) < AHEAD * concurrency:
                try:
                    thing = next(things)
                except Exception as problem:
                    end = problem
                else:
                    tasks.append(runner.get_loop().create_task(placed(thing)))
            if not tasks:
                break
            runner.run(end_of(tasks[0]))
            while tasks and tasks[0].done():  # what ended meanwhile needs no turn of the loop
                yield tasks.popleft().result()
    if not isinstance(end, StopIteration):
        assert end is not None
        raise end


class _Unseen:
    """Tasks that nobody will ask for an answer, should the run end early: their errors are not worth a message."""

    def __init__(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        self.tasks = tasks

    def close(self) -> None:
        for task in self.tasks:
            if task.done() and not task.cancelled():
                task.exception()


class Progress(NamedTuple):
    """How far the grading of a file has come."""

    rows: int
    share: float | None  # of the rows, as far as that can be told
    cached: int  # grades that were found in the cache


def grade_file(grader: Grader, data: Any, out: str | Path, **options: Any) -> Summary:
    """Grade stored outputs into a file of grades, one line each, in order; gives the summary.

    `data`, `out`, the options and what is raised are those of `grade_file_with_all`.
    """
    return grade_file_with_all({grader.label: grader}, data, out, single=True, **options)[grader.label]


def grade_file_with_all(
    graders: Mapping[str, Grader],
    data: Any,
    out: str | Path,
    *,
    single: bool = False,
    output: str = OUTPUT,
    where: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    concurrency: int = 16,
    cache: str | Path | None = None,
    cluster: str | None = None,
    group: str | None = None,
    k: int | None = None,
    threshold: float = 0.5,
    max_row_bytes: int = MAX_ROW_BYTES,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Summary]:
    """Grade stored outputs with several graders, given by name; a line holds the grades of all. Gives their summaries.

    `single` writes the grade of one grader as the line itself. `data` is a file (JSON Lines, JSON, CSV, Parquet), a
    pandas or polars frame, a Hugging Face data set, or an iterable of dicts; `output` the column with the output in
    flat rows. `where` is a condition on rows, `limit` the number of rows to take, `sample` the number to draw of
    these with `seed`. `out` is JSON Lines, or Parquet by its ending.

    Pure graders run in `workers` processes (by default one a core where the data are large), graders that wait
    on a network in this one with `concurrency` calls under way. `cache` is a folder of grades kept for other
    runs. `cluster` names an item key whose values group rows for the interval; `group`, `k` and `threshold` ask
    for pass@k over the rows that share a value of an item key.

    Each grade is written to `<out>.partial` as soon as it is there, with a hash of its row, and the file is renamed
    at the end. A broken run goes on after the last line whose grader and row have not changed.

    Raises ValueError where nothing can be graded or written, before anything is; and for a malformed row or a
    worker that died, once the rows before it are recorded.
    """
    from graders.offline.cache import Cache
    from graders.offline.choose import chosen
    from graders.offline.job import Job
    from graders.offline.journal import check_places
    from graders.offline.sources import import_parquet, open_source

    out = Path(out)
    _check_options(graders, workers, concurrency, k, group)
    if not math.isfinite(threshold):
        raise ValueError(f"threshold={threshold}: a row passes from a finite score")
    check_places(Path(data) if isinstance(data, str | Path) else None, out)
    if out.suffix.lower() == ".parquet":
        import_parquet(out)  # its want is better known now
    source = open_source(data, max_row_bytes)
    if cache is not None:
        Cache(Path(cache)).close()  # refused now, where it cannot be used
    job = Job(
        graders=graders,
        identities={name: grader.identity for name, grader in graders.items()},
        source=source,
        single=single,
        output=output,
        cluster=cluster,
        group=group,
        cache=None if cache is None else Path(cache),
    )
    taken = partial(chosen, source, job.row, where, limit, sample, seed)
    tallies = [Tally(cluster is not None, k, threshold, grader.range) for grader in graders.values()]
    _grade_into(out, job, taken, tallies, _num_workers(job, workers), concurrency, progress)
    return dict(zip(graders, (tally.summary() for tally in tallies), strict=True))


def _grade_into(
    out: Path,
    job: Job,
    taken: Callable[[], Iterator[Raw]],
    tallies: list[Tally],
    workers: int,
    concurrency: int,
    progress: Callable[[Progress], None],
) -> None:
    """Grade the rows into the journal, from where it ends, and put it in its place."""
    from graders.offline.ids import Ids
    from graders.offline.journal import open_journal, partial_of
    from graders.offline.workers import Team
    from graders.offline.write import finish

    raws = taken()
    team = Team(job, workers) if workers > 1 and not job.waits else None
    with closing(team or job):
        first = next(raws, None)
        if first is None:
            raise ValueError(f"{job.source.name}: no rows; one at least is expected")
        record = _Record(Ids(job.source, taken), tallies, progress, job.source)
        with open_journal(out) as journal:
            rest = _resumed(journal, partial_of(out), chain([first], raws), job, record)
            for lines in _graded(job, rest, concurrency) if team is None else team.lines(rest):
                record.write(journal, lines)
            record.ids.check()
            finish(partial_of(out), out)
    record.tell(last=True)


def _check_options(
    graders: Mapping[str, Grader], workers: int | None, concurrency: int, k: int | None, group: str | None
) -> None:
    if not graders:
        raise ValueError("no graders; give one at least")
    _check_concurrency(concurrency)
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers}: at least one process must grade; use 1 or more")
    if (k is None) != (group is None):
        raise ValueError("pass@k needs both: k, and the item key that tells which rows are of one item (group)")
    if k is not None and k < 1:
        raise ValueError(f"k={k}: pass@k is of one sample or more; use 1 or more")


def _num_workers(job: Job, workers: int | None) -> int:
    from graders.offline.sources import Rows
    from graders.offline.workers import usable_cores

    if workers is not None or not hasattr(os, "fork"):
        return workers or 1
    rows = job.source.rows if isinstance(job.source, Rows) else None
    large = (job.source.size or 0) >= LARGE_FILE or (rows or 0) >= LARGE_DATA
    return usable_cores() if large else 1


def _graded(job: Job, raws: Iterator[Raw], concurrency: int) -> Iterator[list[Line]]:
    """The lines of all rows, in order, graded in this process."""
    if job.waits:
        yield from ([line] for line in _window(job.line, map(job.prepared, raws), concurrency))
        return
    for raw in raws:
        lines, problem = job.lines([raw])
        if problem is not None:
            raise problem
        yield lines


def _resumed(journal: IO[bytes], partial: Path, raws: Iterator[Raw], job: Job, record: _Record) -> Iterator[Raw]:
    """The rows that are left to grade; the lines that still hold are counted, what follows them is cut off."""
    from graders.offline.journal import recorded

    kept = 0
    for line, wire in recorded(partial):
        raw = next(raws, None)
        thing = None if raw is None else job.prepared(raw)
        notes = None if thing is None else job.recorded_notes(wire, thing)
        if thing is None or notes is None:
            raws = chain([] if raw is None else [raw], raws)
            break
        record.ids.add(thing.row.id, thing.row.place)
        record.count(notes, thing.cluster, thing.group)
        record.tell()
        kept += len(line)
    journal.truncate(kept)
    return raws


class _Record:
    """What is kept of every row: its id, its part in the summary, its line."""

    def __init__(self, ids: Any, tallies: list[Tally], progress: Callable[[Progress], None], source: Source) -> None:
        self.ids, self.tallies, self.progress, self.source = ids, tallies, progress, source
        self.cached = 0
        self.told = 0.0

    def write(self, journal: IO[bytes], lines: list[Line]) -> None:
        """Write lines in one go: a kill loses nothing that was graded before."""
        texts: list[bytes] = []
        try:
            for line in lines:
                self.ids.add(line.id, line.place)
                self.count(line.notes, line.cluster, line.group)
                self.cached += line.cached
                texts.append(line.text)
        finally:
            journal.write(b"".join(texts))
            journal.flush()
        self.tell()

    def count(self, notes: list[Any], cluster: str | None, group: str | None) -> None:
        for tally, note in zip(self.tallies, notes, strict=True):
            tally.add_note(note, cluster, group)

    def tell(self, last: bool = False) -> None:
        if last or time.monotonic() - self.told > 0.1:
            self.told = time.monotonic()
            self.progress(Progress(self.tallies[0].n, 1.0 if last else self.source.share, self.cached))
