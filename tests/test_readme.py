"""What the README and the docs show is run, and what they say is printed is compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = ["README.md", "docs/grading.md", "docs/comparing.md", "docs/writing-a-grader.md"]
COMMANDS = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs_and_prints_what_the_page_says(page: str, tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / page).read_text())
    shown = [(code, said) for (kind, code), (after, said) in pairwise(blocks)
             if kind == "python" and after == "output"]  # fmt: skip
    assert shown, "the page shows nothing"
    for number, (code, said) in enumerate(shown):
        script = tmp_path / f"snippet_{number}.py"
        script.write_text(code)
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout == said


def test_the_readme_s_commands_run_as_they_stand(tmp_path: Path) -> None:
    """Of the files that they name only the recipe's number of steps is changed."""
    shutil.copytree(ROOT / "examples" / "letters", tmp_path / "examples" / "letters")
    recipe = tmp_path / "examples" / "letters" / "recipe.yaml"
    text, count = re.subn(r"^steps: \d+", "steps: 12", recipe.read_text(), flags=re.MULTILINE)
    assert count == 1
    recipe.write_text(text)
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    blocks = COMMANDS.findall((ROOT / "README.md").read_text())
    assert len(blocks) == 3
    for block in blocks:
        done = subprocess.run(
            ["bash", "-euc", block], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
        )
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "grades.jsonl").is_file()
    assert (tmp_path / "runs" / "letters" / "report.html").is_file()


def test_every_link_in_the_docs_leads_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "datasets").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_training_page_names_every_key_of_a_recipe() -> None:
    from rft_loop.recipe import Recipe, WarmStart

    page = (ROOT / "docs" / "training.md").read_text()
    for key in (*Recipe.model_fields, *WarmStart.model_fields):
        assert f"`{key}`" in page, key


def test_every_example_runs(tmp_path: Path) -> None:
    for example in sorted((ROOT / "examples").glob("*.py")):
        done = subprocess.run([sys.executable, example], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout
