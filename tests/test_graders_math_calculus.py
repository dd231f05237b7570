"""Sums, integrals, limits and derivatives by sympy, in real processes that are killed when they overrun."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from graders.grade import GradingError
from graders.math.calculus import calculus as calculus_module
from graders.math.calculus import child as calculus_child
from graders.math.calculus.calculus import Calculus
from graders.math.calculus.job import as_job, needs_calculus
from graders.math.policy import Policy
from graders.math.reading.units import Unit
from graders.math.tree import Node, Numeral, Verdict, number, symbol

pytest.importorskip("sympy")
ROOT = Path(__file__).parents[1]
LONG = 60  # seconds: a deadline that no job of these tests meets, on any machine


def node(head: str) -> Callable[..., Node]:
    return lambda *args: Node(head, args)


add, mul, neg, div, power, root = map(node, ("add", "mul", "neg", "div", "pow", "root"))
total, product, integral = map(node, ("sum", "product", "integral"))
pi, e, imaginary, infinity = (Node("constant", (), name) for name in ("pi", "e", "i", "inf"))
a, b, C, i, k, n, r, t, x, y = map(symbol, "abCiknrtxy")


def call(name: str, *args: Node) -> Node:
    return Node("call", args, name)


def sin(of: Node) -> Node:
    return call("sin", of)


def cos(of: Node) -> Node:
    return call("cos", of)


def num(value: int | str) -> Node:
    return number(Fraction(value))


def limit(body: Node, over: Node, point: Node, side: str = "") -> Node:
    return Node("limit", (body, over, point), side)


def derivative(body: Node, over: Node = x, order: int = 1) -> Node:
    return Node("derivative", (body, over), order)


def decimal(text: str) -> Node:
    digits = text.replace(".", "").lstrip("0")
    return Node("number", (), Numeral(Fraction(text), len(text.partition(".")[2]), len(digits)))


def unknown(of: Node) -> Node:
    return Node("apply", (of,), "f")


zero, one, two, three = map(num, range(4))
square = power(x, two)
gauss = total(k, k, one, n)
thirds = integral(square, x, zero, one)
series = total(power(r, k), k, zero, infinity)
BOMB = integral(div(power(sin(power(x, x)), cos(x)), add(one, power(e, sin(square)))), x, zero, infinity)


@pytest.fixture(scope="module")
def sympy_child() -> Iterator[Calculus]:
    with Calculus() as calculus:
        yield calculus


EQUAL = [
    (gauss, div(mul(n, add(n, one)), two)),
    (total(i, i, one, n), div(mul(n, add(n, one)), two)),
    (total(imaginary, imaginary, one, n), div(mul(n, add(n, one)), two)),
    (total(div(one, power(k, two)), k, one, infinity), div(power(pi, two), num(6))),
    (total(call("binom", n, k), k, zero, n), power(two, n)),
    (total(div(one, k), k, one, infinity), infinity),
    (total(k, k, three, one), zero),
    (product(k, k, one, n), call("factorial", n)),
    (series, div(one, add(one, neg(r)))),
    (thirds, num("1/3")),
    (thirds, decimal("0.33333")),
    (integral(integral(mul(x, y), x, zero, one), y, zero, two), one),
    (integral(power(e, neg(square)), x, neg(infinity), infinity), root(pi, two)),
    (integral(root(x, three), x, num(-1), one), zero),
    (integral(div(one, t), t, one, x), call("ln", x)),
    (integral(cos(mul(n, x)), x, zero, div(pi, two)), div(sin(div(mul(n, pi), two)), n)),
    (derivative(sin(square)), mul(two, x, cos(square))),
    (derivative(power(x, num(5)), x, 3), mul(num(60), square)),
    (derivative(call("ln", square)), div(two, x)),
    (derivative(integral(sin(power(t, two)), t, zero, x)), sin(square)),
    (derivative(mul(x, unknown(x))), add(unknown(x), mul(x, derivative(unknown(x))))),
    (limit(div(sin(x), x), x, zero), one),
    (limit(div(call("abs", x), x), x, zero, "-"), num(-1)),
    (limit(power(add(one, div(one, n)), n), n, infinity), e),
    (limit(square, x, infinity), infinity),
    (integral(cos(x), x, zero, Node("quantity", (num(30),), Unit("deg", (("angle", 1),), Fraction(1)))), num("1/2")),
]

DIFFERENT = [
    (gauss, div(mul(n, add(n, two)), two)),
    (total(div(one, power(k, two)), k, one, infinity), div(power(pi, two), num(8))),
    (series, div(one, add(one, r))),
    (thirds, num("1/2")),
    (thirds, decimal("0.33334")),
    (thirds, decimal("0.3333")),
    (integral(sin(power(x, three)), x, zero, one), num("1/4")),
    (integral(mul(two, x), x), add(power(x, three), C)),
    (derivative(sin(square)), mul(two, cos(square))),
    (limit(div(sin(x), x), x, zero), zero),
    (limit(square, x, infinity), num(5)),
    (mul(num("1/10000000000000000000"), thirds), mul(num("1/10000000000000000001"), thirds)),
]

UNDECIDED = [
    (limit(div(call("abs", x), x), x, zero), one),  # it has none
    (limit(sin(div(one, x)), x, zero), zero),
    (total(power(neg(one), k), k, zero, infinity), num("1/2")),
    (integral(div(one, x), x, num(-1), one), zero),
    (integral(mul(two, x), x), square),  # no constant of integration
    (power(integral(x, x), two), C),
    (total(k, k, one, num("5/2")), three),
    (derivative(unknown(x)), unknown(x)),  # of an unknown function no value can be computed
    (mul(decimal("0.33333"), thirds), div(thirds, three)),  # a decimal within stands for a range
    (thirds, Node("matrix", (Node("row", (one,)),))),
    (Node("derivative", (x,), 1), one),
    (derivative(x, two), one),
    (integral(x, one), x),
    (derivative(square, x, 11), zero),
    (total(x, x), zero),
]


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_what_is_the_same_is_equal_from_both_sides(sympy_child: Calculus, left: Node, right: Node) -> None:
    assert sympy_child.decide(left, right, LONG).outcome == "equal"
    assert as_job(left, right) == as_job(right, left)


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_what_differs_is_different_from_both_sides(sympy_child: Calculus, left: Node, right: Node) -> None:
    verdict = sympy_child.decide(left, right, LONG)
    assert verdict.outcome == "different"
    assert sympy_child.decide(right, left, LONG) == verdict


@pytest.mark.parametrize(("left", "right"), UNDECIDED)
def test_what_cannot_be_decided_says_why(sympy_child: Calculus, left: Node, right: Node) -> None:
    verdict = sympy_child.decide(left, right, LONG)
    assert verdict.outcome == "undecided"
    assert verdict.step == "calculus"
    assert verdict.why


CONSTANT_OF_INTEGRATION = [
    (integral(mul(two, x), x), add(square, C), "equal"),
    (integral(mul(two, x), x), add(square, neg(mul(two, C))), "equal"),
    (integral(mul(x, sin(x)), x), integral(mul(sin(x), x), x), "equal"),
    (integral(div(one, x), x), add(call("ln", x), C), "equal"),
    (integral(div(one, x), x), add(call("ln", call("abs", x)), C), "equal"),
    (integral(div(one, x), x), add(call("ln", x), x, C), "different"),
]


@pytest.mark.parametrize(("left", "right", "outcome"), CONSTANT_OF_INTEGRATION)
def test_an_indefinite_integral_stands_for_all_antiderivatives(
    sympy_child: Calculus, left: Node, right: Node, outcome: str
) -> None:
    assert sympy_child.decide(left, right, LONG).outcome == outcome


def test_a_closed_form_that_its_own_numbers_contradict_is_no_verdict() -> None:
    import sympy

    letter = sympy.Symbol("x", positive=True)
    for tree in (sympy.Integral(letter**2, (letter, 0, 1)), sympy.Sum(1 / letter**2, (letter, 1, sympy.oo))):
        right = calculus_child.value_at(tree.doit(), {})
        wrong = calculus_child.value_at(tree.doit() + sympy.Rational(1, 1000), {})
        assert right is not None
        assert wrong is not None
        calculus_child.check(tree, right, {})
        with pytest.raises(calculus_child.UndecidedError, match="contradict"):
            calculus_child.check(tree, wrong, {})


def test_a_bare_log_may_be_natural_or_of_base_ten(sympy_child: Calculus) -> None:
    tenth = derivative(call("log", x))
    for right, outcome in [
        (div(one, x), "equal"),
        (div(one, mul(x, call("ln", num(10)))), "equal"),
        (div(one, mul(x, call("ln", two))), "different"),
    ]:
        assert sympy_child.decide(tenth, right, LONG).outcome == outcome


def test_the_policy_says_how_near_is_near_enough(sympy_child: Calculus) -> None:
    assert sympy_child.decide(thirds, decimal("0.333"), LONG, Policy(digits=3)).outcome == "equal"
    assert sympy_child.decide(thirds, num("0.334"), LONG, Policy(rel_tol=0.01)).outcome == "equal"
    assert sympy_child.decide(thirds, num("0.334"), LONG, Policy(rel_tol=0.001)).outcome == "different"
    assert sympy_child.decide(thirds, decimal("0.33333333334"), LONG).outcome == "equal"  # within 1e-9
    assert sympy_child.decide(integral(power(x, x), x, zero, one), decimal("0.78343"), LONG).outcome == "equal"


def test_the_same_tree_needs_no_process() -> None:
    with Calculus() as calculus:
        assert calculus.decide(BOMB, BOMB).outcome == "equal"
        assert calculus.pids() == []


def deep(levels: int) -> Node:
    tree = gauss
    for _ in range(levels):
        tree = neg(tree)
    return tree


def doubled(times: int) -> Node:
    tree = gauss
    for _ in range(times):
        tree = add(tree, tree)
    return tree


@pytest.mark.parametrize(
    "tree",
    [
        deep(100),
        deep(100_000),
        doubled(60),
        add(*[x] * 500),
        num(10**300),
        num(f"1/{10**300}"),
        Node("number", (), Numeral(Fraction(1, 2), 10**9, 10**9)),
    ],
    ids=["deep", "very deep", "shared parts", "wide", "large", "small", "places"],
)
def test_what_is_too_large_is_not_handed_over(tree: Node) -> None:
    with Calculus() as calculus:
        assert calculus.decide(tree, one).outcome == "undecided"
        assert calculus.pids() == []


NINES = power(num(9), power(num(9), power(num(9), num(9))))
BOMBS = {
    "tower of powers": NINES,
    "factorial": call("factorial", num(10**7)),
    "binomial": call("binom", num(10**8), num(5 * 10**7)),
    "long sum": total(sin(power(k, three)), k, one, num(10**9)),
    "expansion": integral(power(add(x, one), num(5000)), x, zero, one),
    "integral": BOMB,
}


def test_bombs_end_by_the_deadline_and_the_next_job_is_answered() -> None:
    with Calculus() as calculus:
        for name, bomb in BOMBS.items():
            assert calculus.decide(bomb, num(7), 0.3).outcome == "undecided", name
        assert calculus.decide(gauss, one, LONG).outcome == "different"


def test_the_deadline_is_given_as_the_reason_and_leaves_no_process() -> None:
    with Calculus() as calculus:
        assert calculus.decide(BOMB, one, 0.2) == Verdict("undecided", "sympy did not answer within 0.2 s", "calculus")
        assert calculus.pids() == []


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_seconds_that_are_no_time_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        Calculus().decide(gauss, one, seconds)


def test_there_is_at_least_one_process() -> None:
    with pytest.raises(ValueError, match="workers"):
        Calculus(workers=0)


def test_many_threads_get_their_own_answers() -> None:
    def claim(number_of_it: int) -> tuple[Node, Node, str]:
        value = num(number_of_it)
        left = integral(mul(two, x), x, zero, value)
        right, outcome = [(power(value, two), "equal"), (num(number_of_it * number_of_it + 1), "different")][
            number_of_it % 2
        ]
        return (BOMB, one, "undecided") if number_of_it % 20 == 19 else (left, right, outcome)

    claims = [claim(at) for at in range(1, 60)]
    with Calculus(workers=2) as calculus, ThreadPoolExecutor(8) as threads:
        said = list(threads.map(lambda it: calculus.decide(it[0], it[1], 0.3 if it[0] is BOMB else LONG), claims))
    assert [verdict.outcome for verdict in said] == [outcome for _, _, outcome in claims]


def test_the_process_outlives_the_thread_that_started_it() -> None:
    with Calculus() as calculus:
        starter = threading.Thread(target=calculus.decide, args=(gauss, one, LONG))
        starter.start()
        starter.join()
        (first,) = calculus.pids()
        assert calculus.decide(gauss, two, LONG).outcome == "different"
        assert calculus.pids() == [first]


# What may happen to the process


def gone(pid: int, within: float = LONG) -> bool:
    """Whether a process has ended, or does so in time; one that nobody has reaped has ended."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


