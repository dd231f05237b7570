"""What only dresses an answer: delimiters of formulas, bold, quotes, a full stop; and what tells it from a sentence."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from graders.math.answer.formulas import TEXT, formulas
from graders.text.marks import unmarked

Reads = Callable[[str], bool]

CURRENCY = "$€£¥₹₽₩"
VALUE = re.compile(rf"\s*(?:[-+−±(（[|{{]\s?)*(?:[{CURRENCY}]?\d|\.\d|[{CURRENCY}\\√π∞∅])")
DELIMITERS = re.compile(r"(?<!\\)\\[()\[\]]")
DOUBLED = re.compile(r"(?<!\\)\\\\(?=[A-Za-z])")  # a command as JSON escapes it
SINGLE = re.compile(r"(?<!\\)\\(?=[A-Za-z])")
LEADING = re.compile(r"\s*(?:\\(?:displaystyle|textstyle|implies|Rightarrow|Longrightarrow|therefore)\b|[⇒∴])\s*")
END_MARKS = (r"\blacksquare", r"\square", r"\checkmark", r"\qed", r"\Box", "✓", "∎", "■", "✅")
SIGNS = re.compile(r"[\d\\=+^<>√π∞]")
NARRATIVE = re.compile(
    r"(?<!\\)\b(?:so|we|is|are|was|the|therefore|thus|hence|because|which|then|since|that|this|there|it|you|she|he|they|has|have"
    r"|can|will|not|donc|est|la|le|der|die|das|ist|el|los|es|il|é|è)\b"
    r"|[：。？！?]|[,:] [A-Za-z]+ [A-Za-z]+ [A-Za-z]+",
    re.IGNORECASE,
)
MOST_WORDS = 6  # spaces in an answer that is words alone


def undressed(text: str) -> str:
    r"""The text without what only dresses it: delimiters of formulas, bold, code, quotes, `\displaystyle`, a full stop.

    Digits of other scripts become ASCII. A `$` that is money stays.

    >>> undressed("**$\\displaystyle x^2$**.")
    'x^2'
    """
    for _ in range(4):
        before = text
        text = _unpointed(text.strip())
        if "\\" in text:
            text = text.replace('\\"', '"')
            if DOUBLED.search(text) and not SINGLE.search(text):
                text = text.replace("\\\\", "\\")
            text = DELIMITERS.sub("", text)
        if text[:1] in "\\⇒∴" and (found := LEADING.match(text)):
            text = text[found.end() :] or text
        if text.endswith(END_MARKS):
            text = _unmarked_end(text)
        if "$" in text:
            text = _without_dollars(text)
        if text.endswith("**") and text.count("**") % 2:
            text = text[:-2]
        if text[:1] in "*_`\"'“‘„‚«»":
            text = unmarked(text)
        if text == before:
            break
    return text if text.isascii() else _ascii_digits(text)


def _unmarked_end(text: str) -> str:
    """The text without the sign that ends a proof, where more stands before it."""
    mark = next(mark for mark in END_MARKS if text.endswith(mark))
    bare = text[: -len(mark)].rstrip()
    for space in (r"\qquad", r"\quad", r"\;", r"\,", r"\ "):
        bare = bare.removesuffix(space).rstrip()
    return bare if bare and bare[-1] not in "+-*/=<>^_{(" else text


def _unpointed(text: str) -> str:
    """The text without the punctuation at its end; `\\,`, `\\right.` and dots are none."""
    bare = text.rstrip(".,;:。，；： \t\n")
    marks = text[len(bare) :]
    if marks[:1] == "." and (bare.endswith("\\right") or marks.startswith("..")):
        return bare + ("." if bare.endswith("\\right") else "...")
    return bare + marks[:1] if bare.endswith("\\") and marks[:1] in (",", ";", ":") else bare


def unless_prose(reads: Reads) -> Reads:
    """`reads`, but for sentences that hold mathematics: a parser may take their words for labels."""

    def readable(candidate: str) -> bool:
        words = candidate
        if "{" in words:
            words = TEXT.sub("", words)
        if SIGNS.search(words):
            if NARRATIVE.search(words):
                return False
        elif words.count(" ") > MOST_WORDS:
            return False
        return reads(candidate)

    return readable


def _without_dollars(text: str) -> str:
    plain = text.count("$") - text.count("\\$")
    paired = sum(4 if text.startswith("$$", formula.start) else 2 for formula in formulas(text) if formula.dollars)
    if plain and paired == plain:
        return "\\$".join(piece.replace("$", "") for piece in text.split("\\$"))
    if text[-1] == "$" and not text[:-1].rstrip()[-1:].isdigit() and not text.endswith("\\$"):
        text = text[:-1].rstrip("$")
    if text[:1] == "$" and ("\\" in text or not VALUE.match(text.lstrip("$")[:1] or "x")):
        text = text.lstrip("$")
    return text


def _ascii_digits(text: str) -> str:
    signs = {sign for sign in text if not sign.isascii() and sign.isdecimal()}
    table = {ord(sign): str(unicodedata.decimal(sign)) for sign in signs}
    return text.translate(table | {0x66B: ".", 0x66C: ",", 0x66A: "%"}) if signs else text
