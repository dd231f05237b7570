"""Sums, integrals, limits and derivatives: sympy decides, in a process of its own that can be killed.

sympy may need any amount of time and memory, and no signal in this process could bound that. So it runs in a child with
a wall deadline, at most 1 GB of memory and a pipe as its only channel. The child is sent trees as data, never text to
read. Off by default in `math`: a pair costs milliseconds to seconds here, not microseconds.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from queue import LifoQueue
from typing import Any

from graders.grade import GradingError
from graders.math.calculus import child as calculus_child
from graders.math.calculus.job import RefusedError, as_job
from graders.math.policy import Policy
from graders.math.tree import Node, Verdict

START_SECONDS = 60.0  # to start Python and import sympy
GRACE = 0.1  # seconds past the deadline in which an answer that is on its way still counts
_CHILD = Path(__file__).with_name("child.py")
_MISSING = "sums, integrals, limits and derivatives need sympy: pip install 'assay[math]'"


class Calculus:
    """Child processes that hold sympy, shared by any number of threads; each starts when it is first needed.

    `workers`  how many jobs run at once; more of them wait for their turn, and waiting does not count as time
    """

    def __init__(self, workers: int = 1) -> None:
        if workers < 1:
            raise ValueError(f"workers is at least 1, not {workers}")
        self._workers = workers
        self._begin()
        _alive.add(self)

    def _begin(self) -> None:
        self._children = [_Child() for _ in range(self._workers)]
        self._idle: LifoQueue[_Child] = LifoQueue()  # the one used last is the one that is warm
        for child in self._children:
            self._idle.put(child)

    def decide(self, a: Node, b: Node, seconds: float = 5, policy: Policy = Policy()) -> Verdict:  # noqa: B008
        """Whether two expressions mean the same, by sympy within `seconds`. Symmetric.

        "equal" is what sympy simplifies to the same (a decimal: what rounds to it), "different" what has another value
        at a point. All else is "undecided" with the reason: no answer in time, too much memory, a process that was
        killed, a tree that is not handed over. Raises GradingError of the kind `not_installed` where there is no
        sympy, ValueError for `seconds` that are no time.
        """
        if not 0 < seconds < float("inf"):
            raise ValueError(f"seconds is a time above 0, not {seconds}")
        try:
            job = as_job(a, b, policy)
        except RefusedError as problem:
            return Verdict("undecided", str(problem), "calculus")
        if job["a"] == job["b"]:
            return Verdict("equal", "both are the same tree", "calculus")
        child = self._idle.get()
        try:
            outcome, why = child.answer({**job, "seconds": seconds}, seconds)
        finally:
            self._idle.put(child)
        return Verdict(outcome, why, "calculus")

    def pids(self) -> list[int]:
        """The processes there are."""
        return [process.pid for child in self._children if (process := child.process) is not None]

    def close(self) -> None:
        """End the processes; a job that is under way comes back undecided. A later `decide` starts new ones."""
        for child in self._children:
            child.stop()

    def forget(self) -> None:
        """In a copy of this program made by fork: leave the processes to the original, and start over."""
        for child in self._children:
            child.forget()
        self._begin()

    def __enter__(self) -> Calculus:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Child:
    """One process, used by one thread at a time; only `stop` and the deadline come from others."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()  # held by whoever signals or reaps the process
        self._busy = False
        self._turn = 0
        self._late = False

    def answer(self, job: Mapping[str, Any], seconds: float) -> tuple[Any, str]:
        """Outcome and reason. The time begins when the child has the job, not while it starts."""
        with self._lock:
            self._busy = True
        try:
            self._ready()
            data = self._ask(job, seconds)
            if data is None:
                return "undecided", self._why_gone(seconds)
            if not _is_answer(data):
                raise ValueError("its answer cannot be read")
            if data["last"] or self._late:
                self._end()
            return data["outcome"], data["why"]
        except (OSError, ValueError, RuntimeError) as problem:
            self._end()
            return "undecided", f"sympy's process could not be used: {problem}"
        except BaseException:
            self._end()  # what it would still say is no answer to the next job
            raise
        finally:
            with self._lock:
                self._busy = False

    def _ready(self) -> None:
        """Have a process that has imported sympy. GradingError where there is none to import."""
        with self._lock:
            if self.process is not None and self.process.poll() is None:
                return
            self._end()
            self.process = _started()
        said = self._ask(None, START_SECONDS)
        if said == {"ready": True}:
            return
        if isinstance(said, dict) and "missing" in said:
            raise GradingError("not_installed", f"{_MISSING} ({said['missing']})", "infra")
        raise OSError(self._why_gone(START_SECONDS))

    def _ask(self, job: Mapping[str, Any] | None, seconds: float) -> Any:
        """Send a job and read the next frame; None where the process ends first, as it does at the deadline."""
        process = self.process
        if process is None or process.stdin is None or process.stdout is None:
            return None
        self._late = False
        deadline = threading.Timer(seconds + GRACE, self._overrun, [self._turn])
        deadline.daemon = True
        deadline.start()
        try:
            if job is not None:
                calculus_child.write_frame(process.stdin, job)
            return calculus_child.read_frame(process.stdout)
        except ConnectionError:
            return None
        finally:
            deadline.cancel()
            with self._lock:
                self._turn += 1  # a deadline that fires only now is that of no job

    def _overrun(self, turn: int) -> None:
        with self._lock:
            if self._turn == turn and self.process is not None:
                self._late = True
                _kill_group(self.process)

    def _why_gone(self, seconds: float) -> str:
        process = self.process
        self._end()
        if self._late:
            return f"sympy did not answer within {seconds:g} s"
        code = 0 if process is None else process.returncode
        return f"sympy's process ended before it answered ({f'signal {-code}' if code < 0 else f'exit status {code}'})"

    def _end(self) -> None:
        """End the process and reap it."""
        with self._lock:
            process, self.process = self.process, None
            if process is not None:
                _kill_group(process)
                process.wait()
                _close_pipes(process)

    def stop(self) -> None:
        """End the process from any thread. Where a job is under way, the thread that waits for it reaps."""
        with self._lock:
            if not self._busy:
                self._end()
            elif self.process is not None:
                _kill_group(self.process)

    def forget(self) -> None:
        """In a copy of this program made by fork: close the copies of the pipes and leave the process alone."""
        if self.process is not None:
            self.process.returncode = 0  # so that nothing waits for what is no child of ours
            _close_pipes(self.process)


