"""What a grader compares: what its parts read of the output, and the right answers they hold it against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graders.composite import Composite
from graders.grader import Grader
from graders.template import Variable, parse

TEXT = ("output_text",)
ALSO: dict[tuple[str | int, ...], tuple[str | int, ...]] = {
    ("choices", 0, "message", "content"): TEXT,
    ("choices", 0, "message", "tool_calls"): ("output_tools",),
}
"""Other names of the same places."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One right answer of a definition, and the place in a sample where it is looked for."""

    answer: str  # a template
    place: tuple[str | int, ...]  # as in ("output_json", "gene")

    @property
    def of_item(self) -> bool:
        """Whether the item holds the answer; else the definition itself does."""
        return bool(_of(self.answer, "item"))


def walk(grader: Grader) -> Iterator[Grader]:
    """The grader and, depth first, every grader inside it."""
    yield grader
    if isinstance(grader, Composite):
        for part in grader.members.values():
            yield from walk(part)


def reads_whole_item(grader: Grader) -> bool:
    """Whether a grader is handed sample and item as they are, where others name in `input` what they read of them."""
    return not isinstance(grader, Composite) and "input" not in type(grader).model_fields


def references(grader: Grader) -> list[str]:
    """The templates it compares with that name an item's variable, each once, those of its parts included."""
    return list(dict.fromkeys(one.answer for one in comparisons(grader) if one.of_item))


def comparisons(grader: Grader) -> Iterator[Comparison]:
    """The right answers a grader and its parts know of, each with its place; none of a part that wants another one."""
    reference, read = getattr(grader, "reference", None), getattr(grader, "input", None)
    if reference is not None:  # the graders of a part of it see that part as `item.reference`
        if getattr(grader, "operation", None) != "ne":
            yield from _compared(reference, read if isinstance(read, str) else "")
    elif isinstance(grader, Composite) and grader.type != "negate":
        for part in grader.members.values():
            yield from comparisons(part)


def _compared(reference: Any, read: str) -> Iterator[Comparison]:
    texts = [text for text in (reference if isinstance(reference, list | tuple) else [reference]) if _text(text)]
    named = next((text for text in texts if _of(text, "item")), None)
    if named is None and _of(read, "item") and texts and _of(texts[0], "sample"):
        yield Comparison(read, _place(texts[0]))  # the two are the other way round
    elif texts:
        yield Comparison(named or texts[0], _place(read))


def variables(text: str) -> list[Variable]:
    """The variables of a template; of any other text none."""
    try:
        return [piece for piece in parse(text) if isinstance(piece, Variable)]
    except ValueError:
        return []


def _text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _of(template: str, namespace: str) -> list[Variable]:
    return [variable for variable in variables(template) if variable.namespace == namespace]


def _place(template: str) -> tuple[str | int, ...]:
    """Where the first variable of the sample in a template leads; the text where there is none."""
    path = next((variable.path for variable in _of(template, "sample")), TEXT)
    for name, stands_for in ALSO.items():
        if path[: len(name)] == name:
            path = stands_for + path[len(name) :]
    return path if path[0] in ("output_json", "output_tools") else TEXT
