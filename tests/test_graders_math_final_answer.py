"""Which piece of an output is its final answer, and by which rule."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders.math.answer.dressing import undressed
from graders.math.answer.final_answer import final_answer, reference_answer

WORDS = re.compile(r"\\(?:text|mbox)\{[^{}]*\}|\\[A-Za-z]+")
KNOWN = frozenset(("and", "or", "sin", "cos", "percent", "pct", "kg", "km", "cm"))


def reads(candidate: str) -> bool:
    """A stand-in for the parser: no word but a few, and no operator at the end."""
    rest = WORDS.sub("", candidate)
    found = re.findall(r"[^\W\d_]{2,}", rest)
    return bool(rest.strip()) and KNOWN.issuperset(found) and rest.rstrip()[-1] not in "+-*/=<>?!"


@pytest.mark.parametrize(
    ("text", "answer", "rule"),
    [
        (r"so $x = \boxed{\frac{1}{2}}$.", r"\frac{1}{2}", "box"),
        (r"First \boxed{41}, then \boxed{42}.", "42", "box"),
        (r"\boxed{5}, wait, actually \boxed{6}", "6", "box"),
        (r"\boxed{1} and \boxed{2} and \boxed{3}", "1, 2, 3", "boxes"),
        (r"\[\boxed{1} \quad \text{or} \quad \boxed{-2}.\]", "1, -2", "boxes"),
        (r"\boxed{3} 和 \boxed{4}", "3, 4", "boxes"),
        (r"\boxed{1} hens and \boxed{2} pigs", "1, 2", "boxes"),
        (r"\boxed{1} which is odd \boxed{2}", "2", "box"),
        (r"$y_1 = \boxed{x}$ and $y_2 = \boxed{2x}$", "y_1 = x, y_2 = 2x", "boxes"),
        (r"\boxed{a}\implies\boxed{b}", "b", "box"),
        (r"$\boxed{1}$. And $\boxed{2}$", "2", "box"),
        (r"x \in \boxed{[1,2]}", "[1,2]", "box"),
        (r"\equiv \boxed{9} \pmod{11}", "9", "box"),
        (r"$\boxed{28}$ percent", "28%", "box"),
        (r"\boxed{28}\%", "28%", "box"),
        (r"\boxed 5", "5", "box"),
        (r"\fbox{7}", "7", "box"),
        (r"$\\boxed{\\frac{1}{2}}$", r"\frac{1}{2}", "box"),
        (r"\boxed{\boxed{5}}", "{5}", "box"),
        (r"Put it in \boxed. It is \boxed{7}. As \boxed says.", "7", "box"),
        (r"\boxed{255} so Final Answer: The final answer is $10,455$. I hope it is correct.", "10,455", "final answer"),
        (r"\boxed{1/2}. The final answer is above.", "1/2", "box"),
        (r"**Final Answer** \boxed{42}", "42", "box"),
        ("<answer>5</answer>", "5", "tag"),
        ("<answer>\nThe answer is $12$.\n</answer>", "12", "tag"),
        ("6*7 = 42\n#### 42", "42", "hashes"),
        ("#### Step 3: adding up\nThe total is 12.", "12", "number"),
        ("The answer is 42 because 6*7 is 42.", "42", "statement"),
        ("The answer is 7 or 8.", "7 or 8", "statement"),
        ("The answer is 7 or maybe 8, hard to say.", "7 or maybe 8", "statement"),
        ("the answer is $7$ or $8$", "7 or 8", "statement"),
        ("**Answer:** 5", "5", "statement"),
        ("My answer: **12**", "12", "statement"),
        ("Answer \\[ \n 9 \n \\]", "9", "statement"),
        ("Final Answer: The largest value that $f(x)$ takes is 19.", "19", "statement"),
        ("The answer isn't 5. The answer is 6.", "6", "statement"),
        ("The answer is 3.14.", "3.14", "statement"),
        ("The answer is Evelyn.", "Evelyn", "statement"),
        (r"The answer is $-\frac{1}{2}$, so we are done.", r"-\frac{1}{2}", "statement"),
        ("-5", "-5", "whole"),
        ("7,425,000", "7,425,000", "whole"),
        ("x^2+2x+1", "x^2+2x+1", "whole"),
        ("$28$ percent", "28 percent", "whole"),
        ("$1,000.99", "$1,000.99", "whole"),
        ("She has **858** candies.", "858", "bold"),
        ("**Step 3:** So she has 12 apples.", "12", "number"),
        (r"So \[ a = b \\ = 4 \] as shown", "4", "display"),
        ("\\begin{align*} x &= 1+2 \\\\ &= 3 \\end{align*}", "3", "display"),
        (r"We find $x \neq 3$ here.", r"x \neq 3", "formula"),
        ("Therefore, $x = 5$ and $y = 3$.", "x = 5 and y = 3", "formula"),
        ("Take $n$ as above. Therefore, there are 12 of them.", "12", "conclusion"),
        ("The probability is 50%.", "50%", "number"),
        ("It is 7 or 8.", "7 or 8", "number"),
        ("I bought it for $5 and sold it for $7, so my profit is $2.", "$2", "number"),
        ("Therefore she pays $16386.17 after 5 years.", "$16386.17", "number"),
        ("how many $? just about 1$", "1$", "number"),
        ("There are 5 apples in room B12.", "5", "number"),
        ("It fell to −5 overnight", "−5", "number"),
        (r"after simplifying = \frac{6}{15} = \frac{2}{5} ]", r"\frac{6}{15} = \frac{2}{5}", "number"),
    ],
)
def test_the_first_rule_that_applies_gives_the_final_answer(text: str, answer: str, rule: str) -> None:
    assert final_answer(text, reads)[:2] == (answer, rule)


# text, answer, rule
SAID = [
    (r"\boxed{\text{The answer is 42}}", "42", "box"),
    (r"\boxed{\text{Answer: } 5}", "5", "box"),
    (r"\boxed{\text{The vertex is } (2,3)}", "(2,3)", "box"),
    (r"\boxed{\text{The answer is 7 or 8}}", "7 or 8", "box"),
    (r"\boxed{\text{The answer is not 7}}", r"\text{The answer is not 7}", "box"),
    (r"\boxed{\text{Option B}}", "B", "box"),
    (r"The area is $\boxed{12}$. The answer is (C).", "(C) 12", "box"),
    (r"The area is $\boxed{12}$, answer choice **C**.", "(C) 12", "box"),
    (r"\boxed{12}. The answer is A or B.", "12", "box"),
    (r"\boxed{12}. Option A is wrong.", "12", "box"),
    ("First root: \\boxed{2}\n\nSecond root: \\boxed{3}", "2, 3", "boxes"),
    ("First try: \\boxed{2}\n\nSecond try: \\boxed{3}", "3", "box"),
    ("The answer is option (C).", "(C)", "statement"),
    ("Answer: (C) It is always even", "(C) It is always even", "statement"),
    ("The correct answer is **C) 12**", "C) 12", "statement"),
    ("The answer is (C) 12, or maybe (D) 13.", "C, D", "statement"),
    ("Ans: 42", "42", "statement"),
    ("Q: how many?\nA: 42", "42", "statement"),
    ("The means: 5", "5", "number"),
    ("The answer is $12\\pi$, or about 37.7.", "12\\pi", "statement"),
    ("The answer is 7 or about 8.", "7 or about 8", "statement"),
    ("The answer is 7, maybe 8.", "7, maybe 8", "statement"),
    ("The length is 42 cm, i.e. 0.42 m.", "42 cm", "number"),
    ("So the area is 12π, about 37.7.", "12π", "number"),
    ("The side is $2\\sqrt3$ cm, approximately $3.46$ cm.", "2\\sqrt3", "formula"),
    ("We found 7 or about 8.", "7 or about 8", "number"),
    ("#### Solution\nWe add. The answer is 42.", "42", "statement"),
    ("#### Final Answer\n42", "42", "hashes"),
    ("#### 42\n\n#### Explanation\nIt is so.", "42", "hashes"),
    ("So x = 2 or x = 3.", "x = 2 or x = 3", "number"),
    ("**x = 2** or **x = 3**", "x = 2 or x = 3", "bold"),
    ("The roots:\n- $x=2$\n- $x=3$", "x=2, x=3", "formula"),
    ("Given:\n- $a=1$\n- $x=42$", "x=42", "formula"),
    ('{"answer": "2*sqrt(3)"}', "2*sqrt(3)", "json"),
    ('{"answer": [2, 3]}', "2, 3", "json"),
    ('{"answer": "42 apples", "steps": 3}', "42 apples", "json"),
    ('{"final_answer": "\\frac{1}{2}"}', "\\frac{1}{2}", "json"),
    ('Here:\n```json\n{"steps": 3, "answer": "\\\\frac{1}{2}"}\n```', "\\frac{1}{2}", "json"),
    ("The answer is 42.\n\nQ: What is 3?\nA: The answer is 3.", "42", "statement"),
    ("#### 42\n\nQuestion: what\n#### 7", "42", "hashes"),
    ("So $x=42$. $\\blacksquare$", "x=42", "formula"),
    ("So \\[ x = 42 \\quad\\checkmark \\]", "x = 42", "display"),
    ("So \\[ \\implies x=42 \\]", "x=42", "display"),
    ("There were 42 apples in the 3 baskets.", "42", "number"),
    ("42 of the 100 students passed.", "42", "number"),
    ("Step 3: 6 x 7 = 42", "6×7 = 42", "number"),
    ("The maximum is $3$, attained at $n=2$.", "3", "formula"),
    ("最大值为 $3$，此时 $n=2$。", "3", "formula"),
    ("Hence $f(x)=2x$ for all $x$.", "f(x)=2x", "formula"),
]


@pytest.mark.parametrize(("text", "answer", "rule"), SAID)
def test_remarks_conditions_headings_and_run_on_text_are_not_the_answer(text: str, answer: str, rule: str) -> None:
    assert final_answer(text, reads)[:2] == (answer, rule)


@pytest.mark.parametrize(
    "text",
    [
        r"52 \text{ base } 8!",
        r"12:30 p.m.",
        r"\frac{1}{2} for all n",
        "10 ft by 18 ft",
        "t(0,4] for",
        "The bulb is 0.625 centimeters above it.",
    ],
)
def test_no_piece_is_taken_out_of_a_bare_reference(text: str) -> None:
    assert reference_answer(text, reads).text == undressed(text)
    assert final_answer(rf"\boxed{{{text}}}", reads).text == undressed(text)


def test_a_formula_is_taken_out_of_a_reference_that_is_a_worked_solution() -> None:
    assert reference_answer("We have $x+1=3$. Then subtract one. So $x=2$.", reads).text == "x=2"
    assert reference_answer("$f(x)=2x$ for all $x$", reads).text == "f(x)=2x for all x"
    assert reference_answer("<answer>10 ft by 18 ft</answer>", reads).text == "10 ft by 18 ft"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("答案是5", "5"),
        (r"答案：$\frac{3}{4}$。", r"\frac{3}{4}"),
        ("所以一共有3 + 10 = 13只鸟", "3 + 10 = 13"),
        ("La respuesta es 42.", "42"),
        ("La réponse est 42.", "42"),
        ("Die Antwort lautet 3,5.", "3,5"),
        ("La risposta è 12.", "12"),
        ("A resposta é 12.", "12"),
        ("Ответ: 42.", "42"),
        ("الإجابة هي ٤٢", "42"),
        ("उत्तर: ४२", "42"),
        ("답: 42", "42"),
        ("答え：42", "42"),
        ("答：42。", "42"),
        ("答えは42です。", "42"),
        ("答えは **42** です。", "42"),
        ("정답은 42입니다.", "42"),
        ("【答案】42", "42"),
        ("故选：C", "C"),
        ("因此选A。", "A"),
        ("答案选A", "A"),
        ("Đáp án là 42.", "42"),
        ("Cevap: 42", "42"),
    ],
)
def test_an_answer_is_found_in_many_languages(text: str, answer: str) -> None:
    assert final_answer(text, reads).text == answer


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (r"\boxed{}. I think 42", "empty"),
        (r"\boxed{4} and then \boxed{5", "never closed"),
        ("<think>\\boxed{7}", "never closed"),
        (r"\boxed{7} <think> hmm", "never closed"),
        ("<answer> </answer>", "empty"),
        ("AZYUK2A", "no box"),
        (" \n", "blank"),
    ],
)
def test_an_output_without_a_final_answer_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(LookupError, match=reason):
        final_answer(text, reads)


def test_thinking_and_what_follows_a_chat_template_never_count() -> None:
    assert final_answer("<think>\\boxed{7}</think>The answer is 8.<|im_end|>The answer is 9.", reads).text == "8"


def test_final_answers_in_other_marks_are_handed_on() -> None:
    found = final_answer("\\boxed{5} <answer>6</answer>\n#### 5", reads)
    assert (found.text, found.also) == ("5", ("6",))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("$[0,1)$", "[0,1)"),
        (r"\boxed{x = -5, y", "x = -5, y"),
        ("$21,16$ or $11$", "21,16 or 11"),
        (r"It follows that $x = \boxed{3}.$", "3"),
        ("the empty set", "the empty set"),
    ],
)
def test_a_reference_is_read_leniently(text: str, answer: str) -> None:
    assert reference_answer(text, reads).text == answer


PIECES = [
    "\\boxed{",
    "}",
    "$",
    "**",
    "<answer>",
    "</answer>",
    "#### ",
    "7",
    " or ",
    "answer: ",
    "\\(",
    "\\]",
    "\\\\",
    " is ",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=14).map("".join), st.booleans())
def test_any_text_gives_an_answer_from_its_own_signs_or_a_lookup_error(text: str, readable: bool) -> None:
    for extract in (final_answer, reference_answer):
        try:
            found = extract(text, lambda candidate: readable)
        except LookupError:
            continue
        assert found.text
        assert set(found.text) <= set(text) | set("0123456789.,%= ×()")


HOSTILE = [
    " ",
    "\\boxed{",
    "\\fbox",
    "\\boxed{1}, ",
    "$",
    "$1$ or ",
    "*",
    "**",
    "<answer>",
    "</answer>",
    "<|im_end|>",
    "9",
    "9,",
]
HOSTILE += [
    "1/",
    "\\",
    "{",
    "}",
    "answer ",
    "answer: ",
    "####",
    "\\(",
    "\\text{",
    "7 or ",
    "is 1 ",
    "\\begin{align}",
    "答",
    "٣",
    "\n\nQ: ",
    '{"answer": ',
    "\nA: ",
    "#### Answer\n",
    "- $x=1$\n",
    "**1** or ",
    "1, about ",
    "First root: \\boxed{1}\n",
    "(A) ",
]


@pytest.mark.parametrize("unit", HOSTILE)
def test_a_megabyte_of_one_sign_does_not_hang(unit: str) -> None:
    text = (unit * (1_000_000 // len(unit) + 1))[:1_000_000]
    begun = time.perf_counter()
    for whole in (text, "\\boxed{5}" + text, "The answer is " + text):
        for extract in (final_answer, reference_answer):
            with suppress(LookupError):
                extract(whole, lambda candidate: False)
    assert time.perf_counter() - begun < 20


def test_dressing_comes_off() -> None:
    assert undressed("**$\\displaystyle x^2$**.") == "x^2"
    assert undressed("\\(a\\) and \\(b\\)") == "a and b"
    assert undressed("$5") == "$5"
    assert undressed("\\left\\{ x \\right.") == "\\left\\{ x \\right."
