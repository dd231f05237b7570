"""What a task's own tests ask of its function, and what the canonical solution answers: recorded in the sandbox."""

from __future__ import annotations

import ast
import json
import math
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from prompts import Example

from graders.sandbox.fork_server import PLAIN
from graders.sandbox.jail.frames import FrameError
from graders.sandbox.jail.limits import Limits
from graders.sandbox.pool import RefusedError, pool
from graders.sandbox.process import EndedError, ServerFailedError, TimeUpError

SECONDS = 60.0
LIMITS = Limits(memory=2**30, output=2**26)

RECORDER = """

def __record__(function, examples, more):
    import copy
    import random

    random.seed(0)  # some tests draw their arguments
    calls, shown = [], []

    def called(where, arguments, named):
        given = copy.deepcopy([list(arguments), named])
        answer = function(*arguments, **named)
        where.append([*given, copy.deepcopy(answer)])
        return answer

    check(lambda *arguments, **named: called(calls, arguments, named))
    for call in more:
        eval(call, {function.__name__: lambda *arguments, **named: called(calls, arguments, named)})
    for call, written in examples:
        seen = []
        answer = eval(call, {function.__name__: lambda *arguments, **named: called(seen, arguments, named)})
        shown.append([*seen[0], bool(answer == eval(written, {}))])
    return [calls, shown]
"""


class Call(NamedTuple):
    """One call: its arguments, named ones, and the right answer, in the typed form of the sandbox."""

    args: list[Any]
    kwargs: list[list[Any]]
    answer: Any
    agrees: bool = True  # with what the prompt says


class Recording(NamedTuple):
    """The calls of a task's tests and ours, and those that its prompt shows."""

    tested: list[Call]
    shown: list[Call]


def record(solution: str, test: str, name: str, examples: Sequence[Example], more: Sequence[str] = ()) -> Recording:
    """Run a task's tests on its canonical solution, then `more` calls. Raises ValueError where they fail."""
    source = f"{solution}\n{test}\n{RECORDER}\ndef __all__(*given):\n    return __record__({name}, *given)\n"
    try:
        calls, shown = _answer(source, [[list(example) for example in examples], list(more)])
    except (RefusedError, ServerFailedError) as problem:
        raise ValueError(f"nothing can be run here: {problem}") from None
    return Recording(
        [Call(args, named["dict"], answer) for args, named, answer in calls],
        [Call(args, named["dict"], answer, agrees) for args, named, answer, agrees in shown],
    )


def _answer(source: str, given: list[Any]) -> Any:
    with pool().fresh(PLAIN, LIMITS) as process:
        process.send({"id": 0, "load": source, "filename": "task.py"})
        process.send({"id": 1, "call": "__all__", "args": given})
        deadline = time.monotonic() + SECONDS
        try:
            for wanted in ("loaded", "value"):
                answer = process.receive(deadline)
                if wanted not in answer:
                    raise ValueError(f"its tests fail on its own solution: {json.dumps(answer)[:2000]}")
        except (TimeUpError, EndedError, FrameError) as problem:
            raise ValueError(f"its own solution {process.ending(problem)}") from None
        return answer["value"]


def case(call: Call, visible: bool) -> dict[str, Any]:
    """A case of the grader `code`: plain JSON where JSON can say it, the sandbox's typed form where it cannot."""
    found: dict[str, Any] = {}
    for key, held in (("args", call.args), ("expected", call.answer)):
        try:
            found[key] = untyped(held)
        except ValueError:
            found[f"{key}_typed"] = held
    if call.kwargs:
        found["kwargs"] = {name: untyped(value) for name, value in call.kwargs}
    if visible:
        found["visible"] = True
    return found


def untyped(held: Any) -> Any:
    """The same in plain JSON. Raises ValueError where there is none: of a tuple, of a key that is no text."""
    if isinstance(held, list):
        return [untyped(entry) for entry in held]
    if not isinstance(held, dict):
        return held
    ((kind, content),) = held.items()
    if kind == "int":
        return int(content, 16)
    if kind != "dict" or not all(isinstance(key, str) for key, _ in content):
        raise ValueError(f"JSON has no {kind}")
    return {key: untyped(value) for key, value in content}


class Comparison(NamedTuple):
    """How a task's tests judge an answer."""

    by_value: bool  # else by a property of it, which no case can say
    tolerance: float  # of numbers; 0: exactly equal


def comparison(test: str) -> Comparison:
    """Read from the asserts of `check`: equal to a value, or near it, or something else."""
    tree = ast.parse(test)
    asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    for node in asserts:
        node.msg = None  # which may call the candidate again
    calls = sum(_is_candidate(node) for node in ast.walk(tree))
    by_value, tolerance = 0, 0.0
    for node in asserts:
        claim = node.test.operand if isinstance(node.test, ast.UnaryOp) else node.test
        found = sum(_is_candidate(inner) for inner in ast.walk(claim))
        if _is_candidate(claim):
            by_value += found
        elif isinstance(claim, ast.Compare) and len(claim.ops) == 1 and found:
            if isinstance(claim.ops[0], (ast.Eq, ast.Is)) and _is_candidate(_unwrapped(claim.left)):
                by_value += found
            elif isinstance(claim.ops[0], (ast.Lt, ast.LtE)) and _is_distance(claim.left):
                by_value += found
                tolerance = max(tolerance, float(ast.literal_eval(claim.comparators[0])))
    assert math.isfinite(tolerance)
    return Comparison(by_value == calls, tolerance)


def _is_candidate(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "candidate"


def _unwrapped(node: ast.expr) -> ast.expr:
    """What stands in tuple(...), list(...), sorted(...)."""
    return node.args[0] if isinstance(node, ast.Call) and not _is_candidate(node) and node.args else node


def _is_distance(node: ast.expr) -> bool:
    """abs(candidate(...) - value)"""
    inner = _unwrapped(node)
    return isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Sub) and _is_candidate(inner.left)
