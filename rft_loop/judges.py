"""Judges of a run: the services its grader asks, their answers kept in its folder, and what they cost so far."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from graders.grade import Grade
from graders.service.cost import cost_of, usage_wire, used
from graders.service.services import Services, current, use
from graders.service.settings import read_settings
from graders.service.spent import Spent
from rft_loop.inputs import named_grader
from rft_loop.recipe import Recipe
from rft_loop.watching.record import Run

FOLDER = "judges"  # of a run: answers, and `spent.json`
COUNTS = ("calls", "prompt_tokens", "completion_tokens")


class Spending:
    """What a run has used of judge models, over all its processes. Stored in its folder."""

    def __init__(self, services: Services, run: Run) -> None:
        self.ledger = services.ledger
        self._spent = Spent(services.ledger, run.folder / FOLDER / "spent.json")
        self._before: Counter[str] = Counter()
        self.lap()

    def lap(self, grades: Sequence[Grade] = ()) -> dict[str, Any]:
        """Figures since the last lap, as `judge/<name>`; none for a grader that asks no judge. Stores the whole.

        `judge/kept` counts the answers behind these grades that were in the run's folder.
        """
        usage = used(self.ledger)
        kept = sum(counts.get("kept", 0) for grade in grades for counts in (grade.usage or {}).values())
        if not (usage or kept):
            return {}
        now: Counter[str] = Counter()
        for counts in usage.values():
            now.update({name: counts.get(name, 0) for name in COUNTS})
        cost = cost_of(usage, self.ledger.prices)
        told: dict[str, Any] = {f"judge/{name}": now[name] - self._before[name] for name in COUNTS}
        self._before = now
        self._spent.store()
        return told | {"judge/kept": kept, "judge/dollars_so_far": cost}

    def whole(self) -> dict[str, Any]:
        """Usage and cost by model and together; nothing where no judge was asked."""
        usage, prices = used(self.ledger), self.ledger.prices
        return {"usage": usage_wire(usage, prices), "dollars": cost_of(usage, prices)} if usage else {}

    def close(self) -> None:
        self._spent.close()


@contextmanager
def judges_of(recipe: Recipe, run: Run) -> Iterator[Spending]:
    """Let the run's grader ask the services of its recipe, within its budget; answers are kept in the run's folder."""
    folder = run.folder / FOLDER
    settings = current().settings if recipe.judges is None else read_settings(recipe.judges)
    cache = folder if named_grader("grader", recipe.grader).waits else None
    with use(Services(settings, cache=cache, budget=recipe.budget)) as services:
        spending = Spending(services, run)
        try:
            yield spending
        finally:
            spending.close()
            if not run.events_file.is_file():  # what is wrong with the recipe can be mended, and it is begun anew
                shutil.rmtree(folder, ignore_errors=True)
