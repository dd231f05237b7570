"""Graders made of graders: sums, gates, cascades, and OpenAI's formulas."""
