"""Attention: of queries over keys and values, with numbers that do not tell what is run beside them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

if TYPE_CHECKING:
    from rft_loop.model.network import Layer, Network

ROWS = 4
"""MKL sums the products of rows that are left over from so many up in another order, where there are few for a thread;
a token's numbers should not tell what is run beside it."""


def attention(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, layer: Layer) -> Tensor:
    """Queries (rows, places, heads, width) over keys and values (rows, shared heads, places, width): (..., hidden).

    Queries that share a head's keys stand where a longer sequence would, so that no key is repeated.
    """
    rows, places, heads, width = query.shape
    shared = keys.shape[1]
    query = query.view(rows, places, shared, -1, width).permute(0, 2, 3, 1, 4).reshape(rows, shared, -1, width)
    heard = attended(query, keys, values, mask, layer)
    return heard.view(rows, heads, places, width).transpose(1, 2).reshape(rows, places, -1)


def attended(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, layer: Layer) -> Tensor:
    """Of queries, keys and values (rows, heads, so many of each, width) what the queries hear, shaped as they are."""
    if layer.soft_cap is None:
        return F.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=layer.scale)
    scores = layer.soft_cap * torch.tanh(query @ keys.transpose(-1, -2) * layer.scale / layer.soft_cap)
    wide = torch.promote_types(scores.dtype, torch.float32)
    return torch.softmax(scores + mask, -1, dtype=wide).to(values.dtype) @ values


def sums_alike(layer: Layer, network: Network) -> bool:
    """Whether float32 gives a place the same, bit for bit, whatever is run beside it: tried, since libraries differ."""
    places = torch.tensor([0, 2, 11, 15, 16, 40, 100, 191, 192, 201, 300, 384, 400, 511, 513, 800])
    room, per_key = network.room(1000), network.heads // network.shared
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    query = draw(1, network.shared, per_key, len(places), network.width)
    keys, values = (draw(1, network.shared, room, network.width) for _ in range(2))
    mask = torch.where(torch.arange(room) > places[:, None], -torch.inf, 0.0).to(query)[None, None]
    found = attended(query.flatten(2, 3), keys, values, mask.repeat(1, 1, per_key, 1), layer).view(query.shape)
    for number, place in enumerate(places.tolist()):
        for known in {network.room(place + 1), network.room(place + 120)}:
            own = mask[:, :, number : number + 1, :known]
            asking = F.pad(query[:, :, :, number], (0, 0, 0, -per_key % ROWS))
            alone = attended(asking, keys[:, :, :known], values[:, :, :known], own, layer)
            if not torch.equal(alone[:, :, :per_key], found[:, :, :, number]):
                return False
    return True
