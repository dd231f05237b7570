"""The parser: which tree a text has, which texts have the same, and which are refused."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from graders.math.reading.cursor import DEEPEST
from graders.math.reading.parse import DEEPEST_TREE, parse, parse_words
from graders.math.reading.tokens import LONGEST, MOST
from graders.math.tree import Node

TREES = [
    line.split("\t")
    for line in (Path(__file__).parent / "math_trees.tsv").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("# ")
]


def sexpr(node: Node) -> str:
    """The tree in brackets: constants and domains with #, calls by the function's name, decimals with their places."""
    head, args, value = node
    match head:
        case "number":
            return str(value.value) if value.places is None else f"{value.value}~{value.places}"
        case "symbol":
            return str(value)
        case "constant" | "domain":
            return f"#{value}"
        case "text":
            return f'"{value}"'
        case "based":
            return f"{value[0]}_{value[1]}"
        case "call":
            said = [value]
        case "quantity":
            said = [head, value.name]
        case "relation":
            said = [head, *value]
        case "mul":
            said = [head]
        case _:
            said = [head] if value in (None, "") else [head, str(value)]
    return f"({' '.join([*said, *map(sexpr, args)])})"


def depth(tree: Node) -> int:
    level, levels = [tree], 0
    while level:
        levels += 1
        level = [arg for node in level for arg in node.args]
    return levels


@pytest.mark.parametrize(("text", "tree"), TREES, ids=[text for text, _ in TREES])
def test_each_text_has_the_tree_of_its_row(text: str, tree: str) -> None:
    assert sexpr(parse(text)) == tree


