"""What a run's folder says, read for those who look at it. Nothing here writes.

Everything in a folder may be missing or cut short: `gaps` then says so in words.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rft_loop.watching.record import read_events, working_seconds

Event = Mapping[str, Any]
Row = Mapping[str, Any]  # one rollout, as its sample part holds it
State = Literal["running", "paused", "finished", "stopped"]

PART = re.compile(r"part-(train|validation)-(\d+)\.parquet")
COLUMNS = [
    "item",
    "prompt",
    "output_text",
    "thinking",
    "tokens",
    "finish",
    "score",
    "reward",
    "advantage",
    "why",
    "error",
]


class Picked(NamedTuple):
    """Rollouts of one step that stand for the rest."""

    split: str
    step: int
    rollouts: int  # how many there were
    rewards: Sequence[float]  # of all that were decided
    picked: Sequence[tuple[str, Row]]  # why it was picked, and the rollout


@dataclass(frozen=True)
class RunData:
    """What a run's folder holds, and in `gaps` what it lacks, in words."""

    folder: Path
    events: Sequence[Event]
    recipe: Mapping[str, Any] | None
    summary: Mapping[str, Any] | None
    rollouts: Sequence[Picked]
    gaps: Sequence[str]
    now: float = field(default_factory=time.time)

    def of_kind(self, kind: str) -> list[Event]:
        return [event for event in self.events if event.get("event") == kind]

    @cached_property
    def start(self) -> Event:
        return {key: value for event in self.of_kind("start") for key, value in event.items()}

    @cached_property
    def steps(self) -> list[Event]:
        return [event for event in self.of_kind("step") if number(event.get("step")) is not None]

    @cached_property
    def validations(self) -> list[Event]:
        return [event for event in self.of_kind("validation") if number(event.get("step")) is not None]

    @cached_property
    def warm_start(self) -> list[Event]:
        return [event for event in self.of_kind("warm_start") if number(event.get("step")) is not None]

    @property
    def name(self) -> str:
        return str(self.start.get("name") or (self.recipe or {}).get("name") or self.folder.resolve().name)

    @cached_property
    def last_step(self) -> int:
        return max((int(event["step"]) for event in (*self.steps, *self.validations)), default=0)

    @cached_property
    def total_steps(self) -> int | None:
        of = [int(total) for event in self.steps if (total := number(event.get("of"))) is not None]
        planned = number((self.recipe or {}).get("steps"))
        return of[-1] if of else None if planned is None else int(planned)

    @cached_property
    def state(self) -> State:
        """`stopped`: it gave up and said why. `running`: no end, no stop is recorded, as after a kill."""
        ends: dict[str, State] = {"stop": "stopped", "pause": "paused", "end": "finished"}
        for event in reversed(self.events):
            if (state := ends.get(str(event.get("event")))) is not None:
                return state
            if event.get("event") in ("step", "warm_start", "resume", "validation"):
                break
        return "running"

    @cached_property
    def seconds(self) -> float | None:
        """How long the run worked, over all its processes; None before there is anything to count."""
        ends = self.of_kind("end")
        return number(ends[-1].get("seconds")) if ends else working_seconds(self.folder) or None

    @cached_property
    def best(self) -> Event | None:
        """The validation that the run called its best; the highest one where it named none."""
        scored = [event for event in self.validations if number(event.get("reward")) is not None]
        named = [event for event in scored if event.get("best")]
        return named[-1] if named else max(scored, key=lambda event: event["reward"], default=None)

    @cached_property
    def window(self) -> int:
        """How many steps the moving mean of the train reward spans."""
        return max(3, min(20, len(self.steps) // 10))


def read_run_data(folder: Path) -> RunData:
    """Read a run's folder. Raises FileNotFoundError when there is nothing to report on."""

    remedy = "give the folder of a run, such as runs/<name>"
    if not folder.is_dir():
        raise FileNotFoundError(f"no run at {str(folder)!r}: there is no such folder; {remedy}")
    if not (folder / "events.jsonl").is_file():
        raise FileNotFoundError(f"no run at {str(folder)!r}: the folder holds no events.jsonl; {remedy}")
    events = read_events(folder)
    gaps: list[str] = []
    recipe = _read_mapping(folder / "recipe.json", gaps)
    summary = _read_mapping(folder / "summary.json", gaps) if (folder / "summary.json").exists() else None
    run = RunData(folder, events, recipe, summary, [], gaps)
    rollouts = _pick_rollouts(folder / "samples", run, gaps)
    return RunData(folder, events, recipe, summary, rollouts, gaps)


def number(value: object) -> float | None:
    """A finite number, or None: what was not recorded and what is NaN are alike missing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < float("inf") else None  # NaN compares False


def _read_mapping(path: Path, gaps: list[str]) -> Mapping[str, Any] | None:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        gaps.append(f"{path.name} is missing.")
    except (OSError, ValueError) as problem:
        gaps.append(f"{path.name} could not be read: {problem}.")
    else:
        if isinstance(data, dict):
            return data
        gaps.append(f"{path.name} holds no JSON object.")
    return None


def _pick_rollouts(samples: Path, run: RunData, gaps: list[str]) -> list[Picked]:
    """The latest validation, then the first, middle and last step of training: by file name, only these read.

    Parts past the last step are left over from before a resume, save the one at which a run stopped itself.
    """
    last_step = run.last_step + (run.state == "stopped")
    steps: dict[str, list[int]] = {"train": [], "validation": []}
    for path in samples.glob("part-*.parquet"):
        if (match := PART.fullmatch(path.name)) and int(match[2]) <= last_step:
            steps[match[1]].append(int(match[2]))
    train, validation = sorted(steps["train"]), sorted(steps["validation"])
    if not train and not validation:
        gaps.append("No rollouts are stored yet.")
        return []
    wanted = [("validation", step) for step in validation[-1:]]
    wanted += [("train", step) for step in sorted({train[0], train[len(train) // 2], train[-1]} if train else ())]
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        gaps.append("Rollouts are stored, but reading them needs pyarrow: pip install 'assay[train]'.")
        return []
    picked = []
    for split, step in wanted:
        path = samples / f"part-{split}-{step:06d}.parquet"
        try:
            part = parquet.ParquetFile(path)
            rows = part.read(columns=[name for name in COLUMNS if name in part.schema_arrow.names]).to_pylist()
        except (OSError, ArrowException) as problem:
            gaps.append(f"samples/{path.name} could not be read: {str(problem).splitlines()[0]}.")
            continue
        rewards = [reward for row in rows if (reward := _reward(row)) is not None]
        picked.append(Picked(split, step, len(rows), rewards, pick(rows)))
    return picked


def _reward(row: Row) -> float | None:
    reward = number(row.get("reward"))
    return number(row.get("score")) if reward is None else reward


def pick(rows: Sequence[Row]) -> list[tuple[str, Row]]:
    """The best, the median and the worst of the decided rollouts, and an undecided one if there is any.

    >>> [label for label, _ in pick([{"reward": 1.0}, {"reward": None, "error": "timeout"}, {"reward": 0.0}])]
    ['best', 'worst', 'undecided']
    """
    decided = sorted((row for row in rows if _reward(row) is not None), key=lambda row: -(_reward(row) or 0.0))
    picked: list[tuple[str, Row]] = []
    if decided:
        picked.append(("best", decided[0]))
    if len(decided) > 2:
        picked.append(("median", decided[len(decided) // 2]))
    if len(decided) > 1:
        picked.append(("worst", decided[-1]))
    return picked + [("undecided", row) for row in rows if _reward(row) is None][:1]
