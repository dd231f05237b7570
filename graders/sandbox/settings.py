"""Settings of the sandbox: how many processes, how strong, and whom to trust with a process that lives on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from graders.cores import usable_cores
from graders.options import Options
from graders.sandbox.level import LEVELS, Level

MOST_PROCESSES = 4096
ACCEPT, PROCESSES, REUSE = "ASSAY_ACCEPT_SANDBOX", "ASSAY_SANDBOX_PROCESSES", "ASSAY_SANDBOX_REUSE"


def default_level() -> Level:
    """The lowest level that code is run at without an override."""
    level: Level = SandboxSettings.model_fields["accept"].default
    return level


class SandboxSettings(Options):
    """What the sandbox may use, and how weak it may be.

    `accept`     the lowest level to run code at; below "S2" it is an override, recorded in every grade
    `processes`  jailed processes at work at the same time
    `queue`      callers that may wait for one; one more hears `overloaded`
    `reuse`      "warm": a python grader's process lives on, for graders of your own; "batch": each batch of calls gets
                 a fresh one, for graders of unknown origin
    """

    accept: Level = "S2"
    processes: int = Field(default_factory=usable_cores, ge=1, le=MOST_PROCESSES, strict=True)
    queue: int = Field(10_000, ge=1, strict=True)
    reuse: Literal["warm", "batch"] = "warm"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> SandboxSettings:
        """The settings that ASSAY_ACCEPT_SANDBOX, ASSAY_SANDBOX_PROCESSES and ASSAY_SANDBOX_REUSE name.

        Raises ValueError naming the variable and what it may be.
        """
        found: dict[str, object] = {}
        if value := environment.get(ACCEPT):
            if value not in LEVELS:
                raise ValueError(f"{ACCEPT}={value}: a level is one of {', '.join(LEVELS)}")
            found["accept"] = value
        if value := environment.get(PROCESSES):
            if not (value.isascii() and value.isdigit() and len(value) <= 9 and 0 < int(value) <= MOST_PROCESSES):
                raise ValueError(f"{PROCESSES}={value}: it must be a number of processes, 1 to {MOST_PROCESSES:,}")
            found["processes"] = int(value)
        if value := environment.get(REUSE):
            if value not in ("warm", "batch"):
                raise ValueError(f"{REUSE}={value}: it must be warm or batch")
            found["reuse"] = value
        return cls.model_validate(found)
