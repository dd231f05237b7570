"""Ratios and residues: a : b : c up to a factor, and x ≡ a modulo n."""

from __future__ import annotations

from math import gcd

from graders.math.shapes.entries import Test, counts, different, in_order, is_exact
from graders.math.shapes.normal import EXPRESSIONS
from graders.math.shapes.relations import agreement
from graders.math.tree import Node, Verdict
from graders.math.values.values import exact
from graders.math.written import kind, written


def same_ratio(a: Node, b: Node, test: Test) -> Verdict:
    """A ratio against a ratio, part by part in proportion, or of two parts against their quotient. With a zero in it,
    as in the time 12:00, or where it is read as a time, its parts have to be the same. `test` compares the parts.
    """
    if a.head != b.head:
        mine, other = (a, b) if a.head == "ratio" else (b, a)
        zero = len(mine.args) == 2 and mine.args[1].head == "number" and not mine.args[1].value.value
        if len(mine.args) != 2 or other.head not in EXPRESSIONS or zero or _is_time(mine):
            return different(f"{kind(b)} is not {kind(a)}", "shape")
        quotient = Node("div", mine.args)
        return test(quotient, b) if mine is a else test(a, quotient)
    if len(a.args) != len(b.args):
        return different(counts(len(a.args), len(b.args), "part"), "ratio")
    zero = any(part.head == "number" and not part.value.value for part in a.args + b.args)
    if zero or _is_time(a) or _is_time(b):
        return in_order(a.args, b.args, test)
    for mine, other in zip(a.args[1:], b.args[1:], strict=True):
        verdict = test(Node("mul", (mine, b.args[0])), Node("mul", (other, a.args[0])))
        if verdict.outcome == "different":
            return different(f"{written(b)} and {written(a)} are different ratios", "ratio")
        if not verdict.equal:
            return verdict
    return Verdict("equal", "the same ratio", "ratio")


def _is_time(node: Node) -> bool:
    """Whether h:mm can only be meant as a time of day: a ratio would be written in its lowest terms."""
    if len(node.args) != 2 or not all(map(is_exact, node.args)):
        return False
    hours, minutes = (part.value.value for part in node.args)
    if hours.denominator != 1 or minutes.denominator != 1:
        return False
    return 1 <= hours <= 24 and 10 <= minutes <= 59 and gcd(int(hours), int(minutes)) > 1


def same_residue(a: Node, b: Node, test: Test) -> Verdict:
    """Two residues of the same modulus, or a bare one such as 9 (mod 11) against the 9. `test` compares the parts.

    The bare one has to be what division leaves: a whole number from 0 to the modulus, without that.
    """
    if a.head != b.head:
        mine, other = (a, b) if a.head == "congruent" else (b, a)
        if len(mine.args) != 2 or other.head not in EXPRESSIONS:
            return different(f"{kind(b)} is not {kind(a)}", "shape")
        if not _is_rest(*mine.args):
            why = f"{written(mine.args[0])} is not what division by {written(mine.args[1])} leaves"
            return different(why, "residue")
        return test(a.args[0] if mine is a else a, b if mine is a else b.args[0])
    modulus = test(a.args[-1], b.args[-1])
    if modulus.outcome == "different":
        return different(f"modulo {written(b.args[-1])} is not modulo {written(a.args[-1])}", "residue")
    if not modulus.equal:
        return modulus
    if len(a.args) == len(b.args) == 3 and agreement(a.args[0], b.args[0]) is None:
        return different(f"{written(b.args[0])} is not {written(a.args[0])}", "name")
    return _residues(a.args[-2], b.args[-2], a.args[-1], test)


def _is_rest(residue: Node, modulus: Node) -> bool:
    rest, n = exact(residue), exact(modulus)
    return rest is not None and n is not None and rest.denominator == n.denominator == 1 and 0 <= rest < n


def _residues(a: Node, b: Node, n: Node, test: Test) -> Verdict:
    if not all(map(_is_integer, (a, b, n))) or not _integer(n):
        return test(a, b)
    if (_integer(a) - _integer(b)) % _integer(n) == 0:
        return Verdict("equal", "the same residue", "residue")
    return different(f"{written(b)} is not {written(a)} modulo {written(n)}", "residue")


def _is_integer(node: Node) -> bool:
    if node.head == "neg":
        return _is_integer(node.args[0])
    return is_exact(node) and node.value.value.denominator == 1


def _integer(node: Node) -> int:
    return -_integer(node.args[0]) if node.head == "neg" else int(node.value.value)
