"""Numerals: reading exactly one number from a text, as an exact value. Scores nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction
from typing import Any, TypeAlias

from graders.template import short
from graders.text.marks import unmarked

Exact: TypeAlias = Decimal | Fraction

LONGEST = 1_000  # characters of a numeral
HIGHEST = 1_000  # power of ten in it, either way
# Wide enough that no difference or product of two numerals of that size is ever rounded.
EXACT = Context(prec=5_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
ROUGH = Context(prec=12, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])
MINUS = "\u2212"
PLAIN = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?")
SPACES = "\u00a0\u2009\u202f"  # no-break, thin and narrow no-break space, between groups of three digits


class Numerals:
    """What counts as a number: the decimal mark, and which of percent, fractions and units are read."""

    def __init__(self, decimal_mark: str, percent: bool, fractions: bool, units: Sequence[str]) -> None:
        self._mark_is_point = decimal_mark == "."
        grouping = ("," if self._mark_is_point else ".") + SPACES
        self._plain = dict.fromkeys(map(ord, grouping)) | {ord(decimal_mark): "."}
        group = "".join(f"|[1-9][0-9]{{0,2}}(?:[{mark}][0-9]{{3}})+" for mark in grouping)
        mark = re.escape(decimal_mark)
        whole = f"(?:[0-9]+{group})"
        times_ten = rf"\s?[x×*·⋅]\s?10\^(?:(?P<power>[+\-{MINUS}]?[0-9]+)|\{{(?P<braced>[+\-{MINUS}]?[0-9]+)\}})"
        exponent = rf"(?:[eE](?P<e>[+\-{MINUS}]?[0-9]+)|{times_ten})?"
        body = f"(?P<number>{whole}(?:{mark}[0-9]*)?|{mark}[0-9]+){exponent}"
        if fractions:
            body = f"(?:(?P<over>[0-9]+)/(?P<under>[0-9]+)|{body})"
        # Longest first, so that the end of one unit is not taken for another.
        unit = "|".join(re.escape(unit) for unit in sorted(units, key=len, reverse=True))
        before = rf"(?:(?P<before>{unit})\s?)?" if units else ""
        after = rf"(?:\s?(?P<after>{unit}))?" if units else ""
        hundredth = r"(?P<percent>\s?%)?" if percent else ""
        self._form = re.compile(
            rf"(?P<sign>[+\-{MINUS}])?{before}(?P<inner>[+\-{MINUS}])?{body}{hundredth}{after}", re.ASCII
        )

    def read(self, text: str) -> Exact:
        """The one number that the text is, less marks around it; ValueError with the reason where it is not."""
        text = text.strip()
        if self._mark_is_point and PLAIN.fullmatch(text):  # as most: nothing to take apart
            return Decimal(text)
        if len(text) > LONGEST:
            raise ValueError(f"{short(text)} is {len(text):,} characters long; a number of at most {LONGEST:,} is read")
        parts = self._parts(text) or self._parts(unmarked(text))
        if parts is None:
            raise ValueError(self._problem(text))
        negative = (parts["sign"] or parts["inner"] or "+") in f"-{MINUS}"
        value = self._value(parts, text)
        return EXACT.minus(value) if negative and isinstance(value, Decimal) else -value if negative else value

    def _parts(self, text: str) -> dict[str, Any] | None:
        found = self._form.fullmatch(text)
        parts = found.groupdict() if found else None
        if parts and ((parts["sign"] and parts["inner"]) or (parts.get("before") and parts.get("after"))):
            return None
        return parts

    def _value(self, parts: dict[str, Any], text: str) -> Exact:
        hundred = -2 if parts.get("percent") else 0
        if parts.get("over"):
            if not parts["under"].strip("0"):
                raise ValueError(f"{short(text)} divides by zero")
            ratio = Fraction(int(parts["over"]), int(parts["under"]))
            return ratio / 100 if hundred else ratio
        power = parts["e"] or parts["power"] or parts["braced"]
        value = Decimal(parts["number"].translate(self._plain))
        if power is None and not hundred:
            return value
        return EXACT.scaleb(value, self._power(power, text) + hundred)

    def _power(self, power: str | None, text: str) -> int:
        if power is None:
            return 0
        if len(power) > 6 or abs(exponent := int(power.replace(MINUS, "-"))) > HIGHEST:
            raise ValueError(f"{short(text)} has a power of ten beyond {HIGHEST:,}")
        return exponent

    def _problem(self, text: str) -> str:
        if not text:
            return "blank, where a number is expected"
        if text.endswith("%") and "percent" not in self._form.groupindex:
            return f"{short(text)} is not one plain number: percent signs are read only where percent is set"
        if "/" in text and "over" not in self._form.groupindex:
            return f"{short(text)} is not one plain number: fractions are read only where fractions is set"
        return f"{short(text)} is not one plain number"


def exact_number(value: Any) -> Exact:
    """A JSON number as the decimal it is written as: 0.1 is one tenth. ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{short(value)} is not a number")
    if isinstance(value, int):
        if value.bit_length() > 3.33 * HIGHEST:
            raise ValueError(f"a whole number of more than {HIGHEST:,} digits is not read")
        return Decimal(value)
    number = Decimal(repr(value))
    if not number.is_finite():
        raise ValueError(f"{value} is not a finite number")
    return number


def distance(one: Exact, other: Exact) -> Exact:
    """How far apart two numbers are, exactly."""
    if isinstance(one, Decimal) and isinstance(other, Decimal):
        return EXACT.abs(EXACT.subtract(one, other))
    return abs(Fraction(one) - Fraction(other))


def times(one: Exact, other: Decimal) -> Exact:
    """The size of the product of two numbers, exactly."""
    if isinstance(one, Decimal):
        return EXACT.abs(EXACT.multiply(one, other))
    return abs(one * Fraction(other))


def written(number: Exact) -> str:
    """The number in one spelling, whatever spelling it was read from: "42" for 42.0 and 4.2e1."""
    if isinstance(number, Fraction):
        return str(number)
    if not number:
        return "0"
    plain = number.normalize(EXACT)
    return format(plain, "f") if -20 <= plain.adjusted() <= 30 else str(plain)


def rounded(number: Exact) -> str:
    """The number to six digits, for a message."""
    if isinstance(number, Fraction):
        number = ROUGH.divide(Decimal(number.numerator), Decimal(number.denominator))
    if -300 < number.adjusted() < 300:
        return f"{float(number):.6g}"
    return f"{number.normalize(ROUGH):.6g}".replace("+", "")