def _started() -> subprocess.Popen[bytes]:
    """A process that imports sympy from where this one would. GradingError where there is none."""
    places = []
    for name in ("sympy", "mpmath"):
        found = find_spec(name)
        if found is None or not found.origin:
            raise GradingError("not_installed", _MISSING, "infra")
        places.append(str(Path(found.origin).resolve().parents[1]))
    # Two runs of sympy take the same way only if sets have the same order and integers are of the same kind.
    environment = {"PYTHONHASHSEED": "0", "SYMPY_GROUND_TYPES": "python", "MPMATH_NOGMPY": "1"}
    loader = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-P", "-s", "-B", str(_CHILD), *dict.fromkeys(places)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment | loader,
        cwd=Path(_CHILD.anchor),
        start_new_session=True,
        bufsize=0,  # a buffer has a lock, and a fork may copy it locked
    )


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _is_answer(data: Any) -> bool:
    return (
        isinstance(data, dict)
        and data.get("outcome") in ("equal", "different", "undecided")
        and isinstance(data.get("why"), str)
        and isinstance(data.get("last"), bool)
    )


_alive: weakref.WeakSet[Calculus] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for calculus in tuple(_alive):
        calculus.close()


def _after_fork() -> None:
    for calculus in tuple(_alive):
        calculus.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
