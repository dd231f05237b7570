"""The entry point of Assay's pytest plug-in. Until it is asked for it defines two options and loads nothing else.

It is a module of its own, so that a user's `graders.py` can never break a test run that does not want us.
"""

from __future__ import annotations

import sys

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("assay", "graders (assay)")
    group.addoption("--golden", action="store_true", help="Collect *.golden.jsonl files: cases graders must pass.")
    group.addoption(
        "--golden-update",
        action="store_true",
        help="With --golden: write the scores that were got as the ones expected, and show the drift.",
    )
    parser.addini("assay_golden", "Collect *.golden.jsonl files, as --golden does.", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    update = config.getoption("--golden-update")
    if config.getoption("--golden") or update or config.getini("assay_golden"):
        if update and hasattr(config, "workerinput"):
            raise pytest.UsageError("--golden-update writes files: run it in one process, without -n")
        try:
            from graders.testing.pytest_plugin import GoldenPlugin
        except ModuleNotFoundError as problem:
            hiding = getattr(sys.modules.get("graders"), "__file__", None)
            if hiding is None or not (problem.name or "").startswith("graders"):
                raise
            raise pytest.UsageError(f"{hiding} hides Assay's package; rename that file or folder") from None

        config.pluginmanager.register(GoldenPlugin(update=update), "assay-golden")
