"""Extract: the step that finds the answer in an output before a grader judges it. A part of its own.

Any grader takes it as its field `extract`; what it finds stands in for `sample.output_text` (and, where it is
JSON, `sample.output_json`). An output in which nothing is found is the candidate's fault, of the kind
`extraction_failed`: counted apart from wrong answers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

from graders.grade import GradingError
from graders.sample import Sample


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def find(self, text: str) -> str:
        """The answer in `text`; LookupError with the reason where there is none."""
        raise NotImplementedError


class FinalLine(_Rule):
    """The last line that is not blank."""

    rule: Literal["final_line"]

    def find(self, text: str) -> str:
        stripped = text.strip()
        if not stripped:
            raise LookupError("the output is blank")
        return stripped.rpartition("\n")[2].strip()


def _listed(given: Any) -> Any:
    """One rule or several, each perhaps by its name alone, as a list of definitions."""
    rules = given if isinstance(given, list | tuple) else [given]
    return [{"rule": rule} if isinstance(rule, str) else rule for rule in rules]


Extract = Annotated[
    list[FinalLine],
    BeforeValidator(_listed),
]
"""Rules applied one after the other, each to what the one before it found."""


def extracted(rules: Extract, sample: Sample) -> Sample:
    """The sample with what the rules find in place of its text; GradingError `extraction_failed` where nothing is."""
    text = sample.output_text
    for rule in rules:
        try:
            text = rule.find(text)
        except LookupError as problem:
            detail = f"nothing to grade: {problem.args[0]}"
            raise GradingError("extraction_failed", detail, "candidate") from None
    return replace(sample, output_text=text, output_json=None)
