from __future__ import annotations

from typing import Any

import pytest

from graders import Sample, load
from graders.model.label_model import LabelModel


def labeller(**options: Any) -> LabelModel:
    definition: dict[str, Any] = {
        "type": "label_model",
        "model": "a-judge",
        "input": [{"role": "user", "content": "{{sample.output_text}}: good or bad?"}],
        "labels": ["good", "bad", "unclear"],
        "passing_labels": ["good"],
    }
    grader = load(definition | options)
    assert isinstance(grader, LabelModel)
    return grader


def test_its_messages_are_rendered_and_the_grade_says_what_is_not_installed() -> None:
    grader = labeller(name="tone")
    assert grader.messages(Sample("Hi"), {}) == [{"role": "user", "content": "Hi: good or bad?"}]
    grade = grader("Hi")
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("not_installed", "infra")
    assert grade.why.startswith("tone asks the model 'a-judge', and no judge is installed")
    assert grader.range == (0.0, 1.0)


def test_a_variable_without_a_value_is_reported_before_the_missing_judge() -> None:
    grade = labeller(input=[{"role": "user", "content": "{{item.question}}"}])("Hi")
    assert grade.error is not None
    assert grade.error.kind == "invalid_variable_error"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": []}, "labels: no label; give at least one"),
        ({"labels": ["good", "bad", "good"]}, "labels: the label 'good' stands twice"),
        ({"labels": ["good", ""]}, "labels.1: String should have at least 1 character"),
        ({"labels": "good"}, "labels: Input should be a valid list"),
        ({"labels": ["good", 1]}, "labels.1: Input should be a valid string"),
        ({"passing_labels": []}, "passing_labels: no label; give at least one"),
        ({"passing_labels": ["good", "good"]}, "passing_labels: the label 'good' stands twice"),
        ({"passing_labels": ["god"]}, "passing_labels: 'god' is not among the labels; did you mean 'good'?"),
        ({"input": "x"}, "input: a list of messages is expected"),
        ({"model": ""}, "model: "),
    ],
)
def test_a_bad_definition_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'label_model': ") as caught:
        labeller(**options)
    assert message in str(caught.value)
