"""text_similarity: how alike are two texts, by one of OpenAI's eleven metrics?"""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args

from pydantic import BeforeValidator, Field, model_validator

from graders.grade import Grade, GradingError, Usage
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.template import Template, Variable, nearest, parse, render, render_all, short
from graders.text.similarity import bleu, fuzzy, gleu, meteor, rouge
from graders.text.similarity.cosine import (
    Embeddings,
    Endpoint,
    Local,
    cosine,
    embedded_by_server,
    embedded_locally,
    threads,
)
from graders.text.similarity.ngrams import Likeness

LONGEST_OUTPUT, LONGEST_REFERENCE = 250_000, 50_000  # characters
MOST_PAIRS = 3 * 10**9  # of letters, for fuzzy_match: well under a second

Metric = Literal[
    "fuzzy_match",
    "cosine",
    "bleu",
    "gleu",
    "meteor",
    "rouge_1",
    "rouge_2",
    "rouge_3",
    "rouge_4",
    "rouge_5",
    "rouge_l",
]


class TokenMetric(NamedTuple):
    """A metric over tokens, and with how few of them in the reference an output like it no longer scores 1."""

    tokens: Callable[[str], list[str]]
    compare: Callable[[Sequence[str], Sequence[str]], Likeness]
    fewest: int


TOKEN_METRICS: Mapping[str, TokenMetric] = {
    "bleu": TokenMetric(bleu.tokens, bleu.compare, 1),
    "gleu": TokenMetric(gleu.tokens, gleu.compare, 1),
    "meteor": TokenMetric(meteor.tokens, meteor.compare, 3),
    "rouge_l": TokenMetric(rouge.tokens, rouge.compare_longest, 1),
    **{f"rouge_{n}": TokenMetric(rouge.tokens, partial(rouge.compare_runs, n=n), n) for n in range(1, 6)},
}


def _known_metric(metric: Any) -> Any:
    if metric not in get_args(Metric):
        raise ValueError(f"no such metric; {nearest(str(metric), get_args(Metric))}")
    return metric


