"""Grades per second of each built-in grader, in one process, warm: `python benchmarks/graders.py`.

Beside each grader stands the raw operation it wraps, timed in the same run; the ratio is what the grade's
reason, checks and bookkeeping cost. Medians of five rounds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# This file shares its name with our package, and Python looks beside the script first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from rapidfuzz import fuzz, utils  # noqa: E402

from graders import Item, Sample, load  # noqa: E402
from graders.registry import BUILT_IN  # noqa: E402

ROUNDS = 5
SECONDS = 0.2  # a round's length, about

GENES = ["TGFBR2", "COL3A1", "FBN1", "ACTA2", "SMAD3", "MYH11", "SKI", "LOX", "PRKG1", "FOXE3"]
SAMPLE = Sample(", ".join(GENES))
ITEM: Item = {"gene": "FBN1"}

EQUAL = {
    "type": "string_check",
    "input": "{{sample.output_text}}",
    "reference": "{{item.gene}}",
    "operation": "eq",
}
SIMILAR = {
    "type": "text_similarity",
    "input": "{{sample.output_text}}",
    "reference": "{{item.gene}}",
    "evaluation_metric": "fuzzy_match",
}
RANK = {"type": "rank", "reference": "{{item.gene}}"}
BOTH = {"type": "multi", "graders": {"rank": RANK, "same": EQUAL}, "calculate_output": "0.8*rank + 0.2*same"}


def place_in_list() -> float:
    return 1 / (SAMPLE.output_text.split(", ").index("FBN1") + 1)


def same() -> bool:
    return SAMPLE.output_text == ITEM["gene"]


CASES: Mapping[str, tuple[Mapping[str, Any], str, Callable[[], Any]]] = {
    "string_check": (EQUAL, "==", same),
    "text_similarity": (
        SIMILAR,
        "rapidfuzz WRatio",
        lambda: fuzz.WRatio(SAMPLE.output_text, ITEM["gene"], processor=utils.default_process),
    ),
    "rank": (RANK, "split and index", place_in_list),
    "multi": (BOTH, "both of the above, added", lambda: 0.8 * place_in_list() + 0.2 * same()),
}


def per_second(call: Callable[[], Any]) -> float:
    """Calls a second: the median of the rounds."""
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS / 2:  # warms up and finds out how many calls make a round
        call()
        calls += 1
    rates = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(2 * calls):
            call()
        rates.append(2 * calls / (time.perf_counter() - start))
    return statistics.median(rates)


def main() -> None:
    assert set(CASES) == set(BUILT_IN), "a built-in grader is not measured"
    print(f"{'grader':<16} {'grades/s':>10}  {'raw calls/s':>12}  {'ratio':>7}  raw operation")
    for name, (definition, raw_name, raw) in CASES.items():
        grader = load(definition)
        assert grader(SAMPLE, ITEM).score is not None
        ours, theirs = per_second(lambda grader=grader: grader(SAMPLE, ITEM)), per_second(raw)  # type: ignore[misc]
        print(f"{name:<16} {ours:>10,.0f}  {theirs:>12,.0f}  {theirs / ours:>6.1f}x  {raw_name}")


if __name__ == "__main__":
    main()
