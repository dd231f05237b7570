"""Generated cases: drawn from an author's source, answered by an author's solution, the same for every sample."""

from __future__ import annotations

from typing import Any

import pytest

from graders import Grade, load
from graders.code import generated
from graders.code.checks import check_source
from graders.sandbox.pool import RefusedError, pool
from graders.sandbox.process import ServerFailedError

try:
    pool().check()
except (RefusedError, ServerFailedError, OSError) as problem:  # pragma: no cover
    pytest.skip(f"no sandbox here: {problem}", allow_module_level=True)

ADD = "def add(a, b):\n    return a + b\n"
DRAWN = "def arguments(rng):\n    return [rng.randrange(100), rng.randrange(100)]\n"
STRATEGY = "from hypothesis import strategies as st\narguments = st.lists(st.integers(0, 99), min_size=2, max_size=2)\n"


def graded(output: str = ADD, **options: Any) -> Grade:
    wire = {"type": "code", "function": "add", "arguments": DRAWN, "reference": ADD, **options}
    return load(wire)(output)


def graded_of_item(output: str, **item: str) -> Grade:
    wire = {"type": "code", "function": "add", "arguments": "{{item.arguments}}", "reference": "{{item.reference}}"}
    return load({**wire, "timeout_seconds": 0.5})(output, {"arguments": DRAWN, "reference": ADD, **item})


def test_honest_code_passes_generated_cases_and_a_table_does_not() -> None:
    assert graded().why == "passed all 20 cases"
    table = graded("def add(a, b): return {(1, 2): 3}[a, b]", cases=[{"args": [1, 2], "expected": 3, "visible": True}])
    assert table.score == 0.0
    assert "generated 1 failed: add(" in table.why
    assert "1 of 1 visible and 0 of 1 hidden cases passed" in table.why


def test_generated_cases_depend_on_the_seed_alone() -> None:
    answers = {graded("def add(a, b): return -1", seed=seed).why for seed in (0, 0, 1)}
    assert len(answers) == 2
    assert graded(generated=3).why == "passed all 3 cases"


def test_a_hypothesis_strategy_draws_arguments_too() -> None:
    pytest.importorskip("hypothesis")
    first = graded("def add(a, b): return -1", arguments=STRATEGY).why
    assert graded(arguments=STRATEGY).score == 1.0
    generated._forget()
    assert graded("def add(a, b): return -1", arguments=STRATEGY).why == first
    assert "No module named 'hypothesis'" in graded(f"import hypothesis\n{ADD}", arguments=STRATEGY).why


def test_a_program_is_generated_its_input() -> None:
    grader = load(
        {
            "type": "code",
            "arguments": "def arguments(rng): return [f'{rng.random()} {rng.random()}']",
            "reference": "print(sum(map(float, input().split())))",
        }
    )
    assert grader("a, b = map(float, input().split())\nprint(a + b)").score == 1.0
    assert grader("print(1.0)").score == 0.0


def test_cases_are_made_once_for_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = generated.Recipe._made

    def counted(recipe: generated.Recipe) -> Any:
        made.append(recipe)
        return real(recipe)

    monkeypatch.setattr(generated.Recipe, "_made", counted)
    generated._forget()
    grader = load({"type": "code", "function": "add", "arguments": DRAWN, "reference": ADD, "seed": 77})
    grades = grader.call_batch([(ADD, {}), ("def add(a, b): return 0", {}), (ADD, {})])
    assert [grade.score for grade in grades] == [1.0, 0.0, 1.0]
    assert len(made) == 1


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    generated._forget()
    monkeypatch.setattr(generated, "MOST_KEPT", 2)
    for seed in range(4):
        graded(seed=seed, generated=1)
    assert len(generated._kept._found) == 2
    monkeypatch.setattr(generated, "MOST_SIZE", 0)
    graded(seed=9, generated=1)
    assert (len(generated._kept._found), generated._kept._size) == (0, 0)


@pytest.mark.parametrize("output", [ADD, "no code", "", "while True: pass"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"arguments": "x = 1"}, "arguments: it defines no 'arguments'"),
        ({"arguments": " "}, "arguments: the source is blank"),
        ({"reference": " "}, "reference: the source is blank"),
        ({"arguments": "arguments = [1, 2]"},
         "arguments: `arguments` must be a function or a hypothesis strategy, not a value of the type list"),
        ({"arguments": "def arguments(rng) return"}, "arguments: the source does not compile: SyntaxError"),
        ({"arguments": "def arguments(rng): return 1 / 0"}, "arguments: the source raised ZeroDivisionError"),
        ({"arguments": "def arguments(rng): return 5"}, "`arguments` gave a value of the type int"),
        ({"arguments": "def arguments(rng): return [print]"}, "a value of the type builtin_function_or_method"),
        ({"arguments": "import os\nos._exit(0)"}, "arguments: the source ended its process without an answer"),
        ({"reference": "def add(a, b): return a / 0"}, "reference: for the arguments ["),
        ({"reference": "def sub(a, b): return 0"}, "it defines no 'add'; it defines sub"),
        ({"reference": "def add(a, b): yield 0"}, "it returned a value of the type generator"),
        ({"reference": "while True: pass"},
         "it took longer than 0.5 s (timeout_seconds holds for the reference too)"),
    ],
)  # fmt: skip
def test_arguments_or_a_reference_that_cannot_be_used_leave_the_grade_undecided(
    options: dict[str, Any], said: str, output: str
) -> None:
    grade = graded_of_item(output, **options)
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("invalid_reference", "grader")
    assert said in grade.why


def test_a_strategy_of_what_is_no_list_is_told() -> None:
    pytest.importorskip("hypothesis")
    ints = "from hypothesis import strategies as st\narguments = st.integers()\n"
    assert "`arguments` gave a value of the type int; it must give a list, of one call" in graded(arguments=ints).why


def test_arguments_have_a_time_of_their_own_which_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "DRAW_SECONDS", 0.3)
    grade = graded_of_item(ADD, arguments="def arguments(rng):\n    while True: pass\n")
    assert "arguments: the source took longer than 0.3 s, the most that drawing the arguments may take" in grade.why


@pytest.mark.parametrize(
    "source",
    [
        "arguments = print",
        "from helpers import arguments",
        "from helpers import *",
        "import helpers as arguments",
        "if 1:\n    def arguments(rng): return []",
        "globals()['arguments'] = print",
        "arguments, x = print, '\\d'",
    ],
)
def test_a_source_may_define_arguments_in_any_way(source: str) -> None:
    check_source(source, "arguments")


def test_a_reference_that_was_too_slow_once_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {
        "reference": "import time\ndef add(a, b):\n    time.sleep(0.2)\n    return a + b\n",
        "generated": 2,
        "timeout_seconds": 4.9,
    }
    seconds = [0.05]  # of the reference, while the machine is slow
    real = generated.Recipe._answer

    def hurried(recipe: generated.Recipe, args: list[Any]) -> Any:
        return real(recipe._replace(runner=recipe.runner._replace(seconds=seconds[0])), args)

    monkeypatch.setattr(generated.Recipe, "_answer", hurried)
    first = graded(**options)
    assert first.error is not None
    assert first.error.kind == "invalid_reference"
    seconds[0] = 4.9
    assert graded(**options).score == 1.0
