from __future__ import annotations

import asyncio
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from graders import Grade, Grader, GradingError, Item, Sample, as_grader, load
from graders.algebra.multi import Multi

EXACT: dict[str, Any] = {
    "type": "string_check",
    "input": "{{sample.output_text}}",
    "reference": "{{item.gene}}",
    "operation": "eq",
}
RANK: dict[str, Any] = {
    "type": "rank",
    "reference": "{{item.gene}}",
    "credit": {"rule": "table", "credits": [1, 0.7]},
}
ITEM = {"gene": "FBN1"}


def multi(formula: str = "0.8*rank + 0.2*same", **graders: Any) -> Grader:
    return load({"type": "multi", "graders": graders or {"rank": RANK, "same": EXACT}, "calculate_output": formula})


class Waits(Grader):
    """Answers once as many graders as the item's barrier counts are under way."""

    type: str = "waits"

    async def grade_async(self, sample: Sample, item: Item) -> Grade:
        async with asyncio.timeout(20):
            await item["barrier"].wait()
        return Grade(0.5, "waited", usage={"judge": {"prompt_tokens": 10}})


class Fails(Grader):
    type: str = "fails"

    def grade(self, sample: Sample, item: Item) -> Grade:
        raise GradingError("overloaded", "the judge is busy", "infra")


def test_a_grade_shows_the_arithmetic_and_keeps_its_parts() -> None:
    grade = multi()("TGFBR2, FBN1", ITEM)
    assert grade.score == pytest.approx(0.56)
    assert grade.formula == "0.8*rank + 0.2*same = 0.8*0.7 + 0.2*0 = 0.56"
    assert grade.why.startswith(grade.formula + " (rank: 'FBN1' is number 2 of 2: credit 0.7; same: ")
    assert [(key, part.score) for key, part in grade.parts.items()] == [("rank", 0.7), ("same", 0.0)]
    assert all(part.grader.startswith(f"{key}@") for key, part in grade.parts.items())


def test_the_result_is_not_clamped() -> None:
    assert multi("10*same - 30", same=EXACT)("FBN1", ITEM).score == -20.0


@pytest.mark.parametrize("formula", ["ok + broken", "ok"])
def test_an_undecided_part_leaves_the_whole_undecided_whether_used_or_not(formula: str) -> None:
    grade = multi(formula, ok=EXACT, broken=Fails())("FBN1", ITEM)
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("overloaded", "infra")
    assert grade.why == "part 'broken' could not decide: the judge is busy"
    assert grade.parts["ok"].score == 1.0


JSON_RANK: dict[str, Any] = {**RANK, "read": "json"}


def unreadable(sample: Sample, item: Item) -> float:
    raise GradingError("sample_parse_error", "no number", "candidate")


@pytest.mark.parametrize(
    ("formula", "score"),
    [
        ("0.8*rank + 0.2*same", 0.2),  # the part counts as its lowest score; the rest keeps its credit
        ("rank * same", 0.0),
        ("max(rank, same)", 1.0),
        ("1 - rank", 0.0),  # spoiling the part must not pay
        ("same - rank", 0.0),
        ("1 - 0.5*rank", 0.5),
        ("1 / max(rank, 0.1)", 1.0),
        ("same", 1.0),
    ],
)
def test_a_candidates_fault_in_a_part_never_raises_the_whole_and_is_borne_by_it(formula: str, score: float) -> None:
    grade = multi(formula, rank=JSON_RANK, same=EXACT)("FBN1", ITEM)
    assert grade.score == score
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")
    assert grade.error.detail.startswith("part 'rank': ")
    assert grade.parts["rank"].score == 0.0


def test_why_says_where_a_spoiled_part_counts_as_its_highest_score() -> None:
    grade = multi("1 - rank", rank=JSON_RANK)("FBN1", ITEM)
    assert grade.formula == "1 - rank = 1 - 1 = 0"
    assert grade.why.endswith(", so it counts as 1, the worse for the whole)")


@pytest.mark.parametrize("formula", ["1 - inner", "1 - tox - a"])
def test_spoiled_parts_without_limits_or_several_of_them_do_not_pay_either(formula: str) -> None:
    inner = {"type": "multi", "graders": {"rank": JSON_RANK}, "calculate_output": "rank"}
    grade = multi(formula, inner=inner, tox=as_grader(unreadable), a=JSON_RANK)("FBN1", ITEM)
    assert grade.score is not None
    assert grade.score <= 0.0


@pytest.mark.parametrize("formula", ["1/same", "log(same)", "(same - 1)^0.5", "exp(1000 - 1000*same)"])
def test_arithmetic_without_a_value_is_undecided_and_keeps_the_parts(formula: str) -> None:
    grade = multi(formula, same=EXACT)("wrong", ITEM)
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("formula_parse_error", "grader")
    assert "at character" in grade.why
    assert grade.parts["same"].score == 0.0


