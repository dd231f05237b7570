from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grader, load


def check(operation: str, **options: Any) -> Grader:
    definition = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.gene}}"}
    return load({**definition, "operation": operation, **options})


@pytest.mark.parametrize(
    ("output", "reference", "eq", "ne", "like", "ilike"),
    [
        ("FBN1", "FBN1", 1, 0, 1, 1),
        ("fbn1", "FBN1", 0, 1, 0, 1),
        ("It is FBN1.", "FBN1", 0, 1, 1, 1),
        ("It is fbn1.", "FBN1", 0, 1, 0, 1),
        ("FBN1", "It is FBN1.", 0, 1, 0, 0),  # the input must contain the reference, not the other way round
        ("FBN1 ", "FBN1", 0, 1, 1, 1),  # nothing is trimmed
        ("", "FBN1", 0, 1, 0, 0),
        ("FBN2", "FBN_", 0, 1, 0, 0),  # no wildcards
        ("FBN2", "FBN%", 0, 1, 0, 0),
        ("STRASSE", "Straße", 0, 1, 0, 1),
        ("e\u0301", "\u00e9", 0, 1, 0, 0),  # code points are compared, not what they look like
        ("\ud800", "\ud800", 1, 0, 1, 1),
    ],
)
def test_each_operation_compares_as_documented(
    output: str, reference: str, eq: int, ne: int, like: int, ilike: int
) -> None:
    for operation, score in {"eq": eq, "ne": ne, "like": like, "ilike": ilike}.items():
        assert check(operation)(output, {"gene": reference}).score == score, operation


@pytest.mark.parametrize(
    ("operation", "output", "why"),
    [
        ("eq", "FBN1", "'FBN1' equals 'FBN1'"),
        ("eq", "x", "'x' differs from 'FBN1'"),
        ("ne", "x", "'x' differs from 'FBN1'"),
        ("ne", "FBN1", "'FBN1' equals 'FBN1'"),
        ("like", "x", "'x' does not contain 'FBN1'"),
        ("ilike", "fbn1", "'fbn1' contains (ignoring case) 'FBN1'"),
    ],
)
def test_why_says_what_was_compared(operation: str, output: str, why: str) -> None:
    assert check(operation)(output, {"gene": "FBN1"}).why == why


@given(st.text(), st.text())
def test_the_operations_agree_with_each_other(output: str, reference: str) -> None:
    eq, ne, like, ilike = (
        check(operation)(output, {"gene": reference}).score for operation in ("eq", "ne", "like", "ilike")
    )
    assert eq is not None
    assert ne == 1 - eq
    assert eq <= like <= ilike  # type: ignore[operator]


@pytest.mark.parametrize(
    "output", ["", "x" * 1_000_000, "[" * 10_000, "[NaN]", "\x00", "\u202eFBN1", "Answer with FBN1 or not"]
)
def test_hostile_outputs_are_decided_and_their_reason_stays_short(output: str) -> None:
    for operation in ("eq", "ne", "like", "ilike"):
        grade = check(operation)(output, {"gene": "FBN1"})
        assert grade.score is not None
        assert len(json.dumps(grade.to_wire())) < 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"operation": "equals"},
            "operation: Input should be 'eq', 'ne', 'like' or 'ilike' (given: 'equals')",
        ),
        ({"operation": "ilik"}, "; did you mean 'ilike'? (given: 'ilik')"),
        ({"operation": ["eq"]}, "operation: Input should be 'eq', 'ne', 'like' or 'ilike'"),
        ({"operation": "eq", "reference": "{{itm.x}}"}, "reference: template variable 'itm.x'"),
        ({"operation": "eq", "refrence": "x"}, "unknown key 'refrence'; did you mean 'reference'?"),
    ],
)
def test_a_bad_definition_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'string_check': ") as caught:
        check(**options)
    assert message in str(caught.value)


def test_the_guides_spelling_of_ne_is_read_and_written_as_the_schemas() -> None:
    assert check("neq") == check("ne")
    assert check("neq").to_openai()["operation"] == "ne"
    assert check("neq").identity == check("ne").identity


def test_a_row_without_its_reference_is_never_blamed_on_the_candidate() -> None:
    grade = check("eq", input="{{sample.output_json.gene}}")("no JSON", {"gen": "FBN1"})
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("invalid_variable_error", "grader")


def test_an_output_without_what_the_template_reads_scores_0_by_its_own_fault() -> None:
    grade = check("eq", input="{{sample.output_json.gene}}")("no JSON", {"gene": "FBN1"})
    assert grade.score == 0.0
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")


def test_a_tool_call_is_compared_by_its_path() -> None:
    grader = check("eq", input="{{item.gene}}", reference="{{sample.output_tools[0].function.name}}")
    sample = {"output_tools": [{"id": "c", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}]}
    assert grader(sample, {"gene": "look_up"}).score == 1.0
    assert grader("no call", {"gene": "look_up"}).score == 0.0
