"""What RFT adds: test reward over the warm start for several seeds, on drawn and on real patients, and a control.

    python benchmarks/rft_gain.py [--seeds 0 1 2] [--phenopackets PATH] [--runs FOLDER]

Each seed is one `examples/rare_disease/demo.py`, a few minutes on two cores. The control deals the rewards to the wrong
rollouts; its validation reward must not rise. Real patients need a folder or zip of GA4GH phenopackets, or the
flat `cases.jsonl.gz` form; without them that part is left out, and said to be. Finished runs are taken as they are.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "rare_disease"
BUILD = ROOT / "datasets" / "rare_disease" / "make_rare_disease.py"


def main() -> None:
    parser = argparse.ArgumentParser(description="Test reward that RFT adds, several seeds.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--phenopackets", type=Path)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "bench")
    options = parser.parse_args()
    drawn = ROOT / "datasets" / "rare_disease"
    if not (drawn / "manifest.json").is_file():
        run(sys.executable, BUILD, "--out", drawn)
    sets = {"drawn patients": (drawn, [])}
    if options.phenopackets is not None:
        real = options.runs / "data"
        if not (real / "manifest.json").is_file():
            run(sys.executable, BUILD, "--out", real, "--phenopackets", options.phenopackets)
        sets["real patients"] = (real, ["--cluster", "source"])
    summaries = {
        (name, seed): demo(data, options.runs / f"{name.split()[0]}-{seed}", seed, more)
        for name, (data, more) in sets.items()
        for seed in options.seeds
    }
    columns = ["data", "seed", "warm start", "+ RFT", "gain, 95 % interval"]
    columns += ["supervised", "+ RFT", "gain, 95 % interval", "seconds"]
    print(f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for (name, seed), summary in summaries.items():
        reward = {row["name"]: f"{row['reward']:.3f}" for row in summary["rows"]}
        print(
            f"| {name} | {seed} | {reward['warm start']} | {reward['warm start + RFT']} | {shown(summary['gain'])} "
            f"| {reward['warm start + supervised']} | {reward['supervised + RFT']} "
            f"| {shown(summary['gain_after_supervised'])} | {summary['seconds']:.0f} |"
        )
    if options.phenopackets is None:
        print("real patients: not run; name a folder or zip of phenopackets with --phenopackets")
    for seed in options.seeds:
        before, last, best = control(drawn, options.runs, seed)
        found = f"{before:.3f} before, {last:.3f} at the end, {best:.3f} at best"
        print(f"control, shuffled rewards, seed {seed}: validation {found}")


def demo(data: Path, runs: Path, seed: int, more: list[str]) -> dict[str, Any]:
    run(sys.executable, EXAMPLE / "demo.py", "--data", data, "--runs", runs, "--seed", seed, *more)
    summary: dict[str, Any] = json.loads((runs / "rare-disease" / "summary.json").read_text())
    return summary


def control(data: Path, runs: Path, seed: int) -> tuple[float, float, float]:
    """The recipe from the seed's warm start with shuffled rewards: validation before, at the end, at best."""
    folder = runs / f"drawn-{seed}"
    shuffled = folder / "shuffled"
    if not (shuffled / "summary.json").is_file():
        settings = {
            "name": "shuffled",
            "runs": folder,
            "seed": seed,
            "model": folder / "rare-disease" / "checkpoints" / "step-0",
            "warm_start": "null",
            "train": data / "train.jsonl",
            "validation": data / "validation.jsonl",
            "reward.control": "shuffled",
        }
        words = [word for key, value in settings.items() for word in ("-s", f"{key}={value}")]
        run(Path(sys.executable).with_name("assay"), "train", EXAMPLE / "rft.yaml", *words)
    lines = (shuffled / "events.jsonl").read_text().splitlines()
    rewards = [event["reward"] for event in map(json.loads, lines) if event["event"] == "validation"]
    return rewards[0], rewards[-1], max(rewards)


def run(*command: object) -> None:
    """What the command prints goes to stderr, so that stdout holds the figures alone."""
    subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr)


def shown(gain: dict[str, float]) -> str:
    return f"{gain['mean']:+.3f} ({gain['ci_low']:+.3f} to {gain['ci_high']:+.3f})"


if __name__ == "__main__":
    main()
