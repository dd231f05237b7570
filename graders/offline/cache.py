"""Cache: grades by what gave them, the grader's hash and the hash of what it was given, for runs to come.

Only decided grades are kept: what could not be decided is asked again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from graders.grade import Grade
from graders.kept import Kept

FILE = "grades.sqlite"


def cache_key(identity: str, given: bytes) -> bytes:
    """What a grade is kept under: the grader's hash and that of item and sample."""
    return blake2b(identity.encode() + b"\0" + given, digest_size=16).digest()


class Cache:
    """Grades in an SQLite file of a folder, which several processes may use at once."""

    def __init__(self, folder: Path) -> None:
        self._kept = Kept(folder, FILE, "grades")

    def close(self) -> None:
        self._kept.close()

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Grade]:
        """The grades that are kept under these keys."""
        with self._kept.complaints():
            return {key: Grade.from_wire(json.loads(text)) for key, text in self._kept.find(keys)}

    def keep(self, grades: Sequence[tuple[bytes, Grade, str]]) -> None:
        """Keep the decided ones of some grades, each given with its key and its JSON text."""
        decided = [(key, text) for key, grade, text in grades if grade.score is not None]
        if decided:
            self._kept.keep(decided)
