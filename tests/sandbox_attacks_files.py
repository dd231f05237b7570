"""Attacks on files, run as source code inside the sandbox: each tells what it got, or raises, or returns nothing."""

from __future__ import annotations

import ctypes
import importlib
import mmap
import os
import stat
import sys
from typing import Any

Facts = dict[str, Any]
Got = str | None


def _opens(path: str, flags: int = os.O_RDONLY) -> Got:
    os.close(os.open(path, flags, 0o600))
    return f"opened {path} with flags {flags:#o}"


def _libc(name: str, *arguments: Any) -> Got:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)
    return f"{name} succeeded"


def read_etc_passwd(facts: Facts) -> Got:
    with open("/etc/passwd") as file:
        return f"/etc/passwd starts with {file.read(20)!r}"


def read_an_answer_file(facts: Facts) -> Got:
    with open(facts["answers"]) as file:
        return f"the answers are {file.read(20)!r}"


def read_the_answers_by_a_relative_path(facts: Facts) -> Got:
    os.chdir(os.path.dirname(facts["answers"]))
    return _opens(os.path.basename(facts["answers"]))


def read_the_answers_through_a_folder_opened_as_a_place(facts: Facts) -> Got:
    place = os.open(os.path.dirname(facts["answers"]), os.O_PATH)
    os.close(os.open(os.path.basename(facts["answers"]), os.O_RDONLY, dir_fd=place))
    return "opened relative to an O_PATH descriptor"


def read_the_answers_by_reopening_a_place(facts: Facts) -> Got:
    place = os.open(facts["answers"], os.O_PATH)
    return _opens(f"/proc/self/fd/{place}")


def read_a_place_itself(facts: Facts) -> Got:
    place = os.open(facts["answers"], os.O_PATH)
    return f"read {os.read(place, 10)!r} from an O_PATH descriptor"


def map_a_place(facts: Facts) -> Got:
    with mmap.mmap(os.open(facts["answers"], os.O_PATH), 10, prot=mmap.PROT_READ) as found:
        return f"mapped {found[:10]!r}"


def load_the_answers_as_a_library(facts: Facts) -> Got:
    try:
        ctypes.CDLL(facts["answers"])
    except OSError as problem:
        return None if "denied" in str(problem) or "not permitted" in str(problem) else str(problem)
    return "loaded"


def read_the_answers_with_neither_read_nor_write(facts: Facts) -> Got:
    return _opens(facts["answers"], 3)


def read_the_answers_by_a_handle(facts: Facts) -> Got:
    handle = (ctypes.c_uint * 34)(128)
    mount = ctypes.c_int()
    return _libc("name_to_handle_at", -100, facts["answers"].encode(), handle, ctypes.byref(mount), 0)


def list_the_root(facts: Facts) -> Got:
    return f"/ holds {os.listdir('/')}"


def list_the_folder_of_the_answers(facts: Facts) -> Got:
    return f"it holds {os.listdir(os.path.dirname(facts['answers']))}"


def list_the_answers_by_walking_up(facts: Facts) -> Got:
    return f"{list(os.scandir('/tmp'))}"


def list_installed_packages(facts: Facts) -> Got:
    return f"installed: {os.listdir(facts['packages'])[:3]}"


def list_packages_inside_the_standard_library(facts: Facts) -> Got:
    return f"installed: {os.listdir(os.path.join(os.path.dirname(os.__file__), 'site-packages'))[:3]}"


def read_an_installed_package(facts: Facts) -> Got:
    return _opens(os.path.join(facts["packages"], "pydantic", "__init__.py"))


def import_an_installed_package(facts: Facts) -> Got:
    sys.path.append(facts["packages"])
    importlib.invalidate_caches()
    try:
        return f"imported {importlib.import_module('pydantic').__file__}"
    except ImportError:
        return None


def read_a_package_inside_the_standard_library(facts: Facts) -> Got:
    library = os.path.dirname(os.__file__)
    found = [f"{library}/{place}/README.txt" for place in ("site-packages", "dist-packages")]
    for path in [*found, f"{library}/site-packages/pip/__init__.py", f"{library}/site-packages/answers.json"]:
        if os.path.exists(path):
            return _opens(path)
    return None


def read_this_project(facts: Facts) -> Got:
    return _opens(facts["project"])


def read_a_program(facts: Facts) -> Got:
    return _opens(sys.executable)


def open_the_terminal(facts: Facts) -> Got:
    return _opens("/dev/tty", os.O_RDWR)


