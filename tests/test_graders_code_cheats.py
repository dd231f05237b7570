"""Candidates that try to be scored right without being right, and honest ones, against each way of judging code.

The candidates stand in code_cheats.txt and code_honest.txt. Each way has visible, hidden and generated cases, as far as
it knows them.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from graders.grade import Grade
from graders.grader import Grader
from graders.registry import load
from graders.sample import Sample
from graders.sandbox.pool import pool

HERE = Path(__file__).parent
SECTION = re.compile(r"^=== (?P<modes>[a-z ]+): (?P<name>.*)\n(?P<code>(?:(?!^=== ).*\n?)*)", re.MULTILINE)

pytestmark = pytest.mark.skipif(pool().standing().level < "S2", reason="the sandbox is weaker than S2 here")

RIGHT = """
def spread(values):
    return [min(values), max(values), sum(values)] if values else []
"""
ARGUMENTS = """
def arguments(random):
    return [[random.randint(-50, 50) for _ in range(random.randint(2, 9))]]
"""
CHECK = """
import random

def check(candidate):
    assert candidate([3, 1, 2]) == [1, 3, 6]
    assert candidate([5]) == [5, 5, 5]
    assert candidate([]) == []
    for _ in range(3):
        values = [random.randint(-50, 50) for _ in range(5)]
        assert candidate(values[:]) == [min(values), max(values), sum(values)], candidate(values[:])
"""
CLASSES = """
import unittest

class TestSpread(unittest.TestCase):
    def test_visible(self):
        self.assertEqual(spread([3, 1, 2]), [1, 3, 6])
        self.assertListEqual(spread([5]), [5, 5, 5])

    def test_hidden(self):
        self.assertEqual(spread([10, -4, 7, 7]), [-4, 10, 20])
        self.assertFalse(spread([]))
        for low, high, total in [spread([0, 0]), spread([-9, -3])]:
            self.assertTrue(low * 2 <= total <= high * 2)
"""
FUNCTIONS = """
def test_visible():
    assert spread([3, 1, 2]) == [1, 3, 6]
    assert spread([5]) == [5, 5, 5]

def test_hidden(candidate=None):
    assert spread([10, -4, 7, 7]) == [-4, 10, 20]
    assert spread([-9, -3]) == [-9, -3, -12]
"""
PROGRAM = """
import sys
numbers = [int(word) for word in sys.stdin.read().split()]
print(min(numbers), max(numbers), sum(numbers), sep="\\n")
"""
INPUTS = """
def arguments(random):
    return [" ".join(str(random.randint(-50, 50)) for _ in range(random.randint(2, 9)))]
