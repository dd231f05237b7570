"""math beside math-verify, both sides in one run: `python benchmarks/math_grader.py`.

    python benchmarks/math_grader.py [--only accuracy|speed|adversarial|import] [--yardsticks FOLDER] [--ours]

Ours is the whole grade: `grader(sample, item)` with templates, checks and the result object. Theirs is `verify` of
two `parse`s, with the options that a row records; in the sets of bare formulas it is given `$` around both sides,
which it needs. Times are processor time. `accuracy` and `speed` need the yardsticks, other people's cases that are
not part of this repository; where they or math-verify are absent, what that leaves out is said. (A script named
math.py would hide Python's own module from every script in this folder.)
"""

from __future__ import annotations

import argparse
import functools
import gc
import hashlib
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # beside this script lies graders.py, which shares its name with our package

from benchmarks.math_attacks import inputs, pairings  # noqa: E402

REVIEWED = ROOT / "tests" / "math_disagreements.jsonl"
SETS = ("math_verify", "lighteval", "nemo_skills", "gold_perturbed", "gold_identity")
MIXED = SETS[:3]
BARE = SETS[2:]  # sets of formulas without $
ROUNDS = 5
KILLED = 25  # seconds after which a child is
Row = Mapping[str, Any]
Call = Callable[[], bool]


def our_call(row: Row) -> Callable[[], Any]:
    """The public call for one row, ready to be made again and again."""
    from graders import Sample

    grader, sample, item = our_grader(digits_of(row)), Sample(row["pred"]), {"gold": row["gold"]}
    return lambda: grader(sample, item)


@functools.cache
def our_grader(digits: int | None) -> Any:
    from graders import load

    options = {} if digits is None else {"digits": digits}
    return load({"type": "math", "reference": "{{item.gold}}", **options})


def digits_of(row: Row) -> int | None:
    """A recorded rounding that is not math-verify's default of 6 is our option `digits`."""
    rounding = (row.get("opts") or {}).get("float_rounding", 6)
    return None if rounding == 6 else rounding


def our_verdict(row: Row) -> bool:
    return our_call(row)().score == 1.0


def their_call(row: Row, bare: bool) -> Call:
    from math_verify import parse, verify

    gold, output = (f"${text}$" if bare and not text.startswith("$") else text for text in (row["gold"], row["pred"]))
    known = {} if (config := their_config(row.get("cfg", ""))) is None else {"extraction_config": config}
    options = row.get("opts") or {}

    def call() -> bool:
        return bool(verify(parse(gold, **known), parse(output, **known), **options))

    return call


@functools.cache
def their_config(recorded: str) -> Any:
    """The extraction targets that a row of math-verify's own suite records; None for its defaults."""
    from latex2sympy2_extended.latex2sympy2 import NormalizationConfig
    from math_verify import parser

    if "Config" not in recorded:
        return None
    latex = parser.LatexExtractionConfig(
        boxed_match_priority=0,
        normalization_config=NormalizationConfig(
            basic_latex=True, units=True, malformed_operators=True, nits=True, boxed="all", equations=False
        ),
    )
    found = [latex] if "LatexExtractionConfig" in recorded else []
    return (*found, parser.ExprExtractionConfig()) if "ExprExtractionConfig" in recorded else tuple(found)


def their_verdict(row: Row, bare: bool) -> bool:
    try:
        return their_call(row, bare)()
    except Exception:  # an error of theirs is no acceptance
        return False


# Accuracy


def key(row: Row) -> str:
    return hashlib.sha256(f"{row['gold']}\n{row['pred']}".encode()).hexdigest()[:12]


def reviewed() -> dict[tuple[str, str], bool]:
    """What is right, for each row on which sides differ: (set, hash of the row) to the verdict."""
    if not REVIEWED.exists():
        return {}
    lines = map(json.loads, REVIEWED.read_text(encoding="utf-8").splitlines())
    return {(line["set"], line["sha"]): line["right"] for line in lines}


def rows_of(folder: Path, name: str) -> list[Row]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def our_parsed(gold: str) -> bool:
    from graders.math.answer.final_answer import reference_answer

    try:
        return reads(reference_answer(gold, reads).text)
    except LookupError:
        return False


def reads(text: str) -> bool:
    from graders.math.reading.parse import parse

    try:
        return bool(parse(text))
    except ValueError:
        return False


def their_parsed(gold: str, bare: bool) -> bool:
    from math_verify import parse

    found = parse(f"${gold}$" if bare and not gold.startswith("$") else gold)
    return any(not isinstance(part, str) for part in found)


