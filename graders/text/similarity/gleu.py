"""GLEU (Google-BLEU) of a sentence, as nltk's `sentence_gleu` computes it over words split at white space.

Source: Wu et al. 2016 (arXiv:1609.08144), section 5.2.
"""

from __future__ import annotations

from collections.abc import Sequence

from graders.text.similarity.ngrams import Likeness, matches

ORDER = 4


def tokens(text: str) -> list[str]:
    return text.split()


def compare(output: Sequence[str], reference: Sequence[str]) -> Likeness:
    """N-grams in common over those of the text that has more: the lower of precision and recall."""
    total = max(_runs(len(output)), _runs(len(reference)))
    found = sum(matches(output, reference, ORDER))
    if not found:
        return Likeness(0.0, "no word in common")
    return Likeness(found / total, f"{found} of {total} runs of 1 to {ORDER} words in common")


def _runs(length: int) -> int:
    return sum(max(length - n, 0) for n in range(ORDER))
