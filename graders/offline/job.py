"""Job: what is done with each row, whichever process does it: read, looked up, graded, written as a line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.offline.cache import Cache, cache_key
from graders.offline.encode import Hashes, encode, hash_of, hashes, json_string
from graders.offline.sources import Raw, Source
from graders.rows import OUTPUT, GradingRow, grading_row
from graders.sample import Item, Sample
from graders.statistics import Asked, Note, note_of
from graders.template import nearest, render, short
from graders.variables import item_variables


class Prepared(NamedTuple):
    """A row ready to be graded."""

    row: GradingRow
    hashes: Hashes
    cluster: str | None
    group: str | None
    group_rows: str | None = None  # hash over the rows of its group and its place among them, where they are compared


class Line(NamedTuple):
    """A graded row: its line, and what the summary needs to know of it."""

    text: bytes
    id: str
    place: str
    notes: list[Note]  # one a grader
    cluster: str | None
    group: str | None
    cached: int  # grades found in the cache


@dataclass(frozen=True)
class Job:
    """How rows of a source are graded; `single` where one grader's grade is the line itself.

    `identities` are told before processes are forked, so that all of them tell the same, whatever becomes of the code.
    """

    graders: Mapping[str, Grader]
    identities: Mapping[str, str]
    source: Source
    single: bool = True
    output: str = OUTPUT
    cluster: str | None = None
    group: str | None = None
    cache: Path | None = None

    @property
    def waits(self) -> bool:
        return any(grader.waits for grader in self.graders.values())

    @property
    def batched(self) -> bool:
        """Whether rows are better graded several at once."""
        return any(grader.batch > 1 for grader in self.graders.values())

    @cached_property
    def judged(self) -> Mapping[str, Grader]:
        """The graders that ask judge models."""
        return {name: grader for name, grader in self.graders.items() if grader.models()}

    @cached_property
    def together(self) -> bool:
        """Whether rows of one item are graded together: a grader compares them."""
        return any(grader.judges_groups for grader in self.graders.values())

    def units(self, raws: Iterator[Raw]) -> Iterator[list[Raw]]:
        """The rows that are graded at once: each by itself, or those that follow each other in one group.

        Raises ValueError where the rows of a group do not follow each other.
        """
        if not self.together:
            yield from ([raw] for raw in raws)
            return
        unit: list[Raw] = []
        last: str | None = None
        seen: set[str] = set()
        for raw in raws:
            thing = self.prepared(raw)
            assert thing.group is not None
            if thing.group != last and unit:
                yield unit
                unit = []
            if thing.group != last and thing.group in seen:
                raise ValueError(
                    f"{thing.row.place}: rows of the group {short(thing.group)} came before, with others between; sort "
                    f"the rows by {self.group!r}, since the rows of a group are graded together"
                )
            last = thing.group
            seen.add(last)
            unit.append(raw)
        if unit:
            yield unit

    def prepared_unit(self, unit: Sequence[Raw]) -> list[Prepared]:
        """The rows of a unit ready to be graded; those of a group with a hash over all of them."""
        things = [self.prepared(raw) for raw in unit]
        if not self.together:
            return things
        whole = "".join(thing.hashes.row for thing in things)
        return [thing._replace(group_rows=hash_of(f"{place} {whole}")) for place, thing in enumerate(things)]

    def row(self, raw: Raw) -> GradingRow:
        """The row as it is graded; ValueError with its place where it is none."""
        return grading_row(self.source.place(raw), raw.number, self.source.row(raw), self.output, self.source.flat)

    def prepared(self, raw: Raw) -> Prepared:
        row = self.row(raw)
        cluster = None if self.cluster is None else _label(row, self.cluster)
        group = None if self.group is None else _label(row, self.group)
        return Prepared(row, hashes(row), cluster, group)

    def lines(self, raws: Sequence[Raw]) -> tuple[list[Line], Exception | None]:
        """The rows graded, up to the first that is malformed, and the complaint about that one."""
        things: list[Prepared] = []
        problem = None
        for raw in raws:
            try:
                things.append(self.prepared(raw))
            except ValueError as found:
                problem = found
                break
        kept = self._kept(things)
        columns = {name: self._column(name, things, kept) for name in self.graders}
        graded = [
            (thing, {name: grades[place] for name, grades in columns.items()}) for place, thing in enumerate(things)
        ]
        return self._written(graded, kept), problem

    def _column(self, name: str, things: Sequence[Prepared], kept: Mapping[bytes, Mapping[str, Grade]]) -> list[Grade]:
        """One grader's grades of the rows: from the cache where they are there, the others made at once."""
        found = [kept.get(thing.hashes.given, {}).get(name) for thing in things] if kept else [None] * len(things)
        asked = [thing.row for thing, grade in zip(things, found, strict=True) if grade is None]
        made = iter(self.graders[name].call_batch([(row.sample, row.item) for row in asked]))
        return [next(made) if grade is None else grade for grade in found]

    async def line(self, thing: Prepared) -> Line:
        """One row graded where a grader waits."""
        kept = self._kept([thing])
        found = kept.get(thing.hashes.given, {})
        asked = [name for name in self.graders if name not in found]
        row = thing.row
        answers = await asyncio.gather(*(self.graders[name].call_async(row.sample, row.item) for name in asked))
        fresh = dict(zip(asked, answers, strict=True))
        grades = {name: found[name] if name in found else fresh[name] for name in self.graders}
        return self._written([(thing, grades)], kept)[0]

    async def group_lines(self, things: Sequence[Prepared]) -> list[Line]:
        """The rows of a group graded together. Grades go to no cache: each depends on all of the group."""
        graded = await self._group_grades(self.graders, things)
        lines = []
        for place, thing in enumerate(things):
            grades = {name: answers[place] for name, answers in graded.items()}
            lines.append(self._line(thing, grades, {name: encode(grade) for name, grade in grades.items()}, 0))
        return lines

    async def _group_grades(self, graders: Mapping[str, Grader], things: Sequence[Prepared]) -> dict[str, list[Grade]]:
        comparing = [grader for grader in graders.values() if grader.judges_groups]
        samples, item = [thing.row.sample for thing in things], _shared_item(comparing, things)

        async def grades(grader: Grader) -> list[Grade]:
            if grader.judges_groups:
                return await grader.call_group_async(samples, item)
            return await asyncio.gather(*(grader.call_async(thing.row.sample, thing.row.item) for thing in things))

        answers = await asyncio.gather(*map(grades, graders.values()))
        return dict(zip(graders, answers, strict=True))

    async def judged_grades(self, things: Sequence[Prepared]) -> list[dict[str, Grade | None]]:
        """What the graders that ask judge models say of the rows of a unit, by name, one after the other; None where
        the cache has it. Kept nowhere."""
        if not self.together:
            return [await self._judged_grades(thing) for thing in things]
        graded = await self._group_grades(self.judged, things)
        return [{name: answers[place] for name, answers in graded.items()} for place in range(len(things))]

    async def _judged_grades(self, thing: Prepared) -> dict[str, Grade | None]:
        found = self._kept([thing]).get(thing.hashes.given, {})
        asked = {name: grader for name, grader in self.judged.items() if name not in found}
        sample, item = thing.row.sample, thing.row.item
        answers = await asyncio.gather(*(grader.call_async(sample, item) for grader in asked.values()))
        return dict.fromkeys(self.judged) | dict(zip(asked, answers, strict=True))

    @cached_property
    def _store(self) -> Cache | None:
        return None if self.cache is None else Cache(self.cache)  # a process each: no connection crosses a fork

    def close(self) -> None:
        if "_store" in self.__dict__ and self._store is not None:
            self._store.close()

    def _kept(self, things: Sequence[Prepared]) -> dict[bytes, dict[str, Grade]]:
        """Grades in the cache, by the hash of what was graded and the grader's name."""
        if self._store is None:
            return {}
        owners = {
            cache_key(identity, thing.hashes.given): (thing.hashes.given, name)
            for thing in things
            for name, identity in self.identities.items()
        }
        kept: dict[bytes, dict[str, Grade]] = {}
        for key, grade in self._store.find(list(owners)).items():
            given, name = owners[key]
            kept.setdefault(given, {})[name] = _as_kept(grade)
        return kept

    def _written(
        self, graded: Sequence[tuple[Prepared, dict[str, Grade]]], kept: Mapping[bytes, Mapping[str, Grade]]
    ) -> list[Line]:
        """Lines of graded rows; what is not in the cache goes there."""
        lines, fresh = [], []
        for thing, grades in graded:
            texts = {name: encode(grade) for name, grade in grades.items()}
            given = thing.hashes.given
            cached = kept.get(given, {})
            lines.append(self._line(thing, grades, texts, len(cached)))
            if self._store is None:
                continue
            fresh += [
                (cache_key(self.identities[name], given), grade, texts[name])
                for name, grade in grades.items()
                if name not in cached
            ]
        if self._store is not None:
            self._store.keep(fresh)
        return lines

    def _line(self, thing: Prepared, grades: Mapping[str, Grade], texts: Mapping[str, str], cached: int) -> Line:
        notes = self._notes(grades, thing)
        row = thing.row
        return Line(self._text(thing, texts), row.id, row.place, notes, thing.cluster, thing.group, cached)

    def _notes(self, grades: Mapping[str, Grade], thing: Prepared) -> list[Note]:
        if not self.judged:
            return [note_of(grade) for grade in grades.values()]
        from graders.algebra.route import settled_by

        length = len(thing.row.sample.output_text)
        return [
            note_of(grade, Asked(grade.usage, length, settled_by(grade)) if name in self.judged else None)
            for name, grade in grades.items()
        ]

    def _text(self, thing: Prepared, texts: Mapping[str, str]) -> bytes:
        """`{"id", ...the grade..., "row"}`, or `{"id", "grades": {name: grade}, "row"}` of several graders.

        Of rows that were compared, `group_rows` follows.
        """
        group = "" if thing.group_rows is None else f', "group_rows": "{thing.group_rows}"'
        start, end = f'{{"id": {json_string(thing.row.id)}, ', f', "row": "{thing.hashes.row}"{group}}}\n'
        if self.single:
            (text,) = texts.values()
            return (start + text[1:-1] + end).encode()
        inner = ", ".join(f"{json_string(name)}: {text}" for name, text in texts.items())
        return f'{start}"grades": {{{inner}}}{end}'.encode()

    def recorded_notes(self, wire: Mapping[str, Any], thing: Prepared) -> list[Note] | None:
        """The notes of a line recorded earlier, where it is of these graders and this row; else None."""
        try:
            grades = [wire] if self.single else [wire["grades"][name] for name in self.graders]
            if (wire["row"], wire.get("group_rows")) != (thing.hashes.row, thing.group_rows):
                return None
            if not (self.single or len(wire["grades"]) == len(grades)):
                return None
            if [grade["grader"] for grade in grades] != list(self.identities.values()):
                return None
            return self._notes(
                {name: Grade.from_wire(grade) for name, grade in zip(self.graders, grades, strict=True)}, thing
            )
        except (ValueError, LookupError, TypeError, AttributeError):
            return None