def open_a_new_terminal(facts: Facts) -> Got:
    return _opens("/dev/ptmx", os.O_RDWR)


def write_to_tmp(facts: Facts) -> Got:
    path = f"/tmp/assay-attack-{os.getpid()}"
    found = _opens(path, os.O_WRONLY | os.O_CREAT)
    os.unlink(path)
    return found


def write_to_shared_memory(facts: Facts) -> Got:
    path = f"/dev/shm/assay-attack-{os.getpid()}"
    found = _opens(path, os.O_WRONLY | os.O_CREAT)
    os.unlink(path)
    return found


def write_a_file_without_a_name(facts: Facts) -> Got:
    return _opens(facts["folder"], os.O_TMPFILE | os.O_RDWR)


def change_an_open_folder(facts: Facts) -> Got:
    return _opens(os.path.join(facts["folder"], "made"), os.O_WRONLY | os.O_CREAT)


def overwrite_the_answers(facts: Facts) -> Got:
    return _opens(facts["victim"], os.O_WRONLY)


def append_to_the_answers(facts: Facts) -> Got:
    return _opens(facts["victim"], os.O_RDWR | os.O_APPEND)


def empty_a_file_by_reading(facts: Facts) -> Got:
    return _opens(facts["victim"], os.O_RDONLY | os.O_TRUNC)


def empty_a_file_with_neither_read_nor_write(facts: Facts) -> Got:
    return _opens(facts["victim"], 3 | os.O_TRUNC)


def empty_a_file_of_the_standard_library(facts: Facts) -> Got:
    if facts["harmless"]:
        return "not tried without a sandbox"
    return _opens(os.path.join(os.path.dirname(os.__file__), "this.py"), os.O_RDONLY | os.O_TRUNC)


def truncate_a_file(facts: Facts) -> Got:
    os.truncate(facts["victim"], 0)
    return "truncated"


def change_the_standard_library(facts: Facts) -> Got:
    return _opens(os.__file__, os.O_RDWR)


def add_a_module_to_the_standard_library(facts: Facts) -> Got:
    path = os.path.join(os.path.dirname(os.__file__), "assay_attack.py")
    found = _opens(path, os.O_WRONLY | os.O_CREAT)
    os.unlink(path)
    return found


def link_the_answers_into_sight(facts: Facts) -> Got:
    os.link(facts["answers"], os.path.join(facts["folder"], "linked"))
    return "linked"


def link_the_answers_by_symlink(facts: Facts) -> Got:
    os.symlink(facts["answers"], os.path.join(facts["folder"], "pointed"))
    return "pointed at"


def rename_a_file(facts: Facts) -> Got:
    os.rename(facts["victim"], facts["victim"])
    return "renamed"


def remove_a_file(facts: Facts) -> Got:
    os.unlink(os.path.join(facts["folder"], "spare"))
    return "removed"


def make_a_folder(facts: Facts) -> Got:
    os.mkdir(os.path.join(facts["folder"], "folder"))
    return "made"


def make_a_pipe_with_a_name(facts: Facts) -> Got:
    os.mkfifo(os.path.join(facts["folder"], "pipe"))
    return "made"


def make_a_device(facts: Facts) -> Got:
    os.mknod(os.path.join(facts["folder"], "device"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return "made"


def change_rights(facts: Facts) -> Got:
    os.chmod(facts["folder"], 0o777)
    return "changed"


def change_rights_of_an_open_file(facts: Facts) -> Got:
    os.fchmod(os.open("/dev/null", os.O_RDWR), 0o666)
    return "changed the rights of /dev/null"


def change_the_owner(facts: Facts) -> Got:
    os.chown(facts["folder"], -1, os.getegid())
    return "changed"


def change_times(facts: Facts) -> Got:
    os.utime(facts["victim"], (0, 0))
    return "changed"


def change_attributes(facts: Facts) -> Got:
    os.setxattr(facts["victim"], "user.x", b"1")
    return "changed"


def lock_a_file(facts: Facts) -> Got:
    import fcntl

    fcntl.flock(os.open(os.__file__, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    return "locked a file that others read"


def watch_files(facts: Facts) -> Got:
    return _libc("inotify_init1", 0)


def watch_all_files(facts: Facts) -> Got:
    return _libc("fanotify_init", 0, 0)


def change_the_root(facts: Facts) -> Got:
    os.chroot("/")
    return "changed"


def mount_a_file_system(facts: Facts) -> Got:
    if facts["harmless"]:
        return "not tried without a sandbox"
    return _libc("mount", b"none", facts["folder"].encode(), b"tmpfs", 0, None)
