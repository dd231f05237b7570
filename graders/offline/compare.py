"""Compare: two sets of grades of the same rows, row by row. Two models under one grader, or two graders."""

from __future__ import annotations

import heapq
import json
import math
from array import array
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from graders.offline.read import read_grading_rows
from graders.offline.sources import open_parquet, parquet_rows
from graders.rows import read_rows
from graders.statistics import Interval, mcnemar, mean_interval, mean_of, sign_flip
from graders.template import nearest, short

EXAMPLES = 3  # ids shown of those that one side lacks


class Graded(NamedTuple):
    """What a comparison needs of one stored grade."""

    id: str
    score: float | None
    kind: str | None  # of the error
    why: str
    grader: str
    row: str | None  # the hash of what was graded, where it was stored
    item: Mapping[str, Any] | None  # as `assay eval -o` stores it


@dataclass(frozen=True)
class Side:
    """One side: its graders, the mean over the pairs, and what it left undecided or has alone."""

    name: str
    graders: tuple[str, ...]
    n: int
    mean: float | None
    undecided: Mapping[str, int]
    alone: int  # rows whose id the other side lacks
    alone_examples: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """A row whose score differs between the sides, with both reasons."""

    id: str
    a: float
    b: float
    why_a: str
    why_b: str


@dataclass(frozen=True)
class Comparison:
    """B compared with A over the rows that both decided."""

    a: Side
    b: Side
    difference: Interval | None  # mean of B - A; None without pairs
    test: str
    p: float | None
    threshold: float
    flips: Mapping[str, int]  # pass_pass, pass_fail, fail_pass, fail_fail: A, then B
    changed: int  # pairs whose score differs
    most_changed: tuple[Change, ...]
    warnings: tuple[str, ...] = field(default=())

    def to_wire(self) -> dict[str, Any]:
        """The comparison as JSON-ready data."""
        wire = asdict(self)
        if self.difference is not None and self.difference.independent < 2:
            wire["difference"] |= {"low": None, "high": None}
        return wire

    def __str__(self) -> str:
        return "\n".join(_told(self))


def compare_grades(
    a: str | Path,
    b: str | Path,
    *,
    cluster: str | None = None,
    data: Any = None,
    output: str = "output_text",
    threshold: float = 0.5,
    most: int = 10,
    names: tuple[str, str] | None = None,
) -> Comparison:
    """Two files of grades, matched by id: the mean of B - A with its 95 % interval, a test, flips, what changed most.

    A place is a file that `assay grade` or `assay eval -o` wrote (JSON Lines or Parquet), or `file:name` for one
    grader of a file with several. A row that either side left undecided is counted there and enters nothing else.
    `cluster` is an item key; whole clusters are then drawn and change sign together. Items come from the grades of
    `assay eval -o`, or from `data`, the rows that were graded.

    The test is McNemar's exact one where all scores are 0 or 1 and there are no clusters, else the sign-flip
    permutation test. Raises ValueError where no id is on both sides, or an id is twice on one.
    """
    if not math.isfinite(threshold):
        raise ValueError(f"threshold={threshold}: a row passes from a finite score")
    labels = None if data is None or cluster is None else _labels(data, cluster, output)
    one = _First(a)
    pairs = _Pairs(threshold, most)
    seen: set[int] = set()
    two = _Counts()
    for grade in read_grades(b):
        if hash(grade.id) in seen:
            raise ValueError(f"{b}: two rows have the id {grade.id!r}; a comparison needs ids that occur once")
        seen.add(hash(grade.id))
        at = one.take(grade.id)
        two.add(grade, alone=at is None)
        if at is None:
            continue
        one.matched += 1
        if grade.row is not None and one.rows[at] is not None:
            pairs.other_rows += grade.row != one.rows[at]
        score = one.scores[at]
        if grade.score is not None and not math.isnan(score):
            label = None if cluster is None else _label(grade, one.labels.get(grade.id), labels, cluster)
            pairs.add(grade, score, label)
    if not one.matched:
        raise ValueError(f"no id of {a} is in {b}; compare grades of the same rows, with ids that stayed the same")
    return _compared(one, two, pairs, names or (str(a), str(b)), cluster is not None)


class _Counts:
    """What is counted of a side as it is read."""

    def __init__(self) -> None:
        self.n = self.alone = 0
        self.graders: Counter[str] = Counter()
        self.undecided: Counter[str] = Counter()
        self.examples: list[str] = []

    def add(self, grade: Graded, alone: bool) -> None:
        self.n += 1
        self.graders[grade.grader] += 1
        if grade.score is None:
            self.undecided[grade.kind or "other_error"] += 1
        if alone:
            self.alone += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append(grade.id)

    def side(self, name: str, mean: float | None) -> Side:
        undecided = dict(self.undecided.most_common())
        return Side(name, tuple(sorted(self.graders)), self.n, mean, undecided, self.alone, tuple(self.examples))


