from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders import Grade, Grader, GradingError, Item, Sample, as_grader, load
from graders.algebra import findings
from graders.composite import Composite
from graders.model.panel import Panel
from graders.service.services import Services, use
from graders.service.settings import Settings
from graders.testing.scripted_judge import Request, ScriptedJudge, error, said, verdict

EXACT: dict[str, Any] = {
    "type": "string_check",
    "input": "{{sample.output_text}}",
    "reference": "FBN1",
    "operation": "eq",
}
JUDGE: dict[str, Any] = {
    "type": "score_model",
    "model": "small",
    "input": [{"role": "user", "content": "Rate {{sample.output_text}}"}],
}


class Vote(Grader):
    """Votes as the item says under its name: a number, None (cannot decide), a fault, or "spoiled"."""

    type: str = "vote"
    low: float = 0.0
    high: float = 1.0

    @property
    def range(self) -> tuple[float, float]:
        return self.low, self.high

    def grade(self, sample: Sample, item: Item) -> float:
        vote = item[self.name]
        if vote is None:
            raise GradingError("overloaded", f"{self.name} is busy", "infra")
        if vote == "unread":
            raise GradingError("model_grader_parse_error", f"{self.name} mumbled", "grader")
        if vote == "spoiled":
            raise GradingError("sample_parse_error", f"{self.name} cannot read it", "candidate")
        return float(vote)


NAMES = "abcde"


def panel(size: int, low: float = 0.0, high: float = 1.0, **options: Any) -> Panel:
    return Panel(graders=[Vote(name=name, low=low, high=high) for name in NAMES[:size]], **options)


def graded(votes: Sequence[Any], low: float = 0.0, high: float = 1.0, **options: Any) -> Grade:
    return panel(len(votes), low, high, **options)("x", dict(zip(NAMES, votes, strict=False)))


# What the votes make


@pytest.mark.parametrize(
    ("reduce", "votes", "score", "why"),
    [
        ("mean", [0.5, 1, 0.5], 2 / 3, "mean of 3 votes: 0.5, 1, 0.5"),
        ("mean", [0.5, None, 1, 0.5], 2 / 3, "mean of 3 of 4 votes: 0.5, 1, 0.5; 'b' abstained: b is busy"),
        ("mean", [0.1, 0.1, 0.1], 0.1, "mean of 3 votes: 0.1, 0.1, 0.1"),
        ("median", [0, 1, 0.2], 0.2, "median of 3 votes: 0, 1, 0.2"),
        ("median", [0, 1, 0.2, 0.4], 0.3, "median of 4 votes: 0, 1, 0.2, 0.4"),
        ("median", [0, None, 0.2, None, 1], 0.2, "median of 3 of 5 votes: 0, 0.2, 1; 'b' abstained: b is busy; "),
        ("majority", [1, 0, 1], 1.0, "majority: 2 of 3 votes are 1 (1, 0, 1)"),
        ("majority", [0.5, 0.5, None], 0.5, "majority: 2 of 3 votes are 0.5 (0.5, 0.5); 'c' abstained: c is busy"),
        ("mean", [1, "spoiled"], 0.5, "mean of 2 votes: 1, 0; 'b' scored lowest: b cannot read it"),
    ],
)
def test_votes_are_reduced_as_the_reason_says(reduce: str, votes: Sequence[Any], score: float, why: str) -> None:
    grade = graded(votes, reduce=reduce)
    assert grade.score == pytest.approx(score, abs=1e-15)
    assert grade.why.startswith(why)
    assert grade.why == why or why.endswith("; ")


def test_a_grade_tells_each_vote_its_spread_and_the_step() -> None:
    grade = graded([0.5, None, 1, 0.5])
    assert grade.extracted == {"votes": {"a": 0.5, "b": None, "c": 1.0, "d": 0.5}, "spread": 0.5}
    assert grade.formula == "mean(0.5, 1, 0.5) = 0.666667"
    assert list(grade.parts) == ["a", "b", "c", "d"]
    assert grade.parts["b"].error is not None


