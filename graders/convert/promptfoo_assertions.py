"""Promptfoo's assertions as definitions of graders: what each scores, and when it passes."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from graders.convert.converted import Converted, part_key, read_yaml
from graders.convert.promptfoo_tests import Case, Files, NotCarriedError, as_template, js_text, split_commas
from graders.template import nearest, short

Definition: TypeAlias = dict[str, Any]
OUTPUT = "{{sample.output_text}}"
DEFAULT_JUDGE = "gpt-4.1"
ANY_JSON: Definition = {"type": ["object", "array", "string", "number", "boolean", "null"]}

NOT_CARRIED: Mapping[str, str] = {
    "javascript": "JavaScript is not run here; write it in Python (docs/writing-a-grader.md)",
    "ruby": "Ruby is not run here; write it in Python (docs/writing-a-grader.md)",
    "webhook": 'its answer differs from an `endpoint` grader\'s; serve {"score": ...} and write one',
    "latency": "how long the model took is no part of a sample",
    "cost": "what the model cost is no part of a sample",
    "perplexity": "log-probabilities are no part of a sample",
    "perplexity-score": "log-probabilities are no part of a sample",
    "levenshtein": "no grader counts edits; `text_similarity` with fuzzy_match compares as a ratio",
    "is-valid-openai-tools-call": "the tools' schemas belong to the provider; write a `tool_calls` grader",
    "is-valid-openai-function-call": "the functions' schemas belong to the provider; write a `tool_calls` grader",
    "is-valid-function-call": "the functions' schemas belong to the provider; write a `tool_calls` grader",
    "similar:dot": "`text_similarity` compares embeddings by cosine only",
    "similar:euclidean": "`text_similarity` compares embeddings by cosine only",
    "is-xml": "no grader reads XML",
    "contains-xml": "no grader reads XML",
    "is-html": "no grader reads HTML",
    "contains-html": "no grader reads HTML",
    "is-sql": "no grader reads SQL",
    "contains-sql": "no grader reads SQL",
    "is-refusal": "Promptfoo's list of refusals is its own; write a `regex` or a `label_model`",
    "classifier": "no classifier is asked over the network",
    "moderation": "no moderation service is asked",
    "guardrails": "what the provider blocked is no part of a sample",
    "g-eval": "its judge writes its own steps and answers from 0 to 10; write a `score_model`",
    "agent-rubric": "its judge is an agent; write a `score_model`",
    "search-rubric": "its judge searches the web; write a `score_model`",
    "answer-relevance": "it needs embeddings of questions a judge makes up; write a `score_model`",
    "context-faithfulness": "its judge is asked in several steps; write a `score_model`",
    "context-recall": "its judge is asked in several steps; write a `score_model`",
    "context-relevance": "its judge is asked in several steps; write a `score_model`",
    "conversation-relevance": "its judge is asked in several steps; write a `score_model`",
    "model-graded-factuality": "",
    "pi": "Pi's scorer is a service of its own",
    "select-best": "it compares outputs with each other, and a grader judges one",
    "max-score": "it compares outputs with each other, and a grader judges one",
    "human": "people are not asked",
    "skill-used": "what the agent did is no part of a sample",
    **dict.fromkeys(
        (
            "trace-span-count",
            "trace-span-duration",
            "trace-error-spans",
            "trajectory:tool-used",
            "trajectory:tool-args-match",
            "trajectory:tool-sequence",
            "trajectory:step-count",
            "trajectory:goal-success",
        ),
        "traces are no part of a sample",
    ),
}
"""Assertions without a counterpart, and why."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a definition for a value of the source, which may differ from test to test."""

    text: str  # as Promptfoo has it, with its variables
    before: str = ""
    after: str = ""

    def filled(self, template: str) -> str:
        return f"{self.before}{template}{self.after}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an assertion scores and when it passes, as definitions that may hold slots."""

    score: Definition
    passes: Definition
    weight: float = 1.0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Assertion:
    """One assertion with what surrounds it."""

    place: str
    kind: str  # without `not-`
    inverse: bool
    wire: Mapping[str, Any]
    value: Any
    case: Case
    files: Files
    converted: Converted
    judge: str
    has_prompt: bool

    @property
    def threshold(self) -> Any:
        return self.wire.get("threshold")

    def slot(self, before: str = "", after: str = "") -> Slot:
        """The value as a text. NotCarriedError where it holds more than variables."""
        if self.value in (None, "", []):
            raise NotCarriedError("it has no value")
        as_template(text := js_text(self.value))
        return Slot(text, before, after)

    def otherwise(self, what: str, why: str) -> None:
        self.converted.otherwise(self.kind, what, why)