class _First(_Counts):
    """The side that is read first, and held: scores, NaN for undecided, and hashes of rows, by id."""

    def __init__(self, place: str | Path) -> None:
        super().__init__()
        self.place = place
        self.index: dict[str, int] = {}
        self.scores = array("d")
        self.rows: list[str | None] = []
        self.labels: dict[str, Mapping[str, Any]] = {}
        self.matched = 0
        for grade in read_grades(place):
            if grade.id in self.index:
                raise ValueError(f"{place}: two rows have the id {grade.id!r}; a comparison needs ids that occur once")
            self.index[grade.id] = len(self.scores)
            self.add(grade, alone=False)
            self.scores.append(math.nan if grade.score is None else grade.score)
            self.rows.append(grade.row)
            if grade.item is not None:
                self.labels[grade.id] = grade.item

    def take(self, name: str) -> int | None:
        """The place of an id, which is then the other side's too; what is left at the end is alone."""
        return self.index.pop(name, None)

    def whys(self, ids: set[str]) -> dict[str, str]:
        return {grade.id: grade.why for grade in read_grades(self.place) if grade.id in ids}


class _Pairs:
    """Rows that both sides decided."""

    def __init__(self, threshold: float, most: int) -> None:
        self.threshold, self.most = threshold, most
        self.a, self.b = array("d"), array("d")
        self.clusters: list[Hashable] = []
        self.other_rows = self.changed = 0
        self.flips = Counter({"pass_pass": 0, "pass_fail": 0, "fail_pass": 0, "fail_fail": 0})
        self.top: list[tuple[float, int, str, float, float, str]] = []

    def add(self, grade: Graded, score: float, label: str | None) -> None:
        assert grade.score is not None
        self.a.append(score)
        self.b.append(grade.score)
        self.clusters.append(label)
        one, other = ("pass" if value >= self.threshold else "fail" for value in (score, grade.score))
        self.flips[f"{one}_{other}"] += 1
        self.changed += score != grade.score
        if score != grade.score and self.most:
            entry = (abs(grade.score - score), -len(self.a), grade.id, score, grade.score, grade.why)
            (heapq.heappush if len(self.top) < self.most else heapq.heappushpop)(self.top, entry)


def _compared(one: _First, two: _Counts, pairs: _Pairs, names: tuple[str, str], clustered: bool) -> Comparison:
    one.alone, one.examples = len(one.index), list(one.index)[:EXAMPLES]
    n = len(pairs.a)
    means = [mean_of(scores) if n else None for scores in (pairs.a, pairs.b)]
    sides = one.side(names[0], means[0]), two.side(names[1], means[1])
    differences = [other - score for score, other in zip(pairs.a, pairs.b, strict=True)]
    clusters = pairs.clusters if clustered else None
    difference, test, p = None, "none: no row was decided on both sides", None
    if n:
        low, high = min(0.0, min(pairs.a), min(pairs.b)), max(1.0, max(pairs.a), max(pairs.b))
        difference = mean_interval(differences, clusters, bounds=(low - high, high - low))
        if not clustered and set(pairs.a) | set(pairs.b) <= {0.0, 1.0}:
            gains = sum(value > 0 for value in differences)
            test, p = "McNemar's exact test", mcnemar(gains, sum(value < 0 for value in differences))
        else:
            test, p = "sign-flip permutation test", sign_flip(differences, clusters)
    whys = one.whys({entry[2] for entry in pairs.top}) if pairs.top else {}
    most = [
        Change(name, score, other, whys[name], why) for _, _, name, score, other, why in sorted(pairs.top, reverse=True)
    ]
    flips = dict(pairs.flips)
    return Comparison(
        *sides, difference, test, p, pairs.threshold, flips, pairs.changed, tuple(most), _warnings(sides, pairs)
    )


def _warnings(sides: tuple[Side, Side], pairs: _Pairs) -> tuple[str, ...]:
    warnings = []
    if sides[0].graders != sides[1].graders and pairs.other_rows:
        warnings.append(
            f"both the graders and the graded rows differ (of {pairs.other_rows:,} rows): "
            "what the difference comes from cannot be told"
        )
    alone = sum(side.alone for side in sides)
    if alone:
        warnings.append(f"left out, as they are on one side only: {_rows(alone)}")
    return tuple(warnings)


def _told(found: Comparison) -> Iterator[str]:
    for letter, side in (("A", found.a), ("B", found.b)):
        mean = "-" if side.mean is None else f"{side.mean:.4f}"
        undecided = ", ".join(f"{kind} {count}" for kind, count in side.undecided.items()) or "none"
        yield f"{letter}  {side.name}  {', '.join(side.graders)}  n {side.n}  mean {mean}  undecided: {undecided}"
        if side.alone:
            yield f"   {_rows(side.alone)} only here: {', '.join(map(_printable, side.alone_examples))}" + (
                ", ..." if side.alone > EXAMPLES else ""
            )
    difference = found.difference
    if difference is None:
        yield "no row was decided on both sides"
        return
    interval = f"[{difference.low:+.4f}, {difference.high:+.4f}]" if difference.independent > 1 else "-"
    clusters = "" if difference.independent == difference.n else f" in {difference.independent} clusters"
    yield f"B - A  {difference.mean:+.4f}  95% CI {interval}  over {difference.n} pairs{clusters}"
    yield f"{found.test}: p = {found.p:.4g}"
    yield f"at {found.threshold:g}      B passes    B fails"
    for word in ("pass", "fail"):
        counts = [found.flips[f"{word}_{other}"] for other in ("pass", "fail")]
        yield f"A {'passes' if word == 'pass' else 'fails ':<6} {counts[0]:>10} {counts[1]:>10}"
    if found.most_changed:
        yield f"{_rows(found.changed)} changed; the most:"
    for change in found.most_changed:
        yield f"  {_printable(change.id)}  {change.a:g} -> {change.b:g}"
        yield f"    A: {_printable(change.why_a)}"
        yield f"    B: {_printable(change.why_b)}"


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"


