"""Normal forms: what shapes are compared as. Plus-minus becomes two values, chains collapse, names move to the outside.

Three heads are made here and in `chains` only: `named` (name, body), value: further names of the same body or None;
`record` (bodies), value: their different names; and `false`, value: the clause that says which constant chain is not
true. All other heads are those of `tree`.
"""

from __future__ import annotations

from fractions import Fraction

from graders.math.shapes import matrices, words
from graders.math.shapes.chains import Same, counted, given, misrounded, settled, split, untrue
from graders.math.shapes.plus_minus import PLUS_MINUS, variants
from graders.math.shapes.relations import is_name, renamed
from graders.math.tree import Node, Numeral, symbols
from graders.math.values.values import is_constant
from graders.math.written import written

DEEPEST = 40
"""Shapes inside shapes are put into normal form down to this depth."""
FEW = 16
"""In longer lists plus-minus signs inside one another go together too."""

INTEGERS = Node("domain", (), "Z")
_VALUES = frozenset(("number", "symbol", "constant", "add", "mul", "neg", "div", "pow", "root", "call", "apply"))
_BOUND = frozenset(("sum", "product", "integral", "limit", "derivative"))
WRAPPERS = frozenset(("based", "percent", "quantity", "labelled"))
EXPRESSIONS = _VALUES | _BOUND | WRAPPERS
_GROUPS = frozenset(("list", "set"))
_BRACKETED = frozenset(("matrix", "tuple", "bracket"))
_BRANCHES = frozenset(("tuple", "bracket", "union", "intersection", "minus", "ratio", "row", "matrix", "readings"))
_SETS = frozenset(("interval", "tuple", "bracket", "union", "set"))


class Normaliser:
    """Puts trees into normal form; `same` decides whether a chain of constants is true."""

    def __init__(self, same: Same) -> None:
        self._same = same
        self._heads: dict[int, tuple[Node, frozenset[str]]] = {}

    def heads(self, node: Node) -> frozenset[str]:
        """The heads of the node and of all below it."""
        known = self._heads.get(id(node))
        if known is not None and known[0] is node:
            return known[1]
        found = frozenset((node.head,)).union(*map(self.heads, node.args))
        self._heads[id(node)] = (node, found)
        return found

    def of(self, node: Node, depth: int = 0) -> Node:
        """The normal form of a whole answer, or of a part `depth` shapes deep."""
        head = node.head
        if depth > DEEPEST:
            return node
        if head in _GROUPS:
            return self._items(node, depth)
        if head in ("given", "choice"):
            return Node(head, tuple([self.of(arg, depth + 1) for arg in node.args]), node.value)
        if head not in ("union", "intersection", "minus") and not PLUS_MINUS.isdisjoint(self.heads(node)):
            return self._items(Node("list", tuple(variants(node)), "or"), depth)
        if head == "relation":
            return self._chain(node, depth)
        if head == "text":
            return words.meant(node)
        if head == "labelled" and not self.heads(node) <= EXPRESSIONS:
            return self.of(node.args[0], depth + 1)
        if head == "apply" and _is_point(node):
            return Node("named", (Node("symbol", (), node.value), Node("tuple", node.args)))
        if head in _BRANCHES:
            return self._branch(node, depth)
        if head in EXPRESSIONS and not _BRACKETED.isdisjoint(self.heads(node)):
            return matrices.carried_out(node)
        return node

    def _branch(self, node: Node, depth: int) -> Node:
        args = tuple([self.of(arg, depth + 1) for arg in node.args])
        if node.head == "tuple" and args and all(arg.head == "named" for arg in args):
            return _together(list(args), "and")
        return Node(node.head, args, node.value)

    def _items(self, node: Node, depth: int) -> Node:
        """A list or a set: plus-minus spread out, an item in several values flattened, the first name passed on."""
        if node.head == "set" and not node.args:
            return words.EMPTY
        items: list[Node] = []
        few = len(node.args) <= FEW
        for arg in node.args:
            items += [self.of(item, depth + 1) for item in (variants(arg, few) if arg.head not in _GROUPS else (arg,))]
        wrong = next((item for item in items if item.head == "false"), None)
        if wrong is not None:
            return wrong
        items = _without_declarations([_passed(items[0], item) for item in items])
        if _are_rows(items):
            return Node(node.head, tuple([Node("tuple", item.args) for item in items]), node.value)
        items = [part for item in items for part in _spread(item, node.value)]
        if all(item.head in ("tuple", "record") for item in items):  # a solution said twice is said
            items = list(dict.fromkeys(items))
        if node.head == "set":
            return Node("set", tuple(items))
        return _together(items, node.value)

    def _chain(self, node: Node, depth: int) -> Node:
        args, signs = node.args, tuple(node.value)
        if any(sign not in ("=", "~") for sign in signs):
            return self._order(node, depth)
        remarks: tuple[Node, ...] = ()
        if "~" in signs:
            until = counted(args, signs)
            args, remarks = args[:until], args[until:]
        names, values = split(args) if len(args) > 1 else ([], args)
        parts = [self.of(value, depth + 1) for value in values]
        wrong = untrue(parts, self._same)
        if wrong is None and remarks:
            wrong = misrounded(settled(parts), [self.of(remark, depth + 1) for remark in remarks], self._same)
        if wrong is not None or len(args) == 1:
            return wrong or parts[0]
        if not names and (len(parts) == 2 or is_constant(parts[0])) and not all(map(is_constant, parts)):
            names, parts = _shaped(parts) or (names, parts)
        if not names and not all(map(is_constant, parts)):
            return Node("relation", tuple(parts), ("=",) * (len(parts) - 1))
        body = settled(parts)
        return given(names[0], body, tuple(names[1:])) if names else body

    def _order(self, node: Node, depth: int) -> Node:
        args, signs = node.args, tuple(node.value)
        if args[-1].head == "ratio" and len(args[-1].args) == 2 and args[-1].args[1].head in _SETS:
            return self._twice(Node("relation", (*args[:-1], args[-1].args[0]), signs), args[-1].args[1], depth)
        if signs == ("in",) and is_name(args[0]):
            return Node("named", (args[0], _interval(self.of(args[1], depth + 1))))
        parts = tuple([bare(self.of(arg, depth + 1)) for arg in args])
        if signs == ("notin",):
            parts = (parts[0], _interval(parts[1]))
        return Node("relation", parts, signs)

    def _twice(self, relation: Node, region: Node, depth: int) -> Node:
        """An inequality and, behind a colon, its interval."""
        first, second = self.of(relation, depth + 1), _interval(self.of(region, depth + 1))
        if self._same(first, second, 0.0).outcome == "different":
            return Node("false", (), f"says {written(first)} is {written(second)}, which is false")
        return first


