"""Clauses: the letter of a choice, a condition behind an answer, and a name in words before it."""

from __future__ import annotations

import pytest

from graders.math.reading.parse import parse_words
from graders.math.shapes.shapes import same
from graders.math.tree import Node, number
from graders.math.written import written

INTEGER = r"k\in\mathbb{Z}"


def tree(said: Node | str) -> Node:
    return parse_words(said) if isinstance(said, str) else said


def text(words: str) -> Node:
    return Node("text", (), words)


def choice(letter: str, *said: str) -> Node:
    return Node("choice", tuple(map(parse_words, said)), letter)


def given(body: str, condition: Node | str) -> Node:
    return Node("given", (parse_words(body), tree(condition)))


def called(words: str, value: str) -> Node:
    return Node("relation", (text(words), parse_words(value)), ("=",))


EQUAL = [
    (choice("C", "12"), "C"),
    (choice("C", "12"), text("C")),
    (choice("C", "12"), "12"),
    (choice("C", "12"), "x=12"),
    (choice("C", r"\frac12"), "0.5"),
    (choice("C", "12"), choice("C", "12.0")),
    (choice("C", "12"), choice("C")),
    (choice("A", "(1,2)"), "(1,2)"),
    (given("f(n)=n", text("for all n")), "f(x)=x"),
    (given("f(n)=n", r"n\in\mathbb{N}"), given("f(x)=x", r"x\in\mathbb{N}")),
    (given(r"\frac\pi6+\pi k", INTEGER), r"\frac\pi6+\pi k"),
    (given(r"\frac\pi6+\pi k", INTEGER), r"\frac\pi6+\pi n, n\in\mathbb{Z}"),
    (given(r"x=\frac\pi6+\pi k", INTEGER), given(r"\frac\pi6+\pi n", r"n\in\mathbb{Z}")),
    (given("x=2k,y=k", INTEGER), r"x=2k, y=k, k\in\mathbb{Z}"),
    (given("e^x+C", r"C\in\mathbb{R}"), "e^x+C"),
    (given("x", "x>0"), given("x", "0<x")),
    (given("x", "x>0"), "x"),
    (given("2k", text("k an integer")), given("2k", INTEGER)),
    (given("n/2", text("n is even")), given("n/2", text("where n is an even integer"))),
    (given("42", text("minimal")), "n=42"),
    (given(r"x=\pm 2", text("real")), "2,-2"),
    (called("Total", "42"), "42"),
    (called("Total", "42"), called("the total", "42")),
    (called("The vertex is", "(2,3)"), "(2,3)"),
]

DIFFERENT = [
    (choice("C", "12"), "D"),
    (choice("C", "12"), "13"),
    (choice("C", "12"), "12,C"),
    (choice("C", "12"), choice("C", "13")),
    (choice("C", "12"), choice("D", "12")),
    (choice("C"), "12"),
    (given("f(n)=n", text("for all n")), "f(x)=2x"),
    (given("f(n)=n", r"n\in\mathbb{N}"), given("f(x)=x", r"x\in\mathbb{Z}")),
    (given(r"\frac\pi6+\pi k", INTEGER), r"\frac\pi6+2\pi k"),
    (given("x", "x>0"), given("x", "x<0")),
    (given("n/2", text("n is even")), given("n/2", text("n is odd"))),
    (given("42", text("minimal")), given("42", text("maximal"))),
    (called("Total", "42"), "43"),
    (called("Total", "42"), "x=42"),
    (called("Total", "42"), called("Sum", "42")),
]


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_a_clause_does_not_change_what_is_answered(gold: Node, answer: Node | str) -> None:
    verdict = same(gold, tree(answer))
    assert verdict.equal, verdict.why
    assert same(tree(answer), gold).equal


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_another_letter_condition_or_name_is_another_answer(gold: Node, answer: Node | str) -> None:
    verdict = same(gold, tree(answer))
    assert verdict.outcome == "different"
    assert verdict.why
    assert same(tree(answer), gold).outcome == "different"


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (choice("C", "12"), "(C) 12"),
        (choice("C"), "(C)"),
        (given("f(n)=n", text("for all n")), "f(n) = n, for all n"),
        (Node("root", (number(5), number(2))), "sqrt(5)"),
        (Node("root", (number(5), number(3))), "root(5, 3)"),
    ],
)
def test_clauses_and_roots_are_written_in_plain_characters(node: Node, expected: str) -> None:
    assert written(node) == expected
