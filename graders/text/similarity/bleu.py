"""BLEU of a sentence, as sacrebleu computes it: tokenizer 13a, smoothing `exp`, effective order, n-grams up to 4.

Source: Papineni et al. 2002; Post 2018; tokenizer of NIST's mteval-v13a. sacrebleu's score divided by 100.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import chain

from graders.text.similarity.ngrams import Likeness, matches
from graders.text.similarity.remembered import Remembered

ORDER = 4
PUNCTUATION = re.compile(r"([!-&(-+/:-@\[-`{-~])")  # ASCII, without ' , - .
AFTER_OTHER = re.compile(r"([^0-9])([.,])")  # a stop or comma stays in a number: 1,234.5
BEFORE_OTHER = re.compile(r"([.,])([^0-9])")
DASH_AFTER_DIGIT = re.compile(r"([0-9])-")


def tokens(text: str) -> list[str]:
    """The tokens of mteval-v13a: split at white space, punctuation apart.

    >>> tokens("It rose 1,234.5%, (twice).")
    ['It', 'rose', '1,234.5', '%', ',', '(', 'twice', ')', '.']
    """
    line = text.rstrip().replace("<skipped>", "").replace("-\n", "")
    if "&" in line:
        for entity, character in ("&quot;", '"'), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">"):
            line = line.replace(entity, character)
    return list(chain.from_iterable(map(APART.__getitem__, line.split())))


def _apart(word: str) -> tuple[str, ...]:
    """The tokens of a text without white space."""
    if word.isalnum():
        return (word,)
    line = PUNCTUATION.sub(r" \1 ", f" {word} ")
    line = BEFORE_OTHER.sub(r" \1 \2", AFTER_OTHER.sub(r"\1 \2 ", line))
    return tuple(DASH_AFTER_DIGIT.sub(r"\1 - ", line).split())


APART = Remembered(_apart)


def compare(output: Sequence[str], reference: Sequence[str]) -> Likeness:
    """The geometric mean of the n-gram precisions, less where the output is shorter than the reference."""
    longest = min(ORDER, len(output))  # effective order: only n-grams that exist
    found = matches(output, reference, longest) if longest else [0]
    if not found[0]:
        return Likeness(0.0, "no word in common")
    brevity = math.exp(1 - len(reference) / len(output)) if len(output) < len(reference) else 1.0
    precision, smoothing, shares = 1.0, 1.0, []
    for total, got in zip(range(len(output), 0, -1), found, strict=False):
        if not got:
            smoothing /= 2
        precision *= (got or smoothing) / total
        shares.append(f"{got} of {total}")
    score = brevity * precision ** (1 / longest)
    detail = f"runs of 1 to {longest} words found: {', '.join(shares)}; factor for brevity {brevity:.4g}"
    return Likeness(min(1.0, score), detail)
