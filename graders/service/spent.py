"""Spent: what a run has spent, in a small file, so that its next start counts it toward the budget."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from graders.grade import Usage
from graders.service.cost import dollars_of
from graders.service.ledger import Ledger, Lost
from graders.service.settings import Price

SECONDS = 0.2  # between two writings while calls end
ByGrader = dict[str, dict[str, Counter[str]]]


class Spent:
    """What goes through a ledger from here on, kept in a file with what was spent before; call `close` at the end.

    What the file holds is entered in the ledger first; `recorded` in its place, usage by grader, where that cost more.
    Calls under way count as lost until they have ended. Raises ValueError for a file that cannot be read.
    """

    def __init__(self, ledger: Ledger, file: Path, recorded: Iterable[tuple[str, Usage]] = ()) -> None:
        self.ledger, self.file = ledger, file
        self._lock = threading.Lock()
        self._written = 0.0
        self._before, self._lost_before = ledger.snapshot()
        used, lost = _read(file)
        known: ByGrader = {}
        for grader, usage in recorded:
            _enter(known, grader, usage)
        untold = ledger.snapshot()[1].untold
        for grader, usage in (known if _cost(known, ledger.prices) > _cost(used, ledger.prices) else used).items():
            ledger.add(grader, usage)
        untold -= ledger.snapshot()[1].untold  # entered again, and so in `lost` already
        ledger.lose(lost._replace(untold=lost.untold + untold))
        ledger.changed.append(self._note)

    def _note(self) -> None:
        if time.monotonic() - self._written >= SECONDS:
            self.store()

    def store(self) -> None:
        """Write the file, whole or not at all; nothing where nothing was spent."""
        with self._lock:
            self._written = time.monotonic()
            used, lost = self.ledger.snapshot()
            own = self._own(used)
            lost = lost.plus(self._lost_before, -1)
            if own or lost.calls or lost.dollars > 0:
                wire = {"dollars": _cost(own, self.ledger.prices), "lost": lost._asdict(), "usage": own}
                beside = self.file.with_name(self.file.name + ".writing")
                beside.write_text(json.dumps(wire, indent=2), encoding="utf-8")
                os.replace(beside, self.file)

    def _own(self, used: ByGrader) -> dict[str, dict[str, dict[str, int]]]:
        """Of what a ledger holds, what came through it since the beginning."""
        own: dict[str, dict[str, dict[str, int]]] = {}
        for grader, usage in used.items():
            for model, counts in usage.items():
                before = self._before.get(grader, {}).get(model, Counter())
                if counts != before:
                    own.setdefault(grader, {})[model] = {name: n - before[name] for name, n in counts.items()}
        return own

    def close(self) -> None:
        self.ledger.changed.remove(self._note)
        self.store()


def _read(file: Path) -> tuple[ByGrader, Lost]:
    used: ByGrader = {}
    if not file.is_file():
        return used, Lost()
    try:
        wire: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        for grader, usage in wire["usage"].items():
            _enter(used, grader, usage)
        return used, Lost(**wire["lost"])
    except (ValueError, LookupError, TypeError, AttributeError) as problem:
        raise ValueError(
            f"{file}, what was spent so far, cannot be read ({problem}); delete it to count anew"
        ) from None


def _enter(used: ByGrader, grader: str, usage: Usage) -> None:
    for model, counts in usage.items():
        used.setdefault(grader, {}).setdefault(model, Counter()).update(counts)


def _cost(used: Mapping[str, Usage], prices: Mapping[str, Price]) -> float:
    return sum(
        dollars_of(counts, prices[model])
        for usage in used.values()
        for model, counts in usage.items()
        if model in prices
    )
