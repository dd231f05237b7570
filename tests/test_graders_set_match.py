from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import fbeta_score, jaccard_score, precision_score, recall_score

from graders import Grade, Grader, Sample, load

ALL = list("abcdefgh")
SETS = st.lists(st.sampled_from(ALL), max_size=8)


def matched(**options: Any) -> Grader:
    return load({"type": "set_match", "reference": "{{item.genes}}", **options})


def decided(grade: Grade) -> float:
    assert grade.score is not None, grade.why
    return grade.score


@pytest.mark.parametrize(
    ("options", "output", "score"),
    [
        ({}, "a, b, x", 2 / 3),
        ({"metric": "precision"}, "a, b, x", 2 / 3),
        ({"metric": "recall", "max_length": 9}, "a, b, x", 2 / 3),
        ({"metric": "jaccard"}, "a, b, x", 0.5),
        ({"metric": "exact"}, "a, b, x", 0.0),
        ({"metric": "exact"}, "c, a, b", 1.0),
        ({"metric": "precision"}, "a", 1.0),
        ({"metric": "f_beta", "beta": 2}, "a", 5 / 13),
        ({"metric": "f_beta", "beta": 0.5}, "a", 1.25 / 1.75),
        ({}, "x", 0.0),
        ({}, "[]", 0.0),
        ({}, '["A", " b ", "C"]', 1.0),
        ({}, "- a\n- b\n- c", 1.0),
        ({"read": "json", "path": "genes"}, '{"genes": ["a", "b", "c"]}', 1.0),
        ({"case_sensitive": True}, "A, b, c", 2 / 3),
        ({"aliases": {"alpha": "a"}}, "Alpha, b, c", 1.0),
        ({"aliases": {"alpha": "a"}}, "alpha, a, b, c", 1.0),
    ],
)
def test_sets_are_compared_by_the_metric(options: dict[str, Any], output: str, score: float) -> None:
    assert matched(**options)(output, {"genes": ["a", "b", "c"]}).score == pytest.approx(score)


@pytest.mark.parametrize(
    ("reference", "output", "score"),
    [
        ("a", "a", 1.0),
        ("a, b", "a, b", 0.0),  # a text is one name, and the output two
        ("a, b", '["a, b"]', 1.0),
        ([1, 2], "[2, 1]", 1.0),
        (["a", "A"], "a", 1.0),
    ],
)
def test_the_reference_is_a_name_or_a_list(reference: Any, output: str, score: float) -> None:
    assert matched()(output, {"genes": reference}).score == score


@pytest.mark.parametrize("metric", ["f1", "precision", "recall", "jaccard", "exact"])
@pytest.mark.parametrize(
    ("reference", "output", "score"),
    [
        ([], "[]", 1.0),
        ([], "```json\n[]\n```", 1.0),
        ([], "none", 1.0),
        ([], "None.", 1.0),
        ([], "- none", 1.0),
        ([], "**None**", 1.0),
        ([], '["none"]', 1.0),
        ([], "a", 0.0),
        ([], "none, a", 0.0),
        ([], '["\u200b"]', 0.0),
        (["a"], "[]", 0.0),
        (["a"], "none", 0.0),
    ],
)
def test_two_empty_sets_are_equal_and_one_empty_set_shares_nothing(
    metric: str, reference: list[str], output: str, score: float
) -> None:
    grader = matched(metric=metric, empty=["none"], max_length=9)
    assert grader(output, {"genes": reference}).score == score


@pytest.mark.parametrize("read", ["auto", "json", "lines", "comma"])
def test_brackets_around_nothing_are_the_empty_set_however_lists_are_read(read: str) -> None:
    for output in ("[]", " [ ]\n", "```\n[]\n```"):
        assert matched(read=read)(output, {"genes": []}).score == 1
        assert matched(read=read)(output, {"genes": ["a"]}).score == 0


@pytest.mark.parametrize("output", ["", " \n", ",", "``````", "no findings, sir" * 0])
@pytest.mark.parametrize("reference", [[], ["a"]])
def test_a_blank_output_is_not_an_empty_set(output: str, reference: list[str]) -> None:
    grade = matched()(output, {"genes": reference})
    assert grade.score == 0
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")


@pytest.mark.parametrize(
    ("options", "output", "score"),
    [
        ({}, "a, a, A, b, c", 1.0),  # dropped
        ({"repeated": 0.5}, "a, a, A, b, c", 0.25),
        ({"repeated": 0.5, "metric": "exact"}, "a, b, c, c", 0.5),
        ({"allowed": ALL, "invented": 0.5}, "a, b, c, x", 6 / 7 * 0.5),
        ({"allowed": ALL, "invented": 0.5}, "a, b, c, d", 6 / 7),
        ({"allowed": ALL}, ", ".join(ALL), 0.5),  # f1 of one right name; 6/11 without the rule
        ({"allowed": ALL, "metric": "recall", "max_length": 9}, ", ".join(ALL), 1 / 3),
        ({"allowed": ALL, "metric": "recall", "max_length": 9}, ", ".join([*ALL, "x"]), 1 / 3),
        ({"allowed": ["a", "b", "c"]}, "a, b, c", 1.0),  # everything is right
        ({"allowed": "{{item.all}}"}, ", ".join(ALL), 0.5),
        ({"max_length": 3}, "a, b, c, d", 0.0),
        ({"max_length": 3}, "a, b, c, c", 1.0),
    ],
)
def test_duplicates_inventions_and_stuffing_earn_nothing(options: dict[str, Any], output: str, score: float) -> None:
    grade = matched(**options)(output, {"genes": ["a", "b", "c"], "all": ALL})
    assert grade.score == pytest.approx(score)


