"""The loop on a task that a tiny model learns from random weights: which of two letters comes last."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from pyarrow import parquet

from rft_loop.loop import train
from rft_loop.model.checkpoint import sha256
from rft_loop.training import StoppedError
from rft_loop.watching.record import Run, read_events

ROOT = Path(__file__).parent.parent
LETTERS = ROOT / "examples" / "letters"
SMALL = ("steps=6", "items_per_step=4", "group_size=4", "eval_every=2", "save_every=2")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def of_kind(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(run.folder) if event["event"] == kind]


def grader_file(tmp_path: Path, body: str) -> str:
    (tmp_path / "judge.py").write_text(f"import random\ndef judge(sample, item):\n    {body}\n")
    return f"grader={tmp_path / 'judge.py'}:judge"


PARTS = """{type: weighted_sum, weights: {right: 0.8, brief: 0.2}, graders: {
    right: {type: string_check, operation: eq, input: "{{sample.output_text}}", reference: "{{item.last}}"},
    brief: {type: length, max: 1, unit: characters}}}"""


@pytest.mark.parametrize(
    "settings",
    [
        ["advantage=rloo", "loss=reinforce", "aggregation=prompt"],
        ["advantage=maxrl", "loss=cispo", "clip_high=4"],
        ["advantage=reinforce++", "loss=gspo", "updates_per_step=2"],
        ["advantage=batch", "kl.weight=0.05", "importance_correction=token"],
        ["advantage=gdpo", f"grader={PARTS}", "steps=100", "seed=3"],
        ["advantage=mean", "kl.weight=0.01", "kl.place=reward", "kl.estimator=k1"],
    ],
)
def test_every_advantage_and_every_loss_learns(start: Any, settings: list[str]) -> None:
    recipe, run = start("steps=40", *settings)
    train(recipe, run)
    first, *_, best = sorted(event["reward"] for event in of_kind(run, "validation"))
    assert first < 0.1
    assert best > 0.4
    charged = [event["kl"] for event in of_kind(run, "step")]
    assert any(charged) == (recipe.kl.weight > 0 and recipe.kl.place == "loss")


def test_a_step_is_filled_up_with_groups_that_teach_something(start: Any) -> None:
    recipe, run = start(*SMALL, "refill=3", name="filled")
    train(recipe, run)
    plain, other = start(*SMALL, name="plain")
    train(plain, other)
    for step in range(1, 7):
        rows = parquet.read_table(run.samples_file("train", step)).to_pylist()
        groups: dict[int, list[float]] = {}
        for row in rows:
            groups.setdefault(row["group"], []).append(row["reward"])
        assert all(len(rewards) == 4 for rewards in groups.values())
        assert len({row["item"] for row in rows}) == len(groups)  # no item twice
        teaching = sum(max(rewards) > min(rewards) for rewards in groups.values())
        last = len(groups) > 4
        assert teaching >= 4 or last  # enough of them, or it drew more
        first = parquet.read_table(other.samples_file("train", step)).to_pylist()
        assert [row["item"] for row in rows][:16] == [row["item"] for row in first]  # item order is as without
    assert any(len(parquet.read_table(run.samples_file("train", step))) > 16 for step in range(1, 7))


def test_a_filled_run_that_was_broken_ends_with_the_weights_of_an_unbroken_one(start: Any, tmp_path: Path) -> None:
    recipe, run = start(*SMALL, "refill=2", name="whole")
    train(recipe, run)
    broken, part = start(*SMALL, "refill=2", "steps=3", name="broken")
    train(broken, part)
    (part.folder / "summary.json").unlink()
    train(recipe.model_copy(update={"name": "broken"}), part)
    one, two = (sha256(each.checkpoints / "step-6" / "model.safetensors") for each in (run, part))
    assert one == two


def test_graders_that_are_only_watched_are_recorded_and_move_nothing(start: Any, tmp_path: Path) -> None:
    (tmp_path / "brief.json").write_text('{"type": "length", "max": 1, "unit": "characters"}')
    watched, run = start(*SMALL, f"watch.brief={tmp_path / 'brief.json'}", name="watched")
    train(watched, run)
    plain, other = start(*SMALL, name="plain")
    train(plain, other)
    for kind in ("step", "validation"):
        assert all(0 <= event["rewards/brief/mean"] <= 1 for event in of_kind(run, kind))
        rewards = [event["reward"] for event in of_kind(run, kind)]
        assert rewards == [event["reward"] for event in of_kind(other, kind)]


def test_the_best_checkpoint_is_chosen_by_the_figure_that_the_recipe_names(start: Any, tmp_path: Path) -> None:
    """The watched grader likes the first letters of the alphabet, the run's own does not."""
    (tmp_path / "judge.py").write_text(
        "def early(sample, item):\n    return 1 - ord(sample.output_text[:1] or 'Z') / 128\n"
    )
    watched = f"watch.early={tmp_path / 'judge.py'}:early"
    recipe, run = start(*SMALL, "steps=4", "eval_every=1", watched, "best_by=early", name="by-early")
    progress = train(recipe, run)
    figures = {event["step"]: event["rewards/early/mean"] for event in of_kind(run, "validation")}
    assert progress.best_step == max(figures, key=lambda step: figures[step])
    assert progress.best_value == max(figures.values())
    best = next(event for event in of_kind(run, "validation") if event["step"] == progress.best_step)
    assert (best["best"], best["best_by"], best["best_value"]) == (True, "early", progress.best_value)
    summary = json.loads((run.folder / "summary.json").read_text())
    assert (summary["best_by"], summary["best_value"]) == ("early", progress.best_value)
    assert summary["validation_best"] == best["reward"]
    by_part, other = start(*SMALL, f"grader={PARTS}", "best_by=brief", name="by-part")
    progress = train(by_part, other)
    assert progress.best_value == max(event["rewards/brief/mean"] for event in of_kind(other, "validation"))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["best_by=loss"], r"best_by=loss: no figure of a validation; known: reward"),
        ([f"grader={PARTS}", "best_by=breif"], r"did you mean 'brief'\? known: brief, reward, right"),
    ],
)
def test_a_best_by_that_no_validation_has_is_refused_at_the_start(
    start: Any, settings: list[str], complaint: str
) -> None:
    recipe, run = start(*settings)
    with pytest.raises(ValueError, match=complaint):
        train(recipe, run)


