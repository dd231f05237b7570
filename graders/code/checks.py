"""What is checked of a `code` grader when it is loaded: names of options, and sources that hold no template."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Mapping
from keyword import iskeyword

from graders.code.run import words
from graders.template import short

FOREIGN: Mapping[str, str] = {  # names that others use, and our option
    **{"test_cases": "cases", "testcases": "cases", "entry_point": "function", "fn_name": "function"},
    **{"time_limit": "timeout_seconds", "test": "tests", "test_list": "tests"},
    **{"memory_limit": "memory_mb", "canonical_solution": "reference", "solution": "reference"},
}


def check_keys(keys: Iterable[str]) -> None:
    """Raise ValueError for the name that others use for an option."""
    for key in keys:
        if key in FOREIGN:
            raise ValueError(f"unknown key {key!r}; did you mean {FOREIGN[key]!r}?")


def check_constants(function: str, tests: str, arguments: str, reference: str) -> None:
    """Raise ValueError for one that holds no template, and cannot be used whatever the item."""
    if function and "{{" not in function:
        check_function(function)
    for name, source in (("tests", tests), ("arguments", arguments), ("reference", reference)):
        if source and "{{" not in source:
            try:
                check_source(source, "arguments" if name == "arguments" else "")
            except ValueError as problem:
                raise ValueError(f"{name}: {problem}") from None


def check_function(name: str) -> None:
    """Raise ValueError for what names no function."""
    if not all(part.isidentifier() and not iskeyword(part) for part in name.split(".")):
        raise ValueError(f"function {short(name)}: it is no name of a function, such as add or Solution.add")


def check_source(text: str, defines: str = "") -> None:
    """Raise ValueError where an author's source does not compile, or nowhere binds a name that it must define."""
    if not text.strip():
        raise ValueError("the source is blank")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        raise ValueError(f"the source does not compile: {words(str(problem))}") from None
    if defines and not any({defines, "*"} & _bound(node) for node in nodes):
        raise ValueError(f"the source defines no {defines!r}")


def _bound(node: ast.AST) -> set[object]:
    """The names that a node may bind; a text may be a name too, as in globals()["f"]."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.alias):
        return {node.asname or node.name}
    if isinstance(node, ast.Constant):
        return {node.value}
    return {node.id} if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else set()
