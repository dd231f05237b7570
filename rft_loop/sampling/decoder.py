"""Decoder: the network with a cache, one more token of each row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rft_loop.model.attention import ROWS, attended
from rft_loop.model.network import Layer, Network

if TYPE_CHECKING:
    from rft_loop.sampling.shared_rows import SharedRows
    from rft_loop.sampling.slots import Slots

PREFILL_TOKENS = 16_384  # most prompt tokens of one forward pass, padding counted

Cache: TypeAlias = Tensor
"""Keys and values, (layers, rows, places, 2, heads, head width)."""


class Decoder:
    """The next-token distribution of several rows at once, each at a place of its own."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.kept: SharedRows | Slots | None = None  # rows to decode in, from one call to the next

    def cache(self, rows: int, places: int) -> Cache:
        """Room for a cache; what lies in it is any number, or none."""
        net = self.network
        shape = (len(net.weights.layers), rows, net.room(places), 2, net.shared, net.width)
        return torch.empty(shape, dtype=net.attends_in, device=net.device)

    def logits(self, tokens: Tensor, places: Tensor, cache: Cache, length: int) -> Tensor:
        """Logits after one more token of each row, (rows, vocabulary) in float32; its keys and values are put in place.

        tokens, places: (rows,); a row attends to what the cache holds up to its own place. `length` bounds the places.
        """
        net, rows = self.network, len(tokens)
        length = net.room(length)
        apart = places[:, None] - torch.arange(length, device=tokens.device)
        masks = net.masks(apart[:, None])
        at = places + torch.arange(0, rows * cache.shape[2], cache.shape[2], device=tokens.device)
        in_line = cache.flatten(1, 2)
        count = net.heads // net.shared  # queries of one key
        filled = -count % ROWS if cache.is_cpu else 0
        known = cache[:, :rows, :length].permute(0, 3, 1, 4, 2, 5)  # (layers, 2, rows, heads, length, head width)

        def hear(number: int, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            in_line[number].index_copy_(0, at, torch.stack([key, value], 1))
            keys, values = known[number].unbind()
            query = query.view(rows, net.shared, count, net.width)
            query = F.pad(query, (0, 0, 0, filled)) if filled else query
            return attended(query, keys, values, masks[layer.window], layer)[:, :, :count].flatten(1)

        return net.logits(net.hidden(net.weights, tokens, places, hear))

    def first_batch(self, prompts: Sequence[Sequence[int]]) -> Sequence[Sequence[int]]:
        """As many of the prompts, from the first one on, as one prefill takes."""
        while len(prompts) > 1 and len(prompts) * max(map(len, prompts)) > PREFILL_TOKENS:
            prompts = prompts[: len(prompts) // 2]
        return prompts

    def prefill(self, prompts: Sequence[Sequence[int]], cache: Cache, start: int) -> Tensor:
        """Run prompts into the rows of the cache from `start` on; logits after each, (prompts, vocabulary).

        Attention looks back alone, so no prompt sees what pads it on the right.
        """
        net, width = self.network, max(map(len, prompts))
        filled = torch.tensor([[*prompt, *[0] * (width - len(prompt))] for prompt in prompts])
        ends = torch.tensor([row * width + len(prompt) - 1 for row, prompt in enumerate(prompts)])
        places, heard = torch.arange(width, device=net.device), net.in_order(width)
        rows = slice(start, start + len(prompts))

        def hear(number: int, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            cache[number, rows, :width] = torch.stack([key, value], 2)
            return heard(layer, query, key, value)

        hidden = net.hidden(net.weights, filled.to(net.device), places, hear)
        return net.logits(hidden.flatten(0, 1)[ends.to(net.device)])
