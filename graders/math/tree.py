"""Trees: what a mathematical text means once it is read. Small, immutable, compared and hashed as tuples.

`parse` makes them, nothing else needs to know LaTeX. A tree keeps what was written (`div`, `neg`, decimals with their
places); that two trees mean the same is for `values` and `shapes` to find out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, Literal, NamedTuple


class Node(NamedTuple):
    """One node: what it is (`head`), its children, and what a leaf or an operator holds.

    Values
        `number`    value: Numeral
        `symbol`    value: name, such as "x", "alpha", "x_1", "f'", "bar x"; case kept
        `constant`  value: "pi", "e", "i", "inf"
        `based`     value: (digits, base), a numeral written with its base: `204_5`
        `add` `mul` n-ary; `neg` (x); `div` (a, b); `pow` (base, exponent); `root` (x, n)
        `call`      value: a known function, see FUNCTIONS; `log` has (x, base) or (x)
        `apply`     value: an unknown function such as "f"; its arguments
        `pm` `mp`   (a, b) for a ± b, or (b) for ±b
        `percent`   (x)
        `quantity`  (x); value: units.Unit
        `labelled`  (x); value: words behind a number that are no unit, such as "apples"
        `sum` `product`  (body, variable, low, high); `integral` (body, variable) or (body, variable, low, high);
        `limit`     (body, variable, point), value: "+", "-" or ""; `derivative` (body, variable), value: order
    Shapes
        `list`      bare items; value: what joins them, ",", "and" or "or"
        `tuple`     (a, b, ...), perhaps an open interval; `bracket` [a, b, ...], perhaps a closed interval
        `set`       {a, b, ...}; `interval` (low, high), value: "[)", "(]", "()" or "[]"
        `union` `intersection` n-ary; `minus` (a, b); `builder` (element, condition)
        `domain`    value: "R", "N", "Z", "Q", "C" or "empty"
        `matrix`    of `row`; `ratio` a : b : ...
        `relation`  a chain of args; value: the signs between them, from RELATIONS; of a value with a name
                    in words the first arg is a `text`
        `congruent` (a, b, modulus) or (a, modulus) for a bare residue
        `piecewise` of `case` (value, condition)
        `text`      value: words, as written
    Readings
        `choice`    (answer); value: the letter of a choice, A to H; the answer that stands behind it
        `given`     (body, condition): what holds where the condition does, a tree or `text`; or a comment, as `text`
        `readings`  at the top alone: the trees of a text that can be read in two ways
    """

    head: str
    args: tuple[Node, ...] = ()
    value: Any = None


class Numeral(NamedTuple):
    """A number as it was written: its exact value; decimal places and significant digits, None where it is exact."""

    value: Fraction
    places: int | None = None
    digits: int | None = None


RELATIONS = ("=", "!=", "<", "<=", ">", ">=", "~", "in", "notin", "subset", "proportional", "to", "parallel", "perp")

FUNCTIONS = frozenset(
    """sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth sech csch
    arsinh arcosh artanh exp ln log abs norm floor ceil sgn min max gcd lcm mod factorial double_factorial binom
    gamma re im conj arg det tr transpose rank dim erf""".split()  # noqa: SIM905 - a table of words
)


class Verdict(NamedTuple):
    """Whether two readings mean the same, the clause that says why, and the step that found out.

    `undecided` is neither: the step could prove neither equality nor difference.
    """

    outcome: Literal["equal", "different", "undecided"]
    why: str
    step: str = ""

    @property
    def equal(self) -> bool:
        return self.outcome == "equal"


def number(value: Fraction | int) -> Node:
    """An exact number."""
    return Node("number", (), Numeral(Fraction(value)))


def symbol(name: str) -> Node:
    return Node("symbol", (), name)


def product_of(factors: Sequence[Node]) -> Node:
    """The product, one node without products inside it; a lone factor is itself."""
    if len(factors) == 1:
        return factors[0]
    flat = list[Node]()
    for factor in factors:
        flat.extend(factor.args if factor.head == "mul" else (factor,))
    return Node("mul", tuple(flat))


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack.extend(node.args)


def symbols(node: Node) -> frozenset[str]:
    """The names that stand free in it: without those that a sum, product, integral or limit binds."""
    if node.head == "symbol":
        return frozenset([node.value])
    free = frozenset[str]().union(*map(symbols, node.args)) if node.args else frozenset[str]()
    if node.head in ("sum", "product", "limit") or (node.head == "integral" and len(node.args) == 4):
        body, variable, *limits = node.args
        return (symbols(body) - symbols(variable)).union(*map(symbols, limits))
    return free
