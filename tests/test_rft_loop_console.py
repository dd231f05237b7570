"""What a terminal shows of a run: plain lines for a file, a live view for a person."""

from __future__ import annotations

import io
import re
import time
from typing import Any

import pytest
from rich.console import Console

from rft_loop.display.console import Figures, items_text, live_view, panel

START = {
    "event": "start",
    "name": "genes-demo",
    "grader": "gene_rank@4f1c9ab2",
    "items": {"train": 1100, "validation": 300},
    "parameters": 1_420_000,
    "device": "cpu",
}


def step(number: int, **more: Any) -> dict[str, Any]:
    measured = {"frac_reward_zero_std": 0.25, "completions/mean_length": 22.5, "undecided": 0, "errors": {}}
    return {"event": "step", "step": number, "of": 40, "reward": 0.3 + number / 100, **measured} | more


def validation(number: int, reward: float | None, **more: Any) -> dict[str, Any]:
    bounds = {"low": reward - 0.03, "high": reward + 0.03} if reward is not None else {}
    return {"event": "validation", "step": number, "reward": reward, **bounds, "n": 300, "errors": {}} | more


WHOLE_RUN: list[dict[str, Any]] = [
    START,
    *({"event": "warm_start", "step": k, "of": 50, "loss": 4 / k, "learning_rate": 1e-3} for k in range(1, 51)),
    validation(0, 0.281),
    {"event": "checkpoint", "phase": "step", "step": 0, "path": "step-0"},
    *(step(k) for k in range(1, 21)),
    validation(20, 0.455),
    {"event": "resume", "phase": "step", "step": 20},
    step(21, undecided=3, errors={"timeout": 2, "model_grader_parse_error": 1}),
    *(step(k) for k in range(22, 41)),
    validation(40, 0.431, errors={"timeout": 1}),
    {"event": "end", "seconds": 75.0, "best_step": 20, "peak_rss_mb": 1284.0},
    {"event": "something new", "step": 3},
    {},
]


def printed(events: list[dict[str, Any]], terminal: bool = False, width: int = 100) -> str:
    out = io.StringIO()
    with live_view(40, "genes-demo", Console(file=out, force_terminal=terminal, width=width)) as view:
        for event in events:
            view(event)
    return out.getvalue()


def screen(events: list[dict[str, Any]], width: int = 100) -> str:
    figures = Figures(40)
    for event in events:
        figures.take(event)
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(panel(figures, "genes-demo"))
    return capture.get()


def test_a_resumed_run_remembers_the_best_of_before() -> None:
    resumed = {"event": "resume", "phase": "step", "step": 40, "best_step": 20, "best_reward": 0.9}
    lines = printed(
        [resumed, {**validation(60, 0.4), "best": False}, {"event": "end", "seconds": 5.0, "best_step": 20}]
    )
    assert "best so far" not in lines
    assert "best validation 0.900" in lines
    assert "at step 20" in lines


def test_plain_lines_tell_reward_validation_and_end() -> None:
    lines = printed(WHOLE_RUN).splitlines()
    assert lines[0] == "genes-demo: 1,100 train, 300 validation, 1.42 M parameters, cpu, gene_rank@4f1c9ab2"
    assert "validation step 0  reward 0.281 [0.251, 0.311]  n 300" in lines
    assert "validation step 20  reward 0.455 [0.425, 0.485]  n 300  best so far" in lines
    assert "validation step 40  reward 0.431 [0.401, 0.461]  n 300" in lines
    assert "resumed at step 20" in lines
    assert "finished in 1:15: best validation 0.455 [0.425, 0.485] at step 20; peak memory 1,284 MB" in lines
    assert any(re.match(r"step 10/40  reward 0\.400 \(mean 0\.355\)  zero spread 25%  length 22\.5", x) for x in lines)


