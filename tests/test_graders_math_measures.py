"""Regions, quantities, labels, ratios, residues and vectors: what they equal by the policy, and what they do not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders.math.policy import Policy
from graders.math.reading.parse import parse
from graders.math.reading.units import UNITS
from graders.math.shapes.labels import by_label, opposite
from graders.math.shapes.matrices import carried_out
from graders.math.shapes.ratios import same_ratio, same_residue
from graders.math.shapes.regions import region
from graders.math.shapes.shapes import same
from graders.math.shapes.unit_vectors import components
from graders.math.tree import Node, Verdict, number, symbol
from graders.math.values.values import same_value

EQUAL = [
    # what joins inequalities
    (r"x>2 \text{ and } x<7", "2<x<7"),
    ("x>2, x<7", "2<x<7"),
    (r"x<-2 \text{ or } x>7", "x<-2, x>7"),
    (r"x<2 \text{ and } x>7", r"\emptyset"),
    (r"(-\infty,-2) \text{ and } (7,\infty)", r"(-\infty,-2)\cup(7,\infty)"),
    (r"x\le-2 \text{ or } x=7", r"(-\infty,-2]\cup\{7\}"),
    (r"2<x<3 \text{ or } x=7", r"\{7\}\cup(2,3)"),
    # ends at infinity
    (r"-\infty\le x\le 3", r"(-\infty,3]"),
    (r"(2,\infty)", "x>2"),
    # sets with a condition
    (r"\{x\in\mathbb R\mid x\ne-3,4\}", r"(-\infty,-3)\cup(-3,4)\cup(4,\infty)"),
    (r"\{x\mid x\in\mathbb R\}", r"\mathbb R"),
    (r"\{x\mid x\in\mathbb R, x\ne4\}", r"\mathbb R\setminus\{4\}"),
    (r"\{x\mid x\in(0,5)\}", "(0,5)"),
    (r"\{x\in(0,5)\mid x\ne1\}", r"(0,1)\cup(1,5)"),
    # points and intervals
    ("x=(1,2)", "(1,2)"),
    ("1<x<2", "(1,2)"),
    # ratios, times, residues
    ("7:32", "14:64"),
    ("7:32", "7/32"),
    ("12:30", "12:30"),
    ("3", r"3\pmod 7"),
    ("8", r"2^3\pmod{11}"),
    # units
    (r"20^\circ", r"20^\circ\mathrm C"),
    (r"\$20\text{ per month}", r"\$20"),
    (r"20\text{ dollars per month}", r"20\text{ dollars}"),
    (r"\$18\text{ dollars}", r"\$18"),
    ("5'10''", r"5\text{ ft }10\text{ in}"),
    ("5'10''", r"70\text{ in}"),
    (r"90^\circ", r"\frac{\pi}{2}\text{ rad}"),
    # labels
    (r"5\text{ apples}", r"5\text{ fruits}"),
    (r"5\text{ PM}", "5"),
    # vectors
    ("(-55,13)^T", r"\begin{pmatrix}-55\\13\end{pmatrix}"),
    ("(-55,13)^T", "(-55,13)"),
    ("[1,2,3]^T", r"\begin{pmatrix}1\\2\\3\end{pmatrix}"),
    (r"2(1,2)^T+(1,1)^T", r"\begin{pmatrix}3\\5\end{pmatrix}"),
]

DIFFERENT = [
    (r"x\le-1 \text{ or } x\ge1", r"x\le-1 \text{ and } x\ge1"),
    (r"x>2 \text{ or } x<7", "2<x<7"),
    (r"(1,\infty)", r"(1,\infty]"),
    (r"[1,\infty)", r"[1,\infty]"),
    (r"\mathbb R", r"[-\infty,\infty]"),
    ("1<x<2", "x=(1,2)"),
    (r"\{x\mid x\in(0,5)\}", "(0,5]"),
    (r"x\le-2 \text{ or } x=7", r"(-\infty,-2]\cup\{8\}"),
    ("12:30", "2/5"),
    ("12:30", "2:5"),
    ("10:30", "1:3"),
    ("9:15", "12:20"),
    ("3", r"3\pmod 2"),
    ("3", r"3\pmod 1"),
    ("50.7", r"50.7\pmod 5"),
    ("-2", r"-2\pmod 7"),
    (r"20^\circ\mathrm F", r"20^\circ\mathrm C"),
    (r"20\text{ arcmin}", r"20^\circ\mathrm C"),
    (r"60\text{ km/h}", r"60\text{ km}"),
    (r"\$20\text{ per month}", r"\$21"),
    ("5'10''", r"5\text{ ft }11\text{ in}"),
    ("5'10''", r"5\text{ m }10\text{ in}"),
    ("5 PM", "5 AM"),
    (r"\begin{pmatrix}1&2\end{pmatrix}", "\\begin{pmatrix}1\\\\2\\end{pmatrix}"),
]


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_the_same_measure_is_equal_in_both_directions(gold: str, answer: str) -> None:
    assert same(parse(gold), parse(answer)).outcome == "equal"
    assert same(parse(answer), parse(gold)).outcome == "equal"


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_another_measure_is_different_in_both_directions(gold: str, answer: str) -> None:
    assert same(parse(gold), parse(answer)).outcome == "different"
    assert same(parse(answer), parse(gold)).outcome == "different"


def test_money_per_month_keeps_its_unit_where_units_are_required() -> None:
    rate, sum_of_money = parse(r"20\text{ dollars per month}"), parse("20")
    assert not same(rate, sum_of_money, Policy(units="required")).equal
    assert same(rate, sum_of_money).equal


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ("p.m.", "am", True),
        ("PM Monday", "a.m.", True),
        ("km north", "km south", True),
        ("profit", "net loss", True),
        ("apples", "oranges", False),
        ("am", "AM", False),
        ("up or down", "down", False),
        ("", "loss", False),
        ("wins", "losses", True),
        ("profits", "deposits", False),
    ],
)
def test_labels_are_opposite_where_they_hold_the_two_sides_of_a_pair(a: str, b: str, found: bool) -> None:
    assert opposite(a, b) is found
    assert opposite(b, a) is found


def _counted(count: int, words: str) -> Node:
    return Node("labelled", (number(count),), words) if words else number(count)


@pytest.mark.parametrize(
    ("mine", "other"),
    [("PM", "a.m."), ("increase", "decrease"), ("profit", "net loss"), ("km north", "km south"), ("BC", "AD")],
)
def test_one_number_with_opposite_labels_is_two_values(mine: str, other: str) -> None:
    def different(a: Node, b: Node) -> bool:
        return same(a, b).outcome == same(b, a).outcome == "different"

    assert different(_counted(5, mine), _counted(5, other))
    assert different(Node("percent", (_counted(5, mine),)), Node("percent", (_counted(5, other),)))
    assert different(
        Node("relation", (symbol("x"), _counted(5, mine)), ("=",)),
        Node("relation", (symbol("x"), _counted(5, other)), ("=",)),
    )
    assert same(_counted(5, mine), number(5)).equal
    assert same(number(5), _counted(5, mine)).equal


def test_values_in_a_list_go_with_their_labels() -> None:
    gold = Node("list", (_counted(15, "hearts"), _counted(3, "spades")), ",")
    for mine, other, outcome in ((15, 3, "equal"), (3, 15, "different")):
        answer = Node("list", (_counted(other, "spades"), _counted(mine, "hearts")), ",")
        assert same(gold, answer).outcome == same(answer, gold).outcome == outcome


@pytest.mark.parametrize(
    ("mine", "other", "found"),
    [
        ([(15, "hearts"), (3, "spades")], [(3, "hearts"), (15, "spades")], ([15, 3], [3, 15])),
        ([(15, "hearts"), (3, "spades")], [(3, "Spades"), (15, "hearts")], ([15, 3], [15, 3])),
        ([(15, "hearts"), (3, "spades")], [(3, "cards"), (15, "hearts")], None),
        ([(15, "hearts"), (3, "spades")], [(3, ""), (15, "hearts")], None),
        ([(15, "cards"), (3, "cards")], [(3, "cards"), (15, "cards")], None),
        ([(15, "hearts")], [(3, "hearts")], None),
    ],
)
def test_entries_go_with_their_labels_where_both_lists_have_the_same_different_ones(
    mine: list[tuple[int, str]], other: list[tuple[int, str]], found: tuple[list[int], list[int]] | None
) -> None:
    pairs = by_label([_counted(*entry) for entry in mine], [_counted(*entry) for entry in other])
    values = pairs and tuple([int(node.args[0].value.value) for node in side] for side in pairs)
    assert values == found


@pytest.mark.parametrize(
    ("text", "size", "entries"),
    [
        (r"2\mathbf i+3\mathbf j", 2, ["2", "3"]),
        (r"2\mathbf i+3\mathbf j", 3, ["2", "3", "0"]),
        (r"\mathbf i-2\mathbf k", 3, ["1", "0", "-2"]),
        (r"\frac{\mathbf j}{2}+t\mathbf i", 2, ["t", "1/2"]),
        (r"\mathbf i-2\mathbf k", 2, None),
        ("3i", 2, None),
        ("2+3j", 2, None),
        (r"\mathbf i\mathbf j", 2, None),
        (r"\frac{2}{\mathbf j}", 2, None),
        (r"\mathbf i+\mathbf j", 4, None),
    ],
)
def test_sums_of_unit_vectors_have_their_multiples_as_entries(text: str, size: int, entries: list[str] | None) -> None:
    found = components(parse(text), size)
    if entries is None:
        assert found is None
    else:
        assert found is not None
        assert all(same_value(x, parse(y), Policy()).equal for x, y in zip(found, entries, strict=True))


def _value(a: Node, b: Node) -> Verdict:
    return same_value(a, b, Policy())


@given(st.integers(1, 30), st.integers(1, 70), st.integers(1, 30), st.integers(1, 70))
@settings(max_examples=200, deadline=None)
def test_ratios_are_compared_alike_in_both_directions(a: int, b: int, c: int, d: int) -> None:
    first, second = (Node("ratio", (number(x), number(y))) for x, y in ((a, b), (c, d)))
    found = same_ratio(first, second, _value).outcome
    assert found == same_ratio(second, first, _value).outcome
    assert found != "equal" or a * d == b * c


@given(st.integers(-20, 20), st.integers(-20, 20))
@settings(max_examples=200, deadline=None)
def test_a_bare_residue_is_a_number_only_where_division_leaves_it(rest: int, modulus: int) -> None:
    node = Node("congruent", (number(rest), number(modulus)))
    assert same_residue(number(rest), node, _value).equal is (0 <= rest < modulus)
    assert same_residue(node, number(rest), _value).equal is (0 <= rest < modulus)


def test_a_residue_of_a_symbol_is_no_number() -> None:
    node = Node("congruent", (symbol("a"), symbol("n")))
    assert not same_residue(node, symbol("a"), _value).equal


def test_a_name_that_is_a_pair_is_a_point_and_no_region() -> None:
    pair = Node("tuple", (number(1), number(2)))
    assert region(Node("named", (symbol("x"), pair))) is None
    assert region(pair) is not None


def test_rows_in_brackets_are_transposed_as_the_matrix_they_are() -> None:
    found = carried_out(parse(r"[[1,2],[3,4]]^T"))
    assert same(found, parse(r"\begin{pmatrix}1&3\\2&4\end{pmatrix}")).equal


def test_quantities_keep_the_unit_that_is_said_twice() -> None:
    dollar = UNITS["$"]
    twice = Node("quantity", (Node("quantity", (number(5),), dollar),), dollar)
    assert same(twice, Node("quantity", (number(500),), UNITS["cent"])).equal
