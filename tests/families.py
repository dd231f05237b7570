"""Model types that tests run through: small ones, made in code."""

from __future__ import annotations

import random
from typing import Any

import pytest

from rft_loop.model.network import NORM_OFFSET

LETTERS = range(8, 25)
# Decoders that share nothing but the cache's interface: rotary or learned positions, grouped heads, sliding windows.
FAMILIES: list[dict[str, Any]] = [
    {"family": "llama", "num_key_value_heads": 2},
    {"family": "qwen2", "num_key_value_heads": 2},
    {"family": "gpt_neox"},
    {"family": "gpt2"},
    {"family": "mistral", "num_key_value_heads": 2, "sliding_window": 6},
    {"family": "qwen3", "num_key_value_heads": 2, "head_dim": 8},
    {
        "family": "gemma2",
        "num_key_value_heads": 2,
        "head_dim": 8,
        "sliding_window": 6,
        "final_logit_softcapping": 3.0,
        "attn_logit_softcapping": 0.5,
        "attn_implementation": "eager",  # transformers 5.17 would leave the cap of the attention out
    },
    {"family": "gemma3_text", "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 6},
    {"family": "granite", "num_key_value_heads": 2, "logits_scaling": 2.0},
    {"family": "mamba", "state_size": 4, "conv_kernel": 3},
]
KNOWN = [family for family in FAMILIES if family["family"] in NORM_OFFSET]
families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: str(family["family"]))
known = pytest.mark.parametrize("family", KNOWN, ids=lambda family: str(family["family"]))


def prompts(*lengths: int, seed: int = 0) -> list[list[int]]:
    draws = random.Random(seed)
    return [[5, *draws.choices(LETTERS, k=length - 2), 6] for length in lengths]


UNEVEN = prompts(12, 3, 7, 2, 20, 7)
