"""Names and relations: what stands for a name, when two names agree, and relations as pairs with their signs.

`x = 5` is the value 5 with a name, `7 = 11a + c` an equation. Equations are equal if the differences of their sides are
proportional by a constant other than zero, inequalities if it is positive; nothing is solved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from graders.math.policy import Policy
from graders.math.shapes import words
from graders.math.tree import Node, Verdict, symbols
from graders.math.values.values import exact, is_constant, proportional
from graders.math.written import written

Test = Callable[[Node, Node], Verdict]

FLIPPED = {">": "<", ">=": "<="}
_OF_NAMES = frozenset(("abs", "norm", "det", "tr", "rank", "dim", "arg", "re", "im"))
_MADE_OF_NAMES = frozenset(("div", "ratio", "tuple", "union", "intersection", "minus"))
_OPERATORS = frozenset(("integral", "limit", "sum", "product", "derivative"))
_ARITHMETIC = frozenset(("add", "mul", "div", "neg", "pm", "mp", "percent"))
_NUMERALS = frozenset(("number", "constant", "based"))


class Pair(NamedTuple):
    """Two sides and the sign between them; > and >= are turned round."""

    sign: str
    left: Node
    right: Node


def is_name(node: Node) -> bool:
    """Whether it can be given a value: a symbol, a function of something, a product of capitals such as AB or W(n),
    words, a derivative, or a ratio, an absolute value or a tuple of names."""
    head, args, _ = node
    if head in ("symbol", "text", "apply", "derivative"):
        return True
    if head == "mul":
        return _is_product_name(node)
    if head == "call":
        return node.value in _OF_NAMES and all(map(is_name, args))
    if head == "bracket":  # [ABC] is the area of ABC
        return len(args) == 1 and is_name(args[0])
    return head in _MADE_OF_NAMES and bool(args) and all(map(is_name, args))


def is_applied(name: Node, value: Node) -> bool:
    """Whether a product such as y(x) is a function, as its value shows: it holds x but no y."""
    if name.head != "mul" or name.value is not None or [arg.head for arg in name.args] != ["symbol", "symbol"]:
        return False
    free = symbols(value)
    return name.args[1].value in free and name.args[0].value not in free


def _is_product_name(node: Node) -> bool:
    first = node.args[0]
    if not all(arg.head == "symbol" for arg in node.args):
        return False
    if first.value == "d" and len(node.args) == 2:
        return True
    if not first.value[:1].isupper():
        return False
    return all(arg.value[:1].isupper() for arg in node.args) or len(node.args) == 2


def family(name: Node) -> str | None:
    """The letter that numbered names share: x of x_1 and x_2; None for other names."""
    if name.head != "symbol" or "_" not in name.value:
        return None
    letter: str = name.value.partition("_")[0]
    return letter


def _function(name: Node) -> tuple[str, tuple[Node, ...]] | None:
    if name.head == "apply":
        return name.value, name.args
    if name.head == "mul" and len(name.args) == 2 and {arg.head for arg in name.args} == {"symbol"}:
        if name.args[1].value[:1].isupper():
            return None
        return name.args[0].value, name.args[1:]
    return None


def agreement(a: Node, b: Node) -> dict[str, Node] | None:
    """How to rename the symbols of what `b` is given so that the two names agree; None if they are two names.

    f(x) and f(t) agree with t as x; f and f(x) agree; x and y do not.
    """
    if a == b:
        return {}
    if "text" in (a.head, b.head):
        said = [words.plain(node.value) if node.head == "text" else words.spelled(node) for node in (a, b)]
        return {} if said[0] is not None and said[0] == said[1] else None
    first, second = _function(a), _function(b)
    if first and second:
        return _renaming(first, second)
    for whole, bare in ((first, b), (second, a)):
        if whole and bare.head == "symbol" and (bare.value == whole[0] or {bare.value, whole[0]} == _Y_OF_X):
            return {} if all(arg.head == "symbol" for arg in whole[1]) else None
    if a.head == b.head and a.value == b.value and a.args and len(a.args) == len(b.args):
        return {} if all(agreement(x, y) == {} for x, y in zip(a.args, b.args, strict=True)) else None
    return None


_Y_OF_X = frozenset(("y", "f"))
_FIXED = frozenset("PE")  # what a probability or an expectation is of cannot be called otherwise


def _renaming(a: tuple[str, tuple[Node, ...]], b: tuple[str, tuple[Node, ...]]) -> dict[str, Node] | None:
    """Which variables of one function stand for those of the other; none for the same ones in another order."""
    if (a[0] != b[0] and {a[0], b[0]} != _Y_OF_X) or len(a[1]) != len(b[1]):
        return None
    changed = [(mine, other) for mine, other in zip(a[1], b[1], strict=True) if mine != other]
    if changed and a[0] in _FIXED:
        return None
    if not all(_is_variable(mine) and _is_variable(other) for mine, other in changed):
        return None
    if any(mine in b[1] or other in a[1] for mine, other in changed):
        return None
    if not len({mine for mine, _ in changed}) == len({other for _, other in changed}) == len(changed):
        return None
    return {other.value: mine for mine, other in changed}


def _is_variable(node: Node) -> bool:
    return node.head == "symbol" and not node.value[:1].isupper()


def free_to_rename(renaming: Mapping[str, Node], mine: Node, other: Node) -> bool:
    """Whether the renaming catches no symbol that stands for something else on either side."""
    new = {node.value for node in renaming.values()}
    return not (new - set(renaming)) & symbols(other) and not (set(renaming) - new) & symbols(mine)


def renamed(node: Node, renaming: Mapping[str, Node]) -> Node:
    """The tree with its symbols renamed."""
    if not renaming:
        return node
    if node.head == "symbol":
        return renaming.get(node.value, node)
    return Node(node.head, tuple([renamed(arg, renaming) for arg in node.args]), node.value) if node.args else node


def equation(name: Node, value: Node) -> Node:
    return Node("relation", (name, value), ("=",))


def stated(node: Node) -> Node | None:
    """What an equation such as a + b = 5 says that its left side is worth; None where it is one to be solved.

    The right side is a constant other than zero, and the left side more than one unknown with a numeral: neither a
    coefficient nor a number added stands in it, and if it is a polynomial it has more than one letter. An integral or
    a limit with letters is worth what it is said to be, whatever that is.
    """
    *before, value = node.args
    if set(node.value) != {"="} or value.head == "text":
        return None
    if len(before) == 1 and before[0].head in _OPERATORS and symbols(before[0]):
        return value
    if not is_constant(value) or exact(value) == 0:
        return None
    unknown = [part for part in before if not is_constant(part)]
    return value if unknown and unknown[0] == before[0] and all(map(_is_measured, unknown)) else None


def _is_measured(node: Node) -> bool:
    """Whether it is an expression whose value is asked for, rather than a side of an equation in an unknown."""
    if any(part.head in _ARITHMETIC and any(arg.head in _NUMERALS for arg in part.args) for part in _bases(node)):
        return False
    if any(part.head == "pow" and part.args[0].head in _NUMERALS for part in _bases(node)):
        return False
    return len(symbols(node)) > 1 or any(part.head in ("call", "apply", *_OPERATORS) for part in _bases(node))


def _bases(node: Node) -> Iterator[Node]:
    """The node and all below it but exponents, the indices of roots, and what is below an operator."""
    yield node
    for arg in node.args[:1] if node.head in ("pow", "root") else () if node.head in _OPERATORS else node.args:
        yield from _bases(arg)


def pairs(node: Node) -> list[Pair]:
    """A chain of relations as its pairs."""
    found = []
    for sign, left, right in zip(node.value, node.args, node.args[1:], strict=False):
        found.append(Pair(FLIPPED[sign], right, left) if sign in FLIPPED else Pair(sign, left, right))
    return found


def same_pair(a: Pair, b: Pair, policy: Policy, test: Test, is_value: Callable[[Node], bool]) -> Verdict:
    """Whether two relations say the same; `test` compares sides that are no expressions."""
    if a == b:
        return Verdict("equal", "the same relation", "relation")
    if a.sign != b.sign:
        return Verdict("different", f"{_shown(a)} and {_shown(b)} are different kinds of relations", "relation")
    if a.sign in ("=", "!=", "<", "<=") and all(map(is_value, (a.left, a.right, b.left, b.right))):
        return _same_difference(a, b, policy)
    for swapped in (False, True) if a.sign in ("=", "!=", "~") else (False,):
        sides = (b.right, b.left) if swapped else (b.left, b.right)
        found = [test(a.left, sides[0]), test(a.right, sides[1])]
        if all(verdict.equal for verdict in found):
            return Verdict("equal", "both sides are the same", "relation")
    return Verdict("different", f"{_shown(b)} is not {_shown(a)}", "relation")


def _same_difference(a: Pair, b: Pair, policy: Policy) -> Verdict:
    f, g = difference(a.left, a.right), difference(b.left, b.right)
    found = proportional(f, g, policy)
    if found.outcome == "equal" and (a.sign in ("=", "!=") or found.sign > 0):
        return Verdict("equal", "both sides' differences are proportional", "relation")
    if found.outcome == "undecided" or (found.outcome == "equal" and found.sign == 0):
        return Verdict("undecided", found.why or "the order of the sides cannot be told", "relation")
    if found.outcome == "equal":
        return Verdict("different", f"{_shown(b)} points the other way than {_shown(a)}", "relation")
    fixed = next((pair for pair, side in ((a, f), (b, g)) if is_constant(side)), None)
    if fixed is not None:
        return Verdict("different", f"{_shown(fixed)} is no relation between unknowns, so only itself equals it")
    return Verdict("different", f"{_shown(b)} is not {_shown(a)}", "relation")


def difference(left: Node, right: Node) -> Node:
    return Node("add", (left, Node("neg", (right,))))


def _shown(pair: Pair) -> str:
    return written(Node("relation", (pair.left, pair.right), (pair.sign,)))
