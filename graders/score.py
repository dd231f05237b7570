"""Grade many samples: the only loop over samples. Order is kept, failures stay with their sample."""

from __future__ import annotations

import asyncio
import math
import os
import time
import warnings
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, TypeVar

from graders.composite import GraderWarning
from graders.cores import usable_cores
from graders.grade import Grade
from graders.grader import ALONE, Grader
from graders.rows import MAX_ROW_BYTES, OUTPUT
from graders.sample import Item, Sample
from graders.statistics import Note, Summary, Tally
from graders.variables import missing_variables

if TYPE_CHECKING:
    from graders.offline.estimate import Estimate
    from graders.offline.job import Job, Line
    from graders.offline.sources import Raw, Source

AHEAD = 4  # times `concurrency`: how far the reading may run ahead of the slowest call under way
LARGE_FILE = 8 * 2**20  # bytes from which several processes are worth their start
LARGE_DATA = 20_000  # the same in rows
LOOKED_AT = 100  # rows that templates are held against before a judge is asked

Thing = TypeVar("Thing")
Answer = TypeVar("Answer")


def grade_many(grader: Grader, pairs: Iterable[tuple[Sample | str, Item]], concurrency: int = 16) -> Iterator[Grade]:
    """The grade of each `(sample, item)`, in order, each as soon as it and all before it are there.

    Pure graders run one after the other; graders that wait on a network have up to `concurrency` calls under way.
    Graders that take batches (`python`) get as many pairs at once as they grade in about a tenth of a second, 1,024 at
    most: so far, and a tenth of a second of reading, goes what is read before the first grade of a batch is there.
    What `pairs` raises comes after the grades of the pairs before it.
    """
    check_concurrency(concurrency)
    if grader.judges_groups:
        raise ValueError(f"{grader.label!r} {ALONE}, or stored ones with assay grade --group KEY")
    if grader.waits:
        yield from window(lambda pair: grader.call_async(*pair), iter(pairs), concurrency)
        return
    if grader.batch > 1:
        yield from _in_batches(grader, iter(pairs))
        return
    for sample, item in pairs:
        yield grader(sample, item)


def _in_batches(grader: Grader, pairs: Iterator[tuple[Sample | str, Item]]) -> Iterator[Grade]:
    from graders.offline.blocks import Blocks

    blocks = Blocks(pairs, lambda pair: getattr(pair[0], "output_text", pair[0]), rows=1)
    while block := blocks.next():
        began = time.monotonic()
        grades = grader.call_batch(block)
        blocks.took(time.monotonic() - began)
        yield from grades
    blocks.check()


def check_concurrency(concurrency: int) -> None:
    if concurrency < 1:
        raise ValueError(f"concurrency={concurrency}: at least one call must be under way; use 1 or more")


def window(call: Callable[[Thing], Awaitable[Answer]], things: Iterator[Thing], concurrency: int) -> Iterator[Answer]:
    """The answers of calls that wait, in order, with up to `concurrency` under way."""
    answers: deque[asyncio.Future[Answer]] = deque()
    waiting: deque[tuple[Thing, asyncio.Future[Answer]]] = deque()
    callers: set[asyncio.Task[None] | None] = set()

    async def one_after_the_other() -> None:  # a task for every call would cost as much as the rest
        try:
            while waiting:
                thing, answer = waiting.popleft()
                try:
                    answer.set_result(await call(thing))
                except Exception as problem:
                    answer.set_exception(problem)
                except BaseException:
                    answer.cancel()
                    raise
        finally:
            callers.remove(asyncio.current_task())

    async def end_of(answer: asyncio.Future[Answer]) -> None:
        for _ in range(min(len(waiting), concurrency - len(callers))):
            callers.add(asyncio.create_task(one_after_the_other()))
        await asyncio.wait([answer])

    end: Exception | None = None
    with closing(_Unseen(answers)), closing(_Loop()) as loop:
        while True:
            while end is None and len(answers) < AHEAD * concurrency:
                try:
                    thing = next(things)
                except Exception as problem:
                    end = problem
                else:
                    answers.append(loop.loop.create_future())
                    waiting.append((thing, answers[-1]))
            if not answers:
                break
            loop.run(end_of(answers[0]))
            while answers and answers[0].done():  # what ended meanwhile needs no turn of the loop
                yield answers.popleft().result()
    if not isinstance(end, StopIteration):
        assert end is not None
        raise end


