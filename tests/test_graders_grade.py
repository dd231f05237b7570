from __future__ import annotations

import asyncio
import importlib
import json
import math
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import PrivateAttr

import graders.grade
from graders import ERROR_KINDS, Grade, Grader, GradingError, Item, Sample, as_grader, grade_many, load
from graders.registry import BUILT_IN

STRING_CHECK: dict[str, Any] = {
    "type": "string_check",
    "input": "{{sample.output_text}}",
    "reference": "{{item.gene}}",
    "operation": "eq",
}
DEFINITIONS: list[dict[str, Any]] = [
    STRING_CHECK,
    {**STRING_CHECK, "name": "exact"},
    {
        "type": "text_similarity",
        "input": "{{sample.output_text}}",
        "reference": "{{item.gene}}",
        "evaluation_metric": "fuzzy_match",
        "pass_threshold": 0.8,
    },
    {"type": "rank", "reference": "{{item.gene}}"},
    {"type": "rank", "reference": {"FBN1": 2, "FBN2": 1}, "credit": "dcg", "max_length": 5, "name": "genes"},
    {"type": "rank", "reference": ["FBN1", "{{item.gene}}"], "credit": {"rule": "top_k", "k": 5}},
    {"type": "multi", "graders": {"same": STRING_CHECK}, "calculate_output": "2*same"},
]
GENE = {"gene": "FBN1"}


class Fixed(Grader):
    type: str = "fixed"

    _answer: Any = PrivateAttr(None)

    def grade(self, sample: Sample, item: Item) -> Any:
        return self._answer


def fixed(answer: Any, name: str = "") -> Grader:
    grader = Fixed(name=name)
    grader._answer = answer
    return grader


class Waits(Grader):
    type: str = "waits"
    seconds: float = 0.01

    async def grade_async(self, sample: Sample, item: Item) -> float:
        await asyncio.sleep(self.seconds)
        return float(sample.output_text)


def error_of(grade: Grade) -> tuple[str, str]:
    assert grade.score is None
    assert grade.error is not None
    assert grade.error.kind in ERROR_KINDS
    return grade.error.kind, grade.error.fault


# A grade


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_grade_holds_a_finite_number_or_none(score: float) -> None:
    with pytest.raises(ValueError, match="finite number or None"):
        Grade(score, "broken")


def test_an_undecided_grade_must_say_why() -> None:
    with pytest.raises(ValueError, match="must carry an error"):
        Grade(None, "no idea")


def test_a_candidates_fault_is_decided_and_any_other_is_not() -> None:
    assert Grade.failed("sample_parse_error", "no JSON").status == "scored"
    assert Grade.undecided("timeout", "slow", "infra").status == "error"


def test_a_grade_survives_being_written_and_read() -> None:
    grade = load(DEFINITIONS[-1])("FBN1", GENE)
    assert Grade.from_wire(json.loads(json.dumps(grade.to_wire()))).to_wire() == grade.to_wire()


# What a grader answers


@pytest.mark.parametrize(("answer", "score"), [(1, 1.0), (0.25, 0.25), (True, 1.0), (Grade(0.5, "half"), 0.5)])
def test_a_number_or_a_grade_is_an_answer(answer: Any, score: float) -> None:
    grade = fixed(answer)("x")
    assert (grade.score, type(grade.score)) == (score, float)


def test_numpy_numbers_become_floats_that_go_into_json() -> None:
    np = pytest.importorskip("numpy")
    for answer in (np.float32(0.5), np.int64(1), np.bool_(True), Grade(np.float32(0.5), "half")):
        assert json.dumps(fixed(answer)("x").to_wire())


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (math.nan, "nonfinite"),
        (math.inf, "nonfinite"),
        (10**400, "nonfinite"),
        (1.5, "out_of_range"),
        (-0.001, "out_of_range"),
        (Grade(7.0, "seven"), "out_of_range"),
        (None, "other_error"),
        ("1.0", "other_error"),
        ([1.0], "other_error"),
        (1j, "other_error"),
    ],
)
def test_any_other_answer_is_an_undecided_grade(answer: Any, kind: str) -> None:
    assert error_of(fixed(answer)("x")) == (kind, "grader")


