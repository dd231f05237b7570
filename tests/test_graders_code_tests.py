"""An author's tests, run where the tested function is not: what they may ask, how they count, who is at fault."""

from __future__ import annotations

from typing import Any

import pytest

from graders import Grade, load
from graders.sandbox.pool import RefusedError, pool
from graders.sandbox.process import ServerFailedError

try:
    pool().check()
except (RefusedError, ServerFailedError, OSError) as problem:  # pragma: no cover
    pytest.skip(f"no sandbox here: {problem}", allow_module_level=True)

ADD = "def add(a, b):\n    if not isinstance(a, int): raise TypeError('a number')\n    return a + b\n"
UNITTEST = """
import unittest
class Adding(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.two = 2
    def test_small(self): self.assertEqual(add(1, self.two), 3)
    def test_many(self):
        for n in range(3):
            with self.subTest(n=n): self.assertEqual(add(n, n), 2 * n)
    def test_text(self):
        with self.assertRaisesRegex(TypeError, "a number"): add("a", "b")
    @unittest.skip("not yet")
    def test_later(self): self.assertEqual(add(1, 1), 3)
    @unittest.expectedFailure
    def test_known(self): self.assertEqual(add(1, 1), 3)
"""
CHECK = "METADATA = {}\ndef check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(0, 0) == 0\n"
FUNCTIONS = "def test_small(): assert add(1, 2) == 3\ndef test_zero(candidate): assert candidate(0, 0) == 0\n"
ASSERTS = "assert add(1, 2) == 3\nassert add(0, 0) == 0\n"
IMPORTED = "from solution import add as plus\ndef test_it(): assert plus(1, 2) == 3\n"


def graded(tests: str, output: str = ADD, **options: Any) -> Grade:
    return load({"type": "code", "function": "add", "tests": "{{item.tests}}", **options})(output, {"tests": tests})


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        (UNITTEST, "passed all 4 tests"),
        (CHECK, "passed the one test"),
        (FUNCTIONS, "passed all 2 tests"),
        (ASSERTS, "passed the one test"),
        (IMPORTED, "passed the one test"),
        (CHECK + FUNCTIONS + UNITTEST, "passed all 7 tests"),
    ],
)
def test_honest_code_passes_tests_of_every_shape(tests: str, why: str) -> None:
    grade = graded(tests)
    assert (grade.score, grade.why) == (1.0, why)


@pytest.mark.parametrize("tests", [UNITTEST, CHECK, FUNCTIONS, ASSERTS, IMPORTED])
@pytest.mark.parametrize(
    "output",
    [
        "def add(a, b): return a - b",
        "def add(a, b): return 4",
        "class E(int):\n    def __eq__(self, other): return True\n    __hash__ = None\ndef add(a, b): return E()",
        "def add(a, b): raise SystemExit(0)",
        "import os\nos._exit(0)",
        "import sys\nsys.exit(0)",
        "def add(a, b): import os; os._exit(0)",
        "def add(a, b): raise KeyboardInterrupt",
        "def add(a, b): raise StopIteration",
        "import unittest\ndef add(a, b): raise unittest.SkipTest('no')",
        "def add(a, b):\n    import sys\n    sys.modules['unittest'] = None\n    raise AssertionError",
        "import builtins\nbuiltins.AssertionError = Exception\ndef add(a, b): return None",
        "def add(a, b): return object()",
        "def add(a, b):\n    import os\n    os.write(3, b'\\x00\\x00\\x00\\x02{}')\n    return a + b",
        "def add(a, b):\n    import os, json\n"
        "    c = json.dumps({'id': 2, 'tests': [['check', 'passed', '']]}).encode()\n"
        "    os.write(3, len(c).to_bytes(4, 'big') + c)\n    return None",
        "def add(a, b):\n    import os\n    os.closerange(3, 9)",
        "def add(a, b) return a + b",
        "def plus(a, b): return a + b",
        "",
    ],
)
def test_no_cheat_passes_a_test(tests: str, output: str) -> None:
    grade = graded(tests, output)
    assert grade.score == 0.0, grade.why
    assert graded(tests, output, partial_credit=1.0).score != 1.0


