"""Share of groups with spread, drawn in shuffled order against by difficulty, where some items are too hard.

    python benchmarks/drawing.py [--hard 0.5] [--steps 150] [--seeds 3]

The work is examples/letters, of whose training items a share (`--hard`) has an answer of five tokens where three are
allowed. A line a run: the share of groups whose rewards differ, over the run and by quarters, and the best validation
reward. Validation is of items that can all be answered.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch  # noqa: E402

from rft_loop.loop import train  # noqa: E402
from rft_loop.recipe import load_recipe  # noqa: E402
from rft_loop.watching.record import create_run, read_events  # noqa: E402

LETTERS = Path(__file__).resolve().parents[1] / "examples" / "letters"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hard", type=float, default=0.5)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = harder(Path(folder) / "train.jsonl", options.hard)
        for seed in range(options.seeds):
            for drawing in ("shuffled", "by_difficulty"):
                print(
                    f"seed {seed}  {drawing:13}  {figures(Path(folder), data, drawing, seed, options.steps)}",
                    flush=True,
                )


def harder(file: Path, share: float) -> Path:
    """The training items of examples/letters, a share of them with an answer that cannot be given."""
    rows = [json.loads(line) for line in (LETTERS / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    for row in random.Random(0).sample(rows, round(share * len(rows))):
        row["last"] = "A\nB\nC\nD\nE"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def figures(folder: Path, data: Path, drawing: str, seed: int, steps: int) -> str:
    """One run's figures in a line."""
    own = [f"runs={folder}", f"name={drawing}-{seed}", f"train={data}"]
    recipe = load_recipe(LETTERS / "recipe.yaml", [*own, f"drawing={drawing}", f"seed={seed}", f"steps={steps}"])
    run = create_run(recipe)
    train(recipe, run)
    events = read_events(run.folder)
    spread = [1 - event["frac_reward_zero_std"] for event in events if event["event"] == "step"]
    quarter = max(1, len(spread) // 4)
    quarters = [f"{statistics.fmean(spread[i : i + quarter]):.2f}" for i in range(0, 4 * quarter, quarter)]
    best = max(event["reward"] for event in events if event["event"] == "validation")
    return f"with spread {statistics.fmean(spread):.3f}  by quarter {' '.join(quarters)}  best validation {best:.3f}"


if __name__ == "__main__":
    main()
