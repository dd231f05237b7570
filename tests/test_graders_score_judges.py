"""Many outputs graded by judges: what was paid is kept, counted and told, and nothing is asked that need not be."""

from __future__ import annotations

import asyncio
import json
import math
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import load
from graders.composite import GraderWarning
from graders.grade import Grade, GradingStopped
from graders.offline.estimate import Estimate
from graders.score import grade_file, grade_file_with_all, grade_many, price_file
from graders.service.cost import cost_of, money, number, usage_lines
from graders.service.ledger import Ledger
from graders.service.services import Services, current, use
from graders.service.settings import Price, Settings
from graders.statistics import Asked, Summary, Tally, note_of, summarise
from graders.testing.scripted_judge import Reaction, Request, ScriptedJudge, error, said, verdict

QUALITY: dict[str, Any] = {
    "type": "score_model",
    "name": "quality",
    "model": "gpt-4o",
    "input": [{"role": "user", "content": "{{item.q}}: {{sample.output_text}}"}],
    "sampling_params": {"max_completions_tokens": 100},
}
EXACT = {"type": "string_check", "name": "exact", "input": "{{sample.output_text}}", "reference": "{{item.right}}"}
PRICES = {"gpt-4o": {"input": 2.0, "output": 10.0}}
DOLLARS = (100 * 2 + 20 * 10) / 1e6  # of a call of the scripted judge


def by_length(request: Request) -> Reaction:
    return verdict(min(1.0, request.last.count("x") / 40))


@pytest.fixture
def judge() -> Iterator[ScriptedJudge]:
    with ScriptedJudge(by_length) as server:
        yield server


def settings(judge: ScriptedJudge, **service: Any) -> Settings:
    services: dict[str, Any] = {"local": {"base_url": judge.url, "retries": 0, **service}}
    models: dict[str, Any] = {"*": {"service": "local"}}
    return Settings.model_validate({"services": services, "models": models, "prices": PRICES})


def rows(count: int, **item: Any) -> list[dict[str, Any]]:
    return [
        {"id": f"r{n}", "item": {"q": f"question {n}", **item}, "output_text": f"answer {n} {'x' * n}"}
        for n in range(count)
    ]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_usage_and_cost_are_those_of_the_grades(judge: ScriptedJudge, tmp_path: Path) -> None:
    with use(Services(settings(judge))):
        summary = grade_file(load(QUALITY), rows(20), tmp_path / "out.jsonl")
    counts = {"calls": 20, "prompt_tokens": 2000, "completion_tokens": 400, "cached_tokens": 0}
    assert summary.usage == summary.to_wire()["usage"] == {"gpt-4o": counts}
    assert cost_of(summary.usage, settings(judge).prices) == pytest.approx(20 * DOLLARS)
    found = summary.score_and_length
    assert found is not None
    assert found.r > 0.9  # the judge pays for length
    assert found.low < found.r < found.high
    assert summary.details() == [f"score and length r = {found.r:.2f} [{found.low:.2f}, {found.high:.2f}]"]


def test_a_pure_grader_has_no_usage_and_no_correlation(tmp_path: Path) -> None:
    pure = load({**EXACT, "operation": "eq"})
    summary = grade_file(pure, rows(10, right="x"), tmp_path / "out.jsonl")
    assert summary.usage is None
    assert summary.score_and_length is None
    assert summary.details() == []
    assert {"usage", "score_and_length", "settled"}.isdisjoint(summary.to_wire())


def test_a_budget_stops_before_it_is_passed_and_what_was_recorded_counts(judge: ScriptedJudge, tmp_path: Path) -> None:
    out, grader, most = tmp_path / "out.jsonl", load(QUALITY), 12 * DOLLARS
    for _ in range(2):
        with use(Services(settings(judge), budget=most)) as services, pytest.raises(GradingStopped, match="the budget"):
            grade_file(grader, rows(20), out, concurrency=1)
        assert services.ledger.dollars <= most
        asked = len(judge.requests)
        assert len(lines(tmp_path / "out.jsonl.partial")) == asked > 3, (
            "what was paid is kept; the second run pays none"
        )
        assert services.ledger.dollars == pytest.approx(asked * DOLLARS)
    with use(Services(settings(judge), budget=1.0)):
        summary = grade_file(grader, rows(20), out, concurrency=1)
    assert len(judge.requests) == 20
    assert summary.usage is not None
    assert summary.usage["gpt-4o"]["calls"] == 20, "the summary of the whole, not of the last run"


