"""choice: did the output choose the right option of a multiple choice?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.reference import as_text, invalid, resolved
from graders.sample import Item, Sample
from graders.template import Template, parse, render, resolve, short
from graders.text.option_reading import LETTERS, Options, options_of, read_choice, text_form


def _template_or_index(reference: Any) -> Any:
    if isinstance(reference, str):
        parse(reference)
    elif isinstance(reference, bool) or not isinstance(reference, int):
        raise ValueError(f"{short(reference)} is no reference; give a template, or the place of an option from 0")
    return reference


def _template_or_options(options: Any) -> Any:
    if isinstance(options, str):
        parse(options)
        return options
    if options is None:
        return None
    _options(options)
    if isinstance(options, Mapping):
        return {as_text(label): as_text(text) for label, text in options.items()}
    return list(map(as_text, options))


class Choice(Grader):
    """1 if the output chose the right option of a multiple choice, else 0.

    Read are "B", "(B)", "**B**", "B. Paris", "Answer: B", "The best option is (B).", "\\\\boxed{B}", "B is right", and
    the text of an option where `options` are given. An output that chooses none or several ("A or B", "not A", a list
    of all, two final answers that differ) fails as unreadable. The thinking part is not read.

    >>> choice = Choice(reference="{{item.answer}}")
    >>> choice("Both fit, but the answer is (B).", {"answer": "B"}).why
    "the output chose 'B', the right option"
    >>> choice("A or B", {"answer": "B"}).error.kind
    'sample_parse_error'
    """

    type: Literal["choice"] = "choice"
    input: Template = "{{sample.output_text}}"
    reference: Annotated[str | int, BeforeValidator(_template_or_index)]
    options: Annotated[str | list[str] | dict[str, str] | None, BeforeValidator(_template_or_options)] = None

    def grade(self, sample: Sample, item: Item) -> Grade:
        options = self._always if self._always is not None else self._of_item(sample, item)
        right = self._right(sample, item, options)
        text = render(self.input, sample, item)
        try:
            chosen = read_choice(text, options)
        except LookupError as problem:
            return Grade.failed("sample_parse_error", f"no single choice: {problem.args[0]}")
        if chosen == right:
            return Grade(1.0, f"the output chose {chosen!r}, the right option", extracted=chosen)
        return Grade(0.0, f"the output chose {chosen!r}; {right!r} is right", extracted=chosen)

    @cached_property
    def _always(self) -> Options | None:
        """The options where the definition fixes them."""
        if self.options is None:
            return options_of(LETTERS)
        return None if isinstance(self.options, str) else _options(self.options)

    def _of_item(self, sample: Sample, item: Item) -> Options:
        value = resolve(str(self.options), sample, item)
        try:
            return _options(value)
        except ValueError as problem:
            raise GradingError("other_error", f"options: {problem}") from None

    def _right(self, sample: Sample, item: Item, options: Options) -> str:
        value = resolved(self.reference, sample, item) if isinstance(self.reference, str) else self.reference
        try:
            text = as_text(value)
        except ValueError:
            raise invalid(value, "a label, the text of an option, or its place from 0 is expected") from None
        named = _named(text, options)
        place = int(text) if not isinstance(value, str) and text.isdecimal() else len(options.labels)
        if place >= len(options.labels):
            if named is None:
                raise invalid(value, f"it is no label, no text and no place of the {len(options.labels)} options")
            return named
        placed = options.labels[place]
        if named not in (None, placed):
            reason = f"as a label or text it is option {named!r}, as a place from 0 option {placed!r}"
            raise invalid(value, f"{reason}; give the label as a text")
        return placed


def _named(text: str, options: Options) -> str | None:
    """The label of the option that a text names, by its label before its text."""
    try:
        return options.named(text.strip().strip("()"))
    except LookupError:
        return options.label_of.get(text_form(text)) or None


def _options(value: Any) -> Options:
    """Options from a list of texts (A, B, ...) or an object from label to text; ValueError for anything else."""
    if isinstance(value, Mapping):
        labels, texts = tuple(value), tuple(value.values())
    elif isinstance(value, list | tuple) and len(value) <= len(LETTERS):
        labels, texts = LETTERS[: len(value)], tuple(value)
    else:
        raise ValueError(f"{short(value)} is neither a list of at most 26 texts nor an object from label to text")
    if len(labels) < 2:
        raise ValueError(f"{short(value)} leaves nothing to choose; give at least two options")
    try:
        labels, texts = tuple(map(as_text, labels)), tuple(map(as_text, texts))
    except ValueError:
        raise ValueError(f"{short(value)}: each option is a text") from None
    return options_of(labels, texts)
