"""one_of: is the text one of several right answers?"""

from __future__ import annotations

import re
import string
from typing import Literal

from pydantic import Field, field_validator

from graders.grade import Grade
from graders.grader import Grader
from graders.reference import invalid
from graders.sample import Item, Sample
from graders.template import Template, render, short
from graders.text.answers import Answers, read_answers
from graders.text.marks import composed

Ignored = Literal["case", "space", "punctuation", "articles", "unicode"]
ARTICLE = re.compile(r"\b(?:a|an|the)\b", re.IGNORECASE)
NO_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))


class OneOf(Grader):
    """1 if the input equals one of the references, else 0. Nothing is ignored unless `ignore` names it.

    `case`, `space` (around and in runs), ASCII `punctuation`, English `articles`, `unicode` (form NFKC, invisible
    marks dropped). The first four together are the exact match of SQuAD (Rajpurkar et al. 2016).

    >>> grader = OneOf(reference="{{item.names}}", ignore=["case", "space"])
    >>> grader(" paris\\n", {"names": ["Paris", "Lutetia"]}).why
    "' paris\\\\n' equals 'Paris', one of 2 references (ignoring case, space)"
    """

    type: Literal["one_of"] = "one_of"
    input: Template = "{{sample.output_text}}"
    reference: Answers
    ignore: list[Ignored] = Field([])

    @field_validator("ignore")
    @classmethod
    def _once_each(cls, ignore: list[Ignored]) -> list[Ignored]:
        if len(set(ignore)) < len(ignore):
            raise ValueError("something is ignored twice; name each once")
        return ignore

    def grade(self, sample: Sample, item: Item) -> Grade:
        references = read_answers(self.reference, sample, item)
        if not references:
            raise invalid([], "it is empty; give the row its answer, or leave the row out")
        forms = [self._form(reference) for reference in references]
        for reference, form in zip(references, forms, strict=True):
            if not form.strip():
                raise invalid(reference, "nothing is left to compare; give the row its answer, or ignore less")
        text = render(self.input, sample, item)
        form = self._form(text)
        ignoring = f" (ignoring {', '.join(self.ignore)})" if self.ignore else ""
        several = len(references) > 1
        if form in forms:
            found = references[forms.index(form)]
            which = f", one of {len(references)} references" if several else ""
            return Grade(1.0, f"{short(text)} equals {short(found)}{which}{ignoring}")
        if several:
            named = ", ".join(short(reference, 40) for reference in references[:4])
            more = ", ..." if len(references) > 4 else ""
            return Grade(0.0, f"{short(text)} equals none of {len(references)} references{ignoring}: {named}{more}")
        return Grade(0.0, f"{short(text)} differs from {short(references[0])}{ignoring}")

    def _form(self, text: str) -> str:
        """The form in which texts are compared; steps in the order of SQuAD's script."""
        if "unicode" in self.ignore:
            text = composed(text)
        if "case" in self.ignore:
            text = text.casefold()
        if "punctuation" in self.ignore:
            text = text.translate(NO_PUNCTUATION)
        if "articles" in self.ignore:
            text = ARTICLE.sub(" ", text)
        return " ".join(text.split()) if "space" in self.ignore else text
