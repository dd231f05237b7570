"""What came of a candidate's cases and tests, and the grade that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from graders.grade import Grade, GradeError

MOST_PARTS = 100  # cases whose grades stand in a grade
MOST_SLOW = 3  # cases of a sample that take too long before the rest is not run


class Result(NamedTuple):
    """What came of a case, or of an author's test."""

    name: str
    failure: str  # "" where it passed
    told: str  # what the case did, for the grade's reason
    kind: str = ""  # of the candidate's error
    weight: float = 1.0
    visible: bool = False
    hopeless: bool = False  # whether every other case must fail too
    is_test: bool = False
    seconds: float = 0.0
    unrun: bool = False


def grade_of(
    results: Sequence[Result], what: str, left: int, partial_credit: float, seconds: float, source: str, level: str
) -> Grade:
    """1 if all passed, else 0 or what `partial_credit` makes of the share by weight.

    `what` they are ("cases", "tests", ...), how many were `left` unrun after the first that failed, the `seconds` that
    each may take, the `source` that was run and the sandbox's `level`.
    """
    parts = {result.name: _part(result, level) for result in results[:MOST_PARTS]}
    first = next((result for result in results if result.failure), None)
    if first is None:
        count = f"all {len(results):,} {what}" if len(results) > 1 else f"the one {what.removesuffix('s')}"
        return Grade(1.0, f"passed {count}", parts=parts, extracted=source, sandbox=level)
    score, error = _score(results, partial_credit), None
    if score == 0.0 and first.kind:
        error = GradeError(first.kind, "candidate", first.told)
    why = _why(results, first, left, what)
    if unrun := sum(result.unrun for result in results):
        why += f"; {MOST_SLOW} cases took longer than {seconds:g} s; {unrun:,} were not run"
    return Grade(score, why, error, parts, extracted=source, sandbox=level)


def _score(results: Sequence[Result], partial_credit: float) -> float:
    if any(result.hopeless for result in results):
        return 0.0
    passed = sum(result.weight for result in results if not result.failure)
    share = passed / sum(result.weight for result in results)
    return partial_credit * min(share, 1 - 1e-9)


def _part(result: Result, level: str) -> Grade:
    if not result.failure:
        return Grade(1.0, "passed", sandbox=level, seconds=result.seconds)
    error = GradeError(result.kind, "candidate", result.failure) if result.kind else None
    return Grade(0.0, result.failure, error, sandbox=level, seconds=result.seconds)


def _why(results: Sequence[Result], first: Result, left: int, what: str) -> str:
    """The reason of a grade where `first` failed, and `left` cases were not run after it."""
    if first.hopeless:
        return first.told
    passed = sum(not result.failure for result in results)
    if left:
        why = f"{first.name} failed: {first.told} ({passed:,} passed before it, {left:,} not run)"
    else:
        why = f"{passed:,} of {len(results):,} {what} passed; {first.name} failed: {first.told}"
    cases = [result for result in results if not result.is_test]
    visible = [not result.failure for result in cases if result.visible]
    hidden = [not result.failure for result in cases if not result.visible]
    if visible and all(visible) and not all(hidden):
        why += f"; {_share(visible)} visible and {_share(hidden)} hidden cases passed"
    return why


def _share(passed: Sequence[bool]) -> str:
    return f"{sum(passed):,} of {len(passed):,}"
