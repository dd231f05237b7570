"""Check a grader against a data set before anything is spent on either.

Each row's own gold answer must get full marks; a blank output and an echo of the prompt must not, and must be
decided. What other degenerate outputs get is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, tee
from pathlib import Path
from typing import Any

from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.offline.sources import open_source
from graders.rows import is_flat
from graders.sample import Sample
from graders.score import grade_many
from graders.template import short
from graders.testing.comparisons import reads_whole_item, walk
from graders.testing.coverage import ends
from graders.testing.degenerate import FORBIDDEN, HONEST, Row, tasks
from graders.testing.gold import Gold, gold_of, value_of
from graders.testing.golden import score_text
from graders.variables import item_variables

SLACK = 1e-9
NO_GOLD = (
    "gold answers not checked: {why}; name the right answer with --gold KEY, or say that there is none with --no-gold"
)
SHOWN = 8  # rows a printed finding names; `to_wire` has all


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, in one sentence, and the rows it was found in."""

    kind: str
    text: str
    places: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.text}: {_listed(self.places)}" if self.places else self.text


def _listed(places: Sequence[str]) -> str:
    """The first places, the file written once: data.jsonl:1, 3, 8 and 12 more."""
    lines = [re.sub(r".*\D", "", place, flags=re.DOTALL) for place in places[1:SHOWN]]
    more = f" and {len(places) - SHOWN:,} more" if len(places) > SHOWN else ""
    return ", ".join([places[0], *lines]) + more


def _shown(sample: Sample, limit: int) -> str:
    return short(sample.output_text or list(sample.output_tools) or "", limit)


def _rows_of(count: int, total: int) -> str:
    return f"{count} of {total} row{'s' * (total != 1)}"


