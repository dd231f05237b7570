"""length: does the text have the right number of words, characters or lines?"""

from __future__ import annotations

import unicodedata
from typing import Literal

from pydantic import Field, model_validator

from graders.grade import Grade
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.template import Template, render
from graders.text.marks import composed


class Length(Grader):
    """1 if the text has from `min` to `max` units, both included, else 0, or less than 1 within `slack` of them.

    `words`: runs between spaces that hold a letter or a digit. `characters`: code points in form NFC, each run of
    spaces as one, none around the text, invisible and combining marks not counted. `lines`: lines with something
    visible. With `slack`, credit falls linearly from 1 at the bound to 0 at `slack` units beyond it. A text of no units
    scores 0 unless `min` is 0.

    >>> Length(unit="words", max=3, slack=4)("one two three four", {}).why
    '4 words, 1 more than 3: credit 0.75'
    """

    type: Literal["length"] = "length"
    input: Template = "{{sample.output_text}}"
    unit: Literal["words", "characters", "lines"]
    min: int = Field(1, ge=0)
    max: int | None = Field(None, ge=0)
    slack: float = Field(0.0, ge=0, allow_inf_nan=False)

    @model_validator(mode="after")
    def _options_fit(self) -> Length:
        if self.max is not None and self.max < self.min:
            hint = "; set min to 0 to ask for no text" if self.max == 0 else "; raise max or lower min"
            raise ValueError(f"max {self.max} is below min {self.min}, so no text has the right length{hint}")
        if self.max is None and self.min == 0:
            raise ValueError("every text has at least 0 units; set min or max")
        if self.slack and self.max is None and self.min == 1:
            raise ValueError(
                f"slack {self.slack:g} has no effect below a min of 1, as an empty text scores 0; set max, or raise min"
            )
        return self

    def grade(self, sample: Sample, item: Item) -> Grade:
        count = _count(render(self.input, sample, item), self.unit)
        units = f"{count:,} {self.unit if count != 1 else self.unit[:-1]}"
        if count < self.min:
            beyond, which = self.min - count, f"{self.min - count:,} fewer than {self.min:,}"
        elif self.max is not None and count > self.max:
            beyond, which = count - self.max, f"{count - self.max:,} more than {self.max:,}"
        else:
            bounds = f"at least {self.min:,}" if self.max is None else f"within {self.min:,} to {self.max:,}"
            return Grade(1.0, f"{units}, {bounds}")
        score = max(0.0, 1 - beyond / self.slack) if self.slack and (count or not self.min) else 0.0
        return Grade(score, f"{units}, {which}" + (f": credit {score:.4g}" if self.slack else ""))


def _count(text: str, unit: str) -> int:
    if not text.isascii():
        text = composed(text, "NFC")
        marks = [ord(sign) for sign in set(text) if unicodedata.category(sign) in ("Mn", "Me")]
        text = text.translate(dict.fromkeys(marks))
    if unit == "lines":
        return sum(not line.isspace() for line in text.splitlines() if line)
    pieces = text.split()
    if unit == "words":
        return sum(piece.isalnum() or any(map(str.isalnum, piece)) for piece in pieces)
    return sum(map(len, pieces)) + max(0, len(pieces) - 1)
