"""set_match: how far the set of names in the output is the reference set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.lists.ranked_list import Read, alias_table, read_list, without_fence
from graders.reference import invalid
from graders.sample import Item, Sample
from graders.template import Template, resolve, short
from graders.text.answers import Answers, read_answers
from graders.text.finders import parse_path
from graders.text.marks import normal, unmarked

EMPTY = re.compile(r"\[\s*\]")
Metric = Literal["f1", "f_beta", "jaccard", "exact", "precision", "recall"]


class SetMatch(Grader):
    """From 0 to 1 by comparing the set of names in the output with the reference set; order is no matter.

    With h names in both, n in the output and r in the reference: `precision` h/n, `recall` h/r, `f1` 2h/(n+r),
    `f_beta` (1+b^2)h/(n+b^2 r) (van Rijsbergen 1979), `jaccard` h/(n+r-h), `exact` 1 if the sets are equal. Both sets
    empty score 1, one of them 0. Names are read and compared as in `rank`. `repeated` and `invented` are factors for
    each name given again and each that is not in `allowed`; a list of everything `allowed` earns no more than one
    right name. A blank output is unreadable: an empty set is written `[]` or as one of `empty`.

    >>> SetMatch(reference="{{item.genes}}")("FBN1, TGFBR2, SKI", {"genes": ["FBN1", "SKI", "LOX"]}).why
    "2 of 3 references found in 3 names: precision 0.6667, recall 0.6667, f1 0.6667; missed: 'LOX'; wrong: 'TGFBR2'"
    """

    type: Literal["set_match"] = "set_match"
    input: Template = "{{sample.output_text}}"
    reference: Answers
    metric: Metric = "f1"
    beta: float = Field(1.0, gt=0, allow_inf_nan=False)
    read: Read = "auto"
    path: str | None = None
    case_sensitive: bool = False
    aliases: dict[str, str] = Field({})
    empty: list[str] = Field([])
    repeated: float = Field(1.0, ge=0, le=1)
    allowed: Template | list[str] | None = None
    invented: float = Field(1.0, ge=0, le=1)
    max_length: int | None = Field(None, ge=1)

    @field_validator("path")
    @classmethod
    def _path_reads(cls, path: str | None) -> str | None:
        if path is not None:
            parse_path(path)
        return path

    @model_validator(mode="after")
    def _options_fit(self) -> SetMatch:
        if self.path is not None and self.read != "json":
            raise ValueError(f"path {self.path!r} leads into JSON, but read is {self.read!r}; set read to 'json'")
        if (self.metric == "f_beta") != (self.beta != 1):
            raise ValueError(
                f"metric {self.metric!r} with beta {self.beta:g}: beta other than 1 goes with f_beta, and 1 is f1"
            )
        if self.metric == "recall" and self.max_length is None:
            raise ValueError("recall alone is 1 for a list of everything; set max_length, or take f1 or f_beta")
        if self.invented < 1 and self.allowed is None:
            raise ValueError(f"invented {self.invented:g} has no effect without allowed; set allowed")
        if self.metric == "exact" and self.invented < 1:
            raise ValueError("invented has no effect on exact: a set with a wrong name scores 0; leave it out")
        if self.allowed == []:
            raise ValueError("allowed is empty, so every name would be invented; list the names or leave it out")
        if not all(word.strip() for word in self.empty):
            raise ValueError("a word of empty is blank, and a blank output is never taken for an empty set; remove it")
        alias_table(self.aliases, self.case_sensitive)
        return self

    def grade(self, sample: Sample, item: Item) -> Grade:
        allowed = self._allowed(sample, item)
        references = self._references(sample, item, allowed)
        listed = self._listed(sample, item)
        names: dict[str, str] = {}  # compared form -> first spelling
        for name in listed:
            names.setdefault(self._key(name), name)
        names.pop("", None)
        if self.max_length is not None and len(names) > self.max_length:
            detail = f"{len(names)} names given, at most {self.max_length} allowed: refused"
            return Grade.failed("sample_parse_error", detail, extracted=listed)
        hits = len(names.keys() & references.keys())
        earned = score = self._score(hits, len(names), len(references))
        notes = self._notes(names, references)
        for factor, note in self._penalties(listed, names, allowed):
            score *= factor
            notes.append(note)
        lists_all = allowed is not None and names.keys() >= allowed and not references.keys() >= allowed
        if lists_all and score > (alone := self._score(1, 1, len(references))):
            score = alone
            notes.append("every allowed name is listed: no more than one right name alone")
        if score != earned:
            notes.append(f"score {score:.4g}")
        measured = self._measured(hits, len(names), len(references), earned)
        return Grade(score, "; ".join([measured, *notes]), extracted=listed)

    def _score(self, hits: int, given: int, right: int) -> float:
        """The metric for so many names in both sets, in the output, and in the reference."""
        if not (given and right):
            return float(given == right)
        match self.metric:
            case "precision":
                return hits / given
            case "recall":
                return hits / right
            case "jaccard":
                return hits / (given + right - hits)
            case "exact":
                return float(hits == given == right)
        weight = self.beta**2  # of recall against precision; 1 for f1
        return min(1.0, (1 + weight) * hits / (given + weight * right))  # the last digit may exceed 1

    def _measured(self, hits: int, given: int, right: int, score: float) -> str:
        if not right:
            return f"no name is right, and {_counted(given, 'name') if given else 'none'} given: {score:g}"
        if not given:
            return f"no name given, {_counted(right, 'reference')} missed: 0"
        ratios = f"precision {hits / given:.4g}, recall {hits / right:.4g}"
        own = "" if self.metric in ("precision", "recall") else f", {self.metric} {score:.4g}"
        return f"{hits} of {right} references found in {_counted(given, 'name')}: {ratios}{own}"

    def _notes(self, names: Mapping[str, str], references: Mapping[str, str]) -> list[str]:
        missed = [name for key, name in references.items() if key not in names]
        wrong = [name for key, name in names.items() if key not in references]
        pairs = (("missed", missed), ("wrong", wrong))
        return [f"{what}: {short(', '.join(some))}" for what, some in pairs if some]

    def _penalties(
        self, listed: list[str], names: Mapping[str, str], allowed: frozenset[str] | None
    ) -> Iterator[tuple[float, str]]:
        """A factor for repeated names and one for invented names, each with a note."""
        if repeats := len(listed) - len(names):
            charged = f": x{self.repeated:g}{_power(repeats)}" if self.repeated < 1 else ""
            yield self.repeated**repeats, f"{_counted(repeats, 'duplicate')} dropped{charged}"
        invented = [name for key, name in names.items() if key not in allowed] if allowed is not None else []
        if invented and self.invented < 1:
            note = f"not an allowed name: {short(', '.join(invented))}: x{self.invented:g}{_power(len(invented))}"
            yield self.invented ** len(invented), note

    # The names of one item.

    def _listed(self, sample: Sample, item: Item) -> list[str]:
        value: Any = resolve(self.input, sample, item)
        if isinstance(value, str):
            if not value.strip():
                raise GradingError("sample_parse_error", "the output is blank; an empty set is written []", "candidate")
            if (self.empty and _word(value) in self._empty_words) or (
                self.path is None and EMPTY.fullmatch(without_fence(value))
            ):
                return []
        listed = read_list(value, self.read, self._path)
        if self.empty and len(listed) == 1 and _word(listed[0]) in self._empty_words:
            return []
        if not listed and isinstance(value, str) and "[" not in value:
            detail = f"no names in {short(value)}; an empty set is written []"
            raise GradingError("sample_parse_error", detail, "candidate")
        return listed

    def _references(self, sample: Sample, item: Item, allowed: frozenset[str] | None) -> dict[str, str]:
        """Compared form -> spelling of the right names; none is a legitimate answer."""
        references: dict[str, str] = {}
        for name in read_answers(self.reference, sample, item):
            key = self._key(name)
            if not key:
                raise invalid(name, "it is blank; write [] where no name is right")
            if allowed is not None and key not in allowed:
                raise invalid(name, f"it is not among the {len(allowed)} allowed names; correct it, or allow it")
            references.setdefault(key, name)
        return references

    def _allowed(self, sample: Sample, item: Item) -> frozenset[str] | None:
        if not isinstance(self.allowed, str):
            return self._always_allowed
        value = resolve(self.allowed, sample, item)
        try:
            return frozenset(map(self._key, read_list(value, "auto")))
        except GradingError as problem:
            raise GradingError("other_error", f"allowed: {problem}") from None

    def _key(self, name: str) -> str:
        plain = normal(name, self.case_sensitive)
        return self._alias_of.get(plain, plain)

    @cached_property
    def _alias_of(self) -> Mapping[str, str]:
        return alias_table(self.aliases, self.case_sensitive)

    @cached_property
    def _always_allowed(self) -> frozenset[str] | None:
        return None if self.allowed is None else frozenset(map(self._key, self.allowed))

    @cached_property
    def _empty_words(self) -> frozenset[str]:
        return frozenset(map(_word, self.empty))

    @cached_property
    def _path(self) -> tuple[str | int, ...]:
        return parse_path(self.path) if self.path is not None else ()


def _word(text: str) -> str:
    """The form in which a word for the empty set is looked up."""
    return normal(unmarked(text.strip().rstrip(".")), False).rstrip(".")


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'s' * (count != 1)}"


def _power(count: int) -> str:
    return f"^{count}" if count > 1 else ""
