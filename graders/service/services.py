"""Services: asks judge models. The only place that sends, and so the only one that counts, waits, retries and keeps.

`current()` is what all graders of the process use; `use` puts another in its place.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from graders.composite import together
from graders.grade import GradingError, GradingStopped, Usage
from graders.sample import parse_json
from graders.service.answers import Answers, answer_key
from graders.service.ledger import Ledger
from graders.service.pace import Pace
from graders.service.question import Answer, BrokenAnswerError, Question, answer_of, body_of
from graders.service.redact import redacted
from graders.service.settings import Route, Settings, read_settings
from graders.service.wire import Response, Wire, WireError, open_wire
from graders.template import short

FILE_OF_JUDGES = "ASSAY_JUDGES"
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds, of the exponential part of a wait before another try
UNKNOWN_ANSWER = 256  # tokens of an answer that nothing bounds, where only pace and price estimates need one
RETRIED = (408, 409, 429)
Value = TypeVar("Value")


class Reply(NamedTuple, Generic[Value]):
    """What was read from a judge's answer, that answer, and what it took to get it."""

    value: Value
    answer: Answer
    usage: Usage


@dataclass
class _Here:
    """What belongs to one event loop."""

    wires: dict[str, Wire] = field(default_factory=dict)
    places: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    under_way: dict[bytes, asyncio.Future[Any]] = field(default_factory=dict)
    closing: AsyncGenerator[None, None] | None = None


