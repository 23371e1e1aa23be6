"""TCP ports of 127.0.0.1 that nobody listens on.

Between the answer and the bind another process may take the port, and nothing here can prevent that. Where
the server can bind port 0 and tell which it got, do that instead; these are for servers that must be told,
such as `redis-server`.
"""

import contextlib
import socket


def free_ports(count: int) -> list[int]:
    """`count` different free ports; all are held until the last is found, so none comes twice."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            sock = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            sock.bind(("127.0.0.1", 0))
            ports.append(int(sock.getsockname()[1]))
        return ports


def free_port() -> int:
    """One free port."""
    return free_ports(1)[0]
