"""A tree as a short plain text, for the clauses of verdicts and for what a grade shows as extracted."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from graders.math.tree import Node, Numeral

LIMIT = 60

_SUM, _PRODUCT, _POWER, _ATOM = 1, 2, 3, 4
_CONSTANTS = {"inf": "infinity"}
_DOMAINS = {"empty": "the empty set"}
_SIGNS = {"!=": "≠", "<=": "≤", ">=": "≥", "~": "≈", "notin": "not in"}
_JOINED = {"list": ("", ", ", ""), "tuple": ("(", ", ", ")"), "bracket": ("[", ", ", "]"), "set": ("{", ", ", "}")} | {
    "row": ("[", ", ", "]"),
    "matrix": ("[", ", ", "]"),
    "ratio": ("", ":", ""),
    "union": ("", " U ", ""),
    "intersection": ("", " ∩ ", ""),
    "minus": ("", " \\ ", ""),
    "builder": ("{", " | ", "}"),
    "case": ("", " if ", ""),
    "piecewise": ("{", "; ", "}"),
    "readings": ("", " or ", ""),
    "given": ("", ", ", ""),
}


class _FullError(Exception):
    """What is written is long enough."""


def written(node: Node, limit: int = LIMIT) -> str:
    """The tree in plain characters, such as `x^2 + 1/2`, cut with "..." after `limit` characters.

    It is for people: it is not read back, and what is rare is written as a call of its head.
    """
    pieces: list[str] = []
    try:
        _write(node, 0, pieces, [4 * limit])
    except (_FullError, RecursionError):
        pieces.append("...")
    text = " ".join("".join(pieces).split())
    return text if len(text) <= limit else text[: limit - 3].rstrip() + "..."


def _put(text: str, pieces: list[str], room: list[int]) -> None:
    pieces.append(text[: room[0] + 1])
    room[0] -= len(text)
    if room[0] < 0:
        raise _FullError


def _write(node: Node, binding: int, pieces: list[str], room: list[int]) -> None:
    own = _binding(node)
    closed = own < binding
    if closed:
        _put("(", pieces, room)
    _open(node, pieces, room)
    if closed:
        _put(")", pieces, room)


def _binding(node: Node) -> int:
    head = node.head
    if head in ("add", "pm", "mp", "neg"):
        return _SUM
    if head in ("mul", "div"):
        return _PRODUCT
    if head == "pow":
        return _POWER
    if head == "number":
        value = node.value.value
        whole = node.value.places is not None or value.denominator == 1
        return (_ATOM if value >= 0 else _SUM) if whole else _PRODUCT
    return _ATOM


def _leaf(node: Node) -> str | None:
    match node.head:
        case "number":
            return _number(node.value)
        case "symbol" | "text":
            return str(node.value)
        case "constant":
            return _CONSTANTS.get(node.value, str(node.value))
        case "domain":
            return _DOMAINS.get(node.value, str(node.value))
        case "based":
            return f"{node.value[0]}_{node.value[1]}"
    return None


def _number(numeral: Numeral) -> str:
    value, places = numeral.value, numeral.places
    if value.denominator == 1 and not places:
        size = value.numerator.bit_length()
        return str(value.numerator) if size < 1000 else f"an integer of {size} bits"
    if places is not None and 0 < places <= 40:
        return _decimal(value, places)
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 1000:
        return "a long fraction"
    return f"{value.numerator}/{value.denominator}"


def _decimal(value: Fraction, places: int) -> str:
    shifted = value * 10**places
    if shifted.denominator != 1 or shifted.numerator.bit_length() > 1000:
        return "a long decimal"
    digits = str(abs(shifted.numerator)).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _between(args: tuple[Node, ...], signs: list[str], binding: int, pieces: list[str], room: list[int]) -> None:
    for index, arg in enumerate(args):
        if index:
            _put(signs[index - 1], pieces, room)
        _write(arg, binding, pieces, room)


def _open(node: Node, pieces: list[str], room: list[int]) -> None:
    head, args, value = node
    leaf = _leaf(node)
    if leaf is not None:
        _put(leaf, pieces, room)
    elif head in _JOINED:
        before, between, after = _JOINED[head]
        if head == "list" and value in ("and", "or"):
            between = f" {value} "
        _put(before, pieces, room)
        _between(args, [between] * len(args), 0, pieces, room)
        _put(after, pieces, room)
    elif head == "add":
        _add(args, pieces, room)
    elif head in ("mul", "div", "pow") and len(args) > 1:
        sign, binding = {"mul": (" ", _PRODUCT), "div": ("/", _POWER), "pow": ("^", _ATOM)}[head]
        if head == "mul" and all(arg.head == "number" for arg in args):
            sign = "*"
        _between(args, [sign] * len(args), binding, pieces, room)
    elif head == "relation":
        _between(args, [f" {_SIGNS.get(sign, sign)} " for sign in value], 0, pieces, room)
    elif head in ("pm", "mp") and len(args) == 2:
        _between(args, [" ± " if head == "pm" else " ∓ "], _PRODUCT, pieces, room)
    elif head == "root" and _is_two(args[1]):
        _open(Node("call", args[:1], "sqrt"), pieces, room)
    elif head in _WRAPPED:
        before, after = _WRAPPED[head](value)
        _put(before, pieces, room)
        _between(args, [", "] * len(args), _PRODUCT if head in ("neg", "pm", "mp") else 0, pieces, room)
        _put(after, pieces, room)
    else:
        _put(f"{value if head in ('call', 'apply') else head}(", pieces, room)
        _between(args, [", "] * len(args), 0, pieces, room)
        _put(")", pieces, room)


def _is_two(node: Node) -> bool:
    return node.head == "number" and bool(node.value.value == 2)


def _add(args: tuple[Node, ...], pieces: list[str], room: list[int]) -> None:
    for index, arg in enumerate(args):
        negative = arg.head == "neg"
        if index:
            _put(" - " if negative else " + ", pieces, room)
        _write(arg.args[0] if negative and index else arg, _PRODUCT if index else _SUM, pieces, room)


_WRAPPED: dict[str, Callable[[Any], tuple[str, str]]] = {
    "neg": lambda value: ("-", ""),
    "pm": lambda value: ("±", ""),
    "mp": lambda value: ("∓", ""),
    "percent": lambda value: ("", "%"),
    "quantity": lambda value: ("", f" {value.name}"),
    "labelled": lambda value: ("", f" {value}"),
    "interval": lambda value: (str(value)[:1], str(value)[1:]),
    "congruent": lambda value: ("congruent(", ")"),
    "choice": lambda value: (f"({value}) ", ""),
}


_KINDS = {
    "text": "an answer in words",
    "ratio": "a ratio",
    "congruent": "a residue",
    "piecewise": "a case distinction",
    "builder": "a set with a condition",
}


_NAMED = frozenset(("interval", "union", "intersection", "minus", "domain", "bracket", "false"))


def kind(node: Node) -> str:
    """What a tree is, for a clause."""
    head = node.head
    if head in _KINDS:
        return _KINDS[head]
    if head in ("list", "tuple", "set", "record"):
        name = {"record": "list"}.get(head, head)
        return f"a {name} of {len(node.args)}"
    if head == "matrix":
        return f"a {len(node.args)} by {len(node.args[0].args)} matrix"
    if head == "relation":
        return "an equation" if set(node.value) == {"="} else "a relation"
    if head in ("named", "given", "choice") and node.args:
        return kind(node.args[head == "named"])
    return written(node) if head in _NAMED else "one value"
