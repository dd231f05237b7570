"""rubric: a judge model checks an answer against criteria, each with its points."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import Any, Literal, NamedTuple

from pydantic import field_validator, model_validator

from graders.composite import could_not_decide, together
from graders.grade import Grade, GradingError, Usage
from graders.model.criteria import Criteria, Criterion, bounds, check_criteria, criteria_in, names_of, tally
from graders.model.fence import Fence
from graders.model.judge import OutputJudge
from graders.model.messages import InputText, Message, Messages, rendered
from graders.model.verdict import check_keys, choice_of, form_of, object_in, text_of, truth_of
from graders.sample import Item, Sample
from graders.service.question import Answer, Form
from graders.service.services import Reply
from graders.template import render, short

TASK = (
    "Check the answer against what is listed below, point by point, each on its own. A point may describe something "
    "good or something bad: it is met when the answer does, or is, what the point's words say, be that good or bad. "
    "Where a point asks for several things, all of them must be there; of what it only names as examples, not all "
    "need be. What the answer leaves open is not met. Write the explanation first, then the verdict: `met`, true or "
    "false, or `choice`, one of the choices where a point lists some."
)
"""What the judge is told. Not the points: they would tell it what to wish for."""


SHOWN = 5  # names of criteria that a reason lists


class _Verdict(NamedTuple):
    explanation: str
    value: bool | str  # whether it is met, or the choice


class Rubric(OutputJudge):
    """The points an answer reaches, as a share of all positive ones; a judge model says which criteria are met.

    Criteria with negative points take off what was reached. After HealthBench (Arora et al. 2025, arXiv 2505.08775),
    whose rows are items as they are: `{"prompt": [messages], "rubrics": [{"criterion", "points", "tags"}]}`.

    >>> grader = Rubric(model="gpt-4o", criteria=[{"criterion": "Names {{item.gene}}.", "points": 5}], fence=False)
    >>> (message,) = grader.conversations(Sample("It is FBN1."), {"gene": "FBN1"})[0]
    >>> message["content"].startswith("The answer to be checked:\\n\\nIt is FBN1.")
    True
    >>> message["content"].endswith("c1. Names FBN1.")
    True
    """

    type: Literal["rubric"] = "rubric"
    criteria: Criteria
    input: Messages | None = None  # what the judge is shown; None: the item's conversation, and the output
    calls: Literal["one", "each"] = "one"  # one call for all criteria, or one for each
    clip: bool = True  # scores below 0 count as 0

    @field_validator("criteria")
    @classmethod
    def _fit_together(cls, given: Criteria) -> Criteria:
        if not isinstance(given, str):
            check_criteria(given)
        return given

    @model_validator(mode="after")
    def _whole(self) -> Rubric:
        if not isinstance(self.criteria, str):
            if not self.clip and bounds(self.criteria)[0] >= 0:
                raise ValueError("clip: no criterion takes points off, so no score is below 0; leave 'clip' out")
        elif not self.clip and self.canary is not None and self.canary.at_most is None:
            raise ValueError("canary.at_most: give the highest score the canary may get, since the lowest has no bound")
        if not self.shows_output:
            raise ValueError("input: shows nothing of the output; put {{sample.output_text}} into a message")
        return self

    @property
    def shows_output(self) -> bool:
        return self.input is None or super().shows_output

    @property
    def range(self) -> tuple[float, float]:
        if self.clip:
            return 0.0, 1.0
        return (-math.inf, 1.0) if isinstance(self.criteria, str) else bounds(self.criteria)

    def conversations(self, sample: Sample, item: Item) -> list[list[dict[str, Any]]]:
        """What the judge is asked, call by call: messages with every variable put in."""
        return self._asked(sample, item, self._criteria_for(item))

    async def judged(self, sample: Sample, item: Item, keep: bool = True) -> Grade:
        criteria = self._criteria_for(item)
        try:
            conversations = self._asked(sample, item, criteria)
        except GradingError as problem:
            if problem.error.fault != "candidate":
                raise
            lowest = 0.0 if self.clip else bounds(criteria)[0]  # of this item, where it has its own criteria
            return Grade.failed(problem.error.kind, problem.error.detail, lowest)
        groups = self._groups(criteria)
        forms = [_form_for(tuple(one.choices for one in group)) for group in groups]
        asked = zip(conversations, forms, groups, strict=True)
        calls = [self.ask(messages, form, partial(_read, group), keep) for messages, form, group in asked]
        replies = await asyncio.gather(*calls, return_exceptions=True)
        return self._grade(criteria, replies)

    def _groups(self, criteria: Sequence[Criterion]) -> list[Sequence[Criterion]]:
        return [criteria] if self.calls == "one" else [[one] for one in criteria]

    def _criteria_for(self, item: Item) -> Sequence[Criterion]:
        return criteria_in(self.criteria, item) if isinstance(self.criteria, str) else self.criteria

    def _asked(self, sample: Sample, item: Item, criteria: Sequence[Criterion]) -> list[list[dict[str, Any]]]:
        said = "" if self.input is not None else conversation_of(item)  # what the item lacks is said first
        fence = self.new_fence()
        filled = rendered([*(self.input or ()), *self._listed], sample, item, fence.shown)
        texts = [one.criterion for one in criteria]
        if self._listed:
            texts = [part["text"] for part in filled.pop()["content"]]
        if self.input is None:
            answer = f"The answer to be checked:\n\n{_answer(sample, fence)}"
            shown = f"The conversation so far:\n\n{said}\n\n{answer}" if said else answer
            filled = [{"role": "user", "content": shown}]
        self.check_length(fence)
        listed = list(zip(texts, criteria, strict=True))
        groups = [listed] if self.calls == "one" else [[one] for one in listed]
        return [self.guarded(_with_task(filled, group), fence) for group in groups]

    @cached_property
    def _listed(self) -> list[Message]:
        """The criteria of the definition as a message, so that they are rendered with the others."""
        if isinstance(self.criteria, str):
            return []
        texts = [InputText(type="input_text", text=one.criterion) for one in self.criteria]
        return [Message(role="user", content=texts)]

    def _grade(self, criteria: Sequence[Criterion], replies: Sequence[Reply[list[_Verdict]] | BaseException]) -> Grade:
        usages: list[Usage] = []
        parts: dict[str, Grade] = {}
        names = iter(names_of(criteria))
        model = ""
        for group, reply in zip(self._groups(criteria), replies, strict=True):
            if isinstance(reply, GradingError) and self.calls == "each":
                parts[next(names)] = Grade(None, reply.error.detail, reply.error, usage=reply.usage)
                usages.append(reply.usage or {})
            elif isinstance(reply, BaseException):
                raise reply
            else:
                model = model or reply.answer.model
                usages.append(reply.usage)
                parts |= {next(names): _part(one, verdict) for one, verdict in zip(group, reply.value, strict=True)}
        usage = together(usages)
        return could_not_decide(parts, usage=usage) or self._sum(criteria, parts, usage, model)

    def _sum(self, criteria: Sequence[Criterion], parts: Mapping[str, Grade], usage: Usage | None, model: str) -> Grade:
        shares = [part.score or 0.0 for part in parts.values()]
        whole = tally(criteria, shares)
        assert whole is not None  # `check_criteria` saw to it
        score = max(0.0, whole.score) if self.clip else whole.score
        terms = " + ".join(f"{one.points:g}*{share:g}" for one, share in zip(criteria, shares, strict=True))
        formula = f"({terms.replace('+ -', '- ')}) / {whole.possible:g} = {whole.score:g}"
        why = f"{model}: {whole.reached:g} of {whole.possible:g} points"
        if score != whole.score:
            formula, why = f"{formula}, clipped to 0", f"{why}, counted as 0"
        lost = [name for name, one, share in zip(parts, criteria, shares, strict=True) if share != (one.points > 0)]
        if lost:
            more = f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
            why = f"{why}; points lost on {', '.join(map(short, lost[:SHOWN]))}{more}"
        read = {"points": whole.reached, "of": whole.possible, "tags": self._by_tag(criteria, shares)}
        return Grade(score, why, parts=parts, formula=formula, extracted=read, usage=usage)

    def _by_tag(self, criteria: Sequence[Criterion], shares: Sequence[float]) -> dict[str, float]:
        """The score over the criteria of each tag; of tags without positive points there is none."""
        scores = {}
        for tag in dict.fromkeys(tag for one in criteria for tag in one.tags):
            places = [place for place, one in enumerate(criteria) if tag in one.tags]
            found = tally([criteria[place] for place in places], [shares[place] for place in places])
            if found is not None:
                scores[tag] = max(0.0, found.score) if self.clip else found.score
        return scores


def _answer(sample: Sample, fence: Fence) -> str:
    """The output's text, and its tool calls where it has some."""
    if not sample.output_tools:
        return fence.enclosed(sample.output_text)
    calls = f"Its tool calls:\n\n{fence.enclosed(render('{{sample.output_tools}}', sample, {}))}"
    return f"{fence.enclosed(sample.output_text)}\n\n{calls}" if sample.output_text else calls