def test_those_that_abstain_for_the_same_reason_are_named_together() -> None:
    class Same(Vote):
        def grade(self, sample: Sample, item: Item) -> float:
            raise GradingError("overloaded", "busy", "infra")

    votes = [Vote(name="a"), Vote(name="b"), Vote(name="c"), Same(name="d"), Same(name="e")]
    grade = Panel(graders=votes)("x", {"a": 1, "b": 1, "c": 0})
    assert grade.why == "mean of 3 of 5 votes: 1, 1, 0; 'd', 'e' abstained: busy"


# The panel never shrinks


@pytest.mark.parametrize(
    ("reduce", "votes", "kind", "fault", "words"),
    [
        ("majority", [1, 0, None], "overloaded", "infra", "no score has more than half of the 3 votes: 1, 0; 'c' abs"),
        ("majority", [1, 1, None, None], "overloaded", "infra", "2 of 4 votes were decided, and 3 are needed"),
        ("majority", [1, 1, 0, 0], "no_majority", "grader", "no score has more than half of the 4 votes: 1, 1, 0, 0"),
        ("majority", [0, 0.5, 1], "no_majority", "grader", "no score has more than half of the 3 votes: 0, 0.5, 1"),
        ("majority", [0, 0.5, 1, 0.7, None], "no_majority", "grader", "'e' abstained: e is busy"),
        ("mean", [1, None], "overloaded", "infra", "1 of 2 votes were decided, and 2 are needed; 'b' abstained"),
        ("mean", [1, 1, None, None], "overloaded", "infra", "2 of 4 votes were decided, and 3 are needed"),
        ("median", [None, None, None], "overloaded", "infra", "0 of 3 votes were decided"),
        ("mean", [1, "unread", None], "overloaded", "infra", "'b' abstained: b mumbled; 'c' abstained: c is busy"),
        ("mean", [1, None, "unread", "unread"], "model_grader_parse_error", "grader", "'c' abstained: c mumbled"),
    ],
)
def test_a_panel_of_which_too_few_agree_or_decide_is_undecided(
    reduce: str, votes: Sequence[Any], kind: str, fault: str, words: str
) -> None:
    grade = graded(votes, reduce=reduce)
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == (kind, fault)
    assert words in grade.why
    assert grade.extracted["votes"] == {key: part.score for key, part in grade.parts.items()}


@pytest.mark.parametrize(
    ("quorum", "votes", "decided"),
    [
        (0.5, [1, None], True),
        (0.5, [1, None, None], False),
        (0.01, [1, None, None, None], True),
        (0.01, [None, None], False),
        (1, [1, 1, None], False),
        (2 / 3, [1, 1, None], True),
        (0.6, [1, 1, 1, None, None], True),  # 0.6 * 5 is 3, whatever the rounding
        (0.61, [1, 1, 1, None, None], False),
    ],
)
def test_a_quorum_is_the_share_of_all_votes_that_must_be_decided(
    quorum: float, votes: Sequence[Any], decided: bool
) -> None:
    assert (graded(votes, quorum=quorum).score is not None) == decided


VOTES = st.lists(st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1), st.none()), min_size=2, max_size=5)


@given(VOTES, st.sampled_from(["mean", "median", "majority"]))
@settings(max_examples=200, deadline=None)
def test_a_decided_score_lies_among_the_votes_and_more_than_half_stand_behind_it(votes: list[Any], reduce: str) -> None:
    grade = graded(votes, reduce=reduce)
    decided = [vote for vote in votes if vote is not None]
    if grade.score is None:
        assert reduce == "majority" or len(decided) <= len(votes) / 2
        return
    assert min(decided) <= grade.score <= max(decided)
    assert len(decided) > len(votes) / 2
    if reduce == "majority":
        assert votes.count(grade.score) > len(votes) / 2


@given(VOTES, st.sampled_from(["mean", "median", "majority"]), st.randoms())
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_votes_does_not_matter(votes: list[Any], reduce: str, random: Any) -> None:
    shuffled = list(votes)
    random.shuffle(shuffled)
    assert graded(votes, reduce=reduce).score == graded(shuffled, reduce=reduce).score


@pytest.mark.parametrize("reduce", ["mean", "median"])
def test_votes_of_any_size_are_reduced_without_overflow(reduce: str) -> None:
    grade = graded([1.7e308, 1.7e308, -1.7e308, -1.7e308], -math.inf, math.inf, reduce=reduce)
    assert grade.score == 0.0
    assert grade.extracted["spread"] is None
    assert graded([1.7e308, 1.7e308], 0, math.inf, reduce=reduce).score == pytest.approx(1.7e308)