def test_partial_credit_is_the_share_of_tests() -> None:
    grade = graded(UNITTEST, "def add(a, b): return a + b", partial_credit=1.0)
    assert grade.score == 0.75  # "a" + "b" raises nothing
    assert [name for name, part in grade.parts.items() if part.score == 0.0] == ["Adding.test_text"]
    assert "3 of 4 tests passed; Adding.test_text failed: " in grade.why


def test_what_failed_is_told_with_its_line_and_the_last_answer() -> None:
    grade = graded(CHECK, "def add(a, b): return 3")
    assert grade.why == (
        "0 of 1 tests passed; check failed: assert candidate(0, 0) == 0: AssertionError (the last call returned 3)"
    )


@pytest.mark.parametrize("output", [ADD, "def add(a, b) no code", "import os\nos._exit(0)", ""])
@pytest.mark.parametrize(
    ("tests", "said"),
    [
        ("   ", "the tests are blank"),
        ("x = 1", "tests: they never call the function, so that any code would pass"),
        ("def test_it(): pass", "they never call the function"),
        ("def test_it(:", "they cannot be run: SyntaxError"),
        ("import no_such_module", "they cannot be run: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def check(candidate):\n    undefined\n", "they cannot be run: NameError: name 'undefined' is not defined in"),
        ("def test_it(n): assert add(n, 1)", "test_it takes n; a test may take `candidate`, and nothing else"),
        ("assert add(1, print)", "the function is called with a value of the type builtin_function_or_method"),
        ("import unittest\nclass T(unittest.TestCase):\n    def test_a(self): undefined", "NameError"),
        ("import unittest\n@unittest.skip('x')\nclass T(unittest.TestCase):\n    def test_a(self): add(1, 1)",
         "they never call the function"),
        ("raise SystemExit(0)", "they cannot be run: SystemExit: 0"),
        ("import os\nos._exit(0)", "they ended its process without an answer (exit code 0), before they called"),
        ("assert add(1, 'x' * 2**17)", "they sent an answer of 131,"),
        ("while True: pass", "they took longer than 0.5 s, before they called the function"),
    ],
)  # fmt: skip
def test_tests_that_cannot_be_used_are_undecided_whatever_the_output(tests: str, said: str, output: str) -> None:
    grade = graded(tests, output, timeout_seconds=0.5, output_kb=64)
    assert grade.score is None, grade.why
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("invalid_reference", "grader")
    assert said in grade.why


def test_a_test_that_skips_itself_for_what_the_code_answered_has_not_passed() -> None:
    tests = """
import unittest
class T(unittest.TestCase):
    def test_a(self):
        if add(1, 2) != 3: self.skipTest("wrong")
"""
    assert graded(tests).score == 1.0
    grade = graded(tests, "def add(a, b): return 0")
    assert (grade.score, grade.parts["T.test_a"].why) == (0.0, "it skipped itself")


def test_tests_know_what_stands_before_the_answer() -> None:
    prefix = "import math\ndef half(x):\n    return x / 2\ndef add(a, b):\n"
    whole = "def half(x):\n    return x / 2\n\ndef add(a, b):\n    ''' Adds. '''\n"
    tests = "def check(f):\n    assert half(f(2, 2)) == 2\n"
    body = "    return a + b\n"
    assert graded(tests, body, answer="whole", prefix=whole).score == 1.0
    broken = graded(tests, body, answer="whole", prefix=prefix)  # only the answer completes it
    assert broken.score is None
    assert "they cannot be run: NameError: name 'half' is not defined" in broken.why
    assert graded(tests, "    pass\n", answer="whole", prefix=whole).score == 0.0


def test_a_method_is_tested_through_its_class() -> None:
    output = "class Solution:\n    def add(self, a, b): return a + b\n"
    tests = "def test_it(): assert Solution().add(1, 2) == candidate(2, 1) == 3\n"
    assert load({"type": "code", "function": "Solution.add", "tests": tests})(output).score == 1.0


