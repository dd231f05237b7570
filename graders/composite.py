"""Composite: a grader made of other graders, with one story for those that wait and those that do not."""

from __future__ import annotations

import asyncio
import warnings
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self, TypeAlias

from pydantic import BeforeValidator, PlainSerializer, model_validator

from graders.grade import Grade, GradingStopped, Usage
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.template import short

MAX_NESTING = 50
TOO_DEEP = f"graders are nested more than {MAX_NESTING} deep, or one contains itself"
_nesting = ContextVar("_nesting", default=0)


class GraderWarning(UserWarning):
    """A definition that can be graded with and may not do what its author meant."""


def load_part(definition: Any) -> Grader:
    """A grader inside another's definition; ValueError says what is wrong with it, pydantic says where it sits."""
    from graders.registry import load  # the registry names modules that import this one: late, to avoid the cycle

    if not isinstance(definition, Grader | Mapping | str | Path):
        raise ValueError(f"a grader is an object with a 'type', not {short(definition)}")
    if _nesting.get() >= MAX_NESTING:
        raise ValueError(TOO_DEEP)
    above = _nesting.set(_nesting.get() + 1)
    try:
        return load(definition)
    except (ValueError, LookupError, FileNotFoundError, TypeError) as problem:
        if TOO_DEEP in str(problem):  # fifty places would not help to find it
            raise ValueError(TOO_DEEP) from None
        label = definition.get("name") or definition.get("type") if isinstance(definition, Mapping) else ""
        raise ValueError(str(problem).removeprefix(f"grader {label!r}: ")) from None
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    finally:
        _nesting.reset(above)


def outside_reward(grader: Grader) -> str:
    """What to say of a grader whose scores leave 0 to 1; "" where they do not."""
    low, high = grader.range
    return (
        f"scores from {low:g} to {high:g}, which leaves 0 to 1: clip it before it is a reward"
        if (low < 0 or high > 1)
        else ""
    )


def warn_of_whole(grader: Grader) -> None:
    """Warn of a whole of ours whose scores leave 0 to 1. Inside another grader they may; OpenAI's `multi` may too."""
    of_ours = isinstance(grader, Composite) and not grader.in_openai and not _nesting.get()
    if of_ours and (message := outside_reward(grader)):
        warnings.warn(f"grader {grader.label!r} {message}", GraderWarning, stacklevel=3)


Part: TypeAlias = Annotated[
    Grader, BeforeValidator(load_part), PlainSerializer(lambda grader: grader.to_wire(), return_type=dict[str, Any])
]
"""A field that holds another grader, given as a Grader or as its definition."""


def keyed(given: Any) -> dict[str, Any]:
    """The definitions of parts by the names a formula calls them; also from a list of named ones, or from one alone.

    A part without a name takes its key. Raises ValueError for a key that no formula could hold.
    """
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
            hint = "use letters, digits and _, such as 'my_part'"
            raise ValueError(f"{short(key)} cannot be written in a formula; {hint}")
    return {
        key: {**part, "name": part.get("name") or key} if isinstance(part, Mapping) else part
        for key, part in given.items()
    }


