"""The program of the process that holds sympy: it reads jobs from its input and answers each; `calculus` starts it.

A job is two trees as JSON data. They become sympy's objects through the tables below and in no other way: no text of a
job is ever read as an expression, and names arrive as numbers. It imports nothing of this project, so that it runs from
a checkout as from an installed package.

Frames: four bytes of length, big-endian, then JSON. The first frame it writes is {"ready": true} or {"missing": why}.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import IO, Any, NamedTuple

MEMORY = 1 << 30
MOST_FRAME = 1 << 20
MOST_EXPONENT = 5_000  # of a number; 2^5000 has 1,500 digits
MOST_FACTORIAL = 2_000
DIGITS = 30  # to which values are computed
AGREE = 1e-20  # relative difference below which two values count as the same
ROUGH = 1e-6  # the same for values by quadrature and summation
POINTS = 8
GUARD_SECONDS = 2  # of processor time beyond the deadline, should the parent not end this process

Wire = list[Any]  # [head, value, [arguments]]
Outcome = tuple[str, str]


class UndecidedError(Exception):
    """Why nothing can be said."""


class Model(NamedTuple):
    """What is assumed of the letters: real (or positive, for a proof), and which are positive integers."""

    whole: frozenset[int]
    positive: bool


# Reading and answering


def read_frame(stream: IO[bytes]) -> Any:
    """The next frame's data; None at the end of the stream, even within a frame. ValueError for what is no frame."""
    head = _read(stream, 4)
    size = int.from_bytes(head, "big")
    if size > MOST_FRAME:
        raise ValueError(f"a frame of {size} bytes")
    data = _read(stream, size)
    return json.loads(data) if len(head) == 4 and len(data) == size else None


def _read(stream: IO[bytes], size: int) -> bytes:
    data = b""
    while len(data) < size and (more := stream.read(size - len(data))):
        data += more
    return data


def write_frame(stream: IO[bytes], data: Any) -> None:
    """Write one frame."""
    text = json.dumps(data).encode()
    rest = memoryview(len(text).to_bytes(4, "big") + text)
    while rest:
        rest = rest[stream.write(rest) :]


def limit_self() -> None:
    """Memory, files and core dumps, where the system has such limits."""
    with suppress(ImportError):
        import resource

        for kind, most in (("RLIMIT_AS", MEMORY), ("RLIMIT_CORE", 0), ("RLIMIT_FSIZE", 0)):
            with suppress(AttributeError, ValueError, OSError):
                resource.setrlimit(getattr(resource, kind), (most, most))


def limit_processor(seconds: float) -> None:
    """The second line behind the parent's deadline: processor time from now on, after which the system ends this."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime + seconds) + GUARD_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def die_with_parent(descriptor: int) -> None:
    """Have the system end this process in mid-job when the parent is gone, that is when the input's other end closes.

    PR_SET_PDEATHSIG would not do: it fires when the thread that started this process ends, while others still use it.
    """
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        signal.signal(signal.SIGIO, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGIO})
        fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)


def live_on(descriptor: int) -> None:
    """Between jobs the input is read, and its end is seen there."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) & ~os.O_ASYNC)


def main() -> None:
    """Answer jobs until the input ends."""
    jobs, answers = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 0)
    os.dup2(silence, 1)  # what a library prints is no answer
    limit_self()
    sys.path.extend(sys.argv[1:])
    try:
        import sympy  # noqa: F401
    except Exception as problem:
        write_frame(answers, {"missing": f"{type(problem).__name__}: {problem}"[:500]})
        return
    write_frame(answers, {"ready": True})
    while (job := read_frame(jobs)) is not None:
        limit_processor(job["seconds"])
        die_with_parent(jobs.fileno())
        answer = answer_to(job)
        live_on(jobs.fileno())
        write_frame(answers, answer)
        if answer["last"]:
            return