def test_a_score_out_of_range_keeps_what_led_to_it() -> None:
    part = Grade(1.0, "part")
    grade = fixed(Grade(7.0, "seven", parts={"a": part}, extracted="x", usage={"judge": {"tokens": 5}}))("x")
    assert (grade.why, grade.extracted) == ("fixed scored 7.0, outside its range [0, 1]", "x")
    assert (grade.parts, grade.usage) == ({"a": part}, {"judge": {"tokens": 5}})


def test_an_exception_is_an_undecided_grade_that_names_it_and_its_place() -> None:
    def broken(sample: Sample, item: Item) -> float:
        return float(item["no such key"])

    grade = as_grader(broken)("x")
    assert error_of(grade) == ("other_error", "grader")
    assert grade.why.startswith("KeyError: 'no such key' (test_graders_grade.py:")


def test_endless_recursion_is_an_undecided_grade() -> None:
    def endless(sample: Sample, item: Item) -> float:
        return endless(sample, item)

    assert error_of(as_grader(endless)("x")) == ("other_error", "grader")


@pytest.mark.parametrize(("fault", "score"), [("candidate", 0.0), ("grader", None), ("infra", None), ("unknown", None)])
def test_only_the_candidates_own_fault_is_decided(fault: Any, score: float | None) -> None:
    def raises(sample: Sample, item: Item) -> float:
        raise GradingError("timeout", "took too long", fault)

    grade = as_grader(raises)("x")
    assert grade.score == score
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault, grade.why) == ("timeout", fault, "took too long")


def test_every_grade_bears_its_grader_and_its_time() -> None:
    grader = fixed(1.0, name="mine")
    grade = grader("x")
    assert grade.grader == grader.identity
    assert grade.grader.startswith("mine@")
    assert grade.seconds > 0


@pytest.mark.parametrize(
    ("sample", "text"),
    [("FBN1", "FBN1"), (Sample("FBN1"), "FBN1"), ({"output_text": "FBN1"}, "FBN1"), ({}, "")],
)
def test_a_sample_may_be_a_text_a_mapping_or_a_sample(sample: Any, text: str) -> None:
    assert load(STRING_CHECK)(sample, {"gene": text}).score == 1.0


def test_a_malformed_sample_is_an_undecided_grade() -> None:
    assert error_of(load(STRING_CHECK)({"output_txt": "FBN1"}, GENE)) == ("other_error", "grader")
    assert error_of(load(STRING_CHECK)({"output_text": 5}, GENE)) == ("other_error", "grader")


# Graders that wait


def test_a_grader_that_waits_is_called_like_any_other_also_inside_a_running_loop() -> None:
    assert Waits()("0.5").score == 0.5

    async def inside() -> tuple[Grade, Grade]:
        return Waits()("0.25"), await Waits().call_async("0.75")

    assert [grade.score for grade in asyncio.run(inside())] == [0.25, 0.75]


def test_pure_graders_can_be_awaited_too() -> None:
    assert asyncio.run(load(STRING_CHECK).call_async("FBN1", GENE)).score == 1.0


def test_what_a_waiting_grader_raises_is_an_undecided_grade() -> None:
    assert error_of(Waits()("not a number")) == ("other_error", "grader")


def test_many_samples_keep_their_order_and_wait_together() -> None:
    grades = list(grade_many(Waits(), [(str(n / 40), {}) for n in range(40)], concurrency=20))
    assert [grade.score for grade in grades] == [n / 40 for n in range(40)]


# Functions as graders


def half(sample: Sample, item: Item) -> float:
    return 0.5


async def later(sample: Sample, item: Item) -> float:
    await asyncio.sleep(0)
    return 0.5


class Callable5:
    def __call__(self, sample: Sample, item: Item) -> float:
        return 5.0


@pytest.mark.parametrize(("judge", "name"), [(half, "half"), (later, "later"), (Callable5(), "Callable5")])
def test_a_function_is_a_grader_without_limits_on_its_range(judge: Callable[..., Any], name: str) -> None:
    grade = as_grader(judge)("x")
    assert grade.score in (0.5, 5.0)
    assert grade.grader.startswith(f"{name}@")


def test_a_function_without_a_file_is_a_grader_too() -> None:
    space: dict[str, Any] = {}
    exec(compile("def typed_in(sample, item):\n    return 0.5\n", "<stdin>", "exec"), space)
    assert as_grader(space["typed_in"])("x").score == 0.5


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="a grader is a Grader or a function"):
        as_grader(5)  # type: ignore[arg-type]


