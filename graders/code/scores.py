"""Scores: the answers of a python grader's `grade`, called in the sandbox."""

from __future__ import annotations

import ast
import sys
import time
import zlib
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from graders.grade import Grade
from graders.sandbox.fork_server import EndedError, JailedProcess, KilledError, Profile, TimeUpError
from graders.sandbox.jail.frames import HEADER, FrameError
from graders.sandbox.jail.limits import Limits
from graders.sandbox.pool import BATCH, Pool, Warm, pool

AUDITED = 100  # one call of so many, by its arguments, is made again in a fresh process
FILENAME = "<grader>"


def installed_profile(source: str) -> Profile:
    """What the fork server of a grader imports first: the installed modules that the source names."""
    folders = [path for path in sys.path if path.endswith("-packages") and Path(path).is_dir()]
    named: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            named.add(node.module)
    return Profile(
        tuple(sorted(name for name in named if _is_installed(name, folders))), tuple(folders), tuple(folders)
    )


def _is_installed(name: str, folders: list[str]) -> bool:
    root = name.partition(".")[0]
    return root not in sys.stdlib_module_names and PathFinder.find_spec(root, folders) is not None


def scores(
    source: str, profile: Profile, limits: Limits, seconds: float, arguments: Sequence[bytes], where: Pool | None = None
) -> list[Grade]:
    """The grade of each call, in order; `arguments` are `[sample, item]` as JSON, `seconds` is for each call.

    What goes wrong in a call is its grade, undecided. Raises RefusedError, OverloadedError, ServerFailedError.
    """
    calls = _Calls(where or pool(), source, profile, limits, seconds)
    found: list[Grade] = []
    while len(found) < len(arguments):
        rest = arguments[len(found) : len(found) + BATCH]
        found += calls.pool.insist(lambda rest=rest: calls.made(rest))  # type: ignore[misc]
    for place, (call, grade) in enumerate(zip(arguments, found, strict=True)):
        if grade.score is not None and zlib.crc32(call) % AUDITED == 0:
            found[place] = calls.audited(call, grade)
    return found


class _Calls:
    def __init__(self, where: Pool, source: str, profile: Profile, limits: Limits, seconds: float) -> None:
        self.pool, self.source, self.profile, self.limits, self.seconds = where, source, profile, limits, seconds
        standing = where.check(profile)
        self.level = standing.level if standing.level >= "S2" else f"{standing.level}, accepted"

    def made(self, arguments: Sequence[bytes]) -> list[Grade]:
        """The grades of the first calls: all of them, or up to the one that ended its process."""
        if self.pool.settings.reuse == "batch":
            with self.pool.fresh(self.profile, self.limits) as process:
                return self._answers(process, arguments, new=True)
        key = (self.source, self.profile, self.limits)
        with self.pool.warm(key, self.profile, self.limits) as warm:
            return self._warm_answers(warm, arguments)

    def audited(self, call: bytes, grade: Grade) -> Grade:
        def again() -> list[Grade]:
            with self.pool.fresh(self.profile, self.limits) as process:
                return self._answers(process, [call], new=True)

        (other,) = self.pool.insist(again)
        if other.score == grade.score:
            return grade
        told = f"scored {other.score}" if other.score is not None else f"failed ({other.why})"
        detail = f"it scored {grade.score} and, called again in a fresh process, {told}: it keeps state or draws lots"
        return Grade.undecided("nondeterministic", detail, sandbox=self.level)

    def _warm_answers(self, warm: Warm, arguments: Sequence[bytes]) -> list[Grade]:
        new, warm.calls = warm.calls == 0, warm.calls + len(arguments)
        return self._answers(warm.process, arguments, new)

    def _answers(self, process: JailedProcess, arguments: Sequence[bytes], new: bool) -> list[Grade]:
        found: list[Grade] = []
        try:
            if new:
                process.send({"id": -1, "load": self.source, "filename": FILENAME})
            for number, call in enumerate(arguments):
                process.send_packed(_call(number, call))
            if new:
                loaded = self._next(process, -1)
                if "raised" in loaded:
                    process.end()
                    told = f"the source raised while it was loaded: {loaded.get('detail')}"
                    return [self._undecided(told) for _ in arguments]
            for number in range(len(arguments)):
                found.append(self._grade(self._next(process, number)))  # noqa: PERF401 - what there is, counts
        except (TimeUpError, EndedError, FrameError) as problem:
            try:
                found.append(self._undecided(f"grade() {self._ending(process, problem)}"))
            except KilledError:
                if not found:
                    raise
        return found

    def _ending(self, process: JailedProcess, problem: Exception) -> str:
        told = process.ending(problem)
        return f"{told}: more than {self.seconds:g} s" if isinstance(problem, TimeUpError) else told

    def _next(self, process: JailedProcess, number: int) -> dict[str, Any]:
        message = process.receive(time.monotonic() + self.seconds)
        if message.get("id") != number:
            raise FrameError("an answer to another call")
        return message

    def _grade(self, message: dict[str, Any]) -> Grade:
        score = message.get("score")
        if type(score) is float:
            return Grade(score, f"grade() returned {score:g}", sandbox=self.level)
        if "wrong" in message:
            return self._undecided(f"grade() returned {message['wrong']}, and must return a float")
        if "raised" in message:
            return self._undecided(f"grade() raised {message['detail']}")
        if type(score) is str:
            return self._undecided(f"grade() returned {score}, which is no score")
        raise FrameError("an answer without a score")

    def _undecided(self, detail: str) -> Grade:
        return Grade.undecided("python_grader_runtime_error", detail.rstrip(), sandbox=self.level)


def _call(number: int, arguments: bytes) -> bytes:
    content = b'{"id":%d,"score":"grade","with":%b}' % (number, arguments)
    return len(content).to_bytes(HEADER, "big") + content
