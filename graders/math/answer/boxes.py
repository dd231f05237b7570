r"""Boxes: the last `\boxed{...}` of a text, or the last ones where they make one list."""

from __future__ import annotations

import re
from typing import NamedTuple

from graders.math.answer.dressing import undressed
from graders.math.answer.phrases import APART, JOINED, JOINERS
from graders.math.reading.tokens import LONGEST

TAIL = 20_000  # characters looked at for anything but marks
MOST_BOXES = 64
BOX_MARKS = ("\\boxed", "\\fbox")
OPENING = re.compile(r"\s{0,20}\{")
BARE_BOX = re.compile(r"\s{0,20}([-+]?[0-9][0-9.,]*|[A-Za-z](?![A-Za-z]))")
BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
DOUBLED_BRACE = re.compile(r"\\\\[{}]|[{}]")
BOX_PERCENT = re.compile(r"[\s$)\]]{0,8}(?:\\[)\]]\s?)?(\\?%|percent\b|pct\b|\^\\circ|\^\{\\circ\}|°)", re.IGNORECASE)
NAMED = re.compile(r"(?:^|[\s$(,])([A-Za-z](?:_(?:\w|\{\w{1,9}\}))?(?:\([a-z]\))?)\s?=\s?$")
COMMAND = re.compile(r"\\(?:text|mbox|textrm|textbf)\b|\\(?:quad|qquad|[,;: $()\[\]\\])")
DIVIDER = re.compile(r"\+{3,}|-{3,}|={3,}|~{3,}|_{3,}|#{3,}")
WORD = re.compile(r"[^\W\d_]+")
# What counts the members of one answer: "Second root: ".
COUNTED = re.compile(
    r"(?P<order>first|second|third|fourth|fifth|1st|2nd|3rd|4th)\s(?:root|value|zero|number|solution|point|integer|angle)"
    r"(?:\sis)?\s?[:=]?\s?[$*]{0,4}\s?(?:[a-z](?:_\{?\d\}?)?\s?=\s?)?$",
    re.IGNORECASE,
)
GAP = 120  # characters between boxes that make one list
GAP_WORDS = 5
SENTENCE_END = re.compile(r"(?<!\bi\.e)(?<!\be\.g)[.!?](?=[\s\"”*'»)]|$)|[。！？।؟\n]")


class _Box(NamedTuple):
    start: int
    end: int
    content: str


def boxed(text: str) -> tuple[str, int, int]:
    """What the last box holds, or the last boxes that make one list; where they end; how many there are, perhaps 0.

    LookupError, with the reason as a clause, where the last box is empty or never closed.
    """
    box = _box_before(text, len(text))
    if box is None:
        return "", 0, 0
    boxes = [box]
    end = box.end
    for _ in range(MOST_BOXES):
        try:
            box = _box_before(text, boxes[0].start, max(0, boxes[0].start - LONGEST))
        except LookupError:
            break
        if box is None:
            break
        if box.end > boxes[0].start:
            boxes = [box, *(other for other in boxes if other.start >= box.end)]
            end = max(end, box.end)
        elif joined(text[box.end : boxes[0].start]) or _counted(text, box, boxes[0]):
            boxes.insert(0, box)
        else:
            break
    return _box_text(text, boxes), end, len(boxes)


def _counted(text: str, box: _Box, following: _Box) -> bool:
    """Whether two boxes are counted off, as the first root and the second, with nothing else between."""
    before = COUNTED.search(text, max(0, box.start - 40), box.start)
    after = COUNTED.search(text, max(box.end, following.start - 40), following.start)
    if not before or not after or before["order"].lower() == after["order"].lower():
        return False
    between = text[box.end : after.start()]
    return len(between) <= GAP and not between.translate(JOINED).strip(" .-#")


def _box_before(text: str, stop: int, floor: int = 0) -> _Box | None:
    while (start := max(text.rfind(mark, floor, stop) for mark in BOX_MARKS)) >= 0:
        after = start + len(BOX_MARKS[0] if text.startswith(BOX_MARKS[0], start) else BOX_MARKS[1])
        if opening := OPENING.match(text, after):
            return _braced(text, start, opening.end())
        if bare := BARE_BOX.match(text, after):
            return _Box(start, bare.end(), bare[1].rstrip(".,"))
        stop, floor = start, max(floor, start - TAIL, len(text) - TAIL)
    return None


def _braced(text: str, start: int, inside: int) -> _Box:
    doubled = text.endswith("\\", 0, start) and not text.endswith("\\\\", 0, start)
    depth = 1
    for token in (DOUBLED_BRACE if doubled else BRACE).finditer(text, inside, inside + LONGEST):
        mark = token[0]
        depth += 1 if mark == "{" else -1 if mark == "}" else 0
        if not depth:
            content = text[inside : token.start()]
            return _Box(start, token.end(), content.replace("\\\\", "\\") if doubled else content)
    long = len(text) > inside + LONGEST
    raise LookupError("the last box is longer than 10,000 characters" if long else "the last box is never closed")


def _box_text(text: str, boxes: list[_Box]) -> str:
    pieces: list[str] = []
    for box in boxes:
        content = undressed(box.content.replace("\\boxed", ""))
        if not content or content == "\\text{}":
            raise LookupError("the last box is empty" if len(boxes) == 1 else "one of the last boxes is empty")
        name = NAMED.search(text, max(0, box.start - 24), box.start) if len(boxes) > 1 and "=" not in content else None
        percent = BOX_PERCENT.match(text, box.end)
        pieces.append((f"{name[1]} = " if name else "") + content + sign_of(percent))
    return ", ".join(pieces)


def sign_of(percent: re.Match[str] | None) -> str:
    if percent is None:
        return ""
    return "%" if percent[1][-1] in "%tT" else percent[1]


def joined(gap: str) -> bool:
    """Whether what stands between two boxes makes one list of them: few words, a joiner, no contrast and no step."""
    if len(gap) > GAP or "=>" in gap or "rrow" in gap or "\\implies" in gap or "→" in gap:
        return False
    if SENTENCE_END.search(gap.replace("\n", " ")):
        return False
    gap = DIVIDER.sub(" ", COMMAND.sub(" ", gap))
    if name := NAMED.search(gap):
        gap = gap[: name.start()]
    words = [word.lower() for word in WORD.findall(gap)]
    if len(words) > GAP_WORDS or not APART.isdisjoint(words):
        return False
    if not words:
        return not gap.translate(JOINED).strip()
    return any(sign in gap for sign in ",;、，；") or not JOINERS.isdisjoint(words) or any(s in gap for s in "和或与及")