# Faults of the candidate


def test_a_vote_that_the_candidate_spoiled_counts_and_its_error_is_borne() -> None:
    grade = graded([1, "spoiled", 1])
    assert grade.score == pytest.approx(2 / 3)
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")
    assert grade.error.detail == "vote 'b': b cannot read it"
    assert (~panel(3))("x", {"a": 1, "b": "spoiled", "c": 1}).score == 0.0  # spoiling a vote does not pay here either


def test_spoiling_every_vote_is_the_lowest_score() -> None:
    grade = graded(["spoiled"] * 3, -2, 1)
    assert grade.score == -2.0
    assert grade.error is not None
    assert grade.error.fault == "candidate"


def test_a_candidate_cannot_save_itself_from_a_majority_by_spoiling_a_vote() -> None:
    assert graded([0.5, 1, 0.5], reduce="majority").score == 0.5
    grade = graded([0.5, 1, "spoiled"], reduce="majority")
    assert grade.score == 0.0
    assert grade.error is not None
    assert grade.error.fault == "candidate"
    assert grade.why.endswith("so the whole counts as the least it could be")


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=2, max_size=5),
    st.sampled_from(["mean", "median", "majority"]),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_no_output_earns_more_by_spoiling_votes(votes: list[Any], reduce: str, data: st.DataObject) -> None:
    spoils = data.draw(st.lists(st.booleans(), min_size=len(votes), max_size=len(votes)))
    spoiled = ["spoiled" if spoil and vote is not None else vote for vote, spoil in zip(votes, spoils, strict=True)]
    honest, bad = graded(votes, reduce=reduce), graded(spoiled, reduce=reduce)
    if honest.score is not None and spoiled != votes:
        lost = reduce == "majority" and bad.score is None and None in votes  # for want of those who abstained
        assert lost or (bad.score is not None and bad.score <= honest.score)


# One judge, several models, several samples


def asked(grader: Grader, script: Any, output: str = "FBN1") -> tuple[Grade, list[Request]]:
    with ScriptedJudge(script) as judge:
        wire = {"services": {"local": {"base_url": judge.url, "retries": 0}}, "models": {"*": {"service": "local"}}}
        with use(Services(Settings.model_validate(wire))):
            grade = grader(output, {})
    return grade, judge.requests


def test_every_model_is_asked_as_often_as_there_are_samples() -> None:
    grader = load({"type": "panel", "grader": JUDGE, "models": ["small", "large"], "samples": 3})
    grade, requests = asked(grader, lambda request: verdict(1.0 if request.body["model"] == "large" else 0.5))
    assert grade.score == 0.75
    assert sorted(request.body["model"] for request in requests) == ["large"] * 3 + ["small"] * 3
    assert list(grade.parts) == ["small 1", "small 2", "small 3", "large 1", "large 2", "large 3"]
    assert grade.usage is not None
    assert {model: counts["calls"] for model, counts in grade.usage.items()} == {"small": 3, "large": 3}
    assert len({part.grader for part in grade.parts.values()}) == 6


def test_a_model_that_fails_abstains_and_the_others_decide() -> None:
    grader = load({"type": "panel", "grader": JUDGE, "models": ["small", "large", "down"]})
    answers = {"small": verdict(1), "large": verdict(0.5), "down": error(500, "out of order")}
    grade, _ = asked(grader, lambda request: answers[request.body["model"]])
    assert grade.score == 0.75
    assert grade.why.startswith("mean of 2 of 3 votes: 1, 0.5; 'down' abstained: local (down), asked 1 time: HTTP 500")


def test_a_judge_that_refuses_withholds_its_vote_and_what_it_used_is_counted() -> None:
    grader = load({"type": "panel", "grader": JUDGE, "models": ["small", "large", "shy"], "reduce": "majority"})
    answers = {"small": verdict(1), "large": verdict(0), "shy": said(None, refusal="I would rather not")}
    grade, _ = asked(grader, lambda request: answers[request.body["model"]])
    assert grade.score is None
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("model_grader_refusal_error", "grader")
    assert "'shy' abstained: the judge shy refused: 'I would rather not'" in grade.why
    assert grade.extracted == {"votes": {"small": 1.0, "large": 0.0, "shy": None}, "spread": 1.0}
    assert grade.usage is not None
    assert grade.usage["shy"]["calls"] == 2  # it was asked once more


