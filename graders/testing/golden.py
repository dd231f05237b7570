"""Golden files: outputs with the scores a grader must give them, a JSON line each, beside the grader they test.

`NAME.golden.jsonl` tests `NAME.json`, or the graders of `NAME.py` by their names. Scores that drift are shown, and
rewritten only when asked.
"""

from __future__ import annotations

import codecs
import difflib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from graders.grade import ERROR_KINDS, Grade
from graders.grader import Grader
from graders.registry import load
from graders.rows import read_rows
from graders.sample import Item, Sample, read_json
from graders.template import nearest, short

SUFFIX = ".golden.jsonl"
TOLERANCE = 1e-9  # of a score written as one number, absolute and relative
HEADER_KEYS = ("grader", "properties", "note")
CASE_KEYS = ("output", "sample", "item", "score", "error", "why", "note", "grader")
UNCHECKED = "any"  # the error of a case that does not say which it expects

Named: TypeAlias = str | Mapping[str, Any] | None
"""How a golden file names a grader: a name in the `.py` file beside it, a path, a definition, or not at all."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a golden file: a sample and its item, and what the grade of it must be."""

    place: str  # file:line
    line: int
    grader: Named
    sample: Sample
    item: Item
    expected: tuple[float, float] | None  # the lowest and highest score allowed; None: undecided
    error: str | None = UNCHECKED  # kind; None: the grade must carry no error
    why: str = ""  # what the grade's why must contain
    note: str = ""

    @property
    def label(self) -> str:
        """What a reader knows it by: the line, and its note or the start of its output."""
        text = " ".join((self.note or self.sample.output_text).split())
        return f"{self.line} {short(text, 50)[1:-1]}" if text else f"{self.line} empty output"


