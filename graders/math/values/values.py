"""Whether two expressions have the same value: same tree, exact rational numbers, decimals by their digits, enclosures.

Also what comparing shapes needs of values: the order of endpoints, whether one expression is a multiple of another.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, NamedTuple

from graders.math.policy import Policy
from graders.math.tree import Node, Numeral, Verdict, number, symbols, walk
from graders.math.values.arithmetic import Budget
from graders.math.values.balls import Balls, MissingLibrary, Unevaluable
from graders.math.values.comparison import FIRST, Comparison, order_of
from graders.math.values.evaluate import Evaluator, based_value, infinite
from graders.math.values.functions import CALLS
from graders.math.values.ordered import is_ordered, same_matrix
from graders.math.values.points import facts, real_points

__all__ = ["MissingLibrary", "Proportion", "compare_real", "exact", "is_constant", "proportional", "same_value"]

LONGEST = 3_000  # nodes of both trees
DEFAULT = Policy()


class Proportion(NamedTuple):
    """Whether f = c * g; `sign` is the sign of c: 1, -1, or 0 where c is not real or there is none."""

    outcome: Literal["equal", "different", "undecided"]
    why: str
    sign: int = 0


def same_value(a: Node, b: Node, policy: Policy = DEFAULT) -> Verdict:
    """Whether two expressions have the same value wherever both are real; `a` is the reference in what it says.

    Symmetric. The step is "tree", "rational", "decimal", "points", or "calculus" where only calculus could tell.
    Raises MissingLibrary where it needs enclosures and neither python-flint nor mpmath is installed.
    """
    if a == b:
        return Verdict("equal", "the same expression", "tree")
    try:
        return _top(a, b, policy)
    except RecursionError:
        return Verdict("undecided", "nested too deeply to be computed", "points")


def is_constant(node: Node) -> bool:
    """Whether no letter stands free in it and no unknown function."""
    return not symbols(node) and all(part.head != "apply" for part in walk(node))


def exact(node: Node) -> Fraction | None:
    """Its value where that is a rational number found by arithmetic, roots included, in bounded work; else None."""
    if node.head == "number":
        value: Fraction = node.value.value
        return value
    evaluator = Evaluator(Balls(0), {}, Budget(10_000), exact_bits=16_384)
    try:
        found: Fraction = evaluator.value(node)
    except (Unevaluable, RecursionError):
        return None
    return None if evaluator.has_made_up else found


def compare_real(a: Node, b: Node, log_base: int | None = None) -> Literal[-1, 0, 1] | None:
    """The order of two real constants, infinities included: -1 for a < b. None where it is not known, or none.

    `log_base` is that of a logarithm without one; None: e.
    """
    if infinite(a) or infinite(b):
        return order_of(infinite(a) - infinite(b)) if is_constant(a) and is_constant(b) else None
    left, right = exact(a), exact(b)
    if left is not None and right is not None:
        return order_of(left - right)
    if symbols(a) or symbols(b) or _has_unknown_function(a) or _has_unknown_function(b):
        return None
    comparison = Comparison(a, b, log_base=log_base)
    for loose in (False, True):
        met = comparison.meet({}, FIRST, loose)
        if met.outcome:
            break
    if met.opaque:
        return None
    if met.outcome == "together":
        return 0 if met.settled or comparison.confirm({}, loose) == "together" else None
    return met.order


def _has_unknown_function(node: Node) -> bool:
    return any(part.head == "apply" or (part.head == "call" and part.value not in CALLS) for part in walk(node))


def proportional(f: Node, g: Node, policy: Policy = DEFAULT) -> Proportion:
    """Whether f = c * g with a constant c other than zero, and the sign of c.

    "different" too where either is constant, zero included: such an equation says nothing, or nothing that can be true.
    """
    names = sorted(symbols(f) | symbols(g))
    if not names or not symbols(f) or not symbols(g):
        return Proportion("different", "one side of it is constant")
    other = {name: f"{name}'" for name in names}
    while not other.keys().isdisjoint(other.values()):
        other = {name: f"{new}'" for name, new in other.items()}
    for side in (f, g):
        if same_value(side, _renamed(side, other), policy).equal:
            return Proportion("different", "one side of it is constant")
    crossed, back = (Node("mul", (one, _renamed(two, other))) for one, two in ((f, g), (g, f)))
    verdict = same_value(crossed, back, policy)
    if not verdict.equal:
        return Proportion(verdict.outcome, "no constant multiple of each other")
    return Proportion("equal", "a constant multiple of each other", _sign_of_ratio(f, g, names))


def _sign_of_ratio(f: Node, g: Node, names: list[str]) -> int:
    ratio = Comparison(Node("div", (f, g)), number(0))
    for point in real_points(names, ratio.start, 1):
        met = ratio.meet(point, FIRST)
        if met.outcome == "apart":
            return met.order or 0
    return 0


def _renamed(node: Node, names: dict[str, str]) -> Node:
    """The tree with its free letters renamed."""
    if node.head == "symbol":
        return Node("symbol", (), names.get(node.value, node.value))
    if not node.args:
        return node
    if node.head in ("sum", "product", "limit") or (node.head == "integral" and len(node.args) == 4):
        body, variable, *bounds = node.args
        inner = {name: new for name, new in names.items() if name != variable.value}
        return node._replace(args=(_renamed(body, inner), variable, *(_renamed(bound, names) for bound in bounds)))
    return node._replace(args=tuple(_renamed(arg, names) for arg in node.args))


# What stands at the top of a whole value: percent, infinity, a base, a decimal.


def _top(a: Node, b: Node, policy: Policy) -> Verdict:
    if "percent" in (_unsigned(a).head, _unsigned(b).head):
        return _percent(a, b, policy)
    if "based" in (_unsigned(a).head, _unsigned(b).head):
        return _based(a, b, policy)
    if infinite(a) or infinite(b):
        same = infinite(a) == infinite(b)
        return Verdict("equal" if same else "different", "infinity on one side" if not same else "infinity", "tree")
    return _plain(a, b, policy)


def _plain(a: Node, b: Node, policy: Policy) -> Verdict:
    left, right = _decimal(a), _decimal(b)
    if left or right:
        verdict = _decimals(a, b, left, right, policy)
        if verdict:
            return verdict
    names = sorted(symbols(a) | symbols(b))
    if not names:
        x = exact(a)
        y = None if x is None else exact(b)
        if x is not None and y is not None:
            return _rationals(x, y, policy)
    known = facts((a, b), LONGEST)
    if known.nodes > LONGEST:
        return Verdict("undecided", f"more than {LONGEST:,} parts are not computed", "points")
    if names and names[0] < "[" and is_ordered(a, b):
        return same_matrix(a, b)
    if (known.complex or known.moduli) and (barred := _barred(names)):
        known.complex |= set(barred.values())
        a, b = (_conjugated(side, barred) for side in (a, b))
        names = [name for name in names if name not in barred]
    if not known.bare_log:
        return Comparison(a, b, policy).verdict(names, known)
    verdict = Comparison(a, b, policy, log_base=10).verdict(names, known)
    if known.has_ln and any(_tells_logarithms_apart(side) for side in (a, b)):
        return verdict
    natural = Comparison(a, b, policy).verdict(names, known) if not verdict.equal else verdict
    return natural if natural.equal or verdict.outcome == "different" else verdict


def _barred(names: list[str]) -> dict[str, str]:
    """The letters with a bar of which the letter without it stands there too: conjugates, beside moduli and such."""
    bars = ((name, name.partition(" ")) for name in names)
    return {name: letter for name, (bar, _, letter) in bars if bar in ("bar", "overline") and letter in names}


def _conjugated(node: Node, barred: dict[str, str]) -> Node:
    if node.head == "symbol" and node.value in barred:
        return Node("call", (Node("symbol", (), barred[node.value]),), "conj")
    return node._replace(args=tuple(_conjugated(arg, barred) for arg in node.args)) if node.args else node


def _tells_logarithms_apart(node: Node) -> bool:
    """Whether ln stands in it beside a log without a base, which then is that of base 10."""
    known = facts((node,), LONGEST)
    return known.has_ln and known.bare_log


def _rationals(x: Fraction, y: Fraction, policy: Policy) -> Verdict:
    if x == y:
        return Verdict("equal", f"both are {_short(x)}", "rational")
    if policy.rel_tol and abs(x - y) <= Fraction(policy.rel_tol) * max(abs(x), abs(y)):
        return Verdict("equal", f"{_short(y)} is {_short(x)} within the tolerance", "rational")
    return Verdict("different", f"{_short(y)} is not {_short(x)}", "rational")


def _short(value: Fraction) -> str:
    if value.numerator.bit_length() + value.denominator.bit_length() <= 100:
        return str(value)
    exponent = (abs(value.numerator).bit_length() - value.denominator.bit_length()) * 0.30103
    return f"about {float(value):.6g}" if abs(exponent) < 300 else f"a number of about 10^{exponent:.0f}"


def _unsigned(node: Node) -> Node:
    while node.head == "neg":
        node = node.args[0]
    return node


def _percent(a: Node, b: Node, policy: Policy) -> Verdict:
    """28% is 28 or 0.28 against a plain number, as the policy says."""
    both = _unsigned(a).head == _unsigned(b).head
    plain, hundredth = (
        (_without_percent(a, 1), _without_percent(b, 1)),
        (_without_percent(a, 100), _without_percent(b, 100)),
    )
    if both or policy.percent == "sign":
        return same_value(*plain, policy)
    verdict = same_value(*hundredth, policy)
    if verdict.equal or policy.percent == "value":
        return verdict
    as_sign = same_value(*plain, policy)
    return as_sign if as_sign.equal or as_sign.outcome == "undecided" else verdict


def _without_percent(node: Node, divisor: int) -> Node:
    if node.head == "neg":
        return node._replace(args=(_without_percent(node.args[0], divisor),))
    if node.head != "percent" or divisor == 1:
        return node.args[0] if node.head == "percent" else node
    inner = node.args[0]
    if inner.head == "number":
        value, places, digits = inner.value
        return Node("number", (), Numeral(value / 100, None if places is None else places + 2, digits))
    return Node("div", (inner, number(100)))


def _based(a: Node, b: Node, policy: Policy) -> Verdict:
    one, other = _unsigned(a), _unsigned(b)
    bases = [side.value[1] if side.head == "based" else 10 for side in (one, other)]
    if bases[0] != bases[1] and policy.bases == "same":
        return Verdict("different", f"base {bases[1]} is not base {bases[0]}", "tree")
    if policy.bases == "optional" and one.head != other.head:
        verdict = same_value(_base_ten(a), _base_ten(b), policy)
        if verdict.equal:
            return verdict
    return _plain(a, b, policy)


def _base_ten(node: Node) -> Node:
    if node.head == "neg":
        return node._replace(args=(_base_ten(node.args[0]),))
    if node.head != "based":
        return node
    try:
        return number(based_value(node.value[0], 10))
    except Unevaluable:
        return node


class Decimal(NamedTuple):
    value: Fraction
    places: int
    digits: int

    @property
    def half(self) -> Fraction:
        """Half a unit in its last place."""
        return Fraction(1, 2) / Fraction(10) ** self.places


def _decimal(node: Node) -> Decimal | None:
    """A whole value that is written as a decimal, perhaps with a sign or times a power of ten."""
    head = node.head
    if head == "number":
        value, places, digits = node.value
        return None if places is None else Decimal(value, places, digits or 0)
    if head == "neg":
        inner = _decimal(node.args[0])
        return inner and inner._replace(value=-inner.value)
    if head in ("mul", "labelled") and node.args[0].head in ("number", "neg"):
        inner = _decimal(node.args[0])
        if inner and head == "labelled":
            return inner
        if inner and head == "mul" and len(node.args) == 2:
            return _scaled(inner, node.args[1])
    return None


def _scaled(decimal: Decimal, power: Node) -> Decimal | None:
    if power.head != "pow" or exact(power.args[0]) != 10:
        return None
    exponent = exact(power.args[1])
    if exponent is None or exponent.denominator != 1 or abs(exponent) > 4000:
        return None
    ten = Fraction(10) ** exponent.numerator
    return Decimal(decimal.value * ten, decimal.places - exponent.numerator, decimal.digits)


def _decimals(a: Node, b: Node, left: Decimal | None, right: Decimal | None, policy: Policy) -> Verdict | None:
    """The verdict of the digits written, or None where they do not decide."""
    if left and right:
        coarse, fine = sorted((left, right), key=lambda side: side.places)
        if coarse.value == fine.value:
            return Verdict("equal", f"both are {_short(coarse.value)}", "rational")
        rounds = coarse.places < fine.places and abs(coarse.value - fine.value) <= coarse.half
        if rounds and coarse.digits >= policy.digits:
            return Verdict("equal", "one is the other, rounded", "decimal")
        if max(left.digits, right.digits) >= 10 and _is_near(coarse.value, fine.value):
            return Verdict("equal", "equal to nine digits", "decimal")
        return None
    decimal, other = (left, b) if left else (right, a)
    assert decimal
    if decimal.digits < policy.digits:
        return None
    value = exact(other)
    if value is None:
        return _enclosed(decimal, other) if is_constant(other) else None
    if value == decimal.value:
        return Verdict("equal", f"both are {_short(value)}", "rational")
    if value.denominator > 1 and abs(value - decimal.value) <= decimal.half:
        return Verdict("equal", f"it rounds {_short(value)}", "decimal")
    if decimal.digits >= 10 and _is_near(value, decimal.value):
        return Verdict("equal", "equal to nine digits", "decimal")
    return None


def _is_near(x: Fraction, y: Fraction) -> bool:
    """Within a relative 1e-9, or an absolute one where either is a whole number: whole numbers are not rounded."""
    limit = max(abs(x), abs(y))
    if 1 in (x.denominator, y.denominator):
        limit = min(limit, Fraction(1))
    return abs(x - y) * 10**9 <= limit


def _enclosed(decimal: Decimal, other: Node) -> Verdict | None:
    """Whether the decimal is the rounding of an irrational constant, by its enclosure."""
    width = decimal.half
    if decimal.digits >= 10:
        width = max(width, abs(decimal.value) / 10**9)
    gap = Node("call", (Node("add", (other, Node("neg", (number(decimal.value),)))),), "abs")
    known = facts((other,), LONGEST)
    bases = (None,) if not known.bare_log else (10,) if known.has_ln else (10, None)
    orders = (compare_real(gap, number(width), base) for base in bases)
    rounds = any(order in (-1, 0) for order in orders)
    return Verdict("equal", "it rounds the exact value", "decimal") if rounds else None
