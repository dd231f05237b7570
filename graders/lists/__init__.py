"""Graders of lists: ranked, or as sets."""
