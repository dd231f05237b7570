"""A function of a word that remembers its answers: texts repeat their words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

MOST, LONGEST = 1 << 15, 32  # words, and their letters: so that hostile texts do not fill the memory


class Remembered(dict[str, T], Generic[T]):
    """`Remembered(f)[word]` is `f(word)`; a look-up in a dict is several times as fast as a cached call."""

    def __init__(self, function: Callable[[str], T]) -> None:
        self.function = function

    def __missing__(self, word: str) -> T:
        answer = self.function(word)
        if len(word) <= LONGEST:
            if len(self) >= MOST:
                self.clear()
            self[word] = answer
        return answer