@pytest.mark.parametrize("genes", [None, True, "", ["a", ""], ["a", None], [["a"]], {"a": 1}, ["z"]])
def test_a_reference_that_cannot_be_used_leaves_the_grade_undecided(genes: Any) -> None:
    for output in ("a", ""):
        grade = matched(allowed=ALL)(output, {"genes": genes})
        assert grade.score is None
        assert grade.error is not None
        assert grade.error.kind == ("invalid_variable_error" if genes is None else "invalid_reference")


@pytest.mark.parametrize("output", ['{"genes": "a"}', '["a", {}]', "[null]", '["\\u200b"]', '[""]', "[[]]"])
def test_what_is_no_list_of_names_fails_as_unreadable(output: str) -> None:
    grade = matched()(output, {"genes": ["a"]})
    assert grade.score == 0
    assert grade.error is not None
    assert grade.error.kind == "sample_parse_error"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "recall"}, "set max_length"),
        ({"metric": "f2"}, "metric"),
        ({"metric": "f_beta"}, "beta other than 1"),
        ({"beta": 2}, "beta other than 1"),
        ({"beta": -1}, "beta"),
        ({"invented": 0.5}, "no effect without allowed"),
        ({"invented": 0.5, "allowed": ["a"], "metric": "exact"}, "no effect on exact"),
        ({"allowed": []}, "allowed is empty"),
        ({"repeated": 2}, "repeated"),
        ({"empty": [" "]}, "is blank"),
        ({"path": "genes"}, "set read to 'json'"),
        ({"reference": {"a": 1}}, "is no reference"),
        ({"reference": []}, "is no reference"),
        ({"aliases": {"a": "b", "b": "c"}}, "itself an alias"),
    ],
)
def test_bad_definitions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        matched(**options)


@given(SETS, SETS, st.sampled_from([0.3, 0.5, 1.0, 2.0, 7.0]))
def test_scores_agree_with_scikit_learn(given_names: list[str], right: list[str], beta: float) -> None:
    if not (given_names and right):
        return
    truth, guess = [name in right for name in ALL], [name in given_names for name in ALL]
    expected = {
        "precision": precision_score(truth, guess),
        "recall": recall_score(truth, guess),
        "jaccard": jaccard_score(truth, guess),
        "f1" if beta == 1 else "f_beta": fbeta_score(truth, guess, beta=beta),
    }
    for metric, value in expected.items():
        options = {"beta": beta} if metric == "f_beta" else {"max_length": 9} if metric == "recall" else {}
        grade = matched(metric=metric, **options)(json.dumps(given_names), {"genes": right})
        assert decided(grade) == pytest.approx(value, abs=1e-12)


@given(SETS, SETS, st.permutations(ALL), st.sampled_from(["f1", "jaccard", "exact", "precision"]))
def test_order_is_no_matter_and_a_right_name_more_never_earns_less(
    names: list[str], right: list[str], order: list[str], metric: str
) -> None:
    grader, row = matched(metric=metric), {"genes": right}
    score = decided(grader(json.dumps(names), row))
    assert decided(grader(json.dumps(sorted(names, key=order.index)), row)) == score
    for name in set(right) - set(names):
        if right and metric != "exact":
            assert decided(grader(json.dumps([*names, name]), row)) >= score


@given(SETS)
def test_the_reference_itself_earns_full_marks(right: list[str]) -> None:
    grader = matched(allowed=ALL, invented=0.5, repeated=0.5)
    assert decided(grader(json.dumps(sorted(set(right))), {"genes": right})) == 1


@given(st.text())
def test_any_output_is_decided(output: str) -> None:
    grade = matched(repeated=0.5)(output, {"genes": ["a", "b"]})
    assert 0 <= decided(grade) <= 1
    json.dumps(grade.to_wire())


def test_why_names_what_is_missed_and_wrong() -> None:
    grade = matched(repeated=0.9)("FBN1, TGFBR2, fbn1", {"genes": ["FBN1", "SKI"]})
    assert grade.why == (
        "1 of 2 references found in 2 names: precision 0.5, recall 0.5, f1 0.5; missed: 'SKI'; wrong: 'TGFBR2'; "
        "1 duplicate dropped: x0.9; score 0.45"
    )
    assert grade.extracted == ["FBN1", "TGFBR2", "fbn1"]


def test_a_definition_survives_being_written_and_read() -> None:
    grader = matched(metric="f_beta", beta=2, aliases={"x": "a"}, allowed=ALL, invented=0.5, empty=["none"])
    grader("a", {"genes": ["a"]})
    again = load(json.loads(json.dumps(grader.to_wire())))
    assert again == grader
    assert again(Sample("x"), {"genes": ["a"]}).score == 1
