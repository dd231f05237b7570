"""Reading: what of an answer graders see. Its thinking is set apart, and its form held against `response_format`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase

from graders.composite import Composite
from graders.grade import Grade
from graders.grader import Grader
from graders.sample import Sample
from graders.structured.json_schema import JsonSchema
from graders.text.finders import without_thinking
from graders.text.format import Format
from rft_loop.sampling.rollout import Rollout

TAIL = 64  # tokens at a prompt's end in which an opening tag is looked for


def read(
    tokenizer: PreTrainedTokenizerBase,
    rollouts: Sequence[Rollout],
    thinking: str | None,
    response_format: Mapping[str, Any] | None,
) -> list[Rollout]:
    """The rollouts with `text` as graders see it, `thinking` apart and `flaw` found.

    `thinking` is the name of the tag around what an answer thinks; None leaves it in the text. An answer whose prompt
    ends with the opening tag, as some chat templates have it, begins inside its thinking; one whose thinking is never
    closed has no text.
    """
    if thinking is not None:
        tag = Tag(tokenizer, thinking)
        begun = {prompt: tag.opens(prompt) for prompt in {rollout.prompt for rollout in rollouts}}
        rollouts = [tag.set_apart(rollout, begun[rollout.prompt]) for rollout in rollouts]
    if response_format is not None:
        form = JsonSchema(schema=dict(response_format))
        rollouts = [replace(rollout, flaw=_flaw(form, rollout.text)) for rollout in rollouts]
    return list(rollouts)


def misformed(grader: Grader, reason: str) -> Grade:
    """The grade of an answer that is not of the recipe's `response_format`: the grader's lowest, and so its parts'."""
    lowest = grader.range[0] if math.isfinite(grader.range[0]) else 0.0
    parts = {name: misformed(part, reason) for name, part in _members(grader).items()}
    why = f"not of the response_format: {reason}"
    return Grade.failed("sample_parse_error", why, lowest, parts=parts, grader=grader.identity)


def check_sees_enough(grader: Grader, thinking: str | None) -> None:
    """Refuse a grader, or a part of one, that looks for tags which graders do not see."""
    if thinking is None:
        return
    if isinstance(grader, Format) and (hidden := sorted(set(names_of(thinking)).intersection(grader.tags))):
        raise ValueError(
            f"{grader.label!r} looks for <{hidden[0]}>, which graders do not see (thinking={thinking}); "
            "with thinking=null they see the whole output"
        )
    for part in _members(grader).values():
        check_sees_enough(part, thinking)


def names_of(name: str) -> tuple[str, ...]:
    """The names under which the tag is found: `<thinking>` goes with `<think>`, as `without_thinking` has it."""
    return ("think", "thinking") if name == "think" else (name,)


@dataclass(frozen=True)
class Tag:
    """The tag around what an answer thinks, as one tokenizer writes it."""

    tokenizer: PreTrainedTokenizerBase
    name: str

    def set_apart(self, rollout: Rollout, opened: bool) -> Rollout:
        """The rollout with its thinking, `opened` by the prompt or not, out of its text.

        The text then loses the white space around it too.
        """
        text = self._whole(rollout)
        seen = without_thinking(f"<{self.name}>{text}" if opened else text, self.name)
        start = max((text.rfind(tag) + len(tag) for tag in self._closing if tag in text), default=0)
        hidden = text[:start] + text[start + len(seen) :]
        return replace(rollout, text=seen.strip(), thinking=hidden) if hidden else rollout

    def _whole(self, rollout: Rollout) -> str:
        """An answer's text with the tags in it, also where decoding leaves them out with the other special tokens."""
        if self._hidden_ids.isdisjoint(rollout.tokens):
            return rollout.text
        shown = [token for token in rollout.tokens if token in self._hidden_ids or token not in self._special_ids]
        return str(self.tokenizer.decode(shown, skip_special_tokens=False))

    def opens(self, prompt: Sequence[int]) -> bool:
        """Whether the prompt ends with the opening tag."""
        end = str(self.tokenizer.decode(list(prompt[-TAIL:]), skip_special_tokens=False))
        return end.rstrip().endswith(self._opening)

    @cached_property
    def _opening(self) -> tuple[str, ...]:
        return tuple(f"<{name}>" for name in names_of(self.name))

    @cached_property
    def _closing(self) -> tuple[str, ...]:
        return tuple(f"</{name}>" for name in names_of(self.name))

    @cached_property
    def _special_ids(self) -> frozenset[int]:
        added = self.tokenizer.added_tokens_decoder
        return frozenset(self.tokenizer.all_special_ids).union(i for i, token in added.items() if token.special)

    @cached_property
    def _hidden_ids(self) -> frozenset[int]:
        """The tags' ids where the tokenizer has them among its special tokens."""
        ids = {self.tokenizer.convert_tokens_to_ids(tag) for tag in (*self._opening, *self._closing)}
        return self._special_ids.intersection(ids - {self.tokenizer.unk_token_id})


def _flaw(form: JsonSchema, text: str) -> str:
    grade = form(Sample(text), {})
    return "" if grade.score == 1 else grade.why.removeprefix("the output cannot be graded: ")


def _members(grader: Grader) -> Mapping[str, Grader]:
    return grader.members if isinstance(grader, Composite) else {}