def threshold_of(part: Definition, at: Any) -> Definition:
    """1 where a grader scores `at` or more."""
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise NotCarriedError(f"its threshold is no number: {short(at)}")
    return {"type": "threshold", "grader": part, "at": at}


def negated(part: Definition) -> Definition:
    return {"type": "negate", "grader": part}


def together(kind: str, parts: Sequence[Definition], stem: str) -> Definition:
    """`min` or `max` of several graders; one alone is itself."""
    if len(parts) == 1:
        return parts[0]
    return {"type": kind, "graders": {f"{stem}_{number}": part for number, part in enumerate(parts, start=1)}}


def _check(operation: str, slot: Slot, **more: Any) -> Definition:
    return {"type": "string_check", "input": OUTPUT, "reference": slot, "operation": operation, **more}


def _equals(assertion: Assertion) -> Definition:
    if isinstance(assertion.value, dict | list):
        _not_turned_over(assertion)
        return {"type": "json_schema", "schema": {"const": assertion.value}}
    if assertion.wire.get("normalizeUnicode"):
        return {"type": "one_of", "reference": assertion.slot(), "ignore": ["unicode"]}
    return _check("eq", assertion.slot())


def _contains(assertion: Assertion) -> Definition:
    return _check("ilike" if assertion.kind[0] == "i" else "like", assertion.slot())


def _contains_several(assertion: Assertion) -> Definition:
    values = split_commas(assertion.value) if isinstance(assertion.value, str) else assertion.value
    if not isinstance(values, list) or not values:
        raise NotCarriedError(f"it needs a list of values, not {short(assertion.value)}")
    parts = []
    for value in values:
        as_template(text := js_text(value))
        parts.append(_check("ilike" if assertion.kind[0] == "i" else "like", Slot(text)))
    return together("max" if assertion.kind.endswith("any") else "min", parts, "value")


def _constant(assertion: Assertion) -> str:
    """The value as a text without variables."""
    text = assertion.slot().text
    if "{{" in text:
        raise NotCarriedError(f"a pattern here is a constant, and {short(text)} holds variables")
    return text


def _regex(assertion: Assertion) -> Definition:
    assertion.otherwise("patterns", "they are read by RE2 (\\s and \\w know ASCII only), not by JavaScript")
    return {"type": "regex", "pattern": _constant(assertion)}


def _starts_with(assertion: Assertion) -> Definition:
    return {"type": "regex", "pattern": "\\A" + re.sub(r"([^\w\s])", r"\\\1", _constant(assertion), flags=re.ASCII)}


def _not_turned_over(assertion: Assertion) -> None:
    if assertion.inverse:
        raise NotCarriedError("an output that cannot be read is the candidate's fault here, and can never earn a score")


def _contains_json(assertion: Assertion) -> Definition:
    assertion.otherwise("where JSON is found", "it is the whole output, or in its first ```json fence")
    whole = _is_json(assertion)
    fenced = {**whole, "extract": {"rule": "json", "fence": True}}
    return together("max", [whole, fenced], "json")


def _is_json(assertion: Assertion) -> Definition:
    _not_turned_over(assertion)
    schema = assertion.value
    if isinstance(schema, str):
        try:
            schema = read_yaml(schema)
        except ValueError as problem:
            raise NotCarriedError(f"its schema cannot be read: {problem}") from None
    assertion.otherwise("JSON", "an object that holds a key twice is no JSON here")
    return {"type": "json_schema", "schema": ANY_JSON if schema in (None, "", True, {}) else schema}


