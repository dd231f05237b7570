r"""The final answer of an output: which piece of its text it is, and by which rule. Reads no mathematics itself.

The thinking part never counts, nor what follows a chat template's end mark. The first rule that
applies decides:

| rule             | what it takes                                                                                   |
| ---------------- | ----------------------------------------------------------------------------------------------- |
| `final answer`   | what "Final answer:" and its like say behind the last box, where that is mathematics            |
| `box`            | the last `\boxed{...}` or `\fbox{...}`; an empty or unclosed one is no answer                   |
| `json`           | `answer`, `final_answer`, `result` or `solution` of a JSON object that is all of the text       |
| `boxes`          | the last boxes as one list, where only a few words with "and", "or" or a comma stand between    |
| `tag`            | the last `<answer>...</answer>`, by the rules below within it                                   |
| `hashes`         | the line behind the last `####`                                                                 |
| `statement`      | what follows "the answer is", "答案：", "la réponse est" and their like, last one first           |
| `whole`          | all of a short text that is mathematics                                                         |
| `bold`           | the last `**...**`, where no formula or number follows its line                                 |
| `conclusion`     | a number that a sentence behind the last formula gives as its result                            |
| `display`        | the last `\[...\]`, `$$...$$` or equation environment; of several lines the last                |
| `formula`        | the last `$...$` or `\(...\)`, with those that "and", "or" or a comma join to it                |
| `number`         | the last number or bare formula in prose                                                        |

Of box, tag and hashes the ones that do not decide are handed on in `also`: they must agree. Each scan takes time linear
in what it reads: marks are looked for from the end, all else in the last 20,000 characters.
"""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

from graders.math.answer.boxes import BOX_MARKS, OPENING, SENTENCE_END, TAIL, WORD, boxed
from graders.math.answer.dressing import END_MARKS, SIGNS, VALUE, Reads, undressed, unless_prose
from graders.math.answer.formulas import formulas, last_line
from graders.math.answer.phrases import ANSWER, CONCLUDES, COPULA, FINAL_ANSWER, HOPE
from graders.math.answer.pieces import SHORT, joined_formulas, leading, number_of, only_joins
from graders.math.answer.records import record_answer
from graders.math.answer.statements import CHANGED_BEFORE, in_words, letter_behind, said, stated, value_of
from graders.math.reading.tokens import LONGEST
from graders.text.finders import without_thinking

BARE = 2_000  # characters of a text that may be a bare answer
GUESSED = frozenset(("number", "formula", "display", "bold", "conclusion"))
MOST_TRIES = 8

STRUCK = re.compile("[0-9][\u0335-\u0338]")
BARE_NUMBER = re.compile(r"[-+]?[\d.,/]{1,40}")
DENIES_BOX = re.compile(r"(?:\bnot|\bnever|n['’]t|\\neq?|≠|\\sqrt\s?\{|\\frac\s?\{)\s?\$?$")
NEGATES_BOX = re.compile(r"(?:^|[=$(\s\[])\s?[-−]$")
RAISES_BOX = re.compile(r"\s?(?:!|\^(?!\s?\{?\s?(?:\\circ|\\degree)))")
OR_BEHIND = re.compile(r"[\s$)\]\\]{0,6}\b(?:or|oder|ou|或)\b[\s$]{0,3}([-+]?\d[\d.,/]{0,20})(?![\w.])")
TEMPLATE_MARK = re.compile(r"<\|[a-z_]{3,20}\|>(?:user|assistant|system)?|</s>|<end_of_turn>|<eos>")
NEXT_QUESTION = re.compile(
    r"\n[ \t]{0,20}\n[*#_ ]{0,6}(?:Q|Question|Problem|Human|User|Instruction)(?: \d{1,4})?[*_]{0,3}[:：]"
)
HEADING = re.compile(
    r"(?:(?:final|full|short|the|detailed|worked)\s)?(?:step|case|part|solution|answer|conclusion|result|explanation"
    r"|verification|reasoning|summary|check|proof|note|analysis|calculation|method|approach|problem|question|given)s?"
    r"(?:\s\d{1,3})?",
    re.IGNORECASE,
)
ANSWER_LINE = re.compile(r"[*_ ]{0,3}(?:A|Ans)[*_. ]{0,3}[:：][*_ ]{0,3}")


