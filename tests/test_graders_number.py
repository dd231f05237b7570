from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grade, Grader, Sample, load
from graders.math.numeral import distance, exact_number

SIMPLE = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=4)


def number(**options: Any) -> Grader:
    return load({"type": "number", "reference": "{{item.x}}", **options})


def kind(grade: Grade) -> str | None:
    return grade.error.kind if grade.error else None


@pytest.mark.parametrize(
    ("output", "reference"),
    [
        ("42", 42),
        (" 42\n", 42),
        ("+42", 42),
        ("-42", -42),
        ("\u221242", -42),
        ("42.0", 42),
        ("42.", 42),
        (".5", 0.5),
        ("007", 7),
        ("-0", 0),
        ("4.2e1", 42),
        ("4.2E+1", 42),
        ("4200e-2", 42),
        ("4.2e\u22121", 0.42),
        ("4.2 × 10^1", 42),
        ("4.2*10^{1}", 42),
        ("1,234,567.5", 1234567.5),
        ("1\u202f234", 1234),
        ("0.1", 0.1),
        ("42", "42"),
        ("42", "4.2e1"),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1e300", 1e300),
        ("**42**", 42),
        ("*42.*", 42),
        ("`42`", 42),
        ("$42$", 42),
        ("$$42$$", 42),
        ("\\(42\\)", 42),
        ('"42"', 42),
        ("\u201c42\u201d", 42),
        ("**$-42$**", -42),
    ],
)
def test_a_number_in_any_usual_spelling_is_read(output: str, reference: Any) -> None:
    assert number()(output, {"x": reference}).score == 1


@pytest.mark.parametrize(
    "output",
    [
        "",
        "  \n",
        "\u200b",
        "forty-two",
        "42 43",
        "42, 43",
        "42 or 43",
        "41-43",
        "42/1",
        "42%",
        "42 kg",
        "$42",
        "The answer is 42",
        "\\boxed{42}",
        '"42',
        "**42** or **43**",
        '"42" or "43"',
        "**42, 43**",
        "'' 42",
        "****",
        "42 is the answer",
        "4,2",
        "0,042",
        "12,34",
        "1,2345",
        "1 234",
        "1_000",
        "0x2a",
        "--42",
        "+-42",
        "4 2",
        "42²",
        "½",
        "٤٢",
        "４２",
        "NaN",
        "inf",
        "-Infinity",
        "true",
        "[42]",
        "1e",
        "e5",
        ".",
        "-",
        "1.2.3",
        "1e1001",
        "1e999999999999",
        pytest.param("9" * 1_001, id="1,001 nines"),
        pytest.param("9" * 1_000_000, id="a million nines"),
        "\ud800",
    ],
)
def test_anything_but_one_plain_number_fails_as_unreadable(output: str) -> None:
    grade = number(rel_tol=1.0)(output, {"x": 42})
    assert (grade.score, kind(grade)) == (0, "sample_parse_error")
    json.dumps(grade.to_wire()).encode()


@pytest.mark.parametrize(
    ("options", "output", "reference"),
    [
        ({"decimal_mark": ","}, "1.234,5", 1234.5),
        ({"decimal_mark": ","}, "1234,5", "1.234,5"),
        ({"decimal_mark": ","}, "1.234", 1234),
        ({"percent": True}, "50%", 0.5),
        ({"percent": True}, "50 %", "0.5"),
        ({"percent": True}, "0.5", "50%"),
        ({"fractions": True}, "3/4", 0.75),
        ({"fractions": True}, "-2/4", "-1/2"),
        ({"fractions": True, "percent": True}, "100/2%", 0.5),
        ({"units": ["kg"]}, "5 kg", 5),
        ({"units": ["kg"]}, "5kg", "5 kg"),
        ({"units": ["kg"]}, "5", "5 kg"),
        ({"units": ["k", "kg"]}, "5 kg", 5),
        ({"units": ["$"]}, "$1,000.50", 1000.5),
        ({"units": ["$"]}, "-$5", -5),
        ({"units": ["$"]}, "$-5", -5),
        ({"units": ["m/s", "°C"]}, "5 °C", 5),
        ({"units": ["m²"]}, "5 m²", 5),
    ],
)
def test_more_spellings_are_read_where_asked(options: dict[str, Any], output: str, reference: Any) -> None:
    assert number(**options)(output, {"x": reference}).score == 1


