"""multi: several graders and the formula that makes one score of theirs."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, field_serializer, field_validator, model_validator

from graders.formula import FUNCTIONS, FormulaError, parse
from graders.grade import Grade, GradeError
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.template import short


def _load_part(definition: Any) -> Grader:
    from graders.registry import load  # the registry names this module: imported late to avoid the cycle

    if not isinstance(definition, Grader | Mapping | str | Path):
        raise ValueError(f"a grader is an object with a 'type', not {short(definition)}")
    try:
        return load(definition)
    except (ValueError, LookupError, FileNotFoundError, TypeError) as problem:
        # pydantic says where the part sits: its own "grader 'x': " would say so a second time.
        label = definition.get("name") or definition.get("type") if isinstance(definition, Mapping) else ""
        raise ValueError(str(problem).removeprefix(f"grader {label!r}: ")) from None
    except RecursionError:
        raise ValueError("graders are nested too deeply, or one contains itself") from None


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


class Multi(Grader):
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

    type: Literal["multi"] = "multi"
    graders: dict[str, Annotated[Grader, BeforeValidator(_load_part)]]
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

    @field_serializer("graders")
    def _wire_parts(self, graders: dict[str, Grader]) -> dict[str, Any]:
        return {key: part.to_wire() for key, part in graders.items()}

    @model_validator(mode="after")
    def _formula_fits(self) -> Multi:
        try:
            parse(self.calculate_output).check_names(self.graders)
        except FormulaError as problem:
            raise ValueError(f"calculate_output {self.calculate_output!r}: {problem}") from None
        return self

    @property
    def range(self) -> tuple[float, float]:
        return -math.inf, math.inf

    @property
    def waits(self) -> bool:
        return any(part.waits for part in self.graders.values())

    def code(self) -> tuple[Path, ...]:
        return tuple(path for part in self.graders.values() for path in part.code_files())

    def grade(self, sample: Sample, item: Item) -> Grade:
        return self._combined({key: part(sample, item) for key, part in self.graders.items()})

    async def grade_async(self, sample: Sample, item: Item) -> Grade:
        grades = await asyncio.gather(*(part.call_async(sample, item) for part in self.graders.values()))
        return self._combined(dict(zip(self.graders, grades, strict=True)))

    def _combined(self, parts: Mapping[str, Grade]) -> Grade:
        usage = dict(sum((Counter(part.usage) for part in parts.values() if part.usage), Counter())) or None
        for key, part in parts.items():
            if part.error is not None and part.score is None:
                detail = f"part {key!r} could not decide: {part.error.detail}"
                return Grade.undecided(part.error.kind, detail, part.error.fault, parts=parts, usage=usage)
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