def accuracy(folder: Path, theirs: bool) -> None:
    right = reviewed()
    sides: dict[str, tuple[Callable[[Row, bool], bool], Callable[[str, bool], bool]]] = {
        "ours": (lambda row, bare: our_verdict(row), lambda gold, bare: our_parsed(gold))
    }
    if theirs:
        sides["math-verify"] = (their_verdict, their_parsed)
    print(f"{'set':<16} {'side':<12} {'rows':>5}  recorded  reviewed  false accepts  false rejects  golds parsed")
    for name in SETS:
        rows, bare = rows_of(folder, name), name in BARE
        truth = [right.get((name, key(row)), row["expected"]) for row in rows]
        for side, (verdict, parsed) in sides.items():
            said = [verdict(row, bare) for row in rows]
            as_recorded = share(said[place] == row["expected"] for place, row in enumerate(rows))
            accepts = sum(told and not true for told, true in zip(said, truth, strict=True))
            rejects = sum(true and not told for told, true in zip(said, truth, strict=True))
            both = f"{as_recorded:>8.2%}  {1 - (accepts + rejects) / len(rows):>8.2%}"
            golds = share(parsed(row["gold"], bare) for row in rows)
            print(f"{name:<16} {side:<12} {len(rows):>5}  {both}  {accepts:>13}  {rejects:>13}  {golds:>12.2%}")


def share(found: Iterator[bool]) -> float:
    return statistics.fmean(map(float, found))


# Speed


def forget() -> None:
    """Empty the caches of our package, so that each round reads its texts anew."""
    for thing in gc.get_objects():
        if isinstance(thing, functools._lru_cache_wrapper) and thing.__module__.startswith("graders.math"):
            thing.cache_clear()


def timed(calls: Sequence[Call]) -> list[float]:
    """Milliseconds of processor time of each call."""
    found = []
    for call in calls:
        start = time.process_time()
        call()
        found.append((time.process_time() - start) * 1000)
    return found


def speed(folder: Path, theirs: bool, backend: str) -> None:
    rows = [(row, name in BARE) for name in MIXED for row in rows_of(folder, name)]
    ours = [our_call(row) for row, _ in rows]
    other = [their_call(row, bare) for row, bare in rows] if theirs else []
    timed(ours), timed(other)  # warm
    rounds: list[tuple[list[float], list[float]]] = []
    for _ in range(ROUNDS):
        forget()
        rounds.append((timed(ours), timed(other)))
    print(f"{'side':<22} {'pairs/s':>9}  {'p50 ms':>8}  {'p99 ms':>8}  {'max ms':>8}   {len(rows)} pairs, warm")
    tell(f"ours, {backend}", [ours for ours, _ in rounds])
    if theirs:
        tell("math-verify", [theirs for _, theirs in rounds])
        ratio = statistics.median(sum(theirs) / sum(ours) for ours, theirs in rounds)
        print(f"ours is {ratio:,.0f} times as fast")


