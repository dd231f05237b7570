"""Writes sums for training, validation and test with reasoning-gym's `chain_sum`, and some of them worked out.

pip install reasoning-gym==0.1.25
python examples/arithmetic/make_arithmetic.py [--out FOLDER] [--whole-question]

The same package and seed give the same bytes. No question is in two files.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SIZES = {"train": 1500, "validation": 200, "test": 500, "warm_start": 1500}
SETTINGS = {"min_terms": 2, "max_terms": 3, "min_digits": 1, "max_digits": 1}
SEED = 7


def rows(whole_question: bool) -> Iterator[dict[str, Any]]:
    """Distinct sums in the package's own order: `messages`, and the answer that `number` compares with."""
    import reasoning_gym

    seen: set[str] = set()
    for entry in reasoning_gym.create_dataset("chain_sum", seed=SEED, size=10 * sum(SIZES.values()), **SETTINGS):
        question = entry["question"] if whole_question else f"{entry['metadata']['expression']} ="
        if question not in seen:
            seen.add(question)
            yield {"messages": [{"role": "user", "content": question}], "answer": int(entry["answer"])}


def answered(row: dict[str, Any]) -> dict[str, Any]:
    """A row for the warm start: the same question with its answer."""
    return {"messages": [*row["messages"], {"role": "assistant", "content": str(row["answer"])}]}


def write(folder: Path, whole_question: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    source = rows(whole_question)
    for name, size in SIZES.items():
        part = [row for row, _ in zip(source, range(size), strict=False)]
        if len(part) < size:
            raise ValueError(f"{name}: only {len(part)} of {size} distinct sums are left; widen SETTINGS")
        lines = (json.dumps(answered(row) if name == "warm_start" else row) for row in part)
        (folder / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the sums.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the files")
    parser.add_argument("--whole-question", action="store_true", help="the package's sentence, for models that read")
    given = parser.parse_args()
    try:
        write(given.out, given.whole_question)
    except ModuleNotFoundError as problem:
        sys.exit(f"{problem.name} is not installed; pip install reasoning-gym==0.1.25")
