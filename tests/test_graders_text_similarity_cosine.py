"""The metric cosine of text_similarity, against an embedding server on this machine and a local model's stand-in."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from graders import Grade, Grader, load

KEY = "sk-a-secret-of-this-test"
VECTORS = {"up": [0.0, 2.0], "right": [3.0, 0.0], "both": [1.0, 1.0], "down": [0.0, -1.0]}


class Server:
    """Answers `POST /v1/embeddings` by what `answer` makes of the request; keeps what it was asked."""

    def __init__(self, answer: Callable[[dict[str, Any]], tuple[int, Any]]) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                outer.asked.append(asked | {"path": self.path, "authorization": self.headers["authorization"]})
                status, body = outer.answer(asked)
                text = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("x-should-retry", "false")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


def embedded(asked: dict[str, Any]) -> tuple[int, Any]:
    data = [
        {"object": "embedding", "index": index, "embedding": VECTORS.get(text, [1.0, 0.5])}
        for index, text in enumerate(asked["input"])
    ]
    return 200, {
        "object": "list",
        "data": data[::-1],  # a server may answer in any order
        "model": asked["model"],
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    from graders.text.similarity import cosine

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers: list[Server] = []

    def start(answer: Callable[[dict[str, Any]], tuple[int, Any]] = embedded) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    cosine._client.cache_clear()  # closes the connections
    for server in servers:
        server.http.shutdown()
        server.http.server_close()


def by(server: Server, **options: Any) -> Grader:
    return similarity(embeddings={"base_url": server.url, **options})


def similarity(**options: Any) -> Grader:
    wire = {"type": "text_similarity", "input": "{{sample.output_text}}", "reference": "{{item.gold}}"}
    return load({**wire, "evaluation_metric": "cosine", **options})


def error(grade: Grade) -> tuple[float | None, str, str]:
    assert grade.error is not None
    return grade.score, grade.error.kind, grade.error.fault


@pytest.mark.parametrize(
    ("output", "gold", "score", "why"),
    [
        ("both", "up", 0.5**0.5, "cosine of 'both' with 'up' is 0.7071"),
        ("up", "up", 1.0, "cosine of 'up' with 'up' is 1.0000"),
        ("right", "up", 0.0, "cosine of 'right' with 'up' is 0.0000"),
        ("down", "up", 0.0, "cosine of 'down' with 'up' is -1.0000: below 0 scores 0"),
    ],
)
def test_the_score_is_the_cosine_of_the_servers_embeddings(
    serve: Callable[..., Server], output: str, gold: str, score: float, why: str
) -> None:
    server = serve()
    grade = by(server, model="small")(output, {"gold": gold})
    assert grade.score == pytest.approx(score, abs=1e-12)
    assert grade.why == why
    assert grade.usage == {"small": {"prompt_tokens": 7, "total_tokens": 7}}
    assert server.asked == [
        {
            "input": [output, gold],
            "model": "small",
            "encoding_format": "float",
            "path": "/v1/embeddings",
            "authorization": f"Bearer {KEY}",
        }
    ]


def test_the_model_is_openais_and_the_server_may_come_from_the_environment(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert similarity()("up", {"gold": "up"}).score == 1
    assert server.asked[0]["model"] == "text-embedding-3-large"


def test_many_grades_wait_together(serve: Callable[..., Server]) -> None:
    gate = threading.Barrier(8, timeout=30)  # opens only when eight requests are under way

    def all_at_once(asked: dict[str, Any]) -> tuple[int, Any]:
        gate.wait()
        return embedded(asked)

    grader = by(serve(all_at_once))
    assert grader.waits

    async def grade_all() -> list[Grade]:
        return await asyncio.gather(*(grader.call_async("both", {"gold": "up"}) for _ in range(8)))

    assert [grade.score for grade in asyncio.run(grade_all())] == [pytest.approx(0.5**0.5)] * 8


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (500, {"error": {"message": "the weights are gone"}}, "model_grader_server_error", "the weights are gone"),
        (401, {"error": {"message": f"bad key {KEY}"}}, "model_grader_server_error", "bad key <key>"),
        (400, {"error": {"message": "no such model"}}, "model_grader_server_error", "no such model"),
        (429, {"error": {"message": "slow down"}}, "overloaded", "slow down"),
        (200, {"data": []}, "model_grader_parse_error", "the embedding server's answer"),
        (200, {"object": "list"}, "model_grader_parse_error", "the embedding server's answer"),
        (200, b"not json", "model_grader_parse_error", "the embedding server's answer"),
        (200, {"data": [{"index": 0, "embedding": [0.0]}] * 2}, "model_grader_parse_error", "it is zero"),
        (200, {"data": [{"index": 0, "embedding": ["x"]}] * 2}, "model_grader_parse_error", "cannot be compared"),
        (
            200,
            b'{"data": [{"index": 0, "embedding": [NaN]}, {"index": 1, "embedding": [1]}]}',
            "model_grader",
            "finite",
        ),
    ],
)
def test_what_the_server_gets_wrong_is_undecided_with_its_words_and_without_the_key(
    serve: Callable[..., Server], status: int, body: Any, kind: str, words: str
) -> None:
    grade = by(serve(lambda asked: (status, body)))("up", {"gold": "up"})
    score, found, fault = error(grade)
    assert (score, fault) == (None, "infra")
    assert found.startswith(kind)
    assert words in grade.why
    assert KEY not in json.dumps(grade.to_wire())


def test_an_output_that_the_server_refuses_while_it_takes_the_reference_is_the_candidates_fault(
    serve: Callable[..., Server],
) -> None:
    def short_only(asked: dict[str, Any]) -> tuple[int, Any]:
        too_long = max(map(len, asked["input"])) > 100
        return (400, {"error": {"message": "maximum context length is 100"}}) if too_long else embedded(asked)

    server = serve(short_only)
    grade = by(server)("up " * 100, {"gold": "up"})
    assert error(grade) == (0.0, "sample_parse_error", "candidate")
    assert "maximum context length is 100" in grade.why
    assert error(by(server)("up", {"gold": "up " * 100}))[0] is None
    swapped = {"input": "{{item.gold}}", "reference": "{{sample.output_text}}", "embeddings": {"base_url": server.url}}
    assert error(similarity(**swapped)("up " * 100, {"gold": "up"})) == (0.0, "sample_parse_error", "candidate")


def test_a_silent_server_is_a_timeout_and_an_absent_one_an_error(serve: Callable[..., Server]) -> None:
    wake = threading.Event()

    def silent(asked: dict[str, Any]) -> tuple[int, Any]:
        wake.wait(30)
        return 500, {}

    try:
        grade = by(serve(silent), timeout=0.05)("up", {"gold": "up"})
    finally:
        wake.set()
    assert error(grade) == (None, "timeout", "infra")
    assert "silent for 0.05 s" in grade.why
    absent = similarity(embeddings={"base_url": "http://127.0.0.1:9/v1", "timeout": 1})("up", {"gold": "up"})
    assert error(absent) == (None, "model_grader_server_error", "infra")


@pytest.mark.parametrize("output", ["", "  \n"])
def test_a_blank_output_scores_0_and_a_blank_reference_is_undecided_without_a_request(
    serve: Callable[..., Server], output: str
) -> None:
    server = serve()
    grade = by(server)(output, {"gold": "up"})
    assert (grade.score, grade.error, "is blank" in grade.why) == (0.0, None, True)
    assert error(by(server)("up", {"gold": output})) == (None, "invalid_reference", "grader")
    assert server.asked == []


def test_a_lone_surrogate_reaches_the_server_as_a_question_mark(serve: Callable[..., Server]) -> None:
    server = serve()
    assert by(server)("\ud800up", {"gold": "up"}).score is not None
    assert server.asked[0]["input"] == ["?up", "up"]


def test_without_a_key_openai_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    grade = similarity()("up", {"gold": "up"})
    assert error(grade) == (None, "model_grader_server_error", "infra")
    assert "the variable OPENAI_API_KEY holds no key" in grade.why


def test_a_server_of_ones_own_needs_no_key(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    server = serve()
    assert by(server)("up", {"gold": "up"}).score == 1
    assert server.asked[0]["authorization"] == "Bearer none"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    grade = similarity()("up", {"gold": "up"})
    assert error(grade) == (None, "not_installed", "infra")
    assert "pip install 'assay[judge]'" in grade.why
    grade = similarity(embeddings={"local": "absent"})("up", {"gold": "up"})
    assert error(grade) == (None, "not_installed", "infra")
    assert "pip install sentence-transformers" in grade.why


def test_a_real_local_model_gives_the_same_text_1_and_stays_in_range(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import BoW

    SentenceTransformer(modules=[BoW(vocab=["up", "right", "both", "down"])]).save(str(tmp_path))
    grader = similarity(embeddings={"local": str(tmp_path)})
    assert grader("up both", {"gold": "up both"}).score == pytest.approx(1)
    assert grader("up", {"gold": "right"}).score == pytest.approx(0)


def test_a_local_model_that_is_not_there_is_undecided(tmp_path: Path) -> None:
    grader = similarity(embeddings={"local": str(tmp_path / "missing")})
    assert not grader.waits
    grade = grader("up", {"gold": "up"})
    assert error(grade) == (None, "not_installed", "infra")
    assert "could not be loaded" in grade.why