def test_parts_that_wait_do_so_together() -> None:
    grader = multi("a + b + c", a=Waits(), b=Waits(), c=EXACT)
    assert grader.waits
    grade = grader("FBN1", {**ITEM, "barrier": asyncio.Barrier(2)})  # one after the other would wait for ever
    assert grade.score == 2.0, grade.why
    assert grade.usage == {"judge": {"prompt_tokens": 20}}


# Parts that may be undecided


def test_a_number_stands_in_for_an_optional_part_that_could_not_decide_and_why_says_so() -> None:
    grader = Multi(
        graders={"ok": load(EXACT), "broken": Fails()},
        calculate_output="0.5*ok + 0.5*broken",
        optional={"broken": 0.25},
    )
    grade = grader("FBN1", ITEM)
    assert grade.score == 0.625
    assert grade.error is None
    assert grade.parts["broken"].score is None
    assert grade.parts["broken"].error is not None
    assert grade.formula == "0.5*ok + 0.5*broken = 0.5*1 + 0.5*0.25 = 0.625"
    assert "broken: could not decide (the judge is busy), so 0.25 stands in for it" in grade.why


def test_a_part_that_is_not_optional_leaves_the_whole_undecided_beside_one_that_is() -> None:
    parts = {"a": Fails(), "b": Fails()}
    grade = Multi(graders=parts, calculate_output="a + b", optional={"a": 0})("FBN1", ITEM)
    assert grade.score is None
    assert grade.why == "part 'b' could not decide: the judge is busy"
    assert list(grade.parts) == ["a", "b"]


def test_a_number_that_stands_in_is_part_of_the_range_and_of_the_definition() -> None:
    wire = {"type": "multi", "graders": {"same": EXACT}, "calculate_output": "same", "optional": {"same": -1}}
    grader = load(wire)
    assert grader.range == (-1.0, 1.0)
    assert load(grader.to_wire()) == grader
    assert grader.identity != load({**wire, "optional": {"same": 0}}).identity


# The range


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("0.8*rank + 0.2*same", (0.0, 1.0)),
        ("10*same - 30", (-30.0, -20.0)),
        ("1 - rank", (0.0, 1.0)),
        ("rank / same", (0.0, math.inf)),
        ("if(same == 1, 1, 0.5*rank)", (0.0, 1.0)),
        ("mine", (-math.inf, math.inf)),
        ("clip(mine, 0, 1)", (0.0, 1.0)),
    ],
)
def test_the_range_follows_from_the_formula_and_the_parts(formula: str, expected: tuple[float, float]) -> None:
    graders = {"rank": RANK, "same": EXACT, "mine": as_grader(unreadable)}
    assert multi(formula, **graders).range == expected


def test_an_output_that_extract_cannot_read_gets_the_lowest_score_of_the_range() -> None:
    wire = {"type": "multi", "graders": {"same": EXACT}, "calculate_output": "2*same - 1", "extract": "final_line"}
    assert load(wire)("", ITEM).score == -1.0


def test_a_branch_that_is_not_taken_may_divide_by_zero() -> None:
    grade = multi("if(same == 0, 0, rank / same)", rank=RANK, same=EXACT)("TGFBR2", ITEM)
    assert grade.score == 0.0
    assert grade.formula == "if(same == 0, 0, rank / same) = if(0 == 0, 0, 0 / 0) = 0"


@pytest.mark.parametrize("key", ["if", "clip", "mean"])
def test_a_part_may_bear_the_name_of_a_function_that_is_ours_alone(key: str) -> None:
    assert multi(f"2 * {key}", **{key: EXACT})("FBN1", ITEM).score == 2.0


def test_a_multi_is_a_part_like_any_other() -> None:
    inner = {"type": "multi", "graders": {"same": EXACT}, "calculate_output": "2*same"}
    grade = multi("inner + 1", inner=inner)("FBN1", ITEM)
    assert grade.score == 3.0
    assert grade.parts["inner"].parts["same"].score == 1.0


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"same": EXACT}, "same"),
        ([{**EXACT, "name": "same"}], "same"),
        ({**EXACT, "name": "same"}, "same"),
        (EXACT, "string_check"),
    ],
)
def test_a_list_or_a_single_grader_is_keyed_by_name_and_written_back_as_an_object(given: Any, key: str) -> None:
    wire = load({"type": "multi", "graders": given, "calculate_output": key}).to_wire()
    assert list(wire["graders"]) == [key]
    assert wire["graders"][key]["type"] == "string_check"


def test_a_definition_survives_being_written_and_read() -> None:
    inner = {"type": "multi", "graders": {"same": EXACT}, "calculate_output": "2*same"}
    grader = multi("rank + inner", rank=RANK, inner=inner)
    again = load(json.loads(json.dumps(grader.to_wire())))
    assert again == grader
    assert again.identity == grader.identity


