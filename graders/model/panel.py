"""panel: several votes on one sample, of several graders or of one judge asked several times."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from graders.algebra.arithmetic import spoiled, unique
from graders.algebra.route import in_order
from graders.composite import Call, Composite, Part, Steps, load_part, usage_of
from graders.grade import Grade, GradeError
from graders.grader import Grader
from graders.options import Number
from graders.sample import Item, Sample

SLACK = 1e-9  # by how much a quorum times the votes may exceed a whole number and still be that one

OnePart = Annotated[
    Grader | None,
    BeforeValidator(lambda given: None if given is None else load_part(given)),
    PlainSerializer(lambda grader: grader.to_wire() if isinstance(grader, Grader) else None, return_type=Any),
]


def _takes_a_model(definition: Mapping[str, Any]) -> bool:
    from graders.registry import grader_class  # late: the registry names this module

    try:
        return "model" in grader_class(definition.get("type", "")).model_fields
    except (LookupError, ValueError, FileNotFoundError, AttributeError, TypeError):  # told when it is loaded
        return False


class Panel(Composite):
    """The mean, the median or the strict majority of several votes; one that could not be decided is an abstention.

    Abstentions are counted and named. A `majority` is more than half of all votes, abstentions included; the `mean`
    and the `median` are those of the decided votes. With fewer decided votes than the `quorum` (default: more than
    half of all) the whole is undecided.

    >>> given = {"type": "string_check", "operation": "eq", "input": "{{sample.output_text}}"}
    >>> grader = Panel(graders=[{**given, "name": who, "reference": f"{{{{item.{who}}}}}"} for who in ("ann", "bob")])
    >>> grader("FBN1", {"ann": "FBN1", "bob": "FBN2"}).why
    'mean of 2 votes: 1, 0'
    """

    type: Literal["panel"] = "panel"
    graders: Annotated[tuple[Part, ...], BeforeValidator(in_order)] = ()
    grader: OnePart = None
    asked: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list, alias="models")
    samples: Annotated[int, Field(strict=True, ge=1)] = 1
    reduce: Literal["mean", "median", "majority"] = "mean"
    quorum: Annotated[Number, Field(gt=0, le=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _several_or_one(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        one, models = given.get("grader"), given.get("models")
        if (one is None) == (given.get("graders") is None):
            raise ValueError("give 'graders', a list of those that vote, or 'grader', one that votes several times")
        if one is None and models:
            raise ValueError("'models' are put into the one 'grader'; those of 'graders' name their own")
        if isinstance(one, Mapping) and isinstance(models, list | tuple) and models and _takes_a_model(one):
            return {**given, "grader": {"model": models[0], **one}}
        return given

    def check(self) -> None:
        self._check_parts()
        if self.votes < 2:
            raise ValueError("one vote is no panel; give several graders, models or samples, or that grader itself")
        ranges = {key: part.range for key, part in self.members.items()}
        (first, (low, high)), *rest = ranges.items()
        for key, other in rest:
            if other != (low, high):
                reach = f"{first!r} scores from {low:g} to {high:g}, {key!r} from {other[0]:g} to {other[1]:g}"
                raise ValueError(f"{reach}, so their votes do not compare; bring them to one range")
        self._check_same()
        if self.reduce == "majority" and self.quorum is not None and self.needed <= self.votes // 2 + 1:
            raise ValueError(
                f"a quorum of {self.quorum:g} asks for {self.needed} of {self.votes} votes, and a majority needs "
                f"{self.votes // 2 + 1} anyway; leave it out or raise it"
            )

    def _check_parts(self) -> None:
        for part in self._given:
            if self.samples > 1 and "draw" not in type(part).model_fields:
                raise ValueError(
                    f"{part.label!r} is no judge that can be asked for another answer (it has no option 'draw'), so "
                    f"{self.samples} samples would be the same vote; leave 'samples' out"
                )
        if not self.asked or self.grader is None:
            return
        model = getattr(self.grader, "model", None)
        if model is None:
            raise ValueError(
                f"{self.grader.label!r} asks no model of its own, so 'models' would do nothing; leave it out"
            )
        if model not in self.asked:
            raise ValueError(
                f"the grader's own model {model!r} is not among 'models'; add it there or leave it out here"
            )

    def _check_same(self) -> None:
        seen: dict[str, str] = {}
        for key, part in self.members.items():
            if "draw" in type(part).model_fields:  # the same question, which has one answer
                wire = {option: value for option, value in part.to_wire().items() if option != "name"}
                same = seen.setdefault(json.dumps(wire, sort_keys=True), key)
                if same != key:
                    raise ValueError(f"{same!r} and {key!r} are the same judge, so the same vote; ask for 'samples'")

    @property
    def _given(self) -> tuple[Grader, ...]:
        return self.graders if self.grader is None else (self.grader,)

    @property
    def members(self) -> Mapping[str, Grader]:
        return self._members

    @cached_property
    def _members(self) -> Mapping[str, Grader]:
        """By model or label, and where each votes several times by the number of the vote."""
        named: dict[str, Grader] = {}
        for label, part in self._labelled().items():
            for number in range(self.samples):
                again = {"draw": getattr(part, "draw", 0) + number}
                key = label if self.samples == 1 else f"{label} {number + 1}"
                named[key] = part.model_copy(update=again) if number else part
        return named

    def _labelled(self) -> dict[str, Grader]:
        labelled: dict[str, Grader] = {}
        if self.grader is not None:
            for model in self.asked:
                labelled[unique(model, labelled)] = self.grader.model_copy(update={"model": model})
        for part in () if labelled else self._given:
            label = part.label if part.label != part.type else getattr(part, "model", part.label)
            labelled[unique(label, labelled)] = part
        return labelled

    @property
    def votes(self) -> int:
        """How many votes there are, abstentions included."""
        return len(self.members)

    @property
    def needed(self) -> int:
        """How many votes must be decided."""
        if self.quorum is None:
            return self.votes // 2 + 1
        return max(1, math.ceil(self.quorum * self.votes - SLACK))

    @property
    def range(self) -> tuple[float, float]:
        return next(iter(self.members.values())).range

    def to_wire(self) -> dict[str, Any]:
        wire = super().to_wire()
        if "asked" in wire:
            wire["models"] = wire.pop("asked")
        return wire

    def steps(self, sample: Sample, item: Item) -> Steps:
        grades = yield [Call(part, sample, item) for part in self.members.values()]
        return self._reduced(dict(zip(self.members, grades, strict=True)))

    def _reduced(self, parts: Mapping[str, Grade]) -> Grade:
        votes = [grade.score for grade in parts.values() if grade.score is not None]
        absent = {key: grade for key, grade in parts.items() if grade.score is None}
        faulty = {key: grade for key, grade in parts.items() if spoiled(grade)}
        more: dict[str, Any] = {"parts": parts, "extracted": _told(parts, votes), "usage": usage_of(parts.values())}
        notes = [*_notes("scored lowest", faulty), *_notes("abstained", absent)]
        if len(votes) < self.needed:
            few = f"{len(votes)} of {self.votes} votes were decided, and {self.needed} are needed"
            return _withheld(absent, "; ".join([few, *notes]), more)
        if self.reduce == "majority":
            score, times = Counter(votes).most_common(1)[0]
            if times <= self.votes / 2:
                return self._no_majority(votes, times, absent, faulty, notes, more)
            step = f"majority: {times} of {self.votes} votes are {score:.6g} ({_listed(votes)})"
        else:
            score = _mean(votes) if self.reduce == "mean" else _median(votes)
            step = f"{self.reduce} of {self._counted(votes)}: {_listed(votes)}"
        formula = f"{self.reduce}({_listed(votes)}) = {score:.6g}"
        return Grade(score, "; ".join([step, *notes]), _borne(faulty), formula=formula, **more)

    def _counted(self, votes: Sequence[float]) -> str:
        return f"{len(votes)} of {self.votes} votes" if len(votes) < self.votes else f"{self.votes} votes"

    def _no_majority(
        self,
        votes: Sequence[float],
        times: int,
        absent: Mapping[str, Grade],
        faulty: Mapping[str, Grade],
        notes: Sequence[str],
        more: Mapping[str, Any],
    ) -> Grade:
        """Undecided: for want of those who abstained, else for the votes' own sake.

        Not where the candidate spoiled a vote, which must not save it from a verdict: then the lowest score.
        """
        detail = "; ".join([f"no score has more than half of the {self.votes} votes: {_listed(votes)}", *notes])
        if times + len(absent) > self.votes / 2:
            return _withheld(absent, detail, more)
        if (error := _borne(faulty)) is not None:
            lowest = self.range[0] if math.isfinite(self.range[0]) else min(0.0, *votes)
            return Grade(lowest, f"{detail}; so the whole counts as the least it could be", error, **more)
        return Grade.undecided("no_majority", detail, **more)


def _withheld(absent: Mapping[str, Grade], detail: str, more: Mapping[str, Any]) -> Grade:
    """Undecided for the reason that most of the abstentions have; of as many, for one that another try may mend."""
    reasons = Counter((grade.error.kind, grade.error.fault) for grade in absent.values() if grade.error is not None)
    kind, fault = max(reasons, key=lambda reason: (reasons[reason], reason[1] == "infra"))
    return Grade.undecided(kind, detail, fault, **more)


def _borne(faulty: Mapping[str, Grade]) -> GradeError | None:
    """The error of the first vote that the candidate spoiled, as the whole's."""
    for key, grade in faulty.items():
        assert grade.error is not None
        return GradeError(grade.error.kind, grade.error.fault, f"vote {key!r}: {grade.error.detail}")
    return None


