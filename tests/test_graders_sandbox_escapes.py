"""The attack battery: some two hundred ways out of the sandbox, as root and as an ordinary user, with namespaces and
without. The attacks stand in sandbox_attacks_*.py; sandbox_battery.py makes them, in a program of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HERE = Path(__file__).parent
NOBODY = 65534
LAYERS = ("rlimits", "landlock", "seccomp", "namespaces", "private_uid")
LASTING = (
    # what would outlive its process where nothing forbids it
    *("keep_shared_memory", "keep_a_semaphore", "keep_a_message_queue", "open_a_message_queue", "keep_a_key"),
    "touch_three_gigabytes",
)
READS = (
    # what can be done without Landlock: reading, where this user may read
    *("read_etc_passwd", "read_an_answer_file", "read_the_answers_by_a_relative_path"),
    *("read_the_answers_through_a_folder_opened_as_a_place", "read_the_answers_by_reopening_a_place"),
    *("load_the_answers_as_a_library", "list_the_root", "list_the_folder_of_the_answers", "read_processes"),
    *("list_the_answers_by_walking_up", "list_installed_packages", "list_packages_inside_the_standard_library"),
    *("read_an_installed_package", "import_an_installed_package", "read_a_package_inside_the_standard_library"),
    *("read_this_project", "read_a_program", "read_the_service_environment", "read_own_environment_through_proc"),
    *("see_where_the_service_is", "read_memory_of_the_service", "see_descriptors_of_the_service"),
    *("read_through_the_root_of_the_service", "read_kernel_log"),
)
USES_UP = (
    *("raise_its_own_limit", "wait_on_many_descriptors", "open_more_pairs_than_it_may", "allocate_three_gigabytes"),
    *("allocate_piece_by_piece", "flood_the_output", "flood_the_output_backwards", "touch_three_gigabytes"),
)


class Context(NamedTuple):
    root: bool
    like_docker: bool


CONTEXTS = {
    "root": Context(True, False),
    "user": Context(False, False),
    "root in a container": Context(True, True),
    "user in a container": Context(False, True),
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


@cache
def interpreter(user: int | None) -> tuple[str, dict[str, str]]:
    """An interpreter that this user can run, with what it needs to import pydantic; of the same minor version."""
    packages = [path for path in sys.path if path.endswith("-packages")]
    environment = {"PYTHONPATH": os.pathsep.join([str(HERE.parent), *packages]), "PYTHONDONTWRITEBYTECODE": "1"}
    for path in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        question = f"import sys, pydantic; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"
        try:
            asked = subprocess.run(
                [path, "-c", question], env=environment, cwd="/", capture_output=True, check=False, **_as(user)
            )
        except OSError:
            continue
        if asked.returncode == 0:
            return path, environment
    pytest.skip("no interpreter of this version that an ordinary user may run, with pydantic")


def _as(user: int | None) -> dict[str, Any]:
    return {} if user is None else {"user": user, "group": user, "extra_groups": []}


@cache
def battery(root: bool, options: str) -> dict[str, Any]:
    if root and os.geteuid() != 0:
        pytest.skip("root only")
    user = NOBODY if not root and os.geteuid() == 0 else None
    path, environment = interpreter(user)
    command = [path, str(HERE / "sandbox_battery.py"), options]
    done = subprocess.run(
        command, env=environment, cwd="/", capture_output=True, text=True, timeout=300, check=False, **_as(user)
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["uid"] == 0) == root
    return found


def outcomes(
    context: str, without: tuple[str, ...] = (), refuse: tuple[str, ...] = (), **options: Any
) -> dict[str, Any]:
    """What a whole battery found in a context. Skips where the layers that it is about are not to be had here."""
    root, like_docker = CONTEXTS[context]
    refused = [*(["namespaces"] if like_docker else []), *refuse]
    wanted = json.dumps({"without": without, "refuse": refused, **options})
    found = battery(root, wanted)
    missing = found["standing"]["missing"]
    for layer in {"rlimits", "landlock", "seccomp"} - {*without, *refused}:
        if layer in missing:
            pytest.skip(f"{layer} is not to be had here: {missing[layer]}")
    return found


def starting(found: dict[str, Any], word: str) -> dict[str, str]:
    return {name: outcome for name, outcome in found["outcomes"].items() if outcome.startswith(word)}


@pytest.mark.parametrize("context", CONTEXTS)
def test_no_attack_gets_out_of_the_sandbox(context: str) -> None:
    found = outcomes(context)
    assert starting(found, "escaped") == {}
    assert len(found["outcomes"]) >= 190
    assert ("namespaces" in found["standing"]["on"]) <= (not CONTEXTS[context].like_docker)


@pytest.mark.parametrize("context", CONTEXTS)
def test_each_attack_fails_for_the_right_reason(context: str) -> None:
    found = outcomes(context)
    assert starting(found, "broken") == {}
    slow = [name for name, outcome in found["outcomes"].items() if "took too long" in outcome]
    assert [name for name in slow if not name.startswith("spin")] == []
    assert {name for name in found["outcomes"] if name.startswith("spin")} - set(slow) <= {
        # these may be found out before the time is up
        *("spin_with_a_flood_of_answers", "spin_after_closing_the_stream", "spin_after_shutting_the_stream")
    }


@pytest.mark.parametrize("context", CONTEXTS)
def test_honest_code_works_in_the_sandbox(context: str) -> None:
    found = outcomes(context)
    assert {name: outcome for name, outcome in found["controls"].items() if outcome != "works"} == {}


@pytest.mark.parametrize("context", CONTEXTS)
def test_after_all_attacks_the_fork_server_works_and_nothing_is_left(context: str) -> None:
    assert outcomes(context)["afterwards"] == {"server": "works", "victim": 140, "left": [], "heard": 0}


def test_a_container_leaves_the_level_s2_and_an_open_machine_s3() -> None:
    assert outcomes("user in a container")["standing"]["level"] == "S2"
    standing = outcomes("user")["standing"]
    assert standing["level"] == ("S3" if "namespaces" in standing["on"] else "S2")


def test_root_becomes_a_user_that_owns_nothing_where_that_user_can_read_the_interpreter() -> None:
    standing = outcomes("root")["standing"]
    reason = standing["missing"].get("private_uid")
    assert reason in (None, "another user cannot read this interpreter", "another user cannot be become here")


def test_with_no_layer_the_attacks_succeed_so_it_is_the_sandbox_that_stops_them() -> None:
    found = outcomes("user", LAYERS, skip=LASTING, quick=True)
    assert found["standing"]["level"] == "S0"
    assert len(starting(found, "escaped")) >= 110
    assert {
        *("read_etc_passwd", "read_an_answer_file", "write_to_tmp", "connect_to_a_service", "fork_forty_times"),
        *("leave_a_daemon_behind", "run_a_program", "signal_the_service", "start_150_threads", "make_a_file_in_memory"),
        *("read_the_service_environment", "send_through_a_pair_to_an_abstract_socket", "allocate_three_gigabytes"),
        *("overwrite_the_answers", "empty_a_file_by_reading", "raise_its_own_limit", "flood_the_output"),
    } <= set(starting(found, "escaped"))


@pytest.mark.parametrize("context", ["user in a container", "root in a container"])
def test_without_landlock_files_can_be_read_and_still_none_is_written(context: str) -> None:
    only = ["files", "secrets"] if CONTEXTS[context].root else ["files", "secrets", "kernel", "others", "network"]
    found = outcomes(context, ("landlock",), quick=True, only=only)
    assert found["standing"]["level"] == "S1"
    assert set(starting(found, "escaped")) - set(READS) == set()
    assert "read_an_answer_file" in starting(found, "escaped")
    assert found["afterwards"]["victim"] == 140
    assert [name for name, outcome in found["controls"].items() if outcome != "works"] == ["write_to_nowhere"]


@pytest.mark.parametrize("layer", ["landlock", "seccomp"])
def test_a_layer_that_the_kernel_refuses_is_missing_and_honest_code_runs_all_the_same(layer: str) -> None:
    found = outcomes("user in a container", refuse=(layer,), only=["secrets"])
    told = {"landlock": "[Errno 38] landlock_create_ruleset: Function not implemented", "seccomp": "Invalid argument"}
    assert found["standing"]["level"] == {"landlock": "S1", "seccomp": "S0"}[layer]
    assert found["standing"]["missing"][layer] == told[layer]
    assert [name for name, outcome in found["controls"].items() if outcome != "works"] == (
        ["write_to_nowhere"] if layer == "landlock" else []
    )


def test_without_rlimits_only_memory_descriptors_and_output_have_no_end() -> None:
    found = outcomes("user in a container", ("rlimits",), skip=("touch_three_gigabytes",), quick=True)
    assert found["standing"]["level"] == "S0"
    assert set(starting(found, "escaped")) - set(USES_UP) == set()
    assert "flood_the_output" in starting(found, "escaped")


def test_without_seccomp_landlock_and_limits_still_keep_every_file_shut() -> None:
    found = outcomes("user in a container", ("seccomp",), skip=LASTING, only=("files", "secrets"))
    assert found["standing"]["level"] == "S0"
    opened = {
        name for name in starting(found, "escaped") if name.startswith(("read", "list", "write", "over", "empty"))
    }
    assert opened <= {"read_the_answers_with_neither_read_nor_write", "read_the_answers_by_a_handle"}
