from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from graders.sandbox import fork_server
from graders.sandbox import pool as pool_module
from graders.sandbox import warm as warm_module
from graders.sandbox.fork_server import PLAIN, ForkServer, Profile
from graders.sandbox.jail.frames import FrameError
from graders.sandbox.jail.limits import Limits
from graders.sandbox.pool import Pool, use
from graders.sandbox.pool import pool as shared_pool
from graders.sandbox.process import (
    EndedError,
    JailedProcess,
    KilledError,
    NoServerError,
    ServerFailedError,
    TimeUpError,
)
from graders.sandbox.settings import SandboxSettings
from graders.sandbox.turns import OverloadedError

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the sandbox needs Linux")

DOUBLE = "def f(x):\n    return x * 2\n"
ROOT = Path(__file__).parents[1]


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = a_pool()
    yield made
    made.close()


@pytest.fixture(scope="module")
def lasting() -> Iterator[Pool]:
    """One pool for all tests that leave it as they found it."""
    made = a_pool()
    yield made
    made.close()


def a_pool(processes: int = 4, queue: int = 10_000, without: Sequence[str] = ()) -> Pool:
    return Pool(SandboxSettings(accept="S0", processes=processes, queue=queue), without)


def called(process: JailedProcess, source: str, *arguments: Any, seconds: float = 30.0, new: bool = True) -> Any:
    """What `f` of this source returns in a process, or what ended the process, as a text."""
    if new:
        process.send({"id": 1, "load": source, "filename": "<f>"})
    process.send({"id": 2, "call": "f", "args": list(arguments)})
    try:
        if new:
            assert process.receive(time.monotonic() + seconds) == {"id": 1, "loaded": True}
        answer = process.receive(time.monotonic() + seconds)
    except (TimeUpError, EndedError, FrameError) as problem:
        return process.ending(problem)
    assert answer["id"] == 2
    return answer["value"]


def fresh_call(pool: Pool, number: int, source: str = DOUBLE, seconds: float = 30.0, profile: Profile = PLAIN) -> Any:
    def attempt() -> Any:
        with pool.fresh(profile, Limits()) as process:
            return called(process, source, number, seconds=seconds)

    return pool.insist(attempt)


def warm_call(pool: Pool, number: int, source: str = DOUBLE) -> Any:
    def attempt() -> Any:
        with pool.warm(source, PLAIN, Limits()) as warm:
            new, warm.calls = warm.calls == 0, warm.calls + 1
            return called(warm.process, source, number, new=new)

    return pool.insist(attempt)


def living() -> dict[int, tuple[int, int]]:
    """Every process that lives: its number, its parent's, and its session's."""
    found = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):
                state, parent, _, session, *_ = (place / "stat").read_text().rpartition(")")[2].split()
                if state != "Z":
                    found[int(place.name)] = (int(parent), int(session))
    return found


def first(server: ForkServer) -> int:
    assert server.process is not None
    return server.process.pid


def family(session: int) -> list[int]:
    """The processes of a fork server, by the number of its first: whatever it forks stays in its session."""
    return [number for number, (_, found) in living().items() if found == session]


def jailed(server: ForkServer) -> list[int]:
    """The processes that a fork server has forked."""
    return [number for number in family(first(server)) if number not in serving(server)]


def serving(server: ForkServer) -> list[int]:
    """The process that was started, and the one it may have become inside its namespace."""
    start = first(server)
    inside = [number for number, (parent, _) in living().items() if parent == start]
    return [start, *inside] if "namespaces" in server.standing.on else [start]


