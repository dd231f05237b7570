"""Image: what OpenAI's image of python graders holds, and how this machine differs from it."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

IMAGES: Mapping[str, Mapping[str, str]] = {
    "2025-05-08": {
        # https://platform.openai.com/docs/guides/graders, "Python graders": the packages of that image
        "numpy": "2.2.4",
        "scipy": "1.15.2",
        "sympy": "1.13.3",
        "pandas": "2.2.3",
        "rapidfuzz": "3.10.1",
        "scikit-learn": "1.6.1",
        "rouge-score": "0.1.2",
        "deepdiff": "8.4.2",
        "jsonschema": "4.23.0",
        "pydantic": "2.10.6",
        "pyyaml": "6.0.2",
        "nltk": "3.9.1",
        "sqlparse": "0.5.3",
        "rdkit": "2024.9.6",
        "scikit-bio": "0.6.3",
        "ast-grep-py": "0.36.2",
    }
}
"""Versions of the packages in each documented image, by its tag."""

PROFILE = "openai-2025-05-08"
"""The name of the profile whose differences `differences` tells."""

IMPORTED_AS: Mapping[str, str] = {"scikit-learn": "sklearn", "pyyaml": "yaml", "scikit-bio": "skbio"}
"""Import names that are not the package's name with underscores."""

READY = (
    *("bisect", "collections", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions"),
    *("functools", "hashlib", "heapq", "html", "itertools", "json", "math", "random", "re", "statistics", "string"),
    *("textwrap", "typing", "unicodedata"),
)
"""Of the standard library, what is imported before a process is forked, so that no call waits for it."""

MOST_IMPORTS = 100

ALWAYS_THERE = sys.stdlib_module_names | {"__main__"}


class Difference(NamedTuple):
    """A package of the image that is not installed here, or is in another version."""

    package: str
    there: str
    here: str | None  # None: not installed

    def __str__(self) -> str:
        return f"{self.package} {self.there}: {self.here or 'not installed'} here"


def differences(profile: str = PROFILE) -> list[Difference]:
    """How the installed packages differ from those of OpenAI's image. Raises ValueError for an unknown profile."""
    tag = profile.removeprefix("openai-")
    if tag == profile or tag not in IMAGES:
        raise ValueError(f"no profile {profile!r}; known: {', '.join(f'openai-{tag}' for tag in IMAGES)}")
    found = [Difference(package, there, _installed(package)) for package, there in IMAGES[tag].items()]
    return [each for each in found if each.here != each.there]


class Missing(NamedTuple):
    """A package that a source imports and that is not installed here."""

    module: str  # as it is imported
    package: str  # as it is installed; "" where it is in no image, so that its name is not known
    there: str  # its version in the image; "" where it is in none


def missing_packages(source: ast.Module, tag: str | None = None) -> list[Missing]:
    """The packages that a source imports and that are not installed here, with what the image has of them.

    Without the tag of a known image, the one of `PROFILE` counts. An import inside `try` or `if TYPE_CHECKING` may
    fail, and is left out.
    """
    image = IMAGES.get(tag or "", IMAGES[PROFILE.removeprefix("openai-")])
    in_image = {_import_name(package): (package, there) for package, there in image.items()}
    roots = dict.fromkeys(name.partition(".")[0] for name in imported_names(source, guarded=False))
    folders = package_folders()
    absent = (root for root in roots if root not in ALWAYS_THERE and not _is_there(root, folders))
    return sorted(Missing(root, *in_image.get(root, ("", ""))) for root in absent)


def imported_names(source: ast.Module, guarded: bool = True) -> Iterator[str]:
    """The modules that import statements of a source name; without `guarded`, not those that may fail."""
    waiting: list[ast.AST] = [source]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if alias.name != "*")
        if guarded or not _may_fail(node):
            waiting += ast.iter_child_nodes(node)


def _may_fail(node: ast.AST) -> bool:
    """Whether what a statement imports may be missing: inside `try`, and for type checkers only."""
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in (getattr(node.test, "id", ""), getattr(node.test, "attr", ""))
    return isinstance(node, ast.Try | ast.TryStar)


def imports_of(source: ast.Module) -> tuple[str, ...]:
    """What a fork server imports for a source before it closes its jail: installed packages, and `READY`.

    Private modules (`package.__main__`) are left to the jail: importing one may do more than define things.
    """
    folders = package_folders()
    public = {name for name in imported_names(source) if not re.search(r"(^|\.)_", name)}
    installed = sorted(name for name in public if _is_there(name.partition(".")[0], folders))
    return (*READY, *installed[:MOST_IMPORTS])


def package_folders() -> tuple[str, ...]:
    """The folders of installed packages."""
    return tuple(path for path in sys.path if path.endswith("-packages") and Path(path).is_dir())


def corpora(source: ast.Module) -> tuple[str, ...]:
    """The folders of nltk's corpora that are here, where a source imports nltk."""
    if not any(name.partition(".")[0] == "nltk" for name in imported_names(source)):
        return ()
    named = [path for path in os.environ.get("NLTK_DATA", "").split(os.pathsep) if path]
    beside = [f"{sys.prefix}/{place}nltk_data" for place in ("", "share/", "lib/")]
    shared = [f"/usr/{place}/nltk_data" for place in ("share", "local/share", "lib", "local/lib")]
    places = [Path(path).expanduser() for path in (*named, "~/nltk_data", *beside, *shared)]
    return tuple(dict.fromkeys(str(path.resolve()) for path in places if path.is_dir()))


def _import_name(package: str) -> str:
    return IMPORTED_AS.get(package, package.replace("-", "_"))


def _is_there(root: str, folders: Sequence[str]) -> bool:
    return root not in sys.stdlib_module_names and PathFinder.find_spec(root, list(folders)) is not None


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