class TextSimilarity(Grader):
    """Similarity of two texts, from 0 (nothing in common) to 1 (OpenAI's `text_similarity`).

    Each metric follows a public implementation, on the whole texts: `fuzzy_match` rapidfuzz's `WRatio` after
    `default_process`; `bleu` sacrebleu's sentence BLEU (13a, `exp`, effective order); `gleu` nltk's
    `sentence_gleu` and `meteor` nltk's `meteor_score` (exact and Porter stems; with `wordnet` its synonyms too),
    over words split at white space; `rouge_1` to `rouge_5` and `rouge_l` rouge-score's F-measure, without
    stemming; `cosine` that of two embeddings, 0 where it is negative. OpenAI publishes neither its scorers nor
    their settings.

    A text does not score 1 against itself in every metric when it is short: `cautions` says so, a constant
    reference warns when the grader loads, and `why` carries the note. Outputs over 250,000 characters score 0;
    references over 50,000, and those in which the metric sees no word, are refused (`invalid_reference`).
    `pass_threshold` is OpenAI's field for evals: it is stored and does not change the score.

    >>> grader = TextSimilarity(
    ...     input="{{sample.output_text}}", reference="{{item.name}}", evaluation_metric="fuzzy_match"
    ... )
    >>> grader("marfan syndrom", {"name": "Marfan syndrome"}).why
    "fuzzy_match of 'marfan syndrom' with 'Marfan syndrome' is 0.9655"
    """

    in_openai: ClassVar[bool] = True

    type: Literal["text_similarity"] = "text_similarity"
    input: Template
    reference: Template
    evaluation_metric: Annotated[Metric, BeforeValidator(_known_metric)]
    pass_threshold: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = None
    embeddings: Embeddings | None = None  # None with cosine: OpenAI's endpoint
    wordnet: bool = Field(False, strict=True)

    @model_validator(mode="after")
    def _options_fit(self) -> TextSimilarity:
        for option, metric in ("embeddings", "cosine"), ("wordnet", "meteor"):
            if getattr(self, option) and self.evaluation_metric != metric:
                raise ValueError(
                    f"{option} has no effect with {self.evaluation_metric!r}, only with {metric!r}; leave it out"
                )
        if self._gold is not None and not any(isinstance(piece, Variable) for piece in parse(self._gold)):
            for caution in self.cautions({}):
                warnings.warn(f"grader {self.label!r}: {caution}", UserWarning, stacklevel=2)
        return self

    @property
    def waits(self) -> bool:
        return self.evaluation_metric == "cosine" and not isinstance(self.embeddings, Local)

    def grade(self, sample: Sample, item: Item) -> Grade:
        text, reference = self._texts(sample, item)
        metric = self.evaluation_metric
        if metric == "cosine":
            return self._local_cosine(text, reference)
        if self._gold is not None and not self._has_words(gold := text if self._swapped else reference):
            raise GradingError("invalid_reference", self._too_short(gold, 0, 0.0))
        if metric == "fuzzy_match":
            score, note = fuzzy.compare(text, reference)
        else:
            tokens, compare, fewest = self._scorer
            known = tokens(reference)
            score, note = compare(tokens(text), known)
            if len(known) < fewest:
                note = f"{note}; {self._too_short(reference, len(known), compare(known, known).score)}"
        why = f"{metric} of {short(text)} with {short(reference)} is {score:.4f}"
        return Grade(score, f"{why}: {note}" if note else why)

    async def grade_async(self, sample: Sample, item: Item) -> Grade:
        if not self.waits:
            return self.grade(sample, item)
        text, reference = self._texts(sample, item)
        if blank := self._blank(text, reference):
            return blank
        endpoint = self.embeddings if isinstance(self.embeddings, Endpoint) else Endpoint()
        loop = asyncio.get_running_loop()
        pair = (reference, text) if self._swapped else (text, reference)
        (one, other), usage = await loop.run_in_executor(threads(), embedded_by_server, endpoint, *pair)
        counts = {endpoint.model: usage} if usage else None
        return self._cosine_grade(text, reference, (one, other), counts)

    def cautions(self, item: Item) -> list[str]:
        """What keeps an output that repeats this row's reference from full marks; empty when nothing does."""
        if self._gold is None:
            return []
        try:
            reference = render(self._gold, Sample(), item)
        except GradingError:
            return []  # the row is broken, which grading reports
        if len(reference) > LONGEST_REFERENCE:
            return [_too_long(reference, "reference", LONGEST_REFERENCE)]
        if self.evaluation_metric == "cosine":
            return ["the reference is blank: it has no embedding"] if not reference.strip() else []
        if self.evaluation_metric == "fuzzy_match":
            return [self._too_short(reference, 0, 0.0)] if fuzzy.blank(reference) else []
        tokens, compare, fewest = self._scorer
        known = tokens(reference)
        return [self._too_short(reference, len(known), compare(known, known).score)] if len(known) < fewest else []

    def to_openai(self) -> dict[str, Any]:
        for option in ("embeddings", "wordnet"):
            if getattr(self, option):
                raise ValueError(f"{self.label!r}: {option!r} is Assay's own; OpenAI's text_similarity has no such key")
        return super().to_openai()

    # Texts, and whose they are.

    def _texts(self, sample: Sample, item: Item) -> list[str]:
        """Both texts, neither too long to be compared."""
        texts = render_all([self.input, self.reference], sample, item)
        if len(texts[0]) + len(texts[1]) <= LONGEST_REFERENCE:
            return texts
        for text, from_sample in zip(texts, self._from_sample, strict=True):
            if not from_sample and len(text) > LONGEST_REFERENCE:
                raise GradingError("invalid_reference", _too_long(text, "reference", LONGEST_REFERENCE))
        longest = max(texts, key=len)
        if len(longest) > LONGEST_OUTPUT:
            raise GradingError("timeout", _too_long(longest, "output", LONGEST_OUTPUT), "candidate")
        if self.evaluation_metric == "fuzzy_match" and len(texts[0]) * len(texts[1]) > MOST_PAIRS:
            most = MOST_PAIRS // min(map(len, texts))
            raise GradingError("timeout", _too_long(longest, "output", most), "candidate")
        return texts

    @cached_property
    def _from_sample(self) -> tuple[bool, bool]:
        """Whether the input, and the reference, hold anything that the model wrote."""
        first, second = (
            any(isinstance(piece, Variable) and piece.namespace == "sample" for piece in parse(template))
            for template in (self.input, self.reference)
        )
        return first, second

    @property
    def _swapped(self) -> bool:
        """Whether the output stands in `reference` and the right answer in `input`, as in some of OpenAI's examples."""
        return self._from_sample == (False, True)

    @property
    def _gold(self) -> str | None:
        """The template of the text that the model did not write."""
        return self.input if self._swapped else None if self._from_sample[1] else self.reference

    # Metrics.

    @cached_property
    def _scorer(self) -> TokenMetric:
        metric = TOKEN_METRICS[self.evaluation_metric]
        return metric._replace(compare=meteor.compare_with_synonyms) if self.wordnet else metric

    def _has_words(self, text: str) -> bool:
        """Whether the metric sees anything in the text."""
        return not fuzzy.blank(text) if self.evaluation_metric == "fuzzy_match" else bool(self._scorer.tokens(text))

    def _too_short(self, reference: str, count: int, score: float) -> str:
        """Why an output that is the reference itself does not score 1."""
        units = "letter or digit" if self.evaluation_metric == "fuzzy_match" else "word"
        has = f"has {count} {units}{'s' * (count > 1)}, too few" if count else f"has no {units}"
        result = f"the same text scores {score:.4g} against it" if count else "no output can score against it"
        return f"the reference {short(reference)} {has} for {self.evaluation_metric}: {result}"

    def _blank(self, text: str, reference: str) -> Grade | None:
        """Blank texts have no embedding: the output's fault is its own, the reference's is the row's."""
        output, gold = (reference, text) if self._swapped else (text, reference)
        if not gold.strip():
            raise GradingError("invalid_reference", f"the reference {short(gold)} is blank: it has no embedding")
        return None if output.strip() else Grade(0.0, f"cosine is 0: the output {short(output)} is blank")

    def _local_cosine(self, text: str, reference: str) -> Grade:
        if blank := self._blank(text, reference):
            return blank
        assert isinstance(self.embeddings, Local)
        return self._cosine_grade(text, reference, embedded_locally(self.embeddings, text, reference), None)

    def _cosine_grade(
        self, text: str, reference: str, vectors: Sequence[Sequence[float]], usage: Usage | None
    ) -> Grade:
        try:
            angle = cosine(*vectors)
        except (ValueError, TypeError) as problem:
            detail = f"the two embeddings cannot be compared: {problem}"
            raise GradingError("model_grader_parse_error", detail, "infra") from None
        score = max(0.0, angle)
        why = f"cosine of {short(text)} with {short(reference)} is {angle:.4f}"
        return Grade(score, f"{why}: below 0 scores 0" if angle < 0 else why, usage=usage)


def _too_long(text: str, which: str, most: int) -> str:
    return f"the {which} has {len(text):,} characters, at most {most:,} can be compared"
