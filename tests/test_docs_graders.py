"""The pages in docs/graders are run: each built-in has one, complete, and its example gives its grade."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from graders import Grader, grader_class, load
from graders.registry import BUILT_IN
from graders.service.services import Services, use
from graders.service.settings import Model, Service, Settings
from graders.testing.scripted_judge import Reaction, Request, ScriptedJudge, said

PAGES = Path(__file__).resolve().parents[1] / "docs" / "graders"
HEADINGS = [
    "What it measures",
    "When to use it",
    "How it can be fooled",
    "Example with its grade",
    "Options",
    "Cost",
]
BLOCK = re.compile(r"^```json( grader| judge)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def page(name: str) -> str:
    path = PAGES / f"{name}.md"
    assert path.is_file(), f"the built-in grader {name!r} has no page {path}"
    return path.read_text(encoding="utf-8")


def section(name: str, heading: str) -> str:
    _, found, rest = page(name).partition(f"\n## {heading}\n")
    assert found, f"{name}.md has no section {heading!r}"
    return rest.partition("\n## ")[0].strip()


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_grader_has_a_page_with_the_same_sections(name: str) -> None:
    assert page(name).startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", page(name), re.MULTILINE) == HEADINGS
    assert all(len(section(name, heading)) > 40 for heading in HEADINGS)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_option_is_explained_on_the_page(name: str) -> None:
    missing = [field for field in grader_class(name).model_fields if f"`{field}`" not in section(name, "Options")]
    assert missing == []


@pytest.mark.filterwarnings("ignore:.*which leaves 0 to 1")  # an example with a penalty may
@pytest.mark.parametrize("name", BUILT_IN)
def test_the_example_gives_the_printed_grade(name: str) -> None:
    blocks = BLOCK.findall(section(name, "Example with its grade"))
    assert [marker for marker, _ in blocks if marker != " judge"] == [" grader", "", ""]
    definition, row, expected = (json.loads(text) for marker, text in blocks if marker != " judge")
    assert definition["type"] == name
    answers = [answer for marker, text in blocks if marker == " judge" for answer in json.loads(text)]
    with judge_that_answers(answers) as url:
        here = {"url": url} if "url" in definition else {}  # a service's address is the one here
        grades = graded(load(definition | here), row)
    wanted = expected if isinstance(expected, list) else [expected]
    assert [grade["score"] for grade in grades] == pytest.approx([one["score"] for one in wanted], abs=1e-12)
    assert [grade["why"] for grade in grades] == [one["why"] for one in wanted]


@contextmanager
def judge_that_answers(answers: list[Any]) -> Iterator[str]:
    """A real server on loopback for the page's model, which gives the page's answers one after the other."""
    left = iter(answers)

    def script(request: Request) -> Reaction:
        text = json.dumps(next(left))
        asked_as_model = "messages" in request.body
        return said(text, model=request.body["model"]) if asked_as_model else Reaction(text.encode())

    with ScriptedJudge(script) as judge:
        settings = Settings(services={"example": Service(base_url=judge.url)}, models={"*": Model(service="example")})
        with use(Services(settings)):
            yield judge.url
    assert not list(left), "the page shows more answers than were asked for"


def graded(grader: Grader, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The grades of a row with one sample, or with the samples of a group."""
    if "samples" not in row:
        return [grader(row["sample"], row["item"]).to_wire()]
    from graders.groups import grade_groups

    (grades,) = grade_groups(grader, [(row["samples"], row["item"])])
    return [grade.to_wire() for grade in grades]


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_cost_names_the_command_that_measures_it(name: str) -> None:
    cost = section(name, "Cost")
    assert re.search(r"\d,\d{3} grades\s+a\s+second", cost)
    assert "`python benchmarks/graders.py`" in cost


def test_no_page_describes_a_grader_that_does_not_exist() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == set(BUILT_IN)
