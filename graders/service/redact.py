"""Redact: keys out of every text that could be shown or stored."""

from __future__ import annotations

import re

_SHAPES = re.compile(
    r"\b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}|\bhf_[A-Za-z0-9]{8,}|\bAIza[A-Za-z0-9_-]{10,}|(?i:bearer)\s+\S+"
)
SHORTEST_SECRET = 8  # characters; "none" and its like, which servers without keys are given, are words of answers too
_known: dict[str, re.Pattern[str]] = {}


def remember(secret: str) -> None:
    """Never show this text again. One of fewer than 8 characters would take other texts apart, and is let be."""
    if len(secret) >= SHORTEST_SECRET and secret not in _known:
        _known[secret] = re.compile("".join(map(_in_any_spelling, secret)))


def _in_any_spelling(character: str) -> str:
    """A pattern of a character as it is, or as JSON escapes it, however often JSON stands within JSON."""
    plain = re.escape(character)
    if character in '"/\\':
        plain = rf"\\*{plain}"
    return rf"(?:{plain}|\\+u(?i:{ord(character):04x}))"


def without_secrets(text: str) -> str:
    """The text without the secrets that are known, also where JSON escapes stand for some of their characters."""
    known = list(_known.items())  # a copy: another thread may remember one meanwhile
    known.sort(key=lambda pair: len(pair[0]), reverse=True)
    for secret, pattern in known:
        if secret in text or "\\" in text:
            text = pattern.sub("<key>", text)
    return text


def redacted(text: str) -> str:
    """The text without the secrets that are known, and without what has the shape of a key."""
    return _SHAPES.sub("<key>", without_secrets(text))