def test_a_users_file_called_graders_py_loads_beside_our_package(tmp_path: Path) -> None:
    file = tmp_path / "graders.py"
    file.write_text("from graders import Grade\ndef full(sample, item):\n    return Grade(1.0, 'full')\n")
    assert load(f"{file}:full")("x").why == "full"
    assert load({"type": "function", "source": f"{file}:full", "name": "mine"}).label == "mine"


def test_a_class_in_a_file_loads_with_its_options_and_is_written_back(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from typing import Literal\n"
        "from graders import Grader\n"
        "class Share(Grader):\n"
        "    type: str = 'share'\n"
        "    share: float = 0.5\n"
        "    def grade(self, sample, item):\n"
        "        return self.share\n"
        "class Named(Share):\n"
        "    type: Literal['named'] = 'named'\n"
    )
    grader = load({"type": f"{file}:Share", "share": 0.25})
    assert grader("x").score == 0.25
    assert grader.identity.startswith("Share@")
    assert load(grader.to_wire()) == grader
    assert load(f"{file}:Share")("x").score == 0.5
    assert load(f"{file}:Named")("x").score == 0.5
    with pytest.raises(ValueError, match="unknown key 'shre'; did you mean 'share'"):
        load({"type": f"{file}:Share", "shre": 0.25})


# Identity, equality, wire form


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_a_definition_survives_being_written_and_read(definition: dict[str, Any]) -> None:
    grader = load(definition)
    grader("FBN1", GENE)  # what a grader has done makes no difference
    wire = json.loads(json.dumps(grader.to_wire()))
    again = load(wire)
    assert again == grader
    assert hash(again) == hash(grader)
    assert again.to_wire() == wire
    assert again.identity == grader.identity
    assert again == load(definition)
    for key, value in definition.items():
        if key not in ("graders", "credit"):
            assert wire[key] == value


def test_the_identity_changes_with_the_definition() -> None:
    identities = {load(definition).identity for definition in DEFINITIONS}
    assert len(identities) == len(DEFINITIONS)
    grader = load(STRING_CHECK)
    assert grader.identity == load(dict(reversed(STRING_CHECK.items()))).identity
    assert grader.model_copy(update={"operation": "ne"}).identity != grader.identity


