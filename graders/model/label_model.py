"""label_model: a judge model chooses a label."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from graders.grade import Grade
from graders.model.judge import OutputJudge
from graders.model.messages import Messages
from graders.model.verdict import STEPS, choice_of, conclusion_of, form_of, object_in
from graders.sample import Item, Sample
from graders.service.question import Answer, Form
from graders.template import nearest, short

Labels = list[Annotated[str, Field(min_length=1)]]


class LabelModel(OutputJudge):
    """1 when the label a judge model chooses is a passing one, else 0 (OpenAI's `label_model`).

    The judge answers `{"steps": [{"description", "conclusion"}], "result": "<label>"}`.

    >>> grader = LabelModel(
    ...     model="gpt-4o",
    ...     input=[{"role": "user", "content": "Polite or rude? {{sample.output_text}}"}],
    ...     labels=["polite", "rude"],
    ...     passing_labels=["polite"],
    ...     fence=False,
    ... )
    >>> grader.messages(Sample("Please sit down."), {})
    [{'role': 'user', 'content': 'Polite or rude? Please sit down.'}]
    """

    in_openai: ClassVar[bool] = True
    own: ClassVar[frozenset[str]] = OutputJudge.own | {"sampling_params"}

    type: Literal["label_model"] = "label_model"
    input: Messages
    labels: Labels
    passing_labels: Labels

    @field_validator("labels", "passing_labels")
    @classmethod
    def _some_and_once(cls, given: list[str]) -> list[str]:
        if not given:
            raise ValueError("no label; give at least one")
        twice = sorted({label for label in given if given.count(label) > 1})
        if twice:
            raise ValueError(f"the label {twice[0]!r} stands twice")
        return given

    @model_validator(mode="after")
    def _passing_are_labels(self) -> LabelModel:
        strange = next((label for label in self.passing_labels if label not in self.labels), None)
        if strange is not None:
            raise ValueError(f"passing_labels: {strange!r} is not among the labels; {nearest(strange, self.labels)}")
        return self

    def messages(self, sample: Sample, item: Item) -> list[dict[str, Any]]:
        """What the judge is asked: `{"role", "content"}` in order, every variable put in."""
        return self.shown(self.input, sample, item)

    async def judged(self, sample: Sample, item: Item, keep: bool = True) -> Grade:
        reply = await self.ask(self.messages(sample, item), self._form, self._read, keep)
        label, said = reply.value
        passes = label in self.passing_labels
        why = f"{reply.answer.model} chose {label!r}, which {'passes' if passes else 'does not pass'}"
        return Grade(float(passes), f"{why}: {short(said, 300)}" if said else why, extracted=label, usage=reply.usage)

    @cached_property
    def _form(self) -> Form:
        return Form("label", form_of(steps=STEPS, result={"type": "string", "enum": self.labels}))

    def _read(self, answer: Answer) -> tuple[str, str]:
        wire = object_in(answer)
        return choice_of(wire, "result", self.labels), conclusion_of(wire)
