"""Answers: what judges said, by who asked what of which model, kept in an SQLite file for other runs.

Answers are written in batches: a kill loses those of the last moments, whose rows were not recorded either.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from graders.grade import GradingStopped
from graders.service.question import Answer

FILE = "answers.sqlite"
WAIT = 60.0  # seconds for another process to end its writing
BATCH = 500
SECONDS = 0.5  # that an answer may wait to be written


def answer_key(asker: str, model: str, body: bytes) -> bytes:
    """What an answer is kept under: who asks, whom, and the request's JSON."""
    digest = blake2b(f"{asker}\0{model}\0".encode(), digest_size=16)
    digest.update(body)
    return digest.digest()


class Answers:
    """Texts of answers in an SQLite file of a folder, which several processes may use at once."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE
        self._fresh: dict[bytes, str] = {}
        self._since = 0.0
        with self._complaints(ValueError):
            folder.mkdir(parents=True, exist_ok=True)
            self._store = sqlite3.connect(self.file, timeout=WAIT, isolation_level=None, check_same_thread=False)
            self._store.execute("PRAGMA journal_mode=WAL")
            self._store.execute("PRAGMA synchronous=NORMAL")
            self._store.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer TEXT) WITHOUT ROWID")

    def find(self, key: bytes, model: str) -> Answer | None:
        """The answer kept under this key; its usage says that it was kept."""
        with self._complaints():
            if (text := self._fresh.get(key)) is None:
                row = self._store.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
                if row is None:
                    return None
                text = row[0]
            said, served, logprobs = json.loads(text)
            return Answer(said, {model: {"kept": 1}}, served, logprobs)

    def keep(self, key: bytes, answer: Answer) -> None:
        """Keep an answer."""
        if not self._fresh:
            self._since = time.monotonic()
        self._fresh[key] = json.dumps([answer.text, answer.model, answer.logprobs])
        if len(self._fresh) >= BATCH or time.monotonic() - self._since > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what has waited."""
        fresh, self._fresh = self._fresh, {}
        if fresh:
            with self._complaints():
                self._store.execute("BEGIN IMMEDIATE")
                self._store.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", fresh.items())
                self._store.execute("COMMIT")

    def close(self) -> None:
        self.flush()
        self._store.close()

    @contextmanager
    def _complaints(self, kind: type[Exception] = GradingStopped) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, ValueError, LookupError, TypeError) as problem:
            raise kind(
                f"the cache {self.file} cannot be used ({problem}); delete it, name another folder, or leave it out"
            ) from problem
