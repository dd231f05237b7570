from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grader, load
from graders.text.finders import without_thinking

CITIES = ["London", "Paris", "Rome", "A dog"]


def choice(**options: Any) -> Grader:
    return load({"type": "choice", "reference": "{{item.answer}}", **options})


def chosen(output: str, **options: Any) -> Any:
    return choice(**options)(output, {"answer": "B"}).extracted


CHOOSES_B = [
    "B",
    "b",
    " B\n",
    "(B)",
    "(b)",
    "[B]",
    "B.",
    "B)",
    "**B**",
    "**(B)**",
    "`B`",
    "$B$",
    "Ｂ",
    "\u200bB",
    "\\boxed{B}",
    "$\\boxed{\\text{B}}$",
    "Thus \\boxed{(B)}.",
    "<answer>B</answer>",
    "<answer>(B)</answer>",
    "<answer>The answer is B</answer>",
    "Answer: B",
    "answer:B",
    "Answer = B",
    "Answer: (B)",
    "**Answer:** B",
    "**Answer: B**",
    "Answer:\nB",
    "Final answer: B",
    "The answer is B",
    "The answer is: B",
    "The answer is (B).",
    "The answer is **B**.\n",
    "the answer is b.",
    "The correct answer is option B",
    "My choice is B.",
    "I choose B.",
    "I would pick option B",
    "B is correct.",
    "Option B is the correct answer.",
    "A is tempting. So B is right.",
    "B, because A is wrong",
    "B because C is wrong",
    "B.\n\nBecause a dog is no city.",
    "Let's think. A is wrong.\n\nB",
    "A) no\nB) yes\nC) no\nThe answer is B",
    "The answer is B, not C.",
    "The answer is B rather than C",
    "The answer is B, because A and C are wrong.",
    "The answer is B, I think.",
    "Answer: B\n\nExplanation: option A is wrong, and C is too.",
    "The answer is B. A is wrong in 1889.",
    "A cat sat. The answer is B.",
    "Answer: B (not C)",
    "The answer is (B), as I said",
    "<think>A or C? The answer is A.</think>B",
    "I see.</think>\nThe answer is B.",
    "<thinking>Answer: C</thinking>Answer: B",
    "The answer is \\boxed{B}.",
    "Final Answer: $\\boxed{\\text{B}}$",
    "Answer: \\text{B}",
    "The correct option is B.",
    "Correct option: B",
    "The best option is (B).",
    "Option B",
    "option (b).",
    "I'd choose B.",
    "I\u2019ll go for B.",
    '"B"',
    "\u201cB.\u201d",
    "B\u2060",
    "Final: B",
    "Which option is correct? Answer: B",
]
WITH_ITS_TEXT = [
    "The answer is (B) Paris.",
    "Answer: (B) Paris, since A is not",
    "Answer: B) Paris",
    "B. Paris",
    "B) Paris",
    "(B) Paris",
    "B: Paris",
    "B - Paris",
    "Answer: B. Paris",
    "Answer: B (Paris)",
    "(B) Paris is the capital of France.",
    "The answer is (B) Paris, the capital of France.",
]
CHOOSES_PARIS = [
    "Paris",
    " paris.",
    "**Paris**",
    "The answer is Paris.",
    "Answer: Paris",
    "\\boxed{Paris}",
    "<answer>Paris</answer>",
    "Hm.\nParis",
    "The answer is B: Paris.",
    "B) Paris, because the Louvre is there",
]


@pytest.mark.parametrize("output", CHOOSES_B + WITH_ITS_TEXT)
def test_a_choice_in_any_usual_form_is_read(output: str) -> None:
    assert chosen(output) == "B"


@pytest.mark.parametrize("output", CHOOSES_B + WITH_ITS_TEXT + CHOOSES_PARIS)
def test_where_options_are_known_their_texts_are_read_too(output: str) -> None:
    assert chosen(output, options=CITIES) == "B"


