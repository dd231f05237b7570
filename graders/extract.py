"""Extract: the step that finds the answer in an output before a grader judges it. A part of its own.

Any grader takes it as its field `extract`; what it finds stands in for `sample.output_text` (and, where it is
JSON, `sample.output_json`). An output in which nothing is found is the candidate's fault, of the kind
`extraction_failed`: counted apart from wrong answers. Every rule reads its text once: time is linear in its length.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from graders.grade import GradingError
from graders.options import Options
from graders.pattern import compiled
from graders.sample import Sample, read_json
from graders.template import follow, nearest, short
from graders.text.finders import boxes, fences, parse_path, without_thinking
from graders.text.marks import visible

MAX_MATCHES = 100_000  # of a regex in one output


class _Rule(Options):
    def find(self, text: str) -> str:
        """The answer in `text`; LookupError with the reason where there is none."""
        raise NotImplementedError


class _OneOfSeveral(_Rule):
    """A rule that may find several answers: `which` of them counts, or that all must be the same (`only`)."""

    which: Literal["last", "first", "only"] = "last"

    def choose(self, answers: Iterable[str], what: str) -> str:
        """The answer that counts; LookupError where there is none, it is empty, or they disagree under `only`."""
        chosen: str | None = None
        for answer in answers:
            if self.which == "only" and chosen not in (None, answer):
                raise LookupError(f"disagreeing final answers, {short(chosen)} and {short(answer)}, each in {what}")
            chosen = answer
            if self.which == "first":
                break
        if chosen is None:
            raise LookupError(f"the output has no {what}")
        if not chosen:
            raise LookupError(f"there is nothing in {what}")
        return chosen


class Boxed(_OneOfSeveral):
    """The content of `\\boxed{...}` with balanced braces; a box inside a box is part of the outer one."""

    rule: Literal["boxed"]

    def find(self, text: str) -> str:
        return self.choose(boxes(text).contents, "\\boxed{...}")


class Tag(_OneOfSeveral):
    """What stands between `<answer>` and `</answer>`, or tags of another name; the innermost where they nest."""

    rule: Literal["tag"]
    name: str = "answer"

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        return _tag_name(name)

    def find(self, text: str) -> str:
        opening = f"<{self.name}>"
        answers, start = [], None
        for tag in re.finditer(f"</?{self.name}>", text):
            if tag[0] == opening:
                start = tag.end()
            elif start is not None:
                answers.append(text[start : tag.start()].strip())
                start = None
        if start is not None and not (answers and self.which == "first"):
            raise LookupError(f"{opening} is never closed")
        return self.choose(answers, f"{opening}...</{self.name}>")


def _tag_name(name: str) -> str:
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"{name!r} is no name of a tag; write it without brackets, such as 'answer'")
    return name


class Fence(_OneOfSeveral):
    """The lines of a code fence, of backticks or tildes, of any language or of the one named."""

    rule: Literal["fence"]
    language: str | None = None

    @field_validator("language")
    @classmethod
    def _one_word(cls, language: str | None) -> str | None:
        if language is not None and (len(language.split()) != 1 or "`" in language):
            raise ValueError(f"{language!r} is no language; write the word behind the backticks, such as 'json'")
        return language

    def find(self, text: str) -> str:
        language = self.language or ""
        found = [block for block in fences(text) if block.is_in(language)]
        if found and not found[-1].closed and (self.which != "first" or len(found) == 1):
            raise LookupError(f"a ```{language} fence is never closed")
        answers = [block.content if visible(block.content) else "" for block in found]
        return self.choose(answers, f"```{language} fence")


class Json(_Rule):
    """What stands at `path` in an output that is strict JSON, or in its first ```json fence."""

    rule: Literal["json"]
    path: str | None = None
    fence: bool = False

    @field_validator("path")
    @classmethod
    def _leads_somewhere(cls, path: str | None) -> str | None:
        if path is not None:
            parse_path(path)
        return path

    def find(self, text: str) -> str:
        if self.fence:
            text = Fence(rule="fence", language="json", which="first").find(text)
        try:
            value = read_json(text)
        except ValueError as problem:
            what = "its ```json fence" if self.fence else "the output"
            raise LookupError(f"{what} is not JSON ({problem}): {short(text)}") from None
        for step in self._steps:
            try:
                value = follow(value, step)
            except LookupError:
                raise LookupError(f"nothing at {step!r} of the path {self.path!r} in {short(value)}") from None
        return _as_text(value, self.path)

    @cached_property
    def _steps(self) -> tuple[str | int, ...]:
        return () if self.path is None else parse_path(self.path)


def _as_text(value: Any, path: str | None) -> str:
    if isinstance(value, str):
        if not value.strip():
            raise LookupError(f"there is only {short(value)} at {path or 'the top'} of the JSON")
        return value
    if value is None:
        raise LookupError(f"there is null at {path or 'the top'} of the JSON")
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise LookupError("the JSON is nested too deeply to be written as text") from None


