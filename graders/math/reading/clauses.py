"""Clauses: names in words before a value, conditions and comments behind it.

What it decides: `\\text{Total} = 42`, `Maximum value: 42` and `\\text{The vertex is } (2, 3)` name their value, unless
the words deny it. Behind a statement outside brackets a clause that starts with where, for, when, if or \\forall is its
condition, so is a bracket that holds an inequality or a membership; of comments a small table is known.
"""

from __future__ import annotations

import re

from graders.math.reading.letters import ENDS, is_word
from graders.math.reading.spelling import RELATION_SIGNS
from graders.math.reading.terms import Terms
from graders.math.tree import Node

_LONGEST = 80  # tokens of a condition in words
_WORDED = frozenset(("text", "word", "letter", "prime", ".", "font"))
_ABOUT = frozenset("approximately approx about around roughly exactly".split())  # noqa: SIM905
_DENIED = frozenset(
    """not no never cannot neither nor wrong incorrect false if unless without except rejected than least most or and
    if either between""".split()  # noqa: SIM905
)
_NAMING = frozenset(("is", "are", "equals", "was"))
_CLAUSE = re.compile(r"[\s(,]{0,4}(?:where|for|when|if|whenever|provided|with)(?:\s|$)", re.I)
_COMMENT = re.compile(
    r"[\s(,]{0,4}(?:approximately|approx\.?|minimal|maximal|minimum|maximum|exactly|rounded|as required|"
    r"is (?:the |a |an )?(?:smallest|largest|least|greatest|minimum|maximum|minimal|maximal|answer|constant))"
    r"[^=<>\\\d]{0,60}",
    re.I,
)
_OTHERWISE = frozenset("else otherwise but not or except unless and".split())  # noqa: SIM905
_CONDITIONS = frozenset(("in", "notin", "<", ">", "<=", ">=", "!="))


class Clauses(Terms):
    """Reads the words around a value."""

    def skip_words(self) -> None:
        """Words before a value that say how near it is."""
        token = self.found[self.at]
        if token.kind in ("text", "word") and token.text.strip(" .~:").lower() in _ABOUT and self.ahead(1).kind:
            self.at += 1
            self.accept(".")

    def named_value(self) -> Node | None:
        """A name in words with the value behind `=`, `:` or "is"; nothing is read where no such name stands here."""
        start, words = self.at, list[str]()
        while self.kind in _WORDED and len(words) < 30:
            words.append(self.take().text.strip())
            if self.kind == "_":
                self.at += 1
                self.subscript()
        said = " ".join(words)
        parts = re.findall(r"[^\W\d_]+", said.lower())
        plain = said.replace("$", "").strip()
        signed = self.kind in ("=", ":") and not plain.endswith((":", "="))
        closed = plain.endswith((":", "=")) or (bool(parts) and parts[-1] in _NAMING)
        name = plain.rstrip(" :=.")
        known = any(len(word) > 2 for word in parts) and not _DENIED.intersection(parts)
        if (
            not (signed or closed)
            or not known
            or any(sign in "0123456789=\\" for sign in name)
            or not self.is_name(start, words)
        ):
            self.at = start
            return None
        if signed:
            self.at += 1
        if self.kind in ENDS:
            self.at = start
            return None
        self.deeper()
        value = self.chain()
        self.depth -= 1
        parts_of = (Node("text", (), name), *(value.args if _is_equation(value) else (value,)))
        return Node("relation", parts_of, tuple(["="] * (len(parts_of) - 1)))

    def is_name(self, start: int, words: list[str]) -> bool:
        """Whether the words read from `start` on are words, not letters of a formula."""
        if self.found[start].kind == "font" and not any(len(word) > 3 and is_word(word) for word in words):
            return False
        return self.found[start].kind == "text" or any(is_word(word) and len(word) > 2 for word in words)

    def clause(self, items: list[Node]) -> Node | None:
        """The condition or comment that stands here behind a statement; nothing is read where none does."""
        start = self.at
        while self.kind in ("wide", ","):
            self.at += 1
        node = self.condition(items) if self.kind else None
        if node is None:
            self.at = start
        return node

    def condition(self, items: list[Node]) -> Node | None:
        token = self.found[self.at]
        if token.kind == "(" and self.holds_condition():
            return self.bracketed()
        if self.accept_command("forall"):
            return self.membership(items)
        if token.kind not in ("text", "word", "("):
            return None
        opened = token.kind == "("
        text = self.ahead(1).text if opened else token.text
        if token.kind == "word" or (opened and self.ahead(1).kind == "word"):
            following = self.ahead(1 + opened)
            text = f"{text} {following.text}" if following.kind in ("word", "letter") else f"{text} "
        if _CLAUSE.match(text):
            if items[-1].head == "text":
                return None
            return self.membership(items) if not opened else None
        if items[-1].head != "text" and _COMMENT.fullmatch(text.strip() + " ") and self.comment_ends(opened):
            said = self.remaining()
            return Node("text", (), said)
        return None

    def comment_ends(self, opened: bool) -> bool:
        """Whether nothing but words stands behind the comment here."""
        kinds = {token.kind for token in self.found[self.at : -1][:_LONGEST]}
        return len(self.found) - self.at <= _LONGEST and kinds <= (
            {"text", "word", ".", "(", ")"} if opened else {"text", "word", "."}
        )

    def membership(self, items: list[Node]) -> Node | None:
        """What stands behind where, for or \\forall: a statement of its own, else the words to the end."""
        start, depth = self.at, self.depth
        token = self.found[start]
        if token.kind in ("text", "word"):
            self.at += 1
            while self.kind in ("text", "word") and self.found[self.at].text.strip().lower() in _FILLERS:
                self.at += 1
        try:
            if _CLAUSE.fullmatch(token.text.strip(" ,") + " ") or token.kind in ("word", "letter", "command"):
                node = self.chain()
                if node.head == "relation" and self.kind in ("", ",", "wide", ";", "join"):
                    return node
        except ValueError:
            self.depth = depth
        self.at = start
        if len(self.found) - start > _LONGEST:
            return None
        said = self.remaining()
        if not _OTHERWISE.isdisjoint(re.findall(r"[^\W\d_]+", said.lower())) or "," in said.strip(", "):
            self.at = start
            return None
        return Node("text", (), said)

    def remaining(self) -> str:
        """What is left of the text, read, in words."""
        words = list[str]()
        while self.kind:
            words.append(self.take().text)
        return " ".join(words).strip(" ,()")

    def holds_condition(self) -> bool:
        """Whether the bracket here holds an inequality or a membership."""
        depth = 0
        for token in self.found[self.at : self.at + 60]:
            kind = token.kind
            if kind == "," and depth == 1:
                return False
            depth += (kind in ("(", "[", "{", "\\{")) - (kind in (")", "]", "}", "\\}"))
            if depth == 1 and RELATION_SIGNS.get(token.text if kind == "command" else kind) in _CONDITIONS:
                return True
            if depth <= 0:
                return False
        return False

    def starts_factor(self) -> bool:
        token = self.found[self.at]
        if token.kind == "(" and not self.inside and (self.kinds("(", "text", ")") or self.holds_condition()):
            return False
        if token.kind == "word" and not self.inside and token.text.lower() in _CONDITIONAL:
            return False
        return super().starts_factor()


_CONDITIONAL = frozenset(("where", "for", "when", "if", "whenever", "provided"))
_FILLERS = frozenset(("all", "every", "any", "each", "some", "integer", "real", "and"))


def _is_equation(node: Node) -> bool:
    return node.head == "relation" and set(node.value) == {"="}
