"""Record: a run's folder. Events as JSON Lines with one writer, every rollout with its grade as Parquet."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from graders.grade import Grade
from rft_loop.recipe import Recipe, recipe_from, resolved
from rft_loop.sampling.rollout import Rollout

Split = Literal["train", "validation"]


class Run:
    """One execution of a recipe, and the folder it is recorded in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def events_file(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def pause_file(self) -> Path:
        """What `assay pause` leaves for the process that writes to the run."""
        return self.folder / "pause"

    def event(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Append one event and give it back. A number that is not finite is written as null."""
        event: dict[str, Any] = {"time": round(time.time(), 3), "event": kind} | _finite(fields)
        with self.events_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n")
        return event

    def samples_file(self, split: Split, step: int) -> Path:
        return self.folder / "samples" / f"part-{split}-{step:06d}.parquet"

    def write_rollouts(
        self,
        split: Split,
        step: int,
        indices: Sequence[int],
        prompts: Sequence[str],
        rollouts: Sequence[Rollout],
        grades: Sequence[Grade],
        rewards: Sequence[float | None] | None,
        advantages: Sequence[float] | None,
        group_size: int,
    ) -> None:
        """Record one step's rollouts, a row each, as a part of its own. Without rewards the score stands in."""
        rows = []
        for i, (index, prompt, rollout, grade) in enumerate(zip(indices, prompts, rollouts, grades, strict=True)):
            rows.append(
                {
                    "split": split,
                    "step": step,
                    "item": index,
                    "group": i // group_size,
                    "prompt": prompt,
                    "output_text": rollout.text,
                    "thinking": rollout.thinking,
                    "tokens": len(rollout.tokens),
                    "finish": rollout.finish,
                    "score": grade.score,
                    "reward": rewards[i] if rewards is not None else grade.score,
                    "advantage": advantages[i] if advantages is not None else None,
                    "why": grade.why,
                    "error": grade.error.kind if grade.error is not None and grade.score is None else None,
                    "grade": json.dumps(grade.to_wire()),
                    "token_ids": rollout.tokens,
                    "logprobs": rollout.logprobs,
                }
            )
        self.write_samples(split, step, rows)

    def write_samples(self, split: Split, step: int, rows: Sequence[dict[str, Any]]) -> None:
        """Record one step's rollouts, one row each, beside the earlier parts."""
        import pyarrow
        from pyarrow import parquet

        file = self.samples_file(split, step)
        file.parent.mkdir(exist_ok=True)
        partial = file.with_suffix(".partial")
        table = pyarrow.Table.from_pylist([dict(row) for row in rows], _schema())
        # Neither pays for a few hundred rows: without them a part is as large, and written in two thirds of the time.
        parquet.write_table(table, partial, use_dictionary=False, write_statistics=False)
        os.replace(partial, file)

    def recorded_grades(
        self, split: Split, step: int, grader: str, indices: Sequence[int], rollouts: Sequence[Rollout], start: int = 0
    ) -> list[Grade | None]:
        """What was decided of this step before a break, a rollout at a time; None where nothing was.

        `start` is the place of the first of these rollouts among the step's.
        """
        from pyarrow import parquet

        file = self.samples_file(split, step)
        nothing: list[Grade | None] = [None] * len(rollouts)
        if not file.is_file():
            return nothing
        table = parquet.read_table(file, columns=["item", "output_text", "grade"])
        columns = table.slice(start, len(rollouts)).to_pydict()
        if (columns["item"], columns["output_text"]) != (list(indices), [rollout.text for rollout in rollouts]):
            return nothing
        grades = [Grade.from_wire(json.loads(text)) for text in columns["grade"]]
        return [grade if grade.grader == grader and grade.score is not None else None for grade in grades]

    def discard_if_unused(self) -> None:
        """Take back a folder in which nothing was recorded: what was wrong with the recipe can then be mended."""
        if not self.events_file.is_file():
            for name in ("recipe.json", "against.json", "pause", "lock"):
                (self.folder / name).unlink(missing_ok=True)
            shutil.rmtree(self.checkpoints / "base", ignore_errors=True)
            with contextlib.suppress(OSError):
                self.checkpoints.rmdir()
            with contextlib.suppress(OSError):  # something else lies in it
                self.folder.rmdir()

    @contextmanager
    def only_writer(self) -> Iterator[None]:
        """Hold the run's lock; raises ValueError when another process is writing to it."""
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(
                    f"{self.folder}: another process is writing to this run; wait for it or stop it"
                ) from None
            self.pause_file.unlink(missing_ok=True)  # meant for a process that is gone
            yield

    def is_written(self) -> bool:
        """Whether a process is writing to the run."""
        if not (self.folder / "lock").is_file():
            return False
        with (self.folder / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False


def create_run(recipe: Recipe) -> Run:
    """A fresh folder `<runs>/<name>` holding the resolved recipe. Refused where one exists."""
    folder = recipe.runs / recipe.name
    if (folder / "recipe.json").exists():
        raise ValueError(
            f"{folder} holds a run already; continue it with --resume {folder}, or choose another with -s name=..."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_beside(folder / "recipe.json", json.dumps(resolved(recipe), indent=2, ensure_ascii=False))
    return Run(folder)


def open_run(folder: str | Path) -> tuple[Run, Recipe]:
    """An existing run and its recipe. Raises FileNotFoundError where there is none."""
    folder = Path(folder)
    file = folder / "recipe.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"{str(folder)!r} is no run: it has no recipe.json (runs are folders made by assay train)"
        )
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise ValueError(f"{file}: not JSON: {problem}") from None
    return Run(folder), recipe_from(stored, str(file))


def read_events(folder: str | Path) -> list[dict[str, Any]]:
    """A run's events, in order, without what a later `resume` superseded and without a torn last line."""
    events: list[dict[str, Any]] = []
    for event in _all_events(Path(folder)):
        if event["event"] == "start":  # a break before the first checkpoint: everything happens again
            events = []
        if event["event"] == "resume":
            events = [earlier for earlier in events if not _superseded(earlier, event)]
        events.append(event)
    return events


def _all_events(folder: Path) -> Iterator[dict[str, Any]]:
    file = folder / "events.jsonl"
    for line in file.read_bytes().split(b"\n") if file.is_file() else ():
        with contextlib.suppress(ValueError):  # torn by a kill; what follows it is whole again
            yield json.loads(line)


def working_seconds(folder: str | Path) -> float:
    """Seconds a run has worked, over all its processes: from event to event, pauses between processes left out."""
    seconds = 0.0
    before: float | None = None
    for event in (event for event in _all_events(Path(folder)) if "time" in event):
        if before is not None and event["event"] not in ("start", "resume"):
            seconds += max(0.0, event["time"] - before)
        before = event["time"]
    return seconds


def _superseded(event: dict[str, Any], resume: dict[str, Any]) -> bool:
    """What came after the checkpoint a run was resumed from happens again."""
    order = ("start", "warm_start", "step")
    phases = dict.fromkeys(("validation", "checkpoint", "advice", "stop", "end"), "step")
    phase = event.get("phase") or phases.get(event["event"], event["event"])
    if phase not in order:
        return False
    step = math.inf if event["event"] == "end" else event.get("step", 0)
    return (order.index(phase), step) > (order.index(resume["phase"]), resume["step"])


def mend_torn_line(run: Run) -> None:
    """End a line that a kill cut short, so that the next event starts on a line of its own."""
    if run.events_file.is_file() and run.events_file.stat().st_size:
        with run.events_file.open("rb+") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


def write_beside(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside it first, then renamed."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return str(value) if isinstance(value, Path) else value


def _schema() -> Any:
    import pyarrow as pa

    types = {
        "split": pa.string(),
        "step": pa.int64(),
        "item": pa.int64(),
        "group": pa.int64(),
        "prompt": pa.string(),
        "output_text": pa.string(),
        "thinking": pa.string(),
        "tokens": pa.int64(),
        "finish": pa.string(),
        "score": pa.float64(),
        "reward": pa.float64(),
        "advantage": pa.float64(),
        "why": pa.string(),
        "error": pa.string(),
        "grade": pa.string(),
        "token_ids": pa.list_(pa.int64()),
        "logprobs": pa.list_(pa.float32()),
    }
    return pa.schema(list(types.items()))
