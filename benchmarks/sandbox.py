"""The sandbox's figures: `python benchmarks/sandbox.py`, or one of them with `--only warm`.

    warm      python grader in a process that lives on: calls a second of CPU time of both sides; one at a time
    batch     python grader of unknown origin, a fork for each batch of 64 calls, on all cores
    pristine  model-written code, a fork for each case, on all cores; and a new interpreter for each, as a comparison
    deadline  how long after its deadline a call that loops has ended
    kills     `kill -9` of processes at random while calls are made: answers, wrong ones, those left over
    frames    random frames thrown at what reads answers: crashes, and scores that nobody claimed
    start     a fork server, from nothing to its first answer

Wall times are of this machine with whatever else it does; its load stands in the first line. Ends with 1 where a call
was lost, a process left over, a frame crashed the reader or a score was forged.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

# benchmarks/graders.py shares its name with our package, and Python looks beside the script first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import sandbox_frames  # noqa: E402
from graders import Sample, load  # noqa: E402
from graders.code.scores import BATCH  # noqa: E402
from graders.cores import usable_cores  # noqa: E402
from graders.sandbox.fork_server import PLAIN, ForkServer  # noqa: E402
from graders.sandbox.jail.frames import FrameError  # noqa: E402
from graders.sandbox.jail.limits import Limits  # noqa: E402
from graders.sandbox.pool import Pool, use  # noqa: E402
from graders.sandbox.process import EndedError, TimeUpError  # noqa: E402
from graders.sandbox.settings import SandboxSettings  # noqa: E402

CORES = usable_cores()
GRADER = "def grade(sample, item):\n    return float(sample['output_text'] == item['gene'])\n"
CASE = "def add(a, b):\n    return a + b\n"
LOOP = "def add(a, b):\n    while True:\n        pass\n"
ROWS = [(Sample("FBN1"), {"gene": "FBN1", "row": row}) for row in range(10_000)]


def settings(**options: Any) -> SandboxSettings:
    return SandboxSettings(**{"accept": "S0", **options})


def in_threads(count: int, act: Callable[[int], Any], calls: int) -> tuple[list[Any], float]:
    """What `act` returns for 0, 1, ...; and the seconds that all of it took."""
    with ThreadPoolExecutor(count) as threads:
        began = time.perf_counter()
        return list(threads.map(act, range(calls))), time.perf_counter() - began


def stat(number: int) -> list[str]:
    """What the kernel tells of a process, from its state on (proc_pid_stat(5))."""
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()


def family(session: int) -> list[int]:
    """The processes of a fork server, by the number of its first: whatever it forks stays in its session."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):
                state, _, _, of, *_ = stat(int(place.name))
                if int(of) == session and state != "Z":
                    found.append(int(place.name))
    return found


def sessions(pool: Pool) -> list[int]:
    return [server.process.pid for server in pool._servers.values() if server.process]


