"""fuzzy_match: rapidfuzz's `WRatio` over `default_process`, divided by 100.

The call is the one in OpenAI's own example of a python grader. Its comparison of a part with the whole takes time
that grows with the length of the longer text and the square of the shorter: past a limit it is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from graders.text.similarity.ngrams import Likeness

MOST_WORK = 5 * 10**9  # length of the longer text times the square of the shorter: under a second
WORD_ORDER, PART, SMALL_PART = 0.95, 0.9, 0.6  # WRatio's factors


def compare(output: str, reference: str) -> Likeness:
    """The score, and a note where WRatio's comparison of parts was left out: the score is then at most WRatio's."""
    ratio, processed = _scorer()
    short, long = sorted((len(output), len(reference)))
    if long * short * short <= MOST_WORK:
        return Likeness(ratio(output, reference, processor=processed) / 100, "")
    one, other = processed(output), processed(reference)
    short, long = sorted((len(one), len(other)))
    if long < 1.5 * short or long * short * short <= MOST_WORK:
        return Likeness(ratio(one, other) / 100, "")
    note = f"texts of {long:,} and {short:,} letters: parts were not compared with the whole"
    return Likeness(_without_parts(one, other, PART if long <= 8 * short else SMALL_PART), note)


def _without_parts(one: str, other: str, part: float) -> float:
    """WRatio's steps that are cheap. A word in common makes its comparison of parts at least `part` times 0.95."""
    from rapidfuzz import fuzz

    score = fuzz.ratio(one, other) / 100
    return score if set(one.split()).isdisjoint(other.split()) else max(score, WORD_ORDER * part)


def blank(text: str) -> bool:
    """Whether nothing is left to compare."""
    return not _scorer()[1](text)


@cache
def _scorer() -> tuple[Callable[..., float], Callable[[str], str]]:
    from rapidfuzz import fuzz, utils

    return fuzz.WRatio, utils.default_process
