"""Properties a grader declares of itself, tried on generated outputs; a counterexample is shown shrunk.

hypothesis generates the outputs, from the ones given and from any text. It is an optional import.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.sample import Item, Sample
from graders.template import nearest, resolve, short
from graders.testing.coverage import ends
from graders.testing.elsewhere import Elsewhere, differs_elsewhere, loaded_again
from graders.testing.golden import GoldenFile, score_text

PROPERTIES: Mapping[str, str] = {
    "bounded": "every score lies in the grader's range, or in the one given",
    "deterministic": "the same output gets the same grade: twice, when loaded again, and in another process",
    "ignores_case": "upper and lower case score alike",
    "ignores_markdown": "an answer in *emphasis* or **emphasis** scores as without",
    "ignores_whitespace": "whitespace around an output changes nothing",
    "monotone": "one more correct part never lowers the score",
    "total": "any text is decided: nothing raises, nothing is NaN",
}
EXAMPLES = 100  # outputs tried for each property

Draw: TypeAlias = tuple[Any, ...]
Strategy: TypeAlias = Any  # hypothesis's, which may not be installed
Test: TypeAlias = Callable[..., str]  # what is wrong with one example; "" when nothing is


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one property: whether it held, and the simplest output found for which it did not."""

    name: str
    holds: bool
    counterexample: str = ""

    def __str__(self) -> str:
        if self.holds:
            return f"{self.name} holds"
        return f"{self.name} does not hold ({PROPERTIES[self.name]}):\n  {self.counterexample}"


@dataclass(frozen=True, slots=True)
class Property:
    """One declared property with its options. Made by `declared`."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def check(
        self,
        grader: Grader,
        items: Sequence[Item] = (),
        outputs: Sequence[Sample | str] = (),
        examples: int | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> Result:
        """Try it on `examples` outputs (100): those given, mixtures of them, and any text.

        `elsewhere` are the processes that `deterministic` asks; by default it starts its own.
        Raises ModuleNotFoundError without hypothesis, ValueError for a grader that waits on a network unless
        `examples` says how often it may be asked.
        """
        if grader.waits and examples is None:
            raise ValueError(
                f"{grader.label} waits on a network; say how many outputs it may be asked about: examples=20"
            )
        samples = [Sample.of(output) for output in outputs]
        rows = list(items) or [{}]
        again = loaded_again(grader) if self.name == "deterministic" else None
        if again is not None:
            with nullcontext(elsewhere) if elsewhere else Elsewhere() as asked:
                problem = differs_elsewhere(grader, samples, rows, asked)
            if problem:
                return Result(self.name, False, problem)
        strategy, test = _plan(self, grader, again or grader, samples, rows)
        problem = _counterexample(strategy, test, examples or EXAMPLES, shrink=not grader.waits)
        return Result(self.name, not problem, problem)


def declared(given: Any) -> Property:
    """A property from its declaration: a name, or `{name: options}`.

    `{"bounded": [low, high]}`; `{"monotone": {"parts": ["a", "b"], "separator": ", ", "wrong": ["x"]}}` where
    `parts` is a list, a template that gives one (`{{item.genes}}`), or an object whose keys are the parts of a
    JSON answer; `separator` is `", "`, and `"json"` writes a JSON list.
    """
    name, options = next(iter(given.items())) if isinstance(given, Mapping) and len(given) == 1 else (given, None)
    if not isinstance(name, str) or name not in PROPERTIES:
        raise ValueError(f"no such property {short(name)}; {nearest(str(name), PROPERTIES)}")
    if name == "bounded" and options is not None:
        if not (isinstance(options, list | tuple) and len(options) == 2 and options[0] <= options[1]):
            raise ValueError(f"bounded takes [low, high], not {short(options)}")
        return Property(name, {"low": options[0], "high": options[1]})
    if name == "monotone":
        return Property(name, _monotone_options(options))
    if options is not None:
        raise ValueError(f"{name} takes no options, given {short(options)}")
    return Property(name)


def _monotone_options(options: Any) -> Mapping[str, Any]:
    known = ("parts", "separator", "wrong")
    if not isinstance(options, Mapping) or not options.get("parts"):
        raise ValueError('monotone needs its parts: {"monotone": {"parts": ["a", "b"], "separator": ", "}}')
    for key in options:
        if key not in known:
            raise ValueError(f"monotone: unknown option {key!r}; {nearest(key, known)}")
    if isinstance(options["parts"], Mapping) and len(options) > 1:
        raise ValueError("monotone: parts as an object are written as JSON; leave separator and wrong out")
    return options


def check_properties(
    grader: Grader,
    properties: Iterable[Any],
    items: Sequence[Item] = (),
    outputs: Sequence[Sample | str] = (),
    examples: int | None = None,
) -> list[Result]:
    """Check declared properties; AssertionError shows a counterexample to each that does not hold.

    `items` are rows the grader can decide, `outputs` typical outputs to start from.

    >>> from graders import as_grader
    >>> def short(sample, item):
    ...     return float(len(sample.output_text) < 3)
    >>> [str(result) for result in check_properties(as_grader(short), ["bounded", "total"])]
    ['bounded holds', 'total holds']
    """
    with Elsewhere() as elsewhere:
        results = [declared(given).check(grader, items, outputs, examples, elsewhere) for given in properties]
    if broken := [str(result) for result in results if not result.holds]:
        raise AssertionError("\n".join([grader.identity, *broken]))
    return results


def samples_of(golden: GoldenFile, grader: Grader) -> tuple[list[Sample], list[Item]]:
    """The outputs and items of a golden file's cases of one grader, less those it is not to decide."""
    cases = [case for case in golden.cases if case.expected is not None and golden.load(case.grader) == grader]
    unique: list[Item] = []
    for case in cases:
        if case.item not in unique:
            unique.append(case.item)
    return [case.sample for case in cases], unique