def soon(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def servers_of(pool: Pool) -> list[ForkServer]:
    return list(pool._servers.values())


def in_threads(count: int, act: Callable[[int], Any], calls: int) -> list[Any]:
    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(act, range(calls)))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_sixteen_threads_and_an_event_loop_share_it_and_each_call_has_its_own_answer(pool: Pool) -> None:
    async def many() -> list[Any]:
        return await asyncio.gather(*(pool.in_thread(lambda n=n: fresh_call(pool, n)) for n in range(1000, 1060)))  # type: ignore[misc]

    with ThreadPoolExecutor(1) as loop:
        asked = loop.submit(lambda: asyncio.run(many()))
        act = [fresh_call, warm_call]
        assert in_threads(16, lambda n: act[n % 2](pool, n), 160) == [2 * n for n in range(160)]
        assert asked.result() == [2 * n for n in range(1000, 1060)]
    assert len(servers_of(pool)) == 1


class Load:
    """Threads that call without pause until told to stop; every answer is kept by its call."""

    def __init__(self, pool: Pool, threads: int = 6) -> None:
        self.pool, self.answers, self.stop = pool, {}, threading.Event()  # type: ignore[var-annotated]
        self.twice: list[int] = []
        self._threads = [threading.Thread(target=self._call, args=(n,)) for n in range(threads)]

    def _call(self, number: int) -> None:
        act = warm_call if number % 2 else fresh_call
        while not self.stop.is_set():
            try:
                answer = act(self.pool, number)
            except Exception as problem:
                answer = problem
                time.sleep(0.001)  # a closed pool answers at once, and would leave no time to others
            if number in self.answers:
                self.twice.append(number)
            self.answers[number] = answer
            number += len(self._threads)

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def wrong(self) -> dict[int, Any]:
        return {number: answer for number, answer in self.answers.items() if answer != 2 * number}


def test_workers_killed_at_random_cost_no_answer_and_leave_no_process(pool: Pool) -> None:
    draw = random.Random(6)
    fresh_call(pool, 1)
    (server,) = servers_of(pool)
    killed = 0
    with Load(pool) as load:
        end = time.monotonic() + 30
        while killed < 25 and time.monotonic() < end:
            if victims := jailed(server):
                with suppress(ProcessLookupError):
                    os.kill(draw.choice(victims), signal.SIGKILL)
                    killed += 1
            time.sleep(0.02)
    assert killed == 25
    assert load.wrong() == {}
    assert not load.twice
    assert servers_of(pool) == [server]
    session = first(server)
    pool.close()
    assert family(session) == []


@pytest.mark.parametrize(
    ("which", "without"),
    [
        ("the process that was started", ()),
        ("the one inside the namespace", ()),
        ("the only one", ("namespaces", "landlock", "private_uid")),
    ],
)
def test_a_killed_fork_server_is_replaced_at_once_and_every_call_is_answered(which: str, without: list[str]) -> None:
    pool = a_pool(without=without)
    fresh_call(pool, 1)
    sessions = []
    with Load(pool) as load:
        for _ in range(4):
            (server,) = servers_of(pool)
            sessions.append(first(server))
            victim = serving(server)[-1 if which == "the one inside the namespace" else 0]
            os.kill(victim, signal.SIGKILL)
            before = len(load.answers)
            assert soon(lambda before=before: len(load.answers) > before + 12)  # type: ignore[misc]
            assert soon(lambda server=server: servers_of(pool) not in ([], [server]))  # type: ignore[misc]
    assert load.wrong() == {}
    assert not load.twice
    pool.close()
    for session in sessions:
        assert soon(lambda session=session: family(session) == [])  # type: ignore[misc]


