"""Policy: what counts as equal where mathematics alone does not say. docs/graders/math.md has the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Policy:
    """The options of `math` that bear on equality; their defaults are its defaults.

    `percent`  "either": 28% is 28 and is 0.28; "value": it is 0.28 only; "sign": it is 28 only
    `units`    "optional": a unit may be missing on one side, but two that are given must agree (1 m is 100 cm);
               "required": both or neither; "ignored"
    `order`    "written": tuples keep their order, bare lists and sets do not; "strict": bare lists do too;
               "free": nothing does
    `shape`    "written": a set is no tuple, one value is no list; "loose": tuples, lists and sets are alike
    `rel_tol`  relative tolerance for values; 0: none but the digits of a decimal
    `digits`   significant digits from which a decimal stands for the value it rounds
    `bases`    "same": 204_5 is 204_5 only; "value": it is 54 too; "optional": 204 too
    `text`     whether answers in words are compared, as words
    """

    percent: Literal["either", "value", "sign"] = "either"
    units: Literal["optional", "required", "ignored"] = "optional"
    order: Literal["written", "strict", "free"] = "written"
    shape: Literal["written", "loose"] = "written"
    rel_tol: float = 0.0
    digits: int = 5
    bases: Literal["same", "value", "optional"] = "same"
    text: bool = True
