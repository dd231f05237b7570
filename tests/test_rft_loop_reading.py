"""What graders see of an answer: not its thinking, and nothing at all where it is not of the form asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from graders import Grade, Sample, as_grader, load
from graders.text.finders import without_thinking
from rft_loop.cli import app
from rft_loop.display.report import write_report
from rft_loop.evaluate import grade_outputs, outputs_of
from rft_loop.grading import grade_each
from rft_loop.items import read_items
from rft_loop.loop import train
from rft_loop.model.policy import Policy, make_policy
from rft_loop.model.scratch import build_model, build_tokenizer
from rft_loop.reading import check_sees_enough, misformed, read
from rft_loop.recipe import Recipe, Scratch, recipe_from
from rft_loop.sampling.rollout import Rollout
from rft_loop.watching.record import Run, read_events

MakePolicy = Callable[..., Policy]
LETTERS = Path(__file__).parent.parent / "examples" / "letters"
SMALL = ("steps=2", "items_per_step=4", "group_size=4", "eval_every=2", "save_every=2")
FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "diagnosis",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"gene": {"type": "string"}},
            "required": ["gene"],
            "additionalProperties": False,
        },
    },
}
SAYS = {"type": "string_check", "operation": "eq", "input": "{{sample.output_json.gene}}", "reference": "FBN1"}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def rollout(policy: Policy, text: str, prompt: str = "abc") -> Rollout:
    tokens = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
    asked = policy.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    return Rollout(tuple(asked), tuple(tokens), (0.0,) * len(tokens), "stop", policy.text(tokens))


def with_tags(policy: Policy, *tags: str, special: bool) -> Policy:
    policy.tokenizer.add_tokens([AddedToken(tag, special=special) for tag in tags], special_tokens=special)
    return policy


@cache
def plain_tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(["abc"], Scratch(tokens="characters"))


# Thinking


@pytest.mark.parametrize("special", [False, True], ids=["plain", "special"])
@pytest.mark.parametrize(
    ("prompt", "written", "seen", "hidden"),
    [
        ("abc", "ab", "ab", ""),
        ("abc", " ab ", " ab ", ""),  # nothing was thought: not a character is touched
        ("abc", "<think>a</think> b", "b", "<think>a</think>"),
        ("abc", "<think>a b c", "", "<think>a b c"),  # cut in the middle of a thought
        ("abc", "a</think>b", "b", "a</think>"),  # the prompt may hold the opening tag in some other way
        ("abc", "<think>a</think>b<think>c", "b", "<think>a</think><think>c"),
        ("abc", "<think>a</think><think>b</think>c", "c", "<think>a</think><think>b</think>"),
        ("abc<think>", "a b", "", "a b"),  # the template opened the thought, and it was never closed
        ("abc<think> ", "a</think> b", "b", "a</think>"),
        ("abc<think></think>", "a b", "a b", ""),  # the template opened and closed it: thinking is off
        ("<think> abc", "a b", "a b", ""),  # somewhere in the question
        ("abc", "<think></think>", "", "<think></think>"),
    ],
)
def test_thinking_is_set_apart_whether_the_tags_are_special_tokens_or_not(
    tiny_policy: MakePolicy, special: bool, prompt: str, written: str, seen: str, hidden: str
) -> None:
    policy = with_tags(tiny_policy(), "<think>", "</think>", special=special)
    (told,) = read(policy.tokenizer, [rollout(policy, written + "<|end|>", prompt)], "think", None)
    assert (told.text, told.thinking) == (seen, hidden)
    assert told.flaw is None
    assert told.tokens == rollout(policy, written + "<|end|>").tokens


@pytest.mark.parametrize(
    ("tag", "seen"), [("think", "<b>a</b>c"), ("b", "c"), ("thinking", "<b>a</b>c"), (None, "<b>a</b>c")]
)
def test_the_tag_has_the_name_that_the_recipe_gives_it(tiny_policy: MakePolicy, tag: str | None, seen: str) -> None:
    policy = with_tags(tiny_policy(), "<b>", "</b>", special=False)
    (told,) = read(policy.tokenizer, [rollout(policy, "<b>a</b>c")], tag, None)
    assert told.text == seen


def test_without_a_tag_graders_see_what_was_decoded(tiny_policy: MakePolicy) -> None:
    policy = with_tags(tiny_policy(), "<think>", "</think>", special=False)
    given = [rollout(policy, "<think>a</think> b", "abc<think>")]
    assert read(policy.tokenizer, given, None, None) == given


@given(st.lists(st.sampled_from(["<think>", "</think>", "a", "b ", " "]), max_size=8).map("".join))
def test_graders_see_what_the_finder_of_thoughts_leaves_and_nothing_is_lost(text: str) -> None:
    (told,) = read(plain_tokenizer(), [Rollout((3,), (4,), (0.0,), "stop", text)], "think", None)
    left = without_thinking(text)
    assert told.text == (left if left == text else left.strip())
    assert len(told.thinking) == len(text) - len(left)


@pytest.mark.parametrize("within", [False, True], ids=["itself", "a part"])
@pytest.mark.parametrize(
    ("tags", "thinking", "refused"),
    [
        (["think", "answer"], "think", "<think>"),
        (["thinking"], "think", "<thinking>"),
        (["answer"], "think", ""),
        (["answer"], "answer", "<answer>"),
        (["think", "answer"], None, ""),
    ],
)
def test_a_grader_that_looks_for_hidden_tags_is_refused(
    tags: list[str], thinking: str | None, refused: str, within: bool
) -> None:
    definition: dict[str, Any] = {"type": "format", "tags": tags}
    if within:
        other = {"type": "length", "max": 9, "unit": "words"}
        definition = {"type": "weighted_sum", "graders": {"form": definition, "brief": other}}
    if not refused:
        check_sees_enough(load(definition), thinking)
        return
    with pytest.raises(ValueError, match=rf"looks for {refused}, which graders do not see .*thinking=null"):
        check_sees_enough(load(definition), thinking)


# response_format


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ('{"gene": "FBN1"}', ""),
        (' {"gene": "FBN1"}\n', ""),
        ('{"gene": 1}', "$.gene: 1 is not of type 'string'"),
        ('{"gene": "FBN1", "why": ""}', "'why'"),
        ("FBN1", "not JSON"),
        ("", "blank"),
        ('```json\n{"gene": "FBN1"}\n```', "not JSON"),
        ('{"gene": NaN}', "not JSON"),
    ],
)
@pytest.mark.parametrize("wire", [FORM, {"type": "json_schema", **FORM["json_schema"]}], ids=["nested", "flat"])  # type: ignore[dict-item]
def test_an_answer_is_held_against_the_schema(
    tiny_policy: MakePolicy, wire: dict[str, Any], text: str, flaw: str
) -> None:
    given = Rollout((3,), (4,), (0.0,), "stop", text)
    (told,) = read(tiny_policy().tokenizer, [given], "think", wire)
    assert told.text == text
    assert told.flaw is not None
    assert bool(told.flaw) == bool(flaw)
    assert flaw.lower() in told.flaw.lower()


def test_the_schema_is_for_what_is_seen_not_for_what_was_thought(tiny_policy: MakePolicy) -> None:
    given = Rollout((3,), (4,), (0.0,), "stop", '<think>{"gene": 1}</think>\n{"gene": "FBN1"}')
    (told,) = read(tiny_policy().tokenizer, [given], "think", FORM)
    assert told.flaw == ""
    assert told.text == '{"gene": "FBN1"}'


def test_an_answer_of_another_form_gets_the_lowest_grade_unread() -> None:
    seen = []

    def judge(sample: Sample, item: Any) -> Grade:
        seen.append(sample.output_json)
        return Grade(1.0, "read")

    asked: list[Any] = [(Sample('{"gene": "A"}'), {}, ""), (Sample("A"), {}, "not JSON"), (Sample("B"), {}, None)]
    grades = grade_each(as_grader(judge), asked, 4)
    assert [grade.score for grade in grades] == [1.0, 0.0, 1.0]
    assert seen == [{"gene": "A"}, None]
    assert grades[1].why == "not of the response_format: not JSON"
    assert grades[1].error is not None
    assert grades[1].error.fault == "candidate"
    assert grades[1].grader == grades[0].grader


def test_the_lowest_grade_is_the_graders_own_and_that_of_its_parts() -> None:
    parts = {"one": {"type": "negate", "grader": SAYS}, "two": SAYS}
    grader = load({"type": "weighted_sum", "graders": parts, "weights": {"one": 0.5, "two": 0.5}})
    grade = misformed(grader, "not JSON")
    low = grader.range[0]
    assert grade.score == low
    assert {name: part.score for name, part in grade.parts.items()} == {
        name: part.range[0] for name, part in grader.members.items()  # type: ignore[attr-defined]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "text"}, "a response_format is {type: json_schema"),
        ({"type": "json_object"}, "a response_format is {type: json_schema"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, 'has no "schema"'),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "objekt"}}}, "objekt"),
    ],
)
def test_a_response_format_of_no_use_is_refused_with_the_recipe(given: dict[str, Any], said: str) -> None:
    base = {"model": "m", "train": "t", "validation": "v", "grader": "g"}
    with pytest.raises(ValueError, match="response_format") as refusal:
        recipe_from(base | {"response_format": given}, "recipe")
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


# In a run


@pytest.fixture
def start(start: Callable[..., tuple[Recipe, Run]]) -> Callable[..., tuple[Recipe, Run]]:
    return partial(start, *SMALL)


def of_kind(run: Run, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(run.folder) if event["event"] == kind]


THOUGHT = ["<think>\nA\n", "</think>\nB", "B", "<think>\nA\n</think>\nB"]


def thinking_rows(folder: Path) -> str:
    """Training rows whose tokens, a line each, are tags and letters, so that answers are random mixtures of them."""
    rows = [
        {"messages": [{"role": "user", "content": f"{a}\n<think>\n</think>\n{b}"}], "last": max(a, b)}
        for a in "ABCD"
        for b in "ABCD"
        if a != b
    ]
    file = folder / "thinking.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"train={file}"


def test_a_run_records_what_graders_saw_and_what_they_did_not(start: Any, tmp_path: Path) -> None:
    watched = tmp_path / "seen.json"
    watched.write_text(json.dumps({"type": "format", "tags": ["seen"]}))
    options = (thinking_rows(tmp_path), "max_new_tokens=6", "temperature=2.0", f"watch.seen={watched}")
    recipe, run = start(*options, "group_size=16")
    train(recipe, run)
    rows = [
        row
        for split, step in [("train", 1), ("train", 2), ("validation", 0)]
        for row in parquet.read_table(run.samples_file(split, step)).to_pylist()
    ]
    thought = [row for row in rows if row["thinking"]]
    assert len(thought) > 10
    assert not any("think>" in row["output_text"] for row in rows)
    assert all("think>" in row["thinking"] for row in thought)
    items = [json.loads(line) for line in (tmp_path / "thinking.jsonl").read_text().splitlines()]
    grader = load(str(LETTERS / "grader.json"))
    for row in rows:
        if row["split"] == "train":
            assert row["score"] == grader(row["output_text"], items[row["item"]]).score
    steps = of_kind(run, "step")
    only = [sum(bool(row["thinking"]) and not row["output_text"] for row in rows if row["step"] == 1) / 64]
    assert steps[0]["completions/thinking_only_ratio"] == pytest.approx(only[0])
    assert "completions/schema_ratio" not in steps[0]


def test_the_report_shows_thinking_folded_beside_the_answer(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.event("validation", step=0, reward=1.0, low=1.0, high=1.0, n=2)
    thought = Rollout((3,), (4,), (0.0,), "stop", "B", "<think>A & B</think>")
    plain = Rollout((3,), (4,), (0.0,), "stop", "B")
    run.write_rollouts("validation", 0, [0, 1], ["a", "b"], [thought, plain], [Grade(1.0, "right")] * 2, None, None, 1)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert page.count("<summary>thinking</summary>") == 1
    assert "&lt;think&gt;A &amp; B&lt;/think&gt;" in page


@pytest.mark.parametrize("options", [(), ("refill=1",)])
def test_a_run_whose_answers_think_goes_on_to_the_same_weights(start: Any, tmp_path: Path, options: Any) -> None:
    from rft_loop.model.checkpoint import sha256

    given = (thinking_rows(tmp_path), "max_new_tokens=6", "temperature=2.0", *options)
    recipe, run = start(*given, name="whole")
    train(recipe, run)
    broken, part = start(*given, "steps=1", name="part")
    train(broken, part)
    (part.folder / "summary.json").unlink()
    train(recipe.model_copy(update={"name": "part"}), part)
    one, two = (sha256(each.checkpoints / "step-2" / "model.safetensors") for each in (run, part))
    assert one == two


def test_thinking_that_a_grader_looks_for_stops_the_run_before_it_starts(start: Any, tmp_path: Path) -> None:
    (tmp_path / "form.json").write_text('{"type": "format", "tags": ["think", "answer"]}')
    recipe, run = start(f"grader={tmp_path / 'form.json'}")
    with pytest.raises(ValueError, match="with thinking=null they see the whole output"):
        train(recipe, run)
    recipe, run = start(f"grader={tmp_path / 'form.json'}", "thinking=null", name="seen")
    train(recipe, run)


def test_answers_of_another_form_are_counted_and_rewarded_0(start: Any, tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"1\n{number}\nx"}], "last": str(number)} for number in range(2, 20)
    ]
    (tmp_path / "numbers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    form = "response_format={type: json_schema, json_schema: {name: n, schema: {type: integer}}}"
    (tmp_path / "any.json").write_text('{"type": "regex", "pattern": "[0-9]"}')
    judge = f"grader={tmp_path / 'any.json'}"  # any answer is right, if only it is of the form
    recipe, run = start(form, f"train={tmp_path / 'numbers.jsonl'}", judge, f"watch.any={tmp_path / 'any.json'}")
    train(recipe, run)
    for step in of_kind(run, "step"):
        told = parquet.read_table(run.samples_file("train", step["step"])).to_pylist()
        wrong = [row for row in told if not row["output_text"].strip().isdigit()]
        assert len(wrong) > 0
        assert step["completions/schema_ratio"] == pytest.approx(1 - len(wrong) / len(told))
        assert step["reward"] == step["rewards/any/mean"] == pytest.approx(step["completions/schema_ratio"])
        assert step["undecided"] == 0
        assert all(row["score"] == 0 and row["why"].startswith("not of the response_format: ") for row in wrong)
    assert all("completions/schema_ratio" in event for event in of_kind(run, "validation"))


def test_a_soft_limit_takes_the_recipes_own_longest_answer(start: Any) -> None:
    recipe, run = start("reward.soft_limit.buffer=2", "reward.soft_limit.charge=0.5")
    train(recipe, run)
    for row in parquet.read_table(run.samples_file("train", 1)).to_pylist():
        charge = 0.5 * max(0, row["tokens"] - 1) / 2  # max_new_tokens is 3
        assert row["reward"] == pytest.approx(row["score"] - charge)


def test_a_soft_limit_wider_than_the_answer_is_refused() -> None:
    base = {"model": "m", "train": "t", "validation": "v", "grader": "g", "max_new_tokens": 32}
    with pytest.raises(ValueError, match=r"reward\.soft_limit\.buffer=64 is more than max_new_tokens=32"):
        recipe_from(base | {"reward": {"soft_limit": {"buffer": 64}}}, "recipe")
    with pytest.raises(ValueError, match="shape none of them"):
        recipe_from(base | {"reward": {"soft_limit": {"buffer": 4}}, "advantage": "gdpo"}, "recipe")


# In `assay eval`


def test_outputs_hold_the_thinking_beside_the_sample(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text(json.dumps({"messages": [{"role": "user", "content": "abc"}]}) + "\n")
    spec = Scratch(tokens="characters", hidden_size=32)
    tokenizer = build_tokenizer(["abc<think>"], spec)
    policy = make_policy(build_model(tokenizer, spec, 0), tokenizer)
    items = read_items(tmp_path / "data.jsonl")
    (plain,) = outputs_of(policy, items, max_new_tokens=6)
    policy.tokenizer.chat_template = "{{ messages[0].content }}<think>"  # a template that opens the thought itself
    (row,) = outputs_of(policy, items, max_new_tokens=6, response_format=FORM)
    assert "thinking" not in plain
    assert row["sample"] == {"output_text": ""}
    assert len(row["thinking"]) > 0
    grades, summary = grade_outputs([row], load(SAYS))
    assert grades[0]["score"] == 0
    assert grades[0]["why"].startswith("not of the response_format: ")
    assert summary.errors == {}
    (shown,) = outputs_of(policy, items, max_new_tokens=6, thinking=None)
    assert shown["sample"]["output_text"] == row["thinking"]


def test_assay_eval_reads_as_the_run_did(start: Any, tmp_path: Path) -> None:
    form = "response_format={type: json_schema, json_schema: {name: n, schema: {type: integer}}}"
    recipe, run = start(form)
    train(recipe, run)
    out = tmp_path / "out.jsonl"
    options = ["--data", str(LETTERS / "validation.jsonl"), "-o", str(out)]
    result = CliRunner().invoke(app, ["eval", str(run.folder), *options])
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(row["why"].startswith("not of the response_format: ") and row["score"] == 0 for row in rows)
    (tmp_path / "form.json").write_text('{"type": "format", "tags": ["think", "answer"]}')
    asked = ["eval", str(run.folder), *options, "--overwrite", "--grader", str(tmp_path / "form.json")]
    refused = CliRunner().invoke(app, asked)
    assert "which graders do not see" in str(refused.exception)
    assert CliRunner().invoke(app, [*asked, "--thinking", ""]).exit_code == 0
