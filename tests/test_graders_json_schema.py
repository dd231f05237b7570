from __future__ import annotations

import json
import socket
from functools import lru_cache
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders import Grader, load

ADDRESS = {
    "type": "object",
    "required": ["city", "zip"],
    "properties": {"city": {"type": "string"}, "zip": {"type": "string"}},
}
PERSON: dict[str, Any] = {
    "type": "object",
    "required": ["name", "age", "address"],
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Z]"},
        "age": {"type": "integer", "minimum": 0},
        "address": {"$ref": "#/$defs/address"},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
    },
    "$defs": {"address": ADDRESS},
}
ADA = {"name": "Ada", "age": 36, "address": {"city": "London", "zip": "W1"}}


def schema(given: Any, **options: Any) -> Grader:
    return load({"type": "json_schema", "schema": given, **options})


def score(given: Any, value: Any, *, partial: bool = True) -> float:
    grade = made(json.dumps(given), partial)(json.dumps(value))
    assert grade.score is not None, grade.why
    return grade.score


@lru_cache(maxsize=64)
def made(given: str, partial: bool) -> Grader:
    return schema(json.loads(given), partial=partial)


# Valid or not


@pytest.mark.parametrize(
    ("given", "value", "valid"),
    [
        (PERSON, ADA, True),
        (PERSON, {**ADA, "tags": []}, True),
        (PERSON, {**ADA, "age": 36.0}, True),  # one number in JSON
        (PERSON, {**ADA, "age": True}, False),
        (PERSON, {**ADA, "age": "36"}, False),
        (PERSON, {**ADA, "name": "ada"}, False),
        (PERSON, {**ADA, "more": 1}, False),
        (PERSON, {}, False),
        (PERSON, [], False),
        (PERSON, None, False),
        ({"pattern": r"^\d+$"}, "123", True),
        ({"pattern": r"^\d+$"}, "١٢٣", False),  # digits are ASCII, as in ECMA-262
        ({"pattern": r"^\p{L}+$"}, "Ünïcode", True),
        ({"pattern": "^a$"}, "a\n", False),  # the end is the end
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}], True),
        ({"uniqueItems": True}, [{"a": 1, "b": [2]}, {"b": [2.0], "a": 1.0}], False),
        ({"uniqueItems": True}, [0, False], True),
        ({"multipleOf": 0.1}, 0.3, True),
        ({"multipleOf": 0.1}, 0.35, False),
        ({"multipleOf": 3}, 10**400, False),
        ({"multipleOf": 0.5}, 10**400, True),
        ({"maximum": 0.5}, 10**400, False),
        ({"enum": [1, "a"]}, True, False),
        ({"const": 1}, 1.0, True),
        ({"format": "email", "type": "string"}, "no address", True),  # a remark only
        ({"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False}, {"x1": 1}, True),
        ({"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False}, {"x1": "a"}, False),
        ({"patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False}, {"y1": 1}, False),
        ({"additionalProperties": {"type": "integer"}}, {"a": 1, "b": "x"}, False),
        ({"$ref": "#here", "$defs": {"a": {"$anchor": "here", "type": "string"}}}, "x", True),
        ({"$id": "https://example.org/s", "$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}, 1, False),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}, [1], False),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 3, "exclusiveMaximum": True}, 3, False),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, False),
        ({"unevaluatedProperties": False, "allOf": [{"properties": {"a": True}}]}, {"a": 1, "b": 2}, False),
    ],
)
def test_a_value_is_valid_as_the_specification_has_it(given: Any, value: Any, valid: bool) -> None:
    assert score(given, value, partial=False) == float(valid)
    assert (score(given, value) == 1) == valid


def test_why_names_each_place_and_what_is_wrong_there() -> None:
    value = {"name": "ada", "age": -1, "address": {"city": 3}, "more": 1}
    grade = schema(PERSON)(json.dumps(value))
    assert grade.why == "not valid: " + "; ".join(
        [
            "$: 'more' is not among the properties allowed",
            "$.name: 'ada' does not match '^[A-Z]'",
            "$.age: -1 is less than the minimum of 0",
            "$.address: 'zip' is a required property",
            "$.address.city: 3 is not of type 'string'",
        ]
    )
    many = schema({"items": {"type": "string"}})(json.dumps(list(range(100))))
    assert many.why.endswith("$[4]: 4 is not of type 'string'; and more")
    assert schema(PERSON)(json.dumps(ADA)).why == "valid against the schema"


def test_why_of_several_branches_tells_of_the_nearest() -> None:
    either = {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"a": {"type": "string"}}}]}
    assert "$.a: 1 is not of type 'string'" in schema(either)('{"a": 1}').why


@pytest.mark.parametrize(
    "wrapped",
    [
        {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}},
        {"type": "json_schema", "name": "person", "strict": True, "schema": PERSON},
    ],
)
def test_a_schema_may_come_in_openais_response_format(wrapped: Any) -> None:
    grader = schema(wrapped)
    assert grader == schema(PERSON)
    assert grader(json.dumps(ADA)).score == 1


def test_a_schema_may_come_from_the_item() -> None:
    grader = schema("{{item.schema}}", partial=True)
    text = json.dumps({**ADA, "age": "36"})
    assert grader(text, {"schema": PERSON}).score == pytest.approx(2 / 3)
    assert grader(text, {"schema": json.dumps(PERSON)}).score == pytest.approx(2 / 3)
    for broken in ({"type": "strin"}, "{", "", {}, 3, {"$ref": "http://example.org/s"}):
        grade = grader(text, {"schema": broken})
        assert grade.score is None
        assert grade.error is not None
        assert (grade.error.kind, grade.error.fault) == ("invalid_reference", "grader")
    for missing in ({}, {"schema": None}):
        for output in (text, "no JSON"):  # a broken row is never blamed on the candidate
            grade = grader(output, missing)
            assert grade.score is None
            assert grade.error is not None
            assert (grade.error.kind, grade.error.fault) == ("invalid_variable_error", "grader")


def test_the_input_may_be_a_part_of_the_output() -> None:
    grader = schema({"type": "string"}, input="{{sample.output_json.answer}}")
    assert grader('{"answer": "4"}').score == 1
    assert grader('{"answer": 4}').score == 0
    assert schema({"type": "integer"}, extract={"rule": "json", "fence": True})("```json\n4\n```").score == 1


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "the output is blank"),
        ("Ada", "the output is not JSON"),
        ("{} {}", "the output is not JSON"),
        ('{"name": "Ada", "name": "Bob"}', "the key 'name' stands twice"),
        ('{"age": NaN}', "NaN is not JSON"),
        ('{"age": -1e999}', "is too large"),
        ("9" * 10_000, "the output is not JSON"),
        ("[" * 10_000 + "]" * 10_000, "nested too deeply"),
        ('{"a":' * 500 + "1" + "}" * 500, "values are nested more than 64 deep"),
    ],
)
@pytest.mark.parametrize("partial", [False, True])
def test_an_output_that_is_no_usable_json_is_the_candidates_fault(output: str, reason: str, partial: bool) -> None:
    grade = schema(PERSON, partial=partial)(output)
    assert grade.score == 0
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")
    assert reason in grade.why


