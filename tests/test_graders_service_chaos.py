from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from graders import load
from graders.score import grade_file
from graders.service import services as services_module
from graders.service.services import Services, use
from graders.service.settings import Settings
from graders.testing.scripted_judge import Chaos, Reaction, Request, Script, ScriptedJudge, verdict

ROOT = Path(__file__).resolve().parents[1]
JUDGE = {
    "type": "score_model",
    "model": "m",
    "range": [0, 10],
    "input": [{"role": "user", "content": "{{item.n}}: {{sample.output_text}}"}],
}
MAY_FAIL = {"overloaded", "timeout", "model_grader_server_error", "model_grader_parse_error"}


def by_row(request: Request) -> Reaction:
    """A score that depends on nothing but the row, whatever was said in between."""
    shown = next(message["content"] for message in request.body["messages"] if message["role"] == "user")
    return verdict(crc32(shown.encode()) % 11)


def settings_of(judge: ScriptedJudge) -> dict[str, Any]:
    return {"services": {"s": {"base_url": judge.url}}, "models": {"*": {"service": "s"}}}


def rows_file(folder: Path, count: int) -> Path:
    file = folder / "data.jsonl"
    rows = ({"id": f"r{n}", "item": {"n": n}, "sample": {"output_text": f"answer {n}"}} for n in range(count))
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def graded(script: Script, data: Path, out: Path) -> list[dict[str, Any]]:
    with ScriptedJudge(script) as judge, use(Services(Settings.model_validate(settings_of(judge)))):
        grade_file(load(JUDGE), data, out, concurrency=64)
    return rows_of(out)


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def compare(calm: list[dict[str, Any]], wild: list[dict[str, Any]], count: int) -> None:
    """Every row is there once; it is scored as in the calm run, or says why it is not."""
    assert [row["id"] for row in wild] == [row["id"] for row in calm] == [f"r{n}" for n in range(count)]
    for was, row in zip(calm, wild, strict=True):
        if row["score"] is None:
            assert row["error"]["kind"] in MAY_FAIL
            assert row["error"]["fault"] in ("infra", "grader")
        else:
            assert row["score"] == was["score"]
    assert sum(row["score"] is not None for row in wild) > 0.95 * count


@pytest.mark.parametrize("seed", [0, 1])
def test_through_chaos_every_row_ends_once_and_scored_as_in_a_calm_run(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services_module, "FIRST_WAIT", 0.005)
    data = rows_file(tmp_path, 500)
    calm = graded(by_row, data, tmp_path / "calm.jsonl")
    wild = graded(Chaos(by_row, seed=seed), data, tmp_path / "wild.jsonl")
    compare(calm, wild, 500)


def test_killed_three_times_under_chaos_a_run_loses_no_row_and_grades_none_twice(tmp_path: Path) -> None:
    count = 300
    data, out = rows_file(tmp_path, count), tmp_path / "out.jsonl"
    calm = graded(by_row, data, tmp_path / "calm.jsonl")
    grader, judges = tmp_path / "g.json", tmp_path / "judges.json"
    grader.write_text(json.dumps(JUDGE))
    program = "from rft_loop.cli import main; main()"
    command = [sys.executable, "-c", program, "grade", str(grader), str(data), "-o", str(out)]
    partial = out.with_name("out.jsonl.partial")
    with ScriptedJudge(Chaos(by_row)) as judge:
        judges.write_text(json.dumps(settings_of(judge)))
        environment = os.environ | {"ASSAY_JUDGES": str(judges), "PYTHONPATH": str(ROOT)}
        for lines in (60, 120, 180):
            killed(command, environment, partial, lines)
            assert not out.exists()
        recorded = partial.read_bytes()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert out.exists(), done.stderr
    assert out.read_bytes().startswith(recorded[: recorded.rindex(b"\n") + 1])
    compare(calm, rows_of(out), count)


def killed(command: list[str], environment: Mapping[str, str], partial: Path, lines: int) -> None:
    """Start a run and kill it once so many lines are recorded."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not partial.exists() or partial.read_bytes().count(b"\n") < lines:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
