"""The migration pages are run: their files are written, their commands typed, and what they say is compared."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import pytest

from graders.registry import BUILT_IN, grader_class
from graders.testing.scripted_judge import Reaction, Request, ScriptedJudge, verdict

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HASH = re.compile(r"@[0-9a-f]{12}\b")  # of a grader: it changes with our code


class Block(NamedTuple):
    kind: str
    label: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    for match in BLOCK.finditer((DOCS / page).read_text(encoding="utf-8")):
        yield Block(*match.groups(default=""))


def run(arguments: list[str], folder: Path, **more: str) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **more}
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, f"{arguments[-1]}\n{done.stdout}{done.stderr}"
    return done.stdout


EXAMPLE = "https://grader.example.com"  # the service of the page's endpoint grader


def answers_of_the_page(request: Request) -> Reaction:
    """What the judges and the service of a page answer."""
    if request.path == "/v1/grade":
        return Reaction(b'{"score": 0.75}')
    wished = request.body["response_format"]["json_schema"]["schema"]["properties"]["result"]
    result = wished["enum"][0] if "enum" in wished else 4
    return verdict(result, "It says what the gene does.", model=request.body["model"])


@pytest.mark.parametrize("page", ["from-openai.md", "from-promptfoo.md", "templates.md"])
def test_a_page_does_what_it_says(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedJudge(answers_of_the_page) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.delenv("ASSAY_JUDGES", raising=False)
        follow(page, tmp_path, server.url)


def follow(page: str, tmp_path: Path, service: str) -> None:
    said, compared = "", 0
    for kind, label, text in blocks(page):
        if label.startswith("graded "):
            grade = json.loads((tmp_path / label.removeprefix("graded ")).read_text(encoding="utf-8").splitlines()[0])
            expected = json.loads(text)
            assert grade["score"] == pytest.approx(expected["score"], abs=1e-12)
            assert grade["why"] == expected["why"]
            compared += 1
        elif label:
            (tmp_path / label).write_text(text.replace(EXAMPLE, service), encoding="utf-8")
        elif kind == "sh":
            said = run(["bash", "-euc", text], tmp_path)
        elif kind == "python":
            (tmp_path / "snippet.py").write_text(text, encoding="utf-8")
            said = run([sys.executable, "snippet.py"], tmp_path)
        elif kind == "output":
            assert HASH.sub("@", said) == HASH.sub("@", text)
            compared += 1
    assert compared >= 2


def test_the_page_has_a_worked_example_of_every_type_of_openais() -> None:
    page = (DOCS / "from-openai.md").read_text(encoding="utf-8")
    types = {"endpoint", "label_model", "multi", "python", "score_model", "string_check", "text_similarity"}
    assert types <= {name for name in BUILT_IN if grader_class(name).in_openai}
    assert [name for name in types if f"\n## {name}\n" not in page] == []


class Service(BaseHTTPRequestHandler):
    """Lists as the service gives them: `pages` by path, one object a page."""

    pages: Mapping[str, list[Any]]

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        data = self.pages[address.path]
        after = parse_qs(address.query).get("after")
        at = 0 if after is None else [one["id"] for one in data].index(after[0]) + 1
        page = {"object": "list", "data": data[at : at + 1], "has_more": at + 1 < len(data)}
        body = json.dumps(page).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_what_the_client_saves_before_the_shutdown_is_converted(tmp_path: Path) -> None:
    pytest.importorskip("openai")
    files = {label: text for _, label, text in blocks("from-openai.md") if label}
    items = [json.loads(line) for line in files["output-items.jsonl"].splitlines()]
    saved = {"object": "eval", "id": "eval_1", "created_at": 1, "metadata": None, **json.loads(files["eval.json"])}
    schema = {"type": "object", "properties": {"item": saved["data_source_config"]["item_schema"]}}
    saved["data_source_config"] = {"type": "custom", "schema": schema}
    runs = "/evals/eval_1/runs"
    pages = {"/evals": [saved], runs: [{"object": "eval.run", "id": "evalrun_1"}]}
    handler = type("Filled", (Service,), {"pages": {**pages, f"{runs}/evalrun_1/output_items": items}})
    (tmp_path / "save_evals.py").write_text(files["save_evals.py"], encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        run([sys.executable, "save_evals.py"], tmp_path, OPENAI_BASE_URL=address, OPENAI_API_KEY="none")
        server.shutdown()
    run(["assay", "convert", "saved/eval_1/eval.json", "-o", "criteria"], tmp_path)
    run(["assay", "convert", "saved/eval_1/evalrun_1.jsonl", "-o", "run"], tmp_path)
    names = {path.name for path in (tmp_path / "criteria").iterdir()}
    assert names == {"exact.json", "wording.json", "passes.json", "item-schema.json", "not-carried.json"}
    assert len((tmp_path / "run" / "rows.jsonl").read_text().splitlines()) == 2
    assert len((tmp_path / "run" / "openai-exact.jsonl").read_text().splitlines()) == 3
