"""What the grades cost: tokens, dollars, seconds, and how many could not be made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graders.composite import together
from graders.grade import Grade
from graders.service.cost import cost_of
from graders.service.settings import Price

COUNTS = ("calls", "prompt_tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class Cost:
    """What the grading took. `per_1000` and `dollars_per_1000` are of grades for which a judge was asked."""

    grades: int
    kept: int  # grades with an answer from the cache, left out of tokens, dollars and seconds
    per_1000: Mapping[str, Mapping[str, float]]  # by model: calls, prompt_tokens, completion_tokens
    dollars_per_1000: float | None
    unpriced: Sequence[str]  # models without a price
    seconds: tuple[float, float] | None  # median and 95th percentile of a grade
    errors: Mapping[str, int]  # undecided grades by kind
    failed: Mapping[str, int]  # decided by a fault of the candidate, by kind

    @property
    def error_rate(self) -> float:
        return sum(self.errors.values()) / self.grades if self.grades else 0.0

    def to_wire(self) -> dict[str, Any]:
        return {
            "grades": self.grades,
            "kept": self.kept,
            "per_1000": {model: dict(counts) for model, counts in self.per_1000.items()},
            "dollars_per_1000": self.dollars_per_1000,
            "unpriced": list(self.unpriced),
            "seconds": None if self.seconds is None else {"median": self.seconds[0], "p95": self.seconds[1]},
            "errors": dict(self.errors),
            "failed": dict(self.failed),
        }


def cost_of_grades(grades: Sequence[Grade], prices: Mapping[str, Price]) -> Cost:
    """What these grades took, at these prices."""
    fresh = [grade for grade in grades if not any("kept" in counts for counts in (grade.usage or {}).values())]
    used = together(grade.usage for grade in fresh if grade.usage) or {}
    dollars = cost_of(used, prices)
    unpriced = [model for model in used if model not in prices]
    scale = 1000 / len(fresh) if fresh else 0.0
    per_1000 = {model: {name: counts.get(name, 0) * scale for name in COUNTS} for model, counts in used.items()}
    return Cost(
        grades=len(grades),
        kept=len(grades) - len(fresh),
        per_1000=per_1000,
        dollars_per_1000=None if dollars is None or not used else dollars * scale,
        unpriced=unpriced,
        seconds=_quantiles([grade.seconds for grade in fresh]),
        errors=_kinds(grade for grade in grades if grade.score is None),
        failed=_kinds(grade for grade in grades if grade.score is not None),
    )


def _kinds(grades: Any) -> dict[str, int]:
    return dict(Counter(grade.error.kind for grade in grades if grade.error is not None).most_common())


def _quantiles(seconds: Sequence[float]) -> tuple[float, float] | None:
    if not seconds:
        return None
    ordered = sorted(seconds)
    return ordered[(len(ordered) - 1) // 2], ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
