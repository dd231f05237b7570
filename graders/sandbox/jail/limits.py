"""Limits of one jailed process: memory, descriptors, file size, processes (setrlimit(2)).

CPU time has none: past it the kernel would kill, which looks as if someone outside had. The deadline is what ends it.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from typing import NamedTuple


class Limits(NamedTuple):
    """What one jailed process may use."""

    memory: int = 512 * 2**20  # bytes of address space beyond what its fork server has already
    output: int = 2**20  # bytes it may write to its output file, and of one answer


DESCRIPTORS = 64
STACK = 64 * 2**20  # bytes: recursion through functions written in C (functools.cache) goes deep


def apply(limits: Limits) -> None:
    """Set them for this process, for good. Raises OSError or ValueError."""
    import resource  # not there on Windows, where this module can be imported all the same

    _set(resource.RLIMIT_AS, _IN_USE + limits.memory)
    _set(resource.RLIMIT_FSIZE, limits.output)
    _set(resource.RLIMIT_NOFILE, DESCRIPTORS)
    _set(resource.RLIMIT_STACK, STACK)
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE, resource.RLIMIT_NPROC):
        _set(kind, 0)


def _set(kind: int, most: int) -> None:
    import resource

    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(kind, (most, most))


def measure() -> None:
    """Take the address space of now as what every later process starts with."""
    global _IN_USE
    try:
        with open("/proc/self/statm") as file:
            _IN_USE = int(file.read().split()[0]) * mmap.PAGESIZE
    except OSError:  # no /proc here
        _IN_USE = _least_limit()


def go_first() -> None:
    """Where the machine runs out of memory, be killed before whoever serves it (proc_pid_oom_score_adj(5))."""
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _least_limit() -> int:
    """The address space in use, as the least limit under which one more page can be mapped."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    low, high = 0, 2**47
    try:
        while high - low > mmap.PAGESIZE:
            middle = (low + high) // 2
            fits = False
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_AS, (middle, before[1]))
                mmap.mmap(-1, mmap.PAGESIZE).close()
                fits = True
            low, high = (low, middle) if fits else (middle, high)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    return high


_IN_USE = 0
