"""Redact: keys out of every text that could be shown or stored."""

from __future__ import annotations

import re

_SHAPES = re.compile(
    r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}|\bhf_[A-Za-z0-9]{8,}|\bAIza[A-Za-z0-9_-]{10,}|(?i:bearer)\s+\S+"
)
_known: set[str] = set()


def remember(secret: str) -> None:
    """Never show this text again. One of fewer than 4 characters would take every text apart, and is let be."""
    if len(secret) >= 4:
        _known.add(secret)


def without_secrets(text: str) -> str:
    """The text without the secrets that are known."""
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, "<key>")
    return text


def redacted(text: str) -> str:
    """The text without the secrets that are known, and without what has the shape of a key."""
    return _SHAPES.sub("<key>", without_secrets(text))
