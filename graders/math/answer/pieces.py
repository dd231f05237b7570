"""Numbers and formulas in prose: which of a sentence answers, and which only say it again or under what condition."""

from __future__ import annotations

import re

from graders.math.answer.boxes import BOX_PERCENT, MOST_BOXES, NAMED, SENTENCE_END, WORD, joined, sign_of
from graders.math.answer.dressing import CURRENCY, VALUE, Reads, undressed
from graders.math.answer.formulas import Formula, formulas
from graders.math.answer.phrases import APPROXIMATELY, CONDITION, COPULA, JOINERS, OR, REMARK, UNSURE, WITHIN

SHORT = 400  # characters of a text that may be words alone, or a bold answer
GAP = 48  # characters between an answer and a remark on it

SIGNED = r"(?<![\w)\]}.,])[-+−–‐‑﹣➖]\s?"
DIGITS = r"\d[\d.,]*(?:(?:[ \u00a0\u202f]\d{3}(?!\d))+(?:[.,]\d+)?)?(?:[eE][-+]?\d+)?(?:\s?/\s?\d+)?"
NUMBER = re.compile(
    rf"(?:{SIGNED})?[{CURRENCY}]?(?<![A-Za-z_\d])(?<!\d[.,])(?:{DIGITS}|\.\d+)"
    rf"(?:\s?(?:\\?%|٪|percent\b|pct\b|[{CURRENCY}]))?"
)
LONE_LETTER = re.compile(r"(?<=\s)[aAI]\.?$")  # a word at the end of a piece of prose, not a variable
SUFFIX = re.compile(r"[^\W\d_]{1,12}[²³]?")
TIMES = re.compile(r"(?<=\d) ?[xX] ?(?=\d)")  # a letter x as the sign of multiplication
DECIMAL = re.compile(r"[\s$~]*-?\d*\.\d")
EXACT = re.compile(r"[\\√π/]")
# A stretch of formula outside delimiters: letters only where an operator or a digit stands beside them.
RUN = re.compile(
    r"(?:\\[A-Za-z]+(?:\{[A-Za-z .]*\})?|\\[,;:!%{} ]|[\d.,+\-−*/^_=<>≤≥≠≈(){}\[\]|!%°²³√π∞×÷·±\s&（），]"
    r"|(?<=[\d+\-*/^_=({\[|)}])[A-Za-z](?![A-Za-z])"
    r"|(?<![A-Za-z'’])[A-Za-z](?=[ ]?[=<>+*/^_≤≥≈(\-])"
    r"|(?<=[=<>+*/\-] )[A-Za-z](?![A-Za-z])"
    r"|(?<=\d )[xX](?= \d))+"
)
BULLET = re.compile(r"[ \t.,;]{0,4}\n[ \t]{0,8}[-*•][ \t]{1,4}")
LEFT_SIDE = re.compile(r"\s*([A-Za-z](?:_(?:\w|\{\w{1,9}\}))?)\s?=")


def sentence_of(piece: str) -> tuple[str, list[Formula]]:
    """The first sentence or line of a piece, and the formulas in it, which are never cut."""
    piece = piece.lstrip()[:2_000]
    spans = formulas(piece)
    for stop in SENTENCE_END.finditer(piece):
        if not any(span.start < stop.start() < span.end for span in spans[:50]):
            return piece[: stop.start()], [span for span in spans if span.end <= stop.start()]
    return piece, spans


def leading(sentence: str, reads: Reads) -> str | None:
    """The value with which a sentence begins, or all of it where that reads."""
    sentence = without_remark(sentence)
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
        value = next((piece for piece in shorter(run[0]) if reads(piece)), "") if run else ""
        if number and not value:
            value = undressed(number[0])
        end = run.end() if run else 0
        rest = sentence[end:]
    hedge = OR.match(rest)
    if hedge and VALUE.match(rest, hedge.end()) and not _says_again(value, hedge[0], rest[hedge.end() :]):
        other = NUMBER.search(rest, hedge.end())
        return undressed(sentence[: end + other.end()] if other else sentence)
    return value or None


def without_remark(sentence: str) -> str:
    """A sentence up to where it says its value again: "about 3.46", or "i.e. 0.42 m" behind a unit."""
    for remark in REMARK.finditer(sentence):
        before = sentence[: remark.start("apart")]
        if VALUE.match(sentence, remark.end()) and _has_value(before):
            return before
    return sentence


def _has_value(text: str) -> bool:
    return bool(EXACT.search(text)) or any(sign.isdigit() for sign in text)


def _says_again(value: str, words: str, rest: str) -> bool:
    """Whether "or about 3.46" only rounds an exact value; "7 or about 8" are two answers."""
    return bool(APPROXIMATELY.search(words) and EXACT.search(value) and DECIMAL.match(rest))


def shorter(run: str) -> list[str]:
    """A run of signs as it stands, without unpaired brackets at its ends, and what is right of its last equals sign."""
    whole = undressed(TIMES.sub("×", run).strip(" =:&\n\t"))
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


