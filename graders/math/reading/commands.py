"""Commands: fractions, roots, functions and their arguments, marks over letters.

What it decides: a function takes a bracket alone (`\\sin(x)y` is sin(x) y), else the product behind it up to a sign,
another function or a bracket: `\\sin 2 x \\cos x` is sin(2x) cos(x), `\\ln x / 2` is (ln x)/2, `\\ln x^2` is ln(x^2),
`\\sin x \\cdot y` is sin(x) y; `\\log_2 8` has a base, `\\log_28` too; `\\sin^{-1}` is the inverse.
`\\hat{i}` and `\\vec{i}` are i, so are j and k; other marks are part of the letter's name.
"""

from __future__ import annotations

from collections.abc import Callable

from graders.math.reading.bigs import Bigs, D
from graders.math.reading.decimals import is_numeric, small_integer
from graders.math.reading.spelling import (
    BIG,
    CONSTANTS,
    DECORATIONS,
    DOMAINS,
    FRACTIONS,
    FUNCTION_NAMES,
    PAIRED,
    SYMBOLS,
)
from graders.math.reading.tokens import Token
from graders.math.reading.units import read_unit
from graders.math.tree import Node, number, product_of, symbol


class Commands(Bigs):
    """Reads what a LaTeX command, or a function's name, begins."""

    def named(self, name: str) -> Node:
        if name in FRACTIONS:
            over, under = self.argument(), self.argument()
            if under.head == "mul" and under.args[0] in D:
                return self.derivative(over, under) or Node("div", (over, under))
            return Node("div", (over, under))
        if name in FUNCTION_NAMES:
            return self.function(FUNCTION_NAMES[name])
        if name in CONSTANTS:
            return Node("constant", (), CONSTANTS[name])
        if name in SYMBOLS:
            return self.letter_of(SYMBOLS[name])
        if name in DOMAINS:
            return Node("domain", (), DOMAINS[name])
        if name in DECORATIONS:
            return self.decorated(DECORATIONS[name])
        handler = _HANDLERS.get(name)
        if handler is None:
            raise ValueError(f"\\{name} is not read here")
        return handler(self, name)

    def letter_of(self, name: str) -> Node:
        if name in ("angle", "triangle") and self.kind in ("letter", "word"):
            words = [self.take().text]
            while self.kind == "letter" and len(words) < 4:
                words.append(self.take().text)
            return symbol(f"{name} {''.join(words)}")
        name = self.subscripted(name)
        if self.kind == "(" and self.has_comma():
            return Node("apply", self.bracketed().args, name)
        return symbol(name)

    def decorated(self, mark: str) -> Node:
        inner = self.argument()
        if (
            mark in ("hat", "vec", "widehat")
            and inner.head in ("symbol", "constant")
            and inner.value in ("i", "j", "k")
        ):
            return inner
        if inner.head == "symbol":
            if mark in ("dot", "ddot") and self.kind not in ("_", "(", "prime"):
                return symbol(f"d{inner.value}/dt" if mark == "dot" else f"d^2{inner.value}/dt^2")
            marked = self.subscripted(f"{mark} {inner.value}")
            if mark in ("dot", "ddot") and self.kinds("(", "letter", ")"):
                return Node("apply", self.bracketed_arguments(), marked)
            return symbol(marked)
        name = inner.value if inner.head == "mul" and isinstance(inner.value, str) else None
        if name is None and inner.head in ("constant", "number"):
            name = str(inner.value if inner.head == "constant" else inner.value.value)
        if name is None:
            if mark in ("overline", "underline", "bar"):
                return Node("call", (inner,), "conj") if mark != "underline" else inner
            raise ValueError(f"\\{mark} stands over more than letters")
        return symbol(f"{mark} {name}")

    def root(self, name: str) -> Node:
        degree = number(3 if name == "cbrt" else 2)
        if name == "sqrt" and self.kind == "[":
            self.at += 1
            bars, self.bars = self.bars, 0
            degree = self.sum()
            self.expect("]")
            self.bars = bars
        return Node("root", (self.radicand(), degree))

    def radicand(self) -> Node:
        """What a root sign covers: a group, a bracket, or the next sign, all the digits of a number."""
        if self.kind == "{":
            return self.group()
        return self.atom()

    def function(self, name: str) -> Node:
        exponent: Node | None = None
        base: Node | None = None
        for _ in range(3):
            kind = self.found[self.at].kind
            if kind == "^" and exponent is None:
                self.at += 1
                exponent = self.script()
            elif kind == "_" and base is None:
                self.at += 1
                base = self.base()
            elif kind == "prime" and exponent is None:
                raise ValueError(f"a prime stands behind {name}")
            else:
                break
        if exponent is not None and small_integer(exponent) == -1 and name in _INVERSES:
            name, exponent = _INVERSES[name], None
        arguments = self.function_arguments()
        if not arguments:
            raise ValueError(f"{name} is applied to nothing")
        node = _called(name, arguments, base)
        return node if exponent is None else Node("pow", (node, exponent))

    def base(self) -> Node:
        """The base of a logarithm: of a number without braces the first digit, unless the others are no argument."""
        token, after = self.found[self.at], self.ahead(1)
        if token.kind == "number" and token.text.isdigit() and len(token.text) > 1 and after.kind not in _ARGUMENTS:
            self.found[self.at : self.at + 1] = [Token("number", token.text[0]), Token("number", token.text[1:])]
        return self.script(raised=False)

    def function_arguments(self) -> tuple[Node, ...]:
        """What a function is applied to: a bracket alone, or the product that follows."""
        kind = self.found[self.at].kind
        if kind in ("(", "[", "{"):
            inner = self.group() if kind == "{" else self.bracketed()
            for _ in range(2):
                if self.accept("!"):
                    inner = Node("call", (inner,), "factorial")
            return inner.args if inner.head in ("tuple", "bracket", "list") else (inner,)
        if kind == "|" and not self.bars:
            self.at += 1
            return (self.bar(),)
        if kind == "left|":
            return (self.factor(),)
        first = self.signed_factor() if kind in "-+" else self.factor()
        if first.head == "set":
            return first.args
        factors = [first]
        while self.starts_factor() and self.is_argument(factors):
            if self.found[self.at].kind in ("font", "word") and self.unit_ahead():
                break
            factors.append(self.adjacent(factors))
        return (product_of(factors),)

    def unit_ahead(self) -> bool:
        return read_unit(self.found[self.at].text) is not None

    def is_argument(self, factors: list[Node]) -> bool:
        """Whether the sign here goes on with a function's argument: `\\sin 2 x`, but not `\\sin x \\cos x`."""
        token = self.found[self.at]
        if token.kind in ("number", "letter", "word"):
            return token.text != "e" or self.ahead(1).kind != "^"
        if token.kind == "command":
            return token.text in FRACTIONS or token.text in SYMBOLS or token.text in CONSTANTS or token.text == "sqrt"
        return token.kind in ("(", "{") and len(factors) < 4 and all(map(is_numeric, factors))

    def binomial(self, name: str) -> Node:
        return Node("call", (self.argument(), self.argument()), "binom")

    def binomial_of(self, name: str) -> Node:
        arguments = self.bracketed_arguments()
        if len(arguments) != 2:
            raise ValueError("a binomial coefficient has two numbers")
        return Node("call", arguments, "binom")

    def paired(self, name: str) -> Node:
        """`\\lfloor x \\rfloor` and its like."""
        bars, self.bars = self.bars, 0
        outer, self.inside = self.inside, max(self.inside, 0) + 1
        inner = self.sequence("")
        if not self.accept_command(PAIRED[name]):
            raise ValueError(f"\\{name} is not closed")
        self.inside, self.bars = outer, bars
        if name == "langle":
            return Node("tuple", inner.args if inner.head == "list" else (inner,))
        if inner.head == "list":
            raise ValueError(f"\\{name} is of one thing")
        return Node("call", (inner,), {"lfloor": "floor", "lceil": "ceil", "lvert": "abs", "lVert": "norm"}[name])

    def braced(self, name: str) -> Node:
        """`\\underbrace{...}_{...}`: what it holds, without the remark."""
        inner = self.argument()
        if self.kind in ("_", "^"):
            self.at += 1
            self.subscript()
        return inner

    def boxed(self, name: str) -> Node:
        groups, self.groups = self.groups, -1
        inner = self.argument()
        self.groups = groups
        return inner

    def braced_set(self, name: str) -> Node:
        """`\\set{...}`, as `\\{...\\}` is read."""
        depth = 0
        for at in range(self.at, len(self.found)):
            kind = self.found[at].kind
            depth += (kind == "{") - (kind == "}")
            if not depth:
                break
        if self.kind != "{" or depth:
            raise ValueError(f"\\{name} is not read here")
        self.found[at] = Token("\\}", "}")
        self.at += 1
        return self.braces()


