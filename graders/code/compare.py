"""Comparing what code is said to have returned or printed with what is expected.

A claim is compared in the encoded form in which it arrived (`graders.sandbox.jail.plain`) and never made into an object
with methods, or into a set or a dictionary: what a candidate chose could be slow to hash. Both sides get one canonical
form, nested tuples with the entries of sets and dictionaries in order.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from graders.code.display import short_text
from graders.sandbox.jail.plain import DEEPEST
from graders.structured.assignment import best_matching

Numbers = Literal["strict", "equal"]
Order = Literal["written", "free"]
Sequences = Literal["strict", "equal"]
Whitespace = Literal["trailing", "exact", "free"]

Tree: TypeAlias = tuple[Any, ...]
"""A value in canonical form: its rank, then what it holds."""

NONE, BOOL, NUMBER, NAN, TEXT, BYTES, BYTEARRAY, COMPLEX, LIST, TUPLE, SET, FROZENSET, DICT = range(13)
LISTS = {"list": LIST, "tuple": TUPLE, "set": SET, "frozenset": FROZENSET}
MATCHED = 64  # entries without an order that are tried against each other, where sorting does not pair them
STEPS = 200_000  # of one comparison within a tolerance, besides a few for each value that is expected
DECIMAL = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,4})?", re.ASCII)
WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
BLANKS = " \t\r\f\v"


class Rules(NamedTuple):
    """What counts as the same. Tolerances are for floats: the larger of `abs_tol` and `rel_tol` times the expected."""

    numbers: Numbers = "strict"
    order: Order = "written"
    whitespace: Whitespace = "trailing"
    rel_tol: float = 0.0
    abs_tol: float = 0.0
    sequences: Sequences = "strict"

    @property
    def exact(self) -> bool:
        return not (self.rel_tol or self.abs_tol)

    @property
    def of_keys(self) -> Rules:
        """The rules of what is in a set, or is a dictionary's key: no list can be there."""
        return self._replace(sequences="strict") if self.sequences == "equal" else self


def canonical(data: Any, rules: Rules, depth: int = 0) -> Tree:
    """The canonical form of an encoded value. Raises ValueError for data that encode none."""
    kind = type(data)
    if data is None:
        return (NONE,)
    if kind is bool:
        return BOOL, data
    if kind is str:
        return TEXT, data
    if kind is int or kind is float:
        return _number(data, rules)
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    if kind is list:
        return _entries(LIST, data, rules, depth)
    if kind is not dict or len(data) != 1:
        raise ValueError("an object that names no type")
    ((name, held),) = data.items()
    if name == "dict":
        return DICT, tuple(sorted(_pairs(held, rules, depth)))
    if name in LISTS and type(held) is list:
        rank = LIST if name == "tuple" and rules.sequences == "equal" else LISTS[name]
        return _entries(rank, held, rules, depth)
    if name == "complex" and type(held) is list and len(held) == 2 and all(type(part) is str for part in held):
        return COMPLEX, *(_number(float(part[:40]), rules) for part in held)
    if type(held) is str:
        return _scalar(name, held, rules)
    raise ValueError(f"no value of the type {name!r:.50}")


def _scalar(name: str, held: str, rules: Rules) -> Tree:
    if name == "str":
        return TEXT, bytes.fromhex(held).decode("utf-8", "surrogatepass")
    if name == "int":
        return _number(int(held, 16), rules)
    if name == "float" and held in ("nan", "inf", "-inf"):
        return _number(float(held), rules)
    if name in ("bytes", "bytearray"):
        return (BYTES if name == "bytes" else BYTEARRAY), bytes.fromhex(held)
    raise ValueError(f"no value of the type {name!r:.50}")


def _number(value: int | float, rules: Rules) -> Tree:
    if value != value:
        return (NAN,)
    return (NUMBER, value) if rules.numbers == "equal" else (NUMBER, value, type(value).__name__)


def _entries(rank: int, held: list[Any], rules: Rules, depth: int) -> Tree:
    inner = rules.of_keys if rank in (SET, FROZENSET) else rules
    entries = [canonical(entry, inner, depth + 1) for entry in held]
    return rank, tuple(sorted(entries) if _unordered(rank, rules) else entries)


def _unordered(rank: int, rules: Rules) -> bool:
    return rank in (SET, FROZENSET) or (rank == LIST and rules.order == "free")


def _pairs(held: Any, rules: Rules, depth: int) -> Iterator[tuple[Tree, Tree]]:
    if type(held) is not list:
        raise ValueError("a dictionary is a list of pairs")
    for pair in held:
        if type(pair) is not list or len(pair) != 2:
            raise ValueError("a dictionary is a list of pairs")
        yield canonical(pair[0], rules.of_keys, depth + 1), canonical(pair[1], rules, depth + 1)


def size(data: Any, most: int) -> int:
    """How many values encoded data hold, those inside others included; counted up to one above `most`."""
    count, left = 0, [data]
    while left and count <= most:
        entry = left.pop()
        count += 1
        if type(entry) is list:
            left += entry
        elif type(entry) is dict:
            for held in entry.values():
                left += held if type(held) is list else ()
    return count