def test_the_gate_for_texts_that_say_nothing_holds_for_every_vote() -> None:
    grader = load({"type": "panel", "grader": JUDGE, "models": ["small", "large"]})
    grade, requests = asked(grader, lambda request: verdict(1), output="Solution:")
    assert requests == []
    assert grade.score == 0.0
    assert grade.error is not None
    assert grade.error.kind == "unresponsive_reward_error"
    assert "'small', 'large' scored lowest: the output is only the opening of an answer" in grade.why


def test_votes_are_asked_for_together() -> None:
    class Waits(Grader):
        type: str = "waits"

        async def grade_async(self, sample: Sample, item: Item) -> float:
            async with asyncio.timeout(20):
                await item["barrier"].wait()
            return 1.0

    grader = Panel(graders=[Waits(name=name) for name in "abc"])
    assert grader("x", {"barrier": asyncio.Barrier(3)}).score == 1.0  # one after the other would wait for ever


def test_the_model_of_the_one_judge_need_not_be_written_twice() -> None:
    bare = {key: value for key, value in JUDGE.items() if key != "model"}
    grader = load({"type": "panel", "grader": bare, "models": ["one", "two"]})
    assert isinstance(grader, Panel)
    assert {key: getattr(part, "model", "") for key, part in grader.members.items()} == {"one": "one", "two": "two"}
    assert load(json.loads(json.dumps(grader.to_wire(), sort_keys=True))) == grader


@pytest.mark.parametrize(
    ("wire", "names"),
    [
        ({"graders": [JUDGE, {**JUDGE, "model": "large"}]}, ["small", "large"]),
        ({"graders": [JUDGE, {**JUDGE, "range": [0, 1], "sampling_params": {"seed": 1}}]}, ["small", "small_2"]),
        ({"graders": [{**JUDGE, "name": "strict"}, {**JUDGE, "name": "mild", "draw": 1}]}, ["strict", "mild"]),
        ({"graders": {"exact": EXACT, "judge": JUDGE}}, ["exact", "judge"]),
        ({"grader": JUDGE, "samples": 2}, ["small 1", "small 2"]),
        ({"graders": [JUDGE, {**JUDGE, "name": "x", "draw": 2}], "samples": 2}, ["small 1", "small 2", "x 1", "x 2"]),
    ],
)
def test_votes_have_names_that_stay_when_the_definition_is_written_and_read(
    wire: Mapping[str, Any], names: list[str]
) -> None:
    grader = load({"type": "panel", **wire})
    assert isinstance(grader, Panel)
    assert list(grader.members) == names
    again = load(json.loads(json.dumps(grader.to_wire())))
    assert isinstance(again, Panel)
    assert list(again.members) == names
    assert again.identity == grader.identity


def test_the_draws_of_a_judge_are_numbered_from_its_own() -> None:
    grader = load({"type": "panel", "grader": {**JUDGE, "draw": 2}, "samples": 3})
    assert isinstance(grader, Composite)
    assert [getattr(part, "draw", None) for part in grader.members.values()] == [2, 3, 4]


# Inside other graders, and out


def test_a_panel_stands_inside_other_graders_with_its_range() -> None:
    inner = panel(2, -1, 3)
    assert inner.range == (-1.0, 3.0)
    grade = load(
        {"type": "clip", "grader": {"type": "panel", "graders": [EXACT, {**EXACT, "operation": "like"}]}, "high": 0.5}
    )("my FBN1")
    assert grade.score == 0.5
    assert grade.parts["grader"].why == "mean of 2 votes: 0, 1"
    assert findings(panel(3)) == []
    outer = Panel(graders=[panel(2), Vote(name="c")])
    assert outer("x", {"a": 1, "b": 0, "c": 1}).score == 0.75


def test_openai_has_no_panel() -> None:
    with pytest.raises(ValueError, match="type 'panel' is Assay's own"):
        load({"type": "panel", "grader": JUDGE, "samples": 2}).to_openai()


