"""The `python` grader runs its source in the sandbox: what it is given, what it may return, and what else happens."""

from __future__ import annotations

import asyncio
import inspect
import json
import types
from typing import Any

import pytest

from graders import Grade, Sample, load
from graders.code.python import Python
from graders.composite import GraderWarning
from graders.sandbox.pool import Pool, use
from graders.sandbox.settings import SandboxSettings

GRADE = "def grade(sample, item):\n"


pytestmark = pytest.mark.usefixtures("sandbox")


def python(source: str, **options: Any) -> Python:
    return Python(source=source, **options)


def failure(grade: Grade, kind: str = "python_grader_runtime_error", fault: str = "grader") -> str:
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == (kind, fault)
    assert grade.error.detail == grade.why
    return grade.why


# What a source is given, and may be


def test_the_number_that_grade_returns_is_the_score_and_the_level_is_recorded(sandbox: Pool) -> None:
    grade = python(GRADE + "    return float(sample['output_text'] == item['gene'])\n")("FBN1", {"gene": "FBN1"})
    assert (grade.score, grade.why) == (1.0, "grade() returned 1")
    assert grade.sandbox == sandbox.standing().level
    assert grade.to_wire()["sandbox"] == grade.sandbox


def test_it_is_given_what_openai_gives_it() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    sample = Sample('{"a": [1, 2.5, null, "\\ud83d\\ude00"]}', output_tools=(call,))
    item = {
        "messages": [{"role": "user", "content": "ü?"}],
        "n": 1,
        "deep": {"a": [1, 2.5, None, True]},
        "half": "\ud800",
    }
    expected = python(GRADE + "    return 1.0\n").arguments(sample, item)
    source = f"import json\nWANTED = json.loads({json.dumps(json.dumps(expected))!s})\n"
    source += GRADE + "    return float([sample, item] == WANTED and type(item['n']) is int and type(sample) is dict)\n"
    assert python(source)(sample, item).score == 1.0


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations\ndef grade(sample: Any, item: Nowhere) -> float:\n    return 1.0\n",
        "import re, json\nfrom typing import Any, TypeAlias\nRow: TypeAlias = dict[str, Any]\nWORDS = {'a', 'b'}\n"
        "def helper(row: Row) -> bool:\n    return bool(re.match('[ab]', 'a')) and 'a' in WORDS\n"
        "def grade(sample: Row, item: Row) -> float:\n    return float(helper(item))\n",
        "from dataclasses import dataclass, field\n@dataclass\nclass Point:\n    x: float = 1.0\n"
        "    tags: list[str] = field(default_factory=list)\ndef grade(sample, item):\n    return Point().x\n",
        "from __future__ import annotations\nfrom dataclasses import dataclass, fields\n@dataclass(slots=True)\n"
        "class P:\n    x: int\n    y: ClassVar[int] = 2\nfrom typing import ClassVar\n"
        "def grade(sample, item):\n    return float(P(1).x)\n",
        "import copy, pickle\nclass Kept:\n    x = 1.0\ndef grade(sample, item):\n"
        "    return copy.deepcopy(pickle.loads(pickle.dumps(Kept()))).x\n",
        "from enum import Enum\nclass Mark(Enum):\n    GOOD = 1.0\n"
        "def grade(sample, item):\n    return Mark.GOOD.value\n",
        "from typing import NamedTuple, get_type_hints\nclass T(NamedTuple):\n    a: float\n"
        "def grade(sample, item) -> float:\n    return T(1.0).a * (get_type_hints(grade)['return'] is float)\n",
        "import inspect\ndef grade(sample, item):\n    return float('return float' in inspect.getsource(grade))\n",
        "import sys\ndef grade(sample, item):\n    return float(sys.modules[__name__].grade is grade)\n",
        "if __name__ == '__main__':\n    raise SystemExit('this ran')\ndef grade(sample, item):\n    return 1.0\n",
        "import functools\n@functools.cache\ndef table():\n    return {'a': 1.0}\n"
        "grade = lambda sample, item: table()['a']\n",
        "class G:\n    def __call__(self, sample, item):\n        return 1.0\ngrade = G()\n",
        "def grade(sample, item):\n    print('noise'); import sys; sys.stderr.write('more'); return 1\n",
        "import math, statistics, difflib, datetime, decimal, collections, itertools, unicodedata, html, random\n"
        "def grade(sample, item):\n    return statistics.fmean([math.sqrt(1), 1])\n",
        "import zoneinfo, csv, io, hashlib, xml.etree.ElementTree, sqlite3\ndef grade(sample, item):\n    return 1.0\n",
        "# -*- coding: utf-8 -*-\nÜ = 1.0\ndef grade(sample, item):\n    return Ü\n",
        "def grade(sample, item):\n    global grade\n    return 1.0\n",
    ],
)  # fmt: skip
def test_whole_modules_run_as_they_are(source: str) -> None:
    grade = python(source)("x", {})
    assert grade.score == 1.0, grade.why


