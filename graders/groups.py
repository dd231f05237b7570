"""Groups: the samples of one item graded together, for graders that compare them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from graders.grade import Grade
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.score import _check_concurrency, _window


def grade_groups(
    grader: Grader, groups: Iterable[tuple[Sequence[Sample | str], Item]], concurrency: int = 16
) -> Iterator[list[Grade]]:
    """The grades of each `(samples, item)`, in order, each as soon as it and all before it are there.

    Where the grader `judges_groups`, the samples of a group are judged together; any other grader judges each by
    itself. Graders that wait on a network have up to `concurrency` groups under way.
    """
    _check_concurrency(concurrency)
    if grader.waits or grader.judges_groups:
        yield from _window(lambda group: grader.call_group_async(*group), iter(groups), concurrency)
        return
    for samples, item in groups:
        yield [grader(sample, item) for sample in samples]