def _similarity(assertion: Assertion) -> Definition:
    metric = {"rouge-n": "rouge_1", "similar": "cosine", "similar:cosine": "cosine"}.get(assertion.kind, assertion.kind)
    assertion.otherwise("scores", f"they come from `text_similarity` ({metric}), which splits words in its own way")
    values = assertion.value if isinstance(assertion.value, list) else [assertion.value]
    parts = []
    for value in values:
        as_template(text := js_text(value))
        if not text:
            raise NotCarriedError("it has no value")
        parts.append({"type": "text_similarity", "input": OUTPUT, "reference": Slot(text), "evaluation_metric": metric})
    return together("max", parts, "reference")


def _word_count(assertion: Assertion) -> Definition:
    value = assertion.value
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    bounds = value if isinstance(value, Mapping) else {"min": value, "max": value}
    low, high = bounds.get("min"), bounds.get("max")
    if not all(bound is None or (isinstance(bound, int) and not isinstance(bound, bool)) for bound in (low, high)):
        raise NotCarriedError(f"it needs a number of words or {{min, max}}, not {short(assertion.value)}")
    assertion.otherwise("words", "a lone punctuation mark between spaces is no word here")
    return {
        "type": "length",
        "unit": "words",
        "min": 0 if low is None else low,
        **({} if high is None else {"max": high}),
    }


def _finish_reason(assertion: Assertion) -> Definition:
    assertion.otherwise("finish_reason", "read from `sample.choices`; of a sample stored as text alone it is 'stop'")
    slot = assertion.slot()
    return {"type": "one_of", "input": "{{sample.choices[0].finish_reason}}", "reference": slot, "ignore": ["case"]}


def _tool_names(assertion: Assertion) -> Definition:
    _not_turned_over(assertion)
    names = assertion.value.split(",") if isinstance(assertion.value, str) else assertion.value
    if not isinstance(names, list) or not names:
        raise NotCarriedError(f"it needs names of tools, not {short(assertion.value)}")
    assertion.otherwise("score", "right names by expected or made calls, whichever are more, not F1; repeats count")
    calls = [{"name": js_text(name).strip(), "arguments": {}} for name in names]
    as_template(text := json.dumps(calls, ensure_ascii=False, separators=(", ", ": ")))
    return {"type": "tool_calls", "reference": Slot(text), "name_share": 1}


# Judges

RUBRIC_SYSTEM = (
    "You grade an output against a rubric. In `result` answer 1 if the output satisfies the whole rubric, 0 if it does "
    "not, and a number between where it satisfies a part of it."
)
FACTS = (
    "Compare the facts of a submitted answer with those of an expert's. Ignore style, grammar and punctuation. "
    "Choose one: A: the submission is a subset of the expert's answer and agrees with it. B: it is a superset and "
    "agrees. C: both hold the same details. D: they disagree. E: they differ, but not in any fact that matters."
)
CRITERION = "Does the submitted answer meet the criterion? Answer Y if it does, N if it does not."


def _model(assertion: Assertion) -> str:
    """The judge's name out of Promptfoo's provider, else the one given, else a default that is remarked upon."""
    for holder in (assertion.wire, assertion.case.options):
        provider = holder.get("provider")
        if isinstance(provider, Mapping) and "id" not in provider:
            provider = provider.get("text")  # a provider for each kind of judge
        if isinstance(provider, Mapping):
            if provider.get("config"):
                assertion.otherwise("the judge's options", "set `sampling_params` of the `score_model` instead")
            provider = provider.get("id")
        if isinstance(provider, str) and provider:
            vendor, _, rest = provider.partition(":")
            name = re.sub(r"^(chat|responses|messages|completion):", "", rest) or provider
            if vendor not in ("openai", "azure"):
                assertion.otherwise(
                    provider, f"the judge {name!r} is asked where your judge is set up, not at {vendor}"
                )
            return name
    if not assertion.judge:
        assertion.otherwise("the judge", f"none is named, so {DEFAULT_JUDGE!r} stands in; choose with --judge MODEL")
    return assertion.judge or DEFAULT_JUDGE


def _question(assertion: Assertion) -> str:
    return "[Question] {{item.messages[-1].content}}\n" if assertion.has_prompt else ""


