from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grader, load

THINK = {"tags": ["think", "answer"]}


def form(**options: Any) -> Grader:
    return load({"type": "format", **options})


@pytest.mark.parametrize(
    ("options", "output"),
    [
        (THINK, "<think>a</think><answer>b</answer>"),
        (THINK, "\n<think>\na < b\n</think>\n\n<answer>b</answer>\n"),
        ({"tags": ["answer"]}, "<think>a</think><answer>b</answer>"),
        ({"fence": "json"}, "Here:\n```json\n{}\n```\nDone."),
        ({"fence": "json"}, "~~~ JSON\n{}\n~~~"),
        ({"fence": ""}, "```\nx\n```"),
        ({"fence": "md"}, "````md\n```\nx\n```\n````"),
        ({"fence": "python"}, "<think>```python\nx\n```</think>\n```python\ny\n```"),
        ({"valid_json": True}, ' {"a": 1} '),
        ({"valid_json": True}, "[]"),
        ({"valid_json": True, "fence": "json"}, 'Here:\n```json\n{"a": 1}\n```'),
        ({"valid_json": True, **THINK}, "<think>a</think><answer>[1]</answer>"),
        ({"final_answer": "boxed"}, "so \\boxed{\\frac{1}{2}} it is"),
        ({"final_answer": "boxed"}, "\\boxed{\\}}"),
        ({"final_answer": "boxed"}, "\\boxed {4}"),
        ({"final_answer": "boxed"}, "\\boxed{\\boxed{4}}"),
        ({"final_answer": "boxed"}, "<think>\\boxed{1}</think>\\boxed{2}"),
        ({"final_answer": "boxed", **THINK}, "<think>\\boxed{1}</think><answer>\\boxed{2}</answer>"),
        ({"final_answer": "line"}, "because\n**Answer:** 4\n"),
        ({"final_answer": "line"}, "Final answer: 4"),
    ],
)
def test_the_form_that_was_asked_for_scores_1(options: dict[str, Any], output: str) -> None:
    grade = form(**options)(output)
    assert (grade.score, grade.why[:4]) == (1, "met:"), grade.why


@pytest.mark.parametrize(
    ("options", "output", "problem"),
    [
        (THINK, "", "<think>: missing"),
        (THINK, "<think></think><answer>b</answer>", "<think>: empty"),
        (THINK, "<think> \n\u200b</think><answer>b</answer>", "<think>: empty"),
        (THINK, "<think>a</think></think><answer>b</answer>", "closed 2 times"),
        (THINK, "<think>a<think>b</think></think><answer>b</answer>", "opened 2 and closed 2 times"),
        (THINK, "<think>a</think>", "<answer>: missing"),
        (THINK, "<think>a</think><answer>b", "<answer>: never closed"),
        (THINK, "<think>a</think><answer>b</answer><answer>c</answer>", "opened 2"),
        (THINK, "</think>a<think><answer>b</answer>", "closed before it is opened"),
        (THINK, "<answer>b</answer><think>a</think>", "another order"),
        (THINK, "<think>a<answer>b</answer></think>", "in each other"),
        (THINK, "<answer><think>a</think>b</answer>", "in each other"),
        (THINK, "<think>a<answer></think>b</answer>", "in each other"),
        (THINK, "Sure! <think>a</think><answer>b</answer>", "text outside the tags"),
        (THINK, "<think>a</think>so<answer>b</answer>", "text outside the tags"),
        (THINK, "<think>a</think><answer>b</answer>.", "text outside the tags"),
        (THINK, "<THINK>a</THINK><answer>b</answer>", "<think>: missing"),
        (THINK, "<think id=1>a</think><answer>b</answer>", "<think>: missing"),
        ({"tags": ["answer"]}, "<think><answer>b</answer></think>", "<answer>: missing"),
        ({"fence": "json"}, "{}", "0 blocks"),
        ({"fence": "json"}, "```json\n{}", "never closed"),
        ({"fence": "json"}, "```\n{}\n```", "marked '' instead of 'json'"),
        ({"fence": "json"}, "```python\n{}\n```", "marked 'python'"),
        ({"fence": "json"}, "```json\n\n```", "the block is empty"),
        ({"fence": "json"}, "```json\n{}\n```\n```json\n{}\n```", "2 blocks"),
        ({"fence": "json"}, "<think>\n```json\n{}\n```\n</think>", "0 blocks"),
        ({"valid_json": True}, "", "not JSON"),
        ({"valid_json": True}, "{'a': 1}", "not JSON"),
        ({"valid_json": True}, "```json\n{}\n```", "not JSON"),
        ({"valid_json": True}, '{"a": NaN}', "NaN is not JSON"),
        ({"valid_json": True}, '{"a": 1, "a": 2}', "stands twice"),
        ({"valid_json": True}, "1", "neither an object nor an array"),
        pytest.param({"valid_json": True}, "[" * 100_000, "nested too deeply", id="100,000 brackets"),
        pytest.param({"valid_json": True}, "[" + "9" * 10_000 + "]", "not JSON", id="10,000 digits"),
        ({"final_answer": "boxed"}, "4", "0 boxed answers"),
        ({"final_answer": "boxed"}, "\\boxed{}", "the box is empty"),
        ({"final_answer": "boxed"}, "\\boxed{4", "never closed"),
        ({"final_answer": "boxed"}, "\\boxed{4}, or \\boxed{5}", "2 boxed answers"),
        ({"final_answer": "boxed"}, "<think>\\boxed{4}</think>", "0 boxed answers"),
        ({"final_answer": "line"}, "4", "0 lines"),
        ({"final_answer": "line"}, "Answer: 4\nAnswer: 5", "2 lines"),
        ({"final_answer": "line"}, "Answer: 4\nor so", "not the last"),
        ({"final_answer": "line"}, "Answer:", "empty"),
        ({"final_answer": "line"}, "The answer: 4", "0 lines"),
    ],
)
def test_what_the_form_lacks_scores_0_and_is_named(options: dict[str, Any], output: str, problem: str) -> None:
    grade = form(**options)(output)
    assert grade.score == 0
    assert problem in grade.why


