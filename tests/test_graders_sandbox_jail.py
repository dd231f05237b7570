"""The jail at work: what Landlock lets be read in each version, the limits, and four bugs that sandboxes make."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from graders.sandbox import fork_server
from graders.sandbox.fork_server import ForkServer, Profile
from graders.sandbox.jail import confine, landlock
from graders.sandbox.jail.limits import Limits
from graders.sandbox.process import EndedError, JailedProcess

LAYERS = ("rlimits", "landlock", "seccomp", "namespaces")
HERE = Path(fork_server.__file__).parent

Need = Callable[..., None]
Changed = Callable[[str, str, str], None]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


@contextmanager
def jailed(
    source: str, without: Sequence[str] = (), profile: Profile = fork_server.PLAIN, limits: Limits | None = None
) -> Iterator[JailedProcess]:
    """A jailed process that has run a source."""
    server = ForkServer(profile, without)
    process = server.spawn(limits or Limits())
    try:
        process.send({"id": 1, "load": source, "filename": "<source>"})
        yield process
    finally:
        process.end()
        server.close()


def answered(process: JailedProcess, function: str, *arguments: Any) -> dict[str, Any]:
    process.send({"id": 2, "call": function, "args": list(arguments)})
    assert process.receive(time.monotonic() + 60) == {"id": 1, "loaded": True}
    return process.receive(time.monotonic() + 60)


# --- Landlock in older kernels, and what it lets be read


@pytest.mark.parametrize(
    ("version", "size", "rights"),
    [(1, 8, 13), (2, 8, 14), (3, 8, 15), (4, 16, 15), (5, 16, 16), (6, 24, 16), (7, 24, 16), (9, 24, 16)],
)
def test_each_version_of_landlock_is_asked_for_what_it_knows(
    monkeypatch: pytest.MonkeyPatch, version: int, size: int, rights: int
) -> None:
    asked: list[tuple[str, int]] = []

    def call(name: str, *arguments: Any) -> int:
        if name == "landlock_create_ruleset" and arguments[0] is None:
            return version
        if name == "landlock_create_ruleset":
            asked.append((name, arguments[1].value))
            ruleset = arguments[0]._obj
            assert ruleset.files == (2**rights - 1 if len(asked) == 1 else 0)
            assert ruleset.network == (3 if version >= 4 and len(asked) == 1 else 0)
            assert ruleset.scopes == (3 if version >= 6 else 0)
            return os.open(os.devnull, os.O_RDONLY)
        if name == "landlock_add_rule":
            assert arguments[2]._obj.rights & ~(2**rights - 1) == 0
        return 0

    monkeypatch.setattr(landlock, "call", call)
    monkeypatch.setattr(landlock, "prctl", lambda *_: 0)
    assert landlock.restrict([os.__file__, "/usr"], ["/dev/null"]) == version
    assert asked == [("landlock_create_ruleset", size)]
    landlock.keep_apart()
    assert len(asked) == (2 if version >= 6 else 1)


EMPTIES = """
import os
def empty(path, flags):
    os.close(os.open(path, flags))
"""


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("flags", [os.O_RDONLY | os.O_TRUNC, 3 | os.O_TRUNC])
def test_a_readable_file_is_not_emptied_where_landlock_knows_no_truncation(
    need: Need, version: int, flags: int, changed: Changed, tmp_path: Path
) -> None:
    need("landlock", "seccomp")
    changed("landlock.py", "version", f"return {version}")
    kept = tmp_path / "kept"
    kept.write_text("kept")
    kept.chmod(0o666)
    with jailed(EMPTIES, profile=Profile(readable=(str(kept),)), without=["private_uid"]) as process:
        assert answered(process, "empty", str(kept), flags)["raised"] == "PermissionError"
    assert kept.read_text() == "kept"


def test_no_folder_that_holds_installed_packages_is_readable(tmp_path: Path) -> None:
    library = tmp_path / "lib" / "python3.11"  # as docker's python images lay it out
    for part in ("json", "lib-dynload", "site-packages/set", "dist-packages", "encodings/x"):
        (library / part).mkdir(parents=True)
    (library / "os.py").write_text("")
    (library / "site-packages" / "set" / "answers.json").write_text("42")
    readable = [Path(path) for path in confine._readable([str(library), str(library / "lib-dynload")])]
    assert {library / "os.py", library / "json", library / "encodings", library / "lib-dynload"} <= set(readable)
    for place in ("site-packages", "dist-packages"):
        secret = library / place
        assert [path for path in readable if path == secret or path in secret.parents or secret in path.parents] == []
    wide = {Path(place) for place in ("/", "/usr", "/usr/lib", "/lib", "/etc", "/home", "/usr/local/lib", "/usr/lib64")}
    assert wide & set(readable) == set()


READS = """
import os
def read(path):
    return open(path).read(5)
