"""The known functions, tree.FUNCTIONS, as far as they have numbers for values: from a node of a call to its value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from graders.math.tree import Node
from graders.math.values.balls import NotReal, TooLarge, Undefined, Vague

if TYPE_CHECKING:
    from graders.math.values.evaluate import Evaluator

Rule: TypeAlias = "Callable[[Evaluator, Node], Any]"


def _function(name: str) -> Rule:
    return lambda ev, node: ev.call(name, ev.value(node.args[0]))


def _of_inverse(name: str) -> Rule:
    return lambda ev, node: ev.call(name, ev.divide(ev.rational(1), ev.value(node.args[0])))


def _quotient(over: Rule | None, under: Rule) -> Rule:
    return lambda ev, node: ev.divide(over(ev, node) if over else ev.rational(1), under(ev, node))


def _saturating(rule: Rule, degree: int) -> Rule:
    """A function that nears a limit like exp(-|x|^degree): so many bits does it take to see it off that limit."""

    def measured(ev: Evaluator, node: Node) -> Any:
        if ev.measures_spread:
            size = ev.exponent(ev.value(node.args[0])) or 0
            ev.lose(3 << min(max(degree * size, 0), 60))
        return rule(ev, node)

    return measured


def _sin(ev: Evaluator, node: Node) -> Any:
    return ev.sine(node.args[0], 0)


def _cos(ev: Evaluator, node: Node) -> Any:
    return ev.sine(node.args[0], 1)


def _arccot(ev: Evaluator, node: Node) -> Any:
    angle = ev.call("atan", ev.value(node.args[0]))
    return ev.balls.constant("pi") * ev.balls.rational(1, 2) - angle


def _log(ev: Evaluator, node: Node) -> Any:
    value = ev.value(node.args[0])
    if len(node.args) == 1 and (node.value == "ln" or ev.log_base is None):
        return ev.call("log", value)
    base = ev.value(node.args[1]) if len(node.args) > 1 else ev.rational(ev.log_base or 10)
    if type(value) is ev.is_exact and type(base) is ev.is_exact:
        power = _exact_log(ev, value, base)
        if power is not None:
            return ev.rational(power)
    return ev.divide(ev.call("log", value), ev.call("log", base))


def _exact_log(ev: Evaluator, value: Any, base: Any) -> int | None:
    (over, under), (foot, divisor) = ev.balls.parts(value), ev.balls.parts(base)
    if over <= 0 or divisor != 1 or foot < 2 or (over != 1 and under != 1):
        return None
    power = round(math.log(max(over, under)) / math.log(foot))
    if foot.bit_length() * power > 2 * ev.exact_bits or foot**power != max(over, under):
        return None
    return power if under == 1 else -power


def _exp(ev: Evaluator, node: Node) -> Any:
    return ev.call("exp", ev.value(node.args[0]))


def _abs(ev: Evaluator, node: Node) -> Any:
    value = ev.value(node.args[0])
    return abs(value) if type(value) is ev.is_exact else ev.balls.call("abs", value)


def _floor(ev: Evaluator, node: Node) -> Any:
    return ev.rational(_floor_of(ev, ev.value(node.args[0])))


def _ceil(ev: Evaluator, node: Node) -> Any:
    return ev.rational(-_floor_of(ev, -ev.value(node.args[0])))


def _floor_of(ev: Evaluator, value: Any) -> int:
    if type(value) is ev.is_exact:
        over, under = ev.balls.parts(value)
        return over // under
    if not ev.is_real(value):
        raise NotReal("the floor of a complex number")
    whole = ev.balls.floor(value)
    if whole is None:
        raise Vague("the floor of what may be a whole number")
    return whole


def _known_sign(ev: Evaluator, value: Any) -> int:
    if not ev.is_real(value):
        raise NotReal("the order of complex numbers")
    sign = ev.sign(value)
    if sign is None:
        raise Vague("the sign of what may be zero")
    return sign


def _sgn(ev: Evaluator, node: Node) -> Any:
    return ev.rational(_known_sign(ev, ev.value(node.args[0])))


def _extreme(wanted: int) -> Rule:
    def rule(ev: Evaluator, node: Node) -> Any:
        best = ev.value(node.args[0])
        for arg in node.args[1:]:
            value = ev.value(arg)
            if _known_sign(ev, value - best) == wanted:
                best = value
        return best

    return rule


def _wholes(join: Callable[..., int]) -> Rule:
    return lambda ev, node: ev.rational(join(*[ev.whole(ev.value(arg)) for arg in node.args]))


def _mod(ev: Evaluator, node: Node) -> Any:
    over, under = map(ev.value, node.args)
    return over - under * ev.rational(_floor_of(ev, ev.divide(over, under)))


def _factorial(ev: Evaluator, node: Node) -> Any:
    return _gamma_of(ev, ev.value(node.args[0]) + 1)


def _gamma(ev: Evaluator, node: Node) -> Any:
    return _gamma_of(ev, ev.value(node.args[0]))


def _gamma_of(ev: Evaluator, value: Any) -> Any:
    if type(value) is ev.is_exact:
        over, under = ev.balls.parts(value)
        if under == 1 and over <= 0:
            raise Undefined("the factorial of a negative whole number")
        if under == 1 and over * over.bit_length() <= ev.exact_bits:
            return ev.rational(math.factorial(over - 1))
        if abs(over) > under << 40:
            raise TooLarge("a factorial too large to enclose")
    return ev.call("gamma", value)


def _double_factorial(ev: Evaluator, node: Node) -> Any:
    number = ev.whole(ev.value(node.args[0]))
    if number < -1:
        raise Undefined("the double factorial of a negative number")
    if number * number.bit_length() > 2 * ev.exact_bits:
        raise TooLarge("a double factorial too large to compute")
    return ev.rational(math.prod(range(number, 1, -2)))


def _binom(ev: Evaluator, node: Node) -> Any:
    top, low = map(ev.value, node.args)
    if type(top) is ev.is_exact and type(low) is ev.is_exact:
        (over, under), (chosen, divisor) = ev.balls.parts(top), ev.balls.parts(low)
        if under == divisor == 1 and 0 <= over <= ev.exact_bits:
            return ev.rational(math.comb(over, chosen) if chosen >= 0 else 0)
        if divisor == 1 and 0 <= chosen <= 30:
            product = ev.rational(1)
            for at in range(chosen):
                product = ev.kept(product * (top - at) / (at + 1))
            return product
    result = _gamma_of(ev, top + 1)
    for value in (low + 1, top - low + 1):
        result = result * ev.call("rgamma", value)
    return result


def _part(which: int) -> Rule:
    def rule(ev: Evaluator, node: Node) -> Any:
        value = ev.value(node.args[0])
        if ev.is_real(value):
            return ev.rational(0) if which else value
        return ev.balls.split(value)[which]

    return rule


def _conj(ev: Evaluator, node: Node) -> Any:
    value = ev.value(node.args[0])
    if ev.is_real(value):
        return value
    real, imaginary = ev.balls.split(value)
    return ev.balls.complex(real, -imaginary)


def _arg(ev: Evaluator, node: Node) -> Any:
    value = ev.value(node.args[0])
    ev.nonzero(value)
    if not ev.is_real(value):
        return ev.call("arg", value)
    return ev.rational(0) if _known_sign(ev, value) > 0 else ev.balls.constant("pi")


CALLS: dict[str, Rule] = {
    "sin": _sin,
    "cos": _cos,
    "tan": _quotient(_sin, _cos),
    "cot": _quotient(_cos, _sin),
    "sec": _quotient(None, _cos),
    "csc": _quotient(None, _sin),
    "arcsin": _function("asin"),
    "arccos": _function("acos"),
    "arctan": _function("atan"),
    "arccot": _arccot,
    "arcsec": _of_inverse("acos"),
    "arccsc": _of_inverse("asin"),
    "sinh": _function("sinh"),
    "cosh": _function("cosh"),
    "tanh": _saturating(_quotient(_function("sinh"), _function("cosh")), 1),
    "coth": _saturating(_quotient(_function("cosh"), _function("sinh")), 1),
    "sech": _quotient(None, _function("cosh")),
    "csch": _quotient(None, _function("sinh")),
    "arsinh": _function("asinh"),
    "arcosh": _function("acosh"),
    "artanh": _function("atanh"),
    "exp": _exp,
    "ln": _log,
    "log": _log,
    "abs": _abs,
    "norm": _abs,
    "floor": _floor,
    "ceil": _ceil,
    "sgn": _sgn,
    "min": _extreme(-1),
    "max": _extreme(1),
    "gcd": _wholes(math.gcd),
    "lcm": _wholes(math.lcm),
    "mod": _mod,
    "factorial": _factorial,
    "double_factorial": _double_factorial,
    "gamma": _gamma,
    "binom": _binom,
    "re": _part(0),
    "im": _part(1),
    "conj": _conj,
    "arg": _arg,
    "erf": _saturating(_function("erf"), 2),
}
