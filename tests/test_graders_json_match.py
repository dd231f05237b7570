from __future__ import annotations

import itertools
import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grade, Grader, Sample, load
from graders.structured.assignment import best_matching

FUZZY = {
    "type": "text_similarity",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference}}",
    "evaluation_metric": "fuzzy_match",
}
EQUAL = {
    "type": "string_check",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference}}",
    "operation": "eq",
}


def match(**options: Any) -> Grader:
    return load({"type": "json_match", "reference": "{{item.gold}}", **options})


def score(gold: Any, given: Any, **options: Any) -> float:
    grade = match(**options)(json.dumps(given), {"gold": gold})
    assert grade.score is not None, grade.why
    return grade.score


# What is the same


@pytest.mark.parametrize(
    ("gold", "given", "same"),
    [
        (1, 1, True),
        (1, 1.0, True),  # one number in JSON
        (0.1, 0.1, True),
        (1, True, False),
        (0, False, False),
        (True, True, True),
        (1, "1", False),
        ("a", "a", True),
        ("a", "A", False),
        ("a", "a ", False),
        (None, None, True),
        (None, "", False),
        (None, 0, False),
        ("\u00e9", "e\u0301", False),  # composed and decomposed: exact
        (10**30, 10**30, True),
        (10**23, 1e23, False),  # 1e23 is another number as a float
        ([], [], True),
        ([], {}, False),
        ({}, {}, True),
        ({}, None, False),
        ({"a": 1}, [["a", 1]], False),
    ],
)
def test_values_are_the_same_as_json_has_it(gold: Any, given: Any, same: bool) -> None:
    assert score({"x": gold}, {"x": given}) == float(same)
    for lists in ("ordered", "unordered"):
        assert score({"x": [gold]}, {"x": [given]}, lists=lists) == float(same)


# Shares


@pytest.mark.parametrize(
    ("gold", "given", "options", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, {}, 1),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {}, 1),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {}, 1 / 2),
        ({"a": 1, "b": 2}, {"a": 1}, {}, 1 / 2),
        ({"a": 1, "b": 2}, {}, {}, 0),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, {}, 2 / 3),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}, {"extra": "ignore"}, 1),
        ({"a": 1, "b": {"c": 1, "d": 2}}, {"a": 1, "b": {"c": 1}}, {}, 3 / 4),
        ({"a": 1, "b": {"c": 1}}, {"a": 1, "b": 5}, {}, 1 / 2),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"fields": {"a": {"weight": 3}}}, 3 / 4),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"fields": {"b": {"weight": 0}}}, 1),
        ({"a": 1}, {"a": 1, "b": 2}, {"fields": {"b": {"weight": 0}}}, 1),
        ({"a": 1}, {"a": 1, "b": 2}, {"fields": {"b": {"weight": 3}}}, 1 / 4),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1}}, {"fields": {"a.x": {"weight": 3}}}, 3 / 4),
        ([1, 2, 3], [1, 2, 3], {}, 1),
        ([1, 2, 3], [3, 2, 1], {}, 1 / 3),
        ([1, 2, 3], [3, 2, 1], {"lists": "unordered"}, 1),
        ([1, 2, 3], [1, 2], {}, 2 / 3),
        ([1, 2], [1, 2, 3, 4], {}, 1 / 2),
        ([1, 2], [1, 2, 3, 4], {"extra": "ignore"}, 1 / 2),  # a list too long is always charged
        ([1, 1, 2], [1, 2, 2], {"lists": "unordered"}, 2 / 3),
        ([1], [True], {"lists": "unordered"}, 0),
        ([{"a": 1, "b": 2}, {"a": 3, "b": 4}], [{"a": 3, "b": 2}, {"a": 1, "b": 2}], {"lists": "unordered"}, 3 / 4),
        ([[1, 2], [3]], [[3], [2, 1]], {"lists": "unordered"}, 1),
        ([[1, 2], [3]], [[3], [2, 1]], {"lists": "unordered", "fields": {"[][]": {"grader": EQUAL}}}, 1),
        ({"a": [1, 2], "b": [1, 2]}, {"a": [2, 1], "b": [2, 1]}, {"fields": {"a": {"lists": "unordered"}}}, 1 / 2),
        ([], [1], {}, 0),
        ({}, {"a": 1}, {}, 0),
        ({}, {"a": 1}, {"extra": "ignore"}, 1),
        ("a", "a", {}, 1),
    ],
)
def test_the_score_is_the_share_of_weight_that_is_right(
    gold: Any, given: Any, options: dict[str, Any], expected: float
) -> None:
    assert score(gold if not isinstance(gold, str) else json.dumps(gold), given, **options) == pytest.approx(expected)