def bare(node: Node) -> Node:
    """The tree without units, labels and percent signs: 5% is 5/100, an angle in degrees is one in radians."""
    if not node.args and node.head != "based":
        return node
    args = tuple(map(bare, node.args))
    if node.head == "percent":
        return Node("div", (args[0], _number(100)))
    if node.head == "labelled":
        return args[0]
    if node.head == "quantity":
        return radians(args[0], node.value.factor) if is_angle(node) else args[0]
    if node.head == "based":
        return _number(based_value(node))
    return Node(node.head, args, node.value)


def is_angle(node: Node) -> bool:
    """Whether it is a quantity in degrees or in what is measured in them."""
    return node.head == "quantity" and tuple(node.value.dims) == (("angle", 1),)


def radians(degrees: Node, factor: Fraction) -> Node:
    part = Fraction(factor, 180)
    return Node("mul", (degrees, Node("number", (), Numeral(part)), Node("constant", (), "pi")))


def based_value(node: Node) -> int:
    """The whole number that a numeral with its base stands for; -1 where a digit is too large for it."""
    digits, base = node.value
    try:
        return int(digits, base)
    except ValueError:
        return -1


def _number(value: int) -> Node:
    return Node("number", (), Numeral(Fraction(value)))


def _shaped(parts: list[Node]) -> tuple[list[Node], list[Node]] | None:
    """Any expression names the matrix, tuple or set that it is said to be."""
    if parts[0].head in EXPRESSIONS and parts[-1].head not in EXPRESSIONS and parts[-1].head != "text":
        return parts[:1], parts[-1:]
    return None


def _interval(node: Node) -> Node:
    """What stands behind "in": two entries in brackets are an interval there, the letters R, N, Z, Q, C are sets."""
    if node.head == "symbol" and node.value in ("R", "N", "Z", "Q", "C"):
        return Node("domain", (), node.value)
    if len(node.args) != 2 or node.head not in ("tuple", "bracket"):
        return node
    return Node("interval", node.args, "()" if node.head == "tuple" else "[]")


