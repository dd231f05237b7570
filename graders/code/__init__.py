"""Graders that run code."""
