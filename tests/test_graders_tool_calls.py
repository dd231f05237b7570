from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grader, load

ROME = {"name": "weather", "arguments": {"city": "Rome", "days": 2}}
OSLO = {"name": "weather", "arguments": {"city": "Oslo", "days": 2}}
CLOCK = {"name": "clock", "arguments": {}}
FUZZY = {
    "type": "text_similarity",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference}}",
    "evaluation_metric": "fuzzy_match",
}


def calls(**options: Any) -> Grader:
    return load({"type": "tool_calls", "reference": "{{item.calls}}", **options})


def wire(call: Any) -> Any:
    """A call in the shape of chat completions; anything else as it is."""
    if not (isinstance(call, dict) and set(call) == {"name", "arguments"}):
        return call
    text = call["arguments"] if isinstance(call["arguments"], str) else json.dumps(call["arguments"])
    return {"id": "call_1", "type": "function", "function": {"name": call["name"], "arguments": text}}


def score(wanted: Any, made: list[Any], **options: Any) -> float:
    grade = calls(**options)({"output_tools": [wire(call) for call in made]}, {"calls": wanted})
    assert grade.score is not None, grade.why
    return grade.score


@pytest.mark.parametrize(
    ("wanted", "made", "options", "expected"),
    [
        ([], [], {}, 1),
        ([], [CLOCK], {}, 0),
        ([], [CLOCK], {"extra_calls": "ignore"}, 0),
        ([CLOCK], [], {}, 0),
        ([CLOCK], [CLOCK], {}, 1),
        (CLOCK, [CLOCK], {}, 1),
        ([ROME], [OSLO], {}, 0.75),  # the name, and one of two arguments
        ([ROME], [{**ROME, "arguments": {}}], {}, 0.5),
        ([ROME], [{**ROME, "arguments": {"city": "Rome", "days": 2, "x": 1}}], {}, 0.5 + 0.5 * 2 / 3),
        ([ROME], [{**ROME, "arguments": {"city": "Rome", "days": 2, "x": 1}}], {"extra_arguments": "ignore"}, 1),
        ([ROME], [{**ROME, "arguments": {"city": "Rome", "days": True}}], {}, 0.75),
        ([ROME], [{**ROME, "name": "wether"}], {}, 0),  # right arguments of a wrong tool are worth nothing
        ([ROME], [{**ROME, "name": "Weather"}], {}, 0),
        ([ROME], [{**ROME, "arguments": "{bad"}], {}, 0),
        ([ROME, CLOCK], [{**ROME, "arguments": "{bad"}, CLOCK], {}, 0.5),  # only that call
        ([ROME], [{**ROME, "arguments": '{"city": "Rome", "city": "Oslo", "days": 2}'}], {}, 0),
        ([ROME], [{**ROME, "arguments": "[1]"}], {}, 0),
        ([CLOCK], [{**CLOCK, "arguments": ""}], {}, 1),
        ([CLOCK], [{"function": {"name": "clock", "arguments": None}}], {}, 1),
        ([ROME], [ROME, ROME], {}, 0.5),  # a second one is one too many
        ([ROME], [ROME, CLOCK, CLOCK, OSLO], {}, 0.25),
        ([ROME], [ROME, CLOCK, CLOCK, OSLO], {"extra_calls": "ignore"}, 1),
        ([ROME, ROME], [ROME], {}, 0.5),
        ([ROME, OSLO], [OSLO, ROME], {}, 1),
        ([ROME, OSLO], [OSLO, ROME], {"calls": "ordered"}, 0.75),
        ([ROME, CLOCK], [CLOCK, ROME], {"calls": "ordered"}, 0.5),
        ([ROME, CLOCK, OSLO], [ROME, OSLO, CLOCK], {"calls": "ordered"}, 2 / 3),
        ([ROME, OSLO], [CLOCK, ROME, OSLO], {"calls": "ordered"}, 2 / 3),  # one too many does not shift the rest
        ([ROME], [OSLO], {"name_share": 1}, 1),
        ([ROME], [OSLO], {"name_share": 0}, 0.5),
        ([ROME], [OSLO], {"name_share": 0.2}, 0.2 + 0.8 / 2),
        ([ROME], [OSLO], {"fields": {"weather.city": {"weight": 3}}}, 0.5 + 0.5 / 4),
        ([ROME], [OSLO], {"fields": {"weather.city": {"grader": FUZZY}}}, None),
    ],
)
def test_names_and_arguments_are_worth_their_shares(
    wanted: Any, made: list[Any], options: dict[str, Any], expected: float | None
) -> None:
    worth = score(wanted, made, **options)
    if expected is None:
        assert 0.75 < worth < 1
    else:
        assert worth == pytest.approx(expected)


