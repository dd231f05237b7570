"""Answers: what judges said, by who asked what of which model, kept in an SQLite file for other runs.

Answers are written in batches: a kill loses those of the last moments, whose rows were not recorded either.
"""

from __future__ import annotations

import json
import threading
import time
from hashlib import blake2b
from pathlib import Path

from graders.grade import GradingStopped
from graders.kept import Kept, KeptError
from graders.service.question import Answer

FILE = "answers.sqlite"
BATCH = 500
SECONDS = 0.5  # that an answer may wait to be written


def answer_key(asker: str, model: str, body: bytes) -> bytes:
    """What an answer is kept under: who asks, whom, and the request's JSON."""
    digest = blake2b(f"{asker}\0{model}\0".encode(), digest_size=16)
    digest.update(body)
    return digest.digest()


class Answers:
    """Texts of answers in an SQLite file of a folder, which several processes may use at once.

    Raises ValueError where the file cannot be opened, GradingStopped where it cannot be used later.
    """

    def __init__(self, folder: Path) -> None:
        self._fresh: dict[bytes, str] = {}
        self._since = 0.0
        self._lock = threading.Lock()
        self._kept = Kept(folder, FILE, "answers")

    def find(self, key: bytes, model: str) -> Answer | None:
        """The answer kept under this key; its usage says that it was kept."""
        try:
            with self._kept.complaints():
                if (text := self._fresh.get(key) or dict(self._kept.find([key])).get(key)) is None:
                    return None
                said, served, logprobs = json.loads(text)
        except KeptError as problem:
            raise GradingStopped(str(problem)) from problem
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
                self._kept.keep(self._fresh.items())
            except KeptError as problem:
                raise GradingStopped(str(problem)) from problem
            self._fresh = {}

    def close(self) -> None:
        """Write what has waited, and close the file."""
        try:
            self.flush()
        finally:
            self._kept.close()
