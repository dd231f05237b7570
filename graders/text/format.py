"""format: does the output have the form that was asked for? Judges the form only, never the answer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from graders.grade import Grade
from graders.grader import Grader
from graders.sample import Item, Sample, read_json
from graders.template import Template, render
from graders.text.finders import boxes, fences, without_thinking
from graders.text.marks import visible

TAG = re.compile(r"[A-Za-z][\w-]*")
ANSWER_LINE = re.compile(r"\s*(?:final )?answer:(.*)", re.IGNORECASE | re.DOTALL)
THOUGHTS = {"think", "thinking"}


class Check(NamedTuple):
    """One requirement, and what the output lacks of it: "" where it is met."""

    name: str
    problem: str


class Format(Grader):
    """1 if the output meets every requirement of form, else 0; with `partial`, the share it meets.

    `tags`: each exactly once, closed, not empty, in this order, nothing outside them. The other requirements are for
    the last tag's content, or without `tags` for the output less its thinking part. `fence`: one fenced block with
    this language ("": any). `valid_json`: the fenced block, else all of it, is a JSON object or array.
    `final_answer`: `boxed`, one `\\\\boxed{...}`; `line`, one line "Answer: ...", the last. Neither may be empty.

    >>> form = Format(tags=["think", "answer"])
    >>> form("<think>2+2</think><answer>4</answer>").why
    'met: <think>, <answer>, order, nothing outside'
    >>> form("<think></think><answer>4</answer>").why
    '<think>: empty; order: not every tag is right; nothing outside: not every tag is right; met: <answer>'
    """

    type: Literal["format"] = "format"
    input: Template = "{{sample.output_text}}"
    tags: list[str] = Field([])
    fence: str | None = None
    valid_json: bool = False
    final_answer: Literal["boxed", "line"] | None = None
    partial: bool = False

    @field_validator("tags")
    @classmethod
    def _are_tags(cls, tags: list[str]) -> list[str]:
        for tag in tags:
            if not TAG.fullmatch(tag):
                raise ValueError(f"tag {tag!r} is not a name; write 'think' for <think>...</think>")
        if len(set(tags)) < len(tags):
            raise ValueError("a tag is named twice; each stands in the output exactly once")
        return tags

    @field_validator("fence")
    @classmethod
    def _is_one_word(cls, fence: str | None) -> str | None:
        if fence is not None and ("`" in fence or fence != "".join(fence.split())):
            raise ValueError(f"fence {fence!r} is not a language; write 'json', or '' for any")
        return fence

    @model_validator(mode="after")
    def _requires_something(self) -> Format:
        others = (self.fence is not None) + self.valid_json + (self.final_answer is not None)
        if not self.tags and not others:
            raise ValueError("nothing is required; set tags, fence, valid_json or final_answer")
        if self.partial and not self.tags and others == 1:
            raise ValueError("partial has no effect on a single requirement; leave it out")
        return self

    def grade(self, sample: Sample, item: Item) -> Grade:
        text = render(self.input, sample, item)
        checks = list(self._checks(text))
        met = [check.name for check in checks if not check.problem]
        problems = [f"{check.name}: {check.problem}" for check in checks if check.problem]
        score = len(met) / len(checks) if self.partial else float(not problems)
        share = [f"{len(met)} of {len(checks)}"] if self.partial and problems else []
        return Grade(score, "; ".join([*problems, *([f"met: {', '.join(met)}"] if met else []), *share]))

    def _checks(self, text: str) -> Iterator[Check]:
        body: str | None = text if THOUGHTS.intersection(self.tags) else without_thinking(text)
        if self.tags:
            checks, body = _tag_checks(str(body), self.tags)
            yield from checks
        block: str | None = None
        if self.fence is not None:
            block, problem = (None, "no content to look in") if body is None else _fenced(body, self.fence)
            yield Check("fence", problem)
        if self.valid_json:
            yield Check("json", _json_problem(body if self.fence is None else block))
        if self.final_answer is not None:
            find = _boxed_problem if self.final_answer == "boxed" else _line_problem
            yield Check("final answer", "no content to look in" if body is None else find(body))


def _tag_checks(text: str, tags: list[str]) -> tuple[list[Check], str | None]:
    """A check of each tag, of their order and of what is outside; and the content of the last tag where it is right."""
    checks = [Check(f"<{tag}>", _tag_problem(text, tag)) for tag in tags]
    all_right = not any(check.problem for check in checks)
    places = [text.find(mark) for tag in tags for mark in (f"<{tag}>", f"</{tag}>")]
    in_order = all_right and places == sorted(places)
    unknown = "not every tag is right"
    if len(tags) > 1:
        problem = "" if in_order else "the tags stand in another order, or in each other" if all_right else unknown
        checks.append(Check("order", problem))
    outside = text
    for tag in tags:
        outside = re.sub(f"<{tag}>.*</{tag}>", "", outside, count=1, flags=re.DOTALL) if in_order else outside
    problem = (unknown if not in_order else "text outside the tags") if not in_order or outside.strip() else ""
    checks.append(Check("nothing outside", problem))
    last = None if checks[len(tags) - 1].problem else text.partition(f"<{tags[-1]}>")[2].partition(f"</{tags[-1]}>")[0]
    return checks, last


def _tag_problem(text: str, tag: str) -> str:
    opened, closed = text.count(f"<{tag}>"), text.count(f"</{tag}>")
    if not opened:
        return "missing"
    if not closed:
        return "never closed"
    if opened > 1 or closed > 1:
        return f"opened {opened} and closed {closed} times"
    before, _, content = text.partition(f"<{tag}>")
    if f"</{tag}>" in before:
        return "closed before it is opened"
    return "" if visible(content.partition(f"</{tag}>")[0]) else "empty"


def _fenced(text: str, language: str) -> tuple[str | None, str]:
    """The content of the one fenced block, and what is wrong with it."""
    blocks = fences(text)
    if blocks and not blocks[-1].closed:
        return None, "a block is never closed"
    if len(blocks) != 1:
        return None, f"{len(blocks)} blocks instead of one"
    block = blocks[0]
    if not block.is_in(language):
        return None, f"the block is marked {block.language!r} instead of {language!r}"
    return (block.content, "") if visible(block.content) else (None, "the block is empty")


def _json_problem(text: str | None) -> str:
    if text is None:
        return "no content to look in"
    try:
        value = read_json(text)
    except ValueError as problem:
        return f"not JSON: {problem}"
    return "" if isinstance(value, dict | list) else "neither an object nor an array"


def _boxed_problem(text: str) -> str:
    contents, unclosed = boxes(text)
    if unclosed:
        return "the box is never closed"
    if len(contents) != 1:
        return f"{len(contents)} boxed answers instead of one"
    return "" if visible(contents[0]) else "the box is empty"


def _line_problem(text: str) -> str:
    lines = [line for line in text.replace("*", "").splitlines() if line.strip()]
    answers = [(number, match[1]) for number, line in enumerate(lines) if (match := ANSWER_LINE.fullmatch(line))]
    if len(answers) != 1:
        return f"{len(answers)} lines 'Answer: ...' instead of one"
    number, answer = answers[0]
    if number != len(lines) - 1:
        return "the line 'Answer: ...' is not the last"
    return "" if visible(answer) else "the line 'Answer:' is empty"
