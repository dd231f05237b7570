"""Letters: names with their subscripts and arguments, and words: products of letters, functions run together, text.

What it decides: `f(x)` is a function applied for f, g, h, F, G, H, for any letter before a bracket with a comma in it
or with a number alone (`y(0)`), for a primed one before a letter (`y'(x)`), for P and E before a condition; other
letters multiply. `5C2`, `C_5^2`, `C(5, 2)` and `nCr(5, 2)` are binomial coefficients where the numbers allow it.
Letters side by side are a product, and so are words of up to three letters that are none of English's and capitals of
up to six; `sinx` is a sine.
"""

from __future__ import annotations

from graders.math.reading.brackets import Brackets
from graders.math.reading.cursor import LONGEST_CHAIN
from graders.math.reading.decimals import small_integer
from graders.math.reading.spelling import FUNCTION_NAMES, NAMES, NUMBER_WORDS, SHORT_WORDS, UNKNOWN_FUNCTIONS
from graders.math.reading.tokens import Token
from graders.math.reading.units import UNITS, is_money
from graders.math.tree import Node, number, symbol, symbols

ENDS = frozenset(("", ",", ";", "join", ")", "}", "]", "wide", "\\\\", "&", "end", "cases}", "\\}"))
_PREFIXED = (
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "sin",
    "cos",
    "tan",
    "cot",
    "sec",
    "csc",
    "log",
    "ln",
)
_GLUED = frozenset(("number", "letter", ")", "+", "-", "*", "/", "{"))
_CONDITIONS = frozenset(("mid", "in", "cap", "cup", "le", "ge", "leq", "geq"))
_COUNTS = frozenset(("n", "m", "N", "k", "r", "p"))
_GREEK = frozenset(("alpha", "beta", "gamma", "theta", "phi", "pi", "omega"))


