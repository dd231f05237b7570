"""word_limit: is the output short enough?"""

from typing import Literal

from pydantic import Field

from graders import Grade, Grader, GradingError, Item, Sample
from graders.template import Template, render


class WordLimit(Grader):
    """1 for at most `limit` words, less for more. An empty output is at fault and scores 0.

    >>> WordLimit(limit=3)("one two three four").why
    '4 words are more than 3'
    """

    type: Literal["word_limit"] = "word_limit"
    input: Template = "{{sample.output_text}}"
    limit: int = Field(ge=1, description="the most words that score 1")

    def grade(self, sample: Sample, item: Item) -> Grade:
        words = len(render(self.input, sample, item).split())
        if words == 0:
            raise GradingError("sample_parse_error", "no words", fault="candidate")
        if words <= self.limit:
            return Grade(1.0, f"{words} words, at most {self.limit}")
        return Grade(self.limit / words, f"{words} words are more than {self.limit}")
