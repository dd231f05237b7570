"""The loop beside TRL's GRPOTrainer on one piece of work: seconds a step, what they go to, and what is learned.

    python benchmarks/training.py [--work learn-64 learn-16 fixed-64] [--rounds 3] [--steps 60] [--yardstick FILE]
    python benchmarks/training.py --seeds 5 --steps 120        # the reward that each reaches, over seeds

The work is the yardstick's, a script that is no part of this project: a Llama of 1.6 million weights turns four digits
round; groups of 8, one update a step. `learn` ends answers at their end token, `fixed` suppresses it, so that every
answer has 32 tokens. Both sides run in processes of their own with one thread, by turns; a figure is the median of the
rounds, in CPU seconds, so that a busy machine distorts it little. TRL must be importable (pip install trl==1.16.0).
Ours is the whole of `assay train`: the record of every rollout and every event is written too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)
TEMPLATE = "{% for m in messages %}{{ m['content'] }}{% if m['role'] == 'assistant' %}<eos>{% endif %}{% endfor %}"
WORKS = ("learn-64", "learn-16", "fixed-64")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", nargs="+", choices=WORKS, default=WORKS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=0)
    parser.add_argument("--yardstick", type=Path, default=ROOT.parent / "shared" / "yardsticks" / "trl_baseline.py")
    parser.add_argument("--ours", nargs=2, metavar=("WORK", "SEED"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.yardstick.is_file():
        sys.exit(f"no yardstick at {given.yardstick}: name it with --yardstick")
    if importlib.util.find_spec("trl") is None:
        sys.exit("trl is not installed: pip install trl==1.16.0")
    if given.ours:
        print(json.dumps(ours(given.yardstick, given.ours[0], int(given.ours[1]), given.steps)))
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"WORK": folder, "THREADS": "1", "OMP_NUM_THREADS": "1"}
        started(environment, given.yardstick, "warm")
        if given.seeds:
            compare_learning(environment, given.yardstick, given.seeds, given.steps)
        else:
            for work in given.work:
                compare_speed(environment, given.yardstick, work, given.rounds, given.steps)


def compare_speed(environment: dict[str, str], yardstick: Path, work: str, rounds: int, steps: int) -> None:
    """Print the ratio of one work's seconds a step, theirs to ours, whole and by part."""
    theirs, mine = [], []
    for seed in range(rounds):
        theirs.append(run_theirs(environment, yardstick, work, seed, steps))
        mine.append(run_ours(environment, yardstick, work, seed, steps))
    print(f"{work}: {rounds} rounds by turns, {steps} steps each, CPU seconds")
    for name in ("step", "generate", "train"):
        pairs = [(their[name], own[name]) for their, own in zip(theirs, mine, strict=True)]
        ratio = statistics.median(their / own for their, own in pairs)
        their, own = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(f"  {name:8} TRL {their:.4f}  assay {own:.4f}  ratio {ratio:.2f}", flush=True)


def compare_learning(environment: dict[str, str], yardstick: Path, seeds: int, steps: int) -> None:
    """Print the mean training reward of the last 10 steps on each side, over seeds, and their difference."""
    sides = {
        "TRL": [run_theirs(environment, yardstick, "learn-64", seed, steps) for seed in range(seeds)],
        "assay": [run_ours(environment, yardstick, "learn-64", seed, steps) for seed in range(seeds)],
    }
    for name, runs in sides.items():
        first, last = ([run[key] for run in runs] for key in ("reward_first10", "reward_last10"))
        print(
            f"{name:6} reward {statistics.fmean(first):.3f} -> {statistics.fmean(last):.3f}", [f"{x:.3f}" for x in last]
        )
    ends = [[run["reward_last10"] for run in runs] for runs in sides.values()]
    apart = statistics.fmean(ends[1]) - statistics.fmean(ends[0])
    error = math.sqrt(sum(statistics.variance(side) / seeds for side in ends))
    print(f"assay - TRL {apart:+.3f}, standard error {error:.3f}: {abs(apart) / error:.1f} standard errors")


