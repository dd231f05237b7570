"""Graders of numbers and of mathematics."""
