"""Labels: what people said of each row, read from the item and brought to the grader's scale."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from graders.agreement import Level, Value
from graders.grader import Grader
from graders.rows import GradingRow
from graders.template import nearest, short

KEYS = ("label", "human", "score")
"""Item keys that are looked for, in this order, where none is named."""

ORDERED = {"poor": 0.0, "fair": 0.5, "good": 1.0}
"""OpenAI's words for answers of known worth."""

PASSING = ("pass", "passed", "yes", "true", "correct", "good", "right")
FAILING = ("fail", "failed", "no", "false", "incorrect", "bad", "wrong")

Kind = Literal["truth", "number", "category"]
Range: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Labels:
    """What people said, a place a row. Numbers are on the grader's scale; None where nobody said, or no side won."""

    key: str
    kind: Kind
    ratings: Sequence[Sequence[Value]]  # of each person
    numbers: Sequence[float | None]  # the mean of all
    passes: Sequence[bool | None]
    categories: Sequence[str | None]  # the strict majority's; all None but where the grader names one too
    about: str  # how they were read, for people
    doubt: str = ""  # why they may be on another scale than they were taken to be
    bar: str = ""  # of numbers: the label from which a row passes

    @property
    def level(self) -> Level:
        return "interval" if self.kind == "number" else "nominal"

    @property
    def several(self) -> bool:
        """Whether some row has more than one person's label."""
        return any(len(values) > 1 for values in self.ratings)

    @property
    def labelled(self) -> int:
        return sum(bool(values) for values in self.ratings)


def middle_of(scale: Range) -> float:
    """The middle of a range, to 12 digits, which is what people mean by it; 0.5 of a range without ends.

    >>> middle_of((0.1, 1.1))
    0.6
    """
    low, high = _finite(scale)
    middle = low / 2 + high / 2
    rounded = float(f"{middle:.12g}")
    return rounded if low < rounded < high else middle


def label_key(items: Sequence[Mapping[str, Any]], given: str | None) -> str:
    """The item key that holds what people said. Raises ValueError where it is not there."""
    keys = list(dict.fromkeys(key for item in items for key in item))
    if given is not None:
        if given not in keys:
            raise ValueError(f"no item has a {given!r}; {nearest(given, keys)}")
        return given
    found = next((key for key in KEYS if key in keys), None)
    if found is None:
        raise ValueError(f"no item has {', '.join(KEYS[:-1])} or {KEYS[-1]}; name what people said with --label KEY")
    return found


def read_labels(
    rows: Sequence[GradingRow],
    key: str,
    grader: Grader,
    threshold: float,
    passing: Sequence[str] = (),
    label_range: Range | None = None,
    label_threshold: float | None = None,
) -> Labels:
    """The labels of all rows. `passing` are the texts that pass, `label_range` the scale people used,
    `label_threshold` the number on it from which a label passes.

    Raises ValueError for labels that cannot be read, naming the row.
    """
    values = _meant([_ratings(row, key) for row in rows], set(getattr(grader, "labels", ())))
    kind = _kind(values, rows, key)
    for option, given in (("--label-range", label_range), ("--label-threshold", label_threshold)):
        if given is not None and kind != "number":
            raise ValueError(f"{option} is of numbers, and the labels in {key!r} are {_WORDS[kind]}")
    if passing and kind != "category":
        raise ValueError(f"--passing names texts, and the labels in {key!r} are {_WORDS[kind]}")
    if kind == "category":
        return _categories(key, values, grader, passing)
    if kind == "truth":
        return _truths(key, values, grader.range, "truth values")
    return _numbers(key, values, grader.range, threshold, label_range, label_threshold)


_WORDS: Mapping[Kind, str] = {"truth": "truth values", "number": "numbers", "category": "texts"}


def _ratings(row: GradingRow, key: str) -> list[Any]:
    given = row.item.get(key)
    values = list(given) if isinstance(given, list | tuple) else [given]
    kept = [value for value in values if value is not None and value != ""]
    for value in kept:
        if not isinstance(value, bool | int | float | str) or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(
                f"{row.place}: {key!r} must be a number, a truth value, a text or a list of these, not {short(value)}"
            )
    return kept


