"""Checkpoints: safetensors and JSON, written beside and renamed, checked by hash when read."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rft_loop.learning.optimizer import optimizer_tensors, restore_optimizer
from rft_loop.model.adapter import is_adapter
from rft_loop.model.policy import Policy, load_adapted, load_pretrained
from rft_loop.parallel.sharding import full_weights

NAME = re.compile(r"(warm-start|step)-(\d+)")
LEFT = re.compile(rf"\.(?P<name>{NAME.pattern})\.(?P<as>partial|old)")


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands. Nothing else is needed to go on: every draw is made from the seed and the step."""

    phase: Literal["warm_start", "step"]
    step: int
    grader: str = ""
    data: dict[str, str] = field(default_factory=dict)  # what was learned from: SHA-256 by the recipe's key
    best_step: int | None = None
    best_reward: float | None = None  # mean validation reward of the best step
    best_value: float | None = None  # the best step's mean of what the recipe's best_by names
    validation: dict[str, Any] = field(default_factory=dict)  # of these weights, where they were validated


def checkpoint_name(progress: Progress) -> str:
    return f"{progress.phase.replace('_', '-')}-{progress.step}"


def save_checkpoint(folder: Path, policy: Policy, optimizer: torch.optim.Optimizer | None, progress: Progress) -> Path:
    """Write the policy as a transformers folder, with the optimiser's state and a manifest, under `folder`.

    Where the step was saved before, the old checkpoint is whole until the new one is, under another name at last.
    """
    settle(folder)
    target = folder / checkpoint_name(progress)
    partial, old = folder / f".{target.name}.partial", folder / f".{target.name}.old"
    partial.mkdir(parents=True)
    try:
        _write(partial, policy, optimizer, progress)
    except (OSError, SafetensorError) as problem:
        _discard(partial)  # half a checkpoint is of no use, and the disk may be full
        if "No space left" in str(problem):  # safetensors gives the system's error as text
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target)) from None
        raise
    if target.exists():  # the same step again: validated since, or after a resume
        os.rename(target, old)
    os.rename(partial, target)
    if old.exists():
        _discard(old)
    return target


def settle(folder: Path) -> None:
    """Put right what a kill has left: a checkpoint that was to be replaced comes back, unless the new one is there."""
    for path in folder.glob(".*") if folder.is_dir() else ():
        if (left := LEFT.fullmatch(path.name)) is None:
            continue
        if left["as"] == "old" and not (folder / left["name"]).exists():
            os.rename(path, folder / left["name"])
        else:
            _discard(path)


def _discard(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path, policy: Policy, optimizer: torch.optim.Optimizer | None, progress: Progress) -> None:
    policy.model.save_pretrained(folder, state_dict=full_weights(policy))
    policy.tokenizer.save_pretrained(folder)
    if policy.base is not None:
        policy.base.write(folder)
    if optimizer is not None:
        save_file(optimizer_tensors(optimizer), folder / "optimizer.safetensors")
    files = {file.name: sha256(file) for file in sorted(folder.iterdir())}
    manifest = {"progress": asdict(progress), "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def read_progress(folder: Path) -> Progress:
    """A checkpoint's progress, after its files were checked against its manifest. Raises ValueError if broken."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        files, progress = dict(manifest["files"]), Progress(**manifest["progress"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ValueError(_broken(folder, f"manifest.json: {problem}")) from None
    for name, digest in files.items():
        if not (folder / name).is_file():
            raise ValueError(_broken(folder, f"{name} is missing"))
        if sha256(folder / name) != digest:
            raise ValueError(_broken(folder, f"{name} is not what was written (its hash differs)"))
    return progress


def load_checkpoint(folder: Path, device: torch.device, precision: str = "float32") -> tuple[Policy, Progress]:
    """The policy and progress of a checkpoint. Raises ValueError, naming the file and the remedy, if it is broken."""
    progress = read_progress(folder)
    if is_adapter(folder):
        return load_adapted(folder, device, precision), progress
    return load_pretrained(str(folder), device, precision), progress


def load_optimizer(folder: Path, optimizer: torch.optim.Optimizer) -> None:
    """Put a checkpoint's optimiser state, where it has one, into a fresh optimiser over the same weights."""
    file = folder / "optimizer.safetensors"
    if not file.is_file():
        return
    try:
        tensors = load_file(file)
    except SafetensorError as problem:
        raise ValueError(_broken(folder, f"{file.name}: {problem}")) from None
    restore_optimizer(optimizer, tensors)


def all_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first; warm-start ones come before step 0."""
    found = [path for path in folder.glob("*") if NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=_age)


def prune(folder: Path, keep: int, best_step: int | None) -> None:
    """Delete what is not needed: all but the newest `keep`, step 0, and the best."""
    checkpoints = all_checkpoints(folder)
    kept = {*checkpoints[-keep:], folder / "step-0", folder / f"step-{best_step}"}
    for path in checkpoints:
        if path not in kept:
            shutil.rmtree(path)


def _age(path: Path) -> tuple[bool, int]:
    match = NAME.fullmatch(path.name)
    assert match is not None
    return match[1] == "step", int(match[2])


def sha256(file: Path) -> str:
    """The hash of a file's content."""
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _broken(folder: Path, reason: str) -> str:
    return f"broken checkpoint {folder}: {reason}; delete that folder to go on from the one before it"
