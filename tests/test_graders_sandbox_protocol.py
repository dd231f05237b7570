from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest

from graders.sandbox.fork_server import ForkServer
from graders.sandbox.jail.frames import DEEPEST, HEADER, FrameError, Frames, packed, parsed
from graders.sandbox.process import EndedError, JailedProcess, TimeUpError

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 2**16


def frame(content: bytes) -> bytes:
    return len(content).to_bytes(HEADER, "big") + content


def taken(received: bytes) -> list[Any]:
    frames = Frames(LONGEST)
    frames.add(received)
    found = []
    while (message := frames.take()) is not None:
        found.append(message)
    return found


MESSAGES: list[dict[str, Any]] = [
    {"id": 1, "score": 0.5},
    {"id": -1, "detail": 'é "\\ \u0000 \U0001f600'},
    {"nested": [[{}], [1, 2.5, None, True, ""]]},
    {},
]


def test_messages_come_out_as_they_went_in_however_their_bytes_arrive() -> None:
    sent = b"".join(map(packed, MESSAGES))
    assert taken(sent) == MESSAGES
    for step in (1, 2, 3, 7, 64):
        frames, found = Frames(LONGEST), []
        for begin in range(0, len(sent), step):
            frames.add(sent[begin : begin + step])
            while (message := frames.take()) is not None:
                found.append(message)
        assert found == MESSAGES
        assert frames.rest == 0


def test_part_of_a_frame_is_no_message_yet() -> None:
    sent = packed(MESSAGES[0])
    for end in range(len(sent)):
        assert taken(sent[:end]) == []


BAD = {
    "nothing": (b"", "not JSON"),
    "no JSON": (b"{", "not JSON"),
    "two values": (b"{}{}", "not JSON"),
    "a list": (b"[]", "holds no object"),
    "null": (b"null", "holds no object"),
    "NaN": (b'{"id":1,"score":NaN}', "NaN is not JSON"),
    "an infinity": (b'{"id":1,"score":-Infinity}', "-Infinity is not JSON"),
    "a number that becomes infinite": (b'{"id":1,"score":1e999}', "1e999 is too large"),
    "a key twice": (b'{"id":1,"id":2}', "a key twice"),
    "a key twice, once in escapes": (b'{"id":1,"\\u0069d":2}', "a key twice"),
    "a key twice, deep inside": (b'{"a":[{"b":1,"b":1}]}', "a key twice"),
    "no UTF-8": (b'{"a":"\xff"}', "not JSON"),
    "an overlong form": (b'{"a":"\xc0\xaf"}', "not JSON"),
    "UTF-16": ('{"id":1}'.encode("utf-16"), "not JSON"),
    "UTF-32": ('{"id":1}'.encode("utf-32-le"), "not JSON"),
    "a byte order mark": (b'\xef\xbb\xbf{"id":1}', "not JSON"),
    "half a pair in bytes": (b'{"a":"\xed\xa0\x80"}', "not JSON"),
    "half a pair in escapes": (b'{"a":["\\ud800"]}', "half a surrogate pair"),
    "half a pair in a key": (b'{"\\udc00":1}', "half a surrogate pair"),
    "an integer of 5,000 digits": (b'{"id":%b}' % (b"9" * 5000), "not JSON"),
    "a literal of Python's": (b"{'id': 1}", "not JSON"),
    "a control character": (b'{"a":"\n"}', "not JSON"),
    "lists too deep": (b'{"a":' + b"[" * 30_000, f"nested more than {DEEPEST} deep"),
    "objects too deep": (b'{"a":' * 10_000, f"nested more than {DEEPEST} deep"),
    "deep and whole": (b'{"a":' + b"[" * 600 + b"]" * 600 + b"}", f"nested more than {DEEPEST} deep"),
}


@pytest.mark.parametrize(("content", "told"), BAD.values(), ids=BAD)
def test_a_frame_that_breaks_a_rule_is_refused(content: bytes, told: str) -> None:
    with pytest.raises(FrameError, match=told):
        taken(frame(content))


def test_brackets_inside_texts_and_side_by_side_are_not_depth() -> None:
    message = {"a": "[{" * 2000 + '"\\', "b": [[] for _ in range(2000)], "c": {"d": ['\\"['] * 600}}
    assert taken(packed(message)) == [message]


def test_depth_is_refused_however_deep_this_process_may_recurse(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)  # with which the parser would exhaust the stack, and end this process
    try:
        frames = Frames(2**24)
        frames.add(frame(b'{"a":' + b"[" * (2**24 - 5)))
        with pytest.raises(FrameError, match="nested more than"):
            frames.take()
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("size", [LONGEST + 1, 2**31, 2**32 - 1])
def test_a_frame_that_is_too_long_is_refused_by_its_length_alone(size: int) -> None:
    with pytest.raises(FrameError, match=f"a frame of {size:,} bytes; it may have 65,536"):
        taken(size.to_bytes(HEADER, "big"))


def test_what_this_side_sends_may_hold_half_characters_which_the_other_reads() -> None:
    sent = packed({"with": ["\ud800"]})
    assert parsed(sent[HEADER:]) == {"with": ["\ud800"]}


@pytest.mark.parametrize(("value", "error"), [(float("nan"), ValueError), ({1}, TypeError)])
def test_what_is_no_json_is_not_sent(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        packed({"a": value})


class Nobody:
    owner = os.getpid()
    alive = True
    abandoned: list[int]

    def reap(self, _: int) -> int:
        return 9


def only_bytes() -> tuple[JailedProcess, socket.socket]:
    """A process that is nothing but a stream, and the other end of that."""
    ours, theirs = socket.socketpair()
    return JailedProcess(cast(ForkServer, Nobody()), 0, -1, ours, LONGEST), theirs


def test_messages_before_the_end_of_a_stream_arrive_and_then_its_end() -> None:
    process, theirs = only_bytes()
    with theirs:
        theirs.sendall(packed(MESSAGES[0]) + packed(MESSAGES[1]) + packed(MESSAGES[2])[:5])
    deadline = time.monotonic() + 10
    assert [process.receive(deadline), process.receive(deadline)] == MESSAGES[:2]
    for _ in range(3):
        with pytest.raises(EndedError):
            process.receive(deadline)
    process.end()


def test_what_has_arrived_by_a_deadline_counts_and_the_rest_does_not() -> None:
    process, theirs = only_bytes()
    with theirs:
        theirs.sendall(packed(MESSAGES[0]) + packed(MESSAGES[1])[:-1])
        assert process.receive(time.monotonic() - 1) == MESSAGES[0]
        with pytest.raises(TimeUpError):
            process.receive(time.monotonic() - 1)
        theirs.sendall(packed(MESSAGES[1])[-1:])
        assert process.receive(time.monotonic() - 1) == MESSAGES[1]
    process.end()


def test_a_stream_that_never_makes_a_frame_is_held_no_longer_than_one_frame_may_be() -> None:
    process, theirs = only_bytes()
    with theirs:
        theirs.setblocking(False)
        theirs.send((LONGEST).to_bytes(HEADER, "big"))
        for _ in range(2):
            theirs.send(b" " * 2**15)
            with pytest.raises((TimeUpError, FrameError)):
                process.receive(time.monotonic() + 0.05)
        assert process._frames.rest < LONGEST + 2**18
    process.end()


def test_random_frames_neither_crash_what_reads_them_nor_pass_for_answers_that_nobody_gave() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "sandbox.py"), "--only", "frames", "--frames", "15000"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "crashes of the reader: 0, scores that nobody claimed: 0" in done.stdout
