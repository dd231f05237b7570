from __future__ import annotations

import itertools
import json
import math
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders import Grade, Grader, GradingError, Item, Sample, as_grader, load
from graders.algebra import Finding, cascade, clip, findings, gate, piecewise, when
from graders.algebra.combine import Max, Min, Product, WeightedSum
from graders.algebra.multi import Multi
from graders.algebra.route import Cascade, Gate, When, settled_by
from graders.algebra.shape import Clip, Negate, Piecewise, Threshold
from graders.composite import Composite, GraderWarning

pytestmark = pytest.mark.filterwarnings("ignore:.*which leaves 0 to 1")  # most nodes here are made to leave it

EXACT: dict[str, Any] = {
    "type": "string_check",
    "input": "{{sample.output_text}}",
    "reference": "FBN1",
    "operation": "eq",
}


class Leaf(Grader):
    """Scores what the item says under its name: a number, None (undecided), or "spoiled"."""

    in_openai: ClassVar[bool] = True

    type: str = "leaf"
    low: float = 0.0
    high: float = 1.0

    @property
    def range(self) -> tuple[float, float]:
        return self.low, self.high

    def grade(self, sample: Sample, item: Item) -> float:
        score = item[self.name]
        if score is None:
            raise GradingError("overloaded", f"{self.name} is busy", "infra")
        if score == "spoiled":
            raise GradingError("sample_parse_error", f"{self.name} cannot read it", "candidate")
        if score == "unasked":
            raise AssertionError(f"{self.name} was asked")
        return float(score)


A, B, C, D = (Leaf(name=name) for name in "abcd")
SIGNED = Leaf(name="a", low=-1, high=1)


def score(grader: Grader, **scores: Any) -> float:
    grade = grader("x", scores)
    assert grade.score is not None, grade.why
    return grade.score


# What each node computes


@pytest.mark.parametrize(
    ("grader", "scores", "expected", "formula"),
    [
        (
            WeightedSum(graders={"a": A, "b": B}, weights={"a": 0.7, "b": 0.3}),
            {"a": 1, "b": 0.5},
            0.85,
            "0.7*a + 0.3*b = 0.7*1 + 0.3*0.5 = 0.85",
        ),
        (
            WeightedSum(graders={"a": A, "b": B}, weights={"b": -0.25, "a": 1}, constant=-0.5),
            {"a": 1, "b": 1},
            0.25,
            "a - 0.25*b - 0.5 = 1 - 0.25*1 - 0.5 = 0.25",
        ),
        (WeightedSum(graders={"a": A, "b": B}), {"a": 1, "b": 0.5}, 0.75, "mean(a, b) = mean(1, 0.5) = 0.75"),
        (Product(graders={"a": A, "b": B}), {"a": 0.5, "b": 0.5}, 0.25, "a * b = 0.5 * 0.5 = 0.25"),
        (Min(graders={"a": A, "b": B}), {"a": 0.5, "b": 0.2}, 0.2, "min(a, b) = min(0.5, 0.2) = 0.2"),
        (Max(graders={"a": A, "b": B}), {"a": 0.5, "b": 0.2}, 0.5, "max(a, b) = max(0.5, 0.2) = 0.5"),
        (Gate(condition=A, grader=B), {"a": 0.5, "b": 1}, 0.5, "condition * grader = 0.5 * 1 = 0.5"),
        (Gate(condition=A, grader=B), {"a": 0, "b": "unasked"}, 0.0, "condition * grader = 0 * grader = 0"),
        (Negate(grader=A), {"a": 0.2}, 0.8, "1 - grader = 1 - 0.2 = 0.8"),
        (Negate(grader=SIGNED), {"a": 0.2}, -0.2, "0 - grader = 0 - 0.2 = -0.2"),
        (Threshold(grader=A, at=0.5), {"a": 0.5}, 1.0, "(grader >= 0.5) = (0.5 >= 0.5) = 1"),
        (Threshold(grader=A, at=0.5), {"a": 0.49}, 0.0, "(grader >= 0.5) = (0.49 >= 0.5) = 0"),
        (
            Piecewise(grader=A, points=[(0.2, 0), (0.6, 0.5), (0.8, 1)]),
            {"a": 0.4},
            0.25,
            "piecewise(grader) = piecewise(0.4) = 0.25",
        ),
        (Clip(grader=SIGNED), {"a": -0.5}, 0.0, "clip(grader, 0, 1) = clip((-0.5), 0, 1) = 0"),
        (
            When(condition=A, then=B, otherwise=C),
            {"a": 1, "b": 0.5, "c": "unasked"},
            0.5,
            "if(condition >= 0.5, then, otherwise) = if(1 >= 0.5, 0.5, otherwise) = 0.5",
        ),
        (
            When(condition=A, then=B, otherwise=0.1),
            {"a": 0.4, "b": "unasked"},
            0.1,
            "if(condition >= 0.5, then, 0.1) = if(0.4 >= 0.5, then, 0.1) = 0.1",
        ),
    ],
)
def test_a_node_scores_what_it_says_and_shows_its_arithmetic(
    grader: Grader, scores: Mapping[str, Any], expected: float, formula: str
) -> None:
    grade = grader("x", scores)
    assert grade.score == pytest.approx(expected, abs=1e-15)
    assert grade.formula == formula
    assert grade.why.startswith(f"{formula} (")
    assert math.copysign(1, grade.score or 1) == math.copysign(1, expected or 1)


