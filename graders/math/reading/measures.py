"""Measures: units, percent signs and labels behind a number.

What it decides: a unit in `\\text{}` or `\\mathrm{}` stands behind anything, a plain word only behind a number, a
single letter (`5 m`) only where the text holds no other and a space stands before it. Words that are no unit label what
was counted where they end a value; words such as more, or, not and per label nothing.
"""

from __future__ import annotations

from graders.math.reading.atoms import currency
from graders.math.reading.commands import Commands
from graders.math.reading.decimals import is_numeric, is_whole
from graders.math.reading.letters import is_word
from graders.math.reading.spelling import (
    FRACTIONS,
    JOINERS,
    MULTIPLIERS,
    NO_LABEL,
    NO_LABEL_AT_END,
    NO_LABEL_PARTS,
    ORDINALS,
    RELATION_SIGNS,
)
from graders.math.reading.tokens import Token
from graders.math.reading.units import AMBIGUOUS, Unit, per, power, read_unit, times, unit_named
from graders.math.tree import Node, number, product_of

LONGEST_LABEL = 12  # words
_LABEL_ENDS = frozenset(("", ",", ";", "join", ")", "}", "]", "\\\\", ".", "wide", "&", "end", "cases}"))
_UNIT_BEGINNINGS = frozenset(("square", "cubic", "sq", "cu", "nautical", "light", "fluid"))
_COMMANDED = {"min": "min", "in": "in", "Omega": "Ω", "AA": "Å"}
_HALVES_OF_DAY = frozenset(("AM", "PM", "am", "pm"))


