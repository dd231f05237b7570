"""The layers: what their absence costs, what is refused then, and that each is found by trying, not by its word."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from graders import load
from graders.sandbox import fork_server
from graders.sandbox.fork_server import ForkServer
from graders.sandbox.level import LEVELS, NEEDED, REMEDIES, Level, lacking, standing
from graders.sandbox.pool import Pool, RefusedError, use
from graders.sandbox.settings import SandboxSettings

LAYERS = ("rlimits", "landlock", "seccomp", "namespaces")
HERE = Path(fork_server.__file__).parent
BLOCKED = {"read a file": "blocked", "write a file": "blocked", "open a socket": "blocked"}
SOURCE = "def grade(sample, item):\n    return 0.5\n"

Need = Callable[..., None]
Changed = Callable[[str, str, str], None]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


# --- levels


@pytest.mark.parametrize(
    ("without", "level"),
    [
        *[((), "S3"), (("namespaces",), "S2"), (("private_uid",), "S3"), (("landlock",), "S1"), (("seccomp",), "S0")],
        *[(("rlimits",), "S0"), (("landlock", "namespaces"), "S1"), (LAYERS, "S0")],
    ],
)
def test_the_level_drops_with_each_layer_that_is_missing(need: Need, without: tuple[str, ...], level: str) -> None:
    need(*(set(LAYERS) - set(without)))
    server = ForkServer(without=without)
    server.close()
    assert server.standing.level == level
    assert {layer: server.standing.missing[layer] for layer in without} == dict.fromkeys(without, "switched off")


@pytest.mark.parametrize("layer", ["landlock", "seccomp", "rlimits"])
def test_code_is_refused_below_the_accepted_level_with_the_layer_and_the_remedy(need: Need, layer: str) -> None:
    need(*({"landlock", "seccomp", "rlimits"} - {layer}))
    reached = "S1" if layer == "landlock" else "S0"
    with use(Pool(SandboxSettings(), without=[layer, "namespaces"])) as pool, pytest.raises(RefusedError) as refused:
        pool.check()
    told = str(refused.value)
    assert f"the sandbox is at level {reached} here, and S2 is needed: {layer} is missing (switched off)" in told
    assert REMEDIES[layer] in told
    assert told.endswith(f"Or accept it: ASSAY_ACCEPT_SANDBOX={reached}, recorded in every grade")
    assert "namespaces" not in told


def test_a_refused_grader_is_undecided_by_fault_of_the_machine() -> None:
    with use(Pool(SandboxSettings(), without=LAYERS)):
        grade = load({"type": "python", "source": SOURCE})("x")
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("sandbox_refused", "infra")
    assert "landlock is missing (switched off)" in grade.why


@pytest.mark.parametrize(
    ("accept", "without", "recorded"),
    [
        *[("S0", LAYERS, "S0, accepted"), ("S1", ("landlock", "namespaces"), "S1, accepted")],
        *[("S2", ("namespaces",), "S2"), ("S0", (), "S3"), ("S3", (), "S3")],
    ],
)
def test_an_accepted_override_runs_code_and_is_recorded_in_the_grade(
    need: Need, accept: Level, without: tuple[str, ...], recorded: str
) -> None:
    need(*(set(LAYERS) - set(without)))
    with use(Pool(SandboxSettings(accept=accept), without=without)):
        grade = load({"type": "python", "source": SOURCE})("x")
    assert grade.score == 0.5
    assert grade.sandbox == recorded
    assert grade.to_wire()["sandbox"] == recorded


# --- found by trying


@pytest.mark.parametrize("attempt", ["open a socket", "start a process", "signal another process", "something new"])
def test_seccomp_does_not_count_where_an_attempt_at_the_kernel_succeeds(attempt: str) -> None:
    found = standing(LAYERS, {}, BLOCKED | {attempt: "succeeded"})
    assert (found.level, found.escapes) == ("S0", [attempt])
    assert found.missing["seccomp"] == f"it is on, and still a jailed process could {attempt}"


@pytest.mark.parametrize(
    ("on", "attempt", "level"),
    [
        *[(LAYERS, attempt, "S1") for attempt in ("read a file", "list a folder", "read another's environment")],
        *[(LAYERS, "write a file", "S0"), (("rlimits", "seccomp"), "write a file", "S0")],
        *[(("rlimits", "seccomp"), "read a file", "S1"), (("rlimits", "seccomp", "namespaces"), "list a folder", "S1")],
        *[(LAYERS, "allocate a terabyte", "S0"), (LAYERS, "raise a limit", "S0"), (LAYERS, "answer", "S0")],
        (LAYERS, "", "S3"),
    ],
)
def test_a_layer_that_is_on_and_does_not_hold_drops_the_level(on: tuple[str, ...], attempt: str, level: str) -> None:
    tried = BLOCKED | ({attempt: "succeeded"} if attempt else {})
    assert standing(on, {}, tried).level == level


def test_what_is_lacking_is_named_for_each_layer_of_the_level() -> None:
    found = standing(("rlimits",), {"seccomp": "EPERM", "landlock": "ENOSYS"}, BLOCKED)
    assert lacking(found, "S2") == (
        f"seccomp is missing (EPERM): {REMEDIES['seccomp']}; landlock is missing (ENOSYS): {REMEDIES['landlock']}"
    )
    assert lacking(found, "S0") == ""
    assert {layer for layers in NEEDED.values() for layer in layers} <= set(REMEDIES)
    assert set(NEEDED) < set(LEVELS)


BROKEN = {
    # a layer that says it is on and does nothing: the file, the function, what it does instead, the level that is left
    "landlock": ("landlock.py", "restrict", "return prctl(PR_SET_NO_NEW_PRIVS, 1)", "S0"),
    "seccomp": ("seccomp.py", "install", "return None", "S0"),
    "rlimits": ("limits.py", "apply", "return None", "S0"),
    "namespaces": ("confine.py", "_namespaces", "return True", "S2"),
}


@pytest.mark.parametrize("layer", BROKEN)
def test_a_layer_that_does_nothing_is_found_out(need: Need, layer: str, changed: Changed) -> None:
    need(*LAYERS)
    file, function, instead, level = BROKEN[layer]
    changed(file, function, instead)
    server = ForkServer()
    server.close()
    assert server.standing.level == level
    assert layer not in server.standing.on
    assert "still" in server.standing.missing[layer]


def test_where_a_processor_has_no_table_the_reason_is_told_and_what_needs_none_still_holds(changed: Changed) -> None:
    changed("kernel.py", "architecture", "raise OSError('no table here')")
    with use(Pool(SandboxSettings(accept="S0"))) as pool:
        found = pool.check()
        grade = load({"type": "python", "source": SOURCE})("x")
    assert (found.level, grade.score, grade.sandbox) == ("S0", 0.5, "S0, accepted")
    assert {found.missing[layer] for layer in ("landlock", "seccomp", "namespaces")} == {"no table here"}
    assert "rlimits" in found.on


# --- systems without a sandbox


ELSEWHERE = """
import asyncio, concurrent.futures, importlib.metadata, multiprocessing, os, platform, select, signal, socket
import subprocess, sys, tempfile, threading, urllib.request
import numpy, pydantic.main, sysconfig, zoneinfo

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("resource", "fcntl", "pwd", "grp", "termios", "posix"):
            raise ModuleNotFoundError(name)

