"""Degenerate outputs: those that answer nothing, and those that hold the right answer without choosing it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from graders.grader import Grader
from graders.sample import Item, Sample
from graders.testing.gold import Gold, value_of
from graders.testing.variables import item_variables, references, walk

FORBIDDEN = ("blank", "whitespace", "echo of the prompt")
"""Degenerate outputs that must not get full marks."""
OPTION_FIELDS = ("allowed", "options", "choices", "labels")  # of graders, where they list the answers there are
HONEST = "gold in a sentence"
MOST_OPTIONS = 50
REPEATS = 50


class Row(NamedTuple):
    """One row of the data: where it stands, its item, and what a model would be asked."""

    place: str
    item: Item
    prompt: str


def tasks(
    grader: Grader, rows: Iterable[Row], gold: Gold | None, golds: Mapping[str, Any]
) -> Iterator[tuple[str, Row, Sample]]:
    """Every output to be graded, under the name of its probe; "" for the gold answers."""
    named = [variable.rpartition(".")[2] for template in references(grader) for variable in _names(template)]
    hidden = {variable.split(".")[1].partition("[")[0] for variable in item_variables(grader)}
    answers = list(dict.fromkeys(text for value in golds.values() if (text := _text(value))))
    dress = gold.dressed if gold else str
    for row in rows:
        options = _options(grader, row.item)
        value = golds.get(row.place)
        if gold is not None and value is not None:
            for sample in gold.outputs(value, options):
                yield "", row, sample
        right = _text(value)
        shown = [text for key, text in row.item.items() if isinstance(text, str) and key not in hidden]
        for name, output in _silent(row.prompt or "\n".join(shown)):  # what is compared with is in no prompt
            if value == []:
                break  # nothing is what is asked for
            if not right or output.strip() not in (right.strip(), dress(right).strip()):
                yield name, row, Sample(output)
        for name, output in _sly(right, named, options, answers):
            if output.strip() != right.strip():
                yield name, row, Sample(dress(output))


def _silent(prompt: str) -> Iterator[tuple[str, str]]:
    """Outputs that answer nothing."""
    yield "blank", ""
    yield "whitespace", " \n\t "
    if prompt:
        yield "echo of the prompt", prompt


def _sly(gold: str, named: Sequence[str], options: Sequence[str], answers: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Answers that hold, or hope to hold, the right one without choosing it."""
    for name in dict.fromkeys(named):
        yield "name of the reference", name
        yield "template of the reference", f"{{{{ item.{name} }}}}"
    listed = options or answers
    if 1 < len(listed) <= MOST_OPTIONS:
        yield "every option listed", ", ".join(listed)
    if gold:
        other = next((option for option in [*options, *answers] if option != gold), None)
        if other is not None:
            yield "gold and another", f"{gold} and {other}"
        yield "gold negated", f"not {gold}"
        yield f"gold {REPEATS} times", " ".join([gold] * REPEATS)
        yield HONEST, f"The answer is {gold}."


def _text(gold: Any) -> str:
    """A gold answer as a text to be twisted; "" when there is none."""
    if isinstance(gold, str):
        return gold
    if isinstance(gold, list) and gold and isinstance(gold[0], str):
        return gold[0]
    return "" if gold is None else json.dumps(gold, ensure_ascii=False)


def _names(template: str) -> list[str]:
    return [part.partition("}}")[0].strip() for part in template.split("{{")[1:]]


def _options(grader: Grader, item: Item) -> list[str]:
    """The answers there are, where the grader's definition or the item lists them."""
    for part in walk(grader):
        for name in OPTION_FIELDS:
            given = getattr(part, name, None)
            value = value_of(given, item) if isinstance(given, str) else given
            if isinstance(value, Mapping):
                value = list(value.values())
            if isinstance(value, list | tuple) and value and all(isinstance(option, str) for option in value):
                return list(value)
    return []
