"""label_model: a judge model chooses a label."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.model.messages import Messages, rendered
from graders.model.score_model import NO_JUDGE
from graders.sample import Item, Sample
from graders.template import nearest

Labels = list[Annotated[str, Field(min_length=1)]]


class LabelModel(Grader):
    """1 when the label a judge model chooses is a passing one, else 0 (OpenAI's `label_model`).

    The model's messages are checked when the grader loads and rendered for every sample. Asking the model
    needs a judge, which is not installed: the grade is undecided, of the kind `not_installed`.

    >>> grader = LabelModel(
    ...     model="gpt-4o",
    ...     input=[{"role": "user", "content": "Polite or rude? {{sample.output_text}}"}],
    ...     labels=["polite", "rude"],
    ...     passing_labels=["polite"],
    ... )
    >>> grader("Please sit down.").error.kind
    'not_installed'
    """

    in_openai: ClassVar[bool] = True

    type: Literal["label_model"] = "label_model"
    model: Annotated[str, Field(min_length=1)]
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
        return rendered(self.input, sample, item)

    def grade(self, sample: Sample, item: Item) -> Grade:
        self.messages(sample, item)  # a variable without a value is reported before anything else
        raise GradingError("not_installed", f"{self.label} {NO_JUDGE.format(model=self.model)}", "infra")
