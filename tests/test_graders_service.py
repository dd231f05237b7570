from __future__ import annotations

import asyncio
import builtins
import gc
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders import load
from graders.grade import GradingError, GradingStopped
from graders.sample import parse_json
from graders.score import grade_file, grade_many
from graders.service import pace as pace_module
from graders.service import services as services_module
from graders.service import wire as wire_module
from graders.service.ledger import Ledger
from graders.service.pace import FAILURES, PAUSE, Pace
from graders.service.plain import Reading, reading
from graders.service.question import Answer, Form, Question
from graders.service.services import Reply, Services, use
from graders.service.settings import Price, Service, Settings
from graders.service.wire import MOST_BYTES, Response, WireError
from graders.testing.scripted_judge import (
    Chaos,
    Reaction,
    Request,
    Script,
    ScriptedJudge,
    error,
    in_order,
    said,
    verdict,
)

CLIENTS = ["plain", "aiohttp", "openai"]
FORM = Form("yes", {"type": "object"})
ROOT = Path(__file__).resolve().parents[1]
SCORE = {"type": "score_model", "model": "m", "input": [{"role": "user", "content": "{{sample.output_text}}"}]}


@pytest.fixture(autouse=True)
def _hardly_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services_module, "FIRST_WAIT", 0.001)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def services_for(url: str, **service: Any) -> Services:
    more = {name: service.pop(name) for name in ("cache", "budget", "dry") if name in service}
    prices = service.pop("prices", {})
    wire = {
        "services": {"local": {"base_url": url, **service}},
        "models": {"*": {"service": "local"}},
        "prices": prices,
    }
    return Services(Settings.model_validate(wire), **more)


def question(text: str = "Well?", **more: Any) -> Question:
    return Question(more.pop("model", "m"), [{"role": "user", "content": text}], FORM, asker="tester", **more)


def read(answer: Answer) -> str:
    if "nonsense" in answer.text:
        raise ValueError("it is nonsense")
    return answer.text


def ask(services: Services, *questions: Question) -> list[Reply[str] | BaseException]:
    """What all questions, asked at once in one event loop, come to."""

    async def together() -> list[Reply[str] | BaseException]:
        return await asyncio.gather(*(services.ask(one, read) for one in questions), return_exceptions=True)

    with use(services):
        return asyncio.run(together())


def ask_one(script: Script, **service: Any) -> tuple[Reply[str] | BaseException, list[Request]]:
    with ScriptedJudge(script) as judge:
        (end,) = ask(services_for(judge.url, **service), question())
    return end, judge.requests


def failure(end: Reply[str] | BaseException) -> tuple[str, str, str]:
    assert isinstance(end, GradingError), end
    return end.error.kind, end.error.fault, end.error.detail


def text_of(end: Reply[str] | BaseException) -> str:
    assert isinstance(end, Reply), end
    return str(end.value)


# One try, by each client


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    "first",
    [
        error(429, "slow down", Retry_After="0.01"),
        error(500, "outage"),
        error(503, "outage"),
        error(408, "too late"),
        error(409, "locked"),
        Reaction(reset=True),
        said("whole", sent=0.5),
        Reaction(b"<html>"),
        Reaction(b""),
        Reaction(b"\xff\xfe"),
        Reaction(b'{"choices": []}'),
        Reaction(b'{"choices": [{"message": {"content": 5}}]}'),
        Reaction(b'{"error": {"message": "in a 200"}}'),
    ],
    ids=str,
)
def test_what_another_try_may_mend_is_tried_again(client: str, first: Reaction) -> None:
    end, requests = ask_one(in_order(first, said("yes")), client=client)
    assert text_of(end) == "yes"
    assert len(requests) == 2
    assert requests[0].raw == requests[1].raw


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("reaction", "kind", "words"),
    [
        (error(500, "scripted outage"), "model_grader_server_error", "HTTP 500: 'scripted outage'"),
        (Reaction(reset=True), "model_grader_server_error", ""),
        (said("whole", sent=0.5), "model_grader_server_error", ""),
        (Reaction(b"<html>"), "model_grader_server_error", "no chat completion"),
        (said("late", seconds=5), "timeout", "no answer within 0.3 s"),
    ],
    ids=str,
)
def test_after_its_last_try_a_question_ends_with_a_typed_error(
    client: str, reaction: Reaction, kind: str, words: str
) -> None:
    # What is answered at all is given the time that a busy machine takes to ask.
    timeout = 0.3 if kind == "timeout" else 30.0
    end, requests = ask_one(lambda _: reaction, client=client, retries=1, timeout=timeout)
    assert failure(end)[:2] == (kind, "infra")
    assert "local (m), asked 2 times: " in failure(end)[2]
    assert words in failure(end)[2]
    assert len(requests) == 2


@pytest.mark.parametrize("headers", [{}, {"Retry_After": "0"}, {"retry_after_ms": "1"}], ids=str)
def test_being_turned_away_uses_up_no_try(headers: dict[str, str]) -> None:
    end, requests = ask_one(in_order(*[error(429, "slow down", **headers)] * 8, said("yes")), retries=0)
    assert text_of(end) == "yes"
    assert len(requests) == 9


def test_a_question_that_is_only_turned_away_ends_with_its_deadline() -> None:
    end, requests = ask_one(lambda _: error(429, "slow down", Retry_After="0.01"), retries=0, deadline=0.3)
    assert failure(end)[:2] == ("overloaded", "infra")
    assert re.search(r"local \(m\), asked \d+ times: HTTP 429: 'slow down'", failure(end)[2])
    assert len(requests) > 2