class Found(NamedTuple):
    """The final answer's text, the rule that found it, and other final answers that must agree with it."""

    text: str
    rule: str
    also: tuple[str, ...] = ()


def final_answer(text: str, reads: Reads) -> Found:
    """The final answer of an output; `reads` says whether a candidate is mathematics.

    LookupError, with the reason as a clause, where there is none.
    """
    reads = unless_prose(reads)
    body = _body(text, reads)
    if not body.isascii() and STRUCK.search(body):
        raise LookupError("a digit is struck out")
    if record := record_answer(body.strip()):
        return Found(_of_record(record, reads), "json")
    content, boxed_end, count = boxed(body)
    box = _box(_in_place(content, body, boxed_end), count, body[boxed_end:], reads) if count else None
    tagged, hashed = _tagged(body, reads), _hashed(body, reads)
    marks = [found for found in (box, tagged, hashed) if found]
    if box and (last := stated(body, boxed_end, FINAL_ANSWER, reads, words=False)):
        marks[0] = Found(last, "final answer")
    if not marks:
        return _in_text(body, reads)
    first, *others = marks
    if len(first.text) > LONGEST:
        raise LookupError(f"the final answer is longer than {LONGEST:,} characters")
    also = tuple(dict.fromkeys(found.text for found in others if found.text != first.text))
    return Found(first.text, first.rule, also)


def reference_answer(text: str, reads: Reads) -> Found:
    r"""The answer that a reference gives: bare, in `$...$`, in a box, or at the end of a worked solution.

    A number or a formula is taken out of a reference only where it is a worked solution of several sentences; else
    all of the reference is the answer. An unclosed box is read to its end. LookupError for a blank text, or an answer
    of more than 10,000 characters.
    """
    prose = unless_prose(reads)
    bare = undressed(text) if len(text) <= LONGEST else ""
    boxes = any(mark in text for mark in BOX_MARKS)
    if bare and not boxes and reads(bare):
        return Found(in_words(bare, prose), "whole")
    if not boxes and (line := _hash_line(text, prose)):
        return Found(line, "hashes")
    try:
        found = final_answer(text, reads)
        if found.rule == "tag" and not boxes:
            return reference_answer(_tag_content(text), reads)._replace(rule="tag")
        if not bare or found.rule not in GUESSED or (found.rule != "number" and _is_worked(text)):
            return found._replace(also=())
        return Found(in_words(bare, prose), "whole")
    except LookupError:
        start = max(map(text.rfind, BOX_MARKS))
        opening = OPENING.search(text, start) if start >= 0 else None
        rest = text[opening.end() :] if opening else text
        whole = undressed(rest) if len(rest) <= TAIL else rest
        if not whole or len(whole) > LONGEST:
            reason = f"is longer than {LONGEST:,} characters" if whole else "is blank"
            raise LookupError(f"the reference {reason}") from None
        return Found(whole, "box" if opening else "whole")


def _is_worked(text: str) -> bool:
    """Whether a reference is a solution of several sentences, or one displayed formula and nothing else."""
    spans = formulas(text)
    if len(spans) == 1 and spans[0].display and not (text[: spans[0].start] + text[spans[0].end :]).strip():
        return True
    pieces = [text[before.end : after.start] for before, after in pairwise(spans)]
    outside = [text[: spans[0].start], *pieces, text[spans[-1].end :]] if spans else [text]
    return sum(len(SENTENCE_END.findall(piece)) for piece in outside) > 1


def _in_place(content: str, text: str, end: int) -> str:
    """What a box holds, with the sign before it and the other value that "or" puts behind it.

    LookupError where what stands around the box denies it or makes another value of it.
    """
    start = max(text.rfind(mark, 0, end) for mark in BOX_MARKS)
    before = text[max(0, start - 12) : start].rstrip()
    if DENIES_BOX.search(before) or RAISES_BOX.match(text, end):
        raise LookupError("what stands around the last box denies it or makes another value of it")
    if NEGATES_BOX.search(before):
        content = f"-{content}"
    other = OR_BEHIND.match(text, end)
    return f"{content} or {other[1]}" if other else content


