"""Packed: the trainer's forward pass through the network, prompts and answers end to end.

A prompt stands once for all its answers. Attention alone pads rows; everything else sees each token once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rft_loop.model.network import Hear, Layer, Network, attention

ALL_AT_ONCE = 128  # so many tokens cost less as one sequence, each of them blind to most others, than row by row
NEVER = 2**30  # a place that no token can look back to


def packed_states(
    network: Network, prompts: Sequence[Sequence[int]], owner: Tensor, tokens: Tensor, there: Tensor
) -> Tensor:
    """The hidden state before each token of each answer, in their order: (tokens, hidden); differentiable.

    `owner` (answers,) is the prompt of each; `tokens` and `there` (answers, width), the latter where they have one.
    """
    device = network.model.device
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    asked = torch.arange(int(lengths.max())) < lengths[:, None]
    answered = there[:, 1:]  # an answer's last token is not run: nothing comes after it
    asked_at = torch.arange(asked.shape[1]).expand(asked.shape)
    answered_at = lengths[owner][:, None] + torch.arange(answered.shape[1])
    ids = torch.cat([torch.tensor([token for prompt in prompts for token in prompt]), tokens[:, :-1][answered]])
    places = torch.cat([asked_at[asked], answered_at[answered]])
    # An answer's first token comes after its prompt's last, the others after the one before them.
    count, before = int(lengths.sum()), torch.empty_like(tokens)
    before[:, 0] = (lengths.cumsum(0) - 1)[owner]
    before[:, 1:] = torch.full(answered.shape, 0).masked_scatter(answered, torch.arange(count, len(ids)))
    if len(ids) <= ALL_AT_ONCE:
        row = torch.cat([asked.nonzero()[:, 0], answered.nonzero()[:, 0] + len(prompts)])
        known = torch.cat([row[:count], owner[answered.nonzero()[:, 0]]])  # the row of its prompt
        sees = (row[:, None] == row) | (known[:, None] == row)
        hear = network.all_at_once(torch.where(sees, places[:, None] - places, -1).to(device))
    else:
        hear = _row_by_row(network, asked.to(device), answered.to(device), owner.to(device))
    network.refresh()
    network.reach(int(places.max()) + 1)
    return _taken(network.hidden(network.live(), ids.to(device), places.to(device), hear), before[there].to(device))


def _row_by_row(network: Network, asked: Tensor, answered: Tensor, owner: Tensor) -> Hear:
    """Prompts hear themselves; each answer hears its prompt and itself."""
    # Kernels on a GPU copy a mask in every layer unless it has a multiple of 8 keys.
    answered = F.pad(answered, (0, -(asked.shape[1] + answered.shape[1]) % 8))
    prompts, answers = _Padding(asked), _Padding(answered)
    along = torch.arange(max(asked.shape[1], answered.shape[1]), device=asked.device, dtype=torch.int32)
    places = asked.sum(1, dtype=torch.int32)[owner][:, None] + along[: answered.shape[1]]
    heard_at = torch.where(asked, along[: asked.shape[1]], NEVER)[owner]
    both = network.masks(places[:, :, None] - torch.cat([heard_at, places], 1)[:, None])
    in_order, count = network.in_order(asked.shape[1]), len(prompts.at)

    def hear(number: int, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (prompts.padded(side[:count]) for side in (query, key, value))
        heard = prompts.packed(in_order(layer, q, k, v))
        if not len(answers.at):
            return heard
        q, *later = (answers.padded(side[count:]) for side in (query, key, value))
        k, v = (
            torch.cat([_taken(side, owner), new], 1).transpose(1, 2) for side, new in zip((k, v), later, strict=True)
        )
        return torch.cat([heard, answers.packed(attention(q, k, v, both[layer.window], layer))])

    return hear


def _taken(rows: Tensor, at: Tensor) -> Tensor:
    """`rows[at]`, but for the gradient of a row taken several times: threads would add that up as they come."""
    return F.embedding(at, rows.flatten(1)).view(len(at), *rows.shape[1:])


class _Padding:
    """Where the tokens of several rows, which lie end to end, stand once the rows are padded on the right."""

    def __init__(self, there: Tensor) -> None:
        """`there` (rows, width): where a row has a token."""
        self.shape = there.shape
        self.at = there.flatten().nonzero()[:, 0]

    def padded(self, tokens: Tensor) -> Tensor:
        """(tokens, heads, head width) as (rows, width, heads, head width), 0 where there is no token."""
        rows, width = self.shape
        empty = tokens.new_zeros(rows * width, *tokens.shape[1:])
        return empty.index_copy(0, self.at, tokens).view(rows, width, *tokens.shape[1:])

    def packed(self, rows: Tensor) -> Tensor:
        """The way back: (rows, width, hidden) as (tokens, hidden)."""
        return rows.flatten(0, 1).index_select(0, self.at)
