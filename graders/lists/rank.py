"""rank: partial credit for a ranked list, by where the right answer stands in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.lists.credit import Credit, Dcg, Reciprocal
from graders.lists.ranked_list import Read, alias_table, read_list
from graders.lists.references import References, checked, read_references
from graders.reference import invalid
from graders.sample import Item, Sample
from graders.template import Template, resolve, short
from graders.text.finders import parse_path
from graders.text.marks import normal

RECIPROCAL, NDCG = Reciprocal(rule="reciprocal"), Dcg(rule="dcg")  # used where no credit is given


class Rank(Grader):
    """Credit from 0 to 1 for a ranked list: 1 for the right answer in first place, less further down.

    The list is read from `input`, names are compared after normalisation (`case_sensitive`, `aliases`),
    repeated names are dropped, and `credit` turns the places of the references into a number. Lists longer
    than `max_length` are cut or refused; `too_few` and `invented` are factors on the credit for lists with
    fewer than `min_length` names and for each name that is not in `allowed`. A list that names everything in
    `allowed` earns no more than the best reference alone would. An output that cannot be read as a list
    scores 0; an item without a usable reference is undecided.

    >>> rank = Rank(reference="{{item.gene}}", credit={"rule": "table", "credits": [1, 0.7, 0.5]})
    >>> rank("TGFBR2, FBN1, COL3A1", {"gene": "FBN1"}).why
    "'FBN1' is number 2 of 3: credit 0.7"
    """

    type: Literal["rank"] = "rank"
    input: Template = "{{sample.output_text}}"
    reference: Annotated[str | list[str] | dict[str, float], BeforeValidator(checked)]
    read: Read = "auto"
    path: str | None = None
    case_sensitive: bool = False
    aliases: dict[str, str] = Field({})
    credit: Credit | None = None  # None: reciprocal, or NDCG when the reference carries relevances
    max_length: int | None = Field(None, ge=1)
    longer: Literal["cut", "refuse"] = "cut"
    min_length: int = Field(0, ge=0)
    too_few: float = Field(1.0, ge=0, le=1)
    allowed: Template | list[str] | None = None
    invented: float = Field(1.0, ge=0, le=1)

    @field_validator("path")
    @classmethod
    def _path_reads(cls, path: str | None) -> str | None:
        if path is not None:
            parse_path(path)
        return path

    @model_validator(mode="after")
    def _options_fit(self) -> Rank:
        if self.path is not None and self.read != "json":
            raise ValueError(f"path {self.path!r} leads into JSON, but read is {self.read!r}; set read to 'json'")
        if self.longer == "refuse" and self.max_length is None:
            raise ValueError("longer 'refuse' has no effect without max_length; set max_length")
        if self.max_length is not None and self.min_length > self.max_length:
            raise ValueError(
                f"min_length {self.min_length} is above max_length {self.max_length}: no list could be right"
            )
        if (self.min_length > 0) != (self.too_few < 1):
            raise ValueError(
                f"min_length {self.min_length} with too_few {self.too_few:g} has no effect; "
                "set both, such as 5 and 0.8, or neither"
            )
        if self.invented < 1 and self.allowed is None:
            raise ValueError(f"invented {self.invented:g} has no effect without allowed; set allowed")
        if self.allowed == []:
            raise ValueError("allowed is empty, so every name would be invented; list the names or leave it out")
        if isinstance(self.allowed, list) and 0 < (everything := len(self._always_allowed)) <= self.min_length:
            raise ValueError(
                f"min_length {self.min_length} asks for all {everything} allowed names, and a list of "
                "everything earns no more than the best answer alone; lower it"
            )
        if isinstance(self.reference, dict) and not (self.credit is None or isinstance(self.credit, Dcg)):
            raise ValueError(
                f"credit {self.credit.rule!r} has no use for relevances; leave credit out (NDCG), "
                "or give the references as a list"
            )
        alias_table(self.aliases, self.case_sensitive)
        return self

    def grade(self, sample: Sample, item: Item) -> Grade:
        allowed = self._allowed(sample, item)
        references = self._references(sample, item, allowed)
        extracted = read_list(resolve(self.input, sample, item), self.read, self._path)

        names = list(dict.fromkeys(filter(None, map(self._key, extracted))))
        notes = []
        if dropped := len(extracted) - len(names):
            notes.append(f"{dropped} duplicate{'s' * (dropped > 1)} dropped")
        if self.max_length is not None and len(names) > self.max_length:
            if self.longer == "refuse":
                detail = f"{len(names)} names given, at most {self.max_length} allowed: refused"
                return Grade.failed("sample_parse_error", detail, extracted=extracted)
            notes.append(f"cut from {len(names)} to {self.max_length} names")
            names = names[: self.max_length]

        score = credit = self._credit(names, references)
        why = self._found(names, references, credit)
        if names and score > 0:
            factor, penalties = self._penalties(names, allowed)
            score *= factor
            notes += penalties
        if allowed and len(names) >= len(allowed) and allowed.issubset(names):
            best = references.best
            alone = self._credit([best], references) * self._penalties([best], allowed)[0]
            if score > alone:
                score = alone
                notes.append(f"every allowed name is listed: no more than {references.best_name!r} alone")
        if score != credit:
            notes.append(f"score {score:.4g}")
        return Grade(score, "; ".join([why, *notes]), extracted=extracted)

    def _credit(self, names: Sequence[str], references: References) -> float:
        rule = self.credit or (NDCG if references.graded else RECIPROCAL)
        gains = [references.relevance.get(name, 0.0) for name in names]
        ideal = sorted(references.relevance.values(), reverse=True)[: self.max_length]
        return rule.credit(gains, ideal)

    def _found(self, names: Sequence[str], references: References, credit: float) -> str:
        """Where the references stand, in words."""
        if not names:
            return "no names given"
        places = [(place, name) for place, name in enumerate(names, start=1) if name in references.relevance]
        total = len(references.relevance)
        if not places:
            which = f"none of the {total} references is" if total > 1 else f"{references.best_name!r} is not"
            among = f"among the {len(names)} names given" if len(names) > 1 else "the one name given"
            return f"{which} {among}"
        place, name = places[0]
        found = f"{references.spelling[name]!r} is number {place} of {len(names)}"
        if total > 1:
            found += f", {len(places)} of {total} references found"
        return f"{found}: credit {credit:.4g}"

    def _penalties(self, names: Sequence[str], allowed: frozenset[str] | None) -> tuple[float, list[str]]:
        """The factor for too few and for invented names, with a note on each."""
        factor, notes = 1.0, []
        if len(names) < self.min_length and self.too_few < 1:
            factor = self.too_few
            notes.append(f"fewer than {self.min_length} names: x{self.too_few:g}")
        if allowed is not None and self.invented < 1:
            invented = [name for name in names if name not in allowed]
            if invented:
                factor *= self.invented ** len(invented)
                power = f"^{len(invented)}" if len(invented) > 1 else ""
                notes.append(f"not an allowed name: {short(', '.join(invented))}: x{self.invented:g}{power}")
        return factor, notes

    # The names of one item, and the sets they are looked up in.

    def _key(self, name: str) -> str:
        plain = normal(name, self.case_sensitive)
        return self._alias_of.get(plain, plain)

    @cached_property
    def _alias_of(self) -> Mapping[str, str]:
        return alias_table(self.aliases, self.case_sensitive)

    @cached_property
    def _path(self) -> tuple[str | int, ...]:
        return parse_path(self.path) if self.path is not None else ()

    @cached_property
    def _always_allowed(self) -> frozenset[str]:
        return frozenset(map(self._key, self.allowed if isinstance(self.allowed, list) else ()))

    def _allowed(self, sample: Sample, item: Item) -> frozenset[str] | None:
        if self.allowed is None:
            return None
        if isinstance(self.allowed, list):
            return self._always_allowed
        value = resolve(self.allowed, sample, item)
        try:
            return frozenset(map(self._key, read_list(value, "auto")))
        except GradingError as problem:
            raise GradingError("other_error", f"allowed: {problem}") from None

    def _references(self, sample: Sample, item: Item, allowed: frozenset[str] | None) -> References:
        references = read_references(self.reference, sample, item, self._key, allowed)
        if references.graded and not (self.credit is None or isinstance(self.credit, Dcg)):
            reason = f"credit {self.credit.rule!r} has no use for relevances; leave it out, or give a list"
            raise invalid(dict(references.spelling), reason)
        return references
