from __future__ import annotations

import json
import math
from typing import Any

import pytest

from graders import Sample, load
from graders.code.python import Python
from graders.composite import GraderWarning

GOOD = "def grade(sample, item):\n    return 1.0\n"
MAX_SOURCE_BYTES = 256 * 1024


def python(source: str = GOOD, **options: Any) -> Python:
    grader = load({"type": "python", "source": source, **options})
    assert isinstance(grader, Python)
    return grader


def test_it_is_called_with_the_sample_and_the_whole_row_as_openai_does() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    row = {"messages": [{"role": "user", "content": "?"}], "gene": "FBN1", "nested": {"a": [1, 2.5, None]}}
    sample, item = python().arguments(Sample("", output_tools=(call,)), row)
    assert item == row
    assert sample == {
        "output_text": "",
        "output_json": None,
        "output_tools": [call],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "", "tool_calls": [call]},
                "finish_reason": "tool_calls",
            }
        ],
        "output_audio": None,
        "output_reasoning_summary": None,
    }
    json.dumps([sample, item], allow_nan=False)


def test_absent_parts_of_a_sample_are_null_or_empty_and_stored_ones_are_kept() -> None:
    sample, _ = python().arguments(Sample("no JSON"), {})
    assert (sample["output_json"], sample["output_tools"]) == (None, [])
    assert sample["choices"][0]["message"]["content"] == "no JSON"
    assert python().arguments(Sample('{"a": 1}'), {})[0]["output_json"] == {"a": 1}
    stored = Sample("x", choices=[{"index": 0, "message": {"role": "assistant", "content": "y"}}])
    assert python().arguments(stored, {})[0]["choices"] == list(stored.choices)


def test_loading_runs_nothing_and_any_finite_number_may_come_out() -> None:
    assert python("raise SystemExit('this ran')\n" + GOOD).range == (-math.inf, math.inf)


@pytest.mark.parametrize(
    "source",
    [
        GOOD,
        "def grade(sample: dict, item: dict) -> float:\n    return 0.5\n",
        "import json\nfrom typing import Any\nX = 1\ndef helper(a): return a\ndef grade(s, i): return helper(1.0)\n",
        "def my_grader(sample, item):\n    return 1.0\ngrade = my_grader\n",
        "grade = lambda sample, item: 1.0\n",
        "grade: object = lambda sample, item: 1.0\n",
        "def grade(x): return 1.0\ndef grade(sample, item): return 1.0\n",  # the last one counts
        "try:\n    import numpy\n    def grade(a, b): return 1\nexcept ImportError:\n    def grade(a, b): return 0\n",
        "if True:\n    def grade(sample, item): return 1.0\n",
        "import functools\n@functools.cache\ndef grade(*args): return 1.0\n",  # a decorator may change what it takes
        "from functools import partial as grade\n",
        "from operator import *\n",
        "from functools import partial\ndef f(a, b, c): return 1.0\ngrade = partial(f, c=1)\n",
        "class G:\n    def __call__(self, sample, item): return 1.0\ngrade = G()\n",
        "import re\nP = re.compile('\\d')\n" + GOOD,  # an odd escape is a warning of Python's, not ours
        "def grade(sample, item, /): return 1.0\n",
        "# ü\n" + GOOD,
    ],
)
def test_source_that_defines_grade_loads(source: str) -> None:
    assert python(source).source == source


@pytest.mark.parametrize("source", ["from helpers import grade\n", "from helpers import *\n"])
def test_source_that_takes_grade_from_a_module_loads_and_warns_where_that_is_not_installed(source: str) -> None:
    with pytest.warns(GraderWarning, match="the source imports helpers, which is not installed here"):
        assert python(source).source == source


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "the source defines no 'grade' at its top level (it defines no function); write def grade(sample, item):"),
        ("def score(sample, item): return 1\n", "defines no 'grade' at its top level (it defines score)"),
        ("class A:\n    def grade(self, sample, item): return 1\n", "defines no 'grade' at its top level"),
        ("def outer():\n    def grade(sample, item): return 1\n", "it defines outer"),
        ("def grade(sample): return 1\n", "line 1 of the source: grade takes 1 parameter, and it is called with"),
        ("\ndef grade(sample, item, extra=1): return 1\n", "line 2 of the source: grade takes 3 parameters"),
        ("def grade(*args): return 1\n", "grade takes 1 parameter"),
        ("def grade(): return 1\n", "grade takes 0 parameters"),
        ("grade = lambda sample: 1\n", "grade takes 1 parameter"),
        ("def f(sample): return 1\ngrade = f\n", "grade takes 1 parameter"),
        ("async def grade(sample, item): return 1\n", "line 1 of the source: grade is async, and nothing would"),
        ("grade = 5\n", "line 1 of the source: grade is no function"),
        ("class grade: pass\n", "line 1 of the source: grade is no function"),
        ("x = 1\ndef grade(sample, item:\n", "line 2 of the source: '(' was never closed"),
        ("def grade(sample, item):\nreturn 1\n", "line 2 of the source: expected an indented block"),
        ("x = 1\x00", "source"),
        ("(" * 10_000, "source"),
        ("-" * 100_000 + "1", "source"),
        ("\ud800", "half a surrogate pair"),
        (GOOD + "#" * MAX_SOURCE_BYTES, "it must have fewer than 262,144 (256 kB)"),
        (GOOD + "#" + "ü" * (MAX_SOURCE_BYTES // 2), "262,"),
    ],
)  # fmt: skip
def test_source_that_could_never_grade_is_refused_with_its_line(source: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'python': ") as caught:
        python(source)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_an_image_that_is_not_documented_is_warned_about() -> None:
    with pytest.warns(UserWarning, match=r"mine: no python image '2031-01-01' is documented; known: 2025-05-08"):
        grader = python(image_tag="2031-01-01", name="mine")
    assert grader.to_openai()["image_tag"] == "2031-01-01"
