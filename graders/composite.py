"""Composite: a grader made of other graders, with one story for those that wait and those that do not."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeAlias

from pydantic import BeforeValidator, PlainSerializer

from graders.grade import Grade
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.template import short


def load_part(definition: Any) -> Grader:
    """A grader inside another's definition; ValueError says what is wrong with it, pydantic says where it sits."""
    from graders.registry import load  # the registry names modules that import this one: late, to avoid the cycle

    if not isinstance(definition, Grader | Mapping | str | Path):
        raise ValueError(f"a grader is an object with a 'type', not {short(definition)}")
    try:
        return load(definition)
    except (ValueError, LookupError, FileNotFoundError, TypeError) as problem:
        label = definition.get("name") or definition.get("type") if isinstance(definition, Mapping) else ""
        raise ValueError(str(problem).removeprefix(f"grader {label!r}: ")) from None
    except RecursionError:
        raise ValueError("graders are nested too deeply, or one contains itself") from None


Part: TypeAlias = Annotated[
    Grader, BeforeValidator(load_part), PlainSerializer(lambda grader: grader.to_wire(), return_type=dict[str, Any])
]
"""A field that holds another grader, given as a Grader or as its definition."""


class Call(NamedTuple):
    """A part to ask, and what to ask it about."""

    part: Grader
    sample: Sample
    item: Item


Steps: TypeAlias = Generator[Sequence[Call], Sequence[Grade], Grade]
"""Yields the calls to make next, is sent their grades in the same order, returns the grade of the whole."""


class Composite(Grader):
    """Base of graders made of graders. Subclasses define `members` and `steps`; both ways of grading follow."""

    @property
    @abstractmethod
    def members(self) -> Mapping[str, Grader]:
        """The graders it is made of, by the author's names."""

    @abstractmethod
    def steps(self, sample: Sample, item: Item) -> Steps:
        """The course of one grading; the calls of one step are under way together where parts wait."""

    @property
    def waits(self) -> bool:
        return any(part.waits for part in self.members.values())

    def code(self) -> tuple[Path, ...]:
        return tuple(path for part in self.members.values() for path in part.code_files())

    def grade(self, sample: Sample, item: Item) -> Grade:
        steps = self.steps(sample, item)
        try:
            calls = next(steps)
            while True:
                calls = steps.send([part(about, row) for part, about, row in calls])
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def grade_async(self, sample: Sample, item: Item) -> Grade:
        steps = self.steps(sample, item)
        try:
            calls = next(steps)
            while True:
                grades = await asyncio.gather(*(part.call_async(about, row) for part, about, row in calls))
                calls = steps.send(grades)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def usage_of(grades: Iterable[Grade]) -> dict[str, int] | None:
    """The tokens that several grades used together; None when none used any."""
    return dict(sum((Counter(grade.usage) for grade in grades if grade.usage), Counter())) or None


def could_not_decide(parts: Mapping[str, Grade], **more: Any) -> Grade | None:
    """The undecided grade of a whole of which a part could not decide, naming it; None when all could."""
    for key, part in parts.items():
        if part.score is None and part.error is not None:
            detail = f"part {key!r} could not decide: {part.error.detail}"
            return Grade.undecided(part.error.kind, detail, part.error.fault, parts=parts, **more)
    return None