def _meant(values: Sequence[Sequence[Any]], names: Collection[str]) -> list[list[Any]]:
    """Labels as they are meant: the grader's own where all are, though they be digits; else numbers where they can."""
    texts = [[_as_text(value) for value in ratings] for ratings in values]
    if names and all(text in names for ratings in texts for text in ratings):
        return texts
    return [[_plain(value) for value in ratings] for ratings in values]


def _as_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _plain(value: Any) -> Any:
    """A label as it is meant: tables hold numbers as text."""
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value.strip()
    return number if math.isfinite(number) else value.strip()


def _kind(values: Sequence[Sequence[Any]], rows: Sequence[GradingRow], key: str) -> Kind:
    kinds: dict[Kind, str] = {}
    for row, ratings in zip(rows, values, strict=True):
        for value in ratings:
            kind: Kind = "category" if isinstance(value, str) else "truth" if isinstance(value, bool) else "number"
            kinds.setdefault(kind, row.place)
    if not kinds:
        raise ValueError(f"no row has a label in {key!r}")
    if "category" in kinds and len(kinds) > 1:
        other = next(kind for kind in kinds if kind != "category")
        raise ValueError(
            f"{key!r} is a text in {kinds['category']} and one of {_WORDS[other]} in {kinds[other]}; use one kind"
        )
    return "number" if "number" in kinds else next(iter(kinds))


def _categories(key: str, values: Sequence[Sequence[str]], grader: Grader, passing: Sequence[str]) -> Labels:
    distinct = list(dict.fromkeys(value for ratings in values for value in ratings))
    if strange := next((text for text in passing if text not in distinct), None):
        raise ValueError(f"--passing {strange!r} is the label of no row; {nearest(strange, distinct)}")
    if set(distinct) <= set(getattr(grader, "labels", ())):  # the grader names one itself
        good = set(passing) or set(getattr(grader, "passing_labels", ()))
        passes = [_majority([value in good for value in ratings]) for ratings in values]
        numbers = [_end(passed, grader.range) for passed in passes]
        chosen = [_majority(ratings) for ratings in values]
        return Labels(key, "category", values, numbers, passes, chosen, f"the grader's labels, {_passing(good)}")
    if passing:
        truths = [[value in passing for value in ratings] for ratings in values]
        return _truths(key, truths, grader.range, f"texts, {_passing(passing)}")
    words = [[value.lower() for value in ratings] for ratings in values]
    lower = {word for ratings in words for word in ratings}
    if lower <= ORDERED.keys():
        return _worth(key, words, grader.range)
    if lower <= {*PASSING, *FAILING}:
        truths = [[word in PASSING for word in ratings] for ratings in words]
        return _truths(key, truths, grader.range, f"texts, {_passing(lower & set(PASSING))}")
    shown = ", ".join(map(repr, distinct[:8]))
    raise ValueError(f"the labels in {key!r} are {shown}; say which of them pass with --passing")


def _passing(texts: Collection[str]) -> str:
    return f"of which {', '.join(map(repr, sorted(texts)))} pass{'es' * (len(texts) == 1)}" if texts else "none passes"


def _worth(key: str, values: Sequence[Sequence[str]], scale: Range) -> Labels:
    low, high = _finite(scale)
    middle = middle_of(scale)
    worth = {0.0: low, 0.5: middle, 1.0: high}
    ratings = [[worth[ORDERED[word]] for word in words] for words in values]
    numbers = [_mean(found) for found in ratings]
    passes = [_reaches(number, middle, scale) for number in numbers]
    return Labels(
        key,
        "number",
        ratings,
        numbers,
        passes,
        [None] * len(values),
        f"good, fair and poor, taken as {high:g}, {middle:g} and {low:g}; fair passes",
    )


