"""From other people's files to ours: what OpenAI's jobs, evals and output items and Promptfoo's configs hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from graders.convert import openai_wire, promptfoo
from graders.convert.converted import Converted, read_yaml
from graders.convert.output_items import from_output_items, is_output_items
from graders.rows import read_rows
from graders.sample import parse_json, read_json
from graders.template import nearest

__all__ = ["Converted", "convert"]


def convert(path: Path, judge: str = "") -> Converted:
    """What the file of somebody else holds: graders, rows, grades.

    It is an OpenAI fine-tuning job, a request to run or validate a grader there, an OpenAI eval or a Promptfoo config
    (JSON or YAML), or the output items of an OpenAI eval run (JSON or JSON Lines). `judge` is the model of graders for
    which the source names none. Raises ValueError where the file is none of these, or holds a grader that cannot be
    loaded.
    """
    source = read_source(path)
    readers: list[tuple[Callable[[Any], bool], Callable[[Any], Converted]]] = [(is_output_items, from_output_items)]
    if isinstance(source, Mapping):
        readers += [
            (openai_wire.is_eval, openai_wire.from_eval),
            (openai_wire.is_job, openai_wire.from_job),
            (promptfoo.is_config, lambda config: promptfoo.from_config(config, path.parent, judge)),
        ]
    for fits, read in readers:
        if fits(source):
            try:
                return _with_warnings(read, source)
            except (ValueError, LookupError, TypeError) as problem:
                raise ValueError(f"{path}: {problem.args[0] if problem.args else problem}") from problem
    raise ValueError(f"{path}: {_none_of_these(source)}")


def _none_of_these(source: Any) -> str:
    held = source[0] if isinstance(source, list) and source else source
    if isinstance(held, Mapping) and isinstance(held.get("item"), Mapping):
        return "these are rows that 'assay grade' reads; use them as they are"
    if isinstance(held, Mapping) and isinstance(held.get("type"), str):
        return f"this is a grader already (type {held['type']!r}); use it as it is"
    keys = ", ".join(map(str, held)) if isinstance(held, Mapping) else f"a {type(held).__name__}"
    known = ("method", "testing_criteria", "datasource_item", "prompts", "providers", "tests", "defaultTest")
    return (
        "neither an OpenAI fine-tuning job (method), an OpenAI eval (testing_criteria), output items of an eval run "
        f"(datasource_item) nor a Promptfoo config (prompts, providers, tests): it holds {keys[:200]}; "
        f"{nearest(keys, known)}"
    )


def _with_warnings(read: Callable[[Any], Converted], source: Any) -> Converted:
    """What the graders warn of as they load, among the remarks."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        converted = read(source)
    for warning in caught:
        converted.otherwise("a grader warns", warning.category.__name__, str(warning.message))
    return converted


def read_source(path: Path) -> Any:
    """The data of a `.json`, `.jsonl`, `.yaml` or `.yml` file; several lines of JSON are a list of their objects.

    Raises ValueError with the place where it is none of them.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {str(path)!r}")
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        return _lines(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() in (".yaml", ".yml"):
            return read_yaml(text)
        return read_json(text)
    except ValueError as problem:
        if path.suffix.lower() == ".json" and isinstance(parse_json(text.lstrip().partition("\n")[0]), dict):
            return _lines(path)
        raise ValueError(f"{path}: {problem}") from None


def _lines(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_rows(path, max_bytes=path.stat().st_size)]
