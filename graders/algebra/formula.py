"""Formulas: the arithmetic of `calculate_output`, read by a small parser of our own and never by `eval`.

A formula becomes a postfix program, which a stack machine runs: a sum of ten thousand terms needs no
recursion, and nesting is limited, so that no formula can crash the process.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from graders.template import nearest, short

MAX_DEPTH = 50


def _mean(*values: float) -> float:
    return math.fsum(values) / len(values)


def _clip(value: float, low: float, high: float) -> float:
    if low > high:
        raise ValueError("clip")
    return min(max(value, low), high)


FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "min": lambda *values: min(values),
    "max": lambda *values: max(values),
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,  # natural
}
"""OpenAI's functions. `min` and `max` take one argument or more, the others exactly one."""

OUR_FUNCTIONS: Mapping[str, Callable[..., float]] = {"mean": _mean, "clip": _clip, "if": lambda: 0.0}
"""Ours. `if` is carried out by the machine: the branch that is not taken is not evaluated."""

OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": math.pow,  # unlike `**` it refuses a complex result
}

COMPARISONS: Mapping[str, Callable[[float, float], float]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
"""Ours: 1 where they hold, else 0."""

CALLS: Mapping[str, Callable[..., float]] = {
    **FUNCTIONS,
    **OUR_FUNCTIONS,
    **OPERATORS,
    **COMPARISONS,
    "neg": operator.neg,
}
ARITY: Mapping[str, int] = {"clip": 3, "if": 3} | {name: 1 for name in FUNCTIONS if name not in ("min", "max")}

COMPARISON = 1
PRECEDENCE: Mapping[str, int] = dict.fromkeys(COMPARISONS, COMPARISON) | {"+": 2, "-": 2, "*": 3, "/": 3, "^": 5}
NEGATION = 4  # binds looser than a power, tighter than a product: -2^2 is -4

TOKEN = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*)|(?P<sign>[<>=!]=|\S))")
SIGNS = frozenset(PRECEDENCE) | frozenset("(),")


class FormulaError(ValueError):
    """A formula that cannot be read or evaluated; the message says at which character, counted from 1."""


class Token(NamedTuple):
    kind: str  # "number", "name", "sign" or "end"
    text: str
    position: int  # of its first character, counted from 0


class Step(NamedTuple):
    """One instruction: push a number or a name's value, apply an operator, "neg" or a function, or branch."""

    kind: str  # "number", "name", "apply" or "if"
    text: str
    position: int
    operands: int = 0
    payload: Any = None  # the number, the function to apply, or the two programs of an "if"


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula that was read: `evaluate` gives its value, `show` its text with the values put in.

    >>> formula = parse("0.8*rank + 0.2*fmt")
    >>> formula.show({"rank": 0.7, "fmt": 1.0})
    '0.8*0.7 + 0.2*1'
    >>> round(formula.evaluate({"rank": 0.7, "fmt": 1.0}), 12)
    0.76
    """

    text: str
    steps: tuple[Step, ...]
    used: tuple[Token, ...]  # the names, where they stand
    extensions: tuple[str, ...]  # what it uses that OpenAI's formulas do not have

    @property
    def names(self) -> frozenset[str]:
        """The names whose values the formula needs."""
        return frozenset(token.text for token in self.used)

    def check_names(self, known: Iterable[str]) -> None:
        """Raise FormulaError for the first name that is not known."""
        names = set(known)
        for token in self.used:
            if token.text not in names:
                raise formula_error(f"unknown name {short(token.text)}", token.position, nearest(token.text, names))

    def evaluate(self, values: Mapping[str, float]) -> float:
        """The value, always finite. Raises FormulaError where a step has none: 1/0, log(0), exp(1000)."""
        return _run(self.steps, values) + 0.0  # never -0.0

    def show(self, values: Mapping[str, float]) -> str:
        """The author's text with each name replaced by its value; a name without one stays."""
        return self.written({name: _shown(value) for name, value in values.items()})

    def written(self, texts: Mapping[str, str]) -> str:
        """The author's text with other texts in place of names; a name without one stays."""
        pieces, end = [], 0
        for _, name, position in self.used:
            pieces += [self.text[end:position], texts.get(name, name)]
            end = position + len(name)
        return "".join([*pieces, self.text[end:]])


def _shown(value: float) -> str:
    text = f"{value:.6g}"
    return f"({text})" if text[0] == "-" else text


def _run(steps: Sequence[Step], values: Mapping[str, float]) -> float:
    stack: list[float] = []
    for step in steps:
        kind, text, _, count, payload = step
        if kind == "number":
            stack.append(payload)
        elif kind == "name":
            stack.append(values[text])
        elif kind == "apply":
            operands = stack[-count:]
            del stack[-count:]
            stack.append(_apply(step, operands))
        else:
            stack.append(_run(payload[0] if stack.pop() else payload[1], values))
    return stack[0]


def _apply(step: Step, operands: list[float]) -> float:
    try:
        value = float(step.payload(*operands))
    except ZeroDivisionError:
        problem = "divides by zero"
    except OverflowError:
        problem = "is too large"
    except ValueError:
        problem = "has its low end above its high end" if step.text == "clip" else "is not a real number"
    else:
        if math.isfinite(value):
            return value
        problem = "is too large"
    given = [f"{operand:.6g}" for operand in operands]
    what = f" {step.text} ".join(given) if step.text in PRECEDENCE else f"{step.text}({', '.join(given)})"
    raise formula_error(f"{what} {problem}", step.position)


