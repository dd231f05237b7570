"""group: a judge model compares the samples of one item with each other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from graders.grade import Grade, GradingError, Usage
from graders.grader import ALONE
from graders.model.comparison import MOST_LABELS, Comparison, Match, Task, drawn, labels, used_by, worst_of
from graders.model.judge import Count
from graders.model.substance import lacks_substance
from graders.model.verdict import STEPS, conclusion_of, field_of, form_of, object_in
from graders.sample import Item, Sample
from graders.service.question import Answer, Form
from graders.template import render, short

RANKING = (
    "Compare {count} answers to the same task and rank them. Give in `result` a list of places, best first; each place "
    "is a list of the labels of answers that are equally good, most often of one alone. Every label stands in it "
    "exactly once. Judge what the answers say: neither their length nor the order in which you see them counts."
)
MAX_SAID = 300  # characters of the judge's reason in each grade
ORDERS = 2  # of a listwise judging, unless said otherwise


class Ranking(NamedTuple):
    """A judge's verdict on all answers, shown in one order."""

    order: Sequence[str]  # the texts as they were shown
    places: Mapping[str, float]  # of each text, 1 the best; those that tie share the mean of their places
    said: str
    judge: str
    usage: Usage

    def score(self, text: str) -> float:
        return (len(self.order) - self.places[text]) / (len(self.order) - 1)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a text did among those it was compared with."""

    score: float
    why: str
    extracted: Any
    opponents: int


class Group(Comparison):
    """How good a sample is among the samples of its item, from 0 (the worst) to 1 (the best), as a judge sees them.

    `listwise` shows all of them in one prompt and asks for a ranking, in `orders` orders: one drawn, then its reverse,
    then the next. A place scores (n - place) / (n - 1). `tournament` shows two at a time, each pair in both orders;
    the score is the mean share won, a tie 0.5, and a verdict that depends on the order is a tie. A text of whose
    matches half or more could not be decided is undecided.

    Samples of one text are judged once and share their score. Where all are one text there is nothing to compare and
    each gets 0.5, equal rewards from which nothing is learned. Those that say nothing are not shown and share the
    last place, with 0.

    >>> from graders.groups import grade_groups
    >>> grader = Group(model="gpt-4o")
    >>> [(one, two, nothing)] = grade_groups(grader, [(["FBN1", "FBN1", "..."], {})])
    >>> one.score, two.score, nothing.score
    (1.0, 1.0, 0.0)
    """

    type: Literal["group"] = "group"
    method: Literal["listwise", "tournament"] = "listwise"
    orders: Count | None = None  # listwise; None: 2
    pairs: Literal["all", "circular"] | None = None  # tournament; None: all
    max_size: Annotated[Count, Field(le=MOST_LABELS)] = 32  # different texts

    @model_validator(mode="after")
    def _no_option_in_vain(self) -> Self:
        if self.canary is not None:
            raise ValueError(
                "canary: an answer known to be bad may still be the best of a group; give it to a grader that judges "
                "one answer alone"
            )
        if self.method == "listwise" and self.pairs is not None:
            raise ValueError(f"pairs: {self.pairs!r} is for the method 'tournament'; 'listwise' shows all at once")
        if self.method == "tournament":
            if self.orders is not None:
                raise ValueError("orders: a tournament shows each pair in both; leave it out")
            if self.seed and self.pairs != "circular":
                raise ValueError(f"seed: all pairs meet, so nothing is drawn with {self.seed}; leave it out")
        if self.max_size < 2:
            raise ValueError(f"max_size: {self.max_size} has no one to be compared with; give 2 or more")
        return self

    @property
    def judges_groups(self) -> bool:
        return True

    async def judged(self, sample: Sample, item: Item, keep: bool = True) -> Grade:
        raise GradingError("other_error", f"{self.label} {ALONE}")

    async def grade_group_async(self, samples: Sequence[Sample], item: Item) -> list[Grade]:
        task = self.task(item)
        read = [self._read_out(sample, item) for sample in samples]
        texts = list(dict.fromkeys(text for text in read if isinstance(text, str)))
        if len(texts) > self.max_size:
            detail = f"{len(texts)} different outputs in one group, and max_size is {self.max_size}"
            raise GradingError("other_error", f"{self.label}: {detail}; raise it, or make groups smaller")
        last = _in_last_place([one for one in read if isinstance(one, Grade)])
        standings, usage = await self._standings(task, texts)
        shares = iter(_split(usage, sum(isinstance(one, str) for one in read)))
        return [one if isinstance(one, Grade) else _grade(standings[one], last, next(shares)) for one in read]

    def _read_out(self, sample: Sample, item: Item) -> str | Grade:
        """The text to compare, or the grade of a sample that has none."""
        try:
            text = render(self.output, sample, item).rstrip()
        except GradingError as problem:
            return self._answer_of(problem)
        if self.substance and (reason := lacks_substance([text])):
            detail = f"the output {reason}, so the judge was not shown it and it takes the last place"
            return Grade.failed("unresponsive_reward_error", detail)
        return text

    async def _standings(
        self, task: Task, texts: Sequence[str]
    ) -> tuple[Mapping[str, Standing | GradingError], Usage | None]:
        """How each text did, or why that is not known; and what it took to find out."""
        if len(texts) < 2:
            why = "nothing to compare it with: no other output of its group says anything else"
            return {text: Standing(0.5, why, None, 0) for text in texts}, None
        ask = self._ranked if self.method == "listwise" else self._played
        return await ask(task, texts)

    # Listwise.

    async def _ranked(
        self, task: Task, texts: Sequence[str]
    ) -> tuple[Mapping[str, Standing | GradingError], Usage | None]:
        orders = self._orders(texts)
        ended = await asyncio.gather(*(self._ranking(task, order) for order in orders), return_exceptions=True)
        usage = used_by(ended)
        if (problem := worst_of(ended)) is not None:
            return dict.fromkeys(texts, problem), usage
        rankings = [one for one in ended if isinstance(one, Ranking)]
        return {text: _of_rankings(text, rankings) for text in texts}, usage

    def _orders(self, texts: Sequence[str]) -> Sequence[Sequence[str]]:
        """Orders to show the texts in: one drawn and its reverse, another and its reverse, ..., none twice."""
        orders: dict[tuple[str, ...], None] = {}
        wanted = self.orders or ORDERS
        for number in range(wanted):
            places = {text: drawn(self.seed, texts, number, text) for text in texts}
            order = tuple(sorted(texts, key=places.__getitem__))
            orders |= {order: None, order[::-1]: None}
        return list(orders)[:wanted]

    async def _ranking(self, task: Task, order: Sequence[str]) -> Ranking:
        names = labels(len(order))
        place = {"type": "array", "items": {"type": "string", "enum": names}}
        form = Form("ranking", form_of(steps=STEPS, result={"type": "array", "items": place}))
        messages = self.asking(task, RANKING.format(count=len(order)), order)
        reply = await self.ask(messages, form, lambda answer: _read_ranking(answer, names))
        places, said = reply.value
        by_text = {text: places[name] for name, text in zip(names, order, strict=True)}
        return Ranking(order, by_text, said, reply.answer.model, reply.usage)

    # Tournament.

    async def _played(
        self, task: Task, texts: Sequence[str]
    ) -> tuple[Mapping[str, Standing | GradingError], Usage | None]:
        pairs = self._pairs(texts)
        ended = await asyncio.gather(*(self.match(task, *pair) for pair in pairs), return_exceptions=True)
        usage = used_by(ended)
        worst_of(ended)  # raises what ends more than one match
        matches = [one for one in ended if isinstance(one, Match)]
        effect = sum(one.first.share + one.second.share - 1 for one in matches) / len(matches) if matches else 0.0
        played = dict(zip(pairs, ended, strict=True))
        return {text: _of_matches(text, played, effect) for text in texts}, usage

    def _pairs(self, texts: Sequence[str]) -> list[tuple[str, str]]:
        if self.pairs != "circular" or len(texts) < 4:  # of three, the ring holds all pairs
            return list(combinations(sorted(texts), 2))
        ring = sorted(texts, key=lambda text: drawn(self.seed, texts, text))
        return list(zip(ring, [*ring[1:], ring[0]], strict=True))


def _read_ranking(answer: Answer, names: Sequence[str]) -> tuple[dict[str, float], str]:
    """The place of each label: 1 is the best, and labels in one place share the mean of those they take up."""
    wire = object_in(answer)
    result = field_of(wire, "result")
    if not isinstance(result, list) or not all(isinstance(place, list) for place in result):
        raise ValueError(f"'result' must be a list of lists of labels, not {short(result)}")
    given = [name for place in result for name in place]
    if unknown := [name for name in given if name not in names]:
        raise ValueError(f"there is no answer {short(unknown[0])}; the labels are {', '.join(names)}")
    if wrong := [name for name in names if given.count(name) != 1]:
        raise ValueError(f"every label stands in 'result' exactly once, and {', '.join(wrong)} did not")
    places: dict[str, float] = {}
    for place in result:
        mean = len(places) + (len(place) + 1) / 2
        places |= dict.fromkeys(place, mean)
    return places, conclusion_of(wire)


def _of_rankings(text: str, rankings: Sequence[Ranking]) -> Standing:
    count = len(rankings[0].order)
    score = sum(ranking.score(text) for ranking in rankings) / len(rankings)
    found = [f"{ranking.places[text]:g}" for ranking in rankings]
    times = f"in {len(found)} orders " if len(found) > 1 else ""
    same = f" {found[0]}" if len(set(found)) == 1 else f"s {', '.join(found[:-1])} and {found[-1]}"
    told = [
        {
            "shown": ranking.order.index(text) + 1,
            "label": labels(count)[ranking.order.index(text)],
            "of": count,
            "place": ranking.places[text],
            "said": ranking.said[:MAX_SAID],
        }
        for ranking in rankings
    ]
    why = f"{rankings[0].judge} {times}gave it place{same} of {count}"
    return Standing(score, why, {"orders": told, "position_effect": _position_effect(rankings)}, count - 1)


def _position_effect(rankings: Sequence[Ranking]) -> float:
    """From -1 to 1: whether being shown early was of use. 1 where the places are those in which answers were shown."""
    found = most = 0.0
    for ranking in rankings:
        count = len(ranking.order)
        for number, text in enumerate(ranking.order):
            early = 0.5 - number / (count - 1)
            found += early * (ranking.score(text) - 0.5)
            most += early * early
    return round(found / most, 4) + 0.0


def _of_matches(
    text: str, played: Mapping[tuple[str, str], Match | BaseException], effect: float
) -> Standing | GradingError:
    shares: list[float] = []
    failed: list[GradingError] = []
    depend, judge = 0, ""
    for (one, _), match in ((pair, match) for pair, match in played.items() if text in pair):
        if isinstance(match, GradingError):
            failed.append(match)
            continue
        assert isinstance(match, Match)
        shares.append(match.share if one == text else 1 - match.share)
        depend += match.depends_on_order
        judge = match.first.judge
    if len(shares) <= len(failed):
        return failed[0]
    told = {"won": shares.count(1.0), "tied": shares.count(0.5), "lost": shares.count(0.0)}
    words = ", ".join(f"{name} {count}" for name, count in told.items())
    why = f"{judge}, of {len(shares)} comparisons in both orders: {words}"
    if depend:
        why = f"{why}; {depend} depended on the order and so {'is a tie' if depend == 1 else 'are ties'}"
    if failed:
        why = f"{why}; {len(failed)} more could not be decided: {failed[0].error.detail}"
    extracted = {
        **told,
        "undecided": len(failed),
        "depend_on_order": depend,
        "position_effect": round(effect, 4) + 0.0,
    }
    return Standing(sum(shares) / len(shares), why, extracted, len(shares))


def _in_last_place(grades: Sequence[Grade]) -> str:
    """What takes the last place without being shown, in words; "" where nothing does."""
    kinds = {
        grade.error.kind == "unresponsive_reward_error" for grade in grades if grade.error and grade.score is not None
    }
    words = [word for empty, word in ((False, "could not be read"), (True, "says nothing")) if empty in kinds]
    return " or ".join(words)


def _grade(standing: Standing | GradingError, last: str, usage: Usage | None) -> Grade:
    """The grade of one sample. What takes the last place is one more opponent that it has beaten."""
    if isinstance(standing, GradingError):
        error = standing.error
        return Grade(None, error.detail, error, usage=usage)
    if not last:
        return Grade(standing.score, standing.why, extracted=standing.extracted, usage=usage)
    score = (standing.score * standing.opponents + 1) / (standing.opponents + 1)
    why = f"{standing.why}; and it is better than what {last}, which takes the last place"
    return Grade(score, why, extracted=standing.extracted, usage=usage)


def _split(usage: Usage | None, count: int) -> list[Usage | None]:
    """What a whole group used, a share for each of its grades; together they are the whole."""
    if not usage:
        return [None] * count
    return [
        {
            model: {name: number // count + (share < number % count) for name, number in counts.items()}
            for model, counts in usage.items()
        }
        for share in range(count)
    ]