def test_why_names_the_wrong_fields_with_both_values() -> None:
    gold = {"name": "Ada", "born": 1815, "tags": ["a", "b"], "address": {"city": "London"}, "x": 1}
    given = {"name": "Ada", "born": 1816, "tags": ["b", "c"], "address": {"city": "Paris"}, "y": True}
    grade = match(lists="unordered")(json.dumps(given), {"gold": gold})
    assert grade.score == pytest.approx((1 + 0.5) / 6)
    assert grade.why == (
        "1 of 5 fields right, score 0.25: born is 1816, not 1815; tags[0] is missing ('a' expected); "
        "'c' in tags is not expected; address.city is 'Paris', not 'London'; x is missing (1 expected); "
        "y is not expected"
    )
    assert {name: part.score for name, part in grade.parts.items()} == {
        "name": 1.0,
        "born": 0.0,
        "tags": 0.5,
        "address": 0.0,
        "x": 0.0,
    }
    assert grade.parts["born"].why == "born is 1816, not 1815"
    assert grade.extracted == given


def test_a_long_list_of_faults_is_cut() -> None:
    grade = match()("{}", {"gold": {f"f{number}": number for number in range(100)}})
    assert grade.why.endswith("f7 is missing (7 expected); and more")


def test_a_reference_may_be_json_text_and_the_input_a_part_of_the_output() -> None:
    grader = match(input="{{sample.output_json.answer}}")
    assert grader('{"answer": {"a": "1"}}', {"gold": '{"a": "1"}'}).score == 1
    literal = load({"type": "json_match", "reference": '{"a": {{item.n}}}'})
    assert literal('{"a": 4}', {"n": 4}).score == 1


@pytest.mark.parametrize(
    ("reference", "value", "right"),
    [
        ("12345", "12345", True),
        ("12345", 12345, False),  # a text is a string, whatever it looks like
        ("Oslo", "Oslo", True),
        ("Oslo", "Bergen", False),
        ("true", True, False),
        ('"Oslo"', "Oslo", False),
        (12345, 12345, True),
        ('{"a": 1}', {"a": 1}, True),
        ("[1, 2]", [1, 2], True),
        ("[Oslo", "[Oslo", True),
        (("a", 1), ["a", 1], True),
    ],
)
def test_where_the_input_is_a_value_a_text_of_the_item_is_a_string(reference: Any, value: Any, right: bool) -> None:
    grader = match(input="{{sample.output_json.zip}}")
    assert grader(json.dumps({"zip": value}), {"gold": reference}).score == float(right)


def test_a_text_that_is_no_json_is_refused_with_the_remedy_where_the_output_is_json_text() -> None:
    grade = match()('"Oslo"', {"gold": "Oslo"})
    assert grade.score is None
    assert grade.why.startswith("reference 'Oslo': it is not JSON")
    assert grade.why.endswith("where a string is meant, write it in quotes")
    assert match()('"Oslo"', {"gold": '"Oslo"'}).score == 1


# Graders of fields