def test_a_service_that_only_turns_away_ends_the_run_in_its_words() -> None:
    with ScriptedJudge(lambda _: error(429, "the daily quota", Retry_After="0.02")) as judge:
        services = services_for(judge.url, give_up_after=0.2, deadline=60)
        ends = ask(services, *(question(str(n)) for n in range(3)))
    assert {type(end) for end in ends} == {GradingStopped}
    assert "has turned away every call for" in str(ends[0])
    assert "the daily quota" in str(ends[0])


def test_a_call_that_waits_while_a_service_is_left_alone_ends_with_its_deadline() -> None:
    with ScriptedJudge(lambda _: error(429, "the daily quota", Retry_After="600")) as judge:
        services = services_for(judge.url, deadline=0.05)
        ends = [ask(services, question(text))[0] for text in "ab"]
        assert [failure(end)[0] for end in ends] == ["overloaded", "overloaded"]
        assert "asked 0 times: " in failure(ends[1])[2]
        assert "the daily quota" in failure(ends[1])[2]
        impatient = services_for(judge.url, deadline=0.05, give_up_after=0.01)
        ends = [ask(impatient, question(text))[0] for text in "ab"]
        assert isinstance(ends[1], GradingStopped)
        assert "the daily quota" in str(ends[1])


def test_waiting_for_ones_own_limits_takes_nothing_from_the_deadline() -> None:
    with ScriptedJudge(lambda _: said("yes")) as judge:
        services = services_for(judge.url, requests_per_minute=300, deadline=0.3)
        ends = ask(services, *(question(str(n)) for n in range(9)))
    assert {text_of(end) for end in ends} == {"yes"}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_try_takes_no_longer_than_its_limit_however_slowly_the_answer_drips(client: str) -> None:
    whole = said("yes").body

    def drip(listener: socket.socket) -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(whole))
                for byte in whole:
                    connection.sendall(bytes([byte]))
                    time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=(listener,))
        dripping.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        (end,) = ask(services_for(url, client=client, timeout=0.4, retries=0), question())
        dripping.join()
    assert failure(end)[0] == "timeout"


@pytest.mark.parametrize("client", CLIENTS)
def test_the_answer_comes_with_what_it_used(client: str) -> None:
    end, (request,) = ask_one(lambda _: said("yes", prompt_tokens=7, completion_tokens=3, model="real"), client=client)
    assert isinstance(end, Reply)
    assert end.usage == {"m": {"calls": 1, "prompt_tokens": 7, "completion_tokens": 3, "cached_tokens": 0}}
    assert end.answer.model == "real"
    assert request.path == "/v1/chat/completions"
    assert request.body["response_format"]["json_schema"] == {"name": "yes", "strict": True, "schema": FORM.schema}
    assert "authorization" not in request.headers


@pytest.mark.parametrize("client", CLIENTS)
def test_the_key_and_the_organisation_are_sent(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "  secret-of-a-test \n")
    monkeypatch.setenv("OPENAI_ORG_ID", "org")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj")
    _, (request,) = ask_one(lambda _: said("yes"), client=client, api_key_env="A_KEY")
    assert request.headers["authorization"] == "Bearer secret-of-a-test"
    assert (request.headers["openai-organization"], request.headers["openai-project"]) == ("org", "proj")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(client: str, status: int) -> None:
    with ScriptedJudge(lambda _: said("elsewhere")) as other:
        moved = Reaction(b"", status, {"Location": other.url + "/chat/completions"})
        end, _ = ask_one(lambda _: moved, client=client)
    assert isinstance(end, GradingStopped)
    assert "which is not followed" in str(end)
    assert other.requests == []


