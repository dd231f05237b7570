"""Plug-ins: the tutorial is typed in and run, and `assay graders` lists what there is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from graders.registry import BUILT_IN
from rft_loop.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "writing-a-grader.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What is added to the page: pip must do without a network, so it looks for nothing (--no-index), takes the setuptools
# that are there (--no-build-isolation) and does not check that all dependencies are there (--no-deps); pytest's own
# script would run outside the tutorial's environment.
ADDED = """
pip() { python -P -m pip "$@" --no-index --no-build-isolation --no-deps --quiet --disable-pip-version-check; }
pytest() { python -P -m pytest "$@"; }
"""
OF_ASSAY = ("graders", "rewards", "rft_loop", "assay_pytest.py", "pyproject.toml", "README.md", "LICENSE")


def environment_in(folder: Path) -> Path:
    """An environment of its own in which the packages of this one are found, after its own: its `bin`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    found = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "of_the_tests.pth").write_text("\n".join(found) + "\n")
    return folder / "bin"


def checkout_in(folder: Path) -> None:
    """A copy of Assay: building a package writes beside its source."""
    folder.mkdir(parents=True)
    for name in OF_ASSAY:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)


def shell(command: str, folder: Path, programs: Path) -> str:
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        ["bash", "-euc", ADDED + command], capture_output=True, text=True, check=False, cwd=folder, env=environment
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The tutorial's folder after its last step, and what each of its commands printed."""
    folder = tmp_path_factory.mktemp("tutorial")
    programs = environment_in(tmp_path_factory.mktemp("environment"))
    checkout_in(folder / "path" / "to" / "assay")
    printed = []
    for kind, name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        elif kind == "sh":
            printed.append(shell(text, folder, programs))
    return folder, printed


def test_the_tutorial_s_function_grades_and_its_failure_is_undecided(tutorial: tuple[Path, list[str]]) -> None:
    folder, printed = tutorial
    lines = (folder / "grades.jsonl").read_text().splitlines()
    assert [json.loads(line)["score"] for line in lines] == [1.0, 0.75, None]
    assert "KeyError: 'limit'" in lines[2]
    assert "other_error" in printed[1]


def test_the_tutorial_s_golden_cases_and_properties_pass(tutorial: tuple[Path, list[str]]) -> None:
    assert "7 passed" in tutorial[1][2]
    assert "short_enough@" in tutorial[1][2]


def test_the_tutorial_s_class_takes_options_and_shows_them(tutorial: tuple[Path, list[str]]) -> None:
    folder, printed = tutorial
    grades = [json.loads(line) for line in (folder / "three.jsonl").read_text().splitlines()]
    assert [grade["score"] for grade in grades] == [1.0, 0.75, 0.75]
    assert re.search(r"^limit +int +required +the most words that score 1$", printed[3], re.MULTILINE)


def test_the_tutorial_s_package_is_listed_and_passes_its_own_tests(tutorial: tuple[Path, list[str]]) -> None:
    _, printed = tutorial
    listed = printed[4]
    shown = re.search(r"```output\n(type .*?)```", PAGE.read_text(), re.DOTALL)
    assert shown is not None
    entry = shown[1].splitlines()[1].split()
    found = next(line.split() for line in listed.splitlines() if line.startswith("word_limit "))
    assert found[:3] == entry[:3] == ["word_limit", "assay-word-limit", "1.0.0"]
    assert re.fullmatch(r"[0-9a-f]{12}", found[3])
    assert found[4:] == entry[4:]
    assert "12 passed" in listed
    assert re.search(r"^limit +int +required", listed, re.MULTILINE)


def test_the_tutorial_s_python_grader_runs_in_the_sandbox(tutorial: tuple[Path, list[str]]) -> None:
    folder, printed = tutorial
    grades = [json.loads(line) for line in (folder / "brief.jsonl").read_text().splitlines()]
    assert [grade["score"] for grade in grades] == [1.0, 0.75, 0.75]
    assert "errors: none" in printed[5]


