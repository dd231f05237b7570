"""Batches of calls to `python` graders: order, errors that stay with their row, reuse by trust, and the audit."""

from __future__ import annotations

import itertools
import json
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graders import Grade, Grader, GradingError, Item, Sample, grade_many, load
from graders.code.python import Python
from graders.code.scores import AUDITED, BATCH
from graders.sandbox.pool import Pool, use
from graders.sandbox.settings import SandboxSettings
from graders.sandbox.warm import MOST_CALLS
from graders.score import grade_file, grade_file_with_all

GRADE = "def grade(sample, item):\n"
NUMBER = GRADE + "    return float(sample['output_text'])\n"


pytestmark = pytest.mark.usefixtures("sandbox")


def python(source: str, **options: Any) -> Python:
    return Python(source=source, **options)


def texts(count: int) -> list[tuple[str, Item]]:
    return [(str(number), {"id": number}) for number in range(count)]


def is_audited(grader: Python, sample: str, item: Item) -> bool:
    return zlib.crc32(grader._arguments(Sample(sample), item)) % AUDITED == 0


def pairs_with(grader: Python, audited: bool, count: int) -> list[tuple[str, Item]]:
    pairs: Iterator[tuple[str, Item]] = ((str(number), {"id": number}) for number in itertools.count())
    return list(itertools.islice((pair for pair in pairs if is_audited(grader, *pair) is audited), count))


def kinds(grades: list[Grade]) -> list[str | None]:
    return [None if grade.error is None else grade.error.kind for grade in grades]


# Batches


@pytest.mark.parametrize("count", [0, 1, 2, BATCH - 1, BATCH, BATCH + 1, 5 * BATCH + 3])
def test_a_batch_gives_the_grades_of_its_calls_in_order(count: int) -> None:
    grader = python(NUMBER)
    grades = grader.call_batch(texts(count))
    assert [grade.score for grade in grades] == [float(number) for number in range(count)]
    assert all(grade.grader == grader.identity and grade.seconds > 0 for grade in grades)


ODD = (
    "import os\n" + GRADE + "    text = sample['output_text']\n"
    "    if text == 'dies': os._exit(0)\n"
    "    if text == 'loops':\n        while True: pass\n"
    "    if text == 'forges': os.write(3, b'forged')\n"
    "    return float(text)\n"
)


@pytest.mark.parametrize("reuse", ["warm", "batch"])
def test_what_goes_wrong_in_one_call_touches_no_other(reuse: Any) -> None:
    with use(Pool(SandboxSettings(reuse=reuse))):
        grader = python(ODD, timeout_seconds=0.3)
        bad = {3: "dies", 4: "raises", 10: "loops", 70: "forges", 71: "dies", 149: "dies"}
        pairs: list[tuple[str, Item]] = [(bad.get(number, str(number)), {}) for number in range(150)]
        grades = grader.call_batch(pairs)
        assert {place for place, grade in enumerate(grades) if grade.score is None} == set(bad)
        assert all(grade.score == place for place, grade in enumerate(grades) if place not in bad)
        said = {place: grades[place].why.partition(":")[0] for place in bad}
        assert said[3] == said[71] == said[149] == "grade() ended its process without an answer (exit code 0)"
        assert said[4] == "grade() raised ValueError"
        assert said[10] == "grade() took too long"
        assert said[70].startswith("grade() sent bytes that are no answer")


def test_a_row_that_cannot_be_handed_over_touches_no_other() -> None:
    grades = python(NUMBER).call_batch([("1", {}), ("2", {"x": float("nan")}), ("3", {}), ({"no": 1}, {}), ("4", {})])
    assert [grade.score for grade in grades] == [1.0, None, 3.0, None, 4.0]
    assert kinds(grades) == [None, "other_error", None, "other_error", None]


def test_extract_is_done_for_each_of_a_batch() -> None:
    grader = python(NUMBER, extract="boxed")
    grades = grader.call_batch([(r"so \boxed{5}", {}), ("nothing", {}), (r"\boxed{7}", {})])
    assert [(grade.score, grade.extracted) for grade in grades] == [(5.0, "5"), (0.0, None), (7.0, "7")]
    assert kinds(grades) == [None, "extraction_failed", None]