def _shared_item(graders: Iterable[Grader], things: Sequence[Prepared]) -> Item:
    """The item of a group's first row. ValueError where another row differs in what the graders' templates read."""
    first, *others = things
    for variable in dict.fromkeys(chain.from_iterable(map(item_variables, graders))):
        template = f"{{{{{variable}}}}}"
        wanted = _text_of(template, first.row)
        for other in others:
            if _text_of(template, other.row) != wanted:
                raise ValueError(
                    f"{other.row.place}: {variable} is not that of {first.row.place}, the first row of its group; the "
                    "rows of a group are outputs for one item"
                )
    return first.row.item


def _text_of(template: str, row: GradingRow) -> str | None:
    try:
        return render(template, Sample(), row.item)
    except GradingError:
        return None


def _as_kept(grade: Grade) -> Grade:
    """A grade from the cache: whatever calls it once took cost nothing now."""
    if grade.usage is None:
        return grade
    usage = {model: {"kept": counts.get("calls", 0) + counts.get("kept", 0)} for model, counts in grade.usage.items()}
    return replace(grade, usage=usage, parts={name: _as_kept(part) for name, part in grade.parts.items()})


def content_of(raw: Raw) -> Any:
    return raw.content


def _label(row: GradingRow, key: str) -> str:
    if key not in row.item:
        raise ValueError(f"{row.place}: the item has no key {key!r} to group rows by; {nearest(key, row.item)}")
    value = row.item[key]
    return json.dumps(value, sort_keys=True)
