"""Regular expressions whose matching takes time linear in the text (google-re2). Scores nothing.

The syntax is RE2's (https://github.com/google/re2/wiki/Syntax): no look-around, no back-references. Where it reads
otherwise than Python's `re`: `$` is the very end of the text, also before a last newline; `\\d`, `\\w`, `\\s` and
`\\b` know ASCII only (`\\p{L}` and `\\p{Nd}` know every script); the end is `\\z`, not `\\Z`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from graders.grade import GradingError
from graders.template import short

FLAGS = {"i": "case is ignored", "m": "^ and $ match at each line", "s": "a dot matches newlines too"}
MAX_BYTES = 8 << 20  # memory one compiled pattern may take; a pattern that needs more is refused
MAX_INSTRUCTIONS = 10_000  # of one pattern; a pattern that needs more is refused
MAX_WORK = 1_000_000_000  # instructions of a pattern times bytes of a text: a text of 100 KB is never too long
MAX_SECONDS = 2.0  # of the processor's time that finding all matches of one text may take, however busy it is
INSIDE, CONTINUED = 0xC0, 0x80  # the bits that mark a byte of UTF-8 as not the first of its character
SURROGATE = re.compile("[\ud800-\udfff]")
HINTS = {
    "(?=": "look-around is not linear-time; match what stands around and take a group",
    "(?!": "look-around is not linear-time; match what stands around and take a group",
    "(?<": "look-around is not linear-time; match what stands around and take a group",
    "(?>": "atomic groups are not needed: matching never backtracks; write (?:...)",
    "\\Z": "write \\z for the end of the text",
    "\\u": "write \\x{...} for a code point",
    "++": "possessive repetition is not needed: matching never backtracks; write a single +",
    "*+": "possessive repetition is not needed: matching never backtracks; write a single *",
    "?+": "possessive repetition is not needed: matching never backtracks; write a single ?",
    "repetition size": "a repetition of at most 1,000 is possible",
    "too large": "make it smaller",
}


class Match:
    """One match; groups by number (0 is the whole) or name, None where a group took no part."""

    __slots__ = ("_found", "_pattern")

    def __init__(self, found: Any, pattern: Pattern) -> None:
        self._found = found
        self._pattern = pattern

    def group(self, group: int | str = 0) -> str | None:
        """The text of a group; LookupError where the pattern has no such group."""
        part: bytes | None = self._found[group if isinstance(group, int) else self._pattern.names[group]]
        return None if part is None else part.decode("utf-8", "replace")


class Pattern:
    """A compiled pattern; made by `compiled`. Lone surrogates of a text are matched and shown as U+FFFD.

    Searching raises GradingError `timeout`, a fault of the candidate, where the text is too long for the pattern
    (`MAX_WORK`); and the same as a fault of the grader where finding all matches takes longer than `MAX_SECONDS`,
    which only patterns do that read to the end of the text for each match.
    """

    __slots__ = ("_regexp", "flags", "groups", "names", "pattern", "size")

    def __init__(self, pattern: str, flags: str, regexp: Any) -> None:
        self.pattern = pattern
        self.flags = flags
        self._regexp = regexp
        self.size: int = regexp.programsize  # instructions
        self.groups: int = regexp.groups
        self.names: dict[str, int] = {name.decode(): number for name, number in regexp.groupindex.items()}

    def __reduce__(self) -> Any:
        return compiled, (self.pattern, self.flags)

    def search(self, text: str) -> Match | None:
        """The first match anywhere in the text."""
        found = self._regexp.search(self._bytes(text))
        return None if found is None else Match(found, self)

    def fullmatch(self, text: str) -> Match | None:
        """The match of the whole text."""
        found = self._regexp.fullmatch(self._bytes(text))
        return None if found is None else Match(found, self)

    def finditer(self, text: str) -> Iterator[Match]:
        """The matches in order, none overlapping another.

        Each is found in linear time; a pattern that reads to the end before it settles for less, such as
        `.*;|x`, reads the rest of the text once for each match. All are to be asked for in one thread.
        """
        data = self._bytes(text)
        place, until, processor_until = 0, time.monotonic() + MAX_SECONDS, time.thread_time() + MAX_SECONDS
        while place <= len(data):  # not re2's own finditer, which gives some empty matches twice
            found = self._regexp.search(data, place)
            if found is None:
                return
            start, end = found.span()
            place = end if end > start else end + 1
            if start == len(data) or data[start] & INSIDE != CONTINUED:  # else it is empty, inside a character
                yield Match(found, self)
            # The first clock is quickly read: no thread has used more of the processor than time has passed.
            if time.monotonic() > until and time.thread_time() > processor_until:
                what = f"finding its matches in a text of {len(text):,} characters takes longer than {MAX_SECONDS:g} s"
                remedy = "write it so that a match does not depend on what comes much later"
                raise GradingError("timeout", f"pattern {short(self.pattern)}: {what}; {remedy}")

    def _bytes(self, text: str) -> bytes:
        data = _encoded(text)
        if len(data) * self.size > MAX_WORK:
            limit = f"a pattern of {self.size:,} instructions searches {MAX_WORK // self.size:,} bytes at most"
            detail = f"pattern {short(self.pattern)}: the output is too long for it, {len(data):,} bytes; {limit}"
            raise GradingError("timeout", detail, "candidate")
        return data


@lru_cache(maxsize=256)
def compiled(pattern: str, flags: str = "") -> Pattern:
    """The pattern, compiled once; `flags` are letters of `i`, `m` and `s`.

    Raises ValueError, naming the pattern and the reason, for what is not RE2 or needs more memory or instructions than
    allowed (`MAX_BYTES`, `MAX_INSTRUCTIONS`).
    """
    import re2

    if unknown := sorted(set(flags) - set(FLAGS)):
        known = "; ".join(f"{letter!r}: {meaning}" for letter, meaning in FLAGS.items())
        raise ValueError(f"flag {unknown[0]!r} is unknown; {known}")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_BYTES
    options.case_sensitive = "i" not in flags
    inline = "".join(sorted(set(flags) - {"i"}))
    try:
        # As bytes: offsets of a str would be counted anew in each long text.
        regexp = re2.compile((f"(?{inline})" if inline else "").encode() + pattern.encode(), options)
    except UnicodeEncodeError:
        raise ValueError(f"pattern {short(pattern)}: it holds a lone surrogate; take it out") from None
    except re2.error as problem:
        reason = problem.args[0].decode("utf-8", "replace") if problem.args else "not a pattern"
        raise ValueError(f"pattern {short(pattern)}: {reason}; {_hint(pattern, reason)}") from None
    made = Pattern(pattern, flags, regexp)
    if made.size > MAX_INSTRUCTIONS:
        raise ValueError(
            f"pattern {short(pattern)}: it needs {made.size:,} instructions, and {MAX_INSTRUCTIONS:,} are possible; "
            "repeat classes such as \\p{L} less often, or without an upper bound, and grade the length with `length`"
        )
    return made


def _hint(pattern: str, reason: str) -> str:
    if "(?P=" in pattern or (reason.startswith("invalid escape sequence: \\") and reason[-1:].isdigit()):
        return "back-references are not linear-time; compare groups in the grader"
    known = (hint for sign, hint in HINTS.items() if sign in reason)
    return next(known, "write it in the syntax of RE2: https://github.com/google/re2/wiki/Syntax")


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return SURROGATE.sub("\ufffd", text).encode()
