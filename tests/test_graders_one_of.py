from __future__ import annotations

import json
import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grader, Sample, load

CITY = {"names": ["Paris", "Lutetia"], "year": 52}


def one_of(**options: Any) -> Grader:
    return load({"type": "one_of", "reference": "{{item.names}}", **options})


@pytest.mark.parametrize(
    ("output", "ignore", "score"),
    [
        ("Paris", [], 1.0),
        ("Lutetia", [], 1.0),
        ("paris", [], 0.0),
        ("Paris ", [], 0.0),
        ("Paris.", [], 0.0),
        ("paris", ["case"], 1.0),
        (" Paris\n", ["space"], 1.0),
        ("Paris.", ["punctuation"], 1.0),
        ("The Paris", ["articles"], 0.0),  # the space it leaves is not ignored
        ("The Paris", ["articles", "space"], 1.0),
        ("Ｐａｒｉｓ\u200b", ["unicode"], 1.0),
        ("Ｐａｒｉｓ", [], 0.0),
        ("the  paris!", ["case", "space", "punctuation", "articles"], 1.0),
    ],
)
def test_texts_are_equal_but_for_what_is_ignored(output: str, ignore: list[str], score: float) -> None:
    assert one_of(ignore=ignore)(output, CITY).score == score


@pytest.mark.parametrize(
    "output",
    [
        "",
        " ",
        "\u200b",
        "Paris or Lutetia",
        "Paris, Lutetia",
        '["Paris", "Lutetia"]',
        "not Paris",
        "The answer is Paris",
    ],
)
def test_nothing_is_ever_looked_for_inside_a_text(output: str) -> None:
    everything = ["case", "space", "punctuation", "articles", "unicode"]
    assert one_of(ignore=everything)(output, CITY).score == 0


@pytest.mark.parametrize(
    ("reference", "output"),
    [
        ("{{item.names[1]}}", "Lutetia"),
        (["{{item.names[0]}}", "{{item.year}} BC"], "52 BC"),
        ("{{item.year}}", "52"),
        ("Paris", "Paris"),
    ],
)
def test_references_are_a_template_or_several(reference: Any, output: str) -> None:
    assert one_of(reference=reference)(output, CITY).score == 1


def test_a_number_in_a_list_of_references_is_its_json_text() -> None:
    assert one_of()("1.5", {"names": ["x", 1.5]}).score == 1


@pytest.mark.parametrize("names", [[], "", " ", ["Paris", ""], [None], [float("nan")], [["Paris"]], {"Paris": 1}])
def test_a_reference_that_cannot_be_used_leaves_the_grade_undecided(names: Any) -> None:
    grade = one_of()("", {"names": names})
    assert grade.score is None
    assert grade.error is not None
    assert grade.error.kind == "invalid_reference"


def test_a_reference_of_which_nothing_is_left_is_refused() -> None:
    grade = one_of(ignore=["articles", "space"])("", {"names": ["The"]})
    assert grade.score is None
    assert "nothing is left to compare" in grade.why


def test_a_broken_row_is_never_blamed_on_the_candidate() -> None:
    grade = one_of(input="{{sample.output_json.city}}")("not JSON", {})
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("invalid_variable_error", "grader")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": []}, "is no reference"),
        ({"reference": 7}, "is no reference"),
        ({"reference": ["{{item.x"]}, "never closes it"),
        ({"ignore": ["case", "case"]}, "ignored twice"),
        ({"ignore": ["accents"]}, "ignore.0"),
        ({"contains": True}, "unknown key 'contains'"),
    ],
)
def test_bad_definitions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        one_of(**options)


def squad(text: str) -> str:
    """Rajpurkar et al. 2016, evaluation: lower case, no punctuation, no articles, single spaces."""
    lowered = "".join(sign for sign in text.lower() if sign not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", lowered).split())


@given(st.text(alphabet="aAn the.,-'5", max_size=12), st.text(alphabet="aAn the.,-'5", max_size=12))
def test_ignoring_four_things_is_the_exact_match_of_squad(output: str, reference: str) -> None:
    grade = one_of(ignore=["case", "space", "punctuation", "articles"])(output, {"names": reference})
    if squad(reference):
        assert grade.score == float(squad(output) == squad(reference))
    else:
        assert grade.score is None


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1), st.data())
def test_each_reference_earns_full_marks(names: list[str], data: st.DataObject) -> None:
    assert one_of()(data.draw(st.sampled_from(names)), {"names": names}).score == 1


@given(st.text())
def test_any_output_is_decided(output: str) -> None:
    assert one_of(ignore=["unicode", "case", "space"])(output, CITY).score in (0, 1)


def test_a_lone_surrogate_is_only_a_wrong_answer() -> None:
    grade = one_of(ignore=["unicode"])("\ud800", CITY)
    assert grade.score == 0
    json.dumps(grade.to_wire()).encode()


def test_why_shows_the_first_references_of_many() -> None:
    grade = one_of(ignore=["case"])("Rome", {"names": list("abcdef")})
    assert grade.why == "'Rome' equals none of 6 references (ignoring case): 'a', 'b', 'c', 'd', ..."


def test_a_definition_survives_being_written_and_read() -> None:
    grader = one_of(reference=["{{item.a}}", "b"], ignore=["case"])
    again = load(json.loads(json.dumps(grader.to_wire())))
    assert again == grader
    assert again(Sample("B"), {"a": "x"}).score == 1