def _box(content: str, count: int, behind: str, reads: Reads) -> Found:
    """What a box says; with the letter of the choice that the text behind it names."""
    if count > 1:
        return Found(content, "boxes")
    content = said(content, reads)
    letter = letter_behind(behind, content)
    return Found(f"({letter}) {content}" if letter else content, "box")


def _of_record(value: str, reads: Reads) -> str:
    content, _, count = boxed(value)
    return content if count else said(undressed(value), reads) or value


def _body(text: str, reads: Reads) -> str:
    """The text without its thinking part, the marks of a chat template, and further questions behind its answer."""
    if "<think" in text:
        for tag in ("think", "thinking"):
            if text.rfind(f"<{tag}>") > text.rfind(f"</{tag}>"):
                raise LookupError("the thinking part is never closed")
    text = without_thinking(text)
    if "<|" in text or "</s>" in text or "<e" in text:
        start = 0
        for mark in TEMPLATE_MARK.finditer(text):
            if text[start : mark.start()].strip():
                return _without_run_on(text[start : mark.start()], reads)
            start = mark.end()
        text = text[start:]
    if not text.strip():
        raise LookupError("the output is blank")
    return _without_run_on(text, reads)


def _without_run_on(text: str, reads: Reads) -> str:
    """The text up to where it goes on to another question, as a base model does, if an answer stands before that."""
    if "\n" not in text or (":" not in text and "：" not in text):
        return text
    for place, question in enumerate(NEXT_QUESTION.finditer(text)):
        before = text[: question.start()]
        if place == MOST_TRIES:
            break
        if any(mark in before for mark in (*BOX_MARKS, "####", "</answer>")):
            return before
        with suppress(LookupError):
            if stated(before, 0, ANSWER, reads, words=False):
                return before
    return text


# Tags, hashes and statements


def _tag_content(text: str) -> str:
    """What the last `<answer>` holds, "" where there is none."""
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", max(0, end - LONGEST), end) if end >= 0 else -1
    if start < 0:
        return ""
    content = text[start + len("<answer>") : end]
    if not content.strip():
        raise LookupError("the last <answer> is empty")
    return content


def _tagged(text: str, reads: Reads) -> Found | None:
    content = _tag_content(text)
    if not content:
        return None
    box, _, count = boxed(content)
    return Found(said(box, reads) if count else _in_text(content, reads).text, "tag")


def _hashed(text: str, reads: Reads) -> Found | None:
    candidate = _hash_line(text, reads)
    return Found(candidate, "hashes") if candidate and reads(candidate) else None


def _hash_line(text: str, reads: Reads) -> str:
    """The line behind the last `####` that is no heading; what an answer's heading stands over; or ""."""
    end = len(text)
    for _ in range(MOST_TRIES):
        start = text.rfind("####", 0, end)
        if start < 0:
            return ""
        line, _, below = text[start + 4 : start + 4 + LONGEST].lstrip("# \t").partition("\n")
        candidate = undressed(line)
        is_heading = HEADING.fullmatch(candidate) or (
            line.rstrip(" *_").endswith((":", "：")) and not SIGNS.search(candidate)
        )
        if not is_heading:
            return candidate if reads(candidate) else _numbers_alone(candidate) or candidate
        if "answer" in candidate.lower() or "result" in candidate.lower():
            first = undressed(below.lstrip().partition("\n")[0])
            if first and reads(first):
                return first
        if _says_or_none(text[start + 4 :], reads):
            return ""
        end = start
    return ""


def _says_or_none(text: str, reads: Reads) -> str | None:
    try:
        return stated(text, 0, ANSWER, reads, words=True)
    except LookupError:
        return None


# What is left: bold, formulas and numbers


