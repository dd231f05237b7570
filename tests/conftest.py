"""What the tests share: one thread, no network, and a tiny policy small enough to read."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from graders.sandbox.level import Standing
    from graders.sandbox.pool import Pool
    from rft_loop.model.policy import Policy

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tiny tensors, one thread
os.environ["HF_HUB_OFFLINE"] = "1"

LETTERS = "abcdefghijklmnop "


@pytest.fixture
def tiny_policy() -> Callable[..., Policy]:
    """Makes a policy with random weights and a token a letter: 25 tokens, `<|end|>` among them."""
    return make_tiny_policy


def make_tiny_policy(family: str = "llama", seed: int = 0, ends: list[int] | None = None, **options: Any) -> Policy:
    """`family` is any decoder that transformers has a config for; `ends` the generation config's own end tokens."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from rft_loop.model.policy import make_policy
    from rft_loop.model.scratch import build_tokenizer
    from rft_loop.recipe import Scratch

    tokenizer = build_tokenizer([LETTERS], Scratch(tokens="characters"))
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = AutoConfig.for_model(
        family,
        vocab_size=len(tokenizer),
        max_position_embeddings=128,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        **{**sizes, **options},
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():  # larger than at birth, so that the next token is no mere coin toss
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(6.0)
    if ends is not None:
        model.generation_config.eos_token_id = ends
    return make_policy(model, tokenizer)


@pytest.fixture(scope="session")
def here() -> Standing:
    """What this machine gives with every layer of the sandbox on."""
    from graders.sandbox.fork_server import ForkServer

    server = ForkServer()
    server.close()
    return server.standing


@pytest.fixture
def need(here: Standing) -> Callable[..., None]:
    """Skips where one of these layers is not to be had."""

    def check(*layers: str) -> None:
        for layer in layers:
            if layer not in here.on:
                pytest.skip(f"{layer} is not to be had here: {here.missing[layer]}")

    return check


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Has fork servers run a copy of the jail in which a function's body starts with something else."""
    from graders.sandbox import fork_server

    def change(file: str, function: str, instead: str) -> None:
        tmp_path.chmod(0o755)
        shutil.copytree(fork_server.HERE / "jail", tmp_path / "jail")
        path = tmp_path / "jail" / file
        heading = rf"(\ndef {function}\([^\n]*\) -> [^\n]*:\n)"
        text, count = re.subn(heading, rf"\g<1>    {instead}\n", path.read_text())
        assert count == 1
        path.write_text(text)
        monkeypatch.setattr(fork_server, "HERE", tmp_path)

    return change


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Pool]:
    """A pool for the graders of one file. Skips where the sandbox is weaker than what graders accept."""
    from graders.sandbox.pool import Pool, RefusedError, use
    from graders.sandbox.process import ServerFailedError
    from graders.sandbox.settings import SandboxSettings

    with use(Pool(SandboxSettings())) as pool:
        try:
            pool.check()
        except (RefusedError, ServerFailedError) as problem:
            pytest.skip(str(problem))
        yield pool
