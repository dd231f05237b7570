"""Ledger: the tokens that were used and what they cost, by grader and model; and the budget that must not be passed."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from graders.grade import GradingStopped, Usage
from graders.service.settings import Price

LOOK_AGAIN = 0.05  # seconds between looks at what calls under way have left


class Entry(NamedTuple):
    """What one grader asked of one model. `dollars` is None where the model has no price."""

    grader: str
    model: str
    counts: Mapping[str, int]
    dollars: float | None


class Ledger:
    """What was used so far. With a `budget` in dollars no call is sent that could pass it.

    A call of which no answer came may have been paid for all the same: with a budget it counts at the most it can cost.
    """

    def __init__(self, prices: Mapping[str, Price], budget: float | None = None) -> None:
        self.prices = prices
        self.budget = budget
        self._lock = threading.Lock()
        self._used: dict[str, dict[str, Counter[str]]] = {}
        self._spent = 0.0
        self._reserved = 0.0
        self._lost = 0.0

    def add(self, grader: str, usage: Usage) -> None:
        """Enter what a grader used."""
        with self._lock:
            used = self._used.setdefault(grader, {})
            for model, counts in usage.items():
                whole = used.setdefault(model, Counter())
                for name, number in counts.items():
                    whole[name] += number
                if price := self.prices.get(model):
                    self._spent += price.of(counts)

    @property
    def dollars(self) -> float:
        """What was spent, as far as prices are known."""
        return self._spent

    @property
    def lost(self) -> float:
        """The most that calls without an answer can have cost; told only with a budget."""
        return self._lost

    def entries(self) -> Iterator[Entry]:
        for grader, usage in self._used.items():
            for model, counts in usage.items():
                price = self.prices.get(model)
                yield Entry(grader, model, counts, None if price is None else price.of(counts))

    def bound(self, model: str, prompt_tokens: int, completion_tokens: int) -> float:
        """The most dollars that a call can cost."""
        price = self.prices[model]
        return (prompt_tokens * max(price.input, price.cached_input or 0.0) + completion_tokens * price.output) / 1e6

    async def reserve(self, dollars: float) -> None:
        """Set the most that a call can cost aside. Waits for calls under way where they might leave enough.

        Raises GradingStopped where nothing under way could.
        """
        while not self._set_aside(dollars):
            await asyncio.sleep(LOOK_AGAIN)

    def _set_aside(self, dollars: float) -> bool:
        assert self.budget is not None
        with self._lock:
            taken = self._spent + self._lost
            if taken + self._reserved + dollars <= self.budget:
                self._reserved += dollars
                return True
            if self._reserved > 1e-12:
                return False
        lost = f" (${self._lost:.4f} of it at most by calls that brought no answer)" if self._lost else ""
        raise GradingStopped(
            f"the budget of ${self.budget:.4f} would be passed: ${taken:.4f} are spent{lost}, and the next "
            f"call can cost up to ${dollars:.4f}; raise --budget to go on from here"
        )

    def release(self, dollars: float, lost: float = 0.0) -> None:
        """The call is over, and what it cost was added; `lost` is the most that is not known of it."""
        with self._lock:
            self._reserved = max(0.0, self._reserved - dollars)
            self._lost += lost
