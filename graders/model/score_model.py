"""score_model: a judge model gives a number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.model.messages import Messages, rendered
from graders.options import Number, Options
from graders.sample import Item, Sample

NO_JUDGE = "asks the model {model!r}, and no judge is installed to ask it; the messages it would be sent were made"


class SamplingParams(Options):
    """How the judge is sampled. Null is the same as leaving a key out."""

    spellings: ClassVar[Mapping[str, str]] = {"max_completion_tokens": "max_completions_tokens"}

    seed: Annotated[int, Field(strict=True)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    max_completions_tokens: Annotated[int, Field(strict=True, ge=1)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None


def _interval(given: Any) -> Any:
    if given is None:
        return (0.0, 1.0)
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise ValueError("a range is two numbers, [lowest, highest]")
    return given


class ScoreModel(Grader):
    """A number from a judge model, within `range` (OpenAI's `score_model`).

    The model's messages are checked when the grader loads and rendered for every sample. Asking the model
    needs a judge, which is not installed: the grade is undecided, of the kind `not_installed`.

    >>> grader = ScoreModel(model="gpt-4o", input=[{"role": "user", "content": "Rate {{sample.output_text}}"}])
    >>> grader.messages(Sample("a haiku"), {})
    [{'role': 'user', 'content': 'Rate a haiku'}]
    >>> grader("a haiku").error.kind
    'not_installed'
    """

    in_openai: ClassVar[bool] = True

    type: Literal["score_model"] = "score_model"
    model: Annotated[str, Field(min_length=1)]
    input: Messages
    score_range: Annotated[tuple[Number, Number], BeforeValidator(_interval)] = Field((0.0, 1.0), alias="range")
    pass_threshold: Number | None = None
    sampling_params: SamplingParams | None = None

    @field_validator("score_range")
    @classmethod
    def _rises(cls, given: tuple[float, float]) -> tuple[float, float]:
        if given[0] >= given[1]:
            raise ValueError(f"the lowest score must be less than the highest, and {given[0]:g} >= {given[1]:g}")
        return given

    @field_validator("sampling_params")
    @classmethod
    def _none_when_empty(cls, given: SamplingParams | None) -> SamplingParams | None:
        return None if given == SamplingParams() else given

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
        return rendered(self.input, sample, item)

    def grade(self, sample: Sample, item: Item) -> Grade:
        self.messages(sample, item)  # a variable without a value is reported before anything else
        raise GradingError("not_installed", f"{self.label} {NO_JUDGE.format(model=self.model)}", "infra")