def test_a_best_by_that_cannot_be_decided_stops_the_run(start: Any, tmp_path: Path) -> None:
    body = f"import os\ndef broken(sample, item):\n    return 1 / (not os.path.exists({str(tmp_path / 'begun')!r}))\n"
    (tmp_path / "judge.py").write_text(body)
    recipe, run = start(*SMALL, f"watch.broken={tmp_path / 'judge.py'}:broken", "best_by=broken")
    with pytest.raises(StoppedError, match="ZeroDivisionError"):
        train(recipe, run, lambda event: (tmp_path / "begun").touch())


def test_what_was_advised_before_a_break_is_not_advised_again(start: Any) -> None:
    recipe, run = start(*SMALL, "max_new_tokens=1", "steps=8")
    train(recipe, run)
    whole = [(event["step"], event["name"]) for event in of_kind(run, "advice")]
    shutil.rmtree(run.checkpoints / "step-8")
    train(recipe, run)
    assert [(event["step"], event["name"]) for event in of_kind(run, "advice")] == whole


def test_a_run_whose_answers_never_end_says_so_in_its_first_step_and_once(start: Any) -> None:
    recipe, run = start(*SMALL, "max_new_tokens=1")
    train(recipe, run)
    told = [event for event in of_kind(run, "advice") if event["name"] in ("never_ends", "truncated")]
    assert len({event["name"] for event in told}) == len(told)
    assert told[0]["step"] == 1
    assert all("max_new_tokens=1" in event["cause"] for event in told)


def test_gdpo_asks_for_a_grader_with_weights_before_anything_is_trained(start: Any) -> None:
    recipe, run = start("advantage=gdpo")
    with pytest.raises(ValueError, match="weighted_sum"):
        train(recipe, run)


def test_held_out_reward_rises_from_nothing_to_most_of_it(start: Any) -> None:
    recipe, run = start("steps=60")
    train(recipe, run)
    first, *_, best = sorted(event["reward"] for event in of_kind(run, "validation"))
    assert first < 0.1
    assert best > 0.75


def test_rewards_dealt_to_the_wrong_rollouts_teach_nothing(start: Any) -> None:
    recipe, run = start("reward.control=shuffled", "steps=60", "eval_every=60")
    train(recipe, run)
    rows = [json.loads(line) for line in (LETTERS / "validation.jsonl").read_text().splitlines()]
    best_constant = max(Counter(row["last"] for row in rows).values()) / len(rows)
    _, after = (event["reward"] for event in of_kind(run, "validation"))
    assert after <= best_constant + 0.05, "it may settle on one letter by chance, but knows nothing of the question"


def test_the_whole_validation_split_is_answered_before_step_1_every_interval_and_at_the_end(start: Any) -> None:
    recipe, run = start(*SMALL, "steps=5")
    train(recipe, run)
    validations = of_kind(run, "validation")
    assert [event["step"] for event in validations] == [0, 2, 4, 5]
    assert {event["n"] for event in validations} == {56}


def test_the_sampler_and_the_trainer_agree_on_every_log_prob(start: Any) -> None:
    recipe, run = start("steps=10")
    train(recipe, run)
    gaps = [event["sampling/sampling_logp_difference/max"] for event in of_kind(run, "step")]
    assert len(gaps) == 10
    assert max(gaps) < 1e-4


