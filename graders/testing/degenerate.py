"""Degenerate outputs: those that answer nothing, and those that hold the right answer without choosing it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from graders.grader import Grader
from graders.sample import Item, Sample
from graders.testing.comparisons import references, variables, walk
from graders.testing.gold import Gold, as_text, value_of
from graders.variables import item_variables

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
    grader: Grader, rows: Iterable[Row], gold: Gold | None, golds: Mapping[str, Sequence[Any] | None]
) -> Iterator[tuple[str, Row, Sample]]:
    """Every output to be graded, under the name of its probe; "" for the gold answers."""
    named = [one.text.rpartition(".")[2] for template in references(grader) for one in variables(template)]
    hidden = {variable.split(".")[1].partition("[")[0] for variable in item_variables(grader)}
    answers = list(dict.fromkeys(text for values in golds.values() if values and (text := _text(values[0]))))
    for row in rows:
        options = _options(grader, row.item)
        values = golds.get(row.place)
        if gold is not None and values is not None:
            for sample in gold.outputs(values, options):
                yield "", row, sample
        right = _text(values[0]) if values else ""
        shown = [text for key, text in row.item.items() if isinstance(text, str) and key not in hidden]
        for name, output in _silent(row.prompt or "\n".join(shown)):  # what is compared with is in no prompt
            if values == ([],):
                break  # nothing is what is asked for
            if not (gold and right and _says(output, right, gold.with_first(values, right))):
                yield name, row, Sample(output)
        for name, output in (*_sly(right, named, options, answers), *_constant(grader, row.item)):
            if output.strip() != right.strip():
                yield name, row, gold.with_first(values, output) if gold else Sample(output)


def _says(output: str, right: str, gold: Sample) -> bool:
    """Whether an output is the gold answer, dressed or not."""
    return not gold.output_tools and output.strip() in (right.strip(), gold.output_text.strip())


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


def _constant(grader: Grader, item: Item) -> Iterator[tuple[str, str]]:
    """Functions that return the same whatever they are asked, for a grader that runs a function of the output."""
    for part in walk(grader):
        name = value_of(getattr(part, "function", ""), item) if part.type == "code" else None
        if not isinstance(name, str) or not name.isidentifier():
            continue
        cases = value_of(part.cases, item) if isinstance(part.cases, str) else part.cases  # type: ignore[attr-defined]
        first = cases[0] if isinstance(cases, list) and cases else None
        if isinstance(first, Mapping) and "expected" in first:
            yield "return the first case's answer", _returning(name, repr(first["expected"]))
        for value in ("None", "True"):
            yield f"return {value}", _returning(name, value)
        return


def _returning(name: str, value: str) -> str:
    return f"def {name}(*args, **kwargs):\n    return {value}\n"


def _text(gold: Any) -> str:
    """A gold answer as a text to be twisted; "" when there is none."""
    if isinstance(gold, str):
        return gold
    if isinstance(gold, list) and gold and isinstance(gold[0], str):
        return gold[0]
    return as_text(gold)


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
