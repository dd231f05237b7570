"""OpenAI's image of python graders: what it holds, what differs here, and what a grader that names it is told."""

from __future__ import annotations

import ast
import warnings
from importlib.metadata import version
from pathlib import Path

import pytest

from graders import load
from graders.code import image
from graders.code.image import IMAGES, PROFILE, Difference, corpora, differences, imports_of, missing_packages
from graders.composite import GraderWarning
from graders.sandbox.pool import Pool, RefusedError, use
from graders.sandbox.process import ServerFailedError

GRADE = "def grade(sample, item):\n    return 1.0\n"
TAG = "2025-05-08"


def test_the_documented_image_has_its_sixteen_packages() -> None:
    assert list(IMAGES) == [TAG]
    assert len(IMAGES[TAG]) == 16
    assert IMAGES[TAG]["numpy"] == "2.2.4"
    assert f"openai-{TAG}" == PROFILE


def test_the_differences_are_what_is_missing_and_what_has_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {**IMAGES[TAG], "numpy": "9.9"}
    del here["rdkit"]
    monkeypatch.setattr(image, "_installed", here.get)
    assert differences() == [Difference("numpy", "2.2.4", "9.9"), Difference("rdkit", "2024.9.6", None)]
    assert list(map(str, differences())) == ["numpy 2.2.4: 9.9 here", "rdkit 2024.9.6: not installed here"]


def test_the_differences_of_this_machine_are_told_from_what_is_installed() -> None:
    found = {each.package: each for each in differences()}
    here = version("pydantic")
    assert found.get("pydantic", Difference("pydantic", here, here)).here == here
    assert all(each.here != each.there for each in found.values())


@pytest.mark.parametrize("name", ["2025-05-08", "openai-2031-01-01", "openai-", ""])
def test_an_unknown_profile_is_refused_with_the_known_one(name: str) -> None:
    with pytest.raises(ValueError, match="known: openai-2025-05-08"):
        differences(name)


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("import rdkit", "rdkit 2024.9.6"),
        ("from rdkit.Chem import AllChem", "rdkit 2024.9.6"),
        ("import skbio.alignment as a", "scikit-bio 0.6.3"),
        ("def f():\n    import ast_grep_py", "ast-grep-py 0.36.2"),
        ("import yaml", "pyyaml 6.0.2"),
        ("from sklearn.metrics import f1_score", "scikit-learn 1.6.1"),
    ],
)
def test_a_package_of_the_image_that_is_not_installed_is_named_when_the_grader_loads(
    line: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "_is_there", lambda root, folders: False)
    said = (
        rf"not installed here, so a call that needs it cannot succeed \(OpenAI's image holds {package}\); pip install"
    )
    for tag in ({}, {"image_tag": TAG}):
        with pytest.warns(GraderWarning, match=said):
            load({"type": "python", "source": f"{line}\n{GRADE}", **tag})


def test_a_package_that_no_image_holds_and_that_is_not_installed_is_named_too() -> None:
    with pytest.warns(GraderWarning, match="imports nowhere_at_all, which is not installed here") as told:
        load({"type": "python", "source": f"import os.path, nowhere_at_all.inner\n{GRADE}"})
    assert len(told) == 1
    assert "image" not in str(told[0].message)


@pytest.mark.parametrize(
    ("source", "tag"),
    [
        ("if TYPE_CHECKING:\n    import rdkit\n", None),
        ("import typing\nif typing.TYPE_CHECKING:\n    import rdkit\n", TAG),
        ("import __main__, __future__\n", None),
        ("try:\n    import rdkit\nexcept ImportError:\n    rdkit = None\n", TAG),
        ("import json, re\n", TAG),
        ("from . import rdkit\n", TAG),
    ],
)
def test_an_import_that_may_fail_or_is_the_librarys_is_no_matter(
    source: str, tag: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "_is_there", lambda root, folders: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load({"type": "python", "source": source + GRADE, **({"image_tag": tag} if tag else {})})


def test_what_is_installed_is_not_missing() -> None:
    assert missing_packages(ast.parse("import pydantic, numpy, json"), TAG) == []


def test_installed_packages_are_imported_ahead_and_nothing_private_is() -> None:
    source = "import json, nowhere_at_all\nimport pydantic.fields\nfrom numpy import linalg\nimport pip.__main__, os\n"
    ahead = imports_of(ast.parse(source))
    assert {"json", "pydantic.fields", "numpy", "numpy.linalg"} <= set(ahead)
    assert not {"nowhere_at_all", "pip.__main__", "os"} & set(ahead)


def test_a_source_with_very_many_imports_is_not_imported_whole() -> None:
    many = "\n".join(f"import numpy.a{number}" for number in range(5000))
    assert len(imports_of(ast.parse(many))) < 200


def test_the_corpora_of_nltk_that_are_here_are_found_in_the_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nltk")
    (tmp_path / "corpora" / "stopwords").mkdir(parents=True)
    (tmp_path / "corpora" / "stopwords" / "english").write_text("the\nof\n")
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    source = (
        "from nltk.corpus import stopwords\nSTOP = set(stopwords.words('english'))\n"
        "def grade(sample, item):\n    return float(len([w for w in sample['output_text'].split() if w not in STOP]))\n"
    )
    with use(Pool()) as pool:
        try:
            pool.check()
        except (RefusedError, ServerFailedError) as problem:
            pytest.skip(str(problem))
        grade = load({"type": "python", "source": source, "image_tag": TAG})("the gene of the day", {})
        assert grade.score == 2.0, grade.why


def test_no_corpora_are_readable_to_a_source_without_nltk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NLTK_DATA", str(tmp_path))
    assert corpora(ast.parse("import re")) == ()
    assert corpora(ast.parse("import nltk.corpus"))[0] == str(tmp_path.resolve())
