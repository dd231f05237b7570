"""Running another's code in a jailed process: the stream of frames, modules made of source, and what they raise."""

from __future__ import annotations

import io
import json
import linecache
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from .frames import HEADER, packed

CHANNEL = 3
LONGEST_DETAIL = 4000  # characters of a traceback
LONGEST_SAYING = 400  # and of an exception's own words
MODULE = "submission"


class Channel:
    """Frames over the one descriptor that a jailed process has beside its standard streams."""

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self._stream = io.BufferedReader(io.FileIO(CHANNEL, "r", closefd=False), 2**16)

    def receive(self) -> dict[str, Any] | None:
        header = self._stream.read(HEADER)
        if len(header) < HEADER:
            return None
        content = self._stream.read(int.from_bytes(header, "big"))
        message: dict[str, Any] = json.loads(content)  # from whoever asked, who is trusted
        return message

    def send(self, message: dict[str, Any]) -> None:
        frame = packed(message)
        if len(frame) > self.longest + HEADER:
            size = f"an answer of {len(frame):,} bytes; it may have {self.longest:,}"
            frame = packed({"id": message.get("id"), "unusable": size})
        view = memoryview(frame)
        while view:
            view = view[os.write(CHANNEL, view) :]


class Raised(Exception):  # noqa: N818 - it carries what another's code raised
    """What the code that was run raised, as a message."""

    def __init__(self, problem: BaseException, filename: str) -> None:
        self.problem = problem
        self.message: dict[str, Any] = {
            "raised": legible(type(problem).__name__),
            "says": _said(problem),
            "detail": told(problem, filename),
        }


def loaded(source: str, filename: str, name: str) -> dict[str, Any]:
    """The namespace of a module with this source, run."""
    module = type(sys)(name)
    module.__file__ = filename
    sys.modules[name] = module
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    try:
        code = compile(source, filename, "exec", dont_inherit=True)
    except BaseException as problem:  # a null byte, half a surrogate pair, nested too deeply, too large
        raised = Raised(problem, filename)
        raised.message["compiles"] = False
        raise raised from None
    run(lambda: exec(code, module.__dict__), filename)
    return module.__dict__


def run(act: Callable[[], Any], filename: str) -> Any:
    """What `act` returns. Raises Raised for whatever it raises."""
    try:
        return act()
    except BaseException as problem:  # SystemExit and KeyboardInterrupt too: the code is not ours
        raise Raised(problem, filename) from None


def told(problem: BaseException, filename: str) -> str:
    """The traceback, from the first line of the code that was run."""
    try:
        lines = traceback.TracebackException.from_exception(problem, limit=-20)
        while lines.stack and lines.stack[0].filename != filename and any(f.filename == filename for f in lines.stack):
            del lines.stack[0]
        found = "".join(lines.format())
    except BaseException:  # an exception whose own text raises
        found = type(problem).__name__
    found = legible(found)
    return found if len(found) <= LONGEST_DETAIL else f"{found[: LONGEST_DETAIL // 2]}…{found[-LONGEST_DETAIL // 2 :]}"


def legible(text: str) -> str:
    """The text without half a surrogate pair, which no frame may hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def _said(problem: BaseException) -> str:
    try:
        return legible(str.__str__(str(problem))[:LONGEST_SAYING])
    except BaseException:
        return ""
