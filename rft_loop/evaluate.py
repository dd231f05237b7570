"""Evaluate: a model's answers to a data set, graded. One greedy answer per item, as validation during training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graders.grader import Grader
from graders.sample import Sample
from graders.statistics import Summary, summarise
from rft_loop.grading import grade_each
from rft_loop.items import Rows, prompts_of
from rft_loop.model.checkpoint import all_checkpoints, read_progress
from rft_loop.model.policy import Policy
from rft_loop.parallel.crew import Hand
from rft_loop.parallel.ranks import ALONE
from rft_loop.reading import read
from rft_loop.sampling.rollout import Rollout
from rft_loop.sampling.sampler import OwnSampler
from rft_loop.validation import answer
from rft_loop.watching.record import write_beside


def best_checkpoint(folder: Path) -> Path:
    """The checkpoint of a run with the highest validation reward so far. Raises ValueError if it is broken."""
    saved = all_checkpoints(folder / "checkpoints")
    if not saved:
        raise FileNotFoundError(f"{folder} has no checkpoint yet")
    progress = read_progress(saved[-1])
    if progress.best_step is None:
        raise ValueError(f"{folder} has not been validated yet: its newest checkpoint is {saved[-1].name}")
    return folder / "checkpoints" / f"step-{progress.best_step}"


def outputs_of(
    policy: Policy,
    items: Rows,
    max_new_tokens: int,
    decode_rows: int = 512,
    thinking: str | None = "think",
    response_format: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The model's stored outputs, in the form `assay grade` reads: `{"id", "item", "sample"}` a row.

    What graders do not see of an output stands beside its sample as `thinking`, and why it is not of the
    `response_format` as `flaw`, each where there is any.
    """
    ids = [str(number if row.get("id") is None else row["id"]) for number, row in enumerate(items.rows, start=1)]
    if len(set(ids)) < len(ids):
        twice = next(place for place, name in zip(items.places, ids, strict=True) if ids.count(name) > 1)
        raise ValueError(f"{twice}: another row has the same id; give each its own, or leave ids out")
    rollouts = answer(
        OwnSampler(Hand(ALONE, policy=policy), decode_rows), prompts_of(policy, items, max_new_tokens), max_new_tokens
    )
    rollouts = read(policy.tokenizer, rollouts, thinking, response_format)
    return [
        {"id": name, "item": row, "sample": {"output_text": rollout.text}, "finish": rollout.finish} | _aside(rollout)
        for name, row, rollout in zip(ids, items.rows, rollouts, strict=True)
    ]


def _aside(rollout: Rollout) -> dict[str, str]:
    aside = {"thinking": rollout.thinking, "flaw": rollout.flaw}
    return {key: text for key, text in aside.items() if text}


def write_outputs(path: Path, outputs: Sequence[dict[str, Any]]) -> None:
    """Store outputs as JSON Lines, whole or not at all."""
    write_beside(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in outputs))


def grade_outputs(
    outputs: Sequence[dict[str, Any]],
    grader: Grader,
    cluster: str | None = None,
    concurrency: int = 16,
) -> tuple[list[dict[str, Any]], Summary]:
    """The outputs with their grades beside them, and the summary; `cluster` is an item key, as in `assay grade`."""
    asked = [(Sample.of(row["sample"]), row["item"], row.get("flaw")) for row in outputs]
    grades = grade_each(grader, asked, concurrency)
    clusters = [json.dumps(row["item"][cluster], sort_keys=True) for row in outputs] if cluster else None
    graded = [row | grade.to_wire() for row, grade in zip(outputs, grades, strict=True)]
    lengths = [len(sample.output_text) for sample, *_ in asked] if grader.models() else None
    return graded, summarise(grades, clusters, grader.range, lengths)
