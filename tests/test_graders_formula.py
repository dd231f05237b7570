from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders.algebra.formula import FormulaError, parse

VALUES = {"rank": 0.7, "fmt": 1.0, "loss": -0.5}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.8*rank + 0.2*fmt", 0.76),
        ("1 - 2 - 3", -4.0),  # to the left
        ("8 / 4 / 2", 1.0),
        ("2 ^ 3 ^ 2", 512.0),  # to the right
        ("-2 ^ 2", -4.0),  # the power binds tighter than the sign
        ("2 ^ -1", 0.5),
        ("2 * -3", -6.0),
        ("--1", 1.0),
        ("-(1 + 2) * 3", -9.0),
        (".5 + 5. + 1e-1", 5.6),
        ("min(rank, fmt, 0.3)", 0.3),
        ("max(rank)", 0.7),
        ("abs(loss) + floor(1.9) + ceil(1.1)", 3.5),
        ("exp(0) + sqrt(4)", 3.0),
        ("log(exp(2))", 2.0),  # natural
        ("max(min(rank, 1), 0) ^ 2", 0.49),
        ("0 ^ 0", 1.0),
    ],
)
def test_formulas_compute_what_they_say(text: str, value: float) -> None:
    assert parse(text).evaluate(VALUES) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the formula ends at character 1; a number, a name or '(' was expected"),
        ("1 +", "the formula ends at character 4"),
        ("(1", "the '(' at character 1 is not closed"),
        ("1)", "a ')' without its '('"),
        ("1 2", "unexpected '2' at character 3; an operator was expected"),
        ("rank ** 2", "at character 7; a power is written ^"),
        ("flor(1)", "unknown function 'flor' at character 1; did you mean 'floor'?"),
        ("abs(1, 2)", "abs takes one argument, not 2"),
        ("max()", "unexpected ')'"),
        ("rank > 1", "unexpected '>' at character 6"),
        ("__import__('os')", 'unexpected "\'" at character 12'),
        ("rank.real", "unexpected '.' at character 5"),
        ("1e999", "too large at character 1"),
    ],
)
def test_what_is_no_formula_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 + 1 / (fmt - 1)", "1 / 0 divides by zero at character 7"),
        ("log(0)", "log(0) is not a real number at character 1"),
        ("sqrt(loss)", "sqrt(-0.5) is not a real number"),
        ("(-8) ^ (1/3)", "-8 ^ 0.333333 is not a real number at character 6"),
        ("0 ^ -1", "is not a real number"),
        ("exp(1000)", "exp(1000) is too large"),
        ("1e308 * 10", "1e+308 * 10 is too large"),
        ("floor(1e308 + 1e308)", "is too large"),
        ("10 ^ 400", "is too large"),
    ],
)
def test_a_step_without_a_finite_value_is_an_error_with_its_place(text: str, message: str) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(text).evaluate(VALUES)
    assert message in str(caught.value)


def test_an_unknown_name_is_met_by_the_nearest_one() -> None:
    with pytest.raises(FormulaError, match="unknown name 'rnk' at character 5; did you mean 'rank'"):
        parse("1 + rnk").check_names(VALUES)


@pytest.mark.parametrize("hostile", ["(" * 100_000, "-" * 100_000, "1^" * 100_000 + "1", "abs(" * 100_000])
def test_deep_nesting_is_refused_instead_of_crashing(hostile: str) -> None:
    with pytest.raises(FormulaError, match="nested more than 50 deep"):
        parse(hostile)


def test_a_long_sum_is_not_deep() -> None:
    assert parse(" + ".join(["rank"] * 20_000)).evaluate({"rank": 1.0}) == 20_000


def test_the_shown_formula_has_values_where_the_names_were() -> None:
    formula = parse("max(rank, loss) * 2  - rank")
    assert formula.show(VALUES) == "max(0.7, (-0.5)) * 2  - 0.7"
    assert formula.names == {"rank", "loss"}


numbers = st.integers(1, 9).map(str)
expressions = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-({text})"),
        inner.map(lambda text: f"abs({text})"),
        st.tuples(inner, inner).map(lambda pair: f"max({pair[0]}, {pair[1]})"),
    ),
    max_leaves=12,
)


@given(expressions)
def test_arithmetic_agrees_with_python(text: str) -> None:
    try:
        expected = float(eval(text))
    except ZeroDivisionError:
        with pytest.raises(FormulaError):
            parse(text).evaluate({})
    else:
        assert parse(text).evaluate({}) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@given(st.text(alphabet="0123456789.e+-*/^(), abmxin_\"'", max_size=30))
def test_any_text_is_evaluated_to_a_finite_number_or_refused(text: str) -> None:
    try:
        formula = parse(text)
        value = formula.evaluate(dict.fromkeys(formula.names, 0.5))
    except FormulaError:
        return
    assert math.isfinite(value)
