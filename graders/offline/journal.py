"""Journal: `<out>.partial`, one line a row that was graded, held by one process, renamed when it is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import IO, Any


def partial_of(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def spent_of(out: Path) -> Path:
    """Where it stands beside the journal what the run has spent of its budget."""
    partial = partial_of(out)
    return partial.with_name(partial.name + ".spent")


def set_aside(partial: Path) -> Path:
    """A copy of the journal, whose lines are about to be cut; gives its place."""
    old = partial.with_name(partial.name + ".old")
    places = chain([old], (old.with_name(f"{old.name}-{number}") for number in count(2)))
    free = next(place for place in places if not place.exists())
    shutil.copyfile(partial, free)
    return free


def check_places(data: Path | None, out: Path) -> None:
    """Refuse a place that cannot take the grades, or whose content would be lost."""
    if not out.parent.is_dir():
        raise ValueError(f"{out}: no folder {str(out.parent)!r}; make it first, or write the grades elsewhere")
    if out.exists() and not out.is_file():
        raise ValueError(f"{out} is not a regular file, so no grades can take its place; name a file to write")
    if data is None:
        return
    for path in (out, partial_of(out)):
        if path.exists() and data.exists() and path.samefile(data):
            raise ValueError(f"{path} holds the rows to grade, and writing {out} would destroy them; name another file")


@contextmanager
def open_journal(out: Path) -> Iterator[IO[bytes]]:
    """The journal, open to append and held by this process alone; left behind only when something is in it."""
    import fcntl

    partial = partial_of(out)
    with partial.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(file.fileno()), partial.stat())  # else renamed since it was opened
        except (BlockingIOError, FileNotFoundError):
            held = False
        if not held:
            raise ValueError(f"{out}: another process is writing it; wait for its end, or write the grades elsewhere")
        try:
            yield file
        except BaseException:
            if os.fstat(file.fileno()).st_size == 0:
                partial.unlink()
            raise


def recorded(partial: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Lines recorded before a break, as text and as data, up to the first that is broken."""
    with partial.open("rb") as lines:
        for line in lines:
            try:
                wire = json.loads(line)
            except (ValueError, RecursionError):
                return
            if not (line.endswith(b"\n") and isinstance(wire, dict)):
                return
            yield line, wire
