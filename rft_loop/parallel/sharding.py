"""Sharding: weights, gradients and the optimiser's state split over the ranks (FSDP2, Zhao et al. 2023, ZeRO stage 3).

Each decoder layer is a unit that is made whole where it is run, and the rest (embeddings, output) one more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cached_property
from types import MethodType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from rft_loop.model.network import Network, network_of
from rft_loop.model.policy import Policy


class ShardedPolicy(Policy):
    """A policy whose weights are split over the ranks: all of them run it equally often, or none does."""

    @property
    def scorer(self) -> None:
        """Each rank holds whole weights only of the layer that it runs, which transformers' modules see to."""
        return None

    @property
    def trained(self) -> list[Tensor]:
        """They are other tensors while the weights are whole."""
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    @cached_property
    def network(self) -> Network | None:
        """It reads whole weights, which are other tensors the next time."""
        return network_of(self.model, getattr(torch, self.precision), lasts=False)

    def hidden(self, **inputs: Any) -> Tensor:
        return self.model.assay_hidden(**inputs)  # type: ignore[no-any-return]


def shard(policy: Policy) -> ShardedPolicy:
    """Split the policy's weights over the ranks, in place.

    Raises ValueError where the model's decoder layers cannot be found.
    """
    model = policy.model
    layers = getattr(model.base_model, "layers", None)
    if layers is None:
        raise ValueError(
            f"shard=true: model type {model.config.model_type!r} keeps its decoder layers elsewhere than in `layers`; "
            "use shard=false"
        )
    mesh = init_device_mesh(policy.device.type, (dist.get_world_size(),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    for unit in _units(model):
        unit.set_gradient_divide_factor(1.0)  # gradients are summed: their weights count the whole batch already
        unit.set_force_sum_reduction_for_comms(True)

    def hidden(self: Any, **inputs: Any) -> Tensor:
        return policy.hidden(**inputs)

    model.assay_hidden = MethodType(hidden, model)
    register_fsdp_forward_method(model, "assay_hidden")
    return ShardedPolicy(**{each.name: getattr(policy, each.name) for each in fields(policy)})


@contextmanager
def whole(policy: Policy) -> Iterator[Policy]:
    """Within it the weights are plain tensors on every rank, and ranks may run the policy as often as they like."""
    if not isinstance(policy, ShardedPolicy):
        yield policy
        return
    units = _units(policy.model)
    _forget_network(policy)
    for unit in units:
        unit.set_reshard_after_forward(False, recurse=False)
        unit.unshard()
    try:
        yield policy
    finally:
        _forget_network(policy)
        for unit in units:
            unit.reshard()
            unit.set_reshard_after_forward(unit is not policy.model, recurse=False)


def full(tensor: Tensor) -> Tensor:
    """The tensor of which this rank may hold a part. Every rank must ask."""
    whole_one: Tensor = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return whole_one


def split_like(tensor: Tensor, sharded: Tensor) -> Tensor:
    """This rank's part of a full tensor, split as the weight it belongs to."""
    if not isinstance(sharded, DTensor) or tensor.shape != sharded.shape:
        return tensor
    return distribute_tensor(tensor.to(sharded.device), sharded.device_mesh, sharded.placements, src_data_rank=None)


def full_on_first(tensor: Tensor) -> Tensor:
    """The full tensor in the first rank's main memory, something empty on the others. Every rank must ask."""
    if not isinstance(tensor, DTensor):
        return tensor
    found = full(tensor.detach())
    return found.cpu() if dist.get_rank() == 0 else found.new_empty(0)


def full_weights(policy: Policy) -> dict[str, Tensor] | None:
    """Sharded weights as plain tensors, on the first rank; None where they are plain. Every rank must ask."""
    if not isinstance(policy, ShardedPolicy):
        return None
    model = policy.model
    tied = dict(model.named_parameters(remove_duplicate=False)).keys() - dict(model.named_parameters()).keys()
    return {name: full_on_first(tensor) for name, tensor in model.state_dict().items() if name not in tied}


def _forget_network(policy: ShardedPolicy) -> None:
    """A network reads whole weights in place, and those go."""
    for name in ("network", "decoder"):
        vars(policy).pop(name, None)


def _units(model: torch.nn.Module) -> list[FSDPModule]:
    return [module for module in model.modules() if isinstance(module, FSDPModule)]
