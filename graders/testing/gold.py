"""Gold answers: what an output would say that gives a row's own right answers, and where it must say them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

from graders.extract import After, AfterThinking, Boxed, Fence, FinalLine, FirstOf, Json, Tag
from graders.grade import GradingError
from graders.grader import Grader
from graders.sample import Item, Sample, parse_json
from graders.template import STEP, Variable, parse, resolve
from graders.testing.comparisons import TEXT, Comparison, comparisons, variables, walk

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MOST_SPELLINGS = 32  # of one row's answers together
CALL: Mapping[str, Any] = {"type": "function", "function": {"name": "", "arguments": "{}"}}


@dataclass(frozen=True, slots=True)
class Gold:
    """Where rows hold their right answers, and how an output gives them."""

    template: str  # as it is shown
    answers: tuple[Comparison, ...]
    form: str = ""  # a template of the whole output, with the answers in order; "": each is put in its place
    rules: Sequence[Any] = ()  # the extract steps that will take the dress off

    @property
    def variables(self) -> set[str]:
        """What of the item a row must have for it."""
        return {variable.text for one in self.answers for variable in variables(one.answer)}

    def values(self, item: Item) -> tuple[Any, ...] | None:
        """The answers as the row holds them, or None when it lacks one."""
        values = tuple(value_of(one.answer, item) for one in self.answers)
        return None if any(value is None for value in values) else values

    def outputs(self, values: Sequence[Any], options: Sequence[str] = ()) -> list[Sample]:
        """The ways in which an output may give the answers: as they are, or a list by lines, commas and JSON."""
        ways = [[value] if isinstance(value, str) else [value, *_spellings(value, options)] for value in values]
        samples = [self._sample(each) for each in islice(product(*ways), MOST_SPELLINGS)]
        if len(values) == 1:
            samples += [Sample(as_text(value)) for value in ways[0]]  # without the dress
            calls = [values[0]] if isinstance(values[0], Mapping) else values[0]
            if isinstance(calls, list) and all(isinstance(call, Mapping) for call in calls):
                samples.append(Sample(output_tools=calls))  # an empty list: no call is right
        return [sample for number, sample in enumerate(samples) if sample not in samples[:number]]

    def with_first(self, values: Sequence[Any] | None, text: str) -> Sample:
        """The output that gives a text in place of the first answer; of a row that lacks some, without them."""
        return self._sample((text, *(values or [""] * len(self.answers))[1:]))

    def _sample(self, values: Sequence[Any]) -> Sample:
        if self.form:
            return Sample(dressed(self.rules, _filled(self.form, values)))
        root: Any = {}
        for one, value in zip(self.answers, values, strict=True):
            as_written = one.place == TEXT or (one.place[0] == "output_tools" and one.place[-1] == "arguments")
            root = put(root, one.place, as_text(value) if as_written else value)
        text = root.get("output_text")
        if "output_json" in root:
            text = json.dumps(root["output_json"], ensure_ascii=False)
        given = root.get("output_tools", [])
        calls = [_call(call) for call in (given if isinstance(given, list) else [given])]
        return Sample("" if text is None else dressed(self.rules, text), output_tools=calls)


def gold_of(grader: Grader, given: str | None) -> Gold | None:
    """The gold answers by an item's key or a template, else by what the grader compares; None when that tells none.

    Raises ValueError for a malformed template, and where several references leave open which is meant.
    """
    rules = next((part.extract for part in walk(grader) if part.extract is not None), None) or ()
    known = list(comparisons(grader))
    if given is None:
        answers = _together(grader, known)
        if len(answers) == 1 and answers[0].place == TEXT:
            return _written(answers[0].answer, rules)
        return Gold(" and ".join(one.answer for one in answers), answers, rules=rules) if answers else None
    if "{{" not in given:
        given = f"{{{{ item.{given.removeprefix('item.')} }}}}"
    gold = _written(given, ())
    if gold.form:
        return gold  # dressed by the user
    places = list(dict.fromkeys(one.place for one in known))
    return Gold(given, (Comparison(given, places[0] if len(places) == 1 else TEXT),), rules=rules)


def _written(template: str, rules: Sequence[Any]) -> Gold:
    """Variables with text around them are answers in a form; a variable alone is the answer as a whole."""
    pieces = parse(template)
    answers = tuple(Comparison(f"{{{{ {one.text} }}}}", TEXT) for one in pieces if isinstance(one, Variable))
    if len(pieces) == 1 or not answers:
        return Gold(template, (Comparison(template, TEXT),), rules=rules)
    return Gold(template, answers, template, rules)


def _together(grader: Grader, known: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The answers that one output gives: those of the item, and what the definition wants in other places."""
    mine = list(dict.fromkeys(one for one in known if one.of_item))
    places = {one.place for one in mine}
    if len(mine) > len(places) or {"output_text", "output_json"} <= {place[0] for place in places}:
        told = " and ".join(dict.fromkeys(one.answer for one in mine))
        raise ValueError(
            f"{grader.label} compares the output with {told}; say which is the answer, or write the output that "
            "holds them: --gold KEY or --gold TEMPLATE"
        )
    for one in known:  # a text of the definition may be a part of the right one only
        if one.place not in places and one.place != TEXT and not (one.place[0] == "output_json" and TEXT in places):
            mine.append(one)
            places.add(one.place)
    return tuple(sorted(mine, key=lambda one: (not one.of_item, len(one.place))))


