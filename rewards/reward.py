"""From grades to rewards: plain functions on lists, chosen by a specification that is data."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from graders.grade import Grade


class LengthCharge(BaseModel):
    """Charge `per_token` for each token past the first `free`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    free: int = Field(ge=0)
    per_token: float = Field(gt=0)


class SoftLimit(BaseModel):
    """Charge answers that come near the longest one allowed: nothing up to `buffer` tokens below it, `charge` at it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    buffer: int = Field(ge=1)
    charge: float = Field(1.0, gt=0)


class RewardSpec(BaseModel):
    """How rewards are made from grades. With nothing set, the reward is the score."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    length: LengthCharge | None = None
    soft_limit: SoftLimit | None = None
    clip: tuple[float, float] | None = None  # lowest and highest reward, applied last
    control: Literal["none", "shuffled"] = "none"  # shuffled: rewards dealt to the wrong rollouts; must teach nothing

    @model_validator(mode="after")
    def _clip_is_an_interval(self) -> RewardSpec:
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip={list(self.clip)}: the first number must be below the second")
        return self


def rewards_of(
    grades: Sequence[Grade], lengths: Sequence[int], spec: RewardSpec, seed: int = 0, longest: int | None = None
) -> list[float | None]:
    """One reward per rollout, in order; None where the grader could not decide.

    `lengths` are completion lengths in tokens and `longest` the most that one may have, which `soft_limit` needs;
    `seed` only matters to the shuffled control. Raises ValueError for a `soft_limit` without `longest`.

    >>> rewards_of([Grade(1.0, "right"), Grade.undecided("timeout", "slow")], [12, 3],
    ...            RewardSpec(length=LengthCharge(free=10, per_token=0.1)))
    [0.8, None]
    """
    rewards = [grade.score for grade in grades]
    if spec.length is not None:
        rewards = minus_length(rewards, lengths, spec.length.free, spec.length.per_token)
    if spec.soft_limit is not None:
        if longest is None:
            raise ValueError("reward.soft_limit charges near the longest answer allowed: give its tokens as `longest`")
        rewards = minus_overlong(rewards, lengths, longest, spec.soft_limit.buffer, spec.soft_limit.charge)
    if spec.clip is not None:
        low, high = spec.clip
        rewards = [None if reward is None else max(low, min(high, reward)) for reward in rewards]
    if spec.control == "shuffled":
        rewards = shuffled(rewards, seed)
    return rewards


def minus_length(
    rewards: Sequence[float | None], lengths: Sequence[int], free: int, per_token: float
) -> list[float | None]:
    """Charge `per_token` for each token past the first `free`; undecided stays undecided."""
    return [
        None if reward is None else reward - per_token * max(0, length - free)
        for reward, length in zip(rewards, lengths, strict=True)
    ]


def minus_overlong(
    rewards: Sequence[float | None], lengths: Sequence[int], longest: int, buffer: int, charge: float
) -> list[float | None]:
    """Charge `charge` times (length - (longest - buffer)) / buffer, no less than 0 and no more than `charge`.

    With charge 1 that is the soft overlong punishment of DAPO (Yu et al. 2025, eq. 13); undecided stays undecided.
    """
    return [
        None if reward is None else reward - charge * min(1.0, max(0, length - longest + buffer) / buffer)
        for reward, length in zip(rewards, lengths, strict=True)
    ]


def minus_divergence(
    rewards: Sequence[float | None], divergences: Sequence[float], weight: float
) -> list[float | None]:
    """Charge `weight` times each answer's KL divergence from the reference, in nats; undecided stays undecided."""
    return [
        None if reward is None else reward - weight * apart for reward, apart in zip(rewards, divergences, strict=True)
    ]


def shuffled(rewards: Sequence[float | None], seed: int) -> list[float | None]:
    """The decided rewards dealt out again at random: the same numbers, unrelated to what they were given for."""
    decided = [reward for reward in rewards if reward is not None]
    random.Random(seed).shuffle(decided)
    deal = iter(decided)
    return [None if reward is None else next(deal) for reward in rewards]