@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_longer_than_the_limit_is_none(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (wire_module, sys.modules["graders.service.plain"]):
        monkeypatch.setattr(module, "MOST_BYTES", 10_000)
    end, _ = ask_one(lambda _: said("x" * 10_000), client=client, retries=0)
    assert failure(end)[0] == "model_grader_server_error"
    assert "longer than 10,000 bytes" in failure(end)[2]


@pytest.mark.parametrize("client", CLIENTS)
def test_connections_are_kept_and_close_with_their_event_loop(client: str) -> None:
    with ScriptedJudge(lambda _: said("yes")) as judge, warnings.catch_warnings():
        warnings.simplefilter("error")
        with use(services_for(judge.url, client=client)) as services:

            async def ten() -> int:
                for number in range(10):
                    await services.ask(question(str(number)), read)
                return len(judge._connections)

            assert [asyncio.run(ten()) for _ in range(2)] == [1, 1]
            threads = [threading.Thread(target=lambda: asyncio.run(ten())) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert services._loops == {}
            gc.collect()


# What an error means


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
def test_what_the_service_refuses_at_first_stops_the_run_in_its_words(status: int) -> None:
    end, requests = ask_one(lambda _: error(status, "The model `m` does not exist"))
    assert isinstance(end, GradingStopped)
    assert f"refuses 'm': HTTP {status}: 'The model `m` does not exist'" in str(end)
    assert len(requests) == 1


@pytest.mark.parametrize(
    "words",
    [
        "response_format is not supported", "unknown parameter: 'top_logprobs'", "Unsupported value for temperature",
        "Invalid model identifier", "image input is not supported by this model", "this model does not support images",
        "unsupported content: image_url", "model not found", "max_tokens is too large",
        "Unrecognized request argument: seed",
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [400, 422])
def test_words_about_the_form_the_model_or_a_parameter_stop_the_run_at_the_first_question(
    words: str, status: int
) -> None:
    end, _ = ask_one(lambda _: error(status, words))
    assert isinstance(end, GradingStopped)
    assert f"HTTP {status}" in str(end)


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("words", ["invalid utf-8", "could not load the image", "invalid content", ""])
def test_what_may_be_about_one_question_is_its_own_error_until_three_in_a_row(status: int, words: str) -> None:
    with ScriptedJudge(lambda _: error(status, words)) as judge:
        services = services_for(judge.url)
        ends = [ask(services, question(text))[0] for text in ("a", "a", "b", "a", "c")]
    assert [type(end) for end in ends] == [GradingError] * 4 + [GradingStopped]
    assert failure(ends[0])[:2] == ("model_grader_server_error", "grader")
    assert f"HTTP {status}" in failure(ends[0])[2]


def test_after_an_answer_no_number_of_refused_questions_stops_the_run() -> None:
    script = in_order(error(400, "no"), error(400, "no"), said("yes"), error(400, "no"))
    with ScriptedJudge(script) as judge:
        services = services_for(judge.url)
        ends = [ask(services, question(text))[0] for text in "abcdefg"]
    assert [type(end) for end in ends] == [GradingError, GradingError, Reply, *[GradingError] * 4]


@pytest.mark.parametrize(
    "first", [error(400, "no"), error(400, "flagged", "content_policy_violation"), error(413, "no")]
)
def test_what_was_turned_down_is_no_answer(first: Reaction) -> None:
    with ScriptedJudge(in_order(first, first, error(400, "response_format is not known"))) as judge:
        ends = [ask(services_for(judge.url), question(text))[0] for text in "a"]
        services = services_for(judge.url)
        ends += [ask(services, question(text))[0] for text in "bc"]
    assert isinstance(ends[0], GradingError)
    assert isinstance(ends[-1], GradingStopped)


def test_the_answers_of_one_model_say_nothing_of_another() -> None:
    def script(request: Request) -> Reaction:
        return said("yes") if request.body["model"] == "a" else error(400, "no json_schema for you")

    with ScriptedJudge(script) as judge:
        services = services_for(judge.url)
        ends = [ask(services, question(model=model))[0] for model in "ab"]
    assert text_of(ends[0]) == "yes"
    assert isinstance(ends[1], GradingStopped)


@pytest.mark.parametrize(
    ("wrote", "words"),
    [
        ("json_schema is not supported", "cannot read json_schema is not supported"),
        ("an unsupported claim", "invalid content: 'an unsupported claim'"),
        ("not supported", "this model could not read 'not supported'"),
    ],
)
def test_words_that_repeat_what_was_asked_do_not_stop_the_run(wrote: str, words: str) -> None:
    with ScriptedJudge(lambda _: error(400, words)) as judge:
        (end,) = ask(services_for(judge.url), question(f"Judge: {wrote}"))
    assert failure(end)[:2] == ("model_grader_server_error", "grader")


@pytest.mark.parametrize(
    ("reaction", "path", "told"),
    [
        (Reaction(b'{"detail":"Not Found"}', 404), "", True),
        (Reaction(b"404 page not found", 404), "", True),
        (Reaction(b"", 404), "", True),
        (Reaction(b'{"detail":"Not Found"}', 404), "/v1", False),
        (error(404, "no such model"), "", False),
        (Reaction(b'{"detail":"Unauthorized"}', 401), "", False),
    ],
    ids=str,
)
def test_a_page_that_is_not_there_is_met_with_the_v1_that_lacks(reaction: Reaction, path: str, told: bool) -> None:
    with ScriptedJudge(lambda _: reaction) as judge:
        (end,) = ask(services_for(judge.url.removesuffix("/v1") + path), question())
    assert isinstance(end, GradingStopped)
    assert ("base_url must end with its /v1, if the server has one" in str(end)) is told


@pytest.mark.parametrize(("status", "stops"), [(400, False), (422, False), (401, True), (403, True), (404, True)])
def test_after_an_answer_only_what_is_the_same_for_all_questions_stops_the_run(status: int, stops: bool) -> None:
    script = in_order(said("yes"), error(status, "no"))
    with ScriptedJudge(script) as judge, use(services_for(judge.url)) as services:

        async def two() -> None:
            await services.ask(question("a"), read)
            await services.ask(question("b"), read)

        with pytest.raises(GradingStopped if stops else GradingError, match=f"HTTP {status}: 'no'"):
            asyncio.run(two())


@pytest.mark.parametrize(
    ("reaction", "kind"),
    [
        (error(400, "too long", "context_length_exceeded"), "model_grader_server_error"),
        (error(400, "This model's maximum context length is 4096 tokens"), "model_grader_server_error"),
        (error(413, "too large"), "model_grader_server_error"),
        (error(400, "flagged", "content_filter"), "model_grader_refusal_error"),
        (said(None, refusal="I will not"), "model_grader_refusal_error"),
        (said("", finish_reason="content_filter"), "model_grader_refusal_error"),
        (said('{"st', finish_reason="length"), "model_grader_parse_error"),
        (said("nonsense"), "model_grader_parse_error"),
    ],
    ids=str,
)
def test_what_is_about_one_question_is_its_own_error_even_at_first(reaction: Reaction, kind: str) -> None:
    end, _ = ask_one(lambda _: reaction)
    assert failure(end)[:2] == (kind, "grader")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("response_format json_schema is not supported", "set structured_output: json_object, or none"),
        ("Unknown parameter: max_completion_tokens", "set max_tokens_key: max_tokens"),
    ],
)
def test_what_a_server_does_not_know_is_met_with_what_to_set(words: str, hint: str) -> None:
    end, _ = ask_one(lambda _: error(400, words))
    assert isinstance(end, GradingStopped)
    assert hint in str(end)


@pytest.mark.parametrize(("status", "code"), [(429, "insufficient_quota"), (400, "billing_hard_limit_reached")])
def test_an_account_without_money_stops_the_run(status: int, code: str) -> None:
    end, requests = ask_one(lambda _: error(status, "pay first", code))
    assert isinstance(end, GradingStopped)
    assert "pay first" in str(end)
    assert len(requests) == 1


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("questions", [1, 50])
def test_an_address_where_nothing_listens_stops_the_run_after_the_tries_of_one_call(
    client: str, questions: int
) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    ends = ask(services_for(url, client=client), *(question(str(n)) for n in range(questions)))
    assert {type(end) for end in ends} == {GradingStopped}
    assert f"nothing answers at {url}" in str(ends[0])
    assert "mend its base_url" in str(ends[0])


def test_a_judge_that_starts_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services_module, "FIRST_WAIT", 0.5)
    late = ScriptedJudge(lambda _: said("yes"), port=free_port())
    starter = threading.Timer(0.3, late.__enter__)
    starter.start()
    try:
        (end,) = ask(services_for(late.url, retries=8), question())
    finally:
        starter.join()
        late.__exit__()
    assert text_of(end) == "yes"