class Measures(Commands):
    """Reads what stands behind a number and measures it."""

    plainness: bool | None = None  # plain, once it is known
    pairs = 0  # plain words of two letters that were units
    letters_only = False  # words of two letters are products, never units

    def behind(self, left: list[Node]) -> bool:
        """Whether a unit, a percent sign or a label stood here; it then belongs to the product so far."""
        token = self.found[self.at]
        if token.kind == "percent":
            if left[-1].head == "percent":
                raise ValueError("percent signs stand behind one another")
            self.at += 1
            left[:] = [Node("percent", (product_of(left),))]
            return True
        if token.kind == "currency" and left[-1].head != "quantity":
            self.at += 1
            left[:] = [Node("quantity", (product_of(left),), currency(token.text))]
            return True
        if token.kind == "command" and (unit := self.commanded(left, token.text)) is not None:
            left[:] = [Node("quantity", (product_of(left),), unit)]
            return True
        if token.kind == "(" and self.kinds("(", "word", ")") and is_numeric(left[-1]):
            return self.bracketed_label(left)
        if token.kind in ("text", "font", "word", "letter"):
            return self.unit_or_label(left, token)
        return False

    def commanded(self, left: list[Node], name: str) -> Unit | None:
        """The unit that a command spells behind a number: `min`, `\\Omega`, `\\AA`, `\\mu\\text{m}`, a fraction."""
        after = self.ahead(1)
        if name in _COMMANDED and after.kind in _LABEL_ENDS and is_numeric(left[-1]):
            self.at += 1
            return unit_named(_COMMANDED[name])
        if name == "mu" and after.kind in ("font", "text") and is_numeric(left[-1]):
            unit = unit_named(f"µ{after.text.strip()}")
            self.at += 2 * (unit is not None)
            return unit
        if name in FRACTIONS and after.kind == "{" and self.ahead(2).kind in ("font", "text") and is_numeric(left[-1]):
            return self.unit_fraction(left)
        return None

    def unit_fraction(self, left: list[Node]) -> Unit | None:
        """`\\frac{\\text{km}}{\\text{h}}`; nothing is read where it is none."""
        start, parts = self.at, list[Unit]()
        self.at += 1
        for _ in range(2):
            unit = self.unit(left, self.found[self.at]) if self.accept("{") and self.kind in ("font", "text") else None
            if unit is None or not self.accept("}"):
                self.at = start
                return None
            parts.append(unit)
        return per(*parts)

    def bracketed_label(self, left: list[Node]) -> bool:
        """`42(cm)`: a unit in brackets behind a number, or what was counted."""
        text = self.ahead(1).text
        unit = unit_named(text)
        if unit is None and text.isascii():
            return False
        self.at += 3
        head = "labelled" if unit is None else "quantity"
        left[:] = [Node(head, (product_of(left),), unit or text)]
        return True

    def unit_or_label(self, left: list[Node], token: Token) -> bool:
        if (factor := MULTIPLIERS.get(token.text.lower())) and token.kind != "letter":
            self.at += 1
            left.append(number(factor))
            return True
        if token.kind == "word" and token.text in ORDINALS and not token.space and is_whole(left[-1]):
            self.at += 1
            return True
        if self.letters_only and is_pair(token):
            return False
        if token.kind == "letter" and (
            token.text == "U" or not (token.space and is_numeric(left[-1]) and self.plain())
        ):
            return False
        unit = self.unit(left, token)
        if unit is not None:
            left[:] = [Node("quantity", (product_of(left),), unit)]
            return True
        if token.kind == "letter" or (token.kind == "font" and len(token.text) < 4):
            return False
        start, words = self.at, list[str]()
        while len(words) < LONGEST_LABEL and self.kind in ("text", "word"):
            words.append(self.take().text)
        said = " ".join(words).strip()
        if self.kind == "^" and words:
            said = "" if (exponent := self.unit_power()) is None else f"{said}^{exponent}"
        ends = self.kind in _LABEL_ENDS or self.relation_ahead()
        if said and ends and _is_label(said, token, left):
            if said.strip(" .,()"):
                self.pairs += is_pair(token)
                left[:] = [Node("labelled", (product_of(left),), said)]
            return True
        self.at = start
        return False

    def relation_ahead(self) -> bool:
        token = self.found[self.at]
        return (token.text if token.kind == "command" else token.kind) in RELATION_SIGNS

    def unit(self, left: list[Node], token: Token) -> Unit | None:
        """The unit that stands here behind a number, read to its end; the cursor stays where there is none."""
        start = self.at
        unit = self.unit_word(token, left)
        if unit is None:
            return None
        for _ in range(LONGEST_LABEL):
            back = self.at
            divides = self.accept("/")
            joined = divides or self.accept("-") or self.accept_command("cdot") or self.accept("*")
            more = self.unit_word(self.found[self.at], left, joined)
            if more is None:
                self.at = back
                break
            unit = per(unit, more) if divides else times(unit, more)
        if token.kind == "letter" and self.kind not in _LABEL_ENDS and not self.relation_ahead():
            self.at = start  # a letter in the middle of a formula is a variable
            return None
        return unit

    def unit_word(self, token: Token, left: list[Node], joined: bool = False) -> Unit | None:
        """The unit of one word with its power, read; None, and nothing read, where it is none."""
        text, start = token.text.replace("\\%", "%"), self.at
        if token.kind in ("text", "font"):
            unit = read_unit(text)
        elif token.kind == "word":
            unit = None if self.letters_only and is_pair(token) else self.spelled_unit()
            unit = unit if unit is not None and (joined or is_numeric(left[-1])) else None
        elif token.kind == "letter" and text in AMBIGUOUS and (joined or token.space):
            unit = unit_named(text)
        else:
            return None
        if unit is None:
            return None
        self.pairs += is_pair(token)
        self.at += 1
        exponent = self.unit_power()
        if exponent is None or self.kind == "_":
            self.at = start
            return None
        if exponent == 1:
            return unit
        if token.kind in ("text", "font") and not text.strip()[-1:].isdigit():
            raised = read_unit(f"{text.strip()}^{exponent}")  # it belongs to the last of several
            self.at = start if raised is None else self.at
            return raised
        return power(unit, exponent)

    def spelled_unit(self) -> Unit | None:
        """The unit that the next words spell, such as miles per hour; the cursor stands on the last of them."""
        words = [self.found[self.at].text]
        first = unit_named(words[0]) if len(words[0]) < 30 else None
        if first is None and words[0].lower() not in _UNIT_BEGINNINGS:
            return None
        while len(words) < 4 and self.ahead(len(words)).kind == "word":
            words.append(self.ahead(len(words)).text)
        while words:
            unit = first if len(words) == 1 else read_unit(" ".join(words))
            if unit is not None:
                self.at += len(words) - 1
                return unit
            words.pop()
        return None

    def plain(self) -> bool:
        """Whether the text holds no LaTeX and no other letters to speak of: then `5 m` is five metres."""
        if self.plainness is None:
            kinds = [token.kind for token in self.found]
            more = ("/" in kinds) + (kinds[1] == "=")
            self.plainness = "command" not in kinds and kinds.count("letter") <= 1 + more and "=" not in kinds[2:]
        return self.plainness

    def unit_power(self) -> int | None:
        """The power behind a unit, 1 where there is none, None where it is no whole number."""
        for pattern in (
            ("^", "number"),
            ("^", "{", "number", "}"),
            ("^", "-", "number"),
            ("^", "{", "-", "number", "}"),
        ):
            if self.kinds(*pattern):
                text = self.ahead(pattern.index("number")).text
                if len(text) > 2 or not text.isdigit():
                    break
                self.at += len(pattern)
                return -int(text) if "-" in pattern else int(text)
        if self.kind == "^" and not self.side_ahead():
            return None
        return 1


def is_pair(token: Token) -> bool:
    """Whether it is a plain word of two letters, which may be two variables."""
    return token.kind == "word" and len(token.text) == 2 and token.text.isascii()


def _is_label(said: str, token: Token, left: list[Node]) -> bool:
    """Whether words behind a number only name what was counted."""
    words = [word.strip("().,;:") for word in said.lower().replace("-", " ").split()]
    if said[0] == "-" or (not said.isascii() and any(word in said for word in NO_LABEL_PARTS)):
        return False
    if not words or words[-1] in NO_LABEL_AT_END:
        return False
    words = words[:-1] if words[-1] == "times" and len(words) > 1 else words
    if any(
        word in NO_LABEL or word in JOINERS or any(sign.isdigit() for sign in word.partition("^")[0]) for word in words
    ):
        return False
    if left[-1].head in ("symbol", "constant") or any(
        len(word) == 1 and word.isascii() for word in words if word != "a"
    ):
        return False
    if unit_named(words[0].partition("^")[0]) is not None:  # a unit with a power that none has
        return False
    if token.kind == "word" and token.text.isascii() and not (token.space and is_word(token.text)):
        return token.text in _HALVES_OF_DAY
    return (token.kind == "text" or is_numeric(product_of(left))) and all(
        word.partition("^")[0].isalpha() or not word for word in words
    )
