"""Sampler: what draws rollouts. The loop knows this protocol alone; what stands behind it is decided once, here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rft_loop.parallel.crew import Holds, together
from rft_loop.parallel.orders import sampled
from rft_loop.sampling.rollout import Rollout


class Sampler(Protocol):
    """Draws rollouts by the policy's weights, or by weights that were the policy's a few steps ago."""

    def follow(self, step: int, *, now: bool = False) -> None:
        """Take over the policy's weights, as they are before `step` + 1; `now`: whatever the recipe's interval says."""

    def sample(
        self, prompts: Sequence[Sequence[int]], *, per_prompt: int, max_new_tokens: int, temperature: float, seed: int
    ) -> list[Rollout]:
        """`per_prompt` rollouts of each prompt, in prompt order; temperature 0 takes the likeliest token."""


@dataclass(frozen=True)
class OwnSampler:
    """Decodes with the very weights that are trained: on every rank of the run, a share of the prompts each."""

    hand: Holds
    decode_rows: int
    top_k: int | None = None
    top_p: float = 1.0

    def follow(self, step: int, *, now: bool = False) -> None:
        """Nothing to do: the weights are shared."""

    def sample(
        self, prompts: Sequence[Sequence[int]], *, per_prompt: int, max_new_tokens: int, temperature: float, seed: int
    ) -> list[Rollout]:
        return together(
            self.hand,
            sampled,
            prompts,
            per_prompt,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            decode_rows=self.decode_rows,
            top_k=self.top_k,
            top_p=self.top_p,
        )


def make_sampler(hand: Holds, prompts: Sequence[Sequence[int]]) -> Sampler:
    """The sampler of a recipe. A server is handed the weights and asked once: ValueError where it is of no use."""
    recipe = hand.recipe
    if recipe.sampler is None:
        return OwnSampler(hand, recipe.decode_rows, recipe.top_k, recipe.top_p)
    from rft_loop.sampling.sampling_server import ServerSampler

    server = ServerSampler(hand.policy, recipe.sampler)
    server.check(prompts[0], min(recipe.max_new_tokens, 16), recipe.temperature)
    return server
