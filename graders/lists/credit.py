"""Credit rules: from the places at which references stand in a ranked list to a number from 0 to 1.

`gains` gives each place of the list its relevance (0 where the name is no reference), `ideal` the relevances
of all references, best first. Places count from 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from graders.options import Options
from graders.template import nearest


class _Rule(Options):
    """A rule and its parameters."""


def _best_place(gains: Sequence[float]) -> int | None:
    return next((place for place, gain in enumerate(gains, start=1) if gain), None)


class Table(_Rule):
    """Credit by place: `credits[0]` at place 1, and so on; 0 past the end. The best reference counts."""

    rule: Literal["table"]
    credits: list[float] = Field(min_length=1)

    @field_validator("credits")
    @classmethod
    def _falling(cls, credits: list[float]) -> list[float]:
        for credit in credits:
            if not 0 <= credit <= 1:
                raise ValueError(f"credit {credit:g} lies outside 0 to 1; scale the table")
        for better, worse in pairwise(credits):
            if worse > better:
                raise ValueError(f"{worse:g} comes after {better:g}: a later place may not earn more; sort the table")
        return credits

    def credit(self, gains: Sequence[float], ideal: Sequence[float]) -> float:
        place = _best_place(gains)
        return self.credits[place - 1] if place is not None and place <= len(self.credits) else 0.0


class Reciprocal(_Rule):
    """1/place of the best-placed reference: reciprocal rank, whose mean is MRR (Voorhees 1999, TREC-8)."""

    rule: Literal["reciprocal"]

    def credit(self, gains: Sequence[float], ideal: Sequence[float]) -> float:
        place = _best_place(gains)
        return 1 / place if place is not None else 0.0


class TopK(_Rule):
    """1 if a reference is among the first `k`, else 0: Success@k."""

    rule: Literal["top_k"]
    k: int = Field(ge=1)

    def credit(self, gains: Sequence[float], ideal: Sequence[float]) -> float:
        place = _best_place(gains)
        return float(place is not None and place <= self.k)


class Dcg(_Rule):
    """NDCG: discounted cumulative gain over that of the ideal list (Jarvelin & Kekalainen 2002).

    The gain is the relevance itself and the discount log2(place + 1), as in trec_eval. All references count.
    """

    rule: Literal["dcg"]

    def credit(self, gains: Sequence[float], ideal: Sequence[float]) -> float:
        return _share(
            sum(gain / math.log2(place + 1) for place, gain in enumerate(gains, start=1)),
            sum(gain / math.log2(place + 1) for place, gain in enumerate(ideal, start=1)),
        )


class Rbp(_Rule):
    """Rank-biased precision over that of the ideal list (Moffat & Zobel 2008, ACM TOIS 27:1).

    RBP = (1-p) * sum of p^(place-1) over the places of references: a reader who goes on to the next place
    with probability `p`. Plain RBP never reaches 1 (one reference at place 1 earns 1-p), so it is divided by
    the RBP of the list that puts every reference first.
    """

    rule: Literal["rbp"]
    p: float = Field(gt=0, lt=1)

    def credit(self, gains: Sequence[float], ideal: Sequence[float]) -> float:
        return _share(
            sum(gain * self.p**place for place, gain in enumerate(gains)),
            sum(gain * self.p**place for place, gain in enumerate(ideal)),
        )


def _share(earned: float, ideal: float) -> float:
    return min(1.0, earned / ideal)  # sums of the same terms in another order can differ in the last digit


RULES = ("table", "reciprocal", "dcg", "rbp", "top_k")


def _spelled_out(given: Any) -> Any:
    if isinstance(given, str):
        given = {"rule": given}
    if isinstance(given, dict) and given.get("rule") not in RULES:
        if "rule" not in given:
            raise ValueError('key "rule" is missing; write for example {"rule": "top_k", "k": 5}')
        raise ValueError(f"no credit rule {given['rule']!r}; {nearest(str(given['rule']), RULES)}")
    return given


Credit = Annotated[
    Annotated[Table | Reciprocal | Dcg | Rbp | TopK, Field(discriminator="rule")],
    BeforeValidator(_spelled_out),
]
"""A credit rule; a rule without parameters may be given by its name alone."""
