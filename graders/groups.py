"""Groups: the samples of one item graded together, for graders that compare them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from graders.grade import Grade
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.score import check_concurrency, grade_many, window


def grade_groups(
    grader: Grader, groups: Iterable[tuple[Sequence[Sample | str], Item]], concurrency: int = 16
) -> Iterator[list[Grade]]:
    """The grades of each `(samples, item)`, in order, each as soon as it and all before it are there.

    Where the grader `judges_groups`, the samples of a group are judged together, and up to `concurrency` groups are
    under way. Any other grader judges each sample by itself, and has up to `concurrency` of these calls under way where
    it waits on a network.
    """
    check_concurrency(concurrency)
    if grader.judges_groups:
        yield from window(lambda group: grader.call_group_async(*group), iter(groups), concurrency)
    else:
        yield from _each_by_itself(grader, groups, concurrency)


def _each_by_itself(
    grader: Grader, groups: Iterable[tuple[Sequence[Sample | str], Item]], concurrency: int
) -> Iterator[list[Grade]]:
    sizes: deque[int] = deque()  # of the groups that are begun

    def pairs() -> Iterator[tuple[Sample | str, Item]]:
        for samples, item in groups:
            sizes.append(len(samples))
            yield from ((sample, item) for sample in samples)

    grades: deque[Grade] = deque()

    def whole() -> Iterator[list[Grade]]:
        while sizes and len(grades) >= sizes[0]:
            yield [grades.popleft() for _ in range(sizes.popleft())]

    for grade in grade_many(grader, pairs(), concurrency):
        grades.append(grade)
        yield from whole()
    yield from whole()