def _truths(key: str, values: Sequence[Sequence[bool]], scale: Range, about: str) -> Labels:
    passes = [_majority(ratings) for ratings in values]
    numbers = [_end(passed, scale) for passed in passes]
    return Labels(key, "truth", values, numbers, passes, [None] * len(values), about)


def _numbers(
    key: str,
    values: Sequence[Sequence[float]],
    scale: Range,
    threshold: float,
    label_range: Range | None,
    label_threshold: float | None,
) -> Labels:
    found = [float(value) for ratings in values for value in ratings]
    least, most = min(found), max(found)
    _check_width(key, (least, most), label_range)
    bounded = all(math.isfinite(limit) for limit in scale)
    same = label_range is None and (not bounded or scale[0] <= least <= most <= scale[1])
    to = _finite(scale)
    own = to if same else label_range or (least, most)
    if not math.isfinite(to[1] - to[0]):
        raise ValueError(f"the grader's range from {to[0]:g} to {to[1]:g} is too wide to compute with")
    if not same and own[0] >= own[1]:
        raise ValueError(f"every label in {key!r} is {least:g}, so its scale is not known; give --label-range LOW,HIGH")

    def moved(value: float) -> float:
        return value if same else _stretched(value, own, to)

    numbers = [None if mean is None else moved(mean) for mean in map(_mean, values)]
    at = threshold if label_threshold is None else moved(label_threshold)
    bar = threshold if same else _stretched(threshold, to, own)
    bar = bar if label_threshold is None else label_threshold
    same_scale = "numbers on the grader's scale"
    stretched = f"numbers from {own[0]:g} to {own[1]:g}, brought to the grader's scale"
    doubt = ""
    if same and bounded and 2 * (most - least) < scale[1] - scale[0]:
        doubt = (
            f"labels lie between {least:g} and {most:g}, under half of the grader's range from {scale[0]:g} to "
            f"{scale[1]:g}: if people used another scale, name it with --label-range"
        )
    return Labels(
        key,
        "number",
        [[moved(value) for value in row] for row in values],
        numbers,
        [_reaches(number, at, to) for number in numbers],
        [None] * len(values),
        f"{same_scale if same else stretched}; {bar:g} passes",
        doubt,
        f"{bar:g}",
    )


def _check_width(key: str, found: Range, label_range: Range | None) -> None:
    for low, high in (found, label_range or found):
        if not math.isfinite(high - low):
            raise ValueError(f"labels in {key!r} from {low:g} to {high:g}: the scale is too wide to compute with")
    if label_range is not None and not label_range[0] <= found[0] <= found[1] <= label_range[1]:
        strange = found[0] if found[0] < label_range[0] else found[1]
        raise ValueError(
            f"{key!r} is {strange:g} in some row, outside --label-range {label_range[0]:g},{label_range[1]:g}"
        )


def _stretched(value: float, own: Range, to: Range) -> float:
    """A number of one scale on another, to 12 digits of that scale."""
    moved = (value - own[0]) / (own[1] - own[0]) * (to[1] - to[0]) + to[0]
    return round(moved, 11 - math.floor(math.log10(max(map(abs, to)))))


def _reaches(number: float | None, at: float, scale: Range) -> bool | None:
    """Whether a label passes; means and stretched labels are rounded, and what is equal but for that passes."""
    return None if number is None else number >= at - 1e-9 * max(abs(at), *map(abs, _finite(scale)))


def _finite(scale: Range) -> Range:
    return scale if all(math.isfinite(limit) for limit in scale) else (0.0, 1.0)


def _end(passed: bool | None, scale: Range) -> float | None:
    return None if passed is None else _finite(scale)[passed]


def _mean(ratings: Sequence[float]) -> float | None:
    return math.fsum(ratings) / len(ratings) if ratings else None


def _majority(ratings: Sequence[Any]) -> Any:
    """What more than half of the people said; None where nothing is."""
    if not ratings:
        return None
    value, count = Counter(ratings).most_common(1)[0]
    return value if 2 * count > len(ratings) else None
