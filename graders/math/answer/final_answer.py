r"""The final answer of an output: which piece of its text it is, and by which rule. Reads no mathematics itself.

The thinking part never counts, nor what follows a chat template's end mark. The first rule that
applies decides:

| rule             | what it takes                                                                                   |
| ---------------- | ----------------------------------------------------------------------------------------------- |
| `final answer`   | what "Final answer:" and its like say behind the last box, where that is mathematics            |
| `box`            | the last `\boxed{...}` or `\fbox{...}`; an empty or unclosed one is no answer                   |
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
from typing import NamedTuple

from graders.math.answer.boxes import (
    BOX_MARKS,
    BOX_PERCENT,
    LONGEST,
    MOST_BOXES,
    OPENING,
    SENTENCE_END,
    TAIL,
    WORD,
    boxed,
    joined,
    sign_of,
)
from graders.math.answer.dressing import CURRENCY, SIGNS, VALUE, Reads, undressed, unless_prose
from graders.math.answer.formulas import Formula, formulas, last_line
from graders.math.answer.phrases import ANSWER, CONCLUDES, COPULA, FINAL_ANSWER, HOPE, JOINERS, LINK, OR
from graders.text.finders import without_thinking

SHORT = 400  # characters of a text that may be words alone, or a bold answer
BARE = 2_000  # characters of a text that may be a bare answer

TEMPLATE_MARK = re.compile(r"<\|[a-z_]{3,20}\|>(?:user|assistant|system)?|</s>|<end_of_turn>|<eos>")
SIGNED = r"(?<![\w)\]}.,])[-+−–]\s?"
DIGITS = r"\d[\d.,]*(?:(?:[ \u00a0\u202f]\d{3}(?!\d))+(?:[.,]\d+)?)?(?:[eE][-+]?\d+)?(?:\s?/\s?\d+)?"
NUMBER = re.compile(
    rf"(?:{SIGNED})?[{CURRENCY}]?(?<![A-Za-z_\d])(?<!\d[.,])(?:{DIGITS}|\.\d+)"
    rf"(?:\s?(?:\\?%|٪|percent\b|pct\b|[{CURRENCY}]))?"
)
DENIED = re.compile(r"[*_ ]{0,3}not\b")
LONE_LETTER = re.compile(r"(?<=\s)[aAI]\.?$")  # a word at the end of a piece of prose, not a variable
SUFFIX = re.compile(r"[^\W\d_]{1,12}[²³]?")
FILLER = re.compile(
    r"[\s:：=*_~≈]*(?:(?:about|approximately|exactly|simply|just|around|roughly|therefore|thus|hence|then|environ|etwa|约)\b[\s:]*)?"
)
# A stretch of formula outside delimiters: letters only where an operator or a digit stands beside them.
RUN = re.compile(
    r"(?:\\[A-Za-z]+(?:\{[A-Za-z .]*\})?|\\[,;:!%{} ]|[\d.,+\-−*/^_=<>≤≥≠≈(){}\[\]|!%°²³√π∞×÷·±\s&（），]"
    r"|(?<=[\d+\-*/^_=({\[|)}])[A-Za-z](?![A-Za-z])"
    r"|(?<![A-Za-z'’])[A-Za-z](?=[ ]?[=<>+*/^_≤≥≈(\-])"
    r"|(?<=[=<>+*/\-] )[A-Za-z](?![A-Za-z]))+"
)


class Found(NamedTuple):
    """The final answer's text, the rule that found it, and other final answers that must agree with it."""

    text: str
    rule: str
    also: tuple[str, ...] = ()


def final_answer(text: str, reads: Reads) -> Found:
    """The final answer of an output; `reads` says whether a candidate is mathematics.

    LookupError, with the reason as a clause, where there is none.
    """
    body = _body(text)
    reads = unless_prose(reads)
    content, boxed_end, count = boxed(body)
    box = Found(content, "box" if count == 1 else "boxes") if count else None
    tagged, hashed = _tagged(body, reads), _hashed(body, reads)
    marks = [found for found in (box, tagged, hashed) if found]
    if box and (stated := _stated(body, boxed_end, FINAL_ANSWER, reads, words=False)):
        marks[0] = Found(stated, "final answer")
    if not marks:
        return _in_text(body, reads)
    first, *others = marks
    if len(first.text) > LONGEST:
        raise LookupError(f"the final answer is longer than {LONGEST:,} characters")
    also = tuple(dict.fromkeys(found.text for found in others if found.text != first.text))
    return Found(first.text, first.rule, also)


