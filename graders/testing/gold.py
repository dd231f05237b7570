"""Gold answers: what an output would say that gives a row's own right answer, and in what dress."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graders.extract import After, AfterThinking, Boxed, Fence, FinalLine, FirstOf, Json, Tag
from graders.grade import GradingError
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.template import STEP, Variable, parse, resolve
from graders.testing.variables import references, walk

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Gold:
    """Where rows hold their right answer, and what an output wears around it."""

    template: str  # as it was given or guessed
    answer: str  # the template of the answer alone
    before: str = ""
    after: str = ""
    rules: Sequence[Any] = ()  # the extract steps that will take the dress off

    def value(self, item: Item) -> Any:
        """The answer as the row holds it, or None when it has none."""
        return value_of(self.answer, item)

    def dressed(self, text: str) -> str:
        """The text where an output must have its answer."""
        return dressed(self.rules, f"{self.before}{text}{self.after}")

    def outputs(self, value: Any, options: Sequence[str] = ()) -> list[Sample]:
        """The ways in which an output may give the answer: as it is, or a list by lines, commas and JSON."""
        texts = _spellings(value, options)
        samples = [Sample(text) for text in dict.fromkeys([*map(self.dressed, texts), *texts])]
        calls = [value] if isinstance(value, Mapping) else value
        if isinstance(calls, list) and all(isinstance(call, Mapping) for call in calls):
            samples.append(Sample(output_tools=calls))  # an empty list: no call is right
        return samples


def gold_of(grader: Grader, given: str | None) -> Gold | None:
    """The gold answers by an item's key or a template, else by the grader's own reference; None when it has none.

    Raises ValueError for a malformed template, and where several references leave open which is meant.
    """
    rules = next((part.extract for part in walk(grader) if part.extract is not None), None) or ()
    if given is None:
        known = references(grader)
        if len(known) > 1:
            raise ValueError(f"{grader.label} compares with {' and '.join(known)}; say which is the answer: --gold KEY")
        return _undressed(known[0], rules) if known else None
    if "{{" not in given:
        given = f"{{{{ item.{given.removeprefix('item.')} }}}}"
    gold = _undressed(given, rules)
    return gold if gold.answer == given else Gold(given, gold.answer, gold.before, gold.after)  # dressed by the user


def _undressed(template: str, rules: Sequence[Any]) -> Gold:
    """One variable with text around it is an answer in a dress; anything else an answer as a whole."""
    pieces = parse(template)
    variables = [number for number, piece in enumerate(pieces) if isinstance(piece, Variable)]
    if len(variables) != 1 or len(pieces) == 1:
        return Gold(template, template, rules=rules)
    place = variables[0]
    before, after = "".join(map(str, pieces[:place])), "".join(map(str, pieces[place + 1 :]))
    variable = pieces[place]
    assert isinstance(variable, Variable)
    return Gold(template, f"{{{{ {variable.text} }}}}", before, after, rules)


def value_of(template: str, item: Item) -> Any:
    """What a template gives for an item, or None when the item lacks it."""
    try:
        return resolve(template, Sample(), item)
    except GradingError:
        return None


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
    value: Any = text
    path = rule.path or ""
    for name, index in reversed(STEP.findall(path if path.startswith("[") else f".{path}")):
        value = {name: value} if name else [*[""] * int(index), value] if int(index) >= 0 else [value]
    written = json.dumps(value, ensure_ascii=False)
    return f"```json\n{written}\n```" if rule.fence else written