# Partial credit

UNION = {"type": "object", "required": ["x"], "properties": {"x": {"anyOf": [ADDRESS, {"type": "null"}]}}}
BOTH = {"allOf": [{"required": ["a"], "properties": {"a": {"type": "integer"}}}, {"required": ["b"]}]}


@pytest.mark.parametrize(
    ("given", "value", "expected"),
    [
        (PERSON, ADA, 1),
        (PERSON, {**ADA, "age": "36"}, 2 / 3),
        (PERSON, {"name": "Ada", "age": 36}, 2 / 3),
        (PERSON, {**ADA, "address": {"city": "London"}}, 2.5 / 3),
        (PERSON, {**ADA, "more": 1}, 3 / 4),
        (PERSON, {**ADA, "more": 1, "yet": 2}, 3 / 5),
        (PERSON, {**ADA, "tags": ["a"]}, 1),
        (PERSON, {**ADA, "tags": ["a", 1]}, 3 / 4),  # an optional field is a charge where it is wrong
        (PERSON, {**ADA, "tags": ["a", "a"]}, 3 / 4),
        (PERSON, {"tags": ["a"]}, 0),  # and earns nothing where it is right
        (PERSON, {}, 0),
        (PERSON, [], 0),
        (PERSON, {"name": 1, "age": "x", "address": None}, 0),
        (UNION, {"x": {"city": "London"}}, 1 / 2),
        (UNION, {"x": 3}, 0),
        (BOTH, {"a": 1}, 1 / 2),
        (BOTH, {"b": 1}, 1 / 2),
        (BOTH, {"a": "x", "b": 1}, 1 / 2),
        ({"items": {"type": "integer"}, "type": "array"}, [1, "x"], 0),
        ({"items": ADDRESS}, [{"city": "London", "zip": "W1"}, {"city": "Rome"}, {"zip": "3"}], 1 / 2),
        ({"items": ADDRESS, "maxItems": 1}, [{"city": "London", "zip": "W1"}] * 2, 0),
        ({"items": ADDRESS, "minItems": 1}, [], 0),
        ({"prefixItems": [ADDRESS, {"type": "string"}]}, [{"city": "Rome"}, "x"], 1 / 2),
        ({"type": "string", "minLength": 2}, "a", 0),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": "x"}, 1 / 2),  # nothing is required
        ({"type": "object", "minProperties": 1}, {}, 0),
        ({"required": ["a"], "maxProperties": 1}, {"a": 1, "b": 2}, 1 / 2),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1, "b": 2}, 0),
        ({"not": {"required": ["a"]}}, {"a": 1}, 0),
        ({"required": ["a", "b"], "if": {"required": ["a"]}, "then": {"required": ["c"]}}, {"a": 1, "b": 1}, 2 / 3),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "items": [ADDRESS], "additionalItems": False},
            [{"city": "Rome"}],
            1 / 2,
        ),
    ],
)
def test_partial_credit_is_the_share_of_what_the_schema_asks_for(given: Any, value: Any, expected: float) -> None:
    assert score(given, value) == pytest.approx(expected)
    assert score(given, value, partial=False) == (1 if expected == 1 else 0)


