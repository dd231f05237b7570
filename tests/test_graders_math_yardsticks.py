"""math on other people's cases, which are not part of this repository; every difference is listed and reviewed.

`math_disagreements.jsonl` has a line for each row on which any two of the recorded expectation, math-verify 0.9.0 and
`math` differ, and for each whose expectation is disputed: who is right, and why. `benchmarks/math_grader.py` counts
with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from graders import load
from graders.math.answer.final_answer import reference_answer
from graders.math.reading.parse import parse

YARDSTICKS = Path(__file__).resolve().parents[2] / "shared" / "yardsticks" / "math"
REVIEWED = Path(__file__).with_name("math_disagreements.jsonl")
MIXED = ("math_verify", "lighteval", "nemo_skills")
SETS = (*MIXED, "gold_perturbed", "gold_identity")

needs_yardsticks = pytest.mark.skipif(not YARDSTICKS.is_dir(), reason="needs ../shared/yardsticks/math")

Row = Mapping[str, Any]


@cache
def rows(name: str) -> list[Row]:
    return [json.loads(line) for line in (YARDSTICKS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@cache
def ours(name: str) -> list[bool]:
    """The verdicts of `math`; a recorded rounding other than math-verify's default of 6 is our `digits`."""
    found = []
    for row in rows(name):
        rounding = (row.get("opts") or {}).get("float_rounding", 6)
        digits = {} if rounding == 6 else {"digits": rounding}
        grader = load({"type": "math", "reference": "{{item.gold}}", **digits})
        found.append(grader(row["pred"], {"gold": row["gold"]}).score == 1)
    return found


@cache
def reviewed() -> dict[tuple[str, int], Row]:
    lines = [json.loads(line) for line in REVIEWED.read_text(encoding="utf-8").splitlines()]
    return {(line["set"], line["row"]): line for line in lines}


def right(name: str) -> list[bool]:
    """What each row's verdict should be: as recorded, or as reviewed."""
    return [reviewed().get((name, place), {"right": row["expected"]})["right"] for place, row in enumerate(rows(name))]


def test_each_line_of_the_review_says_who_is_right_and_why() -> None:
    for (name, _), line in reviewed().items():
        assert name in SETS
        assert {type(line[side]) for side in ("expected", "math_verify", "ours", "right")} == {bool}
        assert line["why"].strip(), line


def test_each_line_of_the_review_is_of_use() -> None:
    stale = [
        line for line in reviewed().values() if line["expected"] == line["math_verify"] == line["ours"] == line["right"]
    ]
    assert stale == []


@needs_yardsticks
@pytest.mark.parametrize("name", SETS)
def test_the_review_lists_the_rows_that_are_there(name: str) -> None:
    for (listed, place), line in reviewed().items():
        if listed == name:
            row = rows(name)[place]
            sha = hashlib.sha256(f"{row['gold']}\n{row['pred']}".encode()).hexdigest()[:12]
            assert (line["sha"], line["expected"]) == (sha, row["expected"]), line


@needs_yardsticks
@pytest.mark.parametrize("name", SETS)
def test_every_verdict_is_the_recorded_expectation_or_is_listed(name: str) -> None:
    said = {
        place: reviewed().get((name, place), {"ours": row["expected"]})["ours"] for place, row in enumerate(rows(name))
    }
    assert [place for place, verdict in enumerate(ours(name)) if verdict != said[place]] == []


@needs_yardsticks
@pytest.mark.parametrize("name", ["lighteval", "nemo_skills"])
def test_what_math_verify_says_is_the_recorded_expectation_or_is_listed(name: str) -> None:
    theirs = pytest.importorskip("math_verify")
    differ = []
    for place, row in enumerate(rows(name)):
        bare = name == "nemo_skills"
        gold, output = (
            f"${text}$" if bare and not text.startswith("$") else text for text in (row["gold"], row["pred"])
        )
        # Without its timeouts, which are signals and fail off the main thread.
        read = [theirs.parse(text, parsing_timeout=None) for text in (gold, output)]
        verdict = theirs.verify(*read, timeout_seconds=None)
        if verdict != reviewed().get((name, place), {"math_verify": row["expected"]})["math_verify"]:
            differ.append(place)
    assert differ == []


@needs_yardsticks
@pytest.mark.parametrize(("name", "asked"), [("math_verify", 0.99), ("lighteval", 0.98), ("nemo_skills", 0.98)])
def test_the_share_of_right_verdicts_is_what_is_asked(name: str, asked: float) -> None:
    agree = [verdict == true for verdict, true in zip(ours(name), right(name), strict=True)]
    assert sum(agree) / len(agree) >= asked


@needs_yardsticks
@pytest.mark.parametrize("name", ["lighteval", "nemo_skills"])
def test_nothing_wrong_is_accepted(name: str) -> None:
    assert [place for place, true in enumerate(right(name)) if ours(name)[place] and not true] == []


@needs_yardsticks
def test_an_answer_changed_by_one_is_not_accepted() -> None:
    assert sum(ours("gold_perturbed")) / len(ours("gold_perturbed")) <= 0.001


@needs_yardsticks
def test_every_real_answer_equals_itself() -> None:
    assert all(ours("gold_identity"))


def reads(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


@needs_yardsticks
def test_of_real_answers_99_in_100_are_read() -> None:
    golds = [row["gold"] for row in rows("gold_identity")]
    unread = [gold for gold in golds if not reads(reference_answer(gold, reads).text)]
    assert len(unread) <= len(golds) / 100, unread
