"""The `code` grader as its user calls it: functions, programs, credit, faults, and candidates that cheat."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from graders import Grade, Sample, load
from graders.code.code import Code
from graders.code.run import spread
from graders.sandbox.pool import Pool, RefusedError, pool, use
from graders.sandbox.process import ServerFailedError
from graders.sandbox.settings import SandboxSettings

try:
    pool().check()
except (RefusedError, ServerFailedError, OSError) as problem:  # pragma: no cover
    pytest.skip(f"no sandbox here: {problem}", allow_module_level=True)

ADD = "def add(a, b):\n    return a + b\n"
CASES: list[dict[str, Any]] = [
    {"args": [1, 2], "expected": 3, "visible": True},
    {"args": [5], "kwargs": {"b": 6}, "expected": 11},
    {"args": [-1, 1], "expected": 0, "name": "cancels", "weight": 2},
]
SUMS = [{"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "40 2\n", "stdout": "42\n"}]


def code(**options: Any) -> Code:
    grader = load({"type": "code", **options})
    assert isinstance(grader, Code)
    return grader


def adding(**options: Any) -> Code:
    return code(**{"function": "add", "cases": CASES, **options})


def summing(**options: Any) -> Code:
    return code(cases=SUMS, **options)


def error_of(grade: Grade) -> tuple[str, str] | None:
    return None if grade.error is None else (grade.error.kind, grade.error.fault)


# Functions


def test_code_that_passes_all_cases_scores_one_and_says_how_it_was_run() -> None:
    grade = adding()(ADD)
    assert (grade.score, grade.why, grade.error) == (1.0, "passed all 3 cases", None)
    assert {name: part.score for name, part in grade.parts.items()} == {"case 1": 1.0, "case 2": 1.0, "cancels": 1.0}
    assert grade.extracted == ADD
    assert grade.sandbox == pool().standing().level
    assert adding(cases=CASES[:1])(ADD).why == "passed the one case"


def test_the_first_case_that_fails_is_named_with_its_input_and_both_values() -> None:
    grade = adding()("def add(a, b):\n    return a - b\n")
    assert grade.score == 0.0
    assert grade.error is None
    assert grade.why == "case 1 failed: add(1, 2) returned -1; expected 3 (0 passed before it, 2 not run)"
    assert list(grade.parts) == ["case 1"]


def test_partial_credit_is_the_share_of_weights_and_runs_every_case() -> None:
    grade = adding(partial_credit=0.5)("def add(a, b):\n    return a + b if a < 5 else 0\n")
    assert grade.score == pytest.approx(0.5 * 3 / 4)
    assert grade.why.startswith("2 of 3 cases passed; case 2 failed: add(5, b=6) returned 0; expected 11")
    assert [part.score for part in grade.parts.values()] == [1.0, 0.0, 1.0]
    assert adding(partial_credit=1.0)(ADD).score == 1.0


def test_no_weights_make_a_case_that_fails_vanish() -> None:
    cases = [{"args": [1, 2], "expected": 3, "weight": 1e6}, {"args": [2, 2], "expected": 5, "weight": 1e-6}]
    score = adding(cases=cases, partial_credit=1.0)(ADD).score
    assert score is not None
    assert 0.99 < score < 1.0


@pytest.mark.parametrize(
    ("source", "said", "kind"),
    [
        ("def add(a, b) return 1", "the code does not compile: SyntaxError: expected ':' (line 1)", "code_error"),
        ("x = '\x00'", "the code does not compile: ", "code_error"),
        ("x = " + "(" * 5000, "the code does not compile: ", "code_error"),
        ("x = '\ud800'", "the code does not compile: UnicodeEncodeError", "code_error"),
        ("def sub(a, b): return 1", "the code defines no 'add'; it defines sub", "code_error"),
        ("add = 5", "the code defines no function 'add', but a value of the type int", "code_error"),
        ("def add(a, b): return a / 0", "add(1, 2) raised ZeroDivisionError: division by zero (line 1)", "code_error"),
        ("import sys\nsys.exit(0)", "add(1, 2) raised SystemExit: 0 (line 2)", "code_error"),
        ("import os\nos._exit(0)", "add(1, 2) ended its process without an answer (exit code 0)", "code_error"),
        ("def add(a, b):\n    while True: pass", "add(1, 2) took longer than 0.5 s", "timeout"),
        ("while True:\n    try:\n        while True: pass\n    except BaseException: pass", "took longer", "timeout"),
        ("def add(a, b): return bytearray(2**40)", "raised MemoryError", "code_error"),
        ("def add(a, b): return add(a, b)", "raised RecursionError", "code_error"),
        ("def add(a, b): return 'x' * 2**21", "returned an answer of 2,097,", "code_error"),
        ("def add(a, b): yield 3", "returned a value of the type generator; make it a list", "code_error"),
        ("def add(a, b): return range(3)", "returned a value of the type range; make it a list", "code_error"),
        ("def add(a, b): return object()", "returned a value of the type object", "code_error"),
        ("def add(a, b):\n    x = []\n    x.append(x)\n    return x", "nested more than 100 deep", "code_error"),
        ("async def add(a, b): return 3", "returned a value of the type coroutine; the function is async",
         "code_error"),
        ("import ctypes\nctypes.string_at(0)", "add(1, 2) crashed (segmentation fault)", "code_error"),
        ("import ctypes\nctypes.CDLL(None).ptrace(0, 0, 0, 0)", "a system call that the sandbox forbids",
         "sandbox_violation"),
        ("raise Exception('\\x1b[2J\\u202e\\ud800' + 'x' * 9999)", "raised Exception: \\x1b[2J\\u202e\\ud800xxx",
         "code_error"),
        ("class E(Exception):\n    def __str__(self): raise KeyError\nraise E", "raised ", "code_error"),
    ],
)  # fmt: skip
def test_code_that_fails_of_itself_is_decided_and_says_why(source: str, said: str, kind: str) -> None:
    grade = adding(timeout_seconds=0.5)(Sample(source))
    assert said in grade.why
    assert grade.score == 0.0
    assert error_of(grade) == (kind, "candidate")
    assert len(grade.why) < 700
    grade.why.encode()


@pytest.mark.parametrize(
    "returned", ["3.0", "True", "'3'", "[3]", "None", "(3,)", "{3}", "b'3'", "3 + 0j", "float('nan')"]
)
def test_a_value_of_another_type_is_another_value(returned: str) -> None:
    cases = [{"args": [1, 2], "expected": 3}, {"args": [1, 0], "expected": 1}]
    grade = adding(cases=cases)(f"def add(a, b): return {returned}")
    assert grade.score == 0.0
    assert "returned " in grade.why


@pytest.mark.parametrize(
    ("expected", "source"),
    [
        ({"expected": {"a": [1, None, True, 2.5]}}, "return {'a': [1, None, True, 2.5]}"),
        ({"expected_typed": {"tuple": [1, {"set": ["a"]}]}}, "return (1, {'a'})"),
        ({"expected_typed": {"dict": [[1, {"tuple": []}]]}}, "return {1: ()}"),
        ({"expected_typed": {"float": "nan"}}, "return float('nan')"),
        ({"expected_typed": {"float": "inf"}}, "return float('inf')"),
        ({"expected_typed": {"bytes": "00ff"}}, "return b'\\x00\\xff'"),
        ({"expected": 10**30}, "return 10**30"),
        ({"expected": "\ud800é"}, "return '\\ud800é'"),
        ({"expected": {"b": 2, "a": 1}}, "from collections import Counter\n    return Counter('abb')"),
        ({"expected": {"b": [1]}}, "from collections import defaultdict\n    return defaultdict(list, b=[1])"),
        ({"expected": 2}, "import enum\n    return enum.IntEnum('E', 'A B').B"),
        (
            {"expected_typed": {"tuple": [1, 2]}},
            "from collections import namedtuple\n    return namedtuple('P', 'x y')(1, 2)",
        ),
    ],
)
def test_values_of_pythons_types_are_compared_as_they_are(expected: dict[str, Any], source: str) -> None:
    grade = code(function="f", cases=[{"args": [], **expected}])(f"def f():\n    {source}\n")
    assert grade.score == 1.0, grade.why


HONEST = {
    "a dataclass, an enum and annotations": """
