"""Cases as authors write them: what is read, and what is refused with its place."""

from __future__ import annotations

from typing import Any

import pytest

from graders.code.cases import Call, Program, read_cases
from graders.code.compare import Rules

RULES = Rules()


def read(given: Any, function: str = "f") -> Any:
    return read_cases(given, function, RULES, 2**20)


def test_a_case_has_a_name_a_weight_and_may_be_visible() -> None:
    first, second = read([{"args": [1], "expected": 2}, {"expected": 1, "name": "none", "weight": 3, "visible": True}])
    assert (first.name, first.weight, first.visible) == ("case 1", 1.0, False)
    assert (second.name, second.weight, second.visible) == ("none", 3.0, True)
    assert isinstance(first.task, Call)
    assert (first.task.args, first.task.kwargs, first.task.expected.data) == ([1], {}, 2)
    assert second.task.args == []


def test_a_program_may_have_no_input() -> None:
    (case,) = read([{"stdout": "x"}], "")
    assert case.task == Program("", "x", RULES)


def test_what_is_expected_must_fit_into_an_answer() -> None:
    with pytest.raises(ValueError, match=r"case 1: expected has .* raise output_kb"):
        read_cases([{"args": [], "expected": list(range(300_000))}], "f", Rules(), 2**20)


@pytest.mark.parametrize(
    ("row", "args", "kwargs"),
    [
        ({"args": [{"a": 1}]}, [{"dict": [["a", 1]]}], {}),
        ({"args_typed": [{"tuple": [1]}, {"set": [2]}]}, [{"tuple": [1]}, {"set": [2]}], {}),
        ({"kwargs": {"k": [1]}}, [], {"k": [1]}),
        ({"kwargs_typed": {"k": {"tuple": []}}}, [], {"k": {"tuple": []}}),
        ({"args": (1, (2, 3))}, [1, {"tuple": [2, 3]}], {}),  # of an item made in Python
    ],
)
def test_arguments_are_plain_json_or_bear_their_types(row: dict[str, Any], args: Any, kwargs: Any) -> None:
    (case,) = read([{**row, "expected": 1}])
    assert (case.task.args, case.task.kwargs) == (args, kwargs)