def test_every_rollout_is_recorded_with_its_grade(start: Any) -> None:
    recipe, run = start(*SMALL)
    train(recipe, run)
    for step in range(1, 7):
        rows = parquet.read_table(run.samples_file("train", step)).to_pylist()
        assert len(rows) == 16
        recorded = next(event for event in of_kind(run, "step") if event["step"] == step)
        assert sum(row["reward"] for row in rows) / 16 == pytest.approx(recorded["reward"])
        assert all(row["why"] and json.loads(row["grade"])["grader"].startswith("last_letter@") for row in rows)
        assert all(len(row["token_ids"]) == len(row["logprobs"]) == row["tokens"] for row in rows)


def test_zero_spread_groups_are_counted(start: Any, tmp_path: Path) -> None:
    recipe, run = start(*SMALL, grader_file(tmp_path, "return 0.5"))
    train(recipe, run)
    assert {event["frac_reward_zero_std"] for event in of_kind(run, "step")} == {1.0}
    first, last = (run.checkpoints / name / "model.safetensors" for name in ("step-0", "step-6"))
    assert first.read_bytes() == last.read_bytes(), "nothing to compare, so nothing moves"


def test_the_best_checkpoint_and_step_0_stay_and_the_others_go(start: Any) -> None:
    recipe, run = start("steps=20", "eval_every=4", "save_every=2", "keep_checkpoints=1")
    progress = train(recipe, run)
    kept = {path.name for path in run.checkpoints.iterdir()}
    assert kept == {"step-0", f"step-{progress.best_step}", "step-20"}


def test_a_few_undecided_grades_are_masked_counted_and_do_not_stop_the_run(start: Any, tmp_path: Path) -> None:
    body = "return 1.0 / int(hash(sample.output_text) % 40 > 0) if sample.output_text else 0.5"
    recipe, run = start(*SMALL, "max_error_rate=0.9", grader_file(tmp_path, body))
    train(recipe, run)
    for event in of_kind(run, "step"):
        assert event["undecided"] == sum(event["errors"].values())
        assert event["reward"] is None or event["reward"] >= 0.5, "an undecided grade is never averaged in as 0"


def test_a_run_whose_grader_breaks_stops_and_says_why(start: Any, tmp_path: Path) -> None:
    recipe, run = start(
        *SMALL, grader_file(tmp_path, "return len(sample.output_text) / 0 if sample.output_text else 0")
    )
    with pytest.raises(StoppedError, match=r"other_error.*ZeroDivisionError.*max_error_rate"):
        train(recipe, run)
    assert of_kind(run, "stop")[0]["reason"]
    assert run.samples_file("train", 1).is_file(), "what was sampled and graded stays on record"


def test_a_row_that_its_grader_cannot_grade_is_refused_before_anything_runs(start: Any, tmp_path: Path) -> None:
    lines = (LETTERS / "train.jsonl").read_text().splitlines()
    row = json.loads(lines[2])
    del row["last"]
    lines[2] = json.dumps(row)
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    recipe, run = start(f"train={tmp_path / 'train.jsonl'}")
    with pytest.raises(ValueError, match=r"train\.jsonl:3: grader 'last_letter' cannot grade this row"):
        train(recipe, run)


def test_a_changed_grader_does_not_go_on_with_an_old_run(start: Any, tmp_path: Path) -> None:
    setting = grader_file(tmp_path, "return 0.5 * len(sample.output_text)")
    recipe, run = start(*SMALL, setting)
    train(recipe, run)
    shutil.rmtree(run.checkpoints / "step-6")
    (tmp_path / "judge.py").write_text("def judge(sample, item):\n    return 1.0\n")
    with pytest.raises(ValueError, match="its definition or code has changed"):
        train(recipe, run)


def test_changed_data_does_not_go_on_with_an_old_run(start: Any, tmp_path: Path) -> None:
    data = tmp_path / "train.jsonl"
    shutil.copy(LETTERS / "train.jsonl", data)
    recipe, run = start(*SMALL, f"train={data}")
    train(recipe, run)
    shutil.rmtree(run.checkpoints / "step-6")
    data.write_text("".join(reversed(data.read_text().splitlines(keepends=True))))
    with pytest.raises(ValueError, match="the file of train has changed since"):
        train(recipe, run)


def test_grades_recorded_before_a_break_are_not_made_again(start: Any, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    body = f"print('x', end='', file=(file := open({str(calls)!r}, 'a'))); file.close(); return len(sample.output_text)"
    recipe, run = start(
        "steps=3", "items_per_step=4", "group_size=4", "save_every=3", "eval_every=3", grader_file(tmp_path, body)
    )
    train(recipe, run)
    shutil.rmtree(run.checkpoints / "step-3")
    before = len(calls.read_text())
    train(recipe, run)
    checked_rows = 184 + 56  # asked once each, with an empty output, whenever a run starts
    assert len(calls.read_text()) - before == checked_rows
