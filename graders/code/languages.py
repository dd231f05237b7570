"""Languages that candidates may write in: where their code stands in an output, and how it is run."""

from __future__ import annotations

import ast
import re
import textwrap
from codeop import PyCF_ALLOW_INCOMPLETE_INPUT  # type: ignore[attr-defined]
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from graders.code.packages import profile_of
from graders.sandbox.fork_server import Profile
from graders.template import nearest
from graders.text.finders import FencedBlock, fences, without_thinking
from graders.text.marks import visible

Message = dict[str, Any]
"""What a jailed process is told to do (`graders.sandbox.jail.worker`); its `id` is for the caller to set."""


MOST_PARSED = 10  # blocks, from the last
LONGEST_PARSED = 50_000  # characters of an output that is parsed here, to tell code from what is none
FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<signs>`{3,}|~{3,})(?P<info>.*)", re.DOTALL)
INDENTED_FENCE = re.compile(r"^[ \t]+(?:```|~~~)", re.MULTILINE)
BYTE_ORDER_MARK = "\ufeff"
ESCAPE = re.compile(r"\\(.|\n)")

AS_FAR_AS_IT_GOES = ast.PyCF_ONLY_AST | PyCF_ALLOW_INCOMPLETE_INPUT


class Source(NamedTuple):
    """Code that was found in an output."""

    text: str  # "" where there is none
    fenced: bool = False  # whether it stood in a block of its own
    place: str = ""  # which block it is, where there are several
    absent: str = "the output holds no code"  # why there is none