from __future__ import annotations
from dataclasses import dataclass
from enum import Enum
from typing import List, Optional
class Sign(Enum):
    PLUS = 1
@dataclass(order=True)
class Pair:
    a: int
    b: Optional[int] = None
def add(a: int, b: int) -> int:
    pair = Pair(a, b)
    return Sign.PLUS.value * (pair.a + pair.b)
""",
    "a cache and deep recursion": """
import functools, sys
sys.setrecursionlimit(10**6)
@functools.cache
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
def plain(n): return 0 if n == 0 else 1 + plain(n - 1)
def add(a, b): return depth(2_000) - 2_000 + plain(50_000) - 50_000 + a + b
""",
    "state, a guard and the standard library": """
import bisect, collections, copy, datetime, decimal, fractions, hashlib, heapq, itertools, json, math, random, re
import statistics, string, textwrap, unicodedata, zlib, asyncio, pickle, struct, tempfile, logging, csv, abc
total = 0
if __name__ == "__main__":
    raise SystemExit
def add(a, b):
    global total
    total += a + b
    print("working", a, file=__import__("sys").stderr)
    print(total)
    return total
""",
    "a class that is pickled": """
import pickle
class Box:
    def __init__(self, value): self.value = value
def add(a, b): return pickle.loads(pickle.dumps(Box(a + b))).value
""",
    "event loops": """
import asyncio
import json
async def later(a, b):
    await asyncio.sleep(0)
    return a + b
def add(a, b): return asyncio.run(later(a, b))
""",
    "arguments that it changes": "def add(a, b=0, *rest, **more):\n    a += b\n    return a\n",
    "tracebacks and source of its own": """
import inspect, traceback
def add(a, b):
    assert "def add" in inspect.getsource(add)
    try: 1 / 0
    except ZeroDivisionError: assert "1 / 0" in traceback.format_exc()
    return a + b
