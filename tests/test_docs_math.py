"""The policy table of docs/graders/math.md is run, row by row, both ways."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from graders import load

PAGE = Path(__file__).resolve().parents[1] / "docs" / "graders" / "math.md"
ROW = re.compile(
    r"^\|(?P<case>[^|]*)\| `(?P<reference>.+?)` \| `(?P<answer>.+?)` \| (?P<equal>yes|no) \|", re.MULTILINE
)


class Claim(NamedTuple):
    reference: str
    answer: str
    equal: bool


CLAIMS = [
    Claim(found["reference"].replace("\\|", "|"), found["answer"].replace("\\|", "|"), found["equal"] == "yes")
    for found in ROW.finditer(PAGE.read_text(encoding="utf-8"))
]


def test_the_table_is_found_whole() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("### What counts as equal")[2].partition("\n## ")[0]
    assert len(CLAIMS) == sum(line.startswith("|") for line in table.splitlines()) - 2


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.reference} | {claim.answer}")
def test_every_row_of_the_policy_holds_either_way(claim: Claim) -> None:
    grader = load({"type": "math", "reference": "{{item.gold}}", "answer": "whole"})
    for gold, answer in (claim.reference, claim.answer), (claim.answer, claim.reference):
        assert grader(answer, {"gold": gold}).score == float(claim.equal), (gold, answer)