"""
ITEM: dict[str, Any] = {
    "cases": [
        {"args": [[3, 1, 2]], "expected": [1, 3, 6], "visible": True},
        {"args": [[5]], "expected": [5, 5, 5], "visible": True},
        {"args": [[10, -4, 7, 7]], "expected": [-4, 10, 20]},
        {"args": [[]], "expected": []},
        {"args": [[0, 0]], "expected": [0, 0, 0]},
        {"args": [[-9, -3]], "expected": [-9, -3, -12]},
    ],
    "programs": [
        {"stdin": "3 1 2", "stdout": "1\n3\n6\n", "visible": True},
        {"stdin": "5", "stdout": "5\n5\n5\n", "visible": True},
        {"stdin": "10 -4 7 7\n", "stdout": "-4\n10\n20\n"},
        {"stdin": "-9 -3", "stdout": "-9\n-3\n-12\n"},
    ],
}
WAYS: dict[str, dict[str, Any]] = {
    "function": {"function": "spread", "cases": "{{item.cases}}"},
    "generated": {"function": "spread", "reference": RIGHT, "arguments": ARGUMENTS, "generated": 4, "seed": 7},
    "check": {"function": "spread", "tests": CHECK},
    "classes": {"function": "spread", "tests": CLASSES},
    "functions": {"function": "spread", "tests": FUNCTIONS},
    "program": {"cases": "{{item.programs}}"},
    "drawn program": {"reference": PROGRAM, "arguments": INPUTS, "generated": 3},
}
MODES = {
    "function": ("function", "generated"),
    "tests": ("check", "classes", "functions"),
    "program": ("program", "drawn program"),
}


class Candidate(NamedTuple):
    """A section of a file of candidates."""

    name: str
    modes: list[str]
    code: str


def candidates(file: str) -> list[Candidate]:
    text = (HERE / file).read_text(encoding="utf-8")
    found = [
        Candidate(part["name"], part["modes"].split(), part["code"].replace("␀", "\0"))
        for part in SECTION.finditer(text)
    ]
    assert len(found) == text.count("\n=== ")
    return found


def trials(file: str) -> list[Any]:
    """Each candidate against each way of judging that its modes have."""
    return [
        pytest.param(way, candidate, id=f"{way}-{candidate.name}".replace(" ", "_"))
        for candidate in candidates(file)
        for mode in candidate.modes
        if mode in MODES
        for way in MODES[mode][: 1 if "slow" in candidate.modes else None]
    ]


@cache
def grader(way: str, seconds: float = 5.0, **more: Any) -> Grader:
    return load({"type": "code", "timeout_seconds": seconds, "memory_mb": 96, **WAYS[way], **more})


def graded(way: str, code: str, seconds: float = 5.0, **more: Any) -> Grade:
    return grader(way, seconds, **more)(f"Here it is:\n\n```python\n{code}```\n", ITEM)


@pytest.mark.parametrize(("way", "candidate"), trials("code_cheats.txt"))
def test_no_cheat_is_accepted(way: str, candidate: Candidate) -> None:
    grade = graded(way, candidate.code, 0.2 if "slow" in candidate.modes else 5.0)
    assert grade.score == 0, grade.why
    assert grade.why
    assert grade.error is None or grade.error.fault == "candidate"


@pytest.mark.parametrize(("way", "candidate"), trials("code_honest.txt"))
def test_every_honest_solution_is_accepted(way: str, candidate: Candidate) -> None:
    grade = graded(way, candidate.code)
    assert grade.score == 1, grade.why


@pytest.mark.parametrize("way", WAYS)
def test_cheats_spoil_nothing_for_those_beside_them(way: str) -> None:
    """Honest and hostile samples graded at the same time; the hostile ones shoot at whatever is there."""
    mode = next(mode for mode, ways in MODES.items() if way in ways)
    hostile = ["signals to everybody", "all the memory", "small numbers rewritten in memory"]
    bad = [candidate.code for candidate in candidates("code_cheats.txt") if candidate.name in hostile]
    good = [candidate.code for candidate in candidates("code_honest.txt") if mode in candidate.modes][:3]
    mixed = [code for pair in zip(good, bad, strict=True) for code in pair]
    judge = grader(way)
    found = judge.grade_batch([(Sample(f"```python\n{code}```"), ITEM) for code in mixed])
    assert [grade.score for grade in found if isinstance(grade, Grade)] == [1, 0] * len(good)


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("", 0),
        ("All tests pass.", 0),
        ('{"score": 1, "passed": true}', 0),
        (RIGHT, 1),
        (f"```python{RIGHT}```", 1),
        (f"<think>```python{RIGHT}```</think>I know it.", 0),
        (f"```python{RIGHT}``` or:\n\n```python\ndef spread(values):\n    return []\n```", 0),
        (f"```python\ndef spread(values):\n    return []\n```\nNo:\n\n```python{RIGHT}```", 1),
        ("```python\n```\n" * 1000, 0),
        ("```python\n" * 1000, 0),
    ],
)
def test_the_last_block_of_the_answer_counts_and_nothing_else(answer: str, score: int) -> None:
    assert grader("function")(answer, ITEM).score == score


@pytest.mark.parametrize("way", ["function", "check", "program"])
@pytest.mark.parametrize(
    "answer",
    [
        "x = '\ud800'",
        "#" + "x" * 5_000_000,
        "`" * 500_000,
        "<think>" * 50_000,
        "x = 1\0",
        "(" * 100_000,
        "1+" * 200_000 + "1",
    ],
    ids=["half a surrogate pair", "5 MB", "backticks", "thoughts", "a null byte", "brackets", "a long sum"],
)
def test_an_answer_of_any_shape_is_decided(way: str, answer: str) -> None:
    grade = load({"type": "code", "memory_mb": 64, **WAYS[way]})(answer, ITEM)
    assert grade.score == 0
    assert grade.error is None or grade.error.fault == "candidate"


def test_code_made_for_the_visible_cases_is_told() -> None:
    code = "def spread(values):\n    return [1, 3, 6] if len(values) == 3 else [5] * 3\n"
    grade = graded("function", code)
    assert grade.score == 0
    assert "visible and 0 of 1 hidden cases passed" in grade.why


@pytest.mark.parametrize(
    ("tests", "code"),
    [
        # tests that swallow what they catch, or stop where an iteration does
        ("all(map(lambda n: candidate([n]) == [n] * 3, range(5)))", "raise StopIteration"),
        ("[candidate([n]) for n in iter(range(5))] == [[n] * 3 for n in range(5)]", "raise StopIteration"),
        ("not raises(candidate, [1])", "os._exit(0)"),
        ("not raises(candidate, [1])", "os.close(3)"),
        ("not raises(candidate, [1])", "os.write(3, b'x' * 100)"),
        ("not raises(candidate, [1])", "ctypes.string_at(0)"),
        # values that make the tests' own process fail
        ("sum(range(candidate([1])[0])) == 0", "return [10 ** 18]"),
        ("f'{1:>{candidate([1])[0]}}' == '1'", "return [10 ** 10]"),
        ("str(candidate([1])[0]) == '1'", "return [10 ** 5000]"),
        ("'a' * candidate([1])[0] == 'a'", "return [10 ** 12]"),
        ("2 ** candidate([1])[0] == 2", "return [10 ** 12]"),
        ("sorted(candidate([1])) == [1, 1, 1]", "return [1, 'a', None]"),
        ("abs(candidate([1])[0] - 1) < 1e-6", "return [float('nan')]"),
        ("candidate([1])[0] <= 1 <= candidate([1])[1]", "return [float('nan')] * 3"),
    ],
)
def test_what_a_candidate_does_cannot_end_the_tests_well(tests: str, code: str) -> None:
    helper = """
