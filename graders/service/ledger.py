"""Ledger: the tokens that were used and what they cost, by grader and model; and the budget that must not be passed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from graders.composite import together
from graders.grade import GradingStopped, Usage
from graders.service.settings import Price


class Entry(NamedTuple):
    """What one grader asked of one model. `dollars` is None where the model has no price."""

    grader: str
    model: str
    counts: Mapping[str, int]
    dollars: float | None


class Ledger:
    """What was used so far. With a `budget` in dollars no call is sent that could pass it."""

    def __init__(self, prices: Mapping[str, Price], budget: float | None = None) -> None:
        self.prices = prices
        self.budget = budget
        self._used: dict[str, Usage] = {}
        self._spent = 0.0
        self._reserved = 0.0

    def add(self, grader: str, usage: Usage) -> None:
        """Enter what a grader used."""
        self._used[grader] = together([self._used.get(grader, {}), usage]) or {}
        for model, counts in usage.items():
            if price := self.prices.get(model):
                self._spent += price.of(counts)

    @property
    def dollars(self) -> float:
        """What was spent, as far as prices are known."""
        return self._spent

    def entries(self) -> Iterator[Entry]:
        for grader, usage in self._used.items():
            for model, counts in usage.items():
                price = self.prices.get(model)
                yield Entry(grader, model, counts, None if price is None else price.of(counts))

    def bound(self, model: str, prompt_tokens: int, completion_tokens: int) -> float:
        """The most dollars that a call can cost."""
        return self.prices[model].of({"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens})

    async def reserve(self, dollars: float) -> None:
        """Set the most that a call can cost aside. Waits for calls under way where they might leave enough.

        Raises GradingStopped where nothing under way could.
        """
        assert self.budget is not None
        while self._spent + self._reserved + dollars > self.budget:
            if self._reserved <= 1e-12:
                raise GradingStopped(
                    f"the budget of ${self.budget:.4f} would be passed: ${self._spent:.4f} are spent, and the next "
                    f"call can cost up to ${dollars:.4f}; raise --budget to go on from here"
                )
            await asyncio.sleep(0.02)
        self._reserved += dollars

    def release(self, dollars: float) -> None:
        """The call is over, and what it cost was added."""
        self._reserved = max(0.0, self._reserved - dollars)
