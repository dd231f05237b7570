"""json_schema: is the output JSON of the form a schema describes?"""

from __future__ import annotations

import warnings
from functools import cached_property
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.reference import resolved
from graders.sample import Item, Sample
from graders.structured.budget import budgeted
from graders.structured.partial import Credit
from graders.structured.schema import Schema, compile_schema, compile_value, described, unwrapped
from graders.structured.values import read_output
from graders.template import Template, Variable, parse, short

MOST_REASONS = 5


def _fit(given: Any) -> Any:
    """A schema, out of its response_format where it comes in one, or a template that leads to the item's own."""
    if isinstance(given, str):
        if not any(isinstance(piece, Variable) for piece in parse(given)):
            raise ValueError(f"{short(given)} is no schema; give it as an object, or as a template of the item's own")
        return given
    schema = unwrapped(given)
    compile_schema(schema)
    return schema


with warnings.catch_warnings():
    # pydantic warns that its deprecated BaseModel.schema() is hidden; `schema` is what this field is.
    warnings.filterwarnings("ignore", message='Field name "schema"')

    class JsonSchema(Grader):
        """1 where the output is JSON and valid against `schema`, else 0; with `partial`, the share that is right.

        The schema is of Draft 2020-12 unless its `$schema` says 2019-09, 7, 6 or 4; it may come in OpenAI's
        `response_format`, and may be a template that leads to the item's own. It is checked when the grader loads:
        one that is invalid, refers to itself without end, leads to another document, or holds a pattern that is not
        RE2's is refused. What `partial` counts is said at `graders.structured.partial.Credit`. An output that is no
        JSON is the candidate's fault and scores 0.

        >>> person = JsonSchema(
        ...     schema={"required": ["name", "age"], "properties": {"age": {"type": "integer"}}}, partial=True
        ... )
        >>> person('{"name": "Ada", "age": "36"}').why
        "0.5 of what the schema asks for: $.age: '36' is not of type 'integer'"
        """

        type: Literal["json_schema"] = "json_schema"
        input: Template = "{{sample.output_text}}"
        schema: Annotated[dict[str, Any] | str, BeforeValidator(_fit)]  # type: ignore[assignment]
        partial: bool = False

        def grade(self, sample: Sample, item: Item) -> Grade:
            schema = self._own or compile_value(resolved(str(self.schema), sample, item))
            value = read_output(self.input, sample, item)
            try:
                with budgeted():
                    reasons = list(islice(schema.errors(value), MOST_REASONS + 1))
                    if not reasons:
                        return Grade(1.0, "valid against the schema", extracted=value)
                    score = Credit(schema).of(value, schema.root) if self.partial else 0.0
                told = [described(error) for error in reasons[:MOST_REASONS]]
                why = "; ".join([*told, "and more"] if len(reasons) > MOST_REASONS else told)
            except RecursionError:
                detail = "the output is nested too deeply to be checked against this schema"
                raise GradingError("sample_parse_error", detail, "candidate") from None
            head = f"{score:.4g} of what the schema asks for" if self.partial else "not valid"
            return Grade(score, f"{head}: {why}", extracted=value)

        @cached_property
        def _own(self) -> Schema | None:
            return None if isinstance(self.schema, str) else compile_schema(self.schema)
