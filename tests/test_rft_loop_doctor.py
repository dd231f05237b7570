"""`assay doctor` says what is there: with the sandbox of this machine, and with weakened ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from graders.sandbox import fork_server
from graders.sandbox.level import LEVELS
from graders.sandbox.pool import Pool, pool, use
from graders.sandbox.settings import SandboxSettings
from rft_loop.cli import app

needs_s2 = pytest.mark.skipif(pool().standing().level < "S2", reason="the sandbox is weaker than S2 here")


def assay(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("assay")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def told(without: tuple[str, ...], **settings: Any) -> tuple[int, dict[str, Any]]:
    with use(Pool(SandboxSettings(**settings), without)):
        done = CliRunner().invoke(app, ["doctor", "--json"])
    return done.exit_code, json.loads(done.stdout)["sandbox"]


@needs_s2
def test_it_tells_the_level_and_every_attempt_to_get_out() -> None:
    done = assay("doctor")
    assert done.returncode == 0, done.stderr
    level = pool().standing().level
    assert f"Sandbox: level {level}\n" in done.stdout
    assert f"\n> {level}  " in done.stdout
    for attempt in pool().standing().tried:
        assert any(line.startswith(attempt) and line.endswith("blocked") for line in done.stdout.splitlines()), attempt
    assert str(Path(sys.executable).parent) in done.stdout
    assert done.stderr == ""


def test_its_json_holds_what_its_text_tells() -> None:
    done = assay("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["sandbox"]["sufficient"] else 1)
    assert found["sandbox"]["level"] in LEVELS
    assert Path(found["interpreter"]["path"]).parent == Path(sys.executable).parent
    assert {each["package"]: each["version"] for each in found["packages"]}["pydantic"]
    assert {each["layer"] for each in found["sandbox"]["layers"]} >= {"rlimits", "landlock", "seccomp", "namespaces"}
    assert set(found["sandbox"]["self_test"].values()) <= {"blocked", "succeeded"}


@needs_s2
@pytest.mark.parametrize(
    ("without", "level"),
    [
        (("namespaces",), "S2"),
        (("private_uid",), "S3"),
        (("landlock",), "S1"),
        (("seccomp",), "S0"),
        (("rlimits",), "S0"),
    ],
)
def test_a_missing_layer_is_named_with_its_reason_and_its_remedy(without: tuple[str, ...], level: str) -> None:
    code, sandbox = told(without)
    assert sandbox["level"] == level
    assert code == (0 if level >= "S2" else 1)
    (layer,) = [each for each in sandbox["layers"] if each["layer"] == without[0]]
    assert not layer["on"]
    assert layer["reason"] == "switched off"
    assert layer["remedy"]
    if level < "S2":
        assert f"{without[0]} is missing" in sandbox["problem"]


@needs_s2
def test_what_got_out_is_shown() -> None:
    _, sandbox = told(("landlock", "seccomp", "namespaces"))
    assert sandbox["self_test"]["read a file"] == "succeeded"
    assert sandbox["self_test"]["allocate a terabyte"] == "blocked"
    with use(Pool(SandboxSettings(), ("landlock", "seccomp", "namespaces"))):
        text = CliRunner().invoke(app, ["doctor"]).stdout
    assert "read a file" in text
    assert "succeeded" in text


@needs_s2
def test_an_accepted_weakness_is_no_failure() -> None:
    code, sandbox = told(("landlock",), accept="S1")
    assert code == 0
    assert (sandbox["level"], sandbox["sufficient"], sandbox["problem"]) == ("S1", True, "")
    assert sandbox["override"]


@needs_s2
@pytest.mark.parametrize(
    ("without", "accept", "says"),
    [
        (
            (),
            "S0",
            "S0 or better is accepted. This is an override (ASSAY_ACCEPT_SANDBOX): S2 is what is needed without ",
        ),
        (("landlock",), "S1", "it, and is not reached: each grade made here says so\n"),
        (("namespaces",), "S1", "it, and is reached\n"),
    ],
)
def test_an_override_is_called_one(without: tuple[str, ...], accept: str, says: str) -> None:
    with use(Pool(SandboxSettings(accept=accept), without)):
        assert says in CliRunner().invoke(app, ["doctor"]).stdout


@needs_s2
def test_what_is_accepted_by_default_is_no_override() -> None:
    assert not told((), accept="S2")[1]["override"]
    with use(Pool(SandboxSettings())):
        assert "override" not in CliRunner().invoke(app, ["doctor"]).stdout


@needs_s2
def test_a_layer_that_no_level_needs_says_so_with_its_reason_and_what_to_do() -> None:
    with use(Pool(SandboxSettings(), ("private_uid",))):
        text = CliRunner().invoke(app, ["doctor"]).stdout
    (line,) = [line for line in text.splitlines() if line.startswith("private_uid")]
    assert "  missing  needed for no level; switched off. What to do: nothing, since every level" in line


def test_packages_that_differ_from_openais_image_are_told_with_both_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    from graders.code import image

    here = dict(image.IMAGES["2025-05-08"]) | {"numpy": "1.26.0", "scikit-bio": None}
    monkeypatch.setattr(image, "_installed", here.get)
    text = CliRunner().invoke(app, ["doctor"]).stdout
    assert f"(openai-2025-05-08): {len(here) - 2} of {len(here)} the same\n" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["numpy", "2.2.4", "1.26.0"] in lines
    assert ["scikit-bio", "0.6.3", "not", "installed"] in lines


def test_settings_say_where_they_come_from() -> None:
    text = assay("doctor", ASSAY_SANDBOX_PROCESSES="3", ASSAY_SANDBOX_REUSE="").stdout
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in text.splitlines() if line}
    assert lines["processes"] == ["3", "ASSAY_SANDBOX_PROCESSES"]
    assert lines["reuse"] == ["warm", "default (ASSAY_SANDBOX_REUSE sets it)"]


def test_a_setting_that_is_none_is_one_line() -> None:
    done = assay("doctor", ASSAY_ACCEPT_SANDBOX="S9")
    assert done.returncode == 2
    assert done.stderr == "assay: ASSAY_ACCEPT_SANDBOX=S9: a level is one of S0, S1, S2, S3\n"


def test_a_fork_server_that_cannot_be_started_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "START", "raise SystemExit(1)")
    code, sandbox = told(())
    assert code == 1
    assert "no fork server could be started" in sandbox["problem"]
    assert sandbox["self_test"] == {}


def test_what_is_not_installed_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from rft_loop.commands import doctor

    monkeypatch.setattr(doctor, "_version", lambda name: "" if name in ("sympy", "assay") else "1.0")
    text = CliRunner().invoke(app, ["doctor"]).stdout
    assert "missing: sympy (pip install 'assay[math]')" in text


def test_plug_ins_are_told_with_their_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    from rft_loop.commands import doctor, graders

    plugins = [graders.Entry("good", "a-package", "1.2"), graders.Entry("bad", "another", "3", error="ImportError: no")]
    monkeypatch.setattr(doctor, "_installed", lambda: plugins)
    text = CliRunner().invoke(app, ["doctor"]).stdout
    assert "good     a-package  1.2\n" in text
    assert "bad      another    3        cannot be used: ImportError: no\n" in text


def test_where_no_code_can_be_run_at_all_every_layer_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    with use(Pool(SandboxSettings(accept="S0"))):
        done = CliRunner().invoke(app, ["doctor", "--json"])
    sandbox = json.loads(done.stdout)["sandbox"]
    assert done.exit_code == 1
    assert (sandbox["level"], sandbox["self_test"]) == ("S0", {})
    assert {layer["remedy"] for layer in sandbox["layers"]} == {
        "use Linux 5.3 or later, in a virtual machine on other systems"
    }
    assert all(layer["reason"] for layer in sandbox["layers"])
