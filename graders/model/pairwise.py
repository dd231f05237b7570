"""pairwise: a judge model says whether the output is better than another answer."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from graders.grade import Grade, GradingError
from graders.model.comparison import Comparison, Match, Preference, Task, drawn
from graders.model.substance import lacks_substance
from graders.sample import Item, Sample
from graders.template import Template, render_all, short

IN_WORDS = {1.0: "better than the other answer", 0.0: "worse than the other answer", 0.5: "as good as the other answer"}


class Pairwise(Comparison):
    """1 where a judge prefers the output to the answer `against`, 0.5 for a tie, 0 where it prefers the other.

    The judge sees an Answer A and an Answer B and gives `{"steps": [...], "result": "A" | "B" | "tie"}`. By default
    it is asked in both orders, and a verdict that depends on the order is a tie.

    >>> grader = Pairwise(model="gpt-4o", against="{{item.baseline}}")
    >>> grader("A gene of connective tissue.", {"baseline": "A gene of connective tissue."}).why
    'the same text as the other answer, so a tie without asking'
    """

    type: Literal["pairwise"] = "pairwise"
    against: Annotated[Template, Field(min_length=1)]
    orders: Literal["both", "seeded"] = "both"

    @model_validator(mode="after")
    def _draws_or_not(self) -> Self:
        if self.seed and self.orders == "both":
            raise ValueError(f"seed: both orders are asked, so nothing is drawn with {self.seed}; leave it out")
        return self

    async def judged(self, sample: Sample, item: Item, keep: bool = True) -> Grade:
        task = self.task(item)
        against, output = (text.rstrip() for text in render_all([self.against, self.output], sample, item))
        if not against:
            raise GradingError("invalid_reference", "'against' is blank, so there is no answer to compare with")
        if self.substance and (reason := lacks_substance([output])):
            detail = f"the output {reason}, so the judge was not asked"
            raise GradingError("unresponsive_reward_error", detail, "candidate")
        if output == against:
            return Grade(0.5, "the same text as the other answer, so a tie without asking")
        if self.orders == "both":
            return _of_match(await self.match(task, output, against, keep))
        return await self._in_one_order(task, output, against, keep)

    async def _in_one_order(self, task: Task, output: str, against: str, keep: bool) -> Grade:
        lesser_first = drawn(self.seed, [output, against])[0] % 2 == 0  # the same whichever of them is the output
        shown_first = lesser_first == (output < against)
        pair = (output, against) if shown_first else (against, output)
        preference = await self.preferred(task, *pair, keep)
        score = preference.share if shown_first else 1 - preference.share
        why = _with_words(f"{preference.judge} finds the output {IN_WORDS[score]}", preference)
        return Grade(score, why, extracted=[_wire(preference, shown_first)], usage=preference.usage)


def _of_match(match: Match) -> Grade:
    score, judge = match.share, match.first.judge
    if match.depends_on_order:
        why = (
            f"{judge}'s verdict depends on the order ({match.first.result} where the output is A, "
            f"{match.second.result} where it is B), so it counts as a tie"
        )
    else:
        why = _with_words(f"{judge} finds the output {IN_WORDS[score]} in both orders", match.first)
    parts = {
        "output first": _part(match.first, match.first.share),
        "output second": _part(match.second, 1 - match.second.share),
    }
    told = [_wire(match.first, True), _wire(match.second, False)]
    return Grade(score, why, parts=parts, extracted=told, usage=match.usage)


def _part(preference: Preference, score: float) -> Grade:
    why = _with_words(f"{preference.judge} answered {preference.result!r}", preference)
    return Grade(score, why, extracted=preference.result, usage=preference.usage)


def _wire(preference: Preference, shown_first: bool) -> dict[str, str]:
    return {"output": "A" if shown_first else "B", "verdict": preference.result}


def _with_words(why: str, preference: Preference) -> str:
    return f"{why}: {short(preference.said, 300)}" if preference.said else why
