"""Golden files: read and refused, run through the plug-in as users do, drift shown, what the cases cover."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from graders import as_grader, load
from graders.testing.coverage import coverage
from graders.testing.golden import drift_table, read_golden, run_file, update_golden
from graders.testing.properties import check_properties, samples_of
from rft_loop.cli import app

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
GRADERS = """
def few(sample, item):
    return 1.0 if len(sample.output_text.split()) <= item["most"] else 0.5

def loud(sample, item):
    return float(sample.output_text.isupper())
"""


def run_pytest(folder: Path, *arguments: str) -> tuple[int, str]:
    """pytest in a process of its own, with the plug-in found by its entry point."""
    done = subprocess.run(
        # hypothesis's own plug-in costs more than a run, and is not what is tried here
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return done.returncode, done.stdout + done.stderr


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def words(tmp_path: Path) -> Path:
    (tmp_path / "words.py").write_text(GRADERS)
    return tmp_path / "words.golden.jsonl"


# Our own graders


def test_the_golden_files_of_our_own_graders_pass_through_the_plug_in() -> None:
    code, said = run_pytest(ROOT, "tests/golden", "--golden")
    assert code == 0, said
    cases = sum(len(read_golden(path).cases) for path in GOLDEN.glob("*.golden.jsonl"))
    passed = re.search(r"(\d+) passed", said)
    assert passed is not None
    assert int(passed[1]) >= cases


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.golden.jsonl")), ids=lambda path: path.stem)
def test_the_golden_file_of_a_built_in_grader_tries_lowest_highest_and_degenerate_outputs(path: Path) -> None:
    golden = read_golden(path)
    grader = golden.load()
    grades = [outcome.grade for outcome in run_file(golden)]
    assert grader.type == path.name.removesuffix(".golden.jsonl")
    assert len(golden.cases) >= 8
    assert any(not case.sample.output_text.strip() for case in golden.cases)
    missed = [goal for goal in coverage(grader, grades).missed if goal.startswith("the score")]
    assert missed == []


# Reading


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"output": "x", "scor": 1}, "2: unknown key 'scor'; did you mean 'score'?"),
        ({"output": "x"}, "2: key 'score' is missing; a number, [low, high], or null for undecided"),
        ({"score": 1}, '2: a case needs "output": "..." or "sample": {...}'),
        ({"output": "x", "sample": {"output_text": "x"}, "score": 1}, "2: give output or sample, not both"),
        ({"output": 5, "score": 1}, "2: output must be a text, not 5"),
        ({"sample": "x", "score": 1}, "2: sample must be an object with output_text, not 'x'"),
        ({"sample": {"text": "x"}, "score": 1}, "2: unknown sample key 'text'"),
        ({"output": "x", "score": True}, "2: score must be a number, [low, high], or null for undecided, not True"),
        ({"output": "x", "score": "1"}, "2: score must be a number"),
        ({"output": "x", "score": [0, 1, 2]}, "2: score must be a number"),
        ({"output": "x", "score": [0, "1"]}, "2: score must be a number"),
        ({"output": "x", "score": 10**400}, "2: score must be a number"),
        ({"output": "x", "score": [1, 0]}, "2: score [1, 0]: the low end is above the high end"),
        ({"output": "x", "score": 1, "item": [1]}, "2: item must be an object, not [1]"),
        ({"output": "x", "score": 1, "why": 5}, "2: why must be a text, not 5"),
        (
            {"output": "x", "score": None, "error": "invalid_refrence"},
            "2: no error kind 'invalid_refrence'; did you mean 'invalid_reference'?",
        ),
        ({"output": "x", "score": 1, "grader": 5}, "2: grader must be a name, a path or a definition, not 5"),
        ({"grader": "few"}, '2: a case needs "output"'),
    ],
)
def test_a_bad_line_is_refused_with_its_place(words: Path, row: dict[str, Any], message: str) -> None:
    lines(words, {"grader": "few"}, row)
    with pytest.raises(ValueError, match=re.escape(f"words.golden.jsonl:{message}")):
        read_golden(words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no cases; one is"),
        ('{"propertys": []}\n', ":1: unknown key 'propertys'; did you mean 'properties'?"),
        ('{"properties": "bounded"}\n', ":1: properties must be a list of names, not 'bounded'"),
        ('{"output": "x", "score": NaN}\n', ":1: not JSON (NaN is not JSON)"),
        ('{"output": "x", "score": 1, "score": 0}\n', "stands twice"),
    ],
)
def test_a_bad_file_is_refused(words: Path, text: str, message: str) -> None:
    words.write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_golden(words)


def test_a_case_finds_its_grader_beside_the_file_by_name_by_path_or_by_definition(words: Path) -> None:
    exact = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "X", "operation": "eq"}
    (words.parent / "exact.json").write_text(json.dumps(exact))
    beside = lines(words.parent / "exact.golden.jsonl", {"output": "X", "score": 1})
    assert read_golden(beside).load() == load(exact)
    golden = read_golden(lines(words, {"grader": "few"}, {"output": "X", "score": 1}))
    assert golden.load().label == "few"
    assert golden.load("loud").label == "loud"
    assert golden.load("words.py:loud").label == "loud"
    assert golden.load("exact.json") == golden.load(exact) == load(exact)
    with pytest.raises(LookupError, match=r"words.py has no 'lout'; did you mean 'loud'"):
        golden.load("lout")
    with pytest.raises(FileNotFoundError, match=r"no grader words.json beside it; name one in the first line"):
        read_golden(lines(words, {"output": "X", "score": 1})).load()


def test_an_error_kind_of_a_plug_in_s_own_is_no_typing_mistake(words: Path) -> None:
    lines(words, {"grader": "few"}, {"output": "x", "score": None, "error": "moon_phase"})
    assert read_golden(words).cases[0].error == "moon_phase"


@pytest.mark.parametrize(
    ("expected", "drift"),
    [
        ({"score": 1, "error": "timeout"}, "error 'timeout' -> none"),
        ({"score": 1, "why": "old words"}, "why 'old words' -> 'scored 1'"),
        ({"score": 1, "error": "timeout", "why": "old"}, "error 'timeout' -> none; why 'old' -> 'scored 1'"),
        ({"score": 0, "error": "timeout"}, "0 -> 1; error 'timeout' -> none"),
        ({"score": None, "error": "timeout", "item": {}}, "error 'timeout' -> 'other_error'"),
    ],
)
def test_the_drift_says_what_has_changed_be_it_the_error_or_the_why_alone(
    words: Path, expected: dict[str, Any], drift: str
) -> None:
    golden = read_golden(lines(words, {"grader": "few"}, {"output": "a", "item": {"most": 1}, **expected}))
    table = drift_table(run_file(golden))
    assert table.startswith(f"{words}:2  {drift}  ")
    assert "holds" not in table


# Through pytest


def test_the_entry_point_names_a_module_outside_the_packages() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert settings["project"]["entry-points"]["pytest11"] == {"assay": "assay_pytest"}
    assert settings["tool"]["setuptools"]["py-modules"] == ["assay_pytest"]


def test_unless_it_is_asked_the_plug_in_collects_nothing_and_loads_nothing(words: Path) -> None:
    lines(words, {"grader": "few"}, {"output": "a", "item": {"most": 1}, "score": 0})
    (words.parent / "test_light.py").write_text(
        "import sys\ndef test_light():\n"
        "    assert 'assay_pytest' in sys.modules\n"
        "    assert not {'graders', 'pydantic', 'rft_loop'} & set(sys.modules)\n"
    )
    code, said = run_pytest(words.parent, "-q")
    assert code == 0, said
    assert "1 passed" in said
    assert "golden" not in said


def test_a_users_graders_file_does_not_break_a_test_run_that_does_not_want_the_plug_in(tmp_path: Path) -> None:
    (tmp_path / "graders.py").write_text("def mine(sample, item):\n    return 1.0\n")
    (tmp_path / "test_one.py").write_text("def test_one():\n    pass\n")
    code, said = run_pytest(tmp_path, "-q")
    assert code == 0, said
    code, said = run_pytest(tmp_path, "-q", "--golden")
    assert code != 0
    assert f"{tmp_path / 'graders.py'} hides Assay's package" in said


@pytest.mark.parametrize("how", ["--golden", "ini"])
def test_each_line_and_each_property_is_a_test_with_a_name_one_can_read(words: Path, how: str) -> None:
    lines(
        words,
        {"grader": "few", "properties": ["bounded"]},
        {"output": "a b", "item": {"most": 2}, "score": 1, "note": "just within"},
        {"output": "", "item": {"most": 2}, "score": 1},
        {"output": "say\n\tit [loud]", "score": 0, "grader": "loud"},
    )
    if how == "ini":
        (words.parent / "pytest.ini").write_text("[pytest]\nassay_golden = true\n")
    code, said = run_pytest(words.parent, "-v", *([how] if how != "ini" else []))
    assert code == 0, said
    for name in ("2 just within", "3 empty output", "4 say it (loud)", "few: bounded", "loud: bounded"):
        assert f"words.golden.jsonl::{name} PASSED" in said
    assert "words.golden.jsonl  few@" in said
    assert "2 cases: 0 at 0, 2 at 1, 0 between, 0 undecided; covers 1 of 2 (50%); no case has the score 0" in said


def test_drift_fails_and_is_shown_with_the_reason_and_the_parts(tmp_path: Path) -> None:
    definition = json.loads((GOLDEN / "multi.json").read_text())
    (tmp_path / "both.json").write_text(json.dumps(definition))
    file = lines(
        tmp_path / "both.golden.jsonl",
        {"output": "It is 42", "item": {"answer": "42"}, "score": 0.5, "why": "nothing like it", "error": "timeout"},
        {"output": "It is 42", "item": {"answer": "42"}, "score": [0.2, 0.3]},
        {"output": "It is 42", "item": {}, "score": 0},
        {"output": "It is 42", "item": {"answer": "42"}, "score": None},
    )
    before = file.read_bytes()
    code, said = run_pytest(tmp_path, "--golden")
    assert code == 1
    assert "1 passed" in said
    assert "3 failed" in said
    for text in (
        "expected 0.5, got 0.25 (drift -0.25)",
        "expected the error 'timeout', got no error",
        "expected a why with 'nothing like it'",
        "formula  0.75*same + 0.25*held = 0.75*0 + 0.25*1 = 0.25",
        "part held 1: 'It is 42' contains '42'",
        "expected 0, got undecided",
        "error    invalid_variable_error, the fault of the grader",
        "expected undecided, got 0.25",
        "both.golden.jsonl:1  0.5 -> 0.25; error 'timeout' -> none; why 'nothing like it' -> ",
        "both.golden.jsonl:3  0 -> undecided",
        "pytest --golden-update",
    ):
        assert text in said, f"{text}\nin\n{said}"
    assert file.read_bytes() == before


def test_an_update_writes_what_was_got_shows_the_drift_and_keeps_the_other_lines_to_the_byte(words: Path) -> None:
    kept = '{ "output":"a b",  "item":{"most":2}, "score":1.00 }'
    words.write_text(
        '{"grader": "few"}\n'
        f"{kept}\n\n"
        '{"output": "ä b c", "item": {"most": 2}, "score": 0.25, "why": "old words"}\r\n'
        '{"output": "a b c", "item": {"most": 2}, "score": [0.9, 1], "error": "timeout"}\n'
        '{"output": "\\ud800", "item": {"most": 2}, "score": 0.5}'
    )
    code, said = run_pytest(words.parent, "--golden-update")
    assert code == 0, said
    assert "drift of golden scores, written" in said
    assert re.search(r"words.golden.jsonl:4  0.25 -> 0.5; why 'old words' -> 'scored 0.5' +\+0.25  scored 0.5", said), (
        said
    )
    assert words.read_bytes().decode().split("\n") == [
        '{"grader": "few"}',
        kept,
        "",
        '{"output": "ä b c", "item": {"most": 2}, "score": 0.5, "why": "scored 0.5"}\r',
        '{"output": "a b c", "item": {"most": 2}, "score": 0.5, "error": null}',
        '{"output": "\\ud800", "item": {"most": 2}, "score": 1}',
    ]
    code, said = run_pytest(words.parent, "--golden")
    assert code == 0, said
    assert [path.name for path in words.parent.iterdir() if path.name.startswith(".")] == []


def test_an_update_never_writes_a_grader_s_failure_over_a_score(words: Path) -> None:
    lines(words, {"grader": "few"}, {"output": "a", "item": {}, "score": 1})
    before = words.read_bytes()
    code, said = run_pytest(words.parent, "--golden-update")
    assert code == 1
    assert "expected 1, got undecided" in said
    assert words.read_bytes() == before
    golden = read_golden(words)
    assert update_golden(golden, run_file(golden)) == []


def test_a_file_that_cannot_be_run_is_an_error_that_names_it(words: Path) -> None:
    lines(words, {"grader": "fwe"}, {"output": "a", "score": 1})
    code, said = run_pytest(words.parent, "--golden")
    assert code == 2
    assert "has no 'fwe'; did you mean 'few'" in said
    lines(words, {"grader": "few", "properties": ["bound"]}, {"output": "a", "score": 1})
    code, said = run_pytest(words.parent, "--golden")
    assert code == 2
    assert "no such property 'bound'; did you mean 'bounded'?" in said


def test_a_broken_property_fails_with_its_counterexample(words: Path) -> None:
    lines(words, {"grader": "loud", "properties": ["ignores_case"]}, {"output": "HELLO", "score": 1})
    code, said = run_pytest(words.parent, "--golden")
    assert code == 1
    assert "ignores_case does not hold (upper and lower case score alike):" in said
    assert re.search(r"the output '\w' is [01] \(scored [01]\); the output '\w' is [01]", said), said


# Without pytest


def test_the_command_runs_a_golden_file_and_updates_it(words: Path) -> None:
    lines(
        words,
        {"grader": "few"},
        {"output": "a b", "item": {"most": 2}, "score": 1},
        {"output": "a b c", "item": {"most": 2}, "score": 1},
        {"output": "A", "score": 1, "grader": "loud"},
    )
    call = ["check", f"{words.parent / 'words.py'}:few", "--golden", str(words)]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 1
    assert "2 cases: 0 at 0, 1 at 1, 1 between, 0 undecided" in done.stdout
    assert "1 case of other graders left out" in done.stdout
    assert "expected 1, got 0.5 (drift -0.5)" in done.stdout
    told = json.loads(CliRunner().invoke(app, [*call, "--json"]).stdout)["golden"]
    assert [case["problems"] for case in told["failed"]] == [["expected 1, got 0.5 (drift -0.5)"]]
    assert told["coverage"] == 0.5
    done = CliRunner().invoke(app, [*call, "--update"])
    assert done.exit_code == 0
    assert "1 -> 0.5" in done.stdout
    assert CliRunner().invoke(app, call).exit_code == 0


def test_the_command_tells_which_properties_hold_and_leaves_nothing_behind(words: Path) -> None:
    lines(words, {"grader": "loud", "properties": ["bounded", "ignores_case"]}, {"output": "A", "score": 1})
    before = set(words.parent.iterdir())
    program = "from rft_loop.cli import main; main()"
    command = [sys.executable, "-c", program, "check", "words.py:loud", "--golden", words.name]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=words.parent, env=environment)
    assert done.returncode == 1, done.stderr
    assert "bounded holds" in done.stdout
    assert "ignores_case does not hold" in done.stdout
    assert {path for path in words.parent.iterdir() if path.name != "__pycache__"} == before


def test_a_golden_file_about_other_graders_only_is_refused(words: Path) -> None:
    lines(words, {"grader": "few"}, {"output": "a b", "item": {"most": 2}, "score": 1})
    done = CliRunner().invoke(app, ["check", str(GOLDEN / "rank.json"), "--golden", str(words)])
    assert "no case is about 'gene_rank'; its cases are about few" in str(done.exception)


# The page


def test_the_golden_file_on_the_page_passes_and_covers_what_the_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing-graders.md").read_text(encoding="utf-8")
    for name, text in re.findall(r"^```json (\S+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text)
    golden = read_golden(tmp_path / "gene.golden.jsonl")
    outcomes = run_file(golden)
    assert [outcome.problems for outcome in outcomes] == [()] * 5
    outputs, items = samples_of(golden, golden.load())
    check_properties(golden.load(), golden.properties, items, outputs)
    reached = str(coverage(golden.load(), [outcome.grade for outcome in outcomes]))
    assert re.search(r"gene@\w{12}  " + re.escape(reached), page), reached


def test_the_python_on_the_page_prints_what_the_page_says(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing-graders.md").read_text(encoding="utf-8")
    code, said = re.findall(r"^```python\n(.*?)^```\n\n```output\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout == said, done.stderr


# Coverage


def test_coverage_names_the_scores_parts_and_errors_that_no_case_reaches() -> None:
    grader = load(json.loads((GOLDEN / "multi.json").read_text()))
    full, half = grader("42", {"answer": "42"}), grader("It is 42", {"answer": "42"})
    reached = coverage(grader, [half])
    assert reached.missed == (
        "the score 0",
        "the score 1",
        "an undecided grade",
        "part 'same' at 1",
        "part 'held' at 0",
    )
    assert reached.share == pytest.approx(2 / 7)
    assert "0 at 0, 0 at 1, 1 between, 0 undecided; covers 2 of 7 (29%)" in str(reached)
    both = coverage(grader, [half, full, grader("41", {"answer": "42"}), grader("42", {})])
    assert both.missed == ()
    assert both.errors == {"invalid_variable_error": 1}
    assert "errors: invalid_variable_error 1; covers 7 of 7 (100%)" in str(both)


def test_a_grader_that_reads_no_item_need_not_be_undecided() -> None:
    grader = as_grader(lambda sample, item: float(len(sample.output_text) > 2), "long")
    assert coverage(grader, [grader("a"), grader("abc")]).missed == ()
