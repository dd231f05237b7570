"""A Promptfoo config becomes graders with Promptfoo's scores and verdicts; what has no counterpart is listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from graders import Grader, load
from graders.convert import Converted, convert
from graders.convert.promptfoo import from_config
from graders.convert.promptfoo_assertions import BINARY, NOT_CARRIED, SCORED, TYPES
from graders.convert.promptfoo_tests import as_template, assertion_from_text, with_variables
from rft_loop.cli import app

HERE = Path(__file__).parent


def of(*assertions: Any, folder: Path = HERE, **test: Any) -> Converted:
    """The conversion of one test with these assertions."""
    variables = test.pop("vars", {"name": "Ada"})
    return from_config({"tests": [{"vars": variables, "assert": list(assertions), **test}]}, folder)


def score(converted: Converted, output: str, name: str = "score") -> float | None:
    rows = next(iter(converted.rows.values()))
    return converted.graders[name](output, rows[0]).score


def verdict(converted: Converted, output: str) -> float | None:
    return score(converted, output, "pass" if "pass" in converted.graders else "score")


# Assertions


@pytest.mark.parametrize(
    ("assertion", "passing", "failing"),
    [
        ({"type": "equals", "value": "Paris"}, ["Paris"], ["paris", "Paris.", ""]),
        ({"type": "equals", "value": 5}, ["5"], ["5.0", "x"]),
        ({"type": "equals", "value": 5.0}, ["5"], ["5.0"]),  # as JavaScript writes it
        ({"type": "equals", "value": True}, ["true"], ["True"]),
        ({"type": "equals", "value": "{{name}} L"}, ["Ada L"], ["{{name}} L"]),
        ({"type": "equals", "value": {"a": [1, "x"]}}, ['{"a": [1, "x"]}', '{"a":[1.0,"x"]}'], ['{"a": [1]}', "no"]),
        ({"type": "equals", "value": "é", "normalizeUnicode": True}, ["e\u0301"], ["e"]),
        ({"type": "not-equals", "value": "Paris"}, ["paris"], ["Paris"]),
        ({"type": "contains", "value": "Paris"}, ["In Paris."], ["in paris"]),
        ({"type": "contains", "value": 0}, ["10"], ["1"]),
        ({"type": "icontains", "value": "PARIS"}, ["in paris"], ["in rome"]),
        ({"type": "not-icontains", "value": "sorry"}, ["fine"], ["Sorry!"]),
        ({"type": "contains-any", "value": ["a", "{{name}}"]}, ["xAda", "a"], ["b"]),
        ({"type": "contains-all", "value": ["a", "b"]}, ["ab", "b a"], ["a", "b"]),
        ({"type": "icontains-any", "value": "a, b"}, ["A", "B"], ["c"]),
        ({"type": "icontains-all", "value": 'a,"b,c"'}, ["A B,C"], ["a b c"]),
        ({"type": "not-contains-any", "value": ["a", "b"]}, ["c"], ["a", "b"]),
        ({"type": "not-contains-all", "value": ["a", "b"]}, ["a"], ["ab"]),
        ({"type": "starts-with", "value": "Yes (sure)."}, ["Yes (sure). x"], ["No", " Yes (sure).", "\nYes (sure)."]),
        ({"type": "regex", "value": r"\d{4}"}, ["in 1999"], ["in 99"]),
        ({"type": "not-regex", "value": "^No"}, ["Yes"], ["No way"]),
        ({"type": "is-json"}, ["{}", "[1]", '"x"', "null"], ["x", ""]),
        ({"type": "is-json", "value": {"type": "object", "required": ["a"]}}, ['{"a": 1}'], ["{}", "[]", "x"]),
        ({"type": "is-json", "value": "type: array"}, ["[]"], ["{}"]),
        ({"type": "contains-json"}, ["{}", "Here:\n```json\n{}\n```\n"], ["x"]),
        ({"type": "contains-json", "value": {"required": ["a"]}}, ['```json\n{"a": 1}\n```'], ["```json\n{}\n```"]),
        ({"type": "word-count", "value": 2}, ["a b", " a  b "], ["a", "a b c"]),
        ({"type": "word-count", "value": "2"}, ["a b"], ["a"]),
        ({"type": "word-count", "value": {"min": 2}}, ["a b", "a b c"], ["a"]),
        ({"type": "word-count", "value": {"min": 2, "max": 3}}, ["a b"], ["a b c d"]),
        ({"type": "finish-reason", "value": "STOP"}, ["x"], []),
        ({"type": "finish-reason", "value": "length"}, [], ["x"]),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_an_assertion_passes_and_fails_as_in_promptfoo(
    assertion: dict[str, Any], passing: list[str], failing: list[str]
) -> None:
    converted = of(assertion)
    assert converted.not_carried == []
    assert [score(converted, output) for output in passing] == [1.0] * len(passing)
    assert [score(converted, output) for output in failing] == [0.0] * len(failing)
    assert list(converted.graders) == ["score"]  # its score is its verdict


@pytest.mark.parametrize("kind", ["bleu", "gleu", "meteor", "rouge-n"])
def test_a_similarity_keeps_its_score_and_passes_from_its_threshold(kind: str) -> None:
    sentence = "the quick brown fox jumps over the lazy dog"
    converted = of({"type": kind, "value": sentence, "threshold": 0.6})
    assert converted.graders["pass"].to_wire()["at"] == 0.6
    assert score(converted, sentence) == pytest.approx(1.0, abs=0.01)
    assert (verdict(converted, sentence), verdict(converted, "a cat")) == (1.0, 0.0)
    turned = of({"type": f"not-{kind}", "value": sentence})
    assert (verdict(turned, sentence), verdict(turned, "a cat")) == (0.0, 1.0)


def test_the_default_thresholds_are_promptfoos() -> None:
    thresholds = {kind: of({"type": kind, "value": "a b c d e f"}).graders["pass"].to_wire()["at"]
                  for kind in ("bleu", "gleu", "meteor", "rouge-n")}  # fmt: skip
    assert thresholds == {"bleu": 0.5, "gleu": 0.5, "meteor": 0.5, "rouge-n": 0.75}


def test_of_several_references_the_best_counts() -> None:
    converted = of({"type": "gleu", "value": ["a b c d", "w x y z"]})
    assert score(converted, "w x y z") == pytest.approx(1.0)


def test_tool_names_are_compared() -> None:
    grader = of({"type": "tool-call-f1", "value": "search, book"}).graders["pass"]
    called = [{"function": {"name": name, "arguments": "{}"}} for name in ("book", "search")]
    assert grader({"output_tools": called}, {}).score == 1.0
    assert grader({"output_tools": called[:1]}, {}).score == 0.0


def test_a_rubric_becomes_a_score_model_with_its_variables_as_templates() -> None:
    converted = of(
        {"type": "llm-rubric", "value": "Greets {{name}}", "threshold": 0.8, "provider": "openai:chat:gpt-4.1-mini"}
    )
    wire = converted.graders["score"].to_wire()
    assert (wire["type"], wire["model"]) == ("score_model", "gpt-4.1-mini")
    assert "{{sample.output_text}}" in wire["input"][1]["content"]
    assert "Greets {{item.name}}" in wire["input"][1]["content"]
    assert converted.graders["pass"].to_wire()["at"] == 0.8


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai:gpt-4o", "gpt-4o"),
        ("openai:responses:gpt-5", "gpt-5"),
        ({"id": "openai:chat:gpt-4o", "config": {"temperature": 0}}, "gpt-4o"),
        ({"text": {"id": "openai:chat:gpt-4o"}}, "gpt-4o"),
        ("anthropic:messages:claude-x", "claude-x"),
        ("ollama:chat:llama3:8b", "llama3:8b"),
        ("my-judge", "my-judge"),
        ({"label": "no id"}, "gpt-4.1"),
    ],
)
def test_the_judges_name_is_read_out_of_the_provider(provider: Any, model: str) -> None:
    converted = of({"type": "llm-rubric", "value": "x"}, options={"provider": provider})
    assert converted.graders["score"].to_wire()["model"] == model


def test_a_judge_that_is_not_named_is_remarked_upon_or_given() -> None:
    config = {"tests": [{"assert": [{"type": "llm-rubric", "value": "x"}]}]}
    remarks = [remark.what for remark in from_config(config, HERE).differs]
    assert "the judge" in remarks
    given = from_config(config, HERE, judge="my-judge")
    assert given.graders["score"].to_wire()["model"] == "my-judge"
    assert "the judge" not in [remark.what for remark in given.differs]


def test_a_prompt_of_the_configs_own_is_kept_for_the_judge() -> None:
    prompt = (
        '[{"role": "system", "content": "Grade."}, {"role": "user", "content": "{{output}} by {{rubric}} {{name}}"}]'
    )
    converted = of({"type": "llm-rubric", "value": "r", "rubricPrompt": prompt})
    assert converted.graders["score"].to_wire()["input"] == [
        {"role": "system", "content": "Grade."},
        {"role": "user", "content": "{{sample.output_text}} by r {{item.name}}"},
    ]


CLOSED = {"type": "model-graded-closedqa", "value": "b"}


def test_factuality_and_closed_questions_become_label_models() -> None:
    config = {
        "prompts": ["Who is {{name}}?"],
        "tests": [{"vars": {"name": "Ada"}, "assert": [{"type": "factuality", "value": "a"}, CLOSED]}],
    }  # fmt: skip
    parts = from_config(config, HERE).graders["score"].to_wire()["graders"]
    assert parts["factuality"]["passing_labels"] == ["A", "B", "C", "E"]
    assert parts["model_graded_closedqa"]["labels"] == ["Y", "N"]
    assert "{{item.messages[-1].content}}" in parts["factuality"]["input"][1]["content"]


@pytest.mark.parametrize(
    ("assertion", "output", "scored", "passed"),
    [
        ({"type": "python", "value": "len(output) > 3"}, "abcd", 1.0, 1.0),
        ({"type": "python", "value": "len(output) > 3"}, "ab", 0.0, 0.0),
        ({"type": "not-python", "value": "len(output) > 3"}, "ab", 0.0, 1.0),
        ({"type": "python", "value": "len(output) / 10", "threshold": 0.5}, "abcd", 0.4, 0.0),
        ({"type": "python", "value": "x = len(output)\nreturn x / 10"}, "abcd", 0.4, 1.0),
        ({"type": "python", "value": "context['vars']['name'] == output"}, "Ada", 1.0, 1.0),
        ({"type": "python", "value": "{'pass': False, 'score': 0.7, 'reason': ''}"}, "x", 0.7, 0.0),
        ({"type": "python", "value": "file://checks.py"}, "Ada", 1.0, 1.0),
        ({"type": "python", "value": "file://checks.py:strict"}, "ada", 0.25, 1.0),
        ({"type": "python", "value": "checks.py:grade"}, "x", 0.5, 1.0),
    ],
)
def test_python_is_wrapped_into_the_source_of_a_python_grader(
    tmp_path: Path, assertion: dict[str, Any], output: str, scored: float, passed: float
) -> None:
    (tmp_path / "checks.py").write_text(
        "def get_assert(output, context):\n    return output == context['vars']['name']\n\n"
        "def strict(output, context):\n    return 0.25\n\ndef grade(output, context):\n    return 0.5\n"
    )
    converted = of(assertion, folder=tmp_path)
    assert converted.not_carried == []
    graders = [converted.graders["score"], converted.graders.get("pass", converted.graders["score"])]
    answers = []
    for grader in graders:
        assert grader.type == "python"
        space: dict[str, Any] = {}
        exec(grader.to_wire()["source"], space)  # our own code, of the test
        answers.append(space["grade"]({"output_text": output}, {"name": "Ada"}))
    assert answers == [scored, passed]


# What cannot be carried


@pytest.mark.parametrize("kind", sorted(kind for kind, why in NOT_CARRIED.items() if why))
@pytest.mark.parametrize("prefix", ["", "not-"])
def test_an_assertion_without_a_counterpart_is_listed_with_its_reason(kind: str, prefix: str) -> None:
    converted = of({"type": prefix + kind, "value": "x"}, {"type": "equals", "value": "y"})
    assert [(remark.place, remark.what) for remark in converted.not_carried] == [("tests.0.assert.0", prefix + kind)]
    assert converted.not_carried[0].why == f"{NOT_CARRIED[kind]}; it is left out of score and pass"
    assert verdict(converted, "y") == 1.0


@pytest.mark.parametrize(
    ("assertion", "why"),
    [
        ({"type": "equal", "value": "x"}, "no such assertion is known; did you mean 'equals'?"),
        ({"type": "equals"}, "it has no value"),
        ({"type": "equals", "value": "{{ name | upper }}"}, "more than a path (a filter or an expression of Nunjucks)"),
        ({"type": "equals", "value": "{% if name %}x{% endif %}"}, "holds Nunjucks logic"),
        ({"type": "equals", "value": "{{ env.X }}"}, "is read from the environment"),
        ({"type": "equals", "value": "x", "transform": "output.trim()"}, "its transform changes the output by code"),
        ({"type": "equals", "value": "file://make.js"}, "its value comes from code"),
        ({"type": "is-json", "value": "file://nowhere.json"}, "no file 'nowhere.json' beside the config"),
        ({"type": "not-is-json"}, "can never earn a score"),
        ({"type": "is-json", "value": {"type": "objekt"}}, "objekt"),
        ({"type": "regex", "value": "(?=x)"}, "(?=x)"),
        ({"type": "regex", "value": "{{name}}"}, "a pattern here is a constant"),
        ({"type": "contains-any", "value": []}, "it needs a list of values, not []"),
        ({"type": "word-count", "value": "many"}, "it needs a number of words"),
        ({"type": "bleu", "value": "a b", "threshold": "x"}, "its threshold is no number: 'x'"),
        ({"type": "equals", "value": "x", "weight": -1}, "its weight is -1, and a weight is a number of at least 0"),
        ({"type": "equals", "value": "x", "weight": "y"}, "its weight is no number: 'y'"),
        ({"type": "python", "value": "def ("}, "line "),
        ({"type": "python", "value": "file://nowhere.py"}, "no file 'nowhere.py' beside the config"),
        ({"type": "assert-set", "assert": []}, "an assert-set needs a list of assertions"),
        ("equals", "an assertion is an object with a 'type'"),
        ({"value": "x"}, "an assertion is an object with a 'type'"),
    ],
)
def test_what_an_assertion_holds_too_much_of_is_listed_with_its_reason(assertion: Any, why: str) -> None:
    converted = of(assertion, {"type": "equals", "value": "y"})
    assert len(converted.not_carried) == 1
    assert converted.not_carried[0].place.startswith("tests.0.assert.0")
    assert why in converted.not_carried[0].why
    assert verdict(converted, "y") == 1.0


def test_every_key_of_a_config_is_carried_or_listed() -> None:
    config: dict[str, Any] = {
        "description": "d",
        "providers": ["openai:gpt-5"],
        "derivedMetrics": [{"name": "f1", "value": "a/b"}],
        "evaluateOptions": {"maxConcurrency": 2},
        "madeUp": 1,
        "defaultTest": {"options": {"transform": "output", "provider": "openai:gpt-4o"}},
        "tests": [
            {
                "vars": {"a": 1},
                "provider": "openai:gpt-5",
                "assertScoringFunction": "file://x.js",
                "assert": [{"type": "equals", "value": "x", "config": {"k": 1}, "odd": 2}],
            }
        ],
    }
    listed = {remark.place for remark in from_config(config, HERE).not_carried}
    assert listed == {
        "description",
        "providers",
        "derivedMetrics",
        "evaluateOptions",
        "madeUp",
        "defaultTest.options.transform",
        "tests.0.provider",
        "tests.0.assertScoringFunction",
        "tests.0.assert.0.config",
        "tests.0.assert.0.odd",
    }


def test_a_test_that_nothing_grades_is_listed_and_a_config_of_such_tests_is_refused() -> None:
    config: dict[str, Any] = {"tests": [{"vars": {"a": 1}}, {"assert": [{"type": "equals", "value": "x"}]}]}
    assert [remark.place for remark in from_config(config, HERE).not_carried] == ["tests.0"]
    with pytest.raises(ValueError, match="no test has an assertion that can be carried: "):
        from_config({"tests": [{"assert": [{"type": "javascript", "value": "true"}]}]}, HERE)


# Scores and verdicts


def test_scores_are_added_up_by_weight_and_every_assertion_must_pass() -> None:
    converted = of(
        {"type": "contains", "value": "a", "weight": 3}, {"type": "contains", "value": "b"},
        {"type": "contains", "value": "c", "weight": 0},
    )  # fmt: skip
    assert score(converted, "a") == 0.75
    assert score(converted, "ab") == 1.0
    assert [verdict(converted, output) for output in ("abc", "ab", "ac", "bc")] == [1.0, 0.0, 0.0, 0.0]


def test_a_threshold_of_the_test_decides_instead() -> None:
    converted = of({"type": "contains", "value": "a", "weight": 3}, {"type": "contains", "value": "b"}, threshold=0.7)
    assert [verdict(converted, output) for output in ("ab", "a", "b")] == [1.0, 1.0, 0.0]


def test_a_set_counts_as_one_assertion_with_its_own_threshold() -> None:
    assertion = {
        "type": "assert-set",
        "threshold": 0.5,
        "weight": 2,
        "assert": [{"type": "contains", "value": "a"}, {"type": "contains", "value": "b"}],
    }
    converted = of(assertion, {"type": "contains", "value": "c"})
    assert score(converted, "a") == pytest.approx(2 / 3 * 0.5)
    assert score(converted, "ac") == pytest.approx(2 / 3 * 0.5 + 1 / 3)
    assert [verdict(converted, output) for output in ("ac", "abc", "c", "ab")] == [1.0, 1.0, 0.0, 0.0]


def test_parts_are_called_by_their_metrics() -> None:
    converted = of(
        {"type": "contains", "value": "a", "metric": "Tone of voice"},
        {"type": "contains", "value": "b"},
        {"type": "contains", "value": "c", "metric": "max"},
    )
    assert list(converted.graders["score"].to_wire()["graders"]) == ["Tone_of_voice", "contains", "max_"]


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 5)), min_size=1, max_size=5), st.text("abcd", max_size=4)
)
@settings(deadline=None)
def test_score_and_verdict_agree_with_promptfoos_arithmetic(weighted: list[tuple[str, int]], output: str) -> None:
    converted = of(*({"type": "contains", "value": value, "weight": weight} for value, weight in weighted))
    total = sum(weight for _, weight in weighted)
    assert verdict(converted, output) == float(all(value in output for value, _ in weighted)) or not total
    if total:
        expected = sum(weight for value, weight in weighted if value in output) / total
        assert score(converted, output) == pytest.approx(expected)


# Tests and rows


NO_EXCUSE = {"type": "not-contains", "value": "sorry"}


def test_tests_of_one_shape_share_a_grader_and_what_differs_stands_in_the_rows() -> None:
    config = {
        "prompts": ["What is the capital of {{country}}?"],
        "tests": [
            {"vars": {"country": "France"}, "assert": [{"type": "icontains", "value": "Paris"}, NO_EXCUSE]},
            {"vars": {"country": "Peru"}, "assert": [{"type": "icontains", "value": "Lima"}, NO_EXCUSE]},
        ],
    }  # fmt: skip
    converted = from_config(config, HERE)
    assert list(converted.graders) == ["score", "pass"]
    assert converted.rows["items"] == [
        {
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
            "country": "France",
            "expected_1": "Paris",
        },
        {
            "messages": [{"role": "user", "content": "What is the capital of Peru?"}],
            "country": "Peru",
            "expected_1": "Lima",
        },
    ]
    grader = converted.graders["score"]
    assert [grader("Lima", row).score for row in converted.rows["items"]] == [0.5, 1.0]


def test_tests_of_other_shapes_have_graders_and_rows_of_their_own() -> None:
    config = {
        "tests": [{"assert": [{"type": "equals", "value": "a"}]}, {"assert": [{"type": "contains", "value": "a"}]}]
    }
    converted = from_config(config, HERE)
    assert list(converted.graders) == ["score-1", "score-2"]
    assert list(converted.rows) == ["items-1", "items-2"]


def test_the_same_template_in_every_test_stays_a_template() -> None:
    test = {"assert": [{"type": "equals", "value": "{{ answer }}"}]}
    config = {"tests": [{"vars": {"answer": "a"}, **test}, {"vars": {"answer": "b"}, **test}]}
    converted = from_config(config, HERE)
    assert converted.graders["score"].to_wire()["reference"] == "{{item.answer}}"
    assert converted.rows["items"] == [{"answer": "a"}, {"answer": "b"}]


def test_a_value_in_which_braces_are_just_braces_stands_in_the_rows() -> None:
    converted = of({"type": "contains", "value": "f(x)}}"})
    assert score(converted, "is f(x)}}") == 1.0
    assert converted.rows["items"][0]["expected_1"] == "f(x)}}"


def test_what_an_output_says_is_never_a_template() -> None:
    assert score(of({"type": "equals", "value": "{{name}}"}), "{{name}}") == 0.0


def test_a_variable_that_no_test_has_is_remarked_upon() -> None:
    converted = of({"type": "equals", "value": "{{nam}}"})
    assert "empty in Promptfoo, undecided here: item has no 'nam'; did you mean 'name'?" in converted.differs[0].why


def test_lists_of_variables_stand_for_every_combination() -> None:
    converted = of({"type": "equals", "value": "x"}, vars={"a": [1, 2], "b": ["u", "v"], "c": "w"})
    assert [(row["a"], row["b"], row["c"]) for row in converted.rows["items"]] == [
        (1, "u", "w"), (1, "v", "w"), (2, "u", "w"), (2, "v", "w")
    ]  # fmt: skip
    kept = of({"type": "equals", "value": "x"}, vars={"a": [1, 2]}, options={"disableVarExpansion": True})
    assert kept.rows["items"] == [{"a": [1, 2]}]


def test_defaults_are_merged_into_every_test() -> None:
    config = {
        "prompts": ["{{greeting}} {{name}}"],
        "defaultTest": {
            "vars": {"greeting": "Hello"},
            "threshold": 0.5,
            "assert": [{"type": "contains", "value": "a"}],
        },
        "tests": [
            {"vars": {"name": "Ada"}, "assert": [{"type": "contains", "value": "b"}]},
            {"vars": {"name": "Bob", "greeting": "Hi"}, "assert": [{"type": "contains", "value": "c"}]},
        ],
    }
    converted = from_config(config, HERE)
    assert [row["messages"][0]["content"] for row in converted.rows["items"]] == ["Hello Ada", "Hi Bob"]
    assert [verdict(converted, output) for output in ("a", "b", "x")] == [1.0, 1.0, 0.0]


def test_assertions_of_the_default_alone_are_enough() -> None:
    converted = from_config({"prompts": ["Hi"], "defaultTest": {"assert": [{"type": "contains", "value": "a"}]}}, HERE)
    assert converted.rows["items"] == [{"messages": [{"role": "user", "content": "Hi"}]}]


def test_scenarios_pair_every_set_of_variables_with_every_test() -> None:
    config = {
        "scenarios": [
            {
                "config": [{"vars": {"language": "French"}}, {"vars": {"language": "Dutch"}}],
                "tests": [{"vars": {"text": text}, "assert": [{"type": "contains", "value": "x"}]} for text in "ab"],
            }
        ]
    }
    rows = from_config(config, HERE).rows["items"]
    assert [(row["language"], row["text"]) for row in rows] == [
        ("French", "a"), ("French", "b"), ("Dutch", "a"), ("Dutch", "b")
    ]  # fmt: skip


def test_prompts_are_read_from_texts_chats_and_files_and_paired_with_every_test(tmp_path: Path) -> None:
    (tmp_path / "chat.json").write_text(
        '[{"role": "system", "content": "Be terse."}, {"role": "user", "content": "{{q}}"}]'
    )
    (tmp_path / "two.txt").write_text("One {{q}}\n---\nTwo {{q}}")
    config = {
        "prompts": [
            "Zero {{q}}",
            {"id": "file://chat.json", "label": "chat"},
            "two.txt",
            "file://make.py",
            "{{q|upper}}",
        ],
        "tests": [{"vars": {"q": "?"}, "assert": [{"type": "equals", "value": "x"}]}],
    }
    converted = from_config(config, tmp_path)
    assert [(row["prompt_label"], row["messages"][-1]["content"]) for row in converted.rows["items"]] == [
        ("prompts.0", "Zero ?"),
        ("chat", "?"),
        ("two.txt", "One ?"),
        ("two.txt", "Two ?"),
    ]
    assert [remark.place for remark in converted.not_carried] == ["prompts.3", "prompts.4"]


def test_tests_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("- vars: {q: file://q.txt}\n  assert: [{type: equals, value: x}]\n")
    (tmp_path / "q.txt").write_text("from a file")
    (tmp_path / "b.json").write_text('[{"vars": {"q": "b"}, "assert": [{"type": "equals", "value": "y"}]}]')
    (tmp_path / "c.jsonl").write_text('{"vars": {"q": "c"}, "assert": [{"type": "equals", "value": "z"}]}\n')
    config: dict[str, Any] = {"tests": ["file://a.yaml", "b.json", "file://*.jsonl", "file://gone.csv", "file://t.js"]}
    converted = from_config(config, tmp_path)
    assert [(row["q"], row["expected_1"]) for row in converted.rows["items"]] == [
        ("from a file", "x"), ("b", "y"), ("c", "z")
    ]  # fmt: skip
    assert [(remark.place, remark.what) for remark in converted.not_carried] == [
        ("tests.3", "file://gone.csv"),
        ("tests.4", "file://t.js"),
    ]


def test_a_csv_file_is_read_with_promptfoos_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "q,__expected1,__expected2,__threshold,__description,__metadata:topic,__odd\n"
        '"2+2?",4,icontains: four,0.5,sum,maths,\n'
        '"3+3?",6,icontains: six,0.5,sum,maths,\n'
    )
    converted = from_config({"tests": "file://t.csv"}, tmp_path)
    assert converted.rows["items"][1] == {
        "q": "3+3?",
        "metadata": {"topic": "maths", "description": "sum"},
        "expected_1": "6",
        "expected_2": "six",
    }
    row = converted.rows["items"][1]
    assert [converted.graders["pass"](output, row).score for output in ("6", "Six", "four")] == [1.0, 1.0, 0.0]
    assert [remark.place for remark in converted.not_carried] == ["t.csv:2", "t.csv:3"]


@pytest.mark.parametrize(
    ("text", "assertion"),
    [
        ("Paris", {"type": "equals", "value": "Paris"}),
        ("contains:Paris", {"type": "contains", "value": "Paris"}),
        ("contains: Paris", {"type": "contains", "value": "Paris"}),
        ("not-contains: x", {"type": "not-contains", "value": "x"}),
        ("similar(0.8):Hello there", {"type": "similar", "value": "Hello there", "threshold": 0.8}),
        ("contains-any: <b>,</span>", {"type": "contains-any", "value": ["<b>", "</span>"]}),
        ("is-json", {"type": "is-json"}),
        ("grade: polite", {"type": "llm-rubric", "value": "polite"}),
        ("fn: output.length", {"type": "javascript", "value": "output.length"}),
        ("javascript: output.length < 10", {"type": "javascript", "value": "output.length < 10"}),
        ("python: len(output) < 10", {"type": "python", "value": "len(output) < 10"}),
        ("file://check.py:f", {"type": "python", "value": "file://check.py:f"}),
        ("Note: this is text", {"type": "equals", "value": "Note: this is text"}),
    ],
)
def test_the_short_form_of_csv_files_is_read(text: str, assertion: dict[str, Any]) -> None:
    assert assertion_from_text(text) == assertion


def test_an_exported_evaluation_gives_rows_with_outputs_and_promptfoos_own_verdicts() -> None:
    source = {
        "evalId": "eval-1",
        "config": {
            "prompts": ["Capital of {{c}}?"],
            "providers": ["openai:gpt-5"],
            "tests": [{"vars": {"c": "France"}}],
        },
        "results": {
            "version": 3,
            "results": [
                {
                    "vars": {"c": country},
                    "prompt": {"raw": f"Capital of {country}?", "label": "p"},
                    "testCase": {"vars": {"c": country}, "assert": [{"type": "icontains", "value": city}]},
                    "response": {"output": output},
                    "success": success,
                    "score": float(success),
                }
                for country, city, output, success in [
                    ("France", "Paris", "It is Paris.", True),
                    ("Peru", "Lima", "Cusco", False),
                ]
            ],
        },
    }
    converted = from_config(source, HERE)
    assert list(converted.rows) == ["outputs"]
    for row in converted.rows["outputs"]:
        grade = converted.graders["score"](row["sample"], row["item"])
        assert grade.score == row["item"]["promptfoo"]["score"]
    assert converted.rows["outputs"][0]["item"]["messages"] == [{"role": "user", "content": "Capital of France?"}]


def test_a_result_without_an_output_is_listed_and_stored_tool_calls_are_tool_calls() -> None:
    calls = [{"id": "c", "type": "function", "function": {"name": "search", "arguments": "{}"}}]
    test = {"vars": {}, "assert": [{"type": "tool-call-f1", "value": ["search"]}]}
    results = [
        {"testCase": test, "response": {"output": calls}, "success": True, "score": 1},
        {"testCase": test, "response": {"error": "503"}, "error": "503", "success": False, "score": 0},
    ]
    converted = from_config({"config": {"prompts": ["x"]}, "results": {"results": results}}, HERE)
    (row,) = converted.rows["outputs"]
    assert converted.graders["pass"](row["sample"], row["item"]).score == 1.0
    assert str(converted.not_carried[0]) == "results.1: a result: no output was stored with its test ('503')"


# Templates


@pytest.mark.parametrize(
    ("text", "template", "value"),
    [
        ("plain", "plain", "plain"),
        ("{{a}}", "{{item.a}}", "1"),
        ("{{ a }} and {{- b.c -}}", "{{item.a}} and {{item.b.c}}", "1 and x"),
        ("{{b['c']}} {{ l[1] }}", "{{item.b.c}} {{item.l[1]}}", "x 3"),
        ("{{missing}}", "{{item.missing}}", ""),
        ("{{b.missing.deep}}", "{{item.b.missing.deep}}", ""),
        ("{{t}} {{n}}", "{{item.t}} {{item.n}}", "true "),
    ],
)
def test_variables_of_nunjucks_are_read(text: str, template: str, value: str) -> None:
    assert as_template(text) == template
    assert with_variables(text, {"a": 1.0, "b": {"c": "x"}, "l": [2, 3], "t": True, "n": None}) == value


def test_variables_may_name_each_other() -> None:
    converted = of({"type": "equals", "value": "x"}, vars={"first": "Ada", "whole": "{{first}} L"})
    assert converted.rows["items"][0]["whole"] == "Ada L"


# The command


def test_the_command_reads_yaml_and_writes_graders_rows_and_the_list(tmp_path: Path) -> None:
    (tmp_path / "promptfooconfig.yaml").write_text(
        "prompts: ['Say {{word}} on 2024-05-01']\n"
        "providers: [openai:gpt-5]\n"
        "tests:\n"
        "  - vars: {word: yes please, day: 2024-05-01}\n"
        "    assert: [{type: contains, value: '{{word}}'}, {type: latency, threshold: 10}]\n"
    )
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["convert", str(tmp_path / "promptfooconfig.yaml"), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == ["items.jsonl", "not-carried.json", "score.json"]
    row = json.loads((out / "items.jsonl").read_text())
    assert row["day"] == "2024-05-01"
    grader = load(out / "score.json")
    assert isinstance(grader, Grader)
    assert grader("yes please!", row).score == 1.0
    remarks = json.loads((out / "not-carried.json").read_text())
    assert [remark["place"] for remark in remarks["not_carried"]] == ["providers", "tests.0.assert.1"]
    assert "not carried: tests.0.assert.1: latency: how long the model took is no part of a sample" in done.output


@pytest.mark.parametrize(
    "config",
    [
        "tests: 5", "tests: [5]", "tests: {}", "prompts: 5", "defaultTest: 5", "defaultTest: file://x.yaml",
        "scenarios: 5", "tests: [{assert: 5}]", "tests: [{vars: 5, assert: [5]}]", "providers: x",
    ],
)  # fmt: skip
def test_a_config_out_of_shape_is_refused_in_words(tmp_path: Path, config: str) -> None:
    source = tmp_path / "c.yaml"
    source.write_text(config)
    with pytest.raises(ValueError, match=r"c\.yaml: no test has an assertion that can be carried"):
        convert(source)


def test_every_assertion_that_is_carried_has_an_example_here() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    assert [
        kind for kind in {*BINARY, *SCORED} - {"similar:cosine", "model-graded-factuality"} if f'"{kind}"' not in text
    ] == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(allow_nan=False) | st.sampled_from(
        ["", "x", "{{a}}", "{{a|b}}", "{% if %}", "a,b", "file://x.yaml", "\ud800", "0.5", "equals", "]", "}}"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "value", "vars", "assert", "threshold", "weight", "metric", "provider", "id", "raw",
                         "options", "tests", "config", "testCase", "response", "output", "rubricPrompt", "a"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip
ASSERTION = st.fixed_dictionaries(
    {
        "type": st.sampled_from(sorted(TYPES)).flatmap(lambda kind: st.sampled_from([kind, f"not-{kind}"])),
        "value": JSON,
    },
    optional=dict.fromkeys(("threshold", "weight", "metric", "provider", "rubricPrompt", "assert", "transform"), JSON),
)
TEST = st.fixed_dictionaries({"vars": JSON, "assert": st.lists(ASSERTION | JSON, max_size=3)})


def test_default_assertions_that_are_no_list_are_told_of() -> None:
    with pytest.raises(ValueError, match=r"defaultTest\.assert\.0: True: an assertion is an object with a 'type'"):
        from_config({"tests": [{"vars": {"a": "x"}}], "defaultTest": {"assert": True}}, HERE)


@settings(deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning")  # a reference too short for its metric; convert() keeps it
@given(
    st.fixed_dictionaries(
        {"tests": st.lists(TEST, max_size=3)},
        optional=dict.fromkeys(("prompts", "defaultTest", "scenarios", "results", "config", "derivedMetrics"), JSON),
    )
)  # fmt: skip
def test_whatever_a_config_holds_it_is_converted_or_refused_in_words(config: dict[str, Any]) -> None:
    try:
        converted = from_config(config, HERE)
    except ValueError:
        return
    for name, text in converted.files().items():
        text.encode()
        if name.endswith(".json"):
            json.loads(text)
    for name in converted.graders:
        assert load(json.loads(converted.files()[f"{name}.json"])) == converted.graders[name]
