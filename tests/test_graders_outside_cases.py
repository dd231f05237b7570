"""Other people's cases: the corpus of rewardlint, exploits and near misses that a verifier must not pay for."""

from __future__ import annotations

from typing import Any

import pytest
from rewardlint.corpus import ALL_CASES

from graders import load

EXTRACT: list[Any] = [
    "after_thinking",
    {
        "rule": "first_of",
        "alternatives": [
            {"rule": "boxed", "which": "only"},
            {"rule": "tag", "which": "only"},
            {"rule": "after", "marker": "####"},
            {"rule": "regex", "pattern": r"(?i)answer is:?\s*\**([^\n]*?)\**\.?\s*$", "group": 1},
            "final_line",
        ],
    },
]
GRADERS: dict[str, dict[str, Any]] = {
    "number": {"type": "number", "reference": "{{item.answer}}", "fractions": True, "percent": True},
    "one_of": {"type": "one_of", "reference": "{{item.answer}}"},
    "string_check": {
        "type": "string_check",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "operation": "eq",
    },
}
NOT_PLAIN_NUMBERS = {
    "eq.neg.spaced",  # - 5
    "eq.frac.latex",  # \frac{1}{2}
    "eq.frac.dfrac",
    "eq.frac.mixed",  # 1 1/2
    "eq.frac.repeating",  # 0.3333333333 for 1/3: no tolerance was asked for
    "eq.wrap.text",  # \text{5}
    "eq.wrap.parens",  # (5)
    "eq.wrap.equals",  # x = 5
    "eq.wrap.units",  # 5 meters: no units were allowed
    "fmt.markdown_heading",  # prose around the number, which no rule of EXTRACT takes off
    "fmt.answer_label",
}
"""Right answers that `number` refuses, as its page says; each is mathematics, or for an `extract` of its own."""


@pytest.mark.parametrize("definition", GRADERS.values(), ids=GRADERS)
@pytest.mark.parametrize("case", [case for case in ALL_CASES if not case.expect], ids=lambda case: case.id)
def test_no_exploit_and_no_near_miss_is_paid_for(case: Any, definition: dict[str, Any]) -> None:
    grade = load({**definition, "extract": EXTRACT})(case.completion, {"answer": case.reference})
    assert grade.score in (0.0, None), grade.why


def test_the_right_answers_that_number_refuses_are_these() -> None:
    grader = load({**GRADERS["number"], "extract": EXTRACT})
    refused = set()
    for case in ALL_CASES:
        grade = grader(case.completion, {"answer": case.reference})
        if case.expect and grade.score == 0:
            refused.add(case.id)
    assert refused == NOT_PLAIN_NUMBERS
