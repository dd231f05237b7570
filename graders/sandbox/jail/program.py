"""A program in a jailed process: run as a script is, with its standard input and output in files."""

from __future__ import annotations

import atexit
import io
import itertools
import resource
import sys
import threading
from typing import Any

from .running import Raised, loaded, run

MOST_THREADS = 32  # that may be started, one after the other


def ran(source: str, filename: str) -> dict[str, Any]:
    """The exit code of a program; what it printed stands in its output file."""
    _take_streams()
    sys.argv = [filename]
    allow_deep_stacks()
    code, failed = 0, None
    try:
        loaded(source, filename, "__main__")
    except Raised as found:
        if isinstance(found.problem, SystemExit):
            code = _exit_code(found.problem)
        else:
            failed = found
    run(atexit._run_exitfuncs, filename)
    for stream in (sys.stdout, sys.__stdout__):  # a program may have put one of its own there
        if stream is not None and not getattr(stream, "closed", False):
            run(stream.flush, filename)
    if failed is not None:
        raise failed
    return {"exit": code}


def allow_deep_stacks() -> None:
    """Let code run that asks for a deeper stack, as programs do by habit: in a thread, or of the system."""
    threading.Thread.start = _start  # type: ignore[method-assign]
    threading.Thread.join = lambda self, timeout=None: None  # type: ignore[method-assign]
    threading.Thread.is_alive = lambda self: False  # type: ignore[method-assign]
    resource.setrlimit = _set_limit


def _take_streams() -> None:
    stdin = io.BufferedReader(io.FileIO(0, "r", closefd=False))
    stdout = io.BufferedWriter(io.FileIO(1, "w", closefd=False), 2**16)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(stdin, "utf-8", "surrogateescape")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(stdout, "utf-8", "surrogateescape")  # type: ignore[misc]


def _exit_code(leaving: SystemExit) -> int:
    code = leaving.code
    return 0 if code is None else code & 0xFF if isinstance(code, int) else 1


_really_set = resource.setrlimit


def _set_limit(what: int, limits: tuple[int, int], /) -> None:
    """As resource's own, but the stack stays as it is: it cannot be raised here."""
    if what != resource.RLIMIT_STACK:
        _really_set(what, limits)


_started = itertools.count(1)


def _start(self: threading.Thread) -> None:
    """Run a thread's work at once: none can be started here, and programs use one for a deeper stack."""
    waits_for_work = getattr(getattr(self, "_target", None), "__module__", "") == "concurrent.futures.thread"
    if waits_for_work or next(_started) > MOST_THREADS:
        raise RuntimeError("can't start new thread")
    self._started.set()  # type: ignore[attr-defined]
    try:
        self.run()
    except BaseException:  # it would end the thread, and be told on stderr
        return
