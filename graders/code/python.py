"""python: source code that defines `grade(sample, item)`."""

from __future__ import annotations

import ast
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator

from graders.composite import GraderWarning
from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.options import Number
from graders.sample import SAMPLE_FIELDS, Item, Sample
from graders.template import choices_of

MAX_SOURCE_BYTES = 256 * 1024
IMAGE_TAGS = ("2025-05-08",)
"""Tags of OpenAI's python image that are documented."""

SIGNATURE = "write def grade(sample, item): and return a float"
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _checked_source(source: str) -> str:
    """Refuse source that could never grade: too long, not Python, or without `grade(sample, item)`."""
    try:
        size = len(source.encode())
    except UnicodeEncodeError:
        raise ValueError("the source holds half a surrogate pair, which is no text") from None
    if size >= MAX_SOURCE_BYTES:
        raise ValueError(f"the source has {size:,} bytes; it must have fewer than {MAX_SOURCE_BYTES:,} (256 kB)")
    _check_grade(_parsed(source))
    return source


def _parsed(source: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an odd escape in someone's regex is no matter of ours
            return ast.parse(source)
    except SyntaxError as problem:
        raise ValueError(f"line {problem.lineno} of the source: {problem.msg}") from None
    except (ValueError, RecursionError, MemoryError) as problem:  # a null byte; nested too deeply
        raise ValueError(f"the source cannot be read as Python: {str(problem) or type(problem).__name__}") from None


def _bindings(body: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.stmt | ast.expr | None]]:
    """The names that running these statements binds, with the function or expression each is bound to."""
    for node in body:
        if isinstance(node, _Function | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        yield name.id, node.value if name is target else None
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, None
        for inner in ("body", "orelse", "finalbody"):
            if not isinstance(node, _Function | ast.ClassDef):
                yield from _bindings(getattr(node, inner, []))
        for handler in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
            yield from _bindings(handler.body)


def _check_grade(module: ast.Module) -> None:
    bound = dict(_bindings(module.body))  # the last binding of a name is the one that counts
    if "grade" not in bound and "*" not in bound:
        functions = [name for name, node in bound.items() if isinstance(node, _Function)]
        found = f"it defines {', '.join(functions)}" if functions else "it defines no function"
        raise ValueError(f"the source defines no 'grade' at its top level ({found}); {SIGNATURE}")
    grade = bound.get("grade")
    while isinstance(grade, ast.Name) and grade.id != "grade":  # grade = my_grader
        grade = bound.get(grade.id)
    if isinstance(grade, ast.AsyncFunctionDef):
        raise ValueError(f"line {grade.lineno} of the source: grade is async, and nothing would await it; {SIGNATURE}")
    if isinstance(grade, ast.Constant | ast.ClassDef):
        raise ValueError(f"line {grade.lineno} of the source: grade is no function; {SIGNATURE}")
    if isinstance(grade, ast.FunctionDef) and grade.decorator_list:
        return  # a decorator may change what it takes
    if isinstance(grade, ast.FunctionDef | ast.Lambda) and (count := _parameters(grade.args)) != 2:
        raise ValueError(
            f"line {grade.lineno} of the source: grade takes {count} parameter{'s' * (count != 1)}, "
            f"and it is called with exactly two; {SIGNATURE}"
        )


def _parameters(arguments: ast.arguments) -> int:
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return len(named) + (arguments.vararg is not None) + (arguments.kwarg is not None)


def plain_json(value: Any, what: Literal["the sample", "the item"]) -> Any:
    """The value as JSON has it (dicts, lists, texts, numbers, booleans, None); GradingError where it is none."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except RecursionError:
        detail = f"{what} is nested too deeply to be handed over"
        if what == "the sample":
            raise GradingError("sample_parse_error", detail, "candidate") from None
        raise GradingError("other_error", detail) from None
    except (TypeError, ValueError) as problem:
        raise GradingError("other_error", f"{what} is not JSON, so it cannot be handed over: {problem}") from None


def sample_payload(sample: Sample) -> dict[str, Any]:
    """The sample as OpenAI hands it to python and endpoint graders: every key there, null or empty when absent."""
    fields = {name: getattr(sample, name) for name in SAMPLE_FIELDS} | {"choices": choices_of(sample)}
    payload: dict[str, Any] = plain_json(fields, "the sample")
    return payload


class Python(Grader):
    """The number that `grade(sample, item)` of some source code returns (OpenAI's `python`).

    The source is checked when the grader loads: its size, its syntax, and that it defines `grade` with exactly
    two parameters. It is not run then. Running it needs a sandbox, which is not installed: the grade is
    undecided, of the kind `not_installed`. For code of your own that you trust, `file.py:name` runs here and
    now. OpenAI clamps nothing, so the range is all finite numbers.

    >>> grader = Python(source="def grade(sample, item):\\n    return float(sample['output_text'] == item['gene'])")
    >>> grader.arguments(Sample("FBN1"), {"gene": "FBN1"})[0]["output_text"]
    'FBN1'
    >>> grader("FBN1", {"gene": "FBN1"}).error.kind
    'not_installed'
    """

    in_openai: ClassVar[bool] = True

    type: Literal["python"] = "python"
    source: Annotated[str, AfterValidator(_checked_source)]
    image_tag: str | None = None
    pass_threshold: Number | None = None

    def model_post_init(self, _: Any) -> None:
        if self.image_tag is not None and self.image_tag not in IMAGE_TAGS:
            warnings.warn(
                f"{self.label}: no python image {self.image_tag!r} is documented; known: {', '.join(IMAGE_TAGS)}",
                GraderWarning,
                stacklevel=2,
            )

    @property
    def range(self) -> tuple[float, float]:
        return -math.inf, math.inf

    def arguments(self, sample: Sample, item: Item) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `grade` is called with: the sample with all of OpenAI's keys, and the whole item, as plain JSON."""
        return sample_payload(sample), plain_json(dict(item), "the item")

    def grade(self, sample: Sample, item: Item) -> Grade:
        self.arguments(sample, item)
        raise GradingError(
            "not_installed",
            f"{self.label} holds source code, and no sandbox is installed to run it in; "
            "code of your own that you trust runs as file.py:name",
            "infra",
        )
