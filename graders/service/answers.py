"""Answers: what judges said, by who asked what of which model, kept in an SQLite file for other runs.

Answers are written in batches: a kill loses those of the last moments, whose rows were not recorded either.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from hashlib import blake2b
from pathlib import Path

from graders.grade import GradingStopped
from graders.service.question import Answer

FILE = "answers.sqlite"
WAIT = 60.0  # seconds for another process to end its writing
BATCH = 500
SECONDS = 0.5  # that an answer may wait to be written
PROBLEMS = (sqlite3.Error, OSError, ValueError, LookupError, TypeError)  # of a file that is none of ours, or broken


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
        self._lock = threading.Lock()  # one transaction at a time, whichever thread asks
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._store = sqlite3.connect(self.file, timeout=WAIT, isolation_level=None, check_same_thread=False)
            self._open()
        except PROBLEMS as problem:
            raise ValueError(self._complaint(problem)) from problem

    def _open(self) -> None:
        try:
            self._store.execute("PRAGMA journal_mode=WAL")
            self._store.execute("PRAGMA synchronous=NORMAL")
            self._store.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer TEXT) WITHOUT ROWID")
        except BaseException:
            self._store.close()
            raise

    def find(self, key: bytes, model: str) -> Answer | None:
        """The answer kept under this key; its usage says that it was kept."""
        try:
            if (text := self._fresh.get(key)) is None:
                with self._lock:
                    row = self._store.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
                if row is None:
                    return None
                text = row[0]
            said, served, logprobs = json.loads(text)
        except PROBLEMS as problem:
            raise GradingStopped(self._complaint(problem)) from problem
        return Answer(said, {model: {"kept": 1}}, served, logprobs)

    def keep(self, key: bytes, answer: Answer) -> None:
        """Keep an answer."""
        text = json.dumps([answer.text, answer.model, answer.logprobs])
        with self._lock:
            if not self._fresh:
                self._since = time.monotonic()
            self._fresh[key] = text
            due = len(self._fresh) >= BATCH or time.monotonic() - self._since > SECONDS
        if due:
            self.flush()

    def flush(self) -> None:
        """Write what has waited."""
        with self._lock:
            if not self._fresh:
                return
            try:
                self._store.execute("BEGIN IMMEDIATE")
                self._store.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", self._fresh.items())
                self._store.execute("COMMIT")
            except PROBLEMS as problem:
                raise GradingStopped(self._complaint(problem)) from problem
            self._fresh = {}

    def close(self) -> None:
        """Write what has waited, and close the file."""
        try:
            self.flush()
        finally:
            self._store.close()

    def _complaint(self, problem: Exception) -> str:
        return f"the cache {self.file} cannot be used ({problem}); delete it, name another folder, or leave it out"