def test_threads_that_find_a_dead_server_start_one_between_them(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh_call(pool, 1)
    started = []

    class Counted(ForkServer):
        def __init__(self, *given: Any) -> None:
            started.append(1)
            super().__init__(*given)

    monkeypatch.setattr(pool_module, "ForkServer", Counted)
    servers_of(pool)[0].kill()
    assert in_threads(16, lambda n: fresh_call(pool, n), 32) == [2 * n for n in range(32)]
    assert len(started) == 1


@pytest.mark.parametrize("without", [(), ("namespaces", "landlock", "private_uid")])
def test_a_pool_that_is_closed_under_load_ends_every_process_and_every_call_hears_of_it(without: list[str]) -> None:
    pool = a_pool(without=without)
    fresh_call(pool, 1)
    session = first(servers_of(pool)[0])
    with Load(pool) as load:
        assert soon(lambda: len(load.answers) > 20)
        pool.close()
        assert family(session) == []
        time.sleep(0.1)
    told = load.wrong().values()
    assert told
    assert {type(problem) for problem in told} == {NoServerError}
    assert servers_of(pool) == []
    with pytest.raises(NoServerError, match="closed"):
        fresh_call(pool, 1)
    with pytest.raises(NoServerError, match="closed"):
        asyncio.run(pool.in_thread(lambda: 1))


Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def script() -> Iterator[Script]:
    """Starts a Python process with a body, to which this file's helpers are `t`, and arguments."""
    begin = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]\n"
    begin += "import test_graders_sandbox_pool as t, os, time, signal, threading\n"
    with ExitStack() as ended:

        def start(body: str, *arguments: str) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", begin + body, *arguments]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            ended.enter_context(process)
            ended.callback(process.kill)
            return process

        yield start


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line and process.poll() is not None and process.stderr is not None:
        pytest.fail(process.stderr.read())
    return line


UNDER_LOAD = """
pool = t.a_pool()
t.fresh_call(pool, 1)
print(t.first(t.servers_of(pool)[0]), flush=True)
loop = "def f(x):\\n    import signal\\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\\n    while True: pass\\n"
def hang():
    with t.suppress(t.NoServerError):
        t.fresh_call(pool, 1, loop, 600)
threading.Thread(target=hang, daemon=True).start()
with t.Load(pool):
    time.sleep(600)
"""


def test_nothing_is_left_when_the_process_that_asks_is_killed(script: Script) -> None:
    asker = script(UNDER_LOAD)
    session = int(line_of(asker))
    time.sleep(0.3)
    assert len(family(session)) > 2
    asker.kill()
    asker.communicate()
    assert soon(lambda: family(session) == [])


def test_nothing_is_left_when_it_exits_while_a_call_is_under_way(script: Script) -> None:
    asker = script(UNDER_LOAD.replace("with t.Load(pool):\n    time.sleep(600)", "time.sleep(0.2)"))
    session = int(line_of(asker))
    _, problem = asker.communicate(timeout=30)
    assert (asker.returncode, problem) == (0, "")
    assert family(session) == []


def test_a_fork_server_that_hangs_in_an_import_ends_with_the_process_that_asks(tmp_path: Path, script: Script) -> None:
    (tmp_path / "slow.py").write_text("import time\nopen(__file__ + '.begun', 'w').close()\ntime.sleep(600)\n")
    body = """
profile = t.Profile(("slow",), (sys.argv[1],))
threading.Thread(target=t.ForkServer, args=(profile,), daemon=True).start()
assert t.soon(lambda: t.fork_server._servers and list(t.fork_server._servers)[0].process)
print(t.first(list(t.fork_server._servers)[0]), flush=True)
time.sleep(600)
"""
    asker = script(body, str(tmp_path))
    session = int(line_of(asker))
    assert soon(lambda: (tmp_path / "slow.py.begun").exists())
    asker.kill()
    asker.communicate()
    assert soon(lambda: family(session) == [])


@pytest.mark.parametrize("handed", ["threads", "event loop"])
def test_an_interrupt_ends_what_its_caller_waits_for(handed: str, script: Script) -> None:
    body = """
pool = t.a_pool(1)
t.fresh_call(pool, 1)
server = t.servers_of(pool)[0]
loop = "def f(x):\\n    while True: pass\\n"
act = lambda: t.fresh_call(pool, 1, loop, 600)
threading.Thread(target=lambda: (t.soon(lambda: t.jailed(server)), print(t.first(server), flush=True))).start()
try:
    if sys.argv[1] == "threads":
        act()
    else:
        t.asyncio.run(pool.in_thread(act))
except KeyboardInterrupt:
    print(t.soon(lambda: t.jailed(server) == []), t.fresh_call(pool, 21), flush=True)
"""
    asker = script(body, handed)
    session = int(line_of(asker))
    asker.send_signal(signal.SIGINT)
    told, problem = asker.communicate(timeout=30)
    assert (told, problem) == ("True 42\n", "")
    assert family(session) == []


