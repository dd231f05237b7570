"""Marks in and around texts: which show nothing, which only dress an answer, and when two names are the same.

Scores nothing. Whatever counts, compares or looks for something to see shares the one set of invisible marks here.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

# Every code point of category Cf or with the property Default_Ignorable_Code_Point, and the blank of Braille.
INVISIBLE = re.compile(
    "[\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
LONGEST_RUN = 30  # combining marks in a row: Unicode's stream-safe text format (UAX #15, section 13)
SHORT = 1_000  # characters within which no run of marks takes time

# Markdown, quotes and the delimiters of formulas, by their first letter, the longer ones first.
_PAIRS = (
    *(("**", "**"), ("*", "*"), ("__", "__"), ("```", "```"), ("`", "`"), ('"', '"'), ("'", "'")),
    *(("$$", "$$"), ("$", "$"), ("\\(", "\\)"), ("\\[", "\\]")),
    *(("“", "”"), ("‘", "’"), ("„", "“"), ("„", "”"), ("‚", "‘"), ("«", "»"), ("»", "«")),
)
PAIRS = {sign: [pair for pair in _PAIRS if pair[0][0] == sign] for sign in {pair[0][0] for pair in _PAIRS}}
MOST_PAIRS = 4  # around one answer


def composed(text: str, form: Literal["NFC", "NFKC"] = "NFKC") -> str:
    """The text without invisible marks, in a Unicode normal form.

    A text of more than 1,000 characters keeps of combining marks in a row the first 30: normalisation takes time
    that grows with the square of the run.

    >>> composed("Par\\u00adi\\u2060s")
    'Paris'
    """
    if text.isascii():
        return text
    return unicodedata.normalize(form, _stream_safe(INVISIBLE.sub("", text)))


def _stream_safe(text: str) -> str:
    if len(text) <= SHORT:
        return text
    # By what they decompose to: a half-width voiced mark is a starter that becomes a combining mark.
    marks = [sign for sign in set(text) if unicodedata.combining(unicodedata.normalize("NFKD", sign)[0])]
    if not marks:
        return text
    some = f"[{''.join(marks)}]"
    return re.sub(f"({some}{{{LONGEST_RUN}}}){some}+", r"\1", text)


def visible(text: str) -> bool:
    """Whether anything in the text shows."""
    if not text.isascii():
        text = INVISIBLE.sub("", text)
    return any(sign.isprintable() for piece in text.split() for sign in piece)


def unmarked(text: str) -> str:
    """The text without the pairs of marks around all of it: bold, italics, code, quotes, `$...$` and `\\(...\\)`.

    >>> unmarked('**"Paris"**')
    'Paris'
    """
    for _ in range(MOST_PAIRS):
        for opening, closing in PAIRS.get(text[:1], ()):
            ends = len(opening) + len(closing)
            if len(text) > ends and text.startswith(opening) and text.endswith(closing):
                text = text[len(opening) : -len(closing)].strip()
                break
        else:
            return text
    return text


def normal(name: str, case_sensitive: bool) -> str:
    """The form in which names are compared: NFKC, nothing invisible, spaces collapsed, case folded unless it matters.

    >>> normal(" Saint\\u00a0 LÔ", case_sensitive=False)
    'saint lô'
    """
    if not name.isascii():
        name = composed(name)
        if not case_sensitive:
            name = unicodedata.normalize("NFKC", name.casefold())
    elif not case_sensitive:
        name = name.lower()
    return " ".join(name.split())