def begun(calculus: Calculus, threads: ThreadPoolExecutor) -> Any:
    """A job that does not end by itself, under way."""
    calculus.decide(gauss, one, LONG)  # so that the process is up
    job = threads.submit(calculus.decide, BOMB, one, LONG)
    time.sleep(0.2)
    assert not job.done()
    return job


def test_a_process_killed_from_outside_is_undecided_and_replaced() -> None:
    with Calculus() as calculus, ThreadPoolExecutor(1) as threads:
        job = begun(calculus, threads)
        os.kill(calculus.pids()[0], signal.SIGKILL)
        assert job.result().why == "sympy's process ended before it answered (signal 9)"
        assert job.result().outcome == "undecided"
        assert calculus.decide(gauss, one, LONG).outcome == "different"


def test_a_process_killed_between_jobs_is_replaced_unnoticed() -> None:
    with Calculus() as calculus:
        calculus.decide(gauss, one, LONG)
        (pid,) = calculus.pids()
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
        assert calculus.decide(gauss, one, LONG).outcome == "different"


def test_close_ends_a_job_that_is_under_way() -> None:
    calculus = Calculus()
    with ThreadPoolExecutor(1) as threads:
        job = begun(calculus, threads)
        (pid,) = calculus.pids()
        calculus.close()
        assert job.result().outcome == "undecided"
    assert gone(pid)
    assert calculus.pids() == []
    calculus.close()


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the limits and signals of Linux")


