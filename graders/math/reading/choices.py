"""Choices: what says of a text, before it is cut into signs, how it is to be read.

What it decides: a letter from A to H in brackets, or before a full stop, a bracket or a colon, is a choice where
something stands behind it, which is what it stands for; the words option and choice before a letter say nothing.
"""

from __future__ import annotations

import re

_FACE = r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|mathrm|mathbf|mbox|boldsymbol|bf|rm)\s{0,2}\{\s{0,2}"
_CHOICE = re.compile(
    rf"(?P<face>{_FACE})?(?:\*\*)?(?:\((?P<closed>[A-Ha-h])\)|(?P<open>[A-H])(?P<sign>[.):]))(?P<rest>.*)", re.S
)
_GAP = re.compile(r"(?:[\s~:.*]|\\[ ,;:!]|\\q?quad(?![A-Za-z]))*")
_OPERATORS = frozenset("+*/^_=<>|!',;)]}&%")
_SAYS_MORE = re.compile(
    r"(?:\\text\w{0,6}\s?\{)?\s?(?:and|or|but|not|is|are|was|isn't|if|unless|\\lor|\\land)(?![a-z])", re.I
)
_OTHER_CHOICE = re.compile(r"\([A-H]\)|(?<![A-Za-z])[B-H]\)")
_NAMED_CHOICE = re.compile(r"(?:\\text\w{0,6}\s?\{)?(?:[Oo]ption|[Cc]hoice)[\s~}]{0,4}\(?([A-H])\)?[\s}.]{0,4}")
_EXCEPT = re.compile(
    r"(?:\\text\s?\{)?\s?[Aa]ll real(?: numbers?|s)?(?: [a-z])?,? (?:except|excluding|but)(?: for)?(?: \})?\s?\}?(.+)",
    re.S,
)
_SPACED = re.compile(r"[1-9]\d{0,2}(?:, \d{3}){2,40}")


def choice(text: str) -> tuple[str, str] | None:
    """The letter of a choice and what it stands for, as text; None where the text is none.

    >>> choice("(C) 12")
    ('C', '12')
    """
    found = _CHOICE.fullmatch(text)
    if found is None:
        return None
    letter, rest = found["closed"] or found["open"], found["rest"]
    gap = _GAP.match(rest)
    assert gap is not None
    bare, wide = rest[gap.end() :], gap.end() > 0
    if found["face"] and bare.startswith("}"):
        bare = bare[1:]
        inner = _GAP.match(bare)
        assert inner is not None
        bare, wide = bare[inner.end() :], True
    elif found["face"]:
        bare = f"\\text{{{bare}"
    if not bare or bare[0] in _OPERATORS or _SAYS_MORE.match(bare) or _OTHER_CHOICE.search(bare):
        return None
    if found["sign"] == ":" and (not wide or len(bare) == 1):
        return None
    if bare[0] == "-" and (not wide or bare[1:2] == " "):
        return None
    if not wide and not (bare[0].isdigit() or bare[0] in "\\$"):
        return None
    return letter.upper(), bare


def chosen_letter(text: str) -> str:
    """The letter in "option B"; "" for other texts."""
    found = _NAMED_CHOICE.fullmatch(text)
    return found[1] if found else ""


def exceptions(text: str) -> str:
    """What "all real numbers except 4" leaves out, as text; "" for other texts."""
    found = _EXCEPT.fullmatch(text)
    return (
        found[1].removesuffix("}") if found and found[1].count("{") < found[1].count("}") else found[1] if found else ""
    )


def spaced_thousands(text: str) -> str:
    """`11, 111, 111` as one numeral; "" for other texts."""
    return text.replace(", ", "") if _SPACED.fullmatch(text) else ""
