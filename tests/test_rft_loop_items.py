"""Rows are checked before anything is spent on them, and a complaint says in which line of which file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graders import Grade, as_grader, load
from graders.grader import Grader
from rft_loop.items import check_gradable, prompts_of, read_items
from rft_loop.model.policy import Policy

MakePolicy = Callable[..., Policy]
GOOD = {"messages": [{"role": "user", "content": "abc"}], "gene": "FBN1"}


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def write(folder: Path, *rows: Any) -> Path:
    """Rows as JSON Lines; a string is a line as it stands."""
    file = folder / "data.jsonl"
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


# Reading


def test_rows_come_with_their_places_and_blank_lines_count_as_lines(tmp_path: Path) -> None:
    file = write(tmp_path, GOOD, "", GOOD | {"gene": "NF1"})
    rows = read_items(file)
    assert [row["gene"] for row in rows.rows] == ["FBN1", "NF1"]
    assert rows.places == [f"{file}:1", f"{file}:3"]
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{not json", "not JSON"),
        ("[1, 2]", "a JSON object is expected, not list"),
        ({}, "messages"),
        ({"prompt": "a", "x": 1}, "no 'messages'; rename 'prompt': messages: [{role: user, content: ...}]"),
        ({"prompt": [user("a")]}, "no 'messages'; rename 'prompt' to 'messages'"),
        ({"question": "a", "answer": "b"}, "no 'messages' (it has: question, answer)"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": {"role": "user"}}, "messages"),
        ({"messages": ["hello"]}, "a message is {role, content} with text as content, not 'hello'"),
        ({"messages": [{"role": "user"}]}, "with text as content"),
        ({"messages": [user(None)]}, "with text as content"),
        ({"messages": [user([{"type": "text", "text": "hi"}])]}, "with text as content"),
        ({"messages": [{"role": "doctor", "content": "hi"}]}, "role 'doctor' is none of system, developer, user"),
        ({"messages": [{"content": "hi"}]}, "role None is none of"),
        (
            {"messages": [user("hi"), assistant("yes")]},
            "last message must be the user's (the model answers it), not 'a",
        ),
        ({"messages": [{"role": "system", "content": "be kind"}]}, "last message must be the user's"),
    ],
    ids=str,
)
def test_a_malformed_row_is_refused_with_file_and_line(tmp_path: Path, row: Any, said: str) -> None:
    file = write(tmp_path, GOOD, GOOD, row)
    with pytest.raises(ValueError, match=r".") as refusal:
        read_items(file)
    message = str(refusal.value)
    assert message.startswith(f"{file}:3: ")
    assert said in message
    assert "\n" not in message


def test_rows_to_learn_from_end_with_the_answer(tmp_path: Path) -> None:
    file = write(tmp_path, {"messages": [user("q"), assistant("a")]})
    assert len(read_items(file, "assistant")) == 1
    with pytest.raises(ValueError, match=r"data\.jsonl:1: the last message must be the assistant's .*not 'user'"):
        read_items(write(tmp_path, GOOD), "assistant")


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_file_without_rows_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.jsonl").write_text(text)
    with pytest.raises(ValueError, match=r"data\.jsonl: no rows"):
        read_items(tmp_path / "data.jsonl")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no data file .*nothing\.jsonl"):
        read_items(tmp_path / "nothing.jsonl")


def test_a_long_message_is_not_quoted_whole(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.\.\.") as refusal:
        read_items(write(tmp_path, {"messages": [user(["x" * 10_000])]}))
    assert len(str(refusal.value)) < 400


# What the grader could never decide

RANK = {"type": "rank", "reference": "{{ item.gene }}", "allowed": ["FBN1", "NF1"]}
CHECK = {
    "type": "string_check",
    "input": "{{ sample.output_text }}",
    "reference": "{{ item.gene }}",
    "operation": "eq",
}


@pytest.mark.parametrize("row", [{"messages": GOOD["messages"]}, GOOD | {"gene": "XYZ9"}], ids=["missing", "unknown"])
def test_a_row_whose_reference_is_missing_or_not_allowed_is_named(tmp_path: Path, row: dict[str, Any]) -> None:
    items = read_items(write(tmp_path, GOOD, row))
    with pytest.raises(ValueError, match=r"data\.jsonl:2: grader 'rank' cannot grade this row: .*") as refusal:
        check_gradable(load(RANK), items)
    assert "gene" in str(refusal.value) or "XYZ9" in str(refusal.value)


def test_a_template_variable_that_is_nowhere_is_named(tmp_path: Path) -> None:
    items = read_items(write(tmp_path, GOOD))
    with pytest.raises(
        ValueError, match=r"data\.jsonl: grader 'string_check' cannot grade its rows: reference: .*gnee"
    ):
        check_gradable(load(CHECK | {"reference": "{{ item.gnee }}"}), items)


def test_rows_that_can_be_graded_pass_though_an_empty_output_scores_nothing(tmp_path: Path) -> None:
    items = read_items(write(tmp_path, GOOD, GOOD | {"gene": "NF1"}))
    check_gradable(load(RANK), items)
    check_gradable(load(CHECK), items)


def test_a_grader_that_waits_on_a_network_is_not_asked(tmp_path: Path) -> None:
    class Costly(Grader):
        type: str = "costly"

        async def grade_async(self, sample: object, item: object) -> Grade:
            raise AssertionError("asked")

    check_gradable(Costly(), read_items(write(tmp_path, GOOD)))


def test_a_function_that_raises_is_named_with_its_row(tmp_path: Path) -> None:
    def judge(sample: Any, item: Any) -> float:
        return float(item["weight"])

    with pytest.raises(ValueError, match=r"data\.jsonl:1: grader 'judge' cannot grade this row: KeyError: 'weight'"):
        check_gradable(as_grader(judge), read_items(write(tmp_path, GOOD)))


# Prompts


def test_a_prompt_longer_than_the_recipe_allows_is_named(tmp_path: Path, tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    items = read_items(write(tmp_path, GOOD, {"messages": [user("a" * 30)]}))
    assert [len(prompt) for prompt in prompts_of(policy, items, 10, max_prompt_tokens=33)] == [6, 33]
    with pytest.raises(ValueError, match=r"data\.jsonl:2: the prompt has 33 tokens; max_prompt_tokens is 32"):
        prompts_of(policy, items, 10, max_prompt_tokens=32)


def test_a_prompt_that_leaves_no_room_for_the_answer_is_named(tmp_path: Path, tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()  # a context of 128
    items = read_items(write(tmp_path, {"messages": [user("a" * 100)]}))
    assert len(prompts_of(policy, items, max_new_tokens=25)[0]) == 103
    with pytest.raises(ValueError, match="103 prompt tokens and max_new_tokens=26 exceed the model's context of 128"):
        prompts_of(policy, items, max_new_tokens=26)


# Roles, as chat templates know them

TURN = "{% for message in messages %}%s{% endfor %}<|assistant|>"
ALL = TURN.replace("%s", "<|{{ message.role }}|>{{ message.content }}")
NAMES_DEVELOPER = TURN.replace(
    "%s", "{% if message.role == 'developer' %}[dev {{ message.content }}]{% else %}{{ message.content }}{% endif %}"
)
KNOWS_SYSTEM = TURN.replace(
    "%s",
    "{% if message.role == 'system' %}[sys {{ message.content | trim }}]"
    "{% elif message.role in ['user', 'assistant'] %}{{ message.content }}"
    "{% else %}{{ raise_exception('Unknown role') }}{% endif %}",
)
REFUSES = TURN.replace(
    "%s",
    "{% if message.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ message.content }}",
)
LEAVES_OUT = TURN.replace("%s", "{% if message.role in ['user', 'assistant'] %}{{ message.content }}{% endif %}")
ALTERNATES = TURN.replace(
    "%s",
    "{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}"
    "{% endif %}{{ message.content }}",
)


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize(
    ("template", "wanted"),
    [
        (ALL, {"system": "<|system|>bea<|user|>abc", "developer": "<|system|>bea<|user|>abc"}),
        (KNOWS_SYSTEM, {"system": "[sys bea]abc", "developer": "[sys bea]abc"}),
        (NAMES_DEVELOPER, {"system": "beaabc", "developer": "[dev bea]abc"}),
    ],
)
def test_a_system_or_developer_message_stands_in_the_prompt(
    tmp_path: Path, tiny_policy: MakePolicy, template: str, wanted: dict[str, str], role: str
) -> None:
    policy = tiny_policy()
    policy.tokenizer.chat_template = template
    file = write(tmp_path, {"messages": [{"role": role, "content": "bea"}, user("abc")]})
    ids = prompts_of(policy, read_items(file), max_new_tokens=4)[0]
    assert ids == policy.tokenizer(wanted[role] + "<|assistant|>", add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("role", ["system", "developer"])
@pytest.mark.parametrize(
    ("template", "said"),
    [
        (REFUSES, "the model's chat template refuses these messages (System role not supported)"),
        (LEAVES_OUT, "the model's chat template leaves the {role} message out"),
    ],
)
def test_a_message_that_the_template_does_not_know_is_refused_with_row_and_remedy(
    tmp_path: Path, tiny_policy: MakePolicy, template: str, said: str, role: str
) -> None:
    policy = tiny_policy()
    policy.tokenizer.chat_template = template
    file = write(tmp_path, GOOD, GOOD, {"messages": [{"role": role, "content": "bea"}, user("abc")]})
    with pytest.raises(ValueError, match=r".") as refusal:
        prompts_of(policy, read_items(file), max_new_tokens=4)
    message = str(refusal.value)
    assert message.startswith(f"{file}:3: {said.format(role=role)}")
    assert "at the head of the user's message" in message
    assert "\n" not in message


def test_turns_in_an_order_that_the_template_refuses_are_named(tmp_path: Path, tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    policy.tokenizer.chat_template = ALTERNATES
    good = {"messages": [user("a"), assistant("b"), user("c")]}
    assert len(prompts_of(policy, read_items(write(tmp_path, good)), max_new_tokens=4)) == 1
    bad = {"messages": [user("a"), user("c")]}
    with pytest.raises(ValueError, match=r"data\.jsonl:2: the model's chat template refuses .*Roles must alternate"):
        prompts_of(policy, read_items(write(tmp_path, good, bad)), max_new_tokens=4)


def test_the_assistants_earlier_turns_are_part_of_the_prompt(tmp_path: Path, tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    file = write(tmp_path, {"messages": [user("a"), assistant("b"), user("c")]})
    (prompt,) = prompts_of(policy, read_items(file), max_new_tokens=4)
    asked = policy.tokenizer("<|user|>a\n<|assistant|>b\n<|end|><|user|>c\n<|assistant|>", add_special_tokens=False)
    assert prompt == asked["input_ids"]


def test_other_keys_of_a_row_and_of_a_message_change_no_prompt_and_reach_the_grader(
    tmp_path: Path, tiny_policy: MakePolicy
) -> None:
    policy = tiny_policy()
    tools = [{"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}]
    file = write(tmp_path, GOOD, GOOD | {"tools": tools, "messages": [user("abc") | {"name": "ada"}]})
    items = read_items(file)
    one, other = prompts_of(policy, items, max_new_tokens=4)
    assert one == other
    reader = load(CHECK | {"reference": "{{item.tools[0].function.name}}"})
    assert reader("look_up", items.rows[1]).score == 1


def test_a_base_model_without_a_template_reads_every_message(tmp_path: Path, tiny_policy: MakePolicy) -> None:
    policy = tiny_policy()
    policy.tokenizer.chat_template = None
    file = write(tmp_path, {"messages": [{"role": "developer", "content": "bea"}, user("abc")]})
    (prompt,) = prompts_of(policy, read_items(file), max_new_tokens=4)
    assert prompt == policy.tokenizer("bea\n\nabc\n\n")["input_ids"]
