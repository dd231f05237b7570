"""Ranked lists: reading the names a model listed, and telling when two names are the same. Scores nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from graders.grade import GradingError
from graders.reference import as_text
from graders.sample import parse_json
from graders.template import follow, short
from graders.text.finders import fences
from graders.text.marks import normal, unmarked, visible

Read = Literal["json", "lines", "comma", "auto"]

# "1." "1)" "1:" "#1" "#1." and bullets; "3.14" and "-x" are names, not markers.
MARKER = re.compile(r"(?:#\d+[.):]?(?=\s|$)|\d+[.):](?=\D|$)|[-*+](?=\s|$)|[•‣▪–])\s*")


def read_list(value: Any, read: Read, path: Sequence[str | int] = ()) -> list[str]:
    """The names in a model's output, in order; empty ones are dropped.

    A `value` that is a list already is taken as it is (`path` leads into it). Text is read as `read` says;
    `auto` takes a JSON array when the text is one, else lines when there are several, else a comma list.
    Raises GradingError, a fault of the candidate, for what cannot be read as a list of names.
    """
    if isinstance(value, str):
        return _read_text(value, read, path)
    value = _at(value, path)
    return _names([value] if isinstance(value, int | float) else value)


def _read_text(text: str, read: Read, path: Sequence[str | int]) -> list[str]:
    text = without_fence(text)
    if read in ("json", "auto"):
        value = parse_json(text)
        if read == "json":
            if value is None:
                raise _unreadable(f"the output is not JSON: {short(text)}")
            return _names(_at(value, path))
        if isinstance(value, Mapping):
            raise _unreadable(f"the output is a JSON object, not a list: {short(text)}")
        if isinstance(value, list):
            return _names(value)
        text = value if isinstance(value, str) else text
    lines = text.splitlines()
    if read == "comma" or (read == "auto" and len([line for line in lines if line.strip()]) < 2):
        lines = text.split(",")
    return [name for line in lines if (name := _bare(line)) and (name.isascii() or visible(name))]


def without_fence(text: str) -> str:
    """The text without the code fence, or the ``` marks on its one line, around all of it."""
    text = text.strip()
    if not text.startswith(("```", "~~~")):
        return text
    found = fences(text)
    if len(found) == 1 and found[0].closed and (found[0].start, found[0].end) == (0, len(text)):
        return found[0].content
    on_one_line = len(text) >= 6 and text.endswith("```") and "\n" not in text
    return text[3:-3] if on_one_line and text[0] == "`" else text


def _at(value: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        try:
            value = follow(value, step)
        except LookupError:
            raise _unreadable(f"nothing at {step!r} of the path in {short(value)}") from None
    return value


def _names(value: Any) -> list[str]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise _unreadable(f"a list of names was expected, not {short(value)}")
    names = []
    for number, element in enumerate(value, start=1):
        try:
            names.append(as_text(element).strip())
        except ValueError:
            raise _unreadable(f"element {number} of the list is not a name: {short(element)}") from None
    shown = [name for name in names if name and (name.isascii() or visible(name))]
    if names and not shown:
        raise _unreadable(f"the list holds only blank names: {short(value)}")
    return shown


def _bare(line: str) -> str:
    """A line without numbering, bullet, closing comma, and marks around the name."""
    line = line.strip().rstrip(",;").rstrip()
    if line[:1].isalpha():  # as most names: nothing to take off
        return line
    line = unmarked(line)
    if marker := MARKER.match(line):
        line = line[marker.end() :]
    return unmarked(line.strip())


def _unreadable(detail: str) -> GradingError:
    return GradingError("sample_parse_error", detail, "candidate")


def alias_table(aliases: Mapping[str, str], case_sensitive: bool) -> dict[str, str]:
    """Alias -> name, both in the form that is compared. Raises ValueError for a table with two meanings."""
    table: dict[str, str] = {}
    for alias, name in aliases.items():
        from_form, to_form = normal(alias, case_sensitive), normal(name, case_sensitive)
        if not from_form or not to_form:
            raise ValueError(f"alias {alias!r} of {name!r}: a name is blank; remove the entry")
        if table.setdefault(from_form, to_form) != to_form:
            raise ValueError(f"alias {alias!r} stands for two names; keep one of them")
    for alias, name in table.items():
        if table.get(name, name) != name:
            raise ValueError(f"alias {alias!r} leads to {name!r}, itself an alias; write the last name at once")
    return table
