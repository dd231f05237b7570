"""The norm, beside PyTorch's and beside differences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from rft_loop.model.norm import rms_norm


def drawn(*shape: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What to norm, the weight, and epsilon."""
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(*size, generator=generator, dtype=torch.float64) for size in (shape, shape[-1:]))
    return x.requires_grad_(), weight.requires_grad_(), torch.tensor(1e-2, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (6, 1)], ids=str)
def test_its_gradient_is_that_of_differences(shape: tuple[int, ...]) -> None:
    assert torch.autograd.gradcheck(rms_norm, drawn(*shape))


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_it_is_pytorchs_with_a_gradient_and_without(size: float) -> None:
    x, weight, epsilon = (part.detach().float() for part in drawn(50, 96))
    wanted = F.rms_norm(x * size, weight.shape, weight, epsilon.item())
    with torch.no_grad():
        torch.testing.assert_close(rms_norm(x * size, weight, epsilon), wanted)
    torch.testing.assert_close(rms_norm((x * size).requires_grad_(), weight, epsilon).detach(), wanted)


def test_a_row_s_norm_does_not_tell_what_is_beside_it() -> None:
    x, weight, epsilon = (part.detach().float() for part in drawn(3000, 72))
    everything = rms_norm(x, weight, epsilon)
    for rows in (1, 3, 17, 999):
        assert torch.equal(rms_norm(x[:rows], weight, epsilon), everything[:rows])
