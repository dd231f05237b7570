"""text_similarity beside the public implementations it follows, on random text: the same to 1e-9."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nltk.stem.porter import PorterStemmer
from nltk.translate.gleu_score import sentence_gleu
from nltk.translate.meteor_score import single_meteor_score
from rapidfuzz import fuzz, utils
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU
from sklearn.metrics.pairwise import cosine_similarity

from graders import Grader, load
from graders.text.similarity import meteor
from graders.text.similarity.cosine import cosine
from graders.text.similarity.ngrams import matches_of_long, matches_of_short
from graders.text.similarity.stemmer import LAST_SUFFIXES, LONG_SUFFIXES, SHORTER_SUFFIXES, stem


class WordNet:
    """In the shape that nltk's METEOR reads: the synonyms given, and none of any other word."""

    def __init__(self, synonyms: dict[str, list[str]]) -> None:
        self.synonyms = synonyms

    def synsets(self, word: str) -> list[Synset]:
        return [Synset(self.synonyms[word])] if word in self.synonyms else []


class Synset:
    def __init__(self, names: list[str]) -> None:
        self.names = names

    def lemmas(self) -> list[Lemma]:
        return [Lemma(name) for name in self.names]


class Lemma:
    def __init__(self, text: str) -> None:
        self.text = text

    def name(self) -> str:
        return self.text


NO_SYNONYMS = WordNet({})
BLEU_SCORER = BLEU(effective_order=True)
ROUGE_TYPES = {f"rouge_{n}": f"rouge{n}" for n in range(1, 6)} | {"rouge_l": "rougeL"}
ROUGE_SCORER = RougeScorer(list(ROUGE_TYPES.values()))

PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
WORDS = "the cat cats sat sitting on a mat national nation happily happy dying die The CAT 3.5 1,000 e.g. well-known"
ALPHABETS = [
    "ab ",
    "ab c,.-0 1\n",
    "abcdefghijklmnopqrstuvwxyz ",
    PUNCTUATION + " a1\n",
    "éÉßİΣσςﬁ漢字 a\u3000\x1c\x85\u200b",
    "\ud800a \udfff",
]
texts = st.one_of(
    *(st.text(alphabet, max_size=40) for alphabet in ALPHABETS),
    st.text(max_size=40),
    st.lists(st.sampled_from([*WORDS.split(), "<skipped>", "&quot;", "&amp;lt;", "-\n", ",", "."]), max_size=25).map(
        " ".join
    ),
)
similar = texts.flatmap(
    lambda text: st.tuples(st.just(text), st.one_of(texts, st.permutations(text.split()).map(" ".join)))
)


@pytest.fixture(autouse=True, scope="module")
def _quiet_sacrebleu() -> Iterator[None]:
    """It remarks on texts that end in a stop."""
    logging.getLogger("sacrebleu").setLevel(logging.ERROR)
    yield
    logging.getLogger("sacrebleu").setLevel(logging.NOTSET)


def graders() -> dict[str, Grader]:
    wire = {"type": "text_similarity", "input": "{{sample.output_text}}", "reference": "{{item.gold}}"}
    metrics = ["fuzzy_match", "bleu", "gleu", "meteor", *ROUGE_TYPES]
    return {metric: load({**wire, "evaluation_metric": metric}) for metric in metrics}


GRADERS = graders()


def score(metric: str, output: str, gold: str) -> float:
    grade = GRADERS[metric](output, {"gold": gold})
    if grade.error is not None and grade.error.kind == "invalid_reference":
        return 0.0  # the metric sees nothing in the reference: 0 for every output there, undecided here
    assert grade.score is not None
    return grade.score


@settings(max_examples=400, deadline=None)
@given(similar)
def test_bleu_is_sacrebleus_sentence_bleu(pair: tuple[str, str]) -> None:
    output, gold = pair
    theirs = BLEU_SCORER.sentence_score(output, [gold]).score / 100
    assert score("bleu", output, gold) == pytest.approx(theirs, abs=1e-9)


@settings(max_examples=300, deadline=None)
@given(similar)
def test_gleu_is_nltks_over_words_split_at_white_space(pair: tuple[str, str]) -> None:
    output, gold = pair
    assert score("gleu", output, gold) == pytest.approx(sentence_gleu([gold.split()], output.split()), abs=1e-9)


@settings(max_examples=300, deadline=None)
@given(similar)
def test_meteor_is_nltks_without_wordnet(pair: tuple[str, str]) -> None:
    output, gold = pair
    theirs = single_meteor_score(gold.split(), output.split(), wordnet=NO_SYNONYMS)
    assert score("meteor", output, gold) == pytest.approx(theirs, abs=1e-9)


SYNONYMS = {"cat": ["feline", "mat", "house_cat"], "feline": ["cat"], "on": ["upon", "a"], "happi": ["glad", "nation"]}
some_words = st.lists(st.sampled_from([*WORDS.split(), "feline", "glad", "upon"]), max_size=12)


@settings(max_examples=300, deadline=None)
@given(some_words, some_words)
def test_meteor_with_synonyms_is_nltks(output: list[str], gold: list[str]) -> None:
    def synonyms(word: str) -> list[str]:
        return [name for name in SYNONYMS.get(word, []) if "_" not in name]

    theirs = single_meteor_score(gold, output, wordnet=WordNet(SYNONYMS))
    ours = meteor.compare(meteor.tokens(" ".join(output)), meteor.tokens(" ".join(gold)), synonyms)
    assert ours.score == pytest.approx(theirs, abs=1e-9)