def test_the_example_package_is_the_tutorial_s() -> None:
    blocks = {name: text for _, name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if name}
    package = ROOT / "examples" / "plugin"
    files = [file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    files = [file for file in files if not any(part.endswith(".egg-info") for part in file.parts)]
    assert len(files) == 5
    for file in files:
        assert file.read_text(encoding="utf-8") == blocks[file.relative_to(package).as_posix()]


# The list


def listed(*arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["graders", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    entries: list[dict[str, Any]] = json.loads(done.stdout)
    return entries


def test_every_built_in_grader_is_listed_with_source_hash_and_what_it_does() -> None:
    entries = {entry["type"]: entry for entry in listed()}
    assert set(BUILT_IN) <= set(entries)
    for name in BUILT_IN:
        entry = entries[name]
        assert entry["error"] == "", entry
        assert entry["source"] == "built-in"
        assert re.fullmatch(r"[0-9a-f]{12}", entry["hash"])
        assert entry["about"].endswith(".")


def plugin(site: Path, name: str, module: str, **points: str) -> None:
    """An installed distribution: its metadata and one module."""
    info = site / f"{name}-2.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.1\n")
    (info / "entry_points.txt").write_text(
        "[graders]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
    )
    (site / f"{name}_module.py").write_text(module)


def test_a_plug_in_that_cannot_be_used_is_listed_with_its_error_and_breaks_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = "from graders import Grader\nclass Fine(Grader):\n    '''Always 1.'''\n    type: str = 'fine'\nnot_one = 5\n"
    plugin(tmp_path, "good", good, fine="good_module:Fine", five="good_module:not_one", rank="good_module:Fine")
    plugin(tmp_path, "bad", "import no_such_thing_anywhere\n", broken="bad_module:Gone")
    plugin(tmp_path, "worse", "raise SystemExit('bye')\n", leaves="worse_module:Gone")
    monkeypatch.syspath_prepend(tmp_path)
    entries = {(entry["type"], entry["source"]): entry for entry in listed()}
    assert entries["fine", "good"]["version"] == "2.1"
    assert entries["fine", "good"]["about"] == "Always 1."
    assert entries["fine", "good"]["hash"]
    assert entries["five", "good"]["error"] == "ValueError: good_module:not_one is not a Grader class"
    assert "has the name of a built-in grader, which is used instead" in entries["rank", "good"]["error"]
    assert entries["rank", "built-in"]["error"] == ""
    assert entries["broken", "bad"]["error"] == "ModuleNotFoundError: No module named 'no_such_thing_anywhere'"
    assert entries["leaves", "worse"]["error"] == "SystemExit: bye"


def test_the_graders_of_a_file_are_listed_when_it_is_given(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from graders import Grader, load\n"
        "def judge(sample, item):\n    '''Says one. Always.'''\n    return 1.0\n"
        "def tidy(text):\n    return text\n"
        "class Mine(Grader):\n    '''Mine.'''\n    type: str = 'mine'\n"
        "ready = load({'type': 'rank', 'reference': 'x', 'name': 'ready'})\n"
    )
    broken = tmp_path / "broken.py"
    broken.write_text("\n1/0\n")
    entries = [entry for entry in listed(str(file), str(broken)) if entry["type"].startswith(str(tmp_path))]
    assert [(entry["type"].rpartition(":")[2], entry["about"]) for entry in entries[:3]] == [
        ("judge", "Says one."),
        ("Mine", "Mine."),
        ("ready", "Credit from 0 to 1 for a ranked list: 1 for the right answer in first place, less further down."),
    ]
    assert len(entries) == 4
    assert entries[3]["error"].endswith("broken.py:2: ZeroDivisionError: division by zero")


def test_the_options_of_a_type_are_shown_with_type_default_and_page() -> None:
    done = CliRunner().invoke(app, ["graders", "rank"])
    assert done.exit_code == 0
    assert re.search(r"^reference +str \| list\[str\] \| dict\[str, float\] +required$", done.stdout, re.MULTILINE)
    assert re.search(r"^longer +'cut' \| 'refuse' +'cut'$", done.stdout, re.MULTILINE)
    assert re.search(r"^input +template +'\{\{sample.output_text\}\}'$", done.stdout, re.MULTILINE)
    assert re.search(r"^credit .* None: reciprocal, or NDCG when", done.stdout, re.MULTILINE)
    assert "Page: docs/graders/rank.md" in done.stdout
    assert ">>>" not in done.stdout


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_options_of_every_built_in_grader_can_be_told(name: str) -> None:
    done = CliRunner().invoke(app, ["graders", name, "--json"])
    assert done.exit_code == 0, done.output
    wire = json.loads(done.stdout)
    assert (ROOT / wire["page"]).name == f"{name}.md"
    assert [option["field"] for option in wire["options"][:3]] == ["type", "name", "extract"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnak"], "no grader type 'rnak'; did you mean 'rank'?"),
        (["rank", "multi"], "give files, or one type: rank, multi"),
        (["nowhere.py"], "no file 'nowhere.py'"),
    ],
)
def test_a_name_that_is_none_is_refused(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["graders", *arguments])
    assert message in str(done.exception)


def test_the_list_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom rft_loop.cli import app\napp(['graders'], standalone_mode=False)\n"
        "print([name for name in ('torch', 'transformers', 'sympy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"