def test_the_identity_covers_the_parts_and_their_code(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def half(sample, item):\n    return 0.5\n")
    definition = {"type": "multi", "graders": {"mine": f"{file}:half"}, "calculate_output": "mine"}
    before = load(definition).identity
    assert load(definition).identity == before
    file.write_text("def half(sample, item):\n    return 0.6\n")
    assert load(definition).identity != before
    assert multi().identity != multi(rank=RANK, same={**EXACT, "operation": "ne"}).identity


def test_a_function_in_a_file_can_be_a_part_and_is_written_back(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def half(sample, item):\n    return 0.5\n")
    grader = multi("mine + 1", mine=f"{file}:half")
    assert grader("x").score == 1.5
    assert load(grader.to_wire())("x").score == 1.5


@pytest.mark.parametrize(
    ("graders", "formula", "message"),
    [
        (
            {"rank": {**RANK, "inputt": "x"}},
            "rank",
            "graders.rank: unknown key 'inputt'; did you mean 'input'?",
        ),
        (
            {"rank": {**RANK, "type": "rnk"}},
            "rank",
            "graders.rank: no grader type 'rnk'; did you mean 'rank'?",
        ),
        (
            {"rank": RANK},
            "rnk",
            "calculate_output 'rnk': unknown name 'rnk' at character 1; did you mean 'rank'?",
        ),
        ({"rank": RANK}, "rank +", "the formula ends at character 7"),
        ({"rank": 5}, "rank", "graders.rank: a grader is an object with a 'type', not 5"),
        ({"rank": {}}, "rank", "graders.rank: a grader needs a 'type'"),
        ({}, "1", "no graders; give at least one"),
        (5, "1", "an object from key to grader is expected, not 5"),
        ({"my-part": RANK}, "1", "'my-part' cannot be written in a formula"),
        ({"max": RANK}, "1", "'max' is a function of the formulas"),
        ([RANK, RANK], "1", "grader 1 of the list has no name"),
        ([{**RANK, "name": "a"}] * 2, "a", "two graders of the list are called 'a'"),
        ({"rank": RANK}, "1 / 0", "calculate_output '1 / 0': / divides by zero, whatever the scores, at character 3"),
        ({"rank": "nowhere.json"}, "rank", "graders.rank: no grader file 'nowhere.json'"),
    ],
)
def test_a_bad_definition_is_refused_with_place_reason_and_remedy(graders: Any, formula: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'm': ") as caught:
        load({"type": "multi", "name": "m", "graders": graders, "calculate_output": formula})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("optional", "message"),
    [
        ({"rnk": 0}, "optional: no grader 'rnk'; did you mean 'rank'?"),
        ({"rank": True}, "optional.rank: Input should be a valid number"),
        ({"rank": "0"}, "optional.rank: Input should be a valid number"),
        ({"rank": float("inf")}, "optional.rank: Input should be a finite number"),
    ],
)
def test_a_bad_stand_in_is_refused(optional: Any, message: str) -> None:
    wire = {"type": "multi", "graders": {"rank": RANK}, "calculate_output": "rank", "optional": optional}
    with pytest.raises(ValueError, match=re.escape(message)):
        load(wire)


def test_a_grader_that_contains_itself_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "loop.json"
    file.write_text(json.dumps({"type": "multi", "graders": {"again": str(file)}, "calculate_output": "again"}))
    with pytest.raises(ValueError, match="contains itself"):
        load(file)


@pytest.mark.parametrize(
    "formula", ["x" * 300_000, "x" * 300_000 + "(1)", "1" * 300_000 + " same", "same " + "1" * 300_000]
)
def test_a_long_formula_is_not_echoed_whole_in_the_error(formula: str) -> None:
    with pytest.raises(ValueError, match="at character") as caught:
        multi(formula, same=EXACT)
    assert len(str(caught.value)) < 1_000


def test_a_grade_of_a_long_formula_or_of_many_parts_is_not_as_long() -> None:
    grade = multi("+".join(["same"] * 50_000), same=EXACT)("FBN1", ITEM)
    assert grade.score == 50_000.0
    assert grade.formula is not None
    assert grade.formula.endswith("... = 50000")
    assert len(grade.formula) < 11_000
    assert len(grade.why) < 22_000
    many = multi("k0", **{f"k{index}": EXACT for index in range(2000)})("FBN1", ITEM)
    assert len(many.why) < 22_000


@pytest.mark.parametrize("output", ["", "x" * 1_000_000, "\ud800", "[NaN]", "[" * 10_000, "\u202bFBN1"])
def test_hostile_outputs_are_decided(output: str) -> None:
    grade = multi()(output, ITEM)
    assert grade.score is not None
    json.dumps(grade.to_wire()).encode()


def test_python_objects_and_wire_data_make_the_same_grader() -> None:
    assert Multi(graders={"same": load({**EXACT, "name": "same"})}, calculate_output="same") == multi(
        "same", same=EXACT
    )
