"""endpoint, asking a real server on loopback: what is sent, read, tried again and kept secret."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grade, GradeError, Sample, grade_many, load
from graders.grade import GradingStopped
from graders.groups import grade_groups
from graders.model import endpoint as module
from graders.model.endpoint import MOST_BYTES, Endpoint
from graders.score import grade_file
from graders.service import services
from graders.service.pace import Allowance
from graders.service.services import Services, use
from graders.service.settings import Settings
from graders.testing.scripted_judge import Reaction, Request, Script, ScriptedJudge, error

HALF = Reaction(b'{"score": 0.5}')
KEY = "planted-c0ffee-key"


def endpoint(url: str = "https://grader.example.com/grade", **options: Any) -> Endpoint:
    grader = load({"type": "endpoint", "url": url, **options})
    assert isinstance(grader, Endpoint)
    return grader


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "FIRST_WAIT", 0.001)


@pytest.fixture(autouse=True)
def _nothing_known_of_any_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_addresses", {})


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Endpoint, ScriptedJudge]]]:
    """Starts a service that answers as a script says; gives a grader that asks it, and the server."""
    servers: list[ScriptedJudge] = []

    def started(script: Script | Reaction, **options: Any) -> tuple[Endpoint, ScriptedJudge]:
        server = ScriptedJudge(script if callable(script) else lambda _: script).__enter__()
        servers.append(server)
        return endpoint(f"{server.url}/grade?key=1", **options), server

    yield started
    for server in servers:
        server.__exit__()


Serve = Callable[..., tuple[Endpoint, ScriptedJudge]]


# What is sent


def test_what_it_sends_is_the_sample_the_row_and_the_trace() -> None:
    payload = endpoint().payload(Sample('{"a": 1}'), {"gene": "FBN1"})
    assert sorted(payload) == ["item", "sample", "trace_id"]
    assert payload["item"] == {"gene": "FBN1"}
    assert (payload["sample"]["output_json"], payload["sample"]["output_tools"]) == ({"a": 1}, [])
    json.dumps(payload, allow_nan=False)


def test_every_payload_has_a_trace_of_its_own() -> None:
    first, second = (endpoint().payload(Sample("x"), {})["trace_id"] for _ in range(2))
    assert first.startswith("trace_")
    assert first != second


def test_a_grade_is_what_the_service_answers_to_one_post(serve: Serve) -> None:
    grader, server = serve(HALF, headers={"content-type": "application/json; charset=utf-8", "X-Team": "genes"})
    grade = grader("FBN1 \ud800 é", {"gene": "FBN1"})
    assert (grade.score, grade.why, grade.error) == (0.5, "the service answered 0.5", None)
    (request,) = server.requests
    assert request.path == "/v1/grade?key=1"
    assert request.body["item"] == {"gene": "FBN1"}
    assert request.body["sample"]["output_text"] == "FBN1 \ud800 é"
    assert request.headers["x-team"] == "genes"
    assert request.headers["content-type"] == "application/json; charset=utf-8"
    assert grader.range == (-math.inf, math.inf)


def test_every_call_has_a_trace_of_its_own_and_all_are_sent(serve: Serve) -> None:
    grader, server = serve(lambda request: Reaction(json.dumps({"score": int(request.body["item"]["n"])}).encode()))
    scores = [grade.score for grade in grade_many(grader, [("x", {"n": n}) for n in range(30)])]
    assert scores == [float(n) for n in range(30)]
    assert len({request.body["trace_id"] for request in server.requests}) == 30


def test_names_that_are_not_ascii_are_sent_as_the_web_writes_them() -> None:
    assert module._ascii("https://ü.example:8443/é/%C3%A9?q=ß&r=1#x") == (
        "https://xn--tda.example:8443/%C3%A9/%C3%A9?q=%C3%9F&r=1"
    )
    assert module._ascii("https://[::1]:8443/x?key=1") == "https://[::1]:8443/x?key=1"


def test_a_dry_run_sends_nothing(serve: Serve) -> None:
    grader, server = serve(HALF)
    with use(Services(Settings(), dry=True)):
        grade = grader("x", {})
    assert grade.error == GradeError("not_asked", "infra", "a dry run: the service was not asked")
    assert server.requests == []


def test_the_environment_may_name_a_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    _, proxy = serve(HALF)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    grader = endpoint("http://grader.example.com/grade")
    grader.check_ready()
    assert grader("x", {}).score == 0.5
    assert [request.path for request in proxy.requests] == ["http://grader.example.com/grade"]


# What is answered


@pytest.mark.parametrize(
    ("body", "score"),
    [
        ('{"score": 1}', 1.0),
        ('{"score": -2.5e3}', -2500.0),
        ('{"score": 0.25, "reason": "close", "parts": {"a": [1, null]}}', 0.25),
        (' \n{"score": 0.0}\n', 0.0),
    ],
)
def test_a_finite_number_is_the_score_whatever_stands_beside_it(serve: Serve, body: str, score: float) -> None:
    grader, _ = serve(Reaction(body.encode(), status=201))
    assert grader("x", {}).score == score


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"score": true}', "'score' must be a number, not True"),
        (b'{"score": "0.9"}', "'score' must be a number, not '0.9'"),
        (b'{"score": null}', "'score' must be a number, not None"),
        (b'{"score": [1]}', "'score' must be a number, not [1]"),
        (b'{"score": NaN}', "NaN is not JSON"),
        (b'{"score": Infinity}', "Infinity is not JSON"),
        (b'{"score": 1e999}', "the number 1e999 is too large"),
        (b'{"score": 1' + b"0" * 400 + b"}", "'score' is too large a number"),
        (b'{"score": 0, "score": 1}', "the key 'score' stands twice"),
        (b'{"reward": 1}', "the field 'score' is missing; it holds 'reward'"),
        (b"0.9", "a JSON object is expected, not 0.9"),
        (b"[0.9]", "a JSON object is expected, not [0.9]"),
        (b"score: 0.9", "Expecting value"),
        (b"", "Expecting value"),
        (b'{"score": 1}\xff', "can't decode byte 0xff"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_any_other_answer_is_undecided_and_not_asked_for_again(serve: Serve, body: bytes, said: str) -> None:
    grader, server = serve(Reaction(body))
    grade = grader("x", {})
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("endpoint_parse_error", "grader")
    assert grade.why.startswith("the service's answer holds no score that can be read: ")
    assert said in grade.why
    assert len(server.requests) == 1


@given(st.binary(max_size=40))
def test_no_answer_of_any_kind_is_a_number_that_is_not_finite(body: bytes) -> None:
    try:
        score = json.loads(body)["score"]
        finite = isinstance(score, int | float) and not isinstance(score, bool) and math.isfinite(score)
    except Exception:
        finite = False
    if not finite:
        with pytest.raises(ValueError, match=r"."):
            module.score_in(body)


# What fails


@pytest.mark.parametrize(
    ("reaction", "kind", "said"),
    [
        (error(500, "boom"), "endpoint_server_error", "HTTP 500: 'boom'"),
        (error(503, "later", Retry_After="0"), "endpoint_server_error", "HTTP 503: 'later'"),
        (Reaction(b"<html>bad gateway", 502), "endpoint_server_error", "HTTP 502: '<html>bad gateway'"),
        (error(408, "slow"), "endpoint_server_error", "HTTP 408: 'slow'"),
        (error(429, "too many", Retry_After="0.001"), "overloaded", "HTTP 429: 'too many'"),
        (Reaction(reset=True), "endpoint_server_error", ""),
        (Reaction(b'{"score": 0.5}', sent=0.5), "endpoint_server_error", "before the whole answer had come"),
        (Reaction(b'{"score": 0.5}', seconds=20), "timeout", "no answer within 0.05 s"),
    ],
)
def test_what_may_pass_is_tried_four_times_with_one_trace_and_is_then_undecided(
    serve: Serve, reaction: Reaction, kind: str, said: str
) -> None:
    grader, server = serve(reaction, timeout=0.05 if reaction.seconds else 30.0)
    grade = grader("x", {"n": 1})
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == (kind, "infra")
    assert grade.why.startswith(f"{server.url}/grade, asked 4 times: ")
    assert said in grade.why
    assert len(server.requests) == 4
    assert len({request.raw for request in server.requests}) == 1


@pytest.mark.parametrize("failures", [1, 2, 3])
def test_a_later_try_that_succeeds_is_the_grade(serve: Serve, failures: int) -> None:
    def script(request: Request) -> Reaction:
        return error(429, "wait", Retry_After="0.001") if request.time <= failures else HALF

    grader, server = serve(script)
    assert grader("x", {}).score == 0.5
    assert len(server.requests) == failures + 1


def test_a_service_that_is_not_there_ends_the_run() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}/grade"
        with pytest.raises(
            GradingStopped, match=rf"^web: nothing answers at http://{place} \(ConnectionRefusedError: "
        ):
            endpoint(f"http://{place}?key=planted-in-query", name="web")("x", {})


def test_a_service_that_has_answered_and_goes_away_leaves_rows_undecided() -> None:
    with ScriptedJudge(lambda _: error(500, "starting", Retry_After="0")) as server:
        grader = endpoint(f"{server.url}/grade")
        assert grader("x", {}).score is None
    grade = grader("x", {})
    assert grade.error is not None
    assert (grade.score, grade.error.kind, grade.error.fault) == (None, "endpoint_server_error", "infra")
    assert "asked 4 times: ConnectionRefusedError" in grade.why


@pytest.mark.parametrize(
    ("reaction", "said"),
    [
        (error(400, "no such key"), "HTTP 400: 'no such key'"),
        (Reaction(b"", 302, {"Location": "/login"}), "HTTP 302: it redirects to '/login', which is not followed"),
    ],
)
def test_an_address_that_turns_three_calls_down_and_never_scored_ends_the_run(
    serve: Serve, reaction: Reaction, said: str
) -> None:
    grader, server = serve(reaction, name="web")
    assert [grader("x", {}).score for _ in range(2)] == [None, None]
    with pytest.raises(GradingStopped) as caught:
        grader("x", {})
    words = f"web: {server.url}/grade has turned down 3 calls in a row and has never given a score; the last: {said}"
    assert str(caught.value).startswith(words)
    assert len(server.requests) == 3


def test_a_failure_between_two_refusals_breaks_their_row(serve: Serve) -> None:
    grader, _ = serve(lambda request: error(503 if request.body["item"]["n"] == 2 else 400, "no", Retry_After="0"))
    assert [grader("x", {"n": n}).score for n in range(5)] == [None] * 5
    with pytest.raises(GradingStopped, match="3 calls in a row"):
        grader("x", {"n": 5})


def test_an_address_that_has_scored_may_turn_down_as_many_rows_as_it_likes(serve: Serve) -> None:
    grader, _ = serve(lambda request: HALF if request.body["item"]["n"] == 0 else error(422, "no such gene"))
    assert [grader("x", {"n": n}).score for n in range(6)] == [0.5, *[None] * 5]


@pytest.mark.parametrize(
    ("reaction", "said"),
    [
        (error(400, "no such gene"), "HTTP 400: 'no such gene'"),
        (error(413, "too long"), "HTTP 413: 'too long'"),
        (error(422, "item.gene is missing"), "HTTP 422: 'item.gene is missing'"),
        (
            Reaction(b"", 307, {"Location": "https://elsewhere.example/grade"}),
            "HTTP 307: it redirects to 'https://elsewhere.example/grade', which is not followed; write that as the url",
        ),
    ],
)
def test_what_the_service_refuses_is_in_its_words_and_is_not_tried_again(
    serve: Serve, reaction: Reaction, said: str
) -> None:
    grader, server = serve(reaction)
    grade = grader("x", {})
    assert grade.error == GradeError("endpoint_server_error", "grader", f"{server.url}/grade: {said}")
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_service_that_lets_nobody_in_ends_the_run(serve: Serve, status: int) -> None:
    grader, server = serve(error(status, "who are you?"), name="web")
    with pytest.raises(GradingStopped, match=rf"^web: .*/grade refuses to grade: HTTP {status}: 'who are you\?'$"):
        grader("x", {})
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [403, 404])
def test_one_row_that_is_not_let_in_where_others_were_is_undecided_alone(serve: Serve, status: int) -> None:
    blocks = "DROP TABLE"
    grader, _ = serve(
        lambda request: error(status, "blocked") if blocks in request.body["sample"]["output_text"] else HALF
    )
    grades = [grader(text, {}) for text in ("FBN1", "'; DROP TABLE x", "FBN2")]
    assert [grade.score for grade in grades] == [0.5, None, 0.5]
    assert grades[1].error is not None
    assert (grades[1].error.kind, grades[1].error.fault) == ("endpoint_server_error", "grader")
    assert f"HTTP {status}: 'blocked'" in grades[1].why


@pytest.mark.parametrize("status", [401, 402])
def test_a_key_that_expires_ends_the_run_whatever_was_before(serve: Serve, status: int) -> None:
    grader, _ = serve(lambda request: HALF if request.body["item"]["n"] == 0 else error(status, "no credit"))
    assert grader("x", {"n": 0}).score == 0.5
    with pytest.raises(GradingStopped, match="no credit"):
        grader("x", {"n": 1})


# How much, how fast


@pytest.mark.parametrize(
    ("output", "row", "kind", "fault", "score"),
    [
        ("x" * MOST_BYTES, "short", "sample_parse_error", "candidate", 0.0),
        ("x" * 300_000, "y" * 500_000, "sample_parse_error", "candidate", 0.0),  # it is sent twice: as text and choice
        ("short", "y" * MOST_BYTES, "other_error", "grader", None),
    ],
)
def test_a_request_that_is_too_long_is_not_sent_and_is_the_fault_of_what_is_longest(
    serve: Serve, output: str, row: str, kind: str, fault: str, score: float | None
) -> None:
    grader, server = serve(HALF)
    grade = grader(output, {"text": row})
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault, grade.score) == (kind, fault, score)
    assert "an endpoint takes 1,000,000 at most" in grade.why
    assert server.requests == []


@pytest.mark.parametrize("rate", [1, 5, 50])
@pytest.mark.parametrize("gap", [0.0, 0.003, 0.4])
def test_no_second_sees_more_requests_than_the_rate(rate: int, gap: float) -> None:
    allowance = Allowance(60.0 * rate, burst=0.0)
    sent, now = [], 1_000.0
    for _ in range(20 * rate):
        sent.append(now + allowance.take(1, now))
        now += gap
    for start in sent:
        assert sum(start <= at < start + 1 - 1e-6 for at in sent) <= rate


def test_every_try_waits_for_its_turn(serve: Serve) -> None:
    script: Script = lambda request: error(500, "again", Retry_After="0") if request.time == 1 else HALF  # noqa: E731
    grader, server = serve(script, rate_limit=1000)
    assert [grade.score for grade in grade_many(grader, [("x", {"n": n}) for n in range(5)])] == [0.5] * 5
    assert grader._allowance is not None
    assert len(server.requests) == 10
    assert math.isclose(grader._allowance.seconds_each, 0.001)


class Crowd:
    """Counts how many requests are under way at once: each waits a little before it is answered."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, request: Request) -> Reaction:
        self.times.append(time.monotonic())
        return replace(HALF, seconds=0.3)

    @property
    def at_once(self) -> int:
        return max(sum(start <= other < start + 0.3 for other in self.times) for start in self.times)