SAME = [
    (
        "\\frac12",
        "\\frac{1}{2}",
        "\\dfrac{1}{2}",
        "\\tfrac 1 2",
        "\\frac{1}2",
        "{1 \\over 2}",
        "1/2",
        "½",
        "$\\frac12$",
    ),
    ("\\sqrt2", "\\sqrt{2}", "\\sqrt 2", "√2", "√{2}", "sqrt(2)", "\\sqrt(2)"),
    ("x^2", "x^{2}", "x**2", "x²", "{x}^{2}", "x ^ 2", "$x^2$", "\\(x^2\\)", "\\[x^2\\]", "$$x^2$$", "x^2.", "**x^2**"),
    ("2x", "2 x", "2*x", "2 \\cdot x", "2 \\times x", "2\\,x", "2\\!x", "2·x", "\\displaystyle 2x", "= 2x", "2x = ?"),
    (
        "1234567",
        "1 234 567",
        "1{,}234{,}567",
        "1\\,234\\,567",
        "1.234.567",
        "1,\\!234,\\!567",
        "1 {, }234 {, }567",
        "\\text{1234567}",
    ),
    ("0.5", ".5", "0{,}5"),
    ("0.\\overline{3}", "0.\\dot{3}", "0.333...", "0.333\\ldots", "0.333…", "0.(3)", "0.\\bar{3}"),
    ("5 \\frac{1}{4}", "5\\frac14", "5 1/4", "5¼"),
    (
        "|x|",
        "\\left|x\\right|",
        "\\lvert x \\rvert",
        "\\vert x\\vert",
        "\\left\\vert x \\right\\vert",
        "abs(x)",
        "\\bigl|x\\bigr|",
    ),
    ("\\|x\\|", "\\left\\|x\\right\\|", "\\lVert x \\rVert", "\\Vert x\\Vert"),
    (
        "(1,2)",
        "\\left(1,2\\right)",
        "( 1 , 2 )",
        "\\langle 1,2\\rangle",
        "（1，2）",
        "\\bigl(1,2\\bigr)",
        "\\left<1,2\\right>",
    ),
    ("[1,2)", "\\left[1,2\\right)", "[1,2[", "\\lbrack 1,2)"),
    ("]1,2[", "]1;2["),
    ("\\{1,2\\}", "\\left\\{1,2\\right\\}", "\\lbrace 1,2\\rbrace", "｛1，2｝", "\\{1;2\\}"),
    ("(-\\infty,1) \\cup (2,\\infty)", "(-oo,1) U (2,oo)", "(-inf, 1) ∪ (2, inf)", "(-∞,1)\\cup(2,+∞)"),
    ("x \\le 2", "x \\leq 2", "x<=2", "x ≤ 2", "x \\leqslant 2", "x ⩽ 2"),
    ("x \\ne 3", "x != 3", "x \\neq 3", "x ≠ 3", "x \\not= 3", "x \\not = 3"),
    (
        "\\sin^{-1} x",
        "\\arcsin x",
        "arcsin(x)",
        "asin(x)",
        "\\sin^{-1}(x)",
        "\\operatorname{arcsin} x",
        "\\text{arcsin}(x)",
    ),
    ("\\sin x", "sin(x)", "sin x", "sinx", "\\sin{x}", "\\sin(x)", "\\mathrm{sin}(x)", "\\sin\\left(x\\right)"),
    ("\\log_2 8", "\\log_{2} 8", "\\log_28", "\\log_2(8)", "\\log_{2}{8}", "\\lb 8", "log_2(8)"),
    ("\\lg 5", "\\log_{10} 5", "\\log_{10}(5)", "lg(5)", "log_10(5)"),
    ("5^\\circ", "5^{\\circ}", "5°", "5\\degree", "5^\\degree", "5 degrees", "5\\text{ degrees}"),
    ("50\\%", "50%", "50 \\%", "50 percent", "50\\text{ percent}", "50\\text{\\%}", "50％"),
    ("\\$5", "5\\$", "$5", "5 dollars", "5\\text{ dollars}"),
    (
        "5\\text{ cm}",
        "5\\,\\mathrm{cm}",
        "5 \\mathrm{~cm}",
        "5 centimeters",
        "5\\mbox{ cm}",
        "5~\\text{cm}",
    ),
    ("5\\text{ m/s}^2", "5 \\mathrm{m/s^2}", "5\\,\\text{m}/\\text{s}^2", "5\\,\\mathrm{m}/\\mathrm{s}^{2}"),
    ("1, 2", "1,\\ 2", "1, \\quad 2", "1 \\quad 2", "1;2", "1; 2", "1, 2."),
    ("1 \\text{ or } 2", "1 or 2", "$1$ or $2$", "1\\text{ or }2", "1 \\quad\\text{or}\\quad 2", "1 或 2"),
    ("1, 2 \\text{ and } 3", "1, 2 and 3", "1, 2, and 3", "1\\text{, }2\\text{, and }3"),
    ("y'", "y^{\\prime}", "y^\\prime", "y’"),
    ("f''(x)", "f^{\\prime\\prime}(x)", "f^{(2)}(x)"),
    ("\\frac{dy}{dx}", "dy/dx", "\\frac{d y}{d x}", "\\frac{\\mathrm{d}y}{\\mathrm{d}x}"),
    ("\\int x\\,dx", "\\int x dx", "\\int x \\mathrm{d}x", "\\int{x dx}"),
    ("\\binom{5}{2}", "\\dbinom52", "{5 \\choose 2}", "C_5^2", "C(5,2)", "5C2", "nCr(5,2)"),
    ("x \\equiv 3 \\pmod 7", "x ≡ 3 (mod 7)", "x \\equiv 3 \\mod 7", "x \\equiv 3 \\pmod{7}"),
    (
        "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
        "\\begin{bmatrix}1&2\\\\3&4\\end{bmatrix}",
        "\\left(\\begin{array}{cc}1&2\\\\3&4\\end{array}\\right)",
        "\\left[\\begin{matrix}1 & 2 \\\\[2pt] 3 & 4\\end{matrix}\\right]",
        "\\begin{pmatrix}1&2\\cr 3&4\\cr\\end{pmatrix}",
    ),
    (
        "\\begin{cases}x=1\\\\y=2\\end{cases}",
        "\\left\\{\\begin{array}{l}x=1\\\\y=2\\end{array}\\right.",
        "\\begin{aligned}x&=1\\\\y&=2\\end{aligned}",
        "\\left\\{\\begin{aligned}x&=1,\\\\y&=2.\\end{aligned}\\right.",
        "\\begin{cases}x=1,\\\\y=2.\\end{cases}",
        "x=1 \\text{ and } y=2",
    ),
    ("x \\in \\mathbb{R}", "x ∈ ℝ", "x \\in \\R", "x \\in R", "x \\in \\mathbb R"),
    ("\\emptyset", "\\varnothing", "∅", "\\{\\}", "\\{ \\}"),
    (
        "5",
        "\\color{red}{5}",
        "\\textcolor{red}{5}",
        "{\\color{red} 5}",
        "\\boxed{5}",
        "\\mathbf{5}",
        "5.",
        "$5$.",
        "\\text{5}",
    ),
    ("A", "\\text{A}", "\\text{(A)}", "(A)", "\\textbf{A}", "\\mathrm{A}", "\\textbf{(A)}", "$A$"),
    ("\\frac{1}{2}", "\\\\frac{1}{2}", "\x0crac{1}{2}", "\\left.\\frac{1}{2}\\right."),
    ("x=3", "x \\overset{?}{=} 3", "x \\stackrel{\\text{def}}{=} 3", "x^2=9 \\Rightarrow x=3", "x==3"),
    ("a - b", "a − b", "a – b", "a﹣b"),
    ("\\alpha", "α", "alpha"),
]


