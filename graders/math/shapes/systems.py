"""Systems: lists of relations and records of values under names, and whether "and" or "or" stands between them."""

from __future__ import annotations

from graders.math.shapes.entries import Test, counts, different, placed
from graders.math.shapes.normal import EXPRESSIONS, each_name, record
from graders.math.shapes.relations import agreement, equation, family, stated
from graders.math.tree import Node, Verdict, symbols
from graders.math.written import written

_WORTHS = EXPRESSIONS | {"set", "tuple", "bracket", "matrix", "readings", "choice", "given"}


def as_relations(node: Node) -> list[Node] | None:
    """What a tree says as relations that hold together; None if it says none."""
    if node.head == "relation":
        return [node]
    if node.head == "named":
        return [equation(*node.args)]
    if node.head == "list" and all(arg.head in ("relation", "named") for arg in node.args):
        return [equation(*arg.args) if arg.head == "named" else arg for arg in node.args]
    if node.head == "record":
        return [equation(*given) for given in zip(node.value, node.args, strict=True)]
    return None


def joined_alike(a: Node, b: Node) -> bool:
    """Whether two lists of relations are both alternatives or both hold together.

    Between relations of one unknown a comma may be either.
    """
    joins = _join(a), _join(b)
    if "" in joins or (joins[0] == "or") == (joins[1] == "or"):
        return True
    return "," in joins and len(_unknowns(a) | _unknowns(b)) == 1


def _join(node: Node) -> str:
    if node.head == "record":
        return "and" if family_of(node) is None else ","
    if node.head != "list" or not any(arg.head in ("relation", "named") for arg in node.args):
        return ""
    return str(node.value)


def _unknowns(node: Node) -> frozenset[str]:
    if node.head == "record":
        return frozenset().union(*map(symbols, node.value))
    return frozenset().union(*(symbols(arg.args[0] if arg.head == "named" else arg) for arg in node.args))


def family_of(node: Node) -> str | None:
    """The letter that all names of a record share: its values are the solutions of one equation."""
    families = {family(name) for name in node.value}
    return families.pop() if len(families) == 1 else None


def is_other_shape(a: Node, b: Node) -> bool:
    """Whether alternatives stand against a tuple or a record, or a record or alternatives of different names against
    what has no such names."""
    for mine, other in ((a, b), (b, a)):
        alternatives = other.head == "list" and other.value == "or"
        if mine.head == "record" and family_of(mine) is None and (other.head == "set" or alternatives):
            return True
        if alternatives and (mine.head == "tuple" or (_names_several(other) and not _join(mine))):
            return True
    return False


def _names_several(node: Node) -> bool:
    names = {arg.args[0] for arg in node.args if arg.head == "named"}
    families = {family(name) for name in names}
    return len(names) > 1 and (None in families or len(families) > 1)


def expanded(node: Node) -> Node:
    """M = d = 5 as the record M = 5, d = 5."""
    items = each_name(node)
    return record(items) if len(items) > 1 else node


def same_records(a: Node, b: Node, test: Test) -> Verdict:
    """Whether two records give the same values to the same names. `test` compares two named values."""
    if len(a.args) != len(b.args):
        return different(counts(len(a.args), len(b.args), "value"), "name")
    waiting = dict(zip(b.value, b.args, strict=True))
    for name, body in zip(a.value, a.args, strict=True):
        found = name if name in waiting else next((key for key in waiting if agreement(name, key) is not None), None)
        if found is None:
            return different(f"only the reference says what {written(name)} is", "name")
        verdict = test(Node("named", (name, body)), Node("named", (found, waiting.pop(found))))
        if not verdict.equal:
            return placed(f"{written(name)}: ", verdict)
    return Verdict("equal", "the same values for the same names", "name")


def worth(node: Node, against: Node) -> Node:
    """What an equation says its left side is worth, against a bare value; else the node."""
    if node.head != "relation" or against.head not in _WORTHS:
        return node
    value = stated(node)
    return node if value is None else value
