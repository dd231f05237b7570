"""What judges cost beyond their own time: calls in flight, kept answers, chaos, and kills with resumes.

    python benchmarks/judges.py [--calls 40000] [--in-flight 1000] [--only throughput cache chaos kills]

The judge is `graders.testing.scripted_judge` in a process of its own, on another core where there is one. Throughput is
told as a share of the ideal, calls in flight over the seconds that the judge takes, beside what a bare aiohttp loop
reaches in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

sys.path[0] = str(Path(__file__).resolve().parents[1])  # graders.py beside this script shares its name with our package

from graders.grader import Grader  # noqa: E402
from graders.model.score_model import FORM, ScoreModel, _read  # noqa: E402
from graders.offline.workers import calm_collector  # noqa: E402
from graders.registry import load  # noqa: E402
from graders.sample import Sample  # noqa: E402
from graders.score import grade_file_with_all, grade_many  # noqa: E402
from graders.service.question import Question  # noqa: E402
from graders.service.services import Services, use  # noqa: E402
from graders.service.settings import Settings  # noqa: E402
from graders.testing.scripted_judge import Chaos, Reaction, Request, Script, ScriptedJudge, verdict  # noqa: E402

LATENCY = 0.2  # seconds that the judge takes
GRADER = {
    "type": "score_model",
    "name": "rater",
    "model": "gpt-4o",
    "input": [
        {"role": "system", "content": "You rate answers to questions of genetics."},
        {"role": "user", "content": "Question: {{item.question}}\nAnswer: {{sample.output_text}}"},
    ],
    "range": [0, 10],
    "sampling_params": {"max_completions_tokens": 500},
}


def by_question(request: Request) -> Reaction:
    """A score that depends on nothing but the row, whatever was said in between."""
    shown = next(message["content"] for message in request.body["messages"] if message["role"] == "user")
    return verdict(crc32(shown.encode()) % 11)


class Slow:
    """The same verdict for all, made once, after some time."""

    def __init__(self, seconds: float) -> None:
        self.reaction = verdict(7, seconds=seconds)

    def __call__(self, request: Request) -> Reaction:
        return self.reaction


SCRIPTS: dict[str, Script] = {"slow": Slow(LATENCY), "calm": by_question, "chaos": Chaos(by_question)}


@contextmanager
def judge(script: str) -> Iterator[str]:
    """The address of a scripted judge in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--serve", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def serve(script: str) -> None:
    stay_on(1)
    calm_collector()
    with ScriptedJudge(SCRIPTS[script], remember=False) as scripted:
        print(scripted.url, flush=True)
        sys.stdin.read()


