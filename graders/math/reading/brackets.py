"""Brackets: tuples, sets, intervals, absolute values, matrices and cases.

What it decides: `[x]` is a bracket of its own only where nothing else stands beside it, elsewhere it groups; `{1, 2}`
without backslashes is a bare list; in `\\{x | ...\\}` and `\\{x : ...\\}` the first bar or colon opens the condition;
lines of `aligned` that begin with a relation go on with the line above.
"""

from __future__ import annotations

from graders.math.reading.cursor import CLOSERS, Cursor
from graders.math.reading.spelling import RELATION_SIGNS
from graders.math.tree import Node

_IF = frozenset(("if", "for", "when", "where", ""))
_GROUPED = frozenset(("matrix", "relation", "add", "mul", "neg"))
_SIDES = frozenset(("=", "<", ">", "<=", ">=", ",", ";", ":", "join", "wide", "\\\\", "&", "begin"))


class Brackets(Cursor):
    """Reads what stands between an opening and a closing sign."""

    def bracketed(self) -> Node:
        """`(...)`, `[...]` and half-open intervals; one item in brackets is that item."""
        start = self.at
        opening = self.take().kind
        bars, self.bars = self.bars, 0
        turned, self.reversed = self.reversed, 0
        integrals, self.integrals = self.integrals, 0
        outer, self.inside = self.inside, max(self.inside, 0) + 1
        items, commas = tuple[Node, ...](), True
        if self.kind not in (")", "]"):
            node = self.sequence("")
            commas = node.head == "list"
            items = node.args if commas else (node,)
        closing = self.found[self.at].kind
        if closing == "[" and opening == "[" and len(items) == 2:
            closing = ")"
        if closing not in (")", "]"):
            raise ValueError(f"a bracket is not closed {self.place()}")
        self.at += 1
        self.inside, self.bars, self.reversed, self.integrals = outer, bars, turned, integrals
        return _bracket(opening + closing, items, commas, opening == "[" and self.is_alone(start))

    def is_alone(self, start: int) -> bool:
        """Whether what was read from `start` on has nothing beside it."""
        before = self.found[start - 1] if start else None
        alone = before is None or before.kind in _SIDES or before.text in RELATION_SIGNS
        after = self.found[self.at]
        return alone and (after.kind in CLOSERS or after.kind in _SIDES or after.text in RELATION_SIGNS)

    def reversed_interval(self) -> Node:
        """`]a, b[`, an open interval as some countries write it."""
        self.reversed += 1
        low = self.sum()
        if not (self.accept(",") or self.accept(";")):
            raise ValueError("']' stands where a value is expected")
        high = self.sum()
        self.reversed -= 1
        closing = self.take().kind
        if closing not in ("[", "]", ")"):
            raise ValueError("an interval is not closed")
        return Node("interval", (low, high), "(" + ("]" if closing == "]" else ")"))

    def pointed(self, closing: str) -> Node:
        """`<1, 2>`, a vector."""
        outer, self.inside = self.inside, 1
        bars, self.bars = self.bars, 0
        items = [self.sum()]
        while self.accept(","):
            items.append(self.sum())
        self.expect(closing)
        self.inside, self.bars = outer, bars
        if len(items) < 2:
            raise ValueError("'<' stands where a value is expected")
        return Node("tuple", tuple(items))

    def braces(self) -> Node:
        """`\\{...\\}`: a set by its elements or by a condition."""
        bars, self.bars = self.bars, 1  # a bar separates here
        outer, self.inside = self.inside, -1
        if self.accept("\\}"):
            node = Node("domain", (), "empty")
        else:
            element = self.sequence("\\}")
            if self.kind in ("|", ":") or self.command("mid"):
                self.at += 1
                self.bars, self.inside = 0, 1
                node = Node("builder", (element, self.sequence("\\}")))
            else:
                node = Node("set", element.args if element.head == "list" else (element,))
            if not (self.accept("\\}") or self.accept("right.")):
                raise ValueError(f"a brace is not closed {self.place()}")
        self.inside, self.bars = outer, bars
        return node

    def bar(self, closing: str = "|") -> Node:
        """`|...|`, an absolute value, and `||...||`, a norm."""
        norm = closing == "||"
        self.bars, self.norms = self.bars + (not norm), self.norms + norm
        inner = self.sets()
        self.expect(closing)
        self.bars, self.norms = self.bars - (not norm), self.norms - norm
        if inner.head == "matrix" and not norm:
            return Node("call", (inner,), "det")
        return Node("call", (inner,), "norm" if norm else "abs")

    def fenced_bar(self, norm: bool) -> Node:
        """`\\left| ... \\right|`: an absolute value, a norm, or the determinant of a matrix."""
        bars, self.bars = self.bars, 0
        outer, self.inside = self.inside, max(self.inside, 0) + 1
        inner = self.sequence("right|")
        self.expect("right|")
        self.bars, self.inside = bars, outer
        if inner.head == "matrix":
            return Node("call", (inner,), "det")
        if inner.head == "list":
            raise ValueError("an absolute value is of one thing")
        return Node("call", (inner,), "norm" if norm else "abs")

    def fenced_by_nothing(self) -> Node:
        """`\\left. ... \\right\\}` and its like: what it holds."""
        inner = self.sequence("right.")
        if not (self.accept("right.") or self.accept(")") or self.accept("]") or self.accept("\\}")):
            raise ValueError(f"a bracket is not closed {self.place()}")
        return inner

    def half_braced(self) -> Node:
        """`\\left\\{ ... \\right.`: cases, or statements that hold together."""
        inner = self.sequence("cases}")
        self.expect("cases}")
        if inner.head != "matrix":
            return inner
        return _environment("cases", [list(row.args) for row in inner.args])

    def environment(self, name: str) -> Node:
        """`\\begin{...}`: a matrix, cases, or lines."""
        if name in ("array", "tabular", "aligned", "alignedat", "alignat") and self.kind in ("{", "["):
            self.skip_columns()
        elif name.endswith("matrix") and self.kinds("[", "letter", "]") and self.ahead(1).text in "rlc":
            self.at += 3
        outer, self.inside = self.inside, 1
        bars, self.bars = self.bars, 0
        inner, self.rows = self.rows, True
        lines = not name.endswith(("matrix", "cases")) and name not in ("array", "tabular")
        rows = [list[Node]()]
        cells = 0  # `&` so far in this row
        while self.kind != "end":
            if not self.kind:
                raise ValueError(f"\\begin{{{name}}} is never ended")
            if self.accept("\\\\"):
                rows.append([])
                cells = 0
            elif self.accept("&"):
                cells += 1
                if not lines and len(rows[-1]) < cells:
                    rows[-1].append(Node("text", (), ""))
            elif self.accept(".") or (lines and self.continues(rows)):
                pass
            else:
                rows[-1].append(self.cell(lines))
        self.at += 1
        self.inside, self.bars, self.rows = outer, bars, inner
        return _environment(name, [row for row in rows if row])

    def skip_columns(self) -> None:
        depth = 0
        while self.kind:
            token = self.take()
            depth += (token.kind in ("{", "[")) - (token.kind in ("}", "]"))
            if not depth:
                return
        raise ValueError("an array never begins")

    def cell(self, line: bool) -> Node:
        token = self.found[self.at]
        worded = token.kind == "text" or (token.kind == "word" and token.text in ("if", "for", "otherwise"))
        if worded and (not line or token.text.strip(" ,.").lower() in _IF):
            self.at += 1
            return Node("text", (), token.text)
        return self.sequence("")

    def continues(self, rows: list[list[Node]]) -> bool:
        """Whether a relation stands here; what it says then belongs to the statement before it."""
        before = next((row for row in reversed(rows) if row), None)
        start = self.at
        sign = self.relation()
        if not sign:
            return False
        if before is None or before[-1].head in ("list", "text"):
            self.at = start
            raise ValueError(f"{sign!r} stands where a value is expected")
        right, first = self.sequence(""), before[-1]
        parts, signs = (first.args, first.value) if first.head == "relation" else ((first,), ())
        more, others = (right.args, right.value) if right.head == "relation" else ((right,), ())
        if right.head == "list" or len(parts) > 200:
            raise ValueError("a list stands in a chain of relations")
        before[-1] = Node("relation", (*parts, *more), (*signs, sign, *others))
        return True


