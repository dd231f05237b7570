"""Ranked lists: reading the names a model listed, and telling when two names are the same. Scores nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from graders.grade import GradingError
from graders.sample import parse_json
from graders.template import STEP, follow, short

Read = Literal["json", "lines", "comma", "auto"]

PATH = re.compile(r"(?:\.[\w-]+|\[-?\d+\])+")
# "1." "1)" "1:" "#1" "#1." and bullets; "3.14" and "-x" are names, not markers.
MARKER = re.compile(r"(?:#\d+[.):]?(?=\s|$)|\d+[.):](?=\D|$)|[-*+](?=\s|$)|[•‣▪–])\s*")
INVISIBLE = dict.fromkeys([0x200B, 0xFEFF, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
PAIRS = ("**", "__", "`", '"', "'", "*")  # markdown bold, code, italics, and quotes around a name


def parse_path(path: str) -> tuple[str | int, ...]:
    """The keys and indices of a path into JSON, such as `answer.genes` or `[0].genes`."""
    dotted = path if path.startswith("[") else f".{path}"
    if not PATH.fullmatch(dotted):
        raise ValueError(f"{path!r} is not a path into JSON; write it as 'answer.genes' or '[0].genes'")
    return tuple(name or int(index) for name, index in STEP.findall(dotted))


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
    text = _without_fence(text)
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
    return [name for line in lines if (name := _bare(line))]


def _without_fence(text: str) -> str:
    """The text without the ``` fence around it."""
    text = text.strip()
    if len(text) >= 6 and text.startswith("```") and text.endswith("```"):
        info, newline, body = text[3:-3].partition("\n")
        return body if newline else info
    return text


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
        if isinstance(element, bool) or not isinstance(element, str | int | float):
            raise _unreadable(f"element {number} of the list is not a name: {short(element)}")
        names.append(str(element).strip())
    return [name for name in names if name]


def _bare(line: str) -> str:
    """A line without numbering, bullet, closing comma, and marks around the name."""
    line = line.strip().rstrip(",;").rstrip()
    if line[:1].isalpha():  # as most names: nothing to take off
        return line
    line = _unmarked(line)
    if marker := MARKER.match(line):
        line = line[marker.end() :]
    return _unmarked(line.strip())


def _unmarked(name: str) -> str:
    for mark in PAIRS * 2:  # twice: marks stand inside marks, in either order
        if len(name) > 2 * len(mark) and name.startswith(mark) and name.endswith(mark):
            name = name[len(mark) : -len(mark)].strip()
    return name


def _unreadable(detail: str) -> GradingError:
    return GradingError("sample_parse_error", detail, "candidate")


def normal(name: str, case_sensitive: bool) -> str:
    """The form in which names are compared: Unicode NFKC, spaces collapsed, case folded unless it matters.

    Marks that show nothing (zero-width space, byte-order mark, direction marks) are dropped.
    """
    if not name.isascii():
        name = name.translate(INVISIBLE)
        name = unicodedata.normalize("NFKC", name)
        if not case_sensitive:
            name = unicodedata.normalize("NFKC", name.casefold())
    elif not case_sensitive:
        name = name.lower()
    return " ".join(name.split())


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