def test_a_module_sent_with_inspect_getsource_runs() -> None:
    source = inspect.getsource(colorsys_module()) + "\n\ndef grade(sample, item):\n    return rgb_to_hsv(1, 1, 1)[2]\n"
    assert python(source)("x").score == 1.0


def colorsys_module() -> types.ModuleType:
    import colorsys

    return colorsys


@pytest.mark.parametrize(
    ("expression", "score"),
    [
        ("numpy.float32(0.5)", 0.5),
        ("numpy.float64(0.25)", 0.25),
        ("numpy.int64(3)", 3.0),
        ("numpy.mean([0, 1])", 0.5),
        ("1", 1.0),
        ("-0.0", 0.0),
        ("1e-320", 1e-320),
        ("__import__('fractions').Fraction(1, 4)", 0.25),
        ("10 ** 300", 1e300),
    ],
)
def test_numbers_of_every_kind_are_scores(expression: str, score: float) -> None:
    if "numpy" in expression:
        pytest.importorskip("numpy")
    grade = python(("import numpy\n" if "numpy" in expression else "") + GRADE + f"    return {expression}\n")("x")
    assert grade.score == score, grade.why


# What is no score


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("pass", "grade() returned None: a path through it ends without `return`"),
        ("return sample['output_text'] == 'x'", "returned True or False: return a float, as in float(a == b)"),
        ("return '1.0'", "grade() returned a text: return a float"),
        ("return [1.0]", "a value of the type list"),
        ("return 1j", "a value of the type complex"),
        ("return __import__('decimal').Decimal(1)", "a value of the type decimal.Decimal"),
        ("return float('nan')", "grade() returned nan, which is no score"),
        ("return -float('inf')", "grade() returned -inf, which is no score"),
        ("return 10 ** 400", "grade() returned inf, which is no score"),
        ("return float(sample['output_text'])", "grade() raised ValueError: could not convert string to float: 'x'\n"),
        ("return item['no']", "grade() raised KeyError: 'no'\n"),
        ("import sys; sys.exit(0)", "grade() raised SystemExit: 0\n"),
        ("raise KeyboardInterrupt", "grade() raised KeyboardInterrupt\n"),
        ("raise ValueError('y' * 10 ** 6)", "grade() raised ValueError: yyy"),
        ("def f(): return f()\n    return f()", "grade() raised RecursionError: maximum recursion depth exceeded"),
        ("return float(len(bytearray(3 * 2 ** 30)))", "grade() raised MemoryError\n"),
        ("return eval_(1)", "grade() raised NameError: name 'eval_' is not defined\n"),
        ("import os; os._exit(0)", "grade() ended its process without an answer (exit code 0)"),
        ("import ctypes; ctypes.string_at(0)", "grade() crashed (segmentation fault)"),
        ("open('/etc/passwd')", "grade() raised PermissionError"),
        ("open('scratch', 'w')", "grade() raised "),
        ("import socket; socket.create_connection(('127.0.0.1', 80))", "grade() raised "),
        ("import subprocess; subprocess.run(['ls'])", "grade() raised "),
        ("import threading; threading.Thread(target=print).start()", "grade() raised "),
        ("import ctypes; ctypes.CDLL(None).ptrace(0, 0, 0, 0)", "grade() "),
        ("import os; os.write(3, b'forged'); return 1.0", "grade() sent bytes that are no answer"),
        ("import os; os.write(3, b'\\0\\0\\0\\x02{}'); return 1.0", "grade() sent bytes that are no answer"),
        ("import os; os.close(3); return 1.0", "grade() "),
        ("class E(Exception):\n        def __str__(self): raise ValueError\n    raise E", "grade() raised E"),
    ],
)  # fmt: skip
def test_what_is_no_score_is_undecided_and_says_what_it_was(body: str, said: str) -> None:
    why = failure(python(f"{GRADE}    {body}\n")("x", {}))
    assert said in why
    assert len(why) < 6000


