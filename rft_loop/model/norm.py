"""Norm: by the root mean square (Zhang and Sennrich 2019), for a CPU, where PyTorch has no kernel of its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, epsilon: Tensor) -> Tensor:
    """`weight` (width,) times `x` (..., width) over the root of its mean square plus epsilon (); float32 on the CPU."""
    if torch.is_grad_enabled():
        found: Tensor = _RmsNorm.apply(x, weight, epsilon)  # type: ignore[no-untyped-call]
        return found
    return (x * _over_root(x, epsilon)).mul_(weight)


def _over_root(x: Tensor, epsilon: Tensor) -> Tensor:
    """1 / sqrt(mean of squares + epsilon), (..., 1)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return torch.addcmul(epsilon, length, length, value=1 / x.shape[-1]).rsqrt_()


class _RmsNorm(torch.autograd.Function):
    """With a gradient in as few passes over memory."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: Tensor) -> Tensor:
        over = _over_root(x, epsilon)
        even = x * over
        ctx.save_for_backward(even, weight, over)
        return even * weight

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        even, weight, over = ctx.saved_tensors
        (gradient,) = gradients
        product = gradient * even
        along = (product @ weight).unsqueeze(-1)
        of_x = (gradient * weight).addcmul_(even, along, value=-1 / even.shape[-1]).mul_(over)
        return of_x, product.reshape(-1, len(weight)).sum(0), None
