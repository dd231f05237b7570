"""Shared rows: rollouts of one prompt are decoded as one row until they part. What a CPU samples with.

It looks at each token, so what is under way is kept in plain lists; only the model and the choice run on tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from rft_loop.model.attention import ROWS
from rft_loop.sampling.choose import Choice
from rft_loop.sampling.decoder import Decoder
from rft_loop.sampling.rollout import Answer

T = TypeVar("T")


@dataclass(slots=True)
class Lane:
    """A rollout that is under way, or has ended."""

    number: int
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class SharedRows:
    """Rows with a cache, to be used by one run after another."""

    def __init__(self, decoder: Decoder, ends: Tensor, rows: int, places: int) -> None:
        """Prompt and answer have at most `places` tokens together."""
        self.decoder, self.ends, self.rows, self.places = decoder, frozenset(ends.tolist()), rows, places
        decoder.network.reach(places)
        self.cache = decoder.cache(_up(rows), places)

    def run(self, prompts: Sequence[Sequence[int]], per_prompt: int, choice: Choice, rows: int) -> list[Answer]:
        """`per_prompt` answers to each prompt, in prompt order; at most so many are under way at once."""
        self.cache.zero_()  # what is not a number would outlast every mask
        self.prompts, self.per_prompt, self.choice = prompts, per_prompt, choice
        self.sharing: list[list[Lane]] = []  # the lanes of each row in use
        begun: list[Lane] = []
        total = len(prompts) * per_prompt
        while len(begun) < total or self.sharing:
            free = rows - len(self.lanes)
            if len(begun) < total and free >= max(per_prompt, rows // 4):
                begun += self._admit(len(begun) // per_prompt, free // per_prompt)
            self._part()
            if self.sharing:
                self._advance()
        return [(lane.tokens, lane.logprobs) for lane in begun]

    @property
    def lanes(self) -> list[Lane]:
        """Those under way, by row."""
        return [lane for lanes in self.sharing for lane in lanes]

    def _admit(self, begun: int, most: int) -> list[Lane]:
        """The rollouts of the next prompts, of at most so many, each run once, with their first token."""
        prompts = self.decoder.first_batch(self.prompts[begun : begun + most])
        many = self.per_prompt
        logits = self.decoder.prefill(prompts, self.cache, len(self.sharing))
        new = [Lane(begun * many + place) for place in range(len(prompts) * many)]
        self._take(logits.repeat_interleave(many, 0), new)
        self.sharing += [new[start : start + many] for start in range(0, len(new), many)]
        return new

    def _take(self, logits: Tensor, lanes: Sequence[Lane]) -> None:
        """Choose the next token of these lanes."""
        numbers = self.choice.numbers([lane.number for lane in lanes], [len(lane.tokens) for lane in lanes])
        chosen, logprobs = self.choice(logits, numbers)
        for lane, token, logprob in zip(lanes, chosen.tolist(), logprobs.tolist(), strict=True):
            lane.tokens.append(token)
            lane.logprobs.append(logprob)

    def _part(self) -> None:
        """Let go of the lanes that have ended; those that have parted get rows of their own, in use without gaps."""
        most, ends = self.choice.max_new_tokens, self.ends
        alike: dict[tuple[int, int], list[Lane]] = {}
        for row, lanes in enumerate(self.sharing):
            for lane in lanes:
                if (last := lane.tokens[-1]) not in ends and len(lane.tokens) < most:
                    alike.setdefault((row, last), []).append(lane)
        self.sharing, moved = seated(alike)
        if moved:
            to, source = torch.tensor(moved).T
            length = max(self._place(self.sharing[row][0]) for row, _ in moved)
            for layer in self.cache:
                layer[to, :length] = layer[source, :length]

    def _advance(self) -> None:
        """The next token of every lane."""
        rows = len(self.sharing)
        last = [lanes[0].tokens[-1] for lanes in self.sharing]
        places = [self._place(lanes[0]) for lanes in self.sharing]
        filled = [0] * (_up(rows) - rows)
        tokens, at = torch.tensor([last + filled, places + filled])
        logits = self.decoder.logits(tokens, at, self.cache, max(places) + 1)[:rows]
        lanes = self.lanes
        if rows < len(lanes):
            logits = logits[torch.tensor([row for row, sharing in enumerate(self.sharing) for _ in sharing])]
        self._take(logits, lanes)

    def _place(self, lane: Lane) -> int:
        """Of its last token, which has not been run."""
        return len(self.prompts[lane.number // self.per_prompt]) + len(lane.tokens) - 1


def seated(alike: Mapping[tuple[int, int], list[T]]) -> tuple[list[list[T]], list[tuple[int, int]]]:
    """The lanes of each row, and which rows are copied, (to, from).

    `alike` holds the lanes that are to share a row, by the row they had and their last token. As many rows are used,
    the first ones; those that keep their row stay in it.

    >>> seated({(0, 7): ["a", "c"], (0, 8): ["b"], (3, 7): ["d"]})
    ([['a', 'c'], ['d'], ['b']], [(1, 3), (2, 0)])
    """
    rows: list[list[T]] = [[] for _ in alike]
    parted = []
    for (row, _), lanes in alike.items():
        if row < len(rows) and not rows[row]:
            rows[row] = lanes
        else:
            parted.append((row, lanes))
    moved = []
    for to, lanes in enumerate(rows):
        if not lanes:
            source, rows[to] = parted.pop()
            moved.append((to, source))
    return rows, moved


def _up(rows: int) -> int:
    """So many rows are run, for products of rows that are left over are summed up otherwise."""
    return -(-rows // ROWS) * ROWS
