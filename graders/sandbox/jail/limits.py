"""Limits of one jailed process: memory, CPU time, descriptors, file size (setrlimit(2))."""

from __future__ import annotations

import resource
from typing import NamedTuple


class Limits(NamedTuple):
    """What one jailed process may use."""

    memory: int = 512 * 2**20  # bytes of address space beyond what its fork server has already
    output: int = 2**20  # bytes it may write to its output file, and of one answer
    cpu: int | None = None  # seconds of CPU time; None: no limit but the deadline


DESCRIPTORS = 64


def apply(limits: Limits) -> None:
    """Set them for this process, for good. Raises OSError or ValueError."""
    _set(resource.RLIMIT_AS, _address_space() + limits.memory)
    _set(resource.RLIMIT_FSIZE, limits.output)
    _set(resource.RLIMIT_NOFILE, DESCRIPTORS)
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_MEMLOCK, 0)
    _set(resource.RLIMIT_MSGQUEUE, 0)
    if limits.cpu is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        most = limits.cpu + 1 if hard == resource.RLIM_INFINITY else min(hard, limits.cpu + 1)
        resource.setrlimit(resource.RLIMIT_CPU, (min(limits.cpu, most), most))


def _set(kind: int, most: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(kind, (most, most))


def _address_space() -> int:
    """Bytes of address space in use; read before the jail closes, where /proc is there."""
    return _IN_USE


def measure() -> None:
    """Take the address space of now as what every later process starts with."""
    global _IN_USE
    try:
        with open("/proc/self/statm") as file:
            _IN_USE = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        _IN_USE = 64 * 2**20


_IN_USE = 0