class _Loop:
    """An event loop: here, or in a thread of its own where one is running here already, as in a notebook."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.thread = ThreadPoolExecutor(1) if _in_event_loop() else None
        self.loop = self._there(self.runner.get_loop)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._there(lambda: self.runner.run(coroutine))

    def _there(self, call: Callable[[], Answer]) -> Answer:
        if self.thread is None:
            return call()
        ending = self.thread.submit(call)
        try:
            return ending.result()
        except BaseException:
            if not ending.done():  # Ctrl-C, which no other thread hears of
                self.loop.call_soon_threadsafe(self._cancel)
            raise

    def _cancel(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()

    def close(self) -> None:
        self._there(self.runner.close)
        if self.thread is not None:
            self.thread.shutdown()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Unseen:
    """Answers that nobody will ask for, should the run end early: their errors are not worth a message."""

    def __init__(self, answers: Iterable[asyncio.Future[Any]]) -> None:
        self.answers = answers

    def close(self) -> None:
        for answer in self.answers:
            if answer.done() and not answer.cancelled():
                answer.exception()


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
    for pass@k over the rows that share a value of an item key. Graders that compare the outputs of an item need `group`
    too, and the rows of a group one after the other; a group that was broken off is graded anew as a whole. They take
    no `limit` and no `sample`, which would cut groups apart.

    Each grade is written to `<out>.partial` as soon as it is there (of graders that take batches, such as `python`, a
    block of about a tenth of a second at once), with a hash of its row, and the file is renamed at the end. A broken
    run goes on after the last line whose grader and row have not changed.

    Judge models are asked of `graders.service.services.current()`: put `use(Services(settings, cache=..., budget=...))`
    around the call. What a broken run used counts toward the budget of the one that goes on, whether it was recorded or
    not: `<out>.partial.spent` holds it. Recorded grades that judges were asked for, and that are of another grader or
    of other rows, are kept in `<out>.partial.old`, with a GraderWarning.

    Raises ValueError where nothing can be graded or written, before anything is; and for a malformed row or a
    worker that died, once the rows before it are recorded. GradingStopped where no judge can or should be asked any
    more, once the rows before are recorded.
    """
    from graders.offline.cache import Cache
    from graders.offline.choose import chosen
    from graders.offline.job import Job
    from graders.offline.journal import check_places
    from graders.offline.sources import import_parquet, open_source

    out = Path(out)
    _check_options(graders, workers, concurrency, k, group)
    _check_whole_groups(graders, limit, sample)
    if not math.isfinite(threshold):
        raise ValueError(f"threshold={threshold}: a row passes from a finite score")
    check_places(Path(data) if isinstance(data, str | Path) else None, out)
    if out.suffix.lower() == ".parquet":
        import_parquet(out)  # its want is better known now
    for grader in graders.values():
        grader.check_ready()
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
    tallies = [
        Tally(cluster is not None, k, threshold, grader.range, _parts_of_cascade(job, name))
        for name, grader in graders.items()
    ]
    _grade_into(out, job, taken, tallies, _num_workers(job, workers), concurrency, progress)
    return dict(zip(graders, (tally.summary() for tally in tallies), strict=True))


