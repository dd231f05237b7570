"""What the tests share: one thread, no network, and a tiny policy small enough to read."""

from __future__ import annotations

import gc
import multiprocessing
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from graders.sandbox.level import Standing
    from graders.sandbox.pool import Pool
    from rft_loop.model.policy import Policy
    from rft_loop.recipe import Recipe
    from rft_loop.watching.record import Run

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tiny tensors, one thread
os.environ["HF_HUB_OFFLINE"] = "1"
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has what it starts in the background ignore it

# Half of the usual examples, so that the suite stays short; no timing is asserted.
settings.register_profile("suite", max_examples=50, deadline=None)
settings.load_profile("suite")

HERE = Path(__file__).parent
LETTERS = "abcdefghijklmnop "
TRAINING = ("rft_loop.loop", "rft_loop.evaluate", "rft_loop.display.report", "pyarrow.parquet", "pandas")


def pytest_collection_finish() -> None:
    """What is there by now stays: looking through it for what can be freed costs a tenth of the suite's time."""
    gc.collect()
    gc.freeze()


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
    sizes["max_position_embeddings"] = 128
    config = AutoConfig.for_model(
        family,
        vocab_size=len(tokenizer),
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


class Forked:
    """A process of its own with the methods of a Popen, forked from one that has imported what training imports.

    `argv` starts with `assay` or with a script's path. Where processes are not forked safely, it starts from nothing.
    """

    def __init__(self, told: Path, *argv: object, cwd: Path | None = None, env: Mapping[str, str] = os.environ) -> None:
        self.args = [str(word) for word in argv]
        self.told = [told / "out", told / "err"]
        given = {
            "argv": self.args,
            "environment": dict(env),
            "folder": str(cwd or Path.cwd()),
            "told": [str(file) for file in self.told],
        }
        context: Any = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
        if sys.platform == "linux":
            context.set_forkserver_preload(["rft_loop.cli", *TRAINING])
        self.process: BaseProcess = context.Process(target=runpy.run_path, args=(str(HERE / "forked.py"), given))
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait until it has ended; what it wrote to stdout and to stderr."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return self.out(), self.told[1].read_text() if self.told[1].exists() else ""

    def out(self) -> str:
        """What it has written to stdout until now."""
        return self.told[0].read_text() if self.told[0].exists() else ""

    def done(self, timeout: float | None = 300) -> subprocess.CompletedProcess[str]:
        out, err = self.communicate(timeout)
        return subprocess.CompletedProcess(self.args, self.process.exitcode or 0, out, err)


@pytest.fixture(scope="session")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Forked]]:
    """Starts a process: `forked("assay", "grade", ...)`, or a script's path in place of `assay`."""
    started: list[Forked] = []

    def start(*argv: object, **where: Any) -> Forked:
        started.append(Forked(tmp_path_factory.mktemp("told"), *argv, **where))
        return started[-1]

    yield start
    for process in started:
        process.kill()


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


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., tuple[Recipe, Run]]:
    """Makes a run of the letters example with settings of the test's own."""
    from rft_loop.recipe import load_recipe
    from rft_loop.watching.record import create_run

    def make(*settings: str, name: str = "letters") -> tuple[Recipe, Run]:
        example = HERE.parent / "examples" / "letters" / "recipe.yaml"
        recipe = load_recipe(example, [f"runs={tmp_path}", f"name={name}", *settings])
        return recipe, create_run(recipe)

    return make


@pytest.fixture(scope="module")
def assay(forked: Any) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs an `assay` command to its end, in a process of its own."""

    def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = forked("assay", *arguments, cwd=cwd).done()
        return done

    return run
