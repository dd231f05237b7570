"""A run's folder loses nothing that was written, and says of a broken run only what still holds."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from graders import Grade
from rft_loop.recipe import Recipe, recipe_from
from rft_loop.sampling.rollout import Rollout
from rft_loop.watching.record import Run, create_run, mend_torn_line, open_run, read_events


def recipe(folder: Path, **options: Any) -> Recipe:
    base = {"model": "m", "train": "t.jsonl", "validation": "v.jsonl", "grader": "g.json", "runs": str(folder)}
    return recipe_from(base | options, "test")


def names(folder: Path) -> list[tuple[Any, ...]]:
    """Each event as (kind, step), or (resume, phase, step)."""
    return [
        (event["event"], event["phase"], event["step"])
        if event["event"] == "resume"
        else (event["event"], event.get("step"))
        for event in read_events(folder)
    ]


# Events


def test_events_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    run = Run(tmp_path)
    written = [run.event("start", name="é\n\u2028", path=Path("a/b")), run.event("step", step=1, errors={"timeout": 2})]
    assert read_events(tmp_path) == written
    assert written[0]["path"] == "a/b"
    assert len(run.events_file.read_bytes().splitlines()) == 2


def test_a_run_without_events_has_none(tmp_path: Path) -> None:
    assert read_events(tmp_path) == []


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, {"a": math.nan}, {"a": {"b": math.inf}}, [1.0, math.nan], [{"a": math.inf}]],
    ids=str,
)
def test_a_number_that_is_not_finite_becomes_null(tmp_path: Path, value: Any) -> None:
    event = Run(tmp_path).event("step", step=1, loss=value)
    line = (tmp_path / "events.jsonl").read_text()
    assert "null" in line

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    assert json.loads(line, parse_constant=refuse) == event


@given(cut=st.integers(1, 40), mended=st.booleans())
def test_a_line_torn_by_a_kill_is_dropped_and_the_next_event_stands_alone(
    tmp_path_factory: pytest.TempPathFactory, cut: int, mended: bool
) -> None:
    run = Run(tmp_path_factory.mktemp("run"))
    run.event("step", step=1)
    run.event("step", step=2, name="é")
    data = run.events_file.read_bytes()
    run.events_file.write_bytes(data[:-cut])
    whole = [1, 2] if cut == 1 else [1]  # without its newline alone, a line is whole
    assert [event["step"] for event in read_events(run.folder)] == whole
    if mended:
        mend_torn_line(run)
        mend_torn_line(run)  # once is enough, twice does no harm
        run.event("step", step=3)
        assert [event["step"] for event in read_events(run.folder)] == [*whole, 3]


def test_mending_a_run_that_needs_none_changes_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path)
    mend_torn_line(run)
    assert not run.events_file.exists()
    run.event("step", step=1)
    before = run.events_file.read_bytes()
    mend_torn_line(run)
    assert run.events_file.read_bytes() == before


# Resume

LIFE: list[tuple[str, dict[str, Any]]] = [
    ("start", {}),
    ("warm_start", {"step": 1}),
    ("warm_start", {"step": 2}),
    ("checkpoint", {"phase": "warm_start", "step": 2}),
    ("warm_start", {"step": 3}),
    ("validation", {"step": 0}),
    ("checkpoint", {"phase": "step", "step": 0}),
    ("step", {"step": 1}),
    ("step", {"step": 2}),
    ("validation", {"step": 2}),
    ("checkpoint", {"phase": "step", "step": 2}),
    ("step", {"step": 3}),
    ("validation", {"step": 3}),
    ("checkpoint", {"phase": "step", "step": 3}),
    ("end", {"seconds": 1.0}),
]


@pytest.mark.parametrize(
    ("phase", "step", "kept"),
    [
        ("warm_start", 2, 4),
        ("step", 0, 7),
        ("step", 2, 11),
        ("step", 3, 14),  # a finished run taken up again ends again: one end, not two
    ],
)
def test_a_resume_supersedes_what_came_after_its_checkpoint_and_only_that(
    tmp_path: Path, phase: str, step: int, kept: int
) -> None:
    run = Run(tmp_path)
    for kind, fields in LIFE:
        run.event(kind, **fields)
    before = names(tmp_path)
    run.event("resume", phase=phase, step=step)
    run.event("step", step=99)
    assert names(tmp_path) == [*before[:kept], ("resume", phase, step), ("step", 99)]


def test_a_second_resume_from_an_earlier_point_supersedes_the_first(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for kind, fields in LIFE[:-1]:
        run.event(kind, **fields)
    run.event("resume", phase="step", step=2)
    run.event("step", step=3)
    run.event("resume", phase="step", step=0)
    run.event("step", step=1)
    assert names(tmp_path)[-2:] == [("resume", "step", 0), ("step", 1)]
    assert ("resume", "step", 2) not in names(tmp_path)
    assert [event for event in names(tmp_path) if event[0] == "step"] == [("step", 1)]


def test_events_of_an_unknown_kind_are_kept(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.event("note", step=50, text="by hand")
    run.event("resume", phase="step", step=1)
    assert [event["event"] for event in read_events(tmp_path)] == ["note", "resume"]


@given(st.lists(st.integers(0, 12), min_size=1, max_size=6))
def test_however_often_a_run_breaks_each_step_is_told_once(
    tmp_path_factory: pytest.TempPathFactory, broken_at: list[int]
) -> None:
    """Steps up to `broken_at` are made, then it goes on from the last checkpoint (every third step), to 12."""
    run = Run(tmp_path_factory.mktemp("run"))
    done = 0
    for stop in [*broken_at, 12]:
        for step in range(done + 1, stop + 1):
            run.event("step", step=step)
        done = max(stop, done) // 3 * 3
        run.event("resume", phase="step", step=done)
    told = [event["step"] for event in read_events(run.folder) if event["event"] == "step"]
    assert told == list(range(1, 13))


# Samples


def rollout(text: str, tokens: tuple[int, ...] = (9, 1)) -> Rollout:
    return Rollout((5, 6), tokens, tuple(-0.5 for _ in tokens), "stop", text)


def sample_row(text: str, grade: Grade, **more: Any) -> dict[str, Any]:
    made = rollout(text)
    return {
        "split": "train",
        "step": 1,
        "item": 3,
        "group": 0,
        "prompt": "who?",
        "output_text": text,
        "thinking": "",
        "tokens": 2,
        "finish": "stop",
        "score": grade.score,
        "reward": grade.score,
        "advantage": None,
        "why": grade.why,
        "error": grade.error.kind if grade.error else None,
        "grade": json.dumps(grade.to_wire()),
        "token_ids": made.tokens,
        "logprobs": made.logprobs,
    } | more


RIGHT = Grade(1.0, "right", parts={"a": Grade(0.25, "partly")}, extracted=["x"], grader="mine@1")
UNDECIDED = Grade.undecided("timeout", "slow", "infra", grader="mine@1")


def test_samples_come_back_as_they_were_written(tmp_path: Path) -> None:
    run = Run(tmp_path)
    rows = [sample_row("one é\n", RIGHT), sample_row("", UNDECIDED)]
    run.write_samples("train", 1, rows)
    found = parquet.read_table(run.samples_file("train", 1)).to_pylist()
    assert found == [row | {"token_ids": [9, 1], "logprobs": [-0.5, -0.5]} for row in rows]
    assert [file.name for file in (tmp_path / "samples").iterdir()] == ["part-train-000001.parquet"]


def test_each_split_and_step_has_its_own_part_and_a_repeat_replaces_it(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_samples("train", 1, [sample_row("first", RIGHT)])
    run.write_samples("validation", 1, [sample_row("other", RIGHT)])
    run.write_samples("train", 2, [sample_row("next", RIGHT)])
    run.write_samples("train", 1, [sample_row("again", RIGHT)])
    assert len(list((tmp_path / "samples").iterdir())) == 3
    assert parquet.read_table(run.samples_file("train", 1)).column("output_text").to_pylist() == ["again"]


@pytest.mark.parametrize(
    ("recorded", "grader", "texts", "taken_over"),
    [
        ([("a", RIGHT), ("b", RIGHT)], "mine@1", ["a", "b"], [RIGHT, RIGHT]),
        ([("a", RIGHT), ("b", RIGHT)], "mine@2", ["a", "b"], [None, None]),  # another grader, or another version of it
        ([("a", RIGHT), ("b", RIGHT)], "mine@1", ["a", "c"], [None, None]),
        ([("a", RIGHT), ("b", RIGHT)], "mine@1", ["b", "a"], [None, None]),
        ([("a", RIGHT), ("b", RIGHT)], "mine@1", ["a"], [RIGHT]),  # the first of a step that was filled up
        ([("a", RIGHT)], "mine@1", ["a", "b"], [None, None]),
        ([("a", RIGHT), ("b", UNDECIDED)], "mine@1", ["a", "b"], [RIGHT, None]),  # what was undecided is asked again
    ],
)
def test_recorded_grades_are_taken_over_only_for_the_same_outputs_and_grader(
    tmp_path: Path, recorded: list[tuple[str, Grade]], grader: str, texts: list[str], taken_over: list[Grade | None]
) -> None:
    run = Run(tmp_path)
    run.write_samples("train", 1, [sample_row(text, grade) for text, grade in recorded])
    rollouts, nothing = [rollout(text) for text in texts], [None] * len(texts)
    items = [int(parquet.read_table(run.samples_file("train", 1)).column("item")[0].as_py())] * len(texts)
    assert run.recorded_grades("train", 1, grader, items, rollouts) == taken_over
    assert run.recorded_grades("train", 1, grader, [item + 1 for item in items], rollouts) == nothing
    assert run.recorded_grades("validation", 1, grader, items, rollouts) == nothing
    assert run.recorded_grades("train", 2, grader, items, rollouts) == nothing


def test_a_break_before_the_first_checkpoint_starts_the_record_anew(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for kind, step in (("start", 0), ("warm_start", 1), ("warm_start", 2), ("start", 0), ("warm_start", 1)):
        run.event(kind, step=step)
    assert [(event["event"], event["step"]) for event in read_events(tmp_path)] == [("start", 0), ("warm_start", 1)]


# The folder


def test_a_run_is_made_with_its_resolved_recipe_and_opened_again(tmp_path: Path) -> None:
    made = recipe(tmp_path / "deep" / "runs", name="first")
    run = create_run(made)
    assert run.folder == tmp_path / "deep" / "runs" / "first"
    opened, stored = open_run(run.folder)
    assert stored == made
    assert opened.folder == run.folder
    assert list(run.folder.iterdir()) == [run.folder / "recipe.json"]


def test_a_run_that_exists_is_not_begun_again(tmp_path: Path) -> None:
    run = create_run(recipe(tmp_path, name="first"))
    run.event("start")
    stored = (run.folder / "recipe.json").read_bytes()
    with pytest.raises(ValueError, match=r"holds a run already; continue it with --resume .*first, or choose another"):
        create_run(recipe(tmp_path, name="first", steps=7))
    assert (run.folder / "recipe.json").read_bytes() == stored
    assert len(read_events(run.folder)) == 1


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(FileNotFoundError, match=r"is no run: it has no recipe\.json"):
            open_run(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"steps": 1}', '{"model": 3}'])
def test_a_damaged_stored_recipe_is_a_value_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "recipe.json").write_text(text)
    with pytest.raises(ValueError, match=r"recipe\.json"):
        open_run(tmp_path)


HOLDER = """
import sys, time
from pathlib import Path
from rft_loop.watching.record import Run
with Run(Path(sys.argv[1])).only_writer():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_refused_until_the_first_is_gone_even_by_a_kill(tmp_path: Path) -> None:
    run = Run(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        refused = pytest.raises(ValueError, match="another process is writing to this run; wait for it or stop it")
        with refused, run.only_writer():
            raise AssertionError("two writers")
        first.send_signal(signal.SIGKILL)
    with run.only_writer():
        run.event("step", step=1)
    with run.only_writer():  # and let go in good order
        pass
