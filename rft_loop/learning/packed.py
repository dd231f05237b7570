"""Packed: the trainer's forward pass through the network, prompts and answers end to end.

What several of them begin with alike stands once, and everything but attention sees it once. That runs over rows, in
which keys stand in the order of their places, as in the sampler's cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rft_loop.model.network import ROWS, Hear, Layer, Network, attention

APART = 2**22  # where it saves a layer so many multiplications, prompts have rows of their own

Numbers: TypeAlias = npt.NDArray[Any]


class Packed(NamedTuple):
    """Tokens end to end, and how they hear each other."""

    ids: Tensor  # (tokens,)
    places: Tensor  # (tokens,)
    before: Tensor  # of each token of each answer, where the one before it stands; (answers' tokens,)
    hear: Hear


def packed_states(
    network: Network, prompts: Sequence[Sequence[int]], owner: Sequence[int], answers: Sequence[Sequence[int]]
) -> Tensor:
    """The hidden state before each token of each answer, in their order: (tokens, hidden); differentiable.

    `owner` (answers,) is the prompt of each.
    """
    packed = arranged(network, prompts, owner, answers)
    network.refresh()
    network.reach(int(packed.places.max()) + 1)
    ids, places, before = (part.to(network.device) for part in packed[:3])
    return F.embedding(before, network.hidden(network.live(), ids, places, packed.hear))


def arranged(
    network: Network, prompts: Sequence[Sequence[int]], owner: Sequence[int], answers: Sequence[Sequence[int]]
) -> Packed:
    """All as one prefix tree (Fredkin 1960): of prompts with answers, in sorted order, each adds what is new in it."""
    ranks = np.argsort(sorted(range(len(prompts)), key=lambda number: tuple(prompts[number])))
    order = sorted(range(len(answers)), key=lambda number: (ranks[owner[number]], tuple(answers[number])))
    # Nothing comes after an answer's last token.
    lines = [[*prompts[owner[number]], *answers[number][:-1]] for number in order]
    room = network.room(max(map(len, lines)))
    filled = there([len(line) for line in lines], room).numpy()
    ids = np.full(filled.shape, -1)
    ids[filled] = [token for line in lines for token in line]
    known = np.zeros_like(filled)
    known[1:] = np.logical_and.accumulate((ids[1:] == ids[:-1]) & filled[1:], 1)
    new = filled & ~known
    at = np.maximum.accumulate(np.where(new, new.cumsum().reshape(new.shape) - 1, 0), 0)
    _, opening = np.unique([ranks[owner[number]] for number in order], return_index=True)
    asked = np.array([len(prompts[owner[number]]) for number in order])
    before = [
        at[line, len(prompts[of]) - 1 :][: len(answer)]
        for line, of, answer in zip(np.argsort(order), owner, answers, strict=True)
    ]
    parts = [torch.from_numpy(part) for part in (ids[new], new.nonzero()[1], np.concatenate(before))]
    return Packed(parts[0], parts[1], parts[2], _hear(network, at, new, asked, opening))


def there(lengths: Sequence[int], width: int | None = None) -> Tensor:
    """Where rows of these lengths have a token, (rows, width); as wide as the longest."""
    return torch.arange(width or max(lengths)) < torch.tensor(lengths)[:, None]


def _hear(network: Network, at: Numbers, new: Numbers, asked: Numbers, opening: Numbers) -> Hear:
    """Tokens hear what stands before them in the line that they are new in.

    `at` and `new` (lines, room): of each place its token, and whether that is new; `asked` (lines,): how long its
    prompt is; `opening` (prompts,): the first line of each prompt.
    """
    device, width = network.device, int(asked.max())
    rows, answers = _Rows(at, new), _Rows(at, new & (np.arange(at.shape[1]) >= asked[:, None]))
    saved = rows.pairs - answers.pairs - len(opening) * width**2
    heard_at, count = np.full(at.shape, -1), 0  # of each place, where it is among all that are heard
    if apart := 2 * network.heads * network.width * saved > APART:
        rows, count = answers, len(opening) * width
        heard_at[opening, :width] = np.arange(count).reshape(-1, width)
        prompts, in_order = torch.from_numpy(at[opening, :width]).to(device), network.in_order(width)
    heard_at[rows.lines[:, None], rows.places] = count + np.arange(rows.asking.size).reshape(rows.asking.shape)
    asking, keys, heard_of = (torch.from_numpy(part).to(device) for part in (rows.asking, rows.keys, heard_at[new]))
    back = rows.places[:, :, None] - np.arange(at.shape[1])
    masks = network.masks(torch.from_numpy(back).to(device))

    def hear(number: int, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heard = []
        if apart:
            heard.append(in_order(layer, *(_taken(side, prompts) for side in (query, key, value))))
        if len(asking):
            k, v = (_taken(side, keys).transpose(1, 2) for side in (key, value))
            heard.append(attention(_taken(query, asking), k, v, masks[layer.window], layer))
        return torch.cat([rows.flatten(0, 1) for rows in heard]).index_select(0, heard_of)

    return hear


class _Rows:
    """Lines in which some tokens are wanted: from where on each of them is asked, over all its places."""

    def __init__(self, at: Numbers, wanted: Numbers) -> None:
        """`at` and `wanted` (lines, room): of each place its token, and whether that is wanted."""
        room = at.shape[1]
        self.lines = np.flatnonzero(wanted.any(1))
        wanted, self.keys = wanted[self.lines], at[self.lines]
        begin, end = wanted.argmax(1), room - wanted[:, ::-1].argmax(1)
        most = -(-int((end - begin).max(initial=0)) // ROWS) * ROWS
        if len(begin) and end.max() - begin.min() <= most:
            begin = begin.min(keepdims=True)  # one mask serves all
        self.places = np.minimum(begin, room - most)[:, None] + np.arange(most)  # (lines or 1, asking)
        self.asking = np.take_along_axis(self.keys, np.broadcast_to(self.places, (len(self.lines), most)), 1)
        self.pairs = self.asking.size * room


def _taken(tokens: Tensor, at: Tensor) -> Tensor:
    """`tokens[at]`, but for the gradient of what is taken several times: threads would add that up as they come."""
    return F.embedding(at, tokens.flatten(1)).view(*at.shape, *tokens.shape[1:])