def _by_name(graders: Sequence[Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for number, part in enumerate(graders, start=1):
        key = part.name if isinstance(part, Grader) else part.get("name") if isinstance(part, Mapping) else ""
        if not key:
            raise ValueError(f"grader {number} of the list has no name, so no formula could refer to it; give it one")
        if key in named:
            raise ValueError(f"two graders of the list are called {short(key)}; give each its own name")
        named[key] = part
    return named


Parts: TypeAlias = Annotated[dict[str, Part], BeforeValidator(keyed)]
"""A field that holds graders by key."""


class Doubt(NamedTuple):
    """Something about a definition that may not be meant: the part it concerns ("" for the whole), and words."""

    part: str
    message: str


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

    def check(self) -> None:
        """Raise ValueError for a definition that contradicts itself, though each option is good on its own."""

    def doubts(self) -> Iterable[Doubt]:
        """What may not be meant in this definition, its parts' own doubts left out. Warned of when it is made."""
        return ()

    @property
    def waits(self) -> bool:
        return self._waits

    @cached_property
    def _waits(self) -> bool:
        return any(part.waits for part in self.members.values())

    @property
    def judges_groups(self) -> bool:
        return self._judges_groups

    @cached_property
    def _judges_groups(self) -> bool:
        return any(part.judges_groups for part in self.members.values())

    @cached_property
    def nesting(self) -> int:
        """How many graders stand one inside the other, this one included."""
        return 1 + max(
            (part.nesting if isinstance(part, Composite) else 1 for part in self.members.values()), default=0
        )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.nesting > MAX_NESTING:
            raise ValueError(TOO_DEEP)
        self.check()
        if not self.in_openai:  # what OpenAI permits is told by `findings` alone
            for part, message in self.doubts():
                place = f" ({part})" if part else ""
                warnings.warn(f"grader {self.label!r}{place}: {message}", GraderWarning, stacklevel=2)
        return self

    def code(self) -> tuple[Path, ...]:
        return tuple(path for part in self.members.values() for path in part.code_files())

    def models(self) -> tuple[str, ...]:
        if not self.waits:
            return ()
        return tuple(dict.fromkeys(model for part in self.members.values() for model in part.models()))

    def check_ready(self) -> None:
        for part in self.members.values():
            part.check_ready()

    @property
    def identity(self) -> str:
        return self._identity_asking(self.models()) if self.waits else self._identity

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

    async def grade_group_async(self, samples: Sequence[Sample], item: Item) -> list[Grade]:
        """The samples' courses, a step of each at a time: a part that judges groups gets the calls of all together."""
        courses = [_Course(self.steps(sample, item), self._answer_of) for sample in samples]
        while under_way := [course for course in courses if not course.ended]:
            answers = iter(await asked_together([course.calls for course in under_way]))
            for course in under_way:
                course.go_on([next(answers) for _ in course.calls])
        return [course.answer for course in courses]


class _Course:
    """The grading of one sample of a group: the calls it waits for, until it has its answer."""

    answer: Grade

    def __init__(self, steps: Steps, answer_of: Callable[[Exception | SystemExit], Grade]) -> None:
        self.calls: Sequence[Call] = ()
        self.ended = False
        self._steps = steps
        self._answer_of = answer_of
        self._advance(lambda: next(self._steps))

    def go_on(self, grades: Sequence[Grade]) -> None:
        self._advance(lambda: self._steps.send(grades))

    def _advance(self, step: Callable[[], Sequence[Call]]) -> None:
        try:
            self.calls = step()
        except StopIteration as end:
            self.ended, self.answer = True, end.value
        except GradingStopped:
            raise
        except (Exception, SystemExit) as problem:  # of this sample alone
            self.ended, self.answer = True, self._answer_of(problem)


async def asked_together(courses: Sequence[Sequence[Call]]) -> list[Grade]:
    """The grades of the calls of several samples' courses, one after the other.

    Calls to one part that judges groups, about one item, are one group; what a course asks the same part once more is
    a group of its own, so that no sample stands in a group twice.
    """
    calls: list[Call] = []
    groups: list[list[int]] = []
    of_part: dict[tuple[int, int], list[list[int]]] = {}
    for place, (call, turn) in enumerate(_with_turns(courses)):
        calls.append(call)
        alike = of_part.setdefault((id(call.part), turn), []) if call.part.judges_groups else []
        for group in alike:
            if _same_item(calls[group[0]].item, call.item):
                group.append(place)
                break
        else:
            groups.append([place])
            alike.append(groups[-1])
    answers = await asyncio.gather(*(_of_group([calls[place] for place in group]) for group in groups))
    grades = {
        place: grade
        for group, answer in zip(groups, answers, strict=True)
        for place, grade in zip(group, answer, strict=True)
    }
    return [grades[place] for place in range(len(calls))]


def _with_turns(courses: Sequence[Sequence[Call]]) -> Iterator[tuple[Call, int]]:
    """Each call, and how often its course asks that part before it."""
    for calls in courses:
        asked: Counter[int] = Counter()
        for call in calls:
            yield call, asked[id(call.part)]
            asked[id(call.part)] += 1


def _same_item(one: Item, other: Item) -> bool:
    return one is other or one == other


async def _of_group(calls: Sequence[Call]) -> list[Grade]:
    part, _, item = calls[0]
    return await part.call_group_async([call.sample for call in calls], item)


def usage_of(grades: Iterable[Grade]) -> Usage | None:
    """The tokens that several grades used together, by model; None when none used any."""
    return together(grade.usage for grade in grades if grade.usage)


def together(usages: Iterable[Usage]) -> Usage | None:
    """Several usages as one; None of none."""
    whole: dict[str, Counter[str]] = {}
    for usage in usages:
        for model, counts in usage.items():
            whole.setdefault(model, Counter()).update(counts)
    return {model: dict(counts) for model, counts in whole.items()} or None


def could_not_decide(parts: Mapping[str, Grade], **more: Any) -> Grade | None:
    """The undecided grade of a whole of which a part could not decide, naming it; None when all could."""
    for key, part in parts.items():
        if part.score is None and part.error is not None:
            detail = f"part {key!r} could not decide: {part.error.detail}"
            return Grade.undecided(part.error.kind, detail, part.error.fault, parts=parts, **more)
    return None
