"""Decoder: the network with a cache, one more token of each row at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from rft_loop.model.network import Layer, Network, attention

if TYPE_CHECKING:
    from rft_loop.sampling.slots import Slots


Cache: TypeAlias = list[Tensor]
"""Of each layer keys and values, (rows, 2, heads, places, head width)."""


class Decoder:
    """The next-token distribution of several rows at once, each at a place of its own."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.slots: Slots | None = None  # rows to decode in, where they are kept

    def cache(self, rows: int, places: int) -> Cache:
        """An empty cache."""
        net = self.network
        shape = (rows, 2, net.shared, places, net.width)
        return [torch.zeros(shape, dtype=net.attends_in, device=net.model.device) for _ in net.weights.layers]

    def logits(self, tokens: Tensor, places: Tensor, cache: Cache, length: int) -> Tensor:
        """Logits after one more token of each row, (rows, vocabulary) in float32; its keys and values are put in place.

        tokens, places: (rows,); a row attends to what the cache holds up to its own place. `length` bounds the places.
        """
        net = self.network
        rows = torch.arange(len(tokens), device=tokens.device)
        apart = places[:, None] - torch.arange(length, device=tokens.device)
        masks = net.masks(apart[:, None])

        def hear(number: int, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            cache[number][rows, :, :, places] = torch.stack([key, value], 1)
            keys, values = cache[number][: len(tokens), :, :, :length].unbind(1)
            return attention(query[:, None], keys, values, masks[layer.window], layer)[:, 0]

        return net.logits(net.hidden(net.weights, tokens, places, hear))

    def prefill(self, ids: Tensor, lengths: Tensor, cache: Cache, start: int) -> Tensor:
        """Run prompts, (prompts, tokens) padded on the right, into the rows of the cache from `start` on.

        Logits after the last of each one's `lengths` tokens, (prompts, vocabulary). Attention looks back alone, so no
        prompt sees what stands behind it.
        """
        net = self.network
        prompts, width = ids.shape
        places, heard = torch.arange(width, device=ids.device), net.in_order(width)
        rows = slice(start, start + prompts)

        def hear(number: int, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            cache[number][rows, :, :, :width] = torch.stack([key, value], 1).transpose(2, 3)
            return heard(layer, query, key, value)

        hidden = net.hidden(net.weights, ids, places, hear)
        return net.logits(hidden[torch.arange(prompts, device=ids.device), lengths - 1])