def test_groups_of_a_grader_that_judges_each_by_itself_have_as_many_calls_under_way_as_single_samples(
    serve: Serve,
) -> None:
    crowd = Crowd()
    grader, server = serve(crowd)
    groups = [([f"{n} {number}" for number in range(5)], {"n": n}) for n in range(2)]
    grades = list(grade_groups(grader, groups, concurrency=3))
    assert [[grade.score for grade in group] for group in grades] == [[0.5] * 5] * 2
    assert len(server.requests) == 10
    assert crowd.at_once <= 3


def test_no_more_than_so_many_calls_to_one_address_are_under_way_in_an_event_loop(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_UNDER_WAY", 2)
    crowd = Crowd()
    grader, server = serve(crowd)

    async def all_at_once() -> list[Grade]:
        return await asyncio.gather(*(grader.call_async("x", {"n": n}) for n in range(6)))

    assert [grade.score for grade in asyncio.run(all_at_once())] == [0.5] * 6
    assert len(server.requests) == 6
    assert crowd.at_once <= 2


# What is secret


@pytest.mark.parametrize(
    "script",
    [
        lambda request: Reaction(json.dumps({"score": 0.5, "echo": request.headers["authorization"]}).encode()),
        lambda request: Reaction(json.dumps({"score": request.headers["authorization"]}).encode()),
        lambda request: error(400, f"bad {request.headers['authorization']}"),
        lambda request: error(500, f"bad {request.headers['x-key']}", Retry_After="0"),
        lambda request: error(401, f"bad {request.headers['x-key']}"),
        lambda request: Reaction(b"", 302, {"Location": f"/login?{request.headers['x-key']}"}),
    ],
)
def test_a_key_of_the_environment_is_sent_and_is_found_nowhere(
    serve: Serve, script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GRADER_KEY", KEY)
    grader, server = serve(script, headers={"Authorization": "Token ${GRADER_KEY}", "x-key": "${GRADER_KEY}"})
    grader.check_ready()
    identity = grader.identity
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"item": {}, "sample": {"output_text": "x"}}\n')
    try:
        grade = grader("x", {})
        found = [repr(grade), json.dumps(grade.to_wire())]
    except GradingStopped as stopped:
        found = [str(stopped), repr(stopped)]
    try:
        grade_file(grader, rows, tmp_path / "grades.jsonl")
    except GradingStopped as stopped:
        found.append(str(stopped))
    found += [repr(grader), str(grader), json.dumps(grader.to_wire()), identity]
    found += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert server.requests[0].headers["authorization"] == f"Token {KEY}"
    assert [text for text in found if KEY in text] == []
    assert "${GRADER_KEY}" in repr(grader)
    monkeypatch.setenv("GRADER_KEY", "another-key-0123")
    assert load(grader.to_wire()).identity == identity


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        ({"X-Api-Key": "written-out-key-1"}, "written-out-key-1"),
        ({"Authorization": "Custom written-out-key-2"}, "written-out-key-2"),
        ({}, "written-in-query-3"),
        ({}, "written in query 4"),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 503])