def test_the_same_command_with_its_cache_asks_only_what_could_not_be_decided(tmp_path: Path) -> None:
    broken = True

    def script(request: Request) -> Reaction:
        place = int(re.findall(rb"answer (\d+) ", request.raw)[0])
        if broken and place % 5 == 0:
            return error(500, "scripted outage")
        return said("about 7 of 10") if broken and place % 5 == 1 else verdict(0.5)

    grader, out, cache = load(QUALITY), tmp_path / "out.jsonl", tmp_path / "cache"
    with ScriptedJudge(script) as server:
        with use(Services(settings(server), cache=cache)):
            first = grade_file(grader, rows(20), out, cache=cache)
        assert first.errors == {"model_grader_server_error": 4, "model_grader_parse_error": 4}
        broken, asked = False, len(server.requests)
        with use(Services(settings(server), cache=cache)):
            second = grade_file(grader, rows(20), out, cache=cache)
        assert len(server.requests) - asked == 8
    assert second.errors == {}
    assert second.usage is not None
    assert (second.usage["gpt-4o"]["calls"], second.usage["gpt-4o"]["kept"]) == (8, 12)
    assert [line["score"] for line in lines(out)] == [0.5] * 20


def test_answers_outlive_a_run_that_was_stopped_beyond_what_was_recorded(tmp_path: Path) -> None:
    def script(request: Request) -> Reaction:
        if "answer 0 " in request.last and refusing:
            return replace(error(401, "no such key"), seconds=1.0)  # when the others have been answered
        return verdict(0.5)

    refusing, grader = True, load(QUALITY)
    with ScriptedJudge(script) as server:
        with use(Services(settings(server), cache=tmp_path)), pytest.raises(GradingStopped, match="no such key"):
            grade_file(grader, rows(6), tmp_path / "out.jsonl", cache=tmp_path)
        refusing = False
        with use(Services(settings(server), cache=tmp_path)):
            grade_file(grader, rows(6), tmp_path / "out.jsonl", cache=tmp_path)
        answered = {text for text, times in server.times.items() if times > 1}
        assert all(b"answer 0 " in text for text in answered), "only the one that was refused was asked again"