@pytest.mark.parametrize(
    "sample",
    [
        {"output_tools": [wire(CLOCK)]},
        {"output_tools": [CLOCK]},
        {"output_tools": [{"type": "function_call", "call_id": "c", **CLOCK, "arguments": "{}"}]},
        {"choices": [{"index": 0, "message": {"role": "assistant", "tool_calls": [wire(CLOCK)]}}]},
    ],
)
def test_calls_are_read_in_every_shape_that_outputs_have(sample: dict[str, Any]) -> None:
    for wanted in (CLOCK, wire(CLOCK), {**CLOCK, "arguments": "{}"}, json.dumps([CLOCK])):
        assert calls()(sample, {"calls": [wanted] if isinstance(wanted, dict) else wanted}).score == 1


def test_a_custom_tools_input_is_its_argument() -> None:
    made = {"type": "custom", "custom": {"name": "shell", "input": "ls"}}
    assert score([{"name": "shell", "arguments": {"input": "ls"}}], [made]) == 1


def test_what_stands_between_the_calls_of_a_response_is_no_call() -> None:
    between = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "message", "content": [{"type": "output_text", "text": "I call the clock."}]},
        {"type": "function_call_output", "call_id": "c", "output": "12:00"},
    ]
    made = {"type": "function_call", "call_id": "c", "name": "clock", "arguments": "{}"}
    assert score([CLOCK], [*between, made]) == 1
    assert score([], between) == 1
    assert score([*between, made], [wire(CLOCK)]) == 1
    assert score([], [*between, {"type": "web_search_call", "id": "ws_1"}]) == 0  # a call, though not of a function


@pytest.mark.parametrize("key", ["parameters", "input", "args"])
def test_arguments_under_another_name_are_not_taken_for_none(key: str) -> None:
    grade = calls()({"output_tools": [{"name": "clock", key: {"zone": "UTC"}}]}, {"calls": [CLOCK]})
    assert grade.score == 0
    assert f"clock has '{key}' where 'arguments' is expected" in grade.why


def test_the_input_of_a_custom_tool_call_of_a_response_is_its_argument() -> None:
    made = {"type": "custom_tool_call", "call_id": "c", "name": "shell", "input": "ls"}
    assert score([{"name": "shell", "arguments": {"input": "ls"}}], [made]) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("No tool is needed: 4.", 1),
        ("", 1),
        ("[]", 1),
        (json.dumps(ROME), 0),
        (f"I call {json.dumps(ROME)}", 0),
        ('[{"name": "weather", "arguments": {', 0),
        ("{broken", 0),
    ],
)
def test_prose_is_right_where_calls_are_read_from_the_text_and_none_is_expected(text: str, expected: float) -> None:
    grader = calls(input="{{sample.output_text}}")
    assert grader(text, {"calls": []}).score == expected
    assert grader(text, {"calls": [CLOCK]}).score == 0


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("weather.ctiy", ["fields['weather.ctiy']: the reference has no 'ctiy' in 'weather'; did you mean 'city'?"]),
        ("wether.city", ["fields['wether.city']: the reference has no call of 'wether'; did you mean 'weather'?"]),
        ("weather.city", []),
        ("mail.to", []),  # a tool that other rows call
    ],
)
def test_fields_that_a_rows_calls_lack_are_cautioned_of(path: str, told: list[str]) -> None:
    grader = calls(fields={path: {"weight": 2}})
    assert grader.cautions({"calls": [CLOCK, ROME]}) == told  # type: ignore[attr-defined]


def test_calls_may_stand_in_the_text() -> None:
    grader = calls(input="{{sample.output_text}}", extract={"rule": "tag", "name": "tool_call"})
    assert grader(f"<tool_call>{json.dumps(ROME)}</tool_call>", {"calls": [ROME]}).score == 1
    grade = grader("<tool_call>weather(Rome)</tool_call>", {"calls": [ROME]})
    assert (grade.score, grade.error and grade.error.kind) == (0, "sample_parse_error")


def test_an_output_that_only_writes_of_calling_called_nothing() -> None:
    grade = calls()(json.dumps(ROME), {"calls": [ROME]})
    assert grade.score == 0
    assert grade.why == (
        "0 of 1 calls right: weather({'city': 'Rome', 'days': 2}) was not called; "
        "0.5*names + 0.5*arguments = 0.5*0 + 0.5*0 = 0"
    )