@pytest.mark.parametrize("score", ["1e999", "NaN", '"1.0"', "true", "[1.0]", "null", "-1e999"])
def test_a_forged_answer_is_no_score(score: str) -> None:
    frame = json.dumps({"id": 0}).encode()[:-1] + b', "score": ' + score.encode() + b"}"
    body = f"import os; os.write(3, {len(frame).to_bytes(4, 'big') + frame!r}); os._exit(0)"
    assert "sent bytes that are no answer" in failure(python(f"{GRADE}    {body}\n")("x"))


@pytest.mark.parametrize(
    "answer", ['"wrong": 5', '"raised": []', '"raised": "E", "detail": {}', '"raised": "E"', '"x": 1']
)
def test_an_answer_of_another_shape_is_no_answer(answer: str) -> None:
    frame = b'{"id": 0, ' + answer.encode() + b"}"
    body = f"import os; os.write(3, {len(frame).to_bytes(4, 'big') + frame!r}); os._exit(0)"
    assert "sent bytes that are no answer" in failure(python(f"{GRADE}    {body}\n")("x"))


def test_the_traceback_holds_the_lines_of_the_source_and_none_of_others() -> None:
    source = "import json\n\ndef read(text):\n    return json.loads(text)\n\n" + GRADE + "    return read('{')\n"
    why = failure(python(source)("x"))
    assert '  File "<grader>", line 4, in read\n    return json.loads(text)' in why
    assert "  File \"<grader>\", line 7, in grade\n    return read('{')" in why
    assert why.count("  File ") == 2


def test_what_the_exception_came_of_is_told_too() -> None:
    caught = "    try:\n        return float('a')\n    except ValueError as problem:\n"
    source = GRADE + caught + "        raise KeyError('b') from problem\n"
    why = failure(python(source)("x"))
    assert why.startswith("grade() raised KeyError: 'b'\n")
    assert "ValueError: could not convert string to float: 'a'" in why
    assert "direct cause" in why


@pytest.mark.filterwarnings("ignore:.*nowhere_at_all:graders.composite.GraderWarning")
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('no table')\n", "the source, while it was loaded, raised RuntimeError: no table\n"),
        ("import nowhere_at_all\n", "raised ModuleNotFoundError: No module named 'nowhere_at_all'\n"),
        (
            "import os\nos._exit(3)\n",
            "the source, while it was loaded, ended its process without an answer (exit code 3)",
        ),
        ("while True:\n    pass\n", "the source, while it was loaded, took too long: more than 0.3 s"),
        ("import sys\nsys.exit()\n", "the source, while it was loaded, raised SystemExit"),
    ],
)
def test_a_source_that_does_not_load_says_so_for_every_call(source: str, said: str) -> None:
    grader = python(source + GRADE + "    return 1.0\n", timeout_seconds=0.3)
    for grade in grader.call_batch([("x", {}), ("y", {}), ("z", {})]):
        assert said in failure(grade)


# Limits


def test_openais_limits_are_the_defaults_and_others_are_not_openais() -> None:
    grader = python(GRADE + "    return 1.0\n")
    assert (grader.timeout_seconds, grader.memory_mb, grader.source_kb) == (120.0, 2048, 256)
    assert set(grader.to_openai()) == {"type", "name", "source"}
    for option, value in (("timeout_seconds", 1.0), ("memory_mb", 64), ("source_kb", 1)):
        with pytest.raises(ValueError, match=f"'python': '{option}' is Assay's own; OpenAI's limits are fixed"):
            python(grader.source, **{option: value}).to_openai()
        assert load(python(grader.source, **{option: value}).to_wire()) == python(grader.source, **{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("timeout_seconds", 0),
        ("timeout_seconds", -1.0),
        ("timeout_seconds", float("inf")),
        ("timeout_seconds", "5"),
        ("memory_mb", 1),
        ("memory_mb", 64.5),
        ("source_kb", 0),
        ("source_kb", True),
    ],
)
def test_a_limit_that_is_none_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option):
        python(GRADE + "    return 1.0\n", **{option: value})