class Expected:
    """An expected value, encoded, ready to be compared with claims. Raises ValueError for data that encode none."""

    def __init__(self, data: Any, rules: Rules) -> None:
        self.data, self.rules = data, rules
        self.size = size(data, 2**62)
        self.tree = canonical(data, rules)

    def is_met_by(self, claim: Any) -> bool:
        """Whether a claim is the same value under the rules. Raises ValueError for data that encode none.

        It takes time in proportion to the size of what is expected, however large the claim.
        """
        if size(claim, self.size) != self.size:
            return False
        tree = canonical(claim, self.rules)
        return tree == self.tree or (not self.rules.exact and _Near(self.rules, self.size).holds(self.tree, tree))

    def hint(self, claim: Any) -> str:
        """What would have let in a claim that is not the same; "" where nothing simple would. Raises as `is_met_by`."""
        if size(claim, self.size) != self.size:
            return ""
        for change, text in RELAXED:
            if Expected(self.data, self.rules._replace(**change)).is_met_by(claim):
                return text
        return TEXT_KEYS if self.is_met_by(_with_text_keys(claim)) else ""


RELAXED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"numbers": "equal"}, 'numbers="equal" takes either'),
    ({"sequences": "equal"}, 'a list and a tuple differ: sequences="equal" takes either, expected_typed says which'),
    ({"numbers": "equal", "sequences": "equal"}, 'numbers="equal" with sequences="equal" takes either'),
)
TEXT_KEYS = "keys of a JSON object are text: expected_typed holds others"


def _with_text_keys(data: Any) -> Any:
    """An encoded value, the whole numbers among its dictionaries' keys made text, as JSON has them."""
    if type(data) is list:
        return [_with_text_keys(entry) for entry in data]
    if type(data) is not dict:
        return data
    if type(pairs := data.get("dict")) is list:
        return {"dict": [[_text_key(key), _with_text_keys(value)] for key, value in pairs]}
    return {name: _with_text_keys(held) for name, held in data.items()}


def _text_key(key: Any) -> Any:
    return str(key) if type(key) is int and abs(key) < 2**63 else key


class _Near:
    """Equality within a tolerance, in a number of steps that the size of what is expected bounds."""

    def __init__(self, rules: Rules, size: int) -> None:
        self.rules = rules
        self.left = STEPS + 4 * size

    def holds(self, expected: Tree, claimed: Tree) -> bool:
        self.left -= 1
        rank = expected[0]
        if rank != claimed[0] or len(expected) != len(claimed) or self.left < 0:
            return False
        if rank == NUMBER:
            return expected[2:] == claimed[2:] and near(expected[1], claimed[1], self.rules)
        if rank == COMPLEX:
            return self._all(expected[1:], claimed[1:])
        if rank == DICT:
            return len(expected[1]) == len(claimed[1]) and all(
                key == other and self.holds(value, found)
                for (key, value), (other, found) in zip(expected[1], claimed[1], strict=True)
            )
        if rank in LISTS.values():
            return self._all(expected[1], claimed[1]) or (
                _unordered(rank, self.rules) and self._matched(expected[1], claimed[1])
            )
        return expected == claimed

    def _all(self, expected: Sequence[Tree], claimed: Sequence[Tree]) -> bool:
        return len(expected) == len(claimed) and all(map(self.holds, expected, claimed))

    def _matched(self, expected: Sequence[Tree], claimed: Sequence[Tree]) -> bool:
        count = len(expected)
        if count != len(claimed) or count > MATCHED:
            return False
        fits = [[float(self.holds(one, other)) for other in claimed] for one in expected]
        return len(best_matching(fits)) == count


def near(expected: int | float, claimed: int | float, rules: Rules) -> bool:
    """Whether two numbers are the same within the tolerance; whole numbers and infinities exactly.

    >>> near(1.0, 1.0005, Rules(abs_tol=0.001)), near(1, 2, Rules(abs_tol=9.0)), near(math.inf, 1.0, Rules(rel_tol=0.5))
    (True, False, False)
    """
    if expected == claimed:
        return True
    if type(expected) is int and type(claimed) is int:
        return False
    try:
        goal, found = float(expected), float(claimed)
    except OverflowError:
        return False
    if not (math.isfinite(goal) and math.isfinite(found)):
        return False
    return abs(goal - found) <= max(rules.abs_tol, rules.rel_tol * abs(goal))


# Printed output


def printed_difference(expected: str, printed: str, rules: Rules) -> str:
    """Where what was printed differs from what is expected, as a clause; "" where it is the same."""
    if rules.whitespace == "free":
        wanted, found, what = expected.split(), printed.split(), "word"
    else:
        wanted, found, what = _lines(expected, rules), _lines(printed, rules), "line"
    for number, (line, other) in enumerate(zip(wanted, found, strict=False), start=1):
        if not (line == other or _same_words(line, other, rules)):
            return f"{what} {number} of what it printed is {short_text(other)}; expected {short_text(line)}"
    if len(wanted) != len(found):
        if not found:
            return f"it printed nothing; expected {short_text(expected)}"
        more = f"{len(found):,} {what}{'s' * (len(found) != 1)}"
        return f"it printed {more} where {len(wanted):,} {'is' if len(wanted) == 1 else 'are'} expected"
    return ""


def _lines(text: str, rules: Rules) -> list[str]:
    lines = text.split("\n")
    if rules.whitespace == "exact":
        return lines
    lines = [line.rstrip(BLANKS) for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_words(expected: str, printed: str, rules: Rules) -> bool:
    """Whether two lines differ only in decimal numbers, and these are within the tolerance."""
    if rules.exact or len(printed) > 2 * len(expected) + 1000:
        return False
    wanted, found = re.split(r"(\s+)", expected), re.split(r"(\s+)", printed)
    return len(wanted) == len(found) and all(
        word == other or _near_words(word, other, rules) for word, other in zip(wanted, found, strict=True)
    )


def _near_words(expected: str, printed: str, rules: Rules) -> bool:
    if not (DECIMAL.fullmatch(expected) and DECIMAL.fullmatch(printed)):
        return False
    goal, found = (int(word) if WHOLE.fullmatch(word) else float(word) for word in (expected, printed))
    return near(goal, found, rules)
