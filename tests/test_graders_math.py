"""The grader `math` as a whole: what it reads, decides and says, and who is at fault where it cannot decide."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders import Grade, Grader, load
from graders.math.values.balls import use

CLAIMS = [
    json.loads(line)
    for line in (Path(__file__).with_name("math_claims.jsonl")).read_text(encoding="utf-8").splitlines()
]


def math(**options: Any) -> Grader:
    return load({"type": "math", "reference": "{{item.gold}}", **options})


def grade(output: str, gold: str, **options: Any) -> Grade:
    return math(**options)(output, {"gold": gold})


def error(found: Grade) -> tuple[str, str] | None:
    return (found.error.kind, found.error.fault) if found.error else None


@pytest.mark.parametrize(
    "output", ["", "I do not know.", r"\boxed{}", r"\boxed{1/0}", r"\boxed{7}", r"\boxed{7} \boxed{8}"]
)
@pytest.mark.parametrize(
    ("gold", "options"),
    [(r"\frac{1}{", {}), (r"so \boxed{}", {}), ("the red house", {"text": False}), ("x" * 20_000, {})],
)
def test_a_reference_that_cannot_be_used_is_reported_whatever_the_answer(
    gold: str, options: dict[str, Any], output: str
) -> None:
    assert error(grade(output, gold, **options)) == ("invalid_reference", "grader")


def test_an_answer_in_the_very_words_of_an_unreadable_reference_counts() -> None:
    assert grade(r"so \boxed{\frac{1}{+}}", r"\frac{1}{+}").score == 1.0
    assert grade(r"so \boxed{the red house}", "the red house", text=False).score == 1.0


@pytest.mark.parametrize("answer", ["1e91" * 200, "-" * 900 + "x", "2^" * 300 + "2"])
def test_very_deep_arithmetic_is_graded_without_an_error_of_the_program(answer: str) -> None:
    assert grade(answer, "7", answer="whole").score == 0.0


def test_every_claim_of_the_table_holds() -> None:
    find, whole = math(), math(answer="whole")
    wrong = []
    for claim in CLAIMS:
        found = (find if claim["area"] == "extraction" else whole)(claim["answer"], {"gold": claim["gold"]})
        if (found.score == 1.0) != claim["equal"]:
            wrong.append((claim["gold"], claim["answer"], claim["equal"], found.why))
    assert wrong == []


def test_the_table_holds_as_many_wrong_answers_as_right_ones() -> None:
    kinds = Counter(claim["equal"] for claim in CLAIMS)
    assert len(CLAIMS) > 700
    assert kinds[False] > 0.45 * len(CLAIMS)


@pytest.mark.parametrize(
    ("output", "rule"),
    [
        (r"so \boxed{4}", "box"),
        ("<answer>4.0</answer>", "tag"),
        ("2 + 2\n#### 4.0", "hashes"),
        ("The answer is 4.0.", "statement"),
        ("4.0", "whole"),
        ("It follows that $x = 4.0$", "formula"),
        ("we count 1 and 4.0", "number"),
    ],
)
def test_a_grade_names_the_rule_that_found_the_answer(output: str, rule: str) -> None:
    found = grade(output, "8/2")
    assert found.score == 1.0
    assert found.why.endswith(f"(rule: {rule})")


def test_a_wrong_answer_says_what_was_read_and_why_it_is_not_the_reference() -> None:
    found = grade(r"\boxed{\frac{7}{3}}", r"\frac{7}{4}")
    assert (found.score, found.extracted) == (0.0, "7/3")
    assert found.why == "7/3 is not 7/4: 7/3 is not 7/4 (rule: box)" or "7/3 is not 7/4" in found.why


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        ("", "extraction_failed"),
        (r"\boxed{}. I think 42", "extraction_failed"),
        (r"\boxed{42", "extraction_failed"),
        ("<think>it is 42", "extraction_failed"),
        (r"\boxed{((5}", "sample_parse_error"),
        (r"\boxed{\infty - \infty + 10^{10^{10}}}", "undecided_equality"),
    ],
)
def test_what_cannot_be_read_or_decided_is_the_candidates_fault_and_scores_0(output: str, kind: str) -> None:
    found = grade(output, "42")
    if kind == "undecided_equality":
        assert found.score == 0.0
        assert found.error is None or error(found) == (kind, "candidate")
    else:
        assert (found.score, error(found)) == (0.0, (kind, "candidate"))


@pytest.mark.parametrize("gold", ["C", "x + 1", "(1, 2)", r"\{1, 2\}", "2 + 3i", "10^{400}", "y = 2x", "1000!"])
@pytest.mark.parametrize("answer", [r"\infty-\infty", r"\int_0^x t^t dt", "10^{10^{10}} + 1", r"\lim_{h\to 0} h^h"])
def test_no_answer_masks_itself_against_a_reference_that_can_be_decided(gold: str, answer: str) -> None:
    assert grade(f"\\boxed{{{answer}}}", gold).score == 0.0


@pytest.mark.parametrize("gold", [r"\frac{", r"\sum_{n=0}^{\infty} \frac{x^n}{n!}", " ", r"\frac{1}{"])
def test_a_reference_that_cannot_be_read_or_decided_leaves_the_grade_undecided(gold: str) -> None:
    found = grade(r"\boxed{48}", gold)
    assert found.score is None
    assert error(found) in (("invalid_reference", "grader"), ("undecided_equality", "grader"))


def test_such_a_reference_still_has_its_own_text() -> None:
    assert grade(r"\boxed{\sum_{n=0}^{\infty} \frac{x^n}{n!}}", r"\sum_{n=0}^{\infty} \frac{x^n}{n!}").score == 1.0
    assert grade(r"\sum_{k=0}^{\infty} \frac{x^k}{k!}", r"\sum_{n=0}^{\infty} \frac{x^n}{n!}").score == 1.0


@pytest.mark.parametrize("answer", [r"\sum_{k=1}^{n} k^*", r"\sum_{k=1}^{n} \overline{k} + z^*"])
def test_a_letter_that_a_sum_binds_is_no_point(answer: str) -> None:
    assert grade(answer, "z^* + n", answer="whole").score in (0.0, None)
    assert error(grade(answer, "z^* + n", answer="whole")) in (None, ("undecided_equality", "candidate"))


@pytest.mark.parametrize("gold", ["x + 1", "The answer is$.", "...", r"\sum_{k=1}^{n} k^2"])
@pytest.mark.parametrize("answer", [r"\log()", r"\sin()", "...", "$", "The answer is$....", r"\max()"])
def test_functions_of_nothing_and_words_without_letters_break_nothing(gold: str, answer: str) -> None:
    for one, other in ((gold, answer), (answer, gold)):
        found = error(grade(one, other, answer="whole"))
        assert found is None or found[0] != "other_error"


def test_marks_that_disagree_are_wrong_and_both_are_named() -> None:
    found = grade(r"\boxed{7} <answer>8</answer>", "7")
    assert found.score == 0.0
    assert "7" in found.why
    assert "8" in found.why
    assert "disagree" in found.why
    assert grade(r"\boxed{7} <answer>7.0</answer>", "7").score == 1.0


@pytest.mark.parametrize(
    ("options", "gold", "answer", "score"),
    [
        ({"percent": "value"}, r"28\%", "0.28", 1.0),
        ({"percent": "value"}, r"28\%", "28", 0.0),
        ({"percent": "sign"}, r"28\%", "28", 1.0),
        ({"percent": "sign"}, r"28\%", "0.28", 0.0),
        ({"units": "required"}, r"5 \text{ cm}", "5", 0.0),
        ({"units": "required"}, r"5 \text{ cm}", r"50 \text{ mm}", 1.0),
        ({"units": "ignored"}, r"5 \text{ cm}", r"5 \text{ kg}", 1.0),
        ({"order": "strict"}, "1, 2", "2, 1", 0.0),
        ({"order": "free"}, "(1, 2)", "(2, 1)", 1.0),
        ({"shape": "loose"}, r"\{1, 2\}", "(1, 2)", 1.0),
        ({"bases": "value"}, "204_5", "54", 1.0),
        ({"bases": "optional"}, "204_5", "204", 1.0),
        ({"digits": 3}, r"\pi", "3.14", 1.0),
        ({"digits": 8}, r"\frac13", "0.33333", 0.0),
        ({"rel_tol": 0.01}, "100", "100.5", 1.0),
        ({"rel_tol": 0.01}, "100", "102", 0.0),
        ({"text": False}, r"\text{odd}", "even", None),
        ({"form": "evaluated"}, "1024", "2^{10}", 0.0),
        ({"form": "evaluated"}, "1024", "1024.0", 1.0),
        ({"answer": "whole"}, "4", r"so \boxed{4}", 0.0),
    ],
)
def test_each_option_does_what_its_page_says(options: dict[str, Any], gold: str, answer: str, score: float) -> None:
    assert grade(answer, gold, **options).score == score


@pytest.mark.parametrize(
    "options",
    [
        {"digits": 0},
        {"rel_tol": -1.0},
        {"rel_tol": 1.0},
        {"partial_credit": 1.0},
        {"calculus_seconds": 3},
        {"units": "maybe"},
        {"percent": True},
        {"input": "{{sample.output_txt}}"},
    ],
)
def test_a_bad_definition_is_refused_when_it_loads(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (pydantic's text)
        math(**options)


@pytest.mark.parametrize(
    ("gold", "answer", "credit"),
    [
        ("100", "90", 0.45),
        ("100", "-90", 0.0),
        ("0", "1", 0.0),
        (r"\sqrt 2", "1", 0.5 * 1 / 2**0.5),
        ("1, 2, 3", "3, 2", 0.5 * 4 / 5),
        ("(1, 2, 3)", "(1, 3, 3)", 0.5 * 2 / 3),
        (r"\{1, 2\}", r"\{1, 2, 3, 4, 5, 6, 7, 8\}", 0.5 * 4 / 10),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{pmatrix} 1 & 2 \\ 3 & 5 \end{pmatrix}", 0.5 * 3 / 4),
        ("x + 1", "x + 2", 0.0),
        (r"5 \text{ cm}", r"4 \text{ cm}", 0.4),
        ("x = 100", "x = 90", 0.45),
    ],
)
def test_partial_credit_grows_with_closeness_and_stays_below_its_most(gold: str, answer: str, credit: float) -> None:
    found = grade(answer, gold, partial_credit=0.5)
    assert found.score == pytest.approx(credit, abs=1e-5)
    assert grade(gold, gold, partial_credit=0.5).score == 1.0
    if credit:
        assert "credit" in found.why


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
@settings(max_examples=60, deadline=None)
def test_the_nearer_of_two_numbers_never_earns_less(gold: int, one: int, other: int) -> None:
    near, far = sorted((one, other), key=lambda value: abs(value - gold))
    if (near > gold) == (far > gold):
        scores = [grade(str(value), str(gold), partial_credit=0.9, answer="whole").score for value in (near, far)]
        assert scores[0] is not None
        assert scores[1] is not None
        assert scores[0] >= scores[1] - 1e-9


def test_sums_are_left_to_calculus_only_where_that_is_asked_for() -> None:
    gold, answer = r"\frac{\pi^2}{6}", r"\boxed{\sum_{k=1}^{\infty} \frac{1}{k^2}}"
    assert grade(answer, gold).score == 0.0
    assert grade(answer, gold, calculus=True, calculus_seconds=60).score == 1.0
    assert grade(answer, r"\frac{\pi^2}{7}", calculus=True, calculus_seconds=60).score == 0.0


SAMPLES = CLAIMS[:: max(1, len(CLAIMS) // 80)]


def verdicts() -> list[float | None]:
    grader = math()
    return [grader(claim["answer"], {"gold": claim["gold"]}).score for claim in SAMPLES]


def test_sixteen_threads_agree_and_no_signal_handler_or_timer_is_touched() -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM)]
    signal.setitimer(signal.ITIMER_REAL, 3_000)
    try:
        alone = verdicts()
        with ThreadPoolExecutor(16) as pool:
            assert all(found == alone for found in pool.map(lambda _: verdicts(), range(16)))
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert handlers == [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM)]


def test_without_flint_mpmath_gives_the_same_verdicts() -> None:
    with_flint = verdicts()
    with use("mpmath"):
        assert verdicts() == with_flint


HIDDEN = """
import builtins, sys
real = builtins.__import__
def hide(name, *rest):
    if name.partition(".")[0] in ("flint", "mpmath", "sympy"):
        raise ImportError(name)
    return real(name, *rest)