def joined_formulas(text: str, spans: list[Formula]) -> str:
    """The last formula that is no remark or condition, with those before it that a joiner or bullet alone parts from
    the next, and a percent sign behind it."""
    last = len(spans) - 1
    while last and _only_adds(text, spans[last - 1], spans[last]):
        last -= 1
    first = last
    while first and last - first < MOST_BOXES and _makes_list(text, spans[first - 1], spans[first]):
        first -= 1
    percent = BOX_PERCENT.match(text, spans[last].end)
    if first == last:
        return undressed(spans[last].inner(text)) + sign_of(percent)
    if BULLET.fullmatch(text, spans[last - 1].end, spans[last].start):
        return ", ".join(undressed(span.inner(text)) for span in spans[first : last + 1])
    return undressed(text[spans[first].start : spans[last].end]) + sign_of(percent)


def _only_adds(text: str, before: Formula, span: Formula) -> bool:
    """Whether a formula says the one before it again, or under what condition that holds."""
    start, stop = before.end, span.start
    if stop - start > GAP:
        return False
    if CONDITION.fullmatch(text, start, stop):
        return True
    value, words = before.inner(text), text[start:stop]
    remark = REMARK.fullmatch(text, start, stop)
    return bool(remark and _has_value(value)) or bool(OR.match(words) and _says_again(value, words, span.inner(text)))


def _makes_list(text: str, before: Formula, span: Formula) -> bool:
    if only_joins(text[before.end : span.start]):
        return True
    if not BULLET.fullmatch(text, before.end, span.start):
        return False
    names = [LEFT_SIDE.match(text, formula.inside, formula.stop) for formula in (before, span)]
    return bool(names[0] and names[1] and names[0][1] == names[1][1])


def _run_of(text: str, spans: list[Formula], first: int) -> int:
    last = first
    while last + 1 < len(spans) and only_joins(text[spans[last].end : spans[last + 1].start]):
        last += 1
    return last


def only_joins(gap: str) -> bool:
    if len(gap) >= 24 or not gap.strip():
        return False
    first, *others = [word.lower() for word in WORD.findall(gap)] or ["or"]
    if others:
        return first in JOINERS and UNSURE.issuperset(others)
    return first in JOINERS and joined(gap)


def number_of(text: str, reads: Reads) -> str | None:
    """The last number in prose: the one behind the last copula of its sentence, or one in a currency, or the last."""
    numbers = [found for found in NUMBER.finditer(text) if not _identifies(text, found, reads)]
    if not numbers:
        command = [run[0] for run in RUN.finditer(text[-2_000:]) if "\\" in run[0] or "π" in run[0]]
        return next((piece for piece in shorter(command[-1]) if reads(piece)), None) if command else None
    begin = max((end.end() for end in SENTENCE_END.finditer(text, 0, numbers[-1].start())), default=0)
    sentence = text[begin:]
    for copula in reversed(list(COPULA.finditer(sentence, 0, numbers[-1].end() - begin))):
        if copula[0].strip() in (":", "：") and "=" in sentence[copula.end() :]:
            continue
        if copula[0].strip() not in ("=", "≈", "about", "around", "approximately", "约") and VALUE.match(
            sentence, copula.end()
        ):
            piece, _ = sentence_of(sentence[copula.end() :])
            if value := leading(LONE_LETTER.sub("", piece), reads):
                return value
    inside = _without_remarks(text, [found for found in numbers if found.start() >= begin])
    money = [found for found in inside if any(sign in found[0] for sign in CURRENCY + "%")]
    last = (money or inside)[-1]
    hedged = _hedged(text, numbers, last)
    for run in RUN.finditer(text, max(begin, last.start() - SHORT)):
        if run.start() <= last.start() < run.end():
            for piece in shorter(run[0]):
                if reads(piece) and any(sign.isdigit() for sign in piece) and len(piece) >= len(hedged):
                    return piece
    return undressed(hedged)


def _without_remarks(text: str, numbers: list[re.Match[str]]) -> list[re.Match[str]]:
    """The numbers of a sentence without those at its end that say the one before again or count what it is out of."""
    while len(numbers) > 1:
        before, last = numbers[-2:]
        remark = last.start() - before.end() <= GAP and REMARK.fullmatch(text, before.end(), last.start())
        if not (remark or WITHIN.search(text, max(before.end(), last.start() - GAP), last.start())):
            return numbers
        numbers = numbers[:-1]
    return numbers


def _hedged(text: str, numbers: list[re.Match[str]], last: re.Match[str]) -> str:
    """The number with those before it that "or" alone parts from it, or a joiner and a name: "7 or 8" is never cut."""
    first = numbers.index(last)
    while first:
        gap = text[numbers[first - 1].end() : numbers[first].start()]
        name = NAMED.search(gap) if len(gap) < SHORT else None
        if not (name or OR.match(gap)) or not only_joins(gap[: name.start(1)] if name else gap):
            break
        first -= 1
    start = numbers[first].start()
    name = NAMED.search(text, max(0, start - 24), start) if numbers[first] is not last else None
    return text[name.start(1) if name else start : last.end()]


def _identifies(text: str, number: re.Match[str], reads: Reads) -> bool:
    """Whether letters follow without a space that make it a name, such as 2A, and no unit."""
    suffix = SUFFIX.match(text, number.end())
    return bool(suffix and suffix[0].isascii() and not reads(number[0] + suffix[0]))