def price_file(
    graders: Mapping[str, Grader],
    data: Any,
    out: str | Path | None = None,
    *,
    output: str = OUTPUT,
    where: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
    concurrency: int = 16,
    cache: str | Path | None = None,
    group: str | None = None,
    max_row_bytes: int = MAX_ROW_BYTES,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Estimate:
    """What `grade_file_with_all` would ask of judge models and what that would cost; asks nothing, writes nothing.

    The arguments are the same; of `out` only what a broken run has recorded is looked at. Only graders that ask judge
    models are tried, the deterministic parts of a cascade among them. Prices are those of `current().settings`.
    """
    from graders.offline.cache import FILE
    from graders.offline.choose import chosen
    from graders.offline.estimate import Estimate, needs_judge
    from graders.offline.job import Job
    from graders.offline.sources import open_source
    from graders.service import answers
    from graders.service.cost import used
    from graders.service.services import Services, current, use

    compares = any(grader.judges_groups for grader in graders.values())
    _check_options(graders, None, concurrency, None, group if compares else None)
    _check_whole_groups(graders, limit, sample)
    folder = None if cache is None else Path(cache)
    settings = current().settings
    answered = folder if folder is not None and (folder / answers.FILE).is_file() else None
    with use(Services(settings, cache=answered, dry=True)) as services:
        job = Job(
            graders=graders,
            identities={name: grader.identity for name, grader in graders.items()},
            source=open_source(data, max_row_bytes),
            single=len(graders) == 1,
            output=output,
            group=group,
            cache=folder if folder is not None and (folder / FILE).is_file() else None,
        )
        taken = partial(chosen, job.source, job.row, where, limit, sample, seed)
        rows = unasked = 0
        with closing(job):
            left = _left(job, taken, None if out is None else Path(out))
            for unit in window(job.judged_grades, map(job.prepared_unit, left), concurrency):
                for grades in unit:
                    rows += 1
                    unasked += not any(grade is not None and needs_judge(grade) for grade in grades.values())
                if rows % 100 < len(unit):
                    progress(Progress(rows, job.source.share, 0))
        return Estimate(rows, unasked, used(services.ledger), settings.prices)


def _left(job: Job, taken: Callable[[], Iterator[Raw]], out: Path | None) -> Iterator[list[Raw]]:
    """The rows less those that a broken run has recorded, in units."""
    from graders.offline.ids import Ids
    from graders.offline.journal import partial_of

    units = job.units(_checked(taken(), job))
    if out is None or not partial_of(out).is_file():
        return units
    record = _Record(Ids(job.source, taken), [Tally() for _ in job.graders], lambda progress: None, job.source)
    return _unrecorded(partial_of(out), units, job, record).units


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
    from graders.offline.journal import open_journal, partial_of, spent_of
    from graders.offline.workers import Team
    from graders.offline.write import finish

    raws = taken()
    team = Team(job, workers) if workers > 1 and not job.waits and not job.together else None
    with closing(team or job):
        raws = _checked(raws, job)
        record = _Record(Ids(job.source, taken), tallies, progress, job.source)
        with open_journal(out) as journal:
            found = _unrecorded(partial_of(out), job.units(raws), job, record)
            _tell_others(partial_of(out), found)
            journal.truncate(found.kept)
            rest = found.units
            with _spending(out, job, tallies):
                for lines in _graded(job, rest, concurrency) if team is None else team.lines(chain.from_iterable(rest)):
                    record.write(journal, lines)
            record.ids.check()
            finish(partial_of(out), out)
            spent_of(out).unlink(missing_ok=True)
    record.tell(last=True)


def _checked(raws: Iterator[Raw], job: Job) -> Iterator[Raw]:
    """The rows. ValueError where there are none, or a grader that waits has a variable that is in none of the first."""
    waiting = [grader for grader in job.graders.values() if grader.waits]
    first, end = _first(raws, LOOKED_AT if waiting else 1)
    if not first and end is None:
        raise ValueError(f"{job.source.name}: no rows; one at least is expected")
    items: list[Item] = []
    with suppress(ValueError):  # a malformed row: it is named once those before it are graded
        items.extend(job.row(raw).item for raw in (first if waiting else ()))
    for grader in chain.from_iterable(map(_needed, waiting)):
        if lacking := missing_variables(grader, items):
            said = "; ".join(map(str, lacking))
            raise ValueError(f"{job.source.name}: grader {grader.label!r} cannot grade its rows: {said}")
    return chain(first, raws if end is None else _raising(end))


def _needed(grader: Grader) -> list[Grader]:
    """What must find its variables: of a cascade those that wait, since the others may be for a few rows only."""
    if grader.type != "cascade":
        return [grader]
    members: Mapping[str, Grader] = getattr(grader, "members", {})
    return [part for member in members.values() if member.waits for part in _needed(member)]


def _first(raws: Iterator[Raw], count: int) -> tuple[list[Raw], Exception | None]:
    """The first rows, and what reading them raised."""
    first: list[Raw] = []
    try:
        first.extend(islice(raws, count))
    except Exception as problem:
        return first, problem
    return first, None


def _raising(problem: Exception) -> Iterator[Raw]:
    raise problem
    yield


def _parts_of_cascade(job: Job, name: str) -> Iterable[str]:
    """The names of its parts, of a cascade that asks a judge model."""
    grader = job.judged.get(name)
    return getattr(grader, "members", ()) if grader is not None and grader.type == "cascade" else ()


def _check_options(
    graders: Mapping[str, Grader], workers: int | None, concurrency: int, k: int | None, group: str | None
) -> None:
    if not graders:
        raise ValueError("no graders; give one at least")
    check_concurrency(concurrency)
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers}: at least one process must grade; use 1 or more")
    compare = next((grader for grader in graders.values() if grader.judges_groups), None)
    if compare is not None and group is None:
        raise ValueError(
            f"{compare.label!r} compares the outputs of one item; name the item key that tells which rows are of one "
            "item: --group KEY (in Python group=)"
        )
    if (k is None) != (group is None) and compare is None:
        raise ValueError("pass@k needs both: k, and the item key that tells which rows are of one item (group)")
    if k is not None and k < 1:
        raise ValueError(f"k={k}: pass@k is of one sample or more; use 1 or more")


