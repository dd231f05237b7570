from __future__ import annotations

import itertools
import json
import pickle
import re
import time
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders import Grader, GradingError, load
from graders.pattern import compiled


def regex(pattern: str, **options: Any) -> Grader:
    return load({"type": "regex", "pattern": pattern, **options})


@pytest.mark.parametrize(
    ("pattern", "options", "output", "score"),
    [
        (r"\d+", {}, "about 42", 1.0),
        (r"\d+", {"match": "full"}, "about 42", 0.0),
        (r"\d+", {"match": "full"}, "42", 1.0),
        (r"\d+", {"match": "full"}, "42\n", 0.0),
        (r"42$", {}, "42\n", 0.0),  # the very end, unlike in `re`
        (r"paris", {}, "Paris", 0.0),
        (r"paris", {"flags": "i"}, "Paris", 1.0),
        (r"é", {"flags": "i"}, "É", 1.0),
        (r"^b$", {}, "a\nb\nc", 0.0),
        (r"^b$", {"flags": "m"}, "a\nb\nc", 1.0),
        (r"a.b", {}, "a\nb", 0.0),
        (r"a.b", {"flags": "si"}, "A\nb", 1.0),
        (r"^.$", {}, "日", 1.0),
        (r"^\p{L}+$", {}, "Ελλάς", 1.0),
        (r"^\w+$", {}, "Ελλάς", 0.0),  # ASCII only, unlike in `re`
        (r"(?:a*)", {"match": "full"}, "", 1.0),
        (r"^.$", {}, "\ud800", 1.0),
        (r"x", {}, "", 0.0),
    ],
)
def test_the_pattern_matches_or_not(pattern: str, options: dict[str, Any], output: str, score: float) -> None:
    grade = regex(pattern, **options)(output)
    assert grade.score == score
    json.dumps(grade.to_wire()).encode()


