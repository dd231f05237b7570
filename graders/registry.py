"""One lookup for graders, three sources: the built-in table, entry points (group `graders`), `file.py:name`.

Built-ins go through the same table as everything else, and importing a file registers nothing.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from graders.composite import warn_of_whole
from graders.grader import FunctionGrader, Grader
from graders.sample import read_json
from graders.template import nearest, short

BUILT_IN: Mapping[str, str] = {
    "cascade": "graders.algebra.route:Cascade",
    "choice": "graders.text.choice:Choice",
    "classification": "graders.text.classification:Classification",
    "clip": "graders.algebra.shape:Clip",
    "code": "graders.code.code:Code",
    "endpoint": "graders.model.endpoint:Endpoint",
    "format": "graders.text.format:Format",
    "gate": "graders.algebra.route:Gate",
    "group": "graders.model.group:Group",
    "json_match": "graders.structured.json_match:JsonMatch",
    "json_schema": "graders.structured.json_schema:JsonSchema",
    "label_model": "graders.model.label_model:LabelModel",
    "length": "graders.text.length:Length",
    "math": "graders.math.math:Math",
    "max": "graders.algebra.combine:Max",
    "min": "graders.algebra.combine:Min",
    "multi": "graders.algebra.multi:Multi",
    "negate": "graders.algebra.shape:Negate",
    "number": "graders.math.number:Number",
    "one_of": "graders.text.one_of:OneOf",
    "pairwise": "graders.model.pairwise:Pairwise",
    "panel": "graders.model.panel:Panel",
    "piecewise": "graders.algebra.shape:Piecewise",
    "product": "graders.algebra.combine:Product",
    "python": "graders.code.python:Python",
    "rank": "graders.lists.rank:Rank",
    "regex": "graders.text.regex:Regex",
    "rubric": "graders.model.rubric:Rubric",
    "score_model": "graders.model.score_model:ScoreModel",
    "set_match": "graders.lists.set_match:SetMatch",
    "string_check": "graders.text.string_check:StringCheck",
    "text_similarity": "graders.text.text_similarity:TextSimilarity",
    "threshold": "graders.algebra.shape:Threshold",
    "tool_calls": "graders.structured.tool_calls:ToolCalls",
    "weighted_sum": "graders.algebra.combine:WeightedSum",
    "when": "graders.algebra.route:When",
}
"""Wire `type` -> `module:Class`, in the form that entry points use."""


def known_types() -> dict[str, str]:
    """Every grader type that can be named in JSON, with the place it comes from."""
    plugins = {point.name: point.value for point in importlib.metadata.entry_points(group="graders")}
    return plugins | {"function": "graders.grader:FunctionGrader"} | dict(BUILT_IN)


def grader_class(type_name: str) -> type[Grader]:
    """The class behind a wire `type`: a built-in, an entry point, or `file.py:Class`."""
    if ".py:" in type_name:
        found = _from_file(type_name)
    else:
        known = BUILT_IN if type_name in BUILT_IN else known_types()  # reading the entry points takes milliseconds
        if type_name not in known:
            raise LookupError(
                f"no grader type {type_name!r}; {_nearest_type(type_name, known)}. Your own: path/to/file.py:Name"
            )
        module, _, attribute = known[type_name].partition(":")
        found = getattr(importlib.import_module(module), attribute)
    if not (inspect.isclass(found) and issubclass(found, Grader)):
        hint = (
            f'; of a function write {{"type": "function", "source": "{type_name}"}}' if inspect.isroutine(found) else ""
        )
        raise ValueError(f"type {type_name!r} names {short(found)}, which is not a Grader class{hint}")
    return found


def _nearest_type(name: str, known: Iterable[str]) -> str:
    """As `nearest`, also for the tags that OpenAI's results bear, as in `string-check-grader`."""
    return nearest(name.replace("-", "_").removesuffix("_grader"), known)