""",
}


@pytest.mark.parametrize("source", HONEST.values(), ids=HONEST)
def test_honest_code_runs_as_in_any_interpreter(source: str) -> None:
    grade = adding()(source)
    assert grade.score == 1.0, grade.why


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from 3.12 on Python itself limits recursion through C")
def test_recursion_through_functions_written_in_c_goes_deep() -> None:
    source = "import functools, sys\nsys.setrecursionlimit(10**6)\n@functools.cache\n"
    source += "def add(a, b): return a + b if b < 100 else 1 + add(a, b - 1)\n"
    assert adding(cases=[{"args": [0, 50_000], "expected": 50_000}])(source).score == 1.0


def test_a_method_is_called_on_an_object_made_without_arguments() -> None:
    source = "class Solution:\n    def twoSum(self, a, b):\n        return a + b\n"
    assert code(function="Solution.twoSum", cases=CASES)(source).score == 1.0
    assert "raised AttributeError" in code(function="Solution.two", cases=CASES)(source).why


def test_a_case_sees_nothing_of_the_case_before() -> None:
    counting = "calls = []\ndef f():\n    calls.append(1)\n    return len(calls)\n"
    assert code(function="f", cases=[{"expected": 1}] * 1 + [{"expected": 1, "name": "again"}])(counting).score == 1.0


def test_tolerances_and_types_of_numbers_are_options() -> None:
    third = "def add(a, b): return (a + b) / 3"
    cases = [{"args": [1, 2], "expected": 1}, {"args": [0.5, 0.5], "expected": 0.33333}]
    assert adding(cases=cases)(third).score == 0.0
    assert adding(cases=cases, numbers="equal")(third).score == 0.0
    assert adding(cases=cases, numbers="equal", rel_tol=1e-4)(third).score == 1.0
    listed = [{"args": [[3, 1], [2]], "expected": [1, 2, 3]}]
    assert adding(cases=listed)(ADD).score == 0.0
    assert adding(cases=listed, order="free")(ADD).score == 1.0


# Programs


@pytest.mark.parametrize(
    "source",
    [
        "print(sum(map(int, input().split())))",
        "import sys\nprint(sum(map(int, sys.stdin.readline().split())))\nsys.exit(0)",
        "print(sum(map(int, open(0).read().split())))\nexit()",
        "import sys\na, b = sys.stdin.buffer.read().split()\nsys.stdout.buffer.write(b'%d' % (int(a) + int(b)))",
        "import os, sys\nos.write(1, b'%d\\n' % sum(map(int, os.read(0, 99).split())))\nos._exit(0)",
        "import sys, os\nprint(sum(map(int, input('').split())))\nsys.stdout.flush()\nos._exit(0)",
        "def main():\n    print(sum(map(int, input().split())), end='')\nif __name__ == '__main__':\n    main()",
        "for line in open('/dev/stdin'):\n    print(sum(map(int, line.split())))",
        "import sys, io, atexit\nreal, sys.stdout = sys.stdout, io.StringIO()\n"
        "atexit.register(lambda: real.write(sys.stdout.getvalue()))\nprint(sum(map(int, input().split())))",
        "import threading, sys\nthreading.stack_size(2**26)\nsys.setrecursionlimit(10**6)\n"
        "def main(): print(sum(map(int, input().split())))\nt = threading.Thread(target=main)\nt.start()\nt.join()",
        "import sys\nsys.stderr.write('debugging\\n')\nprint(sum(map(int, input().split())))",
        "print(*[sum(map(int, input().split()))], sep=' ', flush=True)\nraise SystemExit",
    ],
)
def test_a_program_reads_and_prints_as_on_a_judge(source: str) -> None:
    grade = summing()(source)
    assert grade.score == 1.0, grade.why


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("print(3)", "case 2 failed: given '40 2\\n', line 1 of what it printed is '3'; expected '42'"),
        ("pass", "it printed nothing; expected '3\\n'"),
        ("print(3)\nprint(3)", "it printed 2 lines where 1 is expected"),
        ("print(3)\nraise ValueError('no')", "raised ValueError: no (line 2)"),
        ("print(3)\nraise SystemExit(3)", "ended with exit code 3"),
        ("import sys\nprint(3)\nsys.exit('failed')", "ended with exit code 1"),
        ("import os\nprint(3, flush=True)\nos._exit(7)", "ended its process without an answer (exit code 7)"),
        ("print('x' * 10**7)", "printed 64 kB, and must print less"),
        ("import os\nwhile True: os.write(1, b'x' * 4096)", "printed 64 kB, and must print less"),
        ("print(3, flush=True)\nwhile True: pass", "took longer than 0.5 s"),
        ("print(3", "the code does not compile: SyntaxError"),
        ("def f(): return input()", "it printed nothing; expected '3\\n'"),
        ("print(3.0)", "line 1 of what it printed is '3.0'; expected '3'"),
        ("import os\nos.write(1, b'\\xff\\xfe')", "line 1 of what it printed is '\\udcff\\udcfe'; expected '3'"),
        ("import os\nos.lseek(1, 10**6, 0)\nos.write(1, b'3')", "raised OSError: [Errno 27] File too large"),
    ],
)
def test_a_program_that_fails_is_told_what_it_did(source: str, said: str) -> None:
    grade = summing(output_kb=64, timeout_seconds=0.5)(source)
    assert grade.score == 0.0
    assert said in grade.why


@pytest.mark.parametrize(
    ("whitespace", "printed", "score"),
    [
        ("trailing", "1 2  \\n3\\n\\n", 1.0),
        ("trailing", "1 2\\n3", 1.0),
        ("trailing", "1  2\\n3", 0.0),
        ("trailing", "\\n1 2\\n3", 0.0),
        ("exact", "1 2\\n3\\n", 1.0),
        ("exact", "1 2\\n3", 0.0),
        ("free", "1\\n\\n2 3", 1.0),
        ("free", "12 3", 0.0),
        ("free", "1 2", 0.0),
        ("free", "1 2 3 4", 0.0),
    ],
)
def test_whitespace_of_what_is_printed_is_an_option(whitespace: str, printed: str, score: float) -> None:
    grader = code(cases=[{"stdout": "1 2\n3\n"}], whitespace=whitespace)
    assert grader(f"import sys\nsys.stdout.write('{printed}')").score == score


def test_printed_numbers_may_be_within_a_tolerance() -> None:
    grader = code(cases=[{"stdout": "x = 0.3333\n7\n"}], abs_tol=0.001)
    assert grader("print('x =', 1 / 3)\nprint(7)").score == 1.0
    assert grader("print('x =', 1 / 3)\nprint(8)").score == 0.0
    for hostile in ("nan", "inf", "1e999", "0.33" + "3" * 5000, "٠.٣٣٣٣"):
        assert grader(f"print('x = {hostile}')\nprint(7)").score == 0.0


# Where the code is found


@pytest.mark.parametrize(
    "output",
    [
        ADD,
        f"Here:\n```python\n{ADD}```\nDone.",
        f"```py\ndef add(a, b): return 0\n```\nBetter:\n```Python3\n{ADD}```",
        f"```\n{ADD}```\nIt prints:\n```text\n3\n```\n```bash\npython add.py\n```",
        f"<think>```python\ndef add(a, b): return 0\n```</think>\n{ADD}",
        f"```python\n{ADD}```\n<think>```python\ndef add(a, b): return 0\n```",
        f"~~~python\n{ADD}~~~\n```python\n```",
        f"```python\n{ADD}",
    ],
)
def test_the_code_is_the_last_python_block_or_the_whole_answer(output: str) -> None:
    grade = adding()(output)
    assert grade.score == 1.0, grade.why


@pytest.mark.parametrize("output", ["", "  \n ", "```python\n\n```" * 0 + "<think>" + ADD, "<think>x</think>\n"])
def test_an_output_without_code_is_the_candidates_fault(output: str) -> None:
    grade = adding()(output)
    assert (grade.score, error_of(grade)) == (0.0, ("sample_parse_error", "candidate"))


WRONG = "def add(a, b): return 0\n"
USAGE = "print(add(1, 2))\n"


@pytest.mark.parametrize(
    ("output", "place"),
    [
        (f"```python\n{ADD}```\nUse it:\n```python\n{USAGE}```", "block 1 of 2"),
        (f"```python\n{ADD}```\nUse it:\n```python\nfrom solution import add\n{USAGE}```", "block 1 of 2"),
        (f"```python\n{ADD}```\nIt prints:\n```\n3\n```", "block 1 of 2"),
        (f"```\n{ADD}```\nIt prints:\n```\n3\n```", "block 1 of 2"),
        (f"```python\n{WRONG}```\nBetter:\n```python\n{ADD}```\n```py\n{USAGE}```", "block 2 of 3"),
        (f"```\n{WRONG}```\n```python\n{ADD}```\n```\n{WRONG}```", "block 2 of 3"),
        ("```python\nadd = lambda a, b: a + b\n```\n```python\nassert add(1, 2) == 3\n```", "block 1 of 2"),
        (f"```js\nadd()\n```\n```python:add.py\n{ADD}```\n```bash\npython add.py\n```", "block 2 of 3"),
        ("1. So:\n\n    ```python\n    def add(a, b):\n        return a + b\n    ```\n2. Done.", ""),
        ("- So:\n  ```python\n  def add(a, b):\n      return a + b\n  ```\n", ""),
        ("So:\n```python\n    def add(a, b):\n        return a + b\n```\n", ""),
        ("def add(a, b):\n    '''\n    ```\n    add(1, 2)\n    ```\n    '''\n    return a + b\n", ""),
        ("def add(a, b):\n    return a + b\n'''\n```text\n3\n```\n'''\n", ""),
    ],
)
def test_the_block_that_defines_the_function_counts(output: str, place: str) -> None:
    grade = adding()(output)
    assert grade.score == 1.0, grade.why
    assert grade.why == f"passed all 3 cases; {place} was graded" if place else "passed all 3 cases"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (f"```python\n{ADD}```\n```python\n{WRONG}```", "block 2 of 2"),
        (f"```python\n{WRONG}```\n```\n{ADD}```", "block 1 of 2"),
        (f"```python\n{ADD}```\n```python\nadd = 5\n```", "block 2 of 2"),
        (f"```python\n{ADD}```\n```python\ndef add(a, b) no code\n```", "block 2 of 2"),
        ("Here:\n```javascript\nfunction add(a, b) { return a + b }\n```", "the only block is marked javascript"),
        ("Here:\n```js\nadd\n```\nOr\n```c\nadd\n```", "the blocks are marked js, c"),
    ],
)
def test_several_answers_pay_no_more_than_the_last(output: str, said: str) -> None:
    grade = adding(partial_credit=1.0)(output)
    assert grade.score is not None
    assert grade.score < 1.0
    assert said in grade.why


def test_the_method_is_found_by_its_class() -> None:
    output = "```python\nclass Solution:\n    def add(self, a, b): return a + b\n```\n"
    output += "```python\nprint(Solution().add(1, 2))\n```"
    assert code(function="Solution.add", cases=CASES)(output).score == 1.0


PROGRAM = "print(sum(map(int, input().split())))\n"


@pytest.mark.parametrize(
    "output",
    [
        f"```python\n{PROGRAM}```\nOutput:\n```\n3\n```",
        f"```\n{PROGRAM}```\nOutput:\n```\n3\n```",
        f"```\n{PROGRAM}```\nOutput:\n```\nthe sum is 3\n```",
        f"```python\nprint(0)\n```\n```python\n{PROGRAM}```",
        f"```\nprint(0)\n```\n```\n{PROGRAM}```",
    ],
)
def test_what_a_program_printed_is_no_program(output: str) -> None:
    grade = summing()(output)
    assert grade.score == 1.0, grade.why


def test_a_block_that_completes_the_prefix_counts_where_none_defines_the_function() -> None:
    grader = adding(prefix="def add(a, b):\n    '''Add.'''\n")
    assert grader("```python\n    return a * b\n```\n```python\n    return a + b\n```").score == 1.0
    assert grader(f"```python\n{ADD}```\n```python\n{USAGE}```").score == 1.0


@pytest.mark.parametrize("output", ["    return a + b\n", "    return (", "", "    return a - b\n    x = 1 / 0\n"])
@pytest.mark.parametrize(
    ("prefix", "said"),
    [
        ("def f(x: List[int]): pass\ndef add(a, b):\n", "prefix: it raised NameError: name 'List' is not defined"),
        ("import numpy\ndef add(a, b):\n", "name its distribution in `packages`"),
        ("def f(x) return\ndef add(a, b):\n", "prefix: it does not compile: SyntaxError: expected ':' (line 1)"),
        ("1 / 0\ndef add(a, b):\n    '''Add.'''\n", "prefix: it raised ZeroDivisionError"),
    ],
)
def test_a_prefix_that_fails_by_itself_is_no_fault_of_the_codes(prefix: str, said: str, output: str) -> None:
    grade = adding(answer="whole", prefix="{{item.prefix}}")(output, {"prefix": prefix})
    assert (grade.score, error_of(grade)) == (None, ("invalid_reference", "grader")), grade.why
    assert said in grade.why


@pytest.mark.parametrize(
    ("prefix", "output"),
    [
        ("def add(a, b):\n", "    return List\n"),
        ("def add(a, b):\n", "  return (\n"),
        ("def add(a, b):\n    '''Add", " no end"),
        ("def add(a, b=[\n", "1\n"),
        ("import math\ndef add(a, b):\n    '''Add.'''\n", "    return 1\nraise NameError"),
        ("try:\n    import numpy\n", "finally:\n    pass\n"),
        ("x = 'a", "\n"),
        ("x = inpu", "\n"),
        ("def add(a, b):\n",
         "    pass\nimport json, os\nc = json.dumps({'id': 1, 'raised': 'NameError', 'compiles': False,\n"
         "    'detail': 'File \"<code>\", line 1\\nNameError: x'}).encode()\n"
         "os.write(3, len(c).to_bytes(4, 'big') + c)\n"),
    ],
)  # fmt: skip
def test_no_code_makes_its_prefix_look_broken(prefix: str, output: str) -> None:
    grade = adding(answer="whole", prefix=prefix)(output)
    assert grade.score == 0.0, grade.why


def test_a_prefix_without_an_end_of_line_is_whole_before_a_block() -> None:
    grade = adding(prefix="import numpy")(f"```python\n{ADD}```")
    assert (grade.score, "prefix: it raised ModuleNotFoundError" in grade.why) == (None, True)


def test_the_prefix_of_a_program_may_read_its_input() -> None:
    cases = [{"stdin": "1 2\n", "stdout": "3\n"}]
    grader = code(answer="whole", prefix="a, b = map(int, input().split())\n", cases=cases)
    assert grader("print(a + b)").score == 1.0
    assert grader("print(a + c)").score == 0.0
    assert code(answer="whole", prefix="a = no\n", cases=cases)("print(3)").score is None


def test_a_module_that_is_missing_points_to_the_packages() -> None:
    grade = adding()(f"import no_such\n{ADD}")
    assert (grade.score, "; name its distribution in `packages`" in grade.why) == (0.0, True)


def test_each_case_bears_the_time_that_it_took() -> None:
    grade = adding(cases=CASES[:1])("import time\ndef add(a, b):\n    time.sleep(0.05)\n    return a + b\n")
    assert grade.parts["case 1"].seconds >= 0.05


def test_the_prefix_stands_before_the_answer_as_it_is_written() -> None:
    prompt = 'def add(a, b):\n    """Add."""\n'
    whole = adding(answer="whole", prefix="{{item.prompt}}")
    assert whole("    return a + b\n", {"prompt": prompt}).score == 1.0
    found = adding(prefix="{{item.prompt}}")
    assert found("    return a + b\n", {"prompt": prompt}).score == 1.0
    assert found(f"```python\n{ADD}```", {"prompt": prompt}).score == 1.0
    assert found(f"```python\n{ADD}```", {"prompt": "import math"}).score == 1.0


# Items


def test_cases_come_from_the_item_as_a_list_or_as_json_text() -> None:
    grader = adding(cases="{{item.cases}}", function="{{item.name}}")
    assert grader(ADD, {"cases": CASES, "name": "add"}).score == 1.0
    assert grader(ADD, {"cases": '[{"args": [1, 2], "expected": 3}]', "name": "add"}).score == 1.0
    filled = adding(cases=[{"args": "{{item.args}}", "expected": "{{item.sum}}"}])
    assert filled(ADD, {"args": [2, 3], "sum": 5}).score == 1.0


@pytest.mark.parametrize("output", [ADD, "not code", "", "while True: pass"])
@pytest.mark.parametrize(
    ("item", "kind", "said"),
    [
        ({}, "invalid_variable_error", "item has no 'cases'"),
        ({"cases": None}, "invalid_variable_error", "item.cases is null"),
        ({"cases": []}, "invalid_reference", "cases: there are none"),
        ({"cases": "no JSON"}, "invalid_reference", "cases: they are no JSON"),
        ({"cases": [{"args": [1, 2]}]}, "invalid_reference", "cases: case 1: key 'expected' is missing"),
        ({"cases": [{"expected": {1, object}}]}, "invalid_reference", "cases: case 1: a value of the type type"),
    ],
)
def test_a_row_with_unusable_cases_is_undecided_whatever_the_output(
    item: dict[str, Any], kind: str, said: str, output: str
) -> None:
    grade = adding(cases="{{item.cases}}")(output, item)
    assert (grade.score, error_of(grade)) == (None, (kind, "grader"))
    assert said in grade.why


@pytest.mark.parametrize("name", ["add it", "class", "1st", "add.", "os.system('x')", "a..b"])
def test_a_row_that_names_no_function_is_undecided(name: str) -> None:
    grade = adding(function="{{item.name}}")(ADD, {"name": name})
    assert (grade.score, error_of(grade)) == (None, ("invalid_reference", "grader"))


def test_a_row_with_a_blank_name_holds_a_program() -> None:
    grader = code(function="{{item.name}}", cases="{{item.cases}}")
    assert grader("print(sum(map(int, input().split())))", {"name": "", "cases": SUMS}).score == 1.0
    assert grader(ADD, {"name": "add", "cases": CASES}).score == 1.0


def test_where_all_visible_cases_pass_and_hidden_ones_do_not_both_are_counted() -> None:
    grade = adding(partial_credit=1.0)("def add(a, b): return {(1, 2): 3}.get((a, b), 7)")
    assert grade.score == 0.25
    assert grade.why.endswith("; 1 of 1 visible and 0 of 2 hidden cases passed")
    honest_failure = adding()("def add(a, b): return 7")
    assert "visible" not in honest_failure.why
    hidden_first = adding(cases=[CASES[1], CASES[0]])("def add(a, b): return {(1, 2): 3}.get((a, b), 7)")
    assert hidden_first.why.endswith("; 1 of 1 visible and 0 of 1 hidden cases passed")


def test_after_three_cases_that_took_too_long_the_rest_is_not_run_and_has_failed() -> None:
    cases = [{"args": [n, 0], "expected": n} for n in range(20)]
    source = "def add(a, b):\n    while a in (1, 2, 4, 5): pass\n    return a\n"
    grades = [adding(cases=cases, partial_credit=1.0, timeout_seconds=0.2)(source) for _ in range(2)]
    assert [grade.score for grade in grades] == pytest.approx([2 / 20] * 2)
    assert {grade.why for grade in grades} == {
        "2 of 20 cases passed; case 2 failed: add(1, 0) took longer than 0.2 s; 3 cases took longer than 0.2 s; "
        "15 were not run"
    }
    assert list(grades[0].parts) == [f"case {n}" for n in range(1, 21)]
    assert grades[0].parts["case 6"].why == "not run after 3 cases that took too long"


def test_code_that_can_pass_no_case_is_run_once() -> None:
    grade = adding(partial_credit=1.0)("def add(a, b) return 1")
    assert (grade.score, list(grade.parts)) == (0.0, ["case 1"])


def test_a_grade_is_the_same_however_its_cases_are_timed() -> None:
    cases = [{"args": [n, 0], "expected": n if n != 7 else 8} for n in range(20)]
    whys = {adding(cases=cases)(ADD).why for _ in range(5)}
    assert whys == {"case 8 failed: add(7, 0) returned 7; expected 8 (7 passed before it, 12 not run)"}


# Options


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "nothing to run the code against; give cases, tests, or arguments with a reference"),
        ({"cases": CASES, "function": "f", "language": "rust"}, "no language 'rust'; known: python"),
        ({"arguments": "x", "function": "f"}, "arguments and reference make cases together"),
        ({"cases": SUMS, "generated": 5}, "generated and seed have no effect without arguments and a reference"),
        ({"cases": SUMS, "seed": 5}, "generated and seed have no effect without arguments and a reference"),
        ({"cases": CASES, "function": "f("}, "function 'f(': it is no name of a function"),
        ({"tests": "def check(", "function": "f"}, "tests: the source does not compile: '(' was never closed"),
        ({"tests": " ", "function": "f"}, "tests: the source is blank"),
        (
            {"arguments": "def args(r): return [1]", "reference": "x = 1", "function": "f"},
            "arguments: the source defines no 'arguments'",
        ),
        ({"arguments": "def arguments(r): return [1]", "reference": "def f(", "function": "f"}, "reference: the"),
        ({"cases": "x" * 500, "function": "f"}, "cases: they are no JSON: "),
        ({"cases": "[5]", "function": "f"}, "cases: case 1: an object is expected, not 5"),
        ({"cases": "  "}, "nothing to run the code against"),
        ({"cases": 5}, 'a list of cases is expected, such as [{"args": [2], "expected": 4}]'),
        ({"cases": {}}, "a list of cases is expected, such as"),
        ({"cases": {"inputs": [], "outputs": []}}, "each inputs beside outputs? see the page"),
        ({"test_cases": SUMS}, "unknown key 'test_cases'; did you mean 'cases'?"),
        ({"cases": CASES, "entry_point": "f"}, "unknown key 'entry_point'; did you mean 'function'?"),
        ({"cases": SUMS, "time_limit": 3}, "unknown key 'time_limit'; did you mean 'timeout_seconds'?"),
        ({"cases": SUMS, "sequences": "loose"}, "sequences"),
        ({"tests": "x"}, "tests call a function; name it in `function`"),
        ({"cases": "{{sample.output_text}}"}, "the sample must not have a say in what is expected of it"),
        ({"cases": CASES, "function": "{{sample.output_json.f}}"}, "the sample must not have a say"),
        ({"cases": [{"args": [1], "expected": "{{sample.output_text}}"}], "function": "f"}, "must not have a say"),
        ({"cases": [{"args": 1, "expected": 2}], "function": "f"}, "cases: case 1: args must be a list"),
        ({"cases": SUMS, "partial_credit": 1.5}, "partial_credit"),
        ({"cases": SUMS, "rel_tol": 1.0}, "rel_tol"),
        ({"cases": SUMS, "abs_tol": float("nan")}, "abs_tol"),
        ({"cases": SUMS, "timeout_seconds": 0}, "timeout_seconds"),
        ({"cases": SUMS, "timeout": 3}, "unknown key 'timeout'; did you mean 'timeout_seconds'?"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'code': ") as caught:
        code(**options)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_a_template_fills_is_checked_with_the_item_alone() -> None:
    grader = code(function="{{item.f}}", tests="{{item.t}}", cases="{{item.c}}")
    assert grader(ADD, {"f": "add", "t": "def check(f):\n    assert f(1, 2) == 3\n", "c": " "}).score == 1.0
    blank = grader(ADD, {"f": "add", "t": " ", "c": " "})
    assert (blank.score, blank.why) == (None, "tests: the tests are blank, and there are no cases")
    assert grader(ADD, {"f": "a b", "t": "x", "c": ""}).why.startswith("function 'a b': it is no name of a function")
    assert grader(ADD, {"f": "", "t": "x", "c": ""}).why.startswith("function '': tests call a function")
    assert adding(cases="{{item.c}}")(ADD, {"c": " "}).why.startswith("cases: they are blank")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("json", "package 'json' is in the standard library, which code may always import: leave it out"),
        ("numpy>=1", "package 'numpy>=1' is not a distribution's name: write the name alone, 'numpy'"),
        ("_pytest", "package '_pytest' is not a distribution's name"),
        ("attr; rm", "write the name alone, 'attr'"),
        ("pluggy.hooks", "is not installed here: pip install pluggy.hooks, or leave it out; if that is the name that"),
    ],
)
def test_a_package_is_named_as_its_distribution_is(name: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^package ") as caught:
        adding(packages=[name]).check_ready()
    assert said in str(caught.value)


def test_a_package_named_as_it_is_imported_is_told_its_distribution() -> None:
    pytest.importorskip("yaml")
    with pytest.raises(ValueError, match="is the name that code imports; the distribution is called 'PyYAML'"):
        adding(packages=["yaml"]).check_ready()


def test_packages_are_importable_and_nothing_else_that_is_installed_is() -> None:
    pytest.importorskip("numpy")
    source = "import numpy as np\ndef f(x):\n    return (np.array(x) @ np.array(x)).item()\n"
    grader = code(function="f", packages=["numpy"], cases=[{"args": [[1, 2]], "expected": 5}])
    grader.check_ready()
    assert grader(source).score == 1.0
    assert "numpy.ndarray; make it Python's own with .tolist()" in grader("import numpy\nf = numpy.array").why
    assert grader("import pydantic\ndef f(x): return 5").score == 0.0
    assert grader("try:\n    import pydantic\nexcept ImportError:\n    def f(x): return 5").score == 1.0
    assert "No module named 'numpy'" in code(function="f", cases=[{"args": [1], "expected": 5}])(source).why


def test_a_package_that_is_not_installed_is_named_before_anything_is_graded() -> None:
    grader = adding(packages=["no-such-thing"])
    with pytest.raises(ValueError, match="package 'no-such-thing' is not installed here: pip install no-such-thing"):
        grader.check_ready()
    assert error_of(grader(ADD)) == ("not_installed", "infra")


# Many at once


@pytest.mark.parametrize("processes", [1, 2])
def test_any_number_of_samples_side_by_side_come_to_an_end(processes: int) -> None:
    async def all_of_them() -> list[Grade]:
        return await asyncio.gather(*(adding(partial_credit=1.0).call_async(ADD) for _ in range(24)))

    with use(Pool(SandboxSettings(processes=processes))):
        assert [grade.score for grade in asyncio.run(all_of_them())] == [1.0] * 24
        tests = code(function="add", tests="def check(f):\n    assert f(1, 2) == 3\n")
        grades = tests.call_batch([(Sample(ADD), {})] * 8)
        assert [grade.score for grade in grades] == [1.0] * 8


def test_a_batch_gives_each_sample_its_own_grade() -> None:
    outputs = [ADD, "def add(a, b): return 1", "", ADD]
    grades = adding(cases="{{item.cases}}").call_batch(
        [*((Sample(output), {"cases": CASES}) for output in outputs), (Sample(ADD), {})]
    )
    assert [grade.score for grade in grades] == [1.0, 0.0, 0.0, 1.0, None]


def test_never_more_processes_work_than_the_settings_allow() -> None:
    at_work = most = 0
    lock = threading.Lock()

    def work(number: int) -> int:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        with pool().fresh(*_plain()):
            pass
        with lock:
            at_work -= 1
        return number

    with use(Pool(SandboxSettings(processes=2))):
        assert spread(work, 20) == list(range(20))
    assert most <= 2


def _plain() -> tuple[Any, Any]:
    runner = adding()._runner
    return runner.profile, runner.limits


def test_work_that_is_spread_ends_in_order_and_raises_what_came_first() -> None:
    assert spread(lambda number: number, 50, lambda number: number == 7) == list(range(8))

    def fails(number: int) -> int:
        if number >= 5:
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match=r"^5$"):
        spread(fails, 50)
    assert spread(fails, 0) == []


def test_a_sandbox_that_is_refused_leaves_the_grade_undecided() -> None:
    with use(Pool(SandboxSettings(accept="S3"), without=["namespaces"])):
        grade = adding()(ADD)
        assert (grade.score, error_of(grade)) == (None, ("sandbox_refused", "infra"))
        with pytest.raises(ValueError, match="the sandbox is at level S2 here, and S3 is needed"):
            adding().check_ready()


def test_an_accepted_weaker_sandbox_stands_in_the_grade() -> None:
    with use(Pool(SandboxSettings(accept="S1"), without=["namespaces", "landlock"])):
        assert adding()(ADD).sandbox == "S1, accepted"


def test_a_machine_without_descriptors_is_no_fault_of_the_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any) -> int:
        raise OSError(24, "Too many open files")

    grader = summing()
    monkeypatch.setattr(os, "memfd_create", none_left)
    assert error_of(grader("print(3)")) == ("sandbox_failed", "infra")


# Candidates that cheat: `reference/sandbox_and_reward_hacking.md`, section 2, and rows 1 to 22 of section 5

EQUAL = "class Equal({base}):\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
EQUAL += "    __hash__ = None\n"
CHEATS = {
    "os._exit": "import os\ndef add(a, b): os._exit(0)",
    "os._exit at import": "import os\nos._exit(0)",
    "sys.exit": "import sys\ndef add(a, b): sys.exit(0)",
    "sys.exit at import": "import sys\nsys.exit(0)",
    "an object equal to all": EQUAL.format(base="object") + "def add(a, b): return Equal()",
    "a number equal to all": EQUAL.format(base="int") + "def add(a, b): return Equal()",
    "a text equal to all": EQUAL.format(base="str") + "def add(a, b): return Equal()",
    "a look at the frames": "import sys\ndef add(a, b):\n    f = sys._getframe()\n    while f:\n"
    "        for v in f.f_locals.values():\n            if isinstance(v, dict): return v.get('expected')\n"
    "        f = f.f_back",
    "a search of memory": "import gc\ndef add(a, b):\n    for o in gc.get_objects():\n"
    "        if isinstance(o, dict) and 'expected' in o: return o['expected']",
    "reading the tests": "import sys, linecache\ndef add(a, b):\n    for k in list(linecache.cache):\n        pass\n"
    "    return open(sys.argv[0] or '/tests.py').read()",
    "a marker on stdout": "def add(a, b):\n    print('ALL TESTS PASSED')\n    import os\n    os.write(1, b'passed')",
    "a marker and an exit": "import os\nprint('ALL TESTS PASSED', flush=True)\nos._exit(0)",
    "a trace hook": "import sys, os\nsys.settrace(lambda *a: os._exit(0))\ndef add(a, b): return 0",
    "atexit": "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b): raise SystemExit(0)",
    "excepthook": "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\ndef add(a, b): raise ValueError",
    "a flag found by gc": "import gc, ctypes\ndef add(a, b):\n    for o in gc.get_objects():\n"
    "        if type(o).__name__ in ('Value', 'Synchronized'): o.value = 1",
    "AssertionError patched": "import builtins\nbuiltins.AssertionError = type('A', (BaseException,), {})\n"
    "def add(a, b): return 0",
    "json patched": "import json\njson.dumps = lambda *a, **k: '{\"passed\": true}'\n"
    "json.JSONEncoder.encode = lambda *a: '{\"value\": 3}'\ndef add(a, b): return object()",
    "the harness patched": "import sys\nfor name, module in list(sys.modules.items()):\n"
    "    if name.startswith('jail'):\n        for key in list(vars(module)):\n"
    "            if callable(vars(module)[key]): setattr(module, key, lambda *a, **k: {'passed': 1, 'score': 1.0})\n"
    "def add(a, b): return 0",
    "forged verdicts": "import json, os\ndef frame(**m):\n    c = json.dumps(m).encode()\n"
    "    return len(c).to_bytes(4, 'big') + c\ndef add(a, b):\n    for fd in range(64):\n        try:\n"
    "            os.write(fd, frame(id=2, passed=True, score=1.0, verdict='passed'))\n        except OSError: pass\n"
    "    os._exit(0)",
    "forged frames": "import os\ndef add(a, b):\n    for fd in range(3, 64):\n        try: os.write(fd, bytes(64))\n"
    "        except OSError: pass\n    return 0",
    "the stream closed": "import os\ndef add(a, b):\n    os.closerange(3, 64)\n    while True: pass",
    "not a number": "def add(a, b): return float('nan')",
    "infinity": "def add(a, b): return float('inf')",
    "all exceptions caught": "def add(a, b):\n    while True:\n        try:\n            while True: pass\n"
    "        except BaseException: pass",
    "the clock patched": "import time\ntime.monotonic = time.time = lambda: 0\ndef add(a, b): return 0",
    "the visible case alone": "def add(a, b): return 3",
    "a table of the visible case": "def add(a, b): return {(1, 2): 3}.get((a, b))",
    "a process that stays": "import os\ndef add(a, b):\n    if os.fork(): return 0\n    while True: pass",
    "an array of numbers": "def add(a, b): return [3, 11, 0]",
    "a skipped test": "import unittest\ndef add(a, b): raise unittest.SkipTest",
    "a giant set": "def add(a, b): return set(range(100_000))",
    "a giant number": "def add(a, b): return 1 << 4_000_000",
}  # fmt: skip


@pytest.mark.parametrize("cheat", CHEATS)
@pytest.mark.parametrize("partial_credit", [0.0, 1.0])
def test_no_cheat_is_accepted(cheat: str, partial_credit: float) -> None:
    hidden = {**CASES[1], "visible": False}
    grade = adding(cases=[CASES[0], hidden], partial_credit=partial_credit, timeout_seconds=0.5)(CHEATS[cheat])
    assert grade.score is not None, grade.why
    assert grade.score <= (0.5 * partial_credit if "visible" in cheat else 0.0), grade.why


def test_a_forged_value_is_only_a_claim() -> None:
    """Whoever forges the frame of a right value has to know the right value."""
    source = """
