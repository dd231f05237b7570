"""Substance: texts that say nothing and that judges are known to praise are never shown to one.

"One Token to Fool LLM-as-a-Judge" (Zhao et al. 2025, arXiv 2507.08794) calls them master keys: punctuation, and
openers of a solution without the solution.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

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
        "my answer",
        "my solution",
        "let me think",
        "let me think about this",
        "let me think about this step by step",
        "let me think about this problem",
        "let me think this through",
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
        "lets think about this",
        "lets solve",
        "lets solve this",
        "to solve this problem",
        "解",
        "解答",
        "思考过程",
        "かいせつ",
        "respuesta",
        "solución",
        "lösung",
        "antwort",
        "réponse",
    }
)
FILLERS = frozenset({("okay",), ("ok",), ("sure",), ("so",), ("well",), ("here", "is"), ("heres",)})
"""What may stand before an opener. By itself it may be an answer."""

LONGEST = 60  # letters and digits; no opener has more
HEAD = 4 * LONGEST  # characters that nearly always tell that a text goes on after its openers
OPERATORS = "<>=+-*/%&|^~!"
RULES = ("**", "***", "---")  # lines and emphasis of Markdown, though made of operators


def lacks_substance(texts: Sequence[str]) -> str:
    """Why texts that a candidate wrote say nothing; "" where one says something, or where there is none."""
    if not texts:
        return ""
    reasons = [_nothing_in(text) for text in texts]
    return reasons[0] if all(reasons) else ""


def _nothing_in(text: str) -> str:
    if len(text) > HEAD and _goes_on(text[:HEAD]):  # nearly always, and quick to find out
        return ""
    words, signs = _words_of(text)
    if not words:
        return "" if signs else "holds no letter, digit or sign"
    return "" if _past_openers(words) else "is only the opening of an answer"


def _goes_on(head: str) -> bool:
    """Whether the beginning of a longer text says more than openers, one of which may be cut off at its end."""
    if head.isascii() and (first := _ASCII_WORD.search(head)) and first[0].lower() not in _FIRST_WORDS:
        return sum(map(str.isalnum, head)) > LONGEST
    return sum(map(len, _past_openers(_words_of(head)[0]))) > LONGEST


def _past_openers(words: Sequence[str]) -> Sequence[str]:
    """The words after all openers at the front; a filler goes only with the opener that follows it."""
    start = 0
    while start < len(words):
        place = start
        while filler := _begins_with(words, place, _FILLERS):
            place += filler
        opener = _begins_with(words, place, _STARTS)
        if not opener:
            break
        start = place + opener
    return words[start:]


def _begins_with(words: Sequence[str], place: int, known: Mapping[str, Sequence[tuple[str, ...]]]) -> int:
    """How many words from `place` on make the longest of some phrases, which are listed by their first words."""
    first = _folded(words[place]) if place < len(words) and len(words[place]) <= LONGEST else ""
    for phrase in known.get(first, ()):
        if tuple(map(_folded, words[place : place + len(phrase)])) == phrase:
            return len(phrase)
    return 0


def _words_of(text: str) -> tuple[list[str], bool]:
    """The words of a text without the tags of thoughts, and whether it holds a sign that may be an answer."""
    if "think" in text or "THINK" in text:
        text = _TAGS.sub(" ", text)
    if text.isascii():  # most, in a tenth of the time
        words = _ASCII_WORD.findall(text.translate(_NO_APOSTROPHES))
        return words, not words and _is_operator(text)
    return _words(text)


def _is_operator(text: str) -> bool:
    """Whether the whole of it is an operator, as an answer may be: <, !=, &&."""
    bare = text.strip()
    return 0 < len(bare) <= 3 and bare not in RULES and all(character in OPERATORS for character in bare)


def _words(text: str) -> tuple[list[str], bool]:
    """The words of a text, and whether it holds a sign that may be an answer by itself."""
    seen = [character for character in text if not _is_unseen(character)]
    words = "".join(character if character.isalnum() else " " for character in seen).split()
    return words, any(map(_is_sign, seen)) or _is_operator("".join(seen))


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
    if text.isascii():
        return text.lower()
    parted = unicodedata.normalize("NFKD", text).casefold()
    return "".join(character for character in parted if not unicodedata.combining(character))


_ASCII_WORD = re.compile("[A-Za-z0-9]+")
_NO_APOSTROPHES = str.maketrans("", "", "'`")
_BLANKS = "’\u115f\u1160\u2800\u3164\uffa0\ufffd"  # letters and symbols by their category, with nothing to see
_TAGS = re.compile(r"</?think(?:ing)?>|\[/?THINK\]", re.IGNORECASE)


def _by_first_word(phrases: Iterable[tuple[str, ...]]) -> Mapping[str, Sequence[tuple[str, ...]]]:
    known: dict[str, list[tuple[str, ...]]] = {}
    for phrase in sorted(phrases, key=len, reverse=True):
        known.setdefault(phrase[0], []).append(phrase)
    return known


def _spellings(opener: str) -> Iterator[str]:
    """As it is written, and with "let us" and "let me" for "lets"."""
    yield opener
    if opener.startswith("lets "):
        yield from (f"let {who} {opener.removeprefix('lets ')}" for who in ("us", "me"))


_FILLERS = _by_first_word(FILLERS)
_STARTS = _by_first_word(tuple(_folded(one).split()) for opener in OPENERS for one in _spellings(opener))
_FIRST_WORDS = {*_FILLERS, *_STARTS, "think", "thinking"}