def answer_to(job: dict[str, Any]) -> dict[str, Any]:
    """The frame that answers a job; `last` where this process should not be used again."""
    from sympy.core.cache import clear_cache
    from sympy.core.random import seed

    clear_cache()  # so that an answer does not depend on what was asked before
    seed(0)
    last = False
    try:
        outcome, why = decide(job)
    except UndecidedError as problem:
        outcome, why = "undecided", str(problem)
    except (MemoryError, RecursionError) as problem:
        what = "more memory" if isinstance(problem, MemoryError) else "a deeper stack"
        outcome, why, last = "undecided", f"sympy needs {what} than it may have", True
    except Exception as problem:
        outcome, why = "undecided", f"sympy cannot evaluate it ({type(problem).__name__})"
    return {"outcome": outcome, "why": why, "last": last}


# From a job's data to sympy's objects


class Builder:
    """Makes sympy's objects of trees; letters, functions and the base of a bare `log` are the same in all of them."""

    def __init__(self, model: Model, log_base: int | None) -> None:
        import sympy

        self.s: Any = sympy
        self.model = model
        self.log_base = log_base
        self.free: dict[int, Any] = {}
        self.unknown: dict[int, Any] = {}
        self.bound = 0

    @cached_property
    def constants(self) -> dict[str, Any]:
        s = self.s
        return {"pi": s.pi, "e": s.E, "i": s.I, "inf": s.oo}

    @cached_property
    def functions(self) -> dict[str, tuple[Any, tuple[int, ...]]]:
        """By name: the constructor, and how many arguments it takes."""
        s = self.s
        trig, hyperbolic = ("sin", "cos", "tan", "sec", "csc", "cot"), ("sinh", "cosh", "tanh")
        one = {
            **{name: getattr(s, name) for name in (*trig, *hyperbolic, "coth", "sech", "csch")},
            **{f"arc{name}": getattr(s, f"a{name}") for name in trig[:5]},
            **{f"ar{name}": getattr(s, f"a{name}") for name in hyperbolic},
            **{"exp": s.exp, "ln": s.log, "abs": s.Abs, "floor": s.floor, "ceil": s.ceiling, "sgn": s.sign},
            **{"gamma": s.gamma, "re": s.re, "im": s.im, "conj": s.conjugate, "arg": s.arg, "erf": s.erf},
            "arccot": lambda x: s.pi / 2 - s.atan(x),  # the continuous one, as in textbooks
            "factorial": lambda n: s.factorial(self.modest(n, MOST_FACTORIAL)),
            "double_factorial": lambda n: s.factorial2(self.modest(n, MOST_FACTORIAL)),
        }
        several = {
            "log": (self.log, (1, 2)),
            "binom": (lambda n, k: s.binomial(self.modest(n, MOST_FACTORIAL), k), (2,)),
            "mod": (s.Mod, (2,)),
            "min": (s.Min, tuple(range(1, 9))),
            "max": (s.Max, tuple(range(1, 9))),
        }
        return {**{name: (make, (1,)) for name, make in one.items()}, **several}

    def log(self, x: Any, base: Any = None) -> Any:
        base = self.log_base if base is None else base
        return self.s.log(x) if base is None else self.s.log(x) / self.s.log(base)

    def modest(self, x: Any, most: int) -> Any:
        if x.is_number and not abs(x) <= most:
            raise UndecidedError(f"it holds a factorial or an exponent above {most}")
        return x

    def build(self, wire: Wire, scope: dict[int, Any]) -> Any:
        """The object a tree stands for, with sums, integrals, limits and derivatives not yet evaluated."""
        head, value, args = wire
        if head in ("sum", "product", "integral", "limit", "derivative"):
            return getattr(self, f"_{head}")(value, args, scope)
        if head == "symbol":
            return scope[value] if value in scope else self.letter(value)
        parts = [self.build(arg, scope) for arg in args]
        if head == "number":
            top, _, bottom = value.partition("/")
            return self.s.Rational(int(top), int(bottom or 1))
        if head == "constant":
            return self.constants[value]
        if head == "apply":
            name = self.unknown.setdefault(value, self.s.Function(f"f{value}", real=True))
            return name(*parts)
        if head == "call":
            return self.call(value, parts)
        return self.arithmetic(head, parts)

    def letter(self, index: int) -> Any:
        if index not in self.free:
            known = {"integer": True, "positive": True} if index in self.model.whole else {"real": True}
            known |= {"positive": True} if self.model.positive else {}
            self.free[index] = self.s.Symbol(f"x{index}", **known)
        return self.free[index]

    def call(self, name: str, parts: list[Any]) -> Any:
        if name not in self.functions or len(parts) not in self.functions[name][1]:
            raise UndecidedError(f"the function {name} of {len(parts)} is not handed to sympy")
        return self.functions[name][0](*parts)

    def arithmetic(self, head: str, parts: list[Any]) -> Any:
        if head == "add":
            return self.s.Add(*parts)
        if head == "mul":
            return self.s.Mul(*parts)
        if head == "neg":
            return -parts[0]
        x, y = parts
        if head == "div":
            return x / y
        return self.power(x, 1 / y if head == "root" else y)

    def power(self, base: Any, exponent: Any) -> Any:
        """The real power where the base is real: the cube root of -8 is -2."""
        s = self.s
        if base.is_number and exponent.is_number:
            self.modest(exponent, MOST_EXPONENT)
        odd_root = exponent.is_Rational and exponent.q > 1 and exponent.q % 2
        if not odd_root or base.is_nonnegative or not base.is_extended_real:
            return base**exponent
        size = s.Abs(base) ** exponent
        return s.sign(base) * size if exponent.p % 2 else size

    # What binds a letter

    def bind(self, wire: Wire, scope: dict[int, Any], **known: bool) -> tuple[Any, dict[int, Any]]:
        """A letter of its own for what a sum or integral binds, and the scope in which it stands for the name."""
        if wire[0] != "symbol":
            raise UndecidedError(f"a {wire[0]} stands where a letter should")
        self.bound += 1
        letter = self.s.Symbol(f"t{self.bound}", **known)
        return letter, {**scope, wire[1]: letter}

    def _over(self, args: list[Wire], scope: dict[int, Any], constructor: Any) -> Any:
        """A sum or product. From high to low there is nothing to add, and sympy has another convention."""
        if len(args) != 4:
            raise UndecidedError("a sum or product without bounds")
        low, high = (self.build(arg, scope) for arg in args[2:])
        for end in (low, high):
            if end.is_number and not (end.is_Integer or end in (self.s.oo, -self.s.oo)):
                raise UndecidedError("a bound of a sum or product is no integer")
        if low.is_number and high.is_number and high < low:
            return self.s.Integer(0 if constructor is self.s.Sum else 1)
        known = {"positive": True} if low.is_positive else {"nonnegative": True} if low.is_nonnegative else {}
        letter, inner = self.bind(args[1], scope, integer=True, **known)
        body = self.build(args[0], inner)
        if constructor is self.s.Product and high == self.s.oo:
            last = self.s.Dummy(integer=True, positive=True)
            return self.s.Limit(constructor(body, (letter, low, last)), last, high, "-")
        return constructor(body, (letter, low, high))

    def _sum(self, value: Any, args: list[Wire], scope: dict[int, Any]) -> Any:
        return self._over(args, scope, self.s.Sum)

    def _product(self, value: Any, args: list[Wire], scope: dict[int, Any]) -> Any:
        return self._over(args, scope, self.s.Product)

    def _integral(self, value: Any, args: list[Wire], scope: dict[int, Any]) -> Any:
        if len(args) == 2:
            return self.s.Integral(self.build(args[0], scope), self.variable(args[1], scope))
        low, high = (self.build(arg, scope) for arg in args[2:])
        known = {"positive": True} if low.is_nonnegative and high.is_nonnegative else {"real": True}
        letter, inner = self.bind(args[1], scope, **known)
        return self.s.Integral(self.build(args[0], inner), (letter, low, high))

    def _limit(self, value: str, args: list[Wire], scope: dict[int, Any]) -> Any:
        point = self.build(args[2], scope)
        known = {"positive": True} if point == self.s.oo else {"real": True}
        letter, inner = self.bind(args[1], scope, **known)
        side = value or ("-" if point == self.s.oo else "+" if point == -self.s.oo else "+-")
        return self.s.Limit(self.build(args[0], inner), letter, point, side)

    def _derivative(self, value: int, args: list[Wire], scope: dict[int, Any]) -> Any:
        return self.s.Derivative(self.build(args[0], scope), (self.variable(args[1], scope), value))

    def variable(self, wire: Wire, scope: dict[int, Any]) -> Any:
        if wire[0] != "symbol":
            raise UndecidedError(f"a {wire[0]} stands where a letter should")
        letter = scope.get(wire[1])
        return self.letter(wire[1]) if letter is None else letter