@dataclass(slots=True)
class Probe:
    """What one kind of degenerate output got over all rows."""

    name: str
    rows: int = 0
    decided: int = 0
    total: float = 0.0
    highest: float | None = None
    place: str = ""
    output: str = ""
    full: list[str] = field(default_factory=list)  # places of the rows in which it got full marks
    undecided: dict[str, str] = field(default_factory=dict)  # the reason, by the place of the row

    def add(self, row: Row, sample: Sample, grade: Grade, full_marks: float) -> None:
        self.rows += 1
        if grade.score is None:
            self.undecided[row.place] = grade.why
            return
        self.decided += 1
        self.total += grade.score
        if self.highest is None or grade.score > self.highest:
            self.highest, self.place, self.output = grade.score, row.place, _shown(sample, 50)
        if grade.score >= full_marks - SLACK:
            self.full.append(row.place)

    @property
    def mean(self) -> float | None:
        return self.total / self.decided if self.decided else None

    def to_wire(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "mean": self.mean,
            "highest": self.highest,
            "full_marks": len(self.full),
            "undecided": self.rows - self.decided,
            "place": self.place,
            "output": self.output,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. `findings` are to be mended; `notes` are to be known."""

    grader: str
    rows: int
    gold: str
    full_marks: float
    gold_full: int
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    probes: tuple[Probe, ...]

    def to_wire(self) -> dict[str, Any]:
        """The report as JSON-ready data."""
        told = [("findings", self.findings), ("notes", self.notes)]
        return {
            "grader": self.grader,
            "rows": self.rows,
            "gold": self.gold,
            "full_marks": self.full_marks,
            "gold_full": self.gold_full,
            "probes": {probe.name: probe.to_wire() for probe in self.probes},
        } | {key: [{"kind": f.kind, "text": f.text, "places": list(f.places)} for f in group] for key, group in told}

    def __str__(self) -> str:
        gold = "gold answers not checked"
        if self.gold:
            gold = f"gold {self.gold} gets full marks ({self.full_marks:g}) in {self.gold_full}"
        lines = [f"{self.grader}  {self.rows} row{'s' * (self.rows != 1)}: {gold}", ""]
        if self.probes:
            lines += [*_table(self.probes), ""]
        lines += [*_told("finding", self.findings), *_told("note", self.notes)]
        return "\n".join(lines) if self.findings or self.notes else "\n".join([*lines, "nothing found"])


def _told(what: str, findings: Sequence[Finding]) -> Iterator[str]:
    """The findings, a line each; of many of one kind the first."""
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.kind] += 1
        if seen[finding.kind] <= SHOWN:
            yield f"{what}: {finding}"
    for kind, count in seen.items():
        if count > SHOWN:
            yield f"{what}: {count - SHOWN:,} more like these ({kind}; --json has all)"


def check(
    grader: Grader,
    data: str | Path,
    gold: str | None = None,
    *,
    limit: int | None = None,
    full_marks: float | None = None,
    concurrency: int = 16,
) -> Report:
    """Check a grader against the rows of a file (JSON Lines, JSON, CSV, Parquet): `{"item": {...}}`, or items.

    `gold` is the item key of the right answer, or a template such as `<answer>{{item.gene}}</answer>`; by default
    what the grader compares the output with; "" where rows have none. `full_marks` is by default the highest score
    of the grader, 1 where it has no limit.
    Raises ValueError when the rows cannot be read, or where several references leave open which is the gold.
    """
    rows = list(_rows(Path(data), limit))
    if not rows:
        raise ValueError(f"{data}: no rows")
    answer = gold_of(grader, gold) if gold != "" else None
    golds = {row.place: answer.values(row.item) for row in rows} if answer else {}
    full = ends(grader)[1] if full_marks is None else full_marks
    probes, best = _graded(grader, rows, answer, golds, full, concurrency)
    decidable = _decidable(grader, answer, best, rows)
    findings = [*_missing(grader, rows, answer, golds), *_gold_findings(best, full)]
    findings += [*_too_lenient(probes), *_opting_out(probes, decidable)]
    if answer is None and gold is None:
        findings.append(Finding("no_gold", NO_GOLD.format(why=_why_no_gold(grader))))
    notes = [*_static(grader), *_cautions(grader, rows), *_to_be_judged(probes, decidable)]
    return Report(
        grader.identity,
        len(rows),
        answer.template if answer else "",
        full,
        sum(grade.score is not None and grade.score >= full - SLACK for _, grade in best.values()),
        tuple(findings),
        tuple(notes),
        tuple(probes),
    )


def _graded(
    grader: Grader, rows: Sequence[Row], gold: Gold | None, golds: Mapping[str, Any], full: float, concurrency: int
) -> tuple[list[Probe], dict[str, tuple[Sample, Grade]]]:
    """What each kind of degenerate output got, and of each row the best that its gold answer got."""
    probes: dict[str, Probe] = {}
    best: dict[str, tuple[Sample, Grade]] = {}
    planned, asked = tee(tasks(grader, rows, gold, golds))
    grades = grade_many(grader, ((sample, row.item) for _, row, sample in asked), concurrency)
    for (name, row, sample), grade in zip(planned, grades, strict=True):
        if name:
            probes.setdefault(name, Probe(name)).add(row, sample, grade, full)
        elif _better(grade, best.get(row.place)):
            best[row.place] = sample, grade
    return list(probes.values()), best


# The rows and their gold answers


def _rows(data: Path, limit: int | None) -> Iterator[Row]:
    source = open_source(data)
    for raw in islice(source.raws(), limit):
        place, row = source.place(raw), source.row(raw)
        item = row.get("item", row)
        if source.flat is not None and is_flat(row) != source.flat:
            shapes = ("holds an 'item'", "is an item itself")
            raise ValueError(f"{place}: this row {shapes[not source.flat]}, and the first {shapes[source.flat]}")
        if not isinstance(item, Mapping):
            raise ValueError(f"{place}: 'item' must be an object, not {short(item)}")
        yield Row(place, item, _asked(item.get("messages", row.get("messages"))))


def _asked(messages: Any) -> str:
    """The last message of the user; "" when there is none."""
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, Mapping) and message.get("role") == "user" and isinstance(message.get("content"), str):
            return str(message["content"])
    return ""


def _why_no_gold(grader: Grader) -> str:
    """Why no right answer follows from what a grader reads of the item."""
    whole = next((part.label for part in walk(grader) if reads_whole_item(part)), None)
    if whole is not None:
        return f"{whole} is given the whole item and does not tell which of it is the right answer"
    if read := item_variables(grader):
        named = ", ".join(f"{{{{ {variable} }}}}" for variable in read)
        return f"the grader reads {named}, which tells no output that is right"
    return "the grader compares the output with nothing of the item"


def _missing(grader: Grader, rows: Sequence[Row], gold: Gold | None, golds: Mapping[str, Any]) -> Iterator[Finding]:
    """Variables, and gold answers, that rows lack."""
    for variable in item_variables(grader):
        missing = [row.place for row in rows if value_of(f"{{{{ {variable} }}}}", row.item) is None]
        if missing:
            text = f"{{{{ {variable} }}}} is missing in {_rows_of(len(missing), len(rows))}"
            yield Finding("missing_variable", text, tuple(missing))
    if gold is None or gold.variables <= set(item_variables(grader)):  # which have been told
        return
    if missing := [place for place, value in golds.items() if value is None]:
        text = f"no gold {gold.template} in {_rows_of(len(missing), len(golds))}"
        yield Finding("missing_gold", text, tuple(missing))


def _better(grade: Grade, so_far: tuple[Sample, Grade] | None) -> bool:
    if so_far is None or so_far[1].score is None:
        return True
    return grade.score is not None and grade.score > so_far[1].score


def _gold_findings(best: Mapping[str, tuple[Sample, Grade]], full: float) -> Iterator[Finding]:
    for place, (sample, grade) in best.items():
        said = _shown(sample, 60)
        if grade.score is None:
            yield Finding("gold_undecided", f"{place}: the gold answer {said} is undecided: {grade.why}")
        elif grade.score < full - SLACK:
            score = f"{score_text(grade.score)} of {full:g}"
            yield Finding("gold_not_full", f"{place}: the gold answer {said} gets {score}: {grade.why}")


def _too_lenient(probes: Iterable[Probe]) -> Iterator[Finding]:
    for probe in probes:
        if probe.full and probe.name in FORBIDDEN:
            text = f"{probe.name}: full marks in {_rows_of(len(probe.full), probe.rows)}"
            yield Finding("degenerate_full_marks", text, tuple(probe.full))


def _decidable(
    grader: Grader, gold: Gold | None, best: Mapping[str, tuple[Sample, Grade]], rows: Sequence[Row]
) -> Collection[str]:
    """The rows not themselves to blame for an undecided grade: gold is decided, or where untried no variable lacks."""
    if gold is not None:
        return {place for place, (_, grade) in best.items() if grade.score is not None}
    wanted = [f"{{{{ {variable} }}}}" for variable in item_variables(grader)]
    return {row.place for row in rows if all(value_of(variable, row.item) is not None for variable in wanted)}


def _opting_out(probes: Iterable[Probe], decidable: Collection[str]) -> Iterator[Finding]:
    for probe in probes:
        places = tuple(place for place in probe.undecided if place in decidable)
        if places and probe.name in FORBIDDEN:
            text = (
                f"{probe.name}: undecided in {_rows_of(len(places), probe.rows)}, so that a model can choose not to be "
                f"graded ({short(probe.undecided[places[0]], 160)[1:-1]})"
            )
            yield Finding("degenerate_undecided", text, places)


def _to_be_judged(probes: Sequence[Probe], decidable: Collection[str]) -> Iterator[Finding]:
    if generous := [probe.name for probe in probes if probe.full and probe.name not in (*FORBIDDEN, HONEST)]:
        yield Finding("generous", f"full marks for what does not choose one answer: {', '.join(generous)}")
    for probe in probes:
        places = tuple(place for place in probe.undecided if place in decidable)
        if places and probe.name not in FORBIDDEN:
            why = short(probe.undecided[places[0]], 160)[1:-1]
            yield Finding("undecided", f"{probe.name}: undecided ({why})", places)


# Degenerate outputs


def _table(probes: Iterable[Probe]) -> Iterator[str]:
    head = ("degenerate output", "highest", "mean", "full marks", "where", "such as")
    cells = [head]
    for probe in probes:
        highest = score_text(probe.highest) if probe.highest is None else f"{probe.highest:.4g}"
        mean = "-" if probe.mean is None else f"{probe.mean:.4g}"
        full = f"{len(probe.full)} of {probe.rows}"
        cells.append((probe.name, highest, mean, full, probe.place, probe.output))
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


# What the definition itself shows


def _static(grader: Grader) -> Iterator[Finding]:
    from graders.algebra.findings import findings

    for place, message in findings(grader):
        yield Finding("definition", f"{place or grader.label}: {message}")


def _cautions(grader: Grader, rows: Sequence[Row]) -> Iterator[Finding]:
    """What graders that know their own weak spots say of the items, each caution once with its rows."""
    said: dict[str, list[str]] = {}
    for part in walk(grader):
        cautions = getattr(part, "cautions", None)
        for row in rows if callable(cautions) else ():
            try:
                for text in cautions(row.item):  # type: ignore[misc]
                    said.setdefault(f"{part.label}: {text}", []).append(row.place)
            except GradingError:
                continue  # the row lacks what the grader reads, and is found for that
    yield from (Finding("caution", text, tuple(places)) for text, places in said.items())