def test_why_says_what_was_wrong_with_each_call_and_the_parts_bear_both_shares() -> None:
    made = [OSLO, {"name": "mail", "arguments": "{}"}, {"name": "clock", "arguments": "now"}]
    grade = calls()({"output_tools": [wire(call) for call in made]}, {"calls": [ROME, CLOCK]})
    assert grade.why == (
        "0 of 2 calls right: weather.city is 'Oslo', not 'Rome'; clock({}) was not called; mail({}) is one call too "
        "many; the arguments of clock are not JSON (Expecting value: line 1 column 1 (char 0)): 'now'; "
        "0.5*names + 0.5*arguments = 0.5*0.3333 + 0.5*0.1667 = 0.25"
    )
    assert grade.formula == "0.5*names + 0.5*arguments = 0.5*0.3333 + 0.5*0.1667 = 0.25"
    assert {name: part.score for name, part in grade.parts.items()} == pytest.approx(
        {"names": 1 / 3, "arguments": 1 / 6}
    )
    assert grade.extracted == [OSLO, {"name": "mail", "arguments": {}}, {"name": "clock", "arguments": "'now'"}]


def test_a_grader_of_an_argument_judges_the_pairs_that_are_matched() -> None:
    grader = calls(fields={"weather.city": {"grader": FUZZY, "weight": 2}})
    made = [{"name": "weather", "arguments": {"city": "oslo", "days": 2}}, ROME]
    grade = grader({"output_tools": [wire(call) for call in made]}, {"calls": [ROME, OSLO]})
    assert grade.score == 1
    assert grade.parts["weather[0].city"].score == 1
    assert set(grader.members) == {"weather.city"}  # type: ignore[attr-defined]


# Errors


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"calls": "weather"}, "it is not JSON"),
        ({"calls": 3}, "reference 3: a list of tool calls is expected"),
        ({"calls": ["weather"]}, "call 1: it has no name: 'weather'"),
        ({"calls": [CLOCK, {"name": ""}]}, "call 2: it has no name"),
        ({"calls": [{"name": "clock", "arguments": "{"}]}, "call 1: the arguments of clock are not JSON"),
        ({"calls": [{"name": "clock", "arguments": [1]}]}, "call 1: the arguments of clock are no object: [1]"),
        (
            {"calls": [{"name": "clock", "parameters": {"zone": "UTC"}}]},
            "call 1: clock has 'parameters' where 'arguments' is expected",
        ),
    ],
)
def test_a_broken_reference_is_undecided_whatever_was_called(item: Any, reason: str) -> None:
    for tools in ([], [wire(CLOCK)], ["nonsense"]):
        grade = calls()({"output_tools": tools}, item)
        assert grade.score is None
        assert grade.error is not None
        assert (grade.error.kind, grade.error.fault) == ("invalid_reference", "grader")
        assert reason in grade.why


@pytest.mark.parametrize(("item", "reason"), [({}, "item has no 'calls'"), ({"calls": None}, "item.calls is null")])
def test_a_reference_that_is_missing_or_null_is_an_invalid_variable(item: Any, reason: str) -> None:
    for tools in ([], [wire(CLOCK)], ["nonsense"]):
        grade = calls()({"output_tools": tools}, item)
        assert grade.score is None
        assert grade.error is not None
        assert (grade.error.kind, grade.error.fault) == ("invalid_variable_error", "grader")
        assert reason in grade.why


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name_share": 2}, "less than or equal to 1 (given: 2)"),
        ({"name_share": 1, "fields": {"weather.city": {"weight": 2}}}, "fields has no effect with name_share 1"),
        ({"name_share": 1, "lists": "unordered"}, "lists has no effect with name_share 1"),
        ({"name_share": 1, "extra_arguments": "ignore"}, "extra_arguments has no effect with name_share 1"),
        ({"fields": {"weather": {"weight": 2}}}, "'weather' is a tool, not an argument; write 'weather.argument'"),
        ({"fields": {"weather.city": {}}}, "it changes nothing"),
        ({"extract": "boxed"}, "extract finds the calls in the text, and input reads them from output_tools"),
        ({"order": "any"}, "unknown key 'order'"),
    ],
)
def test_nonsense_is_refused_with_value_reason_and_remedy(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'tool_calls': ") as caught:
        calls(**options)
    assert message in str(caught.value)


def test_a_definition_is_written_and_read_back() -> None:
    grader = calls(calls="ordered", name_share=0.3, fields={"weather.city": {"grader": FUZZY}})
    assert load(json.loads(json.dumps(grader.to_wire()))) == grader


# Properties

arguments = st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, True, "x", None, [1, 2]]), max_size=2)
some_call = st.builds(lambda name, given: {"name": name, "arguments": given}, st.sampled_from("fgh"), arguments)
some_calls = st.lists(some_call, max_size=4)
options = st.fixed_dictionaries(
    {"calls": st.sampled_from(["ordered", "unordered"]), "name_share": st.sampled_from([0.0, 0.3, 0.5])}
)


