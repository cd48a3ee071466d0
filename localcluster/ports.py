"""
Draw free loopback ports.

Outside of the kernel's range for outgoing connections: a client that redials a killed server
may otherwise be given that server's own port, connect to itself, and keep the server from
coming back.
"""

import random
import socket
from pathlib import Path

from localcluster.errors import LocalClusterError

EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10_240  # above the ports of common services
USUAL_EPHEMERAL_START = 32_768
ATTEMPTS = 1_000


def draw(count: int, *, host: str) -> list[int]:
    """Return `count` different ports that were free a moment ago; the caller retries if one is lost since."""
    highest = max(_ephemeral_start(), LOWEST + ATTEMPTS)
    source = random.SystemRandom()  # two clusters that start together must not draw alike
    ports: list[int] = []
    for _ in range(ATTEMPTS):
        port = source.randrange(LOWEST, highest)
        if port not in ports and _is_free(host, port):
            ports.append(port)
            if len(ports) == count:
                return ports
    raise LocalClusterError(
        what=f"no {count} free ports between {LOWEST} and {highest}",
        where=host,
        mend="end what holds them; `ss -ltn` lists it",
    )


def _ephemeral_start() -> int:
    try:
        return int(EPHEMERAL_RANGE.read_text().split()[0])
    except FileNotFoundError:
        return USUAL_EPHEMERAL_START


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