_HANDLERS: dict[str, Callable[[Commands, str], Node]] = {
    **dict.fromkeys(("sqrt", "cbrt"), Commands.root),
    **dict.fromkeys(("binom", "dbinom", "tbinom"), Commands.binomial),
    **dict.fromkeys(("lfloor", "lceil", "langle", "lvert", "lVert"), Commands.paired),
    **dict.fromkeys(("boxed", "fbox"), Commands.boxed),
    **dict.fromkeys(("set", "Set"), Commands.braced_set),
    **dict.fromkeys(BIG, Commands.big),
    **dict.fromkeys(("underbrace", "overbrace"), Commands.braced),
    "binomial of": Commands.binomial_of,
}
_OF_SEVERAL = frozenset(("max", "min", "gcd", "lcm", "log"))
_INVERSES = {
    **{name: f"arc{name}" for name in ("sin", "cos", "tan", "cot", "sec", "csc")},
    **{name: f"ar{name}" for name in ("sinh", "cosh", "tanh")},
}
_ARGUMENTS = frozenset(("(", "[", "{", "letter", "number", "command", "|", "left|"))


def _called(name: str, arguments: tuple[Node, ...], base: Node | None) -> Node:
    """The function's call; the base of a logarithm is its second argument."""
    if len(arguments) != 1 and name not in _OF_SEVERAL:
        raise ValueError(f"{name} of {len(arguments)} arguments")
    if name in ("lg", "lb"):
        if base is not None:
            raise ValueError(f"{name} has a base")
        name, base = "log", number(10 if name == "lg" else 2)
    if base is None:
        if name == "cis":
            i_sin = product_of((Node("constant", (), "i"), Node("call", arguments, "sin")))
            return Node("add", (Node("call", arguments, "cos"), i_sin))
        return Node("call", arguments, name)
    if name != "log":
        raise ValueError(f"{name} has a subscript")
    return Node("call", (*arguments, base), name)
