"""The value of an expression tree where its letters stand for given rational numbers: exact, or a proved enclosure.

An unknown function has one made-up value for each value of its arguments, so that f(2x) is f(x+x) and no f(x). Sums,
integrals, limits and derivatives that are not carried out become one made-up linear functional each (a product: a
multiplicative one), which is enough to show two equal, never to show them different; `opaque` tells that this happened.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from graders.math.tree import Node
from graders.math.values.arithmetic import Arithmetic, Budget, draw
from graders.math.values.balls import Balls, NotReal, TooLarge, Undefined, Unsupported
from graders.math.values.functions import CALLS, Rule

TERMS = 1_000  # of a sum or product that is carried out
HALF = Fraction(1, 2)
SINES: dict[int, int | Fraction] = {0: 0, 1: HALF, 3: 1, 5: HALF, 6: 0, 7: -HALF, 9: -1, 11: -HALF}  # of k pi/6


class Evaluator(Arithmetic):
    """Evaluates trees at one point with one precision. Raises a subclass of Unevaluable where one has no value."""

    def __init__(
        self,
        balls: Balls,
        point: Mapping[str, Any],
        budget: Budget,
        *,
        loose: bool = False,
        log_base: int | None = None,
        exact_bits: int = 2048,
    ) -> None:
        super().__init__(balls, budget, loose, exact_bits)
        self.point, self.log_base = point, log_base
        self.opaque = False
        self._made_up: dict[Any, list[tuple[list[Any], Any]]] = {}

    def value(self, node: Node) -> Any:
        """Its value: exact (`Balls.exact`) or a ball."""
        budget = self.budget
        budget.left -= self.balls.step
        if budget.left < 0:
            raise TooLarge("too much to compute")
        rule = HEADS.get(node.head)
        if rule is None:
            raise Unsupported(f"a {node.head} is no number")
        result = rule(self, node)
        if self.measures_magnitude and (size := self.exponent(result)) is not None:
            self.magnitude = max(self.magnitude, abs(size))
        return result

    def turns(self, node: Node) -> Any:
        """r where the tree is r * pi with r exact; else None."""
        head, args = node.head, node.args
        if head == "constant":
            return self.rational(1) if node.value == "pi" else None
        if head == "quantity":
            if not _is_angle(node.value):
                return None
            value = self.value(args[0])
            return value * self.rational(node.value.factor / 180) if type(value) is self.is_exact else None
        if head == "neg":
            inner = self.turns(args[0])
            return None if inner is None else -inner
        if head == "mul":
            return self._product_turns(args)
        if head == "div":
            inner = self.turns(args[0])
            under = None if inner is None else self.value(args[1])
            return inner / under if under and type(under) is self.is_exact else None
        if head == "add":
            total = self.rational(0)
            for arg in args:
                inner = self.turns(arg)
                if inner is None:
                    return None
                total += inner
            return total
        return None

    def _product_turns(self, args: tuple[Node, ...]) -> Any:
        for at, arg in enumerate(args):
            product = self.turns(arg)
            if product is not None:
                for other in args[:at] + args[at + 1 :]:
                    value = self.value(other)
                    if type(value) is not self.is_exact:
                        return None
                    product *= value
                return product
        return None

    def sine(self, node: Node, quarter: int) -> Any:
        """The sine (`quarter` 0) or cosine (1) of a tree; of multiples of pi/6 exact where it is rational."""
        turns = self.turns(node)
        if turns is None:
            return self.call("cos" if quarter else "sin", self.value(node))
        over, under = self.balls.parts(turns)
        over = (2 * over + quarter * under) % (4 * under)  # of quarter turns, over `under`
        if (3 * over) % under == 0 and (sine := SINES.get(3 * over // under)) is not None:
            return self.rational(sine)
        angle = self.balls.rational(over, 2 * under) * self.balls.constant("pi")
        return self.call("sin", angle)

    def made_up(self, key: Any, args: list[Any]) -> Any:
        """The made-up value of an unknown thing: one for all arguments that are equal as far as can be seen."""
        known = self._made_up.setdefault(key, [])
        for others, result in known:
            if len(others) == len(args) and all(map(self._alike, others, args)):
                return result
        texts = [self._text(arg) for arg in args]
        drawn = draw(zlib.crc32(repr((key, texts)).encode()))
        result = self.balls.rational(drawn % 9973 + 1009, drawn // 9973 % 997 + 1009)
        known.append((args, result))
        return result

    @property
    def has_made_up(self) -> bool:
        return bool(self._made_up)

    def _alike(self, one: Any, other: Any) -> bool:
        if type(one) is self.is_exact and type(other) is self.is_exact:
            return bool(one == other)
        return self.balls.overlap(self.balls.ball(one), self.balls.ball(other))

    def _text(self, value: Any) -> str:
        if type(value) is self.is_exact and self.balls.bits(value) < 64:
            return str(value)
        return self.balls.text(self.balls.ball(value))

    def within(self, name: str, value: Any, body: Node) -> Any:
        """The value of the body where one more letter has a value."""
        outside = self.point
        self.point = {**outside, name: value}
        try:
            return self.value(body)
        finally:
            self.point = outside


def _is_angle(unit: Any) -> bool:
    return bool(unit.name == "deg" or unit.dims == (("angle", 1),))


def _number(ev: Evaluator, node: Node) -> Any:
    return ev.kept(ev.balls.exactly(node.value.value))


def _symbol(ev: Evaluator, node: Node) -> Any:
    try:
        return ev.point[node.value]
    except KeyError:
        raise Unsupported(f"{node.value} has no value") from None


def _constant(ev: Evaluator, node: Node) -> Any:
    if node.value == "i":
        return ev.balls.complex(0, 1)
    if node.value == "inf":
        raise Unsupported("infinity is no number")
    return ev.balls.constant(node.value)


def _based(ev: Evaluator, node: Node) -> Any:
    return ev.rational(based_value(*node.value))


def based_value(digits: str, base: int) -> Fraction:
    """The value of a numeral in a base of at most 36. Raises Unsupported where it is none."""
    whole, _, part = str(digits).partition(".")
    try:
        return Fraction(int(whole + part, base), base ** len(part))
    except ValueError:
        raise Unsupported(f"{digits} is no numeral of base {base}") from None


def _add(ev: Evaluator, node: Node) -> Any:
    args = node.args
    if ev.measures_spread:
        addends = [ev.value(arg) for arg in args]
        ev.measure(addends)
        return ev.kept(sum(addends[1:], addends[0]))
    total = ev.value(args[0])
    for arg in args[1:]:
        total = ev.kept(total + ev.value(arg))
    return total


def _mul(ev: Evaluator, node: Node) -> Any:
    args = node.args
    total = ev.value(args[0])
    for arg in args[1:]:
        total = ev.kept(total * ev.value(arg))
    return total


def _neg(ev: Evaluator, node: Node) -> Any:
    return -ev.value(node.args[0])


def _div(ev: Evaluator, node: Node) -> Any:
    over = ev.value(node.args[0])
    return ev.divide(over, ev.value(node.args[1]))


def _pow(ev: Evaluator, node: Node) -> Any:
    base, exponent = node.args
    if base.head == "constant" and base.value == "e":
        power = ev.value(exponent)
        if type(power) is ev.is_exact and not power:
            return ev.rational(1)
        return ev.call("exp", power)
    return ev.power(ev.value(base), ev.value(exponent), is_literal(exponent))


def is_literal(node: Node) -> bool:
    """Whether it is a number, or made of numbers by signs and divisions alone."""
    return node.head == "number" or (node.head in ("neg", "div") and all(map(is_literal, node.args)))


def _root(ev: Evaluator, node: Node) -> Any:
    radicand, degree = node.args
    if degree.head == "number" and degree.value.value == 2:
        return ev.square_root(ev.value(radicand))
    value = ev.value(degree)
    if type(value) is ev.is_exact and not value:
        raise Undefined("a root of degree zero")
    return ev.power(ev.value(radicand), ev.divide(ev.rational(1), value), is_literal(degree))


def _inner(ev: Evaluator, node: Node) -> Any:
    return ev.value(node.args[0])


def _percent(ev: Evaluator, node: Node) -> Any:
    return ev.value(node.args[0]) * ev.balls.rational(1, 100)


def _quantity(ev: Evaluator, node: Node) -> Any:
    value = ev.value(node.args[0])
    if _is_angle(node.value):
        return value * ev.rational(node.value.factor / 180) * ev.balls.constant("pi")
    return value


def _ratio(ev: Evaluator, node: Node) -> Any:
    if len(node.args) != 2:
        raise Unsupported("a ratio of more than two is no number")
    return _div(ev, node)


def _apply(ev: Evaluator, node: Node) -> Any:
    return ev.made_up(node.value, [ev.value(arg) for arg in node.args])


def _call(ev: Evaluator, node: Node) -> Any:
    return CALLS.get(node.value, _unknown)(ev, node)


def _unknown(ev: Evaluator, node: Node) -> Any:
    return ev.made_up((node.value, "known"), [ev.value(arg) for arg in node.args])


def _variable(node: Node) -> str:
    if len(node.args) < 2 or node.args[1].head != "symbol":
        raise Unsupported(f"a {node.head} over what is no letter")
    return str(node.args[1].value)


def _bound(ev: Evaluator, node: Node) -> Any:
    if infinite(node):
        return ev.rational(Fraction(infinite(node) * 1_000_003, 7919))
    return ev.value(node)


def infinite(node: Node) -> int:
    """1 for infinity, -1 for minus infinity, 0 for anything else."""
    if node.head == "neg":
        return -infinite(node.args[0])
    return int(node.head == "constant" and node.value == "inf")


def _series(ev: Evaluator, node: Node) -> Any:
    """A sum or product: carried out between whole bounds, else made up."""
    name, bounds = _variable(node), [_bound(ev, arg) for arg in node.args[2:]]
    if len(bounds) == 2 and not any(map(infinite, node.args[2:])):
        try:
            low, high = map(ev.whole, bounds)
        except NotReal:
            pass
        else:
            if high - low < TERMS:
                return _carried_out(ev, node, name, range(low, high + 1))
    return _functional(ev, node, name, bounds)


def _carried_out(ev: Evaluator, node: Node, name: str, terms: range) -> Any:
    is_sum = node.head == "sum"
    total = ev.rational(0 if is_sum else 1)
    for term in terms:
        value = ev.within(name, ev.rational(term), node.args[0])
        if is_sum and ev.measures_spread:
            ev.measure([total, value])
        total = ev.kept(total + value if is_sum else total * value)
    return total


def _calculus(ev: Evaluator, node: Node) -> Any:
    name = _variable(node)
    if len(node.args) > 2:
        return _functional(ev, node, name, [_bound(ev, arg) for arg in node.args[2:]])
    return _functional(ev, node, name, [ev.value(node.args[1])])


def _functional(ev: Evaluator, node: Node, name: str, bounds: list[Any]) -> Any:
    ev.opaque = True
    seed = draw(zlib.crc32(str(ev.made_up((node.head, node.value), bounds)).encode()))
    total = ev.rational(1 if node.head == "product" else 0)
    for _ in range(3):
        seed = draw(seed)
        at = ev.balls.rational(seed % 9973 + 1009, (seed >> 16) % 4999 + 1009)
        value, weight = ev.within(name, at, node.args[0]), (seed >> 32) % 7 + 2
        total = ev.kept(total * ev.whole_power(value, weight) if node.head == "product" else total + weight * value)
    return total


HEADS: dict[str, Rule] = {
    "number": _number,
    "symbol": _symbol,
    "constant": _constant,
    "based": _based,
    "add": _add,
    "mul": _mul,
    "neg": _neg,
    "div": _div,
    "pow": _pow,
    "root": _root,
    "call": _call,
    "apply": _apply,
    "percent": _percent,
    "quantity": _quantity,
    "labelled": _inner,
    "ratio": _ratio,
    "sum": _series,
    "product": _series,
    "integral": _calculus,
    "limit": _calculus,
    "derivative": _calculus,
}
