"""Cases: what a candidate is run with, and what is expected of it. Read from an item, or from a grader's definition."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from graders.code.compare import Expected, Rules, printed_difference
from graders.code.display import short_text, shown
from graders.code.run import Outcome, Runner, words
from graders.sample import read_json
from graders.sandbox.jail.frames import packed
from graders.sandbox.jail.plain import decoded, encoded
from graders.template import nearest, short

MOST = 10_000  # cases of one item
KEYS = {
    "call": ("args", "args_typed", "kwargs", "kwargs_typed", "expected", "expected_typed", "name", "weight", "visible"),
    "program": ("stdin", "stdout", "name", "weight", "visible"),
}
SHAPE = '[{"args": [2], "expected": 4}] or, of programs, [{"stdin": "2", "stdout": "4"}]'
GIVEN, WANTED = ("input", "inputs", "arguments"), ("output", "outputs", "answer", "result")  # others' names


class Call(NamedTuple):
    """A function called with encoded arguments, and the value it must return."""

    function: str
    args: list[Any]
    kwargs: dict[str, Any]
    expected: Expected

    def run(self, runner: Runner, source: str) -> Outcome:
        return runner.value(source, self.function, self.args, self.kwargs)

    def failure(self, claim: Any) -> str:
        """What is wrong with a claim; "" where nothing is."""
        try:
            if self.expected.is_met_by(claim):
                return ""
        except (ValueError, RecursionError, OverflowError) as problem:
            return f"sent what is no value: {words(str(problem))}; expected {shown(self.expected.data)}"
        returned, expected = shown(claim), shown(self.expected.data)
        if returned == expected:
            return f"returned what differs from the expected value behind {returned}"
        hint = self.expected.hint(claim)
        return f"returned {returned}; expected {expected}{f' ({hint})' if hint else ''}"

    def told(self, failure: str) -> str:
        given = [shown(arg, 80) for arg in self.args]
        given += [f"{name}={shown(value, 80)}" for name, value in self.kwargs.items()]
        text = ", ".join(given)
        return f"{self.function}({text[:120] + '…' if len(text) > 121 else text}) {failure}"


class Program(NamedTuple):
    """A program run with a standard input, and what it must print."""

    stdin: str
    stdout: str
    rules: Rules

    def run(self, runner: Runner, source: str) -> Outcome:
        return runner.output(source, self.stdin)

    def failure(self, claim: Any) -> str:
        return printed_difference(self.stdout, claim, self.rules)

    def told(self, failure: str) -> str:
        return f"given {short_text(self.stdin, 80)}, {failure}"


class Case(NamedTuple):
    """One case. `visible`: it stands in the prompt."""

    name: str
    task: Call | Program
    weight: float = 1.0
    visible: bool = False


def read_cases(given: Any, function: str, rules: Rules, longest: int) -> list[Case]:
    """The cases of one item; `function` is "" for programs, `longest` the bytes that may be printed.

    Raises ValueError naming the case that cannot be used.
    """
    if isinstance(given, str):
        if not given.strip():
            raise ValueError("they are blank; give the row its cases, or leave the row out")
        try:
            given = read_json(given)
        except ValueError as problem:
            raise ValueError(f"they are no JSON: {problem}; given {short(given)}") from None
    check_shape(given)
    if not given:
        raise ValueError("there are none; give the row its cases, or leave the row out")
    if len(given) > MOST:
        raise ValueError(f"there are {len(given):,}; {MOST:,} is the most")
    cases = [_case(number, row, function, rules, longest) for number, row in enumerate(given, start=1)]
    check_names(case.name for case in cases)
    return cases


def check_shape(given: Any) -> None:
    """Raise ValueError where cases are no list."""
    if not isinstance(given, list | tuple):
        hint = ", each inputs beside outputs? see the page of this grader" * (
            isinstance(given, Mapping) and {"inputs", "outputs"} <= given.keys()
        )
        raise ValueError(f"a list of cases is expected, such as {SHAPE}, not {short(given)}{hint}")


def check_names(names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"two cases are called {short(name)}")
        seen.add(name)


def _case(number: int, row: Any, function: str, rules: Rules, longest: int) -> Case:
    place = f"case {number}"
    if not isinstance(row, Mapping):
        raise ValueError(f"{place}: an object is expected, not {short(row)}")
    keys = KEYS["call" if function else "program"]
    for key in row:
        if key not in keys:
            other = key in KEYS["program" if function else "call"]
            hint = "that is for functions; name one in `function`" if other and not function else ""
            hint = hint or ("that is for programs, without `function`" if other else _hint(str(key), keys))
            raise ValueError(f"{place}: unknown key {short(key)}; {hint}")
    try:
        task = _call(row, function, rules, longest) if function else _program(row, rules, longest)
        name = row.get("name", place)
        if not (isinstance(name, str) and name.strip() and name.isprintable()):
            raise ValueError(f"name {short(name)} is no name")
        return Case(name, task, _weight(row.get("weight", 1.0)), _flag(row.get("visible", False)))
    except (ValueError, TypeError, OverflowError, RecursionError) as problem:
        raise ValueError(f"{place}: {problem}") from None


def _hint(key: str, keys: tuple[str, ...]) -> str:
    meant = "args" if key in GIVEN else "expected" if key in WANTED else key
    if "stdin" in keys:
        meant = {"args": "stdin", "expected": "stdout"}.get(meant, meant)
    return nearest(meant, keys)


def _call(row: Mapping[str, Any], function: str, rules: Rules, longest: int) -> Call:
    args, kwargs = _either(row, "args", []), _either(row, "kwargs", {"dict": []})
    if type(args) is dict and "tuple" in args:
        args = args["tuple"]
    if type(args) is not list:
        raise ValueError("args must be a list")
    if not (type(kwargs) is dict and [*kwargs] == ["dict"] and all(type(name) is str for name, _ in kwargs["dict"])):
        raise ValueError("kwargs must be an object")
    if "expected" not in row and "expected_typed" not in row:
        raise ValueError("key 'expected' is missing")
    wanted = _either(row, "expected", None)
    if (length := len(packed(wanted))) > longest:
        raise ValueError(f"expected has {length:,} bytes, and an answer may have {longest:,}; raise output_kb")
    return Call(function, args, dict(kwargs["dict"]), Expected(wanted, rules))


def _either(row: Mapping[str, Any], key: str, default: Any) -> Any:
    """The encoded value under a key: plain JSON, or under `<key>_typed` with its types."""
    typed = f"{key}_typed"
    if typed in row:
        if key in row:
            raise ValueError(f"{key} and {typed} are one value, given twice")
        if key == "kwargs" and isinstance(row[typed], Mapping):
            return {"dict": [[name, encoded(decoded(value))] for name, value in row[typed].items()]}
        return encoded(decoded(row[typed]))
    data = encoded(row[key]) if key in row else default
    if _holds_nan(data):
        raise ValueError(f'{key} holds NaN; where that is meant, write {{"float": "nan"}} under {typed}')
    return data


def _holds_nan(data: Any) -> bool:
    left = [data]
    while left:
        entry = left.pop()
        if type(entry) is list:
            left += entry
        elif type(entry) is dict:
            if entry.get("float") == "nan":
                return True
            left += entry.values()
    return False


def _program(row: Mapping[str, Any], rules: Rules, longest: int) -> Program:
    stdin, stdout = row.get("stdin", ""), row.get("stdout")
    if not isinstance(stdin, str):
        raise ValueError(f"stdin must be text, not {short(stdin)}")
    if not isinstance(stdout, str):
        raise ValueError("key 'stdout' is missing" if stdout is None else f"stdout must be text, not {short(stdout)}")
    stdin.encode("utf-8", "surrogateescape")
    if len(stdout.encode("utf-8", "surrogateescape")) >= longest:
        raise ValueError(f"stdout is {longest // 1024:,} kB or more, which no program may print; raise output_kb")
    return Program(stdin, stdout, rules)


def _weight(weight: Any) -> float:
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise ValueError(f"weight {short(weight)} is no number")
    if not (math.isfinite(weight) and 1e-6 <= weight <= 1e6):
        raise ValueError(f"weight {short(weight)} must be from 0.000001 to 1,000,000")
    return float(weight)


def _flag(visible: Any) -> bool:
    if not isinstance(visible, bool):
        raise ValueError(f"visible must be true or false, not {short(visible)}")
    return visible