def _notes(word: str, grades: Mapping[str, Grade]) -> Iterator[str]:
    """Who did it and why, those with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for key, grade in grades.items():
        by_reason.setdefault(grade.why, []).append(repr(key))
    for reason, keys in by_reason.items():
        yield f"{', '.join(keys)} {word}: {reason}"


def _told(parts: Mapping[str, Grade], votes: Sequence[float]) -> dict[str, Any]:
    """Each vote by name, null for an abstention, and how far the highest lies above the lowest."""
    spread = max(votes) - min(votes) if votes else None
    finite = spread is not None and math.isfinite(spread)
    return {"votes": {key: grade.score for key, grade in parts.items()}, "spread": spread if finite else None}


def _listed(votes: Sequence[float]) -> str:
    return ", ".join(f"{vote:.6g}" for vote in votes)


def _mean(votes: Sequence[float]) -> float:
    try:
        mean = math.fsum(votes) / len(votes)
    except OverflowError:
        mean = math.fsum(vote / len(votes) for vote in votes)
    return min(max(mean, min(votes)), max(votes))  # rounding never leaves the votes; all are finite


def _median(votes: Sequence[float]) -> float:
    ordered, half = sorted(votes), len(votes) // 2
    return ordered[half] if len(ordered) % 2 else _mean(ordered[half - 1 : half + 1])