def reference_answer(text: str, reads: Reads) -> Found:
    r"""The answer that a reference gives: bare, in `$...$`, in a box, or at the end of a worked solution.

    An unclosed box is read to its end; where nothing is found, the whole text is the answer.
    LookupError for a blank text, or an answer of more than 10,000 characters.
    """
    bare = undressed(text) if len(text) <= LONGEST else ""
    if bare and not any(mark in text for mark in BOX_MARKS) and reads(bare):
        return Found(bare, "whole")
    try:
        return final_answer(text, reads)._replace(also=())
    except LookupError:
        start = max(map(text.rfind, BOX_MARKS))
        opening = OPENING.search(text, start) if start >= 0 else None
        rest = text[opening.end() :] if opening else text
        whole = undressed(rest) if len(rest) <= TAIL else rest
        if not whole or len(whole) > LONGEST:
            reason = f"is longer than {LONGEST:,} characters" if whole else "is blank"
            raise LookupError(f"the reference {reason}") from None
        return Found(whole, "box" if opening else "whole")


def _body(text: str) -> str:
    """The text without its thinking part and the marks of a chat template."""
    if "<think" in text:
        for tag in ("think", "thinking"):
            if text.rfind(f"<{tag}>") > text.rfind(f"</{tag}>"):
                raise LookupError("the thinking part is never closed")
    text = without_thinking(text)
    if "<|" in text or "</s>" in text or "<e" in text:
        start = 0
        for mark in TEMPLATE_MARK.finditer(text):
            if text[start : mark.start()].strip():
                return text[start : mark.start()]
            start = mark.end()
        text = text[start:]
    if not text.strip():
        raise LookupError("the output is blank")
    return text


# Tags, hashes and statements


def _tagged(text: str, reads: Reads) -> Found | None:
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", max(0, end - LONGEST), end) if end >= 0 else -1
    if start < 0:
        return None
    content = text[start + len("<answer>") : end]
    if not content.strip():
        raise LookupError("the last <answer> is empty")
    box, _, count = boxed(content)
    return Found(box if count else _in_text(content, reads).text, "tag")


def _hashed(text: str, reads: Reads) -> Found | None:
    start = text.rfind("####")
    if start < 0:
        return None
    line = text[start + 4 : start + 4 + LONGEST].lstrip("# \t").split("\n", 1)[0]
    candidate = undressed(line)
    return Found(candidate, "hashes") if candidate and reads(candidate) else None


def _stated(text: str, begin: int, phrases: tuple[str, ...], reads: Reads, words: bool) -> str | None:
    """What the last statement of an answer behind `begin` says."""
    begin = max(begin, len(text) - TAIL)
    tail = text[begin:].lower()
    if len(tail) != len(text) - begin:  # a letter whose small form is longer
        tail = text[begin:]
    ends = [(place + len(phrase), phrase) for phrase in phrases if (place := tail.rfind(phrase)) >= 0]
    for end, phrase in sorted(ends, reverse=True):
        for _ in range(4):
            link = LINK.match(text, begin + end)
            after = link.end() if link else -1
            if words and link and DENIED.match(text, after):
                raise LookupError("the last statement says only what the answer is not")
            value = _value_of(text[after : after + LONGEST], reads, words) if after >= 0 else None
            if value and (words or len(value) <= 2 or SIGNS.search(value)):
                return value
            place = tail.rfind(phrase, 0, end - 1)
            if place < 0:
                break
            end = place + len(phrase)
    return None


