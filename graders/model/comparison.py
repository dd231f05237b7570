"""Comparison: base of the judges that are shown several answers to one task and say which is better.

Answers bear labels, A, B, C, ... in the order in which they are shown, and nothing else: no name, no length, no
earlier score. Which of them is whose, no answer can know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, model_validator

from graders.composite import together
from graders.grade import GradingError, Usage
from graders.model.judge import Judge
from graders.model.messages import Messages, rendered, with_note
from graders.model.verdict import STEPS, choice_of, conclusion_of, form_of, object_in
from graders.sample import Item, Sample
from graders.service.question import Answer, Form
from graders.template import Template, render_all, short
from graders.variables import variables_of

BETTER_OF_TWO = (
    'Compare two answers to the same task. Answer "A" or "B", whichever is better, in `result`, or "tie" where neither '
    "is. Judge what they say: neither their length nor the order in which you see them counts."
)
FORM = Form("preference", form_of(steps=STEPS, result={"type": "string", "enum": ["A", "B", "tie"]}))
SHARE_OF_A = {"A": 1.0, "B": 0.0, "tie": 0.5}


class Task(NamedTuple):
    """What the answers are answers to, every variable put in."""

    messages: Sequence[dict[str, Any]]
    criteria: str


class Preference(NamedTuple):
    """A judge's verdict on two answers, shown in one order."""

    result: str  # "A", "B" or "tie"
    said: str
    judge: str
    usage: Usage

    @property
    def share(self) -> float:
        """What the answer shown first wins."""
        return SHARE_OF_A[self.result]


class Match(NamedTuple):
    """Two answers shown in both orders."""

    first: Preference  # where the one is A
    second: Preference  # where it is B

    @property
    def depends_on_order(self) -> bool:
        return self.first.share != 1 - self.second.share

    @property
    def share(self) -> float:
        """What the one wins: 1, 0, or 0.5 for a tie, which a verdict is that depends on the order."""
        return 0.5 if self.depends_on_order else self.first.share

    @property
    def usage(self) -> Usage:
        return together([self.first.usage, self.second.usage]) or {}


class Comparison(Judge):
    """Base of judges that compare answers."""

    input: Messages | None = None  # the task, as far as the judge is to see it
    output: Template = "{{sample.output_text}}"
    criteria: Annotated[Template, Field(min_length=1)] | None = None  # what makes an answer the better one
    seed: Annotated[int, Field(strict=True)] = 0  # of the orders that are drawn

    @model_validator(mode="after")
    def _shows_answers_only_as_such(self) -> Self:
        for place, variable in variables_of(self):
            if variable.namespace == "sample" and place != "output":
                raise ValueError(
                    f"{place}: {{{{ {variable.text} }}}} would tell the judge which answer is being graded; the "
                    "answers are put in by themselves, from 'output'"
                )
        if not any(variable.namespace == "sample" for _, variable in variables_of(self)):
            raise ValueError(
                f"output: {short(self.output)} holds no {{{{sample...}}}} variable, so every answer would be the same; "
                "write {{sample.output_text}} where the answer belongs"
            )
        return self

    def task(self, item: Item) -> Task:
        """Raises GradingError where the item lacks a variable."""
        criteria, *_ = render_all([self.criteria or ""], Sample(), item)
        return Task(rendered(self.input, Sample(), item) if self.input else [], criteria)

    def asking(self, task: Task, instruction: str, answers: Sequence[str]) -> list[dict[str, Any]]:
        """The messages that show the judge these answers, labelled in this order."""
        fence = self.new_fence()
        shown = "\n\n".join(
            f"Answer {label}:\n{fence.enclosed(text)}"
            for label, text in zip(labels(len(answers)), answers, strict=True)
        )
        if task.criteria:
            instruction = f"{instruction}\n\nWhat makes an answer better: {task.criteria}"
        return self.guarded(with_note(_ending_in(task.messages, shown), instruction), fence)

    async def preferred(self, task: Task, first: str, second: str, keep: bool = True) -> Preference:
        """Which of two answers is better, shown in this order; raises as `ask` does."""
        reply = await self.ask(self.asking(task, BETTER_OF_TWO, [first, second]), FORM, _read, keep)
        return Preference(*reply.value, reply.answer.model, reply.usage)

    async def match(self, task: Task, one: str, other: str, keep: bool = True) -> Match:
        """Two answers in both orders, asked together; raises as `ask` does, with what both used."""
        return Match(*await all_of([self.preferred(task, one, other, keep), self.preferred(task, other, one, keep)]))


def _read(answer: Answer) -> tuple[str, str]:
    wire = object_in(answer)
    return choice_of(wire, "result", tuple(SHARE_OF_A)), conclusion_of(wire)


MOST_LABELS = 26 + 26 * 26


def labels(count: int) -> list[str]:
    """A, B, ..., Z, AA, AB, ..., ZZ; there are no more."""
    letters = [chr(ord("A") + number) for number in range(26)]
    return [(letters[number // 26 - 1] if number >= 26 else "") + letters[number % 26] for number in range(count)]


def drawn(seed: int, texts: Iterable[str], *about: Any) -> bytes:
    """Bytes that look random and that nothing but the seed, the texts (in any order) and `about` decide."""
    digest = blake2b(repr((seed, about)).encode("utf-8", "surrogatepass"), digest_size=16)
    for one in sorted(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts):
        digest.update(one)
    return digest.digest()


async def all_of(calls: Iterable[Awaitable[Any]]) -> list[Any]:
    """What several calls under way together answer. Where one fails its error is raised, with what all of them used."""
    ended = await asyncio.gather(*calls, return_exceptions=True)
    problem = worst_of(ended)
    if problem is None:
        return ended
    raise GradingError(problem.error.kind, problem.error.detail, problem.error.fault, used_by(ended))


def used_by(ended: Iterable[Any]) -> Usage | None:
    """What answers and errors used together."""
    return together(one.usage for one in ended if getattr(one, "usage", None))


def worst_of(ended: Sequence[Any]) -> GradingError | None:
    """The first error of one question, if any; what is worse than that is raised."""
    failed = [one for one in ended if isinstance(one, BaseException)]
    for problem in failed:
        if not isinstance(problem, GradingError):
            raise problem
    return failed[0] if failed else None  # type: ignore[return-value]


def _ending_in(messages: Sequence[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The messages with a text as the end of the last one where that is the user's: some models' templates take no
    two messages of one role in a row."""
    *before, last = messages or [{"role": "", "content": ""}]
    if last["role"] != "user":
        return [*messages, {"role": "user", "content": text}]
    if isinstance(last["content"], str):
        return [*before, {**last, "content": f"{last['content']}\n\n{text}"}]
    return [*before, {**last, "content": [*last["content"], {"type": "input_text", "text": text}]}]
