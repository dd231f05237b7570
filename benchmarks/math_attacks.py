"""Inputs made to cost a grader of mathematics time or memory, each of up to 1 MB: see math_grader.py."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from functools import partial

MEGABYTE = 1_000_000


def full(piece: str) -> str:
    """A megabyte of the piece, again and again."""
    return piece * (MEGABYTE // len(piece.encode("utf-8", "surrogatepass")))


def nested(opening: str, core: str, closing: str, depth: int) -> str:
    return opening * depth + core + closing * depth


def tower(piece: str, levels: int) -> str:
    return "^{".join([piece] * levels) + "}" * (levels - 1)


def shuffled(form: str, count: int, seed: int, joint: str = ",") -> str:
    """The form with each number below `count` in it, in random order."""
    numbers = random.Random(seed).sample(range(count), count)
    return joint.join(form.format(number) for number in numbers)


def matrix(side: int, last: int) -> str:
    rows = [[str(row * side + column) for column in range(side)] for row in range(side)]
    rows[-1][-1] = str(last)
    return r"\begin{pmatrix}" + r" \\ ".join(" & ".join(row) for row in rows) + r"\end{pmatrix}"


ROOTS = "+".join(rf"\sqrt{{{prime}}}" for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23))

SHORT = {
    "9^9^9^9": "9^{9^{9^9}}",
    "e^e^e^e^e^e": tower("e", 6),
    "tower of 60 twos": tower("2", 60),
    "10^(10^8)": "10^{10^8}",
    "10^(10^(10^10)) + 1": "10^{10^{10^{10}}}+1",
    "7^(10^18) mod 1000": r"7^{10^{18}} \bmod 1000",
    "2^(1/(10^9))": "2^{1/10^9}",
    "1e999999999": "1e999999999",
    "0.1 to the 10^9": "0.1^{1000000000}",
    "(10^7)!": "10000000!",
    "99999999!": "99999999!",
    "((9!)!)!": "((9!)!)!",
    "binomial of 10^8": r"\binom{100000000}{50000000}",
    "(x+1)^1000": "(x+1)^{1000}",
    "(x+1)^(10^9)": "(x+1)^{10^9}",
    "(a+b+c+d+e+f)^40": "(a+b+c+d+e+f)^{40}",
    "200th power of nine roots": f"({ROOTS})^{{200}}",
    "sum to 10^9": r"\sum_{k=1}^{1000000000} \frac{1}{k}",
    "product to 10^9": r"\prod_{k=1}^{1000000000} (1+\frac{1}{k^2})",
    "integral": r"\int_0^1 \frac{\sin(x^2)}{1+x^7} dx",
    "limit": r"\lim_{x \to 0} \frac{\sin(\tan x) - \tan(\sin x)}{x^7}",
    "sin of a huge number": r"\sin(10^{10^7})",
    "tan near a pole": r"\tan(\frac{\pi}{2} - 10^{-3000})",
    "gamma of a huge number": r"\Gamma(10^{12}+\frac{1}{2})",
    "60 plus-minus signs": "1" + "".join(rf"\pm {number}" for number in range(60)),
    "400 letters": "+".join(f"x_{{{number}}}" for number in range(400)),
    "2,000 nested powers": nested("(1+", "x", ")^2", 2000),
    "2,000 nested absolute values": nested("|x-", "1", "|", 2000),
}
NESTS = {
    "fractions": (r"\frac{1}{", "}"),
    "roots": (r"\sqrt{", "}"),
    "parentheses": ("(", ")"),
    "parentheses, left open": ("(", ""),
    "brackets": (r"\left[", r"\right]"),
    "boxes": (r"\boxed{", "}"),
    "boxes, left open": (r"\boxed{", ""),
    "subscripts": ("x_{", "}"),
    "sets": (r"\{", r"\}"),
    "continued fractions": (r"1+\frac{1}{", "}"),
    "texts": (r"\text{", "}"),
    "minus signs": ("-", ""),
}
UNSPACED = r"""
\frac{ \frac1 $ $$ \boxed{ \boxed{1} ( ^ x^ _ , 1, 1+ - a xy \left( \( \[ \pm 1\pm x_{ 7 0. <answer> #### ** = x=1,
<answer>1</answer> 答案是 1= | </think> <think> \ \\ { } \text{ \begin{matrix} ! 1! ' . 1. % 1: ٣ ° ² 1; / 1/ /1
\cup [1,2)\cup \sqrt \sin sin x< 1e 😀 1_2 e^ √ √2 i^ \cdot \% \$1 \overline{ \mbox{ & [ ] x^2+ (x+1) |x| \int \sum
"""
SPACED = [
    *(" ", "\n", "1 ", "\\ ", "the answer is ", "the answer is 3. ", "and ", "1 and ", "1 or ", "** 1 **", "1 cm "),
    *("x in ", "x\u0301", "\u0301", "\x00", "\ud800", "\u200b", "= 1 ", "> 3 ", "$1$ ", "1 1/2 ", "$1$, "),
    "\\boxed{1} and ",
]


def inputs() -> dict[str, Callable[[], str]]:
    """What makes each input, by its name."""
    found: dict[str, Callable[[], str]] = {name: partial(str, text) for name, text in SHORT.items()}
    for name, (opening, closing) in NESTS.items():
        for depth in (100, 5_000, MEGABYTE // len(opening + closing)):
            found[f"{depth:,} nested {name}"] = partial(nested, opening, "1", closing, depth)
    for piece in (*UNSPACED.split(), *SPACED):
        found[f"1 MB of {ascii(piece)[1:-1]}"] = partial(full, piece)
    found["50,000 spaces"] = lambda: "1" + " " * 50_000 + "+1"
    found["10^6 spaces"] = lambda: "1" + " " * MEGABYTE + "+1"
    found["10^6 digits"] = lambda: "7" * MEGABYTE
    found["10^6 decimals"] = lambda: "0." + "3" * MEGABYTE
    found["4,000 digits over 4,000"] = lambda: rf"\frac{{{'7' * 4000}}}{{{'9' * 4000}}}"
    return found | {name: partial(made, 0) for name, made in PAIRS.items()}


PAIRS: Mapping[str, Callable[[int], str]] = {
    "list of 10^5 numbers": lambda turn: shuffled("{}", 100_000, turn),
    "set of 10^5 numbers": lambda turn: rf"\{{{shuffled('{}', 100_000, turn)}\}}",
    "list of 2,000 roots": lambda turn: shuffled(r"\sqrt{{{}}}", 2000, turn),
    "list of 500 pairs": lambda turn: shuffled("(x^2+{0},{0})", 500, turn),
    "matrix of 10^5 entries": lambda turn: matrix(316, turn),
    "sum of 400 letters": lambda turn: shuffled("x_{{{}}}", 400, turn, "+"),
    # Answers of less than 10,000 characters, which are read
    "list of 2,000 numbers": lambda turn: shuffled("{}", 2000, turn),
    "450 squares in two forms": lambda turn: shuffled(("(x+{0})^2", "x^2+2*{0}x+{0}^2")[turn], 450, turn),
    "700 equations in two forms": lambda turn: shuffled(("y={0}x+z", "{0}x+z-y=0")[turn], 700, turn),
    "700 inequalities": lambda turn: shuffled("x_{{{0}}}<{0}", 700, turn),
    "1,000 percentages": lambda turn: shuffled(("{}\\%", "{}/100")[turn], 1000, turn),
    "600 decimals and fractions": lambda turn: shuffled(("0.33{:03d}", "33{:03d}/100000")[turn], 600, turn),
    "800 names": lambda turn: shuffled("a_{{{0}}}={0}", 800, turn),
    "600 quantities": lambda turn: shuffled(("{}\\text{{ m}}", "{}00\\text{{ cm}}")[turn], 600, turn),
    "sum of 700 sines": lambda turn: shuffled("\\sin({}x)", 700, turn, "+"),
    "sum of 900 roots": lambda turn: shuffled("\\sqrt{{{}}}", 900, turn, "+"),
    "sum of 850 roots, all but equal": lambda turn: shuffled("\\sqrt{{{}}}", 850, turn, "+") + f"+10^{{-{turn}999}}",
    "product of 1,300 sums": lambda turn: shuffled("(x+{})", 1300, turn, ""),
    "sum of 900 powers": lambda turn: shuffled("x^{{{}!}}", 900, turn, "+"),
    "sum of 400 floors": lambda turn: shuffled("\\lfloor x/{}1 \\rfloor", 400, turn, "+"),
    "sum of 600 binomials": lambda turn: shuffled("\\binom{{n}}{{{}}}", 600, turn, "+"),
    "sum of 1,500 factorials": lambda turn: shuffled("{}!", 1500, turn, "+"),
    "chain of 1,500 numbers": lambda turn: "<".join(str(number) for number in range(1500 + turn)),
    "chain of 2,400 equalities": lambda turn: "=".join(["1+1", "2"] * 1200) + f"={2 + turn}",
    "1,000 nested sines": lambda turn: nested("\\sin(", "x", ")", 1000 + turn),
    "150 nested sines": lambda turn: nested("\\sin(", "x", ")", 150 + turn),
    "150 nested roots": lambda turn: nested("\\sqrt{1+", f"{turn}", "}", 150),
    "150 nested exponentials": lambda turn: nested("e^{-", f"{turn + 1}", "}", 150),
    "9,900 digits": lambda turn: "7" * 9899 + f"{turn}",
    "3,900 digits": lambda turn: "7" * 3899 + f"{turn}",
    "power of 3,900 digits": lambda turn: f"{'7' * 3899}{turn}^{{{'3' * 3900}}}",
    "root of 3,900 digits": lambda turn: f"\\sqrt[{'3' * 3900}]{{{'7' * 3899}{turn}}}",
    "sum of 750 fractions": lambda turn: shuffled("\\frac1{{{}7}}", 750, turn, "+"),
    "product of matrices": lambda turn: matrix(20, turn) * 4,
    "matrix to the 10^9": lambda turn: matrix(8, turn) + "^{1000000000}",
    "inverse of a matrix": lambda turn: matrix(38, turn) + "^{-1}",
    "determinant": lambda turn: f"\\det {matrix(38, turn)}",
    "400 triple signs": lambda turn: shuffled("{}\\pm 1\\pm 2\\pm 3", 400, turn),
    "400 tuples of signs": lambda turn: shuffled("({}\\pm 1,1\\pm 2,\\pm 3)", 400, turn),
    "nested lists": lambda turn: nested("(1,", f"{turn}", ")", 150),
    "nested sets": lambda turn: nested("\\{2,", f"{turn},1", "\\}", 150),
    "union of 500 intervals": lambda turn: shuffled("[{0},{0}+1/9)", 500, turn, " \\cup "),
    "sum of 200 sums": lambda turn: shuffled("\\sum_{{k=1}}^{{99999}} k^{{{}}}", 200, turn, "+"),
    "union of 2,000 intervals": lambda turn: shuffled("[{0},{0}+1/9)", 2000, turn, r" \cup "),
}
"""Inputs that are compared with themselves in another order: a number, other for each order, to the text."""


def pairings(name: str) -> Iterator[tuple[str, str, str]]:
    """How an input stands against a reference: what it is there, the reference, the output."""
    made = inputs()[name]()
    other = PAIRS[name](1) if name in PAIRS else f"{made}+1"
    yield "output", "5", made
    yield "box", "5", rf"The answer is $\boxed{{{made}}}$."
    yield "reference", made, "5"
    yield "both", made, other
    yield "two boxes", rf"\boxed{{{made}}}", rf"\boxed{{{other}}}"
