"""What a statement such as "the answer is" says, and what a box says in words."""

from __future__ import annotations

import re
from contextlib import suppress

from graders.math.answer.boxes import TAIL
from graders.math.answer.dressing import SIGNS, VALUE, Reads, undressed
from graders.math.answer.phrases import ANSWER, COPULA, FINAL_COPULA, LINK
from graders.math.answer.pieces import joined_formulas, leading, number_of, sentence_of, without_remark
from graders.math.reading.tokens import LONGEST

DENIED = re.compile(r"[*_ ]{0,3}not\b")
MINUS = re.compile(r"[\s*_$]{0,4}(?:negative|minus)\s+(?=[$\\\d])", re.IGNORECASE)
# Words that make another value of the one beside them, or deny it.
CHANGED_BEFORE = (
    r"(?:half(?: of)?|twice|double|triple|a (?:third|quarter) of|never|not|isn['’]t|anything but|square root of)"
)
CHANGED_BEHIND = r"(?:divided by|multiplied by|plus|minus|squared|cubed|factorial)"
CHANGES = re.compile(
    rf"[\s*_$]{{0,4}}{CHANGED_BEFORE}\s+[$\\\d]"
    rf"|[\s*_$]{{0,4}}[-+]?[\d.,]+[\s*_$]{{0,4}}{CHANGED_BEHIND}\b",
    re.IGNORECASE,
)
FILLER = re.compile(
    r"[\s:：=*_~≈]*(?:(?:about|approximately|exactly|simply|just|around|roughly|therefore|thus|hence|then|environ|etwa|约)\b[\s:]*)?"
    r"(?:(?:(?:the )?(?:answer )?(?:option|choice|letter)|选项|选)(?=[\s*:：]{1,4}\(?[A-Ha-h](?![\w]))[\s:：]*)?",
    re.IGNORECASE,
)
# A letter that names a choice, and its text: "(C) 12", "**C) 12**", "\textbf{(C)}\ 12", "C: 12".
CHOICE = re.compile(
    r"[\s*_$]{0,6}(?:\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\s?\{)?(?:\([A-Ha-h]\)|[A-H](?:\)|[.:：](?=\s)))"
)
LETTERS = re.compile(r"(?<![\w(])\(?([A-H])\)")
LETTER = re.compile(r"[\s*_$]{0,6}(?:\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\s?\{)?\(?([A-H])\)?[}*_$\s]{0,6}")
LETTER_NAMED = re.compile(
    r"(?:answer(?: choice| option)?|choice|option|选|答案)(?:\s?(?:is|为|是)(?:\s(?:option|choice))?)?[\s:：]{0,3}"
    r"[*_$]{0,4}(?:\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\s?\{)?(?:\(([A-H])\)|([A-H])(?![\w'’]))"
    r"(?=[)}*_$ ]{0,6}(?:[.。,\n]|\Z))",
    re.IGNORECASE,
)
WRAPPED_WORDS = re.compile(r"\\(?:text|mbox|textbf|textit|textrm|textnormal)\s?\{([^{}]*)\}")
SAYS = re.compile(
    r"\s*(?:the |an? )?(?:[A-Za-z]{1,20} ){0,5}[A-Za-z]{1,20}\s?(?:\b(?:is|are|was|equals)\b(?!\s+not\b):?|:)\s*",
    re.IGNORECASE,
)
NAMED_CHOICE = re.compile(r"\s*(?:option|choice)[\s:]{1,3}(\(?[A-H]\)?)(?=\W|$)", re.IGNORECASE)
MOST_SAID = 200  # characters of a box that says its answer in words


def stated(text: str, begin: int, phrases: tuple[str, ...], reads: Reads, words: bool) -> str | None:
    """What the last statement of an answer behind `begin` says."""
    begin = max(begin, len(text) - TAIL)
    tail = text[begin:].lower()
    if len(tail) != len(text) - begin:  # a letter whose small form is longer
        tail = text[begin:]
    ends = [(place + len(phrase), phrase) for phrase in phrases if (place := tail.rfind(phrase)) >= 0]
    for end, phrase in sorted(ends, reverse=True):
        for _ in range(4):
            start = end - len(phrase)
            inside_word = phrase.isascii() and start and tail[start - 1].isalpha()
            link = None if inside_word else LINK.match(text, begin + end)
            after = link.end() if link else -1
            if words and link and DENIED.match(text, after):
                raise LookupError("the last statement says only what the answer is not")
            value = value_of(text[after : after + LONGEST], reads, words) if after >= 0 else None
            if value and (words or len(value) <= 2 or SIGNS.search(value)):
                return value
            place = tail.rfind(phrase, 0, end - 1)
            if place < 0:
                break
            end = place + len(phrase)
    return None


def value_of(piece: str, reads: Reads, words: bool) -> str | None:
    """The answer in what follows a statement's verb or colon."""
    filler = FILLER.match(piece)
    piece = piece[filler.end() :] if filler else piece
    piece = MINUS.sub("-", piece, count=1) if MINUS.match(piece) else piece
    if CHANGES.match(piece):
        raise LookupError("the last statement gives a value only by way of words")
    sentence, spans = sentence_of(piece)
    if CHOICE.match(sentence):
        letters = list(dict.fromkeys(LETTERS.findall(sentence)))
        return undressed(FINAL_COPULA.sub("", sentence)) if len(letters) <= 1 else ", ".join(letters)
    if shorter := without_remark(sentence) if VALUE.match(sentence) else "":
        spans = [span for span in spans if span.end <= len(shorter)]
        sentence = shorter
    sentence = FINAL_COPULA.sub("", sentence)
    whole = undressed(sentence)
    if not whole:
        return None
    if reads(whole):
        return whole
    if not VALUE.match(sentence):
        for copula in reversed(list(COPULA.finditer(sentence))):
            inside = any(span.start < copula.end() <= span.end - 1 for span in spans)
            if not inside and VALUE.match(sentence, copula.end()):
                return leading(sentence[copula.end() :], reads)
        if spans:
            return joined_formulas(sentence, spans)
        if number := number_of(sentence, reads):
            return number
        return whole if words and len(whole) <= 60 else None
    return leading(sentence, reads)


def in_words(content: str, reads: Reads) -> str:
    r"""What a box or a bare answer says, where it says it in words: `\text{The answer is } 42` says 42.

    Words alone, and what does not read behind the verb, stay as they are.
    """
    if len(content) > MOST_SAID:
        return content
    words = WRAPPED_WORDS.sub(r"\1", content) if "\\" in content else content
    if choice := NAMED_CHOICE.match(words):
        return words[choice.start(1) :].strip()
    says = SAYS.match(words)
    if says and (words != content or not reads(content)):
        rest = undressed(words[says.end() :])
        if VALUE.match(rest) and reads(rest):
            return rest
    return content


def said(content: str, reads: Reads) -> str:
    """What a box holds, in words or by a statement of its own where it does not read."""
    value = in_words(content, reads)
    if value != content or reads(content) or len(content) > MOST_SAID:
        return value
    with suppress(LookupError):
        return stated(content, 0, ANSWER, reads, words=True) or content
    return content


def letter_behind(text: str, content: str) -> str:
    """The letter of the choice that the text behind a box names; "" for none or several, or where the box is one."""
    if LETTER.fullmatch(content) or CHOICE.match(content):
        return ""
    letters = {found[1] or found[2] for found in LETTER_NAMED.finditer(text[-TAIL:])}
    letter = letters.pop() if len(letters) == 1 else ""
    return letter if letter.isupper() else ""
