"""Substance: texts that say nothing and that judges are known to praise are never shown to one.

"One Token to Fool LLM-as-a-Judge" (Zhao et al. 2025, arXiv 2507.08794) calls them master keys: punctuation, and
openers of a solution without the solution.
"""

from __future__ import annotations

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
        "sure",
        "okay",
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
LONGEST = 60  # characters; nothing longer is an opener


def lacks_substance(texts: Sequence[str]) -> str:
    """Why texts that a candidate wrote say nothing; "" where one says something, or where there is none."""
    if not texts:
        return ""
    reasons = [_nothing_in(text) for text in texts]
    return reasons[0] if all(reasons) else ""


def _nothing_in(text: str) -> str:
    if len(text) > LONGEST and any(map(str.isalnum, text)):
        return ""
    words = "".join(character if character.isalnum() else " " for character in _plain(text)).split()
    if not words:
        return "holds no letter and no digit"
    return "is only the opening of an answer" if " ".join(words) in OPENERS else ""


def _plain(text: str) -> str:
    """Folded and in lower case, without apostrophes and what is not shown."""
    folded = unicodedata.normalize("NFKC", text[: 4 * LONGEST]).casefold()
    return "".join(
        character for character in folded if character not in "'’`" and unicodedata.category(character) != "Cf"
    )
