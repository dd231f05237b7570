"""score_model: a judge model gives a number."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from graders.grade import Grade, GradingError, GradingStopped
from graders.model.expectation import MOST, TOP, Spread, spread_of, tells_chances
from graders.model.judge import OutputJudge
from graders.model.messages import Messages
from graders.model.verdict import STEPS, conclusion_of, form_of, number_of, object_in
from graders.options import Number
from graders.sample import Item, Sample
from graders.service.question import Answer, Form
from graders.service.services import current
from graders.template import short

FORM = Form("score", form_of(steps=STEPS, result={"type": "number"}))


def _interval(given: Any) -> Any:
    if given is None:
        return (0.0, 1.0)
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise ValueError("a range is two numbers, [lowest, highest]")
    return given


class ScoreModel(OutputJudge):
    """A number from a judge model, within `range` (OpenAI's `score_model`).

    The judge answers `{"steps": [{"description", "conclusion"}], "result": <number>}`; a result outside the range
    counts as the nearest number inside, as OpenAI's does.

    >>> grader = ScoreModel(
    ...     model="gpt-4o", input=[{"role": "user", "content": "Rate {{sample.output_text}}"}], fence=False
    ... )
    >>> grader.messages(Sample("a haiku"), {})
    [{'role': 'user', 'content': 'Rate a haiku'}]
    """

    in_openai: ClassVar[bool] = True
    own: ClassVar[frozenset[str]] = OutputJudge.own | {"expectation"}

    type: Literal["score_model"] = "score_model"
    input: Messages
    score_range: Annotated[tuple[Number, Number], BeforeValidator(_interval)] = Field((0.0, 1.0), alias="range")
    pass_threshold: Number | None = None
    expectation: bool = False  # the mean over the probabilities of `result`, not the number that was written

    @field_validator("score_range")
    @classmethod
    def _rises(cls, given: tuple[float, float]) -> tuple[float, float]:
        if given[0] >= given[1]:
            raise ValueError(f"the lowest score must be less than the highest, and {given[0]:g} >= {given[1]:g}")
        return given

    @model_validator(mode="after")
    def _few_whole_numbers(self) -> ScoreModel:
        low, high = self.score_range
        whole = low >= 0 and low.is_integer() and high.is_integer()
        if self.expectation and not (whole and high - low < MOST):
            raise ValueError(
                f"expectation: needs a range between whole numbers, 0 or more, that holds at most {MOST} of them, not "
                f"[{low:g}, {high:g}]; use a range such as [0, 5], or leave 'expectation' out"
            )
        return self

    @property
    def range(self) -> tuple[float, float]:
        return self.score_range

    def to_wire(self) -> dict[str, Any]:
        wire = super().to_wire()
        if "score_range" in wire:
            wire["range"] = wire.pop("score_range")
        return wire

    def messages(self, sample: Sample, item: Item) -> list[dict[str, Any]]:
        """What the judge is asked: `{"role", "content"}` in order, every variable put in."""
        return self.shown(self.input, sample, item)

    async def judged(self, sample: Sample, item: Item, keep: bool = True) -> Grade:
        messages = self.messages(sample, item)
        if self.expectation:
            return await self._expected(messages, keep)
        reply = await self.ask(messages, FORM, _read, keep)
        result, wire = reply.value
        low, high = self.score_range
        score = min(max(result, low), high)  # finite: `number_of` saw to it
        why = f"{reply.answer.model} gave {result:g} of {low:g} to {high:g}"
        if score != result:
            why = f"{why}, counted as {score:g}"
        return Grade(score, _with_conclusion(why, wire), extracted=wire, usage=reply.usage)

    @cached_property
    def _whole_numbers(self) -> Form:
        low, high = map(int, self.score_range)
        return Form("score", form_of(steps=STEPS, result={"type": "integer", "enum": [*range(low, high + 1)]}))

    async def _expected(self, messages: list[dict[str, Any]], keep: bool) -> Grade:
        low, high = map(int, self.score_range)

        def read(answer: Answer) -> tuple[Spread, Mapping[str, Any]]:
            result, wire = _read(answer)
            if not low <= result <= high:
                raise ValueError(f"'result' must be a whole number from {low} to {high}, not {result:g}")
            told = current().told_chances(self.model, tells_chances(answer))
            try:
                return spread_of(answer, "result", low, high), wire
            except GradingError as problem:
                if told or problem.error.kind != "model_grader_server_error":
                    raise
                raise GradingStopped(f"{self.label}: {problem.error.detail}") from None

        reply = await self.ask(messages, self._whole_numbers, read, keep, top_logprobs=TOP)
        (mean, probabilities, share), wire = reply.value
        chances = ", ".join(f"{number}: {probability:.1%}" for number, probability in probabilities.items())
        why = (
            f"{reply.answer.model} gave {mean:.4g} of {low} to {high}, the expectation over the probabilities of its "
            f"result ({chances}); it wrote {wire['result']}"
        )
        spread = {
            "probabilities": {str(number): probability for number, probability in probabilities.items()},
            "share": share,
        }
        return Grade(mean, _with_conclusion(why, wire), extracted={**wire, **spread}, usage=reply.usage)


def _read(answer: Answer) -> tuple[float, Mapping[str, Any]]:
    wire = object_in(answer)
    return number_of(wire, "result"), wire


def _with_conclusion(why: str, wire: Mapping[str, Any]) -> str:
    said = conclusion_of(wire)
    return f"{why}: {short(said, 300)}" if said else why