def test_the_identity_changes_with_the_source_and_not_with_a_reload(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    source = "from graders import Grader\nclass Mine(Grader):\n    type: str = 'mine'\n"
    file.write_text(source + "    def grade(self, sample, item):\n        return 1.0\n")
    definition = {"type": f"{file}:Mine"}
    before = load(definition).identity
    assert load(definition).identity == before
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.py").write_text(source + "    def grade(self, sample, item):\n        return 0.0\n")
    assert load({"type": f"{elsewhere}/mine.py:Mine"}).identity != before


def test_graders_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(STRING_CHECK).name = "other"  # type: ignore[misc]


def test_the_same_file_elsewhere_is_the_same_grader(tmp_path: Path) -> None:
    identities = set()
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        file = tmp_path / place / "mine.py"
        file.write_text("def judge(sample, item):\n    return 1.0\n")
        identities.add(load(f"{file}:judge").identity)
        identities.add(load({"type": "function", "source": f"{file}:judge", "name": "judge"}).identity)
    assert len(identities) == 1


@pytest.mark.parametrize(
    "text",
    [
        "from functools import partial\ndef share(sample, item, n):\n    return n\njudge = partial(share, n=VALUE)\n",
        "class Share:\n    def __call__(self, sample, item):\n        return VALUE\njudge = Share()\n",
        "judge = lambda sample, item: VALUE\n",
    ],
)
def test_whatever_a_file_calls_a_grader_its_identity_covers_the_file_and_it_is_written_back(
    tmp_path: Path, text: str
) -> None:
    identities = set()
    for place, value in [("one", "0.25"), ("other", "0.5"), ("again", "0.25")]:
        (tmp_path / place).mkdir()
        file = tmp_path / place / "mine.py"
        file.write_text(text.replace("VALUE", value))
        grader = load(f"{file}:judge")
        assert grader("x").score == float(value)
        assert grader.label == "judge"
        assert load(grader.to_wire()) == grader
        identities.add(grader.identity)
    assert len(identities) == 2


def test_a_partial_or_an_object_in_python_is_hashed_with_the_file_that_defines_it() -> None:
    assert Path(__file__) in as_grader(Callable5()).code_files()
    assert Path(__file__) in as_grader(partial(half)).code_files()


@pytest.mark.parametrize("statement", ["from words import WORDS", "import words", "import words as w"])
def test_the_identity_covers_what_a_users_file_imports_from_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    identities = set()
    for place, words in [("one", "['a']"), ("other", "['b']")]:
        (tmp_path / place).mkdir()
        (tmp_path / place / "words.py").write_text(f"WORDS = {words}\n")
        file = tmp_path / place / "mine.py"
        file.write_text(f"{statement}\ndef judge(sample, item):\n    return 1.0\n")
        with monkeypatch.context() as context:
            context.syspath_prepend(tmp_path / place)
            identities.add(load(f"{file}:judge").identity)
            sys.modules.pop("words")
    assert len(identities) == 2


BLOCKS = (
    "if True:", "while False:\n    pass\nelse:", "for _ in ():", "try:\n    pass\nfinally:",
    "try:\n    pass\nexcept OSError:", "try:\n    pass\nexcept* OSError:", "with open('/dev/null'):",
    "match 1:\n  case 0:", "def f():", "async def g():", "class C:\n  def f(self):",
    "async def h():\n  async with f():",
)  # fmt: skip


@pytest.mark.parametrize("block", BLOCKS)
def test_an_import_is_found_wherever_it_stands_and_as_soon_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file, files = tmp_path / "mine.py", []
    for name in ("beside_a", "beside_b"):
        (tmp_path / f"{name}.py").write_text("")
        file.write_text(f"def judge(sample, item):\n    return 1.0\n{block}\n    import {name}\n")
        os.utime(file, ns=(0, 0))  # of the same size and date
        files.append({path.name for path in load(f"{file}:judge").code_files() if path.parent == tmp_path})
        sys.modules.pop(name, None)
    assert files == [{"mine.py", "beside_a.py"}, {"mine.py", "beside_b.py"}]


def test_the_identity_of_a_plug_in_covers_its_relative_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_plug_in"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "prompts.py").write_text("TEXT = 'a'\n")
    (package / "judge.py").write_text(
        "from graders import Grader\nfrom . import prompts\nclass Mine(Grader):\n    type: str = 'mine'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    files = importlib.import_module("some_plug_in.judge").Mine().code_files()
    assert {package / "judge.py", package / "prompts.py"} <= files
    assert Path(graders.grade.__file__) in files
    assert not any(path.name == "evaluate.py" for path in files)


def test_a_users_file_beside_our_packages_is_the_same_grader_as_elsewhere(tmp_path: Path) -> None:
    text = "from graders import Grade\ndef judge(sample, item):\n    return Grade(1.0, 'full')\n"
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    (beside / "graders").mkdir(parents=True)
    (beside / "graders" / "__init__.py").write_text("")
    alone.mkdir()
    identities = set()
    for folder in (alone, beside):
        (folder / "mine.py").write_text(text)
        identities.add(load(f"{folder}/mine.py:judge").identity)
    assert len(identities) == 1


class LaterObject:
    async def __call__(self, sample: Sample, item: Item) -> float:
        return 0.5


def test_an_object_with_an_asynchronous_call_waits() -> None:
    judge: Any = LaterObject()
    assert as_grader(judge)("x").score == 0.5


# Grades that could not be recorded


@pytest.mark.parametrize(
    ("grade", "reason"),
    [
        (Grade(1.0, 5), "why must be a string, not int"),  # type: ignore[arg-type]
        (Grade(1.0, None), "why must be a string, not NoneType"),  # type: ignore[arg-type]
        (Grade(1.0, "", "boom"), "error must be a GradeError, not str"),  # type: ignore[arg-type]
        (Grade(1.0, "", extracted={"a", "b"}), "extracted is not JSON (Object of type set"),
        (Grade(1.0, "", extracted=[math.nan]), "extracted is not JSON (Out of range float"),
        (Grade(1.0, "", usage={"judge": b""}), "usage is not JSON"),  # type: ignore[dict-item]
        (Grade(1.0, "", parts={"a": 1.0}), "parts must be Grades under names, not float under 'a'"),  # type: ignore[dict-item]
        (Grade(1.0, "", parts={"a": Grade(1.0, "", extracted={1})}), "part 'a': extracted is not JSON"),
        (Grade(1.0, "", formula=1), "formula must be a string"),  # type: ignore[arg-type]
    ],
)
def test_a_grade_that_could_not_be_recorded_is_undecided_and_says_why(grade: Grade, reason: str) -> None:
    answer = fixed(grade)("x")
    assert error_of(answer) == ("other_error", "grader")
    assert reason in answer.why
    json.dumps(answer.to_wire(), allow_nan=False)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (TimeoutError("slow"), "timeout"),
        (ConnectionResetError("gone"), "other_error"),
        (ConnectionRefusedError("closed"), "other_error"),
    ],
)
def test_a_network_that_fails_is_no_fault_of_the_grader(problem: Exception, kind: str) -> None:
    def judge(sample: Sample, item: Item) -> float:
        raise problem

    assert error_of(as_grader(judge)("x")) == (kind, "infra")


