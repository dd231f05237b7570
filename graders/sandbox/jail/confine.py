"""The jail itself: what a fork server gives up once, and what each process it forks gives up besides."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import kernel, landlock, limits, seccomp

LAYERS = ("rlimits", "landlock", "seccomp", "namespaces", "private_uid")
PRIVATE_UID = 0x60000000  # plus the process number: a user that owns nothing

SYSTEM = (
    # shared libraries, which extension modules load; zones and locales
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"),
)
FILES = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo", "/usr/lib/locale", "/dev/urandom", "/dev/random")


class Jail(NamedTuple):
    """What is in force, and why the rest is not."""

    on: list[str]
    missing: dict[str, str]
    filter: Any  # the prepared seccomp program, or None


def close(readable: Sequence[str], without: Sequence[str], enter: Callable[[], None]) -> Jail:
    """Give up what a fork server can: its user, its namespaces, its files, its capabilities.

    `enter` is called where a new process must go on as the first of a new process namespace.
    """
    on, missing = [], {}

    def attempt(layer: str, act: Callable[[], Any]) -> Any:
        if layer in without:
            missing[layer] = "switched off"
            return None
        try:
            found = act()
        except (OSError, ValueError, AttributeError) as problem:
            missing[layer] = str(problem) or type(problem).__name__
            return None
        on.append(layer)
        return found

    limits.measure()
    if "rlimits" in without:
        missing["rlimits"] = "switched off"
    else:
        on.append("rlimits")  # set in each process; a limit that cannot be set ends it
    attempt("private_uid", lambda: _private_uid(readable))
    if attempt("namespaces", _namespaces) is not None:
        enter()
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    attempt("landlock", lambda: landlock.restrict(*_open_paths(readable)))
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.drop_capabilities()
    prepared = attempt("seccomp", seccomp.prepare)
    return Jail(on, missing, prepared)


def confine(jail: Jail, most: limits.Limits) -> None:
    """Give up the rest, in a process of its own. Raises OSError: then nothing may be run in it."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    if "landlock" in jail.on:
        landlock.keep_apart()
    if "rlimits" in jail.on:
        limits.apply(most)
    if jail.filter is not None:
        seccomp.install(jail.filter)


def _namespaces() -> bool:
    new = kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC
    kernel.call("unshare", ctypes.c_ulong(new | kernel.CLONE_NEWUTS | kernel.CLONE_NEWNS))
    return True


def _private_uid(readable: Sequence[str]) -> bool:
    """Become a user that owns nothing; only root can, and only where that user can read the interpreter."""
    if os.geteuid() != 0:
        raise OSError("only root can become another user")
    uid = PRIVATE_UID + os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _become(uid)
            ends = not all(_reads(path) for path in [os.path.dirname(os.__file__), *readable])
        except BaseException:
            ends = True
        os._exit(ends)
    if os.waitpid(child, 0)[1] != 0:
        raise OSError("another user than root cannot read this interpreter")
    _become(uid)
    return True


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _reads(path: str) -> bool:
    return not os.path.lexists(path) or os.access(path, os.R_OK)


def _open_paths(readable: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """What may be listed, read and written: the standard library, never the packages installed inside it."""
    folders = [path for path in sys.path if os.path.isdir(path) and not path.endswith(("-packages", "site-packages"))]
    files = [os.path.join(folder, name) for folder in folders for name in os.listdir(folder)]
    shared = [os.path.join(place, name) for place in SYSTEM for name in _names(place)]
    libraries = [path for path in shared if ".so" in path or path.endswith("-linux-gnu")]
    mine = [path for path in files if not path.endswith("-packages")]
    return folders, [*mine, *libraries, *FILES, *readable], ["/dev/null"]


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
