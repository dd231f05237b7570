"""Tokens: a mathematical text, LaTeX or plain, cut into its signs in one pass. Scores nothing, knows no grammar.

Every pattern here is linear: character classes, possessive repeats, no repeat inside a repeat that could take the
same sign twice.

What it decides: digits in groups of three are one number (`1,000` outside brackets, `1 000`, `1{,}000`, `1.000.000`);
`\\text{}` is what it holds (and, or, percent, words), whatever its font; `\\left` and `\\right` say no more than their
brackets do, but for bars, and for `\\left\\{ ... \\right.`, which opens cases; colours, spaces and sizes are dropped.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from graders.math.reading.signs import plain
from graders.math.reading.spelling import (
    CONTENT,
    DOMAINS,
    DROPPED,
    DROPPED_WITH_GROUP,
    IDEOGRAPHS,
    JOINERS,
    MODULES,
    NAMES,
    PERCENT,
    PLAIN_NAMES,
    SPACES,
    TEXT_FUNCTIONS,
    TEXTS,
)

__all__ = ["DIGITS", "LONGEST", "MOST", "Token", "plain", "tokens"]

LONGEST = 10_000  # characters of one answer
MOST = 3_000  # tokens
DIGITS = 4_000  # of one numeral: what Python turns into a number without being asked twice


class Token(NamedTuple):
    """`kind` is the sign itself for operators and brackets, else what `text` is; `space` says whether space precedes.

    Kinds: number, letter, word, command (also a function's name without its backslash), text (`\\text{}`), font
    (`\\mathrm{}`), join (and, or), currency, percent, prime, dots, begin, end, wide (`\\quad`), `left|`, `right|`,
    `left.`, `right.`, `cases{`, `cases}`, `<<` and `>>` (`\\left<`), `||`, `\\\\` (a new line), and "" at the end.
    """

    kind: str
    text: str
    space: bool = False


_GROUPED = r"\d{1,3}(?:(?:[ ]?\{,[ ]?\}|,\\!\s?|\\[,;: ]|\\!|[ ~])\d{3}){1,40}(?!\d)"
_COMMAS = r"(?<!\d,)[1-9]\d{0,2}(?:,\d{3}){1,40}(?![\d,])"
_COMMA = r"[1-9]\d{0,2}(?:\.\d{3}){1,40},\d++(?![\d.,])"
_POINTS = r"\d{1,3}(?:\.\d{3}){2,40}(?![\d.])"
_PLAIN = r"\d++"
_DECIMALS = r"(?:(?:\.|\{,\})\d++|\.(?=\\(?:overline|dot|bar)|\(\d))?"
_POWER = r"(?:[eE][+-]?\d++(?![A-Za-z^_\\]))?"
_REST = r"""
  | (?P<space>[\s~]++)
  | (?P<letters>[^\W\d_]++)
  | (?P<command>\\(?:[A-Za-z]++|.))
  | (?P<sign><=>|<->|=>|->|<=|>=|!=|<>|==|\*\*|&&|\.\.\.+|''|[-+*/^_=<>|!'"(){}\[\],;:&%$€£¥₹.])
  | (?P<other>.)
"""
_BARE = re.compile(
    rf"(?P<number>(?:{_COMMAS}|{_COMMA}|{_POINTS}|{_GROUPED}|{_PLAIN}){_DECIMALS}{_POWER}|\.\d++{_POWER}){_REST}",
    re.X | re.S,
)
_INSIDE = re.compile(
    rf"(?P<number>(?:(?<!\d,)\d{{1,3}}(?:,000){{1,40}}+(?![\d,])|{_GROUPED}|{_PLAIN}){_DECIMALS}{_POWER}|\.\d++{_POWER}){_REST}",
    re.X | re.S,
)
_GROUP = re.compile(r"[^{}\\]++|\\.|[{}]", re.S)
_UNGROUP = str.maketrans("", "", ", ~{}\\!;:")
_LENGTH = re.compile(r"\*?\s{0,3}\[[-\d.]{0,8}\s?(?:pt|em|ex|mm|cm|in)\]")
_FENCES = {
    **{"\\|": "||", "\\Vert": "||", "\\lVert": "||", "\\rVert": "||", "\\vert": "|", "\\lvert": "|", "\\rvert": "|"},
    **{"|": "|", ".": ".", "<": "<", ">": ">", "\\{": "\\{", "\\lbrace": "\\{"},
}
_FENCE = re.compile(r" *+(\\(?:[lr]?[vV]ert(?![A-Za-z])|lbrace(?![A-Za-z])|[|{])|[|.<>])")
_SCRIPT = re.compile(rf"[{IDEOGRAPHS}]++|[^{IDEOGRAPHS}]++")
_GLUED = re.compile(r"(or|and)[A-Za-z]{1,2}")
_GAPS = frozenset(("\\,", "\\;", "\\:", "\\!", "\\ ", "\\>", "\\/", "\\thinspace", "\\displaystyle", "\\\n"))
_SAME = {"<>": "!=", "==": "=", "**": "^", "=>": ">=", "&&": "join"}


_QUICK = {  # signs that are never part of longer ones: their tokens without and with a space, and what they open
    sign: ((Token(sign, sign, False), Token(sign, sign, True)), (sign in "([") - (sign in ")]"))
    for sign in "()[]{},+^_;"
}


def tokens(text: str) -> list[Token]:
    """The tokens of a text that `plain` wrote; ValueError where it is too long or holds what is no mathematics."""
    return _Scanner(text).found


class _Scanner:
    """One pass over a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found: list[Token] = []
        self.fences: list[int] = []  # where the `\left`s that are still open stand among the tokens
        self._scan()

    def _scan(self) -> None:
        text, found, end = self.text, self.found, len(self.text)
        depth, space, bare, inside = 0, False, _BARE.match, _INSIDE.match
        while self.at < end:
            quick = _QUICK.get(text[self.at])
            if quick is not None:
                found.append(quick[0][space])
                depth = max(depth + quick[1], 0)
                self.at += 1
                space = False
                continue
            match = (inside if depth else bare)(text, self.at)
            assert match is not None  # `other` takes any sign
            kind, sign = match.lastgroup, match[0]
            self.at = match.end()
            if kind == "space":
                space = True
                continue
            if kind == "number":
                found.append(Token("number", _numeral(sign), space))
            elif kind == "sign":
                found.append(_sign(sign, space))
            elif kind == "letters":
                if found and not space and found[-1].kind == "number" and (glued := _GLUED.fullmatch(sign)):
                    self.at = match.start(0) + glued.end(1)
                    sign = glued[1]
                elif (
                    sign in MODULES and text[self.at : self.at + 1] == "." and text[self.at + 1 : self.at + 2].isalpha()
                ):
                    self.at += 1
                    continue
                elif not sign.isascii() and (script := _SCRIPT.match(sign)):
                    sign = script[0]
                    self.at = match.start(0) + len(sign)
                found.append(_word(sign, space))
            elif kind == "command":
                if sign in _GAPS:
                    space = True
                    continue
                if sign in ("\\{", "\\langle", "\\}", "\\rangle"):
                    depth = max(depth + (1 if sign in ("\\{", "\\langle") else -1), 0)
                self._command(sign, space)
            else:
                raise ValueError(f"{sign!r} is no sign of mathematics")
            space = False
            if len(found) > MOST:
                break
        if len(found) > MOST:
            raise ValueError(f"it has more than {MOST:,} signs")
        found.append(Token("", "", space))

    def _command(self, sign: str, space: bool) -> None:
        """Append what a command stands for; the scan goes on behind its words, where it holds words."""
        name, found = sign[1:], self.found
        if name in NAMES:
            found.append(Token(*_ALIASES.get(name, ("command", name)), space))
        elif name in TEXTS or name in CONTENT:
            self._worded(name, space)
        elif name in ("begin", "end"):
            found.append(Token(name, (self._content() or "").strip("* "), space))
        elif name in ("left", "right"):
            self._fence(name, space)
        elif name in DROPPED_WITH_GROUP:
            self._content()
        elif name in ("overset", "underset", "stackrel"):
            self._content()
            self._spliced(space)
        elif name.startswith(("quad", "qquad")):
            found.append(Token("wide", "\\quad", space))
            self.at -= len(name) - (5 if name[0] == "q" and name[1] == "q" else 4)
        elif name == "\\":
            found.append(Token("\\\\", "\\\\", space))
            if length := _LENGTH.match(self.text, self.at):
                self.at = length.end()
        elif name in _KINDS:
            found.append(Token(*_KINDS[name], space))
        elif name not in DROPPED and name not in SPACES:
            found.append(Token("command", name, space))

    def _worded(self, name: str, space: bool) -> None:
        content = self._content()
        if content is None:
            content = self._next_letter()
        if content is None:
            if name not in ("rm", "bf") and not self.text[self.at : self.at + 2].strip()[:1].isdigit():
                self.found.append(Token("command", name, space))
            return
        if name == "mathop":
            content = content.removeprefix("\\rm").removeprefix("\\operatorname").strip(" {}")
        if name in ("mathbb", "Bbb", "mathds") and content.strip() in DOMAINS:
            self.found.append(Token("command", content.strip(), space))
            return
        self.found += _words(content, "text" if name in TEXTS else "font", space)

    def _next_letter(self) -> str | None:
        """The one letter that a font without braces holds for."""
        letter = self.text[self.at : self.at + 2].lstrip(" ")[:1]
        after = self.text[self.at + 2 : self.at + 3] if self.text[self.at : self.at + 1] == " " else ""
        if not (letter.isascii() and letter.isalpha()) or after.isalpha():
            return None
        self.at = self.text.index(letter, self.at) + 1
        return letter

    def _spliced(self, space: bool) -> None:
        """The sign below `\\overset{?}`, without its braces."""
        start = self.at
        content = self._content()
        sign = _BARE.fullmatch(content.strip()) if content else None
        if sign is None or sign.lastgroup not in ("sign", "command"):
            self.at = start
        elif sign.lastgroup == "sign":
            self.found.append(_sign(sign[0], space))
        else:
            self.found.append(Token("command", sign[0][1:], space))

    def _fence(self, name: str, space: bool) -> None:
        """`\\left` and `\\right` say nothing that their bracket does not, but which side of a bar it is."""
        match = _FENCE.match(self.text, self.at)
        sign = _FENCES[match[1]] if match else ""
        if name == "left":
            self.fences.append(len(self.found))
        if match is None or sign == "\\{":  # read on its own
            if name == "right" and self.fences:
                self.fences.pop()
            return
        self.at = match.end()
        if name == "right" and self.fences:
            opening = self.fences.pop()
            if sign == "." and self._half_open(opening, space):
                return
        if sign in "<>":
            self.found.append(Token("<<" if sign == "<" else ">>", sign, space))
        else:
            self.found.append(Token(f"{name}." if sign == "." else f"{name}|", sign, space))

    def _half_open(self, opening: int, space: bool) -> bool:
        """Whether what `\\right.` closes is cases, or a bar that only separates."""
        first = self.found[opening] if opening < len(self.found) else None
        if first is None or first.kind not in ("\\{", "left|"):
            return False
        if first.kind == "left|":
            self.found[opening] = Token("|", "|", first.space)
            return True
        self.found[opening] = Token("cases{", "\\left\\{", first.space)
        self.found.append(Token("cases}", "\\right.", space))
        return True

    def _content(self) -> str | None:
        """What the braces behind a command hold; None where there are none. Linear: read once."""
        text, start = self.text, self.at
        while start < len(text) and text[start] == " ":
            start += 1
        if start >= len(text) or text[start] != "{":
            return None
        depth = 0
        for piece in _GROUP.finditer(text, start):
            if piece[0] == "{":
                depth += 1
            elif piece[0] == "}":
                depth -= 1
                if not depth:
                    self.at = piece.end()
                    return text[start + 1 : piece.start()]
        raise ValueError("a brace is never closed")


_KINDS = {
    **{"$": ("currency", "$"), "pounds": ("currency", "£"), "euro": ("currency", "€"), "%": ("percent", "%")},
    **{"{": ("\\{", "{"), "}": ("\\}", "}"), "newline": ("\\\\", "\\\\"), "cr": ("\\\\", "\\\\"), "&": ("join", "and")},
    **{"|": ("||", "||"), "#": ("#", "#"), "_": ("_", "_"), "colon": (":", ":")},
    **{"lor": ("join", "or"), "vee": ("join", "or"), "land": ("join", "and"), "wedge": ("join", "and")},
}
_ALIASES = {
    **dict.fromkeys(("ldots", "cdots", "dots", "dotsc", "dotsb"), ("dots", "...")),
    **{"vert": ("|", "|"), "Vert": ("||", "||"), "lbrack": ("[", "["), "rbrack": ("]", "]")},
    **{"quad": ("wide", "\\quad"), "qquad": ("wide", "\\quad"), "rbrace": ("\\}", "}"), "lbrace": ("\\{", "{")},
}


def _numeral(sign: str) -> str:
    if len(sign) > DIGITS:
        raise ValueError(f"a numeral of more than {DIGITS:,} digits is not read")
    if sign.isdigit():
        return sign
    sign = sign.replace(" ", "")
    if "." in sign and sign.find(".") < sign.rfind(",") and "{" not in sign:
        return sign.replace(".", "").replace(",", ".")
    if "{,}" in sign and not re.search(r"\{,\}\d{3}(?!\d)", sign):
        return sign.replace("{,}", ".")
    if sign.count(".") > 1:
        return sign.replace(".", "")
    return sign.translate(_UNGROUP)


def _word(letters: str, space: bool) -> Token:
    if len(letters) == 1 and letters.isascii():
        return Token("letter", letters, space)
    if letters in PLAIN_NAMES:
        return Token("command", letters, space)
    lower = letters.lower()
    if lower in JOINERS:
        return Token("join", JOINERS[lower], space)
    if lower in PERCENT:
        return Token("percent", letters, space)
    return Token("word", letters, space)


def _sign(sign: str, space: bool) -> Token:
    if sign in "-*/=":
        return Token(sign, sign, space)
    if sign in "€£¥₹$":
        return Token("currency", sign, space)
    if sign == "%":
        return Token("percent", sign, space)
    if sign in ("'", "''", '"'):
        return Token("prime", "'" if sign == "'" else "''", space)
    if sign.startswith("..."):
        return Token("dots", sign, space)
    if sign == "->":
        return Token("command", "to", space)
    return Token(_SAME.get(sign, sign), sign, space)


def _words(content: str, kind: str, space: bool) -> list[Token]:
    """The tokens of `\\text{...}` or `\\mathrm{...}`: by what it holds, not by its font."""
    content = content.replace("~", " ").replace("\\,", " ").replace("\\ ", " ").strip()
    bare = content.strip(" ,.;:()").lower()
    if bare in JOINERS:
        return [Token("join", JOINERS[bare], space)]
    if not bare:
        return [Token(content[0], content[0], space)] if content[:1] in (",", ";") else []
    if kind == "text" and content.strip(" ()") in TEXT_FUNCTIONS:
        return [Token("command", content.strip(" ()"), space)]
    if content.lstrip("\\") in ("$", "€", "£"):
        return [Token("currency", content.lstrip("\\"), space)]
    if bare.replace("per cent", "percent") in PERCENT or bare == "\\%":
        return [Token("percent", content, space)]
    if kind == "text" and bare.endswith((" and", " or")):
        join = bare.rpartition(" ")[2]
        return [*_words(content[: len(content.rstrip(" ,.;:()")) - len(join)], kind, space), Token("join", join, True)]
    return [Token(kind, content, space)]
