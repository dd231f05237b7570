"""A threshold for a grader's scores: the one that agrees best with people's passes, and what it is worth elsewhere."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from graders.agreement import Figure, accuracy, cohen_kappa, kappa_gap

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The threshold with the highest kappa on these rows, and that of rows it was not chosen on."""

    threshold: float
    here: Figure  # kappa on the rows it was chosen on: too good
    elsewhere: Figure  # kappa of `FOLDS`-fold cross-validation
    accuracy_elsewhere: Figure
    gain: Figure  # kappa of cross-validation - kappa of the threshold in use

    def to_wire(self) -> dict[str, Any]:
        figures = {name: getattr(self, name).to_wire() for name in ("here", "elsewhere", "accuracy_elsewhere", "gain")}
        return {"threshold": self.threshold, **figures}


def best_threshold(scores: Sequence[float], passes: Sequence[bool]) -> float | None:
    """The threshold with the highest kappa, half way between two scores; of several, the middle one.

    None where none is better than chance: one score only, labels that all say the same, scores that fall with them.

    >>> best_threshold([0.1, 0.4, 0.6, 0.9], [False, False, True, True])
    0.5
    """
    distinct = sorted(set(scores))
    if len(distinct) < 2 or len(set(passes)) < 2:
        return None
    n, passing = len(scores), sum(passes)
    below: dict[float, list[int]] = {score: [0, 0] for score in distinct}
    for score, passed in zip(scores, passes, strict=True):
        below[score][passed] += 1
    fails = missed = 0
    kappas = []
    for low, high in pairwise(distinct):
        fails, missed = fails + below[low][False], missed + below[low][True]
        ours = n - fails - missed  # that pass
        same = fails + passing - missed
        chance = ours * passing + (n - ours) * (n - passing)
        kappas.append(((n * same - chance) / (n * n - chance), low + (high - low) / 2))
    most = max(kappa for kappa, _ in kappas)
    if most <= 0:
        return None
    best = [middle for kappa, middle in kappas if kappa > most - 1e-12]
    return best[len(best) // 2]


def suggest(
    scores: Sequence[float | None],
    passes: Sequence[bool | None],
    now: float,
    clusters: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Suggestion | str:
    """The threshold to use beside the one in use `now`, or the reason why none can be suggested."""
    pairs = list(zip(scores, passes, strict=True))
    kept = [place for place, (score, passed) in enumerate(pairs) if score is not None and passed is not None]
    ours = [float(scores[place] or 0.0) for place in kept]
    theirs = [bool(passes[place]) for place in kept]
    groups: list[Hashable] = [place if clusters is None else clusters[place] for place in kept]
    best = best_threshold(ours, theirs)
    if best is None:
        return "no threshold agrees with people better than chance"
    own = None if clusters is None else groups
    here = cohen_kappa([score >= best for score in ours], theirs, clusters=own, seed=seed)
    if reason := _too_few(groups, theirs, "rows" if clusters is None else "clusters"):
        nothing = Figure(None, len(kept), reason=reason)
        return Suggestion(best, here, nothing, nothing, nothing)
    guessed = _cross_validated(ours, theirs, _folds(groups, seed))
    return Suggestion(
        best,
        here,
        cohen_kappa(guessed, theirs, clusters=own, seed=seed),
        accuracy(guessed, theirs, own),
        kappa_gap(guessed, [score >= now for score in ours], theirs, own, seed),
    )


def _too_few(groups: Sequence[Hashable], passes: Sequence[bool], what: str) -> str:
    if len(set(groups)) < FOLDS:
        return f"not cross-validated: fewer than {FOLDS} {what}"
    if min(sum(passes), len(passes) - sum(passes)) < 2:
        return "not cross-validated: fewer than two rows that pass and two that fail"
    return ""


def _cross_validated(scores: Sequence[float], passes: Sequence[bool], folds: Sequence[int]) -> list[bool]:
    """Whether each row passes by the threshold chosen on the other folds; where none is, what most of those do."""
    guessed = [False] * len(scores)
    for fold in set(folds):
        rest = [place for place in range(len(scores)) if folds[place] != fold]
        chosen = best_threshold([scores[place] for place in rest], [passes[place] for place in rest])
        often = 2 * sum(passes[place] for place in rest) >= len(rest)
        for place in range(len(scores)):
            if folds[place] == fold:
                guessed[place] = often if chosen is None else scores[place] >= chosen
    return guessed


def _folds(groups: Sequence[Hashable], seed: int) -> list[int]:
    """A fold for each row; rows of one group share theirs."""
    distinct = list(dict.fromkeys(groups))
    random.Random(seed).shuffle(distinct)
    fold = {group: number % FOLDS for number, group in enumerate(distinct)}
    return [fold[group] for group in groups]
