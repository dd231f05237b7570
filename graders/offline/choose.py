"""Choose: which rows are graded. Those that meet a condition, of them the first so many, of them a sample."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice

from graders.offline.sources import Raw, Source
from graders.offline.where import Where
from graders.rows import GradingRow


def chosen(
    source: Source,
    row_of: Callable[[Raw], GradingRow],
    where: str | None = None,
    limit: int | None = None,
    sample: int | None = None,
    seed: int = 0,
) -> Iterator[Raw]:
    """The rows of `source` that meet `where`, of them the first `limit`, of them `sample` drawn with `seed`.

    They come in the order of the data. Drawing needs to know them all first: data that can be read only once are
    kept in memory as far as they are drawn. Raises ValueError for a bad condition, and, at the end, where no row
    meets it.
    """
    for name, count in (("limit", limit), ("sample", sample)):
        if count is not None and count < 1:
            raise ValueError(f"{name}={count}: at least one row must be left; use 1 or more")
    condition = None if where is None else Where(where)

    def taken() -> Iterator[Raw]:
        raws = source.raws()
        if condition is not None:
            raws = (raw for raw in raws if condition(row_of(raw)))
        yield from islice(raws, limit)
        if condition is not None and not condition.met:
            raise ValueError(f"{source.name}: no row meets {where!r}{condition.never_found()}")

    return taken() if sample is None else _drawn(source, taken, sample, seed)


def _drawn(source: Source, taken: Callable[[], Iterator[Raw]], count: int, seed: int) -> Iterator[Raw]:
    """`count` of the rows, each as likely as any other: a reservoir (Vitter 1985, algorithm R)."""
    rng = random.Random(seed)
    kept: list[Raw] = []
    for seen, raw in enumerate(taken()):
        keeping = raw if not source.again else Raw(raw.number, 0, b"")
        if seen < count:
            kept.append(keeping)
        elif (place := rng.randrange(seen + 1)) < count:
            kept[place] = keeping
    if not source.again:
        yield from sorted(kept, key=lambda raw: raw.number)
        return
    numbers = {raw.number for raw in kept}
    for raw in source.raws():
        if raw.number in numbers:
            yield raw
            if len(numbers) == 1:
                return
            numbers.remove(raw.number)