def _printable(text: str) -> str:
    return " ".join(text.encode("utf-8", "backslashreplace").decode().split())


def _labels(data: Any, cluster: str, output: str) -> dict[str, str]:
    labels = {}
    for row in read_grading_rows(data, output):
        if cluster not in row.item:
            raise ValueError(
                f"{row.place}: the item has no key {cluster!r} to group rows by; {nearest(cluster, row.item)}"
            )
        labels[row.id] = json.dumps(row.item[cluster], sort_keys=True)
    return labels


def _label(grade: Graded, other_item: Mapping[str, Any] | None, labels: Mapping[str, str] | None, cluster: str) -> str:
    if labels is not None:
        if grade.id not in labels:
            raise ValueError(f"id {grade.id!r} is not in --data, so its {cluster!r} is not known; give the rows graded")
        return labels[grade.id]
    item = grade.item if grade.item is not None else other_item
    if item is None or cluster not in item:
        raise ValueError(
            f"the grades of id {grade.id!r} hold no item with the key {cluster!r}; name the rows graded with --data"
        )
    return json.dumps(item[cluster], sort_keys=True)


def read_grades(place: str | Path) -> Iterator[Graded]:
    """The grades of a file, or of one grader in it (`file:name`); ValueError with the place for what is no grade."""
    path, name = _place(place)
    if path.suffix.lower() == ".parquet":
        yield from _from_parquet(path, name)
        return
    for where, row in read_rows(path):
        yield _graded(where, row, name)


def _place(place: str | Path) -> tuple[Path, str]:
    path = Path(place)
    if path.is_file():
        return path, ""
    file, _, name = str(place).rpartition(":")
    if not (file and Path(file).is_file()):
        raise FileNotFoundError(f"no file of grades {str(place)!r}")
    return Path(file), name


def _graded(where: str, row: Mapping[str, Any], name: str) -> Graded:
    grade = row
    if "grades" in row:
        grade = _chosen(where, row["grades"], name)
    elif name:
        raise ValueError(f"{where}: the grades of one grader, which has no name here; leave ':{name}' out")
    error, item = grade.get("error"), row.get("item")
    score, name_of_row = grade.get("score"), row.get("id")
    number = isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
    if not isinstance(name_of_row, str | int | float) or "score" not in grade or not (number or score is None):
        raise ValueError(
            f"{where}: no grade ({short(dict(row))}); give a file that 'assay grade' or 'assay eval -o' wrote"
        )
    kind = error.get("kind") if isinstance(error, Mapping) else None
    hashed, grader, why = row.get("row"), str(grade.get("grader") or ""), str(grade.get("why") or "")
    held = item if isinstance(item, Mapping) else None
    return Graded(str(name_of_row), score, kind, why, grader, hashed, held)


def _chosen(where: str, grades: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(grades, Mapping):
        raise ValueError(f"{where}: 'grades' must be an object from name to grade, not {short(grades)}")
    if name not in grades:
        said = f"no grader {name!r}" if name else "the grades of several graders"
        raise ValueError(f"{where}: {said}; write file:name with one of {', '.join(map(str, grades))}")
    grade: Mapping[str, Any] = grades[name]
    return grade


def _from_parquet(path: Path, name: str) -> Iterator[Graded]:
    file = open_parquet(path)
    columns = file.schema_arrow.names
    names = [column.removesuffix(".score") for column in columns if column.endswith(".score")]
    if "score" not in columns and name not in names:
        known = f"write file:name with one of {', '.join(names)}" if names else "give one that 'assay grade' wrote"
        raise ValueError(f"{path}: no grades of {name!r}; {known}" if name else f"{path}: no column 'score'; {known}")
    if "score" in columns and name:
        raise ValueError(f"{path}: the grades of one grader, which has no name here; leave ':{name}' out")
    before = f"{name}." if name else ""
    wanted = {key: key for key in ("id", "row")} | {
        key: before + key for key in ("score", "why", "grader", "error_kind")
    }
    held = {key: column for key, column in wanted.items() if column in columns}
    for number, row in enumerate(parquet_rows(path, file, list(held.values())), start=1):
        grade = {key: row[column] for key, column in held.items()}
        yield _graded(f"{path} row {number}", grade | {"error": {"kind": grade.get("error_kind")}}, "")
