from __future__ import annotations

import json
import math
import pickle
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rapidfuzz import fuzz, utils

from graders import Grader, load


def similarity(**options: Any) -> Grader:
    definition = {"type": "text_similarity", "input": "{{sample.output_text}}", "reference": "{{item.name}}"}
    return load({**definition, "evaluation_metric": "fuzzy_match", **options})


@pytest.mark.parametrize(
    ("output", "reference", "score"),
    [
        ("Marfan syndrome", "Marfan syndrome", 1.0),
        (
            "MARFAN  SYNDROME!",
            "marfan syndrome",
            0.9677,
        ),  # punctuation became a space, and spaces inside count
        ("syndrome, Marfan", "Marfan syndrome", 0.95),  # word order costs 5 %
        ("It may well be Marfan syndrome.", "Marfan syndrome", 0.9),  # contained: 0.9
        ("Marfan syndrome", "It may well be Marfan syndrome.", 0.9),  # either way round
        ("Marfan syndrome" + " or something else" * 10, "Marfan syndrome", 0.6),  # over 8 times as long
        ("marfan syndrom", "Marfan syndrome", 0.9655),
        ("qqqq", "xxxx", 0.0),
        ("", "Marfan syndrome", 0.0),
    ],
)
def test_similar_texts_score_high(output: str, reference: str, score: float) -> None:
    assert similarity()(output, {"name": reference}).score == pytest.approx(score, abs=1e-4)


def test_why_says_what_was_compared() -> None:
    why = similarity()("marfan syndrom", {"name": "Marfan syndrome"}).why
    assert why == "fuzzy_match of 'marfan syndrom' with 'Marfan syndrome' is 0.9655"


@settings(deadline=None)  # the first look-up imports a library
@given(st.text(max_size=40), st.text(max_size=40))
def test_the_score_is_rapidfuzz_wratio_and_symmetric(output: str, reference: str) -> None:
    assume(utils.default_process(output) and utils.default_process(reference))
    score = similarity()(output, {"name": reference}).score
    assert score is not None
    assert 0 <= score <= 1
    assert score == fuzz.WRatio(output, reference, processor=utils.default_process) / 100
    assert score == pytest.approx(similarity()(reference, {"name": output}).score)


@settings(deadline=None)  # the first look-up imports a library
@given(st.text(max_size=40))
def test_a_text_scores_one_against_itself_unless_nothing_is_left_to_compare(text: str) -> None:
    expected = 1.0 if utils.default_process(text) else None
    assert similarity()(text, {"name": text}).score == expected


def test_the_pass_threshold_is_kept_and_does_not_change_the_score() -> None:
    grader = similarity(pass_threshold=0.99)
    assert grader("marfan", {"name": "marfam"}).score == similarity()("marfan", {"name": "marfam"}).score
    assert grader.to_wire()["pass_threshold"] == 0.99


