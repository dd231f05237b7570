"""Reading which option of a multiple choice an output chose. Scores nothing.

Everything outside the thinking part is read. What an output states as its answer comes before how its first or
last line begins; wherever two readings of the same standing disagree, none is taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from graders.template import short
from graders.text.finders import boxes, without_thinking
from graders.text.marks import composed, normal, unmarked

LONGEST = 100_000  # characters; a longer output is refused unread
MOST_STATEMENTS = 50  # an output with more statements of its answer is refused unread

LABEL = r"(?P<label>[A-Za-z]|[0-9]{1,2})(?![A-Za-z0-9])"
# "A" and "I" are words too: here they count only where a mark or the end follows.
FIRM_LABEL = re.compile(r"[(\[]?([B-HJ-Zb-hj-z]|[0-9]{1,2}|[AIai](?=\s*(?:$|[)\].,;:!\n])))(?![A-Za-z0-9'’])")
BARE = re.compile(r"[\s(\[]*(?:(?:option|choice|letter)\s[(\[]?)?([A-Za-z]|[0-9]{1,2})[\s)\].:]*", re.IGNORECASE)
# The usual sentence, whole: nothing before it and nothing behind it.
SENTENCE = re.compile(
    r"\s*(?:the\s|my\s)?(?:final\s|correct\s|best\s)?answer(?:\sis)?\s?:?\s?[*(\[]{0,3}([A-Za-z])[*)\].]{0,4}\s*",
    re.IGNORECASE,
)
MARKUP = re.compile(r"[*_`$]+")
WRAPPED = re.compile(r"\\(?:boxed|text|textbf|textit|mathrm|mathbf|rm)\s*\{([^{}]*)\}")
MOST_WRAPPED = 4  # inside one another
TAGGED = re.compile(r"<answer>([^<]{0,500})</answer>")
ANSWER_TAG = re.compile(r"</?answer>")
STATEMENT = re.compile(
    r"\b(?:answer|choice)(?:\s(?:is|would\sbe|must\sbe|should\sbe)\b\s?:?|\s?[:=])\s*(?:(?:option|choice|letter)\s)?"
    r"|\bI(?:['’]ll|['’]d|\swill|\swould)?\s(?:choose|pick|select|go\s(?:with|for))\s(?:(?:option|choice|letter)\s)?",
    re.IGNORECASE,
)
# Words that state an answer only where an option follows.
LOOSE = re.compile(
    r"\b(?:(?:correct|right|best|final|chosen|selected)\s(?:option|one|letter)(?:\sis\b\s?:?|\s?[:=])"
    r"|(?:ans|final|option|letter|alternatively|otherwise)\.?\s?[:=])\s*(?:(?:option|choice|letter)\s)?",
    re.IGNORECASE,
)
# Only where a sentence begins: "neither A nor B is correct" and "if B is correct" state no answer.
VERDICT = re.compile(
    r"(?:^|[.!\n]\s?|\b(?:so|thus|hence|therefore),?\s)(?:(?:option|choice)\s)?[(\[]?" + LABEL + r"[)\]]?"
    r"\sis\s(?:the\s|my\s)?(?:correct|right|best)(?:\s(?:answer|choice|option|one))?(?=[.,!\s]|$)(?!\s?\?)",
    re.IGNORECASE,
)
LINE = re.compile(
    r"[\s>#-]*(?:(?:option|choice)\s)?(?:[(\[]" + LABEL + r"[)\]]|"
    r"(?P<plain>[A-Za-z]|[0-9]{1,2})(?:[).:]|\s?[–—-]\s|,?\s(?=(?:because|since)\b)))",
    re.IGNORECASE,
)
# After these words other options are spoken of, not chosen.
REASON = re.compile(
    r"\b(?:because|since|as|for|due|given|not|rather|instead|while|whereas|which|whose)\b", re.IGNORECASE
)
GOES_ON = re.compile(r"\s*(?:$|[.,;:!)\]–—(-]|(?:because|since|as|for|due|given|not|rather|instead)\b)", re.IGNORECASE)
TAKEN_BACK = re.compile(r"\s*(?:is|isn't|are|was|not)\b", re.IGNORECASE)
DENIED = re.compile(r"\b(?:not|cannot|wrong|incorrect|false|unlikely)\b|n['’]t\b|\?", re.IGNORECASE)
HEDGE = re.compile(
    r"\s*(?:(?:or|and|also|alternatively|maybe|perhaps|possibly|otherwise|but|could|might)\b|[/&+])", re.IGNORECASE
)
SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n")


@dataclass(frozen=True)
class Options:
    """The options of one item: their labels, and label by normalised text where the texts are known."""

    labels: tuple[str, ...]
    label_of: Mapping[str, str]
    standing: re.Pattern[str]  # a label that stands alone in a text
    longest: int  # characters of a line that may be nothing but an option

    def named(self, label: str) -> str:
        """The label as the options have it; LookupError where no option has it."""
        for known in (label, label.upper(), label.lower()):
            if known in self.labels:
                return known
        raise LookupError(f"{label!r} is none of the options {_span(self.labels)}")

    def meant(self, text: str) -> str | None:
        """The label of an option that the text names and nothing else: by its label, else by its own text."""
        if bare := BARE.fullmatch(text) or SENTENCE.fullmatch(text):
            for label in (bare[1], bare[1].upper(), bare[1].lower()):
                if label in self.labels:
                    return label
        return self.label_of.get(text_form(text)) if self.label_of else None

    def others(self, text: str, label: str) -> list[str]:
        """Labels besides `label` that stand alone in `text`."""
        found = {part for groups in self.standing.findall(text) for part in groups if part}
        return sorted(found - {label, label.lower()})


LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@lru_cache(maxsize=4096)
def options_of(labels: tuple[str, ...], texts: tuple[str, ...] = ()) -> Options:
    """Options from labels and, in the same order, their texts. ValueError where they cannot be told apart."""
    for label in labels:
        if not re.fullmatch(r"[A-Za-z]|[0-9]{1,2}", label):
            raise ValueError(f"label {short(label)} is not a letter or a number of at most two digits")
    if len({label.upper() for label in labels}) < len(labels):
        raise ValueError("two options have the same label")
    label_of: dict[str, str] = {}
    for label, text in zip(labels, texts, strict=bool(texts)):
        form = text_form(text)
        if not form:
            raise ValueError(f"the text of option {label!r} is blank")
        if form in label_of:
            raise ValueError(f"options {label_of[form]!r} and {label!r} have the same text")
        label_of[form] = label
    # "A" and "I" are words too: alone they count only where a mark follows.
    words = "".join(label for label in labels if label in "AIai")
    plain = "|".join(label for label in labels if label not in "AIai")
    forms = [rf"[(\[]({'|'.join(labels)})[)\]]"]
    if plain:
        forms.append(rf"(?<![A-Za-z0-9'])({plain})(?![A-Za-z0-9'])")
    if words:
        forms.append(rf"(?<![A-Za-z0-9'])([{words}])(?=\s*(?:$|[).,;:/&\n]|(?:or|and)\b))")
    return Options(labels, label_of, re.compile("|".join(forms)), 40 + max(map(len, texts), default=0))


def text_form(text: str) -> str:
    """The form in which option texts are compared: as names are, without marks at the end."""
    return normal(MARKUP.sub("", text), False).rstrip(".,;!").rstrip()


def read_choice(text: str, options: Options) -> str:
    """The label that the output chose; LookupError with the reason where it is not exactly one."""
    _check_length(text := without_thinking(text))
    _check_length(text := composed(text))
    if (label := options.meant(text)) is not None:  # as most outputs that only name their choice
        return label
    plain = unmarked(MARKUP.sub("", text).strip())
    if not plain:
        raise LookupError("the output is blank")
    if (label := options.meant(plain)) is not None:
        return label
    if bare := BARE.fullmatch(plain):
        return options.named(bare[1])
    stated = _only(_stated(plain, options), "several final answers")
    return stated if stated is not None else _line_label(plain, options)


def _check_length(text: str) -> None:
    if len(text) > LONGEST:
        raise LookupError(f"the output is {len(text):,} characters long; at most {LONGEST:,} are read")


def _unwrapped(text: str) -> str:
    """The text with what `\\boxed{...}` and `\\text{...}` hold in their place."""
    for _ in range(MOST_WRAPPED if "\\" in text else 0):
        text = WRAPPED.sub(r"\1", text)
    return text


def _only(labels: Iterator[str], what: str) -> str | None:
    """The one label of several readings, None where there is none, LookupError where they disagree."""
    first = None
    for count, label in enumerate(labels):
        if first is not None and label != first:
            raise LookupError(f"{what}: {first!r} and {label!r}")
        if count >= MOST_STATEMENTS:
            raise LookupError(f"{what}: more than {MOST_STATEMENTS}")
        first = label
    return first


def _stated(text: str, options: Options) -> Iterator[str]:
    """Every label that the text states as its answer."""
    for boxed in boxes(text).contents:
        yield _alone(_unwrapped(boxed), options)
    text = _unwrapped(text)
    for tagged in TAGGED.finditer(text):
        if not (STATEMENT.search(tagged[1]) or VERDICT.search(tagged[1])):  # else they are read below
            yield _alone(tagged[1], options)
    text = ANSWER_TAG.sub("\n", text)
    for statement in STATEMENT.finditer(text):
        yield _told(text, statement.end(), options)
    for loose in LOOSE.finditer(text):
        if _begins_with_option(text, loose.end(), options):
            yield _told(text, loose.end(), options)
    for verdict in VERDICT.finditer(text):
        label = options.named(verdict["label"])
        _check_rest(text, verdict.end(), label, options)
        yield label
    for line in text.splitlines():
        if len(line) <= options.longest and (named := options.meant(line)) is not None:
            yield named


def _begins_with_option(text: str, start: int, options: Options) -> bool:
    label = FIRM_LABEL.match(text, start)
    if label and label[1].upper() in (known.upper() for known in options.labels):
        return True
    line = text[start : start + 500].partition("\n")[0]
    return bool(options.label_of) and _option_at_start(text_form(line), options) is not None


def _alone(text: str, options: Options) -> str:
    if (label := options.meant(text)) is not None:
        return label
    if (line := LINE.match(text)) is not None:
        label = options.named(line["label"] or line["plain"])
        _check_rest(text, line.end(), label, options, listed=True)
        return label
    raise LookupError(f"the final answer {short(text.strip())} is not one option")


def _told(text: str, start: int, options: Options) -> str:
    """The label or option text right behind the words of a statement."""
    line = text[start : start + 500].partition("\n")[0]
    if options.label_of:
        for told in (line, SENTENCE_END.split(line, maxsplit=1)[0]):
            if (form := text_form(told)) in options.label_of and form.upper() not in options.labels:
                return options.label_of[form]
    found = re.compile(r"[(\[]?" + LABEL + r"[)\]]?").match(text, start)
    if found is None:
        raise LookupError(f"the final answer {short(line.strip())} is not one option")
    label = options.named(found["label"])
    _check_rest(text, found.end(), label, options, listed=found[0][-1] in ")]")
    return label


def _check_rest(text: str, start: int, label: str, options: Options, *, listed: bool = False) -> None:
    """LookupError where what follows a label takes the choice back, contradicts it, or adds another.

    `listed`: the label is marked as in a list, so that its option's text or any other may follow.
    """
    line = text[start : start + 500].partition("\n")[0]
    form = text_form(line.lstrip(" ).:]–—-"))
    if meant := _option_at_start(form, options):
        if options.label_of[meant] != label:
            raise LookupError(f"{label!r} stands with the text of {options.label_of[meant]!r}")
        line = form[len(meant) :]
        if other := _named_besides(_before_reason(line), meant, options):
            raise LookupError(f"{label!r} stands with {short(other)}: not one choice")
        clause = SENTENCE_END.split(line, maxsplit=1)[0].partition(",")[0]
        taken_back = bool(HEDGE.match(line) or DENIED.search(clause) or "?" in line)
    else:
        taken_back = bool(TAKEN_BACK.match(line)) if listed else not GOES_ON.match(line)
    if taken_back:
        raise LookupError(f"{label!r} goes on with {short(line.strip())}, so it is not a plain choice")
    if meant and not line:
        return
    rest = text[start : start + 500].lstrip(" ).:]")
    end = SENTENCE_END.search(rest)
    sentence = rest[: end.start()] if end else rest
    if others := options.others(_before_reason(sentence), label):
        raise LookupError(f"{label!r} stands with {others[0]!r}: not one choice")
    following = rest[end.end() :] if end else ""
    if HEDGE.match(following) and (others := options.others(_before_reason(following.partition("\n")[0]), label)):
        raise LookupError(f"{label!r} is followed by {others[0]!r}: not one choice")


def _option_at_start(form: str, options: Options) -> str | None:
    """The longest option text that the text begins with, as a word or words."""
    begun = [text for text in options.label_of if form.startswith(text) and not form[len(text) :][:1].isalnum()]
    return max(begun, key=len, default=None)


def _named_besides(text: str, meant: str, options: Options) -> str | None:
    """The text of another option that stands in `text`."""
    others = (other for other in options.label_of if other != meant and other in text)
    return next((other for other in others if re.search(rf"(?<!\w){re.escape(other)}(?!\w)", text)), None)


def _before_reason(text: str) -> str:
    reason = REASON.search(text)
    return text[: reason.start()] if reason else text


def _line_label(text: str, options: Options) -> str:
    """The label that the first or last line begins with, where no line begins with another."""
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [(number, match) for number, line in enumerate(lines) if (match := LINE.match(line))]
    labels = {(match["label"] or match["plain"]).upper() for _, match in marked}
    if len(labels) > 1:
        one, two, *_ = sorted(labels)
        raise LookupError(f"lines begin with several labels, {one!r} and {two!r}, and none is stated as the answer")
    if not any(number in (0, len(lines) - 1) for number, _ in marked):
        raise LookupError(f"no option is named as the answer in {short(text)}")
    number, match = marked[0]
    label = options.named(match["label"] or match["plain"])
    rest = "\n".join(lines[number:])
    _check_rest(rest, match.end(), label, options, listed=True)
    return label


def _span(labels: Sequence[str]) -> str:
    return ", ".join(labels) if len(labels) <= 10 else f"{labels[0]} to {labels[-1]}"