def raises(function, *given):
    try:
        function(*given)
    except Exception:
        return False
    return function(*given) != [1, 1, 1]
"""
    source = f"{helper}\ndef check(candidate):\n    assert {tests}\n"
    judge = load({"type": "code", "function": "spread", "tests": source, "timeout_seconds": 0.5, "memory_mb": 256})
    grade = judge(f"```python\nimport ctypes, os\n\ndef spread(values):\n    {code}\n```", {})
    assert grade.score == 0, grade.why


def test_numbers_too_long_to_be_written_are_compared_all_the_same() -> None:
    tests = "def check(candidate):\n    assert candidate(6000) == 10 ** 6000\n"
    for definition in ({"tests": tests}, {"cases": [{"args": [6000], "expected_typed": {"int": hex(10**6000)}}]}):
        judge = load({"type": "code", "function": "power", **definition})
        assert judge("def power(n): return 10 ** n", {}).score == 1
        assert judge("def power(n): return 10 ** n + 1", {}).score == 0


def test_there_are_as_many_cheats_as_claimed() -> None:
    assert len(candidates("code_cheats.txt")) >= 100
    assert len(candidates("code_honest.txt")) >= 20
    assert {mode for candidate in candidates("code_cheats.txt") for mode in candidate.modes} <= {*MODES, "slow"}