def test_a_field_may_have_a_grader_that_sees_the_field_and_its_reference() -> None:
    class Sees(Grader):
        type: str = "sees"

        def grade(self, sample: Sample, item: Any) -> Grade:
            seen = {"text": sample.output_text, "json": sample.output_json, "item": dict(item)}
            return Grade(0.5, "seen", extracted=seen)

    gold = {"a": {"b": [1, "x"]}, "s": "ref"}
    grader = load(
        {
            "type": "json_match",
            "reference": "{{item.gold}}",
            "fields": {"a.b": {"grader": Sees()}, "s": {"grader": Sees(), "weight": 3}},
        }
    )
    grade = grader('{"a": {"b": {"c": 1.0}}, "s": "12"}', {"gold": gold, "reference": "hidden", "key": 7})
    assert grade.score == pytest.approx(0.5)
    assert grade.parts["a.b"].extracted == {
        "text": '{"c":1.0}',
        "json": {"c": 1.0},
        "item": {"gold": gold, "reference": [1, "x"], "key": 7},
    }
    assert grade.parts["s"].extracted["text"] == "12"
    assert grade.parts["s"].extracted["json"] == "12"
    assert grade.why == "0 of 2 fields right, score 0.5: a.b scored 0.5 (seen); s scored 0.5 (seen)"
    assert set(grader.members) == {"a.b", "s"}  # type: ignore[attr-defined]


def test_elements_of_unordered_lists_are_matched_by_what_their_graders_say() -> None:
    grader = match(lists="unordered", fields={"people[].name": {"grader": FUZZY, "weight": 2}})
    gold = {"people": [{"name": "Ada Lovelace", "born": 1815}, {"name": "Alan Turing", "born": 1912}]}
    given = {"people": [{"name": "Alan M. Turing", "born": 1912}, {"name": "ada lovelace", "born": 1815}]}
    grade = grader(json.dumps(given), {"gold": gold})
    assert grade.parts["people[0].name"].score == 1
    assert grade.parts["people[1].name"].score == pytest.approx(0.95)
    assert grade.score == pytest.approx((1 + (2 * 0.95 + 1) / 3) / 2)


@pytest.mark.parametrize(
    ("gold", "given", "expected"),
    [
        ({"a": None}, {"a": None}, 1),  # null has no text to grade
        ({"a": None}, {"a": "x"}, 0),
        ({"a": "x"}, {}, 0),
        ({}, {}, 1),
    ],
)
def test_a_grader_is_not_asked_where_a_side_has_nothing(gold: Any, given: Any, expected: float) -> None:
    assert score(gold, given, fields={"a": {"grader": EQUAL}}) == expected


def test_a_field_grader_that_could_not_decide_leaves_the_whole_undecided() -> None:
    broken = {**EQUAL, "reference": "{{item.nothing}}"}
    grade = match(fields={"a[]": {"grader": broken}})('{"a": [1]}', {"gold": {"a": [1]}})
    assert grade.score is None
    assert grade.error is not None
    assert grade.error.kind == "invalid_variable_error"
    assert grade.why.startswith("part 'a[]' could not decide: ")


def test_a_field_grader_whose_score_is_no_share_leaves_the_whole_undecided() -> None:
    class Wide(Grader):
        type: str = "wide"

        @property
        def range(self) -> tuple[float, float]:
            return -math.inf, math.inf

        def grade(self, sample: Sample, item: Any) -> float:
            return 2.0

    grade = match(fields={"a": {"grader": Wide()}})('{"a": "x"}', {"gold": {"a": "x"}})
    assert grade.score is None
    assert grade.error is not None
    assert grade.error.kind == "out_of_range"
    assert "its grader scored 2" in grade.why


def test_a_field_that_its_grader_cannot_read_is_wrong_and_nothing_more() -> None:
    inner = {**EQUAL, "extract": "boxed"}
    grade = match(fields={"a": {"grader": inner}})('{"a": "4", "b": 1}', {"gold": {"a": "4", "b": 1}})
    assert (grade.score, grade.error) == (0.5, None)
    assert grade.parts["a"].error is not None


