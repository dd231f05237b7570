from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import GradingError, Sample, load
from graders.template import parse, render, resolve
from graders.variables import check_templates, missing_variables, templates_of, variables_of

ITEM: dict[str, Any] = {
    "gene": "FBN1",
    "n": 3,
    "ratio": 0.5,
    "ok": True,
    "others": ["TGFBR2", "ü"],
    "deep": {"a-b": [{"c": "x"}]},
    "nothing": None,
    "trap": "{{item.gene}}",
}
SAMPLE = Sample('{"genes": ["FBN1"], "score": null}', output_tools=({"function": {"name": "look_up"}},))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("no variables", "no variables"),
        ("{{item.gene}}", "FBN1"),
        ("{{  item.gene\n}}", "FBN1"),
        ("a {{item.gene}} b {{item.gene}}", "a FBN1 b FBN1"),
        ("{{item.others[0]}} {{item.others[-1]}}", "TGFBR2 ü"),
        ("{{item.deep.a-b[0].c}}", "x"),
        ("{{item.n}} {{item.ratio}} {{item.ok}}", "3 0.5 true"),
        ("{{item.others}}", '["TGFBR2","ü"]'),  # other values as compact JSON
        ("{{item.deep}}", '{"a-b":[{"c":"x"}]}'),
        ("{{sample.output_json.genes[0]}}", "FBN1"),
        ("{{sample.output_tools[0].function.name}}", "look_up"),
        ("{{item.trap}}", "{{item.gene}}"),  # one pass: what was put in is not rendered again
        ("{ {item.gene} }", "{ {item.gene} }"),
        ('{"a": {"b": 1}} {{item.n}}', '{"a": {"b": 1}} 3'),  # JSON closes two braces at once
        ('{"a": {"b": "{{item.gene}}"}}', '{"a": {"b": "FBN1"}}'),
    ],
)
def test_variables_are_replaced_by_their_values(template: str, text: str) -> None:
    assert render(template, SAMPLE, ITEM) == text


def test_a_template_of_one_variable_keeps_the_value_itself() -> None:
    assert resolve("{{item.others}}", SAMPLE, ITEM) == ["TGFBR2", "ü"]
    assert resolve("{{item.n}}", SAMPLE, ITEM) == 3
    assert resolve(" {{item.n}}", SAMPLE, ITEM) == " 3"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{gene}}", "'gene' is not a path"),
        ("{{}}", "'' is not a path"),
        ("{{item}}", "'item' is not a path"),
        ("{{item.gene | upper}}", "is not a path; write {{ item.key }} or {{ sample.output_text }}"),
        ("{{items.gene}}", "the namespace must be 'item' or 'sample', not 'items'"),
        ("{{sample.output_txt}}", "a sample has no 'output_txt'; did you mean 'output_text'?"),
    ],
)
def test_a_malformed_variable_is_refused_when_the_template_is_read(template: str, message: str) -> None:
    with pytest.raises(ValueError, match="template variable") as caught:
        parse(template)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{{item.gen}}",
            "{{ item.gen }} was found neither in the item nor in the sample: item has no 'gen'; did you",
        ),
        ("{{item.deep.b}}", "item.deep has no 'b'"),
        ("{{item.others[7]}}", "item.others is ['TGFBR2', 'ü'], which has no 7"),
        ("{{item.gene.x}}", "item.gene is 'FBN1', which has no 'x'"),
        ("{{item.gene[0]}}", "item.gene is 'FBN1', which has no 0"),  # a text is no list of letters
        ("{{item.nothing}}", "item.nothing is null"),
    ],
)
def test_what_the_item_lacks_is_not_the_candidates_fault(template: str, message: str) -> None:
    with pytest.raises(GradingError) as caught:
        render(template, SAMPLE, ITEM)
    assert (caught.value.error.kind, caught.value.error.fault) == ("invalid_variable_error", "grader")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("template", "output", "message"),
    [
        ("{{sample.output_json.gene}}", "no JSON", "the output is not valid JSON"),
        ("{{sample.output_json.gene}}", "[NaN]", "the output is not valid JSON"),
        ("{{sample.output_json.gene}}", "[" * 10_000, "the output is not valid JSON"),
        ("{{sample.output_json.gene}}", '{"genes": 1}', "nothing there; sample.output_json is {'genes': 1}"),
        ("{{sample.output_json.gene}}", '{"gene": null}', "nothing there"),
        ("{{sample.output_tools[0]}}", "", "nothing there; sample.output_tools is ()"),
    ],
)
def test_what_the_output_lacks_is_the_candidates_fault(template: str, output: str, message: str) -> None:
    with pytest.raises(GradingError) as caught:
        render(template, Sample(output), ITEM)
    assert (caught.value.error.kind, caught.value.error.fault) == ("sample_parse_error", "candidate")
    assert message in str(caught.value)