@pytest.mark.parametrize(
    ("given", "function", "said"),
    [
        (5, "f", "a list of cases is expected"),
        ({"args": []}, "f", "a list of cases is expected"),
        ({"inputs": [[1]], "outputs": [2]}, "f", "each inputs beside outputs? see the page of this grader"),
        (" ", "f", "they are blank"),
        ("[" + "1, " * 500, "f", "given '[1, 1, 1"),
        ([{"input": [1], "output": 2}], "f", "case 1: unknown key 'input'; did you mean 'args'?"),
        ([{"args": [1], "output": 2}], "f", "case 1: unknown key 'output'; did you mean 'expected'?"),
        ([{"input": "1", "output": "2"}], "", "case 1: unknown key 'input'; did you mean 'stdin'?"),
        ([{"stdin": "1", "output": "2"}], "", "case 1: unknown key 'output'; did you mean 'stdout'?"),
        ("[", "f", "they are no JSON"),
        ('[{"expected": NaN}]', "f", "they are no JSON: NaN is not JSON"),
        ('[{"expected": 1, "expected": 2}]', "f", "the key 'expected' stands twice"),
        ([], "f", "there are none; give the row its cases, or leave the row out"),
        ([5], "f", "case 1: an object is expected, not 5"),
        ([{"expected": 1, "arg": []}], "f", "case 1: unknown key 'arg'; did you mean 'args'?"),
        ([{"expected": 1}, {"stdin": "x", "stdout": "y"}], "f", "case 2: unknown key 'stdin'; that is for programs"),
        ([{"args": [1], "expected": 1}], "", "case 1: unknown key 'args'; that is for functions; name one in"),
        ([{"args": [1]}], "f", "case 1: key 'expected' is missing"),
        ([{"args": "ab", "expected": 1}], "f", "case 1: args must be a list"),
        ([{"kwargs": [1], "expected": 1}], "f", "case 1: kwargs must be an object"),
        ([{"expected": 1, "expected_typed": 1}], "f", "case 1: expected and expected_typed are one value, given twice"),
        ([{"expected_typed": {"tupel": []}}], "f", "case 1: no value of the type 'tupel'"),
        ([{"expected_typed": {"set": [[1]]}}], "f", "case 1: unhashable type: 'list'"),
        ([{"expected_typed": {"int": 5}}], "f", "case 1: no value of the type 'int'"),
        ([{"expected": float("nan")}], "f", 'expected holds NaN; where that is meant, write {"float": "nan"} under'),
        ([{"args": [[float("nan")]], "expected": 1}], "f", "case 1: args holds NaN"),
        ([{"expected": object()}], "f", "case 1: a value of the type object"),
        ([{"expected": 1, "weight": 0}], "f", "case 1: weight 0 must be from 0.000001 to 1,000,000"),
        ([{"expected": 1, "weight": float("inf")}], "f", "case 1: weight inf must be"),
        ([{"expected": 1, "weight": True}], "f", "case 1: weight True is no number"),
        ([{"expected": 1, "visible": 1}], "f", "case 1: visible must be true or false, not 1"),
        ([{"expected": 1, "name": " "}], "f", "case 1: name ' ' is no name"),
        ([{"expected": 1, "name": "a"}, {"expected": 2, "name": "a"}], "f", "two cases are called 'a'"),
        ([{"expected": 1, "name": "case 2"}, {"expected": 2}], "f", "two cases are called 'case 2'"),
        ([{"stdin": "x"}], "", "case 1: key 'stdout' is missing"),
        ([{"stdin": 5, "stdout": "x"}], "", "case 1: stdin must be text, not 5"),
        ([{"stdout": 5}], "", "case 1: stdout must be text, not 5"),
        ([{"stdout": "x" * 2**20}], "", "case 1: stdout is 1,024 kB or more, which no program may print"),
        ([{"stdin": "\ud800", "stdout": "x"}], "", "case 1: 'utf-8' codec can't encode"),
        ([{"expected": 1}] * 10_001, "f", "there are 10,001; 10,000 is the most"),
    ],
)
def test_a_case_that_cannot_be_used_is_refused_with_its_place(given: Any, function: str, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        read(given, function)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("row", "claim", "said"),
    [
        ({"expected": 2}, 2.0, 'returned 2.0; expected 2 (numbers="equal" takes either)'),
        ({"expected": 2}, 3.0, "returned 3.0; expected 2"),
        ({"expected": 1}, True, "returned True; expected 1"),
        ({"expected": [1, [2]]}, [1, {"tuple": [2]}], 'expected [1, [2]] (a list and a tuple differ: sequences="equal" '
         "takes either, expected_typed says which)"),
        ({"expected": [1, 2]}, {"tuple": [1, 2.0]}, '(numbers="equal" with sequences="equal" takes either)'),
        ({"expected": {"1": [2]}}, {"dict": [[1, [2]]]},
         "(keys of a JSON object are text: expected_typed holds others)"),
        ({"expected": {"1": 2}}, {"dict": [[1, 3]]}, "returned {1: 3}; expected {'1': 2}"),
        ({"expected_typed": {"set": [1]}}, [1], "returned [1]; expected {1}"),
    ],
)  # fmt: skip
def test_a_case_that_fails_by_strictness_alone_names_what_would_let_it_pass(
    row: dict[str, Any], claim: Any, said: str
) -> None:
    (case,) = read([row])
    failure = case.task.failure(claim)
    assert failure.endswith(said)


def test_a_deep_value_is_refused_and_breaks_nothing() -> None:
    deep: Any = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ValueError, match="case 1: a value nested more than 100 deep"):
        read([{"expected": deep}])
