"""Regions part by part and matrices row by row: whether two of them are the same."""

from __future__ import annotations

from graders.math.shapes import matrices
from graders.math.shapes.entries import Test, different, in_order, placed
from graders.math.shapes.intervals import Region, infinite
from graders.math.tree import Node, Verdict
from graders.math.written import kind, written


def same_parts(a: Node, b: Node, mine: Region, other: Region, value: Test) -> Verdict:
    """Whether two trees that were read as regions are the same set of reals. `value` compares two ends."""
    step = "intervals"
    if len(mine.parts) != len(other.parts):
        return different(f"{kind(a)} and {kind(b)} are different sets of real numbers", step)
    for x, y in zip(mine.parts, other.parts, strict=True):
        for side, one, two in (("low", x.low, y.low), ("high", x.high, y.high)):
            verdict = _same_end(one, two, value)
            if not verdict.equal:
                why = f"the {side} end {written(two)} is not {written(one)}"
                return verdict if verdict.outcome == "undecided" else different(why, step)
        for end, first, second in ((x.low, x.low_in, y.low_in), (x.high, x.high_in, y.high_in)):
            if first != second:
                return different(f"{written(end)} belongs to only one of them", step)
    return Verdict("equal", "the same set of real numbers", step)


def _same_end(a: Node, b: Node, value: Test) -> Verdict:
    if infinite(a) or infinite(b):
        same = infinite(a) == infinite(b)
        return Verdict("equal", "the same infinity") if same else different("not the same infinity")
    return Verdict("equal", "the same tree", "tree") if a == b else value(a, b)


def same_matrices(a: Node, b: Node, test: Test, loose: bool) -> Verdict | None:
    """Two matrices; None where one is a vector against entries in brackets or none. `test` compares entries."""
    mine, other = matrices.as_matrix(a), matrices.as_matrix(b)
    if mine is None or other is None:
        known = next(node for node in (a, b) if node.head == "matrix")
        bad = "set" in (a.head, b.head) and not loose
        if bad or matrices.vector(known) is None:
            return different(f"{kind(b)} is not {kind(a)}", "shape")
        return None
    rows, others = matrices.rows_of(mine), matrices.rows_of(other)
    if rows is None or others is None or (len(rows), len(rows[0])) != (len(others), len(others[0])):
        return different(f"{kind(other)} is not {kind(mine)}", "shape")
    undecided = None
    for r, (row, second) in enumerate(zip(rows, others, strict=True), 1):
        verdict = in_order(row, second, test)
        if verdict.outcome == "different":
            return placed(f"row {r}, ", verdict)
        undecided = undecided if verdict.equal else verdict
    return undecided or Verdict("equal", "all entries are equal", "entries")