@pytest.mark.parametrize("client", CLIENTS)
def test_a_key_that_is_not_set_is_the_error_of_a_single_call_and_refused_before_a_run(client: str) -> None:
    services = services_for("http://127.0.0.1:9/v1", client=client, api_key_env="NOT_SET_ANYWHERE")
    with pytest.raises(ValueError, match=r"model 'm': no key for .*NOT_SET_ANYWHERE is not set; set it"):
        services.check_ready("m")
    (end,) = ask(services, question())
    assert failure(end)[:2] == ("model_grader_server_error", "infra")
    assert "NOT_SET_ANYWHERE is not set" in failure(end)[2]


@pytest.mark.parametrize("client", ["aiohttp", "openai"])
def test_a_client_that_is_not_installed_is_named_with_its_remedy(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "find_spec", lambda name: None)
    services = services_for("http://127.0.0.1:9/v1", client=client)
    with pytest.raises(ValueError, match=r"pip install 'assay\[judge\]'"):
        services.check_ready("m")
    (end,) = ask(services, question())
    assert failure(end)[:2] == ("not_installed", "infra")


def test_the_plain_client_needs_nothing_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    brought = builtins.__import__

    def bring(name: str, *more: Any) -> Any:
        assert name.partition(".")[0] not in ("openai", "aiohttp", "httpx", "httpx2")
        return brought(name, *more)

    monkeypatch.setattr(builtins, "__import__", bring)
    end, _ = ask_one(lambda _: said("yes"))
    assert text_of(end) == "yes"


def test_a_proxy_is_used_where_the_environment_names_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedJudge(lambda _: said("by proxy")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        (end,) = ask(services_for("http://judge.invalid/v1"), question())
    assert text_of(end) == "by proxy"
    assert proxy.requests[0].path == "http://judge.invalid/v1/chat/completions"


# Asking again, and asking once


def test_an_answer_that_cannot_be_read_is_asked_for_once_more_and_both_are_counted() -> None:
    end, requests = ask_one(in_order(said("nonsense"), said("yes")))
    assert isinstance(end, Reply)
    assert end.value == "yes"
    assert end.usage["m"]["calls"] == 2
    correction = requests[1].body["messages"]
    assert correction[-2] == {"role": "assistant", "content": "nonsense"}
    assert "it is nonsense" in correction[-1]["content"]


def read_something(answer: Answer) -> str:
    if not answer.text:
        raise ValueError("nothing there")
    return answer.text


def without_content(**message: Any) -> Reaction:
    wire = {"choices": [{"finish_reason": "stop", "message": {"role": "assistant", **message}}], "usage": USED}
    return Reaction(json.dumps(wire).encode())


USED = {"prompt_tokens": 100, "completion_tokens": 20}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ({"content": None}, "nothing there"),
        ({}, "nothing there"),
        ({"content": None, "reasoning_content": "It is 4."}, "content is empty, and it spoke in reasoning_content"),
        ({"content": "", "reasoning": "It is 4."}, "content is empty, and it spoke in reasoning"),
    ],
)
def test_an_answer_without_content_is_asked_for_once_more_and_counted(message: dict[str, Any], words: str) -> None:
    with (
        ScriptedJudge(lambda _: without_content(**message)) as judge,
        use(services_for(judge.url)) as services,
        pytest.raises(GradingError) as caught,
    ):
        asyncio.run(services.ask(question(), read_something))
    assert failure(caught.value)[:2] == ("model_grader_parse_error", "grader")
    assert words in failure(caught.value)[2]
    assert caught.value.usage == {"m": {"calls": 2, "prompt_tokens": 200, "completion_tokens": 40}}
    assert len(judge.requests) == 2


def test_a_refusal_is_asked_once_more() -> None:
    end, requests = ask_one(in_order(said(None, refusal="no"), said("yes")))
    assert text_of(end) == "yes"
    assert len(requests) == 2


@pytest.mark.parametrize("reaction", [said("yes", seconds=0.05), error(500, "outage")], ids=str)
def test_the_same_question_under_way_is_asked_once(reaction: Reaction) -> None:
    with ScriptedJudge(lambda _: reaction) as judge:
        services = services_for(judge.url, retries=0)
        ends = ask(services, *[question()] * 20)
    assert len(judge.requests) == 1
    if reaction.status == 200:
        usages = [end.usage["m"] for end in ends if isinstance(end, Reply)]
        assert sum(usage.get("calls", 0) for usage in usages) == 1
        assert sum(usage.get("kept", 0) for usage in usages) == 19
    else:
        assert {failure(end)[0] for end in ends} == {"model_grader_server_error"}


