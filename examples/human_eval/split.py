"""Splits HumanEval's tasks in three by the hash of their names, for a recipe that trains on some of them.

python datasets/human_eval/make_human_eval.py
python examples/human_eval/split.py [--data FOLDER] [--out FOLDER]

A model trained on any of them must not be told about by HumanEval again: the test part says what the run has learned,
and is no pass@1 to hold against another model's.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
SHARES = (("test", 0.25), ("validation", 0.5))  # upper ends; the rest is train


def part_of(task: str) -> str:
    """The part a task belongs to, whatever other tasks there are."""
    place = int.from_bytes(hashlib.sha256(task.encode()).digest()[:8], "big") / 2**64
    return next((name for name, end in SHARES if place < end), "train")


def split(source: Path, folder: Path) -> dict[str, int]:
    """Write train.jsonl, validation.jsonl and test.jsonl; how many tasks each holds."""
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for line in source.read_text(encoding="utf-8").splitlines():
        parts[part_of(json.loads(line)["task_id"])].append(line)
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in parts.items():
        (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return {name: len(lines) for name, lines in parts.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Split HumanEval's tasks in three.")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "datasets" / "human_eval", help="its folder")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the three files")
    given = parser.parse_args()
    if not (given.data / "test.jsonl").is_file():
        sys.exit(f"no {given.data / 'test.jsonl'}; run datasets/human_eval/make_human_eval.py first")
    print(", ".join(f"{name} {count}" for name, count in split(given.data / "test.jsonl", given.out).items()))
