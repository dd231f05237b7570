from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, precision_recall_fscore_support

from graders import Grader, load
from graders.text.classification import classification_report

TONES = ["negative", "neutral", "positive"]


def tone(**options: Any) -> Grader:
    return load({"type": "classification", "reference": "{{item.tone}}", "labels": TONES, **options})


@pytest.mark.parametrize(
    "output",
    [
        "positive",
        "Positive",
        " POSITIVE\n",
        "positive.",
        '"positive"',
        "**Positive**",
        "**Positive.**",
        "`positive`",
        "po\u200bsitive",
        "positive\u00ad",
        "\u201cpositive\u201d",
        "\u2018positive\u2019.",
        "Positive!",
        "$positive$",
        "\\(positive\\)",
        '**"Positive"!**',
        "ｐｏｓｉｔｉｖｅ",
        "<think>negative? neutral?</think>positive",
    ],
)
def test_a_label_in_any_dress_is_read(output: str) -> None:
    grade = tone()(output, {"tone": "Positive"})
    assert (grade.score, grade.extracted) == (1, "positive")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "blank"),
        (" \n", "blank"),
        ("<think>positive", "blank"),
        ("positive or negative", "several labels: 'negative, positive'"),
        ("positive, neutral, negative", "several labels"),
        ("positive\nneutral", "several labels"),
        ("positive positive", "is not only that"),
        ("not positive", "'positive' but is not only that"),
        ("The tone is positive", "'positive' but is not only that"),
        ("good", "is not one of the labels"),
        ("positives", "is not one of the labels"),
        ("posit\u0456ve", "is not one of the labels"),  # a Cyrillic letter
        ('["positive"]', "is not only that"),
    ],
)
def test_anything_but_one_label_fails_as_unreadable(output: str, reason: str) -> None:
    for right in TONES:
        grade = tone(ordinal=True)(output, {"tone": right})
        assert (grade.score, grade.extracted) == (0, None)
        assert reason in grade.why
        assert grade.error is not None
        assert grade.error.kind == "sample_parse_error"


@pytest.mark.parametrize(
    ("options", "output", "right", "score"),
    [
        ({}, "neutral", "positive", 0.0),
        ({"ordinal": True}, "neutral", "positive", 0.5),
        ({"ordinal": True}, "negative", "positive", 0.0),
        ({"ordinal": True}, "positive", "positive", 1.0),
        ({"credit": {"positive": {"neutral": 0.3}}}, "neutral", "positive", 0.3),
        ({"credit": {"positive": {"neutral": 0.3}}}, "positive", "neutral", 0.0),  # the table has a direction
        ({"aliases": {"good": "positive"}}, "Good", "positive", 1.0),
        ({"aliases": {"good": "positive"}}, "positive", "good", 1.0),
    ],
)
def test_a_wrong_label_earns_what_the_definition_says(
    options: dict[str, Any], output: str, right: str, score: float
) -> None:
    assert tone(**options)(output, {"tone": right}).score == score


@pytest.mark.parametrize("right", ["good", "", ["positive"] * 2, [], True, {"positive": 1}])
def test_a_reference_that_is_no_label_leaves_the_grade_undecided(right: Any) -> None:
    for output in ("positive", "nonsense"):
        grade = tone()(output, {"tone": right})
        assert grade.score is None
        assert grade.error is not None
        assert grade.error.kind == "invalid_reference"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ["one"]}, "at least 2"),
        ({"labels": ["a", "A "]}, "stands twice"),
        ({"labels": ["a", " "]}, "blank"),
        ({"aliases": {"good": "fine"}}, "not a label"),
        ({"aliases": {"neutral": "positive"}}, "itself a label"),
        ({"ordinal": True, "credit": {"positive": {"neutral": 0.5}}}, "keep one"),
        ({"credit": {"positive": {"positive": 0.5}}}, "always 1"),
        ({"credit": {"positive": {"good": 0.5}}}, "not among the labels"),
        ({"credit": {"positive": {"neutral": 1.5}}}, "outside 0 to 1"),
        ({"credit": {"positive": {"neutral": float("nan")}}}, "outside 0 to 1"),
    ],
)
def test_bad_definitions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tone(**options)


@given(st.text())
def test_any_output_is_decided(output: str) -> None:
    grade = tone(ordinal=True)(output, {"tone": "neutral"})
    assert grade.score in (0, 0.5, 1)
    json.dumps(grade.to_wire())


@given(st.sampled_from(TONES), st.sampled_from(TONES))
def test_only_the_right_label_earns_full_marks(output: str, right: str) -> None:
    assert (tone(ordinal=True)(output, {"tone": right}).score == 1) == (output == right)


def test_the_report_agrees_with_scikit_learn() -> None:
    draw = random.Random(7)
    for _ in range(200):
        labels = "abcd"[: draw.randint(2, 4)]
        pairs = [(draw.choice(labels), draw.choice(labels)) for _ in range(draw.randint(2, 30))]
        golds, guesses = zip(*pairs, strict=True)
        ours = classification_report(pairs)
        names = sorted(set(golds) | set(guesses))
        columns = precision_recall_fscore_support(golds, guesses, labels=names, zero_division=0)
        for place, name in enumerate(names):
            one = ours.labels[name]
            assert (one.precision, one.recall, one.f1, one.support) == pytest.approx([c[place] for c in columns])
        assert ours.macro_f1 == pytest.approx(sum(columns[2]) / len(names))
        if ours.kappa is None:
            assert len(names) == 1
        else:
            assert ours.kappa == pytest.approx(cohen_kappa_score(golds, guesses))


def test_an_unreadable_output_is_counted_apart_and_never_right() -> None:
    report = classification_report([("a", "a"), ("b", None), ("b", "b"), ("a", None)])
    assert (report.unreadable, report.accuracy) == (2, 0.5)
    assert (report.labels["a"].precision, report.labels["a"].recall) == (1, 0.5)
    assert list(report.labels) == ["a", "b"]


def test_a_report_on_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        classification_report([])


def test_a_definition_survives_being_written_and_read() -> None:
    grader = tone(credit={"positive": {"neutral": 0.3}}, aliases={"good": "positive"})
    grader("good", {"tone": "positive"})
    again = load(json.loads(json.dumps(grader.to_wire())))
    assert again == grader
    assert again.identity == grader.identity
