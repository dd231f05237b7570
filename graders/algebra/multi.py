"""multi: several graders and the formula that makes one score of theirs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Literal

from pydantic import field_validator, model_validator

from graders.algebra.formula import FUNCTIONS, FormulaError, parse
from graders.composite import Call, Composite, Part, Steps, could_not_decide, usage_of
from graders.grade import Grade, GradeError
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.template import short


def _by_name(graders: Sequence[Any]) -> dict[str, Any]:
    keyed: dict[str, Any] = {}
    for number, part in enumerate(graders, start=1):
        key = part.name if isinstance(part, Grader) else part.get("name") if isinstance(part, Mapping) else ""
        if not key:
            raise ValueError(f"grader {number} of the list has no name, so no formula could refer to it; give it one")
        if key in keyed:
            raise ValueError(f"two graders of the list are called {key!r}; give each its own name")
        keyed[key] = part
    return keyed


class Multi(Composite):
    """A score computed from the scores of other graders (OpenAI's `multi`).

    `calculate_output` is arithmetic over the keys of `graders`: `+ - * / ^`, parentheses, numbers and `min
    max abs floor ceil exp sqrt log`. The result is not clamped, so the range is all finite numbers; it is
    what the formula says. When a part could not decide, nor could the whole, whether or not the formula uses
    that part. When a part bears a fault of the candidate, so does the whole; and where the formula falls as that
    part rises (`1 - toxic`), the part counts as its highest score, so that spoiling it never pays.

    >>> exact = {"type": "string_check", "reference": "FBN1", "input": "{{sample.output_text}}"}
    >>> grader = Multi(
    ...     graders={"same": {**exact, "operation": "eq"}, "held": {**exact, "operation": "like"}},
    ...     calculate_output="0.75*same + 0.25*held",
    ... )
    >>> grade = grader("FBN1!")
    >>> grade.score, grade.formula
    (0.25, '0.75*same + 0.25*held = 0.75*0 + 0.25*1 = 0.25')
    """

    in_openai: ClassVar[bool] = True

    type: Literal["multi"] = "multi"
    graders: dict[str, Part]
    calculate_output: str

    @field_validator("graders", mode="before")
    @classmethod
    def _keyed(cls, given: Any) -> Any:
        """A dict; also one grader alone or a list, as OpenAI's client library has it, keyed by name."""
        if isinstance(given, Grader) or (isinstance(given, Mapping) and isinstance(given.get("type"), str)):
            key = given.label if isinstance(given, Grader) else given.get("name") or given["type"]
            given = {key: given}
        elif isinstance(given, list | tuple):
            given = _by_name(given)
        if not isinstance(given, Mapping):
            raise ValueError(f"an object from key to grader is expected, not {short(given)}")
        if not given:
            raise ValueError("no graders; give at least one, by the name the formula calls it")
        for key in given:
            if not (isinstance(key, str) and key.isidentifier()):
                raise ValueError(
                    f"{key!r} cannot be written in a formula; use letters, digits and _, such as 'my_part'"
                )
            if key in FUNCTIONS:
                raise ValueError(f"{key!r} is a function of the formulas; give the grader another key")
        return {
            key: {**part, "name": part.get("name") or key} if isinstance(part, Mapping) else part
            for key, part in given.items()
        }

    @model_validator(mode="after")
    def _formula_fits(self) -> Multi:
        try:
            parse(self.calculate_output).check_names(self.graders)
        except FormulaError as problem:
            raise ValueError(f"calculate_output {self.calculate_output!r}: {problem}") from None
        return self

    def to_openai(self) -> dict[str, Any]:
        return super().to_openai() | {"graders": {key: part.to_openai() for key, part in self.graders.items()}}

    @property
    def range(self) -> tuple[float, float]:
        return -math.inf, math.inf

    @property
    def members(self) -> Mapping[str, Grader]:
        return self.graders

    def steps(self, sample: Sample, item: Item) -> Steps:
        grades = yield [Call(part, sample, item) for part in self.graders.values()]
        return self._combined(dict(zip(self.graders, grades, strict=True)))

    def _combined(self, parts: Mapping[str, Grade]) -> Grade:
        usage = usage_of(parts.values())
        if undecided := could_not_decide(parts, usage=usage):
            return undecided
        scores = {key: part.score for key, part in parts.items() if part.score is not None}
        formula = parse(self.calculate_output)
        spoiled = {key: part.error for key, part in parts.items() if part.error and part.error.fault == "candidate"}
        for key in spoiled:
            highest = {**scores, key: _highest(self.graders[key], scores[key])}
            with suppress(FormulaError):
                if formula.evaluate(highest) < formula.evaluate(scores):
                    scores = highest
        step = f"{formula.text} = {formula.show(scores)}"
        try:
            score = formula.evaluate(scores)
        except FormulaError as problem:
            detail = f"{step}: {problem}"
            return Grade.undecided("formula_parse_error", detail, parts=parts, formula=step, usage=usage)
        step += f" = {score:.6g}"
        reasons = []
        for key, part in parts.items():
            worse = f", so it counts as {scores[key]:.6g}, the worse for the whole" if scores[key] != part.score else ""
            reasons.append(f"{key}: {part.why}{worse}")
        error = next(
            (GradeError(error.kind, error.fault, f"part {key!r}: {error.detail}") for key, error in spoiled.items()),
            None,
        )
        return Grade(score, f"{step} ({'; '.join(reasons)})", error, parts, step, usage=usage)


def _highest(part: Grader, score: float) -> float:
    """The best a part could have given; of a part without limits, one more than it gave."""
    highest = part.range[1]
    return highest if math.isfinite(highest) else score + 1
