"""Cache: grades by what gave them, the grader's hash and the hash of what it was given, for runs to come.

Only decided grades are kept: what could not be decided is asked again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from graders.grade import Grade

FILE = "grades.sqlite"
WAIT = 60.0  # seconds for another process to end its writing
AT_ONCE = 500  # keys in one question


def cache_key(identity: str, given: bytes) -> bytes:
    """What a grade is kept under: the grader's hash and that of item and sample."""
    return blake2b(identity.encode() + b"\0" + given, digest_size=16).digest()


class Cache:
    """Grades in an SQLite file of a folder, which several processes may use at once."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE
        with self._complaints():
            folder.mkdir(parents=True, exist_ok=True)
            self.store = sqlite3.connect(self.file, timeout=WAIT, isolation_level=None, check_same_thread=False)
            self.store.execute("PRAGMA journal_mode=WAL")
            self.store.execute("PRAGMA synchronous=NORMAL")
            self.store.execute("CREATE TABLE IF NOT EXISTS grades (key BLOB PRIMARY KEY, grade TEXT) WITHOUT ROWID")

    def close(self) -> None:
        self.store.close()

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Grade]:
        """The grades that are kept under these keys."""
        found: dict[bytes, Grade] = {}
        with self._complaints():
            for start in range(0, len(keys), AT_ONCE):
                some = keys[start : start + AT_ONCE]
                marks = ",".join("?" * len(some))
                for key, text in self.store.execute(f"SELECT key, grade FROM grades WHERE key IN ({marks})", some):
                    found[key] = Grade.from_wire(json.loads(text))
        return found

    def keep(self, grades: Sequence[tuple[bytes, Grade, str]]) -> None:
        """Keep the decided ones of some grades, each given with its key and its JSON text."""
        decided = [(key, text) for key, grade, text in grades if grade.score is not None]
        if decided:
            with self._complaints():
                self.store.execute("BEGIN IMMEDIATE")
                self.store.executemany("INSERT OR IGNORE INTO grades VALUES (?, ?)", decided)
                self.store.execute("COMMIT")

    @contextmanager
    def _complaints(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, LookupError, TypeError, AttributeError) as problem:
            raise ValueError(
                f"the cache {self.file} cannot be used ({problem}); delete it, name another folder, or leave it out"
            ) from problem