@dataclass(frozen=True, slots=True)
class GoldenFile:
    """A golden file, read and checked."""

    path: Path
    grader: Named
    properties: tuple[Any, ...]
    cases: tuple[Case, ...]

    def load(self, named: Named = None) -> Grader:
        """The grader of a case that names `named`; by default the file's own.

        Raises ValueError, LookupError or FileNotFoundError when there is none or it does not load.
        """
        named = self.grader if named is None else named
        if isinstance(named, Mapping):
            return load(named)
        stem = self.path.with_name(self.path.name.removesuffix(SUFFIX))
        if named is None:
            beside = stem.with_name(stem.name + ".json")
            if not beside.is_file():
                raise FileNotFoundError(
                    f"{self.path}: no grader {beside.name} beside it; name one in the first line, "
                    'such as {"grader": "my_function"} of the .py file beside it, or {"grader": {"type": ...}}'
                )
            return load(beside)
        if ".py:" in named or named.endswith(".json"):
            return load(str(self.path.parent / named))
        return load(f"{stem.with_name(stem.name + '.py')}:{named}")

    def graders(self) -> list[Grader]:
        """Every grader that its cases test, each once."""
        named = [case.grader for case in self.cases] or [None]
        unique = {json.dumps(one, sort_keys=True): one for one in named}
        return [self.load(one) for one in unique.values()]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A case and the grade it got; `problems` is empty when the two agree."""

    case: Case
    grade: Grade
    problems: tuple[str, ...]

    @property
    def updatable(self) -> bool:
        """Whether the grade may be written as the new expectation: a grader that failed is never what was meant."""
        return self.grade.score is not None or self.case.expected is None


def read_golden(path: str | Path) -> GoldenFile:
    """A golden file. Raises ValueError naming `file:line`, the value and the remedy."""
    path = Path(path)
    grader: Named = None
    properties: tuple[Any, ...] = ()
    cases: list[Case] = []
    for number, (full, row) in enumerate(read_rows(path)):
        place = nearby(full)
        if not {"output", "sample"} & row.keys():
            if number > 0 or "score" in row:
                raise ValueError(f'{place}: a case needs "output": "..." or "sample": {{...}}')
            grader, properties = _header(place, row)
        else:
            cases.append(_case(place, row))
    if not cases and not properties:
        raise ValueError(f'{path}: no cases; one is {{"output": "...", "item": {{...}}, "score": 1}}')
    return GoldenFile(path, grader, properties, tuple(cases))


def nearby(place: str | Path) -> str:
    """A path as it is written from the working directory, where it lies below it."""
    text, here = str(place), str(Path.cwd()) + os.sep
    return text.removeprefix(here)


def _header(place: str, row: Mapping[str, Any]) -> tuple[Named, tuple[Any, ...]]:
    _known(place, row, HEADER_KEYS)
    properties = row.get("properties", [])
    if not isinstance(properties, list):
        raise ValueError(f"{place}: properties must be a list of names, not {short(properties)}")
    return _named(place, row), tuple(properties)


def _case(place: str, row: Mapping[str, Any]) -> Case:
    _known(place, row, CASE_KEYS)
    if {"output", "sample"} <= row.keys():
        raise ValueError(f"{place}: give output or sample, not both")
    if "score" not in row:
        raise ValueError(f"{place}: key 'score' is missing; a number, [low, high], or null for undecided")
    given = row.get("output", row.get("sample"))
    if not isinstance(given, str if "output" in row else Mapping):
        wanted = "output must be a text" if "output" in row else "sample must be an object with output_text"
        raise ValueError(f"{place}: {wanted}, not {short(given)}")
    try:
        sample = Sample.of(given)
    except (ValueError, TypeError) as problem:
        raise ValueError(f"{place}: {problem}") from None
    item, error, why, note = (row.get(key) for key in ("item", "error", "why", "note"))
    if not isinstance(item, Mapping | None):
        raise ValueError(f"{place}: item must be an object, not {short(item)}")
    for key, text in (("error", error), ("why", why), ("note", note)):
        if not isinstance(text, str | None):
            raise ValueError(f"{place}: {key} must be a text, not {short(text)}")
    meant = difflib.get_close_matches(error or "", ERROR_KINDS, n=1, cutoff=0.8)
    if meant and error not in ERROR_KINDS:  # one that is like no known kind is of a plug-in's own
        raise ValueError(f"{place}: no error kind {error!r}; did you mean {meant[0]!r}?")
    return Case(
        place,
        int(place.rpartition(":")[2]),
        _named(place, row),
        sample,
        item or {},
        _expected(place, row["score"]),
        row.get("error", UNCHECKED),
        why or "",
        note or "",
    )


def _known(place: str, row: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in row:
        if key not in keys:
            raise ValueError(f"{place}: unknown key {key!r}; {nearest(key, keys)}")


def _named(place: str, row: Mapping[str, Any]) -> Named:
    named = row.get("grader")
    if not isinstance(named, str | Mapping | None):
        raise ValueError(f"{place}: grader must be a name, a path or a definition, not {short(named)}")
    return named


def _expected(place: str, score: Any) -> tuple[float, float] | None:
    if score is None:
        return None
    given = score if isinstance(score, list) else [score, score]
    numbers = [_finite(end) for end in given if type(end) in (int, float)]
    low, high = (*numbers, None, None)[:2]
    if len(given) != 2 or low is None or high is None:
        raise ValueError(f"{place}: score must be a number, [low, high], or null for undecided, not {short(score)}")
    if low > high:
        raise ValueError(f"{place}: score {score}: the low end is above the high end")
    return low, high


def _finite(number: float) -> float | None:
    try:
        return float(number) if math.isfinite(number) else None
    except OverflowError:
        return None


# Judging


def run_case(case: Case, grader: Grader) -> Outcome:
    """Grade one case and compare."""
    grade = grader(case.sample, case.item)
    return Outcome(case, grade, tuple(_problems(case, grade)))


def run_file(golden: GoldenFile, grader: Grader | None = None) -> list[Outcome]:
    """Grade every case; those that name no grader by `grader` when it is given."""
    loaded: dict[str, Grader] = {}
    outcomes = []
    for case in golden.cases:
        key = json.dumps(case.grader, sort_keys=True)
        if key not in loaded:
            own = grader if case.grader is None else None
            loaded[key] = own or golden.load(case.grader)
        outcomes.append(run_case(case, loaded[key]))
    return outcomes


def _problems(case: Case, grade: Grade) -> Iterator[str]:
    if not _score_holds(case, grade):
        yield f"expected {expected_text(case)}, got {score_text(grade.score)}{_drift(case, grade)}"
    kind = grade.error.kind if grade.error else None
    if case.error != UNCHECKED and case.error != kind:
        yield f"expected {_error_text(case.error)}, got {_error_text(kind)}"
    if case.why and case.why not in grade.why:
        yield f"expected a why with {case.why!r}"


def _score_holds(case: Case, grade: Grade) -> bool:
    if case.expected is None or grade.score is None:
        return case.expected is None and grade.score is None
    low, high = case.expected
    slack = TOLERANCE * max(1.0, abs(low), abs(high))
    return low - slack <= grade.score <= high + slack


def expected_text(case: Case) -> str:
    if case.expected is None:
        return "undecided"
    low, high = case.expected
    return f"{low:.10g}" if low == high else f"{low:.10g} to {high:.10g}"


def score_text(score: float | None) -> str:
    return "undecided" if score is None else f"{score:.10g}"


def _changes(case: Case, grade: Grade) -> Iterator[str]:
    """Old and new of all that does not hold."""
    kind = grade.error.kind if grade.error else None
    if not _score_holds(case, grade):
        yield f"{expected_text(case)} -> {score_text(grade.score)}"
    if case.error != UNCHECKED and case.error != kind:
        yield "error " + " -> ".join("none" if one is None else repr(one) for one in (case.error, kind))
    if case.why and case.why not in grade.why:
        yield f"why {short(case.why, 40)} -> {short(grade.why, 40)}"


def _drift(case: Case, grade: Grade) -> str:
    if case.expected is None or grade.score is None:
        return ""
    low, high = case.expected
    return f" (drift {grade.score - (low if grade.score < low else high):+.10g})"


def _error_text(kind: str | None) -> str:
    return "no error" if kind is None else f"the error {kind!r}"


def failure_report(outcome: Outcome) -> str:
    """Expected and got, with all that the grade says for itself."""
    case, grade = outcome.case, outcome.grade
    lines = [f"{case.place}  {case.note}".rstrip(), *(f"  {problem}" for problem in outcome.problems)]
    facts: list[tuple[str, object]] = [("output", short(case.sample.output_text, 200)), ("item", short(case.item, 200))]
    facts.append(("why", grade.why))
    if grade.error is not None:
        facts.append(("error", f"{grade.error.kind}, the fault of the {grade.error.fault}"))
    if grade.formula is not None:
        facts.append(("formula", grade.formula))
    facts += [(f"part {key}", f"{score_text(part.score)}: {part.why}") for key, part in grade.parts.items()]
    facts.append(("grader", grade.grader))
    lines += [f"  {name:8} {value}" for name, value in facts]
    return "\n".join(lines)


# Drift that is accepted


def update_golden(golden: GoldenFile, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Write the grades that were got as the ones expected, and return those that changed the file.

    Lines that hold are kept to the byte. A grade that is undecided is never written over a score.
    """
    changed = [outcome for outcome in outcomes if outcome.problems and outcome.updatable]
    if not changed:
        return []
    lines = golden.path.read_bytes().split(b"\n")
    for outcome in changed:
        lines[outcome.case.line - 1] = _rewritten(lines[outcome.case.line - 1], outcome)
    beside = golden.path.with_name(f".{golden.path.name}.partial")
    beside.write_bytes(b"\n".join(lines))
    os.replace(beside, golden.path)
    return changed