def test_its_identity_covers_the_models_that_answer() -> None:
    grader = load({"type": "panel", "grader": JUDGE, "models": ["small", "large"]})
    plain = grader.identity
    with use(Services(Settings.model_validate({"models": {"large": {"model": "another"}}}))):
        assert grader.identity != plain
        assert grader.models() == ("small json_schema", "another json_schema")
    assert load({"type": "panel", "grader": JUDGE, "models": ["small", "huge"]}).identity != plain


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ({}, "give 'graders', a list of those that vote, or 'grader'"),
        ({"grader": JUDGE, "graders": [JUDGE]}, "give 'graders', a list of those that vote, or 'grader'"),
        ({"graders": [EXACT]}, "one vote is no panel"),
        ({"graders": []}, "one vote is no panel"),
        ({"grader": JUDGE}, "one vote is no panel; give several graders, models or samples"),
        ({"graders": [JUDGE, EXACT], "models": ["a", "b"]}, "'models' are put into the one 'grader'"),
        ({"grader": EXACT, "samples": 3}, "'string_check' is no judge that can be asked for another answer"),
        ({"graders": [JUDGE, EXACT], "samples": 2}, "so 2 samples would be the same vote; leave 'samples' out"),
        (
            {"grader": EXACT, "models": ["a", "b"]},
            "'string_check' asks no model of its own, so 'models' would do nothing",
        ),
        ({"grader": {"type": "negate", "grader": JUDGE}, "models": ["a", "b"]}, "'negate' asks no model of its own"),
        ({"grader": JUDGE, "models": ["a", "b"]}, "the grader's own model 'small' is not among 'models'"),
        ({"grader": JUDGE, "models": ["small", "small"]}, "'small' and 'small_2' are the same judge"),
        ({"graders": [JUDGE, JUDGE]}, "'small' and 'small_2' are the same judge, so the same vote; ask for 'samples'"),
        ({"graders": [JUDGE, {**JUDGE, "draw": 1}], "samples": 2}, "are the same judge"),
        ({"graders": [{**JUDGE, "name": "ann"}, {**JUDGE, "name": "bob"}]}, "'ann' and 'bob' are the same judge"),
        (
            {"graders": [EXACT, {**JUDGE, "range": [0, 5]}]},
            "'string_check' scores from 0 to 1, 'small' from 0 to 5, so",
        ),
        ({"grader": JUDGE, "samples": 0}, "samples: Input should be greater than or equal to 1"),
        ({"grader": JUDGE, "samples": 2.0}, "samples: Input should be a valid integer"),
        ({"grader": JUDGE, "samples": 2, "quorum": 0}, "quorum: Input should be greater than 0"),
        ({"grader": JUDGE, "samples": 2, "quorum": 1.5}, "quorum: Input should be less than or equal to 1"),
        ({"grader": JUDGE, "samples": 2, "reduce": "mode"}, "reduce: Input should be 'mean', 'median' or 'majority'"),
        (
            {"grader": JUDGE, "samples": 4, "reduce": "majority", "quorum": 0.75},
            "a quorum of 0.75 asks for 3 of 4 votes",
        ),
        ({"grader": JUDGE, "modles": ["a"]}, "unknown key 'modles'; did you mean 'models'?"),
        ({"grader": JUDGE, "models": [""]}, "models.0: String should have at least 1 character"),
        ({"grader": {**JUDGE, "modell": "x"}, "samples": 2}, "grader: unknown key 'modell'"),
        ({"graders": 5}, "a list of graders is expected"),
    ],
)
def test_a_panel_that_makes_no_sense_is_refused_when_it_loads(wire: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        load({"type": "panel", **wire})


def test_a_function_votes_too() -> None:
    grader = Panel(graders=[as_grader(lambda sample, item: 3.0, "one"), as_grader(lambda sample, item: 1.0, "two")])
    assert grader("x").score == 2.0
    assert grader.range == (-math.inf, math.inf)


@pytest.mark.parametrize("output", ["", " ", "x" * 100_000, "\ud800", "[NaN]", "[" * 10_000])
def test_hostile_outputs_are_decided(output: str) -> None:
    held = {**EXACT, "name": "held", "input": "{{sample.output_json.gene}}"}
    for reduce in ("mean", "median", "majority"):
        grade = load({"type": "panel", "graders": [EXACT, held], "reduce": reduce})(output)
        assert grade.score == 0.0
        json.dumps(grade.to_wire()).encode()