@pytest.mark.parametrize("texts", SAME, ids=[texts[0] for texts in SAME])
def test_texts_of_one_meaning_have_one_tree(texts: tuple[str, ...]) -> None:
    trees = {text: sexpr(parse(text)) for text in texts}
    assert set(trees.values()) == {trees[texts[0]]}, trees


DIFFERENT = [
    ("X", "x"),
    ("Aa", "aA"),
    ("(1,2)", "\\{1,2\\}"),
    ("(1,2)", "1,2"),
    ("[1,2]", "[1,2)"),
    ("15\\text{ cm}^2", "15\\text{ cm}^3"),
    ("204_5", "204_6"),
    ("x_1", "x_2"),
    ("\\sin(x)y", "\\sin(xy)"),
    ("5\\frac14", "5\\cdot\\frac14"),
    ("\\frac{dy}{dx}", "\\frac{y}{x}"),
    ("e^x", "E^x"),
    ("1.50", "1.5"),
    ("y(0)e^t", "0"),
    ("b^2-4ac", "b^2-4"),
    ("y\\text{-axis}", "y"),
    ("x=2, x=3", "x=2"),
    ("12:30 PM", "12:30 AM"),
]


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_texts_of_two_meanings_have_two_trees(one: str, other: str) -> None:
    assert parse_words(one) != parse_words(other)


REFUSED = [
    ("", "blank"),
    (" $ $ ", "blank"),
    ("x +", "ends where a value"),
    ("1/", "ends where a value"),
    ("\\frac{1}{}", "empty group"),
    ("\\frac{1}{2", "is expected at the end"),
    ("(1, 2", "not closed"),
    ("1, 2)", "not expected"),
    ("[1, 2}", "not closed"),
    ("\\{1, 2", "not closed"),
    ("\\left|x", "is expected"),
    ("|x", "is expected"),
    ("\\text{a", "never closed"),
    ("2 3", "side by side"),
    ("1 3/2", "side by side"),
    ("x = 5 (rejected x=2)", "stands in a formula"),
    ("5 \\text{ or more}", "not expected"),
    ("the answer is not 5", "stands in a formula"),
    ("\\text{not } 5", "stands in a formula"),
    ("5 \\text{ if } x>0 \\text{ else } 6", "not expected"),
    ("7 \\text{ not } 8", "not expected"),
    ("42以上", "stands in a formula"),
    ("\\%", "where a value is expected"),
    ("\\cup A", "not read here"),
    ("\\undefinedcommand", "not read here"),
    ("a \\implies b", "no relation"),
    ("5 # 3", "no sign of mathematics"),
    ("5 @ 3", "no sign of mathematics"),
    ("5%%", "behind one another"),
    ("0.\\overline{12}5", "behind those that repeat"),
    ("1e99999999", "power of ten"),
    ("28_5", "no numeral in base"),
    ("\\begin{matrix} 1 & 2", "never ended"),
    ("\\begin{matrix}\\end{matrix}", "holds nothing"),
    ("\\begin{pmatrix} & 1 \\\\ 2 & 3\\end{pmatrix}", "blank"),
    ("\\int x", "no differential"),
    ("\\sum_n a_n", "is expected"),
    ("\\lim_{x} x", "without its point"),
    ("\\sin(1, 2)", "arguments"),
    ("\\cancel{x} y", "not read here"),
    ("(" * (DEEPEST + 1) + "x" + ")" * (DEEPEST + 1), "nested more than"),
    ("x" * (LONGEST + 1), "too many"),
    ("+" * (MOST + 1), "signs"),
    ("1" * 4_001, "4,000 digits"),
    ("1" + "/2" * 40, "quotients"),
    ("a" + "\\pm 1" * 40, "plus-minus"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED, ids=[text[:30] for text, _ in REFUSED])
def test_what_cannot_be_read_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")):
        parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no solution", "no solution"),
        ("The answer is five.", "The answer is five"),
        ("\\text{no real solutions}", "no real solutions"),
        ("\\text{Monday}", "Monday"),
        ("seven", "seven"),
        ("5 \\text{ or more}", "5 or more"),
        ("concave up everywhere", "concave up everywhere"),
    ],
)
def test_words_are_a_text(text: str, words: str) -> None:
    assert parse_words(text) == Node("text", (), words)