def _in_text(text: str, reads: Reads) -> Found:
    """The final answer of a text without box, tag and hashes."""
    if HOPE in text[-200:]:
        text = text[: text.rindex(HOPE)]
    if value := _last_line_answer(text, reads) or stated(text, 0, ANSWER, reads, words=True):
        return Found(value, "statement")
    if record := record_answer(text.strip()):
        return Found(_of_record(record, reads), "json")
    whole = undressed(text) if len(text) <= BARE and not _is_led_in(text) else ""
    if whole and not (whole.count("**") and text.lstrip().startswith("**")) and reads(whole):
        return Found(whole, "whole")
    if numbers := _numbers_alone(text):
        return Found(numbers, "whole")
    text = text[-TAIL:]
    if bold := _bold(text, reads):
        return Found(bold, "bold")
    spans = formulas(text)
    while len(spans) > 1 and spans[-1].inner(text).strip() in END_MARKS:
        spans.pop()
    if not spans:
        if number := number_of(_tail(text), reads) or number_of(text, reads):
            if re.search(rf"\b{CHANGED_BEFORE}\s+[$*]{{0,3}}{re.escape(number)}(?![\d.,]*\d)", text, re.IGNORECASE):
                raise LookupError("the last number stands behind words that deny it or change it")
            return Found(number, "number")
        if whole and len(whole) <= SHORT and not any(sign.isdigit() for sign in whole):
            return Found(whole, "whole")
        raise LookupError("no box, statement, formula or number was found")
    if concluded := _concluded(text[spans[-1].end :], reads):
        return Found(concluded, "conclusion")
    displays = [span for span in spans if span.display]
    if displays and (value := undressed(last_line(text, displays[-1]))):
        after = text[displays[-1].end :]
        if displays[-1] is spans[-1] or not CONCLUDES.search(after):
            return Found(value, "display")
    if value := joined_formulas(text, spans):
        return Found(value, "formula")
    raise LookupError("the last formula is empty")


def _tail(text: str) -> str:
    """The last 2,000 characters or so, from a blank on: no number is cut in two."""
    start = max(0, len(text) - 2_000)
    blank = text.rfind(" ", 0, start) if start else 0
    return text[blank + 1 if blank > 0 else 0 :] if start else text


def _last_line_answer(text: str, reads: Reads) -> str | None:
    """What the last line says behind "A:" or "Ans:"; one of several lettered lines is none."""
    lines = text[-TAIL:].rstrip().rsplit("\n", 1)
    mark = ANSWER_LINE.match(lines[-1])
    if not mark or "\nB:" in text:
        return None
    return value_of(lines[-1][mark.end() :], reads, words=True)


def _numbers_alone(text: str) -> str:
    """Numbers with nothing but space between them, as a list; "" where there is anything else."""
    pieces = text[:BARE].split() if len(text) <= BARE else []
    return ", ".join(pieces) if len(pieces) > 1 and all(map(BARE_NUMBER.fullmatch, pieces)) else ""


def _is_led_in(text: str) -> bool:
    """Whether words lead to a formula, as in "Hence $x = 2$": then it is the formula that answers."""
    if "$" not in text and "\\(" not in text and "\\[" not in text:
        return False
    spans = formulas(text)
    lead = text[: spans[0].start] if spans else ""
    return any(len(word) > 2 for word in WORD.findall(lead)) and not any(sign.isdigit() for sign in lead)


def _bold(text: str, reads: Reads) -> str | None:
    end = text.rfind("**")
    start = text.rfind("**", 0, end) if end > 0 else -1
    if start < 0 or end - start > SHORT or text.count("**") % 2:
        return None
    for _ in range(MOST_TRIES):
        before = text.rfind("**", 0, start)
        opening = text.rfind("**", 0, before) if before > 0 else -1
        if opening < 0 or end - opening > SHORT or not only_joins(text[before + 2 : start]):
            break
        start = opening
    rest = text[end + 2 :]
    line, _, below = rest.partition("\n")
    sentence_end = SENTENCE_END.search(line)
    later = (line[sentence_end.end() :] if sentence_end else "") + below
    inner = text[start + 2 : end].replace("**", "").strip()
    if line.lstrip()[:1] in (":", "：") or inner.endswith((":", "：")) or any(s.isdigit() or s in "$\\" for s in later):
        return None
    candidate = undressed(inner)
    if candidate and reads(candidate):
        return candidate
    if candidate and VALUE.match(candidate):
        return leading(candidate, reads)
    return candidate if candidate and not rest.strip(" \n.!。") and len(candidate.split()) <= 4 else None


def _concluded(rest: str, reads: Reads) -> str | None:
    """The number in the prose behind the last formula, where a sentence gives it as its result."""
    copula = COPULA.match(rest.lstrip())
    if (copula and VALUE.match(rest.lstrip(), copula.end())) or CONCLUDES.search(rest):
        return number_of(rest, reads)
    return None
