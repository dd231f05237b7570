"""Graders made of graders: sums, gates, cascades, and OpenAI's formulas."""

from graders.algebra.findings import Finding, findings
from graders.algebra.operators import cascade, clip, gate, piecewise, when

__all__ = ["Finding", "cascade", "clip", "findings", "gate", "piecewise", "when"]
