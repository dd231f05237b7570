"""Golden files as pytest items: each case and each declared property is a test. Registered by `assay_pytest`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graders.grade import Grade
from graders.grader import Grader
from graders.testing.coverage import coverage
from graders.testing.elsewhere import Elsewhere
from graders.testing.golden import (
    SUFFIX,
    Case,
    GoldenFile,
    Outcome,
    drift_table,
    failure_report,
    nearby,
    read_golden,
    run_case,
    update_golden,
)
from graders.testing.properties import Property, declared, samples_of


class GoldenPlugin:
    """Collects golden files, and tells at the end what they cover and which scores drifted."""

    def __init__(self, update: bool = False) -> None:
        self.update = update
        self.files: dict[Path, GoldenFile] = {}
        self.outcomes: dict[Path, list[Outcome]] = {}
        self.graded: dict[tuple[Path, str], tuple[Grader, list[Grade]]] = {}
        self.written: list[Outcome] = []
        self.elsewhere = Elsewhere()  # for the properties of all files: a process takes longer to start than to grade

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        if not file_path.name.endswith(SUFFIX):
            return None
        collector = GoldenCollector.from_parent(parent, path=file_path)
        collector.plugin = self
        return collector

    def record(self, golden: GoldenFile, grader: Grader, outcome: Outcome) -> None:
        self.files[golden.path] = golden
        self.outcomes.setdefault(golden.path, []).append(outcome)
        self.graded.setdefault((golden.path, grader.identity), (grader, []))[1].append(outcome.grade)

    def pytest_sessionfinish(self) -> None:
        if self.update:
            for path, outcomes in self.outcomes.items():
                self.written += update_golden(self.files[path], outcomes)

    def pytest_unconfigure(self) -> None:
        self.elsewhere.close()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        drifted = [outcome for outcomes in self.outcomes.values() for outcome in outcomes if outcome.problems]
        if self.update:
            drifted = self.written  # what was not written has failed
        if drifted:
            terminalreporter.section("drift of golden scores" + (", written" if self.update else ""))
            terminalreporter.write_line(drift_table(drifted))
            if not self.update:
                terminalreporter.write_line("Where the new grades are right: pytest --golden-update")
        if self.graded and config.getoption("verbose") > -2:
            terminalreporter.section("golden cases")
            for (path, _), (grader, grades) in self.graded.items():
                terminalreporter.write_line(f"{nearby(path)}  {grader.identity}  {coverage(grader, grades)}")


class GoldenCollector(pytest.File):
    plugin: GoldenPlugin

    def collect(self) -> Iterator[pytest.Item]:
        try:
            golden = read_golden(self.path)
            graders = golden.graders()
            properties = [declared(given) for given in golden.properties]
        except (ValueError, LookupError, FileNotFoundError) as problem:
            raise self.CollectError(str(problem)) from None
        for case in golden.cases:
            item = CaseItem.from_parent(self, name=_id(case.label))
            item.golden, item.case, item.plugin = golden, case, self.plugin
            yield item
        for grader in graders:
            for given in properties:
                prop = PropertyItem.from_parent(self, name=_id(f"{grader.label}: {given.name}"))
                prop.golden, prop.grader, prop.given, prop.plugin = golden, grader, given, self.plugin
                yield prop


class CaseItem(pytest.Item):
    """One line of a golden file."""

    golden: GoldenFile
    case: Case
    plugin: GoldenPlugin

    def runtest(self) -> None:
        grader = self.golden.load(self.case.grader)
        outcome = run_case(self.case, grader)
        self.plugin.record(self.golden, grader, outcome)
        if outcome.problems and not (self.plugin.update and outcome.updatable):
            raise GoldenError(failure_report(outcome))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        return str(excinfo.value) if isinstance(excinfo.value, GoldenError) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.case.line - 1, self.name


class PropertyItem(pytest.Item):
    """One declared property of a grader."""

    golden: GoldenFile
    grader: Grader
    given: Property
    plugin: GoldenPlugin

    def runtest(self) -> None:
        outputs, items = samples_of(self.golden, self.grader)
        result = self.given.check(self.grader, items, outputs, elsewhere=self.plugin.elsewhere)
        if not result.holds:
            raise GoldenError(f"{nearby(self.golden.path)}  {self.grader.identity}\n{result}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        return str(excinfo.value) if isinstance(excinfo.value, GoldenError) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, self.name


class GoldenError(Exception):
    """A case or a property does not hold; its text is the whole report."""


def _id(text: str) -> str:
    return text.replace("::", ":").replace("[", "(").replace("]", ")")
