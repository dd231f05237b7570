"""What a task's prompt shows: the examples that its reader can see."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

LONGEST = 2_000  # characters of one example
SIGN = re.compile(
    r"\s*(?:#\s*)?(?:==+>|=>|-+>|➞|→|==|=|should return|should be|returns|return|the (?:result|output) should be)?\s*"
)
SUM = re.compile(r"\s*[-+*/%=].*=")  # what stands between "20" and "13" in "20 - 7 = 13"
WORDS = re.compile(r"\b(true|false|null)\b")
PYTHON = {"true": "True", "false": "False", "null": "None"}


class Example(NamedTuple):
    """A call that a prompt shows, and the answer that it gives for it."""

    call: str
    answer: str


def examples(prompt: str, name: str) -> list[Example]:
    """The calls of `name` in a prompt whose arguments and answer are literals, in any of the usual spellings."""
    found = {}
    for match in re.finditer(rf"\b{re.escape(name)}\(", prompt):
        if prompt[: match.start()].endswith("def "):
            continue
        if (call := _call(prompt[match.start() :][:LONGEST])) is None:
            continue
        rest = prompt[match.start() + len(call) :][:LONGEST]
        if (answer := _answer(rest)) is not None:
            found.setdefault(call, Example(call, answer))
    return list(found.values())


def _call(text: str) -> str | None:
    """The call that a text begins with, if all its arguments are literals."""
    for end in _ends(text, ")"):
        try:
            call = ast.parse(text[:end], mode="eval").body
        except (SyntaxError, ValueError):
            continue
        if not isinstance(call, ast.Call):
            return None
        literals = [_literal(ast.unparse(value)) for value in [*call.args, *(word.value for word in call.keywords)]]
        return None if None in literals else text[:end]
    return None


def _answer(text: str) -> str | None:
    """The literal that stands behind a call, on the same line or the next."""
    sign = SIGN.match(text)
    assert sign is not None
    if not sign[0]:
        return None
    rest = text[sign.end() :].partition("\n")[0]
    for end in [len(rest), *reversed([match.start() for match in re.finditer(r"[\s.,;#]", rest)])]:
        if (answer := _literal(rest[:end].strip())) is not None:
            total = SUM.match(rest[end:])
            return answer if total is None else _literal(rest[end + total.end() :].strip())
    return None


def _ends(text: str, mark: str) -> Iterator[int]:
    return (place + 1 for place, character in enumerate(text) if character == mark)


def _literal(text: str) -> str | None:
    """The text, if it is a literal of Python, or of the languages that docstrings borrow from."""
    for spelling in (text, WORDS.sub(lambda word: PYTHON[word[0]], text)):
        try:
            ast.literal_eval(spelling)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return spelling
    return None