def value_of(template: str, item: Item) -> Any:
    """What a template gives for an item, or None when the item lacks it."""
    try:
        return resolve(template, Sample(), item)
    except GradingError:
        return None


def put(root: Any, path: Sequence[str | int], value: Any) -> Any:
    """`root` with a value at the end of a path: what is missing on the way is made, lists are filled up with ""."""
    if not path:
        return value
    step, *rest = path
    if isinstance(step, str):
        known = root if isinstance(root, Mapping) else {}
        return {**known, step: put(known.get(step), rest, value)}
    listed = list(root) if isinstance(root, list) else []
    place = step if step >= 0 else max(0, len(listed) + step)
    listed += [""] * (place + 1 - len(listed))
    listed[place] = put(listed[place], rest, value)
    return listed


def _call(given: Any) -> Mapping[str, Any]:
    """A tool call with all that one in OpenAI's form has."""
    if not isinstance(given, Mapping):
        return CALL
    function = given.get("function")
    return {**CALL, **given, "function": {**CALL["function"], **function}} if isinstance(function, Mapping) else given


def _filled(form: str, values: Sequence[Any]) -> str:
    """A template with its variables put in; where it is JSON, as JSON has them."""
    pieces = parse(form)
    in_json = isinstance(parse_json("".join(piece if isinstance(piece, str) else "0" for piece in pieces)), dict | list)
    given, before, filled = iter(values), "", ""
    for piece in pieces:
        if isinstance(piece, str):
            before += piece
            filled += piece
        elif not in_json:
            filled += as_text(next(given))
        elif re.findall(r'\\.|"', before).count('"') % 2:  # within a string
            filled += json.dumps(as_text(next(given)), ensure_ascii=False)[1:-1]
        else:
            filled += json.dumps(next(given), ensure_ascii=False)
    return filled


def as_text(value: Any) -> str:
    """A value as a text; what is no text as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _spellings(value: Any, options: Sequence[str]) -> list[str]:
    if isinstance(value, str):
        return [value]
    texts = [json.dumps(value, ensure_ascii=False), json.dumps(value, ensure_ascii=False, separators=(",", ":"))]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < min(len(options), len(LETTERS)):
        texts += [LETTERS[value], options[value]]  # the place of an option
    if isinstance(value, Mapping) and value and all(isinstance(number, int | float) for number in value.values()):
        value = sorted(value, key=lambda name: -value[name])  # names with their relevance
        texts.append(json.dumps(value, ensure_ascii=False))
    if isinstance(value, list) and value and all(isinstance(part, str | int | float) for part in value):
        parts = [part if isinstance(part, str) else json.dumps(part) for part in value]
        texts += [parts[0], "\n".join(parts), ", ".join(parts)]
    return texts


def dressed(rules: Sequence[Any], text: str) -> str:
    """An output in which the extract rules find the text; of a rule that no text follows from, the text itself."""
    for rule in reversed(rules):
        match rule:
            case Boxed():
                text = f"\\boxed{{{text}}}"
            case Tag():
                text = f"<{rule.name}>{text}</{rule.name}>"
            case Fence():
                text = f"```{rule.language or ''}\n{text}\n```"
            case Json():
                text = _in_json(rule, text)
            case After():
                text = f"{rule.marker} {text}"
            case FirstOf():
                text = dressed(rule.alternatives[0], text)
            case FinalLine() | AfterThinking():
                text = f"\n{text}"
    return text


def _in_json(rule: Json, text: str) -> str:
    path = rule.path or ""
    steps = STEP.findall(path if path.startswith("[") else f".{path}")
    written = json.dumps(put(None, [name or int(index) for name, index in steps], text), ensure_ascii=False)
    return f"```json\n{written}\n```" if rule.fence else written