def test_calls_too_large_to_go_out_together_are_all_answered() -> None:
    pairs: list[tuple[str, Item]] = [("x" * 700_000 + str(number), {}) for number in range(6)]
    grades = python(GRADE + "    return float(len(sample['output_text']))\n").call_batch(pairs)
    assert [grade.score for grade in grades] == [700_001.0] * 6


def test_a_warm_process_is_replaced_when_it_has_made_its_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_CALLS > 1
    monkeypatch.setattr("graders.sandbox.warm.MOST_CALLS", 2)
    monkeypatch.setattr("graders.code.scores.AUDITED", 2**40)
    counts = python("CALLS = []\n" + GRADE + "    CALLS.append(1)\n    return float(len(CALLS))\n", name="short")
    assert [counts(str(number)).score for number in range(5)] == [1.0, 2.0, 1.0, 2.0, 1.0]


class Batched(Grader):
    """A grader whose batches may go wrong as a plug-in's may."""

    type: str = "batched"

    @property
    def batch(self) -> int:
        return 10

    def grade(self, sample: Sample, item: Item) -> float:
        return float(sample.output_text)

    def grade_batch(self, pairs: Any) -> Any:
        if any(sample.output_text == "short" for sample, _ in pairs):
            return []
        if any(sample.output_text == "raise" for sample, _ in pairs):
            raise RuntimeError("all of it")
        return [
            GradingError("timeout", "late", "infra") if item else self.grade(sample, item) for sample, item in pairs
        ]


def test_a_batch_that_raises_is_undecided_for_each_of_it() -> None:
    assert [grade.score for grade in Batched().call_batch([("0.5", {}), ("1", {})])] == [0.5, 1.0]
    assert kinds(Batched().call_batch([("0.5", {"late": 1}), ("1", {})])) == ["timeout", None]
    for word, said in (("raise", "RuntimeError: all of it"), ("short", "gave 0 grades for a batch of 2")):
        grades = Batched().call_batch([(word, {}), ("1", {})])
        assert [grade.score for grade in grades] == [None, None]
        assert all(said in grade.why and grade.grader for grade in grades)
        assert grades[0] is not grades[1]


def test_a_grader_without_batches_is_called_for_each() -> None:
    grader = load({"type": "string_check", "input": "{{sample.output_text}}", "reference": "1", "operation": "eq"})
    assert grader.batch == 1
    assert [grade.score for grade in grader.call_batch([("1", {}), ("2", {})])] == [1.0, 0.0]


def test_every_call_is_answered_once_though_the_fork_server_is_killed_again_and_again(sandbox: Pool) -> None:
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.05):
            for server in list(sandbox._servers.values()):
                server.kill()  # and with it all that it forked

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        grades = python(NUMBER).call_batch(texts(1500))
    finally:
        over.set()
        killer.join()
    assert [grade.score for grade in grades] == [float(number) for number in range(1500)]


# Where batches are used


def test_many_are_graded_in_order_and_what_the_pairs_raise_comes_after_them() -> None:
    def pairs() -> Iterator[tuple[Sample | str, Item]]:
        for number in range(300):
            yield str(number), {}
        raise OSError("the disk is gone")

    scores: list[float | None] = []
    with pytest.raises(OSError, match="the disk is gone"):
        scores.extend(grade.score for grade in grade_many(python(NUMBER), pairs()))
    assert scores == [float(number) for number in range(300)]


def test_the_first_pair_is_graded_before_the_third_is_read() -> None:
    read = []

    def pairs() -> Iterator[tuple[Sample | str, Item]]:
        for number in range(3):
            read.append(number)
            yield str(number), {}

    grades = grade_many(python(NUMBER), pairs())
    assert next(grades).score == 0.0
    assert read == [0]
    assert [grade.score for grade in grades] == [1.0, 2.0]