# Errors


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "the output is blank"),
        ("FBN1", "the output is not JSON"),
        ('{"a": 1} and more', "the output is not JSON"),
        ('{"a": 1, "a": 1}', "the key 'a' stands twice in one object"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1e999}', "is too large"),
        ('{"a": ' + "9" * 10_000 + "}", "the output is not JSON"),
        ("[" * 10_000 + "]" * 10_000, "nested too deeply"),
        ("[" * 100 + "]" * 100, "values are nested more than 64 deep"),
        ('{"a":' * 500 + "1" + "}" * 500, "values are nested more than 64 deep"),
    ],
)
def test_an_output_that_is_no_usable_json_is_the_candidates_fault(output: str, reason: str) -> None:
    grade = match()(output, {"gold": {"a": 1}})
    assert grade.score == 0
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")
    assert reason in grade.why


DEEP: Any = 1
for _ in range(10_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"gold": " "}, "it is blank"),
        ({"gold": "FBN1"}, "it is not JSON"),
        ({"gold": {"a": math.nan}}, "nan is not a JSON number"),
        ({"gold": {"a": math.inf}}, "a number is too large"),
        ({"gold": {"a": {1, 2}}}, "a set is not JSON"),
        ({"gold": {1: 2}}, "an object has a key that is not a string"),
        ({"gold": 10**10_000}, "a whole number has 4,300 digits or more"),
        ({"gold": DEEP}, "values are nested more than 64 deep"),
        ({"gold": {"w": 1}}, "each of its fields (w) has weight 0"),
        ({"gold": {"in": {"w": 1}}}, "each of its fields (in) has weight 0"),
    ],
)
@pytest.mark.parametrize("output", ["{}", "no JSON"])
def test_a_broken_reference_is_undecided_whatever_the_output(item: Any, reason: str, output: str) -> None:
    grade = match(fields={"w": {"weight": 0}, "in.w": {"weight": 0}})(output, item)
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("invalid_reference", "grader")
    assert reason in grade.why


@pytest.mark.parametrize(("item", "reason"), [({}, "item has no 'gold'"), ({"gold": None}, "item.gold is null")])
@pytest.mark.parametrize("output", ["{}", "no JSON"])
def test_a_reference_that_is_missing_or_null_is_an_invalid_variable(item: Any, reason: str, output: str) -> None:
    grade = match()(output, item)
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("invalid_variable_error", "grader")
    assert reason in grade.why


WIDE = [{f"k{field}": number * field for field in range(9)} for number in range(150)]
MANY = [{f"k{field}": number * field for field in range(20)} | {"name": f"n{number}"} for number in range(30)]


@pytest.mark.parametrize(
    ("options", "gold", "output"),
    [
        ({"lists": "unordered"}, WIDE, [{}] * 300),  # holds less than the reference, and is too much all the same
        ({"lists": "unordered"}, WIDE, [{}] * 270),
        ({"lists": "unordered"}, WIDE[:60], [{"k0": 0, "k1": [1]}] * 660),
        (
            {"lists": "unordered", "fields": {"people[].name": {"grader": FUZZY}}},
            {"people": MANY},
            {"people": [{"name": f"xx{number}"} for number in range(100)]},
        ),
    ],
)
def test_an_output_that_is_too_much_to_compare_never_makes_its_grade_undecided(
    options: Any, gold: Any, output: Any
) -> None:
    """Undecided would be masked in training: a policy could write a long list instead of a wrong answer."""
    grade = match(**options)(json.dumps(output), {"gold": gold})
    assert grade.score is not None, grade.why
    assert grade.score < 0.1
    assert match(**options)(json.dumps(gold), {"gold": gold}).score == 1


def test_a_reference_that_asks_too_much_by_itself_is_to_blame() -> None:
    people = [{"name": f"n{number}"} for number in range(60)]
    grader = match(lists="unordered", fields={"[].name": {"grader": FUZZY}})
    grade = grader(json.dumps(people), {"gold": people})
    assert grade.score is None
    assert grade.error is not None
    assert grade.error.kind == "invalid_reference"
    assert "more than 2,000 questions to graders of fields" in grade.why


