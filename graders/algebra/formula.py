"""Formulas: the arithmetic of `calculate_output`, read by a small parser of our own and never by `eval`.

A formula becomes a postfix program, which a stack machine runs: a sum of ten thousand terms needs no
recursion, and nesting is limited, so that no formula can crash the process.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from graders.template import nearest

MAX_DEPTH = 50

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

OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "^": math.pow,  # unlike `**` it refuses a complex result
}

PRECEDENCE: Mapping[str, int] = {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}
NEGATION = 3  # binds looser than a power, tighter than a product: -2^2 is -4

TOKEN = re.compile(r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[^\W\d]\w*)|(?P<sign>\S))")


class FormulaError(ValueError):
    """A formula that cannot be read or evaluated; the message says at which character, counted from 1."""


class Token(NamedTuple):
    kind: str  # "number", "name", "sign" or "end"
    text: str
    position: int  # of its first character, counted from 0


class Step(NamedTuple):
    """One instruction: push a number or a name's value, or apply an operator, "neg" or a function."""

    kind: str  # "number", "name" or "apply"
    text: str
    position: int
    operands: int = 0


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

    @property
    def names(self) -> frozenset[str]:
        """The names whose values the formula needs."""
        return frozenset(step.text for step in self.steps if step.kind == "name")

    def check_names(self, known: Iterable[str]) -> None:
        """Raise FormulaError for the first name that is not known."""
        names = set(known)
        for step in self.steps:
            if step.kind == "name" and step.text not in names:
                raise _error(f"unknown name {step.text!r}", step.position, nearest(step.text, names))

    def evaluate(self, values: Mapping[str, float]) -> float:
        """The value, always finite. Raises FormulaError where a step has none: 1/0, log(0), exp(1000)."""
        stack: list[float] = []
        for step in self.steps:
            if step.kind == "number":
                stack.append(float(step.text))
            elif step.kind == "name":
                stack.append(values[step.text])
            else:
                operands = stack[len(stack) - step.operands :]
                del stack[len(stack) - step.operands :]
                stack.append(_apply(step, operands))
        return stack[0]

    def show(self, values: Mapping[str, float]) -> str:
        """The author's text with each name replaced by its value."""
        shown, end = [], 0
        for step in sorted((step for step in self.steps if step.kind == "name"), key=lambda step: step.position):
            value = f"{values[step.text]:.6g}"
            shown += [self.text[end : step.position], f"({value})" if value.startswith("-") else value]
            end = step.position + len(step.text)
        return "".join([*shown, self.text[end:]])


def _apply(step: Step, operands: list[float]) -> float:
    if step.text == "neg":
        return -operands[0]
    try:
        value = float((OPERATORS.get(step.text) or FUNCTIONS[step.text])(*operands))
    except ZeroDivisionError:
        problem = "divides by zero"
    except OverflowError:
        problem = "is too large"
    except ValueError:
        problem = "is not a real number"
    else:
        if math.isfinite(value):
            return value
        problem = "is too large"
    given = [f"{operand:.6g}" for operand in operands]
    what = f" {step.text} ".join(given) if step.text in OPERATORS else f"{step.text}({', '.join(given)})"
    raise _error(f"{what} {problem}", step.position)


@lru_cache(maxsize=1024)
def parse(text: str) -> Formula:
    """Read a formula: `+ - * / ^`, unary minus, parentheses, numbers, names and the functions of `FUNCTIONS`.

    `^` is the power and associates to the right. Raises FormulaError with the position where that fails.
    """
    parser = _Parser(text)
    parser.expression(0, 0)
    token = parser.next
    if token.kind != "end":
        hint = "a ')' without its '('" if token.text == ")" else "an operator was expected"
        raise _error(f"unexpected {token.text!r}", token.position, hint)
    return Formula(text, tuple(parser.steps))


class _Parser:
    """Precedence climbing over the tokens; `steps` collects the postfix program."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.steps: list[Step] = []
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
            raise _error(f"nested more than {MAX_DEPTH} deep", self.next.position, "write it flatter")
        self.operand(depth)
        while (precedence := PRECEDENCE.get(self.next.text, -1)) >= lowest:
            operator = self.take()
            self.expression(precedence + (operator.text != "^"), depth + 1)
            self.steps.append(Step("apply", operator.text, operator.position, 2))

    def operand(self, depth: int) -> None:
        token = self.take()
        if token.kind == "number":
            if not math.isfinite(float(token.text)):
                raise _error(f"the number {token.text[:20]} is too large", token.position)
            self.steps.append(Step("number", token.text, token.position))
        elif token.kind == "name" and self.next.text == "(":
            self.call(token, depth)
        elif token.kind == "name":
            self.steps.append(Step("name", token.text, token.position))
        elif token.text == "-":
            self.expression(NEGATION, depth + 1)
            self.steps.append(Step("apply", "neg", token.position, 1))
        elif token.text == "(":
            self.expression(0, depth + 1)
            self.close(token)
        else:
            found = "the formula ends" if token.kind == "end" else f"unexpected {token.text!r}"
            doubled = token.text == "*" and self.place > 1 and self.tokens[self.place - 2].text == "*"
            hint = "a power is written ^" if doubled else "a number, a name or '(' was expected"
            raise _error(found, token.position, hint)

    def call(self, name: Token, depth: int) -> None:
        if name.text not in FUNCTIONS:
            raise _error(f"unknown function {name.text!r}", name.position, nearest(name.text, FUNCTIONS))
        opening = self.take()
        count = 1
        self.expression(0, depth + 1)
        while self.next.text == ",":
            self.take()
            self.expression(0, depth + 1)
            count += 1
        self.close(opening)
        if count > 1 and name.text not in ("min", "max"):
            raise _error(f"{name.text} takes one argument, not {count}", name.position)
        self.steps.append(Step("apply", name.text, name.position, count))

    def close(self, opening: Token) -> None:
        token = self.take()
        if token.text != ")":
            found = "the formula ends" if token.kind == "end" else f"unexpected {token.text!r}"
            hint = f"the '(' at character {opening.position + 1} is not closed"
            raise _error(found, token.position, hint)


def _tokens(text: str) -> list[Token]:
    tokens = []
    for match in TOKEN.finditer(text):
        kind = match.lastgroup or "sign"
        if kind == "sign" and match[kind] not in "+-*/^(),":
            raise _error(f"unexpected {match[kind]!r}", match.start(kind), "known: + - * / ^ ( ) ,")
        tokens.append(Token(kind, match[kind], match.start(kind)))
    return [*tokens, Token("end", "", len(text.rstrip()))]


def _error(what: str, position: int, hint: str = "") -> FormulaError:
    return FormulaError(f"{what} at character {position + 1}" + (f"; {hint}" if hint else ""))
