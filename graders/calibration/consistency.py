"""Self-consistency: does a judge say the same when it is asked again?"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from graders.agreement import Figure, krippendorff_alpha, mean_figure
from graders.grader import Grader
from graders.testing.comparisons import walk

APART = 1_000
"""From one draw of a whole grader to the next: a grader that draws several answers itself counts on from its own."""

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Consistency:
    """How the verdicts of several draws of the same rows differ."""

    draws: int
    rows: int  # with at least two decided draws
    flips: Figure  # share of rows whose draws do not all pass or all fail
    spread: Figure  # mean of highest - lowest score of a row
    alpha: Figure  # of the draws as raters of the rows, interval

    def to_wire(self) -> dict[str, Any]:
        figures = {name: getattr(self, name).to_wire() for name in ("flips", "spread", "alpha")}
        return {"draws": self.draws, "rows": self.rows, **figures}


def can_be_drawn(grader: Grader) -> bool:
    """Whether the grader, or one inside it, gives a fresh answer for another `draw`."""
    return any("draw" in type(one).model_fields for one in walk(grader))


def drawn_again(grader: Grader, number: int) -> Grader:
    """The same grader whose judges, however deep, are asked for another answer; number 0 is the grader itself."""
    return grader if number == 0 else _moved(grader, number * APART)


def _moved(thing: Thing, by: int) -> Thing:
    """A copy of a grader, or of a container of graders, with every `draw` moved on."""
    if isinstance(thing, Grader):
        fields = type(thing).model_fields
        old: dict[str, Any] = {name: getattr(thing, name) for name in fields}
        new = {name: value + by if name == "draw" else _moved(value, by) for name, value in old.items()}
        changed = {name: value for name, value in new.items() if value is not old[name]}
        return thing.model_copy(update=changed) if changed else thing
    if isinstance(thing, Mapping):
        moved = {key: _moved(value, by) for key, value in thing.items()}
        return moved if any(moved[key] is not thing[key] for key in moved) else thing  # type: ignore[return-value]
    if isinstance(thing, list | tuple):
        parts = [_moved(value, by) for value in thing]
        unlike = any(part is not value for part, value in zip(parts, thing, strict=True))
        return type(thing)(parts) if unlike else thing
    return thing


def consistency(
    draws: Sequence[Sequence[float | None]],
    threshold: float,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Consistency:
    """What the scores of several draws (each a score a row) tell."""
    rows = [[score for score in scores if score is not None] for scores in zip(*draws, strict=True)]
    places = [place for place, scores in enumerate(rows) if len(scores) > 1]
    decided = [rows[place] for place in places]
    if not decided:
        nothing = Figure(None, 0, reason="no row was decided twice")
        return Consistency(len(draws), 0, nothing, nothing, nothing)
    owners = None if clusters is None else [clusters[place] for place in places]
    flips = [float(len({score >= threshold for score in scores}) > 1) for scores in decided]
    spreads = [max(scores) - min(scores) for scores in decided]
    return Consistency(
        len(draws),
        len(decided),
        mean_figure(flips, owners, (0, 1)),
        mean_figure(spreads, owners, (0, math.inf)),
        krippendorff_alpha(decided, "interval", owners, seed),
    )
