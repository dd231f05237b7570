"""The report of a run, checked on a made-up run: what it says, what it escapes, what it survives."""

from __future__ import annotations

import json
import math
import random
import re
import time
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rft_loop.display.charts import Chart, Point, Series, Size, draw, nice_ticks, tick_labels
from rft_loop.display.report import write_report
from rft_loop.watching.run_data import pick

HOSTILE = "<script>alert('reward!')</script><img src=x onerror=alert(1)>\x1b[31m\u202e</pre></table>"
GENES = ["FBN1", "TGFBR2", "COL3A1", "LMNA", "NIPBL", "MECP2", "NF1", "RYR1", "PIGA", "TBX5", "CTNS", "UMOD"]
VOID = {"meta", "link", "img", "br", "hr", "input"}


def fake_run(
    folder: Path,
    *,
    steps: int = 60,
    of: int | None = None,
    warm_steps: int = 40,
    eval_every: int = 10,
    rollouts: int = 16,
    parts: bool = True,
    errors: bool = True,
    end: bool = True,
    rows: bool = True,
    ended: float | None = None,
) -> Path:
    """A run's folder as the loop leaves it: warm start, one resume, undecided grades, a torn last line."""
    draws = random.Random(0)
    of = steps if of is None else of
    clock = (time.time() if ended is None else ended) - 60 - 3 * steps
    lines: list[dict[str, Any]] = []
    best = -1.0

    def tell(kind: str, after: float = 0.0, **fields: Any) -> None:
        nonlocal clock
        clock += after
        lines.append({"time": round(clock, 3), "event": kind} | fields)

    def validate(step: int) -> None:
        nonlocal best
        reward = level(step) + draws.gauss(0, 0.006)
        found = {"reward": reward, "low": reward - 0.036, "high": reward + 0.037, "n": 300}
        lost = {"timeout": 2} if errors and step == 30 else {}
        tell(
            "validation",
            4.0,
            step=step,
            **found,
            errors=lost,
            mean_length=21 + 6 * reward,
            best=reward > best,
        )
        best = max(best, reward)
        if parts:
            write_part(folder, "validation", step, fake_rollouts(draws, "validation", step, 30, reward, errors))

    def level(step: int) -> float:
        return 0.27 + 0.27 * (1 - math.exp(-2.6 * step / max(of, 1)))

    def take(first: int, last: int) -> None:
        for step in range(first, last + 1):
            reward = min(1.0, max(0.0, level(step) - 0.02 + draws.gauss(0, 0.035)))
            lost = {"timeout": 1 + step % 3} if errors and step % 17 == 5 else {}
            if errors and step == 22:
                lost["model_grader_parse_error"] = 1
            share = step / max(of, 1)
            tell(
                "step",
                2.4,
                step=step,
                of=of,
                learning_rate=2e-4,
                loss=draws.gauss(0, 0.004),
                grad_norm=0.3 + 0.2 * draws.random() + (1.6 if step == 33 else 0),
                entropy=1.9 - 0.9 * share + draws.gauss(0, 0.03),
                reward=reward,
                reward_std=0.31 - 0.05 * share + draws.gauss(0, 0.012),
                frac_reward_zero_std=min(1.0, max(0.0, 0.06 + 0.25 * share + draws.gauss(0, 0.04))),
                undecided=sum(lost.values()),
                errors=lost,
            )
            lines[-1] |= {
                "completions/mean_length": 22 + 5 * share + draws.gauss(0, 0.8),
                "completions/clipped_ratio": max(0.0, draws.gauss(0.02, 0.02)),
                "clip_ratio/region_mean": 0.0,
                "sampling/sampling_logp_difference/max": abs(draws.gauss(0, 3e-6)),
                "timing_s/sample": 1.4 + draws.random() * 0.2,
                "timing_s/grade": 0.02,
                "timing_s/update": 0.8,
                "step_time": 2.35,
            }
            if parts:
                write_part(folder, "train", step, fake_rollouts(draws, "train", step, rollouts, reward, errors))
            if step % eval_every == 0 or step == of:
                validate(step)
                tell("checkpoint", phase="step", step=step, path=f"step-{step}")

    folder.mkdir(parents=True, exist_ok=True)
    recipe = {
        "name": folder.name,
        "model": {"scratch": {"hidden_size": 160}},
        "train": "datasets/rare_disease/train.jsonl",
        "grader": {"type": "rank", "name": "gene_rank", "reference": "{{ item.gene }}"},
        "steps": of,
        "items_per_step": max(1, rollouts // 8),
        "group_size": 8,
        "learning_rate": 2e-4,
    }
    (folder / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    counts = {"train": 1100, "validation": 300}
    tell(
        "start",
        name=folder.name,
        grader="gene_rank@4f1c9ab2",
        items=counts,
        parameters=1_420_000,
        device="cpu",
    )
    for step in range(1, warm_steps + 1):
        loss = 0.9 + 3.1 * math.exp(-5 * step / warm_steps) + draws.gauss(0, 0.02)
        tell("warm_start", 0.3, step=step, of=warm_steps, loss=loss, learning_rate=1e-3)
    if steps:
        validate(0)
        broken = steps // 2
        take(1, broken)
        tell("step", 1.0, step=broken + 1, of=of, reward=0.999, undecided=0, errors={})  # then it was killed
        tell("resume", 900.0, phase="step", step=broken)
        take(broken + 1, steps)
        if end:
            tell("end", 0.5, seconds=131.4, best_step=steps, peak_rss_mb=1284)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "events.jsonl").write_text(text + '{"time": 17, "event": "st', encoding="utf-8")
    if rows:
        write_summary(folder)
    return folder


def write_summary(folder: Path) -> None:
    table = {
        "random": (0.061, 0.01, 0.05, 0.2),
        "most frequent gene": (0.083, 0.03, 0.09, 0.2),
        "nearest training case": (0.402, 0.33, 0.51, 0.62),
        "warm start": (0.279, 0.16, 0.44, 0.71),
        "warm start + RFT": (0.498, 0.41, 0.62, 0.74),
        "warm start + supervised": (0.471, 0.38, 0.59, 0.73),
        "supervised + RFT": (0.521, 0.44, 0.63, 0.75),
    }
    rows = [
        {"name": name, "split": "test", "reward": reward, "ci_low": reward - 0.02, "ci_high": reward + 0.021}
        | dict(zip(("top1", "top5", "anywhere"), hits, strict=True))
        for name, (reward, *hits) in table.items()
    ]
    summary = {"rows": rows, "seconds": 312.0, "peak_rss_mb": 1284}
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")


def fake_rollouts(
    draws: random.Random, split: str, step: int, many: int, level: float, errors: bool
) -> list[dict[str, Any]]:
    rows = []
    for index in range(many):
        listed = draws.sample(GENES, 10)
        rank = draws.choices(range(1, 11), [level * 8, 3, 2, 1, 1, 1, 1, 1, 1, 1])[0]
        score = 1.0 / rank
        row: dict[str, Any] = {
            "split": split,
            "step": step,
            "item": draws.randrange(1100),
            "group": index // 8,
            "prompt": "Symptoms:\nTall stature\nEctopia lentis\nAortic root aneurysm\nAbsent: Cleft palate",
            "output_text": "\n".join(f"{place}. {gene}" for place, gene in enumerate(listed, 1)),
            "tokens": 22,
            "finish": "stop",
            "score": score,
            "reward": score,
            "advantage": draws.gauss(0, 1) if split == "train" else None,
            "why": f"'{listed[rank - 1]}' is number {rank} of 10",
            "error": None,
        }
        if index == 0:
            row |= {"output_text": HOSTILE, "score": 1.0, "reward": 1.0, "why": f"found in {HOSTILE!r}"}
        if index == 1:
            row |= {
                "output_text": "",
                "score": 0.0,
                "reward": 0.0,
                "why": "no list was found",
                "finish": "length",
            }
        if index == 2 and errors:
            row |= {
                "score": None,
                "reward": None,
                "advantage": 0.0,
                "error": "timeout",
                "why": "no answer in 30 s",
            }
        rows.append(row | {"grade": json.dumps({"score": row["score"], "why": row["why"]})})
    return rows


def write_part(folder: Path, split: str, step: int, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet

    (folder / "samples").mkdir(exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), folder / "samples" / f"part-{split}-{step:06d}.parquet")


class Page(HTMLParser):
    """A page read strictly: its elements with their attributes, its tables' text, every unbalanced tag."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.words: list[str] = []
        self._rows: list[list[str]] = []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        self.faults += [f"<{tag}> never closed" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self._rows = self.tables.setdefault(dict(attrs).get("class") or "", [])
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-1:]} at {self.getpos()}")
        elif self.open:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)
            if self._rows and self._rows[-1]:
                self._rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_run(tmp_path_factory.mktemp("runs") / "genes-demo")


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(write_report(folder))


def test_every_tag_is_closed_in_order(page: Page) -> None:
    assert page.faults == []


def test_the_page_loads_nothing(page: Page) -> None:
    loading = [
        (tag, name) for tag, attrs in page.elements for name in attrs if name in ("src", "href", "srcset", "action")
    ]
    assert loading == []
    assert "http:" not in page.source
    assert "https:" not in page.source
    assert "@import" not in page.source
    assert "url(" not in page.source


def test_the_policy_admits_only_the_pages_own_style_and_script(page: Page) -> None:
    policy = next(attrs["content"] or "" for tag, attrs in page.elements if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "unsafe-inline" not in policy
    assert len(re.findall("'sha256-", policy)) == 2


def test_an_outputs_markup_is_shown_and_never_run(page: Page) -> None:
    assert [attrs for tag, attrs in page.elements if tag == "script"] == [
        {"type": "application/json", "id": "values"},
        {},
    ]
    assert not any(tag == "img" for tag, _ in page.elements)
    assert "<script>alert('reward!')</script>" in page.text
    assert "\x1b" not in page.source


def test_a_name_cannot_leave_the_data_block(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "x", steps=4, parts=False)
    events = (folder / "events.jsonl").read_text().replace('"name": "x"', '"name": "</script><b>x"')
    (folder / "events.jsonl").write_text(events)
    assert Page(write_report(folder)).faults == []


def test_both_themes_are_there(page: Page) -> None:
    assert "prefers-color-scheme: dark" in page.source
    assert ':root[data-theme="dark"]' in page.source
    assert ':not([data-theme="light"])' in page.source


def test_the_validation_table_says_what_the_events_say(folder: Path, page: Page) -> None:
    from rft_loop.watching.record import read_events

    events = [event for event in read_events(folder) if event["event"] == "validation"]
    rows = page.tables["short"][1:]
    assert [int(row[0]) for row in rows] == [event["step"] for event in events]
    assert [float(row[1]) for row in rows] == [round(event["reward"], 3) for event in events]
    assert [row[2] for row in rows] == [f"{event['low']:.3f} to {event['high']:.3f}" for event in events]
    assert [int(row[4]) for row in rows] == [sum(event["errors"].values()) for event in events]
    best = max(events, key=lambda event: event["reward"])
    assert [int(row[0]) for row in rows if row[-1] == "best"] == [best["step"]]


def test_the_header_names_status_grader_size_and_gain(folder: Path, page: Page) -> None:
    from rft_loop.watching.record import read_events

    validations = [event for event in read_events(folder) if event["event"] == "validation"]
    gain = max(event["reward"] for event in validations) - validations[0]["reward"]
    assert "Finished, step 60 of 60" in page.text
    assert "gene_rank@4f1c9ab2" in page.text
    assert "1.42 million parameters" in page.text
    assert f"+{gain:.3f}" in page.text
    assert "Resumed at step 30" in page.text


def test_what_a_resume_superseded_is_not_drawn(page: Page) -> None:
    assert "0.999" not in page.source


def test_the_pause_before_a_resume_is_not_working_time(page: Page) -> None:
    took = re.search(r"Took (\d+) min", page.text)
    assert took is not None
    assert int(took[1]) < 5


def test_undecided_grades_are_shown_by_kind_apart_from_wrong_answers(page: Page) -> None:
    kinds = {row[0].split("the ")[0]: row[1:3] for row in page.tables[""][1:]}
    assert kinds == {"timeout": ["9", "2"], "model_grader_parse_error": ["1", "0"]}
    undecided = [row for row in page.tables["rollouts"] if row[0].startswith("undecided")]
    assert all(row[2] == "undecided" for row in undecided)
    assert len(undecided) == 4  # one for each part that is shown


def test_no_warning_where_everything_was_decided(tmp_path: Path) -> None:
    page = Page(write_report(fake_run(tmp_path / "calm", steps=6, rollouts=8, errors=False)))
    assert "could not judge" not in page.text
    assert "Undecided none" in page.text


def test_rollouts_are_of_the_first_middle_last_step_and_the_latest_validation(page: Page) -> None:
    groups = [attrs for tag, attrs in page.elements if tag == "tbody" and "data-split" in attrs]
    shown = [(group["data-split"], group["data-step"]) for group in groups]
    assert shown == [("validation", "60"), ("train", "1"), ("train", "31"), ("train", "60")]
    picks = [attrs["data-pick"] for tag, attrs in page.elements if "data-pick" in attrs]
    assert picks == ["best", "median", "worst", "undecided"] * 4


def test_the_results_table_holds_every_row_of_the_summary(page: Page) -> None:
    rows = page.tables["results"][1:]
    assert [row[0] for row in rows][:2] == ["random", "most frequent gene"]
    assert "the same items of the test split" in page.text
    rft = next(row for row in rows if row[0] == "warm start + RFT")
    assert rft[1:3] == ["0.498", "0.478 to 0.519"]
    assert rft[4:] == ["41.0 %", "62.0 %", "74.0 %"]


def test_every_chart_tells_in_words_what_it_shows(page: Page) -> None:
    drawings = [attrs for tag, attrs in page.elements if tag == "svg" and "data-chart" in attrs]
    assert len(drawings) == 12  # the reward chart in three widths, eight small ones, the warm start
    assert all(attrs["role"] == "img" and len(attrs["aria-label"] or "") > 40 for attrs in drawings)


def test_a_measure_that_is_always_zero_is_a_sentence(page: Page) -> None:
    assert "0 in every step: clipped by the policy loss." in page.text


def test_coordinates_are_finite(page: Page) -> None:
    assert not re.search(r'="[^"]*\b(nan|inf)\b[^"]*"', page.source)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "Running, warm start, step 40 of 40"),
        ({"steps": 0}, "No training step is recorded."),
        ({"steps": 0}, "Neither a validation nor a training step"),
        ({"parts": False, "steps": 5}, "No rollouts are stored yet."),
        ({"steps": 1, "warm_steps": 0, "rollouts": 1, "parts": True}, "step 1 of 1"),
        ({"steps": 8, "of": 40, "end": False, "rollouts": 2}, "Running, step 8 of 40"),
        ({"steps": 8, "of": 40, "end": False, "ended": 1.7e9}, "Not finished, step 8 of 40"),
    ],
)
def test_what_is_missing_is_said_in_words(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    page = Page(write_report(fake_run(tmp_path / "part", rows=False, **options)))
    assert words in page.text
    assert page.faults == []


def test_a_run_that_stopped_itself_says_why_and_shows_the_step_it_stopped_at(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "stopped", steps=8, of=40, end=False, rollouts=8)
    reason = "8 timeout of 8 grades of step 9 could not be decided: <no answer>"
    events = (folder / "events.jsonl").read_text().rpartition("\n")[0]
    stop = json.dumps({"time": time.time(), "event": "stop", "step": 8, "reason": reason})
    (folder / "events.jsonl").write_text(f"{events}\n{stop}\n")
    write_part(folder, "train", 9, fake_rollouts(random.Random(1), "train", 9, 8, 0.3, True))
    page = Page(write_report(folder))
    assert "Stopped, step 8 of 40" in page.text
    assert reason in page.text
    assert ("tbody", {"data-split": "train", "data-step": "9"}) in page.elements


def test_parts_left_over_from_before_a_resume_are_not_shown(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "resumed", steps=8, of=40, end=False, rollouts=8)
    write_part(folder, "train", 12, fake_rollouts(random.Random(1), "train", 12, 8, 0.3, False))
    assert 'data-step="12"' not in write_report(folder).read_text()


def test_rewards_that_are_null_or_nan_leave_a_gap(tmp_path: Path) -> None:
    folder = tmp_path / "gaps"
    folder.mkdir()
    values: list[Any] = [0.2, None, 0.3, math.nan, math.inf, "broken", 0.4, 0.5]
    lines = [{"event": "step", "step": step, "of": 9, "reward": value} for step, value in enumerate(values, 1)]
    lines.append({"event": "validation", "step": 0, "reward": None, "errors": None})
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = Page(write_report(folder))
    assert page.faults == []
    assert "recipe.json is missing." in page.text
    assert not re.search(r'="[^"]*\b(nan|inf)\b[^"]*"', page.source)


def test_an_empty_record_is_a_page_too(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    page = Page(write_report(tmp_path))
    assert page.faults == []
    assert "Neither a validation nor a training step is recorded yet." in page.text


@pytest.mark.parametrize("name", ["recipe.json", "summary.json", "samples/part-train-000001.parquet"])
def test_a_broken_file_is_named_and_the_rest_is_shown(tmp_path: Path, name: str) -> None:
    folder = fake_run(tmp_path / "broken", steps=6, rollouts=8)
    (folder / name).write_bytes(b'{"rows": [')
    page = Page(write_report(folder))
    assert f"{name} could not be read" in page.text
    assert "Finished, step 6 of 6" in page.text


def test_a_folder_that_is_no_run_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.*no such folder.*give the folder of a run"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"holds no events.jsonl.*give the folder of a run"):
        write_report(tmp_path)


def test_the_page_is_replaced_whole_and_leaves_nothing_beside(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "twice", steps=4, parts=False)
    (folder / "report.html").write_text("old")
    assert write_report(folder) == folder / "report.html"
    assert sorted(path.name for path in folder.iterdir()) == [
        "events.jsonl",
        "recipe.json",
        "report.html",
        "summary.json",
    ]


def test_only_the_parts_that_are_shown_are_read(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "large", steps=12, rollouts=8)
    for path in (folder / "samples").glob("part-*.parquet"):
        if int(path.stem[-6:]) not in (1, 7, 12):
            path.write_bytes(b"never read")
    assert "could not be read" not in Page(write_report(folder)).text


def test_a_long_output_keeps_its_start_and_its_end(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "long", steps=1, rollouts=8)
    rows = fake_rollouts(random.Random(0), "train", 1, 8, 0.3, False)
    rows[0]["output_text"] = "first words " + "x" * 50_000 + " last words"
    write_part(folder, "train", 1, rows)
    page = Page(write_report(folder))
    assert "44,023 characters left out" in page.text
    assert "first words" in page.text
    assert "last words" in page.text


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 300, [0.0, 100.0, 200.0, 300.0]),
        (-0.012, 0.009, [-0.015, -0.01, -0.005, 0.0, 0.005, 0.01]),
        (0.4999, 0.5001, [0.4999, 0.49995, 0.5, 0.50005, 0.5001]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low: float, high: float, ticks: list[float]) -> None:
    found = nice_ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert 3 <= len(found) <= 8
    if ticks:
        assert found == ticks


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([-0.01, 0.0, 0.01], ["−0.01", "0", "0.01"]),
        ([0.0, 2e-6], ["0", "2e-6"]),
        ([0.0, 500_000.0, 1_000_000.0], ["0", "0.5M", "1.0M"]),
    ],
)
def test_tick_labels_are_short(ticks: list[float], labels: list[str]) -> None:
    assert tick_labels(ticks) == labels


def test_a_shares_axis_ends_at_one() -> None:
    chart = Chart("share", "Share", [Series("a", [Point(1, 0.1), Point(2, 0.97)])], percent=True)
    assert "120 %" not in draw(chart, Size(340, 170), "")
    assert "100 %" in draw(chart, Size(340, 170), "")


def test_labels_of_curves_that_end_together_do_not_meet() -> None:
    series = [Series(name, [Point(0, 0.0), Point(1, 0.5)]) for name in "abc"] + [Series("d", [Point(0, 1.0)])]
    svg = draw(Chart("near", "Near", series), Size(680, 300), "")
    places = sorted(float(y) for y in re.findall(r'class="name [^"]*" x="[^"]*" y="([^"]*)"', svg))
    assert len(places) == 4
    assert all(after - before >= 14.9 for before, after in pairwise(places))


def test_a_chart_without_points_is_refused() -> None:
    with pytest.raises(ValueError, match="no point to draw"):
        draw(Chart("none", "None", [Series("a", [Point(1, None)])]), Size(340, 170), "")


def test_two_rollouts_are_a_best_and_a_worst() -> None:
    assert [label for label, _ in pick([{"reward": 0.5}])] == ["best"]
    assert [label for label, _ in pick([{"reward": 0.5}, {"reward": 0.7}])] == ["best", "worst"]
    assert pick([]) == []


def test_a_run_of_warm_start_alone_shows_its_one_validation_without_a_chart(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "warm", steps=0, rows=False)
    lines = (folder / "events.jsonl").read_text().splitlines()[:-1]
    found = {
        "event": "validation",
        "step": 0,
        "reward": 0.317,
        "low": 0.267,
        "high": 0.367,
        "n": 300,
        "best": True,
    }
    lines += [json.dumps(found), json.dumps({"event": "end", "seconds": 57.0, "peak_rss_mb": 822})]
    (folder / "events.jsonl").write_text("\n".join(lines))
    page = Page(write_report(folder))
    assert "Finished, warm start, step 40 of 40" in page.text
    assert "Validation reward 0.317 95 % interval 0.267 to 0.367; step 0" in page.text
    assert [attrs["data-chart"] for tag, attrs in page.elements if tag == "svg" and "data-chart" in attrs] == [
        "warm_start"
    ]
