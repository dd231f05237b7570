from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from graders import Grade, Grader, load
from graders.extract import RULES


def grader(extract: Any) -> Grader:
    return load(
        {
            "type": "string_check",
            "input": "{{sample.output_text}}",
            "reference": "{{item.answer}}",
            "operation": "eq",
            "extract": extract,
        }
    )


def finds(extract: Any, output: str, answer: str) -> bool:
    return grader(extract)(output, {"answer": answer}).score == 1


def failure(extract: Any, output: str) -> str:
    grade = grader(extract)(output, {"answer": "no answer is this"})
    assert grade.score == 0
    assert grade.error is not None, grade.why
    assert (grade.error.kind, grade.error.fault) == ("extraction_failed", "candidate")
    assert grade.why.startswith("nothing to grade: ")
    return grade.why.removeprefix("nothing to grade: ")


# What each rule finds


@pytest.mark.parametrize(
    ("extract", "output", "answer"),
    [
        ("boxed", r"so \boxed{4}.", "4"),
        ("boxed", r"\boxed{3} no, \boxed{ 4 }", "4"),
        ("boxed", r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("boxed", r"\boxed {4}", "4"),
        ("boxed", r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        ("boxed", r"\boxed{\left\{x\right.}", r"\left\{x\right."),
        ("boxed", r"{ \boxed{4}", "4"),
        ("boxed", r"} \boxed{4} }", "4"),
        ("boxed", r"\boxed{4}, check: \boxed{", "4"),  # the last one that is closed
        ("boxed", r"\boxed{a \boxed{b}}", r"a \boxed{b}"),
        ({"rule": "boxed", "which": "first"}, r"\boxed{3} \boxed{4}", "3"),
        ({"rule": "boxed", "which": "only"}, r"\boxed{4}, so \boxed{4 }", "4"),
        ("tag", "<answer>4</answer>", "4"),
        ("tag", "<answer>3</answer> wait <answer>\n4\n</answer>", "4"),
        ("tag", "I write it in <answer> tags: <answer>4</answer>", "4"),
        ("tag", "</answer><answer>4</answer></answer>", "4"),
        ({"rule": "tag", "name": "final-answer"}, "<answer>3</answer><final-answer>4</final-answer>", "4"),
        ({"rule": "tag", "which": "first"}, "<answer>3</answer><answer>4</answer><answer>", "3"),
        ({"rule": "tag", "which": "only"}, "<answer>4</answer><answer>4</answer>", "4"),
        ("json", ' {"b": 1.50, "a": "é"} ', '{"b":1.5,"a":"é"}'),
        ("json", '"4"', "4"),
        ({"rule": "json", "path": "answer"}, '{"answer": "4"}', "4"),
        ({"rule": "json", "path": "answer.value"}, '{"answer": {"value": 4}}', "4"),
        ({"rule": "json", "path": "[0].list[-1]"}, '[{"list": [1, true]}]', "true"),
        ({"rule": "json", "fence": True}, '{"a": 1}\n```json\n[1, 2]\n```\n```json\n[3]\n```', "[1,2]"),
        ({"rule": "regex", "pattern": r"\d+"}, "3 or 4", "4"),
        ({"rule": "regex", "pattern": r"answer: (\w+)", "flags": "i"}, "ANSWER: x. Answer: y", "y"),
        ({"rule": "regex", "pattern": r"(\d+) of (\d+)", "group": 2}, "3 of 4", "4"),
        ({"rule": "regex", "pattern": r"(?P<a>\d+) of (?P<b>\d+)", "group": "b"}, "3 of 4", "4"),
        ({"rule": "regex", "pattern": r"x(\d)?"}, "x3 x4 x", "4"),  # a group that took no part is no answer
        ({"rule": "regex", "pattern": r"\d", "which": "first"}, "3 4", "3"),
        ({"rule": "after", "marker": "####"}, "3 + 1\n#### 4\nbye", "4"),
        ({"rule": "after", "marker": "Answer:"}, "Answer: 3\nAnswer: 4", "4"),
        ({"rule": "after", "marker": "Answer:", "which": "first"}, "Answer: 3\nAnswer: 4", "3"),
        ({"rule": "after", "marker": "Answer:", "until": "text"}, "Answer:\na\nb\n", "a\nb"),
        ("final_line", "a\n\n 4 \n \n", "4"),
        ("fence", "x\n```python\nprint(1)\nprint(2)\n```\ny", "print(1)\nprint(2)"),
        ("fence", "```\n3\n```\n````md\n```\n4\n```\n````", "```\n4\n```"),
        ("fence", "```\r\n4\r\n```\r\n", "4"),
        ("fence", "   ```\n  4\n   ```", "  4"),
        ({"rule": "fence", "language": "SQL"}, "```sql\nselect\n```\n```python\nx\n```", "select"),
        ({"rule": "fence", "which": "first"}, "```\n3\n```\n```\n4\n```\n```\n", "3"),
        ("after_thinking", "<think>so 3</think>\n4", "4"),
        ("after_thinking", "so 3</think> 4", "4"),  # the prompt may have opened it
        ("after_thinking", " 4 ", "4"),
        ("after_thinking", "<thinking>3</thinking>4", "4"),
        ("after_thinking", "<think>3</think>4<think>5", "4"),
        ("fence", "~~~\n4\n~~~", "4"),
        ("after_thinking", "<think>a</think><think>b</think>4", "4"),
        ({"rule": "after_thinking", "name": "reasoning"}, "<reasoning>3</reasoning>4", "4"),
        ({"rule": "first_of", "alternatives": ["boxed", "tag"]}, "<answer>4</answer>", "4"),
        ({"rule": "first_of", "alternatives": ["boxed", "tag"]}, r"<answer>3</answer>\boxed{4}", "4"),
        ({"rule": "first_of", "alternatives": [["fence", "final_line"], "final_line"]}, "```\n3\n4\n```", "4"),
        (["after_thinking", "boxed"], r"<think>\boxed{3}</think> \boxed{4}", "4"),
        ([{"rule": "tag"}, {"rule": "json", "path": "x"}], '<answer>{"x": "4"}</answer>', "4"),
    ],
)
def test_each_rule_finds_the_answer_its_page_promises(extract: Any, output: str, answer: str) -> None:
    assert finds(extract, output, answer), grader(extract)(output, {"answer": answer}).why


@pytest.mark.parametrize(
    ("extract", "output", "reason"),
    [
        ("boxed", "4", r"the output has no \boxed{...}"),
        ("boxed", r"\boxed{4", r"the output has no \boxed{...}"),
        ("boxed", r"\boxed{ {4 }", r"the output has no \boxed{...}"),
        ("boxed", r"\boxed{4} \boxed{ }", r"there is nothing in \boxed{...}"),
        (
            {"rule": "boxed", "which": "only"},
            r"\boxed{4} \boxed{5}",
            r"disagreeing final answers, '4' and '5', each in",
        ),
        ("tag", "4", "the output has no <answer>...</answer>"),
        ("tag", "<answer>4", "<answer> is never closed"),
        ("tag", "<answer>4</answer><answer>5", "<answer> is never closed"),
        ("tag", "<answer> </answer>", "there is nothing in <answer>...</answer>"),
        (
            {"rule": "tag", "which": "only"},
            "<answer>4</answer><answer>5</answer>",
            "disagreeing final answers, '4' and '5'",
        ),
        ("json", "4 apples", "the output is not JSON (Extra data"),
        ("json", '{"a": 1, "a": 2}', "the key 'a' stands twice in one object"),
        ("json", "[NaN]", "NaN is not JSON"),
        ("json", "[1e400]", "the number 1e400 is too large"),
        ("json", "null", "there is null at the top of the JSON"),
        ("json", "[" * 10_000, "values are nested too deeply to be read"),
        ({"rule": "json", "path": "a"}, '{"a": " "}', "there is only ' ' at a of the JSON"),
        ({"rule": "json", "path": "a.b"}, '{"a": [1]}', "nothing at 'b' of the path 'a.b' in [1]"),
        ({"rule": "json", "path": "a[1]"}, '{"a": [1]}', "nothing at 1 of the path 'a[1]' in [1]"),
        ({"rule": "json", "fence": True}, '{"a": 1}', "the output has no ```json fence"),
        ({"rule": "json", "fence": True}, "```json\nx\n```", "its ```json fence is not JSON"),
        ({"rule": "regex", "pattern": r"\d+"}, "four", "the output has no match of '\\\\d+'"),
        ({"rule": "regex", "pattern": r"\d", "which": "only"}, "4, 4 or 5", "disagreeing final answers, '4' and '5'"),
        ({"rule": "regex", "pattern": "x*"}, "abc", "the output has no match"),  # an empty match is no answer
        ({"rule": "after", "marker": "####"}, "4", "the output has no text after '####'"),
        ({"rule": "after", "marker": "####"}, "#### \n4", "there is nothing in text after '####'"),
        ({"rule": "after", "marker": "A:", "which": "only"}, "A: 3\nA: 4", "disagreeing final answers, '3' and '4'"),
        ("final_line", " \n ", "the output is blank"),
        ("fence", "4", "the output has no ``` fence"),
        ("fence", "```\n4", "a ``` fence is never closed"),
        ("fence", "```\n\n```", "there is nothing in ``` fence"),
        ({"rule": "fence", "language": "sql"}, "```python\nx\n```", "the output has no ```sql fence"),
        ("after_thinking", "<think>4", "<think> is never closed, so nothing was answered"),
        ("after_thinking", "<thinking>3</thinking><think>4", "<think> is never closed, so nothing was answered"),
        ("after_thinking", "<think>4</think> ", "nothing stands after </think>"),
        ("after_thinking", " ", "the output is blank"),
        ({"rule": "after", "marker": "####"}, "##### 4", "the output has no text after '####'"),
        ({"rule": "first_of", "alternatives": ["boxed", "tag"]}, "4", r"no \boxed{...}; the output has no <answer>"),
        (["after_thinking", "boxed"], r"<think>\boxed{4}</think> 4", r"the output has no \boxed{...}"),
    ],
)
def test_an_output_without_an_answer_scores_zero_by_an_error_of_its_own_kind(
    extract: Any, output: str, reason: str
) -> None:
    assert reason in failure(extract, output)


def test_a_wrong_answer_that_was_found_bears_no_error() -> None:
    grade = grader("boxed")(r"\boxed{5}", {"answer": "4"})
    assert (grade.score, grade.error) == (0.0, None)


def test_what_is_found_is_read_as_json_anew() -> None:
    definition = {"type": "string_check", "input": "{{sample.output_json.a}}", "reference": "1", "operation": "eq"}
    assert load({**definition, "extract": "tag"})('{"a": 2} <answer>{"a": 1}</answer>').score == 1


def test_the_minimum_score_of_the_grader_is_what_a_failed_extraction_gets() -> None:
    class Signed(Grader):
        type: str = "signed"

        @property
        def range(self) -> tuple[float, float]:
            return -1.0, 1.0

        def grade(self, sample: Any, item: Any) -> Grade:
            return Grade(1.0, "found")

    assert Signed(extract="boxed")("4").score == -1.0


# The definition


def test_rules_are_written_back_in_full_and_load_again() -> None:
    one = grader([{"rule": "first_of", "alternatives": ["boxed", ["fence", "final_line"]]}, "final_line"])
    assert one.to_wire()["extract"] == [
        {"rule": "first_of", "alternatives": [[{"rule": "boxed"}], [{"rule": "fence"}, {"rule": "final_line"}]]},
        {"rule": "final_line"},
    ]
    assert load(json.loads(json.dumps(one.to_wire()))) == one


def test_a_grader_with_a_rule_is_not_exported_to_openai() -> None:
    with pytest.raises(ValueError, match="'extract' is Assay's own"):
        grader("boxed").to_openai()


@pytest.mark.parametrize(
    ("extract", "message"),
    [
        ("boxd", "no extract rule 'boxd'; did you mean 'boxed'? known: after, after_thinking, boxed"),
        ([], 'no rules; name at least one, such as "boxed", or leave extract out'),
        (3, '3 is no rule; write its name, or an object such as {"rule": "boxed"}'),
        ({"name": "answer"}, "is no rule; write its name"),
        ({"rule": ["tag"]}, "no extract rule ['tag']"),
        ({"rule": "tag", "tga": "x"}, "extract: unknown key 'tga'; known: name, rule, which"),
        ({"rule": "tag", "name": "<answer>"}, "'<answer>' is no name of a tag; write it without brackets"),
        ({"rule": "tag", "which": "any"}, "should be 'last', 'first' or 'only'"),
        ({"rule": "json", "path": "a b"}, "'a b' is not a path into JSON; write it as 'answer.value'"),
        ({"rule": "fence", "language": "```json"}, "'```json' is no language"),
        ("regex", "key 'extract.pattern' is missing"),
        ({"rule": "regex", "pattern": "(?=x)"}, "look-around is not linear-time"),
        ({"rule": "regex", "pattern": "x", "group": 1}, "pattern 'x' has no group 1; it has [0]"),
        ({"rule": "regex", "pattern": "(x)", "group": True}, "True"),
        ({"rule": "regex", "pattern": "x", "flags": "z"}, "flag 'z' is unknown"),
        ({"rule": "after", "marker": " "}, "marker ' ' is blank and stands everywhere"),
        ({"rule": "first_of", "alternatives": ["boxed"]}, "at least 2 items"),
        ({"rule": "first_of", "alternatives": ["boxed", "tagg"]}, "no extract rule 'tagg'; did you mean 'tag'?"),
    ],
)
def test_a_bad_rule_is_refused_when_the_grader_loads(extract: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'string_check': ") as caught:
        grader(extract)
    assert message in str(caught.value)


# Hostile outputs

NEAR: dict[str, Any] = {
    "after": {"rule": "after", "marker": "A:"},
    "first_of": {"rule": "first_of", "alternatives": ["boxed", "tag", "fence"]},
    "json": {"rule": "json", "fence": True},
    "regex": {"rule": "regex", "pattern": "(a+)+b", "which": "only"},
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    "output",
    [
        "{" * 1_000_000,
        "\\boxed{" * 150_000,
        "\\boxed{" * 70_000 + "}" * 70_000,
        "\\boxed" + " " * 1_000_000,
        "\\" * 1_000_000,
        "<answer>" * 100_000,
        "<answer></answer>" * 60_000,
        "</answer>" * 100_000,
        "<think>" * 100_000,
        "</think>" * 100_000,
        "`" * 1_000_000,
        "`" * 1_000_000 + "x`",
        "```\n" * 250_000,
        "```json\n" + "[" * 1_000_000 + "\n```",
        "A:" * 500_000,
        "a" * 1_000_000,
        "\n" * 1_000_000,
        "\ud800<answer>\udfff",
        "",
    ],
)
def test_hostile_outputs_are_read_once(rule: str, output: str) -> None:
    grade = grader(NEAR.get(rule, rule))(output, {"answer": "no answer is this"})
    assert grade.score == 0
    assert json.loads(json.dumps(grade.to_wire()))["status"] == "scored"
    assert len(grade.why) < 1000


PIECES = ["\\boxed{", "\\boxed", "{", "}", "\\{", "\\}", "<answer>", "</answer>", "<think>", "</think>", "```", "\n"]


@given(st.lists(st.sampled_from([*PIECES, "```json", "A:", "x", " ", "1", '"', "[", "]"]), max_size=30).map("".join))
@example("")
def test_every_output_is_either_read_or_fails_by_extraction(output: str) -> None:
    for rule in RULES:
        grade = grader(NEAR.get(rule, rule))(output, {"answer": "x"})
        assert grade.score in (0, 1)
        assert grade.error is None or grade.error.kind == "extraction_failed"


@given(st.lists(st.sampled_from(["\\boxed{", "{", "}", "a", "\\}"]), max_size=14).map("".join))
def test_the_box_that_counts_is_the_last_balanced_one_that_is_in_no_other(output: str) -> None:
    boxes = []
    for start in range(len(output)):
        if output.startswith("\\boxed{", start):
            depth, place = 1, start + len("\\boxed{")
            while place < len(output) and depth:
                letter = output[place]
                place += 2 if letter == "\\" else 1  # here \boxed{ holds its brace back: counted below
                depth += (letter == "{") - (letter == "}")
            if not depth:
                boxes.append((start, place))
    outer = [(a, b) for a, b in boxes if not any(c < a and b < d for c, d in boxes)]
    expected = output[outer[-1][0] + len("\\boxed{") : outer[-1][1] - 1].strip() if outer else ""
    grade = grader("boxed")(output, {"answer": expected})
    assert (grade.error is None) == bool(expected)
    assert grade.score == float(bool(expected))


PAGE = (Path(__file__).resolve().parents[1] / "docs" / "extract.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_and_its_options_are_on_the_page(rule: str) -> None:
    _, found, rest = PAGE.partition(f"\n### {rule}\n")
    assert found
    text = rest.partition("\n### ")[0].partition("\n## ")[0]
    assert [option for option in RULES[rule].model_fields if f'"{option}"' not in text] == []
    definition = re.search(r"`(\{.*?\})`[.,]", text)
    assert definition is not None
    assert grader(json.loads(definition[1])).extract


def test_the_table_on_the_page_is_right() -> None:
    rows = re.findall(r'^\| `"(\w+)"` \| [^|]* \| `([^`|]*)`(?: with (.*?))? \| `([^`|]*)` \|$', PAGE, re.MULTILINE)
    assert len(rows) >= 6
    for rule, output, options, answer in rows:
        given: dict[str, Any] = {"rule": rule}
        for name, value in re.findall(r"(\w+) `?([^`\s]+(?: [^`]*(?=`))?)`?(?: and |$)", options):
            given[name] = int(value) if value.isdigit() else value
        assert finds(given, output, answer), (given, output)
