"""The loop with a grader that compares the rollouts of one item: relative rewards, on record."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import parquet

from graders.service.services import Services, use
from graders.service.settings import Model, Service, Settings
from graders.testing.scripted_judge import Reaction, Request, ScriptedJudge, said, verdict
from rft_loop.cli import main
from rft_loop.loop import train
from rft_loop.recipe import Recipe, load_recipe
from rft_loop.training import StoppedError
from rft_loop.watching.record import Run, create_run, read_events

LETTERS = Path(__file__).parent.parent / "examples" / "letters"
SMALL = ("steps=4", "items_per_step=4", "group_size=4", "eval_every=2", "save_every=2")
ANSWER = re.compile(r'^Answer (\w+):\n<data id="(\w+)">\n(.*?)\n</data id="\2">$', re.DOTALL | re.MULTILINE)
TASK = {"role": "user", "content": "The last letter is {{item.last}}."}
GROUP = {"type": "group", "name": "relative", "model": "a-judge", "input": [TASK], "substance": False}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., tuple[Recipe, Run]]:
    def make(grader: dict[str, Any], *settings: str) -> tuple[Recipe, Run]:
        (tmp_path / "grader.json").write_text(json.dumps(grader))
        own = [f"runs={tmp_path}", "name=relative", f"grader={tmp_path / 'grader.json'}"]
        recipe = load_recipe(LETTERS / "recipe.yaml", [*own, *settings])
        return recipe, create_run(recipe)

    return make


@contextmanager
def judging(script: Callable[[Request], Reaction]) -> Iterator[ScriptedJudge]:
    with ScriptedJudge(script) as judge:
        served = Service(base_url=judge.url)
        with use(Services(Settings(services={"local": served}, models={"*": Model(service="local")}))):
            yield judge


def shown(request: Request) -> dict[str, str]:
    return {label: text for label, _, text in ANSWER.findall(request.body["messages"][1]["content"])}


def letter_of(request: Request) -> str:
    return str(request.body["messages"][1]["content"][len("The last letter is ")])


def quality(letter: str, text: str) -> float:
    """How near the first line is to being the letter that is asked for."""
    return float(text.split("\n")[0] == letter)


def honest(request: Request) -> Reaction:
    answers = shown(request)
    letter = letter_of(request)
    ranked = sorted(answers, key=lambda label: -quality(letter, answers[label]))
    return verdict([list(tied) for _, tied in groupby(ranked, key=lambda label: quality(letter, answers[label]))])


def of_kind(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(run.folder) if event["event"] == kind]


def rows_of(run: Run, split: Any, step: int) -> list[dict[str, Any]]:
    return list(parquet.read_table(run.samples_file(split, step)).to_pylist())


def test_the_rollouts_of_an_item_are_rewarded_by_how_they_compare(start: Any) -> None:
    recipe, run = start(GROUP, *SMALL, "group_size=8")
    with judging(honest) as judge:
        train(recipe, run)
    letters = [json.loads(line)["last"] for line in (LETTERS / "train.jsonl").read_text().splitlines()]
    for step in range(1, 5):
        for _, group in groupby(rows_of(run, "train", step), key=lambda row: row["group"]):
            rows = list(group)
            assert len(rows) == 8
            by_quality = [(quality(letters[row["item"]], row["output_text"].rstrip()), row["reward"]) for row in rows]
            for one, reward in by_quality:
                assert all(reward > lower for other, lower in by_quality if other < one)
                assert all(reward == same for other, same in by_quality if other == one)
            assert sum(row["advantage"] for row in rows) == pytest.approx(0, abs=1e-4)
            assert all(json.loads(row["grade"])["grader"].startswith("relative@") for row in rows)
    recorded = [
        json.loads(row["grade"]).get("usage", {}).get("a-judge", {}).get("calls", 0)
        for split, step in [
            ("train", 1),
            ("train", 2),
            ("train", 3),
            ("train", 4),
            ("validation", 2),
            ("validation", 4),
        ]
        for row in rows_of(run, split, step)
    ]
    assert sum(recorded) == len(judge.requests) > 0, "what was asked is on record"


def test_a_model_learns_from_relative_rewards_and_beats_its_own_start_in_validation(start: Any) -> None:
    recipe, run = start(GROUP, "steps=40", "eval_every=20", "save_every=40")
    with judging(honest) as judge:
        train(recipe, run)
    first, *later = [event["reward"] for event in of_kind(run, "validation")]
    assert first == 0.5, "compared with itself"
    assert later[-1] > 0.55
    before = [row["output_text"].rstrip() for row in rows_of(run, "validation", 0)]
    for row, text in zip(rows_of(run, "validation", 40), before, strict=True):
        after = row["output_text"].rstrip()
        pair = any(set(shown(request).values()) == {after, text} for request in judge.requests)
        assert pair or after == text
        assert row["score"] in (0.0, 0.5, 1.0)


def test_a_group_inside_another_grader_is_still_judged_together(start: Any) -> None:
    exact = {"type": "rank", "reference": "{{item.last}}", "read": "lines"}
    recipe, run = start({"type": "weighted_sum", "graders": {"judge": GROUP, "exact": exact}}, *SMALL)
    with judging(honest) as judge:
        train(recipe, run)
    assert any(len(shown(request)) > 2 for request in judge.requests)
    parts = [json.loads(row["grade"])["parts"] for row in rows_of(run, "train", 1)]
    assert all(set(part) == {"judge", "exact"} for part in parts)


def test_grades_of_groups_recorded_before_a_break_are_not_made_again(start: Any) -> None:
    recipe, run = start(GROUP, *SMALL, "steps=2")
    with judging(honest):
        train(recipe, run)
    shutil.rmtree(run.checkpoints / "step-2")
    with judging(lambda request: said("nonsense")) as judge:
        train(recipe, run)
    assert judge.requests == []


def test_a_group_that_was_undecided_before_a_break_is_judged_anew_and_no_other(start: Any) -> None:
    def half_broken(request: Request) -> Reaction:
        return honest(request) if letter_of(request) > "M" else said("nonsense")

    recipe, run = start(GROUP, *SMALL, "steps=1", "items_per_step=12", "max_error_rate=0.95")
    with judging(half_broken):
        train(recipe, run)
    before = rows_of(run, "train", 1)
    assert 0 < sum(row["score"] is None for row in before) < len(before)
    shutil.rmtree(run.checkpoints / "step-1")
    with judging(honest):
        train(recipe, run)
    for row, old in zip(rows_of(run, "train", 1), before, strict=True):
        assert row["score"] is not None
        assert row["grade"] == old["grade"] or old["score"] is None


def test_a_judge_that_breaks_stops_the_run_and_says_why(start: Any) -> None:
    recipe, run = start(GROUP, *SMALL)
    with judging(lambda request: said("nonsense")), pytest.raises(StoppedError, match="model_grader_parse_error"):
        train(recipe, run)
    assert run.samples_file("train", 1).is_file(), "what was sampled and graded stays on record"


def test_a_row_that_the_judges_task_needs_more_of_is_refused_before_anything_runs(start: Any) -> None:
    task = {"role": "user", "content": "{{item.lost}}"}
    recipe, run = start({**GROUP, "input": [task]}, *SMALL)
    with judging(honest) as judge, pytest.raises(ValueError, match=r"cannot grade its rows: input\.0\.content"):
        train(recipe, run)
    assert judge.requests == []


@pytest.mark.parametrize("wrap", [lambda part: part, lambda part: {"type": "negate", "grader": part}])
def test_a_group_grader_for_smaller_groups_than_the_recipes_is_refused_before_anything_runs(
    start: Any, wrap: Callable[[Any], Any]
) -> None:
    recipe, run = start(wrap({**GROUP, "max_size": 3}), *SMALL)
    words = "'relative' compares at most max_size=3 outputs, and group_size is 4; raise max_size, or lower group_size"
    with judging(honest) as judge, pytest.raises(ValueError, match=words):
        train(recipe, run)
    assert judge.requests == []
    assert not any(run.checkpoints.iterdir()) if run.checkpoints.is_dir() else True


def test_eval_refuses_a_grader_of_groups_before_it_loads_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    grader = tmp_path / "grader.json"
    grader.write_text(json.dumps(GROUP))
    out = tmp_path / "outputs.jsonl"
    data = LETTERS / "validation.jsonl"
    asked = ["assay", "eval", tmp_path / "no-model", "--data", data, "--grader", grader, "-o", out]
    monkeypatch.setattr(sys, "argv", [str(argument) for argument in asked])
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr().err
    assert end.value.code not in (0, None)
    assert "'relative' compares the outputs of one item, and here each item has one" in told
    assert "-o OUTPUTS" in told
    assert "assay grade GRADER OUTPUTS -o GRADES --group KEY" in told
    assert not out.exists()


def test_an_answer_of_another_form_has_the_lowest_grade_however_it_compares(start: Any, tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": f"1\n{n}\nx"}], "last": "x"} for n in range(2, 12)]
    (tmp_path / "numbers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    form = "response_format={type: json_schema, json_schema: {name: n, schema: {type: integer}}}"
    recipe, run = start(GROUP, *SMALL, "group_size=3", "max_new_tokens=2", form, f"train={tmp_path / 'numbers.jsonl'}")
    with judging(lambda request: verdict([list(shown(request))])) as judge:  # all are alike to it
        train(recipe, run)
    formed = 0
    for step in range(1, 5):
        for _, group in groupby(rows_of(run, "train", step), key=lambda row: row["group"]):
            told = [(row["output_text"].strip().isdigit(), row["score"], row["why"]) for row in group]
            formed += any(right for right, _, _ in told)
            for right, score, why in told:
                assert why.startswith("not of the response_format: ") != right
                assert (score > 0) == right
    assert 0 < formed < 16
    asked = [set(map(str.strip, shown(request).values())) for request in judge.requests if len(shown(request)) > 1]
    assert all(any(text.isdigit() for text in texts) for texts in asked)  # a group of no such answer costs nothing
