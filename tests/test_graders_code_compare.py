"""Claims compared with what is expected: as Python compares values of equal types, and by the options."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders.code.compare import Expected, Rules, near, printed_difference
from graders.code.display import shown
from graders.sandbox.jail.plain import decoded, encoded

STRICT = Rules()
EQUAL = Rules(numbers="equal")
FREE = Rules(order="free")
ABOUT = Rules(abs_tol=0.01)

hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
values = st.recursive(
    hashable | st.complex_numbers(allow_nan=False) | st.binary(max_size=3).map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=4)
    ),
    max_leaves=12,
)


def same(expected: Any, claimed: Any, rules: Rules = STRICT) -> bool:
    """As it is graded: through the frame's JSON."""
    return Expected(encoded(expected), rules).is_met_by(json.loads(json.dumps(encoded(claimed))))


def alike(one: Any, other: Any) -> bool:
    """Python's == where types must be the same all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict):
        return len(one) == len(other) and all(
            any(alike(key, found) and alike(value, other[found]) for found in other) for key, value in one.items()
        )
    if isinstance(one, set | frozenset):
        return len(one) == len(other) and all(any(alike(entry, found) for found in other) for entry in one)
    return bool(one == other)


@pytest.mark.parametrize(
    "claim",
    [
        {"float": "\x1b]0;x\x07\nall 2 cases passed"},
        {"int": "\x1b[2J" + "x" * 60},
        {"bytes": "\x1b[2J"},
        {"anything": "\x1b[2J\n"},
        {"complex": ["\x1b", "\n"]},
    ],
)
def test_a_claim_that_encodes_nothing_is_shown_without_signs_that_a_terminal_obeys(claim: Any) -> None:
    assert shown(claim).isprintable()
    assert shown([claim, {"dict": [[claim, claim]]}]).isprintable()


def test_a_tolerance_reaches_over_as_many_values_as_are_expected() -> None:
    expected = Expected(encoded([0.1] * 250_000), Rules(abs_tol=1e-6))
    assert expected.is_met_by(encoded([0.1 + 1e-9] * 250_000))
    assert not expected.is_met_by(encoded([0.1 + 1e-9] * 249_999 + [0.2]))


@given(values)
@settings(max_examples=300)
def test_every_plain_value_equals_itself_and_survives_its_frame(value: Any) -> None:
    data = encoded(value)
    assert alike(decoded(json.loads(json.dumps(data))), value)
    for rules in (STRICT, EQUAL, FREE, ABOUT):
        assert same(value, value, rules)


@given(values, values)
@settings(max_examples=300)
def test_it_agrees_with_pythons_own_equality_of_values_of_equal_types(one: Any, other: Any) -> None:
    assert same(one, other) == alike(one, other)
    assert not same(one, other) or same(other, one)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ([1, 2], (1, 2), True),
        ({"a": [(1,), [2]]}, {"a": [[1], (2,)]}, True),
        ([1, 2], (2, 1), False),
        ([1], {1}, False),
        ((1,), frozenset({1}), False),
        ({(1, 2): [3]}, {(1, 2): (3,)}, True),
        ({(1, 2): 3}, {(2, 1): 3}, False),
        ([1], (1.0,), False),
    ],
)
def test_a_tuple_is_a_list_where_sequences_are_equal(one: Any, other: Any, alike: bool) -> None:
    equal = Rules(sequences="equal")
    assert (same(one, other, equal), same(other, one, equal)) == (alike, alike)
    assert not same(one, other)
    assert same([1.0, (2.0,)], (1.001, [2.0]), Rules(sequences="equal", abs_tol=0.01))


def test_a_free_order_is_no_order_of_tuples_that_are_hashed() -> None:
    rules = Rules(sequences="equal", order="free")
    assert same((1, 2), [2, 1], rules)
    assert not same({(1, 2)}, {(2, 1)}, rules)
    assert not same({(1, 2): 3}, {(2, 1): 3}, rules)


@given(st.lists(hashable, max_size=6), st.randoms())
@settings(max_examples=200)
def test_a_free_order_is_any_order_of_the_same_entries(entries: list[Any], rng: Any) -> None:
    mixed = rng.sample(entries, len(entries))
    assert same(entries, mixed, FREE)
    assert same([entries], [mixed], FREE)
    assert same(tuple(entries), tuple(mixed), FREE) == alike(tuple(entries), tuple(mixed))
    assert not same(entries, [*mixed, None], FREE)
    assert not same([*entries, 1], [*mixed, 2], FREE)


@given(st.lists(st.floats(-1e3, 1e3), max_size=8), st.randoms())
@settings(max_examples=200)
def test_entries_in_any_order_may_each_be_off_by_the_tolerance(entries: list[float], rng: Any) -> None:
    moved = [entry + rng.uniform(-0.009, 0.009) for entry in rng.sample(entries, len(entries))]
    assert same(entries, moved, Rules(order="free", abs_tol=0.01))


@pytest.mark.parametrize(
    ("expected", "claimed", "rules", "met"),
    [
        (1, 1.0, STRICT, False),
        (1, True, STRICT, False),
        (1, 1.0, EQUAL, True),
        (1, True, EQUAL, False),
        (0, False, EQUAL, False),
        ([1, {"a": 2.0}], [1.0, {"a": 2}], EQUAL, True),
        ({1: "a"}, {1.0: "a"}, EQUAL, True),
        ({1: "a"}, {True: "a"}, EQUAL, False),
        (2**60, float(2**60), EQUAL, True),
        (2**60 + 1, float(2**60), EQUAL, False),
        ("1", 1, EQUAL, False),
        ([1], (1,), EQUAL, False),
        ({1}, frozenset({1}), EQUAL, False),
        (b"a", bytearray(b"a"), EQUAL, False),
        ("a", b"a", EQUAL, False),
        (None, 0, EQUAL, False),
        ([], None, EQUAL, False),
        (0.0, -0.0, STRICT, True),
        (1.0, 1.005, ABOUT, True),
        (1.0, 1.02, ABOUT, False),
        (1, 1.005, ABOUT, False),
        (1, 1.005, Rules(numbers="equal", abs_tol=0.01), True),
        (1, 2, Rules(numbers="equal", abs_tol=5.0), False),
        (10**400, 1.0, Rules(numbers="equal", abs_tol=5.0), False),
        (100.0, 100.9, Rules(rel_tol=0.01), True),
        (100.0, 101.1, Rules(rel_tol=0.01), False),
        (0.0, 1e300, Rules(rel_tol=0.9), False),
        (1.0, 1e308, Rules(rel_tol=0.99), False),
        (math.inf, math.inf, ABOUT, True),
        (math.inf, -math.inf, ABOUT, False),
        (math.inf, 1e308, Rules(rel_tol=0.99), False),
        (1.0, math.nan, Rules(rel_tol=0.99, abs_tol=1e308), False),
        (1.0, math.inf, Rules(rel_tol=0.99, abs_tol=1e308), False),
        (math.nan, math.nan, STRICT, True),  # expected only where an author wrote it so
        (math.nan, 0.0, ABOUT, False),
        ({"a": 1.0}, {"a": 1.001}, ABOUT, True),
        ({1.0}, {1.001}, ABOUT, True),
        ({1.0: 1}, {1.001: 1}, ABOUT, False),
        (1 + 1j, 1.001 + 1j, ABOUT, True),
        ([(1.001, 2), (1.0, 3)], [(1.0, 2), (1.001, 3)], Rules(order="free", abs_tol=0.01), True),
        ([(1.001, 2), (1.0, 3)], [(1.0, 2), (1.001, 4)], Rules(order="free", abs_tol=0.01), False),
        ([1, 2], [2, 1], STRICT, False),
        ([1, 1, 2], [1, 2, 2], FREE, False),
        ([[1, 2], [3]], [[3], [2, 1]], FREE, True),
        ("\ud800", "\ud800", STRICT, True),
        ("\ud800", "\\ud800", STRICT, False),
    ],
)
def test_what_counts_as_the_same(expected: Any, claimed: Any, rules: Rules, met: bool) -> None:
    assert same(expected, claimed, rules) is met


@pytest.mark.parametrize(
    "claim",
    [
        {},
        {"a": 1, "b": 2},
        {"no such": "x"},
        {"int": "x"},
        {"int": 5},
        {"float": "1"},
        {"bytes": "zz"},
        {"str": "80"},
        {"dict": {}},
        {"dict": [[1]]},
        {"dict": [1]},
        {"complex": ["1"]},
        {"complex": [1, 2]},
        {"set": "ab"},
        {"tuple": {"tuple": []}},
    ],
)
def test_a_claim_that_encodes_no_value_is_refused(claim: Any) -> None:
    for wrapped in (claim, [claim], {"tuple": [claim, 1]}):
        with pytest.raises((ValueError, AssertionError)):
            assert Expected(encoded(5), STRICT).is_met_by(wrapped)


@pytest.mark.parametrize(
    "claim",
    [
        {"set": [1, 1]},
        {"set": [1, 2, 2]},
        {"dict": [[1, 1], [1, 1]]},
        {"dict": [[1, 1], [1, 2]]},
    ],
)
@pytest.mark.parametrize("rules", [STRICT, EQUAL, FREE, ABOUT])
def test_an_entry_twice_makes_no_set(claim: Any, rules: Rules) -> None:
    for expected in ({1, 2}, {1}, {1: 1, 2: 2}, {1: 1}, {1, 2, 3}):
        assert not Expected(encoded(expected), rules).is_met_by(claim)


DEEP: Any = 0
for _ in range(90):
    DEEP = {"dict": [[1, [DEEP]]]} if _ % 2 else {"tuple": [DEEP]}


@pytest.mark.parametrize(
    "claim",
    [
        list(range(500_000)),
        {"set": [n * (2**61 - 1) for n in range(200_000)]},  # would all have one hash
        {"dict": [[f"{n}", n] for n in range(100_000)]},
        [[]] * 300_000,
        "x" * 2**20,
        {"int": "0x" + "f" * 500_000},
        [[1.0 + n / 1e9 for n in range(400)] for _ in range(400)],
        DEEP,
    ],
    ids=lambda claim: str(claim)[:20],
)
def test_a_hostile_claim_is_refused_in_time_in_proportion_to_what_is_expected(claim: Any) -> None:
    begun = time.monotonic()
    for rules in (STRICT, Rules(order="free", abs_tol=0.1)):
        assert not Expected([1, 2, 3], rules).is_met_by(claim)
        assert len(shown(claim)) < 300
    assert time.monotonic() - begun < 20  # a guard: it takes milliseconds


def test_entries_that_sorting_does_not_pair_are_tried_within_bounds() -> None:
    rules = Rules(order="free", abs_tol=1.5)
    expected = [(float(n % 2), n) for n in range(60)]
    claimed = [(float((n + 1) % 2), n) for n in range(60)]
    assert same(expected, claimed, rules)
    many = [[[float(n % 2), float(n)] for n in range(60)] for _ in range(60)]
    begun = time.monotonic()
    same([many, many], [[*reversed(many)], [[[9.0, 9.0]] * 60] * 60], rules)
    assert time.monotonic() - begun < 30  # a guard against a search that explodes


@given(st.integers() | st.floats(), st.integers() | st.floats(), st.floats(0, 0.99), st.floats(0, 1e6))
@settings(max_examples=300)
def test_a_tolerance_never_makes_what_is_not_finite_equal(one: Any, other: Any, rel: float, absolute: float) -> None:
    rules = Rules(rel_tol=rel, abs_tol=absolute)
    if near(one, other, rules) and one != other:
        assert math.isfinite(one)
        assert math.isfinite(other)
        assert abs(one - other) <= max(absolute, rel * abs(one)) * (1 + 1e-9) + 1e-9


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, "a", None, True], "[1, 'a', None, True]"),
        ((1,), "(1,)"),
        ((), "()"),
        (set(), "set()"),
        (frozenset({1}), "frozenset({1})"),
        ({"a": {1: 2.5}}, "{'a': {1: 2.5}}"),
        (b"\x00", "b'\\x00'"),
        (1j, "1j"),
        (10**30, str(10**30)),
        (math.nan, "nan"),
        ("\ud800\x1b", "'\\ud800\\x1b'"),
        ("x" * 500, "'" + "x" * 119 + "…"),
    ],
)
def test_a_value_is_shown_as_python_writes_it(value: Any, text: str) -> None:
    assert shown(encoded(value)) == text
    shown(encoded(value)).encode()


@given(st.recursive(st.none() | st.integers() | st.text(), lambda i: st.lists(i) | st.dictionaries(st.text(), i)))
def test_whatever_arrives_can_be_shown(data: Any) -> None:
    assert len(shown(data)) <= 121
    shown(data).encode()


@pytest.mark.parametrize(
    ("expected", "printed", "rules", "said"),
    [
        ("a\nb\n", "a\nb", STRICT, ""),
        ("a\nb\n", "a \r\nb\t\n\n", STRICT, ""),
        ("a\nb", "a\nc", STRICT, "line 2 of what it printed is 'c'; expected 'b'"),
        ("a\nb", "a", STRICT, "it printed 1 line where 2 are expected"),
        ("a", "a\nb", STRICT, "it printed 2 lines where 1 is expected"),
        ("a", "", STRICT, "it printed nothing; expected 'a'"),
        ("", "", STRICT, ""),
        ("", "a", STRICT, "it printed 1 line where 0 are expected"),
        ("a b", "a\n b", Rules(whitespace="free"), ""),
        ("a b", "a c", Rules(whitespace="free"), "word 2 of what it printed is 'c'; expected 'b'"),
        ("0.5 x", "0.501 x", ABOUT, ""),
        ("0.5 x", "0.501  x", ABOUT, "line 1 of what it printed is '0.501  x'; expected '0.5 x'"),
        ("3", "3.001", ABOUT, ""),
        ("3", "4", Rules(abs_tol=5.0), "line 1 of what it printed is '4'; expected '3'"),
        ("inf", "1e999", Rules(abs_tol=5.0), "line 1 of what it printed is '1e999'; expected 'inf'"),
        ("1", "nan", Rules(abs_tol=5.0), "line 1 of what it printed is 'nan'; expected '1'"),
        ("1.0", "1_0.0", Rules(abs_tol=50.0), "line 1 of what it printed is '1_0.0'; expected '1.0'"),
    ],
)
def test_what_was_printed_differs_where_it_is_said_to(expected: str, printed: str, rules: Rules, said: str) -> None:
    assert printed_difference(expected, printed, rules) == said
