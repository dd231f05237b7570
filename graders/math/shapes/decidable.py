"""Whether a reference can be decided at all: against anything, or is itself what nothing can be told from."""

from __future__ import annotations

from fractions import Fraction

from graders.math.shapes.normal import EXPRESSIONS
from graders.math.tree import Node, number
from graders.math.values.values import same_value

PROBE = number(Fraction(104_729, 7_919))
"""A number that no reference has by chance: one that cannot be told from it cannot be told from any."""


def is_decidable(gold: Node) -> bool:
    """Whether each expression in it can be told from a number that it is not.

    Sums to infinity, integrals and limits with letters, and numbers beyond what can be enclosed, cannot.

    >>> is_decidable(PROBE._replace(head="symbol", value="x"))
    True
    """
    if gold.head in EXPRESSIONS:
        return same_value(gold, PROBE).outcome != "undecided"
    return all(map(is_decidable, gold.args))