@pytest.mark.parametrize(
    ("fields", "options", "gold", "told"),
    [
        (
            {"adress.city": {"weight": 2}},
            {},
            {"address": {"city": "Oslo"}},
            ["fields['adress.city']: the reference has no 'adress' at its top; did you mean 'address'?"],
        ),
        (
            {"address.ctiy": {"weight": 2}},
            {},
            {"address": {"city": "Oslo"}},
            ["fields['address.ctiy']: the reference has no 'ctiy' in 'address'; did you mean 'city'?"],
        ),
        (
            {"people[].nmae": {"grader": FUZZY}},
            {},
            {"people": [{"name": "a"}, {}]},
            ["fields['people[].nmae']: the reference has no 'nmae' in 'people[]'; did you mean 'name'?"],
        ),
        ({"a[].b": {"weight": 2}}, {}, {"a": 1}, ["fields['a[].b']: the reference has no list in 'a'"]),
        ({"x": {"lists": "unordered"}}, {}, {"a": 1}, ["fields['x']: the reference has no 'x' at its top"]),
        ({"note": {"weight": 0}}, {}, {"a": 1}, []),  # leaves a further field of the output uncharged
        ({"note": {"weight": 0}}, {"extra": "ignore"}, {"a": 1}, ["fields['note']: the reference has no 'note' at"]),
        ({"people[].name": {"weight": 2}}, {}, {"people": []}, []),
        ({"people[].name": {"weight": 2}}, {}, {"people": None}, []),
        ({"a.b": {"weight": 2}}, {}, {"a": {"b": None}}, []),
    ],
)
def test_fields_that_a_rows_reference_lacks_are_cautioned_of(
    fields: Any, options: Any, gold: Any, told: list[str]
) -> None:
    cautions = match(fields=fields, **options).cautions({"gold": gold})  # type: ignore[attr-defined]
    assert len(cautions) == len(told)
    assert all(caution.startswith(start) for caution, start in zip(cautions, told, strict=True))


def test_an_object_of_which_all_is_left_out_is_worth_nothing() -> None:
    grader = match(fields={"meta.id": {"weight": 0}, "meta.time": {"weight": 0}})
    gold = {"a": 1, "meta": {"id": 7, "time": 3}}
    for output in ('{"meta": {}}', '{"meta": {"id": 7}}', '{"meta": 3}', "{}"):
        assert grader(output, {"gold": gold}).score == 0
    grade = grader('{"a": 1}', {"gold": gold})
    assert (grade.score, grade.why, set(grade.parts)) == (1, "1 of 1 field right", {"a"})


def test_lists_too_long_to_be_matched_have_a_typed_outcome() -> None:
    gold = [{"a": number} for number in range(10)]
    flood = [{"a": number % 7} for number in range(5_000)]
    grade = match(lists="unordered")(json.dumps(flood), {"gold": gold})
    assert grade.score == 0
    assert "the output holds 10,001 values where the reference holds 21: more than 40,000 pairs" in grade.why
    padded = [{"a": number} for number in range(280)]
    assert match(lists="unordered")(json.dumps(padded), {"gold": padded[:150]}).score == 0  # padding is no way out
    much = [{"a": number} for number in range(300)]
    undecided = match(lists="unordered")(json.dumps(much), {"gold": much})
    assert undecided.score is None
    assert "set lists to 'ordered', or split it" in undecided.why
    assert match(lists="unordered")(json.dumps([*much, {"a": -1}]), {"gold": much}).score is None
    assert match()(json.dumps(much), {"gold": much}).score == 1


