"""Prefix tree: sequences that begin alike share those tokens (Fredkin 1960), so that they are run once."""

from __future__ import annotations

from collections.abc import Iterable


class PrefixTree:
    """Tokens, each with the one that it comes after.

    >>> tree = PrefixTree()
    >>> tree.add([7, 8, 9]), tree.add([7, 8, 5]), tree.tokens
    ([0, 1, 2], [0, 1, 3], [7, 8, 9, 5])
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.places: list[int] = []  # of each token, how many come before it
        self.parents: list[int] = []  # of each token, the one before it; -1 of a first one
        self._known: dict[tuple[int, int], int] = {}

    def __len__(self) -> int:
        return len(self.tokens)

    def add(self, tokens: Iterable[int], after: int = -1) -> list[int]:
        """Where the tokens of one more sequence stand, which goes on from the token at `after`."""
        at, path = after, []
        for token in tokens:
            if (found := self._known.get((at, token))) is None:
                found = self._known[at, token] = len(self.tokens)
                self.tokens.append(token)
                self.places.append(self.places[at] + 1 if at >= 0 else 0)
                self.parents.append(at)
            path.append(at := found)
        return path