def conversation_of(item: Item) -> str:
    """The conversation that an item's `prompt`, else its `messages`, holds, as text; "" where it has neither.

    Raises GradingError (`invalid_variable_error`) for what is no conversation, or cannot be shown as text.
    """
    for key in ("prompt", "messages"):
        if (given := item.get(key)) is not None:
            if isinstance(given, str):
                return given
            if not isinstance(given, list | tuple):
                raise _not_shown(f"item.{key} is {short(given)}, neither a text nor a list of messages")
            return "\n\n".join(_turn(message, f"item.{key}.{place}") for place, message in enumerate(given))
    return ""


def _turn(message: Any, place: str) -> str:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise _not_shown(f"{place} is {short(message)}, no message with a role")
    content = message.get("content")
    parts = content if isinstance(content, list | tuple) else [] if content is None else [content]
    texts = []
    for part in parts:
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            raise _not_shown(f"{place} holds {short(part)}, which is no text")
        texts.append(text)
    if message.get("tool_calls"):
        texts.append(json.dumps(message["tool_calls"], ensure_ascii=False, default=str))
    return f"[{message['role']}]\n" + "\n".join(texts)


def _not_shown(reason: str) -> GradingError:
    return GradingError("invalid_variable_error", f"{reason}; write 'input' to say what the judge is shown")


