"""Declared properties: each holds where it should, and a shrunk counterexample shows where it does not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graders import Grade, Grader, Item, Sample, as_grader, load
from graders.testing.elsewhere import Elsewhere, differs_elsewhere
from graders.testing.properties import PROPERTIES, check_properties, declared

EXACT: dict[str, Any] = {
    "type": "string_check",
    "input": "{{sample.output_text}}",
    "reference": "{{item.gene}}",
    "operation": "eq",
}
GENE = {"gene": "FBN1"}
SET = {"genes": ["FBN1", "TGFBR1", "TGFBR2"]}
ROOT = Path(__file__).resolve().parents[1]


def grader(judge: Callable[[Sample, Item], Grade | float]) -> Grader:
    return as_grader(judge, "mine")


def share(sample: Sample, item: Item) -> float:
    found = {name.strip() for name in sample.output_text.split(",")}
    return len(found & set(item["genes"])) / len(item["genes"])


def counts(sample: Sample, item: Item) -> float:
    """Falls with every name past the second."""
    return min(1.0, 2 / max(1, len(sample.output_text.split(","))))


@pytest.mark.parametrize(
    ("definition", "properties", "items"),
    [
        (EXACT, ["bounded", "deterministic", "total"], [GENE]),
        ({**EXACT, "operation": "ilike"}, ["ignores_case", "ignores_markdown", "ignores_whitespace"], [GENE]),
        ({"type": "rank", "reference": "{{item.gene}}"}, ["bounded", "deterministic", "ignores_whitespace"], [GENE]),
        (
            {"type": "rank", "reference": "{{item.genes}}", "credit": "dcg"},
            [{"monotone": {"parts": "{{item.genes}}", "wrong": ["XYZ"], "separator": "json"}}, {"bounded": [0, 1]}],
            [SET],
        ),
    ],
)
def test_properties_that_hold_are_told(definition: Any, properties: list[Any], items: list[Item]) -> None:
    if isinstance(definition.get("credit"), str):
        definition = {**definition, "credit": {"rule": definition["credit"]}}
    results = check_properties(load(definition), properties, items=items, outputs=["FBN1", "TGFBR2, FBN1"])
    assert [str(result) for result in results] == [f"{declared(given).name} holds" for given in properties]


@pytest.mark.parametrize(
    ("judge", "given", "counterexample"),
    [
        (
            lambda sample, item: len(sample.output_text),
            "bounded",
            "'00' is 2 (scored 2); the range is 0 to 1",
        ),
        (lambda sample, item: float("nan") if "n" in sample.output_text else 1.0, "bounded", "'n' is undecided"),
        (lambda sample, item: float(sample.output_text == "FBN1"), "ignores_whitespace", "'FBN1' is 1 (scored 1); the"),
        (
            lambda sample, item: float("f" in sample.output_text),
            "ignores_case",
            "'F' is 0 (scored 0); the output 'f' is 1",
        ),
        (lambda sample, item: float("*" not in sample.output_text), "ignores_markdown", "'*1*' is 0 (scored 0)"),
        (lambda sample, item: 1 / len(sample.output_text.strip("x")), "total", "the output '' is undecided"),
        (counts, {"monotone": {"parts": ["a"], "wrong": ["x", "y"]}}, "'x, y' is 1 (scored 1); with 'a' added, the"),
        (
            lambda sample, item: 0.0 if len(sample.output_json) > 1 else 1.0,
            {"monotone": {"parts": {"gene": "FBN1", "year": 1999}}},
            "is 1 (scored 1); with 'gene' added, the output ",
        ),
    ],
)
def test_a_property_that_does_not_hold_is_shown_by_the_simplest_output(
    judge: Callable[[Sample, Item], float], given: Any, counterexample: str
) -> None:
    with pytest.raises(AssertionError) as caught:
        check_properties(grader(judge), [given], outputs=["FBN1", "fbn1"])
    said = str(caught.value)
    assert said.startswith("mine@")
    assert f"{declared(given).name} does not hold ({PROPERTIES[declared(given).name]}):" in said
    assert counterexample in said, said


def test_a_grader_that_answers_otherwise_the_second_time_is_found() -> None:
    calls: list[str] = []

    def fickle(sample: Sample, item: Item) -> float:
        calls.append(sample.output_text)
        return float(len(calls) % 2)

    with pytest.raises(AssertionError, match=r"the second time is [01] \(scored"):
        check_properties(grader(fickle), ["deterministic"])


def test_the_order_of_a_set_is_found_in_another_process(tmp_path: Path) -> None:
    file = tmp_path / "sets.py"
    names = [f"name{number}" for number in range(50)]
    file.write_text(
        f"NAMES = {names}\n"
        "def first(sample, item):\n"
        "    return list(set(NAMES)).index('name0') / 50\n"
        "def right(sample, item):\n"
        "    return sorted(set(NAMES)).index('name0') / 50\n"
    )
    with pytest.raises(AssertionError, match=r"the output 'x' is 0?[.\d]+ \(scored .*; in another process 0?[.\d]+"):
        check_properties(load(f"{file}:first"), ["deterministic"], outputs=["x"])
    check_properties(load(f"{file}:right"), ["deterministic"], outputs=["x"])


def test_one_pair_of_processes_serves_many_graders_and_outlives_those_that_end_it(tmp_path: Path) -> None:
    file = tmp_path / "several.py"
    file.write_text(
        "import os\n"
        "def fine(sample, item):\n    print('talks')\n    return 1.0\n"
        "def ends(sample, item):\n"
        "    if os.environ.get('PYTHONHASHSEED') == '2':\n        print('bye', flush=True)\n        os._exit(3)\n"
        "    return 1.0\n"
    )
    with Elsewhere() as elsewhere:
        for name, problem in (("fine", ""), ("ends", "bye"), ("fine", "")):
            said = differs_elsewhere(load(f"{file}:{name}"), [Sample("x")], [{}], elsewhere)
            assert said == (f"in another process it does not load: {problem}" if problem else "")


def test_total_tries_half_surrogates_and_control_characters() -> None:
    def fragile(sample: Sample, item: Item) -> float:
        return float(len(sample.output_text.encode()) > 3)

    with pytest.raises(AssertionError, match=r"UnicodeEncodeError"):
        check_properties(grader(fragile), ["total"], examples=1000)


def test_a_sum_over_correct_parts_is_monotone_and_the_parts_may_come_from_the_item() -> None:
    parts = {"parts": "{{item.genes}}", "wrong": ["XYZ"], "separator": ", "}
    check_properties(grader(share), [{"monotone": parts}], items=[SET])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("bound", "no such property 'bound'; did you mean 'bounded'? known: bounded, deterministic, ignores_case"),
        (5, "no such property 5"),
        ({"bounded": [0, 1], "total": None}, "no such property {"),
        ({"bounded": [1, 0]}, "bounded takes [low, high], not [1, 0]"),
        ({"bounded": 1}, "bounded takes [low, high], not 1"),
        ({"total": 5}, "total takes no options, given 5"),
        ("monotone", "monotone needs its parts: "),
        ({"monotone": {"parts": []}}, "monotone needs its parts: "),
        ({"monotone": {"parts": ["a"], "sep": ","}}, "monotone: unknown option 'sep'; known: parts, separator, wrong"),
        ({"monotone": {"parts": {"a": 1}, "wrong": ["x"]}}, "are written as JSON; leave separator and wrong out"),
    ],
)
def test_a_bad_declaration_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        declared(given)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("{{item.gone}}", "monotone: parts: {{ item.gone }} was found neither"),
        ("{{item.gene}}", "monotone: parts must be a list of texts or an object, not 'FBN1'"),
        ([1], "monotone: parts must be a list of texts or an object, not [1]"),
    ],
)
def test_parts_that_are_none_are_refused(parts: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        check_properties(grader(share), [{"monotone": {"parts": parts}}], items=[GENE])


def test_a_grader_that_waits_on_a_network_is_asked_only_so_often_as_is_said() -> None:
    asked: list[str] = []

    class Waits(Grader):
        type: str = "waits"

        async def grade_async(self, sample: Sample, item: Item) -> float:
            asked.append(sample.output_text)
            return 1.0

    with pytest.raises(ValueError, match=r"waits on a network; say how many outputs .*: examples=20"):
        check_properties(Waits(), ["bounded"])
    assert asked == []
    check_properties(Waits(), ["bounded"], examples=5)
    assert 0 < len(asked) <= 5


def test_without_hypothesis_the_message_says_what_to_install() -> None:
    program = (
        "import sys\nsys.modules['hypothesis'] = None\n"
        "from graders import load\nfrom graders.testing.properties import check_properties\n"
        f"check_properties(load({json.dumps(EXACT)}), ['bounded'], items=[{GENE}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: checking properties needs hypothesis: pip install hypothesis"
    )