@LINUX
def test_memory_is_limited_and_its_end_is_a_reason() -> None:
    import resource

    with Calculus() as calculus:
        calculus.decide(gauss, one, LONG)
        (pid,) = calculus.pids()
        assert resource.prlimit(pid, resource.RLIMIT_AS) == (calculus_child.MEMORY, calculus_child.MEMORY)
        assert resource.prlimit(pid, resource.RLIMIT_CORE) == (0, 0)
        resource.prlimit(pid, resource.RLIMIT_AS, (90 << 20, 90 << 20))  # else the bomb takes its time
        bomb = integral(power(add(*map(symbol, "abcdefgh")), num(30)), a, zero, one)
        verdict = calculus.decide(bomb, one, LONG)
        assert verdict == Verdict("undecided", "sympy needs more memory than it may have", "calculus")
        assert gone(pid)
        assert calculus.decide(gauss, one, LONG).outcome == "different"


@LINUX
def test_processor_time_is_limited_behind_the_deadline() -> None:
    import resource

    with Calculus() as calculus:
        calculus.decide(gauss, one, 7)
        soft, _ = resource.prlimit(calculus.pids()[0], resource.RLIMIT_CPU)
        assert 7 < soft < 7 + LONG


HOST = """
import sys, threading, time
sys.path.insert(0, sys.argv[1])
from graders.math.calculus.calculus import Calculus
from graders.math.tree import Node, number, symbol
x = symbol("x")
bomb = Node("sum", (Node("call", (Node("pow", (x, number(3))),), "sin"), x, number(1), number(10**9)))
calculus = Calculus()
calculus.decide(Node("derivative", (x, x), 1), number(2), 60)
if sys.argv[2] == "busy":
    threading.Thread(target=calculus.decide, args=(bomb, number(1), 60), daemon=True).start()
    time.sleep(0.3)
print(calculus.pids()[0], flush=True)
if sys.argv[3] == "wait":
    time.sleep(60)
"""