def test_full_marks_are_full_marks_whatever_the_rounding_of_the_weights() -> None:
    thirds = WeightedSum(graders={"a": A, "b": B, "c": C}, weights={"a": 0.6, "b": 0.3, "c": 0.1})
    assert score(thirds, a=1, b=1, c=1) == 1.0
    assert thirds.range == (0.0, 1.0)
    many = WeightedSum(graders={f"k{number}": Leaf(name="a") for number in range(49)})
    assert score(many, a=1) == 1.0
    assert many.range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("x", "y"), [(-1, 0.5), (0, 0.5), (0.1, 0.75), (0.2, 1), (0.5, 0), (0.75, 0.25), (1, 0.5), (2, 0.5)]
)
def test_piecewise_is_straight_between_its_points_and_level_outside(x: float, y: float) -> None:
    grader = Piecewise(grader=Leaf(name="a", low=-1, high=2), points=[(0, 0.5), (0.2, 1), (0.5, 0), (1, 0.5)])
    assert score(grader, a=x) == pytest.approx(y, abs=1e-15)
    assert grader.range == (0.0, 1.0)


# Cascade


def test_the_first_decided_part_of_a_cascade_wins_and_the_rest_are_not_asked() -> None:
    grade = Cascade(graders=[A, B, C])("x", {"a": None, "b": 0.5, "c": "unasked"})
    assert grade.score == 0.5
    assert grade.why == "'b' decided: scored 0.5; 'a' could not decide: a is busy"
    assert list(grade.parts) == ["a", "b"]
    assert grade.error is None


def test_a_fault_of_the_candidate_is_decided_and_ends_the_cascade() -> None:
    grade = Cascade(graders=[A, B])("x", {"a": "spoiled", "b": "unasked"})
    assert grade.score == 0.0
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")


def test_a_cascade_in_which_none_could_decide_is_undecided_and_names_each() -> None:
    grade = Cascade(graders=[A, B])("x", {"a": None, "b": None})
    assert grade.score is None
    assert grade.why == "'a' could not decide: a is busy; 'b' could not decide: b is busy"


def test_the_order_of_a_cascade_is_part_of_what_it_is_and_survives_sorted_keys() -> None:
    one, other = cascade(A, B), cascade(B, A)
    assert one != other
    assert one.identity != other.identity
    exact, held = {**EXACT, "name": "z"}, {**EXACT, "name": "a", "operation": "like"}
    wire = load({"type": "cascade", "graders": {"z": exact, "a": held}}).to_wire()
    again = load(json.loads(json.dumps(wire, sort_keys=True)))
    assert isinstance(again, Cascade)
    assert list(again.members) == ["z", "a"]


def test_parts_of_a_cascade_with_the_same_name_are_told_apart() -> None:
    assert list(cascade(load(EXACT), load(EXACT)).members) == ["string_check", "string_check_2"]


def sure_of(*graders: Grader, **sure: dict[str, float]) -> Cascade:
    return Cascade(graders=list(graders), sure=sure)


@pytest.mark.parametrize(
    ("sure", "scores", "expected", "settled", "why"),
    [
        ({"from": 1}, {"a": 1, "b": "unasked"}, 1.0, "a", "'a' decided: scored 1"),
        ({"from": 1}, {"a": 0, "b": 0.5}, 0.5, "b", "'b' decided: scored 0.5; 'a' scored 0, which does not settle it"),
        ({"to": 0}, {"a": 0, "b": "unasked"}, 0.0, "a", "'a' decided: scored 0"),
        ({"to": 0.2}, {"a": 0.3, "b": 1}, 1.0, "b", "'b' decided: scored 1; 'a' scored 0.3, which does not settle it"),
        ({"from": 0.8, "to": 0.2}, {"a": 0.8, "b": "unasked"}, 0.8, "a", "'a' decided: scored 0.8"),
        ({"from": 0.8, "to": 0.2}, {"a": 0.2, "b": "unasked"}, 0.2, "a", "'a' decided: scored 0.2"),
        ({"from": 0.8, "to": 0.2}, {"a": 0.5, "b": 0}, 0.0, "b", "'b' decided: scored 0; 'a' scored 0.5, which"),
        ({"from": 1}, {"a": None, "b": 0.5}, 0.5, "b", "'b' decided: scored 0.5; 'a' could not decide: a is busy"),
    ],
)
def test_a_part_settles_a_cascade_only_by_a_score_it_is_sure_of(
    sure: dict[str, float], scores: dict[str, Any], expected: float, settled: str, why: str
) -> None:
    grade = sure_of(A, B, a=sure)("x", scores)
    assert grade.score == expected
    assert grade.why.startswith(why)
    assert settled_by(grade) == settled
    assert settled_by(Grade.from_wire(json.loads(json.dumps(grade.to_wire())))) == settled


def test_a_score_that_settles_nothing_is_no_answer_where_nobody_after_it_has_one() -> None:
    grade = sure_of(A, B, a={"from": 1})("x", {"a": 0, "b": None})
    assert grade.score is None
    assert grade.why == "'a' scored 0, which does not settle it; 'b' could not decide: b is busy"
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("overloaded", "infra")
    assert settled_by(grade) is None


def test_each_part_but_the_last_may_have_its_own_bounds() -> None:
    grader = sure_of(A, B, C, a={"from": 1}, b={"from": 0.8, "to": 0.2})
    grade = grader("x", {"a": 0, "b": 0.5, "c": 0.7})
    assert settled_by(grade) == "c"
    assert grade.why == (
        "'c' decided: scored 0.7; 'a' scored 0, which does not settle it; 'b' scored 0.5, which does not settle it"
    )
    assert settled_by(grader("x", {"a": 0, "b": 0.1, "c": "unasked"})) == "b"


def test_an_output_that_a_part_cannot_read_settles_it_by_the_least_that_could_have_come_of_it() -> None:
    grade = sure_of(A, B, a={"from": 1})("x", {"a": "spoiled", "b": "unasked"})
    assert (grade.score, settled_by(grade)) == (0.0, "a")
    below = sure_of(A, Leaf(name="b", low=-1), a={"from": 1})("x", {"a": "spoiled", "b": "unasked"})
    assert below.score == -1.0  # a bad output that can be read may get as little
    assert below.why == "'a' decided: a cannot read it, so it counts as -1, the least that could have come of it"
    above = sure_of(A, Leaf(name="b", low=0.5), a={"from": 1})
    assert above.range == (0.5, 1.0)
    assert above("x", {"a": "spoiled", "b": "unasked"}).score == 0.5
    for grade in (below, above("x", {"a": "spoiled"})):
        assert grade.error is not None
        assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")