def test_the_limits_can_be_set() -> None:
    assert "more than 0.2 s" in failure(python(GRADE + "    while True: pass\n", timeout_seconds=0.2)("x"))
    large = GRADE + "    return float(len(bytearray(200 * 2 ** 20)) > 0)\n"
    assert "MemoryError" in failure(python(large, memory_mb=100)("x"))
    assert python(large, memory_mb=400)("x").score == 1.0
    with pytest.raises(ValueError, match=r"it must have fewer than 1,024 \(1 kB\)"):
        python(GRADE + "    return 1.0\n#" + "x" * 1024, source_kb=1)
    assert python(GRADE + "    return 1.0\n#" + "x" * 2**18, source_kb=512)("x").score == 1.0


def test_a_loop_that_ignores_signals_and_exceptions_is_ended_all_the_same() -> None:
    source = (
        "import signal\nfor number in range(1, 65):\n    try:\n        signal.signal(number, signal.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\n" + GRADE
        + "    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n"
    )  # fmt: skip
    assert "took too long" in failure(python(source, timeout_seconds=0.3)("x"))


def test_an_item_that_is_no_json_is_undecided() -> None:
    for item in ({"x": float("nan")}, {"x": {1}}, {"x": 10**5000}):
        why = failure(python(GRADE + "    return 1.0\n")("x", item), "other_error")
        assert why.startswith("the item is not JSON, so it cannot be handed over")


@pytest.mark.parametrize("depth", [100, 300, 900, 950, 980, 990, 995, 1000, 2000, 100_000])
def test_a_sample_nested_deep_never_ends_the_process_that_grades(depth: int) -> None:
    grade = python(GRADE + "    return float(sample['output_json'] is None)\n")("[" * depth + "]" * depth, {})
    if grade.score is None:
        failure(grade)
        assert "exit code" not in grade.why
    else:
        assert grade.error is None or grade.error.fault == "candidate"


# The sandbox itself


def test_a_sandbox_too_weak_is_refused_with_what_is_missing() -> None:
    with use(Pool(without=["landlock"])):
        grader = python(GRADE + "    return 1.0\n", name="mine")
        why = failure(grader("x"), "sandbox_refused", "infra")
        assert "landlock is missing" in why
        assert [grade.why for grade in grader.call_batch([("x", {}), ("y", {})])] == [why, why]
        with pytest.raises(ValueError, match="landlock is missing"):
            grader.check_ready()


def test_an_override_is_recorded_in_every_grade() -> None:
    with use(Pool(SandboxSettings(accept="S1"), without=["landlock"])):
        grades = python(GRADE + "    return 1.0\n").call_batch([("x", {}), ("y", {})])
        assert [(grade.score, grade.sandbox) for grade in grades] == [(1.0, "S1, accepted")] * 2
        assert failure(python(GRADE + "    return 1 / 0\n")("x"))


def test_a_sandbox_that_cannot_be_started_is_openais_server_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with use(Pool()):
        monkeypatch.setattr("graders.sandbox.fork_server.START", "raise SystemExit")
        why = failure(python(GRADE + "    return 1.0\n")("x"), "python_grader_server_error", "infra")
        assert "no fork server could be started" in why


def test_it_can_be_awaited_and_many_at_once() -> None:
    grader = python(GRADE + "    return float(sample['output_text'])\n")

    async def both() -> list[Grade]:
        return list(await asyncio.gather(*(grader.call_async(str(number), {}) for number in range(20))))

    assert [grade.score for grade in asyncio.run(both())] == [float(number) for number in range(20)]
    assert not grader.waits


# A source that runs what it is given


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("return float(eval(sample['output_text']))", "line 2: eval"),
        ("exec(sample['output_text'])", "line 2: exec"),
        ("import builtins; builtins.exec('')", "line 2: exec"),
        ("return float(sympify(sample['output_text']))", "line 2: sympify"),
        ("import sympy; return float(sympy.parse_expr('1'))", "line 2: parse_expr"),
    ],
)
def test_a_source_that_runs_texts_is_warned_about(body: str, found: str) -> None:
    with pytest.warns(GraderWarning, match=f"^mine: {found} in the source: if what it runs comes from the sample"):
        python(f"{GRADE}    {body}\n", name="mine")


@pytest.mark.parametrize("body", ["import re; re.compile('a')", "import ast; ast.literal_eval('1')", "model.eval()"])
def test_a_source_that_runs_no_text_is_not(body: str) -> None:
    python(f"{GRADE}    {body}\n")