class Letters(Brackets):
    """Reads what a letter or a word begins."""

    imaginary = False  # I is the imaginary unit, as sympy writes it

    def letter(self, name: str, single: bool) -> Node:
        following = self.found[self.at].kind
        if not single and following in ("_", "prime", "(", "^"):
            if name == "C" and following in ("_", "(", "^") and (chosen := self.chosen()) is not None:
                return chosen
            name = self.subscripted(name)
            if (applied := self.applied(name)) is not None:
                return applied
        if name == "e" and "e" not in self.bound:
            return Node("constant", (), "e")
        if (name == "i" and "i" not in self.bound) or (name == "I" and self.imaginary):
            return Node("constant", (), "i")
        return symbol(name)

    def subscripted(self, name: str) -> str:
        for _ in range(LONGEST_CHAIN):
            if self.kind == "_":
                self.at += 1
                name += f"_{self.subscript()}"
            elif self.kind == "prime":
                name += self.take().text
            else:
                return name
        raise ValueError("too many signs stand behind one another")

    def subscript(self) -> str:
        """A subscript as one word: `n+1`, `red`."""
        if self.kind != "{":
            return self.take().text.replace(" ", "")
        depth, words = 0, list[str]()
        while self.kind:
            token = self.take()
            depth += (token.kind == "{") - (token.kind == "}")
            if token.kind not in ("{", "}"):
                words.append(token.text.replace(" ", ""))
            if not depth:
                return "".join(words)
        raise ValueError("a subscript is never closed")

    def chosen(self) -> Node | None:
        """`C_{5}^{2}`, `C_n^k` and `C(5, 2)`: numbers of combinations, where the lower number is not the smaller."""
        start = self.at
        if self.kinds("(", "number", ",", "number", ")"):
            chosen = binomial(number_of(self.ahead(1)), number_of(self.ahead(3)))
            self.at += 5 if chosen is not None else 0
            return chosen
        first = self.kind
        one = self.flat_script()
        two = self.flat_script() if one is not None and self.kind == ("^" if first == "_" else "_") else None
        if one is None or two is None:
            self.at = start
            return None
        low, high = (one, two) if first == "_" else (two, one)
        chosen = binomial(low, high)
        if chosen is None:
            self.at = start
        return chosen

    def flat_script(self) -> Node | None:
        """A script that is one sign, or a sum of such in braces; read no deeper, so that going back is cheap."""
        if self.kind not in ("_", "^"):
            return None
        if self.ahead(1).kind != "{":
            if self.ahead(1).kind not in ("number", "letter"):
                return None
        else:
            flat = [token.kind for token in self.found[self.at + 2 : self.at + 8]]
            if "}" not in flat or not {*flat[: flat.index("}")]} <= {"number", "letter", "+", "-"}:
                return None
        self.at += 1
        return self.script(raised=False)

    def applied(self, name: str) -> Node | None:
        """`f(x)`, `f^{-1}(x)`, `f^{\\prime}(x)`, `P(A | B)`, and any letter before a bracket with a comma in it."""
        if self.kind == "^" and name in UNKNOWN_FUNCTIONS:
            if self.kinds("^", "{", "-", "number", "}", "(") and self.ahead(3).text == "1":
                self.at += 5
                name += "^-1"
            elif self.kinds("^", "{", "command") and self.ahead(2).text == "prime":
                self.at += 1
                name += "'" * self.primes()
            elif self.kinds("^", "{", "(", "number", ")", "}", "(") and self.ahead(3).text in "1234567":
                order = int(self.ahead(3).text)
                self.at += 6
                name += "'" * order if order < 4 else f"^({order})"
        if self.kind != "(" or self.modulus_ahead():
            return None
        known = name[0] in UNKNOWN_FUNCTIONS and name[1:2] in ("", "_", "'", "^")
        at_a_point = self.kinds("(", "number", ")") and name not in ("e", "i")
        at_a_point |= "'" in name and self.kinds("(", "letter", ")")
        if not known and not at_a_point and not self.has_comma(name in ("P", "E")):
            return None
        arguments = self.bracketed_arguments()
        if name == "C" and len(arguments) == 2 and (chosen := binomial(*arguments)) is not None:
            return chosen
        return Node("apply", arguments, name)

    def bracketed_arguments(self) -> tuple[Node, ...]:
        """What stands in the bracket here; `A | B` in it are two."""
        self.expect("(")
        bars, self.bars = self.bars, 1
        outer, self.inside = self.inside, max(self.inside, 0) + 1
        node = self.sequence(")")
        parts = node.args if node.head == "list" else (node,)
        if self.kind == "|" or self.command("mid"):
            self.at += 1
            more = self.sequence(")")
            parts = (*parts, symbol("|"), *(more.args if more.head == "list" else (more,)))
        self.expect(")")
        self.inside, self.bars = outer, bars
        return parts

    def has_comma(self, conditions: bool = False) -> bool:
        """Whether the bracket here holds a comma of its own, or a condition."""
        depth = 0
        for token in self.found[self.at : self.at + 60]:
            kind = token.kind
            depth += (kind in ("(", "[", "{", "\\{")) - (kind in (")", "]", "}", "\\}"))
            if depth == 1 and (kind == "," or (conditions and (kind in "|=<>" or token.text in _CONDITIONS))):
                return True
            if depth <= 0:
                return False
        return False

    def word(self, token: Token, single: bool) -> Node:
        text = token.text.strip()
        bare = text.strip("().,;: ")
        if len(bare) == 1 and bare.isascii() and bare.isalpha():
            return self.letter(bare, single)
        if (token.kind == "font" and bare in NAMES) or (bare in FUNCTION_NAMES and self.kind == "("):
            return self.named(bare)
        if text == "Matrix" and self.kind == "(":
            return self.bracketed()
        if token.kind != "word" and bare and not bare.isalpha():
            return self.formula(text)
        if text in ("Fraction", "Rational") and self.kind == "(":
            arguments = self.bracketed_arguments()
            if len(arguments) != 2:
                raise ValueError(f"{text} of {len(arguments)} arguments")
            return Node("div", arguments)
        if token.kind != "letter" and (self.kind == "currency" and text == "US"):
            return self.atom(single)
        if self.kind == "number" and (unit := UNITS.get(text)) is not None and text.isupper() and is_money(unit):
            return Node("quantity", (self.factor(),), unit)
        if token.kind == "word" and (split := self.split(text, single)):
            self.found[self.at : self.at] = split[1:]
            self.at -= 1
            self.found[self.at] = split[0]
            return self.atom(single)
        if bare.lower() in NUMBER_WORDS and len(bare) > 2 and self.kind in ("", ",", ";", "join"):
            return Node("text", (), bare)
        if token.kind == "word" and len(text) <= 3 and self.in_formula():
            return self.spelled(text)
        if is_word(text) or token.kind == "text":
            if bare.lower() == "infinity":
                return Node("constant", (), "inf")
            if not self.stands_alone():
                if token.kind == "text" and len(bare) <= 3 and bare.isalpha() and bare.lower() not in SHORT_WORDS:
                    return letters(bare)
                if token.kind == "word" and len(text) <= 3 and self.is_product(token):
                    return self.spelled(text)
                raise ValueError(f"the word {text!r} stands in a formula")
            return Node("text", (), text)
        return self.spelled(text)

    def stands_alone(self) -> bool:
        """Whether the word just read is all of the text, or all that stands behind an equals sign."""
        return (self.at <= 1 or self.found[self.at - 2].kind == "=") and self.kind in ENDS

    def in_formula(self) -> bool:
        """Whether the short word just read is the argument of something, such as `e^{it}`, `\\cos(at)`, `\\cos at`."""
        if self.groups > 0:
            return True
        before = self.found[self.at - 2] if self.at > 1 else None
        if before is None or not self.found[self.at - 1].text.isascii():
            return False
        if before.kind == "(":
            return self.at > 2 and self.kind == ")" and self.found[self.at - 3].kind in ("command", "letter", "number")
        return before.kind == "command" and before.text in _PREFIXED

    def is_product(self, token: Token) -> bool:
        """Whether a short word is letters of a formula, such as `Be^{-x}` and `an + b`."""
        following = self.found[self.at].kind
        return token.text.isascii() and (
            following in ("^", "_")
            or (self.at > 1 and not token.space and self.found[self.at - 2].kind in _GLUED)
            or (following in ("+", "-", "*", "/") and token.text in ("an", "at", "be", "as", "by", "it"))
        )

    def split(self, text: str, single: bool) -> list[Token]:
        """A word as the tokens it runs together; a script takes its first letter alone."""
        if single:
            return (
                []
                if len(text) == 1
                else [Token("letter", text[0]), Token("word" if len(text) > 2 else "letter", text[1:])]
            )
        if text in ("nCr", "ncr", "nCk") and self.kind == "(":
            return [Token("command", "binomial of")]
        return run_together(text)

    def spelled(self, text: str) -> Node:
        """Letters side by side as a product; a subscript or an exponent behind them is the last one's."""
        if len(text) == 1:
            return self.letter(text, single=False)
        factors = [self.letter(letter, single=True) for letter in text[:-1]]
        start = self.at
        last = self.postfixed(self.letter(text[-1], single=False))
        return Node("mul", (*factors, last), text if self.at == start else None)


