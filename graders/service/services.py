"""Services: asks judge models. The only place that sends, and so the only one that counts, waits, retries and keeps.

`current()` is what all graders of the process use; `use` puts another in its place.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import random
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
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
from graders.service.wire import NotInstalledError, RefusedError, Response, Wire, WireError, check_installed, open_wire
from graders.template import short

FILE_OF_JUDGES = "ASSAY_JUDGES"
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds, of the exponential part of a wait before another try
LEAST_SPREAD = 0.05  # seconds, of what is added to a wait that a service asked for
UNKNOWN_ANSWER = 256  # tokens of an answer that nothing bounds, where only pace and price estimates need one
MOST_IMAGE_TOKENS = 50_000  # of one image, where the most that a call can cost is told
LONGEST_HOLD = 600.0  # seconds, whatever a service asks for
RETRIED = (408, 409, 429)
FINAL = (401, 402, 403, 404)  # about who asks what, and so the same for every question
UNPAID = ("insufficient_quota", "billing_not_active", "billing_hard_limit_reached")
FILTERED = ("content_filter", "content_policy_violation", "invalid_prompt")
REFUSED_IN_A_ROW = 3  # different questions, with none answered before: then it is not about one of them
_ABOUT_ALL = re.compile(
    r"response_format|json_schema|max_(?:completion_)?tokens|logprobs|reasoning_effort"
    r"|(?:unknown|unsupported|unrecogni[sz]ed|invalid|no such) (?:request )?(?:model|parameter|argument|value for)"
    r"|(?:parameter|argument)s?\b.{0,80}\b(?:not (?:supported|recogni[sz]ed|permitted|allowed)|unsupported|unknown)"
    r"|\bmodel\b.{0,80}\b(?:(?:does not|doesn't) exist|not (?:exist|found|available|loaded))"
    r"|\b(?:does not|doesn't|do not|don't|not) support(?:ed)?\b|\bunsupported\b",
    re.IGNORECASE | re.DOTALL,
)
"""What a service says where no question could be answered: of the form, the model, a parameter, or what it lacks."""
_QUOTED = re.compile("([\"'`])(.+?)\\1", re.DOTALL)
_PLAIN_NAME = re.compile(r"[A-Za-z](?:[\w./:-]*\w)?", re.ASCII)  # that YAML takes for a text as it is
TOO_LONG = ("context_length_exceeded", "string_above_max_length", "exceed_context_size_error")
Value = TypeVar("Value")


class _Failure(NamedTuple):
    """A try that brought no answer, where another may."""

    kind: str
    said: str
    asked_to_wait: float | None = None
    refused: bool = False  # nothing listens there


class _UnreadableError(Exception):
    """An answer came, and it cannot be read."""


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
        self._last: dict[str, _Failure] = {}  # by services
        self._answering: set[tuple[str, str]] = set()  # services and models that have answered a question
        self._refused: dict[tuple[str, str], set[bytes]] = {}  # requests that they turned down before
        self._telling: set[tuple[str, str]] = set()  # services and models that gave log-probabilities

    def check_ready(self, model: str, longest: int | None = None) -> None:
        """Raise ValueError where this model cannot be asked; `longest` bounds an answer in tokens."""
        self.settings.check_ready(model)
        service = self.settings.route(model).service
        check_installed(service)
        if self.ledger.budget is not None:
            self._bound(model, longest or service.max_completion_tokens)

    def _bound(self, model: str, longest: int | None) -> int:
        """The most tokens of an answer. Raises ValueError where what one can cost has no bound."""
        route = self.settings.route(model)
        if route.model not in self.settings.prices:
            name = route.model if _PLAIN_NAME.fullmatch(route.model) else json.dumps(route.model, ensure_ascii=False)
            raise ValueError(
                f"a budget needs the price of {route.model!r}; write prices: {{{name}: {{input: ..., output: ...}}}} "
                "(dollars per million tokens; 0 where it is free) into the file of judges"
            )
        if longest is None:
            raise ValueError(
                f"a budget needs a bound on the answers of {model!r}: set max_completions_tokens in the grader's "
                f"sampling_params, or max_completion_tokens for the service {route.name!r} in the file of judges"
            )
        return longest

    def told_chances(self, model: str, told: bool) -> bool:
        """Whether this model's service has ever given log-probabilities, this answer of its included."""
        route = self.settings.route(model)
        if told:
            self._telling.add((route.name, route.model))
        return (route.name, route.model) in self._telling

    def close(self) -> None:
        """Write what waits to be written. Connections close with their event loop."""
        if self._answers is not None:
            self._answers.close()

    async def ask(self, question: Question, read: Callable[[Answer], Value]) -> Reply[Value]:
        """A judge's answer as `read` has it. Where `read` raises ValueError the judge is asked once more.

        Raises GradingError (`model_grader_parse_error`, `model_grader_refusal_error`, `model_grader_server_error`,
        `overloaded`, `timeout`, `not_installed`) for this question, GradingStopped where no question could be answered.
        """
        route = self.settings.route(question.model)
        body = body_of(question, route)
        key = answer_key(question.asker, route.model, body) if question.keep else b""
        if question.keep and (kept := self._kept(key, route.model, read)) is not None:
            return kept
        if self.dry:
            raise self._estimated(question, route, body)
        if not question.keep:
            return await self._read(question, route, body, read)
        return await self._once(question, route, body, key, read)

    def _kept(self, key: bytes, model: str, read: Callable[[Answer], Value]) -> Reply[Value] | None:
        answer = None if self._answers is None else self._answers.find(key, model)
        if answer is None:
            return None
        try:
            return Reply(read(answer), answer, answer.usage)
        except ValueError:  # kept by a grader that read it otherwise
            return None

    async def _once(
        self, question: Question, route: Route, body: bytes, key: bytes, read: Callable[[Answer], Value]
    ) -> Reply[Value]:
        """The reply to a question that is asked once, however many rows ask it at this moment."""
        under_way = self._here().under_way
        while (same := under_way.get(key)) is not None:
            try:
                reply: Reply[Value] = await asyncio.shield(same)
            except asyncio.CancelledError:
                if not same.cancelled():
                    raise
            except GradingError as problem:  # which used nothing for this row
                error = problem.error
                raise GradingError(error.kind, error.detail, error.fault) from None
            else:
                return reply._replace(usage={route.model: {"kept": 1}})
        under_way[key] = asked = asyncio.get_running_loop().create_future()
        try:
            reply = await self._read(question, route, body, read)
        except Exception as problem:
            asked.set_exception(problem)
            asked.exception()  # seen, should nobody else wait for it
            raise
        except BaseException:
            asked.cancel()
            raise
        finally:
            del under_way[key]
        asked.set_result(reply)
        if self._answers is not None:
            self._answers.keep(key, reply.answer)
        return reply

    async def _read(
        self, question: Question, route: Route, body: bytes, read: Callable[[Answer], Value]
    ) -> Reply[Value]:
        used: list[Usage] = []
        for last in (False, True):
            try:
                answer = await self._answer(question, route, body)
                used.append(answer.usage)
                value = _read_by(read, answer)
            except _UnreadableError as problem:
                if last:
                    where = f"; its content is empty, and it spoke in {answer.elsewhere}" if answer.elsewhere else ""
                    detail = f"the judge {route.model} gave twice no answer that can be read: {problem}{where}"
                    raise GradingError("model_grader_parse_error", detail, "grader", _whole(used)) from None
                body = body_of(_with_correction(question, answer.text, str(problem)), route)
            except GradingError as problem:
                used.append(problem.usage or {})
                if last or problem.error.kind != "model_grader_refusal_error":
                    error = problem.error
                    raise GradingError(error.kind, redacted(error.detail), error.fault, _whole(used)) from None
            else:
                return Reply(value, answer, _whole(used))
        raise AssertionError

    async def _answer(self, question: Question, route: Route, body: bytes) -> Answer:
        here = self._here()
        if (places := here.places.get(route.name)) is None:
            places = here.places[route.name] = asyncio.Semaphore(route.service.concurrency)
        async with places:
            return await self._tries(question, route, body)

    async def _tries(self, question: Question, route: Route, body: bytes) -> Answer:
        """One answer, after as many tries as it takes and the service's limits allow."""
        service, pace = route.service, self._pace(route)
        wire = await self._wire(route)
        tokens = len(body) // 4 + (_longest(question, route) or UNKNOWN_ANSWER)
        asked = tried = 0  # to be turned away uses up no try
        end = pace.clock() + service.deadline
        failure: _Failure | None = None
        while tried <= service.retries:
            limits = await _turn(pace, tokens, end)
            if not asked and limits is not None:  # to wait for limits of one's own is no fault of the service
                end += limits
            now = pace.clock()
            if limits is None or now >= end:
                failure = failure or self._left_alone(route, pace)
                break
            asked += 1
            try:
                answer = await self._try(wire, question, route, body, min(service.timeout, end - now))
            except GradingError:
                pace.succeeded()
                raise
            if isinstance(answer, Answer):
                pace.succeeded()
                counts = answer.usage[route.model]
                pace.used(counts.get("prompt_tokens", 0) + counts.get("completion_tokens", 0), tokens)
                return answer
            failure = answer
            self._count_failure(failure, route, pace, now)
            tried += failure.kind != "overloaded"
            wait = wait_before(asked, failure.asked_to_wait)
            if failure.asked_to_wait is not None:
                pace.hold(failure.asked_to_wait)
            if pace.clock() + wait > end:
                break
            if tried <= service.retries:
                await asyncio.sleep(wait)
        assert failure is not None
        if failure.refused and not pace.reached:
            raise GradingStopped(
                f"nothing answers at {service.address} ({failure.said}); start the service {route.name!r}, or mend "
                "its base_url"
            )
        detail = f"{route.name} ({route.model}), asked {asked} time{'s' * (asked != 1)}: {failure.said}"
        raise GradingError(failure.kind, detail, "infra")

    async def _try(
        self, wire: Wire, question: Question, route: Route, body: bytes, seconds: float
    ) -> Answer | _Failure:
        """One try. Raises what another would not mend."""
        try:
            answer = await self._sent(wire, question, route, body, seconds)
            if isinstance(answer, Answer):
                return answer
            kind, said = self._turned_down(answer, route, body)
            return _Failure(kind, said, retry_after(answer))
        except TimeoutError:
            return _Failure("timeout", f"no answer within {seconds:.3g} s")
        except (WireError, BrokenAnswerError) as problem:
            refused = isinstance(problem, RefusedError)
            return _Failure("model_grader_server_error", redacted(str(problem)), refused=refused)

    async def _sent(
        self, wire: Wire, question: Question, route: Route, body: bytes, seconds: float
    ) -> Answer | Response:
        """What came of one request, entered in the ledger; with a budget the most it can cost is set aside before."""
        most = lost = 0.0
        if self.ledger.budget is not None:
            most = lost = self._most(question, route, body)
            await self.ledger.reserve(most)
        try:
            response = await wire.post(body, seconds)
            self._pace(route).reached = True
            if response.status != 200:
                lost = 0.0
                return response
            answer = answer_of(response.body, route.model)
            self._answering.add((route.name, route.model))
            lost = self._entered(question, route, answer.usage, most)
            return answer
        except RefusedError:
            lost = 0.0
            raise
        except GradingError as problem:  # it answered, if only by a refusal
            self._answering.add((route.name, route.model))
            lost = self._entered(question, route, problem.usage or {}, most)
            raise
        finally:
            if most:
                self.ledger.release(most, lost)

    def _most(self, question: Question, route: Route, body: bytes) -> float:
        """The most dollars that an answer can cost."""
        try:
            longest = self._bound(question.model, _longest(question, route))
        except ValueError as problem:
            raise GradingStopped(str(problem)) from None
        images = sum(
            part["type"] == "input_image"
            for message in question.messages
            if not isinstance(message["content"], str)
            for part in message["content"]
        )
        # A token of text has a byte at least.
        return self.ledger.bound(route.model, len(body) + images * MOST_IMAGE_TOKENS, longest)

    def _entered(self, question: Question, route: Route, usage: Usage, most: float) -> float:
        """Enter what an answer used; gives what is not known of its cost."""
        self.ledger.add(question.asker, usage)
        return 0.0 if {"prompt_tokens", "completion_tokens"} <= usage.get(route.model, {}).keys() else most

    def _count_failure(self, failure: _Failure, route: Route, pace: Pace, sent: float) -> None:
        self._last[route.name] = failure
        if failure.kind == "overloaded":
            self._check_turned_away(pace.turned_away(), route, failure.said)
            return
        if failure.refused and not pace.reached:
            return  # nothing ever was there: no call is held back, and the first that is through ends the run
        outage = pace.failed(sent)
        if outage > route.service.give_up_after:
            raise GradingStopped(
                f"{route.name} at {route.service.address} has answered nothing for {outage:.0f} s; the last try: "
                f"{failure.said}"
            )

    def _check_turned_away(self, seconds: float, route: Route, said: str) -> None:
        if seconds > route.service.give_up_after:
            raise GradingStopped(
                f"{route.name} at {route.service.address} has turned away every call for {seconds:.0f} s; the last "
                f"try: {said}"
            )

    def _left_alone(self, route: Route, pace: Pace) -> _Failure:
        """What came of a call that could not be sent before its deadline."""
        last = self._last.get(route.name, _Failure("timeout", "nothing"))
        self._check_turned_away(pace.turned_away_for(), route, last.said)
        said = f"{route.service.deadline:g} s went by while the service is left alone; the last that came: {last.said}"
        return _Failure(last.kind, said)

    def _turned_down(self, response: Response, route: Route, body: bytes) -> tuple[str, str]:
        """The kind and words of a refusal that another try may mend; raises what it would not."""
        words, code = words_of(response)
        said = f"HTTP {response.status}: {words}"
        if code in UNPAID:
            raise GradingStopped(f"{route.name} at {route.service.address}: {said}")
        if response.status in RETRIED or response.status >= 500:
            return ("overloaded" if response.status == 429 else "model_grader_server_error"), said
        if code in FILTERED:
            raise GradingError("model_grader_refusal_error", f"{route.name} ({route.model}): {said}", "grader")
        if response.status not in FINAL and (
            (route.name, route.model) in self._answering
            or response.status == 413
            or _about_length(words, code)
            or (response.status in (400, 422) and not self._is_about_all(words, route, body))
        ):
            raise GradingError("model_grader_server_error", f"{route.name} ({route.model}): {said}", "grader")
        hint = _hint(words)
        if response.status == 404 and not route.service.address.endswith("/v1") and not _is_openai_error(response):
            hint = "; base_url must end with its /v1, if the server has one"
        if 300 <= response.status < 400:
            hint = f"; it redirects to {redacted(short(response.headers.get('location', '')))}, which is not followed"
        raise GradingStopped(f"{route.name} at {route.service.address} refuses {route.model!r}: {said}{hint}")

    def _is_about_all(self, words: str, route: Route, body: bytes) -> bool:
        """Whether a request is turned down for what all have in common, before any was answered: so the service's
        words say, or that it turned down several different ones. Else it may be what this candidate wrote."""
        refused = self._refused.setdefault((route.name, route.model), set())
        if len(refused) < REFUSED_IN_A_ROW:
            refused.add(hashlib.blake2b(body, digest_size=16).digest())
        return _says_all(words, body) or len(refused) >= REFUSED_IN_A_ROW

    def _estimated(self, question: Question, route: Route, body: bytes) -> GradingError:
        longest = _longest(question, route) or UNKNOWN_ANSWER
        counts = {"calls": 1, "prompt_tokens": len(body) // 4, "completion_tokens": longest}
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
            try:
                here.wires[route.name] = open_wire(route.service)
            except ValueError as problem:
                kind = "not_installed" if isinstance(problem, NotInstalledError) else "model_grader_server_error"
                raise GradingError(kind, redacted(str(problem)), "infra") from None
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
            for other in [other for other in self._loops if other.is_closed()]:
                del self._loops[other]
            here = self._loops[loop] = _Here()
        return here


def _read_by(read: Callable[[Answer], Value], answer: Answer) -> Value:
    try:
        return read(answer)
    except ValueError as problem:
        raise _UnreadableError(str(problem)) from None


async def _turn(pace: Pace, tokens: int, end: float) -> float | None:
    """Wait until the service may be asked; gives the seconds that its limits took, None where `end` comes before."""
    while (left := pace.closed()) > 0:
        if (most := end - pace.clock()) <= 0:
            return None
        await asyncio.sleep(min(_spread(left), most))
    if (left := pace.take(tokens)) > 0:
        await asyncio.sleep(left)
    return left


def _longest(question: Question, route: Route) -> int | None:
    """The most tokens of an answer, where something bounds it."""
    return question.params.get("max_completions_tokens") or route.service.max_completion_tokens


def _whole(usages: list[Usage]) -> Usage:
    """What all tries used together."""
    return usages[0] if len(usages) == 1 else together(usages) or {}


def _with_correction(question: Question, said: str, problem: str) -> Question:
    correction = (
        f"That could not be read: {problem}. Answer again with one JSON object that follows this schema, and nothing "
        f"else: {json.dumps(question.form.schema)}"
    )
    more = [{"role": "assistant", "content": said or "-"}, {"role": "user", "content": correction}]
    return replace(question, messages=[*question.messages, *more])


def retry_after(response: Response) -> float | None:
    """Seconds that the service asks to be left alone for: a number, or a date (RFC 9110, section 10.2.3)."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        if (text := response.headers.get(name)) is None:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            seconds = _until(text)
        if math.isfinite(seconds):
            return min(max(0.0, seconds), LONGEST_HOLD)
    return None


def _until(text: str) -> float:
    """Seconds until a date of HTTP; NaN where it is none."""
    try:
        return parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return math.nan


def wait_before(number: int, asked: float | None) -> float:
    """Seconds before try `number` + 1: a little more than the service asked for, else full jitter (random up to a
    bound that doubles)."""
    if asked:
        return _spread(asked)
    return random.uniform(0, min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(number - 1, 60)))


def _spread(seconds: float) -> float:
    """A wait that is longer by up to a half of it, so that those who wait together do not wake together."""
    return seconds + random.uniform(0, max(LEAST_SPREAD, seconds / 2))


def words_of(response: Response) -> tuple[str, str]:
    """What a service said of an error, and its code for it."""
    text = response.body[:20_000].decode("utf-8", "replace")
    wire = parse_json(text)
    error = wire.get("error", wire) if isinstance(wire, dict) else wire
    if not isinstance(error, dict):
        return short(redacted(str(error or text)), 500), ""
    said = error.get("message") or error.get("detail") or text
    codes = (error.get("code"), error.get("type"))
    return short(redacted(str(said)), 500), next((code for code in codes if isinstance(code, str)), "")


def _is_openai_error(response: Response) -> bool:
    wire = parse_json(response.body[:20_000].decode("utf-8", "replace"))
    return isinstance(wire, dict) and isinstance(wire.get("error"), dict)


def _says_all(words: str, body: bytes) -> bool:
    """Whether a service's words are of what all questions have in common. What it repeats of the messages is not."""
    texts = []
    for message in json.loads(body)["messages"]:
        content = message["content"]
        texts += [content] if isinstance(content, str) else [part.get("text", "") for part in content]
    shown = "\n".join(texts).lower()
    own = _QUOTED.sub(lambda found: "" if found[2].lower() in shown else found[0], words[1:-1])
    return any(found[0].lower() not in shown for found in _ABOUT_ALL.finditer(own))


def _about_length(words: str, code: str) -> bool:
    """Whether it was too long for the model, as OpenAI, vLLM and llama.cpp say it."""
    lower = words.lower()
    return code in TOO_LONG or "context length" in lower or "context size" in lower or "context window" in lower


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