# One example of each property


def _bounded(grader: Grader, sample: Sample, item: Item, low: float, high: float) -> str:
    grade = grader(sample, item)
    kind = grade.error.kind if grade.error else ""
    if kind in ("nonfinite", "out_of_range") or (grade.score is not None and not low <= grade.score <= high):
        return f"{_said(sample, grade)}; the range is {low:g} to {high:g}"
    return ""


def _total(grader: Grader, sample: Sample, item: Item) -> str:
    grade = grader(sample, item)
    return f"{_said(sample, grade)} for the item {short(item)}" if grade.score is None else ""


def _deterministic(grader: Grader, again: Grader, sample: Sample, item: Item) -> str:
    first = grader(sample, item)
    for when, other in (("the second time", grader(sample, item)), ("loaded again", again(sample, item))):
        if (first.score, first.why, first.error) != (other.score, other.why, other.error):
            return f"{_said(sample, first)}; {when} {_graded(other)}"
    return ""


def _same_for(variants: Callable[[str, Any], str | None]) -> Callable[[Grader, Sample, Item, Any], str]:
    """The output and a variant of it score alike."""

    def test(grader: Grader, sample: Sample, item: Item, choice: Any) -> str:
        changed = variants(sample.output_text, choice)
        if changed is None:
            return ""
        before, after = grader(sample.output_text, item), grader(changed, item)
        if _close(before.score, after.score):
            return ""
        return f"{_said(Sample(sample.output_text), before)}; {_said(Sample(changed), after)}"

    return test