def run_theirs(environment: dict[str, str], yardstick: Path, work: str, seed: int, steps: int) -> dict[str, float]:
    kind, rows = work.split("-")
    # The yardstick's seed is a constant of its own; everything else is left as it stands.
    setting = f"y.SEED = {seed}; y.torch.set_num_threads(1)"
    code = f"import {yardstick.stem} as y; {setting}; y.run_trl({steps}, {kind == 'fixed'})"
    more = {"BATCH": rows, "PYTHONPATH": os.pathsep.join([str(yardstick.parent), os.environ.get("PYTHONPATH", "")])}
    found = started(environment | more, "-c", code)
    split = found["split"]
    return {
        "step": found["s_per_step"],
        "generate": split["generate"],
        "train": split["loss_forward"] + split["backward"] + split["optim_step"],
        "reward_first10": found["reward_first10"],
        "reward_last10": found["reward_last10"],
    }


def run_ours(environment: dict[str, str], yardstick: Path, work: str, seed: int, steps: int) -> dict[str, float]:
    words = ["--ours", work, str(seed), "--steps", str(steps), "--yardstick", str(yardstick)]
    return started(environment, __file__, *words)


def started(environment: dict[str, str], *words: object) -> dict[str, Any]:
    """The last line that a Python process prints, as JSON."""
    done = subprocess.run([sys.executable, *map(str, words)], env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    line = done.stdout.strip().splitlines()[-1]
    return json.loads(line) if line.startswith("{") else {}


def ours(yardstick: Path, work: str, seed: int, steps: int) -> dict[str, float]:
    """One run of `assay train`: median CPU seconds of a step, of sampling and of the update; and the rewards."""
    import torch

    from rft_loop import loop, training
    from rft_loop.parallel import orders
    from rft_loop.watching.record import create_run

    torch.set_num_threads(1)
    kind, rows = work.split("-")
    base = module_of(yardstick)
    folder = Path(tempfile.mkdtemp(dir=base.WORK))
    recipe = recipe_of(base, folder, kind, int(rows), seed, steps)
    spent: dict[str, list[float]] = {"step": [], "generate": [], "train": []}

    def timed(module: Any, name: str, key: str) -> None:
        inner = getattr(module, name)

        def wrapped(*args: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return inner(*args, **options)
            finally:
                spent[key].append(time.process_time() - start)

        setattr(module, name, wrapped)

    timed(orders, "sample", "generate")
    timed(orders, "update", "train")
    if kind == "fixed":  # nothing ends an answer: an id that stands for no token
        load = training.load_policy
        training.load_policy = lambda *args: replace(load(*args), end_ids=frozenset({10**9}))
    rewards: list[float] = []
    marks: list[float] = []

    def view(event: dict[str, Any]) -> None:
        if event["event"] == "step":
            rewards.append(event["reward"])
            marks.append(time.process_time())

    loop.train(recipe, create_run(recipe), view)
    spent["step"] = [later - sooner for sooner, later in pairwise(marks)]
    return {
        **{name: statistics.median(values[3:]) for name, values in spent.items()},
        "reward_first10": statistics.fmean(rewards[:10]),
        "reward_last10": statistics.fmean(rewards[-10:]),
    }


def recipe_of(base: Any, folder: Path, kind: str, rows: int, seed: int, steps: int) -> Any:
    """The yardstick's settings as a recipe of ours, its model with a chat template that adds nothing."""
    from rft_loop.recipe import Recipe

    model, tokenizer, items = base.load()
    tokenizer.chat_template = TEMPLATE
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    lines = [
        json.dumps({"messages": [{"role": "user", "content": row["prompt"]}], "answer": row["answer"]}) for row in items
    ]
    (folder / "train.jsonl").write_text("\n".join(lines))
    (folder / "validation.jsonl").write_text("\n".join(lines[:8]))
    return Recipe(
        runs=folder, model=str(folder / "model"), train=folder / "train.jsonl", validation=folder / "validation.jsonl",
        grader={"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.answer}}",
                "operation": "eq" if kind == "learn" else "like"},
        steps=steps, items_per_step=rows // base.G, group_size=base.G, max_new_tokens=base.MAX_NEW,
        temperature=base.TEMPERATURE, learning_rate=base.LR, weight_decay=base.WD, max_grad_norm=base.CLIP,
        clip_low=base.EPS_LOW, clip_high=base.EPS_HIGH, aggregation="token", advantage="grpo", micro_batch_rows=64,
        eval_every=10**6, save_every=10**6, seed=seed, device="cpu",
    )  # fmt: skip


def module_of(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location("yardstick", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
