"""Graders of JSON and of tool calls."""