def test_why_of_partial_credit_gives_the_share_and_the_faults() -> None:
    grade = schema(PERSON, partial=True)(json.dumps({**ADA, "age": "36"}))
    assert grade.why == "0.6667 of what the schema asks for: $.age: '36' is not of type 'integer'"
    assert grade.extracted == {**ADA, "age": "36"}


RIGHT: dict[str, Any] = {**ADA, "tags": ["a", "b"]}
wrong = st.sampled_from([None, 3.5, "x", [], {}, {"city": 1}, {"city": "x", "more": 1}, [1], ["a", "a"], -1])
people = st.dictionaries(st.sampled_from([*RIGHT, "more"]), wrong, max_size=5).flatmap(
    lambda faulty: st.sets(st.sampled_from(list(RIGHT))).map(lambda kept: faulty | {name: RIGHT[name] for name in kept})
)


@given(people, st.sampled_from(list(RIGHT)), wrong, st.sampled_from(["more", "else"]))
def test_mending_a_field_never_lowers_the_score_and_junk_never_raises_it(
    person: dict[str, Any], name: str, junk: Any, other: str
) -> None:
    before = score(PERSON, person)
    assert 0 <= before <= 1
    assert score(PERSON, {**person, name: RIGHT[name]}) >= before - 1e-12 or (name == "tags" and name not in person)
    assert score(PERSON, {**{key: each for key, each in person.items() if key != other}, other: junk}) <= (
        score(PERSON, {key: each for key, each in person.items() if key != other}) + 1e-12
    )
    if "more" in person:
        assert score(PERSON, {key: each for key, each in person.items() if key != "more"}) >= before - 1e-12


