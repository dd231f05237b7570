from __future__ import annotations

import asyncio
import json
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
    type: str = "waits"

    async def grade_async(self, sample: Sample, item: Item) -> Grade:
        await asyncio.sleep(0.05)
        return Grade(0.5, "waited", usage={"prompt_tokens": 10})


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


@pytest.mark.parametrize("formula", ["1/same", "log(same)", "(same - 1)^0.5", "exp(1000)"])
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
    grade = grader("FBN1", ITEM)
    assert grade.score == 2.0
    assert grade.seconds < 0.095  # one after the other would take 0.1
    assert grade.usage == {"prompt_tokens": 20}


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
        ({"rank": "nowhere.json"}, "rank", "graders.rank: no grader file 'nowhere.json'"),
    ],
)
def test_a_bad_definition_is_refused_with_place_reason_and_remedy(graders: Any, formula: str, message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'm': ") as caught:
        load({"type": "multi", "name": "m", "graders": graders, "calculate_output": formula})
    assert message in str(caught.value)


def test_a_grader_that_contains_itself_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "loop.json"
    file.write_text(json.dumps({"type": "multi", "graders": {"again": str(file)}, "calculate_output": "again"}))
    with pytest.raises(ValueError, match="contains itself"):
        load(file)


@pytest.mark.parametrize("output", ["", "x" * 1_000_000, "\ud800", "[NaN]", "[" * 10_000, "\u202bFBN1"])
def test_hostile_outputs_are_decided(output: str) -> None:
    grade = multi()(output, ITEM)
    assert grade.score is not None
    json.dumps(grade.to_wire()).encode()


def test_python_objects_and_wire_data_make_the_same_grader() -> None:
    assert Multi(graders={"same": load({**EXACT, "name": "same"})}, calculate_output="same") == multi(
        "same", same=EXACT
    )