CHOOSES_NOTHING = [
    "",
    "  \n",
    "\u200b",
    "A and B",
    "A or B",
    "B or A",
    "Either B or C",
    "Both B and C",
    "B or not B",
    "A/B",
    "A, B",
    "A B",
    "AB",
    "B+C",
    "A: B",
    "A - B",
    "(A)(B)",
    "(A) (B) (C) (D)",
    "A. B. C. D.",
    "A.\nB.",
    "A\nB\nC\nD",
    "B\n\nor\n\nC",
    "A) x\nB) y\nC) z",
    "Option A: London\nOption B: Paris",
    "B (or C)",
    "B) x or C",
    "not A",
    "not B",
    "B?",
    "B is not correct",
    "B) is wrong",
    "Is B correct?",
    "If B is correct then",
    "Neither A nor B is correct.",
    "B is correct. C is correct.",
    "Both B and C are correct",
    "All of the above",
    "None of the above",
    "N/A",
    "unknown",
    "I think so",
    "A cat sat on the mat",
    "a dog is nice",
    "\u0410",  # a Cyrillic letter
    "Answer: none",
    "Answer: N/A",
    "Answer: A and B",
    "Answer: A or B",
    "Answer: B or C",
    "Answer: B/C",
    "Answer: (B) or (C)",
    "Answer: (B) is wrong",
    "Answer: (B) x or (C) y",
    "B) Paris\nC) Rome",
    "Answer: B & C",
    "Answer: B; C",
    "Answer: B, C",
    "Answer: A - D",
    "Answer: A B C D",
    "Answer: [A] [B]",
    "Answer: B (or C)",
    "Answer: B, or maybe C",
    "Answer: B. Or C.",
    "Answer: B. Alternatively, C.",
    "Answer: B\nor C",
    "Answer: B? No, C.",
    "Answer: B is wrong",
    "Answer: A\nAnswer: B",
    "The answer is A. The answer is B.",
    "The answer is B. But C is also possible.",
    "The answer is not B",
    "The answer isn't B",
    "The answer B is incorrect",
    "The answer is a cat",
    "The answer is A cat",
    "\\boxed{A, B}",
    "\\boxed{A}\\boxed{B}",
    "<answer>A or B</answer>",
    "<answer>A</answer><answer>B</answer>",
    "<answer>A</answer>B",
    "The correct option is A. Answer: B",
    "Answer: B\nThe correct option is A.",
    "Answer: B\nAns: A",
    "B\nFinal: A",
    "Answer: B\n\nAlternatively: A",
    "The correct option is not B",
    "The answer is \\boxed{B} or \\boxed{C}",
    "Option A\nOption B",
    "<think>B",
    "<think>B</think>",
    "B</think>",
    "B<think>A</think>",
]


@pytest.mark.parametrize("options", [{}, {"options": CITIES}])
@pytest.mark.parametrize("output", CHOOSES_NOTHING)
def test_hedges_lists_negations_and_prose_choose_nothing(output: str, options: dict[str, Any]) -> None:
    for answer in ("A", "B", "C"):
        grade = choice(**options)(output, {"answer": answer})
        assert (grade.score, grade.extracted) == (0, None)
        assert grade.error is not None
        assert (grade.error.kind, grade.error.fault) == ("sample_parse_error", "candidate")


@pytest.mark.parametrize(
    "output",
    [
        "E",
        "Answer: E",
        "A. Paris",
        "B. London",
        "The answer is B. London",
        "Answer: B) London, since it is big",
        "London or Paris",
        "B) Paris or London",
        "The answer is London or Paris",
        "London\nParis",
        "Answer: London. Answer: Paris",
        "Paris London",
        "not Paris",
        "Paris is wrong",
        "B. Paris is wrong",
        "Answer: (B) Paris is wrong",
        "Answer: (B) Paris or (C) Rome",
        "(B) Paris is not the capital",
        "(B) Paris isn\u2019t it",
        "(B) Paris? No.",
        "(B) Paris is big and so is Rome",
        "Final: London\nAnswer: B",
    ],
)
def test_a_label_with_the_text_of_another_and_several_texts_choose_nothing(output: str) -> None:
    assert chosen(output, options=CITIES) is None


@pytest.mark.parametrize(
    ("options", "answer", "output", "score"),
    [
        (CITIES, "B", "Paris", 1.0),
        (CITIES, "(b)", "B", 1.0),
        (CITIES, 1, "B", 1.0),
        (CITIES, 0, "B", 0.0),
        (CITIES, "paris", "B", 1.0),
        (CITIES, "A dog", "a dog", 1.0),
        ({"1": "cold", "2": "warm"}, "2", "The answer is 2.", 1.0),
        ({"1": "cold", "2": "warm"}, "2", "warm", 1.0),
        ({"1": "cold", "2": "warm"}, "1", "1", 1.0),
        ({"0": "cold", "1": "warm"}, 1, "warm", 1.0),  # label and place in one
        (CITIES, 1.0, "B", 1.0),
        ([3, 5, 7, 1], 7, "C", 1.0),
        ([True, False], True, "A", 1.0),
        ({"A": "B", "B": "A"}, "A", "A", 1.0),  # a label comes before a text
        ({"A": "B", "B": "A"}, "A", "The answer is A, I say", 1.0),
        ({"A": "x", "B": "y"}, "B", "y", 1.0),
        (["3", "4"], "B", "The answer is 4.", 1.0),
        (["3", "4"], "B", "1 + 3 =\n4", 1.0),
        (["3", "4"], "B", "So:\n5\nis near B", 0.0),
        (["cold", "warm"], "B", "Let me see.\nwarm", 1.0),
        (["3", "4"], "A", "A", 1.0),
        (["3", "4"], "4", "B", 1.0),
        ("{{item.choices}}", "B", "warm", 1.0),
        (None, "b", "(B)", 1.0),
        (None, 25, "Z", 1.0),
    ],
)
def test_the_reference_is_a_label_a_place_or_a_text(options: Any, answer: Any, output: str, score: float) -> None:
    row = {"answer": answer, "choices": ["cold", "warm"]}
    assert choice(options=options)(output, row).score == score


