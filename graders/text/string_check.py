"""string_check: does the text equal or contain the reference?"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator

from graders.grade import Grade
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.template import Template, render_all


def _canonical(operation: Any) -> Any:
    return "ne" if operation == "neq" else operation  # OpenAI's guide says neq, its schema ne


class StringCheck(Grader):
    """1 or 0 by a comparison of strings (OpenAI's `string_check`).

    `eq` equal, `ne` different (also written `neq`), `like` input contains reference, `ilike` the same ignoring
    case. Nothing is trimmed.

    >>> same = StringCheck(input="{{sample.output_text}}", reference="{{item.gene}}", operation="eq")
    >>> same("FBN1", {"gene": "FBN1"}).why
    "'FBN1' equals 'FBN1'"
    """

    in_openai: ClassVar[bool] = True

    type: Literal["string_check"] = "string_check"
    input: Template
    reference: Template
    operation: Annotated[Literal["eq", "ne", "like", "ilike"], BeforeValidator(_canonical)]

    def grade(self, sample: Sample, item: Item) -> Grade:
        text, reference = render_all([self.input, self.reference], sample, item)
        match self.operation:
            case "eq":
                holds, words = text == reference, ("equals", "differs from")
            case "ne":
                holds, words = text != reference, ("differs from", "equals")
            case "like":
                holds, words = reference in text, ("contains", "does not contain")
            case "ilike":
                holds, words = (
                    reference.casefold() in text.casefold(),
                    ("contains (ignoring case)", "does not contain"),
                )
        return Grade(float(holds), f"{_shown(text)} {words[not holds]} {_shown(reference)}")


def _shown(text: str, limit: int = 120) -> str:
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")
