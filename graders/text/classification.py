"""classification: did the output name the right one of a set of labels?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, model_validator

from graders.grade import Grade, GradingError
from graders.grader import Grader
from graders.lists.ranked_list import alias_table
from graders.reference import invalid
from graders.sample import Item, Sample
from graders.template import Template, render, short
from graders.text.answers import read_answers
from graders.text.finders import without_thinking
from graders.text.marks import normal, unmarked

STOPS = ".,;! "


class Classification(Grader):
    """1 if the output is the right label, else 0, or what `credit` or `ordinal` gives for the label it is.

    The output, without its thinking part, must be exactly one of `labels` or `aliases`; case, spaces, quotes, bold or
    `$...$` around it and a stop behind it are no difference. Anything else, several labels too, fails as unreadable.
    The label is the grade's `extracted`, from which `classification_report` makes F1 and kappa.

    >>> tone = Classification(reference="{{item.tone}}", labels=["negative", "neutral", "positive"], ordinal=True)
    >>> tone("Neutral.", {"tone": "positive"}).why
    "'neutral' is 1 of 2 steps from 'positive': credit 0.5"
    """

    type: Literal["classification"] = "classification"
    input: Template = "{{sample.output_text}}"
    reference: Template
    labels: list[str] = Field(min_length=2)
    aliases: dict[str, str] = Field({})
    credit: dict[str, dict[str, float]] = Field({})
    ordinal: bool = False

    @model_validator(mode="after")
    def _options_fit(self) -> Classification:
        forms = [normal(label, False) for label in self.labels]
        if not all(forms):
            raise ValueError("a label is blank; remove it")
        if len(set(forms)) < len(forms):
            twice = next(label for label, form in zip(self.labels, forms, strict=True) if forms.count(form) > 1)
            raise ValueError(f"label {twice!r} stands twice, case and spaces aside; keep one")
        for alias, name in alias_table(self.aliases, False).items():
            if name not in forms:
                raise ValueError(f"alias {alias!r} stands for {name!r}, which is not a label; correct it")
            if alias in forms and alias != name:
                raise ValueError(f"alias {alias!r} is itself a label; remove it")
        if self.ordinal and self.credit:
            raise ValueError("ordinal and credit each say what a wrong label earns; keep one of them")
        self._check_credit()
        return self

    def _check_credit(self) -> None:
        for right, row in self.credit.items():
            for named, credit in row.items():
                for label in (right, named):
                    if label not in self.labels:
                        raise ValueError(f"credit names {label!r}, which is not among the labels {short(self.labels)}")
                if right == named:
                    raise ValueError(f"credit of {right!r} for itself is always 1; leave it out")
                if not 0 <= credit <= 1:
                    raise ValueError(f"credit {credit:g} of {named!r} for {right!r} lies outside 0 to 1; scale it")

    def grade(self, sample: Sample, item: Item) -> Grade:
        right = self._right(sample, item)
        text = without_thinking(render(self.input, sample, item))
        label = self._label_of.get(normal(text, False)) or self._label_of.get(_form(text))
        if label is None:
            raise GradingError("sample_parse_error", self._problem(text), "candidate")
        if label == right:
            return Grade(1.0, f"the label is {label!r}, the right one", extracted=label)
        if self.ordinal:
            steps, most = abs(self.labels.index(label) - self.labels.index(right)), len(self.labels) - 1
            score = 1 - steps / most
            why = f"{label!r} is {steps} of {most} steps from {right!r}: credit {score:.4g}"
            return Grade(score, why, extracted=label)
        score = self.credit.get(right, {}).get(label, 0.0)
        earned = f": credit {score:.4g}" if self.credit else ""
        return Grade(score, f"the label is {label!r}; {right!r} is right{earned}", extracted=label)

    @cached_property
    def _label_of(self) -> Mapping[str, str]:
        """Compared form of each label and alias -> the label as the definition spells it."""
        spelled = {normal(label, False): label for label in self.labels}
        return {alias: spelled[name] for alias, name in alias_table(self.aliases, False).items()} | spelled

    def _right(self, sample: Sample, item: Item) -> str:
        given = read_answers(self.reference, sample, item)
        if len(given) != 1:
            raise invalid(given, "one label is expected")
        label = self._label_of.get(normal(given[0], False))
        if label is None:
            raise invalid(given[0], f"it is not among the labels {short(self.labels)}")
        return label

    def _problem(self, text: str) -> str:
        if not text.strip():
            return "blank, where a label is expected"
        within = f" {' '.join(_words(text[:10_000]))} "
        named = sorted({label for form, label in self._label_of.items() if f" {' '.join(_words(form))} " in within})
        if len(named) > 1:
            return f"{short(text)} names several labels: {short(', '.join(named))}"
        holds = f"holds {named[0]!r} but is not only that" if named else "is not one of the labels"
        return f"{short(text)} {holds}; labels: {short(', '.join(self.labels))}"


def _form(text: str) -> str:
    """The form in which a label is looked up: without what stands around it."""
    form = normal(text, False).rstrip(STOPS)
    for _ in range(2):  # stops stand inside the marks and outside
        form = unmarked(form).rstrip(STOPS)
    return form


def _words(text: str) -> list[str]:
    return "".join(sign if sign.isalnum() else " " for sign in normal(text, False)).split()


@dataclass(frozen=True)
class LabelScores:
    """How one label fared over many outputs; 0 where a ratio has nothing below its line."""

    precision: float
    recall: float
    f1: float
    support: int  # how often it was right


@dataclass(frozen=True)
class ClassificationReport:
    """How labels named agree with the right ones over many outputs."""

    accuracy: float
    macro_f1: float  # over the labels that were right or named at least once
    kappa: float | None  # Cohen 1960; None where chance alone agrees on everything
    labels: Mapping[str, LabelScores]
    unreadable: int


def classification_report(pairs: Iterable[tuple[str, Any]]) -> ClassificationReport:
    """Accuracy, F1 and Cohen's kappa from pairs of the right label and the one named (`Grade.extracted`).

    None stands for an unreadable output: no label's guess, wrong in accuracy, and in kappa a category of its own.
    Raises ValueError where there are no pairs.

    >>> classification_report([("a", "a"), ("a", "b"), ("b", "b"), ("b", None)]).labels["a"].recall
    0.5
    """
    counts = Counter(pairs)
    total = counts.total()
    if not total:
        raise ValueError("there are no pairs to report on; give the right label and the one named for each output")
    right: Counter[Any] = Counter()
    named: Counter[Any] = Counter()
    for (gold, guess), count in counts.items():
        right[gold] += count
        named[guess] += count
    scores = {
        label: _label_scores(counts[label, label], right[label], named[label])
        for label in sorted((right.keys() | named.keys()) - {None})
    }
    agreed = sum(count for (gold, guess), count in counts.items() if gold == guess) / total
    chance = sum(right[label] * named[label] for label in right) / total**2
    return ClassificationReport(
        agreed,
        sum(score.f1 for score in scores.values()) / len(scores),
        None if chance == 1 else (agreed - chance) / (1 - chance),
        scores,
        named[None],
    )


def _label_scores(both: int, right: int, named: int) -> LabelScores:
    f1 = 2 * both / (right + named) if right + named else 0.0
    return LabelScores(both / named if named else 0.0, both / right if right else 0.0, f1, right)