def nodes(wire: Wire) -> Iterator[Wire]:
    """The tree and all below it."""
    stack = [wire]
    while stack:
        wire = stack.pop()
        yield wire
        stack.extend(wire[2])


def letters(wires: list[Wire]) -> frozenset[int]:
    return frozenset(node[1] for wire in wires for node in nodes(wire) if node[0] == "symbol")


def whole_letters(wires: list[Wire]) -> frozenset[int]:
    """The letters that stand for positive integers: in a bound of a sum, in n!, binom(n, k) or (-1)^n."""
    found: frozenset[int] = frozenset()
    for node in (node for wire in wires for node in nodes(wire)):
        head, value, args = node
        if head in ("sum", "product"):
            found |= letters(args[2:])
        elif head == "call" and value in ("factorial", "double_factorial", "binom"):
            found |= letters(args)
        elif head == "pow" and below_zero(args[0]):
            found |= letters(args[1:])
    return found


def below_zero(wire: Wire) -> bool:
    """Whether it is written as a negative number."""
    head, value, args = wire
    return (head == "number" and value.startswith("-")) or (head == "neg" and not letters(args))


# Deciding


def decide(job: dict[str, Any]) -> Outcome:
    """Both readings of `log` without a base are tried: natural, and base 10. Either may make the trees equal."""
    wires = [job["a"], job["b"]]
    bare = any(node[:2] == ["call", "log"] and len(node[2]) == 1 for wire in wires for node in nodes(wire))
    said = []
    for base in (None, 10) if bare else (None,):
        said.append(Comparison(job, base).outcome())
        if said[-1][0] == "equal":
            return said[-1]
    return next((answer for answer in said if answer[0] == "undecided"), said[0])


