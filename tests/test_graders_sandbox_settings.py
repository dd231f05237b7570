"""The sandbox's settings: from the environment, and those that are none."""

from __future__ import annotations

import os
from typing import Any

import pytest

from graders.sandbox.settings import SandboxSettings

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the sandbox needs Linux")


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("ASSAY_ACCEPT_SANDBOX", "S4", "ASSAY_ACCEPT_SANDBOX=S4: a level is one of S0, S1, S2, S3"),
        ("ASSAY_ACCEPT_SANDBOX", "s2", "ASSAY_ACCEPT_SANDBOX=s2: a level"),
        ("ASSAY_SANDBOX_PROCESSES", "0", "ASSAY_SANDBOX_PROCESSES=0: it must be a number of processes, 1 to 4,096"),
        ("ASSAY_SANDBOX_PROCESSES", "-1", "ASSAY_SANDBOX_PROCESSES=-1"),
        ("ASSAY_SANDBOX_PROCESSES", "two", "ASSAY_SANDBOX_PROCESSES=two"),
        ("ASSAY_SANDBOX_PROCESSES", "1.5", "ASSAY_SANDBOX_PROCESSES=1.5"),
        ("ASSAY_SANDBOX_PROCESSES", "٣", "ASSAY_SANDBOX_PROCESSES"),
        ("ASSAY_SANDBOX_PROCESSES", "4097", "1 to 4,096"),
        ("ASSAY_SANDBOX_PROCESSES", "9" * 5000, "1 to 4,096"),
        ("ASSAY_SANDBOX_REUSE", "hot", "ASSAY_SANDBOX_REUSE=hot: it must be warm or batch"),
    ],
)
def test_a_wrong_setting_in_the_environment_names_its_variable(variable: str, value: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SandboxSettings.from_environment({variable: value})


def test_settings_come_from_the_environment_and_an_empty_one_is_none() -> None:
    given = {"ASSAY_ACCEPT_SANDBOX": "S1", "ASSAY_SANDBOX_PROCESSES": "3", "ASSAY_SANDBOX_REUSE": "batch"}
    assert SandboxSettings.from_environment(given) == SandboxSettings(accept="S1", processes=3, reuse="batch")
    assert SandboxSettings.from_environment(dict.fromkeys(given, "")) == SandboxSettings()
    assert SandboxSettings().processes == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("options", [{"processes": 0}, {"processes": 5000}, {"queue": 0}, {"reuse": "hot"}])
def test_settings_that_are_none_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        SandboxSettings(**options)
