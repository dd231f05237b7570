"""json_match: how much of a reference object does the output hold, field by field?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, Literal

from pydantic import Field

from graders.composite import Composite, Steps, could_not_decide, usage_of
from graders.grade import Grade
from graders.grader import Grader
from graders.reference import invalid
from graders.sample import Item, Sample
from graders.structured.compare import Comparison, Extra, Fields, Lists, Place, places
from graders.structured.unused import without_effect
from graders.structured.values import is_value, read_output, read_reference
from graders.template import Template

MOST_REASONS = 8
EQUAL = Grade(1.0, "equal")


class JsonMatch(Composite):
    """The share of a reference's fields that the output's JSON has right, from 0 to 1.

    Fields are equal as JSON values are: numbers by value, everything else exactly, true is not 1. Each field of an
    object weighs the same unless `fields` says otherwise, and divides its weight among its own fields. A missing
    field is worth 0; one that the reference lacks adds to what is divided by (`extra`). Lists are compared
    position by position, or matched one to one so that the score is highest (`lists`). A field may have a grader of
    its own, which sees the field in place of the output and `item.reference`, the reference's value there.

    An output that is no JSON is the candidate's fault and scores 0; an item without a usable reference is undecided.

    >>> match = JsonMatch(reference="{{item.person}}")
    >>> match('{"name": "Ada", "born": 1816}', {"person": {"name": "Ada", "born": 1815}}).why
    '1 of 2 fields right: born is 1816, not 1815'
    """

    gives_parts: ClassVar[frozenset[str]] = frozenset({"reference"})  # `item.reference` is the field's

    type: Literal["json_match"] = "json_match"
    input: Template = "{{sample.output_text}}"
    reference: Template
    lists: Lists = "ordered"
    extra: Extra = "charge"
    fields: Fields = Field({})

    @property
    def members(self) -> Mapping[str, Grader]:
        return {path: rule.grader for path, rule in self.fields.items() if rule.grader is not None}

    @cached_property
    def _root(self) -> Place:
        return places(self.fields)

    def steps(self, sample: Sample, item: Item) -> Steps:
        gold = self._gold(sample, item)
        root = self._root
        if isinstance(gold, dict) and gold and not any(root.weight_of(*field) for field in gold.items()):
            raise invalid(gold, f"each of its fields ({', '.join(gold)}) has weight 0")
        given = read_output(self.input, sample, item)
        comparison = Comparison(gold, given, self.lists, self.extra, item, self._course)
        comparison.ask(gold, given, root)
        usage = None
        if comparison.calls:
            grades = yield list(comparison.calls.values())
            usage = usage_of(grades)
            if undecided := could_not_decide(comparison.answer(grades), extracted=given, usage=usage):
                return undecided
        if not (isinstance(gold, dict) and isinstance(given, dict)):
            score = comparison.score(gold, given, root)
            why = _summed_up("equal" if score == 1 else "", comparison.differences(gold, given, root, ""))
            parts = dict(comparison.graded(gold, given, root, ""))
            return Grade(score, why, parts=parts, extracted=given, usage=usage)
        return _by_fields(comparison, gold, given, root, usage)

    def cautions(self, item: Item) -> list[str]:
        """Which `fields` change nothing for an item, as its reference has nothing there."""
        return without_effect(self.fields, self._gold(Sample(), item), self.extra)

    def _gold(self, sample: Sample, item: Item) -> Any:
        return read_reference(self.reference, sample, item, strings=is_value(self.input))

    def _course(self, comparison: Comparison, gold: Any) -> None:
        comparison.ask(gold, gold, self._root)
        comparison.score(gold, gold, self._root)


def _by_fields(comparison: Comparison, gold: dict[str, Any], given: dict[str, Any], root: Place, usage: Any) -> Grade:
    shares = {name: comparison.score(gold[name], given[name], root.at(name)) for name in gold if name in given}
    score = comparison.share(gold, given, shares, root)
    counted = [name for name in gold if root.weight_of(name, gold[name])]
    right = sum(shares.get(name) == 1 for name in counted)
    head = f"{right} of {len(counted)} field{'s' * (len(counted) != 1)} right"
    if score == 1:
        why = head
    else:
        shown = "" if score == right / max(1, len(counted)) else f", score {score:.4g}"
        why = _summed_up(head + shown, comparison.differences(gold, given, root, ""))
    parts = {name: _part(comparison, gold[name], given, name, shares, root.at(name)) for name in counted}
    parts |= dict(comparison.graded(gold, given, root, ""))
    return Grade(score, why, parts=parts, extracted=given, usage=usage)


def _part(
    comparison: Comparison, wanted: Any, given: dict[str, Any], name: str, shares: Mapping[str, float], place: Place
) -> Grade:
    """The grade of one field at the top; that of a field's own grader takes its place later."""
    if name not in given:
        return Grade(0.0, "missing")
    if shares[name] == 1:
        return EQUAL
    return Grade(shares[name], _summed_up("", comparison.differences(wanted, given[name], place, name)))


def _summed_up(head: str, differences: Iterator[str]) -> str:
    reasons = list(islice(differences, MOST_REASONS + 1))
    if len(reasons) > MOST_REASONS:
        reasons[-1] = "and more"
    return ": ".join(filter(None, [head, "; ".join(reasons)]))
