"""Parse: from a mathematical text, LaTeX or plain, to its tree. All of the text is read, or none of it.

An operator-precedence parser (Pratt 1973) over `tokens`; the levels of the grammar are classes that stand on one
another: `cursor`, `brackets`, `atoms`, `commands`, `terms` and the statements here. What it cannot read raises
ValueError with the reason: a number found inside is never taken for the whole.

What it decides: of `A \\Rightarrow B` between relations B is stated; `=` before the text and `= ?` behind it say
nothing; `1,22` is a decimal or a list, `1,234` a number or, where no part begins with 0, a list; `5 m` is five metres
or 5m.
"""

from __future__ import annotations

import re
from functools import lru_cache

from graders.math.reading.choices import choice, chosen_letter, exceptions, spaced_thousands
from graders.math.reading.clauses import Clauses
from graders.math.reading.cursor import CLOSERS
from graders.math.reading.letters import ENDS, is_word
from graders.math.reading.spelling import DOMAINS, LEADING, RELATION_SIGNS, THEN
from graders.math.reading.tokens import LONGEST, Token, plain, tokens
from graders.math.tree import Node, number, symbol, walk

KEPT = 200  # characters of a text whose tree is remembered
DEEPEST_TREE = 200

_WORDS = re.compile(r"[^\W\d_]{3,}")
_TEXT_COMMAND = re.compile(r"\\[A-Za-z]+\s?|[{}$~\\]")
_DECIMAL_COMMA = re.compile(r"((?:[^\W\d_][A-Za-z ]{2,40}[:=])?[-+$€£¥ ]{0,4}\d+),(\d+)([^\d,()\[\]{}]{0,30})")
_THOUSANDS = re.compile(r"[-+ ]*+[1-9]\d{0,2}(?:,\d{3})+\s*+")
_PART_FROM_0 = re.compile(r",0\d")
_DOLLAR = re.compile(r"(?<!\\)\$")
_NEGATED = {"=": "!=", "in": "notin", "<": ">=", ">": "<=", "<=": ">", ">=": "<", "equiv": "!="}


def parse(text: str) -> Node:
    """The tree of a text. ValueError, with the reason, where it is no mathematics that can be read.

    A text that can be read in two ways, such as `1,22` (a decimal or a list), gives a node `readings` with both.

    >>> parse("\\\\frac12").head
    'div'
    """
    size = len(text)
    if size < 19 and text.isdigit() and text.isascii():
        return number(int(text))
    if size > LONGEST:
        raise ValueError(f"{size:,} characters are too many; at most {LONGEST:,} are read")
    return _remembered(text) if size <= KEPT else _parsed(text)


def parse_words(text: str) -> Node:
    """As `parse`; a text that is words rather than mathematics gives a node `text`."""
    try:
        return parse(text)
    except ValueError:
        words = spoken(text)
        if not words:
            raise
        return Node("text", (), words)


def spoken(text: str) -> str:
    """The words of a text that is mostly words of three letters or more; "" where it is not."""
    bare = " ".join(_TEXT_COMMAND.sub(" ", text).split())
    letters = sum(map(len, _WORDS.findall(bare)))
    return bare if 2 * letters >= len(bare.replace(" ", "")) > 0 else ""


def _parsed(text: str) -> Node:
    bare = unwrapped(plain(text))
    if not bare:
        raise ValueError("it is blank")
    if _DATE.fullmatch(bare):
        return Node("text", (), bare)
    if bare[0] in _LEADS and len(bare) > 3 and (tree := _special(bare)) is not None:
        return tree
    return _tree(bare)


def _tree(bare: str) -> Node:
    parser = _Parser(tokens(bare))
    tree = parser.whole()
    if len(parser.found) > DEEPEST_TREE // 4:
        _check_depth(tree)
    if parser.pairs and tree.head != "text":
        mixed = _mixed(tree)
        product = _letters_reading(bare) if mixed or parser.pairs == 1 else None
        if product is not None and (mixed or not any(node.head == "quantity" for node in walk(product))):
            return product if mixed else Node("readings", (product, tree))
    other = parser.variable_reading(tree) or _comma_reading(bare)
    if other is None and "I" in bare and ("*I" in bare or "I*" in bare) and "\\" not in bare:
        other = _letters_reading(bare, imaginary=True)
    return tree if other is None or other == tree else Node("readings", (other, tree))


_remembered = lru_cache(maxsize=1024)(_parsed)