@pytest.mark.parametrize(
    ("pattern", "hint"),
    [
        (r"(?=a)", "look-around"),
        (r"(?<!a)b", "look-around"),
        (r"(a)\1", "back-references"),
        (r"(?P<x>a)(?P=x)", "back-references"),
        (r"(?>a+)b", "never backtracks"),
        (r"a++b", "never backtracks"),
        (r"end\Z", r"write \z"),
        (r"\u00e9", r"\x{...}"),
        (r"(", "missing )"),
        (r"a{1001}", "at most 1,000"),
        (r"(\p{L}{1,30}){30}", "too large"),
        ("\ud800", "lone surrogate"),
        ("", "matches every text"),
        ("a*", "matches every text"),
        ("x|", "matches every text"),
        ("{{item.pattern}}", "a pattern is no template"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_with_the_reason(pattern: str, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        regex(pattern)


@pytest.mark.parametrize("options", [{"flags": "x"}, {"match": "anywhere"}, {"group": 1}])
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options)).rstrip("s")):
        regex("a", **options)


BOMBS = [
    r"(a+)+$",
    r"([a-z]+)*\d",
    r"(a|aa)+\d",
    r"(a|a?)+\d",
    r"(.*a){20}\d",
    r"^(([a-z])+.)+[A-Z]([a-z])+$",
    r"(x+x+)+y",
    r"(.*)*x",
    r"(a?){100}a{100}\d",
]


@pytest.mark.parametrize("pattern", BOMBS)
def test_patterns_that_blow_up_elsewhere_are_linear_here(pattern: str) -> None:
    """`re` would need longer than the universe has."""
    for output in ("a" * 200_000 + "!", "é" * 100_000, "ax" * 100_000):
        assert regex(pattern)(output).score is not None
        compiled(pattern).fullmatch(output)


def test_all_matches_of_a_long_text_are_found_in_linear_time() -> None:
    """Counting characters anew for each would take hours."""
    matches = [match.group() for match in compiled(r"\d+").finditer("é1 " * 100_000)]
    assert len(matches) == 100_000
    assert set(matches) == {"1"}


def test_time_in_which_the_machine_did_something_else_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(step=60)
    clocks = SimpleNamespace(monotonic=lambda: next(ticks), thread_time=time.thread_time)
    monkeypatch.setattr("graders.pattern.time", clocks)
    assert len(list(compiled("a").finditer("a" * 1_000))) == 1_000


# graders.pattern


@pytest.mark.parametrize(
    ("pattern", "text"),
    [("", ""), ("", "aé日"), ("x*", "éxx日x"), ("a|b", "abcab"), (r"\b", "ab cd"), ("é", "éé"), ("^|$", "ab")],
)
def test_matches_are_those_of_re(pattern: str, text: str) -> None:
    assert [match.group() for match in compiled(pattern).finditer(text)] == re.findall(pattern, text)


@given(st.sampled_from(["a", "a+", "[ab]é?", "(?:ab)*", ".", "[^a]", "b|é+", "a{2,3}"]), st.text(alphabet="abé\n日"))
def test_simple_patterns_agree_with_re(pattern: str, text: str) -> None:
    ours, theirs = compiled(pattern), re.compile(pattern)
    assert [match.group() for match in ours.finditer(text)] == [match.group() for match in theirs.finditer(text)]
    assert (ours.fullmatch(text) is None) == (theirs.fullmatch(text) is None)
    found, expected = ours.search(text), theirs.search(text)
    assert (found and found.group()) == (expected and expected.group())


def test_groups_are_reached_by_number_and_name() -> None:
    pattern = compiled(r"(?P<gene>[A-Z]+)(\d)?(x)?")
    match = pattern.search("é FBN1")
    assert match is not None
    assert [match.group(group) for group in (0, 1, 2, 3, "gene")] == ["FBN1", "FBN", "1", None, "FBN"]
    assert (pattern.groups, pattern.names) == (3, {"gene": 1})
    for unknown in (4, "exon"):
        with pytest.raises(LookupError):
            match.group(unknown)


def test_a_pattern_is_compiled_once_and_survives_pickling() -> None:
    assert compiled("a+", "i") is compiled("a+", "i")
    assert pickle.loads(pickle.dumps(compiled("a+", "i"))) is compiled("a+", "i")


@given(st.text(), st.text(max_size=8))
def test_no_text_and_no_pattern_crashes(text: str, pattern: str) -> None:
    try:
        made = compiled(pattern)
    except ValueError:
        return
    for match in made.finditer(text):
        assert isinstance(match.group(), str)


def test_a_definition_survives_being_written_and_read() -> None:
    grader = regex("a+", match="full", flags="is")
    grader("a")
    assert load(json.loads(json.dumps(grader.to_wire()))) == grader
    assert pickle.loads(pickle.dumps(grader))("AA").score == 1


@pytest.mark.parametrize("match", ["search", "full"])
@pytest.mark.parametrize(
    ("pattern", "text"), [("((a?){30}){30}b", "a" * 1_000_000), (r"[a-zé]{1,900}\.", "é" * 1_000_000)]
)
def test_an_output_too_long_for_a_large_pattern_is_the_candidates_fault(pattern: str, text: str, match: str) -> None:
    """Undecided would be masked in training: a policy could write too much instead of a wrong answer."""
    grade = regex(pattern, match=match)(text)
    assert grade.score == 0
    assert grade.error is not None
    assert (grade.error.kind, grade.error.fault) == ("timeout", "candidate")
    assert "the output is too long for it" in grade.why


@pytest.mark.parametrize(
    ("pattern", "text", "score"),
    [
        (r"FBN1.{0,200}pathogenic", "x" * 200_000, 0.0),
        (r"^.{1,900}$", "x" * 60_000, 0.0),
        (r"\p{L}{1,8}", "?" * 100_000, 0.0),
        (r"^.{1,1000}$", "x" * 100_000, 0.0),
    ],
)
def test_a_hundred_kilobytes_are_searched_whatever_the_pattern(pattern: str, text: str, score: float) -> None:
    grade = regex(pattern)(text)
    assert (grade.score, grade.error) == (score, None)


@pytest.mark.parametrize(
    ("pattern", "instructions"), [(r"[\p{L} ]{1,200}", "239,603"), (r"^(\p{L}{2,10} ?){1,3}$", "")]
)
def test_a_pattern_of_too_many_instructions_is_refused_with_its_size_and_the_remedy(
    pattern: str, instructions: str
) -> None:
    with pytest.raises(ValueError, match="instructions, and 10,000 are possible; repeat classes") as caught:
        regex(pattern)
    assert f"it needs {instructions}" in str(caught.value)
    assert "`length`" in str(caught.value)


def test_matches_that_each_read_to_the_end_are_given_up_as_the_patterns_fault() -> None:
    with pytest.raises(GradingError, match="takes longer than 2 s") as caught:
        list(compiled(".*;|x").finditer("x" * 1_000_000))
    assert (caught.value.error.kind, caught.value.error.fault) == ("timeout", "grader")
