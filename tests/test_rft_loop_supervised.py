"""Supervised steps of a recipe, and the comparison of the two methods."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rft_loop.commands.train import train as train_command
from rft_loop.display.report import write_report
from rft_loop.learning.optimizer import make_optimizer
from rft_loop.loop import train
from rft_loop.model.checkpoint import sha256
from rft_loop.model.export import model_card
from rft_loop.recipe import Recipe, load_recipe, recipe_from
from rft_loop.supervised import Pair, learn
from rft_loop.watching.record import Run, create_run, read_events

ROOT = Path(__file__).parent.parent
LETTERS = ROOT / "examples" / "letters"
SMALL = ("steps=6", "items_per_step=4", "group_size=4", "eval_every=2", "save_every=2")
ANSWERS = ("method=supervised", 'supervised.answers="{{item.last}}"')


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def recipe_of(**options: Any) -> Recipe:
    unused = dict.fromkeys(("model", "train", "validation", "grader"), "unused") | {"validation": "held out"}
    return recipe_from(unused | options, "test")


def of_kind(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(run.folder) if event["event"] == kind]


def answered(path: Path) -> Path:
    rows = [json.loads(line) for line in (LETTERS / "train.jsonl").read_text().splitlines()]
    for row in rows:
        row["messages"].append({"role": "assistant", "content": row["last"]})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_supervised_steps_learn_the_answers(start: Any) -> None:
    recipe, run = start(*ANSWERS, "steps=120", "eval_every=40")
    train(recipe, run)
    losses = [event["loss"] for event in of_kind(run, "step")]
    assert losses[0] > 2
    assert sum(losses[-10:]) / 10 < 0.5 * losses[0]
    first, *_, best = sorted(event["reward"] for event in of_kind(run, "validation"))
    assert best > first + 0.2
    assert not list((run.folder / "samples").glob("part-train-*")), "nothing is sampled"


def test_a_file_of_answers_teaches_what_the_same_answers_by_a_template_teach(start: Any, tmp_path: Path) -> None:
    by_template, one = start(*ANSWERS, *SMALL, name="template")
    train(by_template, one)
    file = answered(tmp_path / "answers.jsonl")
    by_file, two = start("method=supervised", f"supervised.answers={file}", *SMALL, name="file")
    train(by_file, two)
    weights = "step-6/model.safetensors"
    assert sha256(one.checkpoints / weights) == sha256(two.checkpoints / weights)
    file.write_text(file.read_text() + "\n")
    shutil.rmtree(two.checkpoints / "step-6")
    with pytest.raises(ValueError, match=r"the file of supervised\.answers has changed"):
        train(by_file, two)


def test_the_step_does_not_depend_on_how_its_rows_are_split(start: Any) -> None:
    figures = []
    for rows in (2, 16):
        recipe, run = start(*ANSWERS, *SMALL, f"micro_batch_rows={rows}", name=f"rows-{rows}")
        train(recipe, run)
        figures.append([event["loss"] for event in of_kind(run, "step")])
    assert figures[0] == pytest.approx(figures[1], abs=1e-5)


def test_a_broken_supervised_run_ends_with_the_weights_of_an_unbroken_one(start: Any) -> None:
    recipe, whole = start(*ANSWERS, *SMALL, name="whole")
    train(recipe, whole)
    short, part = start(*ANSWERS, *SMALL, "steps=3", name="broken")
    train(short, part)
    (part.folder / "summary.json").unlink()
    train(recipe.model_copy(update={"name": "broken"}), part)
    weights = "step-6/model.safetensors"
    assert sha256(whole.checkpoints / weights) == sha256(part.checkpoints / weights)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (["method=supervised"], "method=supervised needs supervised.answers"),
        (["method=imitation"], "method"),
        (["method=supervised", 'supervised.answers="{{item.lost}}"'], r"train\.jsonl:1: supervised\.answers=.*lost"),
        (["method=supervised", "supervised.answers=nowhere.jsonl"], r"supervised\.answers=.*: no such file"),
        (["supervised.answer=x"], "did you mean 'answers'"),
    ],
)
def test_what_supervised_steps_cannot_learn_is_refused(start: Any, settings: list[str], complaint: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=complaint):
        train(*start(*settings))


def test_card_and_report_of_a_supervised_run_say_what_it_is(start: Any) -> None:
    recipe, run = start(*ANSWERS, *SMALL)
    train(recipe, run)
    card = model_card(recipe, 6, {}, read_events(run.folder))
    assert "trained by supervised fine-tuning with Assay: 6 steps of 4 written answers." in card
    page = write_report(run.folder).read_text()
    assert "Supervised loss" in page
    assert "zero spread" not in page
    assert "sampled" not in page.split("Where the time went")[1].split("</section>")[0]


# The step


LENGTHS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 9)), min_size=1, max_size=6)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LENGTHS, st.integers(1, 6), st.sampled_from([None, 1, 25]), st.booleans())
def test_the_gradient_of_a_supervised_step_does_not_depend_on_how_the_batch_is_split(
    tiny_policy: Any, lengths: list[tuple[int, int]], rows: int, tokens: int | None, tied: bool
) -> None:
    chance = random.Random(str(lengths))
    words = range(7, 24)
    pairs: list[Pair] = [(chance.choices(words, k=one), chance.choices(words, k=two)) for one, two in lengths]
    found = []
    splits: list[dict[str, Any]] = [{"micro_batch_rows": 256}, {"micro_batch_rows": rows, "micro_batch_tokens": tokens}]
    for split in splits:
        policy = tiny_policy(tie_word_embeddings=tied)
        one = recipe_of(max_grad_norm=1e9, **split)
        loss, norm = learn(policy, make_optimizer(policy, one), pairs, 1e-4, one)
        gradient = torch.cat([p.grad.flatten() for p in policy.model.parameters() if p.grad is not None]).double()
        found.append((loss, norm, gradient))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-6)
    assert (found[1][2] - found[0][2]).norm() <= 1e-6 * found[0][2].norm()


def test_the_logits_of_a_supervised_step_never_exist_all_at_once(
    tiny_policy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    policy, one = tiny_policy(), recipe_of()
    policy.model.lm_head.register_forward_hook(lambda module, given, logits: made.append(logits.numel()))
    monkeypatch.setattr("rft_loop.learning.logprobs.MOST_LOGITS", 100)
    learn(policy, make_optimizer(policy, one), [([5, 9, 6], [10, 11, 1]), ([5, 12, 13, 6], [7, 8, 9, 1])], 1e-4, one)
    assert made
    assert max(made) <= 100


# Against


def test_one_command_trains_both_from_one_start_and_compares_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "test.jsonl"
    data.write_text("".join((LETTERS / "validation.jsonl").read_text().splitlines(keepends=True)[:40]))
    settings = [*SMALL, f"runs={tmp_path}", ANSWERS[1], "supervised.learning_rate=1e-2"]
    train_command(str(LETTERS / "recipe.yaml"), settings, None, "supervised", data)
    told = capsys.readouterr().out
    run, other = tmp_path / "letters", tmp_path / "letters-supervised"
    weights = "checkpoints/step-0/model.safetensors"
    assert (run / weights).read_bytes() == (other / weights).read_bytes(), "both begin with the same weights"
    twin = json.loads((other / "recipe.json").read_text())
    assert (twin["method"], twin["steps"]) == ("supervised", 6)
    assert not any(event["event"] == "warm_start" for event in read_events(other))
    assert {event["learning_rate"] for event in read_events(other) if event["event"] == "step"} <= {
        1e-2 * step / 10 for step in range(1, 11)
    }
    summary = json.loads((run / "summary.json").read_text())
    assert [row["name"] for row in summary["rows"]] == ["start", "supervised", "reinforcement"]
    assert {row["split"] for row in summary["rows"]} == {"test"}
    _, supervised, reinforced = (row["reward"] for row in summary["rows"])
    assert summary["against_supervised"]["mean"] == pytest.approx(reinforced - supervised)
    assert "reinforcement - supervised: " in told
    assert "that both checkpoints were chosen by" not in told
    assert "against_supervised" not in (run / "report.html").read_text()

    before = sha256(other / "checkpoints" / "step-6" / "model.safetensors")
    train_command(
        None, None, run, "supervised", LETTERS / "validation.jsonl"
    )  # finished runs are compared again, not trained again
    assert "that both checkpoints were chosen by" in capsys.readouterr().out
    assert sha256(other / "checkpoints" / "step-6" / "model.safetensors") == before


@pytest.mark.parametrize(
    ("settings", "against", "complaint"),
    [
        ([], "supervised", "needs the answers to learn"),
        ([*ANSWERS], "supervised", "the recipe's is supervised"),
        ([ANSWERS[1]], "rewards", "the methods to compare with are: supervised"),
        (['supervised.answers="{{item.lost}}"'], "supervised", "lost"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(
    tmp_path: Path, settings: list[str], against: str, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        train_command(str(LETTERS / "recipe.yaml"), [f"runs={tmp_path}", *settings], None, against, None)
    assert not list(tmp_path.iterdir())


def test_a_twin_of_another_recipe_or_an_earlier_start_is_refused(tmp_path: Path) -> None:
    from rft_loop.against import check_comparable, open_twin, twin_of

    recipe = load_recipe(LETTERS / "recipe.yaml", [f"runs={tmp_path}", *SMALL, ANSWERS[1]])
    create_run(twin_of(recipe))
    check_comparable(recipe, None)
    with pytest.raises(ValueError, match=r"letters-supervised was trained with another steps: delete it"):
        check_comparable(recipe.model_copy(update={"steps": 7}), None)
    run = create_run(recipe)
    manifest = run.checkpoints / "step-0" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    with pytest.raises(ValueError, match="from an earlier start"):
        open_twin(recipe, run)
