"""Rollout: a sample with its tokens and log-probs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
