"""Estimate: what the judges of a grading would be asked and cost, told before any of them is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from graders.grade import Grade, Usage
from graders.service.cost import cost_of, money, number, paid, usage_wire
from graders.service.settings import Price


class Estimate(NamedTuple):
    """Calls and tokens by model. A token is taken for four bytes of the request; answers for as long as they may be.

    An answer that nothing bounds is taken for 256 tokens. Grades and answers in the cache are left out, as are rows
    that a broken run has recorded.
    """

    rows: int  # left to grade
    unasked: int  # of these, rows for which no judge is asked
    usage: Usage
    prices: Mapping[str, Price]

    @property
    def cost(self) -> float | None:
        """Dollars; None where a model has no price."""
        return cost_of(self.usage, self.prices)

    def to_wire(self) -> dict[str, Any]:
        models = usage_wire(self.usage, self.prices)
        return {"dry_run": True, "rows": self.rows, "rows_without_judge": self.unasked, "estimate": models} | {
            "dollars": self.cost
        }

    def __str__(self) -> str:
        rows = f"dry run: {self.rows:,} row{'s' * (self.rows != 1)} to grade, {self.unasked:,} of them without a judge"
        return "\n".join([f"{rows}; nothing was asked, nothing written", *estimate_lines(self.usage, self.prices)])


def estimate_lines(usage: Usage, prices: Mapping[str, Price]) -> list[str]:
    """What would be asked of each model, a line each, and the whole where there are several."""
    lines = [
        f"judge {model}: {counts['calls']:,} call{'s' * (counts['calls'] != 1)}, about "
        f"{number(counts['prompt_tokens'])} prompt tokens (bytes / 4) + {number(counts['completion_tokens'])} "
        f"completion tokens (as long as answers may be, else 256 each), {paid(counts['dollars'])}"
        for model, counts in usage_wire(usage, prices).items()
    ]
    whole = cost_of(usage, prices)
    if len(usage) > 1 and whole is not None:
        lines.append(f"together about {money(whole)}")
    return lines or ["no judge would be asked"]


def needs_judge(grade: Grade) -> bool:
    """Whether a dry run's grade, or a part of it, would have been asked for."""
    return bool(grade.error and grade.error.kind == "not_asked") or any(map(needs_judge, grade.parts.values()))
