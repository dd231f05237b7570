"""`assay graders`: every grader there is, and the options of one."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

import typer

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from graders.grader import Grader


EVERY_GRADER_HAS = {
    "type": "which grader it is",
    "name": "your name for it, in grades and reports",
    "extract": "find the answer in the output first: rules, one after the other",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One grader of the list: where it comes from, and what it is."""

    type: str
    source: str  # built-in, the distribution of a plug-in, or a file
    version: str = ""
    hash: str = ""  # over the code that gives it its meaning
    about: str = ""
    error: str = ""  # why it cannot be used


def graders(
    sources: Annotated[
        list[str] | None, typer.Argument(help="Files of yours (file.py), or one type to see its options.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Tell it as JSON.")] = False,
) -> None:
    """List every grader: built in, from installed packages, and of the files given. Of one TYPE, its options."""
    import json

    given = sources or []
    files = [Path(source) for source in given if source.endswith(".py")]
    types = [source for source in given if not source.endswith(".py")]
    if types and len(given) > 1:
        raise ValueError(f"give files, or one type: {', '.join(given)}")
    if types:
        wire = _options_wire(types[0])
        typer.echo(json.dumps(wire, indent=2) if as_json else _options_text(wire))
        return
    entries = [*_built_in(), *_installed(), *(entry for file in files for entry in _of_file(file))]
    if as_json:
        typer.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
        return
    typer.echo(_table(("type", "source", "version", "hash", ""), map(_line, entries)))


def _line(entry: Entry) -> tuple[str, ...]:
    said = f"cannot be used: {entry.error}" if entry.error else entry.about
    return entry.type, entry.source, entry.version, entry.hash, said


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    cells = [head, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head) - 1)] + [0]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


# Where graders come from


def _built_in() -> Iterator[Entry]:
    from graders.registry import BUILT_IN, grader_class

    version = _version("assay")
    for name in sorted({*BUILT_IN, "function"}):
        yield _entry(name, "built-in", version, lambda name=name: grader_class(name))  # type: ignore[misc]


def _installed() -> Iterator[Entry]:
    from graders.grader import Grader
    from graders.registry import BUILT_IN

    for point in sorted(importlib.metadata.entry_points(group="graders"), key=lambda point: point.name):
        source, version = (point.dist.name, point.dist.version) if point.dist is not None else (point.value, "")
        if point.name in {*BUILT_IN, "function"}:
            problem = f"{point.value} has the name of a built-in grader, which is used instead"
            yield Entry(point.name, source, version, error=problem)
            continue

        def found(point: importlib.metadata.EntryPoint = point) -> type[Grader]:
            cls = point.load()
            if not (inspect.isclass(cls) and issubclass(cls, Grader)):
                raise ValueError(f"{point.value} is not a Grader class")
            return cls

        yield _entry(point.name, source, version, found)


def _entry(name: str, source: str, version: str, find: Callable[[], type[Grader]]) -> Entry:
    """The entry of a class; of one that fails to load, with the reason: others are listed all the same."""
    try:
        cls = find()
        return Entry(name, source, version, _code_hash(cls), _first_sentence(cls))
    except (Exception, SystemExit) as problem:
        return Entry(name, source, version, error=_reason(problem))


def _of_file(file: Path) -> Iterator[Entry]:
    """The Grader classes, graders and functions `f(sample, item)` that a file defines."""
    from graders.grader import Grader
    from graders.registry import load

    if not file.is_file():
        raise FileNotFoundError(f"no file {str(file)!r}")
    try:
        names = _public_names(file)
    except ValueError as problem:
        yield Entry(f"{file}:", str(file), error=str(problem))
        return
    for name, found in names:
        if inspect.isclass(found) and issubclass(found, Grader):
            yield Entry(f"{file}:{name}", str(file), "", _code_hash(found), _first_sentence(found))
        elif isinstance(found, Grader) or _judges(found):
            judge = load(f"{file}:{name}")
            about = _first_sentence(type(found)) if isinstance(found, Grader) else _first_sentence(found)
            yield Entry(f"{file}:{name}", str(file), "", judge.identity.rpartition("@")[2], about)


def _public_names(file: Path) -> list[tuple[str, Any]]:
    from graders.grader import Grader
    from graders.registry import load_module

    module = load_module(file.resolve())
    return [
        (name, found)
        for name, found in vars(module).items()
        if not name.startswith("_")
        and (isinstance(found, Grader) or getattr(found, "__module__", "") == module.__name__)
    ]


def _judges(found: Any) -> bool:
    """Whether it looks like `f(sample, item)`."""
    return inspect.isfunction(found) and list(inspect.signature(found).parameters)[:2] == ["sample", "item"]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _code_hash(cls: type[Grader]) -> str:
    from graders.grader import class_code

    digest = hashlib.sha256()
    for source in sorted(path.name.encode() + path.read_bytes() for path in class_code(cls)):
        digest.update(source)
    return digest.hexdigest()[:12]


def _first_sentence(found: Any) -> str:
    lines = (inspect.getdoc(found) or "").split("\n\n")[0].split()
    return re.split(r"(?<=[.!?]) ", " ".join(lines), maxsplit=1)[0]


def _reason(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}"


# The options of one


def _options_wire(name: str) -> dict[str, Any]:
    from graders.registry import BUILT_IN, grader_class
    from graders.template import Template

    cls = grader_class(name)
    (template,) = Template.__metadata__  # type: ignore[attr-defined]
    comments = _comments(cls)
    fields = [
        {
            "field": key,
            "type": _field_type(key, field, template),
            "required": field.is_required(),
            "default": None if field.is_required() else _plain(field.get_default(call_default_factory=True)),
            "about": field.description or comments.get(key) or EVERY_GRADER_HAS.get(key, ""),
        }
        for key, field in cls.model_fields.items()
    ]
    page = f"docs/graders/{name}.md" if name in BUILT_IN else ""
    return {
        "type": name,
        "about": inspect.getdoc(cls) or "",
        "hash": _code_hash(cls),
        "options": fields,
        "page": page,
    }


def _options_text(wire: Mapping[str, Any]) -> str:
    rows = [
        (
            option["field"],
            option["type"],
            "required" if option["required"] else repr(option["default"]),
            option["about"],
        )
        for option in wire["options"]
    ]
    about = wire["about"].partition("\n>>>")[0].rstrip()
    page = f"\n\nPage: {wire['page']}" if wire["page"] else ""
    return f"{wire['type']}  {wire['hash']}\n\n{about}\n\n{_table(('option', 'type', 'default', ''), rows)}{page}"


def _field_type(key: str, field: FieldInfo, template: object) -> str:
    if key == "extract":
        return "rules | None"
    return "template" if template in field.metadata else _type_text(field.annotation)


def _type_text(annotation: Any) -> str:
    """A type as a reader writes it: without modules and without the checks of `Annotated`."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type_text(arguments[0])
    if origin is Literal:
        return " | ".join(map(repr, arguments))
    if origin in (Union, UnionType):
        return " | ".join(map(_type_text, arguments))
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(_type_text, arguments))}]"
    return "None" if annotation is NoneType else getattr(annotation, "__name__", str(annotation))


def _plain(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value, fallback=repr)


def _comments(cls: type[Grader]) -> dict[str, str]:
    """The comments beside a class's fields, where its author explains them in place of descriptions."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        try:
            source = inspect.getsource(base) if base.__module__.partition(".")[0] != "pydantic" else ""
        except (OSError, TypeError):
            continue
        found.update(re.findall(r"^    (\w+): .*?  # (.*)$", source, re.MULTILINE))
    return found