def test_interrupts_at_any_moment_lose_no_turn_and_leave_no_process(script: Script) -> None:
    body = """
import random
draw = random.Random(1)
pool = t.a_pool(2)
interrupts = 0
def interrupt(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
end = time.monotonic() + 2
number = 0
while interrupts < 60 and time.monotonic() < end:
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, draw.uniform(0.0001, 0.02))
            while True:
                number += 1
                act = t.warm_call if number % 3 else t.fresh_call
                assert act(pool, number) == 2 * number
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interrupts += 1
turns = pool._turns.free
rest = {each.process.child for idle in pool._idle._by_key.values() for each in idle}
t.gc.collect()
left = t.soon(lambda: sum(len(t.jailed(server)) for server in t.servers_of(pool)) <= len(rest))
print(t.json.dumps([interrupts, turns, left, t.fresh_call(pool, 21), len(t.servers_of(pool))]))
sys.stdout.flush()
sessions = [t.first(server) for server in t.servers_of(pool)]
pool.close()
print(sum(len(t.family(session)) for session in sessions), flush=True)
"""
    asker = script(body)
    told, problem = asker.communicate(timeout=50)
    first_line, orphans = told.splitlines() or (problem, "")
    interrupts, turns, left, answer, servers = json.loads(first_line)
    assert (turns, left, answer, servers, orphans) == (2, True, 42, 1, "0"), problem
    assert interrupts > 5


LOOPS: Mapping[str, str] = {
    "a loop": "def f(x):\n    while True: pass\n",
    "a loop that catches everything": (
        "def f(x):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\n"
    ),
    "a loop in C": "def f(x):\n    return 7 ** 10 ** 9\n",
    "a pattern that backtracks": "import re\ndef f(x):\n    return re.match('(a+)+b', 'a' * 64)\n",
    "sleep": "import time\ndef f(x):\n    time.sleep(600)\n",
    "signals ignored": (
        "import signal\nfor n in range(1, 60):\n    try: signal.signal(n, signal.SIG_IGN)\n    except Exception: pass\n"
        "def f(x):\n    while True: pass\n"
    ),
    "a loop while it is loaded": "while True: pass\n",
    "a byte now and then": (
        "import os, time\ndef f(x):\n    os.write(3, (2 ** 20).to_bytes(4, 'big'))\n"
        "    while True:\n        os.write(3, b' ')\n        time.sleep(0.0005)\n"
    ),
    "a frame that stops halfway": (
        "import os\ndef f(x):\n    os.write(3, (9).to_bytes(4, 'big') + b'{\"id\"')\n    while True: pass\n"
    ),
}


@pytest.mark.parametrize("source", LOOPS.values(), ids=LOOPS)
def test_what_does_not_answer_in_time_is_killed(lasting: Pool, source: str) -> None:
    began = time.monotonic()
    assert fresh_call(lasting, 1, source, seconds=0.2) == "took too long"
    assert time.monotonic() - began < 5
    assert jailed(servers_of(lasting)[0]) == []


def test_a_process_that_closes_its_stream_and_spins_is_killed_as_one_that_gave_no_answer(lasting: Pool) -> None:
    source = "import os\ndef f(x):\n    os.close(3)\n    while True: pass\n"
    assert fresh_call(lasting, 1, source, seconds=60) == "closed the stream it should answer on"
    assert jailed(servers_of(lasting)[0]) == []


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("b'x' * 65536", "sent bytes that are no answer (a frame of 2,021,161,080 bytes; it may have 1,048,576)"),
        ("bytes(4)", "sent bytes that are no answer (a frame that is not JSON"),
        ("(2**20).to_bytes(4, 'big') + b' ' * 2**20", "sent bytes that are no answer (a frame that is not JSON"),
    ],
)
def test_a_flood_ends_the_process_that_sends_it(lasting: Pool, written: str, told: str) -> None:
    source = f"import os\ndef f(x):\n    while True: os.write(3, {written})\n"
    assert fresh_call(lasting, 1, source).startswith(told)
    assert jailed(servers_of(lasting)[0]) == []