def test_bounds_are_part_of_what_a_cascade_is_and_survive_being_written() -> None:
    exact, held = {**EXACT, "name": "exact"}, {**EXACT, "name": "held", "operation": "like"}
    grader = load({"type": "cascade", "graders": [exact, held], "sure": {"exact": {"from": 1}}})
    wire = json.loads(json.dumps(grader.to_wire(), sort_keys=True))
    assert wire["sure"] == {"exact": {"from": 1.0}}
    assert load(wire) == grader
    assert load(wire).identity == grader.identity != load({"type": "cascade", "graders": [exact, held]}).identity
    assert [grader(text).score for text in ("FBN1", "my FBN1", "no")] == [1.0, 1.0, 0.0]
    assert findings(grader) == []


@pytest.mark.parametrize(
    ("sure", "message"),
    [
        ({"b": {"from": 1}}, "sure: 'b' is the last, and after it there is none to ask; leave it out"),
        ({"aa": {"from": 1}}, "sure: no grader 'aa'; did you mean 'a'? known: a"),
        (
            {"a": {"from": 0}},
            "sure: 'a' scores from 0 to 1, so from 0 every score would settle it; put it above 0, to 1",
        ),
        ({"a": {"from": 1.5}}, "so from 1.5 none would settle it"),
        (
            {"a": {"to": 1}},
            "sure: 'a' scores from 0 to 1, so to 1 every score would settle it; put it from 0 to below 1",
        ),
        ({"a": {"to": -0.5}}, "so to -0.5 none would settle it"),
        ({"a": {"to": -0.5, "from": 1}}, "so to -0.5 none would settle it"),
        ({"a": {"from": 0.5, "to": 0.5}}, "'a' from 0.5 and to 0.5 is every score; leave a gap to ask about"),
        ({"a": {}}, 'is said by {"from": x}, {"to": y} or both, not {}'),
        ({"a": 1}, 'is said by {"from": x}, {"to": y} or both, not 1'),
        ({"a": {"form": 1}}, "unknown key 'form'; did you mean 'from'? known: from, to"),
        ({"a": {"from": True}}, "valid number"),
        ({"a": {"from": math.nan}}, "finite number"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(sure: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Cascade(graders=[A, B], sure=sure)


@pytest.mark.parametrize(
    ("sure", "expected"),
    [({"from": 0.8}, (0, 1)), ({"to": 0.2}, (0, 0.5)), ({"from": 0.8, "to": 0.2}, (0, 1)), (None, (0, 1))],
)
def test_only_scores_that_settle_it_are_in_the_range_of_a_cascade(sure: Any, expected: tuple[float, float]) -> None:
    assert Cascade(graders=[A, 0.5 * B], sure={} if sure is None else {"a": sure}).range == expected
    assert Cascade(graders=[A, 0.5 * B + 0.5], sure={"a": {"from": 0.8}}).range == (0.5, 1)


# The law: spoiling a part never pays


@pytest.mark.parametrize(
    ("grader", "expected"),
    [
        (~A, 0.0),
        (~~A, 0.0),
        (1 - A, 0.0),
        (B - 0.5 * A, 0.5),
        (Threshold(grader=~A, at=0.5), 0.0),
        (~Threshold(grader=A, at=0.5), 0.0),
        (Piecewise(grader=A, points=[(0, 1), (1, 0)]), 0.0),
        (Piecewise(grader=A, points=[(0, 1), (0.33, 0.1), (1, 1)]), 0.1),  # lowest in between
        (when(A, 0.1, B), 0.1),
        (when(A, B, 0.3), 0.3),
        (when(A, D, B), 0.0),
        (when(B, ~A, 0.0), 0.0),
        (gate(~A, B), 0.0),
        (~gate(A, B), 0.0),
        (A & B, 0.0),
        (A | B, 1.0),
        (~(A * B), 0.0),
        (1 - A * B, 0.0),
        (cascade(A, B), 0.0),
        (~cascade(A, B), 0.0),
    ],
)
def test_a_spoiled_part_counts_as_what_is_worst_for_the_whole_and_its_error_is_borne(
    grader: Grader, expected: float
) -> None:
    grade = grader("x", {"a": "spoiled", "b": 1, "d": 0})
    assert grade.score == pytest.approx(expected, abs=1e-15)
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")
    assert "a cannot read it" in grade.error.detail


def test_shutting_a_gate_by_spoiling_its_condition_does_not_save_from_a_score_below_0() -> None:
    with pytest.warns(GraderWarning, match="a shut gate pays more"):
        grader = gate(A, Leaf(name="e", low=-1))
    assert score(grader, a="spoiled", e=-1) == -1.0
    assert score(grader, a="spoiled", e=1) == 0.0


def test_spoiling_two_parts_at_once_does_not_pay_either() -> None:
    grader = Multi(graders={"a": A, "b": B}, calculate_output="1 - a*b")
    assert score(grader, a="spoiled", b="spoiled") == 0.0
    odd = Multi(graders={"a": A, "b": B}, calculate_output="abs(a - b)")
    assert score(odd, a="spoiled", b="spoiled") == 0.0


def test_where_the_candidate_spoils_what_a_formula_cannot_do_without_the_whole_is_still_decided() -> None:
    assert score(Multi(graders={"a": A}, calculate_output="1 / a"), a="spoiled") == 1.0
    assert score(Multi(graders={"a": A}, calculate_output="log(a)"), a="spoiled") <= 0.0


def limitless(sample: Sample, item: Item) -> float:
    if sample.output_text == "spoiled":
        raise GradingError("sample_parse_error", "no number", "candidate")
    return float(item["f"])


@pytest.mark.parametrize(
    "grader",
    [
        clip(as_grader(limitless), -1, 1),
        clip(A - as_grader(limitless), -1, 1),
        Multi(graders={"f": as_grader(limitless)}, calculate_output="max(-1, min(1, f))"),
        Multi(graders={"f": as_grader(limitless)}, calculate_output="min(1, abs(f - 3)) - 1"),
        piecewise(as_grader(limitless), [(-2, -1), (2, 1)]),
        piecewise(as_grader(limitless), [(-2, 1), (2, -1)]),
    ],
)
def test_a_spoiled_part_without_limits_counts_as_worse_than_whatever_it_might_have_scored(grader: Grader) -> None:
    low, _ = grader.range
    assert low == -1.0
    spoiled = grader("spoiled", {"f": 0, "a": 1})
    assert spoiled.score == low
    assert spoiled.error is not None
    assert spoiled.error.fault == "candidate"


def test_a_spoiled_part_beside_one_without_limits_costs_its_own_credit_alone() -> None:
    grader = clip(0.5 * as_grader(limitless) + 0.5 * A)
    assert score(grader, a="spoiled", f=0.8) == 0.4
    assert grader("x", {"a": "spoiled", "f": 0.8}).why.startswith("clip(grader, 0, 1) = clip(0.4, 0, 1) = 0.4 (")


def test_a_whole_that_has_no_lowest_score_gets_no_credit_for_a_spoiled_part_and_is_told_of() -> None:
    function = as_grader(limitless)
    assert (1 - function)("spoiled", {"f": 10}).score == 0.0
    assert (A + function)("spoiled", {"f": 10, "a": 1}).score == 0.0
    advice = "so an output that cannot be read may score more than a bad one: clip it"
    assert Finding("limitless", f"has no limits, {advice}") in findings(1 - function)
    assert Finding("", f"has no lowest score, {advice}") in findings(function)
    assert Finding("", f"has no lowest score, {advice}") in findings(Multi(graders={"a": A}, calculate_output="log(a)"))
    assert findings(clip(1 - function)) == []
    beside = Multi(graders={"free": function, "held": clip(function)}, calculate_output="held - free")
    assert [place for place, _ in findings(beside)] == ["", "free"]


def test_where_no_score_of_a_spoiled_part_is_known_to_be_the_worst_the_lower_bound_counts() -> None:
    grade = Multi(graders={"a": A, "b": B}, calculate_output="b + abs(a - 0.5)")("x", {"a": "spoiled", "b": 0.25})
    assert grade.formula == "b + abs(a - 0.5) = 0.25 + abs(a - 0.5) = 0.25"
    assert "a: a cannot read it, so the whole counts as the least it could be" in grade.why


def test_of_many_spoiled_parts_the_worst_together_counts() -> None:
    parts = [Leaf(name=name) for name in "abcdef"]
    signed = 2 * Leaf(name="z") - 1
    grader = Multi(graders={**{part.name: part for part in parts}, "z": signed}, calculate_output="a*b*c*d*e*f*z")
    assert grader.range == (-1.0, 1.0)
    assert score(grader, **dict.fromkeys("abcdef", 1), z=0) == -1.0
    assert score(grader, **dict.fromkeys("abcdefz", "spoiled")) == -1.0


def calls(run: Callable[[], Any]) -> int:
    """How many calls a run makes: its cost, on any machine."""
    made = 0

    def count(*_: Any) -> None:
        nonlocal made
        made += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
    return made


@pytest.mark.parametrize("formula", ["({total})/{n} * (1 - abs({total} - 5)/{n})", "abs({total} - 5)"])
@pytest.mark.parametrize("number", [10, 100])
def test_an_output_that_spoils_every_part_costs_a_few_times_an_honest_one(number: int, formula: str) -> None:
    keys = [f"x{index}" for index in range(number)]
    text = formula.format(total="+".join(keys), n=number)
    grader = Multi(graders=dict.fromkeys(keys, Leaf(name="all")), calculate_output=text)
    honest, spoiled = (calls(lambda given=given: grader("x", {"all": given})) for given in (1, "spoiled"))  # type: ignore[misc]
    assert spoiled < 5 * honest


def test_the_findings_of_a_sum_of_very_many_parts_cost_in_proportion() -> None:
    def of(number: int) -> int:
        keys = [f"x{index}" for index in range(number)]
        grader = Multi(graders=dict.fromkeys(keys, A), calculate_output=f"({'+'.join(keys)})/{number}")
        assert findings(grader) == []
        return calls(lambda: findings(grader))

    assert of(2000) < 20 * of(200)


SCORES = st.sampled_from([0.0, 0.25, 0.33, 0.5, 0.75, 1.0])
NAMES = ["a", "b", "c", "d"]


def quietly(make: Callable[..., Grader]) -> Callable[..., Grader | None]:
    """None for what is refused or warned of when it is built."""

    def made(*parts: Any) -> Grader | None:
        try:
            return make(*parts)
        except (ValueError, GraderWarning):
            return None

    return made


def unsure(a: Grader, b: Grader, end: str, bound: float) -> Grader:
    first, _ = Cascade(graders=[a, b]).members
    return Cascade(graders=[a, b], sure={first: {end: bound}})


def trees(leaves: st.SearchStrategy[Grader], *, routes: bool = True) -> st.SearchStrategy[Grader]:
    numbers = st.sampled_from([-1.0, -0.5, 0.25, 0.5, 0.7, 2.0])

    def grown(inner: st.SearchStrategy[Grader]) -> st.SearchStrategy[Grader]:
        shapes: list[st.SearchStrategy[Grader | None]] = [
            st.builds(quietly(lambda a, b, k, m: k * a + m * b), inner, inner, numbers, numbers),
            st.builds(quietly(lambda a, b, k: a - k * b + 0.1), inner, inner, numbers),
            st.builds(quietly(lambda a, b: WeightedSum(graders={"x": a, "y": b})), inner, inner),
            st.builds(quietly(lambda a, b: a * b), inner, inner),
            st.builds(quietly(lambda a, b: a & b), inner, inner),
            st.builds(quietly(lambda a, b: a | b), inner, inner),
            st.builds(quietly(lambda a: ~a), inner),
            st.builds(quietly(lambda a, at: a >= at), inner, numbers),
            st.builds(quietly(lambda a, low: clip(a, low, low + 0.6)), inner, numbers),
            st.builds(
                quietly(lambda a, ys: piecewise(a, list(zip([-0.5, 0, 0.33, 1], ys, strict=True)))),
                inner,
                st.tuples(numbers, numbers, numbers, numbers),
            ),
            st.builds(quietly(gate), inner, inner),
            st.builds(quietly(when), inner, inner, st.one_of(inner, numbers)),
            st.builds(
                quietly(lambda a, b: Multi(graders={"x": a, "y": b}, calculate_output="max(x, 0.3) - x*y ^ 2")),
                inner,
                inner,
            ),
        ]
        if routes:
            shapes.append(st.builds(quietly(lambda a, b: Cascade(graders=[a, b])), inner, inner))
            shapes.append(st.builds(quietly(unsure), inner, inner, st.sampled_from(["from", "to"]), numbers))
        return st.one_of(shapes).filter(lambda grader: grader is not None).map(lambda grader: grader)  # type: ignore[arg-type,return-value]

    return st.recursive(leaves, grown, max_leaves=5)


LEAVES = st.one_of(
    st.sampled_from(NAMES).map(lambda name: Leaf(name=name)),
    st.sampled_from(NAMES).map(lambda name: Leaf(name=name, low=0)),
)
LIMITLESS = st.just(Leaf(name="u", low=-math.inf, high=math.inf))
SIGNED_LEAVES = st.sampled_from(NAMES).map(lambda name: Leaf(name=name, low=-1))


@settings(max_examples=150, deadline=None)
@given(trees(st.one_of(LEAVES, SIGNED_LEAVES)), st.tuples(SCORES, SCORES, SCORES, SCORES))
def test_a_score_always_lies_in_the_range_that_follows_from_the_parts(grader: Grader, given: tuple[float, ...]) -> None:
    grade = grader("x", dict(zip(NAMES, given, strict=True)))
    low, high = grader.range
    assert grade.score is not None, grade.why
    assert low <= grade.score <= high


@settings(max_examples=150, deadline=None)
@given(
    trees(st.one_of(LEAVES, LIMITLESS)),
    st.tuples(SCORES, SCORES, SCORES, SCORES),
    st.sets(st.sampled_from([*NAMES, "u"]), min_size=1, max_size=2),
)
def test_no_output_earns_more_by_being_unreadable(grader: Grader, given: tuple[float, ...], faults: set[str]) -> None:
    honest = dict(zip(NAMES, given, strict=True)) | {"u": 0.5}
    spoiled = grader("x", honest | dict.fromkeys(faults, "spoiled"))
    assert spoiled.score is not None, spoiled.why
    assert grader.range[0] <= spoiled.score <= grader.range[1]
    if math.isinf(grader.range[0]):
        return  # told by the findings
    tried = [[-4.0, 0.3, 4.0] if name == "u" else [0.0, 0.33, 0.5, 0.7, 1.0] for name in sorted(faults)]
    for values in itertools.product(*tried):
        readable = grader("x", honest | dict(zip(sorted(faults), values, strict=True)))
        assert readable.score is not None
        assert spoiled.score <= readable.score + 1e-9


# Undecided parts


@pytest.mark.parametrize("grader", [A + B, A * B, A & B, ~A, A >= 0.5, gate(A, B), when(A, B), gate(B, A), clip(A - B)])
def test_a_part_that_could_not_decide_leaves_the_whole_undecided(grader: Grader) -> None:
    grade = grader("x", {"a": None, "b": 1})
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("overloaded", "infra")
    assert "a is busy" in grade.why


# Ranges and what is refused when a grader is built


@pytest.mark.parametrize(
    ("grader", "expected"),
    [
        (0.7 * A + 0.3 * B, (0, 1)),
        (A - 0.5 * B, (-0.5, 1)),
        (1 - A, (0, 1)),
        (A * SIGNED, (-1, 1)),
        (A & (B * 0.5), (0, 0.5)),
        (A | (B + 0.5), (0.5, 1.5)),
        (~SIGNED, (-1, 1)),
        (~(A + 1), (1, 2)),
        (A >= 0.5, (0, 1)),
        (clip(A - B, 0.0, 0.5), (0, 0.5)),
        (piecewise(A, [(0.5, 0.2), (1, 0.8)]), (0.2, 0.8)),
        (gate(A, B), (0, 1)),
        (gate(A, B + 1), (0, 2)),
        (when(A, B * 0.5, -1), (-1, 0.5)),
        (cascade(A, SIGNED), (-1, 1)),
        (clip(Leaf(name="a", low=-math.inf, high=math.inf)), (0, 1)),
    ],
)
def test_a_range_follows_from_the_parts(grader: Grader, expected: tuple[float, float]) -> None:
    assert grader.range == expected


HALF = 0.5 * A  # scores from 0 to 0.5
UPPER = 0.5 * B + 0.5  # scores from 0.5 to 1
ENDLESS = Leaf(name="a", low=-math.inf, high=math.inf)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightedSum(graders={"a": A}, weights={"a": 0}), "'a' weighs 0, so it can never matter"),
        (lambda: WeightedSum(graders={"a": A, "b": B}, weights={"a": 1}), "weights: none for 'b'"),
        (lambda: WeightedSum(graders={"rank": A}, weights={"rank": 1, "rnk": 1}), "no grader 'rnk'; did you mean"),
        (lambda: WeightedSum(graders={"a": A}, weights={"a": True}), "valid number"),
        (lambda: WeightedSum(graders={"a": A}, weights={"a": "1"}), "valid number"),
        (lambda: WeightedSum(graders={"a": A}, weights={"a": math.nan}), "finite number"),
        (lambda: WeightedSum(graders={}), "no graders"),
        (lambda: 0 * A, "weighs 0"),
        (lambda: A - A, "weighs 0"),
        (lambda: Product(graders={"a": A}), "one grader alone has no product"),
        (lambda: Min(graders={"a": A}), "one grader alone has no min"),
        (lambda: HALF & UPPER, "scores at least 0.5 and 'weighted_sum' at most 0.5, so it can never matter"),
        (lambda: HALF | UPPER, "scores at most 0.5 and 'weighted_sum_2' at least 0.5, so it can never matter"),
        (lambda: A >= 0, "'a' scores from 0 to 1, so this is always 1"),
        (lambda: A >= 1.5, "so this is always 0; put it above 0, to 1"),
        (lambda: Threshold(grader=A, at=math.nan), "finite number"),
        (lambda: clip(A, 1, 0), "low 1 is not below high 0"),
        (lambda: clip(A, 1, 2), "between 1 and 2 every score is the same"),
        (lambda: ~ENDLESS, "which has no middle; clip it first"),
        (lambda: piecewise(A, [(0, 0)]), "at least 2 items"),
        (lambda: piecewise(A, [(0, 0), (0, 1)]), "0 comes after 0; sort them by x"),
        (lambda: piecewise(A, [(0, 1), (1, 1)]), "every score becomes 1"),
        (lambda: piecewise(A, [(2, 0), (3, 1)]), "every score becomes 0"),
        (lambda: gate(Leaf(name="a", low=1), B), "always scores 1, so the gate does nothing"),
        (lambda: gate(A, Leaf(name="b", high=0)), "nothing to let through"),
        (lambda: when(HALF * 0.5, B, C), "so 'then' is never asked"),
        (lambda: when(UPPER, B, C), "so 'otherwise' is never asked"),
        (lambda: when(A, 1, 1.0), "are the same, so the condition does nothing"),
        (lambda: when(A, B, math.nan), "nan is no score; give a finite number or a grader"),
        (lambda: when(A, B, 10**400), "is no score; give a finite number or a grader"),
        (lambda: Cascade(graders=[A]), "needs a grader to fall back on"),
        (lambda: Multi(graders={"a": A}, calculate_output="log(-1 - a)"), "log is not a real number, whatever the"),
        (lambda: Multi(graders={"a": A}, calculate_output="a / 0"), "divides by zero, whatever the scores, at"),
    ],
)
def test_a_definition_that_contradicts_itself_is_refused_when_it_is_built(
    make: Callable[[], Grader], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gate(UPPER, A), "never 0, so the gate never shuts"),
        (lambda: gate(SIGNED, B), "(condition): can be below 0"),
        (lambda: gate(A, SIGNED), "a shut gate pays more than an open one"),
        (lambda: gate(A, Leaf(name="b", low=1)), "only the condition matters"),
        (lambda: clip(A), "clipping it to 0 and 1 changes nothing"),
        (lambda: piecewise(HALF, [(0, 0), (1, 1)]), "never reaches the point at 1"),
        (lambda: SIGNED * (1 - 2 * A), "two bad scores make a good one"),
    ],
)
def test_what_may_be_meant_is_warned_of_when_it_is_built(make: Callable[[], Grader], message: str) -> None:
    with pytest.warns(GraderWarning) as caught:
        make()
    assert message in str(caught[0].message)


