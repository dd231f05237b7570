"""Ledger: the tokens that were used and what they cost, by grader and model; and the budget that must not be passed."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from graders.grade import GradingStopped, Usage
from graders.service.cost import dollars_of, is_told, money
from graders.service.settings import Price

NOTHING = 1e-12  # dollars: what sums of floats leave over


class Entry(NamedTuple):
    """What one grader asked of one model. `dollars` is None where the model has no price."""

    grader: str
    model: str
    counts: Mapping[str, int]
    dollars: float | None


class Lost(NamedTuple):
    """The most that calls of unknown cost can have cost: those that no answer came of, and those whose usage was not
    told with it. Counted only with a budget."""

    dollars: float = 0.0
    calls: int = 0
    untold: int = 0  # of the calls: answered, without a word on usage

    def plus(self, other: Lost, sign: int = 1) -> Lost:
        return Lost(
            self.dollars + sign * other.dollars, self.calls + sign * other.calls, self.untold + sign * other.untold
        )


class _Waiter:
    """A call that waits for its part of the budget, in the event loop that asked."""

    def __init__(self, dollars: float) -> None:
        self.dollars = dollars
        self.loop = asyncio.get_running_loop()
        self.turn: asyncio.Future[None] = self.loop.create_future()
        self.served = False

    def wake(self, problem: GradingStopped | None) -> bool:
        """Let the call go on, or end it by a problem; whether anyone is there to hear it."""
        with suppress(RuntimeError):  # its loop has ended
            self.loop.call_soon_threadsafe(self._end, problem)
            return True
        return False

    def _end(self, problem: GradingStopped | None) -> None:
        if self.turn.done():
            return
        if problem is None:
            self.turn.set_result(None)
        else:
            self.turn.set_exception(problem)
            self.turn.exception()  # seen, should its call be cancelled meanwhile


class Ledger:
    """What was used so far. With a `budget` in dollars no call is sent that could pass it.

    A call of which no answer came may have been paid for all the same: with a budget it counts at the most it can cost.
    `changed` is called whenever a call has ended.
    """

    def __init__(self, prices: Mapping[str, Price], budget: float | None = None) -> None:
        self.prices = prices
        self.budget = budget
        self.changed: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._used: dict[str, dict[str, Counter[str]]] = {}
        self._spent = 0.0
        self._reserved = 0.0
        self._lost = Lost()
        self._waiting: deque[_Waiter] = deque()

    def add(self, grader: str, usage: Usage) -> None:
        """Enter what a grader used."""
        with self._lock:
            used = self._used.setdefault(grader, {})
            for model, counts in usage.items():
                whole = used.setdefault(model, Counter())
                for name, number in counts.items():
                    whole[name] += number
                if price := self.prices.get(model):
                    self._spent += dollars_of(counts, price)
                if not is_told(counts):
                    self._lost = self._lost._replace(untold=self._lost.untold + counts["calls"])
        if self.budget is None:
            self._tell()

    def lose(self, lost: Lost) -> None:
        """Enter what an earlier start of the run lost."""
        with self._lock:
            self._lost = self._lost.plus(lost)

    @property
    def dollars(self) -> float:
        """What was spent, as far as prices are known."""
        return self._spent

    @property
    def lost(self) -> float:
        """The most that calls of unknown cost can have cost; told only with a budget."""
        return self._lost.dollars

    def snapshot(self) -> tuple[dict[str, dict[str, Counter[str]]], Lost]:
        """What was used, by grader and model, and what was lost, the calls under way among it."""
        with self._lock:
            used = {
                grader: {model: Counter(counts) for model, counts in usage.items()}
                for grader, usage in self._used.items()
            }
            lost = self._lost._replace(dollars=self._lost.dollars + max(0.0, self._reserved))
        return used, lost

    def entries(self) -> Iterator[Entry]:
        for grader, usage in self._used.items():
            for model, counts in usage.items():
                price = self.prices.get(model)
                yield Entry(grader, model, counts, None if price is None else dollars_of(counts, price))

    def bound(self, model: str, prompt_tokens: int, completion_tokens: int) -> float:
        """The most dollars that a call can cost."""
        price = self.prices[model]
        return (prompt_tokens * max(price.input, price.cached_input or 0.0) + completion_tokens * price.output) / 1e6

    async def reserve(self, dollars: float) -> None:
        """Set the most that a call can cost aside. Waits its turn where calls under way might leave enough.

        Raises GradingStopped where nothing under way could.
        """
        with self._lock:
            if not self._waiting and self._fits(dollars):
                self._reserved += dollars
                return
            waiter = _Waiter(dollars)
            self._waiting.append(waiter)
            self._serve()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            with self._lock:
                if waiter.served:
                    self._reserved -= dollars
                elif waiter in self._waiting:
                    self._waiting.remove(waiter)
                self._serve()
            raise

    def _serve(self) -> None:
        """Give those who wait their part, the first first, as far as the budget reaches; with the lock held."""
        while self._waiting:
            waiter = self._waiting[0]
            waiter.served = self._fits(waiter.dollars)
            if not waiter.served and self._reserved > NOTHING:
                return
            self._waiting.popleft()
            heard = waiter.wake(None if waiter.served else self._exhausted(waiter.dollars))
            if heard and waiter.served:
                self._reserved += waiter.dollars

    def _fits(self, dollars: float) -> bool:
        return self._taken + self._reserved + dollars <= (self.budget or 0.0)

    @property
    def _taken(self) -> float:
        return self._spent + self._lost.dollars

    def _exhausted(self, dollars: float) -> GradingStopped:
        budget, taken, most = (_exactly(amount) for amount in (self.budget or 0.0, self._taken, dollars))
        return GradingStopped(
            f"the budget of {budget} would be passed: {taken} are spent{self._told_lost()}, and the next "
            f"call can cost up to {most}; raise --budget to go on from here"
        )

    def _told_lost(self) -> str:
        if not self._lost.dollars:
            return ""
        unanswered = max(0, self._lost.calls - self._lost.untold)
        by = [f"{unanswered:,} that brought no answer"] * bool(unanswered)
        by += [f"{self._lost.untold:,} whose usage was not told"] * bool(self._lost.untold)
        return f" ({_exactly(self._lost.dollars)} of it at most by calls: {', '.join(by) or 'under way at a break'})"

    def release(self, dollars: float, lost: float = 0.0) -> None:
        """The call is over, and what it cost was added; `lost` is the most that is not known of it."""
        with self._lock:
            self._reserved = max(0.0, self._reserved - dollars)
            if lost:
                self._lost = self._lost._replace(dollars=self._lost.dollars + lost, calls=self._lost.calls + 1)
            self._serve()
        self._tell()

    def _tell(self) -> None:
        for tell in list(self.changed):
            tell()


def _exactly(amount: float) -> str:
    """Dollars to the hundredth of a cent at least: a budget and what is left of it may lie close together."""
    return money(amount) if 0 < amount < 1 else f"${amount:,.4f}"