def test_when_the_one_that_asks_is_cancelled_another_asks() -> None:
    with ScriptedJudge(lambda _: said("yes", seconds=0.2)) as judge, use(services_for(judge.url)) as services:

        async def cancel_the_first() -> str:
            first = asyncio.create_task(services.ask(question(), read))
            await asyncio.sleep(0.05)
            second = asyncio.create_task(services.ask(question(), read))
            await asyncio.sleep(0)
            first.cancel()
            return (await second).value

        assert asyncio.run(cancel_the_first()) == "yes"
    assert len(judge.requests) == 2


def test_a_kept_answer_is_not_asked_for_again_by_another_run(tmp_path: Path) -> None:
    with ScriptedJudge(lambda _: said("yes")) as judge:
        for run in range(3):
            (end,) = ask(services_for(judge.url, cache=tmp_path), question())
            assert isinstance(end, Reply)
            assert end.usage["m"].get("kept", 0) == (run > 0)
        ask(services_for(judge.url, cache=tmp_path), question(keep=False), question(model="other"))
    assert len(judge.requests) == 3


def test_threads_share_one_cache(tmp_path: Path) -> None:
    with ScriptedJudge(lambda _: said("yes")) as judge, use(services_for(judge.url, cache=tmp_path)) as services:

        async def many(start: int) -> None:
            await asyncio.gather(*(services.ask(question(str(n)), read) for n in range(start, start + 300)))

        threads = [threading.Thread(target=lambda start=n: asyncio.run(many(100 * start))) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(judge.requests) >= 600
    with ScriptedJudge(lambda _: error(500, "not needed")) as unused:
        ends = ask(services_for(unused.url, cache=tmp_path), *(question(str(n)) for n in range(600)))
    assert {text_of(end) for end in ends} == {"yes"}


def test_a_cache_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_bytes(b"not a database, but long enough to be taken for one" * 40)
    with pytest.raises(ValueError, match=r"answers\.sqlite cannot be used .*delete it"):
        services_for("http://127.0.0.1:9/v1", cache=tmp_path)


# Waiting


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "2"}, 2, 2),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5, 1.5),
        ({"retry-after": formatdate(time.time() + 3600, usegmt=True)}, 600, 600),
        ({"retry-after": formatdate(time.time() - 60, usegmt=True)}, 0, 0),
        ({"retry-after": "-5"}, 0, 0),
        ({"retry-after": "1e9"}, 600, 600),
    ],
    ids=["seconds", "milliseconds", "a date to come", "a date that is past", "less than none", "too many"],
)
def test_what_a_service_asks_to_wait_is_read(headers: dict[str, str], least: float, most: float) -> None:
    seconds = services_module.retry_after(Response(429, headers, b""))
    assert seconds is not None
    assert least <= seconds <= most


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "Tue, 99 Foo"])
def test_what_is_no_time_to_wait_is_left(text: str) -> None:
    assert services_module.retry_after(Response(429, {"retry-after": text}, b"")) is None


def test_waits_are_drawn_below_a_bound_that_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services_module, "FIRST_WAIT", 0.5)
    for number, bound in [(1, 0.5), (2, 1.0), (3, 2.0), (7, 30.0), (20, 30.0)]:
        drawn = [services_module.wait_before(number, None) for _ in range(300)]
        assert 0 <= min(drawn) < bound / 4
        assert bound * 3 / 4 < max(drawn) <= bound
    assert services_module.wait_before(10_000, None) <= 30


def test_who_was_asked_to_wait_waits_a_little_longer_each_on_their_own() -> None:
    for asked, most in [(10.0, 15.0), (0.02, 0.07)]:
        drawn = [services_module.wait_before(1, asked) for _ in range(300)]
        assert asked <= min(drawn) < max(drawn) <= most
        assert max(drawn) - min(drawn) > (most - asked) / 2


