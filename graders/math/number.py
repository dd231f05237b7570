"""number: is the one number in the input the right one, within a tolerance?"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.math.numeral import Exact, Numerals, distance, exact_number, rounded, times, written
from graders.sample import Item, Sample
from graders.template import Template, parse, resolve


def _template_or_number(reference: Any) -> Any:
    if isinstance(reference, str):
        parse(reference)
        return reference
    try:
        exact_number(reference)
    except ValueError as problem:
        raise ValueError(f"{problem}; give a template or a number") from None
    return reference


class Number(Grader):
    """1 if the input is the reference number, within the tolerance; else 0, or less than 1 by its distance.

    The whole input must be one number, perhaps in quotes, bold or `$...$`: finding one in prose is the work of
    `extract`. Values are compared exactly,
    as decimals. The tolerance is the larger of `abs_tol` and `rel_tol` times the size of the reference. With
    `zero_at`, credit falls linearly from 1 at the tolerance to 0 at `zero_at` times the tolerance.

    >>> Number(reference="{{item.pi}}", abs_tol=0.01)("3.14", {"pi": 3.14159}).why
    '3.14 is 0.00159 off 3.14159: within the tolerance of 0.01'
    """

    type: Literal["number"] = "number"
    input: Template = "{{sample.output_text}}"
    reference: Annotated[str | int | float, BeforeValidator(_template_or_number)]
    abs_tol: float = Field(0.0, ge=0, allow_inf_nan=False, strict=True)
    rel_tol: float = Field(0.0, ge=0, allow_inf_nan=False, strict=True)
    zero_at: float | None = Field(None, gt=1, allow_inf_nan=False, strict=True)
    decimal_mark: Literal[".", ","] = "."
    percent: bool = False
    fractions: bool = False
    units: list[str] = Field([])

    @field_validator("units")
    @classmethod
    def _are_units(cls, units: list[str]) -> list[str]:
        for unit in units:
            if not unit.strip() or unit != unit.strip():
                raise ValueError(f"unit {unit!r} is blank or has space around it; write it as 'kg'")
            if unit[0] in "0123456789.,+-\u2212%/" or unit[-1] in "0123456789.,+-\u2212":
                raise ValueError(f"unit {unit!r} begins or ends like a number; take that part off")
            if unit in ("e", "E"):
                raise ValueError(f"unit {unit!r} would be read as a power of ten; leave it out")
        return units

    @model_validator(mode="after")
    def _options_fit(self) -> Number:
        if self.zero_at is not None and not (self.abs_tol or self.rel_tol):
            raise ValueError(
                f"zero_at {self.zero_at:g} is a multiple of the tolerance, which is 0; set abs_tol or rel_tol"
            )
        try:
            self._constant  # noqa: B018 (read now, so that a constant that is no number is refused here)
        except ValueError as problem:
            raise ValueError(f"reference: {problem}") from None
        return self

    def grade(self, sample: Sample, item: Item) -> Grade:
        reference = self._constant
        if reference is None:
            reference = self._read(resolve(str(self.reference), sample, item), "invalid_reference", "grader")
        number = self._read(resolve(self.input, sample, item), "sample_parse_error", "candidate")
        return self._compared(number, reference)

    def _compared(self, number: Exact, reference: Exact) -> Grade:
        extracted = written(number)
        spelled, right = _shown(number, extracted), _shown(reference, written(reference))
        if number == reference:
            return Grade(1.0, f"{spelled} equals {right}", extracted=extracted)
        off = distance(number, reference)
        gap = f"{rounded(off)} off {right}"
        tolerance = max(self._absolute, times(reference, self._relative)) if self.rel_tol else self._absolute
        if not tolerance:
            return Grade(0.0, f"{spelled} is {gap}", extracted=extracted)
        limit = f"the tolerance of {rounded(tolerance) if self.rel_tol else self._absolute_shown}"
        if off <= tolerance:
            return Grade(1.0, f"{spelled} is {gap}: within {limit}", extracted=extracted)
        if self.zero_at is None:
            return Grade(0.0, f"{spelled} is {gap}: outside {limit}", extracted=extracted)
        score = self._credit(Fraction(off) / Fraction(tolerance))
        why = f"{spelled} is {gap}: outside {limit}, credit {score:.4g} (0 from {self.zero_at:g} times that)"
        return Grade(score, why, extracted=extracted)

    def _credit(self, ratio: Fraction) -> float:
        """Credit for an error of `ratio` times the tolerance."""
        zero_at = Fraction(Decimal(repr(self.zero_at)))
        return float(max(Fraction(0), (zero_at - ratio) / (zero_at - 1)))

    def _read(self, value: Any, kind: str, fault: Literal["candidate", "grader"]) -> Exact:
        """The number that a template gave, or a typed error; the same forms are read on both sides."""
        try:
            return self._numerals.read(value) if isinstance(value, str) else exact_number(value)
        except ValueError as problem:
            where = "" if fault == "candidate" else "reference: "
            raise GradingError(kind, f"{where}{problem}", fault) from None

    @cached_property
    def _constant(self) -> Exact | None:
        """The reference where the definition fixes it."""
        if not isinstance(self.reference, str):
            return exact_number(self.reference)
        is_constant = all(isinstance(piece, str) for piece in parse(self.reference))
        return self._numerals.read(self.reference) if is_constant else None

    @cached_property
    def _numerals(self) -> Numerals:
        return Numerals(self.decimal_mark, self.percent, self.fractions, self.units)

    @cached_property
    def _absolute(self) -> Decimal:
        return Decimal(repr(self.abs_tol))

    @cached_property
    def _absolute_shown(self) -> str:
        return rounded(self._absolute)

    @cached_property
    def _relative(self) -> Decimal:
        return Decimal(repr(self.rel_tol))


def _shown(number: Exact, text: str) -> str:
    """A number as a message shows it, which is `text` where that is short."""
    return text if len(text) <= 40 else f"about {rounded(number)}"
