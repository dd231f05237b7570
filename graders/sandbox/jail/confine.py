"""The jail itself: what a fork server gives up once, and what each process it forks gives up besides."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from . import kernel, landlock, limits, seccomp

LAYERS = ("rlimits", "landlock", "seccomp", "namespaces", "private_uid")
PRIVATE_UID = 0x60000000  # plus the process number: a user that owns nothing

SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")  # shared libraries, for extension modules
FILES = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo", "/usr/lib/locale", "/dev/urandom", "/dev/random")


class Jail(NamedTuple):
    """What is in force, and why the rest is not."""

    on: list[str]
    missing: dict[str, str]
    filter: Any  # the prepared seccomp program, or None


def close(library: Sequence[str], readable: Sequence[str], without: Sequence[str], enter: Callable[[], None]) -> Jail:
    """Give up what a fork server can: its user, its namespaces, its files, its capabilities.

    `library` are the folders of Python's own library, `readable` what may be read besides. `enter` is called where a
    new process must go on as the first of a new process namespace.
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
    limits.go_first()
    attempt("rlimits", lambda: _tried(lambda: limits.apply(limits.Limits())))
    attempt("private_uid", lambda: _private_uid([*library, *readable]))
    if attempt("namespaces", _namespaces) is not None:
        enter()
        if os.getpid() != 1:
            on.remove("namespaces")
            missing["namespaces"] = "they were made, and this process still sees those outside"
    kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    attempt("landlock", lambda: landlock.restrict([*_readable(library), *readable], ["/dev/null"]))
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.drop_capabilities()
    prepared = attempt("seccomp", lambda: _filter(writes="landlock" in on))
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


def _filter(writes: bool) -> Any:
    prepared = seccomp.prepare(writes)
    _tried(lambda: seccomp.install(prepared))
    return prepared


def _tried(act: Callable[[], Any]) -> None:
    """Raises OSError where a process cannot do this; it is done in one of its own, since it is for good.

    Raises RuntimeError where the system has no process left: that says nothing of the layer.
    """
    try:
        child = os.fork()
    except OSError as problem:
        raise RuntimeError(f"no process could be made to try a layer in: {problem}") from None
    if child == 0:
        code = 255
        try:
            act()
            code = 0
        except OSError as problem:
            code = problem.errno or 255
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    if code:
        raise OSError(os.strerror(code) if 0 < code < 255 else f"a process that tried it ended with {code}")


def _namespaces() -> bool:
    new = kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC
    kernel.call("unshare", ctypes.c_ulong(new | kernel.CLONE_NEWUTS | kernel.CLONE_NEWNS))
    return True


def _private_uid(needed: Sequence[str]) -> bool:
    """Become a user that owns nothing; only root can, and only where that user can read what is `needed`."""
    if os.geteuid() != 0:
        raise OSError("only root can become another user")
    uid = PRIVATE_UID + os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _become(uid)
            ends = 0 if all(_reads(path) for path in needed) else 1
        except BaseException:
            ends = 2
        os._exit(ends)
    if status := os.waitpid(child, 0)[1]:
        unread = os.waitstatus_to_exitcode(status) == 1
        raise OSError(f"another user cannot {'read this interpreter' if unread else 'be become here'}")
    _become(uid)
    return True


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _reads(path: str) -> bool:
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    except OSError:  # it lies in a folder that this user may not enter
        return False
    return os.access(path, os.R_OK)


def _readable(library: Sequence[str]) -> list[str]:
    """What may be read: Python's own library, never the packages installed inside it; shared libraries; zones.

    The folders of the library are not readable themselves, as everything below would be, packages too.
    """
    files = [os.path.join(folder, name) for folder in library for name in _names(folder)]
    mine = [path for path in files if not path.endswith("-packages")]
    mine += [path for path in library if not os.path.isdir(path)]  # a library in one archive
    prefix = os.path.dirname(os.path.dirname(os.__file__))  # where an interpreter built apart keeps its libraries
    shared = [os.path.join(place, name) for place in (*SYSTEM, prefix) for name in _names(place)]
    libraries = [path for path in shared if _is_library(path)]
    return [*mine, *libraries, *FILES]


def _is_library(path: str) -> bool:
    """A shared library, or Debian's folder of them."""
    folder = os.path.isdir(path)
    return path.endswith("-linux-gnu") if folder else ".so" in os.path.basename(path)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