def _special(text: str) -> Node | None:
    """A choice with what it stands for, the letter in "option C", or all real numbers but some."""
    if letter := chosen_letter(text):
        return symbol(letter)
    if left_out := exceptions(text):
        tree = _tree(left_out)
        tree = tree.args[-1] if tree.head in ("relation", "readings") else tree
        points = tree if tree.head == "set" else Node("set", tree.args if tree.head == "list" else (tree,))
        return Node("minus", (Node("domain", (), "R"), points))
    if (found := choice(text)) is None:
        return None
    try:
        value = _tree(found[1])
    except ValueError:
        words = spoken(found[1])
        if not words:
            return None
        value = Node("text", (), words)
    if value.head == "readings":
        return Node("readings", tuple([Node("choice", (reading,), found[0]) for reading in value.args]))
    return Node("choice", (value,), found[0])


def _letters_reading(text: str, imaginary: bool = False) -> Node | None:
    """The text where words of two letters are products rather than units, or where I is the imaginary unit."""
    parser = _Parser(tokens(text))
    parser.letters_only, parser.imaginary = not imaginary, imaginary
    try:
        return parser.whole()
    except ValueError:
        return None


def _mixed(tree: Node) -> bool:
    """Whether a unit stands in an expression that holds letters."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if node.head in _PARTED:
            stack.extend(node.args)
        else:
            heads = {part.head for part in walk(node)}
            if "symbol" in heads and ("quantity" in heads or "labelled" in heads):
                return True
    return False


def unwrapped(text: str) -> str:
    """The text without the delimiters of formulas and the punctuation around it.

    >>> unwrapped("$x=1$.")
    'x=1'
    """
    text = text.strip()
    if "$" in text:
        text = _without_dollars(text)
    if text.startswith("**") and text.endswith("**"):
        text = text.strip("*")
    text = _without_points(text)
    for opening, closing in (("\\(", "\\)"), ("\\[", "\\]")):
        if text.startswith(opening) and text.endswith(closing) and text.count(opening) == 1:
            text = _without_points(text[2:-2])
    while text.endswith("\\") and not text.endswith(("\\\\\\", "\\!")):
        text = text[:-1].rstrip(" \n.,;")
    return text[:-1].rstrip(" \n=") if text.endswith("?") else text


def _without_dollars(text: str) -> str:
    """The text without the `$` that are delimiters of formulas; a lone one is a sign of currency."""
    found = [match.start() for match in _DOLLAR.finditer(text)]
    if len(found) % 2 and not (len(found) > 1 and text.endswith("$$")):
        return text[:-1] if text.endswith((".$", ")$", "}$")) else text.rstrip(".,; ")
    return _DOLLAR.sub(" ", text).strip()


def _without_points(text: str) -> str:
    text = text.strip(" \n,;")
    return text if text.endswith(("\\right.", "...")) else text.rstrip(" \n.,;")


def _comma_reading(text: str) -> Node | None:
    """What a text with a comma between digits says where the comma is read the other way."""
    if "," not in text or text[0] in "{(\\":
        return None
    if ", " in text and (numeral := spaced_thousands(text)):
        return number(int(numeral))
    if _THOUSANDS.fullmatch(text):
        return None if _PART_FROM_0.search(text) else _Parser(tokens(text.replace(",", ", "))).whole()
    if text.count(",") == 1 and (found := _DECIMAL_COMMA.fullmatch(text)):
        return _Parser(tokens(f"{found[1]}.{found[2]}{found[3]}")).whole()
    return None


def _check_depth(tree: Node) -> None:
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > DEEPEST_TREE:
            raise ValueError(f"it is nested more than {DEEPEST_TREE} deep")
        level = [arg for node in level for arg in node.args]


class _Parser(Clauses):
    """Reads statements and what separates them."""

    def whole(self) -> Node:
        self.skip_leading()
        tree = self.sequence("")
        if self.kind:
            raise ValueError(f"{self.found[self.at].text!r} is not expected")
        return tree

    def variable_reading(self, tree: Node) -> Node | None:
        """`5 m` as a product, where it was read as metres."""
        if self.kinds("") and len(self.found) == 3 and self.found[1][:2] == ("letter", "k") and tree.head == "mul":
            return Node("mul", (tree.args[0], number(1000)))
        if tree.head != "quantity" or len(self.found) not in (3, 4):
            return None
        if (self.found[-3].kind, self.found[-2].kind) != ("number", "letter"):
            return None
        return Node("mul", (tree.args[0], self.word(self.found[-2], single=True)))

    def skip_leading(self) -> None:
        """Signs before an answer that say nothing about it."""
        while self.kind in (":", "wide", ",") or self.command(
            "approx", "therefore", "bullet", "Rightarrow", "sim", "simeq"
        ):
            self.at += 1
        self.skip_words()
        while self.kind == "word" and self.found[self.at].text in LEADING and self.ahead(1).kind:
            self.at += 1
            self.accept(":")
        self.accept("=")

    def sequence(self, closing: str) -> Node:
        """Statements with commas, semicolons, and/or between them, up to a closing sign or the end."""
        first = self.statement()
        kind = self.found[self.at].kind
        if kind == closing or not kind:
            return first
        items, joins = [first], list[str]()
        outermost = not closing and not self.inside
        if outermost:
            self.conditioned(items, joins)
        while join := self.separator(closing):
            if self.kind == closing or (self.kind in CLOSERS and not (self.kind in "||" and not self.bars)):
                break
            items.append(self.statement())
            joins.append(join)
            if outermost and self.kind:
                self.conditioned(items, joins)
        return _sequence(items, joins)

    def conditioned(self, items: list[Node], joins: list[str]) -> None:
        """A condition that stands here, put to the last of the items, or to all of them where it ends the text."""
        condition = self.clause(items)
        if condition is None:
            return
        if not self.kind and not any(item.head == "given" for item in items):
            items[:] = [Node("given", (_sequence(items, joins), condition))]
            joins.clear()
        else:
            items[-1] = Node("given", (items[-1], condition))

    def separator(self, closing: str) -> str:
        """The separator here, "" where there is none."""
        start, join = self.at, ""
        while (token := self.found[self.at]).kind in _SEPARATORS:
            if self.rows and token.kind in ("\\\\", "&"):
                break
            self.at += 1
            if token.kind in ("join", "&"):
                said = token.text if token.text in ("and", "or") else "and"
                join = f",{said}" if self.found[start].kind == "," else said
            elif not join or join == "wide":
                join = ";" if token.kind == "\\\\" else token.kind
        if join == "wide":
            return "," if not self.inside and self.kind not in ("", closing) else ""
        return join

    def statement(self) -> Node:
        """A chain of relations, or what it relates; behind an arrow what follows from it."""
        while True:
            node = self.chain()
            token = self.found[self.at]
            if token.kind == "command" and token.text in THEN:
                follows = True
            elif token.kind == "=" and self.ahead(1).kind == ">":
                follows = False
            else:
                return node
            if not follows or node.head not in ("relation", "congruent"):
                raise ValueError(f"{token.text!r} stands behind what is no relation")
            self.at += 1

    def chain(self) -> Node:
        kind = self.kind
        if kind in ("text", "word") and (words := self.only_words()):
            return words
        if kind in ("text", "word", "font") and (named := self.named_value()):
            return named
        if kind == "command" and self.ahead(1).kind == "=" and self.found[self.at].text in ("max", "min"):
            name = Node("text", (), self.take().text)
            self.at += 1
            return Node("relation", (name, self.sets()), ("=",))
        first = self.sets()
        kind = self.found[self.at].kind
        if kind in ("", ",", ")", "}"):
            return first
        parts, signs = [first], list[str]()
        while sign := self.relation():
            parts.append(self.domain() if sign in ("in", "notin") else self.sets())
            signs.append(sign)
        if (modulus := self.modulus()) is not None:
            if len(parts) > 2:
                raise ValueError("a congruence has two sides")
            return Node("congruent", (*parts, modulus))
        if not signs:
            return first
        return Node("relation", tuple(parts), tuple(["=" if sign == "equiv" else sign for sign in signs]))

    def domain(self) -> Node:
        """What stands behind ∈: R and its like are numbers there."""
        token = self.found[self.at]
        if token.kind in ("letter", "font") and token.text in DOMAINS and self.ahead(1).kind != "(":
            self.found[self.at] = Token("command", token.text)
        return self.sets()

    def relation(self) -> str:
        token = self.found[self.at]
        negated = token.kind == "command" and token.text == "not"
        if negated:
            self.at += 1
            token = self.found[self.at]
        sign = RELATION_SIGNS.get(token.text if token.kind == "command" else token.kind, "")
        if sign == ">" and (self.norms or self.closes_vector()):
            return ""
        if sign:
            self.at += 1
            if sign in ("<", ">") and self.accept("="):
                sign = f"{sign}="
        if negated and sign not in _NEGATED:
            raise ValueError("'\\not' stands before no relation")
        return _NEGATED[sign] if negated else sign

    def closes_vector(self) -> bool:
        return False

    def modulus(self) -> Node | None:
        """`\\pmod{7}`, `(mod 7)` or `\\mod 7` behind a statement."""
        if self.accept_command("pmod"):
            self.deeper()
            modulus = self.argument()
            self.depth -= 1
            return modulus
        opened = self.kind == "(" and self.modulus_ahead()
        if not (opened or self.command("mod", "bmod")):
            return None
        self.at += 2 if opened else 1
        self.deeper()
        modulus = self.sets()
        self.depth -= 1
        if opened:
            self.expect(")")
        return modulus

    def only_words(self) -> Node | None:
        """The statement as text, where it is words and nothing else up to the next separator."""
        start, words = self.at, list[str]()
        if self.kind == "word" and self.groups > 0 and self.ahead(1).kind in ENDS and len(self.found[start].text) <= 3:
            return None
        if self.kind == "word" and start > 1 and self.kinds("word", ")") and len(self.found[start].text) <= 3:
            self.at += 1
            formula, self.at = self.in_formula(), start
            if formula:
                return None
        while self.kind in ("text", "word", "letter", "prime", "."):
            token = self.found[self.at]
            if token.text.strip(" +-").lower() == "infinity":
                break
            if token.kind == "text" and (any(sign in "0123456789=$\\" for sign in token.text) or _lists(token.text)):
                break
            words.append(self.take().text)
        if self.kind in ENDS and any(map(is_word, words)):
            return Node("text", (), " ".join(words))
        self.at = start
        return None

    def formula(self, text: str) -> Node:
        """What `\\text{...}` holds where it is no word: a formula of its own, or a sentence."""
        self.deeper()
        try:
            node = _Parser(tokens(unwrapped(text.replace("$", " "))), self.depth).whole()
        except ValueError:
            if self.stands_alone() and spoken(text):
                return Node("text", (), text)
            raise
        if node.head == "text" and not self.stands_alone():
            raise ValueError(f"the words {text!r} stand in a formula")
        self.depth -= 1
        return node


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{3}-\d{4}|\d{3}-\d{3}-\d{4}")  # or a telephone number: no difference
_LEADS = frozenset("(\\*ABCDEFGHOoac")
_PARTED = frozenset(("relation", "list", "tuple", "set", "bracket", "interval", "readings", "given", "ratio"))
_SEPARATORS = frozenset((",", ";", "join", "wide", "\\\\", "&"))
_LETTERS = re.compile(r"\(?[A-Za-z]\)?(?:(?:\s?,\s?|\s(?:and|or|&)\s|\s?,\s?and\s)\(?[A-Za-z]\)?)+\.?")


def _is_one_length(more: Node, less: Node) -> bool:
    """Whether two quantities are one together, such as 5 hours and 30 minutes."""
    return bool(more.value.dims == less.value.dims and more.value.factor > less.value.factor)


def _lists(text: str) -> bool:
    """Whether words in a text are letters to choose from, such as A and B."""
    return len(text) < 100 and _LETTERS.fullmatch(text.strip()) is not None


def _sequence(items: list[Node], joins: list[str]) -> Node:
    """One node for the statements: nested where semicolons or a lone and/or part groups of relations."""
    if not joins:
        return items[0]
    both = {"and", "or"} <= {join.lstrip(",") for join in joins}
    parting = ("or", ",or", ";") if both else (";", "and", "or")
    chunks, strong = [[items[0]]], both and all(item.head == "relation" for item in items)
    for item, join in zip(items[1:], joins, strict=True):
        if join in parting:
            chunks.append([item])
            strong = strong or join == ";"
        else:
            chunks[-1].append(item)
    if joins == ["and"] and all(item.head == "quantity" for item in items) and _is_one_length(*items):
        return Node("add", tuple(items))
    last = next((join.lstrip(",") for join in joins if join.lstrip(",") in ("and", "or")), ",")
    grouped = len(chunks) > 1 and any(len(chunk) > 1 for chunk in chunks)
    paired = all(item.head == "relation" for item in items) and len({len(chunk) for chunk in chunks}) == 1
    if grouped and (strong or paired):
        parts = [chunk[0] if len(chunk) == 1 else Node("list", tuple(chunk), ",") for chunk in chunks]
        return Node("list", tuple(parts), "or")
    return Node("list", tuple(items), last)