class Language(Protocol):
    """One language. What a jailed process does with its code is said in messages, each of which has an answer."""

    name: str

    def find(self, output: str, function: str = "", prefix: str = "") -> Source:
        """The code of an output, which follows `prefix`: the block of this language that counts, else all of it."""

    def whole(self, output: str) -> Source:
        """All of an output that is no thinking, as code."""

    def joined(self, prefix: str, found: Source) -> str:
        """The prefix with the code behind it."""

    def profile(self, packages: tuple[str, ...]) -> Profile:
        """What its processes are forked from. Raises ValueError for a package that cannot be had."""

    def beginning(self, prefix: str) -> tuple[str, str]:
        """What stands before an answer, completed so that it may be run alone, or why nothing completes it."""

    def load(self, source: str) -> Message:
        """Make the functions of the source callable."""

    def call(self, function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Message:
        """Call one of them with encoded arguments; the answer holds `value`."""

    def program(self, source: str) -> Message:
        """Run the source as a program; the answer holds `exit`."""


class Python:
    """Python as it runs here."""

    name = "python"
    marks = ("py", "python", "python3", "py3")  # behind the backticks of a block
    filename = "<code>"

    def find(self, output: str, function: str = "", prefix: str = "") -> Source:
        """Blocks marked as Python count, else those without a mark: the last that defines the function, else the last.

        Of blocks without a mark that hold a program, the last that is code. An output that is Python from end to end
        is no text with blocks where those are indented, or of other languages, as in a docstring.
        """
        answer = without_thinking(output).removeprefix(BYTE_ORDER_MARK)
        blocks = _visible(fences(_at_the_margin(answer)))
        if (INDENTED_FENCE.search(answer) or not self._ours(blocks)) and _tree(prefix + answer) is not None:
            blocks = _visible(fences(answer))
            blocks = blocks if self._ours(blocks) else []
        if not blocks:
            return Source(answer)
        if not (ours := self._ours(blocks)):
            return Source("", absent=_other_marks(blocks))
        chosen = _chosen(ours, function.partition(".")[0])
        place = f"block {blocks.index(chosen) + 1} of {len(blocks)}" if len(blocks) > 1 else ""
        content = chosen.content.removeprefix(BYTE_ORDER_MARK)
        return Source(content if prefix else textwrap.dedent(content), True, place)

    def _ours(self, blocks: Sequence[FencedBlock]) -> list[FencedBlock]:
        marks = [re.split("[:,;]", block.language.lower().strip("{}."))[0] for block in blocks]
        marked = [block for block, mark in zip(blocks, marks, strict=True) if mark in self.marks]
        return marked or [block for block in blocks if not block.language]

    def whole(self, output: str) -> Source:
        return Source(without_thinking(output).removeprefix(BYTE_ORDER_MARK), False)

    def joined(self, prefix: str, found: Source) -> str:
        """A block begins on a line of its own; its `from __future__` goes before a prefix that is whole."""
        between = "\n" if found.fenced and prefix and not prefix.endswith("\n") else ""
        whole = "__future__" in found.text and prefix.strip() and _tree(prefix) is not None
        future, text = _future(found.text) if whole else ("", found.text)
        return f"{future}{prefix}{between}{text}"

    def profile(self, packages: tuple[str, ...]) -> Profile:
        return profile_of(packages)

    def beginning(self, prefix: str) -> tuple[str, str]:
        prefix = prefix[: prefix.rfind("\n") + 1]  # the answer may go on with a line that does not end
        try:
            compile(_plain(prefix), self.filename, "exec", AS_FAR_AS_IT_GOES, dont_inherit=True)
        except SyntaxError as problem:
            if "incomplete input" not in problem.msg:
                return prefix, f"does not compile: SyntaxError: {problem.msg} (line {problem.lineno})"
            last = next((line for line in reversed(prefix.splitlines()) if line.strip()), "")
            indent = last[: len(last) - len(last.lstrip())]
            return f"{prefix.rstrip()}\n{indent}    pass\n", ""
        except (ValueError, MemoryError, RecursionError) as problem:
            return prefix, f"does not compile: {type(problem).__name__}: {problem}"
        return prefix, ""

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


def _visible(blocks: Sequence[FencedBlock]) -> list[FencedBlock]:
    return [block for block in blocks if visible(block.content)]


def _at_the_margin(text: str) -> str:
    """The text with each block moved to the margin, by as much as its opening line is indented."""
    if not INDENTED_FENCE.search(text):
        return text
    lines, signs, indent = [], "", 0
    for line in text.split("\n"):
        mark = FENCE.fullmatch(line)
        depth = len(line) - len(line.lstrip(" \t"))
        if mark and not signs and not ("`" in mark["info"] and mark["signs"][0] == "`"):
            signs, indent = mark["signs"], depth
        elif mark and signs and mark["signs"].startswith(signs) and not mark["info"].strip() and depth <= indent + 3:
            signs, line = "", line.lstrip(" \t")
        lines.append(line[min(indent, depth) :] if signs else line)
    return "\n".join(lines)


def _chosen(blocks: Sequence[FencedBlock], name: str) -> FencedBlock:
    """The last block that defines the name at its margin, else the last that is code, else the last.

    Found line by line and not by parsing: the text is hostile, and may be long.
    """
    if name:
        defines = re.compile(
            rf"^(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|^{name}[ \t]*(?::[^=\n]*)?=(?!=)", re.MULTILINE
        )
        for block in reversed(blocks):
            if defines.search(textwrap.dedent(block.content)):
                return block
    if not blocks[-1].language:
        for block in reversed(blocks[-MOST_PARSED:]):
            if _does_something(block.content):
                return block
    return blocks[-1]


def _does_something(source: str) -> bool:
    """Whether it is Python that does more than name values: what a program printed often is Python too."""
    tree = _tree(textwrap.dedent(source))
    return tree is not None and any(
        not isinstance(statement, ast.Expr) or any(isinstance(node, ast.Call) for node in ast.walk(statement))
        for statement in tree.body
    )


def _tree(source: str) -> ast.Module | None:
    """None where it is no Python, or too long to tell."""
    if len(source) > LONGEST_PARSED:
        return None
    try:
        return ast.parse(_plain(source))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _future(source: str) -> tuple[str, str]:
    """The line of what a source imports from `__future__`, and the source with those lines blank."""
    source = source.replace("\r\n", "\n").replace("\r", "\n")  # as Python reads them
    tree = _tree(source)
    body = tree.body if tree else []
    found = [node for node in body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    lines = source.split("\n")
    if not found or not all(_alone(node, lines) for node in found):
        return "", source
    for node in found:
        for number in range(node.lineno - 1, node.end_lineno or node.lineno):
            lines[number] = ""
    return "; ".join(map(ast.unparse, found)) + "\n", "\n".join(lines)


def _alone(node: ast.ImportFrom, lines: Sequence[str]) -> bool:
    """Whether nothing but a comment shares the lines of a statement."""
    rest = lines[(node.end_lineno or 1) - 1].encode()[node.end_col_offset or 0 :].strip()
    return lines[node.lineno - 1].startswith("from __future__") and (not rest or rest.startswith(b"#"))


def _plain(source: str) -> str:
    """The source without escapes, so that Python warns of none."""
    return ESCAPE.sub(lambda found: " " if found[1] == "\n" else "__", source)


def _other_marks(blocks: Sequence[FencedBlock]) -> str:
    marks = ", ".join(dict.fromkeys(block.language[:20] for block in blocks[:5]))
    return f"the only block is marked {marks}" if len(blocks) == 1 else f"the blocks are marked {marks}"
