"""Judge: base of the graders that ask a model for a verdict, with what keeps the judged from steering the judge."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from graders.composite import together
from graders.grade import Grade, GradeError, GradingError, GradingStopped, Usage
from graders.grader import Grader
from graders.model.fence import NOTE, Fence
from graders.model.messages import Messages, rendered, with_note
from graders.model.substance import lacks_substance
from graders.options import Number, Options
from graders.sample import Item, Sample
from graders.service.question import Answer, Form, Question
from graders.service.services import Reply, current
from graders.template import short
from graders.variables import variables_of

Value = TypeVar("Value")
Count = Annotated[int, Field(strict=True, ge=1)]


class SamplingParams(Options):
    """How the judge is sampled. Null is the same as leaving a key out."""

    spellings: ClassVar[Mapping[str, str]] = {"max_completion_tokens": "max_completions_tokens"}

    seed: Annotated[int, Field(strict=True)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    max_completions_tokens: Count | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None


class Canary(Options):
    """An answer known to be bad, judged now and then: a judge that praises it ends the run."""

    output: Annotated[str, Field(min_length=1)]
    item: dict[str, Any] | None = None  # None: the item of the row at hand
    every: Count = 100  # gradings from one to the next; the first grading is one
    at_most: Number | None = None  # the highest score it may get; None: the middle of the range


def _names(given: Any) -> Any:
    if isinstance(given, str | Mapping):
        raise ValueError(f'a list of names is expected, as in ["GPT-4", "Claude"], not {short(given)}')
    return given or ()


def _name(given: str) -> str:
    if not (name := given.strip()):
        raise ValueError("a name is blank; leave it out")
    return name


Blind = Annotated[tuple[Annotated[str, AfterValidator(_name)], ...], BeforeValidator(_names)]


class Judge(Grader):
    """Base of graders that ask a model. Subclasses define `judged`; the options are the same for all."""

    own: ClassVar[frozenset[str]] = frozenset({"fence", "blind", "substance", "canary", "draw"})
    """Options that OpenAI's graders do not have."""

    model: Annotated[str, Field(min_length=1)]
    sampling_params: SamplingParams | None = None
    fence: bool = True  # show the candidate's text as data, between marks it cannot know
    blind: Blind = ()  # names that the judge is not shown in the candidate's text
    substance: bool = True  # give a text that says nothing the lowest score without asking
    canary: Canary | None = None
    draw: Annotated[int, Field(strict=True, ge=0)] = 0  # which of several answers to the same question

    _gradings: int = PrivateAttr(0)

    @field_validator("sampling_params")
    @classmethod
    def _none_when_empty(cls, given: SamplingParams | None) -> SamplingParams | None:
        return None if given == SamplingParams() else given

    @model_validator(mode="after")
    def _canary_can_sing(self) -> Self:
        if self.canary is None:
            return self
        if self.substance and (reason := lacks_substance([self.canary.output])):
            raise ValueError(
                f"canary.output {reason}, which 'substance' never shows to the judge; give one that it sees"
            )
        low, high = self.range
        if self.canary.at_most is not None and not low <= self.canary.at_most < high:
            raise ValueError(
                f"canary.at_most {self.canary.at_most:g} must be from {low:g}, the lowest score, to below {high:g}, "
                "the highest"
            )
        return self

    @abstractmethod
    async def judged(self, sample: Sample, item: Item, keep: bool = True) -> Grade:
        """The judge's grade of one sample; `keep` says whether answers may come from the cache and go there."""

    @property
    def waits(self) -> bool:
        return True

    def models(self) -> tuple[str, ...]:
        route = current().settings.route(self.model)
        return (f"{route.model} {route.service.structured_output}",)

    @property
    def identity(self) -> str:
        return self._identity_asking(self.models())

    def check_ready(self) -> None:
        longest = None if self.sampling_params is None else self.sampling_params.max_completions_tokens
        current().check_ready(self.model, longest)

    def to_openai(self) -> dict[str, Any]:
        if named := sorted(self.own & super().to_wire().keys()):
            words = f"{', '.join(map(repr, named))} {'are' if len(named) > 1 else 'is'}"
            raise ValueError(f"{self.label!r}: {words} Assay's own; OpenAI has no such option")
        return super().to_openai()

    async def grade_async(self, sample: Sample, item: Item) -> Grade:
        canary = self.canary
        if canary is None:
            return await self.judged(sample, item)
        due = self._gradings % canary.every == 0
        self._gradings += 1
        if not due:
            return await self.judged(sample, item)
        used = await self._try_canary(canary, item)
        try:
            grade = await self.judged(sample, item)
        except GradingError as problem:
            problem.usage = together(usage for usage in (problem.usage, used) if usage)
            raise
        return replace(grade, usage=together(usage for usage in (grade.usage, used) if usage))

    async def _try_canary(self, canary: Canary, item: Item) -> Usage | None:
        """What it used. Raises GradingStopped where the judge praises the answer, or can never be shown it."""
        try:
            grade = await self.judged(Sample(canary.output), canary.item or item, keep=False)
        except GradingError as problem:
            error = problem.error
            if error.fault == "candidate" or (canary.item is not None and error.kind == "invalid_variable_error"):
                raise _never_judged(error) from None
            return problem.usage  # it could not be judged now: no sign of praise
        if grade.error is not None and grade.error.fault == "candidate":
            raise _never_judged(grade.error)
        low, high = self.range
        most = (low + high) / 2 if canary.at_most is None else canary.at_most
        if grade.score is not None and grade.score > most:
            raise GradingStopped(
                f"canary: {self.label} gave {grade.score:g} to an answer known to be bad ({short(canary.output)}), "
                f"which may get {most:g} at most; its scores cannot be trusted: {grade.why}"
            )
        return grade.usage

    # What subclasses use.

    def new_fence(self) -> Fence:
        """A fence for one question, with marks of this definition's own; those of another draw are the same."""
        return Fence(self.blind, self.fence, self._marks_key)

    @cached_property
    def _marks_key(self) -> bytes:
        wire = {name: value for name, value in self.to_wire().items() if name != "draw"}
        return blake2b(json.dumps(wire, sort_keys=True).encode()).digest()

    def guarded(self, filled: list[dict[str, Any]], fence: Fence) -> list[dict[str, Any]]:
        """Messages in which a fence has put values, with the judge told of its marks.

        Raises GradingError (`unresponsive_reward_error`, the candidate's fault) where all that it wrote says nothing.
        """
        if self.substance and (reason := lacks_substance(fence.values)):
            detail = f"the output {reason}, so the judge was not asked"
            raise GradingError("unresponsive_reward_error", detail, "candidate")
        return with_note(filled, NOTE) if self.fence and fence.values else filled

    async def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        form: Form,
        read: Callable[[Answer], Value],
        keep: bool = True,
        top_logprobs: int = 0,
    ) -> Reply[Value]:
        """Ask the model for an answer of this form, which `read` takes apart; raises as `Services.ask` does."""
        params = {} if self.sampling_params is None else self.sampling_params.model_dump(exclude_none=True)
        if self.draw and "seed" in params:
            params["seed"] += self.draw
        question = Question(self.model, messages, form, params, self.identity, top_logprobs, keep)
        return await current().ask(question, read)


