"""Landlock: which files a jailed process may open, and whom it may reach (Linux 5.13; landlock(7))."""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable

from .kernel import PR_SET_NO_NEW_PRIVS, call, prctl

WRITE_FILE, READ_FILE, READ_DIR = 2, 4, 8
FILES = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # all rights, by the version they came
TCP = 3  # bind and connect, from version 4
SCOPES = 3  # abstract sockets and signals, from version 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


def version() -> int:
    """Landlock's version in this kernel. Raises OSError where there is none."""
    return call("landlock_create_ruleset", None, ctypes.c_size_t(0), ctypes.c_uint32(1))


def restrict(readable: Iterable[str], writable: Iterable[str]) -> int:
    """Open nothing but what lies at or below these paths, from now on and for good; the version that did it.

    Nothing is executed, made, moved or removed. Paths that are not there are left out. What it does not hide: that a
    path exists, its size and its times (stat(2)). Raises OSError where the kernel has no Landlock.
    """
    found = version()
    rights = max(rights for since, rights in FILES.items() if since <= found)
    ruleset = _Ruleset(rights, TCP if found >= 4 else 0, SCOPES if found >= 6 else 0)
    size = 24 if found >= 6 else 16 if found >= 4 else 8
    rules = call("landlock_create_ruleset", ctypes.byref(ruleset), ctypes.c_size_t(size), ctypes.c_uint32(0))
    try:
        for path in readable:
            _allow(rules, path, READ_FILE | READ_DIR)
        for path in writable:
            _allow(rules, path, READ_FILE | WRITE_FILE)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        call("landlock_restrict_self", ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)
    return found


def keep_apart() -> None:
    """Reach no process and no abstract socket outside this process, not even those of the jail. Nothing before 6."""
    if version() < 6:
        return
    ruleset = _Ruleset(0, 0, SCOPES)
    rules = call("landlock_create_ruleset", ctypes.byref(ruleset), ctypes.c_size_t(24), ctypes.c_uint32(0))
    try:
        call("landlock_restrict_self", ctypes.c_int(rules), ctypes.c_uint32(0))
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as problem:
        if problem.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP):
            return
        raise
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= ~READ_DIR
        beneath = _Beneath(rights, place)
        call("landlock_add_rule", ctypes.c_int(rules), ctypes.c_int(1), ctypes.byref(beneath), ctypes.c_uint32(0))
    finally:
        os.close(place)
