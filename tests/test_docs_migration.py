"""The migration pages are run: their files are written, their commands typed, and what they say is compared."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from graders.registry import BUILT_IN, grader_class

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```(\w+)(?: ([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    kind: str
    label: str
    text: str


def blocks(page: str) -> Iterator[Block]:
    for match in BLOCK.finditer((DOCS / page).read_text(encoding="utf-8")):
        yield Block(*match.groups(default=""))


def run(arguments: list[str], folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    assert done.returncode == 0, f"{arguments[-1]}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", ["from-openai.md", "from-promptfoo.md", "templates.md"])
def test_a_page_does_what_it_says(page: str, tmp_path: Path) -> None:
    said, compared = "", 0
    for kind, label, text in blocks(page):
        if label.startswith("graded "):
            grade = json.loads((tmp_path / label.removeprefix("graded ")).read_text(encoding="utf-8").splitlines()[0])
            expected = json.loads(text)
            assert grade["score"] == pytest.approx(expected["score"], abs=1e-12)
            assert grade["why"] == expected["why"]
            compared += 1
        elif label:
            (tmp_path / label).write_text(text, encoding="utf-8")
        elif kind == "sh":
            said = run(["bash", "-euc", text], tmp_path)
        elif kind == "python":
            (tmp_path / "snippet.py").write_text(text, encoding="utf-8")
            said = run([sys.executable, "snippet.py"], tmp_path)
        elif kind == "output":
            assert said == text
            compared += 1
    assert compared >= 2


def test_the_page_has_a_worked_example_of_every_type_of_openais() -> None:
    page = (DOCS / "from-openai.md").read_text(encoding="utf-8")
    types = {"endpoint", "label_model", "multi", "python", "score_model", "string_check", "text_similarity"}
    assert types <= {name for name in BUILT_IN if grader_class(name).in_openai}
    assert [name for name in types if f"\n## {name}\n" not in page] == []
