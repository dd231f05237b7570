"""Languages that candidates may write in: where their code stands in an output, and how it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from graders.code.packages import profile_of
from graders.sandbox.fork_server import Profile
from graders.template import nearest
from graders.text.finders import fences, without_thinking
from graders.text.marks import visible

Message = dict[str, Any]
"""What a jailed process is told to do (`graders.sandbox.jail.worker`); its `id` is for the caller to set."""


class Source(NamedTuple):
    """Code that was found in an output, and whether it stood in a block of its own."""

    text: str
    fenced: bool


class Language(Protocol):
    """One language. What a jailed process does with its code is said in messages, each of which has an answer."""

    name: str

    def find(self, output: str) -> Source:
        """The code of an output: its last block of this language, else the whole of it."""

    def whole(self, output: str) -> Source:
        """All of an output that is no thinking, as code."""

    def profile(self, packages: tuple[str, ...]) -> Profile:
        """What its processes are forked from. Raises ValueError for a package that cannot be had."""

    def load(self, source: str) -> Message:
        """Make the functions of the source callable."""

    def call(self, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Message:
        """Call one of them with encoded arguments; the answer holds `value`."""

    def program(self, source: str) -> Message:
        """Run the source as a program; the answer holds `exit`."""


class Python:
    """Python as it runs here."""

    name = "python"
    marks = ("", "py", "python", "python3", "py3")  # behind the backticks of a block
    filename = "<code>"

    def find(self, output: str) -> Source:
        answer = without_thinking(output)
        blocks = [block for block in fences(answer) if block.language.lower().strip("{}.") in self.marks]
        for block in reversed(blocks):
            if visible(block.content):
                return Source(block.content, True)
        return Source(answer, False)

    def whole(self, output: str) -> Source:
        return Source(without_thinking(output), False)

    def profile(self, packages: tuple[str, ...]) -> Profile:
        return profile_of(packages)

    def load(self, source: str) -> Message:
        return {"load": source, "filename": self.filename}

    def call(self, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Message:
        return {"call": function, "args": list(args), "kwargs": dict(kwargs)}

    def program(self, source: str) -> Message:
        return {"program": source, "filename": self.filename}


LANGUAGES: Mapping[str, Language] = {"python": Python()}


def language(name: str) -> Language:
    """The language of this name. Raises ValueError naming those that are known."""
    if name not in LANGUAGES:
        raise ValueError(f"no language {name!r}; {nearest(name, LANGUAGES)}")
    return LANGUAGES[name]
