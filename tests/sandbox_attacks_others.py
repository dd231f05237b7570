"""Attacks on other processes: signals, tracing, memory, descriptors, limits; run inside the sandbox."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
from typing import Any

Facts = dict[str, Any]
Got = str | None

NUMBERS = {  # x86_64, aarch64
    **{"tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "pidfd_open": (434, 434)},
    **{
        "pidfd_send_signal": (424, 424),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
        "ptrace": (101, 117),
    },
    **{"kcmp": (312, 272), "pidfd_getfd": (438, 438), "prlimit64": (302, 261), "get_robust_list": (274, 100)},
}


def _call(name: str, *arguments: Any) -> Got:
    """The answer of a system call made by number; OSError where the kernel refuses it."""
    number = NUMBERS[name][platform.machine() == "aarch64"]
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    padded = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    answer = library.syscall(ctypes.c_long(number), *padded, *[ctypes.c_long(0)] * (6 - len(padded)))
    if answer == -1:
        raise OSError(ctypes.get_errno(), name)
    return f"{name} answered {answer}"


def signal_the_parent(facts: Facts) -> Got:
    os.kill(os.getppid(), 0)
    return "signalled"


def signal_the_service(facts: Facts) -> Got:
    os.kill(facts["service"], 0)
    return "signalled"


def signal_everyone(facts: Facts) -> Got:
    os.kill(-1, 0)
    return "signalled"


def signal_the_group(facts: Facts) -> Got:
    os.kill(0, 0)
    return "signalled"


def signal_a_thread_of_the_service(facts: Facts) -> Got:
    return _call("tgkill", facts["service"], facts["service"], 0)


def signal_a_thread_of_the_parent(facts: Facts) -> Got:
    return _call("tgkill", os.getppid(), os.getppid(), 0)


def signal_by_the_old_call(facts: Facts) -> Got:
    return _call("tkill", os.getppid(), 0)


def queue_a_signal(facts: Facts) -> Got:
    return _call("rt_sigqueueinfo", os.getppid(), 0, struct.pack("iii4x112x", 0, 0, -1))


def hold_the_parent(facts: Facts) -> Got:
    return _call("pidfd_open", os.getppid(), 0)


def hold_the_service(facts: Facts) -> Got:
    return _call("pidfd_open", facts["service"], 0)


def signal_the_held(facts: Facts) -> Got:
    return _call("pidfd_send_signal", 3, 0, None, 0)


def take_a_descriptor_of_another(facts: Facts) -> Got:
    return _call("pidfd_getfd", 0, 0, 0)


def stop_itself(facts: Facts) -> Got:
    if facts["harmless"]:
        return "not tried without a sandbox"
    os.kill(os.getpid(), signal.SIGSTOP)
    return "it stopped and went on"


def trace_the_parent(facts: Facts) -> Got:
    return _call("ptrace", 0x4206, os.getppid(), 0, 0)


def ask_to_be_traced(facts: Facts) -> Got:
    return _call("ptrace", 0, 0, 0, 0)


def read_the_memory_of_the_parent(facts: Facts) -> Got:
    return _vm("process_vm_readv", os.getppid())


def read_the_memory_of_the_service(facts: Facts) -> Got:
    return _vm("process_vm_readv", facts["service"])


def write_the_memory_of_the_parent(facts: Facts) -> Got:
    return _vm("process_vm_writev", os.getppid())


def _vm(name: str, process: int) -> Got:
    buffer = ctypes.create_string_buffer(8)
    place = struct.pack("QQ", ctypes.addressof(buffer), 0)
    return _call(name, process, place, 1, place, 1, 0)


def compare_with_the_parent(facts: Facts) -> Got:
    return _call("kcmp", os.getpid(), os.getppid(), 0, 0, 0)


def read_the_limits_of_the_service(facts: Facts) -> Got:
    """It may ask, which tells nothing secret; it may not set."""
    return _call("prlimit64", facts["service"], 7, struct.pack("QQ", 64, 64), None)


def find_the_locks_of_the_parent(facts: Facts) -> Got:
    return _call("get_robust_list", os.getppid(), ctypes.byref(ctypes.c_long()), ctypes.byref(ctypes.c_long()))