def test_plain_lines_come_about_every_tenth_step() -> None:
    lines = printed(WHOLE_RUN).splitlines()
    assert [int(line.split("/")[0][4:]) for line in lines if line.startswith("step")] == [1, 10, 20, 30, 40]
    warm = [line for line in lines if line.startswith("warm start")]
    assert [int(line.split("/")[0].split()[-1]) for line in warm] == [1, 10, 20, 30, 40, 50]
    assert warm[1].startswith("warm start 10/50  loss 0.400")


def test_a_long_run_prints_about_a_hundred_lines() -> None:
    lines = printed([step(k, of=5000) for k in range(1, 5001)]).splitlines()
    assert len(lines) == 101


def test_plain_output_holds_no_control_characters_even_if_the_events_do() -> None:
    hostile = {"event": "stop", "step": 3, "reason": "\x1b[31mred[/]\r\nnext [bold]line[/bold]"}
    text = printed([*WHOLE_RUN, hostile])
    assert "\x1b" not in text
    assert "\r" not in text
    assert "stopped at step 3:  [31mred[/]  next [bold]line[/bold]" in text


def test_a_new_kind_of_undecided_grade_is_told_once_and_then_counted() -> None:
    text = printed([step(k, undecided=1, errors={"timeout": 1}) for k in range(1, 41)])
    assert text.count("first undecided grades, at step 1: timeout 1") == 1
    assert "undecided 40" in text.splitlines()[-1]


def test_the_live_view_shows_reward_best_and_last_validation() -> None:
    shown = screen(WHOLE_RUN[:-3])
    assert "training 40/40" in shown
    assert re.search(r"train reward +0\.605 +over 20 steps +▁", shown)
    assert re.search(r"validation +0\.431 \[0\.401, 0\.461\] +step 40", shown)
    assert re.search(r"best +0\.455 \[0\.425, 0\.485\] +step 20", shown)
    assert re.search(r"zero spread +25% of groups", shown)
    assert re.search(r"mean length +22\.5 tokens", shown)
    assert re.search(r"undecided +4: timeout 3, model_grader_parse_error 1", shown)


def test_the_live_view_shows_the_warm_start_with_its_loss() -> None:
    shown = screen(WHOLE_RUN[:21])
    assert "warm start 20/50" in shown
    assert re.search(r"loss +0\.200", shown)
    assert "1,100 train" in shown


def test_the_live_view_says_why_a_run_stopped() -> None:
    shown = screen([step(1), {"event": "stop", "step": 1, "reason": "8 timeout of 8 grades could not be decided"}])
    assert "stopped: 8 timeout of 8 grades could not be decided" in shown


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_narrow_terminal_is_not_overrun(width: int) -> None:
    assert max(map(len, screen(WHOLE_RUN, width).splitlines())) <= width


def test_every_event_alone_is_survived_by_both_views() -> None:
    bare = ["start", "warm_start", "step", "validation", "checkpoint", "resume", "stop", "end", "unheard of"]
    for event in [*WHOLE_RUN, *({"event": kind} for kind in bare), step(1, reward=None), validation(0, None)]:
        printed([event])
        screen([event])


def test_rewards_that_are_null_are_no_zeros() -> None:
    figures = Figures(40)
    for event in (step(1, reward=0.5), step(2, reward=None), step(3, reward=float("nan"))):
        figures.take(event)
    assert figures.mean_reward == 0.5
    assert "no reward is decided yet" in screen([step(1, reward=None)])


def test_a_terminal_gets_a_live_view_that_ends_on_the_last_state() -> None:
    text = printed(WHOLE_RUN, terminal=True)
    assert "\x1b[" in text
    assert "finished 40/40" in re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", text)


def test_time_left_follows_the_pace_of_the_last_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    figures = Figures(40)
    for number in range(1, 11):
        now[0] += 2.0
        figures.take(step(number))
    assert figures.seconds_left == pytest.approx(60.0)
    now[0] += 1.0
    assert figures.seconds_left == pytest.approx(59.0)


def test_a_start_event_without_details_is_an_empty_line() -> None:
    assert items_text({"event": "start"}) == ""