leaves = st.sampled_from([None, True, 0, 1, 1.5, "a", "ab"])
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
atoms: st.SearchStrategy[Any] = st.sampled_from(
    [
        {"type": "integer"},
        {"type": ["string", "null"]},
        {"enum": [1, "a", None]},
        {"const": True},
        {"minLength": 2},
        {"required": ["a"]},
        {"minItems": 1},
        {"uniqueItems": True},
        {"maxProperties": 1},
        {"pattern": "^a"},
        {"multipleOf": 0.5},
        {"$ref": "#/$defs/tree"},
        True,
        False,
    ]
)
schemas: st.SearchStrategy[Any] = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"properties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2)}),
        st.fixed_dictionaries({"patternProperties": st.dictionaries(st.sampled_from("ab"), inner, max_size=2)}),
        st.fixed_dictionaries({"items": inner}),
        st.fixed_dictionaries({"prefixItems": st.lists(inner, min_size=1, max_size=2), "items": inner}),
        st.fixed_dictionaries({"additionalProperties": inner, "properties": st.just({"a": True})}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"allOf": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"if": inner, "then": inner, "else": inner}),
        st.fixed_dictionaries({"contains": inner}),
    ),
    max_leaves=6,
)
TREE = {"type": "object", "properties": {"a": {"$ref": "#/$defs/tree"}}, "required": ["b"]}


@settings(max_examples=150, deadline=None)
@given(schemas, values)
def test_verdicts_are_those_of_jsonschema_and_partial_credit_is_one_exactly_when_valid(part: Any, value: Any) -> None:
    whole = {"allOf": [part], "$defs": {"tree": TREE}}
    valid = jsonschema.Draft202012Validator(whole).is_valid(value)
    assert score(whole, value, partial=False) == float(valid)
    worth = score(whole, value)
    assert 0 <= worth <= 1
    assert (worth == 1) == valid


# Schemas that are refused