def test_a_formula_that_cannot_be_read_is_no_text() -> None:
    with pytest.raises(ValueError, match="ends where a value"):
        parse_words("x^2 +")


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        ("1,22", ("61/50~2", "(list , 1 22)")),
        ("0,111", ("111/1000~3", "(list , 0 111)")),
        ("12,345", ("(list , 12 345)", "12345")),
        ("5 m", ("(mul 5 m)", "(quantity m 5)")),
        ("5 cm", ("(mul 5 c m)", "(quantity cm 5)")),
        ("3mg/4", ("(div (mul 3 m g) 4)", "(div (quantity mg 3) 4)")),
        ("35k", ("(mul 35 1000)", "(mul 35 k)")),
        ("1+2*I", ("(add 1 (mul 2 #i))", "(add 1 (mul 2 I))")),
        ("11, 111, 111", ("11111111", "(list , 11 111 111)")),
    ],
)
def test_what_can_be_read_in_two_ways_gives_both(text: str, readings: tuple[str, str]) -> None:
    tree = parse(text)
    assert tree.head == "readings"
    assert tuple(map(sexpr, tree.args)) == readings


@pytest.mark.parametrize("text", ["1,000", "32, 349", "1,2,3", "(1,2)", "5\\text{ cm}", "2mg/k", "3x", "1,234,567.5"])
def test_what_can_be_read_in_one_way_gives_no_readings(text: str) -> None:
    assert parse(text).head != "readings"


PIECES = [
    *r"""\frac12 \frac{ \frac{1}{2} \sqrt \sqrt{ \text{ \text{a} \text{( \left| \left( \left\{ \right. \begin{matrix}
    \end{cases} \\ & ( ) [ ] { } \{ \} | || , ; : . ... ' ! % $ - + -- * / = < > ^ ^{ _ x_{ C_{ C_ C( f( f^{-1}( x^ 1,
    1,000 1/ x/ \sin \log_2 \int \sum_{ \sum_{i=1}^n \lim_{x\to \pm \cup \setminus \pmod{ \not \bar{ 0.\overline{3}
    0.3... 0.(3) 1e5 \overset{ \underbrace{ \langle \lfloor ][ \boxed{ \hat sinx nCr( 5C2 \mathbb{R}^ 5_2 ° ² ½ √ \binom
    \frac{d}{dx} \| é 答""".split(),  # noqa: SIM905 - a table of pieces
    *(
        "5 m ",
        "ab ",
        "abcd ",
        "5 apples ",
        "1 000 ",
        "a and ",
        "x \\equiv 1 \\pmod{",
        "1 1/2 ",
        "12:30 PM ",
        "Total: ",
        "5 if q, ",
        "(C) ",
        "5 (x>",
        "US$",
        "\\sin x ",
    ),
]


