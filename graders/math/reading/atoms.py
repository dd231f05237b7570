"""Atoms: numbers and signs that begin a value, with the powers, bases, factorials and degrees behind them.

What it decides: `x^10` and `\\sqrt10` take all the digits, `\\frac12` one digit each; `0.1(6)` repeats its 6; `A^T` of
a matrix or a capital is its transpose, `z^*` a conjugate; `f^{(3)}` is a third derivative; `\\mathbb{R}^+` is (0, inf).
"""

from __future__ import annotations

from fractions import Fraction

from graders.math.reading.cursor import LONGEST_CHAIN
from graders.math.reading.decimals import decimal, repeating, repeating_tail
from graders.math.reading.letters import Letters, binomial, number_of
from graders.math.reading.spelling import NUMBER_WORDS, ORDINALS
from graders.math.reading.tokens import Token
from graders.math.reading.units import Unit, read_unit, unit_named
from graders.math.tree import Node, Numeral, number, symbol

_POSTFIXES = frozenset(("^", "!", "command", "prime", "_"))
_TRANSPOSED = symbol("T")
_SMALL = {str(n): number(n) for n in range(100)}


class Atoms(Letters):
    """Reads one factor."""

    def factor(self) -> Node:
        node = self.atom()
        if self.found[self.at].kind in _POSTFIXES:
            node = self.postfixed(node)
        return node

    def postfixed(self, node: Node) -> Node:
        for _ in range(LONGEST_CHAIN):
            kind = self.found[self.at].kind
            if node.head == "domain" and kind in ("^", "_"):
                node = self.part_of(node)
            elif kind == "^" and not self.side_ahead():
                self.at += 1
                node = self.raised(node)
            elif kind == "!":
                self.at += 1
                double = self.kind == "!" and not self.found[self.at].space
                if double:
                    self.at += 1
                node = Node("call", (node,), "double_factorial" if double else "factorial")
            elif kind == "command" and self.accept_command("degree"):
                node = self.degrees(node)
            elif kind == "prime" and node.head in ("number", "div", "quantity"):
                node = Node("quantity", (node,), read_unit("arcmin" if self.take().text == "'" else "arcsec"))
            elif kind == "_" and node.head in ("tuple", "bracket", "matrix", "number", "call"):
                self.at += 1
                node = self.lowered(node)
            else:
                return node
        raise ValueError("too many signs stand behind one another")

    def side_ahead(self) -> bool:
        """Whether `^+` or `^-` here says from which side a limit comes, or which half of the numbers is meant."""
        if self.kinds("^", "{"):
            return self.ahead(2).kind in ("+", "-") and self.ahead(3).kind == "}"
        after = self.ahead(2)
        return self.ahead(1).kind in ("+", "-") and after.kind not in ("number", "letter", "{", "(", "command", "\\{")

    def part_of(self, domain: Node) -> Node:
        """`\\mathbb{R}^+`, `\\mathbb{Z}_{>0}`, `\\mathbb{R}^*`, `\\mathbb{R}^2`."""
        raised = self.take().kind == "^"
        if (
            raised
            and not self.kinds("{", "+")
            and not self.kinds("{", "*")
            and self.kind not in ("+", "-", "*")
            and not self.kinds("{", "-")
        ):
            return Node("pow", (domain, self.script()))
        mark = self.subscript()
        if mark in ("*", "+*", "*+", "ne0", "neq0", "≠0"):
            return Node("minus", (domain, Node("set", (number(0),)))) if "+" not in mark else _half(domain, "+")
        if mark in ("+", ">0", "-", "<0"):
            return _half(domain, "+" if mark in ("+", ">0") else "-")
        if mark in (">=0", "ge0", "geq0", "geqslant0") and domain.value == "R":
            return Node("interval", (number(0), Node("constant", (), "inf")), "[)")
        raise ValueError(f"a domain with the mark {mark!r} is not read")

    def raised(self, base: Node) -> Node:
        token = self.found[self.at]
        if base.head == "number" and (mark := self.mark_ahead()):
            self.at += 3 if token.kind == "{" else 1
            return self.degrees(base) if mark == "o" else base
        if token.kind == "{":
            return self.raised_to_group(base)
        if token.kind == "command":
            if self.accept_command("circ", "degree"):
                return self.degrees(base)
            if self.accept_command("prime"):
                return _primed(base, 1)
            if self.accept_command("top", "intercal"):
                return Node("call", (base,), "transpose")
        if token.kind == "*" and self.ahead(1).kind not in ("number", "letter"):
            self.at += 1
            return Node("call", (base,), "conj")
        return _power(base, self.script(), token.kind == "font")

    def mark_ahead(self) -> str:
        """The mark that stands raised behind a number: `o` for degrees, or the ending of an ordinal; "" for others."""
        token = self.found[self.at]
        if token.kind == "{":
            token = self.ahead(1) if self.ahead(2).kind == "}" else token
        mark = token.text.strip().lower()
        return mark if token.kind in ("letter", "word", "text", "font") and mark in ("o", *ORDINALS) else ""

    def raised_to_group(self, base: Node) -> Node:
        """A power in braces: perhaps a mark rather than an exponent."""
        token, closing = self.ahead(1), self.ahead(2).kind
        if closing == "}" and token.kind in ("command", "*"):
            mark = "conj" if token.kind == "*" else token.text
            if mark in ("circ", "degree"):
                self.at += 3
                return self.degrees(base)
            if mark in ("top", "intercal", "conj"):
                self.at += 3
                return Node("call", (base,), "conj" if mark == "conj" else "transpose")
        if token.text == "prime" and token.kind == "command":
            return _primed(base, self.primes())
        if base.head == "symbol" and base.value[0] in "fghFGHyuvw" and self.kinds("{", "(", "number", ")", "}"):
            order = int(self.ahead(2).text) if len(self.ahead(2).text) < 3 and self.ahead(2).text.isdigit() else 0
            if order:
                self.at += 5
                return symbol(base.value + "'" * order if order < 4 else f"{base.value}^({order})")
        return _power(base, self.script(), token.kind == "font" and closing == "}")

    def primes(self) -> int:
        self.expect("{")
        primes = 0
        while self.accept_command("prime"):
            primes += 1
        self.expect("}")
        return min(primes, LONGEST_CHAIN)

    def degrees(self, node: Node) -> Node:
        token = self.found[self.at]
        inner = token.text.strip() if token.kind in ("letter", "font", "text") else ""
        if inner in ("C", "F") and self.ahead(1).kind not in ("(", "^", "_"):
            self.at += 1
            return Node("quantity", (node,), unit_named(f"°{inner}"))
        return Node("quantity", (node,), unit_named("deg"))

    def lowered(self, node: Node) -> Node:
        """A subscript behind a bracket or a number: the base it is written in."""
        written = self.subscript().strip("()")
        base = NUMBER_WORDS.get(written.lower(), int(written) if written.isdecimal() and len(written) < 3 else 0)
        if node.head != "number" or not 2 <= base <= 36:
            raise ValueError("a subscript stands where none is read")
        digits = str(node.value.value)
        if not digits.isdigit() or node.value.places is not None:
            raise ValueError("only whole numbers are read in another base")
        if max(digits) >= str(base) and base < 10:
            raise ValueError(f"{digits} is no numeral in base {base}")
        return node if base == 10 else Node("based", (), (digits, base))

    def script(self, raised: bool = True) -> Node:
        """An exponent or limit: a group, or the next sign alone (all the digits of a number), perhaps `raised`."""
        self.deeper()
        negative = False
        while self.kind in ("-", "+"):
            negative ^= self.take().kind == "-"
        if self.kind == "{":
            node = self.group()
        elif self.kind == "(":
            node = self.atom()
        else:
            node = self.atom(single=True)
            if self.kind == "^" and raised and not self.side_ahead():
                self.at += 1
                node = self.raised(node)
            for _ in range(2):
                if self.kind == "!":
                    self.at += 1
                    node = Node("call", (node,), "factorial")
        self.depth -= 1
        return Node("neg", (node,)) if negative else node

    def argument(self) -> Node:
        """The argument of a command: a group, or the next sign alone, one digit of a number."""
        token = self.found[self.at]
        if token.kind == "{":
            return self.group()
        if token.kind == "number" and len(token.text) > 1 and token.text.isdigit():
            self.found[self.at : self.at + 1] = [Token("number", token.text[0]), Token("number", token.text[1:])]
        return self.atom(single=True)

    def group(self) -> Node:
        """`{...}`: what it holds."""
        self.expect("{")
        bars, self.bars = self.bars, 0
        turned, self.reversed = self.reversed, 0
        integrals, self.integrals = self.integrals, 0
        outer, self.inside = self.inside, max(self.inside, 0) + 1
        groups, self.groups = self.groups, self.groups + (self.at > 1)
        if self.kind == "}":
            raise ValueError("an empty group stands where a value is expected")
        node = self.sequence("}")
        if self.accept_command("choose"):
            node = Node("call", (node, self.sequence("}")), "binom")
        elif self.accept_command("over"):
            node = Node("div", (node, self.sequence("}")))
        self.expect("}")
        self.inside, self.bars, self.reversed, self.integrals = outer, bars, turned, integrals
        self.groups = groups
        return node

    def atom(self, single: bool = False) -> Node:
        token = self.take()
        if token.kind == "number":
            return self.numeral(token.text)
        self.deeper()
        node = self.read(token, single)
        self.depth -= 1
        return node

    def read(self, token: Token, single: bool) -> Node:
        """What a sign that is no number begins."""
        match token.kind:
            case "letter":
                return self.letter(token.text, single)
            case "command":
                return self.named(token.text)
            case "{" | "(" | "[":
                self.at -= 1
                if token.kind == "{":
                    return self.chosen_before() if self.ahead(1).kind == "}" else self.group()
                return self.bracketed()
            case "word" | "font" | "text":
                return self.word(token, single)
            case "]":
                return self.reversed_interval()
            case "<" | "<<":
                return self.pointed(">" if token.kind == "<" else ">>")
            case "\\{":
                return self.braces()
            case "|" | "||":
                return self.bar(token.kind)
            case "left|":
                return self.fenced_bar(token.text == "||")
            case "left.":
                return self.fenced_by_nothing()
            case "cases{":
                return self.half_braced()
            case "begin":
                return self.environment(token.text)
            case "currency":
                return Node("quantity", (self.factor(),), currency(token.text))
            case "dots":
                return symbol("...")
            case "^" | "_":
                self.at -= 1
                return self.chosen_before()
        raise ValueError(f"{token.text!r} stands where a value is expected")

    def chosen_before(self) -> Node:
        """`{}_{n}C_{k}` and `^nC_k`: numbers of combinations with the one number before the letter."""
        self.at += 2 * self.kinds("{", "}")
        if self.kind not in ("_", "^"):
            raise ValueError("an empty group stands where a value is expected")
        self.at += 1
        of = self.script(raised=False)
        if self.take().text != "C" or not self.accept("_"):
            raise ValueError("an empty group stands where a value is expected")
        return Node("call", (of, self.script(raised=False)), "binom")

    def numeral(self, text: str) -> Node:
        token = self.found[self.at]
        if text in _SMALL and token.kind not in ("letter", "dots"):
            return _SMALL[text]
        if "." in text:
            if token.kind == "dots":
                self.at += 1
                return repeating_tail(text)
            if token.kind == "command" and token.text in ("overline", "dot", "bar"):
                return self.repeating(text)
            if (
                token.kind == "("
                and not token.space
                and self.kinds("(", "number", ")")
                and self.ahead(1).text.isdigit()
            ):
                self.at += 3
                return repeating(text, self.found[self.at - 2].text)
            if text.endswith("."):
                raise ValueError("a decimal has no places")
            return decimal(text)
        if not text.isdigit():
            return decimal(text)
        if token.text == "C" and token.kind == "letter" and not token.space and self.ahead(1).kind == "number":
            chosen = binomial(number(int(text)), number_of(self.ahead(1))) if self.ahead(1).text.isdigit() else None
            if chosen is not None:
                self.at += 2
                return chosen
        return Node("number", (), Numeral(Fraction(int(text))))

    def repeating(self, text: str) -> Node:
        """`0.1\\overline{6}` and `0.\\dot{3}`, whose dots may mark the first and the last digit."""
        dots = self.command("dot")
        marked = list[str]()
        while self.accept_command("overline", "dot", "bar"):
            braced = self.accept("{")
            token = self.take()
            if token.kind != "number" or not token.text.isdigit() or (not braced and len(token.text) > 1):
                raise ValueError("a bar behind a decimal marks no digits")
            marked.append(token.text)
            if braced:
                self.expect("}")
            if dots and self.kind == "number" and len(marked) == 1 and self.ahead(1).text == "dot":
                marked.append(self.take().text)
        if self.kind == "number":
            raise ValueError("digits stand behind those that repeat")
        return repeating(text, "".join(marked))