@settings(max_examples=300, deadline=None)
@given(similar)
def test_rouge_is_rouge_scores_f_measure(pair: tuple[str, str]) -> None:
    output, gold = pair
    theirs = ROUGE_SCORER.score(gold, output)
    for metric, name in ROUGE_TYPES.items():
        assert score(metric, output, gold) == pytest.approx(theirs[name].fmeasure, abs=1e-9)


@settings(max_examples=300, deadline=None)
@given(similar)
def test_fuzzy_match_is_rapidfuzz_wratio(pair: tuple[str, str]) -> None:
    output, gold = pair
    assert score("fuzzy_match", output, gold) == fuzz.WRatio(output, gold, processor=utils.default_process) / 100


@settings(deadline=None)
@given(
    st.integers(1, 8).flatmap(
        lambda size: st.tuples(*(st.lists(st.floats(-1e6, 1e6), min_size=size, max_size=size),) * 2)
    )
)
def test_the_cosine_of_vectors_is_scikit_learns(pair: tuple[list[float], list[float]]) -> None:
    one, other = ([round(number, 3) for number in vector] for vector in pair)
    if not any(one) or not any(other):
        with pytest.raises(ValueError, match="has no direction"):
            cosine(one, other)
    else:
        assert cosine(one, other) == pytest.approx(float(cosine_similarity([one], [other])[0][0]), abs=1e-9)


@pytest.mark.parametrize("length", [60, 400, 3000])
def test_long_texts_score_as_the_references_have_them(length: int) -> None:
    rng = random.Random(length)
    gold = " ".join(rng.choices(WORDS.split(), k=length))
    output = " ".join(word for word in gold.split() if rng.random() < 0.8)
    assert score("bleu", output, gold) == pytest.approx(BLEU_SCORER.sentence_score(output, [gold]).score / 100)
    assert score("gleu", output, gold) == pytest.approx(sentence_gleu([gold.split()], output.split()))
    theirs = single_meteor_score(gold.split(), output.split(), wordnet=NO_SYNONYMS)
    assert score("meteor", output, gold) == pytest.approx(theirs)
    if length < 1000:  # rouge-score fills a table of all pairs of words
        assert score("rouge_l", output, gold) == pytest.approx(ROUGE_SCORER.score(gold, output)["rougeL"].fmeasure)


NLTK_STEMMER = PorterStemmer()
SUFFIXES = [*LONG_SUFFIXES, *SHORTER_SUFFIXES, *LAST_SUFFIXES, "s", "ies", "sses", "ed", "ing", "ied", "eed", "y", "ll"]
stems = st.text("aeioubcdlstwxyz*", max_size=6)
suffixes = st.lists(st.sampled_from(SUFFIXES), max_size=2).map("".join)
LETTERS = "tqwxzsldry"
IRREGULAR = "sky skies dying lying tying news innings outing cannings howe proceed exceed succeed Dying SKIES"


@settings(max_examples=1000, deadline=None)
@given(st.one_of(st.tuples(stems, suffixes).map("".join), st.text(max_size=8)))
def test_the_stemmer_is_nltks(word: str) -> None:
    assert stem(word) == NLTK_STEMMER.stem(word)


def test_the_stemmer_is_nltks_for_every_suffix_after_many_beginnings() -> None:
    starts = ["", "a", "y", "tr", "hop", "hopp", "fall", "fizz", "relat", "oper", "vietnam", "commun", "ge", "at", "bl"]
    starts += [first + second + third for first in LETTERS for second in "aeiy" for third in LETTERS]
    words = [start + suffix for start in starts for suffix in ["", *SUFFIXES]]
    words += IRREGULAR.split()
    assert [word for word in words if stem(word) != NLTK_STEMMER.stem(word)] == []


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_runs_in_common_are_counted_as_often_as_both_have_them(output: list[str], gold: list[str]) -> None:
    def in_common(n: int) -> int:
        ours, theirs = ([tuple(text[i : i + n]) for i in range(len(text) - n + 1)] for text in (output, gold))
        return sum(min(ours.count(run), theirs.count(run)) for run in set(ours))

    expected = [in_common(n) for n in range(1, 6)]
    assert matches_of_short(output, gold, 5) == expected
    assert matches_of_long(output, gold, 5) == expected


@pytest.mark.parametrize(
    ("output", "gold", "scores"),
    [
        ("the cat sat on the mat", "the cat is on the mat", {"bleu": 0.3799, "gleu": 0.5, "rouge_3": 0.25}),
        ("Paris", "Paris, France", {"bleu": 0.1353, "gleu": 0.0, "rouge_1": 0.6667, "rouge_l": 0.6667}),
        ("hello world", "hello world", {"bleu": 1.0, "gleu": 1.0, "meteor": 0.9375, "rouge_2": 1.0, "rouge_3": 0.0}),
        ("f e d c b a", "a b c d e f", {"bleu": 0.127, "gleu": 0.3333, "rouge_1": 1.0, "rouge_l": 0.1667}),
        ("", "abc", {"bleu": 0.0, "gleu": 0.0, "meteor": 0.0, "rouge_l": 0.0, "fuzzy_match": 0.0}),
        ("abc", "", {"bleu": 0.0, "gleu": 0.0, "meteor": 0.0, "rouge_l": 0.0, "fuzzy_match": 0.0}),
        ("paris", "paris", {"meteor": 0.5, "rouge_1": 1.0, "rouge_2": 0.0}),
        ("東京", "東京", {"rouge_1": 0.0, "rouge_l": 0.0, "bleu": 1.0, "fuzzy_match": 1.0}),
    ],
)
def test_known_pairs_score_what_the_public_packages_gave(output: str, gold: str, scores: dict[str, Any]) -> None:
    assert {metric: round(score(metric, output, gold), 4) for metric in scores} == scores