@pytest.mark.parametrize(
    ("options", "output"),
    [
        ({"decimal_mark": ","}, "1,234.5"),
        ({"percent": True}, "50%%"),
        ({"fractions": True}, "1/0"),
        ({"fractions": True}, "1/2/3"),
        ({"fractions": True}, "1.5/2"),
        ({"units": ["kg"]}, "5 g"),
        ({"units": ["kg"]}, "5 KG"),
        ({"units": ["kg"]}, "kg 5 kg"),
        ({"units": ["kg"]}, "5 kg 5"),
        ({"units": ["$"]}, "-$-5"),
        ({"units": ["kg"]}, "kg"),
    ],
)
def test_the_options_let_nothing_else_through(options: dict[str, Any], output: str) -> None:
    assert kind(number(rel_tol=1.0, **options)(output, {"x": 5})) == "sample_parse_error"


@pytest.mark.parametrize(
    ("options", "output", "reference", "score"),
    [
        ({}, "0.30000000000000004", 0.3, 0.0),  # exact: floats' noise is not forgiven unasked
        ({"abs_tol": 1e-9}, "0.30000000000000004", 0.3, 1.0),
        ({"abs_tol": 0.1}, "0.4", 0.3, 1.0),  # 0.1 means one tenth: 0.4 - 0.3 > 0.1 in floats
        ({"abs_tol": 0.1}, "0.4000000000000000000000000000001", 0.3, 0.0),
        ({"rel_tol": 0.01}, "101", 100, 1.0),
        ({"rel_tol": 0.01}, "101.01", 100, 0.0),
        ({"rel_tol": 0.01}, "-99", -100, 1.0),
        ({"rel_tol": 0.01}, "0.001", 0, 0.0),  # no relative error of zero
        ({"rel_tol": 0.01, "abs_tol": 0.5}, "100.9", 100, 1.0),
        ({"rel_tol": 0.01, "abs_tol": 0.5}, "0.5", 0, 1.0),
        ({"rel_tol": 0.001, "fractions": True}, "1/3", 0.3333, 1.0),
        ({"abs_tol": 1, "zero_at": 5}, "11", 10, 1.0),
        ({"abs_tol": 1, "zero_at": 5}, "13", 10, 0.5),
        ({"abs_tol": 1, "zero_at": 5}, "15", 10, 0.0),
        ({"abs_tol": 1, "zero_at": 5}, "1e1000", 10, 0.0),
        ({"rel_tol": 0.1, "zero_at": 1.5}, "8.8", 10, 0.6),
        ({"rel_tol": 0.1, "zero_at": 2}, "1", 0, 0.0),
    ],
)
def test_the_tolerance_is_exact_and_the_credit_beyond_it_linear(
    options: dict[str, Any], output: str, reference: Any, score: float
) -> None:
    assert number(**options)(output, {"x": reference}).score == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, "invalid_variable_error"),
        ({"x": None}, "invalid_variable_error"),
        ({"x": ""}, "invalid_reference"),
        ({"x": "about 5"}, "invalid_reference"),
        ({"x": "5 kg"}, "invalid_reference"),
        ({"x": True}, "invalid_reference"),
        ({"x": [5]}, "invalid_reference"),
        ({"x": math.nan}, "invalid_reference"),
        ({"x": math.inf}, "invalid_reference"),
        pytest.param({"x": 10**10_000}, "invalid_reference", id="10,000 digits"),
    ],
)
@pytest.mark.parametrize("output", ["5", "no number"])
def test_a_broken_row_is_undecided_whatever_the_output(row: dict[str, Any], expected: str, output: str) -> None:
    grade = number(abs_tol=1e9)(output, row)
    assert (grade.score, kind(grade)) == (None, expected)


