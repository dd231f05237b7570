"""Random frames for what reads the answers of jailed processes: `python benchmarks/sandbox.py --only frames`.

The reader is the python grader's, with all below it; the processes are only bytes. What a stream really claims is read
a second time, in another way, and no call may have another score.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import signal
import socket
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from graders.code.scores import scores
from graders.sandbox.fork_server import PLAIN, ForkServer, Profile
from graders.sandbox.jail.frames import packed
from graders.sandbox.jail.limits import Limits
from graders.sandbox.jail.plain import decoded
from graders.sandbox.level import Standing
from graders.sandbox.pool import Pool
from graders.sandbox.process import JailedProcess
from graders.sandbox.settings import SandboxSettings

CALLS = 16
LONGEST = 2**16
GRADER = "def grade(sample, item):\n    return 1.0\n"


class _Nobody:
    """In a fork server's place, for a process that is only bytes."""

    owner = os.getpid()
    alive = True
    abandoned: list[int] = []  # noqa: RUF012

    def reap(self, _: int) -> int:
        return int(signal.SIGKILL)


class Thrown(Pool):
    """A pool whose processes say what `streams` holds, and nothing else."""

    def __init__(self, draw: random.Random) -> None:
        super().__init__(SandboxSettings(accept="S0", processes=1, reuse="batch"))
        self.draw = draw
        self.said: list[bytes] = []

    def check(self, _: Profile = PLAIN) -> Standing:
        return Standing("S3", (), {}, {})

    @contextmanager
    def fresh(self, _: Profile, limits: Limits, __: Sequence[int] = ()) -> Iterator[JailedProcess]:
        ours, theirs = socket.socketpair()
        self.said.append(stream(self.draw, limits.output))
        with theirs:
            theirs.sendall(self.said[-1])
            theirs.shutdown(socket.SHUT_WR)
            process = JailedProcess(cast(ForkServer, _Nobody()), 0, -1, ours, limits.output)
            try:
                yield process
            finally:
                process.end()


def random_json(draw: random.Random, depth: int = 0) -> str:
    """JSON, and what looks like it."""
    kinds = [
        "0",
        "1",
        "-1",
        "true",
        "null",
        "0.5",
        "1.0",
        "NaN",
        "-Infinity",
        "1e999",
        "9" * 40,
        "9" * 5000,
        '"\\ud800"',
    ]
    kinds += ['"nan"', '"0.5"', '"\\u0000"', '"é"', '""', "[]", "{}", '{"float":"nan"}', "-0.0", "1e-400", "0x1", "01"]
    kinds += [
        '"\\ud800"',
        '{"int":"0xff"}',
        '{"int":"zz"}',
        '{"bytes":"f"}',
        '{"complex":["a","1"]}',
        '{"set":[[],[]]}',
        "[" * 900,
    ]
    if depth < 3 and draw.random() < 0.3:
        inner = [random_json(draw, depth + 1) for _ in range(draw.randrange(4))]
        if draw.random() < 0.5:
            return f"[{','.join(inner)}]"
        return "{" + ",".join(f'"{draw.choice("aab")}":{each}' for each in inner) + "}"
    return draw.choice(kinds)


KEYS = (
    "id",
    "score",
    "raised",
    "says",
    "detail",
    "wrong",
    "loaded",
    "value",
    "unusable",
    "tried",
    "ask",
    "x",
    "\\u0069d",
)


def forged(draw: random.Random, number: int) -> bytes:
    """The content of a frame that is meant to be taken for the answer to a call."""
    ids = [str(number)] * 6 + [
        "true",
        "false",
        "null",
        f"{number}.0",
        f'"{number}"',
        f"[{number}]",
        str(number + 1),
        "-1",
    ]
    parts = [f'"id":{draw.choice(ids)}'] * draw.choice((0, 1, 1, 1, 1, 1, 2))
    for _ in range(draw.choice((0, 1, 1, 1, 1, 2, 3))):
        parts.append(f'"{draw.choice((*KEYS, "score", "score", "score"))}":{random_json(draw)}')
    if draw.random() < 0.1:
        parts = [f'"id":{number}', *(f'"{key}":{random_json(draw)}' for key in ("raised", "says", "detail"))]
    draw.shuffle(parts)
    text = "{" + ",".join(parts) + "}"
    coding = draw.choice(["utf-8"] * 9 + ["utf-16", "utf-8-sig", "utf-32-le"])
    return text.encode(coding, "surrogatepass")


