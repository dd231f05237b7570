"""`assay check GRADER DATA`: gold answers, degenerate outputs, missing variables, cautions."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from graders import Grade, Grader, Item, Sample, as_grader, load
from graders.testing.check import Report, check
from graders.testing.comparisons import references
from graders.testing.gold import gold_of
from graders.variables import item_variables
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


JSON_GENE = {**EXACT, "input": "{{sample.output_json.gene}}"}
JSON_WHY = {**EXACT, "input": "{{sample.output_json.more[1].why}}", "reference": "{{item.why}}"}
CALLED = {**EXACT, "input": "{{sample.output_tools[0].function.name}}"}
ARGUMENTS = {**EXACT, "input": "{{sample.output_tools[0].function.arguments}}", "reference": "{{item.why}}"}
WHY = 'said "yes"\nand left'
IN_JSON = json.dumps(WHY)


def both(*parts: dict[str, Any]) -> dict[str, Any]:
    names = [f"part{number}" for number in range(len(parts))]
    formula = f"({' + '.join(names)}) / {len(names)}"
    return {"type": "multi", "graders": dict(zip(names, parts, strict=True)), "calculate_output": formula}


def said(sample: Sample) -> str:
    """The text and the calls of an output."""
    calls = [f"{call['function']['name']}({call['function']['arguments']})" for call in sample.output_tools]
    return " ".join([*([sample.output_text] if sample.output_text else []), *calls])


@pytest.mark.parametrize(
    ("definition", "gold"),
    [
        (JSON_GENE, '{"gene": "FBN1"}'),
        (both(JSON_GENE, JSON_WHY), f'{{"gene": "FBN1", "more": ["", {{"why": {IN_JSON}}}]}}'),
        (
            both({**EXACT, "input": "{{sample.output_json.kind}}", "reference": "gene"}, JSON_GENE),
            '{"gene": "FBN1", "kind": "gene"}',
        ),
        (both(JSON_GENE, {**JSON_GENE, "operation": "ilike"}), '{"gene": "FBN1"}'),
        (both(JSON_GENE, {**JSON_GENE, "operation": "ne", "reference": "{{item.why}}"}), '{"gene": "FBN1"}'),
        (both(EXACT, {"type": "negate", "grader": {**EXACT, "reference": "{{item.why}}"}}), "FBN1"),
        (CALLED, "FBN1({})"),
        (both(CALLED, ARGUMENTS), f"FBN1({WHY})"),
        (both(EXACT, {**CALLED, "reference": "search"}), "FBN1 search({})"),
        ({**EXACT, "input": "{{sample.choices[0].message.content}}"}, "FBN1"),
        ({**EXACT, "input": "{{sample.choices[0].message.tool_calls[0].function.name}}"}, "FBN1({})"),
        ({**EXACT, "input": "{{item.gene}}", "reference": "{{sample.output_text}}"}, "FBN1"),
        ({**EXACT, "input": "{{ item.gene }}", "reference": "{{sample.output_json.gene}}"}, '{"gene": "FBN1"}'),
        ({**JSON_GENE, "extract": "boxed"}, '\\boxed{{"gene": "FBN1"}}'),
        ({**EXACT, "reference": "Gene: {{item.gene}}"}, "Gene: FBN1"),
    ],
)
def test_the_gold_answer_stands_where_each_part_of_the_grader_reads(
    tmp_path: Path, definition: dict[str, Any], gold: str
) -> None:
    grader = load(definition)
    row = asks("Which?", gene="FBN1", why=WHY)
    report = check(grader, data(tmp_path, row))
    assert (report.gold_full, report.findings) == (1, ())
    answer = gold_of(grader, None)
    assert answer is not None
    values = answer.values(row)
    assert values is not None
    assert said(answer.outputs(values)[0]) == gold
    assert said(answer.with_first(values, "not FBN1")) == gold.replace("FBN1", "not FBN1")


@pytest.mark.parametrize("value", [5, ["FBN1", "TGFBR2"], {"name": "FBN1"}, True, 0.5])
def test_a_gold_value_in_json_keeps_its_kind(tmp_path: Path, value: Any) -> None:
    report = check(load(JSON_GENE), data(tmp_path, asks("Which?", gene=value)))
    assert (report.gold_full, report.findings) == (1, ())


@pytest.mark.parametrize(
    "template",
    [
        '{"gene": "{{item.gene}}", "why": "{{item.why}}"}',
        '{"gene": {{item.gene}}, "why": {{ item.why }}, "places": [{{item.place}}]}',
        '{"said \\"so\\"": "x", "gene": "{{item.gene}}", "why": "he {{item.why}}"}',
    ],
)
@pytest.mark.parametrize("why", [WHY, "back\\slash", "plain", "\u2028 and \t"])
def test_what_stands_in_a_gold_template_that_is_json_is_escaped(tmp_path: Path, template: str, why: str) -> None:
    row = asks("Which?", gene="FBN1", why=why, place=7)
    report = check(load(JSON_GENE), data(tmp_path, row), template)
    assert (report.gold_full, report.findings) == (1, ())
    gold = gold_of(load(JSON_GENE), template)
    assert gold is not None
    values = gold.values(row)
    assert values is not None
    assert why in gold.outputs(values)[0].output_json["why"]


def test_the_gold_of_a_key_stands_where_the_grader_reads(tmp_path: Path) -> None:
    rows = data(tmp_path, asks("Which?", gene="FBN1", answer="FBN1"))
    assert check(load(JSON_GENE), rows, "answer").gold_full == 1
    assert check(load(CALLED), rows, "{{ item.answer }}").gold_full == 1


@pytest.mark.parametrize(
    "parts",
    [
        [EXACT, {**EXACT, "reference": "{{item.year}}"}],
        [EXACT, {**JSON_GENE, "reference": "{{item.year}}"}],
        [JSON_GENE, {**JSON_GENE, "reference": "{{item.year}}"}],
    ],
)
def test_answers_that_no_one_output_gives_leave_open_which_is_the_gold(
    tmp_path: Path, parts: list[dict[str, Any]]
) -> None:
    rows = data(tmp_path, asks("Which?", gene="FBN1", year="1999"))
    message = "with {{item.gene}} and {{item.year}}; say which is the answer, or write the output"
    with pytest.raises(ValueError, match=re.escape(message)):
        check(load(both(*parts)), rows)
    either = {**both(*parts), "calculate_output": "max(part0, part1)"}
    if parts[0] == EXACT:
        assert check(load(either), rows, "gene").gold_full == 1


CRASHES = """
def first(sample, item):
    return float(sample.output_text.split()[0] == item["gene"])
