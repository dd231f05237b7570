"""python: source code that defines `grade(sample, item)`."""

from __future__ import annotations

import ast
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from graders.code.image import IMAGES, corpora, imports_of, missing_packages, package_folders
from graders.code.infra import typed_errors
from graders.code.scores import BATCH, scores
from graders.composite import GraderWarning
from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.options import Number
from graders.sample import SAMPLE_FIELDS, Item, Sample
from graders.sandbox import jail
from graders.sandbox.fork_server import Profile
from graders.sandbox.jail.limits import Limits
from graders.sandbox.pool import RefusedError, pool
from graders.sandbox.process import ServerFailedError
from graders.template import choices_of

JAIL = Path(jail.__file__).parent

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


@lru_cache(maxsize=16)  # a grader asks several times
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
    source: Annotated[str, AfterValidator(_checked_source)]  # the code, with `def grade(sample, item)` at its top level
    image_tag: str | None = None  # OpenAI's image that it was written for; nothing is downloaded
    pass_threshold: Number | None = None  # OpenAI's field for evals; it does not change the score
    timeout_seconds: float = Field(120.0, gt=0, le=3600, strict=True, allow_inf_nan=False)  # of one call
    memory_mb: int = Field(2048, ge=16, le=2**20, strict=True)  # beyond what the interpreter holds
    source_kb: int = Field(256, ge=1, le=2**14, strict=True)  # the source is smaller than so many kB

    def model_post_init(self, _: Any) -> None:
        for doubt in self._doubts():
            warnings.warn(f"{self.label}: {doubt}", GraderWarning, stacklevel=2)

    def _doubts(self) -> Iterator[str]:
        if self.image_tag is not None and self.image_tag not in IMAGES:
            yield f"no python image {self.image_tag!r} is documented; known: {', '.join(IMAGES)}"
        for module, package, there in missing_packages(_parsed(self.source), self.image_tag):
            known = f" (OpenAI's image holds {package} {there}); pip install '{package}'" if package else ""
            yield (
                f"the source imports {module}, which is not installed here, so a call that needs it cannot "
                f"succeed{known}"
            )
        if self._runs_code:
            yield (
                f"{self._runs_code} in the source: if what it runs comes from the sample, the sample can set its own "
                "score; each call gets a process of its own. The grader `code` keeps a sample's code apart from what "
                "judges it"
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

    def code(self) -> tuple[Path, ...]:
        """What calls the source: it runs apart, and is imported by nothing here."""
        return tuple(JAIL.glob("*.py"))

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

    def _check_row(self, item: Item) -> None:
        plain_json(dict(item), "the item")  # what the source says of an empty output says nothing of the row

    @cached_property
    def _profile(self) -> Profile:
        source, folders = _parsed(self.source), package_folders()
        return Profile(imports_of(source), folders, (*folders, *corpora(source)))

    @cached_property
    def _is_alone(self) -> bool:
        """Whether each call has a process of its own: what a sample's text did there ends with it."""
        return may_run_texts(_parsed(self.source))

    @cached_property
    def _runs_code(self) -> str:
        return runs_code(_parsed(self.source))

    def _arguments(self, sample: Sample, item: Item) -> bytes:
        return _json([_sample_fields(sample), dict(item)], sample, item)

    def _graded(self, arguments: Sequence[bytes]) -> list[Grade]:
        limits = Limits(memory=self.memory_mb * 2**20)
        with typed_errors(failed="python_grader_server_error"):
            return scores(self.source, self._profile, limits, self.timeout_seconds, arguments, alone=self._is_alone)


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


RUNS_CODE = ("exec", "eval", "compile", "sympify", "parse_expr")
"""Functions that run a text as Python: the built-in ones, and sympy's, which call `eval`."""


def runs_code(source: ast.Module) -> str:
    """Where a source runs texts as code, as "line 3: exec"; "" where it does not, as far as can be seen.

    A name that is looked up in another way is not found: what keeps the machine safe is the sandbox.
    """
    for node in ast.walk(source):
        if isinstance(node, ast.Call) and (name := _called(node.func)) in RUNS_CODE:
            return f"line {node.lineno}: {name}"
    return ""


RUNNERS = frozenset(
    [
        *("asteval", "builtins", "cloudpickle", "code", "codeop", "dill", "importlib", "jinja2", "joblib"),
        *("jsonpickle", "latex2sympy2", "latex2sympy2_extended", "marshal", "math_verify", "numexpr", "pickle"),
        *("runpy", "shelve", "sympy", "timeit", "torch", "yaml"),
    ]
)
"""Modules of which some function runs a text, or data that may hold one, whatever name it is called by: of sympy,
nearly every function that is given a text."""

RUNS_TEXTS = frozenset(("exec", "eval", "compile", "__import__", "__builtins__", "globals", "query", "read_pickle"))


def may_run_texts(source: ast.Module) -> bool:
    """Whether a source could run a text that it is given: then no two calls share a process.

    It names a module that does, or a function, also as an attribute (`frame.eval`), but for `re.compile`.
    """
    for node in ast.walk(source):
        if isinstance(node, ast.Import) and any(_root(alias.name) in RUNNERS for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and _root(node.module or "") in RUNNERS:
            return True
        if isinstance(node, ast.Name) and node.id in RUNS_TEXTS:
            return True
        if isinstance(node, ast.Attribute) and node.attr in RUNS_TEXTS - {"compile"}:
            return True
    return False


def _root(module: str) -> str:
    return module.partition(".")[0]


def _called(function: ast.expr) -> str:
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        of_ours = function.value.id in ("builtins", "sympy", "sp")  # re.compile, model.eval and others are no matter
        return function.attr if of_ours else ""
    return ""