def test_a_long_list_cannot_make_a_grader_of_elements_be_asked_without_end() -> None:
    grader = match(lists="unordered", fields={"[]": {"grader": FUZZY}})
    grade = grader(json.dumps([f"name {number}" for number in range(1_000)]), {"gold": ["a", "b", "c"]})
    assert grade.score == 0
    assert "more than 2,000 questions to graders of fields to compare" in grade.why


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fields": {"a..b": {"weight": 2}}}, "'a..b' is not a path; write it as 'address.city'"),
        ({"fields": {"a[0]": {"weight": 2}}}, "'a[0]' is not a path"),
        ({"fields": {"": {"weight": 2}}}, "'' is not a path"),
        ({"fields": {"a": {}}}, "it changes nothing; give the field a grader"),
        ({"fields": {"a": {"weight": -1}}}, "greater than or equal to 0 (given: -1)"),
        ({"fields": {"a": {"weight": math.inf}}}, "less than or equal to 1000000"),
        ({"fields": {"a[]": {"weight": 2}}}, "'a[]': the elements of a list weigh the same"),
        ({"fields": {"a": {"grader": EQUAL, "lists": "ordered"}}}, "lists has no effect beside grader"),
        ({"fields": {"a": {"grader": EQUAL, "weight": 0}}}, "weight 0 leaves the field out"),
        ({"fields": {"a": {"grader": EQUAL}, "a.b": {"weight": 2}}}, "'a.b' has no effect: 'a' is judged as a whole"),
        ({"fields": {"a": {"grader": {"type": "strng_check"}}}}, "no grader type 'strng_check'; did you mean"),
        (
            {"fields": {"a": {"grader": {"type": "multi", "graders": {"e": EQUAL}, "calculate_output": "2*e"}}}},
            "grader 'multi' scores from 0 to 2, and a field is worth 0 to 1; bring it there",
        ),
        ({"fields": {"a": {"grade": EQUAL}}}, "fields.a: unknown key 'grade'; did you mean 'grader'?"),
        ({"lists": "sorted"}, "should be 'ordered' or 'unordered'"),
        ({"feilds": {}}, "unknown key 'feilds'; did you mean 'fields'?"),
    ],
)
def test_nonsense_is_refused_with_value_reason_and_remedy(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'json_match': ") as caught:
        match(**options)
    assert message in str(caught.value)


def test_a_definition_is_written_and_read_back() -> None:
    grader = match(lists="unordered", fields={"a[].b": {"grader": EQUAL, "weight": 2}, "c": {"lists": "ordered"}})
    assert load(json.loads(json.dumps(grader.to_wire()))) == grader


# Properties

leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "a", "b", ""])
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from("abcd"), values, min_size=1, max_size=4)
orders = st.sampled_from(["ordered", "unordered"])


@given(objects, orders)
def test_the_reference_itself_is_worth_one_and_nothing_else_is(gold: dict[str, Any], lists: str) -> None:
    assert score(gold, gold, lists=lists) == 1


@given(values, values, orders)
def test_scores_are_shares_and_only_equal_values_score_one(gold: Any, given: Any, lists: str) -> None:
    worth = score(json.dumps(gold), given, lists=lists)
    assert 0 <= worth <= 1
    assert (worth == 1) == _equal(gold, given, lists)


def _equal(gold: Any, given: Any, lists: str) -> bool:
    if isinstance(gold, dict) and isinstance(given, dict):
        return gold.keys() == given.keys() and all(_equal(gold[name], given[name], lists) for name in gold)
    if isinstance(gold, list) and isinstance(given, list):
        if len(gold) != len(given):
            return False
        orders = itertools.permutations(given) if lists == "unordered" else [given]
        return any(all(map(_equal, gold, order, [lists] * len(gold))) for order in orders)
    if isinstance(gold, dict | list) or isinstance(given, dict | list):
        return False
    return isinstance(gold, bool) == isinstance(given, bool) and bool(gold == given)


@given(objects, objects, orders, st.data())
def test_mending_a_field_never_lowers_the_score_and_junk_never_raises_it(
    gold: dict[str, Any], given: dict[str, Any], lists: str, data: st.DataObject
) -> None:
    before = score(gold, given, lists=lists)
    name = data.draw(st.sampled_from(sorted(gold)))
    assert score(gold, {**given, name: gold[name]}, lists=lists) >= before - 1e-12
    assert score(gold, {**given, "junk": data.draw(values)}, lists=lists) <= before
    less = {key: value for key, value in given.items() if key in gold}
    assert score(gold, less, lists=lists) >= before