def test_a_key_that_is_written_out_and_echoed_is_in_no_grade_and_no_message(
    headers: dict[str, str], secret: str, status: int
) -> None:
    def script(request: Request) -> Reaction:
        return error(status, f"{request.path} {json.dumps(dict(request.headers))} {secret}", Retry_After="0")

    with ScriptedJudge(script) as server:
        grader = endpoint(
            f"{server.url}/grade?code=written-in-query-3&other=written%20in%20query%204&v=2", headers=headers or None
        )
        try:
            found = json.dumps(grader("x", {}).to_wire())
        except GradingStopped as stopped:
            found = str(stopped)
    assert f"HTTP {status}" in found
    assert secret not in found
    assert secret.replace(" ", "%20") not in found


def test_what_is_no_key_is_not_taken_out_of_messages(serve: Serve) -> None:
    plain = {"Content-Type": "application/vnd.genes+json", "User-Agent": "my-trainer", "X-Team": "genes"}
    grader, _ = serve(error(400, "my-trainer of genes sent application/vnd.genes+json"), headers=plain)
    assert "my-trainer of genes sent application/vnd.genes+json" in grader("x", {}).why


def test_a_variable_that_is_not_set_is_named_before_anything_is_sent(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRADER_KEY", raising=False)
    grader, server = serve(HALF, headers={"X-Key": "a ${GRADER_KEY} b"})
    said = "header 'X-Key' needs the environment variable GRADER_KEY, which is not set; set it"
    with pytest.raises(ValueError, match=said):
        grader.check_ready()
    assert grader("x", {}).error == GradeError("other_error", "infra", said)
    monkeypatch.setenv("GRADER_KEY", "one\ntwo")
    with pytest.raises(ValueError, match="variable GRADER_KEY, for header 'X-Key', holds a line break") as caught:
        grader.check_ready()
    assert "two" not in str(caught.value)
    assert server.requests == []


# Connections


def test_connections_are_kept_within_an_event_loop_and_closed_with_it(serve: Serve) -> None:
    grader, server = serve(HALF)

    async def several() -> int:
        for _ in range(5):
            assert (await grader.call_async("x", {})).score == 0.5
        return len(server._connections)

    assert asyncio.run(several()) == 1
    assert module._loops == {}


# Definitions


def test_its_own_timeout_has_no_word_in_openais_json() -> None:
    wire = endpoint(headers={"X-Key": "${GRADER_KEY}"}, rate_limit=50).to_openai()
    assert wire == {
        "type": "endpoint",
        "name": "endpoint",
        "url": "https://grader.example.com/grade",
        "headers": {"X-Key": "${GRADER_KEY}"},
        "rate_limit": 50,
    }
    with pytest.raises(ValueError, match="'endpoint': 'timeout' is Assay's own; OpenAI waits ten minutes"):
        endpoint(timeout=5).to_openai()


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8000/grade", "https://grader.example.com", "https://[::1]:8443/x?key=1", "https://ü.example"],
)
def test_web_addresses_are_accepted(url: str) -> None:
    assert endpoint(url).url == url


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "ftp://x.example/y"}, "the address must begin with https:// or http://, not ftp"),
        ({"url": "grader.example.com/grade"}, "must begin with https:// or http://, not nothing"),
        ({"url": "file:///etc/passwd"}, "not file"),
        ({"url": ""}, "not nothing"),
        ({"url": "https://"}, "it needs a host"),
        ({"url": "https://x.example/a b"}, "no spaces"),
        ({"url": "https://x.example/\u200b"}, "no spaces"),
        ({"url": "https://x.example:99999/"}, "not a web address"),
        ({"url": "https://[::1/"}, "not a web address"),
        (
            {"url": "https://x.example/grade?code=${KEY}"},
            "'${' stands for no variable in an address; send a key in a header, as in",
        ),
        ({"url": "https://${HOST}/grade"}, "'${' stands for no variable in an address"),
        ({"url": "https://me:secret@x.example/"}, "a name or password in the address would be recorded"),
        ({"headers": {"a b": "x"}}, "'a b' is no name of a header"),
        ({"headers": {"": "x"}}, "'' is no name of a header"),
        ({"headers": {"X-Key": "a\r\nX-Other: b"}}, "the value of header 'X-Key' holds a line break"),
        ({"headers": {"X-Key": "\u20ac"}}, "holds characters that no header can"),
        ({"headers": {"X-Key": "${1KEY}"}}, "holds '${' that begins no ${NAME} of a variable"),
        ({"headers": {"X-Key": "${KEY"}}, "holds '${' that begins no ${NAME} of a variable"),
        ({"headers": {"content-length": "5"}}, "'content-length' is written by what sends the request"),
        ({"headers": {"X-Key": "a", "x-key": "b"}}, "stands twice"),
        ({"headers": {"X-Key": 5}}, "headers.X-Key: Input should be a valid string"),
        ({"rate_limit": 0}, "rate_limit: Input should be greater than or equal to 1"),
        ({"rate_limit": 1.5}, "rate_limit: "),
        ({"rate_limit": True}, "rate_limit: "),
        ({"timeout": 0}, "timeout: Input should be greater than 0"),
        ({"pass_threshold": math.inf}, "pass_threshold: Input should be a finite number"),
    ],
)
def test_a_bad_definition_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'endpoint': ") as caught:
        endpoint(**options)
    assert message in str(caught.value)
