"""Rollout: a sample with its tokens and log-probs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

Answer: TypeAlias = tuple[list[int], list[float]]
"""Tokens and their log-probs."""


def unpadded(tokens: Tensor, logprobs: Tensor, lengths: Tensor) -> list[Answer]:
    """The answers in tokens and log-probs (rollouts, tokens) of these lengths."""
    rows = zip(tokens.tolist(), logprobs.tolist(), lengths.tolist(), strict=True)
    return [(ids[:length], values[:length]) for ids, values, length in rows]


@dataclass(frozen=True, slots=True)
class Rollout:
    """One answer the policy gave to one prompt."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]  # the end token included when finish is "stop"
    logprobs: tuple[float, ...]  # the sampler's own, one per token, at the sampling temperature
    finish: Literal["stop", "length"]
    text: str  # what graders see, once it is read (rft_loop/reading.py)
    thinking: str = ""  # what they do not see, its tags included
    flaw: str | None = None  # why the text is not of the recipe's response_format; "" where it is, None without one
