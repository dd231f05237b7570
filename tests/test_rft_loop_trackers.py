"""Trackers: the figures that arrive in the real tools, each where it is installed."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from rft_loop.checks import check_recipe
from rft_loop.recipe import Recipe, recipe_from
from rft_loop.watching.trackers import figures, tracker

STEP = {"event": "step", "time": 1.0, "step": 3, "of": 9, "reward": 0.5, "errors": {}, "entropy": None, "best": True}
VALIDATION = {"event": "validation", "step": 3, "reward": 0.25, "rewards/style/mean": 1.0}


def recipe(name: str) -> Recipe:
    return recipe_from({"model": "m", "train": "t", "validation": "v", "grader": "g", "tracker": name}, "test")


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed")


def test_numbers_are_told_and_nothing_else() -> None:
    assert figures(STEP) == {"reward": 0.5}
    assert figures(VALIDATION) == {"validation/reward": 0.25, "validation/rewards/style/mean": 1.0}


def test_without_a_tracker_nothing_is_written(tmp_path: Path) -> None:
    with tracker(recipe("none"), tmp_path) as view:
        view(STEP)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "trackio", "mlflow"])
def test_a_tracker_that_is_not_installed_is_refused_before_anything_is_loaded(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()  # a folder that an earlier run may have left is no package
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(place for place in sys.path if not has(place, name))])
    monkeypatch.delitem(sys.modules, name, raising=False)
    said = f"tracker={name} needs the package {name}; pip install {name}, or leave tracker out"
    for refused in (lambda: check_recipe(recipe(name)), lambda: tracker(recipe(name), tmp_path).__enter__()):
        with pytest.raises(ValueError, match=f"^{said}$"):
            refused()


def has(place: str, name: str) -> bool:
    return (Path(place) / name / "__init__.py").is_file()


@needs("tensorboard")
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_what_was_told(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
        EventAccumulator,
    )

    with tracker(recipe("tensorboard"), tmp_path) as view:
        view({"event": "start"})
        view(STEP)
        view(VALIDATION)
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in found.Scalars("reward")] == [(3, 0.5)]
    assert [(event.step, event.value) for event in found.Scalars("validation/reward")] == [(3, 0.25)]


@needs("wandb")
@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_the_figures_offline_in_the_runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with tracker(recipe("wandb"), tmp_path) as view:
        view(STEP)
        view(VALIDATION)
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    until = time.monotonic() + 20  # its own process writes the file
    while b"validation/reward" not in file.read_bytes() and time.monotonic() < until:
        time.sleep(0.1)
    assert b"validation/reward" in file.read_bytes()


@needs("trackio")
@pytest.mark.filterwarnings("ignore")
def test_trackio_keeps_the_figures_in_the_runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    with tracker(recipe("trackio"), tmp_path) as view:
        view(STEP)
    assert any((tmp_path / "trackio").rglob("*.db"))


@needs("mlflow")
@pytest.mark.filterwarnings("ignore")
def test_mlflow_keeps_the_figures_in_the_runs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "a run"
    run.mkdir()
    with tracker(recipe("mlflow"), run) as view:
        view(STEP)
        view(VALIDATION)
    import mlflow  # type: ignore[import-not-found,unused-ignore]

    (found,) = mlflow.search_runs(experiment_names=["assay"], output_format="list")
    assert found.data.metrics == {"reward": 0.5, "validation/reward": 0.25, "validation/rewards/style/mean": 1.0}
    assert found.info.status == "FINISHED"
    assert [path.name for path in tmp_path.iterdir()] == ["a run"]
