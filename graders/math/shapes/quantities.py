"""Quantities: values with a unit, a percent sign or a base. Which of the two sides' readings have to agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

from graders.math.policy import Policy
from graders.math.reading.units import MONEY, UNITS, Unit, compatible, times
from graders.math.shapes.labels import opposite
from graders.math.shapes.normal import WRAPPERS, bare, based_value, is_angle, radians
from graders.math.tree import Node, Numeral, Verdict, number, symbol, walk
from graders.math.written import written

_RADIAN = (("radian", 1),)
_ANGLE = (("angle", 1),)
_MARKS = {"arcmin": "ft", "arcsec": "in"}


class _Peeled(NamedTuple):
    """An expression and what stood around it."""

    core: Node
    unit: Unit | None
    percent: bool
    base: tuple[str, int] | None
    label: str


def same_quantity(a: Node, b: Node, policy: Policy, value: Callable[[Node, Node], Verdict]) -> Verdict:
    """Whether two expressions with units, percent signs or bases are the same by the policy; `value` compares cores."""
    a, b = _feet(a, b), _feet(b, a)
    mine, other = _peeled(a), _peeled(b)
    if mine.base or other.base:
        return _same_base(mine, other, policy, value)
    if opposite(mine.label, other.label):
        return Verdict("different", f"{written(b)} is the opposite of {written(a)}", "label")
    if _sums_units(mine.core) or _sums_units(other.core):
        return _same_sum(a, b, policy, value)
    problem = _conflict(mine, other, policy)
    if problem:
        return Verdict("different", problem, "units")
    verdicts = []
    for x, y in _readings(mine, other, policy):
        verdicts.append(value(x, y))
        if verdicts[-1].equal:
            return verdicts[-1]
    found = next((verdict for verdict in verdicts if verdict.outcome == "undecided"), None)
    return found or Verdict("different", f"{written(b)} is not {written(a)}", verdicts[0].step)


def _feet(node: Node, other: Node) -> Node:
    """The tree with its marks ' and \" as feet and inches, where the other side measures lengths in these."""
    names = {part.value.name for part in walk(node) if part.head == "quantity"}
    if not names or not names <= _MARKS.keys():
        return node
    others = {part.value.name for part in walk(other) if part.head == "quantity"}
    return _remarked(node) if others and others <= {"ft", "in"} else node


def _remarked(node: Node) -> Node:
    value = UNITS[_MARKS[node.value.name]] if node.head == "quantity" else node.value
    return Node(node.head, tuple(map(_remarked, node.args)), value)


def _peeled(node: Node) -> _Peeled:
    unit, percent, base, sign, label = None, False, None, 1, ""
    while True:
        head = node.head
        if head == "neg" and node.args[0].head in WRAPPERS:
            sign = -sign
        elif head == "quantity":
            unit = times(node.value, unit) if unit is not None and unit.name[0] == "/" else unit or node.value
        elif head == "percent":
            percent = True
        elif head == "based":
            base = node.value
            break
        elif head == "labelled":
            label = f"{label} {node.value}"
        else:
            break
        node = node.args[0]
    if base is None:
        node = node if _sums_units(node) else bare(node)
    return _Peeled(Node("neg", (node,)) if sign < 0 else node, unit, percent, base, label)


def _sums_units(node: Node) -> bool:
    """Whether units stand inside it, as in 5 ft + 3 in; angles do not count."""
    return any(part.head == "quantity" and not is_angle(part) for part in walk(node))


def _same_base(a: _Peeled, b: _Peeled, policy: Policy, value: Callable[[Node, Node], Verdict]) -> Verdict:
    if a.base and b.base:
        first, second = ((digits.lstrip("0").upper() or "0", base) for digits, base in (a.base, b.base))
        if (first == second and a.core.head == b.core.head) or (policy.bases != "same" and _number(a) == _number(b)):
            return Verdict("equal", "the same number in its base", "base")
        return Verdict("different", f"{written(b.core)} is not {written(a.core)}", "base")
    based, plain = (a, b) if a.base else (b, a)
    assert based.base is not None
    if policy.bases != "same":
        verdict = value(_number(based), plain.core)
        if verdict.equal or policy.bases == "value":
            return verdict
        if based.base[0].isdigit():
            return value(_signed(based, int(based.base[0])), plain.core)
        return verdict
    return Verdict("different", f"only {written(based.core)} is written in base {based.base[1]}", "base")


def _number(peeled: _Peeled) -> Node:
    node = peeled.core.args[0] if peeled.core.head == "neg" else peeled.core
    return _signed(peeled, based_value(node))