def test_findings_name_the_place_and_the_whole_first() -> None:
    inner = Multi(graders={"x": A, "y": B}, calculate_output="0*x + 1/y")
    grader = WeightedSum(graders={"inner": inner, "c": C}, weights={"inner": 1, "c": 2})
    assert findings(grader) == [
        Finding("", "scores from 1 to inf, which leaves 0 to 1: clip it before it is a reward"),
        Finding("inner", "a division by zero is possible at character 8: such a sample is undecided"),
        Finding("inner.x", "can never matter: the formula gives the same whatever its score"),
    ]


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("x", "the formula does not use it"),
        ("min(x, y + 1)", "can never matter"),
        ("if(x >= 0, x, y)", "can never matter"),
        ("max(x, 0.5 * (y - 1))", "can never matter"),
    ],
)
def test_a_part_of_a_multi_that_can_never_matter_is_found(formula: str, message: str) -> None:
    found = findings(Multi(graders={"x": A, "y": B}, calculate_output=formula))
    assert [finding.place for finding in found] == ["y"]
    assert message in found[0].message


def test_a_sound_reward_has_no_findings() -> None:
    assert findings(gate(A, 0.7 * B + 0.3 * C)) == []
    assert findings(A) == []
    guarded = Multi(graders={"x": A, "y": B}, calculate_output="if(y == 0, 0, min(1, x / max(y, 0.5)))")
    assert findings(guarded) == []