def test_one_process_answers_all_the_calls_of_a_samples_tests() -> None:
    counting = "calls = 0\ndef add(a, b):\n    global calls\n    calls += 1\n    return calls\n"
    assert graded("assert [add(0, 0), add(0, 0)] == [1, 2]", counting).score == 1.0


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("def add(a, b):\n    while True: pass", "the code took longer than 0.5 s"),
        ("def add(a, b): return list(range(10**5))", "returned an answer of"),
        ("def add(a, b): return {n: n for n in range(10**5)}", "returned an answer of"),
        ("import ctypes\ndef add(a, b): ctypes.string_at(0)", "the code crashed (segmentation fault)"),
    ],
)
def test_tests_survive_what_the_code_does(output: str, said: str) -> None:
    grade = graded(CHECK, output, timeout_seconds=0.5, output_kb=64)
    assert grade.score == 0.0
    assert said in grade.why


def test_tests_that_an_answer_sends_round_for_ever_are_the_codes_failure() -> None:
    tests = "def check(f):\n    while f(1, 1) != 2: pass\n"
    grade = graded(tests, "def add(a, b): return 3", timeout_seconds=0.5)
    assert grade.score == 0.0
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("timeout", "candidate")


def test_values_of_every_plain_type_pass_both_ways() -> None:
    tests = """
VALUES = [1, 2.5, True, None, "a", b"b", (1, (2,)), {3}, frozenset({4}), {"k": [5]}, 10**40, 1j, float("inf")]
VALUES.append("\\ud800")
def check(candidate):
    for value in VALUES:
        found = candidate(value, b=value)
        assert found == [value, value] and type(found[0]) is type(value), value
"""
    assert graded(tests, "def add(a, b): return [a, b]").score == 1.0


def test_tests_and_cases_count_together() -> None:
    options: dict[str, Any] = {"cases": [{"args": [1, 1], "expected": 2}], "partial_credit": 1.0}
    assert graded(CHECK, **options).why == "passed all 2 tests and cases"
    half = graded(CHECK, "def add(a, b): return a * b * 2", **options)
    assert (half.score, list(half.parts)) == (0.5, ["check", "case 1"])
    assert graded(CHECK, "def add(a, b): return 2", cases=options["cases"]).why.endswith("1 not run)")


def test_a_question_too_large_after_an_answer_is_the_codes_failure() -> None:
    grade = graded("assert add(add(1, 2) * 10, 0)", "def add(a, b): return 'x' * 60_000", output_kb=64)
    assert grade.score == 0.0
    assert "they sent an answer of 600," in grade.why


@pytest.mark.parametrize("output", [ADD, "def add(a, b): return 0"])
@pytest.mark.parametrize(
    ("tests", "said"),
    [
        ("def check(f):\n    assert f(1, 2) is not g\n",
         "NameError: name 'g' is not defined in assert f(1, 2) is not g"),
        ("import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        add\n        g(1)\n",
         "tests can call one function, add: g is not there"),
        ("from solution import add, g", "cannot import name 'g'"),
        ("def check(f):\n    s = add()\n    s.push(1)\n    assert s.pop() == 1\n",
         "tests can call one function, and what add returns is plain data, without .push"),
        ("async def test_it(): assert add(1, 2) == 3", "async tests are not run; use unittest.IsolatedAsyncioTestCase"),
        ("async def check(f): assert f(1, 2) == 3", "async tests are not run"),
        ("import unittest\nclass T(unittest.TestCase):\n    async def test_a(self): self.assertEqual(add(1, 2), 3)",
         "T.test_a is async"),
        ("def test_it():\n    assert add(1, 2) == 3\n    yield\n", "test_it holds `yield`"),
        ("import no_such", "name its distribution in `packages`"),
    ],
)  # fmt: skip
def test_tests_that_ask_for_more_than_a_function_are_undecided(tests: str, said: str, output: str) -> None:
    grade = graded(tests, output)
    assert grade.error is not None, grade.why
    assert (grade.error.kind, grade.error.fault) == ("invalid_reference", "grader"), grade.why
    assert said in grade.why


