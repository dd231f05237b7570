"""What n-gram metrics share: runs of n neighbouring tokens, and how many of them two texts have in common."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain
from typing import Any, NamedTuple

MULTIPLIER = 0x1E3779B97F4A7C15  # odd, without pattern
SHORT = 30  # words of both texts together
NOBODY = -1  # a run that only the reference could have, and never the output


class Likeness(NamedTuple):
    """A metric's score, from 0 to 1, and what it was made of, in words."""

    score: float
    detail: str


def matches(output: Sequence[str], reference: Sequence[str], longest: int) -> list[int]:
    """How many runs of 1, 2, ... `longest` neighbours both have, repeats counted as often as in both.

    >>> matches("the cat the cat sat".split(), "the cat sat on the mat".split(), 3)
    [4, 2, 1]
    """
    short = len(output) + len(reference) <= SHORT
    return matches_of_short(output, reference, longest) if short else matches_of_long(output, reference, longest)


def matches_of_short(output: Sequence[str], reference: Sequence[str], longest: int) -> list[int]:
    """`matches` by sets of runs: the faster way for a few words."""
    ours: list[Hashable] = list(output)
    theirs: list[Hashable] = list(reference)
    found: list[int] = []
    for n in range(1, longest + 1):
        if n > 1:
            ours = list(zip(*(output[start:] for start in range(n)), strict=False))
            theirs = list(zip(*(reference[start:] for start in range(n)), strict=False))
        found.append(_in_common(ours, theirs))
        if not found[-1]:  # then no longer run can be in common
            return found + [0] * (longest - n)
    return found


def _in_common(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> int:
    one, other = set(ours), set(theirs)
    both = one & other
    if len(one) == len(ours) or len(other) == len(theirs):  # without repeats on one side, no need to count
        return len(both)
    return sum(min(ours.count(run), theirs.count(run)) for run in both)


def matches_of_long(output: Sequence[str], reference: Sequence[str], longest: int) -> list[int]:
    """`matches` by sorting numbers that stand for runs.

    A run is 63 bits made of its tokens' hashes, which Python seeds anew in every process: among a million runs, two
    different ones look the same with a chance of less than one in ten million.
    """
    import numpy as np

    split, length = len(output), len(output) + len(reference)
    if not 0 < split < length:
        return [0] * longest
    runs = np.empty((longest, length), np.int64)  # a row for each length of runs
    run = words = runs[0]
    words[:] = np.fromiter(map(hash, chain(output, reference)), np.int64, length)
    words <<= 1  # the lowest bit will say whose it is
    for row in range(1, min(longest, length)):
        before, run = run[:-1], runs[row, : length - row]
        np.multiply(before, MULTIPLIER, out=run)
        run += words[row:]
    theirs = runs[:, split:]
    theirs |= 1
    for row in range(1, longest):  # a run that would reach past its text's end
        runs[row, max(split - row, 0) : split] = NOBODY
        runs[row, max(length - row, split) :] = NOBODY
    runs.sort(axis=1)
    return _pairs(runs, length)


def _pairs(runs: Any, length: int) -> list[int]:
    """Of sorted rows of numbers whose lowest bit says whose they are: how many pairs of equal ones each row holds."""
    import numpy as np

    plain = (runs >> 1).ravel()
    first = np.empty(plain.shape, np.bool_)
    np.not_equal(plain[1:], plain[:-1], out=first[1:])
    first[::length] = True
    starts = np.flatnonzero(first)
    theirs = np.add.reduceat((runs & 1).ravel(), starts)
    sizes = np.empty_like(starts)
    np.subtract(starts[1:], starts[:-1], out=sizes[:-1])
    sizes[-1] = plain.size - starts[-1]
    rows = starts.searchsorted(np.arange(0, plain.size, length))
    counts: list[int] = np.add.reduceat(np.minimum(theirs, sizes - theirs), rows).tolist()
    return counts
