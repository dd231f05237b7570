"""choice: did the output choose the right option of a multiple choice?"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.template import Template, parse, render, resolve, short
from graders.text.answers import invalid
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
        return {str(label): str(text) for label, text in options.items()}
    return list(map(str, options))


class Choice(Grader):
    """1 if the output chose the right option of a multiple choice, else 0.

    Read are "B", "(B)", "**B**", "B. Paris", "Answer: B", "The answer is (B).", "\\\\boxed{B}", "B is correct", and the
    text of an option where `options` are given. An output that chooses none or several ("A or B", "not A", a list of
    all, two final answers that differ) fails as unreadable. The thinking part is not read.

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
        value = resolve(self.reference, sample, item) if isinstance(self.reference, str) else self.reference
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise invalid(value, "a label, the text of an option, or its place from 0 is expected")
        if isinstance(value, int):
            if not 0 <= value < len(options.labels):
                raise invalid(value, f"places go from 0 to {len(options.labels) - 1}")
            return options.labels[value]
        try:
            return options.named(value.strip().strip("()"))
        except LookupError:
            if label := options.label_of.get(text_form(value)):
                return label
        raise invalid(value, f"it is neither a label nor the text of one of {len(options.labels)} options")


def _options(value: Any) -> Options:
    """Options from a list of texts (A, B, ...) or an object from label to text; ValueError for anything else."""
    if isinstance(value, Mapping):
        labels, texts = tuple(value), tuple(value.values())
    elif isinstance(value, list) and len(value) <= len(LETTERS):
        labels, texts = LETTERS[: len(value)], tuple(value)
    else:
        raise ValueError(f"{short(value)} is neither a list of at most 26 texts nor an object from label to text")
    if len(labels) < 2:
        raise ValueError(f"{short(value)} leaves nothing to choose; give at least two options")
    if not all(isinstance(text, str | int | float) and not isinstance(text, bool) for text in (*labels, *texts)):
        raise ValueError(f"{short(value)}: each option is a text")
    return options_of(tuple(map(str, labels)), tuple(map(str, texts)))
