"""seccomp: which system calls a jailed process may make. What is not listed is refused.

A filter is a program of the kernel's classic packet filter, run at each system call on its number, its architecture
and its arguments (`struct seccomp_data`; seccomp(2), Documentation/userspace-api/seccomp_filter.rst).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable

from .kernel import (
    NUMBERS,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_SECCOMP,
    Architecture,
    architecture,
    prctl,
)

ALLOWED = (
    # what an interpreter does most stands first
    *("read", "write", "futex", "mmap", "munmap", "brk", "clock_gettime", "newfstatat", "close", "fstat"),
    *("lseek", "mprotect", "mremap", "madvise", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "getpid", "gettid"),
    *("access", "faccessat", "faccessat2", "stat", "lstat", "statx", "readlink", "readlinkat", "getdents64"),
    *("getcwd", "chdir", "dup", "dup2", "dup3", "pipe", "pipe2", "pread64", "pwrite64", "readv", "writev", "fsync"),
    *("poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2"),
    *("nanosleep", "clock_nanosleep", "clock_getres", "gettimeofday", "time", "times", "setitimer", "getitimer"),
    *("alarm", "pause", "sched_yield", "sched_getaffinity", "getrandom", "getrlimit", "getrusage", "sysinfo", "uname"),
    *("getppid", "getuid", "geteuid", "getgid", "getegid", "sigaltstack", "set_tid_address", "set_robust_list", "rseq"),
    *("exit", "exit_group", "restart_syscall", "msync", "close_range"),
    # of a pair of its own, as asyncio makes one to wake itself; there is no other socket
    *("recvfrom", "shutdown"),
)

FATAL = (
    # nobody calls these by accident: the process ends, with SIGSYS
    *("ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "bpf", "perf_event_open"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "unshare", "setns", "mount", "umount2"),
    *("move_mount", "pivot_root", "chroot", "open_by_handle_at", "add_key", "request_key", "keyctl", "init_module"),
    *("finit_module", "delete_module", "kexec_load", "reboot", "personality"),
)

ERRORS = {"clone": errno.EAGAIN, "clone3": errno.ENOSYS}  # no thread, no process; glibc tries clone after clone3

# The one argument that is looked at, by its place, and the values it may have, in 32 bits.
ARGUMENTS = {
    "ioctl": (1, (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)),  # is it a terminal, its size, flags of a descriptor
    "fcntl": (1, (0, 1, 2, 3, 4, 1030)),  # duplicate, read and set flags; not F_SETOWN, which sends signals
    "socketpair": (0, (1,)),  # AF_UNIX
}

# Where a call that opens a file has its flags, and what they may not be: Landlock, which watches reading and writing,
# lets a file be opened for neither (3), and before version 3 be emptied by whoever may not write to it.
OPENS = {"openat": 2, "open": 1}
NEITHER, CREATE, EMPTY = 3, 0o100, 0o1000

# The one argument that must be null: a new limit; an address to send to, which a pair of datagram sockets would take.
ABSENT = {"prlimit64": 2, "sendto": 4}

NEW = 424  # from this number on calls are younger than the interpreters that try them first: they hear ENOSYS

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
LOAD, EQUAL, AT_LEAST, ANY, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
NUMBER, ARCH, FIRST_ARGUMENT = 0, 4, 16
X32 = 0x40000000

Instruction = tuple[int, int, int, int]
"""Code, steps to skip where the test holds, steps to skip where it does not, and the value."""


def program(arch: Architecture, writes: bool = True) -> list[Instruction]:
    """The filter for an architecture. `writes`: files may be opened for writing, since Landlock says which."""
    kill = (RETURN, 0, 0, KILL)
    steps: list[Instruction] = [(LOAD, 0, 0, ARCH), (EQUAL, 1, 0, arch.audit), kill, (LOAD, 0, 0, NUMBER)]
    if arch.column == 0:
        steps += [(AT_LEAST, 0, 1, X32), kill]
    for name, place in OPENS.items():
        for call in _numbers((name,), arch):
            checks = _opening(place, writes)
            steps += [(EQUAL, 0, len(checks), call), *checks]
    for call in _numbers(ALLOWED, arch):
        steps += [(EQUAL, 0, 1, call), (RETURN, 0, 0, ALLOW)]
    for call in _numbers(FATAL, arch):
        steps += [(EQUAL, 0, 1, call), kill]
    for name, code in ERRORS.items():
        for call in _numbers((name,), arch):
            steps += [(EQUAL, 0, 1, call), (RETURN, 0, 0, ERRNO | code)]
    for name, (place, values) in ARGUMENTS.items():
        for call in _numbers((name,), arch):
            checks = [(LOAD, 0, 0, FIRST_ARGUMENT + 8 * place)]
            for value in values:
                checks += [(EQUAL, 0, 1, value), (RETURN, 0, 0, ALLOW)]
            checks.append((RETURN, 0, 0, ERRNO | errno.EPERM))
            steps += [(EQUAL, 0, len(checks), call), *checks]
    for name, place in ABSENT.items():
        for call in _numbers((name,), arch):
            checks = _absent(place)
            steps += [(EQUAL, 0, len(checks), call), *checks]
    return [*steps, (AT_LEAST, 0, 1, NEW), (RETURN, 0, 0, ERRNO | errno.ENOSYS), (RETURN, 0, 0, ERRNO | errno.EPERM)]


def _opening(place: int, writes: bool) -> list[Instruction]:
    """Allow where the flags of an opening are harmless."""
    flags, refuse, allow = FIRST_ARGUMENT + 8 * place, (RETURN, 0, 0, ERRNO | errno.EACCES), (RETURN, 0, 0, ALLOW)
    if not writes:
        return [(LOAD, 0, 0, flags), (ANY, 0, 1, NEITHER | CREATE | EMPTY), refuse, allow]
    return [
        *((LOAD, 0, 0, flags), (AND, 0, 0, NEITHER), (EQUAL, 4, 0, NEITHER), (EQUAL, 0, 2, os.O_RDONLY)),
        *((LOAD, 0, 0, flags), (ANY, 1, 0, EMPTY), allow, refuse),
    ]


def _absent(place: int) -> list[Instruction]:
    """Allow where the argument is null, in all its 64 bits."""
    low, refuse = FIRST_ARGUMENT + 8 * place, (RETURN, 0, 0, ERRNO | errno.EPERM)
    return [
        *((LOAD, 0, 0, low), (EQUAL, 1, 0, 0), refuse),
        *((LOAD, 0, 0, low + 4), (EQUAL, 1, 0, 0), refuse, (RETURN, 0, 0, ALLOW)),
    ]


def _numbers(names: Iterable[str], arch: Architecture) -> list[int]:
    found = (NUMBERS[name][arch.column] for name in names)
    return [number for number in found if number is not None]


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Filter)))


def prepare(writes: bool) -> _Program:
    """The filter of this processor, ready to `install`. Raises OSError where there is no table for it."""
    steps = program(architecture(), writes)
    return _Program(len(steps), (_Filter * len(steps))(*(_Filter(*step) for step in steps)))


def install(prepared: _Program) -> None:
    """Refuse from now on, in this process and for good, what the filter refuses. Raises OSError."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    prctl(PR_SET_SECCOMP, 2, ctypes.byref(prepared))
