"""Packages that code may import: installed distributions, with the folders that they and what they need lie in."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from graders.sandbox.fork_server import Profile

USUAL = (
    # what solutions import most: imported once by the fork server, and not by each process that it forks
    *("bisect", "collections", "copy", "dataclasses", "datetime", "enum"),
    *("functools", "heapq", "itertools", "json", "math", "operator", "random", "re"),
    *("string", "threading", "typing"),
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@lru_cache(maxsize=64)
def profile_of(packages: tuple[str, ...], imports: tuple[str, ...] = USUAL) -> Profile:
    """The profile of a fork server for code that may import these distributions, and nothing else that is installed.

    Raises ValueError for one that is not installed, or not as a package of its own.
    """
    places: dict[str, None] = {}
    folders: dict[str, None] = {}
    modules: list[str] = []
    for name in packages:
        distribution = _distribution(name)
        if distribution is None:
            raise ValueError(f"package {name!r} {_why_none(name)}")
        modules += _modules(distribution)
        for one in _with_needed(distribution, {}):
            site = Path(str(one.locate_file("")))
            folders[str(site)] = None
            places |= dict.fromkeys(str(site / part) for part in _parts(one))
    return Profile((*imports, *modules), tuple(folders), tuple(places))


def _why_none(name: str) -> str:
    """Why there is no such distribution, and what to write instead."""
    bare = NAME.match(name)
    if bare is None or bare[0] != name:
        instead = f", {bare[0]!r}" if bare else ""
        return f"is not a distribution's name: write the name alone{instead}; the version installed here is used"
    if name in sys.stdlib_module_names:
        return "is in the standard library, which code may always import: leave it out"
    if found := importlib.metadata.packages_distributions().get(name):
        return f"is the name that code imports; the distribution is called {' or '.join(map(repr, sorted(set(found))))}"
    return (
        f"is not installed here: pip install {shlex.quote(name)}, or leave it out; if that is the name that code "
        "imports, write the distribution's, as in scikit-learn for sklearn"
    )


def _distribution(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def _with_needed(
    distribution: importlib.metadata.Distribution, seen: dict[str, None]
) -> Iterator[importlib.metadata.Distribution]:
    """A distribution and what it requires, as far as that is installed; extras are nobody's wish."""
    if not _parts(distribution):
        raise ValueError(f"package {distribution.name!r} is installed in place, or keeps no record of its files")
    yield distribution
    for wanted in distribution.requires or ():
        name = NAME.match(wanted)
        if name is None or "extra ==" in wanted.replace('"', "'") or name[0].lower() in seen:
            continue
        seen[name[0].lower()] = None
        if (needed := _distribution(name[0])) is not None:
            yield from _with_needed(needed, seen)


def _parts(distribution: importlib.metadata.Distribution) -> list[str]:
    """The entries of the folder of packages that are the distribution's."""
    firsts = {file.parts[0] for file in distribution.files or () if not file.is_absolute()}
    return sorted(first for first in firsts - {"..", "__pycache__"} if not first.endswith((".pth", "__editable__")))


def _modules(distribution: importlib.metadata.Distribution) -> list[str]:
    """The names that a distribution is imported by: its packages, else its modules."""
    files = [file.parts for file in distribution.files or ()]
    names = [part for part in _parts(distribution) if not part.startswith("_")]
    found = [name for name in names if (name, "__init__.py") in files]
    found = found or [name.partition(".")[0] for name in names if name.endswith((".py", ".so"))]
    return [name for name in found if name.isidentifier() and name not in sys.stdlib_module_names]


def check_importable(packages: Sequence[str], failed: dict[str, str]) -> None:
    """Raise ValueError where the fork server could not import what a package is for."""
    for name, reason in failed.items():
        if name not in USUAL:
            raise ValueError(f"packages {', '.join(packages)}: {name} cannot be imported in the sandbox: {reason}")