def stay_on(number: int) -> None:
    """Keep this process on one core."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def settings_of(url: str, **more: Any) -> Settings:
    return Settings.model_validate(
        {"services": {"local": {"base_url": url, **more}}, "models": {"*": {"service": "local"}}}
    )


def pairs(count: int) -> Iterator[tuple[str, dict[str, str]]]:
    for number in range(count):
        question = f"Which gene is the cause of Marfan syndrome, and in what share of families? ({number})"
        yield (
            f"FBN1, which codes for fibrillin-1, in more than nine of ten families. (Answer {number})",
            {"question": question},
        )


def throughput(calls: int, in_flight: int) -> None:
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    stay_on(0)
    ideal = in_flight / LATENCY
    grader = load(GRADER)
    with judge("slow") as url:
        bare = [asyncio.run(bare_aiohttp(url, calls, in_flight)) for _ in range(3)]
        for client in ("plain", "aiohttp", "openai"):
            ours = [
                graded(grader, url, calls // (10 if client == "openai" else 1), in_flight, client) for _ in range(3)
            ]
            rate, cpu = (statistics.median(values) for values in zip(*ours, strict=True))
            print(
                f"{client}: {rate:,.0f} grades a second with {in_flight:,} in flight, {rate / ideal:.0%} of the ideal "
                f"{ideal:,.0f}, {cpu * 1e6:.0f} us of work each",
                flush=True,
            )
    rate, cpu = (statistics.median(values) for values in zip(*bare, strict=True))
    print(f"bare aiohttp: {rate:,.0f} calls a second, {rate / ideal:.0%} of the ideal, {cpu * 1e6:.0f} us of work each")
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most")
    if before:
        os.sched_setaffinity(0, before)


def graded(grader: Grader, url: str, calls: int, in_flight: int, client: str) -> tuple[float, float]:
    """Grades a second, and seconds of this process for one."""
    with use(Services(settings_of(url, concurrency=in_flight, client=client))):
        start, used = time.perf_counter(), time.process_time()
        scores = Counter(grade.score for grade in grade_many(grader, pairs(calls), in_flight))
        rate, cpu = calls / (time.perf_counter() - start), (time.process_time() - used) / calls
    assert scores == {7.0: calls}, scores
    return rate, cpu


async def bare_aiohttp(url: str, calls: int, in_flight: int) -> tuple[float, float]:
    """The same with nothing but aiohttp and one body."""
    import aiohttp

    body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "x" * 900}]}).encode()
    numbers = iter(range(calls))
    start, used = time.perf_counter(), time.process_time()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one_after_the_other() -> None:
            for _ in numbers:
                async with session.post(f"{url}/chat/completions", data=body) as response:
                    await response.read()

        await asyncio.gather(*(one_after_the_other() for _ in range(in_flight)))
    return calls / (time.perf_counter() - start), (time.process_time() - used) / calls


def cache(calls: int, in_flight: int) -> None:
    """Grades a second where every answer is in the cache of another run."""
    grader = load(GRADER)
    with tempfile.TemporaryDirectory() as folder, judge("calm") as url:
        for run in range(4):
            with use(Services(settings_of(url, concurrency=in_flight), cache=Path(folder))) as services:
                start = time.perf_counter()
                grades = Counter(grade.status for grade in grade_many(grader, pairs(calls), in_flight))
                rate = calls / (time.perf_counter() - start)
                (entry, *_) = [*services.ledger.entries(), None]
            assert grades == {"scored": calls}
            assert (entry is None) == (run > 0)
            print(f"{'kept' if run else 'asked'}: {rate:,.0f} grades a second", flush=True)
        with use(Services(settings_of(url), cache=Path(folder))) as services:
            print(
                f"kept: {asyncio.run(answers(services, calls)):,.0f} answers a second, without the grades", flush=True
            )


async def answers(services: Services, calls: int) -> float:
    """Answers a second of questions that are in the cache."""
    grader = load(GRADER)
    assert isinstance(grader, ScoreModel)
    questions = [
        Question("gpt-4o", grader.messages(Sample(text), item), FORM, {"max_completions_tokens": 500}, grader.identity)
        for text, item in pairs(calls)
    ]
    start = time.perf_counter()
    for question in questions:
        reply = await services.ask(question, _read)
        assert reply.usage == {"gpt-4o": {"kept": 1}}
    return calls / (time.perf_counter() - start)


def chaos(calls: int, in_flight: int) -> None:
    """A share of 0.3 of the answers goes wrong: every row ends once, and where it is scored, as in a calm run."""
    with tempfile.TemporaryDirectory() as folder:
        data, calm, wild = (Path(folder) / name for name in ("data.jsonl", "calm.jsonl", "wild.jsonl"))
        write_rows(data, calls)
        seconds = {}
        for script, out in (("calm", calm), ("chaos", wild)):
            with judge(script) as url, use(Services(settings_of(url, concurrency=in_flight))) as services:
                start = time.perf_counter()
                grade_file_with_all({"rater": load(GRADER)}, data, out, single=True, concurrency=in_flight)
                seconds[script] = time.perf_counter() - start
                (entry,) = services.ledger.entries()
                print(
                    f"{script}: {calls:,} rows in {seconds[script]:.1f} s, {entry.counts['calls']:,} answers paid for"
                )
        compare(rows_of(calm), rows_of(wild), calls)


def kills(rows: int, times: int) -> None:
    """`assay grade` under chaos, killed with -9 and started again: nothing is lost, nothing there twice."""
    with tempfile.TemporaryDirectory() as folder, judge("calm") as calm, judge("chaos") as wild:
        data, grader, out, whole = (
            Path(folder) / name for name in ("data.jsonl", "g.json", "out.jsonl", "whole.jsonl")
        )
        write_rows(data, rows)
        grader.write_text(json.dumps(GRADER))
        with use(Services(settings_of(calm))):
            grade_file_with_all({"rater": load(GRADER)}, data, whole, single=True, concurrency=100)
        judges = Path(folder) / "judges.json"
        judges.write_text(settings_of(wild).model_dump_json(exclude_defaults=True))
        command = [str(Path(sys.executable).with_name("assay")), "grade", str(grader), str(data), "-o", str(out)]
        environment = os.environ | {"ASSAY_JUDGES": str(judges)}
        partial = out.with_name("out.jsonl.partial")
        killed = 0
        for number in range(times):
            killed += killed_run(command, environment, partial, (number + 1) * rows // (times + 1))
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert out.exists(), done.stderr
        print(f"{rows:,} rows, killed with -9 {killed} times")
        compare(rows_of(whole), rows_of(out), rows)


def killed_run(command: list[str], environment: dict[str, str], partial: Path, lines: int) -> bool:
    """Start a run and kill it once so many lines are recorded."""
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (partial.exists() and partial.read_bytes().count(b"\n") >= lines):
            time.sleep(0.02)
        process.kill()
        return process.wait() == -signal.SIGKILL


def write_rows(file: Path, count: int) -> None:
    with file.open("w") as lines:
        for number, (output, item) in enumerate(pairs(count)):
            print(json.dumps({"id": f"r{number}", "item": item, "sample": {"output_text": output}}), file=lines)


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def compare(calm: list[dict[str, Any]], wild: list[dict[str, Any]], count: int) -> None:
    """Say how the rows ended. Fails where one is lost, there twice, without reason, or scored otherwise."""
    assert [row["id"] for row in wild] == [row["id"] for row in calm] == [f"r{number}" for number in range(count)]
    errors: Counter[str] = Counter()
    for was, row in zip(calm, wild, strict=True):
        if row["score"] is None:
            errors[f"{row['error']['kind']} ({row['error']['fault']})"] += 1
        else:
            assert row["score"] == was["score"], (was, row)
    told = ", ".join(f"{number} {kind}" for kind, number in errors.most_common()) or "none"
    print(f"{count - sum(errors.values()):,} scored as in the calm run; errors: {told}; 0 lost, 0 twice", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What judges cost beyond their own time.")
    parser.add_argument("--calls", type=int, default=40_000)
    parser.add_argument("--in-flight", type=int, default=1_000)
    parser.add_argument("--only", nargs="*", choices=["throughput", "cache", "chaos", "kills"])
    parser.add_argument("--serve", choices=list(SCRIPTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    calm_collector()  # as `assay grade` does
    only = options.only or ["throughput", "cache", "chaos", "kills"]
    if "throughput" in only:
        throughput(options.calls, options.in_flight)
    if "cache" in only:
        cache(options.calls, options.in_flight)
    if "chaos" in only:
        chaos(min(options.calls, 10_000), min(options.in_flight, 200))
    if "kills" in only:
        kills(4_000, 20)


if __name__ == "__main__":
    main()
