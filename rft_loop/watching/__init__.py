"""Watching: what a run leaves behind: events, samples, figures, advice."""
