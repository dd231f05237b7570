"""Levels: how much of the sandbox this machine really gives, found by trying."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

Level = Literal["S0", "S1", "S2", "S3"]
LEVELS: tuple[Level, ...] = get_args(Level)

NEEDED: Mapping[Level, tuple[str, ...]] = {
    "S1": ("rlimits", "seccomp"),
    "S2": ("rlimits", "seccomp", "landlock"),
    "S3": ("rlimits", "seccomp", "landlock", "namespaces"),
}

MEANING: Mapping[Level, str] = {
    "S0": "no isolation to rely on: code could read files, reach services and start processes",
    "S1": "system calls are filtered and resources limited, and no file is written; every file that this user can read "
    "can be read, and so can the environment and the memory of this user's other processes",
    "S2": "and no file beyond Python's own library can be opened: what containers allow",
    "S3": "and it sees no network, no other process and no user of this machine",
}

REMEDIES: Mapping[str, str] = {
    "rlimits": "do not switch it off",
    "seccomp": "use Linux on x86_64 or aarch64, with seccomp filters (CONFIG_SECCOMP_FILTER), or let the container "
    "that this runs in use them",
    "landlock": "use Linux 5.13 or later with Landlock among its security modules (`landlock` in "
    "/sys/kernel/security/lsm; else add it to lsm= on the kernel's command line)",
    "namespaces": "allow user namespaces (sysctl user.max_user_namespaces above 0 and, on Debian and Ubuntu, "
    "kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0)",
    "private_uid": "nothing, since every level is reached without it; to have it, run as root a Python that others "
    "can read (outside /root)",
    "linux": "use Linux 5.3 or later, in a virtual machine on other systems",
}

WATCHED_BY: Mapping[str, tuple[str, ...]] = {
    # the layers that a successful escape shows not to work, where they are on; for all others it is seccomp
    "read a file": ("landlock",),
    "list a folder": ("landlock",),
    "read another's environment": ("landlock",),
    "write a file": ("landlock", "seccomp"),
    "allocate a terabyte": ("rlimits",),
    "raise a limit": ("rlimits", "seccomp"),
    "answer": ("rlimits", "landlock", "seccomp", "namespaces"),
}


UNTRIED = "it could not be tried: the self-test gave no answer"


class Standing(NamedTuple):
    """What stands between jailed code and this machine."""

    level: Level
    on: tuple[str, ...]
    missing: Mapping[str, str]  # layer -> why it is not there
    tried: Mapping[str, str]  # attempt to escape -> "blocked" or "succeeded"

    @property
    def recorded(self) -> str:
        """What a grade says of it: the level, and that it was accepted where it is below what is needed."""
        return self.level if self.level >= "S2" else f"{self.level}, accepted"

    @property
    def escapes(self) -> list[str]:
        return [attempt for attempt, outcome in self.tried.items() if outcome != "blocked"]


def standing(on: Sequence[str], missing: Mapping[str, str], tried: Mapping[str, str]) -> Standing:
    """The level that the layers give, less those whose work an attempt to escape has undone."""
    lost = dict(missing)
    for attempt, outcome in tried.items():
        could = f"it is on, and still a jailed process could {attempt}" if attempt != "answer" else UNTRIED
        for layer in WATCHED_BY.get(attempt, ("seccomp",)):
            if outcome != "blocked" and layer in on:
                lost.setdefault(layer, could)
    left = tuple(layer for layer in on if layer not in lost)
    reached: Level = "S0"
    for level, layers in NEEDED.items():
        if set(layers) <= set(left):
            reached = level
    return Standing(reached, left, lost, tried)


_LACK = "this Python was built without pidfd_open (Linux 5.3)" if sys.platform == "linux" else ""
NOWHERE = Standing("S0", (), {"linux": _LACK or f"this is {sys.platform}, not Linux"}, {})


def lacking(found: Standing, needed: Level) -> str:
    """What is missing for a level, and the remedy: one clause for each layer; "" where nothing is."""
    if "linux" in found.missing:
        return f"{found.missing['linux']}: {REMEDIES['linux']}"
    layers = [layer for layer in NEEDED.get(needed, ()) if layer not in found.on]
    return "; ".join(
        f"{layer} is missing ({found.missing.get(layer, 'unknown')}): {REMEDIES[layer]}" for layer in layers
    )