@pytest.mark.parametrize(
    "tests",
    [
        "def check(f):\n    try: r = f(1, 2)\n    except Exception: pass\n    assert r == 3\n",
        "try: r = add(1, 2)\nexcept Exception: pass\nassert r == 3\n",
        "for n in add(1, 2): last = n\nassert last == 3\n",
        "if add(1, 2) == 3: ok = 1\nassert ok\n",
        "try: assert add(1, 2) == 3\nexcept Exception as e: raise type(e)(str(e))\n",
        "def check(f):\n    try: f(1, 2)\n    except Exception as e: raise e\n    assert f(1, 2) == 3\n",
        "def check(f):\n    assert f(1, 2).bit_length() == 2\n",
        "def check(f):\n    r = f(1, 2)\n    r = r.tolist() if hasattr(r, 'tolist') else r\n    assert r == 3\n",
        "r = add(1, 2)\nr = [r]\nassert r[0].real == 3\n",
    ],
)
@pytest.mark.parametrize(
    "output",
    [
        "def add(a, b): raise NameError(\"name 'g' is not defined\")",
        "def add(a, b): return g",
        "def add(a, b): return []",
        "def add(a, b): return None",
        "class add:\n    def __init__(self, a, b): pass",
        "def add(a, b): raise ImportError('cannot import name')",
        "raise NameError",
    ],
)
def test_no_code_makes_the_tests_look_broken(tests: str, output: str) -> None:
    grade = graded(tests, output)
    assert grade.score == 0.0, grade.why


def test_a_class_in_the_prefix_is_no_function() -> None:
    prefix = "class Stack:\n    def __init__(self):\n        self.items = []\n"
    tests = "def check(c):\n    assert c() is not None\n"
    grade = graded(tests, "    def push(self): pass\n", function="Stack", prefix=prefix, answer="whole")
    assert (grade.score, "Stack is a class" in grade.why) == (None, True)


def test_async_methods_of_unittests_own_class_are_run() -> None:
    tests = "import unittest\nclass T(unittest.IsolatedAsyncioTestCase):\n"
    tests += "    async def test_a(self): self.assertEqual(add(1, 2), 3)\n"
    assert graded(tests).score == 1.0
    assert graded(tests, "def add(a, b): return 4").score == 0.0


@pytest.mark.parametrize("end", ["unittest.main()", "if __name__ == '__main__':\n    unittest.main()"])
def test_the_call_that_runs_unittest_is_ignored(end: str) -> None:
    grade = graded(f"{UNITTEST}\n{end}\n")
    assert (grade.score, grade.why) == (1.0, "passed all 4 tests")


