"""Decode: several answers per prompt from one shared prefill, in this process, with the weights being trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from rft_loop.model.policy import Policy
from rft_loop.sampling.choose import Choice
from rft_loop.sampling.decoder import Decoder
from rft_loop.sampling.generate import generate
from rft_loop.sampling.rollout import Answer, Rollout
from rft_loop.sampling.shared_rows import SharedRows
from rft_loop.sampling.slots import Slots

KEPT = 2**26  # bytes of a cache that is not made anew for every call


def sample(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    *,
    per_prompt: int,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    decode_rows: int = 512,
    numbers: Sequence[int] | None = None,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> list[Rollout]:
    """`per_prompt` rollouts of each prompt, in prompt order; temperature 0 takes the likeliest token.

    Same weights, prompts and seed give the same rollouts. What is drawn for a prompt depends on the seed and on its
    number (its place in `prompts`, or `numbers`), not on what is decoded beside it. `decode_rows` bounds how many are
    decoded side by side, to whole groups and at least one.
    """
    if not prompts:
        return []
    named = range(len(prompts)) if numbers is None else numbers
    choice = Choice(temperature, seed, [(n, i) for n in named for i in range(per_prompt)], max_new_tokens, top_k, top_p)
    ends = torch.tensor(sorted(policy.end_ids), device=policy.device)
    rows = max(1, decode_rows // per_prompt) * per_prompt
    longest = max(map(len, prompts)) + max_new_tokens
    with torch.inference_mode():
        choice.to(policy.device)
        if (decoder := policy.decoder) is not None:
            decoder.network.refresh()
            rows = min(rows, len(prompts) * per_prompt)
            found = _rows(decoder, ends, rows, longest).run(prompts, per_prompt, choice, rows)
        else:
            found = generate(policy, prompts, per_prompt, choice, ends, rows)
    return list(_rollouts(policy, prompts, per_prompt, found))


def _rows(decoder: Decoder, ends: torch.Tensor, rows: int, places: int) -> SharedRows | Slots:
    """Rows to decode in. Where graphs are made on them, or they are small, they are kept from call to call."""
    kept = decoder.kept
    if kept is None or kept.rows < rows or kept.places < places:
        decoder.kept = kept = None  # its memory first
        kept = (SharedRows if ends.is_cpu else Slots)(decoder, ends, rows, places)
        lasting = isinstance(kept, Slots) and kept.uses_graphs
        decoder.kept = kept if lasting or kept.cache.nbytes <= KEPT else None
    return kept


def _rollouts(
    policy: Policy, prompts: Sequence[Sequence[int]], per_prompt: int, answers: Sequence[Answer]
) -> Iterator[Rollout]:
    for number, (tokens, logprobs) in enumerate(answers):
        yield Rollout(
            prompt=tuple(prompts[number // per_prompt]),
            tokens=tuple(tokens),
            logprobs=tuple(logprobs),
            finish="stop" if tokens[-1] in policy.end_ids else "length",
            text=policy.text(tokens),
        )