@lru_cache(maxsize=1024)
def parse(text: str) -> Formula:
    """Read a formula: `+ - * / ^`, unary minus, parentheses, numbers, names and the functions of `FUNCTIONS`.

    `^` is the power and associates to the right. Ours besides: comparisons, and `OUR_FUNCTIONS`. Raises
    FormulaError with the position where that fails.
    """
    parser = _Parser(text)
    parser.expression(0, 0)
    token = parser.next
    if token.kind != "end":
        hint = "a ')' without its '('" if token.text == ")" else "an operator was expected"
        raise formula_error(f"unexpected {short(token.text)}", token.position, hint)
    return Formula(text, tuple(parser.steps), tuple(parser.used), tuple(dict.fromkeys(parser.extensions)))


class _Parser:
    """Precedence climbing over the tokens; `steps` collects the postfix program."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.steps: list[Step] = []
        self.used: list[Token] = []
        self.extensions: list[str] = []
        self.place = 0

    @property
    def next(self) -> Token:
        return self.tokens[self.place]

    def take(self) -> Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def expression(self, lowest: int, depth: int) -> None:
        """An operand, and every operator that follows it and binds at least as tightly as `lowest`."""
        if depth > MAX_DEPTH:
            raise formula_error(f"nested more than {MAX_DEPTH} deep", self.next.position, "write it flatter")
        self.operand(depth)
        compared = False
        while (precedence := PRECEDENCE.get(self.next.text, -1)) >= lowest:
            sign = self.take()
            if precedence == COMPARISON:
                if compared:
                    hint = "write (a < b) * (b < c), which is 1 where both hold"
                    raise formula_error(f"a second comparison {sign.text!r}", sign.position, hint)
                compared = True
                self.extensions.append(f"the comparison {sign.text!r}")
            self.expression(precedence + (sign.text != "^"), depth + 1)
            self.steps.append(Step("apply", sign.text, sign.position, 2, CALLS[sign.text]))

    def operand(self, depth: int) -> None:
        token = self.take()
        if token.kind == "number":
            value = float(token.text)
            if not math.isfinite(value):
                raise formula_error(f"the number {token.text[:20]} is too large", token.position)
            self.steps.append(Step("number", token.text, token.position, 0, value))
        elif token.kind == "name" and self.next.text == "(":
            self.call(token, depth)
        elif token.kind == "name":
            self.used.append(token)
            self.steps.append(Step("name", token.text, token.position))
        elif token.text == "-":
            self.expression(NEGATION, depth + 1)
            self.steps.append(Step("apply", "neg", token.position, 1, CALLS["neg"]))
        elif token.text == "(":
            self.expression(0, depth + 1)
            self.close(token)
        else:
            found = "the formula ends" if token.kind == "end" else f"unexpected {short(token.text)}"
            doubled = token.text == "*" and self.place > 1 and self.tokens[self.place - 2].text == "*"
            hint = "a power is written ^" if doubled else "a number, a name or '(' was expected"
            raise formula_error(found, token.position, hint)

    def call(self, name: Token, depth: int) -> None:
        if name.text not in FUNCTIONS and name.text not in OUR_FUNCTIONS:
            hint = nearest(name.text, [*FUNCTIONS, *OUR_FUNCTIONS])
            raise formula_error(f"unknown function {short(name.text)}", name.position, hint)
        opening = self.take()
        programs = [self.argument(depth)]
        while self.next.text == ",":
            self.take()
            programs.append(self.argument(depth))
        self.close(opening)
        count, wanted = len(programs), ARITY.get(name.text, len(programs))
        if count != wanted:
            words = "one argument" if wanted == 1 else f"{wanted} arguments"
            raise formula_error(f"{name.text} takes {words}, not {count}", name.position)
        if name.text in OUR_FUNCTIONS:
            self.extensions.append(f"the function {name.text!r}")
        if name.text == "if":
            condition, *branches = programs
            self.steps += [*condition, Step("if", "if", name.position, 1, tuple(map(tuple, branches)))]
        else:
            self.steps += [step for program in programs for step in program]
            self.steps.append(Step("apply", name.text, name.position, count, CALLS[name.text]))

    def argument(self, depth: int) -> list[Step]:
        """The program of one argument, apart from what stands before it."""
        before, self.steps = self.steps, []
        self.expression(0, depth + 1)
        program, self.steps = self.steps, before
        return program

    def close(self, opening: Token) -> None:
        token = self.take()
        if token.text != ")":
            found = "the formula ends" if token.kind == "end" else f"unexpected {short(token.text)}"
            hint = f"the '(' at character {opening.position + 1} is not closed"
            raise formula_error(found, token.position, hint)


def _tokens(text: str) -> list[Token]:
    tokens = []
    for match in TOKEN.finditer(text.rstrip()):  # else a long blank end is looked at from each of its places
        kind = match.lastgroup or "sign"
        if kind == "sign" and match[kind] not in SIGNS:
            hint = "equality is written ==" if match[kind] == "=" else "known: + - * / ^ ( ) , < <= > >= == !="
            raise formula_error(f"unexpected {match[kind]!r}", match.start(kind), hint)
        tokens.append(Token(kind, match[kind], match.start(kind)))
    return [*tokens, Token("end", "", len(text.rstrip()))]


def formula_error(what: str, position: int, hint: str = "") -> FormulaError:
    return FormulaError(f"{what} at character {position + 1}" + (f"; {hint}" if hint else ""))