def tell(side: str, rounds: Sequence[Sequence[float]]) -> None:
    total = statistics.median(map(sum, rounds))
    each = sorted(statistics.median(times) for times in zip(*rounds, strict=True))
    middle, late = each[len(each) // 2], each[int(len(each) * 0.99)]
    print(f"{side:<22} {len(each) / total * 1000:>9,.0f}  {middle:>8.3f}  {late:>8.3f}  {each[-1]:>8.3f}")


# Adversarial

THEIRS = (
    *("9^9^9^9", "10^(10^8)", "((9!)!)!", "binomial of 10^8", "(x+1)^1000", "sum to 10^9", "10^6 digits"),
    *("100 nested fractions", "50,000 spaces", "1 MB of $", "list of 10^5 numbers"),
)


def peak() -> float:
    """MB that this process has held at most."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage gives begins with what the parent held
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def child(side: str, name: str) -> None:
    """Print, as JSON lines, how long each pairing of one input took and what it added to the memory."""

    def call_of(gold: str, output: str) -> Callable[[], Any]:
        row = {"gold": gold, "pred": output}
        return our_call(row) if side == "ours" else their_call(row, bare=True)

    for gold, output in (("1/2", "0.5"), (r"$\sqrt{8}x$", r"The answer is $\boxed{2\sqrt 2 x}$."), ("1,2", "(1,2)")):
        call_of(gold, output)()  # warm
    for how, gold, output in pairings(name):
        if side != "ours" and how != "output":
            continue
        call, before, start = call_of(gold, output), peak(), time.process_time()
        grade = call()
        taken = (time.process_time() - start) * 1000
        score = getattr(grade, "score", grade)
        print(json.dumps({"how": how, "ms": taken, "mb": peak() - before, "score": score}), flush=True)


def attacked(side: str, name: str) -> list[dict[str, Any]]:
    """What a fresh process tells of one input; where it had to be killed or broke, that."""
    command = [sys.executable, __file__, "--child", side, name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=KILLED)
        said, broke = done.stdout, done.returncode != 0
        if broke:
            print(f"{side}: {name!r} broke: {done.stderr.strip().splitlines()[-1:]}")
    except subprocess.TimeoutExpired as stopped:
        said, broke = (stopped.stdout or b"").decode(), True
    found = [{**json.loads(line), "name": name} for line in said.splitlines()]
    return [*found, {"name": name, "how": "killed", "ms": KILLED * 1000.0, "mb": 0.0}] if broke else found


def adversarial(theirs: bool) -> None:
    found = [tried for name in inputs() for tried in attacked("ours", name)]
    print(f"ours: {len(inputs())} inputs, {len(found)} pairs; slowest and largest of all:")
    slowest = sorted(found, key=lambda tried: -tried["ms"])[:15]
    largest = sorted(found, key=lambda tried: -tried["mb"])[:5]
    for tried in [*slowest, *(tried for tried in largest if tried not in slowest)]:
        print(f"  {tried['name']:<34} as {tried['how']:<10} {tried['ms']:>8.1f} ms  {tried['mb']:>6.1f} MB more")
    beyond = sum(tried["ms"] > 100 or tried["mb"] > 64 for tried in found)
    print(f"  beyond 100 ms or 64 MB: {beyond} of {len(found)} pairs")
    if theirs:
        print(f"{'input, as output against 5':<34} {'ours':>10} {'theirs':>11} {'ratio':>8} {'ours':>9} {'theirs':>9}")
    for name in THEIRS if theirs else ():
        mine = next(tried for tried in found if tried["name"] == name)
        other = attacked("theirs", name)[-1]
        times = f"{mine['ms']:>7.2f} ms {other['ms']:>8.0f} ms {other['ms'] / max(mine['ms'], 1e-3):>7,.0f}x"
        print(
            f"{name:<34} {times} {mine['mb']:>6.1f} MB {other['mb']:>6.1f} MB  {'killed' * (other['how'] == 'killed')}"
        )


# Import

CLOCK = """import sys, time
import {before}
start = time.process_time()
{code}
print((time.process_time() - start) * 1000)
assert {heavy!r} not in sys.modules"""
MADE = "from graders import load; grader = load({'type': 'math', 'reference': '2x+2'})"
GRADED = f"{MADE}; assert grader('2(x+1)', {{}}).score == 1"


def fresh(code: str, cache: str, before: str = "sys", heavy: str = "sympy") -> float:
    """Milliseconds of processor time of some code in a fresh process, its bytecode at hand: the median of seven."""
    command = [sys.executable, "-c", CLOCK.format(code=code, before=before, heavy=heavy)]
    known = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    runs = [
        subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=ROOT, env={**known, "PYTHONPYCACHEPREFIX": cache}
        )
        for _ in range(8)
    ]
    return statistics.median(float(run.stdout) for run in runs[1:])


def imports(theirs: bool) -> None:
    with tempfile.TemporaryDirectory() as cache:
        print(f"import graders: {fresh('import graders', cache):.0f} ms")
        print(f"and then the grader math: {fresh(MADE, cache, 'graders'):.0f} ms, without sympy")
        print(f"with its first grade: {fresh(GRADED, cache, 'graders'):.0f} ms, without sympy")
        if theirs:
            print(f"import math_verify: {fresh('import math_verify', cache, heavy='nothing'):.0f} ms")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", choices=["accuracy", "speed", "adversarial", "import"])
    options.add_argument("--yardsticks", type=Path, default=ROOT.parent / "shared" / "yardsticks" / "math")
    options.add_argument("--ours", action="store_true", help="leave math-verify out")
    options.add_argument("--mpmath", action="store_true", help="without python-flint, as where it is not installed")
    options.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.mpmath:
        sys.modules["flint"] = None  # type: ignore[assignment]
    if given.child:
        child(*given.child)
        return
    theirs = not given.ours and importlib.util.find_spec("math_verify") is not None
    if not theirs and not given.ours:
        print("math-verify is not installed: its side is left out")
    run(given, theirs)


def run(given: argparse.Namespace, theirs: bool) -> None:
    if not given.yardsticks.is_dir() and given.only in (None, "accuracy", "speed"):
        print(f"no yardsticks at {given.yardsticks}: accuracy and speed are left out")
    elif given.only in (None, "accuracy"):
        accuracy(given.yardsticks, theirs)
    if given.yardsticks.is_dir() and given.only in (None, "speed"):
        speed(given.yardsticks, theirs, "mpmath" if given.mpmath else "python-flint")
        if not given.mpmath:
            command = [sys.executable, __file__, "--only", "speed", "--ours", "--mpmath"]
            subprocess.run([*command, "--yardsticks", str(given.yardsticks)], check=True)
    if given.only in (None, "adversarial"):
        adversarial(theirs)
    if given.only in (None, "import"):
        imports(theirs)


if __name__ == "__main__":
    main()