import json, os
def add(a, b):
    content = json.dumps({"id": 2, "value": %s}).encode()
    os.write(3, len(content).to_bytes(4, "big") + content)
    while True: pass
"""
    assert adding(timeout_seconds=1.0)(source % "a + b").score == 1.0
    for forged in ('{"__eq__": True}', '{"int": "x"}', '{"dict": [[1]]}', "[[" * 60 + "]]" * 60, '{"list": []}'):
        grade = adding(timeout_seconds=1.0)(source % forged)
        assert grade.score == 0.0
        assert any(said in grade.why for said in ("sent what is no value", "sent bytes that", "expected 3"))


PRINTED_CHEATS = {
    "the first line alone": "print(input().split()[0])",
    "more lines": "s = sum(map(int, input().split()))\nprint(s)\nprint(s + 1)",
    "every number": "for n in range(100): print(n)",
    "a marker": "print('ALL TESTS PASSED')",
    "nothing": "import os\nos._exit(0)",
    "an exit code": "raise SystemExit(0)",
    "the input again": "import sys\nsys.stdout.write(sys.stdin.read())",
    "a verdict on the stream": 'import os\nos.write(3, b\'\\x00\\x00\\x00\\x13{"id":1,"passed":1}\')\nos._exit(0)',
}


@pytest.mark.parametrize("cheat", PRINTED_CHEATS)
def test_no_program_that_cheats_is_accepted(cheat: str) -> None:
    cases = [{"stdin": "1 2\n", "stdout": "3\n2\n"}, {"stdin": "4 2\n", "stdout": "6\n8\n"}]
    assert code(cases=cases, partial_credit=1.0)(PRINTED_CHEATS[cheat]).score == 0.0


# The page

PAGE = Path(__file__).resolve().parents[1] / "docs" / "graders" / "code.md"
BLOCKS = re.findall(r"^```json(?: grader)?\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("start", range(0, len(BLOCKS), 3))
def test_each_example_of_the_page_gives_its_grade(start: int) -> None:
    definition, row, expected = map(json.loads, BLOCKS[start : start + 3])
    grade = load(definition)(row["sample"], row["item"])
    assert (grade.score, grade.why) == (expected["score"], expected["why"])


@pytest.mark.parametrize("answer", ["find", "whole"])
def test_a_byte_order_mark_before_the_code_is_no_part_of_it(answer: str) -> None:
    assert adding(answer=answer)(f"\ufeff{ADD}").score == 1.0
    assert adding(answer=answer, prefix="import math\n")(f"\ufeff{ADD}").score == 1.0
    if answer == "find":
        assert adding()(f"Here:\n```python\n\ufeff{ADD}```\n").score == 1.0


STACK = "import resource\nmost = resource.RLIM_INFINITY\nresource.setrlimit(resource.RLIMIT_STACK, (most, most))\n"
IN_A_THREAD = "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(2**27)\n"


def test_code_may_ask_for_a_deeper_stack() -> None:
    program = f"{STACK}{IN_A_THREAD}def main(): print(sum(map(int, input().split())))\n"
    assert summing()(program + "t = threading.Thread(target=main)\nt.start()\nt.join()\n").score == 1.0
    function = f"{STACK}{IN_A_THREAD}def add(a, b):\n    found = []\n"
    function += "    t = threading.Thread(target=lambda: found.append(a + b))\n    t.start()\n    t.join()\n"
    assert adding()(function + "    return found[0]\n").score == 1.0


def test_no_other_limit_can_be_raised() -> None:
    source = "import resource\ndef add(a, b):\n    try: resource.setrlimit(resource.RLIMIT_NPROC, (9**9, 9**9))\n"
    assert adding()(source + "    except (ValueError, OSError): return a + b\n").score == 1.0


@pytest.mark.parametrize("answer", ["find", "whole"])
@pytest.mark.parametrize("prefix", ["import math\n", "def half(x):\n    return x / 2\n\n"])
def test_the_future_that_code_imports_goes_before_a_whole_prefix(prefix: str, answer: str) -> None:
    source = "'Adds.'\nfrom __future__ import (\n    annotations,\n)  # types\n"
    source += "def add(a: Unknown, b: Unknown):\n    return a + b\n"
    assert adding(prefix=prefix, answer=answer)(source).score == 1.0
    for end in ("\r\n", "\r"):
        assert adding(prefix=prefix, answer="whole")(source.replace("\n", end)).score == 1.0
    assert adding(prefix=prefix, answer=answer)(source.replace("annotations", "no_such")).score == 0.0
    assert adding(answer=answer)(f"x = 1\n{source}").score == 0.0