# Operators


ANY_A: Any = A


def half(sample: Sample, item: Item) -> float:
    return 0.5


@pytest.mark.parametrize(
    ("grader", "cls", "formula"),
    [
        (0.7 * A + 0.3 * B, WeightedSum, "0.7*a + 0.3*b"),
        (0.5 * (A + B) + C, WeightedSum, "0.5*a + 0.5*b + c"),
        (A - B, WeightedSum, "a - b"),
        (1 - A, WeightedSum, "1 - a"),
        (-A + 1, WeightedSum, "1 - a"),
        (-A, WeightedSum, "-a"),
        (-0.5 * A - B - 1, WeightedSum, "-0.5*a - b - 1"),
        (A / 2 + 0.25, WeightedSum, "0.5*a + 0.25"),
        (A + A, WeightedSum, "2*a"),
        (sum([A, B, C]), WeightedSum, "a + b + c"),
        (A + Leaf(name="a"), WeightedSum, "a + a_2"),
        (A * B * C, Product, "a * b * c"),
        (0.5 * (A * B), WeightedSum, "0.5*product"),
        (A & B & C, Min, "min(a, b, c)"),
        (A | B | C, Max, "max(a, b, c)"),
        (A & (B | C), Min, "min(a, part_max)"),
        (~A, Negate, "1 - grader"),
        (A >= 0.5, Threshold, "grader >= 0.5"),
        (0.5 <= A, Threshold, "grader >= 0.5"),  # noqa: SIM300
        (A * half, Product, "a * half"),
        (half + A, WeightedSum, "half + a"),
        (half & A, Min, "min(half, a)"),
        (half | A, Max, "max(half, a)"),
        (half - A, WeightedSum, "half - a"),
        (half * A, Product, "half * a"),
        (Leaf(name="my own, 1") + Leaf(name="max"), WeightedSum, "my_own_1 + part_max"),
    ],
)
def test_an_operator_makes_the_node_that_its_page_says(grader: Any, cls: type[Grader], formula: str) -> None:
    assert grader.formula.text == formula
    assert type(grader) is cls