def _with_task(context: Sequence[dict[str, Any]], listed: Sequence[tuple[str, Criterion]]) -> list[dict[str, Any]]:
    """The messages with the criteria at the end: in the last one where that is a user's, since roles must alternate."""
    lines = [_line(f"c{number}", text, one) for number, (text, one) in enumerate(listed, start=1)]
    task = "\n\n".join([TASK, *lines])
    *before, last = context
    if last["role"] != "user":
        return [*context, {"role": "user", "content": task}]
    if isinstance(last["content"], str):
        return [*before, {**last, "content": f"{last['content']}\n\n{task}"}]
    return [*before, {**last, "content": [*last["content"], {"type": "input_text", "text": task}]}]


def _line(key: str, text: str, criterion: Criterion) -> str:
    choices = "" if criterion.choices is None else f" Choices: {json.dumps(criterion.choices, ensure_ascii=False)}"
    return f"{key}. {text}{choices}"


@lru_cache(maxsize=256)
def _form_for(choices: tuple[tuple[str, ...] | None, ...]) -> Form:
    """An object with a verdict under each of c1, c2, ..., so that a server that keeps to it leaves none out."""
    verdicts = {}
    for number, texts in enumerate(choices, start=1):
        choice: dict[str, dict[str, Any]] = {"met": {"type": "boolean"}}
        if texts is not None:
            choice = {"choice": {"type": "string", "enum": list(texts)}}
        verdicts[f"c{number}"] = form_of(explanation={"type": "string"}, **choice)
    return Form("rubric", form_of(**verdicts))


def _read(criteria: Sequence[Criterion], answer: Answer) -> list[_Verdict]:
    wire = object_in(answer)
    check_keys(wire, [f"c{number}" for number in range(1, len(criteria) + 1)], "the answer")
    verdicts = []
    for (key, entry), one in zip(sorted(wire.items(), key=lambda pair: int(pair[0][1:])), criteria, strict=True):
        field = "met" if one.choices is None else "choice"
        check_keys(entry, ["explanation", field], repr(key))
        value = truth_of(entry, field) if one.choices is None else choice_of(entry, field, one.choices)
        verdicts.append(_Verdict(text_of(entry, "explanation"), value))
    return verdicts


def _part(criterion: Criterion, verdict: _Verdict) -> Grade:
    """One criterion's grade: the share of its points that count."""
    share = criterion.share_of(verdict.value)
    words = short(verdict.value) if isinstance(verdict.value, str) else "met" if verdict.value else "not met"
    counted = f"{criterion.points * share:g} of {criterion.points:g} points"
    why = f"{words}, {counted}" + (f": {short(verdict.explanation, 300)}" if verdict.explanation else "")
    field = "met" if criterion.choices is None else "choice"
    return Grade(share, why, extracted={"criterion": criterion.criterion, field: verdict.value})