for name in ("resource", "fcntl", "pwd", "grp", "termios"):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Missing())
GONE = {
    os: "fork register_at_fork pidfd_open sched_getaffinity memfd_create geteuid getuid closerange setresuid waitid "
        "WNOHANG O_PATH waitstatus_to_exitcode openpty posix_spawn",
    signal: "SIGKILL SIGSYS SIGXCPU SIGXFSZ SIGHUP SIGALRM setitimer pidfd_send_signal pthread_sigmask alarm",
    socket: "AF_UNIX SOCK_SEQPACKET socketpair send_fds recv_fds SCM_RIGHTS CMSG_LEN MSG_NOSIGNAL",
    select: "poll epoll",
}
for module, names in GONE.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
sys.platform = sys.argv[1]
import graders
from graders.sandbox.pool import Pool, RefusedError
from graders.sandbox.settings import SandboxSettings
import graders.code.python
for accept in ("S2", "S0"):
    try:
        Pool(SandboxSettings(accept=accept)).check()
    except RefusedError as problem:
        print(problem)
grade = graders.load({"type": "python", "source": "def grade(sample, item):\\n    return 1.0\\n"})("x")
print(grade.error.kind, grade.error.fault)
print(graders.load({"type": "string_check", "input": "a", "reference": "a", "operation": "eq"})("x").score)
os._exit(0)
"""


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_graders_are_imported_where_there_is_no_sandbox_and_code_is_refused(system: str) -> None:
    done = subprocess.run(
        [sys.executable, "-u", "-c", ELSEWHERE, system],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), *filter(None, sys.path)])},
    )
    told = f"this is {system}, not Linux: use Linux 5.3 or later, in a virtual machine on other systems"
    refused = [
        f"the sandbox is at level S0 here, and S2 is needed: {told}",
        f"the sandbox is at level S0 here, and S0 is needed: {told}",
    ]
    assert done.stdout.splitlines() == [*refused, "sandbox_refused infra", "1.0"], done.stderr