def nested(depth: int) -> Any:
    given: Any = {"type": "string"}
    for _ in range(depth):
        given = {"not": given}
    return given


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "{} accepts every JSON value, so every one would score 1; say what is expected"),
        ({"title": "x", "format": "email"}, "accepts every JSON value"),
        (True, "a schema is an object, not True"),
        ("person", "'person' is no schema; give it as an object, or as a template"),
        ({"type": "strin"}, "the schema is itself invalid at #/type: 'strin'"),
        ({"properties": {"a": {"type": 3}}}, "the schema is itself invalid at #/properties/a/type"),
        ({"required": "a"}, "the schema is itself invalid at #/required: 'a' is not of type 'array'"),
        ({"minimum": float("nan")}, "the schema cannot be used: nan is not a JSON number"),
        ({"enum": [{1, 2}]}, "the schema cannot be used: a set is not JSON"),
        ({"requried": ["a"], "type": "object"}, "# has an unknown keyword 'requried'; did you mean 'required'?"),
        ({"properties": {"a": {"item": {}}}}, "#/properties/a has an unknown keyword 'item'; did you mean 'items'?"),
        ({"$ref": "#"}, "the schema refers to itself without going deeper: # -> #"),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}},
            },
            "the schema refers to itself without going deeper: ",
        ),
        ({"$ref": "#/$defs/a"}, "#/$ref: nothing is at '#/$defs/a' in the schema"),
        ({"$ref": "#a"}, "#/$ref: nothing is at '#a' in the schema"),
        ({"$ref": "http://127.0.0.1:9/s"}, "leads out of the schema, and nothing is fetched; copy what it names under"),
        ({"$ref": "file:///etc/passwd"}, "leads out of the schema, and nothing is fetched"),
        ({"$ref": "other.json#/a"}, "leads out of the schema, and nothing is fetched"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "leads out of the schema"),
        ({"properties": {"a": {"$ref": "#/x"}}, "x": {"pattern": "("}}, "#/x: pattern '(': missing )"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "#/properties/a: pattern '(?=x)'"),
        ({"patternProperties": {r"(a)\1": {}}}, "back-references are not linear-time"),
        ({"patternProperties": {"a": True}, "unevaluatedProperties": False}, "together are not supported"),
        ({"$schema": "http://json-schema.org/draft-03/schema#", "type": "any"}, "draft-03/schema' is not supported"),
        ({"properties": {"a": {"$schema": "http://json-schema.org/draft-07/schema#"}}}, "has a '$schema' of its own"),
        ({"properties": {"a": {"$id": "b", "type": "string"}}}, "#/properties/a has a '$id' of its own"),
        ({"$dynamicRef": "#a"}, "#: $dynamicRef is not supported; use $ref"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, 'this response_format has no "schema"'),
        (nested(200), "the schema cannot be used: values are nested more than 64 deep"),
        (nested(10_000), "the schema cannot be used: values are nested more than 64 deep"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_the_place(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'json_schema': schema: ") as caught:
        schema(given)
    assert message in str(caught.value)


def test_nothing_is_ever_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    for reference in ("http://example.org/s.json", "https://example.org/s", "//example.org/s", "s.json"):
        with pytest.raises(ValueError, match="nothing is fetched"):
            schema({"properties": {"a": {"$ref": reference}}})


def test_an_instance_named_like_a_keyword_is_no_keyword() -> None:
    data = {"enum": [{"pattern": "("}], "const": {"pattern": "("}, "default": {"$ref": "http://x"}}
    assert schema({"properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}}, **data}).type


def test_a_definition_is_written_and_read_back() -> None:
    grader = schema(PERSON, partial=True)
    assert load(json.loads(json.dumps(grader.to_wire()))) == grader
    assert grader.to_wire()["schema"] == PERSON


# Hostile outputs

NODE: dict[str, Any] = {
    "anyOf": [
        {"type": "object", "properties": {"c": {"$ref": "#/$defs/n"}}, "required": ["a"]},
        {"type": "object", "properties": {"c": {"$ref": "#/$defs/n"}}, "required": ["b"]},
    ]
}
BRANCHING = {"$ref": "#/$defs/n", "$defs": {"n": NODE}}


def chain(depth: int) -> str:
    return '{"c":' * depth + "1" + "}" * depth


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ({"pattern": "^(a+)+$"}, json.dumps("a" * 1_000_000 + "b")),
        (
            {"patternProperties": {"^(a+)+$": False}, "additionalProperties": False},
            json.dumps({"a" * 100_000 + "b": 1}),
        ),
        ({"propertyNames": {"pattern": "^(a|a)*$"}}, json.dumps({"a" * 100_000 + "b": 1})),
        ({"uniqueItems": True}, "[" + "{}," * 50_000 + "{}]"),
        ({"uniqueItems": True}, "[" + ",".join(str(n * (2**61 - 1)) for n in range(20_000)) + ",0]"),  # one hash
        ({"type": "array", "items": {"type": "integer"}}, "[" + "1," * 20_000 + '"x"]'),
        (BRANCHING, chain(20)),
        (BRANCHING, chain(62)),
        ({"additionalProperties": False, "type": "object"}, json.dumps({f"k{n}": n for n in range(20_000)})),
        ({"required": ["a"]}, json.dumps({f"k{n}": n for n in range(20_000)})),
        (PERSON, '"' + "x" * 1_000_000 + '"'),
        (PERSON, '{"name": "\\ud800", "age": null}'),
        (PERSON, "{{item.schema}}"),
        ({"multipleOf": 3e-300}, "1e308"),
        ({"multipleOf": 1e300}, "9" * 4_000),
    ],
)
@pytest.mark.parametrize("partial", [False, True])
def test_hostile_outputs_end_soon_and_are_recordable(given: Any, output: str, partial: bool) -> None:
    grade = schema(given, partial=partial)(output)
    assert grade.score is not None, grade.why
    assert grade.score <= (0.5 if partial else 1)
    assert json.loads(json.dumps(grade.to_wire()))["status"] == "scored"
    assert len(grade.why) < 2000


LISTS: dict[str, Any] = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/$defs/n"}}]}
NESTED = {"$ref": "#/$defs/n", "$defs": {"n": LISTS}}
TREES: dict[str, Any] = {
    "anyOf": [*LISTS["anyOf"], {"type": "object", "additionalProperties": {"$ref": "#/$defs/n"}}],
}
NAMES = {"patternProperties": {f"^x{n}_": {"type": "integer"} for n in range(30)}, "additionalProperties": False}


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (NESTED, ["x"] * 180_000),
        (NESTED, [[1]] * 60_000),
        ({"$ref": "#/$defs/n", "$defs": {"n": TREES}}, [["x"] * 5] * 50_000),
        (NAMES, {f"k{n}": n for n in range(50_000)}),
        ({"contains": {"type": "string"}, "uniqueItems": True}, list(range(150_000))),
        ({"type": "array", "unevaluatedItems": False}, list(range(100_000))),
        ({"contains": {"type": "integer"}, "unevaluatedItems": False}, list(range(100_000))),  # quadratic inside
        ({"items": {"enum": [f"v{n}" for n in range(1_000)]}}, ["v999"] * 100_000),
        ({"items": {"pattern": "^.{1,900}$"}}, ["a" * 899] * 1_000),
        (
            {"$ref": "#/$defs/n", "$defs": {"n": NODE}},
            json.loads('{"c":' * 60 + json.dumps(["y"] * 200_000) + "}" * 60),
        ),
    ],
)
@pytest.mark.parametrize("partial", [False, True])
def test_an_output_that_takes_too_many_steps_is_the_candidates_fault(given: Any, value: Any, partial: bool) -> None:
    grade = schema(given, partial=partial)(json.dumps(value))
    assert grade.score == 0
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("timeout", "candidate")
    assert grade.why == "the output holds too much to be checked: more than 250,000 steps under this schema"


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"type": "array", "items": {"type": "integer"}}, list(range(50_000))),
        ({"items": ADDRESS}, [{"city": "Rome", "zip": "1"}] * 15_000),
        (NAMES, {f"x{n % 30}_{n}": n for n in range(3_000)}),
        ({"pattern": "^[a-zé]*$"}, "é" * 500_000),
        ({"contains": {"type": "integer"}, "unevaluatedItems": False}, list(range(4_000))),
    ],
)
def test_a_long_output_of_the_right_form_is_valid(given: Any, value: Any) -> None:
    assert score(given, value) == 1


def test_a_text_too_long_for_a_pattern_of_the_schema_is_the_candidates_fault() -> None:
    assert schema({"pattern": "^.{1,900}$"})(json.dumps("x" * 60_000)).error is None
    grade = schema({"pattern": "^.{1,900}$"})(json.dumps("x" * 200_000))
    assert grade.score == 0
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("timeout", "candidate")
    with pytest.raises(ValueError, match=r"#/properties/a: pattern .* 10,000 are possible"):
        schema({"properties": {"a": {"pattern": r"^\p{L}{1,200}$"}}})


@pytest.mark.parametrize("partial", [False, True])
def test_an_output_as_deep_as_allowed_is_checked_to_its_end(partial: bool) -> None:
    node = {"type": "object", "properties": {"c": {"allOf": [{"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}]}}}
    grader = schema({"$ref": "#/$defs/n", "$defs": {"n": node}}, partial=partial)
    assert grader('{"c":' * 60 + "null" + "}" * 60).score == 1
    grade = grader(chain(60))
    assert grade.score is not None
    assert grade.score < 1
    assert grade.error is None
