"""Grader: judges a sample against an item. Every grader, ours or yours, is one of these.

A grader is a small frozen pydantic model: its fields are its options and its JSON is its wire form. An author
writes one method: `grade` for pure graders, `grade_async` for those that wait on a network. A caller writes
`grader(sample, item)` and need not know which.
"""

from __future__ import annotations

import ast
import asyncio
import hashlib
import importlib
import inspect
import json
import math
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr

from graders.extract import Extract, extracted
from graders.grade import Grade, GradeError, GradingError, GradingStopped
from graders.sample import Item, Sample
from graders.variables import missing_variables

OURS = ("graders", "rewards", "rft_loop")
ALONE = "needs a group: it compares the samples of one item; grade them together with graders.groups.grade_groups"
_STRICT_JSON = json.JSONEncoder(allow_nan=False)


class Grader(BaseModel):
    """Base of all graders. Subclass it, set `type`, add options as fields, write `grade` or `grade_async`.

    >>> class Shouts(Grader):
    ...     type: str = "shouts"
    ...     def grade(self, sample, item):
    ...         return 1.0 if sample.output_text.isupper() else 0.0
    >>> Shouts()("HELLO").score
    1.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    in_openai: ClassVar[bool] = False  # whether OpenAI has a grader of this type

    type: str
    name: str = ""
    extract: Extract | None = None

    # What an author writes: one of these two.

    def grade(self, sample: Sample, item: Item) -> Grade | float:
        """Judge one sample. A plain float is a grade without a reason; GradingError is a typed error."""
        if self.judges_groups:
            raise GradingError("other_error", f"{self.label} {ALONE}")
        raise NotImplementedError(f"{type(self).__name__} must define grade() or grade_async()")

    async def grade_async(self, sample: Sample, item: Item) -> Grade | float:
        """The same for graders that wait on a network."""
        return self.grade(sample, item)

    async def grade_group_async(self, samples: Sequence[Sample], item: Item) -> Sequence[Grade | float]:
        """Judge the samples of one item together, for graders that compare them; `judges_groups` says so."""
        return await asyncio.gather(*(self.grade_async(sample, item) for sample in samples))

    def grade_batch(self, pairs: Sequence[tuple[Sample, Item]]) -> Sequence[Grade | float | GradingError]:
        """Judge several samples at once, for graders that are faster so; `batch` says so. Each gets its own answer."""
        raise NotImplementedError(f"{type(self).__name__} must define grade_batch()")

    @property
    def batch(self) -> int:
        """How many samples are best judged at once: above 1, `grade_batch` does the work where there are several."""
        return 1

    @property
    def judges_groups(self) -> bool:
        """Whether a sample is judged beside the others of its item: then `grade_group_async` does the work."""
        return False

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and highest score this grader can give; a score outside is an `out_of_range` error."""
        return 0.0, 1.0

    @property
    def waits(self) -> bool:
        """Whether grading waits on a network: then `grade_async` does the work."""
        return type(self).grade_async is not Grader.grade_async

    def code(self) -> tuple[Path, ...]:
        """Source files whose text is part of this grader's identity, besides those of its class."""
        return ()

    def code_files(self) -> frozenset[Path]:
        """Every source file whose text is part of this grader's identity."""
        return class_code(type(self)).union(self.code())

    def models(self) -> tuple[str, ...]:
        """The judge models it asks, each as the services that are configured call it; part of its identity."""
        return ()

    def check_ready(self) -> None:
        """Raise ValueError for what would keep every grade from being made here: no key, an address that is none."""

    # What a caller uses.

    def __eq__(self, other: object) -> bool:
        """Graders are equal when their definitions are, whether or not one has graded already."""
        return isinstance(other, Grader) and type(self) is type(other) and self.to_wire() == other.to_wire()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_wire(), sort_keys=True))

    # Operators: what they make is said in docs/algebra.md.

    def __add__(self, other: Any) -> Grader:
        return _operate("add", self, other)

    def __radd__(self, other: Any) -> Grader:
        return _operate("add", other, self)

    def __sub__(self, other: Any) -> Grader:
        return _operate("subtract", self, other)

    def __rsub__(self, other: Any) -> Grader:
        return _operate("subtract", other, self)

    def __mul__(self, other: Any) -> Grader:
        return _operate("multiply", self, other)

    def __rmul__(self, other: Any) -> Grader:
        return _operate("multiply", other, self)

    def __truediv__(self, other: float) -> Grader:
        return _operate("divide", self, other)

    def __neg__(self) -> Grader:
        return _operate("multiply", -1, self)

    def __invert__(self) -> Grader:
        return _operate("invert", self)

    def __ge__(self, other: float) -> Grader:
        return _operate("at_least", self, other)

    def __and__(self, other: Any) -> Grader:
        return _operate("both", self, other)

    def __rand__(self, other: Any) -> Grader:
        return _operate("both", other, self)

    def __or__(self, other: Any) -> Grader:
        return _operate("either", self, other)

    def __ror__(self, other: Any) -> Grader:
        return _operate("either", other, self)

    def __call__(self, sample: Sample | str | Mapping[str, Any], item: Item | None = None) -> Grade:
        """Grade one sample against its item. What the grader raises becomes an undecided grade."""
        if self.waits:
            return _run(self.call_async, sample, item)
        start, about = time.perf_counter(), None
        try:
            about = self._about(sample, item or {})
            answer = self.grade(about, item if item is not None else {})
        except GradingStopped:
            raise
        except (Exception, SystemExit) as problem:  # code of a user's must not end the process
            answer = _from_exception(problem, self.range)
        return self._stamped(answer, start, about)

    async def call_async(self, sample: Sample | str | Mapping[str, Any], item: Item | None = None) -> Grade:
        """As calling the grader, inside an event loop."""
        start, about = time.perf_counter(), None
        try:
            about = self._about(sample, item or {})
            answer = await self.grade_async(about, item if item is not None else {})
        except GradingStopped:
            raise
        except (Exception, SystemExit) as problem:  # code of a user's must not end the process
            answer = _from_exception(problem, self.range)
        return self._stamped(answer, start, about)

    def call_batch(self, pairs: Sequence[tuple[Sample | str | Mapping[str, Any], Item]]) -> list[Grade]:
        """The grades of several samples, each of its own item, in order, as calling the grader for each gives them.

        They are judged together where the grader takes batches; then each took an equal share of the time.
        """
        if self.batch == 1 or len(pairs) == 1:
            return [self(sample, item) for sample, item in pairs]
        start = time.perf_counter()
        answers: list[Any] = [None] * len(pairs)
        abouts: dict[int, Sample] = {}
        for place, (sample, item) in enumerate(pairs):
            try:
                abouts[place] = self._about(sample, item)
            except (Exception, SystemExit) as problem:
                answers[place] = self._answer_of(problem)
        asked = [(about, pairs[place][1]) for place, about in abouts.items()]
        for place, answer in zip(abouts, self._batch_answers(asked), strict=True):
            answers[place] = self._answer_of(answer) if isinstance(answer, GradingError) else answer
        share = (time.perf_counter() - start) / max(1, len(pairs))
        return [
            self._stamped(answer, time.perf_counter() - share, abouts.get(place))
            for place, answer in enumerate(answers)
        ]

    def _batch_answers(self, asked: Sequence[tuple[Sample, Item]]) -> Sequence[Grade | float | GradingError]:
        """What a batch is answered; what is raised is the answer to each."""
        if not asked:
            return []
        try:
            answers = self.grade_batch(asked)
            if len(answers) != len(asked):
                raise ValueError(f"{self.label} gave {len(answers)} grades for a batch of {len(asked)}")
        except GradingStopped:
            raise
        except (Exception, SystemExit) as problem:  # code of a user's must not end the process
            return [self._answer_of(problem)] * len(asked)
        return answers

    async def call_group_async(
        self, samples: Sequence[Sample | str | Mapping[str, Any]], item: Item | None = None
    ) -> list[Grade]:
        """The grades of the samples of one item, in order, inside an event loop.

        They are judged together where the grader `judges_groups`, else each as by `call_async`. A sample in which
        `extract` finds nothing is graded by itself. `graders.groups.grade_groups` grades many groups.
        """
        if not self.judges_groups:
            return list(await asyncio.gather(*(self.call_async(sample, item) for sample in samples)))
        start, row = time.perf_counter(), item if item is not None else {}
        abouts: dict[int, Sample] = {}
        answers: dict[int, Grade | float] = {}
        for place, sample in enumerate(samples):
            try:
                abouts[place] = self._about(sample, row)
            except (Exception, SystemExit) as problem:
                answers[place] = self._answer_of(problem)
        answers.update(zip(abouts, await self._answers(list(abouts.values()), row), strict=True))
        return [self._stamped(answers[place], start, abouts.get(place)) for place in range(len(samples))]

    async def _answers(self, abouts: Sequence[Sample], item: Item) -> Sequence[Grade | float]:
        """What a group is answered; what is raised is the answer to each, and its usage counts once."""
        if not abouts:
            return []
        try:
            answers = await self.grade_group_async(abouts, item)
            if len(answers) != len(abouts):
                raise ValueError(f"{self.label} gave {len(answers)} grades for a group of {len(abouts)}")
        except GradingStopped:
            raise
        except (Exception, SystemExit) as problem:  # code of a user's must not end the process
            answer = self._answer_of(problem)
            return [answer, *(replace(answer, usage=None) for _ in abouts[1:])]
        return answers

    def _answer_of(self, problem: Exception | SystemExit) -> Grade:
        return _from_exception(problem, self.range)

    @property
    def label(self) -> str:
        """The author's name for it, else its type (of `file.py:Name`, the Name)."""
        return self.name or self.type.rpartition(":")[2]

    @property
    def identity(self) -> str:
        """`<name>@<hash>`: the hash covers the definition, the code that gives it meaning and the models it asks."""
        return self._identity

    @cached_property
    def _identity(self) -> str:
        return self._identity_with(())

    @cached_property
    def _identities(self) -> dict[tuple[str, ...], str]:
        return {}  # by the models asked, which the configuration may change

    def _identity_asking(self, models: tuple[str, ...]) -> str:
        if models not in self._identities:
            self._identities[models] = self._identity_with(models)
        return self._identities[models]

    def _identity_with(self, models: tuple[str, ...]) -> str:
        digest = hashlib.sha256(json.dumps(_placeless(self.to_wire()), sort_keys=True).encode())
        # Sorted by name and text, not by path: the same code has the same hash wherever it is installed.
        for source in sorted(path.name.encode() + path.read_bytes() for path in self.code_files()):
            digest.update(source)
        for model in models:
            digest.update(b"\0" + model.encode())
        return f"{self.label}@{digest.hexdigest()[:12]}"

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other options, unchecked as in pydantic; what was computed from the old is left."""
        copy = super().model_copy(update=update, deep=deep)
        for name in copy.__dict__.keys() - type(self).model_fields.keys():
            del copy.__dict__[name]
        return copy

    def to_wire(self) -> dict[str, Any]:
        """The definition as JSON-ready data; `graders.load` reads it back."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"type": self.type, "name": self.label}

    def to_openai(self) -> dict[str, Any]:
        """The definition in OpenAI's own JSON, in its canonical shape.

        Raises ValueError naming the feature for which OpenAI has no word.
        """
        if not self.in_openai:
            raise ValueError(f"{self.label!r}: type {self.type!r} is Assay's own; OpenAI has no such grader")
        if self.extract is not None:
            raise ValueError(f"{self.label!r}: 'extract' is Assay's own; OpenAI's graders judge the whole output")
        return self.to_wire()

    def _about(self, sample: Sample | str | Mapping[str, Any], item: Item) -> Sample:
        """What is judged: the sample, or what `extract` finds in it."""
        whole = Sample.of(sample)
        if self.extract is None:
            return whole
        try:
            return extracted(self.extract, whole)
        except GradingError:
            self._check_row(item)
            raise

    def _check_row(self, item: Item) -> None:
        """Raise what keeps any output of this row from being judged: a broken row is never the candidate's fault."""
        if self.waits or self.judges_groups:  # not asked without need, or not alone: its variables are looked for
            if lacking := missing_variables(self, [item]):
                raise GradingError("invalid_variable_error", str(lacking[0]))
            return
        try:
            answer = self.grade(Sample(), item)
        except GradingError as problem:
            if problem.error.fault != "candidate":
                raise
        except Exception:  # of a grader that does not bear an empty output
            return
        else:
            if isinstance(answer, Grade) and answer.error is not None and answer.score is None:
                raise GradingError(answer.error.kind, answer.error.detail, answer.error.fault)

    def _stamped(self, answer: Grade | float, start: float, about: Sample | None) -> Grade:
        """The grade with its time and the grader's identity, after the checks every score must pass."""
        grade = answer if isinstance(answer, Grade) else _from_number(answer)
        if problem := _unwritable(grade):
            detail = f"{self.label} answered with a Grade that cannot be recorded: {problem}"
            grade = Grade.undecided("other_error", detail)
        low, high = self.range
        # isfinite was checked when the Grade was made: a clamp here would turn NaN into a full score.
        if grade.score is not None and not low <= grade.score <= high:
            detail = f"{self.label} scored {grade.score}, outside its range [{low:g}, {high:g}]"
            grade = replace(grade, score=None, why=detail, error=GradeError("out_of_range", "grader", detail))
        found = grade.extracted
        if found is None and self.extract is not None and about is not None:
            found = about.output_text
        seconds = time.perf_counter() - start
        if grade.grader or found is not grade.extracted or type(grade.score) not in (float, NoneType):
            score = None if grade.score is None else float(grade.score)  # numpy scalars would not go into JSON
            return replace(grade, score=score, extracted=found, seconds=seconds, grader=self.identity)
        object.__setattr__(grade, "seconds", seconds)  # nobody has seen it yet: a copy would cost as much as the rest
        object.__setattr__(grade, "grader", self.identity)
        return grade