def test_turning_over_twice_gives_the_grader_itself() -> None:
    assert ~~A is A


@pytest.mark.parametrize(
    "make",
    [
        lambda: A + "b",
        lambda: A * True,
        lambda: A * None,
        lambda: ANY_A / B,
        lambda: A & 0.5,
        lambda: A | Leaf,
        lambda: ANY_A > 0.5,
        lambda: ANY_A >= B,
        lambda: "b" - A,
    ],
)
def test_what_no_operator_takes_is_a_type_error(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError):
        make()


def test_a_named_sum_stays_whole() -> None:
    named = (A + B).model_copy(update={"name": "both"})
    total: Any = named + C
    assert total.formula.text == "both + c"


def test_graders_are_still_equal_by_their_definition_and_can_be_keys() -> None:
    assert A * B == A * B
    assert A * B != B * C
    assert len({A + B, A + B, A - B}) == 2


@settings(max_examples=60, deadline=None)
@given(
    trees(
        st.sampled_from(["eq", "like", "ne"]).map(
            lambda operation: load({**EXACT, "operation": operation, "name": operation})
        )
    )
)
def test_what_operators_make_survives_being_written_and_read(grader: Grader) -> None:
    again = load(json.loads(json.dumps(grader.to_wire(), sort_keys=True)))
    assert again.identity == grader.identity
    assert (again("FBN1").score, again("FBN1!").score) == (grader("FBN1").score, grader("FBN1!").score)


