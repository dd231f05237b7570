"""The seccomp filter of both architectures, run by a small interpreter of the kernel's packet filter, call by call."""

from __future__ import annotations

import errno
import os
import re
import struct
from pathlib import Path

import pytest

from graders.sandbox.jail import kernel, seccomp
from graders.sandbox.jail.kernel import ARCHITECTURES, NUMBERS
from graders.sandbox.jail.seccomp import ALLOW, ERRNO, KILL, Instruction, program

BOTH = sorted(ARCHITECTURES)
HEADERS = {"x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "aarch64": "/usr/include/asm-generic/unistd.h"}
FOREIGN = {"i386": 0x40000003, "arm": 0x40000028, "riscv64": 0xC00000F3, "none": 0}
HUGE = 2**64 - 1
REFUSED, NO_CALL, NO_ACCESS = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS, ERRNO | errno.EACCES


def decided(steps: list[Instruction], audit: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    """What the kernel does with a call: `struct seccomp_data` is its number, architecture, place and arguments."""
    data = struct.pack("<iIQ6Q", number, audit, 0, *arguments, *[0] * (6 - len(arguments)))
    held, place = 0, 0
    while True:
        code, then, otherwise, value = steps[place]
        place += 1
        if code == 0x06:  # BPF_RET | BPF_K
            return value
        if code == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            assert value % 4 == 0
            held = int.from_bytes(data[value : value + 4], "little")
        elif code == 0x54:  # BPF_ALU | BPF_AND | BPF_K
            held &= value
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[code]  # JEQ, JGE, JSET
            place += then if holds else otherwise


class Filter:
    def __init__(self, name: str, writes: bool = True) -> None:
        self.arch = ARCHITECTURES[name]
        self.steps = program(self.arch, writes)

    def __call__(self, call: str | int, *arguments: int) -> int:
        number = call if isinstance(call, int) else NUMBERS[call][self.arch.column]
        assert number is not None
        return decided(self.steps, self.arch.audit, number, arguments)

    def has(self, call: str) -> bool:
        return NUMBERS[call][self.arch.column] is not None


@pytest.fixture(params=BOTH)
def rules(request: pytest.FixtureRequest) -> Filter:
    return Filter(request.param)


def test_each_allowed_call_is_allowed_whatever_its_arguments(rules: Filter) -> None:
    for call in filter(rules.has, seccomp.ALLOWED):
        assert {rules(call), rules(call, *[HUGE] * 6), rules(call, 3, 5, 7)} == {ALLOW}, call


def test_each_fatal_call_ends_the_process(rules: Filter) -> None:
    for call in filter(rules.has, seccomp.FATAL):
        assert rules(call) == rules(call, *[HUGE] * 6) == KILL, call


def test_no_thread_and_no_process_is_made(rules: Filter) -> None:
    assert rules("clone", 17) == rules("clone", 0x3D0F00) == ERRNO | errno.EAGAIN
    assert rules("clone3") == NO_CALL
    for call in filter(rules.has, ("fork", "vfork")):
        assert rules(call) == REFUSED


@pytest.mark.parametrize("call", seccomp.ARGUMENTS)
def test_of_some_calls_only_a_few_kinds_are_allowed(rules: Filter, call: str) -> None:
    place, values = seccomp.ARGUMENTS[call]
    for value in [*range(2**12), *range(0x5400, 0x5500), 2**31, 2**32 - 1, 0x80045430]:
        arguments = [0xDEAD] * 6
        arguments[place] = value
        assert rules(call, *arguments) == (ALLOW if value in values else REFUSED), (call, value)
        arguments[place] = value | 2**40  # the kernel looks at 32 bits of it, as the filter does
        assert rules(call, *arguments) == (ALLOW if value in values else REFUSED), (call, value)


@pytest.mark.parametrize(
    ("call", "value"),
    [
        *[("fcntl", value) for value in (8, 10, 15, 1024, 1026, 1031, 1033)],
        *[("ioctl", value) for value in (0x5412, 0x5452, 0x541C)],
        *[("socketpair", value) for value in (2, 16)],
    ],
)
def test_kinds_that_send_signals_type_or_reach_out_are_refused(rules: Filter, call: str, value: int) -> None:
    place, _ = seccomp.ARGUMENTS[call]
    assert rules(call, *[value if each == place else 0 for each in range(6)]) == REFUSED


@pytest.mark.parametrize("call", seccomp.ABSENT)
def test_a_new_limit_and_an_address_to_send_to_are_refused_in_all_their_bits(rules: Filter, call: str) -> None:
    place = seccomp.ABSENT[call]
    others = [HUGE] * 6
    for value, expected in [(0, ALLOW), (1, REFUSED), (2**31, REFUSED), (2**32, REFUSED), (2**63, REFUSED)]:
        others[place] = value
        assert rules(call, *others) == expected


OPENINGS = [
    # flags, with Landlock, without it
    (os.O_RDONLY, ALLOW, ALLOW),
    (os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY, ALLOW, ALLOW),
    (os.O_WRONLY, ALLOW, NO_ACCESS),
    (os.O_RDWR, ALLOW, NO_ACCESS),
    (os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, ALLOW, NO_ACCESS),  # open(path, "w")
    (os.O_RDWR | os.O_APPEND | os.O_CREAT, ALLOW, NO_ACCESS),
    (os.O_RDONLY | os.O_CREAT, ALLOW, NO_ACCESS),
    (os.O_RDONLY | os.O_TRUNC, NO_ACCESS, NO_ACCESS),
    (3, NO_ACCESS, NO_ACCESS),
    (3 | os.O_TRUNC, NO_ACCESS, NO_ACCESS),
    (3 | os.O_CLOEXEC | os.O_CREAT, NO_ACCESS, NO_ACCESS),
    (0o20000000 | os.O_RDWR, ALLOW, NO_ACCESS),  # O_TMPFILE
    (2**40 | os.O_RDONLY | os.O_TRUNC, NO_ACCESS, NO_ACCESS),
]


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(("flags", "with_landlock", "without"), OPENINGS)
def test_a_file_is_opened_with_harmless_flags_only(name: str, flags: int, with_landlock: int, without: int) -> None:
    for call, place in seccomp.OPENS.items():
        arguments = [HUGE] * 6
        arguments[place] = flags
        for writes, expected in ((True, with_landlock), (False, without)):
            if (rules := Filter(name, writes)).has(call):
                assert rules(call, *arguments) == expected


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("name", BOTH)
def test_each_other_number_is_refused_or_unknown(name: str, writes: bool) -> None:
    rules = Filter(name, writes)
    named = {NUMBERS[call][rules.arch.column] for call in NUMBERS}
    for number in set(range(2000)) - named:
        assert rules(number) == (REFUSED if number < 424 else NO_CALL), number
        assert rules(number, *[HUGE] * 6) == (REFUSED if number < 424 else NO_CALL), number


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_call_as_another_processor_makes_it_ends_the_process(rules: Filter, foreign: str) -> None:
    for number in [*range(600), 0x40000000, 2**31 - 1, -1]:
        assert decided(rules.steps, FOREIGN[foreign], number) == KILL


def test_one_architecture_is_foreign_to_the_other() -> None:
    for name, other in (BOTH, BOTH[::-1]):
        assert decided(program(ARCHITECTURES[name]), ARCHITECTURES[other].audit, 0) == KILL


def test_x32_ends_the_process_and_no_number_beyond_is_known() -> None:
    x86, arm = Filter("x86_64"), Filter("aarch64")
    for number in range(600):
        assert x86(0x40000000 | number) == KILL
        assert arm(0x40000000 | number) == NO_CALL
    assert x86(-1) == KILL


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("name", BOTH)
def test_the_program_is_one_that_the_kernel_takes(name: str, writes: bool) -> None:
    steps = Filter(name, writes).steps
    assert len(steps) <= 4096
    assert all(code in (0x06, 0x15, 0x20, 0x35, 0x45, 0x54) for code, *_ in steps)
    for place, (code, then, otherwise, _) in enumerate(steps):
        assert 0 <= then <= 255
        assert 0 <= otherwise <= 255
        if code in (0x15, 0x35, 0x45):
            assert place + 1 + max(then, otherwise) < len(steps)
    assert steps[-1][0] == 0x06
    assert _reached(steps) == set(range(len(steps)))


def _reached(steps: list[Instruction]) -> set[int]:
    reached: set[int] = set()
    ahead = [0]
    while ahead:
        place = ahead.pop()
        if place in reached:
            continue
        reached.add(place)
        code, then, otherwise, _ = steps[place]
        if code in (0x15, 0x35, 0x45):
            ahead += [place + 1 + then, place + 1 + otherwise]
        elif code != 0x06:
            ahead.append(place + 1)
    return reached


def in_header(name: str) -> dict[str, int]:
    """The calls that the kernel's header has, by name (aarch64 has the table of all younger architectures)."""
    path = Path(HEADERS[name])
    if not path.exists():
        pytest.skip(f"no kernel headers here: {path}")
    text = re.sub(r"__NR3264_fstatat\b", "__NR3264_newfstatat", path.read_text())
    found = re.findall(r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", text, re.MULTILINE)
    return {call: int(number) for call, number in found}


@pytest.mark.parametrize("name", BOTH)
def test_the_numbers_are_those_of_the_kernel(name: str) -> None:
    header = in_header(name)
    column = ARCHITECTURES[name].column
    wrong = {
        call: (found[column], header.get(call)) for call, found in NUMBERS.items() if found[column] != header.get(call)
    }
    assert wrong == {}


@pytest.mark.parametrize("name", BOTH)
def test_no_other_call_of_the_kernel_is_allowed_by_mistake(name: str) -> None:
    rules, header = Filter(name), in_header(name)
    allowed = {call for call, number in header.items() if rules(number) == ALLOW}
    listed = {*seccomp.ALLOWED, *seccomp.OPENS, *seccomp.ARGUMENTS, *seccomp.ABSENT}
    assert allowed <= listed
    assert {call for call in listed if rules.has(call)} - allowed == {"ioctl", "socketpair"}  # of the kind 0
    harmful = "kill tkill tgkill rt_sigqueueinfo execve execveat socket connect bind listen sendmsg prctl seccomp setns"
    harmful += " memfd_create truncate ftruncate unlinkat renameat2 linkat symlinkat mkdirat mknodat fchmod fchownat"
    harmful += " setuid setresuid shmget msgget semget mq_open timer_create signalfd4 inotify_init1 openat2 setsockopt"
    assert allowed & set(harmful.split()) == set()


def test_each_number_of_the_table_is_used() -> None:
    used = {*seccomp.ALLOWED, *seccomp.FATAL, *seccomp.ERRORS, *seccomp.ARGUMENTS, *seccomp.ABSENT, *seccomp.OPENS}
    asked = {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "unshare"}
    assert set(NUMBERS) - used - asked <= {"fork", "vfork"}
    assert used <= set(NUMBERS)
    assert len(used) == sum(map(len, (seccomp.ALLOWED, seccomp.FATAL, seccomp.ERRORS, seccomp.ARGUMENTS))) + len(
        {*seccomp.ABSENT, *seccomp.OPENS}
    )


@pytest.mark.parametrize(
    ("machine", "largest", "told"),
    [("riscv64", 2**63 - 1, "no table of system calls for the processor 'riscv64'"), ("x86_64", 2**31 - 1, "32-bit")],
)
def test_a_processor_without_a_table_is_told(
    monkeypatch: pytest.MonkeyPatch, machine: str, largest: int, told: str
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("sys.maxsize", largest)
    with pytest.raises(OSError, match=told):
        kernel.architecture()