@pytest.mark.parametrize("output", ["x " * 500_000, "\ud800 Marfan", "[" * 10_000, "[NaN]", "\x00", "מרפן"])
def test_hostile_outputs_are_decided_and_their_reason_stays_short(output: str) -> None:
    grade = similarity()(output, {"name": "Marfan syndrome"})
    assert grade.score is not None
    assert math.isfinite(grade.score)
    assert len(json.dumps(grade.to_wire())) < 1000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluation_metric": "fuzzy"}, "evaluation_metric: no such metric; did you mean 'fuzzy_match'? known: bleu"),
        ({"evaluation_metric": "rouge_6"}, "no such metric; did you mean 'rouge_"),
        ({"evaluation_metric": ["bleu"]}, "no such metric"),
        ({"wordnet": True}, "wordnet has no effect with 'fuzzy_match', only with 'meteor'; leave it out"),
        ({"embeddings": {}}, "embeddings has no effect with 'fuzzy_match', only with 'cosine'; leave it out"),
        (
            {"evaluation_metric": "cosine", "embeddings": {"local": "x", "model": "y"}},
            "unknown key 'model'",
        ),
        ({"evaluation_metric": "cosine", "embeddings": {"timeout": 0}}, "greater than 0"),
        ({"evaluation_metric": "cosine", "embeddings": {"key": "k"}}, "embeddings: unknown key 'key'"),
        ({"pass_threshold": True}, "pass_threshold"),
        ({"pass_threshold": math.nan}, "pass_threshold"),
    ],
)
def test_a_bad_definition_is_refused_when_the_grader_loads(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^grader 'text_similarity': ") as caught:
        similarity(**options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("metric", "output", "reference", "why"),
    [
        (
            "bleu",
            "the cat sat on the mat",
            "the cat is on the mat",
            "bleu of 'the cat sat on the mat' with 'the cat is on the mat' is 0.3799: "
            "runs of 1 to 4 words found: 5 of 6, 3 of 5, 1 of 4, 0 of 3; factor for brevity 1",
        ),
        ("bleu", "x", "y", "bleu of 'x' with 'y' is 0.0000: no word in common"),
        ("gleu", "a b", "a b c", "gleu of 'a b' with 'a b c' is 0.5000: 3 of 6 runs of 1 to 4 words in common"),
        (
            "meteor",
            "the cats sat down",
            "the cat sat down",
            "meteor of 'the cats sat down' with 'the cat sat down' is 0.9922: 4 words matched "
            "(stages: exact, stem: 3 + 1) in 1 piece, of 4 in the output and 4 in the reference",
        ),
        ("meteor", "x", "a b c", "meteor of 'x' with 'a b c' is 0.0000: no word matched (stages: exact, stem)"),
        (
            "rouge_2",
            "a b c",
            "a b",
            "rouge_2 of 'a b c' with 'a b' is 0.6667: "
            "1 runs of 2 words in common, of 2 in the output and 1 in the reference",
        ),
        (
            "rouge_l",
            "c a b",
            "a b c",
            "rouge_l of 'c a b' with 'a b c' is 0.6667: "
            "2 words in common in the same order, of 3 in the output and 3 in the reference",
        ),
    ],
)
def test_why_says_what_the_score_was_made_of(metric: str, output: str, reference: str, why: str) -> None:
    assert similarity(evaluation_metric=metric)(output, {"name": reference}).why == why


METRICS = ["fuzzy_match", "bleu", "gleu", "meteor", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"]


@pytest.mark.parametrize("metric", METRICS)
@settings(deadline=None)  # the first look-up imports a library
@given(output=st.text(max_size=60), reference=st.text(max_size=60))
def test_every_score_is_finite_and_lies_between_0_and_1(metric: str, output: str, reference: str) -> None:
    grade = similarity(evaluation_metric=metric)(output, {"name": reference})
    if grade.score is None:
        assert grade.error is not None
        assert grade.error.kind == "invalid_reference"
    else:
        assert grade.error is None
        assert 0 <= grade.score <= 1
    json.dumps(grade.to_wire())


@pytest.mark.parametrize("metric", METRICS)
@settings(deadline=None)  # the first look-up imports a library
@given(text=st.text(max_size=40))
def test_a_row_whose_reference_does_not_score_1_against_itself_is_cautioned_about(metric: str, text: str) -> None:
    grader = similarity(evaluation_metric=metric)
    grade = grader(text, {"name": text})
    cautions = grader.cautions({"name": text})  # type: ignore[attr-defined]
    assert bool(cautions) == (grade.score is None or grade.score < 0.98)
    assert all(caution in grade.why for caution in cautions)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("output", ["", " \n", "\u200b", "\u2062\u2063", "the " * 60])
def test_a_degenerate_output_earns_no_more_than_an_honest_one(metric: str, output: str) -> None:
    grader, item = similarity(evaluation_metric=metric), {"name": "the red cat sat on the old green mat"}
    honest = grader("a red cat sat on the old green mat", item).score
    degenerate = grader(output, item).score
    assert honest is not None
    assert degenerate is not None
    assert degenerate < honest


@pytest.mark.parametrize(
    ("metric", "reference", "caution"),
    [
        ("rouge_3", "two words", "has 2 words, too few for rouge_3: the same text scores 0 against it"),
        ("meteor", "Paris", "has 1 word, too few for meteor: the same text scores 0.5 against it"),
        ("meteor", "hello world", "has 2 words, too few for meteor: the same text scores 0.9375 against it"),
        ("rouge_l", "東京", "has no word for rouge_l: no output can score against it"),
        ("bleu", "", "has no word for bleu: no output can score against it"),
        ("fuzzy_match", "!?", "has no letter or digit for fuzzy_match: no output can score against it"),
        ("cosine", " ", "the reference is blank: it has no embedding"),
    ],
)
def test_a_constant_reference_too_short_for_its_metric_warns_when_the_grader_loads(
    metric: str, reference: str, caution: str
) -> None:
    with pytest.warns(UserWarning, match=r"^grader 'text_similarity': the reference") as caught:
        similarity(reference=reference, evaluation_metric=metric)
    assert caution in str(caught[0].message)
    assert caution in similarity(evaluation_metric=metric).cautions({"name": reference})[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("metric", "reference"),
    [("rouge_l", "東京"), ("rouge_1", " "), ("bleu", ""), ("meteor", "\n"), ("gleu", " "), ("fuzzy_match", "!?")],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_a_reference_in_which_the_metric_sees_nothing_is_undecided(metric: str, reference: str, swapped: bool) -> None:
    options = {"input": "{{item.name}}", "reference": "{{sample.output_text}}"} if swapped else {}
    for output in ("two words", reference):
        grade = similarity(evaluation_metric=metric, **options)(output, {"name": reference})
        assert grade.score is None
        assert grade.error is not None
        assert (grade.error.kind, grade.error.fault) == ("invalid_reference", "grader")


def test_a_caution_is_about_the_text_that_the_model_did_not_write() -> None:
    options = {"input": "{{item.name}}", "reference": "{{sample.output_text}}", "evaluation_metric": "rouge_2"}
    assert len(similarity(**options).cautions({"name": "Marfan"})) == 1  # type: ignore[attr-defined]
    assert similarity(**options).cautions({"name": "Marfan syndrome"}) == []  # type: ignore[attr-defined]
    assert similarity(**options).cautions({}) == []  # type: ignore[attr-defined]  # a broken row; grading says so
    both = similarity(input="{{sample.output_text}}", reference="{{sample.output_text}}")
    assert both.cautions({}) == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("metric", METRICS)
def test_an_output_too_long_to_compare_is_the_candidates_fault(metric: str) -> None:
    item = {"name": "the cat sat on the mat"}
    for options in ({}, {"input": "{{item.name}}", "reference": "{{sample.output_text}}"}):
        grade = similarity(evaluation_metric=metric, **options)("the cat " * 125_000, item)
        assert (grade.score, grade.error and grade.error.kind, grade.error and grade.error.fault) == (
            0.0,
            "timeout",
            "candidate",
        )
        assert grade.why == "the output has 1,000,000 characters, at most 250,000 can be compared"


def test_a_reference_too_long_to_compare_is_the_rows_fault_whatever_the_output() -> None:
    for output in ("", "cat", "cat " * 300_000):
        grade = similarity(evaluation_metric="rouge_l")(output, {"name": "cat " * 20_000})
        assert (grade.score, grade.error and grade.error.kind) == (None, "invalid_reference")


def test_the_product_of_two_lengths_is_limited_for_fuzzy_match() -> None:
    grade = similarity()("cat " * 60_000, {"name": "mat " * 12_000})
    assert grade.why == "the output has 240,000 characters, at most 62,500 can be compared"
    assert grade.score == 0


def test_long_texts_are_compared_without_their_parts_and_never_score_more_for_it() -> None:
    rng = random.Random(0)
    gold = " ".join("".join(rng.choices("abcdefgh", k=6)) for _ in range(400))
    for output in (gold + " " + "zz " * 4_000, "".join(rng.choices("stuvwxyz ", k=9_000))):
        grade = similarity()(output, {"name": gold})
        exact = fuzz.WRatio(output, gold, processor=utils.default_process) / 100
        assert "parts were not compared with the whole" in grade.why
        assert grade.score is not None
        assert exact - 0.05 < grade.score <= exact


def test_openais_definition_comes_back_as_it_was_and_our_options_are_refused_by_name() -> None:
    for metric in (*METRICS, "cosine"):
        grader = similarity(evaluation_metric=metric, name="near", pass_threshold=0.5)
        assert grader.to_openai() == {
            "type": "text_similarity",
            "name": "near",
            "input": "{{sample.output_text}}",
            "reference": "{{item.name}}",
            "evaluation_metric": metric,
            "pass_threshold": 0.5,
        }
    with pytest.raises(ValueError, match="'wordnet' is Assay's own"):
        similarity(evaluation_metric="meteor", wordnet=True).to_openai()
    with pytest.raises(ValueError, match="'embeddings' is Assay's own"):
        similarity(evaluation_metric="cosine", embeddings={"local": "minilm"}).to_openai()


def test_a_grader_survives_pickling_after_it_graded() -> None:
    grader = similarity(evaluation_metric="meteor")
    grade = grader("a b c", {"name": "a b c"})
    assert pickle.loads(pickle.dumps(grader))("a b c", {"name": "a b c"}).score == grade.score


def test_wordnet_is_used_only_where_asked_for_and_named_when_it_is_missing() -> None:
    grade = similarity(evaluation_metric="meteor", wordnet=True)("a large cat here", {"name": "a big cat here"})
    if grade.error is None:
        assert "stages: exact, stem, synonym" in grade.why
    else:
        assert (grade.score, grade.error.kind, grade.error.fault) == (None, "not_installed", "infra")
        assert "python -m nltk.downloader wordnet" in grade.error.detail


def test_no_metric_imports_nltk() -> None:
    script = (
        "import sys; from graders import load\n"
        "for metric in ('meteor', 'bleu', 'gleu', 'rouge_l'):\n"
        "    wire = {'type': 'text_similarity', 'input': '{{sample.output_text}}', 'reference': 'a running cat sat'}\n"
        "    assert load(wire | {'evaluation_metric': metric})('a run cat').score > 0\n"
        "print(sorted({'nltk', 'sacrebleu', 'rouge_score', 'openai'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "[]\n"