def _value_of(piece: str, reads: Reads, words: bool) -> str | None:
    """The answer in what follows a statement's verb or colon."""
    filler = FILLER.match(piece)
    piece = piece[filler.end() :] if filler else piece
    sentence, spans = _sentence(piece)
    whole = undressed(sentence)
    if not whole:
        return None
    if reads(whole):
        return whole
    if not VALUE.match(sentence):
        for copula in reversed(list(COPULA.finditer(sentence))):
            inside = any(span.start < copula.end() <= span.end - 1 for span in spans)
            if not inside and VALUE.match(sentence, copula.end()):
                return _leading(sentence[copula.end() :], reads)
        if spans:
            return _joined_formulas(sentence, spans)
        if number := _number(sentence, reads):
            return number
        return whole if words and len(whole) <= 60 else None
    return _leading(sentence, reads)


def _leading(sentence: str, reads: Reads) -> str | None:
    """The value with which a sentence begins, or all of it where that reads."""
    whole = undressed(sentence)
    if reads(whole):
        return whole
    spans = formulas(sentence)
    if spans and not sentence[: spans[0].start].strip(" *_\"'“"):
        stop = _run_of(sentence, spans, 0)
        value, rest = undressed(sentence[spans[0].start : spans[stop].end]), sentence[spans[stop].end :]
        end = spans[stop].end
        if percent := BOX_PERCENT.match(rest):
            value += sign_of(percent)
    else:
        run = RUN.match(sentence)
        number = NUMBER.match(sentence.lstrip())
        value = next((piece for piece in _shorter(run[0]) if reads(piece)), "") if run else ""
        if number and not value:
            value = undressed(number[0])
        end = run.end() if run else 0
        rest = sentence[end:]
    hedge = OR.match(rest)
    if hedge and VALUE.match(rest, hedge.end()):
        other = NUMBER.search(rest, hedge.end())
        return undressed(sentence[: end + other.end()] if other else sentence)
    return value or None


def _shorter(run: str) -> list[str]:
    """A run of signs as it stands, without unpaired brackets at its ends, and what is right of its last equals sign."""
    whole = undressed(run.strip(" =:&\n\t"))
    bare = whole
    for opening, closing in ("[]", "()"):
        lacking = bare.count(closing) - bare.count(opening)
        if lacking > 0 and bare.endswith(closing):
            bare = bare[:-1].rstrip(" =")
        elif lacking < 0 and bare.startswith(opening):
            bare = bare[1:].lstrip(" =")
        elif bare.startswith(opening) and bare.endswith(closing) and "=" in bare:
            bare = bare[1:-1].strip()
    bare = undressed(bare)
    return [piece for piece in dict.fromkeys((bare, whole, undressed(bare.rpartition("=")[2]))) if piece]


def _sentence(piece: str) -> tuple[str, list[Formula]]:
    """The first sentence or line of a piece, and the formulas in it, which are never cut."""
    piece = piece.lstrip()[:2_000]
    spans = formulas(piece)
    for stop in SENTENCE_END.finditer(piece):
        if not any(span.start < stop.start() < span.end for span in spans[:50]):
            return piece[: stop.start()], [span for span in spans if span.end <= stop.start()]
    return piece, spans


# What is left: bold, formulas and numbers


def _in_text(text: str, reads: Reads) -> Found:
    """The final answer of a text without box, tag and hashes."""
    if HOPE in text[-200:]:
        text = text[: text.rindex(HOPE)]
    if stated := _stated(text, 0, ANSWER, reads, words=True):
        return Found(stated, "statement")
    whole = undressed(text) if len(text) <= BARE and not _is_led_in(text) else ""
    if whole and reads(whole):
        return Found(whole, "whole")
    text = text[-TAIL:]
    if bold := _bold(text, reads):
        return Found(bold, "bold")
    spans = formulas(text)
    if not spans:
        if number := _number(text[-2_000:], reads) or _number(text, reads):
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
    if value := _joined_formulas(text, spans):
        return Found(value, "formula")
    raise LookupError("the last formula is empty")


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
    rest = text[end + 2 :]
    line, _, below = rest.partition("\n")
    sentence_end = SENTENCE_END.search(line)
    later = (line[sentence_end.end() :] if sentence_end else "") + below
    inner = text[start + 2 : end].strip()
    if line.lstrip()[:1] in (":", "：") or inner.endswith((":", "：")) or any(s.isdigit() or s in "$\\" for s in later):
        return None
    candidate = undressed(inner)
    if candidate and reads(candidate):
        return candidate
    if candidate and VALUE.match(candidate):
        return _leading(candidate, reads)
    return candidate if candidate and not rest.strip(" \n.!。") and len(candidate.split()) <= 4 else None


