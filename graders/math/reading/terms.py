"""Terms: sums, products and ratios, the mixed numbers and the units among them.

What it decides: signs and their absence bind alike, left to right, so `1/2x` is (1/2)x; but letters in one word stay
together, so `1/xy` is 1/(xy). `5 \\frac{1}{4}` and `1 1/2` are mixed numbers. A unit or a label stands behind a number
or at the end of a sum, to which it then belongs. `U` between intervals is a union.
"""

from __future__ import annotations

from graders.math.reading.cursor import CLOSERS, LONGEST_CHAIN
from graders.math.reading.decimals import is_numeric, is_proper, is_whole, small_integer
from graders.math.reading.measures import Measures
from graders.math.reading.spelling import (
    BIG,
    CONSTANTS,
    DECORATIONS,
    DOMAINS,
    FRACTIONS,
    FUNCTION_NAMES,
    PRODUCT_SIGNS,
    SET_SIGNS,
    SYMBOLS,
)
from graders.math.reading.units import is_money, unit_named
from graders.math.tree import Node, number, product_of

_WORDS = frozenset(("word", "text"))
_REGIONS = frozenset(("tuple", "interval", "bracket", "set", "union", "domain"))
_STOPS = frozenset(("", "+", "-", ",", ")", "}", "=", "]", ";", "\\\\", "&", "<", ">", "join", "end", ":"))
_FACTORS = frozenset(("number", "letter", "word", "font", "{", "\\{", "begin", "currency", "dots", "left|"))
_STARTERS = frozenset().union(
    *(FRACTIONS, FUNCTION_NAMES, CONSTANTS, SYMBOLS, DOMAINS, DECORATIONS, BIG),
    *(("sqrt", "cbrt", "binom", "dbinom", "tbinom", "lfloor", "lceil", "langle", "lvert", "lVert", "boxed"),),
    *(("fbox", "underbrace", "overbrace"),),
) - {"ast", "star"}