class Comparison:
    """Two trees under one reading."""

    def __init__(self, job: dict[str, Any], log_base: int | None) -> None:
        import sympy

        self.s: Any = sympy
        self.job = job
        self.log_base = log_base
        self.wires: list[Wire] = [job["a"], job["b"]]
        self.whole = whole_letters(self.wires)

    def outcome(self) -> Outcome:
        pair = self.built(positive=False)
        values = [evaluated(side) for side in pair]
        if self.infinite(values):
            return ("equal", "both are infinite") if values[0] == values[1] else ("different", "one value is infinite")
        rows = self.rows(pair, values)
        seen = self.seen(rows)
        if seen == "different" and self.job["rounded"]:
            raise UndecidedError("a decimal within stands for a range of values")
        if seen:
            return seen, f"the values {'agree within the tolerance' if seen == 'equal' else 'differ'}"
        if proved(values, bool(rows)) or (rows and proved([evaluated(e) for e in self.built(positive=True)], True)):
            return "equal", "sympy evaluates both, and their difference is 0"
        if rows:
            raise UndecidedError("the values agree where they were computed, but sympy does not prove more")
        raise UndecidedError("sympy evaluates neither to a form in which the two can be compared")

    def built(self, positive: bool) -> list[Any]:
        builder = Builder(Model(self.whole, positive), self.log_base)
        return without_constant([builder.build(wire, {}) for wire in self.wires])

    def infinite(self, values: list[Any]) -> bool:
        ends = (self.s.oo, -self.s.oo)
        return any(v in ends for v in values) and all(v in ends or (v.is_number and v.is_finite) for v in values)

    def points_of(self, values: list[Any]) -> list[dict[Any, Any]]:
        """Seeded by the job, rational, on both sides of 0 and of 1; whole numbers for the letters that need them."""
        names = sorted(set().union(*(value.free_symbols for value in values)), key=lambda letter: letter.name)
        if not names:
            return [{}]
        text = json.dumps(self.wires).encode()
        return [
            {letter: self.coordinate(letter, hashlib.sha256(b"%d %d " % (row, at) + text).digest(), row)
             for at, letter in enumerate(names)}
            for row in range(POINTS)
        ]  # fmt: skip

    def coordinate(self, letter: Any, noise: bytes, row: int) -> Any:
        if letter.is_integer:
            return self.s.Integer(3 + row + noise[0] % 8)
        size = self.s.Rational(1 + int.from_bytes(noise[:2], "big"), 65537) * (1, 1, 3, 7)[row % 4]
        return -size if row >= POINTS // 2 else size

    def rows(self, pair: list[Any], values: list[Any]) -> list[list[Value]]:
        """Both values at each point where both have one: the points where both are real, if there are any."""
        both = list(zip(pair, values, strict=True))
        rows = [([value_of(tree, value, point) for tree, value in both], point) for point in self.points_of(values)]
        found = [([value for value in row if value], point) for row, point in rows if None not in row]
        found = [(row, point) for row, point in found if all(value.real for value in row)] or found
        for row, point in found[:2]:
            for tree, value in zip(pair, row, strict=True):
                check(tree, value, point)
        return [row for row, _ in found]

    def seen(self, rows: list[list[Value]]) -> str:
        """What values show: "different"; "equal", but only within a tolerance; or nothing.

        The tolerance is half a unit where a tree is one rounded decimal, or `rel_tol`.
        """
        half, relative = (self.s.Rational(*map(int, self.job[key].split("/"))) for key in ("half", "rel_tol"))
        if not half and not relative:
            return "different" if any(x.apart(y) for x, y in rows) else ""
        slack = [max(half, relative * max(abs(x.number), abs(y.number))) for x, y in rows]
        gaps = [(abs(x.number - y.number), x.error + y.error) for x, y in rows]
        if any(gap - error > most for (gap, error), most in zip(gaps, slack, strict=True)):
            return "different"
        within = all(gap + error <= most for (gap, error), most in zip(gaps, slack, strict=True))
        return "equal" if rows and within else ""