@pytest.mark.parametrize("answer", ["E", "Oslo", "", 4, -1, True, 1.5, ["B"]])
def test_a_reference_that_is_no_option_leaves_the_grade_undecided(answer: Any) -> None:
    for output in ("B", "A or B"):
        grade = choice(options=CITIES)(output, {"answer": answer})
        assert grade.score is None
        assert grade.error is not None
        assert grade.error.kind == "invalid_reference"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"1": "cold", "2": "warm"}, "as a label or text it is option '1', as a place from 0 option '2'"),
        ([3, 5, 7, 1], "as a label or text it is option 'D', as a place from 0 option 'B'"),
    ],
)
def test_a_number_that_is_one_option_by_name_and_another_by_place_is_undecided(options: Any, reason: str) -> None:
    grade = choice(options=options)("B", {"answer": 1})
    assert grade.error is not None
    assert (grade.score, grade.error.kind) == (None, "invalid_reference")
    assert reason in grade.why


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        (["Paris"], "at least two"),
        (["Paris", "paris."], "the same text"),
        (["Paris", " "], "blank"),
        (["Paris", None], "each option is a text"),
        ({"A": "x", "a": "y"}, "the same label"),
        ({"first": "x", "second": "y"}, "not a letter"),
        (list(map(str, range(27))), "at most 26"),
        ("Paris", "neither a list"),
    ],
)
def test_options_that_cannot_be_told_apart_are_refused(choices: Any, reason: str) -> None:
    if not isinstance(choices, str):
        with pytest.raises(ValueError, match=reason):
            choice(options=choices)
    grade = choice(options="{{item.choices}}")("A", {"answer": "A", "choices": choices})
    assert grade.score is None
    assert reason in grade.why


@pytest.mark.parametrize(
    ("options", "message"),
    [({"reference": True}, "True is no reference"), ({"reference": 1.5}, "is no reference"), ({"options": []}, "two")],
)
def test_bad_definitions_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choice(**options)


@pytest.mark.parametrize(
    ("output", "visible"),
    [
        ("B", "B"),
        ("<think>A</think>B", "B"),
        ("<thinking>A</thinking> B", " B"),
        ("A</think>B", "B"),
        ("<think>A</think>B<think>C</think>D", "D"),
        ("<think>A</think>B<think>C", "B"),
        ("<think>A", ""),
        ("I think B", "I think B"),
    ],
)
def test_the_thinking_part_is_what_the_last_tag_closes_and_what_stays_open(output: str, visible: str) -> None:
    assert without_thinking(output) == visible


WORDS = ["A", "B", "(C)", "a", "I", "or", "and", "not", "is", "the", "answer", "Answer:", "correct", ".", ",", "\n"]
WORDS += ["because", "option", "\\boxed{A}", "\\boxed{B", "<think>", "</think>", "<answer>", "</answer>", "Paris", "**"]


@given(st.lists(st.sampled_from(WORDS), max_size=14))
def test_any_output_is_decided_and_right_for_one_answer_at_most(words: list[str]) -> None:
    output = " ".join(words)
    for options in ({}, {"options": CITIES}):
        grades = [choice(**options)(output, {"answer": answer}) for answer in "ABCD"]
        assert sum(grade.score or 0 for grade in grades) <= 1
        assert all(grade.score is not None for grade in grades)
        json.dumps(grades[0].to_wire())


@given(st.text(), st.sampled_from(["A or B", "B/A", "A, B", "A\nB"]))
def test_no_prose_before_a_hedge_makes_it_a_choice_of_both(prose: str, hedge: str) -> None:
    grade = choice()(f"Answer: {hedge}", {"answer": "B"})
    assert grade.score == 0
    assert choice()(prose, {"answer": "B"}).score in (0, 1)


@pytest.mark.parametrize(
    "piece",
    ["answer: ", "answer: B ", "A ", "A\n", "B\n", "(", "**", "\\boxed{", "<answer>B", "I ", " ", "x", "so B is "],
)
def test_a_long_output_is_read_in_no_time(piece: str) -> None:
    for length in (99_000, 1_000_000):
        choice(options=CITIES)(piece * (length // len(piece)), {"answer": "B"})


def test_a_definition_survives_being_written_and_read() -> None:
    grader = choice(options={"A": "x", "B": "y"}, reference=1)
    grader("B")
    again = load(json.loads(json.dumps(grader.to_wire())))
    assert again == grader
    assert again("y").score == 1
