"""python -m tests.support.firewall_trial RULES: try a firewall, in a namespace of its own.

Prints, as JSON, how many of the connections that each address tried were answered.
"""

import json
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

PORT = 50_052
#: A port that the rules say nothing about.
OTHER_PORT = 40_000


def main(rules: str) -> dict[str, int]:
    """Load the rules twice, as after a change, and connect."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # noqa: S607
    for one in _NEIGHBOURS:
        added = ["ip", "address", "add", f"{one}/64", "dev", "lo", "nodad"]
        subprocess.run(added, check=True)
    for _ in range(2):
        subprocess.run(["nft", "-f", rules], check=True)  # noqa: S607
    with _listening(PORT), _listening(OTHER_PORT):
        return {
            "stranger": _connected(["127.0.0.2"] * 80),
            "another": _connected(["127.0.0.3"] * 10),
            "own": _connected(["127.0.0.1"] * 80),
            "elsewhere": _connected(["127.0.0.2"] * 80, port=OTHER_PORT),
            "neighbours": _connected([*_NEIGHBOURS] * 40),
            "fast": _connected(["127.0.0.4"] * 300, hold=False),
            "later": _connected(["127.0.0.2"] * 10),
        }


#: Two addresses of one network.
_NEIGHBOURS = ("fd00::2", "fd00::3")


@contextmanager
def _listening(port: int) -> Iterator[None]:
    with socket.create_server(
        ("::", port), family=socket.AF_INET6, backlog=1000, dualstack_ipv6=True
    ):
        yield


def _connected(sources: Sequence[str], *, port: int = PORT, hold: bool = True) -> int:
    """Return how many connections were made from these, held open together or one by one."""
    with ExitStack() as stack:
        return sum(_connect(source, port, stack if hold else None) for source in sources)


def _connect(source: str, port: int, kept: ExitStack | None) -> bool:
    is_new = ":" in source
    with ExitStack() as stack:
        one = stack.enter_context(socket.socket(socket.AF_INET6 if is_new else socket.AF_INET))
        # Closed by a reset, so that nothing of it is left to be counted.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.settimeout(0.05)
        one.bind((source, 0))
        try:
            one.connect((_NEIGHBOURS[0] if is_new else "127.0.0.1", port))
        except OSError:
            return False
        if kept is not None:
            kept.push(stack.pop_all())
    return True


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1])))