def without_constant(pair: list[Any]) -> list[Any]:
    """An indefinite integral stands for all antiderivatives: two are compared by their derivatives."""
    import sympy

    indefinite = [{node for node in side.atoms(sympy.Integral) if len(node.limits[0]) == 1} for side in pair]
    if not any(indefinite):
        return pair
    letters = {node.limits[0][0] for found in indefinite for node in found}
    if len(letters) > 1:
        raise UndecidedError("it holds indefinite integrals over several letters")
    letter = letters.pop()
    for side, found in zip(pair, indefinite, strict=True):
        terms = [term for term in sympy.Add.make_args(side) if found and term.has(*found)]
        if any(term.as_coeff_Mul()[1] not in found for term in terms):
            raise UndecidedError("an indefinite integral stands within another expression")
        slopes = [side.diff(name) for name in side.free_symbols - {letter}]
        if not found and not any(slope.is_number and slope != 0 for slope in slopes):
            raise UndecidedError("one side is an indefinite integral, the other has no constant of integration")
    return [side.diff(letter) for side in pair]


def evaluated(tree: Any) -> Any:
    """The tree with its sums, integrals, limits and derivatives carried out, as far as sympy can."""
    import sympy

    for series in tree.atoms(sympy.Sum):
        if not series.free_symbols:
            diverges(series)
    value = tree.doit()
    if value.has(sympy.nan, sympy.zoo, sympy.AccumBounds):
        raise UndecidedError("it has no value that sympy knows")
    return value


def diverges(series: Any) -> None:
    """UndecidedError where a series has no sum, finite or infinite."""
    with suppress(NotImplementedError, TypeError, AttributeError):
        if series.is_convergent() == False and not series.doit().is_infinite:  # noqa: E712 - sympy's own false
            raise UndecidedError("a series diverges")