def test_those_who_wait_for_a_service_that_is_left_alone_do_not_wake_together(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    clock = Clock()
    monkeypatch.setattr(asyncio, "sleep", sleep)
    for _ in range(20):
        pace = Pace(Service(), clock)
        pace.hold(10)
        assert asyncio.run(services_module._turn(pace, 1, clock.now + 100)) == 0
    assert all(10 <= seconds <= 15 for seconds in slept)
    assert len(set(slept)) == 20


def test_a_question_ends_with_its_deadline_whatever_tries_are_left() -> None:
    end, requests = ask_one(lambda _: error(429, "later", Retry_After="60"), deadline=5, retries=9)
    assert failure(end)[0] == "overloaded"
    assert "asked 1 time: HTTP 429" in failure(end)[2]
    assert len(requests) == 1


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fail(pace: Pace, times: int) -> float:
    return [pace.failed(pace.clock()) for _ in range(times)][-1]


def test_after_ten_failures_in_a_row_one_call_tries_and_the_others_follow_when_it_succeeds() -> None:
    clock = Clock()
    pace = Pace(Service(), clock)
    fail(pace, FAILURES - 1)
    assert pace.closed() == 0
    assert fail(pace, 1) == 0
    assert pace.closed() == PAUSE
    clock.now += PAUSE
    assert [pace.closed() for _ in range(3)] == [0, pace_module.LOOK_AGAIN, pace_module.LOOK_AGAIN]
    assert fail(pace, 1) == PAUSE
    assert pace.closed() == PAUSE
    clock.now += PAUSE
    assert pace.closed() == 0
    pace.succeeded()
    assert [pace.closed() for _ in range(3)] == [0, 0, 0]


def test_a_call_that_tried_and_was_given_up_leaves_its_place_to_another() -> None:
    clock = Clock()
    pace = Pace(Service(timeout=7), clock)
    fail(pace, FAILURES)
    clock.now += PAUSE
    assert pace.closed() == 0
    clock.now += 7
    assert pace.closed() == 0


def test_being_turned_away_is_no_outage_and_calls_sent_before_a_success_do_not_count() -> None:
    clock = Clock()
    pace = Pace(Service(), clock)
    for _ in range(FAILURES):
        fail(pace, FAILURES - 1)
        pace.turned_away()
    sent = clock.now
    clock.now += 1
    pace.succeeded()
    for _ in range(5 * FAILURES):
        pace.failed(sent)
    assert pace.closed() == 0


@given(st.integers(1, 6000), st.integers(1, 50_000), st.lists(st.integers(1, 2000), min_size=1, max_size=60))
def test_no_minute_has_more_requests_or_tokens_than_the_limits_and_a_second_of_burst(
    requests: int, tokens: int, sizes: list[int]
) -> None:
    clock = Clock()
    pace = Pace(Service(requests_per_minute=requests, tokens_per_minute=tokens), clock)
    sent = []
    for size in sizes:
        clock.now += pace.take(size)
        sent.append((clock.now, size))
    span = sent[-1][0] - sent[0][0]
    assert len(sent) <= requests / 60 * (span + 1) + 1 + 1e-6
    assert sum(size for _, size in sent[:-1]) <= tokens / 60 * (span + 1) + 1e-6 * tokens


def test_what_a_call_really_took_corrects_the_limit() -> None:
    clock = Clock()
    pace = Pace(Service(tokens_per_minute=60), clock)
    pace.take(10)
    pace.used(4, 10)
    assert pace.take(1) == pytest.approx(3.0)  # 4 tokens at 1 a second, one of them within the burst


def test_only_what_is_turned_away_without_a_pause_and_without_an_answer_adds_up() -> None:
    clock = Clock()
    pace = Pace(Service(timeout=60), clock)
    assert pace.turned_away() == 0
    clock.now += 50
    assert pace.turned_away() == 50
    pace.hold(600)
    clock.now += 600
    assert pace.turned_away() == pace.turned_away_for() == 650
    pace.failed(clock.now)
    assert pace.turned_away() == 650
    clock.now += 1000
    assert pace.turned_away() == 0  # nobody asked in between
    clock.now += 50
    pace.succeeded()
    assert pace.turned_away() == 0


def test_an_outage_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "PAUSE", 0.02)
    with ScriptedJudge(lambda _: error(500, "down for good")) as judge:
        services = services_for(judge.url, give_up_after=0.05, retries=50)
        ends = ask(services, *(question(str(n)) for n in range(3)))
    assert any(isinstance(end, GradingStopped) and "has answered nothing for" in str(end) for end in ends)
    assert any("down for good" in str(end) for end in ends)


# The budget

PRICES = {"m": {"input": 1000.0, "output": 4000.0}}


