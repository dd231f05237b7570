"""Every attack and every control in a sandbox of this machine, in a program of its own that prints what came of each.

    python tests/sandbox_battery.py '{"without": ["landlock"], "refuse": ["namespaces"], "only": ["files"]}'

`without` switches layers off; `refuse` has the kernel refuse them, as it does namespaces in a container. `only` names
groups of attacks, `quick` leaves out those that spin. The answer is one JSON object: `standing` (level, layers),
`outcomes` by attack, `controls`, and what was found `afterwards`.
"""

from __future__ import annotations

import ast
import ctypes
import errno
import json
import os
import platform
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GROUPS = ("files", "secrets", "kernel", "others", "network", "processes")
SPIN_SECONDS, SECONDS = 0.4, 60.0
OUTPUT = 2**20
REFUSED = (
    # what a refused system call or a broken limit becomes in Python
    *("OSError", "PermissionError", "FileNotFoundError", "BlockingIOError", "ProcessLookupError", "ConnectionError"),
    *("ConnectionRefusedError", "IsADirectoryError", "InterruptedError", "MemoryError", "RuntimeError", "gaierror"),
    *(
        "RecursionError",
        "SystemError",
        "ValueError",
        "SystemExit",
        "KeyboardInterrupt",
        "NotADirectoryError",
        "BrokenPipeError",
        "ChildProcessError",
    ),
)


def refuse_namespaces() -> None:
    """As docker's profile does: EPERM for unshare, setns, mount and clone with a new namespace, ENOSYS for clone3."""
    unshare, setns, mount, clone = {"x86_64": (272, 308, 165, 56), "aarch64": (97, 268, 40, 220)}[platform.machine()]
    refused = [step for number in (unshare, setns, mount) for step in ((0x15, 0, 1, number), answer(errno.EPERM))]
    some = [(0x15, 0, 3, clone), (0x20, 0, 0, 16), (0x45, 0, 1, 0x7E020000), answer(errno.EPERM)]
    install([*refused, (0x15, 0, 1, 435), answer(errno.ENOSYS), *some])


def refuse_landlock() -> None:
    """As a kernel without it does."""
    install([(0x15, 0, 1, 444), answer(errno.ENOSYS)])


def refuse_filters() -> None:
    """As a kernel without seccomp filters does. This one is the last that is installed."""
    prctl, seccomp = {"x86_64": (157, 317), "aarch64": (167, 277)}[platform.machine()]
    some = [(0x15, 0, 3, prctl), (0x20, 0, 0, 16), (0x15, 0, 1, 22), answer(errno.EINVAL)]
    install([(0x15, 0, 1, seccomp), answer(errno.ENOSYS), *some])


REFUSE = {"namespaces": refuse_namespaces, "landlock": refuse_landlock, "seccomp": refuse_filters}


def answer(code: int) -> tuple[int, int, int, int]:
    return (6, 0, 0, 0x50000 | code)


def install(rules: list[tuple[int, int, int, int]]) -> None:
    """A filter of this process and all it starts."""
    steps = [(0x20, 0, 0, 0), *rules, (6, 0, 0, 0x7FFF0000)]
    content = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(content))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter could be installed")


