"""What a jailed process does: load source code, call it, and answer what came out, frame by frame.

It sends claims and no verdicts, and never holds what is expected. Whatever it runs may do as it likes with this
process; what it could reach from here is the jail's business (`confine`).
"""

from __future__ import annotations

import io
import linecache
import math
import numbers
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from .escapes import tried
from .frames import HEADER, packed, parsed
from .plain import NotPlainError, decoded, encoded

CHANNEL = 3
LONGEST_DETAIL = 4000  # characters of a traceback
MODULE = "submission"


class Channel:
    """Frames over the one descriptor that a jailed process has beside its standard streams."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self._stream = io.BufferedReader(io.FileIO(CHANNEL, "r", closefd=False), 2**16)

    def receive(self) -> dict[str, Any] | None:
        header = self._stream.read(HEADER)
        if len(header) < HEADER:
            return None
        content = self._stream.read(int.from_bytes(header, "big"))
        return parsed(content)

    def send(self, message: dict[str, Any]) -> None:
        frame = packed(message)
        if len(frame) > self.longest + HEADER:
            size = f"an answer of {len(frame):,} bytes; it may have {self.longest:,}"
            frame = packed({"id": message.get("id"), "unusable": size})
        view = memoryview(frame)
        while view:
            view = view[os.write(CHANNEL, view) :]


class Raised(Exception):  # noqa: N818 - it carries what another's code raised
    """What the code that was run raised, as a message."""

    def __init__(self, problem: BaseException, filename: str) -> None:
        self.message = {"raised": type(problem).__name__, "detail": _told(problem, filename)}


def serve(channel: Channel) -> None:
    """Do what each frame says, until there are no more."""
    namespace: dict[str, Any] = {}
    filename = "<source>"
    while (message := channel.receive()) is not None:
        number = message.get("id")
        try:
            if "load" in message:
                filename = message["filename"]
                namespace = _loaded(message["load"], filename, MODULE)
                answer: dict[str, Any] = {"loaded": True}
            elif "score" in message:
                answer = _scored(_function(namespace, message["score"]), message["with"], filename)
            elif "call" in message:
                answer = _called(_function(namespace, message["call"]), message, filename)
            elif "program" in message:
                answer = _ran(message["program"], message["filename"], message["id"], channel)
            elif "test" in message:
                answer = _tested(message, channel)
            elif "draw" in message:
                answer = _drawn(namespace, message, filename)
            else:
                answer = {"tried": tried()}
        except Raised as problem:
            answer = problem.message
        except NotPlainError as problem:
            answer = {"unusable": str(problem)}
        channel.send({"id": number, **answer})


def _loaded(source: str, filename: str, name: str) -> dict[str, Any]:
    """The namespace of a module with this source, run."""
    module = type(sys)(name)
    module.__file__ = filename
    sys.modules[name] = module
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    _run(lambda: exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__), filename)
    return module.__dict__


def _run(act: Callable[[], Any], filename: str) -> Any:
    try:
        return act()
    except BaseException as problem:  # SystemExit and KeyboardInterrupt too: the code is not ours
        raise Raised(problem, filename) from None


def _told(problem: BaseException, filename: str) -> str:
    """The traceback, from the first line of the code that was run."""
    try:
        lines = traceback.TracebackException.from_exception(problem, limit=-20)
        while lines.stack and lines.stack[0].filename != filename and any(f.filename == filename for f in lines.stack):
            del lines.stack[0]
        told = "".join(lines.format())
    except BaseException:  # an exception whose own text raises
        told = type(problem).__name__
    return told if len(told) <= LONGEST_DETAIL else f"{told[: LONGEST_DETAIL // 2]}…{told[-LONGEST_DETAIL // 2 :]}"


def _function(namespace: dict[str, Any], name: str) -> Any:
    if name not in namespace:
        functions = [key for key, value in namespace.items() if callable(value) and not key.startswith("_")]
        there = f"it defines {', '.join(functions[:10])}" if functions else "it defines no function"
        raise Raised(NameError(f"the code defines no {name!r}; {there}"), "")
    return namespace[name]


def _scored(function: Any, arguments: list[Any], filename: str) -> dict[str, Any]:
    """A number that a grader's function returned."""
    found = _run(lambda: function(*arguments), filename)
    kind = type(found)
    if kind is not float and kind is not int:
        if kind is bool or not isinstance(found, numbers.Real):
            return {"wrong": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")}
        found = _run(lambda: float(found), filename)
    try:
        found = float(found)
    except OverflowError:
        return {"score": "inf"}
    return {"score": found if math.isfinite(found) else repr(found)}


def _called(function: Any, message: dict[str, Any], filename: str) -> dict[str, Any]:
    arguments = [decoded(argument) for argument in message.get("args", [])]
    named = {name: decoded(argument) for name, argument in message.get("kwargs", {}).items()}
    found = _run(lambda: function(*arguments, **named), filename)
    return {"value": _run_encoding(found, filename)}


def _run_encoding(found: Any, filename: str) -> Any:
    try:
        return encoded(found)
    except NotPlainError:
        raise
    except BaseException as problem:  # methods of the value's own
        raise Raised(problem, filename) from None


def _ran(source: str, filename: str, number: Any, channel: Channel) -> dict[str, Any]:
    """The exit code of a program; what it printed stands in its output file."""
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)), encoding="utf-8")
    out = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(1, "w", closefd=False), 2**16), encoding="utf-8", errors="backslashreplace"
    )
    sys.stdout = out
    sys.argv = [filename]
    leave = os._exit

    def end(code: int) -> None:  # the output is what counts; the code it ends with is a claim like any other
        channel.send({"id": number, "exit": int(code)})
        leave(0)

    os._exit = end  # type: ignore[assignment]
    try:
        _loaded(source, filename, "__main__")
        code = 0
    except Raised as problem:
        found = problem.__context__
        if not isinstance(found, SystemExit):
            _run(out.flush, filename)
            raise
        code = 0 if found.code is None else found.code if isinstance(found.code, int) else 1
    _run(out.flush, filename)
    return {"exit": code}