def _power(base: Node, exponent: Node, upright: bool) -> Node:
    """A power; the transpose of what is a matrix, or may be one; a tuple is its own."""
    if base.head == "tuple" and len(base.args) > 1 and exponent in (_TRANSPOSED, symbol("top")):
        return base
    if exponent == _TRANSPOSED and (
        upright or base.head == "matrix" or (base.head == "symbol" and base.value[:1].isupper())
    ):
        return Node("call", (base,), "transpose")
    return Node("pow", (base, exponent))


def _half(domain: Node, sign: str) -> Node:
    """The positive or the negative numbers of a domain; of the real ones an interval."""
    if domain.value != "R":
        return Node("pow", (domain, symbol(sign)))
    infinity = Node("constant", (), "inf")
    if sign == "+":
        return Node("interval", (number(0), infinity), "()")
    return Node("interval", (Node("neg", (infinity,)), number(0)), "()")


def _primed(node: Node, primes: int) -> Node:
    if node.head == "symbol":
        return symbol(node.value + "'" * primes)
    if node.head in ("number", "quantity", "add"):
        return Node("quantity", (node,), read_unit("arcmin" if primes == 1 else "arcsec"))
    raise ValueError("a prime stands behind what is no letter")


def currency(sign: str) -> Unit:
    unit = unit_named(sign)
    if unit is None:
        raise ValueError(f"{sign!r} is no currency")
    return unit