class FunctionGrader(Grader):
    """A plain function `f(sample, item) -> float | Grade` as a grader. Made by `load` and `as_grader`."""

    type: str = "function"
    source: str  # "file.py:name"

    _function: Callable[[Sample, Item], Grade | float] = PrivateAttr()

    @property
    def range(self) -> tuple[float, float]:
        return -math.inf, math.inf

    @property
    def waits(self) -> bool:
        return inspect.iscoroutinefunction(self._function) or inspect.iscoroutinefunction(type(self._function).__call__)

    def code(self) -> tuple[Path, ...]:
        """The file it was loaded from and the one it is defined in, with what they import from beside them."""
        files: set[Path] = set()
        for file in (self.source.rpartition(":")[0], _source_file(self._function)):
            _follow_imports(Path(file).resolve(), files)  # a function typed into a session has no file
        return tuple(files)

    def grade(self, sample: Sample, item: Item) -> Grade | float:
        return self._function(sample, item)

    async def grade_async(self, sample: Sample, item: Item) -> Grade | float:
        answer: Any = self._function(sample, item)
        return await answer if inspect.isawaitable(answer) else answer  # type: ignore[no-any-return]


def as_grader(judge: Grader | Callable[[Sample, Item], Grade | float], name: str = "") -> Grader:
    """The grader itself, or a plain function `f(sample, item)` made into one."""
    if isinstance(judge, Grader):
        return judge
    if not callable(judge):
        raise TypeError(f"a grader is a Grader or a function f(sample, item), not {judge!r}")
    called = getattr(judge, "__name__", type(judge).__name__)
    file = _source_file(judge) if inspect.isfunction(judge) else ""  # nothing else is found again by its name
    grader = FunctionGrader(name=name or called, source=f"{file or '<session>'}:{called}")
    grader._function = judge
    return grader


