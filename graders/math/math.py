"""math: does the final answer in the input mean the same as the reference?"""

from __future__ import annotations

from dataclasses import fields
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field, model_validator

from graders.grade import Grade, GradeError, GradingError
from graders.grader import Grader
from graders.math.answer.final_answer import Found, final_answer, reference_answer
from graders.math.closeness import closeness
from graders.math.evaluated import unevaluated
from graders.math.policy import Policy
from graders.math.reading.parse import parse, parse_words
from graders.math.shapes.decidable import is_decidable
from graders.math.shapes.shapes import same
from graders.math.tree import Node, Verdict
from graders.math.values.balls import MissingLibrary, library
from graders.math.written import written
from graders.sample import Item, Sample
from graders.template import Template, render_all, short

if TYPE_CHECKING:
    from graders.math.calculus.calculus import Calculus

REMEMBERED = 2_000  # characters of a reference that is read once only


class _Reference(NamedTuple):
    text: str
    tree: Node | None
    problem: str = ""


class Math(Grader):
    """1 if the final answer in the input is mathematically the reference, else 0.

    The final answer is looked for in the input (`answer` "find": a box, an answer tag, "the answer is", ...; "whole":
    the input is the answer), read as LaTeX or plain text, and compared: same text, same tree, exact arithmetic, proved
    enclosures at points derived from both, and by shape. No part of it is ever run or evaluated as code. What counts
    as equal beyond mathematics is said by the options, see docs/graders/math.md.

    >>> Math(reference="{{item.gold}}")("so it is \\\\boxed{0.5}.", {"gold": "\\\\frac12"}).why
    '0.5 equals 1/2 (rule: box)'
    """

    type: Literal["math"] = "math"
    input: Template = "{{sample.output_text}}"
    reference: Template
    answer: Literal["find", "whole"] = "find"
    percent: Literal["either", "value", "sign"] = "either"
    units: Literal["optional", "required", "ignored"] = "optional"
    order: Literal["written", "strict", "free"] = "written"
    shape: Literal["written", "loose"] = "written"
    bases: Literal["same", "value", "optional"] = "same"
    form: Literal["any", "evaluated"] = "any"
    text: bool = True
    digits: int = Field(5, ge=1, le=50, strict=True)
    rel_tol: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False, strict=True)
    partial_credit: float = Field(0.0, ge=0, lt=1, allow_inf_nan=False, strict=True)
    calculus: bool = False
    calculus_seconds: float = Field(5.0, gt=0, le=600, allow_inf_nan=False)

    @model_validator(mode="after")
    def _options_fit(self) -> Math:
        if "calculus_seconds" in self.model_fields_set and not self.calculus:
            raise ValueError("calculus_seconds has no effect without calculus; set calculus to true, or leave it out")
        return self

    def check_ready(self) -> None:
        try:
            library()
        except MissingLibrary as problem:
            raise ValueError(str(problem)) from None

    def grade(self, sample: Sample, item: Item) -> Grade:
        text, right = render_all([self.input, self.reference], sample, item)
        if not right.strip():
            raise GradingError("invalid_reference", "the reference is blank")
        if text.strip() == right.strip():
            return Grade(1.0, "the same text as the reference", extracted=short_of(text.strip()))
        reference = (_read_reference if len(right) <= REMEMBERED else _reference)(right, self.text)
        if reference.tree is None and not self._says(text, reference.text):
            raise GradingError("invalid_reference", f"the reference {short(reference.text)} {reference.problem}")
        found = self._found(text)
        if reference.tree is None or (found.text == reference.text and not found.also):
            return Grade(1.0, f"the same text as the reference (rule: {found.rule})", extracted=short_of(found.text))
        answer = self._answer(found)
        try:
            return self._compared(answer, found, reference.tree)
        except MissingLibrary as problem:
            raise GradingError("not_installed", str(problem), "infra") from None

    def _found(self, text: str) -> Found:
        if self.answer == "whole":
            return Found(text.strip(), "whole", ())
        try:
            return final_answer(text, reads)
        except LookupError as problem:
            raise GradingError("extraction_failed", f"no final answer: {problem.args[0]}", "candidate") from None

    def _says(self, text: str, words: str) -> bool:
        """Whether the one final answer of a text is these words, letter by letter."""
        try:
            found = self._found(text)
        except GradingError:
            return False
        return found.text == words and not found.also

    def _answer(self, found: Found) -> Node:
        try:
            return parse_words(found.text) if self.text else parse(found.text)
        except ValueError as problem:
            detail = f"{short(found.text)} is not read as mathematics: {problem}"
            raise GradingError("sample_parse_error", detail, "candidate") from None

    def _compared(self, answer: Node, found: Found, gold: Node) -> Grade:
        extracted = written(answer)
        for other in found.also:
            if not self._agrees(answer, other):
                why = f"two final answers disagree: {extracted} (rule: {found.rule}) and {short(other)}"
                return Grade(0.0, why, extracted=extracted)
        if self.form == "evaluated" and (left := unevaluated(answer)):
            return Grade(0.0, f"{extracted} leaves arithmetic to do: {left}", extracted=extracted)
        verdict = same(gold, answer, self._policy)
        if verdict.outcome == "undecided" and self.calculus:
            verdict = _calculus().decide(gold, answer, self.calculus_seconds, self._policy)
        return self._graded(verdict, answer, found, gold)

    def _graded(self, verdict: Verdict, answer: Node, found: Found, gold: Node) -> Grade:
        extracted, right = written(answer), written(gold)
        if verdict.equal:
            return Grade(1.0, f"{extracted} equals {right} (rule: {found.rule})", extracted=extracted)
        why = f"{extracted} is not {right}: {verdict.why} (rule: {found.rule})"
        if verdict.outcome == "undecided":
            return self._undecided(verdict, answer, found, gold)
        if self.partial_credit and verdict.step != "chain":
            share, reason = closeness(gold, answer, self._policy)
            if share:
                credit = self.partial_credit * share
                return Grade(credit, f"{why}; {reason}: credit {credit:.3g}", extracted=extracted)
        return Grade(0.0, why, extracted=extracted)

    def _undecided(self, verdict: Verdict, answer: Node, found: Found, gold: Node) -> Grade:
        """A decided 0 where the answer is what cannot be decided; undecided where the reference is."""
        why = f"{written(answer)} is neither proved equal to {written(gold)} nor different: {verdict.why}"
        if is_decidable(gold):
            return Grade.failed("undecided_equality", f"{why} (rule: {found.rule})", extracted=written(answer))
        return Grade(None, why, GradeError("undecided_equality", "grader", why), extracted=written(answer))

    def _agrees(self, answer: Node, other: str) -> bool:
        try:
            tree = parse_words(other)
        except ValueError:
            return False
        return tree == answer or same(tree, answer, self._policy).equal

    @cached_property
    def _policy(self) -> Policy:
        return Policy(**{field.name: getattr(self, field.name) for field in fields(Policy)})


@cache
def _calculus() -> Calculus:
    """The one worker of this process, started when it is first asked."""
    from graders.math.calculus.calculus import Calculus

    return Calculus()


def reads(text: str) -> bool:
    """Whether a text is mathematics that can be read."""
    try:
        parse(text)
    except ValueError:
        return False
    return True


def short_of(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:199]}…"


def _reference(text: str, words: bool) -> _Reference:
    """The final answer of a reference, read; `words`: whether it may be words."""
    found = text.strip()
    try:
        found = reference_answer(text, reads).text
        tree = parse_words(found)
    except LookupError as problem:
        return _Reference(found, None, f"has no final answer: {problem.args[0]}")
    except ValueError as problem:
        return _Reference(found, None, f"is not read as mathematics: {problem}")
    if tree.head == "text" and not words:
        return _Reference(found, None, "is words; text is false")
    return _Reference(found, tree)


_read_reference = lru_cache(maxsize=512)(_reference)