def test_a_large_request_to_a_process_that_reads_nothing_waits_no_longer_than_its_deadline(lasting: Pool) -> None:
    with lasting.fresh(PLAIN, Limits()) as process:
        process.send({"id": 1, "load": "while True: pass\n", "filename": "<f>"})
        process.send({"id": 2, "call": "f", "args": ["x" * 2**25]})
        began = time.monotonic()
        with pytest.raises(TimeUpError):
            process.receive(began + 0.3)
        assert time.monotonic() - began < 5
        assert not process.quiet


def test_answers_that_came_before_the_end_count_though_requests_were_still_going_out(lasting: Pool) -> None:
    source = "import os\ndef f(x):\n    if x[0] == '3': os._exit(0)\n    return x[0]\n"
    with lasting.fresh(PLAIN, Limits()) as process:
        process.send({"id": 0, "load": source, "filename": "<f>"})
        for number in range(1, 9):
            process.send({"id": number, "call": "f", "args": [f"{number}{'x' * 2**19}"]})
        deadline = time.monotonic() + 30
        assert [process.receive(deadline).get("value") for _ in range(3)] == [None, "1", "2"]
        with pytest.raises(EndedError) as found:
            process.receive(deadline)
        assert process.ending(found.value) == "ended its process without an answer (exit code 0)"