def listed(path):
    return os.listdir(path)
def found(name):
    import importlib
    return importlib.import_module(name).__name__
"""


def test_packages_are_readable_only_where_the_profile_says_so(need: Need, tmp_path: Path) -> None:
    need("landlock")
    tmp_path.chmod(0o755)
    for name in ("allowed", "answers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("SEEN = 1\n")
    profile = Profile(packages=(str(tmp_path),), readable=(str(tmp_path / "allowed"),))
    for function, argument, expected in (
        ("found", "allowed", {"id": 2, "value": "allowed"}),
        ("read", str(tmp_path / "allowed" / "__init__.py"), {"id": 2, "value": "SEEN "}),
        ("read", str(tmp_path / "answers" / "__init__.py"), "PermissionError"),
        ("found", "answers", "ModuleNotFoundError"),
        ("listed", str(tmp_path), "PermissionError"),
        ("listed", os.path.dirname(os.__file__), "PermissionError"),
        ("found", "xml.dom.minidom", {"id": 2, "value": "xml.dom.minidom"}),
    ):
        with jailed(READS, profile=profile, without=["private_uid"]) as process:
            answer = answered(process, function, argument)
        assert (answer if isinstance(expected, dict) else answer["raised"]) == expected, (function, argument)


NUMPY = """
def worked():
    import numpy
    import numpy.linalg
    import numpy.random
    found = numpy.linalg.solve(numpy.eye(50) * 2, numpy.ones(50))
    drawn = numpy.random.default_rng(0).normal(size=1000)
    return [float(found.sum()), bool(abs(drawn.mean()) < 0.2), float((numpy.ones((99, 99)) @ numpy.ones(99)).sum())]
"""


@pytest.mark.parametrize("late", [False, True])
def test_numpy_works_where_it_is_allowed_imported_before_or_late(late: bool) -> None:
    numpy = pytest.importorskip("numpy")
    folder = Path(numpy.__file__).parents[1]
    readable = tuple(str(folder / name) for name in ("numpy", "numpy.libs"))
    profile = Profile(() if late else ("numpy",), (str(folder),), readable)
    with jailed(NUMPY + READS, profile=profile) as process:
        assert answered(process, "worked") == {"id": 2, "value": [25.0, True, 9801.0]}
        process.send({"id": 3, "call": "found", "args": ["pydantic"]})
        assert process.receive(time.monotonic() + 60)["raised"] == "ModuleNotFoundError"


# --- limits


def test_the_address_space_in_use_is_found_without_proc() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from jail import limits\n"
        "limits.measure(); found = limits._least_limit(); told = limits._IN_USE\n"
        "import resource; print(found, told, resource.getrlimit(resource.RLIMIT_AS)[0])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(HERE)], capture_output=True, text=True, check=True)
    found, told, limit = map(int, done.stdout.split())
    assert abs(found - told) < 2 * 2**20
    assert limit == -1 or limit > found


def test_memory_is_counted_beyond_what_the_fork_server_has() -> None:
    source = "def use(size):\n    return len(bytearray(size))\n"
    profile = Profile(imports=("decimal", "sqlite3", "xml.dom.minidom", "email.mime.text", "unittest.mock"))
    for size, expected in ((48 * 2**20, {"id": 2, "value": 48 * 2**20}), (65 * 2**20, "MemoryError")):
        with jailed(source, profile=profile, limits=Limits(memory=64 * 2**20)) as process:
            answer = answered(process, "use", size)
        assert (answer if isinstance(expected, dict) else answer["raised"]) == expected


def status(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("without", [(), ("namespaces",), ("namespaces", "private_uid")])
def test_no_process_has_a_right_a_thread_or_memory_that_another_may_write(without: tuple[str, ...]) -> None:
    with jailed("", without=without) as process:
        assert process.receive(time.monotonic() + 60) == {"id": 1, "loaded": True}
        assert process.server.process is not None
        ahead, found = [process.server.process.pid], []
        for each in ahead:
            children = Path(f"/proc/{each}/task/{each}/children").read_text().split()
            ahead += map(int, children)
            if each == ahead[0] and "namespaces" in process.server.standing.on:
                continue  # it only waits for the first process of the new namespace
            found.append(each)
        assert len(found) == 2  # the fork server and the jailed process
        for each in found:
            told = status(each)
            assert {int(told[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
            assert told["Threads"] == "1"
            assert Path(f"/proc/{each}/oom_score_adj").read_text().strip() == "1000"
        assert (status(found[1])["NoNewPrivs"], status(found[1])["Seccomp"]) == ("1", "2")
        if os.geteuid() == 0:  # only root may look further into a process that is not dumpable
            for each in found:
                maps = [line.split() for line in Path(f"/proc/{each}/maps").read_text().splitlines()]
                assert [line for line in maps if "w" in line[1] and "s" in line[1]] == []
            assert len(list(Path(f"/proc/{found[1]}/fd").iterdir())) == 4


# --- four bugs that sandboxes make (each was made, and mended, before)


@pytest.mark.parametrize("without", [(), LAYERS])
def test_the_end_of_a_stream_is_not_the_end_of_a_process(without: tuple[str, ...]) -> None:
    spin = "import os, signal\nsignal.pthread_sigmask(0, range(1, 65))\nos.close(3)\nwhile True:\n    pass\n"
    server = ForkServer(without=without)
    process = server.spawn(Limits())
    process.send({"id": 1, "load": spin, "filename": "<source>"})
    with pytest.raises(EndedError) as ended:
        process.receive(time.monotonic() + 60)
    assert process.ending(ended.value) == "closed the stream it should answer on"
    assert process.status is not None
    assert os.WIFSIGNALED(process.status)
    assert server.spawn(Limits()).end() is not None
    server.close()


TRACES = """
import ctypes, os, sys
def attach(number, group):
    libc = ctypes.CDLL(None, use_errno=True)
    answers = [libc.syscall(number, request, os.getppid(), 0, 0) for request in (16, 0x4206)]
    return answers + [ctypes.get_errno()]