def _tested(message: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """Whether an author's tests pass, with the tested function in another process: here it is a name that asks."""
    asked = 0

    def candidate(*args: Any, **kwargs: Any) -> Any:
        nonlocal asked
        asked += 1
        named = {name: encoded(value) for name, value in kwargs.items()}
        channel.send({"id": message["id"], "ask": asked, "args": [encoded(value) for value in args], "kwargs": named})
        answer = channel.receive()
        if answer is None:
            os._exit(1)
        if "value" not in answer:
            raise AssertionError(answer.get("problem", "no answer"))
        return decoded(answer["value"])

    filename = message["filename"]
    module = type(sys)(MODULE)
    setattr(module, message["function"], candidate)
    module.__dict__["candidate"] = candidate
    sys.modules[MODULE] = module
    source = message["test"]
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    names = module.__dict__

    def run() -> int:
        exec(compile(source, filename, "exec", dont_inherit=True), names)
        return _run_tests(names, candidate)

    count = _run(run, filename)
    return {"passed": count}


def _run_tests(names: dict[str, Any], candidate: Any) -> int:
    """How many tests ran, all of them passed: `check(candidate)`, unittest's cases, and functions `test_...`."""
    count = 0
    if callable(check := names.get("check")):
        check(candidate)
        count += 1
    for name, value in list(names.items()):
        if name.startswith("test") and callable(value) and not isinstance(value, type):
            value()
            count += 1
    unittest = sys.modules.get("unittest")
    if unittest is not None:
        loader = unittest.TestLoader()
        for value in list(names.values()):
            if isinstance(value, type) and issubclass(value, unittest.TestCase) and value.__module__ == MODULE:
                outcome = unittest.TestResult()
                loader.loadTestsFromTestCase(value).run(outcome)
                count += outcome.testsRun - len(outcome.skipped)
                for _, told in [*outcome.errors, *outcome.failures]:
                    raise AssertionError(told)
                if outcome.unexpectedSuccesses:
                    raise AssertionError("a test that should fail passed")
    return count


def _drawn(namespace: dict[str, Any], message: dict[str, Any], filename: str) -> dict[str, Any]:
    """Argument lists, drawn from `arguments`: a function of a random.Random, or a hypothesis strategy."""
    import random

    source = _function(namespace, "arguments")
    count, seed = message["count"], message["draw"]

    def draw() -> list[Any]:
        if callable(source) and not hasattr(source, "example"):
            return [source(random.Random(f"{seed}:{number}")) for number in range(count)]
        return _examples(source, count, seed)

    found = _run(draw, filename)
    for arguments in found:
        if not isinstance(arguments, (list, tuple)):
            kind = type(arguments).__name__
            raise NotPlainError(f"`arguments` gave {kind}; it must give the list of a call's arguments")
    return {"drawn": [[encoded(argument) for argument in arguments] for arguments in found]}


def _examples(strategy: Any, count: int, seed: int) -> list[Any]:
    import hypothesis

    found: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(arguments: Any) -> None:
        found.append(arguments)

    collect()
    return found