"""


@pytest.mark.parametrize("gold", ["gene", ""])
def test_an_undecided_blank_output_is_found_because_a_model_could_choose_it(tmp_path: Path, gold: str) -> None:
    (tmp_path / "crash.py").write_text(CRASHES)
    rows = data(tmp_path, asks("Which?", gene="FBN1"), asks("And here?", gene="TGFBR2"))
    name = f"{tmp_path / 'crash.py'}:first"
    report = check(load(name), rows, gold)
    texts = found(report, "degenerate_undecided")
    assert [text.partition(":")[0] for text in texts] == ["blank", "whitespace"]
    assert "undecided in 2 of 2 rows, so that a model can choose not to be graded (" in texts[0]
    assert "IndexError: list index out of range" in texts[0]
    assert texts[0].endswith(f": {rows}:1, 2")
    assert {finding.kind for finding in report.findings} == {"degenerate_undecided"}
    assert run(name, rows, *(["--gold", gold] if gold else ["--no-gold"])).exit_code == 1


def test_an_undecided_echo_is_found_and_what_else_is_undecided_is_noted(tmp_path: Path) -> None:
    def picky(sample: Sample, item: Item) -> float:
        if "?" in sample.output_text or "not" in sample.output_text:
            raise RuntimeError("no idea")
        return float(sample.output_text == item["gene"])

    report = check(as_grader(picky), data(tmp_path, asks("Which?", gene="FBN1")), "gene")
    assert [text.partition(":")[0] for text in found(report, "degenerate_undecided")] == ["echo of the prompt"]
    (note,) = found(report, "undecided")
    assert note.startswith("gold negated: undecided (")
    assert "no idea" in note


def test_a_row_that_is_itself_to_blame_is_found_for_that_alone(tmp_path: Path) -> None:
    grader = load({"type": "rank", "reference": "{{item.gene}}", "allowed": ["A", "B"]})
    report = check(grader, data(tmp_path, asks("a", gene="C"), {}))
    assert {finding.kind for finding in report.findings} == {"gold_undecided", "missing_variable"}
    report = check(load(EXACT), data(tmp_path, asks("a")), "")
    assert [finding.kind for finding in report.findings] == ["missing_variable"]


def test_data_may_be_a_json_array_csv_or_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"gene": "FBN1", "answer": "FBN1"}, {"gene": "FBN1", "answer": "x"}, {"gene": "A", "answer": "y"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "rows.csv").write_text("gene,answer\nFBN1,FBN1\nFBN1,x\nA,y\n")
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "rows.parquet")
    for name, first, second in (("rows.json", " row 1", 2), ("rows.csv", ":2", 3), ("rows.parquet", " row 1", 2)):
        file = tmp_path / name
        report = check(load(EXACT), file, "answer")
        assert (report.rows, report.gold_full) == (3, 1)
        assert found(report, "gold_not_full")[0].startswith(f"{file}{first[:-1]}{second}: the gold answer 'x'")
        missing = found(check(load(EXACT), file, "lacking"), "missing_gold")
        assert f"in 3 of 3 rows: {file}{first}, {second}, {second + 1}" in missing[0]
        assert check(load(EXACT), file, "gene", limit=1).rows == 1


def test_several_references_leave_open_which_is_the_gold_until_it_is_named(tmp_path: Path) -> None:
    parts = {"graders": {"a": EXACT, "b": {**EXACT, "reference": "{{item.year}}"}}, "calculate_output": "max(a, b)"}
    rows = data(tmp_path, asks("Which?", gene="FBN1", year="1999"))
    assert check(load({"type": "multi", **parts}), rows, "year").gold_full == 1


def test_a_check_without_any_gold_answer_says_so_and_is_no_success(tmp_path: Path) -> None:
    grader, rows = load({**EXACT, "reference": "yes"}), data(tmp_path, asks("Which?"))
    report = check(grader, rows)
    assert report.gold == ""
    assert found(report, "no_gold") == [
        "gold answers not checked: the grader compares the output with nothing of the item; name the right answer "
        "with --gold KEY, or say that there is none with --no-gold"
    ]
    assert "1 row: gold answers not checked" in str(report)
    assert [finding.kind for finding in report.findings] == ["no_gold"]
    assert check(grader, rows, "").findings == ()
    file = tmp_path / "yes.json"
    file.write_text(json.dumps(grader.to_wire()))
    assert run(file, rows).exit_code == 1
    done = run(file, rows, "--no-gold")
    assert done.exit_code == 0
    assert "1 row: gold answers not checked" in done.stdout


@pytest.mark.parametrize(
    ("grader", "why"),
    [
        (
            {"type": "code", "function": "{{item.entry}}", "cases": "{{item.cases}}"},
            "the grader reads {{ item.entry }}, {{ item.cases }}, which tells no output that is right",
        ),
        (
            {"type": "python", "source": "def grade(sample, item):\n    return 0.0\n"},
            "python is given the whole item and does not tell which of it is the right answer",
        ),
        (
            {"type": "clip", "grader": {"type": "python", "source": "def grade(sample, item):\n    return 0.5\n"}},
            "python is given the whole item and does not tell which of it is the right answer",
        ),
        (
            {
                "type": "string_check",
                "input": "{{sample.output_text}}",
                "reference": "{{item.entry}}",
                "operation": "ne",
            },
            "the grader reads {{ item.entry }}, which tells no output that is right",
        ),
        ({"type": "length", "unit": "words", "max": 5}, "the grader compares the output with nothing of the item"),
    ],
)
def test_why_there_is_no_gold_answer_is_told_by_what_the_grader_reads(
    grader: dict[str, Any], why: str, tmp_path: Path
) -> None:
    cases = [{"args": [1], "expected": 1}]
    (told,) = found(check(load(grader), data(tmp_path, asks("Write it.", entry="same", cases=cases))), "no_gold")
    assert told.startswith(f"gold answers not checked: {why}; name the right answer with --gold KEY")


def test_functions_that_always_return_the_same_are_tried_against_a_code_grader(tmp_path: Path) -> None:
    grader = load({"type": "code", "function": "{{item.entry}}", "cases": "{{item.cases}}"})
    weak = asks("Write it.", entry="right", cases=[{"args": [1], "expected": True}, {"args": [2], "expected": True}])
    fair = asks("Write it.", entry="same", cases=[{"args": [1], "expected": 1}, {"args": [2], "expected": 2}])
    report = check(grader, data(tmp_path, weak, fair), "")
    probes = {probe.name: probe for probe in report.probes}
    if any(probe.undecided for probe in report.probes):
        pytest.skip("no code can be run here")
    assert {name: len(probe.full) for name, probe in probes.items() if name.startswith("return ")} == {
        "return the first case's answer": 1,
        "return True": 1,
        "return None": 0,
    }
    assert [finding.kind for finding in report.notes] == ["generous"]


def test_the_reference_of_a_code_grader_is_its_gold_answer(tmp_path: Path) -> None:
    solution = "def same(x):\n    return x"
    grader = load(
        {
            "type": "code",
            "function": "same",
            "reference": "{{item.solution}}",
            "arguments": "def arguments(random):\n    return [random.randint(1, 9)]",
        }
    )
    report = check(grader, data(tmp_path, asks("Write it.", solution=solution)))
    if any(probe.undecided for probe in report.probes):
        pytest.skip("no code can be run here")
    assert (report.gold, report.gold_full) == ("{{item.solution}}", 1)


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
        (["--golden", "x.jsonl", "--gold", "gene"], "--gold, --no-gold, --limit and --full-marks belong to DATA"),
        (["--update"], "give DATA"),
        (["nowhere.jsonl"], "no data file 'nowhere.jsonl'"),
        (["DATA", "--update"], "--update writes a golden file; name it with --golden FILE"),
        (["DATA", "--gold", "{{item.}}"], "template variable 'item.' is not a path"),
        (["--golden", "nowhere.jsonl"], "no data file 'nowhere.jsonl'"),
        (["DATA", "--gold", "gene", "--no-gold"], "--no-gold says that there is none"),
        (["DATA", "--gold", ""], "--no-gold says that there is none"),
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