@pytest.mark.parametrize("template", ["{{sample.output_json}}", "{{sample.output_json.a}}"])
def test_an_output_nested_too_deeply_to_be_written_is_the_candidates_fault(template: str) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(GradingError) as caught:
        render(template, Sample(output_json=nested), ITEM)
    assert caught.value.error.fault == "candidate"


@pytest.mark.parametrize("template", ["{{item.gene}", "{{ item.gene", "a {{item.gene}} b {{item.n}"])
def test_a_variable_that_is_never_closed_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"never closes it; write \{\{ item.key \}\}"):
        parse(template)


@pytest.mark.parametrize("template", ["{item.gene}}", "item.gene }}", "{{item.gene}} or {item.n}}", "{{item.gene}}}}"])
def test_a_variable_that_is_never_opened_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"never opened; write \{\{ item.key \}\}, or '\} \}'"):
        parse(template)


@pytest.mark.parametrize(
    "template", ["{{sample.output_json.gene}} {{item.gen}}", "{{item.gen}} {{sample.output_json.gene}}"]
)
def test_what_the_item_lacks_is_reported_before_what_the_output_lacks(template: str) -> None:
    with pytest.raises(GradingError) as caught:
        render(template, Sample("no JSON"), ITEM)
    assert caught.value.error.fault == "grader"


@given(st.text().filter(lambda text: "{{" not in text and "}}" not in text))
def test_text_without_variables_is_its_own_rendering(text: str) -> None:
    assert render(text, Sample(), {}) == text


@given(st.text())
def test_strings_go_in_as_they_are(text: str) -> None:
    assert render("<{{item.x}}>", Sample(), {"x": text}) == f"<{text}>"


@given(st.recursive(st.integers() | st.booleans() | st.text(), st.lists))
def test_other_values_go_in_as_json_that_reads_back(value: Any) -> None:
    text = render("{{item.x}}", Sample(), {"x": value})
    assert (text if isinstance(value, str) else json.loads(text)) == value


# Paths and values

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which gene?"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"gene": "FBN1"}'}}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{item.messages[0].content}}", "Be brief."),
        ("{{item.messages[-1].role}}", "user"),
        ("{{sample.output_tools[0].function.name}}", "look_up"),
        ("{{sample.output_tools[0].function.arguments}}", '{"gene": "FBN1"}'),
        ("{{sample.choices[0].message.content}}", "The answer"),
        ("{{sample.choices[0].message.tool_calls[0].function.name}}", "look_up"),
        ("{{sample.choices[0].finish_reason}}", "tool_calls"),
        ("{{sample.output_text}}", "The answer"),
    ],
)
def test_paths_lead_into_the_prompt_the_calls_and_the_choices(template: str, text: str) -> None:
    assert render(template, Sample("The answer", output_tools=(CALL,)), {"messages": MESSAGES}) == text


def test_choices_that_were_stored_are_read_as_they_are() -> None:
    stored = Sample("x", choices=[{"index": 0, "message": {"content": "y"}, "finish_reason": "length"}])
    assert render("{{sample.choices[0].message.content}} {{sample.choices[0].finish_reason}}", stored, {}) == "y length"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1, "1"),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (0.1, "0.1"),
        (1e21, "1e+21"),
        (10**30, "1" + "0" * 30),
        (True, "true"),
        (False, "false"),
        ([], "[]"),
        ({}, "{}"),
        ([1, 1.0, True, None, "é\n"], '[1,1.0,true,null,"é\\n"]'),
        ({"b": {"a": 1}}, '{"b":{"a":1}}'),  # keys in their own order
        ("", ""),
        (" x ", " x "),
        ("\ud800", "\ud800"),
    ],
)
def test_every_value_but_a_string_goes_in_as_compact_json(value: Any, text: str) -> None:
    assert render("{{item.x}}", Sample(), {"x": value}) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"x": [float("nan")]}, {1, 2}, object()])
def test_a_value_that_is_no_json_is_undecided(value: Any) -> None:
    with pytest.raises(GradingError, match=r"\{\{ item.x \}\} is no JSON, so it cannot be put into a text") as caught:
        render("{{item.x}}", Sample(), {"x": value})
    assert (caught.value.error.kind, caught.value.error.fault) == ("other_error", "grader")


@pytest.mark.parametrize("part", ["output_audio", "output_reasoning_summary"])
def test_what_a_stored_sample_was_stored_without_is_not_the_candidates_fault(part: str) -> None:
    with pytest.raises(GradingError, match=f"the sample was stored without {part}") as caught:
        render(f"{{{{sample.{part}}}}}", Sample("x"), {})
    assert (caught.value.error.kind, caught.value.error.fault) == ("invalid_variable_error", "grader")


# Variables that are nowhere