class Till:
    """A judge that counts what it was paid: for every answer it made, whatever became of it on the way."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.paid = 0.0

    def __call__(self, request: Request) -> Reaction:
        reaction = self.script(request)
        usage = (parse_json(reaction.body.decode()) or {}).get("usage", {})
        self.paid += Price(**PRICES["m"]).of({name: n for name, n in usage.items() if isinstance(n, int)})
        return reaction


@settings(max_examples=15, deadline=None)
@given(
    st.floats(0.01, 3), st.integers(1, 20), st.integers(1, 25), st.sampled_from([0.0, 0.5]), st.sampled_from([20, 30])
)
def test_a_budget_is_never_passed(budget: float, rows: int, concurrency: int, share: float, longest: int) -> None:
    faults = ("429", "500", "reset", "half", "garbage", "nonsense")
    till = Till(Chaos(lambda _: said("yes", prompt_tokens=20, completion_tokens=10), share, faults))
    with ScriptedJudge(till) as judge:
        limits: dict[str, Any] = {"concurrency": concurrency, "max_completion_tokens": longest, "prices": PRICES}
        services = services_for(judge.url, budget=budget, **limits)
        ends = ask(services, *(question(str(n)) for n in range(rows)))
    assert till.paid <= budget + 1e-9
    assert services.ledger.dollars <= till.paid + 1e-9
    assert services.ledger.dollars + services.ledger.lost <= budget + 1e-9
    assert all(isinstance(end, Reply | GradingError | GradingStopped) for end in ends)
    for end in ends:
        assert not isinstance(end, GradingStopped) or "raise --budget to go on from here" in str(end)


def test_calls_under_way_are_waited_for_when_they_may_leave_enough() -> None:
    with ScriptedJudge(lambda _: said("yes", prompt_tokens=1, completion_tokens=1, seconds=0.02)) as judge:
        services = services_for(judge.url, budget=0.6, max_completion_tokens=10, prices=PRICES)
        ends = ask(services, *(question(str(n)) for n in range(10)))
    assert [text_of(end) for end in ends] == ["yes"] * 10  # each can cost 0.2 or more, and costs 0.005


@pytest.mark.parametrize(
    ("more", "message"),
    [({}, "a budget needs the price of 'm'"), ({"prices": PRICES}, "a budget needs a bound on the answers of 'm'")],
)
def test_a_budget_needs_a_price_and_a_bound_before_the_first_call(more: dict[str, Any], message: str) -> None:
    with ScriptedJudge(lambda _: said("yes")) as judge:
        services = services_for(judge.url, budget=1.0, **more)
        with pytest.raises(ValueError, match=message):
            services.check_ready("m")
        (end,) = ask(services, question())
    assert isinstance(end, GradingStopped)
    assert message in str(end)
    assert judge.requests == []


def test_a_dry_run_sends_nothing_and_estimates() -> None:
    with ScriptedJudge(lambda _: said("yes")) as judge:
        services = services_for(judge.url, dry=True, max_completion_tokens=50, prices=PRICES)
        ends = ask(services, question("a"), question("b"))
    assert {failure(end)[0] for end in ends} == {"not_asked"}
    assert judge.requests == []
    (entry,) = services.ledger.entries()
    assert entry.counts["calls"] == 2
    assert entry.counts["completion_tokens"] == 100
    assert entry.dollars == services.ledger.dollars > 0


def test_a_ledger_adds_up_by_grader_and_model() -> None:
    ledger = Ledger({"a": Price(input=1, output=2, cached_input=0.5)})
    for _ in range(2):
        ledger.add(
            "g", {"a": {"calls": 1, "prompt_tokens": 10, "cached_tokens": 4, "completion_tokens": 3}, "b": {"calls": 1}}
        )
    a, b = ledger.entries()
    assert (a.counts["calls"], a.counts["prompt_tokens"], b.counts["calls"], b.dollars) == (2, 20, 2, None)
    assert a.dollars == pytest.approx(2 * (6 * 1 + 4 * 0.5 + 3 * 2) / 1e6)
    assert ledger.dollars == a.dollars


# The plain client's reading of HTTP


def all_of(raw: bytes, size: int, *, ends: bool = False) -> tuple[Response, bool] | None:
    """What is read of these bytes when they come in pieces of this size."""
    reader: Reading = reading()
    next(reader)
    pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
    try:
        for piece in [*pieces, b""] if ends else pieces:
            reader.send(piece)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    return None


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("raw", "body", "lasting"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", b"", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: Close\r\n\r\nhi", b"hi", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi", b"hi", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\n\r\n", b"hi", True),
        (b"HTTP/1.1 200\r\nTransfer-encoding:Chunked\r\n\r\nA\r\n0123456789\r\n0\r\nT:x\r\n\r\n", b"0123456789", True),
        (b"HTTP/1.1 100\r\n\r\nHTTP/1.1 103\r\nL: x\r\n\r\nHTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x", True),
        (b"HTTP/1.1 204 None\r\n\r\n", b"", True),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", b"to the end", False),
    ],
)  # fmt: skip
def test_a_response_is_read_however_it_is_framed_and_cut(raw: bytes, body: bytes, lasting: bool, size: int) -> None:
    result = all_of(raw, size, ends=True)
    assert result is not None
    assert (result[0].body, result[1]) == (body, lasting)


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "speaks no HTTP/1.1"),
        (b"HTTP/2 200 OK\r\n\r\n", "speaks no HTTP/1.1"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", "speaks no HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n", "no length that can be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", "no length that can be read"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "is longer than"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi", "compressed (gzip)"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "no length that can be read"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n", "longer than it says"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi", "closed before the whole answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", "closed before the whole answer"),
        (b"HTTP/1.1 200", "closed before the whole answer"),
        (b"", "closed before the whole answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "headers of the answer are longer"),
    ],
    ids=str,
)
def test_what_is_no_whole_response_is_said(raw: bytes, message: str, size: int) -> None:
    with pytest.raises(WireError) as caught:
        all_of(raw, size, ends=True)
    assert message in str(caught.value)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_any_bytes_are_a_response_or_a_wire_error(raw: bytes, size: int) -> None:
    for whole in (raw, b"HTTP/1.1 200 OK\r\n" + raw, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + raw):
        try:
            result = all_of(whole, size, ends=True)
        except WireError:
            continue
        assert result is not None
        assert len(result[0].body) <= min(len(whole), MOST_BYTES)


def test_bytes_that_follow_a_response_end_its_connection() -> None:
    result = all_of(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi and more", 1000)
    assert result is not None
    assert not result[1]


def test_a_connection_that_the_server_closed_while_it_was_idle_costs_no_try() -> None:
    with ScriptedJudge(lambda _: said("yes")) as judge, use(services_for(judge.url, retries=0)) as services:

        async def after_a_nap() -> str:
            await services.ask(question("a"), read)
            for connection in list(judge._connections):
                judge._loop.call_soon_threadsafe(connection.transport.abort)
            time.sleep(0.1)
            return (await services.ask(question("b"), read)).value

        assert asyncio.run(after_a_nap()) == "yes"


# The key

KEY = "planted+key/that-is.nowhere~1234567890"


def echo(request: Request) -> Reaction:
    """Says the key again wherever it can."""
    key = request.headers.get("authorization", "")
    shown = request.body["messages"][-1]["content"]
    if "error" in shown:
        return error(500, f"{'x' * 470} bad key: {key}")
    if "garbage" in shown:
        return Reaction(f"<html>{'x' * 60}{key}".encode())
    answer = verdict(1, f"the key is {key}", model=key)
    if "slashes" in shown:
        return replace(answer, body=answer.body.replace(b"/", b"\\/"))
    if "codes" in shown:
        return replace(answer, body=answer.body.replace(b"/", b"\\u002F").replace(b"~", b"\\u007e"))
    if "twice" in shown:
        return verdict(1, f"the key is {key}".replace("+", "\\u002b"))
    if "broken" in shown:
        return Reaction(f'{{"choices": "{key}"'.replace("/", "\\/").encode())
    if "refused" in shown:
        return said(None, refusal=key.replace("/", "\\/"))
    return answer


@pytest.mark.parametrize("client", CLIENTS)
def test_a_key_appears_nowhere(client: str, tmp_path: Path) -> None:
    data, grader, judges = tmp_path / "data.jsonl", tmp_path / "g.json", tmp_path / "judges.json"
    texts = ["an error, please", "garbage, please", "an answer", "slashes", "codes", "twice", "broken", "refused"] * 2
    rows = [{"item": {"n": n}, "sample": {"output_text": f"{text} {n}"}} for n, text in enumerate(texts)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    grader.write_text(json.dumps(SCORE))
    program = (
        "import logging, sys; logging.basicConfig(level=logging.DEBUG, filename='log.txt')\n"
        "from rft_loop.cli import main\n"
        f"sys.argv = ['assay', 'grade', {str(grader)!r}, {str(data)!r}, '-o', 'out.jsonl', '--cache', 'cache']\n"
        "main()"
    )
    debug = {"ASSAY_DEBUG": "1", "PYTHONASYNCIODEBUG": "1", "OPENAI_LOG": "debug", "PYTHONPATH": str(ROOT)}
    with ScriptedJudge(echo) as judge:
        service = {"base_url": judge.url, "api_key_env": "A_KEY", "client": client, "retries": 1}
        judges.write_text(json.dumps({"services": {"s": service}, "models": {"*": {"service": "s"}}}))
        environment = os.environ | debug | {"A_KEY": KEY, "ASSAY_JUDGES": str(judges)}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
        assert judge.requests[0].headers["authorization"] == f"Bearer {KEY}"
    written = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert any("out.jsonl" in file.name for file in written), done.stderr
    assert any(file.name.startswith("answers.sqlite") for file in written)
    assert any(file.name == "log.txt" and text for file, text in written.items())
    for place, text in [*written.items(), ("stdout", done.stdout), ("stderr", done.stderr)]:
        assert KEY.encode() not in text, place
        assert KEY[:12].encode() not in text, place
        assert KEY[12:].encode() not in text, place


@pytest.mark.parametrize("key", ["none", "null", "EMPTY", "1", "steps", "result"])
def test_a_key_that_is_none_changes_no_answer(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", key)
    said_so = f'{{"steps": null, "result": 1, "words": "EMPTY {key}"}}'
    end, _ = ask_one(lambda _: said(said_so), api_key_env="A_KEY")
    assert text_of(end) == said_so


def test_a_key_is_taken_out_of_the_tokens_of_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    token = {"token": KEY, "logprob": -0.5, "bytes": [*KEY.encode()]}
    halves = [{"token": half, "logprob": -0.5, "top_logprobs": []} for half in (KEY[:20], KEY[20:])]
    calm = [{"token": "yes", "logprob": -0.5, "bytes": [1], "top_logprobs": [{"token": "no", "logprob": -1.5}]}]
    kept: list[Any] = []
    for logprobs in ([{**token, "top_logprobs": [token]}], halves, calm):
        with (
            ScriptedJudge(lambda _, given=logprobs: said("yes", logprobs=given)) as judge,  # type: ignore[misc]
            use(services_for(judge.url, api_key_env="A_KEY")) as services,
        ):
            reply = asyncio.run(services.ask(question(), lambda answer: answer.logprobs))
        kept.append(reply.value)
    assert KEY not in str(kept)
    assert str([*KEY.encode()])[1:-1] not in str(kept)
    assert KEY[:20] not in str(kept)
    assert kept[2][0]["top_logprobs"] == calm[0]["top_logprobs"]


def test_a_key_is_in_no_repr_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", KEY)
    with ScriptedJudge(echo) as judge, use(services_for(judge.url, api_key_env="A_KEY", retries=0)) as services:

        async def fails() -> list[str]:
            try:
                await services.ask(question("an error"), read)
            except GradingError as problem:
                told = [repr(problem), str(problem), repr(problem.__cause__)]
            (here,) = services._loops.values()
            return [*told, repr(services), repr(here), repr(services.settings), *map(repr, here.wires.values())]

        assert KEY not in " ".join(asyncio.run(fails()))


# Through the graders


@pytest.fixture
def slow_judge() -> Iterator[ScriptedJudge]:
    with ScriptedJudge(lambda _: verdict(1, seconds=0.01)) as judge:
        yield judge


@pytest.mark.parametrize("concurrency", [1, 3, 50])
def test_many_are_graded_in_order_by_one_services_after_another_loop(
    slow_judge: ScriptedJudge, concurrency: int
) -> None:
    grader = load(SCORE)
    with use(services_for(slow_judge.url)):
        for _ in range(2):
            texts = [f"an answer {n}" for n in range(20)]
            grades = list(grade_many(grader, [(text, {}) for text in texts], concurrency))
            assert [grade.score for grade in grades] == [1.0] * 20
        assert grader("a single one").score == 1.0


def test_what_stops_a_run_leaves_what_was_recorded_and_the_run_goes_on(tmp_path: Path) -> None:
    data, out = tmp_path / "data.jsonl", tmp_path / "out.jsonl"
    rows = [{"item": {}, "sample": {"output_text": f"answer {n}"}} for n in range(10)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = [verdict(1)] * 6
    with (
        ScriptedJudge(in_order(*answers, error(401, "revoked"))) as judge,
        use(services_for(judge.url)),
        pytest.raises(GradingStopped, match="revoked"),
    ):
        grade_file(load(SCORE), data, out, concurrency=1)
    assert (tmp_path / "out.jsonl.partial").read_text().count("\n") == 6
    with ScriptedJudge(lambda _: verdict(1)) as judge, use(services_for(judge.url)):
        assert grade_file(load(SCORE), data, out, concurrency=1).n == 10
    assert len(judge.requests) == 4