@LINUX
@pytest.mark.parametrize("state", ["busy", "idle"])
@pytest.mark.parametrize("end", ["wait", "exit"])
def test_no_process_is_left_when_the_program_ends(state: str, end: str) -> None:
    command = [sys.executable, "-W", "error", "-c", HOST, str(ROOT), state, end]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        assert host.stderr is not None
        pid = int(host.stdout.readline())
        if end == "wait":
            host.kill()
        assert gone(pid, 20)
        assert host.stderr.read() == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_copy_made_by_fork_uses_a_process_of_its_own(sympy_child: Calculus) -> None:
    sympy_child.decide(gauss, one, LONG)
    pids = sympy_child.pids()
    copy = os.fork()
    if not copy:
        try:
            fine = sympy_child.pids() == [] and sympy_child.decide(gauss, one, LONG).outcome == "different"
            sympy_child.close()
            os._exit(0 if fine else 1)
        finally:
            os._exit(2)
    assert os.waitpid(copy, 0)[1] == 0
    assert sympy_child.pids() == pids
    assert sympy_child.decide(gauss, one, LONG).outcome == "different"


# The channel


@pytest.mark.parametrize(
    "program",
    [
        "import sys; sys.stdout.buffer.write(b'\\xff' * 8)",
        "import sys; sys.stdout.buffer.write(b'\\0\\0\\0\\x03abc')",
        "import sys; sys.stdout.buffer.write(b'\\0\\0\\0\\x10ab')",
        "import sys; sys.stdout.buffer.write(b'\\0\\0')",
        "pass",
        "import sys; sys.exit(3)",
        "FRAMES(b'{\"ready\": true}', b'[]')",
        'FRAMES(b\'{"ready": true}\', b\'{"outcome": "sure", "why": "", "last": true}\')',
        "FRAMES(b'{\"ready\": true}', b'\"' + b'x' * 100 + b'\"')",
        "FRAMES(b'{\"ready\": true}')",
    ],
)
def test_a_broken_frame_is_undecided(program: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    frames = """
import sys
def FRAMES(*texts):
    for text in texts:
        sys.stdout.buffer.write(len(text).to_bytes(4, "big") + text)
    sys.stdout.buffer.flush()
    sys.stdin.buffer.read(4)
"""
    (tmp_path / "child.py").write_text(frames + program)
    monkeypatch.setattr(calculus_module, "_CHILD", tmp_path / "child.py")
    with Calculus() as calculus:
        verdict = calculus.decide(gauss, one, LONG)
        assert verdict.outcome == "undecided"
        assert verdict.why.startswith("sympy's process")
        assert calculus.pids() == []


def test_names_are_never_read_as_text(sympy_child: Calculus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bad = symbol(f"__import__('os').system('touch {tmp_path}/x')")
    assert sympy_child.decide(derivative(power(bad, two), bad), mul(two, bad), LONG).outcome == "equal"
    assert sympy_child.decide(derivative(power(bad, two), bad), mul(three, bad), LONG).outcome == "different"
    assert sympy_child.decide(derivative(call(bad.value, x)), one, LONG).outcome == "undecided"
    assert sympy_child.decide(Node(bad.value, (x,)), one, LONG).outcome == "undecided"
    assert sympy_child.decide(limit(x, x, zero, bad.value), one, LONG).outcome == "undecided"
    assert not (tmp_path / "x").exists()


def test_only_numbers_and_known_words_are_sent() -> None:
    job = as_job(derivative(mul(symbol("secret"), call("sin", x))), unknown(symbol("name")))
    assert "secret" not in str(job)
    assert "name" not in str(job)


def test_the_child_holds_no_eval() -> None:
    source = Path(calculus_child.__file__).read_text(encoding="utf-8")
    for word in ("eval(", "exec(", "sympify", "parse_expr", "lambdify", "parse_latex"):
        assert word not in source.replace(".evalf(", "")


def test_without_sympy_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calculus_module, "find_spec", lambda name: None)
    with Calculus() as calculus, pytest.raises(GradingError, match=r"pip install 'assay\[math\]'") as caught:
        calculus.decide(gauss, one)
    assert (caught.value.error.kind, caught.value.error.fault) == ("not_installed", "infra")


def test_a_sympy_that_does_not_import_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "sympy").mkdir()
    (tmp_path / "sympy" / "__init__.py").write_text("raise ImportError('half of it is missing')")
    source = Path(calculus_child.__file__).read_text(encoding="utf-8")
    child = source.replace("sys.path.extend(sys.argv[1:])", f"sys.path.insert(0, {str(tmp_path)!r})")
    (tmp_path / "child.py").write_text(child, encoding="utf-8")
    monkeypatch.setattr(calculus_module, "_CHILD", tmp_path / "child.py")
    with Calculus() as calculus, pytest.raises(GradingError, match="half of it is missing"):
        calculus.decide(gauss, one)


def test_what_needs_it_is_seen_from_the_tree() -> None:
    assert needs_calculus(add(one, thirds))
    assert not needs_calculus(add(one, sin(x)))


def test_nothing_is_left_open() -> None:
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("needs /proc")
    before = len(list(descriptors.iterdir()))
    calculus = Calculus()
    calculus.decide(gauss, one, LONG)
    calculus.decide(BOMB, one, 0.1)
    calculus.decide(gauss, one, LONG)
    calculus.close()
    gc.collect()
    assert len(list(descriptors.iterdir())) == before