def _check_whole_groups(graders: Mapping[str, Grader], limit: int | None, sample: int | None) -> None:
    for name, count in (("limit", limit), ("sample", sample)):
        for grader in graders.values():
            if count is not None and grader.judges_groups:
                raise ValueError(
                    f"{name}={count}: {grader.label!r} compares the outputs of one item, and {name} would cut a group "
                    "apart; choose whole groups by the key that groups them, as in --where 'item.KEY in [1, 2]'"
                )


def _num_workers(job: Job, workers: int | None) -> int:
    from graders.offline.sources import Rows

    if workers is not None or not hasattr(os, "fork"):
        return workers or 1
    rows = job.source.rows if isinstance(job.source, Rows) else None
    large = (job.source.size or 0) >= LARGE_FILE or (rows or 0) >= LARGE_DATA
    return usable_cores() if large else 1


def _graded(job: Job, units: Iterator[list[Raw]], concurrency: int) -> Iterator[list[Line]]:
    """The lines of all rows, in order, graded in this process."""
    if job.together:
        yield from window(job.group_lines, map(job.prepared_unit, units), concurrency)
        return
    raws = chain.from_iterable(units)
    if job.waits:
        yield from ([line] for line in window(job.line, map(job.prepared, raws), concurrency))
        return
    yield from _in_blocks(job, raws) if job.batched else _row_by_row(job, raws)


def _row_by_row(job: Job, raws: Iterator[Raw]) -> Iterator[list[Line]]:
    for raw in raws:
        lines, problem = job.lines([raw])
        if problem is not None:
            raise problem
        yield lines