def _attempt(text: str) -> Node | None:
    try:
        return parse(text)
    except ValueError:
        return None


@pytest.mark.parametrize("piece", PIECES)
def test_a_piece_repeated_to_any_length_is_read_or_refused_in_time(piece: str) -> None:
    closing = {"(": ")", "[": "]", "{": "}"}.get(piece[-1], "")
    half = LONGEST // 2 // len(piece)
    started = time.monotonic()
    for text in (piece * (2 * half), "5 " + piece * (2 * half - 2), (piece * half + "x" + closing * half)[:LONGEST]):
        tree = _attempt(text)
        assert tree is None or depth(tree) <= DEEPEST_TREE
    assert time.monotonic() - started < 5  # a guard against hanging, no measure of speed


def _deep(frames: int, text: str) -> Node | None:
    return _deep(frames - 1, text) if frames else _attempt(text)


@pytest.mark.parametrize(
    "piece", ["(", "{", "[", "\\frac{", "x^{", "\\sqrt{", "|", "\\sin(", "\\text{(", "nCr(", "\\sum_{"]
)
def test_no_nest_reaches_the_recursion_limit_of_a_caller_that_is_300_frames_deep(piece: str) -> None:
    used = len(_frames())
    assert sys.getrecursionlimit() >= 1000
    for levels in (DEEPEST // 2, DEEPEST, 1_000):
        closing = {"(": ")", "[": "]", "{": "}"}.get(piece[-1], "")
        _deep(max(0, 300 - used), (piece * levels + "x" + closing * levels)[:LONGEST])


def _frames() -> list[object]:
    frame, frames = sys._getframe(), list[object]()
    while frame.f_back is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames


SOUP = st.lists(
    st.sampled_from([*PIECES, "x", "1", "2.5", " ", "\\pi", "\\text{ or }", "}", ")", "\\right|"]), max_size=25
)


@given(SOUP)
@example(["\\{", "\\sum_{i=1}^n "])
def test_any_soup_of_signs_is_a_tree_of_bounded_depth_or_a_value_error(pieces: list[str]) -> None:
    text = "".join(pieces)
    tree = _attempt(text)
    assert tree is None or depth(tree) <= DEEPEST_TREE
    assert _attempt(text) == tree


@given(st.text(max_size=60))
def test_any_text_is_a_tree_or_a_value_error(text: str) -> None:
    tree = _attempt(text)
    assert tree is None or depth(tree) <= DEEPEST_TREE


@given(st.integers(-(10**30), 10**30))
def test_an_integer_is_read_as_it_is(value: int) -> None:
    tree = parse(str(value))
    inner = tree.args[0] if tree.head == "neg" else tree
    assert (inner.value.value, inner.value.places) == (abs(value), None)


@given(st.decimals(min_value=0, max_value=10**9, places=6))
def test_a_decimal_keeps_its_places(value: object) -> None:
    tree = parse(f"{value}")
    assert (str(tree.value.value), tree.value.places) == (sexpr(tree).partition("~")[0], 6)


LEAVES = st.sampled_from(["x", "y", "2", "\\pi", "3.5", "a_{1}", "f(x)", "\\sin x"])
FORMULAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("\\frac{{{}}}{{{}}}".format, inner, inner),
        st.builds("\\left({}+{}\\right)".format, inner, inner),
        st.builds("\\sqrt{{{}}}".format, inner),
        st.builds("{{({})}}^{{{}}}".format, inner, inner),
        st.builds("({})\\cdot({})".format, inner, inner),
    ),
    max_leaves=8,
)


@given(FORMULAS)
def test_spaces_and_dollars_around_a_formula_change_nothing(formula: str) -> None:
    assert parse(f"$ {formula} $") == parse(f"\\( {formula} \\)") == parse(f" {formula}. ") == parse(formula)


@given(FORMULAS, FORMULAS)
def test_a_list_is_its_items(one: str, other: str) -> None:
    assert parse(f"{one}, {other}") == Node("list", (parse(one), parse(other)), ",")