def test_a_list_of_texts_is_joined_into_tests() -> None:
    grader = load({"type": "code", "function": "add", "tests": "{{item.test_list}}"})
    item = {"test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]}
    assert grader(ADD, item).score == 1.0
    assert grader("def add(a, b): return 3", item).score == 0.0


WRONG = "def add(a, b): return 0"
ONE_THAT_PASSES = "\ndef test_zero(): assert add(0, 0) == 0\n"


@pytest.mark.parametrize(
    ("tests", "name"),
    [
        ("class TestAdd:\n    def test_a(self): assert add(1, 2) == 3\n", "TestAdd.test_a"),
        ("class Base:\n    def test_a(self): assert add(1, self.b) == 3\nclass Sub(Base):\n    b = 2\n", "Sub.test_a"),
        ("class TestAdd:\n    def setup_method(self): self.b = 2\n    def test_a(self): assert add(1, self.b) == 3\n"
         "    def teardown_method(self, method): del self.b\n", "TestAdd.test_a"),
        ("import unittest\nclass Mixin:\n    def test_a(self): self.assertEqual(add(1, 2), 3)\n"
         "class T(Mixin, unittest.TestCase): pass\nSame = T\n", "T.test_a"),
        ("import functools\ndef small(n): assert add(n, 2) == 3\ntest_a = functools.partial(small, 1)\n", "test_a"),
        ("import functools\n@functools.lru_cache\ndef test_a(): assert add(1, 2) == 3\n", "test_a"),
        ("class Small:\n    def __call__(self, candidate): assert candidate(1, 2) == 3\ntest_a = Small()\n", "test_a"),
        ("import types\ndef small(): assert add(1, 2) == 3\n"
         "test_a = types.FunctionType(small.__code__, {'add': add})\n", "test_a"),
        ("import contextlib\n@contextlib.contextmanager\ndef c(): yield\n"
         "@c()\ndef test_a(): assert add(1, 2) == 3\n", "test_a"),
        ("def small(): assert add(1, 2) == 3\ntest_a = small\n", "test_a"),
        ("def small(f): assert f(1, 2) == 3\ncheck = small\n", "check"),
        ("exec('def test_a(): assert add(1, 2) == 3')\n", "test_a"),
    ],
)  # fmt: skip
def test_no_test_is_left_out(tests: str, name: str) -> None:
    assert graded(tests + ONE_THAT_PASSES).score == 1.0, graded(tests + ONE_THAT_PASSES).why
    grade = graded(tests + ONE_THAT_PASSES, WRONG, partial_credit=1.0)
    assert [part for part in grade.parts if grade.parts[part].score == 0.0] == [name]


@pytest.mark.parametrize("output", [ADD, WRONG])
@pytest.mark.parametrize(
    ("tests", "said"),
    [
        ("def test_a(): return add(1, 2) == 7", "test_a returned False; assert it"),
        ("def check(f): return f(1, 2) in (0, 3)", "check returned True; assert it"),
        ("async def a(): assert add(1, 2) == 3\ndef test_a(): return a()",
         "test_a returned a value of the type coroutine; assert it"),
        ("class TestA:\n    def test_a(self): return (add(1, 2) == n for n in [3])", "TestA.test_a returned a value"),
        ("import unittest\nclass T(unittest.TestCase):\n    def test_a(self): return add(1, 2) == 7",
         "T.test_a returned False"),
        ("import unittest\nclass T(unittest.IsolatedAsyncioTestCase):\n    async def test_a(x): return add(1, 2) > 9",
         "T.test_a returned False"),
        ("class TestA:\n    def __init__(self, n): pass\n    def test_a(self): assert add(1, 2) == 3",
         "TestA.test_a: its class cannot be called without arguments"),
        ("class TestA:\n    def setup_class(cls): cls.b = 2\n    def test_a(self): assert add(1, 2) == 3",
         "TestA.setup_class is not run"),
        ("class TestA:\n    class TestB:\n        def test_a(self): assert add(1, 2) == 3", "TestA.TestB is not run"),
        ("class TestA:\n    def test_a(self, n): assert add(n, 2) == 3", "TestA.test_a takes n"),
        ("if __name__ == '__main__':\n    assert add(1, 2) == 3", "they never call the function"),
    ],
)  # fmt: skip
def test_tests_whose_result_nobody_sees_are_undecided(tests: str, said: str, output: str) -> None:
    grade = graded(tests if "__main__" in tests else tests + ONE_THAT_PASSES, output)
    assert grade.error is not None, grade.why
    assert (grade.error.kind, grade.error.fault) == ("invalid_reference", "grader"), grade.why
    assert said in grade.why


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("def add(:", "the code does not compile"),
        ("import os\nos._exit(0)", "the code ended its process"),
        ("raise ValueError('no')", "the code raised ValueError: no"),
        ("def plus(a, b): return a + b", "the code defines no 'add'"),
        ("add = 5", "the code defines no function 'add', but a value of the type int"),
        ("def add(a, b): import os; os._exit(0)", "the code ended its process"),
        ("def add(a, b):\n    while True: pass", "the code took longer than 0.5 s"),
        ("def add(a, b):\n    import os\n    os.write(3, b'none at all')", "the code sent bytes that are no answer"),
    ],
)
def test_code_that_does_not_load_or_dies_fails_whatever_the_tests_catch(output: str, said: str) -> None:
    tests = (
        "def test_a(): pass\ndef check(f):\n    try:\n        f(-1, 0)\n    except:\n        return\n    assert False\n"
    )
    assert graded(tests, "def add(a, b): raise ValueError").score == 1.0
    grade = graded(tests, output, timeout_seconds=0.5, partial_credit=1.0)
    assert grade.score == 0.0
    assert said in grade.why


def test_an_argument_made_of_an_answer_is_the_codes_failure() -> None:
    tests = "def check(f):\n    r = f(1, 2)\n    assert f(iter(r) if isinstance(r, str) else r, 1) == 4\n"
    assert graded(tests).score == 1.0
    grade = graded(tests, "def add(a, b): return 'a'")
    assert grade.score == 0.0
    assert "the function is called with a value of the type str" in grade.why


def test_the_tested_function_has_its_name() -> None:
    assert graded("assert (candidate.__name__, add.__qualname__) == ('add', 'add') and add(1, 2) == 3").score == 1.0
