from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders.algebra.bounds import Trend, bound
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
        ("rank < fmt", 1.0),
        ("rank + 1 <= fmt", 0.0),  # comparisons bind loosest
        ("2 * rank > 1.3", 1.0),
        ("rank >= 0.7", 1.0),
        ("rank == 0.7", 1.0),
        ("rank != 0.7", 0.0),
        ("(rank > 0) * (rank < fmt)", 1.0),
        ("(rank > 0) == (fmt > 0)", 1.0),
        ("if(rank > 0.5, fmt, 1/0)", 1.0),  # the branch that is not taken is not evaluated
        ("if(rank < 0.5, 1/0, if(loss, 3, 4)) + 1", 4.0),
        ("if(rank - 0.7, 1, 2)", 2.0),  # 0 is false, anything else true
        ("clip(2*rank, 0, fmt)", 1.0),
        ("clip(loss, -1, 0)", -0.5),
        ("mean(rank, fmt, 0.1)", 0.6),
        ("mean(rank)", 0.7),
        ("-if(fmt, 2, 3) ^ 2", -4.0),
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
        ("0 < rank < 1", "a second comparison '<' at character 10; write (a < b) * (b < c)"),
        ("rank = 1", "unexpected '=' at character 6; equality is written =="),
        ("rank & 1", "unexpected '&' at character 6; known: + - * / ^ ( ) , < <= > >= == !="),
        ("!rank", "unexpected '!' at character 1"),
        ("+1", "unexpected '+' at character 1; a number, a name or '(' was expected"),
        ("if(rank, 1)", "if takes 3 arguments, not 2 at character 1"),
        ("clip(rank)", "clip takes 3 arguments, not 1 at character 1"),
        ("mean()", "unexpected ')'"),
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
        ("clip(1, rank, 0.2)", "clip(1, 0.7, 0.2) has its low end above its high end at character 1"),
        ("if(fmt, 1/(fmt - 1), 2)", "1 / 0 divides by zero at character 10"),
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


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("max(0, min(1, a)) ^ 2", ()),
        ("mean * clip", ()),  # names like any other
        ("if(a > b, 1, clip(a, 0, 1))", ("the comparison '>'", "the function 'clip'", "the function 'if'")),
        ("mean(a) + mean(b)", ("the function 'mean'",)),
    ],
)
def test_a_formula_tells_what_openais_formulas_do_not_have(text: str, features: tuple[str, ...]) -> None:
    assert parse(text).extensions == features


def test_the_shown_formula_leaves_a_name_without_a_value() -> None:
    assert parse("if(a > 0, a, b)").show({"a": 0.5}) == "if(0.5 > 0, 0.5, b)"


def test_a_result_of_minus_zero_is_zero() -> None:
    assert math.copysign(1, parse("0 * -1").evaluate({})) == 1


# Bounds and trends


@pytest.mark.parametrize(
    ("text", "low", "high", "trend"),
    [
        ("a", 0, 1, 1),
        ("1 - a", 0, 1, -1),
        ("0.8*a + 0.2*b", 0, 1, 1),
        ("a * b", 0, 1, 1),
        ("a * s", -1, 1, None),
        ("s * s", -1, 1, 0),  # each time as if it were free
        ("s ^ 2", 0, 1, 0),
        ("(a - 2) ^ 3", -8, -1, 1),
        ("(a - 2) ^ 2", 1, 4, -1),
        ("abs(a - 0.5)", 0, 0.5, None),
        ("abs(a - 2)", 1, 2, -1),
        ("1 / (1 + a)", 0.5, 1, -1),
        ("b / a", 0, math.inf, -1),
        ("log(a)", -math.inf, 0, 1),
        ("sqrt(s)", 0, 1, 0),
        ("exp(-a * 1000)", 0, 1, -1),
        ("max(a, 0.3)", 0.3, 1, 1),
        ("min(a, b + 1)", 0, 1, 1),
        ("min(a + 1, b)", 0, 1, 0),
        ("floor(2*a)", 0, 2, 1),
        ("a >= 0.5", 0, 1, 1),
        ("a < 0.5", 0, 1, -1),
        ("a >= 0", 1, 1, 0),
        ("a > 1", 0, 0, 0),
        ("a == 0.5", 0, 1, None),
        ("if(a > 0.5, 1, 0)", 0, 1, 1),
        ("if(a > 0.5, 0, 1)", 0, 1, -1),
        ("if(a > 0.5, b, 0.5)", 0, 1, None),
        ("if(b > 0.5, a, 2*a)", 0, 2, 1),
        ("if(a >= 0, b, 1/0)", 0, 1, 0),
        ("clip(2*a - 1, 0, 1)", 0, 1, 1),
        ("mean(a, b, 0.5)", 0.5 / 3, 2.5 / 3, 1),
        ("0 * u + a", 0, 1, 1),
        ("clip(u, 0, 1) - a", -1, 1, -1),
        ("b ^ a", 0, 1, -1),
        ("2 ^ a", 1, 2, 1),
    ],
)
def test_a_formula_is_bounded_and_rises_or_falls_as_it_says(text: str, low: float, high: float, trend: Trend) -> None:
    ranges = {"a": (0.0, 1.0), "b": (0.0, 1.0), "s": (-1.0, 1.0), "u": (-math.inf, math.inf)}
    found = bound(parse(text), ranges, ["a"])
    assert [found.low, found.high] == pytest.approx([low, high], abs=1e-12)
    assert found.trend("a") == trend


