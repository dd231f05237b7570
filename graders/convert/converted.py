"""Converted: what came out of a foreign file, what differs, and what could not be carried."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

from graders.algebra.formula import FUNCTIONS, OUR_FUNCTIONS
from graders.grader import Grader
from graders.template import short

NOT_CARRIED = "not-carried.json"
SCHEMA = "item-schema.json"


@dataclass(frozen=True, slots=True)
class Remark:
    """Something of the source that the graders do not do, or do otherwise: where it stood, what it was, why."""

    place: str
    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}: {self.what}: {self.why}"

    def to_wire(self) -> dict[str, str]:
        return {"place": self.place, "what": self.what, "why": self.why}


@dataclass(slots=True)
class Converted:
    """Graders, rows and an item schema out of a foreign file; nothing of it is dropped without a remark."""

    source: str  # what the file was, in words
    graders: dict[str, Grader] = field(default_factory=dict)  # by the name of their file
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # data sets, by the name of their file
    schema: dict[str, Any] | None = None  # JSON schema of an item
    not_carried: list[Remark] = field(default_factory=list)
    differs: list[Remark] = field(default_factory=list)

    def lost(self, place: str, what: Any, why: str) -> None:
        self.not_carried.append(Remark(place, what if isinstance(what, str) else short(what), why))

    def otherwise(self, place: str, what: Any, why: str) -> None:
        remark = Remark(place, what if isinstance(what, str) else short(what), why)
        if remark not in self.differs:
            self.differs.append(remark)

    def add(self, name: str, grader: Grader) -> str:
        """Keep a grader under a name of its own that can be a file's; that name."""
        stem = file_stem(name)
        taken = {*self.graders, *(Path(name).stem for name in (NOT_CARRIED, SCHEMA))}
        free = next(name for name in chain([stem], (f"{stem}-{n}" for n in count(2))) if name not in taken)
        self.graders[free] = grader
        return free

    def files(self) -> dict[str, str]:
        """The text of each file, by its name."""
        files = {f"{name}.json": _json(grader.to_wire()) for name, grader in self.graders.items()}
        for name, rows in self.rows.items():
            files[f"{name}.jsonl"] = "".join(_json(row, indent=None) for row in rows)
        if self.schema is not None:
            files[SCHEMA] = _json(self.schema)
        remarks = {
            "source": self.source,
            "not_carried": [remark.to_wire() for remark in self.not_carried],
            "differs": [remark.to_wire() for remark in self.differs],
        }
        return files | {NOT_CARRIED: _json(remarks)}

    def write(self, folder: Path) -> list[Path]:
        """Write every file into a folder that does not hold one of them yet; what was written."""
        files = self.files()
        for name in files:
            if (folder / name).exists():
                raise ValueError(f"{folder / name} is there already; name another folder with --out")
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        return [folder / name for name in files]


def _json(value: Any, indent: int | None = 2) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair can stand in JSON, as an escape
        text = json.dumps(value, indent=indent)
    return text + "\n"


def file_stem(name: str) -> str:
    """A name as that of a file: letters, digits, `_`, `-` and single dots."""
    return re.sub(r"\.+", ".", re.sub(r"[^\w.-]+", "-", name)).strip("-.")[:80] or "grader"


def part_key(name: str, taken: Collection[str] = ()) -> str:
    """A name as a key of a formula: ASCII letters, digits and `_`, numbered where it is taken."""
    stem = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "part"
    stem = stem if stem[0].isalpha() else f"a_{stem}"
    stem = f"{stem}_" if stem in (*FUNCTIONS, *OUR_FUNCTIONS) else stem
    return next(key for key in chain([stem], (f"{stem}_{n}" for n in count(2))) if key not in taken)


def read_yaml(text: str) -> Any:
    """The data of a YAML text as JSON has it: dates stay texts, keys are texts. ValueError where it is none."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Reads 2024-05-01 as the text it is."""

    Loader.yaml_implicit_resolvers = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return json.loads(json.dumps(yaml.load(text, Loader), allow_nan=False))
    except yaml.YAMLError as problem:
        raise ValueError(f"not YAML: {' '.join(str(problem).split())}") from None
    except (TypeError, ValueError) as problem:  # a set, bytes, NaN, a node that contains itself
        raise ValueError(f"YAML that holds more than JSON can: {problem}") from None
    except RecursionError:
        raise ValueError("values are nested too deeply to be read") from None