EXACT = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.gene}}", "operation": "eq"}
JUDGE = {
    "type": "score_model",
    "model": "m",
    "input": [
        {"role": "system", "content": "Judge."},
        {"role": "user", "content": ["{{item.question}}", {"type": "input_text", "text": "{{item.notes[0].text}}"}]},
    ],
}
BOTH = {"type": "multi", "graders": {"exact": EXACT, "judge": JUDGE}, "calculate_output": "exact + judge"}


def test_the_templates_of_a_grader_are_found_in_its_parts_and_messages() -> None:
    assert {(place, template) for place, template, _ in templates_of(load(BOTH))} == {
        ("graders.exact.input", "{{sample.output_text}}"),
        ("graders.exact.reference", "{{item.gene}}"),
        ("graders.judge.input.1.content.0", "{{item.question}}"),
        ("graders.judge.input.1.content.1.text", "{{item.notes[0].text}}"),
    }
    assert [variable.text for _, variable in variables_of(load(EXACT))] == ["sample.output_text", "item.gene"]


def test_braces_that_are_code_are_no_templates() -> None:
    source = "def grade(sample, item):\n    return f'{{item.x}}' == '1'\n"
    assert list(templates_of(load({"type": "python", "source": source}))) == []


@pytest.mark.parametrize(
    ("items", "missing"),
    [
        ([{"gene": "a", "question": "b", "notes": [{"text": "c"}]}], []),
        ([{"gene": None, "question": "b", "notes": [{"text": "c"}]}], []),  # null in a row is that row's
        ([{"gene": "a", "question": "b", "notes": []}], ["item.notes[0].text"]),
        ([{"gen": "a"}, {"gene": "a", "question": "b", "notes": [{"text": "c"}]}], []),  # some rows have it
        ([{"gen": "a"}], ["item.gene", "item.question", "item.notes[0].text"]),
        ([], []),  # nothing at hand
    ],
)
def test_a_variable_that_no_item_has_is_found_before_grading(items: list[dict[str, Any]], missing: list[str]) -> None:
    assert [each.variable for each in missing_variables(load(BOTH), items)] == missing


def test_the_refusal_names_the_place_the_variable_and_the_nearest_key() -> None:
    items = [{"gen": "a", "question": "b", "notes": [{"text": "c"}]}]
    with pytest.raises(ValueError, match="is in no item") as caught:
        check_templates(load(BOTH), items)
    assert str(caught.value) == (
        "graders.exact.reference: {{ item.gene }} is in no item: item has no 'gene'; did you mean 'gen'? "
        "known: gen, notes, question"
    )
    check_templates(load(EXACT), [{"gene": "a"}])


TEXT = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "known"),
    [
        ({"type": "object", "properties": {"a": {"properties": {"b": TEXT}}}}, True),
        ({"properties": {"a": {"properties": {"c": TEXT}}}}, False),
        ({"properties": {"c": TEXT}}, False),
        ({"properties": {"c": TEXT}, "additionalProperties": True}, True),
        ({"properties": {"c": TEXT}, "additionalProperties": False}, False),
        ({"properties": {"c": TEXT}, "patternProperties": {"^a": {}}}, True),
        ({"type": "object"}, True),  # it says nothing about its keys
        ({}, True),
        ({"properties": {"a": {}}}, True),
        ({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"properties": {"b": TEXT}}}}, True),
        ({"properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"properties": {"c": TEXT}}}}, False),
        ({"properties": {"a": {"$ref": "https://example.com/a"}}}, True),
        ({"$ref": "#"}, True),  # leads to itself
        ({"properties": {"a": {"anyOf": [{"type": "null"}, {"properties": {"b": TEXT}}]}}}, True),
        ({"properties": {"a": {"anyOf": [{"properties": {"c": TEXT}}]}}}, False),
        ({"allOf": [{"properties": {"a": {"properties": {"b": TEXT}}}}, {"properties": {"c": TEXT}}]}, True),
        (True, True),
    ],
)
def test_a_variable_that_a_schema_does_not_name_is_found(schema: Any, known: bool) -> None:
    grader = load({**EXACT, "reference": "{{item.a.b}}"})
    assert (missing_variables(grader, schema=schema) == []) is known


def test_a_schema_of_lists_is_followed_and_either_source_is_enough() -> None:
    schema = {"properties": {"a": {"items": {"properties": {"b": TEXT}}}}}
    deep = load({**EXACT, "reference": "{{item.a[0].c}}"})
    assert missing_variables(deep, schema=schema)[0].hint == "the schema of item.a[0] has no 'c'; known: b"
    assert missing_variables(deep, items=[{"a": [{"c": "x"}]}], schema=schema) == []


def test_variables_of_the_sample_are_the_models_to_fill() -> None:
    assert missing_variables(load({**EXACT, "input": "{{sample.output_json.x.y}}"}), [{"gene": "a"}]) == []


@pytest.mark.parametrize("template", ["{{" * 100_000, "{{a " * 50_000, "{{" + " " * 200_000, "{{" + "}" * 100_000])
def test_a_malformed_template_is_refused_in_linear_time(template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        parse(template)
