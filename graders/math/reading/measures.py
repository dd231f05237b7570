"""Measures: units, percent signs and labels behind a number.

What it decides: a unit in `\\text{}` or `\\mathrm{}` stands behind anything, a plain word only behind a number, a
single letter (`5 m`) only where the text holds no other and a space stands before it. Words that are no unit label what
was counted where they end a value; words such as more, or, not and per label nothing.
"""

from __future__ import annotations

from graders.math.reading.atoms import currency
from graders.math.reading.commands import Commands
from graders.math.reading.decimals import is_numeric
from graders.math.reading.letters import is_word
from graders.math.reading.spelling import MULTIPLIERS, NO_LABEL, RELATION_SIGNS
from graders.math.reading.tokens import Token
from graders.math.reading.units import AMBIGUOUS, Unit, per, power, read_unit, times, unit_named
from graders.math.tree import Node, number, product_of

LONGEST_LABEL = 12  # words
_LABEL_ENDS = frozenset(("", ",", ";", "join", ")", "}", "]", "\\\\", ".", "wide", "&", "end", "cases}"))
_UNIT_BEGINNINGS = frozenset(("square", "cubic", "sq", "cu", "nautical", "light", "fluid"))
_HALVES_OF_DAY = frozenset(("AM", "PM", "am", "pm"))


class Measures(Commands):
    """Reads what stands behind a number and measures it."""

    plainness: bool | None = None  # plain, once it is known

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
        if token.kind == "command" and token.text == "min" and self.ahead(1).kind in _LABEL_ENDS:
            self.at += 1  # the function of nothing is the minute
            left[:] = [Node("quantity", (product_of(left),), unit_named("min"))]
            return True
        if token.kind in ("text", "font", "word", "letter"):
            return self.unit_or_label(left, token)
        return False

    def unit_or_label(self, left: list[Node], token: Token) -> bool:
        if (factor := MULTIPLIERS.get(token.text.lower())) and token.kind != "letter":
            self.at += 1
            left.append(number(factor))
            return True
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
            said = f"{said}^{self.unit_power()}"
        ends = self.kind in _LABEL_ENDS or self.relation_ahead()
        if said and ends and _is_label(said, token, left):
            if said.strip(" .,()"):
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
        text = token.text.replace("\\%", "%")
        if token.kind in ("text", "font"):
            unit = read_unit(text)
        elif token.kind == "word":
            unit = self.spelled_unit()
            unit = unit if unit is not None and (joined or is_numeric(left[-1])) else None
        elif token.kind == "letter" and text in AMBIGUOUS and (joined or token.space):
            unit = unit_named(text)
        else:
            return None
        if unit is None:
            return None
        self.at += 1
        exponent = self.unit_power()
        if exponent == 1:
            return unit
        if token.kind in ("text", "font") and not text.strip()[-1:].isdigit():
            return read_unit(f"{text.strip()}^{exponent}")  # it belongs to the last of several
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

    def unit_power(self) -> int:
        """The power behind a unit, 1 where there is none."""
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
            raise ValueError("a unit has a power that is no whole number")
        return 1


def _is_label(said: str, token: Token, left: list[Node]) -> bool:
    """Whether words behind a number only name what was counted."""
    words = [word.strip("().,;:") for word in said.lower().replace("-", " ").split()]
    if said[0] == "-" or any(
        word in NO_LABEL or any(sign.isdigit() for sign in word.partition("^")[0]) for word in words
    ):
        return False
    if token.kind == "word" and token.text.isascii() and not (token.space and is_word(token.text)):
        return token.text in _HALVES_OF_DAY
    return (token.kind == "text" or is_numeric(product_of(left))) and all(
        word.partition("^")[0].isalpha() or not word for word in words
    )