def _rewritten(line: bytes, outcome: Outcome) -> bytes:
    case, grade = outcome.case, outcome.grade
    row = read_json(line.removeprefix(codecs.BOM_UTF8).decode("utf-8"))
    if not _score_holds(case, grade):
        score = None if grade.score is None else round(grade.score, 12)
        row["score"] = int(score) if score is not None and score.is_integer() else score
    kind = grade.error.kind if grade.error else None
    if case.error != UNCHECKED and case.error != kind:
        row["error"] = kind
    if case.why and case.why not in grade.why:
        row["why"] = grade.why
    mark = codecs.BOM_UTF8 * line.startswith(codecs.BOM_UTF8)
    try:
        text = json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only its escape can write
        text = json.dumps(row).encode()
    return mark + text + b"\r" * line.endswith(b"\r")


def drift_table(outcomes: Iterable[Outcome]) -> str:
    """Old and new of every case that did not hold, a line each."""
    rows = []
    for outcome in outcomes:
        case, grade = outcome.case, outcome.grade
        if outcome.problems:
            detail = "" if _score_holds(case, grade) else _drift(case, grade)[8:-1]
            why = short(" ".join(grade.why.split()), 70)[1:-1]
            rows.append((case.place, "; ".join(_changes(case, grade)), detail, why))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)), row[3]]) for row in rows
    )
