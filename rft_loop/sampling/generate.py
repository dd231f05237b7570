"""Generate: rollouts of any causal language model through transformers' own `generate`; slower than the decoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from rft_loop.model.policy import Policy
from rft_loop.sampling.choose import Choice
from rft_loop.sampling.rollout import Answer, unpadded


class _Chosen(LogitsProcessor):  # type: ignore[misc]
    """Chooses each next token as the decoder would, remembers its log-prob, and leaves `generate` no other."""

    def __init__(self, choice: Choice, rollouts: Tensor, width: int) -> None:
        self.choice, self.rollouts, self.width = choice, rollouts, width
        self.logprobs: list[Tensor] = []

    def __call__(self, input_ids: Any, scores: Any) -> Tensor:
        count = torch.full_like(self.rollouts, input_ids.shape[1] - self.width)
        chosen, logprob = self.choice(scores.float(), self.choice.numbers(self.rollouts, count))
        self.logprobs.append(logprob)
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen[:, None], 0.0)


def generate(
    policy: Policy, prompts: Sequence[Sequence[int]], per_prompt: int, choice: Choice, ends: Tensor, rows: int
) -> list[Answer]:
    """`per_prompt` answers to each prompt, in prompt order."""
    device, most = policy.device, choice.max_new_tokens
    total = len(prompts) * per_prompt
    tokens = torch.zeros(total, most, dtype=torch.long, device=device)
    logprobs = torch.zeros(total, most, device=device)
    for start in range(0, total, rows):
        part = torch.arange(start, min(start + rows, total), device=device)
        asked = [prompts[row // per_prompt] for row in part.tolist()]
        width = max(map(len, asked))
        ids = torch.zeros(len(asked), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(asked):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        chosen = _Chosen(choice, part, width)
        with policy.computing(), _plain(policy, ends, most) as plain:
            found: Any = policy.model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                generation_config=plain,
                logits_processor=LogitsProcessorList([chosen]),
            )
        new = found[:, width:]
        tokens[part, : new.shape[1]] = new
        logprobs[part, : new.shape[1]] = torch.stack(chosen.logprobs, 1)
    ended = torch.isin(tokens, ends)
    lengths = torch.where(ended.any(1), ended.int().argmax(1) + 1, most)
    return unpadded(tokens, logprobs, lengths)


@contextmanager
def _plain(policy: Policy, ends: Tensor, max_new_tokens: int) -> Iterator[GenerationConfig]:
    """Settings by which nothing is drawn but what is chosen here: within it the model has no settings of its own."""
    own = policy.model.generation_config
    policy.model.generation_config = GenerationConfig()
    try:
        yield GenerationConfig(
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=ends.tolist(),
            pad_token_id=int(ends[0]),
            bos_token_id=policy.tokenizer.bos_token_id,
        )
    finally:
        policy.model.generation_config = own
