"""Packed: the trainer's forward pass through the network, prompts and answers end to end.

A prompt stands once for all its answers; of short answers, so does what they begin with alike. Attention alone pads
rows; everything else sees each token once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rft_loop.learning.prefix_tree import PrefixTree
from rft_loop.model.network import Hear, Layer, Network, attention

ONE_ROW = 64  # trees of so many tokens together cost less as one row, each blind to the others, than a row each
TREE = 256  # most tokens of a tree: it is built on the host, and its mask has room for every pair
KEYS = {"cuda": 8}  # kernels copy a mask in every layer unless it has a multiple of so many keys
NEVER = 2**30  # a place that no token can look back to


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
    return _taken(network.hidden(network.live(), ids, places, packed.hear), before)


def arranged(
    network: Network, prompts: Sequence[Sequence[int]], owner: Sequence[int], answers: Sequence[Sequence[int]]
) -> Packed:
    """In the way that costs less."""
    return _as_trees(network, prompts, owner, answers) or _row_by_row(network, prompts, owner, answers)


def _as_trees(
    network: Network, prompts: Sequence[Sequence[int]], owner: Sequence[int], answers: Sequence[Sequence[int]]
) -> Packed | None:
    """Each prompt and its answers as a tree of what they begin with; None where that costs more than row by row."""
    if max(map(len, prompts)) + max(map(len, answers)) > TREE:
        return None
    trees = [PrefixTree() for _ in prompts]
    asked = [tree.add(prompt) for tree, prompt in zip(trees, prompts, strict=True)]
    paths = []
    for answer, number in zip(answers, owner, strict=True):
        last = asked[number][-1]
        paths.append([last, *trees[number].add(answer[:-1], last)])  # nothing comes after an answer's last token
        if len(trees[number]) > TREE:
            return None
    begins = [0, *accumulate(map(len, trees))]
    if begins[-1] > ONE_ROW and _cost_together(network, trees) > _cost_alone(network, prompts, answers):
        return None
    ids = [token for tree in trees for token in tree.tokens]
    places = [place for tree in trees for place in tree.places]
    before = [begins[number] + at for path, number in zip(paths, owner, strict=True) for at in path]
    return Packed(torch.tensor(ids), torch.tensor(places), torch.tensor(before), _hear_within(network, trees))


def _cost_together(network: Network, trees: Sequence[PrefixTree]) -> int:
    """Operations of a layer where each tree is a row; all are padded to the largest."""
    return network.operations(sum(map(len, trees)), len(trees) * max(map(len, trees)) ** 2)


def _cost_alone(network: Network, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]) -> int:
    """Operations of a layer row by row, each answer on top of its prompt."""
    asked, answered = max(map(len, prompts)), max(map(len, answers)) - 1
    tokens = sum(map(len, prompts)) + sum(map(len, answers)) - len(answers)
    return network.operations(tokens, len(prompts) * asked**2 + len(answers) * answered * (asked + answered))


def _hear_within(network: Network, trees: Sequence[PrefixTree]) -> Hear:
    """Tokens hear those they come after. Each tree is a row to the attention, or all together where they are small."""
    rows = [trees] if sum(map(len, trees)) <= ONE_ROW else [[tree] for tree in trees]
    device = network.device
    filled = there([sum(map(len, row)) for row in rows])
    filled = F.pad(filled, (0, -filled.shape[1] % KEYS.get(device.type, 1)))
    shape = filled.shape
    places, parents = np.zeros(shape, np.int32), np.full(shape, -1)
    for number, row in enumerate(rows):
        begin = 0
        for tree in row:
            part = slice(begin, begin + len(tree))
            places[number, part] = tree.places
            parents[number, part] = [-1 if parent < 0 else parent + begin for parent in tree.parents]
            begin += len(tree)
    heard = np.repeat(np.eye(shape[1], dtype=bool)[None], shape[0], 0)  # what pads a row hears itself
    for place in range(1, int(places.max()) + 1):  # those before are known by then
        of, at = np.nonzero(places == place)
        heard[of, at] |= heard[of, parents[of, at]]
    where = torch.from_numpy(places).to(device)
    apart = torch.where(torch.from_numpy(heard).to(device), where[:, :, None] - where[:, None], -1)
    padding, masks = _Padding(filled.to(device)), network.masks(apart)

    def hear(number: int, layer: Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        q, k, v = (padding.padded(side) for side in (query, key, value))
        return padding.packed(attention(q, k.transpose(1, 2), v.transpose(1, 2), masks[layer.window], layer))

    return hear


def _row_by_row(
    network: Network, prompts: Sequence[Sequence[int]], owner: Sequence[int], answers: Sequence[Sequence[int]]
) -> Packed:
    """Prompts hear themselves; each answer hears its prompt and itself."""
    device = network.device
    begun = [answer[:-1] for answer in answers]  # nothing comes after an answer's last token
    asked, answered = (there([len(part) for part in parts]) for parts in (prompts, begun))
    lengths, of = asked.sum(1), torch.tensor(owner)
    ids = torch.tensor([token for part in (*prompts, *begun) for token in part])
    asked_at = torch.arange(asked.shape[1]).expand(asked.shape)
    answered_at = lengths[of][:, None] + torch.arange(answered.shape[1])
    places = torch.cat([asked_at[asked], answered_at[answered]])
    # An answer's first token comes after its prompt's last, the others after the one before them.
    count = int(lengths.sum())
    after = torch.full(answered.shape, 0).masked_scatter(answered, torch.arange(count, len(ids)))
    before = torch.cat([(lengths.cumsum(0) - 1)[of][:, None], after], 1)
    before = before[there([len(answer) for answer in answers])]
    return Packed(ids, places, before, _hear_row_by_row(network, asked.to(device), answered.to(device), of.to(device)))


def there(lengths: Sequence[int]) -> Tensor:
    """Where rows of these lengths have a token, (rows, longest)."""
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def _hear_row_by_row(network: Network, asked: Tensor, answered: Tensor, owner: Tensor) -> Hear:
    """`asked` (prompts, width) and `answered` (answers, width): where each has a token; `owner` (answers,)."""
    answered = F.pad(answered, (0, -(asked.shape[1] + answered.shape[1]) % KEYS.get(asked.device.type, 1)))
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
        self.full = len(self.at) == there.numel()

    def padded(self, tokens: Tensor) -> Tensor:
        """(tokens, heads, head width) as (rows, width, heads, head width), 0 where there is no token."""
        rows, width = self.shape
        if self.full:
            return tokens.view(rows, width, *tokens.shape[1:])
        empty = tokens.new_zeros(rows * width, *tokens.shape[1:])
        return empty.index_copy(0, self.at, tokens).view(rows, width, *tokens.shape[1:])

    def packed(self, rows: Tensor) -> Tensor:
        """The way back: (rows, width, hidden) as (tokens, hidden)."""
        return rows.flatten(0, 1) if self.full else rows.flatten(0, 1).index_select(0, self.at)
