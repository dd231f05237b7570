"""Substance: texts that say nothing and that judges are known to praise are never shown to one.

"One Token to Fool LLM-as-a-Judge" (Zhao et al. 2025, arXiv 2507.08794) calls them master keys: punctuation, and
openers of a solution without the solution.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

OPENERS = frozenset(
    {
        "thought process",
        "thoughts",
        "thinking",
        "solution",
        "the solution",
        "answer",
        "the answer",
        "final answer",
        "the final answer",
        "the answer is",
        "the final answer is",
        "reasoning",
        "explanation",
        "response",
        "result",
        "step 1",
        "let me think",
        "let me solve",
        "let me solve this",
        "let me solve this problem",
        "let me solve this step by step",
        "let me think step by step",
        "let me solve this problem step by step",
        "lets solve this problem",
        "lets solve this step by step",
        "lets solve this problem step by step",
        "lets think step by step",
        "lets think",
        "lets solve",
        "to solve this problem",
        "解",
        "解答",
        "かいせつ",
        "respuesta",
        "solución",
        "lösung",
        "antwort",
        "réponse",
    }
)
LONGEST = 60  # letters and digits; nothing with more is an opener


def lacks_substance(texts: Sequence[str]) -> str:
    """Why texts that a candidate wrote say nothing; "" where one says something, or where there is none."""
    if not texts:
        return ""
    reasons = [_nothing_in(text) for text in texts]
    return reasons[0] if all(reasons) else ""


def _nothing_in(text: str) -> str:
    if sum(map(str.isalnum, text[: 4 * LONGEST])) > LONGEST:  # nearly always, and quick to find out
        return ""
    words, signs = _ascii_words(text) if text.isascii() else _words(text)
    if not words:
        return "" if signs else "holds no letter, digit or sign"
    few = sum(map(len, words)) <= LONGEST
    return "is only the opening of an answer" if few and _folded(" ".join(words)) in _OPENERS else ""


def _ascii_words(text: str) -> tuple[list[str], bool]:
    """As `_words`, of most texts and in a tenth of the time."""
    return _ASCII_WORD.findall(text.translate(_NO_APOSTROPHES)), False


def _words(text: str) -> tuple[list[str], bool]:
    """The words of a text, and whether it holds a sign that may be an answer by itself."""
    seen = [character for character in text if not _is_unseen(character)]
    words = "".join(character if character.isalnum() else " " for character in seen).split()
    return words, any(map(_is_sign, seen))


def _is_unseen(character: str) -> bool:
    """Apostrophes, accents by themselves, and what shows nothing: they neither say something nor part a word."""
    if character.isascii():
        return character in "'`"
    return character in _BLANKS or unicodedata.category(character) in ("Cf", "Mn", "Mc", "Me")


def _is_sign(character: str) -> bool:
    """Whether it may be an answer by itself, as ∞ and ∅ are; what ASCII has is what master keys are made of."""
    return not character.isascii() and unicodedata.category(character) in ("Sm", "So")


def _folded(text: str) -> str:
    """In lower case and without accents."""
    parted = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in parted if not unicodedata.combining(character))


_ASCII_WORD = re.compile("[A-Za-z0-9]+")
_NO_APOSTROPHES = str.maketrans("", "", "'`")
_BLANKS = "’\u115f\u1160\u2800\u3164\uffa0\ufffd"  # letters and symbols by their category, with nothing to see
_OPENERS = frozenset(map(_folded, OPENERS))
