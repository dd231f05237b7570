"""A few quick attempts to get out of the jail, from within: what each found. Only `blocked` is well."""

from __future__ import annotations

import _thread
import mmap
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

BLOCKED, SUCCEEDED = "blocked", "succeeded"


def tried() -> dict[str, str]:
    """Each attempt by name, `blocked` or `succeeded`."""
    return {name: _outcome(attempt) for name, attempt in ATTEMPTS.items()}


def _outcome(attempt: Callable[[], Any]) -> str:
    try:
        attempt()
    except (OSError, MemoryError, RuntimeError, ValueError):
        return BLOCKED
    return SUCCEEDED


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _allocate() -> None:
    """Address space only, which no machine refuses of itself."""
    mmap.mmap(-1, 2**40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ).close()


def _write() -> None:
    """A file that anyone may write and that keeps nothing: where this succeeds, nothing is left behind."""
    os.close(os.open("/dev/zero", os.O_WRONLY))


ATTEMPTS: dict[str, Callable[[], Any]] = {
    "read a file": lambda: open("/etc/passwd").close(),
    "list a folder": lambda: os.listdir("/"),
    "read another's environment": lambda: open(f"/proc/{os.getppid()}/environ").close(),
    "write a file": _write,
    "open a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
    "open a local socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close(),
    "start a process": _fork,
    "start a program": lambda: subprocess.run([sys.executable, "-c", ""], check=False),
    "start a thread": lambda: _thread.start_new_thread(int, ()),
    "signal another process": lambda: os.kill(os.getppid(), 0),
    "make a file in memory": lambda: os.close(os.memfd_create("x")),
    "allocate a terabyte": _allocate,
    "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)),
}
