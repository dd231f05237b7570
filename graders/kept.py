"""Kept: texts under keys, in an SQLite file of a folder that several processes and threads may use at once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

WAIT = 60.0  # seconds for another process to end its writing
AT_ONCE = 500  # keys in one question
PROBLEMS = (sqlite3.Error, OSError, ValueError, LookupError, TypeError, AttributeError)  # of a file not of ours


class KeptError(ValueError):
    """The file cannot be used; says what to do."""


class Kept:
    """The texts of one table. Raises KeptError where the file cannot be used."""

    def __init__(self, folder: Path, file: str, table: str) -> None:
        self.file = folder / file
        self._table = table
        self._lock = threading.Lock()  # one transaction at a time, whichever thread asks
        with self.complaints():
            folder.mkdir(parents=True, exist_ok=True)
            self._store = sqlite3.connect(self.file, timeout=WAIT, isolation_level=None, check_same_thread=False)
            try:
                self._store.execute("PRAGMA journal_mode=WAL")
                self._store.execute("PRAGMA synchronous=NORMAL")
                self._store.execute(
                    f"CREATE TABLE IF NOT EXISTS {table} (key BLOB PRIMARY KEY, text TEXT) WITHOUT ROWID"
                )
            except BaseException:
                self._store.close()
                raise

    def close(self) -> None:
        self._store.close()

    def find(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, str]]:
        """The keys that are there, each with its text."""
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            marks = ",".join("?" * len(some))
            with self.complaints(), self._lock:
                found = self._store.execute(f"SELECT * FROM {self._table} WHERE key IN ({marks})", some).fetchall()
            yield from found

    def keep(self, texts: Iterable[tuple[bytes, str]]) -> None:
        """Keep texts in one transaction; what is kept under a key already stays."""
        with self.complaints(), self._lock:
            self._store.execute("BEGIN IMMEDIATE")
            self._store.executemany(f"INSERT OR IGNORE INTO {self._table} VALUES (?, ?)", texts)
            self._store.execute("COMMIT")

    @contextmanager
    def complaints(self) -> Iterator[None]:
        """Says of what goes wrong inside, also in reading a text that was found, that the file cannot be used."""
        try:
            yield
        except KeptError:
            raise
        except PROBLEMS as problem:
            raise KeptError(
                f"the cache {self.file} cannot be used ({problem}); delete it, name another folder, or leave it out"
            ) from problem
