"""Attacks through the kernel: system calls by number, machine code, sockets, signals, limits; run inside the sandbox.

What a call does where it succeeds is harmless, so that the same attacks can be made with no sandbox around them.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import resource
import select
import signal
import socket
import struct
from typing import Any

Facts = dict[str, Any]
Got = str | None

NUMBERS = {  # x86_64, aarch64
    **{"unshare": (272, 97), "setns": (308, 268), "io_uring_setup": (425, 425), "bpf": (321, 280)},
    **{"userfaultfd": (323, 282), "perf_event_open": (298, 241), "seccomp": (317, 277), "prctl": (157, 167)},
    **{"keyctl": (250, 219), "add_key": (248, 217), "personality": (135, 92), "openat2": (437, 437)},
    **{
        "landlock_create_ruleset": (444, 444),
        "memfd_secret": (447, 447),
        "setuid": (105, 146),
        "setresuid": (117, 147),
    },
    **{"setgroups": (116, 159), "capset": (126, 91), "shmget": (29, 194), "semget": (64, 190)},
    **{"msgget": (68, 186), "mq_open": (240, 180), "timer_create": (222, 107), "timerfd_create": (283, 85)},
    **{"signalfd4": (289, 74), "sched_setaffinity": (203, 122), "setpriority": (141, 140), "ioprio_set": (251, 30)},
    **{"setrlimit": (160, 164), "sched_setscheduler": (144, 119), "mlock": (149, 228), "open_tree": (428, 428)},
    **{"fsopen": (430, 430), "syslog": (103, 116), "setsid": (112, 157)},
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


def _machine_code(code: bytes) -> int:
    """What a few instructions leave in the result register."""
    if platform.machine() != "x86_64":
        raise OSError("machine code for x86_64 only")
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    place = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(place)())


def _answered(code: bytes, call: str) -> Got:
    answer = _machine_code(code)
    if answer < 0:
        raise OSError(-answer, call)
    return f"{call} answered {answer}"


# --- other ways into the kernel


def call_the_kernel_as_a_32_bit_program(facts: Facts) -> Got:
    return _answered(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3", "getpid by int 0x80")


def open_a_file_as_a_32_bit_program(facts: Facts) -> Got:
    path = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40)  # MAP_32BIT
    path.write(b"/etc/passwd\0")
    place = ctypes.addressof(ctypes.c_char.from_buffer(path))
    code = b"\xb8\x05\x00\x00\x00\x53\xbb" + place.to_bytes(4, "little") + b"\x31\xc9\xcd\x80\x5b\xc3"
    return _answered(code, "open by int 0x80")


def call_the_kernel_by_an_x32_number(facts: Facts) -> Got:
    return _answered(b"\xb8\x27\x00\x00\x40\x0f\x05\xc3", "getpid of x32")


def call_the_kernel_by_a_number_with_high_bits(facts: Facts) -> Got:
    return _answered(b"\x48\xb8\x39\x00\x00\x00\x01\x00\x00\x00\x0f\x05\xc3", "fork with high bits")


def fork_by_machine_code(facts: Facts) -> Got:
    child = _machine_code(b"\xb8\x39\x00\x00\x00\x0f\x05\xc3")
    if child == 0:
        os._exit(0)
    if child < 0:
        raise OSError(-child, "fork")
    os.waitpid(child, 0)
    return "forked"


def start_an_io_ring(facts: Facts) -> Got:
    return _call("io_uring_setup", 1, (ctypes.c_char * 120)())


def open_by_a_younger_call(facts: Facts) -> Got:
    return _call("openat2", -100, b"/etc/passwd", (ctypes.c_uint64 * 3)(), 24)


def load_a_program_into_the_kernel(facts: Facts) -> Got:
    return _call("bpf", 0, struct.pack("IIII56x", 1, 4, 4, 1), 72)


def watch_page_faults(facts: Facts) -> Got:
    return _call("userfaultfd", 1)


def count_events(facts: Facts) -> Got:
    return _call("perf_event_open", struct.pack("II120x", 1, 128), 0, -1, -1, 0)


def keep_a_key(facts: Facts) -> Got:
    return _call("add_key", b"user", b"x", b"y", 1, -2)


def read_keys(facts: Facts) -> Got:
    return _call("keyctl", 0, -3, 1)


def pose_as_another_kernel(facts: Facts) -> Got:
    return _call("personality", 0xFFFFFFFF)


def install_a_filter_that_reports(facts: Facts) -> Got:
    return _call("seccomp", 2, 0, ctypes.byref((ctypes.c_uint32 * 1)()))


def make_rules_of_its_own(facts: Facts) -> Got:
    return _call("landlock_create_ruleset", None, 0, 1)


def hide_memory(facts: Facts) -> Got:
    return _call("memfd_secret", 0)


def lock_memory(facts: Facts) -> Got:
    page = mmap.mmap(-1, 4096)
    return _call("mlock", ctypes.addressof(ctypes.c_char.from_buffer(page)), 4096)


# --- namespaces and rights


def nest_a_user_namespace(facts: Facts) -> Got:
    return _call("unshare", 0x10000000)


def enter_a_namespace(facts: Facts) -> Got:
    return _call("setns", os.open("/", os.O_PATH), 0)


def take_a_tree_of_mounts(facts: Facts) -> Got:
    return _call("open_tree", -100, b"/", 1)


def open_a_file_system(facts: Facts) -> Got:
    return _call("fsopen", b"tmpfs", 0)


def become_root(facts: Facts) -> Got:
    return _call("setuid", 0)


def become_another_user(facts: Facts) -> Got:
    return _call("setresuid", -1, -1, -1)


def join_groups(facts: Facts) -> Got:
    return _call("setgroups", 0, None)


def take_capabilities(facts: Facts) -> Got:
    return _call("capset", (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())


def hold_capabilities(facts: Facts) -> Got:
    found = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None).capget((ctypes.c_uint32 * 2)(0x20080522, 0), found) == 0 and any(found[:2]):
        return f"it holds {found[0]:x} {found[1]:x}"
    return None


def allow_tracing_again(facts: Facts) -> Got:
    return _call("prctl", 4, 1)


def outlive_the_parent(facts: Facts) -> Got:
    return _call("prctl", 1, 0)


def let_anyone_trace(facts: Facts) -> Got:
    return _call("prctl", 0x59616D61, -1)


def start_a_session(facts: Facts) -> Got:
    return _call("setsid")


def choose_processors(facts: Facts) -> Got:
    return _call("sched_setaffinity", 0, 8, (ctypes.c_uint64 * 1)(2**63 - 1))


def go_first(facts: Facts) -> Got:
    return _call("setpriority", 0, 0, os.getpriority(os.PRIO_PROCESS, 0))


def go_in_real_time(facts: Facts) -> Got:
    return _call("sched_setscheduler", 0, 0, (ctypes.c_int * 1)(0))


def read_files_first(facts: Facts) -> Got:
    return _call("ioprio_set", 1, 0, 0)


def read_the_log_of_the_kernel(facts: Facts) -> Got:
    return _call("syslog", 10)


# --- what stays when a process has gone


def keep_shared_memory(facts: Facts) -> Got:
    return _call("shmget", 0, 4096, 0o600)


def keep_a_semaphore(facts: Facts) -> Got:
    return _call("semget", 0, 1, 0o600)


def keep_a_message_queue(facts: Facts) -> Got:
    return _call("msgget", 0, 0o600)


def open_a_message_queue(facts: Facts) -> Got:
    return _call("mq_open", b"assay-attack", os.O_RDWR | os.O_CREAT, 0o600, None)


def set_a_timer_with_a_signal_of_its_choice(facts: Facts) -> Got:
    return _call("timer_create", 1, None, ctypes.byref(ctypes.c_int()))


def open_a_timer(facts: Facts) -> Got:
    return _call("timerfd_create", 1, 0)


def open_its_signals(facts: Facts) -> Got:
    return _call("signalfd4", -1, ctypes.byref(ctypes.c_uint64()), 8, 0)


def have_signals_sent_for_it(facts: Facts) -> Got:
    fcntl.fcntl(3, fcntl.F_SETOWN, os.getppid())
    return "set the owner of its stream to its parent"


def choose_the_signal_that_is_sent(facts: Facts) -> Got:
    fcntl.fcntl(3, 10, signal.SIGKILL)
    return "F_SETSIG"


def be_told_of_changed_folders(facts: Facts) -> Got:
    fcntl.fcntl(os.open(os.path.dirname(os.__file__), os.O_RDONLY), 1026, 1)
    return "F_NOTIFY"


def lease_a_file(facts: Facts) -> Got:
    fcntl.fcntl(os.open(facts["victim"], os.O_RDONLY), 1024, 0)
    return "F_SETLEASE"


def widen_a_pipe(facts: Facts) -> Got:
    fcntl.fcntl(os.pipe()[0], 1031, 2**20)
    return "F_SETPIPE_SZ"


def seal_its_output(facts: Facts) -> Got:
    fcntl.fcntl(1, 1033, 1)
    return "F_ADD_SEALS"


def type_into_a_terminal(facts: Facts) -> Got:
    for descriptor in range(4):
        try:
            fcntl.ioctl(descriptor, 0x5412, b"x")
        except PermissionError:
            continue
        except OSError as problem:
            return f"the kernel looked at TIOCSTI: {problem}"
    return None


def ask_for_signals_of_a_descriptor(facts: Facts) -> Got:
    fcntl.ioctl(3, 0x5452, struct.pack("i", 1))
    return "FIOASYNC"


def raise_its_own_limit(facts: Facts) -> Got:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard <= 64:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard + 1, hard + 1))
    return f"it may open {hard} files, or one more"


def raise_its_own_limit_by_the_old_call(facts: Facts) -> Got:
    return _call("setrlimit", 7, struct.pack("QQ", 16, 32))


def lift_the_limit_of_memory(facts: Facts) -> Got:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return "lifted"


def wait_on_many_descriptors(facts: Facts) -> Got:
    held: list[int] = []
    while len(held) < 200:
        held += os.pipe()
    return f"opened {len(held)} descriptors, {select.PIPE_BUF}"


def open_more_pairs_than_it_may(facts: Facts) -> Got:
    held = [socket.socketpair() for _ in range(100)]
    return f"opened {len(held)} pairs"
