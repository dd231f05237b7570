"""Decode: several answers per prompt from one shared prefill, in this process, with the weights being trained.

Also the one forward pass that training and decoding share: prompts once each, answers on top of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from rft_loop.policy import Policy
from rft_loop.rollout import Rollout


class Prefill:
    """The key-value cache of a batch of prompts, each run once, and the hidden state after their last token.

    Differentiable, so that training shares it as decoding does. Prompts are padded on the left; masks come from
    lengths, never from a pad id.
    """

    def __init__(self, policy: Policy, prompts: Sequence[Sequence[int]]) -> None:
        device = policy.device
        width = max(map(len, prompts))
        ids = torch.zeros(len(prompts), width, dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
        self.lengths = torch.tensor([len(prompt) for prompt in prompts]).to(device)
        self.mask = torch.arange(width, device=device) >= width - self.lengths[:, None]  # (prompts, width)
        positions = (self.mask.long().cumsum(-1) - 1).clamp(min=0)
        self.cache = DynamicCache(config=policy.model.config)
        hidden = policy.hidden(
            input_ids=ids.to(device),
            attention_mask=self.mask.long(),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
        )
        self.hidden = hidden[:, -1]  # (prompts, width)

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order; a row may come several times."""
        self.cache.batch_select_indices(rows)
        self.lengths, self.mask, self.hidden = self.lengths[rows], self.mask[rows], self.hidden[rows]


def extend(policy: Policy, prefill: Prefill, tokens: Tensor, offset: int = 0) -> Tensor:
    """Hidden states after each of `tokens` (rows, new), which stand `offset` places after the prompt.

    (rows, new, width); `policy.head` makes logits of them.

    Appends to the prefill's cache. Rows may hold anything past their own length: attention is causal, so it
    cannot reach back.
    """
    new = tokens.shape[1]
    steps = torch.arange(offset, offset + new, device=tokens.device)
    ones = torch.ones(len(tokens), offset + new, dtype=torch.long, device=tokens.device)
    return policy.hidden(
        input_ids=tokens,
        attention_mask=torch.cat([prefill.mask.long(), ones], dim=1),
        position_ids=prefill.lengths[:, None] + steps,
        past_key_values=prefill.cache,
        use_cache=True,
    )


def sample(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    *,
    per_prompt: int,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    decode_rows: int = 512,
) -> list[Rollout]:
    """`per_prompt` rollouts of each prompt, in prompt order; temperature 0 takes the likeliest token.

    Same weights, prompts and seed give the same rollouts. `decode_rows` bounds how many are decoded side by side, to
    whole groups and at least one.
    """
    generator = torch.Generator(device=policy.device).manual_seed(seed)
    at_once = max(1, decode_rows // per_prompt)
    rollouts: list[Rollout] = []
    for start in range(0, len(prompts), at_once):
        part = prompts[start : start + at_once]
        rollouts += _decode(policy, part, per_prompt, max_new_tokens, temperature, generator)
    return rollouts


@torch.inference_mode()
def _decode(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    per_prompt: int,
    max_new_tokens: int,
    temperature: float,
    generator: torch.Generator,
) -> list[Rollout]:
    prefill = Prefill(policy, prompts)
    total = len(prompts) * per_prompt
    prefill.select(torch.arange(len(prompts), device=policy.device).repeat_interleave(per_prompt))
    ends = torch.tensor(sorted(policy.end_ids), device=policy.device)
    tokens = torch.zeros(total, max_new_tokens, dtype=torch.long, device=policy.device)
    logprobs = torch.zeros(total, max_new_tokens, device=policy.device)
    lengths = torch.full((total,), max_new_tokens, device=policy.device)
    alive = torch.arange(total, device=policy.device)  # which rollout each row of the cache belongs to
    running = torch.ones(total, dtype=torch.bool, device=policy.device)  # of the rows of the cache
    logits = policy.head(prefill.hidden)
    for step in range(max_new_tokens):
        chosen, logprob = _choose(logits, temperature, generator)
        tokens[alive, step] = torch.where(running, chosen, tokens[alive, step])
        logprobs[alive, step] = torch.where(running, logprob, logprobs[alive, step])
        ended = running & torch.isin(chosen, ends)
        lengths[alive[ended]] = step + 1
        running = running & ~ended
        left = int(running.sum())
        if left == 0 or step + 1 == max_new_tokens:
            break
        if left <= len(running) // 2:  # drop finished rows once they are the half
            keep = running.nonzero()[:, 0]
            prefill.select(keep)
            alive, running, chosen = alive[keep], running[keep], chosen[keep]
        logits = policy.head(extend(policy, prefill, chosen[:, None], offset=step)[:, -1])
    return list(_rollouts(policy, prompts, per_prompt, tokens, logprobs, lengths))


def _choose(logits: Tensor, temperature: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The next token of each row and its log-prob, sampled by the Gumbel-max trick; (rows,) each."""
    logprobs = torch.log_softmax(logits.float() / (temperature or 1.0), dim=-1)
    scores = logprobs
    if temperature > 0:
        exponential = torch.empty_like(logprobs).exponential_(generator=generator)
        scores = logprobs - exponential.log()
    chosen = scores.argmax(dim=-1)
    return chosen, logprobs.gather(-1, chosen[:, None])[:, 0]


def _rollouts(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    per_prompt: int,
    tokens: Tensor,
    logprobs: Tensor,
    lengths: Tensor,
) -> Iterator[Rollout]:
    for row, (ids, values, length) in enumerate(zip(tokens.tolist(), logprobs.tolist(), lengths.tolist(), strict=True)):
        kept = ids[:length]
        yield Rollout(
            prompt=tuple(prompts[row // per_prompt]),
            tokens=tuple(kept),
            logprobs=tuple(values[:length]),
            finish="stop" if kept[-1] in policy.end_ids else "length",
            text=policy.text(kept),
        )
