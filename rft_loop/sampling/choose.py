"""Choose: the next token of each row, with the log-prob under which it was drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, what SplitMix64 counts by


class Choice:
    """How the next tokens are drawn: the temperature, what is left out, and every rollout's own random numbers.

    A rollout's numbers are a stream of SplitMix64 (Steele, Lea and Flood 2014) of the seed, its prompt's number and
    its own within the group, so that neither what is decoded beside it nor on how many devices changes what is drawn.
    """

    def __init__(
        self,
        temperature: float,
        seed: int,
        names: Sequence[tuple[int, int]],
        max_new_tokens: int,
        top_k: int | None = None,
        top_p: float = 1.0,
    ) -> None:
        self.temperature, self.top_k, self.top_p = temperature, top_k, top_p
        self.max_new_tokens = max_new_tokens
        if temperature == 0:
            self.uniform = torch.zeros(1, 1).expand(len(names), max_new_tokens)
        else:
            self.uniform = torch.from_numpy(_uniform(seed, names, max_new_tokens))

    @property
    def settings(self) -> tuple[object, ...]:
        """What a recorded graph of the choice depends on."""
        return self.temperature, self.top_k, self.top_p

    def to(self, device: torch.device) -> None:
        self.uniform = self.uniform.to(device)

    def numbers(self, rollouts: Tensor | Sequence[int], counts: Tensor | Sequence[int]) -> Tensor:
        """The random numbers of these rollouts' tokens of these numbers, shaped as the two are together."""
        return self.uniform[rollouts, counts]

    def __call__(self, logits: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Token and log-prob of each row, (rows,) each."""
        scaled = truncated(logits / (self.temperature or 1.0), self.top_k, self.top_p)
        logprobs = torch.log_softmax(scaled, -1)
        if self.temperature == 0:
            chosen = scaled.argmax(-1, keepdim=True)
        else:
            sums = logprobs.exp().cumsum(-1)
            chosen = torch.searchsorted(sums, uniform[:, None] * sums[:, -1:], right=True)
            chosen = chosen.clamp(max=logits.shape[-1] - 1)
            if self.top_k is not None or self.top_p < 1.0:
                # A sum in parallel may rise where nothing is added; what has been left out is not drawn even then.
                left_out = scaled.gather(-1, chosen) == torch.finfo(scaled.dtype).min
                chosen = torch.where(left_out, scaled.argmax(-1, keepdim=True), chosen)
        return chosen[:, 0], logprobs.gather(-1, chosen)[:, 0]


def truncated(logits: Tensor, top_k: int | None, top_p: float, keep: Tensor | None = None) -> Tensor:
    """Logits with those of left-out tokens so low that their probability is 0; (..., vocabulary).

    top_k keeps the likeliest k (Fan et al. 2018); top_p the fewest likeliest whose probabilities sum to p (Holtzman et
    al. 2020). `keep` (...,) are tokens that stay in any case: those that were drawn.
    """
    if top_k is None and top_p >= 1.0:
        return logits
    with torch.no_grad():
        ordered, order = logits.sort(-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        out = before >= top_p
        if top_k is not None:
            out |= torch.arange(logits.shape[-1], device=logits.device) >= top_k
        out[..., 0] = False
        out = out.scatter(-1, order, out)
        if keep is not None:
            out = out.scatter(-1, keep[..., None], False)
    return logits.masked_fill(out, torch.finfo(logits.dtype).min)


def _uniform(seed: int, names: Sequence[tuple[int, int]], count: int) -> np.ndarray:
    """(rollouts, count) numbers in [0, 1), a little under 1: their product with a sum is below the sum in float32."""
    prompts, numbers = np.array(names, dtype=np.uint64).T
    streams = _mixed(_mixed(_mixed(np.array([seed % 2**64], dtype=np.uint64)) + prompts) + numbers)
    bits = _mixed(streams[:, None] + np.arange(1, count + 1, dtype=np.uint64) * GOLDEN) >> np.uint64(40)
    return bits.astype(np.float32) * np.float32(2**-24 * (1 - 2**-20))


def _mixed(x: np.ndarray) -> np.ndarray:
    """SplitMix64's output function, a permutation of 64 bits (Steele, Lea and Flood 2014, figure 13)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed
