"""The main job from one command: tune a small model on rare-disease cases, then compare it on patients it never saw.

    python examples/rare_disease/demo.py

Each stage is an ordinary `assay` command, printed before it runs. A stage that is done is not done again; a broken
one is resumed. For a fresh start delete the runs folder.
"""

from __future__ import annotations

import argparse
import json
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from graders import Interval, Summary, bootstrap, grade_many, load, summarise
from graders.offline.read import read_grading_rows
from rft_loop.recipe import differing_key, load_recipe
from rft_loop.watching.record import open_run, working_seconds

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MEASURES = ("reward", "top_1", "top_5", "anywhere")


def main() -> None:
    options = _options()
    start = time.monotonic()
    data, runs = options.data, options.runs
    if not (data / "manifest.json").is_file():
        sh(sys.executable, ROOT / "datasets/rare_disease/make_rare_disease.py", "--out", data)
    rft, supervised = runs / "rare-disease", runs / "rare-disease-supervised"
    settings = [f"runs={runs}", f"seed={options.seed}", *options.set]
    before = train(HERE / "rft.yaml", rft, [*settings, *paths(data, "warm_start")])
    if is_newer(rft / "checkpoints/step-0", supervised):
        sys.exit(f"{supervised} was trained from an earlier warm start than {rft} has now: delete it")
    before += train(
        HERE / "supervised_then_rft.yaml",
        supervised,
        [*settings, f"model={rft / 'checkpoints/step-0'}", *paths(data, "supervised")],
    )
    outputs, more_outputs = rft / "outputs", supervised / "outputs"
    outputs.mkdir(exist_ok=True)
    more_outputs.mkdir(exist_ok=True)
    named = {
        "random": baseline("random", data, outputs),
        "most frequent gene": baseline("frequent", data, outputs),
        "nearest training case": baseline("nearest", data, outputs),
        "warm start": answers(rft / "checkpoints/step-0", data, outputs / "warm_start.jsonl"),
        "warm start + RFT": answers(rft, data, outputs / "rft.jsonl"),
        "warm start + supervised": answers(supervised / "checkpoints/step-0", data, more_outputs / "supervised.jsonl"),
        "supervised + RFT": answers(supervised, data, more_outputs / "supervised_rft.jsonl"),
    }
    graded = {name: grade(path, options.cluster) for name, path in named.items()}
    rows = [row_of(name, "test", summaries) for name, (_, summaries) in graded.items()]
    gain = difference(graded["warm start + RFT"][0], graded["warm start"][0])
    after_supervised = difference(graded["supervised + RFT"][0], graded["warm start + supervised"][0])
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    summary = {
        "rows": rows,
        "gain": as_wire(gain),
        "gain_after_supervised": as_wire(after_supervised),
        "seconds": round(before + time.monotonic() - start, 1),
        "peak_rss_mb": round(peak / 1024),
    }
    stored = json.loads((rft / "summary.json").read_text())
    if stored.get("rows") == rows:  # nothing was trained again: the time it took then is the one to keep
        summary = stored
    else:
        (rft / "summary.json").write_text(json.dumps(stored | summary, indent=2) + "\n")
    sh("assay", "report", rft)
    show(rows, gain, after_supervised)
    print(f"{summary['seconds']} s, {summary['peak_rss_mb']} MB at most; figures in {rft / 'summary.json'}")
    print(f"curves and sampled answers: {rft / 'report.html'}")


def sh(*command: object) -> None:
    """Print a command and run it; its failure ends the demo."""
    words = [str(word) for word in command]
    print("$ " + shlex.join(words), flush=True)
    if words[0] == "assay":
        words[0] = str(Path(sys.executable).with_name("assay"))
    code = subprocess.run(words, check=False).returncode
    if code:
        sys.exit(code)


def train(recipe: Path, run: Path, settings: Sequence[str]) -> float:
    """Train a recipe, go on with a broken run, or leave a finished one alone; seconds it worked before this call."""
    start = time.monotonic()
    if (run / "recipe.json").is_file():
        stored = open_run(run)[1]
        if (key := differing_key(stored, load_recipe(recipe, settings))) is not None:
            sys.exit(f"{run} was trained with another {key}: delete it, or name another folder with --runs")
    if (run / "summary.json").is_file():
        print(f"{run} is finished: taken as it is (delete it to train again)")
    elif (run / "recipe.json").is_file():
        sh("assay", "train", "--resume", run)
    else:
        sh("assay", "train", recipe, *(word for setting in settings for word in ("-s", setting)))
    return max(0.0, working_seconds(run) - (time.monotonic() - start))


def is_newer(checkpoint: Path, run: Path) -> bool:
    began = run / "recipe.json"
    return began.is_file() and (checkpoint / "manifest.json").stat().st_mtime > began.stat().st_mtime


def paths(data: Path, learned: str) -> list[str]:
    return [
        f"train={data / 'train.jsonl'}",
        f"validation={data / 'validation.jsonl'}",
        f"warm_start.data={data / f'{learned}.jsonl'}",
    ]


def baseline(name: str, data: Path, outputs: Path) -> Path:
    path = outputs / f"{name}.jsonl"
    if not path.is_file():
        sh(sys.executable, HERE / "baselines.py", name, "--data", data, "--out", path)
    return path


def answers(model: Path, data: Path, path: Path) -> Path:
    """A model's answers to the test split, which nothing before this has read."""
    if not path.is_file():
        grader = HERE / "reward.json"
        sh(
            "assay",
            "eval",
            model,
            "--data",
            data / "test.jsonl",
            "--grader",
            grader,
            "--max-new-tokens",
            12,
            "-o",
            path,
        )
    return path


def grade(path: Path, cluster: str | None) -> tuple[list[tuple[float, Any]], dict[str, Summary]]:
    """Rewards with their clusters, and a summary for each measure: what `assay grade` says of the same file."""
    rows = list(read_grading_rows(path))
    clusters = [json.dumps(row.item[cluster], sort_keys=True) for row in rows] if cluster else None
    summaries = {}
    for measure in MEASURES:
        grades = list(grade_many(load(HERE / f"{measure}.json"), ((row.sample, row.item) for row in rows)))
        summaries[measure] = summarise(grades, clusters)
        if measure == "reward":
            rewards = [grade.score for grade in grades if grade.score is not None]
    return list(zip(rewards, clusters or range(len(rows)), strict=True)), summaries


def row_of(name: str, split: str, summaries: dict[str, Summary]) -> dict[str, Any]:
    means = {measure: summary.scored for measure, summary in summaries.items() if summary.scored is not None}
    reward = means["reward"]
    return {
        "name": name,
        "split": split,
        "reward": reward.mean,
        "ci_low": reward.low,
        "ci_high": reward.high,
        "top1": means["top_1"].mean,
        "top5": means["top_5"].mean,
        "anywhere": means["anywhere"].mean,
    }


def difference(after: list[tuple[float, Any]], before: list[tuple[float, Any]]) -> Interval:
    """Mean paired difference in reward, item by item, with its interval."""
    values = [late - early for (late, _), (early, _) in zip(after, before, strict=True)]
    return bootstrap(values, [cluster for _, cluster in after])


def as_wire(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "ci_low": interval.low, "ci_high": interval.high}


def show(rows: Sequence[dict[str, Any]], gain: Interval, after_supervised: Interval) -> None:
    table = Table(title=f"{rows[0]['split']} split: mean reward with its 95 % interval")
    for column in ("", "reward", "95 % interval", "top-1", "top-5", "anywhere"):
        table.add_column(column, justify="left" if not column else "right")
    for row in rows:
        interval = f"{row['ci_low']:.3f} to {row['ci_high']:.3f}"
        shares = (f"{row[key]:.3f}" for key in ("top1", "top5", "anywhere"))
        table.add_row(row["name"], f"{row['reward']:.3f}", interval, *shares)
    Console().print(table)
    for text, found in (("RFT over its warm start", gain), ("RFT over supervised", after_supervised)):
        print(
            f"{text}: {found.mean:+.3f} (95 % interval of the paired difference {found.low:+.3f} to {found.high:+.3f})"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=ROOT / "datasets/rare_disease", help="folder of the built set")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs", help="where the runs go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cluster", help="item key that groups rows for the intervals: source, for real patients")
    parser.add_argument("-s", "--set", action="append", default=[], help="override a key of both recipes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