def framed(draw: random.Random, number: int, longest: int) -> bytes:
    """A frame, more or less, in the place of the answer to a call."""
    kind = draw.random()
    honest = packed({"id": number, "score": draw.random()})
    if kind < 0.35:
        return honest
    if kind < 0.7:
        content = forged(draw, number)
        return struct.pack(">I", len(content)) + content
    if kind < 0.8:
        changed = bytearray(honest)
        for _ in range(draw.randint(1, 4)):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        return bytes(changed)
    if kind < 0.85:
        return honest[: draw.randrange(len(honest))]
    if kind < 0.9:
        return honest * 2
    if kind < 0.95:
        return draw.randbytes(draw.randrange(40))
    if kind < 0.97:
        return struct.pack(">I", draw.choice((2**32 - 1, 2**31, longest + 1, longest, 0))) + honest
    deep = draw.choice(("[", '{"a":', '[{"a":')) * draw.choice((10, 400, 2000))
    content = f'{{"id":{number},"score":{deep}'.encode()
    return struct.pack(">I", len(content)) + content


def stream(draw: random.Random, longest: int) -> bytes:
    """What a process says that was asked to load a grader and to call it so many times."""
    loaded = packed({"id": -1, "loaded": True}) if draw.random() < 0.97 else framed(draw, -1, longest)
    return loaded + b"".join(framed(draw, number, longest) for number in range(CALLS))


def claims(said: bytes, calls: int, longest: int) -> list[float | None]:
    """The scores that a stream really claims, read in another way; None ends it."""
    found: list[float | None] = []
    for number in range(-1, calls):
        size = int.from_bytes(said[:4], "big")
        content, whole = said[4 : 4 + size], len(said) >= 4 + size and size <= longest
        said = said[4 + size :]
        if number < 0:
            if not whole or repr(sorted(_pairs(content), key=repr)) != "[('id', -1), ('loaded', True)]":
                return [None] * calls
            continue
        score, goes_on = _claim(_pairs(content) if whole else [], number)
        found.append(score)
        if not goes_on:
            break
    return found


_HALF = re.compile("[\ud800-\udfff]")


def _claim(pairs: list[tuple[str, Any]], number: int) -> tuple[float | None, bool]:
    """The score that an answer claims, and whether those behind it count."""
    claim = dict(pairs)
    if len(pairs) != len(claim) or type(claim.get("id")) is not int or claim.pop("id") != number:
        return None, False
    if claim.keys() == {"score"}:
        score = claim["score"]
        if type(score) is float and math.isfinite(score):
            return score, True
        return None, type(score) is str and score in ("nan", "inf", "-inf")
    texts = all(type(value) is str and not _HALF.search(value) for value in claim.values())
    return None, texts and claim.keys() in ({"wrong"}, {"raised", "says", "detail"})


def _pairs(content: bytes) -> list[tuple[str, Any]]:
    """The keys and values of an object, in order and with repetitions."""
    try:
        found = json.loads(content.decode(), object_pairs_hook=tuple)
    except (ValueError, RecursionError):
        return []
    return list(found) if isinstance(found, tuple) else []


def thrown(count: int, seed: int) -> Iterator[str]:
    """Throw so many frames; what came of it, line by line."""
    draw = random.Random(seed)
    pool = Thrown(draw)
    calls = [b'["call",%d]' % number for number in range(2000)]
    calls = [call for call in calls if zlib.crc32(call) % 100][:CALLS]  # none of those that are called again
    sent = crashes = forgeries = refused = scored = 0
    while sent < count:
        pool.said.clear()
        try:
            grades = scores(GRADER, PLAIN, Limits(output=LONGEST), 10.0, calls, where=pool)
        except Exception as problem:
            crashes += 1
            yield f"CRASH {problem!r} after {pool.said[-1][:300]!r}"
            continue
        right: list[float | None] = []
        for said in pool.said:
            right += claims(said, len(calls) - len(right), LONGEST)
        sent += len(right) + len(pool.said)  # those behind a bad one are never read
        forgeries += abs(len(grades) - len(right))  # it went on, or stopped, where it should not
        for grade, score in zip(grades, right, strict=False):
            forgeries += grade.score != score
            refused += score is None
            scored += score is not None
            json.dumps([grade.score, grade.why], allow_nan=False, ensure_ascii=False).encode()
    crashes += values(draw, count // 10)
    yield f"{sent:,} frames: crashes of the reader: {crashes}, scores that nobody claimed: {forgeries}"
    yield f"calls: {scored:,} with the score that was claimed, {refused:,} undecided"
    if crashes or forgeries:
        yield "BROKEN"


def values(draw: random.Random, count: int) -> int:
    """How often a claimed value is neither read nor refused."""
    crashes = 0
    for _ in range(count):
        with suppress(ValueError, RecursionError):
            claimed = json.loads(random_json(draw), parse_constant=lambda _: None)
            try:
                decoded(claimed)
            except ValueError:
                pass
            except Exception:
                crashes += 1
    return crashes
