"""score_model: a judge model gives a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from graders.grade import Grade
from graders.model.judge import Judge
from graders.model.messages import Messages
from graders.model.verdict import STEPS, conclusion_of, form_of, number_of, object_in
from graders.options import Number
from graders.sample import Item, Sample
from graders.service.question import Answer, Form
from graders.template import short

FORM = Form("score", form_of(steps=STEPS, result={"type": "number"}))


def _interval(given: Any) -> Any:
    if given is None:
        return (0.0, 1.0)
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise ValueError("a range is two numbers, [lowest, highest]")
    return given


class ScoreModel(Judge):
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

    type: Literal["score_model"] = "score_model"
    input: Messages
    score_range: Annotated[tuple[Number, Number], BeforeValidator(_interval)] = Field((0.0, 1.0), alias="range")
    pass_threshold: Number | None = None

    @field_validator("score_range")
    @classmethod
    def _rises(cls, given: tuple[float, float]) -> tuple[float, float]:
        if given[0] >= given[1]:
            raise ValueError(f"the lowest score must be less than the highest, and {given[0]:g} >= {given[1]:g}")
        return given

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
        reply = await self.ask(self.messages(sample, item), FORM, _read, keep)
        result, wire = reply.value
        low, high = self.score_range
        score = min(max(result, low), high)  # finite: `number_of` saw to it
        why = f"{reply.answer.model} gave {result:g} of {low:g} to {high:g}"
        if score != result:
            why = f"{why}, counted as {score:g}"
        if said := conclusion_of(wire):
            why = f"{why}: {short(said, 300)}"
        return Grade(score, why, extracted=wire, usage=reply.usage)


def _read(answer: Answer) -> tuple[float, Mapping[str, Any]]:
    wire = object_in(answer)
    return number_of(wire, "result"), wire
