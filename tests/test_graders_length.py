from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grader, load


def length(**options: Any) -> Grader:
    return load({"type": "length", "unit": "words", **options})


@pytest.mark.parametrize(
    ("unit", "output", "count"),
    [
        ("words", "", 0),
        ("words", "one two\nthree", 3),
        ("words", "  one   two  ", 2),
        ("words", "well-known don't 3.5", 3),
        ("words", "one - two ... ! three", 3),
        ("words", "- - - * * *", 0),
        ("words", "\u200b \u200b a\u200bb", 1),
        ("words", "日本語", 1),
        ("characters", "", 0),
        ("characters", "abc", 3),
        ("characters", "  a  b\n\n\nc ", 5),
        ("characters", "e\u0301", 1),
        ("characters", "日本語", 3),
        ("characters", "a\u200b\u200b\u200b", 1),
        ("characters", "\u00a0\u2003", 0),
        ("characters", "a" + "\u0301" * 49, 1),
        ("characters", "q\u0323\u20dd", 1),
        ("words", "\u3164 " * 50, 0),
        ("words", "\uffa0 \u115f \u1160", 0),
        ("lines", "\u2800\n\u2800\n\u2800", 0),
        ("lines", "a\n\ufe0f\n\u00ad", 1),
        ("lines", "", 0),
        ("lines", "a\n\n \nb\n", 2),
        ("lines", "\n\n\n", 0),
        ("lines", "a\r\nb", 2),
    ],
)
def test_units_are_counted_and_padding_is_not(unit: str, output: str, count: int) -> None:
    assert length(unit=unit, min=0, max=count)(output).score == 1
    assert length(unit=unit, min=count + 1)(output).score == 0
    if count > 1:
        assert length(unit=unit, min=count, max=count)(output).score == 1
        assert length(unit=unit, max=count - 1)(output).score == 0


@pytest.mark.parametrize(
    ("options", "words", "score"),
    [
        ({"max": 3}, 3, 1.0),
        ({"max": 3}, 4, 0.0),
        ({"max": 3}, 0, 0.0),  # no text is not a short text
        ({"max": 3, "min": 0}, 0, 1.0),
        ({"max": 0, "min": 0}, 0, 1.0),
        ({"max": 3, "slack": 4}, 4, 0.75),
        ({"max": 3, "slack": 4}, 7, 0.0),
        ({"max": 3, "slack": 4}, 100, 0.0),
        ({"max": 3, "slack": 4}, 0, 0.0),
        ({"min": 5, "slack": 10}, 4, 0.9),
        ({"min": 5, "slack": 10}, 0, 0.0),
        ({"min": 5}, 1000, 1.0),
        ({"min": 2, "max": 2, "slack": 0.5}, 3, 0.0),
    ],
)
def test_credit_falls_from_the_bounds_over_the_slack(options: dict[str, Any], words: int, score: float) -> None:
    assert length(**options)(" ".join(["word"] * words)).score == pytest.approx(score)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "tokens", "max": 3}, "unit"),
        ({"min": 5, "max": 3}, "raise max or lower min"),
        ({"max": 0}, "set min to 0"),
        ({"min": 0}, "set min or max"),
        ({"slack": 3}, "no effect"),
        ({"max": 3, "slack": -1}, "slack"),
        ({"max": 3, "slack": float("inf")}, "slack"),
        ({"max": 2.5}, "max"),
    ],
)
def test_bad_definitions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        length(**options)


@given(st.text(), st.sampled_from(["words", "characters", "lines"]))
def test_any_output_is_decided(output: str, unit: str) -> None:
    grade = length(unit=unit, min=2, max=5, slack=3)(output)
    assert grade.score is not None
    assert 0 <= grade.score <= 1
    json.dumps(grade.to_wire())


@given(st.text(), st.sampled_from([" ", "\n", "\t\n ", "\u200b", "\u2060"]), st.sampled_from(["words", "characters"]))
def test_padding_that_shows_nothing_never_changes_the_grade(output: str, padding: str, unit: str) -> None:
    grader = length(unit=unit, min=3, max=6, slack=2)
    assert grader(output + padding * 5).score == grader(output).score


@given(st.integers(1, 60), st.integers(1, 60))
def test_more_excess_never_earns_more(one: int, other: int) -> None:
    grader = length(max=10, slack=20)
    fewer, more = sorted([max(one, 10), max(other, 10)])
    assert (grader("w " * fewer).score or 0) >= (grader("w " * more).score or 0)


def test_why_says_how_far_off_it_is() -> None:
    assert length(min=2, max=3)("one two").why == "2 words, within 2 to 3"
    assert length(min=2)("one").why == "1 word, 1 fewer than 2"
    assert length(max=2, slack=2)("a b c").why == "3 words, 1 more than 2: credit 0.5"


def test_a_definition_survives_being_written_and_read() -> None:
    grader = length(min=2, max=4, slack=1.5)
    grader("a")
    assert load(json.loads(json.dumps(grader.to_wire()))) == grader