def _llm_rubric(assertion: Assertion) -> Definition:
    own = assertion.wire.get("rubricPrompt") or assertion.case.options.get("rubricPrompt")
    if own is not None:
        messages = _own_prompt(assertion, own)
    else:
        assertion.otherwise("the judge's prompt", "it is written anew, and asks for `result` from 0 to 1")
        asked = assertion.slot(f"<output>\n{OUTPUT}\n</output>\n<rubric>\n", "\n</rubric>")
        messages = [{"role": "system", "content": RUBRIC_SYSTEM}, {"role": "user", "content": asked}]
    return {"type": "score_model", "model": _model(assertion), "input": messages}


def _own_prompt(assertion: Assertion, prompt: Any) -> list[Definition]:
    """A config's own prompt for the judge, `{{output}}` and `{{rubric}}` put in."""
    prompt = assertion.files.load(prompt)
    if isinstance(prompt, str) and prompt.lstrip().startswith("["):
        prompt = read_yaml(prompt)  # JSON is YAML
    messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    rubric = "" if assertion.value is None else js_text(assertion.value)
    assertion.otherwise("the judge's answer", "it is a number named `result`, whatever form the prompt asks for")
    asked = []
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("content"), str):
            raise NotCarriedError(f"its rubricPrompt holds {short(message)}, which is no message of text")
        text = re.sub(r"\{\{\s*rubric\s*\}\}", lambda _: rubric, message["content"])
        pieces = re.split(r"\{\{\s*output\s*\}\}", text)
        content = OUTPUT.join(map(as_template, pieces))
        asked.append({"role": message.get("role", "user"), "content": content})
    return asked


def _factuality(assertion: Assertion) -> Definition:
    asked = assertion.slot(_question(assertion) + "[Expert] ", f"\n[Submission] {OUTPUT}")
    return {
        "type": "label_model",
        "model": _model(assertion),
        "input": [{"role": "system", "content": FACTS}, {"role": "user", "content": asked}],
        "labels": ["A", "B", "C", "D", "E"],
        "passing_labels": ["A", "B", "C", "E"],
    }


def _closed_qa(assertion: Assertion) -> Definition:
    asked = assertion.slot(f"{_question(assertion)}[Submission] {OUTPUT}\n[Criterion] ")
    return {
        "type": "label_model",
        "model": _model(assertion),
        "input": [{"role": "system", "content": CRITERION}, {"role": "user", "content": asked}],
        "labels": ["Y", "N"],
        "passing_labels": ["Y"],
    }


# Code

PYTHON = """{code}


def grade(sample, item):
    result = {call}(sample["output_text"], {{"vars": item}})
    if isinstance(result, dict):
        passed, score = result.get("pass"), result.get("score", result.get("pass"))
    else:
        score = float(result)
        passed = {passed}
    return float({answer})
"""


def _python(assertion: Assertion, passes: bool) -> Definition:
    """The code of a python assertion, called as Promptfoo calls it; its second form answers whether it passes."""
    value, call = assertion.wire.get("value"), "main"
    if not isinstance(value, str) or not value.strip():
        raise NotCarriedError(f"it needs code, not {short(value)}")
    if value.startswith("file://") or re.fullmatch(r"[\w./-]+\.py(:\w+)?", value.strip()):
        name, _, function = value.strip().removeprefix("file://").partition(".py")
        code = assertion.files.read(assertion.files.paths(f"{name}.py")[0])
        call = "_assertion"
        code = f"{code.rstrip()}\n\n\n_assertion = {function.lstrip(':') or 'get_assert'}"
    else:
        code = value if "\n" in value.strip() else f"return {value.strip()}"
        code = "import json\n\n\ndef main(output, context):\n" + textwrap.indent(
            textwrap.dedent(code).strip("\n"), "    "
        )
    at = assertion.threshold
    if at is not None and (isinstance(at, bool) or not isinstance(at, int | float)):
        raise NotCarriedError(f"its threshold is no number: {short(at)}")
    passed = "score > 0" if at is None else f"score >= {at!r}"
    answer = "score" if not passes else "not passed" if assertion.inverse else "passed"
    return {"type": "python", "source": PYTHON.format(code=code, call=call, passed=passed, answer=answer)}


# All together

Maker: TypeAlias = Callable[[Assertion], Definition]

