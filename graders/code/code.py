"""code: does the code in an output return, or print, what it should?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from graders.code.cases import Case, Program, check_names, check_shape, read_cases
from graders.code.checks import check_constants, check_function, check_keys
from graders.code.compare import Numbers, Order, Rules, Sequences, Whitespace
from graders.code.generated import Recipe
from graders.code.infra import typed_errors
from graders.code.languages import language
from graders.code.packages import check_importable
from graders.code.results import MOST_SLOW, Result, grade_of
from graders.code.run import Runner, spread
from graders.code.tested import run_tests
from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.sandbox.jail.limits import Limits
from graders.sandbox.level import Standing
from graders.sandbox.pool import pool
from graders.template import Template, Variable, parse, render, resolve, short

BATCH = 16  # samples that are graded at once, as far as the pool has turns
OF_THE_ITEM = ("prefix", "function", "cases", "tests", "reference", "arguments")


class Work(NamedTuple):
    """What one item asks of a candidate."""

    prefix: str
    function: str
    cases: Sequence[Case]
    tests: str


class Code(Grader):
    """The share of cases that code in the output passes: 1 if all, else 0 or, with `partial_credit`, something between.

    The code runs in the sandbox, in a fresh process for each case, which is told the input alone. What it returns or
    prints comes back as plain data and is compared here, types included. Code that does not compile, raises, takes
    too long or breaks a limit fails its case; cases that cannot be used leave the grade undecided.

    >>> Code(function="double", cases=[{"args": [2], "expected": 4}]).language
    'python'
    """

    type: Literal["code"] = "code"
    input: Template = "{{sample.output_text}}"  # where the output stands
    answer: Literal["find", "whole"] = "find"  # "find": the fenced block that counts; "whole": the text as it is
    language: str = "python"  # what the code is written in
    prefix: Template = ""  # code before the answer
    function: Template = ""  # its name, or Class.method; "" for a program: stdin to stdout
    cases: str | list[Any] = ""  # what it is called with and should return
    tests: Template = ""  # an author's test source, run in another process
    reference: Template = ""  # source of a right solution
    arguments: Template = ""  # source that defines `arguments`
    generated: int = Field(20, ge=1, le=1000, strict=True)  # cases made from them
    seed: int = Field(0, strict=True)  # of the arguments
    numbers: Numbers = "strict"  # "equal": 2 is 2.0
    order: Order = "written"  # "free": lists in any order
    sequences: Sequences = "strict"  # "equal": a tuple is a list
    whitespace: Whitespace = "trailing"  # of what is printed
    rel_tol: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False, strict=True)  # of floats
    abs_tol: float = Field(0.0, ge=0, allow_inf_nan=False, strict=True)  # of floats
    partial_credit: float = Field(0.0, ge=0, le=1, allow_inf_nan=False, strict=True)  # worth of the share that passed
    timeout_seconds: float = Field(5.0, gt=0, le=3600, allow_inf_nan=False, strict=True)  # of one case
    memory_mb: int = Field(512, ge=16, le=2**20, strict=True)  # of one process
    output_kb: int = Field(1024, ge=1, le=2**16, strict=True)  # of one answer
    packages: list[str] = Field([])  # distributions that the code may import

    @model_validator(mode="before")
    @classmethod
    def _own_names(cls, given: Any) -> Any:
        if isinstance(given, Mapping):
            check_keys(given)
        return given

    @field_validator("cases", mode="before")
    @classmethod
    def _a_list(cls, cases: Any) -> Any:
        if isinstance(cases, str):
            return cases if cases.strip() else ""
        check_shape(cases)
        return list(cases)

    @field_validator("language")
    @classmethod
    def _known(cls, name: str) -> str:
        return language(name).name

    @model_validator(mode="after")
    def _options_fit(self) -> Code:
        if not (self.cases or self.tests or self.arguments):
            raise ValueError("nothing to run the code against; give cases, tests, or arguments with a reference")
        if bool(self.arguments) != bool(self.reference):
            raise ValueError("arguments and reference make cases together; give both, or neither")
        if not self.arguments and (self.generated, self.seed) != (20, 0):
            raise ValueError("generated and seed have no effect without arguments and a reference; leave them out")
        if self.tests and not self.function:
            raise ValueError("tests call a function; name it in `function`")
        for name in OF_THE_ITEM:
            for text in _texts(getattr(self, name)):
                if any(isinstance(piece, Variable) and piece.namespace == "sample" for piece in parse(text)):
                    raise ValueError(f"{name} {short(text)}: the sample must not have a say in what is expected of it")
        check_constants(self.function, self.tests, self.arguments, self.reference)
        if self.cases and not any("{{" in text for text in _texts([self.cases, self.function])):
            try:
                read_cases(self.cases, self.function, self._rules, self.output_kb * 1024)
            except ValueError as problem:
                raise ValueError(f"cases: {problem}") from None
        return self

    @property
    def waits(self) -> bool:
        return False  # on no network; `grade_batch` grades several samples at once

    @property
    def batch(self) -> int:
        return BATCH

    def check_ready(self) -> None:
        try:
            self._ready()
        except GradingError as problem:
            raise ValueError(str(problem)) from None

    def grade(self, sample: Sample, item: Item) -> Grade:
        standing = self._ready()
        with typed_errors(failed="sandbox_failed"):
            work = self._work(sample, item)
            source, missing, place = self._source(work, sample, item)
            if missing is not None:
                if work.tests:
                    self._tested(work, "")  # they may be at fault
                self._check_prefix(work, "")
                raise missing
            results = self._results(work, source)
            if any(result.kind == "code_error" for result in results):
                self._check_prefix(work, source)
            return self._graded(results, work, source, standing, place)

    async def grade_async(self, sample: Sample, item: Item) -> Grade:
        return await pool().in_thread(lambda: self.grade(sample, item))

    def grade_batch(self, pairs: Sequence[tuple[Sample, Item]]) -> list[Grade | GradingError]:
        def graded(number: int) -> Grade | GradingError:
            try:
                return self.grade(*pairs[number])
            except GradingError as problem:
                return problem

        return spread(graded, len(pairs))

    @cached_property
    def _rules(self) -> Rules:
        return Rules(self.numbers, self.order, self.whitespace, self.rel_tol, self.abs_tol, self.sequences)

    @cached_property
    def _runner(self) -> Runner:
        """How code is run. Raises ValueError for a package that is not installed."""
        chosen = language(self.language)
        limits = Limits(memory=self.memory_mb * 2**20, output=self.output_kb * 1024)
        return Runner(chosen, chosen.profile(tuple(self.packages)), limits, self.timeout_seconds)

    @cached_property
    def _importable(self) -> None:
        """Raises ValueError where a package cannot be imported in the sandbox."""
        if self.packages:
            with pool().fresh(self._runner.profile, self._runner.limits) as process:
                check_importable(self.packages, process.server.failed_imports)

    def _ready(self) -> Standing:
        """What protects this machine from the code that is run. Raises GradingError where none can be."""
        with typed_errors(failed="sandbox_failed"):
            try:
                profile = self._runner.profile
                standing = pool().check(profile)
                self._importable  # noqa: B018 (asked once)
            except ValueError as problem:
                raise GradingError("not_installed", str(problem), "infra") from None
        return standing

    # What the item asks

    def _work(self, sample: Sample, item: Item) -> Work:
        """Raises GradingError where the item lacks something, or holds what cannot be used."""
        prefix, tests = render(self.prefix, sample, item), _joined(self.tests, sample, item)
        function = render(self.function, sample, item)
        try:
            if function:
                check_function(function)
            elif self.tests:
                raise ValueError(f"function {short(function)}: tests call a function, and this is the name of none")
        except ValueError as problem:
            raise GradingError("invalid_reference", str(problem)) from None
        cases = [*self._given(function, sample, item), *self._generated(function, sample, item)]
        try:
            check_names(case.name for case in cases)
        except ValueError as problem:
            raise GradingError("invalid_reference", f"cases: {problem}") from None
        if not (cases or tests.strip()):
            told = "tests: the tests are blank" + ", and there are no cases" * bool(self.cases)
            raise GradingError("invalid_reference", told)
        return Work(prefix, function, cases, tests if tests.strip() else "")

    def _given(self, function: str, sample: Sample, item: Item) -> list[Case]:
        if not self.cases:
            return []
        given = _filled(self.cases, sample, item)
        if self.tests and not (given.strip() if isinstance(given, str) else given):
            return []  # a row is judged by its cases, its tests or both
        try:
            return read_cases(given, function, self._rules, self.output_kb * 1024)
        except ValueError as problem:
            raise GradingError("invalid_reference", f"cases: {problem}") from None

    def _generated(self, function: str, sample: Sample, item: Item) -> list[Case]:
        if not self.arguments:
            return []
        arguments, reference = render(self.arguments, sample, item), render(self.reference, sample, item)
        for name, source in (("arguments", arguments), ("reference", reference)):
            if not source.strip():
                raise GradingError("invalid_reference", f"{name}: the source is blank")
        recipe = Recipe(
            arguments, reference, function, self.generated, self.seed, tuple(self.packages), self._rules, self._runner
        )
        try:
            return recipe.cases()
        except ValueError as problem:
            raise GradingError("invalid_reference", str(problem)) from None

    def _source(self, work: Work, sample: Sample, item: Item) -> tuple[str, GradingError | None, str]:
        """The code to run, or none, with the reason why the output has none; and which block it is, of several."""
        try:
            output = render(self.input, sample, item)
        except GradingError as problem:
            if problem.error.fault != "candidate":
                raise
            return "", problem, ""
        chosen = language(self.language)
        prefix = work.prefix
        found = chosen.find(output, work.function, prefix) if self.answer == "find" else chosen.whole(output)
        if not found.text.strip():
            return "", GradingError("sample_parse_error", found.absent, "candidate"), ""
        return chosen.joined(prefix, found), None, found.place

    # What the candidate does

    def _results(self, work: Work, source: str) -> list[Result]:
        results = self._tested(work, source) if work.tests else []
        if not self.partial_credit and any(result.failure for result in results):
            return results
        cases = sorted(work.cases, key=lambda case: not case.visible)
        return results + self._until_too_slow(cases, source)

    def _until_too_slow(self, cases: Sequence[Case], source: str) -> list[Result]:
        """The results up to one that decides; after so many cases that took too long, the rest has failed unrun."""
        slow: list[str] = []

        def tried(number: int) -> Result | None:
            if len(slow) >= MOST_SLOW:  # all of them stand before this one, since they are taken in order
                return None
            result = self._tried(cases[number], source)
            if result.kind == "timeout":
                slow.append(result.name)
            return result

        found = spread(tried, len(cases), lambda result: result is None or self._decides(result))
        results = [result for result in found if result]
        places = [place for place, result in enumerate(results, start=1) if result.kind == "timeout"]
        if len(places) < MOST_SLOW:
            return results
        told = f"not run after {MOST_SLOW} cases that took too long"
        unrun = cases[places[MOST_SLOW - 1] :]
        ran = results[: places[MOST_SLOW - 1]]
        return ran + [Result(case.name, told, told, "timeout", case.weight, case.visible, unrun=True) for case in unrun]

    def _decides(self, result: Result) -> bool:
        return bool(result.failure) and (result.hopeless or not self.partial_credit)

    def _check_prefix(self, work: Work, source: str) -> None:
        """Raises GradingError where what stands before the answer fails by itself."""
        if not work.prefix.strip():
            return
        ends = self.answer == "find" and f"{work.prefix}\n" in source  # a block begins on a line of its own
        stdin = next((case.task.stdin for case in work.cases if isinstance(case.task, Program)), "")
        if fault := self._runner.fault_of_prefix(work.prefix + "\n" * ends, None if work.function else stdin):
            raise GradingError("invalid_reference", f"prefix: it {fault}")

    def _tested(self, work: Work, source: str) -> list[Result]:
        try:
            tried = run_tests(self._runner, source, work.function, work.tests, work.prefix)
        except ValueError as problem:
            raise GradingError("invalid_reference", f"tests: {problem}") from None
        return [
            Result(one.name, one.failure, one.failure, one.kind if one.failure else "", is_test=True) for one in tried
        ]

    def _tried(self, case: Case, source: str) -> Result:
        outcome = case.task.run(self._runner, source)
        failure = outcome.problem or case.task.failure(outcome.claim)
        told = f"the code {failure}" if outcome.hopeless else case.task.told(failure)
        kind = outcome.kind if outcome.problem else ""
        flags = case.visible, outcome.hopeless
        return Result(case.name, failure, told, kind, case.weight, *flags, seconds=outcome.seconds)

    def _graded(self, results: Sequence[Result], work: Work, source: str, standing: Standing, place: str) -> Grade:
        what = "tests" if not work.cases else "cases" if not work.tests else "tests and cases"
        left = len(work.cases) - sum(not result.is_test for result in results)
        level, seconds = standing.recorded, self.timeout_seconds
        grade = grade_of(results, what, left, self.partial_credit, seconds, source, level)
        return replace(grade, why=f"{grade.why}; {place} was graded") if place else grade


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _texts(key)
            yield from _texts(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _texts(entry)


def _joined(template: str, sample: Sample, item: Item) -> str:
    """The template as text; a list of texts, for which one variable stands, as their lines."""
    found = resolve(template, sample, item)
    if isinstance(found, list | tuple) and found and all(isinstance(entry, str) for entry in found):
        return "\n".join(found)
    return render(template, sample, item)


def _filled(value: Any, sample: Sample, item: Item) -> Any:
    """A value with every template in it put in; one that is a single variable becomes what that stands for."""
    if isinstance(value, str):
        return resolve(value, sample, item)
    if isinstance(value, Mapping):
        return {key: _filled(entry, sample, item) for key, entry in value.items()}
    if isinstance(value, list):
        return [_filled(entry, sample, item) for entry in value]
    return value
