"""Offline scoring: many stored outputs, read from anywhere, graded by several processes, recorded once."""
