"""Log-probs of tokens from hidden states, in chunks: the logits of a large vocabulary never exist all at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from rft_loop.learning.loss import token_entropy
from rft_loop.sampling.choose import truncated

MOST_LOGITS = 2**25  # numbers of one chunk: 128 MB in float32


def token_logprobs(
    head: Callable[[Tensor], Tensor],
    hidden: Tensor,
    tokens: Tensor,
    temperature: float,
    learn_entropy: bool = False,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Log-prob of each token and entropy of its distribution in nats, (tokens,) each; `hidden` is (tokens, width).

    Differentiable, the entropy only where it is to be learned from. What `top_k` and `top_p` leave out is left out of
    the distribution, as it was in sampling. A batch whose logits exceed `MOST_LOGITS` goes through in chunks whose
    logits are made again for the gradient: memory for one chunk, for one more projection.
    """

    def chunk(part: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        everything = torch.log_softmax(truncated(head(part).float() / temperature, top_k, top_p, chosen), dim=-1)
        with torch.set_grad_enabled(learn_entropy and torch.is_grad_enabled()):
            entropy = token_entropy(everything)
        return everything.gather(-1, chosen[:, None])[:, 0], entropy

    rows = max(1, MOST_LOGITS // head(hidden[:1].detach()).shape[-1])
    if len(hidden) <= rows:
        return chunk(hidden, tokens)
    pieces = zip(torch.split(hidden, rows), torch.split(tokens, rows), strict=True)
    found = [checkpoint(chunk, part, chosen, use_reentrant=False) for part, chosen in pieces]
    return torch.cat([logprobs for logprobs, _ in found]), torch.cat([entropy for _, entropy in found])
