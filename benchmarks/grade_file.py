"""`assay grade` of a large file: seconds, rows a second, and the most memory its processes held together.

    python benchmarks/grade_file.py [--rows 1000000] [--workers N] [--folder FOLDER]

The rows are drawn with a fixed seed; the grader is a multi of three deterministic graders; the journal is on, as
always. Memory is the sum over parent and workers of what each holds (resident; pages they share count in each),
looked at every 0.1 s.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GENES = ["TGFBR2", "COL3A1", "FBN1", "ACTA2", "SMAD3", "MYH11", "SKI", "LOX", "PRKG1", "FOXE3"]
CHECK = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "{{item.gene}}"}
GRADER = {
    "type": "multi",
    "name": "three",
    "graders": {
        "exact": {**CHECK, "operation": "eq"},
        "held": {**CHECK, "operation": "ilike"},
        "alike": {
            "type": "text_similarity",
            "input": "{{sample.output_text}}",
            "reference": "{{item.gene}}",
            "evaluation_metric": "fuzzy_match",
        },
    },
    "calculate_output": "0.5 * exact + 0.3 * held + 0.2 * alike",
}
SPACE = 4096


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of assay grade on a large file.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--folder", type=Path, help="Where the files are made; by default a temporary folder.")
    parser.add_argument("--more", nargs="*", default=[], help="Further options of assay grade.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        data, grader, out = (Path(folder) / name for name in ("data.jsonl", "grader.json", "grades.jsonl"))
        write_rows(data, options.rows)
        grader.write_text(json.dumps(GRADER))
        command = [str(Path(sys.executable).with_name("assay")), "grade", str(grader), str(data), "-o", str(out)]
        command += [] if options.workers is None else ["--workers", str(options.workers)]
        seconds, memory = measured([*command, *options.more])
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        with out.open("rb") as lines:
            assert sum(1 for _ in lines) == options.rows
        sizes = f"{data.stat().st_size / 1e6:,.0f} MB in, {out.stat().st_size / 1e6:,.0f} MB out"
        cores = len(os.sched_getaffinity(0))
        print(f"{options.rows:,} rows ({sizes}), {cores} cores, 1-minute load {os.getloadavg()[0]:.1f}")
        print(f"{seconds:.1f} s, {options.rows / seconds:,.0f} rows/s, at most {memory / 1e6:,.0f} MB resident")
        print(f"{(used.ru_utime + used.ru_stime) / options.rows * 1e6:.0f} us of processor time a row")


def write_rows(path: Path, rows: int) -> None:
    rng = random.Random(0)
    with path.open("w") as file:
        for number in range(rows):
            gene, answer = rng.choice(GENES), rng.choice(GENES)
            item = {
                "gene": gene,
                "question": "Which gene explains these findings?",
                "patient": f"patient-{number // 5}",
            }
            text = answer if rng.random() < 0.5 else f"The most likely gene is {answer}."
            file.write(json.dumps({"id": f"r{number}", "item": item, "sample": {"output_text": text}}) + "\n")


def measured(command: list[str]) -> tuple[float, int]:
    """Seconds a command took, and the most bytes it and its children held at once."""
    start, most = time.perf_counter(), 0
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            most = max(most, sum(resident(number) for number in family(process.pid)))
            time.sleep(0.1)
    if process.returncode != 0:
        raise SystemExit(process.returncode)
    return time.perf_counter() - start, most


def family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(number for child in children for number in family(int(child)))]


def resident(pid: int) -> int:
    """Bytes of memory a process holds, from /proc."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * SPACE
    except OSError:
        return 0


if __name__ == "__main__":
    main()
