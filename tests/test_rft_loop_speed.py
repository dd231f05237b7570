"""Tokens a second, and the share of a device's limit."""

from __future__ import annotations

import pytest
import torch

from rft_loop.watching import speed as module
from rft_loop.watching.measures import Clock
from rft_loop.watching.speed import operations, peak_of, speed


class Fixed(Clock):
    """A clock whose laps took what the test says."""

    def __init__(self, **laps: float) -> None:
        super().__init__()
        self._laps = laps


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100-PCIE-40GB", 312),
        ("NVIDIA A10", 125),
        ("NVIDIA A10G", 70),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("Tesla V100-SXM2-16GB", 125),
        ("NVIDIA GeForce RTX 4090", 165.2),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA RTX 6000 Ada Generation", None),
        ("AMD Instinct MI300X", None),
    ],
)
def test_a_cards_peak_is_found_by_its_name_or_left_out(name: str, tflops: float | None) -> None:
    assert peak_of(name) == (None if tflops is None else tflops * 1e12)


@pytest.mark.parametrize("tied", [True, False])
def test_operations_count_the_weights_that_something_is_multiplied_by(tiny_policy: object, tied: bool) -> None:
    policy = tiny_policy(tie_word_embeddings=tied)  # type: ignore[operator]
    table = policy.model.get_input_embeddings().weight.numel()
    multiplied = sum(weight.numel() for weight in policy.model.parameters()) - (0 if tied else table)
    assert operations(policy) == (2 * multiplied, 4 * multiplied)
    for weight in policy.model.parameters():
        weight.requires_grad_(False)
    assert operations(policy) == (2 * multiplied, 2 * multiplied), "of frozen weights only the inputs' gradient is made"


def test_rates_are_tokens_over_laps_and_a_cpu_has_no_share(tiny_policy: object) -> None:
    policy = tiny_policy()  # type: ignore[operator]
    assert speed(policy, Fixed(sample=2.0, update=4.0), sampled=100, trained=200) == {
        "tokens_per_second/sample": 50.0,
        "tokens_per_second/train": 50.0,
    }
    assert speed(policy, Fixed(update=4.0), sampled=0, trained=0) == {}, "where no group teaches"


def test_the_share_is_what_is_done_of_what_could_be(tiny_policy: object, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tiny_policy()  # type: ignore[operator]
    forward, backward = operations(policy)
    monkeypatch.setattr(module, "peak_flops", lambda device: 1000 * forward)
    found = speed(policy, Fixed(sample=1.0, update=1.0), sampled=100, trained=100, devices=2)
    assert found["device_share/sample"] == pytest.approx(0.05)
    assert found["device_share/train"] == pytest.approx(0.05 * (forward + backward) / forward)


def test_laps_of_one_name_add_up() -> None:
    clock = Clock()
    clock.lap("grade")
    first = clock.seconds("grade")
    clock.lap("grade")
    assert clock.seconds("grade") > first
    assert set(clock.laps()) == {"timing_s/grade", "step_time"}


def test_a_cpu_has_no_known_peak() -> None:
    assert module.peak_flops(torch.device("cpu")) is None
