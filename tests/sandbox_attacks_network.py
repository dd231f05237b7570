"""Attacks that reach something: sockets, pairs of sockets, inherited descriptors; run inside the sandbox."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

Facts = dict[str, Any]
Got = str | None


def connect_to_a_service(facts: Facts) -> Got:
    with socket.create_connection(("127.0.0.1", facts["tcp"]), timeout=2):
        return "connected"


def send_a_datagram(facts: Facts) -> Got:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sent:
        return f"sent {sent.sendto(b'attack', ('127.0.0.1', facts['udp']))} bytes"


def listen(facts: Facts) -> Got:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        return "listens"


def look_up_a_name(facts: Facts) -> Got:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM):
        return "a socket to look names up"


def connect_to_an_abstract_socket(facts: Facts) -> Got:
    with socket.socket(socket.AF_UNIX) as sent:
        sent.connect("\0" + facts["abstract"])
        return "connected"


def connect_to_a_socket_in_a_folder(facts: Facts) -> Got:
    with socket.socket(socket.AF_UNIX) as sent:
        sent.connect(facts["socket"])
        return "connected"


def send_through_a_pair_to_an_abstract_socket(facts: Facts) -> Got:
    one, _two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return f"sent {one.sendto(b'attack', chr(0) + facts['abstract'] + '-datagrams')} bytes"


def send_through_a_pair_to_a_socket_in_a_folder(facts: Facts) -> Got:
    one, _two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return f"sent {one.sendto(b'attack', facts['socket'] + '-datagrams')} bytes"


def send_a_message_through_a_pair(facts: Facts) -> Got:
    one, _two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return f"sent {one.sendmsg([b'attack'], [], 0, chr(0) + facts['abstract'] + '-datagrams')} bytes"


def connect_one_of_a_pair(facts: Facts) -> Got:
    one, _two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.connect("\0" + facts["abstract"] + "-datagrams")
    return "connected"


def name_one_of_a_pair(facts: Facts) -> Got:
    one, _two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.bind("\0assay-attack")
    return "bound"


def hand_a_descriptor_to_the_service(facts: Facts) -> Got:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=os.dup(3)) as channel:
        socket.send_fds(channel, [b"\0\0\0\2{}"], [0])
    return "handed over"


def make_a_pair_of_another_family(facts: Facts) -> Got:
    socket.socketpair(socket.AF_TIPC if hasattr(socket, "AF_TIPC") else 30, socket.SOCK_STREAM)
    return "made"


def talk_to_the_kernel_by_netlink(facts: Facts) -> Got:
    socket.socket(16, socket.SOCK_RAW, 0).close()
    return "opened"


def use_the_cryptography_of_the_kernel(facts: Facts) -> Got:
    socket.socket(38, socket.SOCK_SEQPACKET, 0).close()
    return "opened"


def reach_the_host_of_the_machine(facts: Facts) -> Got:
    socket.socket(40, socket.SOCK_STREAM, 0).close()
    return "opened"


def use_an_inherited_descriptor(facts: Facts) -> Got:
    found = []
    for descriptor in range(4, 4096):
        with suppress(OSError):
            os.fstat(descriptor)
            found.append(descriptor)
    return f"descriptors {found} are open" if found else None


def read_an_inherited_terminal(facts: Facts) -> Got:
    found = [descriptor for descriptor in range(3) if os.isatty(descriptor)]
    return f"{found} are terminals" if found else None
