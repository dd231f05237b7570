"""Cursor: where a parser stands among its tokens, and the levels of the grammar that lower ones come back to."""

from __future__ import annotations

from graders.math.reading.tokens import Token
from graders.math.tree import Node

DEEPEST = 40  # signs that hold others: at most 16 calls each, so that 300 frames of the caller leave room
LONGEST_CHAIN = 30  # operations that each enclose the one before, such as a/b/c
CLOSERS = frozenset(("", ")", "]", "}", "\\}", "end", "&", "\\\\", "right|", "right.", "cases}", ">>", ">", "||", "|"))


class Cursor:
    """A place among tokens. Each method that reads leaves the cursor behind what it read."""

    def __init__(self, found: list[Token], depth: int = 0) -> None:
        self.found = found
        self.at = 0
        self.depth = depth
        self.bars = 0  # open absolute values
        self.norms = 0
        self.integrals = 0
        self.reversed = 0  # open intervals of the form ]a, b[
        self.inside = 0  # brackets: a wide space separates nothing there; -1 in a set, where : and | are conditions
        self.groups = 0  # braces behind something: words of two or three letters are a product there
        self.rows = False  # in an environment: & and \\ part its cells
        self.bound = frozenset[str]()  # what runs in the sums around

    @property
    def kind(self) -> str:
        return self.found[self.at].kind

    def ahead(self, n: int) -> Token:
        """The n-th token from here; the last one beyond the end."""
        return self.found[min(self.at + n, len(self.found) - 1)]

    def kinds(self, *wanted: str) -> bool:
        """Whether the next tokens are of these kinds."""
        return [token.kind for token in self.found[self.at : self.at + len(wanted)]] == list(wanted)

    def take(self) -> Token:
        token = self.found[self.at]
        if not token.kind:
            raise ValueError("it ends where a value is expected")
        self.at += 1
        return token

    def accept(self, kind: str) -> bool:
        if self.found[self.at].kind == kind:
            self.at += 1
            return True
        return False

    def expect(self, kind: str) -> None:
        if not self.accept(kind):
            raise ValueError(f"{kind!r} is expected {self.place()}")

    def command(self, *names: str) -> bool:
        token = self.found[self.at]
        return token.kind == "command" and token.text in names

    def accept_command(self, *names: str) -> bool:
        if self.command(*names):
            self.at += 1
            return True
        return False

    def place(self) -> str:
        token = self.found[self.at]
        return f"before {token.text!r}" if token.kind else "at the end"

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")

    def modulus_ahead(self) -> bool:
        """Whether a bracket opens here with `mod`."""
        token = self.ahead(1)
        return token.text in ("mod", "bmod") and token.kind in ("command", "text", "font")

    # The levels of the grammar, from the loosest to the tightest.

    def sequence(self, closing: str) -> Node:
        raise NotImplementedError

    def statement(self) -> Node:
        raise NotImplementedError

    def chain(self) -> Node:
        raise NotImplementedError

    def relation(self) -> str:
        raise NotImplementedError

    def sets(self) -> Node:
        raise NotImplementedError

    def sum(self) -> Node:
        raise NotImplementedError

    def signed(self) -> Node:
        raise NotImplementedError

    def product(self) -> Node:
        raise NotImplementedError

    def signed_factor(self) -> Node:
        raise NotImplementedError

    def adjacent(self, left: list[Node]) -> Node:
        raise NotImplementedError

    def starts_factor(self) -> bool:
        raise NotImplementedError

    def factor(self) -> Node:
        raise NotImplementedError

    def postfixed(self, node: Node) -> Node:
        raise NotImplementedError

    def script(self, raised: bool = True) -> Node:
        raise NotImplementedError

    def group(self) -> Node:
        raise NotImplementedError

    def argument(self) -> Node:
        raise NotImplementedError

    def atom(self, single: bool = False) -> Node:
        raise NotImplementedError

    def subscripted(self, name: str) -> str:
        raise NotImplementedError

    def primes(self) -> int:
        raise NotImplementedError

    def subscript(self) -> str:
        raise NotImplementedError

    def has_comma(self) -> bool:
        raise NotImplementedError

    def named(self, name: str) -> Node:
        raise NotImplementedError

    def formula(self, text: str) -> Node:
        raise NotImplementedError

    def differential_ahead(self) -> bool:
        raise NotImplementedError
