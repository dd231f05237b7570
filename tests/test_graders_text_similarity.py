from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import fuzz, utils

from graders import Grader, load


def similarity(**options: Any) -> Grader:
    definition = {"type": "text_similarity", "input": "{{sample.output_text}}", "reference": "{{item.name}}"}
    return load({**definition, "evaluation_metric": "fuzzy_match", **options})


@pytest.mark.parametrize(
    ("output", "reference", "score"),
    [
        ("Marfan syndrome", "Marfan syndrome", 1.0),
        (
            "MARFAN  SYNDROME!",
            "marfan syndrome",
            0.9677,
        ),  # punctuation became a space, and spaces inside count
        ("syndrome, Marfan", "Marfan syndrome", 0.95),  # word order costs 5 %
        ("It may well be Marfan syndrome.", "Marfan syndrome", 0.9),  # contained: 0.9
        ("Marfan syndrome", "It may well be Marfan syndrome.", 0.9),  # either way round
        ("Marfan syndrome" + " or something else" * 10, "Marfan syndrome", 0.6),  # over 8 times as long
        ("marfan syndrom", "Marfan syndrome", 0.9655),
        ("qqqq", "xxxx", 0.0),
        ("", "Marfan syndrome", 0.0),
        ("", "", 0.0),
        ("!!!", "!!!", 0.0),  # no letter, no digit: empty after processing
    ],
)
def test_similar_texts_score_high(output: str, reference: str, score: float) -> None:
    assert similarity()(output, {"name": reference}).score == pytest.approx(score, abs=1e-4)


def test_why_says_what_was_compared() -> None:
    why = similarity()("marfan syndrom", {"name": "Marfan syndrome"}).why
    assert why == "fuzzy_match of 'marfan syndrom' with 'Marfan syndrome' is 0.9655"


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_score_is_rapidfuzz_wratio_and_symmetric(output: str, reference: str) -> None:
    score = similarity()(output, {"name": reference}).score
    assert score is not None
    assert 0 <= score <= 1
    assert score == fuzz.WRatio(output, reference, processor=utils.default_process) / 100
    assert score == pytest.approx(similarity()(reference, {"name": output}).score)


@given(st.text(max_size=40))
def test_a_text_scores_one_against_itself_unless_it_is_empty_after_processing(text: str) -> None:
    expected = 1.0 if utils.default_process(text) else 0.0
    assert similarity()(text, {"name": text}).score == expected


def test_the_pass_threshold_is_kept_and_does_not_change_the_score() -> None:
    grader = similarity(pass_threshold=0.99)
    assert grader("marfan", {"name": "marfam"}).score == similarity()("marfan", {"name": "marfam"}).score
    assert grader.to_wire()["pass_threshold"] == 0.99


@pytest.mark.parametrize("output", ["x " * 500_000, "\ud800 Marfan", "[" * 10_000, "[NaN]", "\x00", "מרפן"])
def test_hostile_outputs_are_decided_and_their_reason_stays_short(output: str) -> None:
    grade = similarity()(output, {"name": "Marfan syndrome"})
    assert grade.score is not None
    assert math.isfinite(grade.score)
    assert len(json.dumps(grade.to_wire())) < 1000


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("cosine", "evaluation_metric: this metric is not supported yet; 'fuzzy_match' is (given: 'cosine')"),
        ("rouge_5", "this metric is not supported yet; 'fuzzy_match' is (given: 'rouge_5')"),
        ("fuzzy", "no such metric; did you mean 'fuzzy_match'?"),
        (["bleu"], "no such metric"),
    ],
)
def test_another_metric_is_refused_when_the_grader_loads(metric: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'text_similarity': ") as caught:
        similarity(evaluation_metric=metric)
    assert message in str(caught.value)
