"""Slots: rows of a fixed cache that rollouts are decoded in; one that ends makes room for the next.

Where it looks at each token (on a CPU), rollouts of one prompt share a row until they part. On a GPU the tokens between
two looks are one CUDA graph, made for each bucket of rows and length, and each rollout has a row of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from rft_loop.model.network import ROWS
from rft_loop.sampling.choose import Choice
from rft_loop.sampling.decoder import Decoder

STRIDE = {"cuda": 8}  # tokens between looks; a look waits for the device
LENGTH_BUCKET = {"cuda": 128}  # attention runs over a multiple of this many places
PREFILL_TOKENS = 16_384  # most prompt tokens of one forward pass, padding counted


class Slots:
    """Rows with a cache, to be used by one run after another."""

    def __init__(
        self,
        decoder: Decoder,
        ends: Tensor,
        rows: int,
        places: int,
        stride: int | None = None,
        bucket: int | None = None,
    ) -> None:
        """`rows` are decoded side by side, each of at most `places` tokens; stride and bucket: the device's."""
        device = ends.device
        self.decoder, self.ends, self.rows = decoder, ends, rows
        self.stride = stride or STRIDE.get(device.type, 1)
        self.bucket = bucket or LENGTH_BUCKET.get(device.type, 1)
        self.places = _up(places + self.stride, self.bucket)
        decoder.network.reach(self.places)
        self.multiple = 1 if device.type == "cuda" else ROWS  # so many rows, or several times as many, are run
        room = _up(rows, self.multiple)
        self.cache = decoder.cache(room, self.places)
        # Of each lane (a rollout that is under way): its rollout, last token, that token's place, number of tokens,
        # and whether it has ended.
        self.states = torch.zeros(4, room, dtype=torch.long, device=device)
        self.owner, self.token, self.place, self.count = self.states
        self.ended = torch.ones(room, dtype=torch.bool, device=device)
        self.most = torch.zeros((), dtype=torch.long, device=device)  # tokens of an answer
        # Of each step between two looks: random numbers, and what was chosen, with its number in the answer.
        self.uniform, self.logprob = torch.zeros(2, self.stride, rows, device=device)
        self.chosen, self.column = torch.zeros(2, self.stride, rows, dtype=torch.long, device=device)
        self.uses_graphs = device.type == "cuda" and decoder.network.lasts
        self.aside = torch.cuda.Stream() if self.uses_graphs else None  # type: ignore[no-untyped-call]
        self.graphs: dict[tuple[object, ...], Callable[[], None]] = {}
        self.pool = torch.cuda.graph_pool_handle() if self.uses_graphs else None  # memory that graphs share

    def run(self, prompts: Sequence[Sequence[int]], per_prompt: int, choice: Choice) -> tuple[Tensor, Tensor, Tensor]:
        """`per_prompt` rollouts of each prompt, in prompt order, at most `rows` at a time.

        Tokens and log-probs (rollouts, tokens), and lengths (rollouts,).
        """
        total, most = len(prompts) * per_prompt, choice.max_new_tokens
        self.prompts, self.per_prompt, self.choice = prompts, per_prompt, choice
        self.most.fill_(most)
        self.ended.fill_(True)
        device = self.ends.device
        self.tokens = torch.zeros(total, most + 1, dtype=torch.long, device=device)  # the last column: of the ended
        self.logprobs = torch.zeros(total, most + 1, device=device)
        self.lengths = torch.zeros(total, dtype=torch.long, device=device)
        self.row: list[int] = []  # of each lane, its row of the cache
        self.reached: list[int] = []  # and the place of its last token
        self.held = 0  # rows in use: the first so many, each with the lane of its own number and maybe further ones
        begun = 0
        while begun < len(prompts) or self.row:
            free = self.rows - len(self.row)
            if begun < len(prompts) and (free >= self.rows // 4 or not self.row):
                begun += self._admit(begun, free // per_prompt)
            self._look()
            if self.row:
                self._advance()
        return self.tokens[:, :most], self.logprobs[:, :most], self.lengths

    def _admit(self, begun: int, most: int) -> int:
        """Give free lanes to the rollouts of the next prompts, each run once; how many of at most so many prompts."""
        prompts = self.prompts[begun : begun + most]
        while len(prompts) > 1 and len(prompts) * max(map(len, prompts)) > PREFILL_TOKENS:
            prompts = prompts[: len(prompts) // 2]
        if not prompts:
            return 0
        start, many = len(self.row), len(prompts) * self.per_prompt
        new, device = slice(start, start + many), self.ends.device
        logits, lengths = self._prefill(prompts)
        self.owner[new] = torch.arange(many, device=device) + begun * self.per_prompt
        self.place[new] = lengths.repeat_interleave(self.per_prompt) - 1
        self.count[new] = 0
        self.ended[new] = False
        self._draw(new, 1)
        self._take(logits.repeat_interleave(self.per_prompt, 0), new, 0)
        self._write(new, 1)
        self.row += [self.held + number for number in range(len(prompts)) for _ in range(self.per_prompt)]
        self.reached += [len(prompt) for prompt in prompts for _ in range(self.per_prompt)]
        return len(prompts)

    def _prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Run prompts into the next rows of the cache; logits after each (prompts, vocabulary), and their lengths."""
        ids = torch.zeros(len(prompts), max(map(len, prompts)), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        device = self.ends.device
        lengths = torch.tensor([len(prompt) for prompt in prompts]).to(device)
        return self.decoder.prefill(ids.to(device), lengths, self.cache, self.held), lengths

    def _draw(self, lanes: slice, steps: int) -> None:
        """The random numbers of these lanes' next tokens."""
        self.uniform[:steps, lanes] = self.choice.numbers(self.owner[lanes], self.count[lanes], steps)

    def _take(self, logits: Tensor, lanes: slice, step: int) -> None:
        """Choose the next token of these lanes. What has ended goes on, to be written past the end."""
        chosen, logprob = self.choice(logits, self.uniform[step, lanes])
        ended, count = self.ended[lanes], self.count[lanes]
        self.chosen[step, lanes], self.logprob[step, lanes] = chosen, logprob
        self.column[step, lanes] = torch.where(ended, self.most, count)
        self.token[lanes] = chosen
        self.states[2:, lanes] += ~ended  # place and count
        ended |= (chosen[:, None] == self.ends).any(-1) | (count >= self.most)

    def _write(self, lanes: slice, steps: int) -> None:
        """Write down what these lanes have chosen."""
        owner, column = self.owner[lanes].expand(steps, -1), self.column[:steps, lanes]
        self.tokens[owner, column] = self.chosen[:steps, lanes]
        self.logprobs[owner, column] = self.logprob[:steps, lanes]

    def _look(self) -> None:
        """Let go of the lanes that have ended; those that have parted get rows of their own, in use without gaps."""
        live = len(self.row)
        ended = self.ended[:live].tolist()
        if (all_live := not any(ended)) and self.held == live:
            return
        if not all_live:
            self.lengths[self.owner[:live]] = self.count[:live]  # of those that go on, for the time being
        parts_unseen = self.stride > 1 or self.uses_graphs
        last = range(live) if parts_unseen else self.token[:live].tolist()
        alike: dict[tuple[int, int], list[int]] = {}
        for lane in range(live):
            if not ended[lane]:
                alike.setdefault((self.row[lane], last[lane]), []).append(lane)
        if all_live and len(alike) == self.held:
            return
        lanes_of, moved = seated(alike)
        order = [lanes[0] for lanes in lanes_of] + [lane for lanes in lanes_of for lane in lanes[1:]]
        if moved:
            to, source = torch.tensor(moved, device=self.ends.device).T
            length = max(self.reached[lanes_of[row][0]] for row, _ in moved)
            self.cache[:, to, :length] = self.cache[:, source, :length]
        if order != list(range(live)):
            kept = torch.tensor(order, dtype=torch.long, device=self.ends.device)
            self.states[:, : len(order)] = self.states[:, kept]
            self.ended[: len(order)] = False
            self.reached = [self.reached[lane] for lane in order]
        self.held = len(lanes_of)
        self.row = [*range(self.held), *(row for row, lanes in enumerate(lanes_of) for _ in lanes[1:])]

    def _advance(self) -> None:
        """The next `stride` tokens of every lane."""
        live, length = slice(0, len(self.row)), self._length(max(self.reached) + self.stride)
        self._draw(live, self.stride)
        if self.uses_graphs:
            self.place[live.stop :] = 0  # free lanes go along: let there be something that they see
            self._graph(min(self.rows, 1 << (live.stop - 1).bit_length()), length)()
        else:
            self._steps(live.stop, length)
        self._write(live, self.stride)
        self.reached = [place + self.stride for place in self.reached]

    def _length(self, places: int) -> int:
        """So many places or a few more: an eighth at most above 8 buckets, so that there are not too many lengths."""
        wide = 1 << max(0, places.bit_length() - 3) if self.bucket > 1 else 1
        return min(self.places, _up(places, max(self.bucket, wide)))

    def _steps(self, lanes: int, length: int) -> None:
        rows = lanes if self.held == len(self.row) else self.held
        run = _up(rows, self.multiple)
        for step in range(self.stride):
            logits = self.decoder.logits(self.token[:run], self.place[:run], self.cache, length)[:rows]
            if rows < lanes:
                logits = logits[torch.tensor(self.row)]
            self._take(logits, slice(0, lanes), step)

    def _graph(self, rows: int, length: int) -> Callable[[], None]:
        """`_steps` as one launch. It runs once before it is recorded; what that moved is put back."""
        assert self.held == len(self.row)  # what is recorded knows of no shared rows
        key = (rows, length, *self.choice.settings)
        if key not in self.graphs:
            states = (self.token, self.place, self.count, self.ended)
            before = [state.clone() for state in states]
            assert self.aside is not None
            self.aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.aside):
                self._steps(rows, length)
            torch.cuda.current_stream().wait_stream(self.aside)
            for state, was in zip(states, before, strict=True):
                state.copy_(was)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self.pool):
                self._steps(rows, length)
            self.graphs[key] = graph.replay
        return self.graphs[key]


def seated(alike: Mapping[tuple[int, int], list[int]]) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """The lanes of each row, and which rows are copied, (to, from).

    `alike` holds the lanes that are to share a row, by the row they had and their last token. As many rows are used,
    the first ones; those that keep their row stay in it.

    >>> seated({(0, 7): [0, 2], (0, 8): [1], (3, 7): [5]})
    ([[0, 2], [5], [1]], [(1, 3), (2, 0)])
    """
    rows: list[list[int]] = [[] for _ in alike]
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


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
