"""Scores: the answers of a python grader's `grade`, called in the sandbox."""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from graders.code.display import printable
from graders.grade import Grade
from graders.sandbox.fork_server import Profile
from graders.sandbox.jail.frames import HEADER, FrameError
from graders.sandbox.jail.limits import Limits
from graders.sandbox.pool import Pool, pool
from graders.sandbox.process import EndedError, JailedProcess, KilledError, TimeUpError
from graders.sandbox.warm import Warm

BATCH = 64  # calls that go out together
AUDITED = 100  # one call of so many, by its arguments, is made again in a fresh process
AHEAD_BYTES = 2**20  # of calls that are sent before the answers to earlier ones are there
LONGEST_NAME = 200  # characters
FILENAME = "<grader>"
SHAPES = [{"id", *keys} for keys in (("loaded",), ("score",), ("wrong",), ("raised", "says", "detail"))]
"""The keys that answers have."""
FIND_CORPORA = "import nltk\nnltk.data.path[:0] = {}\n"  # what tells nltk is not there in the jail: a home, variables

WRONG = {
    "NoneType": "None: a path through it ends without `return`; return a float",
    "bool": "True or False: return a float, as in float(a == b)",
    "numpy.bool": "True or False of numpy's: return a float, as in float(a == b)",
    "str": "a text: return a float",
}
"""What to say of a result that is no number, by its type."""


def scores(
    source: str,
    profile: Profile,
    limits: Limits,
    seconds: float,
    arguments: Sequence[bytes],
    alone: bool = False,
    where: Pool | None = None,
) -> list[Grade]:
    """The grade of each call, in order; `arguments` are `[sample, item]` as JSON, `seconds` is for each call.

    `alone` gives each call a process of its own. What goes wrong in a call is its grade, undecided. Some calls, chosen
    by their arguments, are made again in a fresh process; what comes out differently is undecided.
    Raises RefusedError, OverloadedError, ServerFailedError.
    """
    calls = _Calls(where or pool(), source, profile, limits, seconds, alone)
    found = calls.all(arguments, calls.made)
    audited = [
        place
        for place, (call, grade) in enumerate(zip(arguments, found, strict=True))
        if grade.score is not None and zlib.crc32(call) % AUDITED == 0
    ]
    again = calls.all([arguments[place] for place in audited], calls.made_fresh)
    for place, other in zip(audited, again, strict=True):
        found[place] = calls.compared(found[place], other)
    return found