def _passed(first: Node, item: Node) -> Node:
    """An item without a name takes that of the first: x = 4, -8; so does one behind x != 1."""
    if item is first or item.head in ("named", "record", "relation", "text", "false", "list"):
        return item
    if first.head == "named" and first.args[1].head in ("list", "set"):
        return Node("named", (first.args[0], item)) if first.args[1].head == "list" else item
    if first.head == "named":
        return given(first.args[0], item)
    if first.head == "record" and item.head == "tuple" and len(item.args) == len(first.args):
        return Node("record", item.args, first.value)
    if first.head == "relation" and first.value == ("!=",) and item.head in EXPRESSIONS:
        return Node("relation", (first.args[0], item), ("!=",))
    return item


def _without_declarations(items: list[Node]) -> list[Node]:
    """x = 2 k pi, k in Z without what says that k is an integer; its letter does not matter then."""
    declared = [item for item in items if item.head == "named" and item.args[1] == INTEGERS]
    others = [item for item in items if item not in declared]
    if len(declared) != 1 or not others or declared[0].args[0].head != "symbol":
        return items
    letter = declared[0].args[0].value
    bodies = [item.args[1] if item.head == "named" else item for item in others]
    used = frozenset[str]().union(*map(symbols, others))
    if any(body.head == "relation" for body in bodies) or not any(letter in symbols(body) for body in bodies):
        return items
    return others if "k" in used else [renamed(item, {letter: Node("symbol", (), "k")}) for item in others]


def _is_point(node: Node) -> bool:
    """Whether it is a named point such as P(2, 3)."""
    name = node.value
    return len(node.args) > 1 and len(name) == 1 and name.isupper() and all(map(is_constant, node.args))


def _are_rows(items: list[Node]) -> bool:
    """Whether lists of one length stand in a list: each is a tuple there, unless it is a system of relations."""
    if any(part.head in ("relation", "named") for item in items for part in item.args):
        return False
    sizes = {len(item.args) if item.head == "list" else 0 for item in items}
    return len(items) > 1 and len(sizes) == 1 and max(sizes) > 1


def _spread(item: Node, joined: str | None) -> tuple[Node, ...]:
    """The items that a list inside a list stands for; of relations that hold together but not all, it stays one."""
    if item.head == "list":
        systems = (item.value == "or") != (joined == "or") and any(part.head == "relation" for part in item.args)
        return (item,) if systems and len(item.args) > 1 else item.args
    if item.head == "named" and item.args[1].head == "list":
        return tuple([given(item.args[0], part) for part in item.args[1].args])
    return (item,)


def _together(items: list[Node], joined: str) -> Node:
    """A list by its names: one name for all moves outside, different names make a record."""
    if len(items) == 1:
        return items[0]
    items = [part for item in items for part in each_name(item)]
    if not all(item.head == "named" for item in items):
        return Node("list", tuple(items), joined)
    names = [item.args[0] for item in items]
    if all(name == names[0] for name in names):
        return Node("named", (names[0], Node("list", tuple([item.args[1] for item in items]), joined)))
    size = next((at for at, name in enumerate(names) if at and name == names[0]), len(names))
    if len(set(names[:size])) < size or len(names) % size or names != names[:size] * (len(names) // size):
        return Node("list", tuple(items), joined)
    if size == len(names):
        return Node("list", tuple(items), joined) if joined == "or" else record(items)
    chunks = [items[at : at + size] for at in range(0, len(items), size)]
    return Node("list", tuple(map(record, chunks)), joined)


def each_name(item: Node) -> list[Node]:
    """M = d = (1, 4) as M = (1, 4) and d = (1, 4); what is no such chain as it is."""
    if item.head != "named" or not item.value:
        return [item]
    others = [name for name in item.value if name.head == "symbol"]
    return [Node("named", (name, item.args[1])) for name in (item.args[0], *others)]


def record(items: list[Node]) -> Node:
    """Values under different names; letters that follow one another in the alphabet are put in its order."""
    names = [item.args[0] for item in items]
    letters = [name.value for name in names if name.head == "symbol" and len(name.value) == 1]
    codes = sorted(map(ord, letters))
    if len(codes) == len(names) and codes == list(range(codes[0], codes[0] + len(codes))):
        items = sorted(items, key=lambda item: str(item.args[0].value))
    return Node("record", tuple([item.args[1] for item in items]), tuple([item.args[0] for item in items]))
