"""A real server with a real model on loopback answers judges: the wiring is proved, not the judgement.

Slow, and asked for: ASSAY_TEST_GGUF names the file of the model. See docs/local-judge.md.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from graders import Grade, Grader, grade_many, load
from graders.service.services import Services, use
from graders.service.settings import read_settings

NAMED = "gpt-4o-2024-08-06"  # by the graders; the file of judges says who answers for it
PATIENCE = 180.0  # seconds for a server to load its model
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"}
FRANCE = {"question": "What is the capital of France?"}
SUM = {"question": "What is 2 + 2?"}
PAIRS = [("Paris", FRANCE), ("Lyon", FRANCE), ("4", SUM), ("a fish of the sea", SUM)]
LLAMA_CPP = """
import sys, time, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.model_alias, params.port = sys.argv[1], {"smollm2"}, int(sys.argv[2])
params.n_ctx, params.n_parallel, params.cpuparams.n_threads = 2048, 1, 1
server = xllamacpp.Server(params)
time.sleep(3600)
"""


def graders() -> dict[str, Grader]:
    return {
        "score": load({"type": "score_model", "range": [1, 5], **asking(5)}),
        "label": load(
            {"type": "label_model", "labels": ["right", "wrong"], "passing_labels": ["right"], **asking("right")}
        ),
    }


def asking(result: Any) -> dict[str, Any]:
    """The judge's model and messages, with an example of the answer: without one, so small a model finds no end."""
    shown = {"steps": [{"description": "compare", "conclusion": "The answer is right."}], "result": result}
    messages = [
        {"role": "system", "content": "You rate answers."},
        {"role": "user", "content": "Question: Which animal barks?\nAnswer: A dog"},
        {"role": "assistant", "content": json.dumps(shown)},
        {"role": "user", "content": "Question: {{item.question}}\nAnswer: {{sample.output_text}}"},
    ]
    return {"model": NAMED, "input": messages, "sampling_params": {"temperature": 0, "max_completions_tokens": 80}}


@pytest.fixture(scope="module")
def gguf() -> Path:
    path = os.environ.get("ASSAY_TEST_GGUF")
    if path is None:
        pytest.skip("set ASSAY_TEST_GGUF to the path of a GGUF file to run this")
    return Path(path)


def llama_cpp(gguf: Path, port: int, _: Path) -> tuple[list[str], str]:
    """The command that starts llama.cpp's server, and the server's name for the model."""
    if find_spec("xllamacpp") is None:
        pytest.skip("llama.cpp's server comes with xllamacpp: pip install xllamacpp")
    return [sys.executable, "-c", LLAMA_CPP, str(gguf), str(port)], "smollm2"


def transformers_serve(gguf: Path, port: int, tmp_path: Path) -> tuple[list[str], str]:
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        pytest.skip("transformers serve needs more packages: pip install 'transformers[serving]'")
    import torch

    from rft_loop.model.policy import load_pretrained

    policy = load_pretrained(str(gguf), torch.device("cpu"))
    folder = str(tmp_path / "model")
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", folder]
    return [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"], folder


@contextmanager
def running(command: list[str], port: int, tmp_path: Path) -> Iterator[None]:
    """A server's process, from the moment when it is ready."""
    said = tmp_path / "server.log"
    with said.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **OFFLINE})
    end = time.monotonic() + PATIENCE
    try:
        while not healthy(port):
            assert process.poll() is None, said.read_text(errors="replace")[-2000:]
            assert time.monotonic() < end, "the server is not ready"
            time.sleep(0.2)
        yield
    finally:
        process.kill()
        process.wait()


def healthy(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, OSError):  # 503 while it loads
        return False


@pytest.mark.parametrize(("server", "structured"), [(llama_cpp, "json_schema"), (transformers_serve, "none")])
def test_a_real_server_answers_judges_and_what_it_said_is_kept(
    server: Any, structured: str, gguf: Path, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command, model = server(gguf, port, tmp_path)
    judges = tmp_path / "judges.yaml"
    judges.write_text(
        f"services:\n  local:\n    base_url: http://127.0.0.1:{port}/v1\n    structured_output: {structured}\n"
        f"    timeout: 300\n    deadline: 600\n    concurrency: 2\n"
        f"models:\n  {NAMED}: {{service: local, model: {json.dumps(model)}}}\n"
    )
    settings = read_settings(judges)
    with running(command, port, tmp_path), use(Services(settings, cache=tmp_path / "cache")):
        first = {name: list(grade_many(grader, PAIRS)) for name, grader in graders().items()}
    for grades in first.values():
        for grade in grades:
            print(grade.score, grade.why, dict(grade.usage or {}))
            check(grade, model)
    scored = [(name, place) for name, grades in first.items() for place, grade in enumerate(grades) if not grade.error]
    if structured == "json_schema":
        assert scored, "a grammar keeps the answer in form"
    with use(Services(settings, cache=tmp_path / "cache")):  # nobody is there to be asked
        for name, place in scored:
            (again,) = grade_many(graders()[name], [PAIRS[place]])
            assert (again.score, again.why) == (first[name][place].score, first[name][place].why)
            assert again.usage == {model: {"kept": 1}}


def check(grade: Grade, model: str) -> None:
    """It is scored in range, or undecided with an error that says what the judge did; its tokens are counted."""
    if grade.score is None:
        assert grade.error is not None
        assert (grade.error.kind, grade.error.fault) == ("model_grader_parse_error", "grader")
        assert model in grade.why
    else:
        assert grade.score in (0.0, 1.0) or 1.0 <= grade.score <= 5.0
    assert grade.usage is not None
    (counts,) = grade.usage.values()
    assert list(grade.usage) == [model]
    assert 1 <= counts["calls"] <= 2
    assert counts["prompt_tokens"] > 50
    assert counts["completion_tokens"] > 0