"""


@pytest.mark.parametrize("without", [("seccomp", "namespaces"), LAYERS, (*LAYERS, "private_uid")])
def test_the_fork_server_cannot_be_stopped_by_tracing_it(without: tuple[str, ...]) -> None:
    number = {"x86_64": 101, "aarch64": 117}[os.uname().machine]
    with jailed(TRACES, without=without) as process:
        assert answered(process, "attach", number, 0)["value"] == [-1, -1, 1]
        assert process.server.spawn(Limits()).end() is not None


FORGES = """
import os
def forge():
    open_ones = []
    for descriptor in range(1000):
        try:
            os.fstat(descriptor)
        except OSError:
            continue
        open_ones.append(descriptor)
        if descriptor != 3:
            try:
                os.write(descriptor, b'\\0\\0\\0\\x0a{"id":  1}' * 10)
            except OSError:
                pass
    return open_ones
"""


def test_no_process_holds_the_descriptors_of_another() -> None:
    inherited, kept = os.pipe()
    os.set_inheritable(inherited, True)
    server = ForkServer()
    others = [server.spawn(Limits()) for _ in range(3)]
    stranger = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    process = server.spawn(Limits())
    try:
        process.send({"id": 1, "load": FORGES, "filename": "<source>"})
        assert answered(process, "forge")["value"] == [0, 1, 2, 3]
        for other in others:
            other.send({"id": 1, "load": FORGES, "filename": "<source>"})
            assert answered(other, "forge")["value"] == [0, 1, 2, 3]
        held = [os.readlink(place) for place in Path(f"/proc/{stranger.pid}/fd").iterdir()]
        ours = {os.readlink(f"/proc/self/fd/{each._channel.fileno()}") for each in (process, *others)}
        assert ours & set(held) == set()
        assert server.spawn(Limits()).end() is not None
    finally:
        for each in (process, *others):
            each.end()
        server.close()
        stranger.communicate(b"\n")
        os.close(inherited)
        os.close(kept)


SIGNALS = """
import ctypes, os
def signal(numbers, service):
    libc = ctypes.CDLL(None, use_errno=True)
    found = []
    for number in numbers:
        for process in (os.getppid(), service):
            found.append(libc.syscall(number, process, process, 0))
    return found
"""


def test_seccomp_alone_lets_no_thread_be_signalled() -> None:
    numbers = {"x86_64": [234, 200, 62, 129, 297], "aarch64": [131, 130, 129, 138, 240]}[os.uname().machine]
    with jailed(SIGNALS, without=["landlock", "namespaces", "private_uid"]) as process:
        assert answered(process, "signal", numbers, os.getpid())["value"] == [-1] * 10
