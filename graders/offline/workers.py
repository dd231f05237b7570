"""Workers: several processes grade blocks of rows; their lines come back in the order of the rows.

Each worker has one block at a time, and no more than a few blocks wait to be written, so memory does not grow
with the data.
"""

from __future__ import annotations

import gc
import pickle
import signal
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess

from graders.offline.blocks import Blocks
from graders.offline.job import Job, Line, content_of
from graders.offline.sources import Raw, Source

AHEAD = 4  # blocks a worker that may be under way or wait for an earlier one


class WorkerDiedError(ValueError):
    """A process that graded ended before its rows were graded."""


class Worker:
    """A forked process that answers each block of rows with their lines."""

    def __init__(self, job: Job, others: Sequence[Worker]) -> None:
        context = get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.block: list[Raw] = []
        self.number = -1
        ends = [self.pipe, *(other.pipe for other in others)]
        self.process: ForkProcess = context.Process(target=_serve, args=(job, theirs, ends))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads: numpy's, which no worker uses
            self.process.start()
        theirs.close()

    def take(self, number: int, block: list[Raw], flat: bool | None) -> None:
        self.number, self.block, self.began = number, block, time.monotonic()
        with suppress(OSError):  # it died: the answer says so
            self.pipe.send((flat, block))

    def answer(self) -> tuple[list[Line], Exception | None]:
        """The lines of the block, and what stopped it before its end."""
        try:
            return self.pipe.recv()  # type: ignore[no-any-return]
        except (EOFError, OSError):
            return [], self._death()

    def _death(self) -> WorkerDiedError:
        self.process.join(5)
        code = self.process.exitcode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        memory = " (out of memory?)" if code == -signal.SIGKILL else ""
        return WorkerDiedError(
            f"a worker {how}{memory} while it graded rows {self.block[0].number} to {self.block[-1].number}; the rows "
            "before are kept: start the same command again, or grade in one process with --workers 1 to see the row"
        )


def calm_collector() -> None:
    """For a process that only grades: what was made so far stays, and cycles are looked for now and then.

    After every 700 objects, Python's default, it took 4 tenths of the time.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _serve(job: Job, pipe: Connection, ends: Sequence[Connection]) -> None:
    """What a worker does until its pipe is closed. Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    calm_collector()
    for end in ends:
        end.close()  # else no worker would see the parent end
    with suppress(EOFError, OSError):
        while True:
            job.source.flat, block = pipe.recv()  # which the parent learns from the first row
            pipe.send_bytes(_answer(job, block))


def _answer(job: Job, block: list[Raw]) -> bytes:
    try:
        lines, problem = job.lines(block)
    except ValueError as found:  # a cache that cannot be used
        lines, problem = [], found
    except BaseException as found:  # whatever it is, the parent must hear of it
        where = traceback.extract_tb(found.__traceback__)[-1]
        ended = f"{where.filename}:{where.lineno}: {type(found).__name__} ({found}) ended the grading of rows "
        rows = f"{block[0].number} to {block[-1].number}; the rows before are kept"
        lines, problem = [], WorkerDiedError(ended + rows)
    try:
        return pickle.dumps((lines, problem))
    except Exception:
        return pickle.dumps((lines, ValueError(str(problem))))


class Team:
    """Workers, started at once: before the data and the journal are open, so that none holds a part of either."""

    def __init__(self, job: Job, workers: int) -> None:
        self.source = job.source
        self.workers: list[Worker] = []
        for _ in range(workers):
            self.workers.append(Worker(job, self.workers))

    def lines(self, raws: Iterator[Raw]) -> Iterator[list[Line]]:
        """The lines of all rows, in order, a block at a time; what reading or a row raised comes after those before."""
        return _course(self.workers, Blocks(raws, content_of), self.source)

    def close(self) -> None:
        for worker in self.workers:
            worker.pipe.close()  # an idle worker ends of itself
        for worker in self.workers:
            worker.process.join(0.5)
            worker.process.terminate()
            worker.process.join()


def _course(team: list[Worker], blocks: Blocks[Raw], source: Source) -> Iterator[list[Line]]:
    idle, busy = list(team), {}
    answers: dict[int, tuple[list[Line], Exception | None]] = {}
    given = written = 0
    ahead = AHEAD * len(team)
    while True:
        while written in answers:
            lines, problem = answers.pop(written)
            written += 1
            yield lines
            if problem is not None:
                raise problem
        while idle and given - written < ahead and (block := blocks.next()):
            worker = idle.pop()
            busy[worker.pipe] = worker
            worker.take(given, block, source.flat)
            given += 1
        if not busy:
            break
        for pipe in wait(list(busy)):
            worker = busy.pop(pipe)  # type: ignore[call-overload]
            answers[worker.number] = worker.answer()
            blocks.took(time.monotonic() - worker.began)
            if answers[worker.number][1] is None:
                idle.append(worker)
            else:
                idle, ahead = [], 0  # no more rows: what comes before the problem is awaited
    blocks.check()