def _close(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def _padded(text: str, pads: tuple[str, str]) -> str:
    return pads[0] + text + pads[1]


def _recased(text: str, change: str) -> str | None:
    """None where Unicode has no such pair of cases, as for 'ŉ'."""
    changed = getattr(text, change)()
    return changed if changed.casefold() == text.casefold() and changed.lower() == text.lower() else None


def _emphasised(text: str, marks: str) -> str | None:
    plain = text.strip()
    return f"{marks}{plain}{marks}" if plain and not set(plain) & set("*_`\n\r") and plain.isprintable() else None


def _monotone(grader: Grader, item: Item, names: Sequence[str], extra: str, write: Callable[..., str]) -> str:
    fewer, more = write(names), write([*names, extra])
    before, after = grader(fewer, item), grader(more, item)
    if before.score is not None and after.score is not None and after.score < before.score - 1e-9:
        return f"{_said(Sample(fewer), before)}; with {extra!r} added, {_said(Sample(more), after)}"
    return ""


def _said(sample: Sample, grade: Grade) -> str:
    shown = short(sample.output_text, 200)
    if not sample.output_text and (sample.output_tools or sample.output_json is not None):
        shown = short({"output_tools": sample.output_tools, "output_json": sample.output_json}, 200)
    return f"the output {shown} {_graded(grade)}"


def _graded(grade: Grade) -> str:
    return f"is {score_text(grade.score)} ({short(grade.why, 160)[1:-1]})"


# What is generated


def _plan(
    given: Property, grader: Grader, again: Grader, samples: list[Sample], items: list[Item]
) -> tuple[Strategy, Test]:
    """The examples of one property, as the arguments its test takes after the grader."""
    st = _strategies()
    pairs: tuple[Any, Any] = (_samples(samples), st.sampled_from(items))
    marks = st.sampled_from(["", " ", "\n", "\t", "  \r\n"])
    match given.name:
        case "bounded":
            low, high = ends(grader)
            low, high = given.options.get("low", low), given.options.get("high", high)
            return st.tuples(*pairs), lambda sample, item: _bounded(grader, sample, item, low, high)
        case "total":
            return st.tuples(_samples(samples, odd=True), pairs[1]), lambda *one: _total(grader, *one)
        case "deterministic":
            return st.tuples(*pairs), lambda *one: _deterministic(grader, again, *one)
        case "monotone":
            return _growing(given.options, items), lambda *one: _monotone(grader, *one)
        case "ignores_whitespace":
            choices, variants = st.tuples(marks, marks), _same_for(_padded)
        case "ignores_case":
            choices, variants = st.sampled_from(["upper", "lower", "swapcase"]), _same_for(_recased)
        case _:
            choices, variants = st.sampled_from(["*", "**", "_", "__"]), _same_for(_emphasised)
    return st.tuples(*pairs, choices), lambda *one: variants(grader, *one)


def _samples(samples: list[Sample], odd: bool = False) -> Strategy:
    """Those given, pieces of them put together, and any text; `odd` texts hold half surrogate pairs too."""
    st = _strategies()
    letters = st.characters(exclude_categories=()) if odd else st.characters(exclude_categories=["Cs"])
    anything = st.text(letters, max_size=100)
    known = [sample.output_text for sample in samples if sample.output_text]
    made = [anything.map(Sample)]
    if samples:
        made.append(st.sampled_from(samples))
    if known:
        pieces = st.one_of(st.sampled_from(known), st.text(letters, max_size=5))
        made.append(st.lists(pieces, max_size=4).map(lambda texts: Sample("".join(texts))))
    return st.one_of(*made)  # any text first: what is found shrinks to the shortest


def _growing(options: Mapping[str, Any], items: list[Item]) -> Strategy:
    """An item, some of the parts and wrong ones in any order, and a correct part to add."""
    st = _strategies()

    def growing(draw: Any) -> Draw:
        item = draw(st.sampled_from(items))
        parts = _parts_for(options["parts"], item)
        extra = draw(st.sampled_from(list(parts)))
        others = [name for name in [*parts, *options.get("wrong", [])] if name != extra]
        names = draw(st.lists(st.sampled_from(others), unique=True)) if others else []
        return item, names, extra, _writer(parts, options.get("separator", ", "))

    return st.composite(growing)()


def _parts_for(parts: Any, item: Item) -> Any:
    if isinstance(parts, str):
        try:
            parts = resolve(parts, Sample(), item)
        except GradingError as problem:
            raise ValueError(f"monotone: parts: {problem}") from None
    if not isinstance(parts, list | Mapping) or not parts or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"monotone: parts must be a list of texts or an object, not {short(parts)}")
    return parts


def _writer(parts: Any, separator: str) -> Callable[[Sequence[str]], str]:
    if isinstance(parts, Mapping):
        return lambda names: json.dumps({name: parts[name] for name in names})
    return json.dumps if separator == "json" else separator.join


class _FoundError(Exception):
    """An example that breaks the property."""


def _counterexample(strategy: Strategy, test: Test, examples: int, shrink: bool) -> str:
    """What the simplest example found says is wrong; "" when none was found."""
    from hypothesis import HealthCheck, Phase, Verbosity, given, settings
    from hypothesis.errors import FlakyFailure

    latest: tuple[Draw, str] = (), ""

    @settings(
        max_examples=examples,
        database=None,
        derandomize=True,  # the same examples every time
        deadline=None,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
    )
    @given(strategy)
    def run(drawn: Draw) -> None:
        nonlocal latest
        if problem := test(*drawn):
            latest = drawn, problem
            raise _FoundError

    try:
        run()
    except _FoundError:
        return _shrunk(test, *latest) if shrink else latest[1]
    except FlakyFailure:
        return f"{latest[1]} (not every time)"
    return ""


def _shrunk(test: Test, drawn: Draw, problem: str, most: int = 500) -> str:
    """The same with all taken out of the output that makes no difference: what was given does not shrink by itself."""
    sample, *others = drawn
    if not isinstance(sample, Sample):
        return problem
    text, size, tried = sample.output_text, len(sample.output_text) // 2, 0
    while size:
        start = 0
        while start < len(text) and tried < most:
            tried += 1
            less = text[:start] + text[start + size :]
            if said := test(Sample(less), *others):
                text, problem = less, said
            else:
                start += size
        size //= 2
    return problem


def _strategies() -> Any:
    try:
        from hypothesis import strategies
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "checking properties needs hypothesis: pip install hypothesis", name="hypothesis"
        ) from None
    return strategies
