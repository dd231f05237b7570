"""Grades per second of each built-in grader, in one process, warm: `python benchmarks/graders.py [NAME ...]`.

Graders that take batches are measured one call at a time and in batches; the rows of these differ, since a call in a
hundred, chosen by its arguments, is made again. `ASSAY_SANDBOX_REUSE=batch` measures a fresh process for each batch.
Graders that ask a judge or a service are measured in a dry run: all that they do to ask, and nothing of the asking.

Beside each grader stands the raw operation it wraps, timed in the same run; the ratio is what the grade's
reason, checks and bookkeeping cost. Medians of five rounds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# This file shares its name with our package, and Python looks beside the script first.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from jsonschema import Draft202012Validator  # noqa: E402
from rapidfuzz import fuzz, utils  # noqa: E402

from graders import Grade, Grader, Item, Sample, load  # noqa: E402
from graders.registry import BUILT_IN  # noqa: E402
from graders.service.services import Services, use  # noqa: E402
from graders.service.settings import Settings  # noqa: E402

ROUNDS = 5
SECONDS = 0.2  # a round's length, about
AT_ONCE = 50  # calls of a grader that waits, in one go of the event loop

GENES = ["TGFBR2", "COL3A1", "FBN1", "ACTA2", "SMAD3", "MYH11", "SKI", "LOX", "PRKG1", "FOXE3"]
SAMPLE = Sample(", ".join(GENES))
GROUP = [Sample(gene) for gene in GENES[:8]]
ITEM: Item = {
    "gene": "FBN1",
    "measured": "3.14",
    "pi": 3.14159,
    "choice": "The answer is (B).",
    "letter": "B",
    "root": "\\frac{3+\\sqrt{5}}{2}",
    "code": "def total(numbers):\n    return sum(numbers)\n",
}

EQUAL = {
    "type": "string_check",
    "input": "{{sample.output_text}}",
    "reference": "{{item.gene}}",
    "operation": "eq",
}
SIMILAR = {
    "type": "text_similarity",
    "input": "{{sample.output_text}}",
    "reference": "{{item.gene}}",
    "evaluation_metric": "fuzzy_match",
}
RANK = {"type": "rank", "reference": "{{item.gene}}"}
BOTH = {"type": "multi", "graders": {"rank": RANK, "same": EQUAL}, "calculate_output": "0.8*rank + 0.2*same"}


def place_in_list() -> float:
    return 1 / (SAMPLE.output_text.split(", ").index("FBN1") + 1)


def same() -> bool:
    return SAMPLE.output_text == ITEM["gene"]


JUDGED = {"model": "a-judge", "input": [{"role": "user", "content": "Is {{sample.output_text}} {{item.gene}}?"}]}
SCORED = {**JUDGED, "type": "score_model"}
LABELLED = {**JUDGED, "type": "label_model", "labels": ["yes", "no"], "passing_labels": ["yes"]}
CHECKED = {"type": "rubric", "model": "a-judge", "criteria": [{"criterion": "Names {{item.gene}}.", "points": 5}]}
SOURCE = {
    "type": "python",
    "source": "def grade(sample, item):\n    return float(item['gene'] in sample['output_text'].split(', '))\n",
}
CODE = {
    "type": "code",
    "input": "{{item.code}}",
    "function": "total",
    "cases": [{"args": [[1, 2]], "expected": 3}],
}
SERVICE = {"type": "endpoint", "url": "https://grader.example.com/grade"}


def payload() -> str:
    return json.dumps({"sample": {"output_text": SAMPLE.output_text}, "item": ITEM})


def run_here() -> bool:
    names: dict[str, Any] = {}
    exec(ITEM["code"], names)
    return bool(names["total"]([1, 2]) == 3)


PAIR = {"graders": {"rank": RANK, "same": EQUAL}}
GATED = {"condition": {**EQUAL, "operation": "ne"}, "grader": RANK}


def pair() -> tuple[float, float]:
    return place_in_list(), float(same())


NAMED = re.compile(r"\bFBN\d")
NUMBER = {"type": "number", "input": "{{item.measured}}", "reference": "{{item.pi}}", "abs_tol": 0.01}
MATH = {"type": "math", "input": "so $\\boxed{1+\\frac{1+\\sqrt5}{2}}$.", "reference": "{{item.root}}"}
CHOICE = {"type": "choice", "input": "{{item.choice}}", "reference": "{{item.letter}}"}
LABEL = {"type": "classification", "input": "{{item.gene}}", "reference": "{{item.gene}}", "labels": GENES}

RECORD = '{"gene": "FBN1", "patients": 3, "tags": ["a", "b"], "seen": {"city": "Oslo", "year": 2020}, "solved": true}'
RECORD_FORM = {
    "type": "object",
    "required": ["gene", "patients"],
    "properties": {
        "gene": {"type": "string"},
        "patients": {"type": "integer", "minimum": 0},
        "solved": {"type": "boolean"},
    },
}
RECORD_VALID = Draft202012Validator(RECORD_FORM)
CALL = '[{"name": "get_weather", "arguments": {"city": "Oslo", "days": 3}}]'
FORM = {"type": "json_schema", "input": RECORD, "schema": RECORD_FORM}


CASES: Mapping[str, tuple[Mapping[str, Any], str, Callable[[], Any]]] = {
    "string_check": (EQUAL, "==", same),
    "text_similarity": (
        SIMILAR,
        "rapidfuzz WRatio",
        lambda: fuzz.WRatio(SAMPLE.output_text, ITEM["gene"], processor=utils.default_process),
    ),
    "rank": (RANK, "split and index", place_in_list),
    "json_schema": (FORM, "jsonschema", lambda: RECORD_VALID.is_valid(json.loads(RECORD))),
    "json_match": (
        {"type": "json_match", "input": RECORD, "reference": RECORD},
        "json.loads and ==",
        lambda: json.loads(RECORD) == json.loads(RECORD),
    ),
    "tool_calls": (
        {"type": "tool_calls", "input": CALL, "reference": CALL},
        "json.loads and ==",
        lambda: json.loads(CALL) == json.loads(CALL),
    ),
    "multi": (BOTH, "both of the above, added", lambda: 0.8 * place_in_list() + 0.2 * same()),
    "weighted_sum": ({"type": "weighted_sum", **PAIR, "weights": {"rank": 0.8, "same": 0.2}}, "both", pair),
    "product": ({"type": "product", **PAIR}, "both, multiplied", lambda: place_in_list() * same()),
    "min": ({"type": "min", **PAIR}, "both, the lower", lambda: min(pair())),
    "max": ({"type": "max", **PAIR}, "both, the higher", lambda: max(pair())),
    "negate": ({"type": "negate", "grader": RANK}, "1 - rank", lambda: 1 - place_in_list()),
    "threshold": ({"type": "threshold", "grader": RANK, "at": 0.3}, "rank >= 0.3", lambda: place_in_list() >= 0.3),
    "clip": ({"type": "clip", "grader": RANK, "high": 0.5}, "rank, at most 0.5", lambda: min(place_in_list(), 0.5)),
    "piecewise": (
        {"type": "piecewise", "grader": RANK, "points": [[0, 0], [0.5, 0.8], [1, 1]]},
        "rank * 1.6",
        lambda: place_in_list() * 1.6,
    ),
    "gate": ({"type": "gate", **GATED}, "rank, if not equal", lambda: not same() and place_in_list()),
    "when": (
        {"type": "when", "condition": EQUAL, "then": 1, "otherwise": RANK},
        "rank, if not equal",
        lambda: 1 if same() else place_in_list(),
    ),
    "cascade": ({"type": "cascade", "graders": [RANK, EQUAL]}, "rank", place_in_list),
    "panel": ({"type": "panel", "graders": [RANK, EQUAL]}, "both, the mean", lambda: statistics.fmean(pair())),
    "score_model": (SCORED, "f-string", lambda: f"Is {SAMPLE.output_text} {ITEM['gene']}?"),
    "label_model": (LABELLED, "f-string", lambda: f"Is {SAMPLE.output_text} {ITEM['gene']}?"),
    "pairwise": (
        {"type": "pairwise", "model": "a-judge", "against": "{{item.gene}}"},
        "f-string",
        lambda: f"Answer A:\n{SAMPLE.output_text}\n\nAnswer B:\n{ITEM['gene']}",
    ),
    "group": (
        {"type": "group", "model": "a-judge"},
        "join",
        lambda: "\n\n".join(f"Answer {gene[0]}:\n{SAMPLE.output_text}" for gene in GENES[:8]),
    ),
    "rubric": (CHECKED, "f-string", lambda: f"{SAMPLE.output_text}\n\nc1. Names {ITEM['gene']}."),
    "python": (SOURCE, "json.dumps", payload),
    "code": (CODE, "exec and ==", run_here),
    "endpoint": (SERVICE, "json.dumps", payload),
    "one_of": ({"type": "one_of", "reference": ["FBN1", "SKI"]}, "in", lambda: SAMPLE.output_text in ("FBN1", "SKI")),
    "regex": ({"type": "regex", "pattern": NAMED.pattern}, "re", lambda: NAMED.search(SAMPLE.output_text)),
    "number": (NUMBER, "float and <=", lambda: abs(float(ITEM["measured"]) - ITEM["pi"]) <= 0.01),
    "math": (MATH, "floats", lambda: abs((3 + 5**0.5) / 2 - (1 + (1 + 5**0.5) / 2)) < 1e-9),
    "choice": (CHOICE, "re", lambda: re.fullmatch(r".*\((\w)\).", ITEM["choice"])),
    "classification": (LABEL, "in", lambda: ITEM["gene"].lower() in GENES),
    "length": ({"type": "length", "unit": "words", "max": 20}, "split", lambda: len(SAMPLE.output_text.split()) <= 20),
    "format": ({"type": "format", "tags": ["answer"]}, "count", lambda: SAMPLE.output_text.count("<answer>") == 1),
    "set_match": (
        {"type": "set_match", "reference": ["FBN1", "SKI"]},
        "sets",
        lambda: len({"FBN1", "SKI"} & set(SAMPLE.output_text.split(", "))),
    ),
}


MORE: Mapping[str, tuple[Mapping[str, Any], str, Callable[[], Any]]] = {
    "code, of none": ({**CODE, "input": " "}, "exec and ==", run_here),  # no process is started
}
"""Graders again, at something that costs them much less or more."""

UNDECIDED = ("not_asked", "sandbox_refused")
"""What may keep a measured grader from a score: a dry run, and a sandbox that is too weak."""

ROWS = [(SAMPLE, {**ITEM, "row": number}) for number in range(1024)]


def per_second(call: Callable[[], Any]) -> float:
    """Calls a second: the median of the rounds."""
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS / 2:  # warms up and finds out how many calls make a round
        call()
        calls += 1
    rates = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(2 * calls):
            call()
        rates.append(2 * calls / (time.perf_counter() - start))
    return statistics.median(rates)


async def grades_of(grader: Grader, calls: int) -> list[Grade]:
    """The grades of some calls, one after the other; a grader of groups gets one group a call."""
    if grader.judges_groups:
        return [grade for _ in range(calls) for grade in await grader.call_group_async(GROUP, ITEM)]
    return [await grader.call_async(SAMPLE, ITEM) for _ in range(calls)]


def measured(grader: Grader) -> float:
    """Grades a second."""
    with asyncio.Runner() as runner:
        for grade in runner.run(grades_of(grader, 1)):
            assert grade.score is not None or (grade.error is not None and grade.error.kind in UNDECIDED), grade
        if grader.batch > 1:
            rows = itertools.cycle(ROWS)
            return per_second(lambda: grader(*next(rows)))
        if not grader.waits:
            return per_second(lambda: grader(SAMPLE, ITEM))
        goes = per_second(lambda: runner.run(grades_of(grader, AT_ONCE)))
    return goes * AT_ONCE * (len(GROUP) if grader.judges_groups else 1)


def main() -> None:
    assert set(CASES) == set(BUILT_IN), "a built-in grader is not measured"
    known = {**CASES, **MORE}
    chosen = sys.argv[1:] or list(known)
    print(f"{'grader':<16} {'grades/s':>10}  {'raw calls/s':>12}  {'ratio':>7}  raw operation")
    with use(Services(Settings(), dry=True)):
        for name in chosen:
            definition, raw_name, raw = known[name]
            grader, theirs = load(definition), per_second(raw)
            rates = {name: measured(grader)}
            if grader.batch > 1:
                rates[f"{name}, batches"] = len(ROWS) * per_second(lambda grader=grader: grader.call_batch(ROWS))
            for label, ours in rates.items():
                print(f"{label:<16} {ours:>10,.0f}  {theirs:>12,.0f}  {theirs / ours:>6.1f}x  {raw_name}")


if __name__ == "__main__":
    main()
