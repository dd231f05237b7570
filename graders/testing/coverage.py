"""Coverage: which scores, parts and errors of a grader its golden cases reach, and which they never do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graders.composite import Composite
from graders.grade import Grade
from graders.grader import Grader
from graders.testing.golden import TOLERANCE
from graders.variables import item_variables

SHOWN = 8  # goals not reached that are named in a line


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which scores, parts and errors of a grader the cases of a golden file reach."""

    cases: int
    levels: Mapping[str, int]
    errors: Mapping[str, int]
    reached: frozenset[str]
    missed: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Goals reached over all goals: the lowest and highest score of the whole and of each part, and undecided."""
        goals = len(self.reached) + len(self.missed)
        return len(self.reached) / goals if goals else 1.0

    def __str__(self) -> str:
        levels = ", ".join(f"{count} {level}" for level, count in self.levels.items())
        errors = ", ".join(f"{kind} {count}" for kind, count in self.errors.items())
        goals = len(self.reached) + len(self.missed)
        return "".join(
            (
                f"{self.cases} case{'s' * (self.cases != 1)}: {levels}",
                f"; errors: {errors}" if errors else "",
                f"; covers {len(self.reached)} of {goals} ({self.share:.0%})",
                f"; no case has {', '.join(self.missed[:SHOWN])}" if self.missed else "",
                f" and {len(self.missed) - SHOWN} more" if len(self.missed) > SHOWN else "",
            )
        )


def coverage(grader: Grader, grades: Sequence[Grade]) -> Coverage:
    """What the grades of one grader's cases reach. Each part is looked for at its lowest and its highest score."""
    low, high = ends(grader)
    levels = Counter({f"at {low:g}": 0, f"at {high:g}": 0, "between": 0, "undecided": 0})
    levels.update(_level(grade.score, low, high) for grade in grades)
    goals = {f"the score {low:g}": levels[f"at {low:g}"] > 0, f"the score {high:g}": levels[f"at {high:g}"] > 0}
    if item_variables(grader):
        goals["an undecided grade"] = levels["undecided"] > 0
    seen: dict[str, set[float | None]] = {}
    for grade in grades:
        for name, part in _parts(grade):
            seen.setdefault(name, set()).add(part.score)
    ranges = dict(_members(grader))
    for name in dict.fromkeys([*ranges, *seen]):
        lowest, highest = ranges.get(name, (0.0, 1.0))
        scores = [score for score in seen.get(name, ()) if score is not None]
        for end in dict.fromkeys((lowest, highest)):
            goals[f"part {name!r} at {end:g}"] = any(math.isclose(score, end, abs_tol=TOLERANCE) for score in scores)
    errors = Counter(grade.error.kind for grade in grades if grade.error is not None)
    reached = frozenset(goal for goal, met in goals.items() if met)
    return Coverage(len(grades), levels, errors, reached, tuple(goal for goal, met in goals.items() if not met))


def ends(grader: Grader) -> tuple[float, float]:
    """The lowest and highest score; 0 and 1 where the grader declares no limits."""
    low, high = grader.range
    return low if math.isfinite(low) else 0.0, high if math.isfinite(high) else 1.0


def _level(score: float | None, low: float, high: float) -> str:
    if score is None:
        return "undecided"
    if score <= low + TOLERANCE:
        return f"at {low:g}"
    return f"at {high:g}" if score >= high - TOLERANCE else "between"


def _parts(grade: Grade, prefix: str = "") -> Iterator[tuple[str, Grade]]:
    for key, part in grade.parts.items():
        yield f"{prefix}{key}", part
        yield from _parts(part, f"{prefix}{key}.")


def _members(grader: Grader, prefix: str = "") -> Iterator[tuple[str, tuple[float, float]]]:
    if isinstance(grader, Composite):
        for key, part in grader.members.items():
            yield f"{prefix}{key}", ends(part)
            yield from _members(part, f"{prefix}{key}.")
