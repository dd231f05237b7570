"""Stored outputs of one item, graded together: `assay grade --group`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graders import load
from graders.composite import GraderWarning
from graders.offline.compare import compare_grades
from graders.score import grade_file, grade_file_with_all, grade_many, price_file
from graders.service.services import Services, use
from graders.service.settings import Model, Price, Service, Settings
from graders.testing.scripted_judge import Reaction, Request, ScriptedJudge, said

BEST = {"type": "group", "name": "best", "model": "a-judge"}
SAID = {"type": "string_check", "name": "said", "operation": "like", "input": "{{sample.output_text}}"}


def by_quality(request: Request) -> Reaction:
    """Ranks the shown answers by the number that each holds, the highest first."""
    shown = re.findall(r"Answer (\w+):\n<data id=\"\w+\">\nquality (\d+)\n", request.last)
    tiers = [[label] for label, _ in sorted(shown, key=lambda answer: -int(answer[1]))]
    return said(json.dumps({"steps": [], "result": tiers}), model="a-judge")


@contextmanager
def judged(script: Any = by_quality, **options: Any) -> Iterator[ScriptedJudge]:
    with ScriptedJudge(script) as judge:
        settings = Settings(
            services={"local": Service(base_url=judge.url)},
            models={"*": Model(service="local")},
            prices={"a-judge": Price(input=1, output=1)},
        )
        with use(Services(settings, **options)):
            yield judge


def stored(folder: Path, groups: int = 4, size: int = 3) -> Path:
    """Rows whose best answer is the last of each group."""
    lines = [
        {
            "id": f"{group}-{place}",
            "item": {"question": f"question {group}?", "group": group},
            "output_text": f"quality {10 * place + group}",
        }
        for group in range(groups)
        for place in range(size)
    ]
    path = folder / "outputs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def scores(path: Path) -> dict[str, float | None]:
    """The score of each row by its id; every id once."""
    wires = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({wire["id"] for wire in wires}) == len(wires)
    return {wire["id"]: wire["score"] for wire in wires}


RANKED = {f"{group}-{place}": place / 2 for group in range(4) for place in range(3)}


def test_the_outputs_of_an_item_are_compared_and_the_rows_keep_their_order(tmp_path: Path) -> None:
    with judged():
        summary = grade_file(load(BEST), stored(tmp_path), tmp_path / "grades.jsonl", group="group")
    assert scores(tmp_path / "grades.jsonl") == RANKED
    assert list(scores(tmp_path / "grades.jsonl")) == list(RANKED)
    assert summary.scored is not None
    assert summary.scored.mean == 0.5


def test_a_grader_that_compares_stands_beside_others_and_inside_them(tmp_path: Path) -> None:
    with judged():
        mixed = load({"type": "gate", "name": "mixed", "condition": {**SAID, "reference": "quality 2"}, "grader": BEST})
        graders = {"mixed": mixed, "said": load({**SAID, "reference": "{{item.group}}"})}
        grade_file_with_all(graders, stored(tmp_path), tmp_path / "grades.jsonl", group="group")
    lines = [json.loads(line)["grades"] for line in (tmp_path / "grades.jsonl").read_text().splitlines()]
    alone, two = [0.0, 0.0, 0.5], [0.0, 0.0, 1.0]  # one passed the gate, with nobody to compare with; two did
    assert [line["mixed"]["score"] for line in lines] == [*alone, *alone, *two, *alone]
    assert [line["said"]["score"] for line in lines] == [1.0] * 12


def test_a_grader_that_compares_asks_for_the_key_of_the_group(tmp_path: Path) -> None:
    with judged() as judge:
        with pytest.raises(ValueError, match=r"'best' compares the outputs of one item.*--group KEY"):
            grade_file(load(BEST), stored(tmp_path), tmp_path / "grades.jsonl")
        with pytest.raises(ValueError, match="'best' needs a group"):
            list(grade_many(load(BEST), [("quality 1", {})]))
    assert judge.requests == []


def test_rows_of_a_group_that_do_not_follow_each_other_are_refused_by_place(tmp_path: Path) -> None:
    path = stored(tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[1:], lines[0]]))
    with judged(), pytest.raises(ValueError, match=r"outputs.jsonl:12: rows of the group '0' came before"):
        grade_file(load(BEST), path, tmp_path / "grades.jsonl", group="group")


def test_rows_of_a_group_that_ask_different_things_are_refused(tmp_path: Path) -> None:
    path = stored(tmp_path, groups=1)
    path.write_text(path.read_text().replace("question 0?", "another?", 1))
    asked = {**BEST, "input": [{"role": "user", "content": "{{item.question}}"}]}
    with judged() as judge, pytest.raises(ValueError, match=r"outputs.jsonl:2: item.question is not that of"):
        grade_file(load(asked), path, tmp_path / "grades.jsonl", group="group")
    assert judge.requests == []


def test_a_dry_run_of_groups_counts_every_order_and_asks_nothing(tmp_path: Path) -> None:
    with judged() as judge:
        estimate = price_file({"best": load(BEST)}, stored(tmp_path), group="group")
    assert judge.requests == []
    assert estimate.rows == 12
    assert estimate.unasked == 0
    assert estimate.usage["a-judge"]["calls"] == 8  # four groups in two orders


def test_a_run_that_broke_off_inside_a_group_grades_that_group_anew(tmp_path: Path) -> None:
    out = tmp_path / "grades.jsonl"
    path = stored(tmp_path)
    with judged():
        grade_file(load(BEST), path, out, group="group")
    whole = out.read_text().splitlines(keepends=True)
    (tmp_path / "grades.jsonl.partial").write_text("".join(whole[:7]) + whole[7][:20])
    out.unlink()
    with judged() as judge:
        grade_file(load(BEST), path, out, group="group")
    assert scores(out) == RANKED
    assert len(judge.requests) == 4  # the third and fourth group, in two orders


def test_a_changed_output_of_a_group_makes_the_whole_group_be_judged_anew(tmp_path: Path) -> None:
    out = tmp_path / "grades.jsonl"
    path = stored(tmp_path)
    with judged():
        grade_file(load(BEST), path, out, group="group")
    out.rename(tmp_path / "grades.jsonl.partial")
    path.write_text(path.read_text().replace("quality 23", "quality 1"))  # the last row: now the worst of its group
    with judged() as judge, pytest.warns(GraderWarning, match="3 recorded grades are of another grader or of other"):
        grade_file(load(BEST), path, out, group="group")
    assert scores(out) == RANKED | {"3-0": 0.5, "3-1": 1.0, "3-2": 0.0}
    assert len(judge.requests) == 2


def test_grades_of_two_graders_that_compare_are_of_the_same_rows(tmp_path: Path) -> None:
    path = stored(tmp_path)
    exact = {**SAID, "reference": "quality 2"}
    with judged():
        grade_file(load(BEST), path, tmp_path / "a.jsonl", group="group")
        grade_file(load(exact), path, tmp_path / "c.jsonl")
    a, c = (json.loads((tmp_path / f"{name}.jsonl").read_text().splitlines()[0]) for name in "ac")
    assert a["row"] == c["row"], "a row's hash is its own"
    assert a["group_rows"] != a["row"]
    assert "group_rows" not in c
    assert compare_grades(tmp_path / "a.jsonl", tmp_path / "c.jsonl").warnings == ()
    changed = path.read_text().replace("quality 23", "quality 24")
    path.write_text(changed)
    with judged():
        grade_file(load(BEST), path, tmp_path / "d.jsonl", group="group")
    (warning,) = compare_grades(tmp_path / "c.jsonl", tmp_path / "d.jsonl").warnings
    assert "the graded rows differ (of 1 rows)" in warning, "of the row that differs, not of all in its group"


def test_what_other_graders_read_may_differ_within_a_group(tmp_path: Path) -> None:
    path = stored(tmp_path, groups=1)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for place, line in enumerate(lines):
        line["item"]["own"] = f"quality {10 * place}"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with judged():
        graders = {"best": load(BEST), "said": load({**SAID, "operation": "eq", "reference": "{{item.own}}"})}
        summaries = grade_file_with_all(graders, path, tmp_path / "grades.jsonl", group="group")
    assert summaries["said"].scored is not None
    assert summaries["said"].scored.mean == 1


@pytest.mark.parametrize("options", [{"limit": 4}, {"sample": 4}])
def test_what_would_cut_groups_apart_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    (name,) = options
    with judged() as judge:
        for ask in (price_file, grade_file_with_all):
            with pytest.raises(ValueError, match=rf"{name}=4: 'best' compares the outputs of one item.*--where"):
                ask({"best": load(BEST)}, stored(tmp_path), tmp_path / "g.jsonl", group="group", **options)
        grade_file(load(BEST), stored(tmp_path), tmp_path / "g.jsonl", group="group", where="item.group in [1, 2]")
    assert list(scores(tmp_path / "g.jsonl")) == [f"{group}-{place}" for group in (1, 2) for place in range(3)]
    assert len(judge.requests) == 4


def test_a_run_of_groups_killed_three_times_ends_with_every_row_once(tmp_path: Path) -> None:
    path, out = stored(tmp_path, groups=30), tmp_path / "grades.jsonl"
    (tmp_path / "grader.json").write_text(json.dumps(BEST))
    with ScriptedJudge(lambda request: replace(by_quality(request), seconds=0.02)) as judge:
        judges = {"services": {"local": {"base_url": judge.url}}, "models": {"*": {"service": "local"}}}
        (tmp_path / "judges.yaml").write_text(json.dumps(judges))
        program = "import sys; from rft_loop.cli import main; sys.argv[0] = 'assay'; main()"
        options = ["-o", str(out), "--group", "group", "--judges", str(tmp_path / "judges.yaml"), "--concurrency", "2"]
        command = [sys.executable, "-c", program, "grade", str(tmp_path / "grader.json"), str(path), *options]
        partial = out.with_name("grades.jsonl.partial")
        for kills in range(3):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while process.poll() is None:
                recorded = partial.read_bytes().count(b"\n") if partial.is_file() else 0
                if recorded > 12 * (kills + 1):
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.005)
            process.wait()
        subprocess.run(command, check=True, capture_output=True)
    assert scores(out) == {f"{group}-{place}": place / 2 for group in range(30) for place in range(3)}