def _in_blocks(job: Job, raws: Iterator[Raw]) -> Iterator[list[Line]]:
    from graders.offline.blocks import Blocks
    from graders.offline.job import content_of

    blocks = Blocks(raws, content_of)
    while block := blocks.next():
        began = time.monotonic()
        lines, problem = job.lines(block)
        blocks.took(time.monotonic() - began)
        yield lines
        if problem is not None:
            raise problem
    blocks.check()


class _Found(NamedTuple):
    """What a broken run has left."""

    units: Iterator[list[Raw]]  # left to grade
    kept: int  # bytes of the lines that still hold
    others: int = 0  # lines of another grader or of other rows
    paid: bool = False  # of these, whether a judge was asked for any


def _unrecorded(partial: Path, units: Iterator[list[Raw]], job: Job, record: _Record) -> _Found:
    """What is left to grade, and how much of the journal still holds; its lines are counted."""
    from graders.offline.journal import recorded

    kept = 0
    lines = recorded(partial)
    while (unit := next(units, None)) is not None:
        things = job.prepared_unit(unit)
        found = list(islice(lines, len(unit)))
        held = [job.recorded_notes(wire, thing) for (_, wire), thing in zip(found, things, strict=False)]
        if len(found) < len(unit) or None in held:
            others = chain(found, lines) if None in held else ()
            return _others(chain([unit], units), kept, others)
        for (line, _), thing, notes in zip(found, things, held, strict=True):
            assert notes is not None
            record.ids.add(thing.row.id, thing.row.place)
            record.count(notes, thing.cluster, thing.group)
            record.tell()
            kept += len(line)
    return _others(units, kept, lines)


def _others(units: Iterator[list[Raw]], kept: int, lines: Iterable[tuple[bytes, Mapping[str, Any]]]) -> _Found:
    count, paid = 0, False
    for _, wire in lines:
        count += 1
        paid = paid or _asked_judges(wire)
    return _Found(units, kept, count, paid)


def _asked_judges(wire: Mapping[str, Any]) -> bool:
    """Whether the grades of a line took calls of judge models."""
    try:
        grades = wire["grades"].values() if "grades" in wire else [wire]
        return any(counts.get("calls") for grade in grades for counts in (grade.get("usage") or {}).values())
    except (AttributeError, TypeError):
        return False


def _tell_others(partial: Path, found: _Found) -> None:
    """Warn of recorded grades that judges were asked for and that are about to be cut, and set them aside."""
    from graders.offline.journal import set_aside

    if found.paid:
        number, s, are = f"{found.others:,}", "s" * (found.others != 1), "are" if found.others != 1 else "is"
        warnings.warn(
            f"{number} recorded grade{s} {are} of another grader or of other rows and {are} made anew; what was "
            f"recorded is kept in {set_aside(partial)}",
            GraderWarning,
            stacklevel=2,
        )


@contextmanager
def _spending(out: Path, job: Job, tallies: list[Tally]) -> Iterator[None]:
    """Count what earlier starts spent toward the budget, and keep for the next what this one spends."""
    from graders.offline.journal import spent_of
    from graders.service.services import current
    from graders.service.spent import Spent

    if not job.waits:
        yield
        return
    ledger, file = current().ledger, spent_of(out)
    recorded = [(job.identities[name], tally.usage) for name, tally in zip(job.graders, tallies, strict=True)]
    if ledger.budget is None and not file.is_file():
        for grader, usage in recorded:
            ledger.add(grader, usage)
        yield
        return
    with closing(Spent(ledger, file, [(grader, usage) for grader, usage in recorded])):
        yield


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

    def count(self, notes: list[Note], cluster: str | None, group: str | None) -> None:
        for tally, note in zip(self.tallies, notes, strict=True):
            tally.add_note(note, cluster, group)

    def tell(self, last: bool = False) -> None:
        if last or time.monotonic() - self.told > 0.1:
            self.told = time.monotonic()
            self.progress(Progress(self.tallies[0].n, 1.0 if last else self.source.share, self.cached))
