r"""Formulas in prose: where `$...$`, `$$...$$`, `\(...\)`, `\[...\]` and equation environments begin and end.

A `$` may be money: two of them hold a formula only where what stands between looks like one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from graders.math.reading.tokens import LONGEST

TOKEN = re.compile(r"\\\\|\\[()\[\]$]|\$\$?|\\(?:begin|end)\{[a-zA-Z]{1,12}\*?\}")
CLOSING = {"\\(": "\\)", "\\[": "\\]"}
LINES = frozenset(
    """
    align aligned gather gathered equation eqnarray split multline flalign alignat
    """.split()  # noqa: SIM905
)
MATRICES = frozenset(
    """
    pmatrix bmatrix vmatrix Bmatrix Vmatrix matrix smallmatrix array cases
    """.split()  # noqa: SIM905
)
TEXT = re.compile(r"\\(?:text|mbox|textbf|textit|textrm|mathrm|operatorname|textnormal)\s?\{[^{}]*\}")
PROSE = re.compile(r"(?<![\\A-Za-z{])[a-zA-Z]{3,}\s+[A-Za-z]{2,}")
WRAPPED = re.compile(r"\\(?:begin|end)\{([a-zA-Z]{1,12})\*?\}(?:\{[lcr|]{0,9}\})?")


class Formula(NamedTuple):
    """One formula: where it and its inside begin and end, and whether it is displayed, or stands between `$`."""

    start: int
    end: int
    inside: int
    stop: int
    display: bool
    dollars: bool

    def inner(self, text: str) -> str:
        return text[self.inside : self.stop]


def formulas(text: str) -> list[Formula]:
    """The outermost formulas of a text, in order.

    >>> [formula.inner("for $5 you get $x^2$") for formula in formulas("for $5 you get $x^2$")]
    ['x^2']
    """
    if "$" not in text and "\\" not in text:
        return []
    found: list[Formula] = []
    opening, start, inside = "", 0, 0
    for token in TOKEN.finditer(text):
        mark = token[0]
        if mark == "\\\\" or mark == "\\$":
            continue
        if opening and _closes(opening, mark):
            dollars = opening[0] == "$"
            if dollars and not _is_formula(text[inside : token.start()], mark):
                start, inside = token.start(), token.end()
                continue
            wraps = opening[1:6] == "begin" and opening[7:-1].rstrip("*") not in LINES
            inner = (start, token.end()) if wraps else (inside, token.start())
            found.append(Formula(start, token.end(), *inner, opening not in ("$", "\\("), dollars))
            opening = ""
        elif mark in CLOSING or mark[0] == "$" or mark.startswith("\\begin"):
            inner_part = opening[:1] == "\\" and (mark[0] == "$" or mark.startswith("\\begin")) and opening != mark
            if not inner_part and not (opening[:1] == "$" and mark.startswith("\\begin")):
                opening, start, inside = mark, token.start(), token.end()
    return found


def last_line(text: str, formula: Formula) -> str:
    """What a formula holds, or the last line of it where it has several and is no matrix."""
    inner = formula.inner(text).strip()
    names = {found[1] for found in WRAPPED.finditer(inner)}
    if not MATRICES.isdisjoint(names):
        return inner
    if names:
        inner = WRAPPED.sub("", inner)
    lines = [line for line in inner.split("\\\\") if line.strip(" \n&.,")]
    line = (lines[-1] if lines else "").replace("&", "").strip()
    return line.lstrip("=").strip() if len(lines) > 1 or line.startswith("=") else line


def _closes(opening: str, mark: str) -> bool:
    if opening[0] == "$":
        return mark == opening
    return mark == CLOSING.get(opening) or (opening[1:6] == "begin" and mark == "\\end" + opening[6:])


def _is_formula(inner: str, mark: str) -> bool:
    if not inner.strip() or len(inner) > LONGEST or "\n\n" in inner:
        return False
    if mark == "$" and inner[0].isdigit() and inner[-1].isspace() and inner.rstrip()[-1] in "+-=*/,;":
        return False
    return not PROSE.search(TEXT.sub("", inner))