class Terms(Measures):
    """Reads what stands between relations and commas."""

    congruence: bool | None = None  # is_residue, once it is known

    def sets(self) -> Node:
        left = self.ratio()
        for _ in range(LONGEST_CHAIN):
            token = self.found[self.at]
            head = SET_SIGNS.get(token.text) if token.kind == "command" else None
            if token.kind == "letter" and token.text == "U" and left.head in _REGIONS:
                head = "union"
            if head is None:
                return left
            self.at += 1
            self.accept(",")
            right = self.ratio()
            joined = (*left.args, right) if left.head == head != "minus" else (left, right)
            left = Node(head, joined)
        raise ValueError("too many sets are joined")

    def ratio(self) -> Node:
        first = self.sum()
        kind = self.found[self.at].kind
        if (kind != ":" and kind not in _WORDS) or self.inside < 0:
            return first
        if kind != ":" and not (self.found[self.at].text.strip() == "to" and is_numeric(first)):
            return first
        parts = [first]
        while self.accept(":") or (len(parts) < 9 and kind in _WORDS and self.accept(kind)):
            parts.append(self.sum())
        return self.time_of_day(Node("ratio", tuple(parts)))

    def time_of_day(self, ratio: Node) -> Node:
        """`12:30 PM` as words; the ratio where no such thing stands behind it."""
        last = ratio.args[-1]
        if last.head != "labelled" or last.value.replace(".", "").strip().lower() not in ("am", "pm"):
            return ratio
        parts = [small_integer(part) for part in (*ratio.args[:-1], *last.args)]
        if None in parts:
            raise ValueError("a time of day is of whole numbers")
        return Node(
            "text", (), ":".join(f"{part:02}" for part in parts) + f" {last.value.replace('.', '').strip().upper()}"
        )

    def sum(self) -> Node:
        first = self.signed()
        kind = self.found[self.at].kind
        if kind != "+" and kind != "-" and kind != "command":
            return first
        terms, chain = [first], 0
        while True:
            kind = self.found[self.at].kind
            if kind == "+" and (signs := self.plus_minus()):
                chain += 1
                if chain > LONGEST_CHAIN:
                    raise ValueError("too many plus-minus signs")
                self.at += signs
                terms = [Node("pm", (terms[0] if len(terms) == 1 else Node("add", tuple(terms)), self.signed()))]
            elif kind == "+":
                self.at += 1
                terms.append(self.signed())
            elif kind == "-":
                self.at += 1
                terms.append(_negative(self.signed()))
            elif kind == "command" and self.command("pm", "mp"):
                chain += 1
                if chain > LONGEST_CHAIN:
                    raise ValueError("too many plus-minus signs")
                head = self.take().text
                left = terms[0] if len(terms) == 1 else Node("add", tuple(terms))
                terms = [Node(head, (left, self.signed()))]
            else:
                break
        if len(terms) == 1:
            return terms[0]
        if first.head in _REGIONS and len(terms) == 2 and terms[1].head == "neg" and terms[1].args[0].head == "set":
            return Node("minus", (first, terms[1].args[0]))
        return _unit_outside(terms)

    def plus_minus(self, leading: bool = False) -> int:
        """How many signs here are a plain plus-minus sign, `+-` (not close behind a value, as in 3+-2) or `+/-`."""
        if self.kinds("+", "/", "-"):
            return 3
        close = self.kinds("+", "-") and not self.ahead(1).space
        return 2 if close and (leading or self.found[self.at].space) else 0

    def signed(self) -> Node:
        """A product with signs before it."""
        kind = self.found[self.at].kind
        if kind not in ("+", "-", "command"):
            return self.product()
        if kind == "+" and (signs := self.plus_minus(leading=True)):
            self.at += signs
            return Node("pm", (self.product(),))
        negative, marks = False, list[str]()
        while self.kind in ("+", "-") or self.command("pm", "mp"):
            sign = self.take().text
            if sign in ("pm", "mp"):
                marks.append("mp" if (sign == "mp") != negative else "pm")
                negative = False
            else:
                negative ^= sign == "-"
        node = self.product()
        node = _negative(node) if negative else node
        if len(marks) > 1:
            raise ValueError("plus-minus signs stand behind one another")
        return Node(marks[0], (node,)) if marks else node

    def product(self) -> Node:
        """Factors, with signs between them or none; left to right."""
        left: list[Node] = [self.factor()]
        chain = 0
        while True:
            token = self.found[self.at]
            kind = token.kind
            if kind in _STOPS:
                return product_of(left)
            if kind == "*" or (kind == "command" and token.text in PRODUCT_SIGNS):
                self.at += 1
                left.append(self.signed_factor())
                continue
            joined = len(left)
            if kind == "/" or (kind == "command" and token.text == "div"):
                self.at += 1
                left = [self.quotient(product_of(left), self.signed_factor())]
            elif kind == "command" and token.text in ("mod", "bmod") and not self.is_residue():
                self.at += 1
                left = [Node("call", (product_of(left), self.signed_factor()), "mod")]
            elif (
                (kind == "letter" and token.text in "xX") or (kind in _WORDS and token.text.strip() == "by")
            ) and self.is_times(left[-1]):
                self.at += 1
                left.append(self.factor())
                joined = -1
            elif kind == "letter" and token.text == "U" and left[-1].head in _REGIONS:
                return product_of(left)
            elif self.behind(left):
                pass
            elif self.starts_factor():
                left.append(self.adjacent(left))
            else:
                return product_of(left)
            chain += len(left) <= joined
            if chain > LONGEST_CHAIN:
                raise ValueError("too many quotients or units stand behind one another")

    def is_times(self, left: Node) -> bool:
        """Whether the letter x, or the word by, here is a sign, as in 2 x 10^5, 6x7 and 4 ft by 12 ft."""
        return self.ahead(1).kind == "number" and (left.head in ("number", "quantity", "root") and is_numeric(left))

    def quotient(self, over: Node, under: Node) -> Node:
        """A quotient; `dy/dx` as `\\frac{dy}{dx}` is read."""
        differential = under.head == "mul" and isinstance(under.value, str) and under.value[0] == "d"
        if differential and (over.head == "symbol" or isinstance(over.value, str)):
            return self.derivative(over, under) or Node("div", (over, under))
        return Node("div", (over, under))

    def is_residue(self) -> bool:
        """Whether `mod` here closes a congruence: there is such a sign in the text."""
        if self.congruence is None:
            self.congruence = any(token.kind == "command" and token.text == "equiv" for token in self.found)
        return self.congruence

    def signed_factor(self) -> Node:
        negative = False
        while self.found[self.at].kind in ("-", "+"):
            negative ^= self.take().kind == "-"
        return Node("neg", (self.factor(),)) if negative else self.factor()

    def adjacent(self, left: list[Node]) -> Node:
        """The next factor without a sign before it; a whole number and a proper fraction are a mixed number."""
        whole = left[-1]
        if self.kind == "number" and (
            whole.head == "quantity" or (whole.head == "add" and whole.args[-1].head == "quantity")
        ):
            return self.more_of(left)
        if self.kind == "number":
            if whole.head == "number" and (part := self.slashed_fraction()) is not None and is_whole(whole):
                left.pop()
                return Node("add", (whole, part))
            if whole.head in ("number", "based"):
                raise ValueError(f"two numbers stand side by side {self.place()}")
        if whole.head == "quantity" and self.kind == "letter" and is_money(whole.value):
            raise ValueError("a letter stands behind an amount of money")
        mixed = is_whole(whole) and self.kind == "command" and self.found[self.at].text in FRACTIONS
        part = self.factor()
        if mixed and is_proper(part):
            left.pop()
            return Node("add", (whole, part))
        return part

    def more_of(self, left: list[Node]) -> Node:
        """A further number with its unit, as in 5 ft 3 in: the two are a sum."""
        more = [self.factor()]
        if self.accept_command("in"):
            more = [Node("quantity", (more[0],), unit_named("inch"))]
        if more[0].head != "quantity" and not self.behind(more):
            raise ValueError(f"two numbers stand side by side {self.place()}")
        whole = left.pop()
        return Node("add", (*(whole.args if whole.head == "add" else (whole,)), more[0]))

    def slashed_fraction(self) -> Node | None:
        """`1/2` behind a whole number, as in 1 1/2."""
        over, slash, under = self.found[self.at], self.ahead(1), self.ahead(2)
        if slash.kind != "/" or under.kind != "number" or not (over.text.isdigit() and under.text.isdigit()):
            return None
        if not 0 < int(over.text) < int(under.text) or self.ahead(3).kind in ("^", "!", "_"):
            return None
        self.at += 3
        return Node("div", (number(int(over.text)), number(int(under.text))))

    def starts_factor(self) -> bool:
        token = self.found[self.at]
        kind = token.kind
        if kind == "|":
            return not self.bars
        if kind == "||":
            return not self.norms
        if kind == "word" and token.text in ("to", "by"):
            return False
        if self.integrals and self.differential_ahead():
            return False
        if kind in ("(", "["):
            if kind == "[" and (self.reversed or self.ahead(1).kind in CLOSERS or self.ahead(1).text in SET_SIGNS):
                return False
            return not self.modulus_ahead()
        if kind == "command":
            return token.text in _STARTERS
        return kind in _FACTORS


def _unit_outside(terms: list[Node]) -> Node:
    """The sum; a unit behind its last term alone belongs to all of it."""
    last = terms[-1]
    inner = last.args[0] if last.head == "neg" else last
    if inner.head in ("quantity", "labelled") and not any(_has_unit(term) for term in terms[:-1]):
        bare = inner.args[0] if last.head != "neg" else Node("neg", inner.args)
        return Node(inner.head, (Node("add", (*terms[:-1], bare)),), inner.value)
    return Node("add", tuple(terms))


def _has_unit(node: Node) -> bool:
    return (node.args[0] if node.head == "neg" else node).head == "quantity"


def _negative(node: Node) -> Node:
    return Node("neg", (node,))