# The first law


GENE_READ = {"input": "{{sample.output_json.gene}}", "reference": "{{item.gene}}"}
BAD_PART = {**STRING_CHECK, "input": "{{sample.output_json.gene}}"}
TWO_PARTS = {"graders": {"json": BAD_PART, "same": STRING_CHECK}}
FIRST_LAW: list[dict[str, Any]] = [
    BAD_PART,
    {**STRING_CHECK, "input": "{{item.gene}}", "reference": "{{sample.output_json.gene}}", "operation": "like"},
    {**DEFINITIONS[2], "input": "{{sample.output_json.gene}}"},
    {"type": "rank", "input": "{{sample.output_json.genes}}", "reference": "{{item.gene}}"},
    {"type": "rank", "read": "json", "reference": "{{item.gene}}"},
    {"type": "rank", "read": "json", "reference": ["{{item.gene}}", "FBN2"]},
    {"type": "one_of", **GENE_READ},
    {"type": "choice", **GENE_READ, "options": {"A": "FBN1", "B": "FBN2"}},
    {"type": "classification", **GENE_READ, "labels": ["FBN1", "FBN2"]},
    {"type": "set_match", **GENE_READ},
    {"type": "json_match", "reference": "{{item.person}}", "lists": "unordered"},
    {"type": "regex", "input": "{{item.gene}} {{sample.output_json.gene}}", "pattern": "x"},
    {"type": "length", "input": "{{item.gene}} {{sample.output_json.gene}}", "max": 5, "unit": "words"},
    {"type": "format", "input": "{{item.gene}} {{sample.output_json.gene}}", "fence": "json"},
    {"type": "json_schema", "input": "{{sample.output_text}}", "schema": "{{item.schema}}"},
    {"type": "pairwise", "model": "m", "output": "{{sample.output_json.gene}}", "against": "{{item.gene}}"},
    {"type": "number", "input": "{{sample.output_json.gene}}", "reference": "{{item.number}}"},
    {"type": "math", "input": "{{item.gene}} {{sample.output_json.gene}}", "reference": "{{item.number}}"},
    {
        "type": "code",
        "input": "{{sample.output_json.gene}}",
        "function": "f",
        "cases": [{"expected": "{{item.gene}}"}],
    },
    {"type": "weighted_sum", **TWO_PARTS},
    {"type": "product", **TWO_PARTS},
    {"type": "min", **TWO_PARTS},
    {"type": "max", **TWO_PARTS},
    {"type": "negate", "grader": BAD_PART},
    {"type": "threshold", "grader": BAD_PART, "at": 0.5},
    {"type": "clip", "grader": BAD_PART, "high": 0.5},
    {"type": "piecewise", "grader": BAD_PART, "points": [[0, 1], [1, 0]]},
    {"type": "gate", "condition": BAD_PART, "grader": STRING_CHECK},
    {"type": "when", "condition": BAD_PART, "then": 1},
    {"type": "cascade", "graders": [BAD_PART, {**STRING_CHECK, "name": "same"}]},
    {"type": "panel", "graders": [BAD_PART, {**STRING_CHECK, "name": "same"}]},
    {
        "type": "multi",
        "graders": {
            "json": {**STRING_CHECK, "input": "{{sample.output_json.gene}}", "reference": "x"},
            "same": STRING_CHECK,
        },
        "calculate_output": "json + same",
    },
    {
        "type": "rubric",
        "model": "m",
        "criteria": [{"criterion": "{{item.gene}}, not {{sample.output_json.gene}}.", "points": 1}],
    },
]
WHOLE = {"gene": "FBN1", "person": {"gene": "FBN1"}, "schema": {"type": "object", "required": ["gene"]}, "number": 1}


