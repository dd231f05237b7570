"""What one GPU makes of the loop: decoding, a whole step, and the memory of the log-prob pass.

    python benchmarks/gpu.py [--model 0.5b 135m] [--rows 256] [--only decode step logprobs]
    python benchmarks/gpu.py --model tiny --device cpu       # only shows that it runs

Models have random weights of the right shape: speed does not depend on what they say. Answers never end, so that each
has all its tokens: prompts of 128 and answers of 256, a context of 384 at the end. Beside decoding stands transformers'
`generate` on the same prompts in the same process. Decoding and arithmetic are bfloat16 on a GPU; trained weights are
float32.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM  # noqa: E402

from rft_loop.learning.logprobs import token_logprobs  # noqa: E402
from rft_loop.learning.optimizer import make_optimizer  # noqa: E402
from rft_loop.learning.update import update  # noqa: E402
from rft_loop.model.policy import Policy, make_policy  # noqa: E402
from rft_loop.model.scratch import build_tokenizer  # noqa: E402
from rft_loop.recipe import Recipe, Scratch  # noqa: E402
from rft_loop.sampling.decode import sample  # noqa: E402

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "0.5b": (
        "qwen2",
        {
            "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
            "num_key_value_heads": 2, "vocab_size": 151_936, "tie_word_embeddings": True,
        },
    ),
    "135m": (
        "llama",
        {
            "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
            "num_key_value_heads": 3, "vocab_size": 49_152, "tie_word_embeddings": True,
        },
    ),
    "tiny": (
        "llama",
        {
            "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "vocab_size": 2_000, "tie_word_embeddings": True,
        },
    ),
}  # fmt: skip
PROMPT, ANSWER, GROUP = 128, 256, 8
ROUNDS = 3
NEVER = frozenset({10**9})  # an id that stands for no token: nothing ends an answer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", nargs="+", choices=SHAPES, default=["0.5b", "135m"])
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--step-rows", type=int, default=512)
    parser.add_argument("--micro-batch-tokens", type=int, default=16_384)
    parser.add_argument(
        "--only", nargs="+", choices=("decode", "step", "logprobs"), default=["decode", "step", "logprobs"]
    )
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("no CUDA device here; --model tiny --device cpu shows that the script runs")
    torch.manual_seed(0)
    if given.device == "cpu":
        torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    if given.device == "cuda":
        print(torch.cuda.get_device_name(), "torch", torch.__version__)
    for name in given.model:
        policy = policy_of(name, given.device)
        print(f"{name}: {policy.parameters / 1e6:.1f} million weights")
        if name == "tiny":
            given.rows = given.step_rows = 16
        if "decode" in given.only:
            decode(policy, given.rows)
        if "step" in given.only:
            step(policy, given.step_rows, given.micro_batch_tokens)
        if "logprobs" in given.only:
            logprobs(policy)


def policy_of(name: str, device: str) -> Policy:
    family, shape = SHAPES[name]
    config = AutoConfig.for_model(family, max_position_embeddings=4096, eos_token_id=0, bos_token_id=None, **shape)
    model = AutoModelForCausalLM.from_config(config).to(device)
    tokenizer = build_tokenizer(["a"], Scratch(tokens="characters"))
    return replace(make_policy(model, tokenizer, "bfloat16" if device == "cuda" else "float32"), end_ids=NEVER)


def prompts_for(policy: Policy, rows: int) -> list[list[int]]:
    return torch.randint(0, policy.model.config.vocab_size, (rows // GROUP, PROMPT)).tolist()


def decode(policy: Policy, rows: int) -> None:
    """Tokens a second of the decoder and of `generate`, the same prompts, `rows` answers side by side."""
    prompts = prompts_for(policy, rows)

    def ours() -> None:
        sample(policy, prompts, per_prompt=GROUP, max_new_tokens=ANSWER, temperature=1.0, seed=0, decode_rows=rows)

    cast = AutoModelForCausalLM.from_config(policy.model.config).to(policy.device, getattr(torch, policy.precision))
    ids = torch.tensor(prompts, device=policy.device).repeat_interleave(GROUP, 0)
    options = {"do_sample": True, "top_k": 0, "max_new_tokens": ANSWER, "min_new_tokens": ANSWER, "pad_token_id": 0}

    def theirs() -> None:
        cast.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)

    mine, their = (rows * ANSWER / seconds(run, policy.device) for run in (ours, theirs))
    print(f"  decode, {rows} rows: {mine:,.0f} tokens a second; generate {their:,.0f}; ratio {mine / their:.1f}")


def step(policy: Policy, rows: int, micro_batch_tokens: int) -> None:
    """Seconds of one whole step: `rows` answers of ANSWER tokens decoded, and trained on in one update."""
    recipe = Recipe(
        model="random", train=Path("train"), validation=Path("validation"), grader={}, group_size=GROUP,
        max_new_tokens=ANSWER, micro_batch_rows=rows, micro_batch_tokens=micro_batch_tokens, precision=policy.precision,
    )  # fmt: skip
    optimizer = make_optimizer(policy, recipe)
    prompts = prompts_for(policy, rows)
    laps: dict[str, float] = {}

    def run() -> None:
        start = time.perf_counter()
        rollouts = sample(
            policy, prompts, per_prompt=GROUP, max_new_tokens=ANSWER, temperature=1.0, seed=0, decode_rows=rows
        )
        settle(policy.device)
        laps["sample"] = time.perf_counter() - start
        update(policy, optimizer, rollouts, [(-1.0) ** i for i in range(rows)], recipe, 1e-6)

    whole = seconds(run, policy.device)
    print(f"  step of {rows} x {ANSWER} tokens: {whole:.2f} s, of which sampling {laps['sample']:.2f} s")


def logprobs(policy: Policy) -> None:
    """Most memory that the log-prob pass of 16k tokens takes, above weights, gradients and hidden states."""
    tokens = 16_384
    hidden = torch.randn(tokens, policy.model.config.hidden_size, device=policy.device, requires_grad=True)
    chosen = torch.randint(0, policy.model.config.vocab_size, (tokens,), device=policy.device)

    def run() -> None:
        with policy.computing():
            found, _ = token_logprobs(policy.head, hidden, chosen, 1.0)
        found.sum().backward()

    took = seconds(run, policy.device)
    if policy.device.type != "cuda":
        print(f"  log-probs of {tokens} tokens: {took:.2f} s (memory is measured on a GPU alone)")
        return
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    peak = (torch.cuda.max_memory_allocated() - before) / 2**30
    print(f"  log-probs of {tokens} tokens: {took:.2f} s, at most {peak:.2f} GiB more than before")


def seconds(run: Callable[[], None], device: torch.device) -> float:
    """Median wall seconds after one run that is not counted: graphs are made and kernels chosen in it."""
    found = []
    for _ in range(ROUNDS + 1 if device.type == "cuda" else 2):
        start = time.perf_counter()
        run()
        settle(device)
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])


def settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
