"""An author's tests in a jailed process, with the tested function in another: here it is a name that asks for it."""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import os
import reprlib
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from .plain import NotPlainError, TooDeepError, decoded, encoded
from .reading import ONE_FUNCTION, bound_names, use_as_class
from .running import MODULE, Channel, Raised, legible, loaded

NAMES = (MODULE, "solution")  # modules that tests may import the function from
ENDS = (StopIteration, StopAsyncIteration)  # in the tests' own map() they would look like its end


class CandidateError(Exception):
    """The tested function raised what has no name here."""


class CandidateGone(BaseException):
    """The tested function cannot answer: its process has ended, or its code does not load. Tests cannot catch it."""


class BrokenTestsError(Exception):
    """The tests ask what cannot be asked."""


class Candidate:
    """The tested function: a call is a question to whoever holds it."""

    def __init__(self, number: Any, channel: Channel, name: str) -> None:
        self.number, self.channel, self.name = number, channel, name
        self.__name__, self.__qualname__ = name.rpartition(".")[2], name
        self.asked = 0
        self.last = ""  # what it answered last
        self.broken = ""
        self.bound: frozenset[str] = frozenset()  # names that the tests bind somewhere
        self.no_function = ""  # why the tests ask for more than a function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            question = {
                "args": [encoded(value) for value in args],
                "kwargs": {name: encoded(value) for name, value in kwargs.items()},
            }
        except TooDeepError as problem:
            raise CandidateError(str(problem)) from None
        except NotPlainError as problem:
            if self.asked:  # it may be made of what the function answered
                raise CandidateError(f"the function is called with {problem}") from None
            self.broken = self.broken or f"the function is called with {problem}"
            raise BrokenTestsError(self.broken) from None
        self.asked += 1
        self.last = ""
        self.channel.send({"id": self.number, "ask": self.asked, **question})
        answer = self.channel.receive()
        if answer is None:
            os._exit(1)
        if "value" not in answer:
            raise _exception(answer)
        try:
            found = decoded(answer["value"])
        except (ValueError, TypeError, OverflowError, RecursionError) as problem:
            raise CandidateError(f"sent what is no value: {problem}") from None
        with suppress(ValueError, MemoryError):  # a number of more digits than Python writes
            self.last = f" (the last call returned {reprlib.repr(found):.100})"
        return found


def _exception(answer: dict[str, Any]) -> BaseException:
    """What the function raised, where it is one of Python's own exceptions: tests may expect it."""
    if "raised" not in answer:
        return CandidateGone(answer.get("problem", "no answer"))
    kind = getattr(builtins, answer["raised"], None)
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, ENDS):
        try:
            return kind(answer.get("says", ""))
        except TypeError:  # one that takes more than words
            pass
    return CandidateError(answer.get("problem", "no answer"))


