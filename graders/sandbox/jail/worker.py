"""What a jailed process does: load source code, call it, and answer what came out, frame by frame.

It sends claims and no verdicts, and never holds what is expected. Whatever it runs may do as it likes with this
process; what it could reach from here is the jail's business (`confine`).
"""

from __future__ import annotations

import _sitebuiltins
import builtins
import math
import numbers
import random
from functools import partial
from typing import Any

from .escapes import tried
from .plain import NotPlainError, decoded, encoded
from .program import allow_deep_stacks, ran
from .running import MODULE, Channel, Raised, legible, loaded, run
from .tested import tested

for _name in ("exit", "quit"):  # as an interpreter has them that has read `site`
    setattr(builtins, _name, _sitebuiltins.Quitter(_name, "Ctrl-D (i.e. EOF)"))


def serve(channel: Channel) -> None:
    """Do what each frame says, until there are no more."""
    namespace: dict[str, Any] = {}
    filename = "<source>"
    while (message := channel.receive()) is not None:
        number = message.get("id")
        try:
            if "load" in message:
                if message["filename"] == "<code>":  # a grader's source is told that there are no threads
                    allow_deep_stacks()
                filename = message["filename"]
                namespace = loaded(message["load"], filename, MODULE)
                answer: dict[str, Any] = {"loaded": True}
            elif "score" in message:
                answer = _scored(_function(namespace, message["score"]), message["with"], filename)
            elif "call" in message:
                answer = _called(_function(namespace, message["call"]), message, filename)
            else:
                answer = _other(message, channel, namespace, filename)
        except Raised as problem:
            answer = problem.message
        except NotPlainError as problem:
            answer = {"unusable": legible(str(problem))}
        channel.send({"id": number, **answer})


def _other(message: dict[str, Any], channel: Channel, namespace: dict[str, Any], filename: str) -> dict[str, Any]:
    if "program" in message:
        return ran(message["program"], message["filename"])
    if "test" in message:
        return tested(message, channel)
    if "draw" in message:
        return _drawn(namespace, message, filename)
    if "ready" in message:
        return {"ready": True}
    return {"tried": tried()}


def _function(namespace: dict[str, Any], name: str) -> Any:
    """The function of this name; of `Solution.add` the method, of an object made without arguments."""
    first, *rest = name.split(".")
    if first not in namespace:
        functions = [key for key, value in namespace.items() if callable(value) and not key.startswith("_")]
        there = f"it defines {', '.join(functions[:10])}" if functions else "it defines no function"
        raise _missing(f"the code defines no {first!r}; {there}")
    found = namespace[first]
    for step in rest:
        owner = run(found, "") if isinstance(found, type) else found
        found = run(partial(getattr, owner, step), "")
    if not callable(found):
        raise _missing(f"the code defines no function {name!r}, but a value of the type {type(found).__name__}")
    return found


def _missing(said: str) -> Raised:
    raised = Raised(NameError(said), "")
    raised.message["missing"] = True
    return raised


def _scored(function: Any, arguments: list[Any], filename: str) -> dict[str, Any]:
    """A number that a grader's function returned."""
    found = run(lambda: function(*arguments), filename)
    kind = type(found)
    if kind is not float and kind is not int:
        if kind is bool or not isinstance(found, numbers.Real):
            return {"wrong": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")}
        found = run(lambda: float(found), filename)
    try:
        found = float(found)
    except OverflowError:
        return {"score": "inf"}
    return {"score": found if math.isfinite(found) else repr(found)}


def _called(function: Any, message: dict[str, Any], filename: str) -> dict[str, Any]:
    arguments = [decoded(argument) for argument in message.get("args", [])]
    named = {name: decoded(argument) for name, argument in message.get("kwargs", {}).items()}
    found = run(lambda: function(*arguments, **named), filename)
    return {"value": _run_encoding(found, filename)}


def _run_encoding(found: Any, filename: str) -> Any:
    try:
        return encoded(found)
    except NotPlainError:
        raise
    except BaseException as problem:  # methods of the value's own
        raise Raised(problem, filename) from None


def _drawn(namespace: dict[str, Any], message: dict[str, Any], filename: str) -> dict[str, Any]:
    """Argument lists, drawn from `arguments`: a function of a random.Random, or a hypothesis strategy."""
    if "arguments" not in namespace:
        raise NotPlainError("it defines no 'arguments'")
    source, count, seed = namespace["arguments"], message["count"], message["draw"]
    if not (callable(source) or hasattr(source, "example")):
        kind = type(source).__name__
        raise NotPlainError(f"`arguments` must be a function or a hypothesis strategy, not a value of the type {kind}")

    def draw() -> list[Any]:
        if callable(source) and not hasattr(source, "example"):
            return [source(random.Random(f"{seed}:{number}")) for number in range(count)]
        return _examples(source, count, seed)

    found = run(draw, filename)
    for arguments in found:
        if not isinstance(arguments, (list, tuple)):
            kind = type(arguments).__name__
            raise NotPlainError(f"`arguments` gave a value of the type {kind}; it must give a list, of one call")
    return {"drawn": [[encoded(argument) for argument in arguments] for arguments in found]}


def _examples(strategy: Any, count: int, seed: int) -> list[Any]:
    import hypothesis

    found: list[Any] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(arguments: Any) -> None:
        found.append(arguments)

    collect()
    return found