@pytest.mark.parametrize(
    ("value", "score"),
    [(5, 1.0), (5.0, 1.0), ("5", 1.0), (True, 0.0), ([5], 0.0), pytest.param(10**5000, 0.0, id="5,000 digits")],
)
def test_a_number_in_json_is_taken_as_it_is_and_true_is_not_one(value: Any, score: float) -> None:
    grade = number(input="{{sample.output_json}}", abs_tol=4)(Sample("x", output_json=value), {"x": 5})
    assert grade.score == score


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": True}, "True is not a number"),
        ({"reference": "five"}, "reference: 'five' is not one plain number"),
        ({"reference": math.nan}, "nan is not a finite number"),
        ({"abs_tol": -1}, "abs_tol"),
        ({"rel_tol": math.inf}, "rel_tol"),
        ({"abs_tol": True}, "abs_tol"),
        ({"rel_tol": "0.1"}, "rel_tol"),
        ({"zero_at": 2}, "set abs_tol or rel_tol"),
        ({"zero_at": 1, "abs_tol": 1}, "greater than 1"),
        ({"units": [""]}, "blank"),
        ({"units": [" kg"]}, "space around it"),
        ({"units": ["2x"]}, "like a number"),
        ({"units": ["e"]}, "power of ten"),
        ({"decimal_mark": ";"}, "decimal_mark"),
    ],
)
def test_bad_definitions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        number(**options)


def test_a_unit_that_is_also_a_mark_is_read_first() -> None:
    grader = number(reference=42, units=["$"])
    for output in ("$42", "42 $", "$42$", "**$42**"):
        assert grader(output).score == 1


def test_the_reference_may_be_a_constant() -> None:
    assert number(reference=4.5, decimal_mark=",")("4,5").score == 1
    assert number(reference="4,5", decimal_mark=",")("4,5").score == 1
    assert number(reference=42)("42").why == "42 equals 42"


@pytest.mark.parametrize("output", ["42", "42.00", "4.2e1", "+42", "0.42 × 10^2"])
def test_what_was_read_has_one_spelling(output: str) -> None:
    assert number()(output, {"x": 1}).extracted == "42"


def test_a_long_number_is_shown_shortened() -> None:
    grade = number()("9" * 900, {"x": 3})
    assert grade.score == 0
    assert len(grade.why) < 120


@given(SIMPLE, SIMPLE, st.floats(0, 1e6), st.floats(0, 2))
def test_the_verdict_is_that_of_exact_arithmetic(one: Any, other: Any, abs_tol: float, rel_tol: float) -> None:
    grade = number(abs_tol=abs_tol, rel_tol=rel_tol)(str(one), {"x": str(other)})
    tolerance = max(Fraction(repr(abs_tol)), Fraction(repr(rel_tol)) * abs(Fraction(other)))
    assert grade.score == float(abs(Fraction(one) - Fraction(other)) <= tolerance)


@given(SIMPLE, SIMPLE, SIMPLE)
def test_being_closer_never_earns_less(right: Any, one: Any, other: Any) -> None:
    near, far = sorted([one, other], key=lambda value: abs(value - right))
    grader = number(abs_tol=3, rel_tol=0.01, zero_at=1000)
    scores = [grader(str(value), {"x": str(right)}).score or 0 for value in (near, far)]
    assert 1 >= scores[0] >= scores[1] >= 0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_of_the_item_equals_its_own_text(value: float) -> None:
    assert number()(repr(value), {"x": value}).score == 1


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_mixed_kinds_of_numbers_are_compared_exactly(over: int, under: int) -> None:
    assert distance(Fraction(over, under), exact_number(over)) == abs(Fraction(over, under) - over)


@given(st.text(alphabet="0123456789.,-+eE/% kg×^10{}\u2212\u202f", max_size=40))
def test_any_output_is_decided(output: str) -> None:
    grader = number(percent=True, fractions=True, units=["kg", "g"], abs_tol=1, zero_at=3)
    grade = grader(output, {"x": 5})
    assert grade.score is not None
    assert 0 <= grade.score <= 1
    json.dumps(grade.to_wire())


def test_a_hostile_numeral_is_read_in_no_time() -> None:
    for output in ("1," * 500, "1" * 999 + "!", "9" * 990 + "e1000", "1 " * 500_000, "1/" * 400):
        number(fractions=True, rel_tol=0.5, zero_at=3)(output, {"x": 1e-300})


def test_a_definition_survives_being_written_and_read() -> None:
    grader = number(abs_tol=0.5, zero_at=4, units=["kg"], percent=True, fractions=True, decimal_mark=",")
    grader("5", {"x": 5})
    again = load(json.loads(json.dumps(grader.to_wire())))
    assert again == grader
    assert again.identity == grader.identity