def attacks(path: Path) -> dict[str, str]:
    """Each function of a file with the source it needs: the imports and helpers that it uses, and itself."""
    body = ast.parse(path.read_text()).body
    named = {node.name: node for node in body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")}
    shared = [node for node in body if node not in named.values()]
    return {name: ast.unparse(ast.Module([*_used(shared, node), node], [])) for name, node in named.items()}


def _used(shared: list[ast.stmt], function: ast.stmt) -> list[ast.stmt]:
    """Of what stands beside a function, what it needs: imports cost more than most attacks."""
    used, words = set[int](), _words(function) | {"annotations"}
    while more := [node for node in shared if id(node) not in used and _binds(node) & words]:
        used.update(map(id, more))
        words = words.union(*map(_words, more))
    return [node for node in shared if id(node) in used]


def _words(node: ast.stmt) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def _binds(node: ast.stmt) -> set[str]:
    """The names that a statement at the top level binds."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return {node.name} if isinstance(node, ast.FunctionDef | ast.ClassDef) else _words(node)


@contextmanager
def targets(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What there is to attack: files of answers, listening sockets, and this process with a key in its memory."""
    with tempfile.TemporaryDirectory(prefix="assay-battery-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        answers, victim, spare = (folder / part for part in ("answers.json", "victim", "spare"))
        for path in (answers, victim, spare):
            path.write_text('{"answer": 42}' * 10)
            path.chmod(0o666 if path is not answers else 0o644)
        abstract = f"assay-battery-{os.getpid()}"
        named = str(folder / "socket")
        opened = [_bound(socket.SOCK_STREAM, "\0" + abstract), _bound(socket.SOCK_DGRAM, f"\0{abstract}-datagrams")]
        opened += [_bound(socket.SOCK_STREAM, named), _bound(socket.SOCK_DGRAM, named + "-datagrams")]
        tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        for place in (named, named + "-datagrams"):
            os.chmod(place, 0o777)
        try:
            yield {
                **{"answers": str(answers), "victim": str(victim), "folder": name, "socket": named},
                **{"abstract": abstract, "tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]},
                **{"service": os.getpid(), "half": "sk-canary", "project": str(HERE.parent / "graders" / "grade.py")},
                **{"packages": next(p for p in sys.path if (Path(p) / "pydantic").is_dir())},
            }
        finally:
            heard = [each for each in (opened[1], opened[3], udp) if _heard(each)]
            for each in [*opened, tcp, udp]:
                each.close()
            found["heard"] = len(heard)


def _bound(kind: socket.SocketKind, address: str) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, kind)
    found.bind(address)
    if kind == socket.SOCK_STREAM:
        found.listen(100)
    return found


def _heard(found: socket.socket) -> bool:
    found.setblocking(False)
    with suppress(OSError):
        return bool(found.recv(100))
    return False


class Battery:
    """One fork server, and every attack in a process of its own."""

    def __init__(self, without: list[str], facts: dict[str, Any]) -> None:
        from graders.sandbox.fork_server import ForkServer

        self.server = ForkServer(without=without)
        assert self.server.process is not None
        self.process = self.server.process.pid
        self.facts = facts | {"server": self.process, "harmless": len(without) > 2}

    def outcome(self, source: str, name: str) -> str:
        """`blocked: ...`, `ended: ...`, `escaped: ...`, or `broken: ...` where the attack itself is no good."""
        from graders.sandbox.jail.frames import FrameError
        from graders.sandbox.jail.limits import Limits
        from graders.sandbox.process import EndedError, KilledError, TimeUpError

        out, nothing = os.memfd_create("out"), os.open(os.devnull, os.O_RDONLY)
        process = self.server.spawn(Limits(output=OUTPUT), [nothing, out])
        deadline = time.monotonic() + (SPIN_SECONDS if name.startswith("spin") else SECONDS)
        try:
            process.send({"id": 0, "load": source, "filename": "<attack>"})
            process.send(
                {"id": 1, "call": name, "args": [{"dict": [[key, value] for key, value in self.facts.items()]}]}
            )
            loaded = process.receive(deadline)
            if loaded != {"id": 0, "loaded": True}:
                return f"broken: {loaded}"
            found = self._judged(process.receive(deadline))
        except (TimeUpError, EndedError, FrameError) as problem:
            try:
                found = f"ended: {process.ending(problem)}"
            except KilledError:
                found = "escaped: it could look as if it was killed from outside"
        finally:
            process.end()
            size = os.fstat(out).st_size
            os.close(out)
            os.close(nothing)
        return found if size <= OUTPUT else f"escaped: its output has {size} bytes"

    def _judged(self, answer: dict[str, Any]) -> str:
        if answer.get("id") != 1:
            return "ended: it answered what nobody asked"
        if "raised" in answer:
            kind = "blocked" if answer["raised"] in REFUSED else "broken"
            return f"{kind}: {answer['detail'].strip().splitlines()[-1]}" if kind == "blocked" else f"broken: {answer}"
        if "unusable" in answer:
            return f"blocked: {answer['unusable']}"
        value = answer.get("value")
        if value is True:
            return "works"
        return f"escaped: {value}" if value else "blocked"

    def afterwards(self) -> dict[str, Any]:
        """What the fork server is worth when all is over, and what it leaves behind."""
        source = "def still_there(facts):\n    return True\n"
        answers = self.outcome(source, "still_there")
        started = _descendants(self.process)
        self.server.close()
        deadline = time.monotonic() + SECONDS
        while (left := [process for process in started if _lives(process)]) and time.monotonic() < deadline:
            time.sleep(0.01)  # the kernel ends what is left of a process namespace on its own time
        return {"server": answers, "victim": Path(self.facts["victim"]).stat().st_size, "left": left}


def _descendants(first: int) -> list[int]:
    parents = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            with suppress(OSError):
                parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
    found = [first]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main(options: dict[str, Any]) -> dict[str, Any]:
    key = "OPENAI_API_KEY"
    os.environ[key] = "sk-canary" + "-of-the-service"
    without, only, skipped = options.get("without", []), options.get("only", GROUPS), options.get("skip", ())
    for layer in options.get("refuse", ()):
        REFUSE[layer]()
    after: dict[str, Any] = {}
    with targets(after) as facts:
        battery = Battery(without, facts)
        standing = battery.server.standing
        found = [attacks(HERE / f"sandbox_attacks_{group}.py") for group in only]
        sources = {name: source for each in found for name, source in each.items() if name not in skipped}
        if options.get("quick"):
            sources = {name: source for name, source in sources.items() if not name.startswith("spin")}
        honest = attacks(HERE / "sandbox_controls.py")
        first = [name for name in sources if not name.startswith("zz")] + list(honest)
        with ThreadPoolExecutor(8) as threads:
            run = threads.map(lambda name: battery.outcome((sources | honest)[name], name), first)
            outcomes = dict(zip(first, run, strict=True))
        outcomes |= {name: battery.outcome(sources[name], name) for name in sources if name.startswith("zz")}
        controls = {name: outcomes.pop(name) for name in honest}
        after |= battery.afterwards()
    told = {"standing": standing._asdict(), "uid": os.getuid(), "outcomes": outcomes, "controls": controls}
    return told | {"afterwards": after}


if __name__ == "__main__":
    assert threading.active_count() == 1
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print(json.dumps(main(json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}"))))
