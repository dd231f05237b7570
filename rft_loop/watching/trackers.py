"""Trackers: a run's figures in the tool that a team looks at. None by default; the run's own record is always kept.

Each is a view of the run's events, as the terminal's is. What it needs is imported when it is asked for.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from rft_loop.recipe import Recipe, resolved

Name = Literal["none", "tensorboard", "wandb", "trackio", "mlflow"]
Log = Callable[[dict[str, float], int], None]
"""Takes figures by name and the step they belong to."""

PROJECT = "assay"


def check_tracker(recipe: Recipe) -> None:
    """Refuse a tracker whose package is not installed. Nothing is imported for it."""
    name = recipe.tracker
    if name != "none" and ((found := find_spec(name)) is None or found.origin is None):  # a folder has no origin
        raise ValueError(f"tracker={name} needs the package {name}; pip install {name}, or leave tracker out")


@contextmanager
def tracker(recipe: Recipe, folder: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A view that hands the figures of steps and validations to the recipe's tracker.

    All of them write into the run's folder; nothing leaves the machine unless the tool is told so by its own settings
    (WANDB_MODE=online, MLFLOW_TRACKING_URI, ...). Raises ValueError where it is not installed.
    """
    check_tracker(recipe)
    with _opened(recipe, folder) as log:

        def view(event: Mapping[str, Any]) -> None:
            if event.get("event") in ("step", "validation"):
                log(figures(event), int(event["step"]))

        yield view


def figures(event: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of an event under their names; those of a validation as `validation/<name>`."""
    prefix = "validation/" if event["event"] == "validation" else ""
    return {
        f"{prefix}{name}": float(value)
        for name, value in event.items()
        if type(value) in (int, float) and math.isfinite(value) and name not in ("step", "of", "time")
    }


@contextmanager
def _opened(recipe: Recipe, folder: Path) -> Iterator[Log]:
    match recipe.tracker:
        case "none":
            yield lambda found, step: None
        case "tensorboard":
            yield from _tensorboard(folder)
        case "wandb":
            yield from _wandb(recipe, folder)
        case "trackio":
            yield from _trackio(recipe, folder)
        case "mlflow":
            yield from _mlflow(recipe, folder)


def _tensorboard(folder: Path) -> Iterator[Log]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard")) as writer:  # type: ignore[no-untyped-call,unused-ignore]

        def log(found: dict[str, float], step: int) -> None:
            for name, value in found.items():
                writer.add_scalar(name, value, step)  # type: ignore[no-untyped-call,unused-ignore]

        yield log


def _wandb(recipe: Recipe, folder: Path) -> Iterator[Log]:
    import wandb  # type: ignore[import-not-found,unused-ignore]

    run = wandb.init(
        project=PROJECT,
        name=recipe.name,
        dir=str(folder),
        config=resolved(recipe),
        mode=os.environ.get("WANDB_MODE", "offline"),
    )
    try:
        yield lambda found, step: run.log(found, step=step)
    finally:
        run.finish()


def _trackio(recipe: Recipe, folder: Path) -> Iterator[Log]:
    os.environ.setdefault("TRACKIO_DIR", str(folder / "trackio"))
    import trackio  # type: ignore[import-not-found,unused-ignore]

    trackio.init(project=PROJECT, name=recipe.name, config=resolved(recipe), resume="allow")
    try:
        yield lambda found, step: trackio.log(found, step=step)
    finally:
        trackio.finish()


def _mlflow(recipe: Recipe, folder: Path) -> Iterator[Log]:
    import mlflow  # type: ignore[import-not-found,unused-ignore]

    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(f"sqlite:///{folder.resolve() / 'mlflow.db'}")
        if mlflow.get_experiment_by_name(PROJECT) is None:
            mlflow.create_experiment(PROJECT, artifact_location=(folder.resolve() / "mlflow").as_uri())
    mlflow.set_experiment(PROJECT)
    with mlflow.start_run(run_name=recipe.name):
        mlflow.log_params({name: str(value)[:500] for name, value in resolved(recipe).items()})
        yield lambda found, step: mlflow.log_metrics({_plain(name): value for name, value in found.items()}, step=step)


def _plain(name: str) -> str:
    """MLflow allows letters, digits and _ - . / and blanks in names."""
    return "".join(sign if sign.isalnum() or sign in "_-./ " else "_" for sign in name)