def test_the_identity_of_a_grader_does_not_cover_the_operators() -> None:
    assert not [path for path in load(EXACT).code_files() if "algebra" in path.parts]


def test_composed_graders_can_hold_a_function_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def third(sample, item):\n    return 1 / 3\n")
    grader = clip(load(f"{file}:third"), 0.0, 0.25)
    assert load(json.loads(json.dumps(grader.to_wire())))("x").score == 0.25


# Export to OpenAI's multi


def imported(wire: Mapping[str, Any]) -> Multi:
    """The exported multi with its leaves, which no registry knows, made again."""
    parts = {key: Leaf(**leaf) for key, leaf in wire["graders"].items()}
    return Multi(graders=parts, calculate_output=wire["calculate_output"])


@settings(max_examples=150, deadline=None)
@given(trees(st.one_of(LEAVES, SIGNED_LEAVES), routes=False), st.lists(SCORES, min_size=4, max_size=4), st.data())
def test_an_exported_grader_is_one_multi_that_gives_the_same_score(
    grader: Grader, given: list[float], data: st.DataObject
) -> None:
    if not isinstance(grader, Composite):
        return
    given[0] = data.draw(st.integers(0, 10**6)) / 10**6  # not within the slack of an exported threshold
    scores = dict(zip(NAMES, given, strict=True))
    wire = grader.to_openai()
    assert wire["type"] == "multi"
    multi = imported(wire)
    assert multi.formula.extensions == ()
    assert score(multi, **scores) == pytest.approx(score(grader, **scores), abs=1e-12)


@given(st.floats(-1, 1), st.floats(-1, 1, exclude_min=True))
def test_an_exported_threshold_is_exact(x: float, at: float) -> None:
    multi = imported(Threshold(grader=SIGNED, at=at).to_openai())
    assert score(multi, a=x) == float(x >= at)
    beside = math.nextafter(at, -2)
    assert score(multi, a=beside if beside >= -1 else -1) == 0.0


@pytest.mark.parametrize(
    "grader",
    [
        (0.6 * A + 0.3 * B + 0.1 * C) >= 1,
        when(0.6 * A - 0.1 * B, 1.0, 0.0),
        Threshold(grader=piecewise(A, [(0, 0), (0.3, 0.1), (0.7, 0.3), (1, 1)]), at=1),
        Threshold(grader=piecewise(D, [(0, 0), (0.3, 0.1), (0.6, 0.3), (1, 1)]), at=0.3),
        Threshold(grader=WeightedSum(graders={"a": A, "b": B, "d": D}), at=(1 + 1 + 0.6) / 3),
    ],
)
def test_an_exported_threshold_does_not_miss_by_the_rounding_of_what_is_below_it(grader: Grader) -> None:
    scores = {"a": 1, "b": 1, "c": 1, "d": 0.6}
    assert score(grader, **scores) == 1.0
    assert score(imported(grader.to_openai()), **scores) == 1.0


def test_an_exported_threshold_of_a_sum_is_exact_further_than_its_slack_from_it() -> None:
    grader = (0.5 * A + 0.5 * B) >= 0.75
    multi = imported(grader.to_openai())
    assert multi.calculate_output == "max(0, min(1, 1 + floor((0.5*grader_a + 0.5*grader_b) - 0.75 + 0.000000001)))"
    assert score(multi, a=1, b=0.5 - 1e-8) == score(grader, a=1, b=0.5 - 1e-8) == 0.0


