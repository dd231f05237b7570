"""Slots: rows of a fixed cache that rollouts are decoded in; one that ends makes room for the next.

What a GPU samples with: everything is kept on the device, which is looked at once in several tokens. Those between two
looks are one CUDA graph, made for each bucket of rows and length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rft_loop.sampling.choose import Choice
from rft_loop.sampling.decoder import Decoder
from rft_loop.sampling.rollout import Answer, unpadded

STRIDE = {"cuda": 8}  # tokens between looks; a look waits for the device
LENGTH_BUCKET = {"cuda": 128}  # attention runs over a multiple of this many places


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
        self.places = _up(places, self.bucket)
        decoder.network.reach(self.places)
        self.cache = decoder.cache(rows, self.places)
        # Of each row: its rollout, last token, that token's place, number of tokens, and whether it has ended.
        self.states = torch.zeros(4, rows, dtype=torch.long, device=device)
        self.owner, self.token, self.place, self.count = self.states
        self.ended = torch.ones(rows, dtype=torch.bool, device=device)
        self.most = torch.zeros((), dtype=torch.long, device=device)  # tokens of an answer
        # Of each step between two looks: random numbers, and what was chosen, with its number in the answer.
        self.uniform, self.logprob = torch.zeros(2, self.stride, rows, device=device)
        self.chosen, self.column = torch.zeros(2, self.stride, rows, dtype=torch.long, device=device)
        self.uses_graphs = device.type == "cuda" and decoder.network.lasts
        self.aside = torch.cuda.Stream() if self.uses_graphs else None  # type: ignore[no-untyped-call]
        self.graphs: dict[tuple[object, ...], Callable[[], None]] = {}
        self.pool = torch.cuda.graph_pool_handle() if self.uses_graphs else None  # memory that graphs share

    def run(self, prompts: Sequence[Sequence[int]], per_prompt: int, choice: Choice, rows: int) -> list[Answer]:
        """`per_prompt` answers to each prompt, in prompt order; at most so many are under way at once."""
        self.cache.zero_()  # what is not a number would outlast every mask
        total, most = len(prompts) * per_prompt, choice.max_new_tokens
        self.prompts, self.per_prompt, self.choice = prompts, per_prompt, choice
        self.most.fill_(most)
        self.ended.fill_(True)
        device = self.ends.device
        self.tokens = torch.zeros(total, most + 1, dtype=torch.long, device=device)  # the last column: of the ended
        self.logprobs = torch.zeros(total, most + 1, device=device)
        self.lengths = torch.zeros(total, dtype=torch.long, device=device)
        self.reached: list[int] = []  # of each row in use, which are the first ones, the place of its last token
        begun = 0
        while begun < len(prompts) or self.reached:
            free = rows - len(self.reached)
            if begun < len(prompts) and free >= max(per_prompt, rows // 4):
                begun += self._admit(begun, free // per_prompt)
            self._look()
            if self.reached:
                self._advance()
        return unpadded(self.tokens, self.logprobs, self.lengths)

    def _admit(self, begun: int, most: int) -> int:
        """Give free rows to the next prompts' rollouts; how many prompts of at most so many. Each is run once."""
        prompts = self.decoder.first_batch(self.prompts[begun : begun + most])
        lengths = [len(prompt) for prompt in prompts for _ in range(self.per_prompt)]
        start, many, device = len(self.reached), len(lengths), self.ends.device
        logits = self.decoder.prefill(prompts, self.cache, start)
        for layer in self.cache:
            asked = layer[start : start + len(prompts), : max(lengths)]
            layer[start : start + many, : max(lengths)] = asked.repeat_interleave(self.per_prompt, 0)
        new = slice(start, start + many)
        self.owner[new] = torch.arange(many, device=device) + begun * self.per_prompt
        self.place[new] = torch.tensor(lengths).to(device) - 1
        self.count[new] = 0
        self.ended[new] = False
        self._draw(new, 1)
        self._take(logits.repeat_interleave(self.per_prompt, 0), new, 0)
        self._write(new, 1)
        self.reached += lengths
        return len(prompts)

    def _draw(self, rows: slice, steps: int) -> None:
        """The random numbers of these rows' next tokens."""
        counts = self.count[rows] + torch.arange(steps, device=self.ends.device)[:, None]
        counts = counts.clamp(max=self.choice.max_new_tokens - 1)  # past the end nothing is kept
        self.uniform[:steps, rows] = self.choice.numbers(self.owner[rows], counts)

    def _take(self, logits: Tensor, rows: slice, step: int) -> None:
        """Choose the next token of these rows. What has ended goes on in its place, to be written past the end."""
        chosen, logprob = self.choice(logits, self.uniform[step, rows])
        ended, count = self.ended[rows], self.count[rows]
        self.chosen[step, rows], self.logprob[step, rows] = chosen, logprob
        self.column[step, rows] = torch.where(ended, self.most, count)
        self.token[rows] = chosen
        self.states[2:, rows] += ~ended  # place and count
        ended |= (chosen[:, None] == self.ends).any(-1) | (count >= self.most)

    def _write(self, rows: slice, steps: int) -> None:
        """Write down what these rows have chosen."""
        owner, column = self.owner[rows].expand(steps, -1), self.column[:steps, rows]
        self.tokens[owner, column] = self.chosen[:steps, rows]
        self.logprobs[owner, column] = self.logprob[:steps, rows]

    def _look(self) -> None:
        """Let go of the rollouts that have ended; the others move together."""
        in_use = len(self.reached)
        ended = self.ended[:in_use].tolist()
        if not any(ended):
            return
        self.lengths[self.owner[:in_use]] = self.count[:in_use]  # of those that go on, for the time being
        left = in_use - sum(ended)
        free = [row for row in range(left) if ended[row]]
        behind = [row for row in range(left, in_use) if not ended[row]]
        if free:
            to, source = torch.tensor([free, behind]).to(self.ends.device)
            length = max(self.reached[row] for row in behind)
            for layer in self.cache:
                layer[to, :length] = layer[source, :length]
            self.states[:, to] = self.states[:, source]
            for row, other in zip(free, behind, strict=True):
                self.reached[row] = self.reached[other]
        self.ended[:left], self.ended[left:] = False, True
        del self.reached[left:]

    def _advance(self) -> None:
        """The next `stride` tokens of every row in use."""
        live, length = slice(0, len(self.reached)), self._length(max(self.reached) + self.stride)
        self._draw(live, self.stride)
        if self.uses_graphs:
            self.place[live.stop :] = 0  # free rows go along: let there be something that they see
            self._graph(min(self.rows, 1 << (live.stop - 1).bit_length()), length)()
        else:
            self._steps(live.stop, length)
        self._write(live, self.stride)
        self.reached = [place + self.stride for place in self.reached]

    def _length(self, places: int) -> int:
        """So many places or a few more: an eighth at most above 8 buckets, so that there are not too many lengths."""
        wide = 1 << max(0, places.bit_length() - 3) if self.bucket > 1 else 1
        return min(self.places, _up(places, max(self.bucket, wide)))

    def _steps(self, rows: int, length: int) -> None:
        for step in range(self.stride):
            logits = self.decoder.logits(self.token[:rows], self.place[:rows], self.cache, length)
            self._take(logits, slice(0, rows), step)

    def _graph(self, rows: int, length: int) -> Callable[[], None]:
        """`_steps` as one launch. It runs once before it is recorded; what that moved is put back."""
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


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