class Regex(_OneOfSeveral):
    """What a group of a linear-time pattern matches: `group`, else the first group, else the whole match."""

    rule: Literal["regex"]
    pattern: str
    flags: str = ""
    group: Annotated[int, Field(strict=True)] | str | None = None

    @model_validator(mode="after")
    def _compiles(self) -> Regex:
        pattern = compiled(self.pattern, self.flags)
        known = [*range(pattern.groups + 1), *pattern.names]
        if self.group is not None and self.group not in known:
            raise ValueError(f"pattern {short(self.pattern)} has no group {self.group!r}; it has {known}")
        return self

    def find(self, text: str) -> str:
        return self.choose(self._answers(text), f"match of {short(self.pattern)}")

    def _answers(self, text: str) -> Iterator[str]:
        pattern = compiled(self.pattern, self.flags)
        group = self.group if self.group is not None else min(1, pattern.groups)
        for number, match in enumerate(pattern.finditer(text)):
            if number == MAX_MATCHES:
                raise LookupError(f"{short(self.pattern)} matches more than {MAX_MATCHES:,} times")
            if (answer := match.group(group)) is not None and (answer := answer.strip()):
                yield answer


class After(_OneOfSeveral):
    """What stands after a marker, to the end of its line or (`text`) to the next marker or the end."""

    rule: Literal["after"]
    marker: str
    until: Literal["line", "text"] = "line"

    @field_validator("marker")
    @classmethod
    def _something(cls, marker: str) -> str:
        if not marker.strip():
            raise ValueError(f"marker {marker!r} is blank and stands everywhere; write the words before the answer")
        return marker

    def find(self, text: str) -> str:
        pieces = self._marker.split(text)[1:]
        if self.until == "line":
            pieces = [piece.partition("\n")[0] for piece in pieces]
        return self.choose([piece.strip() for piece in pieces], f"text after {short(self.marker)}")

    @cached_property
    def _marker(self) -> re.Pattern[str]:
        """The marker; one of a single sign, such as ####, is not found in a longer run of it."""
        marker, sign = re.escape(self.marker), re.escape(self.marker[0])
        return re.compile(f"(?<!{sign}){marker}(?!{sign})" if len(set(self.marker)) == 1 else marker)


class FinalLine(_Rule):
    """The last line that is not blank."""

    rule: Literal["final_line"]

    def find(self, text: str) -> str:
        stripped = text.strip()
        if not stripped:
            raise LookupError("the output is blank")
        return stripped.rpartition("\n")[2].strip()


class AfterThinking(_Rule):
    """What stands after the last `</think>`, up to a `<think>` that stays open; all of it where neither stands."""

    rule: Literal["after_thinking"]
    name: str = "think"

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        return _tag_name(name)

    def find(self, text: str) -> str:
        rest = without_thinking(text, self.name).strip()
        if rest:
            return rest
        if not text.strip():
            raise LookupError("the output is blank")
        if text.rfind(f"<{self.name}") > text.rfind(f"</{self.name}"):
            raise LookupError(f"<{self.name}> is never closed, so nothing was answered")
        raise LookupError(f"nothing stands after </{self.name}>")


class FirstOf(_Rule):
    """What the first of several rules, or lists of rules, finds."""

    rule: Literal["first_of"]
    alternatives: list[Extract] = Field(min_length=2)

    def find(self, text: str) -> str:
        reasons = []
        for rules in self.alternatives:
            try:
                return _followed(rules, text)
            except LookupError as problem:
                reasons.append(problem.args[0])
        raise LookupError("; ".join(reasons))


RULES: dict[str, type[_Rule]] = {
    "after": After,
    "after_thinking": AfterThinking,
    "boxed": Boxed,
    "fence": Fence,
    "final_line": FinalLine,
    "first_of": FirstOf,
    "json": Json,
    "regex": Regex,
    "tag": Tag,
}


def _listed(given: Any) -> Any:
    """One rule or several, each perhaps by its name alone, as a list of definitions."""
    rules = list(given) if isinstance(given, list | tuple) else [given]
    if not rules:
        raise ValueError('no rules; name at least one, such as "boxed", or leave extract out')
    return [_spelled_out(rule) for rule in rules]


def _spelled_out(given: Any) -> Any:
    if isinstance(given, _Rule):
        return given
    rule = {"rule": given} if isinstance(given, str) else given
    if not isinstance(rule, dict) or "rule" not in rule:
        raise ValueError(f'{short(given)} is no rule; write its name, or an object such as {{"rule": "boxed"}}')
    if not isinstance(rule["rule"], str) or rule["rule"] not in RULES:
        raise ValueError(f"no extract rule {rule['rule']!r}; {nearest(str(rule['rule']), RULES)}")
    return rule


Rule = Annotated[
    After | AfterThinking | Boxed | Fence | FinalLine | FirstOf | Json | Regex | Tag, Field(discriminator="rule")
]
Extract = Annotated[list[Rule], BeforeValidator(_listed)]
"""Rules applied one after the other, each to what the one before it found."""

FirstOf.model_rebuild()


def _followed(rules: Extract, text: str) -> str:
    for rule in rules:
        text = rule.find(text)
    return text


def extracted(rules: Extract, sample: Sample) -> Sample:
    """The sample with what the rules find in place of its text; GradingError `extraction_failed` where nothing is."""
    try:
        text = _followed(rules, sample.output_text)
    except LookupError as problem:
        raise GradingError("extraction_failed", f"nothing to grade: {problem.args[0]}", "candidate") from None
    return replace(sample, output_text=text, output_json=None)