def _concluded(rest: str, reads: Reads) -> str | None:
    """The number in the prose behind the last formula, where a sentence gives it as its result."""
    copula = COPULA.match(rest.lstrip())
    if (copula and VALUE.match(rest.lstrip(), copula.end())) or CONCLUDES.search(rest):
        return _number(rest, reads)
    return None


def _joined_formulas(text: str, spans: list[Formula]) -> str:
    """The last formula, with those before it that a joiner alone parts from the next, and a percent sign behind it."""
    first = last = len(spans) - 1
    while first and last - first < MOST_BOXES and _only_joins(text[spans[first - 1].end : spans[first].start]):
        first -= 1
    percent = BOX_PERCENT.match(text, spans[last].end)
    if first == last:
        return undressed(spans[last].inner(text)) + sign_of(percent)
    return undressed(text[spans[first].start : spans[last].end]) + sign_of(percent)


def _run_of(text: str, spans: list[Formula], first: int) -> int:
    last = first
    while last + 1 < len(spans) and _only_joins(text[spans[last].end : spans[last + 1].start]):
        last += 1
    return last


def _only_joins(gap: str) -> bool:
    words = WORD.findall(gap) if len(gap) < 24 else ["too", "long"]
    return len(words) <= 1 and all(word.lower() in JOINERS for word in words) and joined(gap) and bool(gap.strip())


def _number(text: str, reads: Reads) -> str | None:
    """The last number in prose: the one behind the last copula of its sentence, or one in a currency, or the last."""
    numbers = [found for found in NUMBER.finditer(text) if not _identifies(text, found, reads)]
    if not numbers:
        command = [run[0] for run in RUN.finditer(text[-2_000:]) if "\\" in run[0] or "π" in run[0]]
        return next((piece for piece in _shorter(command[-1]) if reads(piece)), None) if command else None
    begin = max((end.end() for end in SENTENCE_END.finditer(text, 0, numbers[-1].start())), default=0)
    sentence = text[begin:]
    for copula in reversed(list(COPULA.finditer(sentence, 0, numbers[-1].end() - begin))):
        if copula[0].strip() in (":", "：") and "=" in sentence[copula.end() :]:
            continue
        if copula[0].strip() not in ("=", "≈") and VALUE.match(sentence, copula.end()):
            piece, _ = _sentence(sentence[copula.end() :])
            if value := _leading(LONE_LETTER.sub("", piece), reads):
                return value
    inside = [found for found in numbers if found.start() >= begin]
    money = [found for found in inside if any(sign in found[0] for sign in CURRENCY + "%")]
    last = (money or inside)[-1]
    for run in RUN.finditer(text, max(begin, last.start() - SHORT)):
        if run.start() <= last.start() < run.end():
            for piece in _shorter(run[0]):
                if reads(piece) and any(sign.isdigit() for sign in piece) and len(piece) >= last.end() - last.start():
                    return piece
    return undressed(_hedged(text, numbers, last))


def _hedged(text: str, numbers: list[re.Match[str]], last: re.Match[str]) -> str:
    """The number with those before it that a joiner alone parts from it: "7 or 8" is never cut to one."""
    first = numbers.index(last)
    while first and _only_joins(text[numbers[first - 1].end() : numbers[first].start()]):
        first -= 1
    return text[numbers[first].start() : last.end()]


def _identifies(text: str, number: re.Match[str], reads: Reads) -> bool:
    """Whether letters follow without a space that make it a name, such as 2A, and no unit."""
    suffix = SUFFIX.match(text, number.end())
    return bool(suffix and suffix[0].isascii() and not reads(number[0] + suffix[0]))
