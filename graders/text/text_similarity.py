"""text_similarity: how alike are two texts, letter by letter?"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from graders.grade import Grade
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.template import Template, nearest, render_all, short

OTHER_METRICS = ("cosine", "bleu", "gleu", "meteor", "rouge_l", *(f"rouge_{n}" for n in range(1, 6)))
"""OpenAI's metrics that are not supported yet."""


def _known_metric(metric: Any) -> Any:
    if metric in OTHER_METRICS:
        raise ValueError("this metric is not supported yet; 'fuzzy_match' is")
    if metric != "fuzzy_match":
        raise ValueError(f"no such metric; {nearest(str(metric), ['fuzzy_match'])}")
    return metric


class TextSimilarity(Grader):
    """Similarity of two texts, from 0 (nothing in common) to 1 (the same) (OpenAI's `text_similarity`).

    `fuzzy_match` is rapidfuzz's `WRatio` divided by 100, after `default_process` (lower case; everything but
    letters and digits becomes a space): the call in OpenAI's own example of a python grader. OpenAI does not
    publish which rapidfuzz scorer its service uses. WRatio is the best of several edit-distance ratios,
    scaled down where word order is ignored or a part is compared: a text that contains the other scores at
    least 0.9 when it is up to 8 times as long, 0.6 beyond. A text without any letter or digit is empty after
    processing and scores 0, even against itself.

    `pass_threshold` is OpenAI's field for evals. It is stored and does not change the score.

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
    evaluation_metric: Annotated[Literal["fuzzy_match"], BeforeValidator(_known_metric)]
    pass_threshold: float | None = None

    def grade(self, sample: Sample, item: Item) -> Grade:
        from rapidfuzz import fuzz, utils

        text, reference = render_all([self.input, self.reference], sample, item)
        score = fuzz.WRatio(text, reference, processor=utils.default_process) / 100
        return Grade(score, f"fuzzy_match of {short(text)} with {short(reference)} is {score:.4f}")
