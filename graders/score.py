"""Grade many samples: the only loop over samples. Order is kept, failures stay with their sample."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice

from graders.grade import Grade
from graders.grader import Grader
from graders.sample import Item, Sample


def grade_many(grader: Grader, pairs: Iterable[tuple[Sample | str, Item]], concurrency: int = 16) -> Iterator[Grade]:
    """The grade of each `(sample, item)`, in order, as they come.

    Pure graders run one after the other; graders that wait on a network have up to `concurrency` calls under way.
    """
    if not grader.waits:
        for sample, item in pairs:
            yield grader(sample, item)
        return

    async def window(batch: list[tuple[Sample | str, Item]]) -> list[Grade]:
        return list(await asyncio.gather(*(grader.call_async(sample, item) for sample, item in batch)))

    remaining = iter(pairs)
    with asyncio.Runner() as runner:
        while batch := list(islice(remaining, concurrency)):
            yield from runner.run(window(batch))
