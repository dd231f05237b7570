"""From other people's files to our graders: what OpenAI's jobs and evals and Promptfoo's configs hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from graders.convert import openai_wire, promptfoo
from graders.convert.converted import Converted, read_yaml
from graders.sample import read_json
from graders.template import nearest

__all__ = ["Converted", "convert"]


def convert(path: Path, judge: str = "") -> Converted:
    """The graders of an OpenAI fine-tuning job or eval, or of a Promptfoo config, from a JSON or YAML file.

    `judge` is the model of graders for which the source names none. Raises ValueError where the file is none of
    these, or holds a grader that cannot be loaded.
    """
    source = read_source(path)
    readers: list[tuple[Callable[[Any], bool], Callable[[Mapping[str, Any]], Converted]]] = [
        (openai_wire.is_eval, openai_wire.from_eval),
        (openai_wire.is_job, openai_wire.from_job),
        (promptfoo.is_config, lambda config: promptfoo.from_config(config, path.parent, judge)),
    ]
    for fits, read in readers:
        if isinstance(source, Mapping) and fits(source):
            try:
                return _with_warnings(read, source)
            except (ValueError, LookupError, TypeError) as problem:
                raise ValueError(f"{path}: {problem.args[0] if problem.args else problem}") from problem
    keys = ", ".join(map(str, source)) if isinstance(source, Mapping) else f"a {type(source).__name__}"
    if isinstance(source, Mapping) and isinstance(source.get("type"), str):
        raise ValueError(f"{path}: this is a grader already (type {source['type']!r}); use it as it is")
    known = ("method", "testing_criteria", "prompts", "providers", "tests", "defaultTest")
    raise ValueError(
        f"{path}: neither an OpenAI fine-tuning job (method), an OpenAI eval (testing_criteria) nor a Promptfoo "
        f"config (prompts, providers, tests): it holds {keys[:200]}; {nearest(keys, known)}"
    )


def _with_warnings(read: Callable[[Mapping[str, Any]], Converted], source: Mapping[str, Any]) -> Converted:
    """What the graders warn of as they load, among the remarks."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        converted = read(source)
    for warning in caught:
        converted.otherwise("a grader warns", warning.category.__name__, str(warning.message))
    return converted


def read_source(path: Path) -> Any:
    """The data of a `.json`, `.yaml` or `.yml` file. Raises ValueError with the place where it is neither."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {str(path)!r}")
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix.lower() in (".yaml", ".yml"):
            return read_yaml(text)
        return read_json(text)
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