builtins.__import__ = hide
from graders import load
grader = load({"type": "math", "reference": "{{item.gold}}"})
print(grader("0.5", {"gold": "1/2"}).score)
found = grader("x + x", {"gold": "2x"})
print(found.score, found.error.kind, found.error.fault, "assay[math]" in found.why)
try:
    grader.check_ready()
except ValueError as problem:
    print("pip install" in str(problem))
"""


def test_without_either_library_numbers_are_graded_and_the_rest_says_what_to_install() -> None:
    out = subprocess.run([sys.executable, "-c", HIDDEN], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["1.0", "None not_installed infra True", "True"]


def test_grading_imports_no_sympy() -> None:
    program = (
        "import sys\nfrom graders import load\n"
        "load({'type': 'math', 'reference': '{{item.gold}}'})('x+x', {'gold': '2x'})\n"
        "print('sympy' in sys.modules, 'mpmath' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]


HOSTILE = [
    "\\boxed{" * 100_000,
    "\\boxed{" * 3_000 + "5" + "}" * 3_000,
    "$" * 300_000,
    " " * 1_000_000 + "5",
    "9" * 1_000_000,
    "\\boxed{" + "9^" * 3_000 + "9}",
    "\\boxed{99999999!}",
    "\\boxed{((9!)!)!}",
    "\\boxed{\\binom{10^8}{5\\cdot 10^7}}",
    "\\boxed{(x+1)^{1000000}}",
    "\\boxed{7^{10^{18}} \\bmod 1000}",
    "\\boxed{" + "\\frac{" * 4_000 + "}",
    "\\boxed{" + "1," * 4_900 + "1}",
    "\\boxed{" + "\\pm 1 " * 60 + "}",
    "<answer>" * 100_000,
    "\u0301" * 300_000,
    "\\boxed{\\sum_{k=1}^{10^9} k^k}",
    "\\boxed{__import__('os').system('true')}",
    "\\boxed{\\input{/etc/passwd}}",
]


@pytest.mark.parametrize("output", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_outputs_are_decided_soon_and_earn_nothing(output: str) -> None:
    found = grade(output, "1")
    assert found.score == 0.0
    assert len(found.why) < 2_000
    json.dumps(found.to_wire())
