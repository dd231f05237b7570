"""Parallel: several processes that train together."""
