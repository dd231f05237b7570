"""Bigs: sums, products, integrals, limits and derivatives.

What it decides: a sum, product, limit or `\\frac{d}{dx}` takes the product behind it, an integral all up to its
differential; what runs in a sum is a letter in it, also where it is called i. `dy/dx` of letters is one symbol.
"""

from __future__ import annotations

from graders.math.reading.atoms import Atoms
from graders.math.reading.decimals import small_integer
from graders.math.reading.spelling import BIG
from graders.math.tree import Node, number, product_of, symbol

D = (symbol("d"), symbol("partial"))


class Bigs(Atoms):
    """Reads what a big operator begins."""

    def big(self, name: str) -> Node:
        """A sum, product, integral or limit, with its limits."""
        head = BIG[name]
        if head == "integral":
            return self.integral()
        if name in ("bigcup", "bigcap"):
            return self.over_sets(name)
        if head == "limit":
            return self.limit()
        high = self.script() if self.accept("^") else None
        self.expect("_")
        self.expect("{")
        variable = _variable(self.atom())
        if not self.accept("="):
            raise ValueError(f"\\{name} without its first value is not read")
        low = self.sum()
        self.expect("}")
        if high is None:
            self.expect("^")
            high = self.script()
        return Node(head, (self.over(variable), variable, low, high))

    def over(self, variable: Node) -> Node:
        """The product behind a sum or a limit; what runs in it is a letter there, also where it is called i."""
        outer, self.bound = self.bound, self.bound | {variable.value}
        body = self.product()
        self.bound = outer
        return body

    def over_sets(self, name: str) -> Node:
        """`\\bigcup_{k=1}^{n} A_k`: kept as it is written."""
        if self.kind != "_":
            raise ValueError(f"\\{name} without its first value is not read")
        self.at += 1
        where = self.group() if self.kind == "{" else self.atom()
        top = (self.script(),) if self.accept("^") else ()
        return Node("apply", (self.product(), where, *top), name)

    def integral(self) -> Node:
        low = high = None
        for _ in range(2):
            if self.accept("_"):
                low = self.script(raised=False)
            elif self.accept("^"):
                high = self.script()
        self.integrals += 1
        body = number(1) if self.differential_ahead() else self.sum()
        self.integrals -= 1
        if self.differential_ahead():
            token = self.take()
            variable = symbol(token.text[1:]) if token.kind == "word" else self.atom(single=True)
        else:
            body, variable = _differential_inside(body)
        if low is None or high is None:
            if low is not None or high is not None:
                raise ValueError("an integral over a region is not read")
            return Node("integral", (body, _variable(variable)))
        return Node("integral", (body, _variable(variable), low, high))

    def differential_ahead(self) -> bool:
        token = self.found[self.at]
        if token.kind == "word":
            return len(token.text) == 2 and token.text[0] == "d"
        if self.ahead(1).kind not in ("letter", "command"):
            return False
        return token.kind in ("letter", "font") and token.text == "d"

    def limit(self) -> Node:
        self.expect("_")
        self.expect("{")
        variable = _variable(self.atom())
        if not self.accept_command("to", "rightarrow", "longrightarrow"):
            raise ValueError("a limit without its point is not read")
        point = self.signed()
        side = ""
        if self.accept("^") or self.kind in ("+", "-"):
            braced = self.accept("{")
            side = self.take().kind
            if side not in ("+", "-"):
                raise ValueError("a limit comes from a side that is none")
            if braced:
                self.expect("}")
        self.expect("}")
        return Node("limit", (self.over(variable), variable, point), side)

    def derivative(self, over: Node, under: Node) -> Node | None:
        """`\\frac{d}{dx}` and what it is taken of; `\\frac{dy}{dx}` of a letter is a symbol of its own."""
        sign = under.args[0]
        order, of = _differentials(over, sign)
        variables = list[tuple[str, int]]()
        rest = list(under.args)
        while len(rest) > 1 and rest[0] == sign:
            base, times = rest[1], 1
            if base.head == "pow":
                times = small_integer(base.args[1]) or 0
                base = base.args[0]
            if base.head != "symbol":
                return None
            variables.append((base.value, times))
            rest = rest[2:]
        if not order or rest or sum(times for _, times in variables) != order:
            return None
        if of is not None and of.head in ("symbol", "apply"):
            d = "d" if sign == D[0] else "∂"
            under_name = "".join(f"{d}{name}" + (f"^{times}" if times > 1 else "") for name, times in variables)
            if of.head == "symbol":
                return symbol(f"{d}{'^' + str(order) if order > 1 else ''}{of.value}/{under_name}")
        if of is None:
            if not self.starts_factor():
                return None
            of = self.product()
        for name, times in reversed(variables):
            of = Node("derivative", (of, symbol(name)), times)
        return of


def _variable(node: Node) -> Node:
    """What runs in a sum; `i` is no imaginary unit there."""
    if node.head == "constant" and node.value in ("i", "e"):
        return symbol(node.value)
    if node.head != "symbol":
        raise ValueError("what runs in a sum is a letter")
    return node


def _differentials(over: Node, sign: Node) -> tuple[int, Node | None]:
    """The order in `d^2 y`, 0 where it is no such thing, and the y, where there is one."""
    first, rest = (over.args[0], over.args[1:]) if over.head == "mul" else (over, ())
    of = product_of(rest) if rest else None
    if first == sign:
        return 1, of
    if first.head == "pow" and first.args[0] == sign:
        return small_integer(first.args[1]) or 0, of
    return 0, None


def _differential_inside(body: Node) -> tuple[Node, Node]:
    """`\\frac{dx}{x}` below an integral sign as 1/x and x."""
    over = body.args[0] if body.head == "div" else body
    if over.head != "mul" or len(over.args) < 2 or over.args[-2] != D[0]:
        raise ValueError("an integral has no differential")
    rest = product_of(over.args[:-2]) if len(over.args) > 2 else number(1)
    return rest if over is body else Node("div", (rest, body.args[1])), over.args[-1]
