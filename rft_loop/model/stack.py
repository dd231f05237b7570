"""Stack: weights that go into one operation, held as one tensor in the precision that is computed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rft_loop.model.adapter import merged_weight


class Stack:
    """The weights (or biases) of layers, one beneath the other, each with an adapter's sum where it has one.

    With `takes_over`, weights that need no change become parts of it, wherever they lay: nothing is held twice, and
    nothing has to be renewed. Others are copied.
    """

    def __init__(
        self, layers: Sequence[nn.Module], name: str, dtype: torch.dtype, offset: float, takes_over: bool
    ) -> None:
        self.layers, self.name, self.dtype, self.offset = layers, name, dtype, offset
        self.weights: list[Tensor] = [getattr(layer, name) for layer in layers]
        values = self._values()
        self.whole = values[0] if len(values) == 1 else torch.cat(values)
        self.parts = torch.split(self.whole, [len(value) for value in values])
        self.places = [part.data_ptr() for part in self.parts]
        for weight, value, part in zip(self.weights, values, self.parts, strict=True):
            if takes_over and weight.data_ptr() == value.data_ptr():
                weight.data = part

    def renew(self) -> None:
        """Take the weights as they now are; into the same tensor, which graphs may read."""
        if [weight.data_ptr() for weight in self.weights] != self.places:
            for part, value in zip(self.parts, self._values(), strict=True):
                part.copy_(value)

    def live(self) -> Tensor:
        """The same numbers, with a gradient that goes to the layers' own weights. They must have no adapter."""
        if len(self.weights) == 1 and self.weights[0].data_ptr() == self.places[0]:
            return self.weights[0]
        live: Tensor = _HandedOn.apply(self.whole, *self.weights)  # type: ignore[no-untyped-call]
        return live

    def _values(self) -> list[Tensor]:
        """What is computed with: the weights themselves where that is the same."""
        if self.name == "weight":
            plain = [merged_weight(layer) for layer in self.layers]
        else:
            plain = [weight.detach() for weight in self.weights]
        values = [value.to(self.dtype) for value in plain]
        return [value + self.offset for value in values] if self.offset else values


class _HandedOn(torch.autograd.Function):
    """A stack as a function of the weights it is made of."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor, *weights: Tensor) -> Tensor:
        ctx.sizes, ctx.dtypes = [len(weight) for weight in weights], [weight.dtype for weight in weights]
        return whole.view_as(whole)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        parts = torch.split_with_sizes(grad, ctx.sizes)
        return None, *(part.to(dtype) for part, dtype in zip(parts, ctx.dtypes, strict=True))