class OutputJudge(Judge):
    """Base of judges that are shown one output, by itself."""

    own: ClassVar[frozenset[str]] = Judge.own | {"longest"}

    longest: Count | None = None  # characters that the candidate may have written into the messages

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> Self:
        given = {"blind": bool(self.blind), "longest": self.longest is not None, "canary": self.canary is not None}
        if any(given.values()) and not self.shows_output:
            raise ValueError(
                f"{next(name for name, set_ in given.items() if set_)}: the judge is shown nothing of the output, so "
                "this would do nothing; put {{sample.output_text}} into a message"
            )
        if self.canary is not None and self.longest is not None and len(self.canary.output) > self.longest:
            raise ValueError(
                f"canary.output has {len(self.canary.output)} characters, and 'longest' shows the judge "
                f"{self.longest} at most; give a shorter one"
            )
        return self

    @property
    def shows_output(self) -> bool:
        """Whether the definition shows the judge anything of the sample."""
        return any(
            variable.namespace == "sample" and not place.startswith("canary.") for place, variable in variables_of(self)
        )

    def shown(self, messages: Messages, sample: Sample, item: Item) -> list[dict[str, Any]]:
        """The messages with a candidate's values fenced.

        Raises GradingError: where a variable has no value, and, the candidate's fault, where all that it wrote says
        nothing (`unresponsive_reward_error`) or is longer than `longest` (`sample_parse_error`).
        """
        fence = self.new_fence()
        filled = rendered(messages, sample, item, fence.shown)
        self.check_length(fence)
        return self.guarded(filled, fence)

    def check_length(self, fence: Fence) -> None:
        """Raise GradingError, the candidate's fault, where it wrote more than `longest`."""
        if self.longest is not None and (written := sum(map(len, fence.values))) > self.longest:
            detail = f"the output has {written:,} characters and may have {self.longest:,}, so the judge was not asked"
            raise GradingError("sample_parse_error", detail, "candidate")


def _never_judged(error: GradeError) -> GradingStopped:
    return GradingStopped(
        f"canary: cannot be judged by this definition: {error.detail}; give another canary, or leave it out"
    )
