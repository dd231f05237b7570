"""Labels: the words behind a value that are no unit. What was counted does not matter, a pair of opposites does.

`5 apples` is 5 fruits, but a profit is no loss and 5 AM not 5 PM. In a list whose entries are labelled with the same
different words on both sides, each value goes with its words: 15 hearts and 3 spades.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from graders.math.tree import Node

_OPPOSITES = """am|pm
ad ce|bc bce
increase increases increased rise rises rose up upward upwards growth|decrease decreases decreased drop drops dropped \
    fall falls fell down downward downwards reduction decline
profit profits gain gains gained surplus|loss losses lost deficit shortage
north northward northwards northern|south southward southwards southern
east eastward eastwards eastern|west westward westwards western
left leftward leftwards|right rightward rightwards
above over|below beneath under
clockwise|counterclockwise anticlockwise
ahead forward forwards|behind backward backwards back
before earlier early|after later late
faster quicker|slower
higher taller|lower shorter
longer|shorter
larger bigger greater|smaller
older|younger
heavier|lighter
warmer hotter|colder cooler
inside|outside
inward inwards|outward outwards
credit deposit deposited|debit withdrawal withdrawn
positive|negative
win wins won|loss losses lost
"""


def _table() -> dict[str, dict[str, int]]:
    """For each word the pairs it stands in, each with its side."""
    table: dict[str, dict[str, int]] = {}
    for pair in _OPPOSITES.strip().splitlines():
        for side, words in enumerate(pair.split("|")):
            for word in words.split():
                table.setdefault(word, {})[pair] = side
    return table


_SIDES: Final = _table()


def words(label: str) -> list[str]:
    """The words of a label in lower case, without stops: `a.m.` is am."""
    apart = (char if char.isalnum() else "" if char in ".'’" else " " for char in label.casefold())
    return "".join(apart).split()


def opposite(a: str, b: str) -> bool:
    """Whether two labels say the opposite of each other."""
    mine, other = _sides(a), _sides(b)
    return any({side, other.get(pair)} == {0, 1} for pair, side in mine.items())


def _sides(label: str) -> dict[str, int | None]:
    """The pairs whose words the label holds, with the side; None where it holds words of both sides."""
    found: dict[str, int | None] = {}
    for word in words(label):
        for pair, side in _SIDES.get(word, {}).items():
            found[pair] = side if found.get(pair, side) == side else None
    return found


def label_of(node: Node) -> str:
    """The words behind a value, under its sign or its name; "" where it has none."""
    while node.head in ("labelled", "neg", "quantity", "percent", "named"):
        if node.head == "labelled":
            return str(node.value)
        node = node.args[-1]
    return ""


def by_label(xs: Sequence[Node], ys: Sequence[Node]) -> tuple[list[Node], list[Node]] | None:
    """The entries of two lists in the order of their labels; None unless both have the same labels, each but once."""
    if len(xs) != len(ys) or len(xs) < 2:
        return None
    mine, other = (dict(_labelled(entries)) for entries in (xs, ys))
    if len(mine) < len(xs) or mine.keys() != other.keys():
        return None
    return [mine[label] for label in mine], [other[label] for label in mine]


def _labelled(entries: Sequence[Node]) -> Iterator[tuple[tuple[str, ...], Node]]:
    for entry in entries:
        said = tuple(words(label_of(entry)))
        if said:
            yield said, entry