def test_a_judge_that_cannot_be_asked_or_lacks_a_variable_is_refused_before_anything(
    judge: ScriptedJudge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    out = tmp_path / "out.jsonl"
    with use(Services(Settings())), pytest.raises(ValueError, match="OPENAI_API_KEY is not set"):
        grade_file(load(QUALITY), rows(3), out)
    typo = {**QUALITY, "input": [{"role": "user", "content": "{{item.qq}} {{sample.output_text}}"}]}
    with use(Services(settings(judge))), pytest.raises(ValueError, match=r"item\.qq .* did you mean 'q'"):
        grade_file(load(typo), rows(3), out)
    with use(Services(settings(judge))), pytest.raises(ValueError, match=r"item\.qq"):
        price_file({"typo": load(typo)}, rows(3))
    assert judge.requests == []
    assert list(tmp_path.iterdir()) == []


def test_a_malformed_row_among_the_first_is_still_named_after_those_before_it(
    judge: ScriptedJudge, tmp_path: Path
) -> None:
    broken = [*rows(3), {"id": "bad", "item": {"q": "no output"}}]
    with use(Services(settings(judge))), pytest.raises(ValueError, match="row 4"):
        grade_file(load(QUALITY), broken, tmp_path / "out.jsonl")
    assert len(lines(tmp_path / "out.jsonl.partial")) == 3


def cascade() -> Mapping[str, Any]:
    """Settled by a pure grader where the item has a key `right`, else by the judge."""
    return {"type": "cascade", "name": "first_exact", "graders": [{**EXACT, "operation": "eq"}, QUALITY]}


def mixed(count: int) -> list[dict[str, Any]]:
    return [*rows(count, right="something"), *({**row, "id": f"j{n}"} for n, row in enumerate(rows(count // 2)))]


def test_of_a_cascade_it_is_told_who_settled_how_often(judge: ScriptedJudge, tmp_path: Path) -> None:
    with use(Services(settings(judge))):
        summary = grade_file(load(cascade()), mixed(10), tmp_path / "out.jsonl")
    assert summary.settled == {"exact": 10, "quality": 5}
    assert summary.spared == pytest.approx(2 / 3)
    assert "settled by 'exact' 10, 'quality' 5; 'quality' was not asked in 66.7% of the rows" in summary.details()
    assert summary.to_wire()["last_part_spared"] == pytest.approx(2 / 3)
    assert len(judge.requests) == 5


def test_a_cascade_may_begin_with_what_the_first_rows_lack(judge: ScriptedJudge, tmp_path: Path) -> None:
    with use(Services(settings(judge))):
        summary = grade_file(load(cascade()), rows(120), tmp_path / "out.jsonl")
    assert summary.settled == {"exact": 0, "quality": 120}


def test_a_dry_run_asks_nothing_writes_nothing_and_says_what_it_would_take(
    judge: ScriptedJudge, tmp_path: Path
) -> None:
    with use(Services(settings(judge))):
        estimate = price_file({"whole": load(cascade())}, mixed(10), tmp_path / "out.jsonl", cache=tmp_path / "cache")
    assert (estimate.rows, estimate.unasked) == (15, 10)
    counts = estimate.usage["gpt-4o"]
    assert (counts["calls"], counts["completion_tokens"]) == (5, 500)
    assert estimate.cost == pytest.approx((counts["prompt_tokens"] * 2 + 500 * 10) / 1e6)
    assert str(estimate).startswith("dry run: 15 rows to grade, 10 of them without a judge; nothing was asked")
    assert judge.requests == []
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_counts_the_tokens_that_are_sent_by_their_bytes(judge: ScriptedJudge, tmp_path: Path) -> None:
    with use(Services(settings(judge))):
        estimate = price_file({"quality": load(QUALITY)}, rows(5))
        grade_file(load(QUALITY), rows(5), tmp_path / "out.jsonl")
    assert estimate.usage["gpt-4o"]["prompt_tokens"] == sum(len(request.raw) // 4 for request in judge.requests)


def test_a_dry_run_leaves_out_what_was_recorded_and_what_is_in_the_cache(judge: ScriptedJudge, tmp_path: Path) -> None:
    out, cache, grader = tmp_path / "out.jsonl", tmp_path / "cache", load(QUALITY)
    with use(Services(settings(judge), budget=8 * DOLLARS)), pytest.raises(GradingStopped):
        grade_file(grader, rows(10), out, concurrency=1)
    recorded = len(lines(tmp_path / "out.jsonl.partial"))
    with use(Services(settings(judge), cache=cache)):
        grade_file(grader, rows(4), tmp_path / "other.jsonl", cache=cache)
    before = (tmp_path / "out.jsonl.partial").read_bytes()
    with use(Services(settings(judge))):
        assert price_file({"q": grader}, rows(10), out).rows == 10 - recorded
        assert price_file({"q": grader}, rows(10), cache=cache).usage["gpt-4o"]["calls"] == 6
        assert price_file({"q": grader}, rows(4), cache=cache).usage == {}
    assert (tmp_path / "out.jsonl.partial").read_bytes() == before
    assert len(judge.requests) == recorded + 4


def test_a_model_without_a_price_is_told_without_one(judge: ScriptedJudge) -> None:
    free = settings(judge).model_copy(update={"prices": {}})
    with use(Services(free)):
        estimate = price_file({"q": load(QUALITY)}, rows(2))
    assert estimate.cost is None
    assert "no price known" in str(estimate)
    assert estimate.to_wire()["dollars"] is None


def test_pure_graders_would_ask_no_judge() -> None:
    estimate = price_file({"exact": load({**EXACT, "operation": "eq"})}, rows(3, right="x"))
    assert (estimate.rows, estimate.unasked, estimate.usage) == (3, 3, {})
    assert str(estimate).endswith("no judge would be asked")


def test_a_praised_canary_stops_the_run_and_keeps_what_came_before(tmp_path: Path) -> None:
    def script(request: Request) -> Reaction:
        return verdict(float(praising and "known to be bad" in request.last))

    praising = False
    canary = {"output": "This answer is known to be bad.", "every": 4}
    grader = load({**QUALITY, "canary": canary})
    data = rows(10)

    def watched() -> Iterator[dict[str, Any]]:
        nonlocal praising
        for place, row in enumerate(data):
            praising = place >= 6
            yield row

    with (
        ScriptedJudge(script) as server,
        use(Services(settings(server))),
        pytest.raises(GradingStopped, match="canary"),
    ):
        grade_file(grader, watched(), tmp_path / "out.jsonl", concurrency=1)
    assert not (tmp_path / "out.jsonl").exists()


def test_several_graders_are_told_apart(judge: ScriptedJudge, tmp_path: Path) -> None:
    other = {**QUALITY, "name": "other", "model": "gpt-4.1"}
    named = {"quality": load(QUALITY), "other": load(other), "exact": load({**EXACT, "operation": "eq"})}
    with use(Services(settings(judge))):
        found = grade_file_with_all(named, rows(4, right="x"), tmp_path / "out.jsonl")
    assert [list(summary.usage or {}) for summary in found.values()] == [["gpt-4o"], ["gpt-4.1"], []]


def test_what_the_ledger_holds_of_a_run_is_what_its_grades_say(judge: ScriptedJudge, tmp_path: Path) -> None:
    with use(Services(settings(judge))):
        summary = grade_file(load(QUALITY), rows(7), tmp_path / "out.jsonl")
        (entry,) = current().ledger.entries()
    assert summary.usage == {entry.model: entry.counts}


# Figures


def correlation(pairs: list[tuple[int, float]]) -> Any:
    tally = Tally()
    for length, score in pairs:
        tally.add_note(note_of(Grade(score, ""), Asked(None, length)))
    return tally.summary().score_and_length


@given(st.lists(st.tuples(st.integers(0, 10_000), st.floats(-10, 10)), min_size=4, max_size=50))
def test_the_streamed_correlation_is_the_textbook_one(pairs: list[tuple[int, float]]) -> None:
    import numpy as np

    found = correlation(pairs)
    lengths, scores = np.array(pairs, dtype=float).T
    if found is None:
        return
    assert -1 <= found.low <= found.r <= found.high <= 1
    if lengths.std() > 1e-3 and scores.std() > 1e-3:
        assert found.r == pytest.approx(np.corrcoef(lengths, scores)[0, 1], abs=1e-6)


def test_fishers_interval_is_that_of_the_textbook() -> None:
    found = correlation([(0, 0.0)] * 14 + [(1, 1.0)] * 14)
    assert (found.r, found.low, found.high) == (1, 1, 1)
    found = correlation([(0, 0.0)] * 9 + [(0, 1.0)] * 3 + [(1, 0.0)] * 3 + [(1, 1.0)] * 13)
    z = math.atanh(found.r)
    assert math.atanh(found.low) == pytest.approx(z - 1.959964 / 5, abs=1e-5)
    assert math.atanh(found.high) == pytest.approx(z + 1.959964 / 5, abs=1e-5)


@pytest.mark.parametrize(
    "pairs",
    [
        [(1, 0.0), (2, 1.0), (3, 0.0)],
        [(5, 0.1), (5, 0.2), (5, 0.3), (5, 0.4)],
        [(1, 0.1), (2, 0.1), (3, 0.1), (4, 0.1)],
        [(1, 1e200), (2, -1e200), (3, 1e200), (4, 0.0)],
        [],
    ],
)
def test_a_correlation_that_cannot_be_told_is_left_out(pairs: list[tuple[int, float]]) -> None:
    assert correlation(pairs) is None


def test_undecided_grades_are_paid_for_and_enter_no_correlation() -> None:
    used = {"m": {"calls": 1, "prompt_tokens": 3}}
    grades = [Grade(n / 5, "", usage=used) for n in range(5)] + [Grade.undecided("timeout", "slow", usage=used)]
    found = summarise(grades, lengths=[1, 2, 3, 4, 5, 10_000])
    assert found.usage == {"m": {"calls": 6, "prompt_tokens": 18}}
    assert found.score_and_length is not None
    assert found.score_and_length.r == pytest.approx(1)
    assert found.score_and_length.n == 5


def test_a_summary_without_judges_has_the_form_it_always_had() -> None:
    assert Summary(0, None, {}).to_wire().keys() == {"n", "mean", "ci_low", "ci_high", "failed", "errors"}


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (3.424, "$3.42"),
        (0.0042, "$0.0042"),
        (12345.6, "$12,345.60"),
        (1.234e-5, "$0.000012"),
        (1e-6, "$0.0000010"),
    ],
)
def test_dollars_have_the_digits_that_say_something(amount: float, text: str) -> None:
    assert money(amount) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0"), (9999, "9,999"), (12_345, "12.3 k"), (1_234_567, "1.2 M")])
def test_tokens_are_told_short(count: int, text: str) -> None:
    assert number(count) == text


def test_a_line_of_usage_says_calls_kept_tokens_and_dollars() -> None:
    prices = {"gpt-4o": Price(input=2.5, output=10)}
    counts = {"calls": 788, "kept": 212, "prompt_tokens": 1_200_000, "completion_tokens": 100_000}
    told = {"calls": 1, "prompt_tokens": 5, "completion_tokens": 6}
    assert usage_lines({"gpt-4o": counts, "qwen": told, "mute": {"calls": 1}, "known": {"kept": 2}}, prices) == [
        "judge gpt-4o: 788 calls, 212 kept, 1.2 M prompt + 100.0 k completion tokens, $4.00",
        "judge qwen: 1 call, 5 prompt + 6 completion tokens, no price known",
        "judge mute: 1 call, usage not told",
        "judge known: 0 calls, 2 kept, 0 prompt + 0 completion tokens, $0.00",
    ]


def test_an_estimate_of_several_models_has_a_sum() -> None:
    usage = {name: {"calls": 1, "prompt_tokens": 1000, "completion_tokens": 100} for name in ("a", "b")}
    estimate = Estimate(1, 0, usage, {name: Price(input=1000, output=1000) for name in usage})
    assert str(estimate).endswith("together about $2.20")


# What several starts of one run spend together


class Till:
    """Counts at the server what every answer that it sent costs, and makes some of them late, or silent on usage."""

    def __init__(self, silent: int = 0) -> None:
        self.lock, self.answers, self.silent = threading.Lock(), 0, silent

    def __call__(self, request: Request) -> Reaction:
        with self.lock:
            self.answers += 1
            number = self.answers
        reaction = replace(verdict(0.5), seconds=0.002 * (number % 5))
        return reaction if not self.silent or number % self.silent else without_usage(reaction)

    @property
    def charged(self) -> float:
        return self.answers * DOLLARS


def without_usage(reaction: Reaction) -> Reaction:
    wire = json.loads(reaction.body)
    del wire["usage"]
    return replace(reaction, body=json.dumps(wire).encode())


@pytest.mark.parametrize(("silent", "concurrency"), [(0, 1), (0, 16), (3, 16)])
def test_starts_of_one_run_charge_together_no_more_than_its_budget(
    silent: int, concurrency: int, tmp_path: Path
) -> None:
    till, grader, out, budget = Till(silent), load(QUALITY), tmp_path / "out.jsonl", 60 * DOLLARS
    with ScriptedJudge(till) as server:
        for _ in range(5):
            with use(Services(settings(server), budget=budget)), pytest.raises(GradingStopped, match="the budget"):
                grade_file(grader, rows(200), out, concurrency=concurrency)
        assert till.answers > 10
        assert till.charged <= budget
        stored = json.loads((tmp_path / "out.jsonl.partial.spent").read_text())
        assert stored["dollars"] + stored["lost"]["dollars"] <= budget + 1e-9
        assert (stored["lost"]["untold"] > 0) == bool(silent)
        with use(Services(settings(server), budget=100.0)):
            grade_file(grader, rows(200), out, concurrency=concurrency)
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_answers_beyond_the_last_recorded_row_are_spent_all_the_same(tmp_path: Path) -> None:
    def script(request: Request) -> Reaction:
        if "answer 0 " in request.last:
            return replace(error(401, "no such key"), seconds=0.5)  # when the others have been answered
        return verdict(0.5)

    with ScriptedJudge(script) as server:
        for times in (1, 2):
            with (
                use(Services(settings(server), budget=1.0)) as services,
                pytest.raises(GradingStopped, match="no such"),
            ):
                grade_file(load(QUALITY), rows(5), tmp_path / "out.jsonl")
            assert services.ledger.dollars == pytest.approx(4 * times * DOLLARS)


@pytest.mark.parametrize(("held", "counted"), [(2, 4), (9, 9)])
def test_of_what_was_stored_and_what_was_recorded_the_larger_counts(
    held: int, counted: int, judge: ScriptedJudge, tmp_path: Path
) -> None:
    out, grader = tmp_path / "out.jsonl", load(QUALITY)
    with use(Services(settings(judge))):
        grade_file(grader, rows(4), out)
    (tmp_path / "out.jsonl.partial").write_bytes(out.read_bytes())
    used = {"calls": held, "prompt_tokens": 100 * held, "completion_tokens": 20 * held}
    lost = {"dollars": 0.25, "calls": 3, "untold": 0}
    spent = tmp_path / "out.jsonl.partial.spent"
    spent.write_text(json.dumps({"dollars": 0, "lost": lost, "usage": {grader.identity: {"gpt-4o": used}}}))
    with use(Services(settings(judge), budget=1.0)) as services:
        grade_file(grader, rows(4), out)
    assert services.ledger.dollars == pytest.approx(counted * DOLLARS)
    assert services.ledger.lost == pytest.approx(0.25)
    assert not spent.exists()


def test_a_file_of_what_was_spent_that_is_broken_is_refused_by_name(judge: ScriptedJudge, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl.partial.spent").write_text("{")
    with use(Services(settings(judge), budget=1.0)), pytest.raises(ValueError, match=r"partial\.spent, what was spent"):
        grade_file(load(QUALITY), rows(4), tmp_path / "out.jsonl")
    assert judge.requests == []


def test_two_files_under_one_budget_keep_their_own_count(judge: ScriptedJudge, tmp_path: Path) -> None:
    with use(Services(settings(judge), budget=20 * DOLLARS)):
        grade_file(load(QUALITY), rows(5), tmp_path / "a.jsonl", concurrency=1)
        with pytest.raises(GradingStopped):
            grade_file(load(QUALITY), rows(100), tmp_path / "b.jsonl", concurrency=1)
    stored = json.loads((tmp_path / "b.jsonl.partial.spent").read_text())
    (counts,) = (usage["gpt-4o"] for usage in stored["usage"].values())
    assert counts["calls"] == len(judge.requests) - 5 == len(lines(tmp_path / "b.jsonl.partial"))


def test_who_waits_for_a_part_of_the_budget_is_served_in_turn_whatever_its_loop() -> None:
    ledger = Ledger({}, budget=10.0)
    served: list[str] = []

    async def ask(name: str, dollars: float) -> None:
        await ledger.reserve(dollars)
        served.append(name)
        await asyncio.sleep(0.01)
        ledger.release(dollars)

    async def several(name: str) -> None:
        await ledger.reserve(9.0)
        large = asyncio.create_task(ask(f"{name} large", 8.0))
        await asyncio.sleep(0)
        small = [asyncio.create_task(ask(f"{name} small", 1.5)) for _ in range(5)]
        await asyncio.sleep(0.01)
        ledger.release(9.0)
        await asyncio.gather(large, *small)

    asyncio.run(several("a"))
    assert served == ["a large", *["a small"] * 5], "the small ones did not go past the large one"
    served.clear()
    threads = [threading.Thread(target=asyncio.run, args=(several(name),)) for name in "bcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(served) == sorted(name for each in "bcd" for name in [f"{each} large", *[f"{each} small"] * 5])
    assert ledger.snapshot()[1].dollars == 0


def test_a_waiting_call_that_is_cancelled_leaves_its_place_to_the_next() -> None:
    async def main() -> None:
        ledger = Ledger({}, budget=1.0)
        await ledger.reserve(1.0)
        first, second = (asyncio.create_task(ledger.reserve(1.0)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        ledger.release(1.0)
        await second
        ledger.release(1.0, lost=1.0)
        with pytest.raises(
            GradingStopped, match=r"\$1.0000 are spent \(\$1.0000 of it at most by calls: 1 that brought"
        ):
            await ledger.reserve(0.000012)

    asyncio.run(main())


def test_a_service_that_does_not_tell_its_usage_is_no_service_for_nothing(tmp_path: Path) -> None:
    with ScriptedJudge(lambda request: without_usage(verdict(0.5))) as server:
        with use(Services(settings(server))) as services:
            summary = grade_file(load(QUALITY), rows(3), tmp_path / "out.jsonl")
        assert summary.usage == {"gpt-4o": {"calls": 3}}
        assert cost_of(summary.usage, services.settings.prices) is None
        with (
            use(Services(settings(server), budget=10 * DOLLARS)),
            pytest.raises(GradingStopped, match=r"of it at most by calls: \d+ whose usage was not told\)"),
        ):
            grade_file(load(QUALITY), rows(30), tmp_path / "b.jsonl", concurrency=1)


def test_more_cached_tokens_than_the_prompt_had_make_no_call_cheaper_than_free() -> None:
    prices = {"m": Price(input=2, output=10, cached_input=1)}
    counts = {"calls": 1, "prompt_tokens": 100, "completion_tokens": 20, "cached_tokens": 5000}
    ledger = Ledger(prices)
    ledger.add("g", {"m": counts})
    assert cost_of({"m": counts}, prices) == ledger.dollars == pytest.approx((100 * 1 + 20 * 10) / 1e6)
    assert [entry.dollars for entry in ledger.entries()] == [ledger.dollars]


@pytest.mark.parametrize("change", ["grader", "rows", "fewer"])
def test_recorded_grades_that_were_paid_for_are_set_aside_and_told(
    change: str, judge: ScriptedJudge, tmp_path: Path
) -> None:
    out, data = tmp_path / "out.jsonl", rows(4)
    with use(Services(settings(judge))):
        grade_file(load(QUALITY), data, out)
        recorded = out.read_bytes()
        (tmp_path / "out.jsonl.partial").write_bytes(recorded)
        (tmp_path / "out.jsonl.partial.old").write_text("of an earlier time")
        grader = load({**QUALITY, "pass_threshold": 0.4} if change == "grader" else QUALITY)
        if change == "rows":
            data[2] = {**data[2], "output_text": "another"}
        if change == "fewer":
            del data[2:]
        number = 4 if change == "grader" else 2
        said = rf"{number} recorded grades are of another grader or of other rows and are made anew.*\.partial\.old-2"
        with pytest.warns(GraderWarning, match=said):
            grade_file(grader, data, out)
    assert (tmp_path / "out.jsonl.partial.old-2").read_bytes() == recorded
    assert (tmp_path / "out.jsonl.partial.old").read_text() == "of an earlier time"


def test_judges_are_asked_inside_a_running_event_loop_as_in_a_notebook(judge: ScriptedJudge, tmp_path: Path) -> None:
    grader, cache, by_row = load(QUALITY), tmp_path / "cache", [n / 40 for n in range(20)]

    async def notebook() -> None:
        here = asyncio.get_running_loop()
        with use(Services(settings(judge), budget=1.0, cache=cache)):
            pairs = [(row["output_text"], row["item"]) for row in rows(20)]
            assert [grade.score for grade in grade_many(grader, pairs, concurrency=3)] == by_row
            grade_file(grader, rows(20), tmp_path / "out.jsonl", cache=cache, concurrency=3)
            assert price_file({"quality": grader}, rows(25), cache=cache).usage["gpt-4o"]["calls"] == 5
        assert asyncio.get_running_loop() is here
        await asyncio.sleep(0)

    asyncio.run(notebook())
    assert [line["score"] for line in lines(tmp_path / "out.jsonl")] == by_row
    assert len(judge.requests) == 20


def test_a_run_that_is_stopped_inside_a_running_event_loop_ends(judge: ScriptedJudge, tmp_path: Path) -> None:
    async def main() -> None:
        with use(Services(settings(judge), budget=5 * DOLLARS)), pytest.raises(GradingStopped, match="the budget"):
            grade_file(load(QUALITY), rows(30), tmp_path / "out.jsonl")

    asyncio.run(main())
