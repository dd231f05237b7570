"""Prefill: prompts run once each, and answers on top of them: the trainer's forward pass through transformers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from rft_loop.model.policy import Policy


def answer_states(policy: Policy, prompts: Sequence[Sequence[int]], owner: Tensor, tokens: Tensor) -> Tensor:
    """The hidden state before each of the answers' `tokens` (rows, width): (rows, width, hidden); differentiable.

    `owner` (rows,) is the prompt of each answer. Prompts run once each, where the model lets answers share them: two
    forward passes whatever the answers are, since ranks that share weights must run them equally often.
    """
    owner, tokens = owner.to(policy.device), tokens.to(policy.device)
    if not policy.shares_prompts:
        return _whole_states(policy, [prompts[index] for index in owner.tolist()], tokens)
    prefill = Prefill(policy, prompts)
    prefill.select(owner)
    width = tokens.shape[1]
    later = extend(policy, prefill, tokens[:, : max(1, width - 1)])
    return torch.cat([prefill.hidden[:, None], later], dim=1)[:, :width]


def _whole_states(policy: Policy, prompts: Sequence[Sequence[int]], tokens: Tensor) -> Tensor:
    """The same by running every answer with a prompt of its own, padded on the right."""
    rows, width = tokens.shape
    ids = torch.zeros(rows, max(map(len, prompts)) + width - 1, dtype=torch.long, device=tokens.device)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)] = torch.tensor(prompt)
        ids[row, len(prompt) : len(prompt) + width - 1] = tokens[row, :-1]
    hidden = policy.hidden(input_ids=ids, use_cache=False)
    last = torch.tensor([len(prompt) - 1 for prompt in prompts], device=tokens.device)
    places = last[:, None] + torch.arange(width, device=tokens.device)
    return hidden[torch.arange(rows, device=tokens.device)[:, None], places]


class Prefill:
    """The key-value cache of a batch of prompts, each run once, and the hidden state after their last token.

    Differentiable. Prompts are padded on the left; masks come from lengths, never from a pad id.
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


def extend(policy: Policy, prefill: Prefill, tokens: Tensor) -> Tensor:
    """Hidden states after each of `tokens` (rows, new), which stand behind the prompt.

    (rows, new, width); `policy.head` makes logits of them.

    Appends to the prefill's cache. Rows may hold anything past their own length: attention is causal, so it
    cannot reach back.
    """
    new = tokens.shape[1]
    steps = torch.arange(new, device=tokens.device)
    ones = torch.ones(len(tokens), new, dtype=torch.long, device=tokens.device)
    return policy.hidden(
        input_ids=tokens,
        attention_mask=torch.cat([prefill.mask.long(), ones], dim=1),
        position_ids=prefill.lengths[:, None] + steps,
        past_key_values=prefill.cache,
        use_cache=True,
    )
