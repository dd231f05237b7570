"""References of a ranked list: the right answers of one item, of equal or graded relevance."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from graders.reference import as_text, invalid, resolved
from graders.sample import Item, Sample
from graders.template import parse, short


class References(NamedTuple):
    """The right answers of one item: compared name -> relevance in (0, 1], and the item's spelling."""

    relevance: Mapping[str, float]
    spelling: Mapping[str, str]
    graded: bool  # given as an object from name to relevance

    @property
    def best(self) -> str:
        """The name with the highest relevance."""
        return max(self.relevance, key=self.relevance.__getitem__)

    @property
    def best_name(self) -> str:
        """The same in the item's spelling."""
        return self.spelling[self.best]


def checked(reference: Any) -> Any:
    """A grader's `reference` as it is, or ValueError: a template, a list of them, or name -> relevance."""
    if isinstance(reference, str):
        parse(reference)
    elif isinstance(reference, list | tuple) and reference and all(isinstance(name, str) for name in reference):
        for name in reference:
            parse(name)
    elif isinstance(reference, Mapping) and reference:
        _check_relevances(reference)
    else:
        raise ValueError(
            f"{short(reference)} is no reference; give a template, a list of templates, "
            "or an object from name to relevance"
        )
    return reference


def _check_relevances(graded: Mapping[Any, Any]) -> None:
    for name, relevance in graded.items():
        if isinstance(relevance, bool) or not isinstance(relevance, int | float):
            raise ValueError(f"the relevance of {name!r} is {short(relevance)}; a number of at least 0 is expected")
        if not 0 <= relevance <= sys.float_info.max:
            raise ValueError(f"the relevance of {name!r} is {short(relevance)}; it must be finite and at least 0")
    if not any(graded.values()):
        raise ValueError("no name has a relevance above 0, so every list would score 0; mark at least one")


def read_references(
    reference: str | list[str] | dict[str, float],
    sample: Sample,
    item: Item,
    key: Callable[[str], str],
    allowed: frozenset[str] | None,
) -> References:
    """The references of one item under the names that `key` gives them.

    A text is one name, also with commas in it. Where two spellings are the same name, the higher relevance
    counts; relevances are divided by the highest, and a name of relevance 0 is no reference. Raises
    GradingError `invalid_variable_error` where there is none, `invalid_reference` where a name is blank or not in
    `allowed`.
    """
    given = reference if isinstance(reference, dict) else resolved(reference, sample, item)
    if isinstance(given, Mapping):
        try:
            _check_relevances(given)
        except ValueError as problem:
            raise invalid(given, str(problem)) from None
        weighted = {str(name): float(value) for name, value in given.items() if value > 0}
    else:
        weighted = dict.fromkeys(_names(given), 1.0)

    top = max(weighted.values())
    relevance: dict[str, float] = {}
    spelling: dict[str, str] = {}
    for name, value in weighted.items():
        same = key(name)
        if not same:
            raise invalid(given, "it is blank; give the row its answer, or leave the row out")
        if allowed is not None and same not in allowed:
            raise invalid(name, f"it is not among the {len(allowed)} allowed names; correct it, or allow it")
        relevance[same] = max(relevance.get(same, 0.0), value / top)
        spelling.setdefault(same, name)
    return References(relevance, spelling, isinstance(given, Mapping))


def _names(given: Any) -> list[str]:
    names = given if isinstance(given, list) else [given]
    if not names:
        raise invalid(given, "it is empty; give the row its answer, or leave the row out")
    try:
        return list(map(as_text, names))
    except ValueError:
        raise invalid(given, "a name, a list of names, or an object from name to relevance is expected") from None
