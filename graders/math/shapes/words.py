"""Answers in words: what is left of them without case and punctuation, and the few that mean mathematics.

Words are compared, never understood, but for small tables: "no solution" is the empty set, "all real numbers" is R,
"seven" is 7, "the first quadrant" is "Quadrant I". A single letter keeps its case, since it may be a symbol;
`\\text{E}`, `E` and `(E)` are the same letter.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from graders.math.shapes import labels
from graders.math.tree import Node, number

EMPTY: Final = Node("domain", (), "empty")
REALS: Final = Node("domain", (), "R")
_INFINITY: Final = Node("constant", (), "inf")

_EMPTY = """no solution|no solutions|no real solution|no real solutions|none|no such number|no such numbers|empty
empty set|null set|no integer solution|no integer solutions|no roots|no real roots"""
_REALS = """all reals|all real numbers|all real number|real numbers|reals|any real number|every real number|all real
set of real numbers|set of all real numbers|all real values|all x|all real x|all real numbers x|all values|any real"""
_INFINITE = """infinitely many|infinitely many solutions|infinite solutions|infinite|infinite many
infinitely many values|infinite number of solutions|infinite number"""
_NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty"""
_SAME = {
    "infinitely many": _INFINITE,
    "undefined": """undefined|not defined|does not exist|do not exist|dne|doesnt exist|dont exist|no limit|nonexistent
        there is no limit""",
    "impossible": "impossible|not possible",
    "diverges": "diverges|divergent|diverge",
    "converges": "converges|convergent|converge",
    "quadrant 1": "first quadrant|1st quadrant|quadrant i|quadrant one",
    "quadrant 2": "second quadrant|2nd quadrant|quadrant ii|quadrant two",
    "quadrant 3": "third quadrant|3rd quadrant|quadrant iii|quadrant three",
    "quadrant 4": "fourth quadrant|4th quadrant|quadrant iv|quadrant four",
}
_SUBJECTS: Final = frozenset(
    """system equation equations inequality problem series sequence limit integral function expression it value slope
    quantity""".split()  # noqa: SIM905 - a table of words
)
_VERBS: Final = frozenset(("is", "are", "has", "have"))
_ARTICLES: Final = frozenset(("a", "an", "the"))
_VERDICTS: Final = frozenset(("yes", "no", "true", "false"))
_DOUBTS: Final = _VERDICTS | frozenset("not or but and maybe perhaps unless except if".split())  # noqa: SIM905
_OPPOSITES: Final = (
    "even odd|minimal maximal|minimum maximum|smallest largest|least greatest|least most|increasing decreasing"
    "|rational irrational|real imaginary|convex concave"
)


def _spellings(text: str) -> list[str]:
    return [" ".join(words.split()) for line in text.splitlines() for words in line.split("|")]


_MEANT: Final[dict[str, Node]] = (
    dict.fromkeys(_spellings(_EMPTY), EMPTY)
    | dict.fromkeys(_spellings(_REALS), REALS)
    | dict.fromkeys(("infinity", "positive infinity", "plus infinity"), _INFINITY)
    | dict.fromkeys(("negative infinity", "minus infinity"), Node("neg", (_INFINITY,)))
    | {word: number(value) for value, word in enumerate(_NUMBERS.split())}
)
_CANONICAL: Final = {words: kept for kept, text in _SAME.items() for words in _spellings(text)}
_KNOWN: Final = _MEANT.keys() | _CANONICAL.keys()


def plain(text: str) -> str:
    """The words, lower-case, without articles, with one space between them and nothing else; one letter alone keeps
    its case."""
    apart = "".join(" " if not (char.isalnum() or char in "'’") else char for char in text)
    words = apart.replace("'", "").replace("’", "").split()
    if len(words) < 2 and len("".join(words)) < 2:
        return "".join(words)
    following = [*words[1:], ""]
    kept = [word.casefold() for word, after in zip(words, following, strict=True) if not _is_article(word, after)]
    joined = " ".join(kept)
    joined = joined if joined in _KNOWN else _predicate(kept) or joined
    return _CANONICAL.get(joined, joined)


def _is_article(word: str, following: str) -> bool:
    """Whether it is an article before a word; a capital A may be a name."""
    if word.lower() not in _ARTICLES or not following:
        return False
    return word != "A" or len(following) > 3


def _predicate(words: list[str]) -> str:
    """What is said of a system, a series and such, in words that the tables know; "" for other words."""
    left = words
    if left[:2] in (["there", "is"], ["there", "are"]):
        left = left[2:]
    elif left and left[0] in _SUBJECTS:
        left = left[1:]
    if left and left[0] in _VERBS:
        left = left[1:]
    said = " ".join(left)
    if said in _KNOWN:
        return said
    shorter = " ".join(left[:-1]) if left and left[-1] in ("exist", "exists") else " ".join(left[1:])
    known = left and (left[-1] in ("exist", "exists") or left[0] == "in")
    return shorter if known and shorter in _KNOWN else ""


def meant(node: Node) -> Node:
    """A text as what it means: the empty set, the reals, a number, the symbol of one letter; else as it is."""
    words = plain(node.value)
    meaning = _MEANT.get(words)
    if meaning is not None:
        return meaning
    if len(words) == 1 and words.isalpha():
        return Node("constant", (), words) if words in "ei" else Node("symbol", (), words)
    return node


def spelled(node: Node) -> str | None:
    """The word that an expression spells, such as the product `o d d`; None if it is no mere letters."""
    if node.head == "mul" and isinstance(node.value, str):
        return node.value
    if node.head in ("symbol", "constant"):
        return str(node.value)
    return None


def clashing(first: Iterable[str], second: Iterable[str]) -> frozenset[str]:
    """The runs of capitals of which the other side has the same letters in another order: SAS is not SSA."""
    mine, other = ({"".join(sorted(run)): set[str]() for run in runs} for runs in (first, second))
    for table, runs in ((mine, first), (other, second)):
        for run in runs:
            table["".join(sorted(run))].add(run)
    apart = [mine[key] | other[key] for key in mine.keys() & other.keys() if mine[key] != other[key]]
    return frozenset().union(*apart)


def as_words(node: Node, runs: frozenset[str]) -> Node:
    """The tree with these runs of capitals as one symbol each."""
    if node.head == "mul" and node.value in runs:
        return Node("symbol", (), node.value)
    return Node(node.head, tuple([as_words(arg, runs) for arg in node.args]), node.value) if node.args else node


def agree(first: str, second: str) -> bool:
    """Whether two texts are the same words, or one of them "yes", "no", "true" or "false" and the other that with its
    reason behind it: "Yes, it is prime"."""
    mine, other = plain(first), plain(second)
    return mine == other or mine == _verdict(second, mine) or other == _verdict(first, other)


def _verdict(text: str, word: str) -> str:
    """The word where the text begins with it, a sign of punctuation follows and then no doubt; else ""."""
    head = text.strip()[: len(word)].casefold()
    rest = text.strip()[len(word) :].lstrip()
    if word not in _VERDICTS or head != word or rest[:1] not in (",", ".", ";", ":", "-", "–", "—"):
        return ""
    return word if _DOUBTS.isdisjoint(plain(rest).split()) else ""


def opposite(first: str, second: str) -> bool:
    """Whether one of two texts says a word of which the other says the opposite."""
    if labels.opposite(first, second):
        return True
    mine, other = set(plain(first).split()), set(plain(second).split())
    for pair in _OPPOSITES.split("|"):
        one, two = pair.split()
        for these, those in ((mine, other), (other, mine)):
            if one in these and two in those and one not in those and two not in these:
                return True
    return False
