"""Conditions on rows: what they mean, and that nothing else than a comparison can be written in one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Sample
from graders.offline.where import Where
from graders.rows import GradingRow

ROW = GradingRow(
    "p1",
    {
        "gene": "FBN1",
        "year": 2021,
        "size": "12.5",
        "solved": True,
        "tags": ["a", "b"],
        "deep": {"x y": [1, {"z": None}]},
        "nothing": None,
    },
    Sample('{"gene": "SKI"}', output_tools=[{"name": "search"}]),
)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("item.gene == 'FBN1'", True),
        ('item.gene != "FBN1"', False),
        ("item.year >= 2020 and item.year < 2021.5", True),
        ("2020 < item.year <= 2021", True),
        ("2020 < item.year < 2021", False),
        ("item.size > 12", True),  # text that reads as a number, as in CSV
        ("item.size == 12.5", False),  # but it is none
        ("item.gene > 3", False),
        ("item.gene < 'G' and item.gene > 'F'", True),
        ("not item.solved", False),
        ("item.solved == True", True),
        ("item.solved == true", True),
        ("item.solved == 1", False),
        ("item.solved > 0", False),
        ("item.year", True),
        ("'a' in item.tags and 'c' not in item.tags", True),
        ("item.gene in ['FBN1', 'SKI']", True),
        ("item.gene in ('SKI',)", False),
        ("'BN' in item.gene", True),
        ("1 in item.gene", False),
        ("'x y' in item.deep", True),
        ("item.tags == ['a', 'b']", True),
        ("item['deep']['x y'][0] == 1", True),
        ("item.deep['x y'][-1].z == null", True),
        ("item.tags[5] == None", True),
        ("item.none.of.these == null", True),
        ("item.none > 1 or item.none < 1 or item.none == 1", False),
        ("item.nothing == null and item.nothing != 0", True),
        ("id == 'p1'", True),
        ("sample.output_json.gene == 'SKI'", True),
        ("sample.output_tools[0].name == 'search'", True),
        ("len(sample.output_text) == 15 and len(item.tags) > 1", True),
        ("len(item.year) > 0", False),
        ("item.year == -2021 or item.year > -1", True),
        ("(item.year == 1 or item.gene == 'FBN1') and not (id == 'x')", True),
    ],
)
def test_a_condition_means_what_it_says(text: str, met: bool) -> None:
    assert Where(text)(ROW) is met


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("__import__('os').system('true')", "not allowed here"),
        ("item.gene.upper() == 'X'", r"'item\.gene\.upper\(\)': not allowed here"),
        ("(lambda: 1)()", "not allowed here"),
        ("[x for x in item.tags]", "not allowed here"),
        ("item.year + 1 > 2", r"'item\.year \+ 1': not allowed here"),
        ("f'{item}'", "not allowed here"),
        ("b'x' == item.x", "not allowed here"),
        ("item.x == 1j", "not allowed here"),
        ("item.x if item.y else 1", "not allowed here"),
        ("(x := 5)", "not allowed here"),
        ("len(item.x, 1)", "not allowed here"),
        ("{'a': 1}", "not allowed here"),
        ("gene == 'FBN1'", "no such name 'gene'"),
        ("itm.gene == 'FBN1'", "no such name 'itm.gene'; did you mean 'item'"),
        ("item == 1", "no such name 'item'"),
        ("id.x == 1", r"no such name 'id\.x'"),
        ("sample.output == ''", "a sample has no 'output'; did you mean 'output_json'|a sample has no 'output'"),
        ("item[id] == 1", r"'item\[id\]': only keys and whole numbers lead to a value"),
        ("item.tags[0:1] == 1", "only keys and whole numbers"),
        ("item.x is None", "'is' compares no values; write =="),
        ("item.year = 3", r"invalid syntax.* at character \d+"),
        ("item.year >", r"invalid syntax.* at character \d+"),
        ("", "invalid syntax at character"),
        ("item.x == 'a", "unterminated string literal"),
        ("item.x == '\0'", "null bytes"),
        ("(" * 500 + "item.x" + ")" * 500, "too many nested parentheses|nested too deeply"),
        ("item.x == 1 or " * 200 + "item.x == 2", "it has 3,0.. characters, more than 2,000"),
    ],
)
def test_what_is_no_condition_is_refused_with_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as found:
        Where(text)
    assert str(found.value).startswith("where ")
    assert "write comparisons of item.key" in str(found.value)


@pytest.mark.parametrize("text", ["not " * 400 + "item.gene == 'FBN1'", "item.gene != " + "9" * 1900])
def test_a_long_condition_holds_or_is_refused(text: str) -> None:
    try:
        assert Where(text)(ROW)
    except ValueError as problem:
        assert "nested too deeply" in str(problem)  # noqa: PT017


def test_what_no_row_has_is_told() -> None:
    where = Where("item.yeer > 3 and item.gene == 'x'")
    assert not where(ROW)
    assert not where.met
    assert where.never_found().startswith("; no row has 'item.yeer'; did you mean 'year'? known: deep, gene")
    assert Where("item.gene == 'x'").never_found() != "", "no row was looked at"


VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(VALUES, st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]), VALUES)
def test_values_of_any_kind_can_be_compared(one: Any, operation: str, other: Any) -> None:
    row = GradingRow("x", {"a": one, "b": other}, Sample(""))
    met = Where(f"item.a {operation} item.b")(row)
    assert met in (True, False)
    if operation in ("==", "in"):
        assert Where(f"item.a {'!=' if operation == '==' else 'not in'} item.b")(row) is not met


@given(st.text(alphabet="item.sapl_ed[]()'\"<>=! 019and orlen,-", max_size=40))
def test_any_text_is_a_condition_or_is_refused_in_one_way(text: str) -> None:
    try:
        condition = Where(text)
    except ValueError as problem:
        assert str(problem).startswith("where ")  # noqa: PT017
    else:
        assert condition(ROW) in (True, False)
