from __future__ import annotations

import sys
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import load
from graders.reference import as_text
from graders.text.finders import boxes, fences, parse_path
from graders.text.marks import INVISIBLE, composed, unmarked, visible

EVERY_SIGN = [chr(point) for point in range(sys.maxunicode + 1)]
MARK_RUN = "a" + "\u0315" * 20_000 + "\u0301" * 20_000
RUNS = [MARK_RUN, "a" + "\u0315\uff9e" * 20_000, "a" + "\u0344\u0315" * 20_000, " ".join([MARK_RUN] * 4)]
EVERY_READER: list[dict[str, Any]] = [
    {"type": "length", "unit": "characters", "max": 5},
    {"type": "one_of", "reference": "x", "ignore": ["unicode", "case"]},
    {"type": "choice", "reference": "B"},
    {"type": "choice", "reference": "B", "options": ["x", "y"]},
    {"type": "classification", "reference": "a", "labels": ["a", "b"]},
    {"type": "set_match", "reference": "a"},
    {"type": "rank", "reference": "a"},
    {"type": "format", "tags": ["answer"]},
    {"type": "number", "reference": 1},
]


@pytest.mark.parametrize("definition", EVERY_READER, ids=lambda definition: definition["type"])
@pytest.mark.parametrize("output", RUNS, ids=["mixed", "half-width", "decomposing", "several"])
def test_long_runs_of_combining_marks_are_read_in_no_time(definition: dict[str, Any], output: str) -> None:
    assert load(definition)(output * 5).score is not None  # minutes, were the runs normalised whole


def test_every_format_character_and_filler_is_invisible() -> None:
    for sign in EVERY_SIGN:
        if unicodedata.category(sign) == "Cf":
            assert INVISIBLE.fullmatch(sign), hex(ord(sign))
    for sign in "\u115f\u1160\u2800\u3164\ufe0f\uffa0\u034f\U000e01ef":
        assert INVISIBLE.fullmatch(sign)
    assert not any(map(INVISIBLE.search, ("aé漢字", "\u0301", "ا", "한", " \n")))


@given(st.text(max_size=40))
def test_what_shows_is_in_form_nfkc_and_stays_so(text: str) -> None:
    form = composed(text)
    assert composed(form) == form
    assert visible(form) == visible(text)


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("**4**", "4"),
        ("***4***", "4"),
        ("`4`", "4"),
        ('"4"', "4"),
        ("\u201c4\u201d", "4"),
        ("\u20184\u2019", "4"),
        ("\u00ab 4 \u00bb", "4"),
        ("$4$", "4"),
        ("$$4$$", "4"),
        ("\\(4\\)", "4"),
        ("\\[4\\]", "4"),
        ('**"4"**', "4"),
        ("**4", "**4"),
        ("$4", "$4"),
        ("**", "**"),
        ("4", "4"),
        ("(4)", "(4)"),
    ],
)
def test_marks_around_an_answer_are_taken_off_in_pairs(text: str, inner: str) -> None:
    assert unmarked(text) == inner


@pytest.mark.parametrize(
    ("text", "contents", "unclosed"),
    [
        ("\\boxed{4}", ["4"], False),
        ("\\boxed {4}", ["4"], False),
        ("\\boxed{\\boxed{4}}", ["\\boxed{4}"], False),
        ("\\boxed{\\}}", ["\\}"], False),
        ("\\boxed{1} \\boxed{2}", ["1", "2"], False),
        ("\\boxed{1} \\boxed{2", ["1"], True),
        ("{4}", [], False),
    ],
)
def test_boxes_are_the_outermost_with_their_braces_balanced(text: str, contents: list[str], unclosed: bool) -> None:
    assert boxes(text) == (contents, unclosed)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```json\n{}\n```", [("json", "{}", True)]),
        ("~~~json\n{}\n~~~", [("json", "{}", True)]),
        ("a\n```\nb\nc\r\n```\nd", [("", "b\nc", True)]),
        ("````\n```\n````", [("", "```", True)]),
        ("```\n~~~\n```", [("", "~~~", True)]),
        ("```\n```", [("", "", True)]),
        ("```x\n1\n```\n~~~ y z\n2\n~~~", [("x", "1", True), ("y", "2", True)]),
        ("```\n1", [("", "1", False)]),
        ("inline ```a``` code", []),
    ],
)
def test_fences_are_of_backticks_or_tildes(text: str, found: list[tuple[str, str, bool]]) -> None:
    assert [(block.language, block.content, block.closed) for block in fences(text)] == found


def test_a_path_leads_by_keys_and_places() -> None:
    assert parse_path("[0].a-b.c[-1]") == (0, "a-b", "c", -1)
    with pytest.raises(ValueError, match="'a b' is not a path into JSON; write it as"):
        parse_path("a b")


@pytest.mark.parametrize(
    ("value", "text"),
    [("x", "x"), (1, "1"), (1.0, "1"), (-0.5, "-0.5"), (1e300, "1e+300"), (True, "true"), (False, "false")],
)
def test_a_reference_is_the_text_of_its_json_and_a_whole_number_has_no_point(value: Any, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize("value", [None, [], {}, float("nan"), float("inf")])
def test_what_is_no_text_and_no_number_has_no_text(value: Any) -> None:
    with pytest.raises(ValueError, match="a text or a number is expected"):
        as_text(value)


@pytest.mark.parametrize(
    ("definition", "output"),
    [
        ({"type": "one_of"}, "1"),
        ({"type": "rank"}, "1"),
        ({"type": "rank"}, "[1.0, 2]"),
        ({"type": "set_match"}, "[1]"),
        ({"type": "classification", "labels": ["0", "1"]}, "1"),
        ({"type": "choice", "options": ["0", "1"]}, "B"),
        ({"type": "number"}, "1"),
    ],
)
def test_one_with_a_point_is_one_for_every_grader(definition: dict[str, Any], output: str) -> None:
    assert load(definition | {"reference": "{{item.r}}"})(output, {"r": 1.0}).score == 1
    assert load(definition | {"reference": "{{item.r}}"})(output, {"r": 1}).score == 1


@pytest.mark.parametrize("value", [{}, {"r": None}])
@pytest.mark.parametrize(
    "definition",
    [
        {"type": "one_of"},
        {"type": "rank"},
        {"type": "set_match"},
        {"type": "classification", "labels": ["0", "1"]},
        {"type": "choice"},
        {"type": "number"},
        {"type": "text_similarity", "input": "{{sample.output_text}}", "evaluation_metric": "bleu"},
    ],
    ids=lambda definition: definition["type"],
)
def test_a_reference_that_is_missing_or_null_is_an_invalid_variable(
    definition: dict[str, Any], value: dict[str, Any]
) -> None:
    grade = load(definition | {"reference": "{{item.r}}"})("1", value)
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("invalid_variable_error", "grader")


@pytest.mark.parametrize("type_", ["one_of", "rank", "set_match"])
def test_a_tuple_of_references_is_a_list(type_: str) -> None:
    grader = load({"type": type_, "reference": "{{item.r}}"})
    assert grader("a", {"r": ("a", "b")}).score == grader("a", {"r": ["a", "b"]}).score
