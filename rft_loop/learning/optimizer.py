"""Optimizer: AdamW in the recipe's variant, the learning rate of a step, and the state as it lies in a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from rft_loop.model.policy import Policy
from rft_loop.parallel.sharding import full, full_on_first, split_like
from rft_loop.recipe import Recipe


def make_optimizer(policy: Policy, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW over the weights that are trained. Raises ValueError where the variant's package is missing."""
    weights = policy.trained
    options: dict[str, Any] = {
        "lr": recipe.learning_rate,
        "betas": (0.9, 0.99),
        "weight_decay": recipe.weight_decay,
    }
    if recipe.optimizer == "adamw_8bit":
        return _adamw_8bit(weights, options)
    if recipe.offload_optimizer:
        return OffloadedAdamW(weights, **options)
    return torch.optim.AdamW(weights, fused=True, **options)


def learning_rate(peak: float, step: int, warmup_steps: int, steps: int, schedule: str) -> float:
    """The rate of one step, counted from 1: a linear rise, then constant, or falling to 0 past the last step."""
    if step <= warmup_steps:
        return peak * step / warmup_steps
    if schedule == "linear":
        return peak * (steps - step + 1) / (steps - warmup_steps)
    return peak


def clipped_step(optimizer: torch.optim.Optimizer, weights: list[Tensor], max_grad_norm: float) -> float:
    """Move the weights by their gradients, scaled down to a norm of at most so much; the norm that they had."""
    norm = get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    length = float(full(norm))
    if not length <= max_grad_norm:  # what is not a number reaches every weight, and is seen at once
        clip_grads_with_norm_(weights, max_grad_norm, norm)
    optimizer.step()
    return length


@torch.no_grad()
def weight_rms(weights: Sequence[Tensor]) -> float:
    """Root mean square of all weights."""
    return float(full(get_total_norm(weights))) / math.sqrt(sum(weight.numel() for weight in weights))


class OffloadedAdamW(torch.optim.AdamW):
    """AdamW whose state lies in main memory and whose step is made there: gradients go out, weights come back.

    The arithmetic is AdamW's own on copies of the weights, so on a CPU the weights are the same to the last bit.
    """

    def __init__(self, weights: list[Tensor], **options: Any) -> None:
        self.weights = weights
        super().__init__([weight.detach().to("cpu", copy=True) for weight in weights], fused=True, **options)

    def zero_grad(self, set_to_none: bool = True) -> None:
        for weight in self.weights:
            weight.grad = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        copies = [copy for group in self.param_groups for copy in group["params"]]
        for weight, copy in zip(self.weights, copies, strict=True):
            copy.copy_(weight)  # they may have been loaded since
            copy.grad = None if weight.grad is None else weight.grad.to("cpu")
        super().step(closure)
        for weight, copy in zip(self.weights, copies, strict=True):
            weight.copy_(copy)
            copy.grad = None


def _adamw_8bit(weights: list[Tensor], options: dict[str, Any]) -> torch.optim.Optimizer:
    """Both moments in blocks of 8-bit numbers (Dettmers et al. 2021, arXiv 2110.02861)."""
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError:
        raise ValueError(
            "optimizer=adamw_8bit needs the package bitsandbytes, which is not installed; "
            "install it, or use optimizer=adamw, with offload_optimizer=true where memory is short"
        ) from None
    return AdamW8bit(weights, **options)  # type: ignore[no-any-return]


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as one flat table for a file: `<weight's index>.<name>`, deeper names dotted again."""
    found, seen = _flat(optimizer.state_dict()["state"]), set()
    for key, tensor in found.items():
        if tensor.data_ptr() in seen:  # bitsandbytes' weights share their tables, which a file cannot
            found[key] = tensor.clone()
        seen.add(tensor.data_ptr())
    return found


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put such a table into a fresh optimiser over the same weights."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        index, *groups, name = key.split(".")
        place = state.setdefault(int(index), {})
        for group in groups:
            place = place.setdefault(group, {})
        # Cloned to lie as memory of its own does, as weights are (see `load_pretrained`).
        place[name] = int(tensor) if _is_count(tensor) else split_like(tensor.clone(), weights[int(index)])
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def _flat(table: Mapping[Any, Any]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= {f"{key}.{name}": tensor for name, tensor in _flat(value).items()}
        elif isinstance(value, Tensor):
            found[str(key)] = full_on_first(value).contiguous()
        else:
            found[str(key)] = torch.tensor(int(value))
    return found


def _is_count(tensor: Tensor) -> bool:
    """bitsandbytes counts its steps in a plain integer; AdamW in a float32 tensor."""
    return tensor.ndim == 0 and tensor.dtype == torch.int64
