"""Throws random input at every grader and parser: `python benchmarks/fuzz.py --inputs 1000000`.

Each page in docs/graders gives a definition with a row; outputs, items and definitions are made from them by
mutation, and from scratch. Whatever comes in, a grader answers with a Grade whose score is finite or whose error
is typed; a parser answers or raises ValueError or LookupError. Ends with 1 where one does not, or takes longer than
`--slow` seconds. `--seed` repeats a run.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# benchmarks/graders.py shares its name with our package, and Python looks beside the script first.
ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

from graders import Grade, Grader, Sample, load  # noqa: E402
from graders.algebra.formula import parse as parse_formula  # noqa: E402
from graders.convert import convert  # noqa: E402
from graders.grade import ERROR_KINDS, GradingError  # noqa: E402
from graders.model.verdict import number_of, object_in  # noqa: E402
from graders.offline.where import Where  # noqa: E402
from graders.sample import read_json  # noqa: E402
from graders.service.question import Answer, answer_of  # noqa: E402
from graders.service.services import Services, use  # noqa: E402
from graders.service.settings import Settings  # noqa: E402
from graders.template import parse as parse_template  # noqa: E402
from graders.testing.scripted_judge import said  # noqa: E402

BLOCK = re.compile(r"^```json(?: grader)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)

SHARDS = [
    *("", " ", "\n", "\t", "\x00", "\ud800", "\udfff", "\ufeff", "\u200b", "\u202e", "é", "ß", "İ", "ﬁ", "😀", "א"),
    *("0", "1", "-1", "1e999", "1e-999", "NaN", "Infinity", "-0", "0.1", "1/0", "3,14", "1,000", "9" * 50, "5 kg"),
    *("50%", "٣", "{", "}", "[", "]", '"', "\\", "{{", "}}", "{{item.x}}", "{{ sample.output_text }}", "\\boxed{"),
    *("```", "```json\n", "<think>", "</think>", "<answer>", "</answer>", "####", "A", "B)", "(C)", "A and B", "not"),
    *("or", "the answer is", "null", "true", "false", '{"a": 1, "a": 2}', "[1, [2, [3]]]", "(", ")", "+", "*", "^"),
    *("min(", "if(", "<=", ",", "(a+)+$", "(?i)", "\\1", ".*", "\\p{L}", "(?=x)", "\r\n", "|", "- ", "1. ", "**"),
    *("http://", "é" * 300),
]


def text(rng: random.Random) -> str:
    """A text from scratch: shards and letters, now and then long or deep."""
    kind = rng.random()
    if kind < 0.002:
        return rng.choice(SHARDS) * rng.randrange(1, 20_000)
    if kind < 0.004:
        return "[" * rng.randrange(10_000) + rng.choice(SHARDS)
    if kind < 0.2:
        return "".join(chr(rng.randrange(1, 0x11000)) for _ in range(rng.randrange(12)))
    return "".join(rng.choice(SHARDS) for _ in range(rng.randrange(9)))


def value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(9 if depth < 3 else 7)
    if kind == 7:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 8:
        return {text(rng)[:20]: value(rng, depth + 1) for _ in range(rng.randrange(4))}
    return [text(rng), None, True, rng.randrange(-5, 5), rng.uniform(-2, 2), 10 ** rng.randrange(400), math.nan][kind]


def mutated_text(given: str, rng: random.Random) -> str:
    for _ in range(rng.randrange(1, 4)):
        start = rng.randrange(len(given) + 1)
        end = min(len(given), start + rng.randrange(6))
        given = given[:start] + rng.choice((rng.choice(SHARDS), given[start:end] * 2, "")) + given[end:]
    return given


def mutated(given: Any, rng: random.Random) -> Any:
    """The value with something changed, somewhere."""
    if rng.random() < 0.15:
        return value(rng)
    if isinstance(given, str):
        return mutated_text(given, rng)
    if isinstance(given, Mapping) and given:
        place = rng.choice(list(given))
        if rng.random() < 0.1:
            return {key: held for key, held in given.items() if key != place}
        return {key: mutated(held, rng) if key == place else held for key, held in given.items()}
    if isinstance(given, list) and given:
        index = rng.randrange(len(given))
        return [*given[:index], mutated(given[index], rng), *given[index + rng.randrange(2) :]]
    return value(rng)


WRITTEN = r"""
\frac{3}{4} ;; -\frac12\sqrt{3} ;; x^{2}+2x+1 ;; \sqrt[3]{x^2+1} ;; (-\infty, 3] \cup (5, \infty) ;; \{1, 2, 3\} ;;
0.333 ;; 1,234,567 ;; 12.5\% ;; \$18.90 ;; 45^{\circ} ;; 5\text{ cm}^2 ;; 6.02e23 ;; 1 1/2 ;; 204_{5} ;; 3:4 ;;
x=3,y=-1 ;; 2 or 3 ;; \begin{pmatrix}1 & 2 \\ 3 & 4\end{pmatrix} ;; \left(\frac{1}{2}, -3\right) ;;
x \equiv 3 \pmod{7} ;; \log_2 8 ;; e^{i\pi} ;; \sin^2 x + \cos^2 x ;; n! ;; \binom{n}{2} ;; |x-1| \le 4 ;;
1 \pm \sqrt{5} ;; \sum_{k=1}^{n} k^2 ;; \int_0^1 x^2 \, dx ;; \lim_{x \to 0} \frac{\sin x}{x} ;; f(x) = a x + b ;;
\vec{v}_1 ;; \text{no solution} ;; The answer is $5$. ;; <answer>8</answer> ;; Thus $\boxed{\tfrac{7}{3}}$ ;;
#### 72 ;; **73**
"""
PIECES = r"""
\frac \sqrt \left \right \cdot \times \pm \mp \le \neq \approx \in \cup \sin \log \ln \pi \alpha \infty \text
\mathrm \boxed \overline \quad \begin \begin{matrix} \end{matrix} \sum \int \lim \binom \circ \pmod \emptyset \%
\$ \{ \} \\ \, \! \[ \] \( \) $$ ^{ _{ {,} 10^ 99999999 .5 1e9 :: √ π ∞ ≤ ± ² ½ ° ， （ ٣ − 答案是 and or cm <answer>
####
"""
FORMULAS = [formula.strip() for formula in WRITTEN.split(";;")]
LATEX = [*PIECES.split(), *"0123456789abcefinxyzABC+-*/=<>^_{}()[]|!,.;:&%$~'\\ \n", "\u0301", " and ", " or "]

OPTIONS: list[dict[str, Any]] = [{}, {"rel_tol": 0.01, "order": "free", "shape": "loose"}, {"units": "required"}]


def latex(rng: random.Random) -> str:
    """LaTeX-like: a formula, a formula with something changed, or tokens in any order; now and then deep."""
    kind = rng.random()
    if kind < 0.01:
        return rng.choice(LATEX) * rng.randrange(1, 400) + rng.choice(FORMULAS)
    if kind < 0.45:
        return "".join(rng.choice(LATEX) for _ in range(rng.randrange(1, 16)))
    made = rng.choice(FORMULAS)
    for _ in range(rng.randrange(4)):
        start = rng.randrange(len(made) + 1)
        end = min(len(made), start + rng.randrange(4))
        made = made[:start] + rng.choice((rng.choice(LATEX), rng.choice(FORMULAS), "")) + made[end:]
    return made


METRICS = ["bleu", "gleu", "meteor", *(f"rouge_{number}" for number in (1, 2, 5)), "rouge_l"]
EXTRACTS: list[Any] = [
    *("boxed", "fence", "final_line", "after_thinking", "json"),
    *({"rule": "tag", "which": which} for which in ("first", "last", "only")),
    {"rule": "regex", "pattern": r"answer is (\w+)", "group": 1},
    {"rule": "after", "marker": "####"},
    ["after_thinking", {"rule": "first_of", "alternatives": ["boxed", {"rule": "tag"}, "final_line"]}],
]
EXAMPLE = '<think>3 or 4?</think> So 2 + 2 is \\boxed{4}.\n```json\n{"a": 4}\n```\n<answer>4</answer>\n#### 4'


def cases() -> dict[str, tuple[dict[str, Any], dict[str, Any], Any]]:
    """Each built-in type's definition, item and sample, from its page; and what a page shows in one form only."""
    found: dict[str, tuple[dict[str, Any], dict[str, Any], Any]] = {}
    similar = {"type": "text_similarity", "input": "{{sample.output_text}}", "reference": "{{item.text}}"}
    for metric in METRICS:
        row = {"text": "The quick brown fox, it is said, jumped over 3 lazy dogs."}
        found[metric] = (
            {**similar, "evaluation_metric": metric},
            row,
            "A quick fox jumps over the lazy dogs, 3 of them.",
        )
    number = {"type": "number", "reference": "{{item.answer}}"}
    for count, extract in enumerate(EXTRACTS, start=1):
        found[f"extract {count}"] = ({**number, "extract": extract}, {"answer": 4}, EXAMPLE)
    loose = {"abs_tol": 0.1, "zero_at": 3, "percent": True, "fractions": True, "units": ["kg", "kilograms"]}
    found["number, loose"] = ({**number, **loose}, {"answer": "1/2"}, "50.1 % kg")
    for page in sorted((ROOT / "docs" / "graders").glob("*.md")):
        definition, row = (json.loads(block) for block in BLOCK.findall(page.read_text(encoding="utf-8"))[:2])
        found[page.stem] = (definition, row["item"], row["sample"] if "sample" in row else row["samples"][0])
    return found


CONFIG = {
    "prompts": ["Which gene causes {{disease}}?"],
    "providers": ["openai:gpt-4o-mini"],
    "defaultTest": {"assert": [{"type": "latency", "threshold": 1000}, {"type": "not-contains", "value": "sorry"}]},
    "tests": [
        {
            "vars": {"disease": "Marfan", "gene": "FBN1"},
            "assert": [{"type": "equals", "value": "{{gene}}", "weight": 2}],
        },
        {"assert": [{"type": "is-json", "value": {"type": "object"}}, {"type": "regex", "value": "[A-Z]+[0-9]*"}]},
        {"assert": [{"type": "assert-set", "threshold": 0.5, "assert": [{"type": "rouge-n", "value": "a b"}]}]},
    ],
}
EVAL = {
    "name": "eval",
    "data_source_config": {
        "type": "custom",
        "item_schema": {"type": "object", "properties": {"a": {"type": "string"}}},
    },
    "testing_criteria": [
        {"type": "string_check", "name": "same", "input": "{{item.a}}", "reference": "x", "operation": "eq"},
        {
            "type": "text_similarity",
            "name": "like",
            "input": "{{ sample.output_text }}",
            "reference": "{{item.a}}",
            "evaluation_metric": "bleu",
            "pass_threshold": 0.5,
        },
    ],
}


def sample_for(example: Any, rng: random.Random) -> Any:
    if rng.random() < 0.4:
        return text(rng)
    if isinstance(example, str):
        return mutated_text(example, rng)
    return {key: mutated(held, rng) for key, held in example.items()}


def graded(grader: Grader, sample: Any, item: Any) -> str:
    """Grade, and give the outcome's kind; AssertionError where the grade breaks the laws."""
    try:
        about = Sample.of(sample)
    except (ValueError, TypeError):
        return "no sample"
    grade = grader(about, item)
    assert isinstance(grade, Grade)
    if grade.score is not None:
        assert math.isfinite(grade.score), grade
        low, high = grader.range
        assert low <= grade.score <= high, grade
        assert grade.error is None or grade.error.fault == "candidate", grade
    else:
        assert grade.error is not None
        assert grade.error.kind in ERROR_KINDS, grade
        assert grade.error.kind != "other_error" or "Error: " not in grade.error.detail[:40], grade  # ours to foresee
    json.dumps(grade.to_wire(), allow_nan=False)
    return "scored" if grade.error is None else grade.error.kind


def parsed(parse: Callable[[str], Any], source: Any) -> str:
    try:
        parse(source)
    except (ValueError, LookupError, TypeError, FileNotFoundError) as problem:
        if type(problem) is KeyError or not str(problem).strip():  # ours to mend, or no help to anybody
            raise AssertionError(f"{type(problem).__name__}: {problem}") from problem
        return "refused"
    return "read"


def targets(rng: random.Random, folder: Path) -> dict[str, Callable[[], tuple[Any, Callable[[], str]]]]:
    """What is thrown at: each gives an input to show, and the call that throws it."""

    def throw_at(definition: dict[str, Any], item: dict[str, Any], sample: Any) -> Callable[[], Any]:
        grader = load(definition)

        def throw() -> Any:
            about = sample_for(sample, rng)
            row = mutated(item, rng) if rng.random() < 0.5 else item
            row = row if isinstance(row, dict) else item
            return (about, row), lambda: graded(grader, about, row)

        return throw

    def throw_definition() -> Any:
        definition = mutated(rng.choice(examples)[0], rng)
        return definition, lambda: parsed(load, definition)

    def throw_text(parse: Callable[[str], Any], seed: str) -> Callable[[], Any]:
        def throw() -> Any:
            source = mutated_text(seed, rng) if rng.random() < 0.6 else text(rng)
            return source, lambda: parsed(parse, source)

        return throw

    def throw_config(config: dict[str, Any], name: str) -> Callable[[], Any]:
        file = folder / name

        def throw() -> Any:
            changed = mutated(config, rng)
            file.write_text(json.dumps(changed), encoding="utf-8")
            return changed, lambda: parsed(lambda path: convert(Path(path)), str(file))

        return throw

    def evaluate(source: str) -> float:
        read, values = parse_formula(source), {"rank": 0.5, "a": 1.0, "b": 0.0}
        read.check_names(values)
        return read.evaluate(values)

    def throw_latex() -> Any:
        grader, gold, answer = rng.choice(mathematics), latex(rng), latex(rng)
        if rng.random() < 0.3:  # alike, so that what compares is reached
            answer = mutated_text(gold, rng)
        return (answer, gold), lambda: graded(grader, answer, {"gold": gold})

    mathematics = [load({"type": "math", "reference": "{{item.gold}}", **options}) for options in OPTIONS]
    found = cases()
    examples = list(found.values())
    formula = "clip(0.8*rank^2 - min(a, 1), 0, if(a >= 0.5, 1, mean(a, b)))"
    return {
        **{name: throw_at(*case) for name, case in found.items()},
        "latex": throw_latex,
        "definitions": throw_definition,
        "formulas": throw_text(evaluate, formula),
        "conditions": throw_text(
            Where, 'item.year >= 2020 and ("a" in sample.output_text or not item.genes[0] == null)'
        ),
        "promptfoo": throw_config(CONFIG, "promptfooconfig.json"),
        "evals": throw_config(EVAL, "eval.json"),
        "templates": throw_text(parse_template, "{{ item.a.b[0] }} and {{sample.output_text}}"),
        "json": throw_text(read_json, '{"a": [1, 2.5e3, "x\\u00e9"], "b": null}'),
        "samples": throw_text(Sample.of, '{"output_text": 1}'),
        "verdicts": throw_text(verdict, '{"steps": [{"description": "a", "conclusion": "b"}], "result": 4.5}'),
        "completions": throw_text(completion, said('{"result": 1}').body.decode()),
    }


def verdict(answer: str) -> float:
    result = number_of(object_in(Answer(answer, {})), "result")
    assert math.isfinite(result)
    return result


def completion(body: str) -> Answer | None:
    try:
        return answer_of(body.encode("utf-8", "surrogatepass"), "judge")
    except GradingError as problem:  # a refusal, or an answer that was cut off
        if problem.error.kind not in ERROR_KINDS:
            raise
        return None


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--inputs", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", help="one target's name")
    options.add_argument("--slow", type=float, default=1.0, help="seconds one input may take")
    given = options.parse_args()
    warnings.simplefilter("ignore")
    rng = random.Random(given.seed)
    folder = tempfile.TemporaryDirectory()
    thrown = targets(rng, Path(folder.name))
    if given.only:
        thrown = {given.only: thrown[given.only]}
    share = -(-given.inputs // len(thrown))
    print(f"{'target':<18} {'inputs':>9} {'slowest ms':>11}  outcomes")
    with use(Services(Settings(), dry=True)):  # judges make all of their questions, and ask none
        broken = run(thrown, share, given.slow)
    print(f"{share * len(thrown):,} inputs, {broken} broken")
    return 1 if broken else 0


def run(thrown: Mapping[str, Callable[[], tuple[Any, Callable[[], str]]]], share: int, slow: float) -> int:
    """Throw `share` inputs at each target; how many broke it, or took longer than `slow` seconds."""
    broken = 0
    for name, throw in thrown.items():
        outcomes: Counter[str] = Counter()
        slowest = 0.0
        for _ in range(share):
            shown, call = throw()
            start = time.perf_counter()
            try:
                outcomes[call()] += 1
            except Exception as problem:
                broken += 1
                outcomes["BROKEN"] += 1
                if outcomes["BROKEN"] <= 3:
                    print(f"{name}: {type(problem).__name__}: {str(problem)[:400]}\n  from {ascii(shown)[:600]}")
            seconds = time.perf_counter() - start
            slowest = max(slowest, seconds)
            if seconds > slow:
                broken += 1
                print(f"{name}: {seconds:.1f} s\n  from {ascii(shown)[:600]}")
        told = ", ".join(f"{kind} {count:,}" for kind, count in outcomes.most_common())
        print(f"{name:<18} {share:>9,} {slowest * 1000:>11.1f}  {told}", flush=True)
    return broken


if __name__ == "__main__":
    sys.exit(main())