def cpu_seconds(pool: Pool) -> float:
    """CPU time of this process and of all in the pool, those that have ended included."""
    ticks = sum(sum(map(int, stat(number)[11:15])) for session in sessions(pool) for number in family(session))
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def share(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def warm(options: argparse.Namespace) -> Iterator[str]:
    grader = load({"type": "python", "source": GRADER})
    with use(Pool(settings(processes=1))) as pool:
        grader.grade_batch(ROWS[:BATCH])
        rates, walls = [], []
        for _ in range(5):
            cpu, wall = cpu_seconds(pool), time.perf_counter()
            for begin in range(0, len(ROWS), BATCH):
                grader.grade_batch(ROWS[begin : begin + BATCH])
            walls.append(len(ROWS) / (time.perf_counter() - wall))
            rates.append(len(ROWS) / (cpu_seconds(pool) - cpu))
        took = []
        for sample, item in ROWS[:5000]:
            began = time.perf_counter()
            grader.grade(sample, item)
            took.append((time.perf_counter() - began) * 1000)
    yield f"batches of {BATCH}: {statistics.median(rates):,.0f} calls a second of CPU time, both processes counted"
    yield f"batches of {BATCH}: {statistics.median(walls):,.0f} calls a second of wall time, one caller"
    yield f"one at a time: p50 {share(took, 0.5):.3f} ms, p99 {share(took, 0.99):.3f} ms"


def batch(options: argparse.Namespace) -> Iterator[str]:
    grader = load({"type": "python", "source": GRADER})
    with use(Pool(settings(reuse="batch"))):
        grader.grade_batch(ROWS[:BATCH])

        def graded(number: int) -> None:
            begin = number * BATCH % (len(ROWS) - BATCH)
            grader.grade_batch(ROWS[begin : begin + BATCH])

        rates = []
        for _ in range(3):
            _, took = in_threads(CORES, graded, 100)
            rates.append(100 * BATCH / took)
    yield f"a fork for each {BATCH} calls: {statistics.median(rates):,.0f} calls a second, {CORES} threads"


def case(pool: Pool, source: str, *arguments: Any, seconds: float = 10.0) -> Any:
    """What `add` of this source claims to return, in a process of its own; how it ended, where it claims nothing."""

    def attempt() -> Any:
        with pool.fresh(PLAIN, Limits()) as process:
            process.send({"id": 1, "load": source, "filename": "<case>"})
            process.send({"id": 2, "call": "add", "args": arguments})
            try:
                process.receive(time.monotonic() + seconds)
                return process.receive(time.monotonic() + seconds)["value"]
            except (TimeUpError, EndedError, FrameError) as problem:
                return process.ending(problem)

    return pool.insist(attempt)


def pristine(options: argparse.Namespace) -> Iterator[str]:
    interpreter = [sys.executable, "-I", "-c", f"{CASE}print(add(2, 3))"]
    pool = Pool(settings(processes=CORES + 1))  # one is torn down while the others work
    rates, plain, took = [], [], []
    with use(pool):
        case(pool, CASE, 2, 3)
        for _ in range(5):
            found, seconds = in_threads(CORES + 1, lambda n: case(pool, CASE, n, 3), 200)
            assert found == [number + 3 for number in range(200)]
            rates.append(200 / seconds)
            _, seconds = in_threads(
                CORES + 1, lambda _: subprocess.run(interpreter, capture_output=True, check=True), 30
            )
            plain.append(30 / seconds)
        for _call in range(300):
            began = time.perf_counter()
            case(pool, CASE, 2, 3)
            took.append((time.perf_counter() - began) * 1000)
    rate, other = statistics.median(rates), statistics.median(plain)
    yield f"a fork for each case: {rate:,.0f} cases a second, {CORES + 1} threads on {CORES} cores"
    yield f"a new interpreter for each, unconfined: {other:,.0f} a second; ratio {rate / other:.1f}"
    yield f"one at a time: p50 {share(took, 0.5):.2f} ms, p99 {share(took, 0.99):.2f} ms"


def deadline(options: argparse.Namespace) -> Iterator[str]:
    limit, at_once = 0.25, 2 * CORES
    pool = Pool(settings(processes=at_once))

    def overshoot(_: int) -> float:
        with pool.fresh(PLAIN, Limits()) as process:
            process.send({"id": 1, "load": LOOP, "filename": "<case>"})
            process.send({"id": 2, "call": "add", "args": [1, 2]})
            process.receive(time.monotonic() + 60)
            end = time.monotonic() + limit
            try:
                process.receive(end)
            except TimeUpError as problem:
                process.ending(problem)
            return (time.monotonic() - end) * 1000

    with use(pool):
        found, _ = in_threads(at_once, overshoot, options.hangs)
        left = sum(len(family(session)) for session in sessions(pool)) - 2 * len(sessions(pool))
    yield (
        f"{len(found):,} calls that loop, {at_once} at once, killed at {limit * 1000:g} ms: ended "
        f"p50 +{share(found, 0.5):.1f} ms, p99 +{share(found, 0.99):.1f} ms, most +{max(found):.1f} ms; left: {left}"
    )


def kills(options: argparse.Namespace) -> Iterator[str]:
    draw = random.Random(6)
    pool = Pool(settings(processes=2 * CORES))
    answers: Counter[int] = Counter()
    wrong: list[str] = []
    asked, counting, stop = 0, threading.Lock(), threading.Event()

    def call(number: int) -> None:
        nonlocal asked
        while not stop.is_set():
            with counting:
                asked += 1
            try:
                if (found := case(pool, CASE, number, 3)) != number + 3:
                    wrong.append(str(found))
            except Exception as problem:
                wrong.append(repr(problem))
            answers[number] += 1
            number += threads

    threads = 4 * CORES
    case(pool, CASE, 1, 2)
    callers = [threading.Thread(target=call, args=(number,)) for number in range(threads)]
    began = time.perf_counter()
    for caller in callers:
        caller.start()
    seen = set()
    killed = Counter[str]()
    while killed.total() < options.kills:
        seen.update(now := sessions(pool))
        if victims := [number for session in now for number in family(session)]:
            victim = draw.choice(victims)
            with suppress(OSError):
                kind = "fork servers" if victim in now or int(stat(victim)[1]) in now else "workers"
                if kind == "workers" or draw.random() < 0.1:
                    os.kill(victim, signal.SIGKILL)
                    killed[kind] += 1
        time.sleep(0.005)
    stop.set()
    for caller in callers:
        caller.join()
    took = time.perf_counter() - began
    pool.close()
    time.sleep(0.1)
    left = [number for session in seen for number in family(session)]
    twice = sum(count > 1 for count in answers.values())
    lost = asked - len(answers)
    what = " and ".join(f"{count:,} {kind}" for kind, count in sorted(killed.items()))
    yield f"kill -9 of {what} in {took:.0f} s, {len(seen)} fork servers in all"
    told = f"wrongly: {len(wrong)} {wrong[:2] or ''}, twice: {twice}, never: {lost}, orphans: {len(left)}"
    yield f"calls answered: {len(answers):,}, {told}"
    if wrong or twice or lost or left:
        yield "BROKEN"


def frames(options: argparse.Namespace) -> Iterator[str]:
    yield from sandbox_frames.thrown(options.frames, options.seed)


def start(options: argparse.Namespace) -> Iterator[str]:
    took = []
    for _ in range(10):
        began = time.perf_counter()
        server = ForkServer()
        took.append((time.perf_counter() - began) * 1000)
        assert server.process is not None
        pages = int(Path(f"/proc/{family(server.process.pid)[-1]}/statm").read_text().split()[1])
        level = server.standing.level
        server.close()
    told = f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**20:.0f} MB resident, level {level}"
    yield f"a fork server with its self-test: p50 {statistics.median(took):.0f} ms, {told}"


FIGURES: dict[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    **{"warm": warm, "batch": batch, "pristine": pristine, "deadline": deadline},
    **{"kills": kills, "frames": frames, "start": start},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=FIGURES)
    parser.add_argument("--hangs", type=int, default=1000, help="calls that loop (default %(default)s)")
    parser.add_argument("--kills", type=int, default=1000, help="processes to kill (default %(default)s)")
    parser.add_argument("--frames", type=int, default=100_000, help="frames to throw (default %(default)s)")
    parser.add_argument("--seed", type=int, default=6, help="of the frames (default %(default)s)")
    options = parser.parse_args()
    print(f"{CORES} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}")
    broken = False
    for name, figure in FIGURES.items():
        for line in figure(options) if options.only in (None, name) else ():
            broken |= line.startswith(("BROKEN", "CRASH"))
            print(f"{name:9} {line}", flush=True)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
