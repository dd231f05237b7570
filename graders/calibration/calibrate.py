"""Calibrate: grade rows that people have labelled, and tell how far the grader agrees with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from graders.agreement import (
    Figure,
    Value,
    accuracy,
    beside_people,
    cohen_kappa,
    krippendorff_alpha,
    mean_difference,
    spearman,
)
from graders.calibration.bias import LengthBias, PositionBias, length_bias, position_bias
from graders.calibration.consistency import Consistency, can_be_drawn, consistency, drawn_again
from graders.calibration.cost import Cost, cost_of_grades
from graders.calibration.labels import Labels, Range, label_key, middle_of, read_labels
from graders.calibration.order import Ordering, check_order, read_order
from graders.calibration.threshold import Suggestion, suggest
from graders.grade import Grade
from graders.grader import Grader
from graders.offline.read import read_grading_rows
from graders.rows import MAX_ROW_BYTES, OUTPUT, GradingRow
from graders.score import Progress, grade_many
from graders.service.services import current
from graders.variables import variables_of

NO_LABELS = "no labels"


@dataclass(frozen=True, slots=True)
class Point:
    """One row: the grader's score beside what people said, on the grader's scale."""

    id: str
    score: float | None
    label: float | None
    passes: bool | None  # by the people
    length: int  # characters of the output


@dataclass(frozen=True, slots=True)
class Calibration:
    """Everything that was found. A text in place of a part says why it is not there."""

    grader: str  # identity
    rows: int
    range: Range
    threshold: float
    labels: Labels | None
    compared: int  # rows with a label and a decided grade
    clusters: int | None  # of these rows; None where none were named
    agreement: Mapping[str, Figure] | str
    confusion: Mapping[str, int]  # "people_grader": pass_pass, pass_fail, fail_pass, fail_fail
    people: Mapping[str, Figure] | str
    consistency: Consistency | str
    position: PositionBias | str
    length: LengthBias
    cost: Cost
    order: Ordering | str
    suggestion: Suggestion | str
    points: Sequence[Point]

    def to_wire(self) -> dict[str, Any]:
        """The report as JSON-ready data; what could not be told is `{"skipped": reason}`."""
        from graders.calibration.words import verdicts

        labels = self.labels
        return {
            "grader": self.grader,
            "rows": self.rows,
            "threshold": self.threshold,
            "label": None if labels is None else {"key": labels.key, "read_as": labels.about, "rows": labels.labelled},
            "compared": self.compared,
            "clusters": self.clusters,
            "agreement": _wire(self.agreement),
            "confusion": dict(self.confusion),
            "people": _wire(self.people),
            "consistency": _wire(self.consistency),
            "position": _wire(self.position),
            "length": self.length.to_wire(),
            "cost": self.cost.to_wire(),
            "order": _wire(self.order),
            "suggestion": _wire(self.suggestion),
            "verdicts": verdicts(self),
        }

    def __str__(self) -> str:
        from graders.calibration.words import told

        return told(self)


def _wire(part: Any) -> Any:
    if isinstance(part, str):
        return {"skipped": part}
    if isinstance(part, Mapping):
        return {name: figure.to_wire() for name, figure in part.items()}
    return part.to_wire()


def calibrate(
    grader: Grader,
    data: Any,
    *,
    label: str | None = None,
    passing: Sequence[str] = (),
    label_range: Range | None = None,
    label_threshold: float | None = None,
    threshold: float | None = None,
    samples: int = 1,
    order_by: str | None = None,
    group: str | None = None,
    cluster: str | None = None,
    output: str = OUTPUT,
    limit: int | None = None,
    concurrency: int = 16,
    seed: int = 0,
    max_row_bytes: int = MAX_ROW_BYTES,
    progress: Callable[[Progress], None] = lambda told: None,
) -> Calibration:
    """Grade labelled rows and compare the scores with what people said.

    `data` is what `read_grading_rows` takes. `label` is the item key of the labels, by default the first of `label`,
    `human` and `score` that is there; the grader does not see it. `samples` is how often each row is graded.
    `order_by` (an item key: good, fair, poor, or a rank) and `group` ask for the ordering check. `cluster` names an
    item key whose values group rows that are not independent. Figures are the same for the same grades and `seed`.

    Raises ValueError where the labels cannot be read, or nothing can be graded, before anything is.
    """
    if (order_by is None) != (group is None):
        raise ValueError(
            "the ordering check needs both: how good each answer is known to be (--order-by), and which answers are "
            "of one item (--group)"
        )
    if samples < 1:
        raise ValueError(f"samples={samples}: each row is graded once at least")
    _check_finite(threshold=threshold, label_threshold=label_threshold, label_range=label_range)
    rows = list(islice(read_grading_rows(data, output, max_row_bytes), limit))
    if not rows:
        raise ValueError("no rows; one at least is expected")
    at = _threshold_of(grader, threshold)
    key = _key(rows, label, order_by)
    hidden = [name for name in (key, order_by) if name]
    _check_reads(grader, hidden)
    labels = None
    if key is not None:
        labels = read_labels(rows, key, grader, at, passing, label_range, label_threshold)
    known = None if order_by is None or group is None else read_order(rows, order_by, group)
    clusters = None if cluster is None else [_cluster(row, cluster) for row in rows]
    grader.check_ready()
    shown = [row._replace(item={k: v for k, v in row.item.items() if k not in hidden}) for row in rows]
    draws = _graded(grader, shown, samples if can_be_drawn(grader) else 1, concurrency, progress)
    graded = _Graded(rows, labels, at, draws, clusters, seed)
    compared = [place for place, score in enumerate(graded.scores) if score is not None and graded.ratings[place]]
    numeric = labels is not None and labels.kind == "number"
    return Calibration(
        grader=grader.identity,
        rows=len(rows),
        range=grader.range,
        threshold=at,
        labels=labels,
        compared=len(compared),
        clusters=None if clusters is None else len({clusters[place] for place in compared}),
        agreement=NO_LABELS if labels is None else _agreement(graded, labels),
        confusion=_confusion(graded.passes, graded.verdicts),
        people=NO_LABELS if labels is None else _people(graded, labels),
        consistency=_consistency(graded, samples),
        position=position_bias(draws[0], clusters),
        length=length_bias(graded.scores, graded.numbers, graded.lengths, clusters, seed, numeric),
        cost=cost_of_grades([grade for grades in draws for grade in grades], current().settings.prices),
        order="not asked for (--order-by and --group)" if known is None else check_order(known, rows, graded.scores),
        suggestion=NO_LABELS if labels is None else suggest(graded.scores, graded.passes, at, clusters, seed),
        points=graded.points(),
    )


class _Graded:
    """Rows with their grades and what people said of them, as lists of one length."""

    def __init__(
        self,
        rows: Sequence[GradingRow],
        labels: Labels | None,
        threshold: float,
        draws: Sequence[Sequence[Grade]],
        clusters: Sequence[Hashable] | None,
        seed: int,
    ) -> None:
        nothing = [None] * len(rows)
        self.rows, self.draws, self.threshold = rows, draws, threshold
        self.grades = draws[0]
        self.scores = [grade.score for grade in draws[0]]
        self.verdicts = [None if score is None else score >= threshold for score in self.scores]
        self.numbers = nothing if labels is None else labels.numbers
        self.ratings = nothing if labels is None else labels.ratings
        self.passes = nothing if labels is None else labels.passes
        self.lengths = [len(row.sample.output_text) for row in rows]
        self.clusters, self.seed = clusters, seed

    def points(self) -> list[Point]:
        columns = zip(self.rows, self.scores, self.numbers, self.passes, self.lengths, strict=True)
        return [Point(row.id, score, number, passed, length) for row, score, number, passed, length in columns]


def _threshold_of(grader: Grader, given: float | None) -> float:
    """The score from which a row passes: as given, as the grader has it, else the middle of its range, else 0.5."""
    own = given if given is not None else getattr(grader, "pass_threshold", None)
    if own is not None:
        return float(own)
    return middle_of(grader.range)


def _check_finite(**options: float | Range | None) -> None:
    for name, given in options.items():
        limits = given if isinstance(given, tuple) else () if given is None else (given,)
        if not all(math.isfinite(limit) for limit in limits):
            raise ValueError(f"{name}={given}: it must be finite")


def _key(rows: Sequence[GradingRow], label: str | None, order_by: str | None) -> str | None:
    """The item key of what people said; None where only the order of answers is known."""
    try:
        return label_key([row.item for row in rows], label)
    except ValueError:
        if label is None and order_by is not None:
            return None
        raise


def _cluster(row: GradingRow, key: str) -> str:
    if key not in row.item:
        raise ValueError(f"{row.place}: no {key!r}, by which rows are to be clustered")
    return str(row.item[key])


def _check_reads(grader: Grader, hidden: Sequence[str]) -> None:
    for _, variable in variables_of(grader):
        if variable.namespace == "item" and variable.path[0] in hidden:
            raise ValueError(
                f"the grader reads {{{{ {variable.text} }}}}, which holds what people know of the answer: it would be "
                "compared with itself. Keep that under a key of its own, and name it with --label or --order-by"
            )


def _graded(
    grader: Grader,
    rows: Sequence[GradingRow],
    draws: int,
    concurrency: int,
    progress: Callable[[Progress], None],
) -> list[list[Grade]]:
    """The grades of all rows, once a draw."""
    found: list[list[Grade]] = []
    for number in range(draws):
        grades: list[Grade] = []
        pairs = ((row.sample, row.item) for row in rows)
        for grade in grade_many(drawn_again(grader, number), pairs, concurrency):
            grades.append(grade)
            done = number * len(rows) + len(grades)
            progress(Progress(done, done / (draws * len(rows)), 0))
        found.append(grades)
    return found


def _agreement(graded: _Graded, labels: Labels) -> dict[str, Figure]:
    clusters, seed = graded.clusters, graded.seed
    ours, theirs = graded.verdicts, labels.passes
    found = {
        "accuracy": accuracy(ours, theirs, clusters),
        "kappa": cohen_kappa(ours, theirs, None, clusters, seed),
    }
    one: Sequence[Value | None] = ours
    other: Sequence[Value | None] = theirs
    if labels.kind == "number":
        one, other = graded.scores, labels.numbers
        found["kappa_quadratic"] = cohen_kappa(graded.scores, labels.numbers, "quadratic", clusters, seed)
    if labels.kind == "category":
        one, other = _chosen(graded.grades), labels.categories
        found["category_accuracy"] = accuracy(one, other, clusters)
        found["category_kappa"] = cohen_kappa(one, other, None, clusters, seed)
    found["alpha"] = krippendorff_alpha(list(zip(one, other, strict=True)), labels.level, clusters, seed)
    found["spearman"] = spearman(graded.scores, labels.numbers, clusters, seed)
    found["bias"] = mean_difference(graded.scores, labels.numbers, clusters)
    return found


def _chosen(grades: Sequence[Grade]) -> list[str | None]:
    """The label that each grade names."""
    return [grade.extracted if isinstance(grade.extracted, str) else None for grade in grades]


def _people(graded: _Graded, labels: Labels) -> dict[str, Figure] | str:
    """How people agree among themselves, and the grader with a single one of them, which can be compared."""
    if not labels.several:
        return "one label a row"
    kinds: Mapping[str, Sequence[Value | None]] = {
        "number": graded.scores,
        "truth": graded.verdicts,
        "category": _chosen(graded.grades),
    }
    alone, one, more = beside_people(kinds[labels.kind], labels.ratings, labels.level, graded.clusters, graded.seed)
    if not alone.n:
        return "no decided row has two labels"
    return {"alpha": alone, "grader_with_one": one, "difference": more}


def _confusion(passes: Sequence[bool | None], ours: Sequence[bool | None]) -> dict[str, int]:
    table = {f"{people}_{grader}": 0 for people in ("pass", "fail") for grader in ("pass", "fail")}
    words = {True: "pass", False: "fail"}
    for people, grader in zip(passes, ours, strict=True):
        if people is not None and grader is not None:
            table[f"{words[people]}_{words[grader]}"] += 1
    return table


def _consistency(graded: _Graded, samples: int) -> Consistency | str:
    if samples == 1:
        return "not asked for (--samples 3)"
    if len(graded.draws) == 1:
        return "the grader asks no judge, so there is nothing to draw again"
    scores = [[grade.score for grade in grades] for grades in graded.draws]
    return consistency(scores, graded.threshold, graded.clusters, graded.seed)
