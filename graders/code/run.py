"""Running a candidate: each case in a jailed process of its own, which is told the input and answers with a claim."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

from graders.code.display import printable
from graders.code.languages import Language, Message
from graders.sandbox.fork_server import Profile
from graders.sandbox.jail.frames import FrameError
from graders.sandbox.jail.limits import Limits
from graders.sandbox.pool import pool
from graders.sandbox.process import EndedError, JailedProcess, ServerFailedError, TimeUpError

START_SECONDS = 10.0
LONGEST_WORDS = 200  # of what a candidate raised
TROUBLE = (TimeUpError, EndedError, FrameError)
VIOLATION = "made a system call that the sandbox forbids"

Thing = TypeVar("Thing")


class Outcome(NamedTuple):
    """What came of one run: the claim, or the problem as a clause such as "raised ValueError: no (line 3)"."""

    claim: Any = None  # the encoded value, or the text that was printed
    problem: str = ""
    kind: str = "code_error"
    hopeless: bool = False  # whether no other input can help: it does not compile, or has no such function
    seconds: float = 0.0  # that it ran


class Runner(NamedTuple):
    """How code is run: what its processes are forked from, what they may use, and for how many seconds."""

    language: Language
    profile: Profile
    limits: Limits
    seconds: float

    def value(self, source: str, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Outcome:
        """What a function returns, in a fresh process. Raises RefusedError, OverloadedError, ServerFailedError."""
        language = self.language

        def attempt() -> Outcome:
            with pool().fresh(self.profile, self.limits) as process:
                talk = Talk(process, self.seconds, [language.load(source), language.call(function, args, kwargs)])
                try:
                    found = _value(talk)
                except TROUBLE as problem:
                    found = self.ended(process, problem)
                return found._replace(seconds=talk.seconds())

        return pool().insist(attempt)

    def output(self, source: str, stdin: str) -> Outcome:
        """What a program prints, in a fresh process; what is raised is as for `value`."""
        return pool().insist(lambda: self._printed(source, stdin))

    def fault_of_prefix(self, prefix: str, stdin: str | None) -> str:
        """What keeps any code behind a prefix from running, as a clause; `stdin` is None where no program is run.

        The prefix is run without the code, whose word on where it failed is only a claim. Raises as `value`.
        """
        beginning, fault = self.language.beginning(prefix)
        if fault:
            return fault
        outcome = self._loads(beginning) if stdin is None else self.output(beginning, stdin)
        if not prefix.startswith(beginning) and outcome.hopeless:
            return ""  # only the code completes it
        return outcome.problem if outcome.hopeless or outcome.problem.startswith("raised ") else ""

    def _loads(self, source: str) -> Outcome:
        def attempt() -> Outcome:
            with pool().fresh(self.profile, self.limits) as process:
                talk = Talk(process, self.seconds, [self.language.load(source)])
                try:
                    (answer,) = talk.answers()
                    return problem_in(answer) or Outcome()
                except TROUBLE as problem:
                    return self.ended(process, problem)

        return pool().insist(attempt)

    def _printed(self, source: str, stdin: str) -> Outcome:
        with _file(stdin.encode("utf-8", "surrogateescape")) as given, _file() as printed:
            with pool().fresh(self.profile, self.limits, (given, printed)) as process:
                outcome = self._ran(process, source)
            if os.fstat(printed).st_size >= self.limits.output:
                return Outcome(problem=f"printed {self.limits.output // 1024:,} kB, and must print less")
            text = os.pread(printed, self.limits.output, 0)
        return outcome if outcome.problem else outcome._replace(claim=text.decode("utf-8", "surrogateescape"))

    def _ran(self, process: JailedProcess, source: str) -> Outcome:
        talk = Talk(process, self.seconds, [self.language.program(source)])
        try:
            found = _exit(talk)
        except TROUBLE as problem:
            found = self.ended(process, problem)
            if isinstance(problem, EndedError) and process.status == 0:
                found = Outcome()
        return found._replace(seconds=talk.seconds())

    def ended(self, process: JailedProcess, problem: Exception) -> Outcome:
        """What the end of a process means for the candidate. Raises KilledError where it was killed from outside."""
        told = process.ending(problem)
        if isinstance(problem, TimeUpError):
            return Outcome(problem=f"took longer than {self.seconds:g} s", kind="timeout")
        return Outcome(problem=told, kind="sandbox_violation" if told == VIOLATION else "code_error")


class Talk:
    """Messages to a process, all sent at once, and the answer to each, within a time that starts when it is ready."""

    def __init__(self, process: JailedProcess, seconds: float, messages: Sequence[Message]) -> None:
        self.process, self.messages = process, messages
        for number, message in enumerate([{"ready": True}, *messages]):
            process.send({"id": number, **message})
        wait_until_ready(process)
        self.started = time.monotonic()
        self.deadline = self.started + seconds

    def seconds(self) -> float:
        """The time since the process was ready."""
        return time.monotonic() - self.started

    def answers(self) -> Iterator[dict[str, Any]]:
        for number in range(1, len(self.messages) + 1):
            yield answer_to(self.process, number, self.deadline)


def _value(talk: Talk) -> Outcome:
    for answer in talk.answers():
        if problem := problem_in(answer):
            return problem
        if "value" in answer:
            return Outcome(answer["value"])
    raise FrameError("an answer without a value")


def _exit(talk: Talk) -> Outcome:
    (answer,) = talk.answers()
    if problem := problem_in(answer):
        return problem
    code = answer.get("exit")
    if type(code) is not int:
        raise FrameError("an answer without an exit code")
    return Outcome(problem=f"ended with exit code {code}") if code else Outcome()


def wait_until_ready(process: JailedProcess) -> None:
    """Wait until a process has answered that it is there. Whatever hinders it is no fault of a candidate's.

    Raises ServerFailedError, or KilledError.
    """
    try:
        answer_to(process, 0, time.monotonic() + START_SECONDS)
    except TROUBLE as problem:
        raise ServerFailedError(f"a jailed process did not start: it {process.ending(problem)}") from None


def answer_to(process: JailedProcess, number: int, deadline: float) -> dict[str, Any]:
    """The next message, which must be the answer to this one; raises as `JailedProcess.receive`."""
    answer = process.receive(deadline)
    if answer.get("id") != number:
        raise FrameError("an answer to another question")
    return answer


def problem_in(answer: Mapping[str, Any]) -> Outcome | None:
    """The outcome that an answer tells of where it holds no claim."""
    if "unusable" in answer:
        return Outcome(problem=f"returned {words(answer['unusable'])}")
    if "raised" not in answer:
        return None
    if answer.get("missing") is True:
        return Outcome(problem=words(answer.get("says")).replace("the code defines", "defines", 1), hopeless=True)
    raised = last_line(answer.get("detail"))
    if answer.get("compiles") is False:
        return Outcome(problem=f"does not compile: {raised}", hopeless=True)
    return Outcome(problem=f"raised {raised}")


def last_line(traceback: Any) -> str:
    """The last line of a traceback, and the line of the code that it comes from."""
    lines = traceback.strip().splitlines() if type(traceback) is str else []
    places = re.findall(r'File "<(?:code|tests)>", line (\d{1,9})', traceback) if lines else []
    place = f" (line {places[-1]})" if places else ""
    return words(lines[-1] if lines else "an exception") + place + _hint(lines[-1] if lines else "")


def _hint(said: str) -> str:
    return "; name its distribution in `packages`" if said.startswith("ModuleNotFoundError: No module named") else ""


def words(told: Any, limit: int = LONGEST_WORDS) -> str:
    """What a candidate's process said, fit to be shown: one line, nothing in it that a terminal or a log obeys."""
    text = told if type(told) is str else "something"
    return printable(text[:limit]) + "…" * (len(text) > limit)


