"""`assay check GRADER DATA`: gold answers, degenerate outputs, missing variables, cautions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from graders import Grade, Grader, Item, Sample, load
from graders.testing.check import Report, check
from graders.testing.variables import item_variables, references
from rft_loop.cli import app

ROOT = Path(__file__).resolve().parents[1]
EXACT: dict[str, Any] = {
    "type": "string_check",
    "name": "exact",
    "input": "{{sample.output_text}}",
    "reference": "{{item.gene}}",
    "operation": "eq",
}
HOLDS = {**EXACT, "name": "holds", "operation": "ilike"}


def asks(text: str, **item: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "FBN1"}, {"role": "user", "content": text}], **item}


def data(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def found(report: Report, kind: str) -> list[str]:
    return [str(finding) for finding in (*report.findings, *report.notes) if finding.kind == kind]


def test_a_grader_and_data_that_fit_have_no_findings(tmp_path: Path) -> None:
    report = check(load(EXACT), data(tmp_path, asks("Which?", gene="FBN1"), asks("And here?", gene="TGFBR2")))
    assert report.findings == report.notes == ()
    assert (report.rows, report.gold, report.full_marks, report.gold_full) == (2, "{{item.gene}}", 1.0, 2)
    assert {probe.name: (probe.highest, len(probe.full)) for probe in report.probes} == {
        "blank": (0.0, 0),
        "whitespace": (0.0, 0),
        "echo of the prompt": (0.0, 0),
        "name of the reference": (0.0, 0),
        "template of the reference": (0.0, 0),
        "every option listed": (0.0, 0),
        "gold and another": (0.0, 0),
        "gold negated": (0.0, 0),
        "gold 50 times": (0.0, 0),
        "gold in a sentence": (0.0, 0),
    }
    assert str(report).endswith("nothing found")


def test_what_degenerate_outputs_get_is_told_and_an_echo_of_the_prompt_may_not_get_full_marks(tmp_path: Path) -> None:
    rows = data(tmp_path, asks("FBN1 or TGFBR2?", gene="FBN1"), asks("Which?", gene="TGFBR2"))
    report = check(load(HOLDS), rows)
    assert found(report, "degenerate_full_marks") == [f"echo of the prompt: full marks in 1 of 2 rows: {rows}:1"]
    probes = {probe.name: probe for probe in report.probes}
    for name in ("every option listed", "gold and another", "gold negated", "gold 50 times", "gold in a sentence"):
        assert len(probes[name].full) == 2
    assert found(report, "generous") == [
        "full marks for what does not choose one answer: every option listed, gold and another, gold negated, "
        "gold 50 times"
    ]
    echo = probes["echo of the prompt"]
    assert (echo.highest, echo.mean, echo.place, echo.output) == (1.0, 0.5, f"{rows}:1", "'FBN1 or TGFBR2?'")


@pytest.mark.parametrize("reference", ["", " "])
def test_a_grader_that_blank_outputs_satisfy_is_found(tmp_path: Path, reference: str) -> None:
    grader = load({**EXACT, "operation": "like", "reference": reference})
    report = check(grader, data(tmp_path, {"question": "Which?", "gene": "FBN1"}), "gene")
    assert any(
        text.startswith("whitespace: full marks in 1 of 1 row") for text in found(report, "degenerate_full_marks")
    )


def test_an_empty_gold_answer_is_no_degenerate_output(tmp_path: Path) -> None:
    report = check(load(EXACT), data(tmp_path, asks("Which?", gene="")))
    assert report.gold_full == 1
    assert "blank" in {probe.name for probe in report.probes}
    assert found(report, "degenerate_full_marks") != []  # a row whose answer is nothing rewards silence


def test_the_echo_without_messages_is_the_item_less_what_the_grader_compares_with(tmp_path: Path) -> None:
    report = check(load(HOLDS), data(tmp_path, {"item": {"question": "Which?", "gene": "FBN1", "year": 1999}}))
    echo = next(probe for probe in report.probes if probe.name == "echo of the prompt")
    assert (echo.output, echo.highest) == ("'Which?'", 0.0)


def test_a_gold_answer_that_gets_less_is_found_with_place_score_and_reason(tmp_path: Path) -> None:
    rows = data(tmp_path, asks("a", gene="FBN1", answer="FBN1"), asks("b", gene="FBN1", answer="fbn1"))
    report = check(load(EXACT), rows, "answer")
    assert found(report, "gold_not_full") == [
        f"{rows}:2: the gold answer 'fbn1' gets 0 of 1: 'fbn1' differs from 'FBN1'"
    ]
    assert report.gold_full == 1


def test_of_many_findings_of_one_kind_the_first_are_printed_and_all_are_in_the_json(tmp_path: Path) -> None:
    rows = data(tmp_path, *(asks("a", gene="FBN1", answer="fbn1") for _ in range(30)))
    report = check(load(EXACT), rows, "answer")
    assert str(report).count("finding: ") == 9
    assert str(report).endswith("finding: 22 more like these (gold_not_full; --json has all)")
    assert len(report.to_wire()["findings"]) == 30


def test_a_gold_answer_the_grader_cannot_decide_is_found(tmp_path: Path) -> None:
    report = check(
        load({"type": "rank", "reference": "{{item.gene}}", "allowed": ["A", "B"]}),
        data(tmp_path, asks("a", gene="C")),
    )
    assert "the gold answer 'C' is undecided: " in found(report, "gold_undecided")[0]


def test_variables_that_rows_lack_are_told_with_the_rows(tmp_path: Path) -> None:
    rows = data(tmp_path, *[asks("a", gene="FBN1") if number % 2 else asks("a", gen="X") for number in range(30)])
    report = check(load(EXACT), rows)
    places = ", ".join(["1", *map(str, range(3, 17, 2))])
    assert found(report, "missing_variable") == [
        f"{{{{ item.gene }}}} is missing in 15 of 30 rows: {rows}:{places} and 7 more"
    ]
    assert found(report, "missing_gold") == []  # told once
    assert len(report.to_wire()["findings"][0]["places"]) == 15
    assert len(found(check(load(EXACT), rows, "gen"), "missing_gold")) == 1


@pytest.mark.parametrize(
    ("definition", "gold"),
    [
        ({"type": "rank", "reference": "{{item.genes}}"}, ["FBN1", "TGFBR2"]),
        ({"type": "rank", "reference": "{{item.genes}}", "credit": {"rule": "dcg"}}, ["FBN1", "TGFBR2"]),
        ({"type": "rank", "reference": "{{item.genes}}"}, {"FBN1": 1, "TGFBR2": 3}),
        (
            {
                "type": "string_check",
                "input": "{{sample.output_text}}",
                "reference": "{{item.genes}}",
                "operation": "eq",
            },
            5,
        ),
        (
            {
                "type": "string_check",
                "input": "{{sample.output_text}}",
                "reference": "{{item.genes}}",
                "operation": "eq",
            },
            {"a": [1]},
        ),
        (
            {
                "type": "string_check",
                "input": "{{sample.output_tools[0].function.name}}",
                "reference": "search",
                "operation": "eq",
            },
            [{"type": "function", "function": {"name": "search", "arguments": "{}"}}],
        ),
    ],
)
def test_gold_values_that_are_no_text_are_written_as_outputs_are(
    tmp_path: Path, definition: dict[str, Any], gold: Any
) -> None:
    report = check(load(definition), data(tmp_path, asks("Which?", genes=gold)), "genes")
    assert report.gold_full == 1
    assert found(report, "gold_not_full") == []


@pytest.mark.parametrize(
    ("extract", "output"),
    [
        ("boxed", "\\boxed{not FBN1}"),
        ({"rule": "tag", "name": "gene"}, "<gene>not FBN1</gene>"),
        (["after_thinking", {"rule": "fence", "language": "text"}], "\n```text\nnot FBN1\n```"),
        ({"rule": "json", "path": "a.genes[1]"}, '{"a": {"genes": ["", "not FBN1"]}}'),
        ({"rule": "json", "fence": True, "path": "gene"}, '```json\n{"gene": "not FBN1"}\n```'),
        ({"rule": "after", "marker": "Gene:"}, "Gene: not FBN1"),
        ({"rule": "first_of", "alternatives": ["boxed", "final_line"]}, "\\boxed{not FBN1}"),
        ({"rule": "regex", "pattern": "[A-Z]+[0-9]"}, "not FBN1"),
    ],
)
def test_gold_answers_and_hacks_wear_what_the_grader_s_extract_takes_off(
    tmp_path: Path, extract: Any, output: str
) -> None:
    report = check(load({**EXACT, "extract": extract}), data(tmp_path, asks("Which?", gene="FBN1")))
    assert report.gold_full == 1
    assert next(probe for probe in report.probes if probe.name == "gold negated").output == repr(output)


def test_the_hacks_wear_what_the_gold_template_has_around_the_answer(tmp_path: Path) -> None:
    grader = load({**EXACT, "extract": "boxed"})
    report = check(grader, data(tmp_path, asks("Which?", gene="FBN1")), "I say \\boxed{ {{item.gene}} }")
    assert report.gold_full == 1
    assert next(probe for probe in report.probes if probe.name == "gold negated").output == (
        repr("I say \\boxed{ not FBN1 }")
    )


@pytest.mark.parametrize(
    ("definition", "item"),
    [
        ({"type": "choice", "reference": "{{item.right}}", "options": "{{item.options}}"}, {"right": 1}),
        ({"type": "choice", "reference": "{{item.right}}", "options": "{{item.options}}"}, {"right": "B"}),
        ({"type": "json_match", "reference": "{{item.right}}"}, {"right": {"name": "Ada", "born": 1815}}),
        (
            {"type": "tool_calls", "reference": "{{item.right}}"},
            {"right": [{"name": "weather", "arguments": {"a": 1}}]},
        ),
        ({"type": "tool_calls", "reference": "{{item.right}}"}, {"right": []}),
        ({"type": "set_match", "reference": "{{item.right}}"}, {"right": ["a", "b"]}),
        ({"type": "one_of", "reference": "{{item.right}}"}, {"right": ["a", "b"]}),
        ({"type": "one_of", "reference": ["x", "{{item.right}}"]}, {"right": "a"}),
        ({"type": "number", "reference": "{{item.right}}"}, {"right": 4.5}),
        ({"type": "classification", "reference": "{{item.right}}", "labels": ["a", "b"]}, {"right": "b"}),
    ],
    ids=lambda value: value.get("type"),
)
def test_the_gold_of_every_grader_with_a_reference_is_found_and_gets_full_marks(
    tmp_path: Path, definition: dict[str, Any], item: dict[str, Any]
) -> None:
    report = check(load(definition), data(tmp_path, asks("Which?", options=["Rome", "Paris", "Bonn"], **item)))
    assert report.findings == ()
    assert report.gold_full == 1


def test_what_the_definition_itself_shows_is_a_note(tmp_path: Path) -> None:
    twice = {"type": "multi", "name": "twice", "graders": {"a": EXACT}, "calculate_output": "2 * a - 1"}
    report = check(load(twice), data(tmp_path, asks("Which?", gene="FBN1")))
    assert "twice: scores from -1 to 1, which leaves 0 to 1: clip it before it is a reward" in found(
        report, "definition"
    )


def test_a_template_wraps_the_gold_answer(tmp_path: Path) -> None:
    grader = load({**EXACT, "input": "{{sample.output_json.gene}}"})
    rows = data(tmp_path, asks("Which?", gene="FBN1"))
    assert check(grader, rows).gold_full == 0
    assert check(grader, rows, '{"gene": "{{item.gene}}"}').gold_full == 1


def test_several_references_leave_open_which_is_the_gold(tmp_path: Path) -> None:
    both = {"graders": {"a": EXACT, "b": {**EXACT, "reference": "{{item.year}}"}}, "calculate_output": "max(a, b)"}
    rows = data(tmp_path, asks("Which?", gene="FBN1", year="1999"))
    with pytest.raises(ValueError, match=r"with \{\{item.gene\}\} and \{\{item.year\}\}; say which .*--gold KEY"):
        check(load({"type": "multi", **both}), rows)
    assert check(load({"type": "multi", **both}), rows, "year").gold_full == 1


def test_without_any_reference_the_gold_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    report = check(load({**EXACT, "reference": "yes"}), data(tmp_path, asks("Which?")))
    assert report.gold == ""
    assert found(report, "no_gold") == [
        "no reference of the grader names an item's key, so no gold answer was tried; name one with --gold KEY"
    ]
    assert report.findings == ()


def test_options_that_the_definition_lists_are_all_tried_at_once(tmp_path: Path) -> None:
    grader = load({"type": "rank", "reference": "{{item.gene}}", "allowed": "{{item.candidates}}"})
    report = check(grader, data(tmp_path, asks("Which?", gene="B", candidates=["A", "B", "C"])))
    probe = next(probe for probe in report.probes if probe.name == "every option listed")
    assert probe.output == "'A, B, C'"
    assert probe.highest == 0.5


def test_cautions_of_a_grader_are_told_once_with_their_rows_also_from_within_a_multi(tmp_path: Path) -> None:
    class Wary(Grader):
        type: str = "wary"

        def grade(self, sample: Sample, item: Item) -> Grade:
            return Grade(float(sample.output_text == item["gene"]), "as it is")

        def cautions(self, item: Item) -> Sequence[str]:
            return ["the reference is short"] if len(item["gene"]) < 3 else []

    grader = load({"type": "multi", "graders": {"wary": Wary(), "exact": EXACT}, "calculate_output": "wary * exact"})
    rows = data(tmp_path, *(asks("Which?", gene=gene) for gene in ("AB", "FBN1", "C")))
    report = check(grader, rows)
    assert found(report, "caution") == [f"wary: the reference is short: {rows}:1, 3"]
    assert report.findings == ()


def test_the_variables_and_references_of_nested_graders_are_all_found() -> None:
    nested = load(
        {
            "type": "multi",
            "graders": {
                "a": {**EXACT, "input": "{{sample.output_text}} {{item.a.b[0]}}"},
                "r": {"type": "rank", "reference": ["{{item.x}}", "y"], "allowed": "{{item.names}}"},
            },
            "calculate_output": "a + r",
        }
    )
    assert set(item_variables(nested)) == {"item.gene", "item.a.b[0]", "item.x", "item.names"}
    assert references(nested) == ["{{item.gene}}", "{{item.x}}"]


@pytest.mark.parametrize(
    ("definition", "variables"),
    [
        ({"type": "json_schema", "schema": "{{item.form}}"}, ["item.form"]),
        ({"type": "json_schema", "schema": {"type": "object", "required": ["{{item.form}}"]}}, []),
        ({"type": "regex", "pattern": r"\{\{item.x\}\}"}, []),
        ({"type": "multi", "graders": {"name": EXACT}, "calculate_output": "name"}, ["item.gene"]),
    ],
)
def test_braces_in_patterns_and_schemas_are_no_variables(definition: dict[str, Any], variables: list[str]) -> None:
    assert item_variables(load(definition)) == variables


def test_the_grader_of_a_field_has_a_reference_of_its_own_which_no_row_must_hold() -> None:
    born = {"type": "number", "reference": "{{item.reference}}", "abs_tol": 1}
    grader = load(
        {
            "type": "json_match",
            "reference": "{{item.person}}",
            "fields": {"born": {"grader": born}},
        }
    )
    assert item_variables(grader) == ["item.person"]
    assert references(grader) == ["{{item.person}}"]


# The command


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_the_command_prints_a_table_and_exits_with_1_when_something_is_found(tmp_path: Path) -> None:
    grader = tmp_path / "holds.json"
    grader.write_text(json.dumps(HOLDS))
    rows = data(tmp_path, asks("FBN1 or TGFBR2?", gene="FBN1"), asks("Which?", gene="TGFBR2"))
    done = run(grader, rows)
    assert done.exit_code == 1
    assert re.match(r"holds@\w{12}  2 rows: gold \{\{item.gene\}\} gets full marks \(1\) in 2\n", done.stdout)
    assert re.search(r"^echo of the prompt +1 +0.5 +1 of 2 +\S+:1 +'FBN1 or TGFBR2\?'$", done.stdout, re.MULTILINE)
    assert f"finding: echo of the prompt: full marks in 1 of 2 rows: {rows}:1" in done.stdout
    told = json.loads(run(grader, rows, "--json").stdout)["data"]
    assert told["findings"][0]["kind"] == "degenerate_full_marks"
    assert told["probes"]["gold negated"]["full_marks"] == 2
    assert run(grader, rows, "--limit", 1, "--json").exit_code == 1
    grader.write_text(json.dumps(EXACT))
    assert run(grader, rows).exit_code == 0


def test_what_counts_as_full_marks_can_be_said(tmp_path: Path) -> None:
    half = {"type": "multi", "name": "half", "graders": {"a": EXACT}, "calculate_output": "a / 2"}
    grader = tmp_path / "half.json"
    grader.write_text(json.dumps(half))
    rows = data(tmp_path, asks("Which?", gene="FBN1"))
    assert run(grader, rows, "--full-marks", 0.5).exit_code == 0
    assert run(grader, rows, "--full-marks", 1).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give DATA to check the grader against, or --golden FILE"),
        (["--golden", "x.jsonl", "--gold", "gene"], "--gold, --limit and --full-marks belong to DATA"),
        (["--update"], "give DATA"),
        (["nowhere.jsonl"], "no data file 'nowhere.jsonl'"),
        (["DATA", "--update"], "--update writes a golden file; name it with --golden FILE"),
        (["DATA", "--gold", "{{item.}}"], "template variable 'item.' is not a path"),
        (["--golden", "nowhere.jsonl"], "no data file 'nowhere.jsonl'"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    rows = str(data(tmp_path, asks("Which?", gene="FBN1")))
    grader = tmp_path / "exact.json"
    grader.write_text(json.dumps(EXACT))
    done = run(grader, *[rows if argument == "DATA" else argument for argument in arguments])
    assert message in str(done.exception)


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", ":1: not JSON"), ('{"item": 5}', ":1: 'item' must be an object, not 5"), ("", "no rows")],
)
def test_data_that_cannot_be_read_is_refused_with_its_place(tmp_path: Path, line: str, message: str) -> None:
    rows = tmp_path / "data.jsonl"
    rows.write_text(line)
    with pytest.raises(ValueError, match=re.escape(message)):
        check(load(EXACT), rows)


def test_the_example_s_grader_and_data_pass() -> None:
    letters = ROOT / "examples" / "letters"
    assert run(letters / "grader.json", letters / "validation.jsonl").exit_code == 0