class _Calls:
    """Calls of one grader."""

    def __init__(self, where: Pool, source: str, profile: Profile, limits: Limits, seconds: float, alone: bool) -> None:
        self.pool, self.source, self.profile, self.limits = where, source, profile, limits
        self.seconds = seconds
        self.alone = alone
        standing = where.check(profile)
        self.level = standing.recorded

    def all(self, arguments: Sequence[bytes], made: Callable[[Sequence[bytes]], list[Grade]]) -> list[Grade]:
        """The grades of all calls; where one ends its process, another goes on with those behind it."""
        found: list[Grade] = []
        while len(found) < len(arguments):
            rest = arguments[len(found) :]
            found += self.pool.insist(lambda rest=rest: made(rest))  # type: ignore[misc]
        return found

    def made(self, arguments: Sequence[bytes]) -> list[Grade]:
        """The grades of the first calls: as many as one process may make, or up to the one that ended it."""
        if self.alone or self.pool.settings.reuse == "batch":
            return self.made_fresh(arguments)
        key = (self.source, self.profile, self.limits)
        with self.pool.warm(key, self.profile, self.limits) as warm:
            return self._warm_answers(warm, arguments)

    def made_fresh(self, arguments: Sequence[bytes]) -> list[Grade]:
        with self._fresh() as process:
            return self._answers(process, arguments[: 1 if self.alone else BATCH], new=True)

    def compared(self, grade: Grade, other: Grade) -> Grade:
        """The grade, where the same call made again gave the same score."""
        if other.score == grade.score:
            return grade
        told = f"scored {other.score}" if other.score is not None else f"failed ({other.why})"
        detail = f"it scored {grade.score} and, called again in a fresh process, {told}: it keeps state or draws lots"
        return Grade.undecided("nondeterministic", detail, sandbox=self.level)

    def _fresh(self) -> AbstractContextManager[JailedProcess]:
        return self.pool.fresh(self.profile, self.limits)

    def _warm_answers(self, warm: Warm, arguments: Sequence[bytes]) -> list[Grade]:
        new, warm.calls = warm.calls == 0, warm.calls + len(arguments)
        return self._answers(warm.process, arguments, new)

    def _answers(self, process: JailedProcess, arguments: Sequence[bytes], new: bool) -> list[Grade]:
        if new and (problem := self._load(process)):
            return [self._undecided(problem)] * len(arguments)
        found: list[Grade] = []
        sent = ahead = 0
        try:
            for number, call in enumerate(arguments):
                end = number + BATCH if sent - number <= BATCH // 2 else sent
                while sent < min(end, len(arguments)) and (sent == number or ahead < AHEAD_BYTES):
                    process.send_packed(_call(sent, arguments[sent]))
                    ahead += len(arguments[sent])
                    sent += 1
                found.append(self._grade(self._next(process, number)))
                ahead -= len(call)
        except (TimeUpError, EndedError, FrameError) as problem:
            try:
                found.append(self._undecided(f"grade() {self._ending(process, problem)}"))
            except KilledError:
                if not found:
                    raise
        return found

    def _load(self, process: JailedProcess) -> str:
        """Load the source into a new process; why that failed, then the process has ended, or ""."""
        corpora = self.profile.readable[len(self.profile.packages) :]
        if corpora:
            process.send({"id": -2, "load": FIND_CORPORA.format(list(corpora)), "filename": "<nltk>"})
        process.send({"id": -1, "load": self.source, "filename": FILENAME})
        try:
            if corpora:
                self._next(process, -2)
            loaded = self._next(process, -1)
            if loaded.get("loaded") is True:
                return ""
            told = f"the source, while it was loaded, raised {_raised(loaded)}"
        except (TimeUpError, EndedError, FrameError) as problem:
            return f"the source, while it was loaded, {self._ending(process, problem)}"
        process.end()
        return told

    def _ending(self, process: JailedProcess, problem: Exception) -> str:
        told = process.ending(problem)
        return f"{told}: more than {self.seconds:g} s" if isinstance(problem, TimeUpError) else told

    def _next(self, process: JailedProcess, number: int) -> dict[str, Any]:
        message = process.receive(time.monotonic() + self.seconds)
        if type(message.get("id")) is not int or message["id"] != number:
            raise FrameError("an answer to another call")
        if message.keys() not in SHAPES:
            raise FrameError("an answer of another shape")
        return message

    def _grade(self, message: dict[str, Any]) -> Grade:
        score = message.get("score")
        if type(score) is float and math.isfinite(score):
            return Grade(score, f"grade() returned {score:g}", sandbox=self.level)
        if "raised" in message:
            return self._undecided(f"grade() raised {_raised(message)}")
        if "wrong" in message:
            kind = printable(_text(message, "wrong")[:LONGEST_NAME], keep="\n")
            told = WRONG.get(kind, f"a value of the type {kind}: return a float")
            return self._undecided(f"grade() returned {told}")
        if score in ("nan", "inf", "-inf"):
            return self._undecided(f"grade() returned {score}, which is no score")
        raise FrameError("an answer without a score")

    def _undecided(self, detail: str) -> Grade:
        return Grade.undecided("python_grader_runtime_error", detail.rstrip(), sandbox=self.level)


def _raised(message: dict[str, Any]) -> str:
    """What was raised, and below it the traceback, as far as it lies in the source."""
    kind, says, detail = (printable(_text(message, key), keep="\n") for key in ("raised", "says", "detail"))
    kind = kind[:LONGEST_NAME]
    first = says.partition("\n")[0]
    kept, keep = [f"{kind}: {first}" if first else kind], True
    for line in detail.rstrip().split("\n"):
        if line.startswith('  File "'):
            keep = line.startswith(f'  File "{FILENAME}"')
        elif not line.startswith("    "):
            keep = True
        if keep:
            kept.append(line)
    return "\n".join(kept)


def _text(message: dict[str, Any], key: str) -> str:
    found = message.get(key)
    if type(found) is not str:
        raise FrameError(f"an answer whose {key!r} is no text")
    return found


def _call(number: int, arguments: bytes) -> bytes:
    content = b'{"id":%d,"score":"grade","with":%b}' % (number, arguments)
    return len(content).to_bytes(HEADER, "big") + content