def tested(message: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """Each test with its outcome: passed, failed or skipped. `broken` where the tests are at fault."""
    candidate, filename = Candidate(message["id"], channel, message["function"]), message["filename"]
    outcomes: list[list[str]] = []
    try:
        with suppress(SyntaxError, ValueError, MemoryError, RecursionError):  # told where the tests are run
            tree = ast.parse(message["test"])
            candidate.bound = bound_names(tree)
            candidate.no_function = use_as_class(tree, candidate.name)
        names = _prepared(message, candidate)
        before = dict(names)
        outcomes += _at_top_level(message["test"], filename, names, candidate)
        if not (outcomes and outcomes[0][1] == "failed"):
            for name, test in _tests(_new(names, before), candidate):
                outcomes += _outcomes(name, test, candidate, filename)
    except BrokenTestsError as problem:
        return {"broken": legible(str(problem))}
    if candidate.broken:
        return {"broken": candidate.broken}
    return {"tests": [list(map(legible, outcome)) for outcome in outcomes]}


def _prepared(message: dict[str, Any], candidate: Candidate) -> dict[str, Any]:
    """The tests' namespace: what stands before the answer, where that runs by itself, and the names of the function."""
    try:
        names = loaded(message["before"], "<prefix>", MODULE)
    except Raised:  # a beginning that only the answer completes
        names = loaded("", "<prefix>", MODULE)
    first, _, method = message["function"].partition(".")
    given = names.get(first)
    if method:
        names[first] = type(first, (), {method: staticmethod(candidate)})
    elif first:
        names[first] = candidate
    names["candidate"] = candidate
    for name in NAMES:
        sys.modules[name] = sys.modules[MODULE]
    if isinstance(given, type) and not method:
        raise BrokenTestsError(f"{ONE_FUNCTION}, and {first} is a class")
    if "unittest" in message["test"]:
        import unittest

        unittest.main = lambda *_, **__: None  # type: ignore[assignment]
    return names


def _at_top_level(source: str, filename: str, names: dict[str, Any], candidate: Candidate) -> list[list[str]]:
    """The module of the tests, run: a test of its own where it calls the function."""
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    try:
        exec(compile(source, filename, "exec", dont_inherit=True), names)
    except BaseException as problem:
        return [["the top level", "failed", _why(problem, candidate, filename)]]
    return [["the top level", "passed", ""]] if candidate.asked else []


def _new(names: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """What the tests have bound themselves."""
    return {
        name: value
        for name, value in names.items()
        if value is not before.get(name) and not isinstance(value, Candidate)
    }


def _tests(names: dict[str, Any], candidate: Candidate) -> Iterator[tuple[str, Callable[[], Any]]]:
    """`check(candidate)`, what is named `test...` and can be called, the methods `test...` of classes, unittest's."""
    if callable(check := names.get("check")):
        _check_runs("check", check)
        yield "check", lambda: check(candidate)
    for name, value in names.items():
        if name.startswith("test") and callable(value) and not isinstance(value, type):
            yield name, _bound(name, value, candidate)
    case: Any = getattr(sys.modules.get("unittest"), "TestCase", ())  # the tests have imported it, or have no class
    found = [value for value in names.values() if isinstance(value, type) and value.__module__ == MODULE]
    classes = list(dict.fromkeys(found))  # one may have two names
    for value in classes:
        if issubclass(value, case):
            yield value.__name__, value
        elif not any(other is not value and issubclass(other, value) for other in classes):  # else they are run there
            yield from _of_plain_class(value, candidate)


def _of_plain_class(case: type, candidate: Candidate) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The methods `test...` of a class as pytest runs them, each on an object of its own."""
    inner = [
        name for name in dir(case) if isinstance(getattr(case, name, None), type) and _methods(getattr(case, name))
    ]
    methods = _methods(case)
    refused = [name for name in ("setup_class", "teardown_class") if methods and hasattr(case, name)] + inner
    if refused:
        raise BrokenTestsError(f"{case.__name__}.{refused[0]} is not run; use setup_method, or a unittest.TestCase")
    for name in methods:
        yield f"{case.__name__}.{name}", _on_a_fresh_one(case, name, candidate)


def _methods(case: type) -> list[str]:
    return [name for name in dir(case) if name.startswith("test") and callable(getattr(case, name, None))]


def _on_a_fresh_one(case: type, name: str, candidate: Candidate) -> Callable[[], Any]:
    title = f"{case.__name__}.{name}"
    try:
        bare: Any = case.__new__(case)  # type: ignore[call-overload]
        inspect.signature(case).bind()
    except Exception as problem:
        raise BrokenTestsError(f"{title}: its class cannot be called without arguments: {problem}") from None
    _bound(title, getattr(bare, name), candidate)  # refused before anything is run

    def run_it() -> Any:
        owner = case()
        method = getattr(owner, name)
        _around(owner, "setup_method", method)
        try:
            return _bound(title, method, candidate)()
        finally:
            _around(owner, "teardown_method", method)

    return run_it


def _around(owner: Any, name: str, test: Any) -> None:
    """What stands around each test of a class; it may take the test."""
    if act := getattr(owner, name, None):
        act(*[test][: len(inspect.signature(act).parameters)])


def _check_runs(name: str, test: Any) -> None:
    """Raise BrokenTestsError for a test whose call runs nothing."""
    flags = getattr(getattr(test, "__code__", None), "co_flags", 0)
    if flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        raise BrokenTestsError(f"{name} is async, and async tests are not run; use unittest.IsolatedAsyncioTestCase")
    if flags & inspect.CO_GENERATOR:
        raise BrokenTestsError(f"{name} holds `yield`, so that calling it runs nothing")


def _bound(name: str, test: Any, candidate: Candidate) -> Callable[[], Any]:
    _check_runs(name, test)
    try:
        parameters = inspect.signature(test).parameters.values()
    except (TypeError, ValueError) as problem:
        raise BrokenTestsError(f"{name} cannot be called as a test: {problem}") from None
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    wanted = [one.name for one in parameters if one.default is one.empty and one.kind not in several]
    if wanted not in ([], ["candidate"]):
        raise BrokenTestsError(f"{name} takes {', '.join(wanted)}; a test may take `candidate`, and nothing else")
    return (lambda: test(candidate=candidate)) if wanted else lambda: test()


def _check_returned(name: str, found: Any, candidate: Candidate) -> None:
    """Raise BrokenTestsError for a test that returned something: nobody looks at it."""
    if found is None:
        return
    told = repr(found) if isinstance(found, bool) else f"a value of the type {type(found).__name__}"
    candidate.broken = candidate.broken or f"{name} returned {told}; assert it"
    raise BrokenTestsError(candidate.broken)


def _outcomes(name: str, test: Any, candidate: Candidate, filename: str) -> list[list[str]]:
    if isinstance(test, type):
        return _of_class(test, candidate, filename)
    asked = candidate.asked
    try:
        found = test()
    except BaseException as problem:
        if type(problem).__name__ == "SkipTest":
            return [[name, "skipped", ""]] if candidate.asked > asked else []
        return [[name, "failed", _why(problem, candidate, filename)]]
    _check_returned(name, found, candidate)
    return [[name, "passed", ""]]


def _of_class(case: Any, candidate: Candidate, filename: str) -> list[list[str]]:
    import unittest

    found: dict[str, list[str]] = {}

    class Record(unittest.TestResult):
        """The last word on each test, but a failure stands."""

        asked = 0

        def note(self, test: Any, outcome: str, said: str = "") -> None:
            name = test.id().removeprefix(f"{MODULE}.")
            if name not in found or found[name][1] == "passed":
                found[name] = [name, outcome, said]

        def startTest(self, test: Any) -> None:  # noqa: N802 - unittest's own names
            super().startTest(test)
            self.asked = candidate.asked

        def addSuccess(self, test: Any) -> None:  # noqa: N802
            self.note(test, "passed")

        def addError(self, test: Any, err: Any) -> None:  # noqa: N802
            self.note(test, "failed", _why(err[1], candidate, filename))

        def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802
            self.note(test, "failed", _why(err[1], candidate, filename))

        def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
            if err is not None:
                self.note(test, "failed", _why(err[1], candidate, filename))

        def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802
            if candidate.asked > self.asked:  # else it is skipped whatever the function does
                self.note(test, "skipped", reason)

        def addExpectedFailure(self, test: Any, err: Any) -> None:  # noqa: N802
            self.note(test, "passed")

        def addUnexpectedSuccess(self, test: Any) -> None:  # noqa: N802
            self.note(test, "failed", "it passed, and should fail")

    methods = unittest.defaultTestLoader.getTestCaseNames(case)
    for name in () if issubclass(case, unittest.IsolatedAsyncioTestCase) else methods:
        _check_runs(f"{case.__name__}.{name}", getattr(case, name))
    case._callTestMethod = _called_for(candidate)
    record = Record()
    record.asked = candidate.asked
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(record)
    return list(found.values())


def _called_for(candidate: Candidate) -> Callable[[Any, Any], None]:
    """How unittest calls a test's method, where what the method returns is looked at."""

    def call(self: Any, method: Any) -> None:
        found = self._callMaybeAsync(method) if hasattr(self, "_callMaybeAsync") else method()
        _check_returned(self.id().removeprefix(f"{MODULE}."), found, candidate)

    return call


def _why(problem: BaseException, candidate: Candidate, filename: str) -> str:
    """The line of the tests that failed, and what was raised. Raises BrokenTestsError where the tests are at fault."""
    if candidate.broken:
        raise BrokenTestsError(candidate.broken)
    try:
        lines = [frame.line for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == filename]
        raised = f"{type(problem).__name__}: {problem}".strip(": ")
    except BaseException:  # an exception whose own text raises
        lines, raised = [], type(problem).__name__
    missing = _missing_name(problem, candidate, filename)
    if missing or candidate.no_function or not candidate.asked:
        place = f" in {lines[-1]}" if lines else ""
        candidate.broken = candidate.no_function or f"{raised}{place}{missing}{_package(problem)}"
        raise BrokenTestsError(candidate.broken) from None
    return f"{lines[-1]}: {raised}{candidate.last}" if lines else f"{raised}{candidate.last}"


def _missing_name(problem: BaseException, candidate: Candidate, filename: str) -> str:
    """What to say of a name that the tests use and nobody defines; "" where it is not certain that they are at fault.

    What the function answered may keep the tests from binding a name of their own, and may be raised by them again.
    """
    name = getattr(problem, "name", None)
    if isinstance(problem, ImportError) and name in NAMES and not candidate.asked:
        return f"; {ONE_FUNCTION}, {candidate.name}"
    if type(problem) is not NameError or not isinstance(name, str) or name in candidate.bound:
        return ""
    frames = traceback.extract_tb(problem.__traceback__)
    if not frames or frames[-1].filename != filename:
        return ""
    return f"; {ONE_FUNCTION}, {candidate.name}: {name} is not there"


def _package(problem: BaseException) -> str:
    absent = isinstance(problem, ModuleNotFoundError) and problem.name not in NAMES
    return "; name its distribution in `packages`" if absent else ""