def _operate(name: str, *operands: Any) -> Grader:
    # Found by its name: what operators make is no part of a grader's own code, nor of its identity.
    return getattr(importlib.import_module("graders.algebra.operators"), name)(*operands)  # type: ignore[no-any-return]


def _source_file(judge: Callable[..., Any]) -> str:
    """The file that defines a function, a partial of one, or a callable object's class; "" when there is none."""
    while isinstance(judge, partial):
        judge = judge.func
    judge = inspect.unwrap(judge)
    try:
        return inspect.getsourcefile(judge if inspect.isroutine(judge) else type(judge)) or ""
    except (OSError, TypeError):  # built in, or typed into a session
        return ""


def _unwritable(grade: Grade) -> str:
    """Why a grade could not be written as JSON and read back; "" when it could."""
    if not isinstance(grade.why, str):
        return f"why must be a string, not {type(grade.why).__name__}"
    if not (grade.formula is None or isinstance(grade.formula, str)):
        return f"formula must be a string, not {type(grade.formula).__name__}"
    if not (grade.error is None or isinstance(grade.error, GradeError)):
        return f"error must be a GradeError, not {type(grade.error).__name__}"
    for name in ("extracted", "usage"):
        value = getattr(grade, name)
        if not (value is None or type(value) is str):
            try:
                _STRICT_JSON.encode(value)
            except (TypeError, ValueError, RecursionError) as problem:
                return f"{name} is not JSON ({problem})"
    for key, part in grade.parts.items():
        if not (isinstance(key, str) and isinstance(part, Grade)):
            return f"parts must be Grades under names, not {type(part).__name__} under {key!r}"
        if not part.grader and (reason := _unwritable(part)):  # a part that bears its grader was looked at
            return f"part {key!r}: {reason}"
    return ""


