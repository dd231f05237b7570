"""Inputs: the files that a recipe names are there, and a complaint about one names its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graders.grader import Grader
from graders.registry import load

if TYPE_CHECKING:
    from rft_loop.recipe import Recipe


def check_files(recipe: Recipe, written: Mapping[str, Any] | None = None, folder: Path | None = None) -> None:
    """Refuse a recipe whose files are missing, all of them in one line.

    `written` is the recipe as its author wrote it, where a run is to begin: then its model must be there too.
    `folder` is the recipe's, whose README.md is pointed at. Raises FileNotFoundError.
    """
    named = [*_files(recipe)]
    if written is not None and isinstance(recipe.model, str):
        named.append(("model", recipe.model))
    missing = []
    for key, path in named:
        if (reason := _lacks(key, path)) is not None:
            given, place = _as_written(written or {}, key) or path, str(Path(path).absolute())
            missing.append(f"{key}={given}: {reason}" + (f" ({place})" if place != given else ""))
    if missing:
        readme = None if folder is None else folder / "README.md"
        see = f"; see {readme}" if readme is not None and readme.is_file() else ""
        raise FileNotFoundError("; ".join(missing) + see)


def missing_model(source: str) -> str | None:
    """What is amiss with a model that can only be a path; None for one that is there, or may be a hub id."""
    if Path(source).exists():
        return None
    if Path(source).suffix == ".gguf":
        return "no such file"
    return "no such folder" if source.startswith(("/", ".", "~")) or source.count("/") > 1 else None


def named_grader(key: str, given: str | dict[str, Any]) -> Grader:
    """The grader that a recipe has under this key. Raises ValueError naming the key."""
    try:
        return load(given)
    except (ValueError, LookupError, FileNotFoundError) as problem:
        said = str(problem.args[0] if problem.args else problem)
        if not isinstance(given, str):
            raise ValueError(f"{key}: {said}") from problem
        said = said.removeprefix(f"{given}: ")
        remedy = "; give a .json file or path/to/file.py:name" if said.startswith("not JSON") else ""
        raise ValueError(f"{key}={given}: {said}{remedy}") from problem


def _files(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Keys and paths of what is read, but for the model."""
    yield "train", str(recipe.train)
    yield "validation", str(recipe.validation)
    if recipe.warm_start is not None:
        yield "warm_start.data", str(recipe.warm_start.data)
    if recipe.supervised is not None and not recipe.supervised.is_template:
        yield "supervised.answers", recipe.supervised.answers
    if recipe.judges is not None:
        yield "judges", str(recipe.judges)
    graders = {"grader": recipe.grader} | {f"watch.{name}": given for name, given in recipe.watch.items()}
    for key, grader in graders.items():
        if isinstance(grader, str):
            yield key, grader


def _lacks(key: str, given: str) -> str | None:
    """What is amiss with the path under a key; None where it is as it should be."""
    if key == "model":
        return missing_model(given)
    path = Path(given.rpartition(":")[0] if ".py:" in given else given)
    if path.is_file():
        return None
    return "is a folder, and a file is wanted" if path.is_dir() else "no such file"


def _as_written(written: Mapping[str, Any], key: str) -> Any:
    section, _, name = key.rpartition(".")
    inner = written.get(section, {}) if section else written
    return inner.get(name)