def _signed(peeled: _Peeled, size: int) -> Node:
    return number(-size if peeled.core.head == "neg" else size)


def _conflict(a: _Peeled, b: _Peeled, policy: Policy) -> str:
    """Why the units of the two cannot be those of the same quantity; "" where they can."""
    if policy.units == "ignored":
        return ""
    if a.unit and b.unit:
        if compatible(a.unit, b.unit) or _counts_alike(a.unit, b.unit):
            return ""
        return f"{b.unit.name} is not {a.unit.name}"
    given = a.unit or b.unit
    if given is None:
        return ""
    if a.percent != b.percent and (b if a.unit else a).percent:
        return f"a percentage is not a number of {given.name}"
    if policy.units == "required" and given.dims != _ANGLE:
        return f"only one of them has a unit, {given.name}"
    return ""


def _counts_alike(a: Unit, b: Unit) -> bool:
    """Whether units of different dimensions go together: degrees and radians, degrees of an angle and of temperature,
    where the scale is left out, and money with the same money per something.
    """
    dims = {a.dims, b.dims}
    if _ANGLE in dims and len(dims) == 2:
        other = b if a.dims == _ANGLE else a
        scale = other.name in ("°C", "°F") and "deg" in (a.name, b.name)
        return other.dims == _RADIAN or scale
    whole, rate = sorted((a, b), key=lambda unit: len(unit.dims))
    if len(whole.dims) != 1 or whole.dims[0][1] != 1 or whole.dims[0][0] not in MONEY or len(rate.dims) != 2:
        return False
    return rate.name.startswith((f"{whole.name}/", f"{whole.name}*/")) and whole.dims[0] in rate.dims


def _readings(a: _Peeled, b: _Peeled, policy: Policy) -> Iterator[tuple[Node, Node]]:
    """The pairs of values of which one has to agree."""
    if a.percent != b.percent:
        yield from _of_percent(a, b, policy)
        return
    if policy.units == "ignored" or a.unit == b.unit:
        yield a.core, b.core
        return
    if a.unit and b.unit and _counts_alike(a.unit, b.unit) and a.unit.dims != _RADIAN != b.unit.dims:
        yield a.core, b.core
        return
    if a.unit and b.unit:
        yield _measured(a.core, a.unit), _measured(b.core, b.unit)
        return
    if policy.units != "required":
        yield a.core, b.core
    mine, other = _in_radians(a), _in_radians(b)
    if mine is not a.core or other is not b.core:
        yield mine, other


def _of_percent(a: _Peeled, b: _Peeled, policy: Policy) -> Iterator[tuple[Node, Node]]:
    if policy.percent != "value":
        yield a.core, b.core
    if policy.percent != "sign":
        yield _hundredth(a), _hundredth(b)


def _hundredth(peeled: _Peeled) -> Node:
    return Node("div", (peeled.core, number(100))) if peeled.percent else peeled.core


def _in_radians(peeled: _Peeled) -> Node:
    unit = peeled.unit
    return radians(peeled.core, unit.factor) if unit and unit.dims == _ANGLE else peeled.core


def _measured(core: Node, unit: Unit) -> Node:
    """The value in the units that all others are measured in."""
    if unit.dims == _ANGLE:
        return radians(core, unit.factor)
    return _scaled(core, unit.factor)


def _scaled(core: Node, factor: Fraction) -> Node:
    if factor == 1:
        return core
    if core.head == "number" and core.value.digits is None:
        return number(core.value.value * factor)
    return Node("mul", (core, Node("number", (), Numeral(factor))))


def _same_sum(a: Node, b: Node, policy: Policy, value: Callable[[Node, Node], Verdict]) -> Verdict:
    """Sums of quantities, each as its size times its dimensions; without units where only one side has any."""
    if policy.units == "ignored" or not (_sums_units(a) and _sums_units(b)):
        if policy.units == "required" and _sums_units(a) != _sums_units(b):
            return Verdict("different", "only one of them has units", "units")
        return value(bare(a), bare(b))
    return value(bare(_dimensioned(a)), bare(_dimensioned(b)))


def _dimensioned(node: Node) -> Node:
    args = tuple(map(_dimensioned, node.args))
    if node.head != "quantity" or is_angle(node):
        return Node(node.head, args, node.value)
    unit: Unit = node.value
    powers = [Node("pow", (symbol(f"[{name}]"), number(n))) for name, n in unit.dims]
    return Node("mul", (_scaled(args[0], unit.factor), *powers)) if powers else _scaled(args[0], unit.factor)
