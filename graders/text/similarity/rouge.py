"""ROUGE-N and ROUGE-L, as rouge-score computes them without its stemmer; the score is the F-measure.

Source: Lin 2004. Words are runs of a to z and 0 to 9 in the lower-cased text; every other letter separates them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache

from graders.text.similarity.ngrams import Likeness, matches

WORD = re.compile(r"[a-z0-9]+")


def tokens(text: str) -> list[str]:
    """
    >>> tokens("The café's 2nd-best")
    ['the', 'caf', 's', '2nd', 'best']
    """
    return WORD.findall(text.lower())


def compare_runs(output: Sequence[str], reference: Sequence[str], n: int) -> Likeness:
    """ROUGE-N: n-grams in common."""
    what = "words in common" if n == 1 else f"runs of {n} words in common"
    found = matches(output, reference, n)[-1]
    return _f_measure(found, max(len(output) - n + 1, 0), max(len(reference) - n + 1, 0), what)


def compare_longest(output: Sequence[str], reference: Sequence[str]) -> Likeness:
    """ROUGE-L: the longest sequence of words that both hold in the same order, others perhaps between them."""
    return _f_measure(_longest()(output, reference), len(output), len(reference), "words in common in the same order")


@cache
def _longest() -> Callable[[Sequence[str], Sequence[str]], int]:
    from rapidfuzz.distance import LCSseq

    return LCSseq.similarity


def _f_measure(found: int, in_output: int, in_reference: int, what: str) -> Likeness:
    detail = f"{found} {what}, of {in_output} in the output and {in_reference} in the reference"
    if not found:
        return Likeness(0.0, detail)
    precision, recall = found / in_output, found / in_reference
    return Likeness(2 * precision * recall / (precision + recall), detail)
