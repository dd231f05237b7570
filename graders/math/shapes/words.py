"""Answers in words: what is left of them without case and punctuation, and the few that mean mathematics.

Words are compared, never understood, but for a small table: "no solution" is the empty set, "all real numbers" is R.
A single letter keeps its case, since it may be a symbol; `\\text{E}`, `E` and `(E)` are the same letter.
"""

from __future__ import annotations

from typing import Final

from graders.math.tree import Node

EMPTY: Final = Node("domain", (), "empty")
REALS: Final = Node("domain", (), "R")

_EMPTY = """no solution|no solutions|no real solution|no real solutions|there is no solution|there are no solutions
none|no such number|no such numbers|empty|empty set|the empty set|null set|has no solution|has no solutions
no integer solutions|no roots|no real roots"""
_REALS = """all reals|all real numbers|all real number|the real numbers|real numbers|reals|the reals|any real number
every real number|all real|the set of real numbers|the set of all real numbers|all real values|all x|all real x
all real numbers x|all values|any real"""
_SAME = {
    "infinitely many": """infinitely many|infinitely many solutions|infinite solutions|infinite|infinite many
        infinite number of solutions|there are infinitely many|there are infinitely many solutions
        an infinite number|infinitely many values|an infinite number of solutions""",
    "does not exist": """does not exist|dne|doesnt exist|do not exist|no limit|it does not exist|limit does not exist
        the limit does not exist|nonexistent""",
    "undefined": "undefined|is undefined|not defined|it is undefined|is not defined",
    "impossible": "impossible|not possible|it is impossible|it is not possible",
    "diverges": "diverges|divergent|diverge|it diverges|the series diverges",
    "converges": "converges|convergent|it converges|the series converges",
}


def _spellings(text: str) -> list[str]:
    return [" ".join(words.split()) for line in text.splitlines() for words in line.split("|")]


_MEANT: Final = dict.fromkeys(_spellings(_EMPTY), "") | dict.fromkeys(_spellings(_REALS), "R")
_CANONICAL: Final = {words: kept for kept, text in _SAME.items() for words in _spellings(text)}


def plain(text: str) -> str:
    """The words, lower-case, with one space between them and nothing else; one letter alone keeps its case."""
    apart = "".join(" " if not (char.isalnum() or char in "'’") else char for char in text)
    words = apart.replace("'", "").replace("’", "").split()
    if len(words) == 1 and len(words[0]) == 1:
        return words[0]
    joined = " ".join(words).casefold()
    return _CANONICAL.get(joined, joined)


def meant(node: Node) -> Node:
    """A text as what it means: the empty set, the reals, the symbol of one letter; else the text as it is."""
    words = plain(node.value)
    meaning = _MEANT.get(words)
    if meaning is not None:
        return REALS if meaning else EMPTY
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
