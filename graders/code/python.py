"""python: source code that defines `grade(sample, item)`."""

from __future__ import annotations

import ast
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from graders.code.scores import installed_profile, scores
from graders.composite import GraderWarning
from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.options import Number
from graders.sample import SAMPLE_FIELDS, Item, Sample
from graders.sandbox.fork_server import Profile, ServerFailedError
from graders.sandbox.jail.limits import Limits
from graders.sandbox.pool import BATCH, OverloadedError, RefusedError, pool
from graders.template import choices_of

IMAGE_TAGS = ("2025-05-08",)
"""Tags of OpenAI's python image that are documented."""

SIGNATURE = "write def grade(sample, item): and return a float"
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _checked_source(source: str) -> str:
    """Refuse source that could never grade: too long, not Python, or without `grade(sample, item)`."""
    try:
        source.encode()
    except UnicodeEncodeError:
        raise ValueError("the source holds half a surrogate pair, which is no text") from None
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
    payload: dict[str, Any] = plain_json(_sample_fields(sample), "the sample")
    return payload


class Python(Grader):
    """The number that `grade(sample, item)` of some source code returns (OpenAI's `python`).

    The source is checked when the grader loads: its size, its syntax, and that it defines `grade` with exactly
    two parameters. It runs in the sandbox, never in this process: it reads no file but Python's library and the
    installed packages, reaches no network, starts nothing, and is killed when its time is up. OpenAI clamps nothing, so
    the range is all finite numbers. What it raises, a result that is no number and a broken limit leave the grade
    undecided, with OpenAI's `python_grader_runtime_error`.

    >>> grader = Python(source="def grade(sample, item):\\n    return float(sample['output_text'] == item['gene'])")
    >>> grader.arguments(Sample("FBN1"), {"gene": "FBN1"})[0]["output_text"]
    'FBN1'
    """

    in_openai: ClassVar[bool] = True

    type: Literal["python"] = "python"
    source: Annotated[str, AfterValidator(_checked_source)]
    image_tag: str | None = None
    pass_threshold: Number | None = None
    timeout_seconds: float = Field(120.0, gt=0, le=3600, strict=True, allow_inf_nan=False)
    memory_mb: int = Field(2048, ge=16, le=2**20, strict=True)
    source_kb: int = Field(256, ge=1, le=2**14, strict=True)

    def model_post_init(self, _: Any) -> None:
        if self.image_tag is not None and self.image_tag not in IMAGE_TAGS:
            warnings.warn(
                f"{self.label}: no python image {self.image_tag!r} is documented; known: {', '.join(IMAGE_TAGS)}",
                GraderWarning,
                stacklevel=2,
            )
        if found := runs_code(self.source):
            warnings.warn(
                f"{self.label}: {found} in the source: if what it runs comes from the sample, the sample can set its "
                "own score; the grader `code` runs a sample's code in a process of its own",
                GraderWarning,
                stacklevel=2,
            )

    @model_validator(mode="after")
    def _source_fits(self) -> Python:
        size = len(self.source.encode())
        if size >= self.source_kb * 1024:
            most = f"{self.source_kb * 1024:,} ({self.source_kb} kB)"
            raise ValueError(f"the source has {size:,} bytes; it must have fewer than {most}")
        return self

    @property
    def range(self) -> tuple[float, float]:
        return -math.inf, math.inf

    @property
    def waits(self) -> bool:
        return False  # a warm process answers sooner than an event loop would

    @property
    def batch(self) -> int:
        return BATCH

    def to_openai(self) -> dict[str, Any]:
        for option in ("timeout_seconds", "memory_mb", "source_kb"):
            if getattr(self, option) != type(self).model_fields[option].default:
                raise ValueError(f"{self.label!r}: {option!r} is Assay's own; OpenAI's limits are fixed")
        return super().to_openai()

    def arguments(self, sample: Sample, item: Item) -> tuple[dict[str, Any], dict[str, Any]]:
        """What `grade` is called with: the sample with all of OpenAI's keys, and the whole item, as plain JSON."""
        return sample_payload(sample), plain_json(dict(item), "the item")

    def check_ready(self) -> None:
        try:
            pool().check(self._profile)
        except (RefusedError, ServerFailedError) as problem:
            raise ValueError(str(problem)) from None

    def grade(self, sample: Sample, item: Item) -> Grade:
        return self._graded([self._arguments(sample, item)])[0]

    async def grade_async(self, sample: Sample, item: Item) -> Grade:
        arguments = self._arguments(sample, item)
        return (await pool().in_thread(lambda: self._graded([arguments])))[0]

    def grade_batch(self, pairs: Sequence[tuple[Sample, Item]]) -> list[Grade | GradingError]:
        found: list[Grade | GradingError] = []
        arguments: list[bytes] = []
        places: list[int] = []
        for place, (sample, item) in enumerate(pairs):
            try:
                arguments.append(self._arguments(sample, item))
                places.append(place)
                found.append(GradingError("other_error", "not graded"))
            except GradingError as problem:
                found.append(problem)
        for place, grade in zip(places, self._graded(arguments), strict=True):
            found[place] = grade
        return found

    @cached_property
    def _profile(self) -> Profile:
        return installed_profile(self.source)

    def _arguments(self, sample: Sample, item: Item) -> bytes:
        return _json([_sample_fields(sample), dict(item)], sample, item)

    def _graded(self, arguments: Sequence[bytes]) -> list[Grade]:
        limits = Limits(memory=self.memory_mb * 2**20)
        try:
            return scores(self.source, self._profile, limits, self.timeout_seconds, arguments)
        except RefusedError as problem:
            raise GradingError("sandbox_refused", str(problem), "infra") from None
        except OverloadedError as problem:
            raise GradingError("overloaded", str(problem), "infra") from None
        except ServerFailedError as problem:
            raise GradingError("python_grader_server_error", str(problem), "infra") from None


def _sample_fields(sample: Sample) -> dict[str, Any]:
    return {name: getattr(sample, name) for name in SAMPLE_FIELDS} | {"choices": choices_of(sample)}


def _json(value: Any, sample: Sample, item: Item) -> bytes:
    try:
        return _ENCODE(value).encode()
    except (TypeError, ValueError, RecursionError):  # which of the two it is, and why
        sample_payload(sample)
        plain_json(dict(item), "the item")
        raise


_ENCODE = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def runs_code(source: str) -> str:
    """Where a source runs code that it makes or is given, as "line 3: exec"; "" where it does not."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("exec", "eval"):
            return f"line {node.lineno}: {node.func.id}"
    return ""
