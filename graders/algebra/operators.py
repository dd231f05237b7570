"""Graders put together in Python: what `0.7 * a + 0.3 * b`, `a & b` or `a >= 0.5` make, and functions for the rest.

An operand may be a plain function `f(sample, item)`. The keys of the parts come from the graders' labels.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any, NamedTuple, TypeAlias

from graders.algebra.arithmetic import unique
from graders.algebra.combine import Max, Min, Product, Severalfold, WeightedSum
from graders.algebra.formula import FUNCTIONS
from graders.algebra.route import Cascade, Gate, When
from graders.algebra.shape import Clip, Negate, Piecewise, Threshold
from graders.grade import Grade
from graders.grader import Grader, as_grader
from graders.sample import Item, Sample

Operand: TypeAlias = Grader | Callable[[Sample, Item], Grade | float]


class Term(NamedTuple):
    key: str
    grader: Grader
    weight: float


def gate(condition: Operand, grader: Operand) -> Gate:
    """The grader's score times the condition's; where that is 0 the grader is not asked."""
    return Gate(condition=as_grader(condition), grader=as_grader(grader))


def when(condition: Operand, then: Operand | float, otherwise: Operand | float = 0.0) -> When:
    """`then` where the condition scores 0.5 or more, else `otherwise`."""
    branches = [branch if _is_number(branch) else as_grader(branch) for branch in (then, otherwise)]  # type: ignore[arg-type]
    return When(condition=as_grader(condition), then=branches[0], otherwise=branches[1])


def cascade(*graders: Operand) -> Cascade:
    """The grade of the first that could decide."""
    return Cascade(graders=[as_grader(grader) for grader in graders])


def clip(grader: Operand, low: float = 0.0, high: float = 1.0) -> Clip:
    """The score, held between `low` and `high`."""
    return Clip(grader=as_grader(grader), low=low, high=high)


def piecewise(grader: Operand, points: Iterable[tuple[float, float]]) -> Piecewise:
    """The score mapped by straight lines between points (x, y)."""
    return Piecewise(grader=as_grader(grader), points=list(points))


# What the operators of a Grader call. NotImplemented makes Python say which operands do not fit.


def add(a: Any, b: Any) -> Any:
    terms, constant = [], 0.0
    for operand in (a, b):
        if (found := _linear(operand)) is None:
            return NotImplemented
        terms += found[0]
        constant += found[1]
    return _sum(terms, constant)


def multiply(a: Any, b: Any) -> Any:
    for number, other in ((a, b), (b, a)):
        if _is_number(number) and (found := _linear(other)) is not None:
            terms, constant = found
            scaled = [term._replace(weight=term.weight * float(number)) for term in terms]
            return _sum(scaled, constant * float(number))
    return _several(Product, a, b)


def divide(a: Any, b: Any) -> Any:
    return multiply(a, 1 / float(b)) if _is_number(b) else NotImplemented


def subtract(a: Any, b: Any) -> Any:
    return add(a, -b if _is_number(b) else multiply(-1, b))


def invert(a: Grader) -> Grader:
    return a.grader if isinstance(a, Negate) and _plain(a) else Negate(grader=a)


def at_least(a: Grader, b: Any) -> Any:
    return Threshold(grader=a, at=float(b)) if _is_number(b) else NotImplemented


def both(a: Any, b: Any) -> Any:
    return _several(Min, a, b)


def either(a: Any, b: Any) -> Any:
    return _several(Max, a, b)


def _is_number(operand: Any) -> bool:
    return isinstance(operand, Real) and not isinstance(operand, bool)  # numpy's numbers too


def _operand(operand: Any) -> Grader | None:
    """The operand as a grader; None where it is none. A class is not: it has yet to be given its options."""
    if isinstance(operand, Grader) or (callable(operand) and not isinstance(operand, type)):
        return as_grader(operand)
    return None


def _plain(grader: Grader) -> bool:
    """Whether nothing is lost when the grader is taken apart."""
    return not grader.name and grader.extract is None


def _linear(operand: Any) -> tuple[list[Term], float] | None:
    """The operand as terms and a constant: a sum is taken apart, so that sums of sums stay flat."""
    if _is_number(operand):
        return [], float(operand)
    grader = _operand(operand)
    if grader is None:
        return None
    if isinstance(grader, WeightedSum) and _plain(grader):
        weights = grader.weights or dict.fromkeys(grader.graders, 1 / len(grader.graders))
        return [Term(key, part, weights[key]) for key, part in grader.graders.items()], grader.constant
    return [Term(_key(grader), grader, 1.0)], 0.0


def _sum(terms: Sequence[Term], constant: float) -> WeightedSum:
    """One sum; a grader that stands in it twice is asked once."""
    graders: dict[str, Grader] = {}
    weights: dict[str, float] = {}
    for key, grader, weight in terms:
        known = next((name for name, part in graders.items() if part is grader), None)
        if known is None:
            known = unique(key, graders)
            graders[known], weights[known] = grader, 0.0
        weights[known] += weight
    return WeightedSum(graders=graders, weights=weights, constant=constant)


def _several(cls: type[Severalfold], a: Any, b: Any) -> Any:
    """One product, minimum or maximum; of operands that are one already, the parts are taken."""
    graders: dict[str, Grader] = {}
    for operand in (a, b):
        grader = _operand(operand)
        if grader is None:
            return NotImplemented
        flat = isinstance(grader, cls) and _plain(grader)
        parts = grader.graders if flat and isinstance(grader, cls) else {_key(grader): grader}
        for key, part in parts.items():
            graders[unique(key, graders)] = part
    return cls.model_validate({"graders": graders})


def _key(grader: Grader) -> str:
    """The grader's label as a name that a formula can hold."""
    key = re.sub(r"\W+", "_", grader.label).strip("_") or "part"
    return key if key.isidentifier() and key not in FUNCTIONS else f"part_{key}"