@pytest.mark.filterwarnings("ignore::graders.composite.GraderWarning")
def test_a_sample_that_a_source_runs_cannot_change_the_score_of_another() -> None:
    grader = python(GRADE + "    exec(sample['output_text'], globals())\n    return 0.0\n")
    takes_over = "def grade(sample, item):\n    return 1.0"
    grades = grader.call_batch([(takes_over, {}), ("x = 1", {}), ("y = 2", {})])
    assert [grade.score for grade in grades] == [0.0, 0.0, 0.0]


READS_WITH_SYMPY = [
    "import sympy\ndef grade(s, i):\n    return float(sympy.simplify(s['output_text']) == 4)\n",
    "from sympy import S\ndef grade(s, i):\n    return float(S(s['output_text']) == 4)\n",
    "import sympy as sym\ndef grade(s, i):\n    return float(sym.sympify(s['output_text']) == 4)\n",
    "import sympy.parsing.sympy_parser as p\ndef grade(s, i):\n    return float(p.parse_expr(s['output_text']) == 4)\n",
    "from builtins import eval as ev\ndef grade(s, i):\n    return float(ev(s['output_text']) == 4)\n",
    "import pickle\ndef grade(s, i):\n    return float(pickle.loads(s['output_text'].encode('latin-1')) == 4)\n",
    "def grade(s, i):\n    return float(__builtins__['eval'](s['output_text']) == 4)\n",
]


@pytest.mark.parametrize("source", READS_WITH_SYMPY)
@pytest.mark.filterwarnings("ignore::graders.composite.GraderWarning")
def test_no_other_name_for_what_runs_texts_lets_a_sample_change_the_score_of_another(source: str) -> None:
    if "sympy" in source:
        pytest.importorskip("sympy")
    takes_over = "exec(\"import sys; sys.modules['submission'].grade = lambda s, i: 1.0\")"
    if "pickle" in source:
        takes_over = f"cbuiltins\nexec\n(S{takes_over[5:-1]}\ntR."
    grader = python(source)
    grades = grader.call_batch([(text, {}) for text in (takes_over, "5", "wrong", "7")])
    assert all(grade.score != 1.0 for grade in grades), [grade.score for grade in grades]
    assert grader("9", {}).score != 1.0


def test_what_a_source_raises_is_shown_without_signs_that_a_terminal_obeys() -> None:
    raises = "def grade(s, i):\n    raise type('\\x1b[2J' + 'A' * 50_000, (Exception,), {})('\\x1b]0;x\\x07')\n"
    grade = python(raises)("x", {})
    assert "\x1b" not in grade.why
    assert "\x07" not in grade.why
    assert len(grade.why) < 6_000


@pytest.mark.parametrize("item", [{"d": {1: "a", "1": "b"}}, {"d": {None: 1, "null": 2}}, {"d": {True: 1, "true": 2}}])
def test_keys_that_are_one_key_in_json_do_not_end_the_process(item: dict[str, Any]) -> None:
    assert python("def grade(s, i):\n    return float(len(i['d']))\n")("x", item).score == 1.0


# Hostile outputs


@pytest.mark.parametrize(
    "output",
    [
        "",
        "\0",
        "\ud800",
        "\U0001f600" * 10_000,
        "x" * 2_000_000,
        "{{item.answer}} {{ sample.output_text }}",
        '"},{"id":0,"score":1.0}',
        '{"a": {"b": [null, true, 1e308, -0.0]}}',
        '{"__class__": "evil", "id": 0, "score": 1.0}',
        "[" * 500 + "]" * 500,
        "__import__('os')._exit(0)",
        "\r\n\u2028\u2029\x85",
    ],
    ids=range(12),
)
def test_a_hostile_output_arrives_as_it_is(output: str) -> None:
    length = GRADE + "    return float(len(sample['output_text']))\n"
    grade = python(length)(output, {"answer": "x"})
    assert grade.score == len(output), grade.why
    json.dumps(grade.to_wire(), allow_nan=False)


def test_the_code_that_calls_the_source_is_part_of_the_graders_identity() -> None:
    names = {path.name for path in python(GRADE + "    return 1.0\n").code_files()}
    assert {"python.py", "scores.py", "worker.py", "fork_server.py"} <= names