def test_a_nested_multi_is_flattened_with_keys_of_its_own() -> None:
    inner = {"type": "multi", "graders": {"x": EXACT, "y": EXACT}, "calculate_output": "x - y"}
    outer = {"type": "multi", "graders": {"inner": inner, "inner_x": EXACT}, "calculate_output": "1 - inner * inner_x"}
    wire = load(outer).to_openai()
    assert list(wire["graders"]) == ["inner_x", "inner_y", "inner_x_2"]
    assert wire["calculate_output"] == "1 - (inner_x - inner_y) * inner_x_2"


@pytest.mark.parametrize(
    ("grader", "message"),
    [
        (cascade(A, B), "type 'cascade' is Assay's own"),
        (A * cascade(A, B), "type 'cascade' is Assay's own"),
        (A * load({"type": "rank", "reference": "FBN1"}), "type 'rank' is Assay's own"),
        (Multi(graders={"a": A}, calculate_output="a > 0.5"), "the comparison '>' in calculate_output"),
        (Multi(graders={"a": A}, calculate_output="if(a > 0, 1, 0)"), "the comparison '>' in calculate_output"),
        (Multi(graders={"a": A}, calculate_output="clip(a, 0, 0.5)"), "the function 'clip' in calculate_output"),
        (~Multi(graders={"a": A}, calculate_output="mean(a)"), "the function 'mean' in calculate_output"),
        (Multi(graders={"a": A}, calculate_output="a", optional={"a": 0}), "'optional' is Assay's own"),
        (A * (A + B).model_copy(update={"extract": []}), "'extract' is Assay's own"),
    ],
)
def test_what_openai_has_no_word_for_is_named_when_exported(grader: Grader, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grader.to_openai()


def test_an_export_that_outgrows_any_formula_is_refused_instead_of_built() -> None:
    grader: Grader = A
    for _ in range(20):
        grader = piecewise(grader, [(0, 0), (0.2, 0.1), (0.3, 0.5), (0.4, 0.2), (1, 1)])
    with pytest.raises(ValueError, match="more than 20,000 characters"):
        grader.to_openai()
    deep: Grader = A
    for _ in range(40):
        deep = Negate(grader=deep)
    with pytest.raises(ValueError, match="nested more than 50 deep"):
        deep.to_openai()


# Nesting


def test_graders_nested_too_deeply_are_refused_in_a_few_words() -> None:
    wire: dict[str, Any] = EXACT
    for _ in range(60):
        wire = {"type": "negate", "grader": wire}
    with pytest.raises(ValueError, match="nested more than 50 deep, or one contains itself") as caught:
        load(wire)
    assert len(str(caught.value)) < 200
    grader: Grader = A
    for _ in range(49):
        grader = Negate(grader=grader)
    with pytest.raises(ValueError, match="nested more than 50 deep"):
        Negate(grader=grader)


def test_deep_but_allowed_nesting_grades_writes_and_reads() -> None:
    wire: dict[str, Any] = EXACT
    for _ in range(48):
        wire = {"type": "negate", "grader": wire}
    grader = load(wire)
    assert grader("FBN1").score == 1.0
    assert load(grader.to_wire()) == grader
    assert findings(grader) == []


def test_a_grader_that_contains_itself_is_refused_for_every_kind_of_part(tmp_path: Path) -> None:
    file = tmp_path / "loop.json"
    for wire in (
        {"type": "negate", "grader": str(file)},
        {"type": "when", "condition": EXACT, "then": str(file)},
        {"type": "cascade", "graders": [EXACT, str(file)]},
    ):
        file.write_text(json.dumps(wire))
        with pytest.raises(ValueError, match="contains itself"):
            load(file)


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ({"type": "gate", "condition": {**EXACT, "inputt": "x"}, "grader": EXACT}, "condition: unknown key 'inputt'"),
        ({"type": "when", "condition": EXACT, "then": True}, "then: a grader is an object with a 'type', not True"),
        ({"type": "cascade", "graders": 5}, "a list of graders is expected, in the order in which they are asked"),
        ({"type": "product", "graders": {"a-b": EXACT, "c": EXACT}}, "'a-b' cannot be written in a formula"),
        ({"type": "product", "graders": {"max": EXACT, "c": EXACT}}, "'max' is a function of the formulas"),
        ({"type": "negate"}, "key 'grader' is missing"),
        ({"type": "piecewise", "grader": EXACT, "points": [[0, 0], [1]]}, "points.1.1"),
    ],
)
def test_a_bad_definition_is_refused_with_its_place(wire: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        load(wire)


@pytest.mark.parametrize("output", ["", " ", "x" * 1_000_000, "\ud800", "[NaN]", "[" * 10_000])
def test_hostile_outputs_are_decided_by_every_node(output: str) -> None:
    exact, held = load(EXACT), load({**EXACT, "name": "held", "input": "{{sample.output_json.gene}}"})
    for grader in (exact * held, exact & held, ~held, gate(held, exact), when(held, exact), cascade(held, exact)):
        grade: Grade = grader(output)
        assert grade.score in (0.0, 1.0)
        json.dumps(grade.to_wire()).encode()


def test_what_the_page_shows_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "algebra.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```python\n(.*?)^```\n\n```output\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(shown) == 2
    for code, said in shown:
        exec(code, {})
        assert capsys.readouterr().out == said


def test_a_whole_that_leaves_0_to_1_is_reported_when_it_is_built_and_a_part_is_not() -> None:
    part = {"type": "string_check", "operation": "eq", "input": "{{sample.output_text}}", "reference": "x"}
    double = {"type": "weighted_sum", "graders": {"a": part}, "weights": {"a": 2}}
    with pytest.warns(GraderWarning, match="scores from 0 to 2, which leaves 0 to 1: clip it before it is a reward"):
        load(double)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load({"type": "clip", "grader": double, "low": 0, "high": 1})
