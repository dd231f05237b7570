"""What honest code does, run inside the sandbox: each returns True where it works."""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Any

Facts = dict[str, Any]


def import_what_code_imports(facts: Facts) -> bool:
    import bisect
    import collections
    import dataclasses
    import datetime
    import decimal
    import enum
    import fractions
    import functools
    import heapq
    import itertools
    import json
    import math
    import operator
    import re
    import statistics
    import string
    import typing

    known = (bisect, collections, dataclasses, enum, functools, heapq, itertools, json, operator, re, string, typing)
    assert math.isclose(statistics.mean([1, 2]), 1.5)
    assert decimal.Decimal("0.1") + 1 == decimal.Decimal("1.1")
    assert fractions.Fraction(1, 3).limit_denominator(3).denominator == 3
    return datetime.datetime.now(datetime.UTC).year > 2000 and all(known)


def import_extension_modules_late(facts: Facts) -> bool:
    import ctypes
    import hashlib
    import lzma
    import sqlite3
    import ssl
    import zlib

    with sqlite3.connect(":memory:") as base:
        assert base.execute("select 1 + 1").fetchone() == (2,)
    assert lzma.decompress(lzma.compress(b"x")) == b"x"
    assert ssl.create_default_context() is not None
    return len(hashlib.sha256(zlib.compress(b"x")).digest()) == ctypes.sizeof(ctypes.c_uint64) * 4


def import_after_the_caches_were_dropped(facts: Facts) -> bool:
    import importlib

    importlib.invalidate_caches()
    return all(importlib.import_module(name) for name in ("xml.etree.ElementTree", "email.mime.text", "unittest.mock"))


def know_the_zones(facts: Facts) -> bool:
    import datetime
    import zoneinfo

    if not os.path.exists("/usr/share/zoneinfo"):
        return True
    summer = datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))
    return summer.utcoffset() == datetime.timedelta(hours=2)


def run_an_event_loop(facts: Facts) -> bool:
    async def add(left: int, right: int) -> int:
        await asyncio.sleep(0.001)
        return left + right

    async def all_of_them() -> list[int]:
        return await asyncio.gather(*(add(number, 1) for number in range(5)))

    return asyncio.run(all_of_them()) == [1, 2, 3, 4, 5]


def tell_the_time_and_sleep(facts: Facts) -> bool:
    before = time.monotonic()
    time.sleep(0.01)
    assert time.localtime().tm_year > 2000
    assert time.process_time() > 0
    return time.monotonic() > before


def draw_at_random(facts: Facts) -> bool:
    import secrets
    import uuid

    assert random.Random(1).random() == random.Random(1).random()
    return len(os.urandom(8)) == 8 and secrets.randbelow(2) < 2 and uuid.uuid4().version == 4


def write_to_nowhere(facts: Facts) -> bool:
    import contextlib

    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        print("to nowhere")
    with open(os.devnull, "a+") as nowhere:
        return nowhere.read() == ""


def print_things(facts: Facts) -> bool:
    return os.write(1, b"printed\n") == 8


def use_some_memory(facts: Facts) -> bool:
    return len(bytearray(100 * 2**20)) > 0


def recurse_a_little(facts: Facts) -> bool:
    def depth(left: int) -> int:
        return 1 + depth(left - 1) if left else 0

    return depth(500) == 500


def be_interrupted_by_its_own_alarm(facts: Facts) -> bool:
    import signal

    rang: list[int] = []
    signal.signal(signal.SIGALRM, lambda number, _: rang.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    while not rang:
        time.sleep(0.01)
    return True


def fill_a_buffer_in_memory(facts: Facts) -> bool:
    import io
    import mmap
    import tempfile

    with tempfile.SpooledTemporaryFile(max_size=1000) as held:
        held.write(b"x" * 100)
    with mmap.mmap(-1, 4096) as page:
        page[:1] = b"x"
    return io.StringIO("x").read() == "x"


def ask_about_the_machine(facts: Facts) -> bool:
    import locale
    import platform

    assert platform.python_version_tuple()
    assert locale.getlocale() is not None
    return (os.cpu_count() or 1) >= 1 and os.getpid() > 0 and bool(platform.system())


def show_a_traceback(facts: Facts) -> bool:
    import traceback

    try:
        import asyncio.no_such_module  # type: ignore[import-not-found]  # noqa: F401
    except ImportError:
        return "no_such_module" in traceback.format_exc()
    return False
