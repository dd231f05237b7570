"""Attacks on secrets: environments, memory, other processes; run inside the sandbox as those on files are."""

from __future__ import annotations

import ctypes
import gc
import os
from typing import Any

Facts = dict[str, Any]
Got = str | None


def _opens(path: str, flags: int = os.O_RDONLY) -> Got:
    os.close(os.open(path, flags, 0o600))
    return f"opened {path} with flags {flags:#o}"


def read_the_service_environment(facts: Facts) -> Got:
    with open(f"/proc/{facts['service']}/environ", "rb") as file:
        return f"its environment holds {len(file.read())} bytes"


def read_the_fork_server_environment(facts: Facts) -> Got:
    return _opens(f"/proc/{facts['server']}/environ")


def read_own_environment_through_proc(facts: Facts) -> Got:
    return _opens("/proc/self/environ")


def read_own_key(facts: Facts) -> Got:
    found = [name for name in os.environ if "KEY" in name or "TOKEN" in name or "SECRET" in name]
    return f"os.environ has {found}" if found else None


def read_the_key_in_the_c_environment(facts: Facts) -> Got:
    place = ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")
    count, found = 0, []
    while place and place[count]:
        found.append(place[count] or b"")
        count += 1
    kept = [entry for entry in found if b"KEY" in entry]
    return f"environ has {kept}" if kept else None


def read_the_key_on_the_initial_stack(facts: Facts) -> Got:
    arguments = ctypes.POINTER(ctypes.c_char_p)()
    count = ctypes.c_int()
    ctypes.pythonapi.Py_GetArgcArgv(ctypes.byref(count), ctypes.byref(arguments))
    first = ctypes.cast(ctypes.pythonapi.Py_GetVersion, ctypes.c_void_p).value  # forces ctypes to resolve
    place = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    if not first or not place or not place[0]:
        return None
    start = place[0]
    found = ctypes.string_at(start, (start // 4096 + 1) * 4096 - start)
    return "the stack holds the key" if facts["half"].encode() in found else None


def see_where_the_service_is(facts: Facts) -> Got:
    return "it runs " + os.readlink("/proc/" + str(facts["service"]) + "/exe")


def read_the_key_in_a_python_object(facts: Facts) -> Got:
    for thing in gc.get_objects():
        for part in gc.get_referents(thing):
            if type(part) is str and part.startswith("sk-canary") and part != facts["half"]:
                return f"found {part!r} in a {type(thing).__name__}"
    return None


def read_memory_of_the_parent(facts: Facts) -> Got:
    return _opens(f"/proc/{os.getppid()}/mem")


def read_memory_of_the_service(facts: Facts) -> Got:
    return _opens(f"/proc/{facts['service']}/mem")


def read_own_memory_through_proc(facts: Facts) -> Got:
    return _opens("/proc/self/mem", os.O_RDWR)


def see_descriptors_of_the_service(facts: Facts) -> Got:
    return f"it has open {os.listdir('/proc/' + str(facts['service']) + '/fd')}"


def read_through_the_root_of_the_service(facts: Facts) -> Got:
    return _opens(f"/proc/{facts['service']}/root/etc/passwd")


def read_processes(facts: Facts) -> Got:
    return f"processes: {os.listdir('/proc')[:5]}"


def read_kernel_log(facts: Facts) -> Got:
    return _opens("/dev/kmsg")


def map_physical_memory(facts: Facts) -> Got:
    return _opens("/dev/mem", os.O_RDWR)
