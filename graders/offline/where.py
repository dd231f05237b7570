"""Where: a condition on rows, such as `item.year > 2020 and "BRCA" in sample.output_text`. Read, never evaluated."""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from graders.rows import GradingRow
from graders.sample import SAMPLE_FIELDS, Sample
from graders.template import follow, nearest, short

LONGEST = 2000  # characters

_CONSTANTS: Mapping[str, Any] = {"true": True, "false": False, "null": None}
_ORDERS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_Value = Callable[[GradingRow], Any]


class Where:
    """A condition over `item`, `sample` and `id`: comparisons, `in`, `and`, `or`, `not`, `len(...)`, literals.

    What a row does not have is null: it equals null and nothing else, and is neither more nor less than anything.
    Text that reads as a number is one where it is compared with a number by `<`, `<=`, `>` or `>=`.

    >>> row = GradingRow("1", {"year": 2021, "genes": ["FBN1"]}, Sample("FBN1"))
    >>> Where("item.year >= 2020 and sample.output_text in item.genes")(row)
    True
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.met = False
        self.paths: dict[str, bool] = {}  # whether any row had it
        self.names: set[str] = set()  # keys of the items seen, where a path was not found
        if len(text) > LONGEST:
            raise self._refused(f"it has {len(text):,} characters, more than {LONGEST:,}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes and the like, which are taken as they are
                tree = ast.parse(text.strip(), mode="eval")
            self._value = self._compiled(tree.body)
        except SyntaxError as problem:
            raise self._refused(f"{problem.msg} at character {problem.offset}") from None
        except (RecursionError, MemoryError):
            raise self._refused("it is nested too deeply") from None
        except ValueError as problem:
            if str(problem).startswith("where "):
                raise
            raise self._refused(str(problem)) from None

    def __call__(self, row: GradingRow) -> bool:
        """Whether the row meets the condition."""
        try:
            met = bool(self._value(row))
        except RecursionError:
            raise self._refused("it is nested too deeply") from None
        self.met = self.met or met
        return met

    def never_found(self) -> str:
        """A hint for when no row met it: what no row has."""
        lost = [path for path, found in self.paths.items() if not found]
        return f"; no row has {lost[0]!r}; {nearest(lost[0].partition('.')[2], self.names)}" if lost else ""

    def _refused(self, reason: str, node: ast.AST | None = None) -> ValueError:
        what = "" if node is None else f"{ast.get_source_segment(self.text.strip(), node)!r}: "
        return ValueError(
            f"where {short(self.text)}: {what}{reason}; write comparisons of item.key, sample.output_text, id, numbers "
            "and 'text' with == != < <= > >= in, joined by and, or, not"
        )

    def _compiled(self, node: ast.expr) -> _Value:
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self._compiled(value) for value in values]
                every = isinstance(op, ast.And)
                return (
                    (lambda row: all(part(row) for part in parts))
                    if every
                    else (lambda row: any(part(row) for part in parts))
                )
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self._compiled(operand)
                return lambda row: not inner(row)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return lambda row: -number
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                return self._comparison(left, ops, comparators)
            case ast.Constant(value=str() | int() | float() | None as value):
                return lambda row: value
            case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
                members = [self._compiled(element) for element in elements]
                return lambda row: [member(row) for member in members]
            case ast.Call(func=ast.Name(id="len"), args=[argument], keywords=[]):
                measured = self._compiled(argument)
                return lambda row: _length(measured(row))
            case ast.Name(id=name) if name in _CONSTANTS:
                return lambda row: _CONSTANTS[name]
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self._path(node)
        raise self._refused("not allowed here", node)

    def _comparison(self, left: ast.expr, ops: Sequence[ast.cmpop], comparators: Sequence[ast.expr]) -> _Value:
        sides = [self._compiled(side) for side in (left, *comparators)]
        tests = []
        for op, (one, other) in zip(ops, pairwise(sides), strict=True):
            test = _test(op)
            if test is None:
                raise self._refused("'is' compares no values; write ==")
            tests.append((one, test, other))
        return lambda row: all(test(one(row), other(row)) for one, test, other in tests)

    def _path(self, node: ast.expr) -> _Value:
        steps: list[str | int] = []
        at = node
        while not isinstance(at, ast.Name):
            match at:
                case ast.Attribute(value=value, attr=name):
                    steps.append(name)
                case ast.Subscript(value=value, slice=ast.Constant(value=str() | int() as key)):
                    steps.append(key)
                case ast.Subscript(
                    value=value, slice=ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as key))
                ):
                    steps.append(-key)
                case _:
                    raise self._refused("only keys and whole numbers lead to a value", node)
            at = value
        steps.reverse()
        text = ast.unparse(node)
        if at.id == "id" and not steps:
            return lambda row: row.id
        if at.id not in ("item", "sample") or not steps:
            raise self._refused(f"no such name {text!r}; {nearest(at.id, ['id', 'item', 'sample'])}")
        if at.id == "sample" and steps[0] not in SAMPLE_FIELDS:
            raise self._refused(f"a sample has no {steps[0]!r}; {nearest(str(steps[0]), SAMPLE_FIELDS)}")
        if at.id == "item":
            self.paths[text] = False
        return lambda row: self._found(text, row.item if at.id == "item" else row.sample, steps)

    def _found(self, text: str, value: Any, steps: Sequence[str | int]) -> Any:
        item = value
        for step in steps:
            if isinstance(value, Sample):
                value = getattr(value, str(step))
                continue
            try:
                value = follow(value, step)
            except LookupError:
                if isinstance(item, Mapping) and len(self.names) < 50:
                    self.names.update(map(str, item))
                return None
        if self.paths.get(text) is False:
            self.paths[text] = True
        return value


def _test(op: ast.cmpop) -> Callable[[Any, Any], bool] | None:
    match op:
        case ast.Eq():
            return _equal
        case ast.NotEq():
            return lambda one, other: not _equal(one, other)
        case ast.In():
            return _holds
        case ast.NotIn():
            return lambda one, other: not _holds(one, other)
    order = _ORDERS.get(type(op))
    return None if order is None else lambda one, other: _ordered(order, one, other)


def _equal(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _holds(one: Any, other: Any) -> bool:
    if isinstance(other, str):
        return isinstance(one, str) and one in other
    if isinstance(other, Mapping):
        return isinstance(one, str) and one in other
    return isinstance(other, Sequence) and any(_equal(one, element) for element in other)


def _ordered(order: Callable[[Any, Any], bool], one: Any, other: Any) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return order(one, other)
    numbers = [_number(side) for side in (one, other)]
    return None not in numbers and order(*numbers)


def _number(value: Any) -> float | int | None:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, str | Sequence | Mapping) else None
