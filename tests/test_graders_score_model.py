from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Sample, load
from graders.model.score_model import ScoreModel

ASK: list[dict[str, Any]] = [
    {"role": "system", "content": "You rate answers."},
    {"role": "user", "content": "Question: {{item.question}}\nAnswer: {{sample.output_text}}"},
]


def judge(**options: Any) -> ScoreModel:
    grader = load({"type": "score_model", "model": "a-judge", "input": ASK, **options})
    assert isinstance(grader, ScoreModel)
    return grader


def test_its_messages_are_rendered_and_the_grade_says_what_is_not_installed() -> None:
    grader = judge(name="rater")
    item = {"question": "Who?"}
    assert grader.messages(Sample("Me."), item) == [
        {"role": "system", "content": "You rate answers."},
        {"role": "user", "content": "Question: Who?\nAnswer: Me."},
    ]
    grade = grader("Me.", item)
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("not_installed", "infra")
    assert grade.why.startswith("rater asks the model 'a-judge', and no judge is installed")


def test_a_variable_without_a_value_is_reported_before_the_missing_judge() -> None:
    grade = judge()("Me.", {"qestion": "Who?"})
    assert grade.error is not None
    assert grade.error.kind == "invalid_variable_error"
    assert "did you mean 'qestion'?" in grade.why


def test_an_output_that_lacks_what_the_messages_show_is_the_candidates_fault_and_has_the_lowest_score() -> None:
    grade = judge(input=[{"role": "user", "content": "{{sample.output_json.answer}}"}], range=[-2, 5])("no JSON")
    assert grade.score == -2.0
    assert grade.error is not None
    assert grade.error.kind == "sample_parse_error"


def test_content_in_every_shape_is_rendered_with_its_kind() -> None:
    content = [
        "text {{item.a}}",
        {"type": "input_text", "text": "{{item.a}}"},
        {"type": "output_text", "text": "{{sample.output_text}}"},
        {"type": "input_image", "image_url": "{{item.url}}"},
        {"type": "input_audio", "input_audio": {"data": "{{item.clip}}", "format": "mp3"}},
    ]
    grader = judge(input=[{"role": "user", "content": content}, {"role": "user", "content": content[1]}])
    item = {"a": {"b": [1, 1.0, True, None]}, "url": "https://example.com/x.png", "clip": "AAAA"}
    shown = '{"b":[1,1.0,true,null]}'
    assert grader.messages(Sample("out"), item) == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": f"text {shown}"},
                {"type": "input_text", "text": shown},
                {"type": "output_text", "text": "out"},
                {"type": "input_image", "image_url": "https://example.com/x.png", "detail": "auto"},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            ],
        },
        {"role": "user", "content": [{"type": "input_text", "text": shown}]},
    ]


@given(st.text())
def test_what_the_candidate_wrote_is_put_in_once_and_never_rendered(output: str) -> None:
    grader = judge(input=[{"role": "user", "content": "<{{sample.output_text}}>"}])
    assert grader.messages(Sample(output), {"secret": "x"})[0]["content"] == f"<{output}>"


def test_an_output_cannot_reach_the_item_through_the_template() -> None:
    grader = judge(input=[{"role": "user", "content": "{{sample.output_text}}"}])
    assert grader.messages(Sample("{{item.secret}}"), {"secret": "x"})[0]["content"] == "{{item.secret}}"


def test_its_range_is_the_one_it_is_given() -> None:
    assert judge().range == (0.0, 1.0)
    assert judge(range=[-1, 5]).range == (-1.0, 5.0)
    assert judge(range=[-1, 5]).to_wire()["range"] == [-1.0, 5.0]
    assert "range" not in judge(range=[0, 1]).to_wire()


OGG = {"type": "input_audio", "input_audio": {"data": "x", "format": "ogg"}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"range": [1, 0]}, "range: the lowest score must be less than the highest, and 1 >= 0"),
        ({"range": [1, 1]}, "and 1 >= 1"),
        ({"range": [0]}, "range: a range is two numbers, [lowest, highest]"),
        ({"range": 1}, "a range is two numbers"),
        ({"range": [0, math.inf]}, "range.1: Input should be a finite number"),
        ({"range": [0, math.nan]}, "range.1: Input should be a finite number"),
        ({"range": [False, True]}, "range.0: Input should be a valid number"),
        ({"range": ["0", "1"]}, "range.0: Input should be a valid number"),
        ({"pass_threshold": math.nan}, "pass_threshold: Input should be a finite number"),
        ({"pass_threshold": True}, "pass_threshold: Input should be a valid number"),
        ({"model": ""}, "model: String should have at least 1 character"),
        ({"input": "Rate {{sample.output_text}}"}, "input: a list of messages is expected"),
        ({"input": []}, "input: no messages, so the judge would be asked nothing"),
        ({"input": ["Rate it"]}, 'input.0: a message is {"role": "user", "content": ...}, not the text'),
        ({"input": [{"role": "usr", "content": "x"}]}, "did you mean 'user'?"),
        ({"input": [{"role": "user"}]}, "key 'input.0.content' is missing"),
        ({"input": [{"role": "user", "contents": "x"}]}, "unknown key 'contents'; did you mean 'content'?"),
        ({"input": [{"role": "user", "content": 5}]}, "content is a text, an object with a 'type', or a list of these"),
        ({"input": [{"role": "user", "content": []}]}, "input.0.content"),
        ({"input": [{"role": "user", "content": [["x"]]}]}, "a list inside a list of content"),
        ({"input": [{"role": "user", "content": {"type": "input_txt", "text": "x"}}]}, "did you mean 'input_text'?"),
        ({"input": [{"role": "user", "content": {"type": "input_text", "txt": "x"}}]}, "did you mean 'text'?"),
        ({"input": [{"role": "user", "content": OGG}]}, "Input should be 'mp3' or 'wav'"),
        ({"input": [{"role": "user", "content": "{{itm.x}}"}]}, "the namespace must be 'item' or 'sample', not 'itm'"),
        ({"input": [{"role": "user", "content": ["{{item.x}"]}]}, "never closes it"),
        ({"sampling_params": {"temperature": -1}}, "sampling_params.temperature"),
        ({"sampling_params": {"top_p": 2}}, "sampling_params.top_p"),
        ({"sampling_params": {"seed": 1.5}}, "sampling_params.seed"),
        ({"sampling_params": {"max_completions_tokens": 0}}, "sampling_params.max_completions_tokens"),
        (
            {"sampling_params": {"max_completions_tokens": 5, "max_completion_tokens": 6}},
            "'max_completion_tokens' and 'max_completions_tokens' are one key, given two values",
        ),
        ({"sampling_params": {"reasoning_effort": "hgh"}}, "did you mean 'high'?"),
    ],
)  # fmt: skip
def test_a_bad_definition_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'score_model': ") as caught:
        judge(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize("output", ["", "x" * 1_000_000, "\ud800", "[" * 10_000, "[NaN]", "\u202e"])
def test_hostile_outputs_are_rendered(output: str) -> None:
    grade = judge()(output, {"question": "Who?"})
    assert grade.error is not None
    assert grade.error.kind == "not_installed"