def open_nodes(value: Any) -> bool:
    """Whether anything is left in it that sympy could not evaluate."""
    import sympy

    return bool(value.has(sympy.Sum, sympy.Product, sympy.Integral, sympy.Limit, sympy.Derivative, sympy.Subs))


class Value(NamedTuple):
    """A complex number, how far off it may be, whether it is real, and whether it comes from a rough method."""

    number: Any
    error: Any
    real: bool
    rough: bool

    def apart(self, other: Value) -> bool:
        """Whether two values differ by more than they may be wrong."""
        size = max(abs(self.number), abs(other.number))
        return bool(abs(self.number - other.number) > self.error + other.error + size * AGREE)


def value_at(expression: Any, point: dict[Any, Any], digits: int = DIGITS) -> Value | None:
    """Its value at a point; None where it has none, or none that is accurate."""
    import sympy

    at = expression.subs(point)
    rough = open_nodes(at)
    if at.free_symbols or at.has(sympy.Limit, sympy.Derivative, sympy.Subs, sympy.core.function.AppliedUndef):
        return None
    if any(series.is_convergent() is not sympy.true for series in at.atoms(sympy.Sum)):
        return None
    number = at.evalf(15 if rough else digits, maxn=200)
    if not number.is_number or number.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo) or open_nodes(number):
        return None
    real, imaginary = number.as_real_imag()
    if not (real.is_Float or real.is_Integer or real.is_Rational) or not imaginary.is_comparable:
        return None
    bits = min((part._prec for part in (real, imaginary) if part.is_Float and part != 0), default=200)
    if rough and bits < 40:
        return None
    error = abs(number) * (ROUGH if rough else sympy.Float(2) ** (3 - bits))
    return Value(number, error, bool(imaginary == 0 or (imaginary.is_Float and imaginary._prec < 9)), rough)


def value_of(tree: Any, evaluated: Any, point: dict[Any, Any]) -> Value | None:
    """The value at a point; by summation and quadrature where the tree could not be evaluated."""
    return value_at(evaluated, point) or (value_at(tree, point) if open_nodes(evaluated) else None)


def check(tree: Any, value: Value, point: dict[Any, Any]) -> None:
    """UndecidedError where the tree's integrals and sums, evaluated as numbers, contradict sympy's closed form."""
    import sympy

    if not tree.has(sympy.Integral, sympy.Sum) or tree.has(sympy.Limit, sympy.Derivative):
        return
    with suppress(ValueError, NotImplementedError, TypeError, AttributeError, ZeroDivisionError):
        other = value_at(tree, point)
        if other is not None and abs(other.number - value.number) > ROUGH * max(abs(value.number), 1e-3):
            raise UndecidedError("sympy's closed form and its numerical value contradict each other")


def proved(values: list[Any], somewhere: bool) -> bool:
    """Whether the difference is identically 0: where both are evaluated, if they have values somewhere."""
    import sympy

    difference = values[0] - values[1]
    if difference != 0 and difference.has(sympy.Piecewise):
        folded = sympy.piecewise_fold(difference)
        branches = [branch for branch, _ in folded.args] if isinstance(folded, sympy.Piecewise) else [folded]
        evaluated_ones = [branch for branch in branches if not open_nodes(branch)]
        return somewhere and bool(evaluated_ones) and all(map(vanishes, evaluated_ones))
    return vanishes(difference)


def vanishes(difference: Any) -> bool:
    """Whether it simplifies to 0."""
    import sympy

    if difference == 0 or difference.has(sympy.nan):
        return bool(difference == 0)
    for attempt in (sympy.expand, sympy.simplify, lambda e: sympy.simplify(sympy.expand_log(sympy.expand_func(e)))):
        difference = attempt(difference)
        if difference == 0:
            return True
    if difference.free_symbols or open_nodes(difference) or not difference.is_algebraic:
        return False
    return difference.equals(0) is True


if __name__ == "__main__":
    main()
