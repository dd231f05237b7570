"""Decimals: from a numeral as `tokens` found it to its value, and what small trees of numbers are."""

from __future__ import annotations

from fractions import Fraction

from graders.math.tree import Node, Numeral, number

_PERIODS = 60  # digits of a repeating tail that are looked at


def decimal(text: str) -> Node:
    """A numeral with a point or a power of ten: exact where it is whole, else with its places and digits."""
    mantissa, _, exponent = text.lower().partition("e")
    if len(exponent) > 6 or abs(int(exponent or 0)) > 10_000:
        raise ValueError("a power of ten beyond 10,000 is not read")
    whole, _, places = mantissa.partition(".")
    power_of_ten = int(exponent or 0)
    value = Fraction(int(whole + places or 0)) * Fraction(10) ** (power_of_ten - len(places))
    if not places and power_of_ten >= 0:
        return Node("number", (), Numeral(value))
    digits = len((whole + places).lstrip("0"))
    return Node("number", (), Numeral(value, len(places) - power_of_ten, digits))


def repeating(text: str, period: str) -> Node:
    """A decimal with the digits that repeat behind it, such as 0.1 and 6 for 0.1666..."""
    whole, _, places = text.partition(".")
    if not period or len(period) + len(places) > 2_000:
        raise ValueError("a period of that length is not read")
    fixed = Fraction(int(whole + places or 0), 10 ** len(places))
    return number(fixed + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(places)))


def repeating_tail(text: str) -> Node:
    """`0.333...`: the shortest period that fills the end at least twice, or three times for one digit.

    Where nothing repeats, as in `3.14159...`, it is cut off: the value lies between it and the next in its last place.
    """
    if "e" in text.lower():
        raise ValueError("dots behind a power of ten are not read")
    whole, _, places = text.partition(".")
    tail = places[-_PERIODS:]
    for length in range(1, len(tail) // 2 + 1):
        period = tail[-length:]
        times = 3 if length == 1 else 2
        if len(tail) >= times * length and tail[-times * length :] == period * times:
            return repeating(f"{whole}.{places[: -times * length]}", period)
    cut = decimal(text).value
    half = Fraction(1, 2 * 10 ** len(places))
    return Node("number", (), Numeral(cut.value + half, len(places), cut.digits))


def small_integer(node: Node) -> int | None:
    """The whole number that it is, below a million in size; None where it is none."""
    sign = 1
    if node.head == "neg":
        node, sign = node.args[0], -1
    if node.head != "number" or node.value.places is not None or node.value.value.denominator != 1:
        return None
    value = node.value.value.numerator
    return sign * value if abs(value) < 10**6 else None


def is_whole(node: Node) -> bool:
    return node.head == "number" and node.value.places is None and node.value.value.denominator == 1


def is_proper(node: Node) -> bool:
    """Whether it is a fraction of whole numbers below 1, as stands behind a mixed number's whole."""
    if node.head != "div" or not all(map(is_whole, node.args)):
        return False
    over, under = (part.value.value for part in node.args)
    return bool(0 < over < under)


def is_numeric(node: Node) -> bool:
    """Whether a unit may stand behind it: a number, or arithmetic on numbers and constants."""
    stack = [node]
    while stack:
        node = stack.pop()
        if node.head in ("symbol", "apply", "text", "relation", "tuple", "list", "set"):
            return False
        stack.extend(node.args)
    return True
