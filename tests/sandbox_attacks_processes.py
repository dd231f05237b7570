"""Attacks that start something, reach something or use something up; run inside the sandbox as those on files are.

A name that starts with `spin_` is meant to go on for ever: being killed at the deadline is right.
"""

from __future__ import annotations

import _thread
import asyncio
import builtins
import ctypes
import json
import mmap
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

Facts = dict[str, Any]
Got = str | None


# --- starting things


def fork_forty_times(facts: Facts) -> Got:
    children = []
    for _ in range(40):
        with suppress(OSError):
            child = os.fork()
            if child == 0:
                os._exit(0)
            children.append(child)
    for child in children:
        os.waitpid(child, 0)
    return f"forked {len(children)} times" if children else None


def leave_a_daemon_behind(facts: Facts) -> Got:
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(0.2)
        os._exit(0)
    os.waitpid(child, 0)
    return "a daemon lives on"


def run_a_program(facts: Facts) -> Got:
    return f"ran: {subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True, check=False).stdout!r}"


def run_a_shell(facts: Facts) -> Got:
    return "ran" if os.system("exit 3") == 3 << 8 else None


def spawn_a_program(facts: Facts) -> Got:
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    return "spawned"


def become_a_program(facts: Facts) -> Got:
    os.execv("/bin/true", ["true"])
    return "executed"


def become_a_program_in_memory(facts: Facts) -> Got:
    os.execve(os.open("/bin/true", os.O_PATH), ["true"], {})
    return "executed"


def make_a_file_in_memory(facts: Facts) -> Got:
    os.close(os.memfd_create("x"))
    return "made"


def start_150_threads(facts: Facts) -> Got:
    for _ in range(150):
        _thread.start_new_thread(time.sleep, (0.1,))
    return "started 150 threads"


def start_one_thread(facts: Facts) -> Got:
    _thread.start_new_thread(int, ())
    return "started"


def clone_by_number(facts: Facts) -> Got:
    answer = ctypes.CDLL(None, use_errno=True).syscall(56 if os.uname().machine == "x86_64" else 220, 17, 0, 0, 0, 0)
    if answer == 0:
        os._exit(0)
    return f"cloned {answer}" if answer > 0 else None


def start_a_pool_of_processes(facts: Facts) -> Got:
    child = multiprocessing.get_context("fork").Process(target=int)
    child.start()
    child.join()
    return "a process ran"


def run_in_a_subinterpreter_process(facts: Facts) -> Got:
    async def run() -> int | None:
        process = await asyncio.create_subprocess_exec("/bin/true")
        return await process.wait()

    return f"ended with {asyncio.run(run())}"


# --- using things up


def allocate_three_gigabytes(facts: Facts) -> Got:
    with mmap.mmap(-1, 3 * 2**30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=mmap.PROT_READ):
        return "mapped three gigabytes"


def touch_three_gigabytes(facts: Facts) -> Got:
    if facts["harmless"]:
        return "not tried without a sandbox"
    held = b"x" * (3 * 2**30)
    return f"holds {len(held)} bytes"


def allocate_piece_by_piece(facts: Facts) -> Got:
    held = [mmap.mmap(-1, 2**24, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS) for _ in range(2**7)]
    return f"shares {len(held)} pieces of 16 MB"


def flood_the_output(facts: Facts) -> Got:
    written = 0
    while written < 8 * 2**20:
        written += os.write(1, b"x" * 2**16)
    return f"wrote {written} bytes"


def flood_the_output_backwards(facts: Facts) -> Got:
    return f"wrote {os.pwrite(1, b'x', 2**33)} byte far out"


def spin_with_a_flood_of_answers(facts: Facts) -> Got:
    while True:
        os.write(3, b"\0\0\0\2{}" * 1000)


def answer_with_20_megabytes(facts: Facts) -> Got:
    return "x" * (20 * 2**20)


def answer_with_a_deep_list(facts: Facts) -> Got:
    held: Any = []
    for _ in range(100_000):
        held = [held]
    return held  # type: ignore[no-any-return]


def forge_a_frame_of_four_gigabytes(facts: Facts) -> Got:
    os.write(3, b"\xff\xff\xff\xff" + b"x" * 1000)
    time.sleep(60)
    return None


def forge_frames_on_every_descriptor(facts: Facts) -> Got:
    content = json.dumps({"child": 1, "status": 0, "on": ["seccomp"], "id": -1, "value": "forged"}).encode()
    for descriptor in range(4096):
        with suppress(OSError):
            os.write(descriptor, len(content).to_bytes(4, "big") + content)
    return None


def exit_at_once(facts: Facts) -> Got:
    os._exit(0)


def exit_politely(facts: Facts) -> Got:
    sys.exit(0)


def crash(facts: Facts) -> Got:
    ctypes.string_at(0)
    return None


def abort(facts: Facts) -> Got:
    os.abort()


def kill_itself(facts: Facts) -> Got:
    if facts["harmless"]:
        return "not tried without a sandbox"
    os.kill(os.getpid(), signal.SIGKILL)
    return "it lives on"


def spin_with_every_way_to_be_killed(facts: Facts) -> Got:
    """To look killed from outside, and so be tried again or counted as the fault of another."""
    for number in range(1, 65):
        with suppress(OSError):
            os.kill(os.getpid(), signal.SIGKILL if number == 9 else number)
        with suppress(OSError):
            signal.pthread_kill(_thread.get_ident(), number)
    while True:
        pass


def spin_deeper_and_deeper(facts: Facts) -> Got:
    sys.setrecursionlimit(2**31 - 1)

    def deeper() -> None:
        deeper()

    deeper()
    return None


def spin(facts: Facts) -> Got:
    while True:
        pass


def spin_catching_everything(facts: Facts) -> Got:
    for number in range(1, 65):
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            while True:
                pass
        except BaseException:
            continue


def spin_in_c(facts: Facts) -> Got:
    return str(pow(3, 10**9) and None)


def spin_in_a_regex(facts: Facts) -> Got:
    re.match(r"(a+)+$", "a" * 60 + "b")
    return None


def spin_asleep(facts: Facts) -> Got:
    time.sleep(3600)
    return None


def spin_after_closing_the_stream(facts: Facts) -> Got:
    os.close(3)
    while True:
        pass


def spin_after_shutting_the_stream(facts: Facts) -> Got:
    os.close(3)
    for number in range(1, 65):
        with suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    while True:
        with suppress(BaseException):
            time.sleep(3600)


# --- what one leaves for the next


def patch_builtins_for_the_next(facts: Facts) -> Got:
    builtins.left_behind = "a patch"  # type: ignore[attr-defined]
    json.dumps = lambda *_args, **_options: '{"id":1,"value":"patched"}'
    sys.modules["left_behind"] = json
    os.environ["LEFT_BEHIND"] = "1"
    return None


def zz_find_what_another_left(facts: Facts) -> Got:
    if hasattr(builtins, "left_behind") or "left_behind" in sys.modules or "LEFT_BEHIND" in os.environ:
        return "a patch of another process is here"
    return None if json.dumps([1]) == "[1]" else "json is patched"