class Services:
    """The services of some settings, with one ledger, one cache and one budget.

    `cache` is a folder of answers kept for other runs, `budget` the most dollars that may be spent. A `dry` one sends
    nothing: what would be asked is entered in the ledger by an estimate, and every question ends undecided.
    """

    def __init__(
        self, settings: Settings, *, cache: Path | None = None, budget: float | None = None, dry: bool = False
    ) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.prices, budget)
        self.dry = dry
        self._answers = None if cache is None else Answers(cache)
        self._paces: dict[str, Pace] = {}
        self._loops: dict[asyncio.AbstractEventLoop, _Here] = {}

    def check_ready(self, model: str, longest: int | None = None) -> None:
        """Raise ValueError where this model cannot be asked; `longest` bounds an answer in tokens."""
        self.settings.check_ready(model)
        route = self.settings.route(model)
        if self.ledger.budget is None:
            return
        if route.model not in self.settings.prices:
            raise ValueError(
                f"a budget needs the price of {route.model!r}; write prices: {{{route.model}: {{input: ..., "
                "output: ...} (dollars per million tokens; 0 where it is free) into the file of judges"
            )
        if longest is None and route.service.max_completion_tokens is None:
            raise ValueError(
                f"a budget needs a bound on the answers of {model!r}: set max_completions_tokens in the grader's "
                f"sampling_params, or max_completion_tokens for the service {route.name!r} in the file of judges"
            )

    def close(self) -> None:
        """Write what waits to be written. Connections close with their event loop."""
        if self._answers is not None:
            self._answers.close()

    async def ask(self, question: Question, read: Callable[[Answer], Value]) -> Reply[Value]:
        """A judge's answer as `read` has it. Where `read` raises ValueError the judge is asked once more.

        Raises GradingError (`model_grader_parse_error`, `model_grader_refusal_error`, `model_grader_server_error`,
        `overloaded`, `timeout`) for this question, GradingStopped where no question could be answered.
        """
        route = self.settings.route(question.model)
        body = _encoded(body_of(question, route))
        key = answer_key(question.asker, route.model, body)
        if question.keep and (kept := self._kept(key, route.model, read)) is not None:
            return kept
        if self.dry:
            raise self._estimated(question, route, body)
        if not question.keep:
            return await self._read(question, route, body, read)
        under_way = self._here().under_way
        if (same := under_way.get(key)) is not None:  # asked this moment for another row
            reply: Reply[Value] = await asyncio.shield(same)
            return reply._replace(usage={route.model: {"kept": 1}})
        under_way[key] = asked = asyncio.get_running_loop().create_future()
        try:
            reply = await self._read(question, route, body, read)
        except BaseException as problem:
            if isinstance(problem, Exception):
                asked.set_exception(problem)
                asked.exception()  # seen, should nobody else wait for it
            else:
                asked.cancel()
            raise
        finally:
            del under_way[key]
        asked.set_result(reply)
        if self._answers is not None:
            self._answers.keep(key, reply.answer)
        return reply

    def _kept(self, key: bytes, model: str, read: Callable[[Answer], Value]) -> Reply[Value] | None:
        answer = None if self._answers is None else self._answers.find(key, model)
        if answer is None:
            return None
        try:
            return Reply(read(answer), answer, answer.usage)
        except ValueError:  # kept by a grader that read it otherwise
            return None

    async def _read(
        self, question: Question, route: Route, body: bytes, read: Callable[[Answer], Value]
    ) -> Reply[Value]:
        used: list[Usage] = []
        for last in (False, True):
            try:
                answer = await self._answer(question, route, body)
                used.append(answer.usage)
                return Reply(read(answer), answer, together(used) or {})
            except ValueError as problem:
                if last:
                    detail = f"the judge {route.model} gave twice no answer that can be read: {problem}"
                    raise GradingError("model_grader_parse_error", detail, "grader", together(used)) from None
                body = _encoded(body_of(_with_correction(question, answer.text, str(problem)), route))
            except GradingError as problem:
                used.append(problem.usage or {})
                if last or problem.error.kind != "model_grader_refusal_error":
                    error = problem.error
                    raise GradingError(error.kind, redacted(error.detail), error.fault, together(used)) from None
        raise AssertionError

    async def _answer(self, question: Question, route: Route, body: bytes) -> Answer:
        """One answer, counted and paid for."""
        service = route.service
        longest = question.params.get("max_completions_tokens") or service.max_completion_tokens
        here = self._here()
        most = 0.0
        if self.ledger.budget is not None:
            most = self.ledger.bound(route.model, len(body), longest or UNKNOWN_ANSWER)  # a token has a byte at least
            await self.ledger.reserve(most)
        try:
            if route.name not in here.places:
                here.places[route.name] = asyncio.Semaphore(service.concurrency)
            async with here.places[route.name]:
                answer = await self._tries(route, body, len(body) // 4 + (longest or UNKNOWN_ANSWER))
        except GradingError as problem:
            if problem.usage:
                self.ledger.add(question.asker, problem.usage)
            raise
        finally:
            if most:
                self.ledger.release(most)
        self.ledger.add(question.asker, answer.usage)
        return answer

    async def _tries(self, route: Route, body: bytes, tokens: int) -> Answer:
        service, pace = route.service, self._pace(route)
        wire = await self._wire(route)
        end: float | None = None
        kind, said = "", ""
        for number in range(1, service.retries + 2):
            await _turn(pace, tokens)
            began = time.monotonic()
            end = end or began + service.deadline
            asked_to_wait = None
            try:
                response = await wire.post(body, min(service.timeout, max(0.001, end - began)))
                if response.status == 200:
                    answer = answer_of(response.body, route.model)
                    pace.succeeded()
                    counts = answer.usage[route.model]
                    pace.used(counts.get("prompt_tokens", 0) + counts.get("completion_tokens", 0), tokens)
                    return answer
                kind, said = self._turned_down(response, route, pace)
                asked_to_wait = _retry_after(response)
            except GradingError:
                pace.succeeded()  # it answered, if only by a refusal
                raise
            except TimeoutError:
                kind, said = "timeout", f"no answer within {service.timeout:g} s"
            except (WireError, BrokenAnswerError) as problem:
                kind, said = "model_grader_server_error", str(problem)
            self._count_failure(kind, said, route, pace)
            wait = _wait(number, asked_to_wait)
            if time.monotonic() + wait > end:
                break
            if asked_to_wait is not None:
                pace.hold(wait)
            if number <= service.retries:
                await asyncio.sleep(wait)
        detail = f"{route.name} ({route.model}), asked {number} time{'s' * (number > 1)}: {redacted(said)}"
        raise GradingError(kind, detail, "infra")

    def _count_failure(self, kind: str, said: str, route: Route, pace: Pace) -> None:
        if kind == "overloaded":
            pace.turned_away()
            return
        outage = pace.failed()
        if outage > route.service.give_up_after:
            raise GradingStopped(
                f"{route.name} at {route.service.address} has answered nothing for {outage:.0f} s; the last try: "
                f"{redacted(said)}"
            )

    def _turned_down(self, response: Response, route: Route, pace: Pace) -> tuple[str, str]:
        """The kind and words of a refusal that another try may mend; raises what it would not."""
        words, code = _words(response)
        said = f"HTTP {response.status}: {words}"
        if response.status in RETRIED or response.status >= 500:
            if code == "insufficient_quota":
                raise GradingStopped(f"{route.name} at {route.service.address}: {said}")
            return ("overloaded" if response.status == 429 else "model_grader_server_error"), said
        about_one = pace.answered or code == "context_length_exceeded"
        if about_one and response.status not in (401, 403, 404):
            raise GradingError("model_grader_server_error", f"{route.name} ({route.model}): {said}", "grader")
        raise GradingStopped(f"{route.name} at {route.service.address} refuses {route.model!r}: {said}{_hint(words)}")

    def _estimated(self, question: Question, route: Route, body: bytes) -> GradingError:
        longest = question.params.get("max_completions_tokens") or route.service.max_completion_tokens
        counts = {"calls": 1, "prompt_tokens": len(body) // 4, "completion_tokens": longest or UNKNOWN_ANSWER}
        self.ledger.add(question.asker, {route.model: counts})
        return GradingError("not_asked", "a dry run: the judge was not asked", "infra")

    def _pace(self, route: Route) -> Pace:
        if route.name not in self._paces:
            self._paces[route.name] = Pace(route.service)
        return self._paces[route.name]

    async def _wire(self, route: Route) -> Wire:
        here = self._here()
        if here.closing is None:
            here.closing = self._until_the_loop_ends()
            await anext(here.closing)
        if route.name not in here.wires:
            here.wires[route.name] = open_wire(route.service)
        return here.wires[route.name]

    async def _until_the_loop_ends(self) -> AsyncGenerator[None, None]:
        """Closes the loop's connections: an event loop that ends closes the generators it left half way."""
        loop = asyncio.get_running_loop()
        try:
            yield
        finally:
            for wire in self._loops.pop(loop).wires.values():
                await wire.close()

    def _here(self) -> _Here:
        loop = asyncio.get_running_loop()
        here = self._loops.get(loop)
        if here is None:
            here = self._loops[loop] = _Here()
        return here


async def _turn(pace: Pace, tokens: int) -> None:
    """Wait until the service may be asked."""
    while (left := pace.closed()) > 0:
        await asyncio.sleep(left)
    if (left := pace.take(tokens)) > 0:
        await asyncio.sleep(left)


def _encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _with_correction(question: Question, said: str, problem: str) -> Question:
    correction = (
        f"That could not be read: {problem}. Answer again with one JSON object that follows this schema, and nothing "
        f"else: {json.dumps(question.form.schema)}"
    )
    more = [{"role": "assistant", "content": said or "-"}, {"role": "user", "content": correction}]
    return replace(question, messages=[*question.messages, *more])


def _retry_after(response: Response) -> float | None:
    """Seconds that the service asks to be left alone for (RFC 9110, section 10.2.3; only the number form)."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return min(max(0.0, float(response.headers[name]) * unit), 600.0)
        except (KeyError, ValueError):
            continue
    return None


def _wait(number: int, asked: float | None) -> float:
    """Seconds before try `number` + 1: what the service asked for, else full jitter (random up to a growing bound)."""
    if asked is not None:
        return asked
    return random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (number - 1)))


def _words(response: Response) -> tuple[str, str]:
    """What a service said of an error, and its code for it."""
    text = response.body[:20_000].decode("utf-8", "replace")
    wire = parse_json(text)
    error = wire.get("error", wire) if isinstance(wire, dict) else wire
    if isinstance(error, dict):
        said = error.get("message") or error.get("detail") or text
        return redacted(short(str(said), 500)), str(error.get("code") or "")
    return redacted(short(str(error or text), 500)), ""


def _hint(words: str) -> str:
    lower = words.lower()
    if "response_format" in lower or "json_schema" in lower:
        return "; set structured_output: json_object, or none, for this service in the file of judges"
    if "max_completion_tokens" in lower:
        return "; set max_tokens_key: max_tokens for this service in the file of judges"
    return ""


_current: Services | None = None


def current() -> Services:
    """The services that graders ask: those in `use`, else of the file that ASSAY_JUDGES names, else OpenAI's."""
    global _current
    if _current is None:
        file = os.environ.get(FILE_OF_JUDGES)
        _current = Services(read_settings(file) if file else Settings())
    return _current


@contextmanager
def use(services: Services) -> Iterator[Services]:
    """Let all graders of the process ask these services; closes them at the end."""
    global _current
    before, _current = _current, services
    try:
        yield services
    finally:
        _current = before
        services.close()