@given(st.lists(values, max_size=5), st.lists(values, max_size=5), st.randoms())
def test_unordered_lists_do_not_mind_the_order(gold: list[Any], given: list[Any], rng: random.Random) -> None:
    shuffled = rng.sample(given, len(given))
    plain = score(gold, given, lists="unordered")
    assert score(gold, shuffled, lists="unordered") == pytest.approx(plain)
    assert plain >= score(gold, given, lists="ordered") - 1e-12


@given(
    st.integers(1, 5).flatmap(
        lambda width: st.lists(st.lists(st.integers(0, 3), min_size=width, max_size=width), min_size=1, max_size=5)
    )
)
def test_the_matching_is_as_good_as_the_best_of_all(scores: list[list[int]]) -> None:
    pairs = best_matching([[each / 3 for each in row] for row in scores])
    rows, columns = len(scores), len(scores[0])
    if rows <= columns:
        best = max(
            sum(map(lambda r, c: scores[r][c], range(rows), p)) for p in itertools.permutations(range(columns), rows)
        )
    else:
        best = max(
            sum(map(lambda r, c: scores[r][c], p, range(columns))) for p in itertools.permutations(range(rows), columns)
        )
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert sum(scores[row][column] for row, column in pairs) == best
    assert all(scores[row][column] for row, column in pairs)


# Hostile outputs


@pytest.mark.parametrize(
    "output",
    [
        "[" + "1," * 100_000 + "1]",
        "[" + ",".join(str(number * (2**61 - 1)) for number in range(20_000)) + "]",  # one hash for all
        "[" + "{}," * 100_000 + "{}]",
        "[" + "[]," * 100_000 + "[]]",
        json.dumps({f"k{number}": number for number in range(50_000)}),
        json.dumps({"tags": list(range(50_000))}),
        json.dumps({"tags": [{"a": 1}] * 3_000}),
        '{"tags": "\\ud800"}',
        '"' + "x" * 1_000_000 + '"',
        "echo: {{item.gold}}",
        "null",
    ],
)
@pytest.mark.parametrize("lists", ["ordered", "unordered"])
def test_hostile_outputs_earn_nothing_soon_and_are_recordable(output: str, lists: str) -> None:
    gold = {"tags": [{"a": number, "b": [number]} for number in range(12)], "n": "x"}
    grade = match(lists=lists)(output, {"gold": gold})
    assert grade.score is not None
    assert grade.score <= 0.01
    assert json.loads(json.dumps(grade.to_wire()))["status"] == "scored"
    assert len(grade.why) < 2000


def test_the_worst_matching_still_allowed_ends_soon() -> None:
    gold = [{str(k): number * k % 5 for k in range(9)} for number in range(150)]
    given = [{str(k): number * k % 7 for k in range(9)} for number in range(260)]
    grade = match(lists="unordered")(json.dumps(given), {"gold": gold})
    assert grade.score is not None or grade.error is not None


def test_a_field_grader_may_wait() -> None:
    class Waits(Grader):
        type: str = "waits"

        async def grade_async(self, sample: Sample, item: Any) -> Grade:
            return Grade(float(sample.output_json == item["reference"]), "asked")

    grader = match(lists="unordered", fields={"a[]": {"grader": Waits()}})
    assert grader.waits
    assert grader('{"a": [2, 1, 4]}', {"gold": {"a": [1, 2, 3]}}).score == pytest.approx(2 / 3)


def test_a_path_may_begin_with_the_elements_of_a_list() -> None:
    grader = match(fields={"[].n": {"weight": 3}})
    assert grader('[{"n": 1, "m": 0}]', {"gold": [{"n": 1, "m": 1}]}).score == pytest.approx(3 / 4)