@given(some_calls, options)
def test_the_reference_itself_scores_one(wanted: list[Any], chosen: dict[str, Any]) -> None:
    assert score(wanted, wanted, **chosen) == 1


@given(some_calls, some_calls, options)
def test_the_matching_is_the_best_of_all(wanted: list[Any], made: list[Any], chosen: dict[str, Any]) -> None:
    def pair(want: Any, call: Any) -> float:
        return score([want], [call], **chosen)

    table = [[pair(want, call) for call in made] for want in wanted]
    best = 0.0
    for size in range(1, min(len(wanted), len(made)) + 1):
        for rows in itertools.combinations(range(len(wanted)), size):
            for columns in itertools.permutations(range(len(made)), size):
                if chosen["calls"] == "unordered" or list(columns) == sorted(columns):
                    best = max(best, sum(table[row][column] for row, column in zip(rows, columns, strict=True)))
    expected = best / max(len(wanted), len(made)) if wanted else float(not made)
    assert score(wanted, made, **chosen) == pytest.approx(expected)


@given(some_calls, some_calls, some_call, options)
def test_a_call_more_than_expected_never_pays(
    wanted: list[Any], made: list[Any], more: Any, chosen: dict[str, Any]
) -> None:
    assert score(wanted, [*wanted, more], **chosen) < 1.0
    stuffed = [*wanted, *made]
    assert score(wanted, stuffed, **chosen) == pytest.approx(len(wanted) / len(stuffed) if wanted else float(not made))


@given(some_calls, some_calls, st.randoms())
def test_unordered_calls_do_not_mind_the_order(wanted: list[Any], made: list[Any], rng: Any) -> None:
    shuffled = rng.sample(made, len(made))
    assert score(wanted, shuffled) == pytest.approx(score(wanted, made))
    assert score(wanted, made) >= score(wanted, made, calls="ordered") - 1e-12


# Hostile outputs

DEEP: Any = {}
for _ in range(10_000):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    "tools",
    [
        [wire(CLOCK)] * 3_000,
        [wire({"name": f"f{number}", "arguments": {}}) for number in range(3_000)],
        [wire({"name": "weather", "arguments": '{"a":' * 10_000})],
        [wire({"name": "weather", "arguments": '{"a":' * 500 + "1" + "}" * 500})],
        [wire({"name": "weather", "arguments": '{"days": NaN}'})],
        [wire({"name": "weather", "arguments": '{"days": 1e999}'})],
        [wire({"name": "weather", "arguments": '{"days": ' + "9" * 10_000 + "}"})],
        [{"name": "weather", "arguments": DEEP}],
        [wire({"name": "weather\u200b", "arguments": '{"city": "Rome", "days": 2}'})],
        [wire({"name": "\ud800", "arguments": '{"city": "\\ud800"}'})],
        [None, 3, "weather", [], {}, {"function": None}, {"function": {"name": 3}}, {"function": {"name": "weather"}}],
        [{"function": {"name": "weather", "arguments": {1, 2}}}],
        [DEEP],
    ],
)
@pytest.mark.parametrize("order", ["ordered", "unordered"])
def test_hostile_calls_earn_little_soon_and_are_recordable(tools: list[Any], order: str) -> None:
    grade = calls(calls=order)({"output_tools": tools}, {"calls": [ROME, OSLO]})
    assert grade.score is not None, grade.why
    assert grade.score <= 0.25
    assert json.loads(json.dumps(grade.to_wire()))["status"] == "scored"
    assert len(grade.why) < 2500


def test_more_calls_than_can_be_matched_are_the_candidates_fault() -> None:
    wanted = [{"name": "f", "arguments": {"a": number}} for number in range(20)]
    made = [wire({"name": "f", "arguments": {"a": -number}}) for number in range(5_000)]
    for order in ("ordered", "unordered"):
        grade = calls(calls=order)({"output_tools": made}, {"calls": wanted})
        assert grade.score == 0
        assert grade.error is not None
        assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")


@pytest.mark.parametrize("order", ["ordered", "unordered"])
def test_calls_with_less_in_them_than_the_reference_are_never_the_references_fault(order: str) -> None:
    wanted = [{"name": "t", "arguments": {f"a{field}": number for field in range(9)}} for number in range(150)]
    made = [{"name": "t", "arguments": {}}] * 300
    grade = calls(calls=order)({"output_tools": made}, {"calls": wanted})
    assert grade.score == 0
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")
    assert calls(calls=order)({"output_tools": wanted}, {"calls": wanted}).score == 1
    much = [*wanted, *wanted]
    undecided = calls(calls=order)({"output_tools": much}, {"calls": much})
    assert undecided.score is None
    assert undecided.error is not None
    assert undecided.error.kind == "invalid_reference"