def _bracket(signs: str, items: tuple[Node, ...], commas: bool, alone: bool) -> Node:
    if signs in ("[)", "(]"):
        if len(items) != 2:
            raise ValueError("a half-open interval has two ends")
        return Node("interval", items, signs)
    if not commas and (signs == "()" or not alone or items[0].head in _GROUPED):
        return items[0]
    return Node("tuple" if signs == "()" else "bracket", items)


def _environment(name: str, rows: list[list[Node]]) -> Node:
    if not rows:
        raise ValueError(f"\\begin{{{name}}} holds nothing")
    if name.endswith("matrix") or name in ("array", "tabular"):
        if any(cell.head == "text" and not cell.value for row in rows for cell in row):
            raise ValueError("a cell of a matrix is blank")
        matrix = Node("matrix", tuple([Node("row", tuple(row)) for row in rows]))
        return Node("call", (matrix,), "det") if name == "vmatrix" else matrix
    cells = [_without_if(row) for row in rows]
    if not all(cells):
        raise ValueError(f"a line of {name} holds nothing")
    if name.endswith("cases"):
        if all(len(row) == 1 for row in cells):
            return cells[0][0] if len(cells) == 1 else Node("list", tuple([row[0] for row in cells]), "and")
        if any(len(row) > 2 for row in cells):
            raise ValueError("a case has one condition")
        return Node("piecewise", tuple([Node("case", tuple(row)) for row in cells]))
    lines = [_line(row) for row in cells]
    return lines[0] if len(lines) == 1 else Node("list", tuple(lines), "and")


def _without_if(row: list[Node]) -> list[Node]:
    return [cell for cell in row if cell.head != "text" or cell.value.strip(" ,.:").lower() not in _IF]


def _line(row: list[Node]) -> Node:
    if len(row) > 1:
        raise ValueError("a line holds more than one statement")
    return row[0]
