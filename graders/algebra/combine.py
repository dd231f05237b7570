"""Graders of several graders at once: weighted sum, product, least and greatest."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Literal

from graders.algebra.arithmetic import Arithmetic, written
from graders.algebra.bounds import Bound, Range
from graders.algebra.formula import Formula, formula_error, parse
from graders.composite import Doubt, Parts
from graders.grader import Grader
from graders.options import Number
from graders.template import nearest


class Combination(Arithmetic):
    """Base of those whose parts stand side by side, by key."""

    graders: Parts

    @property
    def members(self) -> Mapping[str, Grader]:
        return self.graders


class WeightedSum(Combination):
    """Each grader's score times its weight, added up, plus `constant`.

    Weights are taken as they are, never scaled to add up to 1; without `weights` the score is the mean. The sum
    is rounded once (`math.fsum`), so that 0.6 + 0.3 + 0.1 is 1.

    >>> said = {"type": "string_check", "operation": "like", "input": "{{sample.output_text}}"}
    >>> grader = WeightedSum(
    ...     graders={"gene": {**said, "reference": "FBN1"}, "sorry": {**said, "reference": "sorry"}},
    ...     weights={"gene": 1, "sorry": -0.25},
    ... )
    >>> grader("FBN1, sorry").score, grader.range
    (0.75, (-0.25, 1.0))
    """

    type: Literal["weighted_sum"] = "weighted_sum"
    weights: dict[str, Number] | None = None  # None: their mean
    constant: Number = 0.0

    def check(self) -> None:
        super().check()
        if self.weights is None:
            return
        for key in self.graders:
            if key not in self.weights:
                raise ValueError(f"weights: none for {key!r}; give every grader one, or leave weights out for the mean")
        for key, weight in self.weights.items():
            if key not in self.graders:
                raise ValueError(f"weights: no grader {key!r}; {nearest(key, self.graders)}")
            if weight == 0:
                raise ValueError(f"weights: {key!r} weighs 0, so it can never matter; leave the grader out")

    def _text(self) -> str:
        if self.weights is None:
            return _signed([(1, f"mean({', '.join(self.graders)})")], self.constant)
        return _signed([(weight, key) for key, weight in self._weights.items()], self.constant)

    @cached_property
    def _weights(self) -> Mapping[str, float]:
        """In the order of the graders."""
        return {} if self.weights is None else {key: self.weights[key] for key in self.graders}

    def value(self, scores: Mapping[str, float]) -> float:
        if self.weights is None:
            return super().value(scores)
        try:
            value = math.fsum([*(weight * scores[key] for key, weight in self._weights.items()), self.constant])
        except (OverflowError, ValueError):  # also inf - inf
            value = math.inf
        if not math.isfinite(value):
            raise formula_error("the sum is too large", 0)
        return value + 0.0

    def bound(
        self, ranges: Mapping[str, Range], follow: Collection[str] = (), doubts: list[str] | None = None
    ) -> Bound:
        found = super().bound(ranges, follow, doubts)
        if self.weights is None:
            return found
        terms = [sorted(weight * end for end in ranges[key]) for key, weight in self._weights.items()]
        low, high = (
            math.fsum([*(term[side] for term in terms), self.constant]) + 0.0 if math.isfinite(end) else end
            for side, end in enumerate(found[:2])
        )
        return Bound(low, high, found.moves)

    def exported(self) -> Formula:
        if self.weights is not None:
            return self.formula
        return parse(_signed([(1, f"({' + '.join(self.graders)}) / {len(self.graders)}")], self.constant))


def _signed(terms: Sequence[tuple[float, str]], constant: float) -> str:
    """A sum as one writes it: 0.7*a - b + 0.5; the constant first where the first term is negative (1 - a)."""
    signed = [(weight < 0, name if abs(weight) == 1 else f"{written(abs(weight))}*{name}") for weight, name in terms]
    if constant:
        place = 0 if constant > 0 and signed[0][0] else len(signed)
        signed.insert(place, (constant < 0, written(abs(constant))))
    (negative, first), *rest = signed
    return "-" * negative + first + "".join(f" {'-' if below else '+'} {term}" for below, term in rest)


class Severalfold(Combination):
    """Base of those that need two graders or more."""

    def check(self) -> None:
        super().check()
        if len(self.graders) < 2:
            raise ValueError(f"one grader alone has no {self.type}; give two or more, or that grader itself")


class Product(Severalfold):
    """The graders' scores multiplied: each is a gate to all others.

    >>> said = {"type": "string_check", "operation": "like", "input": "{{sample.output_text}}"}
    >>> grader = Product(graders={"gene": {**said, "reference": "FBN1"}, "sure": {**said, "reference": "sure"}})
    >>> grader("FBN1").formula
    'gene * sure = 1 * 0 = 0'
    """

    type: Literal["product"] = "product"

    def _text(self) -> str:
        return " * ".join(self.graders)

    def check(self) -> None:
        super().check()
        for key, reach in self.ranges.items():
            if reach == (0, 0):
                raise ValueError(f"graders.{key} always scores 0, so the product does; leave it out")

    def doubts(self) -> Iterable[Doubt]:
        negative = [key for key, (low, _) in self.ranges.items() if low < 0]
        if len(negative) > 1:
            yield Doubt(negative[0], f"and {negative[1]!r} can both be below 0, where two bad scores make a good one")


class Min(Severalfold):
    """The lowest of the graders' scores: as good as the worst part.

    >>> said = {"type": "string_check", "operation": "like", "input": "{{sample.output_text}}"}
    >>> grader = Min(graders={"gene": {**said, "reference": "FBN1"}, "sure": {**said, "reference": "sure"}})
    >>> grader("FBN1").formula
    'min(gene, sure) = min(1, 0) = 0'
    """

    type: Literal["min"] = "min"

    def _text(self) -> str:
        return f"min({', '.join(self.graders)})"

    def check(self) -> None:
        super().check()
        for key, (low, _) in self.ranges.items():
            cap, other = min((high, other) for other, (_, high) in self.ranges.items() if other != key)
            if low >= cap:
                raise ValueError(
                    f"graders.{key} scores at least {low:g} and {other!r} at most {cap:g}, "
                    "so it can never matter; leave it out"
                )


class Max(Severalfold):
    """The highest of the graders' scores: as weak as the most lenient part.

    >>> said = {"type": "string_check", "operation": "like", "input": "{{sample.output_text}}"}
    >>> grader = Max(graders={"gene": {**said, "reference": "FBN1"}, "sure": {**said, "reference": "sure"}})
    >>> grader("FBN1").formula
    'max(gene, sure) = max(1, 0) = 1'
    """

    type: Literal["max"] = "max"

    def _text(self) -> str:
        return f"max({', '.join(self.graders)})"

    def check(self) -> None:
        super().check()
        for key, (_, high) in self.ranges.items():
            floor, other = max((low, other) for other, (low, _) in self.ranges.items() if other != key)
            if high <= floor:
                raise ValueError(
                    f"graders.{key} scores at most {high:g} and {other!r} at least {floor:g}, "
                    "so it can never matter; leave it out"
                )
