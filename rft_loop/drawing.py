"""Drawing: which items a step uses, shuffled or by what became of their last visits."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from functools import lru_cache

from rft_loop.learning.advantage import has_spread
from rft_loop.watching.record import Run

RESTS = (1, 1, 2, 4, 8)  # how many times longer an item rests, by its visits in a row whose rewards had no spread
JITTER = 0.25  # so that the same items do not come together each time


def draw(
    count: int, per_step: int, step: int, seed: int, fill: int = 0, without: Collection[int] = ()
) -> Sequence[int]:
    """Which items step number `step` (from 1) uses: each epoch a new order, made from the seed alone.

    The step's later fills draw from all items `without` those it has.
    """
    if fill:
        others = [index for index in range(count) if index not in without]
        return random.Random(f"items {seed} {step} {fill}").sample(others, min(per_step, len(others)))
    positions = range((step - 1) * per_step, step * per_step)
    return [_order(count, seed, position // count)[position % count] for position in positions]


@lru_cache(maxsize=2)  # a step may reach into the next epoch
def _order(count: int, seed: int, epoch: int) -> list[int]:
    order = list(range(count))
    random.Random(f"items {seed} {epoch}").shuffle(order)
    return order


class Visits:
    """When each item was used last, and how often in a row its group had no spread: all right, or all wrong.

    It is made from the run's record alone, so that a resumed run knows what the unbroken one knew.
    """

    def __init__(self) -> None:
        self.last: dict[int, int] = {}
        self.flat: dict[int, int] = {}
        self._read = 0  # steps of the record

    def catch_up(self, run: Run, step: int, group_size: int) -> None:
        """Read what the record says of the steps up to `step`. Raises ValueError where a part of it is missing."""
        from pyarrow import parquet

        for number in range(self._read + 1, step + 1):
            file = run.samples_file("train", number)
            if not file.is_file():
                raise ValueError(
                    f"{file} is missing, and drawing=by_difficulty goes by it; restore it, or start a new run"
                )
            columns = parquet.read_table(file, columns=["item", "score"]).to_pydict()
            self.note(number, columns["item"], columns["score"], group_size)
        self._read = max(self._read, step)

    def note(self, step: int, items: Sequence[int], scores: Sequence[float | None], group_size: int) -> None:
        """What became of a step's groups of neighbours. A group with fewer than two decided scores says nothing."""
        for start in range(0, len(items), group_size):
            item, group = items[start], scores[start : start + group_size]
            self.last[item] = step
            if sum(score is not None for score in group) > 1:
                self.flat[item] = 0 if has_spread(group) else self.flat.get(item, 0) + 1

    def rest(self, item: int) -> int:
        """How many times longer than others the item rests."""
        return RESTS[min(self.flat.get(item, 0), len(RESTS) - 1)]


def draw_by_difficulty(
    visits: Visits, count: int, per_step: int, step: int, seed: int, fill: int = 0, without: Collection[int] = ()
) -> Sequence[int]:
    """Which items step number `step` uses: those that have waited longest for the rest they are due.

    An item whose last two groups had no spread comes half as often as others, after three a quarter, from four on an
    eighth; none is left out for good. The step's later fills draw from the items `without` those it has.
    """
    chance = random.Random(f"items {seed} {step} {fill}")
    waited = [(step - visits.last.get(item, 0)) / visits.rest(item) for item in range(count)]
    due = [wait * (1 + JITTER * chance.random()) for wait in waited]
    ranking = sorted((item for item in range(count) if item not in without), key=lambda item: -due[item])
    if fill or not ranking:
        return ranking[:per_step]
    return [ranking[place % len(ranking)] for place in range(per_step)]
