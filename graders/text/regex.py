"""regex: does the text match a pattern? In time linear in the text."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from pydantic import model_validator

from graders.grade import Grade
from graders.grader import Grader
from graders.pattern import Pattern, compiled
from graders.sample import Item, Sample
from graders.template import Template, render, short


class Regex(Grader):
    """1 if `pattern` matches the input, else 0. RE2's syntax: no pattern can blow up.

    `match`: `search` finds it anywhere, `full` asks for the whole text. `flags`: letters of `i` (case), `m` (`^` and
    `$` at each line), `s` (dot matches newlines). The pattern is a constant: it holds no template.

    >>> Regex(pattern="[A-Z]{2,}[0-9]+", match="full")("FBN1").why
    "'FBN1' matches '[A-Z]{2,}[0-9]+'"
    """

    type: Literal["regex"] = "regex"
    input: Template = "{{sample.output_text}}"
    pattern: str
    match: Literal["search", "full"] = "search"
    flags: str = ""

    @model_validator(mode="after")
    def _compiles(self) -> Regex:
        if "{{" in self.pattern:
            raise ValueError(f"pattern {short(self.pattern)} holds '{{{{': a pattern is no template; write \\{{\\{{")
        empty, odd = self._compiled.search(""), self._compiled.search("\0")
        if self.match == "search" and empty and odd and odd.group() == "":
            raise ValueError(
                f"pattern {short(self.pattern)} matches every text, as it finds an empty match in it; "
                "ask for at least one character, or set match to 'full'"
            )
        return self

    @cached_property
    def _compiled(self) -> Pattern:
        return compiled(self.pattern, self.flags)

    def grade(self, sample: Sample, item: Item) -> Grade:
        text = render(self.input, sample, item)
        if self.match == "full":
            holds = self._compiled.fullmatch(text) is not None
            return Grade(float(holds), f"{short(text)} {'matches' if holds else 'does not match'} {self._shown}")
        found = self._compiled.search(text)
        if found is None:
            return Grade(0.0, f"nothing in {short(text)} matches {self._shown}")
        return Grade(1.0, f"{short(found.group())} matches {self._shown}")

    @cached_property
    def _shown(self) -> str:
        return short(self.pattern)
