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

from rft_loop.model.attention import ROWS, attention
from rft_loop.model.network import Hear, Layer, Network

APART = 2**22  # multiplications of a layer that have to be spared for prompts to get rows of their own, roughly

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
    width, along = int(asked.max()), np.arange(at.shape[1])
    rows, answers = _Rows(at, new), _Rows(at, new & (along >= asked[:, None]))
    saved = rows.pairs - answers.pairs - len(opening) * width**2
    apart = 2 * network.heads * network.width * saved > APART  # prompts by themselves, and answers on top of them
    rows = answers if apart else rows
    prompts = at[opening, : width if apart else 0]
    # What is heard lies in one row after another, the prompts' first: where that of each token is.
    heard_at = np.full(at.shape, -1)
    heard_at[opening, : prompts.shape[1]] = np.arange(prompts.size).reshape(prompts.shape)
    heard_at[rows.lines[:, None], rows.places] = prompts.size + np.arange(rows.asking.size).reshape(rows.asking.shape)

    def sent(numbers: Numbers) -> Tensor:
        return torch.from_numpy(numbers).to(network.device)

    prompts_at, asking_at, keys_at, tokens_at = map(sent, (prompts, rows.asking, rows.keys, heard_at[new]))
    behind = sent(rows.places.astype(np.int32))[:, :, None] - sent(along.astype(np.int32))
    masks, in_order = network.masks(behind), network.in_order(width) if apart else None

    def hear(number: int, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heard = []
        if in_order is not None:
            heard.append(in_order(layer, *(_taken(side, prompts_at) for side in (query, key, value))))
        if len(asking_at):
            k, v = (_taken(side, keys_at).transpose(1, 2) for side in (key, value))
            heard.append(attention(_taken(query, asking_at), k, v, masks[layer.window], layer))
        return torch.cat([part.flatten(0, 1) for part in heard]).index_select(0, tokens_at)

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
