"""Comparing two JSON values field by field: the share of the reference that the output got right, and where it differs.

Scores nothing by itself: `json_match` compares whole objects this way, `tool_calls` the arguments of each call.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from graders.composite import Call, Part
from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.options import Options
from graders.reference import invalid
from graders.sample import Item, Sample
from graders.structured.assignment import best_matching
from graders.structured.values import as_text, fingerprint, is_scalar, same, size
from graders.template import short

Lists = Literal["ordered", "unordered"]
Extra = Literal["charge", "ignore"]

PATH = re.compile(r"(?:[^.\[\]]+|\[\])(?:\.[^.\[\]]+|\[\])*")
MAX_PAIRS = 40_000  # elements compared each with each, in one list
MAX_STEPS = 400_000  # values compared in one grading
MAX_CALLS = 2_000  # questions to graders of fields in one grading, which may cost money


class FieldRule(Options):
    """How one field is compared; what is left out is as elsewhere."""

    grader: Part | None = None
    weight: float = Field(1.0, ge=0, le=1e6)
    lists: Lists | None = None

    @model_validator(mode="after")
    def _has_an_effect(self) -> FieldRule:
        if not self.model_fields_set:
            raise ValueError("it changes nothing; give the field a grader, a weight other than 1, or lists")
        if self.grader is not None:
            if self.lists is not None:
                raise ValueError("lists has no effect beside grader, which judges the whole field; leave one out")
            if self.weight == 0:
                raise ValueError("weight 0 leaves the field out, so its grader would not be asked; leave one out")
            low, high = self.grader.range
            if (low < 0 and low > float("-inf")) or (high > 1 and high < float("inf")):
                raise ValueError(
                    f"grader {self.grader.label!r} scores from {low:g} to {high:g}, and a field is worth 0 to 1; "
                    "bring it there, for example with a clip"
                )
        return self


def path_steps(path: str) -> list[str]:
    """The steps of a path such as `address.city` or `people[].name`, in which `[]` is every element of a list."""
    if not PATH.fullmatch(path):
        raise ValueError(f"{path!r} is not a path; write it as 'address.city', or 'people[].name' for each element")
    return re.findall(r"[^.\[\]]+|\[\]", path)


def _checked(fields: dict[str, FieldRule]) -> dict[str, FieldRule]:
    graded = {path: path_steps(path) for path, rule in fields.items() if rule.grader is not None or rule.weight == 0}
    for path, rule in fields.items():
        steps = path_steps(path)
        if steps[-1] == "[]" and rule.weight != 1:
            raise ValueError(f"{path!r}: the elements of a list weigh the same; give the weight to the list")
        for other, above in graded.items():
            if len(above) < len(steps) and steps[: len(above)] == above:
                raise ValueError(f"{path!r} has no effect: {other!r} is judged as a whole; leave one of them out")
    return fields


Fields: TypeAlias = Annotated[dict[str, FieldRule], AfterValidator(_checked)]
"""Path -> how that field is compared."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the reference: how the field there is compared, and the places below it."""

    grader: Grader | None = None
    weight: float = 1.0
    lists: Lists | None = None
    path: str = ""
    below: dict[str, Place] = field(default_factory=dict)
    asks: bool = False  # whether a grader is asked here or below

    def at(self, step: str) -> Place:
        return self.below.get(step, ANYWHERE)

    def weight_of(self, name: str, wanted: Any) -> float:
        """What a field of the reference weighs: nothing where it is an object of which all is left out."""
        place = self.at(name)
        if place.below and place.weight and isinstance(wanted, dict) and wanted:
            return place.weight if any(place.weight_of(*inner) for inner in wanted.items()) else 0.0
        return place.weight


ANYWHERE = Place()


def places(fields: Mapping[str, FieldRule]) -> Place:
    """The tree of the paths, from its root."""
    return _place({tuple(path_steps(path)): (path, rule) for path, rule in fields.items()}, 0)


def _place(rules: Mapping[tuple[str, ...], tuple[str, FieldRule]], depth: int) -> Place:
    groups: dict[str, dict[tuple[str, ...], tuple[str, FieldRule]]] = defaultdict(dict)
    path, own = "", FieldRule.model_construct()
    for steps, (text, rule) in rules.items():
        if len(steps) == depth:
            path, own = text, rule
        else:
            groups[steps[depth]][steps] = text, rule
    below = {step: _place(group, depth + 1) for step, group in groups.items()}
    asks = own.grader is not None or any(place.asks for place in below.values())
    return Place(own.grader, own.weight, own.lists, path, below, asks)


Course: TypeAlias = "Callable[[Comparison, Any], None]"  # asks and scores the reference against a value
Key: TypeAlias = tuple[int, int, int]  # the place and the two values, by id: all live as long as the comparison