@contextmanager
def _file(content: bytes = b"") -> Iterator[int]:
    """The descriptor of a file in memory, at its beginning."""
    descriptor = os.memfd_create("stream", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def spread(work: Callable[[int], Thing], count: int, ends: Callable[[Thing], bool] = lambda _: False) -> list[Thing]:
    """What `work` returns for 0, 1, 2, ..., some at the same time, up to the first that `ends` it.

    The caller's thread works too and waits for no other that waits itself, so that any number of callers come to an
    end. What the first raises is raised.
    """
    done: dict[int, Thing] = {}
    failed: dict[int, BaseException] = {}
    numbers = iter(range(count))
    lock = threading.Lock()

    def go() -> None:
        while True:
            with lock:
                number = next(numbers, None) if not failed else None
            if number is None:
                return
            try:
                done[number] = work(number)
                over = ends(done[number])
            except BaseException as problem:
                failed[number] = problem
                return
            if over:
                with lock:
                    for _ in numbers:  # nobody takes another
                        pass
                return

    helpers = [threading.Thread(target=go, daemon=True) for _ in range(min(count, pool().settings.processes) - 1)]
    for helper in helpers:
        helper.start()
    go()
    for helper in helpers:
        helper.join()
    found: list[Thing] = []
    for number in range(count):
        if number in failed:
            raise failed[number]
        if number not in done:
            break
        found.append(done[number])
        if ends(done[number]):
            break
    return found