def _from_number(answer: object) -> Grade:
    try:
        if isinstance(answer, str | bytes):
            raise TypeError
        score = float(answer)  # type: ignore[arg-type]  # numpy scalars and booleans too
    except OverflowError:
        return Grade.undecided("nonfinite", "the score came out as a whole number too large for a float")
    except (TypeError, ValueError):
        detail = f"a grader answers with a number or a Grade, not {type(answer).__name__}: {answer!r}"
        return Grade.undecided("other_error", detail)
    if not math.isfinite(score):
        return Grade.undecided("nonfinite", f"the score came out as {score}")
    return Grade(score, f"scored {score:g}")


def _from_exception(problem: Exception | SystemExit, score_range: tuple[float, float]) -> Grade:
    if isinstance(problem, GradingError):
        error = problem.error
        if error.fault == "candidate":
            lowest = score_range[0] if math.isfinite(score_range[0]) else 0.0
            return Grade.failed(error.kind, error.detail, lowest, usage=problem.usage)
        return Grade(None, error.detail, error, usage=problem.usage)
    where = traceback.extract_tb(problem.__traceback__)[-1]
    detail = f"{type(problem).__name__}: {problem} ({Path(where.filename).name}:{where.lineno})"
    if isinstance(problem, TimeoutError):
        return Grade.undecided("timeout", detail, "infra")
    return Grade.undecided("other_error", detail, "infra" if isinstance(problem, ConnectionError) else "grader")


