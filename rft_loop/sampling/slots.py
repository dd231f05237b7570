"""Slots: rows of a fixed cache that rollouts are decoded in; one that ends makes room for the next.

On a GPU the tokens between two looks at what has ended are one CUDA graph, made for each bucket of rows and length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

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
        self.cache = decoder.cache(rows, self.places)
        # Of each row: its rollout, its last token, that token's place, its number of tokens, whether it has ended.
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
        self.reached: list[int] = []  # of each live row, the place of its last token
        begun = 0
        while begun < len(prompts) or self.reached:
            free = self.rows - len(self.reached)
            if begun < len(prompts) and (free >= self.rows // 4 or not self.reached):
                begun += self._admit(begun, free // per_prompt)
            self._look()
            if self.reached:
                self._advance()
        return self.tokens[:, :most], self.logprobs[:, :most], self.lengths

    def _admit(self, begun: int, most: int) -> int:
        """Give free rows to the rollouts of the next prompts, each run once; how many of at most so many prompts."""
        prompts = self.prompts[begun : begun + most]
        while len(prompts) > 1 and len(prompts) * max(map(len, prompts)) > PREFILL_TOKENS:
            prompts = prompts[: len(prompts) // 2]
        if not prompts:
            return 0
        start, many = len(self.reached), len(prompts) * self.per_prompt
        new, device = slice(start, start + many), self.ends.device
        logits, lengths = self._prefill(prompts, start)
        self.owner[new] = torch.arange(many, device=device) + begun * self.per_prompt
        self.place[new] = lengths.repeat_interleave(self.per_prompt) - 1
        self.count[new] = 0
        self.ended[new] = False
        self._draw(new, 1)
        self._take(logits.repeat_interleave(self.per_prompt, 0), new, 0)
        self._write(new, 1)
        self.reached += [len(prompt) for prompt in prompts for _ in range(self.per_prompt)]
        return len(prompts)

    def _prefill(self, prompts: Sequence[Sequence[int]], start: int) -> tuple[Tensor, Tensor]:
        """Run prompts into the cache of their rows; logits after each (prompts, vocabulary), and their lengths."""
        ids = torch.zeros(len(prompts), max(map(len, prompts)), dtype=torch.long)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        device = self.ends.device
        lengths = torch.tensor([len(prompt) for prompt in prompts]).to(device)
        return self.decoder.prefill(ids.to(device), lengths, self.cache, start, self.per_prompt), lengths

    def _draw(self, rows: slice, steps: int) -> None:
        """The random numbers of these rows' next tokens."""
        self.uniform[:steps, rows] = self.choice.numbers(self.owner[rows], self.count[rows], steps)

    def _take(self, logits: Tensor, rows: slice, step: int) -> None:
        """Choose the next token of these rows. What has ended goes on, to be written past the end."""
        chosen, logprob = self.choice(logits, self.uniform[step, rows])
        ended = self.ended[rows]
        self.chosen[step, rows], self.logprob[step, rows] = chosen, logprob
        self.column[step, rows] = torch.where(ended, self.most, self.count[rows])
        self.token[rows] = chosen
        self.place[rows] = (self.place[rows] + 1).clamp(max=self.places - 1)
        self.count[rows] += ~ended
        self.ended[rows] = ended | (chosen[:, None] == self.ends).any(-1) | (self.count[rows] >= self.most)

    def _write(self, rows: slice, steps: int) -> None:
        """Write down what these rows have chosen."""
        owner, column = self.owner[rows].expand(steps, -1), self.column[:steps, rows]
        self.tokens[owner, column] = self.chosen[:steps, rows]
        self.logprobs[owner, column] = self.logprob[:steps, rows]

    def _look(self) -> None:
        """Let go of the rows that have ended: live ones from the far end are moved into their places."""
        live = len(self.reached)
        ended = self.ended[:live].tolist()
        if not any(ended):
            return
        self.lengths[self.owner[:live]] = self.count[:live]  # of those that go on, for the time being
        left = live - sum(ended)
        holes = [row for row in range(left) if ended[row]]
        movers = [row for row in range(left, live) if not ended[row]]
        if holes:
            to, source = (torch.tensor(rows, device=self.ends.device) for rows in (holes, movers))
            self.states[:, to], self.ended[to] = self.states[:, source], self.ended[source]
            length = max(self.reached) + 1
            for layer in self.cache:
                layer[to, ..., :length, :] = layer[source, ..., :length, :]
            for hole, mover in zip(holes, movers, strict=True):
                self.reached[hole] = self.reached[mover]
        self.ended[left:live] = True
        del self.reached[left:]

    def _advance(self) -> None:
        """The next `stride` tokens of every live row."""
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
        part = slice(0, rows)
        for step in range(self.stride):
            self._take(self.decoder.logits(self.token[part], self.place[part], self.cache, length), part, step)

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
