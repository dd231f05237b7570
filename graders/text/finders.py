"""Finding the parts of an output: its thinking, boxes, code fences, and paths into its JSON. Scores nothing.

Each finder reads its text once: time is linear in its length.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from graders.template import STEP

BOX_TOKEN = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)  # \{ and \} are letters, not braces
FENCE_LINE = re.compile(r" {0,3}(?:(?P<ticks>`{3,})(?P<info>[^`]*)|(?P<tildes>~{3,})(?P<more>.*))", re.DOTALL)
JSON_PATH = re.compile(r"(?:\.[\w-]+|\[-?\d+\])+")


def without_thinking(text: str, name: str = "think") -> str:
    """The text without its thinking part: what follows the last `</think>`, up to a `<think>` that stays open.

    `<thinking>` is read in the same way, and so is `name` where the tag has another. The opening tag may be missing,
    as where a chat template holds it.

    >>> without_thinking("<think>A or B?</think>B")
    'B'
    """
    if name not in text:
        return text
    opening, closing = _tags(name)
    start = 0
    for end in closing.finditer(text):
        start = end.end()
    unclosed = opening.search(text, start)
    return text[start : unclosed.start()] if unclosed else text[start:]


@lru_cache
def _tags(name: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    tag = "think(?:ing)?" if name == "think" else re.escape(name)
    return re.compile(f"<{tag}>"), re.compile(f"</{tag}>")


class Boxes(NamedTuple):
    """What the outermost `\\boxed{...}` hold, and whether one more is never closed."""

    contents: list[str]
    unclosed: bool


def boxes(text: str) -> Boxes:
    """Every `\\boxed{...}` with balanced braces; a box inside a box is part of the outer one.

    >>> boxes("so \\\\boxed {\\\\frac{1}{2}}").contents
    ['\\\\frac{1}{2}']
    """
    if "\\boxed" not in text:
        return Boxes([], False)
    found: list[tuple[int, int]] = []
    opened: list[int] = []  # where the content of each open brace starts; -1 for a brace that is no box
    for token in BOX_TOKEN.finditer(text):
        mark = token[0]
        if mark[-1] == "{" and mark != "\\{":
            opened.append(token.end() if len(mark) > 1 else -1)
        elif mark == "}" and opened and (start := opened.pop()) >= 0:
            while found and found[-1][0] > start:
                found.pop()
            found.append((start, token.start()))
    return Boxes([text[start:end].strip() for start, end in found], any(start >= 0 for start in opened))


class FencedBlock(NamedTuple):
    """A code fence: the first word behind its opening marks, its lines, and where it begins and ends in the text."""

    language: str
    content: str
    start: int
    end: int
    closed: bool

    def is_in(self, language: str) -> bool:
        """Whether it is marked with this language, case ignored; "" is any."""
        return not language or self.language.casefold() == language.casefold()


def fences(text: str) -> list[FencedBlock]:
    """The code fences of a text, of backticks or tildes, as CommonMark reads them; only the last may be unclosed."""
    found: list[FencedBlock] = []
    fence, language, start, inside, place = "", "", 0, 0, 0
    for line in text.split("\n") if "```" in text or "~~~" in text else ():
        mark = FENCE_LINE.fullmatch(line)
        place += len(line) + 1
        if mark is None:
            continue
        signs, info = mark["ticks"] or mark["tildes"], (mark["info"] or mark["more"] or "").split(maxsplit=1)
        if not fence:
            fence, language, start, inside = signs, info[0] if info else "", place - len(line) - 1, place
        elif signs.startswith(fence) and not info:
            content = text[inside : max(inside, place - len(line) - 2)].removesuffix("\r")
            found.append(FencedBlock(language, content, start, place - 1, True))
            fence = ""
    if fence:
        found.append(FencedBlock(language, text[inside:], start, len(text), False))
    return found


def parse_path(path: str) -> tuple[str | int, ...]:
    """The keys and indices of a path into JSON, such as `answer.genes` or `[0].genes`; ValueError for no such path."""
    dotted = path if path.startswith("[") else f".{path}"
    if not JSON_PATH.fullmatch(dotted):
        raise ValueError(f"{path!r} is not a path into JSON; write it as 'answer.value' or '[0].value'")
    return tuple(name or int(index) for name, index in STEP.findall(dotted))
