"""`assay calibrate` as its users type it, its picture, and its page in the docs, whose commands are run."""

from __future__ import annotations

import contextlib
import html.parser
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from graders.testing.scripted_judge import Reaction, Request, ScriptedJudge, verdict

Command = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "judge"
PAGE = ROOT / "docs" / "calibrating.md"
ORDER = ("--order-by", "quality", "--group", "question")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    return tmp_path


def file_of_judges(folder: Path, url: str) -> Path:
    settings = {
        "services": {"local": {"base_url": url}},
        "models": {"*": {"service": "local", "model": "scripted"}},
        "prices": {"scripted": {"input": 1, "output": 5}},
    }
    path = folder / "judges.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


GOOD = [json.loads(line) for line in (EXAMPLE / "labelled.jsonl").read_text(encoding="utf-8").splitlines()]


def knows(request: Request) -> Reaction:
    """What a good judge of the example would say."""
    row = next(row for row in GOOD if row["output_text"] in request.last)
    return verdict({"good": 5, "fair": 3, "poor": 1}[row["item"]["quality"]])


def test_a_judge_is_held_against_people_and_drawn(assay: Command, folder: Path) -> None:
    with ScriptedJudge(knows) as judge:
        options = ("--samples", "2", "--cache", "kept", "-o", "page.html", "--min-alpha", "0.8", "--min-order", "1")
        command = ("calibrate", "explains.json", "labelled.jsonl", "--judges", file_of_judges(folder, judge.url))
        done = assay(*command, *ORDER, *options, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert len(judge.requests) == 72
        assert "quality" not in str(judge.requests[0].body)
        again = assay(*command, *ORDER, *options, cwd=folder)
        assert len(judge.requests) == 72
    assert "of 36 pairs of known order 100.0% come out right, 0 tie, 0 are wrong" in done.stdout
    assert "at least 0.8, which Krippendorff asks of data that are relied on" in done.stdout
    assert "asked 2 times, the grader never changes its verdict" in done.stdout
    assert "scripted 1,000 calls, 100,000 + 20,000 tokens per 1,000 grades" in done.stdout
    assert "$0.2000 per 1,000 grades" in done.stdout
    assert "72 of 72 grades from the cache, left out here" in again.stdout
    assert (folder / "page.html").is_file()


def test_the_figures_come_as_json(assay: Command, folder: Path) -> None:
    done = assay("calibrate", "overlap.json", "labelled.jsonl", *ORDER, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    wire = json.loads(done.stdout)
    assert wire["rows"] == 36
    assert wire["label"]["key"] == "label"
    assert wire["agreement"]["alpha"]["value"] < 0
    assert wire["people"]["alpha"]["value"] > 0.9
    assert wire["order"]["pairs"] == 36
    assert wire["consistency"] == {"skipped": "not asked for (--samples 3)"}
    assert wire["verdicts"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--min-alpha", "0.6"), 1, "alpha is -0.171, and --min-alpha asks for 0.6"),
        (("--min-alpha", "-1"), 0, ""),
        ((*ORDER, "--min-order", "0.9"), 1, "order is 0.444, and --min-order asks for 0.9"),
        (("--min-order", "0.9"), 2, "--min-order needs the known order"),
        (("--order-by", "quality"), 2, "the ordering check needs both"),
        (("--label-range", "1-5"), 2, "--label-range 1-5: two numbers"),
        (("--label-range", "5,1"), 2, "--label-range 5,1: two numbers"),
        (("--label", "lable"), 2, "no item has a 'lable'; did you mean 'label'"),
        (("-o", "picture.png"), 2, "name it .html"),
        (("-o", "nowhere/page.html"), 2, "no folder 'nowhere'"),
        (("--judges", "none.yaml"), 2, "no file of judges"),
        (("--passing", "5"), 2, "--passing names texts"),
        (("--threshold", "nan"), 2, "threshold=nan"),
        (("--label-threshold", "inf"), 2, "label_threshold=inf"),
        (("--min-alpha", "nan"), 2, "--min-alpha nan"),
        ((*ORDER, "--min-order", "inf"), 2, "--min-order inf"),
        (("--label-range", "-1e308,1e308"), 2, "too wide"),
        (("--max-error-rate", "nan"), 2, "max-error-rate"),
    ],
)
def test_gates_and_wrong_calls(assay: Command, folder: Path, options: tuple[str, ...], code: int, said: str) -> None:
    done = assay("calibrate", "overlap.json", "labelled.jsonl", *options, cwd=folder)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_too_many_undecided_grades_are_an_exit_code_of_their_own(assay: Command, folder: Path) -> None:
    (folder / "boom.py").write_text(
        "def g(sample, item):\n    if item['n'] == 0:\n        raise OSError('x')\n    return 1\n"
    )
    rows = [{"item": {"n": n % 10, "label": n % 2}, "output_text": "x" * n} for n in range(20)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = assay("calibrate", "boom.py:g", "rows.jsonl", cwd=folder)
    assert done.returncode == 3, done.stderr
    assert "10.0% of the grades could not be decided, more than --max-error-rate 5.0%" in done.stderr
    assert assay("calibrate", "boom.py:g", "rows.jsonl", "--max-error-rate", "0.2", cwd=folder).returncode == 0


def test_a_gate_that_perfect_rows_pass_says_that_they_do_not_show_it(assay: Command, folder: Path) -> None:
    (folder / "same.py").write_text("def g(sample, item):\n    return item['s']\n")
    rows = [{"item": {"s": n % 2, "label": bool(n % 2)}, "output_text": "x" * n} for n in range(6)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = assay("calibrate", "same.py:g", "rows.jsonl", "--min-alpha", "0.8", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "alpha is 1.000 without an interval" in done.stderr


def test_a_budget_that_is_reached_ends_the_run(assay: Command, folder: Path) -> None:
    with ScriptedJudge(knows) as judge:
        judges = file_of_judges(folder, judge.url)
        options = ("--judges", judges, "--budget", "0.006", "--cache", "kept", "--concurrency", "1")
        done = assay("calibrate", "explains.json", "labelled.jsonl", *options, cwd=folder)
    assert done.returncode == 4, done.stderr
    assert "the budget of $0.0060 would be passed" in done.stderr
    assert "the same command goes on from there" in done.stderr


class Text(html.parser.HTMLParser):
    """What a page says, and what it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.said = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "srcset", "onload", "style")]

    def handle_data(self, data: str) -> None:
        self.said += data


def read_page(path: Path) -> Text:
    page = Text()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def test_the_page_loads_nothing_and_escapes_what_others_wrote(assay: Command, folder: Path) -> None:
    rows = [
        {"id": f"<script>{n}</script>", "item": {"label": n % 2, "gene": "A"}, "output_text": "A" * (n % 3)}
        for n in range(30)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    check = {"type": "string_check", "name": "<b>x", "input": "{{sample.output_text}}", "reference": "A"}
    (folder / "check.json").write_text(json.dumps({**check, "operation": "eq"}))
    done = assay("calibrate", "check.json", "rows.jsonl", "-o", "page.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    page = read_page(folder / "page.html")
    assert page.loads == []
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert page.said.count("<script>") == 60  # each row in both pictures, as text
    assert page.tags.count("circle") >= 60
    assert "<b>x@" in page.said
    assert not [path for path in folder.iterdir() if path.name.startswith(".page")]


@pytest.mark.parametrize("label", [True, None])
def test_a_page_of_hardly_anything_can_be_drawn(assay: Command, folder: Path, label: Any) -> None:
    item = {"label": label, "quality": "good", "task": 1}
    (folder / "rows.jsonl").write_text(json.dumps({"item": item, "output_text": ""}) + "\n")
    check = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "", "operation": "eq"}
    (folder / "check.json").write_text(json.dumps(check))
    options = () if label else ("--order-by", "quality", "--group", "task")
    done = assay("calibrate", "check.json", "rows.jsonl", *options, "-o", "page.html", cwd=folder)
    assert (done.returncode, "Traceback" in done.stderr) == (0 if label else 2, False), done.stderr
    if label:
        assert "Figures" in read_page(folder / "page.html").said


# The page in the docs


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def steady(text: str) -> str:
    """An output without what differs from one machine, or one version, to the next."""
    text = re.sub(r"@[0-9a-f]{12}", "@<hash>", text)
    text = re.sub(r"(?m)^  [\d.e-]+ m?s a grade .*$", "  <seconds>", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def test_the_worked_example_says_what_the_page_says(assay: Command, folder: Path) -> None:
    command, shown = blocks("sh")[0], blocks("output")[0]
    assert command.split()[:2] == ["assay", "calibrate"]
    done = assay(*command.replace("examples/judge/", "").split()[1:], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert steady(done.stdout) == steady(shown)


def test_the_program_on_the_page_prints_what_the_page_says() -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(blocks("python")[0], str(PAGE), "exec"), {})
    assert steady(printed.getvalue()) == steady(blocks("output")[1])


def test_the_page_names_every_option(assay: Command) -> None:
    text = PAGE.read_text(encoding="utf-8")
    help_text = assay("calibrate", "--help", cwd=ROOT).stdout
    options = {name for name in re.findall(r"--[a-z][a-z-]+", help_text) if name != "--help"}
    assert {name for name in options if f"`{name}" not in text} == set()
