"""The fork server: a process without rights or secrets that forks one jailed process for each order.

Orders and answers are single messages over a socket of packets, with descriptors attached. It ends, and all it forked
with it, when the other end is closed.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import importlib.machinery
import json
import os
import signal
import socket
import sys
import warnings
from contextlib import suppress
from typing import Any

from . import kernel
from .confine import Jail, close, confine
from .limits import Limits
from .running import CHANNEL, Channel
from .worker import serve

LARGEST_ORDER = 2**16
LONGEST_REASON = 500  # characters


def main(descriptor: int) -> None:
    """Serve the socket with this descriptor until its other end is closed."""
    if descriptor != CHANNEL:
        os.dup2(descriptor, CHANNEL)
    control = socket.socket(fileno=CHANNEL)
    os.closerange(CHANNEL + 1, 2**16)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # whoever asks ends it, by closing the socket
    setup = json.loads(control.recv(LARGEST_ORDER))
    library = [place for place in sys.path if os.path.exists(place)]
    sys.path += setup["packages"]
    failed = _import(setup["imports"], control)
    _keep_listings(dict.fromkeys(setup["packages"], setup["readable"]))
    jail = close(library, setup["readable"], setup["without"], lambda: _become_first(control))
    gc.collect()
    gc.freeze()
    children: set[int] = set()
    _answer(control, {"on": jail.on, "missing": jail.missing, "failed": failed})
    with suppress(ConnectionError):
        while True:
            order, descriptors, _, _ = socket.recv_fds(control, LARGEST_ORDER, 4)
            if not order:
                break
            _obey(json.loads(order), descriptors, control, jail, children)
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    for child in children:
        with suppress(ChildProcessError):
            os.waitpid(child, 0)
    os._exit(0)


def _import(names: list[str], control: socket.socket) -> dict[str, str]:
    """Import what later processes will want; those that fail, with the reason. It ends where whoever asked does."""
    failed = {}
    flags = fcntl.fcntl(control, fcntl.F_GETFL)
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(control, fcntl.F_SETFL, flags | os.O_ASYNC)  # the end of the socket is now a SIGIO, which is fatal
    for name in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(name)
        except BaseException as problem:
            failed[name] = f"{type(problem).__name__}: {problem}"[:LONGEST_REASON]
    fcntl.fcntl(control, fcntl.F_SETFL, flags)
    return failed


def _keep_listings(readable: dict[str, list[str]]) -> None:
    """Have the import system list its folders now, and keep the lists: later it may not read these folders.

    Of a folder of packages it keeps what is `readable`: the others are then not installed, as far as it knows.
    """
    importlib.machinery.PathFinder.find_spec("no module has this name")
    for folder, finder in sys.path_importer_cache.items():
        if not isinstance(finder, importlib.machinery.FileFinder):
            continue
        finder.invalidate_caches = lambda: None  # type: ignore[method-assign]
        paths = readable.get(folder, [folder])
        if not any(path == folder or folder.startswith(f"{path}{os.sep}") for path in paths):
            finder._path_cache &= {os.path.basename(path) for path in paths}  # type: ignore[attr-defined]


def _become_first(control: socket.socket) -> None:
    """Go on as the first process of the new process namespace: when it ends, the kernel ends all others in it."""
    child = os.fork()
    if child:
        control.close()
        os.waitpid(child, 0)
        os._exit(0)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _obey(
    order: dict[str, Any], descriptors: list[int], control: socket.socket, jail: Jail, children: set[int]
) -> None:
    try:
        if "spawn" in order:
            server = os.getpid()
            child = os.fork()
            if child == 0:
                _live(order["spawn"], descriptors, jail, server)
            children.add(child)
            handle = os.pidfd_open(child)
            try:
                _answer(control, {"child": child}, handle)
            finally:
                os.close(handle)
        else:
            child = order["end"]
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)  # the end of its stream is not yet the end of a process
            children.discard(child)
            _answer(control, {"status": os.waitpid(child, 0)[1]})
    except OSError as problem:
        _answer(control, {"failed": str(problem)})
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _live(most: dict[str, Any], descriptors: list[int], jail: Jail, server: int) -> None:
    """What a forked process does: keep its own descriptors only, go to jail, serve, end."""
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:  # it ended before it was asked to tell
            os._exit(1)
        null = os.open("/dev/null", os.O_RDWR)
        stdin, stdout = (descriptors[1], descriptors[2]) if len(descriptors) == 3 else (null, null)
        taken = [os.dup2(source, target + 100) for target, source in enumerate((stdin, stdout, null, descriptors[0]))]
        for target, source in enumerate(taken):
            os.dup2(source, target)
        os.closerange(CHANNEL + 1, 2**16)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        limits = Limits(**most)
        confine(jail, limits)
        serve(Channel(limits.output))
    except BaseException:  # nothing of it may run on in the server's place
        os._exit(1)
    os._exit(0)


def _answer(control: socket.socket, message: dict[str, Any], *handles: int) -> None:
    socket.send_fds(control, [json.dumps(message).encode()], list(handles))