def _run(call: Callable[..., Any], *arguments: Any) -> Grade:
    """Run a coroutine function to its end, also inside a running event loop (in a thread of its own)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(call(*arguments))  # type: ignore[no-any-return]
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(call(*arguments))).result()  # type: ignore[no-any-return]


def _placeless(wire: Any) -> Any:
    """A definition without the folders of its files: the same grader elsewhere is the same grader."""
    if isinstance(wire, list):
        return [_placeless(element) for element in wire]
    if not isinstance(wire, dict):
        return wire
    places = ("type", "source") if wire.get("type") == "function" else ("type",)  # elsewhere a source is code
    return {
        key: value.rpartition("/")[2] if key in places and isinstance(value, str) else _placeless(value)
        for key, value in wire.items()
    }


@lru_cache(maxsize=256)
def class_code(cls: type[Grader]) -> frozenset[Path]:
    """Source files that give a class its meaning: its bases', and what they import from their package."""
    files: set[Path] = set()
    for base in cls.__mro__:
        if issubclass(base, Grader):
            try:
                _follow_imports(Path(inspect.getfile(base)), files)
            except (OSError, TypeError):  # defined in a session, not in a file
                continue
    return frozenset(files)


def _follow_imports(path: Path, files: set[Path]) -> None:
    """Add a source file and what it imports from its own package, or from beside it when it is in none."""
    if path in files or not path.is_file():
        return
    files.add(path)
    root = path.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    own = "" if root == path.parent else path.relative_to(root).parts[0]
    for level, name in _imports(path.read_bytes()):
        folder = path.parents[level - 1] if level else root
        top = name.partition(".")[0]
        if folder == root and (top != own if own else top in OURS):
            continue  # another package; of ours, what a grader's classes use is followed from them
        module = folder.joinpath(*name.split("."))
        _follow_imports(module.with_suffix(".py"), files)
        _follow_imports(module / "__init__.py", files)


@lru_cache(maxsize=1024)
def _imports(source: bytes) -> frozenset[tuple[int, str]]:
    """The modules that a source may import: how many folders up, 0 for an absolute name, and the name."""
    found: set[tuple[int, str]] = set()
    rest: list[ast.AST] = [ast.parse(source)]
    while rest:  # statements alone, for no expression holds an import
        node = rest.pop()
        if isinstance(node, ast.Import):
            found.update((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]  # from . import prompts
            if node.module:
                names = [node.module, *(f"{node.module}.{name}" for name in names)]
            found.update((node.level, name) for name in names)
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            rest += getattr(node, part, ())
    return frozenset(found)