def test_the_ends_are_exact_where_the_arithmetic_is() -> None:
    assert bound(parse("0.7*a + 0.3*a"), {"a": (0.0, 1.0)})[:2] == (0.0, 1.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("1 / (a - a*0 - 0)", ""), ("1/0", "divides by zero"), ("sqrt(-1 - a)", "not a real"), ("exp(1000 + a)", "large")],
)
def test_a_formula_that_never_has_a_value_is_told_from_one_that_may_have_none(text: str, reason: str) -> None:
    if not reason:
        doubts: list[str] = []
        bound(parse(text), {"a": (0.0, 1.0)}, doubts=doubts)
        assert doubts == ["a division by zero is possible at character 3"]
        return
    with pytest.raises(FormulaError, match=reason):
        bound(parse(text), {"a": (0.0, 1.0)})


any_number = st.sampled_from(["0", "0.5", "1", "2", "3", "-1", "0.33"])
any_formula = st.recursive(
    st.one_of(any_number, st.sampled_from(["a", "b", "a", "b"])),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "^"]), inner).map(lambda x: f"({' '.join(x)})"),
        st.tuples(inner, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), inner).map(lambda x: f"({' '.join(x)})"),
        st.tuples(st.sampled_from(["-", "abs", "floor", "ceil", "exp", "sqrt", "log"]), inner).map(
            lambda x: f"{x[0]}({x[1]})"
        ),
        st.tuples(st.sampled_from(["min", "max", "mean"]), inner, inner).map(lambda x: f"{x[0]}({x[1]}, {x[2]})"),
        st.tuples(st.sampled_from(["if", "clip"]), inner, inner, inner).map(lambda x: f"{x[0]}({', '.join(x[1:])})"),
    ),
    max_leaves=8,
)
ends = st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.5, 2.0), (-2.0, -0.5), (0.0, 0.0), (-math.inf, math.inf)])


@settings(max_examples=300, deadline=None)
@given(any_formula, ends, ends, st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_values_never_leave_their_bounds_nor_move_against_their_trend(
    text: str, a: tuple[float, float], b: tuple[float, float], shares: list[float]
) -> None:
    def at(reach: tuple[float, float], share: float) -> float:
        low, high = (max(min(end, 50.0), -50.0) for end in reach)
        return min(max(low + share * (high - low), low), high)

    formula = parse(text)
    first, second = sorted(at(a, share) for share in shares[:2])
    values: list[float | None] = []
    for value in (first, second):
        try:
            values.append(formula.evaluate({"a": value, "b": at(b, shares[2])}))
        except FormulaError:
            values.append(None)
    try:
        found = bound(formula, {"a": a, "b": b}, ["a", "b"])
    except FormulaError:
        assert values == [None, None]
        return
    trend = found.trend("a")
    assert all(value is None or found.low <= value <= found.high for value in values)
    if values[0] is not None and values[1] is not None and trend is not None:
        rise = values[1] - values[0]
        slack = 1e-12 * max(abs(values[0]), abs(values[1]))  # exp, log and ^ are not rounded exactly
        assert rise == 0 if trend == 0 else rise * trend >= -slack


@given(st.text(alphabet="0123456789.e+-*/^(), abmxin_\"'<>=!?clpf", max_size=30))
def test_any_text_is_evaluated_to_a_finite_number_or_refused(text: str) -> None:
    try:
        formula = parse(text)
        value = formula.evaluate(dict.fromkeys(formula.names, 0.5))
    except FormulaError:
        return
    assert math.isfinite(value)


def test_a_long_blank_end_is_read_at_once() -> None:
    """A scan that begins again at every blank takes minutes here."""
    assert parse("1 +" + " " * 300_000 + "1" + "\t" * 300_000).evaluate({}) == 2.0
