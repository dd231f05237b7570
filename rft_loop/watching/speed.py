"""Speed: tokens a second, and what share of the device's arithmetic they take."""

from __future__ import annotations

import torch

from rft_loop.model.policy import Policy
from rft_loop.watching.measures import Clock

# Dense bf16 (V100, T4: fp16) tensor-core peaks in TFLOP/s, from NVIDIA's data sheets; where a sheet gives the figure
# with sparsity, half of it. A card is the first one all of whose words are in the name that the driver gives.
PEAKS = {
    "B200": 2250.0,
    "H200": 989.0,
    "GH200": 989.0,
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.0,
    "A100": 312.0,
    "A40": 149.7,
    "A30": 165.0,
    "A10G": 70.0,
    "A10": 125.0,
    "L40S": 362.0,
    "L40": 181.0,
    "L4": 121.0,
    "V100": 125.0,
    "T4": 65.0,
    "A6000": 154.8,
    "4090": 165.2,
    "3090": 71.0,
}
OTHERWISE = {"MIG", "LAPTOP", "D", "MAX-Q", "ADA"}  # a part of a card, or a lesser or other one of the same name


def speed(policy: Policy, clock: Clock, *, sampled: float, trained: float, devices: int = 1) -> dict[str, float]:
    """Tokens a second of a step's sampling and of its update, and `device_share` of each on a GPU that is known.

    `sampled` and `trained` count tokens of answers; a prompt, which runs once for its group, is not counted, and
    what short answers begin with alike, which the update runs once, counts for each. The share
    takes 2 operations a weight and token for a forward pass and as many again for each of the two gradients of a
    backward pass (Kaplan et al. 2020, section 2.1), attention left out.
    """
    rates = {
        phase: tokens / clock.seconds(lap)
        for phase, tokens, lap in (("sample", sampled, "sample"), ("train", trained, "update"))
        if tokens and clock.seconds(lap)
    }
    figures = {f"tokens_per_second/{phase}": round(rate, 1) for phase, rate in rates.items()}
    if (peak := peak_flops(policy.device)) is not None:
        forward, backward = operations(policy)
        each = {"sample": forward, "train": forward + backward}
        figures |= {f"device_share/{name}": round(rates[name] * each[name] / (peak * devices), 5) for name in rates}
    return figures


def operations(policy: Policy) -> tuple[float, float]:
    """Floating-point operations of a token, forward and backward: 2 N, and 2 N + 2 N where all weights are trained."""
    model = policy.model
    weights = sum(weight.numel() for weight in model.parameters())
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    looked_up, head = model.get_input_embeddings(), model.get_output_embeddings()
    if (
        head is not None and getattr(head, "weight", None) is not looked_up.weight
    ):  # a table that nothing is multiplied by
        weights -= looked_up.weight.numel()
        trained -= looked_up.weight.numel() * looked_up.weight.requires_grad
    return 2.0 * weights, 2.0 * weights + 2.0 * trained


def peak_flops(device: torch.device) -> float | None:
    """Floating-point operations a second that the device can do at most in bf16; None where that is not known."""
    return peak_of(torch.cuda.get_device_name(device)) if device.type == "cuda" else None


def peak_of(name: str) -> float | None:
    """
    >>> peak_of("NVIDIA A100-SXM4-80GB"), peak_of("NVIDIA H100 PCIe"), peak_of("NVIDIA GeForce RTX 4090 Laptop GPU")
    (312000000000000.0, 756000000000000.0, None)
    """
    words = set(name.upper().replace("-SXM", " SXM").replace("-PCIE", " PCIE").split())
    if words & OTHERWISE:
        return None
    found = (peak for card, peak in PEAKS.items() if set(card.upper().split()) <= words)
    peak = next(found, None)
    return None if peak is None else peak * 1e12