def test_no_more_processes_are_at_work_than_the_settings_say() -> None:
    pool = a_pool(3)
    try:
        fresh_call(pool, 1)
        server = servers_of(pool)[0]
        most, stop = 0, threading.Event()

        def watch() -> None:
            nonlocal most
            while not stop.is_set():
                most = max(most, len(jailed(server)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        source = "import time\ndef f(x):\n    time.sleep(0.02)\n    return x * 2\n"
        assert in_threads(16, lambda n: fresh_call(pool, n, source), 32) == [2 * n for n in range(32)]
        stop.set()
        watcher.join()
        assert 2 <= most <= 3
    finally:
        pool.close()


def test_a_caller_beyond_the_queue_hears_that_it_is_overloaded() -> None:
    pool = a_pool(1, queue=3)
    release = threading.Event()

    def hold(_: int) -> str:
        try:
            with pool.fresh(PLAIN, Limits()):
                release.wait(30)
            return "served"
        except OverloadedError as problem:
            return str(problem)

    try:
        pool.check()
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(hold, n) for n in range(4)]
            assert soon(lambda: pool._turns.waiting == 3)
            assert threads.submit(hold, 9).result() == "3 calls wait for the sandbox already"
            release.set()
            assert [each.result() for each in asked] == ["served"] * 4
            assert hold(1) == "served"
    finally:
        pool.close()


def test_an_event_loop_may_ask_no_more_than_the_queue_holds() -> None:
    pool = a_pool(2, queue=5)
    release = threading.Event()

    async def ask() -> list[Any]:
        pending = [asyncio.ensure_future(pool.in_thread(lambda: release.wait(30))) for _ in range(7)]
        await asyncio.sleep(0.05)
        refused = await asyncio.gather(*(pool.in_thread(lambda: 1) for _ in range(100)), return_exceptions=True)
        release.set()
        return [*refused, await asyncio.gather(*pending), await pool.in_thread(lambda: 2)]

    try:
        *refused, served, last = asyncio.run(ask())
    finally:
        pool.close()
    assert {type(each) for each in refused} == {OverloadedError}
    assert (served, last) == ([True] * 7, 2)


def test_a_call_that_an_event_loop_gives_up_ends_at_once_and_its_turn_is_free_again() -> None:
    pool = a_pool(1)

    async def ask() -> Any:
        fresh_call(pool, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pool.in_thread(lambda: fresh_call(pool, 1, LOOPS["a loop"], 600)), 0.3)
        return await asyncio.wait_for(pool.in_thread(lambda: fresh_call(pool, 21)), 30)

    try:
        assert asyncio.run(ask()) == 42
        assert jailed(servers_of(pool)[0]) == []
    finally:
        pool.close()


def test_who_has_a_turn_may_start_a_second_process_on_it() -> None:
    pool = a_pool(1)
    try:
        with pool.fresh(PLAIN, Limits()) as outer:
            assert fresh_call(pool, 4) == 8
            assert called(outer, DOUBLE, 5) == 10
        assert fresh_call(pool, 6) == 12
    finally:
        pool.close()


def _copy(number: int, told: Any) -> None:
    pool = shared_pool()
    told.send((pool.settings.processes, fresh_call(pool, number), first(servers_of(pool)[0])))
    told.recv()


def test_a_forked_copy_has_its_own_processes_and_disturbs_none_of_the_first(pool: Pool) -> None:
    with use(pool):
        warm_call(pool, 1)
        (server,) = servers_of(pool)
        with Load(pool, threads=2) as load:
            copies = []
            for number in range(3):
                ours, theirs = multiprocessing.get_context("fork").Pipe()
                copy = multiprocessing.get_context("fork").Process(target=_copy, args=(number, theirs))
                copy.start()
                copies.append((copy, ours, *ours.recv()))
            for copy, ours, *_ in copies:
                ours.send("end")
                copy.join(30)
                assert copy.exitcode == 0
        assert load.wrong() == {}
        assert [told for *_, told, _ in copies] == [0, 2, 4]
        assert {processes for _, _, processes, *_ in copies} == {4}
        sessions = {session for *_, session in copies}
        assert len(sessions | {first(server)}) == 4
        assert all(soon(lambda session=session: family(session) == []) for session in sessions)  # type: ignore[misc]
        assert servers_of(pool) == [server]
        assert warm_call(pool, 7) == 14


def test_the_fork_server_ends_with_the_first_process_though_a_forked_copy_lives_on(script: Script) -> None:
    body = """
import gc
pool = t.a_pool()
t.warm_call(pool, 1)
with t.Load(pool, 4):
    time.sleep(0.2)
    copy = os.fork()
    if copy == 0:
        gc.collect()
        print(os.getpid(), flush=True)
        time.sleep(600)
    print(t.first(t.servers_of(pool)[0]), flush=True)
    time.sleep(600)
"""
    asker = script(body)
    lines = {int(line_of(asker)), int(line_of(asker))}
    (copy,) = {number for number in lines if living()[number][0] == asker.pid and not family(number)}
    (session,) = lines - {copy}
    try:
        assert len(family(session)) > 1
        asker.kill()
        assert soon(lambda: family(session) == [])
        assert copy in living()
    finally:
        os.kill(copy, signal.SIGKILL)
        asker.communicate()


def profiles(count: int) -> list[Profile]:
    return [Profile(readable=(f"/nowhere/{number}",)) for number in range(count)]


def test_the_fork_server_of_the_profile_that_was_used_least_recently_ends(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "MOST_SERVERS", 3)
    many = profiles(5)
    sessions = []
    for profile in [*many[:3], many[0], *many[3:]]:
        fresh_call(pool, 1, profile=profile)
        sessions.append(first(pool._servers[profile]))
    assert list(pool._servers) == [many[0], many[3], many[4]]
    assert family(sessions[1]) == family(sessions[2]) == []
    assert set(pool._starting) <= set(pool._servers)
    assert fresh_call(pool, 3, profile=many[1]) == 6


def test_a_fork_server_at_work_outlives_any_number_of_others(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "MOST_SERVERS", 2)
    many = profiles(4)
    with pool.fresh(many[0], Limits()) as process:
        for profile in many[1:]:
            assert fresh_call(pool, 2, profile=profile) == 4
        assert called(process, DOUBLE, 3) == 6
    slow = "import time\ndef f(x):\n    time.sleep(0.05)\n    return x * 2\n"
    assert in_threads(4, lambda n: fresh_call(pool, n, slow, profile=many[n % 4]), 12) == [2 * n for n in range(12)]


COUNTING = "n = 0\ndef f(x):\n    global n\n    n += 1\n    return n\n"


def test_a_warm_process_is_used_again_until_it_is_worn_or_old(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_module, "MOST_CALLS", 3)
    assert [warm_call(pool, 0, COUNTING) for _ in range(7)] == [1, 2, 3, 1, 2, 3, 1]
    monkeypatch.setattr(warm_module, "MOST_SECONDS", 0.0)
    assert [warm_call(pool, 0, COUNTING) for _ in range(3)] == [1, 1, 1]
    assert jailed(servers_of(pool)[0]) == []


@pytest.mark.parametrize(
    "left",
    [
        "os.write(3, b'{')",
        "os.write(3, (8).to_bytes(4, 'big') + b'{\"id\":2}')",
        "os.write(3, bytes(4))",
    ],
)
def test_a_warm_process_with_something_under_way_is_never_used_again(lasting: Pool, left: str) -> None:
    with lasting.warm(left, PLAIN, Limits()) as warm:
        warm.calls = 1
        assert called(warm.process, DOUBLE, 4) == 8
        warm.process.send({"id": 3, "load": f"import os\n{left}\n", "filename": "<f>"})
        warm.process._pump()
        assert soon(lambda: not warm.process.quiet)
    assert warm.process.status is not None
    with lasting.warm(left, PLAIN, Limits()) as other:
        assert other.calls == 0
        assert other.process is not warm.process
        other.process.end()


def test_a_request_that_was_not_answered_ends_a_warm_process(lasting: Pool) -> None:
    with lasting.warm("key", PLAIN, Limits()) as warm:
        warm.calls = 1
        warm.process.send({"id": 3, "load": "", "filename": "<f>"})
    assert warm.process.status is not None


def test_idle_processes_are_bounded_and_those_killed_meanwhile_are_not_used(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool._idle, "_most", 5)
    for number in range(12):
        assert warm_call(pool, number, f"{DOUBLE}# {number}") == 2 * number
    (server,) = servers_of(pool)
    idle = jailed(server)
    assert len(idle) == 5
    for each in idle:
        os.kill(each, signal.SIGKILL)
    assert soon(lambda: jailed(server) == [])
    monkeypatch.setattr(pool_module, "TRIES", 1)
    assert [warm_call(pool, n, f"{DOUBLE}# {n}") for n in range(12)] == [2 * n for n in range(12)]


def test_descriptors_do_not_pile_up(pool: Pool) -> None:
    bad = [
        "def f(x):\n    import os\n    os._exit(3)\n",
        "import os\nos.close(3)\n",
        "import os\nos.write(3, b'xxxxx')\n",
    ]
    for source in (DOUBLE, *bad):
        fresh_call(pool, 1, source)
    warm_call(pool, 1)
    gc.collect()
    before = descriptors()
    for number in range(200):
        if number % 10:
            warm_call(pool, number)
        else:
            fresh_call(pool, number, (DOUBLE, *bad)[number // 10 % 4])
    gc.collect()
    assert descriptors() == before
    assert len(jailed(servers_of(pool)[0])) == 1


def test_a_server_that_answers_too_late_is_ended_and_its_answer_taken_by_no_one(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_server, "ANSWER_SECONDS", 0.3)
    fresh_call(pool, 1)
    (server,) = servers_of(pool)
    session, stopped = first(server), serving(server)[-1]
    os.kill(stopped, signal.SIGSTOP)
    with pytest.raises(ServerFailedError, match=r"has not answered within 0\.3 s"):
        server.spawn(Limits())
    with suppress(ProcessLookupError):
        os.kill(stopped, signal.SIGCONT)
    with pytest.raises(ServerFailedError):
        server.spawn(Limits())
    assert not server.alive
    assert fresh_call(pool, 21) == 42
    assert soon(lambda: family(session) == [])


def test_a_stopped_server_does_not_keep_a_pool_from_closing(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "CLOSE_SECONDS", 0.2)
    fresh_call(pool, 1)
    (server,) = servers_of(pool)
    session = first(server)
    for each in serving(server):
        os.kill(each, signal.SIGSTOP)
    pool.close()
    assert soon(lambda: family(session) == [])


def test_a_system_without_another_process_is_a_typed_error(pool: Pool) -> None:
    fresh_call(pool, 1)
    (server,) = servers_of(pool)
    if os.geteuid() == 0 and "private_uid" not in server.standing.on:
        pytest.skip("the limit of processes does not hold for root")
    try:
        resource.prlimit(serving(server)[-1], resource.RLIMIT_NPROC, (0, 0))
    except PermissionError:  # a root that may not set the limits of another user's processes
        pytest.skip("the limits of another user's process may not be set here")
    with pytest.raises(ServerFailedError, match=r"no process could be started: .*temporarily unavailable"):
        server.spawn(Limits())
    assert server.alive


@pytest.mark.parametrize("room", [0, 1, 2, 3])
def test_a_process_without_another_descriptor_is_a_typed_error(pool: Pool, room: int) -> None:
    fresh_call(pool, 1)
    gc.collect()
    before = descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = max(int(number) for number in os.listdir("/proc/self/fd")) + 1
    filler = [os.dup(0) for _ in range(taken - before)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + room, hard))
        if room < 3:
            with pytest.raises(ServerFailedError, match="no process could be started"):
                servers_of(pool)[0].spawn(Limits())
        else:
            servers_of(pool)[0].spawn(Limits()).end()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for each in filler:
            os.close(each)
    assert fresh_call(pool, 21) == 42
    assert descriptors() == before


@pytest.mark.parametrize(
    ("executable", "told"),
    [
        ("", "sys.executable names no interpreter"),
        ("/nowhere/python", "No such file or directory"),
        ("/bin/false", "no fork server could be started|the fork server has ended"),
    ],
)
def test_a_fork_server_that_cannot_start_is_a_typed_error(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, executable: str, told: str
) -> None:
    before = descriptors()
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(ServerFailedError, match=told):
        pool.check()
    gc.collect()
    assert descriptors() == before
    monkeypatch.undo()
    assert fresh_call(pool, 1) == 2


def test_why_a_fork_server_ended_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "START", "import sys\nsys.stdin.read()\nraise KeyError('the reason')\n")
    with pytest.raises(ServerFailedError, match="KeyError: 'the reason'"):
        ForkServer()


def test_a_fork_server_that_hangs_while_it_starts_is_given_up_after_one_try(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_server, "START", "import time\ntime.sleep(600)\n")
    monkeypatch.setattr(fork_server, "START_SECONDS", 0.2)
    monkeypatch.setattr(fork_server, "CLOSE_SECONDS", 0.1)
    with pytest.raises(NoServerError, match=r"within 0\.2 s"):
        pool.check()


def test_a_profile_that_no_message_can_hold_is_a_typed_error(lasting: Pool) -> None:
    with pytest.raises(NoServerError, match="it may have 65,536"):
        lasting.check(Profile(readable=("/nowhere/" + "x" * 2**16,)))


def test_an_attempt_that_is_killed_each_time_is_given_up(pool: Pool) -> None:
    tries = []

    def attempt() -> None:
        tries.append(1)
        raise KilledError("killed")

    with pytest.raises(ServerFailedError, match="killed, 10 times in a row"):
        pool.insist(attempt)
    assert len(tries) == 10
