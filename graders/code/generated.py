"""Generated cases: arguments that an author's source draws, with what a right solution answers to each.

Both run in the sandbox, apart from any candidate. What they give is kept, so that the samples of one item, and later
calls, meet the same cases.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from typing import Any, NamedTuple

from graders.code.cases import Call, Case, Program
from graders.code.compare import Expected, Rules
from graders.code.display import shown
from graders.code.packages import profile_of
from graders.code.run import TROUBLE, Outcome, Runner, Talk, problem_in, spread, words
from graders.sandbox.jail.frames import FrameError
from graders.sandbox.pool import pool
from graders.sandbox.process import TimeUpError

MOST_KEPT = 256  # sets of cases
MOST_SIZE = 2_000_000  # values and characters in them all
DRAW_SECONDS = 60.0  # for all the arguments of one item
LOCKS = 16
HYPOTHESIS = re.compile(r"^\s*(?:import|from)\s+hypothesis\b", re.MULTILINE)


class TooSlowError(ValueError):
    """Arguments or reference took longer than they may."""


class Recipe(NamedTuple):
    """What generated cases are made from: equal recipes give equal cases."""

    arguments: str  # source that defines `arguments`
    reference: str  # source of a right solution
    function: str  # "" where it is a program: then `arguments` gives [standard input]
    number: int
    seed: int
    packages: tuple[str, ...]
    rules: Rules
    runner: Runner

    def cases(self) -> list[Case]:
        """The cases. Raises ValueError where arguments or reference cannot be used; else as `Runner.value`."""
        with _kept.lock_of(self):
            if (found := _kept.find(self)) is None:
                try:
                    found = self._made()
                except TooSlowError:
                    raise  # it may be the machine that is slow now: not kept
                except ValueError as problem:
                    found = str(problem)
                _kept.keep(self, found)
        if isinstance(found, str):
            raise ValueError(found)
        return found

    def _made(self) -> list[Case]:
        drawn = pool().insist(self._drawn)
        if not drawn:
            raise ValueError("arguments: they gave no call")
        answers = spread(lambda number: self._answer(drawn[number]), len(drawn), lambda answer: bool(answer.problem))
        return [self._case(number, drawn[number], answer) for number, answer in enumerate(answers)]

    def _drawn(self) -> list[list[Any]]:
        needs = ("hypothesis",) if HYPOTHESIS.search(self.arguments) else ()
        profile = profile_of((*self.packages, *needs))
        with pool().fresh(profile, self.runner.limits) as process:
            load = {"load": self.arguments, "filename": "<code>"}
            talk = Talk(process, DRAW_SECONDS, [load, {"draw": self.seed, "count": self.number}])
            try:
                for answer in talk.answers():
                    if "unusable" in answer:
                        raise ValueError(f"arguments: {words(answer['unusable'])}")
                    if problem := problem_in(answer):
                        raise ValueError(f"arguments: the source {problem.problem}")
                    if type(drawn := answer.get("drawn")) is list:
                        return drawn
                raise FrameError("an answer without arguments")
            except TROUBLE as problem:
                told = process.ending(problem)
                if isinstance(problem, TimeUpError):
                    most = f"took longer than {DRAW_SECONDS:g} s, the most that drawing the arguments may take"
                    raise TooSlowError(f"arguments: the source {most}") from None
                raise ValueError(f"arguments: the source {told}") from None

    def _answer(self, args: list[Any]) -> Outcome:
        if self.function:
            return self.runner.value(self.reference, self.function, args, {})
        if len(args) != 1 or type(args[0]) is not str:
            raise ValueError(f"arguments: of a program they are [its standard input], not {shown(args)}")
        return self.runner.output(self.reference, args[0])

    def _case(self, number: int, args: list[Any], answer: Outcome) -> Case:
        if answer.problem:
            told = f"reference: for the arguments {shown(args)} it {answer.problem}"
            if answer.kind == "timeout":
                raise TooSlowError(f"{told} (timeout_seconds holds for the reference too)")
            raise ValueError(told)
        name = f"generated {number + 1}"
        if not self.function:
            return Case(name, Program(args[0], answer.claim, self.rules))
        try:
            return Case(name, Call(self.function, args, {}, Expected(answer.claim, self.rules)))
        except ValueError as problem:
            raise ValueError(f"reference: for {shown(args)} it sent no value: {words(str(problem))}") from None


def _size(found: list[Case] | str) -> int:
    if isinstance(found, str):
        return len(found)
    tasks = [case.task for case in found]
    return sum(one.expected.size if isinstance(one, Call) else len(one.stdin) + len(one.stdout) for one in tasks)


class _Kept:
    """The cases that were made last, up to a number and a size."""

    def __init__(self) -> None:
        self._found: OrderedDict[Recipe, list[Case] | str] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def lock_of(self, recipe: Recipe) -> threading.Lock:
        """Held while cases are made, so that they are made once."""
        return self._locks[hash(recipe) % LOCKS]

    def find(self, recipe: Recipe) -> list[Case] | str | None:
        with self._lock:
            if recipe in self._found:
                self._found.move_to_end(recipe)
            return self._found.get(recipe)

    def keep(self, recipe: Recipe, found: list[Case] | str) -> None:
        with self._lock:
            self._found[recipe] = found
            self._size += _size(found)
            while self._found and (len(self._found) > MOST_KEPT or self._size > MOST_SIZE):
                self._size -= _size(self._found.popitem(last=False)[1])


_kept = _Kept()


def _forget() -> None:
    global _kept
    _kept = _Kept()  # another thread may have held a lock


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
