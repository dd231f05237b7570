"""An author's tests, run in one jailed process while the tested function is in another: only plain data pass between.

The parent hands each call over. The process that knows what is expected never runs the candidate's code, and the one
that runs it never sees the tests.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from graders.code.cases import check_names
from graders.code.compare import Rules, canonical
from graders.code.run import TROUBLE, Runner, answer_to, problem_in, wait_until_ready, words
from graders.sandbox.jail.frames import FrameError, packed
from graders.sandbox.pool import pool
from graders.sandbox.process import JailedProcess, TimeUpError

FILENAME = "<tests>"


class Tried(NamedTuple):
    """One test. A test that skips itself, for what the function answered, has not passed."""

    name: str
    failure: str  # "" where it passed
    kind: str = ""  # of the error, where the candidate broke off


def run_tests(runner: Runner, source: str, function: str, tests: str, before: str) -> list[Tried]:
    """The outcome of each test, with `candidate` and `function` calling the candidate; `before` is known to the tests.

    Raises ValueError where the tests cannot be used, and RefusedError, OverloadedError, ServerFailedError.
    """

    def attempt() -> list[Tried]:
        with pool().fresh(runner.profile, runner.limits) as candidate:
            tester = candidate.server.spawn(runner.limits)  # the two take turns, so they share one of the pool's
            try:
                asked = {"test": tests, "function": function, "filename": FILENAME, "before": before}
                return _Exchange(runner, candidate, tester, function).outcomes(source, asked)
            finally:
                tester.end()

    return pool().insist(attempt)


class _Exchange:
    def __init__(self, runner: Runner, candidate: JailedProcess, tester: JailedProcess, function: str) -> None:
        self.runner, self.candidate, self.tester, self.function = runner, candidate, tester, function
        self.asked = 0
        self.over = ""  # why the candidate answers no more: then no test has passed, whatever the tests catch
        self.kind = ""

    def outcomes(self, source: str, asked: dict[str, Any]) -> list[Tried]:
        for process in (self.candidate, self.tester):
            process.send({"id": 0, "ready": True})
            wait_until_ready(process)
        self.deadline = time.monotonic() + self.runner.seconds
        self.tester.send({"id": 1, **asked})
        self.candidate.send({"id": 1, **self.runner.language.load(source)})
        while True:
            try:
                message = answer_to(self.tester, 1, self._tests_deadline())
                if "ask" not in message:
                    return self._read(message)
                self.asked += 1
                self.tester.send({"id": 1, **self._answer(message)})
            except TROUBLE as problem:
                return self._without_end(problem)

    def _tests_deadline(self) -> float:
        return self.deadline + (self.runner.seconds if self.over else 0)  # the tests may yet be at fault

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """What the candidate answers to a call, as the tests are told it."""
        if self.over:
            return {"problem": self.over}
        call = self.runner.language.call(self.function, question["args"], question["kwargs"])
        self.candidate.send({"id": self.asked + 1, **call})
        try:
            if self.asked == 1 and (problem := problem_in(answer_to(self.candidate, 1, self.deadline))):
                return self._told(problem.problem, problem.kind)
            answer = answer_to(self.candidate, self.asked + 1, self.deadline)
            if problem := problem_in(answer):
                if problem.hopeless:
                    return self._told(problem.problem, problem.kind)
                return {"problem": problem.problem, "raised": _text(answer, "raised"), "says": _text(answer, "says")}
            return {"value": _checked(answer)}
        except TROUBLE as problem:
            ended = self.runner.ended(self.candidate, problem)
            return self._told(ended.problem, ended.kind)

    def _told(self, problem: str, kind: str) -> dict[str, Any]:
        self.over, self.kind = f"the code {problem}", kind
        return {"problem": self.over}

    def _read(self, message: dict[str, Any]) -> list[Tried]:
        if "broken" in message or "raised" in message:
            raise ValueError(f"they cannot be run: {words(message.get('broken', message.get('detail')))}")
        if "tests" not in message:
            told = f"they sent {words(message.get('unusable'))}; output_kb says how much"
            if not self.asked:
                raise ValueError(told)
            return [Tried("the tests", told, "code_error")]  # it may come of what the code answered
        if not self.asked:
            raise ValueError("they never call the function, so that any code would pass")
        found = [
            Tried(words(name), self.over or self._failure(outcome, detail), self.kind)
            for name, outcome, detail in message["tests"]
        ]
        if not found:
            raise ValueError("they hold no test: write check(candidate), functions test_..., or unittest's classes")
        check_names(test.name for test in found)
        return found

    def _failure(self, outcome: str, detail: str) -> str:
        if outcome == "passed":
            return ""
        return "it skipped itself" if outcome == "skipped" else words(detail) or "it failed"

    def _without_end(self, problem: Exception) -> list[Tried]:
        told = self.tester.ending(problem)
        if isinstance(problem, TimeUpError):
            told = f"took longer than {self.runner.seconds:g} s"
        if not self.asked:
            raise ValueError(f"they {told}, before they called the function")
        kind = self.kind or ("timeout" if isinstance(problem, TimeUpError) else "code_error")
        return [Tried("the tests", self.over or f"the tests {told}, on what the code answered", kind)]


def _text(answer: dict[str, Any], key: str) -> str:
    found = answer.get(key)
    return found if type(found) is str else ""


def _checked(answer: dict[str, Any]) -> Any:
    """The claim in an answer, which the tests may be told. Raises FrameError for one that is no value."""
    if "value" not in answer:
        raise FrameError("an answer without a value")
    try:
        canonical(answer["value"], Rules())
        packed(answer)
    except (ValueError, RecursionError, OverflowError) as problem:
        raise FrameError(f"what is no value: {words(str(problem))}") from None
    return answer["value"]