def load(source: Grader | BaseModel | Mapping[str, Any] | str | Path) -> Grader:
    """A grader from wire data, a `.json` file, or `file.py:name` (a Grader, a Grader class, or a function).

    An object of the `openai` client's types is wire data too.

    Raises LookupError for an unknown type, ValueError for a bad definition, FileNotFoundError for a missing
    file.
    """
    if isinstance(source, Grader):
        return source
    if isinstance(source, BaseModel):
        source = source.model_dump()
    if isinstance(source, Mapping):
        return _from_wire(source)
    text = str(source)
    if ".py:" in text:
        found = _from_file(text)
        if isinstance(found, Grader):
            return found
        if inspect.isclass(found) and issubclass(found, Grader):
            return _from_wire({"type": text})
        return _from_wire({"type": "function", "source": text, "name": text.rpartition(":")[2]})
    path = Path(text)
    if path.suffix == ".py":
        raise ValueError(f"{text!r} may hold several graders; name one of them: {text}:name")
    if not _is_file(path):
        raise FileNotFoundError(f"no grader file {short(text, 300)}; give a .json file or path/to/file.py:name")
    try:
        wire = read_json(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise ValueError(f"{path}: not JSON: {problem}") from None
    if isinstance(wire, Mapping) and ("testing_criteria" in wire or isinstance(wire.get("method"), Mapping)):
        holds = "an OpenAI eval" if "testing_criteria" in wire else "an OpenAI fine-tuning job"
        raise ValueError(f"{path}: this is {holds}, which holds graders; take them out with: assay convert {path}")
    if not isinstance(wire, Mapping):
        raise ValueError(f"{path}: a grader is a JSON object with a 'type', not {type(wire).__name__}")
    try:
        return _from_wire(wire)
    except (ValueError, LookupError) as problem:
        raise type(problem)(f"{path}: {problem.args[0]}") from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than a file's may be
        return False


def _from_wire(wire: Mapping[str, Any]) -> Grader:
    type_name = wire.get("type")
    if not isinstance(type_name, str):
        raise ValueError(f"a grader needs a 'type'; {nearest('', known_types())}")
    cls = grader_class(type_name)
    options = {key: value for key, value in wire.items() if value is not None or not _left_out(key, cls)}
    if cls.in_openai and isinstance(options.get("id"), str) and "id" not in cls.model_fields:
        del options["id"]  # the service's own, on the testing criteria it returns
    if ".py:" in type_name and cls.model_fields["type"].annotation is not str:
        del options["type"]  # a class that fixes its type with a Literal keeps its own
    try:
        grader = cls.model_validate(options)
    except ValidationError as problem:
        raise ValueError(_readable(problem, cls, wire)) from None
    if isinstance(grader, FunctionGrader):
        grader._function = _function_from_file(grader.source)
    warn_of_whole(grader)
    return grader


def _left_out(key: str, cls: type[Grader]) -> bool:
    """Whether a null under this key says nothing. OpenAI's client adds nulls of other graders to what it parsed."""
    return key == "name" or (cls.in_openai and key not in _keys(cls))


def _readable(problem: ValidationError, cls: type[Grader], wire: Mapping[str, Any]) -> str:
    """A validation error in one line per finding: where, what was given, what is expected."""
    label = wire.get("name") or wire.get("type")
    lines = []
    for finding in problem.errors():
        path = _path_in(wire, finding["loc"], finding["type"] in ("missing", "extra_forbidden"))
        place = ".".join(map(str, path))
        if finding["type"] == "extra_forbidden":
            known = f"; {nearest(place, _keys(cls))}" if len(path) == 1 else ""
            lines.append(f"unknown key {place!r}{known}")
        elif finding["type"] == "missing":
            lines.append(f"key {place!r} is missing")
        else:
            message = finding["msg"].removeprefix("Value error, ")
            if finding["type"] == "literal_error" and isinstance(finding["input"], str):
                message += _did_you_mean(finding["input"], finding.get("ctx", {}).get("expected", ""))
            given = finding["input"]
            shown = f" (given: {short(given)})" if isinstance(given, str | int | float | list) else ""
            lines.append(f"{place}: {message}{shown}" if place else message)
    return f"grader {label!r}: " + "; ".join(lines)


def _path_in(wire: Any, location: Sequence[str | int], names_a_key: bool) -> list[str | int]:
    """Where in the definition a finding is: pydantic's location without the tags of the shapes it tried.

    The last step `names_a_key` where a key is missing or unknown; elsewhere it too may be a tag.
    """
    path, value = [], wire
    for number, step in enumerate(location, start=1):
        places = value if isinstance(value, Mapping) else range(len(value) if isinstance(value, list) else 0)
        if step in places:
            value = value[step]
            path.append(step)
        elif names_a_key and number == len(location):
            path.append(step)
    return path


def _keys(cls: type[Grader]) -> list[str]:
    """The keys of a class's wire form."""
    return [field.alias or name for name, field in cls.model_fields.items()]


def _did_you_mean(given: str, expected: str) -> str:
    close = difflib.get_close_matches(given[:100], re.findall(r"'([^']*)'", expected), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _function_from_file(source: str) -> Callable[..., Any]:
    found = _from_file(source)
    if inspect.isclass(found) or not callable(found):
        raise ValueError(f"{source!r} is {short(found)}, which is neither a Grader nor a function f(sample, item)")
    return found  # type: ignore[no-any-return]


def _from_file(source: str) -> Any:
    """`file.py:name`, under a private module name, so that a user's graders.py never hides our package."""
    file, _, name = source.rpartition(":")
    path = Path(file).resolve()
    if not _is_file(path):
        raise FileNotFoundError(f"no file {short(file, 300)} (from grader {short(source, 300)})")
    module = load_module(path)
    if not hasattr(module, name):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise LookupError(f"{path} has no {name!r}; {nearest(name, public)}")
    return getattr(module, name)


def load_module(path: Path) -> ModuleType:
    private = f"_assay_file_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if private in sys.modules:
        return sys.modules[private]
    spec = importlib.util.spec_from_file_location(private, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as problem:
        del sys.modules[private]
        raise ValueError(_broken_file(path, problem)) from problem
    except BaseException:
        del sys.modules[private]
        raise
    return module


def _broken_file(path: Path, problem: BaseException) -> str:
    """What stopped a user's file from loading: file:line and the reason, in one line."""
    if isinstance(problem, SyntaxError) and problem.filename is not None:
        return f"{problem.filename}:{problem.lineno}: {type(problem).__name__}: {problem.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if frame.filename == str(path)]
    place = f"{path}:{lines[-1]}" if lines else str(path)
    reason = " ".join(str(problem).split())
    hint = "; install it, or put the folder it is in on PYTHONPATH" if isinstance(problem, ModuleNotFoundError) else ""
    return f"{place}: {type(problem).__name__}: {reason}{hint}"