class Comparison:
    """One comparison of values from the output with values from the reference.

    Where fields have graders: `ask` for each pair of values, have the `calls` answered, hand in the grades with
    `answer`; then `score`, `differences` and `graded` know them.

    What takes too many steps ends with a GradingError. `course` asks and scores all there is to it: where the
    reference compared with itself takes too many, the reference is to blame, and else the output.
    """

    def __init__(
        self, gold: Any, given: Any, lists: Lists, extra: Extra, item: Item, course: Course | None = None
    ) -> None:
        self.calls: dict[Key, Call] = {}
        self._whole = (gold, given)
        self._course = course
        self._questions = 0
        self._lists = lists
        self._extra = extra
        self._item = item
        self._paths: dict[Key, str] = {}
        self._answers: dict[Key, Grade] = {}
        self._matches: dict[Key, list[tuple[int, int, float]]] = {}
        self._steps_left = MAX_STEPS

    def ask(self, gold: Any, given: Any, place: Place) -> None:
        """Add to `calls` what the graders of fields are to be asked about two values."""
        if not place.asks:
            return
        self._step()
        if place.grader is not None:
            if gold is not None:  # an item that holds null could not be read by the grader
                key = (id(place), id(gold), id(given))
                about = Sample(as_text(given), given)
                self.calls[key] = Call(place.grader, about, {**self._item, "reference": gold})
                self._paths[key] = place.path
                self._questions += 1
                if self._questions > MAX_CALLS:
                    raise self._too_much(f"more than {MAX_CALLS:,} questions to graders of fields")
        elif isinstance(gold, dict) and isinstance(given, dict):
            for name in gold:
                if name in given:
                    self.ask(gold[name], given[name], place.at(name))
        elif _both_lists(gold, given):
            element = place.at("[]")
            if self._ordered(place):
                for wanted, found in zip(gold, given, strict=False):
                    self.ask(wanted, found, element)
            else:
                self.check_pairs(len(gold) * len(given))
                for wanted in gold:
                    for found in given:
                        self.ask(wanted, found, element)

    def answer(self, grades: Sequence[Grade]) -> dict[str, Grade]:
        """Take the grades of `calls`, in their order; by path those with which no score can be computed."""
        self._answers = dict(zip(self.calls, grades, strict=True))
        unusable = {}
        for key, grade in self._answers.items():
            if grade.score is not None and not 0 <= grade.score <= 1:
                detail = f"a field is worth 0 to 1, and its grader scored {grade.score:g}"
                grade = Grade.undecided("out_of_range", detail)
            if grade.score is None:
                unusable[self._paths[key]] = grade
        return unusable

    def score(self, gold: Any, given: Any, place: Place) -> float:
        """The share of `gold` that `given` holds, from 0 to 1."""
        self._step()
        if place.grader is not None and gold is not None:
            answer = self._answers.get((id(place), id(gold), id(given)))  # none when only the steps are counted
            return (answer.score if answer else None) or 0.0
        if isinstance(gold, dict):
            if not isinstance(given, dict):
                return 0.0
            shares = {name: self.score(gold[name], given[name], place.at(name)) for name in gold if name in given}
            return self.share(gold, given, shares, place)
        if isinstance(gold, list | tuple):
            return self._list(gold, given, place) if isinstance(given, list | tuple) else 0.0
        return float(same(gold, given))

    def share(self, gold: Mapping[str, Any], given: Mapping[str, Any], shares: Mapping[str, float], at: Place) -> float:
        """The share of an object whose fields are worth `shares`: a field that is missing is worth 0."""
        total = sum(at.weight_of(name, wanted) for name, wanted in gold.items())
        earned = sum(at.weight_of(name, gold[name]) * share for name, share in shares.items())
        if self._extra == "charge":
            total += sum(at.at(name).weight for name in given if name not in gold)
        return min(1.0, earned / total) if total else 1.0

    def differences(self, gold: Any, given: Any, place: Place, where: str) -> Iterator[str]:
        """What is wrong, place by place, with both values."""
        if place.grader is not None and gold is not None:
            grade = self._answers[id(place), id(gold), id(given)]
            if grade.score != 1:
                yield f"{where} scored {grade.score:.4g} ({grade.why})"
        elif isinstance(gold, dict) and isinstance(given, dict):
            for name, wanted in gold.items():
                if place.weight_of(name, wanted):
                    yield from self._field(wanted, given, name, place, where)
            if self._extra == "charge":
                for name in given:
                    if name not in gold and place.at(name).weight:
                        yield f"{_below(where, name)} is not expected"
        elif _both_lists(gold, given):
            yield from self._list_differences(gold, given, place, where)
        elif not (is_scalar(gold) and is_scalar(given) and same(gold, given)):
            yield f"{where or 'the output'} is {_shown(given)}, not {_shown(gold)}"

    def graded(self, gold: Any, given: Any, place: Place, where: str) -> Iterator[tuple[str, Grade]]:
        """The grades of the fields' graders that count, by place."""
        if not place.asks:
            return
        if place.grader is not None:
            if gold is not None:
                yield where, self._answers[id(place), id(gold), id(given)]
        elif isinstance(gold, dict) and isinstance(given, dict):
            for name in gold:
                if name in given:
                    yield from self.graded(gold[name], given[name], place.at(name), _below(where, name))
        elif _both_lists(gold, given):
            for first, second, _ in self._matched(gold, given, place):
                yield from self.graded(gold[first], given[second], place.at("[]"), f"{where}[{first}]")

    def _field(self, wanted: Any, given: Mapping[str, Any], name: str, place: Place, where: str) -> Iterator[str]:
        if name in given:
            yield from self.differences(wanted, given[name], place.at(name), _below(where, name))
        else:
            yield f"{_below(where, name)} is missing ({_shown(wanted)} expected)"

    def _list_differences(self, gold: Any, given: Any, place: Place, where: str) -> Iterator[str]:
        matched = self._matched(gold, given, place)
        for first, second, score in matched:
            if score < 1:
                yield from self.differences(gold[first], given[second], place.at("[]"), f"{where}[{first}]")
        known = {first for first, _, _ in matched}
        used = {second for _, second, _ in matched}
        for number, wanted in enumerate(gold):
            if number not in known:
                yield f"{where}[{number}] is missing ({_shown(wanted)} expected)"
        for number, found in enumerate(given):
            if number not in used:
                yield f"{_shown(found)} in {where or 'the list'} is not expected"

    # Lists

    def _ordered(self, place: Place) -> bool:
        return (place.lists or self._lists) == "ordered"

    def _list(self, gold: Sequence[Any], given: Sequence[Any], place: Place) -> float:
        longer = max(len(gold), len(given))
        if not longer:
            return 1.0
        return min(1.0, sum(score for _, _, score in self._matched(gold, given, place)) / longer)

    def _matched(self, gold: Sequence[Any], given: Sequence[Any], place: Place) -> list[tuple[int, int, float]]:
        """Which element stands for which, and what each pair scores."""
        key = (id(place), id(gold), id(given))
        if key not in self._matches:
            element = place.at("[]")
            if self._ordered(place):
                pairs = enumerate(zip(gold, given, strict=False))
                matched = [(number, number, self.score(*pair, element)) for number, pair in pairs]
            elif element.asks:
                matched = self._best(gold, given, range(len(gold)), range(len(given)), element)
            else:
                matched = sorted(self._equal_scalars(gold, given) + self._best_by_kind(gold, given, element))
            self._matches[key] = matched
        return self._matches[key]

    def _equal_scalars(self, gold: Sequence[Any], given: Sequence[Any]) -> list[tuple[int, int, float]]:
        waiting: dict[Any, list[int]] = defaultdict(list)
        for number in range(len(given) - 1, -1, -1):
            if is_scalar(given[number]):
                waiting[fingerprint(given[number])].append(number)
        matched = []
        for number, wanted in enumerate(gold):
            if is_scalar(wanted) and (same_ones := waiting.get(fingerprint(wanted))):
                matched.append((number, same_ones.pop(), 1.0))
        return matched

    def _best_by_kind(self, gold: Sequence[Any], given: Sequence[Any], element: Place) -> list[tuple[int, int, float]]:
        """An object and a list have nothing in common, so each kind is matched for itself."""
        matched = []
        for kind in (dict, (list, tuple)):
            rows = [number for number, wanted in enumerate(gold) if isinstance(wanted, kind)]
            columns = [number for number, found in enumerate(given) if isinstance(found, kind)]
            if rows and columns:
                matched += self._best(gold, given, rows, columns, element)
        return matched

    def _best(
        self, gold: Sequence[Any], given: Sequence[Any], rows: Sequence[int], columns: Sequence[int], element: Place
    ) -> list[tuple[int, int, float]]:
        self.check_pairs(len(rows) * len(columns))
        scores = [[self.score(gold[row], given[column], element) for column in columns] for row in rows]
        return [(rows[first], columns[second], scores[first][second]) for first, second in best_matching(scores)]

    # What is too much to compare

    def check_pairs(self, pairs: int) -> None:
        """Raise GradingError for too many `pairs` of elements."""
        if pairs > MAX_PAIRS:
            raise self._too_much(f"more than {MAX_PAIRS:,} pairs of elements")

    def _step(self) -> None:
        self._steps_left -= 1
        if self._steps_left < 0:
            raise self._too_much(f"more than {MAX_STEPS:,} values")

    def _too_much(self, what: str) -> GradingError:
        """The reference's fault where it is too much even for itself, else the output's."""
        gold, given = self._whole
        wanted, found = size(gold), size(given)
        try:
            if self._course is not None:
                self._course(Comparison(gold, gold, self._lists, self._extra, self._item), gold)
                detail = f"the output holds {found:,} values where the reference holds {wanted:,}: {what} to compare"
                return GradingError("sample_parse_error", detail, "candidate")
        except GradingError:
            pass
        return invalid(gold, f"it holds {wanted:,} values: {what} to compare; set lists to 'ordered', or split it")


def _both_lists(gold: Any, given: Any) -> bool:
    return isinstance(gold, list | tuple) and isinstance(given, list | tuple)


def _below(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _shown(value: Any) -> str:
    return short(value, 60)
