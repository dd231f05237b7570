"""Fields that a definition names and a row's reference lacks: said by `assay check`. Scores nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from graders.structured.compare import Extra, FieldRule, path_steps


def without_effect(fields: Mapping[str, FieldRule], gold: Any, extra: Extra) -> list[str]:
    """A sentence for each path that changes nothing, or is nearly one that the reference has."""
    return [text for path, rule in fields.items() for text in lacking(path, rule, "", path_steps(path), [gold], extra)]


def lacking(
    path: str, rule: FieldRule, above: str, steps: Sequence[str], values: Sequence[Any], extra: Extra
) -> list[str]:
    """A sentence where none of the `values`, which stand at `above` in the reference, has something at the steps."""
    for depth, step in enumerate(steps):
        if step == "[]":
            below = [each for value in values if isinstance(value, list | tuple) for each in value]
            if not below and any(isinstance(value, list | tuple) or value is None for value in values):
                return []  # an empty list
            what, known = "list", []
        else:
            objects = [value for value in values if isinstance(value, dict)]
            below = [value[step] for value in objects if step in value]
            if not below and any(value is None for value in values):
                return []
            what, known = repr(step), list(dict.fromkeys(key for value in objects for key in value))
        if not below:
            close = get_close_matches(step, known, n=1, cutoff=0.6)
            own_weight = rule.grader is None and rule.lists is None and extra == "charge" and depth == len(steps) - 1
            if own_weight and not close:
                return []  # what an output has there is charged by this weight
            hint = f"; did you mean {close[0]!r}?" if close else ""
            return [f"fields[{path!r}]: the reference has no {what} {f'in {above!r}' if above else 'at its top'}{hint}"]
        values, above = below, f"{above}[]" if step == "[]" else f"{above}.{step}".lstrip(".")
    return []