@pytest.mark.parametrize("definition", FIRST_LAW, ids=lambda definition: definition["type"])
def test_a_row_without_its_reference_is_undecided_also_when_the_output_is_bad(definition: dict[str, Any]) -> None:
    grader = load(definition)
    assert error_of(grader("not JSON", {"gen": "FBN1"}))[1] == "grader"
    failed = grader("not JSON", WHOLE)
    assert failed.score == 0.0
    assert failed.error is not None
    assert failed.error.fault == "candidate"


@pytest.mark.parametrize("definition", FIRST_LAW, ids=lambda definition: definition["type"])
def test_a_row_without_its_reference_is_undecided_also_when_nothing_is_found_to_grade(
    definition: dict[str, Any],
) -> None:
    grader = load({**definition, "extract": "boxed"})
    assert error_of(grader("no box", {"gen": "FBN1"}))[1] == "grader"
    failed = grader("no box", WHOLE)
    assert failed.score == grader.range[0] == 0.0
    assert failed.error is not None
    assert (failed.error.kind, failed.error.fault) == ("extraction_failed", "candidate")


@pytest.mark.parametrize(
    "definition",
    [
        {"type": "tool_calls", "reference": "{{item.calls}}"},
        {"type": "score_model", "model": "m", "input": [{"role": "user", "content": "{{item.gene}}"}]},
        {
            "type": "label_model",
            "model": "m",
            "labels": ["a", "b"],
            "passing_labels": ["a"],
            "input": [{"role": "user", "content": "{{item.gene}}"}],
        },
        {
            "type": "python",
            "source": "def grade(sample, item):\n    return float(sample['output_text'] in item['gene'])\n",
        },
    ],
    ids=lambda definition: definition["type"],
)
def test_a_row_without_what_its_grader_reads_is_undecided(definition: dict[str, Any]) -> None:
    assert error_of(load(definition)("any output", {"gen": "FBN1"}))[1] == "grader"


WHOLE_ROWS = {"tool_calls", "score_model", "label_model", "endpoint", "python", "group"}
"""Types with no template of the output of their own, so that nothing they read of it can be missing; and `group`, which
judges no output alone: tests/test_graders_group.py."""


def test_the_first_law_is_tested_for_every_built_in() -> None:
    assert {definition["type"] for definition in FIRST_LAW} == set(BUILT_IN) - WHOLE_ROWS


def test_a_grade_that_a_grader_gives_again_and_again_keeps_what_was_said_of_it_first() -> None:
    always = Grade(0.5, "always the same")
    first, second = as_grader(lambda sample, item: always, "first"), as_grader(lambda sample, item: always, "second")
    grades = [first("x"), second("x"), first("y")]
    assert [grade.grader.partition("@")[0] for grade in grades] == ["first", "second", "first"]
    assert len({id(grade) for grade in grades}) == 3


@pytest.mark.parametrize("leaving", [SystemExit(0), SystemExit("done")])
def test_a_grader_that_leaves_the_process_could_not_decide(leaving: SystemExit) -> None:
    def leaves(sample: Sample, item: Item) -> float:
        raise leaving

    assert error_of(as_grader(leaves)("x")) == ("other_error", "grader")


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"output_text": "x", "choices": {"a": 1}}, "choices must be a list, not dict: {'a': 1}"),
        ({"output_tools": 5}, "output_tools must be a list, not int: 5"),
        ({"output_audio": "x"}, "output_audio must be an object, not str: 'x'"),
        ({"output_reasoning_summary": 5}, "output_reasoning_summary must be a string, not int: 5"),
    ],
)
def test_a_stored_sample_of_another_shape_is_refused(stored: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        Sample.of(stored)
    assert str(caught.value) == message
