"""Points at which two expressions are compared: rational, of several sizes and signs, from a hash of both trees."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from itertools import cycle, islice
from math import lcm

from graders.math.tree import Node, Numeral, symbols, walk
from graders.math.values.arithmetic import MASK, draw
from graders.math.values.evaluate import is_literal

Point = dict[str, tuple[int, ...]]  # numerator and denominator of each letter, or of its real and imaginary part

DENOMINATORS = (7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)
TRIES = 24
# Kinks and branches lie anywhere, so that trees with these are compared at all sizes and signs.
KINKED = frozenset(
    """abs norm floor ceil sgn min max mod gcd lcm arg re im conj arcsin arccos arctan arccot
    arcsec arccsc arcosh""".split()  # noqa: SIM905
)
LARGEST_WRITTEN, MOST_WRITTEN = 1_000_000, 12
LOGARITHMS = frozenset(["ln", "log"])
STEPS = frozenset(["floor", "ceil", "sgn", "min", "max", "mod", "gcd", "lcm"])  # may be off at single points
PARTS = frozenset(["re", "im", "conj", "arg"])  # of complex numbers
COMPLEX = ("z", "w", "zeta")  # letters that are complex in those even beside i
# Letters in these stand for whole numbers; in rounding and in the sine of a multiple of pi, these letters do.
WHOLE = frozenset(["factorial", "double_factorial", "binom", "gcd", "lcm", "mod"])
ROUNDING = frozenset(["floor", "ceil", "sin", "cos", "tan", "cot", "sec", "csc"])
COUNTING = frozenset("jklmnKMN")


@lru_cache(4096)
def _mark(text: str) -> int:
    return draw(zlib.crc32(text.encode()))


def seed(node: Node) -> int:
    """64 bits that are the same for the same tree in every process."""
    value = node.value
    if value is None:
        mixed = _mark(node.head)
    elif type(value) is str:
        mixed = _mark(node.head + value)
    elif type(value) is Numeral:
        mixed = hash(value.value) * 31 + (value.places or 0) + 7
    else:
        mixed = _mark(node.head + repr(value))
    for arg in node.args:
        mixed = (mixed * 0x9E3779B97F4A7C15 + seed(arg)) & MASK
        mixed ^= mixed >> 29
    return mixed & MASK


@dataclass(slots=True)
class Facts:
    """What decides at which points a pair of trees is compared."""

    nodes: int = 0
    kinked: bool = False  # it may be made of several analytic pieces
    largest: int = 1  # number written in it, up to a million
    series: bool = False
    bare_log: bool = False  # a logarithm without its base
    has_ln: bool = False
    steps: bool = False
    moduli: bool = False
    written: set[Fraction] = field(default_factory=set)  # numbers, the first few
    complex: set[str] = field(default_factory=set)  # letters of which a real part or a conjugate is taken
    whole: set[str] = field(default_factory=set)  # letters that stand for whole numbers, by where they stand


def facts(trees: tuple[Node, ...], most: int) -> Facts:
    """Reads the trees once, up to so many nodes."""
    found, stack = Facts(), list(trees)
    while stack and found.nodes <= most:
        node = stack.pop()
        found.nodes += 1
        stack += node.args
        head = node.head
        if head == "number":
            value = node.value.value
            size = abs(value.numerator)
            if found.largest < size <= LARGEST_WRITTEN:
                found.largest = size
            if len(found.written) < MOST_WRITTEN:
                found.written.add(value)
        elif head in _READERS:
            _READERS[head](node, found)
    return found


def _read_call(node: Node, found: Facts) -> None:
    name = node.value
    found.steps |= name in STEPS
    found.moduli |= name in ("abs", "norm")
    found.has_ln |= name == "ln"
    if name in PARTS:
        found.complex |= _complex_letters(node.args[0])
    found.kinked |= name in KINKED or (name in LOGARITHMS and not _has_no_kink(node.args[0]))
    if name in WHOLE:
        found.whole |= symbols(node)
    elif name in ROUNDING:
        found.whole |= {letter for letter in symbols(node) if letter[0] in COUNTING}
    elif name == "log" and len(node.args) == 1:
        found.bare_log = True


def _complex_letters(node: Node) -> frozenset[str]:
    """All its letters; beside an i, such as the x and y of x + iy, those that are complex by custom alone."""
    letters = symbols(node)
    if any(part.head == "constant" and part.value == "i" for part in walk(node)):
        return frozenset(letter for letter in letters if letter.partition("_")[0] in COMPLEX)
    return letters


def _read_power(node: Node, found: Facts) -> None:
    base, exponent = node.args
    if exponent.head == "number" and exponent.value.value.denominator == 1:
        if base.head == "number" and base.value.value.denominator == 1 and 1 < exponent.value.value < 20:
            size = base.value.value**exponent.value.value
            if found.largest < size <= LARGEST_WRITTEN:
                found.largest = int(size)
                found.written.add(size)
        return
    if exponent.head in ("div", "number") and not _has_no_kink(base):
        found.kinked = True
    if not is_literal(exponent) and _turns(base):
        found.whole |= symbols(exponent)


def _read_quotient(node: Node, found: Facts) -> None:
    over, under = node.args
    if over.head == under.head == "number" and under.value.value and len(found.written) < MOST_WRITTEN:
        found.written.add(over.value.value / under.value.value)


def _read_root(node: Node, found: Facts) -> None:
    found.kinked |= not _has_no_kink(node.args[0])


def _read_series(node: Node, found: Facts) -> None:
    found.series = True
    found.whole = found.whole.union(*map(symbols, node.args[2:]))


_READERS = {
    "call": _read_call,
    "pow": _read_power,
    "div": _read_quotient,
    "root": _read_root,
    "sum": _read_series,
    "product": _read_series,
}


def _has_no_kink(base: Node) -> bool:
    """Whether a root of it has no kink inside its domain: arithmetic with one letter, written once."""
    stack, letters = [base], 0
    while stack:
        node = stack.pop()
        letters += node.head == "symbol"
        if letters > 1 or node.head not in ("number", "constant", "symbol", "add", "neg", "mul", "div"):
            return False
        stack += node.args
    return True


def real_points(names: list[str], start: int, largest: int) -> Iterator[Point]:
    """TRIES points: in turn all positive, and some negative: each letter alone, then all but it, then any."""
    far = max(40, 2 * largest)
    sizes = ((1, 3), (0, 1), (6, 13), (far, 2 * far), (3, 6), (0, 1), (1, 2), (13, 40))
    for turn in range(TRIES):
        point: Point = {}
        for at, name in enumerate(names):
            bits = draw(start ^ _mark(name))
            offset = 0 if len(names) == 1 or turn < 2 else bits >> 8
            low, high = sizes[(turn // 2 + offset) % (4 if turn < 8 else 8)]
            drawn = draw(bits + turn)
            under = DENOMINATORS[drawn % 12]
            over = low * under + 1 + (drawn >> 8) % ((high - low) * under - 1)
            negative = turn % 2 and _is_negative(at, turn // 2, len(names), bits)
            point[name] = (-over if negative else over, under)
        yield point


def _is_negative(at: int, turn: int, letters: int, bits: int) -> bool:
    if turn < letters or letters == 1:
        return turn == at or letters == 1
    return turn != at + letters if turn < 2 * letters else bool(bits >> turn & 1)


def whole_points(names: list[str], letters: frozenset[str], start: int, highest: int) -> Iterator[Point]:
    """12 points where these letters are natural numbers, of all residues modulo 12, to about `highest`."""
    turns = (0, 1, 2, 3, highest // 12, 1, 0, 2, 5, 1, highest // 12, 0)
    for at, point in enumerate(islice(real_points(names, start, 1), 12)):
        for name in letters:
            bits = draw(start ^ _mark(name))
            step, offset = (1, 5, 7, 11)[bits % 4], (bits >> 8) % 12
            point[name] = (12 * turns[(at + (bits >> 16)) % 12] + (at * step + offset) % 12 + 1, 1)
        yield point


def complex_points(names: list[str], letters: set[str], start: int, largest: int) -> Iterator[Point]:
    """Points where these letters are complex numbers, in all quadrants."""
    for turn, point in enumerate(real_points(names, start, largest)):
        for name in letters.intersection(point):  # not those that a sum binds
            drawn = draw(start ^ _mark(name) ^ turn)
            under = DENOMINATORS[drawn % 12]
            over = 1 + (drawn >> 8) % (4 * under)
            point[name] = (*point[name], over if drawn >> 32 & 1 else -over, under)
        yield point


def written_points(names: list[str], start: int, written: set[Fraction]) -> Iterator[Point]:
    """Points where one letter, then all, are a number that is written or a small whole one: steps and spikes lie there.

    At most three for each number.
    """
    values = sorted(written | {Fraction(at) for at in (-2, -1, 0, 1, 2, 3)})
    for at, (value, point) in enumerate(zip(values, cycle([*real_points(names, start, 1)]), strict=False)):
        parts = value.numerator, value.denominator
        yield dict.fromkeys(names, parts)
        yield dict.fromkeys(names, (-value.numerator, value.denominator))
        if len(names) > 1:
            yield {**point, names[at % len(names)]: parts}


def divisible_points(
    names: list[str], letters: frozenset[str], start: int, written: set[Fraction], highest: int
) -> Iterator[Point]:
    """Points where these letters are whole multiples of one number, of each that is written and of drawn ones, and
    off such multiples: there lie the steps of a floor, of a remainder, of a greatest common divisor."""
    steps = sorted({abs(value.numerator) for value in written} | {value.denominator for value in written})
    steps = [step for step in steps if step > 1][:MOST_WRITTEN]
    common = lcm(*steps) if steps else 1
    drawn = [2 * draw(start + at) % 47 + 13 for at in range(3)]
    for at, step in enumerate([*steps, *([common] if 1 < common <= 10**9 else []), *drawn]):
        for is_off, point in enumerate(islice(real_points(names, start + at, 1), 2)):
            for name in letters:
                bits = draw(start ^ _mark(name) ^ at)
                value = step * (1 + bits % 7) + (is_off and (bits >> 8) % step)
                point[name] = (value, 1)
            if all(point[name][0] <= highest for name in letters):
                yield point


def _turns(base: Node) -> bool:
    """Whether a power of it has a value at whole exponents alone: a negative number, or i."""
    if base.head == "neg" or (base.head == "constant" and base.value == "i"):
        return not symbols(base)
    return base.head == "number" and bool(base.value.value < 0)


def shown(point: Point) -> str:
    """A point as a message shows it."""
    return ", ".join(f"{name} = {_shown(value)}" for name, value in sorted(point.items()))


def _shown(value: tuple[int, ...]) -> str:
    real = str(Fraction(*value[:2]))
    if len(value) == 2:
        return real
    imaginary = Fraction(*value[2:])
    return f"{real} {'-' if imaginary < 0 else '+'} {abs(imaginary)}i"