BINARY: Mapping[str, Maker] = {
    "equals": _equals,
    "contains": _contains,
    "icontains": _contains,
    "contains-any": _contains_several,
    "contains-all": _contains_several,
    "icontains-any": _contains_several,
    "icontains-all": _contains_several,
    "regex": _regex,
    "starts-with": _starts_with,
    "is-json": _is_json,
    "word-count": _word_count,
    "finish-reason": _finish_reason,
    "contains-json": _contains_json,
    "factuality": _factuality,
    "model-graded-factuality": _factuality,
    "model-graded-closedqa": _closed_qa,
}
"""Assertions that pass or fail."""

SCORED: Mapping[str, tuple[Maker, float | None]] = {
    "rouge-n": (_similarity, 0.75),
    "bleu": (_similarity, 0.5),
    "gleu": (_similarity, 0.5),
    "meteor": (_similarity, 0.5),
    "similar": (_similarity, 0.75),
    "similar:cosine": (_similarity, 0.75),
    "tool-call-f1": (_tool_names, 1.0),
    "llm-rubric": (_llm_rubric, None),
}
"""Assertions with a score of their own, and the threshold from which each passes."""

TYPES = frozenset({*BINARY, *SCORED, *NOT_CARRIED, "python", "assert-set"})
"""Every assertion that is known, carried or not."""

KNOWN_KEYS = frozenset(
    {
        *("type", "value", "threshold", "weight", "metric", "provider", "rubricPrompt", "normalizeUnicode"),
        *("assert", "description", "transform", "contextTransform"),
    }
)


def verdict(assertion: Assertion) -> Verdict:
    """What one assertion scores and when it passes. NotCarriedError says why there is no counterpart."""
    if assertion.wire.get("transform") or assertion.wire.get("contextTransform"):
        raise NotCarriedError("its transform changes the output by code before it is judged")
    from_code = isinstance(assertion.value, str) and re.match(r"(file|package):", assertion.value)
    if from_code and assertion.kind != "python":
        raise NotCarriedError(f"its value comes from code ({assertion.value}), which is not run")
    score, passes = _score_and_pass(assertion)
    return Verdict(score, passes, weight_of(assertion.wire), name_of(assertion.wire))


def _score_and_pass(assertion: Assertion) -> tuple[Definition, Definition]:
    if assertion.kind == "python":
        return _python(assertion, passes=False), _python(assertion, passes=True)
    if assertion.kind in BINARY:
        score = BINARY[assertion.kind](assertion)
        score = negated(score) if assertion.inverse else score
        return score, score
    if assertion.kind in SCORED:
        make, default = SCORED[assertion.kind]
        score = make(assertion)
        at = default if assertion.threshold is None else assertion.threshold
        if at is None:  # a rubric without a threshold passes where the judge says so
            at = 1
            assertion.otherwise("without a threshold", "it passes at a full score here; Promptfoo asks the judge")
        passes = threshold_of(score, at)
        return (negated(score), negated(passes)) if assertion.inverse else (score, passes)
    if assertion.kind in NOT_CARRIED:
        raise NotCarriedError(NOT_CARRIED[assertion.kind])
    raise NotCarriedError(f"no such assertion is known; {nearest(assertion.kind, TYPES)}")


def weight_of(wire: Mapping[str, Any]) -> float:
    weight = wire.get("weight", 1)
    try:
        number = float(weight)
    except (TypeError, ValueError, OverflowError):
        raise NotCarriedError(f"its weight is no number: {short(weight)}") from None
    if isinstance(weight, bool) or not 0 <= number < float("inf"):
        raise NotCarriedError(f"its weight is {short(weight)}, and a weight is a number of at least 0")
    return number


def name_of(wire: Mapping[str, Any]) -> str:
    """A key for the part: its metric, else its type."""
    return part_key(str(wire.get("metric") or wire.get("type")))


def read_value(wire: Mapping[str, Any], files: Files) -> Any:
    """The value of an assertion; of a data or text file what it holds, of code its reference."""
    value = wire.get("value")
    if isinstance(value, str) and value.startswith("file://"):
        path = value.removeprefix("file://")
        if Path(path.partition(":")[0]).suffix in (".py", ".js", ".ts", ".mjs", ".cjs", ".rb"):
            return value
        return files.load(value)
    return json.loads(json.dumps(value, default=str)) if isinstance(value, dict | list) else value