@pytest.mark.parametrize(
    ("output", "score"),
    [
        ("", 0.0),
        ("a", 0.0),
        ("<think>a</think>b", 0.25),
        ("x<think>a</think><answer>b</answer>", 0.75),
        ("<answer>b</answer><think>a</think>", 0.5),
        ("<think></think><answer></answer>", 0.0),
        ("<think><answer>", 0.0),
        ("<think>a</think><answer>b</answer>", 1.0),
    ],
)
def test_partial_credit_is_the_share_of_requirements_met(output: str, score: float) -> None:
    assert form(**THINK, partial=True)(output).score == score


def test_what_is_asked_of_a_missing_part_is_not_met() -> None:
    grade = form(**THINK, final_answer="boxed", valid_json=True, fence="", partial=True)("\\boxed{4}")
    assert grade.score == 0
    assert grade.why.count("no content to look in") == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing is required"),
        ({"tags": ["a b"]}, "not a name"),
        ({"tags": ["<think>"]}, "not a name"),
        ({"tags": ["a", "a"]}, "named twice"),
        ({"fence": "a b"}, "not a language"),
        ({"fence": "json", "partial": True}, "no effect"),
        ({"final_answer": "last"}, "final_answer"),
        ({"json": True}, "unknown key 'json'"),
    ],
)
def test_bad_definitions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        form(**options)


PIECES = ["<think>", "</think>", "<answer>", "</answer>", "```json\n", "\n```\n", "{}", "\\boxed{", "}", "a", "\n", " "]


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_any_output_is_decided_and_all_or_nothing_agrees_with_the_share(pieces: list[str]) -> None:
    options = {**THINK, "fence": "json", "valid_json": True, "final_answer": "boxed"}
    whole, share = form(**options)("".join(pieces)), form(**options, partial=True)("".join(pieces))
    assert whole.score in (0, 1)
    assert (whole.score == 1) == (share.score == 1)
    json.dumps(whole.to_wire())


@pytest.mark.parametrize("piece", ["<think>", "</think>", "```\n", "\\boxed{", "{", "Answer:\n", "<think>a</think>"])
def test_a_long_output_is_read_in_no_time(piece: str) -> None:
    for options in (THINK, {"fence": ""}, {"final_answer": "boxed"}, {"final_answer": "line"}, {"valid_json": True}):
        form(**options)(piece * (1_000_000 // len(piece)))


def test_a_definition_survives_being_written_and_read() -> None:
    grader = form(**THINK, fence="", valid_json=True, final_answer="line", partial=True)
    assert load(json.loads(json.dumps(grader.to_wire()))) == grader