def rows(path: Path, outputs: list[str]) -> Path:
    lines = [
        {"id": f"r{number}", "item": {"n": number}, "sample": {"output_text": text}}
        for number, text in enumerate(outputs)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def graded(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_is_graded_in_order_with_each_error_in_its_row(tmp_path: Path, workers: int) -> None:
    outputs = [str(number) for number in range(400)]
    outputs[7], outputs[200] = "dies", "no number"
    summary = grade_file(python(ODD), rows(tmp_path / "rows.jsonl", outputs), tmp_path / "out.jsonl", workers=workers)
    assert (summary.n, sum(summary.errors.values())) == (400, 2)
    lines = graded(tmp_path / "out.jsonl")
    assert [line["id"] for line in lines] == [f"r{number}" for number in range(400)]
    wanted = [None if number in (7, 200) else float(number) for number in range(400)]
    assert [line["score"] for line in lines] == wanted
    assert {line["sandbox"] for line in lines} == {"S3"} or {line["sandbox"] for line in lines} == {"S2"}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_rows_before_a_malformed_one_are_recorded(tmp_path: Path, workers: int) -> None:
    data = rows(tmp_path / "rows.jsonl", [str(number) for number in range(100)])
    with data.open("a", encoding="utf-8") as file:
        file.write('{"id": "bad"}\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl:101"):
        grade_file(python(NUMBER), data, tmp_path / "out.jsonl", workers=workers)
    assert len(graded(tmp_path / "out.jsonl.partial")) == 100


def test_a_broken_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    data = rows(tmp_path / "rows.jsonl", [str(number) for number in range(100)])
    out, partial = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    grade_file(python(NUMBER), data, out, workers=1)
    whole = graded(out)
    lines = out.read_bytes().splitlines(keepends=True)
    partial.write_bytes(b"".join(lines[:41]) + lines[41][:20])
    out.unlink()
    grade_file(python(NUMBER), data, out, workers=1)
    assert [{**line, "seconds": 0} for line in graded(out)] == [{**line, "seconds": 0} for line in whole]


def test_a_python_grader_beside_another_and_a_cache(tmp_path: Path) -> None:
    graders = {
        "code": python(NUMBER, name="code"),
        "same": load({"type": "string_check", "input": "{{sample.output_text}}", "reference": "3", "operation": "eq"}),
    }
    few = rows(tmp_path / "few.jsonl", [str(number) for number in range(0, 60, 2)])
    many = rows(tmp_path / "many.jsonl", [str(number) for number in range(60)])
    seen = []
    for data in (few, many):
        summaries = grade_file_with_all(
            graders, data, tmp_path / "out.jsonl", workers=1, cache=tmp_path / "cache",
            progress=lambda progress: seen.append(progress.cached),
        )  # fmt: skip
    assert seen[-1] > 0
    lines = graded(tmp_path / "out.jsonl")
    assert [line["grades"]["code"]["score"] for line in lines] == [float(number) for number in range(60)]
    assert [line["grades"]["same"]["score"] for line in lines] == [float(number == 3) for number in range(60)]
    assert summaries["code"].n == 60


def test_parquet_has_the_level_of_the_sandbox(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    grade_file(python(NUMBER), rows(tmp_path / "rows.jsonl", ["1"]), tmp_path / "out.parquet")
    assert parquet.read_table(tmp_path / "out.parquet").to_pylist()[0]["sandbox"] in ("S2", "S3")


def test_a_python_part_of_a_multi_grades_row_by_row() -> None:
    parts = {
        "code": {"type": "python", "source": NUMBER},
        "two": {"type": "python", "source": GRADE + "    return 2\n"},
    }
    multi = load({"type": "multi", "graders": parts, "calculate_output": "code * two"})
    assert [grade.score for grade in grade_many(multi, texts(5))] == [0.0, 2.0, 4.0, 6.0, 8.0]


# Trust: what lives on, and what is made again

COUNTS = "CALLS = []\n" + GRADE + "    CALLS.append(1)\n    return float(len(CALLS))\n"
LEAKS = "SEEN = set()\n" + GRADE + "    SEEN.add(item['id'])\n    return float(item['id'] - 1 in SEEN)\n"
DRAWS = "import random\n" + GRADE + "    return random.random()\n"
CLOCK = "import time\n" + GRADE + "    return time.perf_counter()\n"
FORGETS = (
    "FIRST = True\n" + GRADE + "    global FIRST\n    if FIRST:\n        FIRST = False\n"
    "        raise ValueError('first')\n    return 1.0\n"
)  # fmt: skip


@pytest.mark.parametrize("source", [COUNTS, DRAWS, CLOCK, FORGETS], ids=["counts", "draws", "clock", "forgets"])
@pytest.mark.parametrize("reuse", ["warm", "batch"])
def test_state_and_lots_are_found_by_calls_that_are_made_again(source: str, reuse: Any) -> None:
    with use(Pool(SandboxSettings(reuse=reuse))):
        grader = python(source)
        plain, audited = pairs_with(grader, False, 5), pairs_with(grader, True, 1)
        grades = grader.call_batch([*plain, *audited])
        (grade,) = grades[5:]
        assert grade.score is None
        assert grade.error is not None
        assert (grade.error.kind, grade.error.fault) == ("nondeterministic", "grader")
        assert "called again in a fresh process" in grade.why
        assert "it keeps state or draws lots" in grade.why
        assert set(kinds(grades[1:5])) == {None}  # nobody looked


def test_what_leaks_from_one_call_into_another_is_found_where_the_calls_are_made_again() -> None:
    grader = python(LEAKS)
    ((text, item),) = pairs_with(grader, True, 1)
    before = (text, {"id": item["id"] - 1})
    assert kinds(grader.call_batch([before, (text, item)]))[1] == "nondeterministic"


def test_about_one_call_in_a_hundred_is_made_again_and_always_the_same_ones() -> None:
    grader = python(NUMBER)
    chosen = [is_audited(grader, *pair) for pair in texts(5_000)]
    other = python(NUMBER)
    assert chosen == [is_audited(other, *pair) for pair in texts(5_000)]
    assert 25 < sum(chosen) < 90


def test_an_honest_grader_passes_the_audit() -> None:
    grader = python(NUMBER)
    grades = grader.call_batch(pairs_with(grader, True, 20))
    assert set(kinds(grades)) == {None}


def test_scores_do_not_depend_on_what_is_graded_together() -> None:
    source = GRADE + "    words = set(sample['output_text'].split())\n    return float(hash(tuple(words)) % 10 ** 6)\n"
    pairs: list[tuple[str, Item]] = [(" ".join(f"w{(a * b) % 97}" for b in range(30)), {}) for a in range(97)]
    grader = python(source)
    together = [grade.score for grade in grader.call_batch(pairs)]
    assert [grader(*pair).score for pair in pairs] == together
    assert [grade.score for grade in grader.call_batch(pairs[::-1])] == together[::-1]
    assert len(set(together)) > 90
    for reuse in ("warm", "batch"):
        with use(Pool(SandboxSettings(reuse=reuse))):
            assert [grade.score for grade in grade_many(grader, pairs)] == together


def test_graders_of_unknown_origin_get_a_fresh_process_for_each_batch() -> None:
    with use(Pool(SandboxSettings(reuse="batch"))):
        grader = python(COUNTS)
        pairs = pairs_with(grader, False, 2 * BATCH + 2)
        expected = [*range(1, BATCH + 1), *range(1, BATCH + 1), 1, 2]
        assert [grade.score for grade in grader.call_batch(pairs)] == expected
        assert [grader(*pair).score for pair in pairs[:3]] == [1.0, 1.0, 1.0]


def test_graders_of_ones_own_keep_their_process_and_do_not_share_it() -> None:
    with use(Pool(SandboxSettings(reuse="warm"))):
        one, other = python(COUNTS), python(COUNTS + "# another\n")
        pairs = pairs_with(one, False, 3)
        assert [one(*pair).score for pair in pairs] == [1.0, 2.0, 3.0]
        assert other(*pairs_with(other, False, 1)[0]).score == 1.0


def test_the_environment_chooses_whom_to_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_SANDBOX_REUSE", "batch")
    with use(Pool()):
        grader = python(COUNTS)
        assert [grader(*pair).score for pair in pairs_with(grader, False, 2)] == [1.0, 1.0]
