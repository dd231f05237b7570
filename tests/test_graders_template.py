from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import GradingError, Sample
from graders.template import parse, render, resolve

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