def is_word(word: str) -> bool:
    """Whether letters side by side are a word rather than a product of variables."""
    word = word.strip("().,;:!? ")
    if not word.isascii():
        return len(word) > 1 or not word.isalpha() or word >= "\u3040"
    if len(word) <= 3:
        return word.lower() in SHORT_WORDS and not word.isupper()
    return not (word.isupper() and word.isalpha() and len(word) <= 6) and not run_together(word)


def run_together(word: str) -> list[Token]:
    """The tokens of a function's name and its argument without a space, such as `sinx` and `xlnx`; none for others."""
    for start in (0, 1):
        rest = word[start:]
        name = next((name for name in _PREFIXED if rest.startswith(name)), "")
        if not name or (start and word[0] not in "abcktxyz") or word in FUNCTION_NAMES:
            continue
        after = rest[len(name) :]
        if after in ("x", "y", "z", "A", "B", "C", "X") or after in _GREEK or (not after and start):
            kind = "command" if len(after) > 1 else "letter"
            tokens = [Token("letter", word[0]), Token("command", name), Token(kind, after)]
            return tokens[1 - start : 3 if after else 2]
    return []


def letters(word: str) -> Node:
    return Node("mul", tuple([symbol(letter) for letter in word]), word)


def number_of(token: Token) -> Node:
    return number(int(token.text)) if token.text.isdigit() else symbol(token.text)


def binomial(n: Node, k: Node) -> Node | None:
    """The binomial coefficient, unless the numbers or the letters say that it is none."""
    low, high = small_integer(k), small_integer(n)
    if high is None:
        names = symbols(n)
        return Node("call", (n, k), "binom") if names and names <= _COUNTS and low != 0 else None
    return Node("call", (n, k), "binom") if low is None or 0 <= low <= high else None
