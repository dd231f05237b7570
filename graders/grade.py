"""Grade: what a grader answers. A score, the reason for it, and what it was made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Fault = Literal["candidate", "grader", "infra", "unknown"]

Usage: TypeAlias = Mapping[str, Mapping[str, int]]
"""What judge models used, by model: `calls`, `prompt_tokens`, `completion_tokens`, `cached_tokens`, `total_tokens`;
`kept` counts answers that were in the cache and so cost nothing."""

ERROR_KINDS: Mapping[str, str] = {
    # OpenAI's names (flags of the grader-run response)
    "formula_parse_error": "`calculate_output` could not be evaluated",
    "sample_parse_error": "the output does not parse into the form the grader reads",
    "truncated_observation_error": "the output was cut at the token limit",
    "unresponsive_reward_error": "no scoreable output came back",
    "invalid_variable_error": "a template names a variable that neither the item nor the sample has, or that is null",
    "python_grader_server_error": "the sandbox of a python grader failed, or is too weak here to run it",
    "python_grader_runtime_error": "a python grader raised, returned no number, took too long or broke a limit",
    "model_grader_server_error": "the judge model could not be reached or sampled",
    "model_grader_refusal_error": "the judge model refused",
    "model_grader_parse_error": "the judge model's answer does not parse",
    "other_error": "anything else; the detail names the exception",
    # Ours
    "extraction_failed": "the output holds no answer where `extract` looks for one",
    "not_installed": "what this grader needs to run is not installed; the detail says how to get it",
    "invalid_reference": "the item's reference cannot be used: blank, of a wrong type, or not among what is allowed",
    "undecided_equality": "an answer can neither be proved equal to the reference nor different from it",
    "nonfinite": "the score came out as NaN or infinite",
    "out_of_range": "the score lies outside the range the grader declares",
    "timeout": "the grader took longer than it may",
    "not_asked": "a dry run: the judge was not asked",
    "no_majority": "the votes of a panel agree on no score",
    "endpoint_server_error": "the service of an endpoint grader could not be reached, failed, or refused the request",
    "endpoint_parse_error": "the service of an endpoint grader answered without a score that can be read",
    "sandbox_refused": "the sandbox is weaker here than what is accepted; the detail names what is missing",
    "sandbox_failed": "the sandbox could not run the code, through no fault of the code",
    "nondeterministic": "a python grader gave another score when the same call was made again in a fresh process",
    "code_error": "candidate code does not compile, raised, ended itself, or returned what is no plain data",
    "overloaded": "a service the grader waits on turned the request away",
    "sandbox_violation": "candidate code tried what the sandbox forbids",
}
"""Every error kind a grade can carry, with its meaning. Plug-ins may add kinds of their own."""


@dataclass(frozen=True, slots=True)
class GradeError:
    """What went wrong, and whose fault it is.

    A fault of the `candidate` leaves the grade decided (its minimum score); any other fault leaves it
    undecided.
    """

    kind: str
    fault: Fault
    detail: str


class GradingError(Exception):
    """Raise it inside a grader to end the grading of one sample with a typed error."""

    def __init__(self, kind: str, detail: str, fault: Fault = "grader", usage: Usage | None = None) -> None:
        super().__init__(detail)
        self.error = GradeError(kind, fault, detail)
        self.usage = usage


class GradingStopped(Exception):  # noqa: N818 - an end, not a fault of one sample
    """Raise it inside a grader to end a whole run: no sample after this one could be graded, or should be.

    What was recorded is kept, so that the same command goes on from there.
    """


@dataclass(frozen=True, slots=True)
class Grade:
    """A grader's answer for one sample.

    `score` is None when the grader could not decide; then `error` says why. None is not zero: it is counted,
    shown and masked, never averaged in.

    >>> Grade(0.5, "'FBN1' is number 2 of 3").score
    0.5
    >>> Grade(float("nan"), "broken")
    Traceback (most recent call last):
    ...
    ValueError: a score is a finite number or None, not nan
    """

    score: float | None
    why: str
    error: GradeError | None = None
    parts: Mapping[str, Grade] = field(default_factory=dict)
    formula: str | None = None  # the step that combined the parts, with their values
    extracted: Any = None  # what was read from the output before it was judged
    usage: Usage | None = None  # tokens that judge models used
    seconds: float = 0.0
    grader: str = ""  # "<name>@<hash>" of the grader that answered
    sandbox: str | None = None  # the level of the sandbox that code was run in; "S0, accepted" below what is needed

    def __post_init__(self) -> None:
        if self.score is None:
            if self.error is None:
                raise ValueError("an undecided grade (score None) must carry an error that says why")
        elif not math.isfinite(self.score):
            raise ValueError(f"a score is a finite number or None, not {self.score}")

    @classmethod
    def undecided(cls, kind: str, detail: str, fault: Fault = "grader", **more: Any) -> Grade:
        """The grader could not decide; `fault` is `grader`, `infra` or `unknown`."""
        return cls(None, detail, GradeError(kind, fault, detail), **more)

    @classmethod
    def failed(cls, kind: str, detail: str, score: float = 0.0, **more: Any) -> Grade:
        """The candidate's own fault: decided, with the grader's minimum score and the reason."""
        return cls(score, detail, GradeError(kind, "candidate", detail), **more)

    @property
    def status(self) -> Literal["scored", "error"]:
        return "error" if self.score is None else "scored"

    def to_wire(self) -> dict[str, Any]:
        """The grade as JSON-ready data: what `assay grade` writes for each line, less its `id`."""
        wire: dict[str, Any] = {
            "score": self.score,
            "status": self.status,
            "why": self.why,
            "error": None
            if self.error is None
            else {"kind": self.error.kind, "fault": self.error.fault, "detail": self.error.detail},
            "parts": {name: part.to_wire() for name, part in self.parts.items()},
            "grader": self.grader,
            "seconds": round(self.seconds, 6),
        }
        optional = {"formula": self.formula, "extracted": self.extracted, "usage": self.usage, "sandbox": self.sandbox}
        return wire | {name: value for name, value in optional.items() if value is not None}

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Grade:
        """The grade that `to_wire` wrote."""
        error = wire.get("error")
        return cls(
            wire["score"],
            wire["why"],
            None if error is None else GradeError(**error),
            {name: cls.from_wire(part) for name, part in wire.get("parts", {}).items()},
            wire.get("formula"),
            wire.get("extracted"),
            wire.get("usage"),
            wire.get("seconds", 0.0),
            wire.get("grader", ""),
            wire.get("sandbox"),
        )
