"""Findings: what can be told of a grader from its definition alone, before it has seen a sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from graders.composite import Composite, outside_reward
from graders.grader import Grader

SPOILING_PAYS = "so an output that cannot be read may score more than a bad one: clip it"


class Finding(NamedTuple):
    """Something that may not be meant: the path of keys to the grader it concerns ("" for the whole), and words."""

    place: str
    message: str


def findings(grader: Grader) -> list[Finding]:
    """What may not be meant in a grader and the graders inside it, the whole first.

    >>> from graders import load
    >>> gene = {"type": "string_check", "operation": "eq", "input": "{{sample.output_text}}", "reference": "FBN1"}
    >>> findings(load({"type": "multi", "graders": {"gene": gene}, "calculate_output": "2*gene - 1"}))
    [Finding(place='', message='scores from -1 to 1, which leaves 0 to 1: clip it before it is a reward')]
    """
    low, high = grader.range
    whole = []
    if message := outside_reward(grader):
        whole.append(Finding("", message))
    elif low == high:
        whole.append(Finding("", f"always scores {low:g}: there is nothing to learn from it"))
    if low == -math.inf:
        parts = [place for place in _without_limits(grader, "") if place]
        whole += [Finding(place, f"has no limits, {SPOILING_PAYS}") for place in parts]
        if not parts:
            whole.append(Finding("", f"has no lowest score, {SPOILING_PAYS}"))
    return [*whole, *_inside(grader, "")]


def _without_limits(grader: Grader, place: str) -> list[str]:
    """The places of the graders, not themselves made of graders, whose scores nothing limits."""
    if all(map(math.isfinite, grader.range)):
        return []
    if isinstance(grader, Composite):
        inside = (_without_limits(part, f"{place}.{key}".strip(".")) for key, part in grader.members.items())
        return [found for part in inside for found in part]
    return [place]


def _inside(grader: Grader, place: str) -> Iterator[Finding]:
    if not isinstance(grader, Composite):
        return
    for part, message in grader.doubts():
        yield Finding(f"{place}.{part}".strip("."), message)
    for key, part_grader in grader.members.items():
        yield from _inside(part_grader, f"{place}.{key}".strip("."))
