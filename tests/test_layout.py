"""The house: which way imports point, what stays light, and what may stand beside our folders without harm."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("graders", "rewards", "rft_loop")
ALLOWED = {"graders": {"graders"}, "rewards": {"graders", "rewards"}, "rft_loop": set(PACKAGES)}
JAIL = ROOT / "graders" / "sandbox" / "jail"  # loaded by its path, under another name, where nothing else of ours is
HEAVY = ("torch", "transformers", "openai", "sympy", "pyarrow", "pandas")
TRAINING = ("torch", "transformers", "tokenizers", "safetensors", "accelerate")


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Each imported top-level name of a source file with its place, imports inside functions included."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        place = f"{file.relative_to(ROOT)}:{node.lineno}"
        if isinstance(node, ast.ImportFrom):
            if node.level == 1 and file.parent == JAIL:
                continue
            assert node.level == 0, f"{place}: a relative import; here the path is the import"
            names = [node.module or ""]
        else:
            names = [alias.name for alias in node.names]
        for name in names:
            yield place, name.partition(".")[0]


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def python(program: str, *arguments: str, cwd: Path = ROOT, path: Path | None = None) -> tuple[int, str, str]:
    """Run a program in an interpreter of its own; the repository is importable as if it were installed."""
    places = [*([str(path)] if path else []), *([str(ROOT)] if cwd != ROOT else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_what_runs_in_the_jail_imports_nothing_but_the_standard_library_and_itself() -> None:
    wrong = [
        f"{place}: import {name}"
        for file in sorted(JAIL.glob("*.py"))
        for place, name in imports(file)
        if name not in sys.stdlib_module_names and name != "hypothesis"  # for strategies, where an author uses them
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package: str) -> None:
    ours = {*PACKAGES, "datasets", "examples", "tests", "benchmarks"}
    wrong = [
        f"{place}: {package}/ imports {name}"
        for file in sources(package)
        for place, name in imports(file)
        if name in ours - ALLOWED[package]
    ]
    assert sources(package)
    assert wrong == []


@pytest.mark.parametrize("package", ["graders", "rewards"])
def test_only_the_loop_knows_torch(package: str) -> None:
    wrong = [
        f"{place}: {package}/ imports {name}"
        for file in sources(package)
        for place, name in imports(file)
        if name in TRAINING
    ]
    assert wrong == []


def test_no_folder_of_data_or_tests_is_a_package() -> None:
    assert [str(file) for folder in ("datasets", "tests") for file in (ROOT / folder).rglob("__init__.py")] == []


def test_nothing_is_called_conftest_or_helpers_outside_tests() -> None:
    assert [str(file) for package in PACKAGES for file in (ROOT / package).rglob("conftest.py")] == []


def test_no_function_of_the_loop_is_over_80_lines_and_its_story_is_short() -> None:
    long = [
        f"{file.relative_to(ROOT)}:{node.lineno}: {node.name}, {lines} lines"
        for file in sources("rft_loop")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > 80
    ]
    assert long == []
    assert len((ROOT / "rft_loop" / "loop.py").read_text(encoding="utf-8").splitlines()) < 300


@pytest.mark.parametrize("package", PACKAGES)
def test_the_packages_are_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_the_wheel_holds_the_three_packages_and_nothing_else() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    find = settings["packages"]["find"]
    assert find["namespaces"] is False
    beside = [path.name for path in ROOT.iterdir() if path.is_dir() and (path / "__init__.py").is_file()]
    assert {name for name in beside if any(fnmatch(name, pattern) for pattern in find["include"])} == set(PACKAGES)
    assert set(beside) == set(PACKAGES)
    for folder in ("datasets", "examples", "tests", "docs", "benchmarks"):
        assert not any(fnmatch(folder, pattern) for pattern in find["include"])
    assert "py.typed" in settings["package-data"]["*"]
    for name in settings["package-data"]["rft_loop"]:
        assert (ROOT / "rft_loop" / name).is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_is_light(package: str) -> None:
    code, found, complaint = python(f"import sys, {package}; print([n for n in {HEAVY} if n in sys.modules])")
    assert code == 0, complaint
    assert found.strip() == "[]"


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_promises_it_has(package: str) -> None:
    names = f"([name for name in {package}.__all__ if not hasattr({package}, name)], {package}.__all__)"
    code, found, complaint = python(f"import {package}; print({names})")
    assert code == 0, complaint
    missing, promised = ast.literal_eval(found)
    assert missing == []
    assert promised == sorted(promised)


# The command line

HELP = """
import sys
from rft_loop.cli import app
for command in sys.argv[1:]:
    print("$", command)
    app([*command.split(), "--help"], standalone_mode=False)
    print([name for name in sys.modules if name in ("torch", "transformers", "openai", "sympy", "pyarrow")])
"""
COMMANDS = ("", "grade", "compare", "check", "calibrate", "graders", "convert", "doctor", "train", "pause", "eval",
            "report", "export")  # fmt: skip


def test_help_loads_nothing_heavy() -> None:
    code, found, complaint = python(HELP, *COMMANDS)
    assert code == 0, complaint
    shown = found.split("\n$ ")
    assert len(shown) == len(COMMANDS)
    for command, text in zip(COMMANDS, shown, strict=True):
        assert f"{command} [" in text.partition("Usage")[2].splitlines()[0]
        assert text.strip().splitlines()[-1] == "[]", command


# What may stand beside us


@pytest.mark.parametrize(
    ("file", "imported"),
    [
        ("graders.py", "rewards"),
        ("graders.py", "rft_loop"),
        ("rewards.py", "rft_loop"),
        ("graders.py", "rft_loop.cli"),
        ("rewards.py", "rft_loop.loop"),
    ],
)
def test_a_file_of_the_users_that_hides_a_package_is_named(tmp_path: Path, file: str, imported: str) -> None:
    (tmp_path / file).write_text("def mine(sample, item):\n    return 1.0\n")
    code, _, complaint = python(f"import {imported}", cwd=tmp_path)
    assert code != 0
    last = complaint.strip().splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert str(tmp_path / file) in last
    assert "Rename that file, or run your script from another folder." in last


def test_a_users_graders_file_still_holds_graders(tmp_path: Path) -> None:
    """Loaded by its path it gets a name of its own, and hides nothing; the console script is not in its folder."""
    (tmp_path / "graders.py").write_text("def mine(sample, item):\n    return 0.5\n")
    program = (
        "import sys; sys.path.remove('')\n"  # as in a console script
        "import graders; print(graders.load('graders.py:mine')('x').score, graders.Grade.__module__)"
    )
    code, found, complaint = python(program, cwd=tmp_path)
    assert code == 0, complaint
    assert found.split() == ["0.5", "graders.grade"]


def test_hugging_faces_datasets_wins_over_our_folder_of_that_name(tmp_path: Path) -> None:
    package = tmp_path / "datasets"
    package.mkdir()
    (package / "__init__.py").write_text("def load_dataset():\n    return 'theirs'\n")
    assert (ROOT / "datasets").is_dir()
    code, found, complaint = python("import datasets; print(datasets.load_dataset())", cwd=ROOT, path=tmp_path)
    assert code == 0, complaint
    assert found.strip() == "theirs"
    # And our packages do not mind, whichever of the two is found.
    code, _, complaint = python("import datasets, graders, rewards, rft_loop.cli", cwd=ROOT, path=tmp_path)
    assert code == 0, complaint
