"""Gradient checkpointing: a layer's activations are thrown away and made again for the gradient (Chen et al. 2016).

The network does so itself. Of models that are trained through transformers the layers are wrapped: transformers' way
switches the key-value cache off and works in training mode alone; here the answers of a group share their prompt's
cache in training too, and the model stays in evaluation mode. So each layer is wrapped with the cache as it stood
before the layer, and the second run sees what the first one saw.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from rft_loop.model.policy import Policy


def recompute_layers(policy: Policy, to_be_sharded: bool = False) -> None:
    """Let every layer recompute its activations in the backward pass, whatever runs the policy in training.

    Raises ValueError where the model's layers cannot be run again by themselves.
    """
    model = policy.model
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    plain = [layer.forward for layer in layers]
    for layer in layers:
        layer.forward = partial(_recomputed, layer.forward, _index(layer))
    if not layers or not _works(model):
        for layer, forward in zip(layers, plain, strict=True):
            layer.forward = forward
        raise ValueError(
            f"gradient_checkpointing=true: layers of the model type {model.config.model_type!r} cannot be run again by "
            "themselves; leave it false, and lower micro_batch_rows"
        )
    if not to_be_sharded and (network := policy.scorer) is not None:
        network.recomputes = True


def _recomputed(forward: Callable[..., Any], index: int, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    cache = next((value for value in (*args, *kwargs.values()) if isinstance(value, Cache)), None)
    if cache is None:
        return checkpoint(partial(forward, **kwargs), *args, use_reentrant=False, preserve_rng_state=False)
    before = copy.copy(cache)  # of this layer alone: what other layers know is not held on to
    before.layers = [None] * len(cache.layers)
    before.layers[index] = copy.copy(cache.layers[index])
    args = tuple(before if value is cache else value for value in args)
    kwargs = {name: before if value is cache else value for name, value in kwargs.items()}
    waiting = [cache]

    def run() -> Any:
        twin = copy.copy(before)
        twin.layers = [layer and copy.copy(layer) for layer in before.layers]
        inputs = [twin if value is before else value for value in args]
        found = forward(*inputs, **{name: twin if value is before else value for name, value in kwargs.items()})
        if waiting:  # the first run's keys and values are the ones to go on with
            waiting.pop().layers[index] = twin.layers[index]
        return found

    return checkpoint(run, use_reentrant=False, preserve_rng_state=False)


def _index(layer: nn.Module) -> int:
    """The layer's place in the cache."""
    found = (getattr(module, "layer_idx", None) for module in layer.modules())
    return next((index for index in found if isinstance(index, int)), 0)


@torch.enable_grad()
def _works(model: PreTrainedModel) -> bool:
    """Tried on a few tokens, not inferred from the model's type."""
    ids = torch.arange(3, device=model.device)[None]
    try:
        cache = DynamicCache(config=model.config)
        for part in (ids[:, :2], ids[:, 2:]):
            model.base_model(input_ids=part, past_key_values=cache, use_cache=True)
    except (AttributeError, TypeError, IndexError):
        return False
    return True
